//! Signatures: ECDSA on P-256 with SHA-256 in the fixed form of JOSE (`r ‖ s`, RFC 7518), and Ed25519 (RFC 8032).

use std::fmt;

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};
use zeroize::Zeroizing;

use crate::random::{NoRandomness, system};

/// Not a PKCS#8 document (DER) of the algorithm with its public key, or the two do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAKey;

impl fmt::Display for NotAKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("not a PKCS#8 private key of the algorithm wanted, with its public key")
    }
}

impl std::error::Error for NotAKey {}

/// A private key on P-256.
pub struct P256Key(EcdsaKeyPair);

impl P256Key {
    /// A new random key as PKCS#8 (DER).
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<Zeroizing<Vec<u8>>, NoRandomness> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &system());
        document.map(|d| Zeroizing::new(d.as_ref().to_vec())).map_err(|_| NoRandomness)
    }

    /// Reads PKCS#8 (DER) with its public key inside.
    ///
    /// # Errors
    /// It is something else.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, NotAKey> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document, &system());
        pair.map(Self).map_err(|_| NotAKey)
    }

    /// The public key: the uncompressed point `04 ‖ x ‖ y`.
    #[must_use]
    pub fn public(&self) -> [u8; 65] {
        self.0.public_key().as_ref().try_into().expect("an uncompressed point of P-256 has 65 bytes")
    }

    /// `r ‖ s`.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], NoRandomness> {
        let signature = self.0.sign(&system(), message).map_err(|_| NoRandomness)?;
        Ok(signature.as_ref().try_into().expect("a P-256 signature has 64 bytes"))
    }
}

/// A private key of Ed25519.
pub struct Ed25519Key(Ed25519KeyPair);

impl Ed25519Key {
    /// A new random key as PKCS#8 version 2 (DER).
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<Zeroizing<Vec<u8>>, NoRandomness> {
        let document = Ed25519KeyPair::generate_pkcs8(&system());
        document.map(|d| Zeroizing::new(d.as_ref().to_vec())).map_err(|_| NoRandomness)
    }

    /// Reads PKCS#8 (DER), version 1 (`openssl`) or 2.
    ///
    /// # Errors
    /// It is something else.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, NotAKey> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(document).map(Self).map_err(|_| NotAKey)
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes")
    }

    /// The signature of a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

impl fmt::Debug for P256Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("P256Key(redacted)")
    }
}

impl fmt::Debug for Ed25519Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Ed25519Key(redacted)")
    }
}

/// Whether `signature` (`r ‖ s`) is that of the key behind `point` over `message`.
#[must_use]
pub fn p256_verifies(point: &[u8; 65], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
}

/// Whether `signature` is that of the private key behind `public` over `message`.
#[must_use]
pub fn ed25519_verifies(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    #[test]
    fn p256_signs_what_its_public_key_verifies() {
        let document = P256Key::generate().unwrap();
        let key = P256Key::from_pkcs8(&document).unwrap();
        let mut signature = key.sign(b"message").unwrap();
        assert!(p256_verifies(&key.public(), b"message", &signature));
        assert!(!p256_verifies(&key.public(), b"another", &signature));
        let other = P256Key::from_pkcs8(&P256Key::generate().unwrap()).unwrap();
        assert!(!p256_verifies(&other.public(), b"message", &signature));
        signature[63] ^= 1;
        assert!(!p256_verifies(&key.public(), b"message", &signature));
        assert_eq!(Ed25519Key::from_pkcs8(&document).unwrap_err(), NotAKey);
        assert_eq!(P256Key::from_pkcs8(b"").unwrap_err(), NotAKey);
        assert_eq!(format!("{key:?}"), "P256Key(redacted)");
    }

    /// The first test of RFC 8032, section 7.1.
    #[test]
    fn ed25519_signs_as_the_rfc_says() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let document = hex::decode(&format!("302e020100300506032b657004220420{seed}")).unwrap();
        let key = Ed25519Key::from_pkcs8(&document).unwrap();
        assert_eq!(
            hex::encode(&key.public()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        let signature = key.sign(b"");
        assert_eq!(
            hex::encode(&signature),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        );
        assert!(ed25519_verifies(&key.public(), b"", &signature));
        assert!(!ed25519_verifies(&key.public(), b"x", &signature));
        let made = Ed25519Key::from_pkcs8(&Ed25519Key::generate().unwrap()).unwrap();
        assert!(!ed25519_verifies(&made.public(), b"", &signature));
    }
}
