//! The right edge of a growing tree: all that is needed to append to it and to name its root.

use serde::{Deserialize, Serialize};

use super::node_hash;
use crate::digest::Digest;

/// A compact range from leaf 0: the roots of the complete subtrees that make up a tree, largest first. At most 64
/// hashes, so cheap to clone and to store (`{"size": n, "hashes": […]}`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Frontier {
    size: u64,
    hashes: Vec<Digest>,
}

impl Frontier {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// A frontier from stored parts; `None` unless there is one hash per set bit of `size`.
    pub fn from_parts(size: u64, hashes: Vec<Digest>) -> Option<Self> {
        (hashes.len() == size.count_ones() as usize).then_some(Self { size, hashes })
    }

    /// The frontier of the tree of `size` leaves whose stored hashes `lookup` gives.
    pub fn from_lookup(size: u64, mut lookup: impl FnMut(u8, u64) -> Option<Digest>) -> Option<Self> {
        let hashes = (0..64u8)
            .rev()
            .filter(|level| size >> level & 1 == 1)
            .map(|level| lookup(level, (size >> level) - 1))
            .collect::<Option<_>>()?;
        Some(Self { size, hashes })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the complete subtrees, largest first.
    pub fn hashes(&self) -> &[Digest] {
        &self.hashes
    }

    /// Adds one leaf.
    pub fn append(&mut self, leaf_hash: Digest) {
        self.append_with(leaf_hash, |_, _, _| {});
    }

    /// Adds one leaf and reports every complete subtree it finishes as `(level, index, hash)`, the leaf itself first.
    pub fn append_with(&mut self, leaf_hash: Digest, mut finished: impl FnMut(u8, u64, Digest)) {
        let mut hash = leaf_hash;
        finished(0, self.size, hash);
        for level in 1..=self.size.trailing_ones() as u8 {
            let left = self.hashes.pop().expect("one hash per set bit of the size");
            hash = node_hash(&left, &hash);
            finished(level, self.size >> level, hash);
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// The root; of the empty tree, SHA-256 of nothing.
    pub fn root(&self) -> Digest {
        self.hashes
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(|| Digest::of(b""))
    }

    /// The complete subtree at `level` on the edge: its index is `(size >> level) - 1`. `None` if bit `level` of the
    /// size is not set.
    pub(super) fn at_level(&self, level: u8) -> Option<Digest> {
        let above =
            |level: u8| self.size.checked_shr(u32::from(level) + 1).unwrap_or(0).count_ones() as usize;
        (self.size >> level & 1 == 1).then(|| self.hashes[above(level)])
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    size: u64,
    hashes: Vec<Digest>,
}

impl TryFrom<Stored> for Frontier {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        Self::from_parts(stored.size, stored.hashes).ok_or("a frontier has one hash per set bit of its size")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::leaf_hash;
    use super::*;

    #[test]
    fn survives_storage_and_continues_alike() {
        let mut whole = Frontier::new();
        for number in 0..200u64 {
            let stored = serde_json::to_vec(&whole).unwrap();
            let mut read: Frontier = serde_json::from_slice(&stored).unwrap();
            let leaf = leaf_hash(&number.to_be_bytes());
            read.append(leaf);
            whole.append(leaf);
            assert_eq!(read, whole);
        }
        assert!(serde_json::from_str::<Frontier>(r#"{"size":3,"hashes":[]}"#).is_err());
    }

    #[test]
    fn finished_subtrees_rebuild_every_frontier() {
        let mut stored = HashMap::new();
        let mut frontier = Frontier::new();
        for number in 0..130u64 {
            frontier.append_with(leaf_hash(&number.to_be_bytes()), |level, index, hash| {
                assert!(stored.insert((level, index), hash).is_none());
            });
            let rebuilt =
                Frontier::from_lookup(number + 1, |level, index| stored.get(&(level, index)).copied());
            assert_eq!(rebuilt.as_ref(), Some(&frontier));
            for level in 0..64 {
                let expected = (frontier.size() >> level & 1 == 1)
                    .then(|| stored[&(level, (frontier.size() >> level) - 1)]);
                assert_eq!(frontier.at_level(level), expected);
            }
        }
    }
}
