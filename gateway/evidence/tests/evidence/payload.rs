//! Payloads against their manifests: what is whole passes in any pieces, what is not is named.

use proptest::prelude::*;
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::manifest::{
    Limits, Manifest, MediaType, PayloadError, PayloadVerifier, SignedManifest, VerifiedManifest,
    VerifiedPayload,
};
use xinqiao_evidence::{Digests, merkle};

use crate::batch::{Sealer, encode, line, ndjson};

const ALL: [MediaType; 3] = [MediaType::Zstd, MediaType::Gzip, MediaType::Identity];

fn check(
    manifest: &VerifiedManifest,
    payload: &[u8],
    piece: usize,
) -> Result<(VerifiedPayload, Vec<Vec<u8>>), PayloadError> {
    let mut verifier = PayloadVerifier::new(manifest, Limits::default())?;
    let mut lines = Vec::new();
    for bytes in payload.chunks(piece.max(1)) {
        verifier.feed(bytes, |number, line| {
            assert_eq!(number, lines.len() as u64);
            lines.push(line.to_vec());
        })?;
    }
    Ok((verifier.finish()?, lines))
}

fn chunks(counts: &[usize]) -> Vec<Vec<Vec<u8>>> {
    let mut next = 0;
    let chunk = |count: &usize| {
        next += count;
        (next - count..next).map(line).collect()
    };
    counts.iter().map(chunk).collect()
}

#[test]
fn every_frame_and_member_is_read_in_any_pieces() {
    for media_type in ALL {
        let chunks = chunks(&[3, 1, 2_000, 1]);
        let batch = Sealer::new().seal(&chunks, media_type);
        for piece in [1, 2, 7, 1_000, usize::MAX] {
            let (verified, lines) = check(&batch.verified, &batch.payload, piece).unwrap();
            assert_eq!(lines, chunks.concat(), "{media_type:?} {piece}");
            assert_eq!((verified.records(), verified.is_authenticated()), (2_005, true));
            assert_eq!(verified.manifest_digest(), batch.verified.digest());
        }
    }
}

#[test]
fn output_that_fills_the_buffer_exactly_is_not_lost() {
    // The decoder's buffer is 128 KiB; decoded sizes around its multiples end frames at its edge.
    for media_type in ALL {
        for size in [128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1, 256 * 1024] {
            let chunks = vec![vec![vec![b'x'; size - 1]], vec![vec![b'y'; size - 1]]];
            let batch = Sealer::new().seal(&chunks, media_type);
            for piece in [13, usize::MAX] {
                assert_eq!(check(&batch.verified, &batch.payload, piece).unwrap().1, chunks.concat());
            }
        }
    }
}

#[test]
fn an_empty_batch_is_whole() {
    for media_type in ALL {
        let batch = Sealer::new().seal(&[], media_type);
        assert_eq!(check(&batch.verified, &[], 1).unwrap().0.records(), 0);
        assert!(check(&batch.verified, b"x", 1).is_err());
    }
}

#[test]
fn unauthenticated_batches_say_so() {
    let batch = Sealer::new().seal(&chunks(&[2]), MediaType::Gzip);
    let manifest = batch.signed.unauthenticated().unwrap();
    let mut verifier = PayloadVerifier::unauthenticated(&manifest, Limits::default()).unwrap();
    verifier.feed(&batch.payload, |_, _| {}).unwrap();
    assert!(!verifier.finish().unwrap().is_authenticated());
    assert!(batch.signed.verify(&Jwks::default()).is_err());
}

#[test]
fn every_flipped_byte_every_cut_and_every_tail_is_noticed() {
    for media_type in ALL {
        let batch = Sealer::new().seal(&chunks(&[2, 2]), media_type);
        for place in 0..batch.payload.len() {
            for bit in [0x01, 0x10, 0x80] {
                let mut payload = batch.payload.clone();
                payload[place] ^= bit;
                assert!(check(&batch.verified, &payload, 64).is_err(), "{media_type:?} byte {place}");
            }
            assert!(
                check(&batch.verified, &batch.payload[..place], 64).is_err(),
                "{media_type:?} cut {place}"
            );
        }
        let longer = [&batch.payload[..], &encode(b"\n", media_type)].concat();
        assert!(check(&batch.verified, &longer, 64).is_err());
    }
}

/// A manifest whose payload digest is right but which lies about something else: signed, so only the content tells.
fn lie(media_type: MediaType, raw: &[u8], change: impl FnOnce(&mut Manifest)) -> Result<(), PayloadError> {
    let mut sealer = Sealer::new();
    let honest = sealer.seal(&chunks(&[2]), media_type);
    let payload = encode(raw, media_type);
    let mut manifest = honest.verified.manifest().clone();
    manifest.payload.bytes = payload.len() as u64;
    manifest.payload.raw_bytes = raw.len() as u64;
    manifest.payload.digest = Digests::of(&payload);
    change(&mut manifest);
    let batch = sealer.sign(&manifest, payload);
    check(&batch.verified, &batch.payload, 50).map(drop)
}

#[test]
fn each_lie_of_a_signed_manifest_has_its_name() {
    let good = ndjson(&[line(0), line(1)]);
    for media_type in [MediaType::Zstd, MediaType::Gzip] {
        let lie = |raw: &[u8], change: fn(&mut Manifest)| lie(media_type, raw, change);
        let size = good.len() as u64;
        assert_eq!(lie(&good, |_| {}), Ok(()));
        assert_eq!(
            lie(&good, |m| m.payload.raw_bytes += 1),
            Err(PayloadError::RawBytes { expected: size + 1 })
        );
        assert_eq!(
            lie(&good, |m| m.payload.raw_bytes -= 1),
            Err(PayloadError::RawBytes { expected: size - 1 })
        );
        assert_eq!(lie(&good, |m| m.records = 1), Err(PayloadError::Records { expected: 1 }));
        assert_eq!(lie(&good, |m| m.records = 3), Err(PayloadError::Records { expected: 3 }));
        assert_eq!(lie(&good, |m| m.records_root = Digests::of(b"")), Err(PayloadError::Root));
        assert_eq!(lie(&good, |m| m.payload.digest = Digests::of(b"")), Err(PayloadError::Digest));
        let swapped = ndjson(&[line(1), line(0)]);
        assert_eq!(lie(&swapped, |_| {}), Err(PayloadError::Root));
        assert_eq!(lie(&good[..good.len() - 1], |_| {}), Err(PayloadError::Line { line: 1 }));
        let empty_line = [&good[..], b"\n"].concat();
        assert_eq!(lie(&empty_line, |m| m.records = 3), Err(PayloadError::Line { line: 2 }));
        assert_eq!(
            lie(&good, |m| m.payload.media_type = match m.payload.media_type {
                MediaType::Gzip => MediaType::Zstd,
                _ => MediaType::Gzip,
            }),
            Err(PayloadError::Undecodable)
        );
    }
}

#[test]
fn a_bomb_stops_at_what_was_announced() {
    for media_type in [MediaType::Zstd, MediaType::Gzip] {
        let zeros = vec![b'0'; 64 << 20];
        let bomb = encode(&zeros, media_type);
        let mut sealer = Sealer::new();
        let mut manifest = sealer.seal(&chunks(&[1]), media_type).verified.manifest().clone();
        manifest.payload.bytes = bomb.len() as u64;
        manifest.payload.digest = Digests::of(&bomb);
        manifest.payload.raw_bytes = 1 << 20;
        let batch = sealer.sign(&manifest, bomb);
        let expected = 1 << 20;
        assert_eq!(
            check(&batch.verified, &batch.payload, 4_096).unwrap_err(),
            PayloadError::RawBytes { expected }
        );
        let limits = Limits { raw_bytes: 1 << 19, ..Limits::default() };
        let refused = PayloadVerifier::new(&batch.verified, limits).unwrap_err();
        assert_eq!(refused, PayloadError::TooLarge { announced: 1 << 20, cap: 1 << 19 });
    }
}

#[test]
fn long_lines_stop_before_they_fill_memory() {
    let batch = Sealer::new().seal(&[vec![vec![b'x'; 300_000]]], MediaType::Zstd);
    let limits = Limits { line: 200_000, ..Limits::default() };
    let mut verifier = PayloadVerifier::new(&batch.verified, limits).unwrap();
    assert_eq!(verifier.feed(&batch.payload, |_, _| {}), Err(PayloadError::Line { line: 0 }));
}

#[test]
fn zstd_windows_above_eight_mebibytes_are_refused() {
    for (window_log, refused) in [(23, false), (24, true)] {
        // Incompressible lines, so that the frame keeps the window it was made with.
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b'a' + (state >> 59) as u8
        };
        let lines: Vec<Vec<u8>> = (0..20).map(|_| (0..1 << 20).map(|_| random()).collect()).collect();
        let raw = ndjson(&lines);
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        encoder.set_parameter(zstd::stream::raw::CParameter::WindowLog(window_log)).unwrap();
        std::io::Write::write_all(&mut encoder, &raw).unwrap();
        let payload = encoder.finish().unwrap();
        let mut sealer = Sealer::new();
        let mut manifest =
            sealer.seal(std::slice::from_ref(&lines), MediaType::Zstd).verified.manifest().clone();
        manifest.payload.bytes = payload.len() as u64;
        manifest.payload.digest = Digests::of(&payload);
        let batch = sealer.sign(&manifest, payload);
        let result = check(&batch.verified, &batch.payload, 1 << 20).map(drop);
        assert_eq!(result, if refused { Err(PayloadError::Undecodable) } else { Ok(()) });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_lines_in_any_chunks_and_pieces_verify(
        chunks in prop::collection::vec(prop::collection::vec(prop::collection::vec(11u8.., 1..300), 0..6), 0..5),
        media in 0usize..3,
        piece in 1usize..2_000,
    ) {
        let batch = Sealer::new().seal(&chunks, ALL[media]);
        prop_assert_eq!(check(&batch.verified, &batch.payload, piece).unwrap().1, chunks.concat());
    }

    #[test]
    fn any_garbage_is_refused_without_panic(garbage in prop::collection::vec(any::<u8>(), 0..600), media in 0usize..3) {
        let mut sealer = Sealer::new();
        let honest = sealer.seal(&chunks(&[2]), ALL[media]);
        prop_assume!(garbage != honest.payload);
        let mut manifest = honest.verified.manifest().clone();
        // The manifest vouches for the garbage; only its lines can give it away.
        manifest.payload.bytes = garbage.len() as u64;
        manifest.payload.digest = Digests::of(&garbage);
        if ALL[media] == MediaType::Identity {
            manifest.payload.raw_bytes = garbage.len() as u64;
            manifest.records = manifest.records.min(manifest.payload.raw_bytes / 2);
            if manifest.records == 0 || garbage.is_empty() { return Ok(()); }
            manifest.records_root = merkle::root([merkle::leaf_hash(b"")]).into();
        }
        let batch = sealer.sign(&manifest, garbage);
        prop_assert!(check(&batch.verified, &batch.payload, 100).is_err());
    }

    #[test]
    fn parsers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,200}") {
        use xinqiao_evidence::{acknowledgement::Acknowledgement, http_digest, jws::Jws, receipt::Receipt, tlog};
        let _ = SignedManifest::parse(&bytes);
        let _ = Manifest::from_json(&bytes);
        let _ = Jws::parse(&bytes);
        let _ = Jwks::from_json(&bytes);
        let _ = Receipt::from_json(&bytes);
        let _ = Acknowledgement::from_json(&bytes);
        let _ = tlog::bundle_entries(&bytes);
        let _ = tlog::open_note(&text, &[]);
        let _ = tlog::LogProof::from_text(&text);
        let _ = tlog::Checkpoint::from_text(&text);
        let _ = text.parse::<tlog::Tile>();
        let _ = text.parse::<tlog::VerifierKey>();
        let _ = http_digest::parse_repr_digest(&text);
    }
}
