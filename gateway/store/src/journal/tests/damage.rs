//! No damage to a file gives wrong data: it is named, or it changes nothing.

use proptest::prelude::*;

use super::*;
use crate::{Damage, OpenError, ReadError};

/// A node that crashed with `count` small frames in segment 1, and their content.
fn crashed(count: u64) -> (Node, Vec<Shown>) {
    let node = Node::new();
    let (mut journal, reader, _) = node.open();
    for n in 0..count {
        append_small(&mut journal, n);
    }
    let all = shown(&reader, None);
    assert_eq!(reader.segments().len(), 1);
    (node, all)
}

fn append_small(journal: &mut Journal, n: u64) {
    let item = Item { class: Class::Event, aad: b"a", bytes: &[n as u8; 20] };
    let frame = Frame {
        kind: 1,
        items: &[item],
        idempotency: &[idempotency(n)],
        log_entries: &[b"entry"],
        first_log_index: n,
    };
    journal.append(&frame).unwrap();
}

/// Shows what can be shown, or the first error.
fn try_shown(reader: &Reader) -> Result<Vec<Shown>, ReadError> {
    let mut all = Vec::new();
    let mut fault = None;
    reader.replay(None, |frame| {
        let items: Result<Vec<_>, _> =
            frame.items.iter().map(|item| Ok((item.class, item.aad.to_vec(), frame.read(item)?))).collect();
        match items {
            Ok(items) => all.push(Shown {
                position: frame.position,
                kind: frame.kind,
                items,
                log: frame.log_entries.iter().map(|entry| entry.to_vec()).collect(),
                first_log_index: frame.first_log_index,
                idempotency: frame.idempotency.clone(),
            }),
            Err(error) => {
                fault = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    fault.map_or(Ok(all), Err)
}

#[test]
fn every_flipped_byte_of_the_newest_segment_is_noticed_or_harmless() {
    let (node, all) = crashed(3);
    let last = all.last().unwrap().position;
    let intact = std::fs::read(node.file(1, "seg")).unwrap();
    let used = 512 * 4;
    let mut harmless = 0;
    for at in 0..used {
        let copied = Node { keys: node.keys.clone(), path: temporary() };
        copy(node.path.path(), copied.path.path());
        let mut bytes = intact[..used].to_vec();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(copied.file(1, "seg"), bytes).unwrap();
        match copied.open_with(Options { referenced: Some(last), ..small() }) {
            Ok((_, reader, _)) => {
                harmless += 1;
                assert_eq!(shown(&reader, None), all, "byte {at}");
            }
            Err(OpenError::Damaged(damage)) => assert_eq!(damage.segment, 1),
            Err(OpenError::Rollback(_)) => {}
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    // Only what lies between header and first frame, and after each frame.
    let frame = 120 + (7 + 1 + 4 + 40) + (5 + 16) + (20 + 16);
    assert_eq!(harmless, used - 144 - 3 * frame);
}

#[test]
fn every_flipped_byte_of_an_older_segment_is_noticed_or_harmless_when_read() {
    let (node, all) = crashed(3);
    {
        let (mut journal, ..) = node.open();
        append_small(&mut journal, 3);
    }
    let intact = std::fs::read(node.file(1, "seg")).unwrap();
    for at in 0..intact.len() {
        let mut bytes = intact.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(node.file(1, "seg"), bytes).unwrap();
        match node.open_with(small()) {
            Ok((_, reader, _)) => match try_shown(&reader) {
                Ok(found) => assert_eq!(found[..3], all, "byte {at}"),
                Err(ReadError::Damaged(damage)) => assert_eq!(damage.segment, 1),
                Err(error) => panic!("byte {at}: {error}"),
            },
            Err(OpenError::Damaged(damage)) => assert_eq!(damage.segment, 1),
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
}

#[test]
fn every_flipped_byte_of_the_side_files_is_noticed_or_repaired() {
    for suffix in ["key", "idem"] {
        let (node, all) = crashed(3);
        drop(node.open());
        let intact = std::fs::read(node.file(1, suffix)).unwrap();
        for at in (0..intact.len()).step_by(if suffix == "idem" { 13 } else { 1 }) {
            let mut bytes = intact.clone();
            bytes[at] ^= 1;
            std::fs::write(node.file(1, suffix), bytes).unwrap();
            match node.open_with(small()) {
                Ok((_, reader, _)) => {
                    assert_eq!(shown(&reader, None), all, "{suffix} {at}");
                    for n in 0..3 {
                        let answer = reader.idempotent(&idempotency(n).key);
                        assert!(matches!(answer, Err(_) | Ok(Some(_))), "{suffix} {at}: {answer:?}");
                    }
                }
                Err(OpenError::KeyDamaged(_)) => assert_eq!(suffix, "key"),
                Err(error) => panic!("{suffix} {at}: {error}"),
            }
        }
    }
}

#[test]
fn a_last_frame_cut_anywhere_leaves_the_frames_before_it() {
    let (node, all) = crashed(3);
    let intact = std::fs::read(node.file(1, "seg")).unwrap();
    let (start, end) = (512 * 3, 512 * 4);
    for cut in start..end {
        for zeros in [false, true] {
            let copied = Node { keys: node.keys.clone(), path: temporary() };
            copy(node.path.path(), copied.path.path());
            let mut bytes = intact[..cut].to_vec();
            if zeros {
                bytes.resize(intact.len(), 0);
            }
            std::fs::write(copied.file(1, "seg"), bytes).unwrap();
            let last = all[2].position;
            let opened = copied.open_with(Options { referenced: Some(last), ..small() });
            let complete = opened.is_ok();
            drop(opened);
            let (mut journal, reader, recovery) = copied.open();
            let found = shown(&reader, None);
            assert_eq!(found, all[..if complete { 3 } else { 2 }], "cut at {cut}");
            assert!(recovery.cut.is_none_or(|cut| !complete && cut.at.frame == 2));
            let n = found.len() as u64;
            append_small(&mut journal, n);
            drop((journal, reader));
            assert_eq!(shown(&copied.open().1, None).len() as u64, n + 1);
        }
    }
}

#[test]
fn a_last_frame_whose_sectors_arrived_in_any_order_is_whole_or_cut() {
    let node = Node::new();
    let (mut journal, ..) = node.open();
    append(&mut journal, 0).unwrap();
    let big = vec![0x77; 3500];
    let item = Item { class: Class::Payload, aad: b"", bytes: &big };
    let frame = Frame { kind: 1, items: &[item], idempotency: &[], log_entries: &[], first_log_index: 0 };
    journal.append(&frame).unwrap();
    drop(journal);
    let intact = std::fs::read(node.file(1, "seg")).unwrap();
    let start = intact.windows(4).rposition(|bytes| bytes == b"XQFR").unwrap();
    let sectors = (120 + 7 + 3500 + 16usize).div_ceil(512);
    for arrived in 0u32..1 << sectors {
        let copied = Node { keys: node.keys.clone(), path: temporary() };
        copy(node.path.path(), copied.path.path());
        let mut bytes = intact.clone();
        for sector in (0..sectors).filter(|sector| arrived & 1 << sector == 0) {
            bytes[start + sector * 512..start + (sector + 1) * 512].fill(0);
        }
        std::fs::write(copied.file(1, "seg"), bytes).unwrap();
        let (_, reader, recovery) = copied.open();
        let whole = arrived == (1 << sectors) - 1;
        assert_eq!(shown(&reader, None).len(), if whole { 2 } else { 1 }, "{arrived:b}");
        assert_eq!(recovery.cut.is_some(), !whole && arrived != 0, "{arrived:b}");
    }
}

#[test]
fn damage_in_the_middle_is_named_and_nothing_is_written() {
    let (node, _) = crashed(5);
    let mut bytes = std::fs::read(node.file(1, "seg")).unwrap();
    bytes[512 * 2 + 130] ^= 1;
    std::fs::write(node.file(1, "seg"), &bytes).unwrap();
    let damage = Damage { segment: 1, frame: 1, offset: 1024 };
    for _ in 0..2 {
        let Err(OpenError::Damaged(found)) = node.open_with(small()) else { panic!("opened") };
        assert_eq!(found, damage);
        assert_eq!(std::fs::read(node.file(1, "seg")).unwrap(), bytes);
        assert!(!node.file(1, "idem").exists() && !node.file(2, "seg").exists());
    }
    // A person gives the rest up.
    let (mut journal, reader, recovery) =
        node.open_with(Options { adopt_rollback: true, ..small() }).unwrap();
    assert!(recovery.rolled_back.is_some());
    assert_eq!(shown(&reader, None).len(), 1);
    append_small(&mut journal, 1);
    drop((journal, reader));
    assert_eq!(shown(&node.open().1, None).len(), 2);
}

#[test]
fn a_segment_whose_creation_was_torn_is_made_anew() {
    for torn in [vec![], vec![0; 512], vec![0xff; 100], vec![7; 4000]] {
        let (node, all) = crashed(2);
        std::fs::write(node.file(2, "seg"), torn).unwrap();
        std::fs::copy(node.file(1, "key"), node.file(2, "key")).unwrap();
        // Its key is of no use, but there.
        let opened = node.open_with(small());
        assert!(matches!(opened, Err(OpenError::KeyDamaged(_))));
        drop(opened);
        WrappedKey::generate().write(&node.file(2, "key"), Purpose::Segment, 2, &node.keys).unwrap();
        let (mut journal, reader, _) = node.open();
        assert_eq!(shown(&reader, None), all);
        append_small(&mut journal, 2);
        assert_eq!(reader.end(), Some(Position { segment: 2, frame: 0 }));
    }
}

#[test]
fn a_newest_segment_that_lost_its_header_and_holds_frames_is_damaged() {
    let (node, _) = crashed(2);
    let mut bytes = std::fs::read(node.file(1, "seg")).unwrap();
    bytes[..512].fill(0);
    std::fs::write(node.file(1, "seg"), bytes).unwrap();
    assert!(matches!(node.open_with(small()), Err(OpenError::Damaged(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn frames_come_back_as_they_went_in(
        kind: u8,
        items in prop::collection::vec(
            (0u8..3, prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..3000)), 0..12),
        log in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        idem in prop::collection::vec((any::<[u8; 16]>(), any::<[u8; 24]>()), 0..8),
        first in 0u64..1 << 60,
    ) {
        let node = Node::new();
        let (mut journal, reader, _) = node.open();
        let class = |class: u8| [Class::Event, Class::Evidence, Class::Payload][usize::from(class)];
        let given: Vec<_> =
            items.iter().map(|(c, aad, bytes)| Item { class: class(*c), aad, bytes }).collect();
        let idempotency: Vec<_> = idem.iter().map(|(key, value)| IdemEntry { key: *key, value: *value }).collect();
        let entries: Vec<_> = log.iter().map(Vec::as_slice).collect();
        let frame = Frame {
            kind, items: &given, idempotency: &idempotency, log_entries: &entries, first_log_index: first,
        };
        let appended = [journal.append(&frame).unwrap(), journal.append(&frame).unwrap()];
        drop(journal);
        let check = |reader: &Reader| {
            let all = shown(reader, None);
            assert_eq!(all.len(), 2);
            for (found, appended) in all.iter().zip(&appended) {
                let expected: Vec<_> = items.iter().map(|(c, a, b)| (class(*c), a.clone(), b.clone())).collect();
                assert_eq!(&found.items, &expected);
                assert_eq!((found.position, found.kind, found.first_log_index), (appended.position, kind, first));
                assert_eq!(&found.log, &log);
                assert_eq!(&found.idempotency, &idempotency);
                for ((_, aad, bytes), reference) in items.iter().zip(&appended.items) {
                    assert_eq!(&reader.read(*reference, aad).unwrap(), bytes);
                }
            }
        };
        check(&reader);
        drop(reader);
        check(&node.open().1);
    }

    #[test]
    fn no_bytes_parse_as_a_header_by_chance(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(frame::Header::parse(&bytes).is_none());
        prop_assert!(SegmentHeader::parse(&bytes).is_none());
    }
}
