//! The ZIP archive of a workbook: its parts by name, unpacked as they are read, within limits.
//!
//! `zip` reads the directory whole and makes room for as many entries as it claims to have, so the claim is looked at
//! before, and the directory may take [`DIRECTORY`] bytes.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config, ZipFile};

use crate::fault::{self, Fault};
use crate::read::ReadCaps;
use crate::read::limit::{Limit, judged};

/// Bytes that may be read to find the parts.
const DIRECTORY: u64 = 2 << 20;
/// Parts of an archive. A workbook has some for each sheet, drawing and picture.
const PARTS: u64 = 16_384;

pub(crate) struct Archive<R> {
    zip: ZipArchive<Rationed<R>>,
    names: HashMap<String, usize>,
    left: u64,
    limit: u64,
}

impl<R: Read + Seek> Archive<R> {
    pub(crate) fn open(mut source: R, caps: &ReadCaps) -> Result<Self, Fault> {
        let length = source.seek(SeekFrom::End(0)).map_err(|error| judged(&error))?;
        if length > caps.book_bytes {
            return Err(Fault::of_file(&fault::FILE_TOO_LARGE).with(caps.book_bytes));
        }
        if claimed(&mut source, length).map_err(|error| judged(&error))? > PARTS {
            return Err(Fault::of_file(&fault::FILE_DAMAGED));
        }
        let ration = Rc::new(Cell::new(DIRECTORY));
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let rationed = Rationed { source, left: Rc::clone(&ration) };
        let zip =
            ZipArchive::with_config(config, rationed).map_err(|_| Fault::of_file(&fault::FILE_DAMAGED))?;
        // From here on what is unpacked is counted instead.
        ration.set(u64::MAX);
        let mut names = HashMap::with_capacity(zip.len());
        let mut twice = zip.has_duplicate_names();
        let mut declared = 0_u64;
        for index in 0..zip.len() {
            let entry = zip.by_index_data(index).map_err(|_| Fault::of_file(&fault::FILE_DAMAGED))?;
            declared = declared.saturating_add(entry.size());
            if entry.encrypted() {
                return Err(Fault::of_file(&fault::FILE_PASSWORD));
            }
            // Names of parts are compared without case (ECMA-376 part 2); some programs write backslashes.
            let name = String::from_utf8_lossy(entry.name_raw()).replace('\\', "/").to_lowercase();
            twice |= names.insert(name.trim_start_matches('/').to_owned(), index).is_some();
        }
        if twice {
            return Err(Fault::of_file(&fault::FILE_DAMAGED));
        }
        if declared > caps.expanded_bytes {
            return Err(Fault::of_file(&fault::FILE_EXPANDS).with(caps.expanded_bytes));
        }
        Ok(Self { zip, names, left: caps.expanded_bytes, limit: caps.expanded_bytes })
    }

    /// Names of all parts, in lower case.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains_key(&name.to_lowercase())
    }

    /// A part, to be read to its end, where its checksum is looked at.
    pub(crate) fn part(&mut self, name: &str) -> Result<Part<'_, R>, Fault> {
        let damaged = || Fault::of_file(&fault::FILE_DAMAGED);
        let index = *self.names.get(&name.to_lowercase()).ok_or_else(damaged)?;
        let file = self.zip.by_index(index).map_err(|_| damaged())?;
        Ok(Part { file, left: &mut self.left, limit: self.limit })
    }
}

/// A part of the archive, unpacked as it is read.
pub(crate) struct Part<'a, R: Read> {
    file: ZipFile<'a, Rationed<R>>,
    left: &'a mut u64,
    limit: u64,
}

impl<R: Read> Read for Part<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        let left = u64::try_from(read).ok().and_then(|read| self.left.checked_sub(read));
        *self.left = left.ok_or_else(|| Limit::error(&fault::FILE_EXPANDS, self.limit))?;
        Ok(read)
    }
}

/// A source of which only so much may be read.
struct Rationed<R> {
    source: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 && !buffer.is_empty() {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let read = self.source.read(&mut buffer[..wanted])?;
        if left != u64::MAX {
            self.left.set(left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX)));
        }
        Ok(read)
    }
}

impl<R: Seek> Seek for Rationed<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
    }
}

/// The greatest number of entries that any end of a directory in the file claims in the form for large archives (the
/// common form cannot claim more than 65,535).
fn claimed<R: Read + Seek>(source: &mut R, length: u64) -> io::Result<u64> {
    // Ends of directory may be followed by a comment of 65,535 bytes, and `zip` takes any of them.
    let tail_length = length.min(22 + 65_535 + 20 + 64);
    source.seek(SeekFrom::Start(length - tail_length))?;
    let mut tail = Vec::new();
    source.by_ref().take(tail_length).read_to_end(&mut tail)?;
    let mut most = 0;
    let ends = tail.windows(4).enumerate().filter(|(_, at)| *at == b"PK\x05\x06").map(|(at, _)| at);
    for end in ends.collect::<Vec<_>>() {
        let locator = end.checked_sub(20).and_then(|at| tail.get(at..end));
        let Some(place) = locator.filter(|at| at.starts_with(b"PK\x06\x07")).and_then(|at| number(at, 8))
        else {
            continue;
        };
        let mut record = Vec::new();
        source.seek(SeekFrom::Start(place.min(length)))?;
        source.by_ref().take(40).read_to_end(&mut record)?;
        most = most.max(number(&record, 32).unwrap_or(0));
    }
    Ok(most)
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
}
