//! C2SP tlog-tiles: where the hashes and entries of a log lie, and how entries are bundled.

use std::fmt;
use std::str::FromStr;

use super::checkpoint::decimal;
use super::note::TlogError;
use crate::digest::Digest;
use crate::merkle::node_hash;

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// Longest log entry.
pub const MAX_ENTRY: usize = u16::MAX as usize;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes at tile level L, i.e. stored hashes at level 8 L; L is at most 63.
    Hashes(u8),
    /// Entries.
    Entries,
}

/// A tile's place; as text, its path: `tile/0/x001/x234/067`, `tile/entries/000.p/5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    kind: TileKind,
    index: u64,
    width: u16,
}

impl Tile {
    /// A full tile.
    pub fn full(kind: TileKind, index: u64) -> Self {
        Self { kind, index, width: TILE_WIDTH }
    }

    /// The tile as it is in a log of `size` entries; `None` if it is empty there.
    pub fn at_size(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let level = match kind {
            TileKind::Hashes(level) => u32::from(level) * 8,
            TileKind::Entries => 0,
        };
        let hashes = size.checked_shr(level).unwrap_or(0);
        let width = hashes.saturating_sub(index.checked_mul(256)?).min(256) as u16;
        (width > 0).then_some(Self { kind, index, width })
    }

    /// Every hash tile and entry bundle of a log of `size` that is partial: what a checkpoint of that size needs
    /// beside the full ones.
    pub fn partial_at(size: u64) -> impl Iterator<Item = Self> {
        let kinds = (0..8).map(TileKind::Hashes).chain([TileKind::Entries]);
        kinds.filter_map(move |kind| {
            let level = if let TileKind::Hashes(level) = kind { u32::from(level) * 8 } else { 0 };
            Self::at_size(kind, (size >> level) / 256, size)
        })
    }

    /// What it holds.
    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// Index within its level.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Hashes or entries in it, 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether it will still grow.
    pub fn is_partial(&self) -> bool {
        self.width < TILE_WIDTH
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(out, "tile/{level}")?,
            TileKind::Entries => out.write_str("tile/entries")?,
        }
        let mut power = 1u64;
        while self.index / power >= 1000 {
            power *= 1000;
        }
        while power > 1 {
            write!(out, "/x{:03}", self.index / power % 1000)?;
            power /= 1000;
        }
        write!(out, "/{:03}", self.index % 1000)?;
        if self.is_partial() { write!(out, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// The text is not a tile's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATile;

impl fmt::Display for NotATile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("not a tile path of c2sp.org/tlog-tiles")
    }
}

impl std::error::Error for NotATile {}

impl FromStr for Tile {
    type Err = NotATile;

    fn from_str(path: &str) -> Result<Self, NotATile> {
        let read = || {
            let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
            let kind = match kind {
                "entries" => TileKind::Entries,
                level => TileKind::Hashes(decimal(level)?.try_into().ok().filter(|level| *level < 64)?),
            };
            let (elements, width) = match rest.split_once(".p/") {
                Some((elements, width)) => (elements, decimal(width)?.try_into().ok()?),
                None => (rest, TILE_WIDTH),
            };
            let mut index = 0u64;
            for element in elements.split('/') {
                let digits = element.strip_prefix('x').unwrap_or(element);
                if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
            }
            (1..=TILE_WIDTH).contains(&width).then_some(Self { kind, index, width })
        };
        // Writing it again settles every other question of form: `x` marks, leading elements, `.p/256`.
        read().filter(|tile| tile.to_string() == path).ok_or(NotATile)
    }
}

/// Where the stored hash `(level, index)` lies: the hash tile's level and index, and the run of its hashes that fold
/// into it, as `(tile level, tile index, first, count)`.
pub fn tile_of(level: u8, index: u64) -> (u8, u64, usize, usize) {
    let below = level % 8;
    let run = 1usize << below;
    let per_tile = 256 >> below;
    (level / 8, index / per_tile, (index % per_tile) as usize * run, run)
}

/// The stored hash `(level, index)` out of the bytes of its tile (see [`tile_of`]); `None` if the tile is too short.
pub fn hash_in_tile(tile: &[u8], level: u8, index: u64) -> Option<Digest> {
    let (_, _, first, count) = tile_of(level, index);
    let run = tile.get(first * 32..(first + count) * 32)?;
    let mut hashes: Vec<Digest> = run.chunks_exact(32).filter_map(Digest::from_slice).collect();
    while hashes.len() > 1 {
        hashes = hashes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    hashes.first().copied()
}

/// Appends `entry` to a bundle: two bytes of length, big-endian, then the entry.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TlogError> {
    let length = u16::try_from(entry.len()).map_err(|_| TlogError::MalformedBundle)?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle.
pub fn bundle_entries(bundle: &[u8]) -> Result<Vec<&[u8]>, TlogError> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<2>().ok_or(TlogError::MalformedBundle)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, tail) = tail.split_at_checked(length).ok_or(TlogError::MalformedBundle)?;
        entries.push(entry);
        rest = tail;
    }
    if entries.len() > usize::from(TILE_WIDTH) { Err(TlogError::MalformedBundle) } else { Ok(entries) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{Frontier, leaf_hash};

    #[test]
    fn paths_follow_c2sp() {
        for (tile, path) in [
            (Tile::full(TileKind::Hashes(0), 1_234_067), "tile/0/x001/x234/067"),
            (Tile::full(TileKind::Hashes(63), 0), "tile/63/000"),
            (Tile::full(TileKind::Entries, 1_000), "tile/entries/x001/000"),
            (Tile::at_size(TileKind::Entries, 273, 70_000).unwrap(), "tile/entries/273.p/112"),
            (Tile::full(TileKind::Hashes(0), u64::MAX), "tile/0/x018/x446/x744/x073/x709/x551/615"),
        ] {
            assert_eq!(tile.to_string(), path);
            assert_eq!(path.parse(), Ok(tile));
        }
        for wrong in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/64/000",
            "tile/00/000",
            "tile/0/0",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/07",
            "tile/0/../000",
            "tile/0/x01/000",
            "tile/-1/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "/tile/0/000",
            "tile/0/000/",
        ] {
            assert_eq!(wrong.parse::<Tile>(), Err(NotATile), "{wrong}");
        }
    }

    #[test]
    fn partial_tiles_of_seventy_thousand_are_those_of_the_specification() {
        let paths: Vec<_> = Tile::partial_at(70_000).map(|tile| tile.to_string()).collect();
        assert_eq!(
            paths,
            ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/112"]
        );
        let paths: Vec<_> = Tile::partial_at(256).map(|tile| tile.to_string()).collect();
        assert_eq!(paths, ["tile/1/000.p/1"]);
    }

    #[test]
    fn tiles_give_every_stored_hash() {
        let mut frontier = Frontier::new();
        let mut tiles: std::collections::BTreeMap<(u8, u64), Vec<u8>> = Default::default();
        let mut stored = Vec::new();
        for number in 0..1_500u64 {
            frontier.append_with(leaf_hash(&number.to_be_bytes()), |level, index, hash| {
                stored.push((level, index, hash));
                if level % 8 == 0 {
                    tiles.entry((level / 8, index / 256)).or_default().extend_from_slice(hash.as_bytes());
                }
            });
        }
        for (level, index, hash) in stored {
            let (tile_level, tile_index, ..) = tile_of(level, index);
            assert_eq!(
                hash_in_tile(&tiles[&(tile_level, tile_index)], level, index),
                Some(hash),
                "{level} {index}"
            );
        }
        assert_eq!(hash_in_tile(&tiles[&(0, 5)], 0, 1_500), None);
    }

    #[test]
    fn bundles_read_back_and_cut_ones_do_not() {
        let mut bundle = Vec::new();
        for entry in [&b"one"[..], b"", b"three"] {
            push_entry(&mut bundle, entry).unwrap();
        }
        assert_eq!(bundle_entries(&bundle).unwrap(), [&b"one"[..], b"", b"three"]);
        assert_eq!(bundle_entries(b"").unwrap(), Vec::<&[u8]>::new());
        for cut in [1, 2, 4, 6, bundle.len() - 1] {
            assert_eq!(bundle_entries(&bundle[..cut]).is_err(), cut != 5, "{cut}");
        }
        assert!(push_entry(&mut bundle, &[0; MAX_ENTRY + 1]).is_err());
    }
}
