//! Request rates: the member's own first, then the node's, so that a noisy member spends its own
//! bucket and never the others' share.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// Requests per second and burst, per member and for the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Sustained requests per second of one member.
    pub member_per_second: NonZeroU32,
    /// Requests one member may send at once.
    pub member_burst: NonZeroU32,
    /// Sustained requests per second of the node.
    pub node_per_second: NonZeroU32,
    /// Requests the node takes at once.
    pub node_burst: NonZeroU32,
}

type PerMember<C> =
    RateLimiter<Arc<str>, DefaultKeyedStateStore<Arc<str>>, C, NoOpMiddleware<<C as Clock>::Instant>>;
type PerNode<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The node's rate limiters. Keys are names of verified members.
pub struct Limits<C: Clock = DefaultClock> {
    members: PerMember<C>,
    node: PerNode<C>,
    clock: C,
}

impl Limits {
    /// Limiters on the machine's clock.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        Self::with_clock(rates, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limits<C> {
    /// Limiters on the given clock.
    #[must_use]
    pub fn with_clock(rates: Rates, clock: C) -> Self {
        let member = Quota::per_second(rates.member_per_second).allow_burst(rates.member_burst);
        let node = Quota::per_second(rates.node_per_second).allow_burst(rates.node_burst);
        Self {
            members: RateLimiter::new(member, DefaultKeyedStateStore::default(), clock.clone()),
            node: RateLimiter::direct_with_clock(node, clock.clone()),
            clock,
        }
    }

    /// Spends one request of `member`, then one of the node.
    ///
    /// # Errors
    /// `limit.member-rate` or `limit.node-rate`, with the seconds until it would pass.
    pub fn spend(&self, member: &Arc<str>) -> Result<(), Refusal> {
        if let Err(not_until) = self.members.check_key(member) {
            let wait = not_until.wait_time_from(self.clock.now());
            return Err(refuse(RefusalCode::LimitMemberRate, wait));
        }
        self.node.check().map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            refuse(RefusalCode::LimitNodeRate, wait)
        })
    }

    /// Forgets members whose bucket is full again. The edge calls it on a timer.
    pub fn retain_recent(&self) {
        self.members.retain_recent();
        self.members.shrink_to_fit();
    }

    /// Members remembered now.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.members.len()
    }
}

impl Default for Rates {
    fn default() -> Self {
        let rate = |n| NonZeroU32::new(n).expect("the defaults are not zero");
        Self {
            member_per_second: rate(20_000),
            member_burst: rate(40_000),
            node_per_second: rate(100_000),
            node_burst: rate(200_000),
        }
    }
}

fn refuse(code: RefusalCode, wait: std::time::Duration) -> Refusal {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    Refusal::new(code).retry_after(u32::try_from(seconds.max(1)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use http::header::RETRY_AFTER;
    use std::time::Duration;

    fn limits(member: u32, node: u32) -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let rate = |n| NonZeroU32::new(n).unwrap();
        let rates = Rates {
            member_per_second: rate(1),
            member_burst: rate(member),
            node_per_second: rate(10),
            node_burst: rate(node),
        };
        (Limits::with_clock(rates, clock.clone()), clock)
    }

    #[test]
    fn a_noisy_member_spends_its_own_bucket_only() {
        let (limits, clock) = limits(5, 20);
        let (noisy, quiet): (Arc<str>, Arc<str>) = ("noisy".into(), "quiet".into());
        let passed = (0..1_000).filter(|_| limits.spend(&noisy).is_ok()).count();
        assert_eq!(passed, 5);
        for _ in 0..5 {
            limits.spend(&quiet).expect("the node's bucket was not touched by what the member's refused");
        }
        let refused = limits.spend(&noisy).unwrap_err();
        assert_eq!(refused.code(), RefusalCode::LimitMemberRate);
        assert_eq!(crate::problem::to_response(&refused, "").headers()[RETRY_AFTER], "1");
        clock.advance(Duration::from_secs(1));
        limits.spend(&noisy).expect("one request a second comes back");
    }

    #[test]
    fn the_node_s_rate_holds_over_all_members() {
        let (limits, _clock) = limits(5, 8);
        let spend = |name: &str| limits.spend(&Arc::from(name)).map_err(|p| p.code());
        assert!((0..4).all(|_| spend("a").is_ok() && spend("b").is_ok()));
        assert_eq!(spend("c"), Err(RefusalCode::LimitNodeRate));
    }

    #[test]
    fn members_at_rest_are_forgotten() {
        let (limits, clock) = limits(5, 100);
        for i in 0..50 {
            limits.spend(&i.to_string().into()).unwrap();
        }
        assert_eq!(limits.remembered(), 50);
        clock.advance(Duration::from_secs(60));
        limits.retain_recent();
        assert_eq!(limits.remembered(), 0);
    }
}
