//! Retiring a segment: events and evidence move to an archive with a key of its own, then the segment's key is
//! destroyed, so that payload is unreadable in every backup too, and the file goes.
//!
//! ```text
//! header (512) │ sealed items │ sealed index: frame, item, class, kind, offset, length, additional data
//! ```

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::frame::Class;
use super::reader::{Reader, ReplayFrame, Shared};
use super::segment::Part;
use crate::bytes::{Put, Take};
use crate::cipher::{DataKey, SUITE, TAG, nonce};
use crate::keys::{Purpose, WrappedKey};
use crate::{Damage, ItemRef, OpenError, ReadError, RetireError, durable};

/// Recently used archives.
#[derive(Default)]
pub(crate) struct Archives {
    /// One retirement at a time.
    pub(crate) retiring: Mutex<()>,
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

struct Entry {
    frame: u64,
    item: u16,
    class: Class,
    kind: u8,
    /// Offset in the archive.
    offset: u64,
    len: u32,
    /// Offset the item had in its segment; part of its reference.
    original: u64,
    aad: Box<[u8]>,
}

/// An item of an archive, as [`Reader::archived`] shows it.
#[derive(Clone, Copy, Debug)]
pub struct ArchivedItem<'a> {
    /// Its class; never payload.
    pub class: Class,
    /// The tag of the frame it came in.
    pub kind: u8,
    /// What it was bound to.
    pub aad: &'a [u8],
    /// Reads it with [`Reader::read`].
    pub reference: ItemRef,
}

const HEADER: usize = 512;
const MAGIC: &[u8; 4] = b"XQAR";
const BOUND: usize = 48;

impl Reader {
    /// Archives what outlives the segment, destroys the segment's key and removes the segment. `log_synced` is the
    /// size of the log that is synced in `log/`. A call that failed or was cut off by a crash may be repeated; opening
    /// the store completes one whose archive was finished and whose key is gone.
    pub fn retire(&self, segment: u64, log_synced: u64) -> Result<(), RetireError> {
        let shared = &self.0;
        let _one = shared.archives.retiring.lock();
        let Some(found) = shared.segments.read().get(&segment).cloned() else {
            return Err(RetireError::Unknown(segment));
        };
        // The newest segment says where the next one goes on, even when nothing is appended to it any more.
        if shared.segments.read().last_key_value().is_some_and(|(newest, _)| *newest == segment) {
            return Err(RetireError::Active);
        }
        let end = found.end();
        if end.log_index > found.header.log_index && end.log_index > log_synced {
            return Err(RetireError::LogBehind(end.log_index));
        }
        let journal = shared.dir.journal();
        // Without its successor's header only the closing record bounds a segment: it must be there.
        let before = shared.segments.read().range(..segment).next_back().map(|(number, _)| *number);
        for number in before.into_iter().chain([segment]) {
            let closing = Part::Closing.path(&journal, number);
            if !closing.exists() {
                return Err(RetireError::Io(closing, io::ErrorKind::NotFound.into()));
            }
        }
        // The order is what makes a crash harmless: the archive is durable under its name before the key goes, and the
        // key before the file. Opening completes a retirement exactly when it finds an archive and no key.
        let path = Part::Archive.path(&shared.dir.evidence(), segment);
        write_archive(self, segment).map_err(|error| match error {
            WriteError::Read(error) => RetireError::Read(error),
            WriteError::Io(error) => RetireError::Io(path, error),
        })?;
        // An archive that an earlier, failed call wrote may be open under the key of that call.
        shared.archives.forget(segment);
        let io = |path: PathBuf| move |error| RetireError::Io(path, error);
        let key = Part::Key.path(&journal, segment);
        durable::destroy(&key).map_err(io(key.clone()))?;
        // Before the segment leaves the map: a reader that still finds it opens it anew, finds no key, and turns to the
        // archive (`Reader::read`). The open key in memory goes too.
        *found.open.lock() = None;
        shared.segments.write().remove(&segment);
        let file = Part::Segment.path(&journal, segment);
        durable::remove(&file).map_err(io(file.clone()))
    }

    /// Shows the items of a retired segment in order.
    pub fn archived(
        &self,
        segment: u64,
        mut each: impl FnMut(ArchivedItem<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let archive = self.0.archives.open(&self.0, segment)?;
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
    pub fn archives(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.0.dir.evidence())? {
            let name = entry?.file_name();
            if let Some((number, Part::Archive)) = name.to_str().and_then(Part::parse) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Deletes an archive at the end of the evidence retention, with the index named by it: keys first, then what they
    /// sealed. A mark stays, so that the segment does not count as missing.
    pub fn forget_archive(&self, segment: u64) -> Result<(), RetireError> {
        let _one = self.0.archives.retiring.lock();
        if self.0.holds(segment) {
            return Err(RetireError::Active);
        }
        let dir = self.0.dir.evidence();
        let mark = Part::Gone.path(&dir, segment);
        let io = |path: PathBuf| move |error| RetireError::Io(path, error);
        let archive = Part::Archive.path(&dir, segment);
        if !archive.exists() && !mark.exists() {
            return Err(RetireError::Unknown(segment));
        }
        // The mark first: without archive and without mark the segment would count as lost, and the node would not start.
        durable::replace(&mark, b"").map_err(io(mark.clone()))?;
        let key = Part::Key.path(&dir, segment);
        durable::destroy(&key).map_err(io(key.clone()))?;
        self.0.archives.forget(segment);
        durable::remove(&archive).map_err(io(archive.clone()))?;
        self.remove_index(segment).map_err(io(Part::Index.path(&dir, segment)))
    }
}

enum WriteError {
    Read(ReadError),
    Io(io::Error),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn write_archive(reader: &Reader, segment: u64) -> Result<(), WriteError> {
    let dir = reader.0.dir.evidence();
    let wrapped = WrappedKey::generate();
    wrapped.write(&Part::Key.path(&dir, segment), Purpose::Archive, segment, &reader.0.keys.read())?;
    let key = wrapped.data_key();
    let path = Part::Archive.path(&dir, segment);
    let temporary = durable::temporary(&path);
    let mut file = BufWriter::with_capacity(256 << 10, durable::create(&temporary)?);
    file.seek(SeekFrom::Start(HEADER as u64))?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut offset = HEADER as u64;
    let mut fault = None;
    reader
        .frames_of(segment, &mut |frame| {
            let moved = move_items(&frame, &wrapped.id, &key, &mut file, &mut entries, &mut offset);
            match moved {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    fault = Some(error);
                    ControlFlow::Break(())
                }
            }
        })
        .map_err(WriteError::Read)?;
    if let Some(error) = fault {
        return Err(error);
    }
    let mut index = index(&entries);
    let mut header = [0; HEADER];
    let mut put = Put(&mut header, 0);
    put.bytes(MAGIC)
        .u8(1)
        .u8(SUITE)
        .u16(0)
        .u64(segment)
        .bytes(&wrapped.id)
        .u64(offset)
        .u64(index.len() as u64);
    let tag = key.seal(nonce(0, 0), &header[..BOUND], &mut index);
    Put(&mut header, BOUND).bytes(&tag);
    file.write_all(&index)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&header)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    durable::sync_parent(&path)?;
    Ok(())
}

fn move_items(
    frame: &ReplayFrame<'_>,
    id: &[u8; 16],
    key: &DataKey,
    file: &mut impl Write,
    entries: &mut Vec<Entry>,
    offset: &mut u64,
) -> Result<(), WriteError> {
    for item in frame.items.iter().filter(|item| item.class != Class::Payload) {
        let mut bytes = frame.read(item).map_err(WriteError::Read)?;
        // The nonce under this archive's own key; zero is the index's.
        let ordinal = entries.len() as u64 + 1;
        let entry = Entry {
            frame: item.reference.frame,
            item: item.reference.item,
            class: item.class,
            kind: frame.kind,
            offset: *offset,
            len: item.reference.len,
            original: item.reference.offset,
            aad: item.aad.into(),
        };
        let tag = key.seal(nonce(ordinal, 0), &item_aad(id, &entry), &mut bytes);
        file.write_all(&bytes)?;
        file.write_all(&tag)?;
        *offset += (bytes.len() + TAG) as u64;
        entries.push(entry);
    }
    Ok(())
}

fn item_aad(id: &[u8; 16], entry: &Entry) -> Vec<u8> {
    let mut aad = Vec::with_capacity(27 + entry.aad.len());
    aad.extend_from_slice(id);
    aad.extend_from_slice(&entry.frame.to_be_bytes());
    aad.extend_from_slice(&entry.item.to_be_bytes());
    aad.push(SUITE);
    aad.extend_from_slice(&entry.aad);
    aad
}

fn index(entries: &[Entry]) -> Vec<u8> {
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
    pub(crate) fn read(&self, shared: &Shared, item: ItemRef, aad: &[u8]) -> Result<Vec<u8>, ReadError> {
        let archive = self.open(shared, item.segment)?;
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
            ReadError::Io(Part::Archive.path(&shared.dir.evidence(), item.segment), error)
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
    pub(crate) fn accounts_for(&self, shared: &Shared, segment: u64) -> bool {
        let dir = shared.dir.evidence();
        Part::Archive.path(&dir, segment).exists() || Part::Gone.path(&dir, segment).exists()
    }

    fn open(&self, shared: &Shared, segment: u64) -> Result<Arc<Archive>, ReadError> {
        let mut recent = self.recent.lock();
        if let Some(at) = recent.iter().position(|archive| archive.number == segment) {
            let archive = recent.remove(at).expect("just found");
            recent.push_back(archive.clone());
            return Ok(archive);
        }
        let archive = Arc::new(Archive::open(shared, segment)?);
        recent.push_back(archive.clone());
        if recent.len() > RECENT {
            recent.pop_front();
        }
        Ok(archive)
    }

    pub(crate) fn forget(&self, segment: u64) {
        self.recent.lock().retain(|archive| archive.number != segment);
    }
}

impl Archive {
    fn open(shared: &Shared, number: u64) -> Result<Self, ReadError> {
        let dir = shared.dir.evidence();
        let path = Part::Archive.path(&dir, number);
        let gone = ReadError::Gone(crate::Position { segment: number, frame: 0 });
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(gone),
            Err(error) => return Err(ReadError::Io(path, error)),
        };
        let wrapped =
            WrappedKey::read(&Part::Key.path(&dir, number), Purpose::Archive, number, &shared.keys.read())?;
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

/// Completes a retirement a crash cut off: the archive is there and the segment's key is not, or was overwritten.
pub(crate) fn finish_retirement(dir: &crate::DataDir, segment: u64) -> Result<(), OpenError> {
    let key = Part::Key.path(&dir.journal(), segment);
    durable::destroy(&key).map_err(|error| OpenError::Io(key, error))?;
    let file = Part::Segment.path(&dir.journal(), segment);
    durable::remove(&file).map_err(|error| OpenError::Io(file, error))
}
