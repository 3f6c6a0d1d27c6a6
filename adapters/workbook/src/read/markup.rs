//! XML of a workbook as a stream of events: no document type, no entity of its own, nothing deep, nothing long.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::fault::{self, Fault};
use crate::read::ReadCaps;
use crate::read::limit::{Limit, judged};

/// Elements within elements.
const DEPTH: u32 = 64;

pub(crate) struct Markup<R: Read> {
    reader: Reader<Measured<BufReader<R>>>,
    buffer: Vec<u8>,
    depth: u32,
}

impl<R: Read> Markup<R> {
    pub(crate) fn new(source: R, caps: &ReadCaps) -> Self {
        let source = Measured { source: BufReader::with_capacity(64 << 10, source), left: 0, caps: *caps };
        Self { reader: Reader::from_reader(source), buffer: Vec::new(), depth: 0 }
    }

    /// The next event; comments and the like are for the caller to pass over.
    pub(crate) fn next(&mut self) -> Result<Event<'_>, Fault> {
        self.buffer.clear();
        let measured = self.reader.get_mut();
        // Marks and escapes take room beside the value.
        measured.left = measured.caps.cell_bytes.saturating_add(64 << 10);
        let event = self.reader.read_event_into(&mut self.buffer).map_err(|error| match error {
            quick_xml::Error::Io(error) => judged(&error),
            _ => Fault::of_file(&fault::FILE_DAMAGED),
        })?;
        match &event {
            Event::Start(_) => self.depth += 1,
            Event::End(_) => self.depth = self.depth.saturating_sub(1),
            // An end that comes too early is no end: the part was cut.
            Event::Eof if self.depth > 0 => return Err(Fault::of_file(&fault::FILE_DAMAGED)),
            Event::DocType(_) => return Err(Fault::of_file(&fault::FILE_DAMAGED)),
            _ => {}
        }
        if self.depth > DEPTH { Err(Fault::of_file(&fault::FILE_DAMAGED)) } else { Ok(event) }
    }
}

/// Of one event so many bytes are read, and no more.
struct Measured<B> {
    source: B,
    left: usize,
    caps: ReadCaps,
}

impl<B: BufRead> Read for Measured<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<B: BufRead> BufRead for Measured<B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            let limit = u64::try_from(self.caps.cell_bytes).unwrap_or(u64::MAX);
            return Err(Limit::error(&fault::FILE_CELL_TOO_LONG, limit));
        }
        self.source.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount);
        self.source.consume(amount);
    }
}

/// The value of an attribute by its local name.
pub(crate) fn attribute<'t>(tag: &'t BytesStart<'_>, name: &str) -> Result<Option<Cow<'t, str>>, Fault> {
    for attribute in tag.attributes().with_checks(false) {
        let attribute = attribute.map_err(|_| Fault::of_file(&fault::FILE_DAMAGED))?;
        if attribute.key.local_name().as_ref() == name {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            return value.map(Some).map_err(|_| Fault::of_file(&fault::FILE_DAMAGED));
        }
    }
    Ok(None)
}

/// The five entities and numeric references; others do not exist here.
pub(crate) fn character(reference: &BytesRef<'_>) -> Result<char, Fault> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Ok(character);
    }
    match &**reference {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => Err(Fault::of_file(&fault::FILE_DAMAGED)),
    }
}

/// Appends what an event says in text; nothing if it says none.
pub(crate) fn append(text: &mut String, event: &Event<'_>, caps: &ReadCaps) -> Result<(), Fault> {
    match event {
        Event::Text(piece) => text.push_str(&piece.xml10_content()),
        Event::CData(piece) => text.push_str(&piece.xml10_content()),
        Event::GeneralRef(reference) => text.push(character(reference)?),
        _ => {}
    }
    if text.len() > caps.cell_bytes {
        return Err(Fault::of_file(&fault::FILE_CELL_TOO_LONG).with(caps.cell_bytes));
    }
    Ok(())
}
