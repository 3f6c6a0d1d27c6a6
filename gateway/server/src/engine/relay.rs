//! Taking another node's batches: pulled, verified in memory, judged as a source's records are, committed together
//! with the place reached, and only then acknowledged. Nothing of a payload touches the disk unencrypted.

use super::Node;
use super::committer::{CommitError, Job, SubmissionJob};
use super::entries::{self, SubmissionEntry};
use super::places::reference;
use crate::config::Upstream;
use crate::standing::{Dial, Keeper};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use xinqiao_client::{BatchEntry, Client, ClientError, FollowedKeys, Profile};
use xinqiao_evidence::Digests;
use xinqiao_evidence::acknowledgement::{Acknowledgement, LineError, Outcome};
use xinqiao_evidence::base64;
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::manifest::{Limits, PayloadVerifier, SignedManifest, VerifiedManifest};
use xinqiao_evidence::receipt::Salt;
use xinqiao_evidence::timestamp::Timestamp;
use xinqiao_evidence::tlog::LogProof;
use xinqiao_exchange::accept::{RelayBatch, Surroundings, accept_relayed};
use xinqiao_exchange::event::Event;
use xinqiao_exchange::group::{Item, Kind, Ready};
use xinqiao_exchange::names::{Lane, StreamId};
use xinqiao_exchange::op::{Load, Op};
use xinqiao_exchange::state::{RelayRow, Table, relay_key};

const WAIT: Duration = Duration::from_secs(25);
const LIMIT: u32 = 8;
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MOST: Duration = Duration::from_secs(60);

/// What stops a relay for now.
#[derive(Debug)]
enum RelayError {
    /// The upstream, the network, or a proof that fails.
    Client(ClientError),
    /// The batch does not verify: a stable code.
    Unverified(&'static str),
    /// This node could not commit it.
    Commit(CommitError),
    /// A person must decide.
    Setting(&'static str),
}

impl RelayError {
    fn code(&self) -> &str {
        match self {
            Self::Client(e) => e.code(),
            Self::Unverified(code) | Self::Setting(code) => code,
            Self::Commit(CommitError::DiskFull) => "relay.disk-full",
            Self::Commit(_) => "relay.not-committed",
        }
    }
}

impl From<ClientError> for RelayError {
    fn from(e: ClientError) -> Self {
        Self::Client(e)
    }
}

/// Starts following every stream of an upstream.
pub fn spawn(
    tasks: &mut JoinSet<()>,
    node: &Arc<Node>,
    keeper: &Arc<Keeper>,
    upstream: Upstream,
    stop: &watch::Receiver<bool>,
) {
    for stream in upstream.streams.clone() {
        let (node, keeper) = (node.clone(), keeper.clone());
        let (upstream, mut stop) = (upstream.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = follow(node, keeper, upstream, stream) => {}
                _ = stop.changed() => {}
            }
        });
    }
}

async fn follow(node: Arc<Node>, keeper: Arc<Keeper>, upstream: Upstream, stream: String) {
    let mut pause = BACKOFF_FIRST;
    let mut follower = None;
    loop {
        if follower.is_none() {
            follower = Follower::open(&node, &keeper, &upstream, &stream)
                .map_err(|e| report(&upstream, &stream, &e))
                .ok();
        }
        let outcome = match &mut follower {
            Some(f) => f.round().await,
            None => Err(RelayError::Setting("relay.settings")),
        };
        match outcome {
            Ok(()) => pause = BACKOFF_FIRST,
            Err(e) => {
                report(&upstream, &stream, &e);
                follower = None;
                tokio::time::sleep(pause + jitter(pause)).await;
                pause = (pause * 2).min(BACKOFF_MOST);
            }
        }
    }
}

fn report(upstream: &Upstream, stream: &str, e: &RelayError) {
    tracing::warn!(upstream = upstream.member, stream, code = e.code(), "the relay waits and tries again");
}

/// Up to half of a pause, so that many clients do not come back at once.
pub(super) fn jitter(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0u8) % 1_000;
    pause.mul_f64(random as f64 / 2_000.0)
}

struct Follower {
    node: Arc<Node>,
    upstream: Upstream,
    stream: StreamId,
    client: Client,
    keys: FollowedKeys,
    keeper: Arc<Keeper>,
    /// The keys that were pinned when `keys` began.
    pinned: Jwks,
    answered: bool,
}

impl Follower {
    fn open(
        node: &Arc<Node>,
        keeper: &Arc<Keeper>,
        upstream: &Upstream,
        stream: &str,
    ) -> Result<Self, RelayError> {
        let exchange = &node.config.exchange;
        let certificate = upstream.certificate.as_deref().unwrap_or(&exchange.certificate);
        let key = upstream.key.as_deref().unwrap_or(&exchange.key);
        let mut profile = Profile::new(&upstream.url, certificate, key, &upstream.authorities);
        profile.address = upstream.address.clone();
        let pinned = keeper.pinned_keys(&upstream.member).ok_or(RelayError::Setting("relay.keys"))?;
        Ok(Self {
            node: node.clone(),
            upstream: upstream.clone(),
            stream: StreamId::parse(stream).map_err(|_| RelayError::Setting("relay.stream"))?,
            client: keeper.client(&Dial::Upstream(upstream.member.clone()), &profile)?,
            keeper: keeper.clone(),
            keys: FollowedKeys::new(pinned.clone()),
            pinned,
            answered: false,
        })
    }

    fn reached(&self) -> RelayRow {
        let key = relay_key(&self.upstream.member, self.stream.as_str());
        let row = self.node.queue().get(Table::Relay as u8, &key).ok().flatten();
        row.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Asks once and takes what comes.
    async fn round(&mut self) -> Result<(), RelayError> {
        if let Some(pinned) = self.keeper.pinned_keys(&self.upstream.member)
            && pinned.to_json() != self.pinned.to_json()
        {
            self.keys = FollowedKeys::new(pinned.clone());
            self.pinned = pinned;
        }
        let reached = self.reached();
        // A crash may have come between committing and answering: the last answer is given again.
        if !self.answered {
            if let Some(place) = reached.answer {
                let aad = self.stream.as_str().as_bytes();
                let answer = self.node.reader.read(reference(place), aad);
                let answer = answer.map_err(|_| RelayError::Setting("relay.answer-lost"))?;
                self.client.acknowledge(self.stream.as_str(), answer.into()).await?;
            }
            self.answered = true;
        }
        let page = self.client.batches(self.stream.as_str(), reached.seq, LIMIT, WAIT).await?;
        let mut last = reached;
        for entry in &page.batches {
            last = self.take(entry, &last).await?;
        }
        Ok(())
    }

    async fn take(&mut self, entry: &BatchEntry, last: &RelayRow) -> Result<RelayRow, RelayError> {
        let manifest = match self.verify(entry, last) {
            // The upstream may have changed its keys: go on from those that were pinned.
            Err(RelayError::Unverified("relay.manifest" | "relay.log-proof"))
                if self.keys.refresh(&self.client).await? =>
            {
                self.verify(entry, last)?
            }
            other => other?,
        };
        let said = manifest.manifest();
        let lines = match said.records {
            0 => Bytes::new(),
            _ => match self.lines(&manifest).await {
                // Taken back, or past its age, before this node came for it: its place in the chain is all there is.
                Err(RelayError::Client(e)) if e.is_gone() => Bytes::new(),
                lines => lines?,
            },
        };
        let answer = self.commit(&manifest, lines).await?;
        self.answered = false;
        self.client.acknowledge(self.stream.as_str(), answer.to_json().into()).await?;
        self.answered = true;
        Ok(RelayRow { epoch: said.epoch, seq: said.seq, digest: manifest.digest().to_hex(), answer: None })
    }

    fn verify(&self, entry: &BatchEntry, last: &RelayRow) -> Result<VerifiedManifest, RelayError> {
        let signed = SignedManifest::parse(entry.manifest.get().as_bytes());
        let manifest = signed
            .and_then(|s| s.verify(self.keys.jwks()))
            .map_err(|_| RelayError::Unverified("relay.manifest"))?;
        let said = manifest.manifest();
        if said.node != self.upstream.node.as_str() || said.stream != self.stream.as_str() {
            return Err(RelayError::Unverified("relay.other-stream"));
        }
        let prev = said.prev.as_ref().map_or(String::new(), |d| d.sha256.to_hex());
        let follows = said.seq == last.seq + 1 && prev == last.digest;
        if last.epoch != 0 && said.epoch != last.epoch {
            return Err(RelayError::Setting("relay.new-epoch"));
        }
        if !follows {
            return Err(RelayError::Unverified("relay.chain-broken"));
        }
        let logged = entry
            .entry
            .as_deref()
            .and_then(base64::decode)
            .ok_or(RelayError::Unverified("relay.log-entry"))?;
        let names_it = matches!(
            xinqiao_evidence::entry::Entry::from_bytes(&logged).map(|e| e.event),
            Ok(xinqiao_evidence::entry::Event::Batch { ref manifest_digest, seq, .. })
                if manifest_digest.sha256 == manifest.digest() && seq == said.seq
        ) || said.void.is_some();
        let proof =
            LogProof::from_text(&entry.proof).map_err(|_| RelayError::Unverified("relay.log-proof"))?;
        let proven = proof.verify_with_jwks(&logged, self.upstream.node.as_str(), self.keys.jwks()).is_ok();
        if names_it && proven { Ok(manifest) } else { Err(RelayError::Unverified("relay.log-proof")) }
    }

    async fn lines(&self, manifest: &VerifiedManifest) -> Result<Bytes, RelayError> {
        let payload = self.client.payload(self.stream.as_str(), manifest.manifest().seq).await?;
        let manifest = manifest.clone();
        let work = tokio::task::spawn_blocking(move || {
            let mut lines = Vec::with_capacity(manifest.manifest().payload.raw_bytes.min(64 << 20) as usize);
            let mut verifier = PayloadVerifier::new(&manifest, Limits::default()).ok()?;
            let mut keep = |_: u64, line: &[u8]| {
                lines.extend_from_slice(line);
                lines.push(b'\n');
            };
            verifier.feed(&payload, &mut keep).ok()?;
            verifier.finish().ok()?;
            Some(Bytes::from(lines))
        });
        work.await.ok().flatten().ok_or(RelayError::Unverified("relay.payload"))
    }

    /// Judges and commits the lines; the answer to give is committed with them.
    async fn commit(&self, manifest: &VerifiedManifest, lines: Bytes) -> Result<Acknowledgement, RelayError> {
        for _ in 0..8 {
            let (this, verified, bytes) = (self.parts(), manifest.clone(), lines.clone());
            let made = tokio::task::spawn_blocking(move || this.judge(&verified, &bytes)).await;
            let (ready, rules, answer, counts) =
                made.map_err(|_| RelayError::Unverified("relay.judge"))??;
            let (reply, done) = oneshot::channel();
            let job = SubmissionJob { ready, rules, idempotency: None, reply };
            self.node
                .jobs
                .send(Job::Submission(Box::new(job)))
                .map_err(|_| RelayError::Commit(CommitError::Stopping))?;
            match done.await.unwrap_or(Err(CommitError::Stopping)) {
                Ok(_) => {
                    self.node.metrics.relayed(&self.upstream.member, counts.0, counts.1);
                    return Ok(answer);
                }
                Err(CommitError::JudgeAgain) => continue,
                Err(e) => return Err(RelayError::Commit(e)),
            }
        }
        Err(RelayError::Commit(CommitError::JudgeAgain))
    }

    fn parts(&self) -> Judge {
        Judge { node: self.node.clone(), upstream: self.upstream.clone(), stream: self.stream.clone() }
    }
}

/// What judging needs, on a thread of its own.
struct Judge {
    node: Arc<Node>,
    upstream: Upstream,
    stream: StreamId,
}

type Judged = (Ready, u64, Acknowledgement, (u64, u64));

impl Judge {
    fn judge(&self, manifest: &VerifiedManifest, lines: &[u8]) -> Result<Judged, RelayError> {
        let said = manifest.manifest();
        let node = &self.node;
        let rules = node.rules();
        let dataset =
            rules.plan.dataset(&said.dataset).ok_or(RelayError::Setting("relay.dataset-unknown"))?;
        let schema = dataset.schema(Some(&said.schema)).ok_or(RelayError::Setting("relay.schema-unknown"))?;
        if let Some(coming) = &said.control {
            // Answering says that lines under the announced schema can be taken.
            dataset.schema(Some(&coming.schema)).ok_or(RelayError::Setting("relay.schema-unknown"))?;
        }
        let source =
            rules.sources.get(&self.upstream.member).ok_or(RelayError::Setting("relay.no-source"))?;
        let tombstones = node.tombstones.read();
        let around = Surroundings {
            next_rev: &|| node.next_rev(),
            tombstones: &tombstones,
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
            received: node.clock.business_date(),
            caps: &node.caps,
            observe_rev: &|rev| node.observe_rev(rev),
        };
        let prepared = accept_relayed(batch, &around);
        let answer = self.answer(manifest, &prepared.rejected);
        let salt = Salt::generate().map_err(|_| RelayError::Setting("relay.randomness"))?;
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
        let counts = (u64::from(prepared.accepted), u64::from(prepared.refused));
        let ready = Ready {
            descriptions: dataset.recipients.iter().map(|r| r.description.clone()).collect(),
            member: source.member.clone(),
            dataset: said.dataset.clone(),
            op: Op::Put,
            salt: base64::encode(salt.as_bytes()),
            entry,
            also: vec![Event::Relayed {
                upstream: self.upstream.member.clone(),
                stream: self.stream.to_string(),
                seq: said.seq,
                epoch: said.epoch,
                digest,
                answer: 0,
            }],
            items: vec![Item {
                kind: Kind::Evidence,
                aad: self.stream.as_str().as_bytes().to_vec(),
                bytes: answer.to_json(),
            }],
            prepared,
        };
        Ok((ready, rules.number, answer, counts))
    }

    fn answer(&self, manifest: &VerifiedManifest, rejected: &str) -> Acknowledgement {
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
