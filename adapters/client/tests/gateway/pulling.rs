//! Following a stream: what is stored, what is refused, what survives.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use xinqiao_client::{ClientError, KeySource, LineVerdict, Outcome, PullSettings, Pulled, Puller};
use xinqiao_evidence::acknowledgement::Acknowledgement;
use xinqiao_evidence::keys::ManifestKey;
use xinqiao_evidence::manifest::MediaType;
use xinqiao_explain::Explain;

use crate::node::{self, Node, STREAM, digest_of};
use crate::server::{Gateway, Reply, Seen};

const LINES: [&str; 3] =
    [r#"{"op":"put","rev":1}"#, r#"{"op":"put","rev":2}"#, r#"{"op":"withdraw","rev":3}"#];

struct Setting {
    node: Arc<Mutex<Node>>,
    gateway: Gateway,
    into: tempfile::TempDir,
}

impl Setting {
    async fn new() -> Self {
        Self::speaking(&[b"h2", b"http/1.1"]).await
    }

    async fn speaking(protocols: &[&[u8]]) -> Self {
        let mut fresh = Node::new();
        fresh.log_other(1);
        let node = Arc::new(Mutex::new(fresh));
        let gateway = Gateway::start_speaking(protocols, node::of(&node)).await;
        let into = tempfile::tempdir().unwrap();
        std::fs::write(into.path().join("pinned.json"), node.lock().unwrap().keys()).unwrap();
        Self { node, gateway, into }
    }

    fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap()
    }

    fn bend(&self, bend: impl FnMut(&Seen, Reply) -> Reply + Send + 'static) {
        self.node().bend = Some(Box::new(bend));
    }

    fn settings(&self) -> PullSettings {
        PullSettings::new(STREAM, self.into.path(), KeySource::File(self.into.path().join("pinned.json")))
    }

    async fn try_open(&self, settings: PullSettings) -> Result<Puller, ClientError> {
        Puller::open(self.gateway.client(), settings).await
    }

    async fn open(&self) -> Puller {
        self.try_open(self.settings()).await.unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.into.path().join(STREAM).join(name)
    }

    /// The numbered files there are.
    fn stored(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.into.path().join(STREAM)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            names.filter(|name| name.starts_with(|c: char| c.is_ascii_digit())).collect();
        names.sort();
        names
    }
}

async fn next(puller: &mut Puller) -> Result<Option<Pulled>, ClientError> {
    puller.next(Duration::ZERO).await
}

async fn refused(puller: &mut Puller) -> String {
    let error = next(puller).await.unwrap_err();
    assert!(error.is_verification(), "{error}");
    assert!(error.chinese().chars().any(|c| c > '\u{4e00}'));
    error.code().to_owned()
}

fn nobody(_: u64, _: &[u8]) -> Option<LineVerdict> {
    None
}

#[tokio::test]
async fn batches_are_verified_stored_and_acknowledged_in_order() {
    for (kind, suffix) in [(MediaType::Zstd, ".zst"), (MediaType::Gzip, ".gz"), (MediaType::Identity, "")] {
        let setting = Setting::new().await;
        setting.node().kind = kind;
        setting.node().seal(&LINES);
        setting.node().seal(&LINES[..1]);
        let mut puller = setting.open().await;
        let first = next(&mut puller).await.unwrap().unwrap();
        assert_eq!((first.seq, first.records), (1, 3));
        assert_eq!(first.payload, setting.file(&format!("1.payload.ndjson{suffix}")));
        assert_eq!(std::fs::read(&first.payload).unwrap(), setting.node().batches[0].payload);
        assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 2);
        assert_eq!(next(&mut puller).await.unwrap(), None);
        setting.node().log_other(3);
        setting.node().seal(&LINES[1..]);
        assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 3);

        let mut judged = Vec::new();
        let answers = puller.acknowledge(|number, line| {
            judged.push(String::from_utf8(line.to_vec()).unwrap());
            (number == 1).then(|| LineVerdict { code: "DUP".into(), message: "already there".into() })
        });
        let outcomes: Vec<Outcome> = answers.await.unwrap().iter().map(|answer| answer.outcome).collect();
        assert_eq!(outcomes, [Outcome::Partial, Outcome::Accepted, Outcome::Partial]);
        assert_eq!(judged, [LINES[0], LINES[1], LINES[2], LINES[0], LINES[1], LINES[2]]);
        assert_eq!(puller.acknowledged(), 3);
        let node = setting.node();
        let sent = Acknowledgement::from_json(&node.acknowledgements[0]).unwrap();
        assert_eq!((sent.seq, sent.errors[0].record, sent.errors[0].code.as_str()), (1, 1, "DUP"));
        assert_eq!(sent.manifest_digest.sha256, digest_of(&node.batches[0]));
    }
}

#[tokio::test]
async fn a_second_run_goes_on_where_the_first_stopped() {
    let setting = Setting::new().await;
    setting.node().seal(&LINES);
    let mut puller = setting.open().await;
    next(&mut puller).await.unwrap().unwrap();
    let error = setting.try_open(setting.settings()).await.unwrap_err();
    assert!(error.english().contains("another program"), "{error}");
    drop(puller);
    setting.node().seal(&LINES);
    let mut puller = setting.open().await;
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 2);
    assert_eq!(puller.acknowledge(nobody).await.unwrap().len(), 2);
    drop(puller);
    let mut puller = setting.open().await;
    assert_eq!(next(&mut puller).await.unwrap(), None);
    assert_eq!(puller.acknowledge(nobody).await.unwrap(), []);
    assert_eq!(setting.node().acknowledgements.len(), 2);
}

#[tokio::test]
async fn a_payload_that_is_not_the_manifests_is_not_stored() {
    type Alter = fn(Vec<u8>) -> Vec<u8>;
    let bends: [(&str, Alter); 4] = [
        ("payload.bytes", |payload| payload[..payload.len() - 1].to_vec()),
        ("payload.bytes", |payload| [payload.as_slice(), b"x"].concat()),
        ("payload.digest", |mut payload| {
            let first_of_text = payload.len() - 2;
            payload[first_of_text] ^= 1;
            payload
        }),
        ("payload.digest", |payload| {
            let text = String::from_utf8(payload).unwrap();
            text.split_inclusive('\n').rev().collect::<String>().into_bytes()
        }),
    ];
    for (code, bend) in bends {
        let setting = Setting::new().await;
        setting.node().kind = MediaType::Identity;
        setting.node().seal(&LINES);
        setting.bend(move |seen, reply| match seen.path.ends_with("/payload") {
            true => Reply { body: bend(reply.body.to_vec()).into(), ..reply },
            false => reply,
        });
        let mut puller = setting.open().await;
        assert_eq!(refused(&mut puller).await, code);
        assert_eq!(setting.stored(), Vec::<String>::new());
        assert_eq!(puller.acknowledge(nobody).await.unwrap(), []);
        assert!(puller.report_unusable().await.unwrap());
        assert!(!puller.report_unusable().await.unwrap());
        let told = Acknowledgement::from_json(&setting.node().acknowledgements[0]).unwrap();
        assert_eq!((told.seq, told.outcome), (1, Outcome::Rejected));
        setting.node().bend = None;
        assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 1);
    }
}

#[tokio::test]
async fn a_manifest_of_another_hand_or_place_is_refused() {
    let setting = Setting::new().await;
    for _ in 0..3 {
        setting.node().seal(&LINES);
    }
    let mut puller = setting.open().await;
    let genuine = setting.node().batches.clone();

    setting.node().batches.swap(0, 1);
    assert_eq!(refused(&mut puller).await, "chain.gap");
    setting.node().batches = genuine.clone();
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 1);

    // The same place sealed otherwise, by the node itself: two histories.
    setting.node().batches = genuine[..1].to_vec();
    setting.node().batches[0].payload.clear();
    let other = {
        let mut node = setting.node();
        node.batches.clear();
        node.seal(&LINES[..1]);
        node.seal(&LINES[..1]);
        node.batches.clone()
    };
    setting.node().batches = vec![genuine[0].clone(), other[1].clone()];
    drop(puller);
    let mut puller = setting.open().await;
    assert_eq!(refused(&mut puller).await, "chain.forked");
    assert!(!puller.report_unusable().await.unwrap());

    // A stranger's key.
    let stranger = ManifestKey::generate().unwrap();
    {
        let mut node = setting.node();
        node.batches = genuine[..1].to_vec();
        node.manifest_key = stranger;
        node.seal(&LINES);
    }
    assert_eq!(refused(&mut puller).await, "jws.unknown-key");
    setting.node().batches = genuine;
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 2);
    assert_eq!(setting.stored().len(), 6);
}

#[tokio::test]
async fn the_log_must_hold_the_batch_and_must_not_be_rewritten() {
    let setting = Setting::new().await;
    setting.node().log_other(300);
    setting.node().seal(&LINES);
    let mut puller = setting.open().await;
    next(&mut puller).await.unwrap().unwrap();

    // The log grows past a tile's edge; the partial tile of old is gone.
    setting.node().log_other(400);
    setting.node().seal(&LINES);
    next(&mut puller).await.unwrap().unwrap();

    // A proof to an older head is fine as long as it is our past.
    let size = setting.node().entries.len();
    setting.node().seal(&LINES);
    setting.node().log_other(50);
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 3);
    setting.node().seal(&LINES);
    setting.bend(|seen, reply| match seen.path.ends_with("/checkpoint") {
        true => Reply::json(503, ""),
        false => reply,
    });
    assert_eq!(next(&mut puller).await.unwrap_err().code(), "http.503");
    setting.node().bend = None;

    // A head behind what we saw.
    setting.node().shown = Some(size);
    assert_eq!(refused(&mut puller).await, "log.shrunk");
    setting.node().shown = None;

    // An old entry rewritten: every head since is another tree.
    let genuine = setting.node().entries[5].clone();
    setting.node().entries[5] = b"{}".to_vec();
    assert_eq!(refused(&mut puller).await, "merkle.mismatch");
    setting.node().entries[5] = genuine;

    // The batch's own entry is not there.
    let place = setting.node().batches[3].index;
    setting.node().batches[3].index = place - 1;
    assert_eq!(refused(&mut puller).await, "merkle.mismatch");
    setting.node().batches[3].index = place;
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 4);
}

#[tokio::test]
async fn a_broken_transfer_is_resumed() {
    // HTTP/1.1 hands on what came before the break; with HTTP/2 a reset may take it back.
    let setting = Setting::speaking(&[b"http/1.1"]).await;
    let long: Vec<String> = (0..2_000).map(|number| format!("{{\"number\":{number}}}")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    setting.node().kind = MediaType::Identity;
    setting.node().seal(&long);
    let mut cuts = 2;
    setting.bend(move |seen, reply| {
        if seen.path.ends_with("/payload") && cuts > 0 {
            cuts -= 1;
            let body = reply.body.slice(..5_000);
            return Reply { cut: true, body, ..reply };
        }
        reply
    });
    let mut puller = setting.open().await;
    let pulled = next(&mut puller).await.unwrap().unwrap();
    assert_eq!(std::fs::read(pulled.payload).unwrap(), setting.node().batches[0].payload);
    let ranges: Vec<String> = payload_requests(&setting.gateway);
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert_eq!(ranges[0], "");
    assert!(ranges[1..].iter().all(|range| range.starts_with("bytes=") && range != "bytes=0-"), "{ranges:?}");
}

fn payload_requests(gateway: &Gateway) -> Vec<String> {
    let seen = gateway.seen();
    let payloads = seen.iter().filter(|seen| seen.path.ends_with("/payload"));
    payloads.map(|seen| seen.header("range").to_owned()).collect()
}

#[tokio::test]
async fn leftovers_of_a_crash_are_used_or_thrown_away() {
    let setting = Setting::new().await;
    setting.node().kind = MediaType::Identity;
    setting.node().seal(&LINES);
    let payload = setting.node().batches[0].payload.clone();
    std::fs::create_dir_all(setting.into.path().join(STREAM)).unwrap();

    // Garbage in the part file: the digest says so, and the second attempt begins anew.
    std::fs::write(setting.file(".1.payload.part"), b"garbage\n").unwrap();
    let mut puller = setting.open().await;
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 1);
    assert_eq!(payload_requests(&setting.gateway), ["bytes=8-", ""]);
    drop(puller);

    // Killed between payload and state: nothing is fetched again.
    std::fs::remove_file(setting.file("state.json")).unwrap();
    let mut puller = setting.open().await;
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 1);
    assert_eq!(payload_requests(&setting.gateway).len(), 2);
    drop(puller);

    // All of it in the part file, not yet named.
    std::fs::remove_file(setting.file("state.json")).unwrap();
    std::fs::rename(setting.file("1.payload.ndjson"), setting.file(".1.payload.part")).unwrap();
    let mut puller = setting.open().await;
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 1);
    assert_eq!(payload_requests(&setting.gateway).len(), 2);
    drop(puller);

    // A server that knows no ranges begins anew, and so do we.
    std::fs::remove_file(setting.file("state.json")).unwrap();
    std::fs::remove_file(setting.file("1.payload.ndjson")).unwrap();
    std::fs::write(setting.file(".1.payload.part"), &payload[..10]).unwrap();
    let whole = payload.clone();
    setting.bend(move |seen, reply| match seen.path.ends_with("/payload") {
        true => Reply::json(200, whole.clone()),
        false => reply,
    });
    let mut puller = setting.open().await;
    assert_eq!(std::fs::read(next(&mut puller).await.unwrap().unwrap().payload).unwrap(), payload);
}

#[tokio::test]
async fn a_stored_payload_that_changed_is_not_acknowledged() {
    let setting = Setting::new().await;
    setting.node().kind = MediaType::Identity;
    setting.node().seal(&LINES);
    let mut puller = setting.open().await;
    let pulled = next(&mut puller).await.unwrap().unwrap();
    let mut bytes = std::fs::read(&pulled.payload).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&pulled.payload, bytes).unwrap();
    assert_eq!(puller.acknowledge(nobody).await.unwrap_err().code(), "payload.digest");
    assert!(setting.node().acknowledgements.is_empty());
}

#[tokio::test]
async fn an_answer_is_sent_again_unchanged_until_it_arrives() {
    let setting = Setting::new().await;
    setting.node().seal(&LINES);
    let mut puller = setting.open().await;
    next(&mut puller).await.unwrap().unwrap();
    setting.bend(|seen, reply| match seen.path.ends_with("/acknowledgements") {
        true => Reply::problem(503, r#"{"code":"node.busy","title":"busy"}"#),
        false => reply,
    });
    let verdict =
        |number, _: &[u8]| (number == 0).then(|| LineVerdict { code: "X".into(), message: String::new() });
    assert_eq!(puller.acknowledge(verdict).await.unwrap_err().code(), "node.busy");
    assert_eq!(puller.acknowledged(), 0);
    drop(puller);
    setting.node().bend = None;
    let mut puller = setting.open().await;
    // Another judge now would say otherwise; the written answer stands.
    let answers = puller.acknowledge(nobody).await.unwrap();
    assert_eq!((answers[0].outcome, answers[0].errors), (Outcome::Partial, 1));
    let sent = setting.node().acknowledgements.clone();
    assert!(sent.len() > 1 && sent.iter().all(|one| *one == sent[0]));
    assert_eq!(sent[0], std::fs::read(setting.file("1.acknowledgement.json")).unwrap());
}

#[tokio::test]
async fn every_line_refused_is_still_an_answer_and_a_bad_verdict_is_the_judges_fault() {
    let setting = Setting::new().await;
    setting.node().seal(&LINES);
    let mut puller = setting.open().await;
    next(&mut puller).await.unwrap().unwrap();
    let all =
        |code: &'static str| move |_, _: &[u8]| Some(LineVerdict { code: code.into(), message: "no".into() });
    assert_eq!(puller.review(all("not ascii: 否")).unwrap_err().code(), "client.setting");
    let review = puller.review(all("NO")).unwrap().unwrap();
    assert_eq!((review.seq(), review.outcome(), review.errors().len()), (1, Outcome::Partial, 3));
    assert!(setting.node().acknowledgements.is_empty());
    puller.confirm(review).await.unwrap();
    assert_eq!(setting.node().acknowledgements.len(), 1);
}

#[tokio::test]
async fn a_void_batch_is_stored_like_any_other() {
    for kind in [MediaType::Identity, MediaType::Gzip, MediaType::Zstd] {
        let setting = Setting::new().await;
        setting.node().kind = kind;
        setting.node().seal(&[]);
        setting.node().seal(&LINES);
        let mut puller = setting.open().await;
        let void = next(&mut puller).await.unwrap().unwrap();
        assert_eq!((void.seq, void.records, void.void.as_deref()), (1, 0, Some("retention")));
        assert!(payload_requests(&setting.gateway).is_empty());
        assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 2);
        assert_eq!(puller.acknowledge(nobody).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn an_entry_logged_at_another_time_is_sent_along_and_must_be_the_batchs() {
    let setting = Setting::new().await;
    setting.node().logged_at = "2026-11-21T08:00:01Z";
    setting.node().seal(&LINES);
    setting.node().seal(&[]);
    setting.node().seal(&LINES);
    let mut puller = setting.open().await;
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 1);
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 2);
    drop(puller);
    // A genuine entry with a genuine proof, but of the first batch.
    let place = setting.node().batches[2].index;
    let first = setting.node().batches[0].index;
    setting.node().batches[2].index = first;
    let mut puller = setting.open().await;
    assert_eq!(refused(&mut puller).await, "log.other-entry");
    setting.node().batches[2].index = place;
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 3);
}

#[tokio::test]
async fn a_new_epoch_is_noticed_and_followed_only_when_adopted() {
    let setting = Setting::new().await;
    setting.node().seal(&LINES);
    setting.node().seal(&LINES);
    let mut puller = setting.open().await;
    next(&mut puller).await.unwrap().unwrap();
    next(&mut puller).await.unwrap().unwrap();
    setting.node().restore();
    // Nothing comes after number 2 in the new epoch, yet it is noticed.
    let error = next(&mut puller).await.unwrap_err();
    assert!(matches!(error, ClientError::NewEpoch { known: 1, seen: 2 }), "{error}");
    setting.node().seal(&LINES[..1]);
    drop(puller);
    let mut settings = setting.settings();
    settings.adopt_epoch = Some(2);
    let mut puller = setting.try_open(settings).await.unwrap();
    assert_eq!(next(&mut puller).await.unwrap().unwrap().records, 1);
    assert_eq!(setting.stored(), ["1.manifest.json", "1.payload.ndjson.zst", "1.proof"]);
    assert!(setting.file("epoch-1/2.manifest.json").exists());
    drop(puller);
    assert_eq!(next(&mut setting.open().await).await.unwrap(), None);
}

#[tokio::test]
async fn keys_are_trusted_on_first_use_only_if_asked_and_only_once() {
    let setting = Setting::new().await;
    setting.node().seal(&LINES);
    let at = |keys| PullSettings::new(STREAM, setting.into.path().join("tofu"), keys);
    let absent = KeySource::File(setting.into.path().join("none.json"));
    assert_eq!(setting.try_open(at(absent)).await.unwrap_err().code(), "client.local-file");
    let mut puller = setting.try_open(at(KeySource::TrustOnFirstUse)).await.unwrap();
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 1);
    drop(puller);
    setting.node().manifest_key = ManifestKey::generate().unwrap();
    setting.node().seal(&LINES);
    let mut puller = setting.try_open(at(KeySource::TrustOnFirstUse)).await.unwrap();
    assert_eq!(refused(&mut puller).await, "jws.unknown-key");
    // Asked again, and not believed: nothing leads from the key that was pinned to the new one.
    assert_eq!(setting.gateway.seen().iter().filter(|seen| seen.path == "/v1/keys").count(), 2);
}

#[tokio::test]
async fn pulling_goes_on_through_changes_of_keys_with_only_the_first_pinned() {
    let setting = Setting::new().await;
    setting.node().seal(&LINES);
    let mut puller = setting.open().await;
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 1);
    for seq in 2..5 {
        setting.node().rotate(true);
        setting.node().seal(&LINES);
        assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, seq);
    }
    drop(puller);
    // A restart begins with the first keys again, and with a checkpoint by the last.
    setting.node().rotate(true);
    setting.node().seal(&LINES);
    let mut puller = setting.open().await;
    assert_eq!(next(&mut puller).await.unwrap().unwrap().seq, 5);
    setting.node().rotate(false);
    setting.node().seal(&LINES);
    assert!(["jws.unknown-key", "tlog.unknown-key"].contains(&refused(&mut puller).await.as_str()));
}

#[tokio::test]
async fn a_stream_name_cannot_leave_the_directory() {
    let setting = Setting::new().await;
    for wrong in ["../x.y", "a/b.c", "", "a.b/../../c", "/etc.passwd"] {
        let settings = PullSettings { stream: wrong.into(), ..setting.settings() };
        assert_eq!(setting.try_open(settings).await.unwrap_err().code(), "client.setting", "{wrong}");
    }
    assert!(!Path::new("/etc.passwd").exists());
}

#[tokio::test]
async fn a_damaged_state_is_named() {
    let setting = Setting::new().await;
    setting.node().seal(&LINES);
    next(&mut setting.open().await).await.unwrap().unwrap();
    std::fs::write(setting.file("state.json"), b"{\"v\":1,").unwrap();
    let error = setting.try_open(setting.settings()).await.unwrap_err();
    assert_eq!(error.code(), "client.setting");
    assert!(error.english().contains("state.json"), "{error}");
}
