use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk::{Failure, FaultyDisk};
use super::*;

/// What the register is taken through: frames, and after every other one some work.
fn script(truth: &Truth, mut act: impl FnMut(usize, &dyn Fn(&Register) -> Result<(), RegisterError>)) {
    for at in 0..truth.frames.len() {
        let last = at + 1 == truth.frames.len();
        act(at, &|register| match at {
            _ if last => register.settle(),
            at if at % 11 == 10 => register.flush(),
            at if at % 2 == 1 => register.step().map(drop),
            _ => Ok(()),
        });
    }
}

#[test]
fn a_crash_at_any_file_operation_loses_nothing_that_was_covered() {
    let (place, truth) = (Place::new(), frames(36));
    let copy = Place { keys: place.keys.clone(), ..Place::new() };
    let disk = Arc::new(FaultyDisk::recording(0..usize::MAX));
    let (mut seen, mut merges) = (0, 0);
    let mut try_all = |through: [Option<Position>; 2], applied: usize| {
        for state in disk.crashes() {
            copy.put_back(&state);
            // Never taken for damage.
            let (opened, found) = copy.open_on(Arc::new(FaultyDisk::default())).unwrap();
            assert!(through.contains(&found), "{found:?} is none of {through:?}");
            truth.through(found).check(&opened, &[]);
            opened.verify().unwrap();
            seen += 1;
            if seen % 7 == 0 && applied > 0 {
                // What it lacks is applied again, and the garbage of the crash is gone.
                let all = truth.through(Some(position(applied - 1)));
                all.replay(&opened, found);
                opened.settle().unwrap();
                all.check(&opened, &[]);
                assert_eq!(copy.files().len(), 3, "key, manifest, run: {:?}", copy.files().keys());
            }
        }
    };
    let (register, _) = place.open_on(disk.clone()).unwrap();
    try_all([None; 2], 0);
    script(&truth, |at, work| {
        register.apply(&truth.frames[at], position(at));
        let (covered, runs) = (register.durable(), register.stats().runs.len());
        work(&register).unwrap();
        merges += usize::from(register.stats().runs.len() < runs);
        try_all([covered, register.durable()], at + 1);
    });
    register.rewrap(&place.keys).unwrap();
    try_all([register.durable(); 2], truth.frames.len());
    assert!(seen > 100 && merges >= 3, "{seen} states, {merges} merges");
}

/// Runs the script on a disk on which some operations fail; how many there were. What crashes may have left meanwhile is
/// tried in `copy`.
fn on_a_faulty_disk(place: &Place, copy: &Place, disk: FaultyDisk, truth: &Truth) -> usize {
    let _ = fs::remove_dir_all(place.path());
    let (disk, mut errors) = (Arc::new(disk), 0);
    let mut tried = |result: Result<(), RegisterError>| {
        if let Err(error) = &result {
            assert!(matches!(error, RegisterError::Io(..)), "{error}");
            errors += 1;
            assert!(errors < 20, "it goes on failing: {error}");
            // Failures that last end after some tries.
            if errors == 4 {
                disk.mend();
            }
        }
        result.is_ok()
    };
    let mut opened = None;
    while !tried(place.open_on(disk.clone()).map(|open| opened = Some(open))) {}
    let (register, through) = opened.unwrap();
    assert_eq!(through, None);
    script(truth, |at, work| {
        register.apply(&truth.frames[at], position(at));
        let covered = register.durable();
        let crashes = || {
            for state in disk.crashes() {
                copy.put_back(&state);
                let (opened, found) = copy.open_on(Arc::new(FaultyDisk::default())).unwrap();
                assert!(covered <= found && found <= register.through(), "{covered:?}, {found:?}");
                truth.through(found).check(&opened, &[]);
            }
        };
        while !tried(work(&register)) {
            crashes();
            truth.through(Some(position(at))).check(&register, &[]);
            // Failures leave what they may have been about, and do not heap it up: the runs in force, one that is merged
            // and one of which the manifest may speak, key, manifest, and these two under way.
            let (files, runs) = (place.files().len(), register.stats().runs.len());
            assert!(files <= runs + 6, "{files} files for {runs} runs");
        }
        crashes();
    });
    while !tried(register.rewrap(&place.keys)) {}
    register.verify().unwrap();
    drop(register);
    let (register, through) = place.open_on(Arc::new(FaultyDisk::default())).unwrap();
    assert_eq!(through, truth.end());
    truth.check(&register, &[]);
    assert_eq!(place.files().len(), 3, "what failures left is gone: {:?}", place.files().keys());
    disk.operations()
}

#[test]
fn an_operation_that_fails_costs_nothing_but_another_try() {
    let (place, truth) = (Place::new(), frames(16));
    let copy = Place { keys: place.keys.clone(), ..Place::new() };
    let on = |disk| on_a_faulty_disk(&place, &copy, disk, &truth);
    let operations = on(FaultyDisk::default());
    assert!(operations > 60);
    for number in 0..operations {
        let once = number..number + 1;
        on(FaultyDisk::failing(once.clone(), Failure::Before));
        on(FaultyDisk::failing(number..usize::MAX, Failure::Before));
        // Done, and taken for failed: a crash soon after must meet what a manifest speaks of that nobody counts on.
        on(FaultyDisk::recording(number..number + 6).and_failing(once, Failure::After));
    }
}

/// A disk on which a manifest cannot be replaced.
#[derive(Debug)]
struct OldManifest(AtomicBool);

impl Disk for OldManifest {
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match to.ends_with("manifest") && self.0.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => RealDisk.rename(from, to),
        }
    }
}

#[test]
fn tries_that_fail_do_not_fill_the_disk() {
    let (place, truth) = (Place::new(), frames(40));
    let disk = Arc::new(OldManifest(AtomicBool::new(false)));
    let (register, _) = place.open_on(disk.clone()).unwrap();
    truth.replay(&register, None);
    let before = place.files().len();
    disk.0.store(true, Ordering::SeqCst);
    for _ in 0..10 {
        register.step().unwrap_err();
        register.flush().unwrap_err();
        register.settle().unwrap_err();
        assert!(
            place.files().len() <= before + 2,
            "a run, and a manifest under way: {:?}",
            place.files().keys()
        );
    }
    disk.0.store(false, Ordering::SeqCst);
    register.settle().unwrap();
    truth.check(&register, &[]);
    assert_eq!(place.files().len(), 3, "{:?}", place.files().keys());
}
