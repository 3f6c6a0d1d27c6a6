//! A stream's directory: names of files, whole writes, one user at a time.

use std::fs;
use std::path::{Path, PathBuf};
use xinqiao_evidence::manifest::MediaType;
use xinqiao_evidence::names;

use crate::durable::{self, Readers, sync_directory};
use crate::error::ClientError;

pub(super) struct Folder {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: durable::Lock,
}

pub(super) fn manifest(seq: u64) -> String {
    format!("{seq}.manifest.json")
}

pub(super) fn proof(seq: u64) -> String {
    format!("{seq}.proof")
}

pub(super) fn payload(seq: u64, kind: MediaType) -> String {
    format!("{seq}.payload.ndjson{}", kind.suffix())
}

/// Stands where a payload would, had the node not taken it back: why.
pub(super) fn gone(seq: u64) -> String {
    format!("{seq}.gone.json")
}

/// A payload that is not complete, or not verified.
pub(super) fn part(seq: u64) -> String {
    format!(".{seq}.payload.part")
}

pub(super) fn acknowledgement(seq: u64) -> String {
    format!("{seq}.acknowledgement.json")
}

impl Folder {
    pub(super) fn open(into: &Path, stream: &str) -> Result<Self, ClientError> {
        if !names::is_stream(stream) {
            return Err(ClientError::setting(
                "stream",
                "a stream is <recipient>.<dataset>, with ~history for the slow lane",
                "数据流写作 <接收方>.<数据集>，存量通道加 ~history",
            ));
        }
        let path = into.join(stream);
        fs::create_dir_all(&path).map_err(|error| ClientError::local(&path, error))?;
        match durable::lock(&path)? {
            Some(lock) => Ok(Self { path, _lock: lock }),
            None => Err(ClientError::setting(
                path.display().to_string(),
                "another program follows this stream into the same directory; stop it first",
                "另一程序正在向同一目录拉取该数据流，请先停止它",
            )),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file's bytes; `None` if there is no such file.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ClientError> {
        durable::read(&self.path(name))
    }

    /// Replaces a file whole, or not at all; it is on disk when this returns.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ClientError> {
        durable::write_whole(&self.path(name), bytes, Readers::Mask)
    }

    /// Gives a finished, synced file its final name.
    pub(super) fn publish(&self, from: &str, to: &str) -> Result<(), ClientError> {
        let (from, to) = (self.path(from), self.path(to));
        fs::rename(&from, &to).map_err(|error| ClientError::local(&from, error))?;
        sync_directory(&self.path)
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), ClientError> {
        durable::remove(&self.path(name))
    }

    /// Moves everything numbered into `epoch-<n>/`, so that the next epoch's numbers are free.
    pub(super) fn archive(&self, epoch: u64) -> Result<(), ClientError> {
        let aside = self.path(&format!("epoch-{epoch}"));
        let failed = |error| ClientError::local(&aside, error);
        fs::create_dir_all(&aside).map_err(failed)?;
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let text = name.to_string_lossy();
            if text.as_bytes().first().is_some_and(u8::is_ascii_digit) {
                fs::rename(entry.path(), aside.join(&name)).map_err(failed)?;
            } else if text.ends_with(".payload.part") {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        sync_directory(&aside)?;
        sync_directory(&self.path)
    }
}
