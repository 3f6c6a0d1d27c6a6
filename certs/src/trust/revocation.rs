//! Revocation lists: read once, searched by serial number, replaced whole.
//!
//! webpki would verify a list's signature again for every certificate it looks up: two milliseconds per handshake for a
//! list of 100,000. So webpki checks the form of a list, and this module verifies each once per issuer's key.

mod document;
mod list;
mod serials;

pub use list::RevocationList;
use list::Signed;

use rustls_pki_types::UnixTime;
use std::sync::Arc;
use std::time::Duration;
use webpki::{Cert, VerifiedPath};

use super::Anchor;
use crate::certificate;
use crate::trouble::unusable;
use xinqiao_explain::Explanation;

/// What a list that is missing or out of date means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RevocationPolicy {
    /// Refuse a certificate whose issuer has no list here.
    pub demand_status: bool,
    /// Refuse a certificate when its issuer's list is past its next update and the grace.
    pub demand_current: bool,
    /// How long past its next update a list still counts as current: lists may come by hand.
    pub grace: Duration,
}

/// The lists in force and what their absence means.
#[derive(Debug, Default)]
pub struct Revocation {
    lists: Vec<Arc<RevocationList>>,
    policy: RevocationPolicy,
}

impl Revocation {
    /// No lists: nothing is known to be revoked.
    pub fn none() -> Self {
        Self::default()
    }

    /// These lists under this policy.
    pub fn new(lists: Vec<RevocationList>, policy: RevocationPolicy) -> Self {
        Self::shared(lists.into_iter().map(Arc::new).collect(), policy)
    }

    /// The same with lists that other trusts hold too: one may be large.
    pub fn shared(lists: Vec<Arc<RevocationList>>, policy: RevocationPolicy) -> Self {
        Self { lists, policy }
    }

    /// The lists.
    pub fn lists(&self) -> &[Arc<RevocationList>] {
        &self.lists
    }

    /// What a missing or overdue list means.
    pub fn policy(&self) -> RevocationPolicy {
        self.policy
    }

    /// Refuses a list that bears an anchor's name and is not signed by it, so that a forged or mistaken file is named
    /// when it is read. A list of an issuing authority below an anchor cannot be checked here, for that authority's key
    /// is not known before a chain shows it: [`Revocation::check`] does it then.
    pub(super) fn check_against(&self, anchors: &[Anchor]) -> Result<(), Explanation> {
        for list in &self.lists {
            let mut claimed = anchors
                .iter()
                .filter_map(|anchor| certificate::parse(anchor.certificate()))
                .filter(|certificate| certificate.subject().as_raw() == list.issuer_raw())
                .peekable();
            if claimed.peek().is_some()
                && !claimed.any(|certificate| list.signed_by(certificate.public_key().raw) == Signed::All)
            {
                return Err(wrong_issuer(list));
            }
        }
        Ok(())
    }

    /// Whether nothing on a verified path is revoked, as far as the lists tell and the policy demands.
    pub(super) fn check(
        &self,
        path: &VerifiedPath<'_>,
        anchor: &Anchor,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        if self.lists.is_empty() && !self.policy.demand_status {
            return Ok(());
        }
        // From the leaf up, each certificate against the lists its own issuer signed. The anchor itself is trusted by
        // configuration and on nobody's list.
        let mut certificate: &Cert<'_> = path.end_entity();
        for issuer in path.intermediate_certificates() {
            let may_sign_lists = certificate::may_sign_lists(&issuer.der());
            self.check_one(certificate, &issuer.subject_public_key_info(), may_sign_lists, now)?;
            certificate = issuer;
        }
        let root = certificate::parse(anchor.certificate()).ok_or(webpki::Error::BadDer)?;
        self.check_one(certificate, root.public_key().raw, true, now)
    }

    fn check_one(
        &self,
        certificate: &Cert<'_>,
        issuer_key: &[u8],
        may_sign_lists: bool,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let mut known = false;
        let of_issuer = |list: &&Arc<RevocationList>| may_sign_lists && list.is_of(certificate.issuer());
        for list in self.lists.iter().filter(of_issuer) {
            // By key, not by name alone: a list of another authority that has the same name says nothing here.
            let signed = list.signed_by(issuer_key);
            if signed == Signed::Nothing {
                continue;
            }
            if list.serials(signed).contains(certificate.serial()) {
                return Err(webpki::Error::CertRevoked);
            }
            // After the serial number: an overdue list still revokes what it names, with the exact alert.
            if self.policy.demand_current
                && let Some(next) = list.next_update_of(signed)
                && now.as_secs() > next.saturating_add(self.policy.grace.as_secs())
            {
                let next_update = UnixTime::since_unix_epoch(Duration::from_secs(next));
                return Err(webpki::Error::CrlExpired { time: now, next_update });
            }
            // A list of a part of the certificates can revoke, but its silence says nothing about the others.
            known |= list.tells_of_all();
        }
        match known || !self.policy.demand_status {
            true => Ok(()),
            false => Err(webpki::Error::UnknownRevocationStatus),
        }
    }
}

/// A list that bears an authority's name but not its signature.
pub(crate) fn wrong_issuer(list: &RevocationList) -> Explanation {
    unusable(
        "crl.wrong-issuer",
        list.name(),
        "bears the name of a trust anchor but was not signed by it; fetch the list of that authority again",
        "署名为某信任锚，但并非由其签发，请重新获取该机构的吊销列表",
    )
}
