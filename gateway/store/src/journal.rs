//! The journal: the truth of the node, as append-only segments. What [`Journal::append`] returned for survives a power
//! cut; what it did not return for is void or, if nothing followed it, whole.
//!
//! One thread appends, any number read through [`Reader`]. What the bytes mean is the caller's.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use xinqiao_crypto::Secret;
use xinqiao_crypto::random::unique;

use crate::disk::Disk;
use crate::keys::{KeyFault, Purpose, WrappedKey};
use crate::{AppendError, AtRestKeys, ItemRef, OpenError, Position, durable};
use frame::{ALIGN, align, encode, encoded_len};
use idempotency::{ClosedKeys, KeyFile};
use segment::{End, Part, PreviousSegment, Segment, SegmentFile, SegmentHeader};
use shared::Shared;

pub(crate) mod archive;
pub(crate) mod at_rest;
pub(crate) mod clean;
pub(crate) mod frame;
pub(crate) mod idempotency;
pub(crate) mod index;
pub(crate) mod reader;
pub(crate) mod recover;
pub(crate) mod retire;
pub(crate) mod scan;
pub(crate) mod segment;
pub(crate) mod shared;

#[cfg(test)]
pub(crate) mod tests;

pub use archive::ArchivedItem;
pub use frame::{Class, Frame, IdemEntry, Item};
pub use index::IndexWriter;
pub use reader::{Reader, ReplayFrame, ReplayItem, SegmentStats};
pub use recover::{Cut, Options, Recovery, WallClock};

/// The single writer of the journal.
pub struct Journal {
    shared: Arc<Shared>,
    segment_bytes: u64,
    clock: WallClock,
    active: Option<Active>,
    /// How the newest segment ended; what the next header says.
    previous: Option<PreviousSegment>,
    end: Option<Position>,
    log_index: u64,
    /// No segment with this number or a later one was ever retired.
    first_free: u64,
    /// A closing record that could not be written yet.
    unwritten: Vec<(Arc<Segment>, Arc<ClosedKeys>)>,
    buffer: Vec<u8>,
    disk: Arc<dyn Disk>,
}

/// The segment being written.
struct Active {
    segment: Arc<Segment>,
    file: Arc<SegmentFile>,
    /// Bytes of the file that have blocks.
    allocated: u64,
}

/// A durable frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Where it stands.
    pub position: Position,
    /// Its items, in order.
    pub items: Vec<ItemRef>,
}

/// Blocks are allocated this far ahead, so that a sync need not write metadata.
const AHEAD: u64 = 8 << 20;
/// The least allocated when the disk is nearly full.
const LEAST: u64 = 64 << 10;

impl Journal {
    /// Seals, writes and syncs one frame, and only then returns. After an error the journal is as usable as the error
    /// says; the next append opens a new segment where needed.
    pub fn append(&mut self, frame: &Frame<'_>) -> Result<Appended, AppendError> {
        let len = encoded_len(frame).ok_or(AppendError::TooLarge)?;
        let active = self.room_for(len)?;
        let segment = active.segment.clone();
        let file = active.file.clone();
        let end = segment.end();
        let place = end.place(&segment.header);
        self.buffer.clear();
        let mut items = Vec::with_capacity(frame.items.len());
        let tail = encode(frame, &place, &file.key, &mut self.buffer, &mut items);
        if let Err(error) = self.disk.write_all_at(&file.file, &self.buffer, place.offset) {
            // Part of the frame may be in the file: its number and nonces must not be used again.
            self.close_active();
            let full = durable::is_full(&error);
            return Err(if full { AppendError::Full(error) } else { AppendError::OutcomeUnknown(error) });
        }
        // Never tried again: after a failed sync the kernel may count the lost pages as written, and a second sync would
        // succeed for nothing. Whether the frame is on the disk is unknown; it becomes void with the header of the next
        // segment, which says where this one ends.
        if let Err(error) = self.disk.sync_data(&file.file) {
            self.close_active();
            return Err(AppendError::OutcomeUnknown(error));
        }
        let position = Position { segment: place.segment, frame: place.frame };
        if !frame.log_entries.is_empty() {
            self.log_index = frame.first_log_index.saturating_add(frame.log_entries.len() as u64);
        }
        self.end = Some(position);
        let offset = align(place.offset + len);
        let frames = end.frames + 1;
        // Only now, after the sync: from here on readers see the frame, and could hand out what a power cut takes back.
        // The same holds for the idempotency keys, from which a repeat is answered.
        segment.advance(End { frames, offset, tail, log_index: self.log_index, last: self.end });
        self.shared.idempotency.insert(frame.idempotency);
        self.buffer.shrink_to(4 << 20);
        Ok(Appended { position, items })
    }

    /// Closes the segment being written; the next append opens another. For retention that needs a boundary now.
    pub fn roll(&mut self) {
        self.close_active();
    }

    /// Closes the journal and leaves the mark of a clean shutdown. Dropping it instead is safe, and is what a crash
    /// does. An append after it opens a new segment and takes the mark away.
    pub fn close(&mut self) -> io::Result<()> {
        self.close_active();
        self.write_closing_records()?;
        clean::Mark { end: self.end, previous: self.previous, log_index: self.log_index }
            .write(&self.shared.at_rest.dir.clean_mark())
    }

    /// Takes over `keys` and wraps every data key of journal and evidence by their current one. Returns how many were
    /// re-wrapped. May be repeated after an error; the older key must be kept until it returns.
    pub fn rewrap(&self, keys: &AtRestKeys) -> Result<usize, OpenError> {
        // Not while a segment is retired: its destroyed key must not be written again. `retiring` is taken before `keys`
        // here and in [`Reader::retire`].
        let _none = self.shared.retiring.lock();
        // In front of the files: what is created while they are gone through is wrapped by the new key from the start.
        *self.shared.at_rest.keys.write() = keys.clone();
        let mut count = 0;
        for (dir, part, purpose) in [
            (self.shared.at_rest.dir.journal(), Part::Key, Purpose::Segment),
            (self.shared.at_rest.dir.evidence(), Part::Key, Purpose::Archive),
            (self.shared.at_rest.dir.evidence(), Part::IndexKey, Purpose::Index),
        ] {
            for number in recover::numbers(&dir, part)? {
                match WrappedKey::rewrap(&part.path(&dir, number), purpose, number, keys) {
                    Ok(rewrapped) => count += usize::from(rewrapped),
                    // Retired meanwhile.
                    Err(KeyFault::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(fault) => return Err(fault.into()),
                }
            }
        }
        Ok(count)
    }

    /// A reader of this journal.
    pub fn reader(&self) -> Reader {
        Reader(self.shared.clone())
    }

    /// The last durable frame.
    pub fn end(&self) -> Option<Position> {
        self.end
    }

    /// Index the next log entry is expected to have.
    pub fn next_log_index(&self) -> u64 {
        self.log_index
    }

    /// The active segment, with blocks for `len` more bytes.
    fn room_for(&mut self, len: u64) -> Result<&Active, AppendError> {
        if let Some(active) = &self.active {
            let end = active.segment.end();
            if end.frames > 0 && end.offset + len > self.segment_bytes {
                self.close_active();
            }
        }
        if self.active.is_none() {
            let active = self.open_segment()?;
            self.shared.active.store(active.segment.header.number, Ordering::Release);
            self.shared.segments.write().insert(active.segment.header.number, active.segment.clone());
            self.active = Some(active);
        }
        let active = self.active.as_mut().expect("opened above");
        let need = align(active.segment.end().offset + len);
        if need > active.allocated {
            let ahead = (active.allocated + AHEAD).min(self.segment_bytes).max(need);
            active.allocated = allocate(&*self.disk, &active.file.file, active.allocated, need, ahead)
                .map_err(AppendError::Full)?;
        }
        Ok(active)
    }

    fn open_segment(&mut self) -> Result<Active, AppendError> {
        if !self.shared.at_rest.dir.is_ours() {
            return Err(AppendError::Fenced);
        }
        // The record of the segment before should not wait for ever, but a full disk must not stop reads of it.
        let _ = self.write_closing_records();
        self.create_segment().map_err(|error| match durable::is_full(&error) {
            true => AppendError::Full(error),
            false => AppendError::Unavailable(error),
        })
    }

    fn create_segment(&self) -> io::Result<Active> {
        let dir = self.shared.at_rest.dir.journal();
        // First: a mark of a clean shutdown beside a newer segment would look like an exchanged journal at the next
        // start.
        durable::remove(&self.shared.at_rest.dir.clean_mark())?;
        // Never a number that was retired: its archive lies under it, and would be taken for this segment's.
        let number = self.previous.map_or(1, |previous| previous.number + 1).max(self.first_free);
        let wrapped = WrappedKey { id: unique(), key: Secret::random() };
        // The key is durable before the segment exists. A segment without a key is refused at the next start, a key
        // without a segment is overwritten by the next one of its number.
        wrapped.write(
            &Part::Key.path(&dir, number),
            Purpose::Segment,
            number,
            &self.shared.at_rest.keys.read(),
        )?;
        let header = SegmentHeader {
            number,
            id: wrapped.id,
            opened_at: self.clock.now(),
            previous: self.previous,
            last: self.end,
            log_index: self.log_index,
        };
        let path = Part::Segment.path(&dir, number);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let allocated = allocate(&*self.disk, &file, 0, ALIGN + LEAST, AHEAD.min(self.segment_bytes))?;
        self.disk.write_all_at(&file, &header.to_bytes(), 0)?;
        // Header and name are durable before the first frame: the frame would be lost with its file, though synced.
        file.sync_all()?;
        durable::sync_dir(&dir)?;
        let file = Arc::new(SegmentFile { file, key: wrapped.data_key() });
        let segment = Arc::new(Segment::new(header, End::empty(&header), Some(file.clone())));
        Ok(Active { segment, file, allocated })
    }

    fn close_active(&mut self) {
        let Some(active) = self.active.take() else { return };
        let header = active.segment.header;
        let end = active.segment.end();
        self.shared.active.store(0, Ordering::Release);
        self.previous = Some(PreviousSegment {
            number: header.number,
            id: header.id,
            frames: end.frames,
            tail: end.tail,
        });
        trim(&active.file.file, end.offset);
        // The closing record is written with the next segment or at the end, not here: this runs after failures too, when
        // the disk may be full, and a lost record is collected again from the frames.
        let keys = self.shared.idempotency.close(header.number);
        self.unwritten.push((active.segment, keys));
    }

    /// Gives back the blocks a crashed process had allocated ahead.
    fn trim_newest(&self) {
        if let Some((_, segment)) = self.shared.segments.read().last_key_value()
            && let Some(open) = &*segment.open.lock()
        {
            trim(&open.file, segment.end().offset);
        }
    }

    fn write_closing_records(&mut self) -> io::Result<()> {
        let dir = self.shared.at_rest.dir.journal();
        while let Some((segment, keys)) = self.unwritten.first() {
            let number = segment.header.number;
            let path = Part::Closing.path(&dir, number);
            let file = KeyFile::write(&path, &segment.header, &segment.end(), keys.entries())?;
            self.shared.idempotency.set(number, ClosedKeys::File(file));
            self.unwritten.remove(0);
        }
        Ok(())
    }
}

/// Gives `file` blocks up to `ahead`, or at least up to `need`; returns how far.
fn allocate(disk: &dyn Disk, file: &File, from: u64, need: u64, ahead: u64) -> io::Result<u64> {
    let ahead = ahead.max(need);
    match disk.allocate(file, from, ahead - from) {
        Ok(()) => Ok(ahead),
        Err(error) if durable::is_full(&error) && need < ahead => {
            let least = (from + LEAST).max(need);
            disk.allocate(file, from, least - from).map(|()| least)
        }
        Err(error) => Err(error),
    }
}

/// Gives blocks ahead of the end back. What stands there is void, and a failure costs only space.
fn trim(file: &File, end: u64) {
    let _ = file.set_len(end);
}
