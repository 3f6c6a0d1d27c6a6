//! The one place that chooses protocol versions and application protocols of TLS and builds its configurations; suites,
//! groups and their provider are chosen in `crypto.rs`.
//!
//! Exchange connections are TLS 1.3 with a certificate on both sides; the legacy listener, off by default, adds 1.2.
//! Nothing else in the workspace builds a rustls configuration.

mod legacy;
mod verifier;

use rustls::server::ResolvesServerCert;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;

use crate::crypto::ticketer;
pub use crate::crypto::{GROUPS, LEGACY_SUITES, SUITES, provider};
use crate::identity::Identity;
use crate::trust::Trust;
pub use legacy::{LEGACY_VERSIONS, legacy_server_config};
use verifier::PeerVerifier;

/// The only protocol version of exchange connections.
pub static VERSIONS: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// Application protocols, best first.
pub const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// For a listener: presents `identity` and demands a client certificate that `trust` verifies.
///
/// Session tickets are sealed with a key that lives in this configuration alone, so tickets issued under an older
/// identity or trust die with it. A resumed session keeps its first certificate; the registry checks it again on every
/// connection.
pub fn server_config(identity: &Identity, trust: &Arc<Trust>) -> Arc<ServerConfig> {
    let verifier = Arc::new(PeerVerifier::new(trust.clone()));
    let mut config = ServerConfig::builder_with_provider(provider().clone())
        .with_protocol_versions(&VERSIONS)
        .expect("the provider has TLS 1.3 suites")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver(identity));
    config.alpn_protocols = alpn();
    config.ticketer = ticketer();
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
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
    config.alpn_protocols = alpn();
    config.enable_early_data = false;
    Arc::new(config)
}

fn resolver(identity: &Identity) -> Arc<dyn ResolvesServerCert> {
    Arc::new(SingleCertAndKey::from(identity.certified()))
}

fn alpn() -> Vec<Vec<u8>> {
    ALPN.iter().map(|protocol| protocol.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::ProtocolVersion;

    #[test]
    fn versions_and_protocols_are_pinned() {
        let versions: Vec<ProtocolVersion> = VERSIONS.iter().map(|v| v.version).collect();
        assert_eq!(versions, [ProtocolVersion::TLSv1_3]);
        assert_eq!(ALPN, [b"h2".as_slice(), b"http/1.1"]);
    }
}
