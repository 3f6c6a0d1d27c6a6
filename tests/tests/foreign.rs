//! What the running node hands out, judged by programs that are not ours: the Java 8 program for provincial platforms,
//! Debian's `jose`, and the Python verifier of receipts and logs. A missing tool skips its test and says so; with
//! `XINQIAO_REQUIRE_ORACLES=1` it fails.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use xinqiao_certs::Role;
use xinqiao_schemas::SubjectKind;
use xinqiao_schemas::synthetic::{Record, Table};
use xinqiao_tests::city::{
    CITY as NODE, City, NDJSON, batches, document, ndjson, penalty, put, recall, record, reference,
};
use xinqiao_tests::java::JavaPull;
use xinqiao_tests::oracle::has;
use xinqiao_tests::peer::Ask;

static CITY: LazyLock<City> = LazyLock::new(|| {
    City::start("foreign", |pki| {
        pki.issue(Role::Auditor, "auditor").expect("certificates can be issued");
        "[[members]]\nname = \"auditor\"\nrole = \"auditor\"\n".into()
    })
});

/// A directory for one test below the city's own.
fn directory(name: &str) -> PathBuf {
    let path = CITY.dir.join(name);
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

fn write(path: PathBuf, content: impl AsRef<[u8]>) -> PathBuf {
    std::fs::create_dir_all(path.parent().expect("a file has a directory")).expect("a directory");
    std::fs::write(&path, content).expect("it can be written");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn verifiers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verifiers")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn send(records: &[Record]) -> Value {
    CITY.peer("alpha").ask(put(NDJSON, ndjson(records))).await.good(201)
}

// ---- Java -------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn java_pulls_verifies_and_acknowledges() {
    let here = CITY.dir.join("java");
    let Some(java) = JavaPull::new(&here, &CITY.pki, Role::Recipient, "portal") else { return };
    let published = CITY.peer("portal").ask(Ask::get("/v1/keys")).await;
    let keys = write(here.join("node.jwks"), &published.body);
    let stream = "portal.administrative-penalty";
    let settings = |name: &str, keys: &Path| java.settings(name, (NODE, CITY.node.exchange), stream, keys);
    let usual = settings("into", &keys);
    let first: Vec<Record> = (0..20).map(|_| penalty()).collect();
    let told = send(&first).await;
    let (code, output) = java.run(&usual).await;
    assert_eq!(code, Some(0), "{output}");
    // More, in batches of their own, one of them only a recall.
    for _ in 0..3 {
        send(&[penalty()]).await;
        CITY.peer("portal").ask(Ask::get(format!("/v1/streams/{stream}/batches?limit=50"))).await.good(200);
    }
    CITY.peer("alpha").ask(recall("withdraw", reference(&first[0]))).await.good(201);
    let (code, output) = java.run(&usual).await;
    assert_eq!(code, Some(0), "{output}");

    // What it stored is what our own verifier reads, line by line.
    let ours = batches(&CITY.peer("portal"), &CITY.keys(), stream, 0).await;
    assert!(ours.len() >= 4, "{}", ours.len());
    for batch in &ours {
        let stored = java.lines("into", stream, batch.manifest.seq);
        let stored = std::fs::read_to_string(stored).expect("the batch was stored");
        let lines: Vec<Value> =
            stored.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines, batch.lines, "batch {}", batch.manifest.seq);
    }
    let records: u64 = ours.iter().map(|batch| batch.manifest.records).sum();
    assert!(records >= 24, "{records}");
    // And the node knows: the department reads that its records were taken.
    let id = told["submission"].as_str().expect("an id");
    let view = CITY.peer("alpha").ask(Ask::get(format!("/v1/submissions/{id}"))).await.good(200);
    let streams = view["streams"].as_array().expect("a list");
    let portal = streams.iter().find(|s| s["stream"] == stream).expect("the stream");
    assert_eq!(portal["state"], "acknowledged", "{view}");
    // Without the node's keys nothing is believed.
    let mut strange: Value = serde_json::from_slice(&published.body).expect("JSON");
    let other = xinqiao_evidence::keys::ManifestKey::generate().expect("a key");
    let other = xinqiao_evidence::keys::Jwks::new([other.public_jwk().clone()]);
    strange["keys"] = serde_json::from_str::<Value>(&other.to_json()).expect("JSON")["keys"].clone();
    let stranger = settings("stranger", &write(here.join("stranger.jwks"), strange.to_string()));
    let (code, output) = java.run(&stranger).await;
    assert_eq!(code, Some(4), "{output}");
}

// ---- jose -------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn jose_verifies_every_manifest() {
    if !has("jose", &["alg"]) {
        return;
    }
    let here = directory("jose");
    let keys = CITY.dir.join("city/keys.json");
    let licence = record(0, Table::CityLicence, SubjectKind::LegalPerson);
    let path = "/v1/datasets/administrative-licence/records?schema=xm-licence";
    let ask = Ask { path: path.into(), ..put(NDJSON, ndjson(&[licence])) };
    CITY.peer("alpha").ask(ask).await.good(201);
    send(&[penalty()]).await;
    let mut judged = 0;
    for recipient in ["province", "portal", "agency"] {
        for dataset in ["administrative-penalty", "administrative-licence"] {
            let peer = CITY.peer(recipient);
            let path = format!("/v1/streams/{recipient}.{dataset}/batches?limit=100");
            for entry in peer.ask(Ask::get(path)).await.good(200)["batches"].as_array().expect("a list") {
                let jws = entry["manifest"].to_string();
                let file = write(here.join(format!("{judged}.json")), &jws);
                let verify = |file: &Path| {
                    let arguments = ["jws", "ver", "-O-", "-i", text(file), "-k", text(&keys)];
                    Command::new("jose").args(arguments).output().expect("jose runs")
                };
                let output = verify(&file);
                assert!(output.status.success(), "{}", said(&output));
                let read: Value = serde_json::from_slice(&output.stdout).expect("JSON");
                assert_eq!(read["stream"], format!("{recipient}.{dataset}"));
                let payload = entry["manifest"]["payload"].as_str().expect("base64url");
                let other = if payload.ends_with('A') { "B" } else { "A" };
                let forged = jws.replace(payload, &format!("{}{other}", &payload[..payload.len() - 1]));
                assert!(!verify(&write(here.join("forged.json"), forged)).status.success());
                judged += 1;
            }
        }
    }
    assert!(judged >= 6, "{judged}");
}

// ---- Python -----------------------------------------------------------------------------------------------------------

fn python(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("python3");
    let output =
        command.arg(verifiers().join("tlog_verify.py")).args(arguments).output().expect("python3 runs");
    (output.status.code(), said(&output))
}

#[tokio::test]
async fn python_verifies_receipts_batches_and_the_log() {
    if !has("python3", &["--version"]) {
        return;
    }
    let here = directory("python");
    let keys = CITY.dir.join("city/keys.json");
    let (alpha, auditor, province) = (CITY.peer("alpha"), CITY.peer("auditor"), CITY.peer("province"));
    let old = alpha.ask(Ask::get("/v1/log/checkpoint")).await;
    let old = write(here.join("old"), &old.body);

    // A receipt, with what was sent and what was refused.
    let mut wrong = penalty();
    wrong.remove("JDSWH");
    let right = penalty();
    let body = ndjson(&[right.clone(), wrong]);
    let told = alpha.ask(put(NDJSON, body.clone())).await.good(201);
    assert_eq!((told["accepted"].as_u64(), told["refused"].as_u64()), (Some(1), Some(1)));
    let receipt = write(here.join("receipt.json"), told["receipt"].to_string());
    let sent = write(here.join("sent"), &body);
    let judge = |receipt: &Path, sent: &Path| {
        python(&["receipt", "--jwks", text(&keys), "--body", text(sent), text(receipt)])
    };
    let (code, output) = judge(&receipt, &sent);
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(judge(&receipt, &keys).0, Some(4), "another body");
    let mut forged = told["receipt"].clone();
    forged["rejected"] = Value::Array(Vec::new());
    assert_eq!(judge(&write(here.join("forged.json"), forged.to_string()), &sent).0, Some(4));

    // Batches with their proofs.
    let stream = "/v1/streams/province.administrative-penalty/batches?limit=100";
    let list = province.ask(Ask::get(stream)).await.good(200);
    let list = list["batches"].as_array().expect("a list");
    assert!(!list.is_empty());
    for (n, entry) in list.iter().enumerate() {
        let manifest = write(here.join(format!("{n}.manifest.json")), entry["manifest"].to_string());
        let proof = write(here.join(format!("{n}.proof")), entry["proof"].as_str().expect("text"));
        let (code, output) = python(&["batch", "--jwks", text(&keys), text(&manifest), text(&proof)]);
        assert_eq!(code, Some(0), "{output}");
    }
    let lines = batches(&province, &CITY.keys(), "province.administrative-penalty", 0).await;
    assert!(lines.iter().any(|batch| batch.line(&right).is_some()), "{}", document(&right));

    // The whole log, saved from the wire, and that it only grew.
    let new = auditor.ask(Ask::get("/v1/log/checkpoint")).await;
    let size = String::from_utf8_lossy(&new.body).lines().nth(1).and_then(|n| n.parse::<u64>().ok());
    let size = size.expect("a checkpoint says its size");
    assert!(size < 256, "one tile holds it: {size}");
    let new = write(here.join("new"), &new.body);
    for path in [format!("tile/0/000.p/{size}"), format!("tile/entries/000.p/{size}")] {
        let tile = auditor.ask(Ask::get(format!("/v1/log/{path}"))).await;
        assert_eq!(tile.status, 200, "{path}: {tile:?}");
        write(here.join(&path), &tile.body);
    }
    let tiles = text(&here).to_owned();
    let consistent = |old: &Path, new: &Path| {
        python(&["consistency", "--jwks", text(&keys), "--tiles", &tiles, text(old), text(new)])
    };
    let (code, output) = consistent(&old, &new);
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(consistent(&new, &old).0, Some(4), "a log does not shrink");
    let (code, output) = python(&["log", "--jwks", text(&keys), "--tiles", &tiles, text(&new)]);
    assert_eq!(code, Some(0), "{output}");
    let entries = here.join(format!("tile/entries/000.p/{size}"));
    let mut bytes = std::fs::read(&entries).expect("it was written");
    *bytes.last_mut().expect("entries") ^= 1;
    write(entries, bytes);
    assert_eq!(python(&["log", "--jwks", text(&keys), "--tiles", &tiles, text(&new)]).0, Some(4));
}
