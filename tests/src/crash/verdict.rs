//! After the last crash: is everything there that was acknowledged, once, and nothing else?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use xinqiao::demo::federation::DATASETS;
use xinqiao::demo::process::NodeProcess;
use xinqiao_evidence::acknowledgement::Acknowledgement;
use xinqiao_evidence::keys::Jwks;

use super::fleet::{Fleet, drain};
use crate::site::{DEPARTMENTS, PORTAL, PROVINCE, Site};
use crate::traffic::{Line, Request, document, is_due, lines};

/// What was found. Everything in it is as it must be: anything else panics.
#[derive(Debug, Default, Clone)]
pub struct Verdict {
    /// Requests that were answered 201.
    pub requests: u64,
    /// Records in them.
    pub records: u64,
    /// Requests still without an answer after the last crash, then sent again.
    pub in_doubt: u64,
    /// Those of them whose records were there already.
    pub in_doubt_present: u64,
    /// Batches, chained and signed.
    pub batches: u64,
    /// Lines in them, each once.
    pub lines: u64,
    /// Answers that came again byte for byte.
    pub repeated: u64,
    /// Rejected lines that came back to their departments, each once.
    pub feedback: u64,
    /// Entries of the log, whose root was computed from all of them.
    pub log_entries: u64,
    /// Keys of the register, which is the same when it is built anew.
    pub registered: u64,
}

/// Where a record came from.
struct Origin {
    id: String,
    ordinal: u64,
    department: usize,
    /// Recipients that may not see it.
    withdrawn: u64,
}

impl Verdict {
    /// Verifies everything. The node is stopped at the end.
    pub async fn reach(site: &Arc<Site>, mut fleet: Fleet, node: NodeProcess) -> Self {
        let mut verdict = Self::default();
        let keys = std::fs::read(site.keys()).expect("the keys are there");
        let keys = Jwks::from_json(&keys).expect("the keys can be read");
        pull_everything(site, &node).await;
        let held = Held::read(site, &keys);
        for done in fleet.done() {
            held.exactly_once(&done.request);
        }
        for request in fleet.in_doubt() {
            verdict.in_doubt += 1;
            verdict.in_doubt_present += u64::from(held.all_or_nothing(request));
        }
        fleet.settle(&node).await;
        pull_everything(site, &node).await;
        let held = Held::read(site, &keys);
        let origins = origins(&fleet);
        for done in fleet.done() {
            held.exactly_once(&done.request);
        }
        held.nothing_else(&origins);
        verdict.batches = held.batches;
        verdict.lines = held.lines;
        verdict.requests = fleet.done().count() as u64;
        verdict.records = origins.len() as u64;
        fleet.repeat(&node).await;
        verdict.repeated = fleet.repeated;
        verdict.feedback = feedback(site, &node, &held, &origins).await;
        acknowledged(site, &node, &fleet).await;
        assert!(node.stop(), "the node stops cleanly");
        verdict.log_entries = evidence(site, &verdict);
        verdict.registered = super::register::compare(site);
        assert!(verdict.registered > verdict.records, "records and names of theirs");
        verdict
    }
}

async fn pull_everything(site: &Site, node: &NodeProcess) {
    for (member, dataset) in Site::streams() {
        let client = site.client(member, node);
        let mut puller = site.puller(client, member, dataset).await.expect("a puller goes on where it was");
        drain(&mut puller, member, Duration::ZERO).await.expect("everything verifies");
    }
}

/// What recipients hold.
struct Held {
    /// Recipient and document → lines that carry it.
    puts: HashMap<(&'static str, String), Vec<Line>>,
    withdrawn: u64,
    batches: u64,
    lines: u64,
}

impl Held {
    fn read(site: &Site, keys: &Jwks) -> Self {
        let mut held = Self { puts: HashMap::new(), withdrawn: 0, batches: 0, lines: 0 };
        for (member, dataset) in Site::streams() {
            let all = lines(&site.pulled().join(format!("{member}.{dataset}")), keys);
            held.batches += all.last().map_or(0, |line| line.seq);
            held.lines += all.len() as u64;
            let mut seen = BTreeSet::new();
            for line in all {
                assert!(seen.insert(line.key.clone()), "{member}.{dataset}: a record came twice, {line:?}");
                match (line.op.as_str(), &line.document) {
                    ("put", Some(document)) => {
                        held.puts.entry((member, document.clone())).or_default().push(line);
                    }
                    // What a policy does not release must not stand there from before.
                    ("withdraw", None) => held.withdrawn += 1,
                    _ => panic!("{member}.{dataset}: a line nobody sent, {line:?}"),
                }
            }
        }
        held
    }

    fn times(&self, recipient: &'static str, document: &str) -> usize {
        self.puts.get(&(recipient, document.to_owned())).map_or(0, Vec::len)
    }

    fn exactly_once(&self, request: &Request) {
        for record in request.records() {
            let document = document(&record);
            for recipient in [PROVINCE, PORTAL] {
                let due = usize::from(is_due(&record, recipient));
                assert_eq!(
                    self.times(recipient, document),
                    due,
                    "{document} of {} at {recipient}",
                    request.key()
                );
            }
        }
    }

    fn all_or_nothing(&self, request: &Request) -> bool {
        let due: Vec<_> = request.records().into_iter().filter(|record| is_due(record, PROVINCE)).collect();
        let present = due.iter().filter(|record| self.times(PROVINCE, document(record)) > 0).count();
        assert!(present == 0 || present == due.len(), "{} is there in part", request.key());
        if present > 0 {
            self.exactly_once(request);
        }
        present > 0
    }

    fn nothing_else(&self, origins: &HashMap<String, Origin>) {
        let withdrawn = origins.values().map(|origin| origin.withdrawn).sum::<u64>();
        assert_eq!(
            self.withdrawn, withdrawn,
            "records that a recipient may not see are withdrawn there, once each"
        );
        for (recipient, document) in self.puts.keys() {
            assert!(origins.contains_key(document), "{recipient} holds {document}, which nobody sent");
        }
    }
}

fn origins(fleet: &Fleet) -> HashMap<String, Origin> {
    let mut all = HashMap::new();
    for done in fleet.done() {
        for (ordinal, record) in (0..).zip(done.request.records()) {
            let withdrawn = [PROVINCE, PORTAL].iter().filter(|r| !is_due(&record, r)).count() as u64;
            let origin =
                Origin { id: done.id.clone(), ordinal, department: done.request.department, withdrawn };
            assert!(
                all.insert(document(&record).to_owned(), origin).is_none(),
                "made-up documents are unique"
            );
        }
    }
    all
}

/// Every line a recipient rejected came back to its department once.
async fn feedback(site: &Site, node: &NodeProcess, held: &Held, origins: &HashMap<String, Origin>) -> u64 {
    let lines: HashMap<_, _> = held
        .puts
        .iter()
        .flat_map(|((recipient, document), lines)| lines.iter().map(move |line| (*recipient, document, line)))
        .map(|(recipient, document, line)| {
            let dataset = DATASETS[usize::from(document.contains('罚'))].0;
            ((format!("{recipient}.{dataset}"), line.seq, line.record), &origins[document])
        })
        .collect();
    let mut rejected: BTreeMap<usize, Vec<(String, u64, String, u64)>> = BTreeMap::new();
    for (member, dataset) in Site::streams() {
        let stream = format!("{member}.{dataset}");
        for seq in 1.. {
            let path = site.pulled().join(&stream).join(format!("{seq}.acknowledgement.json"));
            let Ok(bytes) = std::fs::read(path) else { break };
            let answer = Acknowledgement::from_json(&bytes).expect("an answer can be read");
            for error in &answer.errors {
                let origin = lines[&(stream.clone(), seq, error.record)];
                let told = (origin.id.clone(), origin.ordinal, stream.clone(), seq);
                rejected.entry(origin.department).or_default().push(told);
            }
        }
    }
    let mut count = 0;
    for (department, name) in DEPARTMENTS.iter().enumerate() {
        let client = site.client(name, node);
        let (mut told, mut after) = (Vec::new(), 0);
        loop {
            let page = client.feedback(after, Duration::ZERO).await.expect("feedback is served");
            for f in &page.feedback {
                assert_eq!(f.n, told.len() as u64 + 1, "feedback is numbered without gaps");
                told.push((f.submission.clone(), f.record, f.stream.clone(), f.seq.expect("it was sealed")));
            }
            if page.feedback.is_empty() {
                break;
            }
            after = page.next;
        }
        told.sort();
        let mut expected = rejected.remove(&department).unwrap_or_default();
        expected.sort();
        assert_eq!(told, expected, "what came back to {name} is what was rejected");
        count += told.len() as u64;
    }
    count
}

/// Submissions, a sample of them, are known to be answered everywhere.
async fn acknowledged(site: &Site, node: &NodeProcess, fleet: &Fleet) {
    let all: Vec<_> = fleet.done().collect();
    for done in all.iter().step_by((all.len() / 50).max(1)) {
        let client = site.client(done.request.member(), node);
        let view = client.submission(&done.id).await.expect("a submission is known");
        let states = view["streams"].as_array().expect("a view has streams");
        let answered =
            |s: &serde_json::Value| s["state"] == "acknowledged" || s["state"] == "partly-rejected";
        assert!(!states.is_empty() && states.iter().all(answered), "{view}");
    }
}

/// Receipts, batches, chains and the log, with the commands an auditor uses. The number of log entries.
fn evidence(site: &Site, verdict: &Verdict) -> u64 {
    let (keys, receipts, pulled) = (site.keys(), site.dir.join("receipts"), site.pulled());
    let arguments = ["verify".as_ref(), "--keys".as_ref(), keys.as_ref(), receipts.as_ref(), pulled.as_ref()];
    let (code, said) = site.run(&arguments);
    let expected = format!(
        "{} receipt(s), {} batch(es), {} record(s)",
        verdict.requests, verdict.batches, verdict.lines
    );
    assert!(code == 0 && said.contains(&expected), "wanted {expected}; {code}: {said}");
    let (code, said) = site.verify_log();
    assert_eq!(code, 0, "{said}");
    let log = site.data().join("log");
    let (code, shown) = site.run(&["log".as_ref(), "show".as_ref(), log.as_ref()]);
    assert_eq!(code, 0);
    let entries: Vec<serde_json::Value> =
        shown.lines().map(|line| serde_json::from_str(line).expect("an entry is JSON")).collect();
    let of = |kind: &str| entries.iter().filter(|e| e["kind"] == kind).count() as u64;
    assert_eq!(of("submission"), verdict.requests, "one entry for each request");
    assert_eq!(of("batch"), verdict.batches, "one entry for each batch");
    assert_eq!(of("acknowledgement"), verdict.batches, "one entry for each answer");
    entries.len() as u64
}
