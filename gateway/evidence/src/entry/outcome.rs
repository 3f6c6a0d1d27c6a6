//! What an entry says beside names, numbers and digests.

use serde::{Deserialize, Serialize};

/// How many records of a submission went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Taken, doubtful ones included.
    pub accepted: u64,
    /// Not taken.
    pub refused: u64,
    /// Taken, but doubtful (疑问数据).
    pub warned: u64,
}

/// A recipient's answer to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every line was taken.
    Accepted,
    /// All lines but the listed ones were taken.
    Partial,
    /// The batch does not verify or cannot be stored; it stays pending.
    Rejected,
}

/// Whether a stream delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldState {
    /// Put on hold.
    Held,
    /// Delivers again.
    Released,
}

/// What became of chunks that a changed policy no longer allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithheldState {
    /// Kept back; the source is asked to send again.
    Withheld,
    /// A security officer let them go.
    Released,
    /// A security officer threw them away.
    Discarded,
}
