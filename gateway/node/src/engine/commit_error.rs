//! Why something was not committed, and what its sender is told.

use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// Why something was not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitError {
    /// A record was recalled or the rules changed meanwhile: check again.
    Stale,
    /// The change no longer fits the state.
    Overtaken,
    /// No space.
    DiskFull,
    /// It may or may not be durable.
    OutcomeUnknown,
    /// The journal does not take anything now.
    Unavailable,
    /// The key that signs is in a token that does not answer. Nothing was written.
    Unsigned,
    /// The node is stopping.
    Stopping,
}

impl From<CommitError> for Refusal {
    fn from(e: CommitError) -> Self {
        match e {
            CommitError::DiskFull => RefusalCode::DiskFull.into(),
            CommitError::OutcomeUnknown => RefusalCode::OutcomeUnknown.into(),
            CommitError::Unavailable => RefusalCode::DiskFailed.into(),
            CommitError::Unsigned => RefusalCode::KeysUnavailable.into(),
            CommitError::Stopping => RefusalCode::BusyDraining.into(),
            CommitError::Stale | CommitError::Overtaken => RefusalCode::BusyQueue.into(),
        }
    }
}
