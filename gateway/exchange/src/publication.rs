//! The end of publication: which records of a public stream are still standing when their last day has passed. The
//! schedule names each chunk once, under the first day on which a line of it ends; its line table says which lines
//! those are, and later tables say which of them a newer line has replaced or recalled meanwhile.

use crate::op::Op;
use crate::secrets::RecordKey;
use crate::table::{self, TableDamaged};
use std::collections::BTreeMap;

/// The reason in the line of a record whose publication ended.
pub const ENDED: &str = "publication-ended";

/// Records of one stream whose publication ends.
#[derive(Default)]
pub struct Ending {
    /// By key: the rev whose last day has passed.
    due: BTreeMap<RecordKey, u64>,
}

impl Ending {
    /// Takes up the lines of a scheduled chunk whose last day is `from` or later, but before `today`. The next day on
    /// which a line of it ends comes back.
    pub fn due(&mut self, lines: &[u8], from: u32, today: u32) -> Result<Option<u32>, TableDamaged> {
        let mut next: Option<u32> = None;
        for group in table::groups(lines)? {
            for e in group.entries()? {
                let Some(end) = e.publication_end.filter(|end| e.op == Op::Put && *end >= from) else {
                    continue;
                };
                if end < today {
                    let due = self.due.entry(e.key).or_default();
                    *due = e.rev.max(*due);
                } else {
                    next = Some(next.map_or(end, |n| n.min(end)));
                }
            }
        }
        Ok(next)
    }

    /// Looks through any chunk for the recipient, in either lane: a newer line of a record has its own end, or has ended it.
    pub fn look_through(&mut self, lines: &[u8]) -> Result<(), TableDamaged> {
        for group in table::groups(lines)? {
            for e in group.entries()? {
                let settles = matches!(e.op, Op::Put | Op::Withdraw | Op::Repair);
                if settles && self.due.get(&e.key).is_some_and(|due| e.rev > *due) {
                    self.due.remove(&e.key);
                }
            }
        }
        Ok(())
    }

    /// Does this record end?
    pub fn contains(&self, key: &RecordKey) -> bool {
        self.due.contains_key(key)
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// The records to withdraw, in order of key.
    pub fn records(&self) -> impl Iterator<Item = RecordKey> + '_ {
        self.due.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Entry, VERSION, put_entry, put_group};
    use proptest::prelude::*;

    fn lines(entries: &[(u8, u64, Op, Option<u32>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, rev, op, end) in entries {
            let entry = Entry {
                op: *op,
                key: RecordKey([*key; 16]),
                rev: *rev,
                ordinal: 0,
                publication_end: *end,
                reference: None,
            };
            put_entry(&mut bytes, &entry);
        }
        let mut table = vec![VERSION];
        put_group(&mut table, 1, "bureau", entries.len() as u32, &bytes);
        table
    }

    #[test]
    fn only_what_nothing_newer_settled_is_withdrawn() {
        let chunk = lines(&[
            (1, 1, Op::Put, Some(7)),
            (2, 2, Op::Put, Some(7)),
            (3, 3, Op::Put, Some(7)),
            (4, 4, Op::Put, Some(7)),
            (5, 5, Op::Put, Some(8)),
        ]);
        let later =
            lines(&[(2, 12, Op::Put, Some(90)), (3, 13, Op::Withdraw, None), (4, 14, Op::Dispute, None)]);
        let mut ending = Ending::default();
        assert_eq!(ending.due(&chunk, 7, 8).unwrap(), Some(8));
        for table in [&chunk, &later] {
            ending.look_through(table).unwrap();
        }
        let ended: Vec<RecordKey> = ending.records().collect();
        assert_eq!(ended, [RecordKey([1; 16]), RecordKey([4; 16])]);
    }

    proptest! {
        #[test]
        fn a_record_ends_when_its_newest_put_does(
            rows in proptest::collection::vec((0u8..6, 0u32..4, proptest::bool::ANY), 0..40), cut in 0usize..40
        ) {
            let entries: Vec<_> = rows.iter().enumerate().map(|(n, (key, day, put))| {
                let (op, end) = if *put { (Op::Put, Some(*day)) } else { (Op::Withdraw, None) };
                (*key, n as u64 + 1, op, end)
            }).collect();
            let (first, second) = entries.split_at(cut.min(entries.len()));
            let tables = [lines(first), lines(second)];
            let mut ending = Ending::default();
            for t in &tables { ending.due(t, 2, 3).unwrap(); }
            for t in &tables { ending.look_through(t).unwrap(); }
            let newest = |key: u8| entries.iter().rev().find(|e| e.0 == key);
            let wanted: Vec<RecordKey> = (0..6)
                .filter(|k| newest(*k).is_some_and(|e| e.3 == Some(2)))
                .map(|key| RecordKey([key; 16]))
                .collect();
            prop_assert_eq!(ending.records().collect::<Vec<_>>(), wanted);
        }
    }
}
