//! Four eyes: propose, approve, enact, and everything in between.

use crate::office::{approve, code, enter, is_let_in, officer, shown, site, site_with};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::time::{Duration, Instant};
use xinqiao_certs::Role;
use xinqiao_client::Client;
use xinqiao_tests::site::{DEPARTMENTS, until};

async fn propose(client: &Client, body: &Value) -> Value {
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
async fn nobody_approves_late_or_what_was_rejected_or_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let site = site_with(dir.path(), "proposal_hours = 0");
    let node = site.start();
    let (one, two) = (officer(&site, &node, "security"), officer(&site, &node, "security-2"));
    let id = propose(&one, &enter("late")).await["id"].as_u64().unwrap();
    until("it expires", || async { shown(&one, id).await["state"] == "expired" }).await;
    assert_eq!(code(&approve(&two, id).await.unwrap_err()), "proposal.closed");
    drop(node);

    let dir = tempfile::tempdir().unwrap();
    let site = crate::office::site(dir.path());
    let node = site.start();
    let (one, two) = (officer(&site, &node, "security"), officer(&site, &node, "security-2"));
    let why = json!({"reason": "不同意"});
    let id = propose(&one, &enter("a")).await["id"].as_u64().unwrap();
    let path = |id: u64, what: &str| format!("/v1/proposals/{id}/{what}");
    assert_eq!(code(&two.tell::<Value>(&path(id, "withdraw"), &why).await.unwrap_err()), "proposal.not-own");
    let rejected: Value = two.tell(&path(id, "reject"), &why).await.unwrap();
    assert_eq!((&rejected["state"], &rejected["end"]["by"]), (&json!("rejected"), &json!("security-2")));
    assert_eq!(two.tell::<Value>(&path(id, "reject"), &why).await.unwrap(), rejected);
    assert_eq!(
        code(&approve(&officer(&site, &node, "security-3"), id).await.unwrap_err()),
        "proposal.closed"
    );
    let id = propose(&one, &enter("b")).await["id"].as_u64().unwrap();
    let taken: Value = one.tell(&path(id, "withdraw"), &why).await.unwrap();
    assert_eq!(taken["state"], "withdrawn");
    let open: Value = one.ask("/v1/proposals?state=open").await.unwrap();
    assert!(open["items"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_holds_while_what_it_touches_stays_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let node = site.start();
    let (one, two) = (officer(&site, &node, "security"), officer(&site, &node, "security-2"));
    let titled = |name: &str, title: &str| json!({"acts": [{"act": "member-put", "member": {"name": name, "role": "recipient", "title": title}}], "reason": "x"});
    let first = propose(&one, &titled("a", "甲")).await["id"].as_u64().unwrap();
    let second = propose(&one, &titled("a", "乙")).await["id"].as_u64().unwrap();
    let other = propose(&one, &titled("b", "丙")).await["id"].as_u64().unwrap();
    assert_eq!(approve(&two, first).await.unwrap()["state"], "enacted");
    assert_eq!(code(&approve(&two, second).await.unwrap_err()), "proposal.outdated");
    assert_eq!(approve(&two, other).await.unwrap()["state"], "enacted", "it touches something else");
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
        |client: Client| async move { client.ask::<Value>("/v1/policies").await.unwrap()["items"].clone() };
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

#[tokio::test(flavor = "multi_thread")]
async fn what_an_officer_proposed_counts_no_longer_once_he_is_suspended() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let node = site.start();
    let (one, two) = (officer(&site, &node, "security"), officer(&site, &node, "security-2"));
    let id = propose(&officer(&site, &node, "security-3"), &enter("smuggled")).await["id"].as_u64().unwrap();
    let why = json!({"reason": "证书被盗"});
    let done: Value = one.tell("/v1/members/security-3/suspend", &why).await.unwrap();
    assert_eq!(done["proposal"]["state"], "enacted", "{done}");
    assert_eq!(code(&approve(&two, id).await.unwrap_err()), "proposal.outdated");
    assert_eq!(shown(&two, id).await["state"], "open");
    let rejected: Value = two.tell(&format!("/v1/proposals/{id}/reject"), &why).await.unwrap();
    assert_eq!(rejected["state"], "rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_entry_of_a_member_the_file_suspends_does_not_let_it_in() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    site.pki.issue(Role::Recipient, "closed").unwrap();
    let text = std::fs::read_to_string(site.config()).unwrap();
    let entry = "[[members]]\nname = \"closed\"\nrole = \"recipient\"\nsuspended = true\n";
    std::fs::write(site.config(), format!("{text}\n{entry}")).unwrap();
    let node = site.start();
    let (one, two) = (officer(&site, &node, "security"), officer(&site, &node, "security-2"));
    assert_eq!(is_let_in(&site, &node, "closed").await, Err("member.suspended".into()));
    let id = propose(&one, &enter("closed")).await["id"].as_u64().unwrap();
    assert_eq!(approve(&two, id).await.unwrap()["state"], "enacted");
    assert_eq!(
        is_let_in(&site, &node, "closed").await,
        Err("member.suspended".into()),
        "that is another act"
    );
    let resume = json!({"acts": [{"act": "member-resume", "name": "closed"}], "reason": "已核实"});
    let id = propose(&one, &resume).await["id"].as_u64().unwrap();
    assert_eq!(approve(&two, id).await.unwrap()["state"], "enacted");
    assert_eq!(is_let_in(&site, &node, "closed").await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_may_wait_and_closing_out_waits_for_none_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let node = site.start();
    let one = officer(&site, &node, "security");
    let mut wish = enter("neighbour");
    for n in 0..32 {
        wish["reason"] = json!(format!("第 {n} 次"));
        assert_eq!(propose(&one, &wish).await["state"], "open");
    }
    wish["reason"] = json!("再一次");
    let refused = one.tell::<Value>("/v1/proposals", &wish).await.unwrap_err();
    assert_eq!(code(&refused), "proposal.too-many");
    let closed: Value = one
        .tell(&format!("/v1/members/{}/suspend", DEPARTMENTS[0]), &json!({"reason": "立即"}))
        .await
        .unwrap();
    assert_eq!(closed["suspended"], true, "{closed}");
    let taken_back: Value = one.tell("/v1/proposals/1/withdraw", &json!({"reason": "多余"})).await.unwrap();
    assert_eq!(taken_back["state"], "withdrawn", "{taken_back}");
    assert_eq!(propose(&one, &wish).await["state"], "open");
    assert!(node.stop());
}
