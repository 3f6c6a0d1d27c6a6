//! What is being prepared, and whose turn it is to be prepared undisturbed. With what was committed lately
//! (`xinqiao_exchange::order`) it makes the order of revs of a record the order of its commits.
//!
//! A preparation is under way from before it looks at anything until it is committed or given up. What was committed
//! before the oldest of them began need not be remembered. A submission that was overtaken twice takes its turn at the gate:
//! it claims its records, and until it is committed everyone else's submissions about them are sent back.

use super::Node;
use super::commit_error::CommitError;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedMutexGuard;
use xinqiao_exchange::accept::Prepared;
use xinqiao_exchange::secrets::RecordId;

/// Times a submission is prepared before it takes its turn at the gate.
const BEFORE_ITS_TURN: usize = 2;
/// Times it is prepared at most: with its turn only a change of the rules can make it stale again.
const ATTEMPTS: usize = 8;

/// All preparations under way.
#[derive(Default)]
pub(super) struct Preparations(Arc<Shared>);

#[derive(Default)]
struct Shared {
    under_way: Mutex<UnderWay>,
    /// One that began before others has ended.
    ended: Condvar,
}

#[derive(Default)]
struct UnderWay {
    /// Groups that ended since the process began.
    groups: u64,
    /// Preparations begun.
    begun: u64,
    /// Those under way, in the order they began: the last group committed before each.
    after: BTreeMap<u64, u64>,
}

/// A preparation under way, until it is dropped. Begun before anything is looked at: what was committed up to
/// [`Preparation::after`] it knows of, and revs it draws are above all of those.
pub(super) struct Preparation {
    shared: Arc<Shared>,
    number: u64,
    after: u64,
}

impl Preparations {
    /// Begins one.
    pub(super) fn begin(&self) -> Preparation {
        let mut under_way = self.0.under_way.lock();
        under_way.begun += 1;
        let (number, after) = (under_way.begun, under_way.groups);
        under_way.after.insert(number, after);
        Preparation { shared: self.0.clone(), number, after }
    }

    /// The number of the group that is being made. Only the committer asks.
    pub(super) fn next_group(&self) -> u64 {
        self.0.under_way.lock().groups + 1
    }

    /// This group is committed, and everything that is looked at when a submission is prepared knows of it; or it came to
    /// nothing.
    pub(super) fn group_ended(&self, number: u64) {
        self.0.under_way.lock().groups = number;
    }

    /// The last group that every preparation under way knows of.
    pub(super) fn oldest(&self) -> u64 {
        let under_way = self.0.under_way.lock();
        under_way.after.first_key_value().map_or(under_way.groups, |(_, after)| *after)
    }

    /// Waits until every preparation that is under way now is committed or given up; false if that takes too long. Blocks;
    /// never on the committer's thread.
    pub(super) fn wait_for_those_under_way(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut under_way = self.0.under_way.lock();
        let last = under_way.begun;
        while under_way.after.first_key_value().is_some_and(|(number, _)| *number <= last) {
            if self.0.ended.wait_until(&mut under_way, until).timed_out() {
                return false;
            }
        }
        true
    }
}

impl Preparation {
    /// The last group committed when it began.
    pub(super) fn after(&self) -> u64 {
        self.after
    }
}

impl Drop for Preparation {
    fn drop(&mut self) {
        self.shared.under_way.lock().after.remove(&self.number);
        self.shared.ended.notify_all();
    }
}

/// One submission at a time is prepared undisturbed.
#[derive(Default)]
pub(super) struct Gate {
    turn: Arc<tokio::sync::Mutex<()>>,
    claimed: Mutex<HashSet<RecordId>>,
}

/// A turn at the gate. The claim ends with it.
struct Turn<'n> {
    node: &'n Node,
    _turn: OwnedMutexGuard<()>,
}

impl Gate {
    /// Does another submission claim one of the records this is about?
    pub(super) fn claims_any(&self, prepared: &Prepared) -> bool {
        let claimed = self.claimed.lock();
        !claimed.is_empty() && prepared.concerns().any(|id| claimed.contains(&id))
    }

    /// Are all of these records claimed?
    pub(super) fn claims_all(&self, prepared: &Prepared) -> bool {
        let claimed = self.claimed.lock();
        prepared.concerns().all(|id| claimed.contains(&id))
    }
}

impl Node {
    /// Waits for a turn at the gate, in the order of asking.
    async fn turn(&self) -> Turn<'_> {
        Turn { node: self, _turn: self.gate.turn.clone().lock_owned().await }
    }
}

impl Turn<'_> {
    /// Claims records, besides those claimed before; returns when whatever touches them and was let through before is
    /// committed. A preparation that begins then cannot be overtaken.
    async fn claim(&self, records: Vec<RecordId>) -> Result<(), CommitError> {
        self.node.gate.claimed.lock().extend(records);
        self.node.passed().await
    }
}

/// The attempts to commit one submission.
pub(super) struct Attempts<'n> {
    node: &'n Node,
    begun: usize,
    turn: Option<Turn<'n>>,
    /// The records the last one was about, as far as a turn has to know.
    touched: Vec<RecordId>,
}

impl<'n> Attempts<'n> {
    pub(super) fn new(node: &'n Node) -> Self {
        Self { node, begun: 0, turn: None, touched: Vec::new() }
    }

    /// Begins the next one, once it is its turn if those before were in vain; false if there were enough.
    ///
    /// # Errors
    /// The node is stopping.
    pub(super) async fn next(&mut self) -> Result<bool, CommitError> {
        if self.begun >= BEFORE_ITS_TURN {
            let turn = match self.turn.take() {
                Some(turn) => turn,
                None => self.node.turn().await,
            };
            turn.claim(std::mem::take(&mut self.touched)).await?;
            self.turn = Some(turn);
        }
        self.begun += 1;
        Ok(self.begun <= ATTEMPTS)
    }

    /// Is it the first?
    pub(super) fn is_first(&self) -> bool {
        self.begun == 1
    }

    /// What this one is about.
    pub(super) fn prepared(&mut self, prepared: &Prepared) {
        if self.begun >= BEFORE_ITS_TURN {
            self.touched = prepared.concerns().collect();
        }
    }

    /// Has it its turn?
    pub(super) fn in_turn(&self) -> bool {
        self.turn.is_some()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.node.gate.claimed.lock() = HashSet::new();
    }
}
