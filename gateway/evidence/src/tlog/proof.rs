//! C2SP tlog-proof: an entry's inclusion in a checkpoint, in one text that is checked offline.

use std::fmt::Write;

use super::checkpoint::{Checkpoint, VerifiedCheckpoint, decimal};
use super::note::{MAX_NOTE, TlogError, VerifierKey};
use crate::base64;
use crate::digest::Digest;
use crate::keys::Jwks;
use crate::merkle;

const HEADER: &str = "c2sp.org/tlog-proof@v1";
const MAX_HASHES: usize = 64;
const MAX_EXTRA: usize = 64 * 1024;

/// Where an entry is, and what leads from it to a signed root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// Opaque and unauthenticated; our nodes write none.
    pub extra: Option<Vec<u8>>,
    /// Index of the entry, from 0.
    pub index: u64,
    /// Siblings from the leaf up.
    pub hashes: Vec<Digest>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

/// Appends the proof text to `out`; `checkpoint` is the signed note. The committer's fast path: one note serves a group.
pub fn write_log_proof(out: &mut String, index: u64, hashes: &[Digest], checkpoint: &str) {
    out.reserve(HEADER.len() + 32 + hashes.len() * 45 + checkpoint.len());
    writeln!(out, "{HEADER}\nindex {index}").expect("writing to a string cannot fail");
    for hash in hashes {
        base64::encode_hash_into(hash.as_bytes(), out);
        out.push('\n');
    }
    out.push('\n');
    out.push_str(checkpoint);
}

impl LogProof {
    /// The proof text.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        write_log_proof(&mut out, self.index, &self.hashes, &self.checkpoint);
        if let Some(extra) = &self.extra {
            let line = format!("extra {}\n", base64::encode(extra));
            out.insert_str(HEADER.len() + 1, &line);
        }
        out
    }

    /// Reads the proof text; nothing is verified yet.
    pub fn from_text(text: &str) -> Result<Self, TlogError> {
        let malformed = TlogError::MalformedProof;
        if text.len() > MAX_NOTE + MAX_EXTRA * 2 + MAX_HASHES * 45 {
            return Err(malformed);
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(malformed.clone())?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(malformed);
        }
        let mut line = lines.next().ok_or(malformed.clone())?;
        let mut extra = None;
        if let Some(encoded) = line.strip_prefix("extra ") {
            extra = Some(
                base64::decode(encoded).filter(|extra| extra.len() <= MAX_EXTRA).ok_or(malformed.clone())?,
            );
            line = lines.next().ok_or(malformed.clone())?;
        }
        let index = line.strip_prefix("index ").and_then(decimal).ok_or(malformed.clone())?;
        let hashes: Vec<Digest> = lines
            .map(|line| base64::decode(line).and_then(|hash| Digest::from_slice(&hash)))
            .collect::<Option<_>>()
            .filter(|hashes: &Vec<_>| hashes.len() <= MAX_HASHES)
            .ok_or(malformed)?;
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Shows that `entry` is in the log of one of `keys`.
    pub fn verify(&self, entry: &[u8], keys: &[VerifierKey]) -> Result<VerifiedInclusion, TlogError> {
        self.lead_to(entry, VerifiedCheckpoint::open(&self.checkpoint, keys)?)
    }

    /// Shows that `entry` is in a log of `node`, in whatever epoch, by the log keys of a pinned key set.
    pub fn verify_with_jwks(
        &self,
        entry: &[u8],
        node: &str,
        keys: &Jwks,
    ) -> Result<VerifiedInclusion, TlogError> {
        self.lead_to(entry, VerifiedCheckpoint::open_with_jwks(&self.checkpoint, node, keys)?)
    }

    /// Checks all but the signature: the proof is consistent with the checkpoint it carries, whoever wrote it.
    pub fn check_unauthenticated(&self, entry: &[u8]) -> Result<Checkpoint, TlogError> {
        let checkpoint = Checkpoint::unauthenticated(&self.checkpoint)?;
        self.check(entry, &checkpoint)?;
        Ok(checkpoint)
    }

    fn lead_to(&self, entry: &[u8], checkpoint: VerifiedCheckpoint) -> Result<VerifiedInclusion, TlogError> {
        self.check(entry, checkpoint.checkpoint())?;
        Ok(VerifiedInclusion { index: self.index, checkpoint })
    }

    fn check(&self, entry: &[u8], checkpoint: &Checkpoint) -> Result<(), TlogError> {
        let leaf = merkle::leaf_hash(entry);
        Ok(merkle::verify_inclusion(&leaf, self.index, checkpoint.size, &self.hashes, &checkpoint.root)?)
    }
}

/// An entry is in a log. Only verification makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedInclusion {
    index: u64,
    checkpoint: VerifiedCheckpoint,
}

impl VerifiedInclusion {
    /// Index of the entry.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The checkpoint it is in.
    pub fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::LogKey;
    use crate::merkle::{Frontier, GroupProofs, leaf_hash};

    fn proof() -> (LogProof, Vec<VerifierKey>) {
        let key = LogKey::generate().unwrap();
        let leaves: Vec<_> = (0..11u8).map(|number| leaf_hash(&[number])).collect();
        let group = GroupProofs::new(&Frontier::new(), &leaves);
        let origin = super::super::log_origin("xm.example/350200-credit", 1);
        let checkpoint = Checkpoint { origin: origin.clone(), size: 11, root: group.root() };
        let proof = LogProof {
            extra: None,
            index: 5,
            hashes: group.proof(5).unwrap(),
            checkpoint: checkpoint.sign(&key).unwrap(),
        };
        (proof, vec![VerifierKey::of(&origin, &key).unwrap()])
    }

    #[test]
    fn a_proof_reads_back_and_verifies() {
        let (proof, keys) = proof();
        let text = proof.to_text();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 5\n"));
        assert_eq!(LogProof::from_text(&text), Ok(proof.clone()));
        assert_eq!(proof.verify(&[5], &keys).unwrap().index(), 5);
        assert_eq!(proof.verify(&[6], &keys), Err(TlogError::Merkle(merkle::MerkleError::Mismatch)));
        let extra = LogProof { extra: Some(b"more".to_vec()), ..proof };
        assert_eq!(LogProof::from_text(&extra.to_text()), Ok(extra));
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let (proof, keys) = proof();
        let text = proof.to_text();
        for place in 0..text.len() {
            for bit in [1, 4, 32] {
                let mut bytes = text.clone().into_bytes();
                bytes[place] ^= bit;
                let Ok(altered) = String::from_utf8(bytes) else { continue };
                let result = LogProof::from_text(&altered).and_then(|proof| proof.verify(&[5], &keys));
                assert!(result.is_err(), "byte {place}: {altered}");
            }
        }
    }
}
