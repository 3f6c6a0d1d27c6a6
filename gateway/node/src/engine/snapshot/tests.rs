//! Snapshots of a queue that changes meanwhile, cut off anywhere, in one frame as the first builds wrote them, and
//! larger than a frame may be.

use super::*;
use std::collections::BTreeMap;
use xinqiao_store::{AtRestKeys, DataDir, Options, QueueState, Rows};

type All = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

struct Site {
    _dir: tempfile::TempDir,
    dir: DataDir,
    keys: AtRestKeys,
    queue: Queue,
    journal: Journal,
    reader: Reader,
}

impl Site {
    fn new(segment_bytes: u64) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let (dir, keys) = (DataDir::open(temporary.path()).unwrap(), AtRestKeys::generate());
        let (queue, _) = Queue::open(&dir, &keys, 8 << 20).unwrap();
        let options = Options { segment_bytes, ..Options::default() };
        let (journal, reader, _) = Journal::open(&dir, &keys, options).unwrap();
        Self { _dir: temporary, dir, keys, queue, journal, reader }
    }

    /// Something happens: a frame, and rows that change with it, put by where a snapshot needs them.
    fn change(&mut self, dump: Option<&mut Dump>, rows: Rows) {
        let at = append(&mut self.journal, 0, 1, &[b"record"]).unwrap();
        if let Some(dump) = dump {
            dump.put_by(&self.queue, &rows).unwrap();
        }
        self.queue.write(&rows, at).unwrap();
    }

    fn rows(&self) -> All {
        all(&self.queue)
    }

    /// What a rebuild begins with.
    fn filled(&self) -> Option<All> {
        let whole = newest(&self.reader).unwrap()?;
        let queue = Queue::rebuild(&DataDir::clone(&self.dir), &self.keys, 8 << 20);
        let queue = queue.unwrap();
        whole.fill(&self.reader, &queue).unwrap();
        assert_eq!(queue.get(FILLING.0, FILLING.1).unwrap(), None);
        Some(all(&queue))
    }
}

fn all(queue: &Queue) -> All {
    let mut rows = All::new();
    for table in Table::ALL {
        for (key, value) in crate::engine::rows::all(queue, table).unwrap() {
            rows.insert((table as u8, key), value);
        }
    }
    rows
}

fn puts(table: Table, numbers: std::ops::Range<u64>, value: &[u8]) -> Rows {
    let row = |n: u64| (table as u8, n.to_be_bytes().to_vec(), value.to_vec());
    Rows { puts: numbers.map(row).collect(), deletes: Vec::new() }
}

fn deletes(table: Table, numbers: std::ops::Range<u64>) -> Rows {
    Rows { puts: Vec::new(), deletes: numbers.map(|n| (table as u8, n.to_be_bytes().to_vec())).collect() }
}

#[test]
fn a_snapshot_holds_the_rows_of_its_beginning_whatever_changes_meanwhile_and_only_whole_counts() {
    let mut site = Site::new(64 << 10);
    site.change(None, puts(Table::Group, 0..700, &[1; 60]));
    site.change(None, puts(Table::Noted, 0..700, &[2; 60]));
    assert!(newest(&site.reader).unwrap().is_none());
    let mut before: Option<All> = None;
    for round in 0..3u8 {
        let wanted = site.rows();
        let mut dump = Dump::begin(&mut site.journal, 0, 4 << 10).unwrap();
        let mut step = 0u64;
        loop {
            let (_, written) = dump.step(&site.queue, &mut site.journal).unwrap();
            if let Some(written) = written {
                assert!(written.parts > 10, "it spans frames: {written:?}");
                break;
            }
            // Rows that were written already, rows that were not, new ones and ones that go.
            let value = [10 + round, step as u8];
            site.change(Some(&mut dump), puts(Table::Group, step..step + 3, &value));
            site.change(Some(&mut dump), deletes(Table::Noted, 690 - step..692 - step));
            site.change(Some(&mut dump), puts(Table::Batch, step * 2..step * 2 + 2, &value));
            // Not whole yet: the one before still counts.
            assert_eq!(newest(&site.reader).unwrap().is_some(), before.is_some());
            step += 1;
        }
        assert_ne!(site.rows(), wanted, "much has changed meanwhile");
        let whole = newest(&site.reader).unwrap().unwrap();
        assert_eq!(whole.at, dump.position(), "what follows its beginning is replayed");
        let mut found = All::new();
        for part in &whole.parts {
            let bytes = site.reader.read(*part, whole.aad).unwrap();
            found.extend(rows_of(&bytes));
        }
        assert_eq!(found, wanted);
        before = Some(wanted);
    }
    // One that was cut off is passed over.
    let mut dump = Dump::begin(&mut site.journal, 0, 4 << 10).unwrap();
    for _ in 0..5 {
        assert!(dump.step(&site.queue, &mut site.journal).unwrap().1.is_none());
    }
    drop(dump);
    assert_eq!(site.filled(), before);
}

fn rows_of(part: &[u8]) -> All {
    let mut rest = part;
    let mut rows = All::new();
    let mut bytes = |n: usize| {
        let (head, tail) = rest.split_at(n);
        rest = tail;
        head.to_vec()
    };
    let mut left = part.len();
    while left > 0 {
        let table = bytes(1)[0];
        let mut field = || {
            let len = u32::from_be_bytes(bytes(4).try_into().unwrap()) as usize;
            bytes(len)
        };
        let (key, value) = (field(), field());
        left -= 9 + key.len() + value.len();
        rows.insert((table, key), value);
    }
    rows
}

#[test]
fn a_snapshot_in_one_frame_is_still_read() {
    let mut site = Site::new(64 << 10);
    site.change(None, puts(Table::Noted, 0..300, &[2; 60]));
    let wanted = site.rows();
    // As the first builds wrote it.
    let mut items: Vec<Vec<u8>> = vec![Vec::new(), Vec::new()];
    for (n, (key, value)) in wanted.iter().enumerate() {
        put(&mut items[usize::from(n > 150)], key, value);
    }
    let items: Vec<_> =
        items.iter().map(|bytes| Item { class: Class::Event, aad: b"record", bytes }).collect();
    let frame = Frame { kind: 2, items: &items, idempotency: &[], log_entries: &[], first_log_index: 0 };
    let at = site.journal.append(&frame).unwrap().position;
    site.change(None, puts(Table::Noted, 0..3, b"later"));
    assert_eq!(newest(&site.reader).unwrap().unwrap().at, at);
    assert_eq!(site.filled(), Some(wanted));
}

#[test]
fn a_snapshot_larger_than_a_frame_may_be_is_written_and_read() {
    let mut site = Site::new(64 << 20);
    for n in 0..19 {
        site.change(None, puts(Table::Noted, n * 1_000..(n + 1) * 1_000, &[n as u8; 3_900]));
    }
    let wanted = site.rows();
    let mut dump = Dump::begin(&mut site.journal, 0, part_bytes(64 << 20)).unwrap();
    let mut longest = std::time::Duration::ZERO;
    let written = loop {
        let began = std::time::Instant::now();
        let (_, written) = dump.step(&site.queue, &mut site.journal).unwrap();
        longest = longest.max(began.elapsed());
        if let Some(written) = written {
            break written;
        }
    };
    assert!(written.bytes > 70 << 20, "{written:?}");
    eprintln!("{written:?}, the longest part took {longest:?}");
    assert!(site.filled() == Some(wanted), "every row is there again");
}

#[test]
fn a_queue_that_was_half_filled_is_not_taken_for_whole() {
    let mut site = Site::new(64 << 10);
    site.change(None, puts(Table::Noted, 0..3_000, &[2; 60]));
    let mut dump = Dump::begin(&mut site.journal, 0, 4 << 10).unwrap();
    while dump.step(&site.queue, &mut site.journal).unwrap().1.is_none() {}
    let whole = newest(&site.reader).unwrap().unwrap();
    let Site { dir, keys, queue, journal, reader, _dir } = site;
    drop((queue, journal));
    let queue = Queue::rebuild(&dir, &keys, 8 << 20).unwrap();
    // A crash after the first part.
    fill(&queue, &reader.read(whole.parts[0], whole.aad).unwrap(), whole.at).unwrap();
    queue.checkpoint().unwrap();
    drop(queue);
    let (queue, state) = Queue::open(&dir, &keys, 8 << 20).unwrap();
    assert!(matches!(state, QueueState::Ready { .. }), "the queue itself cannot know");
    assert!(queue.get(FILLING.0, FILLING.1).unwrap().is_some(), "the node does");
}
