//! Reading and writing tiles under the log's directory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use xinqiao_evidence::tlog::{Tile, TileKind, bundle_entries};

use super::LogError;
use crate::durable;

/// Writes a tile without syncing it; directories are made as needed.
pub(super) fn write(root: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    debug_assert!(path.starts_with(root));
    let mut file = match durable::create(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            durable::create_dir(path.parent().expect("a tile lies in a directory"))?;
            durable::create(path)?
        }
        file => file?,
    };
    file.write_all(bytes)
}

/// Syncing one by one is dearer than syncing the file system beyond this.
const ONE_BY_ONE: usize = 16;

/// Makes written tiles and the names leading to them durable.
pub(super) fn sync(root: &Path, paths: &[PathBuf]) -> io::Result<()> {
    if paths.len() > ONE_BY_ONE {
        return Ok(rustix::fs::syncfs(File::open(root)?)?);
    }
    let mut dirs = BTreeSet::new();
    for path in paths {
        File::open(path)?.sync_all()?;
        dirs.extend(path.ancestors().skip(1).take_while(|dir| dir.starts_with(root)));
    }
    dirs.into_iter().try_for_each(durable::sync_dir)
}

/// Reads a tile at its width; from a wider one if the partial file is gone.
pub(super) fn read(root: &Path, tile: &Tile) -> Result<Vec<u8>, LogError> {
    let path = root.join(tile.to_string());
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && tile.is_partial() => {
            let full = Tile::full(tile.kind(), tile.index());
            fs::read(root.join(full.to_string()))
        }
        bytes => bytes,
    };
    match bytes {
        Ok(bytes) => match narrow(&bytes, tile) {
            Some(narrow) => Ok(narrow.to_vec()),
            None => Err(LogError::Damaged(tile.to_string())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(LogError::Damaged(tile.to_string())),
        Err(error) => Err(LogError::Io(path, error)),
    }
}

/// The front of a wider tile that is `tile`; `None` if it is too short or no bundle.
pub(super) fn narrow<'a>(bytes: &'a [u8], tile: &Tile) -> Option<&'a [u8]> {
    let width = usize::from(tile.width());
    match tile.kind() {
        TileKind::Hashes(_) => bytes.get(..width * 32),
        TileKind::Entries => {
            let entries = bundle_entries(bytes).ok()?;
            let len: usize = entries.get(..width)?.iter().map(|entry| entry.len() + 2).sum();
            bytes.get(..len)
        }
    }
}

/// Deletes the partial tiles a checkpoint of `before` needed and one of `size` does not. They only cost space.
pub(super) fn remove_partial(root: &Path, before: u64, size: u64) {
    let needed: BTreeSet<Tile> = Tile::partial_at(size).collect();
    for tile in Tile::partial_at(before).filter(|tile| !needed.contains(tile)) {
        let path = root.join(tile.to_string());
        let _ = fs::remove_file(&path);
        // Goes only when it is empty.
        let _ = path.parent().map(fs::remove_dir);
    }
}
