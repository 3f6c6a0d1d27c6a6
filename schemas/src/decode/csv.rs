//! RFC 4180 with a header row, read row by row without copying unquoted values.
//!
//! Stricter than common readers: a quotation mark where the grammar has none is an error of that row, never guessed away.

use std::borrow::Cow;

use crate::decode::sink::Sink;
use crate::decode::{BodyError, Bounds, Each};
use crate::finding::Finding;
use crate::problem;
use crate::record::{Member, RawRecord, Slot};
use crate::schema::Schema;

pub(crate) fn table<'a>(
    schema: &Schema,
    text: &'a str,
    caps: &Bounds<'_>,
    each: Each<'_, 'a>,
) -> Result<u32, BodyError> {
    let mut rows = Rows { text, bytes: text.as_bytes(), at: 0, caps };
    let mut cells = Vec::new();
    let columns = loop {
        match rows.row(&mut cells).map_err(|open| unterminated(open, 0))? {
            None => return Err(BodyError::new(&problem::BODY_EMPTY)),
            Some(Row::Blank) => {}
            Some(row) => break header(schema, caps, &cells, row)?,
        }
    };
    let mut count = 0;
    while let Some(row) = rows.row(&mut cells).map_err(|open| unterminated(open, count))? {
        if matches!(row, Row::Blank) {
            continue;
        }
        if count >= caps.records {
            let error = BodyError::new(&problem::BODY_TOO_MANY_RECORDS);
            return Err(error.with(caps.records.to_string()).after(count));
        }
        each(count, record(schema, caps, &columns, &mut cells, row));
        count += 1;
    }
    if count == 0 { Err(BodyError::new(&problem::BODY_EMPTY)) } else { Ok(count) }
}

/// The slot of each column.
fn header(
    schema: &Schema,
    caps: &Bounds<'_>,
    cells: &[Cow<'_, str>],
    row: Row,
) -> Result<Vec<usize>, BodyError> {
    let bad = |column: usize, name: &str| {
        BodyError::new(&problem::BODY_CSV_HEADER)
            .with(column.to_string())
            .with(schema.id.to_string())
            .with(caps.hint(schema, name))
    };
    match row {
        Row::BadQuote(column) => return Err(bad(column, "")),
        Row::TooManyCells | Row::TooLarge => return Err(bad(cells.len() + 1, "")),
        Row::Blank | Row::Cells => {}
    }
    let mut columns: Vec<usize> = Vec::with_capacity(cells.len());
    for (number, cell) in cells.iter().enumerate() {
        let name = cell.trim();
        let slot = schema.names.get(name.as_bytes()).map(usize::from).ok_or_else(|| bad(number + 1, name))?;
        if let Some(first) = columns.iter().position(|known| *known == slot) {
            let code = match schema.fields.get(slot) {
                Some(field) => field.code.to_string(),
                None => Member::ALL[slot - schema.fields.len()].name().to_owned(),
            };
            let error = BodyError::new(&problem::BODY_CSV_HEADER_TWICE);
            return Err(error.with((first + 1).to_string()).with((number + 1).to_string()).with(code));
        }
        columns.push(slot);
    }
    Ok(columns)
}

fn record<'a>(
    schema: &Schema,
    caps: &Bounds<'_>,
    columns: &[usize],
    cells: &mut Vec<Cow<'a, str>>,
    row: Row,
) -> Result<RawRecord<'a>, Vec<Finding>> {
    let finding = match row {
        Row::BadQuote(column) => Finding::refuse(&problem::RECORD_QUOTE).with_number(column),
        Row::TooManyCells => {
            Finding::refuse(&problem::RECORD_TOO_MANY_FIELDS).with_number(caps.fields_per_record)
        }
        Row::TooLarge => Finding::refuse(&problem::RECORD_TOO_LARGE).with_number(caps.record_bytes),
        Row::Blank | Row::Cells if cells.len() != columns.len() => {
            Finding::refuse(&problem::RECORD_COLUMNS).with_number(columns.len()).with_number(cells.len())
        }
        Row::Blank | Row::Cells => {
            let mut sink = Sink::new(schema, caps);
            for (slot, cell) in columns.iter().zip(cells.drain(..)) {
                sink.set(*slot, Slot::Text(cell));
            }
            return sink.finish();
        }
    };
    Err(vec![finding])
}

fn unterminated(open: usize, delivered: u32) -> BodyError {
    BodyError::new(&problem::BODY_CSV_QUOTE).with(open.to_string()).after(delivered)
}

/// What a row turned out to be.
#[derive(Clone, Copy)]
enum Row {
    Cells,
    Blank,
    /// A misplaced quotation mark in this column; the rest of the line was passed over.
    BadQuote(usize),
    TooManyCells,
    TooLarge,
}

struct Rows<'a, 'c> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    caps: &'c Bounds<'c>,
}

impl<'a> Rows<'a, '_> {
    /// The next row, into `cells`; none at the end. Error: the byte of a quote that is never closed.
    fn row(&mut self, cells: &mut Vec<Cow<'a, str>>) -> Result<Option<Row>, usize> {
        cells.clear();
        let start = self.at;
        if start >= self.bytes.len() {
            return Ok(None);
        }
        loop {
            if cells.len() >= self.caps.fields_per_record {
                return Ok(Some(self.give_up(Row::TooManyCells)));
            }
            let cell = if self.bytes.get(self.at) == Some(&b'"') { self.quoted()? } else { self.plain() };
            let Some(cell) = cell else {
                return Ok(Some(self.give_up(Row::BadQuote(cells.len() + 1))));
            };
            cells.push(cell);
            if self.at - start > self.caps.record_bytes {
                return Ok(Some(self.give_up(Row::TooLarge)));
            }
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'\n') => {
                    self.at += 1;
                    break;
                }
                Some(b'\r') => {
                    self.at += 2;
                    break;
                }
                _ => break,
            }
        }
        let blank =
            self.at - start <= 2 && cells.len() == 1 && cells[0].is_empty() && self.bytes[start] != b'"';
        Ok(Some(if blank { Row::Blank } else { Row::Cells }))
    }

    /// An unquoted cell, up to its comma or line end; none if it holds a quotation mark.
    fn plain(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        let rest = &self.bytes[start..];
        let mut end = memchr::memchr3(b',', b'\n', b'"', rest).map_or(self.bytes.len(), |at| start + at);
        match self.bytes.get(end) {
            Some(b'"') => return None,
            Some(b'\n') if end > start && self.bytes[end - 1] == b'\r' => end -= 1,
            _ => {}
        }
        self.at = end;
        Some(Cow::Borrowed(&self.text[start..end]))
    }

    /// A quoted cell; none if something else than a comma or line end follows it.
    fn quoted(&mut self) -> Result<Option<Cow<'a, str>>, usize> {
        let open = self.at;
        let mut from = open + 1;
        let mut text: Cow<'a, str> = Cow::Borrowed("");
        loop {
            let rest = self.bytes.get(from..).unwrap_or_default();
            let rest = &rest[..rest.len().min(self.caps.value_bytes.saturating_add(1))];
            let end = from + memchr::memchr(b'"', rest).ok_or(open)?;
            let piece = &self.text[from..end];
            if text.is_empty() {
                text = Cow::Borrowed(piece);
            } else {
                text.to_mut().push_str(piece);
            }
            match self.bytes.get(end + 1) {
                Some(b'"') => {
                    text.to_mut().push('"');
                    from = end + 2;
                }
                None | Some(b',' | b'\n') => {
                    self.at = end + 1;
                    return Ok(Some(text));
                }
                Some(b'\r') if self.bytes.get(end + 2) == Some(&b'\n') => {
                    self.at = end + 1;
                    return Ok(Some(text));
                }
                Some(_) => {
                    self.at = end + 1;
                    return Ok(None);
                }
            }
        }
    }

    fn give_up(&mut self, row: Row) -> Row {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at = memchr::memchr(b'\n', rest).map_or(self.bytes.len(), |at| self.at + at + 1);
        row
    }
}
