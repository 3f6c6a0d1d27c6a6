//! Idempotency keys: those of the segment being written in memory, those of closed segments in a sorted file each.
//!
//! The file is the segment's closing record too: it says how many frames count, so that a void frame stays void even
//! after the segment that followed is gone.
//!
//! ```text
//! page 0: header │ pages: 102 entries of 40 bytes, checksum │ first key of each page, filter, checksum
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use super::frame::IdemEntry;
use super::segment::{End, SegmentHeader};
use crate::bytes::{Put, Take};
use crate::{Position, durable};

/// All keys that still answer.
#[derive(Default)]
pub(crate) struct Idempotency {
    active: RwLock<HashMap<[u8; 16], [u8; 24]>>,
    closed: RwLock<BTreeMap<u64, Arc<ClosedKeys>>>,
}

/// The keys of one closed segment.
pub(crate) enum ClosedKeys {
    /// Sorted; not on disk yet.
    Memory(Vec<IdemEntry>),
    /// On disk, behind a filter.
    File(KeyFile),
}

impl Idempotency {
    pub(crate) fn insert(&self, entries: &[IdemEntry]) {
        if !entries.is_empty() {
            self.active.write().extend(entries.iter().map(|entry| (entry.key, entry.value)));
        }
    }

    /// The answer to `key`; the newest if several segments have one. `Err` names a segment whose keys do not read:
    /// saying "unknown" there could let a submission in twice.
    pub(crate) fn get(&self, key: &[u8; 16]) -> Result<Option<[u8; 24]>, u64> {
        if let Some(value) = self.active.read().get(key) {
            return Ok(Some(*value));
        }
        for (segment, keys) in self.closed.read().iter().rev() {
            if let Some(value) = keys.get(key).ok_or(*segment)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Freezes the keys of the active segment as those of `segment`, and gives them for writing.
    pub(crate) fn close(&self, segment: u64) -> Arc<ClosedKeys> {
        let mut active = self.active.write();
        let entries: Vec<_> =
            active.iter().map(|(key, value)| IdemEntry { key: *key, value: *value }).collect();
        let frozen = Arc::new(ClosedKeys::memory(entries));
        self.closed.write().insert(segment, frozen.clone());
        active.clear();
        frozen
    }

    pub(crate) fn set(&self, segment: u64, keys: ClosedKeys) {
        self.share(segment, Arc::new(keys));
    }

    pub(crate) fn share(&self, segment: u64, keys: Arc<ClosedKeys>) {
        self.closed.write().insert(segment, keys);
    }

    pub(crate) fn drop_segment(&self, segment: u64) {
        self.closed.write().remove(&segment);
    }

    pub(crate) fn segments(&self) -> Vec<u64> {
        self.closed.read().keys().copied().collect()
    }
}

impl ClosedKeys {
    pub(crate) fn memory(mut entries: Vec<IdemEntry>) -> Self {
        entries.reverse();
        entries.sort_by_key(|entry| entry.key);
        entries.dedup_by_key(|entry| entry.key);
        Self::Memory(entries)
    }

    fn get(&self, key: &[u8; 16]) -> Option<Option<[u8; 24]>> {
        match self {
            Self::Memory(entries) => Some(find(entries, key)),
            Self::File(file) => file.get(key),
        }
    }

    pub(crate) fn entries(&self) -> &[IdemEntry] {
        match self {
            Self::Memory(entries) => entries,
            Self::File(_) => &[],
        }
    }
}

/// A written file of sorted keys.
pub(crate) struct KeyFile {
    /// Opened for each lookup that passes the filter: there may be more segments than file descriptors.
    path: PathBuf,
    count: u64,
    fences: Vec<[u8; 16]>,
    filter: Vec<u8>,
}

const PAGE: usize = 4096;
const ENTRY: usize = 40;
const PER_PAGE: usize = 102;
const MAGIC: &[u8; 4] = b"XQID";
/// Blocks of the filter, one cache line each.
const BLOCK: usize = 64;
/// Keys a block is sized for: 12.8 bits per key, about 0.5 % false positives.
const KEYS_PER_BLOCK: usize = 40;
const PROBES: u32 = 6;

impl KeyFile {
    /// Writes the closing record of a segment durably and opens it.
    pub(crate) fn write(
        path: &Path,
        header: &SegmentHeader,
        end: &End,
        entries: &[IdemEntry],
    ) -> io::Result<Self> {
        let pages = entries.len().div_ceil(PER_PAGE);
        let fences: Vec<_> = entries.chunks(PER_PAGE).map(|page| page[0].key).collect();
        let mut filter = vec![0; entries.len().div_ceil(KEYS_PER_BLOCK) * BLOCK];
        for entry in entries {
            probe(&entry.key, filter.len(), |byte, bit| filter[byte] |= bit);
        }
        let mut bytes = vec![0; PAGE * (1 + pages)];
        let last = end.last.unwrap_or(Position { segment: u64::MAX, frame: u64::MAX });
        let mut put = Put(&mut bytes, 0);
        put.bytes(MAGIC)
            .u8(1)
            .u8(0)
            .u16(0)
            .u64(header.number)
            .bytes(&header.id)
            .u64(end.frames)
            .u64(end.offset);
        put.bytes(&end.tail).u64(end.log_index).u64(last.segment).u64(last.frame);
        put.u64(entries.len() as u64).u64(filter.len() as u64);
        seal_page(&mut bytes[..PAGE]);
        for (page, entries) in bytes[PAGE..].chunks_exact_mut(PAGE).zip(entries.chunks(PER_PAGE)) {
            let mut put = Put(page, 0);
            for entry in entries {
                put.bytes(&entry.key).bytes(&entry.value);
            }
            seal_page(page);
        }
        let index = bytes.len();
        fences.iter().for_each(|fence| bytes.extend_from_slice(fence));
        bytes.extend_from_slice(&filter);
        let check = crc32fast::hash(&bytes[index..]);
        bytes.extend_from_slice(&check.to_le_bytes());
        durable::replace(path, &bytes)?;
        Ok(Self { path: path.to_owned(), count: entries.len() as u64, fences, filter })
    }

    /// Opens the closing record of the segment with this header; `None` if it is missing, damaged or of another.
    pub(crate) fn open(path: &Path, header: &SegmentHeader) -> Option<(Self, End)> {
        Self::load(path, header.number).and_then(|(file, id, end)| (id == header.id).then_some((file, end)))
    }

    /// Opens the keys of a segment that was retired.
    pub(crate) fn open_orphan(path: &Path, number: u64) -> Option<(Self, End)> {
        Self::load(path, number).map(|(file, _, end)| (file, end))
    }

    fn load(path: &Path, number: u64) -> Option<(Self, [u8; 16], End)> {
        let file = File::open(path).ok()?;
        let len = file.metadata().ok()?.len();
        let mut page = [0; PAGE];
        file.read_exact_at(&mut page, 0).ok()?;
        if !page_intact(&page) {
            return None;
        }
        let mut take = Take(&page);
        if take.array()? != *MAGIC || (take.u8()?, take.u8()?, take.u16()?) != (1, 0, 0) {
            return None;
        }
        if take.u64()? != number {
            return None;
        }
        let id = take.array()?;
        let (frames, offset) = (take.u64()?, take.u64()?);
        let (tail, log_index) = (take.array()?, take.u64()?);
        let last = Position { segment: take.u64()?, frame: take.u64()? };
        let last = (last.segment != u64::MAX).then_some(last);
        let (count, filter_len) = (take.u64()?, take.u64()?);
        let pages = usize::try_from(count).ok()?.div_ceil(PER_PAGE);
        let index = PAGE as u64 * (1 + pages as u64);
        let index_len = usize::try_from(len.checked_sub(index)?).ok()?;
        if index_len != pages * 16 + usize::try_from(filter_len).ok()? + 4 {
            return None;
        }
        let mut bytes = vec![0; index_len];
        file.read_exact_at(&mut bytes, index).ok()?;
        let (body, check) = bytes.split_at(index_len - 4);
        if crc32fast::hash(body).to_le_bytes() != check {
            return None;
        }
        let (fences, filter) = body.split_at(pages * 16);
        let fences = fences.chunks_exact(16).map(|key| key.try_into().expect("16 bytes")).collect();
        let end = End { frames, offset, tail, log_index, last };
        Some((Self { path: path.to_owned(), count, fences, filter: filter.to_vec() }, id, end))
    }

    /// The answer to `key`, if there is one; the outer `None` says that the page does not read.
    fn get(&self, key: &[u8; 16]) -> Option<Option<[u8; 24]>> {
        let mut maybe = !self.filter.is_empty();
        probe(key, self.filter.len(), |byte, bit| maybe &= self.filter[byte] & bit != 0);
        let page = self.fences.partition_point(|fence| fence <= key).checked_sub(1);
        match page.filter(|_| maybe) {
            Some(page) => Some(find(&self.page(page)?, key)),
            None => Some(None),
        }
    }

    fn page(&self, page: usize) -> Option<Vec<IdemEntry>> {
        let mut bytes = [0; PAGE];
        File::open(&self.path).ok()?.read_exact_at(&mut bytes, PAGE as u64 * (1 + page as u64)).ok()?;
        if !page_intact(&bytes) {
            return None;
        }
        let here = usize::try_from(self.count).ok()?.checked_sub(page * PER_PAGE)?.min(PER_PAGE);
        let entry = |bytes: &[u8]| {
            let mut take = Take(bytes);
            Some(IdemEntry { key: take.array()?, value: take.array()? })
        };
        bytes[..here * ENTRY].chunks_exact(ENTRY).map(entry).collect()
    }

    /// All entries, or `None` if a page is damaged.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Option<Vec<IdemEntry>> {
        let pages: Option<Vec<_>> = (0..self.fences.len()).map(|page| self.page(page)).collect();
        Some(pages?.concat())
    }
}

fn find(entries: &[IdemEntry], key: &[u8; 16]) -> Option<[u8; 24]> {
    let at = entries.binary_search_by_key(key, |entry| entry.key).ok()?;
    Some(entries[at].value)
}

fn seal_page(page: &mut [u8]) {
    let check = crc32fast::hash(&page[..PAGE - 4]);
    Put(page, PAGE - 4).u32(check);
}

fn page_intact(page: &[u8]) -> bool {
    crc32fast::hash(&page[..PAGE - 4]).to_le_bytes() == page[PAGE - 4..]
}

/// Goes through the bits of `key` in a filter of `len` bytes: all in one block. Keys are digests, so their bytes are
/// hashes.
fn probe(key: &[u8; 16], len: usize, mut visit: impl FnMut(usize, u8)) {
    let blocks = len / BLOCK;
    if blocks == 0 {
        return;
    }
    let place = u64::from_le_bytes(key[..8].try_into().expect("eight bytes"));
    let mut bits = u64::from_le_bytes(key[8..].try_into().expect("eight bytes"));
    let block = usize::try_from(place % blocks as u64).expect("a block of the filter") * BLOCK;
    for _ in 0..PROBES {
        let bit = usize::try_from(bits % 512).expect("nine bits");
        visit(block + bit / 8, 1 << (bit % 8));
        bits >>= 9;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xinqiao_crypto::sha256;

    fn entry(n: u32) -> IdemEntry {
        let digest = sha256(&n.to_le_bytes());
        IdemEntry { key: digest[..16].try_into().unwrap(), value: sha256(&digest)[..24].try_into().unwrap() }
    }

    fn header() -> SegmentHeader {
        SegmentHeader { number: 7, id: [3; 16], opened_at: 1, previous: None, last: None, log_index: 5 }
    }

    fn write(path: &Path, count: u32) -> (KeyFile, Vec<IdemEntry>) {
        let keys = ClosedKeys::memory((0..count).map(entry).collect());
        let file = KeyFile::write(path, &header(), &End::empty(&header()), keys.entries()).unwrap();
        (file, keys.entries().to_vec())
    }

    #[test]
    fn finds_every_key_and_no_other() {
        let dir = crate::journal::tests::temporary();
        let path = dir.path().join("k");
        for count in [0, 1, 101, 102, 103, 5000] {
            let (file, entries) = write(&path, count);
            let (reopened, end) = KeyFile::open(&path, &header()).unwrap();
            assert_eq!(end, End::empty(&header()));
            for n in 0..count {
                assert_eq!(file.get(&entry(n).key), Some(Some(entry(n).value)));
                assert_eq!(reopened.get(&entry(n).key), Some(Some(entry(n).value)));
            }
            for n in count..count + 2000 {
                assert_eq!(reopened.get(&entry(n).key), Some(None));
            }
            assert_eq!(reopened.all().unwrap(), entries);
        }
    }

    #[test]
    fn a_flipped_byte_never_gives_another_answer() {
        let dir = crate::journal::tests::temporary();
        let path = dir.path().join("k");
        write(&path, 150);
        let intact = std::fs::read(&path).unwrap();
        for at in (0..intact.len()).step_by(3) {
            let mut bytes = intact.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            if let Some((file, _)) = KeyFile::open(&path, &header()) {
                for n in 0..150 {
                    assert!(file.get(&entry(n).key).is_none_or(|value| value == Some(entry(n).value)));
                }
            }
        }
    }

    #[test]
    fn the_newest_answer_wins() {
        let all = Idempotency::default();
        let key = entry(1).key;
        all.insert(&[IdemEntry { key, value: [1; 24] }]);
        all.close(1);
        all.insert(&[IdemEntry { key, value: [2; 24] }]);
        assert_eq!(all.get(&key).unwrap(), Some([2; 24]));
        all.close(2);
        assert_eq!(all.get(&key).unwrap(), Some([2; 24]));
        all.drop_segment(2);
        assert_eq!(all.get(&key).unwrap(), Some([1; 24]));
    }
}
