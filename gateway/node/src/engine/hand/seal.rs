//! Sealing: pending lines become a batch when the recipient asks, judged once more by the rules of that moment.

use super::recipient::{ops, stream};
use super::*;
use xinqiao_exchange::event::Event;
use xinqiao_exchange::group::Change;
use xinqiao_exchange::state::{StreamRow, Table as Rows};

impl Hand {
    fn stream_row(&self, recipient: &str) -> StreamRow {
        self.node.head(&stream(recipient)).expect("something was sent to it")
    }

    fn hold(&mut self, recipient: &str, held: bool) {
        let events = vec![Event::Held { stream: stream(recipient), held }];
        let change = Change { events, ..Change::default() };
        self.blocking(move |node| node.change_blocking(change, |_| true).map(drop)).expect("it is committed");
    }

    /// A recipient asks for the first batch it has not seen, and nothing is committed before the next step.
    fn asks(&self, recipient: &'static str, after: u64) -> JoinHandle<Result<(), Refusal>> {
        let node = self.node.clone();
        self.runtime.spawn(async move {
            node.batches(recipient, &stream(recipient), after, 1, Duration::ZERO).await.map(drop)
        })
    }
}

#[test]
fn a_batch_is_sealed_when_its_recipient_asks_and_holds_what_came_until_then() {
    let mut hand = Hand::new();
    let (first, second) = (hand.put(), hand.put());
    let row = hand.stream_row(PROVINCE);
    assert_eq!((row.next_seq, row.pending_records), (1, 2));
    assert_eq!(hand.stands(&first.submission, PROVINCE)["state"], "queued");
    let batches = hand.list(PROVINCE, 0).unwrap();
    assert_eq!(
        batches.iter().map(|b| (b.manifest().seq, b.manifest().records)).collect::<Vec<_>>(),
        [(1, 2)]
    );
    for put in [&first, &second] {
        let stands = hand.stands(&put.submission, PROVINCE);
        assert_eq!((&stands["state"], &stands["seq"]), (&json!("sealed"), &json!(1)));
        assert_eq!(hand.stands(&put.submission, PORTAL)["state"], "queued", "each recipient asks for itself");
    }
    let size = hand.node.log_size();
    assert_eq!(hand.list(PROVINCE, 0).unwrap()[0].digest(), batches[0].digest(), "asked again, the same");
    assert_eq!(hand.node.log_size(), size);
}

#[test]
fn what_comes_while_a_batch_is_committed_goes_into_the_next() {
    let mut hand = Hand::new();
    hand.put();
    let asked = hand.asks(PROVINCE, 0);
    hand.until_waiting(1);
    let (head, record) = (hand.head(Op::Put), hand.record());
    let sent = hand.send(head, record);
    hand.until_waiting(2);
    assert_eq!(hand.step(), Step::Done, "the batch and the record in one frame");
    hand.finish(asked).unwrap();
    hand.response(sent).unwrap();
    let row = hand.stream_row(PROVINCE);
    assert_eq!((row.next_seq, row.sealed_records, row.pending_records), (2, 1, 1));
    assert_eq!(hand.list(PROVINCE, 1).unwrap()[0].manifest().records, 1);
}

#[test]
fn two_who_ask_at_once_get_one_batch() {
    let mut hand = Hand::new();
    hand.put();
    let asked = [hand.asks(PROVINCE, 0), hand.asks(PROVINCE, 0)];
    hand.until_waiting(1);
    for asked in asked {
        hand.finish(asked).unwrap();
    }
    let row = hand.stream_row(PROVINCE);
    assert_eq!((row.next_seq, row.sealed_records), (2, 1));
}

#[test]
fn each_manifest_names_the_digest_of_the_one_before_and_no_place_is_left_out() {
    let mut hand = Hand::new();
    for _ in 0..3 {
        hand.put();
        hand.list(PROVINCE, 0).unwrap();
    }
    let batches = hand.list(PROVINCE, 0).unwrap();
    let mut before = None;
    for (seq, batch) in (1..).zip(&batches) {
        let said = batch.manifest();
        assert_eq!((said.seq, said.epoch, said.records), (seq, 1, 1));
        assert_eq!(said.prev.as_ref().map(|d| d.sha256), before);
        before = Some(batch.digest());
    }
    assert_eq!(batches.len(), 3);
    assert_eq!(hand.stream_row(PROVINCE).prev, batches[2].digest().to_hex());
}

#[test]
fn a_chunk_made_under_another_policy_is_withheld_and_its_source_is_told() {
    let mut hand = Hand::new();
    let before = hand.put();
    hand.adopt_policy(true);
    let after = hand.put();
    let lines = hand.take(PROVINCE);
    assert_eq!(lines.len(), 1, "only what was made under the policy in force");
    assert!(!lines[0].to_string().contains("CF_NR_FK"));
    assert_eq!(hand.stands(&before.submission, PROVINCE)["state"], "withheld");
    assert_eq!(hand.stands(&after.submission, PROVINCE)["state"], "acknowledged");
    let news = hand.feedback();
    assert_eq!(news.len(), 1);
    assert_eq!(
        (&news[0]["code"], &news[0]["ref"]),
        (&json!("withheld.send-again"), &json!(before.reference))
    );
    assert_eq!(
        (&news[0]["stream"], &news[0]["submission"]),
        (&json!(stream(PROVINCE).as_str()), &json!(before.submission))
    );
    assert_eq!(hand.take(PORTAL).len(), 2, "the portal's policy is what it was");
    // In force again what it was made under: that it was withheld stays a matter for officers.
    hand.adopt_policy(false);
    assert_eq!(hand.take(PROVINCE).len(), 0);
}

#[test]
fn recalls_are_not_withheld_with_the_records_beside_them() {
    let mut hand = Hand::new();
    let (corrected, recalled) = (hand.put(), hand.put());
    assert_eq!(hand.take(PROVINCE).len(), 2);
    let old = hand.key_of(&recalled.reference, PROVINCE);
    // A new record and a recall wait in one chunk when the policy changes.
    let (head, record) = (hand.head(Op::Put), hand.record());
    let put = hand.send(head, record);
    hand.until_waiting(1);
    let (head, about) = hand.about(Op::Withdraw, &recalled.reference);
    let recall = hand.send(head, about);
    hand.until_waiting(2);
    hand.step();
    let put = hand.response(put).unwrap()["submission"].as_str().unwrap().to_owned();
    hand.response(recall).unwrap();
    hand.adopt_policy(true);
    let lines = hand.take(PROVINCE);
    assert_eq!((lines.len(), ops(&lines, &old)), (1, vec!["withdraw".to_owned()]), "the recall alone");
    let news = hand.feedback();
    assert_eq!(news.len(), 1, "only the record is to be sent again");
    assert_eq!(news[0]["submission"], put);
    // A chunk that holds nothing but a recall is not withheld at all.
    hand.recall(Op::Dispute, &corrected.reference);
    hand.adopt_policy(false);
    assert_eq!(ops(&hand.take(PROVINCE), &hand.key_of(&corrected.reference, PROVINCE)), ["dispute"]);
    assert_eq!(hand.feedback().len(), 1);
}

#[test]
fn an_edit_that_no_line_depends_on_withholds_nothing_and_takes_nothing_back() {
    let mut hand = Hand::new();
    let first = hand.put();
    let sealed = hand.list(PROVINCE, 0).unwrap().remove(0);
    let second = hand.put();
    let recall = hand.recall(Op::Withdraw, &first.reference);
    let edited = |text: String| text.replace("[audiences]", "# reviewed in 2026\n[audiences]");
    hand.adopt_edited(edited);
    assert_eq!(hand.fetch(PROVINCE, &sealed).unwrap().len(), 1, "sealed before, handed out after");
    let lines: Vec<Value> = hand.take(PROVINCE).into_iter().skip(1).collect();
    assert_eq!(ops(&lines, &hand.key_of(&second.reference, PROVINCE)), ["put"]);
    assert_eq!(ops(&lines, &hand.key_of(&first.reference, PROVINCE)), ["withdraw"]);
    assert_eq!(hand.stands(&recall, PROVINCE)["state"], "acknowledged");
    assert_eq!(hand.feedback().len(), 0);
}

#[test]
fn what_was_made_under_a_stricter_policy_leaves_under_a_wider_one_and_not_the_other_way_round() {
    let mut hand = Hand::new();
    hand.adopt_policy(true);
    let put = hand.put();
    hand.adopt_policy(false);
    let lines = hand.take(PROVINCE);
    assert_eq!(ops(&lines, &hand.key_of(&put.reference, PROVINCE)), ["put"]);
    assert!(!lines[0].to_string().contains("CF_NR_FK"), "as it was made");
    assert_eq!(hand.feedback().len(), 0);
    // The older policy is known from its document after a restart too.
    hand.adopt_policy(true);
    hand.put();
    let mut hand = hand.crash();
    hand.adopt_policy(false);
    hand.taken.insert(PROVINCE, 1);
    assert_eq!(hand.take(PROVINCE).len(), 1);
    let wide = hand.put();
    hand.adopt_edited(|text| text.replace("amount = \"pass\"", "amount = \"generalise-amount\""));
    assert_eq!(hand.take(PROVINCE).len(), 0);
    assert_eq!(hand.stands(&wide.submission, PROVINCE)["state"], "withheld");
    assert_eq!(hand.feedback().len(), 1);
    assert_eq!(hand.node.withheld_records(&stream(PROVINCE)), 1);
}

#[test]
fn withheld_records_and_the_recalls_beside_them_are_followed_each_its_own_way() {
    for release in [true, false] {
        let mut hand = Hand::new();
        let known = hand.put();
        hand.take(PROVINCE);
        hand.take(PORTAL);
        let (head, record) = (hand.head(Op::Put), hand.record());
        let put = hand.send(head, record);
        hand.until_waiting(1);
        let (head, about) = hand.about(Op::Withdraw, &known.reference);
        let recall = hand.send(head, about);
        hand.until_waiting(2);
        hand.step();
        let submission = |told: Value| told["submission"].as_str().unwrap().to_owned();
        let (put, recall) =
            (submission(hand.response(put).unwrap()), submission(hand.response(recall).unwrap()));
        hand.adopt_policy(true);
        hand.take(PORTAL);
        assert_eq!(hand.take(PROVINCE).len(), 1, "the recall");
        let view =
            |hand: &Hand| serde_json::to_value(hand.node.recall_view(DEPARTMENT, &recall).unwrap()).unwrap();
        assert_eq!(view(&hand)["state"], "complete", "{}", view(&hand));
        assert_eq!(hand.stands(&put, PROVINCE)["state"], "withheld");
        let rows = hand.rows();
        let withheld = rows.keys().find(|(table, _)| *table == Rows::Withheld as u8).unwrap();
        let chunk = u64::from_be_bytes(*withheld.1.last_chunk().unwrap());
        let events = vec![Event::Ruled { stream: stream(PROVINCE), chunk, release }];
        let change = Change { events, ..Change::default() };
        hand.blocking(move |node| node.change_blocking(change, |_| true).map(drop)).unwrap();
        if release {
            assert_eq!(hand.stands(&put, PROVINCE)["state"], "queued");
            assert_eq!(hand.take(PROVINCE).len(), 2, "as it was committed");
            assert_eq!(hand.stands(&put, PROVINCE)["state"], "acknowledged");
        } else {
            assert_eq!(hand.take(PROVINCE).len(), 0);
            assert_eq!(hand.stands(&put, PROVINCE)["state"], "dropped", "it was thrown away, not delivered");
        }
        assert_eq!(view(&hand)["state"], "complete");
        assert_eq!(hand.feedback().len(), 1);
    }
}

#[test]
fn a_recall_in_a_batch_that_is_taken_back_is_followed_into_the_next() {
    let mut hand = Hand::new();
    let known = hand.put();
    hand.take(PROVINCE);
    let put = hand.put();
    let recall = hand.recall(Op::Withdraw, &known.reference);
    hand.take(PORTAL);
    let sealed = hand.list(PROVINCE, 1).unwrap().remove(0);
    assert_eq!(sealed.manifest().records, 2);
    hand.adopt_policy(true);
    assert_eq!(code(hand.fetch(PROVINCE, &sealed)), RefusalCode::BatchVoid);
    let state = |hand: &Hand, id: &str| hand.stands(id, PROVINCE)["state"].clone();
    assert_eq!((state(&hand, &put.submission), state(&hand, &recall)), (json!("void"), json!("queued")));
    let next = hand.list(PROVINCE, 2).unwrap().remove(0);
    assert_eq!(hand.fetch(PROVINCE, &next).unwrap().len(), 1);
    let said = hand.answer_of(PROVINCE, &next, Vec::new());
    hand.acknowledge(PROVINCE, said).unwrap();
    let view = serde_json::to_value(hand.node.recall_view(DEPARTMENT, &recall).unwrap()).unwrap();
    assert_eq!(view["state"], "complete", "{view}");
    assert_eq!(state(&hand, &put.submission), "void");
}

#[test]
fn a_schema_long_left_is_not_announced_for_a_chunk_that_stays_behind() {
    const NEW: &str = "administrative-penalty-2020";
    let wants = |schema: &str| {
        format!(
            "policy = \"province-government\"\nencoding = \"gzip\"\ndatasets = {{ {DATASET} = \"{schema}\" }}"
        )
    };
    const OLD: &str = "administrative-penalty-2017";
    let old = wants(OLD);
    let mut hand = Hand::with(|text| {
        let text = text.replacen(&wants(NEW), &old, 1);
        assert!(text.contains(OLD));
        text
    });
    let record = hand.generator.record_about(Table::Penalty2017, Some(SubjectKind::LegalPerson));
    let known = record.get("ref").unwrap().to_owned();
    let head = Head { schema: Some(OLD.into()), ..hand.head(Op::Put) };
    assert_eq!(hand.take_body(head, body(&record)).unwrap()["accepted"], 1);
    assert_eq!(hand.take(PROVINCE).len(), 1);
    let mut hand = hand.crash_and(|dir| {
        let path = dir.join("node.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace(&old, &wants(NEW))).unwrap();
    });
    hand.put();
    let announced = hand.list(PROVINCE, 1).unwrap();
    assert_eq!((announced.len(), announced[0].manifest().control.is_some()), (1, true));
    // A recall waits for no schema only if nothing under the new one is in front of it; here it comes with the record.
    hand.recall(Op::Dispute, &known);
    let said = hand.answer_of(PROVINCE, &announced[0], Vec::new());
    hand.acknowledge(PROVINCE, said).unwrap();
    hand.taken.insert(PROVINCE, 2);
    assert_eq!(hand.take(PROVINCE).len(), 2);
    hand.put();
    hand.adopt_policy(true);
    assert_eq!(hand.list(PROVINCE, 3).unwrap().len(), 0, "nothing is announced");
    hand.recall(Op::Withdraw, &known);
    hand.put();
    assert_eq!(hand.take(PROVINCE).len(), 2, "what comes after is delivered");
}

#[test]
fn a_batch_judged_by_rules_that_are_replaced_before_it_is_committed_is_judged_again() {
    let mut hand = Hand::new();
    // The documents of both policies are kept from here on: adopting one again needs no commit before it is in force.
    hand.adopt_policy(true);
    hand.adopt_policy(false);
    let put = hand.put();
    let rules = hand.node.rules();
    let asked = hand.asks(PROVINCE, 0);
    hand.until_waiting(1);
    let tight = std::thread::scope(|scope| {
        // The batch waits, the policy changes, and only then is the batch's turn.
        let node = hand.node.clone();
        let policies = tight_policies();
        let adopting = scope.spawn(move || node.adopt_policies(policies));
        hand.until(|| hand.node.rules().number != rules.number);
        hand.finish(asked).unwrap();
        let began = Instant::now();
        while !adopting.is_finished() {
            assert!(began.elapsed() < PATIENCE);
            hand.step();
        }
        adopting.join().unwrap()
    });
    tight.expect("it is adopted");
    assert_eq!(hand.stream_row(PROVINCE).next_seq, 1, "nothing was sealed");
    assert_eq!(hand.stands(&put.submission, PROVINCE)["state"], "withheld");
}

#[test]
fn a_batch_sealed_and_never_handed_out_is_taken_back_and_its_place_stays() {
    let mut hand = Hand::new();
    let put = hand.put();
    let sealed = hand.list(PROVINCE, 0).unwrap().remove(0);
    hand.adopt_policy(true);
    for _ in 0..2 {
        assert_eq!(code(hand.fetch(PROVINCE, &sealed)), RefusalCode::BatchVoid, "the same each time");
    }
    assert_eq!(hand.stands(&put.submission, PROVINCE)["state"], "void");
    let news = hand.feedback();
    assert_eq!(news.len(), 1, "told once");
    assert_eq!((&news[0]["code"], &news[0]["ref"]), (&json!("withheld.send-again"), &json!(put.reference)));
    let said = hand.answer_of(PROVINCE, &sealed, Vec::new());
    hand.acknowledge(PROVINCE, said).expect("its place may be answered");
    hand.put();
    let next = hand.list(PROVINCE, 1).unwrap().remove(0);
    assert_eq!(
        (next.manifest().seq, next.manifest().prev.as_ref().map(|d| d.sha256)),
        (2, Some(sealed.digest()))
    );
    assert_eq!(hand.fetch(PROVINCE, &next).unwrap().len(), 1);
}

#[test]
fn a_line_whose_publication_ended_while_it_waited_is_left_out_where_it_would_be_public() {
    let mut hand = Hand::new();
    let (over, lasting) = (hand.put_published(1), hand.put_published(400));
    hand.pass(3);
    let lines = hand.take(PORTAL);
    assert_eq!(lines.len(), 1);
    assert_eq!(hand.take(PROVINCE).len(), 2, "for an authority nothing ended");
    assert_eq!(hand.stands(&lasting.submission, PORTAL)["state"], "acknowledged");
    let key = hand.key_of(&lasting.reference, PORTAL);
    assert_eq!(lines[0]["key"], key);
    assert_ne!(lines[0]["key"], hand.key_of(&over.reference, PORTAL));
    // Where nothing is left there is no batch.
    hand.put_published(1);
    hand.pass(3);
    assert_eq!(hand.list(PORTAL, 1).unwrap().len(), 0);
    assert_eq!(hand.stream_row(PORTAL).pending_records, 0);
}

#[test]
fn a_stream_on_hold_seals_nothing_hands_nothing_out_and_loses_nothing() {
    let mut hand = Hand::new();
    hand.put();
    let sealed = hand.list(PROVINCE, 0).unwrap().remove(0);
    let put = hand.put();
    hand.hold(PROVINCE, true);
    assert_eq!(code(hand.list(PROVINCE, 1)), RefusalCode::StreamHeld);
    assert_eq!(code(hand.fetch(PROVINCE, &sealed)), RefusalCode::StreamHeld);
    assert_eq!(hand.stands(&put.submission, PROVINCE)["state"], "held");
    assert_eq!((hand.stream_row(PROVINCE).next_seq, hand.stream_row(PROVINCE).pending_records), (2, 1));
    assert_eq!(hand.take(PORTAL).len(), 2, "another stream is not on hold");
    let mut hand = hand.crash();
    assert_eq!(code(hand.list(PROVINCE, 0)), RefusalCode::StreamHeld, "a restart releases nothing");
    hand.hold(PROVINCE, false);
    assert_eq!(hand.take(PROVINCE).len(), 2);
}

#[test]
fn an_older_state_put_back_begins_an_epoch_in_which_streams_begin_again_with_what_nobody_answered() {
    let mut hand = Hand::new();
    hand.put();
    assert_eq!(hand.take(PROVINCE).len(), 1);
    let open = hand.put();
    let unanswered = hand.list(PROVINCE, 1).unwrap().remove(0);
    hand.fetch(PROVINCE, &unanswered).unwrap();
    let size = hand.node.log_size();
    let mut hand = hand.crash_and(|dir| std::fs::write(dir.join("data/RESTORED"), "").unwrap());
    assert_eq!(hand.node.epoch(), 2);
    assert!(hand.node.log_size() > size, "the log goes on: what was signed stays signed");
    let batches = hand.list(PROVINCE, 0).unwrap();
    let said: Vec<_> = batches.iter().map(|b| b.manifest()).map(|m| (m.epoch, m.seq, m.records)).collect();
    assert_eq!(said, [(2, 1, 1)]);
    assert_eq!(batches[0].manifest().prev, None);
    assert_eq!(hand.fetch(PROVINCE, &batches[0]).unwrap()[0]["key"], hand.key_of(&open.reference, PROVINCE));
    assert_eq!(hand.stands(&open.submission, PROVINCE)["state"], "offered", "followed into the new epoch");
    let late = hand.answer_of(PROVINCE, &unanswered, Vec::new());
    assert_eq!(code(hand.acknowledge(PROVINCE, late)), RefusalCode::AcknowledgementEpoch);
    assert_eq!(hand.crash().node.epoch(), 2, "one state put back is one epoch");
}
