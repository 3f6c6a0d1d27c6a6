//! The Merkle tree of RFC 6962 section 2.1 and RFC 9162 section 2.1: hashes, roots, proofs and their verification.
//!
//! A *stored hash* `(level, index)` is the hash of the complete subtree over the leaves
//! `[index << level, (index + 1) << level)`. Everything else in a tree, roots and proofs, is folded from stored
//! hashes; a tiled log keeps exactly these, at every eighth level.

mod frontier;
mod group;
mod proof;

use crate::digest::{Digest, Hasher};

pub use frontier::Frontier;
pub use group::GroupProofs;
pub use proof::{
    MerkleError, consistency_proof, inclusion_proof, root_from_inclusion, tree_root, verify_consistency,
    verify_inclusion,
};

/// `SHA-256(0x00 ‖ leaf)`.
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(&[0]);
    hasher.update(leaf);
    hasher.finish()
}

/// `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut input = [1; 65];
    input[1..33].copy_from_slice(&left.0);
    input[33..].copy_from_slice(&right.0);
    Digest::of(&input)
}

/// The root over `leaf_hashes`; of none, SHA-256 of nothing.
pub fn root(leaf_hashes: impl IntoIterator<Item = Digest>) -> Digest {
    let mut frontier = Frontier::new();
    for leaf in leaf_hashes {
        frontier.append(leaf);
    }
    frontier.root()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference tree of certificate-transparency: eight leaves and its published roots.
    #[test]
    fn roots_match_the_certificate_transparency_vectors() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (size, expected) in roots.iter().enumerate() {
            assert_eq!(
                root(leaves[..size].iter().map(|leaf| leaf_hash(leaf))).to_string(),
                *expected,
                "{size}"
            );
        }
    }
}
