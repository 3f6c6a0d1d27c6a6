//! What anyone may check: public keys and the log.

use crate::routes::Call;
use http::StatusCode;
use std::sync::Arc;
use xinqiao_certs::Role;
use xinqiao_edge::Reply;
use xinqiao_evidence::tlog::Tile;
use xinqiao_node::engine::Node;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

pub(super) async fn keys(call: Call<'_, Arc<Node>>) -> Result<Reply, Refusal> {
    Ok(Reply::bytes(call.template, StatusCode::OK, "application/json", call.with.published_keys()))
}

pub(super) async fn checkpoint(call: Call<'_, Arc<Node>>) -> Result<Reply, Refusal> {
    let note = call.with.published_checkpoint().ok_or(RefusalCode::BusyStarting)?;
    Ok(Reply::bytes(call.template, StatusCode::OK, "text/plain; charset=utf-8", note))
}

/// Hashes are for everyone, entries for auditors: an entry names members and says what they did.
pub(super) async fn tile(call: Call<'_, Arc<Node>>) -> Result<Reply, Refusal> {
    let [path, _] = call.names;
    if path.starts_with("entries/") && call.exchange.member.role() != Role::Auditor {
        return Err(RefusalCode::RoleWrong.into());
    }
    let tile: Tile = format!("tile/{path}").parse().map_err(|_| RefusalCode::NotFound)?;
    let node = call.with.clone();
    let bytes = tokio::task::spawn_blocking(move || node.published_tile(&tile)).await;
    let bytes = bytes.map_err(|_| RefusalCode::Internal)??;
    Ok(Reply::bytes(call.template, StatusCode::OK, "application/octet-stream", bytes))
}
