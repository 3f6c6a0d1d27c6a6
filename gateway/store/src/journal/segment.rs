//! A segment on disk: its header, its file, and the end of it that readers may see.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use xinqiao_crypto::sha256;

use super::frame::{ALIGN, Place};
use crate::Position;
use crate::bytes::{Put, Take};
use crate::cipher::{DataKey, SUITE};

/// What stands in the first 512 bytes. It says where the segment before ends, so that a frame of unknown outcome
/// there is void as soon as this header is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) id: [u8; 16],
    /// Milliseconds since 1970; for people and retention only.
    pub(crate) opened_at: u64,
    pub(crate) previous: Option<PreviousSegment>,
    /// The last frame of the journal before this segment.
    pub(crate) last: Option<Position>,
    /// Index the next log entry was expected to have.
    pub(crate) log_index: u64,
}

/// How the segment before ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PreviousSegment {
    pub(crate) number: u64,
    pub(crate) id: [u8; 16],
    pub(crate) frames: u64,
    pub(crate) tail: [u8; 32],
}

pub(crate) const SEGMENT_HEADER: usize = 144;
const MAGIC: &[u8; 4] = b"XQSG";
const VERSION: u8 = 1;
const NONE: u64 = u64::MAX;

impl SegmentHeader {
    pub(crate) fn to_bytes(self) -> [u8; SEGMENT_HEADER] {
        let none = PreviousSegment { number: NONE, id: [0; 16], frames: 0, tail: [0; 32] };
        let previous = self.previous.unwrap_or(none);
        let last = self.last.unwrap_or(Position { segment: NONE, frame: NONE });
        let mut bytes = [0; SEGMENT_HEADER];
        let mut put = Put(&mut bytes, 0);
        put.bytes(MAGIC).u8(VERSION).u8(SUITE).u16(0).u64(self.number).bytes(&self.id).u64(self.opened_at);
        put.u64(previous.number).bytes(&previous.id).u64(previous.frames).bytes(&previous.tail);
        put.u64(last.segment).u64(last.frame).u64(self.log_index);
        let check = crc32fast::hash(&bytes[..SEGMENT_HEADER - 4]);
        Put(&mut bytes, SEGMENT_HEADER - 4).u32(check);
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..SEGMENT_HEADER)?;
        let (body, check) = bytes.split_at(SEGMENT_HEADER - 4);
        if crc32fast::hash(body).to_le_bytes() != check {
            return None;
        }
        let mut take = Take(body);
        if take.array()? != *MAGIC || (take.u8()?, take.u8()?, take.u16()?) != (VERSION, SUITE, 0) {
            return None;
        }
        let (number, id, opened_at) = (take.u64()?, take.array()?, take.u64()?);
        let previous = PreviousSegment {
            number: take.u64()?,
            id: take.array()?,
            frames: take.u64()?,
            tail: take.array()?,
        };
        let last = Position { segment: take.u64()?, frame: take.u64()? };
        Some(Self {
            number,
            id,
            opened_at,
            previous: (previous.number != NONE).then_some(previous),
            last: (last.segment != NONE).then_some(last),
            log_index: take.u64()?,
        })
    }

    /// Whether the segment `number`, an earlier one, existed when this one was opened. Numbers are skipped only when a
    /// rollback was adopted.
    pub(crate) fn follows(&self, number: u64) -> bool {
        self.previous.is_some_and(|previous| number <= previous.number)
    }

    /// What the first frame carries as the digest of the frame before it.
    pub(crate) fn digest(&self) -> [u8; 32] {
        sha256(&self.to_bytes())
    }

    /// Reads the header of `file`; `None` if there is no intact one.
    pub(crate) fn read(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; SEGMENT_HEADER];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(Self::parse(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// How far a segment is filled with frames that count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    pub(crate) frames: u64,
    /// Where the next frame would begin.
    pub(crate) offset: u64,
    /// Digest of the last frame, or of the header if there is none.
    pub(crate) tail: [u8; 32],
    /// Index the next log entry is expected to have.
    pub(crate) log_index: u64,
    /// The last frame of the journal up to here.
    pub(crate) last: Option<Position>,
}

impl End {
    /// The end of a segment without frames.
    pub(crate) fn empty(header: &SegmentHeader) -> Self {
        Self {
            frames: 0,
            offset: ALIGN,
            tail: header.digest(),
            log_index: header.log_index,
            last: header.last,
        }
    }

    /// Where the next frame stands.
    pub(crate) fn place(&self, header: &SegmentHeader) -> Place {
        Place {
            segment: header.number,
            segment_id: header.id,
            frame: self.frames,
            previous: self.tail,
            offset: self.offset,
        }
    }
}

/// An open file of a segment with its key.
pub(crate) struct SegmentFile {
    pub(crate) file: File,
    pub(crate) key: DataKey,
}

/// A segment as writer and readers share it.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    end: Mutex<End>,
    pub(crate) open: Mutex<Option<Arc<SegmentFile>>>,
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader, end: End, open: Option<Arc<SegmentFile>>) -> Self {
        Self { header, end: Mutex::new(end), open: Mutex::new(open) }
    }

    /// The end readers may rely on: everything before it is synced.
    pub(crate) fn end(&self) -> End {
        *self.end.lock()
    }

    pub(crate) fn advance(&self, end: End) {
        *self.end.lock() = end;
    }
}

/// Kinds of files in `journal/` and `evidence/`, all named by the segment's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Part {
    /// Frames.
    Segment,
    /// The wrapped data key of a segment or archive.
    Key,
    /// The closing record with the idempotency keys.
    Closing,
    /// Archived items.
    Archive,
    /// Mark of an archive deleted at the end of its retention.
    Gone,
    /// Rows that left the queue, sorted.
    Index,
    /// The wrapped data key of an index.
    IndexKey,
}

impl Part {
    const ALL: [Self; 7] =
        [Self::Segment, Self::Key, Self::Closing, Self::Archive, Self::Gone, Self::Index, Self::IndexKey];

    fn suffix(self) -> &'static str {
        match self {
            Self::Segment => "seg",
            Self::Key => "key",
            Self::Closing => "idem",
            Self::Archive => "arc",
            Self::Gone => "gone",
            Self::Index => "idx",
            Self::IndexKey => "idk",
        }
    }

    pub(crate) fn path(self, dir: &Path, number: u64) -> PathBuf {
        dir.join(format!("{number:016x}.{}", self.suffix()))
    }

    /// Number and kind of a file by its name.
    pub(crate) fn parse(name: &str) -> Option<(u64, Self)> {
        let (number, suffix) = name.split_once('.')?;
        let part = Self::ALL.into_iter().find(|part| part.suffix() == suffix)?;
        let number = (number.len() == 16).then(|| u64::from_str_radix(number, 16).ok())??;
        (part.path(Path::new(""), number).to_str() == Some(name)).then_some((number, part))
    }
}
