//! The seam through which tests make the disk fail. In a normal build it is two calls to the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What the next operations on segment files do; shared by all files of one journal.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    #[cfg(any(test, feature = "faults"))]
    plan: std::sync::Arc<parking_lot::Mutex<Plan>>,
}

/// Planned failures.
#[cfg(any(test, feature = "faults"))]
#[derive(Default)]
pub struct Plan {
    /// Error of the next sync.
    pub sync: Option<io::ErrorKind>,
    /// The next write stores this many bytes and then fails.
    pub write: Option<(usize, io::ErrorKind)>,
    /// Every allocation fails with this while it is set.
    pub allocate: Option<io::ErrorKind>,
}

impl Faults {
    /// Changes the plan.
    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn plan(&self) -> parking_lot::MutexGuard<'_, Plan> {
        self.plan.lock()
    }

    pub(crate) fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(any(test, feature = "faults"))]
        if let Some((stored, kind)) = self.plan.lock().write.take() {
            file.write_all_at(&bytes[..stored.min(bytes.len())], offset)?;
            return Err(kind.into());
        }
        file.write_all_at(bytes, offset)
    }

    pub(crate) fn sync_data(&self, file: &File) -> io::Result<()> {
        #[cfg(any(test, feature = "faults"))]
        if let Some(kind) = self.plan.lock().sync.take() {
            return Err(kind.into());
        }
        file.sync_data()
    }

    /// Makes sure that `len` bytes from `offset` have blocks and read as zeros.
    pub(crate) fn allocate(&self, file: &File, offset: u64, len: u64) -> io::Result<()> {
        #[cfg(any(test, feature = "faults"))]
        if let Some(kind) = self.plan.lock().allocate {
            return Err(kind.into());
        }
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), offset, len) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => write_zeros(file, offset, len),
            Err(error) => Err(error.into()),
        }
    }
}

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
