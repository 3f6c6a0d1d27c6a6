//! Proposals, suspensions, reloads and lock-outs: what officers change.

use super::lockout::Who;
use super::{List, Office, json};
use crate::api::query::Query;
use crate::governance::{Draft, Officer, Word, check_reason, note_officer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Instant;
use xinqiao_edge::{Body, BodyCaps, Exchange, Reply};
use xinqiao_runtime::problem::{Problem, ProblemCode};

/// 64 policies of the catalogue's size fit with room to spare.
const BODY: usize = 4 << 20;
/// What a value of a JSON tree takes at most: itself, its place in a container that doubles, its name.
const PER_VALUE: usize = 128;
/// Proposals in one answer.
const LISTED: u64 = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

pub(super) async fn list(
    office: &Office,
    exchange: &Exchange,
    template: &'static str,
) -> Result<Reply, Problem> {
    let query = Query::parse(exchange.parts.uri.query(), &["state", "limit"])?;
    let state = query.text("state").map(str::to_owned);
    let known = ["open", "approved", "rejected", "expired", "withdrawn", "enacted", "failed"];
    if state.as_ref().is_some_and(|s| !known.contains(&s.as_str())) {
        return Err(crate::api::query::invalid("state"));
    }
    let limit = query.number("limit", 100, LISTED)? as usize;
    let governor = office.governor.clone();
    let work = move || governor.list(state.as_deref(), limit);
    let items = tokio::task::spawn_blocking(work).await.map_err(|_| ProblemCode::Internal)??;
    json(template, &List { items })
}

pub(super) fn show(office: &Office, id: &str, template: &'static str) -> Result<Reply, Problem> {
    json(template, &office.governor.view(number(id)?)?)
}

pub(super) async fn propose(
    office: &Office,
    officer: &Officer,
    exchange: Exchange,
    template: &'static str,
) -> Result<Reply, Problem> {
    let by = officer.security()?;
    let dry = dry_run(&exchange)?;
    let draft: Draft = read(exchange, BODY).await?;
    if dry {
        return json(template, &office.governor.rehearse(by, draft).await?);
    }
    json(template, &office.governor.propose(by, draft).await?)
}

pub(super) async fn decide(
    office: &Office,
    officer: &Officer,
    exchange: Exchange,
    (id, what): (&str, &str),
    template: &'static str,
) -> Result<Reply, Problem> {
    let by = officer.security()?;
    let id = number(id)?;
    let view = if what == "approve" {
        let word: Word = read(exchange, BODY).await?;
        office.governor.approve(by, id, word).await?
    } else {
        let Reason { reason } = read(exchange, BODY).await?;
        match what {
            "reject" => office.governor.reject(by, id, reason).await?,
            _ => office.governor.withdraw(by, id, reason).await?,
        }
    };
    json(template, &view)
}

pub(super) async fn suspend(
    office: &Office,
    officer: &Officer,
    exchange: Exchange,
    member: &str,
    template: &'static str,
) -> Result<Reply, Problem> {
    let by = officer.security()?;
    let Reason { reason } = read(exchange, BODY).await?;
    let proposal = office.governor.suspend(by, member, reason).await?;
    json(template, &serde_json::json!({ "member": member, "suspended": true, "proposal": proposal }))
}

pub(super) async fn lift(
    office: &Office,
    officer: &Officer,
    exchange: Exchange,
    name: &str,
    template: &'static str,
) -> Result<Reply, Problem> {
    let Reason { reason } = read(exchange, BODY).await?;
    check_reason(&reason)?;
    let (who, role) = office.lockouts.find(name, Instant::now()).ok_or(ProblemCode::LockoutUnknown)?;
    match &who {
        // An address is nobody's own: security officers answer for it.
        Who::Address(_) => {
            officer.security()?;
        }
        Who::Officer(locked) if role != Some(officer.role()) || locked == officer.name() => {
            return Err(ProblemCode::RoleWrong.into());
        }
        Who::Officer(_) => {}
    }
    office.lockouts.lift(&who);
    note_officer(&office.node, "lifted", name, officer, Some(&reason)).await?;
    json(template, &serde_json::json!({ "name": name, "locked_out": false }))
}

pub(super) fn dry_run(exchange: &Exchange) -> Result<bool, Problem> {
    let query = Query::parse(exchange.parts.uri.query(), &["dry-run"])?;
    match query.text("dry-run") {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(crate::api::query::invalid("dry-run")),
    }
}

/// Reads a body of up to `cap` bytes, off the threads that answer requests if it is long, and paid for: members of an entry
/// may be anything, so a tree is made of them.
pub(super) async fn read<T>(exchange: Exchange, cap: usize) -> Result<T, Problem>
where
    T: DeserializeOwned + Send + 'static,
{
    let Exchange { body, account, .. } = exchange;
    let Body { bytes, permit } = body.read(BodyCaps { decoded: cap, ..BodyCaps::of(cap) }).await?;
    // Every value but the first follows one of these.
    let values = bytes.iter().filter(|b| matches!(b, b',' | b'[' | b'{')).count() + 1;
    let takes = bytes.len() + values * PER_VALUE;
    let reading = account.take_beside(&permit, takes)?;
    let work = move || {
        let _paid = (permit, reading);
        serde_json::from_slice(&bytes)
    };
    // Which member is wrong and where, without anything that was sent.
    account.in_turn(takes, work).await.map_err(|e| {
        let (line, column) = (e.line(), e.column());
        Problem::new(ProblemCode::BodyMalformed).detail(
            format!("Line {line}, column {column}: not as the interface describes it (syntax, unknown member, or a value of the wrong form)."),
            format!("第 {line} 行第 {column} 列：与接口说明不符（语法错误、未知成员，或取值形式不正确）。"),
        )
    })
}

fn number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| ProblemCode::ProposalUnknown.into())
}
