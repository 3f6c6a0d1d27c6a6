//! Reads JSON token by token, straight into the slots of a record.

use std::borrow::Cow;

use crate::decode::scan::special;
use crate::decode::sink::Sink;
use crate::decode::{BodyError, Bounds, Format};
use crate::finding::Finding;
use crate::problem;
use crate::record::{RawRecord, Slot};
use crate::schema::Schema;

/// Why reading stopped.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    Syntax,
    Deep,
    Many,
    Large,
}

pub(super) type Member<'a> = Result<RawRecord<'a>, Vec<Finding>>;

pub(super) struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// Bytes read so far.
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0 }
    }

    /// Reads one record. Outer error: the text is no JSON from here on. Inner error: it is, but not a record.
    pub(super) fn record(
        &mut self,
        schema: &Schema,
        caps: &Bounds<'_>,
        depth: usize,
    ) -> Result<Member<'a>, Stop> {
        let start = self.at;
        if self.peek() != Some(b'{') {
            self.skip_value(depth, caps.depth)?;
            return Ok(Err(vec![Finding::refuse(&problem::RECORD_NOT_OBJECT)]));
        }
        self.at += 1;
        let mut sink = Sink::new(schema, caps);
        self.white();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(sink.finish());
        }
        loop {
            self.expect(b'"')?;
            let (name, _) = self.string()?;
            let slot = sink.slot(&name);
            if sink.full() {
                return Err(Stop::Many);
            }
            self.white();
            self.expect(b':')?;
            self.white();
            match (slot, self.peek()) {
                (Some(slot), Some(b'"')) => {
                    self.at += 1;
                    let (text, whole) = self.string()?;
                    if whole {
                        sink.set(slot, Slot::Text(text));
                    } else {
                        sink.refuse_value(slot, Finding::refuse(&problem::FIELD_SURROGATE));
                    }
                }
                (Some(slot), Some(b'n')) => {
                    self.word(b"null")?;
                    sink.set(slot, Slot::Null);
                }
                (Some(slot), Some(b'-' | b'0'..=b'9')) => {
                    let number = self.number()?;
                    sink.set_number(slot, number);
                }
                (slot, _) => {
                    self.skip_value(depth + 1, caps.depth)?;
                    if let Some(slot) = slot {
                        sink.refuse_value(slot, Finding::refuse(&problem::FIELD_NOT_TEXT));
                    }
                }
            }
            if self.at - start > caps.record_bytes {
                return Err(Stop::Large);
            }
            self.white();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.white();
                }
                Some(b'}') => {
                    self.at += 1;
                    return Ok(sink.finish());
                }
                _ => return Err(Stop::Syntax),
            }
        }
    }

    /// Reads a string after its opening quote; false: it holds a lone surrogate.
    #[inline]
    fn string(&mut self) -> Result<(Cow<'a, str>, bool), Stop> {
        let start = self.at;
        let end = special(self.bytes, start);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok((Cow::Borrowed(&self.text[start..end]), true));
        }
        self.at = end;
        self.escaped(start)
    }

    #[cold]
    fn escaped(&mut self, start: usize) -> Result<(Cow<'a, str>, bool), Stop> {
        let mut out = String::from(&self.text[start..self.at]);
        let mut whole = true;
        loop {
            match self.next() {
                Some(b'"') => return Ok((Cow::Owned(out), whole)),
                Some(b'\\') => match self.next() {
                    Some(byte @ (b'"' | b'\\' | b'/')) => out.push(char::from(byte)),
                    Some(b'b') => out.push('\u{8}'),
                    Some(b'f') => out.push('\u{C}'),
                    Some(b'n') => out.push('\n'),
                    Some(b'r') => out.push('\r'),
                    Some(b't') => out.push('\t'),
                    Some(b'u') => match self.unicode_escape()? {
                        Some(character) => out.push(character),
                        None => whole = false,
                    },
                    _ => return Err(Stop::Syntax),
                },
                _ => return Err(Stop::Syntax),
            }
            let from = self.at;
            self.at = special(self.bytes, from);
            out.push_str(&self.text[from..self.at]);
        }
    }

    /// The character after `\u`, with its second half if it has one; none for half a pair.
    fn unicode_escape(&mut self) -> Result<Option<char>, Stop> {
        let first = self.hex4()?;
        if !(0xD800..0xE000).contains(&first) {
            return Ok(char::from_u32(first));
        }
        if first >= 0xDC00 || self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
            return Ok(None);
        }
        let before = self.at;
        self.at += 2;
        let second = self.hex4()?;
        if !(0xDC00..0xE000).contains(&second) {
            self.at = before;
            return Ok(None);
        }
        Ok(char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)))
    }

    fn hex4(&mut self) -> Result<u32, Stop> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(Stop::Syntax)?;
            value = value << 4 | digit;
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<&'a str, Stop> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next() {
            Some(b'0') => {}
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(Stop::Syntax),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Stop> {
        let start = self.at;
        self.digits();
        if self.at == start { Err(Stop::Syntax) } else { Ok(()) }
    }

    /// Passes over a value of any type that begins at this level.
    fn skip_value(&mut self, level: usize, cap: usize) -> Result<(), Stop> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string().map(drop)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(open @ (b'{' | b'[')) => {
                if level >= cap {
                    return Err(Stop::Deep);
                }
                self.at += 1;
                self.skip_inside(open, level, cap)
            }
            _ => Err(Stop::Syntax),
        }
    }

    fn skip_inside(&mut self, open: u8, level: usize, cap: usize) -> Result<(), Stop> {
        let close = if open == b'{' { b'}' } else { b']' };
        self.white();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            if open == b'{' {
                self.expect(b'"')?;
                self.string()?;
                self.white();
                self.expect(b':')?;
                self.white();
            }
            self.skip_value(level + 1, cap)?;
            self.white();
            match self.next() {
                Some(b',') => self.white(),
                Some(byte) if byte == close => return Ok(()),
                _ => return Err(Stop::Syntax),
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Stop> {
        if self.bytes.get(self.at..self.at + word.len()) == Some(word) {
            self.at += word.len();
            Ok(())
        } else {
            Err(Stop::Syntax)
        }
    }

    #[inline]
    pub(super) fn white(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Stop> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(Stop::Syntax)
        }
    }

    pub(super) fn broken(&self, stop: Stop, caps: &Bounds<'_>, delivered: u32) -> BodyError {
        let at = self.at.to_string();
        let error = match stop {
            Stop::Syntax if self.at >= self.bytes.len() => {
                BodyError::new(&problem::BODY_TRUNCATED).with(Format::Json.name())
            }
            Stop::Syntax => BodyError::new(&problem::BODY_SYNTAX).with(Format::Json.name()).with(at),
            Stop::Deep => BodyError::new(&problem::BODY_TOO_DEEP).with(caps.depth.to_string()).with(at),
            Stop::Many => BodyError::new(&problem::BODY_TOO_MANY_FIELDS)
                .with(caps.fields_per_record.to_string())
                .with(at),
            Stop::Large => {
                BodyError::new(&problem::BODY_RECORD_TOO_LARGE).with(caps.record_bytes.to_string()).with(at)
            }
        };
        error.after(delivered)
    }
}
