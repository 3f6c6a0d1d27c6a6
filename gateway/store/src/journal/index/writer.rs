//! Writing an index: rows in order, in sealed blocks; whole and durable before it has its name.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::{BOUND, HEADER, MAGIC, block_aad, full_key};
use crate::bytes::Put;
use crate::cipher::{DataKey, SUITE, TAG, nonce};
use crate::durable;
use crate::journal::at_rest::AtRest;
use crate::journal::segment::Part;
use crate::keys::{Purpose, WrappedKey};

/// A block is closed once it holds so many bytes.
const BLOCK: usize = 16 << 10;

/// Writes an index. Nothing of it counts before [`IndexWriter::finish`] returned.
pub struct IndexWriter {
    path: PathBuf,
    file: BufWriter<File>,
    id: [u8; 16],
    key: DataKey,
    number: u64,
    offset: u64,
    directory: Vec<u8>,
    blocks: u64,
    block: Vec<u8>,
    /// Table and key of the block's first row.
    first: Vec<u8>,
    /// Table and key of the row before.
    last: Vec<u8>,
    rows: u64,
}

impl IndexWriter {
    pub(super) fn begin(at_rest: &AtRest, number: u64) -> io::Result<Self> {
        let dir = at_rest.dir.evidence();
        let path = Part::Index.path(&dir, number);
        durable::remove(&path)?;
        let wrapped = WrappedKey::generate();
        wrapped.write(&Part::IndexKey.path(&dir, number), Purpose::Index, number, &at_rest.keys.read())?;
        let mut file = BufWriter::with_capacity(256 << 10, durable::create(&durable::temporary(&path))?);
        file.seek(SeekFrom::Start(HEADER as u64))?;
        Ok(Self {
            path,
            file,
            id: wrapped.id,
            key: wrapped.data_key(),
            number,
            offset: HEADER as u64,
            directory: Vec::new(),
            blocks: 0,
            block: Vec::new(),
            first: Vec::new(),
            last: Vec::new(),
            rows: 0,
        })
    }

    /// Adds a row. Rows come in order of table and key.
    pub fn push(&mut self, table: u8, key: &[u8], value: &[u8]) -> io::Result<()> {
        let full = full_key(table, key);
        if self.rows > 0 && full <= self.last {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "rows of an index are out of order"));
        }
        let (Ok(key_len), Ok(value_len)) = (u16::try_from(key.len()), u32::try_from(value.len())) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a row is too long for an index"));
        };
        if self.block.is_empty() {
            self.first.clone_from(&full);
        }
        self.block.push(table);
        self.block.extend_from_slice(&key_len.to_le_bytes());
        self.block.extend_from_slice(&value_len.to_le_bytes());
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(value);
        self.last = full;
        self.rows += 1;
        if self.block.len() >= BLOCK { self.close_block() } else { Ok(()) }
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn close_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.blocks += 1;
        let tag = self.key.seal(nonce(self.blocks, 0), &block_aad(&self.id, self.blocks), &mut self.block);
        self.file.write_all(&self.block)?;
        self.file.write_all(&tag)?;
        let len = (self.block.len() + TAG) as u32;
        self.directory.extend_from_slice(&self.offset.to_le_bytes());
        self.directory.extend_from_slice(&len.to_le_bytes());
        self.directory.extend_from_slice(&(self.first.len() as u16).to_le_bytes());
        self.directory.extend_from_slice(&self.first);
        self.offset += u64::from(len);
        self.block.clear();
        Ok(())
    }

    /// Makes the index durable under its name; its length in bytes comes back.
    pub fn finish(mut self) -> io::Result<u64> {
        self.close_block()?;
        let mut header = [0; HEADER];
        Put(&mut header, 0)
            .bytes(MAGIC)
            .u8(1)
            .u8(SUITE)
            .u16(0)
            .u64(self.number)
            .bytes(&self.id)
            .u64(self.offset)
            .u64(self.directory.len() as u64)
            .u64(self.rows);
        let tag = self.key.seal(nonce(0, 0), &header[..BOUND], &mut self.directory);
        Put(&mut header, BOUND).bytes(&tag);
        self.file.write_all(&self.directory)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(durable::temporary(&self.path), &self.path)?;
        durable::sync_parent(&self.path)?;
        Ok(self.offset + self.directory.len() as u64)
    }
}
