//! Why something was not committed, and what its sender is told.

use xinqiao_runtime::problem::{Problem, ProblemCode};

/// Why something was not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitError {
    /// A record was recalled or the rules changed meanwhile: judge again.
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

impl From<CommitError> for Problem {
    fn from(e: CommitError) -> Self {
        match e {
            CommitError::DiskFull => ProblemCode::DiskFull.into(),
            CommitError::OutcomeUnknown => ProblemCode::OutcomeUnknown.into(),
            CommitError::Unavailable => ProblemCode::DiskFailed.into(),
            CommitError::Unsigned => ProblemCode::KeysUnavailable.into(),
            CommitError::Stopping => ProblemCode::BusyDraining.into(),
            CommitError::Stale | CommitError::Overtaken => ProblemCode::BusyQueue.into(),
        }
    }
}
