//! What the writer and all readers of a journal share: the segments there are, and at most so many of them open.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::archive::Archives;
use super::at_rest::AtRest;
use super::idempotency::Idempotency;
use super::index::Indexes;
use super::segment::{Part, Segment, SegmentFile};
use crate::ReadError;
use crate::keys::{Purpose, WrappedKey};

/// What the writer and all readers share.
pub(crate) struct Shared {
    pub(crate) at_rest: AtRest,
    pub(crate) segments: RwLock<BTreeMap<u64, Arc<Segment>>>,
    /// Number of the segment being written, or 0.
    pub(crate) active: AtomicU64,
    pub(crate) idempotency: Idempotency,
    pub(crate) archives: Archives,
    pub(crate) indexes: Indexes,
    /// Held while a segment is retired or its archive deleted: one at a time, and no key is wrapped anew meanwhile, or a
    /// destroyed key would be written again.
    pub(crate) retiring: Mutex<()>,
}

/// Files kept open at most, beside the active one.
const MAX_OPEN: usize = 256;

impl Shared {
    pub(crate) fn holds(&self, segment: u64) -> bool {
        self.segments.read().contains_key(&segment)
    }

    /// The open file of a segment; opens it if needed and closes others beyond the limit.
    pub(crate) fn open(&self, segment: &Segment) -> Result<Arc<SegmentFile>, ReadError> {
        if let Some(open) = &*segment.open.lock() {
            return Ok(open.clone());
        }
        let number = segment.header.number;
        let dir = self.at_rest.dir.journal();
        let key = WrappedKey::read(
            &Part::Key.path(&dir, number),
            Purpose::Segment,
            number,
            &self.at_rest.keys.read(),
        )?;
        let path = Part::Segment.path(&dir, number);
        let file = File::open(&path).map_err(|error| ReadError::Io(path, error))?;
        let open = Arc::new(SegmentFile { file, key: key.data_key() });
        self.close_some(number);
        *segment.open.lock() = Some(open.clone());
        Ok(open)
    }

    fn close_some(&self, keep: u64) {
        let active = self.active.load(Ordering::Acquire);
        let segments = self.segments.read();
        let open: Vec<_> = segments.values().filter(|segment| segment.open.lock().is_some()).collect();
        let candidates = open.iter().filter(|segment| ![keep, active].contains(&segment.header.number));
        for segment in candidates.take(open.len().saturating_sub(MAX_OPEN)) {
            *segment.open.lock() = None;
        }
    }
}
