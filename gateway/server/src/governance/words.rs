//! What stands in the way of an act, as problems.

use crate::trust::{Affected, SetRefused};
use std::collections::BTreeSet;
use xinqiao_exchange::governance::StepRefused;
use xinqiao_node::decisions::Unusable;
use xinqiao_node::engine::RulesError;
use xinqiao_runtime::refusal::{Finding, Refusal, RefusalCode, Severity};

/// A rule about proposals.
pub(super) fn refused(why: StepRefused) -> Refusal {
    let code = match why {
        StepRefused::Unknown => RefusalCode::ProposalUnknown,
        StepRefused::NotNow(state) => {
            let (en, zh) = (state.name(), chinese(state));
            return Refusal::new(RefusalCode::ProposalClosed).detail(
                format!("It is {en}; look at it, and propose again if it is still wanted."),
                format!("提案{zh}；请查看，如仍需要请重新提出。"),
            );
        }
        StepRefused::Own => RefusalCode::ProposalOwn,
        StepRefused::NotOwn => RefusalCode::ProposalNotOwn,
        StepRefused::Digest => RefusalCode::ProposalDigest,
        StepRefused::Late => RefusalCode::ProposalClosed,
        StepRefused::Acts => RefusalCode::ProposalActs,
        StepRefused::Idle => RefusalCode::ProposalIdle,
        StepRefused::Oneself => RefusalCode::OfficerSelf,
        StepRefused::Officers => RefusalCode::ProposalOfficers,
    };
    code.into()
}

/// How far a proposal has come, in Chinese.
pub(super) fn chinese(state: xinqiao_exchange::governance::Progress) -> &'static str {
    use xinqiao_exchange::governance::Progress;
    match state {
        Progress::Open => "待批准",
        Progress::Approved => "已批准、正在生效",
        Progress::Rejected => "已驳回",
        Progress::Expired => "已过期",
        Progress::Withdrawn => "已撤回",
        Progress::Enacted => "已生效",
        Progress::Failed => "未能生效",
    }
}

/// An act that cannot be read.
pub(super) fn unusable(act: usize, why: Unusable) -> Refusal {
    Refusal::new(RefusalCode::ProposalActs).findings([Finding {
        severity: Severity::Refuse,
        code: "proposal.acts".into(),
        record: Some(act as u64),
        field: Some("acts".into()),
        detail: why.0.into(),
        detail_zh: why.1.into(),
    }])
}

/// Members that would be locked out, each once.
pub(super) fn affected(missing: &[&Affected]) -> Refusal {
    let mut seen = BTreeSet::new();
    let each = missing.iter().filter(|a| seen.insert(&a.member)).map(|a| Finding {
        severity: Severity::Refuse,
        code: "proposal.affects".into(),
        record: None,
        field: Some(a.member.clone().into()),
        detail: a.why.english().into(),
        detail_zh: a.why.chinese().into(),
    });
    Refusal::new(RefusalCode::ProposalAffects).findings(each.collect::<Vec<_>>())
}

/// Certificates and members that cannot go live.
pub(super) fn trust(why: &SetRefused) -> Refusal {
    if !why.affected.is_empty() {
        return affected(&why.affected.iter().collect::<Vec<_>>());
    }
    Refusal::new(RefusalCode::ProposalRefused).detail(why.why.english(), why.why.chinese())
}

/// Policies that do not hold together.
pub(super) fn rules(why: &RulesError) -> Refusal {
    Refusal::new(RefusalCode::ProposalRefused).detail(why.to_string(), format!("规则不可用：{why}"))
}
