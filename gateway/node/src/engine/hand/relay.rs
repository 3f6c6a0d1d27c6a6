//! Two nodes driven by hand, one taking the batches of the other: what is taken is committed with the place reached and
//! the answer to give, and lines keep the way they came. Pulling and answering are the relay's state machine
//! (`gateway/server/src/links/relay/machine.rs`).

use super::recipient::{ops, stream};
use super::*;
use crate::engine::relayed::RelayRefusal;
use xinqiao_evidence::acknowledgement::Acknowledgement;
use xinqiao_evidence::manifest::VerifiedManifest;

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
        self.runtime
            .spawn(async move { node.take_relayed(&upstream, &stream(PROVINCE), &batch, lines).await })
    }
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
fn puts_and_recalls_name_the_nodes_they_came_through_and_keep_their_rev() {
    let (mut city, mut province) = (Hand::new(), province());
    let put = city.put();
    let mut before: Option<Value> = None;
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
        assert_eq!((&sent["via"], &lines[0]["rev"]), (&json!([]), &sent["rev"]));
        let key = before.get_or_insert_with(|| lines[0]["key"].clone());
        assert_eq!(ops(&lines, key), [op], "the same record under one key");
        assert_ne!(*key, sent["key"], "and not under the city's");
    }
}
