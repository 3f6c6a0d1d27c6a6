//! What was applied lately, in memory: entries one after the other as they came, and a table of where they are by the
//! leading bits of their keys. So an entry costs one access to memory that the processor does not foresee, and the table
//! is nearly in key order when the memtable is written out.

use std::sync::Arc;

use super::value::{Merger, checked_len};
use crate::Position;

/// Entries of the newest part of the journal, through a position.
#[derive(Clone)]
pub(super) struct Memtable {
    /// A power of two of slots, three quarters of them full at most. A full one has the first 32 bits of a key in its upper
    /// half and in its lower half where the entry begins, counted from one. Entries stand in the slot their first bits
    /// say or in one after it, without a free one between.
    slots: Vec<u64>,
    /// Key (16), length of the value, bytes it may grow to, value. What was outgrown stays, unused.
    entries: Vec<u8>,
    len: usize,
    pub(super) through: Option<Position>,
}

/// Bytes of an entry before its value.
const HEAD: usize = 18;
/// Slots of the smallest table.
const SLOTS: usize = 1 << 10;

impl Memtable {
    pub(super) fn new() -> Self {
        Self { slots: vec![0; SLOTS], entries: Vec::new(), len: 0, through: None }
    }

    /// An empty one with room for about as much as this one holds: what grows copies itself.
    pub(super) fn next(&self) -> Self {
        Self {
            slots: vec![0; (self.len + self.len / 3).next_power_of_two().max(SLOTS)],
            entries: Vec::with_capacity(self.entries.len()),
            len: 0,
            through: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * 8 + self.entries.capacity()
    }

    pub(super) fn get(&self, key: u128) -> Option<&[u8]> {
        let slot = self.slots[self.slot_of(key)];
        (slot != 0).then(|| self.value(begin(slot)))
    }

    pub(super) fn put(&mut self, key: u128, value: &[u8], merger: &mut Merger) {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let at = self.slot_of(key);
        if self.slots[at] == 0 {
            self.slots[at] = self.push(key, value);
            self.len += 1;
            return;
        }
        let begin = begin(self.slots[at]);
        let merged = merger.merge(self.value(begin), value);
        let (len, room) = (checked_len(merged), self.entries[begin + 17]);
        if len <= room {
            self.entries[begin + 16] = len;
            self.entries[begin + HEAD..][..merged.len()].copy_from_slice(merged);
        } else {
            self.slots[at] = self.push(key, merged);
        }
    }

    /// Has what a lookup of the key looks at first come from memory; says something that depends on it.
    pub(super) fn touch(&self, key: u128) -> u64 {
        self.slots[home(tag(key), self.slots.len())]
    }

    /// Appends an entry and says what its slot has to hold.
    fn push(&mut self, key: u128, value: &[u8]) -> u64 {
        let len = checked_len(value);
        self.entries.extend_from_slice(&key.to_be_bytes());
        self.entries.extend_from_slice(&[len, len]);
        let after = u32::try_from(self.entries.len()).expect("a memtable has less than 4 GiB");
        self.entries.extend_from_slice(value);
        u64::from(tag(key)) << 32 | u64::from(after - HEAD as u32 + 1)
    }

    /// The slot that holds the key, or else the free one where it would go.
    fn slot_of(&self, key: u128) -> usize {
        let tag = tag(key);
        let mut at = home(tag, self.slots.len());
        loop {
            let slot = self.slots[at];
            if slot == 0 || ((slot >> 32) as u32 == tag && self.key(begin(slot)) == key) {
                return at;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn grow(&mut self) {
        let count = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, vec![0; count]);
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let mut at = home((slot >> 32) as u32, count);
            while self.slots[at] != 0 {
                at = (at + 1) & (count - 1);
            }
            self.slots[at] = slot;
        }
    }

    fn key(&self, begin: usize) -> u128 {
        u128::from_be_bytes(*self.entries[begin..].first_chunk().expect("an entry begins with its key"))
    }

    fn value(&self, begin: usize) -> &[u8] {
        &self.entries[begin + HEAD..][..usize::from(self.entries[begin + 16])]
    }

    /// Full slots in the order of their keys.
    fn sorted(&self) -> Vec<u64> {
        let mut sorted: Vec<u64> = self.slots.iter().copied().filter(|slot| *slot != 0).collect();
        sorted.sort_unstable();
        // What is left is keys with the same first bits.
        for same in sorted.chunk_by_mut(|a, b| a >> 32 == b >> 32).filter(|same| same.len() > 1) {
            same.sort_unstable_by_key(|slot| self.key(begin(*slot)));
        }
        sorted
    }
}

fn tag(key: u128) -> u32 {
    (key >> 96) as u32
}

/// The slot of a table where keys of this tag begin to be looked for.
fn home(tag: u32, slots: usize) -> usize {
    ((u64::from(tag) * slots as u64) >> 32) as usize
}

fn begin(slot: u64) -> usize {
    (slot as u32 - 1) as usize
}

/// Goes through a memtable in key order.
pub(super) struct MemtableCursor {
    table: Arc<Memtable>,
    slots: std::vec::IntoIter<u64>,
    /// The next entries: keys, and where they begin. They are looked up together, as each is somewhere else in memory.
    ahead: Vec<(u128, usize)>,
    at: usize,
}

/// Entries that are looked up together.
const AHEAD: usize = 128;

impl MemtableCursor {
    pub(super) fn new(table: Arc<Memtable>) -> Self {
        let slots = table.sorted().into_iter();
        Self { table, slots, ahead: Vec::with_capacity(AHEAD), at: 0 }
    }

    /// Goes to the next entry and says its key; `None` at the end.
    pub(super) fn advance(&mut self) -> Option<u128> {
        self.at += 1;
        if self.at >= self.ahead.len() {
            let (entries, rest) = (&self.table.entries, self.slots.as_slice());
            let next = &rest[..rest.len().min(AHEAD)];
            // An entry lies in two lines of the processor's cache; those of all of them are waited for together.
            let touch = |sum, slot: &u64| {
                let begin = begin(*slot);
                sum ^ entries[begin] ^ entries[(begin + 63).min(entries.len() - 1)]
            };
            std::hint::black_box(next.iter().fold(0, touch));
            self.ahead.clear();
            self.ahead.extend(next.iter().map(|slot| (self.table.key(begin(*slot)), begin(*slot))));
            self.slots.by_ref().take(AHEAD).for_each(drop);
            self.at = 0;
        }
        self.ahead.get(self.at).map(|(key, _)| *key)
    }

    /// The value of the entry at hand.
    pub(super) fn value(&self) -> &[u8] {
        self.ahead.get(self.at).map_or(&[], |(_, begin)| self.table.value(*begin))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use xinqiao_crypto::random::unique;

    use super::*;

    /// The first byte says how many were put together, and how long the value is.
    fn add(older: &[u8], newer: &[u8], out: &mut Vec<u8>) {
        let count = older[0].wrapping_add(newer[0]).max(1);
        out.resize(usize::from(count % 90) + 1, count);
    }

    #[test]
    fn it_grows_with_its_keys_and_values_and_gives_them_in_order() {
        let mut keys: Vec<u128> = (0..3000).map(|_| u128::from_be_bytes(unique())).collect();
        // The same first bits, with the table's end among them: places in front of it are taken too.
        keys.extend((0..400u128).map(|number| u128::MAX - number * 3));
        keys.extend((0..400u128).map(|number| (7 << 100) + number));
        let (mut table, mut map, mut merger) = (Memtable::new(), BTreeMap::new(), Merger::new(add));
        for round in 0..3 {
            for key in keys.iter().skip(round * 500) {
                table.put(*key, &[30], &mut merger);
                let value = map.entry(*key).or_insert_with(Vec::new);
                let older = std::mem::take(value);
                match older.is_empty() {
                    true => value.push(30),
                    false => add(&older, &[30], value),
                }
            }
            assert_eq!(table.len(), map.len());
            assert!(keys.iter().all(|key| table.get(*key) == map.get(key).map(Vec::as_slice)));
            assert!(keys.iter().all(|key| table.get(key ^ (1 << 70)).is_none()));
            let mut cursor = MemtableCursor::new(Arc::new(table.clone()));
            for (key, value) in &map {
                assert_eq!((cursor.advance(), cursor.value()), (Some(*key), value.as_slice()));
            }
            assert_eq!((cursor.advance(), cursor.advance()), (None, None));
        }
        let next = table.next();
        assert_eq!((next.len(), next.get(keys[0])), (0, None));
        assert!(MemtableCursor::new(Arc::new(next)).advance().is_none());
    }
}
