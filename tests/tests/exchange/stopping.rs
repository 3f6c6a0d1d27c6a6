//! Told to stop, every listener does: none takes a connection any more, what is in flight on any is finished, and readiness
//! says so meanwhile.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use xinqiao::demo::federation::free_port;
use xinqiao_certs::Role;
use xinqiao_tests::city::{City, NDJSON, PENALTIES, fresh_key, ndjson, peer_of, penalty};
use xinqiao_tests::peer::Peer;
use xinqiao_tests::site::{get, readiness, says, until};

/// A city with all listeners: its own, that for old systems, the officers' and the local one.
fn city(dir: &std::path::Path, more: &str) -> (City, SocketAddr) {
    let port = free_port().expect("a port");
    let city = City::start_in(dir, 0, |pki| {
        pki.issue(Role::SecurityOfficer, "security").expect("certificates can be issued");
        format!(
            "[legacy]\nlisten = \"127.0.0.1:{port}\"\nmembers = [\"alpha\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n{more}\n\
             [[members]]\nname = \"security\"\nrole = \"security-officer\"\n"
        )
    });
    (city, ([127, 0, 0, 1], port).into())
}

/// A request of which the last byte is still to come.
struct Begun {
    line: TlsStream<TcpStream>,
    last: u8,
}

impl Begun {
    async fn post(peer: &Peer, path: &str, headers: &str, body: &[u8]) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        let (last, first) = body.split_last().expect("a body");
        let mut line = peer.open().await.expect("a connection");
        line.write_all(&[head.as_bytes(), first].concat()).await.expect("it can be sent");
        line.flush().await.expect("it can be sent");
        Self { line, last: *last }
    }

    async fn finish(mut self) -> String {
        self.line.write_all(&[self.last]).await.expect("the rest can be sent");
        self.line.flush().await.expect("the rest can be sent");
        let mut said = Vec::new();
        let _cut = self.line.read_to_end(&mut said).await;
        String::from_utf8_lossy(&said).into_owned()
    }
}

/// Waits until so many connections are with each listener.
async fn connected(local: SocketAddr, listeners: [&str; 3]) {
    until("every listener has its connection", || async {
        let metrics = get(local, "/metrics").await.1;
        listeners.iter().all(|name| {
            let line = format!("xinqiao_edge_connections{{listener=\"{name}\"}} ");
            metrics.lines().any(|l| l.strip_prefix(&line).is_some_and(|n| n != "0"))
        })
    })
    .await;
}

async fn begin_everywhere(city: &City, legacy: SocketAddr) -> Vec<Begun> {
    let admin = city.node.admin.expect("an officers' listener");
    let body = ndjson(&[penalty()]);
    let records = format!("{PENALTIES}?schema=xm-penalty");
    let headers = || format!("content-type: {NDJSON}\r\nidempotency-key: {}\r\n", fresh_key());
    let alpha = peer_of(&city.pki, "alpha", city.node.exchange);
    let old = peer_of(&city.pki, "alpha", legacy);
    let officer = peer_of(&city.pki, "security", admin);
    let begun = vec![
        Begun::post(&alpha, &records, &headers(), &body).await,
        Begun::post(&old, &records, &headers(), &ndjson(&[penalty()])).await,
        Begun::post(&officer, "/v1/proposals", "content-type: application/json\r\n", b"{\"acts\":1}").await,
    ];
    connected(city.node.local, ["exchange", "exchange-tls12", "admin"]).await;
    begun
}

#[tokio::test]
async fn told_to_stop_every_listener_finishes_what_it_has() {
    let dir = tempfile::tempdir().expect("a directory");
    let (city, legacy) = city(dir.path(), "");
    let begun = begin_everywhere(&city, legacy).await;
    let (exchange, admin, local) = (city.node.exchange, city.node.admin.expect("one"), city.node.local);
    let (status, report) = readiness(local).await;
    assert_eq!((status, says(&report, "stopping", "failing")), (200, false), "{report}");

    let node = city.node;
    let (began, stopping) = (Instant::now(), tokio::task::spawn_blocking(move || node.stop()));
    for (name, address) in [("exchange", exchange), ("exchange-tls12", legacy), ("admin", admin)] {
        until(name, || async { TcpStream::connect(address).await.is_err() }).await;
    }
    // All three requests are still open, so the node is still there, and says what it is about.
    let (status, report) = readiness(local).await;
    assert_eq!((status, says(&report, "stopping", "failing")), (503, true), "{report}");
    assert_eq!(get(local, "/healthz").await.0, 200);
    for (begun, expected) in begun.into_iter().zip(["201", "201", "400"]) {
        let said = begun.finish().await;
        assert!(said.starts_with(&format!("HTTP/1.1 {expected} ")), "{said}");
    }
    assert!(stopping.await.expect("no panic"), "it ends well");
    assert!(began.elapsed() < Duration::from_secs(20), "it does not wait for its deadline");
    assert!(TcpStream::connect(local).await.is_err());
}

#[tokio::test]
async fn what_hangs_on_any_listener_is_cut_at_the_one_deadline() {
    let dir = tempfile::tempdir().expect("a directory");
    let (city, legacy) = city(dir.path(), "[limits]\ndrain_ms = 300");
    let begun = begin_everywhere(&city, legacy).await;
    let (log, node) = (city.dir.join("city.log"), city.node);
    assert!(tokio::task::spawn_blocking(move || node.stop()).await.expect("no panic"), "it ends well");
    for Begun { mut line, .. } in begun {
        let mut said = Vec::new();
        let _cut = line.read_to_end(&mut said).await;
        assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }
    let log = std::fs::read_to_string(log).expect("the log is there");
    let drained = |line: &&str| line.contains("\"drained\"") && line.contains("\"aborted\":1");
    assert_eq!(log.lines().filter(drained).count(), 3, "one for each listener: {log}");
}
