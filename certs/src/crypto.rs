//! The one place that chooses the cryptographic provider of TLS, its suites and its groups.
//!
//! Beside `gateway/crypto`, nothing else names ring: here it is what rustls and OCSP want of it.

use ring::digest;
use rustls::SupportedCipherSuite;
use rustls::crypto::ring::{self as ring_provider, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::ProducesTickets;
use std::sync::{Arc, LazyLock};

/// Suites of TLS 1.3, best first.
pub static SUITES: [SupportedCipherSuite; 3] = [
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// TLS 1.2 suites of the legacy listener, best first.
pub static LEGACY_SUITES: [SupportedCipherSuite; 6] = [
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// Key exchange groups, best first.
pub static GROUPS: [&dyn SupportedKxGroup; 3] = [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// ring, with the suites of TLS 1.3 and the groups above.
pub fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| with(SUITES.to_vec()));
    &PROVIDER
}

/// The same with the suites of the legacy listener after them.
pub(crate) fn legacy_provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| with([&SUITES[..], &LEGACY_SUITES[..]].concat()));
    &PROVIDER
}

fn with(cipher_suites: Vec<SupportedCipherSuite>) -> Arc<CryptoProvider> {
    let kx_groups = GROUPS.to_vec();
    Arc::new(CryptoProvider { cipher_suites, kx_groups, ..ring_provider::default_provider() })
}

/// Seals session tickets with a key of its own, which changes every few hours and is known to nothing else.
pub(crate) fn ticketer() -> Arc<dyn ProducesTickets> {
    ring_provider::Ticketer::new().expect("the system has randomness")
}

/// Whether `hash` is that of `bytes` by the algorithm with this OID (RFC 6960 leaves the choice to the responder; SHA-1
/// only names something there). `None`: another algorithm.
pub(crate) fn is_hash(algorithm: &[u8], hash: &[u8], bytes: &[u8]) -> Option<bool> {
    let algorithm = match algorithm {
        [0x2b, 0x0e, 0x03, 0x02, 0x1a] => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01] => &digest::SHA256,
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02] => &digest::SHA384,
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03] => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, bytes).as_ref() == hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{CipherSuite, NamedGroup};

    const TLS13: [CipherSuite; 3] = [
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    const TLS12: [CipherSuite; 6] = [
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];

    fn offered(provider: &CryptoProvider) -> Vec<CipherSuite> {
        provider.cipher_suites.iter().map(|s| s.suite()).collect()
    }

    #[test]
    fn provider_suites_and_groups_are_pinned() {
        assert_eq!(offered(provider()), TLS13);
        assert_eq!(offered(legacy_provider()), [&TLS13[..], &TLS12[..]].concat());
        for provider in [provider(), legacy_provider()] {
            let groups: Vec<NamedGroup> = provider.kx_groups.iter().map(|g| g.name()).collect();
            assert_eq!(groups, [NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1]);
            let random = format!("{:?}", provider.secure_random);
            assert!(random.to_ascii_lowercase().contains("ring"), "{random}");
        }
    }
}
