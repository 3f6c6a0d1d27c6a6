//! Revocation lists: read once, searched by serial number, replaced whole.
//!
//! webpki would verify a list's signature again for every certificate it looks up: two milliseconds per handshake for a
//! list of 100,000. So webpki reads and searches the lists, and this module verifies each once per issuer's key.

use rustls_pki_types::UnixTime;
use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;
use webpki::{Cert, CertRevocationList, OwnedCertRevocationList, VerifiedPath};
use x509_parser::prelude::{CertificateRevocationList, FromDer, SubjectPublicKeyInfo};

use super::Anchor;
use crate::certificate;
use crate::trouble::LoadError;

/// Keys of issuers of one name that a list remembers; there is one, or two around a renewal.
const ISSUERS: usize = 64;

/// What a list that is missing or out of date means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RevocationPolicy {
    /// Refuse a certificate whose issuer has no list here.
    pub demand_status: bool,
    /// Refuse a certificate when its issuer's list is past its next update.
    pub demand_current: bool,
}

/// One list of one issuer.
pub struct RevocationList {
    name: String,
    issuer_raw: Vec<u8>,
    issuer: String,
    this_update: u64,
    next_update: Option<u64>,
    entries: usize,
    der: Vec<u8>,
    searchable: CertRevocationList<'static>,
    /// Whether an issuer's key (by SHA-256) signed the list.
    signed: Mutex<HashMap<[u8; 32], bool>>,
}

impl RevocationList {
    /// Reads a list in PEM or DER. `name` is what messages call it.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, LoadError> {
        let malformed = || {
            LoadError::new(
                "crl.malformed",
                name,
                "is not a complete X.509 revocation list that this node can read (no delta, no indirect lists); fetch it again",
                "不是本节点可读的完整 X.509 吊销列表（不支持增量与间接列表），请重新获取",
            )
        };
        let der = if bytes.starts_with(b"-----") {
            let block = pem::parse(bytes).map_err(|_| malformed())?;
            if block.tag() != "X509 CRL" {
                return Err(malformed());
            }
            block.into_contents()
        } else {
            bytes.to_vec()
        };
        let owned = OwnedCertRevocationList::from_der(&der).map_err(|_| malformed())?;
        let (rest, parsed) = CertificateRevocationList::from_der(&der).map_err(|_| malformed())?;
        if !rest.is_empty() {
            return Err(malformed());
        }
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        let (issuer_raw, issuer) = (parsed.issuer().as_raw().to_vec(), parsed.issuer().to_string());
        let (this_update, next_update) = (seconds(parsed.last_update()), parsed.next_update().map(seconds));
        let entries = parsed.iter_revoked_certificates().count();
        Ok(Self {
            name: name.to_owned(),
            issuer_raw,
            issuer,
            this_update,
            next_update,
            entries,
            der,
            searchable: owned.into(),
            signed: Mutex::default(),
        })
    }

    /// The name it was read under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The issuer's distinguished name, for people.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// When it was made, in seconds since 1970.
    pub fn this_update(&self) -> u64 {
        self.this_update
    }

    /// When the issuer promised the next one.
    pub fn next_update(&self) -> Option<u64> {
        self.next_update
    }

    /// Whether the promised next list is overdue.
    pub fn is_stale(&self, now: UnixTime) -> bool {
        self.next_update.is_some_and(|next| now.as_secs() > next)
    }

    /// How many certificates it revokes.
    pub fn entries(&self) -> usize {
        self.entries
    }
}

impl RevocationList {
    /// Whether the list is by the holder of this key (a DER SubjectPublicKeyInfo). Verified once per key.
    fn is_by(&self, key: &[u8]) -> bool {
        let digest = certificate::sha256(key);
        if let Ok(known) = self.signed.lock()
            && let Some(signed) = known.get(&digest)
        {
            return *signed;
        }
        let signed = self.verifies(key);
        if let Ok(mut known) = self.signed.lock() {
            if known.len() >= ISSUERS {
                known.clear();
            }
            known.insert(digest, signed);
        }
        signed
    }

    fn verifies(&self, key: &[u8]) -> bool {
        let list = CertificateRevocationList::from_der(&self.der);
        let key = SubjectPublicKeyInfo::from_der(key);
        match (list, key) {
            (Ok((_, list)), Ok((_, key))) => list.verify_signature(&key).is_ok(),
            _ => false,
        }
    }

    /// A list for one distribution point may leave certificates out; only a list without one tells of all.
    fn tells_of_all(&self) -> bool {
        self.searchable.issuing_distribution_point().is_none()
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("name", &self.name)
            .field("issuer", &self.issuer)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

/// The lists in force and what their absence means.
#[derive(Debug, Default)]
pub struct Revocation {
    lists: Vec<RevocationList>,
    policy: RevocationPolicy,
}

impl Revocation {
    /// No lists: nothing is known to be revoked.
    pub fn none() -> Self {
        Self::default()
    }

    /// These lists under this policy.
    pub fn new(lists: Vec<RevocationList>, policy: RevocationPolicy) -> Self {
        Self { lists, policy }
    }

    /// The lists.
    pub fn lists(&self) -> &[RevocationList] {
        &self.lists
    }

    pub(super) fn check_against(&self, anchors: &[Anchor]) -> Result<(), LoadError> {
        for list in &self.lists {
            let mut claimed = anchors
                .iter()
                .filter_map(|anchor| certificate::parse(anchor.certificate()))
                .filter(|certificate| certificate.subject().as_raw() == list.issuer_raw)
                .peekable();
            if claimed.peek().is_some()
                && !claimed.any(|certificate| list.is_by(certificate.public_key().raw))
            {
                return Err(LoadError::new(
                    "crl.wrong-issuer",
                    &list.name,
                    "bears the name of a trust anchor but was not signed by it; fetch the list of that authority again",
                    "署名为某信任锚，但并非由其签发，请重新获取该机构的吊销列表",
                ));
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
        let by_issuer = |list: &&RevocationList| {
            may_sign_lists && list.searchable.issuer() == certificate.issuer() && list.is_by(issuer_key)
        };
        for list in self.lists.iter().filter(by_issuer) {
            if list.searchable.find_serial(certificate.serial())?.is_some() {
                return Err(webpki::Error::CertRevoked);
            }
            if let Some(next) = list.next_update.filter(|_| self.policy.demand_current && list.is_stale(now))
            {
                let next_update = UnixTime::since_unix_epoch(Duration::from_secs(next));
                return Err(webpki::Error::CrlExpired { time: now, next_update });
            }
            known |= list.tells_of_all();
        }
        match known || !self.policy.demand_status {
            true => Ok(()),
            false => Err(webpki::Error::UnknownRevocationStatus),
        }
    }
}
