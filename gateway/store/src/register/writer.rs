//! Writes a run: entries come in key order, memory holds some pages and what the run will keep in memory anyway.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use xinqiao_crypto::random::unique;

use super::directory::Directory;
use super::error::RegisterError;
use super::filter::FilterBuilder;
use super::run::{PAGE, PLAIN, Run, RunFacts, TAIL_CHUNK, aad};
use super::value::checked_len;
use crate::cipher::{DataKey, nonce};
use crate::disk::Disk;
use crate::keys::{WrappedKey, session_key};

/// Sealed bytes are written in pieces of this size.
const PIECE: usize = 64 * PAGE;

/// A run under way. Until it is finished and a manifest names it, its file is garbage.
pub(super) struct RunWriter {
    number: u64,
    id: [u8; 16],
    level: u8,
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: File,
    key: DataKey,
    fences: Vec<u64>,
    filter: FilterBuilder,
    entries: u64,
    /// The page at hand, its count in front, and how many entries it has.
    page: Vec<u8>,
    count: u16,
    /// What is to be written next, and where.
    sealed: Vec<u8>,
    offset: u64,
}

impl RunWriter {
    /// `expected` entries at most.
    pub(super) fn begin(
        dir: &Directory,
        master: &WrappedKey,
        number: u64,
        level: u8,
        expected: u64,
    ) -> Result<Self, RegisterError> {
        let (path, disk, id) = (dir.run(number), dir.disk().clone(), unique());
        let file = disk.create(&path).map_err(|error| RegisterError::Io(path.clone(), error))?;
        Ok(Self {
            number,
            id,
            level,
            disk,
            path,
            file,
            key: session_key(&master.key, &id),
            fences: Vec::new(),
            filter: FilterBuilder::new(expected),
            entries: 0,
            page: Vec::with_capacity(PAGE),
            count: 0,
            sealed: Vec::with_capacity(PIECE + PAGE),
            offset: 0,
        })
    }

    pub(super) fn push(&mut self, key: u128, value: &[u8]) -> Result<(), RegisterError> {
        let len = checked_len(value);
        if self.page.len() + 17 + value.len() > PLAIN {
            self.close_page()?;
        }
        if self.count == 0 {
            self.page.extend_from_slice(&[0; 2]);
            self.fences.push((key >> 64) as u64);
        }
        self.page.extend_from_slice(&key.to_be_bytes());
        self.page.push(len);
        self.page.extend_from_slice(value);
        self.filter.push(key);
        self.count += 1;
        self.entries += 1;
        Ok(())
    }

    /// Has the device take what was written so far, so that the end does not have to wait for all of it.
    pub(super) fn sync(&self) -> Result<(), RegisterError> {
        self.disk.sync_data(&self.file).map_err(|error| self.failed(error))
    }

    /// Writes the rest and syncs it; the name is for the caller to make durable.
    pub(super) fn finish(mut self) -> Result<Run, RegisterError> {
        if self.count > 0 {
            self.close_page()?;
        }
        self.fences.shrink_to_fit();
        let pages = u32::try_from(self.fences.len()).expect("a run has fewer than 2^32 pages");
        let filter = std::mem::replace(&mut self.filter, FilterBuilder::new(0)).finish();
        let fences = std::mem::take(&mut self.fences);
        let (mut chunk, mut ordinal) = (Vec::with_capacity(TAIL_CHUNK), u64::from(pages));
        let mut put = |bytes: &[u8]| -> Result<(), RegisterError> {
            chunk.extend_from_slice(bytes);
            if chunk.len() < TAIL_CHUNK {
                return Ok(());
            }
            let (full, rest) = chunk.split_at_mut(TAIL_CHUNK);
            self.seal(ordinal, full)?;
            (chunk, ordinal) = (rest.to_vec(), ordinal + 1);
            Ok(())
        };
        fences.iter().try_for_each(|fence| put(&fence.to_le_bytes()))?;
        filter.encoded().try_for_each(|block| put(&block))?;
        if !chunk.is_empty() {
            self.seal(ordinal, &mut chunk)?;
        }
        self.write_sealed()?;
        self.sync()?;
        let facts = RunFacts {
            number: self.number,
            id: self.id,
            level: self.level,
            pages,
            blocks: filter.blocks(),
            entries: self.entries,
        };
        Ok(Run { facts, fences, filter, key: self.key, file: self.file, path: self.path })
    }

    fn close_page(&mut self) -> Result<(), RegisterError> {
        let mut page = std::mem::take(&mut self.page);
        page[..2].copy_from_slice(&self.count.to_le_bytes());
        page.resize(PLAIN, 0);
        self.seal(self.fences.len() as u64 - 1, &mut page)?;
        page.clear();
        (self.page, self.count) = (page, 0);
        Ok(())
    }

    fn seal(&mut self, ordinal: u64, plain: &mut [u8]) -> Result<(), RegisterError> {
        let tag = self.key.seal(nonce(ordinal, 0), &aad(&self.id, ordinal), plain);
        self.sealed.extend_from_slice(plain);
        self.sealed.extend_from_slice(&tag);
        if self.sealed.len() >= PIECE { self.write_sealed() } else { Ok(()) }
    }

    fn write_sealed(&mut self) -> Result<(), RegisterError> {
        let written = self.disk.write_all_at(&self.file, &self.sealed, self.offset);
        self.offset += self.sealed.len() as u64;
        self.sealed.clear();
        written.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> RegisterError {
        RegisterError::Io(self.path.clone(), error)
    }
}
