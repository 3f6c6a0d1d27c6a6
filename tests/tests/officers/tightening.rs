//! Policies change while departments send and the province pulls: once an officer has been told that a policy is in
//! force, nothing is handed out for the first time under another, and no line passes as made by one it was not made by.

use crate::office::{Officer, approve, officer, site};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use xinqiao_certs::Role;
use xinqiao_client::{Client, Submission};
use xinqiao_schemas::SubjectKind;
use xinqiao_schemas::synthetic::{Generator, Table, write_ndjson};
use xinqiao_tests::java::JavaPull;
use xinqiao_tests::site::{DEPARTMENTS, NODE, PROVINCE, today, until};

const SENDERS: u64 = 8;
const CHANGES: usize = 6;
const PENALTY: &str = "administrative-penalty";
/// What the tighter policy takes away.
const FINE: &str = "\"CF_NR_FK\"";

fn body(first: u64) -> Vec<u8> {
    let mut generator = Generator::new(7, today()).with_references().starting_at(first);
    let records: Vec<_> =
        (0..5).map(|_| generator.record_about(Table::Penalty2020, Some(SubjectKind::LegalPerson))).collect();
    let mut body = Vec::new();
    write_ndjson(&records, &mut body);
    body
}

async fn send_on(client: Client, next: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let first = next.fetch_add(5, Ordering::Relaxed);
        let submission = Submission {
            schema: Some("administrative-penalty-2020"),
            ..Submission::new(PENALTY, body(first))
        };
        client.send(&submission).await.unwrap();
    }
}

/// The policy a manifest says its lines were made by.
fn policy_of(manifest: &str) -> (u64, String) {
    let jws: Value = serde_json::from_str(manifest).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(jws["payload"].as_str().unwrap()).unwrap();
    let said: Value = serde_json::from_slice(&payload).unwrap();
    let policy = said["policy_digest"]["sha-256"].as_str().unwrap_or_default().to_owned();
    (said["seq"].as_u64().unwrap(), policy)
}

/// Pulls to the end; how many batches came with the fine and without it.
async fn pull_on(
    client: Client,
    in_force: Arc<Mutex<Option<String>>>,
    tight: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
) -> (usize, usize) {
    let stream = format!("{PROVINCE}.{PENALTY}");
    let (mut after, mut with, mut without) = (0, 0, 0);
    loop {
        let ending = stop.load(Ordering::Relaxed);
        let page = client.batches(&stream, after, 20, Duration::ZERO).await.unwrap();
        if ending && page.batches.is_empty() {
            return (with, without);
        }
        for batch in page.batches {
            let (seq, policy) = policy_of(batch.manifest.get());
            after = seq;
            let before = in_force.lock().unwrap().clone();
            let bytes = match client.payload(&stream, seq).await {
                Ok(bytes) => bytes,
                Err(e) if e.code() == "batch.void" => continue,
                Err(e) if e.code() == "busy.queue" => {
                    after = seq - 1;
                    break;
                }
                Err(e) => panic!("{e}"),
            };
            if policy.is_empty() {
                continue;
            }
            let lines = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
            let fined = lines.contains(FINE);
            assert!(!fined || !tight.lock().unwrap().contains(&policy), "made under an older policy: {seq}");
            if let Some(digest) = before {
                // What was made under the tighter policy may leave under the wider, and under either with another comment.
                let tight = tight.lock().unwrap();
                let as_strict = !tight.contains(&digest) || tight.contains(&policy);
                assert!(as_strict, "handed out under a wider policy: {seq}");
            }
            if fined {
                with += 1
            } else {
                without += 1
            }
            taken.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The catalogue's policy for the province, and one that takes the amounts away.
fn policies() -> (String, String) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../schemas/catalogue/policies/province-government.toml");
    let wide = std::fs::read_to_string(path).unwrap();
    let narrow = wide.replace("amount = \"pass\"", "amount = \"drop\"");
    assert_ne!(wide, narrow);
    (wide, narrow)
}

/// Two officers put it in force.
async fn put_policy(one: &Officer, two: &Officer, document: &str) {
    let act = json!({"act": "policy-put", "id": "province-government", "document": document});
    let made: Value = one.tell("/v1/proposals", &json!({"acts": [act], "reason": "收紧"})).await.unwrap();
    let enacted = approve(two, made["id"].as_u64().unwrap()).await.unwrap();
    assert_eq!(enacted["state"], "enacted", "{enacted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_under_an_older_policy_once_a_newer_one_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let node = site.start();
    let (wide, narrow) = policies();
    let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (in_force, tight) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(Vec::new())));
    let senders: Vec<_> = (0..SENDERS)
        .map(|n| {
            let client = site.client(DEPARTMENTS[n as usize % 2], &node);
            tokio::spawn(send_on(client, next.clone(), stop.clone()))
        })
        .collect();
    let ended = Arc::new(AtomicBool::new(false));
    let taken = Arc::new(AtomicU64::new(0));
    let client = site.client(PROVINCE, &node);
    let puller = tokio::spawn(pull_on(client, in_force.clone(), tight.clone(), ended.clone(), taken.clone()));
    let (one, two) = (officer(&site, &node, "security"), officer(&site, &node, "security-2"));
    for n in 0..CHANGES {
        let is_tight = n % 2 == 0;
        let document = format!("{}\n# change {n}\n", if is_tight { &narrow } else { &wide });
        let digest = xinqiao_evidence::Digest::of(document.as_bytes()).to_hex();
        if is_tight {
            tight.lock().unwrap().push(digest.clone());
        }
        // From here on either policy may be the one.
        *in_force.lock().unwrap() = None;
        put_policy(&one, &two, &document).await;
        *in_force.lock().unwrap() = Some(digest);
        let sent = next.load(Ordering::Relaxed);
        until("more is sent", || async { next.load(Ordering::Relaxed) > sent + 40 * SENDERS }).await;
        // What is pulled from here on was sealed under the policy now in force.
        let before = taken.load(Ordering::Relaxed);
        until("a batch is pulled", || async { taken.load(Ordering::Relaxed) > before }).await;
    }
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    ended.store(true, Ordering::Relaxed);
    let (with, without) = puller.await.unwrap();
    assert!(with > 0 && without > 0, "{with} batches with the field, {without} without");
    assert!(node.stop());
    assert_eq!(site.verify_log().0, 0);
}

/// What the province is told of a batch that is taken back before it comes for it, and what it keeps.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_taken_back_leaves_its_place_and_its_source_sends_again() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let node = site.start();
    let stream = format!("{PROVINCE}.{PENALTY}");
    let department = site.client(DEPARTMENTS[0], &node);
    let submission = |first: u64| Submission {
        schema: Some("administrative-penalty-2020"),
        ..Submission::new(PENALTY, body(first))
    };
    let sent = department.send(&submission(0)).await.unwrap();
    let listed = site.client(PROVINCE, &node).batches(&stream, 0, 10, Duration::ZERO).await.unwrap();
    assert_eq!(listed.batches.len(), 1, "sealed, and not fetched");
    let (one, two) = (officer(&site, &node, "security"), officer(&site, &node, "security-2"));
    put_policy(&one, &two, &policies().1).await;

    let mut puller = site.puller(site.client(PROVINCE, &node), PROVINCE, PENALTY).await.unwrap();
    let taken_back = puller.next(Duration::ZERO).await.unwrap().unwrap();
    assert!(taken_back.payload.ends_with("1.gone.json"), "{taken_back:?}");
    let why: Value = serde_json::from_slice(&std::fs::read(&taken_back.payload).unwrap()).unwrap();
    assert_eq!(why["code"], "batch.void");
    let refused = site.client(PROVINCE, &node).payload(&stream, 1).await.unwrap_err();
    assert_eq!(refused.code(), "batch.void", "the same each time");
    puller.acknowledge(|_, _| panic!("there are no lines")).await.unwrap();
    let view: Value = department.ask(&format!("/v1/submissions/{}", sent.response.submission)).await.unwrap();
    let states: Vec<&Value> =
        view["streams"].as_array().unwrap().iter().filter(|s| s["stream"] == stream).collect();
    assert_eq!(states[0]["state"], "void", "nothing was delivered: {view}");
    let feedback = department.feedback(0, Duration::ZERO).await.unwrap();
    assert_eq!(feedback.feedback.len(), 5, "{feedback:?}");
    assert!(feedback.feedback.iter().all(|f| f.code == "withheld.send-again"), "{feedback:?}");

    department.send(&submission(0)).await.unwrap();
    let again = puller.next(Duration::ZERO).await.unwrap().unwrap();
    assert_eq!((again.seq, again.records), (2, 5));
    puller.acknowledge(|_, _| None).await.unwrap();
    // The Java program goes on past it likewise, to the next batch, whose zstd it says it cannot read.
    if let Some(java) = JavaPull::new(&dir.path().join("java"), &site.pki, Role::Relay, PROVINCE) {
        let settings = java.settings("into", (NODE, node.exchange), &stream, &site.keys());
        let (exit, said) = java.run(&settings).await;
        assert!(said.contains("batch 1 was taken back") && said.contains("batch 1: 0 lines"), "{said}");
        assert!(exit == Some(3) && said.contains("application/zstd"), "{exit:?} {said}");
    }
    assert!(node.stop());
    let (keys, folder) = (site.keys(), site.pulled());
    let (status, said) = site.run(&["verify".as_ref(), folder.as_ref(), "--keys".as_ref(), keys.as_ref()]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("1 of the batches hold nothing here"), "{said}");
    assert!(
        said.contains("2 batch(es), 5 record(s), 2 log proof(s), 2 acknowledgement(s): verified"),
        "{said}"
    );
    std::fs::write(folder.join(format!("{stream}/1.gone.json")), "").unwrap();
    let (status, said) = site.run(&["verify".as_ref(), folder.as_ref(), "--keys".as_ref(), keys.as_ref()]);
    assert_eq!(status, 4, "an empty note explains no missing payload: {said}");
}
