//! Building and verifying a path with webpki, and remembering which anchor a chain led to.

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::collections::HashMap;
use std::sync::Mutex;
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::Trust;
use crate::crypto;

/// What the certificate at the end of the path is used for.
#[derive(Clone, Copy)]
pub(super) enum Usage {
    Client,
    Server,
}

/// Verifies signatures, validity, constraints, usage and revocation; answers the index of the anchor in the whole set.
pub(super) fn verify(
    trust: &Trust,
    chain: &[CertificateDer<'_>],
    roots: &[TrustAnchor<'_>],
    now: UnixTime,
    usage: Usage,
) -> Result<usize, webpki::Error> {
    let (leaf, intermediates) = chain.split_first().ok_or(webpki::Error::BadDer)?;
    let leaf = EndEntityCert::try_from(leaf)?;
    let usage = match usage {
        Usage::Client => KeyUsage::client_auth(),
        Usage::Server => KeyUsage::server_auth(),
    };
    let unrevoked = |path: &VerifiedPath<'_>| {
        let anchor = position(trust, path.anchor()).ok_or(webpki::Error::UnknownIssuer)?;
        trust.revocation.check(path, &trust.anchors[anchor], now)
    };
    let algorithms = crypto::provider().signature_verification_algorithms.all;
    let path = leaf.verify_for_usage(algorithms, roots, intermediates, now, usage, None, Some(&unrevoked))?;
    position(trust, path.anchor()).ok_or(webpki::Error::UnknownIssuer)
}

fn position(trust: &Trust, anchor: &TrustAnchor<'_>) -> Option<usize> {
    trust.roots.iter().position(|root| {
        root.subject == anchor.subject
            && root.subject_public_key_info == anchor.subject_public_key_info
            && root.name_constraints == anchor.name_constraints
    })
}

/// Chains verified a short while ago. A signature does not change; time and lists do, so an entry is good for minutes, and
/// a new [`Trust`] starts empty.
#[derive(Default)]
pub(super) struct SeenPaths(Mutex<HashMap<[u8; 32], (usize, u64)>>);

impl SeenPaths {
    const CAPACITY: usize = 16_384;
    const SECONDS: u64 = 300;

    pub(super) fn get(&self, key: &[u8; 32], now: UnixTime) -> Option<usize> {
        let (anchor, at) = *self.0.lock().ok()?.get(key)?;
        let age = now.as_secs().checked_sub(at)?;
        (age < Self::SECONDS).then_some(anchor)
    }

    pub(super) fn put(&self, key: [u8; 32], anchor: usize, now: UnixTime) {
        if let Ok(mut map) = self.0.lock() {
            if map.len() >= Self::CAPACITY {
                map.clear();
            }
            map.insert(key, (anchor, now.as_secs()));
        }
    }
}
