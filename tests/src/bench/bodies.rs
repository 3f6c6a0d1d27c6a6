//! Requests, rendered before the clock starts. Every request and every record is made unique by writing a number over
//! digits that are there already, so that nothing is answered from what is known.

use super::Fault;
use bytes::Bytes;
use http_body_util::Full;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use xinqiao_schemas::Date;
use xinqiao_schemas::synthetic::{Generator, Record, Table, write_csv, write_ndjson, write_xml};

/// The table all bodies are of.
pub(super) const TABLE: Table = Table::Penalty2020;

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Ndjson,
    Xml,
    Csv,
}

impl Form {
    pub(super) fn name(self) -> &'static str {
        match self {
            Form::Ndjson => "NDJSON",
            Form::Xml => "XML",
            Form::Csv => "CSV",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Form::Ndjson => "application/x-ndjson",
            Form::Xml => "application/xml",
            Form::Csv => "text/csv",
        }
    }
}

/// A request, whole, as HTTP/1.1 has it.
#[derive(Clone)]
pub(super) struct Rendered {
    /// Head and body.
    pub(super) bytes: Vec<u8>,
    /// Records in it.
    pub(super) records: u64,
    /// Where the body begins.
    body: usize,
    /// Where the digits of the idempotency key begin.
    key: Option<usize>,
    /// Where the digits of each record's `ref` begin.
    references: Vec<usize>,
    /// Where those of its document's number begin: the same decision under another `ref` would be the same record.
    documents: Vec<usize>,
}

const KEY: &[u8] = b"bench-0000000000-000000000";
const REFERENCE: &[u8] = b"case-";
const DOCUMENT: &str = "样罚决字〔2026〕";
const DIGITS: usize = 9;

impl Rendered {
    /// The same request for HTTP/2.
    pub(super) fn http2(&self) -> Result<http::Request<Full<Bytes>>, Fault> {
        let head = std::str::from_utf8(&self.bytes[..self.body])?;
        let mut lines = head.lines();
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let mut request = http::Request::builder().method(method).uri(format!("https://localhost{path}"));
        for (name, value) in
            lines.filter_map(|line| line.split_once(": ")).filter(|(name, _)| *name != "host")
        {
            request = request.header(name, value);
        }
        Ok(request.body(Full::new(Bytes::copy_from_slice(&self.bytes[self.body..])))?)
    }

    /// Makes key and references those of the number `first` and following.
    pub(super) fn number(&mut self, first: u64) {
        let places = self.key.into_iter().map(|at| (at, first));
        let references = self.references.iter().copied().zip(first..);
        let documents = self.documents.iter().copied().zip(first..);
        for (at, mut n) in places.chain(references).chain(documents) {
            for digit in self.bytes[at..at + DIGITS].iter_mut().rev() {
                *digit = b'0' + (n % 10) as u8;
                n /= 10;
            }
        }
    }
}

/// So many different requests of so many records.
pub(super) fn submissions(form: Form, requests: usize, records: usize) -> Result<Vec<Rendered>, Fault> {
    let mut generator = generator()?;
    Ok((0..requests).map(|_| submission(form, generator.records(TABLE, records))).collect())
}

/// The `ref` of the record with this number.
pub(super) fn reference(number: u64) -> String {
    format!("case-{number:0DIGITS$}")
}

/// The authorities that made-up records name: code and name. The department acts for all of them.
pub(super) fn authorities() -> Result<Vec<(String, String)>, Fault> {
    let mut known = BTreeMap::new();
    for record in generator()?.records(Table::CityPenalty, 400) {
        if let (Some(code), Some(name)) = (record.get("JGDM"), record.get("JGMC")) {
            known.insert(code.to_owned(), name.to_owned());
        }
    }
    Ok(known.into_iter().collect())
}

fn generator() -> Result<Generator, Fault> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let today = Date::from_days(i32::try_from(seconds / 86_400)?).ok_or("the clock is off")?;
    Ok(Generator::new(7, today).with_references())
}

fn submission(form: Form, mut records: Vec<Record>) -> Rendered {
    let mut body = Vec::new();
    for record in &mut records {
        record.set("CF_WSH", format!("{DOCUMENT}{:0DIGITS$}号", 0));
    }
    match form {
        Form::Ndjson => write_ndjson(&records, &mut body),
        Form::Xml => write_xml(&records, &mut body),
        Form::Csv => write_csv(&records, &mut body),
    }
    let head = format!(
        "POST /v1/datasets/{}/records?op=put&schema={} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {}\r\n\
         idempotency-key: {}\r\ncontent-length: {}\r\n\r\n",
        TABLE.dataset(),
        TABLE.schema(),
        form.media_type(),
        std::str::from_utf8(KEY).expect("ASCII"),
        body.len()
    );
    let start = head.len();
    let bytes = [head.as_bytes(), &body].concat();
    let key = find(&bytes[..start], KEY).map(|at| at + KEY.len() - DIGITS);
    let places = |marker: &[u8]| {
        let mut places = Vec::with_capacity(records.len());
        let mut from = start;
        while let Some(at) = find(&bytes[from..], marker) {
            from += at + marker.len();
            places.push(from);
        }
        assert_eq!(places.len(), records.len(), "each record has one");
        places
    };
    let (references, documents) = (places(REFERENCE), places(DOCUMENT.as_bytes()));
    Rendered { records: records.len() as u64, body: start, key, references, documents, bytes }
}

/// A request that only asks.
pub(super) fn get(path: &str, keep: bool) -> Rendered {
    let connection = if keep { "" } else { "connection: close\r\n" };
    let bytes = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{connection}\r\n").into_bytes();
    Rendered {
        body: bytes.len(),
        bytes,
        records: 0,
        key: None,
        references: Vec::new(),
        documents: Vec::new(),
    }
}

/// Where `needle` begins in `haystack`.
pub(super) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}
