//! A recipient's answer: taken once and for all, line by line, and news for the source.

use super::recipient::{error, stream};
use super::*;
use xinqiao_evidence::acknowledgement::Outcome;
use xinqiao_evidence::manifest::VerifiedManifest;

impl Hand {
    /// The batch of what was sent since the last one, handed out.
    fn next_batch(&mut self, recipient: &'static str) -> VerifiedManifest {
        let after = self.node.head(&stream(recipient)).unwrap().next_seq - 1;
        let batch = self.list(recipient, after).unwrap().remove(0);
        self.fetch(recipient, &batch).unwrap();
        batch
    }

    fn frames(&self) -> u64 {
        *self.node.news().borrow()
    }
}

#[test]
fn an_answer_counts_once_it_is_committed_and_not_before() {
    let mut hand = Hand::new();
    let put = hand.put();
    let batch = hand.next_batch(PROVINCE);
    let given = hand.give(PROVINCE, hand.answer_of(PROVINCE, &batch, vec![error(0)]));
    hand.until_waiting(1);
    assert!(!given.is_finished());
    assert_eq!(hand.stands(&put.submission, PROVINCE)["state"], "offered");
    let size = hand.node.log_size();
    let told = hand.finish(given).unwrap();
    assert_eq!(
        (&told["outcome"], &told["repeated"], &told["log_index"]),
        (&json!("partial"), &json!(false), &json!(size))
    );
    assert_eq!(hand.node.log_size(), size + 1, "it is an entry of the log");
    assert_eq!(hand.stands(&put.submission, PROVINCE)["state"], "partly-rejected");
}

#[test]
fn each_line_that_is_not_taken_is_told_to_its_source_and_no_other_line_is() {
    let mut hand = Hand::new();
    // Two records in one submission, and one in another.
    let (one, two) = (hand.new_record(), hand.new_record());
    let head = hand.head(Op::Put);
    let told = hand.take_body(head, [body(&one), body(&two)].concat().into()).unwrap();
    let pair = told["submission"].as_str().unwrap().to_owned();
    let single = hand.put();
    let batch = hand.next_batch(PROVINCE);
    assert_eq!(batch.manifest().records, 3);
    let said = hand.answer_of(PROVINCE, &batch, vec![error(1), error(2)]);
    hand.acknowledge(PROVINCE, said).unwrap();
    let news = hand.feedback();
    assert_eq!(news.len(), 2);
    let wanted = [(&pair, two.get("ref").unwrap(), 1), (&single.submission, single.reference.as_str(), 0)];
    for (told, (submission, reference, record)) in news.iter().zip(wanted) {
        assert_eq!((&told["submission"], &told["ref"]), (&json!(submission), &json!(reference)));
        assert_eq!(told["record"], record, "its place in the body it came in");
        assert_eq!((&told["stream"], &told["seq"]), (&json!(stream(PROVINCE).as_str()), &json!(1)));
        assert_eq!((&told["code"], &told["message"]), (&json!("E1007"), &json!("主体代码不存在")));
    }
    // Another department is not told of it.
    let list =
        hand.ask(|node| async move { node.feedback("somebody-else", 0, Duration::ZERO).await }).unwrap();
    assert_eq!(serde_json::to_value(&list).unwrap()["feedback"], json!([]));
}

#[test]
fn the_only_line_of_a_batch_is_told_too() {
    let mut hand = Hand::new();
    let put = hand.put();
    let batch = hand.next_batch(PROVINCE);
    assert_eq!(batch.manifest().records, 1);
    let said = hand.answer_of(PROVINCE, &batch, vec![error(0)]);
    hand.acknowledge(PROVINCE, said).unwrap();
    let news = hand.feedback();
    assert_eq!(news.len(), 1);
    assert_eq!((&news[0]["ref"], &news[0]["seq"]), (&json!(put.reference), &json!(1)));
    let stands = hand.stands(&put.submission, PROVINCE);
    assert_eq!((&stands["state"], &stands["rejected"]), (&json!("partly-rejected"), &json!(1)));
    let row = hand.node.head(&stream(PROVINCE)).unwrap();
    assert_eq!((row.acknowledged_batches, row.acknowledged_records, row.rejected_records), (1, 1, 1));
}

#[test]
fn a_batch_rejected_as_a_whole_waits_and_may_be_answered_otherwise() {
    let mut hand = Hand::new();
    let put = hand.put();
    let batch = hand.next_batch(PROVINCE);
    let accepted = hand.answer_of(PROVINCE, &batch, Vec::new());
    let mut rejected = accepted.clone();
    rejected.outcome = Outcome::Rejected;
    assert_eq!(hand.acknowledge(PROVINCE, rejected.clone()).unwrap()["repeated"], false);
    assert_eq!(hand.stands(&put.submission, PROVINCE)["state"], "batch-rejected");
    assert_eq!(
        hand.node.head(&stream(PROVINCE)).unwrap().acknowledged_batches,
        0,
        "it is still to be answered"
    );
    assert_eq!(hand.acknowledge(PROVINCE, rejected.clone()).unwrap()["repeated"], true);
    assert_eq!(hand.fetch(PROVINCE, &batch).unwrap().len(), 1, "handed out again");
    assert_eq!(hand.acknowledge(PROVINCE, accepted).unwrap()["repeated"], false);
    assert_eq!(hand.stands(&put.submission, PROVINCE)["state"], "acknowledged");
    assert_eq!(code(hand.acknowledge(PROVINCE, rejected)), RefusalCode::AcknowledgementDiffers);
}

#[test]
fn a_rejection_said_again_at_another_time_is_told_once() {
    let mut hand = Hand::new();
    hand.put();
    let batch = hand.next_batch(PROVINCE);
    let rejection = |hand: &Hand, code: &str| {
        let mut error = error(0);
        error.code = code.into();
        let mut said = hand.answer_of(PROVINCE, &batch, vec![error]);
        said.outcome = Outcome::Rejected;
        said
    };
    let first = rejection(&hand, "E1");
    assert_eq!(hand.acknowledge(PROVINCE, first.clone()).unwrap()["repeated"], false);
    let (size, news) = (hand.node.log_size(), hand.feedback());
    assert_eq!(news.len(), 1);
    hand.pass(1);
    let later = rejection(&hand, "E1");
    assert_ne!(later.time, first.time);
    assert_eq!(hand.acknowledge(PROVINCE, later).unwrap()["repeated"], true);
    assert_eq!((hand.node.log_size(), hand.feedback()), (size, news));
    // Another rejection is news, and the batch still waits.
    let other = rejection(&hand, "E2");
    assert_eq!(hand.acknowledge(PROVINCE, other).unwrap()["repeated"], false);
    assert_eq!(hand.feedback().len(), 2);
    let accepted = hand.answer_of(PROVINCE, &batch, Vec::new());
    assert_eq!(hand.acknowledge(PROVINCE, accepted).unwrap()["repeated"], false);
}

#[test]
fn the_same_answer_again_changes_nothing_whenever_it_is_given_and_another_is_refused() {
    let mut hand = Hand::new();
    hand.put();
    let batch = hand.next_batch(PROVINCE);
    let first = hand.answer_of(PROVINCE, &batch, vec![error(0)]);
    hand.acknowledge(PROVINCE, first.clone()).unwrap();
    let (size, news) = (hand.node.log_size(), hand.feedback());
    hand.pass(1);
    let mut hand = hand.crash();
    let later = hand.answer_of(PROVINCE, &batch, vec![error(0)]);
    assert_ne!(later.time, first.time);
    for same in [first, later] {
        let told = hand.acknowledge(PROVINCE, same).unwrap();
        assert_eq!((&told["repeated"], &told["log_index"]), (&json!(true), &Value::Null));
    }
    let mut other = error(0);
    other.code = "E9".into();
    for errors in [vec![], vec![other]] {
        let other = hand.answer_of(PROVINCE, &batch, errors);
        assert_eq!(code(hand.acknowledge(PROVINCE, other)), RefusalCode::AcknowledgementDiffers);
    }
    assert_eq!((hand.node.log_size(), hand.feedback()), (size, news));
}

#[test]
fn of_two_different_answers_at_once_exactly_one_counts() {
    let mut hand = Hand::new();
    hand.put();
    let batch = hand.next_batch(PROVINCE);
    let first = hand.give(PROVINCE, hand.answer_of(PROVINCE, &batch, vec![error(0)]));
    hand.until_waiting(1);
    let second = hand.give(PROVINCE, hand.answer_of(PROVINCE, &batch, Vec::new()));
    // Both have come: the second waits for the place the first holds, or, were there none, before the committer.
    let came = || {
        let places = hand.node.acknowledging.lock();
        let holders = places.get(&stream(PROVINCE)).map_or(0, Arc::strong_count);
        holders == 3 || hand.committer.unseen() == 2
    };
    hand.until(came);
    assert_eq!(hand.finish(first).unwrap()["outcome"], "partial");
    assert_eq!(code(hand.finish(second)), RefusalCode::AcknowledgementDiffers);
    assert_eq!(hand.feedback().len(), 1);
}

#[test]
fn answers_of_different_streams_share_a_sync() {
    let mut hand = Hand::new();
    hand.put();
    let (province, portal) = (hand.next_batch(PROVINCE), hand.next_batch(PORTAL));
    let given = [
        hand.give(PROVINCE, hand.answer_of(PROVINCE, &province, Vec::new())),
        hand.give(PORTAL, hand.answer_of(PORTAL, &portal, Vec::new())),
    ];
    hand.until_waiting(2);
    let frames = hand.frames();
    assert_eq!(hand.step(), Step::Done);
    assert_eq!(hand.frames(), frames + 1);
    for given in given {
        assert_eq!(hand.finish(given).unwrap()["repeated"], false);
    }
}

#[test]
fn an_answer_that_its_asker_does_not_wait_for_is_taken_before_the_next_is_looked_at() {
    let mut hand = Hand::new();
    hand.put();
    let batch = hand.next_batch(PROVINCE);
    let first = hand.give(PROVINCE, hand.answer_of(PROVINCE, &batch, Vec::new()));
    hand.until_waiting(1);
    first.abort();
    hand.until(|| first.is_finished());
    let said = hand.answer_of(PROVINCE, &batch, vec![error(0)]);
    assert_eq!(code(hand.acknowledge(PROVINCE, said)), RefusalCode::AcknowledgementDiffers);
    let said = hand.answer_of(PROVINCE, &batch, Vec::new());
    assert_eq!(hand.acknowledge(PROVINCE, said).unwrap()["repeated"], true);
}

#[test]
fn an_answer_is_of_a_batch_that_was_handed_out_in_this_epoch_by_this_node() {
    let mut hand = Hand::new();
    hand.put();
    let batch = hand.list(PROVINCE, 0).unwrap().remove(0);
    let good = hand.answer_of(PROVINCE, &batch, Vec::new());
    let size = hand.node.log_size();
    assert_eq!(code(hand.acknowledge(PROVINCE, good.clone())), RefusalCode::AcknowledgementNeverServed);
    hand.fetch(PROVINCE, &batch).unwrap();
    let mut wrong = [good.clone(), good.clone(), good.clone(), good.clone(), good.clone()];
    wrong[0].seq = 2;
    wrong[1].manifest_digest = xinqiao_evidence::Digests::sha256(xinqiao_evidence::Digest::of(b"another"));
    wrong[2].epoch = 2;
    wrong[3].node = "demo.example/350000-credit".into();
    wrong[4] = hand.answer_of(PROVINCE, &batch, vec![error(1)]);
    let codes = [
        RefusalCode::BatchUnknown,
        RefusalCode::AcknowledgementDigest,
        RefusalCode::AcknowledgementEpoch,
        RefusalCode::AcknowledgementEpoch,
        RefusalCode::AcknowledgementRange,
    ];
    for (said, wanted) in wrong.into_iter().zip(codes) {
        assert_eq!(code(hand.acknowledge(PROVINCE, said)), wanted);
    }
    let node = hand.node.clone();
    let as_sent = good.to_json().into();
    let other = crate::engine::acknowledge::Received { said: good.clone(), as_sent, paid: None };
    let of_another =
        hand.runtime.block_on(async { node.acknowledge(PORTAL, &stream(PROVINCE), other).await });
    assert_eq!(code(of_another), RefusalCode::StreamNotYours);
    assert_eq!(hand.node.log_size(), size, "nothing of it is kept");
    assert_eq!(hand.acknowledge(PROVINCE, good).unwrap()["repeated"], false);
}
