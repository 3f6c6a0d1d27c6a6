//! Where things are in the journal: plain values that other rows may keep for years.

use serde::{Deserialize, Serialize};

/// A frame of the journal. Later frames compare greater, across segments too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Position {
    /// Number of the segment, from 1.
    pub segment: u64,
    /// Number of the frame in its segment, from 0.
    pub frame: u64,
}

impl Position {
    /// Length of the fixed encoding.
    pub const BYTES: usize = 16;

    /// Big-endian, so that encoded positions sort as positions do.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.segment.to_be_bytes());
        bytes[8..].copy_from_slice(&self.frame.to_be_bytes());
        bytes
    }

    /// The inverse of [`Position::to_bytes`].
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        Self { segment: read_u64(&bytes[..8]), frame: read_u64(&bytes[8..]) }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "segment {:016x} frame {}", self.segment, self.frame)
    }
}

/// One stored item: enough to read it with a single access to the disk. Stays valid when the segment is archived.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ItemRef {
    /// Number of the segment.
    pub segment: u64,
    /// Number of the frame in the segment.
    pub frame: u64,
    /// Place of the item in the frame, from 0.
    pub item: u16,
    /// Byte offset of the sealed item in the segment's file.
    pub offset: u64,
    /// Length of the item in bytes, as it was handed in.
    pub len: u32,
}

impl ItemRef {
    /// Length of the fixed encoding.
    pub const BYTES: usize = 30;

    /// Big-endian fields in declaration order.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.segment.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.frame.to_be_bytes());
        bytes[16..18].copy_from_slice(&self.item.to_be_bytes());
        bytes[18..26].copy_from_slice(&self.offset.to_be_bytes());
        bytes[26..].copy_from_slice(&self.len.to_be_bytes());
        bytes
    }

    /// The inverse of [`ItemRef::to_bytes`].
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        Self {
            segment: read_u64(&bytes[..8]),
            frame: read_u64(&bytes[8..16]),
            item: u16::from_be_bytes([bytes[16], bytes[17]]),
            offset: read_u64(&bytes[18..26]),
            len: u32::from_be_bytes([bytes[26], bytes[27], bytes[28], bytes[29]]),
        }
    }

    /// The frame that holds the item.
    pub fn position(&self) -> Position {
        Position { segment: self.segment, frame: self.frame }
    }
}

fn read_u64(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("callers pass eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn encodings_are_inverse(segment: u64, frame: u64, item: u16, offset: u64, len: u32) {
            let reference = ItemRef { segment, frame, item, offset, len };
            prop_assert_eq!(ItemRef::from_bytes(&reference.to_bytes()), reference);
            prop_assert_eq!(Position::from_bytes(&reference.position().to_bytes()), reference.position());
        }

        #[test]
        fn encoded_positions_sort(a: (u64, u64), b: (u64, u64)) {
            let (a, b) = (Position { segment: a.0, frame: a.1 }, Position { segment: b.0, frame: b.1 });
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
        }
    }
}
