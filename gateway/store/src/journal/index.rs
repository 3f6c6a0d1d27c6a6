//! Indexes: rows that left the queue, as sorted files beside the archives. A file is written once, whole and durable
//! before anything is deleted elsewhere, and never changed. Finding a row costs one read of the file, and one more when
//! the file was not used lately.
//!
//! ```text
//! header (512) │ sealed blocks of rows: table, key length, value length, key, value │ sealed directory of blocks
//! ```
//! A file is named by a number of the caller's; what the rows mean is the caller's business too.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::reader::{Reader, Shared};
use super::segment::Part;
use crate::bytes::{Put, Take};
use crate::cipher::{DataKey, SUITE, TAG, nonce};
use crate::keys::{Purpose, WrappedKey};
use crate::queue::Row;
use crate::{Damage, Position, ReadError, durable};

const HEADER: usize = 512;
const MAGIC: &[u8; 4] = b"XQIX";
const BOUND: usize = 56;
/// A block is closed once it holds so many bytes.
const BLOCK: usize = 16 << 10;
/// Files kept open, each with its directory and the block read last.
const RECENT: usize = 32;

/// Recently used indexes.
#[derive(Default)]
pub(crate) struct Indexes {
    recent: Mutex<VecDeque<Arc<Index>>>,
}

/// An open index with its directory.
struct Index {
    number: u64,
    id: [u8; 16],
    file: File,
    key: DataKey,
    blocks: Vec<BlockAt>,
    /// The block read last: neighbours are mostly asked for together.
    last: Mutex<Option<(usize, Arc<Block>)>>,
}

struct BlockAt {
    offset: u64,
    len: u32,
    /// The first row: table, then key.
    first: Box<[u8]>,
}

/// Rows of a block, opened; a key begins with its table.
type Block = Vec<Row>;

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

impl Reader {
    /// Begins an index. One of this number that was there before is void from now on: the caller names only numbers
    /// under which nothing is looked up yet.
    pub fn write_index(&self, number: u64) -> io::Result<IndexWriter> {
        let dir = self.0.dir.evidence();
        self.0.indexes.forget(number);
        let path = Part::Index.path(&dir, number);
        durable::remove(&path)?;
        let wrapped = WrappedKey::generate();
        wrapped.write(&Part::IndexKey.path(&dir, number), Purpose::Index, number, &self.0.keys.read())?;
        let mut file = BufWriter::with_capacity(256 << 10, durable::create(&durable::temporary(&path))?);
        file.seek(SeekFrom::Start(HEADER as u64))?;
        Ok(IndexWriter {
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

    /// Removes an index, key first. One that is not there is removed already.
    pub fn remove_index(&self, number: u64) -> io::Result<()> {
        let dir = self.0.dir.evidence();
        self.0.indexes.forget(number);
        durable::destroy(&Part::IndexKey.path(&dir, number))?;
        durable::remove(&Part::Index.path(&dir, number))
    }

    /// Numbers of the indexes there are, ascending.
    pub fn indexes(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.0.dir.evidence())? {
            let name = entry?.file_name();
            if let Some((number, Part::Index)) = name.to_str().and_then(Part::parse) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The value of a row in an index.
    pub fn index_get(&self, number: u64, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let index = self.0.indexes.open(&self.0, number)?;
        let full = full_key(table, key);
        let Some(at) = index.block_of(&full) else { return Ok(None) };
        let block = index.block(&self.0, at)?;
        let found = block.binary_search_by(|(key, _)| key.as_slice().cmp(&full));
        Ok(found.ok().map(|at| block[at].1.clone()))
    }

    /// Rows of a table in an index from `from` through `through`, at most `limit`, in key order.
    pub fn index_range(
        &self,
        number: u64,
        table: u8,
        from: &[u8],
        through: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, ReadError> {
        let index = self.0.indexes.open(&self.0, number)?;
        let (from, through) = (full_key(table, from), full_key(table, through));
        let mut found = Vec::new();
        for at in index.block_of(&from).unwrap_or(0)..index.blocks.len() {
            if *index.blocks[at].first > *through {
                break;
            }
            for (key, value) in index.block(&self.0, at)?.iter() {
                if *key > through || found.len() == limit {
                    return Ok(found);
                }
                if *key >= from {
                    found.push((key[1..].to_vec(), value.clone()));
                }
            }
        }
        Ok(found)
    }

    /// The last row of a table in an index whose key is below `key`.
    pub fn index_last_before(&self, number: u64, table: u8, key: &[u8]) -> Result<Option<Row>, ReadError> {
        let index = self.0.indexes.open(&self.0, number)?;
        let full = full_key(table, key);
        let blocks = index.blocks.partition_point(|block| *block.first < *full);
        let Some(at) = blocks.checked_sub(1) else { return Ok(None) };
        let block = index.block(&self.0, at)?;
        let rows = block.partition_point(|(key, _)| *key < full);
        let found = rows.checked_sub(1).map(|row| &block[row]).filter(|(key, _)| key.first() == Some(&table));
        Ok(found.map(|(key, value)| (key[1..].to_vec(), value.clone())))
    }
}

impl Indexes {
    fn open(&self, shared: &Shared, number: u64) -> Result<Arc<Index>, ReadError> {
        let mut recent = self.recent.lock();
        if let Some(at) = recent.iter().position(|index| index.number == number) {
            let index = recent.remove(at).expect("just found");
            recent.push_back(index.clone());
            return Ok(index);
        }
        let index = Arc::new(Index::open(shared, number)?);
        recent.push_back(index.clone());
        if recent.len() > RECENT {
            recent.pop_front();
        }
        Ok(index)
    }

    fn forget(&self, number: u64) {
        self.recent.lock().retain(|index| index.number != number);
    }
}

impl Index {
    fn open(shared: &Shared, number: u64) -> Result<Self, ReadError> {
        let dir = shared.dir.evidence();
        let path = Part::Index.path(&dir, number);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadError::Gone(Position { segment: number, frame: 0 }));
            }
            Err(error) => return Err(ReadError::Io(path, error)),
        };
        let key = Part::IndexKey.path(&dir, number);
        let wrapped = WrappedKey::read(&key, Purpose::Index, number, &shared.keys.read())?;
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0).map_err(|_| damaged(number, 0))?;
        let len = file.metadata().map_err(|error| ReadError::Io(path.clone(), error))?.len();
        let (offset, directory) =
            Self::parse(&header, number, &wrapped.id, len).ok_or_else(|| damaged(number, 0))?;
        let mut bytes = vec![0; directory];
        file.read_exact_at(&mut bytes, offset).map_err(|error| ReadError::Io(path, error))?;
        bytes.extend_from_slice(&header[BOUND..BOUND + TAG]);
        let key = wrapped.data_key();
        let opened = key.open(nonce(0, 0), &header[..BOUND], &mut bytes);
        let blocks =
            opened.and_then(|bytes| parse_directory(bytes)).ok_or_else(|| damaged(number, offset))?;
        Ok(Self { number, id: wrapped.id, file, key, blocks, last: Mutex::new(None) })
    }

    fn parse(header: &[u8; HEADER], number: u64, id: &[u8; 16], len: u64) -> Option<(u64, usize)> {
        let mut take = Take(header);
        if take.array()? != *MAGIC || (take.u8()?, take.u8()?, take.u16()?) != (1, SUITE, 0) {
            return None;
        }
        if take.u64()? != number || take.array()? != *id {
            return None;
        }
        let (offset, directory) = (take.u64()?, take.u64()?);
        (offset.checked_add(directory)? == len).then_some((offset, usize::try_from(directory).ok()?))
    }

    /// The only block that may hold a row of this key.
    fn block_of(&self, full: &[u8]) -> Option<usize> {
        self.blocks.partition_point(|block| *block.first <= *full).checked_sub(1)
    }

    fn block(&self, shared: &Shared, at: usize) -> Result<Arc<Block>, ReadError> {
        if let Some((number, block)) = &*self.last.lock()
            && *number == at
        {
            return Ok(block.clone());
        }
        let BlockAt { offset, len, .. } = self.blocks[at];
        let mut bytes = vec![0; len as usize];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|error| ReadError::Io(Part::Index.path(&shared.dir.evidence(), self.number), error))?;
        let ordinal = at as u64 + 1;
        let opened = self.key.open(nonce(ordinal, 0), &block_aad(&self.id, ordinal), &mut bytes);
        let rows = opened.and_then(|bytes| parse_block(bytes)).ok_or_else(|| damaged(self.number, offset))?;
        let block = Arc::new(rows);
        *self.last.lock() = Some((at, block.clone()));
        Ok(block)
    }
}

fn damaged(number: u64, offset: u64) -> ReadError {
    ReadError::Damaged(Damage { segment: number, frame: 0, offset })
}

fn full_key(table: u8, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(1 + key.len());
    full.push(table);
    full.extend_from_slice(key);
    full
}

fn block_aad(id: &[u8; 16], ordinal: u64) -> [u8; 25] {
    let mut aad = [0; 25];
    aad[..16].copy_from_slice(id);
    aad[16..24].copy_from_slice(&ordinal.to_be_bytes());
    aad[24] = SUITE;
    aad
}

fn parse_directory(bytes: &[u8]) -> Option<Vec<BlockAt>> {
    let mut take = Take(bytes);
    let mut blocks = Vec::new();
    while !take.0.is_empty() {
        let (offset, len, key) = (take.u64()?, take.u32()?, take.u16()?);
        blocks.push(BlockAt { offset, len, first: take.bytes(usize::from(key))?.into() });
    }
    Some(blocks)
}

fn parse_block(bytes: &[u8]) -> Option<Block> {
    let mut take = Take(bytes);
    let mut rows = Vec::new();
    while !take.0.is_empty() {
        let (table, key, value) = (take.u8()?, take.u16()?, take.u32()?);
        let key = full_key(table, take.bytes(usize::from(key))?);
        rows.push((key, take.bytes(value as usize)?.to_vec()));
    }
    Some(rows)
}
