//! A relay between a node and two recipients, without I/O: lines of one upstream come through two lanes that overtake each
//! other, the relay withdraws what may no longer be published, and sometimes forgets what it remembered in memory. The
//! recipients must hold what the upstream said last.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use proptest::prelude::*;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;
use xinqiao_exchange::accept::{RelayBatch, Surroundings, TakenBatch, TombstoneChange, accept_relayed};
use xinqiao_exchange::event::Encoding;
use xinqiao_exchange::known::{Known, Lineages, UpstreamLane};
use xinqiao_exchange::names::{Lane, NodeName, StreamId};
use xinqiao_exchange::op::Op;
use xinqiao_exchange::output::Lines;
use xinqiao_exchange::plan::{Plan, Recipient};
use xinqiao_exchange::revs;
use xinqiao_exchange::secrets::{Naming, RecordId, RecordSecret};
use xinqiao_exchange::source::{Authority, Source, Unit};
use xinqiao_exchange::tombstones::Tombstones;
use xinqiao_schemas::synthetic::{Generator, Table, write_ndjson};
use xinqiao_schemas::{Caps, Catalogue, Date, SubjectKind};

const DATASET: &str = "administrative-penalty";
const SCHEMA: &str = "administrative-penalty-2020";
const RECORDS: usize = 2;
const ARCHIVE: &str = "archive";
const PORTAL: &str = "portal";

fn day() -> Date {
    Date::parse_accepted("2026-11-20").unwrap().0
}

fn stream(lane: Lane) -> StreamId {
    let lane = if lane == Lane::History { "~history" } else { "" };
    StreamId::parse(&format!("relay.{DATASET}{lane}")).unwrap()
}

/// Made once: a catalogue takes long to read.
static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let recipient = |name: &str, policy: &str| Recipient {
        name: name.into(),
        policy: policy.into(),
        datasets: BTreeMap::from([(DATASET.to_owned(), SCHEMA.to_owned())]),
        encoding: Encoding::Identity,
        may_return: false,
    };
    let recipients = [recipient(ARCHIVE, "province-government"), recipient(PORTAL, "portal-public")];
    Plan::compile(&Catalogue::builtin().unwrap(), &recipients, &RecordSecret::new([5; 32])).unwrap()
});

struct Relay {
    source: Source,
    upstream: NodeName,
    own: NodeName,
    rev: Cell<u64>,
    tombstones: Tombstones,
    lineages: Lineages,
    /// The highest rev taken in the daily lane: all that a restart leaves of `lineages`.
    highest: u64,
    /// By recipient, every line.
    sent: BTreeMap<String, Vec<Value>>,
    refused: Vec<Value>,
}

impl Relay {
    fn new() -> Self {
        let authority = Authority {
            code: "*".into(),
            name: String::new(),
            from: None,
            until: None,
            successor: None,
            lineage: None,
            uncoded_basis: None,
        };
        Self {
            source: Source {
                member: "city".into(),
                unit: Unit { code: String::new(), name: "样例局".into() },
                datasets: vec![DATASET.into()],
                authorities: vec![authority],
                lineage: "city".into(),
                relay: true,
            },
            upstream: NodeName::parse("relay.example/350200-credit").unwrap(),
            own: NodeName::parse("relay.example/350000-credit").unwrap(),
            // A relay that has drawn more revs than its upstream.
            rev: Cell::new(1_000),
            tombstones: Tombstones::default(),
            lineages: Lineages::default(),
            highest: 0,
            sent: BTreeMap::new(),
            refused: Vec::new(),
        }
    }

    fn next_rev(&self) -> u64 {
        self.rev.set(self.rev.get() + 1);
        self.rev.get()
    }

    /// Takes lines as one batch; what was found comes back.
    fn take(&mut self, lane: Lane, lines: &[Value]) -> Vec<Value> {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let dataset = PLAN.dataset(DATASET).unwrap();
        let batch = RelayBatch {
            dataset,
            schema: dataset.schema(Some(SCHEMA)).unwrap(),
            source: &self.source,
            upstream: &self.upstream,
            own: &self.own,
            lane,
            manifest_digest: "00",
            lines: text.as_bytes(),
            received: day(),
            caps: &Caps::default(),
            observe_rev: &|rev| self.rev.set(self.rev.get().max(rev)),
        };
        let from = UpstreamLane::new("city", &stream(lane));
        let around = Surroundings {
            next_rev: &|| self.next_rev(),
            leap_rev: &|_| unreachable!("no recipient is a node"),
            known: &|id| {
                Known::of_another_node(self.tombstones.rev(DATASET, id), self.lineages.newest(&from, id))
            },
            registered: &|_| None,
            has_older: false,
            stream_in_use: &|_| true,
            make_room: &|| {},
        };
        let TakenBatch { prepared, highest } = accept_relayed(batch, &around);
        if lane == Lane::Daily {
            self.highest = highest.max(self.highest);
        }
        for change in &prepared.tombstones {
            match change {
                TombstoneChange::Set(r) => self.tombstones.add(DATASET, r.id, r.lineage_rev()),
                TombstoneChange::Lift { id, rev } => self.tombstones.remove(DATASET, id, Some(*rev)),
            }
        }
        for t in prepared.touched.iter().filter(|t| t.origin != 0) {
            self.lineages.note(&from, t.id, t.op, t.origin);
        }
        for output in prepared.outputs {
            let recipient = self.sent.entry(output.stream.recipient().to_owned()).or_default();
            for piece in output.pieces {
                let Lines::Raw(bytes) = piece.lines else { panic!("few lines are not packed") };
                let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
                recipient.extend(lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()));
            }
        }
        let found: Vec<Value> = serde_json::from_str(&prepared.rejected).unwrap();
        self.refused.extend(found.iter().filter(|f| f["severity"] == "refuse").cloned());
        found
    }

    fn id(&self, key: &str) -> RecordId {
        let dataset = PLAN.dataset(DATASET).unwrap();
        dataset.identifier.id(self.upstream.as_str(), Naming::Upstream(key))
    }

    fn key(&self, recipient: &str, key: &str) -> String {
        let dataset = PLAN.dataset(DATASET).unwrap();
        let recipient = dataset.recipients.iter().find(|r| r.name == recipient).unwrap();
        recipient.keyer.key(&self.id(key)).hex().as_str().to_owned()
    }

    /// Withdraws a record from the portal in the relay's own name, as its end of publication does.
    fn end(&mut self, key: &str) {
        let line = json!({"op": "withdraw", "key": self.key(PORTAL, key), "rev": self.next_rev()});
        self.sent.entry(PORTAL.into()).or_default().push(line);
    }

    /// All that was remembered in memory alone is gone.
    fn restart(&mut self) {
        self.lineages = Lineages::default();
        self.lineages.taken_before(&UpstreamLane::new("city", &stream(Lane::Daily)), self.highest);
    }

    /// The version of a record that stands at a recipient: the highest rev of its key counts.
    fn version(&self, recipient: &str, key: &str) -> Option<String> {
        let key = self.key(recipient, key);
        let lines = self.sent.get(recipient).into_iter().flatten().filter(|line| line["key"] == key.as_str());
        let lines =
            lines.filter(|line| ["put", "withdraw", "repair"].contains(&line["op"].as_str().unwrap()));
        let last = lines.max_by_key(|line| line["rev"].as_u64().unwrap())?;
        Some(last["data"]["CF_WSH"].as_str()?.to_owned())
    }
}

/// The lines of the upstream, as it makes them.
struct Upstream {
    record: Value,
    rev: u64,
    lanes: [VecDeque<Value>; 2],
    /// By record: the version that stands, and the rev of the last line that says so.
    standing: Vec<(Option<String>, u64)>,
}

fn key(record: usize) -> String {
    format!("{:032x}", record + 1)
}

impl Upstream {
    fn new() -> Self {
        let record =
            Generator::new(3, day()).record_about(Table::Penalty2020, Some(SubjectKind::LegalPerson));
        let mut body = Vec::new();
        write_ndjson(std::slice::from_ref(&record), &mut body);
        Self {
            record: serde_json::from_slice(&body).unwrap(),
            rev: 0,
            lanes: [VecDeque::new(), VecDeque::new()],
            standing: vec![(None, 0); RECORDS],
        }
    }

    fn line(&mut self, op: Op, record: usize) -> Value {
        self.rev += 1;
        let data = match op {
            Op::Put => {
                let mut data = self.record.clone();
                data["CF_WSH"] = self.version().into();
                data
            }
            _ => json!({"reason": "mistake", "basis": "样撤〔2026〕1号", "effective": "2026/11/20"}),
        };
        json!({"op": op.name(), "key": key(record), "rev": self.rev, "audience": "public", "via": [], "data": data})
    }

    fn version(&self) -> String {
        format!("样罚〔2026〕{}号", self.rev)
    }

    /// A put goes through one lane, every other operation through both.
    fn act(&mut self, op: Op, record: usize, lane: Lane) {
        let line = self.line(op, record);
        match op {
            Op::Put => {
                self.standing[record] = (Some(self.version()), self.rev);
                self.lanes[usize::from(lane == Lane::History)].push_back(line);
            }
            _ => {
                if op.is_recall() {
                    self.standing[record] = (None, self.rev);
                }
                self.lanes.iter_mut().for_each(|lane| lane.push_back(line.clone()));
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Do {
    Act(Op, usize, Lane),
    /// The relay takes so many lines of a lane as one batch.
    Take(Lane, usize),
    /// The relay ends the publication of what stands.
    End(usize),
    Restart,
}

/// Runs the steps, lets everything arrive, and compares.
fn run(steps: &[Do]) {
    let (mut relay, mut upstream) = (Relay::new(), Upstream::new());
    // By record: the rev up to which what the upstream said had been taken when publication ended here.
    let (mut taken, mut ended) = ([0u64; RECORDS], [0u64; RECORDS]);
    let take = |relay: &mut Relay, upstream: &mut Upstream, taken: &mut [u64; RECORDS], lane, count| {
        let queue = &mut upstream.lanes[usize::from(lane == Lane::History)];
        let lines: Vec<Value> = queue.drain(..usize::min(count, queue.len())).collect();
        for line in &lines {
            let says_state = ["put", "withdraw", "repair"].contains(&line["op"].as_str().unwrap());
            for (record, newest) in taken.iter_mut().enumerate() {
                if says_state && line["key"] == key(record).as_str() {
                    *newest = (*newest).max(line["rev"].as_u64().unwrap());
                }
            }
        }
        relay.take(lane, &lines);
    };
    for step in steps {
        match *step {
            Do::Act(op, record, lane) => upstream.act(op, record, lane),
            Do::Take(lane, count) => take(&mut relay, &mut upstream, &mut taken, lane, count),
            Do::End(record) => {
                if relay.version(PORTAL, &key(record)).is_some() {
                    relay.end(&key(record));
                    ended[record] = taken[record];
                }
            }
            Do::Restart => relay.restart(),
        }
    }
    for lane in [Lane::Daily, Lane::History] {
        take(&mut relay, &mut upstream, &mut taken, lane, usize::MAX);
    }
    for (record, ((version, rev), ended)) in upstream.standing.iter().zip(ended).enumerate() {
        assert_eq!(relay.version(ARCHIVE, &key(record)), *version, "{:#?}", relay.sent[ARCHIVE]);
        let published = version.clone().filter(|_| *rev > ended);
        assert_eq!(relay.version(PORTAL, &key(record)), published, "{:#?}", relay.sent.get(PORTAL));
        let recalled = relay.tombstones.rev(DATASET, &relay.id(&key(record))).is_some();
        assert!(!(recalled && version.is_some()), "the relay counts as recalled what stands");
    }
    // Unique, and none of the upstream's.
    for lines in relay.sent.values() {
        let keys: std::collections::BTreeSet<_> =
            lines.iter().map(|l| (l["rev"].as_u64(), l["key"].to_string())).collect();
        let revs: std::collections::BTreeSet<_> = lines.iter().map(|l| l["rev"].as_u64()).collect();
        assert_eq!(keys.len(), revs.len(), "one rev, one record");
    }
}

fn step(lanes: Vec<Lane>, restarts: bool) -> impl Strategy<Value = Do> {
    let op = proptest::sample::select(vec![
        Op::Put,
        Op::Put,
        Op::Put,
        Op::Withdraw,
        Op::Repair,
        Op::Reinstate,
        Op::Dispute,
    ]);
    let lane = proptest::sample::select(lanes);
    prop_oneof![
        6 => (op, 0..RECORDS, lane.clone()).prop_map(|(op, record, lane)| Do::Act(op, record, lane)),
        4 => (lane, 1..4usize).prop_map(|(lane, count)| Do::Take(lane, count)),
        1 => (0..RECORDS).prop_map(Do::End),
        1 => Just(if restarts { Do::Restart } else { Do::Take(Lane::Daily, 1) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn recipients_hold_what_the_upstream_said_last(
        steps in proptest::collection::vec(step(vec![Lane::Daily, Lane::History], false), 1..40)
    ) {
        run(&steps);
    }

    /// Of what it does not remember the relay believes the daily lane.
    #[test]
    fn also_when_the_relay_starts_anew(steps in proptest::collection::vec(step(vec![Lane::Daily], true), 1..40)) {
        run(&steps);
    }
}

#[test]
fn a_restart_in_between_does_not_let_an_older_version_of_the_history_lane_win() {
    use Lane::{Daily, History};
    let steps = [
        Do::Act(Op::Put, 0, History),
        Do::Act(Op::Put, 0, Daily),
        Do::Take(Daily, 1),
        Do::Restart,
        Do::Take(History, 1),
    ];
    run(&steps);
}

#[test]
fn a_correction_stands_behind_an_end_of_publication_of_the_relay() {
    use Lane::Daily;
    for restart in [false, true] {
        let mut steps = vec![Do::Act(Op::Put, 0, Daily), Do::Take(Daily, 1), Do::End(0)];
        steps.extend(restart.then_some(Do::Restart));
        steps.push(Do::Act(Op::Put, 0, Daily));
        run(&steps);
    }
}

#[test]
fn one_batch_may_reinstate_put_and_recall_a_record() {
    use Op::{Put, Reinstate, Withdraw};
    let cases: [(&[Op], bool, bool); 4] = [
        (&[Reinstate, Put], true, false),
        (&[Reinstate, Withdraw], false, true),
        (&[Put, Withdraw, Reinstate], false, false),
        (&[Withdraw, Put], true, false),
    ];
    for (ops, stands, recalled) in cases {
        let (mut relay, mut upstream) = (Relay::new(), Upstream::new());
        let first = [upstream.line(Put, 0), upstream.line(Withdraw, 0)];
        relay.take(Lane::Daily, &first);
        let batch: Vec<Value> = ops.iter().map(|op| upstream.line(*op, 0)).collect();
        let found = relay.take(Lane::Daily, &batch);
        assert_eq!(found.iter().filter(|f| f["severity"] == "refuse").count(), 0, "{ops:?}: {found:?}");
        assert_eq!(relay.version(ARCHIVE, &key(0)).is_some(), stands, "{ops:?}");
        assert_eq!(relay.tombstones.rev(DATASET, &relay.id(&key(0))).is_some(), recalled, "{ops:?}");
    }
}

#[test]
fn an_older_reinstate_of_the_history_lane_leaves_a_newer_recall() {
    let (mut relay, mut upstream) = (Relay::new(), Upstream::new());
    let put = upstream.line(Op::Put, 0);
    let (first, reinstate, second) =
        (upstream.line(Op::Withdraw, 0), upstream.line(Op::Reinstate, 0), upstream.line(Op::Withdraw, 0));
    relay.take(Lane::Daily, &[put, first.clone(), reinstate.clone(), second]);
    relay.take(Lane::History, &[first, reinstate]);
    assert!(relay.tombstones.rev(DATASET, &relay.id(&key(0))).is_some());
    assert_eq!(relay.version(ARCHIVE, &key(0)), None);
}

#[test]
fn what_an_upstream_signs_is_refused_by_name_where_it_is_absurd_and_takes_no_room() {
    let (mut relay, mut upstream) = (Relay::new(), Upstream::new());
    let line = upstream.line(Op::Put, 0);
    let with = |member: &str, value: Value| {
        let mut line = line.clone();
        line[member] = value;
        line
    };
    let long: Vec<String> = (0..9).map(|n| format!("relay.example/35020{n}-credit")).collect();
    for (absurd, code) in [
        (with("rev", u64::MAX.into()), "relay.rev-out-of-range"),
        (with("rev", (1u64 << 53).into()), "relay.rev-out-of-range"),
        (with("rev", (revs::HIGHEST_TAKEN + 1).into()), "relay.rev-out-of-range"),
        (with("rev", 0.into()), "relay.rev-out-of-range"),
        (with("rev", (-1).into()), "relay.line-malformed"),
        (with("rev", 1.5.into()), "relay.line-malformed"),
        (with("via", json!(long)), "relay.too-far"),
        (with("via", json!(["not a node\n"])), "relay.via-malformed"),
        (with("via", json!(["x".repeat(5_000)])), "relay.via-malformed"),
        (with("key", "AB".into()), "relay.key-malformed"),
        (with("more", 1.into()), "relay.line-malformed"),
    ] {
        let found = relay.take(Lane::Daily, std::slice::from_ref(&absurd));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&found[0]["code"], &found[0]["severity"]), (&json!(code), &json!("refuse")), "{absurd}");
    }
    assert_eq!(relay.rev.get(), 1_000, "nothing of it is followed");
    // The highest that is taken leaves room for this node and for those behind it.
    relay.take(Lane::Daily, &[with("rev", revs::HIGHEST_TAKEN.into())]);
    assert!(relay.version(ARCHIVE, &key(0)).is_some() && relay.rev.get() < 1_100);
    relay.take(Lane::Daily, &[with("rev", revs::HIGHEST_FOLLOWED.into())]);
    assert!(relay.rev.get() < revs::HIGHEST_FOLLOWED + 100);
}
