//! Problem documents (RFC 9457): the one way this node says no.
//!
//! A [`Problem`] carries a stable [`ProblemCode`], English and Chinese text, and per-record
//! findings. It never carries a value, a path or a header from the request: texts are fixed
//! or built from numbers, names of schema fields and ids the node itself gave out.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use xinqiao_certs::IdentityError;

mod table;

pub use table::ProblemCode;

/// At most this many findings travel in one document; the rest are counted.
pub const FINDINGS_MAX: usize = 1_000;

/// Why a request was refused, as the caller will read it.
#[derive(Debug, Clone)]
pub struct Problem {
    code: ProblemCode,
    detail: Option<Box<[Cow<'static, str>; 2]>>,
    findings: Vec<Finding>,
    /// The findings of the record path, already an array in JSON.
    records: Option<Box<serde_json::value::RawValue>>,
    omitted: usize,
    retry_after: Option<u32>,
    allow: Option<&'static str>,
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

impl Problem {
    /// The problem with the table's own advice as its detail.
    #[must_use]
    pub fn new(code: ProblemCode) -> Self {
        Self {
            code,
            detail: None,
            findings: Vec::new(),
            records: None,
            omitted: 0,
            retry_after: None,
            allow: None,
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

    /// What the caller reads in English and Chinese, with what was found first.
    #[must_use]
    pub fn said(&self) -> [String; 2] {
        let [en, zh] = match (&self.detail, self.findings.first()) {
            (Some(both), _) => [both[0].as_ref(), both[1].as_ref()],
            (None, Some(found)) => [found.detail.as_ref(), found.detail_zh.as_ref()],
            (None, None) => self.code.advice(),
        };
        let [title, title_zh] = self.code.title();
        [format!("{title}: {en}"), format!("{title_zh}：{zh}")]
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ProblemCode {
        self.code
    }

    /// The document and its headers. `trace` is the number under which the log knows this request.
    #[must_use]
    pub fn to_response(&self, trace: &str) -> Response<Bytes> {
        let status = self.code.status();
        let title = self.code.title();
        let advice = self.code.advice();
        let detail = match &self.detail {
            Some(both) => [both[0].as_ref(), both[1].as_ref()],
            None => advice,
        };
        let retry_after = self.retry_after.or_else(|| {
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE).then_some(1)
        });
        let document = Document {
            kind: format!("urn:xinqiao:problem:{}", self.code),
            status: status.as_u16(),
            code: self.code.as_str(),
            title: title[0],
            title_zh: title[1],
            detail: detail[0],
            detail_zh: detail[1],
            retry_after,
            trace,
            errors: match &self.records {
                Some(raw) => Errors::Records(raw),
                None => Errors::Found(&self.findings),
            },
            errors_omitted: self.omitted,
        };
        let body = serde_json::to_vec(&document).expect("a problem document has only string keys");
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json; charset=utf-8"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        if matches!(self.code, ProblemCode::EncodingUnsupported | ProblemCode::EncodingWindow) {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
        }
        response
    }
}

impl From<ProblemCode> for Problem {
    fn from(code: ProblemCode) -> Self {
        Self::new(code)
    }
}

impl From<&IdentityError> for ProblemCode {
    /// The texts of the error name members and are for the log; the peer reads the table's.
    fn from(error: &IdentityError) -> Self {
        Self::parse(error.code()).unwrap_or(Self::CertificateUntrusted)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.code.title()[0])
    }
}

impl std::error::Error for Problem {}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    status: u16,
    code: &'static str,
    title: &'static str,
    title_zh: &'static str,
    detail: &'a str,
    detail_zh: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    trace: &'a str,
    #[serde(skip_serializing_if = "Errors::is_empty")]
    errors: Errors<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    errors_omitted: usize,
}

/// `errors[]`, from whichever side found them.
#[derive(Serialize)]
#[serde(untagged)]
enum Errors<'a> {
    Found(&'a [Finding]),
    Records(&'a serde_json::value::RawValue),
}

impl Errors<'_> {
    fn is_empty(&self) -> bool {
        matches!(self, Errors::Found([]))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::fmt::Write as _;

    #[test]
    fn every_code_is_unique_well_formed_and_speaks_both_languages() {
        let mut seen = HashSet::new();
        for code in ProblemCode::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} stands twice");
            assert!(
                text.split('.').all(|part| {
                    part.starts_with(|c: char| c.is_ascii_lowercase())
                        && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                }),
                "{text} is not kebab-case with dots"
            );
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{text}");
            assert_eq!(ProblemCode::parse(text), Some(*code));
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
             This page is compared with the table in `gateway/server/src/problem/table.rs` by a test;\n\
             `XINQIAO_BLESS=1 cargo test -p xinqiao page_of` writes it anew.\n\n\
             | code | status | what | what to do | 说明 | 处理办法 |\n|---|---|---|---|---|---|\n",
        );
        for code in ProblemCode::ALL {
            let ([title, title_zh], [advice, advice_zh]) = (code.title(), code.advice());
            writeln!(
                page,
                "| `{code}` | {} | {title} | {advice} | {title_zh} | {advice_zh} |",
                code.status().as_u16()
            )
            .unwrap();
        }
        crate::metrics::tests::compare_page("problems.md", &page);
    }

    #[test]
    fn a_document_carries_code_both_texts_findings_and_retry() {
        let finding = Finding {
            severity: Severity::Warn,
            code: "usage.doubtful".into(),
            record: Some(3),
            field: Some("CF_XDR_MC".into()),
            detail: "look".into(),
            detail_zh: "请核对".into(),
        };
        let problem = Problem::new(ProblemCode::LimitMemberRate)
            .retry_after(7)
            .findings(std::iter::repeat_n(finding, FINDINGS_MAX + 5));
        let response = problem.to_response("00ff");
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json; charset=utf-8");
        let document: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(document["code"], "limit.member-rate");
        assert_eq!(document["type"], "urn:xinqiao:problem:limit.member-rate");
        assert_eq!(document["title_zh"], "贵单位请求过于频繁");
        assert_eq!(document["trace"], "00ff");
        assert_eq!(document["errors"].as_array().unwrap().len(), FINDINGS_MAX);
        assert_eq!(document["errors"][0]["severity"], "warn");
        assert_eq!(document["errors_omitted"], 5);
    }

    #[test]
    fn every_reason_not_to_be_a_member_has_its_code() {
        let role = xinqiao_certs::Role::Department;
        let text = String::new;
        for error in [
            IdentityError::NoCertificate,
            IdentityError::Malformed,
            IdentityError::NotYetValid,
            IdentityError::Expired,
            IdentityError::Revoked,
            IdentityError::StatusUnknown,
            IdentityError::StatusStale,
            IdentityError::Untrusted(text()),
            IdentityError::UriMalformed,
            IdentityError::Unknown { uri: None },
            IdentityError::Ambiguous { members: vec![] },
            IdentityError::Suspended { member: text() },
            IdentityError::RoleMismatch { member: text(), registered: role, presented: role },
            IdentityError::NameMismatch { member: text(), uri: text() },
            IdentityError::AnchorMayNotAssert { anchor: text(), trust_domain: text(), role },
        ] {
            let code = ProblemCode::from(&error);
            assert_eq!(code.as_str(), error.code());
            assert_eq!(code.status(), 403);
        }
    }

    #[test]
    fn busy_problems_always_say_when_to_come_back() {
        for code in ProblemCode::ALL {
            let response = Problem::new(*code).to_response("");
            let retry = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(retry, matches!(code.status().as_u16(), 429 | 503), "{code}");
        }
    }
}
