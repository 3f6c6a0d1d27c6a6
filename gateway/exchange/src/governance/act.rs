//! The acts officers decide about.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One change. What it names is its subject: two acts of one proposal never have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// A member is entered, or its entry changed.
    MemberPut {
        /// The entry.
        member: MemberEntry,
    },
    /// A member is known no longer.
    MemberRemove {
        /// Its name.
        name: String,
    },
    /// A member is let in no longer. Closing takes one officer.
    MemberSuspend {
        /// Its name.
        name: String,
    },
    /// A suspended member is let in again.
    MemberResume {
        /// Its name.
        name: String,
    },
    /// Certificates of an authority are believed.
    AnchorPut {
        /// The authority.
        anchor: AnchorEntry,
    },
    /// And no longer.
    AnchorRemove {
        /// The SHA-256 digest of its certificate, hexadecimal.
        digest: String,
    },
    /// A policy is entered, or changed.
    PolicyPut {
        /// The policy.
        id: String,
        /// Its document, TOML.
        document: String,
    },
    /// One of the node's own keys is succeeded.
    KeyRotate {
        /// Which.
        key: Key,
        /// At once, without the time in which the new key is only published.
        #[serde(default)]
        now: bool,
    },
    /// Members and trust as the configuration file has them now.
    AdoptFiles {
        /// The digest of what the file says, hexadecimal.
        digest: String,
    },
}

/// A member's entry, as under `[[members]]` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberEntry {
    /// Its name.
    pub name: String,
    /// What it may be.
    pub role: String,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An authority whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorEntry {
    /// The SHA-256 digest of its certificate, hexadecimal. Whoever proposes may leave it out.
    #[serde(default)]
    pub digest: String,
    /// What officers call it.
    pub name: String,
    /// Its certificate, PEM.
    pub pem: String,
    /// Trust domains it may assert.
    pub domains: Vec<String>,
    /// Roles it may assert.
    pub roles: Vec<String>,
}

/// The node's own keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// Signs manifests.
    Manifest,
    /// Signs checkpoints of the log.
    Log,
    /// Signs acknowledgements to upstream nodes.
    Acknowledgement,
    /// Wraps the keys of stored data.
    AtRest,
}

impl Key {
    /// As it stands in acts and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Key::Manifest => "manifest",
            Key::Log => "log",
            Key::Acknowledgement => "acknowledgement",
            Key::AtRest => "at-rest",
        }
    }
}

impl Act {
    /// What it is about, such as `member/housing-bureau`.
    pub fn subject(&self) -> String {
        let (what, name) = self.what();
        format!("{what}/{name}")
    }

    /// The kind of thing it is about, and that thing's name.
    pub fn what(&self) -> (&'static str, &str) {
        match self {
            Act::MemberPut { member } => ("member", &member.name),
            Act::MemberRemove { name } | Act::MemberSuspend { name } | Act::MemberResume { name } => {
                ("member", name)
            }
            Act::AnchorPut { anchor } => ("trust", &anchor.digest),
            Act::AnchorRemove { digest } => ("trust", digest),
            Act::PolicyPut { id, .. } => ("policy", id),
            Act::KeyRotate { key, .. } => ("key", key.name()),
            Act::AdoptFiles { .. } => ("files", "members-and-trust"),
        }
    }

    /// As it stands in `act`.
    pub fn name(&self) -> &'static str {
        match self {
            Act::MemberPut { .. } => "member-put",
            Act::MemberRemove { .. } => "member-remove",
            Act::MemberSuspend { .. } => "member-suspend",
            Act::MemberResume { .. } => "member-resume",
            Act::AnchorPut { .. } => "anchor-put",
            Act::AnchorRemove { .. } => "anchor-remove",
            Act::PolicyPut { .. } => "policy-put",
            Act::KeyRotate { .. } => "key-rotate",
            Act::AdoptFiles { .. } => "adopt-files",
        }
    }

    /// Only takes something away, and can be undone: one officer may do it at once.
    pub fn closes(&self) -> bool {
        matches!(self, Act::MemberSuspend { .. })
    }
}
