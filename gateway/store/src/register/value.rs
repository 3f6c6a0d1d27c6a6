//! Values, and how two of one key become one.

use std::ops::Deref;

/// Bytes a value may have at most.
pub(super) const MAX: usize = 96;

/// Makes one value of two values of a key and appends it to `out`, which is empty: 1 to 96 bytes, whatever the two are. It
/// is associative, as the register merges neighbours in whatever grouping its files come to lie; what it gives must
/// depend on nothing but the two.
pub type Merge = fn(older: &[u8], newer: &[u8], out: &mut Vec<u8>);

/// A value that was found: its bytes.
#[derive(Clone, Copy)]
pub struct RegisterValue {
    len: u8,
    bytes: [u8; MAX],
}

impl RegisterValue {
    fn new(value: &[u8]) -> Self {
        let mut bytes = [0; MAX];
        bytes[..value.len()].copy_from_slice(value);
        Self { len: checked_len(value), bytes }
    }
}

impl Deref for RegisterValue {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for RegisterValue {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "RegisterValue({} bytes)", self.len)
    }
}

/// The length of a value, as files and memtables keep it.
pub(super) fn checked_len(value: &[u8]) -> u8 {
    assert!((1..=MAX).contains(&value.len()), "a value of the register has 1 to {MAX} bytes");
    u8::try_from(value.len()).expect("just checked")
}

/// The caller's merge with room for its result.
pub(super) struct Merger {
    merge: Merge,
    out: Vec<u8>,
}

impl Merger {
    pub(super) fn new(merge: Merge) -> Self {
        Self { merge, out: Vec::new() }
    }

    pub(super) fn merge(&mut self, older: &[u8], newer: &[u8]) -> &[u8] {
        self.out.clear();
        (self.merge)(older, newer, &mut self.out);
        checked_len(&self.out);
        &self.out
    }

    /// Puts a value below what newer places gave.
    pub(super) fn absorb(&mut self, found: &mut Option<RegisterValue>, older: &[u8]) {
        *found = Some(match found {
            Some(newer) => RegisterValue::new(self.merge(older, newer)),
            None => RegisterValue::new(older),
        });
    }
}

/// Values of some keys, each put together from the newest to the oldest.
pub(super) struct Found {
    merger: Merger,
    values: Vec<Option<RegisterValue>>,
    /// Where in `values` the value of a key is, from one on; zero while none was found. Most keys that are asked for are
    /// not there, and this is all that is touched for those.
    places: Vec<usize>,
}

impl Found {
    pub(super) fn new(merge: Merge, keys: usize) -> Self {
        Self { merger: Merger::new(merge), values: vec![None], places: vec![0; keys] }
    }

    /// Puts a value of a key, by its number, below what newer places gave.
    pub(super) fn absorb(&mut self, number: usize, older: &[u8]) {
        let place = &mut self.places[number];
        if *place == 0 {
            *place = self.values.len();
            self.values.push(None);
        }
        self.merger.absorb(&mut self.values[*place], older);
    }

    pub(super) fn get(&self, number: usize) -> Option<&[u8]> {
        self.values[self.places[number]].as_deref()
    }

    pub(super) fn clear(&mut self) {
        self.places.fill(0);
        self.values.truncate(1);
    }
}
