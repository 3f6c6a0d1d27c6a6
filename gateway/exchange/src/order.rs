//! The order of operations on one record. Revs are drawn while a submission is prepared, the order is made when it is
//! committed, and between the two another submission about the same record may be committed. Recipients go by rev, the
//! node by the order of its journal; they agree only if no operation is committed below the rev of one that was
//! committed before it, and if none rests on what was known before a recall.
//!
//! [`CommitOrder`] therefore remembers of every record what was committed while some submission was being prepared or
//! waited. A submission that was overtaken is prepared again, with new revs and by what is known then.

use crate::op::Op;
use crate::secrets::{RecordId, RecordName};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A record that a submission has an operation on.
#[derive(Clone, Copy, Debug)]
pub struct Touched {
    /// The record.
    pub id: RecordId,
    /// The operation.
    pub op: Op,
    /// The lowest rev drawn for it; `u64::MAX` if none was drawn, since a rev that is kept cannot be overtaken.
    pub first: u64,
    /// The highest rev of its lines.
    pub last: u64,
    /// Of another node's record: the rev there of this version, if it is known to be the newest one; else 0.
    pub origin: u64,
    /// Nothing was known of the record before: whoever took it for unknown has to look again.
    pub is_new: bool,
}

impl Touched {
    /// Does what is decided about a later operation depend on this one? A put is refused behind a recall; a line of
    /// another node is judged by the newest one that was taken.
    fn is_decisive(&self) -> bool {
        let recalls = self.op.is_recall() || self.op == Op::Reinstate;
        recalls || self.is_new || self.origin != 0 || self.first == u64::MAX
    }

    /// A name that leads to another record than before. It has no rev of its own.
    pub fn name(name: RecordName) -> Self {
        Self { id: RecordId(name.0), op: Op::Put, first: u64::MAX, last: 0, origin: 0, is_new: true }
    }
}

/// What was committed of a record lately.
#[derive(Clone, Copy, Default)]
struct Last {
    /// The highest rev.
    rev: u64,
    /// The group of the last decisive operation; 0 if there was none.
    decisive: u64,
}

/// Record ids are outputs of a keyed function: they need no hashing, and eight bytes tell them apart. Two records that
/// agree in those cost one needless preparation.
#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().take(8).fold(0, |sum, b| (sum << 8) | u64::from(*b));
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

type Records = HashMap<u64, Last, BuildHasherDefault<AsItIs>>;

/// What was noted in a stretch of groups.
#[derive(Default)]
struct Generation {
    records: Records,
    /// The last group noted in it.
    newest: u64,
}

impl Generation {
    fn clear(&mut self) {
        self.newest = 0;
        if self.records.capacity() > KEPT_ALLOCATED {
            self.records = Records::default();
        } else {
            self.records.clear();
        }
    }
}

/// Records a generation takes before the next one begins: two of them take at most some 30 MB.
pub const GENERATION: usize = 1 << 18;
/// Records a generation takes before the next one begins, if everyone knows of the one before.
const SMALL: usize = 1 << 13;
/// A map of so many records is emptied without giving its memory back.
const KEPT_ALLOCATED: usize = 1 << 15;

/// What was committed of which record, in the groups that a submission under way may not know of. Groups are numbered
/// as they are committed, from 1; a submission remembers the number of the last group committed when its preparation began.
pub struct CommitOrder {
    young: Generation,
    old: Generation,
    /// The last group of which records were forgotten although a submission may not know of it.
    forgotten: u64,
    generation: usize,
}

impl Default for CommitOrder {
    fn default() -> Self {
        Self::with_generation(GENERATION)
    }
}

impl CommitOrder {
    /// A memory whose generations take so many records.
    pub fn with_generation(generation: usize) -> Self {
        Self { young: Generation::default(), old: Generation::default(), forgotten: 0, generation }
    }

    /// Was a submission whose preparation began after group `after` overtaken: was something committed about one of its
    /// records with a higher rev, or something its preparation should have known of, be it under one of these names?
    pub fn is_overtaken(&self, after: u64, touched: &[Touched], names: &[RecordName]) -> bool {
        let unknown = [&self.young, &self.old].map(|g| Some(g).filter(|g| g.newest > after));
        if unknown.iter().all(Option::is_none) {
            return false;
        }
        touched.iter().any(|t| {
            let last = unknown.iter().flatten().filter_map(|g| g.records.get(&short(&t.id)));
            last.into_iter().any(|last| last.rev > t.first || last.decisive > after)
        }) || names.iter().any(|name| {
            let mut last = unknown.iter().flatten().filter_map(|g| g.records.get(&short(&RecordId(name.0))));
            last.any(|last| last.decisive > after)
        })
    }

    /// Were records forgotten of a group that a submission begun after group `after` may not know of? Then nobody can say
    /// whether it was overtaken.
    pub fn has_forgotten(&self, after: u64) -> bool {
        self.forgotten > after
    }

    /// Notes a submission that joins this group.
    pub fn note(&mut self, group: u64, touched: &[Touched]) {
        if touched.is_empty() {
            return;
        }
        self.young.newest = group;
        for t in touched {
            let last = self.young.records.entry(short(&t.id)).or_default();
            last.rev = last.rev.max(t.last);
            if t.is_decisive() {
                last.decisive = group;
            }
        }
    }

    /// Forgets what every submission under way knows of: `oldest` is the lowest group after which one of them began, or
    /// the last group committed if there is none. To be called between groups.
    pub fn forget(&mut self, oldest: u64) {
        for generation in [&mut self.young, &mut self.old] {
            if generation.newest <= oldest && !generation.records.is_empty() {
                generation.clear();
            }
        }
        // Small while nothing holds them back: what is looked up for every record should stay in a processor's cache.
        let next = if self.old.records.is_empty() { self.generation.min(SMALL) } else { self.generation };
        if self.young.records.len() >= next {
            if !self.old.records.is_empty() {
                self.forgotten = self.old.newest;
                self.old.clear();
            }
            std::mem::swap(&mut self.young, &mut self.old);
        }
    }

    /// Records remembered.
    pub fn len(&self) -> usize {
        self.young.records.len() + self.old.records.len()
    }

    /// Is nothing remembered?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn short(id: &RecordId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = id.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn touched(id: u8, op: Op, rev: u64) -> Touched {
        Touched { id: RecordId([id; 16]), op, first: rev, last: rev, origin: 0, is_new: false }
    }

    #[test]
    fn a_lower_rev_and_a_recall_not_known_of_overtake_and_a_put_with_a_lower_rev_does_not() {
        let mut order = CommitOrder::default();
        order.note(1, &[touched(1, Op::Put, 10), touched(2, Op::Withdraw, 10)]);
        for (id, op, rev, after, overtaken) in [
            (1, Op::Put, 11, 0, false),
            (1, Op::Put, 9, 0, true),
            (2, Op::Put, 11, 0, true),
            (2, Op::Put, 11, 1, false),
            (3, Op::Put, 1, 0, false),
        ] {
            assert_eq!(
                order.is_overtaken(after, &[touched(id, op, rev)], &[]),
                overtaken,
                "{id} {op:?} {rev} {after}"
            );
        }
        order.forget(1);
        assert!(order.is_empty() && !order.has_forgotten(0));
    }

    #[test]
    fn a_recall_under_a_name_overtakes_what_rests_on_the_name() {
        let mut order = CommitOrder::default();
        let (recalled, put) = (RecordName([9; 16]), [touched(3, Op::Put, 11)]);
        order.note(1, &[touched(2, Op::Withdraw, 10), Touched::name(RecordName([9; 16]))]);
        assert!(order.is_overtaken(0, &put, &[recalled]) && !order.is_overtaken(1, &put, &[recalled]));
        assert!(!order.is_overtaken(0, &put, &[RecordName([8; 16])]));
        // A put without reference has the name as its id.
        assert!(order.is_overtaken(0, &[touched(9, Op::Put, 11)], &[]));
    }

    #[test]
    fn a_full_memory_says_what_it_no_longer_knows() {
        let mut order = CommitOrder::with_generation(2);
        for group in 1..=5u8 {
            order.note(u64::from(group), &[touched(group, Op::Put, u64::from(group))]);
            order.forget(0);
            assert!(order.len() <= 4);
        }
        assert!(order.has_forgotten(0) && order.has_forgotten(1) && !order.has_forgotten(2));
        assert!(order.is_overtaken(2, &[touched(3, Op::Put, 2)], &[]), "what is not forgotten is known");
    }

    proptest! {
        /// Submissions are prepared and committed in any order; whatever is let through is committed in the order of revs.
        #[test]
        fn nothing_is_let_through_below_a_rev_that_was_committed(
            steps in proptest::collection::vec((0u8..4, 0usize..6, proptest::bool::ANY), 0..80), generation in 1usize..6
        ) {
            let mut order = CommitOrder::with_generation(generation);
            let (mut rev, mut groups) = (0u64, 0u64);
            let mut waiting: Vec<(u64, Touched)> = Vec::new();
            let mut committed: HashMap<RecordId, u64> = HashMap::new();
            for (id, which, prepare) in steps {
                if prepare || waiting.is_empty() {
                    rev += 1;
                    waiting.push((groups, touched(id, Op::Put, rev)));
                    continue;
                }
                let (after, t) = waiting.remove(which % waiting.len());
                if !order.has_forgotten(after) && !order.is_overtaken(after, &[t], &[]) {
                    let last = committed.entry(t.id).or_default();
                    prop_assert!(*last < t.first);
                    *last = t.last;
                    order.note(groups + 1, &[t]);
                }
                groups += 1;
                order.forget(waiting.iter().map(|w| w.0).min().unwrap_or(groups));
                prop_assert!(order.len() <= 2 * generation);
            }
        }
    }
}
