//! Crashes of a real process. The child appends under load and says which frame was acknowledged; the parent kills it,
//! or cuts its power, and compares.
//!
//! The power cut needs root and loop devices: `cargo test -p xinqiao-store --test crash -- --ignored power_cut`. The
//! journal lies on ext4 on a loop device; the child is stopped and the device's image copied, so that what was still in
//! the page cache of the inner file system is lost.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failure of the test")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use xinqiao_evidence::Digest;
use xinqiao_evidence::merkle::{Frontier, leaf_hash};
use xinqiao_store::{
    AppendError, AtRestKeys, Class, DataDir, Frame, IdemEntry, Item, Journal, LogFiles, Options, Position,
    Queue, QueueError, QueueState, Reader, Recovery, Rows,
};

const DIRECTORY: &str = "XINQIAO_CRASH_DIRECTORY";
/// How many rows of table 1 stay behind the newest.
const KEPT: u64 = 500;

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let base = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..6 {
        let writer = Writer::start(base.path(), acknowledged);
        writer.wait_for(acknowledged + 40 + round * 97);
        acknowledged = writer.kill();
        let found = check(base.path(), acknowledged);
        assert!(found.queue_ready, "killing a process does not hurt sled");
        acknowledged = found.frames;
    }
}

#[test]
#[ignore = "needs root, mkfs.ext4 and loop devices"]
fn power_cut() {
    let rounds = std::env::var("XINQIAO_ROUNDS").map_or(6, |rounds| rounds.parse().unwrap());
    let base = tempfile::tempdir().unwrap();
    let (mut ready, mut cut) = (0, 0);
    for round in 0..rounds {
        let image = base.path().join("image");
        run("truncate", &["-s", "1500M", image.to_str().unwrap()]);
        run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
        let disk = Mount::new(&image, &base.path().join("disk"));
        let writer = Writer::start(&disk.0, 0);
        writer.wait_for(200 + 313 * round);
        let acknowledged = writer.stop();
        let copy = base.path().join("copy");
        run("cp", &["--sparse=always", image.to_str().unwrap(), copy.to_str().unwrap()]);
        writer.kill();
        drop(disk);
        let disk = Mount::new(&copy, &base.path().join("after"));
        let found = check(&disk.0, acknowledged);
        ready += u64::from(found.queue_ready);
        cut += u64::from(found.cut);
        println!("round {round}: {acknowledged} acknowledged, {} found, {found:?}", found.frames);
        // And it goes on from there.
        let writer = Writer::start(&disk.0, found.frames);
        writer.wait_for(found.frames + 50);
        let acknowledged = writer.kill();
        check(&disk.0, acknowledged);
    }
    println!("{rounds} of {rounds} intact; queue usable as it was in {ready}, torn frame cut in {cut}");
}

#[test]
#[ignore = "needs root, mkfs.ext4, loop devices and tmpfs"]
fn a_disk_that_fills_up_refuses_and_recovers() {
    let base = tempfile::tempdir().unwrap();
    let image = base.path().join("image");
    run("truncate", &["-s", "128M", image.to_str().unwrap()]);
    run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
    let at = base.path().join("disk");
    std::fs::create_dir_all(&at).unwrap();
    let (image, to) = (image.to_str().unwrap(), at.to_str().unwrap());
    for arguments in [&["-o", "loop", image, to][..], &["-t", "tmpfs", "-o", "size=80M", "none", to]] {
        run("mount", arguments);
        let disk = Mount(at.clone());
        fill(&disk.0);
    }
}

fn fill(disk: &Path) {
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1; 30 << 20]).unwrap();
    let Node { mut journal, reader, queue, log, .. } = open(disk);
    let mut n = 0;
    let mut refused = 0;
    while refused < 20 {
        match try_append(&mut journal, n) {
            Ok(_) => n += 1,
            Err(AppendError::Full(_)) => refused += 1,
            Err(error) => panic!("{error}: {error:?}"),
        }
    }
    assert!(n > 10);
    // What is there is still served.
    assert_eq!(reader.idempotent(&key(n - 1)).unwrap(), Some([(n - 1) as u8; 24]));
    // The queue may not survive a full disk, but it says so, and is made anew.
    let lost = (0..4000).find_map(|n| {
        let rows = Rows { puts: vec![(9, vec![n as u8; 8], vec![1; 4000])], deletes: vec![] };
        let position = Position { segment: u64::MAX, frame: n };
        queue.write(&rows, position).and_then(|()| queue.checkpoint()).err()
    });
    assert!(matches!(lost, None | Some(QueueError::Lost { .. })), "{lost:?}");
    std::fs::remove_file(&ballast).unwrap();
    drop(queue);
    let dir = reader.data_dir();
    let queue = Queue::rebuild(&dir, &AtRestKeys::from_key(1, [7; 32]), 16 << 20).unwrap();
    for _ in 0..20 {
        append(&mut journal, n);
        n += 1;
    }
    drop((journal, reader, queue, log, dir));
    assert_eq!(check(disk, n).frames, n);
}

/// The child: not a test of its own.
#[test]
#[ignore = "run by the tests beside it"]
fn writer() {
    let Some(path) = std::env::var_os(DIRECTORY) else { return };
    let Node { mut journal, queue, log, recovery, .. } = open(Path::new(&path));
    let mut n = recovery.next_log_index;
    loop {
        let position = append(&mut journal, n);
        println!("acknowledged {n}");
        queue.write(&rows(n), position).unwrap();
        log.append(n, &[&entry(n)]).unwrap();
        if n % 64 == 63 {
            queue.checkpoint().unwrap();
            let frontier = log.frontier();
            log.sync(frontier.size(), &checkpoint(&frontier)).unwrap();
        }
        n += 1;
    }
}

struct Writer {
    child: Child,
    acknowledged: Arc<AtomicU64>,
    reader: std::thread::JoinHandle<()>,
}

impl Writer {
    fn start(path: &Path, acknowledged: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--ignored", "--nocapture"])
            .env(DIRECTORY, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = Arc::new(AtomicU64::new(acknowledged));
        let shared = acknowledged.clone();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(n) = line.rsplit_once("acknowledged ").and_then(|(_, n)| n.parse::<u64>().ok()) {
                    shared.store(n + 1, Ordering::SeqCst);
                }
            }
        });
        Self { child, acknowledged, reader }
    }

    fn wait_for(&self, count: u64) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.acknowledged.load(Ordering::SeqCst) < count {
            assert!(Instant::now() < deadline, "the writer does not get on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Stops the writer; what it has acknowledged by then is in the pipe or counted.
    fn stop(&self) -> u64 {
        run("kill", &["-STOP", &self.child.id().to_string()]);
        self.acknowledged.load(Ordering::SeqCst)
    }

    fn kill(mut self) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.join().unwrap();
        self.acknowledged.load(Ordering::SeqCst)
    }
}

/// A mounted image; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(image: &Path, at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        run("mount", &["-o", "loop", image.to_str().unwrap(), at.to_str().unwrap()]);
        Self(at.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &[self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

struct Node {
    journal: Journal,
    reader: Reader,
    recovery: Recovery,
    queue: Queue,
    queue_state: QueueState,
    log: LogFiles,
}

/// Opens everything as a node does, and brings queue and log up to the journal.
fn open(path: &Path) -> Node {
    let keys = AtRestKeys::from_key(1, [7; 32]);
    let dir = DataDir::open(path.join("data")).unwrap();
    let (queue, queue_state) = Queue::open(&dir, &keys, 16 << 20).unwrap();
    let log = LogFiles::open(&dir, parse_checkpoint).unwrap();
    let options = Options {
        segment_bytes: 2 << 20,
        referenced: queue.applied(),
        log_size: log.synced_size(),
        adopt_rollback: false,
        ..Options::default()
    };
    let (journal, reader, recovery) = Journal::open(&dir, &keys, options).unwrap();
    let from = queue.applied();
    reader
        .replay(from, |frame| {
            queue.write(&rows(frame.first_log_index), frame.position).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
    reader
        .replay(reader.before_log_index(log.size()), |frame| {
            log.append(frame.first_log_index, &frame.log_entries).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
    Node { journal, reader, recovery, queue, queue_state, log }
}

#[derive(Debug)]
struct Found {
    frames: u64,
    queue_ready: bool,
    cut: bool,
}

/// Everything acknowledged is there, everything there is right, and nothing else is.
fn check(path: &Path, acknowledged: u64) -> Found {
    {
        // Before anything is replayed: a queue that says it is ready is exactly what it was at that moment.
        let keys = AtRestKeys::from_key(1, [7; 32]);
        let dir = DataDir::open(path.join("data")).unwrap();
        let (queue, state) = Queue::open(&dir, &keys, 16 << 20).unwrap();
        if let QueueState::Ready { .. } = state {
            let newest = u64::from_be_bytes(queue.get(2, b"newest").unwrap().unwrap().try_into().unwrap());
            assert_eq!(queue.scan(1, &[], None, usize::MAX).unwrap(), model(newest));
        }
    }
    let node = open(path);
    let frames = node.recovery.next_log_index;
    assert!(frames >= acknowledged, "{acknowledged} acknowledged, {frames} found");
    let mut expected = 0;
    node.reader
        .replay(None, |frame| {
            assert_eq!(frame.first_log_index, expected);
            assert_eq!(frame.log_entries, [entry(expected)]);
            assert_eq!(frame.read(&frame.items[0]).unwrap(), payload(expected));
            expected += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(expected, frames);
    for n in 0..frames {
        assert_eq!(node.reader.idempotent(&key(n)).unwrap(), Some([n as u8; 24]));
    }
    assert_eq!(node.reader.idempotent(&key(frames)).unwrap(), None);
    assert_eq!(node.queue.scan(1, &[], None, usize::MAX).unwrap(), model(frames - 1));
    node.log.verify().unwrap();
    let mut frontier = Frontier::new();
    (0..frames).for_each(|n| frontier.append(leaf_hash(&entry(n))));
    assert_eq!(node.log.frontier().root(), frontier.root());
    let queue_ready = matches!(node.queue_state, QueueState::Ready { .. });
    Found { frames, queue_ready, cut: node.recovery.cut.is_some() }
}

fn append(journal: &mut Journal, n: u64) -> Position {
    try_append(journal, n).unwrap()
}

fn try_append(journal: &mut Journal, n: u64) -> Result<Position, AppendError> {
    let item = Item { class: Class::Payload, aad: b"stream", bytes: &payload(n) };
    let frame = Frame {
        kind: 1,
        items: &[item],
        idempotency: &[IdemEntry { key: key(n), value: [n as u8; 24] }],
        log_entries: &[&entry(n)],
        first_log_index: n,
    };
    journal.append(&frame).map(|appended| appended.position)
}

fn payload(n: u64) -> Vec<u8> {
    let len = usize::try_from([300, 20_000, 64_000, 4_096][n as usize % 4] + n % 997).unwrap();
    (0..len).map(|at| (at as u64 * 31 + n) as u8).collect()
}

fn entry(n: u64) -> Vec<u8> {
    format!("entry {n}").into_bytes()
}

fn key(n: u64) -> [u8; 16] {
    Digest::of(&n.to_be_bytes()).as_bytes()[..16].try_into().unwrap()
}

fn rows(n: u64) -> Rows {
    let row = (1, n.to_be_bytes().to_vec(), vec![n as u8; 700]);
    let newest = (2, b"newest".to_vec(), n.to_be_bytes().to_vec());
    let deletes = n.checked_sub(KEPT).map(|old| (1, old.to_be_bytes().to_vec()));
    Rows { puts: vec![row, newest], deletes: deletes.into_iter().collect() }
}

/// Table 1 after frame `newest`.
fn model(newest: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows: BTreeMap<_, _> = ((newest + 1).saturating_sub(KEPT)..=newest)
        .map(|n| (n.to_be_bytes().to_vec(), vec![n as u8; 700]))
        .collect();
    rows.into_iter().collect()
}

fn checkpoint(frontier: &Frontier) -> String {
    format!("{} {}", frontier.size(), frontier.root())
}

fn parse_checkpoint(text: &str) -> Option<(u64, Digest)> {
    let (size, root) = text.split_once(' ')?;
    Some((size.parse().ok()?, root.parse().ok()?))
}
