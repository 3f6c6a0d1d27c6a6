//! Refusals: the one way this node says no.
//!
//! A [`Refusal`] carries a stable [`RefusalCode`], English and Chinese text, and per-record
//! findings. The network edge renders it as a problem document (RFC 9457), the command line in words. It never carries a value, a path or a header from the request: texts are fixed
//! or built from numbers, names of schema fields and ids the node itself gave out.

use std::borrow::Cow;

use serde::Serialize;
use xinqiao_explain::{Explain, Explanation};

mod table;

pub use table::RefusalCode;

/// At most this many findings travel in one document; the rest are counted.
pub const FINDINGS_MAX: usize = 1_000;

/// Why a request was refused, as the caller will read it.
#[derive(Debug, Clone)]
pub struct Refusal {
    code: RefusalCode,
    detail: Option<Box<[Cow<'static, str>; 2]>>,
    findings: Vec<Finding>,
    /// The findings of the record path, already an array in JSON.
    records: Option<Box<serde_json::value::RawValue>>,
    omitted: usize,
    retry_after: Option<u32>,
    allow: Option<&'static str>,
    complete_length: Option<u64>,
}

/// Whether a finding keeps the record out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The record was not accepted.
    Refuse,
    /// The record was accepted, but someone should look (疑问数据).
    Warn,
}

/// One entry of `errors[]`.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Refused or only doubtful.
    pub severity: Severity,
    /// Stable code of the rule.
    pub code: Cow<'static, str>,
    /// Zero-based ordinal of the record in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// Code of the schema field or name of the parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<Cow<'static, str>>,
    /// What and what to do, in English.
    #[serde(rename = "en")]
    pub detail: Cow<'static, str>,
    /// The same in Chinese.
    #[serde(rename = "zh")]
    pub detail_zh: Cow<'static, str>,
}

/// In words: the title of the code, then this very case, what was found first, or the table's advice.
impl Explain for Refusal {
    fn explain(&self) -> Explanation {
        let [en, zh] = match (&self.detail, self.findings.first()) {
            (Some(both), _) => [both[0].as_ref(), both[1].as_ref()],
            (None, Some(found)) => [found.detail.as_ref(), found.detail_zh.as_ref()],
            (None, None) => self.code.advice(),
        };
        let [title, title_zh] = self.code.title();
        Explanation::new(self.code.as_str(), format!("{title}: {en}"), format!("{title_zh}：{zh}"))
    }
}

impl Refusal {
    /// The problem with the table's own advice as its detail.
    #[must_use]
    pub fn new(code: RefusalCode) -> Self {
        Self {
            code,
            detail: None,
            findings: Vec::new(),
            records: None,
            omitted: 0,
            retry_after: None,
            allow: None,
            complete_length: None,
        }
    }

    /// Replaces the advice by a sentence about this very case, in English and Chinese.
    /// It must not hold anything the caller sent.
    #[must_use]
    pub fn detail(mut self, en: impl Into<Cow<'static, str>>, zh: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(Box::new([en.into(), zh.into()]));
        self
    }

    /// Adds what was found about single records and fields; past [`FINDINGS_MAX`] they are only counted.
    #[must_use]
    pub fn findings(mut self, findings: impl IntoIterator<Item = Finding>) -> Self {
        for finding in findings {
            if self.findings.len() < FINDINGS_MAX {
                self.findings.push(finding);
            } else {
                self.omitted += 1;
            }
        }
        self
    }

    /// Carries the findings of the record path, the JSON text of an array that holds no value of a record.
    #[must_use]
    pub fn errors(mut self, array: String) -> Self {
        self.records = serde_json::value::RawValue::from_string(array).ok();
        self
    }

    /// Says when to come back, in seconds. Problems of status 429 and 503 say 1 if nothing else is said.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Names the methods a path knows (for `method-not-allowed`).
    #[must_use]
    pub fn allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    /// Says how many bytes there are in all (for `range.unsatisfiable`).
    #[must_use]
    pub fn complete_length(mut self, bytes: u64) -> Self {
        self.complete_length = Some(bytes);
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> RefusalCode {
        self.code
    }

    /// The sentence about this very case, if one was given: English and Chinese.
    #[must_use]
    pub fn own_detail(&self) -> Option<[&str; 2]> {
        self.detail.as_ref().map(|both| [both[0].as_ref(), both[1].as_ref()])
    }

    /// What was found about single records and fields.
    #[must_use]
    pub fn found(&self) -> &[Finding] {
        &self.findings
    }

    /// The findings of the record path, already a JSON array.
    #[must_use]
    pub fn records(&self) -> Option<&serde_json::value::RawValue> {
        self.records.as_deref()
    }

    /// Findings that did not fit.
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// When to come back, in seconds; codes of status 429 and 503 say 1 if nothing else was said.
    #[must_use]
    pub fn comes_back(&self) -> Option<u32> {
        self.retry_after.or_else(|| matches!(self.code.status(), 429 | 503).then_some(1))
    }

    /// The methods the path knows, for `method-not-allowed`.
    #[must_use]
    pub fn allowed(&self) -> Option<&'static str> {
        self.allow
    }

    /// How many bytes there are in all, for `range.unsatisfiable`.
    #[must_use]
    pub fn out_of(&self) -> Option<u64> {
        self.complete_length
    }
}

impl From<RefusalCode> for Refusal {
    fn from(code: RefusalCode) -> Self {
        Self::new(code)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.code.title()[0])
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::fmt::Write as _;

    #[test]
    fn every_code_is_unique_well_formed_and_speaks_both_languages() {
        let mut seen = HashSet::new();
        for code in RefusalCode::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} stands twice");
            assert!(
                text.split('.').all(|part| {
                    part.starts_with(|c: char| c.is_ascii_lowercase())
                        && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                }),
                "{text} is not kebab-case with dots"
            );
            assert!((400..600).contains(&code.status()), "{text}");
            assert_eq!(RefusalCode::parse(text), Some(*code));
            for [en, zh] in [code.title(), code.advice()] {
                assert!(en.is_ascii() && !en.is_empty(), "{text}: {en}");
                assert!(zh.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{text}: {zh}");
            }
        }
    }

    #[test]
    fn the_page_of_problems_is_the_table() {
        let mut page = String::from(
            "# Problem codes 问题代码\n\nEvery refusal is an RFC 9457 document (`application/problem+json`) with one of these stable codes.\n\
             This page is compared with the table in `gateway/runtime/src/refusal/table.rs` by a test;\n\
             `XINQIAO_BLESS=1 cargo test -p xinqiao-runtime page_of` writes it anew.\n\n\
             | code | status | what | what to do | 说明 | 处理办法 |\n|---|---|---|---|---|---|\n",
        );
        for code in RefusalCode::ALL {
            let ([title, title_zh], [advice, advice_zh]) = (code.title(), code.advice());
            writeln!(
                page,
                "| `{code}` | {} | {title} | {advice} | {title_zh} | {advice_zh} |",
                code.status()
            )
            .unwrap();
        }
        crate::metrics::tests::compare_page("problems.md", &page);
    }
}
