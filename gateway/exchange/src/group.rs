//! A commit group: many submissions and changes become one frame of the journal, one signature and one sync.

use crate::accept::{Prepared, TombstoneChange};
use crate::event::{Description, Event, FrameRecord, NewChunk, Origin, Recalled, Submitted, VERSION};
use crate::names::StreamId;
use crate::op::Op;
use crate::output::{Lines, PIECE_CAP};
use crate::payload::compress;
use crate::register::{self, put_facts};
use crate::table;
use std::collections::BTreeMap;
use xinqiao_crypto::hex;
use xinqiao_evidence::base64;
use xinqiao_evidence::receipt::Salt;

/// What the store is to do with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Kept for the evidence years.
    Evidence,
    /// Kept until it is acknowledged and its retention is over.
    Payload,
}

/// An item of the frame.
pub struct Item {
    /// Its kind.
    pub kind: Kind,
    /// What its encryption is bound to: the stream.
    pub aad: Vec<u8>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A submission ready to be committed.
pub struct Ready {
    /// What the record path made of it; its findings stand in `submitted`.
    pub prepared: Prepared,
    /// What the frame will say of it; its index is known when it is committed.
    pub submitted: Submitted,
    /// The descriptions of the streams it writes, by recipient number of its plan.
    pub descriptions: Vec<Description>,
    /// Its log entry.
    pub entry: Vec<u8>,
    /// Further events that belong to it, naming items by their place in `items`.
    pub also: Vec<Event>,
    /// Items of those events.
    pub items: Vec<Item>,
}

impl Ready {
    /// What was prepared of a member's submission, with the salt of the digests in its entry.
    pub fn new(
        mut prepared: Prepared,
        (member, dataset, op): (&str, &str, Op),
        salt: &Salt,
        entry: Vec<u8>,
        descriptions: Vec<Description>,
    ) -> Self {
        let submitted = Submitted {
            index: 0,
            member: member.to_owned(),
            dataset: dataset.to_owned(),
            op,
            accepted: prepared.accepted,
            refused: prepared.refused,
            warned: prepared.warned,
            unknown: prepared.unknown,
            salt: base64::encode(salt.as_bytes()),
            rejected: std::mem::take(&mut prepared.rejected),
        };
        Self { prepared, submitted, descriptions, entry, also: Vec::new(), items: Vec::new() }
    }
}

/// A change of state ready to be committed.
#[derive(Default)]
pub struct Change {
    /// Events, naming items by their place in `items`.
    pub events: Vec<Event>,
    /// Items.
    pub items: Vec<Item>,
    /// Its log entry, if it is one to be audited.
    pub entry: Option<Vec<u8>>,
}

/// A frame, but for its checkpoint.
pub struct Frame {
    /// The record; `checkpoint` and `rev_high` are still to be filled in.
    pub record: FrameRecord,
    /// Items, numbered from zero.
    pub items: Vec<Item>,
    /// Log entries, in order.
    pub entries: Vec<Vec<u8>>,
}

/// The most upstream batches one chunk may come from: its row in the queue is bounded.
const ORIGINS_CAP: usize = 8;

/// Builds a frame.
pub struct Group<'a> {
    record: FrameRecord,
    items: Vec<Item>,
    entries: Vec<Vec<u8>>,
    open: BTreeMap<StreamId, OpenChunk>,
    /// Descriptions this frame announces; they count before those of `current`.
    described: BTreeMap<StreamId, Description>,
    current: &'a dyn Fn(&StreamId) -> Option<Description>,
    /// Held back until every chunk of the frame is closed: see [`Group::finish`].
    recalls: Vec<Event>,
    /// What is to be remembered of records, as the register's item holds it.
    facts: Vec<u8>,
}

/// Lines of several submissions for one stream that become one chunk.
struct OpenChunk {
    description: Description,
    /// Compressed frames or members, in order.
    payload: Vec<u8>,
    /// Lines behind them that are not compressed yet: small pieces compress far better together.
    loose: Vec<u8>,
    table: Vec<u8>,
    records: u32,
    recalls: u32,
    raw: u64,
    earliest_end: Option<u32>,
    origins: Vec<Origin>,
}

impl<'a> Group<'a> {
    /// Starts a group whose first log entry will have this index. `current` gives what a stream's chunks are made
    /// with so far.
    pub fn new(epoch: u64, first_index: u64, current: &'a dyn Fn(&StreamId) -> Option<Description>) -> Self {
        Self {
            record: FrameRecord {
                v: VERSION,
                epoch,
                first_index,
                entries: 0,
                rev_high: 0,
                checkpoint: String::new(),
                events: Vec::new(),
            },
            items: Vec::new(),
            entries: Vec::new(),
            open: BTreeMap::new(),
            described: BTreeMap::new(),
            current,
            recalls: Vec::new(),
            facts: Vec::new(),
        }
    }

    /// How many items and bytes the frame has so far; the committer stops adding well before the store's limits.
    pub fn weight(&self) -> (usize, usize) {
        let open: usize = self.open.values().map(|c| c.payload.len() + c.loose.len() + c.table.len()).sum();
        let closed: usize = self.items.iter().map(|i| i.bytes.len()).sum();
        // Each open chunk becomes two items, its payload and its line table. Items are numbered in 16 bits.
        (self.items.len() + 2 * self.open.len() + 1, open + closed + self.facts.len())
    }

    /// Adds a submission; its index in the log is returned.
    pub fn submission(&mut self, ready: Ready) -> u64 {
        let index = self.entry(ready.entry);
        let p = ready.prepared;
        put_facts(&mut self.facts, index, &p.facts);
        for output in p.outputs {
            let description = &ready.descriptions[output.recipient];
            for piece in output.pieces {
                let chunk = self.chunk(&output.stream, description, piece.lines.raw_len(), &output.origins);
                match piece.lines {
                    Lines::Raw(bytes) => chunk.loose.extend_from_slice(&bytes),
                    Lines::Packed { bytes, .. } => {
                        // Loose lines first: the line table is in the order of the payload.
                        chunk.pack();
                        chunk.payload.extend_from_slice(&bytes);
                    }
                }
                table::put_group(
                    &mut chunk.table,
                    index,
                    &ready.submitted.member,
                    piece.records,
                    &piece.entries,
                );
                chunk.records += piece.records;
                chunk.recalls += piece.recalls;
                chunk.earliest_end = [chunk.earliest_end, piece.earliest_end].into_iter().flatten().min();
            }
        }
        let dataset = ready.submitted.dataset.clone();
        self.record.events.push(Event::Submitted(Submitted { index, ..ready.submitted }));
        // In the order of their lines: a batch of another node may reinstate a record and recall it again.
        for change in p.tombstones {
            let dataset = dataset.clone();
            self.recalls.push(match change {
                TombstoneChange::Set(r) => Event::Recalled(Recalled {
                    dataset,
                    id: hex::encode(&r.id.0),
                    op: r.op,
                    rev: r.rev,
                    origin: r.origin,
                    index,
                    keys: r.keys.into_iter().map(|(s, k)| (s, k.hex().as_str().to_owned())).collect(),
                }),
                TombstoneChange::Lift { id, rev } => {
                    Event::Reinstated { dataset, id: hex::encode(&id.0), rev: Some(rev) }
                }
            });
        }
        let base = self.items.len() as u16;
        self.items.extend(ready.items);
        for mut event in ready.also {
            shift(&mut event, base, Some(index));
            self.recalls.push(event);
        }
        index
    }

    /// Adds a change; the index of its log entry, if it has one.
    pub fn change(&mut self, change: Change) -> Option<u64> {
        let index = change.entry.map(|e| self.entry(e));
        let base = self.items.len() as u16;
        self.items.extend(change.items);
        for mut event in change.events {
            shift(&mut event, base, index);
            if let Event::Described { stream, description } = &event {
                self.described_anew(stream, description);
            }
            self.record.events.push(event);
        }
        index
    }

    /// A chunk is what its stream's description says when the chunk's event is read: lines made by the older rules are
    /// closed before newer ones are announced, or they would pass as made by those.
    fn described_anew(&mut self, stream: &StreamId, description: &Description) {
        if let Some(chunk) = self.open.remove(stream) {
            self.close(stream.clone(), chunk);
        }
        self.described.insert(stream.clone(), description.clone());
    }

    fn entry(&mut self, entry: Vec<u8>) -> u64 {
        let index = self.record.first_index + self.entries.len() as u64;
        self.entries.push(entry);
        index
    }

    /// The open chunk of a stream, closed first if these lines do not go with it.
    fn chunk(
        &mut self,
        stream: &StreamId,
        description: &Description,
        more: u64,
        origins: &[Origin],
    ) -> &mut OpenChunk {
        // The first bound limits what a chunk takes when it is decoded for sealing, the second what it takes on disk: of
        // `more`, which is not compressed yet or was counted before compression, about a quarter is expected to remain.
        // A chunk has one description, so lines made by other rules begin another.
        let close = self.open.get(stream).is_some_and(|c| {
            c.raw + more > 4 * PIECE_CAP as u64
                || c.payload.len() + c.loose.len() + more as usize / 4 > PIECE_CAP
                || c.description != *description
                || c.origins.len() + origins.len() > ORIGINS_CAP
        });
        if close && let Some(chunk) = self.open.remove(stream) {
            self.close(stream.clone(), chunk);
        }
        let chunk = self.open.entry(stream.clone()).or_insert_with(|| OpenChunk {
            description: description.clone(),
            payload: Vec::new(),
            loose: Vec::new(),
            table: vec![table::VERSION],
            records: 0,
            recalls: 0,
            raw: 0,
            earliest_end: None,
            origins: Vec::new(),
        });
        chunk.raw += more;
        for o in origins {
            if !chunk.origins.contains(o) {
                chunk.origins.push(o.clone());
            }
        }
        chunk
    }

    fn close(&mut self, stream: StreamId, mut chunk: OpenChunk) {
        chunk.pack();
        let known = self.described.get(&stream).cloned().or_else(|| (self.current)(&stream));
        // In front of the chunk's event: on replay a chunk gets the newest description its stream has at that point.
        if known.as_ref() != Some(&chunk.description) {
            self.described.insert(stream.clone(), chunk.description.clone());
            let description = chunk.description.clone();
            self.record.events.push(Event::Described { stream: stream.clone(), description });
        }
        let payload = self.items.len() as u16;
        let aad = stream.as_str().as_bytes().to_vec();
        let bytes = chunk.payload.len() as u64;
        self.items.push(Item { kind: Kind::Payload, aad: aad.clone(), bytes: chunk.payload });
        self.items.push(Item { kind: Kind::Evidence, aad, bytes: chunk.table });
        self.record.events.push(Event::Chunk(NewChunk {
            stream,
            payload,
            table: payload + 1,
            records: chunk.records,
            recalls: chunk.recalls,
            raw: chunk.raw,
            bytes,
            earliest_end: chunk.earliest_end,
            origins: chunk.origins,
        }));
    }

    /// Closes the group.
    pub fn finish(mut self) -> Frame {
        for (stream, chunk) in std::mem::take(&mut self.open) {
            self.close(stream, chunk);
        }
        // After the chunks: on replay a recall covers the chunks its stream has at that point, so puts of this frame are
        // covered too. In front of them, a put and its recall in one group would let the put out.
        self.record.events.append(&mut self.recalls);
        if !self.facts.is_empty() {
            self.record.events.push(Event::Registered { item: self.items.len() as u16 });
            self.items.push(Item { kind: Kind::Evidence, aad: register::AAD.to_vec(), bytes: self.facts });
        }
        self.record.entries = self.entries.len() as u32;
        Frame { record: self.record, items: self.items, entries: self.entries }
    }
}

impl OpenChunk {
    fn pack(&mut self) {
        if !self.loose.is_empty() {
            let packed = compress(self.description.encoding, &self.loose);
            self.payload.extend_from_slice(&packed);
            self.loose.clear();
        }
    }
}

/// Turns the item numbers and the log index of a change into those of the frame. Every kind of event that names an item
/// must be listed here: one that is missing would name whatever another change put at that number.
fn shift(event: &mut Event, base: u16, index: Option<u64>) {
    match event {
        Event::Sealed(s) => {
            s.manifest += base;
            s.table += base;
            for p in &mut s.parts {
                if let crate::event::Part::Item(i) = p {
                    *i += base;
                }
            }
            s.index = index.unwrap_or(s.index);
        }
        Event::Acknowledged(a) => a.acknowledgement += base,
        Event::Relayed { acknowledgement, .. } => *acknowledgement += base,
        Event::Chunk(c) => {
            c.payload += base;
            c.table += base;
        }
        Event::Moved { item, .. } | Event::PartMoved { item, .. } | Event::Document { item, .. } => {
            *item += base
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::StreamOutput;
    use crate::event::Encoding;
    use crate::output::Piece;

    fn description(policy: &str) -> Description {
        Description {
            schema: "s".into(),
            schema_digest: String::new(),
            mapping_digest: String::new(),
            policy: policy.into(),
            policy_digest: String::new(),
            encoding: Encoding::Identity,
        }
    }

    fn ready(stream: &StreamId, policy: &str) -> Ready {
        let lines = Lines::Raw(policy.as_bytes().to_vec());
        let piece = Piece { lines, records: 1, recalls: 0, entries: Vec::new(), earliest_end: None };
        let output =
            StreamOutput { recipient: 0, stream: stream.clone(), pieces: vec![piece], origins: Vec::new() };
        let prepared = Prepared {
            accepted: 1,
            refused: 0,
            warned: 0,
            uncoded: 0,
            looped: 0,
            rejected: String::new(),
            outputs: vec![output],
            touched: Vec::new(),
            names: Vec::new(),
            facts: crate::register::Facts::default(),
            unknown: 0,
            tombstones: Vec::new(),
        };
        let salt = Salt::generate().unwrap();
        Ready::new(prepared, ("housing", "d", Op::Put), &salt, Vec::new(), vec![description(policy)])
    }

    #[test]
    fn lines_made_before_new_rules_never_pass_as_made_by_them() {
        let stream = StreamId::parse("province.d").unwrap();
        let rules =
            |policy: &str| Event::Described { stream: stream.clone(), description: description(policy) };
        let current = |_: &StreamId| Some(description("old"));
        let mut group = Group::new(1, 0, &current);
        group.submission(ready(&stream, "old"));
        group.change(Change { events: vec![rules("new")], ..Change::default() });
        group.submission(ready(&stream, "new"));
        group.submission(ready(&stream, "old"));
        let frame = group.finish();
        let mut said = "old".to_owned();
        let mut chunks = 0;
        for event in &frame.record.events {
            match event {
                Event::Described { description, .. } => said = description.policy.clone(),
                Event::Chunk(c) => {
                    let made = &frame.items[usize::from(c.payload)].bytes;
                    assert_eq!(
                        *made,
                        compress(Encoding::Identity, said.as_bytes()),
                        "a chunk passes as {said}"
                    );
                    chunks += 1;
                }
                _ => {}
            }
        }
        assert_eq!(chunks, 3);
    }
}
