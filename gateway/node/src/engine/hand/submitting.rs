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
