//! The listener for members whose systems cannot speak TLS 1.3.

use std::sync::Arc;

use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring::{cipher_suite, default_provider};
use tokio_rustls::rustls::{self, ClientConfig, ProtocolVersion, RootCertStore, SupportedCipherSuite};

use crate::site::{Plan, Site};
use crate::wire::Wire;

/// An old system of this department: TLS 1.2 and these suites.
fn old(site: &Site, name: &str, suites: Vec<SupportedCipherSuite>) -> Arc<ClientConfig> {
    let modern = site.pki.client(name, b"http/1.1");
    let provider = rustls::crypto::CryptoProvider { cipher_suites: suites, ..default_provider() };
    let mut roots = RootCertStore::empty();
    for anchor in site.pki.trust.anchors() {
        roots.add(anchor.certificate().clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(modern.client_auth_cert_resolver.clone());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

fn aead() -> Vec<SupportedCipherSuite> {
    vec![cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
}

async fn site() -> Site {
    Site::start(Plan { legacy: Some(&["dept-a"]), ..Plan::default() }).await
}

#[tokio::test]
async fn a_listed_member_is_served_over_tls_1_2_and_never_resumed() {
    let site = site().await;
    let config = old(&site, "dept-a", aead());
    for _ in 0..2 {
        let mut wire = Wire::connect(site.address, config.clone()).await.unwrap();
        let tls = wire.stream.get_ref().1;
        assert_eq!(tls.protocol_version(), Some(ProtocolVersion::TLSv1_2));
        assert_eq!(tls.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(wire.get("/").await.text(), "dept-a sent 0 bytes");
    }
}

#[tokio::test]
async fn a_listed_member_that_learned_tls_1_3_uses_it_here_too() {
    let site = site().await;
    let mut wire = Wire::open(&site, "dept-a").await;
    assert_eq!(wire.stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(wire.get("/").await.status, 200);
}

#[tokio::test]
async fn a_member_that_is_not_listed_is_told_so() {
    let site = site().await;
    let mut wire = Wire::connect(site.address, old(&site, "dept-b", aead())).await.unwrap();
    let answer = wire.get("/").await;
    assert_eq!((answer.status, answer.code()), (403, "member.not-listed".into()));
    wire.closed().await;
    let mut wire = Wire::connect(site.address, old(&site, "stranger", aead())).await.unwrap();
    assert_eq!(wire.get("/").await.code(), "member.unknown");
    assert_eq!(site.requests(), 0);
}

#[tokio::test]
async fn the_exchange_listener_does_not_speak_tls_1_2() {
    let site = Site::start(Plan::default()).await;
    let refused = Wire::connect(site.address, old(&site, "dept-a", aead())).await;
    assert!(refused.is_err());
    site.metric("xinqiao_edge_handshakes_failed_total{listener=\"exchange\",reason=\"protocol\"} 1").await;
}
