//! A node driven by hand: its journal and queue stand in a folder in memory, its committer has no thread and does one
//! step when told to, its clock is turned. What is under test is the engine itself, through the calls the APIs make.

mod submitting;

use super::submit::Head;
use super::telemetry::Telemetry;
use super::{Committer, Node, Outside, Step};
use crate::config::Config;
use crate::keyring::Keyring;
use bytes::Bytes;
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
use xinqiao_schemas::synthetic::{Generator, Table, write_ndjson};
use xinqiao_schemas::{Charset, Date, Format, SubjectKind};

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

/// A node and everything that moves it.
struct Hand {
    runtime: tokio::runtime::Runtime,
    node: Arc<Node>,
    committer: Committer,
    generator: Generator,
    budget: Budget,
    keys: u64,
    _dir: tempfile::TempDir,
}

/// A submission on its way.
type Sent = JoinHandle<Result<Bytes, Refusal>>;

impl Hand {
    fn new() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        configure(dir.path(), 8 << 20);
        let config = Config::load(&dir.path().join("node.toml")).unwrap();
        let (node, committer) =
            Node::assemble(config, Telemetry(Metrics::new()), Outside::default()).unwrap();
        assert!(node.trouble().failed.is_empty(), "{:?}", node.trouble());
        Self {
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap(),
            generator: Generator::new(9, node.business_date()).with_references(),
            node,
            committer,
            budget: Budget::new(64 << 20, 64 << 20),
            keys: 0,
            _dir: dir,
        }
    }

    /// One sound record as a body.
    fn record(&mut self) -> Bytes {
        let record = self.generator.record_about(Table::Penalty2020, Some(SubjectKind::LegalPerson));
        let mut body = Vec::new();
        write_ndjson(std::slice::from_ref(&record), &mut body);
        body.into()
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
    fn response(&mut self, sent: Sent) -> Result<serde_json::Value, Refusal> {
        let began = Instant::now();
        while !sent.is_finished() {
            assert!(began.elapsed() < PATIENCE, "it is not answered");
            if self.step() == Step::Idle {
                std::thread::yield_now();
            }
        }
        let bytes = self.runtime.block_on(sent).expect("no panic")?;
        Ok(serde_json::from_slice(&bytes).expect("JSON"))
    }
}
