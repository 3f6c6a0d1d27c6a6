//! The transparency log's texts and trees: notes, checkpoints, proofs, tiles, bundles, entries, receipts.
//!
//! Input: what it is, then a text as it comes, the changes to a good one, or the shape of a tree.

use std::sync::OnceLock;

use xinqiao_evidence::entry::{Counts, Entry, Event};
use xinqiao_evidence::jcs::is_jcs;
use xinqiao_evidence::keys::LogKey;
use xinqiao_evidence::merkle::{
    self, Frontier, GroupProofs, consistency_proof, inclusion_proof, leaf_hash, verify_consistency,
    verify_inclusion,
};
use xinqiao_evidence::receipt::{Receipt, Salt, salted_digest};
use xinqiao_evidence::tlog::{
    Checkpoint, LogProof, Tile, VerifiedCheckpoint, VerifierKey, bundle_entries, hash_in_tile, log_origin,
    open_note, push_entry, sign_note, tile_of,
};
use xinqiao_evidence::{Digest, Digests};

use super::Input;

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    match input.byte() % 10 {
        0 => {
            if let Ok(text) = std::str::from_utf8(input.rest()) {
                texts(text);
            }
        }
        1 => bundle(input.rest()),
        2 => entry(input.rest()),
        3 => receipt(input.rest()),
        4 => changed_receipt(&input.damaged(&good().receipt)),
        5 => changed_checkpoint(&input.damaged(good().checkpoint.as_bytes())),
        6 => note(&mut input),
        7 => tile(&mut input),
        8 => tree(&mut input),
        _ => shown_earlier(&mut input),
    }
}

struct Good {
    key: LogKey,
    verifier: [VerifierKey; 1],
    entry: Vec<u8>,
    receipt: Vec<u8>,
    checkpoint: String,
}

const NODE: &str = "xm.example/350200-credit";

fn good() -> &'static Good {
    static GOOD: OnceLock<Good> = OnceLock::new();
    GOOD.get_or_init(|| {
        let key = LogKey::generate().expect("randomness");
        let origin = log_origin(NODE, 1);
        let salt = Salt::from_bytes([9; 32]);
        let rejected = Digests::sha256(salted_digest(&salt, b"[]"));
        let entry = Entry {
            node: NODE.into(),
            epoch: 1,
            time: "2026-11-21T08:00:00Z".into(),
            event: Event::Submission {
                body_digest: Digests::sha256(salted_digest(&salt, b"body")),
                counts: Counts { accepted: 1, refused: 0, warned: 0 },
                dataset: "administrative-penalty".into(),
                handling: None,
                load: "daily".into(),
                member: "housing-bureau".into(),
                op: "put".into(),
                rejected_digest: rejected,
                schema: "administrative-penalty-2020".into(),
            },
        };
        let entry = entry.to_bytes().expect("a short entry");
        let leaves = [leaf_hash(b"before"), leaf_hash(&entry), leaf_hash(b"after")];
        let group = GroupProofs::new(&Frontier::new(), &leaves);
        let checkpoint = Checkpoint { origin: origin.clone(), size: 3, root: group.root() };
        let checkpoint = checkpoint.sign(&key).expect("a key signs");
        let proof = LogProof {
            extra: None,
            index: 1,
            hashes: group.proof(1).expect("one of the group"),
            checkpoint: checkpoint.clone(),
        };
        let receipt =
            Receipt { entry: entry.clone(), proof: proof.to_text(), rejected: serde_json::json!([]), salt };
        let verifier = [VerifierKey::of(&origin, &key).expect("an origin is a key's name")];
        Good { verifier, entry, receipt: receipt.to_json(), checkpoint, key }
    })
}

/// Each kind of text, if it is one, is written as it was read.
fn texts(text: &str) {
    if let Ok(checkpoint) = Checkpoint::from_text(text) {
        assert!(text.starts_with(&checkpoint.to_text()), "extensions stand behind the three lines only");
    }
    if let Ok(proof) = LogProof::from_text(text) {
        assert_eq!(proof.to_text(), text, "a proof is written as it was read");
        assert!(proof.verify(b"entry", &good().verifier).is_err(), "a proof by nobody is verified");
    }
    if let Ok(tile) = text.parse::<Tile>() {
        assert_eq!(tile.to_string(), text, "a path is written as it was read");
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text, "a key is written as it was read");
    }
    assert!(open_note(text, &good().verifier).is_err(), "a note by nobody is opened");
}

fn bundle(bytes: &[u8]) {
    let Ok(entries) = bundle_entries(bytes) else { return };
    let mut out = Vec::new();
    for entry in entries {
        push_entry(&mut out, entry).expect("it came out of a bundle");
    }
    assert_eq!(out, bytes, "a bundle is written as it was read");
}

fn entry(bytes: &[u8]) {
    let Ok(entry) = Entry::from_bytes(bytes) else { return };
    assert!(is_jcs(bytes), "an entry is canonical");
    assert_eq!(entry.to_bytes().as_deref(), Ok(bytes), "an entry is written as it was read");
    assert_eq!(entry.clone().into_owned(), entry);
}

fn receipt(bytes: &[u8]) {
    let Ok(receipt) = Receipt::from_json(bytes) else { return };
    assert_eq!(Receipt::from_json(&receipt.to_json()).as_ref(), Ok(&receipt), "a receipt is read as written");
    assert!(receipt.verify(&good().verifier).is_err(), "a receipt by nobody is verified");
}

/// What is still verified after a change says what was logged.
fn changed_receipt(bytes: &[u8]) {
    let Ok(receipt) = Receipt::from_json(bytes) else { return };
    if let Ok(verified) = receipt.verify(&good().verifier) {
        let bytes = verified.entry().to_bytes();
        assert_eq!(bytes.as_deref(), Ok(&*good().entry), "a changed receipt is verified");
        assert_eq!(verified.index(), 1, "at another place");
        assert_eq!(verified.rejected(), &serde_json::json!([]), "with other words about what was refused");
        assert!(verified.is_of_body(b"body") && !verified.is_of_body(b"other"));
    }
}

fn changed_checkpoint(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(checkpoint) = VerifiedCheckpoint::open(text, &good().verifier) {
        let signed = Checkpoint::unauthenticated(&good().checkpoint).expect("a good note");
        assert_eq!(checkpoint.checkpoint(), &signed, "a changed checkpoint is verified");
    }
}

/// Any text can be signed as a note, and is opened as it was.
fn note(input: &mut Input<'_>) {
    let text = input.text();
    let origin = good().verifier[0].name();
    if !text.ends_with('\n') || text.chars().any(|c| c < ' ' && c != '\n') || text.len() > 60_000 {
        return;
    }
    let note = sign_note(&text, origin, [&good().key]).expect("a key signs");
    let (opened, _) = open_note(&note, &good().verifier).expect("just signed");
    assert_eq!(opened, text, "a note is opened as it was signed");
    let changed = input.damaged(note.as_bytes());
    if let Ok(changed) = std::str::from_utf8(&changed)
        && let Ok((opened, _)) = open_note(changed, &good().verifier)
    {
        assert_eq!(opened, text, "a changed note is opened");
    }
}

fn tile(input: &mut Input<'_>) {
    let level = input.byte() % 64;
    let index = u64::from_le_bytes(std::array::from_fn(|_| input.byte()));
    let (tile_level, _, first, count) = tile_of(level, index);
    assert!(tile_level <= 7 && first + count <= 256, "a stored hash lies in one tile");
    let tile = input.rest();
    let hash = hash_in_tile(tile, level, index);
    assert_eq!(
        hash.is_some(),
        tile.len() >= (first + count) * 32,
        "it is there when the tile is long enough"
    );
}

struct Forest {
    leaves: Vec<Digest>,
    stored: std::collections::BTreeMap<(u8, u64), Digest>,
    frontier: Frontier,
}

fn forest(size: usize) -> Forest {
    let mut frontier = Frontier::new();
    let mut stored = std::collections::BTreeMap::new();
    let leaves: Vec<Digest> = (0..size).map(|number| leaf_hash(&number.to_be_bytes())).collect();
    for leaf in &leaves {
        frontier.append_with(*leaf, |level, index, hash| {
            stored.insert((level, index), hash);
        });
    }
    Forest { leaves, stored, frontier }
}

/// Trees built in one go, leaf by leaf and by groups agree; a proof shows its leaf at its place, and no other proof does.
fn tree(input: &mut Input<'_>) {
    let size = 1 + input.short() % 300;
    let before = usize::from(input.byte()) % size;
    let index = input.short() % size;
    let whole = forest(size);
    let root = whole.frontier.root();
    let lookup = |level, index| whole.stored.get(&(level, index)).copied();
    assert_eq!(merkle::root(whole.leaves.iter().copied()), root);
    assert_eq!(merkle::tree_root(size as u64, lookup), Ok(root));
    assert_eq!(Frontier::from_lookup(size as u64, lookup).map(|frontier| frontier.root()), Some(root));
    let group = GroupProofs::new(&forest(before).frontier, &whole.leaves[before..]);
    assert_eq!(group.root(), root, "a group ends where its leaves one by one end");
    let proof = inclusion_proof(index as u64, size as u64, lookup).expect("a leaf of the tree");
    if index >= before {
        assert_eq!(group.proof(index - before).as_deref(), Some(&*proof), "a group proves as the tree does");
    }
    let leaf = whole.leaves[index];
    let shows = |leaf: &Digest, index: u64, proof: &[Digest]| {
        verify_inclusion(leaf, index, size as u64, proof, &root).is_ok()
    };
    assert!(shows(&leaf, index as u64, &proof));
    let other = input.short();
    if other != index {
        assert!(!shows(&leaf, other as u64, &proof), "the leaf is shown at another place");
    }
    let bytes: Vec<u8> = proof.iter().flat_map(|hash| *hash.as_bytes()).collect();
    let damaged = input.damaged(&bytes);
    let changed: Vec<Digest> = damaged.chunks_exact(32).filter_map(Digest::from_slice).collect();
    assert_eq!(shows(&leaf, index as u64, &changed), changed == proof, "another proof shows the leaf");
    assert!(size == 1 || !shows(&root, 0, &[]), "a root passes for a leaf");
}

/// A tree extends each of its beginnings, by one proof, and no other tree.
fn shown_earlier(input: &mut Input<'_>) {
    let new = 1 + input.short() % 300;
    let old = input.short() % (new + 1);
    let (earlier, later) = (forest(old), forest(new));
    let lookup = |level, index| later.stored.get(&(level, index)).copied();
    let proof = consistency_proof(old as u64, new as u64, lookup).expect("a beginning");
    let (old_root, new_root) = (earlier.frontier.root(), later.frontier.root());
    let extends = |old_root: &Digest, new_root: &Digest, proof: &[Digest]| {
        verify_consistency(old as u64, old_root, new as u64, new_root, proof).is_ok()
    };
    assert!(extends(&old_root, &new_root, &proof));
    let stranger = leaf_hash(b"stranger");
    assert!(old == 0 || !extends(&stranger, &new_root, &proof), "another beginning is extended");
    assert!(old == 0 || !extends(&old_root, &stranger, &proof), "another tree extends it");
    let bytes: Vec<u8> = proof.iter().flat_map(|hash| *hash.as_bytes()).collect();
    let damaged = input.damaged(&bytes);
    let changed: Vec<Digest> = damaged.chunks_exact(32).filter_map(Digest::from_slice).collect();
    assert_eq!(extends(&old_root, &new_root, &changed), changed == proof, "another proof shows it");
}
