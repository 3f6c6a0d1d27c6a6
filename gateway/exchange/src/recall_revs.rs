//! Revs of a node's own recalls, which it knows again when they come back.
//!
//! A recall that a node of an earlier version passes on has lost its `via`, and its key is another one at every node:
//! of what identifies the recall only operation and rev arrive as they left. Where lines may come back at all, a
//! node's own recalls therefore get revs whose low bits are a keyed digest of the operation and of the bits above. Nothing has to
//! be remembered, so a restart, an old backup or a reinstated record cannot make the node forget.
//!
//! Revs as such would not do: nodes that receive from each other observe each other's revs and draw the same ones at
//! the same time.

use crate::op::Op;
use xinqiao_crypto::MacKey;

/// Low bits of a rev that are the mark: a recall of another node bears it by chance once in four million times. More
/// bits would leave fewer revs: below 2^53 there is room for two thousand million own recalls.
const MARK_BITS: u32 = 22;
const MARK: u64 = (1 << MARK_BITS) - 1;

/// Draws revs for the own recalls of one dataset, and recognises them.
pub struct RecallRevs(MacKey);

impl RecallRevs {
    pub(crate) fn new(key: MacKey) -> Self {
        Self(key)
    }

    /// The first rev above `last` that bears this node's mark for the operation.
    pub fn next(&self, op: Op, last: u64) -> u64 {
        let above = (last >> MARK_BITS) + 1;
        if above.leading_zeros() < MARK_BITS {
            // No marked rev is left. Whoever observed such a rev was sent it by a faulty node; revs go on without marks.
            return last.wrapping_add(1);
        }
        (above << MARK_BITS) | self.mark(op, above)
    }

    /// Did this node draw the rev for a recall with this operation?
    pub fn is_own(&self, op: Op, rev: u64) -> bool {
        rev & MARK == self.mark(op, rev >> MARK_BITS)
    }

    fn mark(&self, op: Op, above: u64) -> u64 {
        let mut message = [0u8; 9];
        message[0] = op.number();
        message[1..].copy_from_slice(&above.to_be_bytes());
        let tag = self.0.sign(&message);
        let low = tag.iter().take(8).fold(0u64, |sum, b| (sum << 8) | u64::from(*b));
        low & MARK
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::RecordSecret;
    use proptest::prelude::*;

    fn revs(secret: u8, dataset: &str) -> RecallRevs {
        RecordSecret::new([secret; 32]).recall_revs(dataset)
    }

    #[test]
    fn a_node_knows_its_own_and_nobody_else_s() {
        let (own, other) = (revs(1, "d"), revs(2, "d"));
        let mut last = 0;
        for op in Op::ALL.into_iter().cycle().take(600) {
            let rev = own.next(op, last);
            assert!(rev > last && rev - last <= 2 << MARK_BITS);
            assert!(own.is_own(op, rev) && revs(1, "d").is_own(op, rev), "after a restart too");
            assert!(!other.is_own(op, rev) && !revs(1, "e").is_own(op, rev));
            assert!(Op::ALL.into_iter().all(|o| o == op || !own.is_own(o, rev)));
            last = rev;
        }
    }

    proptest! {
        #[test]
        fn revs_rise_wherever_they_stand(last in any::<u64>()) {
            let rev = revs(1, "d").next(Op::Withdraw, last);
            prop_assert!(rev > last || last == u64::MAX);
        }
    }
}
