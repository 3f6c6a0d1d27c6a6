//! Reading what is durable: single items, and the frames in order. Any number of threads may read while one appends.

use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::frame::{Class, Front, HEADER, IdemEntry, Place, open_front, open_item};
use super::scan::Window;
use super::segment::{Part, Segment, SegmentFile};
use super::shared::Shared;
use crate::cipher::TAG;
use crate::{Damage, DataDir, ItemRef, Position, ReadError};

mod evidence;

/// Reads the journal. Clones share everything.
#[derive(Clone)]
pub struct Reader(pub(crate) Arc<Shared>);

/// One frame as replay shows it. Items are not read until asked for.
pub struct ReplayFrame<'a> {
    /// Where it stands.
    pub position: Position,
    /// The tag it was appended with.
    pub kind: u8,
    /// Its items, in order.
    pub items: Vec<ReplayItem<'a>>,
    /// Its entries for the log files.
    pub log_entries: Vec<&'a [u8]>,
    /// Index of the first of them.
    pub first_log_index: u64,
    /// The idempotency keys it answers.
    pub idempotency: Vec<IdemEntry>,
    segment: &'a SegmentFile,
    place: Place,
}

/// An item in a replayed frame.
#[derive(Clone, Copy)]
pub struct ReplayItem<'a> {
    /// What becomes of it when the segment goes.
    pub class: Class,
    /// What it was bound to when appended.
    pub aad: &'a [u8],
    /// Reads it, now or later.
    pub reference: ItemRef,
}

/// What one segment holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentStats {
    /// Its number.
    pub segment: u64,
    /// Bytes up to the end of its last frame.
    pub bytes: u64,
    /// Milliseconds since 1970 when it was opened, by the clock of that time.
    pub opened_at: u64,
    /// Frames in it.
    pub frames: u64,
    /// Index of the first log entry it may hold.
    pub first_log_index: u64,
    /// Whether frames may still be appended to it.
    pub active: bool,
    /// Number of the segment before it, whether or not that is still there; nothing for the first of all.
    pub previous: Option<u64>,
}

impl Reader {
    /// The bytes of an item. `aad` must be what the item was appended with.
    pub fn read(&self, item: ItemRef, aad: &[u8]) -> Result<Vec<u8>, ReadError> {
        let segment = self.0.segments.read().get(&item.segment).cloned();
        let Some(segment) = segment else {
            return self.0.archives.read(&self.0.at_rest, item, aad);
        };
        let end = segment.end();
        let stop = item.offset.checked_add(u64::from(item.len) + TAG as u64);
        if item.frame >= end.frames || stop.is_none_or(|stop| stop > end.offset) {
            return Err(ReadError::Gone(item.position()));
        }
        let open = match self.0.open(&segment) {
            // It was retired just now: the archive was complete before the key went.
            Err(ReadError::Key(_) | ReadError::Io(..))
                if self.0.archives.accounts_for(&self.0.at_rest, item.segment) =>
            {
                return self.0.archives.read(&self.0.at_rest, item, aad);
            }
            open => open?,
        };
        let place = Place { frame: item.frame, ..end.place(&segment.header) };
        read_item(&open, &place, item, aad)
    }

    /// Shows every frame after `from` in order, up to what was durable when called, until `each` breaks. Returns the
    /// last position shown, or `from`.
    pub fn replay(
        &self,
        from: Option<Position>,
        mut each: impl FnMut(ReplayFrame<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Position>, ReadError> {
        let first = from.map_or(0, |from| from.segment);
        let segments: Vec<_> =
            self.0.segments.read().range(first..).map(|(_, segment)| segment.clone()).collect();
        let mut last = from;
        let mut expected = from.map(|from| from.segment);
        for segment in segments {
            let number = segment.header.number;
            for missing in expected.unwrap_or(number)..number {
                if segment.header.follows(missing) && !self.0.archives.accounts_for(&self.0.at_rest, missing)
                {
                    return Err(ReadError::Missing(missing));
                }
            }
            expected = Some(number + 1);
            let after = from.filter(|from| from.segment == number).map(|from| from.frame);
            if self.replay_segment(&segment, after, &mut last, &mut each)?.is_break() {
                break;
            }
        }
        Ok(last)
    }

    fn replay_segment(
        &self,
        segment: &Segment,
        after: Option<u64>,
        last: &mut Option<Position>,
        each: &mut impl FnMut(ReplayFrame<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let open = self.0.open(segment)?;
        let number = segment.header.number;
        let io = |error| ReadError::Io(Part::Segment.path(&self.0.at_rest.dir.journal(), number), error);
        let mut window = Window::new(&open.file);
        let mut at = super::segment::End::empty(&segment.header);
        let frames = segment.end().frames;
        while at.frames < frames {
            let damage = ReadError::Damaged(Damage { segment: number, frame: at.frames, offset: at.offset });
            let Some(header) = window.header(&segment.header, &at).map_err(io)? else { return Err(damage) };
            let place = at.place(&segment.header);
            at.pass(&segment.header, &header);
            if after.is_some_and(|after| place.frame <= after) {
                continue;
            }
            let Some(bytes) = window.bytes(place.offset, header.front_len()).map_err(io)? else {
                return Err(damage);
            };
            let Some(front) = open_front(&header, &place, &open.key, &mut bytes[HEADER..]) else {
                return Err(damage);
            };
            let Front { items, log_entries, idempotency } = front;
            let position = Position { segment: number, frame: place.frame };
            *last = Some(position);
            let flow = each(ReplayFrame {
                position,
                kind: header.kind,
                items: items
                    .into_iter()
                    .map(|item| ReplayItem { class: item.class, aad: item.aad, reference: item.reference })
                    .collect(),
                log_entries,
                first_log_index: header.first_log_index,
                idempotency,
                segment: &open,
                place,
            });
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// From where to replay so that every log entry from `index` on is shown: exclusive, as [`Reader::replay`] takes
    /// it. The newest segment that can hold `index` decides, so entries before it may be shown as well.
    pub fn before_log_index(&self, index: u64) -> Option<Position> {
        let segments = self.0.segments.read();
        let holder = segments.values().rev().find(|segment| segment.header.log_index <= index)?;
        holder.header.last
    }

    /// The answer stored under an idempotency key. An error means that keys of a segment do not read: the submission
    /// must be refused for now, not taken as new.
    pub fn idempotent(&self, key: &[u8; 16]) -> Result<Option<[u8; 24]>, ReadError> {
        let damaged = |segment| ReadError::Damaged(Damage { segment, frame: 0, offset: 0 });
        self.0.idempotency.get(key).map_err(damaged)
    }

    /// Forgets the idempotency keys of closed segments before `segment`, to bound memory once their window is over.
    /// Files of segments that are gone are deleted.
    pub fn expire_idempotency(&self, segment: u64) {
        for number in self.0.idempotency.segments() {
            if number < segment {
                self.0.idempotency.drop_segment(number);
                if !self.0.segments.read().contains_key(&number) {
                    // What cannot be removed now is removed at the next call or start.
                    let _ = std::fs::remove_file(Part::Closing.path(&self.0.at_rest.dir.journal(), number));
                }
            }
        }
    }

    /// The directory the journal lies in.
    pub fn data_dir(&self) -> DataDir {
        self.0.at_rest.dir.clone()
    }

    /// The segments there are, oldest first.
    pub fn segments(&self) -> Vec<SegmentStats> {
        let active = self.0.active.load(Ordering::Acquire);
        let stats = |segment: &Arc<Segment>| {
            let end = segment.end();
            SegmentStats {
                segment: segment.header.number,
                bytes: end.offset,
                opened_at: segment.header.opened_at,
                frames: end.frames,
                first_log_index: segment.header.log_index,
                active: segment.header.number == active,
                previous: segment.header.previous.map(|previous| previous.number),
            }
        };
        self.0.segments.read().values().map(stats).collect()
    }

    /// The last durable frame.
    pub fn end(&self) -> Option<Position> {
        self.0.segments.read().last_key_value().and_then(|(_, segment)| segment.end().last)
    }

    /// Shows the frames of one segment in order.
    pub fn frames_of(
        &self,
        segment: u64,
        each: &mut impl FnMut(ReplayFrame<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let Some(segment) = self.0.segments.read().get(&segment).cloned() else {
            return Err(ReadError::Gone(Position { segment, frame: 0 }));
        };
        self.replay_segment(&segment, None, &mut None, each).map(drop)
    }

    /// Reads a whole segment, items included, and names the first frame that is not as it was written.
    pub fn verify(&self, segment: u64) -> Result<(), ReadError> {
        let mut fault = None;
        self.frames_of(segment, &mut |frame| match frame
            .items
            .iter()
            .try_for_each(|item| frame.read(item).map(drop))
        {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                fault = Some(error);
                ControlFlow::Break(())
            }
        })?;
        fault.map_or(Ok(()), Err)
    }
}

impl ReplayFrame<'_> {
    /// The bytes of one of this frame's items.
    pub fn read(&self, item: &ReplayItem<'_>) -> Result<Vec<u8>, ReadError> {
        read_item(self.segment, &self.place, item.reference, item.aad)
    }
}

fn read_item(segment: &SegmentFile, place: &Place, item: ItemRef, aad: &[u8]) -> Result<Vec<u8>, ReadError> {
    let damage = Damage { segment: item.segment, frame: item.frame, offset: item.offset };
    let mut bytes = vec![0; item.len as usize + TAG];
    segment.file.read_exact_at(&mut bytes, item.offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ReadError::Damaged(damage),
        _ => ReadError::Io(format!("{:016x}.seg", item.segment).into(), error),
    })?;
    open_item(place, item.item, aad, &segment.key, &mut bytes).ok_or(ReadError::Damaged(damage))?;
    bytes.truncate(item.len as usize);
    Ok(bytes)
}
