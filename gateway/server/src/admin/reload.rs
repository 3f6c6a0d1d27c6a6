//! Reading the files again because an officer says so.

use super::{Office, json, proposals};
use crate::governance::Officer;
use xinqiao_edge::{Exchange, Reply};
use xinqiao_runtime::problem::{Problem, ProblemCode};

pub(super) async fn reload(
    office: &Office,
    officer: &Officer,
    exchange: &Exchange,
    template: &'static str,
) -> Result<Reply, Problem> {
    if let Officer::Auditor(_) = officer {
        return Err(ProblemCode::RoleWrong.into());
    }
    let dry = proposals::dry_run(exchange)?;
    let done = office.governor.reload(officer, dry).await?;
    json(
        template,
        &serde_json::json!({
            "dry_run": dry,
            "report": done.report,
            "waits": done.waits,
            "proposal": done.proposal,
            "changes": done.changes,
            "proposals": office.governor.waiting(),
        }),
    )
}
