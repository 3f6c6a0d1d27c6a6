//! Several lists in one file and in several, old beside new, half written, missing: who is let in, and what is said of it.

use crate::{advice, advised, serial};
use std::path::Path;
use std::time::{Duration, SystemTime};
use xinqiao::demo::process::NodeProcess;
use xinqiao_certs::pki::{Authority, Reason, Revoked, Validity, write_public};
use xinqiao_tests::site::{DEPARTMENTS, Site, until};

const FIRED: &str = DEPARTMENTS[0];
const HEALTH: &str = DEPARTMENTS[1];
const DAY: Duration = Duration::from_secs(86_400);

/// A list of the site's authority, made so many days ago for a week.
fn list(site: &Site, number: u64, days_ago: u32, revoked: &[&str]) -> String {
    by(site.pki.authority(), site, number, days_ago, revoked)
}

fn by(authority: &Authority, site: &Site, number: u64, days_ago: u32, revoked: &[&str]) -> String {
    let made = SystemTime::now() - days_ago * DAY;
    let entry = |name: &&str| Revoked {
        serial: serial(&site.pki, name),
        time: made,
        reason: Reason::CessationOfOperation,
    };
    let revoked: Vec<Revoked> = revoked.iter().map(entry).collect();
    authority.revocation_list(number, Validity::from(made, 7 * DAY), &revoked).unwrap()
}

fn put(site: &Site, file: &str, text: &str) {
    write_public(&site.pki.dir.join(file), text.as_bytes()).unwrap();
}

/// A site whose configuration names these files of lists.
fn site(dir: &Path, files: &[&str], more: &str) -> Site {
    let site = Site::new(dir, "");
    let files: Vec<String> = files
        .iter()
        .map(|file| format!("{{ file = {:?} }}", site.pki.dir.join(file).display().to_string()))
        .collect();
    site.configure(&format!("[revocation]\nlists = [{}]\n{more}", files.join(", ")));
    site
}

async fn is_let_in(site: &Site, node: &NodeProcess, member: &str) -> bool {
    match site.client(member, node).datasets().await {
        Ok(_) => true,
        Err(refused) => {
            assert_eq!(refused.code(), "client.tls", "{refused}");
            false
        }
    }
}

async fn assert_let_in(site: &Site, node: &NodeProcess, expected: [bool; 2]) {
    let found = [is_let_in(site, node, FIRED).await, is_let_in(site, node, HEALTH).await];
    assert_eq!(found, expected, "{}", advice(node.local).await);
}

/// Who is let in now, and after the node has read the files once more.
async fn lets_in(site: &Site, node: &NodeProcess, file: &str, expected: [bool; 2]) {
    assert_let_in(site, node, expected).await;
    let taken = || log(site).matches("certificates and members are as the files say").count();
    let before = taken();
    let text = std::fs::read_to_string(site.pki.dir.join(file)).unwrap();
    put(site, file, &format!("read once more\n{text}"));
    until("another look", || async { taken() > before }).await;
    assert_let_in(site, node, expected).await;
}

fn log(site: &Site) -> String {
    std::fs::read_to_string(site.log()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_lists_in_one_file_the_newer_speaks() {
    for order in [[0, 1], [1, 0]] {
        let dir = tempfile::tempdir().unwrap();
        let site = site(dir.path(), &["ca.crl"], "");
        let lists = [list(&site, 1, 1, &[]), list(&site, 2, 0, &[FIRED])];
        put(&site, "ca.crl", &order.map(|at| lists[at].as_str()).concat());
        let node = site.start();
        lets_in(&site, &node, "ca.crl", [false, true]).await;
        assert_eq!(advice(node.local).await, "", "an old list beside a new one is no trouble");
        assert!(node.stop());
        let log = log(&site);
        assert_eq!(log.matches("crl.passed-over").count(), 1, "{log}");
        assert!(!log.contains("stays"), "{log}");
    }
}

/// What may stand in a list's place when a node starts for the first time, and who is refused for want of the list.
#[tokio::test(flavor = "multi_thread")]
async fn at_a_first_start_nobody_is_let_in_whom_the_missing_list_may_revoke() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path(), &["monday.crl", "tuesday.crl"], "");
    let (old, new) = (list(&site, 1, 1, &[]), list(&site, 2, 0, &[FIRED]));
    put(&site, "monday.crl", &old);
    let stranger = Authority::create_root(
        "Xinqiao demonstration",
        &["demo.example"],
        Validity::days(SystemTime::now(), 30),
    );
    let unsigned = by(&stranger.unwrap(), &site, 2, 0, &[]);
    let future =
        site.pki.authority().revocation_list(2, Validity::from(SystemTime::now() + DAY, DAY), &[]).unwrap();
    for (text, code) in [
        (None, "file.unreadable"),
        (Some(""), "crl.malformed"),
        (Some("nothing of the kind"), "crl.malformed"),
        (Some(&new[..new.len() / 2]), "crl.truncated"),
        (Some(&new[..40]), "crl.truncated"),
        (Some(&future), "crl.not-yet-valid"),
    ] {
        let _ = std::fs::remove_dir_all(site.data());
        let _ = std::fs::remove_file(site.pki.dir.join("tuesday.crl"));
        if let Some(text) = text {
            put(&site, "tuesday.crl", text);
        }
        let (code_of_check, said) =
            site.run(&["check".as_ref(), "--config".as_ref(), site.config().as_ref()]);
        assert!(code_of_check != 0 && said.contains(code) && said.contains("tuesday.crl"), "{said}");
        // Twice: what was refused at the first start is no memory by which the second lets in.
        for _ in 0..2 {
            let node = site.start();
            lets_in(&site, &node, "monday.crl", [false, false]).await;
            advised(&node, "tuesday.crl").await;
            let said = advice(node.local).await;
            assert!(said.contains("until a good list is in its place"), "{said}");
            assert!(!said.contains("stays"), "{said}");
            assert!(node.stop());
        }
        let log = log(&site);
        assert!(log.contains(code), "{code}: {log}");
        std::fs::remove_file(site.log()).unwrap();
    }
    // Put right, it is in force within a second, and the others are let in.
    let node = site.start();
    put(&site, "tuesday.crl", &new);
    until("the good list", || async { advice(node.local).await.is_empty() }).await;
    lets_in(&site, &node, "tuesday.crl", [false, true]).await;
    assert!(node.stop());
    // One that bears the authority's name and is by another key leaves in force what the authority signed.
    let _ = std::fs::remove_dir_all(site.data());
    put(&site, "tuesday.crl", &unsigned);
    put(&site, "monday.crl", &unsigned);
    let node = site.start();
    advised(&node, "not signed by it").await;
    lets_in(&site, &node, "monday.crl", [false, false]).await;
    assert!(node.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_arrives_half_takes_nothing_out_of_force() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path(), &["ca.crl"], "");
    let (first, second) = (list(&site, 1, 1, &[FIRED]), list(&site, 2, 0, &[FIRED]));
    put(&site, "ca.crl", &first);
    let node = site.start();
    lets_in(&site, &node, "ca.crl", [false, true]).await;
    for (text, words) in [
        (second[..second.len() / 2].to_owned(), "cut"),
        (format!("{first}{}", &second[..second.len() - 30]), "cut"),
        (String::new(), "not an X.509 revocation list"),
    ] {
        put(&site, "ca.crl", &text);
        advised(&node, words).await;
        let said = advice(node.local).await;
        assert!(said.contains("in force from this file") && said.contains("number 0x01"), "{said}");
        assert_let_in(&site, &node, [false, true]).await;
    }
    assert!(node.stop());
    // What was in force goes on over a restart, and without the file.
    std::fs::remove_file(site.pki.dir.join("ca.crl")).unwrap();
    let node = site.start();
    advised(&node, "cannot be read").await;
    assert_let_in(&site, &node, [false, true]).await;
    put(&site, "ca.crl", &list(&site, 3, 0, &[]));
    until("the good list", || async { is_let_in(&site, &node, FIRED).await }).await;
    assert_eq!(advice(node.local).await, "");
    // An older one does not bring anything back, and is named for what it is.
    put(&site, "ca.crl", &list(&site, 2, 0, &[HEALTH]));
    advised(&node, "older than the one in force").await;
    assert_let_in(&site, &node, [true, true]).await;
    assert!(node.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_list_beside_a_new_one_shuts_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path(), &["old.crl", "new.crl"], "stale = \"refuse\"\ngrace_hours = 0\n");
    put(&site, "old.crl", &list(&site, 1, 30, &[]));
    put(&site, "new.crl", &list(&site, 2, 0, &[FIRED]));
    let node = site.start();
    lets_in(&site, &node, "new.crl", [false, true]).await;
    assert_eq!(advice(node.local).await, "");
    assert!(node.stop());
    assert_eq!(log(&site).matches("crl.passed-over").count(), 1, "{}", log(&site));
}

/// Nobody can tell which of them the authority meant: whom either revokes is refused.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_lists_with_one_number_both_revoke() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path(), &["ca.crl"], "");
    put(&site, "ca.crl", &format!("{}{}", list(&site, 7, 1, &[FIRED]), list(&site, 7, 0, &[HEALTH])));
    let node = site.start();
    lets_in(&site, &node, "ca.crl", [false, false]).await;
    put(&site, "ca.crl", &list(&site, 8, 0, &[HEALTH]));
    until("the next number", || async { is_let_in(&site, &node, FIRED).await }).await;
    assert!(!is_let_in(&site, &node, HEALTH).await);
    assert!(node.stop());
}
