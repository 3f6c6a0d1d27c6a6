//! How many connections there may be: per address before the handshake, in handshakes, in all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

/// Counts per address; IPv6 by /64, since one host has as many addresses as it likes.
pub(super) struct Addresses {
    cap: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection counted under its address.
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
pub(super) struct ConnectionCap {
    cap: usize,
    held: AtomicUsize,
}

/// One counted; given back when dropped.
pub(super) struct ConnectionSlot(Arc<ConnectionCap>);

impl ConnectionCap {
    pub(super) fn new(cap: usize) -> Arc<Self> {
        Arc::new(Self { cap, held: AtomicUsize::new(0) })
    }

    pub(super) fn take(self: &Arc<Self>) -> Option<ConnectionSlot> {
        let taken = self.held.fetch_update(Relaxed, Relaxed, |n| (n < self.cap).then_some(n + 1));
        taken.ok().map(|_| ConnectionSlot(self.clone()))
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Relaxed);
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
    fn a_cap_holds_and_slots_come_back() {
        let cap = ConnectionCap::new(2);
        let held = (cap.take(), cap.take());
        assert!(held.0.is_some() && held.1.is_some() && cap.take().is_none());
        drop(held.0);
        assert!(cap.take().is_some());
    }
}
