//! What a reader shows of `evidence/`: archives of retired segments, and rows in indexes.

use std::io;
use std::ops::ControlFlow;

use super::Reader;
use crate::ReadError;
use crate::journal::archive::{ArchivedItem, Archives};
use crate::journal::index::{IndexWriter, Indexes};
use crate::queue::Row;

impl Reader {
    /// Shows the items of a retired segment in order.
    pub fn archived(
        &self,
        segment: u64,
        each: impl FnMut(ArchivedItem<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.0.archives.show(&self.0.at_rest, segment, each)
    }

    /// Numbers of the retired segments whose archives are kept, oldest first.
    pub fn archives(&self) -> io::Result<Vec<u64>> {
        Archives::numbers(&self.0.at_rest)
    }

    /// Begins an index. One of this number that was there before is void from now on: the caller names only numbers
    /// under which nothing is looked up yet.
    pub fn write_index(&self, number: u64) -> io::Result<IndexWriter> {
        self.0.indexes.write(&self.0.at_rest, number)
    }

    /// Removes an index, key first. One that is not there is removed already.
    pub fn remove_index(&self, number: u64) -> io::Result<()> {
        self.0.indexes.remove(&self.0.at_rest, number)
    }

    /// Numbers of the indexes there are, ascending.
    pub fn indexes(&self) -> io::Result<Vec<u64>> {
        Indexes::numbers(&self.0.at_rest)
    }

    /// The value of a row in an index.
    pub fn index_get(&self, number: u64, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.0.indexes.get(&self.0.at_rest, number, table, key)
    }

    /// Rows of a table in an index from `from` through `through`, at most `limit`, in key order.
    pub fn index_range(
        &self,
        number: u64,
        table: u8,
        from: &[u8],
        through: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, ReadError> {
        self.0.indexes.range(&self.0.at_rest, number, table, from, through, limit)
    }

    /// The last row of a table in an index whose key is below `key`.
    pub fn index_last_before(&self, number: u64, table: u8, key: &[u8]) -> Result<Option<Row>, ReadError> {
        self.0.indexes.last_before(&self.0.at_rest, number, table, key)
    }
}
