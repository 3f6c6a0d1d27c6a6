//! Pushing: a recipient that cannot pull is served at its own HTTPS endpoint, one batch after another, with pauses that
//! double. What cannot be delivered becomes a dead letter: it stays in the queue, is reported, and waits for a person
//! or for the recipient to pull.
//!
//! Protocol: `PUT <url>/<stream>/<seq>/payload` with the payload's bytes, then `PUT <url>/<stream>/<seq>/manifest` with
//! `{"manifest":…,"proof":…,"entry":…}`. The answer to the second is 200 with the acknowledgement (JSON or JWS), or
//! 202 if the recipient will acknowledge later through the API. A batch answered `rejected` is pushed again. Of a batch
//! without a payload, or whose payload is gone, the manifest comes alone.
//!
//! `machine.rs` says in which order, and what happens when something fails; here it is done.

mod machine;

use super::backoff::random;
use crate::trust::{Dial, TrustKeeper};
use bytes::Bytes;
use machine::{Code, Outcome, Pushing, Report, Step};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use xinqiao_client::{Client, ClientError, Profile};
use xinqiao_edge::off_reactor;
use xinqiao_evidence::acknowledgement::{self, Acknowledgement};
use xinqiao_exchange::event::Event;
use xinqiao_exchange::group::Change;
use xinqiao_exchange::names::StreamId;
use xinqiao_node::config::{Push, Recipient};
use xinqiao_node::engine::acknowledge::Received;
use xinqiao_node::engine::offer::Offer;
use xinqiao_node::engine::serve::PayloadParts;
use xinqiao_node::engine::{CommitError, Node};
use xinqiao_runtime::refusal::Refusal;

/// Starts pushing to a recipient that has an endpoint.
pub fn spawn(
    tasks: &mut JoinSet<()>,
    node: &Arc<Node>,
    keeper: &Arc<TrustKeeper>,
    recipient: Recipient,
    stop: &watch::Receiver<bool>,
) {
    let Some(push) = recipient.push.clone() else { return };
    for dataset in node.rules().plan.datasets() {
        for r in dataset.recipients.iter().filter(|r| r.name == recipient.member) {
            for stream in [r.daily.clone(), r.history.clone()] {
                let pusher = Pusher {
                    news: node.news(),
                    node: node.clone(),
                    keeper: keeper.clone(),
                    member: recipient.member.clone(),
                    push: push.clone(),
                    stream,
                    document: Bytes::new(),
                    acknowledgement: Bytes::new(),
                };
                let mut stop = stop.clone();
                tasks.spawn(async move {
                    tokio::select! {
                        () = pusher.run() => {}
                        _ = stop.changed() => {}
                    }
                });
            }
        }
    }
}

struct Pusher {
    node: Arc<Node>,
    keeper: Arc<TrustKeeper>,
    member: String,
    push: Push,
    stream: StreamId,
    /// Commits after the last look.
    news: watch::Receiver<u64>,
    /// Manifest and proof of the batch that was found.
    document: Bytes,
    /// What came back for them.
    acknowledgement: Bytes,
}

impl Pusher {
    async fn run(mut self) {
        let first = Duration::from_millis(self.push.backoff_ms.max(1));
        let mut machine = Pushing::new(self.push.attempts, first);
        loop {
            let outcome = self.perform(machine.step()).await.unwrap_or_else(Outcome::Failed);
            match machine.ended(outcome, random()) {
                Some(Report::Delivered) => self.node.metrics.pushed(&self.member, "delivered"),
                Some(Report::Failed { seq, code, failures }) => {
                    self.node.metrics.pushed(&self.member, "retry");
                    let (stream, code) = (self.stream.as_str(), &*code);
                    tracing::warn!(stream, seq, code, failures, "a push failed");
                }
                None => {}
            }
        }
    }

    async fn perform(&mut self, step: Step) -> Result<Outcome, Code> {
        match step {
            Step::Look { seq } => self.look(seq).await,
            Step::WaitForNews => {
                // The node is never gone while this runs: it holds the sender.
                let _ = self.news.changed().await;
                Ok(Outcome::News)
            }
            Step::SendPayload { seq } => match self.node.offer(&self.member, &self.stream, seq).await {
                Ok(Offer::Payload(found)) => {
                    let payload = self.read(found).await?;
                    let sent = self.put(seq, "payload", "application/octet-stream", payload).await?;
                    Ok(Outcome::Status(sent.0))
                }
                Ok(Offer::Gone) => Ok(Outcome::Gone),
                Ok(Offer::Withheld) => Ok(Outcome::Withheld),
                Err(p) => Err(problem(p)),
            },
            Step::SendManifest { seq } => {
                let document = self.document.clone();
                let (status, acknowledgement) =
                    self.put(seq, "manifest", "application/json", document).await?;
                self.acknowledgement = acknowledgement;
                Ok(Outcome::Status(status))
            }
            Step::Take => self.take().await,
            Step::Pause { length } => {
                tokio::time::sleep(length).await;
                Ok(Outcome::Rested)
            }
            Step::GiveUp => Ok(Outcome::Noted(self.give_up().await)),
        }
    }

    async fn look(&mut self, seq: u64) -> Result<Outcome, Code> {
        // Before anything is looked at, so that nothing committed meanwhile is missed when waiting.
        self.news.mark_unchanged();
        if self.node.head(&self.stream).is_some_and(|h| h.dead) {
            return Ok(Outcome::Dead);
        }
        let list = self.node.batches(&self.member, &self.stream, seq - 1, 1, Duration::ZERO).await;
        let document = list.map_err(problem)?.first();
        let (Some(head), Some(document)) = (self.node.head(&self.stream), document) else {
            return Ok(Outcome::Nothing);
        };
        let batch = self.node.batch(&head, seq).ok_or("batch.unknown")?;
        self.document = document;
        let acknowledged = batch.acknowledgement.as_ref().is_some_and(|a| a.outcome.is_final());
        Ok(Outcome::Found { acknowledged, payload: !batch.void })
    }

    async fn read(&self, found: PayloadParts) -> Result<Bytes, Code> {
        let (node, stream) = (self.node.clone(), self.stream.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut all = Vec::with_capacity(found.bytes as usize);
            for part in found.parts {
                all.extend(node.payload_part(&stream, part)?);
            }
            Some(Bytes::from(all))
        });
        Ok(read.await.ok().flatten().ok_or("disk.failed")?)
    }

    async fn put(&self, seq: u64, what: &str, media_type: &str, body: Bytes) -> Result<(u16, Bytes), Code> {
        let path = format!("{}/{}/{seq}/{what}", self.push.split().1, self.stream);
        self.client().map_err(code)?.put(&path, media_type, body).await.map_err(code)
    }

    async fn take(&mut self) -> Result<Outcome, Code> {
        let body = std::mem::take(&mut self.acknowledgement);
        let (as_sent, keys) = (body.clone(), self.node.acknowledgement_keys(&self.member));
        let read =
            move || Acknowledgement::from_json(&body).or_else(|_| Acknowledgement::from_jws(&body, &keys));
        let said = off_reactor(as_sent.len(), read).await.map_err(|_| "acknowledgement.malformed")?;
        let outcome = said.outcome;
        let received = Received { said, as_sent, paid: None };
        self.node.acknowledge(&self.member, &self.stream, received).await.map_err(problem)?;
        Ok(match outcome {
            acknowledgement::Outcome::Rejected => Outcome::Rejected,
            acknowledgement::Outcome::Accepted | acknowledgement::Outcome::Partial => Outcome::Final,
        })
    }

    /// Notes that the stream's batches wait for a person; false if that could not be written.
    async fn give_up(&self) -> bool {
        self.node.metrics.pushed(&self.member, "dead");
        tracing::error!(stream = self.stream.as_str(), "pushing was given up; the batches wait in the queue");
        let change = Change {
            events: vec![Event::DeadLetter { stream: self.stream.clone(), dead: true }],
            ..Change::default()
        };
        let noted = self.node.change(change, |_| true).await;
        if let Err(e) = &noted
            && *e != CommitError::Stopping
        {
            tracing::error!(stream = self.stream.as_str(), ?e, "the dead letter could not be noted");
        }
        noted.is_ok()
    }

    fn client(&self) -> Result<Client, ClientError> {
        let exchange = &self.node.config.exchange;
        let (origin, _) = self.push.split();
        let mut profile = Profile::new(origin, &exchange.certificate, &exchange.key, &self.push.authorities);
        profile.address = self.push.address.clone();
        self.keeper.client(&Dial::Push(self.member.clone()), &profile)
    }
}

fn code(error: ClientError) -> Code {
    error.code().to_owned().into()
}

fn problem(p: Refusal) -> Code {
    p.code().to_string().into()
}
