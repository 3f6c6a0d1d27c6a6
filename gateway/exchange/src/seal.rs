//! Sealing: pending chunks become the payload of a batch. Every line is checked again at this moment: a put that was
//! recalled since it was taken, or whose publication has ended, is left out.

use crate::event::{Encoding, Origin};
use crate::op::Op;
use crate::payload::{PayloadDamaged, compress, decompress};
use crate::secrets::RecordKey;
use crate::table::{self, Entry, TableDamaged};
use std::collections::HashMap;
use xinqiao_evidence::Digest;
use xinqiao_evidence::merkle;

mod recalls;
pub use recalls::{Recalls, recalls};

/// Chunks smaller than this on average are compressed together.
pub const SMALL: usize = 32 << 10;

/// The most pieces a batch's payload may stand in.
pub const PARTS_CAP: usize = 24;

/// A chunk read back for sealing.
pub struct Pending {
    /// Its number.
    pub number: u64,
    /// The compressed lines.
    pub payload: Vec<u8>,
    /// In how many places they stand.
    pub pieces: usize,
    /// They are not what stands in the journal, and have to be written there.
    pub rewritten: bool,
    /// The line table.
    pub table: Vec<u8>,
    /// Upstream batches.
    pub origins: Vec<Origin>,
}

/// A recall that has unsealed lines before it.
#[derive(Clone, Copy)]
pub struct PendingRecall {
    /// Lines in chunks below this number are before it.
    pub before_chunk: u64,
    /// The record's key in this stream.
    pub key: RecordKey,
    /// Its rev.
    pub rev: u64,
}

/// The payload of a batch.
pub struct Payload {
    /// The compressed lines, if the chunks could not be taken as they stand.
    pub packed: Option<Vec<u8>>,
    /// The line table of the batch.
    pub table: Vec<u8>,
    /// Lines.
    pub records: u64,
    /// Lines left out.
    pub dropped: u64,
    /// The Merkle root over the lines.
    pub root: Digest,
    /// The digest of the payload.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
    /// Its length decoded.
    pub raw_bytes: u64,
    /// Upstream batches.
    pub origins: Vec<Origin>,
}

/// A stored chunk that does not hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkDamaged {
    /// Which.
    pub number: u64,
}

impl std::fmt::Display for ChunkDamaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "chunk {} does not decode; it is not served", self.number)
    }
}
impl std::error::Error for ChunkDamaged {}

/// Checks the lines of pending chunks and makes the payload of a batch from those that may still leave.
pub fn payload(
    encoding: Encoding,
    chunks: &[Pending],
    recalls: &[PendingRecall],
    today: u32,
) -> Result<Payload, ChunkDamaged> {
    let recalled: HashMap<RecordKey, Vec<PendingRecall>> = recalls.iter().fold(HashMap::new(), |mut m, r| {
        m.entry(r.key).or_insert_with(Vec::new).push(*r);
        m
    });
    let mut gather = Gather { raw: Vec::new(), leaves: Vec::new(), table: vec![table::VERSION], dropped: 0 };
    for c in chunks {
        gather.chunk(encoding, c, &recalled, today).map_err(|_| ChunkDamaged { number: c.number })?;
    }
    let stored: usize = chunks.iter().map(|c| c.payload.len()).sum();
    // Chunks that are taken whole are named by their places and not written to the journal a second time. That fails
    // where a line was left out or a chunk's recalls were separated from its records; it is not worth it where the row of the batch would name too many places (a row of the
    // queue is bounded), or where the chunks are so small that compressing them together saves more than writing costs.
    let as_they_stand = gather.dropped == 0
        && !chunks.iter().any(|c| c.rewritten)
        && chunks.iter().map(|c| c.pieces).sum::<usize>() <= PARTS_CAP
        && (chunks.len() == 1 || stored / chunks.len().max(1) >= SMALL);
    let packed = (!as_they_stand).then(|| compress(encoding, &gather.raw));
    let mut hasher = xinqiao_evidence::Hasher::new();
    // The digest is over what the recipient fetches: the chunks' bytes one behind the other, in this order.
    match &packed {
        Some(bytes) => hasher.update(bytes),
        None => chunks.iter().for_each(|c| hasher.update(&c.payload)),
    }
    let mut origins: Vec<Origin> = Vec::new();
    for o in chunks.iter().flat_map(|c| &c.origins) {
        if !origins.contains(o) {
            origins.push(o.clone());
        }
    }
    Ok(Payload {
        bytes: packed.as_ref().map_or(stored, Vec::len) as u64,
        packed,
        records: gather.leaves.len() as u64,
        dropped: gather.dropped,
        root: merkle::root(gather.leaves),
        digest: hasher.finish(),
        raw_bytes: gather.raw.len() as u64,
        table: gather.table,
        origins,
    })
}

struct Gather {
    raw: Vec<u8>,
    leaves: Vec<Digest>,
    table: Vec<u8>,
    dropped: u64,
}

struct Damaged;
impl From<PayloadDamaged> for Damaged {
    fn from(_: PayloadDamaged) -> Self {
        Damaged
    }
}
impl From<TableDamaged> for Damaged {
    fn from(_: TableDamaged) -> Self {
        Damaged
    }
}

impl Gather {
    fn chunk(
        &mut self,
        encoding: Encoding,
        chunk: &Pending,
        recalled: &HashMap<RecordKey, Vec<PendingRecall>>,
        today: u32,
    ) -> Result<(), Damaged> {
        let mut raw = Vec::new();
        decompress(encoding, &chunk.payload, &mut raw)?;
        // Lines and table advance together. If they disagree in number, every later line would be put down to another
        // record, so the chunk is refused as a whole.
        let mut lines = raw.split_inclusive(|b| *b == b'\n');
        for group in table::groups(&chunk.table)? {
            let mut entries = Vec::new();
            let mut kept = 0u32;
            for e in group.entries()? {
                let line = lines.next().ok_or(Damaged)?;
                let text = line.strip_suffix(b"\n").ok_or(Damaged)?;
                if lost(&e, chunk.number, recalled, today) {
                    self.dropped += 1;
                    continue;
                }
                // A leaf is the line without its line feed (docs/formats.md, section 2).
                self.leaves.push(merkle::leaf_hash(text));
                self.raw.extend_from_slice(line);
                table::put_entry(&mut entries, &e);
                kept += 1;
            }
            if kept > 0 {
                table::put_group(&mut self.table, group.submission, group.member, kept, &entries);
            }
        }
        if lines.next().is_some() { Err(Damaged) } else { Ok(()) }
    }
}

/// Whether a line is left out. Only puts are: a recall must always reach the recipient.
fn lost(e: &Entry<'_>, chunk: u64, recalled: &HashMap<RecordKey, Vec<PendingRecall>>, today: u32) -> bool {
    if e.op != Op::Put {
        return false;
    }
    // The chunk's number alone would not do: a put of the recall's own frame is covered by it, but where the put has the
    // higher rev it is the newer of the two, and stands as it would at the recipient.
    let taken_back =
        recalled.get(&e.key).is_some_and(|rs| rs.iter().any(|r| chunk < r.before_chunk && e.rev < r.rev));
    taken_back || e.publication_end.is_some_and(|day| day < today)
}
