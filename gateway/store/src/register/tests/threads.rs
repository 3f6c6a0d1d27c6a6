use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::super::RegisterWorker;
use super::*;

/// Each key counts how often it was applied, so a reader knows the least and the most it may see.
#[test]
fn readers_see_every_applied_entry_once_while_runs_are_written_and_merged() {
    const ROUNDS: u32 = 150;
    let place = Place::new();
    let (register, _) = place.open();
    let register = Arc::new(register);
    let worker = RegisterWorker::start(register.clone(), |error| panic!("{error}")).unwrap();
    let all: Vec<Key> = keys(0, 60).collect();
    let (begun, applied) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for many in [false, true, false] {
            let (register, all, begun, applied) = (&register, &all, &begun, &applied);
            scope.spawn(move || {
                while applied.load(Ordering::SeqCst) < ROUNDS {
                    let least = applied.load(Ordering::SeqCst);
                    let mut seen = vec![0; all.len()];
                    if many {
                        let asked = register.get_many(all, |at, value| seen[at] = value.map_or(0, count));
                        asked.unwrap();
                        assert!(seen.iter().all(|times| *times == seen[0]), "of one moment: {seen:?}");
                    } else {
                        for (key, seen) in all.iter().zip(&mut seen) {
                            *seen = register.get(key).unwrap().map_or(0, |value| count(&value));
                        }
                    }
                    let most = begun.load(Ordering::SeqCst);
                    assert!(
                        seen.iter().all(|seen| (least..=most).contains(seen)),
                        "{least}..={most}: {seen:?}"
                    );
                }
            });
        }
        for round in 0..ROUNDS {
            begun.store(round + 1, Ordering::SeqCst);
            let frame: Frame = all.iter().map(|key| (*key, value(1, 1, 1))).collect();
            let waiting = register.apply(&frame, position(round as usize));
            applied.store(round + 1, Ordering::SeqCst);
            if waiting > 4 {
                register.step().unwrap();
            }
        }
    });
    wait(|| register.stats().waiting == 0 && register.stats().runs.len() < 12);
    drop(worker);
    register.settle().unwrap();
    for key in &all {
        assert_eq!(count(&register.get(key).unwrap().unwrap()), ROUNDS);
    }
    register.verify().unwrap();
}

#[test]
fn a_worker_tells_of_errors_goes_on_after_them_and_stops() {
    let (place, truth) = (Place::new(), frames(60));
    let (register, _) = place.open();
    fs::create_dir(place.path().join(format!("{:016x}.run", 1))).unwrap();
    let (register, told) = (Arc::new(register), Arc::new(AtomicBool::new(false)));
    let tell = told.clone();
    let worker =
        RegisterWorker::start(register.clone(), move |_| tell.store(true, Ordering::SeqCst)).unwrap();
    truth.replay(&register, None);
    wait(|| register.stats().waiting == 0);
    assert!(told.load(Ordering::SeqCst));
    drop(worker);
    assert_eq!(Arc::strong_count(&register), 1, "the thread is gone");
    truth.check(&register, &[]);
}

fn wait(done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < Duration::from_secs(60), "it does not come to that");
        std::thread::yield_now();
    }
}
