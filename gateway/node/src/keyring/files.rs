//! Files of the keyring: there wholly or not at all, and for the service's eyes alone.

use super::error::KeyringError;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Suffix of a file being written.
const TEMPORARY: &str = ".tmp";

/// Reads a secret file; one that others may read is refused.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let meta = fs::metadata(path).map_err(KeyringError::io(path))?;
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(KeyringError::Open(path.into()));
    }
    fs::read(path).map(Zeroizing::new).map_err(KeyringError::io(path))
}

/// Writes beside, syncs, renames, syncs the directory.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), KeyringError> {
    let io = KeyringError::io(path);
    let mut beside = path.as_os_str().to_owned();
    beside.push(TEMPORARY);
    let beside = PathBuf::from(beside);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(&io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(&io)?;
    fs::rename(&beside, path).map_err(&io)?;
    sync(path.parent().unwrap_or(path))
}

/// Overwrites and removes a private key. The medium may keep old blocks: sealing is what protects against that.
pub(super) fn destroy(path: &Path) -> Result<(), KeyringError> {
    let io = KeyringError::io(path);
    match OpenOptions::new().write(true).open(path) {
        Ok(mut file) => {
            let length = file.metadata().map_err(&io)?.len().min(64 << 10);
            let blank = vec![0; usize::try_from(length).unwrap_or(0)];
            file.write_all(&blank).and_then(|()| file.sync_all()).map_err(&io)?;
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(io(e)),
    }
    fs::remove_file(path).map_err(&io)?;
    sync(path.parent().unwrap_or(path))
}

/// Makes the directory of keys.
pub(super) fn directory(dir: &Path) -> Result<(), KeyringError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(KeyringError::io(dir))
}

fn sync(dir: &Path) -> Result<(), KeyringError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(KeyringError::io(dir))
}
