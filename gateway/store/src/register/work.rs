//! What happens in the background: memtables become runs, runs are merged. The order is the same each time: new run
//! durable → manifest that names it → readers see it → what it replaces is deleted.

use std::sync::Arc;

use super::error::RegisterError;
use super::manifest::{self, Manifest};
use super::memtable::Memtable;
use super::merging::{Merging, Source};
use super::run::Run;
use super::value::Merger;
use super::writer::RunWriter;
use super::{Register, View};
use crate::AtRestKeys;
use crate::keys::WrappedKey;

/// Held by whoever does background work.
pub(super) struct Work {
    /// The register's key.
    master: WrappedKey,
    next: u64,
    merge: Option<Job>,
    /// Whether the step before wrote a memtable: merges take turns with those, so that neither starves.
    wrote: bool,
    /// A run of which the manifest on the disk may speak or not: writing that failed.
    doubtful: Option<u64>,
}

/// A merge under way.
struct Job {
    merging: Merging,
    writer: RunWriter,
    number: u64,
    inputs: Vec<u64>,
}

impl Work {
    pub(super) fn new(master: WrappedKey, next: u64) -> Self {
        Self { master, next, merge: None, wrote: false, doubtful: None }
    }
}

impl Register {
    /// One bounded piece of background work: writes a frozen memtable, or continues a merge by as many entries as two
    /// memtables have. `false` if there is nothing to do. One caller at a time; others wait. Once damage was found nothing
    /// is merged any more.
    ///
    /// # Errors
    /// What the file system refuses (a full disk too; the next call tries again), or damage. Answers stay exact.
    pub fn step(&self) -> Result<bool, RegisterError> {
        let work = &mut *self.work.lock();
        self.noted(self.stepped(work))
    }

    /// Writes all that was applied before the call, so that a restart begins behind it. Before the node stops, and before
    /// what the register does not cover leaves the journal; each call makes a run that has to be merged.
    ///
    /// # Errors
    /// As of [`Register::step`].
    pub fn flush(&self) -> Result<(), RegisterError> {
        let work = &mut *self.work.lock();
        self.noted(self.write_all(work))
    }

    /// Writes all that was applied before the call and merges all runs into one. Takes as long as copying the register.
    ///
    /// # Errors
    /// As of [`Register::step`].
    pub fn settle(&self) -> Result<(), RegisterError> {
        let work = &mut *self.work.lock();
        self.noted(self.settled(work))
    }

    /// Wraps the register's key by the current one of `keys`. The older at-rest key may be forgotten when this has returned.
    ///
    /// # Errors
    /// What the file system refuses; calling again tries again.
    pub fn rewrap(&self, keys: &AtRestKeys) -> Result<(), RegisterError> {
        manifest::write_key(&self.directory, &self.work.lock().master, keys)
    }

    fn stepped(&self, work: &mut Work) -> Result<bool, RegisterError> {
        self.end_doubt(work)?;
        let view = self.view();
        let due = work.merge.is_some() || self.due(&view).is_some();
        if let Some(oldest) = view.frozen.last()
            && !(work.wrote && due)
        {
            work.wrote = true;
            self.write(work, oldest)?;
            return Ok(true);
        }
        work.wrote = false;
        if work.merge.is_none() {
            let Some((level, runs)) = self.due(&view) else { return Ok(false) };
            work.merge = Some(self.begin(work, level + 1, &runs)?);
        }
        self.advance(work)?;
        Ok(true)
    }

    fn settled(&self, work: &mut Work) -> Result<(), RegisterError> {
        self.write_all(work)?;
        if let Some(job) = work.merge.take() {
            self.directory.remove_run(job.number);
        }
        let runs = &self.view().runs;
        if runs.len() > 1 {
            let level = runs.iter().map(|run| run.facts.level).max().unwrap_or(0);
            work.merge = Some(self.begin(work, level, runs)?);
            while work.merge.is_some() {
                self.advance(work)?;
            }
        }
        Ok(())
    }

    fn write_all(&self, work: &mut Work) -> Result<(), RegisterError> {
        self.end_doubt(work)?;
        self.freeze(&mut self.memory.write());
        // Not those that are frozen meanwhile: a fast writer would keep this going.
        for _ in 0..self.view().frozen.len() {
            let oldest = self.view().frozen.last().cloned().expect("only this holder of `work` writes them");
            self.write(work, &oldest)?;
        }
        Ok(())
    }

    /// The lowest level that has enough runs, and these. They are neighbours in age: a level is newer than the next.
    fn due(&self, view: &View) -> Option<(u8, Vec<Arc<Run>>)> {
        if self.damage.get().is_some() {
            return None;
        }
        view.runs
            .chunk_by(|a, b| a.facts.level == b.facts.level)
            .find(|runs| runs.len() >= self.options.ratio.max(2))
            .map(|runs| (runs[0].facts.level, runs.to_vec()))
    }

    /// Writes the oldest frozen memtable as a run.
    fn write(&self, work: &mut Work, table: &Arc<Memtable>) -> Result<(), RegisterError> {
        let mut run = None;
        if table.len() > 0 {
            let mut job = self.prepare(work, 0, table.len() as u64, vec![], [Source::memory(table)])?;
            let written = job.merging.give(usize::MAX, |key, value| job.writer.push(key, value));
            run = Some(self.kept(job.number, written.and_then(|_| job.writer.finish()))?);
        }
        let mut view = View::clone(&self.view());
        view.runs.splice(0..0, run.map(Arc::new));
        view.durable = table.through;
        let new = view.runs.first().filter(|_| table.len() > 0).map(|run| run.facts.number);
        self.install(work, view, new, |view| drop(view.frozen.pop()))
    }

    fn begin(&self, work: &mut Work, level: u8, runs: &[Arc<Run>]) -> Result<Job, RegisterError> {
        let entries = runs.iter().map(|run| run.facts.entries).sum();
        let inputs = runs.iter().map(|run| run.facts.number).collect();
        self.prepare(work, level, entries, inputs, runs.iter().map(Source::run))
    }

    fn prepare(
        &self,
        work: &mut Work,
        level: u8,
        entries: u64,
        inputs: Vec<u64>,
        sources: impl IntoIterator<Item = Source>,
    ) -> Result<Job, RegisterError> {
        let number = work.next;
        work.next += 1;
        let merging = Merging::new(sources, Merger::new(self.merge))?;
        let writer = RunWriter::begin(&self.directory, &work.master, number, level, entries)?;
        Ok(Job { merging, writer, number, inputs })
    }

    /// Continues the merge by a bounded number of entries, and installs its run at the end.
    fn advance(&self, work: &mut Work) -> Result<(), RegisterError> {
        let Some(mut job) = work.merge.take() else { return Ok(()) };
        let entries = self.options.memtable_entries.max(1) * 2;
        let given = job.merging.give(entries, |key, value| job.writer.push(key, value));
        let given = given.and_then(|more| if more { job.writer.sync().map(|()| true) } else { Ok(false) });
        if self.kept(job.number, given)? {
            work.merge = Some(job);
            return Ok(());
        }
        let run = self.kept(job.number, job.writer.finish())?;
        let mut view = View::clone(&self.view());
        let is_input = |run: &Arc<Run>| job.inputs.contains(&run.facts.number);
        let at = view.runs.iter().position(is_input).expect("only this merge removes its inputs");
        view.runs.retain(|run| !is_input(run));
        view.runs.insert(at, Arc::new(run));
        self.install(work, view, Some(job.number), |_| ())?;
        job.inputs.iter().for_each(|number| self.directory.remove_run(*number));
        Ok(())
    }

    /// Writes the manifest of `next`, which has a new run or none, and shows its runs to readers; `change` is made to the
    /// frozen memtables in the same moment, as the writer may have added to those meanwhile.
    fn install(
        &self,
        work: &mut Work,
        next: View,
        new: Option<u64>,
        change: impl FnOnce(&mut View),
    ) -> Result<(), RegisterError> {
        // The run's name is durable before a manifest speaks of it.
        if let Err(error) = self.directory.sync() {
            new.into_iter().for_each(|number| self.directory.remove_run(number));
            return Err(error);
        }
        if let Err(error) = self.manifest(work, &next).write(&self.directory, &work.master) {
            // It may be there: what it replaces stays, and so does the new run.
            work.doubtful = new;
            return Err(error);
        }
        let mut memory = self.memory.write();
        let mut view = View { frozen: memory.view.frozen.clone(), ..next };
        change(&mut view);
        memory.view = Arc::new(view);
        Ok(())
    }

    /// After a manifest that failed to be written nothing else is done before one without the new run is there: each try
    /// would leave a run behind.
    fn end_doubt(&self, work: &mut Work) -> Result<(), RegisterError> {
        if let Some(number) = work.doubtful {
            self.manifest(work, &self.view()).write(&self.directory, &work.master)?;
            self.directory.remove_run(number);
            work.doubtful = None;
        }
        Ok(())
    }

    fn manifest(&self, work: &Work, view: &View) -> Manifest {
        let runs = view.runs.iter().map(|run| run.facts).collect();
        Manifest { through: view.durable, next: work.next, runs }
    }

    /// Passes a result on; after an error, what was written of the run is deleted, if it can be.
    fn kept<T>(&self, number: u64, result: Result<T, RegisterError>) -> Result<T, RegisterError> {
        if result.is_err() {
            self.directory.remove_run(number);
        }
        result
    }

    fn view(&self) -> Arc<View> {
        self.memory.read().view.clone()
    }
}
