//! The one place that chooses the TLS provider, protocol version, suites, groups and application protocols.
//!
//! Exchange connections are TLS 1.3 with a certificate on both sides; the legacy listener, off by default, adds 1.2.
//! Nothing else in the workspace builds a rustls configuration.

mod legacy;
mod verifier;

use rustls::crypto::ring::{self as ring_provider, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use std::sync::{Arc, LazyLock};

use crate::identity::Identity;
use crate::trust::Trust;
pub use legacy::{LEGACY_SUITES, LEGACY_VERSIONS, legacy_server_config};
use verifier::PeerVerifier;

/// The only protocol version of exchange connections.
pub static VERSIONS: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// Suites, best first.
pub static SUITES: [SupportedCipherSuite; 3] = [
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// Key exchange groups, best first.
pub static GROUPS: [&dyn SupportedKxGroup; 3] = [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// Application protocols, best first.
pub const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// ring, with the suites and groups above.
pub fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        Arc::new(CryptoProvider {
            cipher_suites: SUITES.to_vec(),
            kx_groups: GROUPS.to_vec(),
            ..ring_provider::default_provider()
        })
    });
    &PROVIDER
}

/// For a listener: presents `identity` and demands a client certificate that `trust` verifies.
///
/// Session tickets are sealed with a key that lives in this configuration alone, so tickets issued under an older identity
/// or trust die with it. A resumed session keeps its first certificate; the registry judges it again on every connection.
pub fn server_config(identity: &Identity, trust: &Arc<Trust>) -> Arc<ServerConfig> {
    let verifier = Arc::new(PeerVerifier::new(trust.clone()));
    let mut config = ServerConfig::builder_with_provider(provider().clone())
        .with_protocol_versions(&VERSIONS)
        .expect("the provider has TLS 1.3 suites")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver(identity));
    config.alpn_protocols = alpn();
    config.ticketer = ring_provider::Ticketer::new().expect("the system has randomness");
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Arc::new(config)
}

/// For outgoing connections: presents `identity` and accepts a server that `trust` verifies under the name dialled.
pub fn client_config(identity: &Identity, trust: &Arc<Trust>) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider().clone())
        .with_protocol_versions(&VERSIONS)
        .expect("the provider has TLS 1.3 suites")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PeerVerifier::new(trust.clone())))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified(identity))));
    config.alpn_protocols = alpn();
    config.enable_early_data = false;
    Arc::new(config)
}

fn resolver(identity: &Identity) -> Arc<dyn ResolvesServerCert> {
    Arc::new(SingleCertAndKey::from(certified(identity)))
}

fn certified(identity: &Identity) -> Arc<CertifiedKey> {
    identity.certified().clone()
}

fn alpn() -> Vec<Vec<u8>> {
    ALPN.iter().map(|protocol| protocol.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{CipherSuite, NamedGroup, ProtocolVersion};

    #[test]
    fn provider_suites_groups_and_versions_are_pinned() {
        let suites: Vec<CipherSuite> = provider().cipher_suites.iter().map(|s| s.suite()).collect();
        assert_eq!(
            suites,
            [
                CipherSuite::TLS13_AES_256_GCM_SHA384,
                CipherSuite::TLS13_AES_128_GCM_SHA256,
                CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
            ]
        );
        let groups: Vec<NamedGroup> = provider().kx_groups.iter().map(|g| g.name()).collect();
        assert_eq!(groups, [NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1]);
        let versions: Vec<ProtocolVersion> = VERSIONS.iter().map(|v| v.version).collect();
        assert_eq!(versions, [ProtocolVersion::TLSv1_3]);
        assert_eq!(ALPN, [b"h2".as_slice(), b"http/1.1"]);
        let random = format!("{:?}", provider().secure_random);
        assert!(random.to_ascii_lowercase().contains("ring"), "{random}");
    }
}
