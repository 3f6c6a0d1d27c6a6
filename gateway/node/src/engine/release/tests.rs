//! A year of a node's life, one record a submission: segments go, rows stay few, snapshots stay small, and what was
//! asked of old submissions is answered as on the first day, also after a rebuild. Time is turned by hand.

use super::*;
use crate::config::Config;
use crate::engine::Outside;
use crate::engine::acknowledge::Received;
use crate::engine::hand::{DATASET, DEPARTMENT, configure};
use crate::engine::submit::Head;
use crate::engine::telemetry::Telemetry;
use crate::engine::trace::Wanted;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xinqiao_evidence::Digests;
use xinqiao_evidence::acknowledgement::{Acknowledgement, LineError, Outcome};
use xinqiao_evidence::timestamp::Timestamp;
use xinqiao_exchange::op::{Load, Op};
use xinqiao_exchange::state::INDEXED;
use xinqiao_runtime::Budget;
use xinqiao_runtime::clock::Clock;
use xinqiao_runtime::metrics::Metrics;
use xinqiao_schemas::synthetic::{Generator, Table as Kind_, write_ndjson};
use xinqiao_schemas::{Charset, Date, Format, SubjectKind};

const STREAMS: [(&str, &str); 2] =
    [("province", "province.administrative-penalty"), ("portal", "portal.administrative-penalty")];
const DAY: i64 = 86_400;

type AllRows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

struct Life {
    runtime: tokio::runtime::Runtime,
    node: Option<Arc<Node>>,
    committer: Option<std::thread::JoinHandle<()>>,
    generator: Generator,
    budget: Budget,
    sent: u64,
    days: i64,
    dir: tempfile::TempDir,
}

/// What was answered of a submission, to be compared later.
struct Answer {
    id: String,
    index: u64,
    bytes: bytes::Bytes,
    reference: String,
    view: String,
    traced: String,
}

fn today() -> Date {
    Date::business_day(Clock::default().now())
}

impl Life {
    fn new(segment_bytes: u64) -> Self {
        // In memory if there is such a place: a year has many syncs.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        configure(dir.path(), segment_bytes);
        let mut life = Self {
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap(),
            node: None,
            committer: None,
            generator: Generator::new(9, today()).with_references(),
            budget: Budget::new(64 << 20, 64 << 20),
            sent: 0,
            days: 0,
            dir,
        };
        life.start();
        life
    }

    fn start(&mut self) {
        let config = Config::load(&self.dir.path().join("node.toml")).unwrap();
        let clock = Clock::default();
        clock.turn(self.days * DAY);
        let opened =
            Node::open_with(config, Telemetry(Metrics::new()), Outside { clock, ..Outside::default() })
                .unwrap();
        (self.node, self.committer) = (Some(opened.node), Some(opened.committer));
    }

    fn stop(&mut self) {
        let node = self.node.take().unwrap();
        self.runtime.block_on(node.stop());
        drop(node);
        self.committer.take().unwrap().join().unwrap();
    }

    fn node(&self) -> &Arc<Node> {
        self.node.as_ref().unwrap()
    }

    /// One submission of one record; how it was answered comes back.
    fn send(&mut self) -> Answer {
        let record = self.generator.record_about(Kind_::Penalty2020, Some(SubjectKind::LegalPerson));
        let mut body = Vec::new();
        write_ndjson(std::slice::from_ref(&record), &mut body);
        self.sent += 1;
        let head = Head {
            member: DEPARTMENT.into(),
            dataset: DATASET.into(),
            schema: Some("administrative-penalty-2020".into()),
            op: Op::Put,
            load: Load::Daily,
            format: Format::Ndjson,
            charset: Charset::Utf8,
            strict: false,
            idempotency_key: self.sent.to_string(),
            account: self.budget.account(DEPARTMENT),
        };
        let authorised = self.node().authorise(&head).expect("the department may send it");
        let sent = self.node().submit(head, authorised, body.into());
        let bytes = self.runtime.block_on(sent).expect("it is accepted");
        let response: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(response["accepted"], 1, "{response}");
        let id = response["submission"].as_str().unwrap().to_owned();
        let index = id.split_once('-').unwrap().0.parse().unwrap();
        let reference = record.get("ref").unwrap().to_owned();
        Answer { id, index, bytes, reference, view: String::new(), traced: String::new() }
    }

    /// Both recipients take everything; `refuse` is a line that is refused, once.
    fn pull(&self, refuse: bool) {
        let node = self.node();
        for (recipient, name) in STREAMS {
            let stream = StreamId::parse(name).unwrap();
            self.runtime.block_on(async {
                let after = node.head(&stream).map_or(0, |h| h.acknowledged_batches);
                let _list = node.batches(recipient, &stream, after, 100, Duration::ZERO).await.unwrap();
                let head = node.head(&stream).unwrap();
                for seq in after + 1..head.next_seq {
                    let parts = node.payload(recipient, &stream, seq).await.unwrap();
                    node.note_served(&stream, seq, &parts).await.unwrap();
                    let batch = node.batch(&head, seq).unwrap();
                    let error = LineError { code: "R1".into(), message: "not taken".into(), record: 0 };
                    let errors = if refuse { vec![error] } else { Vec::new() };
                    let response = Acknowledgement {
                        epoch: node.epoch(),
                        outcome: if refuse { Outcome::Partial } else { Outcome::Accepted },
                        errors,
                        manifest_digest: Digests::sha256(batch.digest.parse().unwrap()),
                        node: node.name.as_str().to_owned(),
                        seq,
                        stream: name.into(),
                        time: Timestamp::of_unix(node.clock.now()),
                    };
                    let as_sent = response.to_json().into();
                    let received = Received { said: response, as_sent, paid: None };
                    node.acknowledge(recipient, &stream, received).await.unwrap();
                }
            });
        }
    }

    /// A day passes, with its upkeep.
    fn pass(&mut self, days: i64) {
        self.days += days;
        self.node().clock.turn(days * DAY);
        self.node().sweep();
    }

    fn look(&self, response: &mut Answer) {
        let (view, traced) = self.asked(response);
        (response.view, response.traced) = (view, traced);
    }

    /// What a department and an officer hear of a submission.
    fn asked(&self, response: &Answer) -> (String, String) {
        let node = self.node();
        let view = node.submission_view(DEPARTMENT, &response.id).unwrap();
        let wanted = Wanted::Reference { member: DEPARTMENT, reference: &response.reference };
        let traced = serde_json::to_value(node.trace(DATASET, &wanted).unwrap()).unwrap();
        // The node's own withdrawals, when publications end, come later.
        let mut traced = traced.as_array().unwrap().clone();
        traced.retain(|line| line["member"] == DEPARTMENT);
        assert_eq!(traced.len(), STREAMS.len(), "one line for each recipient");
        (serde_json::to_string(&view).unwrap(), serde_json::to_string(&traced).unwrap())
    }

    fn check(&self, response: &Answer) {
        assert_eq!(self.asked(response), (response.view.clone(), response.traced.clone()), "{}", response.id);
        let again = self.node().rebuild_response(response.index);
        assert_eq!(again.as_ref(), Some(&response.bytes), "the receipt is given again byte for byte");
    }

    fn rows(&self) -> AllRows {
        let queue = self.node().queue();
        let mut rows = AllRows::new();
        for table in Table::ALL {
            for (key, value) in crate::engine::rows::all(&queue, table).unwrap() {
                rows.insert((table as u8, key), value);
            }
        }
        rows
    }

    /// Rows of the tables that grow with every submission.
    fn growing(&self) -> usize {
        let queue = self.node().queue();
        INDEXED.iter().map(|t| crate::engine::rows::all(&queue, *t).unwrap().len()).sum()
    }

    fn segments(&self) -> usize {
        self.node().segments().len()
    }

    fn bytes_below(&self, part: &str) -> u64 {
        let files = std::fs::read_dir(self.dir.path().join("data").join(part)).unwrap();
        files.map(|f| f.unwrap().metadata().unwrap().len()).sum()
    }
}

#[test]
fn a_year_of_single_records_leaves_few_rows_and_few_segments_and_every_answer() {
    let mut life = Life::new(256 << 10);
    let mut responses = Vec::new();
    let mut seen = Vec::new();
    for day in 0..365 {
        for _ in 0..2 {
            let mut response = life.send();
            life.pull(day == 3);
            if day % 30 < 2 {
                life.look(&mut response);
                responses.push(response);
            }
        }
        life.pass(1);
        assert_eq!(life.node().overdue(), None, "day {day}");
        seen.push((life.growing(), life.segments()));
    }
    // Payload is kept for thirty days after the answer. After twice as long nothing grows any more.
    let most = |days: &[(usize, usize)]| {
        let rows = days.iter().map(|day| day.0).max().unwrap();
        (rows, days.iter().map(|day| day.1).max().unwrap())
    };
    let (early, late) = (most(&seen[60..120]), most(&seen[300..]));
    assert!(late.0 <= early.0 + early.0 / 10, "rows: {early:?} then, {late:?} now");
    assert!(late.1 <= early.1 + 10 && late.1 < 80, "segments: {early:?} then, {late:?} now");
    let (groups, indexes) = (life.node().log_size(), life.node().reader.indexes().unwrap());
    assert!(indexes.len() > 100 && groups > 3_000, "{} indexes, {groups} entries", indexes.len());
    let first = life.node().segments()[0].segment;
    assert!(first > 100, "segments go: {first} is the first that is left");

    let before = life.rows();
    responses.iter().for_each(|response| life.check(response));
    let old = StreamId::parse(STREAMS[0].1).unwrap();
    let list = |life: &Life| {
        let wait = Duration::ZERO;
        let list = life.runtime.block_on(life.node().batches("province", &old, 0, 100, wait)).unwrap();
        serde_json::to_string(&list).unwrap()
    };
    let news = |life: &Life| {
        let news = life.runtime.block_on(life.node().feedback(DEPARTMENT, 0, Duration::ZERO)).unwrap();
        serde_json::to_string(&news).unwrap()
    };
    let (listed, told) = (list(&life), news(&life));
    assert_eq!(listed.matches("\"manifest\"").count(), 100, "the first hundred batches with their proofs");
    assert_eq!(told.matches("\"code\":\"R1\"").count(), 4, "the year's only news: {told}");

    // The queue lost while running, and at a start: built again it is what it was.
    life.node().rebuild().unwrap();
    assert_eq!(life.rows(), before, "rebuilt rows equal kept rows");
    responses.iter().for_each(|response| life.check(response));
    let state = life.node().state.read().clone();
    life.stop();
    std::fs::remove_dir_all(life.dir.path().join("data/queue")).unwrap();
    life.start();
    assert!(life.node().trouble().rebuilt.is_some());
    assert_eq!(*life.node().state.read(), state);
    assert_eq!(life.rows(), before);
    responses.iter().for_each(|response| life.check(response));
    assert_eq!((list(&life), news(&life)), (listed, told));
    life.stop();
}

#[test]
fn an_index_cut_off_by_a_crash_is_removed_and_rows_that_did_not_leave_leave_later() {
    let mut life = Life::new(64 << 10);
    let mut response = life.send();
    life.pull(false);
    life.look(&mut response);
    // A crash between the file and the event: nobody knows of it.
    let mut stray = life.node().reader.write_index(77).unwrap();
    stray.push(1, b"x", b"y").unwrap();
    stray.finish().unwrap();
    // A crash between that event and those that take the rows out.
    let queue = life.node().queue();
    let rows = crate::engine::rows::all(&queue, Table::GroupChunk).unwrap();
    let mut writer = life.node().reader.write_index(1).unwrap();
    for (key, value) in &rows {
        writer.push(Table::GroupChunk as u8, key, value).unwrap();
    }
    writer.finish().unwrap();
    let ends = (&rows[0].0, &rows[rows.len() - 1].0);
    let hex = |key: &Vec<u8>| xinqiao_crypto::hex::encode(key);
    let range = xinqiao_exchange::event::KeyRange {
        table: Table::GroupChunk as u8,
        first: hex(ends.0),
        last: hex(ends.1),
    };
    let events = vec![Event::Indexed { number: 1, ranges: vec![range] }];
    life.node().change_blocking(Change { events, ..Change::default() }, |_| true).ok().unwrap();
    assert_eq!(life.node().reader.indexes().unwrap(), [1, 77]);
    life.check(&response);
    life.pass(2);
    let indexes = life.node().reader.indexes().unwrap();
    assert!(indexes.contains(&1) && !indexes.contains(&77), "{indexes:?}");
    assert!(crate::engine::rows::all(&life.node().queue(), Table::GroupChunk).unwrap().is_empty());
    life.check(&response);
    life.stop();
}

#[test]
fn payload_that_cannot_go_makes_the_node_say_so_until_it_goes() {
    let mut life = Life::new(64 << 10);
    life.send();
    life.pull(false);
    life.pass(29);
    assert_eq!(life.node().overdue(), None);
    // The archive's key cannot be written where a directory stands.
    let evidence = life.dir.path().join("data/evidence");
    // What lives was carried over from segments full of documents, so its segment is of today.
    let segment = life.node().segments()[0].segment;
    let obstacle = evidence.join(format!("{segment:016x}.key"));
    std::fs::create_dir(&obstacle).unwrap();
    life.pass(3);
    // Few dead segments wait for others, but not for long.
    life.pass(1);
    let overdue = life.node().overdue().expect("it is said");
    assert!(overdue.seconds > 3 * DAY as u64 && overdue.segments >= 1, "{overdue:?}");
    std::fs::remove_dir(&obstacle).unwrap();
    life.pass(0);
    assert_eq!(life.node().overdue(), None);
    assert!(life.node().segments()[0].segment > segment, "the segment is gone");
    life.stop();
}

/// The same at size: `XINQIAO_SUBMISSIONS=1000000 cargo test --release -p xinqiao --lib a_year_at_size -- --ignored
/// --nocapture`.
#[test]
#[ignore = "takes minutes to hours, by the number of submissions"]
fn a_year_at_size() {
    let count: u64 = std::env::var("XINQIAO_SUBMISSIONS").map_or(20_000, |n| n.parse().unwrap());
    let mut life = Life::new(64 << 20);
    let per_day = count.div_ceil(365);
    let mut first = None;
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    for day in 0..365 {
        for n in 0..per_day {
            let sent = Instant::now();
            let response = life.send();
            longest = longest.max(sent.elapsed());
            if n % 8 == 7 || n + 1 == per_day {
                life.pull(false);
            }
            if first.is_none() {
                life.pull(false);
                let mut response = response;
                life.look(&mut response);
                first = Some(response);
            }
        }
        let swept = Instant::now();
        life.pass(1);
        assert_eq!(life.node().overdue(), None);
        if day % 30 == 29 {
            eprintln!(
                "day {day}: {} submissions, {} rows ({} that grow), {} segments of {} MB, evidence {} MB, upkeep {:?}, slowest submission {longest:?}, {:?} so far",
                life.sent,
                life.node().queued_rows(),
                life.growing(),
                life.segments(),
                life.bytes_below("journal") >> 20,
                life.bytes_below("evidence") >> 20,
                swept.elapsed(),
                began.elapsed(),
            );
        }
    }
    let asked = Instant::now();
    life.check(first.as_ref().unwrap());
    eprintln!("the first submission is answered in {:?}", asked.elapsed());
    let before = life.rows();
    let rebuilt = Instant::now();
    life.node().rebuild().unwrap();
    eprintln!("{} rows rebuilt in {:?}", before.len(), rebuilt.elapsed());
    assert!(life.rows() == before);
    life.stop();
}
