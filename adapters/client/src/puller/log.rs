//! The node's log as this recipient saw it: it only grows.
//!
//! Every checkpoint the node shows must extend, or be extended by, the newest one known. The proof is computed from the
//! log's own tiles, so a gateway cannot leave it out.

use bytes::Bytes;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use xinqiao_evidence::entry::{Entry, Event};
use xinqiao_evidence::manifest::VerifiedManifest;
use xinqiao_evidence::merkle::{MerkleError, consistency_proof};
use xinqiao_evidence::tlog::{
    Checkpoint, LogProof, Tile, TileKind, VerifiedCheckpoint, hash_in_tile, log_origin, split_origin, tile_of,
};
use xinqiao_evidence::{Digest, Digests, base64};

use super::pinned::PinnedKeys;
use crate::client::{BatchEntry, Client};
use crate::error::{ClientError, unverified};
use xinqiao_explain::Explanation;

/// Tiles kept in memory, 8 KiB each at most.
const TILES: usize = 256;

#[derive(Default)]
pub(super) struct LogView {
    newest: Option<(String, VerifiedCheckpoint)>,
    tiles: HashMap<Tile, Bytes>,
}

impl LogView {
    /// Goes on from the newest checkpoint of an earlier run.
    pub(super) fn resume(note: Option<&str>, keys: &PinnedKeys) -> Result<Self, ClientError> {
        let newest = match note {
            Some(note) => Some((note.to_owned(), open(note, keys)?)),
            None => None,
        };
        Ok(Self { newest, tiles: HashMap::new() })
    }

    /// The newest checkpoint, as signed.
    pub(super) fn newest(&self) -> Option<&str> {
        self.newest.as_ref().map(|(note, _)| note.as_str())
    }

    /// Takes the checkpoint a node shows now. It may be of a new epoch; it must not be behind what we saw.
    pub(super) async fn advance(
        &mut self,
        client: &Client,
        keys: &PinnedKeys,
        (node, epoch): (&str, u64),
        note: &str,
    ) -> Result<(), ClientError> {
        let shown = open(note, keys)?;
        let checkpoint = shown.checkpoint();
        match split_origin(&checkpoint.origin) {
            Some((of, seen)) if of == node && seen != epoch => {
                return Err(ClientError::NewEpoch { known: epoch, seen });
            }
            Some((of, _)) if of == node => {}
            _ => return Err(other_log()),
        }
        if let Some((_, known)) = &self.newest
            && checkpoint.size < known.checkpoint().size
        {
            return Err(shrunk(known.checkpoint().size, checkpoint.size));
        }
        self.compare(client, shown, note).await
    }

    /// Takes a batch's log proof: the batch is in the log, and the log is the one we know.
    pub(super) async fn include(
        &mut self,
        client: &Client,
        keys: &PinnedKeys,
        manifest: &VerifiedManifest,
        entry: &BatchEntry,
    ) -> Result<(), ClientError> {
        let failed = |error| unverified("its log proof", &error);
        let proof = LogProof::from_text(&entry.proof).map_err(failed)?;
        let said = manifest.manifest();
        let verifiers = keys.of_log(&log_origin(&said.node, said.epoch));
        let leaves = logged_entries(manifest, entry)?;
        let mut results = leaves.iter().map(|leaf| proof.verify(leaf, &verifiers));
        let first = results.next().expect("a batch has an entry");
        let inclusion = results.fold(first, |so_far, next| so_far.or(next)).map_err(failed)?;
        self.compare(client, inclusion.checkpoint().clone(), &proof.checkpoint).await
    }

    async fn compare(
        &mut self,
        client: &Client,
        shown: VerifiedCheckpoint,
        note: &str,
    ) -> Result<(), ClientError> {
        let Some((_, known)) = &self.newest else {
            self.newest = Some((note.to_owned(), shown));
            return Ok(());
        };
        if known == &shown {
            return Ok(());
        }
        let known = known.clone();
        let failed = |error| unverified("the node's log", &error);
        let (old, new) = (known.checkpoint().size, shown.checkpoint().size);
        // A proof may be against an older checkpoint than the newest known one. That must then be a beginning of what is
        // known, and the newest stays.
        if old.cmp(&new) == Ordering::Greater {
            let proof = self.prove(client, new, old).await?;
            return known.extends(&shown, &proof).map_err(failed);
        }
        let proof = self.prove(client, old, new).await?;
        shown.extends(&known, &proof).map_err(failed)?;
        self.newest = Some((note.to_owned(), shown));
        Ok(())
    }

    /// Asks for tiles until the proof can be computed.
    async fn prove(&mut self, client: &Client, old: u64, new: u64) -> Result<Vec<Digest>, ClientError> {
        loop {
            let tiles = &self.tiles;
            let lookup = |level, index| hash_in_tile(tiles.get(&tile(level, index, new)?)?, level, index);
            match consistency_proof(old, new, lookup) {
                Ok(proof) => return Ok(proof),
                Err(MerkleError::MissingHash { level, index }) => {
                    let wanted = tile(level, index, new)
                        .filter(|wanted| !self.tiles.contains_key(wanted))
                        .ok_or_else(|| {
                            ClientError::protocol("a log tile does not hold what its size says")
                        })?;
                    let bytes = fetch(client, wanted).await?;
                    if self.tiles.len() >= TILES {
                        self.tiles.clear();
                    }
                    self.tiles.insert(wanted, bytes);
                }
                Err(error) => return Err(unverified("the node's log", &error)),
            }
        }
    }
}

fn open(note: &str, keys: &PinnedKeys) -> Result<VerifiedCheckpoint, ClientError> {
    let failed = |error| unverified("the log's checkpoint", &error);
    let claimed = Checkpoint::unauthenticated(note).map_err(failed)?;
    VerifiedCheckpoint::open(note, &keys.of_log(&claimed.origin)).map_err(failed)
}

fn tile(level: u8, index: u64, size: u64) -> Option<Tile> {
    let (tile_level, tile_index, ..) = tile_of(level, index);
    Tile::at_size(TileKind::Hashes(tile_level), tile_index, size)
}

/// A tile that has since been filled may be there only whole.
async fn fetch(client: &Client, wanted: Tile) -> Result<Bytes, ClientError> {
    let length = usize::from(wanted.width()) * 32;
    let response = match client.tile(&wanted.to_string()).await {
        Err(ClientError::Problem(problem)) if problem.status == 404 && wanted.is_partial() => {
            client.tile(&Tile::full(wanted.kind(), wanted.index()).to_string()).await
        }
        other => other,
    };
    let bytes = response?;
    match bytes.len() >= length {
        true => Ok(bytes.slice(..length)),
        false => Err(ClientError::protocol(format!("the log tile {wanted} is too short"))),
    }
}

/// What the proof may be for. A node logs a batch at the time its manifest says, so the entry follows from the
/// manifest; a node that logged it at another time sends the entry along. A void batch may be logged as what it is.
fn logged_entries(manifest: &VerifiedManifest, entry: &BatchEntry) -> Result<Vec<Vec<u8>>, ClientError> {
    let said = manifest.manifest();
    let failed = |error| unverified("its log entry", &error);
    let events = || events(manifest).into_iter().flatten();
    let Some(sent) = &entry.entry else {
        return events()
            .map(|event| {
                let (node, time) = (Cow::Borrowed(said.node.as_str()), Cow::Borrowed(said.created.as_str()));
                Entry { node, epoch: said.epoch, time, event }.to_bytes().map_err(failed)
            })
            .collect();
    };
    let bytes =
        base64::decode(sent).ok_or_else(|| ClientError::protocol("a log entry that is not base64"))?;
    let read = Entry::from_bytes(&bytes).map_err(failed)?;
    let same =
        read.node == said.node && read.epoch == said.epoch && events().any(|event| event == read.event);
    match same {
        true => Ok(vec![bytes]),
        false => Err(other_entry()),
    }
}

fn events(manifest: &VerifiedManifest) -> [Option<Event<'_>>; 2] {
    let said = manifest.manifest();
    let (stream, seq) = (Cow::Borrowed(said.stream.as_str()), said.seq);
    let manifest_digest = Digests::sha256(manifest.digest());
    let void = said.void.as_deref().map(|reason| Event::Void {
        stream: stream.clone(),
        seq,
        manifest_digest: manifest_digest.clone(),
        reason: Cow::Borrowed(reason),
    });
    [Some(Event::Batch { stream, seq, manifest_digest, records: said.records }), void]
}

fn other_entry() -> ClientError {
    own(
        "log.other-entry",
        "its log entry",
        "the log entry sent is not of this batch; keep both and report it",
        "所附日志条目不属于该批次，请保留两者并报告",
    )
}

fn other_log() -> ClientError {
    own(
        "log.other-log",
        "the log's checkpoint",
        "the checkpoint is of another node than the stream; check the gateway's address",
        "检查点属于另一节点，请检查网关地址",
    )
}

fn shrunk(known: u64, shown: u64) -> ClientError {
    own(
        "log.shrunk",
        "the log's checkpoint",
        &format!(
            "the log has {shown} entries, it had {known}: the node lost entries without a new epoch; report it"
        ),
        &format!("日志现有 {shown} 条，此前有 {known} 条：节点未换纪元却丢失条目，请报告"),
    )
}

fn own(code: &'static str, place: &str, en: &str, zh: &str) -> ClientError {
    ClientError::Unverified(Box::new(Explanation::new(code, en.to_owned(), zh.to_owned()).at(place)))
}
