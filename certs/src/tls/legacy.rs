//! The listener for systems that cannot speak TLS 1.3: off unless configured, for listed members only.
//!
//! TLS 1.2 with ECDHE and AEAD; 1.3 stays on offer, so that a member whose system learns it uses it at once. The extended
//! master secret is demanded, which every library of the last ten years sends. Nothing is resumed: a TLS 1.2 ticket
//! travels in the clear and holds the keys of the session. rustls has no renegotiation and no compression.

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self as ring_provider, cipher_suite};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use std::sync::{Arc, LazyLock};

use super::{GROUPS, PeerVerifier, SUITES, alpn, resolver};
use crate::identity::Identity;
use crate::trust::Trust;

/// Protocol versions of the legacy listener.
pub static LEGACY_VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];

/// TLS 1.2 suites of the legacy listener, best first.
pub static LEGACY_SUITES: [SupportedCipherSuite; 6] = [
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        Arc::new(CryptoProvider {
            cipher_suites: [&SUITES[..], &LEGACY_SUITES[..]].concat(),
            kx_groups: GROUPS.to_vec(),
            ..ring_provider::default_provider()
        })
    });
    &PROVIDER
}

/// For the legacy listener: presents `identity` and demands a client certificate that `trust` verifies.
pub fn legacy_server_config(identity: &Identity, trust: &Arc<Trust>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(provider().clone())
        .with_protocol_versions(&LEGACY_VERSIONS)
        .expect("the provider has suites of both versions")
        .with_client_cert_verifier(Arc::new(PeerVerifier::new(trust.clone())))
        .with_cert_resolver(resolver(identity));
    config.alpn_protocols = alpn();
    config.require_ems = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Authority, Request, Validity};
    use crate::{Revocation, Role, TrustAnchors, UnixTime};
    use rustls::{CipherSuite, NamedGroup, ProtocolVersion};
    use std::time::SystemTime;

    #[test]
    fn legacy_suites_groups_and_versions_are_pinned() {
        let suites: Vec<CipherSuite> = provider().cipher_suites.iter().map(|s| s.suite()).collect();
        assert_eq!(
            suites,
            [
                CipherSuite::TLS13_AES_256_GCM_SHA384,
                CipherSuite::TLS13_AES_128_GCM_SHA256,
                CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
                CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            ]
        );
        let groups: Vec<NamedGroup> = provider().kx_groups.iter().map(|g| g.name()).collect();
        assert_eq!(groups, [NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1]);
        let versions: Vec<ProtocolVersion> = LEGACY_VERSIONS.iter().map(|v| v.version).collect();
        assert_eq!(versions, [ProtocolVersion::TLSv1_3, ProtocolVersion::TLSv1_2]);
    }

    #[test]
    fn nothing_is_resumed_and_the_extended_master_secret_is_demanded() {
        let validity = Validity::days(SystemTime::now(), 2);
        let root = Authority::create_root("Root", &["xm.example"], validity).unwrap();
        let node = root.issue(&Request::new(Role::Node, "xm.example", "node", validity)).unwrap();
        let identity =
            Identity::from_pem(node.chain_pem().as_bytes(), node.key_pem().as_bytes(), UnixTime::now())
                .unwrap();
        let anchors = TrustAnchors::for_servers("root", root.root_pem().as_bytes(), UnixTime::now()).unwrap();
        let trust = Trust::new(anchors, Revocation::none()).unwrap();
        let config = legacy_server_config(&identity, &trust);
        assert!(config.require_ems);
        assert!(!config.ticketer.enabled());
        assert!(!config.session_storage.can_cache());
        assert_eq!((config.send_tls13_tickets, config.max_early_data_size), (0, 0));
    }
}
