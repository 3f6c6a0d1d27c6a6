//! What a node knows of a record when a submission about it is prepared.

use crate::names::{Lane, StreamId};
use crate::op::Op;
use crate::secrets::RecordId;
use std::collections::HashMap;
use std::sync::Arc;

/// What is known of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The rev at which it was recalled, if it is: of another node's record that node's rev, else this node's.
    pub recalled: Option<u64>,
    /// Of another node's record, the newest line that was taken.
    pub newest: Newest,
}

/// The newest lines of another node's record that were taken, by the revs they had there. Whether a record stands and how,
/// puts, withdrawals and repairs say alone: a dispute that was quicker than the put it is about does not make that old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// The newest put, withdrawal or repair; 0 if none is remembered.
    pub state: u64,
    /// The newest of all; 0 if none is remembered.
    pub any: u64,
    /// A line up to this rev may have been taken after a newer one that is not remembered.
    pub forgotten: u64,
}

/// Whether a line of another node is newer than those that were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// It is.
    Newer,
    /// It is not: it came through the slower lane, or twice.
    Older,
    /// Nothing is remembered that says so.
    Unknown,
}

impl Newest {
    /// Is a line newer?
    pub fn age(&self, op: Op, rev: u64) -> Age {
        match if says_state(op) { self.state } else { self.any } {
            0 if rev <= self.forgotten => Age::Unknown,
            newest if rev <= newest => Age::Older,
            _ => Age::Newer,
        }
    }

    /// Takes a line up.
    pub fn raise(&mut self, op: Op, rev: u64) {
        self.any = rev.max(self.any);
        if says_state(op) {
            self.state = rev.max(self.state);
        }
    }
}

fn says_state(op: Op) -> bool {
    op == Op::Put || op.is_recall()
}

impl Known {
    /// Of a record of another node: a recall that stands is remembered by its own row, and nothing newer was taken since.
    pub fn of_another_node(recalled: Option<u64>, mut newest: Newest) -> Self {
        if let Some(recall) = recalled {
            newest.raise(Op::Withdraw, recall);
        }
        Self { recalled, newest }
    }

    /// Of a record of this node's own sources.
    pub fn of_own(recalled: Option<u64>) -> Self {
        Self { recalled, newest: Newest::default() }
    }
}

/// Records of one generation: two of them take at most some 20 MB.
const GENERATION: usize = 1 << 17;

/// The newest lines taken from other nodes, for as many records as were taken last in this process.
///
/// Of a record that is not remembered the daily lane brings the newest line: it does not wait behind anything. A line of the history lane
/// may have waited while a newer one came through the daily lane; of those the highest rev is known for good.
pub struct Lineages {
    young: Generation,
    old: Generation,
    /// By upstream and dataset: the highest rev of a daily line that may not be remembered.
    forgotten: HashMap<Arc<str>, u64>,
    generation: usize,
}

#[derive(Default)]
struct Generation {
    newest: HashMap<RecordId, Newest>,
    /// By upstream and dataset: the highest rev of a daily line.
    highest: HashMap<Arc<str>, u64>,
}

/// Where lines come from: the lane of a dataset of an upstream.
#[derive(Clone)]
pub struct UpstreamLane {
    upstream_and_dataset: Arc<str>,
    lane: Lane,
}

impl UpstreamLane {
    /// This stream of this upstream.
    pub fn new(upstream: &str, stream: &StreamId) -> Self {
        let name = format!("{upstream}\u{0}{}", stream.dataset());
        Self { upstream_and_dataset: name.into(), lane: stream.lane() }
    }
}

impl Default for Lineages {
    fn default() -> Self {
        Self::with_generation(GENERATION)
    }
}

impl Lineages {
    /// A memory whose generations take so many records.
    pub fn with_generation(generation: usize) -> Self {
        let (young, old) = Default::default();
        Self { young, old, forgotten: HashMap::new(), generation }
    }

    /// Lines from here up to this rev were taken and are not remembered.
    pub fn taken_before(&mut self, from: &UpstreamLane, rev: u64) {
        if from.lane == Lane::Daily {
            raise(&mut self.forgotten, &from.upstream_and_dataset, rev);
        }
    }

    /// The newest line taken of a record, for a line that comes from here.
    pub fn newest(&self, from: &UpstreamLane, id: &RecordId) -> Newest {
        let forgotten = match from.lane {
            Lane::Daily => 0,
            Lane::History => self.forgotten.get(&from.upstream_and_dataset).copied().unwrap_or(0),
        };
        let remembered = self.young.newest.get(id).or_else(|| self.old.newest.get(id));
        Newest { forgotten, ..remembered.copied().unwrap_or_default() }
    }

    /// Notes a line that was taken as the newest of its record.
    pub fn note(&mut self, from: &UpstreamLane, id: RecordId, op: Op, rev: u64) {
        if self.young.newest.len() >= self.generation {
            for (name, highest) in std::mem::take(&mut self.old).highest {
                raise(&mut self.forgotten, &name, highest);
            }
            self.old = std::mem::take(&mut self.young);
        }
        let before = self.old.newest.get(&id).copied().unwrap_or_default();
        self.young.newest.entry(id).or_insert(before).raise(op, rev);
        if from.lane == Lane::Daily {
            raise(&mut self.young.highest, &from.upstream_and_dataset, rev);
        }
    }
}

fn raise(highest: &mut HashMap<Arc<str>, u64>, name: &Arc<str>, rev: u64) {
    let known = highest.entry(name.clone()).or_default();
    *known = rev.max(*known);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dispute_does_not_make_the_put_it_is_about_old_and_comes_once() {
        let mut newest = Newest::default();
        newest.raise(Op::Dispute, 7);
        for (op, rev, age) in [
            (Op::Dispute, 7, Age::Older),
            (Op::Reinstate, 5, Age::Older),
            (Op::Resolve, 8, Age::Newer),
            (Op::Put, 5, Age::Newer),
        ] {
            assert_eq!(newest.age(op, rev), age, "{op:?}");
        }
        newest.raise(Op::Put, 5);
        assert_eq!((newest.age(Op::Withdraw, 5), newest.age(Op::Put, 6)), (Age::Older, Age::Newer));
    }

    #[test]
    fn what_is_forgotten_is_known_to_be_below_a_rev_of_its_own_upstream() {
        let mut lineages = Lineages::with_generation(2);
        let from = |upstream, stream| UpstreamLane::new(upstream, &StreamId::parse(stream).unwrap());
        let (daily, history) = (from("city", "province.d"), from("city", "province.d~history"));
        lineages.taken_before(&daily, 5);
        lineages.taken_before(&history, 500);
        let id = |n: u8| RecordId([n; 16]);
        let nothing = |forgotten| Newest { forgotten, ..Newest::default() };
        assert_eq!(lineages.newest(&history, &id(1)), nothing(5));
        for n in 1..=5u8 {
            lineages.note(&daily, id(n), Op::Put, 10 * u64::from(n));
        }
        assert_eq!(lineages.newest(&history, &id(1)), nothing(20));
        assert_eq!(lineages.newest(&daily, &id(1)), nothing(0), "the daily lane waits for nothing");
        assert_eq!(lineages.newest(&history, &id(3)), Newest { state: 30, any: 30, forgotten: 20 });
        for elsewhere in [from("county", "province.d~history"), from("city", "province.e~history")] {
            assert_eq!(lineages.newest(&elsewhere, &id(9)), nothing(0));
        }
    }
}
