//! Reading the files again because an officer says so.

use super::{OfficerCall, proposals};
use crate::officers::Reloaded;
use crate::routes::{Call, json};
use xinqiao_edge::Reply;
use xinqiao_runtime::refusal::Refusal;

pub(super) async fn reload(call: Call<'_, OfficerCall>) -> Result<Reply, Refusal> {
    let OfficerCall { api, officer } = call.with;
    let dry_run = proposals::dry_run(&call.query)?;
    let done = api.governor.reload(officer, dry_run).await?;
    let reloaded = Reloaded {
        dry_run,
        report: done.report,
        waits: done.waits,
        proposal: done.proposal,
        changes: done.changes,
        proposals: api.governor.waiting(),
    };
    json(call.template, &reloaded)
}
