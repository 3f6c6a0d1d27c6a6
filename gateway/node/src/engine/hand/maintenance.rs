//! What the node does by itself as days pass: publications end, payload is erased when its time has come, segments in
//! which nothing lives go with their keys. The clock is turned; nothing sleeps.

use super::recipient::{error, ops, stream};
use super::*;
use xinqiao_exchange::state::Table as Rows;

impl Hand {
    /// Days pass, each with a round of upkeep.
    fn live(&mut self, days: i64) {
        for _ in 0..days {
            self.pass(1);
            self.sweep();
        }
    }

    /// The files of a segment, in the journal and in the archive.
    fn files_of(&self, segment: u64) -> Vec<String> {
        let parts = ["journal", "evidence"].map(|part| self.dir.path().join("data").join(part));
        let files = parts.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap());
        let mut names: Vec<String> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.starts_with(&format!("{segment:016x}.")));
        names.sort();
        names
    }
}

#[test]
fn a_publication_ends_after_its_last_day_where_it_was_public_and_nowhere_else() {
    let mut hand = Hand::new();
    let (over, lasting) = (hand.put_published(1), hand.put_published(400));
    assert_eq!((hand.take(PORTAL).len(), hand.take(PROVINCE).len()), (2, 2));
    hand.live(1);
    assert_eq!(hand.take(PORTAL).len(), 0, "it stands on its last day");
    hand.live(1);
    let lines = hand.take(PORTAL);
    assert_eq!(lines.len(), 1);
    assert_eq!(ops(&lines, &hand.key_of(&over.reference, PORTAL)), ["withdraw"]);
    assert_eq!(lines[0]["data"]["reason"], "publication-ended");
    assert_eq!(hand.take(PROVINCE).len(), 0, "for an authority nothing ended");
    hand.live(3);
    assert_eq!(hand.take(PORTAL).len(), 0, "once");
    assert_eq!(hand.stands(&lasting.submission, PORTAL)["state"], "acknowledged");
    assert_eq!(hand.feedback().len(), 0, "nothing the source has to do");
}

#[test]
fn a_publication_that_was_prolonged_ends_on_its_new_day() {
    let mut hand = Hand::new();
    let record = hand.new_record();
    let until = |hand: &Hand, days: i32| {
        let mut end = Vec::new();
        hand.node.business_date().plus_days(days).unwrap().write_slash(&mut end);
        let mut record = record.clone();
        record.set("CF_GSJZQ", String::from_utf8(end).unwrap());
        record
    };
    let first = until(&hand, 1);
    let put = hand.put_record(&first);
    hand.take(PORTAL);
    let second = until(&hand, 5);
    hand.put_record(&second);
    hand.take(PORTAL);
    hand.live(5);
    assert_eq!(hand.take(PORTAL).len(), 0, "the newer version counts");
    hand.live(1);
    assert_eq!(ops(&hand.take(PORTAL), &hand.key_of(&put.reference, PORTAL)), ["withdraw"]);
}

#[test]
fn a_publication_is_prolonged_by_a_record_that_is_under_way_when_it_ends_and_by_one_in_the_other_lane() {
    for load in [Load::Daily, Load::History] {
        let mut hand = Hand::new();
        let mut record = hand.new_record();
        let until = |hand: &Hand, days: i32| {
            let mut end = Vec::new();
            hand.node.business_date().plus_days(days).unwrap().write_slash(&mut end);
            String::from_utf8(end).unwrap()
        };
        record.set("CF_GSJZQ", until(&hand, 1));
        let put = hand.put_record(&record);
        hand.take(PORTAL);
        hand.pass(2);
        record.set("CF_GSJZQ", until(&hand, 400));
        let head = Head { load, ..hand.head(Op::Put) };
        let prolonged = hand.send(head, body(&record));
        hand.until_waiting(1);
        // The end draws its rev, and the record that was judged before is committed only then.
        let drawn = || hand.node.revs.load(std::sync::atomic::Ordering::SeqCst);
        let before = drawn();
        let node = hand.node.clone();
        let ending = hand.runtime.spawn_blocking(move || node.end_publications());
        hand.until(|| drawn() > before);
        hand.finish(ending);
        assert_eq!(hand.response(prolonged).unwrap()["accepted"], 1);
        let key = hand.key_of(&put.reference, PORTAL);
        let wanted: &[&str] = if load == Load::Daily { &["put"] } else { &[] };
        assert_eq!(ops(&hand.take(PORTAL), &key), wanted, "{load:?}");
        hand.sweep();
        assert_eq!(hand.take(PORTAL).len(), 0, "nor in a later round");
    }
}

#[test]
fn ends_of_a_stream_without_recipient_keep_nobody_from_theirs() {
    let recipient = |name: &str| {
        format!(
            "[[recipients]]\nmember = \"{name}\"\npolicy = \"portal-public\"\nencoding = \"gzip\"\n\
             datasets = {{ {DATASET} = \"administrative-penalty-2020\" }}\n"
        )
    };
    let mut hand = Hand::with(|text| {
        assert!(text.contains(&recipient(PORTAL)));
        let gazette =
            "[[members]]\nname = \"gazette\"\nrole = \"recipient\"\n".to_owned() + &recipient("gazette");
        text + &gazette
    });
    for _ in 0..1_000 {
        hand.put_published(1);
    }
    assert_eq!(hand.take("gazette").len(), 1_000);
    let mut hand = hand.crash_and(|dir| {
        let path = dir.join("node.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace(&recipient(PORTAL), "")).unwrap();
    });
    hand.live(3);
    assert_eq!(hand.take("gazette").len(), 1_000, "each is withdrawn");
}

#[test]
fn an_end_that_its_recipient_refuses_is_no_news_of_nobody() {
    let mut hand = Hand::new();
    hand.put_published(1);
    hand.take(PORTAL);
    hand.live(2);
    let batch = hand.list(PORTAL, 1).unwrap().remove(0);
    hand.fetch(PORTAL, &batch).unwrap();
    let said = hand.answer_of(PORTAL, &batch, vec![error(0)]);
    hand.acknowledge(PORTAL, said).unwrap();
    assert_eq!(crate::engine::rows::all(&hand.node.queue(), Rows::Feedback).unwrap().len(), 0);
}

#[test]
fn an_answered_payload_is_erased_after_its_retention_and_its_evidence_stays() {
    let mut hand = Hand::new();
    let put = hand.put();
    assert_eq!(hand.take(PROVINCE).len(), 1);
    let batch = hand.list(PROVINCE, 0).unwrap().remove(0);
    hand.live(29);
    assert_eq!(hand.fetch(PROVINCE, &batch).unwrap().len(), 1);
    hand.live(2);
    assert_eq!(code(hand.fetch(PROVINCE, &batch)), RefusalCode::BatchExpired);
    let listed = hand.list(PROVINCE, 0).unwrap();
    assert_eq!(listed[0].digest(), batch.digest(), "the manifest and its proof are kept");
    assert_eq!(hand.stands(&put.submission, PROVINCE)["state"], "acknowledged");
    let mut hand = hand.crash();
    assert_eq!(code(hand.fetch(PROVINCE, &batch)), RefusalCode::BatchExpired);
    assert_eq!(hand.list(PROVINCE, 0).unwrap()[0].digest(), batch.digest());
}

#[test]
fn a_payload_nobody_answered_is_erased_at_its_greatest_age_and_not_before_and_its_source_is_told() {
    let mut hand = Hand::new();
    let put = hand.put();
    hand.list(PORTAL, 0).unwrap();
    let batch = hand.list(PROVINCE, 0).unwrap().remove(0);
    hand.pass(179);
    hand.sweep();
    assert_eq!(hand.fetch(PROVINCE, &batch).unwrap().len(), 1);
    hand.pass(2);
    hand.sweep();
    assert_eq!(code(hand.fetch(PROVINCE, &batch)), RefusalCode::BatchExpired);
    let states = |hand: &Hand| [PROVINCE, PORTAL].map(|r| hand.stands(&put.submission, r)["state"].clone());
    assert_eq!(states(&hand), ["expired", "expired"], "nothing waits any more");
    let news = hand.feedback();
    let mut told: Vec<String> = news.iter().map(|f| format!("{} {}", f["code"], f["ref"])).collect();
    told.sort();
    let reference = &put.reference;
    // The province fetched it, the portal did not.
    let codes = ["retention.expired", "retention.unanswered"];
    assert_eq!(told, codes.map(|code| format!("{:?} {reference:?}", code)));
    hand.sweep();
    assert_eq!(hand.feedback().len(), 2, "told once");
    // That it was handed out is known; the answer may still come.
    let said = hand.answer_of(PROVINCE, &batch, Vec::new());
    assert_eq!(hand.acknowledge(PROVINCE, said).unwrap()["repeated"], false);
    assert_eq!(states(&hand), ["acknowledged", "expired"]);
}

#[test]
fn what_nobody_collects_in_time_gives_way_to_a_signed_void_and_its_source_is_told() {
    let mut hand = Hand::new();
    let old = hand.put();
    hand.pass(100);
    // What lives in a mostly dead segment is carried over, and grows no younger by it.
    hand.live(2);
    let young = hand.put();
    hand.pass(77);
    hand.sweep();
    assert_eq!(hand.feedback().len(), 0, "179 days");
    hand.live(2);
    let news = hand.feedback();
    let told: Vec<(&Value, &Value)> = news.iter().map(|f| (&f["code"], &f["ref"])).collect();
    assert_eq!(told, [(&json!("retention.expired"), &json!(old.reference)); 2], "once for each stream");
    let batches = hand.list(PROVINCE, 0).unwrap();
    let said: Vec<_> = batches.iter().map(|b| (b.manifest().seq, b.manifest().records)).collect();
    assert_eq!(said, [(1, 0), (2, 1)]);
    assert_eq!(batches[0].manifest().void.as_deref(), Some("retention"));
    assert_eq!(code(hand.fetch(PROVINCE, &batches[0])), RefusalCode::BatchVoid);
    assert_eq!(hand.fetch(PROVINCE, &batches[1]).unwrap()[0]["key"], hand.key_of(&young.reference, PROVINCE));
    let metrics = hand.node.metrics.0.render();
    assert!(metrics.contains("xinqiao_retention_overdue_records{"), "it is an alarm");
    assert_eq!(hand.stands(&old.submission, PROVINCE)["state"], "dropped");
}

#[test]
fn a_segment_in_which_nothing_lives_is_archived_its_key_destroyed_and_its_rows_leave_the_queue() {
    let mut hand = Hand::new();
    let put = hand.put();
    hand.take(PROVINCE);
    hand.take(PORTAL);
    let (index, _) = put.submission.split_once('-').unwrap();
    let index: u64 = index.parse().unwrap();
    let receipt = hand.node.rebuild_response(index).unwrap();
    hand.live(29);
    // Where the payload is on its last days; it may have been carried there.
    let row = hand.node.head(&stream(PROVINCE)).unwrap();
    let segment = hand.node.batch(&row, 1).unwrap().parts[0].volume();
    assert!(hand.files_of(segment).contains(&format!("{segment:016x}.seg")));
    hand.live(5);
    assert_eq!(hand.node.overdue(), None);
    let files = hand.files_of(segment);
    let left = |suffix: &str| files.contains(&format!("{segment:016x}.{suffix}"));
    assert!(left("arc") && !left("seg"), "{files:?}");
    assert!(hand.node.segments().iter().all(|s| s.segment > segment));
    let journal = hand.dir.path().join("data/journal");
    assert!(!journal.join(format!("{segment:016x}.key")).exists(), "the key of its payload is destroyed");
    let of_it = crate::engine::rows::all(&hand.node.queue(), Rows::GroupChunk).unwrap();
    assert_eq!(of_it.len(), 0, "what delivery no longer needs stands in an index");
    // What was known is known, from the archive and the index, and after the queue is built again.
    let known = |hand: &mut Hand| {
        let batch = hand.list(PROVINCE, 0).unwrap()[0].digest();
        (hand.stands(&put.submission, PROVINCE)["state"].clone(), batch, hand.node.rebuild_response(index))
    };
    let before = known(&mut hand);
    assert_eq!((&before.0, before.2.as_ref()), (&json!("acknowledged"), Some(&receipt)));
    let rows = hand.rows();
    let mut hand = hand.crash_and(|dir| std::fs::remove_dir_all(dir.join("data/queue")).unwrap());
    assert!(hand.node.trouble().rebuilt.is_some());
    assert_eq!(hand.rows(), rows, "built from the snapshot and what follows it");
    assert_eq!(known(&mut hand), before);
}

#[test]
fn what_lives_in_a_dead_segment_is_carried_over_and_still_delivered() {
    let mut hand = Hand::new();
    for _ in 0..12 {
        hand.put();
    }
    hand.take(PROVINCE);
    hand.take(PORTAL);
    let waiting = hand.put();
    let segment = hand.node.segments()[0].segment;
    hand.live(34);
    assert!(hand.node.segments().iter().all(|s| s.segment > segment), "{:?}", hand.node.segments());
    assert_eq!(hand.node.overdue(), None);
    for recipient in [PROVINCE, PORTAL] {
        let lines = hand.take(recipient);
        assert_eq!(ops(&lines, &hand.key_of(&waiting.reference, recipient)), ["put"]);
    }
    assert_eq!(hand.node.head(&stream(PROVINCE)).unwrap().acknowledged_records, 13);
}

#[test]
fn upkeep_on_a_disk_that_fails_loses_nothing_and_is_tried_again() {
    let mut hand = Hand::new();
    hand.put_published(1);
    hand.take(PORTAL);
    hand.take(PROVINCE);
    hand.pass(31);
    hand.disk.fail_next_sync();
    // The first frame of the round fails: the end of publication. What follows is written.
    hand.sweep();
    assert_eq!(hand.list(PORTAL, 1).unwrap().len(), 0);
    hand.sweep();
    assert_eq!(hand.take(PORTAL).len(), 1, "the publication ends in the next round");
    let batch = hand.list(PROVINCE, 0).unwrap().remove(0);
    assert_eq!(code(hand.fetch(PROVINCE, &batch)), RefusalCode::BatchExpired);
}
