//! Inclusion and consistency proofs: made from stored hashes, verified by the algorithms of RFC 9162.

use super::node_hash;
use crate::digest::Digest;
use crate::explain::explained;

explained! {
    /// A proof cannot be made, or does not prove.
    pub enum MerkleError {
        /// The leaf or the older tree lies outside the tree.
        OutOfRange {
            /// Index of the leaf, or size of the older tree.
            index: u64,
            /// Size of the tree.
            size: u64
        } => "merkle.out-of-range", "entry or tree {index} is not within a tree of {size} leaves", "条目或旧树 {index} 不在大小为 {size} 的树内";
        /// A stored hash that the proof needs is not there.
        MissingHash {
            /// Level above the leaves.
            level: u8,
            /// Index within the level.
            index: u64
        } => "merkle.missing-hash", "the stored hash at level {level}, index {index} is missing; check the log's tiles", "缺少第 {level} 层第 {index} 个哈希；请检查日志的 tile 文件";
        /// The proof does not lead to the root.
        Mismatch => "merkle.mismatch", "the proof does not lead to the root: the entry, the proof or the tree was altered", "证明与树根不符：条目、证明或树被改动";
    }
}

/// The root of the tree of `size` leaves whose stored hashes `lookup` gives.
pub fn tree_root(
    size: u64,
    mut lookup: impl FnMut(u8, u64) -> Option<Digest>,
) -> Result<Digest, MerkleError> {
    if size == 0 {
        return Ok(Digest::of(b""));
    }
    edge_root(size, 64, &mut lookup)
}

/// RFC 9162 section 2.1.3: the siblings from the leaf at `index` up to the root of the tree of `size` leaves.
pub fn inclusion_proof(
    index: u64,
    size: u64,
    mut lookup: impl FnMut(u8, u64) -> Option<Digest>,
) -> Result<Vec<Digest>, MerkleError> {
    if index >= size {
        return Err(MerkleError::OutOfRange { index, size });
    }
    let mut proof = Vec::new();
    path_from(index, 0, size, &mut lookup, &mut proof)?;
    Ok(proof)
}

/// RFC 9162 section 2.1.4: what shows that the tree of `old` leaves is a prefix of the tree of `new` leaves. Empty when
/// the sizes are equal or `old` is 0.
pub fn consistency_proof(
    old: u64,
    new: u64,
    mut lookup: impl FnMut(u8, u64) -> Option<Digest>,
) -> Result<Vec<Digest>, MerkleError> {
    if old > new {
        return Err(MerkleError::OutOfRange { index: old, size: new });
    }
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    // The deepest complete subtree at the old tree's right edge; its hash opens the proof unless it is the old tree.
    let level = old.trailing_zeros() as u8;
    let index = (old >> level) - 1;
    if !old.is_power_of_two() {
        proof.push(get(level, index, &mut lookup)?);
    }
    path_from(index, level, new, &mut lookup, &mut proof)?;
    Ok(proof)
}

/// Appends the siblings of stored hash `(level, index)` up to the root of the tree of `size` leaves.
fn path_from(
    index: u64,
    level: u8,
    size: u64,
    lookup: &mut impl FnMut(u8, u64) -> Option<Digest>,
    proof: &mut Vec<Digest>,
) -> Result<(), MerkleError> {
    let mut index = index;
    // The last node of each level may be incomplete: it stands for what the size's lower bits hold.
    for level in level..64 {
        let last = (size - 1) >> level;
        if last == 0 {
            break;
        }
        let sibling = index ^ 1;
        if sibling < last || (sibling == last && sibling < size >> level) {
            proof.push(get(level, sibling, lookup)?);
        } else if sibling == last {
            proof.push(edge_root(size, level, lookup)?);
        }
        index >>= 1;
    }
    Ok(())
}

/// The root over the leaves that the lowest `level` bits of `size` count: the incomplete last node at `level`.
fn edge_root(
    size: u64,
    level: u8,
    lookup: &mut impl FnMut(u8, u64) -> Option<Digest>,
) -> Result<Digest, MerkleError> {
    let mut root: Option<Digest> = None;
    for level in (0..level).filter(|level| size >> level & 1 == 1) {
        let left = get(level, (size >> level) - 1, lookup)?;
        root = Some(root.map_or(left, |right| node_hash(&left, &right)));
    }
    Ok(root.expect("an incomplete node has leaves"))
}

fn get(
    level: u8,
    index: u64,
    lookup: &mut impl FnMut(u8, u64) -> Option<Digest>,
) -> Result<Digest, MerkleError> {
    lookup(level, index).ok_or(MerkleError::MissingHash { level, index })
}

/// RFC 9162 section 2.1.3.2: whether `proof` shows that `leaf_hash` is entry `index` of the tree with `root`.
pub fn verify_inclusion(
    leaf_hash: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), MerkleError> {
    if root_from_inclusion(leaf_hash, index, size, proof)? == *root {
        Ok(())
    } else {
        Err(MerkleError::Mismatch)
    }
}

/// The root that `proof` leads to from entry `index`; [`MerkleError::Mismatch`] if its length does not fit.
pub fn root_from_inclusion(
    leaf_hash: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
) -> Result<Digest, MerkleError> {
    if index >= size {
        return Err(MerkleError::OutOfRange { index, size });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut root = *leaf_hash;
    for sibling in proof {
        if last == 0 {
            return Err(MerkleError::Mismatch);
        }
        if node & 1 == 1 || node == last {
            root = node_hash(sibling, &root);
            let shift = if node & 1 == 1 { 0 } else { node.trailing_zeros().min(63) };
            node >>= shift;
            last >>= shift;
        } else {
            root = node_hash(&root, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok(root) } else { Err(MerkleError::Mismatch) }
}

/// RFC 9162 section 2.1.4.2: whether `proof` shows that the tree `(old, old_root)` is a prefix of `(new, new_root)`.
pub fn verify_consistency(
    old: u64,
    old_root: &Digest,
    new: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> Result<(), MerkleError> {
    if old > new {
        return Err(MerkleError::OutOfRange { index: old, size: new });
    }
    let fits = |fits: bool| if fits { Ok(()) } else { Err(MerkleError::Mismatch) };
    if old == new {
        return fits(proof.is_empty() && old_root == new_root);
    }
    if old == 0 {
        return fits(proof.is_empty() && *old_root == Digest::of(b""));
    }
    let (first, rest) = if old.is_power_of_two() {
        (*old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(MerkleError::Mismatch)?;
        (*first, rest)
    };
    let shift = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut from_old, mut from_new) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(MerkleError::Mismatch);
        }
        if node & 1 == 1 || node == last {
            from_old = node_hash(sibling, &from_old);
            from_new = node_hash(sibling, &from_new);
            let shift = if node & 1 == 1 { 0 } else { node.trailing_zeros().min(63) };
            node >>= shift;
            last >>= shift;
        } else {
            from_new = node_hash(&from_new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    fits(last == 0 && from_old == *old_root && from_new == *new_root)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::{Frontier, leaf_hash};
    use super::*;

    struct Tree {
        stored: HashMap<(u8, u64), Digest>,
        roots: Vec<Digest>,
    }

    fn tree(size: u64) -> Tree {
        let mut frontier = Frontier::new();
        let mut tree = Tree { stored: HashMap::new(), roots: vec![frontier.root()] };
        for number in 0..size {
            frontier.append_with(leaf(number), |level, index, hash| {
                tree.stored.insert((level, index), hash);
            });
            tree.roots.push(frontier.root());
        }
        tree
    }

    fn leaf(number: u64) -> Digest {
        leaf_hash(&number.to_be_bytes())
    }

    impl Tree {
        fn lookup(&self, size: u64) -> impl FnMut(u8, u64) -> Option<Digest> {
            move |level, index| {
                assert!((index + 1) << level <= size, "only complete subtrees of the tree may be asked for");
                self.stored.get(&(level, index)).copied()
            }
        }
    }

    #[test]
    fn every_leaf_of_every_tree_up_to_seventy_is_proved() {
        let tree = tree(70);
        for size in 1..=70u64 {
            let root = tree.roots[size as usize];
            assert_eq!(tree_root(size, tree.lookup(size)), Ok(root));
            for index in 0..size {
                let proof = inclusion_proof(index, size, tree.lookup(size)).unwrap();
                assert_eq!(
                    verify_inclusion(&leaf(index), index, size, &proof, &root),
                    Ok(()),
                    "{index} in {size}"
                );
                // No other index, size or length passes.
                for other in (0..size).filter(|other| *other != index) {
                    assert!(verify_inclusion(&leaf(index), other, size, &proof, &root).is_err());
                }
                let longer: Vec<_> = proof.iter().copied().chain([root]).collect();
                assert!(verify_inclusion(&leaf(index), index, size, &longer, &root).is_err());
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(verify_inclusion(&leaf(index), index, size, shorter, &root).is_err());
                }
            }
        }
    }

    #[test]
    fn every_prefix_of_every_tree_up_to_seventy_is_proved() {
        let tree = tree(70);
        for new in 0..=70u64 {
            for old in 0..=new {
                let (old_root, new_root) = (tree.roots[old as usize], tree.roots[new as usize]);
                let proof = consistency_proof(old, new, tree.lookup(new)).unwrap();
                assert_eq!(
                    verify_consistency(old, &old_root, new, &new_root, &proof),
                    Ok(()),
                    "{old} in {new}"
                );
                assert!(old == new || verify_consistency(old, &new_root, new, &old_root, &proof).is_err());
                for place in 0..proof.len() {
                    let mut wrong = proof.clone();
                    wrong[place].0[7] ^= 1;
                    assert!(verify_consistency(old, &old_root, new, &new_root, &wrong).is_err());
                }
                let longer: Vec<_> = proof.iter().copied().chain([new_root]).collect();
                assert!(verify_consistency(old, &old_root, new, &new_root, &longer).is_err());
            }
        }
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        let any = |_: u8, _: u64| Some(leaf(0));
        let proof = inclusion_proof(u64::MAX - 1, u64::MAX, any).unwrap();
        assert!(root_from_inclusion(&leaf(0), u64::MAX - 1, u64::MAX, &proof).is_ok());
        let proof = consistency_proof(u64::MAX - 1, u64::MAX, any).unwrap();
        let _ = verify_consistency(u64::MAX - 1, &leaf(0), u64::MAX, &leaf(0), &proof);
    }

    mod random {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]

            #[test]
            fn larger_trees_prove_too(size in 71u64..3_000, pick in any::<u64>(), older in any::<u64>()) {
                let (index, old) = (pick % size, older % (size + 1));
                let tree = tree(size);
                let root = tree.roots[size as usize];
                let proof = inclusion_proof(index, size, tree.lookup(size)).unwrap();
                prop_assert_eq!(verify_inclusion(&leaf(index), index, size, &proof, &root), Ok(()));
                let proof = consistency_proof(old, size, tree.lookup(size)).unwrap();
                prop_assert_eq!(verify_consistency(old, &tree.roots[old as usize], size, &root, &proof), Ok(()));
            }

            #[test]
            fn verifiers_never_panic(a in any::<u64>(), b in any::<u64>(), length in 0usize..70) {
                let proof = vec![leaf(1); length];
                let _ = verify_inclusion(&leaf(0), a, b, &proof, &leaf(2));
                let _ = verify_consistency(a, &leaf(0), b, &leaf(2), &proof);
            }
        }
    }
}
