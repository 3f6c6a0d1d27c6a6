//! One issuer's list, complete or as changes to an earlier one.

use rustls_pki_types::{CertificateDer, UnixTime};
use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;
use xinqiao_crypto::{hex, sha256};

use super::Shut;
use super::document::{self, Document, Kind};
use super::serials::Serials;
use super::succession::Rank;
use crate::certificate;
use xinqiao_explain::Explanation;

/// Keys of issuers of one name that a list remembers; there is one, or two around a renewal.
const ISSUERS: usize = 64;

/// One list of one issuer, with the changes (delta lists) that were published since laid over it.
pub struct RevocationList {
    name: String,
    pub(super) base: Document,
    revoked: Serials,
    delta: Option<Delta>,
    /// What of it an issuer's key (by SHA-256) signed.
    signed: Mutex<HashMap<[u8; 32], Signed>>,
}

/// The latest changes that fit the list below, and what is revoked with them.
struct Delta {
    document: Document,
    revoked: Serials,
}

/// How much of a list a key vouches for. A delta by somebody else must not make the list below it disappear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signed {
    Nothing,
    Base,
    All,
}

impl RevocationList {
    pub(super) fn complete(name: &str, base: Document) -> Result<Self, Explanation> {
        let revoked =
            Serials::new(base.revoked.iter().map(Vec::as_slice)).ok_or_else(|| document::malformed(name))?;
        Ok(Self {
            name: name.to_owned(),
            base: Document { revoked: Vec::new(), removed: Vec::new(), ..base },
            revoked,
            delta: None,
            signed: Mutex::default(),
        })
    }

    /// RFC 5280, 5.2.4: the base must be at least the one the delta starts from, and older than the delta.
    pub(super) fn lay_over(&mut self, name: &str, delta: Document) -> Result<(), Explanation> {
        let Kind::Delta { base } = &delta.kind else { return Err(document::malformed(name)) };
        let own = self.base.number.as_deref().unwrap_or_default();
        if document::number_below(own, base) {
            return Err(document::delta_of_another_base(name, &self.name, own, base));
        }
        if !document::number_below(own, delta.number.as_deref().unwrap_or_default()) {
            return Ok(());
        }
        let too_long = || document::malformed(name);
        // Always from the complete list, never from the delta before: a delta holds every change since its base.
        let removed = Serials::new(delta.removed.iter().map(Vec::as_slice)).ok_or_else(too_long)?;
        let kept = self.revoked.iter().filter(|serial| !removed.contains(serial));
        let revoked =
            Serials::new(kept.chain(delta.revoked.iter().map(Vec::as_slice))).ok_or_else(too_long)?;
        let document = Document { revoked: Vec::new(), removed: Vec::new(), ..delta };
        self.delta = Some(Delta { document, revoked });
        Ok(())
    }

    fn newest(&self) -> &Document {
        self.delta.as_ref().map_or(&self.base, |delta| &delta.document)
    }

    /// The name it was read under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The issuer's distinguished name, for people.
    pub fn issuer(&self) -> &str {
        &self.base.issuer
    }

    /// The CRL number, in lower-case hexadecimal; `None` if the issuer gives none.
    pub fn number(&self) -> Option<String> {
        self.newest().number.as_deref().map(hex::encode)
    }

    /// Whether it is about the same certificates as the other: the same issuer's, and no narrower a part of them.
    pub fn succeeds(&self, other: &Self) -> bool {
        self.base.same_scope(&other.base)
    }

    /// The number of the complete list below, when changes were laid over it.
    pub fn base_number(&self) -> Option<String> {
        self.delta.as_ref()?;
        self.base.number.as_deref().map(hex::encode)
    }

    /// When it was made, in seconds since 1970.
    pub fn this_update(&self) -> u64 {
        self.newest().this_update
    }

    /// When the issuer promised the next one.
    pub fn next_update(&self) -> Option<u64> {
        self.newest().next_update
    }

    /// Whether the promised next list is overdue.
    pub fn is_stale(&self, now: UnixTime) -> bool {
        self.is_stale_after(now, Duration::ZERO)
    }

    /// Whether the promised next list is overdue by more than this grace.
    pub fn is_stale_after(&self, now: UnixTime, grace: Duration) -> bool {
        self.next_update().is_some_and(|next| now.as_secs() > next.saturating_add(grace.as_secs()))
    }

    /// How many certificates it revokes.
    pub fn entries(&self) -> usize {
        self.serials(Signed::All).len()
    }

    /// Whether it revokes this serial number (big-endian bytes).
    pub fn revokes(&self, serial: &[u8]) -> bool {
        self.serials(Signed::All).contains(serial)
    }

    /// Whether this authority signed it, and the changes over it. Ask before a fetched list replaces a good one.
    pub fn is_signed_by(&self, authority: &CertificateDer<'_>) -> bool {
        certificate::parse(authority).is_some_and(|authority| {
            authority.subject().as_raw() == self.base.issuer_raw
                && self.signed_by(authority.public_key().raw) == Signed::All
        })
    }

    /// Which of the issuer's keys it says signed it, in lower-case hexadecimal.
    pub fn key_id(&self) -> Option<String> {
        self.base.key_id.as_deref().map(hex::encode)
    }

    /// Whose certificates it speaks of, to refuse them for want of it.
    pub fn shuts(&self) -> Shut {
        Shut::issuer(self.base.issuer_raw.clone(), self.base.key_id.clone())
    }

    /// Whether it may be by the key that a certificate calls this.
    pub(super) fn may_be_by(&self, key_id: Option<&[u8]>) -> bool {
        self.base.may_be_by(key_id)
    }

    /// Whether it and the other are of one issuer and about the same certificates, whichever key signed them.
    pub(super) fn same_scope(&self, other: &Self) -> bool {
        self.base.same_scope(&other.base)
    }

    /// What its place among others of its kind hangs on, by what of it is signed.
    pub(super) fn rank(&self, signed: Signed) -> Rank<'_> {
        let newest = match signed {
            Signed::All => self.newest(),
            _ => &self.base,
        };
        Rank {
            number: newest.number.as_deref(),
            this_update: newest.this_update,
            next_update: newest.next_update,
        }
    }

    /// Whether the other revokes whatever this one does.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.serials(Signed::All).iter().all(|serial| other.revokes(serial))
    }

    /// Whether it bears this authority's name, signed by it or not.
    pub fn bears_name_of(&self, authority: &CertificateDer<'_>) -> bool {
        certificate::parse(authority).is_some_and(|a| a.subject().as_raw() == self.base.issuer_raw)
    }

    pub(super) fn serials(&self, signed: Signed) -> &Serials {
        match (signed, &self.delta) {
            (Signed::All, Some(delta)) => &delta.revoked,
            _ => &self.revoked,
        }
    }

    /// SHA-256 of the list as it was read; of base and delta together, when there are both.
    pub fn digest(&self) -> [u8; 32] {
        match &self.delta {
            None => sha256(&self.base.der),
            Some(delta) => sha256(&[self.base.der.as_slice(), &delta.document.der].concat()),
        }
    }

    /// The complete list and the delta over it, DER: what an archive keeps.
    pub fn documents(&self) -> impl Iterator<Item = &[u8]> {
        let delta = self.delta.iter().map(|delta| &delta.document);
        std::iter::once(&self.base).chain(delta).map(|document| document.der.as_slice())
    }

    /// What of it the holder of this key (a DER SubjectPublicKeyInfo) signed. Verified once per key.
    pub(super) fn signed_by(&self, key: &[u8]) -> Signed {
        // The lock is not held while a signature is verified (milliseconds for a long list, while every handshake asks).
        // Two threads may verify the same at once and find the same. A poisoned lock costs a verification, no more.
        let digest = sha256(key);
        if let Ok(known) = self.signed.lock()
            && let Some(signed) = known.get(&digest)
        {
            return *signed;
        }
        // The base on its own first: a delta by somebody else must not make a genuine base say nothing.
        let signed = match &self.delta {
            _ if !self.base.is_signed_by(key) => Signed::Nothing,
            Some(delta) if !delta.document.is_signed_by(key) => Signed::Base,
            _ => Signed::All,
        };
        if let Ok(mut known) = self.signed.lock() {
            if known.len() >= ISSUERS {
                known.clear();
            }
            known.insert(digest, signed);
        }
        signed
    }

    /// The issuer's name as DER.
    pub(crate) fn issuer_raw(&self) -> &[u8] {
        &self.base.issuer_raw
    }

    pub(super) fn is_of(&self, issuer_content: &[u8]) -> bool {
        super::is_name(&self.base.issuer_raw, issuer_content)
    }

    /// A list for one distribution point may leave certificates out; only a list without one is about all.
    pub(super) fn tells_of_all(&self) -> bool {
        self.base.scope.is_none()
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("name", &self.name)
            .field("issuer", &self.base.issuer)
            .field("entries", &self.entries())
            .finish_non_exhaustive()
    }
}
