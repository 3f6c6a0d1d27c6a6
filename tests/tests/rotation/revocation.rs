//! A revoked or suspended member is gone within two seconds, also from connections that were open.

use crate::{advice, advised, ask_on, gone, with_list, write_list};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xinqiao::demo::process::NodeProcess;
use xinqiao_certs::pki::{Authority, Validity, write_public};
use xinqiao_client::Client;
use xinqiao_explain::Explain;
use xinqiao_tests::city::peer_of;
use xinqiao_tests::site::{DEPARTMENTS, PATIENCE, PROVINCE, Site, hang_up, until};

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
    let stranger = Authority::create_root(
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

/// Serves one body to whoever asks, over plain HTTP, until the test ends.
async fn publish(body: Arc<Mutex<Vec<u8>>>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let body = body.lock().unwrap().clone();
            let mut request = [0u8; 2048];
            let _asked = stream.read(&mut request).await;
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _sent = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_fetched_if_its_authority_signed_it() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let stranger =
        Authority::create_root("A stranger", &["demo.example"], Validity::days(SystemTime::now(), 30));
    let foreign = stranger.unwrap().revocation_list(9, Validity::days(SystemTime::now(), 7), &[]).unwrap();
    let path = write_list(&site.pki, 1, &[DEPARTMENTS[0]]);
    let genuine = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let body = Arc::new(Mutex::new(foreign.into_bytes()));
    let address = publish(body.clone()).await;
    let fetched = format!(
        "[revocation]\nlists = [{{ file = {:?}, url = \"http://{address}/ca.crl\", refresh_minutes = 1 }}]\n",
        path.display().to_string()
    );
    site.configure(&fetched);
    let node = site.start();
    advised(&node, "not signed by an authority this node knows").await;
    assert!(!path.exists(), "a stranger's list replaces nothing");
    assert!(node.stop());
    // At the next start the genuine one is there.
    *body.lock().unwrap() = genuine.clone();
    let node = site.start();
    until("the list", || async { std::fs::read(&path).is_ok_and(|bytes| bytes == genuine) }).await;
    until("the revocation", || async {
        match peer_of(&site.pki, DEPARTMENTS[0], node.exchange).open().await {
            Ok(mut stream) => ask_on(&mut stream, "/v1/datasets").await.is_err(),
            Err(_) => true,
        }
    })
    .await;
    assert!(node.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_runs_out_is_spoken_of_before_and_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let path = site.pki.dir.join("ca.crl");
    let (hour, now) = (Duration::from_secs(3_600), SystemTime::now());
    let write = |number, start, length| {
        let list = site.pki.authority().revocation_list(number, Validity::from(start, length), &[]).unwrap();
        write_public(&path, list.as_bytes()).unwrap();
    };
    // Made twenty hours ago for a day: its last quarter has begun.
    write(1, now - 20 * hour, 24 * hour);
    site.configure(&with_list(&site));
    let node = site.start();
    advised(&node, "due within a day").await;
    write(2, now - 19 * hour, 18 * hour);
    advised(&node, "past its next update").await;
    let mut stream = peer_of(&site.pki, DEPARTMENTS[0], node.exchange).open().await.unwrap();
    ask_on(&mut stream, "/v1/datasets").await.expect("the policy only warns");
    // A policy that closes would lock out everyone who was seen: it is refused, and said.
    let strict = format!("{}stale = \"refuse\"\ngrace_hours = 0\n", with_list(&site));
    site.configure(&strict);
    hang_up(&node);
    advised(&node, "lock out").await;
    ask_on(&mut stream, "/v1/datasets").await.expect("nobody is locked out");
    // Files that are read well under the earlier configuration do not make the refusal forgotten.
    let taken = || {
        let log = std::fs::read_to_string(site.log()).unwrap();
        log.matches("certificates and members are as the files say").count()
    };
    let before = taken();
    write(2, now - 18 * hour, 17 * hour);
    until("the list", || async { taken() > before }).await;
    assert!(advice(node.local).await.contains("lock out"));
    // The clock: a list from the future is refused.
    site.configure(&with_list(&site));
    write(3, now + 48 * hour, 24 * hour);
    hang_up(&node);
    advised(&node, "check this machine's clock").await;
    write(4, now, 7 * 24 * hour);
    until("silence", || async { advice(node.local).await.is_empty() }).await;
    assert!(node.stop());
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(log.contains("crl.stale-soon") && log.contains("crl.not-yet-valid"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_authority_s_list_does_not_take_the_place_of_the_one_that_is_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let day = Validity::days(SystemTime::now(), 7);
    let other = Authority::create_root("Another", &["demo.example"], Validity::days(SystemTime::now(), 30));
    let other = other.unwrap();
    let anchor = site.pki.dir.join("other.crt");
    write_public(&anchor, other.root_pem().as_bytes()).unwrap();
    let path = write_list(&site.pki, 1, &[DEPARTMENTS[0]]);
    let genuine = std::fs::read(&path).unwrap();
    let body = Arc::new(Mutex::new(other.revocation_list(99, day, &[]).unwrap().into_bytes()));
    let address = publish(body.clone()).await;
    site.configure(&format!(
        "[[trust]]\nfile = {:?}\ndomains = [\"demo.example\"]\nroles = [\"department\"]\n\
         [revocation]\nlists = [{{ file = {:?}, url = \"http://{address}/ca.crl\", refresh_minutes = 1 }}]\n",
        anchor.display().to_string(),
        path.display().to_string()
    ));
    let node = site.start();
    advised(&node, "not about the same certificates").await;
    assert_eq!(std::fs::read(&path).unwrap(), genuine);
    let met = peer_of(&site.pki, DEPARTMENTS[0], node.exchange).open().await;
    if let Ok(mut stream) = met {
        assert!(ask_on(&mut stream, "/v1/datasets").await.is_err(), "still out");
    }
    assert!(node.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_in_a_list_s_place_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let path = write_list(&site.pki, 1, &[]);
    site.configure(&with_list(&site));
    let node = site.start();
    let mut kept = peer_of(&site.pki, DEPARTMENTS[0], node.exchange).open().await.unwrap();
    ask_on(&mut kept, "/v1/datasets").await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    advised(&node, "cannot be read (unsupported)").await;
    let begin = Instant::now();
    write_list(&site.pki, 2, &[DEPARTMENTS[0]]);
    let took = gone(&mut kept, begin).await;
    assert!(took < LIMIT, "{took:?}");
    assert!(node.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_authority_s_list_by_hand_lets_nobody_in_again() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let day = Validity::days(SystemTime::now(), 7);
    let other = Authority::create_root("Another", &["demo.example"], Validity::days(SystemTime::now(), 30));
    let other = other.unwrap();
    let anchor = site.pki.dir.join("other.crt");
    write_public(&anchor, other.root_pem().as_bytes()).unwrap();
    let path = write_list(&site.pki, 1, &[DEPARTMENTS[0]]);
    let trusted = format!(
        "[[trust]]\nfile = {:?}\ndomains = [\"demo.example\"]\nroles = [\"department\"]\n{}",
        anchor.display().to_string(),
        with_list(&site)
    );
    site.configure(&trusted);
    let node = site.start();
    until("silence", || async { advice(node.local).await.is_empty() }).await;
    let other_list = other.revocation_list(99, day, &[]).unwrap();
    let out = async |node: &NodeProcess| {
        let refused = site.client(DEPARTMENTS[0], node).datasets().await.unwrap_err();
        assert_eq!(refused.code(), "client.tls", "still out: {refused}");
        assert!(refused.english().contains("refused this client's certificate"), "{refused}");
        assert!(refused.chinese().contains("网关拒绝了本方证书"), "{refused}");
    };
    write_public(&path, other_list.as_bytes()).unwrap();
    advised(&node, "belongs here").await;
    out(&node).await;
    assert!(node.stop());
    // The node remembers over a restart whose list belongs there, and the list.
    let node = site.start();
    advised(&node, "under another file name").await;
    out(&node).await;
    // A later list of the right authority is taken.
    write_list(&site.pki, 2, &[]);
    until("silence", || async { advice(node.local).await.is_empty() }).await;
    let mut stream = peer_of(&site.pki, DEPARTMENTS[0], node.exchange).open().await.unwrap();
    ask_on(&mut stream, "/v1/datasets").await.unwrap();
    // One that nobody here knows, under a name of its own, is named.
    let stranger =
        Authority::create_root("A stranger", &["demo.example"], Validity::days(SystemTime::now(), 30));
    let foreign = stranger.unwrap().revocation_list(9, day, &[]).unwrap();
    let place = site.pki.dir.join("stranger.crl");
    write_public(&place, foreign.as_bytes()).unwrap();
    let (one, two) = (path.display().to_string(), place.display().to_string());
    let both = format!("{{ file = {one:?} }}, {{ file = {two:?} }}");
    site.configure(&trusted.replace(&format!("{{ file = {one:?} }}"), &both));
    hang_up(&node);
    advised(&node, "no trust anchor and no authority seen").await;
    assert!(node.stop());
    assert!(std::fs::read_to_string(site.log()).unwrap().contains("crl.wrong-issuer"));
}
