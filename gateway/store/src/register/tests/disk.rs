//! The real disk, but it fails when it is told to, and it knows what a power cut would leave. It syncs nothing: that takes
//! long, and no power is cut.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use parking_lot::Mutex;

use super::{Disk, Files, RealDisk};

#[derive(Debug, Default)]
pub(super) struct FaultyDisk(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    operations: usize,
    /// Which operations fail, and how.
    failing: Option<(Range<usize>, Failure)>,
    /// Every file there ever was, so that no number of an inode comes twice.
    files: BTreeMap<u64, Kept>,
    /// Names that are on the device.
    names: BTreeMap<OsString, u64>,
    /// What a crash just before or within one of these operations may leave.
    crashes: Vec<Files>,
    recorded: Range<usize>,
}

#[derive(Debug)]
struct Kept {
    file: File,
    /// What of it is on the device.
    synced: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// Nothing is done; of a write, half.
    Before,
    /// All is done, and an error is said all the same.
    After,
}

impl FaultyDisk {
    pub(super) fn recording(operations: Range<usize>) -> Self {
        Self(Mutex::new(State { recorded: operations, ..State::default() }))
    }

    pub(super) fn failing(operations: Range<usize>, failure: Failure) -> Self {
        Self::default().and_failing(operations, failure)
    }

    pub(super) fn and_failing(self, operations: Range<usize>, failure: Failure) -> Self {
        self.0.lock().failing = Some((operations, failure));
        self
    }

    /// From now on nothing fails.
    pub(super) fn mend(&self) {
        self.0.lock().failing = None;
    }

    pub(super) fn operations(&self) -> usize {
        self.0.lock().operations
    }

    /// What crashes may have left since the last call, each once.
    pub(super) fn crashes(&self) -> Vec<Files> {
        let mut crashes = std::mem::take(&mut self.0.lock().crashes);
        crashes.sort_unstable();
        crashes.dedup();
        crashes
    }

    fn operation<T>(
        &self,
        dir: Option<&Path>,
        partly: impl FnOnce() -> io::Result<()>,
        wholly: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.0.lock();
        let number = state.operations;
        state.operations += 1;
        let failure =
            state.failing.as_ref().filter(|(failing, _)| failing.contains(&number)).map(|(_, f)| *f);
        state.record(number, dir);
        if failure != Some(Failure::After) {
            partly()?;
            state.record(number, dir);
        }
        match failure {
            None => wholly(),
            Some(Failure::Before) => Err(io::ErrorKind::StorageFull.into()),
            Some(Failure::After) => wholly().and(Err(io::ErrorKind::Other.into())),
        }
    }
}

impl State {
    /// The names of a directory, as the file system has them now.
    fn named(&mut self, dir: &Path) -> BTreeMap<OsString, u64> {
        let mut names = BTreeMap::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let ino = entry.metadata().unwrap().ino();
            self.files.entry(ino).or_insert_with(|| {
                let synced = std::fs::read(entry.path()).unwrap();
                Kept { file: File::open(entry.path()).unwrap(), synced }
            });
            names.insert(entry.file_name(), ino);
        }
        names
    }

    /// The process is killed; or the power fails, and the device has all names, those that were synced, or of those that
    /// were not the names of runs or the others only; and of the files all that was written, or what was synced.
    fn record(&mut self, operation: usize, dir: Option<&Path>) {
        let (Some(dir), true) = (dir, self.recorded.contains(&operation)) else { return };
        let now = self.named(dir);
        let is_run = |name: &OsString| Path::new(name).extension().is_some_and(|end| end == "run");
        let mixed = |runs: &BTreeMap<OsString, u64>, others: &BTreeMap<OsString, u64>| {
            let runs = runs.iter().filter(|(name, _)| is_run(name));
            let all = runs.chain(others.iter().filter(|(name, _)| !is_run(name)));
            all.map(|(name, ino)| (name.clone(), *ino)).collect::<BTreeMap<_, _>>()
        };
        for names in [&now, &self.names, &mixed(&now, &self.names), &mixed(&self.names, &now)] {
            let files = |content: fn(&Kept) -> Vec<u8>| -> Files {
                names.iter().map(|(name, ino)| (name.into(), content(&self.files[ino]))).collect()
            };
            let states = [files(|kept| read(&kept.file)), files(|kept| kept.synced.clone())];
            self.crashes.extend(states);
        }
    }
}

fn read(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Where an open file of the register lies is not known; all that matters happens in one directory.
fn directory_of(file: &File) -> Option<std::path::PathBuf> {
    use std::os::fd::AsRawFd;
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    path.parent().map(Path::to_owned)
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        let created = self.operation(path.parent(), || Ok(()), || RealDisk.create(path));
        // Also if an error was said: the file may be there.
        if let Ok(file) = File::options().read(true).open(path) {
            let ino = file.metadata()?.ino();
            let kept = Kept { file, synced: Vec::new() };
            if created.is_ok() {
                self.0.lock().files.insert(ino, kept);
            } else {
                self.0.lock().files.entry(ino).or_insert(kept);
            }
        }
        created
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.operation(
            directory_of(file).as_deref(),
            || RealDisk.write_all_at(file, &bytes[..bytes.len() / 2], offset),
            || RealDisk.write_all_at(file, bytes, offset),
        )
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.operation(directory_of(file).as_deref(), || Ok(()), || Ok(()))?;
        let ino = file.metadata()?.ino();
        self.0.lock().files.get_mut(&ino).expect("it was created").synced = read(file);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operation(from.parent(), || Ok(()), || RealDisk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operation(path.parent(), || Ok(()), || RealDisk.remove(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.operation(Some(path), || Ok(()), || Ok(()))?;
        let mut state = self.0.lock();
        state.names = state.named(path);
        Ok(())
    }
}
