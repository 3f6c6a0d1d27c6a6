//! A record that was recalled is refused under every name that leads to it, until it is reinstated.

use super::recipient::ops;
use super::*;

const KEY: [&str; 4] = ["CF_XDR_SHXYM", "CF_XDR_ZJHM", "CF_WSH", "CF_JDRQ"];

impl Hand {
    /// A recall by key fields, with or without reference, to be sent.
    pub(super) fn about_keys(&mut self, op: Op, record: &Record, with_reference: bool) -> (Head, Bytes) {
        let effective = self.node.business_date().to_string();
        let mut line = json!({ "reason": "mistake", "basis": "样撤〔2026〕1号", "effective": effective });
        for code in KEY.into_iter().chain(with_reference.then_some("ref")) {
            if let Some(value) = record.get(code) {
                line[code] = value.into();
            }
        }
        (Head { format: Format::Json, ..self.head(op) }, json!([line]).to_string().into())
    }

    pub(super) fn recall_keys(&mut self, op: Op, record: &Record, with_reference: bool) {
        let (head, body) = self.about_keys(op, record, with_reference);
        let told = self.take_body(head, body).expect("it is taken");
        assert_eq!(told["accepted"], 1, "{told}");
    }

    /// Is it refused because it was recalled? Else it is taken.
    fn refuses(&mut self, record: &Record) -> bool {
        // Beside a sound one, so that the finding is seen.
        let mut both = body(record).to_vec();
        both.extend(self.record());
        let head = self.head(Op::Put);
        let told = self.take_body(head, both.into()).expect("one of two at least");
        match told["refused"].as_u64() {
            Some(0) => false,
            _ => {
                assert_eq!(
                    (&told["errors"][0]["record"], &told["errors"][0]["code"]),
                    (&json!(0), &json!("record.recalled")),
                    "{told}"
                );
                true
            }
        }
    }

    fn without_reference(&mut self) -> Record {
        let mut record = self.new_record();
        record.remove("ref");
        record
    }
}

pub(super) fn with(record: &Record, code: &'static str, value: impl Into<String>) -> Record {
    let mut other = record.clone();
    other.set(code, value);
    other
}

/// The record under other names: key fields spelled otherwise, and each of them with a reference too.
fn spellings(record: &Record) -> Vec<Record> {
    let document = record.get("CF_WSH").unwrap().to_owned();
    let mut all = Vec::new();
    for brackets in ["﹝﹞", "❲❳", "「」", "『』", "〘〙", "︹︺", "＜＞"] {
        let (open, close) = brackets.split_at(brackets.len() / 2);
        all.push(with(record, "CF_WSH", document.replace('〔', open).replace('〕', close)));
    }
    for hidden in
        ['\u{AD}', '\u{200E}', '\u{FE0F}', '\u{2064}', '\u{180E}', '\u{3164}', '\u{2066}', '\u{200B}']
    {
        all.push(with(record, "CF_WSH", document.replace('罚', &format!("罚{hidden}"))));
    }
    assert!(all.iter().all(|other| other.get("CF_WSH") != Some(&document)), "the spelling is another one");
    let credit_code = record.get("CF_XDR_SHXYM").unwrap();
    let mut organisation = with(record, "CF_XDR_ZZJG", &credit_code[8..17]);
    organisation.set("CF_XDR_SHXYM", "00000000000000000X");
    all.push(organisation);
    let named = all.iter().enumerate().map(|(n, other)| with(other, "ref", format!("another-{n}")));
    let mut named: Vec<Record> = named.collect();
    named.push(with(record, "ref", "another"));
    all.append(&mut named);
    all
}

#[test]
fn a_record_recalled_by_its_key_fields_is_refused_in_every_spelling_and_under_any_reference() {
    let mut hand = Hand::new();
    let record = hand.without_reference();
    assert!(!hand.refuses(&record));
    hand.recall_keys(Op::Withdraw, &record, false);
    assert!(hand.refuses(&record));
    for other in spellings(&record) {
        assert!(hand.refuses(&other), "{other:?}");
    }
    let document = record.get("CF_WSH").unwrap().replace("罚", "许");
    assert!(!hand.refuses(&with(&record, "CF_WSH", document)), "another document is another record");
    hand.recall_keys(Op::Reinstate, &record, false);
    for other in spellings(&record) {
        assert!(!hand.refuses(&other), "{other:?}");
    }
}

#[test]
fn the_number_of_15_digits_and_that_of_18_name_one_person() {
    let mut hand = Hand::new();
    let mut person = || loop {
        let mut record = hand.generator.record_about(Table::Penalty2020, Some(SubjectKind::NaturalPerson));
        if record.get("CF_XDR_ZJHM").is_some_and(|number| number.len() == 18 && &number[6..8] == "19") {
            record.remove("ref");
            return record;
        }
    };
    let record = person();
    let long = record.get("CF_XDR_ZJHM").unwrap().to_owned();
    let short = with(&record, "CF_XDR_ZJHM", format!("{}{}", &long[..6], &long[8..17]));
    let other = person();
    for (recalled, sent) in [(&record, &short), (&short, &record)] {
        assert!(!hand.refuses(recalled) && !hand.refuses(sent));
        hand.recall_keys(Op::Repair, recalled, false);
        assert!(hand.refuses(recalled) && hand.refuses(sent) && !hand.refuses(&other));
        assert!(hand.refuses(&with(sent, "ref", "another")));
        hand.recall_keys(Op::Reinstate, sent, false);
    }
}

#[test]
fn a_recall_by_reference_holds_for_the_key_fields_it_was_known_with_and_the_other_way_round() {
    let mut hand = Hand::new();
    let record = hand.new_record();
    hand.put_record(&record);
    let mut bare = record.clone();
    bare.remove("ref");
    hand.recall(Op::Withdraw, record.get("ref").unwrap());
    assert!(hand.refuses(&record));
    assert!(
        hand.refuses(&with(&record, "CF_WSH", "样罚决字〔2026〕9号")),
        "other key fields under its reference"
    );
    assert!(hand.refuses(&bare) && hand.refuses(&with(&record, "ref", "another")));
    hand.recall_keys(Op::Withdraw, &record, true);
    assert!(hand.refuses(&record) && hand.refuses(&bare) && hand.refuses(&with(&record, "ref", "another")));
    // A later one that says less does not make the node forget.
    hand.recall(Op::Repair, record.get("ref").unwrap());
    let mut hand = hand.crash();
    assert!(hand.refuses(&record) && hand.refuses(&bare));
    hand.recall(Op::Reinstate, record.get("ref").unwrap());
    assert!(
        !hand.refuses(&bare) && !hand.refuses(&record) && !hand.refuses(&with(&record, "ref", "another"))
    );
}

#[test]
fn reinstated_by_its_key_fields_in_another_spelling_it_comes_under_its_old_key() {
    let mut hand = Hand::new();
    let record = hand.new_record();
    let put = hand.put_record(&record);
    hand.recall_keys(Op::Withdraw, &record, true);
    hand.take(PROVINCE);
    let spelled = spellings(&record).remove(0);
    hand.recall_keys(Op::Reinstate, &spelled, false);
    hand.put_record(&record);
    let lines = hand.take(PROVINCE);
    assert_eq!(ops(&lines, &hand.key_of(&put.reference, PROVINCE)), ["reinstate", "put"]);
}

#[test]
fn a_put_judged_before_a_recall_under_another_name_was_committed_is_judged_again() {
    for (names_known, grouped) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut hand = Hand::new();
        if names_known {
            let other = hand.without_reference();
            hand.recall_keys(Op::Withdraw, &other, false);
        }
        let record = hand.without_reference();
        assert!(!hand.refuses(&record));
        let (head, about) = hand.about_keys(Op::Withdraw, &record, false);
        let recall = hand.send(head, about);
        hand.until_waiting(1);
        let mut waiting = 1;
        let node = hand.node.clone();
        // Nothing overtakes a barrier, so the put has a group of its own.
        let barrier = (!grouped).then(|| hand.runtime.spawn_blocking(move || node.barrier().is_ok()));
        if barrier.is_some() {
            waiting += 1;
            hand.until_waiting(waiting);
        }
        let mut sent = Vec::new();
        for other in [spellings(&record).remove(0), with(&record, "ref", "another")] {
            let head = hand.head(Op::Put);
            sent.push(hand.send(head, body(&other)));
            waiting += 1;
            hand.until_waiting(waiting);
        }
        // One that is not concerned.
        let head = hand.head(Op::Put);
        let free = hand.record();
        let free = hand.send(head, free);
        hand.until_waiting(waiting + 1);
        assert_eq!(hand.step(), Step::Done);
        assert_eq!(hand.response(recall).unwrap()["accepted"], 1);
        for put in sent {
            assert_eq!(code(hand.response(put)), RefusalCode::RecordsRefused, "{names_known} {grouped}");
        }
        assert_eq!(hand.response(free).unwrap()["accepted"], 1);
        if let Some(barrier) = barrier {
            assert!(hand.finish(barrier));
        }
    }
}

#[test]
fn names_outlive_a_crash_a_lost_queue_and_segments_that_were_let_go() {
    let mut hand = Hand::new();
    let (record, referenced) = (hand.without_reference(), hand.new_record());
    hand.recall_keys(Op::Withdraw, &record, false);
    hand.recall_keys(Op::Repair, &referenced, true);
    let names =
        [spellings(&record).remove(0), with(&record, "ref", "another"), spellings(&referenced).remove(0)];
    let mut hand = hand.crash();
    assert!(names.iter().all(|record| hand.refuses(record)), "caught up");
    // The queue is built from a snapshot and what follows it.
    hand.pass(2);
    hand.sweep();
    assert!(hand.node.segments()[0].segment > 1);
    let rows = hand.rows();
    let mut hand = hand.crash_and(|dir| std::fs::remove_dir_all(dir.join("data/queue")).unwrap());
    assert!(hand.node.trouble().rebuilt.is_some());
    assert_eq!(hand.rows(), rows);
    assert!(names.iter().all(|record| hand.refuses(record)), "built again");
    hand.recall_keys(Op::Reinstate, &record, false);
    let mut hand = hand.crash();
    assert_eq!(names.each_ref().map(|record| hand.refuses(record)), [false, false, true]);
}

#[test]
fn a_correction_is_not_kept_back_by_what_it_replaces() {
    let mut hand = Hand::new();
    let first = hand.new_record();
    hand.put_record(&first);
    let second = with(&with(&first, "ref", "second"), "replaces", first.get("ref").unwrap());
    let third = with(&with(&first, "ref", "third"), "replaces", "second");
    assert!(!hand.refuses(&second) && !hand.refuses(&second), "sent twice");
    assert!(!hand.refuses(&third));
    assert!(hand.refuses(&first) && hand.refuses(&second));
    // Recalled with its key fields, they are gone under any other reference; not for what names it as replaced.
    hand.recall_keys(Op::Withdraw, &with(&third, "ref", "third"), true);
    assert!(hand.refuses(&with(&first, "ref", "fourth")));
    let fourth = with(&with(&first, "ref", "fourth"), "replaces", "third");
    assert!(hand.refuses(&with(&fourth, "replaces", "somebody-else")));
    assert!(!hand.refuses(&fourth));
    let mut later = fourth.clone();
    later.remove("replaces");
    assert!(!hand.refuses(&later), "and it can be corrected in turn");
    let mut hand = hand.crash();
    assert!(!hand.refuses(&later) && hand.refuses(&third));
}

#[test]
fn in_one_body_a_version_that_says_it_was_revoked_keeps_other_names_back() {
    let mut hand = Hand::new();
    // A table with a column for the status.
    let record = hand.generator.record_about(Table::Penalty2017, Some(SubjectKind::LegalPerson));
    let revoked = with(&record, "CF_ZT", "1");
    let other = with(&record, "ref", "another");
    let correction = with(&with(&record, "ref", "right"), "replaces", record.get("ref").unwrap());
    let all: Vec<u8> =
        [&revoked, &other, &correction, &with(&record, "ref", "right")].into_iter().flat_map(body).collect();
    let head = Head { schema: Some("administrative-penalty-2017".into()), ..hand.head(Op::Put) };
    let told = hand.take_body(head, all.into()).unwrap();
    let refused: Vec<_> = told["errors"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["code"] == "record.recalled")
        .map(|e| &e["record"])
        .collect();
    assert_eq!(refused, [&json!(1)], "{told}");
}
