//! Verifiers that share no code with this crate check what it makes: Debian's `jose`, Python's `jwcrypto`, and the
//! verifiers published under `docs/verifiers`. A missing tool skips its test and says so; with
//! `XINQIAO_REQUIRE_ORACLES=1` it fails.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use xinqiao_evidence::acknowledgement::{Acknowledgement, Outcome};
use xinqiao_evidence::entry::{Counts, Entry, Event};
use xinqiao_evidence::keys::{AcknowledgementKey, Jwks};
use xinqiao_evidence::manifest::MediaType;
use xinqiao_evidence::receipt::{Receipt, Salt, salted_digest};
use xinqiao_evidence::timestamp::Timestamp;
use xinqiao_evidence::{Digests, jcs};

use crate::batch::{Batch, NODE, STREAM, Sealer, line};
use crate::log::Log;

/// Whether a tool answers; if not, the caller's test is skipped, visibly.
pub(crate) fn has(tool: &str, arguments: &[&str]) -> bool {
    let found = Command::new(tool).args(arguments).output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(
            std::env::var_os("XINQIAO_REQUIRE_ORACLES").is_none_or(|value| value != "1"),
            "{tool} {arguments:?} is missing"
        );
        // Past the test harness, which keeps what a passing test prints.
        let notice = format!("SKIPPED: {tool} {arguments:?} is not installed\n");
        std::io::stderr().write_all(notice.as_bytes()).unwrap();
    }
    found
}

pub(crate) fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

pub(crate) fn verifiers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verifiers")
}

#[test]
fn jose_verifies_manifests_and_acknowledgements() {
    if !has("jose", &["alg"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut sealer = Sealer::new();
    let batch = sealer.seal(&[vec![line(0)]], MediaType::Gzip);
    let key = AcknowledgementKey::generate().unwrap();
    let acknowledgement = acknowledgement(batch.verified.digest().into()).to_jws(&key).unwrap();
    let cases = [
        (
            "manifest",
            batch.signed.as_json().to_owned(),
            sealer.keys(),
            batch.verified.manifest().to_json().unwrap(),
        ),
        (
            "ack",
            acknowledgement,
            Jwks::new([key.public_jwk().clone()]),
            self::acknowledgement(batch.verified.digest().into()).to_json(),
        ),
    ];
    for (name, jws, keys, payload) in cases {
        let input = write(directory.path(), &format!("{name}.json"), &jws);
        let keys = write(directory.path(), &format!("{name}.jwks"), keys.to_json());
        let verify = |input: &Path| {
            Command::new("jose")
                .args(["jws", "ver", "-O-", "-i"])
                .arg(input)
                .arg("-k")
                .arg(&keys)
                .output()
                .unwrap()
        };
        let output = verify(&input);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, payload, "{name}");
        let forged =
            write(directory.path(), "forged.json", jws.replacen("\"payload\":\"eyJ", "\"payload\":\"eyK", 1));
        assert!(!verify(&forged).status.success());
    }
}

#[test]
fn jose_signatures_verify_here() {
    if !has("jose", &["alg"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let given = acknowledgement(Digests::of(b"manifest"));
    let payload = write(directory.path(), "ack.json", given.to_json());
    let key = directory.path().join("key.jwk");
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    run(Command::new("jose").args(["jwk", "gen", "-i", r#"{"alg":"ES256"}"#, "-o"]).arg(&key));
    let kid = run(Command::new("jose").args(["jwk", "thp", "-a", "S256", "-i"]).arg(&key));
    let kid = String::from_utf8(kid).unwrap().trim().to_owned();
    let template = format!(r#"{{"protected":{{"alg":"ES256","typ":"xinqiao-ack+jws","kid":"{kid}"}}}}"#);
    let jws = run(Command::new("jose")
        .args(["jws", "sig", "-I"])
        .arg(&payload)
        .arg("-k")
        .arg(&key)
        .args(["-s", &template]));
    let public = run(Command::new("jose").args(["jwk", "pub", "-s", "-i"]).arg(&key));
    let keys = Jwks::from_json(&public).unwrap();
    assert_eq!(keys.keys()[0].kid(), kid, "the thumbprint of jose is ours");
    assert_eq!(Acknowledgement::from_jws(&jws, &keys).unwrap(), given);
}

#[test]
fn jwcrypto_verifies_manifests() {
    if !has("python3", &["-c", "import jwcrypto"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut sealer = Sealer::new();
    let batch = sealer.seal(&[vec![line(0)]], MediaType::Zstd);
    let jws = write(directory.path(), "manifest.json", batch.signed.as_json());
    let keys = write(directory.path(), "keys.json", sealer.keys().to_json());
    let script = r#"
import json, sys
from jwcrypto import jwk, jws
published = json.load(open(sys.argv[2]))["keys"][0]
key = jwk.JWK(**published)
assert key.thumbprint() == published["kid"], "kid is the RFC 7638 thumbprint"
token = jws.JWS()
token.deserialize(open(sys.argv[1]).read())
token.verify(key)
assert token.jose_header[0]["typ"] == "xinqiao-manifest+jws"
sys.stdout.buffer.write(token.payload)
"#;
    let output = Command::new("python3").args(["-c", script]).arg(jws).arg(keys).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, batch.verified.manifest().to_json().unwrap());
}

#[test]
fn the_python_verifier_agrees_on_receipts() {
    if !has("python3", &["--version"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::new();
    log.append(&(0..300).map(|number| format!("filler {number}").into_bytes()).collect::<Vec<_>>());
    let body = "[{\"CF_XDR_MC\":\"测试企业\"}]".as_bytes();
    let (salt, rejected) =
        (Salt::generate().unwrap(), serde_json::json!([{"record": 1, "zh": "缺少\u{0007}字段"}]));
    let event = Event::Submission {
        member: "housing-bureau".into(),
        dataset: "administrative-penalty".into(),
        schema: "administrative-penalty-2020".into(),
        op: "put".into(),
        load: "daily".into(),
        handling: None,
        counts: Counts { accepted: 1, refused: 1, warned: 0 },
        body_digest: salted_digest(&salt, body).into(),
        rejected_digest: salted_digest(&salt, &jcs::to_jcs(&rejected).unwrap()).into(),
    };
    let entry =
        Entry { node: NODE.into(), epoch: 1, time: "2026-11-21T08:00:00Z".into(), event }.to_bytes().unwrap();
    let proof = log.append(std::slice::from_ref(&entry)).remove(0).to_text();
    let receipt = Receipt { entry, proof, rejected, salt };
    receipt.verify(&[log.verifier()]).unwrap();

    let good = write(directory.path(), "receipt.json", receipt.to_json());
    let jwks = write(directory.path(), "keys.json", Jwks::new([log.key.public_jwk().clone()]).to_json());
    let body = write(directory.path(), "body.json", body);
    for pure in [false, true] {
        let verify = |receipt: &Path, body: &Path| {
            python(pure, &["receipt", "--jwks", text(&jwks), "--body", text(body), text(receipt)])
        };
        let output = verify(&good, &body);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(
            String::from_utf8_lossy(&output.stdout)
                .starts_with("verified: entry 300 of xm.example/350200-credit/epoch-1")
        );
        let by_key = python(pure, &["receipt", "--key", &log.verifier().to_string(), text(&good)]);
        assert_eq!(by_key.status.code(), Some(0), "{}", String::from_utf8_lossy(&by_key.stderr));
        assert_eq!(verify(&good, &jwks).status.code(), Some(4), "another body");
        let other_key = python(pure, &["receipt", "--key", &Log::new().verifier().to_string(), text(&good)]);
        assert_eq!(other_key.status.code(), Some(4));
    }
    // A handful of flips; the Rust tests try every byte.
    let json = receipt.to_json();
    for place in (5..json.len()).step_by(json.len() / 24) {
        let mut bytes = json.clone();
        bytes[place] ^= 1;
        let bad = write(directory.path(), "bad.json", &bytes);
        let output = python(false, &["receipt", "--jwks", text(&jwks), text(&bad)]);
        assert_eq!(output.status.code(), Some(4), "byte {place}");
    }
}

#[test]
fn the_python_verifier_agrees_on_batches() {
    if !has("python3", &["--version"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut sealer = Sealer::new();
    let batch = sealer.seal(&[vec![line(0)]], MediaType::Gzip);
    let mut manifest = batch.verified.manifest().clone();
    (manifest.seq, manifest.prev, manifest.void) =
        (2, Some(batch.verified.digest().into()), Some("retention".to_owned()));
    (manifest.records, manifest.records_root) = (0, Digests::of(b""));
    (manifest.payload.bytes, manifest.payload.raw_bytes, manifest.payload.digest) = (0, 0, Digests::of(b""));
    let void = sealer.sign(&manifest, Vec::new());
    let mut log = Log::new();
    let entry =
        |batch: &Batch| batch.verified.manifest().log_entry(batch.verified.digest()).to_bytes().unwrap();
    let proofs = log.append(&[entry(&batch), entry(&void)]);
    let verify = |batch: &Batch, proof: &str| {
        let manifest = write(directory.path(), "manifest.json", batch.signed.as_json());
        let proof = write(directory.path(), "proof", proof);
        python(false, &["batch", "--key", &log.verifier().to_string(), text(&manifest), text(&proof)])
            .status
            .code()
    };
    assert_eq!(verify(&batch, &proofs[0].to_text()), Some(0));
    assert_eq!(verify(&void, &proofs[1].to_text()), Some(0));
    assert_eq!(verify(&void, &proofs[0].to_text()), Some(4));
}

#[test]
fn the_python_verifier_agrees_on_tiles_and_consistency() {
    if !has("python3", &["--version"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::new();
    let mut checkpoints = vec![write(directory.path(), "checkpoint-0", log.checkpoint())];
    for (number, size) in [1usize, 254, 1, 3, 700, 64].into_iter().enumerate() {
        log.append(
            &(0..size).map(|place| format!("entry {number} {place}").into_bytes()).collect::<Vec<_>>(),
        );
        checkpoints.push(write(directory.path(), &format!("checkpoint-{}", number + 1), log.checkpoint()));
    }
    for (path, content) in log.files() {
        write(directory.path(), &path, content);
    }
    let (key, tiles) = (log.verifier().to_string(), text(directory.path()).to_owned());
    let newest = checkpoints.last().unwrap().clone();
    let consistency = |old: &Path, new: &Path| {
        python(false, &["consistency", "--key", &key, "--tiles", &tiles, text(old), text(new)]).status.code()
    };
    for older in &checkpoints {
        assert_eq!(consistency(older, &newest), Some(0), "{older:?}");
    }
    assert_eq!(consistency(&newest, &checkpoints[2]), Some(4));
    let whole = || python(false, &["log", "--key", &key, "--tiles", &tiles, text(&newest)]);
    assert_eq!(whole().status.code(), Some(0), "{}", String::from_utf8_lossy(&whole().stderr));
    // One bit in an entry, in a leaf hash, in an upper tile.
    let altered_ones = ["tile/0/001", "tile/0/003.p/255", "tile/1/000.p/3", "tile/entries/000"];
    let files = log.files();
    let chosen: Vec<_> = files.iter().filter(|(path, _)| altered_ones.contains(&path.as_str())).collect();
    assert_eq!(
        chosen.len(),
        altered_ones.len(),
        "{:?}",
        files.iter().map(|(path, _)| path).collect::<Vec<_>>()
    );
    for (path, content) in chosen {
        let mut altered = content.clone();
        *altered.last_mut().unwrap() ^= 1;
        write(directory.path(), path, &altered);
        assert_eq!(whole().status.code(), Some(4), "{path}");
        write(directory.path(), path, content);
    }
    // A log whose history was rewritten has a valid signature of its own and still fails.
    let mut rewritten = Log::signed_by(log.key);
    rewritten
        .append(&(0..1_023).map(|number| format!("rewritten {number}").into_bytes()).collect::<Vec<_>>());
    let forked = write(directory.path(), "forked", rewritten.checkpoint());
    assert_eq!(consistency(&checkpoints[3], &forked), Some(4));
}

fn python(pure: bool, arguments: &[&str]) -> Output {
    let mut command = Command::new("python3");
    command.arg(verifiers().join("tlog_verify.py")).args(arguments);
    if pure {
        command.env("TLOG_VERIFY_PURE", "1");
    }
    command.output().unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn acknowledgement(manifest_digest: Digests) -> Acknowledgement {
    Acknowledgement {
        epoch: 1,
        errors: Vec::new(),
        manifest_digest,
        node: NODE.to_owned(),
        outcome: Outcome::Accepted,
        seq: 1,
        stream: STREAM.to_owned(),
        time: Timestamp::parse("2026-11-21T09:00:00Z").unwrap(),
    }
}
