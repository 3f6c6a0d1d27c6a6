//! A request body once it is read, and how large it may be.

use bytes::Bytes;
use xinqiao_runtime::Permit;

/// How large a body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyCaps {
    /// Bytes as sent.
    pub wire: usize,
    /// Bytes after decompression.
    pub decoded: usize,
    /// Decompressed bytes per byte sent, once past 1 MiB.
    pub ratio: usize,
}

/// A body read and decoded, with its share of the byte budget.
#[derive(Debug)]
pub struct Body {
    /// The bytes the sender meant.
    pub bytes: Bytes,
    /// What they cost; keep it as long as the bytes.
    pub permit: Permit,
}

impl BodyCaps {
    /// `wire` bytes as sent, eight times that decompressed, ratio 200.
    #[must_use]
    pub fn of(wire: usize) -> Self {
        Self { wire, decoded: wire.saturating_mul(8), ratio: 200 }
    }
}
