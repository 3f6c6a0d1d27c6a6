//! A whole log, from its files: every entry, every hash tile, the signed root.

use crate::cli::Failure;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use xinqiao_evidence::Digest;
use xinqiao_evidence::entry::Entry;
use xinqiao_evidence::merkle::{leaf_hash, node_hash};
use xinqiao_evidence::tlog::{Checkpoint, TILE_WIDTH, Tile, TileKind, bundle_entries};

/// What was looked at.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) entries: u64,
    pub(super) tiles: u64,
    /// Files that the checkpoint does not need: none of them was looked at.
    pub(super) others: u64,
    pub(super) other: Option<PathBuf>,
}

/// Compares everything that a checkpoint stands for with what lies there.
pub(super) fn verify(dir: &Path, said: &Checkpoint) -> Result<Looked, Failure> {
    let mut tiles = Tiles {
        dir,
        size: said.size,
        levels: Vec::new(),
        looked: Looked::default(),
        needed: BTreeSet::new(),
    };
    let mut bundle = 0;
    while let Some(tile) = Tile::at_size(TileKind::Entries, bundle, said.size) {
        let path = tiles.path(tile);
        let bytes = read(&path)?;
        let found = bundle_entries(&bytes).map_err(|e| unverified(&path, e))?;
        // A wider bundle holds what came later; the checkpoint says nothing of that.
        if found.len() < usize::from(tile.width()) {
            return Err(unverified(
                &path,
                "it holds fewer entries than the checkpoint stands for  条目少于检查点所载",
            ));
        }
        for entry in &found[..usize::from(tile.width())] {
            Entry::from_bytes(entry).map_err(|e| unverified(&path, e))?;
            tiles.looked.entries += 1;
            tiles.add(0, leaf_hash(entry))?;
        }
        tiles.needed.insert(path);
        bundle += 1;
    }
    let root = tiles.close()?;
    if root != said.root {
        return Err(Failure::Unverified(
            "the entries do not add up to the signed root 日志条目与签名的根不一致".into(),
        ));
    }
    tiles.count_others(dir.join("tile"))?;
    Ok(tiles.looked)
}

/// The hash tiles as they must be, from the entries: of each level the one that is not full yet.
struct Tiles<'a> {
    dir: &'a Path,
    size: u64,
    levels: Vec<Level>,
    looked: Looked,
    needed: BTreeSet<PathBuf>,
}

#[derive(Default)]
struct Level {
    index: u64,
    hashes: Vec<Digest>,
}

impl Tiles<'_> {
    /// The file of a tile: one that has grown since may be there only wider.
    fn path(&self, tile: Tile) -> PathBuf {
        let path = self.dir.join(tile.to_string());
        if tile.is_partial() && !path.exists() {
            let whole = self.dir.join(Tile::full(tile.kind(), tile.index()).to_string());
            if whole.exists() {
                return whole;
            }
        }
        path
    }

    fn add(&mut self, level: usize, hash: Digest) -> Result<(), Failure> {
        if self.levels.len() == level {
            self.levels.push(Level::default());
        }
        let at = &mut self.levels[level];
        at.hashes.push(hash);
        if at.hashes.len() < usize::from(TILE_WIDTH) {
            return Ok(());
        }
        let (hashes, index) = (std::mem::take(&mut at.hashes), at.index);
        at.index += 1;
        self.compare(level, index, &hashes)?;
        self.add(level + 1, fold(hashes))
    }

    fn compare(&mut self, level: usize, index: u64, hashes: &[Digest]) -> Result<(), Failure> {
        let kind = TileKind::Hashes(u8::try_from(level).unwrap_or(u8::MAX));
        let Some(tile) = Tile::at_size(kind, index, self.size) else { return Ok(()) };
        let path = self.path(tile);
        let bytes = read(&path)?;
        let same = hashes
            .iter()
            .enumerate()
            .all(|(n, hash)| bytes.get(n * 32..n * 32 + 32) == Some(&hash.as_bytes()[..]));
        if !same {
            return Err(unverified(
                &path,
                "its hashes are not those of the entries; recipients who ask for it find the log inconsistent: restore the file from a copy  与条目算出的哈希不一致，接收方据此核对将失败，请从副本恢复",
            ));
        }
        self.looked.tiles += 1;
        self.needed.insert(path);
        Ok(())
    }

    /// Looks at the tiles that are not full, and gives the root.
    fn close(&mut self) -> Result<Digest, Failure> {
        for level in 0..self.levels.len() {
            let (index, hashes) = (self.levels[level].index, std::mem::take(&mut self.levels[level].hashes));
            if !hashes.is_empty() {
                self.compare(level, index, &hashes)?;
            }
            self.levels[level].hashes = hashes;
        }
        // RFC 9162, section 2.1.1: from the right, the largest complete subtrees.
        let mut root: Option<Digest> = None;
        for level in &self.levels {
            let mut rest = &level.hashes[..];
            while !rest.is_empty() {
                let width = 1 << rest.len().trailing_zeros();
                let (front, last) = rest.split_at(rest.len() - width);
                let subtree = fold(last.to_vec());
                root = Some(root.map_or(subtree, |right| node_hash(&subtree, &right)));
                rest = front;
            }
        }
        Ok(root.unwrap_or_else(|| Digest::of(b"")))
    }

    fn count_others(&mut self, dir: PathBuf) -> Result<(), Failure> {
        let entries = match std::fs::read_dir(&dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                self.count_others(path)?;
            } else if !self.needed.contains(&path) {
                self.looked.others += 1;
                self.looked.other.get_or_insert(path);
            }
        }
        Ok(())
    }
}

/// The root of a complete subtree of so many hashes, a power of two.
fn fold(mut hashes: Vec<Digest>) -> Digest {
    while hashes.len() > 1 {
        hashes = hashes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    hashes[0]
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            unverified(path, "the log's file is missing; restore it from a copy  日志文件缺失，请从副本恢复")
        }
        _ => Failure::Failed(format!("{}: {}", path.display(), e.kind())),
    })
}

fn unverified(place: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::Unverified(format!("{}: {why}", place.display()))
}
