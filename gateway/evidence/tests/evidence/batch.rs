//! Builds batches as a node does, with keys made for the run.

use std::io::Write;

use xinqiao_evidence::keys::{Jwks, ManifestKey};
use xinqiao_evidence::manifest::{Manifest, MediaType, Payload, SignedManifest, VerifiedManifest};
use xinqiao_evidence::timestamp::Timestamp;
use xinqiao_evidence::{Digest, Digests, merkle};

pub(crate) const NODE: &str = "xm.example/350200-credit";
pub(crate) const STREAM: &str = "province.administrative-penalty";

pub(crate) struct Sealer {
    pub(crate) key: ManifestKey,
    pub(crate) seq: u64,
    pub(crate) prev: Option<Digest>,
}

pub(crate) struct Batch {
    pub(crate) signed: SignedManifest,
    pub(crate) verified: VerifiedManifest,
    pub(crate) payload: Vec<u8>,
}

impl Sealer {
    pub(crate) fn new() -> Self {
        Self { key: ManifestKey::generate().unwrap(), seq: 1, prev: None }
    }

    pub(crate) fn keys(&self) -> Jwks {
        Jwks::new([self.key.public_jwk().clone()])
    }

    /// Seals `chunks` of lines, each chunk its own frame or member.
    pub(crate) fn seal(&mut self, chunks: &[Vec<Vec<u8>>], media_type: MediaType) -> Batch {
        let raw: Vec<Vec<u8>> = chunks.iter().map(|lines| ndjson(lines)).collect();
        let payload: Vec<u8> = raw.iter().flat_map(|raw| encode(raw, media_type)).collect();
        let manifest =
            self.describe(chunks, raw.iter().map(|raw| raw.len() as u64).sum(), &payload, media_type);
        let batch = self.sign(&manifest, payload);
        (self.seq, self.prev) = (self.seq + 1, Some(batch.verified.digest()));
        batch
    }

    pub(crate) fn sign(&self, manifest: &Manifest, payload: Vec<u8>) -> Batch {
        let signed = SignedManifest::sign(manifest, &self.key).unwrap();
        Batch { verified: signed.verify(&self.keys()).unwrap(), signed, payload }
    }

    fn describe(
        &self,
        chunks: &[Vec<Vec<u8>>],
        raw_bytes: u64,
        payload: &[u8],
        media_type: MediaType,
    ) -> Manifest {
        let lines = || chunks.iter().flatten();
        Manifest {
            control: None,
            created: Timestamp::parse("2026-11-21T08:00:00Z").unwrap(),
            dataset: "administrative-penalty".to_owned(),
            epoch: 1,
            mapping_digest: Digests::of(b"mapping"),
            node: NODE.to_owned(),
            origins: Vec::new(),
            payload: Payload {
                bytes: payload.len() as u64,
                digest: Digests::of(payload),
                media_type,
                raw_bytes,
            },
            policy: "province-government".to_owned(),
            policy_digest: Digests::of(b"policy"),
            prev: self.prev.map(Digests::sha256),
            recipient: "province".to_owned(),
            records: lines().count() as u64,
            records_root: merkle::root(lines().map(|line| merkle::leaf_hash(line))).into(),
            schema: "administrative-penalty-2020".to_owned(),
            schema_digest: Digests::of(b"schema"),
            seq: self.seq,
            stream: STREAM.to_owned(),
            v: 1,
            void: None,
        }
    }
}

pub(crate) fn line(number: usize) -> Vec<u8> {
    format!(
        r#"{{"op":"put","key":"{number:032x}","rev":{number},"audience":"public","via":[],"data":{{"CF_XDR_MC":"测试企业{number}","CF_WSH":"厦测罚〔2026〕{number}号"}}}}"#
    )
    .into_bytes()
}

pub(crate) fn ndjson(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
}

pub(crate) fn encode(raw: &[u8], media_type: MediaType) -> Vec<u8> {
    match media_type {
        MediaType::Identity => raw.to_vec(),
        MediaType::Zstd => zstd::bulk::compress(raw, 1).unwrap(),
        MediaType::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(raw).unwrap();
            encoder.finish().unwrap()
        }
    }
}
