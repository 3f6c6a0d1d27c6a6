//! The rows of one sheet: each cell by its column, as what it is.

use std::io::Read;

use quick_xml::events::{BytesStart, Event};
use xinqiao_schemas::Date;

use crate::fault::{self, Fault, Place};
use crate::read::ReadCaps;
use crate::read::cell::{Cells, Value};
use crate::read::markup::{Markup, append, attribute};
use crate::read::merged::address;
use crate::read::strings::Strings;
use crate::read::xlsx::styles::Styles;

/// What the cells of a sheet need of the workbook.
pub(crate) struct Book {
    pub(crate) strings: Strings,
    pub(crate) styles: Styles,
    /// Days count from 1904.
    pub(crate) from_1904: bool,
}

/// One row as it stands in the sheet.
pub(crate) struct SheetRow {
    pub(crate) number: u32,
    pub(crate) hidden: bool,
    pub(crate) cells: Cells,
}

/// Reads a sheet's part and hands over its rows, those without cells left out.
pub(crate) fn rows<R: Read>(
    part: R,
    book: &mut Book,
    caps: &ReadCaps,
    each: &mut dyn FnMut(SheetRow) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut markup = Markup::new(part, caps);
    let mut sheet = Sheet { book, caps, data: false, row: None, number: 0, cell: None, bytes: 0 };
    loop {
        match markup.next()? {
            Event::Start(tag) => sheet.start(&tag)?,
            Event::Empty(tag) => {
                sheet.start(&tag)?;
                if let Some(row) = sheet.end(tag.local_name().as_ref())? {
                    each(row)?;
                }
            }
            Event::End(tag) => {
                if let Some(row) = sheet.end(tag.local_name().as_ref())? {
                    each(row)?;
                }
            }
            Event::Eof => return Ok(()),
            event => sheet.text(&event)?,
        }
    }
}

struct Sheet<'s> {
    book: &'s mut Book,
    caps: &'s ReadCaps,
    /// Within the element that holds the rows.
    data: bool,
    row: Option<SheetRow>,
    /// Of the last row that was begun.
    number: u32,
    cell: Option<Cell>,
    /// Of texts in this row.
    bytes: usize,
}

#[derive(Default)]
struct Cell {
    column: u32,
    kind: Kind,
    date: bool,
    formula: bool,
    text: String,
    /// Within an element whose text is the value.
    inside: bool,
    phonetic: bool,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Kind {
    #[default]
    Number,
    Shared,
    /// Result of a formula.
    Result,
    Inline,
    Boolean,
    Error,
    Date,
    Other,
}

impl Sheet<'_> {
    fn damaged(&self) -> Fault {
        Fault::of_file(&fault::FILE_DAMAGED)
    }

    fn start(&mut self, tag: &BytesStart<'_>) -> Result<(), Fault> {
        match tag.local_name().as_ref() {
            "sheetData" => self.data = true,
            "row" if self.data => self.begin_row(tag)?,
            "c" if self.row.is_some() => self.begin_cell(tag)?,
            name => {
                if let Some(cell) = &mut self.cell {
                    match name {
                        "f" => cell.formula = true,
                        "v" => cell.inside = cell.kind != Kind::Inline,
                        "rPh" => cell.phonetic = true,
                        "t" => cell.inside = cell.kind == Kind::Inline && !cell.phonetic,
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Rows and cells name their place, or follow the one before. Backwards they never go.
    fn begin_row(&mut self, tag: &BytesStart<'_>) -> Result<(), Fault> {
        let next = self.number + 1;
        let number = match attribute(tag, "r")? {
            Some(number) => number.trim().parse().map_err(|_| self.damaged())?,
            None => next,
        };
        if self.row.is_some() || number < next || number > 1_048_576 {
            return Err(self.damaged());
        }
        let hidden = matches!(attribute(tag, "hidden")?.as_deref(), Some("1" | "true"));
        self.number = number;
        self.bytes = 0;
        self.row = Some(SheetRow { number, hidden, cells: Cells::new() });
        Ok(())
    }

    fn begin_cell(&mut self, tag: &BytesStart<'_>) -> Result<(), Fault> {
        let mut cell = Cell::default();
        let before = self.row.as_ref().and_then(|row| row.cells.last()).map_or(0, |(column, _)| *column);
        cell.column = before + 1;
        for attribute in tag.attributes().with_checks(false) {
            let attribute = attribute.map_err(|_| self.damaged())?;
            let value = attribute.value.trim();
            match attribute.key.as_ref() {
                "r" => {
                    let (column, row) = address(value).ok_or_else(|| self.damaged())?;
                    if row != self.number {
                        return Err(self.damaged());
                    }
                    cell.column = column;
                }
                "s" => cell.date = value.parse().is_ok_and(|style| self.book.styles.shows_date(style)),
                "t" => {
                    cell.kind = match value {
                        "n" => Kind::Number,
                        "s" => Kind::Shared,
                        "str" => Kind::Result,
                        "inlineStr" => Kind::Inline,
                        "b" => Kind::Boolean,
                        "e" => Kind::Error,
                        "d" => Kind::Date,
                        _ => Kind::Other,
                    }
                }
                _ => {}
            }
        }
        if self.cell.is_some() || cell.column <= before || cell.column > 16_384 {
            return Err(self.damaged());
        }
        self.cell = Some(cell);
        Ok(())
    }

    fn text(&mut self, event: &Event<'_>) -> Result<(), Fault> {
        let Some(cell) = self.cell.as_mut().filter(|cell| cell.inside) else { return Ok(()) };
        append(&mut cell.text, event, self.caps).map_err(|fault| fault.at(self.number, cell.column))
    }

    fn end(&mut self, name: &str) -> Result<Option<SheetRow>, Fault> {
        match name {
            "sheetData" => self.data = false,
            "row" => return Ok(self.row.take()),
            "c" => self.end_cell()?,
            "v" | "t" => {
                if let Some(cell) = &mut self.cell {
                    cell.inside = false;
                }
            }
            "rPh" => {
                if let Some(cell) = &mut self.cell {
                    cell.phonetic = false;
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn end_cell(&mut self) -> Result<(), Fault> {
        let Some(cell) = self.cell.take() else { return Ok(()) };
        let column = cell.column;
        let value = self.value(cell)?;
        let Some(row) = &mut self.row else { return Ok(()) };
        if let Value::Text(text) = &value {
            if text.len() > self.caps.cell_bytes {
                let place = Place::cell(None, row.number, column);
                return Err(Fault::new(&fault::FILE_CELL_TOO_LONG, place).with(self.caps.cell_bytes));
            }
            self.bytes += text.len();
            if self.bytes > self.caps.row_bytes {
                let place = Place::row_of(None, row.number);
                return Err(Fault::new(&fault::FILE_ROW_TOO_LONG, place).with(self.caps.row_bytes));
            }
        }
        // Blank cells are kept until the row ends: the next one may count its column from them.
        row.cells.push((column, value));
        Ok(())
    }

    fn value(&mut self, cell: Cell) -> Result<Value, Fault> {
        let text = cell.text;
        let trimmed = text.trim();
        Ok(match cell.kind {
            Kind::Shared if trimmed.is_empty() => Value::Text(String::new()),
            Kind::Shared => {
                let number = trimmed.parse().ok();
                let shared = number.map(|number| self.book.strings.get(number)).transpose()?.flatten();
                shared.map_or(Value::Unreadable, |text| Value::Text(unescaped(text)))
            }
            // A formula may well result in nothing; one that was never calculated has no result of this kind.
            Kind::Result | Kind::Inline => Value::Text(unescaped(text)),
            Kind::Number if cell.formula && matches!(trimmed, "" | "0") => Value::Uncalculated,
            Kind::Number if trimmed.is_empty() => Value::Text(String::new()),
            Kind::Number => match trimmed.parse::<f64>() {
                Ok(number) if !number.is_finite() => Value::Unreadable,
                Ok(number) if cell.date => day(number, self.book.from_1904),
                Ok(number) => Value::Number(number),
                Err(_) => Value::Unreadable,
            },
            Kind::Boolean if trimmed.is_empty() => Value::Text(String::new()),
            Kind::Boolean => Value::Boolean,
            Kind::Error => Value::Error,
            Kind::Date => iso_day(trimmed),
            Kind::Other => Value::Unreadable,
        })
    }
}

/// The day of a number in a cell that shows dates.
pub(crate) fn day(number: f64, from_1904: bool) -> Value {
    // The system of 1900 counts a 29 February 1900 that never was: before 1 March (61) programs disagree by a day.
    let first = if from_1904 { 0.0 } else { 61.0 };
    // 31 December 9999
    if !(first..2_958_466.0).contains(&number) {
        return Value::NoDay;
    }
    let from_1970 = if from_1904 { 24_107 } else { 25_569 };
    let seconds = (number * 86_400.0).round();
    let days = (seconds / 86_400.0).floor();
    #[expect(clippy::cast_possible_truncation, reason = "both are whole numbers below 3 million and 86,400")]
    let (whole, rest) = (days as i32, (seconds - days * 86_400.0) as i32);
    let rest = u32::try_from(rest).unwrap_or(0);
    Date::from_days(whole - from_1970).map_or(Value::NoDay, |date| Value::Day(date, rest))
}

/// `2026-11-20` or `2026-11-20T00:00:00`, with or without a fraction.
pub(crate) fn iso_day(text: &str) -> Value {
    let (day, time) = text.split_once('T').unwrap_or((text, ""));
    let mut parts = day.split('-').map(|part| part.parse::<u16>().ok());
    let (Some(Some(year)), Some(Some(month)), Some(Some(date)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Value::Unreadable;
    };
    let month = u8::try_from(month).ok();
    let date = u8::try_from(date).ok();
    let Some(date) = month.zip(date).and_then(|(month, date)| Date::new(year, month, date)) else {
        return Value::Unreadable;
    };
    let time = time.trim_end_matches('Z');
    if time.bytes().any(|b| !(b.is_ascii_digit() || b == b':' || b == b'.')) {
        return Value::Unreadable;
    }
    let mut seconds = 0;
    for (part, of) in time.split(['.']).next().unwrap_or("").split(':').zip([3_600, 60, 1]) {
        seconds += part.parse::<u32>().unwrap_or(0).min(59) * of;
    }
    Value::Day(date, seconds)
}

/// `_x000D_` stands for a character that XML cannot hold, `_x005F_` for the mark that begins such an escape.
fn unescaped(text: String) -> String {
    if !text.contains("_x") {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let code = rest.strip_prefix("_x").and_then(|at| at.get(..5)).filter(|at| at.ends_with('_'));
        match code.and_then(|at| u16::from_str_radix(&at[..4], 16).ok()) {
            Some(unit) => {
                units.push(unit);
                rest = &rest[7..];
            }
            None => {
                out.push_str(&String::from_utf16_lossy(&units));
                units.clear();
                let next = rest.chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..next]);
                rest = &rest[next..];
            }
        }
    }
    out.push_str(&String::from_utf16_lossy(&units));
    out
}

#[cfg(test)]
mod tests {
    use super::{day, iso_day, unescaped};
    use crate::read::cell::Value;
    use xinqiao_schemas::Date;

    fn shown(value: &Value) -> String {
        match value {
            Value::Day(date, seconds) => {
                let mut out = Vec::new();
                date.write_slash(&mut out);
                format!("{} {seconds}", String::from_utf8_lossy(&out))
            }
            _ => "-".into(),
        }
    }

    #[test]
    fn days_count_from_1900_or_1904() {
        assert_eq!(shown(&day(46_346.0, false)), "2026/11/20 0");
        assert_eq!(shown(&day(46_346.0 - 1_462.0, true)), "2026/11/20 0");
        assert_eq!(shown(&day(46_346.999_999_99, false)), "2026/11/21 0");
        assert_eq!(shown(&day(46_346.5, false)), "2026/11/20 43200");
        assert_eq!(shown(&day(61.0, false)), "1900/03/01 0");
        assert_eq!(shown(&day(0.0, true)), "1904/01/01 0");
        assert_eq!(shown(&day(2_958_465.0, false)), "9999/12/31 0");
        for none in [60.0, 0.5, -1.0, 2_958_466.0, f64::NAN, f64::INFINITY] {
            assert_eq!(shown(&day(none, false)), "-", "{none}");
        }
        assert_eq!(Date::new(2026, 11, 20).map(|d| d.to_days()), Some(46_346 - 25_569));
    }

    #[test]
    fn written_days_are_read_whole() {
        assert_eq!(shown(&iso_day("2026-11-20")), "2026/11/20 0");
        assert_eq!(shown(&iso_day("2026-11-20T00:00:00.000Z")), "2026/11/20 0");
        assert_eq!(shown(&iso_day("2026-11-20T10:30:00")), "2026/11/20 37800");
        for none in ["2026-02-30", "PT12H", "2026-11", "", "2026-11-20T+8"] {
            assert_eq!(shown(&iso_day(none)), "-", "{none}");
        }
    }

    #[test]
    fn escapes_of_characters_are_read_and_others_left() {
        for (text, read) in [
            ("a_x000D_b", "a\rb"),
            ("_x005F_x000D_", "_x000D_"),
            ("_xD842__xDFB7_", "𠮷"),
            ("_x12", "_x12"),
            ("_x00zz_", "_x00zz_"),
            ("号_x号号号号", "号_x号号号号"),
        ] {
            assert_eq!(unescaped(text.into()), read);
        }
    }
}
