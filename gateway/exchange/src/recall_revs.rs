//! Revs of a node's own recalls, which it knows again when they come back.
//!
//! A recall that a node of an earlier version passes on has lost its `via`, and its key is another one at every node:
//! of what identifies the recall only the operation arrives as it left, and of the rev what the nodes on the way leave
//! alone. Where lines may come back at all, the low bits of a recall's rev are therefore one of a few marks, keyed digests of the
//! operation, and a node that passes a recall on draws a rev of its own with the low bits the recall came with. Nothing has to be
//! remembered, so a restart, an old backup or a reinstated record cannot make the node forget.
//!
//! Revs as such would not do: nodes that receive from each other observe each other's revs and draw the same ones at
//! the same time.

use crate::op::Op;
use crate::revs;
use xinqiao_crypto::MacKey;

/// Low bits of a rev that are the mark: a recall of another node bears one of this node's by chance once in eight hundred
/// thousand times. More bits would leave fewer revs: below 2^53 there is room for two thousand million recalls.
const MARK_BITS: u32 = 22;
const MARK: u64 = (1 << MARK_BITS) - 1;
/// Marks of one operation. One alone would do, but if another node had the same by chance, none of its recalls could ever pass.
const MARKS: usize = 4;

/// Draws revs for the own recalls of one dataset, and recognises them.
pub struct RecallRevs {
    key: MacKey,
    /// By operation.
    marks: [[u64; MARKS]; Op::ALL.len()],
}

impl RecallRevs {
    pub(crate) fn new(key: MacKey) -> Self {
        let of = |op: Op| std::array::from_fn(|n| digest(&key, &[op.number(), n as u8]));
        let marks = Op::ALL.map(of);
        Self { key, marks }
    }

    /// The first rev with a mark for the operation in the block of revs above `last`.
    pub fn next(&self, op: Op, last: u64) -> u64 {
        let above = (last >> MARK_BITS).saturating_add(1);
        let mark = self.marks[usize::from(op.number())][above as usize % MARKS];
        // Without room for a mark revs go on without.
        Some(above << MARK_BITS | mark).filter(|rev| *rev <= revs::HIGHEST).unwrap_or(last.saturating_add(1))
    }

    /// The first rev above `last` with the low bits of the rev another node's recall came with: the node it began at
    /// recognises those.
    pub fn like(last: u64, came_with: u64) -> u64 {
        let here = last & !MARK | came_with & MARK;
        let rev = if here > last { here } else { here.saturating_add(1 << MARK_BITS) };
        Some(rev).filter(|rev| *rev <= revs::HIGHEST).unwrap_or(last.saturating_add(1))
    }

    /// Did this node draw the rev for a recall with this operation?
    pub fn is_own(&self, op: Op, rev: u64) -> bool {
        self.marks[usize::from(op.number())].contains(&(rev & MARK))
            || self.is_own_of_earlier_version(op, rev)
    }

    /// Earlier versions drew revs whose low bits are a digest of the operation and of the bits above. They may still be on
    /// their way, or wait in a stream.
    fn is_own_of_earlier_version(&self, op: Op, rev: u64) -> bool {
        let mut message = [0u8; 9];
        message[0] = op.number();
        message[1..].copy_from_slice(&(rev >> MARK_BITS).to_be_bytes());
        rev & MARK == digest(&self.key, &message)
    }
}

fn digest(key: &MacKey, message: &[u8]) -> u64 {
    let tag = key.sign(message);
    tag.iter().take(8).fold(0u64, |sum, b| (sum << 8) | u64::from(*b)) & MARK
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

    #[test]
    fn a_rev_drawn_by_an_earlier_version_is_recognised() {
        let own = revs(1, "d");
        for above in [1u64, 77, 1 << 20] {
            let mut message = vec![Op::Repair.number()];
            message.extend_from_slice(&above.to_be_bytes());
            let rev = above << MARK_BITS | digest(&own.key, &message);
            assert!(own.is_own(Op::Repair, rev) && !own.is_own(Op::Withdraw, rev));
        }
    }

    proptest! {
        #[test]
        fn revs_rise_wherever_they_stand_and_what_passes_other_nodes_is_known_again(
            last in 0..crate::revs::HIGHEST, on_the_way in proptest::collection::vec(0..1u64 << 50, 0..8)
        ) {
            let own = revs(1, "d");
            let rev = own.next(Op::Withdraw, last);
            prop_assert!(rev > last);
            let mut passed = own.next(Op::Withdraw, last >> 3);
            for node in on_the_way {
                let next = RecallRevs::like(node, passed);
                prop_assert!(next > node && next - node <= 1 << MARK_BITS);
                passed = next;
            }
            prop_assert!(own.is_own(Op::Withdraw, passed));
        }
    }
}
