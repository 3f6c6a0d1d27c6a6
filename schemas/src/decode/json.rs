//! Strict RFC 8259, read straight into the slots of a record.

mod reader;

use crate::decode::{BodyError, Bounds, Each, Format};
use crate::finding::Finding;
use crate::problem;
use crate::record::RawRecord;
use crate::schema::Schema;
use reader::{Reader, Stop};

/// One object, or an array of objects.
pub(crate) fn document<'a>(
    schema: &Schema,
    text: &'a str,
    caps: &Bounds<'_>,
    each: Each<'_, 'a>,
) -> Result<u32, BodyError> {
    let mut reader = Reader::new(text);
    let mut count = 0;
    reader.white();
    match reader.peek() {
        None => return Err(BodyError::new(&problem::BODY_EMPTY)),
        Some(b'[') => {
            reader.at += 1;
            reader.white();
            if reader.peek() == Some(b']') {
                return Err(BodyError::new(&problem::BODY_EMPTY));
            }
            loop {
                if count >= caps.records {
                    let error = BodyError::new(&problem::BODY_TOO_MANY_RECORDS);
                    return Err(error.with(caps.records.to_string()).after(count));
                }
                let record =
                    reader.record(schema, caps, 2).map_err(|stop| reader.broken(stop, caps, count))?;
                each(count, record);
                count += 1;
                reader.white();
                match reader.peek() {
                    Some(b',') => {
                        reader.at += 1;
                        reader.white();
                    }
                    Some(b']') => {
                        reader.at += 1;
                        break;
                    }
                    _ => return Err(reader.broken(Stop::Syntax, caps, count)),
                }
            }
        }
        Some(_) => {
            let record = reader.record(schema, caps, 1).map_err(|stop| reader.broken(stop, caps, 0))?;
            each(0, record);
            count = 1;
        }
    }
    reader.white();
    if reader.peek().is_some() {
        let error = BodyError::new(&problem::BODY_TRAILING);
        return Err(error.with(Format::Json.name()).with(reader.at.to_string()).after(count));
    }
    Ok(count)
}

/// One object a line; blank lines do not count.
pub(crate) fn lines<'a>(
    schema: &Schema,
    text: &'a str,
    caps: &Bounds<'_>,
    each: Each<'_, 'a>,
) -> Result<u32, BodyError> {
    let mut lines = Lines { caps, count: 0 };
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]) {
        if start < end {
            lines.line(schema, &text[start..end], each)?;
        }
        start = end + 1;
    }
    lines.finish()
}

/// The same for a body of which some lines are not UTF-8: those are refused, the others read.
pub(crate) fn lines_of_bytes<'a>(
    schema: &Schema,
    body: &'a [u8],
    caps: &Bounds<'_>,
    each: Each<'_, 'a>,
) -> Result<u32, BodyError> {
    let mut lines = Lines { caps, count: 0 };
    for line in body.split(|byte| *byte == b'\n') {
        match std::str::from_utf8(line) {
            Ok(line) => lines.line(schema, line, each)?,
            Err(_) => lines.deliver(Err(vec![Finding::refuse(&problem::RECORD_ENCODING)]), each)?,
        }
    }
    lines.finish()
}

struct Lines<'c> {
    caps: &'c Bounds<'c>,
    count: u32,
}

impl Lines<'_> {
    fn line<'a>(&mut self, schema: &Schema, line: &'a str, each: Each<'_, 'a>) -> Result<(), BodyError> {
        let mut reader = Reader::new(line);
        reader.white();
        if reader.peek().is_none() {
            return Ok(());
        }
        if line.len() > self.caps.record_bytes {
            let finding = Finding::refuse(&problem::RECORD_TOO_LARGE).with_number(self.caps.record_bytes);
            return self.deliver(Err(vec![finding]), each);
        }
        let record = reader.record(schema, self.caps, 1).and_then(|record| {
            reader.white();
            if reader.peek().is_some() { Err(Stop::Syntax) } else { Ok(record) }
        });
        let record = record.unwrap_or_else(|stop| {
            Err(vec![match stop {
                Stop::Syntax => Finding::refuse(&problem::RECORD_SYNTAX).with_number(reader.at),
                Stop::Deep => Finding::refuse(&problem::RECORD_TOO_DEEP).with_number(self.caps.depth),
                Stop::Many => {
                    Finding::refuse(&problem::RECORD_TOO_MANY_FIELDS).with_number(self.caps.fields_per_record)
                }
                Stop::Large => {
                    Finding::refuse(&problem::RECORD_TOO_LARGE).with_number(self.caps.record_bytes)
                }
            }])
        });
        self.deliver(record, each)
    }

    fn deliver<'a>(
        &mut self,
        record: Result<RawRecord<'a>, Vec<Finding>>,
        each: Each<'_, 'a>,
    ) -> Result<(), BodyError> {
        if self.count >= self.caps.records {
            let error = BodyError::new(&problem::BODY_TOO_MANY_RECORDS);
            return Err(error.with(self.caps.records.to_string()).after(self.count));
        }
        each(self.count, record);
        self.count += 1;
        Ok(())
    }

    fn finish(self) -> Result<u32, BodyError> {
        if self.count == 0 { Err(BodyError::new(&problem::BODY_EMPTY)) } else { Ok(self.count) }
    }
}
