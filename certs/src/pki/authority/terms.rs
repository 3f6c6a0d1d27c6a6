//! What an authority is asked for, and what it answers.

use rcgen::RevocationReason;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use crate::role::Role;

/// The seconds a certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub(in crate::pki) not_before: SystemTime,
    pub(in crate::pki) not_after: SystemTime,
}

impl Validity {
    /// From `start` for `length`.
    pub fn from(start: SystemTime, length: Duration) -> Self {
        Self { not_before: start, not_after: start + length }
    }

    /// For this many days, beginning five minutes before `now` so that clocks may differ a little.
    pub fn days(now: SystemTime, days: u64) -> Self {
        Self {
            not_before: now - Duration::from_secs(300),
            not_after: now + Duration::from_secs(days.saturating_mul(86_400)),
        }
    }
}

/// What a leaf is asked to say.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The member's role.
    pub role: Role,
    /// One of the authority's trust domains.
    pub trust_domain: &'a str,
    /// The member's name.
    pub name: &'a str,
    /// The organisation's unified social credit code.
    pub uscc: Option<&'a str>,
    /// Host names it answers under.
    pub dns: Vec<String>,
    /// Addresses it answers under.
    pub ips: Vec<IpAddr>,
    /// How long it is good for.
    pub validity: Validity,
}

impl<'a> Request<'a> {
    /// A request without host names and credit code.
    pub fn new(role: Role, trust_domain: &'a str, name: &'a str, validity: Validity) -> Self {
        Self { role, trust_domain, name, uscc: None, dns: Vec::new(), ips: Vec::new(), validity }
    }
}

/// One entry of a revocation list.
#[derive(Debug, Clone)]
pub struct Revoked {
    /// The serial number, as `Issued::serial` gave it.
    pub serial: Vec<u8>,
    /// When.
    pub time: SystemTime,
    /// Why.
    pub reason: Reason,
}

/// Why a certificate was revoked (RFC 5280, 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Not said.
    #[default]
    Unspecified,
    /// The key may be in other hands.
    KeyCompromise,
    /// The holder belongs to another organisation now.
    AffiliationChanged,
    /// There is a newer certificate.
    Superseded,
    /// It is not used any more.
    CessationOfOperation,
    /// The right to it was withdrawn.
    PrivilegeWithdrawn,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 6] = [
        Reason::Unspecified,
        Reason::KeyCompromise,
        Reason::AffiliationChanged,
        Reason::Superseded,
        Reason::CessationOfOperation,
        Reason::PrivilegeWithdrawn,
    ];

    /// As it is written on the command line and in the index.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unspecified => "unspecified",
            Reason::KeyCompromise => "key-compromise",
            Reason::AffiliationChanged => "affiliation-changed",
            Reason::Superseded => "superseded",
            Reason::CessationOfOperation => "cessation-of-operation",
            Reason::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }
}

pub(super) fn code(reason: Reason) -> RevocationReason {
    match reason {
        Reason::Unspecified => RevocationReason::Unspecified,
        Reason::KeyCompromise => RevocationReason::KeyCompromise,
        Reason::AffiliationChanged => RevocationReason::AffiliationChanged,
        Reason::Superseded => RevocationReason::Superseded,
        Reason::CessationOfOperation => RevocationReason::CessationOfOperation,
        Reason::PrivilegeWithdrawn => RevocationReason::PrivilegeWithdrawn,
    }
}

/// A certificate made for somebody else's key.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Leaf and intermediates, without the root, PEM.
    pub chain_pem: String,
    /// The same as DER.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its serial number.
    pub serial: Vec<u8>,
}
