//! The lines of one submission for one recipient, gathered into pieces that chunks are made of.

use crate::event::Encoding;
use crate::op::Op;
use crate::payload::compress;
use crate::secrets::RecordKey;
use crate::table::{Entry, put_entry};

/// Lines are compressed where they are made once there are this many bytes of them; smaller pieces are compressed
/// together by the committer.
pub const PACK_FROM: usize = 64 << 10;

/// The most bytes of lines in one piece.
pub const PIECE_CAP: usize = 1 << 20;

/// Lines that stay together.
pub struct Piece {
    /// The lines.
    pub lines: Lines,
    /// How many.
    pub records: u32,
    /// How many of them recall.
    pub recalls: u32,
    /// Entries of the line table.
    pub entries: Vec<u8>,
    /// The earliest publication end.
    pub earliest_end: Option<u32>,
}

/// Lines, compressed or not.
pub enum Lines {
    /// As they are.
    Raw(Vec<u8>),
    /// One frame or member.
    Packed {
        /// The compressed bytes.
        bytes: Vec<u8>,
        /// Bytes before.
        raw: u64,
    },
}

impl Lines {
    /// Bytes before compression.
    pub fn raw_len(&self) -> u64 {
        match self {
            Lines::Raw(b) => b.len() as u64,
            Lines::Packed { raw, .. } => *raw,
        }
    }
}

/// Gathers lines for one recipient.
pub struct Output {
    encoding: Encoding,
    public: bool,
    raw: Vec<u8>,
    records: u32,
    recalls: u32,
    entries: Vec<u8>,
    earliest_end: Option<u32>,
    done: Vec<Piece>,
}

impl Output {
    /// Starts with nothing.
    pub fn new(encoding: Encoding, public: bool) -> Self {
        Self {
            encoding,
            public,
            raw: Vec::new(),
            records: 0,
            recalls: 0,
            entries: Vec::new(),
            earliest_end: None,
            done: Vec::new(),
        }
    }

    /// Where the next line is written; without its line feed.
    pub fn line(&mut self) -> &mut Vec<u8> {
        &mut self.raw
    }

    /// Takes back what was written since `length`.
    pub fn undo(&mut self, length: usize) {
        self.raw.truncate(length);
    }

    /// Ends a line.
    pub fn end_line(
        &mut self,
        op: Op,
        key: RecordKey,
        rev: u64,
        ordinal: u32,
        end: Option<u32>,
        reference: Option<&str>,
    ) {
        self.raw.push(b'\n');
        self.records += 1;
        self.recalls += u32::from(op.is_recall());
        let publication_end = end.filter(|_| self.public && op == Op::Put);
        if let Some(day) = publication_end {
            self.earliest_end = Some(self.earliest_end.map_or(day, |e| e.min(day)));
        }
        put_entry(&mut self.entries, &Entry { op, key, rev, ordinal, publication_end, reference });
        if self.raw.len() >= PIECE_CAP - (64 << 10) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.records == 0 {
            return;
        }
        let raw = std::mem::take(&mut self.raw);
        let lines = if raw.len() >= PACK_FROM {
            Lines::Packed { raw: raw.len() as u64, bytes: compress(self.encoding, &raw) }
        } else {
            Lines::Raw(raw)
        };
        self.done.push(Piece {
            lines,
            records: std::mem::take(&mut self.records),
            recalls: std::mem::take(&mut self.recalls),
            entries: std::mem::take(&mut self.entries),
            earliest_end: self.earliest_end.take(),
        });
    }

    /// The pieces, in order.
    pub fn finish(mut self) -> Vec<Piece> {
        self.cut();
        self.done
    }
}
