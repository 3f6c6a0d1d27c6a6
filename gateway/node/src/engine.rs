//! The node: the exchange domain run against the journal, the queue and the log. Requests come in from the API,
//! everything that changes goes through the committer, everything that is read comes from rows and the journal.

pub mod acknowledge;
pub mod archive;
mod commit_error;
mod committer;
mod decided;
mod documents;
mod ends;
pub mod entries;
mod follow;
#[cfg(test)]
mod hand;
mod idempotency;
mod index;
mod kept;
mod keys;
mod leaving;
pub mod logged;
pub mod maintenance;
mod manifests;
pub mod offer;
mod open;
mod open_error;
mod order;
mod pieces;
pub(crate) mod places;
mod published;
mod queue_fault;
mod recalled;
mod registered;
pub mod relayed;
mod release;
mod rows;
pub mod rules;
pub mod seal;
pub mod serve;
mod snapshot;
mod space;
pub mod submit;
pub mod telemetry;
pub mod trace;
pub mod views;

pub use commit_error::CommitError;
pub use committer::{Committed, Committer, Step};
pub use documents::DOCUMENT_AAD;
pub use open::{Opened, Outside, RESTORED, Salts, catalogue};
pub use open_error::OpenNodeError;
pub use release::Overdue;
pub use rules::{Rules, RulesError, recipients};

use crate::config::Config;
use crate::keyring::Keyring;
use committer::Job;
use order::{Gate, Preparations};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use release::LettingGo;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use telemetry::Telemetry;
use tokio::sync::{mpsc, oneshot, watch};
use xinqiao_crypto::MacKey;
use xinqiao_evidence::keys::Jwks;
use xinqiao_exchange::group::Change;
use xinqiao_exchange::known::Lineages;
use xinqiao_exchange::names::{NodeName, StreamId};
use xinqiao_exchange::state::{State, StreamRow};
use xinqiao_exchange::tombstones::Tombstones;
use xinqiao_runtime::clock::Clock;
use xinqiao_schemas::{Caps, Date, Policy};
use xinqiao_store::{LogFiles, Queue, Reader, Register};

/// A running node.
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its configuration.
    pub config: Config,
    /// Its keys.
    pub secrets: Keyring,
    /// Time.
    pub clock: Clock,
    /// Telemetry.
    pub metrics: Telemetry,
    pub(crate) caps: Caps,
    rules: Arc<RwLock<Arc<Rules>>>,
    adopting: Mutex<()>,
    /// Authenticates submission ids, and names idempotency keys.
    id_key: MacKey,
    /// Draws the salt of a submission's digests.
    salts: Salts,
    reader: Reader,
    queue: RwLock<Queue>,
    log: RwLock<LogFiles>,
    state: RwLock<State>,
    /// The state's epoch: every submission asks for it, and the state is locked while the queue is written.
    epoch: AtomicU64,
    tombstones: RwLock<Tombstones>,
    /// What is known of every record.
    register: Arc<Register>,
    /// The newest lines taken from other nodes.
    lineages: RwLock<Lineages>,
    revs: AtomicU64,
    preparations: Preparations,
    gate: Gate,
    jobs: mpsc::UnboundedSender<Job>,
    inflight: Mutex<HashMap<[u8; 16], watch::Receiver<()>>>,
    sealing: Mutex<HashMap<StreamId, Arc<Mutex<()>>>>,
    news: watch::Sender<u64>,
    /// Per stream, held while an answer is looked at and committed.
    acknowledging: Mutex<HashMap<StreamId, Arc<tokio::sync::Mutex<()>>>>,
    trouble: Mutex<Trouble>,
    /// What maintenance remembers of segments it could not let go yet.
    letting_go: Mutex<LettingGo>,
    data_dir: xinqiao_store::DataDir,
    /// Policies that lines were made under and that are in force no longer, by the digest of their document.
    older_policies: Mutex<HashMap<String, Arc<Policy>>>,
    /// Keys recipients sign their answers with.
    acknowledgement_keys: RwLock<BTreeMap<String, Jwks>>,
    /// The newest durable checkpoint.
    checkpoint: RwLock<String>,
}

/// What keeps the node from being ready.
#[derive(Debug, Default, Clone)]
pub struct Trouble {
    /// Found for good: the node needs a person.
    pub failed: Vec<&'static str>,
    /// The latest failure to append, cleared by the next success.
    pub append: Option<CommitError>,
    /// Streams whose recipient has seen more than this node knows of.
    pub ahead: std::collections::BTreeSet<String>,
    /// The queue was rebuilt at this start, for this reason.
    pub rebuilt: Option<String>,
}

impl Node {
    /// The head of a stream.
    pub fn head(&self, stream: &StreamId) -> Option<StreamRow> {
        self.state.read().streams.get(stream).cloned()
    }

    /// All heads.
    pub fn heads(&self) -> Vec<(StreamId, StreamRow)> {
        self.state.read().streams.iter().map(|(s, h)| (s.clone(), h.clone())).collect()
    }

    /// What the rows add up to. Hold it briefly: nothing is committed while it is held.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// Reads items of the journal.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Today's business date: +08:00 whatever the host says.
    pub fn business_date(&self) -> Date {
        Date::business_day(self.clock.now())
    }

    /// The current epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Entries in the log.
    pub fn log_size(&self) -> u64 {
        self.state.read().meta.log_size
    }

    /// What troubles the node.
    pub fn trouble(&self) -> Trouble {
        self.trouble.lock().clone()
    }

    /// Returns when everything that was sent to the committer before is committed. Blocks.
    pub(crate) fn barrier(&self) -> Result<(), CommitError> {
        let (reply, response) = oneshot::channel();
        self.jobs.send(Job::Barrier { reply }).map_err(|_| CommitError::Stopping)?;
        response.blocking_recv().map_err(|_| CommitError::Stopping)
    }

    /// The same for whoever may not block.
    async fn passed(&self) -> Result<(), CommitError> {
        let (reply, response) = oneshot::channel();
        self.jobs.send(Job::Barrier { reply }).map_err(|_| CommitError::Stopping)?;
        response.await.map_err(|_| CommitError::Stopping)
    }

    pub(crate) fn next_rev(&self) -> u64 {
        // No overflow however long it lives: `xinqiao_exchange::revs` bounds what it begins with and follows.
        self.revs.fetch_add(1, Ordering::SeqCst).saturating_add(1)
    }

    /// Draws the rev that this function makes of the last one; it must be a later one.
    pub(crate) fn leap_rev(&self, next: &dyn Fn(u64) -> u64) -> u64 {
        let leap = |last| Some(next(last));
        match self.revs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, leap) {
            Ok(last) | Err(last) => next(last),
        }
    }

    pub(crate) fn observe_rev(&self, rev: u64) {
        self.revs.fetch_max(rev, Ordering::SeqCst);
    }

    /// Waits for anything to be committed after this call.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The rows, as they are now.
    pub fn queue(&self) -> Queue {
        self.queue.read().clone()
    }

    /// Segments of the journal.
    pub fn segments(&self) -> Vec<xinqiao_store::SegmentStats> {
        self.reader.segments()
    }

    /// Rows in the queue.
    pub fn queued_rows(&self) -> u64 {
        self.queue().rows()
    }

    /// Commits a change, if it is still right when its turn comes.
    pub async fn change(
        &self,
        change: Change,
        still: impl FnOnce(&State) -> bool + Send + 'static,
    ) -> Result<Committed, CommitError> {
        self.send_change(change, still)?.await.unwrap_or(Err(CommitError::Stopping))
    }

    /// The same from a thread that may block.
    pub fn change_blocking(
        &self,
        change: Change,
        still: impl FnOnce(&State) -> bool + Send + 'static,
    ) -> Result<Committed, CommitError> {
        self.send_change(change, still)?.blocking_recv().unwrap_or(Err(CommitError::Stopping))
    }

    fn send_change(
        &self,
        change: Change,
        still: impl FnOnce(&State) -> bool + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<Committed, CommitError>>, CommitError> {
        let (reply, response) = oneshot::channel();
        let job = Job::Change { change, still: Box::new(still), reply };
        self.jobs.send(job).map_err(|_| CommitError::Stopping)?;
        Ok(response)
    }

    /// Finishes what was begun, writes what makes the next start quick, and stops writing.
    pub async fn stop(&self) {
        let (reply, response) = oneshot::channel();
        if self.jobs.send(Job::Stop { reply }).is_ok() {
            let _ = response.await;
        }
    }

    fn append_failed(&self, why: CommitError) {
        self.metrics.commit_failed();
        self.trouble.lock().append = Some(why);
    }

    fn append_succeeded(&self) {
        let mut trouble = self.trouble.lock();
        if trouble.append.take().is_some() {
            tracing::info!("the journal takes records again");
        }
    }

    /// Notes trouble; false if it was known.
    fn fail(&self, code: &'static str) -> bool {
        let mut trouble = self.trouble.lock();
        let new = !trouble.failed.contains(&code);
        if new {
            trouble.failed.push(code);
        }
        new
    }

    /// The log files.
    pub fn log(&self) -> LogFiles {
        self.log.read().clone()
    }

    fn recovered(&self, code: &'static str) {
        self.trouble.lock().failed.retain(|c| *c != code);
    }

    fn log_fault(&self, e: &xinqiao_store::LogError) {
        tracing::error!(error = %e, "the log files could not be written; the journal keeps the entries");
        self.fail("log.write");
    }

    fn metrics_sync(&self, took: std::time::Duration, entries: usize) {
        self.metrics.commit_group(entries as u64, took.as_secs_f64());
    }

    fn metrics_stopping(&self) {
        tracing::info!("stopping: the journal is closed");
    }
}
