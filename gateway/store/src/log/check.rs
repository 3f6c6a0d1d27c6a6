//! Whether the tiles are those of the log they claim to be, and if not, which one is damaged.

use std::path::Path;
use std::sync::Arc;

use xinqiao_evidence::Digest;
use xinqiao_evidence::merkle::{Frontier, leaf_hash, node_hash};
use xinqiao_evidence::tlog::{Tile, TileKind, bundle_entries, hash_in_tile, tile_of};

use super::edge::{Edge, LEVELS};
use super::{LogError, files};

/// Reads the right edge of a log of `size` and checks it against its root.
pub(super) fn load(root: &Path, size: u64, expected: Digest) -> Result<(Frontier, Edge), LogError> {
    let read = |tile: &Tile| files::read(root, tile).map(Arc::new);
    let mut tiles = Vec::new();
    for tile in Tile::partial_at(size) {
        tiles.push((tile, files::read(root, &tile)?));
    }
    let mut fault = None;
    let frontier = Frontier::from_lookup(size, |level, index| {
        let (tile_level, tile_index, ..) = tile_of(level, index);
        let tile = Tile::at_size(TileKind::Hashes(tile_level), tile_index, size)?;
        let known = tiles.iter().find(|(found, _)| *found == tile);
        match known {
            Some((_, bytes)) => hash_in_tile(bytes, level, index),
            None => read(&tile)
                .map_err(|error| fault = Some(error))
                .ok()
                .and_then(|bytes| hash_in_tile(&bytes, level, index)),
        }
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    match frontier {
        Some(frontier) if frontier.root() == expected => {
            if let Some(tile) = Tile::at_size(TileKind::Hashes(0), size / 256, size) {
                leaves(&tile, size, &read)?;
            }
            Ok((frontier, Edge::load(size, tiles)))
        }
        _ => Err(culprit(size, &read)),
    }
}

type Read<'a> = &'a dyn Fn(&Tile) -> Result<Arc<Vec<u8>>, LogError>;

/// Checks every tile against the ones below it, from the entries up.
pub(super) fn whole(size: u64, read: Read<'_>) -> Result<(), LogError> {
    for level in 0..LEVELS {
        let kind = TileKind::Hashes(u8::try_from(level).expect("few levels"));
        for index in 0.. {
            let Some(tile) = Tile::at_size(kind, index, size) else { break };
            against_below(&tile, size, read)?;
        }
    }
    Ok(())
}

/// Names the damaged tile at the right edge, given that the root does not hold.
fn culprit(size: u64, read: Read<'_>) -> LogError {
    for level in 0..LEVELS {
        let kind = TileKind::Hashes(u8::try_from(level).expect("few levels"));
        // The edge tile may be full or empty at this size: the newest one that is not empty counts.
        let newest = (size.checked_shr(8 * level as u32).unwrap_or(0)).saturating_sub(1) / 256;
        let Some(tile) = Tile::at_size(kind, newest, size) else { break };
        if let Err(error) = against_below(&tile, size, read) {
            return error;
        }
    }
    LogError::Checkpoint
}

fn against_below(tile: &Tile, size: u64, read: Read<'_>) -> Result<(), LogError> {
    match tile.kind() {
        TileKind::Hashes(0) => leaves(tile, size, read),
        TileKind::Hashes(level) => {
            let bytes = read(tile)?;
            for (place, hash) in (tile.index() * 256..).zip(bytes.chunks_exact(32)) {
                let child = Tile::full(TileKind::Hashes(level - 1), place);
                if top(&read(&child)?).is_none_or(|found| found.as_bytes() != hash) {
                    against_below(&child, size, read)?;
                    return Err(LogError::Damaged(tile.to_string()));
                }
            }
            Ok(())
        }
        TileKind::Entries => Ok(()),
    }
}

/// The hash a full tile folds into.
fn top(tile: &[u8]) -> Option<Digest> {
    Some(node_hash(&hash_in_tile(tile, 7, 0)?, &hash_in_tile(tile, 7, 1)?))
}

/// A tile of leaf hashes against the bundle of its entries.
fn leaves(tile: &Tile, size: u64, read: Read<'_>) -> Result<(), LogError> {
    let bundle = Tile::at_size(TileKind::Entries, tile.index(), size).unwrap_or(*tile);
    let (hashes, bytes) = (read(tile)?, read(&bundle)?);
    let damaged = |tile: &Tile| LogError::Damaged(tile.to_string());
    let entries = bundle_entries(&bytes).map_err(|_| damaged(&bundle))?;
    if entries.len() != usize::from(bundle.width()) {
        return Err(damaged(&bundle));
    }
    let differs =
        entries.iter().zip(hashes.chunks_exact(32)).any(|(entry, hash)| leaf_hash(entry).as_bytes() != hash);
    if differs { Err(damaged(tile)) } else { Ok(()) }
}
