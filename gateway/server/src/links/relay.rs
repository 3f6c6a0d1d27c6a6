//! Taking another node's batches: pulled, verified in memory, judged as a source's records are, committed together
//! with the place reached, and only then acknowledged. Nothing of a payload touches the disk unencrypted.

use crate::standing::{Dial, Keeper};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use xinqiao_client::{BatchEntry, Client, ClientError, FollowedKeys, Profile};
use xinqiao_evidence::base64;
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::manifest::{Limits, PayloadVerifier, SignedManifest, VerifiedManifest};
use xinqiao_evidence::tlog::LogProof;
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::state::RelayRow;
use xinqiao_node::config::Upstream;
use xinqiao_node::engine::Node;
use xinqiao_node::engine::relayed::RelayRefusal;

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
    /// This node did not take it.
    Refused(RelayRefusal),
    /// A person must decide.
    Setting(&'static str),
}

impl RelayError {
    fn code(&self) -> &str {
        match self {
            Self::Client(e) => e.code(),
            Self::Unverified(code) | Self::Setting(code) => code,
            Self::Refused(why) => why.code(),
        }
    }
}

impl From<RelayRefusal> for RelayError {
    fn from(why: RelayRefusal) -> Self {
        Self::Refused(why)
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

    /// Asks once and takes what comes.
    async fn round(&mut self) -> Result<(), RelayError> {
        if let Some(pinned) = self.keeper.pinned_keys(&self.upstream.member)
            && pinned.to_json() != self.pinned.to_json()
        {
            self.keys = FollowedKeys::new(pinned.clone());
            self.pinned = pinned;
        }
        let reached = self.node.relayed(&self.upstream.member, &self.stream);
        // A crash may have come between committing and answering: the last answer is given again.
        if !self.answered {
            if let Some(answer) = self.node.relayed_answer(&self.stream, &reached)? {
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
        let answer = self.node.take_relayed(&self.upstream, &self.stream, &manifest, lines).await?;
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
}
