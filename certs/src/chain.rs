//! Chains as PEM, for archives and for anchors that officers hand over; and the name by which a chain is remembered.

use rustls_pki_types::CertificateDer;
use xinqiao_crypto::Sha256;

use crate::certificate;
use xinqiao_explain::Explanation;

/// The certificates of a PEM text, in order; `place` is what a message calls the text.
pub fn certificates(place: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Explanation> {
    certificate::from_pem(place, pem)
}

/// SHA-256 over a chain, each certificate with its length before it (eight bytes, big endian).
#[must_use]
pub fn chain_digest(chain: &[CertificateDer<'_>]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for certificate in chain {
        digest.update(&(certificate.len() as u64).to_be_bytes());
        digest.update(certificate);
    }
    digest.finish()
}

/// A chain as PEM, in order, with plain line feeds.
pub fn to_pem(chain: &[CertificateDer<'_>]) -> String {
    let plain = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    chain.iter().map(|der| pem::encode_config(&pem::Pem::new("CERTIFICATE", der.to_vec()), plain)).collect()
}
