//! A run: entries sorted by key, in sealed pages of 4 KiB, written once and never changed.
//!
//! ```text
//! pages: count (2), entries of key (16), length (1), value; zeros; tag (16) │ tail in sealed chunks: first half of the
//! first key of each page (8 each), blocks of the filter
//! ```
//! A run has no header: what it consists of stands in the manifest, and without that it is nothing. Its key follows from
//! the register's and the run's random id; the nonce of a page or chunk is its ordinal.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::RegisterError;
use super::filter::{BLOCK, Filter};
use crate::bytes::Take;
use crate::cipher::{DataKey, SUITE, TAG, nonce};
use crate::keys::{WrappedKey, session_key};

pub(super) const PAGE: usize = 4096;
/// Plain bytes of a page.
pub(super) const PLAIN: usize = PAGE - TAG;
/// Plain bytes of a chunk of the tail.
pub(super) const TAIL_CHUNK: usize = 64 << 10;
/// Pages read at once by what goes through a whole run: those of eight runs that are merged fit the processor's cache.
const AHEAD: u32 = 8;

/// What a run consists of, as the manifest says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RunFacts {
    pub(super) number: u64,
    pub(super) id: [u8; 16],
    pub(super) level: u8,
    pub(super) pages: u32,
    /// Of the filter.
    pub(super) blocks: u32,
    pub(super) entries: u64,
}

/// An open run. Its file stays readable until it is dropped, though it may be deleted meanwhile.
pub(super) struct Run {
    pub(super) facts: RunFacts,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) key: DataKey,
    /// First half of the first key of each page.
    pub(super) fences: Vec<u64>,
    pub(super) filter: Filter,
}

impl RunFacts {
    fn tail_len(&self) -> u64 {
        u64::from(self.pages) * 8 + u64::from(self.blocks) * BLOCK as u64
    }

    /// Bytes of the file.
    pub(super) fn file_len(&self) -> u64 {
        let tail = self.tail_len();
        u64::from(self.pages) * PAGE as u64 + tail + tail.div_ceil(TAIL_CHUNK as u64) * TAG as u64
    }
}

impl Run {
    /// Reads the tail, and no page.
    pub(super) fn open(path: PathBuf, facts: RunFacts, master: &WrappedKey) -> Result<Self, RegisterError> {
        let damaged = || RegisterError::Damaged(path.clone());
        let at = |error| RegisterError::reading(&path, error);
        let file = File::open(&path).map_err(at)?;
        let metadata = file.metadata().map_err(at)?;
        if !metadata.is_file() || metadata.len() != facts.file_len() {
            return Err(damaged());
        }
        let key = session_key(&master.key, &facts.id);
        let mut tail = Vec::with_capacity(usize::try_from(facts.tail_len()).map_err(|_| damaged())?);
        let mut offset = u64::from(facts.pages) * PAGE as u64;
        let mut buffer = vec![0; TAIL_CHUNK + TAG];
        for ordinal in u64::from(facts.pages).. {
            let left = usize::try_from(facts.file_len() - offset).unwrap_or(usize::MAX);
            if left == 0 {
                break;
            }
            let sealed = &mut buffer[..left.min(TAIL_CHUNK + TAG)];
            file.read_exact_at(sealed, offset).map_err(at)?;
            offset += sealed.len() as u64;
            let plain = key.open(nonce(ordinal, 0), &aad(&facts.id, ordinal), sealed).ok_or_else(damaged)?;
            tail.extend_from_slice(plain);
        }
        let (fences, filter) = tail.split_at_checked(facts.pages as usize * 8).ok_or_else(damaged)?;
        let fences = fences.chunks_exact(8).map(|fence| u64::from_le_bytes(fence.try_into().expect("eight")));
        let (fences, filter) = (fences.collect(), Filter::decode(filter).ok_or_else(damaged)?);
        Ok(Self { facts, fences, filter, key, file, path })
    }

    /// The value of a key that passed the filter. `page` keeps the page read last, for the next key.
    pub(super) fn get<'a>(&self, key: u128, page: &'a mut Page) -> Result<Option<&'a [u8]>, RegisterError> {
        let high = (key >> 64) as u64;
        let mut at = self.fences.partition_point(|fence| *fence <= high);
        // Pages that begin with the same half may hold it, and the one before them.
        while let Some(number) = at.checked_sub(1) {
            at = number;
            self.load(u32::try_from(at).expect("pages are counted in 32 bits"), page)?;
            if page.find(key).ok_or_else(|| self.damaged())?.is_some() || self.fences[at] < high {
                break;
            }
        }
        // Looked for again, as the loop could not lend it out.
        Ok(page.find_loaded(self.facts.number, key))
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.filter.bytes() + self.fences.capacity() * 8
    }

    pub(super) fn damaged(&self) -> RegisterError {
        RegisterError::Damaged(self.path.clone())
    }

    fn load(&self, number: u32, page: &mut Page) -> Result<(), RegisterError> {
        if page.holds == Some((self.facts.number, number)) {
            return Ok(());
        }
        page.holds = None;
        page.bytes.resize(PAGE, 0);
        self.read(number, &mut page.bytes)?;
        page.holds = Some((self.facts.number, number));
        Ok(())
    }

    /// Reads and opens consecutive pages where they come to lie.
    fn read(&self, first: u32, pages: &mut [u8]) -> Result<(), RegisterError> {
        let offset = u64::from(first) * PAGE as u64;
        self.file.read_exact_at(pages, offset).map_err(|error| RegisterError::reading(&self.path, error))?;
        for (ordinal, page) in (u64::from(first)..).zip(pages.chunks_exact_mut(PAGE)) {
            let opened = self.key.open(nonce(ordinal, 0), &aad(&self.facts.id, ordinal), page);
            opened.ok_or_else(|| self.damaged())?;
        }
        Ok(())
    }
}

/// A page that was read, and which one.
#[derive(Default)]
pub(super) struct Page {
    holds: Option<(u64, u32)>,
    bytes: Vec<u8>,
}

impl Page {
    /// Outer `None`: these bytes are no page.
    fn find(&self, key: u128) -> Option<Option<&[u8]>> {
        let mut take = Take(&self.bytes[..PLAIN]);
        for _ in 0..take.u16()? {
            let (here, value) = entry(&mut take)?;
            if here >= key {
                return Some((here == key).then_some(value));
            }
        }
        Some(None)
    }

    fn find_loaded(&self, run: u64, key: u128) -> Option<&[u8]> {
        self.holds.filter(|(number, _)| *number == run)?;
        self.find(key).flatten()
    }
}

/// Goes through a run in key order.
pub(super) struct RunCursor {
    run: Arc<Run>,
    pages: Vec<u8>,
    next_page: u32,
    /// Where the entry at hand, and the one after it, begin in `pages`.
    at: usize,
    next: usize,
    /// Entries left in the page at hand, without the one at hand.
    left: u16,
}

impl RunCursor {
    pub(super) fn new(run: Arc<Run>) -> Self {
        Self { run, pages: Vec::new(), next_page: 0, at: 0, next: 0, left: 0 }
    }

    /// Goes to the next entry and says its key; `None` at the end.
    pub(super) fn advance(&mut self) -> Result<Option<u128>, RegisterError> {
        while self.left == 0 {
            let page = self.next.div_ceil(PAGE) * PAGE;
            let page = match page < self.pages.len() {
                true => page,
                false if self.next_page == self.run.facts.pages => return Ok(None),
                false => {
                    let count = AHEAD.min(self.run.facts.pages - self.next_page);
                    self.pages.resize(count as usize * PAGE, 0);
                    self.run.read(self.next_page, &mut self.pages)?;
                    self.next_page += count;
                    0
                }
            };
            self.left = u16::from_le_bytes([self.pages[page], self.pages[page + 1]]);
            self.next = page + 2;
        }
        self.at = self.next;
        let end = self.at / PAGE * PAGE + PLAIN;
        let mut take = Take(self.pages.get(self.at..end).unwrap_or_default());
        let (key, value) = entry(&mut take).ok_or_else(|| self.run.damaged())?;
        self.next = self.at + 17 + value.len();
        self.left -= 1;
        Ok(Some(key))
    }

    /// The value of the entry at hand.
    pub(super) fn value(&self) -> &[u8] {
        &self.pages[self.at + 17..self.next]
    }
}

fn entry<'a>(take: &mut Take<'a>) -> Option<(u128, &'a [u8])> {
    let key = u128::from_be_bytes(take.array()?);
    let len = take.u8()?;
    Some((key, take.bytes(usize::from(len))?)).filter(|(_, value)| !value.is_empty())
}

pub(super) fn aad(id: &[u8; 16], ordinal: u64) -> [u8; 25] {
    let mut aad = [0; 25];
    aad[..16].copy_from_slice(id);
    aad[16..24].copy_from_slice(&ordinal.to_be_bytes());
    aad[24] = SUITE;
    aad
}

/// Goes through all entries: order and number, and that fences and filter lead to each.
pub(super) fn verify(run: &Arc<Run>) -> Result<(), RegisterError> {
    let (mut cursor, mut last, mut entries, mut page) =
        (RunCursor::new(run.clone()), None, 0, Page::default());
    while let Some(key) = cursor.advance()? {
        let found = run.filter.may_hold(key) && run.get(key, &mut page)? == Some(cursor.value());
        if last.is_some_and(|last| last >= key) || !found {
            return Err(run.damaged());
        }
        (last, entries) = (Some(key), entries + 1);
    }
    if entries == run.facts.entries { Ok(()) } else { Err(run.damaged()) }
}
