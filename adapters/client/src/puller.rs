//! Following one stream into a directory, and acknowledging only what was verified and stored.
//!
//! ```text
//! DIR/keys.json                       pinned on first use, if that was asked for
//! DIR/<stream>/<seq>.manifest.json    signed manifest, as sent
//! DIR/<stream>/<seq>.proof            its log proof, as sent
//! DIR/<stream>/<seq>.payload.ndjson…  the payload, as sent: .zst, .gz or plain
//! DIR/<stream>/<seq>.acknowledgement.json
//! DIR/<stream>/state.json             where the chain stands, the newest checkpoint, what is acknowledged
//! DIR/<stream>/epoch-<n>/             what an earlier epoch left
//! ```
//!
//! A batch appears under its name only after its signature, place in the chain, log proof, digest, lines and root were
//! verified and its bytes are on disk; `state.json` moves on last. Killed anywhere, it goes on where it was. Files are
//! written synchronously: run a puller on a task of its own. A key that is not known is looked for among the node's
//! published ones, and taken only if signatures lead to it from a pinned one.

mod acknowledge;
mod fetch;
mod folder;
mod log;
pub(crate) mod pinned;
mod state;

pub use acknowledge::{Acknowledged, LineVerdict, Review};
pub use pinned::KeySource;
pub use state::FollowedState;
pub use xinqiao_evidence::acknowledgement::Outcome;
pub use xinqiao_evidence::manifest::Limits;

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use xinqiao_evidence::chain::{Chain, ChainBreak};
use xinqiao_evidence::manifest::{Manifest, SignedManifest, VerifiedManifest};
use xinqiao_explain::Explain;

use crate::client::{BatchEntry, Client};
use crate::error::{ClientError, unverified};
use folder::Folder;
use log::LogView;
use pinned::PinnedKeys;
use state::State;

/// What to follow, and where to.
#[derive(Debug, Clone)]
pub struct PullSettings {
    /// `<recipient>.<dataset>`, with `~history` for the slow lane.
    pub stream: String,
    /// The directory above the stream's own.
    pub into: PathBuf,
    /// The node's public keys.
    pub keys: KeySource,
    /// Batches asked for at once.
    pub limit: u32,
    /// What a payload may need, whatever its manifest announces.
    pub limits: Limits,
    /// The epoch a person decided to follow from now on. What is not acknowledged of the one before never will be.
    pub adopt_epoch: Option<u64>,
}

impl PullSettings {
    /// The usual limits, no new epoch.
    pub fn new(stream: &str, into: impl Into<PathBuf>, keys: KeySource) -> Self {
        Self {
            stream: stream.to_owned(),
            into: into.into(),
            keys,
            limit: 16,
            limits: Limits::default(),
            adopt_epoch: None,
        }
    }
}

/// A stream being followed. Holds a lock on its directory.
pub struct Puller {
    client: Client,
    settings: PullSettings,
    folder: Folder,
    keys: PinnedKeys,
    state: Option<State>,
    log: LogView,
    waiting: VecDeque<BatchEntry>,
    unusable: Option<Box<VerifiedManifest>>,
}

/// A batch that was verified and stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Its place in the stream.
    pub seq: u64,
    /// Lines in it.
    pub records: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Why it is void, if it is.
    pub void: Option<String>,
    /// The schema a control batch announces.
    pub announces: Option<String>,
    /// Where the payload lies; for a batch that was taken back, where it is said why.
    pub payload: PathBuf,
}

impl Puller {
    /// Opens, or makes, the stream's directory and reads where it stands.
    pub async fn open(client: Client, settings: PullSettings) -> Result<Self, ClientError> {
        let folder = Folder::open(&settings.into, &settings.stream)?;
        let mut keys = PinnedKeys::load(&settings.keys, &settings.into, &client).await?;
        let mut state = State::load(&folder, &settings.stream)?;
        if let (Some(epoch), Some(state)) = (settings.adopt_epoch, &mut state)
            && epoch != state.chain.epoch()
        {
            state.adopt(&folder, epoch)?;
        }
        let newest = state.as_ref().and_then(|state| state.checkpoint.as_deref());
        let log = match LogView::resume(newest, &keys) {
            Err(error) if may_be_a_new_key(&error) && keys.refresh(&client).await? => {
                LogView::resume(newest, &keys)?
            }
            other => other?,
        };
        Ok(Self { client, settings, folder, keys, state, log, waiting: VecDeque::new(), unusable: None })
    }

    /// The next batch, verified and stored; `None` if the node has none after waiting.
    pub async fn next(&mut self, wait: Duration) -> Result<Option<Pulled>, ClientError> {
        loop {
            if self.waiting.is_empty() {
                self.look(wait).await?;
            }
            let Some(entry) = self.waiting.pop_front() else { return Ok(None) };
            let mut taken = self.take(&entry).await;
            if let Err(error) = &taken
                && may_be_a_new_key(error)
                && self.keys.refresh(&self.client).await.unwrap_or(false)
            {
                taken = self.take(&entry).await;
            }
            match taken {
                Ok(Some(pulled)) => return Ok(Some(pulled)),
                Ok(None) => {}
                Err(error) => {
                    // The rest of the list follows on a batch that was not taken; the next call asks for it anew.
                    self.waiting.clear();
                    return Err(error);
                }
            }
        }
    }

    /// Node, epoch and next sequence number; `None` before the first batch.
    pub fn chain(&self) -> Option<&Chain> {
        self.state.as_ref().map(|state| &state.chain)
    }

    /// Up to which batch everything is acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.acknowledged)
    }

    async fn look(&mut self, wait: Duration) -> Result<(), ClientError> {
        self.compare_epochs().await?;
        let after = self.chain().map_or(0, |chain| chain.next_seq() - 1);
        let page = self.client.batches(&self.settings.stream, after, self.settings.limit, wait).await?;
        if page.stream != self.settings.stream {
            return Err(ClientError::protocol("batches of another stream"));
        }
        self.waiting = page.batches.into();
        Ok(())
    }

    /// A node that was restored has few batches or none after our number; its log says why.
    async fn compare_epochs(&mut self) -> Result<(), ClientError> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let note = self.client.checkpoint().await?;
        let stands = (state.chain.node(), state.chain.epoch());
        match self.log.advance(&self.client, &self.keys, stands, &note).await {
            Err(error) if may_be_a_new_key(&error) && self.keys.refresh(&self.client).await? => {
                self.log.advance(&self.client, &self.keys, stands, &note).await?;
            }
            other => other?,
        }
        state.checkpoint = self.log.newest().map(str::to_owned);
        Ok(())
    }

    async fn take(&mut self, entry: &BatchEntry) -> Result<Option<Pulled>, ClientError> {
        let signed =
            SignedManifest::parse(entry.manifest.get().as_bytes()).map_err(|e| self.broken("?", &e))?;
        let verified = signed.verify(self.keys.jwks()).map_err(|e| self.broken("?", &e))?;
        let manifest = verified.manifest();
        let place = manifest.seq.to_string();
        let chain = match self.continued(&verified) {
            Ok(chain) => chain,
            // Listed before the state moved on; nothing to do.
            Err(ChainBreak::Repeated { .. }) => return Ok(None),
            Err(ChainBreak::OtherEpoch { expected, found }) => {
                return Err(ClientError::NewEpoch { known: expected, seen: found });
            }
            Err(error) => return Err(self.broken(&place, &error)),
        };
        // In front of the payload: a batch that is not in the log is not worth its bytes, and may not be stored.
        self.log
            .include(&self.client, &self.keys, &verified, entry)
            .await
            .map_err(|error| self.at(&place, error))?;
        let payload = match self.fetch(&verified).await {
            Ok(payload) => payload,
            // Taken back, or past its age, before anyone came for it: its place in the chain stands, with nothing in it.
            Err(error) if error.is_gone() => {
                let why =
                    serde_json::json!({ "code": error.code(), "en": error.english(), "zh": error.chinese() });
                self.folder.write(&folder::gone(manifest.seq), why.to_string().as_bytes())?;
                self.folder.path(&folder::gone(manifest.seq))
            }
            Err(error) => {
                if error.is_verification() {
                    self.unusable = Some(Box::new(verified));
                }
                return Err(error);
            }
        };
        // Payload, manifest, proof, and the state last. Killed in between, the same batch is taken again: the stored
        // payload is verified instead of fetched, the other files are written over with the same bytes.
        self.unusable = None;
        self.folder.write(&folder::manifest(manifest.seq), signed.as_json().as_bytes())?;
        self.folder.write(&folder::proof(manifest.seq), entry.proof.as_bytes())?;
        let state = State::new(chain, self.acknowledged(), self.log.newest().map(str::to_owned));
        state.store(&self.folder)?;
        self.state = Some(state);
        Ok(Some(pulled(manifest, payload)))
    }

    /// The chain with this manifest at its end. The first manifest ever names the node and its epoch.
    fn continued(&self, manifest: &VerifiedManifest) -> Result<Chain, ChainBreak> {
        let said = manifest.manifest();
        let mut chain = match &self.state {
            Some(state) => state.chain.clone(),
            None => Chain::new(&said.node, said.epoch, &self.settings.stream),
        };
        if self.state.is_none()
            && let Some(epoch) = self.settings.adopt_epoch
            && epoch != said.epoch
        {
            return Err(ChainBreak::OtherEpoch { expected: epoch, found: said.epoch });
        }
        chain.accept(manifest)?;
        Ok(chain)
    }

    fn broken(&self, seq: &str, error: &dyn Explain) -> ClientError {
        unverified(format!("{} batch {seq}", self.settings.stream), error)
    }

    /// Puts the batch's name before a failure that only named a part of it.
    fn at(&self, seq: &str, error: ClientError) -> ClientError {
        match error {
            ClientError::Unverified(what) => {
                let part = what.place().unwrap_or_default();
                let place = format!("{} batch {seq}, {part}", self.settings.stream);
                ClientError::Unverified(Box::new(what.at(place)))
            }
            other => other,
        }
    }
}

impl fmt::Debug for Puller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Puller")
            .field("stream", &self.settings.stream)
            .field("chain", &self.chain())
            .finish_non_exhaustive()
    }
}

/// What a node's change of keys looks like to those who pinned the old ones.
pub(crate) fn may_be_a_new_key(error: &ClientError) -> bool {
    matches!(error, ClientError::Unverified(what)
        if ["jws.unknown-key", "manifest.key-time", "tlog.unknown-key"].contains(&what.code()))
}

fn pulled(manifest: &Manifest, payload: PathBuf) -> Pulled {
    Pulled {
        seq: manifest.seq,
        records: manifest.records,
        bytes: manifest.payload.bytes,
        void: manifest.void.clone(),
        announces: manifest.control.as_ref().map(|control| control.schema.clone()),
        payload,
    }
}
