//! The order of what is committed about one record. Submissions are prepared, wait, and are committed in any order, together
//! or apart, in both lanes, with ends of publication and crashes in between. A recipient that follows docs/recipients.md
//! must hold what the node committed last.

use super::recipient::history;
use super::*;
use crate::engine::commit_error::CommitError;
use crate::engine::committer::{Committed, Job, SubmissionJob};
use crate::engine::order::Preparation;
use crate::engine::submit::{Authorised, Request};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;
use xinqiao_exchange::group::Ready;
use xinqiao_exchange::names::Lane;

/// Records the model has.
const RECORDS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Act {
    /// A new version of the record.
    Put,
    /// A version that is published until tomorrow.
    Ending,
    About(Op),
}

#[derive(Clone, Copy, Debug)]
enum Do {
    /// Prepares a submission; it waits, as if its thread was held up.
    Prepare(Act, usize, Load),
    /// Hands waiting submissions to the committer, in this order, as one group.
    Commit(usize, usize),
    /// A recipient reads everything there is.
    Read(usize),
    /// Two days pass, and what may no longer be published is withdrawn. Whatever waits is committed meanwhile.
    End,
    Crash,
}

/// A submission that is prepared.
struct Waiting {
    authorised: Authorised,
    request: Request,
    what: What,
    prepared: (Ready, Preparation),
}

/// A submission the committer has, and where it answers.
type HandedOver = (What, Request, oneshot::Receiver<Result<Committed, CommitError>>);

/// What a submission does.
#[derive(Clone, Debug, PartialEq)]
struct What {
    record: usize,
    op: Op,
    /// The version it puts.
    version: String,
}

/// What stands of a record at the node: as was committed last.
#[derive(Clone, Debug, Default, PartialEq)]
struct Standing {
    version: Option<String>,
    recalled: bool,
}

struct Model {
    hand: Hand,
    records: Vec<Record>,
    standing: Vec<Standing>,
    /// Versions that were put so that their publication ends.
    ending: BTreeSet<String>,
    waiting: Vec<Waiting>,
    versions: usize,
    /// By stream: the last batch read, and every line so far.
    read: BTreeMap<String, (u64, Vec<Value>)>,
}

const STREAMS: [&str; 4] = ["province", "province~", "portal", "portal~"];

impl Model {
    fn new() -> Self {
        let mut hand = Hand::new();
        let records = (0..RECORDS).map(|_| hand.new_record()).collect();
        Self {
            hand,
            records,
            standing: vec![Standing::default(); RECORDS],
            ending: BTreeSet::new(),
            waiting: Vec::new(),
            versions: 0,
            read: BTreeMap::new(),
        }
    }

    fn run(mut self, steps: &[Do]) {
        for step in steps {
            match *step {
                Do::Prepare(act, record, load) => self.prepare(act, record, load),
                Do::Commit(first, second) => self.commit(&[first, second]),
                Do::Read(stream) => self.read(STREAMS[stream]),
                Do::End => self.end(),
                Do::Crash => {
                    self.waiting.clear();
                    self.hand = self.hand.crash();
                }
            }
        }
        while !self.waiting.is_empty() {
            self.commit(&[0]);
        }
        self.end();
        STREAMS.iter().for_each(|stream| self.read(stream));
        self.compare();
    }

    fn prepare(&mut self, act: Act, which: usize, load: Load) {
        let mut record = self.records[which].clone();
        self.versions += 1;
        let version = format!("样罚〔2026〕{}号", self.versions);
        record.set("CF_WSH", version.clone());
        let reference = record.get("ref").unwrap().to_owned();
        let (op, (head, body)) = match act {
            Act::About(op) => (op, self.hand.about(op, &reference)),
            _ => {
                let days = if matches!(act, Act::Ending) { 1 } else { 900 };
                let mut end = Vec::new();
                self.hand.node.business_date().plus_days(days).unwrap().write_slash(&mut end);
                record.set("CF_GSJZQ", String::from_utf8(end).unwrap());
                if days == 1 {
                    self.ending.insert(version.clone());
                }
                (Op::Put, (self.hand.head(Op::Put), body(&record)))
            }
        };
        let request = Request { head: Head { load, ..head }, body };
        let what = What { record: which, op, version };
        self.prepared(request, what);
    }

    fn prepared(&mut self, request: Request, what: What) {
        let node = &self.hand.node;
        let authorised = node.authorise(&request.head).unwrap();
        match node.prepare(&authorised, &request, node.clock.now()) {
            Ok(prepared) => {
                assert!(!(self.standing[what.record].recalled && what.op == Op::Put), "{what:?}");
                self.waiting.push(Waiting { authorised, request, what, prepared });
            }
            Err(refused) => {
                // Not only by the model's idea of the moment: a recall that is committed keeps every put back.
                assert_eq!(refused.code(), RefusalCode::RecordsRefused);
                assert!(self.standing[what.record].recalled && what.op == Op::Put, "{what:?}");
            }
        }
    }

    /// Hands submissions over; the committer takes them in this order.
    fn hand_over(&mut self, which: &[usize]) -> Vec<HandedOver> {
        let mut sent = Vec::new();
        for n in which {
            if self.waiting.is_empty() {
                break;
            }
            let Waiting { authorised, request, what, prepared: (ready, preparation) } =
                self.waiting.remove(n % self.waiting.len());
            drop(authorised);
            let (reply, response) = oneshot::channel();
            let rules = self.hand.node.rules().number;
            let job = SubmissionJob { ready, rules, preparation, in_turn: false, idempotency: None, reply };
            assert!(self.hand.node.jobs.send(Job::Submission(Box::new(job))).is_ok());
            sent.push((what, request, response));
        }
        sent
    }

    fn commit(&mut self, which: &[usize]) {
        let sent = self.hand_over(which);
        while self.hand.step() != Step::Idle {}
        self.committed(sent);
    }

    fn committed(&mut self, sent: Vec<HandedOver>) {
        let mut again = Vec::new();
        for (what, request, mut response) in sent {
            match response.try_recv().expect("it is answered") {
                Ok(_) => {
                    let standing = &mut self.standing[what.record];
                    match what.op {
                        Op::Put => standing.version = Some(what.version),
                        Op::Withdraw | Op::Repair => *standing = Standing { version: None, recalled: true },
                        Op::Reinstate => standing.recalled = false,
                        Op::Dispute | Op::Resolve => {}
                    }
                }
                Err(CommitError::Stale) => again.push((what, request)),
                Err(e) => panic!("{what:?}: {e:?}"),
            }
        }
        // Prepared again at once, it may wait as long as before.
        for (what, request) in again {
            self.prepared(request, what);
        }
    }

    fn end(&mut self) {
        self.end_and(|_| {});
    }

    /// The same; something happens before what waits is committed.
    fn end_and(&mut self, meanwhile: impl FnOnce(&Hand)) {
        self.hand.pass(2);
        let node = self.hand.node.clone();
        let sweep = self.hand.runtime.spawn_blocking(move || node.end_publications());
        meanwhile(&self.hand);
        let mut sent = Vec::new();
        while !self.waiting.is_empty() {
            let which = self.versions;
            sent.extend(self.hand_over(&[which]));
        }
        self.hand.finish(sweep);
        while self.hand.step() != Step::Idle {}
        self.committed(sent);
    }

    fn read(&mut self, stream: &str) {
        let (name, lane) = match stream.strip_suffix('~') {
            Some(name) => (name, Lane::History),
            None => (stream, Lane::Daily),
        };
        let recipient = if name == PROVINCE { PROVINCE } else { PORTAL };
        let of = if lane == Lane::History { history(recipient) } else { recipient::stream(recipient) };
        if self.hand.node.head(&of).is_none() {
            return;
        }
        let (mut after, mut lines) = self.read.remove(stream).unwrap_or_default();
        for batch in self.hand.list_of(recipient, of, after).unwrap() {
            after = batch.manifest().seq;
            if batch.manifest().records > 0 {
                lines.extend(self.hand.fetch(recipient, &batch).unwrap());
            }
        }
        self.read.insert(stream.to_owned(), (after, lines));
    }

    /// What stands at a recipient by docs/recipients.md: of each key the highest rev, in whatever lane it came.
    fn stands_at(&self, recipient: &str) -> BTreeSet<String> {
        let mut newest: BTreeMap<&str, &Value> = BTreeMap::new();
        let mut revs = BTreeSet::new();
        for (stream, (_, lines)) in &self.read {
            if stream.strip_suffix('~').unwrap_or(stream) != recipient {
                continue;
            }
            for line in lines {
                revs.insert(line["rev"].as_u64().unwrap());
                if !["put", "withdraw", "repair"].contains(&line["op"].as_str().unwrap()) {
                    continue;
                }
                let last = newest.entry(line["key"].as_str().unwrap()).or_insert(line);
                if line["rev"].as_u64() > last["rev"].as_u64() {
                    *last = line;
                }
            }
        }
        let puts = newest.values().filter(|line| line["op"] == "put");
        puts.map(|line| line["data"]["CF_WSH"].as_str().unwrap().to_owned()).collect()
    }

    fn compare(&mut self) {
        for recipient in [PROVINCE, PORTAL] {
            let committed = self.standing.iter().filter_map(|s| s.version.clone());
            // Where the public reads it, a version does not outlive its publication.
            let wanted: BTreeSet<String> =
                committed.filter(|v| recipient == PROVINCE || !self.ending.contains(v)).collect();
            assert_eq!(self.stands_at(recipient), wanted, "{recipient}: {:#?}", self.read);
        }
        for (record, standing) in self.records.clone().iter().zip(self.standing.clone()) {
            let head = self.hand.head(Op::Put);
            let told = self.hand.take_body(head, body(record));
            assert_eq!(told.is_err(), standing.recalled, "the node refuses what it counts as recalled");
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Do>> {
    let act = prop_oneof![
        4 => Just(Act::Put),
        1 => Just(Act::Ending),
        3 => proptest::sample::select(vec![Op::Withdraw, Op::Repair, Op::Reinstate, Op::Dispute]).prop_map(Act::About),
    ];
    let load = proptest::sample::select(vec![Load::Daily, Load::History]);
    let step = prop_oneof![
        8 => (act, 0..RECORDS, load).prop_map(|(act, record, load)| Do::Prepare(act, record, load)),
        5 => (0..8usize, 0..8usize).prop_map(|(first, second)| Do::Commit(first, second)),
        2 => (0..STREAMS.len()).prop_map(Do::Read),
        1 => Just(Do::End),
        1 => Just(Do::Crash),
    ];
    proptest::collection::vec(step, 1..32)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_recipient_holds_what_the_node_committed_last(steps in steps()) {
        Model::new().run(&steps);
    }
}

/// A put and a recall prepared in one order and committed in the other, together or one after the other.
#[test]
fn a_recall_that_is_committed_behind_a_later_put_or_in_front_of_it_holds() {
    for order in [[0, 0], [1, 0]] {
        for together in [true, false] {
            for recall_first in [true, false] {
                let mut model = Model::new();
                model.prepare(Act::Put, 0, Load::Daily);
                model.commit(&[0]);
                let mut both = [Act::About(Op::Withdraw), Act::Put];
                if !recall_first {
                    both.reverse();
                }
                both.into_iter().for_each(|act| model.prepare(act, 0, Load::Daily));
                match together {
                    true => model.commit(&order),
                    false => order.iter().for_each(|n| model.commit(&[*n])),
                }
                model.run(&[]);
            }
        }
    }
}

#[test]
fn a_correction_that_prolongs_a_publication_wins_over_its_end_whatever_was_prepared_first() {
    for load in [Load::Daily, Load::History] {
        let mut model = Model::new();
        model.prepare(Act::Ending, 0, Load::Daily);
        model.commit(&[0]);
        model.prepare(Act::Put, 0, load);
        let before = model.hand.node.revs.load(Ordering::SeqCst);
        // The withdrawal has its rev, a higher one than the correction's.
        model.end_and(|hand| hand.until(|| hand.node.revs.load(Ordering::SeqCst) > before));
        assert!(model.standing[0].version.is_some());
        model.run(&[]);
    }
}

/// What a large submission is about is touched again and again while it is prepared: once it had two attempts, others wait.
#[test]
fn whoever_is_overtaken_again_and_again_has_a_turn() {
    let mut hand = Hand::new();
    let records: Vec<Record> = (0..400).map(|_| hand.new_record()).collect();
    let reference = records[399].get("ref").unwrap().to_owned();
    let mut body = Vec::new();
    write_ndjson(&records, &mut body);
    assert!(body.len() > 64 << 10, "it has a thread of its own");
    let head = hand.head(Op::Put);
    let large = hand.send(head, body.into());
    let mut others: Vec<Sent> = Vec::new();
    let began = Instant::now();
    while !large.is_finished() {
        assert!(began.elapsed() < PATIENCE, "it is never committed");
        if others.iter().filter(|other| !other.is_finished()).count() < 3 {
            // A put behind it has to be looked at again.
            let (head, about) = hand.about(Op::Reinstate, &reference);
            others.push(hand.send(head, about));
        }
        hand.step();
    }
    assert_eq!(hand.response(large).expect("it is committed")["accepted"], 400);
    for other in others {
        assert_eq!(hand.response(other).expect("and so is everyone else's")["accepted"], 1);
    }
}

/// The claim of a submission that has its turn: others about its records are sent back, and wait for it.
#[test]
fn a_turn_keeps_others_from_its_records_and_from_no_other() {
    let mut hand = Hand::new();
    let (mine, other) = (hand.new_record(), hand.new_record());
    let (first, second) = (hand.put_record(&mine), hand.put_record(&other));
    let node = hand.node.clone();
    let (claimed, wait) = (oneshot::channel::<()>(), oneshot::channel::<()>());
    let ids = {
        let (head, body) = hand.about(Op::Withdraw, &first.reference);
        let authorised = hand.node.authorise(&head).unwrap();
        let (ready, _preparation) = hand.node.prepare(&authorised, &Request { head, body }, 0).unwrap();
        ready.prepared
    };
    let turn = hand.runtime.spawn(async move {
        let mut attempts = crate::engine::order::Attempts::new(&node);
        for _ in 0..3 {
            assert!(attempts.next().await.unwrap());
            attempts.prepared(&ids);
        }
        assert!(attempts.in_turn());
        claimed.0.send(()).unwrap();
        wait.1.await.unwrap();
    });
    hand.finish_or_step(claimed.1);
    let (head, body) = hand.about(Op::Withdraw, &first.reference);
    let kept = hand.send(head, body);
    let (head, body) = hand.about(Op::Withdraw, &second.reference);
    let free = hand.send(head, body);
    assert_eq!(hand.response(free).unwrap()["accepted"], 1, "another record is no concern of the turn's");
    for _ in 0..20 {
        hand.step();
    }
    assert!(!kept.is_finished());
    wait.0.send(()).unwrap();
    hand.runtime.block_on(turn).unwrap();
    assert_eq!(hand.response(kept).unwrap()["accepted"], 1);
}

impl Hand {
    /// Steps until something is told.
    fn finish_or_step(&mut self, mut told: oneshot::Receiver<()>) {
        let began = Instant::now();
        while told.try_recv().is_err() {
            assert!(began.elapsed() < PATIENCE, "it does not come");
            if self.step() == Step::Idle {
                std::thread::yield_now();
            }
        }
    }
}
