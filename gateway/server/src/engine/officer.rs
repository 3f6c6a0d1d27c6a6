//! What officers decide about streams, and how an epoch begins.

use super::governance::{SecurityOfficer, SystemOfficer};
use super::rules::Rules;
use super::{CommitError, Node, entries};
use crate::problem::{Problem, ProblemCode};
use serde::Serialize;
use xinqiao_evidence::entry::WithheldState;
use xinqiao_exchange::event::Event;
use xinqiao_exchange::group::{Change, Item, Kind};
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::state::{Table, WithheldRow, stream_key};

pub(super) const DOCUMENT_AAD: &[u8] = b"document";

/// A withheld chunk, as an officer sees it.
#[derive(Serialize)]
pub struct WithheldView {
    stream: String,
    chunk: u64,
    records: u32,
    reason: String,
}

impl WithheldView {
    /// How many records wait in it.
    pub fn records(&self) -> u32 {
        self.records
    }
}

impl Node {
    /// Puts a stream on hold or lets it go, from this moment.
    pub async fn hold(
        &self,
        stream: &StreamId,
        held: bool,
        by: &SecurityOfficer,
        reason: &str,
    ) -> Result<(), Problem> {
        if self.rules().plan.recipient_of(stream).is_none() {
            return Err(ProblemCode::StreamUnknown.into());
        }
        let change = Change {
            events: vec![Event::Held { stream: stream.clone(), held }],
            items: Vec::new(),
            entry: Some(entries::hold(self, stream, held, by.name(), reason)),
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
            all.push(WithheldView {
                stream: stream.to_string(),
                chunk,
                records: row.chunk.records,
                reason: row.reason,
            });
        }
        Ok(all)
    }

    /// Lets a withheld chunk out as it is, or throws it away.
    pub async fn rule(
        &self,
        stream: &StreamId,
        chunk: u64,
        release: bool,
        by: &SecurityOfficer,
        reason: &str,
    ) -> Result<(), Problem> {
        let head = self.head(stream).ok_or(ProblemCode::StreamUnknown)?;
        let row = self.queue().get(Table::Withheld as u8, &stream_key(head.id, chunk));
        let row = row.map_err(|_| ProblemCode::Internal)?.ok_or(ProblemCode::NotFound)?;
        let row: WithheldRow = serde_json::from_slice(&row).map_err(|_| ProblemCode::Internal)?;
        let state = if release { WithheldState::Released } else { WithheldState::Discarded };
        let change = Change {
            events: vec![Event::Ruled { stream: stream.clone(), chunk, release }],
            items: Vec::new(),
            entry: Some(entries::withheld(
                self,
                stream,
                state,
                u64::from(row.chunk.records),
                by.name(),
                reason,
            )),
        };
        self.change(change, |_| true).await.map(|_| ()).map_err(super::submit::commit_problem)
    }

    /// Takes a stream up again whose pushing was given up.
    pub async fn retry_push(&self, stream: &StreamId, by: &SystemOfficer) -> Result<(), Problem> {
        if self.head(stream).is_none() {
            return Err(ProblemCode::StreamUnknown.into());
        }
        let change = Change {
            events: vec![Event::DeadLetter { stream: stream.clone(), dead: false }],
            items: Vec::new(),
            entry: Some(entries::configuration(self, "push", stream.as_str(), None, by.name())),
        };
        self.change(change, |_| true).await.map(|_| ()).map_err(super::submit::commit_problem)
    }

    /// Opens an epoch: the first, or a new one after an older state was put back. Blocks.
    pub(super) fn open_epoch(&self, epoch: u64, reason: &str) -> Result<(), CommitError> {
        let size = self.log_size();
        let previous = (epoch > 1).then(|| (epoch - 1, size, self.log().frontier().root()));
        let change = Change {
            events: vec![Event::Epoch { epoch }],
            items: Vec::new(),
            entry: Some(entries::epoch(self, epoch, reason, previous)),
        };
        self.change_blocking(change, |_| true).map(|_| ())
    }

    /// Notes which rules took effect. Blocks.
    pub(super) fn note_configuration(&self, rules: &Rules) -> Result<(), CommitError> {
        self.keep_documents(rules)?;
        self.describe_streams(rules)
    }

    /// Keeps each schema, mapping and policy under its digest. Blocks.
    pub(super) fn keep_documents(&self, rules: &Rules) -> Result<(), CommitError> {
        for dataset in rules.plan.datasets() {
            for s in &dataset.schemas {
                self.keep_document("schema", s.schema.id(), s.schema.document())?;
                for route in &s.routes {
                    let target = route.target_schema();
                    self.keep_document("schema", target.id(), target.document())?;
                    self.keep_document("policy", route.policy().id(), route.policy().document())?;
                    if let Some(mapping) = route.mapping() {
                        self.keep_document("mapping", mapping.id(), mapping.document())?;
                    }
                }
            }
            for r in &dataset.recipients {
                self.keep_document("mapping-set", &r.name, &r.mapping_set)?;
            }
        }
        Ok(())
    }

    /// Notes what streams are made with from now on. Blocks.
    pub(super) fn describe_streams(&self, rules: &Rules) -> Result<(), CommitError> {
        for dataset in rules.plan.datasets() {
            for r in &dataset.recipients {
                let d = &r.description;
                let head = self.head(&r.daily);
                if head.and_then(|h| h.descriptions.last().cloned()).as_ref() == Some(d) {
                    continue;
                }
                let digest = d.mapping_digest.parse().ok();
                let change = Change {
                    events: vec![Event::Described { stream: r.daily.clone(), description: d.clone() }],
                    items: Vec::new(),
                    entry: Some(entries::configuration(
                        self,
                        "stream",
                        r.daily.as_str(),
                        digest,
                        "configuration",
                    )),
                };
                self.change_blocking(change, |_| true)?;
            }
        }
        Ok(())
    }

    fn keep_document(&self, what: &str, name: &str, bytes: &[u8]) -> Result<(), CommitError> {
        let digest = xinqiao_evidence::Digest::of(bytes);
        let key = digest.to_hex();
        if matches!(self.queue().get(Table::Document as u8, key.as_bytes()), Ok(Some(_))) {
            return Ok(());
        }
        let change = Change {
            events: vec![Event::Document { digest: key, item: 0 }],
            items: vec![Item { kind: Kind::Evidence, aad: DOCUMENT_AAD.to_vec(), bytes: bytes.to_vec() }],
            entry: Some(entries::configuration(self, what, name, Some(digest), "configuration")),
        };
        self.change_blocking(change, |_| true).map(|_| ())
    }

    /// A schema, mapping or policy that was in force, by its digest.
    pub fn document(&self, digest: &str) -> Option<Vec<u8>> {
        let place = self.queue().get(Table::Document as u8, digest.as_bytes()).ok()??;
        let place = serde_json::from_slice(&place).ok()?;
        self.reader.read(super::places::reference(place), DOCUMENT_AAD).ok()
    }
}
