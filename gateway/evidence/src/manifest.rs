//! Batches: the manifest that describes one, its signature, and the check of its payload.
//!
//! A manifest binds node, epoch, stream and place in the chain to the bytes of a payload and to every line in it. It is
//! read by whoever receives the batch, so all its names are checked before they are used for anything.

mod decode;
mod payload;
mod signed;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::{Digest, Digests};
use crate::explain::explained;
use crate::json::{self, JsonError, MAX_SAFE_INTEGER};
use crate::jws::JwsError;
use crate::keys::KeyError;
use crate::names;
use crate::timestamp::Timestamp;

pub use payload::{Limits, PayloadError, PayloadVerifier, VerifiedPayload};
pub use signed::{SignedManifest, UnauthenticatedManifest, VerifiedManifest};

/// The version of manifest this crate writes.
pub const VERSION: u64 = 1;
/// A larger manifest is refused.
pub const MAX_MANIFEST: usize = 64 * 1024;
const MAX_ORIGINS: usize = 64;

explained! {
    /// A manifest cannot be trusted or understood.
    pub enum ManifestError {
        /// Of a later version.
        Version {
            /// The version found.
            found: u64
        } => "manifest.version", "the manifest is of version {found}; this program reads version 1: upgrade it", "清单版本为 {found}，本程序只支持版本 1：请升级";
        /// A member breaks a rule.
        Member {
            /// The member.
            name: &'static str
        } => "manifest.member", "the manifest's member {name} breaks its rule (docs/formats.md); the batch cannot be used", "清单成员 {name} 不符合规则（docs/formats.md）；该批次不可用";
        /// Signed outside its key's time.
        KeyTime => "manifest.key-time", "the manifest is dated outside the time its signing key served (not_before, retired)", "清单日期不在其签名密钥的有效期内（not_before、retired）";
    }
    wraps {
        /// Not strict JSON of the right shape.
        Json(JsonError),
        /// Not signed as it should be.
        Jws(JwsError),
        /// The key could not sign.
        Key(KeyError),
    }
}

/// What a batch is. Fields are declared in alphabetical order, so that serde writes RFC 8785.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Announces something instead of carrying records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// When it was sealed.
    pub created: Timestamp,
    /// Kind of record.
    pub dataset: String,
    /// The node's epoch, from 1.
    pub epoch: u64,
    /// Digest of the mapping that produced the lines.
    pub mapping_digest: Digests,
    /// The node that sealed it, e.g. `xm.example/350200-credit`.
    pub node: String,
    /// The manifests from which a relay took the records.
    pub origins: Vec<Origin>,
    /// The payload.
    pub payload: Payload,
    /// The release policy, e.g. `province-government`.
    pub policy: String,
    /// Digest of the policy file.
    pub policy_digest: Digests,
    /// Digest of the previous manifest of the stream in this epoch; `null` exactly at `seq` 1.
    #[serde(deserialize_with = "explicit")]
    pub prev: Option<Digests>,
    /// For whom.
    pub recipient: String,
    /// Number of lines.
    pub records: u64,
    /// RFC 6962 root over the lines, each without its LF.
    pub records_root: Digests,
    /// Schema of the lines' `data`, e.g. `administrative-penalty-2020`.
    pub schema: String,
    /// Digest of the schema file.
    pub schema_digest: Digests,
    /// Place in the stream, from 1 without gaps in an epoch.
    pub seq: u64,
    /// `<recipient>.<dataset>`, or with `~<lane>`.
    pub stream: String,
    /// Version, 1.
    pub v: u64,
    /// Why the batch that had this place is not delivered: a code such as `retention`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
}

/// The payload of a batch, as it is transferred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// Length in bytes.
    pub bytes: u64,
    /// Digest of the bytes.
    pub digest: Digests,
    /// How the lines are encoded.
    pub media_type: MediaType,
    /// Length of the lines when decoded, LFs included.
    pub raw_bytes: u64,
}

/// How NDJSON lines are encoded in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediaType {
    /// One or more zstd frames, windows of at most 8 MiB.
    #[serde(rename = "application/zstd")]
    Zstd,
    /// One or more gzip members.
    #[serde(rename = "application/gzip")]
    Gzip,
    /// The lines themselves.
    #[serde(rename = "application/x-ndjson")]
    Identity,
}

impl MediaType {
    /// The HTTP media type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "application/zstd",
            Self::Gzip => "application/gzip",
            Self::Identity => "application/x-ndjson",
        }
    }

    /// The suffix of a payload file: `.zst`, `.gz` or nothing.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
            Self::Identity => "",
        }
    }
}

/// A manifest of another node from which a relay took records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Its digest.
    pub manifest_digest: Digests,
    /// The node that sealed it.
    pub node: String,
}

/// What a control batch announces; it must be acknowledged before it takes effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The kind of announcement.
    pub kind: ControlKind,
    /// Digest of the coming mapping.
    pub mapping_digest: Digests,
    /// The coming schema.
    pub schema: String,
    /// Digest of the coming schema file.
    pub schema_digest: Digests,
}

/// Kinds of control batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlKind {
    /// Later batches carry another schema.
    SchemaSwitch,
}

impl Manifest {
    /// Reads and checks the decoded JWS payload.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ManifestError> {
        json::check(bytes, MAX_MANIFEST)?;
        // The version comes first: a later one may well have members that this reader would call unknown.
        let version =
            json::object(bytes).and_then(|members| serde_json::from_str(members.get("v")?.get()).ok());
        match version {
            Some(VERSION) => {}
            Some(found) => return Err(ManifestError::Version { found }),
            None => return Err(ManifestError::Member { name: "v" }),
        }
        let manifest: Self = json::from_slice(bytes, MAX_MANIFEST)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The canonical bytes: what is signed, and what `prev` and `manifest_digest` are digests of.
    pub fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        self.check()?;
        Ok(serde_json::to_vec(self).expect("a manifest is plain data"))
    }

    fn check(&self) -> Result<(), ManifestError> {
        let number = |number: u64| number <= MAX_SAFE_INTEGER;
        let place = |number: u64| (1..=MAX_SAFE_INTEGER).contains(&number);
        let stream = names::split_stream(&self.stream);
        let empty = self.records == 0;
        let rules = [
            ("v", self.v == VERSION),
            ("node", names::is_node(&self.node)),
            ("stream", stream.is_some()),
            ("recipient", stream.is_some_and(|(recipient, ..)| recipient == self.recipient)),
            ("dataset", stream.is_some_and(|(_, dataset, _)| dataset == self.dataset)),
            ("schema", names::is_word(&self.schema)),
            ("policy", names::is_word(&self.policy)),
            ("epoch", place(self.epoch)),
            ("seq", place(self.seq)),
            ("prev", self.prev.is_none() == (self.seq == 1)),
            ("records", number(self.records) && self.records <= self.payload.raw_bytes / 2),
            ("records_root", !empty || self.records_root.sha256 == Digest::of(b"")),
            ("payload", number(self.payload.bytes) && number(self.payload.raw_bytes)),
            ("payload", !empty || self.payload.raw_bytes == 0),
            (
                "payload",
                self.payload.media_type != MediaType::Identity
                    || self.payload.bytes == self.payload.raw_bytes,
            ),
            (
                "origins",
                self.origins.len() <= MAX_ORIGINS && self.origins.iter().all(|one| names::is_node(&one.node)),
            ),
            ("control", self.control.as_ref().is_none_or(|control| empty && names::is_word(&control.schema))),
            (
                "void",
                self.void.as_ref().is_none_or(|why| empty && self.control.is_none() && names::is_word(why)),
            ),
        ];
        match rules.into_iter().find(|(_, holds)| !holds) {
            Some((name, _)) => Err(ManifestError::Member { name }),
            None => Ok(()),
        }
    }
}

/// `null` must be written out; a missing member is an error.
fn explicit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Digests>, D::Error> {
    Option::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jcs::is_jcs;

    fn manifest() -> Manifest {
        serde_json::from_str(include_str!("../tests/vectors/manifest.json")).unwrap()
    }

    #[test]
    fn the_golden_manifest_is_canonical_and_keeps_its_digest() {
        let text = include_str!("../tests/vectors/manifest.json").trim_end();
        assert!(is_jcs(text.as_bytes()));
        let read = Manifest::from_json(text.as_bytes()).unwrap();
        assert_eq!(read.to_json().unwrap(), text.as_bytes());
        let digest = include_str!("../tests/vectors/manifest.sha256").trim_end();
        assert_eq!(Digest::of(text.as_bytes()).to_string(), digest);
    }

    #[test]
    fn control_and_void_manifests_are_canonical_too() {
        let mut manifest = manifest();
        manifest.records = 0;
        manifest.records_root = Digests::of(b"");
        manifest.payload =
            Payload { bytes: 0, digest: Digests::of(b""), media_type: MediaType::Identity, raw_bytes: 0 };
        manifest.control = Some(Control {
            kind: ControlKind::SchemaSwitch,
            mapping_digest: Digests::of(b"mapping"),
            schema: "administrative-penalty-2024".to_owned(),
            schema_digest: Digests::of(b"schema"),
        });
        assert!(is_jcs(&manifest.to_json().unwrap()));
        manifest.void = Some("retention".to_owned());
        assert_eq!(manifest.to_json(), Err(ManifestError::Member { name: "void" }));
        manifest.control = None;
        let text = manifest.to_json().unwrap();
        assert!(is_jcs(&text));
        assert_eq!(Manifest::from_json(&text), Ok(manifest));
    }

    #[test]
    fn manifests_that_break_a_rule_are_refused() {
        type Change = fn(&mut Manifest);
        let changes: [(&str, Change); 16] = [
            ("node", |m| m.node = "../etc".to_owned()),
            ("stream", |m| m.stream = "../etc".to_owned()),
            ("recipient", |m| m.recipient = "nation".to_owned()),
            ("dataset", |m| m.dataset = "red-list".to_owned()),
            ("schema", |m| m.schema = "a/b".to_owned()),
            ("policy", |m| m.policy = String::new()),
            ("epoch", |m| m.epoch = 0),
            ("seq", |m| m.seq = 0),
            ("seq", |m| m.seq = MAX_SAFE_INTEGER + 1),
            ("prev", |m| m.prev = None),
            ("prev", |m| m.seq = 1),
            ("records", |m| m.records = m.payload.raw_bytes),
            ("records_root", |m| m.records = 0),
            ("payload", |m| m.payload.bytes = u64::MAX),
            ("origins", |m| m.origins[0].node = "x".to_owned()),
            ("void", |m| m.void = Some("retention".to_owned())),
        ];
        for (name, change) in changes {
            let mut manifest = manifest();
            change(&mut manifest);
            assert_eq!(manifest.to_json(), Err(ManifestError::Member { name }), "{name}");
            let bytes = serde_json::to_vec(&manifest).unwrap();
            assert_eq!(Manifest::from_json(&bytes), Err(ManifestError::Member { name }), "{name}");
        }
    }

    #[test]
    fn unknown_missing_and_repeated_members_are_refused() {
        let text = include_str!("../tests/vectors/manifest.json").trim_end();
        let prev = &text[text.find("\"prev\":").unwrap()..text.find("\"recipient\":").unwrap()];
        for wrong in [
            text.replacen('{', "{\"later\":1,", 1),
            text.replacen('{', "{\"seq\":2,", 1),
            text.replace(prev, ""),
            text.replace("application/zstd", "application/json"),
            text.replace("\"seq\":2", "\"seq\":2.0"),
            text.replace("\"seq\":2", "\"seq\":\"2\""),
        ] {
            assert!(matches!(Manifest::from_json(wrong.as_bytes()), Err(ManifestError::Json(_))), "{wrong}");
        }
        let later = text.replace("\"v\":1", "\"v\":2");
        assert_eq!(Manifest::from_json(later.as_bytes()), Err(ManifestError::Version { found: 2 }));
    }
}
