//! The node-wide byte budget: bodies, decoders' output, groups and replies all count against it.
//!
//! Each member has an account with a share cap, so one member can never take it all. Taking bytes
//! never waits: what does not fit now is refused with `busy.memory`, and memory stays bounded.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::blocking::on_blocking_thread;
use crate::fair_permit::{FairPermit, FairSemaphore};
use crate::metrics::{Metric, Metrics};
use crate::refusal::{Refusal, RefusalCode};

/// Work on more bytes than this waits for its owner's turn.
pub const INLINE: usize = 32 << 10;

/// Bytes the node may hold at once.
#[derive(Clone)]
pub struct Budget(Arc<Node>);

/// One member's share of the budget (or that of an inner worker).
///
/// Cloning counts on the handle, not on the share: connections keep a handle each, so that their
/// requests do not contend for one counter.
#[derive(Clone)]
pub struct Account(Arc<Handle>);

/// Bytes taken; given back on drop.
pub struct Permit {
    handle: Arc<Handle>,
    bytes: usize,
}

struct Node {
    total: usize,
    share: usize,
    used: AtomicUsize,
    long_work: FairSemaphore,
    accounts: Mutex<HashMap<String, Arc<Share>>>,
}

struct Handle {
    share: Arc<Share>,
}

struct Share {
    name: Arc<str>,
    node: Arc<Node>,
    used: AtomicUsize,
}

impl Budget {
    /// `total` bytes for the node, at most `share` of them for one account.
    #[must_use]
    pub fn new(total: usize, share: usize) -> Self {
        let used = AtomicUsize::new(0);
        let long_work = FairSemaphore::new(std::thread::available_parallelism().map_or(2, usize::from));
        Self(Arc::new(Node { total, share: share.min(total), used, long_work, accounts: Mutex::default() }))
    }

    /// A handle on the account of that name, always the same account. Names are those of verified members or of
    /// inner workers, so their number is bounded.
    #[must_use]
    pub fn account(&self, name: &str) -> Account {
        let mut accounts = self.0.accounts.lock();
        if let Some(share) = accounts.get(name) {
            return Account(Arc::new(Handle { share: share.clone() }));
        }
        let share = Arc::new(Share { name: name.into(), node: self.0.clone(), used: AtomicUsize::new(0) });
        accounts.insert(name.to_owned(), share.clone());
        Account(Arc::new(Handle { share }))
    }

    /// Bytes taken now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Relaxed)
    }

    /// Bytes there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.total
    }

    /// Shows the budget in the metrics on each scrape.
    pub fn expose(&self, metrics: &Metrics) {
        let budget = self.clone();
        metrics.on_scrape(move |metrics| {
            #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
            for (state, bytes) in [("used", budget.used()), ("total", budget.total())] {
                metrics.set(Metric::MemoryBudget, &[state], bytes as f64);
            }
        });
    }
}

impl Account {
    /// Takes `bytes`.
    ///
    /// # Errors
    /// `busy.memory` when the account's share or the node's budget does not hold them.
    pub fn take(&self, bytes: usize) -> Result<Permit, Refusal> {
        let mut permit = Permit { handle: self.0.clone(), bytes: 0 };
        permit.grow(bytes)?;
        Ok(permit)
    }

    /// Waits until this account's owner is next at long work on the processors; done when the permit is dropped.
    pub async fn fair_permit(&self) -> FairPermit {
        let share = &self.0.share;
        share.node.long_work.acquire(&share.name).await
    }

    /// Takes `bytes` for work on what `beside` pays for.
    ///
    /// # Errors
    /// `busy.memory` as [`Account::take`]; `body.too-large` when both together are more than this account may ever hold,
    /// since "come again" would never come true.
    pub fn take_beside(&self, beside: &Permit, bytes: usize) -> Result<Permit, Refusal> {
        if beside.bytes().saturating_add(bytes) > self.most() {
            return Err(RefusalCode::BodyTooLarge.into());
        }
        self.take(bytes)
    }

    /// Runs `work` on so many bytes: here if they are few, else in a thread that may block, in this account's turn.
    ///
    /// The work goes on when the caller is dropped, so it must own what it was paid with.
    ///
    /// # Panics
    /// Passes on a panic of `work`.
    pub async fn in_turn<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if bytes <= INLINE {
            return work();
        }
        let permit = self.fair_permit().await;
        on_blocking_thread(move || {
            let _permit = permit;
            work()
        })
        .await
    }

    /// Bytes this account holds now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.share.used.load(Relaxed)
    }

    /// The most this account may ever hold: what needs more is too large, not too early.
    #[must_use]
    pub fn most(&self) -> usize {
        self.0.share.node.share
    }

    /// Whether `bytes` more would fit now: lets a refusal come before the body is read.
    ///
    /// # Errors
    /// `busy.memory`, as [`Account::take`].
    pub fn would_fit(&self, bytes: usize) -> Result<(), Refusal> {
        let fits =
            |used: &AtomicUsize, cap: usize| used.load(Relaxed).checked_add(bytes).is_some_and(|n| n <= cap);
        let node = &self.0.share.node;
        if fits(&self.0.share.used, node.share) && fits(&node.used, node.total) {
            Ok(())
        } else {
            Err(busy())
        }
    }
}

impl Permit {
    /// Takes `more` bytes on top.
    ///
    /// # Errors
    /// `busy.memory`; what was held stays held.
    pub fn grow(&mut self, more: usize) -> Result<(), Refusal> {
        if more == 0 {
            return Ok(());
        }
        let share = &self.handle.share;
        let node = &share.node;
        if !add_below(&share.used, more, node.share) {
            return Err(busy());
        }
        if !add_below(&node.used, more, node.total) {
            share.used.fetch_sub(more, Relaxed);
            return Err(busy());
        }
        self.bytes += more;
        Ok(())
    }

    /// Gives back all above `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        if surplus == 0 {
            return;
        }
        let share = &self.handle.share;
        share.used.fetch_sub(surplus, Relaxed);
        share.node.used.fetch_sub(surplus, Relaxed);
        self.bytes -= surplus;
    }

    /// Takes over what `other` holds. Both must be of one account.
    pub fn merge(&mut self, mut other: Permit) {
        debug_assert!(
            Arc::ptr_eq(&self.handle.share, &other.handle.share),
            "permits of two accounts cannot merge"
        );
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Permit({} bytes)", self.bytes)
    }
}

fn add_below(used: &AtomicUsize, more: usize, cap: usize) -> bool {
    used.fetch_update(Relaxed, Relaxed, |n| n.checked_add(more).filter(|sum| *sum <= cap)).is_ok()
}

fn busy() -> Refusal {
    Refusal::new(RefusalCode::BusyMemory).retry_after(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_account_never_gets_more_than_its_share() {
        let budget = Budget::new(100, 60);
        let (a, b) = (budget.account("a"), budget.account("b"));
        let held = a.take(60).unwrap();
        assert_eq!(a.take(1).unwrap_err().code(), RefusalCode::BusyMemory);
        let other = b.take(40).unwrap();
        assert!(b.take(1).is_err(), "the node's budget is used up");
        assert_eq!(b.used(), 40, "a refused take leaves nothing behind");
        drop(held);
        assert_eq!((budget.used(), a.used()), (40, 0));
        assert!(b.would_fit(20).is_ok() && b.would_fit(21).is_err());
        drop(other);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_can_never_fit_is_too_large_and_what_does_not_fit_now_is_busy() {
        let account = Budget::new(100, 60).account("a");
        let body = account.take(20).unwrap();
        assert_eq!(account.take_beside(&body, 41).unwrap_err().code(), RefusalCode::BodyTooLarge);
        let reading = account.take_beside(&body, 40).unwrap();
        assert_eq!(account.take_beside(&body, 40).unwrap_err().code(), RefusalCode::BusyMemory);
        drop(reading);
        assert!(account.take_beside(&body, 40).is_ok());
    }

    #[test]
    fn an_account_is_found_again_by_name() {
        let budget = Budget::new(100, 60);
        let held = budget.account("a").take(50).unwrap();
        assert!(budget.account("a").take(11).is_err());
        drop(held);
    }

    #[test]
    fn sizes_near_overflow_are_refused() {
        let account = Budget::new(usize::MAX, usize::MAX).account("a");
        let _held = account.take(usize::MAX - 1).unwrap();
        assert!(account.take(2).is_err());
        assert!(account.would_fit(usize::MAX).is_err());
    }

    proptest! {
        #[test]
        fn used_is_always_the_sum_of_what_is_held(steps in proptest::collection::vec((0..3usize, 0..4u8, 0..50usize), 1..200)) {
            let budget = Budget::new(200, 90);
            let mut held: Vec<Vec<Permit>> = vec![vec![], vec![], vec![]];
            for (who, what, bytes) in steps {
                let account = budget.account(&who.to_string());
                match what {
                    0 => held[who].extend(account.take(bytes).ok()),
                    1 => drop(held[who].pop()),
                    2 => { if let Some(permit) = held[who].last_mut() { let _ = permit.grow(bytes); } }
                    _ => { if let Some(permit) = held[who].last_mut() { permit.shrink_to(bytes); } }
                }
                let sums: Vec<usize> = held.iter().map(|p| p.iter().map(Permit::bytes).sum()).collect();
                prop_assert_eq!(budget.used(), sums.iter().sum::<usize>());
                prop_assert_eq!(account.used(), sums[who]);
                prop_assert!(budget.used() <= 200 && sums.iter().all(|s| *s <= 90));
            }
        }
    }
}
