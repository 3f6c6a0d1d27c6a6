//! The manifest as a JWS: signed by the node, verified against pinned keys.

use super::{Manifest, ManifestError};
use crate::digest::{Digest, Digests};
use crate::entry::{Entry, Event};
use crate::jws::{self, Jws, JwsType};
use crate::keys::{Jwks, ManifestKey};
use crate::tlog::{LogProof, TlogError, VerifiedInclusion, split_origin};

/// A manifest's JWS, as stored and sent; nothing in it is trusted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    text: String,
    jws: Jws,
}

impl SignedManifest {
    /// Checks and signs `manifest`.
    pub fn sign(manifest: &Manifest, key: &ManifestKey) -> Result<Self, ManifestError> {
        let text = jws::sign(&manifest.to_json()?, key)?;
        let jws = Jws::parse(text.as_bytes())?;
        Ok(Self { text, jws })
    }

    /// Reads the JSON of a JWS.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let jws = Jws::parse(bytes)?;
        let text = std::str::from_utf8(bytes).map_err(|_| jws::JwsError::Malformed)?.to_owned();
        Ok(Self { text, jws })
    }

    /// The JSON, as it came.
    pub fn as_json(&self) -> &str {
        &self.text
    }

    /// The manifest, if a pinned manifest key signed it within its time of service.
    pub fn verify(&self, keys: &Jwks) -> Result<VerifiedManifest, ManifestError> {
        let verified = self.jws.verify(JwsType::Manifest, keys)?;
        let manifest = Manifest::from_json(verified.payload())?;
        if !verified.key().serves_at(&manifest.created) {
            return Err(ManifestError::KeyTime);
        }
        let digest = Digest::of(verified.payload());
        Ok(VerifiedManifest { manifest, digest, kid: verified.key().kid().to_owned() })
    }

    /// The manifest as claimed, by whomever: good for checking that a batch is consistent, not that it is genuine.
    pub fn unauthenticated(&self) -> Result<UnauthenticatedManifest, ManifestError> {
        let payload = self.jws.unauthenticated_payload()?;
        Ok(UnauthenticatedManifest { manifest: Manifest::from_json(&payload)?, digest: Digest::of(&payload) })
    }
}

/// A manifest that a pinned key signed. Only [`SignedManifest::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedManifest {
    manifest: Manifest,
    digest: Digest,
    kid: String,
}

impl VerifiedManifest {
    /// What it says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Digest of the decoded JWS payload: the `manifest_digest` of acknowledgements and the next manifest's `prev`.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The key that signed it.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Shows by the proof that came beside it that the node logged this manifest: everyone who asks sees the same one.
    pub fn verify_proof(&self, proof: &str, keys: &Jwks) -> Result<VerifiedInclusion, TlogError> {
        let entry = self.manifest.log_entry(self.digest).to_bytes().map_err(|_| TlogError::MalformedProof)?;
        let inclusion = LogProof::from_text(proof)?.verify_with_jwks(&entry, &self.manifest.node, keys)?;
        let origin = &inclusion.checkpoint().checkpoint().origin;
        let epoch = split_origin(origin).map(|(_, epoch)| epoch);
        if epoch == Some(self.manifest.epoch) { Ok(inclusion) } else { Err(TlogError::WrongOrigin) }
    }
}

impl Manifest {
    /// The log entry of the batch with this manifest. All of it follows from the manifest, its `time` being `created`,
    /// so that a recipient can rebuild it and check the proof; the node must log exactly this.
    pub fn log_entry(&self, digest: Digest) -> Entry<'_> {
        let (stream, seq, manifest_digest) = (self.stream.as_str().into(), self.seq, Digests::sha256(digest));
        let event = match &self.void {
            Some(reason) => Event::Void { stream, seq, manifest_digest, reason: reason.as_str().into() },
            None => Event::Batch { stream, seq, manifest_digest, records: self.records },
        };
        Entry {
            node: self.node.as_str().into(),
            epoch: self.epoch,
            time: self.created.as_str().into(),
            event,
        }
    }
}

/// A manifest whose signature nobody checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnauthenticatedManifest {
    manifest: Manifest,
    digest: Digest,
}

impl UnauthenticatedManifest {
    /// What it says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Digest of the decoded JWS payload.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jws::JwsError;
    use crate::timestamp::Timestamp;

    fn manifest() -> Manifest {
        serde_json::from_str(include_str!("../../tests/vectors/manifest.json")).unwrap()
    }

    #[test]
    fn signing_and_verifying_agree_on_the_digest() {
        let key = ManifestKey::generate().unwrap();
        let signed = SignedManifest::sign(&manifest(), &key).unwrap();
        let again = SignedManifest::parse(signed.as_json().as_bytes()).unwrap();
        let verified = again.verify(&Jwks::new([key.public_jwk().clone()])).unwrap();
        assert_eq!(verified.manifest(), &manifest());
        assert_eq!(verified.digest(), Digest::of(&manifest().to_json().unwrap()));
        assert_eq!(verified.kid(), key.kid());
        assert_eq!(again.unauthenticated().unwrap().digest(), verified.digest());
        assert_eq!(again.verify(&Jwks::default()), Err(ManifestError::Jws(JwsError::UnknownKey)));
    }

    #[test]
    fn a_retired_key_signs_nothing_later() {
        let key = ManifestKey::generate().unwrap();
        let signed = SignedManifest::sign(&manifest(), &key).unwrap();
        let check = |from: &str, end: &str| {
            let jwk = key.public_jwk().clone().with_time(Timestamp::parse(from), Timestamp::parse(end));
            signed.verify(&Jwks::new([jwk])).map(drop)
        };
        let created = manifest().created.to_string();
        assert_eq!(check(&created, "2030-01-01T00:00:00Z"), Ok(()));
        assert_eq!(check("2020-01-01T00:00:00Z", &created), Err(ManifestError::KeyTime));
        assert_eq!(check("2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"), Err(ManifestError::KeyTime));
    }

    #[test]
    fn every_altered_byte_of_a_signed_manifest_is_noticed() {
        let key = ManifestKey::generate().unwrap();
        let keys = Jwks::new([key.public_jwk().clone()]);
        let text = SignedManifest::sign(&manifest(), &key).unwrap().text;
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1;
            let result = SignedManifest::parse(&bytes).and_then(|signed| signed.verify(&keys));
            assert!(result.is_err(), "byte {place}");
        }
    }
}
