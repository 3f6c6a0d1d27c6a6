//! One commit group: many leaves appended at once, with a proof for each, computed from the old right edge and the new
//! leaves alone. No stored hash is read back.

use super::{Frontier, node_hash};
use crate::digest::Digest;

/// The tree before a group, the group's leaves, and every complete subtree they finish.
#[derive(Clone, Debug)]
pub struct GroupProofs {
    before: Frontier,
    after: Frontier,
    root: Digest,
    levels: Vec<Level>,
    /// Root of the incomplete last node of the new tree at each level.
    edges: Vec<Option<Digest>>,
}

/// The subtrees of one level that the group finished: indices from `first`.
#[derive(Clone, Debug)]
struct Level {
    first: u64,
    hashes: Vec<Digest>,
}

impl GroupProofs {
    /// Appends `leaf_hashes` to the tree that `before` ends.
    pub fn new(before: &Frontier, leaf_hashes: &[Digest]) -> Self {
        let old = before.size();
        let new = old + leaf_hashes.len() as u64;
        let mut levels = vec![Level { first: old, hashes: leaf_hashes.to_vec() }];
        for level in 1..64u8 {
            let (first, end) = (old >> level, new >> level);
            if first == end {
                break;
            }
            let below = levels.last().expect("level 0 is there");
            let mut hashes = Vec::with_capacity((end - first) as usize);
            let mut children = below.hashes.as_slice();
            // An odd number of old children leaves the first new parent its left child on the old edge.
            if let (Some(left), Some((right, rest))) = (before.at_level(level - 1), children.split_first()) {
                hashes.push(node_hash(&left, right));
                children = rest;
            }
            hashes.extend(children.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])));
            levels.push(Level { first, hashes });
        }
        let lookup = |level: u8, index: u64| stored(before, &levels, level, index);
        let after = Frontier::from_lookup(new, lookup).expect("the edge of the new tree is old edge or new");
        let mut edges = Vec::with_capacity(65);
        let mut edge: Option<Digest> = None;
        for level in 0..64u8 {
            edges.push(edge);
            if let Some(left) = after.at_level(level) {
                edge = Some(edge.map_or(left, |right| node_hash(&left, &right)));
            }
        }
        let root = edge.unwrap_or_else(|| Digest::of(b""));
        Self { before: before.clone(), after, root, levels, edges }
    }

    /// Log index of the group's first leaf.
    pub fn first_index(&self) -> u64 {
        self.before.size()
    }

    /// Number of leaves in the tree with the group.
    pub fn size(&self) -> u64 {
        self.after.size()
    }

    /// Root of the tree with the group.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// The tree with the group, to append the next group to.
    pub fn into_frontier(self) -> Frontier {
        self.after
    }

    /// The tree with the group.
    pub fn frontier(&self) -> &Frontier {
        &self.after
    }

    /// Every complete subtree the group finished, as `(level, index, hash)`, level by level from the leaves.
    pub fn new_hashes(&self) -> impl Iterator<Item = (u8, u64, Digest)> + '_ {
        self.levels.iter().zip(0u8..).flat_map(|(stored, level)| {
            stored.hashes.iter().zip(stored.first..).map(move |(hash, index)| (level, index, *hash))
        })
    }

    /// Inclusion proof of the group's `place`-th leaf (from 0) in the tree with the group; `None` beyond the group.
    pub fn proof(&self, place: usize) -> Option<Vec<Digest>> {
        let mut proof = Vec::with_capacity(40);
        self.proof_into(place, &mut proof).then_some(proof)
    }

    /// [`Self::proof`] into a vector that is cleared first; whether there is such a leaf.
    pub fn proof_into(&self, place: usize, proof: &mut Vec<Digest>) -> bool {
        proof.clear();
        if place >= self.levels[0].hashes.len() {
            return false;
        }
        let size = self.size();
        let mut index = self.first_index() + place as u64;
        for level in 0..64u8 {
            let last = (size - 1) >> level;
            if last == 0 {
                break;
            }
            let sibling = index ^ 1;
            if sibling < last || (sibling == last && sibling < size >> level) {
                proof.push(
                    stored(&self.before, &self.levels, level, sibling).expect("a sibling is old edge or new"),
                );
            } else if sibling == last {
                proof.push(self.edges[usize::from(level)].expect("an incomplete node has leaves"));
            }
            index >>= 1;
        }
        true
    }
}

fn stored(before: &Frontier, levels: &[Level], level: u8, index: u64) -> Option<Digest> {
    let new = levels.get(usize::from(level));
    match new.and_then(|new| index.checked_sub(new.first).and_then(|place| new.hashes.get(place as usize))) {
        Some(hash) => Some(*hash),
        None if index + 1 == before.size() >> level => before.at_level(level),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::{inclusion_proof, leaf_hash, verify_inclusion};
    use super::*;

    fn leaves(from: u64, count: u64) -> Vec<Digest> {
        (from..from + count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    fn check(old: u64, count: u64) {
        let mut stored = HashMap::new();
        let mut before = Frontier::new();
        for leaf in leaves(0, old) {
            before.append_with(leaf, |level, index, hash| {
                stored.insert((level, index), hash);
            });
        }
        let new = leaves(old, count);
        let group = GroupProofs::new(&before, &new);
        let mut one_by_one = before.clone();
        let mut expected = HashMap::new();
        for leaf in &new {
            one_by_one.append_with(*leaf, |level, index, hash| {
                expected.insert((level, index), hash);
            });
        }
        assert_eq!(group.frontier(), &one_by_one, "{old}+{count}");
        assert_eq!(group.root(), one_by_one.root());
        let given: HashMap<_, _> =
            group.new_hashes().map(|(level, index, hash)| ((level, index), hash)).collect();
        assert_eq!(given, expected);
        assert_eq!(group.new_hashes().count(), expected.len());
        stored.extend(expected);
        for (place, leaf) in new.iter().enumerate() {
            let index = old + place as u64;
            let proof = group.proof(place).unwrap();
            let slow =
                inclusion_proof(index, old + count, |level, index| stored.get(&(level, index)).copied());
            assert_eq!(Ok(&proof), slow.as_ref());
            assert_eq!(verify_inclusion(leaf, index, old + count, &proof, &group.root()), Ok(()));
        }
        assert_eq!(group.proof(new.len()), None);
        assert_eq!(group.into_frontier(), one_by_one);
    }

    #[test]
    fn groups_equal_single_appends() {
        for old in 0..40 {
            for count in 0..40 {
                check(old, count);
            }
        }
        for (old, count) in [(255, 1), (256, 256), (1_023, 2), (1_000, 777), (65_535, 3)] {
            check(old, count);
        }
    }

    #[test]
    fn an_empty_group_changes_nothing() {
        let group = GroupProofs::new(&Frontier::new(), &[]);
        assert_eq!((group.size(), group.root()), (0, Digest::of(b"")));
    }
}
