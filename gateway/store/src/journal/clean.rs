//! The mark of a clean shutdown: how the journal ended. It is removed before the first frame after it, so a journal
//! that ends before its mark is an older copy or has lost its end.

use std::io;
use std::path::Path;

use super::segment::PreviousSegment;
use crate::bytes::{Put, Take};
use crate::{Position, durable};

/// The mark's content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) end: Option<Position>,
    pub(crate) previous: Option<PreviousSegment>,
    pub(crate) log_index: u64,
}

const LEN: usize = 8 + 16 + 8 + 16 + 8 + 32 + 8 + 4;
const MAGIC: &[u8; 8] = b"XQCLEAN\x01";
const NONE: u64 = u64::MAX;

impl Mark {
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let end = self.end.unwrap_or(Position { segment: NONE, frame: NONE });
        let none = PreviousSegment { number: NONE, id: [0; 16], frames: 0, tail: [0; 32] };
        let previous = self.previous.unwrap_or(none);
        let mut bytes = [0; LEN];
        let mut put = Put(&mut bytes, 0);
        put.bytes(MAGIC).u64(end.segment).u64(end.frame);
        put.u64(previous.number)
            .bytes(&previous.id)
            .u64(previous.frames)
            .bytes(&previous.tail)
            .u64(self.log_index);
        let check = crc32fast::hash(&bytes[..LEN - 4]);
        Put(&mut bytes, LEN - 4).u32(check);
        durable::replace(path, &bytes)
    }

    /// The mark, if there is an intact one. A damaged mark says nothing, like none.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let bytes: [u8; LEN] = std::fs::read(path).ok()?.try_into().ok()?;
        if crc32fast::hash(&bytes[..LEN - 4]).to_le_bytes() != bytes[LEN - 4..] {
            return None;
        }
        let mut take = Take(&bytes);
        if take.array()? != *MAGIC {
            return None;
        }
        let end = Position { segment: take.u64()?, frame: take.u64()? };
        let previous = PreviousSegment {
            number: take.u64()?,
            id: take.array()?,
            frames: take.u64()?,
            tail: take.array()?,
        };
        Some(Self {
            end: (end.segment != NONE).then_some(end),
            previous: (previous.number != NONE).then_some(previous),
            log_index: take.u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote_and_no_damaged_mark() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("CLEAN");
        let previous = Some(PreviousSegment { number: 4, id: [1; 16], frames: 9, tail: [2; 32] });
        for mark in [
            Mark { end: None, previous: None, log_index: 0 },
            Mark { end: Some(Position { segment: 4, frame: 8 }), previous, log_index: 77 },
        ] {
            mark.write(&path).unwrap();
            assert_eq!(Mark::read(&path), Some(mark));
            let intact = std::fs::read(&path).unwrap();
            for at in 0..intact.len() {
                let mut bytes = intact.clone();
                bytes[at] ^= 1;
                std::fs::write(&path, bytes).unwrap();
                assert_eq!(Mark::read(&path), None);
            }
        }
    }
}
