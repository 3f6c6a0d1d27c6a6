//! `xinqiao admin`, as an officer types it.

use crate::office::{is_let_in, site};
use serde_json::Value;
use std::path::Path;
use xinqiao::demo::process::NodeProcess;
use xinqiao_certs::Role;
use xinqiao_tests::site::{DEPARTMENTS, Site};

/// Runs `xinqiao admin` as this officer.
pub(crate) fn admin(site: &Site, node: &NodeProcess, name: &str, line: &[&str]) -> (i32, String) {
    let profile = site.pki.profile(name, node.admin.unwrap());
    let path = |p: &Path| p.to_str().unwrap().to_owned();
    let (cert, key, ca) = (path(&profile.certificate), path(&profile.key), path(&profile.authorities));
    let mut all = vec!["admin"];
    all.extend(line);
    all.extend(["--gateway", &profile.gateway, "--cert", &cert, "--key", &key, "--ca", &ca]);
    site.run(&all.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_officers_enter_a_member_rotate_a_key_and_suspend_a_department() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    site.pki.issue(Role::Recipient, "neighbour").unwrap();
    let node = site.start();
    let ok = |name: &str, line: &[&str]| {
        let (exit, said) = admin(&site, &node, name, line);
        assert_eq!(exit, 0, "{line:?}: {said}");
        said
    };
    let file = dir.path().join("neighbour.toml");
    std::fs::write(
        &file,
        "[[members]]\nname = \"neighbour\"\nrole = \"recipient\"\ntitle = \"邻市信用办\"\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();

    let said = ok("security", &["members", "add", file, "--reason", "新增", "--dry-run"]);
    assert!(said.contains("仅预演") && said.contains("member-put neighbour"), "{said}");
    let said = ok("security", &["members", "add", file, "--reason", "新增"]);
    assert!(said.contains("待批准") && said.contains("proposals approve 1 --digest"), "{said}");
    let said = ok("auditor", &["proposals", "list", "--state", "open"]);
    assert!(said.contains("member-put neighbour") && said.contains("security"), "{said}");
    let shown: Value =
        serde_json::from_str(&ok("security-2", &["proposals", "show", "1", "--json"])).unwrap();
    let digest = shown["digest"].as_str().unwrap();
    let (exit, said) = admin(
        &site,
        &node,
        "security-2",
        &["proposals", "approve", "1", "--digest", "0123456789ab", "--reason", "x"],
    );
    assert_eq!(exit, 3, "{said}");
    assert!(said.contains("proposal.digest"), "{said}");
    let said =
        ok("security-2", &["proposals", "approve", "1", "--digest", &digest[..12], "--reason", "已核对"]);
    assert!(said.contains("enacted 已生效"), "{said}");
    assert_eq!(is_let_in(&site, &node, "neighbour").await, Ok(()));
    assert!(ok("auditor", &["members", "list"]).contains("邻市信用办"));

    let before = ok("system", &["keys", "status"]).lines().filter(|l| l.contains("manifest")).count();
    let said = ok("security", &["keys", "rotate", "manifest", "--now", "--reason", "年度轮换", "--json"]);
    let proposal: Value = serde_json::from_str(&said).unwrap();
    let digest = proposal["digest"].as_str().unwrap();
    let said = ok("security-3", &["proposals", "approve", "2", "--digest", digest, "--reason", "同意"]);
    assert!(said.contains("enacted 已生效"), "{said}");
    let after = ok("system", &["keys", "status"]).lines().filter(|l| l.contains("manifest")).count();
    assert_eq!(after, before + 1, "the key has a successor");

    let lines = |line: &[&str]| ok("auditor", line).lines().map(Into::into).collect::<Vec<String>>();
    let (all, newest) = (lines(&["log", "--from", "0", "--limit", "1000"]), lines(&["log", "--last", "2"]));
    assert_eq!(newest, all[all.len() - 2..], "the newest, in their order");
    assert_eq!(lines(&["log"]), all[all.len().saturating_sub(50)..]);

    let said = ok("security", &["members", "suspend", DEPARTMENTS[0], "--reason", "证书遗失"]);
    assert!(said.contains("已停用"), "{said}");
    assert_eq!(is_let_in(&site, &node, DEPARTMENTS[0]).await, Err("member.suspended".into()));
    let said = ok("system", &["status"]);
    assert!(said.contains("健康状态") && said.contains("待批提案"), "{said}");
    for line in [
        &["trust", "list"][..],
        &["policy", "list"],
        &["lockouts", "list"],
        &["certificates"],
        &["reload", "--dry-run"],
        &["reload"],
    ] {
        ok("system", line);
    }
    assert!(ok("auditor", &["log", "--last", "1000"]).contains("\"kind\":\"officer\""));
    let (exit, said) = admin(&site, &node, "auditor", &["members", "suspend", "neighbour", "--reason", "x"]);
    assert_eq!(exit, 3, "an auditor changes nothing: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_officers_key_may_be_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let node = site.start();
    let key = site.pki.profile("security", node.admin.unwrap()).key;
    let plain = std::fs::read_to_string(&key).unwrap();
    let sealed = xinqiao_certs::pki::seal_key(&plain, b"a passphrase of his own").unwrap();
    xinqiao_certs::pki::write_private(&key, sealed.as_bytes()).unwrap();
    let (exit, said) = admin(&site, &node, "security", &["members", "list"]);
    assert!(exit == 1 && said.contains("passphrase"), "{said}");
    let secret = dir.path().join("officer.pass");
    xinqiao_certs::pki::write_private(&secret, b"a passphrase of his own\n").unwrap();
    let line = ["members", "list", "--passphrase-file", secret.to_str().unwrap()];
    let (exit, said) = admin(&site, &node, "security", &line);
    assert_eq!(exit, 0, "{said}");
}
