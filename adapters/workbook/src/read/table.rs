//! Rows of one sheet: the header is found among the first, the rest become rows of the schema.

use std::sync::Arc;

use xinqiao_schemas::text::comparison_form;
use xinqiao_schemas::{Member, Schema};

use crate::fault::{self, Fault, Place, Problem};
use crate::read::cell::{Cells, Value, judged};
use crate::read::header::{self, Column, Header, Names};
use crate::read::merged::Merged;
use crate::read::{ReadCaps, Reading, Row};

/// Rows that are looked at for a header.
const LOOKED_AT: usize = 50;

/// What is wrong with a row before its cells are looked at.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// So many columns, each in order.
    Wide(u32),
    /// A misplaced quotation mark in this column.
    BadQuote(u32),
}

impl Shape {
    /// A row of a sheet: it has every column.
    pub(crate) const FULL: Shape = Shape::Wide(u32::MAX);
}

pub(crate) struct Table<'t, 'e> {
    schema: &'t Schema,
    names: &'t Names,
    caps: &'t ReadCaps,
    sheet: Option<Arc<str>>,
    waiting: Vec<(u32, Cells)>,
    shapes: Vec<Shape>,
    header: Option<Header>,
    merged: Merged,
    reading: &'t mut Reading,
    each: &'t mut (dyn FnMut(Row) + 'e),
}

impl<'t, 'e> Table<'t, 'e> {
    pub(crate) fn new(
        schema: &'t Schema,
        names: &'t Names,
        caps: &'t ReadCaps,
        sheet: Option<Arc<str>>,
        reading: &'t mut Reading,
        each: &'t mut (dyn FnMut(Row) + 'e),
    ) -> Self {
        Self {
            schema,
            names,
            caps,
            sheet,
            waiting: Vec::new(),
            shapes: Vec::new(),
            header: None,
            merged: Merged::default(),
            reading,
            each,
        }
    }

    /// Says which cells of the sheet are merged with others.
    pub(crate) fn merged(&mut self, merged: Merged) {
        self.merged = merged;
    }

    /// Takes the next row. Rows come in order; blank cells may be left out.
    pub(crate) fn row(&mut self, number: u32, mut cells: Cells, shape: Shape) -> Result<(), Fault> {
        cells.retain(|(_, value)| !value.is_blank());
        if cells.is_empty() && !matches!(shape, Shape::BadQuote(_)) {
            return Ok(());
        }
        if self.header.is_some() {
            return self.data(number, cells, shape);
        }
        self.waiting.push((number, cells));
        self.shapes.push(shape);
        if self.waiting.len() < LOOKED_AT { Ok(()) } else { self.decide().map(drop) }
    }

    /// Ends the sheet; false if it has no header row.
    pub(crate) fn end(mut self) -> Result<bool, Fault> {
        if self.header.is_some() { Ok(true) } else { self.decide() }
    }

    fn decide(&mut self) -> Result<bool, Fault> {
        let rows = std::mem::take(&mut self.waiting);
        let shapes = std::mem::take(&mut self.shapes);
        let found = header::find(self.schema, self.names, self.sheet.as_ref(), &rows)?;
        let Some(found) = found else { return Ok(false) };
        for (column, kind) in &found.columns {
            if *kind == Column::Numbering {
                let place = Place::cell(self.sheet.as_ref(), rows[found.first].0, *column);
                self.reading.notice(Fault::new(&fault::PASSED_NUMBERING, place));
            }
        }
        let (first, last) = (found.first, found.last);
        self.header = Some(found);
        for (at, ((number, cells), shape)) in rows.into_iter().zip(shapes).enumerate() {
            if at < first {
                self.pass(&fault::PASSED_TITLE, number);
            } else if at > last {
                self.data(number, cells, shape)?;
            }
        }
        Ok(true)
    }

    fn pass(&mut self, problem: &'static Problem, number: u32) {
        let place = Place::row_of(self.sheet.as_ref(), number);
        self.reading.notice(Fault::new(problem, place));
    }

    fn data(&mut self, number: u32, cells: Cells, shape: Shape) -> Result<(), Fault> {
        let header = self.header.as_ref().expect("decided before rows become data");
        if let Some(problem) = passed_over(header, self.names, &cells) {
            self.pass(problem, number);
            return Ok(());
        }
        let sheet = self.sheet.as_ref();
        let mut faults = Vec::new();
        match shape {
            Shape::Wide(columns) if columns < header.width => {
                let place = Place::row_of(sheet, number);
                faults.push(Fault::new(&fault::ROW_COLUMNS, place).with(header.width).with(columns));
            }
            Shape::BadQuote(column) => {
                faults.push(Fault::new(&fault::ROW_QUOTE, Place::cell(sheet, number, column)));
            }
            Shape::Wide(_) => {}
        }
        // What a merged cell shows stands in its first cell alone; in the others it would be missing without a word.
        for (slot, column) in header.of_slots.iter() {
            if self.merged.covers(number, *column) && !cells.iter().any(|(filled, _)| filled == column) {
                let name = name_of(self.schema, *slot);
                let place = Place::cell(sheet, number, *column);
                faults.push(Fault::new(&fault::CELL_MERGED, place).with(name));
            }
        }
        let mut filled = Vec::with_capacity(cells.len());
        for (column, value) in cells {
            let place = || Place::cell(sheet, number, column);
            match header.columns.get(&column) {
                Some(Column::Numbering) => {}
                None => faults.push(Fault::new(&fault::CELL_NO_COLUMN, place())),
                Some(Column::Slot(slot)) => {
                    let field = self.schema.fields().get(*slot);
                    match judged(value, field) {
                        Ok(text) => filled.push((*slot, column, text)),
                        Err(problem) => {
                            faults.push(Fault::new(problem, place()).with(name_of(self.schema, *slot)));
                        }
                    }
                }
            }
        }
        if filled.is_empty() && faults.is_empty() {
            return Ok(());
        }
        if self.reading.rows >= self.caps.rows {
            return Err(Fault::of_file(&fault::FILE_TOO_MANY_ROWS).with(self.caps.rows));
        }
        self.reading.rows += 1;
        self.reading.refused += u32::from(!faults.is_empty());
        let columns = Arc::clone(&header.of_slots);
        (self.each)(Row { sheet: self.sheet.clone(), number, cells: filled, columns, faults });
        Ok(())
    }
}

/// The code of a field, or the name of a member.
fn name_of(schema: &Schema, slot: usize) -> &str {
    let fields = schema.fields();
    fields.get(slot).map_or_else(|| Member::ALL[slot - fields.len()].name(), |field| field.code())
}

/// A row below the header that is no record: the header again, totals, or a note.
fn passed_over(header: &Header, names: &Names, cells: &Cells) -> Option<&'static Problem> {
    let (_, first) = cells.first()?;
    let again = |(column, value): &(u32, Value)| match header.columns.get(column) {
        Some(Column::Slot(slot)) => names.slot(&value.text()) == Some(*slot),
        Some(Column::Numbering) => value.text().parse::<f64>().is_err(),
        None => false,
    };
    let named = |(column, _): &(u32, Value)| matches!(header.columns.get(column), Some(Column::Slot(_)));
    if cells.iter().all(again) && cells.iter().any(named) {
        return Some(&fault::PASSED_HEADER);
    }
    if cells.len() >= 3 && (1_u32..).zip(cells).all(|(number, (_, value))| numbers(value, number)) {
        return Some(&fault::PASSED_COLUMN_NUMBERS);
    }
    let form = comparison_form(&first.text());
    let few = cells.len() * 2 <= header.columns.len();
    let total = ["合计", "总计", "小计", "共计", "累计", "本页小计", "本页合计"];
    let sums = cells[1..].iter().all(|(_, value)| value.text().trim().parse::<f64>().is_ok());
    if (few || sums) && total.iter().any(|word| form.strip_prefix(word).is_some_and(ends_word)) {
        return Some(&fault::PASSED_TOTAL);
    }
    const NOTES: [&str; 16] = [
        "注",
        "备注",
        "说明",
        "填表说明",
        "填表人",
        "填报人",
        "制表人",
        "审核人",
        "负责人",
        "单位负责人",
        "联系人",
        "联系电话",
        "填报单位",
        "填报日期",
        "制表日期",
        "数据来源",
    ];
    let note = NOTES.iter().any(|word| {
        let rest = form.strip_prefix(word).map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        rest.is_some_and(|rest| rest.starts_with(':'))
    });
    (few && note).then_some(&fault::PASSED_FOOTNOTE)
}

/// `3`, `(3)` or `（3）` for 3: forms number their columns below the titles.
fn numbers(value: &Value, number: u32) -> bool {
    comparison_form(&value.text()).trim_matches(['(', ')']).parse() == Ok(number)
}

fn ends_word(rest: &str) -> bool {
    rest.chars().next().is_none_or(|c| c == ':' || c == '(' || c.is_ascii_digit())
}

/// Reads nothing further of the file once this many cells were filled.
pub(crate) struct CellCount<'c> {
    left: u64,
    caps: &'c ReadCaps,
}

impl<'c> CellCount<'c> {
    pub(crate) fn new(caps: &'c ReadCaps) -> Self {
        Self { left: caps.cells, caps }
    }

    pub(crate) fn take(&mut self, cells: usize) -> Result<(), Fault> {
        let taken = u64::try_from(cells).ok().and_then(|cells| self.left.checked_sub(cells));
        self.left = taken.ok_or_else(|| Fault::of_file(&fault::FILE_TOO_MANY_CELLS).with(self.caps.cells))?;
        Ok(())
    }
}

/// Ends a file whose sheets were all read.
pub(crate) fn finished(schema: &Schema, found: bool, reading: Reading) -> Result<Reading, Fault> {
    if !found {
        return Err(Fault::of_file(&fault::HEADER_MISSING).with(schema.id()));
    }
    if reading.rows == 0 { Err(Fault::of_file(&fault::FILE_EMPTY)) } else { Ok(reading) }
}
