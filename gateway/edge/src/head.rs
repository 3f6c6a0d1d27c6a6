//! What holds for every head, whoever sends it.

use http::header::HOST;
use http::{HeaderValue, Version, request};
use xinqiao_runtime::refusal::RefusalCode;

/// Checks the number of headers and that the request names one site. A second `Host` could be read by a proxy as another
/// site's.
///
/// # Errors
/// [`RefusalCode::HeaderTooMany`] or [`RefusalCode::HeaderHost`].
pub fn check(parts: &request::Parts, most_headers: usize) -> Result<(), RefusalCode> {
    if parts.headers.len() > most_headers {
        return Err(RefusalCode::HeaderTooMany);
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    // HTTP/2 and absolute targets say it twice, and must say the same (RFC 9113, 8.3.1).
    let differs = |host: &HeaderValue| {
        parts.uri.authority().is_some_and(|a| !host.as_bytes().eq_ignore_ascii_case(a.as_str().as_bytes()))
    };
    let missing = first.is_none() && parts.version == Version::HTTP_11;
    match second.is_some() || missing || first.is_some_and(differs) {
        true => Err(RefusalCode::HeaderHost),
        false => Ok(()),
    }
}
