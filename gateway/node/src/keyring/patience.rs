//! Work that may hang: it is done by a thread of its own and waited for so long and no longer.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

/// One piece of work at a time. While one hangs the others are turned away at once, so that one thread hangs at most.
pub(super) struct Patience {
    limit: Duration,
    turn: Mutex<()>,
    /// Threads at work: one, or none.
    busy: Arc<AtomicUsize>,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, turn: Mutex::default(), busy: Arc::default() }
    }

    /// What the work gave; nothing if it, or what was begun before it, takes too long.
    pub(super) fn within<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _turn = self.turn.try_lock_for(self.limit)?;
        if self.busy.load(Ordering::Acquire) > 0 {
            return None;
        }
        let (give, take) = sync_channel(1);
        self.busy.fetch_add(1, Ordering::AcqRel);
        let busy = AtWork(self.busy.clone());
        let job = move || {
            let done = busy.through(work);
            let _ = give.send(done);
        };
        thread::Builder::new().name("token".into()).spawn(job).ok()?;
        take.recv_timeout(self.limit).ok()
    }
}

/// A thread that is counted while it works, also if it panics, or never begins.
struct AtWork(Arc<AtomicUsize>);

impl AtWork {
    /// No longer counted when this returns: whoever hears of the end may begin with the next.
    fn through<T>(self, work: impl FnOnce() -> T) -> T {
        work()
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn what_hangs_is_waited_for_once_and_serves_again_when_it_returns() {
        let patience = Patience::new(Duration::from_secs(2));
        assert_eq!(patience.within(|| 1), Some(1));
        let (release, hanging) = sync_channel::<()>(0);
        let began = Instant::now();
        assert_eq!(patience.within(move || hanging.recv().is_ok()), None);
        assert!(began.elapsed() >= Duration::from_secs(2));
        for _ in 0..100 {
            assert_eq!(patience.within(|| 2), None, "turned away while it hangs");
        }
        assert!(began.elapsed() < Duration::from_secs(60), "at once");
        release.send(()).unwrap();
        while patience.within(|| 3) != Some(3) {
            assert!(began.elapsed() < Duration::from_secs(120), "it returned and nobody noticed");
            thread::yield_now();
        }
        assert_eq!(patience.within(|| panic!("a module that panics")).map(|()| 4), None);
        assert_eq!(patience.within(|| 5), Some(5));
    }

    #[test]
    fn many_wait_for_their_turn() {
        let patience = Patience::new(Duration::from_secs(60));
        thread::scope(|scope| {
            let all: Vec<_> = (0..16)
                .map(|n| {
                    scope.spawn({
                        let p = &patience;
                        move || p.within(move || n)
                    })
                })
                .collect();
            for (n, one) in all.into_iter().enumerate() {
                assert_eq!(one.join().unwrap(), Some(n));
            }
        });
    }
}
