//! What the node itself knows of its officers: decisions so far, proposals, what the log says.

use super::adopted::Adopted;
use super::roles::Officer;
use crate::engine::officer::DOCUMENT_AAD;
use crate::engine::{Node, entries};
use crate::problem::{Problem, ProblemCode};
use serde::Serialize;
use serde_json::value::RawValue;
use xinqiao_evidence::{Digest, Digests, entry};
use xinqiao_exchange::governance::Proposal;
use xinqiao_exchange::group::Change;
use xinqiao_exchange::state::{State, Table};
use xinqiao_store::{Queue, Reader};

/// An entry of the log, as it stands there.
#[derive(Debug, Serialize)]
pub struct LogEntryView {
    index: u64,
    entry: Box<RawValue>,
}

/// Everything officers have decided so far; nothing if it cannot be read, which must not be taken for no decision.
pub(crate) fn stored(state: &State, queue: &Queue, reader: &Reader) -> Option<Adopted> {
    let Some(digest) = &state.governance.meta.overlay else { return Some(Adopted::default()) };
    let place = queue.get(Table::Document as u8, digest.as_bytes()).ok()??;
    let place = serde_json::from_slice(&place).ok()?;
    let bytes = reader.read(crate::engine::places::reference(place), DOCUMENT_AAD).ok()?;
    serde_json::from_slice(&bytes).ok()
}

impl Node {
    /// Everything officers have decided so far; nothing if it cannot be read.
    pub fn adopted(&self) -> Option<Adopted> {
        stored(&self.state.read(), &self.queue(), &self.reader)
    }

    /// A proposal, ended or not.
    pub fn proposal(&self, id: u64) -> Option<Proposal> {
        let row = self.queue().get(Table::Proposal as u8, &id.to_be_bytes()).ok()??;
        serde_json::from_slice(&row).ok()
    }

    /// Entries of the log from an index on. Blocks.
    pub fn log_entries(&self, from: u64, limit: u64) -> Result<Vec<LogEntryView>, Problem> {
        let log = self.log();
        let mut all = Vec::new();
        for index in from..from.saturating_add(limit).min(log.size()) {
            let Some(bytes) = log.entry(index).map_err(|_| ProblemCode::JournalDamaged)? else { break };
            let text = String::from_utf8(bytes).map_err(|_| ProblemCode::JournalDamaged)?;
            let entry = RawValue::from_string(text).map_err(|_| ProblemCode::JournalDamaged)?;
            all.push(LogEntryView { index, entry });
        }
        Ok(all)
    }

    /// Writes into the log what an officer did, or what was done to him, without a proposal.
    pub async fn note_officer(
        &self,
        what: &str,
        name: &str,
        officer: &Officer,
        reason: Option<&str>,
    ) -> Result<(), Problem> {
        let signer = officer.signer();
        let event = entry::Event::Officer {
            what: what.into(),
            name: name.into(),
            member: None,
            by: signer.name.into(),
            reason: reason.map(Into::into),
            digest: None,
            evidence_digest: signer.certificate.parse().ok().map(Digests::sha256),
        };
        let change = Change { entry: Some(entries::officer(self, event)), ..Change::default() };
        self.change(change, |_| true).await.map(|_| ()).map_err(crate::engine::submit::commit_problem)
    }

    /// Every key of a kind there ever was: another text once it has a successor.
    pub(super) fn key_ids(&self, kind: &str) -> String {
        let keys = self.keys();
        let of_kind: Vec<&str> =
            keys.iter().filter(|k| k.kind.as_str() == kind).map(|k| k.kid.as_str()).collect();
        of_kind.join(" ")
    }

    /// The digest of a policy in force, hexadecimal.
    pub(super) fn policy_digest(&self, id: &str) -> Option<String> {
        self.rules().catalogue.policy(id).map(|p| Digest::of(p.document()).to_hex())
    }
}
