//! Walks the frames of one segment as the disk holds them, and distinguishes a torn end from damage in the middle.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::frame::{ALIGN, HEADER, Header, IdemEntry, align, open_front};
use super::segment::{End, SegmentFile, SegmentHeader};
use crate::{Damage, Position};

/// What a walk found.
pub(crate) struct Scan {
    pub(crate) end: End,
    pub(crate) idempotency: Vec<IdemEntry>,
    pub(crate) tail: Tail,
}

/// What follows the last intact frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tail {
    /// Zeros or nothing.
    Clean,
    /// Bytes that are no frame, and no frame after them: a write the power cut.
    Torn { bytes: u64 },
    /// Bytes that are no frame, followed by an intact one.
    Damaged(Damage),
}

/// Reads every frame wholly, up to `limit` frames.
pub(crate) fn scan(segment: &SegmentFile, header: &SegmentHeader, limit: Option<u64>) -> io::Result<Scan> {
    let mut window = Window::new(&segment.file);
    let mut end = End::empty(header);
    let mut idempotency = Vec::new();
    while limit.is_none_or(|limit| end.frames < limit) {
        let Some(mut entries) = next(&mut window, segment, header, &mut end)? else {
            let tail = tail(&segment.file, header, &end)?;
            return Ok(Scan { end, idempotency, tail });
        };
        idempotency.append(&mut entries);
    }
    Ok(Scan { end, idempotency, tail: Tail::Clean })
}

/// Checks the frame at `end` and moves `end` past it; `None` if there is no intact frame.
fn next(
    window: &mut Window<'_>,
    segment: &SegmentFile,
    header: &SegmentHeader,
    end: &mut End,
) -> io::Result<Option<Vec<IdemEntry>>> {
    let Some(frame) = window.header(header, end)? else { return Ok(None) };
    let len = usize::try_from(frame.len()).expect("a frame fits memory");
    let Some(bytes) = window.bytes(end.offset, len)? else { return Ok(None) };
    let body = &mut bytes[HEADER..];
    if !frame.body_intact(body) {
        return Ok(None);
    }
    let front = &mut body[..frame.front_len() - HEADER];
    let Some(front) = open_front(&frame, &end.place(header), &segment.key, front) else { return Ok(None) };
    end.pass(header, &frame);
    Ok(Some(front.idempotency))
}

impl End {
    /// Moves past `frame`, which stands at this end.
    pub(crate) fn pass(&mut self, header: &SegmentHeader, frame: &Header) {
        self.last = Some(Position { segment: header.number, frame: self.frames });
        self.frames += 1;
        self.offset = align(self.offset + frame.len());
        self.tail = frame.digest();
        self.log_index = frame.next_log_index().unwrap_or(self.log_index);
    }
}

/// What stands behind the last intact frame. Each frame is synced before the next is written, so an intact frame further
/// on proves that the broken one was once acknowledged: that is damage, and cutting there would lose it. Without one, it
/// is a write that never returned.
fn tail(file: &File, header: &SegmentHeader, end: &End) -> io::Result<Tail> {
    let len = file.metadata()?.len();
    let mut window = Window::new(file);
    let mut last_used = end.offset;
    let mut offset = end.offset;
    while offset < len {
        let step = (len - offset).min(ALIGN);
        let Some(bytes) = window.bytes(offset, usize::try_from(step).expect("one step"))? else { break };
        if let Some(used) = bytes.iter().rposition(|byte| *byte != 0) {
            last_used = offset + used as u64 + 1;
            let ours = |found: &Header| found.segment_id == header.id && found.frame > end.frames;
            if let Some(found) = Header::parse(bytes).filter(ours)
                && let Some(frame) =
                    window.bytes(offset, usize::try_from(found.len()).expect("a frame fits memory"))?
                && found.body_intact(&frame[HEADER..])
            {
                let damage = Damage { segment: header.number, frame: end.frames, offset: end.offset };
                return Ok(Tail::Damaged(damage));
            }
        }
        offset += ALIGN;
    }
    Ok(if last_used == end.offset { Tail::Clean } else { Tail::Torn { bytes: last_used - end.offset } })
}

/// Whether a file without an intact header holds anything that looks like a frame.
pub(crate) fn holds_frames(file: &File) -> io::Result<bool> {
    let len = file.metadata()?.len();
    let mut window = Window::new(file);
    let mut offset = ALIGN;
    while offset + HEADER as u64 <= len {
        if window.bytes(offset, HEADER)?.is_some_and(|bytes| Header::parse(bytes).is_some()) {
            return Ok(true);
        }
        offset += ALIGN;
    }
    Ok(false)
}

/// A buffer over a file that is read forward.
pub(crate) struct Window<'a> {
    file: &'a File,
    start: u64,
    filled: usize,
    buffer: Vec<u8>,
}

const READ_AHEAD: usize = 256 << 10;

impl<'a> Window<'a> {
    pub(crate) fn new(file: &'a File) -> Self {
        Self { file, start: 0, filled: 0, buffer: Vec::new() }
    }

    /// The `len` bytes at `offset`; `None` if the file ends before. A caller may change them, and must then not ask
    /// for them again.
    pub(crate) fn bytes(&mut self, offset: u64, len: usize) -> io::Result<Option<&mut [u8]>> {
        let inside = offset >= self.start && offset + len as u64 <= self.start + self.filled as u64;
        if !inside {
            self.fill(offset, len)?;
        }
        let at = usize::try_from(offset - self.start).expect("inside the buffer");
        Ok(self.buffer[..self.filled].get_mut(at..at + len))
    }

    fn fill(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let kept = match offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok()) {
            Some(skip) if skip < self.filled => {
                self.buffer.copy_within(skip..self.filled, 0);
                self.filled - skip
            }
            _ => 0,
        };
        let want = len.max(READ_AHEAD);
        if self.buffer.len() < want {
            self.buffer.resize(want, 0);
        }
        (self.start, self.filled) = (offset, kept);
        while self.filled < want {
            match self.file.read_at(&mut self.buffer[self.filled..want], offset + self.filled as u64) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The intact header at `end`, if it is of the frame that must follow.
    pub(crate) fn header(&mut self, header: &SegmentHeader, end: &End) -> io::Result<Option<Header>> {
        let found = self.bytes(end.offset, HEADER)?.and_then(|bytes| Header::parse(bytes));
        Ok(found.filter(|found| {
            found.segment_id == header.id && found.frame == end.frames && found.previous == end.tail
        }))
    }
}
