//! How keys are looked up: in the memtables, then in the runs whose filter lets them pass. All of these are asked, though
//! one has answered: an older value may add to a newer one.

use std::hint::black_box;
use std::sync::Arc;

use super::error::RegisterError;
use super::memtable::Memtable;
use super::run::{Page, Run};
use super::value::{Found, Merger, RegisterValue};
use super::{Register, View};

/// Keys that are looked up under one hold of the lock.
const HOLD: usize = 1024;

/// Keys whose places in memory are visited together before each is looked at: the processor waits for several at a time.
pub(super) const TOGETHER: usize = 32;

/// A key with its index among those that were asked for.
type Asked = (u128, usize);

impl Register {
    /// The value of a key, with all that was applied.
    ///
    /// # Errors
    /// A file does not read, or is damaged.
    pub fn get(&self, key: &[u8; 16]) -> Result<Option<RegisterValue>, RegisterError> {
        let key = u128::from_be_bytes(*key);
        let (mut merger, mut found) = (Merger::new(self.merge), None);
        let view = {
            let memory = self.memory.read();
            memory.active.get(key).into_iter().for_each(|value| merger.absorb(&mut found, value));
            memory.view.clone()
        };
        for table in &view.frozen {
            table.get(key).into_iter().for_each(|value| merger.absorb(&mut found, value));
        }
        self.noted(in_runs(&view.runs, key, |value| merger.absorb(&mut found, value)))?;
        Ok(found)
    }

    /// The values of many keys, each with its index in `keys`, in any order. Every key is given once. A thousand are looked
    /// up as of one moment; between that and the next thousand something may have been applied.
    ///
    /// # Errors
    /// A file does not read, or is damaged; some keys were not given then.
    pub fn get_many(
        &self,
        keys: &[[u8; 16]],
        mut give: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<(), RegisterError> {
        let order = by_first_byte(keys);
        let mut found = Found::new(self.merge, HOLD.min(keys.len()));
        for part in order.chunks(HOLD) {
            found.clear();
            let view = {
                let memory = self.memory.read();
                in_table(&memory.active, part, &mut found);
                memory.view.clone()
            };
            self.noted(many_in(&view, part, &mut found))?;
            for (number, (_, index)) in part.iter().enumerate() {
                give(*index, found.get(number));
            }
        }
        Ok(())
    }
}

fn in_runs(runs: &[Arc<Run>], key: u128, mut absorb: impl FnMut(&[u8])) -> Result<(), RegisterError> {
    black_box(runs.iter().fold(0, |sum, run| sum ^ run.filter.touch(key)));
    let mut page = Page::default();
    for run in runs.iter().filter(|run| run.filter.may_hold(key)) {
        run.get(key, &mut page)?.into_iter().for_each(&mut absorb);
    }
    Ok(())
}

/// In all but the active memtable.
fn many_in(view: &View, asked: &[Asked], found: &mut Found) -> Result<(), RegisterError> {
    view.frozen.iter().for_each(|table| in_table(table, asked, found));
    let (mut page, mut passed) = (Page::default(), Vec::new());
    for run in &view.runs {
        passed.clear();
        for (from, asked) in (0..).step_by(TOGETHER).zip(asked.chunks(TOGETHER)) {
            black_box(asked.iter().fold(0, |sum, (key, _)| sum ^ run.filter.touch(*key)));
            passed.extend((from..).zip(asked).filter(|(_, (key, _))| run.filter.may_hold(*key)));
        }
        // In key order, neighbours lie in one page.
        passed.sort_unstable_by_key(|(_, (key, _))| *key);
        for (number, (key, _)) in &passed {
            run.get(*key, &mut page)?.into_iter().for_each(|value| found.absorb(*number, value));
        }
    }
    Ok(())
}

fn in_table(table: &Memtable, asked: &[Asked], found: &mut Found) {
    for (from, asked) in (0..).step_by(TOGETHER).zip(asked.chunks(TOGETHER)) {
        black_box(asked.iter().fold(0, |sum, (key, _)| sum ^ table.touch(*key)));
        for (number, (key, _)) in (from..).zip(asked) {
            table.get(*key).into_iter().for_each(|value| found.absorb(number, value));
        }
    }
}

/// Keys roughly in order, so that one after the other meets memory that the one before it has met: parts of memtables are
/// by the first byte, filters in key order.
fn by_first_byte(keys: &[[u8; 16]]) -> Vec<Asked> {
    let mut starts = [0; 257];
    keys.iter().for_each(|key| starts[usize::from(key[0]) + 1] += 1);
    (0..256).for_each(|byte| starts[byte + 1] += starts[byte]);
    let mut order = vec![(0, 0); keys.len()];
    for (index, key) in keys.iter().enumerate() {
        let place = &mut starts[usize::from(key[0])];
        order[*place] = (u128::from_be_bytes(*key), index);
        *place += 1;
    }
    order
}
