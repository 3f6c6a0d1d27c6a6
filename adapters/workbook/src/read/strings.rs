//! The texts that the cells of a workbook share: in memory while they are few, else in an unnamed temporary file.
//!
//! Cells name them by number, mostly in the order in which they were written, so pages of the file are kept in memory: as
//! many as [`PAGES`], however many texts there are.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};

use quick_xml::events::Event;

use crate::fault::{self, Fault};
use crate::read::ReadCaps;
use crate::read::limit::{Limit, judged};
use crate::read::markup::{Markup, append};

const PAGE: usize = 16 << 10;
const PAGES: usize = 256;

/// Texts by number, 0 first.
pub(crate) enum Strings {
    Memory {
        text: String,
        /// Where each ends.
        ends: Vec<usize>,
    },
    Disk {
        text: Paged,
        /// Where each begins, eight bytes each, and where the last ends.
        starts: Paged,
        count: u64,
    },
}

impl Strings {
    pub(crate) fn none() -> Self {
        Strings::Memory { text: String::new(), ends: Vec::new() }
    }

    /// Reads the part of a workbook that holds them.
    pub(crate) fn read<R: Read>(part: R, caps: &ReadCaps) -> Result<Self, Fault> {
        let mut markup = Markup::new(part, caps);
        let mut writer = Writer { strings: Memory::default(), disk: None, bytes: 0, caps };
        let mut current: Option<String> = None;
        let (mut inside, mut phonetic) = (false, false);
        loop {
            match markup.next()? {
                Event::Start(tag) => match tag.local_name().as_ref() {
                    "si" => current = Some(String::new()),
                    "rPh" => phonetic = true,
                    "t" => inside = !phonetic,
                    _ => {}
                },
                Event::End(tag) => match tag.local_name().as_ref() {
                    "si" => writer.push(current.take().unwrap_or_default())?,
                    "rPh" => phonetic = false,
                    "t" => inside = false,
                    _ => {}
                },
                // A shared text of nothing still has its number.
                Event::Empty(tag) if tag.local_name().as_ref() == "si" => writer.push(String::new())?,
                Event::Eof => return writer.finish(),
                event => {
                    if let Some(text) = current.as_mut().filter(|_| inside) {
                        append(text, &event, caps)?;
                    }
                }
            }
        }
    }

    /// The text of this number; none if there is none.
    pub(crate) fn get(&mut self, number: u64) -> Result<Option<String>, Fault> {
        match self {
            Strings::Memory { text, ends } => {
                let Ok(number) = usize::try_from(number) else { return Ok(None) };
                let Some(end) = ends.get(number) else { return Ok(None) };
                let start = number.checked_sub(1).map_or(0, |before| ends[before]);
                Ok(Some(text[start..*end].to_owned()))
            }
            Strings::Disk { text, starts, count } => {
                if number >= *count {
                    return Ok(None);
                }
                let mut place = [0; 16];
                starts.read(number * 8, &mut place)?;
                let (start, end) = place.split_at(8);
                let at = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
                let (start, end) = (at(start), at(end));
                let length = usize::try_from(end - start).expect("one text fits into memory");
                let mut bytes = vec![0; length];
                text.read(start, &mut bytes)?;
                Ok(Some(String::from_utf8(bytes).map_err(|_| Fault::of_file(&fault::FILE_UNREADABLE))?))
            }
        }
    }
}

#[derive(Default)]
struct Memory {
    text: String,
    ends: Vec<usize>,
}

struct Writer<'c> {
    strings: Memory,
    disk: Option<(BufWriter<File>, BufWriter<File>, u64)>,
    bytes: u64,
    caps: &'c ReadCaps,
}

impl Writer<'_> {
    fn push(&mut self, text: String) -> Result<(), Fault> {
        // Each costs its place too, so that many empty ones are not free.
        let start = self.bytes;
        self.bytes += u64::try_from(text.len()).expect("a text in memory");
        if let Some((texts, starts, count)) = &mut self.disk {
            *count += 1;
            if self.bytes + *count * 8 > self.caps.shared_bytes {
                let error = Limit::error(&fault::FILE_EXPANDS, self.caps.shared_bytes);
                return Err(judged(&error));
            }
            let written =
                texts.write_all(text.as_bytes()).and_then(|()| starts.write_all(&start.to_le_bytes()));
            return written.map_err(|_| Fault::of_file(&fault::FILE_TEMPORARY));
        }
        self.strings.text.push_str(&text);
        self.strings.ends.push(self.strings.text.len());
        let used = self.strings.text.len() + self.strings.ends.len() * size_of::<usize>();
        if used > self.caps.shared_in_memory { self.spill() } else { Ok(()) }
    }

    /// Moves to the disk what was kept in memory.
    fn spill(&mut self) -> Result<(), Fault> {
        let all = std::mem::take(&mut self.strings);
        let spilled = || -> std::io::Result<_> {
            let mut texts = BufWriter::with_capacity(64 << 10, tempfile::tempfile()?);
            let mut starts = BufWriter::with_capacity(64 << 10, tempfile::tempfile()?);
            texts.write_all(all.text.as_bytes())?;
            let mut start = 0;
            for end in &all.ends {
                starts.write_all(&u64::try_from(start).expect("in memory").to_le_bytes())?;
                start = *end;
            }
            Ok((texts, starts, u64::try_from(all.ends.len()).expect("in memory")))
        };
        self.disk = Some(spilled().map_err(|_| Fault::of_file(&fault::FILE_TEMPORARY))?);
        Ok(())
    }

    fn finish(self) -> Result<Strings, Fault> {
        let Some((texts, mut starts, count)) = self.disk else {
            return Ok(Strings::Memory { text: self.strings.text, ends: self.strings.ends });
        };
        let finished = || -> std::io::Result<_> {
            starts.write_all(&self.bytes.to_le_bytes())?;
            Ok((Paged::new(texts)?, Paged::new(starts)?))
        };
        let (text, starts) = finished().map_err(|_| Fault::of_file(&fault::FILE_TEMPORARY))?;
        Ok(Strings::Disk { text, starts, count })
    }
}

/// A file of which the pages that were read last are kept.
pub(crate) struct Paged {
    file: File,
    /// The page with number `n` is kept, if at all, at `n` modulo [`PAGES`].
    pages: Vec<Option<(u64, Vec<u8>)>>,
}

impl Paged {
    fn new(writer: BufWriter<File>) -> std::io::Result<Self> {
        let file = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        Ok(Self { file, pages: vec![None; PAGES] })
    }

    fn read(&mut self, mut at: u64, mut into: &mut [u8]) -> Result<(), Fault> {
        let page_bytes = u64::try_from(PAGE).expect("a small number");
        while !into.is_empty() {
            let number = at / page_bytes;
            let within = usize::try_from(at % page_bytes).expect("below the size of a page");
            let page = self.page(number).map_err(|_| Fault::of_file(&fault::FILE_TEMPORARY))?;
            let there = page.get(within..).unwrap_or_default();
            if there.is_empty() {
                return Err(Fault::of_file(&fault::FILE_TEMPORARY));
            }
            let length = there.len().min(into.len());
            into[..length].copy_from_slice(&there[..length]);
            into = &mut into[length..];
            at += u64::try_from(length).expect("at most a page");
        }
        Ok(())
    }

    fn page(&mut self, number: u64) -> std::io::Result<&[u8]> {
        let slot = usize::try_from(number % u64::try_from(PAGES).expect("a small number")).expect("a slot");
        if self.pages[slot].as_ref().is_none_or(|(kept, _)| *kept != number) {
            let mut bytes =
                self.pages[slot].take().map_or_else(|| Vec::with_capacity(PAGE), |(_, bytes)| bytes);
            bytes.clear();
            let page_bytes = u64::try_from(PAGE).expect("a small number");
            self.file.seek(SeekFrom::Start(number * page_bytes))?;
            (&mut self.file).take(page_bytes).read_to_end(&mut bytes)?;
            self.pages[slot] = Some((number, bytes));
        }
        Ok(self.pages[slot].as_ref().map_or(&[], |(_, bytes)| bytes))
    }
}
