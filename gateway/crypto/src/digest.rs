//! SHA-256 (FIPS 180-4), of a whole or of pieces.

use std::fmt;

use ring::digest;

/// SHA-256 of `bytes`.
#[inline]
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    array(&digest::digest(&digest::SHA256, bytes))
}

/// SHA-256 over bytes that come in pieces. A clone goes on from the same point.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// A digest that has seen nothing.
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Adds the next piece.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces.
    #[inline]
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        array(&self.0.finish())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Sha256(redacted)")
    }
}

#[inline]
fn array(digest: &digest::Digest) -> [u8; 32] {
    digest.as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    #[test]
    fn the_vectors_of_fips_180_4() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(&sha256(b"abc")), abc);
        let mut pieces = Sha256::new();
        pieces.update(b"a");
        let mut other = pieces.clone();
        pieces.update(b"bc");
        assert_eq!(hex::encode(&pieces.finish()), abc);
        other.update(b"x");
        assert_eq!(other.finish(), sha256(b"ax"));
        assert_eq!(
            hex::encode(&Sha256::default().finish()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
