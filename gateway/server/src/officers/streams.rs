//! Streams: how they stand, holds, withheld chunks, dead letters.

use serde::{Deserialize, Serialize};

/// How a stream stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadView {
    /// `<recipient>.<dataset>`, with `~history` for the slow lane.
    pub stream: String,
    /// The number the next batch will have.
    pub next_seq: u64,
    /// Records that wait to be sealed.
    pub pending_records: u64,
    /// Records in sealed batches.
    pub sealed_records: u64,
    /// Records the recipient took.
    pub acknowledged_records: u64,
    /// Records the recipient refused.
    pub rejected_records: u64,
    /// On hold: nothing is delivered.
    pub held: bool,
    /// Pushing was given up.
    pub dead: bool,
}

/// A chunk of records that waits for a ruling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithheldView {
    /// Its stream.
    pub stream: String,
    /// Its number in the stream.
    pub chunk: u64,
    /// How many records wait in it.
    pub records: u32,
    /// Why it was withheld.
    pub reason: String,
}

/// A decision about a withheld chunk.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ruling {
    /// Why: 1 to 200 characters on one line; goes into the log.
    pub reason: String,
    /// Let it out as it is; otherwise it is thrown away.
    #[serde(default)]
    pub release: bool,
}

/// A stream was put on hold, or let go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Whether it is on hold now.
    pub held: bool,
    /// The stream.
    pub stream: String,
}

/// A withheld chunk was let out or thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruled {
    /// The chunk's number.
    pub chunk: u64,
    /// Let out; otherwise thrown away.
    pub released: bool,
    /// The stream.
    pub stream: String,
}

/// A stream is pushed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// Always false.
    pub dead: bool,
    /// The stream.
    pub stream: String,
}
