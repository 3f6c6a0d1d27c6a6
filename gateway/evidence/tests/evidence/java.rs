//! `docs/verifiers/java8/XinqiaoPull.java`, compiled for Java 8, against batches of this crate: offline, and over
//! mutual TLS from a gateway in Python.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use xinqiao_evidence::acknowledgement::{Acknowledged, Acknowledgement, Outcome};
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::manifest::MediaType;

use crate::batch::{Batch, NODE, STREAM, Sealer, line, ndjson};
use crate::oracles::{has, text, verifiers, write};

/// The compiled program in a directory of its own.
struct Java {
    directory: tempfile::TempDir,
}

impl Java {
    fn compile() -> Option<Self> {
        if !has("java", &["-version"]) || !has("javac", &["-version"]) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let output = Command::new("javac")
            .args(["-encoding", "UTF-8", "--release", "8", "-Xlint:all,-options", "-Werror", "-d"])
            .arg(directory.path())
            .arg(verifiers().join("java8/XinqiaoPull.java"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(Self { directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Exit code and error text.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new("java")
            .arg("-cp")
            .arg(self.path())
            .arg("XinqiaoPull")
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn java_verifies_saved_batches() {
    let Some(java) = Java::compile() else { return };
    let mut sealer = Sealer::new();
    let lines: Vec<Vec<u8>> = (0..700).map(line).collect();
    let batch =
        sealer.seal(&[lines[..1].to_vec(), lines[1..400].to_vec(), lines[400..].to_vec()], MediaType::Gzip);
    let jwks = write(java.path(), "node.jwks", sealer.keys().to_json());
    let check = |name: &str, manifest: &str, payload: &[u8], keys: &Path| {
        let manifest = write(java.path(), &format!("{name}.json"), manifest);
        let payload = write(java.path(), &format!("{name}.payload"), payload);
        java.run(&["verify", text(keys), text(&manifest), text(&payload)])
    };
    let json = batch.signed.as_json();
    let (code, errors) = check("good", json, &batch.payload, &jwks);
    assert_eq!(code, Some(0), "{errors}");
    let identity = sealer.seal(std::slice::from_ref(&lines), MediaType::Identity);
    assert_eq!(check("identity", identity.signed.as_json(), &identity.payload, &jwks).0, Some(0));
    let mut flipped = batch.payload.clone();
    flipped[40] ^= 1;
    assert_eq!(check("flipped", json, &flipped, &jwks).0, Some(4));
    assert_eq!(check("cut", json, &batch.payload[..300], &jwks).0, Some(4));
    assert_eq!(check("forged", &json.replacen("\":\"eyJ", "\":\"eyK", 1), &batch.payload, &jwks).0, Some(4));
    let zeroes = format!("\"signature\":\"{}\"", "A".repeat(86));
    let place = json.find("\"signature\":").unwrap();
    let zero_signature = format!("{}{zeroes}}}]}}", &json[..place]);
    let (code, errors) = check("zeroes", &zero_signature, &batch.payload, &jwks);
    assert!(code == Some(4) && errors.contains("signature"), "{errors}");
    let stranger = write(java.path(), "other.jwks", Sealer::new().keys().to_json());
    assert_eq!(check("stranger", json, &batch.payload, &stranger).0, Some(4));
    assert_eq!(java.run(&[]).0, Some(2));
    // The first member alone is a valid gzip file: a signed manifest that counts more must not pass.
    let mut lying = batch.verified.manifest().clone();
    let first = crate::batch::encode(&ndjson(&lines[..1]), MediaType::Gzip);
    lying.payload.bytes = first.len() as u64;
    lying.payload.digest = xinqiao_evidence::Digests::of(&first);
    let lying = sealer.sign(&lying, first);
    let (code, errors) = check("lying", lying.signed.as_json(), &lying.payload, &jwks);
    assert!(code == Some(4) && errors.contains("decodes to"), "{errors}");
}

/// A gateway in Python; killed when dropped.
struct Gateway {
    process: Child,
    port: String,
}

impl Gateway {
    fn start(directory: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evidence/gateway.py");
        let mut process =
            Command::new("python3").arg(script).arg(directory).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { process, port: port.trim().to_owned() }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A private CA, a server certificate for localhost, and a client's PKCS#12 file, made for this run.
fn certificates(directory: &Path) {
    let openssl = |arguments: &str| {
        let output =
            Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca"));
    write(directory, "server.ext", "subjectAltName=DNS:localhost,IP:127.0.0.1");
    write(directory, "client.ext", "extendedKeyUsage=clientAuth");
    for name in ["server", "client"] {
        openssl(&format!("req -new {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem"
        ));
    }
    openssl(
        "pkcs12 -export -in client.pem -inkey client.key -name client -passout pass:test-password -out client.p12",
    );
    write(directory, "password", "test-password\n");
}

fn publish(directory: &Path, seq: u64, batch: &Batch, payload: &[u8]) {
    write(directory, &format!("{seq}.payload"), payload);
    write(directory, &format!("{seq}.manifest.json"), batch.signed.as_json());
}

fn acknowledged(directory: &Path, seq: u64, batch: &Batch) -> Outcome {
    let bytes = fs::read(directory.join(format!("{seq}.ack"))).unwrap();
    let acknowledgement = Acknowledgement::from_json(&bytes).unwrap();
    let expected = Acknowledged {
        node: NODE,
        epoch: 1,
        stream: STREAM,
        seq,
        manifest_digest: batch.verified.digest(),
        records: batch.verified.manifest().records,
    };
    acknowledgement.check_for(&expected).unwrap();
    acknowledgement.outcome
}

#[test]
fn java_pulls_verifies_and_acknowledges_over_mutual_tls() {
    let Some(java) = Java::compile() else { return };
    if !has("python3", &["--version"]) || !has("openssl", &["version"]) {
        return;
    }
    let served = java.path().join("served");
    fs::create_dir(&served).unwrap();
    certificates(&served);
    let gateway = Gateway::start(&served);
    let mut sealer = Sealer::new();
    let jwks = write(java.path(), "node.jwks", sealer.keys().to_json());
    let settings = |name: &str, keys: &Path, store: &str| settings(&java, &gateway, name, keys, store);
    let store = text(&served.join("client.p12")).to_owned();
    let usual = settings("into", &jwks, &store);
    let run = || java.run(&[text(&usual)]);
    let into = java.path().join("into").join(STREAM);

    // Three batches in pages of two.
    let lines: Vec<Vec<u8>> = (0..30).map(line).collect();
    let mut batches = Vec::new();
    for (seq, chunk) in (1..).zip(lines.chunks(10)) {
        let batch = sealer.seal(&[chunk[..3].to_vec(), chunk[3..].to_vec()], MediaType::Gzip);
        publish(&served, seq, &batch, &batch.payload);
        batches.push(batch);
    }
    let (code, errors) = run();
    assert_eq!(code, Some(0), "{errors}");
    for (seq, (batch, chunk)) in (1..).zip(batches.iter().zip(lines.chunks(10))) {
        assert_eq!(fs::read(into.join(format!("{seq}.ndjson"))).unwrap(), ndjson(chunk));
        assert_eq!(acknowledged(&served, seq, batch), Outcome::Accepted);
    }
    // An acknowledgement that was written but not sent is sent by the next run.
    fs::rename(into.join("1-2.ack.sent.json"), into.join("1-2.ack.json")).unwrap();
    fs::remove_file(served.join("2.ack")).unwrap();
    assert_eq!(run().0, Some(0));
    assert_eq!(acknowledged(&served, 2, &batches[1]), Outcome::Accepted);

    // A damaged payload is answered with `rejected` and passes when the node reissues it.
    let batch = sealer.seal(&[lines[..5].to_vec()], MediaType::Gzip);
    let mut damaged = batch.payload.clone();
    damaged[30] ^= 1;
    publish(&served, 4, &batch, &damaged);
    assert_eq!(run().0, Some(4));
    assert_eq!(acknowledged(&served, 4, &batch), Outcome::Rejected);
    assert!(!into.join("4.ndjson").exists());
    publish(&served, 4, &batch, &batch.payload);
    assert_eq!(run().0, Some(0));
    assert_eq!(acknowledged(&served, 4, &batch), Outcome::Accepted);

    // A batch of another history, a control batch, another epoch.
    let fork = Sealer { key: sealer.key, seq: 5, prev: Some(batches[0].verified.digest()) }.resealed(&lines);
    publish(&served, 5, &fork.0, &fork.0.payload);
    assert_eq!(run().0, Some(4));
    let sealer = Sealer { key: fork.1, seq: 5, prev: Some(batch.verified.digest()) };
    let (restored, key) = sealer.resealed(&lines);
    let mut manifest = restored.verified.manifest().clone();
    manifest.epoch = 2;
    let sealer = Sealer { key, seq: 5, prev: None };
    let restored = sealer.sign(&manifest, restored.payload);
    publish(&served, 5, &restored, &restored.payload);
    let (code, errors) = run();
    assert!(code == Some(3) && errors.contains("adopt.epoch=2"), "{errors}");
    fs::remove_file(served.join("5.manifest.json")).unwrap();

    // Keys that are not the node's, and no right to connect.
    let stranger = write(java.path(), "stranger.jwks", Sealer::new().keys().to_json());
    assert_eq!(java.run(&[text(&settings("stranger", &stranger, &store))]).0, Some(4));
    assert!(!java.path().join("stranger").join(STREAM).join("1.ndjson").exists());
    let empty = write(java.path(), "empty.jwks", Jwks::default().to_json());
    assert_eq!(java.run(&[text(&settings("empty", &empty, &store))]).0, Some(2));
}

/// Settings that keep batches in the directory `name`.
fn settings(java: &Java, gateway: &Gateway, name: &str, keys: &Path, store: &str) -> PathBuf {
    let served = java.path().join("served");
    let content = format!(
        "gateway=https://localhost:{}\nnode={NODE}\nstream={STREAM}\ndirectory={}\nkeys={}\nkey.store={store}\n\
         key.store.password.file={}\ntrust.store={}\nlimit=2\n",
        gateway.port,
        text(&java.path().join(name)),
        text(keys),
        text(&served.join("password")),
        text(&served.join("ca.pem")),
    );
    write(java.path(), &format!("{name}.properties"), content)
}

#[test]
fn java_goes_on_after_a_void_whose_payload_is_gone() {
    let Some(java) = Java::compile() else { return };
    if !has("python3", &["--version"]) || !has("openssl", &["version"]) {
        return;
    }
    let served = java.path().join("served");
    fs::create_dir(&served).unwrap();
    certificates(&served);
    let gateway = Gateway::start(&served);
    let mut sealer = Sealer::new();
    let jwks = write(java.path(), "node.jwks", sealer.keys().to_json());
    let usual = settings(&java, &gateway, "into", &jwks, text(&served.join("client.p12")));
    let lines: Vec<Vec<u8>> = (0..3).map(line).collect();
    let mut manifest = sealer.seal(std::slice::from_ref(&lines), MediaType::Gzip).verified.manifest().clone();
    manifest.void = Some("retention".to_owned());
    (manifest.records, manifest.records_root) = (0, xinqiao_evidence::Digests::of(b""));
    (manifest.payload.bytes, manifest.payload.raw_bytes) = (0, 0);
    manifest.payload.digest = xinqiao_evidence::Digests::of(b"");
    let void = sealer.sign(&manifest, Vec::new());
    // Its payload is not to be had, as from a node, which answers 410.
    write(&served, "1.manifest.json", void.signed.as_json());
    let sealer = Sealer { key: sealer.key, seq: 2, prev: Some(void.verified.digest()) };
    let (next, _) = sealer.resealed(&lines);
    publish(&served, 2, &next, &next.payload);
    let (code, errors) = java.run(&[text(&usual)]);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(acknowledged(&served, 1, &void), Outcome::Accepted);
    assert_eq!(acknowledged(&served, 2, &next), Outcome::Accepted);
    let into = java.path().join("into").join(STREAM);
    assert_eq!(fs::read(into.join("1.ndjson")).unwrap(), b"");
    assert_eq!(fs::read(into.join("2.ndjson")).unwrap(), ndjson(&lines));
}

impl Sealer {
    /// One batch of `lines`, and the key back.
    fn resealed(mut self, lines: &[Vec<u8>]) -> (Batch, xinqiao_evidence::keys::ManifestKey) {
        let batch = self.seal(&[lines.to_vec()], MediaType::Gzip);
        (batch, self.key)
    }
}
