//! What a submission recalls and reinstates.

use crate::names::StreamId;
use crate::op::Op;
use crate::secrets::{RecordId, RecordKey};

/// What a line means for later puts of its record.
pub enum TombstoneChange {
    /// It is recalled.
    Set(RecallMade),
    /// It may be put again.
    Lift {
        /// The record.
        id: RecordId,
        /// At which rev: of another node's record that node's.
        rev: u64,
    },
}

/// A recall in a submission.
pub struct RecallMade {
    /// The record.
    pub id: RecordId,
    /// How.
    pub op: Op,
    /// The recall's rev.
    pub rev: u64,
    /// The rev it came with from another node.
    pub origin: Option<u64>,
    /// The record's key in each stream.
    pub keys: Vec<(StreamId, RecordKey)>,
}

impl RecallMade {
    /// The rev a later line of the record is compared with: of another node's record that node's.
    pub fn lineage_rev(&self) -> u64 {
        self.origin.unwrap_or(self.rev)
    }
}
