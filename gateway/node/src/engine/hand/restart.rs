//! The journal opened again gives the same node: rows, state, answers.

use super::recipient::{error, stream};
use super::*;
use xinqiao_evidence::timestamp::Timestamp;

/// A node that has lived through a little of everything.
fn lived() -> (Hand, Put) {
    let mut hand = Hand::new();
    let (first, second) = (hand.put(), hand.put());
    let batch = hand.list(PROVINCE, 0).unwrap().remove(0);
    hand.fetch(PROVINCE, &batch).unwrap();
    let said = hand.answer_of(PROVINCE, &batch, vec![error(1)]);
    hand.acknowledge(PROVINCE, said).unwrap();
    hand.recall(Op::Withdraw, &second.reference);
    hand.take(PORTAL);
    // Sealed and not handed out; sealed, handed out and not answered; and waiting.
    hand.put();
    hand.list(PROVINCE, 1).unwrap();
    hand.put_published(5);
    let open = hand.list(PORTAL, 1).unwrap().remove(0);
    hand.fetch(PORTAL, &open).unwrap();
    hand.recall(Op::Dispute, &first.reference);
    // The first segments are let go, so the queue is built from a snapshot and what follows it.
    hand.pass(2);
    hand.sweep();
    assert!(hand.node.segments()[0].segment > 1);
    hand.put();
    (hand, first)
}

/// What anyone could see of it.
fn picture(hand: &mut Hand, put: &Put) -> Vec<String> {
    let mut seen = vec![
        format!("{:?}", hand.feedback()),
        hand.stands(&put.submission, PROVINCE).to_string(),
        hand.stands(&put.submission, PORTAL).to_string(),
        hand.node.log().frontier().root().to_hex(),
    ];
    for recipient in [PROVINCE, PORTAL] {
        seen.push(serde_json::to_string(&hand.node.streams_of(recipient)).unwrap());
        let head = hand.node.head(&stream(recipient)).unwrap();
        seen.extend((1..head.next_seq).map(|seq| format!("{:?}", hand.node.batch(&head, seq))));
    }
    seen
}

#[test]
fn after_a_crash_rows_state_and_answers_are_what_they_were() {
    let (mut hand, put) = lived();
    let seen = picture(&mut hand, &put);
    let (rows, state) = (hand.rows(), hand.node.state().clone());
    let mut hand = hand.crash();
    assert_eq!(hand.node.trouble().rebuilt, None, "the queue is caught up");
    assert_eq!((&hand.rows(), &*hand.node.state()), (&rows, &state));
    assert_eq!(picture(&mut hand, &put), seen);
    let mut hand = hand.restart();
    assert_eq!((hand.rows(), picture(&mut hand, &put)), (rows, seen));
    // It goes on where it was.
    hand.put();
    assert_eq!(hand.list(PROVINCE, 2).unwrap()[0].manifest().seq, 3);
}

#[test]
fn a_queue_that_is_lost_is_built_again_from_the_journal_alone() {
    let (mut hand, put) = lived();
    let seen = picture(&mut hand, &put);
    let (rows, state) = (hand.rows(), hand.node.state().clone());
    let mut hand = hand.crash_and(|dir| std::fs::remove_dir_all(dir.join("data/queue")).unwrap());
    assert!(hand.node.trouble().rebuilt.is_some(), "and it is said");
    assert_eq!((&hand.rows(), &*hand.node.state()), (&rows, &state));
    assert_eq!(picture(&mut hand, &put), seen);
    let hand = hand.crash();
    assert_eq!((hand.node.trouble().rebuilt, hand.rows()), (None, rows), "once");
}

#[test]
fn log_files_that_are_behind_are_filled_from_the_journal() {
    let mut hand = Hand::new();
    let put = hand.put();
    hand.take(PROVINCE);
    hand.recall(Op::Dispute, &put.reference);
    let seen = picture(&mut hand, &put);
    let size = hand.node.log_size();
    let mut hand = hand.crash_and(|dir| std::fs::remove_dir_all(dir.join("data/log")).unwrap());
    assert_eq!((hand.node.log().size(), hand.node.log_size()), (size, size));
    assert_eq!(picture(&mut hand, &put), seen);
    hand.list(PROVINCE, 0).expect("proofs are made as before");
}

#[test]
fn a_key_is_answered_byte_for_byte_as_before_after_any_stop_and_belongs_to_its_body() {
    let mut hand = Hand::new();
    let (record, other) = (hand.record(), hand.record());
    let sent = hand.send(hand.head_under(Op::Put, 7), record.clone());
    let first = hand.finish(sent).unwrap();
    let size = hand.node.log_size();
    let mut hand = hand.crash();
    for stopped in [true, false] {
        let again = hand.send(hand.head_under(Op::Put, 7), record.clone());
        assert_eq!(hand.finish(again).unwrap(), first);
        let reused = hand.send(hand.head_under(Op::Put, 7), other.clone());
        assert_eq!(code(hand.finish(reused)), RefusalCode::IdempotencyReused);
        let strict = Head { strict: true, ..hand.head_under(Op::Put, 7) };
        assert_eq!(code(hand.take_body(strict, record.clone())), RefusalCode::IdempotencyReused);
        assert_eq!(hand.node.log_size(), size);
        hand = if stopped { hand.restart() } else { hand.crash() };
    }
}

#[test]
fn a_clock_that_was_set_back_makes_stamps_stand_still() {
    let mut hand = Hand::new();
    hand.pass(1);
    hand.put();
    let batch = hand.list(PROVINCE, 0).unwrap().remove(0);
    hand.turned -= DAY;
    let mut hand = hand.crash();
    assert!(hand.node.clock.behind() > 80_000, "and it is known");
    hand.put();
    let next = hand.list(PROVINCE, 1).unwrap().remove(0);
    let (before, after) = (batch.manifest().created.as_str(), next.manifest().created.as_str());
    assert!(
        before <= after && after <= Timestamp::of_unix(hand.node.clock.now()).as_str(),
        "{before} {after}"
    );
}
