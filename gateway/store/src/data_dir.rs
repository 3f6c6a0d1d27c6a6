//! The data directory and its single writer. Whoever holds a [`DataDir`] holds the lock; the journal, the queue and
//! the log files can be opened through it only.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{OpenError, durable};

const FORMAT: &[u8] = b"xinqiao-store 1\n";

/// The locked data directory. Clones share the lock; it is released when the last one is dropped.
#[derive(Clone)]
pub struct DataDir(Arc<Locked>);

struct Locked {
    path: PathBuf,
    lock: File,
}

impl DataDir {
    /// Locks `path`, creating it if needed, and checks its format.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path = path.into();
        let lock = Self::prepare(&path).map_err(|error| OpenError::Io(path.clone(), error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(path)),
            Err(TryLockError::Error(error)) => return Err(OpenError::Io(path, error)),
        }
        let format = path.join("format");
        match std::fs::read(&format) {
            Ok(found) if found == FORMAT => {}
            Ok(_) => return Err(OpenError::Format(format)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                durable::replace(&format, FORMAT).map_err(|error| OpenError::Io(format, error))?;
            }
            Err(error) => return Err(OpenError::Io(format, error)),
        }
        Ok(Self(Arc::new(Locked { path, lock })))
    }

    fn prepare(path: &Path) -> io::Result<File> {
        durable::create_dir(path)?;
        for part in ["journal", "log", "evidence"] {
            durable::create_dir(&path.join(part))?;
        }
        let lock = durable::create(&path.join("LOCK"))?;
        durable::sync_dir(path)?;
        Ok(lock)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Bytes the file system still has for whoever owns the directory.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let system = rustix::fs::statvfs(&self.0.path)?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }

    /// Whether `LOCK` is still the file this holder locked. A copied or re-created directory has another.
    pub(crate) fn is_ours(&self) -> bool {
        let (Ok(held), Ok(named)) = (self.0.lock.metadata(), std::fs::metadata(self.0.path.join("LOCK")))
        else {
            return false;
        };
        (held.dev(), held.ino()) == (named.dev(), named.ino())
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.0.path.join("journal")
    }

    pub(crate) fn evidence(&self) -> PathBuf {
        self.0.path.join("evidence")
    }

    pub(crate) fn clean_mark(&self) -> PathBuf {
        self.0.path.join("CLEAN")
    }
}
