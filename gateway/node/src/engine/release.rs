//! Letting go: rows of old segments leave the queue for an index, what lives in mostly dead segments is carried over, and
//! segments in which nothing lives are archived and their keys destroyed. Whatever keeps payload beyond its retention
//! is an error in the log and makes the node unready: silence here would break what the retention promises.

use super::committer::Job;
use super::index::IndexFault;
use super::maintenance::{u32_at, u64_at};
use super::snapshot::Written;
use super::{CommitError, Node};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use tokio::sync::oneshot;
use xinqiao_exchange::event::Event;
use xinqiao_exchange::group::{Change, Item, Kind};
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::state::{BatchRow, ChunkRow, Place, Table, WithheldRow};
use xinqiao_explain::Explain;
use xinqiao_store::{RetireError, SegmentStats};

/// The window of idempotency keys, and with it the least age of a segment that goes.
const WINDOW_MS: u64 = 24 * 3_600 * 1_000;
/// A segment that was written to for so long is closed: what is in it can go only then.
const CLOSE_AFTER_MS: u64 = WINDOW_MS;
/// Dead segments wait until there are so many times the bytes of a snapshot: each release writes one.
const WORTH: u64 = 4;
/// But no longer than so many seconds.
const WAIT: i64 = 6 * 3_600;
/// A segment in which, by the longest retention of all, nothing may live is late after so many days more.
const GRACE_DAYS: u64 = 2;
const DAY_MS: u64 = 86_400_000;

/// What the node remembers between rounds.
#[derive(Debug, Default)]
pub(super) struct LettingGo {
    /// Bytes of the last snapshot.
    snapshot: Option<u64>,
    /// Dead segments that wait for others, and since when.
    waiting: BTreeMap<u64, i64>,
    /// Dead segments that could not go. They are tried again every round.
    failed: BTreeSet<u64>,
    overdue: Option<Overdue>,
}

/// Payload that should be gone and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// Age of the oldest of it, seconds.
    pub seconds: u64,
    /// Segments that hold such payload.
    pub segments: usize,
}

/// Why segments could not go.
#[derive(Debug)]
enum Fault {
    /// Rows cannot be read: what lives is not known.
    Rows,
    /// Rows did not leave the queue.
    Index(IndexFault),
    /// What lives in a segment could not be carried over.
    Carry,
    /// There is no snapshot.
    Snapshot(CommitError),
    /// A segment could not be archived.
    Retire(u64, RetireError),
}

impl Fault {
    fn code(&self) -> Cow<'static, str> {
        match self {
            Self::Rows => "release.rows".into(),
            Self::Index(e) => e.code().into(),
            Self::Carry => "release.carry".into(),
            Self::Snapshot(_) => "release.snapshot".into(),
            Self::Retire(_, e) => e.explain().into_code(),
        }
    }

    /// The node is stopping: nothing is wrong.
    fn is_stop(&self) -> bool {
        let stopping = CommitError::Stopping;
        matches!(self, Self::Snapshot(e) | Self::Index(IndexFault::Commit(e)) if *e == stopping)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows => f.write_str("rows of the queue cannot be read"),
            Self::Index(e) => write!(f, "{e}"),
            Self::Carry => f.write_str("payload that still lives could not be carried over"),
            Self::Snapshot(e) => write!(f, "no snapshot could be written: {e:?}"),
            Self::Retire(segment, e) => write!(f, "segment {segment}: {}", e.explain().english()),
        }
    }
}
impl From<IndexFault> for Fault {
    fn from(e: IndexFault) -> Self {
        Self::Index(e)
    }
}

impl Node {
    /// One round. Blocks.
    pub fn let_go(&self) {
        let now_ms = (self.clock.now().max(0) as u64).saturating_mul(1_000);
        self.close_old_segment(now_ms);
        let result = self.release(now_ms);
        if let Err(fault) = &result {
            if fault.is_stop() {
                return;
            }
            let code = fault.code();
            let code = code.as_ref();
            match fault {
                Fault::Index(_) => {
                    tracing::error!(
                        code,
                        "old rows could not leave the queue: {fault}; tried again in the next round"
                    );
                }
                _ => tracing::error!(
                    code,
                    "old segments could not be let go, payload outlives its retention: {fault}; tried again in the next round"
                ),
            }
        }
        let overdue =
            self.find_overdue(now_ms, matches!(result, Err(ref fault) if !matches!(fault, Fault::Index(_))));
        self.letting_go.lock().overdue = overdue;
    }

    /// Payload that should be gone and is not, as the last round found it.
    pub fn overdue(&self) -> Option<Overdue> {
        self.letting_go.lock().overdue
    }

    /// Without this a node with little to do would keep payload as long as its segment takes to fill.
    fn close_old_segment(&self, now_ms: u64) {
        let segments = self.reader.segments();
        let old = |s: &&SegmentStats| s.active && s.frames > 0 && s.opened_at + CLOSE_AFTER_MS < now_ms;
        if segments.iter().any(|s| old(&s)) && self.jobs.send(Job::Roll).is_ok() {
            // Closed when the round looks at it.
            let _ = self.barrier();
        }
    }

    fn release(&self, now_ms: u64) -> Result<(), Fault> {
        let segments = self.reader.segments();
        let old = |s: &&SegmentStats| !s.active && s.opened_at + WINDOW_MS < now_ms;
        let candidates: Vec<_> = segments.iter().filter(old).collect();
        let Some(last) = candidates.last() else { return Ok(()) };
        // Every key in the segments before it was given before it was opened.
        self.reader.expire_idempotency(last.segment);
        let stays = segments.iter().find(|s| s.segment > last.segment);
        let opened = stays.map_or(now_ms, |s| s.opened_at) / 1_000;
        // Rows that cannot leave make the snapshot longer. That is no reason to keep payload.
        let indexed = self.index_rows(last.segment + 1, opened as i64);
        self.release_dead(&candidates)?;
        indexed?;
        Ok(())
    }

    fn release_dead(&self, candidates: &[&SegmentStats]) -> Result<(), Fault> {
        let mut live = self.live().ok_or(Fault::Rows)?;
        let mut carried = Ok(());
        for s in candidates {
            let living = live.get(&s.segment).map_or(&[][..], Vec::as_slice);
            let bytes: u64 = living.iter().map(|l| l.place.bytes() as u64).sum();
            if bytes > 0 && bytes < s.bytes / 4 {
                carried = carried.and(self.carry_over(living).ok_or(Fault::Carry));
            }
        }
        if candidates.iter().any(|s| live.contains_key(&s.segment)) {
            // Looked at again: what was sealed while it was carried over may still lead to the old place.
            live = self.live().ok_or(Fault::Rows)?;
        }
        let dead: Vec<_> = candidates.iter().filter(|s| !live.contains_key(&s.segment)).collect();
        if !self.is_worth_it(&dead) {
            return carried;
        }
        let written = self.snapshot().map_err(Fault::Snapshot)?;
        self.letting_go.lock().snapshot = Some(written.bytes);
        let synced = self.log().synced_size();
        let mut retired = Ok(());
        for s in dead.iter().filter(|s| s.segment < written.segment) {
            match self.reader.retire(s.segment, synced) {
                Ok(()) => {
                    self.letting_go.lock().waiting.remove(&s.segment);
                    tracing::info!(
                        segment = s.segment,
                        "a journal segment was archived and its payload key destroyed"
                    );
                }
                Err(e) => retired = retired.and(Err(Fault::Retire(s.segment, e))),
            }
        }
        retired.and(carried)
    }

    /// Each release writes all rows once more. So dead segments wait until they are several times as much, but not for
    /// long; where rows are few, none waits.
    fn is_worth_it(&self, dead: &[&&SegmentStats]) -> bool {
        let now = self.clock.now();
        let mut letting_go = self.letting_go.lock();
        letting_go.waiting.retain(|segment, _| dead.iter().any(|s| s.segment == *segment));
        for s in dead {
            letting_go.waiting.entry(s.segment).or_insert(now);
        }
        let bytes: u64 = dead.iter().map(|s| s.bytes).sum();
        let enough = letting_go.snapshot.is_none_or(|snapshot| bytes / WORTH >= snapshot);
        let waited = letting_go.waiting.values().any(|since| now - since >= WAIT);
        let failed = dead.iter().any(|s| letting_go.failed.contains(&s.segment));
        !dead.is_empty() && (enough || waited || failed)
    }

    /// All rows into the journal, and everything durable elsewhere: then older segments are not needed to rebuild.
    pub(super) fn snapshot(&self) -> Result<Written, CommitError> {
        let (reply, response) = oneshot::channel();
        self.jobs.send(Job::Snapshot { reply }).map_err(|_| CommitError::Stopping)?;
        let began = std::time::Instant::now();
        let written = response.blocking_recv().unwrap_or(Err(CommitError::Stopping))?;
        tracing::info!(
            bytes = written.bytes,
            parts = written.parts,
            milliseconds = began.elapsed().as_millis() as u64,
            "all rows were written into the journal"
        );
        let (reply, done) = oneshot::channel();
        self.jobs.send(Job::Checkpoint { reply }).map_err(|_| CommitError::Stopping)?;
        done.blocking_recv().map_err(|_| CommitError::Stopping)?;
        // A queue on the disk that is older than a retired segment could not be caught up.
        match self.queue().checkpointed() {
            Some(at) if at.segment >= written.segment => Ok(written),
            _ => Err(CommitError::Unavailable),
        }
    }

    /// Dead segments that a failed round left, and segments so old that nothing in them may live.
    fn find_overdue(&self, now_ms: u64, failed: bool) -> Option<Overdue> {
        let rules = self.rules();
        let days = rules.plan.datasets().map(|d| {
            let retention = d.dataset.retention();
            u64::from(retention.maximum_days.max(retention.history_maximum_days))
        });
        let longest = days.max().map(|days| (days + GRACE_DAYS).saturating_mul(DAY_MS));
        let segments = self.reader.segments();
        let mut letting_go = self.letting_go.lock();
        if failed {
            let waiting: Vec<u64> = letting_go.waiting.keys().copied().collect();
            letting_go.failed.extend(waiting);
        }
        letting_go.failed.retain(|failed| segments.iter().any(|s| s.segment == *failed));
        let mut oldest = None;
        let mut count = 0;
        for (at, s) in segments.iter().enumerate() {
            // The next segment was opened after the last frame of this one.
            let youngest = segments.get(at + 1).map_or(now_ms, |next| next.opened_at);
            let late = longest.is_some_and(|longest| youngest.saturating_add(longest) < now_ms);
            if late || letting_go.failed.contains(&s.segment) {
                count += 1;
                oldest = Some(oldest.map_or(s.opened_at, |oldest: u64| oldest.min(s.opened_at)));
            }
        }
        let since = oldest?;
        Some(Overdue { seconds: now_ms.saturating_sub(since) / 1_000, segments: count })
    }

    /// Writes payload again, at the journal's end.
    fn carry_over(&self, living: &[Living]) -> Option<()> {
        let mut names: BTreeMap<u32, StreamId> = BTreeMap::new();
        for (stream, head) in self.heads() {
            let ids = head.past.iter().copied().chain([head.id, head.batches]);
            names.extend(ids.map(|id| (id, stream.clone())));
        }
        for l in living {
            let stream = names.get(&l.stream)?.clone();
            let aad = stream.as_str().as_bytes().to_vec();
            let bytes = self.read_item(&stream, l.place).ok()?;
            let event = match l.kind {
                LivingIn::Batch => Event::PartMoved {
                    stream,
                    batches: Some(l.stream),
                    seq: l.number,
                    part: l.piece,
                    item: 0,
                },
                LivingIn::Chunk | LivingIn::Withheld => Event::Moved {
                    stream,
                    chunk: l.number,
                    item: 0,
                    piece: l.piece,
                    withheld: l.kind == LivingIn::Withheld,
                },
            };
            let items = vec![Item { kind: Kind::Payload, aad, bytes }];
            self.change_blocking(Change { events: vec![event], items, entry: None }, |_| true).ok()?;
        }
        Some(())
    }

    /// Payload still wanted, by segment.
    fn live(&self) -> Option<BTreeMap<u64, Vec<Living>>> {
        let mut live: BTreeMap<u64, Vec<Living>> = BTreeMap::new();
        let queue = self.queue();
        // Payload passes from chunks to withheld ones or to batches, and from withheld ones to chunks, while this reads:
        // in this order each is seen in one place or in both.
        let order =
            [LivingIn::Withheld, LivingIn::Chunk, LivingIn::Withheld, LivingIn::Chunk, LivingIn::Batch];
        let mut seen = HashSet::new();
        for kind in order {
            for (key, value) in super::rows::all(&queue, kind.table()).ok()? {
                let (stream, number) = (u32_at(&key, 0)?, u64_at(&key, 4)?);
                for (piece, place) in (0u16..).zip(kind.places(&value)?) {
                    if seen.insert((kind, stream, number, piece)) {
                        live.entry(place.volume()).or_default().push(Living {
                            kind,
                            stream,
                            number,
                            piece,
                            place,
                        });
                    }
                }
            }
        }
        Some(live)
    }
}

/// A payload item that somebody still waits for.
#[derive(Clone, Copy)]
struct Living {
    kind: LivingIn,
    /// The number of the stream, or of its batches.
    stream: u32,
    /// Of the chunk or batch.
    number: u64,
    piece: u16,
    place: Place,
}

/// Where payload is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum LivingIn {
    Chunk,
    Withheld,
    Batch,
}

impl LivingIn {
    fn table(self) -> Table {
        match self {
            Self::Chunk => Table::Chunk,
            Self::Withheld => Table::Withheld,
            Self::Batch => Table::Batch,
        }
    }

    fn places(self, row: &[u8]) -> Option<Vec<Place>> {
        let of_chunk = |row: ChunkRow| [row.payload].into_iter().chain(row.rest).collect();
        Some(match self {
            Self::Chunk => of_chunk(serde_json::from_slice(row).ok()?),
            Self::Withheld => of_chunk(serde_json::from_slice::<WithheldRow>(row).ok()?.chunk),
            Self::Batch => serde_json::from_slice::<BatchRow>(row).ok()?.parts,
        })
    }
}

#[cfg(test)]
mod tests;
