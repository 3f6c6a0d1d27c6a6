//! A node driven by hand: its journal and queue stand in a folder in memory, its committer has no thread and does one
//! step when told to, its clock is turned and its disk fails when told to. What is under test is the engine itself,
//! through the calls the APIs make.

mod acknowledge;
mod disk;
mod maintenance;
mod named;
mod order;
mod recall;
mod recipient;
mod register;
mod relay;
mod restart;
mod seal;
mod submitting;

use disk::FailingDisk;

use super::submit::Head;
use super::telemetry::Telemetry;
use super::trace::Wanted;
use super::{Committer, Node, Outside, Step};
use crate::config::Config;
use crate::keyring::Keyring;
use bytes::Bytes;
use recipient::{PORTAL, PROVINCE};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use xinqiao_exchange::op::{Load, Op};
use xinqiao_runtime::Budget;
use xinqiao_runtime::clock::Clock;
use xinqiao_runtime::metrics::Metrics;
use xinqiao_runtime::refusal::Refusal;
use xinqiao_runtime::refusal::RefusalCode;
use xinqiao_schemas::synthetic::{Generator, Record, Table, write_ndjson};
use xinqiao_schemas::{Catalogue, Charset, Date, Format, SubjectKind};

/// The dataset of the node's only department.
pub(super) const DATASET: &str = "administrative-penalty";
/// The node's only department.
pub(super) const DEPARTMENT: &str = "market-supervision";

/// What another thread does is waited for this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node with one department and two recipients; nobody connects, so there are no certificates.
pub(super) fn configure(dir: &Path, segment_bytes: u64) {
    let mut text = format!(
        r#"
[node]
name = "demo.example/350200-credit"
data = "data"
keys = "keys"
[exchange]
listen = "127.0.0.1:0"
certificate = "none.crt"
key = "none.key"
[[trust]]
file = "none.crt"
domains = ["demo.example"]
roles = ["department", "recipient"]
[storage]
segment_bytes = {segment_bytes}
[[members]]
name = "province"
role = "recipient"
[[members]]
name = "portal"
role = "recipient"
[[recipients]]
member = "province"
policy = "province-government"
encoding = "gzip"
datasets = {{ {DATASET} = "administrative-penalty-2020" }}
[[recipients]]
member = "portal"
policy = "portal-public"
encoding = "gzip"
datasets = {{ {DATASET} = "administrative-penalty-2020" }}
[[members]]
name = "{DEPARTMENT}"
role = "department"
title = "样例局"
[members.source]
datasets = ["{DATASET}"]
unit = {{ code = "", name = "" }}
"#
    );
    let records =
        Generator::new(9, Date::business_day(Clock::default().now())).records(Table::Penalty2020, 400);
    let authorities: BTreeMap<&str, &str> =
        records.iter().filter_map(|r| Some((r.get("CF_CFJGDM")?, r.get("CF_CFJG")?))).collect();
    for (code, name) in authorities {
        writeln!(text, "[[members.source.authorities]]\ncode = {code:?}\nname = {name:?}").unwrap();
    }
    std::fs::write(dir.join("node.toml"), text).unwrap();
    Keyring::init(&dir.join("keys")).unwrap();
}

/// A day, in the seconds clocks are turned by.
const DAY: i64 = 86_400;

/// A node and everything that moves it.
struct Hand {
    runtime: tokio::runtime::Runtime,
    node: Arc<Node>,
    committer: Committer,
    disk: Arc<FailingDisk>,
    generator: Generator,
    budget: Budget,
    keys: u64,
    /// How far the clock was turned, in seconds.
    turned: i64,
    /// The last batch each recipient took.
    taken: BTreeMap<&'static str, u64>,
    dir: tempfile::TempDir,
}

/// A task that may wait for the committer.
type Sent = JoinHandle<Result<Bytes, Refusal>>;

/// A record that was taken.
struct Put {
    /// Its source's own reference.
    reference: String,
    /// The submission it came in.
    submission: String,
}

impl Hand {
    fn new() -> Self {
        Self::with(|text| text)
    }

    /// With another configuration, made from the usual one.
    fn with(edit: impl FnOnce(String) -> String) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        configure(dir.path(), 8 << 20);
        let path = dir.path().join("node.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, edit(text)).unwrap();
        Self::open(dir, until_noon())
    }

    fn open(dir: tempfile::TempDir, turned: i64) -> Self {
        let disk = Arc::new(FailingDisk::default());
        let (node, committer) = assemble(dir.path(), turned, disk.clone());
        assert!(node.trouble().failed.is_empty(), "{:?}", node.trouble());
        Self {
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap(),
            generator: Generator::new(9, node.business_date()).with_references(),
            node,
            committer,
            disk,
            budget: Budget::new(64 << 20, 64 << 20),
            keys: 0,
            turned,
            taken: BTreeMap::new(),
            dir,
        }
    }

    /// Stops the node as a crash does, with nothing said to anyone, and opens it again.
    fn crash(self) -> Self {
        self.crash_and(|_| {})
    }

    /// The same; something happens to the node's folder in between.
    fn crash_and(self, meanwhile: impl FnOnce(&Path)) -> Self {
        let Self { runtime, node, committer, disk, generator, budget, keys, turned, taken, dir } = self;
        let began = Instant::now();
        // The committer holds one; whoever holds another still works with the files.
        while Arc::strong_count(&node) > 2 {
            assert!(began.elapsed() < PATIENCE, "somebody still works with the node");
            std::thread::yield_now();
        }
        drop((committer, node));
        meanwhile(dir.path());
        disk.mend();
        let (node, committer) = assemble(dir.path(), turned, disk.clone());
        Self { runtime, node, committer, disk, generator, budget, keys, turned, taken, dir }
    }

    /// Stops the node as it should be stopped, and opens it again.
    fn restart(mut self) -> Self {
        let node = self.node.clone();
        let stop = self.runtime.spawn(async move { node.stop().await });
        self.until_waiting(1);
        while self.step() != Step::Stopped {}
        self.runtime.block_on(stop).unwrap();
        self.crash()
    }

    /// Time passes, without its upkeep.
    fn pass(&mut self, days: i64) {
        self.node.clock.turn(days * DAY);
        self.turned += days * DAY;
    }

    /// One round of upkeep.
    fn sweep(&mut self) {
        self.blocking(Node::sweep);
    }

    fn new_record(&mut self) -> Record {
        self.generator.record_about(Table::Penalty2020, Some(SubjectKind::LegalPerson))
    }

    /// One sound record as a body.
    fn record(&mut self) -> Bytes {
        let record = self.new_record();
        body(&record)
    }

    /// One new record, sent and taken.
    fn put(&mut self) -> Put {
        let record = self.new_record();
        self.put_record(&record)
    }

    /// This record, sent and taken.
    fn put_record(&mut self, record: &Record) -> Put {
        let head = self.head(Op::Put);
        let told = self.take_body(head, body(record)).expect("it is taken");
        assert_eq!(told["accepted"], 1, "{told}");
        Put {
            reference: record.get("ref").unwrap().to_owned(),
            submission: told["submission"].as_str().unwrap().to_owned(),
        }
    }

    /// One new record, published for so many days from now.
    fn put_published(&mut self, days: i32) -> Put {
        let mut record = self.new_record();
        let mut end = Vec::new();
        self.node.business_date().plus_days(days).unwrap().write_slash(&mut end);
        record.set("CF_GSJZQ", String::from_utf8(end).unwrap());
        self.put_record(&record)
    }

    /// A recall of any kind, sent and taken; its submission.
    fn recall(&mut self, op: Op, reference: &str) -> String {
        let (head, body) = self.about(op, reference);
        let told = self.take_body(head, body).expect("it is taken");
        assert_eq!(told["accepted"], 1, "{told}");
        told["submission"].as_str().unwrap().to_owned()
    }

    /// A recall of any kind, to be sent.
    fn about(&mut self, op: Op, reference: &str) -> (Head, Bytes) {
        let effective = self.node.business_date().to_string();
        let body = json!([{ "ref": reference, "reason": "mistake", "basis": "样撤〔2026〕1号", "effective": effective }]);
        (Head { format: Format::Json, ..self.head(op) }, body.to_string().into())
    }

    fn take_body(&mut self, head: Head, body: Bytes) -> Result<Value, Refusal> {
        let sent = self.send(head, body);
        self.response(sent)
    }

    /// The head of a submission of the department, under a new key.
    fn head(&mut self, op: Op) -> Head {
        self.keys += 1;
        self.head_under(op, self.keys)
    }

    fn head_under(&self, op: Op, key: u64) -> Head {
        Head {
            member: DEPARTMENT.into(),
            dataset: DATASET.into(),
            schema: Some("administrative-penalty-2020".into()),
            op,
            load: Load::Daily,
            format: Format::Ndjson,
            charset: Charset::Utf8,
            strict: false,
            idempotency_key: format!("key-number-{key:016}"),
            account: self.budget.account(DEPARTMENT),
        }
    }

    /// Sends a submission; nothing is committed before the next step.
    fn send(&self, head: Head, body: Bytes) -> Sent {
        let authorised = self.node.authorise(&head).expect("the department may send it");
        let node = self.node.clone();
        self.runtime.spawn(async move { node.submit(head, authorised, body).await })
    }

    /// Waits until so many jobs are before the committer.
    fn until_waiting(&self, jobs: usize) {
        self.until(|| self.committer.unseen() == jobs);
    }

    fn until(&self, what: impl Fn() -> bool) {
        let began = Instant::now();
        while !what() {
            assert!(began.elapsed() < PATIENCE, "it does not come");
            std::thread::yield_now();
        }
    }

    fn step(&mut self) -> Step {
        self.committer.step()
    }

    /// What was answered, with as many steps as it takes.
    fn response(&mut self, sent: Sent) -> Result<Value, Refusal> {
        let bytes = self.finish(sent)?;
        Ok(serde_json::from_slice(&bytes).expect("JSON"))
    }

    /// What a task came to, with as many steps as it takes.
    fn finish<T>(&mut self, task: JoinHandle<T>) -> T {
        let began = Instant::now();
        while !task.is_finished() {
            assert!(began.elapsed() < PATIENCE, "it is not answered");
            if self.step() == Step::Idle {
                std::thread::yield_now();
            }
        }
        self.runtime.block_on(task).expect("no panic")
    }

    /// Asks the node something that may wait for the committer.
    fn ask<F>(&mut self, work: impl FnOnce(Arc<Node>) -> F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task = self.runtime.spawn(work(self.node.clone()));
        self.finish(task)
    }

    /// The same of what blocks.
    fn blocking<T: Send + 'static>(&mut self, work: impl FnOnce(&Node) -> T + Send + 'static) -> T {
        let node = self.node.clone();
        let task = self.runtime.spawn_blocking(move || work(&node));
        self.finish(task)
    }

    /// Officers adopt the province's policy without amounts, or the catalogue's again.
    fn adopt_policy(&mut self, tight: bool) {
        let policies = if tight { tight_policies() } else { BTreeMap::new() };
        self.blocking(move |node| node.adopt_policies(policies)).expect("it can be adopted");
    }

    /// Officers adopt the catalogue's policy for the province with an edit.
    fn adopt_edited(&mut self, edit: impl FnOnce(String) -> String) {
        let policies = edited_policies(edit);
        self.blocking(move |node| node.adopt_policies(policies)).expect("it can be adopted");
    }

    /// How the records of a submission stand in a recipient's stream.
    fn stands(&self, submission: &str, recipient: &str) -> Value {
        let view = self.node.submission_view(DEPARTMENT, submission).expect("it is known");
        let view = serde_json::to_value(&view).unwrap();
        let streams = view["streams"].as_array().unwrap();
        streams.iter().find(|s| s["recipient"] == recipient).expect("a line in its stream").clone()
    }

    /// The key by which a recipient knows a record of the department.
    fn key_of(&self, reference: &str, recipient: &str) -> Value {
        let wanted = Wanted::Reference { member: DEPARTMENT, reference };
        let traced = self.node.trace(DATASET, &wanted).expect("it is known");
        let of = recipient::stream(recipient);
        let line = traced.iter().find(|line| line.stream == of.as_str()).expect("a line in its stream");
        line.key.clone().into()
    }

    /// All news for the department.
    fn feedback(&mut self) -> Vec<Value> {
        let list =
            self.ask(|node| async move { node.feedback(DEPARTMENT, 0, Duration::ZERO).await }).unwrap();
        serde_json::to_value(&list).unwrap()["feedback"].as_array().unwrap().clone()
    }

    /// Every row, by table and key.
    fn rows(&self) -> BTreeMap<(u8, Vec<u8>), Vec<u8>> {
        let queue = self.node.queue();
        let of = |table: xinqiao_exchange::state::Table| {
            let rows = super::rows::all(&queue, table).unwrap();
            rows.into_iter().map(move |(key, value)| ((table as u8, key), value))
        };
        xinqiao_exchange::state::Table::ALL.into_iter().flat_map(of).collect()
    }
}

/// In the place of the catalogue's: the province's policy without amounts.
fn tight_policies() -> BTreeMap<String, String> {
    edited_policies(|text| text.replace("amount = \"pass\"", "amount = \"drop\""))
}

/// In the place of the catalogue's: the province's policy with an edit.
fn edited_policies(edit: impl FnOnce(String) -> String) -> BTreeMap<String, String> {
    const POLICY: &str = "province-government";
    let files = Catalogue::builtin_files();
    let before = files.iter().find(|f| f.path == format!("policies/{POLICY}.toml")).unwrap();
    let after = edit(before.text.clone());
    assert_ne!(before.text, after);
    BTreeMap::from([(POLICY.to_owned(), after)])
}

/// Seconds until it is noon next: a test of days must not begin just before midnight.
fn until_noon() -> i64 {
    let of_day = (Clock::default().now() + 8 * 3_600).rem_euclid(DAY);
    (DAY + DAY / 2 - of_day).rem_euclid(DAY)
}

/// The node in this folder, with its clock turned.
fn assemble(dir: &Path, turned: i64, disk: Arc<FailingDisk>) -> (Arc<Node>, Committer) {
    let config = Config::load(&dir.join("node.toml")).unwrap();
    let clock = Clock::default();
    clock.turn(turned);
    Node::assemble(config, Telemetry(Metrics::new()), Outside { clock, disk, ..Outside::default() }).unwrap()
}

/// Of a refusal, what programs read.
fn code<T>(of: Result<T, Refusal>) -> RefusalCode {
    match of {
        Ok(_) => panic!("it is refused"),
        Err(problem) => problem.code(),
    }
}

/// A record as a body.
fn body(record: &Record) -> Bytes {
    let mut body = Vec::new();
    write_ndjson(std::slice::from_ref(record), &mut body);
    body.into()
}
