//! Which rows name the fields, and which column is which field.

use std::collections::HashMap;
use std::sync::Arc;

use xinqiao_schemas::text::comparison_form;
use xinqiao_schemas::{Member, Schema};

use crate::fault::{self, Fault, Place, letters};
use crate::read::cell::Cells;

/// Names of a schema in comparison form: codes, titles and aliases of fields, names of members.
pub(crate) struct Names {
    slots: HashMap<String, usize>,
    enough: usize,
}

impl Names {
    pub(crate) fn new(schema: &Schema) -> Self {
        let mut slots = HashMap::new();
        let fields = schema.fields();
        // A code wins over a title that folds to the same, a title over an alias: the loader keeps exact names apart.
        for (slot, field) in fields.iter().enumerate() {
            slots.entry(comparison_form(field.code())).or_insert(slot);
        }
        for (slot, field) in fields.iter().enumerate() {
            slots.entry(comparison_form(field.title())).or_insert(slot);
        }
        for (slot, field) in fields.iter().enumerate() {
            for alias in field.aliases() {
                slots.entry(comparison_form(alias)).or_insert(slot);
            }
        }
        for (slot, member) in (fields.len()..).zip(Member::ALL) {
            slots.entry(comparison_form(member.name())).or_insert(slot);
        }
        Self { slots, enough: fields.len().min(2) }
    }

    /// The slot that a title names; marks of a required column are no part of it.
    pub(crate) fn slot(&self, title: &str) -> Option<usize> {
        let form = comparison_form(title);
        let bare = form.trim_matches('*').trim_end_matches("(必填)").trim_matches('*');
        self.slots.get(form.as_str()).or_else(|| self.slots.get(bare)).copied()
    }

    /// Different slots named in a row, and how many of its filled cells name one.
    pub(crate) fn recognised(&self, cells: &Cells) -> (usize, usize) {
        let mut slots: Vec<usize> = cells.iter().filter_map(|(_, value)| self.slot(&value.text())).collect();
        let named = slots.len();
        slots.sort_unstable();
        slots.dedup();
        (slots.len(), named)
    }

    /// True if a row with so many different names can be a header row.
    pub(crate) fn enough(&self, distinct: usize) -> bool {
        distinct >= self.enough.max(1)
    }
}

/// What a column is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Slot(usize),
    /// It numbers the rows.
    Numbering,
}

pub(crate) struct Header {
    /// By column number, 1 first.
    pub(crate) columns: HashMap<u32, Column>,
    pub(crate) of_slots: Arc<[(usize, u32)]>,
    /// The last column with a title.
    pub(crate) width: u32,
    /// Index of the last row of the header among the rows looked at.
    pub(crate) last: usize,
    pub(crate) first: usize,
}

/// Finds the header among the first rows of a sheet: the row that names most fields, with the rows next to it that name
/// further ones (titles that span two rows, groups of columns, a row of codes below the titles).
pub(crate) fn find(
    schema: &Schema,
    names: &Names,
    sheet: Option<&Arc<str>>,
    rows: &[(u32, Cells)],
) -> Result<Option<Header>, Fault> {
    let scores: Vec<(usize, usize)> = rows.iter().map(|(_, cells)| names.recognised(cells)).collect();
    // Of equal rows the first: a repeated header further down is no better.
    let Some(best) = (0..rows.len()).rev().max_by_key(|at| scores[*at].0) else { return Ok(None) };
    if !names.enough(scores[best].0) {
        return Ok(None);
    }
    // A row above belongs to the header if at least half of what it holds names fields, or if one is named over a column that is
    // untitled below. A row below must hold nothing but names: a record may well say in a cell what another column is called.
    let belongs = |at: usize| scores[at].1 > 0 && scores[at].1 * 2 >= rows[at].1.len();
    let above = |at: usize| {
        let titled = |column: u32| rows[best].1.iter().any(|(c, v)| *c == column && !v.is_blank());
        rows[at].1.iter().any(|(c, v)| !titled(*c) && names.slot(&v.text()).is_some())
    };
    let mut first = best;
    while first > 0 && rows[first - 1].0 + 1 == rows[first].0 && (belongs(first - 1) || above(first - 1)) {
        first -= 1;
    }
    let mut last = best;
    while last + 1 < rows.len()
        && rows[last].0 + 1 == rows[last + 1].0
        && scores[last + 1].1 == rows[last + 1].1.len()
    {
        last += 1;
    }
    let mut columns: HashMap<u32, Column> = HashMap::new();
    let mut unknown: Vec<(u32, u32)> = Vec::new();
    // From the lowest row up: the title nearest to the data is the column's, groups above it are not.
    for (row, cells) in rows[first..=last].iter().rev() {
        for (column, value) in cells.iter().filter(|(_, value)| !value.is_blank()) {
            match names.slot(&value.text()) {
                Some(slot) => match columns.insert(*column, Column::Slot(slot)) {
                    Some(Column::Slot(below)) if below != slot => {
                        let place = Place::cell(sheet, *row, *column);
                        return Err(Fault::new(&fault::HEADER_CONFLICT, place));
                    }
                    _ => unknown.retain(|(_, c)| c != column),
                },
                None if columns.contains_key(column) || unknown.iter().any(|(_, c)| c == column) => {}
                None if numbers_rows(&value.text()) => {
                    columns.insert(*column, Column::Numbering);
                }
                // A group that spans columns stands in the first of them, and those are named below it.
                None if *row < rows[best].0 => {}
                None => unknown.push((*row, *column)),
            }
        }
    }
    if let Some((row, column)) = unknown.first() {
        let place = Place::cell(sheet, *row, *column);
        return Err(Fault::new(&fault::HEADER_UNKNOWN, place).with(schema.id()));
    }
    let mut of_slots: Vec<(usize, u32)> = Vec::new();
    let mut numbers: Vec<u32> = columns.keys().copied().collect();
    numbers.sort_unstable();
    for column in &numbers {
        let Column::Slot(slot) = columns[column] else { continue };
        if let Some((_, before)) = of_slots.iter().find(|(known, _)| *known == slot) {
            let fields = schema.fields();
            let name = fields.get(slot).map_or_else(|| Member::ALL[slot - fields.len()].name(), |f| f.code());
            let place = Place::cell(sheet, rows[best].0, *column);
            return Err(Fault::new(&fault::HEADER_TWICE, place).with(letters(*before)).with(name));
        }
        of_slots.push((slot, *column));
    }
    let width = numbers.last().copied().unwrap_or(0);
    Ok(Some(Header { columns, of_slots: of_slots.into(), width, last, first }))
}

fn numbers_rows(title: &str) -> bool {
    matches!(comparison_form(title).as_str(), "序号" | "编号" | "行号" | "no" | "no." | "#")
}
