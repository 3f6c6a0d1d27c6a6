//! Taking a batch of an upstream node: checked as a source's records are, committed together with the place reached and
//! the acknowledgement to give. Pulling and verifying it come before, answering comes after; both are the relay's.

use super::Node;
use super::commit_error::CommitError;
use super::committer::{Job, SubmissionJob};
use super::entries::{self, SubmissionEntry};
use super::order::{Attempts, Preparation};
use super::places::reference;
use super::telemetry::Relayed;
use crate::config::Upstream;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::oneshot;
use xinqiao_evidence::Digests;
use xinqiao_evidence::acknowledgement::{Acknowledgement, LineError, Outcome};
use xinqiao_evidence::manifest::VerifiedManifest;
use xinqiao_evidence::timestamp::Timestamp;
use xinqiao_exchange::accept::{RelayBatch, Surroundings, TakenBatch, accept_relayed};
use xinqiao_exchange::event::Event;
use xinqiao_exchange::group::{Item, Kind, Ready};
use xinqiao_exchange::known::{Known, UpstreamLane};
use xinqiao_exchange::names::{Lane, StreamId};
use xinqiao_exchange::op::{Load, Op};
use xinqiao_exchange::secrets::RecordId;
use xinqiao_exchange::state::{RelayRow, Table, relay_key};

/// The highest epoch that is taken: one per restore, so a higher one is a fault.
const HIGHEST_EPOCH: u64 = 1 << 32;

/// Why a batch of an upstream was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayRefusal {
    /// This node could not commit it.
    Commit(CommitError),
    /// A person must decide: a stable code.
    Setting(&'static str),
    /// Judging it ended unexpectedly.
    Failed,
}

impl RelayRefusal {
    /// A stable code for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Commit(CommitError::DiskFull) => "relay.disk-full",
            Self::Commit(_) => "relay.not-committed",
            Self::Setting(code) => code,
            Self::Failed => "relay.judge",
        }
    }
}

impl Node {
    /// How far a stream of an upstream was taken.
    pub fn relayed(&self, upstream: &str, stream: &StreamId) -> RelayRow {
        let key = relay_key(upstream, stream.as_str());
        let row = self.queue().get(Table::Relay as u8, &key).ok().flatten();
        row.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// The acknowledgement that was committed with the last batch taken; a crash may have come before it was given.
    ///
    /// # Errors
    /// The journal does not give it back.
    pub fn relayed_acknowledgement(
        &self,
        stream: &StreamId,
        row: &RelayRow,
    ) -> Result<Option<Vec<u8>>, RelayRefusal> {
        let Some(place) = row.acknowledgement else { return Ok(None) };
        let read = self.reader.read(reference(place), stream.as_str().as_bytes());
        read.map(Some).map_err(|_| RelayRefusal::Setting("relay.answer-lost"))
    }

    /// Judges and commits the lines of a verified batch; returns the acknowledgement to give, committed with them.
    ///
    /// # Errors
    /// Nothing was committed, or it is unknown whether (`outcome-unknown`): ask again with the same batch.
    pub async fn take_relayed(
        self: &Arc<Self>,
        upstream: &Upstream,
        stream: &StreamId,
        manifest: &VerifiedManifest,
        lines: Bytes,
    ) -> Result<Acknowledgement, RelayRefusal> {
        let mut attempts = Attempts::new(self);
        while attempts.next().await.map_err(RelayRefusal::Commit)? {
            let validate =
                Validation { node: self.clone(), upstream: upstream.clone(), stream: stream.clone() };
            let (verified, bytes) = (manifest.clone(), lines.clone());
            let made = tokio::task::spawn_blocking(move || validate.validate(&verified, &bytes)).await;
            let Validated { ready, preparation, rules, acknowledgement, counts } =
                made.map_err(|_| RelayRefusal::Failed)??;
            attempts.prepared(&ready.prepared);
            let (reply, done) = oneshot::channel();
            let in_turn = attempts.in_turn();
            let job = SubmissionJob { ready, rules, preparation, in_turn, idempotency: None, reply };
            self.jobs
                .send(Job::Submission(Box::new(job)))
                .map_err(|_| RelayRefusal::Commit(CommitError::Stopping))?;
            match done.await.unwrap_or(Err(CommitError::Stopping)) {
                Ok(_) => {
                    self.metrics.relayed(&upstream.member, counts);
                    return Ok(acknowledgement);
                }
                // Judged by rules or tombstones that are no longer the newest.
                Err(CommitError::Stale) => continue,
                Err(e) => return Err(RelayRefusal::Commit(e)),
            }
        }
        Err(RelayRefusal::Commit(CommitError::Stale))
    }
}

/// What judging needs, on a thread of its own.
struct Validation {
    node: Arc<Node>,
    upstream: Upstream,
    stream: StreamId,
}

/// A batch ready to be committed.
struct Validated {
    ready: Ready,
    preparation: Preparation,
    /// The number of the rules it was judged by.
    rules: u64,
    acknowledgement: Acknowledgement,
    counts: Relayed,
}

impl Validation {
    fn validate(&self, manifest: &VerifiedManifest, lines: &[u8]) -> Result<Validated, RelayRefusal> {
        let said = manifest.manifest();
        let node = &self.node;
        if said.epoch > HIGHEST_EPOCH {
            return Err(RelayRefusal::Setting("relay.epoch-out-of-range"));
        }
        let preparation = node.preparations.begin();
        let rules = node.rules();
        let dataset =
            rules.plan.dataset(&said.dataset).ok_or(RelayRefusal::Setting("relay.dataset-unknown"))?;
        let schema =
            dataset.schema(Some(&said.schema)).ok_or(RelayRefusal::Setting("relay.schema-unknown"))?;
        if let Some(coming) = &said.control {
            // Answering says that lines under the announced schema can be taken.
            dataset.schema(Some(&coming.schema)).ok_or(RelayRefusal::Setting("relay.schema-unknown"))?;
        }
        let source =
            rules.sources.get(&self.upstream.member).ok_or(RelayRefusal::Setting("relay.no-source"))?;
        let from = UpstreamLane::new(&self.upstream.member, &self.stream);
        let known = |id: &RecordId| {
            let recalled = node.tombstones.read().rev(&said.dataset, id);
            Known::of_another_node(recalled, node.lineages.read().newest(&from, id))
        };
        let around = Surroundings {
            next_rev: &|| node.next_rev(),
            leap_rev: &|next| node.leap_rev(next),
            known: &known,
            // Key fields of another node's line lead nowhere: its lineage is that node.
            registered: &|_| None,
            has_older: false,
            stream_in_use: &|s| node.state.read().streams.contains_key(s),
            make_room: &std::thread::yield_now,
        };
        let digest = manifest.digest().to_hex();
        let batch = RelayBatch {
            dataset,
            schema,
            source,
            upstream: &self.upstream.node,
            own: &node.name,
            lane: self.stream.lane(),
            manifest_digest: &digest,
            lines,
            received: node.business_date(),
            caps: &node.caps,
            observe_rev: &|rev| node.observe_rev(rev),
        };
        let TakenBatch { prepared, highest } = accept_relayed(batch, &around);
        let acknowledgement = self.acknowledgement(manifest, &prepared.rejected);
        let salt = (node.salts)();
        let load = if self.stream.lane() == Lane::History { Load::History } else { Load::Daily };
        let entry = entries::submission(
            node,
            &SubmissionEntry {
                member: &source.member,
                dataset: &said.dataset,
                schema: &said.schema,
                op: Op::Put,
                load,
                strict: false,
                time: node.clock.now(),
                prepared: &prepared,
                salt: &salt,
                body: manifest.digest().as_bytes(),
            },
        );
        let counts = Relayed {
            accepted: u64::from(prepared.accepted),
            refused: u64::from(prepared.refused - prepared.looped),
            looped: u64::from(prepared.looped),
        };
        let descriptions = dataset.recipients.iter().map(|r| r.description.clone()).collect();
        let mut ready =
            Ready::new(prepared, (&source.member, &said.dataset, Op::Put), &salt, entry, descriptions);
        ready.also = vec![Event::Relayed {
            upstream: self.upstream.member.clone(),
            stream: self.stream.to_string(),
            seq: said.seq,
            epoch: said.epoch,
            digest,
            acknowledgement: 0,
            highest: Some(highest),
        }];
        ready.items = vec![Item {
            kind: Kind::Evidence,
            aad: self.stream.as_str().as_bytes().to_vec(),
            bytes: acknowledgement.to_json(),
        }];
        Ok(Validated { ready, preparation, rules: rules.number, acknowledgement, counts })
    }

    fn acknowledgement(&self, manifest: &VerifiedManifest, rejected: &str) -> Acknowledgement {
        #[derive(serde::Deserialize)]
        struct Found<'a> {
            code: std::borrow::Cow<'a, str>,
            record: Option<u64>,
            severity: std::borrow::Cow<'a, str>,
            zh: std::borrow::Cow<'a, str>,
        }
        let found: Vec<Found<'_>> = serde_json::from_str(rejected).unwrap_or_default();
        let mut errors: Vec<LineError> = Vec::new();
        for f in found.iter().filter(|f| f.severity == "refuse") {
            let Some(record) = f.record else { continue };
            if errors.last().is_none_or(|e| e.record < record) {
                errors.push(LineError { code: f.code.to_string(), message: f.zh.to_string(), record });
            }
        }
        let said = manifest.manifest();
        Acknowledgement {
            epoch: said.epoch,
            outcome: if errors.is_empty() { Outcome::Accepted } else { Outcome::Partial },
            errors,
            manifest_digest: Digests::sha256(manifest.digest()),
            node: said.node.clone(),
            seq: said.seq,
            stream: said.stream.clone(),
            time: Timestamp::of_unix(self.node.clock.now()),
        }
    }
}
