//! Taking another node's batches: pulled, verified in memory, checked as a source's records are, committed together
//! with the place reached, and only then acknowledged. Nothing of a payload touches the disk unencrypted.
//!
//! `machine.rs` says in which order, and what happens when something fails; here it is done.

mod machine;
mod proof;

use super::backoff::random;
use crate::trust::{Dial, TrustKeeper};
use bytes::Bytes;
use machine::{Code, Outcome, Reached, Relay, Step};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use xinqiao_client::{BatchEntry, Client, ClientError, FollowedKeys, Profile};
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::manifest::{Limits, PayloadVerifier, VerifiedManifest};
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::state::RelayRow;
use xinqiao_node::config::Upstream;
use xinqiao_node::engine::Node;
use xinqiao_node::engine::relayed::RelayRefusal;

/// Starts following every stream of an upstream.
pub fn spawn(
    tasks: &mut JoinSet<()>,
    node: &Arc<Node>,
    keeper: &Arc<TrustKeeper>,
    upstream: Upstream,
    stop: &watch::Receiver<bool>,
) {
    for stream in upstream.streams.clone() {
        let (node, keeper) = (node.clone(), keeper.clone());
        let follower = Follower { node, keeper, upstream: upstream.clone(), stream, link: None };
        let mut stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = follower.follow() => {}
                _ = stop.changed() => {}
            }
        });
    }
}

struct Follower {
    node: Arc<Node>,
    keeper: Arc<TrustKeeper>,
    upstream: Upstream,
    stream: String,
    link: Option<Link>,
}

/// What is made when connecting, and what steps leave for the next ones.
struct Link {
    stream: StreamId,
    client: Client,
    keys: FollowedKeys,
    /// The keys that were pinned when `keys` began.
    pinned: Jwks,
    row: RelayRow,
    listed: Vec<BatchEntry>,
    manifest: Option<VerifiedManifest>,
    payload: Bytes,
    lines: Bytes,
    acknowledgement: Bytes,
}

impl Follower {
    async fn follow(mut self) {
        let mut machine = Relay::new(self.upstream.node.as_str(), &self.stream);
        loop {
            let outcome = self.perform(machine.step()).await.unwrap_or_else(Outcome::Failed);
            machine.ended(outcome, random());
        }
    }

    async fn perform(&mut self, step: Step) -> Result<Outcome, Code> {
        match (step, &mut self.link) {
            (Step::Connect, _) => {
                self.link = Some(self.connect()?);
                Ok(Outcome::Connected)
            }
            (Step::Pause { code, length }, _) => {
                self.link = None;
                let (upstream, stream) = (self.upstream.member.as_str(), self.stream.as_str());
                tracing::warn!(upstream, stream, code = &*code, "the relay waits and tries again");
                tokio::time::sleep(length).await;
                Ok(Outcome::Rested)
            }
            (step, Some(link)) => link.perform(step, &self.node, &self.keeper, &self.upstream).await,
            (_, None) => Err("relay.settings".into()),
        }
    }

    fn connect(&self) -> Result<Link, Code> {
        let (upstream, exchange) = (&self.upstream, &self.node.config.exchange);
        let certificate = upstream.certificate.as_deref().unwrap_or(&exchange.certificate);
        let key = upstream.key.as_deref().unwrap_or(&exchange.key);
        let mut profile = Profile::new(&upstream.url, certificate, key, &upstream.authorities);
        profile.address = upstream.address.clone();
        let pinned = self.keeper.pinned_keys(&upstream.member).ok_or("relay.keys")?;
        Ok(Link {
            stream: StreamId::parse(&self.stream).map_err(|_| "relay.stream")?,
            client: self.keeper.client(&Dial::Upstream(upstream.member.clone()), &profile).map_err(code)?,
            keys: FollowedKeys::new(pinned.clone()),
            pinned,
            row: RelayRow::default(),
            listed: Vec::new(),
            manifest: None,
            payload: Bytes::new(),
            lines: Bytes::new(),
            acknowledgement: Bytes::new(),
        })
    }
}

impl Link {
    async fn perform(
        &mut self,
        step: Step,
        node: &Arc<Node>,
        keeper: &TrustKeeper,
        upstream: &Upstream,
    ) -> Result<Outcome, Code> {
        let stream = self.stream.as_str();
        Ok(match step {
            Step::Look => {
                if let Some(pinned) = keeper.pinned_keys(&upstream.member)
                    && pinned.to_json() != self.pinned.to_json()
                {
                    self.keys = FollowedKeys::new(pinned.clone());
                    self.pinned = pinned;
                }
                self.row = node.relayed(&upstream.member, &self.stream);
                let RelayRow { epoch, seq, ref digest, acknowledgement, .. } = self.row;
                Outcome::Reached(Reached {
                    epoch,
                    seq,
                    digest: digest.clone(),
                    has_acknowledgement: acknowledgement.is_some(),
                })
            }
            Step::Repeat => {
                let acknowledgement =
                    node.relayed_acknowledgement(&self.stream, &self.row).map_err(refusal)?;
                let acknowledgement = acknowledgement.ok_or("relay.answer-lost")?;
                self.client.acknowledge(stream, acknowledgement.into()).await.map_err(code)?;
                Outcome::Repeated
            }
            Step::List { after, limit, wait } => {
                let page = self.client.batches(stream, after, limit, wait).await.map_err(code)?;
                self.listed = page.batches;
                Outcome::Listed(self.listed.len())
            }
            Step::Verify { entry } => {
                let listed = self.listed.get(entry).ok_or("relay.manifest")?;
                let keys = self.keys.jwks();
                match proof::verify(listed, keys) {
                    Some(manifest) => {
                        let claims = proof::claims(&manifest, listed, upstream.node.as_str(), keys);
                        self.manifest = Some(manifest);
                        Outcome::Verified(claims)
                    }
                    None => Outcome::Unverified,
                }
            }
            Step::LearnKeys => Outcome::Learnt(self.keys.refresh(&self.client).await.map_err(code)?),
            Step::Fetch { seq } => match self.client.payload(stream, seq).await {
                Ok(payload) => {
                    self.payload = payload;
                    Outcome::Fetched
                }
                Err(e) if e.is_gone() => Outcome::Gone,
                Err(e) => return Err(code(e)),
            },
            Step::Check => {
                let manifest = self.manifest.clone().ok_or("relay.payload")?;
                let payload = std::mem::take(&mut self.payload);
                let checked = tokio::task::spawn_blocking(move || lines(&manifest, &payload)).await;
                match checked.ok().flatten() {
                    Some(lines) => {
                        self.lines = lines;
                        Outcome::Checked
                    }
                    None => Outcome::Damaged,
                }
            }
            Step::Commit { lines } => {
                let manifest = self.manifest.take().ok_or("relay.manifest")?;
                let checked = std::mem::take(&mut self.lines);
                let lines = if lines { checked } else { Bytes::new() };
                let acknowledgement = node.take_relayed(upstream, &self.stream, &manifest, lines).await;
                self.acknowledgement = acknowledgement.map_err(refusal)?.to_json().into();
                Outcome::Committed
            }
            Step::Acknowledge => {
                let acknowledgement = std::mem::take(&mut self.acknowledgement);
                self.client.acknowledge(stream, acknowledgement).await.map_err(code)?;
                Outcome::Acknowledged
            }
            Step::Connect | Step::Pause { .. } => return Err("relay.settings".into()),
        })
    }
}

/// The lines of a payload that is what its manifest says.
fn lines(manifest: &VerifiedManifest, payload: &[u8]) -> Option<Bytes> {
    let mut lines = Vec::with_capacity(manifest.manifest().payload.raw_bytes.min(64 << 20) as usize);
    let mut verifier = PayloadVerifier::new(manifest, Limits::default()).ok()?;
    let mut keep = |_: u64, line: &[u8]| {
        lines.extend_from_slice(line);
        lines.push(b'\n');
    };
    verifier.feed(payload, &mut keep).ok()?;
    verifier.finish().ok()?;
    Some(Bytes::from(lines))
}

fn code(error: ClientError) -> Code {
    error.code().to_owned().into()
}

fn refusal(why: RelayRefusal) -> Code {
    why.code().into()
}
