//! Nodes that receive from each other in a ring, without I/O: whatever is sent comes to rest within one round, stands
//! where it should, and nothing that was recalled stays standing anywhere. The revs of all nodes begin at the same
//! number, so that they collide as those of real nodes do.
//!
//! Nodes of earlier versions are played by their own rules, line for line. All keep the rev of what they pass on. The version before
//! recalls carried `via` besides writes `via: []` into every recall it passes on, passes on whatever does not name it, and
//! draws plain revs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "registered/in_memory.rs"]
mod registered;

use proptest::prelude::*;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, LazyLock, Mutex};
use xinqiao_exchange::accept::{
    Prepared, RelayBatch, Submission, Surroundings, TombstoneChange, accept, accept_relayed,
};
use xinqiao_exchange::event::Encoding;
use xinqiao_exchange::known::{Known, Lineages, Newest, UpstreamLane};
use xinqiao_exchange::names::{Lane, NodeName, StreamId};
use xinqiao_exchange::op::{Load, Op};
use xinqiao_exchange::output::Lines;
use xinqiao_exchange::plan::{Plan, Recipient};
use xinqiao_exchange::secrets::{Naming, RecordId, RecordSecret};
use xinqiao_exchange::source::{Authority, Source, Unit};
use xinqiao_exchange::tombstones::Tombstones;
use xinqiao_schemas::synthetic::{Generator, Record, Table, write_ndjson};
use xinqiao_schemas::{
    Audience, Caps, Catalogue, Charset, Date, Format, LineHead, RecallLine, RecipientKind, SubjectKind,
    recall_line,
};

const DATASET: &str = "administrative-penalty";
const SENT: &str = "administrative-penalty-2017";
const WANTED: &str = "administrative-penalty-2020";
const GOVERNMENT: &str = "province-government";
const PUBLIC: &str = "portal-public";
const NEXT: &str = "next";
const ARCHIVE: &str = "archive";
const UPSTREAM: &str = "upstream";
/// Records of each node.
const RECORDS: usize = 3;

fn day() -> Date {
    Date::parse_accepted("2026-11-20").unwrap().0
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Version {
    /// This one.
    New,
    /// The one before relays drew revs of their own.
    Keeping,
    /// The one before recalls carried `via`.
    Old,
}

/// What a department does to one of its records.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Put,
    /// A new record in the place of this one; the new one is what the number means from then on.
    Replace,
    /// A version whose own status says that it was revoked.
    Revoked,
    /// A version that only authorities may see.
    Inner,
    /// A version that the schema of 2020 cannot hold.
    Unheld,
    About(Op),
}

const ACTS: [Act; 10] = [
    Act::Put,
    Act::Replace,
    Act::Revoked,
    Act::Inner,
    Act::Unheld,
    Act::About(Op::Withdraw),
    Act::About(Op::Repair),
    Act::About(Op::Dispute),
    Act::About(Op::Resolve),
    Act::About(Op::Reinstate),
];

/// Plans are made once: a catalogue takes long to read.
fn compiled(number: usize, recipients: &[Recipient]) -> Arc<Plan> {
    type Plans = BTreeMap<(usize, String), Arc<Plan>>;
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::builtin().unwrap());
    static PLANS: Mutex<Plans> = Mutex::new(BTreeMap::new());
    let secret = RecordSecret::new([number as u8 + 1; 32]);
    let make = || Arc::new(Plan::compile(&CATALOGUE, recipients, &secret).unwrap());
    PLANS.lock().unwrap().entry((number, format!("{recipients:?}"))).or_insert_with(make).clone()
}

struct Node {
    name: NodeName,
    version: Version,
    plan: Arc<Plan>,
    own: Source,
    upstream: Source,
    upstream_name: NodeName,
    rev: Cell<u64>,
    tombstones: Tombstones,
    register: registered::Register,
    lineages: Lineages,
    /// Lanes that lines went out in.
    used: BTreeSet<String>,
    records: Vec<Record>,
    replaced: usize,
    /// Lines from upstream that wait, by lane.
    inbox: [VecDeque<Vec<u8>>; 2],
    /// Every line the archive got.
    archive: Vec<Value>,
    /// Lines handed to the next node.
    sent: usize,
    looped: u32,
    refused: Vec<Value>,
}

fn upstream() -> UpstreamLane {
    UpstreamLane::new(UPSTREAM, &StreamId::parse(&format!("{NEXT}.{DATASET}")).unwrap())
}

fn lane_number(lane: Lane) -> usize {
    usize::from(lane == Lane::History)
}

impl Node {
    fn new(number: usize, of: usize, version: Version, policy: &str) -> Self {
        let name = |n: usize| NodeName::parse(&format!("ring.example/35020{n}-credit")).unwrap();
        let recipient = |name: &str, policy: &str, may_return| Recipient {
            name: name.into(),
            policy: policy.into(),
            datasets: BTreeMap::from([(DATASET.to_owned(), WANTED.to_owned())]),
            encoding: Encoding::Identity,
            may_return,
        };
        let recipients =
            [recipient(NEXT, policy, version != Version::Old), recipient(ARCHIVE, GOVERNMENT, false)];
        let plan = compiled(number, &recipients);
        let mut generator = Generator::new(number as u64 + 5, day()).with_references();
        let code = generator.record_about(Table::Penalty2020, Some(SubjectKind::LegalPerson));
        let code = code.get("CF_CFJGDM").unwrap().to_owned();
        let records = (0..RECORDS).map(|n| {
            let mut record = generator.record_about(Table::Penalty2017, Some(SubjectKind::LegalPerson));
            record.set("CF_WSH", format!("样罚〔2026〕{number}-{n}号"));
            record.set("ref", format!("n{number}-{n}"));
            // One that everyone gets, until an act says otherwise.
            record.set("CF_ZT", "0");
            record.set("CF_SYFW", "0");
            record
        });
        let records = records.collect();
        let source = |member: &str, code: String, relay| Source {
            member: member.into(),
            unit: Unit { code: code.trim_end_matches('*').to_owned(), name: "样例局".into() },
            datasets: vec![DATASET.into()],
            authorities: vec![Authority {
                code,
                name: String::new(),
                from: None,
                until: None,
                successor: None,
                lineage: None,
                uncoded_basis: None,
            }],
            lineage: member.into(),
            relay,
        };
        Self {
            name: name(number),
            version,
            plan,
            own: source("bureau", code, false),
            upstream: source("upstream", "*".into(), true),
            upstream_name: name((number + of - 1) % of),
            rev: Cell::new(0),
            tombstones: Tombstones::default(),
            register: registered::Register::default(),
            lineages: Lineages::default(),
            used: BTreeSet::new(),
            records,
            replaced: 0,
            inbox: [VecDeque::new(), VecDeque::new()],
            archive: Vec::new(),
            sent: 0,
            looped: 0,
            refused: Vec::new(),
        }
    }

    fn next_rev(&self) -> u64 {
        self.rev.set(self.rev.get() + 1);
        self.rev.get()
    }

    fn with_surroundings<T>(&self, work: impl FnOnce(&Surroundings<'_>) -> T) -> T {
        let leap = |next: &dyn Fn(u64) -> u64| {
            self.rev.set(next(self.rev.get()));
            self.rev.get()
        };
        work(&Surroundings {
            next_rev: &|| self.next_rev(),
            leap_rev: &leap,
            known: &|id| {
                let recalled = self.tombstones.rev(DATASET, id);
                match self.version {
                    Version::New => Known::of_another_node(recalled, self.lineages.newest(&upstream(), id)),
                    // What is not known to be the newest keeps its rev.
                    Version::Keeping | Version::Old => {
                        Known { recalled, newest: Newest { forgotten: u64::MAX, ..Newest::default() } }
                    }
                }
            },
            registered: &|key| self.register.get(key),
            has_older: false,
            stream_in_use: &|stream| self.used.contains(stream.as_str()),
            make_room: &|| {},
        })
    }

    /// One submission of its own department; lines for the next node come back.
    fn act(&mut self, act: Act, which: usize, load: Load) -> [Vec<u8>; 2] {
        let which = which % RECORDS;
        let mut record = self.records[which].clone();
        let reference = record.get("ref").unwrap().to_owned();
        let (mut op, mut body) = (Op::Put, Vec::new());
        match act {
            Act::Put => {}
            Act::Replace => {
                self.replaced += 1;
                record.set("ref", format!("{reference}-{}", self.replaced));
                self.records[which] = record.clone();
            }
            Act::Revoked => record.set("CF_ZT", "1"),
            Act::Inner => record.set("CF_SYFW", "1"),
            Act::Unheld => record.set("BZ", "备注".repeat(300)),
            Act::About(about) => op = about,
        }
        if op == Op::Put {
            write_ndjson(std::slice::from_ref(&record), &mut body);
            if act == Act::Replace {
                let mut value: Value = serde_json::from_slice(&body).unwrap();
                value["replaces"] = reference.into();
                body = value.to_string().into_bytes();
            }
        } else {
            let basis = "样信修〔2026〕1号";
            let recall =
                json!({"ref": reference, "reason": "decided", "basis": basis, "effective": "2026/11/20"});
            body = recall.to_string().into_bytes();
        }
        let dataset = self.plan.dataset(DATASET).unwrap();
        let submission = Submission {
            dataset,
            schema: dataset.schema(Some(SENT)).unwrap(),
            source: &self.own,
            op,
            load,
            format: Format::Ndjson,
            charset: Charset::Utf8,
            body: &body,
            received: day(),
            caps: &Caps::default(),
        };
        let prepared = self.with_surroundings(|around| accept(&submission, around)).unwrap();
        let refused: Value = serde_json::from_str(&prepared.rejected).unwrap();
        assert!(
            prepared.accepted == 1 || refused[0]["code"] == "record.recalled",
            "{act:?}: {}",
            prepared.rejected
        );
        let held = !prepared.rejected.contains("map.taken-back");
        assert!(held || act == Act::Unheld, "{act:?}: {}", prepared.rejected);
        self.commit(prepared)
    }

    fn commit(&mut self, prepared: Prepared) -> [Vec<u8>; 2] {
        self.register.take(0, &prepared.facts);
        for change in &prepared.tombstones {
            match change {
                TombstoneChange::Set(r) => self.tombstones.add(DATASET, r.id, r.lineage_rev()),
                TombstoneChange::Lift { id, rev } => self.tombstones.remove(DATASET, id, Some(*rev)),
            }
        }
        for t in prepared.touched.iter().filter(|t| t.origin != 0) {
            self.lineages.note(&upstream(), t.id, t.op, t.origin);
        }
        let mut out = [Vec::new(), Vec::new()];
        for output in prepared.outputs {
            self.used.insert(output.stream.as_str().to_owned());
            for piece in output.pieces {
                let Lines::Raw(bytes) = piece.lines else { panic!("few lines are not packed") };
                match output.stream.recipient() {
                    NEXT => out[lane_number(output.stream.lane())].extend_from_slice(&bytes),
                    _ => self.archive.extend(parsed(&bytes)),
                }
            }
        }
        self.sent += out.iter().map(|lines| parsed(lines).count()).sum::<usize>();
        out
    }

    /// Takes the oldest batch of a lane; lines for the next node come back.
    fn relay(&mut self, lane: Lane) -> [Vec<u8>; 2] {
        let lines = self.inbox[lane_number(lane)].pop_front().unwrap();
        match self.version {
            Version::New => self.relay_lines(lane, &lines),
            Version::Keeping | Version::Old => {
                let mut out = [Vec::new(), Vec::new()];
                for line in lines.split_inclusive(|b| *b == b'\n') {
                    let value: Value = serde_json::from_slice(line).unwrap();
                    let named = value["via"].as_array().unwrap().iter().any(|v| v == self.name.as_str());
                    let made = match value["op"].as_str().unwrap() {
                        _ if named => self.relay_lines(lane, line),
                        "put" if self.knows_of_a_later_recall(&value) => continue,
                        "put" => self.relay_lines(lane, line),
                        "withdraw" | "repair"
                            if self.version == Version::Keeping && self.knows_of_a_later_recall(&value) =>
                        {
                            continue;
                        }
                        _ if self.version == Version::Keeping => self.relay_lines(lane, line),
                        _ => self.old_recall(lane, &value),
                    };
                    for (all, some) in out.iter_mut().zip(made) {
                        all.extend(some);
                    }
                }
                out
            }
        }
    }

    fn relay_lines(&mut self, lane: Lane, lines: &[u8]) -> [Vec<u8>; 2] {
        let dataset = self.plan.dataset(DATASET).unwrap();
        let batch = RelayBatch {
            dataset,
            schema: dataset.schema(Some(WANTED)).unwrap(),
            source: &self.upstream,
            upstream: &self.upstream_name,
            own: &self.name,
            lane,
            manifest_digest: "00",
            lines,
            received: day(),
            caps: &Caps::default(),
            observe_rev: &|rev| self.rev.set(self.rev.get().max(rev)),
        };
        let prepared = self.with_surroundings(|around| accept_relayed(batch, around)).prepared;
        self.looped += prepared.looped;
        let found: Value = serde_json::from_str(&prepared.rejected).unwrap();
        self.refused.extend(found.as_array().unwrap().iter().filter(|f| f["severity"] == "refuse").cloned());
        self.commit(prepared)
    }

    fn upstream_id(&self, line: &Value) -> RecordId {
        let naming = Naming::Upstream(line["key"].as_str().unwrap());
        self.plan.dataset(DATASET).unwrap().identifier.id(self.upstream_name.as_str(), naming)
    }

    fn knows_of_a_later_recall(&self, line: &Value) -> bool {
        self.tombstones
            .rev(DATASET, &self.upstream_id(line))
            .is_some_and(|rev| rev >= line["rev"].as_u64().unwrap())
    }

    /// What the version before made of a recall that does not name it: `recall_everywhere` with `via: []`.
    fn old_recall(&mut self, lane: Lane, line: &Value) -> [Vec<u8>; 2] {
        let (op, rev) = (Op::parse(line["op"].as_str().unwrap()).unwrap(), line["rev"].as_u64().unwrap());
        self.rev.set(self.rev.get().max(rev));
        let dataset = self.plan.dataset(DATASET).unwrap();
        let id = self.upstream_id(line);
        match op {
            Op::Withdraw | Op::Repair => self.tombstones.add(DATASET, id, rev),
            Op::Reinstate => self.tombstones.remove(DATASET, &id, None),
            _ => {}
        }
        let effective = Date::parse_accepted(line["data"]["effective"].as_str().unwrap()).unwrap().0;
        let mut out = [Vec::new(), Vec::new()];
        for recipient in &dataset.recipients {
            let told = if recipient.kind == RecipientKind::Government {
                let text = |member: &str| line["data"][member].as_str().unwrap();
                RecallLine { reason: text("reason"), basis: text("basis"), effective }
            } else {
                RecallLine { reason: "withdrawn", basis: "", effective }
            };
            let key = recipient.keyer.key(&id).hex();
            let head = LineHead { op: op.name(), key: key.as_str(), rev, via: &[], reference: None };
            let mut bytes = Vec::new();
            recall_line(&head, Audience::Public, &told, &mut bytes);
            bytes.push(b'\n');
            for to in [Lane::Daily, Lane::History] {
                if to != lane && !self.used.contains(recipient.stream(to).as_str()) {
                    continue;
                }
                self.used.insert(recipient.stream(to).as_str().to_owned());
                match recipient.name.as_str() {
                    NEXT => out[lane_number(to)].extend_from_slice(&bytes),
                    _ => self.archive.extend(parsed(&bytes)),
                }
            }
        }
        self.sent += out.iter().map(|lines| parsed(lines).count()).sum::<usize>();
        out
    }

    /// The document numbers that stand in the archive: of each key the highest rev counts, in whatever order it came.
    fn standing(&self) -> Vec<String> {
        let mut last: BTreeMap<&str, &Value> = BTreeMap::new();
        for line in
            self.archive.iter().filter(|l| ["put", "withdraw", "repair"].contains(&l["op"].as_str().unwrap()))
        {
            let newest = last.entry(line["key"].as_str().unwrap()).or_insert(line);
            if line["rev"].as_u64() > newest["rev"].as_u64() {
                *newest = line;
            }
        }
        let mut all: Vec<String> = last
            .values()
            .filter(|l| l["op"] == "put")
            .map(|l| l["data"]["CF_WSH"].as_str().unwrap().to_owned())
            .collect();
        all.sort();
        all
    }
}

fn parsed(lines: &[u8]) -> impl Iterator<Item = Value> + '_ {
    lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap())
}

struct Ring {
    nodes: Vec<Node>,
    /// Lines that began at a node: how many went to its neighbour.
    begun: usize,
    /// By node and record, as its department wants it: the numbers that stand.
    wanted: BTreeMap<(usize, usize), bool>,
    recalled: BTreeSet<(usize, usize)>,
}

impl Ring {
    fn new(versions: &[Version], policies: &[&str]) -> Self {
        let nodes = versions.iter().zip(policies).enumerate();
        let nodes =
            nodes.map(|(n, (version, policy))| Node::new(n, versions.len(), *version, policy)).collect();
        Self { nodes, begun: 0, wanted: BTreeMap::new(), recalled: BTreeSet::new() }
    }

    fn act(&mut self, at: usize, act: Act, which: usize, load: Load) {
        let at = at % self.nodes.len();
        let before = self.nodes[at].sent;
        let out = self.nodes[at].act(act, which, load);
        self.begun += self.nodes[at].sent - before;
        let place = (at, which % RECORDS);
        match act {
            // A new reference: what was recalled of the old one does not keep it back.
            Act::Replace => {
                self.recalled.remove(&place);
                self.wanted.insert(place, true);
            }
            Act::Put | Act::Inner if !self.recalled.contains(&place) => {
                self.wanted.insert(place, true);
            }
            Act::Unheld if !self.recalled.contains(&place) => {
                self.wanted.insert(place, false);
            }
            Act::Revoked | Act::About(Op::Withdraw | Op::Repair) => {
                // A put with a revoked status is refused too where the record was recalled.
                self.recalled.insert(place);
                self.wanted.insert(place, false);
            }
            Act::About(Op::Reinstate) => {
                self.recalled.remove(&place);
            }
            _ => {}
        }
        self.hand_on(at, out);
    }

    fn hand_on(&mut self, at: usize, out: [Vec<u8>; 2]) {
        let next = (at + 1) % self.nodes.len();
        for (inbox, lines) in self.nodes[next].inbox.iter_mut().zip(out) {
            if !lines.is_empty() {
                inbox.push_back(lines);
            }
        }
    }

    fn waiting(&self) -> Vec<(usize, Lane)> {
        let lanes = [Lane::Daily, Lane::History];
        let all = self.nodes.iter().enumerate().flat_map(|(n, node)| {
            lanes.iter().zip(&node.inbox).filter(|(_, q)| !q.is_empty()).map(move |(lane, _)| (n, *lane))
        });
        all.collect()
    }

    /// Lets one waiting batch be taken; false if there is none.
    fn step(&mut self, choice: usize) -> bool {
        let waiting = self.waiting();
        if waiting.is_empty() {
            return false;
        }
        let (at, lane) = waiting[choice % waiting.len()];
        let out = self.nodes[at].relay(lane);
        self.hand_on(at, out);
        true
    }

    /// Until nothing waits. Far beyond any bound that is tested: an endless ring fails here.
    fn rest(&mut self, mut choice: impl FnMut() -> usize) {
        let most = 10_000;
        assert!((0..most).any(|_| !self.step(choice())), "the ring does not come to rest");
    }

    fn travelled(&self) -> usize {
        self.nodes.iter().map(|n| n.sent).sum()
    }

    /// What stands in every archive is what the departments want to stand, once.
    fn check_standing(&self) {
        let wanted: Vec<String> = self
            .wanted
            .iter()
            .filter(|(_, stands)| **stands)
            .map(|((node, record), _)| format!("样罚〔2026〕{node}-{record}号"))
            .collect();
        for node in &self.nodes {
            let archive = &node.archive;
            assert_eq!(node.standing(), wanted, "at {}: {archive:#?}", node.name.as_str());
        }
    }

    /// Nothing that its department recalled stands anywhere.
    fn check_recalled(&self) {
        let gone: Vec<String> =
            self.recalled.iter().map(|(node, record)| format!("样罚〔2026〕{node}-{record}号")).collect();
        for node in &self.nodes {
            let standing = node.standing();
            assert!(
                !standing.iter().any(|n| gone.contains(n)),
                "{gone:?} {standing:?} at {}",
                node.name.as_str()
            );
        }
    }
}

/// Small, repeatable choices.
fn dice(seed: u64) -> impl FnMut() -> usize {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    }
}

fn versions(of: usize, old: Option<(usize, Version)>) -> Vec<Version> {
    (0..of).map(|n| old.filter(|(at, _)| *at == n).map_or(Version::New, |(_, version)| version)).collect()
}

/// No node of an earlier version, or one of each at each of these places.
fn one_older(places: std::ops::Range<usize>) -> impl Iterator<Item = Option<(usize, Version)>> {
    let older = places.flat_map(|at| [Version::Keeping, Version::Old].map(|version| Some((at, version))));
    std::iter::once(None).chain(older)
}

#[test]
fn every_operation_goes_round_once() {
    for of in [2, 3] {
        for old in one_older(0..of) {
            for at in 0..of {
                for act in ACTS {
                    let mut ring = Ring::new(&versions(of, old), &vec![GOVERNMENT; of]);
                    ring.act(at, Act::Put, 0, Load::Daily);
                    ring.rest(|| 0);
                    ring.act(at, act, 0, Load::Daily);
                    ring.rest(|| 0);
                    let (travelled, begun) = (ring.travelled(), ring.begun);
                    assert!(
                        travelled <= of * begun,
                        "{act:?} at {at} of {of}, old {old:?}: {travelled} lines from {begun}"
                    );
                    ring.check_standing();
                }
            }
        }
    }
}

#[test]
fn what_comes_back_is_counted_and_told_once() {
    let mut ring = Ring::new(&versions(2, None), &[GOVERNMENT; 2]);
    for act in [Act::Put, Act::About(Op::Dispute), Act::About(Op::Resolve), Act::About(Op::Withdraw)] {
        ring.act(0, act, 0, Load::Daily);
        ring.rest(|| 0);
    }
    assert_eq!((ring.nodes[0].looped, ring.nodes[1].looped), (4, 0));
    assert!(ring.nodes[0].refused.iter().all(|f| f["code"] == "relay.loop"));
    assert_eq!(ring.nodes[0].refused.len(), 4);
}

#[test]
fn recalls_say_which_way_they_came_and_a_department_s_own_do_not() {
    let mut ring = Ring::new(&versions(3, None), &[GOVERNMENT; 3]);
    ring.act(0, Act::Put, 0, Load::Daily);
    ring.act(0, Act::About(Op::Dispute), 0, Load::Daily);
    ring.act(0, Act::About(Op::Repair), 0, Load::Daily);
    ring.rest(|| 0);
    let via =
        |node: usize| -> Vec<Value> { ring.nodes[node].archive.iter().map(|l| l["via"].clone()).collect() };
    let name = |n: usize| ring.nodes[n].name.as_str();
    assert_eq!(via(0), vec![json!([]); 3]);
    assert_eq!(via(1), vec![json!([name(0)]); 3]);
    assert_eq!(via(2), vec![json!([name(0), name(1)]); 3]);
}

#[test]
fn a_later_recall_of_the_same_record_passes() {
    for old in one_older(0..2) {
        let mut ring = Ring::new(&versions(2, old), &[GOVERNMENT; 2]);
        ring.act(0, Act::Put, 0, Load::Daily);
        ring.rest(|| 0);
        for op in [Op::Dispute, Op::Resolve, Op::Dispute, Op::Withdraw, Op::Withdraw, Op::Repair, Op::Repair]
        {
            let before = ring.nodes[1].archive.len();
            ring.act(0, Act::About(op), 0, Load::Daily);
            ring.rest(|| 0);
            let got = &ring.nodes[1].archive[before..];
            assert!(got.len() == 1 && got[0]["op"] == op.name(), "{op:?}, old {old:?}: {got:?}");
        }
    }
}

#[test]
fn the_same_rev_of_two_nodes_is_not_the_same_recall() {
    // Both draw their revs before either hears of the other, and recall on the same day for the same reason.
    for old in one_older(0..2) {
        let mut ring = Ring::new(&versions(2, old), &[GOVERNMENT; 2]);
        for at in [0, 1] {
            for which in 0..RECORDS {
                ring.act(at, Act::Put, which, Load::Daily);
            }
        }
        for at in [0, 1] {
            for which in 0..RECORDS {
                ring.act(at, Act::About(Op::Withdraw), which, Load::Daily);
            }
        }
        ring.rest(|| 0);
        for node in &ring.nodes {
            assert_eq!(node.archive.iter().filter(|l| l["op"] == "withdraw").count() % (2 * RECORDS), 0);
        }
        ring.check_standing();
    }
}

#[test]
fn a_version_that_cannot_be_held_takes_the_older_one_back_and_a_later_one_stands() {
    let mut ring = Ring::new(&versions(2, None), &[GOVERNMENT; 2]);
    for (act, stands) in
        [(Act::Put, 1), (Act::Unheld, 0), (Act::Put, 1), (Act::About(Op::Withdraw), 0), (Act::Put, 0)]
    {
        ring.act(0, act, 0, Load::Daily);
        ring.rest(|| 0);
        for node in &ring.nodes {
            assert_eq!(node.standing().len(), stands, "{act:?} at {}", node.name.as_str());
        }
    }
    let archive = &ring.nodes[0].archive;
    let ops: Vec<&str> = archive.iter().map(|l| l["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["put", "withdraw", "put", "withdraw"]);
    assert_eq!(archive[1]["data"], json!({"reason": "withdrawn", "basis": "", "effective": "2026/11/20"}));
}

#[test]
fn both_lanes_carry_a_recall_round_once() {
    for old in one_older(0..2) {
        let mut ring = Ring::new(&versions(2, old), &[GOVERNMENT; 2]);
        ring.act(0, Act::Put, 0, Load::Daily);
        ring.act(0, Act::Put, 1, Load::History);
        ring.act(1, Act::Put, 0, Load::History);
        ring.rest(|| 0);
        let mut choice = dice(11);
        for at in [0, 1] {
            ring.act(at, Act::About(Op::Withdraw), 0, Load::Daily);
            ring.act(at, Act::About(Op::Repair), 1, Load::Daily);
            ring.rest(&mut choice);
        }
        ring.check_recalled();
    }
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act, usize, usize)>> {
    let act = (0..3usize, proptest::sample::select(ACTS.to_vec()), 0..RECORDS, 0..4usize);
    proptest::collection::vec(act, 1..24)
}

fn older() -> impl Strategy<Value = Version> {
    proptest::sample::select(vec![Version::Keeping, Version::Old])
}

/// Runs a list of acts with some of the traffic between them, then to rest.
fn run(ring: &mut Ring, acts: &[(usize, Act, usize, usize)], seed: u64) {
    let mut choice = dice(seed);
    for (at, act, which, steps) in acts {
        ring.act(*at, *act, *which, Load::Daily);
        for _ in 0..*steps {
            ring.step(choice());
        }
    }
    ring.rest(choice);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sent_comes_to_rest_and_stands_where_it_should(of in 2..4usize, acts in acts(), seed in any::<u64>()) {
        let mut ring = Ring::new(&versions(of, None), &vec![GOVERNMENT; of]);
        run(&mut ring, &acts, seed);
        prop_assert!(ring.travelled() <= of * ring.begun);
        ring.check_standing();
    }

    #[test]
    fn with_an_old_node_in_the_ring_too(of in 2..4usize, old in 0..3usize, version in older(), acts in acts(), seed in any::<u64>()) {
        let mut ring = Ring::new(&versions(of, Some((old % of, version))), &vec![GOVERNMENT; of]);
        run(&mut ring, &acts, seed);
        prop_assert!(ring.travelled() <= of * ring.begun, "{} lines from {}", ring.travelled(), ring.begun);
        ring.check_recalled();
    }

    #[test]
    fn with_public_edges_too(
        of in 2..4usize, old in proptest::option::of((0..3usize, older())), public in 0..8usize, acts in acts(), seed in any::<u64>()
    ) {
        let policies: Vec<&str> = (0..of).map(|n| if public >> n & 1 == 1 { PUBLIC } else { GOVERNMENT }).collect();
        let mut ring = Ring::new(&versions(of, old.map(|(n, version)| (n % of, version))), &policies);
        run(&mut ring, &acts, seed);
        // A put that another node than the first withholds, just before an old node, goes on to that node once more.
        prop_assert!(ring.travelled() <= 2 * of * ring.begun, "{} lines from {}", ring.travelled(), ring.begun);
        ring.check_recalled();
    }
}
