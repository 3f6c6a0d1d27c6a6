//! SHA-256 with a key in front: names of things, for less than an HMAC costs.
//!
//! The first block is the key, so the state behind it is as secret as the key, and what follows is a pseudo-random function of
//! messages of which none is the beginning of another (Bellare, Canetti, Krawczyk 1996: the cascade). Every message is therefore
//! preceded by its length. Half of the digest is given away, so nobody can go on from it either.

use std::fmt;

use ring::digest;

use crate::kdf::hkdf_sha256;

/// A key of names, ready for use.
#[derive(Clone)]
pub struct NameKey(digest::Context);

impl NameKey {
    /// Takes a secret of 32 bytes or more.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        let mut keyed = digest::Context::new(&digest::SHA256);
        // One whole block, so that nothing of the key waits in a buffer beside the message.
        for half in [b"first half", b"other half"] {
            keyed.update(&*hkdf_sha256(b"xinqiao name key v1", secret, half));
        }
        Self(keyed)
    }

    /// The name of a message: 128 bits.
    #[inline]
    #[must_use]
    pub fn name(&self, message: &[u8]) -> [u8; 16] {
        let mut keyed = self.0.clone();
        keyed.update(&(message.len() as u64).to_be_bytes());
        keyed.update(message);
        *keyed.finish().as_ref().first_chunk().expect("16 of 32 bytes")
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("NameKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256;

    #[test]
    fn a_name_is_half_the_digest_of_key_block_length_and_message() {
        let secret = [7; 32];
        let mut whole = Vec::new();
        for half in [b"first half", b"other half"] {
            whole.extend_from_slice(&*hkdf_sha256(b"xinqiao name key v1", &secret, half));
        }
        assert_eq!(whole.len(), 64);
        whole.extend_from_slice(&7u64.to_be_bytes());
        whole.extend_from_slice(b"message");
        let key = NameKey::new(&secret);
        assert_eq!(key.name(b"message"), sha256(&whole)[..16]);
        assert_eq!(key.clone().name(b"message"), key.name(b"message"));
        assert_ne!(key.name(b"message"), key.name(b"messag"));
        assert_ne!(key.name(b"message"), NameKey::new(&[8; 32]).name(b"message"));
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", NameKey::new(&[7; 32])), "NameKey(redacted)");
    }
}
