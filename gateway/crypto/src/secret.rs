//! Bytes that must not be seen.

use std::fmt;
use std::ops::Deref;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::random;

/// A key or other secret of `N` bytes: wiped when dropped, never printed. It is read by dereferencing; a copy made that
/// way is the caller's to wipe.
#[derive(Clone)]
pub struct Secret<const N: usize = 32>([u8; N]);

impl<const N: usize> Secret<N> {
    /// New random bytes.
    ///
    /// # Panics
    /// The operating system has no randomness: nothing can be protected then.
    #[must_use]
    pub fn random() -> Self {
        let mut secret = Self([0; N]);
        random::fill(&mut secret.0).expect("the operating system gives random bytes");
        secret
    }

    /// Takes the secret out of `bytes` and wipes them.
    #[must_use]
    pub fn take(bytes: &mut [u8; N]) -> Self {
        let secret = Self(*bytes);
        bytes.zeroize();
        secret
    }

    /// The secret in a slice of exactly `N` bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl<const N: usize> From<[u8; N]> for Secret<N> {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> Deref for Secret<N> {
    type Target = [u8; N];

    fn deref(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_but_not_shown_and_leaves_nothing_where_it_was_taken_from() {
        let mut bytes = [7; 16];
        let secret = Secret::take(&mut bytes);
        assert_eq!((bytes, *secret), ([0; 16], [7; 16]));
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
        assert_eq!(Secret::<16>::from_slice(&[7; 16]).as_deref(), Some(&[7; 16]));
        assert!(Secret::<16>::from_slice(&[7; 15]).is_none());
        assert_ne!(*Secret::<32>::random(), *Secret::<32>::random());
    }
}
