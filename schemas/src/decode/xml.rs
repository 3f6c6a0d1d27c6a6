//! `<records><record><CODE>text</CODE>…</record>…</records>`: elements and text, nothing else.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use crate::decode::sink::Sink;
use crate::decode::{BodyError, Bounds, Each, Format};
use crate::finding::Finding;
use crate::problem;
use crate::record::Slot;
use crate::schema::Schema;

pub(crate) fn document<'a>(
    schema: &Schema,
    text: &'a str,
    caps: &Bounds<'_>,
    each: Each<'_, 'a>,
) -> Result<u32, BodyError> {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.check_comments = true;
    let mut document = Document { reader, text, schema, caps, count: 0 };
    let result = document.read(each);
    let count = document.count;
    match result {
        Ok(()) if count == 0 => Err(BodyError::new(&problem::BODY_EMPTY)),
        Ok(()) => Ok(count),
        Err(error) => Err(error.after(count)),
    }
}

struct Document<'s, 'a> {
    reader: Reader<&'a [u8]>,
    text: &'a str,
    schema: &'s Schema,
    caps: &'s Bounds<'s>,
    count: u32,
}

impl<'a> Document<'_, 'a> {
    fn read(&mut self, each: Each<'_, 'a>) -> Result<(), BodyError> {
        self.open("records")?;
        loop {
            match self.event()? {
                Event::Start(start) if start.name().as_ref() == "record" => {
                    if self.count >= self.caps.records {
                        let error = BodyError::new(&problem::BODY_TOO_MANY_RECORDS);
                        return Err(error.with(self.caps.records.to_string()));
                    }
                    let record = self.record()?;
                    each(self.count, record);
                    self.count += 1;
                }
                Event::End(_) => break,
                event => self.only_space(&event)?,
            }
        }
        loop {
            match self.event()? {
                Event::Eof => return Ok(()),
                event => self.only_space(&event)?,
            }
        }
    }

    fn open(&mut self, name: &str) -> Result<(), BodyError> {
        loop {
            match self.event()? {
                Event::Start(start) if start.name().as_ref() == name => return Ok(()),
                Event::Decl(_) => {}
                Event::Eof if self.text.trim().is_empty() => {
                    return Err(BodyError::new(&problem::BODY_EMPTY));
                }
                event => self.only_space(&event)?,
            }
        }
    }

    fn record(&mut self) -> Result<Result<crate::record::RawRecord<'a>, Vec<Finding>>, BodyError> {
        let begin = self.reader.buffer_position();
        let mut sink = Sink::new(self.schema, self.caps);
        loop {
            match self.event()? {
                Event::Start(start) => {
                    let slot = sink.slot(start.name().as_ref());
                    if sink.full() {
                        return Err(self
                            .error(&problem::BODY_TOO_MANY_FIELDS, self.caps.fields_per_record.to_string()));
                    }
                    let value = self.value()?;
                    match (slot, value) {
                        (Some(slot), Some(text)) => sink.set(slot, Slot::Text(text)),
                        (Some(slot), None) => {
                            sink.refuse_value(slot, Finding::refuse(&problem::FIELD_NOT_TEXT))
                        }
                        (None, _) => {}
                    }
                    if self.reader.buffer_position() - begin > self.caps.record_bytes as u64 {
                        return Err(
                            self.error(&problem::BODY_RECORD_TOO_LARGE, self.caps.record_bytes.to_string())
                        );
                    }
                }
                Event::End(_) => return Ok(sink.finish()),
                event => self.only_space(&event)?,
            }
        }
    }

    /// The text of an element up to its end; none if elements stand inside it.
    fn value(&mut self) -> Result<Option<Cow<'a, str>>, BodyError> {
        let mut value: Cow<'a, str> = Cow::Borrowed("");
        let mut nested = false;
        let mut depth = 3;
        loop {
            match self.event()? {
                Event::Text(text) => append(&mut value, text.xml10_content()),
                Event::CData(text) => append(&mut value, text.xml10_content()),
                Event::GeneralRef(reference) => {
                    let character = self.resolve(&reference)?;
                    value.to_mut().push(character);
                }
                Event::Start(_) => {
                    nested = true;
                    depth += 1;
                    if depth > self.caps.depth.max(3) {
                        return Err(self.error(&problem::BODY_TOO_DEEP, self.caps.depth.to_string()));
                    }
                }
                Event::End(_) if depth == 3 => return Ok(if nested { None } else { Some(value) }),
                Event::End(_) => depth -= 1,
                event => self.only_space(&event)?,
            }
        }
    }

    /// The five entities and numeric references; anything else is refused.
    fn resolve(&self, reference: &BytesRef<'_>) -> Result<char, BodyError> {
        if let Ok(Some(character)) = reference.resolve_char_ref() {
            return Ok(character);
        }
        match &**reference {
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "amp" => Ok('&'),
            "apos" => Ok('\''),
            "quot" => Ok('"'),
            _ => Err(self.document_type()),
        }
    }

    /// The next event that is neither a comment nor forbidden.
    fn event(&mut self) -> Result<Event<'a>, BodyError> {
        loop {
            let event = match self.reader.read_event() {
                Ok(event) => event,
                Err(_) if self.reader.buffer_position() >= self.text.len() as u64 => {
                    return Err(BodyError::new(&problem::BODY_TRUNCATED).with(Format::Xml.name()));
                }
                Err(_) => {
                    let at = self.reader.error_position().to_string();
                    return Err(BodyError::new(&problem::BODY_SYNTAX).with(Format::Xml.name()).with(at));
                }
            };
            match event {
                Event::Comment(_) => {}
                Event::DocType(_) => return Err(self.document_type()),
                Event::PI(_) => return Err(self.forbidden("a processing instruction / 处理指令")),
                Event::Start(start) if !start.attributes_raw().trim().is_empty() => {
                    return Err(self.forbidden("an attribute / 属性"));
                }
                event => return Ok(event),
            }
        }
    }

    fn only_space(&self, event: &Event<'_>) -> Result<(), BodyError> {
        match event {
            Event::Text(text) if text.trim().is_empty() => Ok(()),
            Event::Eof => Err(BodyError::new(&problem::BODY_TRUNCATED).with(Format::Xml.name())),
            _ => {
                let at = self.reader.buffer_position().to_string();
                Err(BodyError::new(&problem::BODY_XML_STRUCTURE).with(at))
            }
        }
    }

    fn document_type(&self) -> BodyError {
        BodyError::new(&problem::BODY_DTD).with(self.reader.buffer_position().to_string())
    }

    fn forbidden(&self, what: &'static str) -> BodyError {
        let at = self.reader.buffer_position().to_string();
        BodyError::new(&problem::BODY_XML_FORBIDDEN).with(what).with(at)
    }

    fn error(&self, problem: &'static problem::Problem, limit: String) -> BodyError {
        BodyError::new(problem).with(limit).with(self.reader.buffer_position().to_string())
    }
}

fn append<'a>(value: &mut Cow<'a, str>, piece: Cow<'a, str>) {
    if value.is_empty() {
        *value = piece;
    } else {
        value.to_mut().push_str(&piece);
    }
}
