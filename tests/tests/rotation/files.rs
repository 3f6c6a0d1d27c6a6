//! The node's own certificate changes by its files.

use crate::{advice, advised, ask_on, details, shown};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio_rustls::rustls::HandshakeKind;
use xinqiao_certs::Role;
use xinqiao_certs::pki::{Request, Validity, write_public};
use xinqiao_tests::city::peer_of;
use xinqiao_tests::site::{DEPARTMENTS, PROVINCE, Site, hang_up, readiness, until};

/// Writes a file in place, as careless tools do: not by a rename.
fn scribble(path: &std::path::Path, text: &[u8]) {
    std::fs::write(path, text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_certificate_goes_live_without_a_failed_request() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let node = site.start();
    let address = node.exchange;
    // Kept connections, HTTP/2 and HTTP/1.1, asking all the time; nothing is tried again.
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let client = site.client(PROVINCE, &node);
    let h2 = tokio::spawn({
        let (stop, asked) = (stop.clone(), asked.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                client.streams().await.unwrap();
                asked.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let peer = peer_of(&site.pki, DEPARTMENTS[0], address);
    let h1 = tokio::spawn({
        let (stop, asked) = (stop.clone(), asked.clone());
        async move {
            let (mut stream, mut connections) = (peer.open().await.unwrap(), 1);
            while !stop.load(Ordering::Relaxed) {
                let head = ask_on(&mut stream, "/v1/datasets").await.unwrap();
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                asked.fetch_add(1, Ordering::Relaxed);
                if head.contains("connection: close") {
                    stream = peer.open().await.unwrap();
                    connections += 1;
                }
            }
            connections
        }
    });
    for round in 0..3 {
        let before = asked.load(Ordering::Relaxed);
        until("requests under way", || async { asked.load(Ordering::Relaxed) > before + 20 }).await;
        site.pki.issue(Role::Node, "city").unwrap();
        let wanted = Some(details(&site.pki, "city").sha256);
        let took = until("the new certificate", || async {
            shown(&site.pki, DEPARTMENTS[1], address).await == wanted
        })
        .await;
        println!("round {round}: live after {took:?}");
    }
    let before = asked.load(Ordering::Relaxed);
    until("requests afterwards", || async { asked.load(Ordering::Relaxed) > before + 20 }).await;
    stop.store(true, Ordering::Relaxed);
    h2.await.unwrap();
    assert!(h1.await.unwrap() >= 4, "kept connections made room after each change");
    assert_eq!(advice(node.local).await, "");
    assert!(node.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_or_broken_pair_never_goes_live_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let node = site.start();
    let path = |end: &str| site.pki.dir.join(format!("city.{end}"));
    let first = details(&site.pki, "city").sha256;
    let still = || async {
        assert_eq!(shown(&site.pki, PROVINCE, node.exchange).await, Some(first.clone()));
    };
    let mut request = Request::new(Role::Node, "demo.example", "city", Validity::days(SystemTime::now(), 30));
    request.ips = vec!["127.0.0.1".parse().unwrap()];
    request.dns = vec!["localhost".into()];
    let next = site.pki.authority().issue(&request).unwrap();
    let (old_chain, old_key) = (std::fs::read(path("crt")).unwrap(), std::fs::read(path("key")).unwrap());
    // Half of the pair: the key of another certificate.
    let begin = Instant::now();
    scribble(&path("crt"), next.chain_pem().as_bytes());
    advised(&node, "private key does not belong").await;
    assert!(begin.elapsed() > Duration::from_secs(3), "a pair being written is given time");
    assert_eq!(readiness(node.local).await.0, 200, "the node serves on");
    still().await;
    // Cut short, not PEM, and an authority's own certificate with a key that fits nothing.
    for (text, words) in [
        (&next.chain_pem().as_bytes()[..200], "PEM"),
        (&b"\x30\x82garbage"[..], "PEM"),
        (site.pki.authority().root_pem().as_bytes(), "private key does not belong"),
    ] {
        scribble(&path("crt"), text);
        advised(&node, words).await;
        still().await;
    }
    // Not for the names members dial, and not valid yet: the clock is suspected.
    for (change, words) in [(0, "is not for"), (1, "clock")] {
        let mut odd = Request::new(Role::Node, "demo.example", "city", Validity::days(SystemTime::now(), 30));
        odd.ips = request.ips.clone();
        odd.dns = vec!["localhost".into()];
        match change {
            0 => odd.dns = vec!["elsewhere.demo.example".into()],
            _ => odd.validity = Validity::days(SystemTime::now() + Duration::from_secs(7 * 86_400), 30),
        }
        site.pki.authority().issue(&odd).unwrap().write_to(&site.pki.dir, "city").unwrap();
        advised(&node, words).await;
        still().await;
    }
    // Put right: silence again, and the new certificate.
    write_public(&path("crt"), &old_chain).unwrap();
    scribble(&path("key"), &old_key);
    until("silence", || async { advice(node.local).await.is_empty() }).await;
    still().await;
    next.write_to(&site.pki.dir, "city").unwrap();
    let wanted = Some(details(&site.pki, "city").sha256);
    until("the new pair", || async { shown(&site.pki, PROVINCE, node.exchange).await == wanted }).await;
    assert!(node.stop());
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(log.contains("identity.key-mismatch") && log.contains("identity.names-lost"), "{log}");
    assert!(log.contains("原有配置继续生效"), "officers are told in Chinese too");
    assert!(!log.contains("PRIVATE KEY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_die_with_the_certificate_they_were_issued_under() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let node = site.start();
    let peer = peer_of(&site.pki, DEPARTMENTS[0], node.exchange);
    let meet = || async {
        let mut stream = peer.open().await.unwrap();
        let head = ask_on(&mut stream, "/v1/datasets").await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        stream.get_ref().1.handshake_kind()
    };
    assert_eq!(meet().await, Some(HandshakeKind::Full));
    assert_eq!(meet().await, Some(HandshakeKind::Resumed));
    site.pki.issue(Role::Node, "city").unwrap();
    let wanted = Some(details(&site.pki, "city").sha256);
    until("the new certificate", || async { shown(&site.pki, PROVINCE, node.exchange).await == wanted })
        .await;
    assert_eq!(meet().await, Some(HandshakeKind::Full), "the old ticket is worth nothing");
    assert_eq!(meet().await, Some(HandshakeKind::Resumed));
    hang_up(&node);
    assert!(node.stop());
}
