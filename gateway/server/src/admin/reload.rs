//! Reading the files again because an officer says so.

use super::{Visit, proposals};
use crate::officers::Reloaded;
use crate::routes::{Call, json};
use xinqiao_edge::Reply;
use xinqiao_runtime::problem::Problem;

pub(super) async fn reload(call: Call<'_, Visit>) -> Result<Reply, Problem> {
    let Visit { office, officer } = call.with;
    let dry_run = proposals::dry_run(&call.query)?;
    let done = office.governor.reload(officer, dry_run).await?;
    let reloaded = Reloaded {
        dry_run,
        report: done.report,
        waits: done.waits,
        proposal: done.proposal,
        changes: done.changes,
        proposals: office.governor.waiting(),
    };
    json(call.template, &reloaded)
}
