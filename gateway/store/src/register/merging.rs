//! Several sorted sources as one, with the values of a key merged from the oldest to the newest.

use std::sync::Arc;

use super::error::RegisterError;
use super::memtable::{Memtable, MemtableCursor};
use super::run::{Run, RunCursor};
use super::value::Merger;

/// Sources under way, the newest first, each with the key it stands at. One that has ended is not there any more.
pub(super) struct Merging {
    sources: Vec<(u128, Source)>,
    merger: Merger,
    merged: Vec<u8>,
}

pub(super) enum Source {
    Run(RunCursor),
    Memory(MemtableCursor),
}

impl Source {
    pub(super) fn run(run: &Arc<Run>) -> Self {
        Self::Run(RunCursor::new(run.clone()))
    }

    pub(super) fn memory(table: &Arc<Memtable>) -> Self {
        Self::Memory(MemtableCursor::new(table.clone()))
    }

    fn advance(&mut self) -> Result<Option<u128>, RegisterError> {
        match self {
            Self::Run(cursor) => cursor.advance(),
            Self::Memory(cursor) => Ok(cursor.advance()),
        }
    }

    fn value(&self) -> &[u8] {
        match self {
            Self::Run(cursor) => cursor.value(),
            Self::Memory(cursor) => cursor.value(),
        }
    }
}

impl Merging {
    /// Of sources given from the newest to the oldest.
    pub(super) fn new(
        sources: impl IntoIterator<Item = Source>,
        merger: Merger,
    ) -> Result<Self, RegisterError> {
        let mut begun = Vec::new();
        for mut source in sources {
            if let Some(key) = source.advance()? {
                begun.push((key, source));
            }
        }
        Ok(Self { sources: begun, merger, merged: Vec::new() })
    }

    /// Gives up to `limit` entries in key order; `false` once there are no more.
    pub(super) fn give(
        &mut self,
        limit: usize,
        mut put: impl FnMut(u128, &[u8]) -> Result<(), RegisterError>,
    ) -> Result<bool, RegisterError> {
        for _ in 0..limit {
            let Some(&(mut least, _)) = self.sources.first() else { return Ok(false) };
            let (mut oldest, mut alone) = (0, true);
            for (at, (key, _)) in self.sources.iter().enumerate().skip(1) {
                if *key <= least {
                    alone = *key < least;
                    (least, oldest) = (*key, at);
                }
            }
            if alone {
                put(least, self.sources[oldest].1.value())?;
                self.advance(oldest)?;
            } else {
                self.merge(least, oldest)?;
                put(least, &self.merged)?;
            }
        }
        Ok(!self.sources.is_empty())
    }

    /// Takes the key from all that stand at it, `oldest` and newer ones, into `merged`.
    fn merge(&mut self, key: u128, oldest: usize) -> Result<(), RegisterError> {
        self.merged.clear();
        // From the back to the front: if a source ends, those still to come keep their places.
        for at in (0..=oldest).rev() {
            if self.sources[at].0 != key {
                continue;
            }
            let newer = self.sources[at].1.value();
            if self.merged.is_empty() {
                self.merged.extend_from_slice(newer);
            } else {
                let value = self.merger.merge(&self.merged, newer);
                self.merged.clear();
                self.merged.extend_from_slice(value);
            }
            self.advance(at)?;
        }
        Ok(())
    }

    fn advance(&mut self, at: usize) -> Result<(), RegisterError> {
        match self.sources[at].1.advance()? {
            Some(key) => self.sources[at].0 = key,
            None => drop(self.sources.remove(at)),
        }
        Ok(())
    }
}
