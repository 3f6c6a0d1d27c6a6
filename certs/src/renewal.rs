//! When a certificate is due: at two thirds of its life, not all at once.

use serde::{Deserialize, Serialize};

/// Where something that ends stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing to do.
    Ok,
    /// To be renewed now, at leisure.
    Renew,
    /// To be renewed today: nine tenths of its life are over.
    Urgent,
    /// Over, or not begun.
    Expired,
}

impl State {
    /// As tables show it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Renew => "renew",
            State::Urgent => "urgent",
            State::Expired => "expired",
        }
    }
}

/// The plan of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalPlan {
    not_before: u64,
    due: u64,
    urgent: u64,
    not_after: u64,
}

impl RenewalPlan {
    /// Due at two thirds of life, shifted by up to a twentieth of it either way. The shift comes from the certificate's
    /// digest: every start of a timer finds the same moment, and a thousand certificates of one day find a thousand.
    pub fn new(not_before: u64, not_after: u64, digest: &[u8; 32]) -> Self {
        let life = u128::from(not_after.saturating_sub(not_before));
        let mut first = [0u8; 8];
        first.copy_from_slice(&digest[..8]);
        // From 0 to 2^64: a tenth of life, begun a twentieth early.
        let shift = (life * u128::from(u64::from_be_bytes(first))) / (10 << 64);
        let after = |part: u128| not_before.saturating_add(u64::try_from(part).unwrap_or(u64::MAX));
        Self {
            not_before,
            due: after((life * 2 / 3 - life / 20).saturating_add(shift)),
            urgent: after(life * 9 / 10),
            not_after,
        }
    }

    /// For a revocation list: due when its next update has come, urgent when half of the grace is over.
    pub fn of_list(this_update: u64, next_update: u64, grace: u64) -> Self {
        Self {
            not_before: this_update,
            due: next_update,
            urgent: next_update.saturating_add(grace / 2),
            not_after: next_update.saturating_add(grace),
        }
    }

    /// When to renew, in seconds since 1970.
    pub fn due(&self) -> u64 {
        self.due
    }

    /// Where it stands. Clocks may differ by five minutes before it counts as not begun.
    pub fn state(&self, now: u64) -> State {
        if now > self.not_after || now.saturating_add(300) < self.not_before {
            State::Expired
        } else if now > self.urgent {
            State::Urgent
        } else if now >= self.due {
            State::Renew
        } else {
            State::Ok
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn due_lies_around_two_thirds(start in 0u64..4_000_000_000, life in 0u64..4_000_000_000, digest in any::<[u8; 32]>()) {
            let plan = RenewalPlan::new(start, start + life, &digest);
            let part = (plan.due() - start) as f64;
            let life = life as f64;
            prop_assert!(part >= life * (2.0 / 3.0 - 0.05) - 2.0 && part <= life * (2.0 / 3.0 + 0.05) + 2.0);
            prop_assert_eq!(plan, RenewalPlan::new(start, start + life as u64, &digest));
            prop_assert_eq!(plan.state(start + life as u64 + 1), State::Expired);
        }

        #[test]
        fn any_times_make_a_plan(a in any::<u64>(), b in any::<u64>(), c in any::<u64>(), digest in any::<[u8; 32]>()) {
            let _ = RenewalPlan::new(a, b, &digest).state(c);
            let _ = RenewalPlan::of_list(a, b, c).state(c);
        }
    }

    #[test]
    fn states_follow_one_another_and_certificates_of_a_day_spread() {
        const DAY: u64 = 86_400;
        let plan = RenewalPlan::new(1_000 * DAY, 1_090 * DAY, &[0x80; 32]);
        assert_eq!(plan.due() / DAY, 1_060);
        for (day, state) in [
            (1_050, State::Ok),
            (1_061, State::Renew),
            (1_082, State::Urgent),
            (1_091, State::Expired),
            (999, State::Expired),
        ] {
            assert_eq!(plan.state(day * DAY), state, "day {day}");
        }
        let of = |first: u8| RenewalPlan::new(0, 90 * DAY, &[first; 32]).due();
        assert!(of(255) - of(0) > 8 * DAY);
    }
}
