//! Who is next: members take turns, and within a member the order of arrival stays. Whoever has one thing waiting waits
//! for one thing of each other member, however many those have waiting.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Items of several members, given out one member after the other.
pub struct FairQueue<T> {
    /// Members seen so far; bounded by the registry, so that a name is stored once and no place is ever given up.
    members: HashMap<Arc<str>, usize>,
    /// What each member has waiting.
    waiting: Vec<VecDeque<T>>,
    /// Those with something waiting, the next one first.
    order: VecDeque<usize>,
    len: usize,
}

/// A member in one queue, as [`FairQueue::member`] found it by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FairMember(usize);

/// Items a member's place keeps memory for while nothing waits there.
const KEPT: usize = 1_024;

impl<T> FairQueue<T> {
    /// Nothing waits.
    #[must_use]
    pub fn new() -> Self {
        Self { members: HashMap::new(), waiting: Vec::new(), order: VecDeque::new(), len: 0 }
    }

    /// The member of that name. Names must be bounded in number: they are kept.
    pub fn member(&mut self, name: &str) -> FairMember {
        if let Some(at) = self.members.get(name) {
            return FairMember(*at);
        }
        let at = self.waiting.len();
        self.members.insert(name.into(), at);
        self.waiting.push(VecDeque::new());
        FairMember(at)
    }

    /// Adds an item behind what the member has waiting; a member that had nothing waiting comes last.
    ///
    /// # Panics
    /// `member` is of another queue with more members.
    pub fn push(&mut self, member: FairMember, item: T) {
        let waiting = &mut self.waiting[member.0];
        if waiting.is_empty() {
            self.order.push_back(member.0);
        }
        waiting.push_back(item);
        self.len += 1;
    }

    /// Takes the first item of the member that is next; if it has more, it comes last now.
    pub fn pop(&mut self) -> Option<T> {
        let at = self.order.pop_front()?;
        let waiting = &mut self.waiting[at];
        let item = waiting.pop_front();
        if waiting.is_empty() {
            waiting.shrink_to(KEPT);
        } else {
            self.order.push_back(at);
        }
        self.len -= 1;
        item
    }

    /// Items waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn push<T>(queue: &mut FairQueue<T>, name: &str, item: T) {
        let member = queue.member(name);
        queue.push(member, item);
    }

    #[test]
    fn who_has_one_waiting_is_next_however_many_another_has() {
        let mut queue = FairQueue::new();
        for n in 0..100 {
            push(&mut queue, "noisy", ("noisy", n));
        }
        for (name, n) in [("quiet", 0), ("calm", 0), ("quiet", 1)] {
            push(&mut queue, name, (name, n));
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).take(7).collect();
        let wanted =
            [("noisy", 0), ("quiet", 0), ("calm", 0), ("noisy", 1), ("quiet", 1), ("noisy", 2), ("noisy", 3)];
        assert_eq!(order, wanted);
    }

    #[test]
    fn memory_is_bounded_by_members_and_not_by_what_once_waited() {
        let mut queue = FairQueue::new();
        for round in 0..3 {
            for n in 0..100_000 {
                push(&mut queue, ["a", "b"][n % 2], round);
            }
            assert_eq!(std::iter::from_fn(|| queue.pop()).count(), 100_000);
        }
        assert!(queue.is_empty());
        assert_eq!((queue.members.len(), queue.waiting.len()), (2, 2));
        assert!(queue.waiting.iter().all(|waiting| waiting.capacity() <= 2 * KEPT));
        assert!(queue.order.capacity() <= 8);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_order_stays_within_a_member_and_nobody_waits_for_two_of_another(
            steps in proptest::collection::vec((0..5u8, any::<bool>()), 1..300)
        ) {
            let mut queue = FairQueue::new();
            let (mut pushed, mut taken) = (0usize, Vec::new());
            // For each member that waits, how many each other was given since it last got one.
            let mut given: BTreeMap<u8, BTreeMap<u8, u32>> = BTreeMap::new();
            let mut waiting: BTreeMap<u8, u32> = BTreeMap::new();
            for (member, is_push) in steps {
                if is_push {
                    push(&mut queue, &member.to_string(), (member, pushed));
                    pushed += 1;
                    *waiting.entry(member).or_default() += 1;
                    given.entry(member).or_default();
                } else if let Some((member, n)) = queue.pop() {
                    taken.push((member, n));
                    let left = waiting.get_mut(&member).expect("it was waiting");
                    *left -= 1;
                    given.remove(&member);
                    if *left > 0 {
                        given.insert(member, BTreeMap::new());
                    }
                    for others in given.values_mut() {
                        let times = others.entry(member).or_default();
                        *times += 1;
                        prop_assert!(*times <= 1, "one in turn each");
                    }
                } else {
                    prop_assert_eq!(taken.len(), pushed, "empty only when all were taken");
                }
                prop_assert_eq!(queue.len(), pushed - taken.len());
            }
            taken.extend(std::iter::from_fn(|| queue.pop()));
            prop_assert_eq!(taken.len(), pushed);
            prop_assert!(queue.is_empty());
            for member in 0..5 {
                let own: Vec<usize> = taken.iter().filter(|t| t.0 == member).map(|t| t.1).collect();
                prop_assert!(own.is_sorted());
            }
        }
    }
}
