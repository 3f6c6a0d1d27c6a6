//! Who is let in, who is told why not, and who only gets a TLS alert.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use xinqiao_certs::tls;
use xinqiao_edge::Deadlines;

use crate::site::{Pki, Plan, Site, members, within};
use crate::wire::Wire;

#[tokio::test]
async fn a_member_is_known_by_its_certificate_on_every_request() {
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    for size in [0, 1, 100_000] {
        let answer = wire.post("/records", "", &vec![b'r'; size]).await;
        assert_eq!((answer.status, answer.text()), (200, format!("dept-a sent {size} bytes")));
    }
    assert_eq!(site.requests(), 3);
}

#[tokio::test]
async fn an_unknown_or_suspended_member_reads_why_in_two_languages() {
    let site = Site::start(Plan::default()).await;
    for (name, code) in [("stranger", "member.unknown"), ("suspended", "member.suspended")] {
        let mut wire = Wire::open(&site, name).await;
        let answer = wire.get("/v1/datasets").await;
        assert_eq!((answer.status, answer.code()), (403, code.into()));
        let document = answer.json();
        assert!(!document["title"].as_str().unwrap().is_empty());
        assert!(!document["detail_zh"].as_str().unwrap().is_ascii());
        assert_eq!(document["trace"].as_str().unwrap().len(), 32);
        assert_eq!(answer.header("content-type").unwrap(), "application/problem+json; charset=utf-8");
        wire.closed().await;
    }
    assert_eq!(site.requests(), 0, "the handler never saw them");
    site.metric("xinqiao_http_problems_total{code=\"member.unknown\"} 1").await;
}

#[tokio::test]
async fn a_refusal_is_readable_while_the_body_still_comes() {
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "stranger").await;
    let head = format!("POST /records HTTP/1.1\r\nhost: n\r\ncontent-length: {}\r\n\r\n", 3 << 20);
    // The node may stop taking bytes at any point, but what it said first must arrive.
    let _stopped = wire.try_send([head.as_bytes(), &vec![b'x'; 3 << 20]].concat()).await;
    assert_eq!(wire.answer().await.code(), "member.unknown");
}

#[tokio::test]
async fn no_certificate_gets_an_alert() {
    let site = Site::start(Plan::default()).await;
    let with = site.pki.client("dept-a", b"http/1.1");
    let mut without = (*with).clone();
    without.client_auth_cert_resolver = Arc::new(NoCertificate);
    let said = first_words(&site, Arc::new(without)).await;
    assert!(said.contains("CertificateRequired"), "{said}");
    site.metric("xinqiao_edge_handshakes_failed_total{listener=\"exchange\",reason=\"no-certificate\"} 1")
        .await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_gets_an_alert() {
    let site = Site::start(Plan::default()).await;
    let foreign = Pki::new().identity(xinqiao_certs::Role::Department, "dept-a");
    let said = first_words(&site, tls::client_config(&foreign, &site.pki.trust)).await;
    assert!(said.contains("AlertReceived"), "{said}");
    site.metric("xinqiao_edge_handshakes_failed_total{listener=\"exchange\",reason=\"certificate\"} 1").await;
    assert_eq!(site.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_arrives_though_requests_were_under_way() {
    let site = Site::start(Plan::default()).await;
    let foreign = Pki::new().identity(xinqiao_certs::Role::Department, "dept-a");
    let config = tls::client_config(&foreign, &site.pki.trust);
    for _ in 0..20 {
        let mut wire = Wire::connect(site.address, config.clone()).await.unwrap();
        let _cut_short = wire.try_send(vec![b'x'; 256 * 1024]).await;
        let error = within(wire.stream.read(&mut [0; 1])).await.expect_err("an alert");
        assert!(format!("{error:?}").contains("AlertReceived"), "{error:?}");
        let (tcp, _) = wire.stream.get_mut();
        assert_eq!(within(tcp.read(&mut [0; 1])).await.expect("an end, not a reset"), 0);
    }
}

/// In TLS 1.3 the client has finished before the server judges it: the alert comes with the first read.
async fn first_words(site: &Site, config: Arc<tokio_rustls::rustls::ClientConfig>) -> String {
    let mut wire = match Wire::connect(site.address, config).await {
        Ok(wire) => wire,
        Err(error) => return error.to_string() + &format!("{error:?}"),
    };
    let error = within(wire.stream.read(&mut [0; 1])).await.expect_err("an alert");
    format!("{error:?}")
}

#[derive(Debug)]
struct NoCertificate;

impl tokio_rustls::rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[tokio_rustls::rustls::SignatureScheme],
    ) -> Option<Arc<tokio_rustls::rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_come_ends_at_its_deadline() {
    let deadlines = Deadlines { handshake: Duration::from_millis(50), ..Deadlines::default() };
    let site = Site::start(Plan { deadlines, ..Plan::default() }).await;
    let mut silent = TcpStream::connect(site.address).await.unwrap();
    assert_eq!(within(silent.read(&mut [0; 1])).await.unwrap(), 0);
    site.metric("xinqiao_edge_handshakes_failed_total{listener=\"exchange\",reason=\"deadline\"} 1").await;
}

#[tokio::test]
async fn bytes_that_are_no_tls_end_the_handshake() {
    let site = Site::start(Plan::default()).await;
    let mut plain = TcpStream::connect(site.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"GET / HTTP/1.1\r\nhost: n\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    let _reset_or_end = within(plain.read_to_end(&mut said)).await;
    assert!(!said.starts_with(b"HTTP"));
    site.metric("xinqiao_edge_handshakes_failed_total{listener=\"exchange\",reason=\"protocol\"} 1").await;
}

#[tokio::test]
async fn new_tls_settings_hold_from_the_next_accept_and_old_connections_go_on() {
    let site = Site::start(Plan::default()).await;
    let mut old = Wire::open(&site, "dept-a").await;
    let next = Pki::new();
    assert_eq!(old.get("/").await.status, 200);
    *site.tls_policy.write() = next.tls_policy(members());
    let mut new = Wire::connect(site.address, next.client("dept-a", b"http/1.1")).await.unwrap();
    assert_eq!(new.get("/").await.status, 200);
    assert!(Wire::connect(site.address, site.pki.client("dept-a", b"http/1.1")).await.is_err());
    assert_eq!(old.get("/").await.status, 200);
}

#[tokio::test]
async fn a_suspended_member_s_open_connections_are_cut_at_the_recheck() {
    let site = Site::start(Plan::default()).await;
    let mut gone = Wire::open(&site, "dept-a").await;
    let mut stays = Wire::open(&site, "dept-b").await;
    assert_eq!((gone.get("/").await.status, stays.get("/").await.status), (200, 200));
    let mut changed = members();
    changed[0].suspended = true;
    *site.tls_policy.write() = site.pki.tls_policy(changed);
    assert_eq!(site.control.recheck(), 1);
    gone.closed().await;
    assert_eq!(stays.get("/").await.status, 200);
    site.metric("xinqiao_edge_connections_closed_total{listener=\"exchange\",reason=\"identity-changed\"} 1")
        .await;
}

#[tokio::test]
async fn nobody_may_say_in_a_header_who_they_are() {
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    for header in ["Client-Cert: :MIIB:\r\n", "client-cert-chain: :MIIB:\r\n"] {
        assert_eq!(wire.post("/", header, b"").await.code(), "member.header-refused");
    }
    assert_eq!(site.requests(), 0);
}

#[tokio::test]
async fn a_connection_does_not_outlive_its_certificate() {
    let deadlines = Deadlines { linger: Duration::from_millis(40), ..Deadlines::default() };
    let site = Site::start(Plan { deadlines, ..Plan::default() }).await;
    let identity = site.pki.short_lived("dept-a", Duration::from_secs(2));
    let mut config = (*tls::client_config(&identity, &site.pki.trust)).clone();
    config.alpn_protocols.clear();
    let mut wire = Wire::connect(site.address, Arc::new(config)).await.unwrap();
    assert_eq!(wire.get("/").await.status, 200);
    wire.closed().await;
    site.metric(
        "xinqiao_edge_connections_closed_total{listener=\"exchange\",reason=\"certificate-expired\"} 1",
    )
    .await;
}
