//! The configuration file beside the officers.

use crate::command::admin;
use crate::office::{approve, configuration, is_let_in, officer, shown, site_with};
use serde_json::Value;
use xinqiao_certs::Role;
use xinqiao_tests::site::{readiness, says, until};

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
async fn whoever_switches_four_eyes_off_is_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let site = site_with(dir.path(), "");
    let node = site.start();
    assert!(node.stop());
    site.configure(&configuration("four_eyes = false", &[]));
    let node = site.start();
    assert!(readiness(node.local).await.1.to_string().contains("is off since"));
    let (exit, log) = admin(&site, &node, "auditor", &["log", "--last", "1000"]);
    assert!(exit == 0 && log.contains("four-eyes off"), "{log}");
    assert!(node.stop());
    site.configure(&configuration("", &[]));
    let node = site.start();
    let (_, log) = admin(&site, &node, "auditor", &["log", "--last", "1000"]);
    assert_eq!(log.matches("four-eyes o").count(), 2, "{log}");
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
    assert!(says(&report, "single-officer", "ok") && report.to_string().contains("is off since"), "{report}");
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

#[tokio::test(flavor = "multi_thread")]
async fn the_file_closes_out_at_once_and_lets_nobody_in_again() {
    let dir = tempfile::tempdir().unwrap();
    let site = site_with(dir.path(), "");
    site.pki.issue(Role::Recipient, "neighbour").unwrap();
    let open = configuration("", &["neighbour"]);
    let line = "name = \"neighbour\"\n";
    let closed = open.replace(line, &format!("{line}suspended = true\n"));
    site.configure(&open);
    let node = site.start();
    assert_eq!(is_let_in(&site, &node, "neighbour").await, Ok(()));
    site.configure(&closed);
    let told = std::process::Command::new("kill").arg("-HUP").arg(node.id().to_string()).status().unwrap();
    assert!(told.success());
    until("the file closes", || async {
        is_let_in(&site, &node, "neighbour").await == Err("member.suspended".into())
    })
    .await;
    assert!(!says(&readiness(node.local).await.1, "configuration-file", "degraded"), "nothing waits");
    until("the log says who was closed out, and by what", || async {
        let (_, log) = admin(&site, &node, "auditor", &["log", "--last", "1000"]);
        let words = ["member-suspended", "neighbour", "configuration-file"];
        log.lines().any(|line| words.iter().all(|word| line.contains(word)))
    })
    .await;

    // Opening waits; so do another role and a new member, and an officer reads what it is about.
    let other = open.replace(line, &format!("{line}title = \"邻市\"\n"));
    site.configure(&format!("{other}[[members]]\nname = \"smuggled\"\nrole = \"recipient\"\n"));
    let (exit, said) = admin(&site, &node, "security", &["reload", "--dry-run"]);
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("would wait for two security officers"), "{said}");
    let (exit, said) = admin(&site, &node, "security", &["reload"]);
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("wait for two security officers in proposal 1"), "{said}");
    let (_, shown) = admin(&site, &node, "security-2", &["proposals", "show", "1"]);
    for said in [&said, &shown] {
        for words in [
            "member neighbour is let in again",
            "恢复成员 neighbour",
            "title was \"\", becomes \"邻市\"",
            "member smuggled is added (recipient)",
            "新增成员 smuggled",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
    let open: Value = officer(&site, &node, "security").ask("/v1/proposals/1").await.unwrap();
    let digest = open["acts"][0]["digest"].as_str().unwrap();
    let (exit, document) = admin(&site, &node, "auditor", &["document", digest]);
    assert!(exit == 0 && document.contains("smuggled"), "{document}");
    assert_eq!(is_let_in(&site, &node, "neighbour").await, Err("member.suspended".into()));
    for name in ["security", "security-2"] {
        approve(&officer(&site, &node, name), 1).await.unwrap();
    }
    assert_eq!(is_let_in(&site, &node, "neighbour").await, Ok(()));
    assert!(node.stop());
    let node = site.start();
    assert_eq!(is_let_in(&site, &node, "neighbour").await, Ok(()), "and stays in");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_does_not_close_out_the_second_pair_of_eyes() {
    let dir = tempfile::tempdir().unwrap();
    let site = site_with(dir.path(), "");
    let node = site.start();
    assert!(node.stop());
    let mut text = configuration("", &["smuggled"]);
    for name in ["security", "security-2", "security-3"] {
        let line = format!("name = \"{name}\"\n");
        text = text.replace(&line, &format!("{line}suspended = true\n"));
    }
    site.pki.issue(Role::Recipient, "smuggled").unwrap();
    site.configure(&text);
    let node = site.start();
    assert_eq!(is_let_in(&site, &node, "smuggled").await, Err("member.unknown".into()));
    let members: Value = officer(&site, &node, "auditor").ask("/v1/members").await.unwrap();
    let active = |m: &&Value| m["role"] == "security-officer" && m["suspended"] != true;
    assert_eq!(members["items"].as_array().unwrap().iter().filter(active).count(), 2);
}
