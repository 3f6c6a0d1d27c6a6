//! Opening a node: journal, then queue and log, then whatever the journal holds beyond them. A queue that is missing
//! or damaged is built again, from the newest snapshot or from the beginning.

use super::commit_error::CommitError;
use super::committer::{Committer, KIND_RECORD, Line};
use super::kept::Kept;
use super::open_error::OpenNodeError;
use super::order::{Gate, Preparations};
use super::places::place;
use super::recalled::recalled;
use super::registered;
use super::release::LettingGo;
use super::rows;
use super::rules::Rules;
use super::snapshot;
use super::telemetry::Telemetry;
use super::{Node, Trouble};
use crate::config::Config;
use crate::decisions::FileSet;
use crate::keyring::{Keyring, KeyringError};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, watch};
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::receipt::Salt;
use xinqiao_evidence::tlog::{Checkpoint, VerifiedCheckpoint, split_origin};
use xinqiao_exchange::event::FrameRecord;
use xinqiao_exchange::known::{Lineages, UpstreamLane};
use xinqiao_exchange::names::{NodeName, StreamId};
use xinqiao_exchange::order::CommitOrder;
use xinqiao_exchange::revs;
use xinqiao_exchange::state::{Applied, Place, RelayRow, State, Table};
use xinqiao_explain::Explain;
use xinqiao_runtime::clock::Clock;
use xinqiao_schemas::{Caps, Catalogue, CatalogueFile};
use xinqiao_store::{
    DataDir, Disk, Journal, LogError, LogFiles, Options, Position, Queue, QueueState, Reader, RealDisk,
    RegisterError, RegisterWorker, WallClock,
};

/// Found in a data directory that was put back by `xinqiao restore`.
pub const RESTORED: &str = "RESTORED";

/// A node and its committer's thread.
pub struct Opened {
    /// The node.
    pub node: Arc<Node>,
    /// Ends when the node stops.
    pub committer: std::thread::JoinHandle<()>,
}

/// Draws the salt of a submission's digests.
pub type Salts = Box<dyn Fn() -> Salt + Send + Sync>;

/// What a node takes from outside besides files: time, randomness, and the disk below its journal. Whoever drives a node
/// by hand gives their own.
pub struct Outside {
    /// The clock of stamps and deadlines.
    pub clock: Clock,
    /// Draws the salt of a submission's digests; what it draws must not be guessable.
    pub salts: Salts,
    /// What the journal's segments lie on.
    pub disk: Arc<dyn Disk>,
}

impl Default for Outside {
    fn default() -> Self {
        let salts = || Salt::generate().expect("the system has randomness");
        Self { clock: Clock::default(), salts: Box::new(salts), disk: Arc::new(RealDisk) }
    }
}

/// Reads the catalogue a configuration names.
pub fn catalogue(config: &Config) -> Result<Catalogue, OpenNodeError> {
    Catalogue::from_files(&catalogue_files(config)?).map_err(|e| OpenNodeError::Catalogue(e.to_string()))
}

fn catalogue_files(config: &Config) -> Result<Vec<CatalogueFile>, OpenNodeError> {
    match &config.node.catalogue {
        Some(dir) => Catalogue::read_files(dir).map_err(|e| OpenNodeError::Catalogue(e.to_string())),
        None => Ok(Catalogue::builtin_files()),
    }
}

/// The keys recipients sign their answers with.
fn acknowledgement_keys(config: &Config) -> Result<BTreeMap<String, Jwks>, OpenNodeError> {
    let mut all = BTreeMap::new();
    for r in &config.recipients {
        let Some(path) = &r.acknowledgement_keys else { continue };
        let keys = std::fs::read(path).ok().and_then(|bytes| Jwks::from_json(&bytes).ok());
        let keys = keys.ok_or_else(|| {
            OpenNodeError::Catalogue(format!(
                "{}: not a JWKS file; correct `acknowledgement_keys` of recipient `{}`",
                path.display(),
                r.member
            ))
        })?;
        all.insert(r.member.clone(), keys);
    }
    Ok(all)
}

impl Node {
    /// Opens everything and starts the committer.
    pub fn open(config: Config, metrics: Telemetry) -> Result<Opened, OpenNodeError> {
        Self::open_with(config, metrics, Outside::default())
    }

    /// The same with what comes from outside given by the caller.
    pub fn open_with(config: Config, metrics: Telemetry, outside: Outside) -> Result<Opened, OpenNodeError> {
        let (node, mut committer) = Self::assemble(config, metrics, outside)?;
        let weak = Arc::downgrade(&node);
        let failed = move |e: &RegisterError| {
            if let Some(node) = weak.upgrade() {
                node.register_failed(e);
            }
        };
        let worker = RegisterWorker::start(node.register.clone(), failed)
            .map_err(|e| OpenNodeError::Queue(format!("no thread for the register ({})", e.kind())))?;
        committer.register_worker = Some(worker);
        let committer =
            std::thread::Builder::new()
                .name("committer".into())
                .spawn(move || committer.run())
                .map_err(|e| OpenNodeError::Queue(format!("no thread for the committer ({})", e.kind())))?;
        Ok(Opened { node, committer })
    }

    /// A node whose committer has no thread: nothing is committed until the caller steps it. What waits for a commit
    /// waits meanwhile, so it must be on another thread or a task.
    pub fn assemble(
        config: Config,
        metrics: Telemetry,
        outside: Outside,
    ) -> Result<(Arc<Self>, Committer), OpenNodeError> {
        let Outside { clock, salts, disk } = outside;
        let base = catalogue_files(&config)?;
        let secrets = Keyring::open(&config.node.keys, &config.keys)?;
        let rules = Rules::first(&config, base, BTreeMap::new(), config.members.clone(), &secrets)
            .map_err(|e| OpenNodeError::Catalogue(e.to_string()))?;
        let dir = DataDir::open(&config.node.data)?;
        let log = open_log(&dir, &config.node.name, &secrets)?;
        let (queue, queue_state) = Queue::open(&dir, &secrets.at_rest(), config.storage.queue_cache_bytes)?;
        let queue_state = half_filled(&queue, queue_state);
        let referenced = match &queue_state {
            QueueState::Ready { applied } => Some(*applied),
            QueueState::Rebuild { .. } => None,
        };
        let options = Options {
            segment_bytes: config.storage.segment_bytes,
            referenced,
            log_size: log.synced_size(),
            adopt_rollback: config.storage.adopt_rollback,
            clock: WallClock::new(clock.milliseconds()),
            disk,
        };
        let (journal, reader, recovery) = Journal::open(&dir, &secrets.at_rest(), options)?;
        let marker = dir.path().join(RESTORED);
        let adopted = recovery.rolled_back.is_some() || marker.exists();
        let mut rebuilt = None;
        let (queue, mut state) = match queue_state {
            QueueState::Ready { applied } if !adopted => match catch_up(&reader, &queue, applied, &log) {
                Ok(state) => (queue, state),
                Err(OpenNodeError::Queue(why)) => {
                    rebuilt = Some(why);
                    drop(queue);
                    build(&dir, &secrets, &config, &reader, &log)?
                }
                Err(e) => return Err(e),
            },
            QueueState::Ready { .. } => {
                rebuilt = Some("an older journal was adopted".into());
                drop(queue);
                build(&dir, &secrets, &config, &reader, &log)?
            }
            QueueState::Rebuild { reason } => {
                rebuilt = Some(reason);
                drop(queue);
                build(&dir, &secrets, &config, &reader, &log)?
            }
        };
        if adopted {
            // What the journal has lost stays in the log: it was signed and shown. The new epoch goes on after it.
            state.meta.log_size = state.meta.log_size.max(log.size());
        }
        if state.meta.log_size == 0 {
            rebuilt = None;
        }
        if let Some(reason) = &rebuilt {
            tracing::warn!(reason, "the queue was built again from the journal");
        }
        let decided = super::decided::stored(&state, &queue, &reader).ok_or_else(|| {
            OpenNodeError::Queue("officers' decisions cannot be read; restore a backup".into())
        })?;
        let files = FileSet { members: config.members.clone(), ..FileSet::default() };
        let rules = rules
            .decided(&config, decided.policies, decided.trust.members(&files), &secrets)
            .map_err(|e| OpenNodeError::Catalogue(e.to_string()))?;
        let frontier = log.frontier();
        let shown = log.checkpoint().and_then(|note| epoch_of(&note)).unwrap_or(0);
        if log.size() < state.meta.log_size {
            return Err(OpenNodeError::Log(
                "the log files hold fewer entries than the journal accounts for; restore `log/` from a backup".into(),
            ));
        }
        let register = registered::open(&dir, &secrets.at_rest(), &reader, adopted)?;
        let acknowledgement_keys = acknowledgement_keys(&config)?;
        let origin = config.node.name.log_origin(state.meta.epoch.max(1));
        let checkpoint = Checkpoint { origin, size: frontier.size(), root: frontier.root() }
            .sign_with(&*secrets.log())
            .map_err(|_| KeyringError::Signing("the log's checkpoint"))?;
        // Entries that were filled in from the journal just now are synced at the first checkpoint, whether or not
        // anything is committed before: segments go only when their entries are in synced log files.
        let unsynced = log.synced_size() < log.size() && !adopted;
        let latest = unsynced.then(|| (frontier.size(), checkpoint.clone()));
        // A clock that was set back while the node was down is noticed by what the log says last.
        if let Some(moment) = log.size().checked_sub(1).and_then(|last| super::entries::moment(&log, last)) {
            clock.observe(moment);
        }
        let (jobs, receiver) = mpsc::unbounded_channel();
        let caps = Caps { records: config.limits.records, ..Caps::default() };
        let node = Arc::new(Node {
            name: config.node.name.clone(),
            id_key: secrets.record.id_key(),
            salts,
            rules: Arc::new(RwLock::new(Arc::new(rules))),
            adopting: Mutex::new(()),
            secrets,
            clock,
            metrics,
            caps,
            reader,
            log: RwLock::new(log),
            tombstones: RwLock::new(recalled(&queue)?),
            register,
            lineages: RwLock::new(lineages(&queue, revs::drawn(state.meta.rev_high))?),
            preparations: Preparations::default(),
            gate: Gate::default(),
            queue: RwLock::new(queue),
            revs: AtomicU64::new(revs::drawn(state.meta.rev_high)),
            epoch: AtomicU64::new(state.meta.epoch),
            state: RwLock::new(state),
            jobs,
            inflight: Mutex::new(HashMap::new()),
            sealing: Mutex::new(HashMap::new()),
            news: watch::Sender::new(0),
            acknowledging: Mutex::default(),
            older_policies: Mutex::default(),
            trouble: Mutex::new(Trouble { rebuilt, ..Trouble::default() }),
            letting_go: Mutex::new(LettingGo::default()),
            data_dir: dir,
            acknowledgement_keys: RwLock::new(acknowledgement_keys),
            checkpoint: RwLock::new(checkpoint),
            config,
        });
        let line = Line::new(receiver);
        let mut committer = Committer {
            node: node.clone(),
            journal,
            frontier,
            line,
            latest,
            put_back: None,
            order: CommitOrder::default(),
            dump: None,
            register_worker: None,
        };
        node.warn_of_shared_authorities();
        node.warn_of_read_as_scan();
        node.begin(&mut committer, adopted.then_some(shown));
        if adopted && node.trouble().failed.is_empty() {
            // The new epoch is durable; without the marker's removal another one would begin at the next start.
            let _ = std::fs::remove_file(&marker);
        }
        Ok((node, committer))
    }

    /// Opens an epoch if there is none, or if an older state was adopted, one that no checkpoint was ever `shown` of;
    /// notes what is in force. The committer is not running yet: it is stepped for each change.
    fn begin(&self, committer: &mut Committer, adopted: Option<u64>) {
        let epoch = self.epoch();
        if adopted.is_some() {
            // A restored node may have handed out revisions nobody remembers: leave a wide gap.
            self.revs.fetch_add(1 << 32, Ordering::SeqCst);
        }
        let mut commit = |change| {
            let mut committed = self.send_change(change, |_| true)?;
            committer.step();
            committed.try_recv().unwrap_or(Err(CommitError::Stopping)).map(drop)
        };
        let opened = match (epoch, adopted) {
            (0, None) => self.open_epoch(1, "first start", &mut commit),
            (n, Some(shown)) => self.open_epoch(n.max(shown) + 1, "an older state was put back", &mut commit),
            _ => Ok(()),
        };
        if opened.and_then(|()| self.note_configuration(&self.rules(), &mut commit)).is_err() {
            self.fail("journal.unwritable");
        }
    }

    /// Opens the log files again after a failed write or sync, and fills them from the journal. Only the committer
    /// calls it.
    pub(super) fn reopen_log(&self) -> Result<(), OpenNodeError> {
        let log = open_log(&self.data_dir, &self.name, &self.secrets)?;
        let mut fault = None;
        self.reader.replay(self.reader.before_log_index(log.size()), |frame| {
            if frame.log_entries.is_empty() {
                return ControlFlow::Continue(());
            }
            match log.append(frame.first_log_index, &frame.log_entries) {
                Ok(()) => ControlFlow::Continue(()),
                Err(e) => {
                    fault = Some(log_error(&e));
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(e) = fault {
            return Err(e);
        }
        *self.log.write() = log;
        self.recovered("log.write");
        Ok(())
    }

    /// Builds the queue again while running. Only the committer calls it: nothing else is written meanwhile.
    pub(super) fn rebuild(&self) -> Result<(), OpenNodeError> {
        let (queue, state) = build(&self.data_dir, &self.secrets, &self.config, &self.reader, &self.log())?;
        *self.tombstones.write() = recalled(&queue)?;
        self.epoch.store(state.meta.epoch, Ordering::Release);
        *self.state.write() = state;
        *self.queue.write() = queue;
        self.metrics.queue_rebuilt();
        Ok(())
    }
}

/// A queue that a crash left while it was filled from a snapshot is not whole, whatever it says.
fn half_filled(queue: &Queue, state: QueueState) -> QueueState {
    let (table, key) = snapshot::FILLING;
    match queue.get(table, key) {
        Ok(None) => state,
        _ => QueueState::Rebuild { reason: "an earlier rebuild was cut off".into() },
    }
}

fn open_log(dir: &DataDir, name: &NodeName, secrets: &Keyring) -> Result<LogFiles, OpenNodeError> {
    let jwks = secrets.jwks();
    let verify = |note: &str| {
        let open = VerifiedCheckpoint::open_with_jwks(note, name.as_str(), &jwks).ok()?;
        Some((open.checkpoint().size, open.checkpoint().root))
    };
    LogFiles::open(dir, verify).map_err(|e| log_error(&e))
}

fn log_error(e: &LogError) -> OpenNodeError {
    let said = e.explain();
    OpenNodeError::Log(format!("{}: {} {}", said.code(), said.english(), said.chinese()))
}

/// The epoch a checkpoint is of.
fn epoch_of(note: &str) -> Option<u64> {
    let checkpoint = Checkpoint::unauthenticated(note).ok()?;
    split_origin(&checkpoint.origin).map(|(_, epoch)| epoch)
}

/// What was taken of other nodes' records before this start is not remembered, only up to which rev.
fn lineages(queue: &Queue, drawn: u64) -> Result<Lineages, OpenNodeError> {
    let mut lineages = Lineages::default();
    for (key, value) in rows::all(queue, Table::Relay)? {
        let row: RelayRow = serde_json::from_slice(&value)
            .map_err(|_| OpenNodeError::Queue("the place of a relay cannot be read".into()))?;
        let key = String::from_utf8_lossy(&key);
        let Some((upstream, stream)) = key.split_once('\0') else { continue };
        let Ok(stream) = StreamId::parse(stream) else { continue };
        // Earlier versions did not note it; they followed every rev they took.
        lineages.taken_before(&UpstreamLane::new(upstream, &stream), row.highest.unwrap_or(drawn));
    }
    Ok(lineages)
}

/// Applies what the journal holds after the queue's position.
fn catch_up(
    reader: &Reader,
    queue: &Queue,
    applied: Position,
    log: &LogFiles,
) -> Result<State, OpenNodeError> {
    if !is_unbroken(reader, Some(applied.segment)) {
        return Err(OpenNodeError::Queue("the queue is older than what the journal still holds".into()));
    }
    let mut state = rows::load(queue)?;
    // The log files may be behind the queue after a power cut: their entries are read from further back.
    let from = if log.size() < state.meta.log_size {
        reader.before_log_index(log.size()).min(Some(applied))
    } else {
        Some(applied)
    };
    replay(reader, from, Some(applied), queue, &mut state, log)?;
    Ok(state)
}

/// Are all segments after this one there, or all there ever were? Numbers alone do not tell: some are left out when an
/// older journal is adopted.
fn is_unbroken(reader: &Reader, after: Option<u64>) -> bool {
    let mut before = after;
    reader.segments().iter().filter(|s| Some(s.segment) > after).all(|s| {
        let follows = s.previous == before;
        before = Some(s.segment);
        follows
    })
}

/// Builds the queue from nothing: from the newest whole snapshot, or from the beginning where that is still there.
fn build(
    dir: &DataDir,
    secrets: &Keyring,
    config: &Config,
    reader: &Reader,
    log: &LogFiles,
) -> Result<(Queue, State), OpenNodeError> {
    let queue = Queue::rebuild(dir, &secrets.at_rest(), config.storage.queue_cache_bytes)?;
    // Any segment may have been retired, not only the first ones.
    if is_unbroken(reader, None) {
        let mut state = State::default();
        replay(reader, None, None, &queue, &mut state, log)?;
        return Ok((queue, state));
    }
    let whole = snapshot::newest(reader)?.ok_or_else(|| {
        OpenNodeError::Queue(
            "the journal holds no whole snapshot to build the queue from; restore a backup".into(),
        )
    })?;
    whole.fill(reader, &queue)?;
    let mut state = rows::load(&queue)?;
    // Entries that the log files lack may stand before the snapshot.
    let from = reader.before_log_index(log.size()).min(Some(whole.at));
    replay(reader, from, Some(whole.at), &queue, &mut state, log)?;
    Ok((queue, state))
}

/// Replays frames after `from`. Log entries are taken from all of them, rows only from those after `applied`.
fn replay(
    reader: &Reader,
    from: Option<Position>,
    applied: Option<Position>,
    queue: &Queue,
    state: &mut State,
    log: &LogFiles,
) -> Result<(), OpenNodeError> {
    let mut fault: Option<OpenNodeError> = None;
    reader.replay(from, |frame| {
        let mut step = || -> Result<(), OpenNodeError> {
            if !frame.log_entries.is_empty() {
                log.append(frame.first_log_index, &frame.log_entries).map_err(|e| log_error(&e))?;
            }
            if applied.is_some_and(|a| frame.position <= a) || frame.kind != KIND_RECORD {
                return Ok(());
            }
            let (first, rest) = frame
                .items
                .split_first()
                .ok_or_else(|| OpenNodeError::Queue("a frame of the journal is empty".into()))?;
            let record: FrameRecord = serde_json::from_slice(&frame.read(first)?)
                .map_err(|_| OpenNodeError::Queue("a frame of the journal is of a newer version".into()))?;
            let items: Vec<Place> = rest.iter().map(|i| place(i.reference)).collect();
            let at = Applied { record: place(first.reference), items: &items };
            let kept = Kept { queue, reader };
            rows::apply_to(state, kept, &record, &at, frame.position, None)?;
            Ok(())
        };
        match step() {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                fault = Some(e);
                ControlFlow::Break(())
            }
        }
    })?;
    fault.map_or(Ok(()), Err)
}
