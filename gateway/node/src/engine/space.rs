//! Room on the disk. Neither sled nor the log files live well on a disk without any. So the node takes no records while
//! there is still room for what it owes its recipients, and writes nothing at all before there is none.

use super::{CommitError, Node};

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FreeSpace {
    /// Not even for sealing a batch or noting an answer: only what is there is served.
    Gone,
    /// Not for new records.
    Scarce,
    /// As much as the reserve asks for.
    Enough,
}

impl Node {
    /// The room there is now. A file system that does not say has enough: writing will tell.
    pub(super) fn free_space(&self) -> FreeSpace {
        let reserve = self.config.storage.reserve_bytes;
        match self.data_dir.free_bytes() {
            Ok(free) if free < reserve / 8 => FreeSpace::Gone,
            Ok(free) if free < reserve => FreeSpace::Scarce,
            _ => FreeSpace::Enough,
        }
    }

    /// Something was not written for lack of room.
    pub(super) fn disk_full(&self) -> CommitError {
        if self.trouble().append != Some(CommitError::DiskFull) {
            tracing::error!(
                code = "disk.full",
                "the disk is nearly full; no new records are taken until space is freed"
            );
        }
        self.append_failed(CommitError::DiskFull);
        CommitError::DiskFull
    }

    /// Forgets that the disk was full once it is not: nobody sends to a node that is not ready.
    pub(super) fn look_for_space(&self) {
        if self.trouble().append == Some(CommitError::DiskFull) && self.free_space() == FreeSpace::Enough {
            self.append_succeeded();
        }
    }
}
