//! A stream's directory as `pull` writes it: every batch as one chain, with payload, log proof, answer and the state beside them.

use super::Run;
use crate::cli::Failure;
use crate::console;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use xinqiao_client::FollowedState;
use xinqiao_evidence::acknowledgement::{Acknowledged, Acknowledgement};
use xinqiao_evidence::chain::Chain;
use xinqiao_evidence::manifest::{
    Limits, Manifest, PayloadVerifier, SignedManifest, UnauthenticatedManifest, VerifiedManifest,
};
use xinqiao_evidence::names;
use xinqiao_evidence::tlog::{Checkpoint, LogProof, VerifiedCheckpoint, split_origin};
use xinqiao_evidence::{Digest, keys::Jwks};

const STATE: &str = "state.json";
/// What belongs to a batch beside its manifest.
const BESIDE: [&str; 6] = [
    "proof",
    "acknowledgement.json",
    "gone.json",
    "payload.ndjson",
    "payload.ndjson.gz",
    "payload.ndjson.zst",
];

/// A directory's files of batches.
pub(super) struct Batches {
    manifests: BTreeSet<u64>,
    /// By batch, what else bears its number.
    beside: BTreeMap<u64, BTreeSet<&'static str>>,
    state: bool,
}

/// Part of the name of a file.
pub(super) fn name(path: &Path) -> &str {
    path.file_name().and_then(|n| n.to_str()).unwrap_or("")
}

pub(super) fn sort_out(files: &[PathBuf]) -> Batches {
    let mut batches = Batches { manifests: BTreeSet::new(), beside: BTreeMap::new(), state: false };
    for path in files {
        match numbered(name(path)) {
            Some((seq, "manifest.json")) => {
                batches.manifests.insert(seq);
            }
            Some((seq, rest)) => {
                if let Some(kind) = BESIDE.iter().find(|kind| **kind == rest) {
                    batches.beside.entry(seq).or_default().insert(*kind);
                }
            }
            None => batches.state |= name(path) == STATE,
        }
    }
    batches
}

/// The batch and the kind of a file, if its name is one that a puller gives.
fn numbered(name: &str) -> Option<(u64, &str)> {
    let (digits, rest) = name.split_once('.')?;
    let seq: u64 = digits.parse().ok()?;
    (seq > 0 && seq.to_string() == digits).then_some((seq, rest))
}

impl Batches {
    /// Is it a file that is looked at, or one that has nothing to say (a lock, an unfinished download)?
    pub(super) fn knows(&self, name: &str) -> bool {
        let kind = |rest| rest == "manifest.json" || BESIDE.contains(&rest);
        let (state, unfinished) = (name == STATE, name.starts_with('.') && name.ends_with(".payload.part"));
        numbered(name).is_some_and(|(_, rest)| kind(rest)) || state || unfinished || name == ".lock"
    }

    fn has(&self, seq: u64, kind: &str) -> bool {
        self.beside.get(&seq).is_some_and(|kinds| kinds.contains(kind))
    }

    fn payloads(&self, seq: u64) -> impl Iterator<Item = &'static str> {
        self.beside.get(&seq).into_iter().flatten().copied().filter(|kind| kind.starts_with("payload."))
    }
}

/// A manifest: signed by a trusted key, or as whoever wrote it claims.
enum Said {
    Verified(VerifiedManifest),
    Claimed(UnauthenticatedManifest),
}

impl Said {
    fn manifest(&self) -> &Manifest {
        match self {
            Self::Verified(m) => m.manifest(),
            Self::Claimed(m) => m.manifest(),
        }
    }

    fn digest(&self) -> Digest {
        match self {
            Self::Verified(m) => m.digest(),
            Self::Claimed(m) => m.digest(),
        }
    }
}

fn unverified(place: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::Unverified(format!("{}: {why}", place.display()))
}

impl Run<'_> {
    /// Every batch of the directory, in order; then what else bears a number, and the state.
    pub(super) fn stream(&mut self, dir: &Path, batches: &Batches) -> Result<(), Failure> {
        let state = match batches.state {
            true => FollowedState::of_directory(dir).map_err(|e| unverified(dir, e))?,
            false => None,
        };
        let mut chain: Option<Chain> = None;
        let mut digests = BTreeMap::new();
        for &seq in &batches.manifests {
            let said = self.manifest(dir, seq, &mut chain)?;
            self.proof(dir, seq, &said, batches)?;
            self.payload(dir, seq, &said, batches)?;
            self.acknowledgement(dir, seq, &said, batches, state.as_ref())?;
            digests.insert(seq, said.digest());
            self.tally.batches += 1;
        }
        let last = batches.manifests.last().copied().unwrap_or(0);
        for (&seq, kinds) in batches.beside.iter().filter(|(seq, _)| !batches.manifests.contains(seq)) {
            // A puller that was stopped between payload and manifest leaves the next batch's payload; it goes on from there.
            let unfinished =
                seq == last + 1 && kinds.iter().all(|k| k.starts_with("payload.") || *k == "gone.json");
            let kind = kinds.first().copied().unwrap_or_default();
            let file = dir.join(format!("{seq}.{kind}"));
            if !unfinished {
                return Err(unverified(
                    &file,
                    format!(
                        "its manifest {seq}.manifest.json is missing; pull the stream again, or ask who removed it  缺少清单 {seq}.manifest.json，请重新拉取，或查明何人移走"
                    ),
                ));
            }
            self.tell(&file, "not verified: its manifest has not come yet", "未验证：清单尚未取得");
        }
        match state {
            Some(state) => self.state(dir, &state, chain.as_ref(), &digests),
            None => Ok(()),
        }
    }

    fn manifest(&mut self, dir: &Path, seq: u64, chain: &mut Option<Chain>) -> Result<Said, Failure> {
        let place = dir.join(format!("{seq}.manifest.json"));
        let bytes = std::fs::read(&place)?;
        let signed = SignedManifest::parse(&bytes).map_err(|e| unverified(&place, e))?;
        let said = match self.keys {
            Some(keys) => Said::Verified(signed.verify(keys).map_err(|e| unverified(&place, e))?),
            None => Said::Claimed(signed.unauthenticated().map_err(|e| unverified(&place, e))?),
        };
        let manifest = said.manifest();
        if chain.is_none() {
            in_its_own_place(dir, manifest)?;
        }
        let chain = chain.get_or_insert_with(|| Chain::new(&manifest.node, manifest.epoch, &manifest.stream));
        match &said {
            Said::Verified(m) => chain.accept(m),
            Said::Claimed(m) => chain.accept_unauthenticated(m),
        }
        .map_err(|e| unverified(&place, e))?;
        if manifest.seq != seq {
            return Err(unverified(
                &place,
                format!("it is batch {}  其中为批次 {}", manifest.seq, manifest.seq),
            ));
        }
        Ok(said)
    }

    fn proof(&mut self, dir: &Path, seq: u64, said: &Said, batches: &Batches) -> Result<(), Failure> {
        if !batches.has(seq, "proof") {
            self.tally.unproven += 1;
            return Ok(());
        }
        let place = dir.join(format!("{seq}.proof"));
        let text = text(&place)?;
        match (said, self.keys) {
            (Said::Verified(manifest), Some(keys)) => {
                let inclusion = manifest.verify_proof(&text, keys).map_err(|e| unverified(&place, e))?;
                self.witness.note(inclusion.checkpoint().checkpoint(), &place)?;
            }
            _ => {
                let entry = said.manifest().log_entry(said.digest()).to_bytes();
                let entry = entry.map_err(|e| unverified(&place, e))?;
                let proof = LogProof::from_text(&text).map_err(|e| unverified(&place, e))?;
                let checkpoint = proof.check_unauthenticated(&entry).map_err(|e| unverified(&place, e))?;
                self.witness.note(&checkpoint, &place)?;
            }
        }
        self.tally.proofs += 1;
        Ok(())
    }

    fn payload(&mut self, dir: &Path, seq: u64, said: &Said, batches: &Batches) -> Result<(), Failure> {
        let manifest = said.manifest();
        let empty = manifest.void.is_some() || manifest.control.is_some();
        let wanted = format!("payload.ndjson{}", manifest.payload.media_type.suffix());
        if let Some(other) = batches.payloads(seq).find(|kind| *kind != wanted) {
            return Err(unverified(
                &dir.join(format!("{seq}.{other}")),
                format!(
                    "the manifest names {seq}.{wanted}; this file is not of the batch, remove it  清单所指为 {seq}.{wanted}，此文件不属于该批次，请移走"
                ),
            ));
        }
        if empty {
            return Ok(());
        }
        let place = dir.join(format!("{seq}.{wanted}"));
        if !batches.has(seq, &wanted) && gone(&dir.join(format!("{seq}.gone.json"))) {
            match self.json {
                true => {
                    console::json(&serde_json::json!({ "stream": manifest.stream, "seq": seq, "gone": true }))
                }
                false => self.tell(
                    &dir.join(format!("{seq}.gone.json")),
                    &format!("batch {seq} has no payload; the folder says that the node had taken it back or erased it ({} record(s), a note nobody signed)", manifest.records),
                    &format!("无内容：目录中的说明（未签名）称节点已收回或删除，清单所列 {} 条", manifest.records),
                ),
            }
            self.tally.gone += 1;
            return Ok(());
        }
        let limits = Limits::default();
        let mut verifier = match said {
            Said::Verified(m) => PayloadVerifier::new(m, limits),
            Said::Claimed(m) => PayloadVerifier::unauthenticated(m, limits),
        }
        .map_err(|e| unverified(&place, e))?;
        let mut file = File::open(&place).map_err(|e| unverified(&place, e))?;
        let mut block = vec![0; 256 << 10];
        loop {
            let n = file.read(&mut block)?;
            if n == 0 {
                break;
            }
            verifier.feed(&block[..n], |_, _| {}).map_err(|e| unverified(&place, e))?;
        }
        verifier.finish().map_err(|e| unverified(&place, e))?;
        if self.json {
            console::json(
                &serde_json::json!({ "stream": manifest.stream, "seq": seq, "records": manifest.records }),
            );
        }
        self.tally.records += manifest.records;
        Ok(())
    }

    fn acknowledgement(
        &mut self,
        dir: &Path,
        seq: u64,
        said: &Said,
        batches: &Batches,
        state: Option<&FollowedState>,
    ) -> Result<(), Failure> {
        if !batches.has(seq, "acknowledgement.json") {
            self.tally.unanswered += u64::from(state.is_some_and(|state| state.acknowledged >= seq));
            return Ok(());
        }
        let place = dir.join(format!("{seq}.acknowledgement.json"));
        let answer =
            Acknowledgement::from_json(&std::fs::read(&place)?).map_err(|e| unverified(&place, e))?;
        let manifest = said.manifest();
        let batch = Acknowledged {
            node: &manifest.node,
            epoch: manifest.epoch,
            stream: &manifest.stream,
            seq,
            manifest_digest: said.digest(),
            records: manifest.records,
        };
        answer.check_for(&batch).map_err(|e| unverified(&place, e))?;
        self.tally.answers += 1;
        Ok(())
    }

    /// The state says where the recipient stands: what it has taken must be here.
    fn state(
        &mut self,
        dir: &Path,
        state: &FollowedState,
        chain: Option<&Chain>,
        digests: &BTreeMap<u64, Digest>,
    ) -> Result<(), Failure> {
        let place = dir.join(STATE);
        let taken = state.chain.next_seq() - 1;
        let here = chain.map_or(0, |chain| chain.next_seq() - 1);
        if taken > here {
            return Err(unverified(
                &place,
                format!(
                    "batches up to {taken} were taken, the newest here is {here}: batches at the end are missing  已取至批次 {taken}，目录中最新为 {here}：末尾批次缺失"
                ),
            ));
        }
        if let Some(chain) = chain {
            let same = chain.node() == state.chain.node()
                && chain.epoch() == state.chain.epoch()
                && chain.stream() == state.chain.stream();
            if !same || (taken > 0 && state.chain.prev() != digests.get(&taken).copied()) {
                return Err(unverified(
                    &place,
                    "it is of another stream, node or epoch, or of other batches than those beside it; keep both and report it  与目录中的批次不属于同一数据流、节点、纪元或历史，请保留两者并报告",
                ));
            }
        }
        if state.acknowledged > taken {
            return Err(unverified(
                &place,
                format!(
                    "it says that batch {} is acknowledged, but only {taken} were taken  称批次 {} 已应答，但仅取至 {taken}",
                    state.acknowledged, state.acknowledged
                ),
            ));
        }
        if taken < here {
            self.tell(
                &place,
                &format!("stands at batch {taken}, the newest here is {here}: a puller is at work, or will take the rest again"),
                &format!("记为批次 {taken}，目录中最新为 {here}：正在拉取，或将重新取得其余批次"),
            );
        }
        let Some(note) = &state.checkpoint else { return Ok(()) };
        let wrong = |e: &dyn std::fmt::Display| unverified(&place, e);
        let checkpoint = match self.keys {
            Some(keys) => checkpoint(note, state.chain.node(), keys).map_err(|e| wrong(&e))?,
            None => Checkpoint::unauthenticated(note).map_err(|e| wrong(&e))?,
        };
        if split_origin(&checkpoint.origin) != Some((state.chain.node(), state.chain.epoch())) {
            return Err(unverified(&place, "its checkpoint is of another log  其检查点属于另一日志"));
        }
        self.witness.note(&checkpoint, &place)
    }
}

fn checkpoint(note: &str, node: &str, keys: &Jwks) -> Result<Checkpoint, xinqiao_evidence::tlog::TlogError> {
    Ok(VerifiedCheckpoint::open_with_jwks(note, node, keys)?.checkpoint().clone())
}

/// A directory named like a stream, or like an earlier epoch of one, holds that and nothing else.
fn in_its_own_place(dir: &Path, manifest: &Manifest) -> Result<(), Failure> {
    let dir = dir.canonicalize()?;
    let epoch = name(&dir).strip_prefix("epoch-").and_then(|n| n.parse::<u64>().ok());
    let stream = match epoch {
        Some(_) => dir.parent().map_or("", name),
        None => name(&dir),
    };
    if names::is_stream(stream) && stream != manifest.stream {
        return Err(unverified(
            &dir,
            format!(
                "its batches are of the stream {}: copies of another place  其中批次属于数据流 {}，系他处副本",
                manifest.stream, manifest.stream
            ),
        ));
    }
    if epoch.is_some_and(|epoch| epoch != manifest.epoch) {
        return Err(unverified(
            &dir,
            format!("its batches are of epoch {}  其中批次属于纪元 {}", manifest.epoch, manifest.epoch),
        ));
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, Failure> {
    match std::fs::read_to_string(path) {
        Err(e) if e.kind() == ErrorKind::InvalidData => Err(unverified(path, "it is not text  不是文本")),
        other => Ok(other?),
    }
}

/// Whether the puller left a note that the gateway answered 410.
fn gone(note: &Path) -> bool {
    let said =
        std::fs::read(note).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    said.is_some_and(|said| matches!(said["code"].as_str(), Some("batch.void" | "batch.expired")))
}
