//! A sender's folder: what goes once, what is kept, what is refused, what survives.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use xinqiao_client::{
    Acceptance, ClientError, KeySource, Offered, SendSettings, Sender, Settled, Submission, SubmissionOutcome,
};
use xinqiao_evidence::keys::LogKey;
use xinqiao_evidence::receipt::Receipt;
use xinqiao_explain::Explain;

use crate::ledger::problem;
use crate::node::{self, Node};
use crate::server::{DOMAIN, Gateway, Reply, Seen, certificate};
use xinqiao_certs::Role;

pub(crate) struct Setting {
    node: Arc<Mutex<Node>>,
    pub(crate) gateway: Gateway,
    pub(crate) folder: tempfile::TempDir,
}

impl Setting {
    pub(crate) async fn new() -> Self {
        let mut fresh = Node::new();
        fresh.log_other(1);
        let node = Arc::new(Mutex::new(fresh));
        let gateway = Gateway::start(node::of(&node)).await;
        std::fs::write(gateway.directory.path().join("pinned.json"), node.lock().unwrap().keys()).unwrap();
        Self { node, gateway, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap()
    }

    pub(crate) fn bend(&self, bend: impl FnMut(&Seen, Reply) -> Reply + Send + 'static) {
        self.node().bend = Some(Box::new(bend));
    }

    pub(crate) fn settings(&self) -> SendSettings {
        let pinned = self.gateway.directory.path().join("pinned.json");
        SendSettings { keys: Some(KeySource::File(pinned)), ..SendSettings::new(self.folder.path()) }
    }

    async fn open(&self) -> Sender {
        Sender::open(self.gateway.client(), self.settings()).await.unwrap()
    }

    async fn refused(&self, settings: SendSettings) -> ClientError {
        Sender::open(self.gateway.client(), settings).await.unwrap_err()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Names in the folder that tell of submissions.
    fn files(&self) -> Vec<String> {
        let listed = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| ![".lock", "sender.state"].contains(&name.as_str()));
        names.sort();
        names
    }
}

pub(crate) fn records(body: &str) -> Submission<'static> {
    Submission::new("administrative-penalty", body.to_owned())
}

/// Name and key.
pub(crate) fn first_waiting(sender: &Sender) -> Option<(String, String)> {
    sender.waiting().next().map(|(name, key)| (name.to_owned(), key.to_owned()))
}

fn accepted(settled: &Settled) -> &Acceptance {
    match &settled.outcome {
        SubmissionOutcome::Accepted(accepted) => accepted,
        other => panic!("{other:?}"),
    }
}

async fn settle(sender: &mut Sender) -> Settled {
    sender.settle().await.unwrap().unwrap()
}

#[tokio::test]
async fn a_submission_goes_once_and_its_receipt_is_verified_and_kept() {
    let setting = Setting::new().await;
    let mut sender = setting.open().await;
    let submission = Submission {
        schema: Some("administrative-penalty-2020"),
        load: Some("supplement"),
        gzip: true,
        ..records("{\"a\":1}\n{\"bad\":2}\n")
    };
    let Offered::Queued(key) = sender.offer("july.ndjson", &submission).unwrap() else { panic!() };
    assert_eq!(key, sender.key_of(&submission, ""));
    assert!(setting.gateway.seen().is_empty());
    let settled = settle(&mut sender).await;
    assert_eq!(
        (settled.name.as_str(), settled.key.as_str(), settled.new_epoch),
        ("july.ndjson", &*key, None)
    );
    let taken = accepted(&settled).clone();
    assert_eq!((taken.accepted, taken.refused, taken.warned, taken.verified), (1, 1, 0, true));
    let receipt = std::fs::read(sender.receipt(&taken)).unwrap();
    assert_eq!(receipt, setting.node().taken[0].receipt().as_bytes());
    Receipt::from_json(&receipt).unwrap();
    let findings = sender.findings(&taken).unwrap();
    assert_eq!((findings.len(), findings[0].record, findings[0].zh.as_str()), (1, Some(1), "不合格"));
    assert_eq!(setting.files(), std::slice::from_ref(&taken.receipt));
    assert_eq!(sender.settle().await.unwrap(), None);
    drop(sender);
    // Another process, another day: known without asking.
    let mut sender = setting.open().await;
    assert_eq!(sender.offer("again.ndjson", &submission).unwrap(), Offered::Known(taken.clone()));
    assert_eq!(sender.outcome(&key), Some(&SubmissionOutcome::Accepted(taken)));
    assert_eq!(setting.gateway.seen().len(), 1);
    assert_eq!(setting.gateway.seen()[0].header("idempotency-key"), key);
    // On purpose, and that once too.
    let again = Submission { idempotency_key: Some(sender.key_of(&submission, "restored")), ..submission };
    assert!(matches!(sender.offer("again.ndjson", &again).unwrap(), Offered::Queued(_)));
    settle(&mut sender).await;
    assert!(matches!(sender.offer("again.ndjson", &again).unwrap(), Offered::Known(_)));
    assert_eq!(setting.node().taken.len(), 2);
}

#[tokio::test]
async fn what_waits_is_on_disk_for_its_owner_only_and_goes_in_order() {
    let setting = Setting::new().await;
    let mut sender = setting.open().await;
    let bodies = ["{\"n\":1}\n", "{\"n\":2}\n", "{\"n\":3}\n"];
    for body in bodies {
        sender.offer(body, &records(body)).unwrap();
    }
    assert!(matches!(sender.offer("twice", &records(bodies[1])).unwrap(), Offered::Waiting(_)));
    for name in setting.files().iter().map(String::as_str).chain(["sender.state"]) {
        let mode = std::fs::metadata(setting.file(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    assert_eq!(setting.files().len(), 3);
    setting.bend(|_, _| problem(503, "node.busy", &serde_json::json!([])));
    assert!(sender.settle().await.unwrap_err().is_transient());
    drop(sender);
    setting.node().bend = None;
    setting.node().taken.clear();
    let mut sender = setting.open().await;
    let waiting: Vec<&str> = sender.waiting().map(|(name, _)| name).collect();
    assert_eq!(waiting, bodies);
    while sender.settle().await.unwrap().is_some() {}
    let sent: Vec<Vec<u8>> = setting.node().taken.iter().map(|taken| taken.body.clone()).collect();
    assert_eq!(sent, bodies.map(|body| body.as_bytes().to_vec()));
    assert!(setting.files().iter().all(|name| name.ends_with(".receipt.json")));
}

#[tokio::test]
async fn a_refusal_of_the_records_is_final_and_kept_until_they_are_taken() {
    let setting = Setting::new().await;
    let mut sender = setting.open().await;
    let submission = records("{\"bad\":1}\n");
    sender.offer("bad.ndjson", &submission).unwrap();
    sender.offer("good.ndjson", &records("{}\n")).unwrap();
    let settled = settle(&mut sender).await;
    let SubmissionOutcome::Refused(refusal) = &settled.outcome else { panic!("{settled:?}") };
    assert_eq!((refusal.status, refusal.code.as_str()), (422, "records.refused"));
    assert_eq!(settle(&mut sender).await.name, "good.ndjson");
    drop(sender);
    let mut sender = setting.open().await;
    let said = sender.problem(&settled.key).unwrap().unwrap();
    assert_eq!((said.code.as_str(), said.errors[0].code.as_str()), ("records.refused", "record.bad"));
    let refusals = || setting.files().iter().filter(|name| name.ends_with(".refusal.json")).count();
    assert!(matches!(sender.offer("bad.ndjson", &submission).unwrap(), Offered::Queued(_)));
    assert!(matches!(settle(&mut sender).await.outcome, SubmissionOutcome::Refused(_)));
    assert_eq!(refusals(), 1);
    // Rules change.
    setting.node().takes_all = true;
    assert!(matches!(sender.offer("bad.ndjson", &submission).unwrap(), Offered::Queued(_)));
    assert_eq!(accepted(&settle(&mut sender).await).accepted, 1);
    assert_eq!((refusals(), sender.problem(&settled.key).unwrap()), (0, None));
}

#[tokio::test]
async fn what_is_said_of_the_member_or_by_others_leaves_the_submission_waiting() {
    let setting = Setting::new().await;
    let mut sender = setting.open().await;
    let Offered::Queued(key) = sender.offer("a", &records("{}\n")).unwrap() else { panic!() };
    for (status, code) in [(403, "member.suspended"), (401, "x"), (408, "body.too-slow"), (429, "busy.rate")]
    {
        setting.bend(move |_, _| problem(status, code, &serde_json::json!([])));
        assert_eq!(sender.settle().await.unwrap_err().code(), code);
    }
    setting.bend(|_, _| Reply::json(404, "<html>"));
    assert_eq!(sender.settle().await.unwrap_err().code(), "http.404");
    setting.bend(|_, _| Reply::json(201, "{\"submission\":"));
    assert_eq!(sender.settle().await.unwrap_err().code(), "client.protocol");
    assert_eq!(sender.waiting().map(|(_, key)| key).collect::<Vec<_>>(), [key.as_str()]);
    assert!(sender.discard(&key).unwrap() && !sender.discard(&key).unwrap());
    assert!(setting.files().is_empty());
    assert_eq!(sender.settle().await.unwrap(), None);
}

#[tokio::test]
async fn a_receipt_that_does_not_verify_does_not_count() {
    let setting = Setting::new().await;
    let mut sender = setting.open().await;
    sender.offer("a", &records("{\"n\":1}\n")).unwrap();
    // By another hand.
    let genuine = std::mem::replace(&mut setting.node().log_key, LogKey::generate().unwrap());
    assert_eq!(sender.settle().await.unwrap_err().code(), "tlog.unknown-key");
    setting.node().log_key = genuine;
    setting.node().taken.clear();
    // Genuine, but of other records, counts or parameters.
    let other = Submission { load: Some("history"), ..records("{\"n\":1}\n") };
    for (place, from, to) in
        [("body", "{\"n\":1}", "{\"n\":2}"), ("counts", "\"accepted\":1", "\"accepted\":2")]
    {
        setting.node().taken.clear();
        let (from, to) = (from.to_owned(), to.to_owned());
        if place == "counts" {
            setting.bend(move |_, mut reply| {
                let text = String::from_utf8(reply.body.to_vec()).unwrap();
                reply.body = text.replacen(&from, &to, 1).into();
                reply
            });
        } else {
            let stolen = {
                let client = setting.gateway.client();
                client.send(&records("{\"n\":2}\n")).await.unwrap().raw
            };
            setting.bend(move |_, _| Reply::json(201, stolen.clone()));
        }
        let error = sender.settle().await.unwrap_err();
        assert_eq!((error.code(), error.is_verification()), ("receipt.other-submission", true), "{place}");
    }
    setting.node().bend = None;
    let stolen = setting.gateway.client().send(&other).await.unwrap().raw;
    setting.bend(move |_, _| Reply::json(201, stolen.clone()));
    assert_eq!(sender.settle().await.unwrap_err().code(), "receipt.other-submission");
    assert!(setting.files().iter().all(|name| name.ends_with(".body")));
    setting.node().bend = None;
    assert!(accepted(&settle(&mut sender).await).verified);
}

#[tokio::test]
async fn receipts_verify_through_changes_of_keys_and_without_keys_they_are_kept_as_they_come() {
    let setting = Setting::new().await;
    let mut sender = setting.open().await;
    for n in 0..3 {
        setting.node().rotate(true);
        sender.offer("a", &records(&format!("{{\"n\":{n}}}\n"))).unwrap();
        assert!(accepted(&settle(&mut sender).await).verified);
    }
    setting.node().rotate(false);
    sender.offer("a", &records("{\"n\":9}\n")).unwrap();
    assert_eq!(sender.settle().await.unwrap_err().code(), "tlog.unknown-key");
    drop(sender);
    let settings = SendSettings::new(setting.folder.path());
    let mut sender = Sender::open(setting.gateway.client(), settings).await.unwrap();
    assert!(!accepted(&settle(&mut sender).await).verified);
}

#[tokio::test]
async fn a_key_stands_for_one_content() {
    let setting = Setting::new().await;
    let mut sender = setting.open().await;
    let with = |body: &str| Submission {
        idempotency_key: Some("department-2026-0001".into()),
        ..Submission::new("administrative-penalty", body.to_owned())
    };
    assert!(matches!(sender.offer("a", &with("{\"n\":1}\n")).unwrap(), Offered::Queued(_)));
    let reused = |sender: &mut Sender| sender.offer("b", &with("{\"n\":2}\n")).unwrap_err().code().to_owned();
    assert_eq!(reused(&mut sender), "sender.key-reused");
    settle(&mut sender).await;
    drop(sender);
    let mut sender = setting.open().await;
    assert_eq!(reused(&mut sender), "sender.key-reused");
    assert!(matches!(sender.offer("a", &with("{\"n\":1}\n")).unwrap(), Offered::Known(_)));
    for wrong in
        [Submission::new("a/b", ""), Submission { idempotency_key: Some("a\nb".into()), ..records("") }]
    {
        assert_eq!(sender.offer("c", &wrong).unwrap_err().code(), "client.setting");
    }
}

#[tokio::test]
async fn feedback_is_told_until_it_is_confirmed() {
    let setting = Setting::new().await;
    setting.node().feedback = 7;
    let sender = setting.open().await;
    let numbers = |news: &xinqiao_client::News| news.feedback.iter().map(|one| one.n).collect::<Vec<_>>();
    let first = sender.feedback(Duration::ZERO).await.unwrap();
    assert_eq!(numbers(&first), [1, 2, 3, 4, 5]);
    drop(sender);
    let mut sender = setting.open().await;
    let again = sender.feedback(Duration::ZERO).await.unwrap();
    assert_eq!(numbers(&again), numbers(&first));
    sender.confirm(&again).unwrap();
    drop(sender);
    let mut sender = setting.open().await;
    assert_eq!(sender.feedback_confirmed(), 5);
    let rest = sender.feedback(Duration::ZERO).await.unwrap();
    assert_eq!(numbers(&rest), [6, 7]);
    sender.confirm(&rest).unwrap();
    // News of before is not news.
    sender.confirm(&again).unwrap();
    assert_eq!(sender.feedback_confirmed(), 7);
    assert!(sender.feedback(Duration::ZERO).await.unwrap().feedback.is_empty());
    setting.bend(|_, _| Reply::json(200, "{\"feedback\":[],\"next\":3}"));
    assert_eq!(sender.feedback(Duration::ZERO).await.unwrap_err().code(), "client.protocol");
}

#[tokio::test]
async fn a_new_epoch_is_told_and_feedback_begins_anew() {
    let setting = Setting::new().await;
    setting.node().feedback = 5;
    let mut sender = setting.open().await;
    sender.offer("a", &records("{\"n\":1}\n")).unwrap();
    settle(&mut sender).await;
    let news = sender.feedback(Duration::ZERO).await.unwrap();
    sender.confirm(&news).unwrap();
    setting.node().restore();
    let late = sender.feedback(Duration::ZERO).await.unwrap();
    sender.offer("b", &records("{\"n\":2}\n")).unwrap();
    assert_eq!(settle(&mut sender).await.new_epoch, Some(2));
    sender.confirm(&late).unwrap();
    assert_eq!(sender.feedback_confirmed(), 0);
    drop(sender);
    let mut sender = setting.open().await;
    sender.offer("c", &records("{\"n\":3}\n")).unwrap();
    assert_eq!(settle(&mut sender).await.new_epoch, None);
}

#[tokio::test]
async fn a_folder_has_one_sender_one_gateway_and_one_member() {
    let setting = Setting::new().await;
    let sender = setting.open().await;
    assert_eq!(setting.refused(setting.settings()).await.code(), "sender.busy");
    drop(sender);
    let mut profile = setting.gateway.profile();
    profile.gateway = "https://gateway.xm.example:9443".into();
    let moved = xinqiao_client::Client::connect(&profile).unwrap();
    let error = Sender::open(moved.clone(), setting.settings()).await.unwrap_err();
    assert_eq!(error.code(), "sender.other-gateway");
    let adopted = SendSettings { adopt_gateway: true, ..setting.settings() };
    drop(Sender::open(moved.clone(), adopted).await.unwrap());
    drop(Sender::open(moved, setting.settings()).await.unwrap());
    assert_eq!(setting.refused(setting.settings()).await.code(), "sender.other-gateway");

    let elsewhere = tempfile::tempdir().unwrap();
    let authority = crate::server::authority();
    certificate(&authority, Role::Department, "housing", elsewhere.path());
    profile.certificate = elsewhere.path().join("housing.crt");
    profile.key = elsewhere.path().join("housing.key");
    let other = xinqiao_client::Client::connect(&profile).unwrap();
    assert_eq!(other.member().unwrap(), format!("spiffe://{DOMAIN}/department/housing"));
    let error = Sender::open(other, setting.settings()).await.unwrap_err();
    assert_eq!(error.code(), "sender.other-member");
}

#[tokio::test]
async fn damaged_files_are_named_and_say_what_to_do() {
    let setting = Setting::new().await;
    let mut sender = setting.open().await;
    sender.offer("a", &records("{\"n\":1}\n")).unwrap();
    sender.offer("b", &records("{\"n\":2}\n")).unwrap();
    let body = setting.files()[0].clone();
    drop(sender);
    let state = std::fs::read(setting.file("sender.state")).unwrap();
    for (place, code) in [(state.len() / 2, "sender.state-damaged"), (20, "sender.state-damaged")] {
        let mut bytes = state.clone();
        bytes[place] ^= 1;
        std::fs::write(setting.file("sender.state"), &bytes).unwrap();
        let error = setting.refused(setting.settings()).await;
        assert_eq!(error.code(), code);
        assert!(error.english().contains("sender.state") && error.english().contains("restore"), "{error}");
    }
    std::fs::write(setting.file("sender.state"), &state).unwrap();
    // Records that changed on disk never leave.
    let kept = std::fs::read(setting.file(&body)).unwrap();
    for wrong in [Some("{\"n\":7}\n"), None] {
        match wrong {
            Some(text) => std::fs::write(setting.file(&body), text).unwrap(),
            None => std::fs::remove_file(setting.file(&body)).unwrap(),
        }
        let mut sender = setting.open().await;
        let mut error = None;
        for _ in 0..2 {
            error = sender.settle().await.err().or(error);
        }
        assert_eq!(error.unwrap().code(), "sender.body-damaged");
        drop(sender);
    }
    assert!(setting.node().taken.iter().all(|taken| taken.body != b"{\"n\":7}\n"));
    // Offered again, they are mended.
    let text = String::from_utf8(kept).unwrap();
    let mut sender = setting.open().await;
    assert!(matches!(sender.offer("a", &records(&text)).unwrap(), Offered::Waiting(_)));
    while sender.settle().await.unwrap().is_some() {}
    assert_eq!(setting.node().taken.len(), 2);
}

#[tokio::test]
async fn what_waits_and_what_is_remembered_is_bounded() {
    let setting = Setting::new().await;
    let bounded = SendSettings { waiting_bytes: 20, remember: 3, ..setting.settings() };
    let mut sender = Sender::open(setting.gateway.client(), bounded.clone()).await.unwrap();
    let body = |n: usize| format!("{{\"n\":{n:04}}}\n");
    sender.offer("0", &records(&body(0))).unwrap();
    assert_eq!(sender.offer("1", &records(&body(1))).unwrap_err().code(), "sender.full");
    settle(&mut sender).await;
    sender.offer("big", &records(&body(9999).repeat(9))).unwrap();
    settle(&mut sender).await;
    // Enough steps for the file to be written anew more than once.
    for n in 0..300 {
        assert!(matches!(
            sender.offer("n", &records(&body(n % 2 + 1))).unwrap(),
            Offered::Queued(_) | Offered::Known(_)
        ));
        let first = first_waiting(&sender);
        if let Some((_, key)) = first {
            match n % 3 {
                0 => drop(settle(&mut sender).await),
                _ => assert!(sender.discard(&key).unwrap()),
            }
        }
        let n = n + 10;
        sender.offer("d", &records(&body(n))).unwrap();
        let (_, key) = first_waiting(&sender).unwrap();
        assert!(sender.discard(&key).unwrap());
    }
    let lines = std::fs::read_to_string(setting.file("sender.state")).unwrap().lines().count();
    assert!(lines < 1100, "{lines}");
    drop(sender);
    let mut sender = Sender::open(setting.gateway.client(), bounded).await.unwrap();
    let known = |sender: &mut Sender, n: usize| {
        matches!(sender.offer("n", &records(&body(n))).unwrap(), Offered::Known(_))
    };
    assert!(known(&mut sender, 1) && known(&mut sender, 2));
    // Forgotten as one too many? Three are remembered: the first two after the big one, and the big one.
    assert!(!known(&mut sender, 0));
    // Sent again under the same key, the answer is the same and nothing is taken twice.
    let before = setting.node().taken.len();
    assert_eq!(accepted(&settle(&mut sender).await).submission.split('-').next(), Some("1"));
    assert_eq!(setting.node().taken.len(), before);
}
