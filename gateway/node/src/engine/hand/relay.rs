//! Two nodes driven by hand, one taking the batches of the other: what is taken is committed with the place reached and
//! the answer to give, and lines keep the way they came. Pulling and answering are the relay's state machine
//! (`gateway/server/src/links/relay/machine.rs`).

use super::recipient::{history, ops, stream};
use super::*;
use crate::engine::relayed::RelayRefusal;
use xinqiao_evidence::acknowledgement::Acknowledgement;
use xinqiao_evidence::manifest::VerifiedManifest;
use xinqiao_exchange::names::StreamId;

const CITY: &str = "demo.example/350200-credit";

/// The node of the province, whose only source is the city's.
fn province() -> Hand {
    Hand::with(|text| {
        let text = text.replace(CITY, "demo.example/350000-credit").replace(
            &format!("name = \"{DEPARTMENT}\"\nrole = \"department\""),
            "name = \"city\"\nrole = \"node\"",
        );
        let of = stream(PROVINCE);
        text + &format!(
            "[[upstreams]]\nmember = \"city\"\nnode = \"{CITY}\"\nurl = \"https://127.0.0.1:1\"\n\
             authorities = \"none.crt\"\nkeys = \"none.json\"\nstreams = [\"{of}\"]\n"
        )
    })
}

impl Hand {
    /// The next batch of the city's stream for the province, with its lines.
    fn for_province(&mut self, after: u64) -> (VerifiedManifest, Bytes) {
        let batch = self.list(PROVINCE, after).unwrap().remove(0);
        let lines = self.payload(PROVINCE, &batch).unwrap();
        (batch, lines.into())
    }

    /// Takes a batch of the city; nothing is committed before the next step.
    fn takes(
        &self,
        (batch, lines): (VerifiedManifest, Bytes),
    ) -> JoinHandle<Result<Acknowledgement, RelayRefusal>> {
        let node = self.node.clone();
        let upstream = node.config.upstreams[0].clone();
        let of = StreamId::parse(&batch.manifest().stream).unwrap();
        self.runtime.spawn(async move { node.take_relayed(&upstream, &of, &batch, lines).await })
    }

    /// Sends this version of a record in a lane.
    fn put_version(&mut self, record: &Record, load: Load) {
        let head = Head { load, ..self.head(Op::Put) };
        assert_eq!(self.take_body(head, body(record)).unwrap()["accepted"], 1);
    }
}

/// The document number that stands, by docs/recipients.md.
fn standing(lines: &[Value]) -> Option<Value> {
    let last = lines.iter().max_by_key(|line| line["rev"].as_u64())?;
    last["data"].get("CF_WSH").cloned()
}

#[test]
fn a_batch_of_an_upstream_is_committed_together_with_its_place_and_the_answer_to_give() {
    let (mut city, mut province) = (Hand::new(), province());
    city.put();
    city.put();
    let batch = city.for_province(0);
    let digest = batch.0.digest().to_hex();
    let taking = province.takes(batch);
    province.until_waiting(1);
    let of = stream(PROVINCE);
    assert_eq!(province.node.relayed("city", &of).seq, 0, "not before it is committed");
    let response = province.finish(taking).unwrap();
    let place = province.node.relayed("city", &of);
    assert_eq!((place.seq, place.epoch, &place.digest), (1, 1, &digest));
    assert_eq!(province.node.relayed_acknowledgement(&of, &place), Ok(Some(response.to_json())));
    // The answer is one the upstream takes.
    let told = city.acknowledge(PROVINCE, response).unwrap();
    assert_eq!((&told["outcome"], &told["repeated"]), (&json!("accepted"), &json!(false)));
    // A crash before it was given: place, answer and lines are there.
    let mut province = province.crash();
    assert_eq!(province.node.relayed("city", &of), place);
    assert!(province.node.relayed_acknowledgement(&of, &place).is_ok_and(|response| response.is_some()));
    assert_eq!(province.take(PORTAL).len(), 2);
}

#[test]
fn what_could_not_be_committed_moves_no_place_and_is_taken_again() {
    let (mut city, mut province) = (Hand::new(), province());
    city.put();
    let batch = city.for_province(0);
    province.disk.fail_next_sync();
    let taking = province.takes(batch.clone());
    let refused = province.finish(taking).unwrap_err();
    assert_eq!(refused, RelayRefusal::Commit(crate::engine::CommitError::OutcomeUnknown));
    assert_eq!(province.node.relayed("city", &stream(PROVINCE)).seq, 0);
    let taking = province.takes(batch);
    province.finish(taking).unwrap();
    assert_eq!(province.node.relayed("city", &stream(PROVINCE)).seq, 1);
    assert_eq!(province.take(PORTAL).len(), 1, "once");
}

#[test]
fn puts_and_recalls_name_the_nodes_they_came_through_and_get_revs_of_this_node() {
    let (mut city, mut province) = (Hand::new(), province());
    // A relay that has drawn other revs than its upstream.
    province.node.revs.fetch_add(1_000, std::sync::atomic::Ordering::SeqCst);
    let put = city.put();
    let mut before: Option<Value> = None;
    let mut last = 1_000;
    for (after, op) in [(0, "put"), (1, "dispute"), (2, "repair")] {
        match op {
            "dispute" => drop(city.recall(Op::Dispute, &put.reference)),
            "repair" => drop(city.recall(Op::Repair, &put.reference)),
            _ => {}
        }
        let batch = city.for_province(after);
        let sent: Value = serde_json::from_slice(batch.1.strip_suffix(b"\n").unwrap()).unwrap();
        let taking = province.takes(batch);
        province.finish(taking).unwrap();
        let lines = province.take(PROVINCE);
        assert_eq!(lines.len(), 1, "{op}");
        assert_eq!((&lines[0]["op"], &lines[0]["via"]), (&json!(op), &json!([CITY])));
        let rev = lines[0]["rev"].as_u64().unwrap();
        assert!(sent["via"] == json!([]) && rev > last && rev > sent["rev"].as_u64().unwrap(), "{lines:?}");
        last = rev;
        let key = before.get_or_insert_with(|| lines[0]["key"].clone());
        assert_eq!(ops(&lines, key), [op], "the same record under one key");
        assert_ne!(*key, sent["key"], "and not under the city's");
    }
}

#[test]
fn an_older_version_of_the_other_lane_never_stands_however_both_are_committed() {
    for (older_first, restart) in [(true, false), (false, false), (false, true)] {
        let (mut city, mut province) = (Hand::new(), province());
        let mut record = city.new_record();
        record.set("CF_WSH", "样罚〔2026〕1号");
        city.put_version(&record, Load::History);
        record.set("CF_WSH", "样罚〔2026〕2号");
        city.put_version(&record, Load::Daily);
        let newer = city.for_province(0);
        let older = city.list_of(PROVINCE, history(PROVINCE), 0).unwrap().remove(0);
        let lines = city.payload(PROVINCE, &older).unwrap();
        let mut batches = [(older, lines.into()), newer];
        if !older_first {
            batches.reverse();
        }
        if restart {
            let [newer, older] = batches;
            let taking = province.takes(newer);
            province.finish(taking).unwrap();
            province = province.crash();
            let taking = province.takes(older);
            province.finish(taking).unwrap();
        } else {
            // Both are judged before either is committed.
            let taking: Vec<_> = (1..)
                .zip(batches)
                .map(|(n, batch)| {
                    let taking = province.takes(batch);
                    province.until_waiting(n);
                    taking
                })
                .collect();
            for taking in taking {
                province.finish(taking).unwrap();
            }
        }
        let mut lines = province.take(PROVINCE);
        if province.node.head(&history(PROVINCE)).is_some() {
            for batch in province.list_of(PROVINCE, history(PROVINCE), 0).unwrap() {
                lines.extend(province.fetch(PROVINCE, &batch).unwrap());
            }
        }
        assert_eq!(standing(&lines), Some(json!("样罚〔2026〕2号")), "{older_first} {restart}: {lines:#?}");
    }
}

#[test]
fn a_correction_stands_at_the_portal_behind_the_relay_s_own_end_of_publication() {
    for restart in [false, true] {
        let (mut city, mut province) = (Hand::new(), province());
        province.node.revs.fetch_add(1_000, std::sync::atomic::Ordering::SeqCst);
        let mut record = city.new_record();
        let until = |hand: &Hand, days| {
            let mut end = Vec::new();
            hand.node.business_date().plus_days(days).unwrap().write_slash(&mut end);
            String::from_utf8(end).unwrap()
        };
        record.set("CF_GSJZQ", until(&city, 1));
        city.put_record(&record);
        let batch = city.for_province(0);
        let taking = province.takes(batch);
        province.finish(taking).unwrap();
        let mut lines = province.take(PORTAL);
        province.pass(2);
        province.sweep();
        lines.extend(province.take(PORTAL));
        assert_eq!(standing(&lines), None, "{lines:#?}");
        if restart {
            province = province.crash();
        }
        record.set("CF_GSJZQ", until(&city, 900));
        city.put_record(&record);
        let batch = city.for_province(1);
        let taking = province.takes(batch);
        province.finish(taking).unwrap();
        lines.extend(province.take(PORTAL));
        assert!(standing(&lines).is_some(), "{lines:#?}");
    }
}

#[test]
fn revs_go_on_where_an_earlier_version_noted_one_that_is_none() {
    use std::sync::atomic::Ordering;
    use xinqiao_exchange::revs;
    let mut hand = Hand::new();
    hand.put();
    hand.node.revs.store(u64::MAX - 10, Ordering::SeqCst);
    hand.put();
    let mut last = revs::HIGHEST_FOLLOWED;
    for _ in 0..2 {
        hand = hand.crash();
        let seen = hand.take(PROVINCE).len();
        assert_eq!(seen, if last == revs::HIGHEST_FOLLOWED { 2 } else { 0 });
        hand.put();
        let rev = hand.take(PROVINCE)[0]["rev"].as_u64().unwrap();
        assert!(rev > last && rev < revs::HIGHEST_TAKEN, "{rev}");
        last = rev;
    }
}
