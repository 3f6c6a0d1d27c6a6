//! Promises of the journal, each against a real directory.

use std::ops::ControlFlow;
use std::path::Path;

use super::*;
use crate::{DataDir, Position};

mod damage;
mod failing;
mod index;
mod life;
mod rollback;

/// What a frame held, as replay shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Shown {
    pub(super) position: Position,
    pub(super) kind: u8,
    pub(super) items: Vec<(Class, Vec<u8>, Vec<u8>)>,
    pub(super) log: Vec<Vec<u8>>,
    pub(super) first_log_index: u64,
    pub(super) idempotency: Vec<IdemEntry>,
}

pub(super) struct Node {
    pub(super) keys: AtRestKeys,
    pub(super) path: tempfile::TempDir,
}

impl Node {
    pub(super) fn new() -> Self {
        Self { keys: AtRestKeys::generate(), path: temporary() }
    }

    pub(super) fn open(&self) -> (Journal, Reader, Recovery) {
        self.open_with(small()).unwrap()
    }

    /// The journal on a disk that fails when told to.
    fn open_failing(&self) -> (Journal, Reader, Arc<failing::Failing>) {
        let disk = Arc::new(failing::Failing::default());
        let (journal, reader, _) = self.open_with(Options { disk: disk.clone(), ..small() }).unwrap();
        (journal, reader, disk)
    }

    pub(super) fn open_with(&self, options: Options) -> Result<(Journal, Reader, Recovery), OpenError> {
        let dir = DataDir::open(self.path.path()).unwrap();
        Journal::open(&dir, &self.keys, options)
    }

    pub(super) fn file(&self, number: u64, suffix: &str) -> std::path::PathBuf {
        let dir = if suffix == "arc" { "evidence" } else { "journal" };
        self.path.path().join(dir).join(format!("{number:016x}.{suffix}"))
    }
}

/// A directory in memory if there is such a place: these tests open the journal thousands of times.
pub(crate) fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(super) fn small() -> Options {
    Options { segment_bytes: 16 << 10, ..Options::default() }
}

/// Frame number `n` of a test, different from all others in every part.
pub(super) fn append(journal: &mut Journal, n: u64) -> Result<Appended, AppendError> {
    let (event, evidence, payload) = (format!("event {n}"), format!("evidence {n}"), vec![n as u8; 700]);
    let items = [
        Item { class: Class::Event, aad: b"", bytes: event.as_bytes() },
        Item { class: Class::Evidence, aad: b"log", bytes: evidence.as_bytes() },
        Item { class: Class::Payload, aad: b"province.penalty", bytes: &payload },
    ];
    let entry = format!("entry {n}");
    journal.append(&Frame {
        kind: 7,
        items: &items,
        idempotency: &[idempotency(n)],
        log_entries: &[entry.as_bytes()],
        first_log_index: n,
    })
}

pub(super) fn idempotency(n: u64) -> IdemEntry {
    let digest = xinqiao_crypto::sha256(&n.to_le_bytes());
    IdemEntry { key: digest[..16].try_into().unwrap(), value: [n as u8; 24] }
}

pub(super) fn shown(reader: &Reader, from: Option<Position>) -> Vec<Shown> {
    let mut all = Vec::new();
    reader
        .replay(from, |frame| {
            all.push(Shown {
                position: frame.position,
                kind: frame.kind,
                items: frame
                    .items
                    .iter()
                    .map(|item| (item.class, item.aad.to_vec(), frame.read(item).unwrap()))
                    .collect(),
                log: frame.log_entries.iter().map(|entry| entry.to_vec()).collect(),
                first_log_index: frame.first_log_index,
                idempotency: frame.idempotency.clone(),
            });
            ControlFlow::Continue(())
        })
        .unwrap();
    all
}

/// Checks that the journal shows exactly frames `0..count`, and answers their keys.
pub(super) fn holds(reader: &Reader, count: u64) {
    let all = shown(reader, None);
    assert_eq!(
        all.iter().map(|frame| frame.first_log_index).collect::<Vec<_>>(),
        (0..count).collect::<Vec<_>>()
    );
    for (n, frame) in (0..).zip(&all) {
        assert_eq!(frame.kind, 7);
        assert_eq!(frame.log, [format!("entry {n}").into_bytes()]);
        assert_eq!(frame.items[0], (Class::Event, vec![], format!("event {n}").into_bytes()));
        assert_eq!(frame.items[1], (Class::Evidence, b"log".to_vec(), format!("evidence {n}").into_bytes()));
        assert_eq!(frame.items[2], (Class::Payload, b"province.penalty".to_vec(), vec![n as u8; 700]));
        assert_eq!(frame.idempotency, [idempotency(n)]);
        assert_eq!(reader.idempotent(&idempotency(n).key).unwrap(), Some(idempotency(n).value));
    }
    assert_eq!(reader.idempotent(&idempotency(count).key).unwrap(), None);
    assert_eq!(reader.end(), all.last().map(|frame| frame.position));
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
