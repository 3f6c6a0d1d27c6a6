//! What is in force: members, trust, certificates, keys, policies, documents, entries of the log, and the screen an officer
//! looks at first.

use super::OfficerCall;
use crate::officers::{AnchorView, List, PolicyOrigin, PolicyView, Screen, StatusState, Waiting};
use crate::routes::{Call, json};
use http::StatusCode;
use std::time::Instant;
use xinqiao_edge::Reply;
use xinqiao_evidence::Digest;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

pub(super) async fn members(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let keeper = &call.with.api.keeper;
    let mut items = keeper.overlay().members(&keeper.files());
    items.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
    json(call.template, &List { items })
}

pub(super) async fn member(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let keeper = &call.with.api.keeper;
    let members = keeper.overlay().members(&keeper.files());
    let found = members.into_iter().find(|m| m.name == call.names[0]).ok_or(RefusalCode::NotFound)?;
    json(call.template, &found)
}

pub(super) async fn trust(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let keeper = &call.with.api.keeper;
    let anchors = keeper.overlay().anchors(&keeper.files());
    let one = |(digest, a): (String, xinqiao_node::decisions::OverlayAnchor)| AnchorView {
        digest,
        name: a.name,
        domains: a.domains,
        roles: a.roles,
        pem: a.pem,
    };
    json(call.template, &List { items: anchors.into_iter().map(one).collect() })
}

pub(super) async fn certificates(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    json(call.template, &List { items: call.with.api.keeper.status() })
}

pub(super) async fn keys(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    json(call.template, &List { items: call.with.api.node.keys() })
}

pub(super) async fn lockouts(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    json(call.template, &List { items: call.with.api.lockouts.list(Instant::now()) })
}

pub(super) async fn policies(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let rules = call.with.api.node.rules();
    let origin = |id: &str| match rules.policies().contains_key(id) {
        true => PolicyOrigin::Officers,
        false => PolicyOrigin::Catalogue,
    };
    let one = |p: &std::sync::Arc<xinqiao_schemas::Policy>| PolicyView {
        id: p.id().to_owned(),
        digest: Digest::of(p.document()).to_hex(),
        rules: Digest::of(&p.rules()).to_hex(),
        from: origin(p.id()),
    };
    json(call.template, &List { items: rules.catalogue.policies().map(one).collect() })
}

/// One screen: what an officer must look at tonight.
pub(super) async fn status(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let api = &call.with.api;
    let (node, governor) = (api.node.clone(), api.governor.clone());
    let (keeper, readiness) = (api.keeper.clone(), api.readiness.clone());
    let gather = move || {
        // What has time is no matter for tonight.
        let certificates: Vec<_> =
            keeper.status().into_iter().filter(|row| row.state != StatusState::Good).collect();
        let checks = readiness();
        let proposals = governor.list(Some(crate::officers::Progress::Open), 100)?;
        let mut withheld = Vec::new();
        for (stream, _) in node.heads() {
            let chunks = crate::governance::streams::withheld(&node, &stream)?;
            if !chunks.is_empty() {
                let records = chunks.iter().map(|c| u64::from(c.records)).sum();
                withheld.push(Waiting { stream: stream.to_string(), records });
            }
        }
        Ok::<_, Refusal>((certificates, checks, proposals, withheld))
    };
    let (certificates, checks, proposals, withheld) =
        tokio::task::spawn_blocking(gather).await.map_err(|_| RefusalCode::Internal)??;
    let heads = api.node.heads();
    let named = |wanted: fn(&xinqiao_exchange::state::StreamRow) -> bool| {
        heads.iter().filter(|(_, h)| wanted(h)).map(|(s, _)| s.to_string()).collect()
    };
    let screen = Screen {
        node: api.node.name.to_string(),
        epoch: api.node.epoch(),
        checks: checks.into_iter().map(Into::into).collect(),
        proposals,
        certificates,
        held: named(|h| h.held),
        dead: named(|h| h.dead),
        withheld,
        locked_out: api.lockouts.list(Instant::now()),
        pending_records: heads.iter().map(|(_, h)| h.pending_records).sum(),
    };
    json(call.template, &screen)
}

/// Entries of the log, as they stand there: from an index on, or the newest.
pub(super) async fn entries(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let (from, limit) =
        (call.query.number("from", 0, 0..=u64::MAX)?, call.query.number("limit", 100, 0..=1_000)?);
    let last = call.query.number("last", 0, 0..=1_000)?;
    let node = call.with.api.node.clone();
    let work = move || match last {
        0 => node.log_entries(from, limit),
        _ => node.log_entries(node.log_size().saturating_sub(last), last),
    };
    let items = tokio::task::spawn_blocking(work).await.map_err(|_| RefusalCode::Internal)??;
    json(call.template, &List { items })
}

/// A document the node keeps, by its digest.
pub(super) async fn document(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let [digest, _] = call.names;
    let good = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    let bytes = call.with.api.node.document(digest).filter(|_| good).ok_or_else(|| {
        Refusal::new(RefusalCode::NotFound).detail(
            "No document is kept under this digest; `xinqiao admin log` shows digests of documents that are, of lists (`crl`), certificates, proposals and policies among others.",
            "没有以该摘要保存的原文；可读取原文的有吊销列表（crl）、证书、提案、策略等，摘要见 xinqiao admin log。",
        )
    })?;
    let media_type = match bytes.first() {
        Some(b'{') => "application/json",
        _ if bytes.starts_with(b"-----BEGIN") => "application/x-pem-file",
        // Revocation lists are kept as they came, in DER too, whose length bytes are no UTF-8.
        _ if std::str::from_utf8(&bytes).is_err() => "application/octet-stream",
        _ => "application/toml",
    };
    Ok(Reply::bytes(call.template, StatusCode::OK, media_type, bytes))
}

/// The description of this listener.
pub(super) async fn openapi(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    Ok(Reply::bytes(call.template, StatusCode::OK, "application/json", super::OPENAPI))
}
