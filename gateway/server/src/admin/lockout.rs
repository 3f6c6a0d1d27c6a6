//! Who failed too often on the officers' listener is locked out for a while: addresses whose certificates were refused,
//! officers who tried what is not theirs. Kept in memory: a restart forgets it, and is itself in the log.

use crate::officers::{LockoutKind, LockoutView};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};
use xinqiao_certs::Role;

/// Strangers from many addresses must not fill the memory.
const KEPT: usize = 10_000;

/// Whose failures are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// An address; of IPv6 its /64, since one host has as many addresses as it likes.
    Address(IpAddr),
    /// An officer, by name.
    Officer(String),
}

impl Who {
    pub(super) fn address(address: IpAddr) -> Self {
        let network = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => IpAddr::V4(v4),
                None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
            },
        };
        Self::Address(network)
    }

    pub(super) fn name(&self) -> String {
        match self {
            Who::Address(address) => address.to_string(),
            Who::Officer(name) => name.clone(),
        }
    }
}

/// Failures, and who is locked out.
pub(super) struct Lockouts {
    failures: usize,
    span: Duration,
    kept: Mutex<BTreeMap<Who, Record>>,
}

#[derive(Default)]
struct Record {
    failed: VecDeque<Instant>,
    role: Option<Role>,
    until: Option<Instant>,
}

impl Lockouts {
    /// `failures` within `span` lock out for `span`.
    pub(super) fn new(failures: u32, span: Duration) -> Self {
        Self { failures: failures.max(1) as usize, span, kept: Mutex::default() }
    }

    /// Seconds this one is locked out for yet, if at all.
    pub(super) fn left(&self, who: &Who, now: Instant) -> Option<u64> {
        let kept = self.kept.lock();
        seconds(kept.get(who)?.until?, now)
    }

    /// Counts a failure; true if it is the one that locks out.
    pub(super) fn failed(&self, who: &Who, role: Option<Role>, now: Instant) -> bool {
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT && !kept.contains_key(who) {
            kept.retain(|_, r| r.matters(self.span, now));
            if kept.len() >= KEPT {
                // Only those who are locked out are worth keeping now.
                kept.retain(|_, r| r.until.is_some());
            }
            if kept.len() >= KEPT {
                return false;
            }
        }
        let record = kept.entry(who.clone()).or_default();
        if record.until.is_some_and(|until| until > now) {
            return false;
        }
        record.until = None;
        record.role = role;
        record.failed.retain(|then| now.duration_since(*then) < self.span);
        record.failed.push_back(now);
        let locks = record.failed.len() >= self.failures;
        if locks {
            record.failed.clear();
            record.until = Some(now + self.span);
        }
        locks
    }

    /// Whether one of this name is locked out, and as what.
    pub(super) fn find(&self, name: &str, now: Instant) -> Option<(Who, Option<Role>)> {
        let kept = self.kept.lock();
        let (who, record) =
            kept.iter().find(|(w, r)| w.name() == name && r.until.is_some_and(|until| until > now))?;
        Some((who.clone(), record.role))
    }

    /// Ends a lock-out.
    pub(super) fn lift(&self, who: &Who) {
        self.kept.lock().remove(who);
    }

    /// Everyone who is locked out.
    pub(super) fn list(&self, now: Instant) -> Vec<LockoutView> {
        let kept = self.kept.lock();
        let one = |(who, record): (&Who, &Record)| {
            let seconds_left = seconds(record.until?, now)?;
            let kind = match who {
                Who::Address(_) => LockoutKind::Address,
                Who::Officer(_) => LockoutKind::Officer,
            };
            Some(LockoutView { name: who.name(), who: kind, role: record.role, seconds_left })
        };
        kept.iter().filter_map(one).collect()
    }
}

impl Record {
    fn matters(&self, span: Duration, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
            || self.failed.back().is_some_and(|then| now.duration_since(*then) < span)
    }
}

fn seconds(until: Instant, now: Instant) -> Option<u64> {
    (until > now).then(|| (until - now).as_secs() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn officer() -> Who {
        Who::Officer("security-1".into())
    }

    #[test]
    fn failures_within_the_span_lock_out_for_the_span() {
        let (lockouts, start) = (Lockouts::new(3, Duration::from_secs(60)), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        let fail = |s| lockouts.failed(&officer(), Some(Role::SecurityOfficer), at(s));
        assert!(!fail(0) && !fail(30));
        assert!(!fail(61), "the first is too old by now");
        assert!(fail(80));
        assert_eq!(lockouts.left(&officer(), at(80)), Some(61));
        assert!(!fail(90), "who is locked out is not counted on");
        assert_eq!(lockouts.left(&officer(), at(141)), None);
        assert!(!fail(142), "and begins anew afterwards");
    }

    #[test]
    fn a_lock_out_can_be_lifted_and_concerns_nobody_else() {
        let (lockouts, now) = (Lockouts::new(1, Duration::from_secs(60)), Instant::now());
        assert!(lockouts.failed(&officer(), Some(Role::SecurityOfficer), now));
        assert_eq!(lockouts.left(&Who::Officer("security-2".into()), now), None);
        assert_eq!(lockouts.list(now).len(), 1);
        let (who, role) = lockouts.find("security-1", now).unwrap();
        assert_eq!(role, Some(Role::SecurityOfficer));
        lockouts.lift(&who);
        assert!(lockouts.left(&officer(), now).is_none() && lockouts.find("security-1", now).is_none());
    }

    #[test]
    fn strangers_do_not_fill_the_memory_and_do_not_free_those_locked_out() {
        let (lockouts, now) = (Lockouts::new(2, Duration::from_secs(60)), Instant::now());
        lockouts.failed(&officer(), None, now);
        assert!(lockouts.failed(&officer(), None, now));
        for n in 0..3 * KEPT as u32 {
            lockouts.failed(&Who::address(IpAddr::V4(n.into())), None, now);
        }
        assert!(lockouts.kept.lock().len() <= KEPT);
        assert!(lockouts.left(&officer(), now).is_some());
    }

    #[test]
    fn one_host_is_one_address() {
        let at = |text: &str| Who::address(text.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }
}
