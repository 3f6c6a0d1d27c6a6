//! How officers change a node: acts are proposed, approved by another officer, enacted, and remembered.
//!
//! Promises: nothing is enacted without as many distinct security officers as its proposal needs, distinct by name and
//! by certificate; nothing is approved after its time; what is approved is, by its digest, what was proposed. Each rule
//! stands in [`Proposal::after`], which checks a step before it is written and again when the journal is replayed.
//! What an act does to certificates, policies or keys is left to the server.

mod act;
mod roster;

pub use act::{Act, AnchorEntry, Key, MemberEntry};
pub use roster::{OfficerRole, Roster, SECURITY_OFFICER, View};

use crate::contradiction::Contradiction;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xinqiao_evidence::Digest;

/// The most acts of one proposal.
pub const ACTS: usize = 64;
/// The most characters of a reason.
pub const REASON: usize = 200;

/// A change of the node's members, trust, policies or keys, and how far it has come. The acts stand in a document that
/// is kept under its digest; this is what fits a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its number, from 1.
    pub id: u64,
    /// Who proposed it; nobody: the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<OfficerIdentity>,
    /// Why.
    pub reason: String,
    /// The digest of the document with its acts, hexadecimal.
    pub digest: String,
    /// The digest of what its acts touch, as it was when it was proposed, hexadecimal.
    pub base: String,
    /// How many acts.
    pub acts: u16,
    /// How many officers have to approve it, the proposer counted.
    pub needs: u8,
    /// Unix seconds.
    pub opened: i64,
    /// Unix seconds after which nobody can approve it.
    pub expires: i64,
    /// Who else approved it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// How far it has come.
    pub state: Progress,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// An officer with the certificate they used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfficerIdentity {
    /// The member.
    pub name: String,
    /// The SHA-256 digest of the certificate, hexadecimal.
    pub certificate: String,
}

impl OfficerIdentity {
    /// One person must not count twice: neither under two certificates nor under two names.
    pub fn may_be(&self, other: &OfficerIdentity) -> bool {
        self.name == other.name || self.certificate == other.certificate
    }
}

/// An officer's approval of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: OfficerIdentity,
    /// The digest of the proposal as they saw it, hexadecimal.
    pub digest: String,
    /// The digest of the document with their reason and the members they accept to lock out, hexadecimal.
    pub document: String,
    /// Unix seconds.
    pub time: i64,
}

/// How far a proposal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// Waits for an officer.
    Open,
    /// Has its officers and is being put into force.
    Approved,
    /// An officer rejected it.
    Rejected,
    /// Nobody approved it in time.
    Expired,
    /// The proposer took it back.
    Withdrawn,
    /// Is in force.
    Enacted,
    /// Could not be put into force; nothing was changed.
    Failed,
}

impl Progress {
    /// Can it still change?
    pub fn is_live(self) -> bool {
        matches!(self, Progress::Open | Progress::Approved)
    }

    /// All of them.
    pub const ALL: [Progress; 7] = [
        Progress::Open,
        Progress::Approved,
        Progress::Rejected,
        Progress::Expired,
        Progress::Withdrawn,
        Progress::Enacted,
        Progress::Failed,
    ];

    /// The inverse of [`Progress::name`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == text)
    }

    /// As it stands in rows and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Progress::Open => "open",
            Progress::Approved => "approved",
            Progress::Rejected => "rejected",
            Progress::Expired => "expired",
            Progress::Withdrawn => "withdrawn",
            Progress::Enacted => "enacted",
            Progress::Failed => "failed",
        }
    }
}

/// How a proposal ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The officer who ended it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<OfficerIdentity>,
    /// Unix seconds.
    pub time: i64,
    /// An officer's reason, or what failed, in English.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What failed, in Chinese.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why_zh: String,
}

/// One thing that happened to a proposal, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// It was made.
    Proposed {
        /// As it begins.
        proposal: Box<Proposal>,
    },
    /// An officer approved it.
    Approved {
        /// Which.
        id: u64,
        /// The approval.
        approval: Approval,
    },
    /// An officer rejected it.
    Rejected {
        /// Which.
        id: u64,
        /// How.
        end: End,
    },
    /// Its proposer took it back.
    Withdrawn {
        /// Which.
        id: u64,
        /// How.
        end: End,
    },
    /// Its time was over.
    Expired {
        /// Which.
        id: u64,
        /// Unix seconds.
        time: i64,
    },
    /// It is in force.
    Enacted {
        /// Which.
        id: u64,
        /// Unix seconds.
        time: i64,
        /// The digest of the document that says what officers have changed so far, hexadecimal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overlay: Option<String>,
    },
    /// It could not be put into force.
    Failed {
        /// Which.
        id: u64,
        /// What was in the way.
        end: End,
    },
    /// What officers have changed so far began, or followed the configuration file of a node without four eyes.
    Adopted {
        /// The digest of the document that says it, hexadecimal.
        overlay: String,
    },
}

/// Why a step may not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepRefused {
    /// There is no such proposal, or it has ended.
    Unknown,
    /// It is not at the point where this can be done.
    NotNow(Progress),
    /// The officer proposed or approved it already.
    Own,
    /// Only the proposer takes a proposal back.
    NotOwn,
    /// What the officer saw is not what was proposed.
    Digest,
    /// Its time is over.
    Late,
    /// No act, too many, or two about the same thing.
    Acts,
    /// An act about a member or a key that is not there, or that changes nothing.
    Idle,
    /// An act about the officer who proposes it.
    Oneself,
    /// Too few security officers would be left.
    Officers,
}

impl Proposal {
    /// The proposal after a step, or why that step cannot be taken.
    pub fn after(&self, step: &Step) -> Result<Proposal, StepRefused> {
        let mut next = self.clone();
        let must = |wanted: Progress| {
            if self.state == wanted { Ok(()) } else { Err(StepRefused::NotNow(self.state)) }
        };
        match step {
            Step::Approved { approval, .. } => {
                must(Progress::Open)?;
                if approval.digest != self.digest {
                    return Err(StepRefused::Digest);
                }
                if approval.time > self.expires {
                    return Err(StepRefused::Late);
                }
                if self.officers().any(|o| o.may_be(&approval.by)) {
                    return Err(StepRefused::Own);
                }
                next.approvals.push(approval.clone());
                if next.officers().count() >= usize::from(self.needs) {
                    next.state = Progress::Approved;
                }
            }
            Step::Rejected { end, .. } => {
                must(Progress::Open)?;
                next.close(Progress::Rejected, end.clone());
            }
            Step::Withdrawn { end, .. } => {
                must(Progress::Open)?;
                let own = match (&self.by, &end.by) {
                    (Some(by), Some(who)) => by.name == who.name,
                    // What the configuration file proposes goes when the file changes again.
                    (None, None) => true,
                    _ => false,
                };
                if !own {
                    return Err(StepRefused::NotOwn);
                }
                next.close(Progress::Withdrawn, end.clone());
            }
            Step::Expired { time, .. } => {
                must(Progress::Open)?;
                if *time <= self.expires {
                    return Err(StepRefused::NotNow(self.state));
                }
                next.close(Progress::Expired, End::at(*time));
            }
            Step::Enacted { time, .. } => {
                must(Progress::Approved)?;
                next.close(Progress::Enacted, End::at(*time));
            }
            Step::Failed { end, .. } => {
                must(Progress::Approved)?;
                next.close(Progress::Failed, end.clone());
            }
            Step::Proposed { .. } | Step::Adopted { .. } => return Err(StepRefused::NotNow(self.state)),
        }
        Ok(next)
    }

    /// The officers who want it, the proposer first.
    pub fn officers(&self) -> impl Iterator<Item = &OfficerIdentity> {
        self.by.iter().chain(self.approvals.iter().map(|a| &a.by))
    }

    /// How far it has come, by this time: an open one expires by itself.
    pub fn state_at(&self, now: i64) -> Progress {
        if self.state == Progress::Open && now > self.expires { Progress::Expired } else { self.state }
    }

    fn close(&mut self, state: Progress, end: End) {
        self.state = state;
        self.end = Some(end);
    }

    /// As it may begin: open, or approved at once if its proposer suffices.
    fn is_new(&self) -> bool {
        let enough = self.officers().count() >= usize::from(self.needs);
        let state = if enough { Progress::Approved } else { Progress::Open };
        self.needs >= 1
            && self.approvals.is_empty()
            && self.end.is_none()
            && self.state == state
            && self.expires >= self.opened
            && (1..=ACTS).contains(&usize::from(self.acts))
    }
}

impl End {
    /// Without an officer or a reason.
    pub fn at(time: i64) -> Self {
        Self { by: None, time, why: String::new(), why_zh: String::new() }
    }
}

impl Step {
    /// The proposal it is about.
    pub fn id(&self) -> Option<u64> {
        match self {
            Step::Proposed { proposal } => Some(proposal.id),
            Step::Approved { id, .. }
            | Step::Rejected { id, .. }
            | Step::Withdrawn { id, .. }
            | Step::Expired { id, .. }
            | Step::Enacted { id, .. }
            | Step::Failed { id, .. } => Some(*id),
            Step::Adopted { .. } => None,
        }
    }
}

/// What a node remembers of its officers' decisions. Proposals that have ended are in rows alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Governance {
    /// Counters.
    pub meta: GovernanceMeta,
    /// Proposals that can still change.
    pub live: BTreeMap<u64, Proposal>,
}

/// What a node remembers besides its proposals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GovernanceMeta {
    /// Proposals made so far.
    pub proposals: u64,
    /// The digest of the document that says what officers have changed so far, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<String>,
}

impl Governance {
    /// The proposal as a step would leave it; none for a step about no proposal.
    pub fn check(&self, step: &Step) -> Result<Option<Proposal>, StepRefused> {
        match step {
            Step::Adopted { .. } => Ok(None),
            Step::Proposed { proposal } => {
                let new = proposal.id == self.meta.proposals + 1 && proposal.is_new();
                if new { Ok(Some((**proposal).clone())) } else { Err(StepRefused::NotNow(proposal.state)) }
            }
            other => {
                let id = other.id().ok_or(StepRefused::Unknown)?;
                self.live.get(&id).ok_or(StepRefused::Unknown)?.after(other).map(Some)
            }
        }
    }

    /// Takes a step that is in the journal.
    pub(crate) fn apply(&mut self, step: &Step) -> Result<Option<Proposal>, Contradiction> {
        let next =
            self.check(step).map_err(|_| Contradiction("an officers' step that its proposal forbids"))?;
        match step {
            Step::Proposed { .. } => self.meta.proposals += 1,
            Step::Adopted { overlay } | Step::Enacted { overlay: Some(overlay), .. } => {
                self.meta.overlay = Some(overlay.clone());
            }
            _ => {}
        }
        if let Some(p) = &next {
            if p.state.is_live() {
                self.live.insert(p.id, p.clone());
            } else {
                self.live.remove(&p.id);
            }
        }
        Ok(next)
    }
}

/// The document of a proposal: what is approved is exactly this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposalDocument {
    /// The node it is for.
    pub node: String,
    /// The proposal's number.
    pub proposal: u64,
    /// Who proposes; empty: the configuration file.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What is to be done, in this order.
    pub acts: Vec<Act>,
    /// Members the proposer accepts to lock out.
    #[serde(rename = "despite")]
    pub locked_out: Vec<String>,
    /// The digest of what the acts touch, hexadecimal.
    pub base: String,
    /// Unix seconds.
    pub opened: i64,
}

impl ProposalDocument {
    /// The document's bytes (RFC 8785) and their digest; none if a member's entry holds a number that not every
    /// reader keeps exactly.
    pub fn bytes(&self) -> Option<(Vec<u8>, Digest)> {
        let value = serde_json::to_value(self).ok()?;
        let bytes = xinqiao_evidence::jcs::to_jcs(&value).ok()?;
        let digest = Digest::of(&bytes);
        Some((bytes, digest))
    }
}

#[cfg(test)]
mod tests;
