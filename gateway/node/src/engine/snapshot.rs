//! Snapshots: all rows of the queue, in the journal, so that a rebuild can begin there and older segments may go.
//!
//! A snapshot is a frame that begins it, frames with its parts, and a frame that ends it; other frames come between. It
//! holds the rows as they were at its beginning, and is valid only whole: a rebuild passes over one without its end.
//! While it is under way the committer writes one part between two groups. What a group changes that the snapshot has
//! not reached yet is put by as it was. So memory holds one part and what changes meanwhile, and nobody waits longer
//! than one part takes.
//!
//! Its items die with their segment: by then there is a newer snapshot, and old ones are of no use to anyone.
//! The first builds wrote a snapshot as one frame, which is whole by itself and still read.

use super::queue_fault::QueueFault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use xinqiao_exchange::contradiction::Contradiction;
use xinqiao_exchange::state::Table;
use xinqiao_store::{AppendError, Class, Frame, Item, ItemRef, Journal, Position, Queue, ReadError, Reader};

/// The tag of frames that hold all rows by themselves.
const KIND_ALONE: u8 = 2;
const KIND_BEGIN: u8 = 3;
const KIND_PART: u8 = 4;
const KIND_END: u8 = 5;

const AAD: &[u8] = b"snapshot";
/// What the items of a snapshot in one frame are bound to.
const AAD_ALONE: &[u8] = b"record";
const VERSION: u8 = 1;

/// A part is closed once it holds so many bytes: some ten milliseconds of the committer.
const PART_BYTES: u64 = 1 << 20;
/// Rows read in one go.
const AT_ONCE: usize = 100;

/// The table and key of the row that says that rows are being put in from a snapshot: without it a queue would pass as
/// whole that a crash left half filled.
pub(super) const FILLING: (u8, &[u8]) = (u8::MAX, b"snapshot");

#[derive(Serialize, Deserialize)]
struct Begin {
    v: u8,
}

#[derive(Serialize, Deserialize)]
struct Part {
    /// Segment and frame of the beginning.
    of: (u64, u64),
    number: u32,
}

#[derive(Serialize, Deserialize)]
struct End {
    of: (u64, u64),
    parts: u32,
    rows: u64,
}

/// A snapshot under way.
pub(super) struct Dump {
    begin: Position,
    log_index: u64,
    part_bytes: usize,
    parts: u32,
    rows: u64,
    bytes: u64,
    /// Everything before this table and key is written.
    table: usize,
    from: Vec<u8>,
    /// Rows that changed before they were written, as they were; nothing for those there were not.
    before: BTreeMap<(u8, Vec<u8>), Option<Vec<u8>>>,
}

/// A snapshot that was written whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// The segment it begins in: older ones are not needed to build the queue.
    pub(super) segment: u64,
    /// Its length.
    pub(super) bytes: u64,
    /// Frames it took besides its beginning and end.
    pub(super) parts: u32,
}

/// Why a snapshot was not written.
#[derive(Debug)]
pub(super) enum DumpFault {
    /// The queue failed.
    Queue(QueueFault),
    /// The journal did.
    Append(AppendError),
}

impl From<AppendError> for DumpFault {
    fn from(e: AppendError) -> Self {
        Self::Append(e)
    }
}
impl From<QueueFault> for DumpFault {
    fn from(e: QueueFault) -> Self {
        Self::Queue(e)
    }
}

/// Bytes of a part, beside segments of this size.
pub(super) fn part_bytes(segment_bytes: u64) -> usize {
    (segment_bytes / 8).clamp(4 << 10, PART_BYTES) as usize
}

impl Dump {
    /// Writes the beginning. What is applied so far is what the snapshot will hold.
    pub(super) fn begin(
        journal: &mut Journal,
        log_index: u64,
        part_bytes: usize,
    ) -> Result<Self, AppendError> {
        let begin = append(journal, log_index, KIND_BEGIN, &[&json(&Begin { v: VERSION })])?;
        Ok(Self {
            begin,
            log_index,
            part_bytes,
            parts: 0,
            rows: 0,
            bytes: 0,
            table: 0,
            from: Vec::new(),
            before: BTreeMap::new(),
        })
    }

    /// Where it begins.
    pub(super) fn position(&self) -> Position {
        self.begin
    }

    /// Writes one more part, or the end. The position of the frame written comes back, and what was written once it is
    /// whole.
    pub(super) fn step(
        &mut self,
        queue: &Queue,
        journal: &mut Journal,
    ) -> Result<(Position, Option<Written>), DumpFault> {
        let part = self.gather(queue)?;
        let of = (self.begin.segment, self.begin.frame);
        if part.is_empty() {
            let end = json(&End { of, parts: self.parts, rows: self.rows });
            let at = append(journal, self.log_index, KIND_END, &[&end])?;
            let written = Written { segment: self.begin.segment, bytes: self.bytes, parts: self.parts };
            return Ok((at, Some(written)));
        }
        let head = json(&Part { of, number: self.parts });
        let at = append(journal, self.log_index, KIND_PART, &[&head, &part])?;
        self.parts += 1;
        self.bytes += part.len() as u64;
        Ok((at, None))
    }

    /// The next rows: `table, u32 key length, key, u32 value length, value`, big-endian.
    fn gather(&mut self, queue: &Queue) -> Result<Vec<u8>, QueueFault> {
        let mut part = Vec::new();
        while let Some(table) = Table::ALL.get(self.table) {
            let rows = queue.scan(*table as u8, &self.from, None, AT_ONCE)?;
            let Some((last, _)) = rows.last() else {
                self.table += 1;
                self.from.clear();
                continue;
            };
            self.from = last.clone();
            self.from.push(0);
            for (key, value) in rows {
                let key = (*table as u8, key);
                // Those that changed come at the end, as they were.
                if !self.before.contains_key(&key) {
                    put(&mut part, &key, &value);
                    self.rows += 1;
                }
            }
            if part.len() >= self.part_bytes {
                return Ok(part);
            }
        }
        while part.len() < self.part_bytes
            && let Some((key, value)) = self.before.pop_first()
        {
            if let Some(value) = value {
                put(&mut part, &key, &value);
                self.rows += 1;
            }
        }
        Ok(part)
    }

    /// Before a change is made: what it changes that is not written yet is put by.
    pub(super) fn put_by(&mut self, queue: &Queue, out: &xinqiao_store::Rows) -> Result<(), QueueFault> {
        let Some(reached) = Table::ALL.get(self.table).map(|table| *table as u8) else { return Ok(()) };
        let puts = out.puts.iter().map(|(table, key, _)| (*table, key));
        let deletes = out.deletes.iter().map(|(table, key)| (*table, key));
        for (table, key) in puts.chain(deletes) {
            if (table, key.as_slice()) < (reached, self.from.as_slice()) {
                continue;
            }
            if let std::collections::btree_map::Entry::Vacant(row) = self.before.entry((table, key.clone())) {
                row.insert(queue.get(table, key)?);
            }
        }
        Ok(())
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("numbers are JSON")
}

fn put(part: &mut Vec<u8>, (table, key): &(u8, Vec<u8>), value: &[u8]) {
    part.push(*table);
    for bytes in [key.as_slice(), value] {
        part.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        part.extend_from_slice(bytes);
    }
}

fn append(journal: &mut Journal, log_index: u64, kind: u8, items: &[&[u8]]) -> Result<Position, AppendError> {
    let items: Vec<_> = items.iter().map(|bytes| Item { class: Class::Payload, aad: AAD, bytes }).collect();
    let frame = Frame { kind, items: &items, idempotency: &[], log_entries: &[], first_log_index: log_index };
    Ok(journal.append(&frame)?.position)
}

/// A whole snapshot in the journal.
pub(super) struct Whole {
    /// Frames after this one are not in it.
    pub(super) at: Position,
    parts: Vec<ItemRef>,
    aad: &'static [u8],
    /// Rows in it, where it says so.
    rows: Option<u64>,
}

/// What one segment says about snapshots, in order.
enum Mark {
    Alone(Position, Vec<ItemRef>),
    Begin((u64, u64)),
    Part(Part, ItemRef),
    End(End),
}

/// The newest whole snapshot in the journal.
pub(super) fn newest(reader: &Reader) -> Result<Option<Whole>, ReadError> {
    let mut marks: Vec<Mark> = Vec::new();
    // From the newest segment back, for a snapshot may span several, and the journal may be long.
    for segment in reader.segments().iter().rev() {
        let mut here = Vec::new();
        let mut fault = None;
        reader.frames_of(segment.segment, &mut |frame| match marks_of(&frame, &mut here) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                fault = Some(e);
                ControlFlow::Break(())
            }
        })?;
        if let Some(e) = fault {
            return Err(e);
        }
        here.append(&mut marks);
        marks = here;
        if let Some(whole) = last_whole(&marks) {
            return Ok(Some(whole));
        }
    }
    Ok(None)
}

fn marks_of(frame: &xinqiao_store::ReplayFrame<'_>, marks: &mut Vec<Mark>) -> Result<(), ReadError> {
    let here = (frame.position.segment, frame.position.frame);
    match (frame.kind, frame.items.as_slice()) {
        (KIND_ALONE, items) => {
            marks.push(Mark::Alone(frame.position, items.iter().map(|item| item.reference).collect()));
        }
        // One of a newer version is passed over: it may hold what this version does not know.
        (KIND_BEGIN, [head])
            if serde_json::from_slice(&frame.read(head)?).is_ok_and(|begin: Begin| begin.v == VERSION) =>
        {
            marks.push(Mark::Begin(here));
        }
        (KIND_PART, [head, rows]) => {
            if let Ok(part) = serde_json::from_slice(&frame.read(head)?) {
                marks.push(Mark::Part(part, rows.reference));
            }
        }
        (KIND_END, [head]) => {
            if let Ok(end) = serde_json::from_slice(&frame.read(head)?) {
                marks.push(Mark::End(end));
            }
        }
        _ => {}
    }
    Ok(())
}

fn last_whole(marks: &[Mark]) -> Option<Whole> {
    marks.iter().enumerate().rev().find_map(|(at, mark)| match mark {
        Mark::Alone(position, parts) => {
            Some(Whole { at: *position, parts: parts.clone(), aad: AAD_ALONE, rows: None })
        }
        Mark::End(end) => {
            let before = &marks[..at];
            let begin = before.iter().rposition(|mark| matches!(mark, Mark::Begin(of) if *of == end.of))?;
            let parts = before[begin..].iter().filter_map(|mark| match mark {
                Mark::Part(part, rows) if part.of == end.of => Some((part.number, *rows)),
                _ => None,
            });
            let parts: Vec<(u32, ItemRef)> = parts.collect();
            let in_order = parts.iter().map(|(number, _)| *number).eq(0..end.parts);
            let (segment, frame) = end.of;
            in_order.then(|| Whole {
                at: Position { segment, frame },
                parts: parts.into_iter().map(|(_, rows)| rows).collect(),
                aad: AAD,
                rows: Some(end.rows),
            })
        }
        Mark::Begin(_) | Mark::Part(..) => None,
    })
}

impl Whole {
    /// Puts its rows into an empty queue.
    pub(super) fn fill(
        &self,
        reader: &Reader,
        queue: &Queue,
    ) -> Result<(), super::open_error::OpenNodeError> {
        let mut rows = 0;
        for part in &self.parts {
            rows += fill(queue, &reader.read(*part, self.aad)?, self.at)?;
        }
        if self.rows.is_some_and(|told| told != rows) {
            return Err(QueueFault::Contradiction(UNREADABLE).into());
        }
        let (table, key) = FILLING;
        let done = xinqiao_store::Rows { deletes: vec![(table, key.to_vec())], ..Default::default() };
        queue.write(&done, self.at).map_err(QueueFault::from)?;
        Ok(())
    }
}

const UNREADABLE: Contradiction = Contradiction("a snapshot cannot be read");

/// Puts the rows of a part into a queue; how many comes back.
fn fill(queue: &Queue, part: &[u8], position: Position) -> Result<u64, QueueFault> {
    let filling = || {
        let (table, key) = FILLING;
        xinqiao_store::Rows { puts: vec![(table, key.to_vec(), Vec::new())], deletes: Vec::new() }
    };
    let mut rest = part;
    let mut out = filling();
    let mut rows = 0;
    while let Some((&table, tail)) = rest.split_first() {
        rest = tail;
        let mut bytes = || -> Result<&[u8], Contradiction> {
            let (len, tail) = rest.split_first_chunk::<4>().ok_or(UNREADABLE)?;
            let (bytes, tail) = tail.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or(UNREADABLE)?;
            rest = tail;
            Ok(bytes)
        };
        let (key, value) = (bytes()?, bytes()?);
        out.puts.push((table, key.to_vec(), value.to_vec()));
        rows += 1;
        if out.puts.len() > 2_000 {
            queue.write(&out, position)?;
            out = filling();
        }
    }
    queue.write(&out, position)?;
    Ok(rows)
}

#[cfg(test)]
mod tests;
