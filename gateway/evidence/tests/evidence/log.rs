//! A log grown in commit groups, stored as tiles, and proved from them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use xinqiao_evidence::keys::{Jwks, LogKey};
use xinqiao_evidence::manifest::MediaType;
use xinqiao_evidence::merkle::{self, Frontier, GroupProofs};
use xinqiao_evidence::tlog::{
    Checkpoint, LogProof, Tile, TileKind, VerifiedCheckpoint, VerifierKey, hash_in_tile, log_origin,
    push_entry, tile_of,
};
use xinqiao_evidence::{Digest, merkle::leaf_hash};

use crate::batch::{NODE, Sealer, line};

/// The files of a log, by path.
pub(crate) struct Log {
    pub(crate) key: LogKey,
    frontier: Frontier,
    hashes: BTreeMap<(u8, u64), Vec<u8>>,
    bundles: BTreeMap<u64, Vec<u8>>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self::signed_by(LogKey::generate().unwrap())
    }

    pub(crate) fn signed_by(key: LogKey) -> Self {
        Self { key, frontier: Frontier::new(), hashes: BTreeMap::new(), bundles: BTreeMap::new() }
    }

    pub(crate) fn verifier(&self) -> VerifierKey {
        VerifierKey::of(&log_origin(NODE, 1), &self.key).unwrap()
    }

    /// Appends a group and gives a proof for each entry.
    pub(crate) fn append(&mut self, entries: &[Vec<u8>]) -> Vec<LogProof> {
        let leaves: Vec<Digest> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let group = GroupProofs::new(&self.frontier, &leaves);
        for (entry, index) in entries.iter().zip(group.first_index()..) {
            push_entry(self.bundles.entry(index / 256).or_default(), entry).unwrap();
        }
        for (level, index, hash) in group.new_hashes() {
            if level % 8 == 0 {
                self.hashes.entry((level / 8, index / 256)).or_default().extend_from_slice(hash.as_bytes());
            }
        }
        let checkpoint = Checkpoint { origin: log_origin(NODE, 1), size: group.size(), root: group.root() }
            .sign(&self.key)
            .unwrap();
        let proofs = (0..entries.len())
            .map(|place| LogProof {
                extra: None,
                index: group.first_index() + place as u64,
                hashes: group.proof(place).unwrap(),
                checkpoint: checkpoint.clone(),
            })
            .collect();
        self.frontier = group.into_frontier();
        proofs
    }

    pub(crate) fn checkpoint(&self) -> String {
        let (size, root) = (self.frontier.size(), self.frontier.root());
        Checkpoint { origin: log_origin(NODE, 1), size, root }.sign(&self.key).unwrap()
    }

    pub(crate) fn lookup(&self, level: u8, index: u64) -> Option<Digest> {
        let (tile_level, tile_index, ..) = tile_of(level, index);
        hash_in_tile(self.hashes.get(&(tile_level, tile_index))?, level, index)
    }

    /// Every tile and bundle as a file.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let size = self.frontier.size();
        let path = |kind, index| Tile::at_size(kind, index, size).unwrap().to_string();
        let hashes = self
            .hashes
            .iter()
            .map(|((level, index), tile)| (path(TileKind::Hashes(*level), *index), tile.clone()));
        let bundles =
            self.bundles.iter().map(|(index, bundle)| (path(TileKind::Entries, *index), bundle.clone()));
        hashes.chain(bundles).collect()
    }
}

#[test]
fn a_batch_is_shown_to_be_in_the_log_by_its_manifest_alone() {
    let batch = Sealer::new().seal(&[vec![line(0), line(1)]], MediaType::Gzip);
    let entry = batch.verified.manifest().log_entry(batch.verified.digest()).to_bytes().unwrap();
    let mut log = Log::new();
    log.append(&[b"earlier".to_vec()]);
    let keys = Jwks::new([log.key.public_jwk().clone()]);
    let proof = log.append(&[entry])[0].to_text();
    assert_eq!(batch.verified.verify_proof(&proof, &keys).unwrap().index(), 1);
    let other = Sealer::new().seal(&[vec![line(0), line(2)]], MediaType::Gzip);
    assert!(other.verified.verify_proof(&proof, &keys).is_err());
    assert!(batch.verified.verify_proof(&proof, &Jwks::default()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn groups_of_any_size_prove_their_entries_and_each_other(groups in prop::collection::vec(0usize..300, 1..8)) {
        let mut log = Log::new();
        let keys = [log.verifier()];
        let mut heads = vec![VerifiedCheckpoint::open(&log.checkpoint(), &keys).unwrap()];
        for (number, size) in groups.into_iter().enumerate() {
            let entries: Vec<_> = (0..size).map(|place| format!("{number}/{place}").into_bytes()).collect();
            for (entry, proof) in entries.iter().zip(log.append(&entries)) {
                let inclusion = proof.verify(entry, &keys).unwrap();
                prop_assert_eq!(inclusion.index(), proof.index);
                prop_assert!(proof.verify(b"other", &keys).is_err());
            }
            heads.push(VerifiedCheckpoint::open(&log.checkpoint(), &keys).unwrap());
        }
        let newest = heads.last().unwrap();
        for older in &heads {
            let (old, new) = (older.checkpoint().size, newest.checkpoint().size);
            let proof = merkle::consistency_proof(old, new, |level, index| log.lookup(level, index)).unwrap();
            prop_assert!(newest.extends(older, &proof).is_ok());
            prop_assert!(old == new || older.extends(newest, &proof).is_err());
        }
        let (size, root) = (newest.checkpoint().size, newest.checkpoint().root);
        prop_assert_eq!(merkle::tree_root(size, |level, index| log.lookup(level, index)), Ok(root));
    }
}
