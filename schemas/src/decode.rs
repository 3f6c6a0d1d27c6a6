//! Bodies become records: JSON, NDJSON, XML and CSV, in UTF-8 or GB18030.
//!
//! Promises: streams over the body and borrows from it; every count, depth and length is capped before memory is spent on it;
//! a bad record never hides the others where the format allows it (an NDJSON line, a CSV row, a JSON array element, an XML
//! record); a broken document says how many records came before the break.

mod csv;
mod json;
mod scan;
pub(crate) use scan::special;
mod sink;
mod xml;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::ops::Deref;

use crate::finding::{Finding, fill};
use crate::problem::{self, Problem};
use crate::record::RawRecord;
use crate::schema::Schema;

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One object or an array of objects.
    Json,
    /// One object a line.
    Ndjson,
    /// `<records><record><CODE>…</CODE></record></records>`.
    Xml,
    /// RFC 4180 with a header row.
    Csv,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Ndjson => "NDJSON",
            Self::Xml => "XML",
            Self::Csv => "CSV",
        }
    }
}

/// The character set of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Charset {
    /// UTF-8, with or without a byte order mark.
    Utf8,
    /// GB18030, and with it GBK and GB2312.
    Gb18030,
}

/// Limits on what one body may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Records in one body.
    pub records: u32,
    /// Members of one record.
    pub fields_per_record: usize,
    /// Levels of nesting (a record's members are level 1 or, in an array, 2).
    pub depth: usize,
    /// Bytes of one value.
    pub value_bytes: usize,
    /// Bytes of one record.
    pub record_bytes: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            records: 100_000,
            fields_per_record: 256,
            depth: 4,
            value_bytes: 64 << 10,
            record_bytes: 1 << 20,
        }
    }
}

/// Caps, and how many hints about misspelt names this body may still cost: finding the nearest name is slow, and a body
/// may hold nothing but wrong names.
struct Bounds<'c> {
    caps: &'c Caps,
    hints: Cell<u32>,
}

const MOST_HINTS: u32 = 100;

impl Deref for Bounds<'_> {
    type Target = Caps;

    fn deref(&self) -> &Caps {
        self.caps
    }
}

impl Bounds<'_> {
    /// ` NAME?` for the known name nearest to an unknown one, while hints last.
    fn hint(&self, schema: &Schema, name: &str) -> String {
        let left = self.hints.get();
        if left == 0 {
            return String::new();
        }
        self.hints.set(left - 1);
        schema.names.nearest(name).map(|near| format!(" {near}?")).unwrap_or_default()
    }
}

/// Receives each record by its zero-based ordinal, or what makes it unreadable.
pub type Each<'e, 'a> = &'e mut dyn FnMut(u32, Result<RawRecord<'a>, Vec<Finding>>);

/// Reads a body and hands over its records one by one; gives the number of records.
///
/// # Errors
/// The document is broken. Records before the break were handed over: the caller decides about them.
pub fn decode<'a>(
    schema: &Schema,
    format: Format,
    charset: Charset,
    body: &'a [u8],
    caps: &Caps,
    each: Each<'_, 'a>,
) -> Result<u32, BodyError> {
    let caps = &Bounds { caps, hints: Cell::new(MOST_HINTS) };
    match charset {
        Charset::Utf8 => {
            let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
            // encoding_rs checks several times faster than the standard library, and borrows what is valid.
            match encoding_rs::UTF_8.decode_without_bom_handling_and_without_replacement(body) {
                Some(Cow::Borrowed(text)) => decode_text(schema, format, text, caps, each),
                _ => not_utf8(schema, format, body, caps, each),
            }
        }
        Charset::Gb18030 => {
            let gb = encoding_rs::GB18030;
            let text = gb.decode_without_bom_handling_and_without_replacement(body).ok_or_else(|| {
                let at = gb.new_decoder_without_bom_handling();
                BodyError::new(&problem::BODY_ENCODING)
                    .with("GB18030")
                    .with(first_bad_gb(at, body).to_string())
            })?;
            match text {
                Cow::Borrowed(text) => decode_text(schema, format, text, caps, each),
                Cow::Owned(text) => decode_text(schema, format, &text, caps, &mut |ordinal, record| {
                    each(ordinal, record.map(RawRecord::into_owned));
                }),
            }
        }
    }
}

fn decode_text<'a>(
    schema: &Schema,
    format: Format,
    text: &'a str,
    caps: &Bounds<'_>,
    each: Each<'_, 'a>,
) -> Result<u32, BodyError> {
    match format {
        Format::Json => json::document(schema, text, caps, each),
        Format::Ndjson => json::lines(schema, text, caps, each),
        Format::Xml => xml::document(schema, text, caps, each),
        Format::Csv => csv::table(schema, text, caps, each),
    }
}

/// A body that is not UTF-8 although it should be. A whole file in GB18030 gets a hint; NDJSON loses only the bad lines.
fn not_utf8<'a>(
    schema: &Schema,
    format: Format,
    body: &'a [u8],
    caps: &Bounds<'_>,
    each: Each<'_, 'a>,
) -> Result<u32, BodyError> {
    let at = encoding_rs::Encoding::utf8_valid_up_to(body);
    let bad_from = body.get(at..).unwrap_or_default();
    // Only the last character is incomplete: the transfer ended in the middle of it, the character set is right.
    let cut = std::str::from_utf8(bad_from).is_err_and(|error| error.error_len().is_none());
    if cut {
        return match format {
            Format::Ndjson => json::lines_of_bytes(schema, body, caps, each),
            _ => Err(BodyError::new(&problem::BODY_TRUNCATED).with(format.name())),
        };
    }
    let sample = &bad_from[..bad_from.len().min(1 << 20)];
    // A cut sample may end inside a character: a decoder that is not told of the end only rejects what cannot be.
    let mut text = String::with_capacity(sample.len() * 2);
    let (result, _) = encoding_rs::GB18030
        .new_decoder_without_bom_handling()
        .decode_to_string_without_replacement(sample, &mut text, bad_from.len() == sample.len());
    let ideographs = text.chars().filter(|c| ('\u{4E00}'..='\u{9FFF}').contains(c)).count();
    let other = text.chars().filter(|c| !c.is_ascii()).count() - ideographs;
    if matches!(result, encoding_rs::DecoderResult::InputEmpty) && ideographs > other {
        return Err(BodyError::new(&problem::BODY_LOOKS_GB));
    }
    if format == Format::Ndjson {
        return json::lines_of_bytes(schema, body, caps, each);
    }
    Err(BodyError::new(&problem::BODY_ENCODING).with("UTF-8").with(at.to_string()))
}

fn first_bad_gb(mut decoder: encoding_rs::Decoder, body: &[u8]) -> usize {
    let mut out = [0_u16; 1024];
    let mut at = 0;
    loop {
        let (result, read, _) = decoder.decode_to_utf16_without_replacement(&body[at..], &mut out, true);
        at += read;
        match result {
            encoding_rs::DecoderResult::OutputFull => {}
            encoding_rs::DecoderResult::InputEmpty => return at,
            encoding_rs::DecoderResult::Malformed(length, _) => {
                return at.saturating_sub(usize::from(length));
            }
        }
    }
}

/// A document that is broken as a whole.
#[derive(Clone, PartialEq, Eq)]
pub struct BodyError {
    problem: &'static Problem,
    params: Vec<Cow<'static, str>>,
    delivered: u32,
}

impl BodyError {
    fn new(problem: &'static Problem) -> Self {
        Self { problem, params: Vec::new(), delivered: 0 }
    }

    fn with(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.params.push(param.into());
        self
    }

    fn after(mut self, delivered: u32) -> Self {
        self.delivered = delivered;
        self
    }

    /// The stable code, e.g. `body.syntax`.
    pub fn code(&self) -> &'static str {
        self.problem.code
    }

    /// Records handed over before the break.
    pub fn delivered(&self) -> u32 {
        self.delivered
    }

    /// What is wrong and what to do, in English.
    pub fn text_en(&self) -> String {
        fill(self.problem.en, &self.params)
    }

    /// What is wrong and what to do, in Chinese.
    pub fn text_zh(&self) -> String {
        fill(self.problem.zh, &self.params)
    }
}

impl fmt::Debug for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyError({}: {})", self.problem.code, self.text_en())
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text_en())
    }
}

impl std::error::Error for BodyError {}
