//! Which rows may leave the queue for an index: those of segments that are closed, once nothing will ask for them in
//! the course of delivery. What is looked up later (a submission, a proof, an old batch) is found in the index.
//!
//! Within a group (a stream's batches, a member's news) rows leave in order of their keys, without gaps: so the first
//! that must stay keeps the later ones, and each index holds one range of each group.

use super::{BatchRow, Contradiction, GroupChunkRow, GroupRow, Table};
use crate::event::Feedback;
use std::collections::BTreeMap;

/// The tables whose rows grow with every submission, in order of number.
pub const INDEXED: [Table; 5] =
    [Table::Group, Table::Batch, Table::BatchOfChunk, Table::Feedback, Table::GroupChunk];

/// Decides about rows, group by group in order of table and key.
#[derive(Debug)]
pub struct Settled {
    /// Rows of this segment and of later ones stay.
    segment: u64,
    /// Rows of this second and of later ones stay, where a row names no segment.
    time: i64,
    /// The last batch that left, by the number of a stream's batches in the keys.
    batches: BTreeMap<u32, u64>,
}

impl Settled {
    /// For rows of segments before `segment`, which was opened at `time`, unix seconds.
    pub fn before(segment: u64, time: i64) -> Self {
        Self { segment, time, batches: BTreeMap::new() }
    }

    /// What a key begins with in its group. Groups of a table follow one another in order of it.
    pub fn group_of(table: Table, key: &[u8]) -> &[u8] {
        match table {
            Table::Batch | Table::BatchOfChunk => &key[..key.len().min(4)],
            Table::Feedback => &key[..key.len().saturating_sub(8)],
            _ => &[],
        }
    }

    /// Takes note of a row that left before, the last of its group.
    pub fn left(&mut self, table: Table, key: &[u8]) {
        if table == Table::Batch
            && let Some((batches, seq)) = numbers(key)
        {
            self.batches.insert(batches, seq);
        }
    }

    /// May this row leave, if all before it in its group have? Batches are asked for before what names them.
    pub fn may_leave(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<bool, Contradiction> {
        let bad = Contradiction("a row cannot be read");
        Ok(match table {
            Table::Group => {
                let row: GroupRow = serde_json::from_slice(value).map_err(|_| bad)?;
                row.record.volume() < self.segment
            }
            Table::GroupChunk => {
                let row: GroupChunkRow = serde_json::from_slice(value).map_err(|_| bad)?;
                row.table.volume() < self.segment
            }
            Table::Batch => {
                let row: BatchRow = serde_json::from_slice(value).map_err(|_| bad)?;
                // A batch with payload is still asked for, moved and erased by its row.
                let leaves = row.erased && row.parts.is_empty() && row.manifest.volume() < self.segment;
                if leaves {
                    self.left(table, key);
                }
                leaves
            }
            Table::BatchOfChunk => {
                let seq: u64 = serde_json::from_slice(value).map_err(|_| bad)?;
                // It names a batch, and leaves no sooner than that one.
                let (batches, _) = numbers(key).ok_or(bad)?;
                self.batches.get(&batches).is_some_and(|through| seq <= *through)
            }
            Table::Feedback => {
                let row: Feedback = serde_json::from_slice(value).map_err(|_| bad)?;
                row.time < self.time
            }
            _ => false,
        })
    }
}

/// The two numbers of a stream's key.
fn numbers(key: &[u8]) -> Option<(u32, u64)> {
    let (id, n) = key.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*id), u64::from_be_bytes(*n.first_chunk()?)))
}
