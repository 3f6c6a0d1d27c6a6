//! Opening the journal: complete what a crash cut off, find the end, and refuse where something is missing that others
//! know of. Nothing is changed before that is settled.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock};

use super::archive::Archives;
use super::at_rest::AtRest;
use super::clean::Mark;
use super::idempotency::{ClosedKeys, Idempotency, KeyFile};
use super::index::Indexes;
use super::reader::Reader;
use super::scan::{Tail, holds_frames, scan};
use super::segment::{End, Part, PreviousSegment, Segment, SegmentFile, SegmentHeader};
use super::shared::Shared;
use super::{Journal, retire};
use crate::disk::{Disk, RealDisk, forget_cached};
use crate::keys::{KeyFault, Purpose, WrappedKey};
use crate::{AtRestKeys, Damage, DataDir, Known, OpenError, Position, Rollback, durable};

/// How the journal is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// A segment is closed before it grows beyond this, unless a single frame is larger.
    pub segment_bytes: u64,
    /// The furthest position known elsewhere: what the queue has applied.
    pub referenced: Option<Position>,
    /// Size of the log that is synced in the log files.
    pub log_size: u64,
    /// A person decided to go on from what the journal still holds. The caller must then open a new epoch and rebuild
    /// the queue.
    pub adopt_rollback: bool,
    /// Where the time comes from that segments are stamped with when they are opened.
    pub clock: WallClock,
    /// What segment files lie on.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            referenced: None,
            log_size: 0,
            adopt_rollback: false,
            clock: WallClock::default(),
            disk: Arc::new(RealDisk),
        }
    }
}

/// Milliseconds since 1970, from the system or from whoever drives the journal.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl WallClock {
    /// A clock of the caller's own.
    pub fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(super) fn now(&self) -> u64 {
        (self.0)()
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }
}

impl std::fmt::Debug for WallClock {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "WallClock({})", self.now())
    }
}

/// What opening found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// The last frame.
    pub end: Option<Position>,
    /// Index the next log entry is expected to have.
    pub next_log_index: u64,
    /// Whether the last shutdown was clean.
    pub clean: bool,
    /// A torn frame at the end that was cut: it had never been acknowledged.
    pub cut: Option<Cut>,
    /// What was given up because `adopt_rollback` was set.
    pub rolled_back: Option<Rollback>,
    /// Segments whose idempotency keys were collected again from their frames.
    pub reindexed: Vec<u64>,
    /// Segments whose retirement was completed.
    pub retired: Vec<u64>,
}

/// A torn end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// Where, and which frame would have stood there.
    pub at: Damage,
    /// Bytes that were there.
    pub bytes: u64,
}

impl Journal {
    /// Opens the journal of `dir`. It is read from the device, not from the page cache; the last segment is read
    /// wholly, earlier ones when needed.
    pub fn open(
        dir: &DataDir,
        keys: &AtRestKeys,
        options: Options,
    ) -> Result<(Self, Reader, Recovery), OpenError> {
        let mut recovery = Recovery::default();
        // Up to the decision about `known` only what a crash left unfinished is touched: temporary files, and retirements
        // whose archive was complete. A journal that is refused can be opened again once what is missing was put back.
        let numbers = survey(dir, keys, &mut recovery)?;
        let found = Found::load(dir, keys, &numbers, &options, &mut recovery)?;
        let mark = Mark::read(&dir.clean_mark());
        recovery.end = found.end();
        recovery.next_log_index = found.log_index();
        let known = found.lost.or_else(|| found.known_beyond(&options, mark.as_ref()));
        if let Some(known) = known {
            let rollback = Rollback { end: recovery.end, known };
            if !options.adopt_rollback {
                return Err(match known {
                    Known::Damage(damage) => OpenError::Damaged(damage),
                    _ => OpenError::Rollback(rollback),
                });
            }
            recovery.rolled_back = Some(rollback);
        }
        recovery.clean = known.is_none() && mark.is_some_and(|mark| mark.previous == found.previous());
        // What refers past the adopted end goes, or the next start would refuse for the same reason again.
        if recovery.rolled_back.is_some() {
            for path in found.orphans.iter().chain([&dir.clean_mark()]) {
                durable::remove(path).map_err(|error| OpenError::Io(path.clone(), error))?;
            }
        }
        let mut journal = found.into_journal(dir, keys, &options);
        // A full disk must not keep the journal from being read; the record is written before the next segment.
        let _ = journal.write_closing_records();
        // What stands behind a cut, or behind an end that was adopted, stays in the file: it is void once the next
        // segment's header is written.
        if recovery.cut.is_none() && recovery.rolled_back.is_none() {
            journal.trim_newest();
        }
        let reader = journal.reader();
        Ok((journal, reader, recovery))
    }
}

/// Numbers of the files of one kind, ascending.
pub(crate) fn numbers(dir: &Path, part: Part) -> Result<Vec<u64>, OpenError> {
    Ok(names(dir)?.into_iter().filter(|(_, found)| *found == part).map(|(number, _)| number).collect())
}

fn names(dir: &Path) -> Result<BTreeSet<(u64, Part)>, OpenError> {
    let io = |error| OpenError::Io(dir.to_owned(), error);
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        found.extend(name.to_str().and_then(Part::parse));
    }
    Ok(found)
}

/// Removes what a crash left half-written, and gives the numbers of the segments that count.
fn survey(dir: &DataDir, keys: &AtRestKeys, recovery: &mut Recovery) -> Result<Vec<u64>, OpenError> {
    for folder in [dir.journal(), dir.evidence()] {
        sweep(&folder)?;
    }
    let journal = dir.journal();
    let evidence = names(&dir.evidence())?;
    let mut kept = Vec::new();
    for number in numbers(&journal, Part::Segment)? {
        let archived = evidence.contains(&(number, Part::Archive));
        let key = Part::Key.path(&journal, number);
        match WrappedKey::read(&key, Purpose::Segment, number, keys) {
            Ok(_) => kept.push(number),
            // Retiring destroys the key only after the archive is durable, so archive and no readable key together mean a
            // retirement that was cut off. Without an archive the same fault is a damaged journal.
            Err(KeyFault::Damaged(_)) if archived => {
                retire::finish_retirement(dir, number)?;
                recovery.retired.push(number);
            }
            Err(KeyFault::Io(_, error)) if archived && error.kind() == std::io::ErrorKind::NotFound => {
                retire::finish_retirement(dir, number)?;
                recovery.retired.push(number);
            }
            Err(fault) => return Err(fault.into()),
        }
    }
    if let Some(last) = kept.last().copied()
        && is_torn_creation(dir, last)?
    {
        // Its files are overwritten when the next segment takes its number.
        kept.pop();
    }
    Ok(kept)
}

fn sweep(dir: &Path) -> Result<(), OpenError> {
    let io = |error| OpenError::Io(dir.to_owned(), error);
    for entry in fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == durable::TEMPORARY) {
            fs::remove_file(&path).map_err(|error| OpenError::Io(path, error))?;
        }
    }
    Ok(())
}

/// Whether the newest segment was being created when the power went: no header, and nothing was ever appended.
fn is_torn_creation(dir: &DataDir, number: u64) -> Result<bool, OpenError> {
    let path = Part::Segment.path(&dir.journal(), number);
    let io = |error| OpenError::Io(path.clone(), error);
    let file = open_fresh(&path)?;
    if SegmentHeader::read(&file).map_err(io)?.is_some() {
        return Ok(false);
    }
    match holds_frames(&file).map_err(io)? {
        true => Err(Damage { segment: number, frame: 0, offset: 0 }.into()),
        false => Ok(true),
    }
}

/// Opens a file and makes sure that what is read is on the device and what is on the device is read.
fn open_fresh(path: &Path) -> Result<File, OpenError> {
    let io = |error| OpenError::Io(path.to_owned(), error);
    let file = fs::OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
    file.sync_all().map_err(io)?;
    forget_cached(&file);
    Ok(file)
}

/// The segments as found on disk.
#[derive(Default)]
struct Found {
    segments: BTreeMap<u64, Arc<Segment>>,
    idempotency: Idempotency,
    unwritten: Vec<(Arc<Segment>, Arc<ClosedKeys>)>,
    /// What the segments themselves know of and do not hold.
    lost: Option<Known>,
    newest_retired: Option<u64>,
    /// Closing records of segments that are lost.
    orphans: Vec<PathBuf>,
}

fn is_retired(evidence: &BTreeSet<(u64, Part)>, number: u64) -> bool {
    evidence.contains(&(number, Part::Archive)) || evidence.contains(&(number, Part::Gone))
}

/// A segment with what its neighbours say about it.
struct Candidate {
    path: PathBuf,
    header: SegmentHeader,
    /// Its closing record, if intact.
    closing: Option<(KeyFile, End)>,
    /// Frames and digest of the last one, by the header of the segment after it.
    by_next: Option<(u64, [u8; 32])>,
    newest: bool,
}

impl Found {
    fn load(
        dir: &DataDir,
        keys: &AtRestKeys,
        numbers: &[u64],
        options: &Options,
        recovery: &mut Recovery,
    ) -> Result<Self, OpenError> {
        let journal = dir.journal();
        let mut headers = Vec::with_capacity(numbers.len());
        for number in numbers {
            let path = Part::Segment.path(&journal, *number);
            let file = File::open(&path).map_err(|error| OpenError::Io(path.clone(), error))?;
            let header = SegmentHeader::read(&file).map_err(|error| OpenError::Io(path.clone(), error))?;
            let header = header.filter(|header| header.number == *number);
            headers.push(header.ok_or(Damage { segment: *number, frame: 0, offset: 0 })?);
        }
        let mut found = Self::default();
        let evidence = names(&dir.evidence())?;
        let retired = |number| is_retired(&evidence, number);
        // The oldest segment names the one before it: that one was retired, or it is lost with all its files.
        if let Some(previous) = headers.first().and_then(|oldest| oldest.previous)
            && !retired(previous.number)
        {
            return Err(OpenError::Missing(previous.number));
        }
        for pair in headers.windows(2) {
            let between = pair[0].number + 1..pair[1].number;
            if let Some(missing) =
                between.clone().find(|number| pair[1].follows(*number) && !retired(*number))
            {
                return Err(OpenError::Missing(missing));
            }
        }
        for (at, header) in headers.iter().enumerate() {
            let next = headers.get(at + 1).and_then(|next| next.previous);
            let next = next.filter(|previous| previous.number == header.number);
            if next.is_some_and(|previous| previous.id != header.id) {
                // Not the segment its successor followed.
                return Err(Damage { segment: header.number, frame: 0, offset: 0 }.into());
            }
            let candidate = Candidate {
                path: Part::Segment.path(&journal, header.number),
                header: *header,
                closing: KeyFile::open(&Part::Closing.path(&journal, header.number), header),
                by_next: next.map(|previous| (previous.frames, previous.tail)),
                newest: at + 1 == headers.len(),
            };
            found.add(candidate, &journal, keys, options, recovery)?;
        }
        // An index is named by the newest segment whose rows it holds, and that may be the newest of all.
        let of_archive = |part: &Part| !matches!(part, Part::Index | Part::IndexKey);
        found.newest_retired =
            evidence.iter().filter(|(_, part)| of_archive(part)).map(|(number, _)| *number).max();
        found.add_orphaned_keys(dir, &evidence)?;
        Ok(found)
    }

    fn add(
        &mut self,
        candidate: Candidate,
        journal: &Path,
        keys: &AtRestKeys,
        options: &Options,
        recovery: &mut Recovery,
    ) -> Result<(), OpenError> {
        let Candidate { path, header, closing, by_next, newest } = candidate;
        let number = header.number;
        // A closing record that agrees with the header of the segment after it is believed without reading the frames:
        // opening costs one segment, however long the journal is. The newest has no successor, so it is always read.
        let agrees = |end: &End| by_next.is_none_or(|by_next| by_next == (end.frames, end.tail));
        let closing = closing.filter(|(_, end)| agrees(end));
        if !newest && let Some((file, end)) = closing {
            self.segments.insert(number, Arc::new(Segment::new(header, end, None)));
            self.idempotency.set(number, ClosedKeys::File(file));
            return Ok(());
        }
        let key = WrappedKey::read(&Part::Key.path(journal, number), Purpose::Segment, number, keys)?;
        if key.id != header.id {
            return Err(OpenError::KeyDamaged(Part::Key.path(journal, number)));
        }
        let open = SegmentFile { file: open_fresh(&path)?, key: key.data_key() };
        let recorded = closing.as_ref().map(|(_, end)| end.frames);
        // What the successor's header does not count is void: its outcome was unknown when the successor was opened,
        // and the client was told to repeat it.
        let limit = by_next.map(|(frames, _)| frames).or(recorded);
        let scanned = scan(&open, &header, limit).map_err(|error| OpenError::Io(path, error))?;
        let end = scanned.end;
        let here = Damage { segment: number, frame: end.frames, offset: end.offset };
        match scanned.tail {
            // Only at the very end may a person decide to go on without: frames of later segments build on this one.
            Tail::Damaged(damage) => {
                if !(newest && options.adopt_rollback) {
                    return Err(damage.into());
                }
                self.lost = Some(Known::Damage(damage));
            }
            _ if limit.is_some_and(|limit| end.frames < limit) => {
                let known = limit.map(|limit| Position { segment: number, frame: limit - 1 });
                match known.filter(|_| newest) {
                    Some(known) => self.lost = Some(Known::Closed(known)),
                    None => return Err(here.into()),
                }
            }
            Tail::Torn { bytes } => recovery.cut = Some(Cut { at: here, bytes }),
            Tail::Clean => {}
        }
        if !agrees(&end) {
            return Err(here.into());
        }
        let segment = Arc::new(Segment::new(header, end, Some(Arc::new(open))));
        self.segments.insert(number, segment.clone());
        match closing {
            Some((file, recorded)) if recorded == end => self.idempotency.set(number, ClosedKeys::File(file)),
            _ => {
                if !newest {
                    recovery.reindexed.push(number);
                }
                let keys = Arc::new(ClosedKeys::memory(scanned.idempotency));
                self.idempotency.share(number, keys.clone());
                self.unwritten.push((segment, keys));
            }
        }
        Ok(())
    }

    /// Idempotency keys outlive their retired segment until they expire. A closing record of a segment that was never
    /// retired means that the segment itself is lost.
    fn add_orphaned_keys(
        &mut self,
        dir: &DataDir,
        evidence: &BTreeSet<(u64, Part)>,
    ) -> Result<(), OpenError> {
        let journal = dir.journal();
        for number in numbers(&journal, Part::Closing)? {
            let path = Part::Closing.path(&journal, number);
            if self.segments.contains_key(&number) {
                continue;
            }
            let Some((file, end)) = KeyFile::open_orphan(&path, number) else { continue };
            if is_retired(evidence, number) {
                self.idempotency.set(number, ClosedKeys::File(file));
            } else if self.segments.last_key_value().is_some_and(|(newest, _)| *newest > number) {
                return Err(OpenError::Missing(number));
            } else {
                self.orphans.push(path);
                self.lost = end.last.map(Known::Closed).or(self.lost);
            }
        }
        Ok(())
    }

    fn end(&self) -> Option<Position> {
        self.segments.last_key_value().and_then(|(_, segment)| segment.end().last)
    }

    fn log_index(&self) -> u64 {
        self.segments.last_key_value().map_or(0, |(_, segment)| segment.end().log_index)
    }

    fn previous(&self) -> Option<PreviousSegment> {
        self.segments.last_key_value().map(|(number, segment)| {
            let end = segment.end();
            PreviousSegment { number: *number, id: segment.header.id, frames: end.frames, tail: end.tail }
        })
    }

    /// What others know that lies beyond the end.
    fn known_beyond(&self, options: &Options, mark: Option<&Mark>) -> Option<Known> {
        let end = self.end();
        if let Some(referenced) = options.referenced
            && Some(referenced) > end
        {
            return Some(Known::Referenced(referenced));
        }
        // A mark beyond the end: the end was lost. One at this end with another digest of what precedes it: the journal
        // is not the one that was closed.
        if let Some(mark) = mark {
            let same_end = mark.end == end && mark.previous == self.previous();
            if mark.end > end || (mark.end == end && !same_end) {
                return Some(Known::CleanMark(mark.end.filter(|marked| Some(*marked) > end)));
            }
        }
        if let Some(retired) = self.newest_retired
            && self.segments.last_key_value().is_none_or(|(newest, _)| *newest <= retired)
        {
            return Some(Known::Retired(retired));
        }
        (options.log_size > self.log_index()).then_some(Known::LogSize(options.log_size))
    }

    fn into_journal(self, dir: &DataDir, keys: &AtRestKeys, options: &Options) -> Journal {
        let (end, log_index, previous) = (self.end(), self.log_index(), self.previous());
        let shared = Shared {
            at_rest: AtRest { dir: dir.clone(), keys: RwLock::new(keys.clone()) },
            segments: RwLock::new(self.segments),
            active: 0.into(),
            idempotency: self.idempotency,
            archives: Archives::default(),
            indexes: Indexes::default(),
            retiring: Mutex::default(),
        };
        Journal {
            shared: Arc::new(shared),
            segment_bytes: options.segment_bytes,
            clock: options.clock.clone(),
            active: None,
            previous,
            end,
            log_index,
            first_free: self.newest_retired.map_or(1, |retired| retired + 1),
            unwritten: self.unwritten,
            buffer: Vec::new(),
            disk: options.disk.clone(),
        }
    }
}
