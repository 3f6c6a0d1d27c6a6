use super::*;

/// Three runs: two small, one merged of larger ones.
fn built(place: &Place, truth: &Truth) -> Files {
    let (register, _) = place.open();
    let settled = Some(position(truth.frames.len() / 2));
    truth.through(settled).replay(&register, None);
    register.settle().unwrap();
    let third = Some(position(truth.frames.len() * 3 / 4));
    truth.through(third).replay(&register, settled);
    register.flush().unwrap();
    truth.replay(&register, third);
    register.flush().unwrap();
    assert!(register.stats().runs.len() >= 3);
    drop(register);
    place.files()
}

/// Opens the damaged register: it does not open, or every answer is right or an error. Gives the name of the file that was
/// found damaged, which is remembered until the register is discarded.
fn found_damaged(place: &Place, truth: &Truth) -> Option<PathBuf> {
    let found = match place.try_open() {
        Ok((register, through)) => {
            assert_eq!(through, truth.end());
            asked(&register, truth)
        }
        Err(RegisterError::Damaged(file)) => Some(file),
        Err(error) => panic!("{error}"),
    };
    if let Some(file) = &found {
        let again = place.try_open().map(drop).unwrap_err();
        assert!(again.must_rebuild() && again.to_string().contains(file.to_str().unwrap()), "{again}");
        Register::discard(&place.dir()).unwrap();
        let (register, through) = place.open();
        assert_eq!((through, dumped(&register)), (None, vec![]));
    }
    Some(found?.file_name().unwrap().into())
}

fn asked(register: &Register, truth: &Truth) -> Option<PathBuf> {
    let mut failed = 0;
    for (key, value) in &truth.map {
        match register.get(key) {
            Ok(found) => assert_eq!(found.as_deref(), Some(value.as_slice())),
            Err(RegisterError::Damaged(_)) => failed += 1,
            Err(error) => panic!("{error}"),
        }
    }
    for key in keys(1_000_000, 50) {
        assert!(register.get(&key).map_or(true, |found| found.is_none()));
    }
    let keys: Vec<Key> = truth.map.keys().copied().collect();
    let many =
        register.get_many(&keys, |at, value| assert_eq!(value, truth.map.get(&keys[at]).map(Vec::as_slice)));
    assert_eq!(many.is_err(), failed > 0);
    let mut all = Vec::new();
    let dump = register.dump(&mut |key, value| all.push((*key, value.to_vec())));
    assert!(dump.is_err() || all == truth.map.clone().into_iter().collect::<Vec<_>>());
    let verified = register.verify();
    assert_eq!(verified.is_err(), dump.is_err());
    assert!(failed == 0 || verified.is_err());
    assert_eq!(register.stats().damaged.is_some(), verified.is_err());
    // Damage found, nothing is merged; what is in memory is still written.
    let settled = register.settle();
    assert_eq!(settled.is_err(), verified.is_err());
    register.flush().unwrap();
    match verified.and(settled) {
        Ok(()) => None,
        Err(RegisterError::Damaged(file)) => Some(file),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn damage_of_any_byte_is_noticed_and_never_answers_wrongly() {
    let (place, truth) = (Place::new(), frames(24));
    let files = built(&place, &truth);
    assert!(files.len() >= 5);
    let mut at = 0;
    for (name, bytes) in &files {
        while at < bytes.len() {
            let mut damaged = files.clone();
            damaged.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            place.put_back(&damaged);
            assert_eq!(found_damaged(&place, &truth).as_ref(), Some(name), "byte {at}");
            // The strides share no factor with the sizes of fields and pages: files of one kind are met at other places.
            at += if bytes.len() > 1000 { 211 } else { 7 };
        }
        at -= bytes.len();
    }
}

#[test]
fn files_that_are_cut_missing_exchanged_or_something_else_are_noticed() {
    let (place, truth) = (Place::new(), frames(24));
    let files = built(&place, &truth);
    for (name, bytes) in &files {
        for len in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            let mut cut = files.clone();
            cut.insert(name.clone(), bytes[..len].to_vec());
            place.put_back(&cut);
            assert_eq!(found_damaged(&place, &truth).as_ref(), Some(name), "cut to {len}");
        }
        let mut longer = files.clone();
        longer.get_mut(name).unwrap().push(0);
        place.put_back(&longer);
        assert_eq!(found_damaged(&place, &truth).as_ref(), Some(name), "longer");
        let mut missing = files.clone();
        missing.remove(name);
        place.put_back(&missing);
        assert_eq!(found_damaged(&place, &truth).as_ref(), Some(name), "missing");
        place.put_back(&missing);
        fs::create_dir(place.path().join(name)).unwrap();
        assert_eq!(found_damaged(&place, &truth).as_ref(), Some(name), "a directory");
        for other in files.keys().filter(|other| *other != name && other.extension() == name.extension()) {
            let mut exchanged = files.clone();
            exchanged.insert(name.clone(), files[other].clone());
            exchanged.insert(other.clone(), bytes.clone());
            place.put_back(&exchanged);
            let named = found_damaged(&place, &truth).expect("exchanged runs");
            assert!([name, other].contains(&&named), "{}", named.display());
        }
    }
}

#[test]
fn pages_of_one_run_cannot_be_exchanged() {
    let (place, truth) = (Place::new(), frames(200));
    let mut files = built(&place, &truth);
    let (name, bytes) = files.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let (name, mut bytes) = (name.clone(), bytes.clone());
    assert!(bytes.len() > 2 * 4096);
    let (first, rest) = bytes.split_at_mut(4096);
    first.swap_with_slice(&mut rest[..4096]);
    files.insert(name.clone(), bytes);
    place.put_back(&files);
    assert_eq!(found_damaged(&place, &truth), Some(name));
}

#[test]
fn a_foreign_register_is_not_taken_and_an_older_copy_says_how_far_it_goes() {
    let (place, truth) = (Place::new(), frames(24));
    let older = built(&place, &truth);
    let mut longer = truth.clone();
    longer.add(vec![([9; 16], value(1, 2, 3))]);
    let (register, through) = place.open();
    longer.replay(&register, through);
    register.settle().unwrap();
    drop(register);
    place.put_back(&older);
    let (register, through) = place.open();
    assert_eq!(through, truth.end());
    longer.replay(&register, through);
    longer.check(&register, &[]);
    drop(register);

    let stranger = Place::new();
    stranger.put_back(&older);
    assert_eq!(found_damaged(&stranger, &truth), Some("key".into()));
    // A manifest of another register under the same at-rest key.
    let sibling = Place { keys: place.keys.clone(), ..Place::new() };
    drop(sibling.open());
    let mut mixed = older.clone();
    mixed.insert("manifest".into(), sibling.files()["manifest".as_ref() as &Path].clone());
    place.put_back(&mixed);
    assert_eq!(found_damaged(&place, &truth), Some("manifest".into()));
}

#[test]
fn an_at_rest_key_that_is_missing_is_no_damage() {
    let (mut place, truth) = (Place::new(), frames(24));
    let files = built(&place, &truth);
    let own = std::mem::replace(&mut place.keys, AtRestKeys::from_key(7, [1; 32]));
    let error = place.try_open().map(drop).unwrap_err();
    assert!(matches!(error, RegisterError::KeyUnknown(_, 1)) && !error.must_rebuild(), "{error}");
    assert_eq!(place.files(), files, "nothing is touched");
    place.keys = own;
    truth.check(&place.open().0, &[]);
}

#[test]
fn damage_of_the_mark_itself_is_a_mark() {
    let (place, truth) = (Place::new(), frames(24));
    let files = built(&place, &truth);
    for mark in [&b""[..], b"\xff\xfe"] {
        place.put_back(&files);
        fs::write(place.path().join("damaged"), mark).unwrap();
        assert!(place.try_open().map(drop).unwrap_err().must_rebuild());
    }
}

#[test]
fn what_does_not_belong_there_is_deleted() {
    let (place, truth) = (Place::new(), frames(24));
    let mut files = built(&place, &truth);
    let names: Vec<_> = files.keys().cloned().collect();
    files.insert("00000000000000ff.run".into(), vec![1; 5000]);
    files.insert("manifest.tmp".into(), vec![1; 10]);
    place.put_back(&files);
    fs::create_dir_all(place.path().join("lost+found/deeper")).unwrap();
    assert_eq!(found_damaged(&place, &truth), None);
    // The check merged all runs into one; nothing else is there.
    assert_eq!(place.files().len(), 3, "{:?} of {names:?}", place.files().keys());
    fs::remove_dir_all(place.path()).unwrap();
    fs::write(place.path(), b"a file").unwrap();
    assert_eq!(found_damaged(&place, &truth), Some("register".into()));
}

#[test]
fn discarding_begins_anew() {
    let (place, truth) = (Place::new(), frames(24));
    built(&place, &truth);
    Register::discard(&place.dir()).unwrap();
    assert!(place.files().is_empty());
    let (register, through) = place.open();
    assert_eq!(through, None);
    truth.replay(&register, None);
    truth.check(&register, &[]);
}

#[test]
fn rewrapping_lets_the_older_key_be_forgotten() {
    let (mut place, truth) = (Place::new(), frames(24));
    built(&place, &truth);
    let (register, _) = place.open();
    let mut both = place.keys.clone();
    let first = both.current();
    both.rotate();
    register.rewrap(&both).unwrap();
    register.rewrap(&both).unwrap();
    let mut longer = truth.clone();
    longer.add(keys(5000, 100).map(|key| (key, value(4, 4, 1))).collect());
    longer.replay(&register, truth.end());
    register.flush().unwrap();
    drop(register);
    assert!(both.forget(first));
    place.keys = both;
    let (register, through) = place.open();
    assert_eq!(through, longer.end());
    longer.check(&register, &[]);
}

#[test]
fn nothing_stands_on_disk_in_the_clear() {
    let place = Place::new();
    let (register, _) = place.open();
    let key = keys(7, 1).next().unwrap();
    register.apply(&[(key, b"a value that can be recognised".to_vec())], position(0));
    register.settle().unwrap();
    for (name, bytes) in place.files() {
        let has = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
        assert!(!has(b"recognised") && !has(&key[..8]), "{}", name.display());
    }
}
