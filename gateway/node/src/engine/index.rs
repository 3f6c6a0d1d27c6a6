//! Rows leave the queue: those of closed segments that delivery no longer needs are copied into an index beside the
//! archives, and go. So the queue, and with it every snapshot, holds what is recent and what is still under way.
//!
//! The order, each step durable before the next: the index is written; an event says what it holds, so that every row
//! is found in it; events take the rows out, some at a time, so that nobody waits long for the committer. After a crash
//! the next round goes on: an index no event speaks of is removed, rows that are in an index already leave.

use super::kept::{Kept, KeptFault};
use super::queue_fault::QueueFault;
use super::{CommitError, Node};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use xinqiao_crypto::hex;
use xinqiao_exchange::contradiction::Contradiction;
use xinqiao_exchange::event::{Event, KeyRange};
use xinqiao_exchange::group::Change;
use xinqiao_exchange::state::{INDEXED, IndexRow, Settled, State, Table};
use xinqiao_store::{Queue, Row};

/// Rows that leave in one event: some ten milliseconds of the committer.
const AT_ONCE: usize = 1_000;
/// Times a piece is looked at again because one of its rows changed meanwhile.
const TRIES: usize = 8;

/// Why rows did not leave.
#[derive(Debug)]
pub(super) enum IndexFault {
    /// Rows cannot be read.
    Rows(String),
    /// The index cannot be written.
    Write(io::Error),
    /// The journal did not take it.
    Commit(CommitError),
}

impl IndexFault {
    /// A stable code for the log.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Rows(_) => "index.rows",
            Self::Write(_) => "index.write",
            Self::Commit(_) => "index.commit",
        }
    }
}

impl fmt::Display for IndexFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(e) => write!(f, "rows cannot be read: {e}"),
            Self::Write(e) => write!(f, "the index cannot be written: {}", e.kind()),
            Self::Commit(e) => write!(f, "the journal did not take the change: {e:?}"),
        }
    }
}
impl From<KeptFault> for IndexFault {
    fn from(e: KeptFault) -> Self {
        Self::Rows(e.to_string())
    }
}
impl From<xinqiao_store::QueueError> for IndexFault {
    fn from(e: xinqiao_store::QueueError) -> Self {
        Self::Rows(e.to_string())
    }
}
impl From<Contradiction> for IndexFault {
    fn from(e: Contradiction) -> Self {
        Self::Rows(QueueFault::from(e).to_string())
    }
}
impl From<CommitError> for IndexFault {
    fn from(e: CommitError) -> Self {
        Self::Commit(e)
    }
}
impl From<io::Error> for IndexFault {
    fn from(e: io::Error) -> Self {
        Self::Write(e)
    }
}

impl Node {
    /// Rows of segments before `segment`, which was opened at `time`, leave the queue where they may. Blocks. How many
    /// left comes back.
    pub(super) fn index_rows(&self, segment: u64, time: i64) -> Result<u64, IndexFault> {
        let queue = self.queue();
        let registered = self.remove_strays(&queue)?;
        let mut left = self.finish_leaving(&queue)?;
        let number = segment.saturating_sub(1);
        if registered.contains(&number) {
            return Ok(left);
        }
        let mut settled = Settled::before(segment, time);
        let mut writer = None;
        let mut ranges = Vec::new();
        for table in INDEXED {
            self.each_group(&queue, table, &mut settled, |settled, from| {
                let mut range: Option<(Vec<u8>, Vec<u8>)> = None;
                let mut from = from;
                'rows: loop {
                    let rows = queue.scan(table as u8, &from, None, AT_ONCE)?;
                    let Some((last, _)) = rows.last() else { break };
                    let next = after(last);
                    for (key, value) in &rows {
                        let other = Settled::group_of(table, key) != Settled::group_of(table, &rows[0].0);
                        if other || !settled.may_leave(table, key, value)? {
                            break 'rows;
                        }
                        let writer = match &mut writer {
                            Some(writer) => writer,
                            None => writer.insert(self.reader.write_index(number)?),
                        };
                        writer.push(table as u8, key, value)?;
                        range.get_or_insert_with(|| (key.clone(), key.clone())).1.clone_from(key);
                    }
                    let group = |key: &[u8]| Settled::group_of(table, key).to_vec();
                    let more = queue.scan(table as u8, &next, None, 1)?;
                    if more.first().is_none_or(|(key, _)| group(key) != group(last)) {
                        break;
                    }
                    from = next;
                }
                if let Some((first, last)) = range {
                    ranges.push((table, first, last));
                }
                Ok(())
            })?;
        }
        let Some(writer) = writer else { return Ok(left) };
        let (rows, bytes) = (writer.rows(), writer.finish()?);
        let ranges: Vec<KeyRange> =
            ranges.iter().map(|(table, first, last)| span(*table, first, last)).collect();
        self.commit(Event::Indexed { number, ranges: ranges.clone() })?;
        for range in &ranges {
            left += self.leave(&queue, range)?;
        }
        tracing::info!(index = number, rows, bytes, left, "rows of old segments left the queue for an index");
        Ok(left)
    }

    /// Visits each group of a table at the first row that has not left: what comes after the group's last range.
    fn each_group(
        &self,
        queue: &Queue,
        table: Table,
        settled: &mut Settled,
        mut visit: impl FnMut(&mut Settled, Vec<u8>) -> Result<(), IndexFault>,
    ) -> Result<(), IndexFault> {
        let kept = Kept { queue, reader: &self.reader };
        let mut from = Vec::new();
        while let Some((key, _)) = queue.scan(table as u8, &from, None, 1)?.pop() {
            let group = Settled::group_of(table, &key).to_vec();
            let end = end_of(&group);
            // The last range that ends within the group; what is before its end either leaves or has changed since.
            let bound = end.clone().unwrap_or_else(|| vec![0xff; 64]);
            let before = kept.range_end_before(table, &bound)?;
            let before = before.filter(|last| Settled::group_of(table, last) == group.as_slice());
            let start = match before {
                Some(last) => {
                    settled.left(table, &last);
                    after(&last)
                }
                None => key,
            };
            let first = queue.scan(table as u8, &start, end.as_deref(), 1)?;
            if !first.is_empty() {
                visit(settled, start)?;
            }
            let Some(end) = end else { break };
            from = end;
        }
        Ok(())
    }

    /// Removes indexes no event speaks of: a crash came between. The numbers of the others come back.
    fn remove_strays(&self, queue: &Queue) -> Result<BTreeSet<u64>, IndexFault> {
        let mut registered = BTreeSet::new();
        for (_, value) in
            super::rows::all(queue, Table::Index).map_err(|e| IndexFault::Rows(e.to_string()))?
        {
            let row: IndexRow =
                serde_json::from_slice(&value).map_err(|_| Contradiction("a row cannot be read"))?;
            registered.insert(row.number);
        }
        for number in self.reader.indexes()? {
            if !registered.contains(&number) {
                self.reader.remove_index(number)?;
            }
        }
        Ok(registered)
    }

    /// Takes rows out that are in an index as they are: a crash came between. Those that changed since stay.
    fn finish_leaving(&self, queue: &Queue) -> Result<u64, IndexFault> {
        let mut left = 0;
        for (key, value) in
            super::rows::all(queue, Table::Index).map_err(|e| IndexFault::Rows(e.to_string()))?
        {
            let row: IndexRow =
                serde_json::from_slice(&value).map_err(|_| Contradiction("a row cannot be read"))?;
            let table = INDEXED.into_iter().find(|t| key.first() == Some(&(*t as u8)));
            let (Some(table), Some(first), Some(last)) = (table, row.first_key(), key.get(1..)) else {
                continue;
            };
            if queue.scan(table as u8, &first, Some(&after(last)), 1)?.is_empty() {
                continue;
            }
            left += self.leave(queue, &span(table, &first, last))?;
        }
        Ok(left)
    }

    /// Takes the rows of a range out of the queue, where the index has them as they are.
    fn leave(&self, queue: &Queue, range: &KeyRange) -> Result<u64, IndexFault> {
        let table = INDEXED.into_iter().find(|t| *t as u8 == range.table);
        let (Some(table), Some(first), Some(last)) = (table, bytes_of(&range.first), bytes_of(&range.last))
        else {
            return Ok(0);
        };
        let (mut from, end) = (first, after(&last));
        let mut left = 0;
        let mut tries = 0;
        loop {
            let rows = queue.scan(table as u8, &from, Some(&end), AT_ONCE)?;
            // A row that changed since it was copied stays; what stands before and after it leaves in pieces.
            let mut same = 0;
            for (key, value) in &rows {
                if self.indexed(table, key)?.as_ref() != Some(value) {
                    break;
                }
                same += 1;
            }
            if same == 0 {
                let Some((changed, _)) = rows.first() else { return Ok(left) };
                from = after(changed);
                continue;
            }
            let piece = rows[..same].to_vec();
            let (first, last) = (piece[0].0.clone(), piece[same - 1].0.clone());
            match self.leave_piece(queue, table, &first, &last, piece) {
                Ok(()) => {
                    left += same as u64;
                    from = after(&last);
                    tries = 0;
                }
                Err(CommitError::Overtaken) if tries < TRIES => tries += 1,
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn leave_piece(
        &self,
        queue: &Queue,
        table: Table,
        first: &[u8],
        last: &[u8],
        piece: Vec<Row>,
    ) -> Result<(), CommitError> {
        let change = Change { events: vec![Event::RowsLeft(span(table, first, last))], ..Change::default() };
        // Asked by the committer when every frame before is applied: the rows must be what the index holds. Events of
        // the same frame cannot be seen here; what they change stays, see `Event::RowsLeft`.
        let (queue, first, end) = (queue.clone(), first.to_vec(), after(last));
        let still = move |_: &State| {
            queue.scan(table as u8, &first, Some(&end), AT_ONCE + 1).is_ok_and(|rows| rows == piece)
        };
        self.change_blocking(change, still).map(drop)
    }

    /// A row as an index has it.
    fn indexed(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, KeptFault> {
        let queue = self.queue();
        Kept { queue: &queue, reader: &self.reader }.indexed(table, key)
    }

    fn commit(&self, event: Event) -> Result<(), CommitError> {
        self.change_blocking(Change { events: vec![event], ..Change::default() }, |_| true).map(drop)
    }
}

fn span(table: Table, first: &[u8], last: &[u8]) -> KeyRange {
    KeyRange { table: table as u8, first: hex::encode(first), last: hex::encode(last) }
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    IndexRow { number: 0, first: text.to_owned() }.first_key()
}

/// The first key after this one.
fn after(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}

/// The first key after all that begin with this; nothing if there is none.
fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}
