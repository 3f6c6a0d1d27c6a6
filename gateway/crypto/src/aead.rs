//! AES-256-GCM (NIST SP 800-38D), in place.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Bytes of a nonce.
pub const NONCE: usize = 12;
/// Bytes a seal adds.
pub const TAG: usize = 16;

/// A key, ready for use. The bytes it was made from are the caller's to wipe ([`crate::Secret`] does); the expanded key
/// lives here until it is dropped.
///
/// Two messages sealed under one key with one nonce give both away and let a third be forged: who seals decides what a
/// nonce is made of, and says there why it never comes again.
pub struct AeadKey(LessSafeKey);

impl AeadKey {
    /// Takes the key.
    #[inline]
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key")))
    }

    /// Encrypts `data` where it stands and returns its tag, which also covers `aad`.
    ///
    /// # Panics
    /// `data` is longer than GCM can seal under one nonce, 64 GiB.
    #[inline]
    #[must_use]
    pub fn seal(&self, nonce: [u8; NONCE], aad: &[u8], data: &mut [u8]) -> [u8; TAG] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), data);
        tag.expect("data is below GCM's limit of 64 GiB").as_ref().try_into().expect("a GCM tag has 16 bytes")
    }

    /// The plain bytes of `data`, ciphertext followed by its tag, decrypted where they stand; `None` if a bit of them, of
    /// the nonce or of `aad` is not as it was sealed, or the key is another.
    #[inline]
    #[must_use]
    pub fn open<'a>(&self, nonce: [u8; NONCE], aad: &[u8], data: &'a mut [u8]) -> Option<&'a mut [u8]> {
        self.0.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), data).ok()
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("AeadKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    /// Cases 13 and 14 of the GCM specification (McGrew and Viega), which NIST SP 800-38D refers to.
    #[test]
    fn the_published_vectors_of_aes_256() {
        let key = AeadKey::new(&[0; 32]);
        assert_eq!(hex::encode(&key.seal([0; 12], b"", &mut [])), "530f8afbc74536b9a963b4f1c4cb738b");
        let mut data = [0; 16];
        let tag = key.seal([0; 12], b"", &mut data);
        assert_eq!(hex::encode(&data), "cea7403d4d606b6e074ec5d3baf39d18");
        assert_eq!(hex::encode(&tag), "d0d1c8a799996bf0265b98b5d48ab919");
    }

    #[test]
    fn only_what_was_sealed_is_opened() {
        let key = AeadKey::new(&[1; 32]);
        let mut sealed = b"plain bytes".to_vec();
        let tag = key.seal([2; 12], b"place", &mut sealed);
        sealed.extend_from_slice(&tag);
        assert_eq!(key.open([2; 12], b"place", &mut sealed.clone()).as_deref(), Some(&b"plain bytes"[..]));
        assert!(key.open([3; 12], b"place", &mut sealed.clone()).is_none());
        assert!(key.open([2; 12], b"other", &mut sealed.clone()).is_none());
        assert!(AeadKey::new(&[4; 32]).open([2; 12], b"place", &mut sealed.clone()).is_none());
        assert!(key.open([2; 12], b"place", &mut tag[..15].to_vec()).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open([2; 12], b"place", &mut changed).is_none(), "byte {at}");
        }
    }
}
