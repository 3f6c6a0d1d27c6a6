//! Opening, trusting and discarding sled's directory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sled::Db;

use super::row::{META, Sealer, decode_meta, describe, tag_of};
use super::{Writer, remove_tree};
use crate::keys::WrappedKey;
use crate::{OpenError, durable};

/// An open sled with what its rows add up to.
pub(super) struct Opened {
    pub(super) db: Db,
    pub(super) sealer: Sealer,
    pub(super) writer: Writer,
}

/// A sled that has not opened by then is taken to hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Opens what is there and adds up its rows; the error says why it cannot be trusted.
pub(super) fn existing(path: &Path, wrapped: WrappedKey, cache_bytes: u64) -> Result<Opened, String> {
    if !path.join("db").exists() {
        return Err("there was no queue".to_owned());
    }
    let path = path.to_owned();
    on_a_thread(move || {
        let db = open(&path, cache_bytes)?;
        let sealer = Sealer::new(wrapped.key);
        let writer = trusted(&db, &sealer)?;
        Ok(Opened { db, sealer, writer })
    })
}

pub(super) fn empty(path: &Path, wrapped: WrappedKey, cache_bytes: u64) -> Result<Opened, OpenError> {
    let opened = {
        let path = path.to_owned();
        on_a_thread(move || open(&path, cache_bytes))
    };
    let fault = |reason| OpenError::Io(path.to_owned(), io::Error::other(reason));
    let db = opened.map_err(fault)?;
    Ok(Opened { db, sealer: Sealer::new(wrapped.key), writer: Writer::default() })
}

/// How long threads of a sled that was dropped in this process may keep its file locked.
const LINGERING: Duration = Duration::from_secs(10);

pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Db, String> {
    let since = Instant::now();
    loop {
        let config = sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None);
        match config.open() {
            Ok(db) => return Ok(db),
            // No other process has it: the data directory is locked.
            Err(error) if is_locked(&error) && since.elapsed() < LINGERING => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(describe(&error)),
        }
    }
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// Reads every row; the sum must be the one written with the last batch.
fn trusted(db: &Db, sealer: &Sealer) -> Result<Writer, String> {
    let meta = db.get(META).map_err(|error| describe(&error))?.ok_or("nothing was ever applied")?;
    let meta = sealer.open(META, &meta).ok_or("the position applied is damaged")?;
    let writer = decode_meta(&meta).ok_or("the queue is of another version")?;
    let (mut sum, mut rows) = (0u128, 0u64);
    for row in db.iter() {
        let (key, sealed) = row.map_err(|error| describe(&error))?;
        if &key[..] != META {
            sum = sum.wrapping_add(tag_of(&sealed).ok_or("a row is of another version")?);
            rows += 1;
        }
    }
    match (sum, rows) == (writer.sum, writer.rows) {
        true => Ok(writer),
        false => Err("rows are missing or stale".to_owned()),
    }
}

/// Runs `step` where a panic or a hang of sled does no harm.
fn on_a_thread<T: Send + 'static>(
    step: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::Builder::new().name("queue-open".to_owned()).spawn(move || {
        // The receiver is gone only after the deadline.
        let _ = sender.send(step());
    });
    thread.map_err(|error| format!("no thread: {}", error.kind()))?;
    match receiver.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => Err("sled hangs".to_owned()),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err("sled panicked".to_owned()),
    }
}

/// Moves the queue out of the way and deletes it and its key. What sled still has open goes on in the deleted files.
pub(super) fn discard(path: &Path, key_path: &Path) -> Result<(), OpenError> {
    // The key first: if this stops half way, what is left is a queue that cannot be opened, and is rebuilt.
    durable::destroy(key_path).map_err(|error| OpenError::Io(key_path.to_owned(), error))?;
    match fs::rename(path, discarded(path)) {
        Ok(()) => remove_discarded(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(OpenError::Io(path.to_owned(), error)),
    }
}

/// Deletes what an earlier discard left.
pub(super) fn remove_discarded(path: &Path) -> Result<(), OpenError> {
    let discarded = discarded(path);
    // A file where the directory should be counts as garbage like any other.
    if discarded.is_file() {
        return durable::remove(&discarded).map_err(|error| OpenError::Io(discarded, error));
    }
    remove_tree(&discarded).map_err(|error| OpenError::Io(discarded, error))
}

fn discarded(path: &Path) -> PathBuf {
    path.with_extension("discarded")
}

/// Syncs every file sled wrote: its flush only starts the writing, and its side files are not even flushed.
pub(super) fn sync_files(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_files(&entry.path())?;
        } else {
            match File::open(entry.path()).and_then(|file| file.sync_data()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
    }
    durable::sync_dir(path)
}
