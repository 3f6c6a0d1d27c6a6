//! Streams, holds, withheld chunks, dead letters, traces.

use super::{Visit, body};
use crate::governance::{self, check_reason};
use crate::officers::{HeadView, Held, List, Reason, Retried, Ruled, Ruling};
use crate::routes::{Call, json};
use std::sync::Arc;
use xinqiao_edge::Reply;
use xinqiao_exchange::names::StreamId;
use xinqiao_node::engine::trace::Wanted;
use xinqiao_runtime::problem::{Problem, ProblemCode};

pub(super) async fn list(call: Call<'_, Visit>) -> Result<Reply, Problem> {
    let items = call
        .with
        .office
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
    json(call.template, &List { items })
}

pub(super) async fn withheld(call: Call<'_, Visit>) -> Result<Reply, Problem> {
    let items = governance::streams::withheld(&call.with.office.node, &stream_of(call.names[0])?)?;
    json(call.template, &List { items })
}

pub(super) async fn hold(call: Call<'_, Visit>, held: bool) -> Result<Reply, Problem> {
    let Call { with: Visit { office, officer }, exchange, names: [stream, _], template, .. } = call;
    let by = officer.security()?;
    let stream = stream_of(stream)?;
    let Reason { reason } = body::read(exchange, body::SMALL).await?;
    check_reason(&reason)?;
    governance::streams::hold(&office.node, &stream, held, by, &reason).await?;
    json(template, &Held { stream: stream.to_string(), held })
}

pub(super) async fn rule(call: Call<'_, Visit>) -> Result<Reply, Problem> {
    let Call { with: Visit { office, officer }, exchange, names: [stream, chunk], template, .. } = call;
    let by = officer.security()?;
    let stream = stream_of(stream)?;
    let chunk: u64 = chunk.parse().map_err(|_| ProblemCode::NotFound)?;
    let Ruling { reason, release } = body::read(exchange, body::SMALL).await?;
    check_reason(&reason)?;
    governance::streams::rule(&office.node, &stream, chunk, release, by, &reason).await?;
    json(template, &Ruled { stream: stream.to_string(), chunk, released: release })
}

pub(super) async fn retry(call: Call<'_, Visit>) -> Result<Reply, Problem> {
    let Visit { office, officer } = call.with;
    let by = officer.system()?;
    let stream = stream_of(call.names[0])?;
    governance::streams::retry_push(&office.node, &stream, by).await?;
    json(call.template, &Retried { stream: stream.to_string(), dead: false })
}

pub(super) async fn trace(call: Call<'_, Visit>) -> Result<Reply, Problem> {
    let text = |name: &'static str| call.query.text(name).map(str::to_owned);
    let dataset = text("dataset").ok_or(ProblemCode::ParameterInvalid)?;
    let (member, reference, recipient, key) = (text("member"), text("ref"), text("recipient"), text("key"));
    let node = Arc::clone(&call.with.office.node);
    let found = tokio::task::spawn_blocking(move || match (&member, &reference, &recipient, &key) {
        (Some(member), Some(reference), None, None) => {
            node.trace(&dataset, &Wanted::Reference { member, reference })
        }
        (None, None, Some(recipient), Some(key)) => node.trace(&dataset, &Wanted::Key { recipient, key }),
        _ => Err(ProblemCode::ParameterInvalid.into()),
    });
    let items = found.await.map_err(|_| ProblemCode::Internal)??;
    json(call.template, &List { items })
}

fn stream_of(text: &str) -> Result<StreamId, Problem> {
    StreamId::parse(text).map_err(|_| ProblemCode::StreamUnknown.into())
}
