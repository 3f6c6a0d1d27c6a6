//! Changes under four eyes: drafts, proposals, approvals, and what reading the files again does.

use crate::trust::{Affected, Report};
use serde::{Deserialize, Serialize};
use xinqiao_exchange::governance::{Act, Progress};

/// What an officer wants done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The acts, 1 to 64, no two about the same thing.
    pub acts: Vec<Act>,
    /// Why: 1 to 200 characters on one line.
    pub reason: String,
    /// Members the officer accepts to lock out.
    #[serde(rename = "despite", default)]
    pub locked_out: Vec<String>,
}

/// An officer's approval of a proposal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// The digest of the proposal the officer saw.
    pub digest: String,
    /// Why: 1 to 200 characters on one line.
    pub reason: String,
    /// Further members the officer accepts to lock out.
    #[serde(rename = "despite", default)]
    pub locked_out: Vec<String>,
}

/// A proposal with everything an officer needs to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalView {
    /// Its number, from 1.
    pub id: u64,
    /// How far it has come.
    pub state: Progress,
    /// The same in Chinese.
    pub state_zh: String,
    /// Who proposed it; `configuration-file` if nobody did.
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
    /// What each act does, in a word, such as `member-put housing-bureau`.
    pub what: Vec<String>,
    /// The acts themselves; left out in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acts: Option<Vec<Act>>,
    /// While it is open: what taking over the configuration file's members and trust would change, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Difference>,
    /// Members the proposer accepts to lock out.
    #[serde(rename = "despite", default, skip_serializing_if = "Vec::is_empty")]
    pub locked_out: Vec<String>,
    /// Who approved it.
    pub approvals: Vec<ApprovalView>,
    /// Who ended it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EndView>,
}

/// One approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalView {
    /// The officer.
    pub by: String,
    /// When.
    pub time: String,
    /// Why.
    pub reason: String,
    /// Further members the officer accepts to lock out.
    #[serde(rename = "despite", default, skip_serializing_if = "Vec::is_empty")]
    pub locked_out: Vec<String>,
}

/// How a proposal ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndView {
    /// The officer who ended it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When.
    pub time: String,
    /// The officer's reason, or what failed, in English.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What failed, in Chinese.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why_zh: String,
}

/// One thing that becomes another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What, in English.
    pub en: String,
    /// The same in Chinese.
    pub zh: String,
}

/// What would become of a draft; nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A member that is let in no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Its name.
    pub member: String,
    /// The proposal that did it; nothing if the member was suspended already.
    pub proposal: Option<ProposalView>,
    /// Always true.
    pub suspended: bool,
}

/// What reading the files again did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What of members and trust waits for two officers, in words.
    pub changes: Vec<Difference>,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The proposal that waits because of the file, if it is open already.
    pub proposal: Option<u64>,
    /// Every open proposal.
    pub proposals: Vec<u64>,
    /// What it did to those who connect.
    pub report: Report,
    /// Whether members or trust of the file wait for two officers.
    pub waits: bool,
}
