//! Chains as PEM, for archives and for anchors that officers hand over.

use rustls_pki_types::CertificateDer;

use crate::certificate;
use crate::trouble::LoadError;

/// The certificates of a PEM text, in order; `place` is what a message calls the text.
pub fn certificates(place: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    certificate::from_pem(place, pem)
}

/// A chain as PEM, in order, with plain line feeds.
pub fn to_pem(chain: &[CertificateDer<'_>]) -> String {
    let plain = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    chain.iter().map(|der| pem::encode_config(&pem::Pem::new("CERTIFICATE", der.to_vec()), plain)).collect()
}
