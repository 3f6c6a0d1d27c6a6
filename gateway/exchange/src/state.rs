//! The state of the node as rows, and how an event changes them. The journal is the truth; these rows are what it
//! adds up to, kept in the queue so that a restart need not read everything again.

use crate::event::{
    Acknowledged, Description, Event, Feedback, FrameRecord, NewChunk, Origin, Outcome, Part, Recalled,
    Sealed,
};
use crate::governance::{Governance, GovernanceMeta, Proposal};
use crate::names::StreamId;
use crate::op::Op;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where an item of the journal stands. The store gives it; here it is only carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Segment.
    pub segment: u64,
    /// Frame in it.
    pub frame: u64,
    /// Item in that.
    pub item: u16,
    /// Byte offset in the segment.
    pub offset: u64,
    /// Length.
    pub len: u32,
}

/// The tables of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// One row: [`Meta`].
    Meta = 1,
    /// First log index → [`GroupRow`].
    Group = 2,
    /// Stream, chunk → [`ChunkRow`].
    Chunk = 3,
    /// Stream, seq → [`BatchRow`].
    Batch = 4,
    /// Stream, last chunk → seq.
    BatchOfChunk = 5,
    /// Stream name → [`StreamRow`].
    Stream = 6,
    /// Dataset, record → [`TombstoneRow`].
    Tombstone = 7,
    /// Member, number → [`Feedback`].
    Feedback = 8,
    /// Stream, chunk at which it entered, key → rev: recalls not sealed yet.
    PendingRecall = 9,
    /// Member → next feedback number.
    FeedbackNext = 10,
    /// Day, stream, chunk → [`PublicationRow`]: when the publication of the first of its lines ends.
    Publication = 11,
    /// Stream, chunk → [`WithheldRow`].
    Withheld = 12,
    /// Upstream and its stream → [`RelayRow`].
    Relay = 13,
    /// Digest, hexadecimal → where the document stands.
    Document = 16,
    /// Stream, number → [`Description`].
    Description = 17,
    /// First log index, number in the frame → [`GroupChunkRow`].
    GroupChunk = 15,
    /// One row: [`GovernanceMeta`].
    Governance = 18,
    /// Number → [`Proposal`].
    Proposal = 19,
    /// Member → its [`SeenRow`]s, newest first.
    Seen = 20,
    /// Subject → what was noted of it last, as text.
    Noted = 21,
}

impl Table {
    /// All tables, in order of number.
    pub const ALL: [Table; 20] = [
        Table::Meta,
        Table::Group,
        Table::Chunk,
        Table::Batch,
        Table::BatchOfChunk,
        Table::Stream,
        Table::Tombstone,
        Table::Feedback,
        Table::PendingRecall,
        Table::FeedbackNext,
        Table::Publication,
        Table::Withheld,
        Table::Relay,
        Table::GroupChunk,
        Table::Document,
        Table::Description,
        Table::Governance,
        Table::Proposal,
        Table::Seen,
        Table::Noted,
    ];
}

/// Rows written by one frame; later reads of the same frame see them.
#[derive(Debug, Default)]
pub struct Rows {
    /// New value, or nothing for a deleted row.
    pub changes: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
}

impl Rows {
    fn put<T: Serialize>(&mut self, table: Table, key: Vec<u8>, value: &T) {
        let bytes = serde_json::to_vec(value).expect("rows have string keys and no floats");
        self.changes.insert((table, key), Some(bytes));
    }
    fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.changes.insert((table, key), None);
    }
}

/// What the node as a whole has reached.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Meta {
    /// Current epoch.
    pub epoch: u64,
    /// Highest rev drawn.
    pub rev_high: u64,
    /// Entries in the log.
    pub log_size: u64,
}

/// A commit group with log entries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupRow {
    /// The frame record.
    pub record: Place,
    /// Its items, in order, after the record.
    pub entries: u32,
}

/// A chunk a commit group made: how its submissions are followed to their batches.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupChunkRow {
    /// The stream.
    pub stream: StreamId,
    /// Its number there.
    pub chunk: u64,
    /// The line table.
    pub table: Place,
}

/// A chunk some of whose lines may be published until a certain day only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublicationRow {
    /// The line table, which says which lines.
    pub table: Place,
    /// First log index of its commit group: newer lines of a record are found from there on.
    pub group: u64,
}

/// A chunk not sealed yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChunkRow {
    /// The compressed lines.
    pub payload: Place,
    /// Further pieces of them: a batch of an earlier epoch, queued again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rest: Vec<Place>,
    /// The line table.
    pub table: Place,
    /// Lines.
    pub records: u32,
    /// Recalls among them.
    pub recalls: u32,
    /// Bytes before compression.
    pub raw: u64,
    /// What it was made with: the number of a description in [`StreamRow`].
    pub description: u32,
    /// Earliest publication end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest_end: Option<u32>,
    /// Upstream batches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<Origin>,
    /// An officer let it out although it would be withheld.
    #[serde(default)]
    pub released: bool,
}

/// A sealed batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BatchRow {
    /// The manifest.
    pub manifest: Place,
    /// The line table.
    pub table: Place,
    /// The payload, in order.
    pub parts: Vec<Place>,
    /// Manifest digest.
    pub digest: String,
    /// Payload digest.
    pub payload_digest: String,
    /// Lines.
    pub records: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// First chunk.
    pub first_chunk: u64,
    /// Last chunk.
    pub last_chunk: u64,
    /// Log index.
    pub index: u64,
    /// Sealed at, unix seconds.
    pub time: i64,
    /// What its lines were made with: the number of a description in [`StreamRow`].
    #[serde(default)]
    pub description: u32,
    /// The payload was handed out.
    #[serde(default)]
    pub served: bool,
    /// An officer let its records out although the policy has changed.
    #[serde(default)]
    pub released: bool,
    /// A signed void.
    #[serde(default)]
    pub void: bool,
    /// The payload is gone.
    #[serde(default)]
    pub erased: bool,
    /// The latest answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerRow>,
    /// How often the batch as a whole was rejected.
    #[serde(default)]
    pub rejections: u32,
}

/// A recipient's answer, as a batch remembers it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AnswerRow {
    /// Outcome.
    pub outcome: Outcome,
    /// Digest of the answer.
    pub digest: String,
    /// Where it is kept.
    pub place: Place,
    /// Rejected lines.
    pub errors: u32,
    /// Unix seconds.
    pub time: i64,
}

/// A stream.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct StreamRow {
    /// Number in keys of other tables.
    pub id: u32,
    /// Number in keys of its batches: another one in each epoch.
    pub batches: u32,
    /// Those of earlier epochs, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<u32>,
    /// Next chunk's number.
    pub next_chunk: u64,
    /// First chunk not sealed.
    pub first_unsealed: u64,
    /// Next batch's number.
    pub next_seq: u64,
    /// Digest of the last manifest, hexadecimal; empty before the first.
    pub prev: String,
    /// Lines waiting to be sealed.
    pub pending_records: u64,
    /// Lines sealed.
    pub sealed_records: u64,
    /// Lines acknowledged, finally.
    pub acknowledged_records: u64,
    /// Lines a recipient refused.
    pub rejected_records: u64,
    /// Batches with a final answer.
    pub acknowledged_batches: u64,
    /// On hold.
    #[serde(default)]
    pub held: bool,
    /// Pushing was given up.
    #[serde(default)]
    pub dead: bool,
    /// The description the last batch with records was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_with: Option<u32>,
    /// A description that was announced, and the batch that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<(u32, u64)>,
    /// What chunks were made with, by number. In rows of their own: there is one more with every change of a rule.
    #[serde(skip)]
    pub descriptions: Vec<Description>,
}

/// A recalled record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TombstoneRow {
    /// How it was recalled.
    pub op: Op,
    /// At which rev.
    pub rev: u64,
    /// By which submission.
    pub index: u64,
}

/// A chunk that may not leave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WithheldRow {
    /// The chunk.
    pub chunk: ChunkRow,
    /// Why.
    pub reason: String,
}

/// How far an upstream stream was taken.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct RelayRow {
    /// Epoch.
    pub epoch: u64,
    /// Last batch taken.
    pub seq: u64,
    /// Its manifest's digest.
    pub digest: String,
    /// The answer it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Place>,
}

/// A certificate chain a member connected with.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct SeenRow {
    /// The document's digest, hexadecimal.
    pub digest: String,
    /// First second of the leaf's validity, unix seconds.
    pub issued: i64,
    /// When it was noted last, unix seconds: a day behind at most.
    pub last: i64,
}

/// Chains remembered of one member; those seen longest ago go first.
pub const SEEN_OF_ONE_MEMBER: usize = 16;

/// The key of a row of a stream.
pub fn stream_key(id: u32, n: u64) -> Vec<u8> {
    let mut k = Vec::with_capacity(12);
    k.extend_from_slice(&id.to_be_bytes());
    k.extend_from_slice(&n.to_be_bytes());
    k
}

/// The key of a chunk of a commit group.
pub fn group_chunk_key(first_index: u64, n: u16) -> Vec<u8> {
    let mut k = first_index.to_be_bytes().to_vec();
    k.extend_from_slice(&n.to_be_bytes());
    k
}

/// The key of a feedback row.
pub fn feedback_key(member: &str, n: u64) -> Vec<u8> {
    let mut k = Vec::with_capacity(member.len() + 9);
    k.extend_from_slice(member.as_bytes());
    k.push(0);
    k.extend_from_slice(&n.to_be_bytes());
    k
}

/// The key of a tombstone.
pub fn tombstone_key(dataset: &str, id: &[u8]) -> Vec<u8> {
    let mut k = Vec::with_capacity(dataset.len() + 17);
    k.extend_from_slice(dataset.as_bytes());
    k.push(0);
    k.extend_from_slice(id);
    k
}

/// The key of an upstream's stream.
pub fn relay_key(upstream: &str, stream: &str) -> Vec<u8> {
    format!("{upstream}\u{0}{stream}").into_bytes()
}

/// The key of a pending recall.
pub fn pending_recall_key(id: u32, chunk: u64, key: &[u8]) -> Vec<u8> {
    let mut k = stream_key(id, chunk);
    k.extend_from_slice(key);
    k
}

/// The key of a publication end.
pub fn publication_key(day: u32, id: u32, chunk: u64) -> Vec<u8> {
    let mut k = Vec::with_capacity(16);
    k.extend_from_slice(&day.to_be_bytes());
    k.extend_from_slice(&id.to_be_bytes());
    k.extend_from_slice(&chunk.to_be_bytes());
    k
}

/// Reads rows that earlier frames wrote.
pub type Lookup<'a> = dyn FnMut(Table, &[u8]) -> Option<Vec<u8>> + 'a;

/// A row or an event that contradicts the rows before it: the queue is not what the journal adds up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction(pub &'static str);

impl std::fmt::Display for Contradiction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the queue contradicts the journal: {}", self.0)
    }
}
impl std::error::Error for Contradiction {}

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
        self.meta.rev_high = self.meta.rev_high.max(frame.rev_high);
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
            Event::Submitted(_) => Ok(()),
            Event::Chunk(c) => self.chunk(c, first_index, at, rows),
            Event::Recalled(r) => self.recalled(r, rows),
            Event::Reinstated { dataset, id } => {
                rows.delete(Table::Tombstone, tombstone_key(dataset, &unhex(id)?));
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
                rows.put(
                    Table::Withheld,
                    stream_key(id, *chunk),
                    &WithheldRow { chunk: row, reason: reason.clone() },
                );
                tell(feedback, rows, lookup)
            }
            Event::Ruled { stream, chunk, release } => self.ruled(stream, *chunk, *release, rows, lookup),
            Event::Erased { stream, batches, seq, feedback } => {
                self.change_batch(stream, *batches, *seq, rows, lookup, |b| {
                    b.erased = true;
                    b.parts.clear();
                })?;
                tell(feedback, rows, lookup)
            }
            Event::Dropped { stream, through, feedback } => {
                self.drop_chunks(stream, *through, rows, lookup)?;
                tell(feedback, rows, lookup)
            }
            Event::Moved { stream, chunk, item } => {
                let key = stream_key(self.head(stream).id, *chunk);
                let place = item_of(at, *item)?;
                // Sealed or dropped meanwhile: the batch has its own way to the old place, which stays until it is moved.
                if let Some(bytes) = fetch(rows, lookup, Table::Chunk, &key) {
                    let mut row: ChunkRow =
                        serde_json::from_slice(&bytes).map_err(|_| Contradiction("a row cannot be read"))?;
                    row.payload = place;
                    rows.put(Table::Chunk, key, &row);
                }
                Ok(())
            }
            Event::PartMoved { stream, batches, seq, part, item } => {
                let place = item_of(at, *item)?;
                let mut known = true;
                self.change_batch(stream, *batches, *seq, rows, lookup, |b| {
                    match b.parts.get_mut(usize::from(*part)) {
                        Some(p) => *p = place,
                        // Erased meanwhile: the copy is of no use, and dies with its segment.
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
            Event::Relayed { upstream, stream, seq, epoch, digest, answer } => {
                let answer = Some(item_of(at, *answer)?);
                let row = RelayRow { epoch: *epoch, seq: *seq, digest: digest.clone(), answer };
                rows.put(Table::Relay, relay_key(upstream, stream), &row);
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

    /// A number no table has in its keys.
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
            let answered = batch.answer.as_ref().is_some_and(|a| a.outcome.is_final());
            if answered || batch.void || batch.erased {
                continue;
            }
            let mut parts = std::mem::take(&mut batch.parts).into_iter();
            let Some(payload) = parts.next() else { continue };
            let records = u32::try_from(batch.records).map_err(|_| Contradiction("a batch too large"))?;
            batch.erased = true;
            rows.put(Table::Batch, key, &batch);
            let head = self.head(stream);
            let chunk = ChunkRow {
                payload,
                rest: parts.collect(),
                table: batch.table,
                records,
                recalls: records,
                raw: 0,
                description: batch.description,
                earliest_end: None,
                origins: Vec::new(),
                released: false,
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
        let row = TombstoneRow { op: r.op, rev: r.rev, index: r.index };
        rows.put(Table::Tombstone, tombstone_key(&r.dataset, &unhex(&r.id)?), &row);
        for (stream, key) in &r.keys {
            let head = self.head(stream);
            // The recall's own line is in a chunk of this very frame, applied before or after this event: rows up
            // to the newest chunk are cleared only once everything before the recall is sealed.
            let at = pending_recall_key(head.id, head.next_chunk, &unhex(key)?);
            rows.put(Table::PendingRecall, at, &r.rev);
        }
        Ok(())
    }

    fn sealed(
        &mut self,
        s: &Sealed,
        at: &Applied<'_>,
        rows: &mut Rows,
        lookup: &mut Lookup<'_>,
    ) -> Result<(), Contradiction> {
        let (id, batches) = (self.head(&s.stream).id, self.head(&s.stream).batches);
        let mut parts = Vec::with_capacity(s.parts.len());
        let mut description = self.head(&s.stream).descriptions.len().saturating_sub(1) as u32;
        for p in &s.parts {
            match p {
                Part::Item(i) => parts.push(item_of(at, *i)?),
                Part::Chunk(n) => {
                    let chunk: ChunkRow = read(rows, lookup, Table::Chunk, &stream_key(id, *n))?;
                    parts.push(chunk.payload);
                    parts.extend(chunk.rest);
                }
            }
        }
        if !s.void && s.announces.is_none() {
            let first: ChunkRow = read(rows, lookup, Table::Chunk, &stream_key(id, s.first_chunk))?;
            description = s.description.unwrap_or(first.description);
        }
        let batch = BatchRow {
            manifest: item_of(at, s.manifest)?,
            table: item_of(at, s.table)?,
            parts,
            digest: s.digest.clone(),
            payload_digest: s.payload_digest.clone(),
            records: s.records,
            bytes: s.bytes,
            first_chunk: s.first_chunk,
            last_chunk: s.last_chunk,
            index: s.index,
            time: s.time,
            description,
            served: false,
            released: s.released,
            void: s.void,
            erased: s.void,
            answer: None,
            rejections: 0,
        };
        rows.put(Table::Batch, stream_key(batches, s.seq), &batch);
        if s.last_chunk >= s.first_chunk && !s.void && s.announces.is_none() {
            rows.put(Table::BatchOfChunk, stream_key(batches, s.last_chunk), &s.seq);
            self.drop_chunks(&s.stream, s.last_chunk, rows, lookup)?;
        }
        for (chunk, key) in &s.cleared {
            rows.delete(Table::PendingRecall, pending_recall_key(id, *chunk, &unhex(key)?));
        }
        let head = self.head(&s.stream);
        if head.next_seq != s.seq {
            return Err(Contradiction("a batch out of sequence"));
        }
        head.next_seq += 1;
        match s.announces {
            Some(coming) => head.announced = Some((coming, s.seq)),
            None if s.void => {}
            None => head.sealed_with = Some(description),
        }
        head.prev = s.digest.clone();
        head.sealed_records += s.records;
        self.save(&s.stream, rows);
        Ok(())
    }

    /// Forgets unsealed chunks up to one; withheld ones keep their own row.
    fn drop_chunks(
        &mut self,
        stream: &StreamId,
        through: u64,
        rows: &mut Rows,
        lookup: &mut Lookup<'_>,
    ) -> Result<(), Contradiction> {
        let head = self.head(stream);
        let (id, first) = (head.id, head.first_unsealed);
        let mut gone = 0u64;
        for n in first..=through {
            let row: ChunkRow = read(rows, lookup, Table::Chunk, &stream_key(id, n))?;
            gone += u64::from(row.records);
            rows.delete(Table::Chunk, stream_key(id, n));
        }
        let head = self.head(stream);
        head.pending_records = head.pending_records.saturating_sub(gone);
        head.first_unsealed = through + 1;
        self.save(stream, rows);
        Ok(())
    }

    fn acknowledged(
        &mut self,
        a: &Acknowledged,
        at: &Applied<'_>,
        rows: &mut Rows,
        lookup: &mut Lookup<'_>,
    ) -> Result<(), Contradiction> {
        let place = item_of(at, a.answer)?;
        let row =
            AnswerRow { outcome: a.outcome, digest: a.digest.clone(), place, errors: a.errors, time: a.time };
        let batch = self.change_batch(&a.stream, None, a.seq, rows, lookup, |b| {
            b.rejections += u32::from(!a.outcome.is_final());
            b.answer = Some(row);
        })?;
        let head = self.head(&a.stream);
        if a.outcome.is_final() {
            head.acknowledged_batches += 1;
            head.acknowledged_records += batch.records;
            head.rejected_records += u64::from(a.errors);
        }
        self.save(&a.stream, rows);
        tell(&a.feedback, rows, lookup)
    }

    fn ruled(
        &mut self,
        stream: &StreamId,
        chunk: u64,
        release: bool,
        rows: &mut Rows,
        lookup: &mut Lookup<'_>,
    ) -> Result<(), Contradiction> {
        let id = self.head(stream).id;
        let withheld: WithheldRow = read(rows, lookup, Table::Withheld, &stream_key(id, chunk))?;
        rows.delete(Table::Withheld, stream_key(id, chunk));
        if release {
            let head = self.head(stream);
            let number = head.next_chunk;
            head.next_chunk += 1;
            head.pending_records += u64::from(withheld.chunk.records);
            let row = ChunkRow { released: true, ..withheld.chunk };
            rows.put(Table::Chunk, stream_key(id, number), &row);
            self.save(stream, rows);
        }
        Ok(())
    }

    fn change_batch(
        &mut self,
        stream: &StreamId,
        batches: Option<u32>,
        seq: u64,
        rows: &mut Rows,
        lookup: &mut Lookup<'_>,
        change: impl FnOnce(&mut BatchRow),
    ) -> Result<BatchRow, Contradiction> {
        let key = stream_key(batches.unwrap_or(self.head(stream).batches), seq);
        let mut batch: BatchRow = read(rows, lookup, Table::Batch, &key)?;
        change(&mut batch);
        rows.put(Table::Batch, key, &batch);
        Ok(batch)
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

fn unhex(s: &str) -> Result<[u8; 16], Contradiction> {
    crate::secrets::RecordKey::parse(s).map(|k| k.0).ok_or(Contradiction("a key is not hexadecimal"))
}
