//! A recipient's final answer to a batch, line by line: as JSON over its own TLS connection, or signed as a JWS.

use std::io::{self, BufWriter, Write};

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::{Digest, Digests, Hasher};
use crate::explain::explained;
use crate::json::{self, JsonError, MAX_SAFE_INTEGER};
use crate::jws::{self, JwsError, JwsType};
use crate::keys::{AcknowledgementKey, Jwks, KeyError};
use crate::names;
use crate::timestamp::Timestamp;

pub use crate::entry::Outcome;

/// A larger acknowledgement is refused.
pub const MAX_ACKNOWLEDGEMENT: usize = 16 * 1024 * 1024;
/// More errors in one acknowledgement are refused.
pub const MAX_ERRORS: usize = 100_000;
const MAX_CODE: usize = 64;
const MAX_MESSAGE: usize = 500;
const PER_ERROR: usize = 120;

explained! {
    /// An acknowledgement cannot be taken.
    pub enum AcknowledgementError {
        /// A member breaks its rule.
        Member {
            /// The member.
            name: &'static str
        } => "acknowledgement.member", "the acknowledgement's member {name} breaks its rule (docs/formats.md); correct it and send again", "应答成员 {name} 不符合规则（docs/formats.md）；请更正后重发";
        /// Errors are not in order, or a line appears twice.
        Order {
            /// Place in `errors`, from 0.
            place: usize
        } => "acknowledgement.order", "errors[{place}]: record numbers must rise strictly; list each line once", "errors[{place}]：record 必须严格递增；每行只列一次";
        /// A line that the batch does not have.
        Range {
            /// Place in `errors`, from 0.
            place: usize,
            /// Lines in the batch.
            records: u64
        } => "acknowledgement.range", "errors[{place}]: the batch has {records} lines, counted from 0", "errors[{place}]：该批次共 {records} 行，从 0 计";
        /// `outcome` and `errors` contradict each other.
        Outcome => "acknowledgement.outcome", "outcome and errors contradict: accepted has none, partial has some, rejected has none or some", "outcome 与 errors 矛盾：accepted 无错误；partial 有错误；rejected 可无可有";
        /// For another batch.
        OtherBatch => "acknowledgement.other-batch", "the acknowledgement's node, epoch, stream, seq or manifest_digest is not that of the batch: verify the batch again", "应答的 node、epoch、stream、seq 或 manifest_digest 与该批次不符：请重新核验批次";
    }
    wraps {
        /// Not strict JSON of the right shape.
        Json(JsonError),
        /// Not signed as it should be.
        Jws(JwsError),
    }
}

/// Bytes that reading a text of this length takes on top of the text, at most.
///
/// Strings are copied once, and may stand in a buffer of up to twice their length before; an error costs its struct in a
/// vector that doubles, and two allocations. A signed text is held once more for the signature and once decoded.
pub fn reading_takes(length: usize, signed: bool) -> usize {
    let plain = if signed { length / 4 * 3 } else { length };
    // No error is shorter: {"code":"a","message":"","record":1},
    let errors = (plain / 37).min(MAX_ERRORS + 1);
    let reading = plain.saturating_mul(2).saturating_add(errors * PER_ERROR);
    if signed { reading.saturating_add(plain) } else { reading }
}

/// The answer. Fields are declared in alphabetical order, so that serde writes RFC 8785.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// Epoch of the batch.
    pub epoch: u64,
    /// Lines that were not taken, by rising line number.
    #[serde(default, deserialize_with = "errors")]
    pub errors: Vec<LineError>,
    /// Digest of the decoded JWS payload of the manifest.
    pub manifest_digest: Digests,
    /// The node that sealed the batch.
    pub node: String,
    /// The answer in one word.
    pub outcome: Outcome,
    /// Its place in the stream.
    pub seq: u64,
    /// The stream.
    pub stream: String,
    /// When the recipient decided.
    pub time: Timestamp,
}

/// A line that the recipient did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineError {
    /// The recipient's code, 1 to 64 printable ASCII characters.
    #[serde(deserialize_with = "code")]
    pub code: String,
    /// The recipient's text, at most 500 characters. It must not repeat values of the record.
    #[serde(deserialize_with = "message")]
    pub message: String,
    /// Line number in the batch, from 0.
    pub record: u64,
}

/// The batch an acknowledgement must be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged<'a> {
    /// The node.
    pub node: &'a str,
    /// Its epoch.
    pub epoch: u64,
    /// The stream.
    pub stream: &'a str,
    /// Place in the stream.
    pub seq: u64,
    /// The manifest's digest.
    pub manifest_digest: Digest,
    /// Number of lines.
    pub records: u64,
}

impl Acknowledgement {
    /// Reads plain JSON and checks what can be checked without the batch.
    pub fn from_json(bytes: &[u8]) -> Result<Self, AcknowledgementError> {
        let read: Self = json::from_slice(bytes, MAX_ACKNOWLEDGEMENT)?;
        read.check()?;
        Ok(read)
    }

    /// Reads a JWS that a key pinned for the recipient signed.
    pub fn from_jws(bytes: &[u8], keys: &Jwks) -> Result<Self, AcknowledgementError> {
        let verified = jws::verify(bytes, JwsType::Acknowledgement, keys)?;
        let read = Self::from_json(verified.payload())?;
        if verified.key().serves_at(&read.time) {
            Ok(read)
        } else {
            Err(AcknowledgementError::Member { name: "time" })
        }
    }

    /// Reads what was taken before and kept as it came, JSON or JWS. A signature is not verified again: it was when it
    /// came, and its key may be out of service by now.
    pub fn from_evidence(bytes: &[u8]) -> Result<Self, AcknowledgementError> {
        match Self::from_json(bytes) {
            Err(AcknowledgementError::Json(_)) => Self::from_json(&jws::payload_verified_before(bytes)?),
            other => other,
        }
    }

    /// The canonical bytes.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an acknowledgement is plain data")
    }

    /// The canonical bytes, signed.
    pub fn to_jws(&self, key: &AcknowledgementKey) -> Result<String, KeyError> {
        jws::sign(&self.to_json(), key)
    }

    /// SHA-256 of the canonical bytes.
    pub fn digest(&self) -> Digest {
        // Hashed as it is written: the bytes may be many, and nobody needs them.
        let mut canonical = BufWriter::with_capacity(16 * 1024, Hashing(Hasher::new()));
        serde_json::to_writer(&mut canonical, self).expect("an acknowledgement is plain data");
        let hashing = canonical.into_inner();
        hashing.map_err(|_| ()).expect("hashing takes all").0.finish()
    }

    /// Whether the other is the same answer, be it given at another time. A repeated answer is confirmed once more, a
    /// different one refused.
    pub fn is_same_acknowledgement(&self, other: &Self) -> bool {
        self == &Self { time: self.time.clone(), ..other.clone() }
    }

    /// Checks the acknowledgement against the batch it is for.
    pub fn check_for(&self, batch: &Acknowledged<'_>) -> Result<(), AcknowledgementError> {
        self.check()?;
        let same = self.node == batch.node
            && self.epoch == batch.epoch
            && self.stream == batch.stream
            && self.seq == batch.seq
            && self.manifest_digest.sha256 == batch.manifest_digest;
        if !same {
            return Err(AcknowledgementError::OtherBatch);
        }
        let records = batch.records;
        if let Some(place) = self.errors.iter().position(|error| error.record >= records) {
            return Err(AcknowledgementError::Range { place, records });
        }
        Ok(())
    }

    fn check(&self) -> Result<(), AcknowledgementError> {
        let place = |number: u64| (1..=MAX_SAFE_INTEGER).contains(&number);
        let rules = [
            ("node", names::is_node(&self.node)),
            ("stream", names::is_stream(&self.stream)),
            ("epoch", place(self.epoch)),
            ("seq", place(self.seq)),
            ("errors", self.errors.len() <= MAX_ERRORS),
            ("errors.code", self.errors.iter().all(|error| is_code(&error.code))),
            ("errors.message", self.errors.iter().all(|error| error.message.chars().count() <= MAX_MESSAGE)),
            ("errors.record", self.errors.iter().all(|error| error.record <= MAX_SAFE_INTEGER)),
        ];
        if let Some((name, _)) = rules.into_iter().find(|(_, holds)| !holds) {
            return Err(AcknowledgementError::Member { name });
        }
        if let Some(place) = self.errors.windows(2).position(|pair| pair[0].record >= pair[1].record) {
            return Err(AcknowledgementError::Order { place: place + 1 });
        }
        match (self.outcome, self.errors.is_empty()) {
            (Outcome::Accepted, false) | (Outcome::Partial, true) => Err(AcknowledgementError::Outcome),
            _ => Ok(()),
        }
    }
}

/// Takes bytes into a digest.
struct Hashing(Hasher);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// One item, or one character, too many is kept, so that the rule is seen to be broken; what follows only cost memory.

fn errors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LineError>, D::Error> {
    json::at_most(MAX_ERRORS + 1, deserializer).map(|(errors, _)| errors)
}

fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    json::cut(MAX_CODE + 1, deserializer)
}

fn message<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    json::cut(MAX_MESSAGE + 1, deserializer)
}

fn is_code(code: &str) -> bool {
    (1..=MAX_CODE).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jcs::is_jcs;

    fn acknowledgement() -> Acknowledgement {
        let error =
            |record| LineError { code: "E1007".to_owned(), message: "主体不存在".to_owned(), record };
        Acknowledgement {
            epoch: 1,
            errors: vec![error(0), error(7)],
            manifest_digest: Digests::of(b"manifest"),
            node: "xm.example/350200-credit".to_owned(),
            outcome: Outcome::Partial,
            seq: 4,
            stream: "province.administrative-penalty".to_owned(),
            time: Timestamp::parse("2026-11-21T08:00:00Z").unwrap(),
        }
    }

    fn batch(records: u64) -> Acknowledged<'static> {
        Acknowledged {
            node: "xm.example/350200-credit",
            epoch: 1,
            stream: "province.administrative-penalty",
            seq: 4,
            manifest_digest: Digest::of(b"manifest"),
            records,
        }
    }

    #[test]
    fn canonical_json_reads_back() {
        let given = acknowledgement();
        assert!(is_jcs(&given.to_json()));
        assert_eq!(Acknowledgement::from_json(&given.to_json()), Ok(given.clone()));
        assert_eq!(given.check_for(&batch(8)), Ok(()));
        let later =
            Acknowledgement { time: Timestamp::parse("2026-11-22T08:00:00Z").unwrap(), ..given.clone() };
        assert!(given.is_same_acknowledgement(&later));
        assert_ne!(given.digest(), later.digest());
        let other = Acknowledgement { errors: given.errors[..1].to_vec(), ..given.clone() };
        assert!(!given.is_same_acknowledgement(&other));
    }

    #[test]
    fn a_signed_one_needs_the_recipients_key() {
        let key = AcknowledgementKey::generate().unwrap();
        let signed = acknowledgement().to_jws(&key).unwrap();
        let keys = Jwks::new([key.public_jwk().clone()]);
        assert_eq!(Acknowledgement::from_jws(signed.as_bytes(), &keys), Ok(acknowledgement()));
        assert_eq!(Acknowledgement::from_evidence(signed.as_bytes()), Ok(acknowledgement()));
        assert_eq!(Acknowledgement::from_evidence(&acknowledgement().to_json()), Ok(acknowledgement()));
        assert!(Acknowledgement::from_evidence(b"{}").is_err());
        let none = Acknowledgement::from_jws(signed.as_bytes(), &Jwks::default());
        assert_eq!(none, Err(AcknowledgementError::Jws(JwsError::UnknownKey)));
    }

    #[test]
    fn what_is_cut_off_while_reading_still_breaks_its_rule() {
        let refused = |change: &dyn Fn(&mut Acknowledgement)| {
            let mut changed = acknowledgement();
            change(&mut changed);
            Acknowledgement::from_json(&changed.to_json()).unwrap_err()
        };
        let member = |name| AcknowledgementError::Member { name };
        let error = acknowledgement().errors[0].clone();
        let many = |count| {
            move |a: &mut Acknowledgement| {
                a.errors = (0..count)
                    .map(|record| LineError { code: "E".into(), message: String::new(), record })
                    .collect();
            }
        };
        assert_eq!(refused(&many(100_001)), member("errors"));
        assert_eq!(refused(&many(150_000)), member("errors"));
        let message = |text: String| LineError { message: text, ..error.clone() };
        let code = |text: String| LineError { code: text, ..error.clone() };
        assert_eq!(refused(&|a| a.errors[0] = message("长".repeat(501))), member("errors.message"));
        assert_eq!(refused(&|a| a.errors[0] = message("长\n".repeat(9_000))), member("errors.message"));
        assert_eq!(refused(&|a| a.errors[0] = code("E".repeat(65))), member("errors.code"));
        assert_eq!(refused(&|a| a.errors[0] = code("E".repeat(9_000))), member("errors.code"));
        let mut longest = acknowledgement();
        many(100_000)(&mut longest);
        longest.errors[0] = LineError { code: "E".repeat(64), message: "长".repeat(500), record: 0 };
        assert_eq!(Acknowledgement::from_json(&longest.to_json()), Ok(longest));
        // An error past the last that counts is still read: it may not be anything.
        let mut text = String::from_utf8(acknowledgement().to_json()).unwrap();
        let (at, extra) = (text.find("],").unwrap(), ",{\"code\":1}");
        text.insert_str(at, extra);
        assert!(matches!(Acknowledgement::from_json(text.as_bytes()), Err(AcknowledgementError::Json(_))));
    }

    #[test]
    fn the_digest_is_that_of_the_canonical_bytes() {
        let given = acknowledgement();
        assert_eq!(given.digest(), Digest::of(&given.to_json()));
    }

    #[test]
    fn contradictions_are_refused() {
        type Change = fn(&mut Acknowledgement);
        let outcome = AcknowledgementError::Outcome;
        let member = |name| AcknowledgementError::Member { name };
        let cases: [(Change, AcknowledgementError); 12] = [
            (|a| a.outcome = Outcome::Accepted, outcome.clone()),
            (|a| a.errors.clear(), outcome.clone()),
            (|a| a.errors.swap(0, 1), AcknowledgementError::Order { place: 1 }),
            (|a| a.errors[1].record = 0, AcknowledgementError::Order { place: 1 }),
            (|a| a.errors[1].record = 8, AcknowledgementError::Range { place: 1, records: 8 }),
            (|a| a.errors[0].code = "坏".to_owned(), member("errors.code")),
            (|a| a.errors[0].message = "长".repeat(501), member("errors.message")),
            (|a| a.node = "x".to_owned(), member("node")),
            (|a| a.seq = 0, member("seq")),
            (|a| a.seq = 5, AcknowledgementError::OtherBatch),
            (|a| a.manifest_digest = Digests::of(b"other"), AcknowledgementError::OtherBatch),
            (|a| a.stream += "~history", AcknowledgementError::OtherBatch),
        ];
        for (change, expected) in cases {
            let mut changed = acknowledgement();
            change(&mut changed);
            assert_eq!(changed.check_for(&batch(8)), Err(expected));
        }
        let mut every_line = acknowledgement();
        every_line.errors.truncate(1);
        assert_eq!(
            every_line.check_for(&batch(1)),
            Ok(()),
            "a batch of which no line is taken is still answered"
        );
        every_line.outcome = Outcome::Rejected;
        assert_eq!(every_line.check_for(&batch(1)), Ok(()));
        let unknown = acknowledgement().to_json();
        let unknown = String::from_utf8(unknown).unwrap().replace("partial", "maybe");
        assert!(matches!(Acknowledgement::from_json(unknown.as_bytes()), Err(AcknowledgementError::Json(_))));
    }
}
