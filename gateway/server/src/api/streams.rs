//! What recipients read: lists of batches, payloads.

use super::records::WAIT_CAP;
use crate::routes::query::invalid;
use crate::routes::{Call, json};
use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use xinqiao_edge::{Reply, ReplyBody};
use xinqiao_evidence::http_digest;
use xinqiao_exchange::names::StreamId;
use xinqiao_node::engine::Node;
use xinqiao_node::engine::serve::LIST_CAP;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

#[derive(Serialize)]
struct StreamList {
    node: String,
    streams: Vec<xinqiao_node::engine::serve::StreamView>,
}

pub(super) fn stream_of(text: &str) -> Result<StreamId, Refusal> {
    StreamId::parse(text).map_err(|_| RefusalCode::StreamUnknown.into())
}

pub(super) async fn list(call: Call<'_, Arc<Node>>) -> Result<Reply, Refusal> {
    let node = call.with;
    let streams = node.streams_of(call.exchange.member.name());
    json(call.template, &StreamList { node: node.name.to_string(), streams })
}

pub(super) async fn batches(call: Call<'_, Arc<Node>>) -> Result<Reply, Refusal> {
    let Call { with: node, exchange, names: [stream, _], query, template } = call;
    let stream = stream_of(stream)?;
    let after = query.number("after", 0, 0..=u64::MAX - 1)?;
    let limit = query.number("limit", 10, 1..=LIST_CAP as u64)? as usize;
    let wait = Duration::from_secs(query.number("wait", 0, 0..=WAIT_CAP)?);
    let member = exchange.member.name();
    let list = tokio::select! {
        list = node.batches(member, &stream, after, limit, wait) => list?,
        () = exchange.drain.wait() => node.batches(member, &stream, after, limit, Duration::ZERO).await?,
    };
    json(template, &list)
}

pub(super) async fn payload(call: Call<'_, Arc<Node>>) -> Result<Reply, Refusal> {
    let Call { with: node, exchange, names: [stream, seq], template, .. } = call;
    let stream = stream_of(stream)?;
    let digits = !seq.is_empty() && seq.bytes().all(|b| b.is_ascii_digit());
    let seq: u64 = seq.parse().ok().filter(|_| digits).ok_or(RefusalCode::BatchUnknown)?;
    let found = node.payload(exchange.member.name(), &stream, seq).await?;
    let (headers, asks_for_head) = (&exchange.parts.headers, exchange.parts.method == Method::HEAD);
    let etag = HeaderValue::from_str(&format!("\"{}\"", found.digest)).map_err(|_| RefusalCode::Internal)?;
    let digest: xinqiao_evidence::Digest = found.digest.parse().map_err(|_| RefusalCode::Internal)?;
    let repr =
        HeaderValue::from_str(&http_digest::repr_digest(&digest)).map_err(|_| RefusalCode::Internal)?;
    let unchanged = is_held(headers, &etag);
    // A range is of GET alone (RFC 9110, 14.2), and only once it is known that the bytes are sent.
    let range_applies = !asks_for_head && !unchanged && headers.get(IF_RANGE).is_none_or(|tag| tag == etag);
    let range = if range_applies { range(headers, found.bytes)? } else { None };
    let (from, to) = range.unwrap_or((0, found.bytes));
    let body = if unchanged {
        ReplyBody::empty()
    } else if asks_for_head {
        // For its length alone: nothing is read, and the edge takes it out.
        ReplyBody::streamed(Some(found.bytes)).1
    } else {
        node.note_served(&stream, seq, &found).await?;
        let largest = found.parts.iter().map(|p| p.bytes()).max().unwrap_or(0);
        let permit = exchange.account.take(largest)?;
        stream_parts(node, &stream, found.parts, from, to).holding(permit)
    };
    let mut response = Response::new(body);
    *response.status_mut() = match (unchanged, range.is_some()) {
        (true, _) => StatusCode::NOT_MODIFIED,
        (false, true) => StatusCode::PARTIAL_CONTENT,
        (false, false) => StatusCode::OK,
    };
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static(found.media_type));
    out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(ETAG, etag);
    out.insert("repr-digest", repr);
    if range.is_some() {
        let value = format!("bytes {from}-{}/{}", to - 1, found.bytes);
        out.insert(CONTENT_RANGE, HeaderValue::from_str(&value).map_err(|_| RefusalCode::Internal)?);
    }
    Ok(Reply::new(template, response))
}

/// Whether the caller names this ETag among those it holds. Weak ones count, as for any GET (RFC 9110, 13.1.2).
fn is_held(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let listed =
        headers.get_all(IF_NONE_MATCH).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    listed.map(<[u8]>::trim_ascii).any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag)
}

/// One range of bytes, `from` up to but not including `to`. Several ranges are answered with the whole.
fn range(headers: &HeaderMap, length: u64) -> Result<Option<(u64, u64)>, Refusal> {
    let Some(value) = headers.get(RANGE) else { return Ok(None) };
    let value = value.to_str().map_err(|_| invalid("Range"))?;
    let Some(spec) = value.strip_prefix("bytes=") else { return Ok(None) };
    if spec.contains(',') {
        return Ok(None);
    }
    let (first, last) = spec.split_once('-').ok_or_else(|| invalid("Range"))?;
    let number = |s: &str| match s.bytes().all(|b| b.is_ascii_digit()) {
        true => s.parse::<u64>().map_err(|_| invalid("Range")),
        false => Err(invalid("Range")),
    };
    let (from, to) = match (first, last) {
        ("", n) => (length.saturating_sub(number(n)?), length),
        (n, "") => (number(n)?, length),
        (a, b) => (number(a)?, number(b)?.saturating_add(1).min(length)),
    };
    if from >= to || from >= length {
        return Err(Refusal::new(RefusalCode::RangeUnsatisfiable).complete_length(length));
    }
    Ok(Some((from, to)))
}

fn stream_parts(
    node: &Arc<Node>,
    stream: &StreamId,
    parts: Vec<xinqiao_exchange::state::Place>,
    from: u64,
    to: u64,
) -> ReplyBody {
    let (sender, body) = ReplyBody::streamed(Some(to - from));
    let (node, stream) = (node.clone(), stream.clone());
    tokio::task::spawn_blocking(move || {
        let mut at = 0u64;
        for part in parts {
            let end = at + part.bytes() as u64;
            if end > from && at < to {
                let Some(bytes) = node.payload_part(&stream, part) else { return };
                let bytes = Bytes::from(bytes);
                let first = from.saturating_sub(at) as usize;
                let last = (to.min(end) - at) as usize;
                if sender.blocking_send(bytes.slice(first..last)).is_err() {
                    return;
                }
            }
            at = end;
        }
        let _ = sender.blocking_finish();
    });
    body
}
