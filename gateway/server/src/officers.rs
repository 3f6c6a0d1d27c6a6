//! What is said on the officers' listener: every request and every answer, as a type with documented members.
//!
//! The node writes answers from these types and reads requests into them, the command line the other way round, and
//! `admin/openapi.json` describes them for other programs; tests hold real answers against it. Requests refuse members they
//! do not know, since a decision that was half understood must not be carried out; answers may gain members.
//!
//! Times are RFC 3339 in UTC unless a member says seconds since 1970; digests are SHA-256 in lower-case hexadecimal.

mod proposals;
mod registry;
mod streams;

pub use crate::trust::{Affected, Report, StatusKind, StatusRow, StatusState};
pub use proposals::{
    ApprovalRequest, ApprovalView, Difference, Draft, EndView, ProposalView, Rehearsal, Reloaded, Suspension,
};
pub use registry::{
    AnchorView, CheckView, Lifted, LockoutKind, LockoutView, PolicyOrigin, PolicyView, Screen, Waiting,
};
pub use streams::{HeadView, Held, Retried, Ruled, Ruling, WithheldView};
pub use xinqiao_exchange::governance::{Act, AnchorEntry, Key, MemberEntry, Progress};
pub use xinqiao_node::config::Member;
pub use xinqiao_node::engine::logged::LogEntryView;
pub use xinqiao_node::engine::trace::{Traced, TracedBatch};
pub use xinqiao_node::keyring::{KeyKind, KeyPlace, KeyState, KeyView};
pub use xinqiao_runtime::State;

use serde::{Deserialize, Serialize};

/// Several of a kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct List<T> {
    /// In the order the path's description gives.
    pub items: Vec<T>,
}

/// Why an officer does something; goes into the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// 1 to 200 characters on one line.
    pub reason: String,
}
