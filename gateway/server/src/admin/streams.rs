//! Streams, holds, withheld chunks, dead letters, traces.

use super::{List, Office, json};
use crate::governance::{self, Officer, check_reason};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xinqiao_edge::{Exchange, Reply};
use xinqiao_exchange::names::StreamId;
use xinqiao_node::engine::trace::Wanted;
use xinqiao_runtime::problem::{Problem, ProblemCode};

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

pub(super) fn list(office: &Office, template: &'static str) -> Result<Reply, Problem> {
    let items = office
        .node
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
    json(template, &List { items })
}

pub(super) fn withheld(office: &Office, stream: &str, template: &'static str) -> Result<Reply, Problem> {
    let items = governance::streams::withheld(&office.node, &stream_of(stream)?)?;
    json(template, &List { items })
}

pub(super) async fn hold(
    office: &Office,
    officer: &Officer,
    exchange: Exchange,
    stream: &str,
    held: bool,
    template: &'static str,
) -> Result<Reply, Problem> {
    let by = officer.security()?;
    let stream = stream_of(stream)?;
    let decision = decision(exchange).await?;
    governance::streams::hold(&office.node, &stream, held, by, &decision.reason).await?;
    json(template, &serde_json::json!({ "stream": stream.as_str(), "held": held }))
}

pub(super) async fn rule(
    office: &Office,
    officer: &Officer,
    exchange: Exchange,
    (stream, chunk): (&str, &str),
    template: &'static str,
) -> Result<Reply, Problem> {
    let by = officer.security()?;
    let stream = stream_of(stream)?;
    let chunk: u64 = chunk.parse().map_err(|_| ProblemCode::NotFound)?;
    let decision = decision(exchange).await?;
    governance::streams::rule(&office.node, &stream, chunk, decision.release, by, &decision.reason).await?;
    let said = serde_json::json!({ "stream": stream.as_str(), "chunk": chunk, "released": decision.release });
    json(template, &said)
}

pub(super) async fn retry(
    office: &Office,
    officer: &Officer,
    stream: &str,
    template: &'static str,
) -> Result<Reply, Problem> {
    let by = officer.system()?;
    let stream = stream_of(stream)?;
    governance::streams::retry_push(&office.node, &stream, by).await?;
    json(template, &serde_json::json!({ "stream": stream.as_str(), "dead": false }))
}

pub(super) async fn trace(
    office: &Office,
    officer: &Officer,
    exchange: &Exchange,
    template: &'static str,
) -> Result<Reply, Problem> {
    if let Officer::System(_) = officer {
        return Err(ProblemCode::RoleWrong.into());
    }
    let known = ["dataset", "member", "ref", "recipient", "key"];
    let query = crate::api::query::Query::parse(exchange.parts.uri.query(), &known)?;
    let text = |name: &'static str| query.text(name).map(str::to_owned);
    let dataset = text("dataset").ok_or(ProblemCode::ParameterInvalid)?;
    let (member, reference, recipient, key) = (text("member"), text("ref"), text("recipient"), text("key"));
    let node = Arc::clone(&office.node);
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

fn stream_of(text: &str) -> Result<StreamId, Problem> {
    StreamId::parse(text).map_err(|_| ProblemCode::StreamUnknown.into())
}

async fn decision(exchange: Exchange) -> Result<Decision, Problem> {
    let decision: Decision = super::proposals::read(exchange, 64 << 10).await?;
    check_reason(&decision.reason)?;
    Ok(decision)
}
