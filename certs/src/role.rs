//! What a member may be.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a member may be. One member has one role; the registry's word counts, a certificate's only has to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Sends records (部门).
    Department,
    /// Pulls, or is pushed, signed batches (接收方).
    Recipient,
    /// A node, as it presents itself to others.
    Node,
    /// A node that pulls from this one to pass on.
    Relay,
    /// May recall a record by a repair decision.
    RepairAuthority,
    /// Ends TLS in front of this node and names the client it saw.
    FrontProxy,
    /// System administrator (系统管理员).
    SystemOfficer,
    /// Security officer (安全管理员).
    SecurityOfficer,
    /// Auditor (审计管理员).
    Auditor,
}

impl Role {
    /// Every role, in the order of the documentation.
    pub const ALL: [Role; 9] = [
        Role::Department,
        Role::Recipient,
        Role::Node,
        Role::Relay,
        Role::RepairAuthority,
        Role::FrontProxy,
        Role::SystemOfficer,
        Role::SecurityOfficer,
        Role::Auditor,
    ];

    /// As it stands in a SPIFFE URI and in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Department => "department",
            Role::Recipient => "recipient",
            Role::Node => "node",
            Role::Relay => "relay",
            Role::RepairAuthority => "repair-authority",
            Role::FrontProxy => "front-proxy",
            Role::SystemOfficer => "system-officer",
            Role::SecurityOfficer => "security-officer",
            Role::Auditor => "auditor",
        }
    }

    /// One of the three mutually exclusive officers (三员分立).
    pub fn is_officer(self) -> bool {
        matches!(self, Role::SystemOfficer | Role::SecurityOfficer | Role::Auditor)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
            format!("there is no such role; known roles are {}", known.join(", "))
        })
    }
}
