//! Indexes: sorted files of rows, found again by key, never taken for whole when they are not.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ReadError;

type Model = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

fn write(reader: &Reader, number: u64, rows: &Model) -> u64 {
    let mut writer = reader.write_index(number).unwrap();
    for ((table, key), value) in rows {
        writer.push(*table, key, value).unwrap();
    }
    assert_eq!(writer.rows(), rows.len() as u64);
    writer.finish().unwrap()
}

/// Enough rows for several blocks, in three tables.
fn many() -> Model {
    let row = |n: u64| ((2 + (n % 3) as u8, n.to_be_bytes().to_vec()), vec![n as u8; (n % 400) as usize]);
    (0..900).map(row).collect()
}

#[test]
fn rows_are_found_after_a_restart_and_a_rotation_of_keys() {
    let mut node = Node::new();
    let rows = many();
    {
        let (journal, reader, _) = node.open();
        write(&reader, 7, &rows);
        node.keys.rotate();
        assert_eq!(journal.rewrap(&node.keys).unwrap(), 1, "the key of the index is wrapped anew");
        assert!(node.keys.forget(1));
    }
    let (_, reader, recovery) = node.open();
    assert_eq!(recovery, Recovery::default(), "an index says nothing about the journal");
    assert_eq!(reader.indexes().unwrap(), [7]);
    for ((table, key), value) in &rows {
        assert_eq!(reader.index_get(7, *table, key).unwrap().as_ref(), Some(value));
    }
    assert_eq!(reader.index_get(7, 9, &[0; 8]).unwrap(), None);
    assert!(matches!(reader.index_get(8, 2, &[0; 8]), Err(ReadError::Gone(_))));
    reader.remove_index(7).unwrap();
    assert!(matches!(reader.index_get(7, 2, &[0; 8]), Err(ReadError::Gone(_))));
    assert!(reader.indexes().unwrap().is_empty());
}

#[test]
fn an_index_counts_only_once_it_is_finished() {
    let node = Node::new();
    {
        let (_, reader, _) = node.open();
        let mut writer = reader.write_index(3).unwrap();
        writer.push(1, b"b", b"x").unwrap();
        assert!(writer.push(1, b"b", b"y").is_err(), "rows come in order");
        assert!(writer.push(1, b"a", b"y").is_err());
        drop(writer);
        assert!(reader.indexes().unwrap().is_empty());
        assert!(matches!(reader.index_get(3, 1, b"b"), Err(ReadError::Gone(_))));
    }
    // The next start removes what is left of it; the number is free again.
    let (_, reader, _) = node.open();
    let rows = many();
    write(&reader, 3, &rows);
    let ((table, key), value) = rows.first_key_value().unwrap();
    assert_eq!(reader.index_get(3, *table, key).unwrap().as_ref(), Some(value));
}

#[test]
fn no_flipped_byte_is_read_as_a_row() {
    let node = Node::new();
    let rows = many();
    let path = node.path.path().join("evidence").join(format!("{:016x}.idx", 1));
    let len = {
        let (_, reader, _) = node.open();
        write(&reader, 1, &rows)
    };
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(whole.len() as u64, len);
    // Every byte of the header that means something, and some of blocks and directory.
    let places = (0..72).chain((512..whole.len()).step_by(997)).chain([whole.len() - 1]);
    for at in places {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let (_, reader, _) = node.open();
        let mut damaged = 0;
        for ((table, key), value) in &rows {
            match reader.index_get(1, *table, key) {
                Ok(found) => assert_eq!(found.as_ref(), Some(value), "byte {at}"),
                Err(ReadError::Damaged(_)) => damaged += 1,
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
        assert!(damaged > 0, "byte {at} was not noticed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn an_index_answers_as_a_sorted_map_would(
        rows in proptest::collection::btree_map(
            (1u8..4, proptest::collection::vec(any::<u8>(), 1..4)),
            proptest::collection::vec(any::<u8>(), 0..2_000),
            1..120,
        ),
        asked in proptest::collection::vec(
            (1u8..4, proptest::collection::vec(any::<u8>(), 0..4), proptest::collection::vec(any::<u8>(), 0..4), 0usize..20),
            1..20,
        ),
    ) {
        let node = Node::new();
        let (_, reader, _) = node.open();
        write(&reader, 1, &rows);
        for (table, from, through, limit) in asked {
            prop_assert_eq!(reader.index_get(1, table, &from).unwrap(), rows.get(&(table, from.clone())).cloned());
            let of_table = || rows.iter().filter(|((t, _), _)| *t == table).map(|((_, k), v)| (k.clone(), v.clone()));
            let within: Vec<_> = of_table().filter(|(k, _)| *k >= from && *k <= through).take(limit).collect();
            prop_assert_eq!(reader.index_range(1, table, &from, &through, limit).unwrap(), within);
            let before = of_table().rfind(|(k, _)| *k < from);
            prop_assert_eq!(reader.index_last_before(1, table, &from).unwrap(), before);
        }
    }
}
