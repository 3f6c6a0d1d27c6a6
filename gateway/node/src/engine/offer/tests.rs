//! A push to an endpoint that was down, while officers tighten the policy: what was offered under the older one does not
//! leave under the newer. The node is driven by hand; there is no endpoint.

use super::*;
use crate::config::Config;
use crate::engine::open::Outside;
use crate::engine::submit::Head;
use crate::engine::telemetry::Telemetry;
use crate::keyring::Keyring;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use xinqiao_exchange::op::{Load, Op};
use xinqiao_runtime::Budget;
use xinqiao_runtime::clock::Clock;
use xinqiao_runtime::metrics::Metrics;
use xinqiao_schemas::synthetic::{Generator, Table, write_ndjson};
use xinqiao_schemas::{Catalogue, Charset, Date, Format, SubjectKind};

const DATASET: &str = "administrative-penalty";
const POLICY: &str = "province-government";

/// A node with one department, whose province is pushed to.
struct Site {
    node: Arc<Node>,
    generator: Generator,
    stream: StreamId,
    committer: std::thread::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

fn configure(dir: &Path, generator: &mut Generator) {
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
[[members]]
name = "province"
role = "recipient"
[[recipients]]
member = "province"
policy = "{POLICY}"
datasets = {{ {DATASET} = "administrative-penalty-2020" }}
[recipients.push]
url = "https://127.0.0.1:1"
authorities = "none.crt"
[[members]]
name = "alpha"
role = "department"
[members.source]
datasets = ["{DATASET}"]
unit = {{ code = "", name = "" }}
"#
    );
    let records = generator.records(Table::Penalty2020, 400);
    let authorities: BTreeMap<&str, &str> =
        records.iter().filter_map(|r| Some((r.get("CF_CFJGDM")?, r.get("CF_CFJG")?))).collect();
    for (code, name) in authorities {
        writeln!(text, "[[members.source.authorities]]\ncode = {code:?}\nname = {name:?}").unwrap();
    }
    std::fs::write(dir.join("node.toml"), text).unwrap();
    Keyring::init(&dir.join("keys")).unwrap();
}

impl Site {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::default();
        let mut generator = Generator::new(9, Date::business_day(clock.now())).with_references();
        configure(dir.path(), &mut generator);
        let config = Config::load(&dir.path().join("node.toml")).unwrap();
        let outside = Outside { clock, ..Outside::default() };
        let opened = Node::open_with(config, Telemetry(Metrics::new()), outside).unwrap();
        let stream = StreamId::parse(&format!("province.{DATASET}")).unwrap();
        Self { node: opened.node, generator, stream, committer: opened.committer, _dir: dir }
    }

    async fn take(&self, op: Op, body: Vec<u8>, key: &str) {
        let budget = Budget::new(64 << 20, 64 << 20);
        let head = Head {
            member: "alpha".into(),
            dataset: DATASET.into(),
            schema: Some("administrative-penalty-2020".into()),
            op,
            load: Load::Daily,
            format: if op == Op::Put { Format::Ndjson } else { Format::Json },
            charset: Charset::Utf8,
            strict: false,
            idempotency_key: key.into(),
            account: budget.account("alpha"),
        };
        let authorised = self.node.authorise(&head).expect("the department may send it");
        let response = self.node.submit(head, authorised, body.into()).await.expect("it is accepted");
        let response: serde_json::Value = serde_json::from_slice(&response).unwrap();
        assert_eq!(response["accepted"], 1, "{response}");
    }

    /// One record is sent; its reference.
    async fn put(&mut self) -> String {
        let record = self.generator.record_about(Table::Penalty2020, Some(SubjectKind::LegalPerson));
        let mut body = Vec::new();
        write_ndjson(std::slice::from_ref(&record), &mut body);
        let reference = record.get("ref").unwrap().to_owned();
        self.take(Op::Put, body, &reference).await;
        reference
    }

    async fn seal(&self, seq: u64) {
        let list = self.node.batches("province", &self.stream, seq - 1, 1, Duration::ZERO).await;
        assert!(list.unwrap().first().is_some(), "batch {seq} is sealed");
    }

    async fn offer(&self, seq: u64) -> &'static str {
        match self.node.offer("province", &self.stream, seq).await.unwrap() {
            Offer::Payload(found) => {
                assert!(!found.parts.is_empty());
                "payload"
            }
            Offer::Gone => "gone",
            Offer::Withheld => "withheld",
        }
    }

    /// Officers adopt this in the place of the catalogue's policy; `None` is the catalogue's.
    async fn adopt(&self, document: Option<&str>) {
        let policies = document.map(|text| (POLICY.to_owned(), text.to_owned())).into_iter().collect();
        let node = self.node.clone();
        tokio::task::spawn_blocking(move || node.adopt_policies(policies)).await.unwrap().unwrap();
    }

    async fn close(self) {
        self.node.stop().await;
        drop(self.node);
        tokio::task::spawn_blocking(|| self.committer.join().unwrap()).await.unwrap();
    }
}

fn tighter() -> String {
    let files = Catalogue::builtin_files();
    let wide = files.iter().find(|f| f.path == format!("policies/{POLICY}.toml")).unwrap();
    let narrow = wide.text.replace("amount = \"pass\"", "amount = \"drop\"");
    assert_ne!(wide.text, narrow);
    narrow
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_goes_by_the_rules_of_its_moment() {
    let mut site = Site::open();
    let reference = site.put().await;
    site.seal(1).await;
    // Two attempts at an endpoint that is down: the second needs nothing but the rules.
    assert_eq!((site.offer(1).await, site.offer(1).await), ("payload", "payload"));
    site.adopt(Some(&tighter())).await;
    assert_eq!(site.offer(1).await, "withheld");
    let head = site.node.head(&site.stream).unwrap();
    assert!(site.node.batch(&head, 1).is_some_and(|b| b.served && !b.taken_back), "it may have arrived");
    // In force again what it was made under.
    site.adopt(None).await;
    assert_eq!(site.offer(1).await, "payload");

    // A batch that was sealed and never offered is taken back, and its place is all there is.
    site.put().await;
    site.seal(2).await;
    site.adopt(Some(&tighter())).await;
    assert_eq!((site.offer(2).await, site.offer(2).await), ("gone", "gone"));

    // A recall that was offered goes on whatever the policy.
    let effective = site.node.business_date().to_string();
    let recall = serde_json::json!([
        { "ref": reference, "reason": "mistake", "basis": "test", "effective": effective }
    ]);
    site.take(Op::Withdraw, recall.to_string().into_bytes(), "recall").await;
    site.seal(3).await;
    assert_eq!(site.offer(3).await, "payload");
    site.adopt(None).await;
    assert_eq!(site.offer(3).await, "payload");
    assert_eq!(site.offer(1).await, "payload");
    site.close().await;
}
