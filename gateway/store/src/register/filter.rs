//! Says of most keys that a run does not hold them, with one access to memory: a Bloom filter of blocks of one cache
//! line. Which block a key belongs to follows from its leading bits, so that keys in order fill it from front to back,
//! and a filter with half the blocks is this one with neighbours united.

/// Keys a block is sized for: 16 bits a key, one bit set in each of eight words; about one miss in a thousand passes.
const KEYS_PER_BLOCK: u64 = 32;
pub(super) const BLOCK: usize = 64;

#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Block([u64; 8]);

/// At least one block.
pub(super) struct Filter(Vec<Block>);

impl Filter {
    /// `false` if no such key was put in.
    pub(super) fn may_hold(&self, key: u128) -> bool {
        let (block, masks) = (&self.0[block(key, self.0.len())].0, masks(key));
        (0..8).fold(true, |all, word| all & (block[word] & masks[word] != 0))
    }

    /// Has what [`Filter::may_hold`] looks at come from memory; says something that depends on it.
    pub(super) fn touch(&self, key: u128) -> u64 {
        self.0[block(key, self.0.len())].0[0]
    }

    pub(super) fn blocks(&self) -> u32 {
        u32::try_from(self.0.len()).expect("a run has fewer than 2^32 blocks")
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * BLOCK
    }

    /// The blocks as they stand in a file.
    pub(super) fn encoded(&self) -> impl Iterator<Item = [u8; BLOCK]> {
        self.0.iter().map(|block| {
            let mut bytes = [0; BLOCK];
            for (to, word) in bytes.chunks_exact_mut(8).zip(block.0) {
                to.copy_from_slice(&word.to_le_bytes());
            }
            bytes
        })
    }

    /// The inverse of [`Filter::encoded`]; `None` if the bytes are no filter.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        let word = |bytes: &[u8; BLOCK], at: usize| {
            u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().expect("eight bytes"))
        };
        let blocks = blocks.iter().map(|bytes| Block(std::array::from_fn(|at| word(bytes, at))));
        (rest.is_empty() && blocks.len() > 0).then(|| Self(blocks.collect()))
    }
}

/// Takes the keys of a run.
pub(super) struct FilterBuilder {
    blocks: Vec<Block>,
    keys: u64,
}

impl FilterBuilder {
    /// For this many keys at most.
    pub(super) fn new(expected: u64) -> Self {
        let blocks = expected.div_ceil(KEYS_PER_BLOCK).max(1);
        // Of the count, seven leading bits and zeros after them, so that it can be halved.
        let blocks = blocks.next_multiple_of((blocks.next_power_of_two() >> 7).max(1));
        let blocks = usize::try_from(blocks).expect("a filter fits into memory");
        Self { blocks: vec![Block::default(); blocks], keys: 0 }
    }

    pub(super) fn push(&mut self, key: u128) {
        let at = block(key, self.blocks.len());
        let masks = masks(key);
        (0..8).for_each(|word| self.blocks[at].0[word] |= masks[word]);
        self.keys += 1;
    }

    /// The filter, with at most twice the blocks its keys want.
    pub(super) fn finish(mut self) -> Filter {
        let wanted = usize::try_from(self.keys.div_ceil(KEYS_PER_BLOCK)).expect("fewer than blocks");
        while self.blocks.len() / 2 >= wanted.max(1) && self.blocks.len().is_multiple_of(2) {
            let unite = |pair: &[Block]| Block(std::array::from_fn(|word| pair[0].0[word] | pair[1].0[word]));
            self.blocks = self.blocks.chunks_exact(2).map(unite).collect();
        }
        Filter(self.blocks)
    }
}

fn block(key: u128, blocks: usize) -> usize {
    let high = key >> 64;
    ((high * blocks as u128) >> 64) as usize
}

fn masks(key: u128) -> [u64; 8] {
    let low = key as u64;
    std::array::from_fn(|word| 1 << ((low >> (6 * word)) & 63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xinqiao_crypto::random::unique;

    fn random_keys(count: usize) -> Vec<u128> {
        (0..count).map(|_| u128::from_be_bytes(unique())).collect()
    }

    fn built(keys: &[u128], expected: u64) -> Filter {
        let mut builder = FilterBuilder::new(expected);
        keys.iter().for_each(|key| builder.push(*key));
        builder.finish()
    }

    #[test]
    fn all_keys_pass_and_hardly_any_other() {
        let keys = random_keys(50_000);
        for expected in [50_000, 60_000, 100_000, 123_456, 400_000, 7_000_000] {
            let filter = built(&keys, expected);
            assert!(keys.iter().all(|key| filter.may_hold(*key)));
            let passed = random_keys(100_000).iter().filter(|key| filter.may_hold(**key)).count();
            assert!(passed < 300, "{passed} of 100,000 keys that are not there pass");
            assert!(filter.bytes() < 50_000 * 4 + 6400, "{} bytes for {expected}", filter.bytes());
        }
        assert!(built(&keys, 50_000).bytes() < 50_000 * 21 / 10);
    }

    #[test]
    fn what_is_decoded_is_what_was_encoded() {
        let keys = random_keys(9_000);
        let filter = built(&keys, 10_000);
        let bytes = filter.encoded().collect::<Vec<_>>().concat();
        let decoded = Filter::decode(&bytes).expect("it is a filter");
        assert_eq!((decoded.blocks(), decoded.bytes()), (filter.blocks(), filter.bytes()));
        for key in keys.iter().copied().chain(random_keys(9_000)) {
            assert_eq!(filter.may_hold(key), decoded.may_hold(key));
        }
        assert!(Filter::decode(&bytes[1..]).is_none());
        assert!(Filter::decode(&[]).is_none());
    }

    #[test]
    fn a_filter_without_keys_lets_nothing_pass() {
        for expected in [0, 1_000_000] {
            let filter = built(&[], expected);
            assert!(!filter.may_hold(0) && !filter.may_hold(u128::MAX));
            assert!(filter.bytes() <= 128 * BLOCK, "{} bytes", filter.bytes());
        }
    }
}
