//! Handing records in.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{Method, Request};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;
use std::io::Write;
use std::time::Duration;
use xinqiao_crypto::{hex, random};

use super::{Client, build, parse, segment};
use crate::error::{ClientError, Finding};

/// One request of records.
#[derive(Clone)]
pub struct Submission<'a> {
    /// Which kind of record.
    pub dataset: &'a str,
    /// `put`, `withdraw`, `repair`, `dispute`, `resolve` or `reinstate`.
    pub op: &'a str,
    /// Schema id; needed while several versions are open.
    pub schema: Option<&'a str>,
    /// `daily`, `history`, `supplement` or `correction`.
    pub load: Option<&'a str>,
    /// `application/json`, `application/x-ndjson`, `application/xml` or `text/csv`.
    pub media_type: &'a str,
    /// `utf-8` or `gb18030`; stands as a parameter of the media type.
    pub charset: Option<&'a str>,
    /// The same key for the same records, however often they are sent. Random if none is given.
    pub idempotency_key: Option<String>,
    /// All or nothing.
    pub strict: bool,
    /// Compress the body on the way.
    pub gzip: bool,
    /// The records.
    pub body: Bytes,
}

impl<'a> Submission<'a> {
    /// A put of NDJSON, lenient, not compressed.
    pub fn new(dataset: &'a str, body: impl Into<Bytes>) -> Self {
        Self {
            dataset,
            op: "put",
            schema: None,
            load: None,
            media_type: "application/x-ndjson",
            charset: None,
            idempotency_key: None,
            strict: false,
            gzip: false,
            body: body.into(),
        }
    }
}

impl fmt::Debug for Submission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission")
            .field("dataset", &self.dataset)
            .field("op", &self.op)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The gateway's answer to a submission of which something was accepted.
#[derive(Debug, Deserialize)]
pub struct Received {
    /// The submission's id.
    pub submission: String,
    /// Records accepted, doubtful ones included.
    pub accepted: u64,
    /// Records refused.
    pub refused: u64,
    /// Records accepted with a doubt.
    #[serde(default)]
    pub warned: u64,
    /// Proof that the submission is in the node's log. Keep it.
    pub receipt: Box<RawValue>,
    /// What was found about single records.
    #[serde(default)]
    pub errors: Vec<Finding>,
}

/// An answer with what is needed to ask for it again.
#[derive(Debug)]
pub struct Sent {
    /// The answer, read.
    pub response: Received,
    /// The answer, byte for byte.
    pub raw: Bytes,
    /// The key it was sent under.
    pub idempotency_key: String,
    /// HTTP status, 201.
    pub status: u16,
}

impl Client {
    /// Sends records, again under the same key while the gateway is busy, away, or did not answer.
    ///
    /// If everything is refused the error is a [`ClientError::Problem`] whose `errors` say why.
    pub async fn send(&self, submission: &Submission<'_>) -> Result<Sent, ClientError> {
        let key = match &submission.idempotency_key {
            Some(key) => key.clone(),
            None => random_key()?,
        };
        let path = path(submission)?;
        let content_type = content_type(submission);
        let body = match submission.gzip {
            true => compressed(&submission.body)?,
            false => submission.body.clone(),
        };
        let attempt = || async {
            let mut request = self
                .transport
                .request(Method::POST, &path)
                .header(CONTENT_TYPE, &content_type)
                .header("idempotency-key", &key);
            if submission.gzip {
                request = request.header(CONTENT_ENCODING, "gzip");
            }
            if submission.strict {
                request = request.header("prefer", "handling=strict");
            }
            let request = build(request.body(Full::new(body.clone())))?;
            self.transport.ask(request, upload_time(body.len())).await
        };
        let response = self.retry.run(attempt).await?;
        Ok(Sent {
            response: parse(&response.body)?,
            status: response.status.as_u16(),
            raw: response.body,
            idempotency_key: key,
        })
    }
}

/// Whether a submission can be put into a request at all: names, media type and key, whatever the gateway says of them.
pub(crate) fn check(submission: &Submission<'_>) -> Result<(), ClientError> {
    let mut request = Request::post(path(submission)?).header(CONTENT_TYPE, content_type(submission));
    if let Some(key) = &submission.idempotency_key {
        request = request.header("idempotency-key", key);
    }
    build(request.body(Full::default())).map(drop)
}

fn content_type(submission: &Submission<'_>) -> String {
    match submission.charset {
        Some(charset) => format!("{}; charset={charset}", submission.media_type),
        None => submission.media_type.to_owned(),
    }
}

fn path(submission: &Submission<'_>) -> Result<String, ClientError> {
    let mut path =
        format!("/v1/datasets/{}/records?op={}", segment(submission.dataset)?, segment(submission.op)?);
    for (name, value) in [("schema", submission.schema), ("load", submission.load)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", segment(value)?));
        }
    }
    Ok(path)
}

/// What a slow line may need for the body, before the gateway can begin to answer.
fn upload_time(bytes: usize) -> Duration {
    const BYTES_PER_SECOND: u64 = 64 << 10;
    Duration::from_secs(bytes as u64 / BYTES_PER_SECOND)
}

fn compressed(body: &[u8]) -> Result<Bytes, ClientError> {
    let failed = |error| ClientError::local(std::path::Path::new("memory"), error);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).map_err(failed)?;
    Ok(encoder.finish().map_err(failed)?.into())
}

/// 122 random bits in the shape of a version 4 UUID.
fn random_key() -> Result<String, ClientError> {
    let mut bytes: [u8; 16] = random::array().map_err(|_| {
        ClientError::setting(
            "system",
            "gave no random numbers; give an idempotency key",
            "未能提供随机数，请自行指定幂等键",
        )
    })?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(&bytes);
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}
