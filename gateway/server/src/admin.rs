//! The officers' listener: mutual TLS like the exchange, officers only, each path open to the roles named beside it.
//! Whatever changes something is an entry of the log with the officer's name.

use crate::edge::{BodyCaps, Exchange, Reply};
use crate::engine::Node;
use crate::engine::trace::Wanted;
use crate::problem::{Problem, ProblemCode};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xinqiao_certs::Role;
use xinqiao_exchange::names::StreamId;

/// Why an officer does something, and what.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    reason: String,
    #[serde(default)]
    release: bool,
}

#[derive(Serialize)]
struct HeadView {
    stream: String,
    next_seq: u64,
    pending_records: u64,
    sealed_records: u64,
    acknowledged_records: u64,
    rejected_records: u64,
    held: bool,
    dead: bool,
}

#[derive(Serialize)]
struct List<T> {
    items: Vec<T>,
}

/// Answers one request of an officer.
pub async fn route(node: Arc<Node>, exchange: Exchange) -> Reply {
    let path = exchange.parts.uri.path().to_owned();
    let parts: Vec<&str> = path.strip_prefix("/v1/").unwrap_or("").split('/').collect();
    let (template, outcome) = answer(node, exchange, &parts).await;
    outcome.unwrap_or_else(|problem| Reply::problem(template, problem))
}

async fn answer(
    node: Arc<Node>,
    exchange: Exchange,
    parts: &[&str],
) -> (&'static str, Result<Reply, Problem>) {
    let role = exchange.member.role();
    let post = exchange.parts.method == Method::POST;
    let security = role == Role::SecurityOfficer;
    match (post, parts) {
        (false, ["streams"]) => {
            let template = "/v1/streams";
            (template, allow(role.is_officer()).and_then(|()| json(template, &heads(&node))))
        }
        (false, ["streams", stream, "withheld"]) => {
            let template = "/v1/streams/{stream}/withheld";
            let list = allow(role.is_officer()).and_then(|()| node.withheld(&stream_of(stream)?));
            (template, list.and_then(|items| json(template, &List { items })))
        }
        (true, ["streams", stream, what @ ("hold" | "release")]) => {
            let template = "/v1/streams/{stream}/hold";
            (template, hold(&node, exchange, stream, *what == "hold", security, template).await)
        }
        (true, ["streams", stream, "withheld", chunk]) => {
            let template = "/v1/streams/{stream}/withheld/{chunk}";
            (template, rule(&node, exchange, stream, chunk, security, template).await)
        }
        (true, ["streams", stream, "retry"]) => {
            let template = "/v1/streams/{stream}/retry";
            (template, retry(&node, &exchange, stream, role == Role::SystemOfficer, template).await)
        }
        (false, ["trace"]) => {
            let template = "/v1/trace";
            (template, trace(&node, &exchange, security || role == Role::Auditor, template).await)
        }
        (false, ["documents", digest]) => {
            let template = "/v1/documents/{digest}";
            let found = allow(role.is_officer()).and_then(|()| {
                let good = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
                node.document(digest).filter(|_| good).ok_or_else(|| ProblemCode::NotFound.into())
            });
            (template, found.map(|bytes| Reply::bytes(template, StatusCode::OK, "application/toml", bytes)))
        }
        _ => ("unknown", Err(ProblemCode::NotFound.into())),
    }
}

fn allow(yes: bool) -> Result<(), Problem> {
    if yes { Ok(()) } else { Err(ProblemCode::RoleWrong.into()) }
}

fn stream_of(text: &str) -> Result<StreamId, Problem> {
    StreamId::parse(text).map_err(|_| ProblemCode::StreamUnknown.into())
}

fn heads(node: &Node) -> List<HeadView> {
    let items = node
        .heads()
        .into_iter()
        .map(|(stream, h)| HeadView {
            stream: stream.to_string(),
            next_seq: h.next_seq,
            pending_records: h.pending_records,
            sealed_records: h.sealed_records,
            acknowledged_records: h.acknowledged_records,
            rejected_records: h.rejected_records,
            held: h.held,
            dead: h.dead,
        })
        .collect();
    List { items }
}

async fn decision(exchange: Exchange) -> Result<(String, Decision), Problem> {
    let by = exchange.member.name().to_owned();
    let body = exchange.body.read(BodyCaps::of(64 << 10)).await?;
    let decision: Decision = serde_json::from_slice(&body.bytes).map_err(|_| ProblemCode::BodyMalformed)?;
    let length = decision.reason.chars().count();
    if !(1..=200).contains(&length) || decision.reason.chars().any(char::is_control) {
        return Err(ProblemCode::BodyMalformed.into());
    }
    Ok((by, decision))
}

async fn hold(
    node: &Node,
    exchange: Exchange,
    stream: &str,
    held: bool,
    may: bool,
    template: &'static str,
) -> Result<Reply, Problem> {
    allow(may)?;
    let stream = stream_of(stream)?;
    let (by, decision) = decision(exchange).await?;
    node.hold(&stream, held, &by, &decision.reason).await?;
    json(template, &serde_json::json!({ "stream": stream.as_str(), "held": held }))
}

async fn rule(
    node: &Node,
    exchange: Exchange,
    stream: &str,
    chunk: &str,
    may: bool,
    template: &'static str,
) -> Result<Reply, Problem> {
    allow(may)?;
    let stream = stream_of(stream)?;
    let chunk: u64 = chunk.parse().map_err(|_| ProblemCode::NotFound)?;
    let (by, decision) = decision(exchange).await?;
    node.rule(&stream, chunk, decision.release, &by, &decision.reason).await?;
    json(
        template,
        &serde_json::json!({ "stream": stream.as_str(), "chunk": chunk, "released": decision.release }),
    )
}

async fn retry(
    node: &Node,
    exchange: &Exchange,
    stream: &str,
    may: bool,
    template: &'static str,
) -> Result<Reply, Problem> {
    allow(may)?;
    let stream = stream_of(stream)?;
    node.retry_push(&stream, exchange.member.name()).await?;
    json(template, &serde_json::json!({ "stream": stream.as_str(), "dead": false }))
}

async fn trace(
    node: &Arc<Node>,
    exchange: &Exchange,
    may: bool,
    template: &'static str,
) -> Result<Reply, Problem> {
    allow(may)?;
    let known = ["dataset", "member", "ref", "recipient", "key"];
    let query = crate::api::query::Query::parse(exchange.parts.uri.query(), &known)?;
    let text = |name: &'static str| query.text(name).map(str::to_owned);
    let dataset = text("dataset").ok_or(ProblemCode::ParameterInvalid)?;
    let (member, reference, recipient, key) = (text("member"), text("ref"), text("recipient"), text("key"));
    let node = node.clone();
    let found = tokio::task::spawn_blocking(move || match (&member, &reference, &recipient, &key) {
        (Some(member), Some(reference), None, None) => {
            node.trace(&dataset, &Wanted::Reference { member, reference })
        }
        (None, None, Some(recipient), Some(key)) => node.trace(&dataset, &Wanted::Key { recipient, key }),
        _ => Err(ProblemCode::ParameterInvalid.into()),
    });
    let items = found.await.map_err(|_| ProblemCode::Internal)??;
    json(template, &List { items })
}

fn json(template: &'static str, body: &impl Serialize) -> Result<Reply, Problem> {
    let bytes = serde_json::to_vec(body).map_err(|_| ProblemCode::Internal)?;
    Ok(Reply::bytes(template, StatusCode::OK, "application/json", Bytes::from(bytes)))
}
