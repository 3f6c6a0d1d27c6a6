use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn id(n: u8) -> RecordId {
    RecordId([n; 16])
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        3 => (0u8..6, 0u8..6, 1u64..1 << 53, proptest::option::of(1u64..1 << 53), 0u32..1 << 21).prop_map(
            |(n, op, rev, origin, ordinal)| Fact::Done { id: id(n), op: Op::from_number(op).unwrap(), rev, origin, ordinal }
        ),
        1 => (0u8..6, 0u8..6).prop_map(|(name, to)| Fact::Leads { name: RecordName([3 + name; 16]), to: id(to) }),
    ]
}

fn merged(values: &[Vec<u8>]) -> Vec<u8> {
    let mut sum = values[0].clone();
    for newer in &values[1..] {
        let mut out = Vec::new();
        merge(&sum, newer, &mut out);
        sum = out;
    }
    sum
}

proptest! {
    #[test]
    fn an_item_gives_back_its_facts(groups in proptest::collection::vec((any::<u64>(), proptest::collection::vec(fact(), 0..12)), 0..6)) {
        let mut item = Vec::new();
        let mut wanted = Vec::new();
        for (index, facts) in &groups {
            let mut all = Facts::default();
            facts.iter().for_each(|fact| all.push(*fact));
            prop_assert_eq!(all.is_empty(), facts.is_empty());
            put_facts(&mut item, *index, &all);
            wanted.extend(facts.iter().map(|fact| (*index, *fact)));
        }
        let mut read = Vec::new();
        if !item.is_empty() {
            read_facts(&item, |index, fact| read.push((index, fact))).unwrap();
        }
        prop_assert!(read == wanted);
    }

    #[test]
    fn damage_is_an_error_or_other_facts(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = read_facts(&bytes, |_, _| ());
        let mut versioned = vec![VERSION];
        versioned.extend_from_slice(&bytes);
        let _ = read_facts(&versioned, |_, _| ());
        if let Ok(value) = Registered::parse(&bytes) {
            let mut again = Vec::new();
            value.write(&mut again);
            prop_assert_eq!(Registered::parse(&again), Ok(value));
        }
    }

    /// Levels of a store merge what lies side by side, in any groups.
    #[test]
    fn it_makes_no_difference_how_values_are_grouped(facts in proptest::collection::vec((0u64..1 << 42, fact()), 1..24), cuts in proptest::collection::vec(0usize..24, 0..5)) {
        let mut keys: BTreeMap<[u8; 16], Vec<Vec<u8>>> = BTreeMap::new();
        for (index, fact) in &facts {
            let (key, value) = entry(*index, fact);
            prop_assert!(Registered::parse(value.as_ref()).is_ok());
            keys.entry(key).or_default().push(value.as_ref().to_vec());
        }
        for values in keys.values() {
            let at_once = merged(values);
            prop_assert!(at_once.len() <= 96);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % values.len()).filter(|cut| *cut > 0).collect();
            cuts.sort_unstable();
            cuts.dedup();
            let mut parts = Vec::new();
            let mut from = 0;
            for to in cuts.into_iter().chain([values.len()]) {
                parts.push(merged(&values[from..to]));
                from = to;
            }
            prop_assert_eq!(merged(&parts), at_once);
        }
    }
}

#[test]
fn a_record_tells_its_newest_operations_and_how_many_there_were() {
    let mut values = Vec::new();
    let done = |op, rev, origin, ordinal| Fact::Done { id: id(1), op, rev, origin, ordinal };
    let facts = [
        done(Op::Put, 5, None, 3),
        done(Op::Dispute, 6, None, 0),
        done(Op::Withdraw, 9, None, 1),
        done(Op::Resolve, 11, None, 2),
    ];
    for (index, fact) in (10..).zip(&facts) {
        let (key, value) = entry(index, fact);
        assert_eq!(key, [1; 16]);
        values.push(value.as_ref().to_vec());
    }
    let record = Registered::parse(&merged(&values)).unwrap().record.unwrap();
    assert_eq!((record.state, record.was_put, record.is_own), (Some(Op::Withdraw), true, true));
    assert_eq!((record.rev, record.operations, record.places.len()), (11, 4, 4));
    assert_eq!(record.places[0], Operation { index: 13, ordinal: 2 });
    assert_eq!(record.places[3], Operation { index: 10, ordinal: 3 });
    for _ in 0..PLACES {
        values.push(values[0].clone());
    }
    let record = Registered::parse(&merged(&values)).unwrap().record.unwrap();
    assert_eq!((record.operations, record.places.len()), (4 + PLACES as u64, PLACES));
}

#[test]
fn a_record_only_recalled_was_never_put_and_a_name_leads_where_it_was_said_last() {
    let (_, value) = entry(1, &Fact::Done { id: id(1), op: Op::Repair, rev: 2, origin: None, ordinal: 0 });
    let record = Registered::parse(value.as_ref()).unwrap().record.unwrap();
    assert!(!record.was_put && !record.is_own && record.state == Some(Op::Repair));
    let mut values = Vec::new();
    for to in [1, 2] {
        let (_, value) = entry(1, &Fact::Leads { name: RecordName([9; 16]), to: id(to) });
        values.push(value.as_ref().to_vec());
    }
    let leads = |values: &[Vec<u8>]| Registered::parse(&merged(values)).unwrap().leads_to([9; 16]);
    assert_eq!(leads(&values), id(2));
    // What is only recalled under it later changes nothing; a put begins a record.
    let (_, value) = entry(2, &Fact::Done { id: id(9), op: Op::Repair, rev: 7, origin: None, ordinal: 0 });
    values.push(value.as_ref().to_vec());
    assert_eq!(leads(&values), id(2));
    let (_, value) = entry(2, &Fact::Done { id: id(9), op: Op::Put, rev: 8, origin: Some(7), ordinal: 0 });
    values.push(value.as_ref().to_vec());
    assert_eq!(leads(&values), id(9));
    let record = Registered::parse(&merged(&values)).unwrap().record.unwrap();
    assert!(record.was_put && !record.is_own && (record.origin_state, record.origin_any) == (7, 7));
}

#[test]
fn values_of_the_highest_numbers_fit() {
    let most =
        Fact::Done { id: id(1), op: Op::Put, rev: u64::MAX, origin: Some(u64::MAX), ordinal: u32::MAX };
    let (_, one) = entry(u64::MAX, &most);
    let mut sum = one.as_ref().to_vec();
    for _ in 0..8 {
        let mut out = Vec::new();
        merge(&sum, one.as_ref(), &mut out);
        assert!(out.len() <= LONGEST_VALUE && Registered::parse(&out).is_ok());
        sum = out;
    }
}
