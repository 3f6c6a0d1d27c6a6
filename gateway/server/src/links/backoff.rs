//! Pauses between attempts: each twice as long as the one before, up to a limit, with jitter.

use std::time::Duration;

/// The pause that comes next. Randomness is handed in, so that the same draws give the same pauses.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    pause: Duration,
}

impl Backoff {
    /// Begins with `first` and never grows beyond `most`, jitter aside.
    pub(super) fn new(first: Duration, most: Duration) -> Self {
        let first = first.min(most);
        Self { first, most, pause: first }
    }

    /// How long to wait now; the next pause is twice as long. Up to half of the pause is added as `random` says, so that
    /// many who failed at the same moment do not come back at the same moment.
    pub(super) fn grow(&mut self, random: u64) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.most);
        pause + pause.mul_f64((random % 1_000) as f64 / 2_000.0)
    }

    /// Begins again with the first pause.
    pub(super) fn reset(&mut self) {
        self.pause = self.first;
    }
}

/// A draw for [`Backoff::grow`]; need not be hard to guess.
pub(super) fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8)
}
