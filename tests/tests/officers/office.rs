//! A site whose node has an officers' listener.

use serde_json::{Value, json};
use std::path::Path;
use xinqiao::demo::process::NodeProcess;
use xinqiao_certs::Role;
use xinqiao_client::{Client, ClientError, RetryPolicy};
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

/// A connection of an officer, or of whoever tries to be one.
pub(crate) fn officer(site: &Site, node: &NodeProcess, name: &str) -> Client {
    let profile = site.pki.profile(name, node.admin.expect("the officers' listener was configured"));
    Client::connect(&profile).unwrap().with_retry(RetryPolicy::never())
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
pub(crate) async fn shown(client: &Client, id: u64) -> Value {
    client.ask(&format!("/v1/proposals/{id}")).await.unwrap()
}

/// Says yes to the digest that is shown.
pub(crate) async fn approve(client: &Client, id: u64) -> Result<Value, ClientError> {
    let digest = shown(client, id).await["digest"].clone();
    client.tell(&format!("/v1/proposals/{id}/approve"), &json!({"digest": digest, "reason": "已核对"})).await
}
