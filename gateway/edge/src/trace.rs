//! The number of a request, under which log and problem documents know it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// 128 bits, unique in this process and very likely everywhere; shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId {
    process: u64,
    request: u64,
}

impl TraceId {
    /// Unique among the requests of this process.
    pub(super) fn number(self) -> u64 {
        self.request
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.process, self.request)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hands out trace ids: a random start per process and counters, so that no request pays for randomness.
pub(super) struct Traces {
    process: u64,
    next: AtomicU64,
}

/// The trace ids of one connection.
pub(super) struct ConnectionTraces {
    process: u64,
    first: u64,
    next: AtomicU64,
}

impl Traces {
    pub(super) fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self { process: RandomState::new().hash_one(std::process::id()), next: AtomicU64::new(0) }
    }

    pub(super) fn of_connection(&self) -> ConnectionTraces {
        let first = self.next.fetch_add(1, Relaxed) << 32;
        ConnectionTraces { process: self.process, first, next: AtomicU64::new(0) }
    }
}

impl ConnectionTraces {
    pub(super) fn next(&self) -> TraceId {
        TraceId { process: self.process, request: self.first | self.next.fetch_add(1, Relaxed) & 0xffff_ffff }
    }
}
