//! How many connections and requests each member holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use xinqiao_runtime::{Account, Budget};

/// The members seen, each with its counts and its account. Bounded by the registry.
pub(super) struct MemberTable {
    budget: Budget,
    connections: usize,
    requests: u32,
    members: Mutex<HashMap<Arc<str>, Arc<MemberUsage>>>,
}

/// What all connections of one member hold together.
struct MemberUsage {
    name: Arc<str>,
    requests_cap: u32,
    connections: AtomicUsize,
    requests: AtomicU32,
}

/// One connection counted under its member, or a client behind the front proxy, which counts as no connection.
///
/// Each connection has its own, so that the requests of a member's connections do not contend for one reference count.
pub(super) struct MemberSlot {
    usage: Arc<MemberUsage>,
    account: Account,
    is_connection: bool,
}

/// One request counted under its member until it is dropped.
pub(super) struct InFlight(Arc<MemberSlot>);

impl MemberTable {
    /// At most so many connections and requests per member.
    pub(super) fn new(budget: Budget, connections: usize, requests: u32) -> Self {
        Self { budget, connections, requests, members: Mutex::default() }
    }

    /// Counts a connection of `member`, if it may have one more.
    pub(super) fn connect(&self, member: &str) -> Option<Arc<MemberSlot>> {
        let usage = self.usage(member);
        let below_cap = |n| (n < self.connections).then_some(n + 1);
        let taken = usage.connections.fetch_update(Relaxed, Relaxed, below_cap);
        taken.ok().map(|_| self.slot(usage, true))
    }

    /// For a client behind the front proxy: its requests count, its connection is the proxy's.
    pub(super) fn proxied(&self, member: &str) -> Arc<MemberSlot> {
        self.slot(self.usage(member), false)
    }

    fn slot(&self, usage: Arc<MemberUsage>, is_connection: bool) -> Arc<MemberSlot> {
        Arc::new(MemberSlot { account: self.budget.account(&usage.name), usage, is_connection })
    }

    fn usage(&self, member: &str) -> Arc<MemberUsage> {
        let mut members = self.members.lock();
        if let Some(usage) = members.get(member) {
            return usage.clone();
        }
        let name: Arc<str> = member.into();
        let usage = Arc::new(MemberUsage {
            name: name.clone(),
            requests_cap: self.requests,
            connections: AtomicUsize::new(0),
            requests: AtomicU32::new(0),
        });
        members.insert(name, usage.clone());
        usage
    }
}

impl MemberSlot {
    /// The member's name.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.usage.name
    }

    /// This connection's handle on the member's share of the byte budget.
    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Counts one request, if the member may have one more.
    pub(super) fn begin_request(self: &Arc<Self>) -> Option<InFlight> {
        let usage = &self.usage;
        if usage.requests.fetch_add(1, Relaxed) < usage.requests_cap {
            return Some(InFlight(self.clone()));
        }
        usage.requests.fetch_sub(1, Relaxed);
        None
    }
}

impl InFlight {
    /// Name of the member it counts for.
    pub(super) fn member(&self) -> &Arc<str> {
        self.0.name()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.usage.requests.fetch_sub(1, Relaxed);
    }
}

impl Drop for MemberSlot {
    fn drop(&mut self) {
        if self.is_connection {
            self.usage.connections.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_requests_come_back() {
        let table = MemberTable::new(Budget::new(1, 1), 1, 2);
        let slot = table.connect("a").unwrap();
        assert!(table.connect("a").is_none() && table.connect("b").is_some());
        let (first, second) = (slot.begin_request(), slot.begin_request());
        assert!(first.is_some() && second.is_some());
        assert!(slot.begin_request().is_none() && slot.begin_request().is_none());
        drop(first);
        let third = slot.begin_request();
        assert!(third.is_some() && slot.begin_request().is_none());
        drop(slot);
        assert!(table.connect("a").is_none(), "a request in flight keeps its connection counted");
        drop((second, third));
        assert!(table.connect("a").is_some());
    }

    #[test]
    fn a_proxied_client_shares_the_member_s_requests_and_takes_no_connection() {
        let table = MemberTable::new(Budget::new(1, 1), 1, 1);
        let (own, proxied) = (table.connect("a").unwrap(), table.proxied("a"));
        let request = proxied.begin_request();
        assert!(request.is_some() && own.begin_request().is_none());
        drop((own, request));
        assert!(table.connect("a").is_some(), "the proxied client holds no connection");
        assert_eq!(&**proxied.name(), "a");
    }
}
