//! Files that are whole or absent after a crash or a power cut, in a directory that one program uses at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::ClientError;

/// Who may read a file that is written, before the user's mask.
#[derive(Clone, Copy)]
pub(crate) enum Readers {
    /// As the mask has it: evidence, which auditors read too.
    Mask,
    /// The owner alone: secrets, and records on their way.
    Owner,
}

/// Replaces a file whole, or not at all; it is on disk under its name when this returns.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), ClientError> {
    let name = path.file_name().expect("callers name a file").to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.new"));
    let write = || -> io::Result<()> {
        let mode = match readers {
            Readers::Mask => 0o666,
            Readers::Owner => 0o600,
        };
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        file.write_all(bytes)?;
        // Before the name: after a power cut a name must never stand for bytes that were not there yet.
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    if let Err(error) = write() {
        // On a full disk the part that was written is in the way of what comes next. What fails here is left for later.
        let _ = fs::remove_file(&beside);
        return Err(ClientError::local(path, error));
    }
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), ClientError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| ClientError::local(path, error))
}

/// Removes a file; one that is not there is removed already.
pub(crate) fn remove(path: &Path) -> Result<(), ClientError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ClientError::local(path, error)),
        _ => Ok(()),
    }
}

/// A file's bytes; `None` if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, ClientError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ClientError::local(path, error)),
    }
}

/// A locked directory, until it is dropped.
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// Unlocks instead of only closing: a process that is just being started by another thread holds a copy of the open file, and with it the
    /// lock, until its program runs.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Locks a directory; `None` if another program has it. The kernel lets go when the program ends, however it ends.
pub(crate) fn lock(directory: &Path) -> Result<Option<Lock>, ClientError> {
    let path = directory.join(".lock");
    let failed = |error| ClientError::local(&path, error);
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(Lock(lock))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
