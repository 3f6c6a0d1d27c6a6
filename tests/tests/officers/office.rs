//! A site whose node has an officers' listener.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use xinqiao::demo::process::NodeProcess;
use xinqiao_certs::Role;
use xinqiao_client::{ClientError, Problem};
use xinqiao_tests::city::peer_of;
use xinqiao_tests::openapi::OFFICERS as DOCUMENT;
use xinqiao_tests::peer::{Answer, Ask, Peer};
use xinqiao_tests::site::Site;

const OFFICERS: [(Role, &str); 6] = [
    (Role::SecurityOfficer, "security"),
    (Role::SecurityOfficer, "security-2"),
    (Role::SecurityOfficer, "security-3"),
    (Role::SystemOfficer, "system"),
    (Role::Auditor, "auditor"),
    (Role::Auditor, "auditor-2"),
];

/// Each role once.
pub(crate) const ROLES: [&str; 3] = ["security", "system", "auditor"];

/// Three security officers, a system officer, two auditors.
pub(crate) fn site(dir: &Path) -> Site {
    site_with(dir, "")
}

/// The same; `officers` is what stands under `[officers]`.
pub(crate) fn site_with(dir: &Path, officers: &str) -> Site {
    let site = Site::new(dir, &configuration(officers, &[]));
    for (role, name) in OFFICERS {
        site.pki.issue(role, name).unwrap();
    }
    site
}

/// More configuration: the officers, and these recipients beside them.
pub(crate) fn configuration(officers: &str, more: &[&str]) -> String {
    let mut extra = format!("[admin]\nlisten = \"127.0.0.1:0\"\n[officers]\n{officers}\n");
    for (role, name) in OFFICERS {
        extra += &format!("[[members]]\nname = \"{name}\"\nrole = \"{role}\"\n");
    }
    for name in more {
        extra += &format!("[[members]]\nname = \"{name}\"\nrole = \"recipient\"\n");
    }
    extra
}

/// An officer, or whoever tries to be one. Every answer is held against the officers' OpenAPI document.
#[derive(Clone)]
pub(crate) struct Officer(Peer);

pub(crate) fn officer(site: &Site, node: &NodeProcess, name: &str) -> Officer {
    let address = node.admin.expect("the officers' listener was configured");
    Officer(peer_of(&site.pki, name, address).described_by(&DOCUMENT))
}

impl Officer {
    /// What is read at a path.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        read(&self.0.ask(Ask::get(path)).await)
    }

    /// What is answered to a document.
    pub(crate) async fn tell<T: DeserializeOwned>(
        &self,
        path: &str,
        document: &Value,
    ) -> Result<T, ClientError> {
        read(&self.0.ask(Ask::post(path, "application/json", document.to_string())).await)
    }

    /// The answer as it came.
    pub(crate) async fn raw(&self, path: &str) -> Answer {
        self.0.ask(Ask::get(path)).await
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, ClientError> {
    if answer.status == 200 {
        return Ok(serde_json::from_slice(&answer.body).unwrap());
    }
    Err(ClientError::Problem(serde_json::from_slice::<Box<Problem>>(&answer.body).unwrap()))
}

pub(crate) fn code(e: &ClientError) -> String {
    e.code().to_owned()
}

/// A body that enters a recipient.
pub(crate) fn enter(name: &str) -> Value {
    json!({"acts": [{"act": "member-put", "member": {"name": name, "role": "recipient"}}], "reason": "新增接收方"})
}

/// Whether the node lets this member in.
pub(crate) async fn is_let_in(site: &Site, node: &NodeProcess, name: &str) -> Result<(), String> {
    site.client(name, node).ask::<Value>("/v1/streams").await.map(drop).map_err(|e| code(&e))
}

/// A proposal as an officer sees it.
pub(crate) async fn shown(client: &Officer, id: u64) -> Value {
    client.ask(&format!("/v1/proposals/{id}")).await.unwrap()
}

/// Says yes to the digest that is shown.
pub(crate) async fn approve(client: &Officer, id: u64) -> Result<Value, ClientError> {
    let digest = shown(client, id).await["digest"].clone();
    client.tell(&format!("/v1/proposals/{id}/approve"), &json!({"digest": digest, "reason": "已核对"})).await
}
