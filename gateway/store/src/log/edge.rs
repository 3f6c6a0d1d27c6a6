//! The tiles that still grow: one of each level, and the bundle of the newest entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use xinqiao_evidence::Digest;
use xinqiao_evidence::tlog::{TILE_WIDTH, Tile, TileKind, push_entry};

/// Levels of tiles a log of 2^64 entries can have.
pub(super) const LEVELS: usize = 8;

/// The right edge.
#[derive(Default)]
pub(super) struct Edge {
    hashes: [Growing; LEVELS],
    bundle: Growing,
}

#[derive(Default)]
struct Growing {
    index: u64,
    width: u16,
    bytes: Arc<Vec<u8>>,
}

impl Growing {
    /// Counts what was just added; gives the tile's index and bytes if it is full now.
    fn grown(&mut self) -> Option<(u64, Arc<Vec<u8>>)> {
        self.width += 1;
        (self.width == TILE_WIDTH).then(|| {
            let next = Self { index: self.index + 1, ..Self::default() };
            let full = std::mem::replace(self, next);
            (full.index, full.bytes)
        })
    }
}

impl Edge {
    /// The edge of a log whose partial tiles are `tiles`.
    pub(super) fn load(size: u64, tiles: Vec<(Tile, Vec<u8>)>) -> Self {
        let mut edge = Self::default();
        for (level, growing) in edge.hashes.iter_mut().enumerate() {
            growing.index = (size >> (8 * level)) / u64::from(TILE_WIDTH);
        }
        edge.bundle.index = size / u64::from(TILE_WIDTH);
        for (tile, bytes) in tiles {
            let growing = match tile.kind() {
                TileKind::Hashes(level) => &mut edge.hashes[usize::from(level)],
                TileKind::Entries => &mut edge.bundle,
            };
            growing.width = tile.width();
            growing.bytes = Arc::new(bytes);
        }
        edge
    }

    pub(super) fn push_entry(&mut self, entry: &[u8], full: &mut BTreeMap<Tile, Arc<Vec<u8>>>) {
        push_entry(Arc::make_mut(&mut self.bundle.bytes), entry).expect("the caller checked the length");
        if let Some((index, bytes)) = self.bundle.grown() {
            full.insert(Tile::full(TileKind::Entries, index), bytes);
        }
    }

    /// Takes the stored hash of `level`, if tiles hold hashes of that level.
    pub(super) fn push_hash(&mut self, level: u8, hash: &Digest, full: &mut BTreeMap<Tile, Arc<Vec<u8>>>) {
        if !level.is_multiple_of(8) {
            return;
        }
        let growing = &mut self.hashes[usize::from(level / 8)];
        Arc::make_mut(&mut growing.bytes).extend_from_slice(hash.as_bytes());
        if let Some((index, bytes)) = growing.grown() {
            full.insert(Tile::full(TileKind::Hashes(level / 8), index), bytes);
        }
    }

    pub(super) fn bytes(&self, kind: TileKind) -> Arc<Vec<u8>> {
        match kind {
            TileKind::Hashes(level) => {
                self.hashes.get(usize::from(level)).map_or_else(Arc::default, |tile| tile.bytes.clone())
            }
            TileKind::Entries => self.bundle.bytes.clone(),
        }
    }
}
