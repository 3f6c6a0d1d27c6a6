//! One issuer's list, complete or as changes to an earlier one.

use rustls_pki_types::{CertificateDer, UnixTime};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use x509_parser::prelude::{CertificateRevocationList, FromDer, SubjectPublicKeyInfo};
use xinqiao_crypto::{hex, sha256};

use super::document::{self, Document, Kind};
use super::serials::Serials;
use crate::certificate;
use crate::file::read;
use xinqiao_explain::Explanation;

/// Keys of issuers of one name that a list remembers; there is one, or two around a renewal.
const ISSUERS: usize = 64;

/// One list of one issuer, with the changes (delta lists) that were published since laid over it.
pub struct RevocationList {
    name: String,
    base: Document,
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
    /// Reads one complete list in PEM or DER. `name` is what messages call it.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, Explanation> {
        let mut lists = Self::read_all([(name, bytes)])?;
        match (lists.pop(), lists.len()) {
            (Some(list), 0) => Ok(list),
            _ => Err(document::malformed(name)),
        }
    }

    /// Reads the lists of several files, each PEM (any number of blocks) or DER, and lays every delta over the list it
    /// changes.
    ///
    /// A delta that a newer complete list already contains is passed over.
    pub fn read_all<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Vec<Self>, Explanation> {
        let mut lists: Vec<Self> = Vec::new();
        let mut deltas = Vec::new();
        for (name, bytes) in files {
            for der in document::blocks(name, bytes)? {
                let document = Document::read(name, der)?;
                match document.kind {
                    Kind::Complete => lists.push(Self::complete(name, document)?),
                    Kind::Delta { .. } => deltas.push((name, document)),
                }
            }
        }
        // As numbers, which have no leading zeros here: of 255 and 256 the second is laid over last and holds.
        let number = |delta: &Document| delta.number.as_ref().map(|digits| (digits.len(), digits.clone()));
        deltas.sort_by_key(|(_, delta)| number(delta));
        // After all complete lists, in whatever order the files came: a delta may stand in a file before its base.
        for (name, delta) in deltas {
            let mut of_issuer = lists.iter_mut().filter(|list| list.base.same_scope(&delta)).peekable();
            if of_issuer.peek().is_none() {
                return Err(document::delta_alone(name, &delta));
            }
            for list in of_issuer {
                list.lay_over(name, delta.clone())?;
            }
        }
        Ok(lists)
    }

    /// The same from files.
    pub fn from_files<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Self>, Explanation> {
        let read = |path: &P| Ok((path.as_ref().display().to_string(), read(path.as_ref())?));
        let files = paths.iter().map(read).collect::<Result<Vec<_>, Explanation>>()?;
        Self::read_all(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())))
    }

    fn complete(name: &str, base: Document) -> Result<Self, Explanation> {
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
    fn lay_over(&mut self, name: &str, delta: Document) -> Result<(), Explanation> {
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

    /// Whether it bears this authority's name, signed by it or not.
    pub(crate) fn bears_name_of(&self, authority: &CertificateDer<'_>) -> bool {
        certificate::parse(authority).is_some_and(|a| a.subject().as_raw() == self.base.issuer_raw)
    }

    pub(super) fn serials(&self, signed: Signed) -> &Serials {
        match (signed, &self.delta) {
            (Signed::All, Some(delta)) => &delta.revoked,
            _ => &self.revoked,
        }
    }

    /// When the next one was promised, by what is signed.
    pub(super) fn next_update_of(&self, signed: Signed) -> Option<u64> {
        match signed {
            Signed::All => self.next_update(),
            _ => self.base.next_update,
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
            _ if !verifies(&self.base.der, key) => Signed::Nothing,
            Some(delta) if !verifies(&delta.document.der, key) => Signed::Base,
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
        crate::der::only(&self.base.issuer_raw).is_some_and(|name| name.content == issuer_content)
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

fn verifies(der: &[u8], key: &[u8]) -> bool {
    let list = CertificateRevocationList::from_der(der);
    let key = SubjectPublicKeyInfo::from_der(key);
    match (list, key) {
        (Ok((_, list)), Ok((_, key))) => list.verify_signature(&key).is_ok(),
        _ => false,
    }
}
