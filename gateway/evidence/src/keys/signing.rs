//! Private keys: made, stored as PKCS#8, read back, used.

use std::fmt;
use std::marker::PhantomData;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
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

/// A node's manifest key.
pub type ManifestKey = Es256Key<ForManifest>;
/// A recipient's acknowledgement key.
pub type AcknowledgementKey = Es256Key<ForAcknowledgement>;
/// A member's envelope key.
pub type EnvelopeKey = Es256Key<ForEnvelope>;

/// An ECDSA P-256 key for one purpose.
pub struct Es256Key<P> {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
    public: Jwk,
    random: SystemRandom,
    purpose: PhantomData<P>,
}

impl<P: Purpose> Es256Key<P> {
    /// A new random key.
    pub fn generate() -> Result<Self, KeyError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyError::NoRandomness)?;
        Self::from_pkcs8(document.as_ref())
    }

    /// Reads a PKCS#8 document (DER) with its public key inside, as `openssl genpkey` and [`Self::to_pkcs8`] write it.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document, &random)
            .map_err(|_| KeyError::NotPkcs8 { algorithm: "P-256" })?;
        let point =
            pair.public_key().as_ref().try_into().map_err(|_| KeyError::NotPkcs8 { algorithm: "P-256" })?;
        let public = Jwk::new(PublicKey::P256(point), P::USE);
        Ok(Self { pair, pkcs8: Zeroizing::new(document.to_vec()), public, random, purpose: PhantomData })
    }

    /// The private key as PKCS#8 (DER). Encrypt it before it is stored.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.pkcs8.clone()
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
        let signature = self.pair.sign(&self.random, message).map_err(|_| KeyError::NoRandomness)?;
        Ok(signature.as_ref().try_into().expect("a P-256 signature has 64 bytes"))
    }
}

impl<P: Purpose> fmt::Debug for Es256Key<P> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Es256Key({:?}, kid {}, private key redacted)", P::USE, self.kid())
    }
}

/// A node's Ed25519 log key: signs checkpoints.
pub struct LogKey {
    pair: Ed25519KeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
    public: Jwk,
}

impl LogKey {
    /// A new random key.
    pub fn generate() -> Result<Self, KeyError> {
        let document =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::NoRandomness)?;
        Self::from_pkcs8(document.as_ref())
    }

    /// Reads a PKCS#8 document (DER), version 1 (`openssl`) or 2 ([`Self::to_pkcs8`]).
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document)
            .map_err(|_| KeyError::NotPkcs8 { algorithm: "Ed25519" })?;
        let public =
            pair.public_key().as_ref().try_into().map_err(|_| KeyError::NotPkcs8 { algorithm: "Ed25519" })?;
        let public = Jwk::new(PublicKey::Ed25519(public), KeyUse::Log);
        Ok(Self { pair, pkcs8: Zeroizing::new(document.to_vec()), public })
    }

    /// The private key as PKCS#8 (DER). Encrypt it before it is stored.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.pkcs8.clone()
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
        self.pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes")
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
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
        let again = ManifestKey::from_pkcs8(&key.to_pkcs8()).unwrap();
        assert_eq!(key.public_jwk(), again.public_jwk());
        assert!(key.public_jwk().public_key().verify(b"message", &again.sign(b"message").unwrap()));

        let key = LogKey::generate().unwrap();
        let again = LogKey::from_pkcs8(&key.to_pkcs8()).unwrap();
        assert_eq!(key.public_jwk(), again.public_jwk());
        assert!(key.public_jwk().public_key().verify(b"message", &again.sign(b"message")));
        assert!(!key.public_jwk().public_key().verify(b"other", &again.sign(b"message")));

        assert!(ManifestKey::from_pkcs8(&key.to_pkcs8()).is_err());
        assert!(LogKey::from_pkcs8(b"").is_err());
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
