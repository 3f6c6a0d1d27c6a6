//! A city's node as a process, for the tests of one program together: started by the first, ended with the program.
//!
//! It has two departments, `alpha` and `beta`, each of which acts for one authority; a province that is a relay, a
//! portal and an agency. More members and settings come from the test.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde_json::{Value, json};
use xinqiao::demo::federation::{Department, NodePlan, Pki, Recipient};
use xinqiao::demo::process::NodeProcess;
use xinqiao_certs::{Identity, Role, UnixTime};
use xinqiao_client::{Client, RetryPolicy};
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::manifest::{Limits, Manifest, PayloadVerifier, SignedManifest};
use xinqiao_schemas::SubjectKind;
use xinqiao_schemas::synthetic::{Generator, Record, Table, write_ndjson};

use crate::peer::{Ask, Peer};
use crate::program::node_program;
use crate::site::{get, today};

/// The node's name.
pub const CITY: &str = "demo.example/350200-credit";
/// The dataset most tests use.
pub const PENALTY: &str = "administrative-penalty";
/// Its path for records.
pub const PENALTIES: &str = "/v1/datasets/administrative-penalty/records";
/// The other dataset.
pub const LICENCE: &str = "administrative-licence";
/// The media type of NDJSON.
pub const NDJSON: &str = "application/x-ndjson";

/// A running city.
pub struct City {
    /// Everything it has on disk.
    pub dir: PathBuf,
    /// Its certification authority.
    pub pki: Pki,
    /// Its process.
    pub node: NodeProcess,
}

impl City {
    /// Starts a city that lives until the test program ends. `more` adds members and settings, after it has issued what
    /// certificates it needs.
    pub fn start(name: &str, more: impl FnOnce(&Pki) -> String) -> Self {
        let dir = std::env::temp_dir().join(format!("xinqiao-{name}-{}", std::process::id()));
        Self::start_in(&dir, 0, more)
    }

    /// The same in a directory and on a port of the caller's choice.
    pub fn start_in(dir: &Path, port: u16, more: impl FnOnce(&Pki) -> String) -> Self {
        let pki = Pki::create(&dir.join("pki")).expect("certificates can be made");
        let roles =
            [Role::Node, Role::Department, Role::Department, Role::Relay, Role::Recipient, Role::Recipient];
        for (role, name) in roles.into_iter().zip(["city", "alpha", "beta", "province", "portal", "agency"]) {
            pki.issue(role, name).expect("certificates can be issued");
        }
        let extra = more(&pki);
        let config = plan(port, &[authority(0)], &[authority(1)], extra).write(&dir.join("city"), &pki);
        let config = config.expect("the configuration can be written");
        let node = NodeProcess::start(node_program(), &config, &dir.join("city.log"));
        let node = node.unwrap_or_else(|error| panic!("{error}"));
        end_with_this_program(node.id(), dir);
        Self { dir: dir.to_owned(), pki, node }
    }

    /// A member's plain connections.
    pub fn peer(&self, member: &str) -> Peer {
        peer_of(&self.pki, member, self.node.exchange)
    }

    /// A member's connections through this project's client.
    pub fn client(&self, member: &str) -> Client {
        let client =
            Client::connect(&self.pki.profile(member, self.node.exchange)).expect("the files are there");
        client.with_retry(RetryPolicy::never())
    }

    /// The node's published keys, from its configuration, not from the wire.
    pub fn keys(&self) -> Jwks {
        keys_in(&self.dir.join("city"))
    }

    /// What the node has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("city.log")).expect("the log is there")
    }

    /// A document of the local listener that must be there.
    pub async fn local(&self, path: &str) -> String {
        let (status, body) = get(self.node.local, path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

fn plan<'a>(
    port: u16,
    alpha: &'a [(String, String)],
    beta: &'a [(String, String)],
    extra: String,
) -> NodePlan<'a> {
    let recipient = |name, role, policy, encoding| Recipient { name, role, policy, encoding };
    NodePlan {
        name: CITY,
        certificate: "city",
        port,
        local: 0,
        departments: vec![
            Department { name: "alpha", title: "样例甲局", authorities: alpha },
            Department { name: "beta", title: "样例乙局", authorities: beta },
        ],
        recipients: vec![
            recipient("province", Role::Relay, "province-government", "zstd"),
            recipient("portal", Role::Recipient, "portal-public", "gzip"),
            recipient("agency", Role::Recipient, "agency-authorised", "identity"),
        ],
        upstreams: Vec::new(),
        extra,
    }
}

/// A member's plain connections to a node.
pub fn peer_of(pki: &Pki, member: &str, address: SocketAddr) -> Peer {
    let read = |end: &str| std::fs::read(pki.dir.join(format!("{member}.{end}"))).expect("it was issued");
    let identity = Identity::from_pem(&read("crt"), &read("key"), UnixTime::now()).expect("it is good");
    Peer::new(address, &identity, &pki.dir.join("ca.crt"))
}

/// The public keys beside a node's configuration.
pub fn keys_in(directory: &Path) -> Jwks {
    let bytes = std::fs::read(directory.join("keys.json")).expect("they were written");
    Jwks::from_json(&bytes).expect("they are keys")
}

/// Code and name of the authority that department `n` acts for.
pub fn authority(n: usize) -> (String, String) {
    let mut known: Vec<(String, String)> = Vec::new();
    for record in Generator::new(0, today()).records(Table::CityPenalty, 400) {
        let named = (record.get("JGDM").unwrap_or_default(), record.get("JGMC").unwrap_or_default());
        let named = (named.0.to_owned(), named.1.to_owned());
        if !known.contains(&named) {
            known.push(named);
        }
    }
    known.sort();
    known.swap_remove(n)
}

/// A record of department `n`, unlike any other of this program, with a `ref`, and public.
pub fn record(n: usize, table: Table, kind: SubjectKind) -> Record {
    static PLACE: AtomicU64 = AtomicU64::new(1_000);
    let place = PLACE.fetch_add(1, Ordering::Relaxed);
    let mut generator = Generator::new(11, today()).with_references().starting_at(place);
    let mut record = generator.record_about(table, Some(kind));
    let (code, name) = authority(n);
    let columns = [
        ("JGMC", &name),
        ("JGDM", &code),
        ("CF_XZJG", &name),
        ("XK_XZJG", &name),
        ("CF_CFJG", &name),
        ("CF_CFJGDM", &code),
        ("XK_XKJG", &name),
        ("XK_XKJGDM", &code),
    ];
    for (column, value) in columns {
        if record.get(column).is_some() {
            record.set(column, value.clone());
        }
    }
    for (column, open) in [("XXSYFW", "公示"), ("CF_SYFW", "0"), ("XK_SYFW", "0")] {
        if record.get(column).is_some() {
            record.set(column, open);
        }
    }
    record
}

/// A city penalty of department alpha about an organisation.
pub fn penalty() -> Record {
    record(0, Table::CityPenalty, SubjectKind::LegalPerson)
}

/// Its reference.
pub fn reference(record: &Record) -> &str {
    record.get("ref").expect("records here have one")
}

/// The number of its decision, which every recipient reads.
pub fn document(record: &Record) -> &str {
    let columns = ["JDSWH", "XKJDSWH", "CF_WSH", "XK_WSH"];
    columns.iter().find_map(|column| record.get(column)).expect("every decision has a number")
}

/// Records as NDJSON.
pub fn ndjson(records: &[Record]) -> Bytes {
    let mut out = Vec::new();
    write_ndjson(records, &mut out);
    out.into()
}

/// A key for one submission, unlike any other of this program.
pub fn fresh_key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("submission-{:08}-{:08}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A put of city penalties under a fresh key.
pub fn put(media_type: &str, body: impl Into<Bytes>) -> Ask {
    Ask::post(format!("{PENALTIES}?schema=xm-penalty"), media_type, body).with("idempotency-key", fresh_key())
}

/// A recall of the record with this reference.
pub fn recall(op: &str, reference: &str) -> Ask {
    recall_on(op, reference, "样撤〔2026〕1号")
}

/// The same on the ground of a document.
pub fn recall_on(op: &str, reference: &str, basis: &str) -> Ask {
    let body =
        json!({"ref": reference, "reason": "mistake", "basis": basis, "effective": today().to_string()});
    let path = format!("{PENALTIES}?op={op}&schema=xm-penalty");
    Ask::post(path, "application/json", body.to_string()).with("idempotency-key", fresh_key())
}

/// A batch a recipient fetched and verified.
pub struct Batch {
    /// What was signed.
    pub manifest: Manifest,
    /// Its digest, hexadecimal.
    pub digest: String,
    /// The lines.
    pub lines: Vec<Value>,
    /// The payload as it was sent.
    pub payload: Bytes,
}

impl Batch {
    /// The line that puts this record, and its number.
    pub fn line(&self, record: &Record) -> Option<(usize, &Value)> {
        let is = |line: &Value| {
            ["CF_WSH", "XK_WSH"].iter().any(|column| line["data"][*column] == document(record))
        };
        self.lines.iter().enumerate().find(|(_, line)| is(line))
    }

    /// An answer to it.
    pub fn answer(&self, outcome: &str, errors: Value) -> Value {
        json!({
            "epoch": self.manifest.epoch, "errors": errors, "manifest_digest": {"sha-256": self.digest},
            "node": self.manifest.node, "outcome": outcome, "seq": self.manifest.seq, "stream": self.manifest.stream,
            "time": "2026-11-21T08:00:00Z",
        })
    }
}

/// Everything in a stream after a batch, verified. Asking seals what waits.
pub async fn batches(peer: &Peer, keys: &Jwks, stream: &str, after: u64) -> Vec<Batch> {
    let mut all: Vec<Batch> = Vec::new();
    loop {
        let after = all.last().map_or(after, |batch| batch.manifest.seq);
        let list = peer.ask(Ask::get(format!("/v1/streams/{stream}/batches?after={after}&limit=50"))).await;
        let list = list.good(200);
        for entry in list["batches"].as_array().expect("a list") {
            all.push(fetch(peer, keys, &entry["manifest"]).await);
        }
        if list["more"] != true {
            return all;
        }
    }
}

async fn fetch(peer: &Peer, keys: &Jwks, manifest: &Value) -> Batch {
    let signed = SignedManifest::parse(manifest.to_string().as_bytes()).expect("a JWS");
    let verified = signed.verify(keys).expect("the node's own signature");
    let said = verified.manifest().clone();
    let mut lines = Vec::new();
    let mut payload = Bytes::new();
    if said.void.is_none() {
        let path = format!("/v1/streams/{}/batches/{}/payload", said.stream, said.seq);
        let answer = peer.ask(Ask::get(path)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        payload = answer.body;
        let mut verifier = PayloadVerifier::new(&verified, Limits::default()).expect("within limits");
        let mut each = |_: u64, line: &[u8]| lines.push(serde_json::from_slice(line).expect("JSON"));
        verifier.feed(&payload, &mut each).expect("as announced");
        verifier.finish().expect("as announced");
    }
    Batch { digest: verified.digest().to_hex(), manifest: said, lines, payload }
}

/// Posts an answer to a batch.
pub async fn acknowledge(peer: &Peer, answer: &Value) -> crate::peer::Answer {
    let stream = answer["stream"].as_str().expect("answers name their stream");
    let path = format!("/v1/streams/{stream}/acknowledgements");
    peer.ask(Ask::post(path, "application/json", answer.to_string())).await
}

/// Sees to it that a process and its directory go when this program does, however it ends: a shell waits for the end of
/// a pipe that only this program holds. With `XINQIAO_KEEP` the directory stays.
fn end_with_this_program(id: u32, dir: &Path) {
    let remove = if std::env::var_os("XINQIAO_KEEP").is_some() { "" } else { "; rm -rf \"$2\"" };
    // The number may have been given to another process by then: only one that names the directory is meant.
    let end = format!("read -r _; grep -qs -- \"$2\" \"/proc/$1/cmdline\" && kill -KILL \"$1\"{remove}");
    let watcher = Command::new("sh")
        .args(["-c", &end, "sh", &id.to_string()])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let watcher: io::Result<std::process::Child> = watcher;
    // The pipe stays open as long as this program lives.
    std::mem::forget(watcher.expect("a shell is there"));
}
