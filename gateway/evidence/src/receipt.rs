//! Receipts: proof for a department that its submission is in the node's log.
//!
//! A receipt carries the log entry itself; a verifier reads fields from there and from nowhere else. `rejected`, what was
//! not taken and why, stands beside it and is bound by a salted digest in the entry.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;
use xinqiao_crypto::{Mac, MacKey, random};
use zeroize::Zeroize;

use crate::base64;
use crate::digest::{Digest, Digests};
use crate::entry::{Entry, EntryError, Event};
use crate::explain::explained;
use crate::jcs;
use crate::json::{self, JsonError};
use crate::keys::{Jwks, KeyError};
use crate::tlog::{LogProof, TlogError, VerifiedInclusion, VerifierKey, split_origin, write_log_proof};

/// A larger receipt is refused.
pub const MAX_RECEIPT: usize = 64 * 1024 * 1024;

explained! {
    /// A receipt does not prove what it should.
    pub enum ReceiptError {
        /// Another kind of entry.
        NotASubmission => "receipt.not-a-submission", "the log entry in the receipt is not a submission", "回执中的日志条目不是报送记录";
        /// The entry is of another node or epoch than the log that signed.
        OtherLog => "receipt.other-log", "the receipt's entry names another node or epoch than the log that signed it", "回执条目的节点或纪元与签名日志不符";
        /// `rejected` is not what the entry binds.
        Rejected => "receipt.rejected", "the list of rejected records is not the one the log entry binds: it was altered", "被拒记录清单与日志条目不符：被改动";
    }
    wraps {
        /// Not strict JSON of the right shape.
        Json(JsonError),
        /// The entry is malformed.
        Entry(EntryError),
        /// The proof is malformed, fails, or is not by a pinned key.
        Log(TlogError),
    }
}

/// 256 random bits for the digests of one submission. Those who hold it can test guesses of what was submitted, so it
/// goes to the submitter and to the evidence store, never to the log.
#[derive(Clone, PartialEq, Eq)]
pub struct Salt([u8; 32]);

impl Salt {
    /// Fresh from the system.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self(random::array()?))
    }

    /// From stored bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To be stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// HMAC-SHA-256 with the salt as key over data that comes in pieces.
    pub fn hasher(&self) -> SaltedHasher {
        SaltedHasher(MacKey::new(&self.0).begin())
    }
}

/// HMAC-SHA-256 with the salt as key: the digest of data whose values could be guessed.
pub fn salted_digest(salt: &Salt, data: &[u8]) -> Digest {
    let mut hasher = salt.hasher();
    hasher.update(data);
    hasher.finish()
}

impl Drop for Salt {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Salt(redacted)")
    }
}

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = base64::serde_standard::deserialize(deserializer)?;
        bytes.try_into().map(Self).map_err(|_| D::Error::custom("a salt has 32 bytes"))
    }
}

/// See [`Salt::hasher`].
#[derive(Clone)]
pub struct SaltedHasher(Mac);

impl SaltedHasher {
    /// Adds the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Digest {
        Digest(self.0.finish())
    }
}

impl fmt::Debug for SaltedHasher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SaltedHasher(redacted)")
    }
}

/// A receipt as it is sent and kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The log entry, base64 on the wire.
    #[serde(with = "base64::serde_standard")]
    pub entry: Vec<u8>,
    /// C2SP tlog-proof text.
    pub proof: String,
    /// What was not taken, and doubts: an array of problems.
    pub rejected: Value,
    /// Salt of the entry's digests.
    pub salt: Salt,
}

impl Receipt {
    /// Reads a receipt; nothing is verified yet.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReceiptError> {
        Ok(json::from_slice(bytes, MAX_RECEIPT)?)
    }

    /// Writes the receipt.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a receipt is plain data")
    }

    /// Shows that the submission is in the log of one of `keys`.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<VerifiedReceipt, ReceiptError> {
        let inclusion = LogProof::from_text(&self.proof)?.verify(&self.entry, keys)?;
        self.check_digest(inclusion)
    }

    /// Shows that the submission is in the log of the node it names, by the log keys of a pinned key set.
    pub fn verify_with_jwks(&self, keys: &Jwks) -> Result<VerifiedReceipt, ReceiptError> {
        let entry = Entry::from_bytes(&self.entry)?;
        let inclusion = LogProof::from_text(&self.proof)?.verify_with_jwks(&self.entry, &entry.node, keys)?;
        self.check_digest(inclusion)
    }

    /// Checks everything but the signature; the entry it would prove.
    pub fn check_unauthenticated(&self) -> Result<Entry<'static>, ReceiptError> {
        let checkpoint = LogProof::from_text(&self.proof)?.check_unauthenticated(&self.entry)?;
        self.check_entry(&checkpoint.origin)
    }

    fn check_digest(&self, inclusion: VerifiedInclusion) -> Result<VerifiedReceipt, ReceiptError> {
        let entry = self.check_entry(&inclusion.checkpoint().checkpoint().origin)?;
        Ok(VerifiedReceipt { entry, inclusion, salt: self.salt.clone(), rejected: self.rejected.clone() })
    }

    fn check_entry(&self, origin: &str) -> Result<Entry<'static>, ReceiptError> {
        let entry = Entry::from_bytes(&self.entry)?;
        if split_origin(origin) != Some((&entry.node, entry.epoch)) {
            return Err(ReceiptError::OtherLog);
        }
        let Event::Submission { rejected_digest, .. } = &entry.event else {
            return Err(ReceiptError::NotASubmission);
        };
        let rejected = jcs::to_jcs(&self.rejected)?;
        if salted_digest(&self.salt, &rejected) != rejected_digest.sha256 || !self.rejected.is_array() {
            return Err(ReceiptError::Rejected);
        }
        Ok(entry.into_owned())
    }
}

/// What [`write_receipt`] puts together.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptParts<'a> {
    /// Canonical bytes of the entry.
    pub entry: &'a [u8],
    /// The submission's salt.
    pub salt: &'a Salt,
    /// The RFC 8785 bytes of the array `rejected`; `[]` if nothing was.
    pub rejected: &'a str,
    /// Index of the entry in the log.
    pub index: u64,
    /// Its inclusion proof.
    pub hashes: &'a [Digest],
    /// The signed checkpoint, shared by a commit group.
    pub checkpoint: &'a str,
}

/// Appends a receipt's JSON to `out`: the committer's fast path, the same bytes as [`Receipt::to_json`].
pub fn write_receipt(out: &mut Vec<u8>, parts: &ReceiptParts<'_>) {
    let mut proof = String::new();
    write_log_proof(&mut proof, parts.index, parts.hashes, parts.checkpoint);
    let mut text = String::with_capacity(parts.entry.len() * 4 / 3 + parts.rejected.len() + 128);
    text.push_str("{\"entry\":\"");
    base64::encode_into(parts.entry, &mut text);
    text.push_str("\",\"proof\":");
    out.extend_from_slice(text.as_bytes());
    serde_json::to_writer(&mut *out, &proof).expect("text is plain data, a vector takes all");
    text.clear();
    text.push_str(",\"rejected\":");
    text.push_str(parts.rejected);
    text.push_str(",\"salt\":\"");
    base64::encode_into(parts.salt.as_bytes(), &mut text);
    text.push_str("\"}");
    out.extend_from_slice(text.as_bytes());
}

/// A submission is in a node's log. Only verification makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedReceipt {
    entry: Entry<'static>,
    inclusion: VerifiedInclusion,
    salt: Salt,
    rejected: Value,
}

impl VerifiedReceipt {
    /// What the node logged. [`Event::Submission`], always.
    pub fn entry(&self) -> &Entry<'static> {
        &self.entry
    }

    /// Index of the entry in the log.
    pub fn index(&self) -> u64 {
        self.inclusion.index()
    }

    /// The proof of inclusion, with the checkpoint to keep.
    pub fn inclusion(&self) -> &VerifiedInclusion {
        &self.inclusion
    }

    /// What was not taken, as the entry binds it.
    pub fn rejected(&self) -> &Value {
        &self.rejected
    }

    /// Whether `body`, decoded as sent, is what the node says it received.
    pub fn is_of_body(&self, body: &[u8]) -> bool {
        match &self.entry.event {
            Event::Submission { body_digest, .. } => {
                *body_digest == Digests::sha256(salted_digest(&self.salt, body))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::entry::Counts;
    use crate::keys::LogKey;
    use crate::merkle::{Frontier, GroupProofs, leaf_hash};
    use crate::tlog::{Checkpoint, log_origin};

    const NODE: &str = "xm.example/350200-credit";
    const BODY: &[u8] = br#"[{"CF_XDR_MC":"test"}]"#;

    struct Case {
        receipt: Receipt,
        fast: Vec<u8>,
        vkey: Vec<VerifierKey>,
        jwks: Jwks,
    }

    fn case(change: impl FnOnce(&mut Entry<'_>)) -> Case {
        let key = LogKey::generate().unwrap();
        let salt = Salt::generate().unwrap();
        let rejected = json!([{"code": "record.field-missing", "record": 3, "zh": "缺少字段"}]);
        let rejected_jcs = jcs::to_jcs(&rejected).unwrap();
        let event = Event::Submission {
            member: "housing-bureau".into(),
            dataset: "administrative-penalty".into(),
            schema: "administrative-penalty-2020".into(),
            op: "put".into(),
            load: "daily".into(),
            handling: None,
            counts: Counts { accepted: 4, refused: 1, warned: 0 },
            body_digest: salted_digest(&salt, BODY).into(),
            rejected_digest: salted_digest(&salt, &rejected_jcs).into(),
        };
        let mut entry = Entry { node: NODE.into(), epoch: 1, time: "2026-11-21T08:00:00Z".into(), event };
        change(&mut entry);
        let entry = entry.to_bytes().unwrap();
        let leaves = [leaf_hash(b"earlier"), leaf_hash(&entry), leaf_hash(b"later")];
        let group = GroupProofs::new(&Frontier::new(), &leaves);
        let origin = log_origin(NODE, 1);
        let checkpoint =
            Checkpoint { origin: origin.clone(), size: 3, root: group.root() }.sign(&key).unwrap();
        let hashes = group.proof(1).unwrap();
        let mut fast = Vec::new();
        let parts = ReceiptParts {
            entry: &entry,
            salt: &salt,
            rejected: std::str::from_utf8(&rejected_jcs).unwrap(),
            index: 1,
            hashes: &hashes,
            checkpoint: &checkpoint,
        };
        write_receipt(&mut fast, &parts);
        let proof = LogProof { extra: None, index: 1, hashes, checkpoint }.to_text();
        Case {
            receipt: Receipt { entry, proof, rejected, salt },
            fast,
            vkey: vec![VerifierKey::of(&origin, &key).unwrap()],
            jwks: Jwks::new([key.public_jwk().clone()]),
        }
    }

    #[test]
    fn a_receipt_proves_its_submission() {
        let case = case(|_| {});
        assert_eq!(case.receipt.to_json(), case.fast);
        let read = Receipt::from_json(&case.fast).unwrap();
        assert_eq!(read, case.receipt);
        let verified = read.verify(&case.vkey).unwrap();
        assert_eq!(read.verify_with_jwks(&case.jwks), Ok(verified.clone()));
        assert_eq!((verified.index(), verified.entry().kind()), (1, "submission"));
        assert!(verified.is_of_body(BODY));
        assert!(!verified.is_of_body(b"[]"));
        assert_eq!(read.check_unauthenticated().as_ref(), Ok(verified.entry()));
        let unknown = read.verify_with_jwks(&Jwks::default());
        assert_eq!(unknown, Err(ReceiptError::Log(TlogError::UnknownKey)));
        assert!(!format!("{read:?}").contains(&base64::encode(read.salt.as_bytes())));
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let case = case(|_| {});
        for place in 0..case.fast.len() {
            for bit in [1, 2, 32] {
                let mut bytes = case.fast.clone();
                bytes[place] ^= bit;
                let result = Receipt::from_json(&bytes).and_then(|receipt| receipt.verify(&case.vkey));
                assert!(result.is_err(), "byte {place}");
            }
        }
    }

    #[test]
    fn what_the_entry_does_not_say_is_not_proved() {
        let mut other = case(|_| {});
        other.receipt.rejected = json!([]);
        assert_eq!(other.receipt.verify(&other.vkey), Err(ReceiptError::Rejected));
        let other = case(|entry| entry.epoch = 2);
        assert_eq!(other.receipt.verify(&other.vkey), Err(ReceiptError::OtherLog));
        assert_eq!(other.receipt.check_unauthenticated(), Err(ReceiptError::OtherLog));
        let other = case(|entry| entry.node = "qz.example/350500-credit".into());
        assert_eq!(other.receipt.verify(&other.vkey), Err(ReceiptError::OtherLog));
        assert_eq!(
            other.receipt.verify_with_jwks(&other.jwks),
            Err(ReceiptError::Log(TlogError::WrongOrigin))
        );
        let other = case(|entry| entry.event = Event::Stop { reason: "signal".into() });
        assert_eq!(other.receipt.verify(&other.vkey), Err(ReceiptError::NotASubmission));
    }
}
