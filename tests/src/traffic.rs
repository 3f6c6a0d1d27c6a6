//! Requests made again from a few numbers, so that a test can remember hundreds of thousands of records; and the lines
//! a recipient holds of them.

use bytes::Bytes;
use std::path::Path;
use xinqiao_client::Submission;
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::manifest::{Limits, PayloadVerifier, SignedManifest};
use xinqiao_schemas::SubjectKind;
use xinqiao_schemas::synthetic::{Generator, Record, Table, write_csv, write_json, write_ndjson, write_xml};

use crate::site::{DEPARTMENTS, PORTAL, today};

/// Tables that requests take turns with.
const TABLES: [Table; 3] = [Table::Penalty2020, Table::CityPenalty, Table::Licence2020];

/// A request: the same numbers make the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Number of its first record; no two requests share one.
    pub first: u64,
    /// Records in it.
    pub count: usize,
    /// Who sends it, a place in [`DEPARTMENTS`].
    pub department: usize,
}

impl Request {
    /// Its key, the same however often it is sent.
    pub fn key(&self) -> String {
        format!("request-{:012}-{:04}", self.first, self.count)
    }

    /// The table its records are of.
    pub fn table(&self) -> Table {
        TABLES[self.turn() % TABLES.len()]
    }

    fn turn(&self) -> usize {
        usize::try_from(self.first / 64).expect("small numbers")
    }

    /// Its records.
    pub fn records(&self) -> Vec<Record> {
        let mut generator = Generator::new(7, today()).with_references().starting_at(self.first);
        generator.records(self.table(), self.count)
    }

    /// Sends it.
    pub fn submission(&self) -> Submission<'static> {
        let records = self.records();
        let mut body = Vec::new();
        let media_type = match self.turn() / TABLES.len() % 4 {
            0 => {
                write_ndjson(&records, &mut body);
                "application/x-ndjson"
            }
            1 => {
                write_json(&records, &mut body);
                "application/json"
            }
            2 => {
                write_xml(&records, &mut body);
                "application/xml"
            }
            _ => {
                write_csv(&records, &mut body);
                "text/csv"
            }
        };
        Submission {
            schema: Some(self.table().schema()),
            media_type,
            idempotency_key: Some(self.key()),
            ..Submission::new(self.table().dataset(), Bytes::from(body))
        }
    }

    /// The member that sends it.
    pub fn member(&self) -> &'static str {
        DEPARTMENTS[self.department]
    }
}

/// The number of a record's document, of which no two records have the same.
pub fn document(record: &Record) -> &str {
    ["CF_WSH", "JDSWH", "XK_WSH"].iter().find_map(|c| record.get(c)).expect("every record has a document")
}

/// May the recipient have it? Said again here from the words of the policies: the province gets everything but what
/// needs an authorisation, the portal what is public and not about a natural person.
pub fn is_due(record: &Record, recipient: &str) -> bool {
    let scope = record.get("XXSYFW").unwrap_or("公示");
    match recipient {
        PORTAL => record.subject != SubjectKind::NaturalPerson && scope == "公示",
        _ => scope != "授权查询",
    }
}

/// A line as a recipient holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its batch.
    pub seq: u64,
    /// Its place in that.
    pub record: u64,
    /// What it says is to be done.
    pub op: String,
    /// The recipient's key of the record.
    pub key: String,
    /// The document's number, if the line carries the record.
    pub document: Option<String>,
}

/// Every line in a stream's directory, each payload verified against its manifest on the way.
pub fn lines(dir: &Path, keys: &Jwks) -> Vec<Line> {
    let mut all = Vec::new();
    for seq in 1.. {
        let Ok(bytes) = std::fs::read(dir.join(format!("{seq}.manifest.json"))) else { break };
        let manifest = SignedManifest::parse(&bytes)
            .and_then(|signed| signed.verify(keys))
            .expect("a manifest verifies");
        let said = manifest.manifest();
        let payload = dir.join(format!("{seq}.payload.ndjson{}", said.payload.media_type.suffix()));
        let payload = std::fs::read(payload).expect("a payload lies beside its manifest");
        let mut verifier = PayloadVerifier::new(&manifest, Limits::default()).expect("the limits suffice");
        let mut take = |record, line: &[u8]| all.push(line_of(seq, record, line));
        verifier.feed(&payload, &mut take).expect("a payload verifies");
        verifier.finish().expect("a payload is whole");
    }
    all
}

fn line_of(seq: u64, record: u64, line: &[u8]) -> Line {
    let said: serde_json::Value = serde_json::from_slice(line).expect("a line is JSON");
    let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    let document = ["CF_WSH", "XK_WSH"].iter().find_map(|c| said["data"][c].as_str()).map(str::to_owned);
    Line { seq, record, op: text("op"), key: text("key"), document }
}
