//! Private keys: made, stored as PKCS#8, read back, used; or out of reach in a token that signs for us.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use xinqiao_crypto::signature::{Ed25519Key, P256Key};
use zeroize::Zeroizing;

use super::jwk::{Jwk, KeyError, KeyUse, PublicKey};

/// What a P-256 key is for; the three purposes are the only implementations.
pub trait Purpose: sealed::Sealed + Send + Sync + 'static {
    /// The mark on its public JWK.
    const USE: KeyUse;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! purposes {
    ($($(#[$meta:meta])* $name:ident = $use:ident),+ $(,)?) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
        impl Purpose for $name {
            const USE: KeyUse = KeyUse::$use;
        }
    )+ };
}

purposes! {
    /// Signs the manifests of a node's batches.
    ForManifest = Manifest,
    /// Signs a recipient's acknowledgements.
    ForAcknowledgement = Acknowledgement,
    /// Signs a member's files that come without a TLS connection.
    ForEnvelope = Envelope,
}

/// Signs with a private key that this process does not hold: one in a PKCS#11 token. [`KeyError::Unavailable`] if it
/// cannot now.
pub trait Signer: Send + Sync {
    /// `r ‖ s` of ECDSA P-256 over the SHA-256 of `message`, or the Ed25519 signature of `message`, as the key is.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError>;
}

/// A node's manifest key.
pub type ManifestKey = Es256Key<ForManifest>;
/// A recipient's acknowledgement key.
pub type AcknowledgementKey = Es256Key<ForAcknowledgement>;
/// A member's envelope key.
pub type EnvelopeKey = Es256Key<ForEnvelope>;

/// Where a private key is.
enum Private<Pair> {
    Here { pair: Pair, pkcs8: Zeroizing<Vec<u8>> },
    Elsewhere(Arc<dyn Signer>),
}

impl<Pair> Private<Pair> {
    fn pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Here { pkcs8, .. } => Some(pkcs8.clone()),
            Self::Elsewhere(_) => None,
        }
    }
}

/// An ECDSA P-256 key for one purpose.
pub struct Es256Key<P> {
    private: Private<P256Key>,
    public: Jwk,
    purpose: PhantomData<P>,
}

impl<P: Purpose> Es256Key<P> {
    /// A new random key.
    pub fn generate() -> Result<Self, KeyError> {
        Self::from_pkcs8(&P256Key::generate()?)
    }

    /// Reads a PKCS#8 document (DER) with its public key inside, as `openssl genpkey` and [`Self::to_pkcs8`] write it.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, KeyError> {
        let pair = P256Key::from_pkcs8(document).map_err(|_| KeyError::NotPkcs8 { algorithm: "P-256" })?;
        let public = Jwk::new(PublicKey::P256(pair.public()), P::USE);
        let private = Private::Here { pair, pkcs8: Zeroizing::new(document.to_vec()) };
        Ok(Self { private, public, purpose: PhantomData })
    }

    /// A key whose private part is elsewhere; `point` is the public key, uncompressed.
    pub fn external(point: [u8; 65], signer: Arc<dyn Signer>) -> Self {
        let public = Jwk::new(PublicKey::P256(point), P::USE);
        Self { private: Private::Elsewhere(signer), public, purpose: PhantomData }
    }

    /// The private key as PKCS#8 (DER), if it is here. Encrypt it before it is stored.
    pub fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.private.pkcs8()
    }

    /// The public key to publish and to pin.
    pub fn public_jwk(&self) -> &Jwk {
        &self.public
    }

    /// RFC 7638 thumbprint of the public key.
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// The raw `r ‖ s` signature of JOSE.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        let pair = match &self.private {
            Private::Here { pair, .. } => pair,
            Private::Elsewhere(signer) => return signer.sign(message),
        };
        Ok(pair.sign(message)?)
    }
}

impl<P: Purpose> fmt::Debug for Es256Key<P> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Es256Key({:?}, kid {}, private key redacted)", P::USE, self.kid())
    }
}

/// A node's Ed25519 log key: signs checkpoints.
pub struct LogKey {
    private: Private<Ed25519Key>,
    point: [u8; 32],
    public: Jwk,
}

impl LogKey {
    /// A new random key.
    pub fn generate() -> Result<Self, KeyError> {
        Self::from_pkcs8(&Ed25519Key::generate()?)
    }

    /// Reads a PKCS#8 document (DER), version 1 (`openssl`) or 2 ([`Self::to_pkcs8`]).
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, KeyError> {
        let pair =
            Ed25519Key::from_pkcs8(document).map_err(|_| KeyError::NotPkcs8 { algorithm: "Ed25519" })?;
        let point = pair.public();
        let private = Private::Here { pair, pkcs8: Zeroizing::new(document.to_vec()) };
        Ok(Self { private, point, public: Jwk::new(PublicKey::Ed25519(point), KeyUse::Log) })
    }

    /// A key whose private part is elsewhere.
    pub fn external(point: [u8; 32], signer: Arc<dyn Signer>) -> Self {
        let public = Jwk::new(PublicKey::Ed25519(point), KeyUse::Log);
        Self { private: Private::Elsewhere(signer), point, public }
    }

    /// The private key as PKCS#8 (DER), if it is here. Encrypt it before it is stored.
    pub fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.private.pkcs8()
    }

    /// The public key to publish and to pin.
    pub fn public_jwk(&self) -> &Jwk {
        &self.public
    }

    /// RFC 7638 thumbprint of the public key.
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// The 32 bytes of the public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.point
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        match &self.private {
            Private::Here { pair, .. } => Ok(pair.sign(message)),
            Private::Elsewhere(signer) => signer.sign(message),
        }
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "LogKey(kid {}, private key redacted)", self.kid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_storage() {
        let key = ManifestKey::generate().unwrap();
        let again = ManifestKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        assert_eq!(key.public_jwk(), again.public_jwk());
        assert!(key.public_jwk().public_key().verify(b"message", &again.sign(b"message").unwrap()));

        let key = LogKey::generate().unwrap();
        let again = LogKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        assert_eq!(key.public_jwk(), again.public_jwk());
        assert!(key.public_jwk().public_key().verify(b"message", &again.sign(b"message").unwrap()));
        assert!(!key.public_jwk().public_key().verify(b"other", &again.sign(b"message").unwrap()));

        assert!(ManifestKey::from_pkcs8(&key.to_pkcs8().unwrap()).is_err());
        assert!(LogKey::from_pkcs8(b"").is_err());
    }

    /// Signs with a key of its own, or is unplugged.
    struct Token(Option<LogKey>);
    impl Signer for Token {
        fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
            self.0.as_ref().ok_or(KeyError::Unavailable)?.sign(message)
        }
    }

    #[test]
    fn a_key_elsewhere_signs_or_says_that_it_cannot() {
        let inside = LogKey::generate().unwrap();
        let point = inside.public_key();
        let key = LogKey::external(point, Arc::new(Token(Some(inside))));
        assert!(key.public_jwk().public_key().verify(b"message", &key.sign(b"message").unwrap()));
        assert!(key.to_pkcs8().is_none());
        let gone = LogKey::external(point, Arc::new(Token(None)));
        assert_eq!(gone.sign(b"message"), Err(KeyError::Unavailable));
        assert_eq!(gone.kid(), key.kid());
    }

    #[test]
    fn debug_shows_no_private_bytes() {
        let key = LogKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), format!("LogKey(kid {}, private key redacted)", key.kid()));
        let key = EnvelopeKey::generate().unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("Es256Key(Envelope, kid {}, private key redacted)", key.kid())
        );
    }
}
