//! What officers decide about streams: holds, withheld chunks, dead letters.

use super::{SecurityOfficer, SystemOfficer};
use crate::officers::WithheldView;
use xinqiao_evidence::entry::WithheldState;
use xinqiao_exchange::event::Event;
use xinqiao_exchange::group::Change;
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::state::{State, Table, WithheldRow, stream_key};
use xinqiao_node::engine::{CommitError, Node, entries};
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// Puts a stream on hold or lets it go, from this moment.
pub async fn hold(
    node: &Node,
    stream: &StreamId,
    held: bool,
    by: &SecurityOfficer,
    reason: &str,
) -> Result<(), Refusal> {
    if node.rules().plan.recipient_of(stream).is_none() {
        return Err(RefusalCode::StreamUnknown.into());
    }
    let change = Change {
        events: vec![Event::Held { stream: stream.clone(), held }],
        items: Vec::new(),
        entry: Some(entries::hold(node, stream, held, by.name(), reason)),
    };
    node.change(change, |_| true).await?;
    Ok(())
}

/// The chunks of a stream that wait for a decision.
pub fn withheld(node: &Node, stream: &StreamId) -> Result<Vec<WithheldView>, Refusal> {
    let Some(head) = node.head(stream) else { return Ok(Vec::new()) };
    let (from, to) = (stream_key(head.id, 0), stream_key(head.id, u64::MAX));
    let rows = node.queue().scan(Table::Withheld as u8, &from, Some(&to), 10_000);
    let mut all = Vec::new();
    for (key, value) in rows.map_err(|_| RefusalCode::Internal)? {
        let row: WithheldRow = serde_json::from_slice(&value).map_err(|_| RefusalCode::Internal)?;
        let chunk = key.last_chunk::<8>().map_or(0, |b| u64::from_be_bytes(*b));
        all.push(WithheldView {
            stream: stream.to_string(),
            chunk,
            records: row.waiting(),
            reason: row.reason,
        });
    }
    Ok(all)
}

/// Lets a withheld chunk out as it is, or throws it away.
pub async fn rule(
    node: &Node,
    stream: &StreamId,
    chunk: u64,
    release: bool,
    by: &SecurityOfficer,
    reason: &str,
) -> Result<(), Refusal> {
    let head = node.head(stream).ok_or(RefusalCode::StreamUnknown)?;
    let row = node.queue().get(Table::Withheld as u8, &stream_key(head.id, chunk));
    let row = row.map_err(|_| RefusalCode::Internal)?.ok_or(RefusalCode::NotFound)?;
    let row: WithheldRow = serde_json::from_slice(&row).map_err(|_| RefusalCode::Internal)?;
    let state = if release { WithheldState::Released } else { WithheldState::Discarded };
    let change = Change {
        events: vec![Event::Ruled { stream: stream.clone(), chunk, release }],
        items: Vec::new(),
        entry: Some(entries::withheld(node, stream, state, u64::from(row.waiting()), by.name(), reason)),
    };
    // Ruled about by another officer meanwhile: then there is nothing left to rule about.
    let (queue, key) = (node.queue(), stream_key(head.id, chunk));
    let waits = move |_: &State| matches!(queue.get(Table::Withheld as u8, &key), Ok(Some(_)));
    match node.change(change, waits).await {
        Ok(_) => Ok(()),
        Err(CommitError::Overtaken) => Err(RefusalCode::NotFound.into()),
        Err(e) => Err(e.into()),
    }
}

/// Takes a stream up again whose pushing was given up.
pub async fn retry_push(node: &Node, stream: &StreamId, by: &SystemOfficer) -> Result<(), Refusal> {
    if node.head(stream).is_none() {
        return Err(RefusalCode::StreamUnknown.into());
    }
    let change = Change {
        events: vec![Event::DeadLetter { stream: stream.clone(), dead: false }],
        items: Vec::new(),
        entry: Some(entries::configuration(node, "push", stream.as_str(), None, by.name())),
    };
    node.change(change, |_| true).await?;
    Ok(())
}
