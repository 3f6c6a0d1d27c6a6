//! rustls' verifier traits, implemented on [`Trust`]. Path building and checking are webpki's, as in rustls' own
//! verifier; the difference is that anchors and revocation lists are shared with the registry instead of copied.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

use crate::trust::Trust;

#[derive(Debug)]
pub(super) struct PeerVerifier {
    trust: Arc<Trust>,
    hints: Vec<DistinguishedName>,
}

impl PeerVerifier {
    pub(super) fn new(trust: Arc<Trust>) -> Self {
        let hints = trust.roots().iter().map(|root| DistinguishedName::in_sequence(&root.subject)).collect();
        Self { trust, hints }
    }

    fn signature12(
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &super::provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn signature13(
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &super::provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn schemes() -> Vec<SignatureScheme> {
        super::provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.trust.client_anchor(&chain(end_entity, intermediates), now).map_err(alert)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::signature12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::signature13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::schemes()
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The path before the name, as in rustls' own verifier, so that a peer gets the same alerts. Stapled OCSP is
        // not looked at: revocation is decided by the lists in `Trust`, on the path as on the accepting side.
        self.trust.server(&chain(end_entity, intermediates), now).map_err(alert)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::signature12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::signature13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::schemes()
    }
}

fn chain<'a>(
    end_entity: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
) -> Vec<CertificateDer<'a>> {
    std::iter::once(end_entity).chain(intermediates).map(|der| CertificateDer::from(der.as_ref())).collect()
}

/// The error from which rustls chooses the alert that names to the peer what is wrong with its certificate.
fn alert(error: webpki::Error) -> Error {
    use webpki::Error as Path;
    Error::InvalidCertificate(match error {
        Path::BadDer | Path::BadDerTime | Path::TrailingData(_) => CertificateError::BadEncoding,
        Path::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        Path::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        // A signature that is not its issuer's is what an authority with a trusted one's name makes; `BadSignature`
        // would be sent as decrypt_error, which is about the handshake's own signatures (RFC 8446, 6.2).
        Path::UnknownIssuer | Path::InvalidSignatureForPublicKey => CertificateError::UnknownIssuer,
        Path::CertRevoked => CertificateError::Revoked,
        Path::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        Path::CrlExpired { time, next_update } => {
            CertificateError::ExpiredRevocationListContext { time, next_update }
        }
        Path::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    })
}
