//! A disk that fails when told to, as real ones do: short writes leave their part, what fails may be there all the same.

use std::fs::File;
use std::io::{self, ErrorKind};

use parking_lot::Mutex;

use crate::{Disk, RealDisk};

/// Planned failures; without any, the real disk.
#[derive(Debug, Default)]
pub(super) struct Failing {
    /// Error of the next sync.
    pub(super) sync: Mutex<Option<ErrorKind>>,
    /// The next write stores this many bytes and then fails.
    pub(super) write: Mutex<Option<(usize, ErrorKind)>>,
    /// Every allocation fails with this while it is set.
    pub(super) allocate: Mutex<Option<ErrorKind>>,
}

impl Disk for Failing {
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some((stored, kind)) = self.write.lock().take() {
            RealDisk.write_all_at(file, &bytes[..stored.min(bytes.len())], offset)?;
            return Err(kind.into());
        }
        RealDisk.write_all_at(file, bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        let planned = self.sync.lock().take();
        planned.map_or_else(|| RealDisk.sync_data(file), |kind| Err(kind.into()))
    }

    fn allocate(&self, file: &File, offset: u64, len: u64) -> io::Result<()> {
        let planned = *self.allocate.lock();
        planned.map_or_else(|| RealDisk.allocate(file, offset, len), |kind| Err(kind.into()))
    }
}
