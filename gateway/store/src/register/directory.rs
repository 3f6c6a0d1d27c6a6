//! The register's directory, `data/register/`: the names in it, and how they are changed.
//!
//! ```text
//! key         the register's key, wrapped by the at-rest key; keys of manifests and runs are derived from it
//! manifest    which runs there are, and through where they cover the journal
//! <n>.run     a run
//! damaged     which file was found damaged; the register does not open while this is there
//! ```

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::RegisterError;
use crate::disk::Disk;
use crate::{DataDir, durable};

pub(super) struct Directory {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// Keeps the data directory locked.
    _dir: DataDir,
}

impl Directory {
    pub(super) fn of(dir: &DataDir, disk: Arc<dyn Disk>) -> Self {
        Self { path: dir.path().join("register"), disk, _dir: dir.clone() }
    }

    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(super) fn manifest(&self) -> PathBuf {
        self.path.join("manifest")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.path.join("key")
    }

    pub(super) fn run(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:016x}.run"))
    }

    /// Whether there never was anything, or what there was has been discarded: no manifest and no run.
    pub(super) fn is_new(&self) -> Result<bool, RegisterError> {
        let names = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            names => names.map_err(|error| RegisterError::reading(&self.path, error))?,
        };
        for name in names {
            let name = name.map_err(|error| RegisterError::reading(&self.path, error))?.file_name();
            if name == "manifest" || Path::new(&name).extension() == Some(OsStr::new("run")) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The file that was found damaged.
    pub(super) fn damaged(&self) -> Result<Option<PathBuf>, RegisterError> {
        let mark = self.mark();
        match fs::read_to_string(&mark) {
            Ok(name) => Ok(Some(self.path.join(name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // What cannot be read as a name is a mark all the same.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(mark)),
            Err(error) => Err(RegisterError::reading(&mark, error)),
        }
    }

    /// Has the register not open again. If that cannot be written, the damage is found again.
    pub(super) fn mark_damaged(&self, file: &Path) {
        let name = file.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
        let _ = self.replace(&self.mark(), name);
    }

    /// Replaces a file durably: after an error the old or the new one may be there.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), RegisterError> {
        let replaced = durable::replace_on(&*self.disk, path, bytes);
        replaced.map_err(|error| RegisterError::Io(path.to_owned(), error))
    }

    /// Makes the names of files durable.
    pub(super) fn sync(&self) -> Result<(), RegisterError> {
        self.disk.sync_dir(&self.path).map_err(|error| RegisterError::Io(self.path.clone(), error))
    }

    /// Deletes a run. One that stays is deleted when the register is opened next: no manifest names it.
    pub(super) fn remove_run(&self, number: u64) {
        let _ = self.disk.remove(&self.run(number));
    }

    /// Makes the directory if need be, and deletes what is in it but for what is kept.
    pub(super) fn sweep(&self, kept: &[PathBuf]) -> Result<(), RegisterError> {
        self.swept(kept).map_err(|error| RegisterError::Io(self.path.clone(), error))
    }

    fn swept(&self, kept: &[PathBuf]) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|found| !found.is_dir()) {
            self.disk.remove(&self.path)?;
        }
        durable::create_dir(&self.path)?;
        durable::sync_parent(&self.path)?;
        let key = self.key();
        // The key first: what is left if this stops half way is not opened.
        if !kept.contains(&key) && key.is_file() {
            durable::destroy(&key)?;
        }
        for entry in fs::read_dir(&self.path)? {
            let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
            match kept.contains(&path) {
                true => {}
                false if kind.is_dir() => fs::remove_dir_all(&path)?,
                false => self.disk.remove(&path)?,
            }
        }
        self.disk.sync_dir(&self.path)
    }

    fn mark(&self) -> PathBuf {
        self.path.join("damaged")
    }
}
