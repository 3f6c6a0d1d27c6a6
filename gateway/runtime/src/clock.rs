//! Time, as the node sees it: wall clock for stamps, never going back within a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock, with a memory of the latest moment seen.
#[derive(Default)]
pub struct Clock {
    latest: AtomicI64,
    /// How far it was turned, in seconds.
    turned: Arc<AtomicI64>,
}

impl Clock {
    /// Turns the clock forward: for whoever drives a node by hand.
    pub fn turn(&self, seconds: i64) {
        self.turned.fetch_add(seconds, Ordering::Relaxed);
    }

    /// The same wall clock in milliseconds since 1970, for whoever stamps by it. It may go back.
    pub fn milliseconds(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let turned = self.turned.clone();
        move || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
            now.saturating_add(turned.load(Ordering::Relaxed).saturating_mul(1_000)).max(0) as u64
        }
    }

    /// Unix seconds. A clock set back does not make stamps go back.
    pub fn now(&self) -> i64 {
        let now = self.wall();
        self.latest.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// How many seconds the wall clock is behind the latest moment seen; zero when all is well.
    pub fn behind(&self) -> i64 {
        (self.latest.load(Ordering::Relaxed) - self.wall()).max(0)
    }

    /// Remembers a moment read back from the journal.
    pub fn observe(&self, moment: i64) {
        self.latest.fetch_max(moment, Ordering::Relaxed);
    }

    fn wall(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        now + self.turned.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_makes_stamps_stand_still_and_says_so() {
        let clock = Clock::default();
        assert_eq!(clock.behind(), 0);
        let ahead = clock.now() + 3_600;
        clock.observe(ahead);
        assert_eq!(clock.now(), ahead, "stamps never go back");
        assert!((3_590..=3_600).contains(&clock.behind()));
    }
}
