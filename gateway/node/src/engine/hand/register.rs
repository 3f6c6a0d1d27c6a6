//! One decision is one record, whatever it is sent under; a recall of what nobody knows is said to be that; and the register that all of it
//! rests on is what the journal says, however it came to be.

use super::named::with;
use super::recipient::ops;
use super::*;

impl Hand {
    /// Sends one record beside a sound one: the findings about it.
    fn told(&mut self, record: &Record) -> Vec<(String, String)> {
        let mut both = body(record).to_vec();
        both.extend(self.record());
        let head = self.head(Op::Put);
        let told = self.take_body(head, both.into()).expect("one of two at least");
        let about = |e: &&Value| e["record"] == 0 && e["severity"] != "cleaned";
        let text = |e: &Value, member: &str| e[member].as_str().unwrap().to_owned();
        let errors = told["errors"].as_array().unwrap();
        errors.iter().filter(about).map(|e| (text(e, "code"), text(e, "en"))).collect()
    }

    fn codes(&mut self, record: &Record) -> Vec<String> {
        self.told(record).into_iter().map(|(code, _)| code).collect()
    }

    /// All that the register holds.
    fn registered(&self) -> Vec<([u8; 16], Vec<u8>)> {
        let mut all = Vec::new();
        self.node.register.dump(&mut |key, value| all.push((*key, value.to_vec()))).unwrap();
        all
    }

    fn recall_told(&mut self, op: Op, reference: &str) -> Value {
        let (head, about) = self.about(op, reference);
        self.take_body(head, about).expect("it is taken")
    }
}

fn bare(record: &Record) -> Record {
    let mut other = record.clone();
    other.remove("ref");
    other
}

fn reference(record: &Record) -> &str {
    record.get("ref").unwrap()
}

#[test]
fn a_recall_of_what_nobody_knows_says_so_and_is_never_confirmed() {
    let mut hand = Hand::new();
    let told = hand.recall_told(Op::Withdraw, "typo");
    assert_eq!((&told["accepted"], &told["warned"]), (&json!(1), &json!(1)), "{told}");
    assert_eq!(told["errors"][0]["code"], "recall.nothing-known");
    let recall = told["submission"].as_str().unwrap().to_owned();
    for answered in [false, true] {
        let view = hand.recalled(&recall);
        assert_eq!(
            (&view["state"], &view["complete"], &view["nothing_known"], &view["recipients"]),
            (&json!("nothing-known"), &json!(false), &json!(1), &json!([])),
            "{answered} {view}"
        );
        hand.take(PROVINCE);
        hand.take(PORTAL);
    }
    // Asked again, it is as unknown as before, though the node remembers that it was recalled.
    assert_eq!(hand.recall_told(Op::Withdraw, "typo")["errors"][0]["code"], "recall.nothing-known");
    // What is sent under it is judged by it.
    let record = hand.new_record();
    let record = with(&record, "ref", "typo");
    assert_eq!(hand.codes(&record), ["record.recalled"]);
    hand.recall(Op::Reinstate, "typo");
    assert!(hand.codes(&record).is_empty());
    assert_eq!(hand.recall_told(Op::Dispute, "typo")["errors"], json!([]));
}

#[test]
fn a_recall_of_some_that_are_known_and_some_that_are_not_is_not_complete() {
    let mut hand = Hand::new();
    let put = hand.put();
    let effective = hand.node.business_date().to_string();
    let line = |reference: &str| json!({ "ref": reference, "reason": "mistake", "basis": "样撤〔2026〕1号", "effective": effective });
    let about = json!([line("typo"), line(&put.reference), line("another")]);
    let head = Head { format: Format::Json, ..hand.head(Op::Withdraw) };
    let told = hand.take_body(head, about.to_string().into()).unwrap();
    let unknown: Vec<&Value> = told["errors"].as_array().unwrap().iter().map(|e| &e["record"]).collect();
    assert_eq!(unknown, [&json!(0), &json!(2)], "{told}");
    let recall = told["submission"].as_str().unwrap().to_owned();
    assert_eq!(hand.recalled(&recall)["state"], "open");
    hand.take(PROVINCE);
    hand.take(PORTAL);
    let view = hand.recalled(&recall);
    assert_eq!(
        (&view["state"], &view["complete"], &view["nothing_known"]),
        (&json!("nothing-known"), &json!(false), &json!(2))
    );
    let lines: Vec<&Value> = view["recipients"].as_array().unwrap().iter().map(|r| &r["lines"]).collect();
    assert_eq!(lines, [&json!(1), &json!(1)], "those that are known: {view}");
}

#[test]
fn a_known_reference_with_other_key_fields_is_a_correction_and_stays_one_record() {
    let mut hand = Hand::new();
    let first = hand.new_record();
    hand.put_record(&first);
    let corrected = with(&first, "CF_WSH", "样罚决字〔2026〕7号");
    assert_eq!(hand.codes(&corrected), ["record.corrected"]);
    assert!(hand.codes(&corrected).is_empty(), "it is known by now");
    // Both spellings of the key lead to it, with another reference or none.
    assert!(hand.codes(&bare(&corrected)).is_empty());
    assert!(hand.codes(&bare(&first)).is_empty());
    assert_eq!(hand.codes(&with(&corrected, "ref", "another")), ["record.known-otherwise"]);
    assert!(hand.codes(&with(&corrected, "ref", "another")).is_empty());
    let key = hand.key_of(reference(&first), PROVINCE);
    let lines = hand.take(PROVINCE);
    assert_eq!(ops(&lines, &key), ["put"; 7], "one record at the recipient");
    // A recall under any of its names is of it.
    let recall = hand.recall(Op::Withdraw, "another");
    assert_eq!(ops(&hand.take(PROVINCE), &key), ["withdraw"]);
    hand.take(PORTAL);
    assert_eq!(hand.recalled(&recall)["state"], "complete");
    for name in [&first, &corrected, &bare(&first), &bare(&corrected)] {
        assert_eq!(hand.codes(name), ["record.recalled"]);
    }
}

#[test]
fn a_recall_by_key_fields_finds_a_record_that_was_sent_with_a_reference() {
    let mut hand = Hand::new();
    let record = hand.new_record();
    hand.put_record(&record);
    let key = hand.key_of(reference(&record), PROVINCE);
    hand.take(PROVINCE);
    hand.recall_keys(Op::Withdraw, &record, false);
    assert_eq!(ops(&hand.take(PROVINCE), &key), ["withdraw"]);
    assert_eq!(hand.codes(&record), ["record.recalled"]);
}

#[test]
fn a_reference_and_key_fields_of_two_records_are_refused_and_both_are_named() {
    let mut hand = Hand::new();
    let (one, two) = (hand.new_record(), hand.new_record());
    let (first, second) = (hand.put_record(&one), hand.put_record(&two));
    let mixed = with(&two, "ref", reference(&one));
    let told = hand.told(&mixed);
    assert_eq!(told[0].0, "record.two-records");
    for put in [&first, &second] {
        let index = put.submission.split('-').next().unwrap();
        assert!(told[0].1.contains(&format!("log index {index}")), "{told:?}");
    }
    let (head, about) = hand.about_keys(Op::Withdraw, &mixed, true);
    assert_eq!(code(hand.take_body(head, about).map(drop)), RefusalCode::RecordsRefused);
    assert!(hand.codes(&one).is_empty() && hand.codes(&two).is_empty(), "both stand");
    // Unless it says that it takes the other's place.
    assert_eq!(hand.codes(&with(&mixed, "replaces", reference(&two))), ["record.corrected"]);
    assert_eq!(hand.codes(&two), ["record.recalled"]);
    assert!(hand.codes(&mixed).is_empty());
}

#[test]
fn two_records_of_one_decision_in_one_body_are_refused_unless_they_bear_one_reference() {
    let mut hand = Hand::new();
    let record = hand.new_record();
    let other = hand.new_record();
    let all: Vec<u8> =
        [&record, &other, &with(&record, "ref", "another")].into_iter().flat_map(body).collect();
    let head = hand.head(Op::Put);
    let told = hand.take_body(head, all.into()).unwrap();
    let refused: Vec<_> =
        told["errors"].as_array().unwrap().iter().filter(|e| e["severity"] == "refuse").collect();
    assert_eq!(
        (refused.len(), &refused[0]["record"], &refused[0]["code"]),
        (1, &json!(2), &json!("record.same-decision"))
    );
    assert!(refused[0]["en"].as_str().unwrap().starts_with("Record 0 of this submission"), "{told}");
    assert_eq!(
        hand.codes(&with(&record, "ref", "another")),
        ["record.known-otherwise"],
        "later it is a new version"
    );
}

#[test]
fn a_replaced_record_that_nobody_knows_is_said() {
    let mut hand = Hand::new();
    let record = hand.new_record();
    assert_eq!(hand.codes(&with(&record, "replaces", "typo")), ["record.replaces-unknown"]);
}

#[test]
fn what_was_under_way_when_a_name_was_made_is_judged_again() {
    let mut hand = Hand::new();
    let record = hand.new_record();
    let other = with(&record, "ref", "another");
    // A put, the same decision under another reference, and a recall of each name: all prepared before any is committed.
    let mut waiting = 0;
    let mut sent = Vec::new();
    for (head, about) in [
        (hand.head(Op::Put), body(&record)),
        (hand.head(Op::Put), body(&other)),
        hand.about(Op::Dispute, "another"),
        hand.about_keys(Op::Dispute, &record, false),
    ] {
        sent.push(hand.send(head, about));
        waiting += 1;
        hand.until_waiting(waiting);
    }
    let answers: Vec<Value> = sent.into_iter().map(|sent| hand.response(sent).unwrap()).collect();
    let first = |n: usize| answers[n]["errors"][0]["code"].clone();
    assert_eq!((first(0), first(1)), (json!(null), json!("record.known-otherwise")));
    // Committed while nothing was put under that reference, and while something was put under these key fields.
    assert_eq!((first(2), first(3)), (json!("recall.nothing-known"), json!(null)));
    assert_eq!(hand.recall_told(Op::Dispute, "another")["errors"], json!([]), "it is a name by now");
    let key = hand.key_of(reference(&record), PROVINCE);
    assert_eq!(ops(&hand.take(PROVINCE), &key).len(), 4);
}

#[test]
fn a_register_built_again_is_the_one_that_was_kept() {
    let mut hand = Hand::new();
    let mut records = Vec::new();
    for round in 0..12 {
        let record = hand.new_record();
        hand.put_record(&record);
        records.push(record);
        let some = &records[round / 2].clone();
        match round % 4 {
            0 => drop(hand.codes(&with(some, "CF_WSH", format!("样罚决字〔2026〕{round}号")))),
            1 => drop(hand.codes(&with(some, "ref", format!("another-{round}")))),
            2 => drop(hand.recall(Op::Repair, reference(some))),
            _ => drop(hand.recall(Op::Reinstate, reference(&records[(round - 1) / 2].clone()))),
        }
        hand.put_published(1);
        hand.take(PROVINCE);
        hand.take(PORTAL);
        if round % 3 == 2 {
            // Publications end, segments go into archives.
            hand.pass(2);
            let node = hand.node.clone();
            let ending = hand.runtime.spawn_blocking(move || node.end_publications());
            hand.finish(ending);
            hand.sweep();
        }
        let kept = hand.registered();
        hand = match round % 3 {
            0 => hand.crash(),
            1 => hand.restart(),
            _ => hand.crash_and(|dir| std::fs::remove_dir_all(dir.join("data/register")).unwrap()),
        };
        assert!(hand.registered() == kept, "round {round}");
    }
    assert!(hand.node.segments()[0].segment > 1, "some of it is read from archives");
    // One that says nothing sensible is built again too.
    let kept = hand.registered();
    let mut hand = hand.restart();
    hand = hand.crash_and(|dir| {
        for file in std::fs::read_dir(dir.join("data/register")).unwrap() {
            std::fs::write(file.unwrap().path(), b"damaged").unwrap();
        }
    });
    assert!(hand.registered() == kept);
}

#[test]
fn a_trace_finds_every_line_by_any_reference_those_the_node_wrote_itself_included() {
    let mut hand = Hand::new();
    let put = hand.put_published(1);
    hand.take(PORTAL);
    hand.pass(3);
    let node = hand.node.clone();
    let ending = hand.runtime.spawn_blocking(move || node.end_publications());
    hand.finish(ending);
    hand.take(PORTAL);
    let traced = |hand: &Hand, reference: &str| {
        let wanted = crate::engine::trace::Wanted::Reference { member: DEPARTMENT, reference };
        let mut all: Vec<String> = hand
            .node
            .trace(DATASET, &wanted)
            .unwrap()
            .iter()
            .map(|line| format!("{} {}", line.stream.split('.').next().unwrap(), line.op.name()))
            .collect();
        all.sort();
        all
    };
    assert_eq!(traced(&hand, &put.reference), ["portal put", "portal withdraw", "province put"]);
    let mut other = hand.new_record();
    hand.put_record(&other);
    other = with(&other, "ref", "another");
    hand.put_record(&other);
    hand.recall(Op::Withdraw, "another");
    let wanted =
        ["portal put", "portal put", "portal withdraw", "province put", "province put", "province withdraw"];
    assert_eq!(traced(&hand, "another"), wanted);
    // More of them than the register has places.
    for _ in 0..4 {
        hand.recall(Op::Reinstate, "another");
        hand.recall(Op::Withdraw, "another");
    }
    assert_eq!(traced(&hand, "another").len(), wanted.len() + 16);
    assert!(traced(&hand, "nobody's").is_empty());
}
