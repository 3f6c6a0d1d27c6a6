//! A department's file becomes rows of a schema, each cell with its address.
//!
//! Promises: what a file is, is told by its content, never by its name; every size is capped before memory is spent on it; no
//! panic on any input; what a spreadsheet destroyed is refused with the cell, never guessed; everything passed over is said.
//! Leaves to others: whether the values are right (`Schema::validate`).

mod archive;
mod cell;
mod compound;
mod header;
mod limit;
mod markup;
mod merged;
mod strings;
mod table;
mod text;
mod xlsx;

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use xinqiao_schemas::{Member, RawRecord, Schema, Slot};

use crate::fault::{self, Fault, Place};

/// The character set of a text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextCharset {
    /// UTF-8.
    Utf8,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
    /// GB18030, and with it GBK and GB2312.
    Gb18030,
}

/// Limits on what one file may hold.
///
/// A workbook is never unpacked as a whole. Memory is bounded by `shared_in_memory`, fifty rows, and some 20 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadCaps {
    /// Bytes of a text file; it is held in memory.
    pub text_bytes: u64,
    /// Bytes of a workbook as it lies on the disk.
    pub book_bytes: u64,
    /// Bytes to which the parts of a workbook that are read may unpack, all together.
    pub expanded_bytes: u64,
    /// Bytes of the texts that a workbook's cells share.
    pub shared_bytes: u64,
    /// As many of those are kept in memory; more go to an unnamed temporary file.
    pub shared_in_memory: usize,
    /// Cells that hold something.
    pub cells: u64,
    /// Rows below the header row.
    pub rows: u32,
    /// Bytes of one cell.
    pub cell_bytes: usize,
    /// Bytes of all cells of a row of a workbook.
    pub row_bytes: usize,
}

impl Default for ReadCaps {
    fn default() -> Self {
        Self {
            text_bytes: 64 << 20,
            book_bytes: 512 << 20,
            expanded_bytes: 8 << 30,
            shared_bytes: 1 << 30,
            shared_in_memory: 16 << 20,
            cells: 64 << 20,
            rows: 1_048_576,
            cell_bytes: 256 << 10,
            row_bytes: 1 << 20,
        }
    }
}

/// How to read a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// The character set of a text file, where the sender declares it; else it is detected, or refused when unsure.
    pub charset: Option<TextCharset>,
    /// Limits.
    pub caps: ReadCaps,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Reading {
    /// Rows handed over.
    pub rows: u32,
    /// Those of them with a fault.
    pub refused: u32,
    /// What was passed over, and what is worth saying, in the order of the file; of each problem the first 100.
    pub notices: Vec<Fault>,
}

impl Reading {
    pub(crate) fn notice(&mut self, fault: Fault) {
        if self.notices.iter().filter(|known| known.code() == fault.code()).count() < 100 {
            self.notices.push(fault);
        }
    }
}

/// One row below a header row.
pub struct Row {
    sheet: Option<Arc<str>>,
    number: u32,
    /// Slot (fields, then members), column, text.
    cells: Vec<(usize, u32, String)>,
    /// The column of each slot that the header row names.
    columns: Arc<[(usize, u32)]>,
    faults: Vec<Fault>,
}

impl Row {
    /// Where it stands.
    pub fn place(&self) -> Place {
        Place::row_of(self.sheet.as_ref(), self.number)
    }

    /// Where the field of this number stands; the row where its column is missing.
    pub fn place_of(&self, field: usize) -> Place {
        let column = self.columns.iter().find(|(slot, _)| *slot == field).map(|(_, column)| *column);
        Place { sheet: self.sheet.clone(), row: Some(self.number), column }
    }

    /// What makes it unusable; empty for a sound row.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Codes of fields, or names of members, with their texts; blank cells are left out.
    pub fn texts<'r>(&'r self, schema: &'r Schema) -> impl Iterator<Item = (&'r str, &'r str)> {
        let fields = schema.fields();
        self.cells.iter().map(move |(slot, _, text)| {
            let name = fields
                .get(*slot)
                .map_or_else(|| Member::ALL[*slot - fields.len()].name(), |field| field.code());
            (name, text.as_str())
        })
    }

    /// The record that the row says, for [`Schema::validate`]. Only of a row without faults.
    pub fn into_record(self, schema: &Schema) -> Result<RawRecord<'static>, Vec<Fault>> {
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        let fields = schema.fields().len();
        let mut record = RawRecord::new(fields);
        for (slot, _, text) in self.cells {
            match slot.checked_sub(fields) {
                None => record.set_field(slot, Slot::Text(text.into())),
                Some(member) => record.set_member(Member::ALL[member], Slot::Text(text.into())),
            }
        }
        Ok(record)
    }
}

/// Receives the rows in the order of the file.
pub type EachRow<'e> = &'e mut dyn FnMut(Row);

/// Reads a file and hands over its rows one by one.
///
/// # Errors
/// The file is broken or not one that can be read. Rows before the break were handed over: the caller decides about them.
pub fn read<R: Read + Seek>(
    schema: &Schema,
    mut source: R,
    options: &ReadOptions,
    each: EachRow<'_>,
) -> Result<Reading, Fault> {
    let unreadable = |_| Fault::of_file(&fault::FILE_UNREADABLE);
    let mut start = Vec::new();
    source.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    source.by_ref().take(4096).read_to_end(&mut start).map_err(unreadable)?;
    source.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    if start.is_empty() {
        return Err(Fault::of_file(&fault::FILE_EMPTY));
    }
    if start.starts_with(b"PK\x03\x04") {
        return xlsx::read(schema, source, options, each);
    }
    if start.starts_with(compound::SIGNATURE) {
        return Err(Fault::of_file(compound::kind(source, options.caps.book_bytes)?));
    }
    text::read(schema, &start, source, options, each)
}
