//! A disk that fails when told to, and what the node promises then: nobody hears of success that is not on the disk, the
//! segment that failed is never written again, and what was acknowledged is there after a crash.

use super::recipient::stream;
use super::*;
use crate::engine::CommitError;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, ErrorKind};
use xinqiao_store::{Disk, RealDisk};

/// The real disk, until a failure is planned.
#[derive(Debug, Default)]
pub(super) struct FailingDisk {
    /// The next write stores this many bytes and then fails.
    short: Mutex<Option<(usize, ErrorKind)>>,
    /// The next sync fails; what was written is there or not, as on a real disk.
    sync: Mutex<bool>,
    /// No space can be had, from now on.
    full: Mutex<bool>,
}

impl FailingDisk {
    /// The next sync fails.
    pub(super) fn fail_next_sync(&self) {
        *self.sync.lock() = true;
    }

    /// Forgets what was planned.
    pub(super) fn mend(&self) {
        (*self.short.lock(), *self.sync.lock(), *self.full.lock()) = (None, false, false);
    }
}

impl Disk for FailingDisk {
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some((stored, kind)) = self.short.lock().take() {
            RealDisk.write_all_at(file, &bytes[..stored.min(bytes.len())], offset)?;
            return Err(kind.into());
        }
        RealDisk.write_all_at(file, bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        if std::mem::take(&mut *self.sync.lock()) {
            return Err(ErrorKind::Other.into());
        }
        RealDisk.sync_data(file)
    }

    fn allocate(&self, file: &File, offset: u64, len: u64) -> io::Result<()> {
        match *self.full.lock() {
            true => Err(ErrorKind::StorageFull.into()),
            false => RealDisk.allocate(file, offset, len),
        }
    }
}

impl Hand {
    fn newest_segment(&self) -> u64 {
        self.node.segments().last().map_or(0, |s| s.segment)
    }
}

#[test]
fn a_failed_sync_is_answered_as_unknown_to_everyone_in_the_group_and_its_segment_is_left() {
    let mut hand = Hand::new();
    hand.put();
    let batch = hand.list(PROVINCE, 0).unwrap().remove(0);
    hand.fetch(PROVINCE, &batch).unwrap();
    let (size, segment, rows) = (hand.node.log_size(), hand.newest_segment(), hand.rows());
    let (record, other) = (hand.record(), hand.record());
    let first = hand.send(hand.head_under(Op::Put, 71), record.clone());
    let second = hand.send(hand.head_under(Op::Put, 72), other);
    let answered = hand.give(PROVINCE, hand.answer_of(PROVINCE, &batch, Vec::new()));
    hand.until_waiting(3);
    hand.disk.fail_next_sync();
    assert_eq!(hand.step(), Step::Done);
    for sent in [first, second] {
        assert_eq!(code(hand.response(sent)), RefusalCode::OutcomeUnknown);
    }
    assert_eq!(code(hand.finish(answered)), RefusalCode::OutcomeUnknown);
    assert_eq!(hand.node.trouble().append, Some(CommitError::OutcomeUnknown), "it is not ready");
    assert_eq!((hand.node.log_size(), hand.rows()), (size, rows), "nothing of it counts");

    // The same key again: committed once, in another segment, and the node is ready.
    let told = hand.take_body(hand.head_under(Op::Put, 71), record.clone()).unwrap();
    assert_eq!(told["accepted"], 1);
    assert_eq!((hand.node.log_size(), hand.node.trouble().append), (size + 1, None));
    assert_eq!(hand.newest_segment(), segment + 1, "a segment whose sync failed is not written again");

    // The frame of the failed sync is void though its bytes may be there whole.
    let mut hand = hand.crash();
    assert_eq!(hand.node.log_size(), size + 1);
    assert_eq!(hand.take_body(hand.head_under(Op::Put, 71), record).unwrap(), told, "answered as before");
    assert_eq!(hand.node.log_size(), size + 1, "and not taken twice");
    assert_eq!(hand.list(PROVINCE, 1).unwrap()[0].manifest().records, 1, "its line is there once");
}

#[test]
fn a_frame_whose_sync_failed_before_a_crash_is_taken_once_whether_or_not_it_is_there() {
    for lost in [false, true] {
        let mut hand = Hand::new();
        hand.put();
        let (size, segment) = (hand.node.log_size(), hand.newest_segment());
        let path = |dir: &Path| dir.join(format!("data/journal/{segment:016x}.seg"));
        let before = std::fs::read(path(hand.dir.path())).unwrap();
        let record = hand.record();
        hand.disk.fail_next_sync();
        let sent = hand.take_body(hand.head_under(Op::Put, 71), record.clone());
        assert_eq!(code(sent), RefusalCode::OutcomeUnknown);
        // What a power cut makes of pages that were never synced.
        let mut hand = hand.crash_and(|dir| {
            if lost {
                std::fs::write(path(dir), before).unwrap();
            }
        });
        assert_eq!(hand.node.trouble().failed, [""; 0], "lost: {lost}");
        let told = hand.take_body(hand.head_under(Op::Put, 71), record.clone()).unwrap();
        assert_eq!(hand.node.log_size(), size + 1, "once, lost: {lost}");
        let mut hand = hand.crash();
        assert_eq!(hand.take_body(hand.head_under(Op::Put, 71), record).unwrap(), told);
        assert_eq!(hand.list(PROVINCE, 0).unwrap()[0].manifest().records, 2);
    }
}

#[test]
fn a_short_write_is_never_a_frame_and_nothing_acknowledged_is_lost_with_it() {
    for (stored, kind) in
        [(0, ErrorKind::Other), (1, ErrorKind::Other), (200, ErrorKind::StorageFull), (900, ErrorKind::Other)]
    {
        let mut hand = Hand::new();
        let kept = hand.put();
        let (size, rows) = (hand.node.log_size(), hand.rows());
        *hand.disk.short.lock() = Some((stored, kind));
        let (head, record) = (hand.head(Op::Put), hand.record());
        let wanted = match kind {
            ErrorKind::StorageFull => RefusalCode::DiskFull,
            _ => RefusalCode::OutcomeUnknown,
        };
        assert_eq!(code(hand.take_body(head, record)), wanted, "{stored} bytes");
        assert_eq!((hand.node.log_size(), hand.rows()), (size, rows));
        // Torn at the end of the journal, and torn with frames behind it: both are recovered.
        let mut hand = hand.crash();
        assert_eq!(hand.node.log_size(), size, "{stored} bytes");
        assert_eq!(hand.stands(&kept.submission, PROVINCE)["state"], "queued");
        hand.put();
        *hand.disk.short.lock() = Some((stored, kind));
        let (head, record) = (hand.head(Op::Put), hand.record());
        assert_eq!(code(hand.take_body(head, record)), wanted);
        let after = hand.put();
        let mut hand = hand.crash();
        assert_eq!(hand.node.log_size(), size + 2);
        let lines = hand.take(PROVINCE);
        assert_eq!(lines.len(), 3, "what was acknowledged, and nothing else");
        assert_eq!(hand.stands(&after.submission, PROVINCE)["state"], "acknowledged");
    }
}

#[test]
fn a_segment_that_cannot_be_opened_is_no_frame_and_the_next_one_is_tried() {
    let mut hand = Hand::new();
    hand.put();
    let size = hand.node.log_size();
    hand.committer.journal.roll();
    // The segment's header is the first write.
    *hand.disk.short.lock() = Some((10, ErrorKind::PermissionDenied));
    let (head, record) = (hand.head(Op::Put), hand.record());
    assert_eq!(
        code(hand.take_body(head, record)),
        RefusalCode::DiskFailed,
        "and not unknown: nothing is stored"
    );
    assert_eq!(hand.node.trouble().append, Some(CommitError::Unavailable));
    let hand = hand.crash();
    assert_eq!((hand.node.log_size(), hand.node.trouble().failed), (size, vec![]));
}

#[test]
fn a_full_disk_refuses_what_is_new_serves_what_is_there_and_is_forgotten_once_there_is_space() {
    let mut hand = Hand::new();
    hand.put();
    let batch = hand.list(PROVINCE, 0).unwrap().remove(0);
    hand.fetch(PROVINCE, &batch).unwrap();
    let size = hand.node.log_size();
    // The next frame wants a segment of its own, and that wants space.
    hand.committer.journal.roll();
    *hand.disk.full.lock() = true;
    for _ in 0..2 {
        let (head, record) = (hand.head(Op::Put), hand.record());
        assert_eq!(code(hand.take_body(head, record)), RefusalCode::DiskFull);
        let said = hand.answer_of(PROVINCE, &batch, Vec::new());
        assert_eq!(code(hand.acknowledge(PROVINCE, said)), RefusalCode::DiskFull);
    }
    assert_eq!(hand.node.trouble().append, Some(CommitError::DiskFull), "it is not ready");
    assert_eq!(hand.node.log_size(), size);
    assert_eq!(hand.fetch(PROVINCE, &batch).unwrap().len(), 1, "what is there is served");
    assert_eq!(hand.node.head(&stream(PROVINCE)).unwrap().acknowledged_batches, 0);

    *hand.disk.full.lock() = false;
    hand.node.look_for_space();
    assert_eq!(hand.node.trouble().append, None, "nobody need send for the node to be ready");
    hand.put();
    let said = hand.answer_of(PROVINCE, &batch, Vec::new());
    assert_eq!(hand.acknowledge(PROVINCE, said).unwrap()["repeated"], false);
    let mut hand = hand.crash();
    hand.taken.insert(PROVINCE, 1);
    assert_eq!(hand.take(PROVINCE).len(), 1);
    assert_eq!(hand.node.head(&stream(PROVINCE)).unwrap().acknowledged_batches, 2);
}
