//! File system steps that survive a power cut: a file or a name is there wholly or not at all once these return.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, RealDisk};

/// Suffix of files being written; whatever carries it at start is left over from a crash.
pub(crate) const TEMPORARY: &str = "tmp";

/// Replaces `path` by `bytes`: written beside it, synced, renamed, directory synced.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_on(&RealDisk, path, bytes)
}

/// [`replace`] on a disk that is given.
pub(crate) fn replace_on(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    let file = disk.create(&temporary)?;
    disk.write_all_at(&file, bytes, 0)?;
    // The length too, without which what was written could not be read.
    disk.sync_data(&file)?;
    drop(file);
    disk.rename(&temporary, path)?;
    disk.sync_dir(parent(path))
}

/// The name under which `path` is written before it is renamed.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(TEMPORARY);
    PathBuf::from(name)
}

/// A new or emptied file only its owner may read.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    RealDisk.create(path)
}

pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes `path`, if it is there, durably.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Overwrites a key file before removing it, and what a failed [`replace`] of it left. The medium may keep old blocks:
/// what they hold is wrapped by the at-rest key.
pub(crate) fn destroy(path: &Path) -> io::Result<()> {
    overwrite_and_remove(&temporary(path))?;
    overwrite_and_remove(path)
}

fn overwrite_and_remove(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).open(path) {
        Ok(mut file) => {
            let len = usize::try_from(file.metadata()?.len()).unwrap_or(0).min(4096);
            file.write_all(&vec![0; len])?;
            file.sync_all()?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    remove(path)
}

pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    sync_dir(parent(path))
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("files of the store lie in a directory")
}

pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    RealDisk.sync_dir(path)
}

/// Whether the error says that the disk (or quota) is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
