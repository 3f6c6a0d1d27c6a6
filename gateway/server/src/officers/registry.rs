//! What is in force, who is locked out, and the screen an officer looks at first.

use super::proposals::ProposalView;
use crate::trust::StatusRow;
use serde::{Deserialize, Serialize};
use xinqiao_certs::Role;
use xinqiao_runtime::{Check, State};

/// An authority whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorView {
    /// The digest of its certificate.
    pub digest: String,
    /// What officers call it.
    pub name: String,
    /// Trust domains it may assert.
    pub domains: Vec<String>,
    /// Roles it may assert.
    pub roles: Vec<Role>,
    /// Its certificate, PEM.
    pub pem: String,
}

/// A policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its name.
    pub id: String,
    /// The digest of its document.
    pub digest: String,
    /// The digest of its rules alone: it stays when an edit changes nothing that leaves.
    pub rules: String,
    /// Who wrote it.
    pub from: PolicyOrigin,
}

/// Where a policy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyOrigin {
    /// Officers adopted it.
    Officers,
    /// It is the catalogue's.
    Catalogue,
}

impl PolicyOrigin {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Officers => "officers",
            Self::Catalogue => "catalogue",
        }
    }
}

/// One who is locked out after failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockoutView {
    /// The officer's name, or the address; of IPv6 the first of its /64.
    pub name: String,
    /// What it is.
    pub who: LockoutKind,
    /// The officer's role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Seconds until it ends by itself.
    pub seconds_left: u64,
}

/// What can be locked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockoutKind {
    /// An address whose certificates were refused.
    Address,
    /// An officer who tried what is not theirs.
    Officer,
}

impl LockoutKind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Officer => "officer",
        }
    }
}

/// A lock-out was ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifted {
    /// Always false.
    pub locked_out: bool,
    /// Whose it was.
    pub name: String,
}

/// What an officer must look at tonight, on one screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screen {
    /// The node's name.
    pub node: String,
    /// Its epoch, from 1.
    pub epoch: u64,
    /// How its parts are, as in readiness.
    pub checks: Vec<CheckView>,
    /// Open proposals, the newest first, at most 100.
    pub proposals: Vec<ProposalView>,
    /// Certificates, anchors and lists that end soon or have ended.
    pub certificates: Vec<StatusRow>,
    /// Streams on hold.
    pub held: Vec<String>,
    /// Streams whose pushing was given up.
    pub dead: Vec<String>,
    /// Streams with withheld records.
    pub withheld: Vec<Waiting>,
    /// Who is locked out.
    pub locked_out: Vec<LockoutView>,
    /// Records that wait for recipients, in all streams.
    pub pending_records: u64,
}

/// Withheld records of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The stream.
    pub stream: String,
    /// How many wait for a ruling.
    pub records: u64,
}

/// How one part of the node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckView {
    /// Stable name, such as `clock` or `journal`.
    pub name: String,
    /// How it is.
    pub state: State,
    /// What to do, in English; left out when all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub advice: String,
    /// The same in Chinese.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub advice_zh: String,
}

impl From<Check> for CheckView {
    fn from(check: Check) -> Self {
        let Check { name, state, advice, advice_zh } = check;
        Self { name: name.to_owned(), state, advice, advice_zh }
    }
}
