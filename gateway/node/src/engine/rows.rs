//! Between the state and the queue: applying frames to rows, reading rows back.

use super::Node;
use super::kept::Kept;
use super::queue_fault::QueueFault;
use super::snapshot::Dump;
use xinqiao_exchange::contradiction::Contradiction;
use xinqiao_exchange::event::FrameRecord;
use xinqiao_exchange::state::{Applied, LeftRange, Rows, State, Table};
use xinqiao_store::{Position, Queue};

/// The value of an idempotency entry: fingerprint and log index.
pub(super) fn idem_value(print: &[u8; 16], index: u64) -> [u8; 24] {
    let mut v = [0u8; 24];
    v[..16].copy_from_slice(print);
    v[16..].copy_from_slice(&index.to_be_bytes());
    v
}

/// Fingerprint and log index of an idempotency entry.
pub(super) fn idem_parts(value: &[u8; 24]) -> ([u8; 16], u64) {
    let mut print = [0u8; 16];
    print.copy_from_slice(&value[..16]);
    let mut index = [0u8; 8];
    index.copy_from_slice(&value[16..]);
    (print, u64::from_be_bytes(index))
}

/// Applies a frame that is durable. What a snapshot that is under way has not reached yet is put by for it.
pub(super) fn apply(
    node: &Node,
    record: &FrameRecord,
    at: &Applied<'_>,
    position: Position,
    dump: Option<&mut Dump>,
) -> Result<(), QueueFault> {
    let queue = node.queue();
    let mut state = node.state.write();
    let kept = Kept { queue: &queue, reader: &node.reader };
    apply_to(&mut state, kept, record, at, position, dump)?;
    node.epoch.store(state.meta.epoch, std::sync::atomic::Ordering::Release);
    Ok(())
}

/// Applies a frame to a state and a queue that may not be the node's yet.
pub(super) fn apply_to(
    state: &mut State,
    kept: Kept<'_>,
    record: &FrameRecord,
    at: &Applied<'_>,
    position: Position,
    dump: Option<&mut Dump>,
) -> Result<(), QueueFault> {
    let mut rows = Rows::default();
    let mut lost = None;
    let applied = state.apply(record, at, &mut rows, &mut |table, key| match kept.get(table, key) {
        Ok(value) => value,
        Err(e) => {
            lost = Some(e);
            None
        }
    });
    if let Some(e) = lost {
        return Err(e.into());
    }
    applied?;
    let mut out = changes(kept.queue, rows)?;
    if let Some(dump) = dump {
        dump.put_by(kept.queue, &out)?;
    }
    if out.puts.len() > AT_ONCE {
        write_recalls(kept.queue, &mut out)?;
    }
    Ok(kept.queue.write(&out, position)?)
}

/// Rows of a frame that are written at once.
const AT_ONCE: usize = 2_048;

/// Writes what recalls leave behind in parts, in front of the rest of their frame: a recall may be of tens of thousands of records.
/// These rows say the same whether the frame was applied or not, and whoever reads them early only withholds what is recalled already.
fn write_recalls(queue: &Queue, out: &mut xinqiao_store::Rows) -> Result<(), QueueFault> {
    let of_recalls = [Table::Tombstone as u8, Table::PendingRecall as u8];
    let (ahead, rest) =
        std::mem::take(&mut out.puts).into_iter().partition(|(table, ..)| of_recalls.contains(table));
    out.puts = rest;
    let mut ahead: Vec<_> = ahead;
    while !ahead.is_empty() {
        let puts = ahead.split_off(ahead.len().saturating_sub(AT_ONCE));
        queue.write_ahead(&xinqiao_store::Rows { puts, deletes: Vec::new() })?;
    }
    Ok(())
}

/// The change as the queue takes it, with what leaves named row by row.
fn changes(queue: &Queue, rows: Rows) -> Result<xinqiao_store::Rows, QueueFault> {
    let mut out = xinqiao_store::Rows::default();
    for LeftRange { table, first, mut last } in rows.left {
        last.push(0);
        let mut from = first;
        loop {
            let some = queue.scan(table as u8, &from, Some(&last), 1_000)?;
            let Some((newest, _)) = some.last() else { break };
            from = newest.clone();
            from.push(0);
            let gone = some.into_iter().map(|(key, _)| key);
            let gone = gone.filter(|key| !rows.changes.contains_key(&(table, key.clone())));
            out.deletes.extend(gone.map(|key| (table as u8, key)));
        }
    }
    for ((table, key), value) in rows.changes {
        match value {
            Some(v) => out.puts.push((table as u8, key, v)),
            None => out.deletes.push((table as u8, key)),
        }
    }
    Ok(out)
}

/// Notes that a frame without rows was applied.
pub(super) fn mark_applied(node: &Node, position: Position) -> Result<(), QueueFault> {
    Ok(node.queue().write(&xinqiao_store::Rows::default(), position)?)
}

/// The in-memory state, from the queue's rows.
pub(super) fn load(queue: &Queue) -> Result<State, QueueFault> {
    let meta = queue.get(Table::Meta as u8, &[])?;
    let streams = all(queue, Table::Stream)?;
    let descriptions = all(queue, Table::Description)?;
    let mut state = State::load(meta.as_deref(), streams.into_iter(), descriptions.into_iter())
        .ok_or(QueueFault::Contradiction(Contradiction("the heads of streams cannot be read")))?;
    let officers = queue.get(Table::Governance as u8, &[])?;
    let proposals = all(queue, Table::Proposal)?;
    state
        .load_governance(officers.as_deref(), proposals.into_iter())
        .ok_or(QueueFault::Contradiction(Contradiction("officers' decisions cannot be read")))?;
    Ok(state)
}

/// Key and value.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// Every row of a table.
pub(super) fn all(queue: &Queue, table: Table) -> Result<Vec<Row>, QueueFault> {
    let mut from = Vec::new();
    let mut rows = Vec::new();
    loop {
        let some = queue.scan(table as u8, &from, None, 4_096)?;
        let Some((last, _)) = some.last() else { return Ok(rows) };
        from = last.clone();
        from.push(0);
        rows.extend(some);
    }
}
