//! Streams, holds, withheld chunks, dead letters, traces.

use super::{OfficerCall, body};
use crate::governance::{self, check_reason};
use crate::officers::{HeadView, Held, List, Reason, Retried, Ruled, Ruling};
use crate::routes::{Call, json};
use std::sync::Arc;
use xinqiao_edge::Reply;
use xinqiao_exchange::names::StreamId;
use xinqiao_node::engine::trace::Wanted;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

pub(super) async fn list(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let items = call
        .with
        .api
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

pub(super) async fn withheld(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let items = governance::streams::withheld(&call.with.api.node, &stream_of(call.names[0])?)?;
    json(call.template, &List { items })
}

pub(super) async fn hold(call: Call<'_, OfficerCall>, held: bool) -> Result<Reply, Refusal> {
    let Call { with: OfficerCall { api, officer }, exchange, names: [stream, _], template, .. } = call;
    let by = officer.security()?;
    let stream = stream_of(stream)?;
    let Reason { reason } = body::read(exchange, body::SMALL).await?;
    check_reason(&reason)?;
    governance::streams::hold(&api.node, &stream, held, by, &reason).await?;
    json(template, &Held { stream: stream.to_string(), held })
}

pub(super) async fn rule(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let Call { with: OfficerCall { api, officer }, exchange, names: [stream, chunk], template, .. } = call;
    let by = officer.security()?;
    let stream = stream_of(stream)?;
    let chunk: u64 = chunk.parse().map_err(|_| RefusalCode::NotFound)?;
    let Ruling { reason, release } = body::read(exchange, body::SMALL).await?;
    check_reason(&reason)?;
    governance::streams::rule(&api.node, &stream, chunk, release, by, &reason).await?;
    json(template, &Ruled { stream: stream.to_string(), chunk, released: release })
}

pub(super) async fn retry(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let OfficerCall { api, officer } = call.with;
    let by = officer.system()?;
    let stream = stream_of(call.names[0])?;
    governance::streams::retry_push(&api.node, &stream, by).await?;
    json(call.template, &Retried { stream: stream.to_string(), dead: false })
}

pub(super) async fn trace(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let text = |name: &'static str| call.query.text(name).map(str::to_owned);
    let dataset = text("dataset").ok_or(RefusalCode::ParameterInvalid)?;
    let (member, reference, recipient, key) = (text("member"), text("ref"), text("recipient"), text("key"));
    let node = Arc::clone(&call.with.api.node);
    let found = tokio::task::spawn_blocking(move || match (&member, &reference, &recipient, &key) {
        (Some(member), Some(reference), None, None) => {
            node.trace(&dataset, &Wanted::Reference { member, reference })
        }
        (None, None, Some(recipient), Some(key)) => node.trace(&dataset, &Wanted::Key { recipient, key }),
        _ => Err(RefusalCode::ParameterInvalid.into()),
    });
    let items = found.await.map_err(|_| RefusalCode::Internal)??;
    json(call.template, &List { items })
}

fn stream_of(text: &str) -> Result<StreamId, Refusal> {
    StreamId::parse(text).map_err(|_| RefusalCode::StreamUnknown.into())
}
