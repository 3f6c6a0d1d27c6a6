//! The listener for systems that cannot speak TLS 1.3: off unless configured, for listed members only.
//!
//! TLS 1.2 with ECDHE and AEAD; 1.3 stays on offer, so that a member whose system learns it uses it at once. The extended
//! master secret is demanded, which every library of the last ten years sends. Nothing is resumed: a TLS 1.2 ticket
//! travels in the clear and holds the keys of the session. rustls has no renegotiation and no compression.

use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;

use super::{PeerVerifier, alpn, resolver};
use crate::crypto::legacy_provider;
use crate::identity::Identity;
use crate::trust::Trust;

/// Protocol versions of the legacy listener.
pub static LEGACY_VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];

/// For the legacy listener: presents `identity` and demands a client certificate that `trust` verifies.
pub fn legacy_server_config(identity: &Identity, trust: &Arc<Trust>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(legacy_provider().clone())
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
    use rustls::ProtocolVersion;
    use std::time::SystemTime;

    #[test]
    fn legacy_versions_are_pinned() {
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
