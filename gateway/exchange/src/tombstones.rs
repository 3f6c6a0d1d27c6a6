//! The recalled records, in memory: asked before every put, so that nothing recalled comes back by being sent again, be it under another
//! name.

use crate::secrets::{RecordId, RecordName};
use std::collections::HashMap;

/// Recalled records of all datasets. 48 bytes or so each, and as much for every further name.
#[derive(Default)]
pub struct Tombstones {
    datasets: HashMap<String, Recalls>,
}

#[derive(Default)]
struct Recalls {
    records: HashMap<RecordId, Recall>,
    /// Further names of recalled records, and which are recalled under them: nearly always one.
    names: HashMap<RecordName, Vec<RecordId>>,
}

#[derive(Default)]
struct Recall {
    rev: u64,
    names: Box<[RecordName]>,
}

impl Tombstones {
    /// Notes a recall at a rev (of another node's record that node's, else this node's) and further names of the record, besides those an
    /// earlier recall of it noted. Those `passed_on` lead to another record from now on.
    pub fn add(
        &mut self,
        dataset: &str,
        id: RecordId,
        rev: u64,
        names: &[RecordName],
        passed_on: &[RecordName],
    ) {
        if !self.datasets.contains_key(dataset) {
            self.datasets.insert(dataset.to_owned(), Recalls::default());
        }
        let Recalls { records, names: all } = self.datasets.get_mut(dataset).expect("it was just made");
        let recall = records.entry(id).or_default();
        recall.rev = rev;
        let mut known = std::mem::take(&mut recall.names).into_vec();
        for name in names {
            if !known.contains(name) {
                known.push(*name);
                all.entry(*name).or_default().push(id);
            }
        }
        known.retain(|name| !passed_on.contains(name));
        recall.names = known.into();
        passed_on.iter().for_each(|name| leads_no_more(all, name, &id));
    }

    /// Forgets one under all its names, when the record is reinstated at a rev above the recall's. Frames of earlier versions do not name
    /// the rev; they were committed behind the recall.
    pub fn remove(&mut self, dataset: &str, id: &RecordId, rev: Option<u64>) {
        let Some(Recalls { records, names }) = self.datasets.get_mut(dataset) else { return };
        if records.get(id).is_none_or(|recall| !lifts(rev, recall.rev)) {
            return;
        }
        let recall = records.remove(id).expect("it was just found");
        recall.names.iter().for_each(|name| leads_no_more(names, name, id));
    }

    /// The rev at which the record was recalled, if it is.
    pub fn rev(&self, dataset: &str, id: &RecordId) -> Option<u64> {
        self.datasets.get(dataset)?.records.get(id).map(|recall| recall.rev)
    }

    /// Is any record of the dataset recalled under further names?
    pub fn has_names(&self, dataset: &str) -> bool {
        self.datasets.get(dataset).is_some_and(|recalls| !recalls.names.is_empty())
    }

    /// The records that are recalled under this name. An id is a name too, of records with another id.
    pub fn under(&self, dataset: &str, name: &RecordName) -> &[RecordId] {
        let found = self.datasets.get(dataset).and_then(|recalls| recalls.names.get(name));
        found.map_or(&[], Vec::as_slice)
    }

    /// How many records are recalled.
    pub fn len(&self) -> usize {
        self.datasets.values().map(|recalls| recalls.records.len()).sum()
    }

    /// Is nothing recalled?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn leads_no_more(names: &mut HashMap<RecordName, Vec<RecordId>>, name: &RecordName, id: &RecordId) {
    if let Some(of) = names.get_mut(name) {
        of.retain(|other| other != id);
        if of.is_empty() {
            names.remove(name);
        }
    }
}

/// Does a record's reinstatement at one rev end its recall at another? Both are revs of the node the record is from.
pub(crate) fn lifts(reinstated: Option<u64>, recalled: u64) -> bool {
    reinstated.is_none_or(|rev| rev > recalled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: u8) -> RecordId {
        RecordId([n; 16])
    }

    fn name(n: u8) -> RecordName {
        RecordName([n; 16])
    }

    #[test]
    fn a_name_two_records_share_is_recalled_until_both_are_reinstated() {
        let mut all = Tombstones::default();
        all.add("d", id(1), 5, &[name(9)], &[]);
        all.add("d", id(2), 6, &[name(9), name(8)], &[]);
        all.remove("d", &id(1), Some(5));
        assert_eq!(all.under("d", &name(9)), [id(1), id(2)], "not above the recall");
        all.remove("d", &id(1), Some(7));
        assert_eq!(all.under("d", &name(9)), [id(2)]);
        assert!(all.has_names("d") && !all.has_names("e"));
        all.remove("d", &id(2), None);
        assert!(all.is_empty() && !all.has_names("d"));
    }

    fn some_names() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(0u8..4, 0..3)
    }

    proptest! {
        /// Against a list of what was recalled.
        #[test]
        fn names_are_recalled_as_long_as_a_record_that_has_them_is(
            steps in proptest::collection::vec((0u8..4, proptest::option::of(some_names()), some_names()), 0..40)
        ) {
            let mut all = Tombstones::default();
            let mut known: HashMap<u8, Vec<u8>> = HashMap::new();
            for (rev, (record, recalled, passed_on)) in (1..).zip(steps) {
                match recalled {
                    Some(names) => {
                        let [new, passed] = [&names, &passed_on].map(|all| all.iter().map(|n| name(*n)).collect::<Vec<_>>());
                        all.add("d", id(record), rev, &new, &passed);
                        let has = known.entry(record).or_default();
                        has.extend(names);
                        has.retain(|n| !passed_on.contains(n));
                    }
                    None => {
                        all.remove("d", &id(record), Some(rev));
                        known.remove(&record);
                    }
                }
                for n in 0..4 {
                    let mut under: Vec<RecordId> = all.under("d", &name(n)).to_vec();
                    under.sort();
                    let mut wanted: Vec<RecordId> = known.iter().filter(|(_, names)| names.contains(&n)).map(|(r, _)| id(*r)).collect();
                    wanted.sort();
                    prop_assert_eq!(under, wanted);
                }
                prop_assert_eq!(all.has_names("d"), known.values().any(|names| !names.is_empty()));
                prop_assert_eq!(all.len(), known.len());
            }
        }
    }
}
