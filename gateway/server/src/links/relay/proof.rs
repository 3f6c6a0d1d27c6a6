//! What of a listed batch is proven by the keys trusted so far: its manifest's signature, and its place in the upstream's
//! log. Whether it may be taken is the machine's to say.

use super::machine::{Claims, Logged};
use xinqiao_client::BatchEntry;
use xinqiao_evidence::base64;
use xinqiao_evidence::entry::{Entry, Event};
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::manifest::{SignedManifest, VerifiedManifest};
use xinqiao_evidence::tlog::LogProof;

/// The manifest, if a trusted key signed it.
pub(super) fn verify(listed: &BatchEntry, keys: &Jwks) -> Option<VerifiedManifest> {
    SignedManifest::parse(listed.manifest.get().as_bytes()).and_then(|signed| signed.verify(keys)).ok()
}

/// What it says, with what became of its log proof. `node` is whose log it must be in.
pub(super) fn claims(manifest: &VerifiedManifest, listed: &BatchEntry, node: &str, keys: &Jwks) -> Claims {
    let said = manifest.manifest();
    Claims {
        node: said.node.clone(),
        stream: said.stream.clone(),
        epoch: said.epoch,
        seq: said.seq,
        prev: said.prev.as_ref().map_or(String::new(), |d| d.sha256.to_hex()),
        digest: manifest.digest().to_hex(),
        records: said.records,
        logged: logged(manifest, listed, node, keys),
    }
}

fn logged(manifest: &VerifiedManifest, listed: &BatchEntry, node: &str, keys: &Jwks) -> Logged {
    let said = manifest.manifest();
    let Some(entry) = listed.entry.as_deref().and_then(base64::decode) else { return Logged::NoEntry };
    let names_it = matches!(
        Entry::from_bytes(&entry).map(|e| e.event),
        Ok(Event::Batch { ref manifest_digest, seq, .. })
            if manifest_digest.sha256 == manifest.digest() && seq == said.seq
    );
    let proof = LogProof::from_text(&listed.proof);
    let proven = proof.is_ok_and(|proof| proof.verify_with_jwks(&entry, node, keys).is_ok());
    // The entry of a void is of another kind.
    if proven && (names_it || said.void.is_some()) { Logged::Proven } else { Logged::Unproven }
}
