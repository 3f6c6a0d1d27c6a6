//! Which of several lists of one authority speaks. A pure rule: lists come in any order, old beside new, twice, or with the
//! same number, and the answer must not depend on it.
//!
//! The newest speaks, by its number; where one has no number, by the time it was made. Two lists of one number that differ
//! are a fault of the authority, and nobody can tell which of them it meant. Both speak then: a certificate that either
//! revokes is refused. Refusing both instead would shut out everyone, and taking the later one would let in again whoever
//! only the other revokes, as after an authority was restored from a backup. The older one speaks until its own next
//! update has come, so that an authority that never counts does not gather lists for ever.

use std::cmp::Ordering;

/// What decides whether one list takes the place of another of the same authority, scope and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rank<'a> {
    /// The list's number, big-endian without leading zeros.
    pub(super) number: Option<&'a [u8]>,
    /// When it was made, in seconds since 1970.
    pub(super) this_update: u64,
    /// When the next one was promised.
    pub(super) next_update: Option<u64>,
}

impl Rank<'_> {
    /// Of two lists: which is newer. Equal: neither, so both speak.
    fn newer(&self, other: &Self) -> Ordering {
        match (self.number, other.number) {
            (Some(own), Some(its)) => (own.len(), own).cmp(&(its.len(), its)),
            _ => self.this_update.cmp(&other.this_update),
        }
    }

    fn is_overdue(&self, now: u64) -> bool {
        self.next_update.is_some_and(|next| now > next)
    }
}

/// The places of those that speak, the latest made first; none only if there is none.
pub(super) fn speaking(ranks: &[Rank<'_>], now: u64) -> Vec<usize> {
    // Numbers and times may disagree, so that "newer" goes round in a circle among lists with and without a number: the
    // best of each kind are found first, and compared then.
    let best = |numbered: bool| {
        let own = ranks.iter().filter(move |rank| rank.number.is_some() == numbered);
        own.max_by(|a, b| a.newer(b).then(a.this_update.cmp(&b.this_update)))
    };
    let newest = match (best(true), best(false)) {
        (Some(numbered), Some(plain)) if plain.newer(numbered) == Ordering::Greater => plain,
        (Some(numbered), _) => numbered,
        (None, Some(plain)) => plain,
        (None, None) => return Vec::new(),
    };
    let mut speaking: Vec<usize> = (0..ranks.len())
        .filter(|at| ranks[*at].newer(newest) == Ordering::Equal)
        .filter(|at| ranks[*at].this_update == newest.this_update || !ranks[*at].is_overdue(now))
        .collect();
    speaking.sort_by_key(|at| std::cmp::Reverse(ranks[*at].this_update));
    speaking
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 50;

    fn number(n: u16) -> Vec<u8> {
        let bytes = n.to_be_bytes();
        bytes[bytes.iter().take_while(|byte| **byte == 0).count()..].to_vec()
    }

    /// A list as its number, when it was made and when the next one was promised.
    type Made = (Option<u16>, u64, Option<u64>);

    fn made() -> impl Strategy<Value = Made> {
        let numbers = prop_oneof![Just(0u16), Just(1), Just(2), Just(255), Just(256), Just(300)];
        (proptest::option::of(numbers), 0u64..60, proptest::option::of(0u64..100))
    }

    fn lists() -> impl Strategy<Value = Vec<Made>> {
        proptest::collection::vec(made(), 0..7)
    }

    fn said(lists: &[Made]) -> Vec<Made> {
        let numbers: Vec<Option<Vec<u8>>> = lists.iter().map(|list| list.0.map(number)).collect();
        let ranks: Vec<Rank<'_>> = lists
            .iter()
            .zip(&numbers)
            .map(|(list, number)| Rank {
                number: number.as_deref(),
                this_update: list.1,
                next_update: list.2,
            })
            .collect();
        let mut said: Vec<Made> = speaking(&ranks, NOW).into_iter().map(|at| lists[at]).collect();
        said.sort_unstable();
        said
    }

    #[test]
    fn numbers_count_before_times_and_as_numbers() {
        let (old, new) = ((Some(255), 9, Some(90)), (Some(256), 3, Some(90)));
        assert_eq!(said(&[new, old]), [new], "a clock that was wrong does not bring the older list back");
        let (early, late) = ((None, 3, Some(90)), (None, 9, Some(90)));
        assert_eq!(said(&[late, early]), [late]);
        assert_eq!(said(&[]), []);
    }

    #[test]
    fn of_one_number_both_speak_until_the_older_is_overdue() {
        let (older, later) = ((Some(7), 3, Some(NOW)), (Some(7), 9, Some(90)));
        assert_eq!(said(&[older, later]), [older, later]);
        let overdue = (Some(7), 3, Some(NOW - 1));
        assert_eq!(said(&[overdue, later]), [later]);
        assert_eq!(said(&[overdue]), [overdue], "the only one speaks however old it is");
    }

    proptest! {
        #[test]
        fn some_list_speaks_whatever_is_there(lists in lists()) {
            prop_assert_eq!(said(&lists).is_empty(), lists.is_empty());
        }

        #[test]
        fn order_and_repetition_say_nothing(lists in lists(), turn in 0usize..7, again in 0usize..7) {
            let mut turned = lists.clone();
            if !lists.is_empty() {
                turned.rotate_left(turn % lists.len());
                turned.push(lists[again % lists.len()]);
            }
            let (mut one, mut other) = (said(&lists), said(&turned));
            one.dedup();
            other.dedup();
            prop_assert_eq!(one, other);
        }

        #[test]
        fn what_was_passed_over_may_be_left_out(lists in lists()) {
            prop_assert_eq!(said(&said(&lists)), said(&lists));
        }

        #[test]
        fn nothing_newer_than_what_speaks_is_there(lists in lists()) {
            let counted: Vec<Made> = lists.into_iter().filter(|list| list.0.is_some()).collect();
            let greatest = counted.iter().map(|list| list.0).max();
            prop_assert!(said(&counted).iter().all(|list| Some(list.0) == greatest));
        }

        /// Lists of an authority that counts come one after the other, and what was passed over is forgotten.
        #[test]
        fn lists_that_come_one_by_one_say_what_they_say_together(lists in lists()) {
            let counted: Vec<Made> = lists.into_iter().filter(|list| list.0.is_some()).collect();
            let mut kept: Vec<Made> = Vec::new();
            for list in &counted {
                kept.push(*list);
                kept = said(&kept);
            }
            prop_assert_eq!(kept, said(&counted));
        }
    }
}
