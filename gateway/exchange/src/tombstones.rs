//! The recalled records, in memory: asked before every put, so that nothing recalled comes back by being sent again.

use crate::secrets::RecordId;
use std::collections::HashMap;

/// Recalled records of all datasets. 32 bytes or so each.
#[derive(Default)]
pub struct Tombstones {
    datasets: HashMap<String, HashMap<[u8; 16], u64>>,
    generation: u64,
}

impl Tombstones {
    /// Notes a recall at a rev.
    pub fn add(&mut self, dataset: &str, id: RecordId, rev: u64) {
        self.generation += 1;
        self.datasets.entry(dataset.to_owned()).or_default().insert(id.0, rev);
    }

    /// Forgets one, when it is reinstated.
    pub fn remove(&mut self, dataset: &str, id: &RecordId) {
        self.generation += 1;
        if let Some(set) = self.datasets.get_mut(dataset) {
            set.remove(&id.0);
        }
    }

    /// Is the record recalled?
    pub fn contains(&self, dataset: &str, id: &RecordId) -> bool {
        self.datasets.get(dataset).is_some_and(|set| set.contains_key(&id.0))
    }

    /// The rev at which the record was recalled, if it is.
    pub fn rev(&self, dataset: &str, id: &RecordId) -> Option<u64> {
        self.datasets.get(dataset)?.get(&id.0).copied()
    }

    /// Is any of these recalled?
    pub fn any(&self, dataset: &str, ids: &[RecordId]) -> bool {
        match self.datasets.get(dataset) {
            Some(set) if !set.is_empty() => ids.iter().any(|id| set.contains_key(&id.0)),
            _ => false,
        }
    }

    /// Changes with every recall: a submission made at an older generation is compared with the tombstones again before
    /// it is committed.
    pub fn generation(&self) -> u64 {
        self.generation
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
