//! A node with real keys, a real log and real batches, whose answers a test may bend.

use flate2::write::GzEncoder;
use std::borrow::Cow;
use std::io::Write;
use std::sync::{Arc, Mutex};
use xinqiao_evidence::endorsement::Endorsement;
use xinqiao_evidence::entry::{Entry, Event};
use xinqiao_evidence::keys::{Jwk, Jwks, LogKey, ManifestKey};
use xinqiao_evidence::manifest::{Manifest, MediaType, Payload, SignedManifest};
use xinqiao_evidence::merkle::{self, inclusion_proof};
use xinqiao_evidence::timestamp::Timestamp;
use xinqiao_evidence::tlog::{Checkpoint, LogProof, Tile, TileKind, log_origin};
use xinqiao_evidence::{Digest, Digests, base64};

use crate::ledger::Taken;
use crate::server::{Reply, Seen};

pub(crate) const STREAM: &str = "province.administrative-penalty";
const NODE: &str = "xm.example/350200-credit";
const TIME: &str = "2026-11-21T08:00:00Z";

type Bend = Box<dyn FnMut(&Seen, Reply) -> Reply + Send>;

pub(crate) struct Node {
    pub(crate) manifest_key: ManifestKey,
    pub(crate) log_key: LogKey,
    /// Keys of before, and what each manifest key said of its successors.
    former: Vec<Jwk>,
    endorsements: Vec<String>,
    pub(crate) epoch: u64,
    pub(crate) kind: MediaType,
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) batches: Vec<Sealed>,
    pub(crate) acknowledgements: Vec<Vec<u8>>,
    pub(crate) taken: Vec<Taken>,
    /// No line is refused.
    pub(crate) takes_all: bool,
    /// The number of the newest feedback.
    pub(crate) feedback: u64,
    pub(crate) bend: Option<Bend>,
    /// Log size that `/v1/log/checkpoint` shows and proofs lead to; `None` is the newest.
    pub(crate) shown: Option<usize>,
    /// When entries are logged; if not when manifests are made, they are sent along.
    pub(crate) logged_at: &'static str,
}

#[derive(Clone)]
pub(crate) struct Sealed {
    pub(crate) signed: SignedManifest,
    pub(crate) payload: Vec<u8>,
    pub(crate) index: usize,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            manifest_key: ManifestKey::generate().unwrap(),
            log_key: LogKey::generate().unwrap(),
            former: Vec::new(),
            endorsements: Vec::new(),
            epoch: 1,
            kind: MediaType::Zstd,
            entries: Vec::new(),
            batches: Vec::new(),
            acknowledgements: Vec::new(),
            taken: Vec::new(),
            takes_all: false,
            feedback: 0,
            bend: None,
            shown: None,
            logged_at: TIME,
        }
    }

    /// Something else happens in the log.
    pub(crate) fn log_other(&mut self, count: usize) {
        for _ in 0..count {
            let event = Event::Stop { reason: Cow::Owned(format!("test {}", self.entries.len())) };
            self.log(event);
        }
    }

    pub(crate) fn seal(&mut self, lines: &[&str]) {
        let raw: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let payload = match self.kind {
            _ if lines.is_empty() => Vec::new(),
            MediaType::Zstd => zstd::encode_all(raw.as_bytes(), 1).unwrap(),
            MediaType::Identity => raw.clone().into_bytes(),
            MediaType::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(raw.as_bytes()).unwrap();
                encoder.finish().unwrap()
            }
        };
        let some = || Digests::of(b"some file");
        let manifest = Manifest {
            control: None,
            created: Timestamp::parse(TIME).unwrap(),
            dataset: "administrative-penalty".into(),
            epoch: self.epoch,
            mapping_digest: some(),
            node: NODE.into(),
            origins: Vec::new(),
            payload: Payload {
                bytes: payload.len() as u64,
                digest: Digests::of(&payload),
                media_type: self.kind,
                raw_bytes: raw.len() as u64,
            },
            policy: "province-government".into(),
            policy_digest: some(),
            prev: self.batches.last().map(|last| Digests::sha256(digest_of(last))),
            recipient: "province".into(),
            records: lines.len() as u64,
            records_root: Digests::sha256(merkle::root(
                lines.iter().map(|l| merkle::leaf_hash(l.as_bytes())),
            )),
            schema: "administrative-penalty-2020".into(),
            schema_digest: some(),
            seq: self.batches.len() as u64 + 1,
            stream: STREAM.into(),
            v: 1,
            void: lines.is_empty().then(|| "retention".into()),
        };
        let signed = SignedManifest::sign(&manifest, &self.manifest_key).unwrap();
        let index = self.entries.len();
        let sealed = Sealed { signed, payload, index };
        let manifest_digest = Digests::sha256(digest_of(&sealed));
        let (stream, seq) = (Cow::Borrowed(STREAM), manifest.seq);
        match manifest.void {
            Some(reason) => {
                self.log(Event::Void { stream, seq, manifest_digest, reason: Cow::Owned(reason) })
            }
            None => self.log(Event::Batch { stream, seq, manifest_digest, records: manifest.records }),
        }
        self.batches.push(sealed);
    }

    /// What a restore does: a new epoch, an empty stream, a new log.
    pub(crate) fn restore(&mut self) {
        self.epoch += 1;
        self.entries.clear();
        self.batches.clear();
        self.taken.clear();
        self.log_other(1);
    }

    pub(crate) fn keys(&self) -> String {
        let mut document: serde_json::Value = serde_json::from_str(&self.jwks().to_json()).unwrap();
        let read = |e: &String| serde_json::from_str::<serde_json::Value>(e).unwrap();
        document["endorsements"] = self.endorsements.iter().map(read).collect();
        document.to_string()
    }

    fn jwks(&self) -> Jwks {
        let now = [self.manifest_key.public_jwk().clone(), self.log_key.public_jwk().clone()];
        Jwks::new(now.into_iter().chain(self.former.iter().cloned()))
    }

    /// Takes new keys, for which the old manifest key vouches, or does not.
    pub(crate) fn rotate(&mut self, vouched: bool) {
        let old = std::mem::replace(&mut self.manifest_key, ManifestKey::generate().unwrap());
        self.former.push(old.public_jwk().clone());
        self.former.push(self.log_key.public_jwk().clone());
        self.log_key = LogKey::generate().unwrap();
        if vouched {
            let endorsement = Endorsement::new(NODE, Timestamp::parse(TIME).unwrap(), self.jwks().keys());
            self.endorsements.push(endorsement.sign(&old).unwrap());
        }
    }

    pub(crate) fn log(&mut self, event: Event<'_>) {
        let time = self.logged_at.into();
        let entry = Entry { node: NODE.into(), epoch: self.epoch, time, event };
        self.entries.push(entry.to_bytes().unwrap());
    }

    fn size(&self) -> usize {
        self.shown.unwrap_or(self.entries.len())
    }

    /// The root over a run of entries: any stored hash, any tree.
    fn root(&self, from: usize, to: usize) -> Digest {
        merkle::root(self.entries[from..to].iter().map(|entry| merkle::leaf_hash(entry)))
    }

    fn stored(&self, level: u8, index: u64) -> Digest {
        let (from, to) = (index << level, (index + 1) << level);
        self.root(from as usize, to as usize)
    }

    fn checkpoint(&self, size: usize) -> String {
        let root = self.root(0, size);
        Checkpoint { origin: log_origin(NODE, self.epoch), size: size as u64, root }
            .sign(&self.log_key)
            .unwrap()
    }

    pub(crate) fn proof(&self, index: usize) -> String {
        let size = self.size().max(index + 1);
        let lookup = |level, index| Some(self.stored(level, index));
        let hashes = inclusion_proof(index as u64, size as u64, lookup).unwrap();
        LogProof { extra: None, index: index as u64, hashes, checkpoint: self.checkpoint(size) }.to_text()
    }

    fn tile(&self, path: &str) -> Option<Vec<u8>> {
        let tile: Tile = path.parse().ok()?;
        let TileKind::Hashes(level) = tile.kind() else { return None };
        // Like a log that deletes partial tiles once they are full.
        let now = Tile::at_size(tile.kind(), tile.index(), self.entries.len() as u64)?;
        if tile.width() > now.width() || (tile.is_partial() && !now.is_partial()) {
            return None;
        }
        let first = tile.index() * 256;
        let hashes = (first..first + u64::from(tile.width())).map(|at| self.stored(level * 8, at));
        Some(hashes.flat_map(|hash| *hash.as_bytes()).collect())
    }

    fn answer(&mut self, seen: &Seen) -> Reply {
        let reply = self.plain(seen);
        match &mut self.bend {
            Some(bend) => bend(seen, reply),
            None => reply,
        }
    }

    fn plain(&mut self, seen: &Seen) -> Reply {
        let stream = format!("/v1/streams/{STREAM}/");
        if let Some(path) = seen.path.strip_prefix("/v1/log/tile/") {
            return match self.tile(&format!("tile/{path}")) {
                Some(bytes) => Reply::json(200, bytes),
                None => Reply::json(404, ""),
            };
        }
        match seen.path.strip_prefix(&stream) {
            Some("batches") => self.page(&seen.query),
            Some("acknowledgements") => {
                self.acknowledgements.push(seen.body.to_vec());
                Reply::json(200, "{}")
            }
            Some(rest) => {
                let seq = rest.strip_prefix("batches/").and_then(|rest| rest.strip_suffix("/payload"));
                let place: usize = seq.unwrap().parse().unwrap();
                ranged(&self.batches[place - 1].payload, seen.header("range"))
            }
            None if seen.path.starts_with("/v1/datasets/") => self.submit(seen),
            None if seen.path == "/v1/feedback" => self.feedback_page(seen),
            None if seen.path == "/v1/keys" => Reply::json(200, self.keys()),
            None if seen.path == "/v1/log/checkpoint" => Reply::json(200, self.checkpoint(self.size())),
            None => Reply::json(404, ""),
        }
    }

    fn page(&self, query: &str) -> Reply {
        let number = |name: &str| -> usize {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(name));
            pair.unwrap().parse().unwrap()
        };
        let (after, limit) = (number("after="), number("limit="));
        let batches: Vec<serde_json::Value> = self
            .batches
            .iter()
            .skip(after)
            .take(limit)
            .map(|sealed| {
                let manifest: serde_json::Value = serde_json::from_str(sealed.signed.as_json()).unwrap();
                let proof = self.proof(sealed.index);
                match self.logged_at == TIME {
                    true => serde_json::json!({"manifest": manifest, "proof": proof}),
                    false => {
                        let entry = base64::encode(&self.entries[sealed.index]);
                        serde_json::json!({"manifest": manifest, "proof": proof, "entry": entry})
                    }
                }
            })
            .collect();
        let more = self.batches.len() > after + limit;
        Reply::json(200, serde_json::json!({"stream": STREAM, "batches": batches, "more": more}).to_string())
    }
}

pub(crate) fn digest_of(sealed: &Sealed) -> Digest {
    sealed.signed.unauthenticated().unwrap().digest()
}

fn ranged(payload: &[u8], range: &str) -> Reply {
    let from = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    match from.map(|from| from.parse::<usize>().unwrap()) {
        None => Reply::json(200, payload.to_vec()),
        Some(from) => {
            let what = format!("bytes {from}-{}/{}", payload.len() - 1, payload.len());
            Reply::json(206, payload[from..].to_vec()).with("content-range", what)
        }
    }
}

/// A handler for [`crate::server::Gateway`] that asks the node.
pub(crate) fn of(node: &Arc<Mutex<Node>>) -> impl Fn(&Seen) -> Reply + Send + Sync + 'static {
    let node = node.clone();
    move |seen| node.lock().unwrap().answer(seen)
}
