//! Anchors and members change: nobody is locked out by accident.

use crate::{advice, advised, ask_on, shown};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::SystemTime;
use xinqiao::demo::federation::{DOMAIN, Pki};
use xinqiao_certs::Role;
use xinqiao_certs::pki::{Authority, Request, Validity, write_public};
use xinqiao_tests::city::peer_of;
use xinqiao_tests::site::{DEPARTMENTS, PROVINCE, Site, hang_up, until};

fn authority(name: &str) -> Authority {
    Authority::create_root(name, &[DOMAIN], Validity::days(SystemTime::now(), 30)).unwrap()
}

fn issue(authority: &Authority, pki: &Pki, role: Role, name: &str) {
    let mut request = Request::new(role, DOMAIN, name, Validity::days(SystemTime::now(), 30));
    if role != Role::Department {
        request.ips = vec!["127.0.0.1".parse().unwrap()];
        request.dns = vec!["localhost".into()];
    }
    authority.issue(&request).unwrap().write_to(&pki.dir, name).unwrap();
}

/// Further lines that trust another authority.
fn trust(pki: &Pki, file: &str) -> String {
    let roles: Vec<String> = Role::ALL.iter().map(|role| format!("{:?}", role.as_str())).collect();
    let path = pki.dir.join(file).display().to_string();
    let mut text = String::new();
    writeln!(text, "[[trust]]\nfile = {path:?}\ndomains = [{DOMAIN:?}]\nroles = [{}]", roles.join(", "))
        .unwrap();
    text
}

async fn lets_in(pki: &Pki, member: &str, address: SocketAddr) -> bool {
    let Ok(mut stream) = peer_of(pki, member, address).open().await else { return false };
    ask_on(&mut stream, "/v1/datasets").await.is_ok_and(|head| head.starts_with("HTTP/1.1 200"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_a_member_was_seen_under_is_kept_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let other = authority("The department's own");
    write_public(&site.pki.dir.join("other.crt"), other.root_pem().as_bytes()).unwrap();
    issue(&other, &site.pki, Role::Department, DEPARTMENTS[1]);
    site.configure(&trust(&site.pki, "other.crt"));
    let node = site.start();
    assert!(lets_in(&site.pki, DEPARTMENTS[1], node.exchange).await);
    // The anchor is gone from the configuration.
    site.configure("");
    hang_up(&node);
    advised(&node, DEPARTMENTS[1]).await;
    assert!(advice(node.local).await.contains("lock out"), "what would happen is said");
    assert!(lets_in(&site.pki, DEPARTMENTS[1], node.exchange).await, "the last good set serves");
    site.configure(&trust(&site.pki, "other.crt"));
    hang_up(&node);
    until("silence", || async { advice(node.local).await.is_empty() }).await;
    assert!(node.stop());
    // What was seen is remembered.
    let node = site.start();
    site.configure("");
    hang_up(&node);
    advised(&node, DEPARTMENTS[1]).await;
    // Suspended on purpose, it is no obstacle, and it is out.
    let text = std::fs::read_to_string(site.config()).unwrap();
    let line = format!("name = {:?}\n", DEPARTMENTS[1]);
    assert!(text.contains(&line));
    let suspended =
        text.replace(&line, &format!("{line}suspended = true\n")) + &trust(&site.pki, "other.crt");
    std::fs::write(site.config(), suspended).unwrap();
    hang_up(&node);
    until("the suspension", || async { !lets_in(&site.pki, DEPARTMENTS[1], node.exchange).await }).await;
    let without = text.replace(&line, &format!("{line}suspended = true\n"));
    std::fs::write(site.config(), without).unwrap();
    hang_up(&node);
    until("silence", || async { advice(node.local).await.is_empty() }).await;
    assert!(lets_in(&site.pki, DEPARTMENTS[0], node.exchange).await);
    assert!(node.stop());
    let (code, said) = site.verify_log();
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_succeeded_by_overlapping_anchors() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let node = site.start();
    let old = std::fs::read(site.pki.dir.join("ca.crt")).unwrap();
    let everyone = [DEPARTMENTS[0], DEPARTMENTS[1]];
    for member in everyone {
        assert!(lets_in(&site.pki, member, node.exchange).await);
    }
    let next = authority("The next");
    let both = [old.as_slice(), next.root_pem().as_bytes()].concat();
    // Too early: members would not know this node under the new authority alone.
    let kept = std::fs::read(site.pki.dir.join("city.crt")).unwrap();
    let kept_key = std::fs::read(site.pki.dir.join("city.key")).unwrap();
    issue(&next, &site.pki, Role::Node, "city");
    advised(&node, "members would refuse").await;
    write_public(&site.pki.dir.join("city.key"), &kept_key).unwrap();
    write_public(&site.pki.dir.join("city.crt"), &kept).unwrap();
    until("silence", || async { advice(node.local).await.is_empty() }).await;
    // First both authorities, then everyone's certificates, then the old one goes.
    write_public(&site.pki.dir.join("ca.crt"), &both).unwrap();
    issue(&next, &site.pki, Role::Department, everyone[0]);
    until("the new authority", || async { lets_in(&site.pki, everyone[0], node.exchange).await }).await;
    issue(&next, &site.pki, Role::Node, "city");
    let wanted = crate::details(&site.pki, "city").sha256;
    until("the new certificate", || async {
        shown(&site.pki, everyone[0], node.exchange).await.as_ref() == Some(&wanted)
    })
    .await;
    write_public(&site.pki.dir.join("ca.crt"), next.root_pem().as_bytes()).unwrap();
    advised(&node, everyone[1]).await;
    let said = advice(node.local).await;
    assert!(!said.contains(everyone[0]), "who has moved on is not affected: {said}");
    write_public(&site.pki.dir.join("ca.crt"), &both).unwrap();
    until("silence", || async { advice(node.local).await.is_empty() }).await;
    issue(&next, &site.pki, Role::Department, everyone[1]);
    until("the other member", || async { lets_in(&site.pki, everyone[1], node.exchange).await }).await;
    // Nobody of the old authority asks meanwhile: who was seen is not locked out.
    let adopted = || std::fs::read_to_string(site.log()).unwrap().matches("as the files say").count();
    let before = adopted();
    write_public(&site.pki.dir.join("ca.crt"), next.root_pem().as_bytes()).unwrap();
    until("the old authority's end", || async { adopted() > before }).await;
    let refused = match peer_of(&site.pki, PROVINCE, node.exchange).open().await {
        Ok(mut stream) => ask_on(&mut stream, "/v1/streams").await.is_err(),
        Err(_) => true,
    };
    assert!(refused, "a certificate of the old authority is worth nothing now");
    assert_eq!(advice(node.local).await, "");
    for member in everyone {
        assert!(lets_in(&site.pki, member, node.exchange).await);
    }
    assert!(node.stop());
}
