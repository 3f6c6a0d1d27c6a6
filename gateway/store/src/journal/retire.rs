//! Retiring a segment: events and evidence move to an archive with a key of its own, then the segment's key is
//! destroyed, so that payload is unreadable in every backup too, and the file goes.

use std::fs;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::archive::{BOUND, Entry, HEADER, MAGIC, index, item_aad};
use super::frame::Class;
use super::reader::{Reader, ReplayFrame};
use super::segment::Part;
use crate::bytes::Put;
use crate::cipher::{DataKey, SUITE, TAG, nonce};
use crate::keys::{Purpose, WrappedKey};
use crate::{OpenError, ReadError, RetireError, durable};

impl Reader {
    /// Archives what outlives the segment, destroys the segment's key and removes the segment. `log_synced` is the
    /// size of the log that is synced in `log/`. A call that failed or was cut off by a crash may be repeated; opening
    /// the store completes one whose archive was finished and whose key is gone.
    pub fn retire(&self, segment: u64, log_synced: u64) -> Result<(), RetireError> {
        let shared = &self.0;
        let _one = shared.retiring.lock();
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
        let journal = shared.at_rest.dir.journal();
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
        let path = Part::Archive.path(&shared.at_rest.dir.evidence(), segment);
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

    /// Deletes an archive at the end of the evidence retention, with the index named by it: keys first, then what they
    /// sealed. A mark stays, so that the segment does not count as missing.
    pub fn forget_archive(&self, segment: u64) -> Result<(), RetireError> {
        let _one = self.0.retiring.lock();
        if self.0.holds(segment) {
            return Err(RetireError::Active);
        }
        let dir = self.0.at_rest.dir.evidence();
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
    let dir = reader.0.at_rest.dir.evidence();
    let wrapped = WrappedKey::generate();
    wrapped.write(
        &Part::Key.path(&dir, segment),
        Purpose::Archive,
        segment,
        &reader.0.at_rest.keys.read(),
    )?;
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

/// Completes a retirement a crash cut off: the archive is there and the segment's key is not, or was overwritten.
pub(crate) fn finish_retirement(dir: &crate::DataDir, segment: u64) -> Result<(), OpenError> {
    let key = Part::Key.path(&dir.journal(), segment);
    durable::destroy(&key).map_err(|error| OpenError::Io(key, error))?;
    let file = Part::Segment.path(&dir.journal(), segment);
    durable::remove(&file).map_err(|error| OpenError::Io(file, error))
}
