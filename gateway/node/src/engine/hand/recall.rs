//! Recalls: what is taken back is taken back everywhere, also where it has not gone out yet, and does not come back by
//! itself.

use super::recipient::{error, ops};
use super::*;
use xinqiao_exchange::state::Table as Rows;

impl Hand {
    /// How far a recall has got.
    pub(super) fn recalled(&self, submission: &str) -> Value {
        serde_json::to_value(self.node.recall_view(DEPARTMENT, submission).expect("it is a recall")).unwrap()
    }

    /// One record is sent again and refused because it was recalled.
    fn is_refused(&mut self, record: &Record) {
        let head = self.head(Op::Put);
        let refused = self.take_body(head, body(record)).expect_err("it is refused");
        assert_eq!(refused.code(), RefusalCode::RecordsRefused);
        // Beside a sound one it is left out, and the finding says why.
        let mut both = body(record).to_vec();
        both.extend(self.record());
        let head = self.head(Op::Put);
        let told = self.take_body(head, both.into()).expect("one of two");
        assert_eq!((&told["accepted"], &told["refused"]), (&json!(1), &json!(1)));
        assert_eq!(
            (&told["errors"][0]["record"], &told["errors"][0]["code"]),
            (&json!(0), &json!("record.recalled"))
        );
    }
}

#[test]
fn a_recall_reaches_every_recipient_that_has_the_record_under_its_own_key_with_a_later_rev() {
    for op in [Op::Withdraw, Op::Repair, Op::Dispute] {
        let mut hand = Hand::new();
        let put = hand.put();
        let had = [hand.take(PROVINCE), hand.take(PORTAL)];
        assert_ne!(had[0][0]["key"], had[1][0]["key"], "every recipient knows it by another key");
        let recall = hand.recall(op, &put.reference);
        for (recipient, had) in [PROVINCE, PORTAL].into_iter().zip(had) {
            let lines = hand.take(recipient);
            assert_eq!(lines.len(), 1);
            let line = &lines[0];
            assert_eq!(
                (&line["op"], &line["key"], &line["via"]),
                (&json!(op.name()), &had[0]["key"], &json!([]))
            );
            assert!(line["rev"].as_u64() > had[0]["rev"].as_u64());
            // Only an authority reads why.
            let said = (line["data"]["reason"].as_str().unwrap(), line["data"]["basis"].as_str().unwrap());
            match recipient {
                PROVINCE => assert_eq!(said, ("mistake", "样撤〔2026〕1号")),
                _ => assert_eq!(said, ("withdrawn", "")),
            }
        }
        let view = hand.recalled(&recall);
        assert_eq!(
            (&view["op"], &view["state"], &view["complete"]),
            (&json!(op.name()), &json!("complete"), &json!(true))
        );
    }
}

#[test]
fn a_recall_is_complete_when_every_recipient_has_answered_and_not_before() {
    let mut hand = Hand::new();
    let put = hand.put();
    let recall = hand.recall(Op::Withdraw, &put.reference);
    let states = |hand: &Hand| {
        let view = hand.recalled(&recall);
        let all = view["recipients"].as_array().unwrap();
        let mut all: Vec<String> =
            all.iter().map(|r| format!("{}: {}", r["recipient"], r["state"])).collect();
        all.sort();
        (all.join(", ").replace('"', ""), view["complete"] == true)
    };
    assert_eq!(states(&hand), ("portal: pending, province: pending".into(), false));
    hand.take(PROVINCE);
    assert_eq!(states(&hand), ("portal: pending, province: confirmed".into(), false));
    let batch = hand.list(PORTAL, 0).unwrap().remove(0);
    assert_eq!(states(&hand), ("portal: sealed, province: confirmed".into(), false));
    hand.fetch(PORTAL, &batch).unwrap();
    assert_eq!(states(&hand), ("portal: offered, province: confirmed".into(), false));
    assert_eq!(hand.recalled(&recall)["state"], "open");
    hand.take(PORTAL);
    assert_eq!(states(&hand), ("portal: confirmed, province: confirmed".into(), true));
    assert_eq!(
        code(hand.node.recall_view(DEPARTMENT, &put.submission).map(drop)),
        RefusalCode::RecallUnknown
    );
    assert_eq!(code(hand.node.recall_view("somebody-else", &recall).map(drop)), RefusalCode::RecallUnknown);
}

#[test]
fn a_recall_whose_own_line_was_refused_is_not_confirmed_and_its_neighbours_are() {
    let mut hand = Hand::new();
    let (one, two) = (hand.put(), hand.put());
    hand.take(PROVINCE);
    hand.take(PORTAL);
    let refused = hand.recall(Op::Withdraw, &one.reference);
    let taken = hand.recall(Op::Repair, &two.reference);
    hand.take(PORTAL);
    let batch = hand.list(PROVINCE, 1).unwrap().remove(0);
    let lines = hand.fetch(PROVINCE, &batch).unwrap();
    let at = lines.iter().position(|line| line["op"] == "withdraw").unwrap();
    let said = hand.answer_of(PROVINCE, &batch, vec![error(at as u64)]);
    hand.acknowledge(PROVINCE, said).unwrap();
    let view = hand.recalled(&refused);
    assert_eq!((&view["state"], &view["complete"]), (&json!("failed"), &json!(false)), "{view}");
    let province =
        view["recipients"].as_array().unwrap().iter().find(|r| r["recipient"] == PROVINCE).unwrap();
    assert_eq!(
        (&province["state"], &province["seq"], &province["errors"]),
        (&json!("refused"), &json!(2), &json!([{"record": 0, "code": "E1007"}]))
    );
    // The batch was answered `partial`, this line was not refused.
    let view = hand.recalled(&taken);
    assert_eq!((&view["state"], &view["complete"]), (&json!("complete"), &json!(true)), "{view}");
    assert_eq!(hand.stands(&taken, PROVINCE)["state"], "acknowledged");
    assert_eq!(hand.stands(&refused, PROVINCE)["state"], "partly-rejected");
}

#[test]
fn every_kind_of_recall_is_followed_and_what_a_correction_replaces_too() {
    let mut hand = Hand::new();
    let put = hand.put();
    for op in [Op::Dispute, Op::Resolve, Op::Withdraw, Op::Reinstate] {
        let recall = hand.recall(op, &put.reference);
        let view = hand.recalled(&recall);
        assert_eq!((&view["op"], &view["state"]), (&json!(op.name()), &json!("open")));
        hand.take(PROVINCE);
        hand.take(PORTAL);
        assert_eq!(hand.recalled(&recall)["state"], "complete", "{op:?}");
        assert_eq!(hand.stands(&recall, PROVINCE)["state"], "acknowledged");
    }
    let mut right = hand.new_record();
    right.set("replaces", put.reference.clone());
    let correction = hand.put_record(&right);
    assert_eq!(hand.recalled(&correction.submission)["state"], "open");
    hand.take(PORTAL);
    let batch = hand.list(PROVINCE, hand.taken[PROVINCE]).unwrap().remove(0);
    let lines = hand.fetch(PROVINCE, &batch).unwrap();
    let at = lines.iter().position(|line| line["op"] == "put").unwrap();
    let said = hand.answer_of(PROVINCE, &batch, vec![error(at as u64)]);
    hand.acknowledge(PROVINCE, said).unwrap();
    let view = hand.recalled(&correction.submission);
    assert_eq!(
        (&view["op"], &view["state"]),
        (&json!("put"), &json!("complete")),
        "its put is another matter: {view}"
    );
    assert!(view["recipients"].as_array().unwrap().iter().all(|r| r["lines"] == 1), "{view}");
    assert_eq!(hand.stands(&correction.submission, PROVINCE)["state"], "partly-rejected");
    let nothing_replaced = hand.put();
    assert_eq!(
        code(hand.node.recall_view(DEPARTMENT, &nothing_replaced.submission)),
        RefusalCode::RecallUnknown
    );
}

#[test]
fn what_a_relay_confirmed_is_confirmed_for_the_next_tier_only() {
    let role = "name = \"province\"\nrole = ";
    let mut hand =
        Hand::with(|text| text.replace(&format!("{role}\"recipient\""), &format!("{role}\"relay\"")));
    let put = hand.put();
    let recall = hand.recall(Op::Withdraw, &put.reference);
    hand.take(PROVINCE);
    hand.take(PORTAL);
    let view = hand.recalled(&recall);
    assert_eq!(
        (&view["state"], &view["complete"]),
        (&json!("confirmed-next-tier-only"), &json!(false)),
        "{view}"
    );
    let mut words: Vec<String> = view["recipients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| format!("{}: {}", r["recipient"], r["state"]))
        .collect();
    words.sort();
    assert_eq!(words.join(", ").replace('"', ""), "portal: confirmed, province: confirmed-next-tier-only");
}

#[test]
fn a_reason_that_contradicts_the_operation_is_refused() {
    let mut hand = Hand::new();
    let put = hand.put();
    let effective = hand.node.business_date().to_string();
    let body = json!([{ "ref": put.reference, "reason": "withdrawn", "basis": "样撤〔2026〕1号", "effective": effective }]);
    let head = Head { format: Format::Json, ..hand.head(Op::Resolve) };
    let refused = hand.take_body(head, body.to_string().into()).expect_err("it is refused");
    assert_eq!(refused.code(), RefusalCode::RecordsRefused);
    let head = Head { format: Format::Json, ..hand.head(Op::Withdraw) };
    assert_eq!(hand.take_body(head, body.to_string().into()).unwrap()["accepted"], 1);
}

#[test]
fn what_waits_does_not_go_out_once_it_is_recalled_and_the_recall_does() {
    for op in [Op::Withdraw, Op::Repair] {
        let mut hand = Hand::new();
        let (put, other) = (hand.put(), hand.put());
        // The portal has it already, the province has not asked.
        assert_eq!(hand.take(PORTAL).len(), 2);
        hand.recall(op, &put.reference);
        let lines = hand.take(PROVINCE);
        let (key, other) = (hand.key_of(&put.reference, PROVINCE), hand.key_of(&other.reference, PROVINCE));
        assert_eq!(ops(&lines, &key), [op.name()]);
        assert_eq!(ops(&lines, &other), ["put"], "what was not recalled goes out");
        let key = hand.key_of(&put.reference, PORTAL);
        assert_eq!(ops(&hand.take(PORTAL), &key), [op.name()]);
        let pending = crate::engine::rows::all(&hand.node.queue(), Rows::PendingRecall).unwrap();
        assert_eq!(pending.len(), 0, "nothing before the recall waits any more");
    }
}

#[test]
fn a_put_and_its_recall_in_one_group_let_nothing_out_but_the_recall_whichever_comes_first() {
    for put_first in [true, false] {
        let mut hand = Hand::new();
        let record = hand.new_record();
        let reference = record.get("ref").unwrap().to_owned();
        let put = (hand.head(Op::Put), body(&record));
        let recall = hand.about(Op::Withdraw, &reference);
        let pair = if put_first { [put, recall] } else { [recall, put] };
        let mut sent = Vec::new();
        for (n, (head, body)) in (1..).zip(pair) {
            sent.push(hand.send(head, body));
            hand.until_waiting(n);
        }
        assert_eq!(hand.step(), Step::Done);
        let mut responses: Vec<_> = sent.into_iter().map(|sent| hand.response(sent)).collect();
        if !put_first {
            // Behind its recall it was judged by what no longer holds.
            assert_eq!(code(responses.remove(1)), RefusalCode::RecordsRefused);
        }
        for told in responses {
            assert_eq!(told.unwrap()["accepted"], 1);
        }
        for recipient in [PROVINCE, PORTAL] {
            let lines = hand.take(recipient);
            assert_eq!(
                ops(&lines, &hand.key_of(&reference, recipient)),
                ["withdraw"],
                "put first: {put_first}"
            );
        }
        hand.is_refused(&record);
    }
}

#[test]
fn a_put_that_was_judged_before_its_recall_was_committed_is_judged_again() {
    let mut hand = Hand::new();
    let record = hand.new_record();
    let reference = record.get("ref").unwrap().to_owned();
    hand.put_record(&record);
    let (head, about) = hand.about(Op::Withdraw, &reference);
    let recall = hand.send(head, about);
    hand.until_waiting(1);
    // Nothing overtakes a barrier, so the put has a group of its own.
    let node = hand.node.clone();
    let barrier = hand.runtime.spawn_blocking(move || node.barrier().is_ok());
    hand.until_waiting(2);
    let head = hand.head(Op::Put);
    let put = hand.send(head, body(&record));
    hand.until_waiting(3);
    assert_eq!(hand.step(), Step::Done, "the recall alone");
    assert!(!put.is_finished());
    assert_eq!(hand.response(recall).unwrap()["accepted"], 1);
    assert_eq!(code(hand.response(put)), RefusalCode::RecordsRefused);
    assert!(hand.finish(barrier));
}

#[test]
fn what_was_recalled_is_refused_until_it_is_reinstated_and_then_comes_under_its_old_key() {
    let mut hand = Hand::new();
    let record = hand.new_record();
    let put = hand.put_record(&record);
    let had = hand.take(PROVINCE);
    hand.recall(Op::Withdraw, &put.reference);
    assert_eq!(ops(&hand.take(PROVINCE), &had[0]["key"]), ["withdraw"]);
    hand.is_refused(&record);
    let mut hand = hand.crash();
    hand.is_refused(&record);
    hand.taken.insert(PROVINCE, 2);
    hand.take(PROVINCE);
    hand.recall(Op::Reinstate, &put.reference);
    hand.put_record(&record);
    let lines = hand.take(PROVINCE);
    assert_eq!(ops(&lines, &had[0]["key"]), ["reinstate", "put"]);
    assert!(lines.is_sorted_by_key(|line| line["rev"].as_u64()));
}

#[test]
fn an_objection_travels_and_stops_nothing() {
    let mut hand = Hand::new();
    let record = hand.new_record();
    let put = hand.put_record(&record);
    for op in [Op::Dispute, Op::Resolve] {
        hand.recall(op, &put.reference);
    }
    hand.put_record(&record);
    let key = hand.key_of(&put.reference, PROVINCE);
    assert_eq!(ops(&hand.take(PROVINCE), &key), ["put", "dispute", "resolve", "put"]);
}

#[test]
fn a_record_this_node_never_saw_is_recalled_all_the_same_and_refused_from_then_on() {
    let mut hand = Hand::new();
    let record = hand.new_record();
    let reference = record.get("ref").unwrap().to_owned();
    hand.recall(Op::Withdraw, &reference);
    for recipient in [PROVINCE, PORTAL] {
        let lines = hand.take(recipient);
        assert_eq!(ops(&lines, &hand.key_of(&reference, recipient)), ["withdraw"]);
    }
    hand.is_refused(&record);
}

#[test]
fn a_correction_under_another_reference_takes_the_first_back() {
    let mut hand = Hand::new();
    let wrong = hand.new_record();
    let first = hand.put_record(&wrong);
    hand.take(PROVINCE);
    let mut right = hand.new_record();
    right.set("replaces", first.reference.clone());
    let second = hand.put_record(&right);
    let lines = hand.take(PROVINCE);
    assert_eq!(ops(&lines, &hand.key_of(&first.reference, PROVINCE)), ["withdraw"]);
    assert_eq!(ops(&lines, &hand.key_of(&second.reference, PROVINCE)), ["put"]);
    hand.is_refused(&wrong);
}

/// The rows of a large recall are written in parts: a crash between them changes nothing.
#[test]
fn a_large_recall_survives_a_crash_in_the_middle_of_its_rows() {
    const RECORDS: usize = 2_500;
    let mut hand = Hand::new();
    let put = hand.put();
    hand.take(PORTAL);
    let queue = tempfile::tempdir().unwrap();
    let kept = queue.path().to_owned();
    let mut hand = hand.crash_and(|dir| copy(&dir.join("data/queue"), &kept));
    let effective = hand.node.business_date().to_string();
    let line = |reference: &str| json!({ "ref": reference, "reason": "mistake", "basis": "样撤〔2026〕1号", "effective": effective });
    let mut about: Vec<Value> = (1..RECORDS).map(|n| line(&format!("unknown-{n}"))).collect();
    about.push(line(&put.reference));
    let head = Head { format: Format::Json, ..hand.head(Op::Withdraw) };
    let told = hand.take_body(head, json!(about).to_string().into()).unwrap();
    assert_eq!(told["accepted"], RECORDS);
    let of_recalls = |hand: &Hand| {
        [Rows::Tombstone, Rows::PendingRecall]
            .map(|table| crate::engine::rows::all(&hand.node.queue(), table).unwrap())
    };
    let written = of_recalls(&hand);
    assert_eq!(written.each_ref().map(Vec::len), [RECORDS, 2 * RECORDS]);
    let keys = hand.node.secrets.at_rest();
    let mut hand = hand.crash_and(|dir| {
        // As it was before the recall, and some of its rows.
        std::fs::remove_dir_all(dir.join("data/queue")).unwrap();
        copy(&kept, &dir.join("data/queue"));
        let data = xinqiao_store::DataDir::open(dir.join("data")).unwrap();
        let (queue, state) = xinqiao_store::Queue::open(&data, &keys, 8 << 20).unwrap();
        assert!(matches!(state, xinqiao_store::QueueState::Ready { .. }), "{state:?}");
        let tables = [Rows::Tombstone, Rows::PendingRecall].into_iter().zip(&written);
        let rows = tables.flat_map(|(table, rows)| {
            rows.iter().map(move |(key, value)| (table as u8, key.clone(), value.clone()))
        });
        let puts = rows.step_by(3).collect();
        queue.write_ahead(&xinqiao_store::Rows { puts, deletes: Vec::new() }).unwrap();
    });
    assert_eq!(of_recalls(&hand), written);
    let key = hand.key_of(&put.reference, PROVINCE);
    let lines = hand.take(PROVINCE);
    assert_eq!(
        (lines.len(), ops(&lines, &key)),
        (RECORDS, vec!["withdraw".to_owned()]),
        "the put that waited is not there"
    );
    let key = hand.key_of(&put.reference, PORTAL);
    assert_eq!(ops(&hand.take(PORTAL), &key), ["withdraw"]);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}
