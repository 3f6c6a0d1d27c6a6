//! Refusals as problem documents (RFC 9457): the one place where a refusal becomes HTTP.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use xinqiao_certs::IdentityError;
use xinqiao_runtime::refusal::{Finding, Refusal, RefusalCode};

/// The document and its headers. `trace` is the number under which the log knows this request.
#[must_use]
pub(crate) fn to_response(problem: &Refusal, trace: &str) -> Response<Bytes> {
    let code = problem.code();
    let [title, title_zh] = code.title();
    let [detail, detail_zh] = problem.own_detail().unwrap_or_else(|| code.advice());
    let retry_after = problem.comes_back();
    let document = Document {
        kind: format!("urn:xinqiao:problem:{code}"),
        status: code.status(),
        code: code.as_str(),
        title,
        title_zh,
        detail,
        detail_zh,
        retry_after,
        trace,
        errors: match problem.records() {
            Some(raw) => Errors::Records(raw),
            None => Errors::Found(problem.found()),
        },
        errors_omitted: problem.omitted(),
    };
    let body = serde_json::to_vec(&document).expect("a problem document has only string keys");
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status_of(code);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(methods) = problem.allowed() {
        headers.insert(header::ALLOW, HeaderValue::from_static(methods));
    }
    if let Some(bytes) = problem.out_of() {
        let range = HeaderValue::try_from(format!("bytes */{bytes}"));
        headers.insert(header::CONTENT_RANGE, range.expect("digits are a header's value"));
    }
    if matches!(code, RefusalCode::EncodingUnsupported | RefusalCode::EncodingWindow) {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
    }
    response
}

/// The HTTP status a code travels with.
fn status_of(code: RefusalCode) -> StatusCode {
    StatusCode::from_u16(code.status()).expect("the table holds valid statuses")
}

/// What a peer reads of a certificate that was refused. The texts of the error name members and are for the log; the
/// peer reads the table's.
#[must_use]
pub fn refusal_of(error: &IdentityError) -> RefusalCode {
    RefusalCode::parse(error.code()).unwrap_or(RefusalCode::CertificateUntrusted)
}

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
    use xinqiao_runtime::refusal::{FINDINGS_MAX, Severity};

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
        let problem = Refusal::new(RefusalCode::LimitMemberRate)
            .retry_after(7)
            .findings(std::iter::repeat_n(finding, FINDINGS_MAX + 5));
        let response = to_response(&problem, "00ff");
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
            let code = refusal_of(&error);
            assert_eq!(code.as_str(), error.code());
            assert_eq!(code.status(), 403);
        }
    }

    #[test]
    fn busy_problems_always_say_when_to_come_back() {
        for code in RefusalCode::ALL {
            let response = to_response(&Refusal::new(*code), "");
            let retry = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(retry, matches!(code.status(), 429 | 503), "{code}");
        }
    }
}
