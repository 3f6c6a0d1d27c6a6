//! HMAC-SHA-256 (RFC 2104, FIPS 198-1).

use std::fmt;

use ring::hmac;

/// A key, ready for use. The bytes it was made from are the caller's to wipe ([`crate::Secret`] does); what is derived
/// from them lives here until the key is dropped.
#[derive(Clone)]
pub struct MacKey(hmac::Key);

/// The code over a message that comes in pieces. A clone goes on from the same point.
#[derive(Clone)]
pub struct Mac(hmac::Context);

impl MacKey {
    /// Takes a secret of any length; 32 bytes are as strong as the algorithm.
    #[inline]
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The code of a message.
    #[inline]
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        array(&hmac::sign(&self.0, message))
    }

    /// Whether `code` is the whole code of a message. Takes the same time wherever they differ.
    #[inline]
    #[must_use]
    pub fn verify(&self, message: &[u8], code: &[u8]) -> bool {
        hmac::verify(&self.0, message, code).is_ok()
    }

    /// Begins a message that comes in pieces.
    #[inline]
    #[must_use]
    pub fn begin(&self) -> Mac {
        Mac(hmac::Context::with_key(&self.0))
    }
}

impl Mac {
    /// Adds the next piece.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The code of all pieces.
    #[inline]
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        array(&self.0.sign())
    }

    /// The first 16 bytes of the code: 128 bits are enough where a code names something.
    #[inline]
    #[must_use]
    pub fn finish16(self) -> [u8; 16] {
        *self.finish().first_chunk().expect("16 of 32 bytes")
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("MacKey(redacted)")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Mac(redacted)")
    }
}

#[inline]
fn array(tag: &hmac::Tag) -> [u8; 32] {
    tag.as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    #[test]
    fn the_second_case_of_rfc_4231() {
        let code = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let key = MacKey::new(b"Jefe");
        assert_eq!(hex::encode(&key.sign(b"what do ya want for nothing?")), code);
        let mut pieces = key.begin();
        pieces.update(b"what do ya want ");
        pieces.update(b"for nothing?");
        assert_eq!(hex::encode(&pieces.clone().finish()), code);
        assert_eq!(hex::encode(&pieces.finish16()), code[..32]);
    }

    #[test]
    fn only_the_whole_code_of_the_message_under_the_key_is_verified() {
        let key = MacKey::new(&[7; 32]);
        let mut code = key.sign(b"message");
        assert!(key.verify(b"message", &code));
        assert!(!key.verify(b"another", &code));
        assert!(!key.verify(b"message", &code[..16]));
        assert!(!MacKey::new(&[8; 32]).verify(b"message", &code));
        code[31] ^= 1;
        assert!(!key.verify(b"message", &code));
    }

    #[test]
    fn debug_shows_no_key() {
        let key = MacKey::new(&[7; 32]);
        assert_eq!(format!("{key:?} {:?}", key.begin()), "MacKey(redacted) Mac(redacted)");
    }
}
