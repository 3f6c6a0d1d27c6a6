//! Archives: events and evidence of retired segments, each file with a key of its own. How one is read, and what its
//! bytes mean; [`super::retire`] writes them.
//!
//! ```text
//! header (512) │ sealed items │ sealed index: frame, item, class, kind, offset, length, additional data
//! ```

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::at_rest::AtRest;
use super::frame::Class;
use super::segment::Part;
use crate::bytes::Take;
use crate::cipher::{DataKey, SUITE, TAG, nonce};
use crate::keys::{Purpose, WrappedKey};
use crate::{Damage, ItemRef, ReadError};

/// Recently used archives.
#[derive(Default)]
pub(crate) struct Archives {
    recent: Mutex<VecDeque<Arc<Archive>>>,
}

const RECENT: usize = 8;

/// An open archive with its index.
struct Archive {
    number: u64,
    id: [u8; 16],
    file: File,
    key: DataKey,
    entries: Vec<Entry>,
}

/// One item, as the archive's index names it.
pub(super) struct Entry {
    pub(super) frame: u64,
    pub(super) item: u16,
    pub(super) class: Class,
    pub(super) kind: u8,
    /// Offset in the archive.
    pub(super) offset: u64,
    pub(super) len: u32,
    /// Offset the item had in its segment; part of its reference.
    pub(super) original: u64,
    pub(super) aad: Box<[u8]>,
}

/// An item of an archive, as [`crate::Reader::archived`] shows it.
#[derive(Clone, Copy, Debug)]
pub struct ArchivedItem<'a> {
    /// Its class; never payload.
    pub class: Class,
    /// The tag of the frame it came in.
    pub kind: u8,
    /// What it was bound to.
    pub aad: &'a [u8],
    /// Reads it with [`crate::Reader::read`].
    pub reference: ItemRef,
}

/// Bytes before the first item.
pub(super) const HEADER: usize = 512;
pub(super) const MAGIC: &[u8; 4] = b"XQAR";
/// Bytes of the header that the index is bound to.
pub(super) const BOUND: usize = 48;

/// What an item is bound to.
pub(super) fn item_aad(id: &[u8; 16], entry: &Entry) -> Vec<u8> {
    let mut aad = Vec::with_capacity(27 + entry.aad.len());
    aad.extend_from_slice(id);
    aad.extend_from_slice(&entry.frame.to_be_bytes());
    aad.extend_from_slice(&entry.item.to_be_bytes());
    aad.push(SUITE);
    aad.extend_from_slice(&entry.aad);
    aad
}

/// The index before it is sealed; [`parse_index`] reads it.
pub(super) fn index(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(&entry.frame.to_le_bytes());
        bytes.extend_from_slice(&entry.item.to_le_bytes());
        bytes.extend_from_slice(&[entry.class.code(), entry.kind]);
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
        bytes.extend_from_slice(&entry.len.to_le_bytes());
        bytes.extend_from_slice(&entry.original.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(entry.aad.len()).expect("as appended").to_le_bytes());
        bytes.extend_from_slice(&entry.aad);
    }
    bytes
}

fn parse_index(bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut take = Take(bytes);
    let mut entries = Vec::new();
    while !take.0.is_empty() {
        let (frame, item) = (take.u64()?, take.u16()?);
        let (class, kind) = (Class::of(take.u8()?)?, take.u8()?);
        let (offset, len, original, aad) = (take.u64()?, take.u32()?, take.u64()?, take.u16()?);
        let aad = take.bytes(usize::from(aad))?.into();
        entries.push(Entry { frame, item, class, kind, offset, len, original, aad });
    }
    Some(entries)
}

impl Archives {
    /// Reads an item of a retired segment.
    pub(crate) fn read(&self, at_rest: &AtRest, item: ItemRef, aad: &[u8]) -> Result<Vec<u8>, ReadError> {
        let archive = self.open(at_rest, item.segment)?;
        let place = (item.frame, item.item);
        let Ok(at) = archive.entries.binary_search_by_key(&place, |entry| (entry.frame, entry.item)) else {
            return Err(ReadError::Gone(item.position()));
        };
        let entry = &archive.entries[at];
        let damage = Damage { segment: item.segment, frame: item.frame, offset: entry.offset };
        if (entry.original, entry.len, &*entry.aad) != (item.offset, item.len, aad) {
            return Err(ReadError::Damaged(damage));
        }
        let mut bytes = vec![0; entry.len as usize + TAG];
        archive.file.read_exact_at(&mut bytes, entry.offset).map_err(|error| {
            ReadError::Io(Part::Archive.path(&at_rest.dir.evidence(), item.segment), error)
        })?;
        let ordinal = at as u64 + 1;
        archive
            .key
            .open(nonce(ordinal, 0), &item_aad(&archive.id, entry), &mut bytes)
            .ok_or(ReadError::Damaged(damage))?;
        bytes.truncate(entry.len as usize);
        Ok(bytes)
    }

    /// Whether a segment that is not there was retired.
    pub(crate) fn accounts_for(&self, at_rest: &AtRest, segment: u64) -> bool {
        let dir = at_rest.dir.evidence();
        Part::Archive.path(&dir, segment).exists() || Part::Gone.path(&dir, segment).exists()
    }

    fn open(&self, at_rest: &AtRest, segment: u64) -> Result<Arc<Archive>, ReadError> {
        let mut recent = self.recent.lock();
        if let Some(at) = recent.iter().position(|archive| archive.number == segment) {
            let archive = recent.remove(at).expect("just found");
            recent.push_back(archive.clone());
            return Ok(archive);
        }
        let archive = Arc::new(Archive::open(at_rest, segment)?);
        recent.push_back(archive.clone());
        if recent.len() > RECENT {
            recent.pop_front();
        }
        Ok(archive)
    }

    /// Shows the items of a retired segment in order, until `each` breaks.
    pub(crate) fn show(
        &self,
        at_rest: &AtRest,
        segment: u64,
        mut each: impl FnMut(ArchivedItem<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let archive = self.open(at_rest, segment)?;
        for entry in &archive.entries {
            let reference = ItemRef {
                segment,
                frame: entry.frame,
                item: entry.item,
                offset: entry.original,
                len: entry.len,
            };
            let item = ArchivedItem { class: entry.class, kind: entry.kind, aad: &entry.aad, reference };
            if each(item).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Numbers of the retired segments whose archives are kept, oldest first.
    pub(crate) fn numbers(at_rest: &AtRest) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(at_rest.dir.evidence())? {
            let name = entry?.file_name();
            if let Some((number, Part::Archive)) = name.to_str().and_then(Part::parse) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Closes an archive that is about to be replaced or deleted.
    pub(crate) fn forget(&self, segment: u64) {
        self.recent.lock().retain(|archive| archive.number != segment);
    }
}

impl Archive {
    fn open(at_rest: &AtRest, number: u64) -> Result<Self, ReadError> {
        let dir = at_rest.dir.evidence();
        let path = Part::Archive.path(&dir, number);
        let gone = ReadError::Gone(crate::Position { segment: number, frame: 0 });
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(gone),
            Err(error) => return Err(ReadError::Io(path, error)),
        };
        let wrapped =
            WrappedKey::read(&Part::Key.path(&dir, number), Purpose::Archive, number, &at_rest.keys.read())?;
        let damaged = || ReadError::Damaged(Damage { segment: number, frame: 0, offset: 0 });
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0).map_err(|_| damaged())?;
        let len = file.metadata().map_err(|error| ReadError::Io(path.clone(), error))?.len();
        let (offset, index_len) = Self::parse(&header, number, &wrapped.id, len).ok_or_else(damaged)?;
        let mut index = vec![0; index_len];
        file.read_exact_at(&mut index, offset).map_err(|error| ReadError::Io(path, error))?;
        index.extend_from_slice(&header[BOUND..BOUND + TAG]);
        let key = wrapped.data_key();
        let index = key.open(nonce(0, 0), &header[..BOUND], &mut index).ok_or_else(damaged)?;
        let entries = parse_index(index).ok_or_else(damaged)?;
        Ok(Self { number, id: wrapped.id, file, key, entries })
    }

    fn parse(header: &[u8; HEADER], number: u64, id: &[u8; 16], len: u64) -> Option<(u64, usize)> {
        let mut take = Take(header);
        if take.array()? != *MAGIC || (take.u8()?, take.u8()?, take.u16()?) != (1, SUITE, 0) {
            return None;
        }
        if take.u64()? != number || take.array()? != *id {
            return None;
        }
        let (offset, index_len) = (take.u64()?, take.u64()?);
        (offset.checked_add(index_len)? == len).then_some((offset, usize::try_from(index_len).ok()?))
    }
}
