//! The domain run without I/O: lists of operations on one made-up node, checked against what must always hold.
//!
//! Every accepted record is in exactly one batch of its stream unless it was recalled first; nothing recalled is sealed
//! again; replaying the frames gives the same state and rows; a bug once found stays here as a literal list.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "registered/in_memory.rs"]
mod registered;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use xinqiao_crypto::hex;
use xinqiao_evidence::receipt::Salt;
use xinqiao_exchange::accept::{Submission, Surroundings, accept};
use xinqiao_exchange::event::{Acknowledged, Encoding, Event, FrameRecord, KeyRange, Outcome, Part, Sealed};
use xinqiao_exchange::group::{Change, Group, Item, Kind, Ready};
use xinqiao_exchange::known::Known;
use xinqiao_exchange::names::{Lane, StreamId};
use xinqiao_exchange::op::{Load, Op};
use xinqiao_exchange::payload::decompress;
use xinqiao_exchange::plan::{Plan, Recipient};
use xinqiao_exchange::register::KEPT_NONE;
use xinqiao_exchange::seal::{Pending, PendingRecall, payload};
use xinqiao_exchange::secrets::{RecordId, RecordKey, RecordSecret};
use xinqiao_exchange::source::{Authority, Source, Unit};
use xinqiao_exchange::state::{
    Applied, BatchRow, ChunkRow, INDEXED, IndexRow, Place, Rows, Settled, State, Table, index_key, stream_key,
};
use xinqiao_exchange::tombstones::Tombstones;
use xinqiao_schemas::synthetic::{Generator, Record, write_ndjson};
use xinqiao_schemas::{Caps, Catalogue, Charset, Date, Format, SubjectKind, synthetic};

const DATASET: &str = "administrative-penalty";
const SCHEMA: &str = "administrative-penalty-2020";

/// A frame as the journal would keep it.
struct Kept {
    record: Vec<u8>,
    items: Vec<Item>,
}

type AllRows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

struct Node {
    plan: Plan,
    source: Source,
    today: Date,
    state: State,
    rows: AllRows,
    /// What indexes hold, by number from zero.
    indexes: Vec<AllRows>,
    /// The rows as they would be if none ever left.
    all: AllRows,
    frames: Vec<Kept>,
    tombstones: Tombstones,
    register: registered::Register,
    /// It is of a version that writes no facts.
    is_older: bool,
    /// What was found in the last body.
    found: serde_json::Value,
    rev: std::cell::Cell<u64>,
    records: Vec<Record>,
}

fn day() -> Date {
    Date::parse_accepted("2026-11-20").unwrap().0
}

impl Node {
    fn new(records: usize) -> Self {
        let catalogue = Catalogue::builtin().unwrap();
        let recipient = |name: &str, policy: &str, encoding| Recipient {
            name: name.into(),
            policy: policy.into(),
            datasets: BTreeMap::from([(DATASET.to_owned(), SCHEMA.to_owned())]),
            encoding,
            may_return: false,
        };
        let recipients = [
            recipient("province", "province-government", Encoding::Zstd),
            recipient("portal", "portal-public", Encoding::Gzip),
        ];
        let plan = Plan::compile(&catalogue, &recipients, &RecordSecret::new([9; 32])).unwrap();
        let mut generator = Generator::new(7, day()).with_references();
        let records: Vec<Record> = (0..records)
            .map(|_| generator.record_about(synthetic::Table::Penalty2020, Some(SubjectKind::LegalPerson)))
            .collect();
        let codes: BTreeSet<&str> = records.iter().filter_map(|r| r.get("CF_CFJGDM")).collect();
        let authority = |code: &&str| Authority {
            code: (*code).to_owned(),
            name: String::new(),
            from: None,
            until: None,
            successor: None,
            lineage: None,
            uncoded_basis: None,
        };
        let source = Source {
            member: "market".into(),
            unit: Unit::default(),
            datasets: vec![DATASET.into()],
            authorities: codes.iter().map(authority).collect(),
            lineage: "market".into(),
            relay: false,
        };
        Self {
            plan,
            source,
            today: day(),
            state: State::default(),
            rows: AllRows::new(),
            indexes: Vec::new(),
            all: AllRows::new(),
            frames: Vec::new(),
            tombstones: Tombstones::default(),
            register: registered::Register::default(),
            is_older: false,
            found: serde_json::Value::Null,
            rev: std::cell::Cell::new(0),
            records,
        }
    }

    /// Sends one body; accepted and refused come back.
    fn send(&mut self, op: Op, load: Load, body: &[u8]) -> (u32, u32) {
        let dataset = self.plan.dataset(DATASET).unwrap();
        let submission = Submission {
            dataset,
            schema: dataset.schema(Some(SCHEMA)).unwrap(),
            source: &self.source,
            op,
            load,
            format: Format::Ndjson,
            charset: Charset::Utf8,
            body,
            received: self.today,
            caps: &Caps::default(),
        };
        let next_rev = || {
            self.rev.set(self.rev.get() + 1);
            self.rev.get()
        };
        let around = Surroundings {
            next_rev: &next_rev,
            leap_rev: &|_| unreachable!("no recipient is a node"),
            known: &|id| Known::of_own(self.tombstones.rev(DATASET, id)),
            registered: &|key| self.register.get(key),
            has_older: self.register.get(&KEPT_NONE).is_some(),
            stream_in_use: &|s| self.state.streams.contains_key(s),
            make_room: &|| {},
        };
        let prepared = accept(&submission, &around).unwrap();
        let counts = (prepared.accepted, prepared.refused);
        self.found = serde_json::from_str(&prepared.rejected).unwrap();
        if counts.0 > 0 {
            let descriptions = dataset.recipients.iter().map(|r| r.description.clone()).collect();
            let salt = Salt::generate().unwrap();
            let ready = Ready::new(prepared, ("market", DATASET, op), &salt, b"{}".to_vec(), descriptions);
            self.commit(|group| {
                group.submission(ready);
            });
        }
        counts
    }

    fn put(&mut self, which: &[usize], load: Load) -> (u32, u32) {
        let records: Vec<Record> =
            which.iter().map(|n| self.records[n % self.records.len()].clone()).collect();
        let mut body = Vec::new();
        write_ndjson(&records, &mut body);
        self.send(Op::Put, load, &body)
    }

    fn about(&mut self, op: Op, which: usize) {
        let reference = self.records[which % self.records.len()].get("ref").unwrap().to_owned();
        let body = format!(
            r#"{{"ref":"{reference}","reason":"mistake","basis":"样信修〔2026〕1号","effective":"2026/11/20"}}"#
        );
        let (accepted, refused) = self.send(op, Load::Daily, body.as_bytes());
        assert_eq!((accepted, refused), (1, 0));
    }

    fn commit(&mut self, fill: impl FnOnce(&mut Group<'_>)) {
        let state = self.state.clone();
        let current = |s: &StreamId| state.streams.get(s).and_then(|h| h.descriptions.last().cloned());
        let mut group = Group::new(state.meta.epoch, state.meta.log_size, &current);
        fill(&mut group);
        let mut frame = group.finish();
        frame.record.rev_high = self.rev.get();
        if self.is_older {
            frame.record.events.retain(|event| !matches!(event, Event::Registered { .. }));
        }
        self.register.frame(&frame.record, &frame.items);
        let kept = Kept { record: serde_json::to_vec(&frame.record).unwrap(), items: frame.items };
        let number = self.frames.len() as u64;
        let changes = apply(&mut self.state, &mut self.rows, &self.indexes, &kept, number);
        for ((table, key), value) in changes.changes.into_iter().filter(|((t, _), _)| *t != Table::Index) {
            match value {
                Some(v) => self.all.insert((table, key), v),
                None => self.all.remove(&(table, key)),
            };
        }
        for event in &frame.record.events {
            let id = |hex: &str| RecordId(RecordKey::parse(hex).unwrap().0);
            match event {
                Event::Recalled(r) => self.tombstones.add(&r.dataset, id(&r.id), r.lineage_rev()),
                Event::Reinstated { dataset, id: hex, rev } => {
                    self.tombstones.remove(dataset, &id(hex), *rev)
                }
                _ => {}
            }
        }
        self.frames.push(kept);
    }

    fn bytes(&self, p: Place) -> &[u8] {
        let (_, frame, item, ..) = p.into_parts();
        &self.frames[frame as usize].items[usize::from(item)].bytes
    }

    fn row<T: serde::de::DeserializeOwned>(&self, table: Table, key: &[u8]) -> Option<T> {
        kept(&self.rows, &self.indexes, table, key).map(|v| serde_json::from_slice(&v).unwrap())
    }

    /// Erases the payload of every answered batch of a stream, as retention does.
    fn erase(&mut self, stream: &StreamId) {
        let Some(head) = self.state.streams.get(stream).cloned() else { return };
        for seq in 1..head.next_seq {
            let b: BatchRow = self.row(Table::Batch, &stream_key(head.batches, seq)).unwrap();
            if b.erased {
                continue;
            }
            let batches = Some(head.batches);
            let event = Event::Erased {
                stream: stream.clone(),
                batches,
                seq,
                taken_back: false,
                expired: false,
                requeued: false,
                feedback: Vec::new(),
            };
            self.commit(|g| {
                g.change(Change { events: vec![event], ..Change::default() });
            });
        }
    }

    /// Rows of frames before this one leave for an index, where they may. `also` comes into the frame in which batches
    /// leave.
    fn index(&mut self, frame: u64, also: Option<Event>) {
        let mut settled = Settled::before(frame + 1, 1);
        let mut file = AllRows::new();
        let mut ranges: Vec<KeyRange> = Vec::new();
        for table in INDEXED {
            type Rows = Vec<(Vec<u8>, Vec<u8>)>;
            let mut groups: BTreeMap<Vec<u8>, Rows> = BTreeMap::new();
            for ((t, key), value) in &self.rows {
                if *t == table {
                    let group = Settled::group_of(table, key).to_vec();
                    groups.entry(group).or_default().push((key.clone(), value.clone()));
                }
            }
            for (group, rows) in groups {
                let before = self.rows.keys().filter(|(t, k)| *t == Table::Index && k[0] == table as u8);
                let mut before = before.map(|(_, k)| k[1..].to_vec());
                let end = before.rfind(|last| Settled::group_of(table, last) == group.as_slice());
                end.iter().for_each(|last| settled.left(table, last));
                let rows = rows.into_iter().filter(|(key, _)| end.as_ref().is_none_or(|end| key > end));
                let leaving: Vec<_> =
                    rows.take_while(|(key, value)| settled.may_leave(table, key, value).unwrap()).collect();
                if let (Some((first, _)), Some((last, _))) = (leaving.first(), leaving.last()) {
                    ranges.push(KeyRange {
                        table: table as u8,
                        first: hex::encode(first),
                        last: hex::encode(last),
                    });
                }
                file.extend(leaving.into_iter().map(|(key, value)| ((table, key), value)));
            }
        }
        if ranges.is_empty() {
            return;
        }
        let number = self.indexes.len() as u64;
        self.indexes.push(file);
        let events = vec![Event::Indexed { number, ranges: ranges.clone() }];
        self.commit(|g| {
            g.change(Change { events, ..Change::default() });
        });
        let mut also = also;
        for range in ranges {
            let with_batches = range.table == Table::Batch as u8;
            let mut events = vec![Event::RowsLeft(range)];
            events.extend(also.take_if(|_| with_batches));
            self.commit(|g| {
                g.change(Change { events, ..Change::default() });
            });
        }
    }

    /// Every row reads as if none had ever left, and those of an index are not in the queue any more.
    fn check_rows(&self) {
        for ((table, key), value) in &self.all {
            let found = kept(&self.rows, &self.indexes, *table, key);
            assert_eq!(found.as_ref(), Some(value), "a row of {table:?} reads otherwise");
        }
        let queued = self.rows.keys().filter(|(t, _)| *t != Table::Index);
        assert!(queued.into_iter().all(|key| self.all.contains_key(key)), "a row comes back");
    }

    /// Seals everything that waits in a stream, as one batch.
    fn seal(&mut self, stream: &StreamId) {
        let Some(head) = self.state.streams.get(stream).cloned() else { return };
        if head.first_unsealed >= head.next_chunk {
            return;
        }
        let chunks: Vec<Pending> = (head.first_unsealed..head.next_chunk)
            .map(|n| {
                let row: ChunkRow = self.row(Table::Chunk, &stream_key(head.id, n)).unwrap();
                let mut bytes = self.bytes(row.payload).to_vec();
                row.rest.iter().for_each(|p| bytes.extend_from_slice(self.bytes(*p)));
                let table = self.bytes(row.table).to_vec();
                let pieces = 1 + row.rest.len();
                Pending { number: n, payload: bytes, pieces, rewritten: false, table, origins: row.origins }
            })
            .collect();
        let recalls: Vec<PendingRecall> = self
            .rows
            .iter()
            .filter(|((t, k), _)| *t == Table::PendingRecall && k.starts_with(&head.id.to_be_bytes()))
            .map(|((_, k), v)| PendingRecall {
                before_chunk: u64::from_be_bytes(k[4..12].try_into().unwrap()),
                key: RecordKey(k[12..28].try_into().unwrap()),
                rev: serde_json::from_slice(v).unwrap(),
            })
            .collect();
        let encoding = head.descriptions.last().unwrap().encoding;
        let made = payload(encoding, &chunks, &recalls, self.today.to_days() as u32).unwrap();
        let last = head.next_chunk - 1;
        if made.records == 0 {
            let event = Event::Dropped { stream: stream.clone(), through: last, feedback: Vec::new() };
            return self.commit(|g| {
                g.change(Change { events: vec![event], ..Change::default() });
            });
        }
        let item = |kind, bytes| Item { kind, aad: Vec::new(), bytes };
        let mut items = vec![item(Kind::Evidence, Vec::new()), item(Kind::Evidence, made.table)];
        let parts = match made.packed {
            Some(bytes) => {
                items.push(item(Kind::Payload, bytes));
                vec![Part::Item(2)]
            }
            None => chunks.iter().map(|c| Part::Chunk(c.number)).collect(),
        };
        let sealed = Sealed {
            stream: stream.clone(),
            seq: head.next_seq,
            digest: made.digest.to_hex(),
            manifest: 0,
            table: 1,
            parts,
            records: made.records,
            bytes: made.bytes,
            payload_digest: made.digest.to_hex(),
            first_chunk: head.first_unsealed,
            last_chunk: last,
            index: 0,
            cleared: recalls.iter().map(|r| (r.before_chunk, r.key.hex().as_str().to_owned())).collect(),
            announces: None,
            description: None,
            released: false,
            void: false,
            time: 0,
        };
        let change = Change { events: vec![Event::Sealed(sealed)], items, entry: Some(b"{}".to_vec()) };
        self.commit(|g| {
            g.change(change);
        });
    }

    fn acknowledge(&mut self, stream: &StreamId) {
        let Some(head) = self.state.streams.get(stream).cloned() else { return };
        let open = (1..head.next_seq).find(|seq| {
            let b: BatchRow = self.row(Table::Batch, &stream_key(head.batches, *seq)).unwrap();
            b.acknowledgement.is_none()
        });
        let Some(seq) = open else { return };
        let event = Event::Acknowledged(Acknowledged {
            stream: stream.clone(),
            seq,
            outcome: Outcome::Accepted,
            digest: String::new(),
            acknowledgement: 0,
            errors: 0,
            feedback: Vec::new(),
            time: 0,
        });
        let items = vec![Item { kind: Kind::Evidence, aad: Vec::new(), bytes: b"{}".to_vec() }];
        self.commit(|g| {
            g.change(Change { events: vec![event], items, entry: Some(b"{}".to_vec()) });
        });
    }

    /// Every line of a stream's sealed batches, in order, without those that were queued again.
    fn lines(&self, stream: &StreamId) -> Vec<serde_json::Value> {
        let Some(head) = self.state.streams.get(stream) else { return Vec::new() };
        let encoding = head.descriptions.last().map_or(Encoding::Identity, |d| d.encoding);
        let mut all = Vec::new();
        for batches in head.past.iter().chain([&head.batches]) {
            for seq in 1.. {
                let Some(b) = self.row::<BatchRow>(Table::Batch, &stream_key(*batches, seq)) else { break };
                let packed: Vec<u8> = b.parts.iter().flat_map(|p| self.bytes(*p).to_vec()).collect();
                if packed.is_empty() {
                    continue;
                }
                let mut raw = Vec::new();
                decompress(encoding, &packed, &mut raw).unwrap();
                let lines = raw.split(|c| *c == b'\n').filter(|l| !l.is_empty());
                all.extend(lines.map(|l| serde_json::from_slice::<serde_json::Value>(l).unwrap()));
            }
        }
        all
    }
}

/// A row, in the queue or in the index that a row of the queue names.
fn kept(rows: &AllRows, indexes: &[AllRows], table: Table, key: &[u8]) -> Option<Vec<u8>> {
    if let Some(value) = rows.get(&(table, key.to_vec())) {
        return Some(value.clone());
    }
    let from = (Table::Index, index_key(table, key));
    let ((found, at), value) = rows.range(from..).next()?;
    let row: IndexRow =
        (*found == Table::Index && at[0] == table as u8).then(|| serde_json::from_slice(value).unwrap())?;
    let holds = row.first_key().unwrap().as_slice() <= key;
    holds.then(|| indexes[row.number as usize].get(&(table, key.to_vec())).cloned())?
}

fn apply(state: &mut State, rows: &mut AllRows, indexes: &[AllRows], frame: &Kept, number: u64) -> Rows {
    let record: FrameRecord = serde_json::from_slice(&frame.record).unwrap();
    let place = |item: usize| Place::from_parts((number + 1, number, item as u16, 0, 0));
    let items: Vec<Place> = (0..frame.items.len()).map(place).collect();
    let mut changes = Rows::default();
    let at = Applied { record: place(9_999), items: &items };
    state.apply(&record, &at, &mut changes, &mut |t, k| kept(rows, indexes, t, k)).unwrap();
    for range in &changes.left {
        rows.retain(|key, _| {
            let within = key.0 == range.table && range.first <= key.1 && key.1 <= range.last;
            !within || changes.changes.contains_key(key)
        });
    }
    for (key, value) in &changes.changes {
        match value {
            Some(v) => rows.insert(key.clone(), v.clone()),
            None => rows.remove(key),
        };
    }
    changes
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<usize>),
    History(Vec<usize>),
    Repair(usize),
    Reinstate(usize),
    Seal(u8),
    Acknowledge(u8),
    Epoch,
    Erase(u8),
    /// Rows leave, up to so many frames before the end.
    Index(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let some = proptest::collection::vec(0usize..12, 1..4);
    prop_oneof![
        5 => some.clone().prop_map(Step::Put),
        1 => some.prop_map(Step::History),
        2 => (0usize..12).prop_map(Step::Repair),
        1 => (0usize..12).prop_map(Step::Reinstate),
        3 => (0u8..4).prop_map(Step::Seal),
        2 => (0u8..4).prop_map(Step::Acknowledge),
        1 => Just(Step::Epoch),
        2 => (0u8..4).prop_map(Step::Erase),
        2 => (0u8..6).prop_map(Step::Index),
    ]
}

fn streams() -> [StreamId; 4] {
    let of = |r, lane| StreamId::new(r, DATASET, lane).unwrap();
    [
        of("province", Lane::Daily),
        of("portal", Lane::Daily),
        of("province", Lane::History),
        of("portal", Lane::History),
    ]
}

fn live(steps: &[Step]) {
    let mut node = Node::new(12);
    let streams = streams();
    // How often each record was accepted, and which are recalled at the end.
    let mut accepted = 0u64;
    let mut recalled = BTreeSet::new();
    let mut ever_recalled = false;
    let mut erased = false;
    for step in steps {
        match step {
            Step::Put(which) | Step::History(which) => {
                let load = if matches!(step, Step::Put(_)) { Load::Daily } else { Load::History };
                let fine = which.iter().filter(|n| !recalled.contains(*n)).count() as u32;
                let (a, r) = node.put(which, load);
                assert_eq!(
                    (a, r),
                    (fine, which.len() as u32 - fine),
                    "a recalled record, and nothing else, is refused"
                );
                accepted += u64::from(a);
            }
            Step::Repair(n) => {
                node.about(Op::Repair, *n);
                recalled.insert(*n);
                ever_recalled = true;
            }
            Step::Reinstate(n) => {
                node.about(Op::Reinstate, *n);
                recalled.remove(n);
            }
            Step::Seal(s) => node.seal(&streams[usize::from(*s)]),
            Step::Acknowledge(s) => node.acknowledge(&streams[usize::from(*s)]),
            Step::Epoch => {
                let epoch = node.state.meta.epoch + 1;
                node.commit(|g| {
                    g.change(Change { events: vec![Event::Epoch { epoch }], ..Change::default() });
                });
            }
            Step::Erase(s) => {
                node.erase(&streams[usize::from(*s)]);
                erased = true;
            }
            Step::Index(back) => {
                node.index((node.frames.len() as u64).saturating_sub(u64::from(*back)), None)
            }
        }
        node.check_rows();
    }
    streams.iter().for_each(|s| node.seal(s));
    // What was erased cannot be read any more, so nothing can be said about what was delivered.
    for recipient in ["province", "portal"].into_iter().filter(|_| !erased) {
        let lines: Vec<_> =
            streams.iter().filter(|s| s.recipient() == recipient).flat_map(|s| node.lines(s)).collect();
        let mut revs = BTreeSet::new();
        for l in lines.iter().filter(|l| l["op"] == "put") {
            assert!(revs.insert(l["rev"].as_u64().unwrap()), "a record is in two batches of {recipient}");
        }
        if !ever_recalled {
            // The portal gets a withdrawal where it may not have the record.
            let all = lines.iter().filter(|l| l["op"] == "put" || l["op"] == "withdraw").count() as u64;
            assert_eq!(all, accepted, "every accepted record is in exactly one batch of {recipient}");
        }
        check_recalls(&lines, &node, recipient, &recalled);
    }
    let (mut state, mut rows) = (State::default(), AllRows::new());
    for (n, kept) in node.frames.iter().enumerate() {
        apply(&mut state, &mut rows, &node.indexes, kept, n as u64);
    }
    assert_eq!(state, node.state, "replaying the frames gives the same heads");
    assert_eq!(rows, node.rows, "replaying the frames gives the same rows");
}

/// What stands for a recipient in the end: the highest rev of each key wins, in whatever order lines arrive.
fn check_recalls(lines: &[serde_json::Value], node: &Node, recipient: &str, recalled: &BTreeSet<usize>) {
    let mut last: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for l in lines {
        let (key, rev, op) =
            (l["key"].as_str().unwrap(), l["rev"].as_u64().unwrap(), l["op"].as_str().unwrap());
        let entry = last.entry(key).or_insert((rev, op));
        if rev >= entry.0 {
            *entry = (rev, op);
        }
    }
    let dataset = node.plan.dataset(DATASET).unwrap();
    let keyer = &dataset.recipients.iter().find(|r| r.name == recipient).unwrap().keyer;
    for n in recalled {
        let reference = node.records[*n].get("ref").unwrap();
        let id = dataset.identifier.id("market", xinqiao_exchange::secrets::Naming::Reference(reference));
        let key = keyer.key(&id);
        let (_, op) = last[key.hex().as_str()];
        assert_eq!(op, "repair", "a repaired record does not stand at {recipient}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_in_whatever_order(steps in proptest::collection::vec(step(), 1..24)) {
        live(&steps);
    }
}

#[test]
fn records_of_versions_without_a_register_are_known_by_the_name_they_were_sent_with() {
    let mut node = Node::new(12);
    node.is_older = true;
    node.put(&[0], Load::Daily);
    let mut bare = node.records[1].clone();
    bare.remove("ref");
    let mut body = Vec::new();
    write_ndjson(std::slice::from_ref(&bare), &mut body);
    node.send(Op::Put, Load::Daily, &body);
    node.is_older = false;
    let keys = |node: &mut Node| -> Vec<String> {
        let province = &streams()[0];
        node.seal(province);
        let lines = node.lines(province);
        lines
            .iter()
            .map(|l| format!("{} {}", l["op"].as_str().unwrap(), l["key"].as_str().unwrap()))
            .collect()
    };
    let first = keys(&mut node);
    assert_eq!(first.len(), 2);
    // Sent with a reference now, its key fields lead to what was sent without one.
    assert_eq!(node.put(&[1], Load::Daily), (1, 0));
    assert_eq!(node.found[0]["code"], "record.known-otherwise");
    node.about(Op::Withdraw, 0);
    assert_eq!(node.found, serde_json::json!([]), "it is known");
    node.about(Op::Withdraw, 1);
    assert_eq!(node.found, serde_json::json!([]));
    node.about(Op::Withdraw, 2);
    assert_eq!(node.found[0]["code"], "recall.nothing-known");
    let all = keys(&mut node);
    let of = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    let lines = |key: &str| {
        all.iter()
            .filter(|line| line.ends_with(key))
            .map(|line| line.split(' ').next().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&of(&first[0])), ["put", "withdraw"]);
    assert_eq!(lines(&of(&first[1])).last(), Some(&"withdraw"), "{all:?}");
}

#[test]
fn a_recall_takes_the_place_of_what_waits() {
    let mut node = Node::new(12);
    node.put(&[0, 1], Load::Daily);
    node.put(&[0], Load::Daily);
    node.about(Op::Repair, 0);
    let province = &streams()[0];
    node.seal(province);
    let ops: Vec<_> = node.lines(province).iter().map(|l| l["op"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ops, ["put", "repair"], "both waiting versions of the repaired record lost their place");
}

#[test]
fn a_recall_reaches_the_history_lane_once_it_is_in_use() {
    let mut node = Node::new(12);
    node.put(&[3], Load::History);
    node.about(Op::Repair, 3);
    let history = &streams()[2];
    node.seal(history);
    assert_eq!(node.lines(history).iter().filter(|l| l["op"] == "repair").count(), 1);
    assert_eq!(node.lines(history).iter().filter(|l| l["op"] == "put").count(), 0);
}

#[test]
fn unanswered_batches_are_queued_again_in_a_new_epoch() {
    live(&[
        Step::Put(vec![0, 1]),
        Step::Seal(0),
        Step::Put(vec![2]),
        Step::Seal(0),
        Step::Acknowledge(0),
        Step::Epoch,
    ]);
}

#[test]
fn an_answer_to_a_batch_that_left_is_kept_even_in_the_frame_in_which_it_leaves() {
    let mut node = Node::new(12);
    let province = &streams()[0];
    for n in 0..2 {
        node.put(&[n], Load::Daily);
        node.seal(province);
    }
    node.erase(province);
    let answer = |seq| {
        Event::Acknowledged(Acknowledged {
            stream: province.clone(),
            seq,
            outcome: Outcome::Rejected,
            digest: "d".into(),
            acknowledgement: 0,
            errors: 0,
            feedback: Vec::new(),
            time: 0,
        })
    };
    let before = node.rows.len();
    let frames = node.frames.len() as u64;
    let served = Event::Served { stream: province.clone(), seq: 1 };
    node.index(frames, Some(served));
    node.check_rows();
    let head = node.state.streams[province].clone();
    let batch =
        |node: &Node, seq| -> BatchRow { node.row(Table::Batch, &stream_key(head.batches, seq)).unwrap() };
    assert!(batch(&node, 1).served && !batch(&node, 2).served);
    assert!(node.rows.len() < before, "rows left: {} of {before} stay", node.rows.len());
    let items = || vec![Item { kind: Kind::Evidence, aad: Vec::new(), bytes: b"{}".to_vec() }];
    for seq in [2, 2] {
        let change = Change { events: vec![answer(seq)], items: items(), entry: None };
        node.commit(|g| {
            g.change(change);
        });
    }
    assert_eq!(batch(&node, 2).rejections, 2, "each answer counts once");
    node.check_rows();
}

#[test]
fn a_record_that_names_another_authority_is_not_taken_under_the_only_code() {
    let node = Node::new(1);
    let dataset = node.plan.dataset(DATASET).unwrap();
    let schema = dataset.schema(Some("administrative-penalty-2017")).unwrap();
    let record =
        Generator::new(7, day()).record_about(synthetic::Table::Penalty2017, Some(SubjectKind::LegalPerson));
    let mut body = Vec::new();
    write_ndjson(std::slice::from_ref(&record), &mut body);
    for (name, accepted) in [(record.get("CF_XZJG").unwrap(), 1), ("样例市另一机关", 0)] {
        let mut source = node.source.clone();
        source.authorities.truncate(1);
        source.authorities[0].name = name.to_owned();
        let submission = Submission {
            dataset,
            schema,
            source: &source,
            op: Op::Put,
            load: Load::Daily,
            format: Format::Ndjson,
            charset: Charset::Utf8,
            body: &body,
            received: day(),
            caps: &Caps::default(),
        };
        let around = Surroundings {
            next_rev: &|| 1,
            leap_rev: &|next| next(1),
            known: &|_| Known::of_own(None),
            registered: &|_| None,
            has_older: false,
            stream_in_use: &|_| false,
            make_room: &|| {},
        };
        let prepared = accept(&submission, &around).unwrap();
        assert_eq!((prepared.accepted, prepared.refused), (accepted, 1 - accepted), "{}", prepared.rejected);
        assert_eq!(accepted == 0, prepared.rejected.contains("authority.not-yours"));
    }
}
