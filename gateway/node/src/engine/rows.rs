//! Between the state and the queue: applying frames to rows, reading rows back, dumping all of them.

use super::Node;
use std::fmt;
use xinqiao_exchange::contradiction::Contradiction;
use xinqiao_exchange::event::FrameRecord;
use xinqiao_exchange::state::{Applied, Rows, State, Table};
use xinqiao_store::{Position, Queue, QueueError};

/// The queue failed, or contradicts the journal.
#[derive(Debug)]
pub(super) enum QueueFault {
    /// sled failed.
    Lost(QueueError),
    /// Its rows are not what the journal adds up to.
    Contradiction(Contradiction),
}

impl fmt::Display for QueueFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(e) => write!(f, "{e}"),
            Self::Contradiction(c) => write!(f, "{c}"),
        }
    }
}
impl From<QueueError> for QueueFault {
    fn from(e: QueueError) -> Self {
        Self::Lost(e)
    }
}
impl From<Contradiction> for QueueFault {
    fn from(c: Contradiction) -> Self {
        Self::Contradiction(c)
    }
}

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

/// Applies a frame that is durable.
pub(super) fn apply(
    node: &Node,
    record: &FrameRecord,
    at: &Applied<'_>,
    position: Position,
) -> Result<(), QueueFault> {
    let queue = node.queue();
    let mut state = node.state.write();
    apply_to(&mut state, &queue, record, at, position)?;
    node.epoch.store(state.meta.epoch, std::sync::atomic::Ordering::Release);
    Ok(())
}

/// Applies a frame to a state and a queue that may not be the node's yet.
pub(super) fn apply_to(
    state: &mut State,
    queue: &Queue,
    record: &FrameRecord,
    at: &Applied<'_>,
    position: Position,
) -> Result<(), QueueFault> {
    let mut rows = Rows::default();
    let mut lost = None;
    let applied = state.apply(record, at, &mut rows, &mut |table, key| match queue.get(table as u8, key) {
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
    write(queue, &rows, position)
}

fn write(queue: &Queue, rows: &Rows, position: Position) -> Result<(), QueueFault> {
    let mut out = xinqiao_store::Rows::default();
    for ((table, key), value) in &rows.changes {
        match value {
            Some(v) => out.puts.push((*table as u8, key.clone(), v.clone())),
            None => out.deletes.push((*table as u8, key.clone())),
        }
    }
    Ok(queue.write(&out, position)?)
}

/// Notes that a frame without rows was applied.
pub(super) fn mark_applied(node: &Node, position: Position) -> Result<(), QueueFault> {
    let queue = node.queue();
    write(&queue, &Rows::default(), position)
}

const DUMP_ITEM: usize = 4 << 20;

/// All rows, as items of a snapshot frame: `table, u32 key length, key, u32 value length, value`, big-endian.
pub(super) fn dump(node: &Node) -> Result<Vec<Vec<u8>>, QueueFault> {
    let queue = node.queue();
    let mut items = Vec::new();
    let mut item = Vec::new();
    for table in Table::ALL {
        let mut from = Vec::new();
        loop {
            let rows = queue.scan(table as u8, &from, None, 1_000)?;
            let Some((last, _)) = rows.last() else { break };
            from = last.clone();
            from.push(0);
            for (key, value) in &rows {
                item.push(table as u8);
                for part in [key, value] {
                    item.extend_from_slice(&(part.len() as u32).to_be_bytes());
                    item.extend_from_slice(part);
                }
                if item.len() >= DUMP_ITEM {
                    items.push(std::mem::take(&mut item));
                }
            }
        }
    }
    items.push(item);
    Ok(items)
}

/// Puts the rows of a snapshot item into a queue.
pub(super) fn undump(queue: &Queue, item: &[u8], position: Position) -> Result<(), QueueFault> {
    let mut rest = item;
    let mut out = xinqiao_store::Rows::default();
    let bad = Contradiction("a snapshot cannot be read");
    let mut count = 0;
    while let Some((&table, tail)) = rest.split_first() {
        rest = tail;
        let mut part = || -> Result<&[u8], Contradiction> {
            let (len, tail) = rest.split_first_chunk::<4>().ok_or(bad)?;
            let (bytes, tail) = tail.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or(bad)?;
            rest = tail;
            Ok(bytes)
        };
        let (key, value) = (part()?, part()?);
        out.puts.push((table, key.to_vec(), value.to_vec()));
        count += 1;
        if count == 2_000 {
            queue.write(&std::mem::take(&mut out), position)?;
            count = 0;
        }
    }
    Ok(queue.write(&out, position)?)
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
