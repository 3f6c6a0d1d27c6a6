//! What evidence costs per record, entry and receipt; compare with the budget in DESIGN section 9.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints what it measures")]

use std::hint::black_box;
use std::time::Instant;

use xinqiao_evidence::entry::{Counts, Entry, Event};
use xinqiao_evidence::keys::{Jwks, LogKey, ManifestKey};
use xinqiao_evidence::manifest::{Limits, Manifest, MediaType, PayloadVerifier, SignedManifest};
use xinqiao_evidence::merkle::{self, Frontier, GroupProofs, leaf_hash};
use xinqiao_evidence::receipt::{ReceiptParts, Salt, salted_digest, write_receipt};
use xinqiao_evidence::tlog::{Checkpoint, log_origin};
use xinqiao_evidence::{Digest, Digests};

const NODE: &str = "xm.example/350200-credit";

fn main() {
    payloads();
    groups();
}

fn payloads() {
    let mut state = 7u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let words = ["行政处罚", "罚款", "厦门市", "违反", "规定", "责令改正", "企业", "法人", "有限公司", "号"];
    let lines: Vec<Vec<u8>> = (0..100_000)
        .map(|number| {
            let mut line = format!(
                r#"{{"op":"put","key":"{:032x}","rev":{number},"audience":"public","via":[],"data":{{"#,
                random()
            );
            while line.len() < 1_000 {
                line += &format!(
                    r#""F{}":"{}{}{}","#,
                    random() % 40,
                    words[random() as usize % 10],
                    random(),
                    words[random() as usize % 10]
                );
            }
            (line + "\"Z\":\"\"}}").into_bytes()
        })
        .collect();
    let key = ManifestKey::generate().unwrap();
    for media_type in [MediaType::Zstd, MediaType::Gzip, MediaType::Identity] {
        let mut payload = Vec::new();
        for chunk in lines.chunks(1_000) {
            let raw: Vec<u8> = chunk.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
            match media_type {
                MediaType::Zstd => payload.extend(zstd::bulk::compress(&raw, 1).unwrap()),
                MediaType::Identity => payload.extend(raw),
                MediaType::Gzip => {
                    let mut encoder =
                        flate2::write::GzEncoder::new(&mut payload, flate2::Compression::fast());
                    std::io::Write::write_all(&mut encoder, &raw).unwrap();
                    encoder.finish().unwrap();
                }
            }
        }
        let mut manifest: Manifest =
            serde_json::from_str(include_str!("../tests/vectors/manifest.json")).unwrap();
        manifest.records = lines.len() as u64;
        manifest.records_root = merkle::root(lines.iter().map(|line| leaf_hash(line))).into();
        manifest.payload.media_type = media_type;
        manifest.payload.bytes = payload.len() as u64;
        manifest.payload.raw_bytes = lines.iter().map(|line| line.len() as u64 + 1).sum();
        manifest.payload.digest = Digests::of(&payload);
        let signed = SignedManifest::sign(&manifest, &key).unwrap();
        let keys = Jwks::new([key.public_jwk().clone()]);
        let rate = best(|| {
            let manifest = signed.verify(&keys).unwrap();
            let mut verifier = PayloadVerifier::new(&manifest, Limits::default()).unwrap();
            for piece in payload.chunks(64 * 1024) {
                verifier
                    .feed(piece, |_, line| {
                        black_box(line.len());
                    })
                    .unwrap();
            }
            black_box(verifier.finish().unwrap());
        }) / lines.len() as f64;
        let ratio = manifest.payload.raw_bytes as f64 / payload.len() as f64;
        println!(
            "verify {media_type:?} (ratio {ratio:.1}): {rate:.0} ns per record, {:.0} k records/s",
            1e6 / rate
        );
    }
}

fn groups() {
    let salt = Salt::generate().unwrap();
    let entry = Entry {
        node: NODE.into(),
        epoch: 1,
        time: "2026-11-21T08:00:00Z".into(),
        event: Event::Submission {
            member: "housing-bureau".into(),
            dataset: "administrative-penalty".into(),
            schema: "administrative-penalty-2020".into(),
            op: "put".into(),
            load: "daily".into(),
            handling: None,
            counts: Counts { accepted: 1, refused: 0, warned: 0 },
            body_digest: salted_digest(&salt, b"body").into(),
            rejected_digest: salted_digest(&salt, b"[]").into(),
        },
    };
    const TIMES: usize = 100_000;
    let mut bytes = Vec::new();
    let encode = best(|| {
        for _ in 0..TIMES {
            bytes.clear();
            black_box(&entry).write_into(&mut bytes).unwrap();
        }
    }) / TIMES as f64;
    println!("entry of {} bytes: {encode:.0} ns", bytes.len());
    let salted = best(|| {
        for _ in 0..TIMES {
            black_box(salted_digest(&salt, black_box(&bytes)));
        }
    }) / TIMES as f64;
    println!("salted digest: {salted:.0} ns");

    let mut frontier = Frontier::new();
    for number in 0..10_000_019u64 / 64 {
        frontier.append(Digest::of(&number.to_be_bytes()));
    }
    let leaves: Vec<Digest> = (0..64u64).map(|number| leaf_hash(&number.to_be_bytes())).collect();
    let key = LogKey::generate().unwrap();
    let mut out = Vec::new();
    let mut hashes = Vec::new();
    let group = best(|| {
        for _ in 0..1_000 {
            let group = GroupProofs::new(&frontier, &leaves);
            for place in 0..leaves.len() {
                group.proof_into(place, &mut hashes);
                black_box(&hashes);
            }
        }
    }) / 64_000.0;
    println!("group of 64: {group:.0} ns per leaf and proof");
    let whole = best(|| {
        for _ in 0..1_000 {
            let group = GroupProofs::new(&frontier, &leaves);
            let checkpoint =
                Checkpoint { origin: log_origin(NODE, 1), size: group.size(), root: group.root() }
                    .sign(&key)
                    .unwrap();
            for place in 0..leaves.len() {
                group.proof_into(place, &mut hashes);
                out.clear();
                let index = group.first_index() + place as u64;
                write_receipt(
                    &mut out,
                    &ReceiptParts {
                        entry: &bytes,
                        salt: &salt,
                        rejected: "[]",
                        index,
                        hashes: &hashes,
                        checkpoint: &checkpoint,
                    },
                );
                black_box(&out);
            }
        }
    }) / 64_000.0;
    println!("receipt of {} bytes with its share of group and signature: {whole:.0} ns", out.len());
}

/// Nanoseconds of the best of five runs.
fn best(mut work: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e9
    };
    (0..5).map(time).fold(f64::INFINITY, f64::min)
}
