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
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::at_rest::AtRest;
use super::segment::Part;
use crate::bytes::Take;
use crate::cipher::{DataKey, SUITE, TAG, nonce};
use crate::keys::{Purpose, WrappedKey};
use crate::queue::Row;
use crate::{Damage, Position, ReadError, durable};

mod writer;

pub use writer::IndexWriter;

const HEADER: usize = 512;
const MAGIC: &[u8; 4] = b"XQIX";
const BOUND: usize = 56;
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

impl Indexes {
    /// Begins an index. One of this number that was there before is void from now on.
    pub(crate) fn write(&self, at_rest: &AtRest, number: u64) -> io::Result<IndexWriter> {
        self.forget(number);
        IndexWriter::begin(at_rest, number)
    }

    /// Removes an index, key first. One that is not there is removed already.
    pub(crate) fn remove(&self, at_rest: &AtRest, number: u64) -> io::Result<()> {
        let dir = at_rest.dir.evidence();
        self.forget(number);
        durable::destroy(&Part::IndexKey.path(&dir, number))?;
        durable::remove(&Part::Index.path(&dir, number))
    }

    /// Numbers of the indexes there are, ascending.
    pub(crate) fn numbers(at_rest: &AtRest) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(at_rest.dir.evidence())? {
            let name = entry?.file_name();
            if let Some((number, Part::Index)) = name.to_str().and_then(Part::parse) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The value of a row in an index.
    pub(crate) fn get(
        &self,
        at_rest: &AtRest,
        number: u64,
        table: u8,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let index = self.open(at_rest, number)?;
        let full = full_key(table, key);
        let Some(at) = index.block_of(&full) else { return Ok(None) };
        let block = index.block(at_rest, at)?;
        let found = block.binary_search_by(|(key, _)| key.as_slice().cmp(&full));
        Ok(found.ok().map(|at| block[at].1.clone()))
    }

    /// Rows of a table in an index from `from` through `through`, at most `limit`, in key order.
    pub(crate) fn range(
        &self,
        at_rest: &AtRest,
        number: u64,
        table: u8,
        from: &[u8],
        through: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, ReadError> {
        let index = self.open(at_rest, number)?;
        let (from, through) = (full_key(table, from), full_key(table, through));
        let mut found = Vec::new();
        for at in index.block_of(&from).unwrap_or(0)..index.blocks.len() {
            if *index.blocks[at].first > *through {
                break;
            }
            for (key, value) in index.block(at_rest, at)?.iter() {
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
    pub(crate) fn last_before(
        &self,
        at_rest: &AtRest,
        number: u64,
        table: u8,
        key: &[u8],
    ) -> Result<Option<Row>, ReadError> {
        let index = self.open(at_rest, number)?;
        let full = full_key(table, key);
        let blocks = index.blocks.partition_point(|block| *block.first < *full);
        let Some(at) = blocks.checked_sub(1) else { return Ok(None) };
        let block = index.block(at_rest, at)?;
        let rows = block.partition_point(|(key, _)| *key < full);
        let found = rows.checked_sub(1).map(|row| &block[row]).filter(|(key, _)| key.first() == Some(&table));
        Ok(found.map(|(key, value)| (key[1..].to_vec(), value.clone())))
    }

    fn open(&self, at_rest: &AtRest, number: u64) -> Result<Arc<Index>, ReadError> {
        let mut recent = self.recent.lock();
        if let Some(at) = recent.iter().position(|index| index.number == number) {
            let index = recent.remove(at).expect("just found");
            recent.push_back(index.clone());
            return Ok(index);
        }
        let index = Arc::new(Index::open(at_rest, number)?);
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
    fn open(at_rest: &AtRest, number: u64) -> Result<Self, ReadError> {
        let dir = at_rest.dir.evidence();
        let path = Part::Index.path(&dir, number);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadError::Gone(Position { segment: number, frame: 0 }));
            }
            Err(error) => return Err(ReadError::Io(path, error)),
        };
        let key = Part::IndexKey.path(&dir, number);
        let wrapped = WrappedKey::read(&key, Purpose::Index, number, &at_rest.keys.read())?;
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

    fn block(&self, at_rest: &AtRest, at: usize) -> Result<Arc<Block>, ReadError> {
        if let Some((number, block)) = &*self.last.lock()
            && *number == at
        {
            return Ok(block.clone());
        }
        let BlockAt { offset, len, .. } = self.blocks[at];
        let mut bytes = vec![0; len as usize];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|error| ReadError::Io(Part::Index.path(&at_rest.dir.evidence(), self.number), error))?;
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
