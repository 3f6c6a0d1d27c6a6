//! Reading back what officers decided, and their proposals.

use super::{DOCUMENT_AAD, Node, places};
use crate::decisions::Adopted;
use xinqiao_exchange::governance::Proposal;
use xinqiao_exchange::state::{State, Table};
use xinqiao_store::{Queue, Reader};

/// Everything officers have decided so far; nothing if it cannot be read, which must not be taken for no decision.
pub(super) fn stored(state: &State, queue: &Queue, reader: &Reader) -> Option<Adopted> {
    let Some(digest) = &state.governance.meta.overlay else { return Some(Adopted::default()) };
    let place = queue.get(Table::Document as u8, digest.as_bytes()).ok()??;
    let place = serde_json::from_slice(&place).ok()?;
    let bytes = reader.read(places::reference(place), DOCUMENT_AAD).ok()?;
    serde_json::from_slice(&bytes).ok()
}

impl Node {
    /// Everything officers have decided so far; nothing if it cannot be read.
    pub fn adopted(&self) -> Option<Adopted> {
        stored(&self.state(), &self.queue(), self.reader())
    }

    /// A proposal, ended or not.
    pub fn proposal(&self, id: u64) -> Option<Proposal> {
        let row = self.queue().get(Table::Proposal as u8, &id.to_be_bytes()).ok()??;
        serde_json::from_slice(&row).ok()
    }
}
