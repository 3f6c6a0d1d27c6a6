//! Four eyes, the whole way: propose, approve, enact over sockets. Who decides what until when is tested on a node driven
//! by hand (`gateway/server/src/governance/tests.rs`).

use crate::office::{Officer, approve, code, enter, is_let_in, officer, shown, site, site_with};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::time::{Duration, Instant};
use xinqiao_certs::Role;
use xinqiao_tests::site::{DEPARTMENTS, until};

async fn propose(client: &Officer, body: &Value) -> Value {
    client.tell("/v1/proposals", body).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_enters_when_a_second_officer_approves_what_he_saw() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    site.pki.issue(Role::Recipient, "neighbour").unwrap();
    let node = site.start();
    let (one, two) = (officer(&site, &node, "security"), officer(&site, &node, "security-2"));
    assert_eq!(is_let_in(&site, &node, "neighbour").await, Err("member.unknown".into()));

    let dry: Value = one.tell("/v1/proposals?dry-run=1", &enter("neighbour")).await.unwrap();
    assert_eq!((&dry["needs"], &dry["what"][0]), (&json!(2), &json!("member-put neighbour")));
    assert!(one.ask::<Value>("/v1/proposals").await.unwrap()["items"].as_array().unwrap().is_empty());

    let proposal = propose(&one, &enter("neighbour")).await;
    let id = proposal["id"].as_u64().unwrap();
    assert_eq!((&proposal["state"], &proposal["state_zh"]), (&json!("open"), &json!("待批准")));
    assert_eq!(
        propose(&one, &enter("neighbour")).await["id"],
        json!(id),
        "the same wish is the same proposal"
    );
    assert_eq!(is_let_in(&site, &node, "neighbour").await, Err("member.unknown".into()));

    assert_eq!(code(&approve(&one, id).await.unwrap_err()), "proposal.own");
    let wrong = json!({"digest": "0".repeat(64), "reason": "x"});
    let refused = two.tell::<Value>(&format!("/v1/proposals/{id}/approve"), &wrong).await.unwrap_err();
    assert_eq!(code(&refused), "proposal.digest");

    let enacted = approve(&two, id).await.unwrap();
    assert_eq!(enacted["state"], "enacted", "{enacted}");
    assert_eq!(enacted["approvals"][0]["by"], "security-2");
    assert_eq!(is_let_in(&site, &node, "neighbour").await, Ok(()));
    assert_eq!(approve(&two, id).await.unwrap()["state"], "enacted", "saying it again changes nothing");
    let third = officer(&site, &node, "security-3");
    assert_eq!(code(&approve(&third, id).await.unwrap_err()), "proposal.closed");

    let auditor = officer(&site, &node, "auditor");
    let entries: Value = auditor.ask("/v1/log/entries?from=0&limit=1000").await.unwrap();
    let acts: Vec<(&str, &str)> = entries["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["entry"]["kind"] == "officer")
        .map(|e| (e["entry"]["what"].as_str().unwrap(), e["entry"]["by"].as_str().unwrap()))
        .collect();
    let wanted = [("proposed", "security"), ("approved", "security-2"), ("enacted", "security-2")];
    assert!(acts.ends_with(&wanted), "{acts:?}");
    let members: Vec<&Value> =
        entries["items"].as_array().unwrap().iter().filter(|e| e["entry"]["what"] == "member").collect();
    let digest = members[0]["entry"]["digest"]["sha-256"].as_str().unwrap();
    let kept: Value = auditor.ask(&format!("/v1/documents/{digest}")).await.unwrap();
    assert_eq!(kept["name"], "neighbour", "the act's document is kept under its digest");
    let paper: Value =
        auditor.ask(&format!("/v1/documents/{}", enacted["digest"].as_str().unwrap())).await.unwrap();
    assert_eq!(paper["acts"][0]["act"], "member-put");
    assert!(node.stop());
    assert_eq!(site.verify_log().0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_survives_a_kill_and_the_loss_of_the_queue_and_so_does_what_it_changed() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    site.pki.issue(Role::Recipient, "neighbour").unwrap();
    let node = site.start();
    let id = propose(&officer(&site, &node, "security"), &enter("neighbour")).await["id"].as_u64().unwrap();
    let before = shown(&officer(&site, &node, "auditor"), id).await;
    node.kill();
    std::fs::remove_dir_all(site.data().join("queue")).unwrap();
    let node = site.start();
    assert_eq!(shown(&officer(&site, &node, "auditor"), id).await, before);
    let enacted = approve(&officer(&site, &node, "security-2"), id).await.unwrap();
    assert_eq!(enacted["state"], "enacted", "{enacted}");
    node.kill();
    std::fs::remove_dir_all(site.data().join("queue")).unwrap();
    let node = site.start();
    assert_eq!(is_let_in(&site, &node, "neighbour").await, Ok(()));
    assert_eq!(shown(&officer(&site, &node, "auditor"), id).await, enacted);
}

#[tokio::test(flavor = "multi_thread")]
async fn acts_that_cannot_be_are_refused_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let site = site_with(dir.path(), "lockout_failures = 100");
    let node = site.start();
    let one = officer(&site, &node, "security");
    let act = |act: Value| json!({"acts": [act], "reason": "x"});
    let member = |m: Value| act(json!({"act": "member-put", "member": m}));
    for (body, wanted) in [
        (member(json!({"name": "Big", "role": "recipient"})), "proposal.acts"),
        (member(json!({"name": "a", "role": "king"})), "proposal.acts"),
        (member(json!({"name": "a", "role": "recipient", "colour": "red"})), "proposal.acts"),
        (member(json!({"name": "a", "role": "department"})), "proposal.acts"),
        (member(json!({"name": "security", "role": "security-officer"})), "officer.self"),
        (act(json!({"act": "member-remove", "name": "nobody"})), "proposal.idle"),
        (act(json!({"act": "member-resume", "name": "system"})), "proposal.idle"),
        (
            act(
                json!({"act": "anchor-put", "anchor": {"name": "x", "pem": "no", "domains": ["d"], "roles": ["node"]}}),
            ),
            "proposal.acts",
        ),
        (
            act(json!({"act": "policy-put", "id": "province-government", "document": "id = "})),
            "proposal.refused",
        ),
        (
            act(
                json!({"act": "policy-put", "id": "own/portal-public", "document": "id = \"own/portal-public\""}),
            ),
            "proposal.refused",
        ),
        (act(json!({"act": "anchor-remove", "digest": "AB".repeat(32)})), "proposal.idle"),
        (act(json!({"act": "adopt-files", "digest": "0".repeat(64)})), "proposal.acts"),
        (
            act(json!({"act": "policy-put", "id": "portal-public", "document": "#".repeat(300 << 10)})),
            "proposal.acts",
        ),
        (act(json!({"act": "make-tea"})), "body.malformed"),
        (json!({"acts": [], "reason": "x"}), "proposal.acts"),
        (json!({"acts": [], "reason": "x", "more": 1}), "body.malformed"),
        (json!({"acts": [{"act": "member-remove", "name": "system"}], "reason": ""}), "body.malformed"),
    ] {
        let refused = one.tell::<Value>("/v1/proposals", &body).await.unwrap_err();
        assert_eq!(code(&refused), wanted, "{body}");
    }
    let all: Value = one.ask("/v1/proposals").await.unwrap();
    assert!(all["items"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_members_open_connection_is_gone_within_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let node = site.start();
    let one = officer(&site, &node, "security");
    let client = site.client(DEPARTMENTS[0], &node);
    let mut waiting = tokio::spawn(async move { client.feedback(0, Duration::from_secs(30)).await });
    until("it waits", || async { is_let_in(&site, &node, DEPARTMENTS[0]).await == Err("role.wrong".into()) })
        .await;
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut waiting).await.is_err(), "a long poll");
    let began = Instant::now();
    let path = format!("/v1/members/{}/suspend", DEPARTMENTS[0]);
    let why = json!({"reason": "证书遗失"});
    let done: Value = one.tell(&path, &why).await.unwrap();
    assert_eq!(done["proposal"]["state"], "enacted", "one officer closes: {done}");
    assert!(waiting.await.unwrap().is_err(), "the open connection was cut");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(is_let_in(&site, &node, DEPARTMENTS[0]).await, Err("member.suspended".into()));
    let again: Value = one.tell(&path, &why).await.unwrap();
    assert_eq!((&again["suspended"], &again["proposal"]), (&json!(true), &Value::Null));

    let resume =
        json!({"acts": [{"act": "member-resume", "name": DEPARTMENTS[0]}], "reason": "新证书已签发"});
    let id = propose(&one, &resume).await["id"].as_u64().unwrap();
    assert_eq!(
        is_let_in(&site, &node, DEPARTMENTS[0]).await,
        Err("member.suspended".into()),
        "opening takes two"
    );
    approve(&officer(&site, &node, "security-2"), id).await.unwrap();
    assert_eq!(is_let_in(&site, &node, DEPARTMENTS[0]).await, Err("role.wrong".into()), "let in again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_changes_while_the_node_runs_and_stays_changed() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let node = site.start();
    let (one, two) = (officer(&site, &node, "security"), officer(&site, &node, "security-2"));
    let policies =
        |client: Officer| async move { client.ask::<Value>("/v1/policies").await.unwrap()["items"].clone() };
    let of = |all: &Value, id: &str| all.as_array().unwrap().iter().find(|p| p["id"] == id).unwrap().clone();
    let before = of(&policies(officer(&site, &node, "auditor")).await, "portal-public");
    assert_eq!(before["from"], "catalogue");
    let text = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../schemas/catalogue/policies/portal-public.toml"),
    )
    .unwrap();
    let changed = format!("{text}\n# reviewed\n");
    let body = json!({"acts": [{"act": "policy-put", "id": "portal-public", "document": changed}], "reason": "年度复核"});
    let id = propose(&one, &body).await["id"].as_u64().unwrap();
    assert_eq!(approve(&two, id).await.unwrap()["state"], "enacted");
    let after = of(&policies(officer(&site, &node, "auditor")).await, "portal-public");
    assert_eq!(after["from"], "officers");
    assert_ne!(after["digest"], before["digest"]);
    assert!(node.stop());
    let node = site.start();
    assert_eq!(of(&policies(officer(&site, &node, "auditor")).await, "portal-public"), after);
    assert!(node.stop());
    let log = site.data().join("log");
    let (_, said) = site.run(&[OsStr::new("log"), OsStr::new("show"), log.as_os_str()]);
    assert!(
        said.contains("\"what\":\"policy\"") && said.contains("security, security-2"),
        "both names stand in the log"
    );
}
