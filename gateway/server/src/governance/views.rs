//! Proposals as officers see them.

use super::{ApprovalDocument, Governor, words};
use crate::officers::{ApprovalView, EndView, ProposalView, Rehearsal};
use crate::trust::Report;
use xinqiao_exchange::governance::{Act, Progress, Proposal};
use xinqiao_node::engine::entries::timestamp;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// Acts in a word each.
pub trait ActsView {
    /// `member-put housing-bureau` and the like.
    fn words(&self) -> Vec<String>;
}

impl ActsView for [Act] {
    fn words(&self) -> Vec<String> {
        let one = |act: &Act| match act {
            Act::AnchorPut { anchor } => format!("anchor-put {} {}", anchor.name, anchor.digest),
            Act::KeyRotate { key, now } => {
                format!("key-rotate {}{}", key.name(), if *now { " --now" } else { "" })
            }
            Act::AdoptFiles { digest } => format!("adopt-files {digest}"),
            other => format!("{} {}", other.name(), other.what().1),
        };
        self.iter().map(one).collect()
    }
}

pub(super) fn rehearsal(acts: &[Act], report: Report, needs: u8) -> Rehearsal {
    let Report { affected, intended, changed, .. } = report;
    Rehearsal { needs, what: acts.words(), affected, intended, changed }
}

impl Governor {
    /// One proposal with its acts.
    pub fn view(&self, id: u64) -> Result<ProposalView, Refusal> {
        let proposal = self.node.proposal(id).ok_or(RefusalCode::ProposalUnknown)?;
        self.view_of(&proposal, true)
    }

    /// Proposals, the newest first; of one state, if asked for.
    pub fn list(&self, state: Option<Progress>, limit: usize) -> Result<Vec<ProposalView>, Refusal> {
        let (now, newest) = (self.node.clock.now(), self.node.state().governance.meta.proposals);
        let all = (1..=newest).rev().filter_map(|id| self.node.proposal(id));
        let some = all.filter(|p| state.is_none_or(|s| p.state_at(now) == s)).take(limit);
        some.map(|p| self.view_of(&p, false)).collect()
    }

    /// How many wait for an officer.
    pub fn waiting(&self) -> Vec<u64> {
        let now = self.node.clock.now();
        let state = self.node.state();
        let open = state.governance.live.values().filter(|p| p.state_at(now) == Progress::Open);
        open.map(|p| p.id).collect()
    }

    fn view_of(&self, p: &Proposal, acts: bool) -> Result<ProposalView, Refusal> {
        let proposed = self.proposed(p)?;
        let state = p.state_at(self.node.clock.now());
        let approval = |a: &xinqiao_exchange::governance::Approval| {
            let proposed = self.node.document(&a.document);
            let proposed = proposed.and_then(|bytes| serde_json::from_slice::<ApprovalDocument>(&bytes).ok());
            let (reason, locked_out) = proposed.map_or_else(Default::default, |p| (p.reason, p.locked_out));
            ApprovalView { by: a.by.name.clone(), time: timestamp(a.time), reason, locked_out }
        };
        let changes = match acts && state.is_live() {
            true => self.in_force().differences(&proposed.acts, |digest| self.node.document(digest)),
            false => Vec::new(),
        };
        Ok(ProposalView {
            id: p.id,
            state,
            changes,
            state_zh: words::chinese(state).to_owned(),
            by: p.by.as_ref().map_or(super::FILE.to_owned(), |b| b.name.clone()),
            reason: p.reason.clone(),
            digest: p.digest.clone(),
            opened: timestamp(p.opened),
            expires: timestamp(p.expires),
            needs: p.needs,
            what: proposed.acts.words(),
            acts: acts.then_some(proposed.acts),
            locked_out: proposed.locked_out,
            approvals: p.approvals.iter().map(approval).collect(),
            end: p.end.as_ref().map(|e| EndView {
                by: e.by.as_ref().map(|b| b.name.clone()),
                time: timestamp(e.time),
                why: e.why.clone(),
                why_zh: e.why_zh.clone(),
            }),
        })
    }
}
