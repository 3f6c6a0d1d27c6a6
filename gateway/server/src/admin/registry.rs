//! What is in force: members, trust, certificates, policies, and the screen an officer looks at first.

use super::{List, Office, json};
use crate::governance::{Officer, ProposalView};
use crate::standing::StatusRow;
use serde::Serialize;
use std::time::Instant;
use xinqiao_certs::Role;
use xinqiao_edge::{Exchange, Reply};
use xinqiao_evidence::Digest;
use xinqiao_runtime::Check;
use xinqiao_runtime::problem::{Problem, ProblemCode};

#[derive(Serialize)]
struct AnchorView {
    digest: String,
    name: String,
    domains: Vec<String>,
    roles: Vec<Role>,
    pem: String,
}

#[derive(Serialize)]
struct PolicyView {
    id: String,
    digest: String,
    /// By officers, or of the catalogue.
    from: &'static str,
}

#[derive(Serialize)]
struct Screen {
    node: String,
    epoch: u64,
    checks: Vec<Check>,
    proposals: Vec<ProposalView>,
    certificates: Vec<StatusRow>,
    held: Vec<String>,
    dead: Vec<String>,
    withheld: Vec<Waiting>,
    locked_out: Vec<super::lockout::LockoutView>,
    pending_records: u64,
}

#[derive(Serialize)]
struct Waiting {
    stream: String,
    records: u64,
}

pub(super) fn members(office: &Office, name: Option<&str>, template: &'static str) -> Result<Reply, Problem> {
    let mut items = office.keeper.overlay().members(&office.keeper.files());
    match name {
        Some(name) => {
            let found = items.into_iter().find(|m| m.name == name).ok_or(ProblemCode::NotFound)?;
            json(template, &found)
        }
        None => {
            items.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
            json(template, &List { items })
        }
    }
}

pub(super) fn trust(office: &Office, template: &'static str) -> Result<Reply, Problem> {
    let anchors = office.keeper.overlay().anchors(&office.keeper.files());
    let one = |(digest, a): (String, xinqiao_node::decisions::OverlayAnchor)| AnchorView {
        digest,
        name: a.name,
        domains: a.domains,
        roles: a.roles,
        pem: a.pem,
    };
    json(template, &List { items: anchors.into_iter().map(one).collect() })
}

pub(super) fn policies(office: &Office, template: &'static str) -> Result<Reply, Problem> {
    let rules = office.node.rules();
    let one = |p: &std::sync::Arc<xinqiao_schemas::Policy>| PolicyView {
        id: p.id().to_owned(),
        digest: Digest::of(p.document()).to_hex(),
        from: if rules.policies().contains_key(p.id()) { "officers" } else { "catalogue" },
    };
    json(template, &List { items: rules.catalogue.policies().map(one).collect() })
}

/// One screen: what an officer must look at tonight.
pub(super) async fn status(office: &Office, template: &'static str) -> Result<Reply, Problem> {
    let (node, governor) = (office.node.clone(), office.governor.clone());
    let (keeper, readiness) = (office.keeper.clone(), office.readiness.clone());
    let gather = move || {
        // What has time is no matter for tonight.
        let certificates: Vec<_> = keeper.status().into_iter().filter(|row| row.state != "good").collect();
        let checks = readiness();
        let proposals = governor.list(Some("open"), 100)?;
        let mut withheld = Vec::new();
        for (stream, _) in node.heads() {
            let chunks = crate::governance::streams::withheld(&node, &stream)?;
            if !chunks.is_empty() {
                let records = chunks.iter().map(|c| u64::from(c.records())).sum();
                withheld.push(Waiting { stream: stream.to_string(), records });
            }
        }
        Ok::<_, Problem>((certificates, checks, proposals, withheld))
    };
    let (certificates, checks, proposals, withheld) =
        tokio::task::spawn_blocking(gather).await.map_err(|_| ProblemCode::Internal)??;
    let heads = office.node.heads();
    let named = |wanted: fn(&xinqiao_exchange::state::StreamRow) -> bool| {
        heads.iter().filter(|(_, h)| wanted(h)).map(|(s, _)| s.to_string()).collect()
    };
    let screen = Screen {
        node: office.node.name.to_string(),
        epoch: office.node.epoch(),
        checks,
        proposals,
        certificates,
        held: named(|h| h.held),
        dead: named(|h| h.dead),
        withheld,
        locked_out: office.lockouts.list(Instant::now()),
        pending_records: heads.iter().map(|(_, h)| h.pending_records).sum(),
    };
    json(template, &screen)
}

/// Entries of the log, as they stand there: from an index on, or the newest.
pub(super) async fn entries(
    office: &Office,
    officer: &Officer,
    exchange: &Exchange,
    template: &'static str,
) -> Result<Reply, Problem> {
    if let Officer::System(_) = officer {
        return Err(ProblemCode::RoleWrong.into());
    }
    let query = crate::api::query::Query::parse(exchange.parts.uri.query(), &["from", "limit", "last"])?;
    let (from, limit) = (query.number("from", 0, u64::MAX)?, query.number("limit", 100, 1_000)?);
    let last = query.number("last", 0, 1_000)?;
    let node = office.node.clone();
    let work = move || match last {
        0 => node.log_entries(from, limit),
        _ => node.log_entries(node.log_size().saturating_sub(last), last),
    };
    let items = tokio::task::spawn_blocking(work).await.map_err(|_| ProblemCode::Internal)??;
    json(template, &List { items })
}
