//! Log entries with their proofs, as they were given when they were new: read from the log files again, and held
//! against the checkpoint that was signed then before anyone sees them.

use super::Node;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use xinqiao_evidence::merkle::{inclusion_proof, leaf_hash, verify_inclusion};
use xinqiao_evidence::tlog::{Checkpoint, write_log_proof};
use xinqiao_exchange::event::FrameRecord;
use xinqiao_explain::Explain;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};
use xinqiao_store::LogError;

/// An entry of the log, as it stands there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogEntryView {
    /// Its index, from 0.
    pub index: u64,
    /// Its bytes: a JSON object in canonical form (RFC 8785).
    pub entry: Box<RawValue>,
}

impl Node {
    /// Entries of the log from an index on. Blocks.
    pub fn log_entries(&self, from: u64, limit: u64) -> Result<Vec<LogEntryView>, Refusal> {
        let log = self.log();
        let mut all = Vec::new();
        for index in from..from.saturating_add(limit).min(log.size()) {
            let Some(bytes) = log.entry(index).map_err(|_| RefusalCode::JournalDamaged)? else { break };
            let text = String::from_utf8(bytes).map_err(|_| RefusalCode::JournalDamaged)?;
            let entry = RawValue::from_string(text).map_err(|_| RefusalCode::JournalDamaged)?;
            all.push(LogEntryView { index, entry });
        }
        Ok(all)
    }

    /// An entry and the proof of it in the checkpoint of its own group. Nothing if the log files do not give them back
    /// as they were; then the damaged tile is named, and the node is not ready.
    pub(crate) fn logged(&self, index: u64, record: &FrameRecord) -> Option<(Vec<u8>, String)> {
        match self.prove(index, record) {
            Ok(Some(found)) => Some(found),
            Ok(None) => {
                self.name_damage(index);
                None
            }
            Err(e) => {
                self.log_unreadable(&e);
                None
            }
        }
    }

    /// A file of the log does not read.
    pub(super) fn log_unreadable(&self, e: &LogError) {
        let said = e.explain();
        tracing::error!(code = said.code(), "{}", said.english());
        self.fail("log.damaged");
    }

    fn prove(&self, index: u64, record: &FrameRecord) -> Result<Option<(Vec<u8>, String)>, LogError> {
        let size = record.first_index + u64::from(record.entries);
        let log = self.log();
        let Some(entry) = log.entry(index)? else { return Ok(None) };
        let mut fault = None;
        let lookup = |level, at| {
            log.hash(level, at).unwrap_or_else(|e| {
                fault = Some(e);
                None
            })
        };
        let hashes = inclusion_proof(index, size, lookup);
        if let Some(e) = fault {
            return Err(e);
        }
        let (Ok(hashes), Ok(signed)) = (hashes, Checkpoint::unauthenticated(&record.checkpoint)) else {
            return Ok(None);
        };
        if verify_inclusion(&leaf_hash(&entry), index, size, &hashes, &signed.root).is_err() {
            return Ok(None);
        }
        let mut proof = String::new();
        write_log_proof(&mut proof, index, &hashes, &record.checkpoint);
        Ok(Some((entry, proof)))
    }

    /// Reads the whole log once to say which tile is damaged.
    fn name_damage(&self, index: u64) {
        tracing::error!(
            code = "log.damaged",
            index,
            "the proof of a log entry does not hold; it is not shown"
        );
        if !self.fail("log.damaged") {
            return;
        }
        if let Err(e) = self.log().verify() {
            self.log_unreadable(&e);
        }
    }
}
