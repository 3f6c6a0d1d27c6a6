//! Revocation lists: read once, searched by serial number, replaced whole.
//!
//! webpki would verify a list's signature again for every certificate it looks up: two milliseconds per handshake for a
//! list of 100,000. So webpki checks the form of a list, and this module verifies each once per issuer's key.

mod blocks;
mod document;
mod list;
mod lists;
mod serials;
mod succession;

pub use list::RevocationList;
pub use lists::{ListFault, ListRead, Lists};

use document::same_key;
use list::Signed;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use webpki::{Cert, VerifiedPath};

use super::Anchor;
use crate::certificate;
use crate::trouble::unusable;
use xinqiao_crypto::hex;
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

/// Whose certificates are refused because a list that should be in force is not, whatever the policy says of issuers that
/// nobody named a list of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shut {
    /// Those of issuers of which no list is in force: a list is on its way, and nobody knows yet whose.
    Unlisted,
    /// Those of one issuer.
    Issuer {
        /// Its name, DER.
        name: HexBytes,
        /// Which of its keys, as its certificates call it; absent: any.
        key_id: Option<HexBytes>,
    },
    /// All: what stands in the list's place does not say whose it is.
    Everyone,
}

impl Shut {
    /// The certificates of this authority.
    pub fn of(authority: &CertificateDer<'_>) -> Option<Self> {
        let parsed = certificate::parse(authority)?;
        Some(Self::issuer(parsed.subject().as_raw().to_vec(), certificate::key_id(&parsed)))
    }

    fn issuer(name: Vec<u8>, key_id: Option<Vec<u8>>) -> Self {
        Self::Issuer { name: HexBytes(name), key_id: key_id.map(HexBytes) }
    }
}

/// Bytes that are kept as hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HexBytes(Vec<u8>);

impl TryFrom<String> for HexBytes {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(&text).map(Self).ok_or("not hexadecimal digits")
    }
}

impl From<HexBytes> for String {
    fn from(bytes: HexBytes) -> Self {
        hex::encode(&bytes.0)
    }
}

/// The lists in force and what their absence means.
#[derive(Debug, Default)]
pub struct Revocation {
    lists: Vec<Arc<RevocationList>>,
    policy: RevocationPolicy,
    shut: Vec<Shut>,
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
        Self { lists, policy, shut: Vec::new() }
    }

    /// The same, with these refused until the lists that were configured are in force.
    #[must_use]
    pub fn shutting(self, shut: Vec<Shut>) -> Self {
        Self { shut, ..self }
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
                return Err(wrong_issuer(list.name()));
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
        if self.lists.is_empty() && !self.policy.demand_status && self.shut.is_empty() {
            return Ok(());
        }
        // From the leaf up, each certificate against the lists its own issuer signed. The anchor itself is trusted by
        // configuration and on nobody's list.
        let mut certificate: &Cert<'_> = path.end_entity();
        for issuer in path.intermediate_certificates() {
            let key = issuer.subject_public_key_info();
            let may_sign_lists = certificate::may_sign_lists(&issuer.der());
            self.check_one(certificate, &Issuer { der: &issuer.der(), key: &key, may_sign_lists }, now)?;
            certificate = issuer;
        }
        let der = anchor.certificate();
        let root = certificate::parse(der).ok_or(webpki::Error::BadDer)?;
        let issuer = Issuer { der, key: root.public_key().raw, may_sign_lists: true };
        self.check_one(certificate, &issuer, now)
    }

    fn check_one(
        &self,
        certificate: &Cert<'_>,
        issuer: &Issuer<'_>,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        // By key, not by name alone: a list of another authority that has the same name says nothing here.
        let of_name = self.lists.iter().filter(|list| list.is_of(certificate.issuer()));
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for list in of_name {
            match list.signed_by(issuer.key) {
                signed if signed != Signed::Nothing && issuer.may_sign_lists => own.push((list, signed)),
                _ => others.push(list),
            }
        }
        let (mut known, mut current, mut overdue) = (false, false, None);
        while let Some(line) = next_line(&mut own) {
            let ranks: Vec<_> = line.iter().map(|(list, signed)| list.rank(*signed)).collect();
            let speaking = succession::speaking(&ranks, now.as_secs());
            for (list, signed) in speaking.iter().map(|at| line[*at]) {
                if list.serials(signed).contains(certificate.serial()) {
                    return Err(webpki::Error::CertRevoked);
                }
            }
            let Some((latest, signed)) = speaking.first().map(|at| line[*at]) else { continue };
            // A list of a part of the certificates can revoke, but its silence says nothing about the others.
            known |= latest.tells_of_all();
            match latest.rank(signed).next_update {
                Some(next) if now.as_secs() > next.saturating_add(self.policy.grace.as_secs()) => {
                    overdue = overdue.max(Some(next));
                }
                _ => current |= latest.tells_of_all(),
            }
        }
        // After the serial numbers: an overdue list still revokes what it names, with the exact alert.
        if self.policy.demand_current
            && !current
            && let Some(next) = overdue
        {
            let next_update = UnixTime::since_unix_epoch(Duration::from_secs(next));
            return Err(webpki::Error::CrlExpired { time: now, next_update });
        }
        let wanted = |list: &&Arc<RevocationList>| list.may_be_by(issuer.key_id().as_deref());
        let shut = self.shut.iter().any(|shut| match shut {
            Shut::Everyone => true,
            Shut::Unlisted => !known,
            Shut::Issuer { name, key_id } => {
                let key_id = key_id.as_ref().map(|id| id.0.as_slice());
                is_name(&name.0, certificate.issuer()) && same_key(key_id, issuer.key_id().as_deref())
            }
        });
        // A list that bears this issuer's name and the name of its key, and is not by it, was meant to speak here.
        if shut || (!known && (self.policy.demand_status || others.iter().any(wanted))) {
            return Err(webpki::Error::UnknownRevocationStatus);
        }
        Ok(())
    }
}

/// The authority above a certificate.
struct Issuer<'a> {
    der: &'a CertificateDer<'a>,
    /// DER SubjectPublicKeyInfo.
    key: &'a [u8],
    may_sign_lists: bool,
}

impl Issuer<'_> {
    /// What it calls its key. Asked for only where a list is wanting.
    fn key_id(&self) -> Option<Vec<u8>> {
        certificate::key_id(&certificate::parse(self.der)?)
    }
}

/// Takes out the lists that are about the same certificates as the first.
fn next_line<'a>(
    lists: &mut Vec<(&'a Arc<RevocationList>, Signed)>,
) -> Option<Vec<(&'a Arc<RevocationList>, Signed)>> {
    let (first, _) = *lists.first()?;
    Some(lists.extract_if(.., |(list, _)| list.same_scope(first)).collect())
}

fn is_name(name: &[u8], content: &[u8]) -> bool {
    crate::der::only(name).is_some_and(|name| name.content == content)
}

/// A list that bears an authority's name but not its signature.
pub(crate) fn wrong_issuer(name: &str) -> Explanation {
    unusable(
        "crl.wrong-issuer",
        name,
        "bears the name of an authority this node knows but was not signed by it; fetch the list of that authority again",
        "署名为本节点已知的机构，但并非由其签发，请重新获取该机构的吊销列表",
    )
}
