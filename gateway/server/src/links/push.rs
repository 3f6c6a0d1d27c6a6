//! Pushing: a recipient that cannot pull is served at its own HTTPS endpoint, one batch after another, with pauses that
//! double. What cannot be delivered becomes a dead letter: it stays in the queue, is reported, and waits for a person
//! or for the recipient to pull.
//!
//! Protocol: `PUT <url>/<stream>/<seq>/payload` with the payload's bytes, then `PUT <url>/<stream>/<seq>/manifest` with
//! `{"manifest":…,"proof":…,"entry":…}`. The answer to the second is 200 with the acknowledgement (JSON or JWS), or
//! 202 if the recipient will acknowledge later through the API. A batch answered `rejected` is pushed again.

use super::relay::jitter;
use crate::standing::{Dial, Keeper};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use xinqiao_client::{Client, Profile};
use xinqiao_edge::off_reactor;
use xinqiao_evidence::acknowledgement::{Acknowledgement, Outcome};
use xinqiao_exchange::event::Event;
use xinqiao_exchange::group::Change;
use xinqiao_exchange::names::StreamId;
use xinqiao_node::config::{Push, Recipient};
use xinqiao_node::engine::acknowledge::Received;
use xinqiao_node::engine::{CommitError, Node};

const BACKOFF_MOST: Duration = Duration::from_secs(600);

/// Starts pushing to a recipient that has an endpoint.
pub fn spawn(
    tasks: &mut JoinSet<()>,
    node: &Arc<Node>,
    keeper: &Arc<Keeper>,
    recipient: Recipient,
    stop: &watch::Receiver<bool>,
) {
    let Some(push) = recipient.push.clone() else { return };
    for dataset in node.rules().plan.datasets() {
        for r in dataset.recipients.iter().filter(|r| r.name == recipient.member) {
            for stream in [r.daily.clone(), r.history.clone()] {
                let pusher = Pusher {
                    node: node.clone(),
                    keeper: keeper.clone(),
                    member: recipient.member.clone(),
                    push: push.clone(),
                    stream,
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
    keeper: Arc<Keeper>,
    member: String,
    push: Push,
    stream: StreamId,
}

/// How an attempt ended.
enum Pushed {
    /// Answered for good.
    Answered,
    /// Delivered; the answer will come by itself.
    Later,
    /// Nothing to push.
    Nothing,
}

impl Pusher {
    async fn run(&self) {
        let mut next = 1u64;
        let mut failures = 0u32;
        let mut pause = Duration::from_millis(self.push.backoff_ms.max(1));
        loop {
            let mut news = self.node.news();
            news.mark_unchanged();
            if self.node.head(&self.stream).is_some_and(|h| h.dead) {
                failures = 0;
                let _ = news.changed().await;
                continue;
            }
            match self.attempt(next).await {
                Ok(Pushed::Nothing) => {
                    let _ = news.changed().await;
                }
                Ok(Pushed::Answered | Pushed::Later) => {
                    self.node.metrics.pushed(&self.member, "delivered");
                    next += 1;
                    failures = 0;
                    pause = Duration::from_millis(self.push.backoff_ms.max(1));
                }
                Err(code) => {
                    failures += 1;
                    self.node.metrics.pushed(&self.member, "retry");
                    tracing::warn!(
                        stream = self.stream.as_str(),
                        seq = next,
                        code,
                        failures,
                        "a push failed"
                    );
                    if failures >= self.push.attempts {
                        self.give_up().await;
                        continue;
                    }
                    tokio::time::sleep(pause + jitter(pause)).await;
                    pause = (pause * 2).min(BACKOFF_MOST);
                }
            }
        }
    }

    async fn give_up(&self) {
        self.node.metrics.pushed(&self.member, "dead");
        tracing::error!(stream = self.stream.as_str(), "pushing was given up; the batches wait in the queue");
        let change = Change {
            events: vec![Event::DeadLetter { stream: self.stream.clone(), dead: true }],
            ..Change::default()
        };
        if let Err(e) = self.node.change(change, |_| true).await
            && e != CommitError::Stopping
        {
            tracing::error!(stream = self.stream.as_str(), ?e, "the dead letter could not be noted");
        }
    }

    async fn attempt(&self, seq: u64) -> Result<Pushed, String> {
        let problem = |p: xinqiao_runtime::problem::Problem| p.code().to_string();
        let (head, list) = {
            let list = self.node.batches(&self.member, &self.stream, seq - 1, 1, Duration::ZERO).await;
            (self.node.head(&self.stream), list.map_err(problem)?)
        };
        let (Some(head), Some(document)) = (head, list.first()) else { return Ok(Pushed::Nothing) };
        let batch = self.node.batch(&head, seq).ok_or("batch.unknown")?;
        if batch.answer.as_ref().is_some_and(|a| a.outcome.is_final()) {
            return Ok(Pushed::Answered);
        }
        let client = self.client().map_err(|e| e.code().to_owned())?;
        if !batch.void {
            let payload = self.payload(seq).await?;
            let path = format!("{}/{}/{seq}/payload", self.push.split().1, self.stream);
            let sent = client.put(&path, "application/octet-stream", payload).await;
            let status = sent.map_err(|e| e.code().to_owned())?.0;
            if !(200..300).contains(&status) {
                return Err(format!("status-{status}"));
            }
        }
        let path = format!("{}/{}/{seq}/manifest", self.push.split().1, self.stream);
        let sent = client.put(&path, "application/json", document).await;
        let (status, body) = sent.map_err(|e| e.code().to_owned())?;
        match status {
            202 => Ok(Pushed::Later),
            200 => {
                let (as_sent, keys) = (body.clone(), self.node.acknowledgement_keys(&self.member));
                let read = move || {
                    Acknowledgement::from_json(&body).or_else(|_| Acknowledgement::from_jws(&body, &keys))
                };
                let said = off_reactor(as_sent.len(), read).await;
                let said = said.map_err(|_| "acknowledgement.malformed".to_owned())?;
                let outcome = said.outcome;
                let received = Received { said, as_sent, paid: None };
                let taken = self.node.acknowledge(&self.member, &self.stream, received).await;
                taken.map_err(problem)?;
                // A rejected batch stays pending: it is pushed again, as long as any other failure is.
                match outcome {
                    Outcome::Rejected => Err("recipient-rejected".to_owned()),
                    Outcome::Accepted | Outcome::Partial => Ok(Pushed::Answered),
                }
            }
            other => Err(format!("status-{other}")),
        }
    }

    async fn payload(&self, seq: u64) -> Result<Bytes, String> {
        let problem = |p: xinqiao_runtime::problem::Problem| p.code().to_string();
        let found = self.node.payload(&self.member, &self.stream, seq).await.map_err(problem)?;
        self.node.note_served(&self.stream, seq, &found).await.map_err(problem)?;
        let (node, stream) = (self.node.clone(), self.stream.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut all = Vec::with_capacity(found.bytes as usize);
            for part in found.parts {
                all.extend(node.payload_part(&stream, part)?);
            }
            Some(Bytes::from(all))
        });
        read.await.ok().flatten().ok_or_else(|| "disk.failed".to_owned())
    }

    fn client(&self) -> Result<Client, xinqiao_client::ClientError> {
        let exchange = &self.node.config.exchange;
        let (origin, _) = self.push.split();
        let mut profile = Profile::new(origin, &exchange.certificate, &exchange.key, &self.push.authorities);
        profile.address = self.push.address.clone();
        self.keeper.client(&Dial::Push(self.member.clone()), &profile)
    }
}
