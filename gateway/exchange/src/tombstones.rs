//! The recalled records, in memory: asked before every put, so that nothing recalled comes back by being sent again.

use crate::secrets::RecordId;
use std::collections::HashMap;

/// Recalled records of all datasets. 32 bytes or so each.
#[derive(Default)]
pub struct Tombstones {
    datasets: HashMap<String, HashMap<[u8; 16], u64>>,
}

impl Tombstones {
    /// Notes a recall at a rev: of another node's record that node's, else this node's.
    pub fn add(&mut self, dataset: &str, id: RecordId, rev: u64) {
        self.datasets.entry(dataset.to_owned()).or_default().insert(id.0, rev);
    }

    /// Forgets one, when the record is reinstated at a rev above the recall's. Frames of earlier versions do not name the
    /// rev; they were committed behind the recall.
    pub fn remove(&mut self, dataset: &str, id: &RecordId, rev: Option<u64>) {
        if let Some(set) = self.datasets.get_mut(dataset)
            && lifts(rev, set.get(&id.0).copied().unwrap_or(0))
        {
            set.remove(&id.0);
        }
    }

    /// The rev at which the record was recalled, if it is.
    pub fn rev(&self, dataset: &str, id: &RecordId) -> Option<u64> {
        self.datasets.get(dataset)?.get(&id.0).copied()
    }

    /// How many records are recalled.
    pub fn len(&self) -> usize {
        self.datasets.values().map(HashMap::len).sum()
    }

    /// Is nothing recalled?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Does a record's reinstatement at one rev end its recall at another? Both are revs of the node the record is from.
pub(crate) fn lifts(reinstated: Option<u64>, recalled: u64) -> bool {
    reinstated.is_none_or(|rev| rev > recalled)
}
