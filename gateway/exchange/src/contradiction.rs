//! The journal and what was made of it say different things.

use std::fmt;

/// A row or an event that contradicts the rows before it: the queue is not what the journal adds up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction(pub &'static str);

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the queue contradicts the journal: {}", self.0)
    }
}

impl std::error::Error for Contradiction {}
