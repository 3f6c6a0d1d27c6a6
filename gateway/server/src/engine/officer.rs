//! What officers decide about streams, and how an epoch begins.

use super::{CommitError, Node, entries};
use crate::problem::{Problem, ProblemCode};
use serde::Serialize;
use xinqiao_evidence::entry::WithheldState;
use xinqiao_exchange::event::Event;
use xinqiao_exchange::group::Change;
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::state::{Table, WithheldRow, stream_key};

/// A withheld chunk, as an officer sees it.
#[derive(Serialize)]
pub struct WithheldView {
    stream: String,
    chunk: u64,
    records: u32,
    reason: String,
}

impl Node {
    /// Puts a stream on hold or lets it go, from this moment.
    pub async fn hold(&self, stream: &StreamId, held: bool, by: &str, reason: &str) -> Result<(), Problem> {
        if self.plan.recipient_of(stream).is_none() {
            return Err(ProblemCode::StreamUnknown.into());
        }
        let change = Change {
            events: vec![Event::Held { stream: stream.clone(), held }],
            items: Vec::new(),
            entry: Some(entries::hold(self, stream, held, by, reason)),
        };
        self.change(change, |_| true).await.map(|_| ()).map_err(super::submit::commit_problem)
    }

    /// The chunks of a stream that wait for a decision.
    pub fn withheld(&self, stream: &StreamId) -> Result<Vec<WithheldView>, Problem> {
        let Some(head) = self.head(stream) else { return Ok(Vec::new()) };
        let (from, to) = (stream_key(head.id, 0), stream_key(head.id, u64::MAX));
        let rows = self.queue().scan(Table::Withheld as u8, &from, Some(&to), 10_000);
        let mut all = Vec::new();
        for (key, value) in rows.map_err(|_| ProblemCode::Internal)? {
            let row: WithheldRow = serde_json::from_slice(&value).map_err(|_| ProblemCode::Internal)?;
            let chunk = key.last_chunk::<8>().map_or(0, |b| u64::from_be_bytes(*b));
            all.push(WithheldView { stream: stream.to_string(), chunk, records: row.chunk.records, reason: row.reason });
        }
        Ok(all)
    }

    /// Lets a withheld chunk out as it is, or throws it away.
    pub async fn rule(&self, stream: &StreamId, chunk: u64, release: bool, by: &str, reason: &str) -> Result<(), Problem> {
        let head = self.head(stream).ok_or(ProblemCode::StreamUnknown)?;
        let row = self.queue().get(Table::Withheld as u8, &stream_key(head.id, chunk));
        let row = row.map_err(|_| ProblemCode::Internal)?.ok_or(ProblemCode::NotFound)?;
        let row: WithheldRow = serde_json::from_slice(&row).map_err(|_| ProblemCode::Internal)?;
        let state = if release { WithheldState::Released } else { WithheldState::Discarded };
        let change = Change {
            events: vec![Event::Ruled { stream: stream.clone(), chunk, release }],
            items: Vec::new(),
            entry: Some(entries::withheld(self, stream, state, u64::from(row.chunk.records), by, reason)),
        };
        self.change(change, |_| true).await.map(|_| ()).map_err(super::submit::commit_problem)
    }

    /// Opens an epoch: the first, or a new one after an older state was put back. Blocks.
    pub(super) fn open_epoch(&self, epoch: u64, reason: &str) -> Result<(), CommitError> {
        let size = self.log_size();
        let previous = (epoch > 1).then(|| (epoch - 1, size, self.log.frontier().root()));
        let change = Change {
            events: vec![Event::Epoch { epoch }],
            items: Vec::new(),
            entry: Some(entries::epoch(self, epoch, reason, previous)),
        };
        self.change_blocking(change, |_| true).map(|_| ())
    }

    /// Notes which catalogue and configuration took effect. Blocks.
    pub(super) fn note_configuration(&self) -> Result<(), CommitError> {
        for dataset in self.plan.datasets() {
            for r in &dataset.recipients {
                let d = &r.description;
                let head = self.head(&r.daily);
                if head.and_then(|h| h.descriptions.last().cloned()).as_ref() == Some(d) {
                    continue;
                }
                let digest = d.policy_digest.parse().ok();
                let change = Change {
                    events: vec![Event::Described { stream: r.daily.clone(), description: d.clone() }],
                    items: Vec::new(),
                    entry: Some(entries::configuration(self, "policy", &d.policy, digest, "configuration")),
                };
                self.change_blocking(change, |_| true)?;
            }
        }
        Ok(())
    }
}
