//! Random bytes from the operating system: nobody can guess them, and none come twice.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};

/// The operating system gave no random bytes. On Linux that happens where a sandbox forbids `getrandom`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the system gave no random numbers")
    }
}

impl std::error::Error for NoRandomness {}

/// Fills `bytes`.
///
/// # Errors
/// The system has none; what `bytes` hold then is not random.
pub fn fill(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    system().fill(bytes).map_err(|_| NoRandomness)
}

/// `N` random bytes; for keys see [`crate::Secret::random`].
///
/// # Errors
/// The system has none.
pub fn array<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// `N` random bytes for what must differ from all others but is no secret, such as a nonce or an id.
///
/// # Panics
/// The system has none.
#[must_use]
pub fn unique<const N: usize>() -> [u8; N] {
    array().expect("the operating system gives random bytes")
}

pub(crate) fn system() -> SystemRandom {
    SystemRandom::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_differ_each_time() {
        assert_ne!(array::<32>().unwrap(), array::<32>().unwrap());
        assert_ne!(array::<32>().unwrap(), [0; 32]);
    }
}
