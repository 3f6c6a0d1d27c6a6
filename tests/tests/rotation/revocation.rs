//! A revoked or suspended member is gone within two seconds, also from connections that were open.

use crate::{advice, advised, ask_on, gone, hang_up, until, with_list, write_list};
use std::time::{Duration, Instant, SystemTime};
use xinqiao_certs::pki::{Validity, write_public};
use xinqiao_client::Client;
use xinqiao_tests::city::peer_of;
use xinqiao_tests::site::{DEPARTMENTS, PATIENCE, PROVINCE, Site};

const LIMIT: Duration = Duration::from_secs(2);

/// A long poll over HTTP/2; how long after `since` it was cut.
async fn cut(client: Client, since: Instant) -> Duration {
    let asked = client.batches("province.administrative-penalty", 0, 1, Duration::from_secs(60)).await;
    assert!(asked.is_err(), "the connection was to be cut");
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_member_is_gone_within_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    write_list(&site.pki, 1, &[]);
    site.configure(&with_list(&site));
    let node = site.start();
    let mut kept = peer_of(&site.pki, DEPARTMENTS[0], node.exchange).open().await.unwrap();
    ask_on(&mut kept, "/v1/datasets").await.unwrap();
    let mut other = peer_of(&site.pki, DEPARTMENTS[1], node.exchange).open().await.unwrap();
    ask_on(&mut other, "/v1/datasets").await.unwrap();
    let client = site.client(PROVINCE, &node);
    client.streams().await.unwrap();
    let begin = Instant::now();
    let poll = tokio::spawn(cut(client, begin));
    write_list(&site.pki, 2, &[DEPARTMENTS[0], PROVINCE]);
    let h1 = gone(&mut kept, begin).await;
    let h2 = tokio::time::timeout(PATIENCE, poll).await.unwrap().unwrap();
    println!("revoked by a list: HTTP/1.1 {h1:?}, HTTP/2 {h2:?}");
    assert!(h1 < LIMIT && h2 < LIMIT, "{h1:?} {h2:?}");
    for revoked in [DEPARTMENTS[0], PROVINCE] {
        let met = peer_of(&site.pki, revoked, node.exchange).open().await;
        if let Ok(mut stream) = met {
            assert!(ask_on(&mut stream, "/v1/datasets").await.is_err(), "{revoked} is out");
        }
    }
    ask_on(&mut other, "/v1/datasets").await.unwrap();
    assert_eq!(advice(node.local).await, "", "an intended loss is no trouble");
    // An older list does not let it in again, nor does a broken one or one by somebody else.
    write_list(&site.pki, 1, &[]);
    let path = site.pki.dir.join("ca.crl");
    let stranger = xinqiao_certs::pki::Authority::create_root(
        "Xinqiao demonstration",
        &["demo.example"],
        Validity::days(SystemTime::now(), 30),
    )
    .unwrap();
    let foreign = stranger.revocation_list(3, Validity::days(SystemTime::now(), 7), &[]).unwrap();
    for (text, words) in
        [("-----BEGIN X509 CRL-----\nAAAA", "revocation list"), (&foreign, "not signed by it")]
    {
        write_public(&path, text.as_bytes()).unwrap();
        advised(&node, words).await;
        let met = peer_of(&site.pki, DEPARTMENTS[0], node.exchange).open().await;
        if let Ok(mut stream) = met {
            assert!(ask_on(&mut stream, "/v1/datasets").await.is_err(), "still out");
        }
    }
    assert!(node.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_member_is_gone_within_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let node = site.start();
    let mut kept = peer_of(&site.pki, DEPARTMENTS[0], node.exchange).open().await.unwrap();
    ask_on(&mut kept, "/v1/datasets").await.unwrap();
    let text = std::fs::read_to_string(site.config()).unwrap();
    let line = format!("name = {:?}\n", DEPARTMENTS[0]);
    let text = text.replace(&line, &format!("{line}suspended = true\n"));
    std::fs::write(site.config(), &text).unwrap();
    // A certificate that is being replaced badly must not hold a suspension up.
    std::fs::write(site.pki.dir.join("city.crt"), "half").unwrap();
    let begin = Instant::now();
    hang_up(&node);
    let took = gone(&mut kept, begin).await;
    println!("suspended by SIGHUP: {took:?}");
    assert!(took < LIMIT, "{took:?}");
    let peer = peer_of(&site.pki, DEPARTMENTS[0], node.exchange);
    let mut again = peer.open().await.unwrap();
    let head = ask_on(&mut again, "/v1/datasets").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    until("the broken file is named", || async { advice(node.local).await.contains("city.crt") }).await;
    assert!(node.stop());
}
