//! What was found in a submission, as its sender reads it: per record and field a stable code and a sentence in
//! English and Chinese, never a value. Cleanings are summed up per field, since they may touch every record.

use crate::secrets::RecordId;
use crate::source::NotYours;
use serde::Serialize;
use std::collections::BTreeMap;
use xinqiao_schemas::{Finding, Severity};

/// Findings of one submission.
#[derive(Default)]
pub struct Findings {
    lines: Vec<Line>,
    cleaned: BTreeMap<(String, &'static str), Cleaned>,
    accepted: u32,
    refused: u32,
    warned: u32,
    looped: u32,
}

/// Members in alphabetical order: the array is signed over in the form of RFC 8785.
#[derive(Serialize)]
struct Line {
    code: &'static str,
    en: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u32>,
    severity: &'static str,
    zh: String,
}

struct Cleaned {
    records: u32,
    en: String,
    zh: String,
}

impl Findings {
    /// A record that is refused.
    pub fn refuse(&mut self, ordinal: u32, found: &[Finding]) {
        self.refused += 1;
        for f in found {
            self.note(ordinal, f, None);
        }
    }

    /// A record that is accepted, perhaps with a doubt.
    pub fn accept(&mut self, ordinal: u32, found: &[Finding]) {
        self.accepted += 1;
        self.warned += u32::from(found.iter().any(|f| f.severity() == Severity::Warn));
        for f in found {
            self.note(ordinal, f, None);
        }
    }

    /// A record that may not come from this source.
    pub fn not_yours(&mut self, ordinal: u32, why: NotYours) {
        let (en, zh) = why.texts();
        self.refused += 1;
        self.plain(ordinal, why.code(), "refuse", en, zh);
    }

    /// A record that was recalled and is sent again.
    pub fn recalled(&mut self, ordinal: u32) {
        self.refused += 1;
        self.plain(
            ordinal,
            "record.recalled",
            "refuse",
            "This record was withdrawn or repaired and may not be sent again; send `reinstate` with its legal basis first.",
            "该记录已撤销或已完成信用修复，不得再次报送；如确需恢复，请先凭依据文书发送 reinstate（恢复）。",
        );
    }

    /// A record a recipient's schema cannot hold: an older version is taken back there, the others get the new one.
    pub fn quarantined(&mut self, ordinal: u32, recipient: &str, why: &[Finding]) {
        self.warned += 1;
        for f in why {
            self.note(ordinal, f, Some(recipient));
        }
        self.note(ordinal, &Finding::taken_back(), Some(recipient));
    }

    /// A relayed line that has passed this node before.
    pub fn loops(&mut self, ordinal: u32) {
        self.looped += 1;
        self.refuse_line(
            ordinal,
            "relay.loop",
            "The line has already passed this node; it is not taken again.",
            "该行已经过本节点，不再重复接收（防止回流循环）。",
        );
    }

    /// Lines that had passed this node before.
    pub fn looped(&self) -> u32 {
        self.looped
    }

    /// A relayed line that is refused.
    pub fn refuse_line(&mut self, ordinal: u32, code: &'static str, en: &str, zh: &str) {
        self.refused += 1;
        self.plain(ordinal, code, "refuse", en, zh);
    }

    /// The same record twice in one submission: the later one counts.
    pub fn duplicates(&mut self, mut put: Vec<RecordId>) {
        if put.len() < 2 {
            return;
        }
        put.sort_unstable();
        let twice = put.windows(2).filter(|w| w[0] == w[1]).count() as u32;
        if twice > 0 {
            self.warned += twice;
            self.lines.push(Line {
                record: None,
                records: Some(twice),
                recipient: None,
                field: None,
                code: "record.duplicate",
                severity: "warn",
                en: "Records with the same key stand more than once in this submission; the last of each counts.".into(),
                zh: "本次报送中存在主键相同的记录，以最后一条为准。".into(),
            });
        }
    }

    /// Accepted, refused, warned.
    pub fn counts(&self) -> (u32, u32, u32) {
        (self.accepted, self.refused, self.warned)
    }

    /// The JSON text of the array.
    pub fn into_json(mut self) -> String {
        for ((field, code), c) in std::mem::take(&mut self.cleaned) {
            self.lines.push(Line {
                record: None,
                records: Some(c.records),
                recipient: None,
                field: (!field.is_empty()).then_some(field),
                code,
                severity: "cleaned",
                en: c.en,
                zh: c.zh,
            });
        }
        if self.lines.is_empty() {
            return "[]".into();
        }
        serde_json::to_string(&self.lines).expect("strings and numbers serialise")
    }

    fn plain(&mut self, ordinal: u32, code: &'static str, severity: &'static str, en: &str, zh: &str) {
        self.lines.push(Line {
            record: Some(ordinal),
            records: None,
            recipient: None,
            field: None,
            code,
            severity,
            en: en.into(),
            zh: zh.into(),
        });
    }

    fn note(&mut self, ordinal: u32, f: &Finding, recipient: Option<&str>) {
        let field = f.field().unwrap_or("").to_owned();
        if f.severity() == Severity::Cleaned {
            let c = self.cleaned.entry((field, f.code())).or_insert_with(|| Cleaned {
                records: 0,
                en: f.text_en(),
                zh: f.text_zh(),
            });
            c.records += 1;
            return;
        }
        self.lines.push(Line {
            record: Some(ordinal),
            records: None,
            recipient: recipient.map(str::to_owned),
            field: (!field.is_empty()).then_some(field),
            code: f.code(),
            severity: match f.severity() {
                // What one recipient cannot hold does not keep the record from the others: it is accepted, but look.
                Severity::Refuse if recipient.is_some() => "warn",
                Severity::Refuse => "refuse",
                Severity::Warn => "warn",
                Severity::Cleaned => "cleaned",
            },
            en: f.text_en(),
            zh: f.text_zh(),
        });
    }
}
