//! The serial numbers of a list: sorted, one after the other in one allocation, found by halving.

/// A set of serial numbers. 100,000 of 16 bytes take two megabytes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Serials {
    bytes: Box<[u8]>,
    ends: Box<[u32]>,
}

impl Serials {
    /// Refuses more than 4 GiB.
    pub(super) fn new<'a>(serials: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut sorted: Vec<&[u8]> = serials.into_iter().map(canonical).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut bytes = Vec::with_capacity(sorted.iter().map(|serial| serial.len()).sum());
        let mut ends = Vec::with_capacity(sorted.len());
        for serial in sorted {
            bytes.extend_from_slice(serial);
            ends.push(u32::try_from(bytes.len()).ok()?);
        }
        Some(Self { bytes: bytes.into(), ends: ends.into() })
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn contains(&self, serial: &[u8]) -> bool {
        let wanted = canonical(serial);
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.at(middle).cmp(wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return true,
            }
        }
        false
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|at| self.at(at))
    }

    fn at(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.bytes[start..self.ends[at] as usize]
    }
}

/// Without the zeros some encoders put in front.
fn canonical(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn finds_what_a_set_finds(
            serials in proptest::collection::vec(proptest::collection::vec(0u8..4, 0..4), 0..40),
            asked in proptest::collection::vec(0u8..4, 0..4),
        ) {
            let set: BTreeSet<&[u8]> = serials.iter().map(|s| canonical(s)).collect();
            let list = Serials::new(serials.iter().map(Vec::as_slice)).expect("small");
            prop_assert_eq!(list.len(), set.len());
            prop_assert_eq!(list.contains(&asked), set.contains(canonical(&asked)));
            prop_assert!(list.iter().eq(set.iter().copied()));
        }
    }
}
