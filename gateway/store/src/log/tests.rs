//! Promises of the log files.

use std::path::Path;

use super::*;
use crate::journal::tests::copy;

fn entry(n: u64) -> Vec<u8> {
    format!("entry {n} {}", "x".repeat((n % 50) as usize)).into_bytes()
}

/// The tests' checkpoint: size and root in hexadecimal, with a mark that stands for the signature.
fn checkpoint(size: u64, root: &Digest) -> String {
    format!("signed {size} {root}")
}

fn verify(text: &str) -> Option<(u64, Digest)> {
    let (size, root) = text.strip_prefix("signed ")?.split_once(' ')?;
    Some((size.parse().ok()?, root.parse().ok()?))
}

fn open(path: &Path) -> Result<LogFiles, LogError> {
    LogFiles::open(&DataDir::open(path).unwrap(), verify)
}

fn append(log: &LogFiles, first: u64, until: u64) {
    let entries: Vec<_> = (first..until).map(entry).collect();
    log.append(first, &entries.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
}

fn sync(log: &LogFiles) {
    let frontier = log.frontier();
    log.sync(frontier.size(), &checkpoint(frontier.size(), &frontier.root())).unwrap();
}

/// A log synced at several sizes up to `size`.
fn filled(size: u64) -> tempfile::TempDir {
    let path = crate::journal::tests::temporary();
    let log = open(path.path()).unwrap();
    for until in [size / 3, size / 2, size] {
        append(&log, log.size(), until);
        sync(&log);
    }
    path
}

#[test]
fn every_entry_and_hash_is_there_before_and_after_reopening() {
    const SIZE: u64 = 70_000;
    let path = filled(SIZE);
    let mut frontier = Frontier::new();
    let mut hashes = Vec::new();
    for n in 0..SIZE {
        frontier.append_with(leaf_hash(&entry(n)), |level, index, hash| hashes.push((level, index, hash)));
    }
    let log = open(path.path()).unwrap();
    assert_eq!((log.size(), log.synced_size(), log.frontier().root()), (SIZE, SIZE, frontier.root()));
    for (level, index, hash) in hashes.iter().rev().step_by(97).chain(hashes.last()) {
        assert_eq!(log.hash(*level, *index).unwrap(), Some(*hash), "{level} {index}");
    }
    assert_eq!(log.hash(0, SIZE).unwrap(), None);
    assert_eq!(log.hash(17, 0).unwrap(), None);
    for n in (0..SIZE).step_by(997).chain([SIZE - 1]) {
        assert_eq!(log.entry(n).unwrap(), Some(entry(n)));
    }
    assert_eq!(log.entry(SIZE).unwrap(), None);
    log.verify().unwrap();
    // What a static server would show is exactly what the specification asks for at this size.
    for tile in
        Tile::partial_at(SIZE).chain([Tile::full(TileKind::Hashes(1), 0), Tile::full(TileKind::Entries, 272)])
    {
        let file = std::fs::read(path.path().join("log").join(tile.to_string())).unwrap();
        assert_eq!(log.tile(&tile).unwrap(), Some(file), "{tile}");
    }
    let narrow: Tile = "tile/0/000.p/5".parse().unwrap();
    assert_eq!(log.tile(&narrow).unwrap().unwrap().len(), 160);
    assert_eq!(log.tile(&"tile/0/273.p/113".parse().unwrap()).unwrap(), None);
    assert_eq!(std::fs::read_dir(path.path().join("log/tile/entries/273.p")).unwrap().count(), 1);
}

#[test]
fn sizes_around_tile_borders_reopen() {
    for size in [1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537] {
        let path = filled(size);
        let log = open(path.path()).unwrap();
        assert_eq!(log.size(), size);
        append(&log, size, size + 300);
        let mut frontier = Frontier::new();
        (0..size + 300).for_each(|n| frontier.append(leaf_hash(&entry(n))));
        assert_eq!(log.frontier().root(), frontier.root());
        log.verify().unwrap();
    }
}

#[test]
fn replay_may_overlap_but_not_differ_or_leave_a_gap() {
    let path = filled(600);
    let log = open(path.path()).unwrap();
    append(&log, 100, 700);
    append(&log, 0, 700);
    assert_eq!(log.size(), 700);
    assert!(matches!(log.append(701, &[b"x"]), Err(LogError::Gap { have: 700, offered: 701 })));
    assert!(matches!(log.append(650, &[b"x"]), Err(LogError::Differs { index: 650 })));
    assert!(matches!(log.append(3, &[b"x"]), Err(LogError::Differs { index: 3 })));
    assert!(matches!(log.append(700, &[&[0; 65_536]]), Err(LogError::TooLong { index: 700 })));
    assert_eq!(log.size(), 700);
    assert!(matches!(log.sync(701, ""), Err(LogError::Size { .. })));
    assert!(matches!(log.sync(599, ""), Err(LogError::Size { .. })));
}

#[test]
fn what_was_not_synced_is_written_again() {
    let path = filled(600);
    let log = open(path.path()).unwrap();
    append(&log, 600, 1500);
    drop(log);
    // The crash tore what was never synced.
    std::fs::write(path.path().join("log/tile/0/002"), b"torn").unwrap();
    let log = open(path.path()).unwrap();
    assert_eq!(log.size(), 600);
    append(&log, 500, 1500);
    sync(&log);
    drop(log);
    let log = open(path.path()).unwrap();
    assert_eq!(log.size(), 1500);
    log.verify().unwrap();
}

#[test]
fn a_sync_of_less_than_there_is_publishes_just_that() {
    let path = filled(300);
    let log = open(path.path()).unwrap();
    let mut earlier = Frontier::new();
    (0..700).for_each(|n| earlier.append(leaf_hash(&entry(n))));
    append(&log, 300, 2000);
    log.sync(700, &checkpoint(700, &earlier.root())).unwrap();
    assert_eq!((log.size(), log.synced_size()), (2000, 700));
    drop(log);
    let log = open(path.path()).unwrap();
    assert_eq!((log.size(), log.frontier().root()), (700, earlier.root()));
    log.verify().unwrap();
}

#[test]
fn a_damaged_tile_is_named() {
    const SIZE: u64 = 66_000;
    let intact = filled(SIZE);
    let partial: Vec<_> = Tile::partial_at(SIZE).collect();
    let full = [
        Tile::full(TileKind::Hashes(0), 256),
        Tile::full(TileKind::Entries, 256),
        Tile::full(TileKind::Hashes(0), 3),
        Tile::full(TileKind::Entries, 3),
        Tile::full(TileKind::Hashes(1), 0),
    ];
    for tile in partial.iter().chain(&full) {
        for remove in [false, true] {
            let path = crate::journal::tests::temporary();
            copy(intact.path(), path.path());
            let file = path.path().join("log").join(tile.to_string());
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[2] ^= 1;
            std::fs::write(&file, bytes).unwrap();
            if remove {
                std::fs::remove_file(&file).unwrap();
            }
            let error = match open(path.path()) {
                Err(error) => error,
                Ok(log) => log.verify().unwrap_err(),
            };
            let LogError::Damaged(named) = &error else { panic!("{tile}: {error}") };
            // A leaf hash and its entry differ: either may be the damaged one.
            let either = named.replace("tile/0/", "tile/entries/");
            assert!(*named == tile.to_string() || either == tile.to_string(), "{tile}: {error}");
        }
    }
}

#[test]
fn a_checkpoint_of_another_log_is_refused() {
    let path = filled(300);
    let other = Frontier::new().root();
    std::fs::write(path.path().join("log/checkpoint"), checkpoint(300, &other)).unwrap();
    assert!(matches!(open(path.path()), Err(LogError::Checkpoint)));
    std::fs::write(path.path().join("log/checkpoint"), "forged").unwrap();
    assert!(matches!(open(path.path()), Err(LogError::Checkpoint)));
}

#[test]
fn a_disk_that_refuses_keeps_everything_for_the_next_sync() {
    let path = filled(200);
    let log = open(path.path()).unwrap();
    // A directory stands where the tile should go.
    let blocked = path.path().join("log/tile/0/000");
    std::fs::create_dir_all(&blocked).unwrap();
    append(&log, 200, 600);
    assert_eq!(log.entry(10).unwrap(), Some(entry(10)));
    assert_eq!(log.hash(7, 0).unwrap().map(|_| ()), Some(()));
    let frontier = log.frontier();
    assert!(matches!(log.sync(600, &checkpoint(600, &frontier.root())), Err(LogError::Io(..))));
    assert_eq!(log.synced_size(), 200);
    std::fs::remove_dir(&blocked).unwrap();
    sync(&log);
    drop(log);
    open(path.path()).unwrap().verify().unwrap();
}

#[test]
fn a_published_tile_is_never_written_again() {
    let path = filled(66_000);
    let stamp =
        |tile: &str| std::fs::metadata(path.path().join("log").join(tile)).unwrap().modified().unwrap();
    let tiles = ["tile/1/001.p/1", "tile/2/000.p/1"];
    let before = tiles.map(stamp);
    let log = open(path.path()).unwrap();
    sync(&log);
    append(&log, 66_000, 66_010);
    sync(&log);
    assert_eq!(tiles.map(stamp), before);
    assert!(!path.path().join("log/tile/0/257.p/208").exists());
}

#[test]
fn after_a_failed_sync_everything_is_written_anew() {
    let path = filled(200);
    let log = open(path.path()).unwrap();
    append(&log, 200, 700);
    // What the disk lost is not there to be confirmed later.
    std::fs::remove_file(path.path().join("log/tile/0/001")).unwrap();
    let frontier = log.frontier();
    let text = checkpoint(700, &frontier.root());
    assert!(matches!(log.sync(700, &text), Err(LogError::Io(..))));
    std::fs::write(path.path().join("log/tile/0/001"), b"stale").unwrap();
    assert!(matches!(log.sync(700, &text), Err(LogError::Failed)));
    assert_eq!(log.synced_size(), 200);
    assert_eq!(log.entry(699).unwrap(), Some(entry(699)));
    drop(log);
    let log = open(path.path()).unwrap();
    append(&log, 0, 700);
    log.sync(700, &text).unwrap();
    drop(log);
    open(path.path()).unwrap().verify().unwrap();
}

#[test]
fn a_write_that_fails_during_a_sync_forgets_no_tile() {
    let path = filled(200);
    let log = open(path.path()).unwrap();
    append(&log, 200, 700);
    let blocked = path.path().join("log/tile/0/002.p/188");
    std::fs::create_dir_all(&blocked).unwrap();
    let frontier = log.frontier();
    let text = checkpoint(700, &frontier.root());
    assert!(matches!(log.sync(700, &text), Err(LogError::Io(..))));
    let waiting = log.0.state.read().unsynced.clone();
    assert!(waiting.contains(&path.path().join("log/tile/0/001")), "{waiting:?}");
    std::fs::remove_dir(&blocked).unwrap();
    log.sync(700, &text).unwrap();
    assert!(log.0.state.read().unsynced.is_empty());
}
