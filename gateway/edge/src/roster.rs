//! Who holds how many connections and requests: per address before the handshake, per member after.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use xinqiao_runtime::{Account, Budget};

/// Counts per address; IPv6 by /64, since one host has as many addresses as it likes.
pub(super) struct Addresses {
    cap: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place under its address.
pub(super) struct AddressSlot {
    addresses: Arc<Addresses>,
    key: IpAddr,
}

impl Addresses {
    pub(super) fn new(cap: usize) -> Arc<Self> {
        Arc::new(Self { cap, held: Mutex::default() })
    }

    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<AddressSlot> {
        let key = network(address);
        let mut held = self.held.lock();
        let count = held.entry(key).or_insert(0);
        if *count >= self.cap {
            return None;
        }
        *count += 1;
        Some(AddressSlot { addresses: self.clone(), key })
    }
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let mut held = self.addresses.held.lock();
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A count with a cap: handshakes in progress, connections in all.
pub(super) struct Room {
    cap: usize,
    held: AtomicUsize,
}

pub(super) struct RoomSlot(Arc<Room>);

impl Room {
    pub(super) fn new(cap: usize) -> Arc<Self> {
        Arc::new(Self { cap, held: AtomicUsize::new(0) })
    }

    pub(super) fn take(self: &Arc<Self>) -> Option<RoomSlot> {
        let taken = self.held.fetch_update(Relaxed, Relaxed, |n| (n < self.cap).then_some(n + 1));
        taken.ok().map(|_| RoomSlot(self.clone()))
    }
}

impl Drop for RoomSlot {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Relaxed);
    }
}

/// The members seen, each with its counts and its account. Bounded by the registry.
pub(super) struct Roster {
    budget: Budget,
    connections: usize,
    requests: u32,
    members: Mutex<HashMap<Arc<str>, Arc<Place>>>,
}

/// What all connections of one member share.
pub(super) struct Place {
    pub(super) name: Arc<str>,
    requests_cap: u32,
    connections: AtomicUsize,
    requests: AtomicU32,
}

/// One connection's place under its member, or that of a client behind the front proxy.
pub(super) struct Seat {
    pub(super) place: Arc<Place>,
    pub(super) account: Account,
    is_connection: bool,
}

impl Roster {
    pub(super) fn new(budget: Budget, connections: usize, requests: u32) -> Self {
        Self { budget, connections, requests, members: Mutex::default() }
    }

    pub(super) fn sit(&self, member: &str) -> Option<Seat> {
        let place = self.place(member);
        let taken =
            place.connections.fetch_update(Relaxed, Relaxed, |n| (n < self.connections).then_some(n + 1));
        taken.ok().map(|_| Seat { account: self.budget.account(&place.name), place, is_connection: true })
    }

    /// A place without a connection of one's own.
    pub(super) fn visit(&self, member: &str) -> Seat {
        let place = self.place(member);
        Seat { account: self.budget.account(&place.name), place, is_connection: false }
    }

    fn place(&self, member: &str) -> Arc<Place> {
        let mut members = self.members.lock();
        if let Some(place) = members.get(member) {
            return place.clone();
        }
        let name: Arc<str> = member.into();
        let place = Arc::new(Place {
            name: name.clone(),
            requests_cap: self.requests,
            connections: AtomicUsize::new(0),
            requests: AtomicU32::new(0),
        });
        members.insert(name, place.clone());
        place
    }
}

impl Seat {
    /// Takes a turn for one request, if the member has one left. Whoever took it ends it.
    pub(super) fn take_turn(&self) -> bool {
        let place = &self.place;
        let taken = place.requests.fetch_add(1, Relaxed) < place.requests_cap;
        if !taken {
            self.end_turn();
        }
        taken
    }

    pub(super) fn end_turn(&self) {
        self.place.requests.fetch_sub(1, Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.is_connection {
            self.place.connections.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one_and_a_mapped_address_as_ipv4() {
        let addresses = Addresses::new(2);
        let take = |text: &str| addresses.take(text.parse().unwrap());
        let first = take("2001:db8:0:1::1");
        let second = take("2001:db8:0:1:ffff::9");
        assert!(first.is_some() && second.is_some());
        assert!(take("2001:db8:0:1::2").is_none());
        assert!(take("2001:db8:0:2::1").is_some());
        drop(first);
        assert!(take("2001:db8:0:1::2").is_some());
        let v4 = (take("192.0.2.1"), take("::ffff:192.0.2.1"));
        assert!(v4.0.is_some() && v4.1.is_some() && take("192.0.2.1").is_none());
        drop((v4, second));
        assert!(addresses.held.lock().is_empty(), "nothing is remembered about those who left");
    }

    #[test]
    fn seats_and_turns_come_back() {
        let roster = Roster::new(Budget::new(1, 1), 1, 2);
        let seat = roster.sit("a").unwrap();
        assert!(roster.sit("a").is_none() && roster.sit("b").is_some());
        assert!(seat.take_turn() && seat.take_turn());
        assert!(!seat.take_turn() && !seat.take_turn());
        seat.end_turn();
        assert!(seat.take_turn() && !seat.take_turn());
        drop(seat);
        assert!(roster.sit("a").is_some());
    }
}
