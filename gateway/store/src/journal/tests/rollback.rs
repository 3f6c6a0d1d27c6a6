//! A journal that ends before what others know of it is not written to until a person decides.

use std::collections::BTreeMap;

use super::*;
use crate::{Known, OpenError, ReadError, Rollback};

fn files(path: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    all
}

/// The rollback `options` end in, having checked that opening changed no file.
fn refused(node: &Node, options: Options) -> Rollback {
    let before = files(node.path.path());
    let Err(OpenError::Rollback(rollback)) = node.open_with(options.clone()) else { panic!("opened") };
    assert_eq!(files(node.path.path()), before);
    let (mut journal, reader, recovery) =
        node.open_with(Options { adopt_rollback: true, ..options }).unwrap();
    assert_eq!(recovery.rolled_back, Some(rollback));
    assert!(!recovery.clean);
    let next = recovery.next_log_index;
    append(&mut journal, next).unwrap();
    drop((journal, reader));
    let (_, reader, recovery) = node.open();
    assert_eq!(recovery.rolled_back, None);
    holds(&reader, next + 1);
    rollback
}

fn with_frames(count: u64) -> Node {
    let node = Node::new();
    let (mut journal, ..) = node.open();
    for n in 0..count {
        append(&mut journal, n).unwrap();
    }
    node
}

#[test]
fn the_queue_knows_a_later_frame() {
    let node = with_frames(3);
    let known = Position { segment: 1, frame: 3 };
    assert!(
        node.open_with(Options { referenced: Some(Position { segment: 1, frame: 2 }), ..small() }).is_ok()
    );
    let rollback = refused(&node, Options { referenced: Some(known), ..small() });
    assert_eq!(
        rollback,
        Rollback { end: Some(Position { segment: 1, frame: 2 }), known: Known::Referenced(known) }
    );
}

#[test]
fn the_log_files_hold_more_entries() {
    let node = with_frames(3);
    assert!(node.open_with(Options { log_size: 3, ..small() }).is_ok());
    assert_eq!(refused(&node, Options { log_size: 4, ..small() }).known, Known::LogSize(4));
}

#[test]
fn an_older_journal_under_a_newer_clean_mark() {
    let node = with_frames(3);
    drop(node.open());
    let older = temporary();
    copy(&node.path.path().join("journal"), older.path());
    {
        let (mut journal, ..) = node.open();
        append(&mut journal, 3).unwrap();
        journal.close().unwrap();
    }
    std::fs::remove_dir_all(node.path.path().join("journal")).unwrap();
    copy(older.path(), &node.path.path().join("journal"));
    let end = Position { segment: 2, frame: 0 };
    assert_eq!(refused(&node, small()).known, Known::CleanMark(Some(end)));
}

#[test]
fn another_journal_of_the_same_length_under_a_clean_mark() {
    let (node, other) = (Node::new(), Node::new());
    for node in [&node, &other] {
        let (mut journal, ..) = node.open();
        append(&mut journal, 0).unwrap();
        journal.close().unwrap();
    }
    let other = Node { keys: node.keys.clone(), path: other.path };
    std::fs::copy(node.path.path().join("CLEAN"), other.path.path().join("CLEAN")).unwrap();
    WrappedKey::read(&node.file(1, "key"), Purpose::Segment, 1, &node.keys).map(drop).unwrap();
    // The other node's key does not open here, so it cannot even be taken for a rollback.
    assert!(matches!(other.open_with(small()), Err(OpenError::KeyDamaged(_))));
    // The same node, grown differently from one copy.
    let copied = Node { keys: node.keys.clone(), path: temporary() };
    copy(node.path.path(), copied.path.path());
    for (n, node) in [(1, &node), (2, &copied)] {
        let (mut journal, ..) = node.open();
        let entry = [n; 3];
        let frame =
            Frame { kind: n, items: &[], idempotency: &[], log_entries: &[&entry], first_log_index: 1 };
        journal.append(&frame).unwrap();
        journal.close().unwrap();
    }
    std::fs::copy(node.path.path().join("CLEAN"), copied.path.path().join("CLEAN")).unwrap();
    let Err(OpenError::Rollback(rollback)) = copied.open_with(small()) else { panic!("opened") };
    assert_eq!(rollback.known, Known::CleanMark(None));
}

#[test]
fn the_newest_segment_is_gone_but_not_its_closing_record() {
    let node = with_frames(2);
    {
        let (mut journal, ..) = node.open();
        append(&mut journal, 2).unwrap();
        journal.close().unwrap();
    }
    std::fs::remove_file(node.path.path().join("CLEAN")).unwrap();
    std::fs::remove_file(node.file(2, "seg")).unwrap();
    let end = Position { segment: 2, frame: 0 };
    assert_eq!(refused(&node, small()).known, Known::Closed(end));
}

#[test]
fn a_closed_newest_segment_lost_its_end() {
    let node = with_frames(3);
    drop(node.open());
    let bytes = std::fs::read(node.file(1, "seg")).unwrap();
    assert!(bytes.len() < 8000, "blocks ahead were given back");
    std::fs::write(node.file(1, "seg"), &bytes[..bytes.len() - 1200]).unwrap();
    let end = Position { segment: 1, frame: 2 };
    assert_eq!(refused(&node, small()).known, Known::Closed(end));
}

#[test]
fn a_segment_that_was_never_retired_is_missed() {
    for (missing, with_all_its_files) in [(1, false), (2, false), (1, true), (2, true)] {
        let node = with_frames(0);
        for n in 0..4 {
            let (mut journal, ..) = node.open();
            append(&mut journal, n).unwrap();
        }
        let (journal, reader, _) = node.open();
        std::fs::remove_file(node.file(missing, "seg")).unwrap();
        if missing == 2 {
            // A running node notices too.
            assert!(matches!(reader.replay(None, |_| ControlFlow::Continue(())), Err(ReadError::Io(..))));
        }
        drop((journal, reader));
        if with_all_its_files {
            std::fs::remove_file(node.file(missing, "key")).unwrap();
            std::fs::remove_file(node.file(missing, "idem")).unwrap();
        }
        let Err(OpenError::Missing(found)) = node.open_with(small()) else { panic!("opened") };
        assert_eq!(found, missing);
    }
}

#[test]
fn several_lost_segments_are_given_up_together() {
    let node = Node::new();
    for n in 0..4 {
        let (mut journal, ..) = node.open();
        append(&mut journal, n).unwrap();
    }
    drop(node.open());
    for lost in [2, 3, 4] {
        std::fs::remove_file(node.file(lost, "seg")).unwrap();
    }
    assert_eq!(refused(&node, small()).known, Known::Closed(Position { segment: 4, frame: 0 }));
}

#[test]
fn an_older_journal_under_newer_evidence() {
    let node = with_frames(1);
    drop(node.open());
    let older = temporary();
    copy(&node.path.path().join("journal"), older.path());
    let kept = {
        let (mut journal, reader, _) = node.open();
        let kept = append(&mut journal, 1).unwrap().items[1];
        journal.roll();
        append(&mut journal, 2).unwrap();
        reader.retire(2, 3).unwrap();
        kept
    };
    std::fs::remove_dir_all(node.path.path().join("journal")).unwrap();
    copy(older.path(), &node.path.path().join("journal"));
    assert_eq!(refused(&node, small()).known, Known::Retired(2));
    // The number of the archived segment is not used again, so references into it still hold.
    let (_, reader, _) = node.open();
    assert_eq!(reader.read(kept, b"log").unwrap(), b"evidence 1");
    let numbers: Vec<_> = reader.segments().iter().map(|segment| segment.segment).collect();
    assert_eq!(numbers, [1, 3]);
}

#[test]
fn a_crash_right_after_a_segment_was_created_is_no_rollback() {
    let node = with_frames(2);
    node.open().0.close().unwrap();
    let (mut journal, reader, recovery) = node.open();
    assert!(recovery.clean);
    append(&mut journal, 2).unwrap();
    drop((journal, reader));
    // The frame never reached the disk; the header did.
    let bytes = std::fs::read(node.file(2, "seg")).unwrap();
    std::fs::write(node.file(2, "seg"), &bytes[..512]).unwrap();
    let (_, reader, recovery) = node.open();
    assert!(!recovery.clean && recovery.rolled_back.is_none());
    holds(&reader, 2);
}

#[test]
fn the_newest_segment_is_never_retired_so_numbers_are_never_used_twice() {
    let node = with_frames(2);
    let (_, reader, _) = node.open();
    assert!(matches!(reader.retire(1, 2), Err(crate::RetireError::Active)));
}
