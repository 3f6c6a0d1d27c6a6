//! The register in memory.

use std::borrow::Cow;
use std::collections::HashMap;
use xinqiao_exchange::event::FrameRecord;
use xinqiao_exchange::group::Item;
use xinqiao_exchange::register::{self, Facts, Registered, Value};
use xinqiao_exchange::varint::Damaged;

#[derive(Default)]
pub(crate) struct Register(HashMap<[u8; 16], Vec<u8>>);

impl Register {
    /// Applies a frame.
    #[allow(dead_code)]
    pub(crate) fn frame(&mut self, record: &FrameRecord, items: &[Item]) {
        let mut entries = Vec::new();
        let mut item = |n: u16, _: &[u8]| Ok::<_, Damaged>(Cow::Borrowed(&*items[usize::from(n)].bytes));
        register::entries_of(record, &mut item, &mut entries).unwrap();
        entries.into_iter().for_each(|(key, value)| self.put(key, value));
    }

    /// Applies what a submission came to.
    #[allow(dead_code)]
    pub(crate) fn take(&mut self, index: u64, facts: &Facts) {
        let mut item = Vec::new();
        register::put_facts(&mut item, index, facts);
        if item.is_empty() {
            return;
        }
        register::read_facts(&item, |index, fact| {
            let (key, value) = register::entry(index, &fact);
            self.put(key, value);
        })
        .unwrap();
    }

    fn put(&mut self, key: [u8; 16], value: Value) {
        let mut merged = Vec::new();
        match self.0.get(&key) {
            Some(older) => register::merge(older, value.as_ref(), &mut merged),
            None => merged.extend_from_slice(value.as_ref()),
        }
        self.0.insert(key, merged);
    }

    pub(crate) fn get(&self, key: &[u8; 16]) -> Option<Registered> {
        self.0.get(key).map(|value| Registered::parse(value).unwrap())
    }
}
