//! What the journal does to its segment files and the register to all of its files, as a seam: a node runs on
//! [`RealDisk`], a test gives a disk that fails when it is told to. It is given when they are opened and not chosen by a
//! feature of this crate: with a feature, the program that tests start would be another build of everything above this
//! crate than the one they link.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// What changes files. Each method is what the operating system does unless it is overridden; an override that fails
/// leaves the file as a real disk might: nothing is taken for granted after an error. The journal writes, syncs and
/// allocates by it, the register does all but allocate.
pub trait Disk: Send + Sync + Debug {
    /// A new or emptied file only its owner may read.
    ///
    /// # Errors
    /// Those of the file system.
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
    }

    /// Writes all of `bytes` from `offset`. After an error, any part of them may be there.
    ///
    /// # Errors
    /// Those of the file system; [`io::ErrorKind::StorageFull`] is told apart by the journal.
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    /// Returns when what was written is on the device. After an error nobody knows.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Gives a file another name, in place of what has that name.
    ///
    /// # Errors
    /// Those of the file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Takes a file's name away; those who have it open still read it.
    ///
    /// # Errors
    /// Those of the file system.
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    /// Returns when the names in a directory are on the device.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// Makes sure that `len` bytes from `offset` have blocks and read as zeros.
    ///
    /// # Errors
    /// Those of the file system; [`io::ErrorKind::StorageFull`] is told apart by the journal.
    fn allocate(&self, file: &File, offset: u64, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), offset, len) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => write_zeros(file, offset, len),
            Err(error) => Err(error.into()),
        }
    }
}

/// The disk as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {}

fn write_zeros(file: &File, mut offset: u64, mut len: u64) -> io::Result<()> {
    const BLOCK: usize = 64 << 10;
    while len > 0 {
        let now = len.min(BLOCK as u64);
        file.write_all_at(&[0; BLOCK][..usize::try_from(now).expect("at most one block")], offset)?;
        (offset, len) = (offset + now, len - now);
    }
    Ok(())
}

/// Drops clean pages of `file` from the page cache, so that what is read next is what the device holds: after a failed
/// sync the kernel keeps pages it never wrote, marked clean.
pub(crate) fn forget_cached(file: &File) {
    // Advice only: where it is refused, a read gives what the cache holds, as it would have without it.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}
