//! The committer: the one thread that writes. It gathers what is waiting into a group, signs one checkpoint over it,
//! appends one frame to the journal, and only when that is synced applies it to the queue and answers.

mod line;

pub(super) use line::Line;

use super::Node;
use super::commit_error::CommitError;
use super::order::Preparation;
use super::queue_fault::QueueFault;
use super::recalled::remember_recalls;
use super::rows;
use super::snapshot::{Dump, DumpFault, Written, part_bytes};
use crate::engine::places::place;
use crate::engine::space::FreeSpace;
use std::sync::Arc;
use tokio::sync::oneshot;
use xinqiao_evidence::merkle::{Frontier, GroupProofs, leaf_hash};
use xinqiao_evidence::tlog::{self, Checkpoint};
use xinqiao_exchange::event::{Event, FrameRecord};
use xinqiao_exchange::group::{Change, Group, Item, Kind, Ready};
use xinqiao_exchange::known::UpstreamLane;
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::op::Op;
use xinqiao_exchange::order::CommitOrder;
use xinqiao_exchange::secrets::RecordId;
use xinqiao_exchange::state::{Applied, Place};
use xinqiao_explain::Explain;
use xinqiao_store::{AppendError, Class, Frame, IdemEntry, Journal, RegisterWorker};

/// The tag of frames that hold a [`FrameRecord`].
pub(super) const KIND_RECORD: u8 = 1;

/// What the additional data of a frame record's encryption is.
pub(super) const RECORD_AAD: &[u8] = b"record";

const GROUP_JOBS: usize = 4_096;
const GROUP_ITEMS: usize = 8_000;
/// A group of so many bytes takes no more: whoever comes while it is written waits for that and little else.
const GROUP_BYTES: usize = 1 << 20;

/// Work for the committer.
pub(super) enum Job {
    /// A checked submission.
    Submission(Box<SubmissionJob>),
    /// A change of state.
    Change {
        /// The change.
        change: Change,
        /// Whether it is still right, asked when it is its turn.
        still: Box<dyn FnOnce(&xinqiao_exchange::state::State) -> bool + Send>,
        /// Told when it is durable.
        reply: oneshot::Sender<Result<Committed, CommitError>>,
    },
    /// Tells when everything before it is committed.
    Barrier {
        /// Told when its turn comes.
        reply: oneshot::Sender<()>,
    },
    /// Make everything so far cheap to start from.
    Checkpoint {
        /// Told when done.
        reply: oneshot::Sender<()>,
    },
    /// Wrap the keys of journal, evidence and queue by the current at-rest key.
    Rewrap {
        /// All at-rest keys.
        keys: xinqiao_store::AtRestKeys,
        /// Told how many were wrapped anew, or what failed.
        reply: oneshot::Sender<Result<usize, String>>,
    },
    /// Close the segment being written: what is in it can only go when nothing is added any more.
    Roll,
    /// Write all rows into the journal, so that older segments may go.
    Snapshot {
        /// Told when it is whole: other work goes on meanwhile.
        reply: oneshot::Sender<Result<Written, CommitError>>,
    },
    /// Stop, cleanly.
    Stop {
        /// Told when done.
        reply: oneshot::Sender<()>,
    },
}

/// A checked submission, waiting.
pub(super) struct SubmissionJob {
    /// What is to be written.
    pub(super) ready: Ready,
    /// The rules it was checked by.
    pub(super) rules: u64,
    /// Since when it is under way.
    pub(super) preparation: Preparation,
    /// It has its turn at the gate: the records claimed are its own.
    pub(super) in_turn: bool,
    /// Its idempotency key and fingerprint.
    pub(super) idempotency: Option<([u8; 16], [u8; 16])>,
    /// Told when it is durable.
    pub(super) reply: oneshot::Sender<Result<Committed, CommitError>>,
}

/// A place in the log, with what proves it.
pub struct Committed {
    /// Index in the log; of no meaning for changes without an entry.
    pub(super) index: u64,
    place: usize,
    group: Arc<CommittedGroup>,
}

struct CommittedGroup {
    proofs: Option<GroupProofs>,
    checkpoint: String,
}

impl Committed {
    /// The proof of the entry.
    pub(super) fn proof(&self) -> String {
        let mut out = String::new();
        if let Some(proofs) = &self.group.proofs {
            let hashes = proofs.proof(self.place).unwrap_or_default();
            tlog::write_log_proof(&mut out, self.index, &hashes, &self.group.checkpoint);
        }
        out
    }
}

/// The one writer of journal, queue and log: on a thread of its own, or stepped by hand.
pub struct Committer {
    pub(super) node: Arc<Node>,
    pub(super) journal: Journal,
    pub(super) frontier: Frontier,
    pub(super) line: Line,
    /// The newest checkpoint and its size.
    pub(super) latest: Option<(u64, String)>,
    /// A job that could not be part of the group before it.
    pub(super) put_back: Option<Job>,
    /// What was committed of which record while submissions are under way.
    pub(super) order: CommitOrder,
    /// Writes the register behind the commits; none if the node is driven by hand.
    pub(super) register_worker: Option<RegisterWorker>,
    /// A snapshot under way, and who waits for it.
    pub(super) dump: Option<(Dump, oneshot::Sender<Result<Written, CommitError>>)>,
}

/// What waits for the frame to be durable.
enum Waiting {
    Entry { index: u64, reply: oneshot::Sender<Result<Committed, CommitError>> },
    Plain { reply: oneshot::Sender<Result<Committed, CommitError>> },
}

/// What a step of the committer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Something was done.
    Done,
    /// Nothing is waiting.
    Idle,
    /// Told to stop, or nobody is left who could send work.
    Stopped,
}

impl Committer {
    /// Runs until told to stop.
    pub(super) fn run(mut self) {
        while self.step_or(Line::wait) != Step::Stopped {}
    }

    /// Does what is next and does not wait for it: one group, one other job, or one part of a snapshot. For whoever
    /// drives a node by hand; what is done, and in what order, is the same as on the committer's own thread.
    pub fn step(&mut self) -> Step {
        self.step_or(Line::next)
    }

    /// One step; `wait` is asked for the next job when there is nothing else to do.
    fn step_or(&mut self, wait: fn(&mut Line) -> Option<Job>) -> Step {
        // A part of the snapshot between two groups: whoever waits, waits for one part and not for all.
        let dumping = self.dump.is_some();
        self.dump_on();
        let next =
            self.put_back.take().or_else(|| if dumping { self.line.next() } else { wait(&mut self.line) });
        let Some(job) = next else {
            return match dumping {
                true => Step::Done,
                false if self.line.is_closed() => Step::Stopped,
                false => Step::Idle,
            };
        };
        match job {
            Job::Barrier { reply } => {
                let _ = reply.send(());
            }
            Job::Checkpoint { reply } => {
                self.checkpoint();
                let _ = reply.send(());
            }
            Job::Rewrap { keys, reply } => {
                let _ = reply.send(self.rewrap(&keys));
            }
            Job::Roll => self.journal.roll(),
            Job::Snapshot { reply } => self.begin_dump(reply),
            Job::Stop { reply } => {
                self.stop();
                let _ = reply.send(());
                return Step::Stopped;
            }
            first => self.put_back = self.group(first),
        }
        Step::Done
    }

    /// Jobs that were sent and not looked at yet.
    #[cfg(test)]
    pub(in crate::engine) fn unseen(&self) -> usize {
        self.line.unseen()
    }

    fn stop(&mut self) {
        self.give_up_dump(CommitError::Stopping);
        self.checkpoint();
        self.node.metrics_stopping();
        self.register_worker = None;
        if let Err(e) = self.node.register.flush() {
            self.node.register_failed(&e);
        }
        if let Err(e) = self.journal.close() {
            tracing::error!(kind = ?e.kind(), "the journal did not close cleanly; the next start reads it again");
        }
    }

    /// Commits one group that begins with this job. A job that cannot be part of a group is handed back.
    fn group(&mut self, first: Job) -> Option<Job> {
        let node = self.node.clone();
        let state = node.state.read();
        let current = |s: &StreamId| state.streams.get(s).and_then(|h| h.descriptions.last().cloned());
        let mut group = Group::new(state.meta.epoch, state.meta.log_size, &current);
        let mut waiting = Vec::new();
        let mut idempotency = Vec::new();
        let mut next = Some(first);
        let mut put_back = None;
        let mut taken = 0;
        let number = node.preparations.next_group();
        let mut taken_from_others = Vec::new();
        // They stay under way until the frame is durable: whoever waits for them waits for what they wrote.
        let mut under_way = Vec::new();
        let free_space = node.free_space();
        while let Some(job) = next {
            match job {
                Job::Submission(job) => {
                    let job = *job;
                    if free_space < FreeSpace::Enough {
                        let _ = job.reply.send(Err(node.disk_full()));
                    } else if job.rules != node.rules().number || self.is_stale(&job) {
                        let _ = job.reply.send(Err(CommitError::Stale));
                    } else {
                        let SubmissionJob { ready, preparation, idempotency: idem, reply, .. } = job;
                        under_way.push(preparation);
                        self.order.note(number, &ready.prepared.touched);
                        note_taken(&ready, &mut taken_from_others);
                        let index = group.submission(ready);
                        if let Some((key, print)) = idem {
                            idempotency.push(IdemEntry { key, value: rows::idem_value(&print, index) });
                        }
                        waiting.push(Waiting::Entry { index, reply });
                    }
                }
                Job::Change { change, still, reply } => {
                    if free_space == FreeSpace::Gone {
                        let _ = reply.send(Err(node.disk_full()));
                    } else if !still(&state) {
                        let _ = reply.send(Err(CommitError::Overtaken));
                    } else {
                        waiting.push(match group.change(change) {
                            Some(index) => Waiting::Entry { index, reply },
                            None => Waiting::Plain { reply },
                        });
                    }
                }
                other => {
                    put_back = Some(other);
                    break;
                }
            }
            taken += 1;
            let (items, bytes) = group.weight();
            if taken >= GROUP_JOBS || items >= GROUP_ITEMS || bytes >= GROUP_BYTES {
                break;
            }
            next = self.line.next();
        }
        let frame = group.finish();
        drop(state);
        if !waiting.is_empty() {
            self.write(frame, &idempotency, (number, &taken_from_others), waiting);
        }
        node.preparations.group_ended(number);
        drop(under_way);
        self.order.forget(node.preparations.oldest());
        put_back
    }

    /// Was something about one of its records committed after its preparation began, before this group or in it, that it
    /// may not be committed behind? Or does a submission that has its turn claim one of them?
    fn is_stale(&self, job: &SubmissionJob) -> bool {
        let (after, prepared) = (job.preparation.after(), &job.ready.prepared);
        if self.order.is_overtaken(after, &prepared.touched, &prepared.names) {
            return true;
        }
        let gate = &self.node.gate;
        if job.in_turn {
            // Nobody else's operation on a claimed record was let through since, so nothing can be forgotten of it.
            self.order.has_forgotten(after) && !gate.claims_all(prepared)
        } else {
            self.order.has_forgotten(after) || gate.claims_any(prepared)
        }
    }

    fn write(
        &mut self,
        frame: xinqiao_exchange::group::Frame,
        idempotency: &[IdemEntry],
        (number, taken_from_others): (u64, &[Taken]),
        waiting: Vec<Waiting>,
    ) {
        let node = self.node.clone();
        let xinqiao_exchange::group::Frame { mut record, items, entries } = frame;
        record.rev_high = node.revs.load(std::sync::atomic::Ordering::SeqCst);
        // The frame that opens an epoch belongs to it: its checkpoint is the first under the new origin.
        if let Some(opened) = record.events.iter().find_map(|e| match e {
            Event::Epoch { epoch } => Some(*epoch),
            _ => None,
        }) {
            record.epoch = opened;
        }
        let proofs = (!entries.is_empty()).then(|| {
            let leaves: Vec<_> = entries.iter().map(|e| leaf_hash(e)).collect();
            GroupProofs::new(&self.frontier, &leaves)
        });
        if let Some(p) = &proofs {
            let checkpoint =
                Checkpoint { origin: node.name.log_origin(record.epoch), size: p.size(), root: p.root() };
            match checkpoint.sign_with(&*node.secrets.log()) {
                Ok(note) => record.checkpoint = note,
                Err(_) => return refuse(waiting, node.unsigned()),
            }
        }
        let placed = match self.append(&record, &items, &entries, idempotency) {
            Ok(placed) => placed,
            Err(e) => {
                let why = explain(&e);
                node.append_failed(why);
                tracing::error!(code = e.explain().code(), "{}", e.explain().english());
                return refuse(waiting, why);
            }
        };
        node.append_succeeded();
        self.durable(&record, &items, &placed, &entries, (number, taken_from_others));
        let first = record.first_index;
        let checkpoint = record.checkpoint;
        if let Some(p) = &proofs {
            self.frontier = p.frontier().clone();
            self.latest = Some((p.size(), checkpoint.clone()));
            *node.checkpoint.write() = checkpoint.clone();
        }
        let group = Arc::new(CommittedGroup { proofs, checkpoint });
        for w in waiting {
            let (index, reply) = match w {
                Waiting::Entry { index, reply } => (index, reply),
                Waiting::Plain { reply } => (first, reply),
            };
            let place = (index - first) as usize;
            let _ = reply.send(Ok(Committed { index, place, group: group.clone() }));
        }
        node.news.send_modify(|n| *n += 1);
    }

    fn append(
        &mut self,
        record: &FrameRecord,
        items: &[Item],
        entries: &[Vec<u8>],
        idempotency: &[IdemEntry],
    ) -> Result<xinqiao_store::Appended, AppendError> {
        let text = serde_json::to_vec(record).expect("records have string keys and no floats");
        let mut all = Vec::with_capacity(items.len() + 1);
        all.push(xinqiao_store::Item { class: Class::Event, aad: RECORD_AAD, bytes: &text });
        all.extend(items.iter().map(|i| xinqiao_store::Item {
            class: match i.kind {
                Kind::Evidence => Class::Evidence,
                Kind::Payload => Class::Payload,
            },
            aad: &i.aad,
            bytes: &i.bytes,
        }));
        let log_entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let frame = Frame {
            kind: KIND_RECORD,
            items: &all,
            idempotency,
            log_entries: &log_entries,
            first_log_index: record.first_index,
        };
        let began = std::time::Instant::now();
        let appended = self.journal.append(&frame);
        self.node.metrics_sync(began.elapsed(), entries.len());
        appended
    }

    /// The frame is durable: make it count.
    fn durable(
        &mut self,
        record: &FrameRecord,
        items: &[Item],
        placed: &xinqiao_store::Appended,
        entries: &[Vec<u8>],
        (number, taken_from_others): (u64, &[Taken]),
    ) {
        let node = &self.node.clone();
        remember_recalls(node, record);
        node.register_frame(record, items, placed.position);
        if !taken_from_others.is_empty() {
            let mut lineages = node.lineages.write();
            taken_from_others.iter().for_each(|(from, id, op, rev)| lineages.note(from, *id, *op, *rev));
        }
        // Behind all of them: whoever begins to prepare a submission from here on knows of this group.
        node.preparations.group_ended(number);
        let places: Vec<Place> = placed.items.iter().map(|i| place(*i)).collect();
        let applied = Applied { record: places[0], items: &places[1..] };
        // The log before the rows: whoever finds a row may ask for the proof of its entry at once.
        let refs: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        if let Err(e) = node.log().append(record.first_index, &refs) {
            node.log_fault(&e);
        }
        let dump = self.dump.as_mut().map(|(dump, _)| dump);
        if let Err(fault) = rows::apply(node, record, &applied, placed.position, dump) {
            self.queue_lost(fault);
        }
    }

    /// The queue is not what the journal adds up to: build it again from the journal.
    fn queue_lost(&mut self, fault: QueueFault) {
        // What it put by belongs to rows that are gone.
        self.give_up_dump(CommitError::Unavailable);
        tracing::error!(%fault, "the queue was lost; it is rebuilt from the journal");
        match self.node.rebuild() {
            Ok(()) => self.node.recovered("queue.lost"),
            Err(e) => {
                tracing::error!(error = %e, "the queue could not be rebuilt; tried again at the next checkpoint");
                self.node.fail("queue.lost");
            }
        }
    }

    /// Log files first: what the queue says is applied must never be ahead of them by more than the journal holds.
    fn checkpoint(&mut self) {
        let node = &self.node;
        if node.free_space() == FreeSpace::Gone {
            return;
        }
        if let Some((size, note)) = &self.latest
            && let Err(e) = node.log().sync(*size, note)
        {
            node.log_fault(&e);
            match node.reopen_log() {
                Ok(()) => tracing::info!("the log files were opened again and filled from the journal"),
                Err(e) => {
                    tracing::error!(error = %e, "the log files cannot be opened again yet; tried at the next checkpoint")
                }
            }
            return;
        }
        let queue = node.queue();
        if let Err(e) = queue.checkpoint() {
            self.queue_lost(QueueFault::from(e));
        }
    }

    /// May be repeated; the older at-rest keys are needed until it succeeds.
    fn rewrap(&self, keys: &xinqiao_store::AtRestKeys) -> Result<usize, String> {
        let count = self.journal.rewrap(keys).map_err(|e| e.explain().code().to_owned())?;
        let queue = self.node.queue().rewrap(keys).map_err(|e| e.explain().code().to_owned())?;
        self.node.register.rewrap(keys).map_err(|e| e.explain().code().to_owned())?;
        Ok(count + usize::from(queue) + 1)
    }

    fn begin_dump(&mut self, reply: oneshot::Sender<Result<Written, CommitError>>) {
        let node = self.node.clone();
        self.give_up_dump(CommitError::Overtaken);
        if node.free_space() < FreeSpace::Enough {
            let _ = reply.send(Err(node.disk_full()));
            return;
        }
        let log_index = node.state.read().meta.log_size;
        match Dump::begin(&mut self.journal, log_index, part_bytes(node.config.storage.segment_bytes)) {
            Ok(dump) => {
                let begin = dump.position();
                self.dump = Some((dump, reply));
                self.applied(begin);
            }
            Err(e) => {
                let _ = reply.send(Err(explain(&e)));
            }
        }
    }

    /// Writes the next part of the snapshot under way.
    fn dump_on(&mut self) {
        let Some((dump, _)) = &mut self.dump else { return };
        let node = self.node.clone();
        if node.free_space() == FreeSpace::Gone {
            return self.give_up_dump(node.disk_full());
        }
        match dump.step(&node.queue(), &mut self.journal) {
            Ok((at, written)) => {
                self.applied(at);
                if let Some(written) = written
                    && let Some((_, reply)) = self.dump.take()
                {
                    let _ = reply.send(Ok(written));
                }
            }
            Err(DumpFault::Append(e)) => {
                tracing::error!(
                    code = e.explain().code(),
                    "a snapshot was given up: {}",
                    e.explain().english()
                );
                self.give_up_dump(explain(&e));
            }
            Err(DumpFault::Queue(fault)) => self.queue_lost(fault),
        }
    }

    /// What is written of it so far counts for nothing.
    fn give_up_dump(&mut self, why: CommitError) {
        if let Some((_, reply)) = self.dump.take() {
            let _ = reply.send(Err(why));
        }
    }

    /// Notes that a frame without rows is applied.
    fn applied(&mut self, at: xinqiao_store::Position) {
        if let Err(fault) = rows::mark_applied(&self.node.clone(), at) {
            self.queue_lost(fault);
        }
    }
}

fn refuse(waiting: Vec<Waiting>, why: CommitError) {
    for w in waiting {
        let (Waiting::Entry { reply, .. } | Waiting::Plain { reply }) = w;
        let _ = reply.send(Err(why));
    }
}

/// A line that was taken from another node as the newest of its record: its lane, operation, and rev there.
type Taken = (UpstreamLane, RecordId, Op, u64);

/// Notes what a submission that joins the group takes from another node.
fn note_taken(ready: &Ready, taken: &mut Vec<Taken>) {
    let from = ready.also.iter().find_map(|event| match event {
        Event::Relayed { upstream, stream, .. } => {
            Some(UpstreamLane::new(upstream, &StreamId::parse(stream).ok()?))
        }
        _ => None,
    });
    if let Some(from) = from {
        let newest = ready.prepared.touched.iter().filter(|t| t.origin != 0);
        taken.extend(newest.map(|t| (from.clone(), t.id, t.op, t.origin)));
    }
}

fn explain(e: &AppendError) -> CommitError {
    match e {
        AppendError::Full(_) => CommitError::DiskFull,
        AppendError::OutcomeUnknown(_) => CommitError::OutcomeUnknown,
        AppendError::Unavailable(_) | AppendError::TooLarge | AppendError::Fenced => CommitError::Unavailable,
    }
}
