//! The configuration file beside the officers.

use crate::office::{approve, configuration, is_let_in, officer, shown, site_with};
use serde_json::Value;
use xinqiao_certs::Role;
use xinqiao_tests::site::{readiness, says};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_file_changes_waits_for_two_officers() {
    let dir = tempfile::tempdir().unwrap();
    let site = site_with(dir.path(), "");
    site.pki.issue(Role::Recipient, "smuggled").unwrap();
    let node = site.start();
    assert!(node.stop());
    site.configure(&configuration("", &["smuggled"]));
    let node = site.start();
    assert_eq!(is_let_in(&site, &node, "smuggled").await, Err("member.unknown".into()));
    let (status, report) = readiness(node.local).await;
    assert_eq!(status, 200);
    assert!(says(&report, "configuration-file", "degraded"), "{report}");

    let one = officer(&site, &node, "security");
    let open: Value = one.ask("/v1/proposals?state=open").await.unwrap();
    let id = open["items"][0]["id"].as_u64().unwrap();
    assert_eq!(open["items"][0]["by"], "configuration-file");
    assert_eq!(approve(&one, id).await.unwrap()["state"], "open", "the file's author counts as nobody");
    assert_eq!(is_let_in(&site, &node, "smuggled").await, Err("member.unknown".into()));
    let enacted = approve(&officer(&site, &node, "security-2"), id).await.unwrap();
    assert_eq!(enacted["state"], "enacted", "{enacted}");
    assert_eq!(is_let_in(&site, &node, "smuggled").await, Ok(()));
    assert!(!says(&readiness(node.local).await.1, "configuration-file", "degraded"));
    assert!(node.stop());
    let node = site.start();
    assert_eq!(is_let_in(&site, &node, "smuggled").await, Ok(()));
    assert!(!says(&readiness(node.local).await.1, "configuration-file", "degraded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_put_back_takes_its_proposal_back() {
    let dir = tempfile::tempdir().unwrap();
    let site = site_with(dir.path(), "");
    let node = site.start();
    assert!(node.stop());
    site.configure(&configuration("", &["smuggled"]));
    let node = site.start();
    assert!(says(&readiness(node.local).await.1, "configuration-file", "degraded"));
    assert!(node.stop());
    site.configure(&configuration("", &[]));
    let node = site.start();
    assert!(!says(&readiness(node.local).await.1, "configuration-file", "degraded"));
    assert_eq!(shown(&officer(&site, &node, "auditor"), 1).await["state"], "withdrawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_officer_decides_alone_and_readiness_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let site = site_with(dir.path(), "four_eyes = false");
    for name in ["smuggled", "neighbour"] {
        site.pki.issue(Role::Recipient, name).unwrap();
    }
    let node = site.start();
    let (status, report) = readiness(node.local).await;
    assert_eq!((status, &report["status"]), (200, &serde_json::json!("ok")));
    assert!(says(&report, "single-officer", "ok"), "{report}");
    let one = officer(&site, &node, "security");
    let enacted: Value = one.tell("/v1/proposals", &crate::office::enter("neighbour")).await.unwrap();
    assert_eq!(enacted["state"], "enacted");
    assert_eq!(is_let_in(&site, &node, "neighbour").await, Ok(()));
    assert!(node.stop());
    site.configure(&configuration("four_eyes = false", &["smuggled"]));
    let node = site.start();
    assert_eq!(is_let_in(&site, &node, "smuggled").await, Ok(()), "the file applies at once");
    assert_eq!(is_let_in(&site, &node, "neighbour").await, Ok(()), "and what the officer decided stays");
}
