//! The transparency log on disk, as C2SP tlog-tiles under `log/`: the specification's paths, so that the directory can
//! be served or copied as it is.
//!
//! Entries come from the journal, which keeps them until they are synced here. What lies beyond the published
//! checkpoint is therefore worth nothing after a crash and is written again. The tiles at the right edge live in memory;
//! full ones are written at once and synced together with the checkpoint.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use xinqiao_evidence::Digest;
use xinqiao_evidence::merkle::{Frontier, leaf_hash};
use xinqiao_evidence::tlog::{Tile, TileKind, bundle_entries, hash_in_tile, tile_of};

use crate::{DataDir, durable};
use edge::Edge;
pub use error::LogError;

mod check;
mod edge;
mod error;
mod files;
#[cfg(test)]
mod tests;

/// The log files. Clones share them; any thread may read, one appends.
#[derive(Clone)]
pub struct LogFiles(Arc<Inner>);

struct Inner {
    /// Keeps the lock.
    _dir: DataDir,
    root: PathBuf,
    state: RwLock<State>,
    recent: Mutex<VecDeque<(Tile, Arc<Vec<u8>>)>>,
    /// One sync at a time.
    syncing: Mutex<()>,
}

struct State {
    frontier: Frontier,
    edge: Edge,
    /// Full tiles not written yet: the disk was full.
    pending: BTreeMap<Tile, Arc<Vec<u8>>>,
    /// Full tiles written since the last sync.
    unsynced: Vec<PathBuf>,
    synced: u64,
    checkpoint: Option<String>,
    /// A sync failed: the kernel may have dropped what was written and would confirm the next sync all the same.
    failed: bool,
}

/// More full tiles than this in memory: the disk has been full for long, and nothing more is taken.
const MAX_PENDING: usize = 4096;
/// Tiles kept after reading.
const RECENT: usize = 64;

impl LogFiles {
    /// Opens the log as of its published checkpoint. `verify` checks the checkpoint's signature and origin, and gives
    /// the size and root hash it states; the tiles must add up to that root.
    pub fn open(dir: &DataDir, verify: impl FnOnce(&str) -> Option<(u64, Digest)>) -> Result<Self, LogError> {
        let root = dir.path().join("log");
        let checkpoint = match fs::read_to_string(root.join("checkpoint")) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(LogError::Io(root.join("checkpoint"), error)),
        };
        let (size, expected) = match &checkpoint {
            Some(text) => verify(text).ok_or(LogError::Checkpoint)?,
            None => (0, Frontier::new().root()),
        };
        let (frontier, edge) = check::load(&root, size, expected)?;
        let state = State {
            frontier,
            edge,
            pending: BTreeMap::new(),
            unsynced: Vec::new(),
            synced: size,
            checkpoint,
            failed: false,
        };
        let inner = Inner {
            _dir: dir.clone(),
            root,
            state: RwLock::new(state),
            recent: Mutex::default(),
            syncing: Mutex::new(()),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Number of entries, synced or not.
    pub fn size(&self) -> u64 {
        self.0.state.read().frontier.size()
    }

    /// Number of entries covered by the published checkpoint: the journal need not keep them.
    pub fn synced_size(&self) -> u64 {
        self.0.state.read().synced
    }

    /// The published checkpoint.
    pub fn checkpoint(&self) -> Option<String> {
        self.0.state.read().checkpoint.clone()
    }

    /// The right edge of the tree: root, and what is needed to append to it.
    pub fn frontier(&self) -> Frontier {
        self.0.state.read().frontier.clone()
    }

    /// Appends entries whose first has index `first`. Those already there are compared and skipped, so that replay may
    /// overlap.
    pub fn append(&self, first: u64, entries: &[&[u8]]) -> Result<(), LogError> {
        let mut state = self.0.state.write();
        if first > state.frontier.size() {
            return Err(LogError::Gap { have: state.frontier.size(), offered: first });
        }
        if state.pending.len() > MAX_PENDING {
            self.write_pending(&mut state)?;
        }
        for (index, entry) in (first..).zip(entries) {
            let hash = leaf_hash(entry);
            if index < state.frontier.size() {
                if self.stored_hash(&state, 0, index)? != Some(hash) {
                    return Err(LogError::Differs { index });
                }
                continue;
            }
            if entry.len() > usize::from(u16::MAX) {
                return Err(LogError::TooLong { index });
            }
            let State { frontier, edge, pending, .. } = &mut *state;
            edge.push_entry(entry, pending);
            frontier.append_with(hash, |level, _, hash| edge.push_hash(level, &hash, pending));
        }
        // What could not be written stays in memory, is served from there, and fails the next sync.
        let _ = self.write_pending(&mut state);
        Ok(())
    }

    /// The hash of the complete subtree `(level, index)`, level 0 being leaves; `None` beyond the size.
    pub fn hash(&self, level: u8, index: u64) -> Result<Option<Digest>, LogError> {
        self.stored_hash(&self.0.state.read(), level, index)
    }

    /// An entry; `None` beyond the size.
    pub fn entry(&self, index: u64) -> Result<Option<Vec<u8>>, LogError> {
        let state = self.0.state.read();
        let size = state.frontier.size();
        let Some(tile) = Tile::at_size(TileKind::Entries, index / 256, size).filter(|_| index < size) else {
            return Ok(None);
        };
        let bundle = self.tile_bytes(&state, &tile)?;
        let entries = bundle_entries(&bundle).map_err(|_| LogError::Damaged(tile.to_string()))?;
        let place = usize::try_from(index % 256).expect("below 256");
        let entry = entries.get(place).ok_or_else(|| LogError::Damaged(tile.to_string()))?;
        Ok(Some(entry.to_vec()))
    }

    /// The bytes of a tile or bundle as it is at its width; `None` if the log is not that large yet. Which size may be
    /// shown to whom is the caller's business: nothing beyond a synced checkpoint should be.
    pub fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, LogError> {
        let state = self.0.state.read();
        let now = Tile::at_size(tile.kind(), tile.index(), state.frontier.size());
        let Some(now) = now.filter(|now| now.width() >= tile.width()) else { return Ok(None) };
        let bytes = self.tile_bytes(&state, &now)?;
        Ok(Some(files::narrow(&bytes, tile).ok_or_else(|| LogError::Damaged(now.to_string()))?.to_vec()))
    }

    /// Makes the first `size` entries durable and then publishes `checkpoint`, the signed text for that size. A write
    /// that failed is tried again by the next sync. After a sync that failed, every later one is refused: open the log
    /// again and replay into it, so that everything is written anew.
    pub fn sync(&self, size: u64, checkpoint: &str) -> Result<(), LogError> {
        let _one = self.0.syncing.lock();
        let (partial, full, before) = self.gather(size)?;
        let mut touched = full;
        for (tile, bytes) in partial {
            let path = self.0.root.join(tile.to_string());
            if let Err(error) = files::write(&self.0.root, &path, &bytes) {
                self.0.state.write().unsynced.extend(touched);
                return Err(LogError::Io(path, error));
            }
            touched.push(path);
        }
        if let Err(error) = files::sync(&self.0.root, &touched) {
            self.0.state.write().failed = true;
            return Err(LogError::Io(self.0.root.clone(), error));
        }
        let path = self.0.root.join("checkpoint");
        durable::replace(&path, checkpoint.as_bytes()).map_err(|error| LogError::Io(path, error))?;
        let mut state = self.0.state.write();
        state.synced = size;
        state.checkpoint = Some(checkpoint.to_owned());
        drop(state);
        files::remove_partial(&self.0.root, before, size);
        Ok(())
    }

    /// What a sync to `size` must write and sync, and the size synced before.
    #[allow(clippy::type_complexity)]
    fn gather(&self, size: u64) -> Result<(Vec<(Tile, Vec<u8>)>, Vec<PathBuf>, u64), LogError> {
        let mut state = self.0.state.write();
        let (have, before) = (state.frontier.size(), state.synced);
        if state.failed {
            return Err(LogError::Failed);
        }
        if size > have || size < before {
            return Err(LogError::Size { asked: size, synced: before, have });
        }
        self.write_pending(&mut state)?;
        let mut partial = Vec::new();
        // A published tile is never written again: torn by a crash, it would take the published checkpoint with it.
        let published: Vec<_> = Tile::partial_at(before).collect();
        for tile in Tile::partial_at(size).filter(|tile| !published.contains(tile)) {
            let now = Tile::at_size(tile.kind(), tile.index(), have).expect("not empty at a smaller size");
            let bytes = self.tile_bytes(&state, &now)?;
            let narrow = files::narrow(&bytes, &tile).ok_or_else(|| LogError::Damaged(now.to_string()))?;
            partial.push((tile, narrow.to_vec()));
        }
        Ok((partial, std::mem::take(&mut state.unsynced), before))
    }

    fn write_pending(&self, state: &mut State) -> Result<(), LogError> {
        while let Some((tile, bytes)) = state.pending.first_key_value() {
            let path = self.0.root.join(tile.to_string());
            files::write(&self.0.root, &path, bytes).map_err(|error| LogError::Io(path.clone(), error))?;
            state.pending.pop_first();
            state.unsynced.push(path);
        }
        Ok(())
    }

    fn stored_hash(&self, state: &State, level: u8, index: u64) -> Result<Option<Digest>, LogError> {
        let size = state.frontier.size();
        let complete = size.checked_shr(u32::from(level)).unwrap_or(0);
        if index >= complete {
            return Ok(None);
        }
        let (tile_level, tile_index, ..) = tile_of(level, index);
        let Some(tile) = Tile::at_size(TileKind::Hashes(tile_level), tile_index, size) else {
            return Ok(None);
        };
        let bytes = self.tile_bytes(state, &tile)?;
        hash_in_tile(&bytes, level, index).map(Some).ok_or_else(|| LogError::Damaged(tile.to_string()))
    }

    /// The bytes of `tile`, which is as wide as the log makes it now.
    fn tile_bytes(&self, state: &State, tile: &Tile) -> Result<Arc<Vec<u8>>, LogError> {
        if tile.is_partial() {
            return Ok(state.edge.bytes(tile.kind()));
        }
        if let Some(bytes) = state.pending.get(tile) {
            return Ok(bytes.clone());
        }
        let mut recent = self.0.recent.lock();
        if let Some((_, bytes)) = recent.iter().find(|(found, _)| found == tile) {
            return Ok(bytes.clone());
        }
        let bytes = Arc::new(files::read(&self.0.root, tile)?);
        recent.push_back((*tile, bytes.clone()));
        if recent.len() > RECENT {
            recent.pop_front();
        }
        Ok(bytes)
    }

    /// Recomputes the whole log up to the current size, entries included, and names the first tile that is damaged.
    pub fn verify(&self) -> Result<(), LogError> {
        check::whole(self.size(), &|tile| match self.tile(tile)? {
            Some(bytes) => Ok(Arc::new(bytes)),
            None => Err(LogError::Damaged(tile.to_string())),
        })
    }
}
