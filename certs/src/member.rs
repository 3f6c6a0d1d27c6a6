//! Members: organisations a node knows, and the one of them a certificate proves.

mod binding;
mod error;
mod registry;

pub use binding::{Attribute, Binding, ExtensionBinding, SubjectBinding};
pub(crate) use binding::{is_trust_domain, parse_uri, uri};
pub use error::IdentityError;
pub use registry::Registry;

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::role::Role;

/// One entry of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Unique in the node: lower-case letters, digits and hyphens, at most 63.
    pub name: String,
    /// What it may be.
    pub role: Role,
    /// The domain its certificates are asserted in.
    pub trust_domain: String,
    /// Known, but let in no longer.
    #[serde(default)]
    pub suspended: bool,
    /// How its certificates are recognised; any one of them suffices. Left out: by the URI
    /// `spiffe://<trust_domain>/<role>/<name>`.
    #[serde(default)]
    pub bindings: Vec<Binding>,
}

impl Member {
    /// A member recognised by its URI.
    pub fn new(trust_domain: &str, role: Role, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            role,
            trust_domain: trust_domain.to_owned(),
            suspended: false,
            bindings: Vec::new(),
        }
    }

    /// `spiffe://<trust_domain>/<role>/<name>`.
    pub fn uri(&self) -> String {
        binding::uri(&self.trust_domain, self.role, &self.name)
    }
}

/// A member whose certificate was verified for this connection. Only [`Registry::identify`] makes one.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedMember {
    name: std::sync::Arc<str>,
    trust_domain: std::sync::Arc<str>,
    role: Role,
    certificate_digest: [u8; 32],
    not_after: u64,
}

impl VerifiedMember {
    /// The member's name in the registry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The registry's role for it.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The domain it belongs to.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// SHA-256 of the certificate it presented.
    pub fn certificate_digest(&self) -> &[u8; 32] {
        &self.certificate_digest
    }

    /// When that certificate ends, in seconds since 1970. A connection must not outlive it.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }
}

impl fmt::Debug for VerifiedMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedMember({} {})", self.role, self.name)
    }
}
