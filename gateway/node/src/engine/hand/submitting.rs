//! From a submission to its answer: what is answered when, once per key, under the rules of the moment of the commit.

use super::*;

#[test]
fn nothing_is_answered_before_it_is_committed_and_what_waits_goes_together() {
    let mut hand = Hand::new();
    let (before, frames) = (hand.node.log_size(), *hand.node.news().borrow());
    let sent: Vec<Sent> = (0..3)
        .map(|_| {
            let (head, body) = (hand.head(Op::Put), hand.record());
            hand.send(head, body)
        })
        .collect();
    hand.until_waiting(3);
    assert!(sent.iter().all(|sent| !sent.is_finished()));
    assert_eq!(hand.node.log_size(), before, "nothing is in the log");
    assert_eq!(hand.step(), Step::Done);
    assert_eq!(hand.node.log_size(), before + 3);
    assert_eq!(*hand.node.news().borrow(), frames + 1, "one frame, so one sync");
    for sent in sent {
        assert_eq!(hand.response(sent).unwrap()["accepted"], 1);
    }
    assert_eq!(hand.step(), Step::Idle);
}

#[test]
fn a_key_sent_twice_at_once_is_committed_once_and_answered_alike() {
    let mut hand = Hand::new();
    let body = hand.record();
    let before = hand.node.log_size();
    let first = hand.send(hand.head_under(Op::Put, 7), body.clone());
    let second = hand.send(hand.head_under(Op::Put, 7), body.clone());
    hand.until_waiting(1);
    let first = hand.response(first).unwrap();
    assert_eq!(hand.response(second).unwrap(), first);
    assert_eq!(hand.node.log_size(), before + 1);
    let other = hand.record();
    let reused = hand.send(hand.head_under(Op::Put, 7), other);
    assert_eq!(hand.response(reused).unwrap_err().code(), RefusalCode::IdempotencyReused);
}

#[test]
fn what_was_prepared_under_older_rules_is_prepared_again_under_those_in_force() {
    let mut hand = Hand::new();
    let (head, body) = (hand.head(Op::Put), hand.record());
    let before = hand.node.log_size();
    let sent = hand.send(head, body);
    hand.until_waiting(1);
    // Meanwhile the department loses its dataset.
    let mut members = hand.node.rules().members().to_vec();
    for source in members.iter_mut().filter_map(|m| m.source.as_mut()) {
        source.datasets.clear();
    }
    let node = hand.node.clone();
    let adopted = std::thread::spawn(move || node.adopt_members(members));
    // The rules are in force before the barrier that tells their adopter so.
    hand.until_waiting(2);
    let refused = hand.response(sent).unwrap_err();
    assert_eq!(refused.code(), RefusalCode::DatasetNotYours);
    assert_eq!(hand.node.log_size(), before, "nothing of it is kept");
    let began = Instant::now();
    while !adopted.is_finished() {
        assert!(began.elapsed() < PATIENCE);
        hand.step();
    }
    adopted.join().unwrap().unwrap();
}

#[test]
fn a_stopped_committer_refuses_what_waits_and_the_node_opens_again() {
    let mut hand = Hand::new();
    let node = hand.node.clone();
    let stop = hand.runtime.spawn(async move { node.stop().await });
    hand.until_waiting(1);
    let (head, body) = (hand.head(Op::Put), hand.record());
    let sent = hand.send(head, body);
    hand.until_waiting(2);
    assert_eq!(hand.step(), Step::Stopped);
    hand.runtime.block_on(stop).unwrap();
    // Its jobs end with it: what waits is refused.
    let Hand { runtime, node, committer, turned, dir, .. } = hand;
    drop(committer);
    let refused = runtime.block_on(sent).unwrap().unwrap_err();
    assert_eq!(refused.code(), RefusalCode::BusyDraining);
    drop(node);
    let (node, _committer) = assemble(dir.path(), turned, Arc::default());
    assert!(node.trouble().failed.is_empty() && node.trouble().rebuilt.is_none());
}

#[test]
fn an_organisation_without_a_code_is_published_on_the_basis_of_its_authority_and_counted() {
    const AUTHORITY: &str = "[[members.source.authorities]]\n";
    let basis = "uncoded_basis = \"样编〔2026〕1号\"\n";
    let counted = |hand: &Hand| {
        let text = hand.node.metrics.0.render();
        let line =
            text.lines().find(|l| l.starts_with("xinqiao_ingest_uncoded_records_total{")).map(str::to_owned);
        line.map(|line| line.rsplit_once(' ').unwrap().1.to_owned())
    };
    let uncoded = |hand: &mut Hand, basis: &str, name: &str| {
        let mut record = hand.new_record();
        record.set("CF_XDR_SHXYM", "00000000000000000X");
        record.set("CF_XDR_MC", name);
        for code in ["CF_XDR_GSZC", "CF_XDR_ZZJG", "CF_XDR_SWDJ", "CF_XDR_SYDW", "CF_XDR_SHZZ"] {
            record.set(code, "");
        }
        let mut line: Value = serde_json::from_slice(&body(&record)).unwrap();
        line["basis"] = basis.into();
        let representative = line["CF_FRDB"].as_str().unwrap().to_owned();
        let told = hand.take_body(hand.head_under(Op::Put, hand.keys + 1_000), line.to_string().into());
        hand.keys += 1;
        (told, representative)
    };
    let codes = |told: &Value| {
        let found = told["receipt"]["rejected"].as_array().unwrap();
        found.iter().map(|f| f["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    let mut hand = Hand::with(|text| text.replace(AUTHORITY, &format!("{AUTHORITY}{basis}")));
    let (told, _) = uncoded(&mut hand, "样民社〔2009〕12号", "样例村民小组");
    let told = told.expect("it is taken");
    assert_eq!(codes(&told), ["field.placeholder", "record.subject-uncoded"]);
    let line = &hand.take(PORTAL)[0];
    assert_eq!(
        (line["op"].as_str(), line["data"]["CF_XDR_MC"].as_str()),
        (Some("put"), Some("样例村民小组"))
    );
    assert!(!line.to_string().contains("样民社"), "the basis leaves for nobody");
    assert_eq!(counted(&hand).as_deref(), Some("1"));
    // Without the record's own word it stays unproven, and so it does where a person's name stands for the organisation's.
    let (told, _) = uncoded(&mut hand, "", "样例村民小组");
    assert_eq!(codes(&told.expect("it is taken")), ["field.placeholder", "record.subject-unproven"]);
    assert_eq!(hand.take(PORTAL)[0]["op"], "withdraw");
    let mut record = hand.new_record();
    let person = record.get("CF_FRDB").unwrap().to_owned();
    record.set("CF_XDR_MC", person);
    record.set("CF_XDR_SHXYM", "00000000000000000X");
    let mut line: Value = serde_json::from_slice(&body(&record)).unwrap();
    line["basis"] = "样民社〔2009〕12号".into();
    let head = hand.head(Op::Put);
    let told = hand.take_body(head, line.to_string().into()).expect("it is taken");
    assert!(codes(&told).contains(&"record.subject-unproven".to_owned()), "{told}");
    assert_eq!(hand.take(PORTAL)[0]["op"], "withdraw");
    assert_eq!(counted(&hand).as_deref(), Some("1"));

    // Of an authority without a registered basis the word is refused, and of a subject with a code it is not wanted.
    let mut hand = Hand::new();
    let (refused, _) = uncoded(&mut hand, "样民社〔2009〕12号", "样例村民小组");
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), RefusalCode::RecordsRefused);
    let text = format!("{refused:?}");
    assert!(text.contains("authority.no-uncoded-basis"), "{text}");
    let record = hand.new_record();
    let mut line: Value = serde_json::from_slice(&body(&record)).unwrap();
    line["basis"] = "样民社〔2009〕12号".into();
    let head = hand.head(Op::Put);
    let refused = hand.take_body(head, line.to_string().into()).unwrap_err();
    assert!(format!("{refused:?}").contains("record.recall-member"), "{refused:?}");
    assert_eq!(counted(&hand), None);
}
