//! Why rows could not be read or written.

use super::kept::KeptFault;
use std::fmt;
use xinqiao_exchange::contradiction::Contradiction;
use xinqiao_store::{QueueError, ReadError};

/// The queue failed, or contradicts the journal.
#[derive(Debug)]
pub(super) enum QueueFault {
    /// sled failed.
    Lost(QueueError),
    /// Its rows are not what the journal adds up to.
    Contradiction(Contradiction),
    /// Rows that left it cannot be read.
    Index(ReadError),
}

impl fmt::Display for QueueFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(e) => write!(f, "{e}"),
            Self::Contradiction(c) => write!(f, "{c}"),
            Self::Index(e) => write!(f, "an index in data/evidence: {e}"),
        }
    }
}
impl From<QueueError> for QueueFault {
    fn from(e: QueueError) -> Self {
        Self::Lost(e)
    }
}
impl From<KeptFault> for QueueFault {
    fn from(e: KeptFault) -> Self {
        match e {
            KeptFault::Queue(e) => Self::Lost(e),
            KeptFault::Index(e) => Self::Index(e),
        }
    }
}
impl From<Contradiction> for QueueFault {
    fn from(c: Contradiction) -> Self {
        Self::Contradiction(c)
    }
}
