//! Proposals, suspensions and lock-outs: what officers change.

use super::lockout::Who;
use super::{OfficerCall, body};
use crate::governance::{check_reason, note_officer};
use crate::officers::{ApprovalRequest, Draft, Lifted, List, Progress, Reason, Suspension};
use crate::routes::query::{Query, invalid};
use crate::routes::{Call, json};
use std::time::Instant;
use xinqiao_edge::Reply;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// Proposals in one answer.
const LISTED: u64 = 500;

pub(super) async fn list(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let state = match call.query.text("state") {
        None => None,
        Some(text) => Some(Progress::parse(text).ok_or_else(|| invalid("state"))?),
    };
    let limit = call.query.number("limit", 100, 0..=LISTED)? as usize;
    let governor = call.with.api.governor.clone();
    let work = move || governor.list(state, limit);
    let items = tokio::task::spawn_blocking(work).await.map_err(|_| RefusalCode::Internal)??;
    json(call.template, &List { items })
}

pub(super) async fn show(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    json(call.template, &call.with.api.governor.view(number(call.names[0])?)?)
}

pub(super) async fn propose(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let Call { with: OfficerCall { api, officer }, exchange, query, template, .. } = call;
    let by = officer.security()?;
    let dry = dry_run(&query)?;
    let draft: Draft = body::read(exchange, body::LARGE).await?;
    if dry {
        return json(template, &api.governor.rehearse(by, draft).await?);
    }
    json(template, &api.governor.propose(by, draft).await?)
}

pub(super) async fn approve(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let Call { with: OfficerCall { api, officer }, exchange, names: [id, _], template, .. } = call;
    let by = officer.security()?;
    let id = number(id)?;
    let approval: ApprovalRequest = body::read(exchange, body::LARGE).await?;
    json(template, &api.governor.approve(by, id, approval).await?)
}

pub(super) async fn reject(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let Call { with: OfficerCall { api, officer }, exchange, names: [id, _], template, .. } = call;
    let by = officer.security()?;
    let id = number(id)?;
    let Reason { reason } = body::read(exchange, body::LARGE).await?;
    json(template, &api.governor.reject(by, id, reason).await?)
}

pub(super) async fn withdraw(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let Call { with: OfficerCall { api, officer }, exchange, names: [id, _], template, .. } = call;
    let by = officer.security()?;
    let id = number(id)?;
    let Reason { reason } = body::read(exchange, body::LARGE).await?;
    json(template, &api.governor.withdraw(by, id, reason).await?)
}

pub(super) async fn suspend(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let Call { with: OfficerCall { api, officer }, exchange, names: [member, _], template, .. } = call;
    let by = officer.security()?;
    let Reason { reason } = body::read(exchange, body::LARGE).await?;
    let proposal = api.governor.suspend(by, member, reason).await?;
    json(template, &Suspension { member: member.to_owned(), suspended: true, proposal })
}

pub(super) async fn lift(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let Call { with: OfficerCall { api, officer }, exchange, names: [name, _], template, .. } = call;
    let Reason { reason } = body::read(exchange, body::LARGE).await?;
    check_reason(&reason)?;
    let (who, role) = api.lockouts.find(name, Instant::now()).ok_or(RefusalCode::LockoutUnknown)?;
    match &who {
        // An address is nobody's own: security officers answer for it.
        Who::Address(_) => {
            officer.security()?;
        }
        Who::Officer(locked) if role != Some(officer.role()) || locked == officer.name() => {
            return Err(RefusalCode::RoleWrong.into());
        }
        Who::Officer(_) => {}
    }
    api.lockouts.lift(&who);
    note_officer(&api.node, "lifted", name, officer, Some(&reason)).await?;
    json(template, &Lifted { name: name.to_owned(), locked_out: false })
}

pub(super) fn dry_run(query: &Query<'_>) -> Result<bool, Refusal> {
    match query.text("dry-run") {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(invalid("dry-run")),
    }
}

fn number(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| RefusalCode::ProposalUnknown.into())
}
