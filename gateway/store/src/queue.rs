//! The queue: rows in sled, built from the journal and never the truth. Whatever is wrong with it (missing, damaged,
//! panicking, of another version) ends in a rebuild, never in a wrong answer and never in lost data.
//!
//! sled 0.34 makes nothing durable on Linux by itself and may come back from a power cut with some rows old and some
//! new. So the seal tags of all rows are summed, the sum is written with each batch, and opening adds them up again.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use sled::{Batch, Db, IVec};

use crate::explain::explained;
use crate::keys::{KeyFault, Purpose, WrappedKey};
use crate::{AtRestKeys, DataDir, OpenError, Position, durable};
use open::Opened;
use row::{META, Sealer, key_of, tag_of};
use xinqiao_explain::{Explain, Explanation};

mod open;
mod row;
#[cfg(test)]
mod tests;

/// The queue. Clones share it; any thread may read, writes take turns.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    db: Db,
    /// Keeps the lock.
    _dir: DataDir,
    path: PathBuf,
    key_path: PathBuf,
    sealer: Sealer,
    writer: Mutex<Writer>,
    checkpointed: Mutex<Option<Position>>,
    /// One flush at a time: sled deadlocks on several.
    syncing: Mutex<()>,
    lost: AtomicBool,
    lost_reason: Mutex<String>,
}

/// What each batch carries on.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Writer {
    applied: Option<Position>,
    /// Wrapping sum of the tags of all rows.
    sum: u128,
    rows: u64,
}

/// What opening found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QueueState {
    /// Everything up to `applied` is in it; replay from there.
    Ready {
        /// The journal position of the last batch.
        applied: Position,
    },
    /// It is empty; replay everything.
    Rebuild {
        /// Why, in words for the log.
        reason: String,
    },
}

/// One atomic change. Deletes come first, so a row in both is put.
#[derive(Clone, Default, Debug)]
pub struct Rows {
    /// Table, key, value.
    pub puts: Vec<(u8, Vec<u8>, Vec<u8>)>,
    /// Table, key.
    pub deletes: Vec<(u8, Vec<u8>)>,
}

/// Key and value of a row, as they were put.
pub type Row = (Vec<u8>, Vec<u8>);

/// Longest value of a row.
pub const MAX_VALUE: usize = 4096;
/// Longest key of a row.
pub const MAX_KEY: usize = 1024;

impl Queue {
    /// Opens the queue of `dir`, or makes an empty one where there is none that can be trusted.
    pub fn open(dir: &DataDir, keys: &AtRestKeys, cache_bytes: u64) -> Result<(Self, QueueState), OpenError> {
        let path = dir.path().join("queue");
        let key_path = dir.path().join("queue.key");
        open::remove_discarded(&path)?;
        let reason = match WrappedKey::read(&key_path, Purpose::Queue, 0, keys) {
            Ok(wrapped) => match open::existing(&path, wrapped, cache_bytes) {
                Ok(opened) => {
                    let applied = opened.writer.applied.expect("an opened queue has applied something");
                    let queue = Self::assemble(opened, dir, path, key_path);
                    return Ok((queue, QueueState::Ready { applied }));
                }
                Err(reason) => reason,
            },
            // Not a fault of the queue: the at-rest keys are not those of this data directory, and a rebuild would meet
            // the same in the journal. A person has to bring the right ones.
            Err(KeyFault::Unknown(path, id)) => return Err(OpenError::KeyUnknown(path, id)),
            Err(_) if path.exists() => "the queue's key is missing or damaged".to_owned(),
            Err(_) => "there was no queue".to_owned(),
        };
        let queue = Self::fresh(dir, keys, cache_bytes)?;
        Ok((queue, QueueState::Rebuild { reason }))
    }

    /// Discards whatever queue there is and makes an empty one: after [`QueueError::Lost`], or when the journal was
    /// rolled back.
    pub fn rebuild(dir: &DataDir, keys: &AtRestKeys, cache_bytes: u64) -> Result<Self, OpenError> {
        open::remove_discarded(&dir.path().join("queue"))?;
        Self::fresh(dir, keys, cache_bytes)
    }

    fn fresh(dir: &DataDir, keys: &AtRestKeys, cache_bytes: u64) -> Result<Self, OpenError> {
        let (path, key_path) = (dir.path().join("queue"), dir.path().join("queue.key"));
        open::discard(&path, &key_path)?;
        let wrapped = WrappedKey::generate();
        wrapped
            .write(&key_path, Purpose::Queue, 0, keys)
            .map_err(|error| OpenError::Io(key_path.clone(), error))?;
        let opened = open::empty(&path, wrapped, cache_bytes)?;
        Ok(Self::assemble(opened, dir, path, key_path))
    }

    fn assemble(opened: Opened, dir: &DataDir, path: PathBuf, key_path: PathBuf) -> Self {
        let checkpointed = opened.writer.applied;
        Self(Arc::new(Inner {
            db: opened.db,
            _dir: dir.clone(),
            path,
            key_path,
            sealer: opened.sealer,
            writer: Mutex::new(opened.writer),
            checkpointed: Mutex::new(checkpointed),
            syncing: Mutex::new(()),
            lost: AtomicBool::new(false),
            lost_reason: Mutex::new(String::new()),
        }))
    }

    /// The value of a row.
    pub fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, QueueError> {
        let key = key_of(table, key);
        let sealed = self.guard(|db| db.get(&key))?;
        sealed.map(|sealed| self.unseal(&key, &sealed)).transpose()
    }

    /// Rows from `start` up to `end` (exclusive; `None` is the end of the table), at most `limit`, in key order.
    pub fn scan(
        &self,
        table: u8,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, QueueError> {
        let start = key_of(table, start);
        let end = end.map_or_else(|| row::after_table(table), |end| key_of(table, end));
        if start >= end {
            return Ok(Vec::new());
        }
        let found = self.guard(|db| db.range(start..end).take(limit).collect::<Result<Vec<_>, _>>())?;
        found.into_iter().map(|row| self.row(&row)).collect()
    }

    /// The last row of the table whose key is below `key` (`None`: the last of all).
    pub fn last_before(&self, table: u8, key: Option<&[u8]>) -> Result<Option<Row>, QueueError> {
        let start = key_of(table, &[]);
        let end = key.map_or_else(|| row::after_table(table), |key| key_of(table, key));
        let found = self.guard(|db| db.range(start..end).next_back().transpose())?;
        found.map(|row| self.row(&row)).transpose()
    }

    /// Applies `rows` and the journal position they come from, all or nothing.
    pub fn write(&self, rows: &Rows, applied: Position) -> Result<(), QueueError> {
        self.apply(rows, Some(applied))
    }

    /// Applies some rows of a position before [`Queue::write`] applies the rest of it; until then the position before is the one that
    /// was applied last. After a crash in between, applying the whole position again must come to the same.
    ///
    /// sled keeps each page as it was, every time a batch changes it, until the batch ends: tens of thousands of rows in one batch take
    /// hundreds of megabytes.
    pub fn write_ahead(&self, rows: &Rows) -> Result<(), QueueError> {
        self.apply(rows, None)
    }

    fn apply(&self, rows: &Rows, applied: Option<Position>) -> Result<(), QueueError> {
        let mut changes: BTreeMap<Vec<u8>, Option<&[u8]>> = BTreeMap::new();
        for (table, key) in &rows.deletes {
            changes.insert(key_of(*table, key), None);
        }
        for (table, key, value) in &rows.puts {
            if value.len() > MAX_VALUE || key.len() > MAX_KEY {
                return Err(QueueError::TooLarge { table: *table });
            }
            changes.insert(key_of(*table, key), Some(value));
        }
        // Held over reading the old tags and applying the batch: a write in between would leave a sum that does not
        // belong to the rows, and the queue would be thrown away at the next start.
        let mut writer = self.0.writer.lock();
        let mut next = Writer { applied: applied.or(writer.applied), ..*writer };
        let mut batch = Batch::default();
        for (key, value) in changes {
            if let Some(tag) = self.guard(|db| db.get(&key))?.as_deref().and_then(tag_of) {
                next.sum = next.sum.wrapping_sub(tag);
                next.rows = next.rows.saturating_sub(1);
            }
            match value {
                Some(value) => {
                    let sealed = self.0.sealer.seal(&key, value);
                    next.sum = next.sum.wrapping_add(tag_of(&sealed).expect("a sealed value has a tag"));
                    next.rows += 1;
                    batch.insert(key, sealed);
                }
                None => batch.remove(key),
            }
        }
        // The sum and the position are in the batch with the rows: sled applies it whole or not at all. A queue in which nothing was
        // ever applied has neither, and is not trusted when it is opened.
        if next.applied.is_some() {
            batch.insert(META, self.0.sealer.seal(META, &row::encode_meta(&next)));
        }
        self.guard(|db| db.apply_batch(batch))?;
        *writer = next;
        Ok(())
    }

    /// Makes everything written so far durable: sled's flush, and the sync that sled leaves out. The caller does this
    /// every few seconds, on any one thread.
    pub fn checkpoint(&self) -> Result<(), QueueError> {
        // `syncing` alone is held while the disk works; `writer` and `checkpointed` only for the moment they are read,
        // so writes go on. `applied` is read first: what is written during the flush may or may not be in it and is not
        // claimed.
        let _one = self.0.syncing.lock();
        let applied = self.applied();
        if applied == self.checkpointed() {
            return Ok(());
        }
        self.guard(|db| db.flush())?;
        open::sync_files(&self.0.path)
            .map_err(|error| self.lose(format!("sync failed: {}", error.kind())))?;
        *self.0.checkpointed.lock() = applied;
        Ok(())
    }

    /// The position whose rows survive a power cut.
    pub fn checkpointed(&self) -> Option<Position> {
        *self.0.checkpointed.lock()
    }

    /// The position of the last write.
    pub fn applied(&self) -> Option<Position> {
        self.0.writer.lock().applied
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.0.writer.lock().rows
    }

    /// Wraps the queue's key by the current at-rest key; `false` if it already is.
    pub fn rewrap(&self, keys: &AtRestKeys) -> Result<bool, OpenError> {
        Ok(WrappedKey::rewrap(&self.0.key_path, Purpose::Queue, 0, keys)?)
    }

    fn row(&self, (key, sealed): &(IVec, IVec)) -> Result<Row, QueueError> {
        Ok((row::caller_key(key).to_vec(), self.unseal(key, sealed)?))
    }

    fn unseal(&self, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, QueueError> {
        self.0.sealer.open(key, sealed).ok_or_else(|| self.lose("a row is damaged".to_owned()))
    }

    /// Runs a step of sled. An error or a panic loses the queue for good.
    fn guard<T>(&self, step: impl FnOnce(&Db) -> sled::Result<T>) -> Result<T, QueueError> {
        if self.0.lost.load(Ordering::Acquire) {
            return Err(QueueError::Lost { reason: self.0.lost_reason.lock().clone() });
        }
        // Whatever state a panic leaves sled in is never looked at again: `lost` closes every way to it.
        match catch_unwind(AssertUnwindSafe(|| step(&self.0.db))) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.lose(row::describe(&error))),
            Err(_) => Err(self.lose("sled panicked".to_owned())),
        }
    }

    fn lose(&self, reason: String) -> QueueError {
        if !self.0.lost.swap(true, Ordering::AcqRel) {
            self.0.lost_reason.lock().clone_from(&reason);
        }
        QueueError::Lost { reason }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // sled flushes when it is dropped, and may panic doing so; nothing here depends on that flush.
        let db = self.db.clone();
        let _ = catch_unwind(AssertUnwindSafe(move || drop(db)));
    }
}

/// Why a step of the queue failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QueueError {
    /// A value is longer than [`MAX_VALUE`] or a key than [`MAX_KEY`]. Nothing was written.
    TooLarge {
        /// The row's table.
        table: u8,
    },
    /// The queue cannot be used any more; call [`Queue::rebuild`] and replay.
    Lost {
        /// Why, in words for the log.
        reason: String,
    },
}

impl Explain for QueueError {
    fn explain(&self) -> Explanation {
        match self {
            Self::TooLarge { table } => Explanation::new(
                "queue.row-too-large",
                format!(
                    "a row of table {table} exceeds {MAX_VALUE} bytes; this is a fault of the program, report it"
                ),
                format!("表 {table} 的行超过 {MAX_VALUE} 字节，属程序缺陷，请报告"),
            ),
            Self::Lost { reason } => Explanation::new(
                "queue.lost",
                format!("the queue is unusable ({reason}); it is rebuilt from the journal, nothing is lost"),
                format!("队列不可用（{reason}），将由日志重建，不会丢失数据"),
            ),
        }
    }
}

impl QueueError {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}
explained!(QueueError, cause);

/// Removes a directory tree that may not be there.
fn remove_tree(path: &std::path::Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        Ok(()) => durable::sync_parent(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
