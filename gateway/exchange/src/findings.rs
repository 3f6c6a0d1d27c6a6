//! What was found in a submission, as its sender reads it: per record and field a stable code and a sentence in
//! English and Chinese, never a value. Cleanings are summed up per field, since they may touch every record.

use crate::register::Operation;
use crate::secrets::RecordId;
use crate::source::NotYours;
use serde::Serialize;
use std::collections::BTreeMap;
use xinqiao_schemas::{Finding, Severity};

/// What is said of a record that is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    /// Its reference was known with other key fields.
    Corrected,
    /// Its key fields were known under another reference.
    KnownOtherwise,
    /// It replaces a record that nobody knows.
    ReplacesUnknown,
}

/// Why it cannot be said which record a line is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doubtful {
    /// The reference leads to one record, the key fields to another: where each was seen last.
    TwoRecords([Seen; 2]),
    /// A line of the same submission is about the same decision, under another reference.
    SameDecision(u32),
}

/// Where a record was seen last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// In this submission, as this record.
    Here(u32),
    /// In the submission with this index in the log.
    There(Operation),
    /// Before the node kept a register.
    Before,
}

/// Findings of one submission.
#[derive(Default)]
pub struct Findings {
    lines: Vec<Line>,
    cleaned: BTreeMap<(String, &'static str), Cleaned>,
    accepted: u32,
    refused: u32,
    warned: u32,
    /// The last record that was counted as warned.
    warned_last: Option<u32>,
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
        if found.iter().any(|f| f.severity() == Severity::Warn) {
            self.warn_of(ordinal);
        }
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

    /// A line of which it cannot be said which record it is about.
    pub fn doubtful(&mut self, ordinal: u32, why: Doubtful) {
        self.refused += 1;
        match why {
            Doubtful::TwoRecords(seen) => {
                let [(a_en, a_zh), (b_en, b_zh)] = seen.map(seen_at);
                self.plain(
                    ordinal,
                    "record.two-records",
                    "refuse",
                    &format!(
                        "The ref leads to one record ({a_en}), the key fields to another ({b_en}). Correct whichever is wrong; if this decision takes the other's place, name that one in `replaces`."
                    ),
                    &format!(
                        "ref 对应的记录（{a_zh}）与主键字段对应的记录（{b_zh}）不是同一条。请更正有误的一项；如本决定取代另一条，请在 replaces 中填写其 ref。"
                    ),
                );
            }
            Doubtful::SameDecision(other) => self.plain(
                ordinal,
                "record.same-decision",
                "refuse",
                &format!(
                    "Record {other} of this submission (counted from 0) is of the same decision, under another ref. Send one record for one decision; correct the document number if they are two."
                ),
                &format!(
                    "与本次报送中第 {other} 条（从 0 起）为同一决定，但 ref 不同。同一决定只报送一条；如确为两份决定，请更正文书号。"
                ),
            ),
        }
    }

    /// What the source of a record should know, though it is taken.
    pub fn said(&mut self, ordinal: u32, said: Said) {
        let (code, en, zh) = match said {
            Said::Corrected => (
                "record.corrected",
                "The ref was known with other key fields: taken as a correction of that record, not as another one.",
                "该 ref 原对应其他主键字段：已作为对原记录的更正处理，不另立新记录。",
            ),
            Said::KnownOtherwise => (
                "record.known-otherwise",
                "This decision was sent before under another ref or without one: taken as a new version of that record, not as another one.",
                "该决定此前已以其他 ref（或无 ref）报送：已作为原记录的新版本处理，不另立新记录。",
            ),
            Said::ReplacesUnknown => (
                "record.replaces-unknown",
                "Nothing is known of a record with the ref in `replaces`. Check it: if the older version was sent under another ref, it still stands.",
                "replaces 中的 ref 没有对应的记录。请核对：如旧版本以其他 ref 报送，则旧版本仍然有效。",
            ),
        };
        self.warn_of(ordinal);
        self.plain(ordinal, code, "warn", en, zh);
    }

    /// An operation on a record nobody knows.
    pub fn nothing_known(&mut self, ordinal: u32) {
        self.warn_of(ordinal);
        self.plain(
            ordinal,
            "recall.nothing-known",
            "warn",
            "No record is known by this ref or these key fields, so nothing was recalled. Check them. It is kept: what is sent under them later is judged by it.",
            "没有与该 ref 或主键字段对应的记录，未撤回任何内容，请核对。本操作已留存：以后以此报送的记录将据此处理。",
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

    /// Counts an accepted record as doubtful, once.
    fn warn_of(&mut self, ordinal: u32) {
        if self.warned_last != Some(ordinal) {
            self.warned += 1;
            self.warned_last = Some(ordinal);
        }
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

/// Where a record was seen last, in English and Chinese.
fn seen_at(seen: Seen) -> (String, String) {
    match seen {
        Seen::Here(ordinal) => {
            (format!("record {ordinal} of this submission"), format!("本次报送第 {ordinal} 条（从 0 起）"))
        }
        Seen::There(Operation { index, ordinal }) => (
            format!("record {ordinal} of the submission with log index {index}"),
            format!("日志序号 {index} 的报送中第 {ordinal} 条（从 0 起）"),
        ),
        Seen::Before => ("sent before the node kept a register".into(), "登记簿启用之前报送".into()),
    }
}
