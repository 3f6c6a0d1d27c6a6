//! What anyone may check: public keys and the log.

use http::StatusCode;
use std::sync::Arc;
use xinqiao_edge::Reply;
use xinqiao_evidence::tlog::Tile;
use xinqiao_node::engine::Node;
use xinqiao_runtime::problem::{Problem, ProblemCode};

pub(super) fn keys(node: &Node, template: &'static str) -> Result<Reply, Problem> {
    Ok(Reply::bytes(template, StatusCode::OK, "application/json", node.published_keys()))
}

pub(super) fn checkpoint(node: &Node, template: &'static str) -> Result<Reply, Problem> {
    let note = node.published_checkpoint().ok_or(ProblemCode::BusyStarting)?;
    Ok(Reply::bytes(template, StatusCode::OK, "text/plain; charset=utf-8", note))
}

pub(super) async fn tile(node: &Arc<Node>, template: &'static str, path: &str) -> Result<Reply, Problem> {
    let tile: Tile = format!("tile/{path}").parse().map_err(|_| ProblemCode::NotFound)?;
    let node = node.clone();
    let bytes = tokio::task::spawn_blocking(move || node.published_tile(&tile)).await;
    let bytes = bytes.map_err(|_| ProblemCode::Internal)??;
    Ok(Reply::bytes(template, StatusCode::OK, "application/octet-stream", bytes))
}
