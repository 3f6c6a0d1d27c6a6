//! Promises of the queue: right rows, or a rebuild.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

struct Node {
    keys: AtRestKeys,
    path: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        Self { keys: AtRestKeys::generate(), path: crate::journal::tests::temporary() }
    }

    fn open(&self) -> (Queue, QueueState) {
        Queue::open(&DataDir::open(self.path.path()).unwrap(), &self.keys, 8 << 20).unwrap()
    }

    fn db(&self) -> PathBuf {
        self.path.path().join("queue/db")
    }

    /// A closed queue with 500 rows, checkpointed.
    fn filled() -> Self {
        let node = Self::new();
        let (queue, _) = node.open();
        for n in 0..500 {
            queue.write(&put(1, n, &[n as u8; 300]), at(n)).unwrap();
        }
        queue.checkpoint().unwrap();
        node
    }

    fn rebuilds(&self) -> String {
        let (queue, state) = self.open();
        let QueueState::Rebuild { reason } = state else { panic!("{state:?}") };
        assert_eq!((queue.rows(), queue.applied(), queue.checkpointed()), (0, None, None));
        assert_eq!(queue.scan(1, &[], None, 10).unwrap(), []);
        queue.write(&put(1, 1, b"again"), at(7)).unwrap();
        queue.checkpoint().unwrap();
        drop(queue);
        let (queue, state) = self.open();
        assert_eq!(state, QueueState::Ready { applied: at(7) });
        assert_eq!(queue.get(1, &1u64.to_be_bytes()).unwrap(), Some(b"again".to_vec()));
        assert!(!self.path.path().join("queue.discarded").exists());
        reason
    }
}

fn at(frame: u64) -> Position {
    Position { segment: 1, frame }
}

fn put(table: u8, key: u64, value: &[u8]) -> Rows {
    Rows { puts: vec![(table, key.to_be_bytes().to_vec(), value.to_vec())], deletes: vec![] }
}

#[test]
fn rows_come_back_in_order_and_by_table() {
    let node = Node::new();
    let (queue, state) = node.open();
    assert_eq!(state, QueueState::Rebuild { reason: "there was no queue".to_owned() });
    for table in [0, 1, 255] {
        for n in 0..20 {
            queue.write(&put(table, n, &[table, n as u8]), at(n)).unwrap();
        }
    }
    let keys = |rows: Vec<Row>| rows.iter().map(|(key, _)| key[7]).collect::<Vec<_>>();
    let key = |n: u64| n.to_be_bytes();
    for table in [0, 1, 255] {
        assert_eq!(queue.get(table, &key(3)).unwrap(), Some(vec![table, 3]));
        assert_eq!(keys(queue.scan(table, &key(5), Some(&key(9)), 99).unwrap()), [5, 6, 7, 8]);
        assert_eq!(keys(queue.scan(table, &key(17), None, 99).unwrap()), [17, 18, 19]);
        assert_eq!(keys(queue.scan(table, &[], None, 2).unwrap()), [0, 1]);
        assert_eq!(queue.scan(table, &key(9), Some(&key(5)), 9).unwrap(), []);
        assert_eq!(queue.last_before(table, Some(&key(7))).unwrap().unwrap().1, [table, 6]);
        assert_eq!(queue.last_before(table, Some(&key(0))).unwrap(), None);
        assert_eq!(queue.last_before(table, None).unwrap().unwrap().1, [table, 19]);
    }
    assert_eq!(queue.last_before(7, None).unwrap(), None);
    assert_eq!(queue.get(7, &[]).unwrap(), None);
}

#[test]
fn limits_are_errors_and_write_nothing() {
    let node = Node::new();
    let (queue, _) = node.open();
    queue.write(&put(1, 1, &[1; MAX_VALUE]), at(1)).unwrap();
    assert_eq!(queue.write(&put(1, 2, &[1; MAX_VALUE + 1]), at(2)), Err(QueueError::TooLarge { table: 1 }));
    let long = Rows { puts: vec![(2, vec![0; MAX_KEY + 1], vec![])], deletes: vec![] };
    assert_eq!(queue.write(&long, at(2)), Err(QueueError::TooLarge { table: 2 }));
    assert_eq!((queue.applied(), queue.rows()), (Some(at(1)), 1));
}

#[test]
fn values_are_not_on_disk_in_clear() {
    let node = Node::new();
    let (queue, _) = node.open();
    let canary = b"canary-canary-canary";
    for n in 0..100 {
        queue.write(&put(1, n, canary), at(n)).unwrap();
    }
    queue.checkpoint().unwrap();
    drop(queue);
    let db = std::fs::read(node.db()).unwrap();
    assert!(db.len() > 2000 && !db.windows(canary.len()).any(|window| window == canary));
}

#[test]
fn small_rows_never_go_to_side_files() {
    let node = Node::new();
    let (queue, _) = node.open();
    for n in 0..300 {
        queue.write(&put(1, n, &[7; MAX_VALUE]), at(n)).unwrap();
    }
    queue.checkpoint().unwrap();
    let blobs = std::fs::read_dir(node.path.path().join("queue/blobs")).unwrap().count();
    assert_eq!(blobs, 0);
}

#[test]
fn a_missing_emptied_or_foreign_queue_is_rebuilt() {
    let node = Node::filled();
    std::fs::remove_dir_all(node.path.path().join("queue")).unwrap();
    assert_eq!(node.rebuilds(), "there was no queue");

    let node = Node::filled();
    std::fs::remove_file(node.path.path().join("queue.key")).unwrap();
    assert_eq!(node.rebuilds(), "the queue's key is missing or damaged");

    let node = Node::filled();
    std::fs::write(node.path.path().join("queue.key"), b"garbage").unwrap();
    node.rebuilds();

    let node = Node::filled();
    std::fs::remove_dir_all(node.path.path().join("queue")).unwrap();
    std::fs::write(node.path.path().join("queue"), b"a file").unwrap();
    node.rebuilds();

    let node = Node::filled();
    std::fs::remove_file(node.db()).unwrap();
    node.rebuilds();

    // Another node's queue: its rows do not open under this one's key.
    let (node, other) = (Node::filled(), Node::filled());
    std::fs::copy(other.db(), node.db()).unwrap();
    node.rebuilds();
}

#[test]
fn a_truncated_or_overwritten_queue_is_rebuilt_or_intact() {
    let intact = Node::filled();
    let bytes = std::fs::read(intact.db()).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for step in 0..12 {
        let cut = used * step / 12;
        for overwrite in [false, true] {
            let node = Node::new();
            crate::journal::tests::copy(intact.path.path(), node.path.path());
            let mut damaged = bytes.clone();
            if overwrite {
                damaged[cut..(cut + 512).min(used)].iter_mut().for_each(|byte| *byte ^= 0xa5);
            } else {
                damaged.truncate(cut);
            }
            std::fs::write(node.db(), damaged).unwrap();
            let (queue, state) =
                Queue::open(&DataDir::open(node.path.path()).unwrap(), &intact.keys, 8 << 20).unwrap();
            if let QueueState::Ready { applied } = state {
                // sled went back to an earlier moment: then wholly.
                assert_eq!(queue.rows(), applied.frame + 1);
                let rows = queue.scan(1, &[], None, 1000).unwrap();
                let expected: Vec<_> =
                    (0..=applied.frame).map(|n| (n.to_be_bytes().to_vec(), vec![n as u8; 300])).collect();
                assert_eq!(rows, expected);
            } else {
                assert_eq!(queue.rows(), 0);
            }
        }
    }
}

#[test]
fn a_row_changed_behind_the_queue_is_noticed() {
    for change in 0..3 {
        let node = Node::filled();
        let db = open::open(&node.path.path().join("queue"), 8 << 20).unwrap();
        let key = key_of(1, &3u64.to_be_bytes());
        match change {
            0 => drop(db.remove(&key).unwrap()),
            1 => drop(db.insert(&key, db.get(key_of(1, &4u64.to_be_bytes())).unwrap().unwrap()).unwrap()),
            _ => drop(db.insert(key_of(1, b"new"), db.get(&key).unwrap().unwrap()).unwrap()),
        }
        db.flush().unwrap();
        drop(db);
        assert_eq!(node.rebuilds(), "rows are missing or stale");
    }
}

#[test]
fn a_row_damaged_while_open_loses_the_queue() {
    let node = Node::filled();
    let dir = DataDir::open(node.path.path()).unwrap();
    let (queue, _) = Queue::open(&dir, &node.keys, 8 << 20).unwrap();
    let key = key_of(1, &3u64.to_be_bytes());
    let mut sealed = queue.0.db.get(&key).unwrap().unwrap().to_vec();
    sealed[30] ^= 1;
    queue.0.db.insert(&key, sealed).unwrap();
    let lost = QueueError::Lost { reason: "a row is damaged".to_owned() };
    assert_eq!(queue.get(1, &3u64.to_be_bytes()), Err(lost.clone()));
    assert_eq!(queue.get(1, &4u64.to_be_bytes()), Err(lost.clone()));
    assert_eq!(queue.checkpoint(), Ok(()), "nothing new to make durable");
    assert_eq!(queue.write(&put(1, 1, b""), at(900)), Err(lost));
    // A new one takes its place while the lost one is still held.
    let rebuilt = Queue::rebuild(&dir, &node.keys, 8 << 20).unwrap();
    drop(queue);
    rebuilt.write(&put(1, 1, b"again"), at(1)).unwrap();
    assert_eq!(rebuilt.rows(), 1);
}

#[test]
fn a_panic_inside_sled_loses_the_queue() {
    let node = Node::filled();
    let (queue, _) = node.open();
    let lost = queue.guard(|_| -> sled::Result<()> { panic!("as sled does") });
    assert_eq!(lost, Err(QueueError::Lost { reason: "sled panicked".to_owned() }));
    assert!(matches!(queue.scan(1, &[], None, 1), Err(QueueError::Lost { .. })));
}

#[test]
fn rotation_rewraps_the_key_and_keeps_the_rows() {
    let mut node = Node::filled();
    let old = node.keys.current();
    {
        let (queue, _) = node.open();
        node.keys.rotate();
        assert!(queue.rewrap(&node.keys).unwrap());
        assert!(!queue.rewrap(&node.keys).unwrap());
    }
    assert!(node.keys.forget(old));
    let (queue, state) = node.open();
    assert_eq!(state, QueueState::Ready { applied: at(499) });
    assert_eq!(queue.get(1, &9u64.to_be_bytes()).unwrap(), Some(vec![9; 300]));
    drop(queue);
    node.keys = AtRestKeys::from_key(9, [1; 32]);
    let opened = Queue::open(&DataDir::open(node.path.path()).unwrap(), &node.keys, 8 << 20);
    assert!(matches!(opened, Err(OpenError::KeyUnknown(..))));
}

#[derive(Clone, Debug)]
enum Step {
    Write { puts: Vec<(u8, u8)>, deletes: Vec<u8> },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let puts = prop::collection::vec((0u8..40, any::<u8>()), 0..6);
    let deletes = prop::collection::vec(0u8..40, 0..4);
    prop_oneof![
        8 => (puts, deletes).prop_map(|(puts, deletes)| Step::Write { puts, deletes }),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn behaves_like_a_map_across_restarts(steps in prop::collection::vec(step(), 1..40)) {
        let node = Node::new();
        let mut queue = node.open().0;
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut applied = None;
        for (n, step) in (0..).zip(steps) {
            match step {
                Step::Write { puts, deletes } => {
                    let rows = Rows {
                        puts: puts.iter().map(|(key, value)| (1, vec![*key], vec![*value; 50])).collect(),
                        deletes: deletes.iter().map(|key| (1, vec![*key])).collect(),
                    };
                    queue.write(&rows, at(n)).unwrap();
                    applied = Some(at(n));
                    deletes.iter().for_each(|key| drop(model.remove(&vec![*key])));
                    for (key, value) in puts {
                        model.insert(vec![key], vec![value; 50]);
                    }
                }
                Step::Reopen => {
                    drop(queue);
                    let (reopened, state) = node.open();
                    queue = reopened;
                    match applied {
                        Some(applied) => prop_assert_eq!(state, QueueState::Ready { applied }),
                        None => prop_assert!(matches!(state, QueueState::Rebuild { .. }), "{:?}", state),
                    }
                }
            }
            let rows = queue.scan(1, &[], None, 1000).unwrap();
            prop_assert_eq!(rows, model.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(queue.rows(), model.len() as u64);
        }
    }
}

#[test]
fn rows_written_ahead_are_there_and_the_position_is_the_one_before() {
    let node = Node::filled();
    let (queue, _) = node.open();
    queue.write_ahead(&put(2, 1, b"ahead")).unwrap();
    queue.write_ahead(&put(1, 7, b"changed")).unwrap();
    assert_eq!((queue.applied(), queue.rows()), (Some(at(499)), 501));
    queue.checkpoint().unwrap();
    drop(queue);
    let (queue, state) = node.open();
    assert_eq!(state, QueueState::Ready { applied: at(499) });
    assert_eq!(queue.get(2, &1u64.to_be_bytes()).unwrap(), Some(b"ahead".to_vec()));
    queue.write(&put(1, 7, b"changed"), at(500)).unwrap();
    assert_eq!((queue.applied(), queue.rows()), (Some(at(500)), 501));
    drop(queue);
    // In front of everything else they count for nothing.
    let node = Node::new();
    let (queue, _) = node.open();
    queue.write_ahead(&put(1, 1, b"ahead")).unwrap();
    drop(queue);
    node.rebuilds();
}
