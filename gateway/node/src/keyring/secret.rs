//! The secrets that people and systemd keep for the keyring: passphrases and credentials, read from their files.

use super::error::KeyringError;
use super::files;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Fewer characters protect nothing.
const LEAST: usize = 12;

/// Reads a passphrase file without its last line end.
pub(super) fn passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    Ok(trimmed(files::read(path)?))
}

/// The same for a passphrase that is to protect something new.
pub(super) fn new_passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    long_enough(passphrase(path)?, path)
}

/// Refuses a secret that can be guessed.
pub(super) fn long_enough(
    secret: Zeroizing<Vec<u8>>,
    path: &Path,
) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    if secret.len() < LEAST { Err(KeyringError::WeakPassphrase(path.into())) } else { Ok(secret) }
}

/// Reads a systemd credential. systemd guards the directory; the file may be readable by the service's group.
pub(super) fn credential(name: &str) -> Result<(Zeroizing<Vec<u8>>, PathBuf), KeyringError> {
    let missing = || KeyringError::NoCredential(name.to_owned());
    let plain = !name.is_empty() && !name.contains('/') && name != "..";
    let dir = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|_| plain).ok_or_else(missing)?;
    let path = PathBuf::from(dir).join(name);
    let bytes = std::fs::read(&path).map_err(|_| missing())?;
    Ok((trimmed(Zeroizing::new(bytes)), path))
}

fn trimmed(mut bytes: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    while bytes.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
        bytes.pop();
    }
    bytes
}
