//! What is trusted: anchors with the rights they carry, and what has been revoked. Immutable; replace it whole.

mod anchors;
mod paths;
mod revocation;

pub use anchors::{Anchor, AnchorRights, TrustAnchors};
pub use revocation::{
    HexBytes, ListFault, ListRead, Lists, Revocation, RevocationList, RevocationPolicy, Shut,
};

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::fmt;
use std::sync::Arc;

use crate::chain::chain_digest;
use paths::SeenPaths;
use xinqiao_explain::Explanation;

/// Anchors and revocation lists, parsed once and shared by handshakes and the member registry.
pub struct Trust {
    anchors: Vec<Anchor>,
    roots: Vec<TrustAnchor<'static>>,
    revocation: Revocation,
    seen: SeenPaths,
}

impl Trust {
    /// Refuses a revocation list that claims an anchor's name but was not signed by it: such a list would lock out everyone.
    pub fn new(anchors: TrustAnchors, revocation: Revocation) -> Result<Arc<Self>, Explanation> {
        revocation.check_against(anchors.as_slice())?;
        Self::of_judged(anchors, revocation)
    }

    /// The same with lists that [`Lists::read`] judged by all authorities that are known: one by a new key of an anchor's
    /// authority, whose certificate nobody has shown yet, says nothing until somebody does.
    pub fn of_judged(anchors: TrustAnchors, revocation: Revocation) -> Result<Arc<Self>, Explanation> {
        let anchors = anchors.into_vec();
        let roots = anchors
            .iter()
            .map(|anchor| {
                webpki::anchor_from_trusted_cert(anchor.certificate())
                    .map(|root| root.to_owned())
                    .map_err(|_| anchor.unusable())
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Self { anchors, roots, revocation, seen: SeenPaths::default() }))
    }

    /// The anchors, in the order they were added.
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// The revocation lists in force.
    pub fn revocation(&self) -> &Revocation {
        &self.revocation
    }

    pub(crate) fn roots(&self) -> &[TrustAnchor<'static>] {
        &self.roots
    }

    /// The anchor a client's chain leads to. Remembers what it verified, for a while.
    pub(crate) fn client_anchor(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<usize, webpki::Error> {
        let key = chain_digest(chain);
        if let Some(anchor) = self.seen.get(&key, now) {
            return Ok(anchor);
        }
        let anchor = paths::verify(self, chain, &self.roots, now, paths::Usage::Client)?;
        self.seen.put(key, anchor, now);
        Ok(anchor)
    }

    /// Whether a client's chain also leads to this one anchor (cross-signed authorities).
    pub(crate) fn client_leads_to(&self, anchor: usize, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let only = &self.roots[anchor..=anchor];
        paths::verify(self, chain, only, now, paths::Usage::Client).is_ok()
    }

    /// Whether a server's chain is good. Its name is for the caller to check.
    pub(crate) fn server(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), webpki::Error> {
        paths::verify(self, chain, &self.roots, now, paths::Usage::Server).map(drop)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("anchors", &self.anchors)
            .field("revocation_lists", &self.revocation.lists().len())
            .finish_non_exhaustive()
    }
}
