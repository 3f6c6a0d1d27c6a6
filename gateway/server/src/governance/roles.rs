//! The three officers as types. Each comes from a verified member with that very role and from nothing else, and each
//! act of the engine takes the one it needs: a wrong role does not compile.
//!
//! ```compile_fail,E0308
//! async fn hold(node: &xinqiao_node::engine::Node, auditor: &xinqiao_server::governance::Auditor) {
//!     let stream = xinqiao_exchange::names::StreamId::parse("province.x").expect("a stream");
//!     let _ = xinqiao_server::governance::streams::hold(node, &stream, true, auditor, "why").await;
//! }
//! ```

use xinqiao_certs::{Role, VerifiedMember};
use xinqiao_exchange::governance::OfficerIdentity;
use xinqiao_runtime::refusal::RefusalCode;

macro_rules! officer {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name(VerifiedMember);

        impl $name {
            /// The member's name.
            pub fn name(&self) -> &str {
                self.0.name()
            }

            /// The officer with the certificate he uses.
            pub fn identity(&self) -> OfficerIdentity {
                identity(&self.0)
            }
        }
    };
}

officer! {
    /// System administrator (系统管理员): the node, its queue, its configuration.
    SystemOfficer
}
officer! {
    /// Security officer (安全管理员): members, trust, policies, keys, holds, rulings.
    SecurityOfficer
}
officer! {
    /// Auditor (审计管理员): reads everything, changes nothing.
    Auditor
}

/// Whoever it is that asks on the officers' listener.
#[derive(Debug, Clone)]
pub enum Officer {
    /// System administrator.
    System(SystemOfficer),
    /// Security officer.
    Security(SecurityOfficer),
    /// Auditor.
    Auditor(Auditor),
}

impl TryFrom<VerifiedMember> for Officer {
    type Error = RefusalCode;

    fn try_from(member: VerifiedMember) -> Result<Self, RefusalCode> {
        match member.role() {
            Role::SystemOfficer => Ok(Officer::System(SystemOfficer(member))),
            Role::SecurityOfficer => Ok(Officer::Security(SecurityOfficer(member))),
            Role::Auditor => Ok(Officer::Auditor(Auditor(member))),
            _ => Err(RefusalCode::RoleWrong),
        }
    }
}

impl Officer {
    /// The member's name.
    pub fn name(&self) -> &str {
        self.member().name()
    }

    /// The officer's role.
    pub fn role(&self) -> Role {
        self.member().role()
    }

    /// The officer with the certificate he uses.
    pub fn identity(&self) -> OfficerIdentity {
        identity(self.member())
    }

    /// If he is the system administrator.
    pub fn system(&self) -> Result<&SystemOfficer, RefusalCode> {
        if let Officer::System(officer) = self { Ok(officer) } else { Err(RefusalCode::RoleWrong) }
    }

    /// If he is a security officer.
    pub fn security(&self) -> Result<&SecurityOfficer, RefusalCode> {
        if let Officer::Security(officer) = self { Ok(officer) } else { Err(RefusalCode::RoleWrong) }
    }

    fn member(&self) -> &VerifiedMember {
        match self {
            Officer::System(o) => &o.0,
            Officer::Security(o) => &o.0,
            Officer::Auditor(o) => &o.0,
        }
    }
}

fn identity(member: &VerifiedMember) -> OfficerIdentity {
    let certificate = xinqiao_evidence::Digest::from_slice(member.certificate_digest());
    OfficerIdentity {
        name: member.name().to_owned(),
        certificate: certificate.map(|d| d.to_hex()).unwrap_or_default(),
    }
}
