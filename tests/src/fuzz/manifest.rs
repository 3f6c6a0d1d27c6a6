//! Manifests and the payloads they describe.
//!
//! Input: what it is, then a manifest as it comes, the changes to a signed one, or a payload with the places where its
//! transfer is cut into pieces.

use std::io::Read;
use std::sync::OnceLock;

use xinqiao_evidence::jcs::is_jcs;
use xinqiao_evidence::jws;
use xinqiao_evidence::keys::{Jwks, ManifestKey};
use xinqiao_evidence::manifest::{
    Limits, Manifest, MediaType, Payload, PayloadVerifier, SignedManifest, VerifiedManifest,
};
use xinqiao_evidence::{Digest, Digests, merkle};

use super::Input;
use super::jws::{manifest_key, time};

struct Signer {
    key: ManifestKey,
    keys: Jwks,
}

fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let key = manifest_key();
        Signer { keys: Jwks::new([key.public_jwk().clone()]), key }
    })
}

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    match input.byte() % 4 {
        0 => read(input.rest()),
        1 => changed(&mut input),
        2 => lines(&mut input),
        _ => transferred(&mut input),
    }
}

/// A manifest that is read is written in canonical form and read again; it is what is signed and verified.
fn read(bytes: &[u8]) {
    let Ok(manifest) = Manifest::from_json(bytes) else { return };
    let written = manifest.to_json().expect("what was read can be written");
    assert!(is_jcs(&written), "a manifest is written canonically");
    assert_eq!(Manifest::from_json(&written).as_ref(), Ok(&manifest), "and read as it was");
    let text = jws::sign(bytes, &signer().key).expect("a key signs");
    let signed = SignedManifest::parse(text.as_bytes()).expect("a JWS");
    let verified = signed.verify(&signer().keys).expect("by a pinned key");
    assert_eq!(verified.manifest(), &manifest);
    assert_eq!(verified.digest(), Digest::of(bytes), "the digest is that of the signed bytes");
}

/// What is still verified after a change says what was signed.
fn changed(input: &mut Input<'_>) {
    static GOOD: OnceLock<(Manifest, String)> = OnceLock::new();
    let (manifest, text) = GOOD.get_or_init(|| {
        let manifest = describing(MediaType::Identity, b"{}\n", b"{}\n");
        let signed = SignedManifest::sign(&manifest, &signer().key).expect("a key signs");
        let text = signed.as_json().to_owned();
        (manifest, text)
    });
    let bytes = input.damaged(text.as_bytes());
    let Ok(signed) = SignedManifest::parse(&bytes) else { return };
    if let Ok(verified) = signed.verify(&signer().keys) {
        assert_eq!(verified.manifest(), manifest, "a changed manifest is verified");
    }
}

const MEDIA: [MediaType; 3] = [MediaType::Identity, MediaType::Gzip, MediaType::Zstd];

/// Any lines, compressed by another program, are read as they were, however they arrive.
fn lines(input: &mut Input<'_>) {
    let media = *input.choose(&MEDIA);
    let piece = 1 + input.short() % 700;
    let raw = input.rest();
    let bytes = match media {
        MediaType::Identity => raw.to_vec(),
        MediaType::Gzip => {
            let mut encoder = flate2::read::GzEncoder::new(raw, flate2::Compression::fast());
            let mut out = Vec::new();
            encoder.read_to_end(&mut out).expect("memory is read");
            out
        }
        MediaType::Zstd => zstd::encode_all(raw, 1).expect("memory is read"),
    };
    let sound = raw.is_empty()
        || raw.ends_with(b"\n") && raw[..raw.len() - 1].split(|b| *b == b'\n').all(|line| !line.is_empty());
    let manifest = describing(media, &bytes, raw);
    match (verified(&manifest), sound) {
        (Some(manifest), sound) => {
            assert_eq!(taken(&manifest, &bytes, piece).is_some(), sound, "lines are taken, and nothing else")
        }
        (None, sound) => assert!(!sound, "a manifest of lines is good"),
    }
}

/// Whatever is transferred: pieces give what the whole gives, another program decodes it to the same, and a changed byte
/// is noticed.
fn transferred(input: &mut Input<'_>) {
    let media = *input.choose(&MEDIA);
    let piece = 1 + input.short() % 700;
    let (at, with) = (input.short(), input.byte());
    let bytes = input.rest();
    let Some(raw) = elsewhere(media, bytes) else { return };
    let Some(manifest) = verified(&describing(media, bytes, &raw)) else { return };
    let whole = taken(&manifest, bytes, usize::MAX);
    assert_eq!(taken(&manifest, bytes, piece), whole, "pieces give what the whole gives");
    let Some(whole) = whole else { return };
    assert_eq!(whole, raw, "two decoders agree");
    let mut changed = bytes.to_vec();
    if let Some(byte) = changed.get_mut(at % bytes.len().max(1)) {
        *byte ^= with.max(1);
        assert_eq!(taken(&manifest, &changed, piece), None, "a changed payload is verified");
    }
}

/// The lines with their ends, if the payload is verified.
fn taken(manifest: &VerifiedManifest, bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
    let limits = Limits { raw_bytes: MOST, line: MOST as usize };
    let mut verifier = PayloadVerifier::new(manifest, limits).ok()?;
    let mut out = Vec::new();
    for piece in bytes.chunks(piece) {
        let taken = verifier.feed(piece, |_, line| {
            out.extend_from_slice(line);
            out.push(b'\n');
        });
        taken.ok()?;
    }
    let payload = verifier.finish().ok()?;
    assert_eq!(payload.manifest_digest(), manifest.digest());
    Some(out)
}

/// Decoded bytes that one run looks at.
const MOST: u64 = 1 << 20;

/// What the common libraries make of a payload; none if they refuse it.
fn elsewhere(media: MediaType, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let read = match media {
        MediaType::Identity => return Some(bytes.to_vec()),
        MediaType::Gzip => flate2::bufread::MultiGzDecoder::new(bytes).take(MOST + 1).read_to_end(&mut out),
        MediaType::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(bytes).ok()?;
            decoder.take(MOST + 1).read_to_end(&mut out)
        }
    };
    (read.is_ok() && out.len() as u64 <= MOST).then_some(out)
}

/// A manifest that says of a payload what is so.
fn describing(media: MediaType, bytes: &[u8], raw: &[u8]) -> Manifest {
    let lines: Vec<&[u8]> = raw.split(|byte| *byte == b'\n').collect();
    let lines = &lines[..lines.len() - 1];
    let digest = Digests::of(b"some");
    Manifest {
        control: None,
        created: time("2026-11-21T08:00:00Z"),
        dataset: "administrative-penalty".to_owned(),
        epoch: 1,
        mapping_digest: digest.clone(),
        node: "xm.example/350200-credit".to_owned(),
        origins: Vec::new(),
        payload: Payload {
            bytes: bytes.len() as u64,
            digest: Digests::of(bytes),
            media_type: media,
            raw_bytes: raw.len() as u64,
        },
        policy: "province-government".to_owned(),
        policy_digest: digest.clone(),
        prev: None,
        recipient: "province".to_owned(),
        records: lines.len() as u64,
        records_root: Digests::sha256(merkle::root(lines.iter().map(|line| merkle::leaf_hash(line)))),
        schema: "administrative-penalty-2020".to_owned(),
        schema_digest: digest,
        seq: 1,
        stream: "province.administrative-penalty".to_owned(),
        v: 1,
        void: None,
    }
}

fn verified(manifest: &Manifest) -> Option<VerifiedManifest> {
    let signed = SignedManifest::sign(manifest, &signer().key).ok()?;
    Some(signed.verify(&signer().keys).expect("just signed"))
}
