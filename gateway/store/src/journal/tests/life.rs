//! Appending, reading, rolling, reopening, retiring, rotating.

use super::*;
use crate::{AppendError, OpenError, ReadError, RetireError};

#[test]
fn what_was_appended_is_read_again() {
    let node = Node::new();
    let (mut journal, reader, recovery) = node.open();
    assert_eq!(recovery, Recovery::default());
    for n in 0..50 {
        let appended = append(&mut journal, n).unwrap();
        assert_eq!(reader.read(appended.items[1], b"log").unwrap(), format!("evidence {n}").into_bytes());
        assert!(matches!(reader.read(appended.items[1], b"gol"), Err(ReadError::Damaged(_))));
    }
    assert!(reader.segments().len() > 2);
    holds(&reader, 50);
    let all = shown(&reader, None);
    for from in [0, 10, 48, 49] {
        assert_eq!(shown(&reader, Some(all[from].position)), all[from + 1..]);
    }
    for n in 0..50 {
        let after = reader.before_log_index(n);
        assert!(shown(&reader, after).iter().any(|frame| frame.first_log_index == n));
    }
}

#[test]
fn every_start_goes_on_in_a_new_segment_and_knows_how_the_last_ended() {
    let node = Node::new();
    for start in 0..6u64 {
        let (mut journal, reader, recovery) = node.open();
        holds(&reader, start * 15);
        assert_eq!((recovery.next_log_index, recovery.clean), (start * 15, start > 0 && start % 2 == 0));
        let before = reader.segments().len();
        for n in start * 15..(start + 1) * 15 {
            append(&mut journal, n).unwrap();
        }
        assert!(reader.segments().len() > before);
        if start % 2 == 1 {
            journal.close().unwrap();
        }
    }
    // Starts that write nothing change nothing.
    let (_, reader, _) = node.open();
    let segments = reader.segments();
    drop(reader);
    assert_eq!(node.open().1.segments(), segments);
}

#[test]
fn one_writer_holds_the_directory() {
    let node = Node::new();
    let (mut journal, ..) = node.open();
    assert!(matches!(DataDir::open(node.path.path()), Err(OpenError::Locked(_))));
    append(&mut journal, 0).unwrap();
    // Someone removes the lock file and starts a second node.
    std::fs::remove_file(node.path.path().join("LOCK")).unwrap();
    let _second = DataDir::open(node.path.path()).unwrap();
    journal.roll();
    assert!(matches!(append(&mut journal, 1), Err(AppendError::Fenced)));
}

#[test]
fn a_failed_sync_retires_the_segment_and_voids_the_frame() {
    let node = Node::new();
    let (mut journal, reader, disk) = node.open_failing();
    append(&mut journal, 0).unwrap();
    *disk.sync.lock() = Some(std::io::ErrorKind::Other);
    assert!(matches!(append(&mut journal, 1), Err(AppendError::OutcomeUnknown(_))));
    holds(&reader, 1);
    append(&mut journal, 1).unwrap();
    holds(&reader, 2);
    assert_eq!(reader.segments().len(), 2);
    drop((journal, reader));
    holds(&node.open().1, 2);
}

#[test]
fn a_void_frame_stays_void_when_its_bytes_survive_and_the_next_segment_is_gone() {
    let node = Node::new();
    let (mut journal, reader, _) = node.open();
    append(&mut journal, 0).unwrap();
    let copy = std::fs::read(node.file(1, "seg")).unwrap();
    append(&mut journal, 1).unwrap();
    let with_void = std::fs::read(node.file(1, "seg")).unwrap();
    // As if the second append's sync had failed: the truncated file and its record say one frame.
    std::fs::write(node.file(1, "seg"), copy).unwrap();
    drop((journal, reader));
    let (mut journal, reader, _) = node.open();
    append(&mut journal, 1).unwrap();
    journal.roll();
    append(&mut journal, 2).unwrap();
    reader.retire(2, 3).unwrap();
    drop((journal, reader));
    std::fs::write(node.file(1, "seg"), with_void).unwrap();
    let (_, reader, _) = node.open();
    let shown: Vec<_> = shown(&reader, None).iter().map(|frame| frame.first_log_index).collect();
    assert_eq!(shown, [0, 2]);
}

#[test]
fn a_torn_write_is_never_a_frame_and_its_place_is_never_used_again() {
    for stored in [0, 1, 119, 120, 500, 900] {
        let node = Node::new();
        let (mut journal, reader, disk) = node.open_failing();
        append(&mut journal, 0).unwrap();
        *disk.write.lock() = Some((stored, std::io::ErrorKind::StorageFull));
        assert!(matches!(append(&mut journal, 1), Err(AppendError::Full(_))));
        let appended = append(&mut journal, 1).unwrap();
        assert_eq!(appended.position, Position { segment: 2, frame: 0 });
        holds(&reader, 2);
        drop((journal, reader));
        holds(&node.open().1, 2);
    }
}

#[test]
fn a_full_disk_refuses_cleanly_and_recovers() {
    let node = Node::new();
    let (mut journal, reader, disk) = node.open_failing();
    *disk.allocate.lock() = Some(std::io::ErrorKind::StorageFull);
    assert!(matches!(append(&mut journal, 0), Err(AppendError::Full(_))));
    assert!(matches!(append(&mut journal, 0), Err(AppendError::Full(_))));
    *disk.allocate.lock() = None;
    for n in 0..5 {
        append(&mut journal, n).unwrap();
    }
    holds(&reader, 5);
    drop((journal, reader));
    holds(&node.open().1, 5);
}

#[test]
fn a_frame_beyond_the_limits_is_refused() {
    let node = Node::new();
    let (mut journal, reader, _) = node.open();
    let big = vec![0; 65 << 20];
    let item = Item { class: Class::Payload, aad: b"", bytes: &big };
    let frame = Frame { kind: 0, items: &[item], idempotency: &[], log_entries: &[], first_log_index: 0 };
    assert!(matches!(journal.append(&frame), Err(AppendError::TooLarge)));
    let empty = Frame { items: &[], ..frame };
    journal.append(&empty).unwrap();
    // Larger than a segment: alone in one.
    let item = Item { bytes: &big[..1 << 20], ..item };
    let appended = journal.append(&Frame { items: &[item], ..empty }).unwrap();
    assert_eq!(reader.read(appended.items[0], b"").unwrap(), big[..1 << 20]);
    journal.append(&empty).unwrap();
    assert_eq!(shown(&reader, None).len(), 3);
}

#[test]
fn retiring_keeps_evidence_under_its_reference_and_erases_payload() {
    let node = Node::new();
    let (mut journal, reader, _) = node.open();
    let mut items = Vec::new();
    for n in 0..40 {
        items.push(append(&mut journal, n).unwrap().items);
    }
    let segments = reader.segments();
    assert!(matches!(reader.retire(segments.last().unwrap().segment, 40), Err(RetireError::Active)));
    assert!(matches!(reader.retire(99, 40), Err(RetireError::Unknown(99))));
    assert!(matches!(reader.retire(1, 1), Err(RetireError::LogBehind(_))));
    // From the middle too; and what a failed rotation left of the key goes with it.
    let left = node.file(1, "key.tmp");
    std::fs::copy(node.file(1, "key"), &left).unwrap();
    for retired in [1, 2] {
        reader.retire(retired, 40).unwrap();
    }
    assert!(!left.exists());
    let check = |reader: &Reader| {
        for (n, items) in items.iter().enumerate() {
            assert_eq!(reader.read(items[0], b"").unwrap(), format!("event {n}").into_bytes());
            assert_eq!(reader.read(items[1], b"log").unwrap(), format!("evidence {n}").into_bytes());
            let payload = reader.read(items[2], b"province.penalty");
            match items[2].segment {
                1 | 2 => assert!(matches!(payload, Err(ReadError::Gone(_)))),
                _ => assert_eq!(payload.unwrap(), vec![n as u8; 700]),
            }
            let key = idempotency(n as u64);
            assert_eq!(reader.idempotent(&key.key).unwrap(), Some(key.value));
        }
        assert!(matches!(reader.read(items[0][0], b"x"), Err(ReadError::Damaged(_))));
    };
    check(&reader);
    for part in ["seg", "key"] {
        assert!(!node.file(1, part).exists());
    }
    drop((journal, reader));
    let (journal, reader, _) = node.open();
    check(&reader);
    let mut seen = 0;
    reader
        .archived(1, |item| {
            assert!(reader.read(item.reference, item.aad).is_ok());
            seen += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, 2 * segments[0].frames);
    assert_eq!(reader.archives().unwrap(), [1, 2]);
    reader.forget_archive(1).unwrap();
    assert!(matches!(reader.read(items[0][0], b""), Err(ReadError::Gone(_))));
    reader.expire_idempotency(2);
    assert_eq!(reader.idempotent(&idempotency(0).key).unwrap(), None);
    drop((journal, reader));
    let (_, reader, _) = node.open();
    assert!(matches!(reader.read(items[0][0], b""), Err(ReadError::Gone(_))));
}

#[test]
fn a_retirement_cut_off_anywhere_is_completed_or_repeated() {
    let node = Node::new();
    let (mut journal, reader, _) = node.open();
    let first = append(&mut journal, 0).unwrap().items;
    journal.roll();
    append(&mut journal, 1).unwrap();
    let saved =
        [node.file(1, "seg"), node.file(1, "key")].map(|path| (path.clone(), std::fs::read(path).unwrap()));
    reader.retire(1, 2).unwrap();
    drop((journal, reader));
    // After the archive: the segment is whole and may be retired again.
    for (path, bytes) in &saved {
        std::fs::write(path, bytes).unwrap();
    }
    let (journal, reader, recovery) = node.open();
    assert!(recovery.retired.is_empty());
    holds(&reader, 2);
    reader.retire(1, 2).unwrap();
    drop((journal, reader));
    // After the key was overwritten, and after it was removed.
    for key in [Some(vec![0; 64]), None] {
        std::fs::write(&saved[0].0, &saved[0].1).unwrap();
        if let Some(key) = key {
            std::fs::write(&saved[1].0, key).unwrap();
        }
        let (_, reader, recovery) = node.open();
        assert_eq!(recovery.retired, [1]);
        assert_eq!(reader.read(first[0], b"").unwrap(), b"event 0");
        assert!(!saved[0].0.exists() && !saved[1].0.exists());
    }
}

#[test]
fn rotating_the_at_rest_key_rewraps_every_data_key() {
    let mut node = Node::new();
    let (mut journal, reader, _) = node.open();
    for n in 0..30 {
        append(&mut journal, n).unwrap();
    }
    reader.retire(1, 30).unwrap();
    let old = node.keys.current();
    let before = node.keys.clone();
    node.keys.rotate();
    let count = journal.rewrap(&node.keys).unwrap();
    assert_eq!(count, reader.segments().len() + 1);
    assert_eq!(journal.rewrap(&node.keys).unwrap(), 0);
    assert!(node.keys.forget(old));
    append(&mut journal, 30).unwrap();
    let read = |reader: &Reader| assert_eq!(shown(reader, None).last().unwrap().first_log_index, 30);
    read(&reader);
    drop((journal, reader));
    read(&node.open().1);
    node.keys = before;
    assert!(matches!(node.open_with(small()), Err(OpenError::KeyUnknown(..))));
}

#[test]
fn keys_read_back_from_their_bytes_and_never_print() {
    let mut keys = AtRestKeys::generate();
    keys.rotate();
    let bytes = keys.to_bytes();
    assert_eq!(*AtRestKeys::from_bytes(&bytes).unwrap().to_bytes(), *bytes);
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1;
        assert!(AtRestKeys::from_bytes(&damaged).is_none());
    }
    assert_eq!(format!("{keys:?}"), "AtRestKeys { current: 2, others: 1 }");
}

#[test]
fn readers_read_while_the_writer_appends_and_segments_retire() {
    let node = Node::new();
    let (mut journal, reader, _) = node.open();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (reader, stop) = (reader.clone(), &stop);
            scope.spawn(move || {
                let mut seen = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let mut last = None;
                    // A segment may be retired under a replay; whatever is shown must be right.
                    let replayed = reader.replay(None, |frame| {
                        assert!(last.is_none_or(|last| last < frame.first_log_index));
                        last = Some(frame.first_log_index);
                        ControlFlow::Continue(())
                    });
                    if replayed.is_ok() {
                        assert!(last.is_none_or(|last| last >= seen));
                        seen = last.unwrap_or(seen);
                    }
                }
            });
        }
        for n in 0..300 {
            append(&mut journal, n).unwrap();
            let segments = reader.segments();
            if segments.len() > 5 {
                reader.retire(segments[0].segment, n + 1).unwrap();
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
