//! The register against a map that does the same, whatever happens between: any order of work, restarts, power cuts and
//! failures at each file operation, damage, readers at the same time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::{Register, RegisterError, RegisterOptions};
use crate::{AtRestKeys, DataDir, Disk, Position, RealDisk};

mod crash;
mod damage;
mod disk;
mod model;
mod threads;

type Key = [u8; 16];
/// What a frame of the journal says.
type Frame = Vec<(Key, Vec<u8>)>;

/// Memtables of few entries and runs of few pages, so that a short test sees all of them.
fn small(disk: Arc<dyn Disk>) -> RegisterOptions {
    RegisterOptions { memtable_entries: 40, ratio: 3, disk }
}

/// A journal in memory, the truth the register is built from.
#[derive(Default, Clone)]
struct Truth {
    frames: Vec<Frame>,
    map: BTreeMap<Key, Vec<u8>>,
}

impl Truth {
    fn add(&mut self, frame: Frame) {
        for (key, value) in &frame {
            let value = match self.map.get(key) {
                Some(older) => merged(older, value),
                None => value.clone(),
            };
            self.map.insert(*key, value);
        }
        self.frames.push(frame);
    }

    fn end(&self) -> Option<Position> {
        self.frames.len().checked_sub(1).map(position)
    }

    /// What is known once the frames through a position were applied.
    fn through(&self, position: Option<Position>) -> Truth {
        let mut truth = Truth::default();
        let count = position.map_or(0, |at| usize::try_from(at.frame).unwrap() + 1);
        self.frames[..count].iter().cloned().for_each(|frame| truth.add(frame));
        truth
    }

    /// Applies what follows `from`, and a bit of what does not.
    fn replay(&self, register: &Register, from: Option<Position>) {
        let first = from.map_or(0, |at| usize::try_from(at.frame).unwrap().saturating_sub(1));
        for (at, frame) in self.frames.iter().enumerate().skip(first) {
            register.apply(frame, position(at));
        }
    }

    /// Every way of asking gives what the map has.
    fn check(&self, register: &Register, others: &[Key]) {
        assert_eq!(register.through(), self.end());
        let mut keys: Vec<Key> = self.map.keys().copied().chain(others.iter().copied()).collect();
        keys.reverse();
        for key in &keys {
            let found = register.get(key).unwrap();
            assert_eq!(found.as_deref(), self.map.get(key).map(Vec::as_slice), "{key:02x?}");
        }
        let mut given = vec![0; keys.len()];
        let asked = register.get_many(&keys, |at, value| {
            given[at] += 1;
            assert_eq!(value, self.map.get(&keys[at]).map(Vec::as_slice), "{:02x?}", keys[at]);
        });
        asked.unwrap();
        assert!(given.iter().all(|times| *times == 1));
        assert_eq!(dumped(register), self.map.clone().into_iter().collect::<Vec<_>>());
    }
}

fn position(frame: usize) -> Position {
    Position { segment: 1, frame: frame as u64 }
}

/// Associative, and tells order, number and grouping faults apart: the first byte, the last one, how many were added. The
/// length changes with the number, so that values outgrow their places.
fn merge(older: &[u8], newer: &[u8], out: &mut Vec<u8>) {
    let count = count(older).wrapping_add(count(newer));
    out.extend_from_slice(&value(older[0], newer[1], count));
}

fn merged(older: &[u8], newer: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    merge(older, newer, &mut out);
    out
}

fn value(first: u8, last: u8, count: u32) -> Vec<u8> {
    let mut value = vec![first, last];
    value.extend_from_slice(&count.to_le_bytes());
    value.resize(6 + (count as usize * 7) % 91, last);
    value
}

fn count(value: &[u8]) -> u32 {
    u32::from_le_bytes(value[2..6].try_into().unwrap())
}

fn dumped(register: &Register) -> Vec<(Key, Vec<u8>)> {
    let mut all = Vec::new();
    register.dump(&mut |key, value| all.push((*key, value.to_vec()))).unwrap();
    all
}

/// Keys as a keyed function gives them.
fn keys(from: u64, count: u64) -> impl Iterator<Item = Key> {
    (from..from + count).map(|number| {
        let digest = xinqiao_crypto::sha256(&number.to_le_bytes());
        digest[..16].try_into().unwrap()
    })
}

/// A truth of this many frames of ten entries; half of the keys come more than once.
fn frames(count: u64) -> Truth {
    let mut truth = Truth::default();
    for frame in 0..count {
        let (old, new) = (keys(frame * 3 % 40, 5), keys(1000 + frame * 5, 5));
        let byte = frame.to_le_bytes()[0];
        truth.add(old.chain(new).map(|key| (key, value(byte, byte, 1))).collect());
    }
    truth
}

/// A data directory whose register can be copied and put back.
struct Place {
    temp: TempDir,
    keys: AtRestKeys,
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

impl Place {
    fn new() -> Self {
        Self { temp: TempDir::new().unwrap(), keys: AtRestKeys::generate() }
    }

    fn path(&self) -> PathBuf {
        self.temp.path().join("register")
    }

    fn dir(&self) -> DataDir {
        DataDir::open(self.temp.path()).unwrap()
    }

    fn open(&self) -> (Register, Option<Position>) {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<(Register, Option<Position>), RegisterError> {
        self.open_on(Arc::new(RealDisk))
    }

    fn open_on(&self, disk: Arc<dyn Disk>) -> Result<(Register, Option<Position>), RegisterError> {
        Register::open(&self.dir(), &self.keys, merge, small(disk))
    }

    fn files(&self) -> Files {
        files(&self.path())
    }

    fn put_back(&self, files: &Files) {
        let _ = fs::remove_dir_all(self.path());
        fs::create_dir(self.path()).unwrap();
        for (name, bytes) in files {
            fs::write(self.path().join(name), bytes).unwrap();
        }
    }
}

fn files(path: &Path) -> Files {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into(), fs::read(entry.path()).unwrap())).collect()
}
