//! Text files: the character set, the separator, and rows (RFC 4180 with any of three separators).
//!
//! Stricter than common readers: a quotation mark where the grammar has none is a fault of that row, never guessed away.

use std::io::Read;

use xinqiao_schemas::Schema;

use crate::fault::{self, Fault, Place, Problem};
use crate::read::cell::{Cells, Value};
use crate::read::header::Names;
use crate::read::table::{CellCount, Shape, Table, finished};
use crate::read::{EachRow, ReadCaps, ReadOptions, Reading, TextCharset};

pub(crate) fn read<R: Read>(
    schema: &Schema,
    start: &[u8],
    source: R,
    options: &ReadOptions,
    each: EachRow<'_>,
) -> Result<Reading, Fault> {
    let caps = &options.caps;
    if let Some(problem) = something_else(start, options.charset) {
        return Err(Fault::of_file(problem));
    }
    let mut bytes = Vec::new();
    let read = source.take(caps.text_bytes.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|_| Fault::of_file(&fault::FILE_UNREADABLE))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > caps.text_bytes) {
        return Err(Fault::of_file(&fault::FILE_TOO_LARGE).with(caps.text_bytes));
    }
    let names = Names::new(schema);
    let text = decoded(&bytes, options.charset, &names, caps)?;
    drop(bytes);
    let (text, separator, skipped) = match declared_separator(&text) {
        Some((rest, separator)) => (rest, separator, 1),
        None => (text.as_str(), likely_separator(&text, &names, caps), 0),
    };
    let mut reading = Reading::default();
    let mut table = Table::new(schema, &names, caps, None, &mut reading, each);
    let mut count = CellCount::new(caps);
    let mut rows = Rows { text, at: 0, number: skipped, separator, caps };
    while let Some((number, cells, shape)) = rows.next()? {
        count.take(cells.len())?;
        table.row(number, cells, shape)?;
    }
    let found = table.end()?;
    finished(schema, found, reading)
}

/// What is no text of a table, told by its first bytes.
fn something_else(start: &[u8], declared: Option<TextCharset>) -> Option<&'static Problem> {
    let shown = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start).trim_ascii_start();
    let begins = |word: &[u8]| shown.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    const PAGES: [&[u8]; 8] =
        [b"<html", b"<!doctype html", b"<table", b"<head", b"<meta", b"<body", b"<style", b"mime-version:"];
    if PAGES.iter().any(|word| begins(word)) {
        return Some(&fault::FILE_HTML);
    }
    if begins(b"<?xml") {
        let page = shown.windows(5).any(|at| at.eq_ignore_ascii_case(b"<html"));
        return Some(if page { &fault::FILE_HTML } else { &fault::FILE_XML });
    }
    // Only UTF-16 has zero bytes, and tells so by its mark, its declaration, or by where they stand.
    let utf16 = start.starts_with(b"\xFF\xFE")
        || start.starts_with(b"\xFE\xFF")
        || matches!(declared, Some(TextCharset::Utf16Le | TextCharset::Utf16Be))
        || unmarked_utf16(start).is_some();
    let control = start.iter().filter(|b| **b < 0x20 && !b"\t\r\n\x0C".contains(b)).count();
    (!utf16 && control > 0 && (start.contains(&0) || control * 20 > start.len()))
        .then_some(&fault::FILE_BINARY)
}

/// UTF-16 without a mark: separators, digits and line ends have zero bytes, all on one side.
fn unmarked_utf16(start: &[u8]) -> Option<TextCharset> {
    let zeros = |side: usize| start.iter().skip(side).step_by(2).filter(|b| **b == 0).count();
    let (high_first, low_first) = (zeros(0), zeros(1));
    let enough = start.len() / 20 + 2;
    match (high_first, low_first) {
        (0, n) if n >= enough => Some(TextCharset::Utf16Le),
        (n, 0) if n >= enough => Some(TextCharset::Utf16Be),
        _ => None,
    }
}

fn decoded(
    bytes: &[u8],
    declared: Option<TextCharset>,
    names: &Names,
    caps: &ReadCaps,
) -> Result<String, Fault> {
    const MARKS: [(&[u8], TextCharset); 3] = [
        (b"\xEF\xBB\xBF", TextCharset::Utf8),
        (b"\xFF\xFE", TextCharset::Utf16Le),
        (b"\xFE\xFF", TextCharset::Utf16Be),
    ];
    let mark = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark));
    let body = mark.map_or(bytes, |(mark, _)| &bytes[mark.len()..]);
    let wrong = |charset| Fault::of_file(&fault::FILE_ENCODING).with(name(charset));
    match (declared, mark) {
        // Two statements that contradict each other: neither is believed.
        (Some(said), Some((_, marked))) if said != *marked => Err(wrong(said)),
        (Some(charset), _) | (None, Some(&(_, charset))) => {
            exactly(charset, body).ok_or_else(|| wrong(charset))
        }
        (None, None) => {
            let sample = &body[..body.len().min(4096)];
            if let Some(charset) = unmarked_utf16(sample) {
                return exactly(charset, body).ok_or_else(|| wrong(charset));
            }
            if let Some(text) = exactly(TextCharset::Utf8, body) {
                return Ok(text);
            }
            let text = exactly(TextCharset::Gb18030, body);
            text.filter(|text| is_chinese(body, text, names, caps))
                .ok_or_else(|| Fault::of_file(&fault::FILE_ENCODING_UNSURE))
        }
    }
}

fn name(charset: TextCharset) -> &'static str {
    match charset {
        TextCharset::Utf8 => "UTF-8",
        TextCharset::Utf16Le => "UTF-16LE",
        TextCharset::Utf16Be => "UTF-16BE",
        TextCharset::Gb18030 => "GB18030",
    }
}

fn exactly(charset: TextCharset, body: &[u8]) -> Option<String> {
    let encoding = match charset {
        TextCharset::Utf8 => encoding_rs::UTF_8,
        TextCharset::Utf16Le => encoding_rs::UTF_16LE,
        TextCharset::Utf16Be => encoding_rs::UTF_16BE,
        TextCharset::Gb18030 => encoding_rs::GB18030,
    };
    encoding.decode_without_bom_handling_and_without_replacement(body).map(|text| text.into_owned())
}

/// Whether bytes that decode as GB18030 were meant so: a title of the schema in Chinese says it; else nearly all
/// characters must be punctuation or among the 3,755 most frequent (GB/T 2312, level 1), which text in Big5, Shift JIS or
/// a Western set is not when read as GB18030.
fn is_chinese(body: &[u8], text: &str, names: &Names, caps: &ReadCaps) -> bool {
    let separator = likely_separator(text, names, caps);
    let chinese = |value: &str| !value.is_ascii() && names.slot(value).is_some();
    let titles =
        head(text, separator, caps).iter().flatten().filter(|(_, value)| chinese(&value.text())).count();
    if titles >= 2 {
        return true;
    }
    let (mut all, mut frequent, mut at) = (0_usize, 0_usize, 0);
    while let Some(&lead) = body.get(at) {
        if lead < 0x80 {
            at += 1;
            continue;
        }
        let trail = body.get(at + 1).copied().unwrap_or(0);
        all += 1;
        frequent +=
            usize::from(trail >= 0xA1 && ((0xB0..=0xD7).contains(&lead) || (0xA1..=0xA3).contains(&lead)));
        at += if trail.is_ascii_digit() { 4 } else { 2 };
    }
    all >= 8 && frequent * 10 >= all * 9
}

const SEPARATORS: [char; 3] = [',', '\t', ';'];

/// `sep=;` in the first line, which spreadsheet programs read and write.
fn declared_separator(text: &str) -> Option<(&str, char)> {
    let rest = text.strip_prefix("sep=")?;
    let separator = SEPARATORS.into_iter().find(|s| rest.starts_with(*s))?;
    let rest = rest[separator.len_utf8()..].trim_start_matches('\r').strip_prefix('\n')?;
    Some((rest, separator))
}

/// The separator with which a row among the first names most fields.
fn likely_separator(text: &str, names: &Names, caps: &ReadCaps) -> char {
    let score = |separator: char| {
        let rows = head(text, separator, caps);
        rows.iter().map(|cells| names.recognised(cells).0).max().unwrap_or(0)
    };
    // Of equal scores the first in the list.
    SEPARATORS.into_iter().rev().max_by_key(|separator| score(*separator)).unwrap_or(',')
}

/// The first rows as one separator parts them, up to the first that cannot be read.
fn head(text: &str, separator: char, caps: &ReadCaps) -> Vec<Cells> {
    let mut rows = Rows { text, at: 0, number: 0, separator, caps };
    let next = || rows.next().ok().flatten().map(|(_, cells, _)| cells);
    std::iter::from_fn(next).take(50).collect()
}

struct Rows<'t> {
    text: &'t str,
    at: usize,
    number: u32,
    separator: char,
    caps: &'t ReadCaps,
}

impl Rows<'_> {
    /// The next row with its number, its cells (blank ones too) and its shape.
    fn next(&mut self) -> Result<Option<(u32, Cells, Shape)>, Fault> {
        if self.at >= self.text.len() {
            return Ok(None);
        }
        self.number = self
            .number
            .checked_add(1)
            .ok_or_else(|| Fault::of_file(&fault::FILE_TOO_MANY_ROWS).with(self.caps.rows))?;
        let number = self.number;
        let mut cells = Cells::new();
        let mut column = 0_u32;
        let mut bad = None;
        loop {
            column += 1;
            // A spreadsheet has no more columns; what has, is no table.
            if column > 16_384 {
                return Err(Fault::of_file(&fault::FILE_TOO_MANY_CELLS).with(16_384));
            }
            let (text, sound) = self.cell(number, column)?;
            if !sound && bad.is_none() {
                bad = Some(column);
            }
            if text.len() > self.caps.cell_bytes {
                let place = Place::cell(None, number, column);
                return Err(Fault::new(&fault::FILE_CELL_TOO_LONG, place).with(self.caps.cell_bytes));
            }
            cells.push((column, Value::Text(text)));
            if self.rest().starts_with(self.separator) {
                self.at += self.separator.len_utf8();
            } else {
                self.end_of_row();
                break;
            }
        }
        Ok(Some((number, cells, bad.map_or(Shape::Wide(column), Shape::BadQuote))))
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Passes `\n`, `\r`, `\r\n` and the `\r\r\n` of a program that turned line ends into line ends twice.
    fn end_of_row(&mut self) {
        let rest = self.rest();
        let returns = rest.len() - rest.trim_start_matches('\r').len();
        let feed = rest[returns..].starts_with('\n');
        self.at += if feed { returns + 1 } else { returns.min(1) };
    }

    /// One cell up to its separator or line end, and whether its quotation marks are in order.
    fn cell(&mut self, number: u32, column: u32) -> Result<(String, bool), Fault> {
        let separator = self.separator;
        let ends = move |c: char| c == separator || c == '\n' || c == '\r';
        let rest = &self.text[self.at..];
        let Some(mut inside) = rest.strip_prefix('"') else {
            let length = rest.find(ends).unwrap_or(rest.len());
            self.at += length;
            return Ok((rest[..length].to_owned(), !rest[..length].contains('"')));
        };
        let mut text = String::new();
        loop {
            let Some(mark) = inside.find('"') else {
                return Err(Fault::new(&fault::FILE_QUOTE, Place::cell(None, number, column)));
            };
            text.push_str(&inside[..mark]);
            inside = &inside[mark + 1..];
            match inside.strip_prefix('"') {
                Some(after) => {
                    text.push('"');
                    inside = after;
                }
                None => break,
            }
        }
        let length = inside.find(ends).unwrap_or(inside.len());
        self.at = self.text.len() - inside.len() + length;
        Ok((text, length == 0))
    }
}
