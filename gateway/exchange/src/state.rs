//! The state of the node as rows, and how an event changes them. The journal is the truth; these rows are what it
//! adds up to, kept in the queue so that a restart need not read everything again.

use crate::contradiction::Contradiction;
use crate::event::{Event, Feedback, FrameRecord, NewChunk, Recalled};
use crate::governance::{Governance, GovernanceMeta, Proposal};
use crate::names::StreamId;
use crate::revs;
use crate::tombstones::lifts;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

mod delivery;
mod rows;
mod settled;

pub use rows::{
    AcknowledgementRow, BatchRow, ChunkRow, GroupChunkRow, GroupRow, IndexRow, LeftRange, Meta, Place,
    PlaceParts, PublicationRow, RelayRow, Rows, SEEN_OF_ONE_MEMBER, SeenRow, StreamRow, Table, TombstoneRow,
    WithheldRow, feedback_key, group_chunk_key, index_key, pending_recall_key, publication_key, relay_key,
    stream_key, tombstone_key,
};
pub use settled::{INDEXED, Settled};

/// Reads rows that earlier frames wrote, wherever they are: batches may have left the queue for an index.
pub type Lookup<'a> = dyn FnMut(Table, &[u8]) -> Option<Vec<u8>> + 'a;

/// The part of the state that is always in memory: heads of streams and counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Node-wide counters.
    pub meta: Meta,
    /// Heads by stream.
    pub streams: BTreeMap<StreamId, StreamRow>,
    /// What officers have proposed and decided.
    pub governance: Governance,
}

/// Where the frame being applied put things.
pub struct Applied<'a> {
    /// The frame record.
    pub record: Place,
    /// The items, numbered from zero after the record.
    pub items: &'a [Place],
}

impl State {
    /// Reads the in-memory part back from its rows: the counters, the heads, and their descriptions in order of key.
    pub fn load(
        meta: Option<&[u8]>,
        streams: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
        descriptions: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Option<Self> {
        let meta = match meta {
            Some(bytes) => serde_json::from_slice(bytes).ok()?,
            None => Meta::default(),
        };
        let mut state = State { meta, ..State::default() };
        let mut names = BTreeMap::new();
        for (key, value) in streams {
            let name = StreamId::parse(std::str::from_utf8(&key).ok()?).ok()?;
            let head: StreamRow = serde_json::from_slice(&value).ok()?;
            names.insert(head.id, name.clone());
            state.streams.insert(name, head);
        }
        for (key, value) in descriptions {
            let id = u32::from_be_bytes(*key.first_chunk::<4>()?);
            let head = state.streams.get_mut(names.get(&id)?)?;
            head.descriptions.push(serde_json::from_slice(&value).ok()?);
        }
        Some(state)
    }

    /// Reads officers' decisions back from their rows.
    pub fn load_governance(
        &mut self,
        meta: Option<&[u8]>,
        proposals: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Option<()> {
        if let Some(bytes) = meta {
            self.governance.meta = serde_json::from_slice::<GovernanceMeta>(bytes).ok()?;
        }
        for (_, value) in proposals {
            let p: Proposal = serde_json::from_slice(&value).ok()?;
            if p.state.is_live() {
                self.governance.live.insert(p.id, p);
            }
        }
        Some(())
    }

    /// Applies one frame.
    pub fn apply(
        &mut self,
        frame: &FrameRecord,
        at: &Applied<'_>,
        rows: &mut Rows,
        lookup: &mut Lookup<'_>,
    ) -> Result<(), Contradiction> {
        if frame.entries > 0 {
            let row = GroupRow { record: at.record, entries: frame.entries };
            rows.put(Table::Group, frame.first_index.to_be_bytes().to_vec(), &row);
        }
        let mut chunks = 0u16;
        for event in &frame.events {
            if let Event::Chunk(c) = event {
                // Before the event is applied: `next_chunk` is still the number this chunk will have.
                let row = GroupChunkRow {
                    stream: c.stream.clone(),
                    chunk: self.head(&c.stream).next_chunk,
                    table: item_of(at, c.table)?,
                };
                rows.put(Table::GroupChunk, group_chunk_key(frame.first_index, chunks), &row);
                chunks += 1;
            }
            self.event(event, frame.first_index, at, rows, lookup)?;
        }
        self.meta.rev_high = revs::drawn(self.meta.rev_high).max(revs::drawn(frame.rev_high));
        self.meta.log_size = frame.first_index + u64::from(frame.entries);
        rows.put(Table::Meta, Vec::new(), &self.meta);
        Ok(())
    }

    fn event(
        &mut self,
        event: &Event,
        first_index: u64,
        at: &Applied<'_>,
        rows: &mut Rows,
        lookup: &mut Lookup<'_>,
    ) -> Result<(), Contradiction> {
        match event {
            Event::Submitted(_) | Event::Registered { .. } => Ok(()),
            Event::Chunk(c) => self.chunk(c, first_index, at, rows),
            Event::Recalled(r) => self.recalled(r, rows),
            Event::Reinstated { dataset, id, rev } => {
                let key = tombstone_key(dataset, &unhex(id)?);
                if fetch(rows, lookup, Table::Tombstone, &key).is_some() {
                    let row: TombstoneRow = read(rows, lookup, Table::Tombstone, &key)?;
                    if lifts(*rev, row.rev) {
                        rows.delete(Table::Tombstone, key);
                    }
                }
                Ok(())
            }
            Event::Sealed(s) => self.sealed(s, at, rows, lookup),
            Event::Served { stream, seq } => {
                self.change_batch(stream, None, *seq, rows, lookup, |b| b.served = true).map(|_| ())
            }
            Event::Acknowledged(a) => self.acknowledged(a, at, rows, lookup),
            Event::Held { stream, held } => {
                self.head(stream).held = *held;
                self.save(stream, rows);
                Ok(())
            }
            Event::Withheld { stream, chunk, reason, feedback } => {
                let id = self.head(stream).id;
                let row: ChunkRow = read(rows, lookup, Table::Chunk, &stream_key(id, *chunk))?;
                let records = u32::try_from(feedback.len()).ok().filter(|n| *n > 0);
                let row = WithheldRow { chunk: row, reason: reason.clone(), records };
                rows.put(Table::Withheld, stream_key(id, *chunk), &row);
                tell(feedback, rows, lookup)
            }
            Event::Ruled { stream, chunk, release } => self.ruled(stream, *chunk, *release, rows, lookup),
            Event::Erased { stream, batches, seq, taken_back, expired, requeued, feedback } => {
                // The chunk before this event is the newest of its stream.
                let again = requeued.then(|| self.head(stream).next_chunk.saturating_sub(1));
                self.change_batch(stream, *batches, *seq, rows, lookup, |b| {
                    b.taken_back = *taken_back || !feedback.is_empty() && !expired;
                    b.again = again.or(b.again);
                    b.erased = true;
                    b.parts.clear();
                })?;
                tell(feedback, rows, lookup)
            }
            Event::Dropped { stream, through, feedback } => {
                self.drop_chunks(stream, *through, rows, lookup)?;
                tell(feedback, rows, lookup)
            }
            Event::Moved { stream, chunk, item, piece, withheld } => {
                let key = stream_key(self.head(stream).id, *chunk);
                let place = item_of(at, *item)?;
                let table = if *withheld { Table::Withheld } else { Table::Chunk };
                // Sealed, dropped or ruled about since the copy was made: the row that names the payload now (a
                // batch's, a new chunk's) still has the old place, and that segment is not retired before that row is
                // moved too.
                if fetch(rows, lookup, table, &key).is_none() {
                    return Ok(());
                }
                if *withheld {
                    let mut row: WithheldRow = read(rows, lookup, table, &key)?;
                    row.chunk.move_piece(*piece, place);
                    rows.put(table, key, &row);
                } else {
                    let mut row: ChunkRow = read(rows, lookup, table, &key)?;
                    row.move_piece(*piece, place);
                    rows.put(table, key, &row);
                }
                Ok(())
            }
            Event::PartMoved { stream, batches, seq, part, item } => {
                let place = item_of(at, *item)?;
                let mut known = true;
                self.change_batch(stream, *batches, *seq, rows, lookup, |b| {
                    match b.parts.get_mut(usize::from(*part)) {
                        Some(p) => *p = place,
                        // Erased since the copy was made: the copy is of no use, and goes with its segment.
                        None => known = b.erased,
                    }
                })?;
                if known {
                    Ok(())
                } else {
                    Err(Contradiction("a piece of a payload that is not there was moved"))
                }
            }
            Event::Described { stream, description } => {
                let head = self.head(stream);
                let key = stream_key(head.id, head.descriptions.len() as u64);
                head.descriptions.push(description.clone());
                rows.put(Table::Description, key, description);
                self.save(stream, rows);
                Ok(())
            }
            Event::PublicationEnded { stream, gone } => {
                let id = self.head(stream).id;
                for (day, chunk, next) in gone {
                    let key = publication_key(*day, id, *chunk);
                    if let Some(next) = next {
                        let row: PublicationRow = read(rows, lookup, Table::Publication, &key)?;
                        rows.put(Table::Publication, publication_key(*next, id, *chunk), &row);
                    }
                    rows.delete(Table::Publication, key);
                }
                Ok(())
            }
            Event::Relayed { upstream, stream, seq, epoch, digest, acknowledgement, highest } => {
                let key = relay_key(upstream, stream);
                let before = match fetch(rows, lookup, Table::Relay, &key) {
                    Some(_) => read::<RelayRow>(rows, lookup, Table::Relay, &key)?.highest,
                    None => None,
                };
                let row = RelayRow {
                    epoch: *epoch,
                    seq: *seq,
                    digest: digest.clone(),
                    acknowledgement: Some(item_of(at, *acknowledgement)?),
                    highest: before.max(*highest),
                };
                rows.put(Table::Relay, key, &row);
                Ok(())
            }
            Event::DeadLetter { stream, dead } => {
                self.head(stream).dead = *dead;
                self.save(stream, rows);
                Ok(())
            }
            Event::CertificateSeen { member, digest, issued, time } => {
                let key = member.as_bytes();
                let mut seen: Vec<SeenRow> = match fetch(rows, lookup, Table::Seen, key) {
                    Some(_) => read(rows, lookup, Table::Seen, key)?,
                    None => Vec::new(),
                };
                seen.retain(|row| row.digest != *digest);
                seen.push(SeenRow { digest: digest.clone(), issued: *issued, last: *time });
                seen.sort_by_key(|row| std::cmp::Reverse(row.last));
                seen.truncate(SEEN_OF_ONE_MEMBER);
                rows.put(Table::Seen, key.to_vec(), &seen);
                Ok(())
            }
            Event::Noted { subject, value } => {
                rows.put(Table::Noted, subject.clone().into_bytes(), value);
                Ok(())
            }
            Event::Document { digest, item } => {
                rows.put(Table::Document, digest.clone().into_bytes(), &item_of(at, *item)?);
                Ok(())
            }
            Event::Indexed { number, ranges } => {
                for r in ranges {
                    let (table, last) = (table_of(r.table)?, unhex_any(&r.last)?);
                    let row = IndexRow { number: *number, first: r.first.clone() };
                    rows.put(Table::Index, index_key(table, &last), &row);
                }
                Ok(())
            }
            Event::RowsLeft(r) => {
                let range = LeftRange {
                    table: table_of(r.table)?,
                    first: unhex_any(&r.first)?,
                    last: unhex_any(&r.last)?,
                };
                rows.left.push(range);
                Ok(())
            }
            Event::Officers(step) => {
                if let Some(p) = self.governance.apply(step)? {
                    rows.put(Table::Proposal, p.id.to_be_bytes().to_vec(), &p);
                }
                rows.put(Table::Governance, Vec::new(), &self.governance.meta);
                Ok(())
            }
            Event::Epoch { epoch } => {
                self.meta.epoch = *epoch;
                let all: Vec<_> = self.streams.keys().cloned().collect();
                all.iter().try_for_each(|s| self.begin_again(s, rows, lookup))
            }
        }
    }

    /// The head of a stream, made on first use.
    fn head(&mut self, stream: &StreamId) -> &mut StreamRow {
        if !self.streams.contains_key(stream) {
            let id = self.next_id();
            self.streams
                .insert(stream.clone(), StreamRow { id, batches: id, next_seq: 1, ..StreamRow::default() });
        }
        self.streams.get_mut(stream).expect("it was put there")
    }

    /// A number that stands in no key: chunks are filed under a stream's `id`, batches under its `batches`, those of
    /// earlier epochs under `past`, and all three share one range.
    fn next_id(&self) -> u32 {
        let used = self.streams.values().flat_map(|h| h.past.iter().copied().chain([h.id, h.batches]));
        used.max().map_or(0, |n| n + 1)
    }

    /// A new epoch of a stream: batches are numbered from one again, and what no recipient has answered for good is
    /// queued once more.
    fn begin_again(
        &mut self,
        stream: &StreamId,
        rows: &mut Rows,
        lookup: &mut Lookup<'_>,
    ) -> Result<(), Contradiction> {
        let batches = self.next_id();
        let head = self.head(stream).clone();
        for seq in 1..head.next_seq {
            let key = stream_key(head.batches, seq);
            let mut batch: BatchRow = read(rows, lookup, Table::Batch, &key)?;
            let acknowledged = batch.acknowledgement.as_ref().is_some_and(|a| a.outcome.is_final());
            if acknowledged || batch.void || batch.erased {
                continue;
            }
            // The payload passes from the batch to a chunk. Left at both, it would be moved and erased by either while
            // the other still names it.
            let mut parts = std::mem::take(&mut batch.parts).into_iter();
            let Some(payload) = parts.next() else { continue };
            let records = u32::try_from(batch.records).map_err(|_| Contradiction("a batch too large"))?;
            batch.erased = true;
            batch.again = Some(self.head(stream).next_chunk);
            rows.put(Table::Batch, key, &batch);
            let head = self.head(stream);
            let chunk = ChunkRow {
                payload,
                rest: parts.collect(),
                table: batch.table,
                records,
                // How many of the lines recall is not kept of a batch: at most all.
                recalls: records,
                raw: 0,
                description: batch.description,
                earliest_end: None,
                origins: Vec::new(),
                released: false,
                ruled: false,
            };
            rows.put(Table::Chunk, stream_key(head.id, head.next_chunk), &chunk);
            head.next_chunk += 1;
            head.pending_records += batch.records;
            head.sealed_records = head.sealed_records.saturating_sub(batch.records);
        }
        let head = self.head(stream);
        if head.next_seq > 1 {
            head.past.push(head.batches);
            head.batches = batches;
        }
        // The first batch of an epoch has no predecessor (docs/formats.md, section 4).
        head.next_seq = 1;
        head.announced = None;
        head.prev.clear();
        self.save(stream, rows);
        Ok(())
    }

    fn save(&mut self, stream: &StreamId, rows: &mut Rows) {
        let head = self.head(stream).clone();
        rows.put(Table::Stream, stream.as_str().as_bytes().to_vec(), &head);
    }

    fn chunk(
        &mut self,
        c: &NewChunk,
        first_index: u64,
        at: &Applied<'_>,
        rows: &mut Rows,
    ) -> Result<(), Contradiction> {
        let (payload, table) = (item_of(at, c.payload)?, item_of(at, c.table)?);
        let head = self.head(&c.stream);
        let number = head.next_chunk;
        head.next_chunk += 1;
        head.pending_records += u64::from(c.records);
        let description =
            head.descriptions.len().checked_sub(1).ok_or(Contradiction("a chunk without description"))?;
        let id = head.id;
        let key = stream_key(id, number);
        let row = ChunkRow {
            payload,
            rest: Vec::new(),
            table,
            records: c.records,
            recalls: c.recalls,
            raw: c.raw,
            description: description as u32,
            earliest_end: c.earliest_end,
            origins: c.origins.clone(),
            released: false,
            ruled: false,
        };
        rows.put(Table::Chunk, key, &row);
        if let Some(day) = c.earliest_end {
            let row = PublicationRow { table, group: first_index };
            rows.put(Table::Publication, publication_key(day, id, number), &row);
        }
        self.save(&c.stream, rows);
        Ok(())
    }

    fn recalled(&mut self, r: &Recalled, rows: &mut Rows) -> Result<(), Contradiction> {
        let row = TombstoneRow { op: r.op, rev: r.lineage_rev(), index: r.index };
        rows.put(Table::Tombstone, tombstone_key(&r.dataset, &unhex(&r.id)?), &row);
        for (stream, key) in &r.keys {
            let head = self.head(stream);
            // Lines in chunks below `next_chunk` are before the recall. A group puts its recalls behind all its chunks,
            // so these include the chunk with the recall's own line and puts of the same frame; which of them the recall
            // settles is decided by rev. The row goes when the last of those chunks is sealed (`Sealed::cleared`).
            let at = pending_recall_key(head.id, head.next_chunk, &unhex(key)?);
            rows.put(Table::PendingRecall, at, &r.rev);
        }
        Ok(())
    }
}

fn tell(feedback: &[Feedback], rows: &mut Rows, lookup: &mut Lookup<'_>) -> Result<(), Contradiction> {
    for f in feedback {
        let next_key = f.member.as_bytes().to_vec();
        let n = match fetch(rows, lookup, Table::FeedbackNext, &next_key) {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| Contradiction("a feedback counter"))?,
            None => 1u64,
        };
        rows.put(Table::Feedback, feedback_key(&f.member, n), f);
        rows.put(Table::FeedbackNext, next_key, &(n + 1));
    }
    Ok(())
}

fn fetch(rows: &Rows, lookup: &mut Lookup<'_>, table: Table, key: &[u8]) -> Option<Vec<u8>> {
    match rows.changes.get(&(table, key.to_vec())) {
        Some(change) => change.clone(),
        None => lookup(table, key),
    }
}

fn read<T: DeserializeOwned>(
    rows: &Rows,
    lookup: &mut Lookup<'_>,
    table: Table,
    key: &[u8],
) -> Result<T, Contradiction> {
    let bytes = fetch(rows, lookup, table, key).ok_or(Contradiction("a row is missing"))?;
    serde_json::from_slice(&bytes).map_err(|_| Contradiction("a row cannot be read"))
}

fn item_of(at: &Applied<'_>, n: u16) -> Result<Place, Contradiction> {
    at.items.get(usize::from(n)).copied().ok_or(Contradiction("an event names an item its frame has not"))
}

fn table_of(number: u8) -> Result<Table, Contradiction> {
    let known = Table::ALL.into_iter().find(|table| *table as u8 == number);
    known.ok_or(Contradiction("an event names a table that is not known"))
}

fn unhex_any(s: &str) -> Result<Vec<u8>, Contradiction> {
    xinqiao_crypto::hex::decode(s).ok_or(Contradiction("a key is not hexadecimal"))
}

fn unhex(s: &str) -> Result<[u8; 16], Contradiction> {
    crate::secrets::RecordKey::parse(s).map(|k| k.0).ok_or(Contradiction("a key is not hexadecimal"))
}
