//! Rows wherever they are kept: in the queue, or in an index beside the archives once they left it. The queue comes
//! first: a row that changed after it left is in both, and the index has it as it was.

use super::Node;
use std::collections::BTreeMap;
use std::fmt;
use xinqiao_exchange::state::{INDEXED, IndexRow, Table, index_key};
use xinqiao_explain::Explain;
use xinqiao_store::{Queue, QueueError, ReadError, Reader, Row};

/// A view of rows in both places.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    pub(super) queue: &'a Queue,
    pub(super) reader: &'a Reader,
}

/// A row that cannot be read.
#[derive(Debug)]
pub(super) enum KeptFault {
    /// The queue is lost.
    Queue(QueueError),
    /// An index is damaged or gone.
    Index(ReadError),
}

impl fmt::Display for KeptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(e) => write!(f, "{e}"),
            Self::Index(e) => write!(f, "an index in data/evidence: {e}"),
        }
    }
}
impl From<QueueError> for KeptFault {
    fn from(e: QueueError) -> Self {
        Self::Queue(e)
    }
}
impl From<ReadError> for KeptFault {
    fn from(e: ReadError) -> Self {
        Self::Index(e)
    }
}

/// A range of rows in an index.
struct Range {
    number: u64,
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Kept<'_> {
    /// The value of a row.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, KeptFault> {
        match self.queue.get(table as u8, key)? {
            Some(value) => Ok(Some(value)),
            None => self.indexed(table, key),
        }
    }

    /// The value of a row as an index has it.
    pub(super) fn indexed(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, KeptFault> {
        match self.range_from(table, key)? {
            Some(range) if range.first.as_slice() <= key => {
                Ok(self.reader.index_get(range.number, table as u8, key)?)
            }
            _ => Ok(None),
        }
    }

    /// Rows from `from` up to `to`, exclusive, at most `limit`, in key order.
    pub(super) fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, KeptFault> {
        let queued = self.queue.scan(table as u8, from, to, limit)?;
        let mut all: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut at = from.to_vec();
        while all.len() < limit
            && let Some(range) = self.range_from(table, &at)?
        {
            if to.is_some_and(|to| range.first.as_slice() >= to) {
                break;
            }
            let (first, rest) = (at.max(range.first), limit - all.len());
            let rows = self.reader.index_range(range.number, table as u8, &first, &range.last, rest)?;
            all.extend(rows.into_iter().filter(|(key, _)| to.is_none_or(|to| key.as_slice() < to)));
            at = range.last;
            at.push(0);
        }
        if all.is_empty() {
            return Ok(queued);
        }
        all.extend(queued);
        Ok(all.into_iter().take(limit).collect())
    }

    /// The last row whose key is below `key`.
    pub(super) fn last_before(&self, table: Table, key: &[u8]) -> Result<Option<Row>, KeptFault> {
        let queued = self.queue.last_before(table as u8, Some(key))?;
        let mut indexed = None;
        if let Some(range) = self.range_from(table, key)?
            && range.first.as_slice() < key
        {
            indexed = self.reader.index_last_before(range.number, table as u8, key)?;
        } else if let Some(range) = self.range_before(table, key)?
            && let Some(value) = self.reader.index_get(range.number, table as u8, &range.last)?
        {
            indexed = Some((range.last, value));
        }
        Ok(match (queued, indexed) {
            (Some(queued), Some(indexed)) if indexed.0 > queued.0 => Some(indexed),
            (Some(queued), _) => Some(queued),
            (None, indexed) => indexed,
        })
    }

    /// The first range of a table that ends at `key` or after it.
    fn range_from(&self, table: Table, key: &[u8]) -> Result<Option<Range>, KeptFault> {
        if !INDEXED.contains(&table) {
            return Ok(None);
        }
        let end = [table as u8 + 1];
        let found = self.queue.scan(Table::Index as u8, &index_key(table, key), Some(&end), 1)?;
        Ok(found.into_iter().next().and_then(range))
    }

    /// The last range of a table that ends before `key`.
    pub(super) fn range_end_before(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, KeptFault> {
        Ok(self.range_before(table, key)?.map(|range| range.last))
    }

    fn range_before(&self, table: Table, key: &[u8]) -> Result<Option<Range>, KeptFault> {
        let found = self.queue.last_before(Table::Index as u8, Some(&index_key(table, key)))?;
        Ok(found.filter(|(key, _)| key.first() == Some(&(table as u8))).and_then(range))
    }
}

fn range((key, value): Row) -> Option<Range> {
    let row: IndexRow = serde_json::from_slice(&value).ok()?;
    Some(Range { number: row.number, first: row.first_key()?, last: key.get(1..)?.to_vec() })
}

impl Node {
    /// The value of a row, in the queue or in an index.
    pub(super) fn kept_row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, KeptFault> {
        self.named(Kept { queue: &self.queue(), reader: &self.reader }.get(table, key))
    }

    /// Rows of the queue and of indexes, in key order.
    pub(super) fn kept_rows(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, KeptFault> {
        self.named(Kept { queue: &self.queue(), reader: &self.reader }.scan(table, from, to, limit))
    }

    /// The last row below a key, in the queue or in an index.
    pub(super) fn kept_before(&self, table: Table, key: &[u8]) -> Result<Option<Row>, KeptFault> {
        self.named(Kept { queue: &self.queue(), reader: &self.reader }.last_before(table, key))
    }

    /// A damaged index is evidence that is damaged: named in the log, and the node is not ready.
    fn named<T>(&self, found: Result<T, KeptFault>) -> Result<T, KeptFault> {
        if let Err(KeptFault::Index(e)) = &found {
            let said = e.explain();
            tracing::error!(
                code = said.code(),
                "an index in data/evidence does not read: {}",
                said.english()
            );
            self.fail("journal.damaged");
        }
        found
    }
}
