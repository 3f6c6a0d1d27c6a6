//! The register: what is known of each of many keys, as small values that are merged when a key comes again. It knows
//! nothing of what keys and values mean.
//!
//! It is derived from the journal and never the truth: it says through which position it covers the journal, and what
//! follows is applied again. An answer is exact or an error. Keys are outputs of a keyed function, uniformly random; with
//! others it is exact but slow.
//!
//! What was applied lately is in memory, in a memtable. A full one is frozen and written out as a run, a sorted file;
//! eight runs of a level are merged into one of the next. Locks: `work`, then `memory`; `memory` is held for a moment
//! only, never while a file is read or written.
//!
//! ```no_run
//! use xinqiao_store::{AtRestKeys, DataDir, Position, Register, RegisterError, RegisterOptions, RegisterWorker};
//! # fn newest(_: &[u8], newer: &[u8], out: &mut Vec<u8>) { out.extend_from_slice(newer) }
//! # fn run(dir: DataDir, keys: AtRestKeys) -> Result<(), Box<dyn std::error::Error>> {
//! let open = || Register::open(&dir, &keys, newest, RegisterOptions::default());
//! let (register, through) = match open() {
//!     // What is damaged was named: log it, then build anew.
//!     Err(error) if error.must_rebuild() => Register::discard(&dir).and_then(|()| open())?,
//!     opened => opened?,
//! };
//! // The journal must reach `through`, or it is older than the register: discard that too. Then apply what follows.
//! # let following: Vec<(Position, Vec<([u8; 16], Vec<u8>)>)> = Vec::new();
//! for (position, entries) in following {
//!     if register.apply(&entries, position) > 1 {
//!         register.step()?;
//!     }
//! }
//! let register = std::sync::Arc::new(register);
//! let worker = RegisterWorker::start(register.clone(), |error| eprintln!("{error}"))?;
//! // One thread applies each frame once it is durable; any thread asks.
//! let answer = register.get(&[7; 16])?;
//! // At the end, so that the next start has nothing to apply.
//! drop(worker);
//! register.flush()?;
//! # Ok(())
//! # }
//! ```

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use self::directory::Directory;
use self::lookup::TOGETHER;
use self::manifest::Manifest;
use self::memtable::Memtable;
use self::merging::{Merging, Source};
use self::run::Run;
use self::value::Merger;
use self::work::Work;
use self::worker::Bell;
use crate::disk::{Disk, RealDisk};
use crate::{AtRestKeys, DataDir, Position};

mod directory;
mod error;
mod filter;
mod lookup;
mod manifest;
mod memtable;
mod merging;
mod run;
#[cfg(test)]
mod tests;
mod value;
mod work;
mod worker;
mod writer;

pub use error::RegisterError;
pub use value::{Merge, RegisterValue};
pub use worker::RegisterWorker;

/// How a register is opened.
#[derive(Clone, Debug)]
pub struct RegisterOptions {
    /// Entries at which a memtable is frozen.
    pub memtable_entries: usize,
    /// Runs of a level at which they are merged.
    pub ratio: usize,
    /// What its files lie on.
    pub disk: Arc<dyn Disk>,
}

impl Default for RegisterOptions {
    /// 196,608 entries, three quarters of 2^18 (what fills the table of a memtable); eight runs.
    fn default() -> Self {
        Self { memtable_entries: 196_608, ratio: 8, disk: Arc::new(RealDisk) }
    }
}

/// A register of one data directory. Shared by readers, one writer, and a [`RegisterWorker`]. At most one is open.
pub struct Register {
    directory: Directory,
    options: RegisterOptions,
    merge: Merge,
    memory: RwLock<Memory>,
    work: Mutex<Work>,
    bell: Bell,
    /// The first damage that was found.
    damage: OnceLock<PathBuf>,
}

/// What readers see.
struct Memory {
    active: Memtable,
    view: Arc<View>,
    /// Through where the journal was applied.
    through: Option<Position>,
}

/// Everything but the active memtable. Never changed, only replaced.
#[derive(Clone, Default)]
struct View {
    /// The newest first, as are runs. A frozen memtable is older than the active one and newer than any run.
    frozen: Vec<Arc<Memtable>>,
    runs: Vec<Arc<Run>>,
    /// Through where runs cover the journal.
    durable: Option<Position>,
}

/// Figures of a register.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RegisterStats {
    /// Entries in memtables.
    pub memory_entries: u64,
    /// Frozen memtables that wait to be written.
    pub waiting: usize,
    /// Level and entries of each run, the newest first. A key may be in several runs.
    pub runs: Vec<(u8, u64)>,
    /// Bytes of the runs' files.
    pub disk_bytes: u64,
    /// Bytes of memtables, filters and fences.
    pub memory_bytes: u64,
    /// The file that was first found damaged: the register must be built again, which the next start does.
    pub damaged: Option<PathBuf>,
}

impl Register {
    /// Opens the register in `register/` of the data directory, and says through where it covers the journal: apply what
    /// follows. `None`: apply everything from the beginning. Reads no page, so damage of pages is found later.
    ///
    /// # Errors
    /// Damage, also of a run before: [`Register::discard`], open again, and build it anew. An at-rest key that is missing;
    /// what the file system refuses.
    pub fn open(
        dir: &DataDir,
        keys: &AtRestKeys,
        merge: Merge,
        options: RegisterOptions,
    ) -> Result<(Self, Option<Position>), RegisterError> {
        let directory = Directory::of(dir, options.disk.clone());
        let (manifest, master) = if directory.is_new()? {
            directory.sweep(&[])?;
            Manifest::create(&directory, keys)?
        } else if let Some(damaged) = directory.damaged()? {
            return Err(RegisterError::Damaged(damaged));
        } else {
            Manifest::read(&directory, keys)?
        };
        let mut runs = Vec::with_capacity(manifest.runs.len());
        let mut kept = vec![directory.key(), directory.manifest()];
        for facts in &manifest.runs {
            let path = directory.run(facts.number);
            runs.push(Arc::new(Run::open(path.clone(), *facts, &master)?));
            kept.push(path);
        }
        // What a crash left: files under way, runs that were merged.
        directory.sweep(&kept)?;
        let through = manifest.through;
        let view = Arc::new(View { frozen: Vec::new(), runs, durable: through });
        let register = Self {
            directory,
            options,
            merge,
            memory: RwLock::new(Memory { active: Memtable::new(), view, through }),
            work: Mutex::new(Work::new(master, manifest.next)),
            bell: Bell::default(),
            damage: OnceLock::new(),
        };
        Ok((register, through))
    }

    /// Deletes a register that is not open, whatever is there of it, so that opening it begins anew.
    ///
    /// # Errors
    /// What the file system refuses; calling again continues.
    pub fn discard(dir: &DataDir) -> Result<(), RegisterError> {
        Directory::of(dir, Arc::new(RealDisk)).sweep(&[])
    }

    /// Applies what the journal says at `at`: every entry of that position, positions ascending, by one writer. Readers see
    /// all of it at once. A position that was applied already is left out, so that a replay may begin too early.
    ///
    /// Never waits for the disk. Returns how many full memtables wait to be written, of some 15 MB each: who applies faster
    /// than a worker writes takes [`Register::step`]s of their own while it is more than one or two.
    ///
    /// # Panics
    /// A value, or one that the merge makes, is empty or has more than 96 bytes.
    pub fn apply<V: AsRef<[u8]>>(&self, entries: &[([u8; 16], V)], at: Position) -> usize {
        let most = self.options.memtable_entries;
        let mut merger = Merger::new(self.merge);
        let mut memory = self.memory.write();
        if memory.through.is_some_and(|through| at <= through) {
            return memory.view.frozen.len();
        }
        if memory.active.len() > 0 && memory.active.len() + entries.len() > most {
            self.freeze(&mut memory);
        }
        for entries in entries.chunks(TOGETHER) {
            let touch = |sum, (key, _): &([u8; 16], V)| sum ^ memory.active.touch(u128::from_be_bytes(*key));
            black_box(entries.iter().fold(0, touch));
            for (key, value) in entries {
                memory.active.put(u128::from_be_bytes(*key), value.as_ref(), &mut merger);
            }
        }
        memory.through = Some(at);
        memory.active.through = Some(at);
        if memory.active.len() >= most {
            self.freeze(&mut memory);
        }
        memory.view.frozen.len()
    }

    /// The position of the journal through which everything was applied.
    pub fn through(&self) -> Option<Position> {
        self.memory.read().through
    }

    /// The position through which a register that is opened after a crash would cover the journal.
    pub fn durable(&self) -> Option<Position> {
        self.memory.read().view.durable
    }

    /// Gives every key with its value, in key order, as of now. What two registers give is the same, byte for byte, if the
    /// same was applied to both, whatever happened to them meanwhile.
    ///
    /// # Errors
    /// A file does not read, or is damaged.
    pub fn dump(&self, put: &mut dyn FnMut(&[u8; 16], &[u8])) -> Result<(), RegisterError> {
        let (active, view) = {
            let memory = self.memory.read();
            (Arc::new(memory.active.clone()), memory.view.clone())
        };
        let tables = std::iter::once(&active).chain(&view.frozen).map(Source::memory);
        let sources = tables.chain(view.runs.iter().map(Source::run));
        let merging = Merging::new(sources, Merger::new(self.merge));
        let given = merging.and_then(|mut merging| {
            merging.give(usize::MAX, |key, value| {
                put(&key.to_be_bytes(), value);
                Ok(())
            })
        });
        self.noted(given.map(drop))
    }

    /// Reads every page of every run and checks it: sealed as it was, in order, as many entries as there should be, found by
    /// fences and filter.
    ///
    /// # Errors
    /// A file does not read, or is damaged.
    pub fn verify(&self) -> Result<(), RegisterError> {
        let view = self.memory.read().view.clone();
        self.noted(view.runs.iter().try_for_each(run::verify))
    }

    /// Figures as of now.
    pub fn stats(&self) -> RegisterStats {
        let memory = self.memory.read();
        let tables =
            || std::iter::once(&memory.active).chain(memory.view.frozen.iter().map(|table| &**table));
        let runs = &memory.view.runs;
        let bytes =
            tables().map(Memtable::bytes).sum::<usize>() + runs.iter().map(|run| run.bytes()).sum::<usize>();
        RegisterStats {
            memory_entries: tables().map(|table| table.len() as u64).sum(),
            waiting: memory.view.frozen.len(),
            runs: runs.iter().map(|run| (run.facts.level, run.facts.entries)).collect(),
            disk_bytes: runs.iter().map(|run| run.facts.file_len()).sum(),
            memory_bytes: bytes as u64,
            damaged: self.damage.get().cloned(),
        }
    }

    /// Freezes the active memtable, even an empty one if it covers a position that no other does.
    fn freeze(&self, memory: &mut Memory) {
        if memory.active.through.is_none() {
            return;
        }
        let next = memory.active.next();
        let frozen = Arc::new(std::mem::replace(&mut memory.active, next));
        let mut view = View::clone(&memory.view);
        view.frozen.insert(0, frozen);
        memory.view = Arc::new(view);
        self.bell.ring();
    }

    /// Passes a result on, and remembers damage, beyond the next start too.
    fn noted<T>(&self, result: Result<T, RegisterError>) -> Result<T, RegisterError> {
        if let Err(RegisterError::Damaged(file)) = &result
            && self.damage.set(file.clone()).is_ok()
        {
            self.directory.mark_damaged(file);
        }
        result
    }
}
