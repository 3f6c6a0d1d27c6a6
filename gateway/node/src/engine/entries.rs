//! Log entries: what the node says happened, in the words of the evidence crate.

use super::Node;
use super::pieces::in_pieces;
use xinqiao_evidence::acknowledgement::Acknowledgement;
use xinqiao_evidence::entry::{Counts, Entry, Event, HoldState, WithheldState};
use xinqiao_evidence::receipt::Salt;
use xinqiao_evidence::timestamp::Timestamp;
use xinqiao_evidence::{Digest, Digests};
use xinqiao_exchange::accept::Prepared;
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::op::{Load, Op};
use xinqiao_store::LogFiles;

/// By whom a thing was done that the node does by itself, and the member name under which its own withdrawals stand.
pub const OWN: &str = "node";

/// What the entry of a submission says.
pub(super) struct SubmissionEntry<'a> {
    pub(super) member: &'a str,
    pub(super) dataset: &'a str,
    pub(super) schema: &'a str,
    pub(super) op: Op,
    pub(super) load: Load,
    pub(super) strict: bool,
    pub(super) time: i64,
    pub(super) prepared: &'a Prepared,
    pub(super) salt: &'a Salt,
    pub(super) body: &'a [u8],
}

/// The entry of a submission. Digests of what was submitted are salted: identity numbers could be guessed.
pub(super) fn submission(node: &Node, s: &SubmissionEntry<'_>) -> Vec<u8> {
    let salted = |bytes: &[u8]| {
        let mut hasher = s.salt.hasher();
        in_pieces(bytes, |piece| hasher.update(piece));
        Digests::sha256(hasher.finish())
    };
    write(
        node,
        s.time,
        Event::Submission {
            member: s.member.into(),
            dataset: s.dataset.into(),
            schema: s.schema.into(),
            op: s.op.name().into(),
            load: s.load.name().into(),
            handling: s.strict.then(|| "strict".into()),
            counts: Counts {
                accepted: u64::from(s.prepared.accepted),
                refused: u64::from(s.prepared.refused),
                warned: u64::from(s.prepared.warned),
            },
            body_digest: salted(s.body),
            rejected_digest: salted(s.prepared.rejected.as_bytes()),
        },
    )
}

/// A recipient answered.
pub(super) fn acknowledgement(
    node: &Node,
    stream: &StreamId,
    acknowledgement: &Acknowledgement,
    digest: Digest,
) -> Vec<u8> {
    let event = Event::Acknowledgement {
        member: stream.recipient().into(),
        stream: stream.as_str().into(),
        seq: acknowledgement.seq,
        manifest_digest: acknowledgement.manifest_digest.clone(),
        outcome: acknowledgement.outcome,
        errors: acknowledgement.errors.len() as u64,
        ack_digest: Digests::sha256(digest),
    };
    write(node, node.clock.now(), event)
}

/// Records were withheld, let go or thrown away.
pub fn withheld(
    node: &Node,
    stream: &StreamId,
    state: WithheldState,
    records: u64,
    by: &str,
    reason: &str,
) -> Vec<u8> {
    let event = Event::Withheld {
        stream: stream.as_str().into(),
        withheld: state,
        records,
        by: by.into(),
        reason: reason.into(),
    };
    write(node, node.clock.now(), event)
}

/// A batch became void, or its payload was erased.
pub(super) fn void(node: &Node, stream: &StreamId, seq: u64, digest: &Digest, reason: &str) -> Vec<u8> {
    let event = Event::Void {
        stream: stream.as_str().into(),
        seq,
        manifest_digest: Digests::sha256(*digest),
        reason: reason.into(),
    };
    write(node, node.clock.now(), event)
}

/// A stream was put on hold or let go.
pub fn hold(node: &Node, stream: &StreamId, held: bool, by: &str, reason: &str) -> Vec<u8> {
    let event = Event::Hold {
        stream: stream.as_str().into(),
        hold: if held { HoldState::Held } else { HoldState::Released },
        by: by.into(),
        reason: reason.into(),
    };
    write(node, node.clock.now(), event)
}

/// Publication ended for records of a public stream.
pub(super) fn publication_ended(node: &Node, stream: &StreamId, records: u64) -> Vec<u8> {
    let event = Event::Recall {
        member: OWN.into(),
        recall: format!("publication-end-{}", node.business_date().to_days()).into(),
        dataset: stream.dataset().into(),
        op: Op::Withdraw.name().into(),
        reason: "publication-ended".into(),
        records,
        basis_digest: None,
    };
    write(node, node.clock.now(), event)
}

/// A new epoch.
pub(super) fn epoch(node: &Node, epoch: u64, reason: &str, previous: Option<(u64, u64, Digest)>) -> Vec<u8> {
    let event = Event::Epoch {
        reason: reason.into(),
        previous_epoch: previous.as_ref().map(|p| p.0),
        previous_size: previous.as_ref().map(|p| p.1),
        previous_root: previous.map(|p| Digests::sha256(p.2)),
    };
    let entry =
        Entry { node: node.name.as_str().into(), epoch, time: timestamp(node.clock.now()).into(), event };
    entry.to_bytes().expect("entries of the node are short")
}

/// A setting took effect.
pub fn configuration(node: &Node, what: &str, name: &str, digest: Option<Digest>, by: &str) -> Vec<u8> {
    let event = Event::Configuration {
        what: what.into(),
        name: name.into(),
        digest: digest.map(Digests::sha256),
        by: by.into(),
    };
    write(node, node.clock.now(), event)
}

/// What officers did.
pub fn officer(node: &Node, event: Event<'_>) -> Vec<u8> {
    write(node, node.clock.now(), event)
}

fn write(node: &Node, time: i64, event: Event<'_>) -> Vec<u8> {
    let time = timestamp(time);
    let entry = Entry { node: node.name.as_str().into(), epoch: node.epoch(), time: time.into(), event };
    entry.to_bytes().expect("names are bounded by the configuration, reasons by their callers")
}

/// RFC 3339 in UTC, from unix seconds.
pub fn timestamp(unix: i64) -> String {
    Timestamp::of_unix(unix).to_string()
}

/// Unix seconds, from RFC 3339 in UTC as [`timestamp`] writes it.
pub fn unix(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let day = text.get(..10).and_then(|d| xinqiao_schemas::Date::parse_accepted(d).ok())?.0;
    let seconds = number(11, 13)? * 3_600 + number(14, 16)? * 60 + number(17, 19)?;
    Some(i64::from(day.to_days()) * 86_400 + seconds)
}

/// The time of an entry of the log, unix seconds.
pub(super) fn moment(log: &LogFiles, index: u64) -> Option<i64> {
    let entry = log.entry(index).ok()??;
    let entry = Entry::from_bytes(&entry).ok()?;
    unix(&entry.time)
}

#[cfg(test)]
mod tests {
    #[test]
    fn timestamps_are_read_back() {
        for moment in [0, 951_782_400, 1_795_248_001, 4_102_444_799] {
            assert_eq!(super::unix(&super::timestamp(moment)), Some(moment));
        }
        assert_eq!(super::unix("yesterday"), None);
    }
}
