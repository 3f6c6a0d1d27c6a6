//! The manifest of a batch, filled in and signed.

use super::{CommitError, Node};
use xinqiao_evidence::manifest::{
    Control, ControlKind, Manifest, MediaType, Origin, Payload, SignedManifest, VERSION,
};
use xinqiao_evidence::timestamp::Timestamp;
use xinqiao_evidence::{Digest, Digests};
use xinqiao_exchange::event::{Description, Encoding, Sealed};
use xinqiao_exchange::group::{Item, Kind};
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::state::StreamRow;
use xinqiao_exchange::{seal, table};

/// A signed manifest and the digest by which it is chained and acknowledged.
pub(super) struct Signed {
    /// General JWS serialisation.
    pub(super) jws: String,
    /// Digest of its payload.
    pub(super) digest: Digest,
    /// The log entry of the batch: the same for everyone who holds the manifest.
    pub(super) entry: Vec<u8>,
}

impl Signed {
    /// The batch without records that this manifest is about, at the end of the stream, with its items: manifest, then table.
    pub(super) fn without_records(
        &self,
        stream: &StreamId,
        head: &StreamRow,
        time: i64,
    ) -> (Sealed, Vec<Item>) {
        let sealed = Sealed {
            stream: stream.clone(),
            seq: head.next_seq,
            digest: self.digest.to_hex(),
            manifest: 0,
            table: 1,
            parts: Vec::new(),
            records: 0,
            bytes: 0,
            payload_digest: Digest::of(b"").to_hex(),
            first_chunk: head.first_unsealed,
            last_chunk: head.first_unsealed,
            index: 0,
            cleared: Vec::new(),
            void: false,
            announces: None,
            description: None,
            released: false,
            time,
        };
        let aad = stream.as_str().as_bytes().to_vec();
        let items = vec![
            Item { kind: Kind::Evidence, aad: aad.clone(), bytes: self.jws.clone().into_bytes() },
            Item { kind: Kind::Evidence, aad, bytes: vec![table::VERSION] },
        ];
        (sealed, items)
    }
}

/// What a manifest says besides what the stream and the description give.
pub(super) struct Content<'a> {
    pub(super) records: u64,
    pub(super) root: Digest,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    pub(super) raw_bytes: u64,
    pub(super) origins: &'a [xinqiao_exchange::event::Origin],
    pub(super) void: Option<String>,
    pub(super) control: Option<Control>,
}

/// Signs the manifest of a sealed payload.
pub(super) fn sign(
    node: &Node,
    stream: &StreamId,
    head: &StreamRow,
    description: &Description,
    made: &seal::Payload,
) -> Result<Signed, CommitError> {
    let content = Content {
        records: made.records,
        root: made.root,
        digest: made.digest,
        bytes: made.bytes,
        raw_bytes: made.raw_bytes,
        origins: &made.origins,
        void: None,
        control: None,
    };
    sign_content(node, stream, head, description, content)
}

/// Signs a void: the place in the stream is taken, nothing is delivered.
pub(super) fn sign_void(
    node: &Node,
    stream: &StreamId,
    head: &StreamRow,
    description: &Description,
    reason: &str,
) -> Result<Signed, CommitError> {
    let nothing = Content {
        records: 0,
        root: xinqiao_evidence::merkle::root(Vec::<Digest>::new()),
        digest: Digest::of(b""),
        bytes: 0,
        raw_bytes: 0,
        origins: &[],
        void: Some(reason.to_owned()),
        control: None,
    };
    sign_content(node, stream, head, description, nothing)
}

/// Signs the announcement of another schema: no records, and nothing under the new schema before it is acknowledged.
pub(super) fn sign_announcement(
    node: &Node,
    stream: &StreamId,
    head: &StreamRow,
    now: &Description,
    coming: &Description,
) -> Result<Signed, CommitError> {
    let digests =
        |hex: &str| Digests::sha256(hex.parse::<Digest>().expect("descriptions hold SHA-256 in hexadecimal"));
    let control = Control {
        kind: ControlKind::SchemaSwitch,
        mapping_digest: digests(&coming.mapping_digest),
        schema: coming.schema.clone(),
        schema_digest: digests(&coming.schema_digest),
    };
    let nothing = Content {
        records: 0,
        root: xinqiao_evidence::merkle::root(Vec::<Digest>::new()),
        digest: Digest::of(b""),
        bytes: 0,
        raw_bytes: 0,
        origins: &[],
        void: None,
        control: Some(control),
    };
    sign_content(node, stream, head, now, nothing)
}

fn sign_content(
    node: &Node,
    stream: &StreamId,
    head: &StreamRow,
    description: &Description,
    content: Content<'_>,
) -> Result<Signed, CommitError> {
    let digests =
        |hex: &str| Digests::sha256(hex.parse::<Digest>().expect("descriptions hold SHA-256 in hexadecimal"));
    let (key, now) = node.secrets.manifest(&node.clock);
    let manifest = Manifest {
        control: content.control,
        created: Timestamp::of_unix(now),
        dataset: stream.dataset().to_owned(),
        epoch: node.epoch(),
        mapping_digest: digests(&description.mapping_digest),
        node: node.name.as_str().to_owned(),
        origins: content
            .origins
            .iter()
            .map(|o| Origin { manifest_digest: digests(&o.manifest_digest), node: o.node.clone() })
            .collect(),
        payload: Payload {
            bytes: content.bytes,
            digest: Digests::sha256(content.digest),
            media_type: match description.encoding {
                Encoding::Zstd => MediaType::Zstd,
                Encoding::Gzip => MediaType::Gzip,
                Encoding::Identity => MediaType::Identity,
            },
            raw_bytes: content.raw_bytes,
        },
        policy: description.policy.clone(),
        policy_digest: digests(&description.policy_digest),
        prev: (!head.prev.is_empty()).then(|| digests(&head.prev)),
        recipient: stream.recipient().to_owned(),
        records: content.records,
        records_root: Digests::sha256(content.root),
        schema: description.schema.clone(),
        schema_digest: digests(&description.schema_digest),
        seq: head.next_seq,
        stream: stream.to_string(),
        v: VERSION,
        void: content.void,
    };
    let digest = Digest::of(&manifest.to_json().expect("the node fills manifests by the rules"));
    let signed = SignedManifest::sign(&manifest, &key).map_err(|_| node.unsigned())?;
    let entry = manifest.log_entry(digest).to_bytes().expect("a manifest's names are bounded");
    Ok(Signed { jws: signed.as_json().to_owned(), digest, entry })
}
