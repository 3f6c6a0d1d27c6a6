//! The rows of the queue and their keys: what a restart finds without reading the journal.

use crate::event::{Description, Origin, Outcome};
use crate::names::StreamId;
use crate::op::Op;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where an item of the journal stands, as the store gave it. Here it is only carried: nothing is computed from it, and
/// all that can be asked is its volume, since what stands in one volume is erased together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    #[serde(rename = "segment")]
    volume: u64,
    frame: u64,
    item: u16,
    offset: u64,
    len: u32,
}

/// What the store makes of a place: volume, frame, item, offset and length.
pub type PlaceParts = (u64, u64, u16, u64, u32);

impl Place {
    /// A place, from the store's own reference.
    pub fn from_parts((volume, frame, item, offset, len): PlaceParts) -> Self {
        Self { volume, frame, item, offset, len }
    }

    /// For the store alone.
    pub fn into_parts(self) -> PlaceParts {
        (self.volume, self.frame, self.item, self.offset, self.len)
    }

    /// Length of the item in bytes.
    pub fn bytes(self) -> usize {
        self.len as usize
    }

    /// What is erased together; volumes are numbered in the order in which they are written.
    pub fn volume(self) -> u64 {
        self.volume
    }
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
    /// Member, number → [`crate::event::Feedback`].
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
    /// One row: [`crate::governance::GovernanceMeta`].
    Governance = 18,
    /// Number → [`crate::governance::Proposal`].
    Proposal = 19,
    /// Member → its [`SeenRow`]s, newest first.
    Seen = 20,
    /// Subject → what was noted of it last, as text.
    Noted = 21,
    /// Table, last key of a range → [`IndexRow`]: where rows are that left the queue.
    Index = 22,
    /// Stream, chunk → chunk: where its lines wait again after an officer let them out.
    Again = 23,
}

impl Table {
    /// All tables, in order of number.
    pub const ALL: [Table; 22] = [
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
        Table::Index,
        Table::Again,
    ];
}

/// Rows written by one frame; later reads of the same frame see them.
#[derive(Debug, Default)]
pub struct Rows {
    /// New value, or nothing for a deleted row.
    pub changes: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    /// What leaves the queue besides: every row with a key in one of these that `changes` does not name.
    pub left: Vec<LeftRange>,
}

/// Keys whose rows leave the queue, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftRange {
    /// The table.
    pub table: Table,
    /// First key.
    pub first: Vec<u8>,
    /// Last key.
    pub last: Vec<u8>,
}

impl Rows {
    pub(super) fn put<T: Serialize>(&mut self, table: Table, key: Vec<u8>, value: &T) {
        let bytes = serde_json::to_vec(value).expect("rows have string keys and no floats");
        self.changes.insert((table, key), Some(bytes));
    }
    pub(super) fn delete(&mut self, table: Table, key: Vec<u8>) {
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
    /// It was withheld, and an officer decided about its records: only its recalls leave from here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ruled: bool,
}

impl ChunkRow {
    /// A piece of the payload stands elsewhere now. A piece that is not there was sealed with others meanwhile.
    pub(super) fn move_piece(&mut self, piece: u16, place: Place) {
        match piece.checked_sub(1) {
            None => self.payload = place,
            Some(rest) => {
                if let Some(at) = self.rest.get_mut(usize::from(rest)) {
                    *at = place;
                }
            }
        }
    }
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
    /// The node took it back before it was handed out, and reported that to its sources: nothing of it was delivered,
    /// whatever the recipient acknowledges.
    #[serde(default)]
    pub taken_back: bool,
    /// The chunk in which its lines wait again: all of them in a new epoch, its recalls if it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<u64>,
    /// The latest answer.
    #[serde(rename = "answer", default, skip_serializing_if = "Option::is_none")]
    pub acknowledgement: Option<AcknowledgementRow>,
    /// How often the batch as a whole was rejected.
    #[serde(default)]
    pub rejections: u32,
}

/// A recipient's answer, as a batch remembers it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AcknowledgementRow {
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
    /// At which rev: of another node's record that node's.
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
    /// How many of its lines wait for the ruling: its records. Rows of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u32>,
}

impl WithheldRow {
    /// How many records wait for the ruling; of rows of earlier versions, how many lines.
    pub fn waiting(&self) -> u32 {
        self.records.unwrap_or(self.chunk.records)
    }
}

/// Rows that left the queue: a range of one table's keys, in one index.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct IndexRow {
    /// The index's number.
    pub number: u64,
    /// The first key of the range, hexadecimal; the last is in this row's own key.
    pub first: String,
}

impl IndexRow {
    /// The first key of the range.
    pub fn first_key(&self) -> Option<Vec<u8>> {
        xinqiao_crypto::hex::decode(&self.first)
    }
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
    #[serde(rename = "answer", default, skip_serializing_if = "Option::is_none")]
    pub acknowledgement: Option<Place>,
    /// The highest rev of a line taken. Not known of what earlier versions took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest: Option<u64>,
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

/// The key of the row that says where a range of rows went, by the table and the range's last key. Ranges of a table do
/// not overlap, so the first row from a key on is the only one whose range may hold it.
pub fn index_key(table: Table, last: &[u8]) -> Vec<u8> {
    let mut k = Vec::with_capacity(1 + last.len());
    k.push(table as u8);
    k.extend_from_slice(last);
    k
}

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
