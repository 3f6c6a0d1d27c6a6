//! Proposals as officers see them.

use super::difference::Difference;
use super::{ApprovalPaper, Governor, words};
use crate::standing::{Affected, Report};
use serde::Serialize;
use xinqiao_exchange::governance::{Act, Progress, Proposal};
use xinqiao_node::engine::entries::timestamp;
use xinqiao_runtime::problem::{Problem, ProblemCode};

/// A proposal with everything an officer needs to decide.
#[derive(Debug, Serialize)]
pub struct ProposalView {
    /// Its number.
    pub id: u64,
    /// How far it has come.
    pub state: Progress,
    /// The same in Chinese.
    pub state_zh: &'static str,
    /// Who proposed it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What an approval has to name.
    pub digest: String,
    /// When it was proposed.
    pub opened: String,
    /// Until when it can be approved.
    pub expires: String,
    /// How many officers have to want it, the proposer counted.
    pub needs: u8,
    /// What each act does, in a word.
    pub what: Vec<String>,
    /// The acts themselves; left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acts: Option<Vec<Act>>,
    /// While it is open: what taking over the configuration file's members and trust would change, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Difference>,
    /// Members the proposer accepts to lock out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub despite: Vec<String>,
    /// Who approved it.
    pub approvals: Vec<ApprovalView>,
    /// Who ended it, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<EndView>,
}

/// One approval.
#[derive(Debug, Serialize)]
pub struct ApprovalView {
    by: String,
    time: String,
    reason: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    despite: Vec<String>,
}

/// How it ended.
#[derive(Debug, Serialize)]
pub struct EndView {
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    time: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    why_zh: String,
}

/// A draft's answer: nothing was written.
#[derive(Debug, Serialize)]
pub struct Rehearsal {
    /// How many officers it would need.
    pub needs: u8,
    /// What each act would do, in a word.
    pub what: Vec<String>,
    /// Who would be locked out; each has to be named in `despite`.
    pub affected: Vec<Affected>,
    /// Who would be locked out because that is the act.
    pub intended: Vec<Affected>,
    /// What would not be as it was.
    pub changed: Vec<String>,
}

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

impl Rehearsal {
    pub(super) fn new(acts: &[Act], report: Report, needs: u8) -> Self {
        Self {
            needs,
            what: acts.words(),
            affected: report.affected,
            intended: report.intended,
            changed: report.changed,
        }
    }
}

impl Governor {
    /// One proposal with its acts.
    pub fn view(&self, id: u64) -> Result<ProposalView, Problem> {
        let proposal = self.node.proposal(id).ok_or(ProblemCode::ProposalUnknown)?;
        self.view_of(&proposal, true)
    }

    /// Proposals, the newest first; of one state, if asked for.
    pub fn list(&self, state: Option<&str>, limit: usize) -> Result<Vec<ProposalView>, Problem> {
        let (now, newest) = (self.node.clock.now(), self.node.state().governance.meta.proposals);
        let all = (1..=newest).rev().filter_map(|id| self.node.proposal(id));
        let some = all.filter(|p| state.is_none_or(|s| p.state_at(now).name() == s)).take(limit);
        some.map(|p| self.view_of(&p, false)).collect()
    }

    /// How many wait for an officer.
    pub fn waiting(&self) -> Vec<u64> {
        let now = self.node.clock.now();
        let state = self.node.state();
        let open = state.governance.live.values().filter(|p| p.state_at(now) == Progress::Open);
        open.map(|p| p.id).collect()
    }

    fn view_of(&self, p: &Proposal, acts: bool) -> Result<ProposalView, Problem> {
        let paper = self.paper(p)?;
        let state = p.state_at(self.node.clock.now());
        let approval = |a: &xinqiao_exchange::governance::Approval| {
            let paper = self.node.document(&a.document);
            let paper = paper.and_then(|bytes| serde_json::from_slice::<ApprovalPaper>(&bytes).ok());
            let (reason, despite) = paper.map_or_else(Default::default, |p| (p.reason, p.despite));
            ApprovalView { by: a.by.name.clone(), time: timestamp(a.time), reason, despite }
        };
        let changes = match acts && state.is_live() {
            true => self.in_force().differences(&paper.acts, |digest| self.node.document(digest)),
            false => Vec::new(),
        };
        Ok(ProposalView {
            id: p.id,
            state,
            changes,
            state_zh: words::chinese(state),
            by: p.by.as_ref().map_or(super::FILE.to_owned(), |b| b.name.clone()),
            reason: p.reason.clone(),
            digest: p.digest.clone(),
            opened: timestamp(p.opened),
            expires: timestamp(p.expires),
            needs: p.needs,
            what: paper.acts.words(),
            acts: acts.then_some(paper.acts),
            despite: paper.despite,
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
