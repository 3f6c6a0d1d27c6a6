//! Revocation lists: read once, searched by serial number, replaced whole.

use rustls_pki_types::UnixTime;
use webpki::{
    CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::Anchor;
use crate::certificate;
use crate::trouble::LoadError;

/// What a list that is missing or out of date means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RevocationPolicy {
    /// Refuse a certificate whose issuer has no list here.
    pub demand_status: bool,
    /// Refuse a certificate when its issuer's list is past its next update.
    pub demand_current: bool,
}

/// One list of one issuer.
#[derive(Debug)]
pub struct RevocationList {
    name: String,
    issuer_raw: Vec<u8>,
    issuer: String,
    this_update: u64,
    next_update: Option<u64>,
    entries: usize,
    der: Vec<u8>,
    searchable: CertRevocationList<'static>,
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
            let (_, parsed) = CertificateRevocationList::from_der(&list.der).expect("read parsed it");
            let mut claimed = false;
            let mut signed = false;
            for anchor in anchors {
                let Some(certificate) = certificate::parse(anchor.certificate()) else {
                    continue;
                };
                if certificate.subject().as_raw() == list.issuer_raw {
                    claimed = true;
                    signed |= parsed.verify_signature(certificate.public_key()).is_ok();
                }
            }
            if claimed && !signed {
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

    /// Runs `check` with the options webpki wants, or with none where there is no list.
    pub(super) fn with_options<T>(
        &self,
        check: impl FnOnce(Option<webpki::RevocationOptions<'_>>) -> T,
    ) -> T {
        let lists: Vec<&CertRevocationList<'_>> = self.lists.iter().map(|list| &list.searchable).collect();
        let unknown = match self.policy.demand_status {
            true => UnknownStatusPolicy::Deny,
            false => UnknownStatusPolicy::Allow,
        };
        let expired = match self.policy.demand_current {
            true => ExpirationPolicy::Enforce,
            false => ExpirationPolicy::Ignore,
        };
        let options = RevocationOptionsBuilder::new(&lists).ok().map(|builder| {
            builder
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(unknown)
                .with_expiration_policy(expired)
                .build()
        });
        check(options)
    }
}
