//! Who may do what in the officers' office, and who is kept out of it.

use crate::office::{ROLES, code, officer, site, site_with};
use serde_json::{Value, json};
use xinqiao_certs::Role;
use xinqiao_client::ClientError;
use xinqiao_tests::openapi::OFFICERS;

/// Every route, and the roles it is open to.
const ROUTES: [(&str, &str, &[&str]); 28] = [
    ("GET", "/v1/streams", &ROLES),
    ("GET", "/v1/streams/province.x/withheld", &ROLES),
    ("POST", "/v1/streams/province.x/hold", &["security"]),
    ("POST", "/v1/streams/province.x/release", &["security"]),
    ("POST", "/v1/streams/province.x/withheld/1", &["security"]),
    ("POST", "/v1/streams/province.x/retry", &["system"]),
    ("GET", "/v1/trace?dataset=x", &["security", "auditor"]),
    ("GET", "/v1/documents/none", &ROLES),
    ("GET", "/v1/members", &ROLES),
    ("GET", "/v1/members/none", &ROLES),
    ("POST", "/v1/members/none/suspend", &["security"]),
    ("GET", "/v1/trust", &ROLES),
    ("GET", "/v1/certificates", &ROLES),
    ("GET", "/v1/keys/status", &ROLES),
    ("GET", "/v1/policies", &ROLES),
    ("GET", "/v1/proposals", &ROLES),
    ("GET", "/v1/proposals/9", &ROLES),
    ("POST", "/v1/proposals", &["security"]),
    ("POST", "/v1/proposals/9/approve", &["security"]),
    ("POST", "/v1/proposals/9/reject", &["security"]),
    ("POST", "/v1/proposals/9/withdraw", &["security"]),
    ("POST", "/v1/reload", &["security", "system"]),
    ("POST", "/v1/reload?dry-run=1", &["security", "system"]),
    ("GET", "/v1/log/entries", &["security", "auditor"]),
    ("GET", "/v1/status", &ROLES),
    ("GET", "/v1/lockouts", &ROLES),
    ("POST", "/v1/lockouts/none/lift", &ROLES),
    ("GET", "/v1/openapi.json", &ROLES),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_role_finds_its_own_routes_open_and_the_others_closed() {
    let dir = tempfile::tempdir().unwrap();
    let site = site_with(dir.path(), "lockout_failures = 1000");
    let node = site.start();
    for role in ROLES {
        let client = officer(&site, &node, role);
        for (method, path, open_to) in ROUTES {
            let outcome = match method {
                "GET" => client.ask::<Value>(path).await,
                _ => client.tell::<Value>(path, &json!({"reason": "x"})).await,
            };
            let refused = outcome.as_ref().is_err_and(|e| code(e) == "role.wrong");
            assert_eq!(refused, !open_to.contains(&role), "{role} {method} {path}: {outcome:?}");
        }
        let other = client.tell::<Value>("/v1/members", &json!({})).await.unwrap_err();
        assert_eq!(code(&other), "method-not-allowed");
        assert_eq!(code(&client.ask::<Value>("/v1/nothing").await.unwrap_err()), "not-found");
        let other = client.ask::<Value>("/v1/members?name=x").await.unwrap_err();
        assert_eq!(code(&other), "parameter.unknown");
        for (path, name, _, most) in OFFICERS.numbers_in_queries() {
            let Some(most) = most.filter(|_| role == "auditor") else { continue };
            client.ask::<Value>(&format!("{path}?{name}={most}")).await.unwrap();
            let beyond = client.ask::<Value>(&format!("{path}?{name}={}", most + 1)).await.unwrap_err();
            assert_eq!(code(&beyond), "parameter.invalid", "{path} {name}");
        }
        let province: Value = client.ask("/v1/members/province").await.unwrap();
        assert_eq!((&province["name"], &province["role"]), (&json!("province"), &json!("relay")));
        let served = client.raw("/v1/openapi.json").await;
        assert_eq!(served.body, xinqiao_server::admin::OPENAPI.as_bytes(), "it describes itself");
    }
}

fn retry_after(e: &ClientError) -> Option<String> {
    (code(e) == "officer.locked-out").then(|| format!("{e:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_officer_who_keeps_trying_is_locked_out_until_a_colleague_lifts_it() {
    let dir = tempfile::tempdir().unwrap();
    let site = site_with(dir.path(), "lockout_failures = 3");
    let node = site.start();
    let auditor = officer(&site, &node, "auditor");
    for _ in 0..3 {
        let refused = auditor.tell::<Value>("/v1/proposals", &json!({})).await.unwrap_err();
        assert_eq!(code(&refused), "role.wrong");
    }
    let locked = auditor.ask::<Value>("/v1/members").await.unwrap_err();
    assert!(retry_after(&locked).is_some(), "{locked:?}");
    let security = officer(&site, &node, "security");
    let list: Value = security.ask("/v1/lockouts").await.unwrap();
    assert_eq!(
        (&list["items"][0]["name"], &list["items"][0]["role"]),
        (&json!("auditor"), &json!("auditor"))
    );
    let why = json!({"reason": "误操作"});
    let refused = security.tell::<Value>("/v1/lockouts/auditor/lift", &why).await.unwrap_err();
    assert_eq!(code(&refused), "role.wrong", "another role does not lift it");
    let colleague = officer(&site, &node, "auditor-2");
    colleague.tell::<Value>("/v1/lockouts/auditor/lift", &why).await.unwrap();
    auditor.ask::<Value>("/v1/members").await.unwrap();
    let entries: Value = colleague.ask("/v1/log/entries?limit=1000").await.unwrap();
    let told: Vec<&str> = entries["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["entry"]["kind"] == "officer" && e["entry"]["name"] == "auditor")
        .map(|e| e["entry"]["what"].as_str().unwrap())
        .collect();
    assert_eq!(told, ["locked-out", "lifted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_refused_certificates_is_locked_out() {
    let dir = tempfile::tempdir().unwrap();
    let site = site_with(dir.path(), "lockout_failures = 3");
    site.pki.issue(Role::SecurityOfficer, "stranger").unwrap();
    let node = site.start();
    for _ in 0..3 {
        let refused = officer(&site, &node, "stranger").ask::<Value>("/v1/streams").await.unwrap_err();
        assert_eq!(code(&refused), "member.unknown");
    }
    let locked = officer(&site, &node, "security").ask::<Value>("/v1/streams").await.unwrap_err();
    assert_eq!(code(&locked), "officer.locked-out", "the address counts, whoever comes from it");
    let path = format!("/v1/members/{}/suspend", xinqiao_tests::site::PROVINCE);
    let reason = json!({"reason": "证书遗失"});
    let closed = officer(&site, &node, "security").tell::<Value>(&path, &reason).await;
    assert!(closed.is_ok(), "but it keeps nobody from closing someone out: {closed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_security_officer_left_readiness_asks_for_another() {
    use xinqiao_tests::site::{readiness, says};
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let node = site.start();
    assert!(!says(&readiness(node.local).await.1, "officers", "degraded"));
    let one = officer(&site, &node, "security");
    for other in ["security-2", "security-3"] {
        let path = format!("/v1/members/{other}/suspend");
        one.tell::<Value>(&path, &json!({"reason": "离岗"})).await.unwrap();
    }
    assert!(says(&readiness(node.local).await.1, "officers", "degraded"));
}
