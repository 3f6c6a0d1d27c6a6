//! Signed documents of others: acknowledgements, key sets and what keys say of each other.
//!
//! Input: what it is, then a document as it comes, or the changes to a good one.

use std::sync::OnceLock;

use serde_json::Value;
use xinqiao_evidence::acknowledgement::{Acknowledged, Acknowledgement, LineError, Outcome};
use xinqiao_evidence::endorsement::{Endorsement, PublishedKeys};
use xinqiao_evidence::jcs::{is_jcs, to_jcs};
use xinqiao_evidence::jws::{Jws, JwsType};
use xinqiao_evidence::keys::{AcknowledgementKey, Jwks, LogKey, ManifestKey};
use xinqiao_evidence::timestamp::Timestamp;
use xinqiao_evidence::{Digest, Digests, base64};

use super::Input;

/// Documents that are good until they are changed.
struct Good {
    acknowledgement: Acknowledgement,
    general: String,
    flattened: String,
    recipient: Jwks,
    published: String,
    pinned: Jwks,
    all: Jwks,
}

fn good() -> &'static Good {
    static GOOD: OnceLock<Good> = OnceLock::new();
    GOOD.get_or_init(|| {
        let key = AcknowledgementKey::generate().expect("randomness");
        let error =
            |record| LineError { code: "E1007".to_owned(), message: "主体不存在".to_owned(), record };
        let acknowledgement = Acknowledgement {
            epoch: 1,
            errors: vec![error(0), error(7)],
            manifest_digest: Digests::of(b"manifest"),
            node: "xm.example/350200-credit".to_owned(),
            outcome: Outcome::Partial,
            seq: 4,
            stream: "province.administrative-penalty".to_owned(),
            time: time("2026-11-21T08:00:00Z"),
        };
        let general = acknowledgement.to_jws(&key).expect("a key signs");
        let value: Value = serde_json::from_str(&general).expect("a JWS is JSON");
        let mut flattened = value["signatures"][0].clone();
        flattened["payload"] = value["payload"].clone();
        let (old, new, log) = (manifest_key(), manifest_key(), LogKey::generate().expect("randomness"));
        let keys = [old.public_jwk().clone(), new.public_jwk().clone(), log.public_jwk().clone()];
        let endorsed = Endorsement::new("xm.example/350200-credit", time("2026-11-21T08:00:00Z"), &keys);
        let endorsement = endorsed.sign(&old).expect("a key signs");
        let all = Jwks::new(keys.iter().cloned());
        let set: Value = serde_json::from_str(&all.to_json()).expect("a key set is JSON");
        let published = format!(
            "{{\"endorsements\":[{endorsement}],\"keys\":{},\"node\":\"xm.example/350200-credit\"}}",
            set["keys"]
        );
        Good {
            acknowledgement,
            general,
            flattened: flattened.to_string(),
            recipient: Jwks::new([key.public_jwk().clone()]),
            published,
            pinned: Jwks::new([keys[0].clone()]),
            all,
        }
    })
}

pub(super) fn manifest_key() -> ManifestKey {
    ManifestKey::generate().expect("randomness")
}

pub(super) fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    match input.byte() % 6 {
        0 => unsigned(input.rest()),
        1 => acknowledgement(input.rest()),
        2 => key_set(input.rest()),
        3 => changed(&input.damaged(good().general.as_bytes())),
        4 => changed(&input.damaged(good().flattened.as_bytes())),
        _ => followed(&input.damaged(good().published.as_bytes())),
    }
}

/// Nothing that comes of itself is by a pinned key.
fn unsigned(bytes: &[u8]) {
    let keys = &good().recipient;
    let Ok(jws) = Jws::parse(bytes) else { return };
    assert!(serde_json::from_slice::<Value>(bytes).is_ok(), "what we read is JSON");
    for kind in [JwsType::Manifest, JwsType::Acknowledgement, JwsType::Envelope, JwsType::Keys] {
        assert!(jws.verify(kind, keys).is_err(), "a signature by nobody is verified");
    }
    if let Ok(payload) = jws.unauthenticated_payload() {
        let text = std::str::from_utf8(bytes).expect("JSON is UTF-8");
        let value: Value = serde_json::from_str(text).expect("read above");
        assert_eq!(value["payload"], base64::encode_url(payload), "base64url is read in one form only");
    }
}

/// An acknowledgement that is read is written in canonical form and read again.
fn acknowledgement(bytes: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<Value>(bytes)
        && let Ok(canonical) = to_jcs(&value)
    {
        assert!(is_jcs(&canonical), "what is written canonically is canonical");
    }
    let Ok(read) = Acknowledgement::from_json(bytes) else { return };
    let written = read.to_json();
    assert!(is_jcs(&written), "an acknowledgement is written canonically");
    assert_eq!(Acknowledgement::from_json(&written).as_ref(), Ok(&read), "and read as it was");
    assert!(read.is_same_acknowledgement(&read));
    let batch = Acknowledged {
        node: &read.node,
        epoch: read.epoch,
        stream: &read.stream,
        seq: read.seq,
        manifest_digest: read.manifest_digest.sha256,
        records: 8,
    };
    let beyond = read.errors.iter().any(|error| error.record >= 8);
    assert_eq!(read.check_for(&batch).is_err(), beyond, "only lines of the batch are answered");
    let other = Acknowledged { manifest_digest: Digest::of(b"another"), ..batch };
    assert!(read.check_for(&other).is_err(), "an answer to another batch");
}

/// A key set that is read is written and read again.
fn key_set(bytes: &[u8]) {
    if let Ok(keys) = Jwks::from_json(bytes) {
        let again = Jwks::from_json(keys.to_json().as_bytes());
        assert_eq!(
            again.map(|keys| keys.to_json()).ok(),
            Some(keys.to_json()),
            "a key set is read as written"
        );
    }
    // One that is malformed refuses the document, whoever is pinned.
    if let Ok(published) = PublishedKeys::from_json(bytes)
        && let Ok(nobody) = published.follow(&Jwks::default())
    {
        assert!(nobody.keys().is_empty(), "who pinned nothing trusts nothing");
    }
}

/// What is still verified after a change says what was signed.
fn changed(bytes: &[u8]) {
    if let Ok(read) = Acknowledgement::from_jws(bytes, &good().recipient) {
        assert_eq!(read, good().acknowledgement, "a changed acknowledgement is verified");
    }
    if let Ok(jws) = Jws::parse(bytes) {
        for kind in [JwsType::Manifest, JwsType::Envelope, JwsType::Keys] {
            assert!(jws.verify(kind, &good().recipient).is_err(), "an acknowledgement passes for a {kind:?}");
        }
    }
}

/// No change to what a node publishes makes anybody trust another key, or an old key for longer.
fn followed(bytes: &[u8]) {
    let Ok(published) = PublishedKeys::from_json(bytes) else { return };
    let Ok(keys) = published.follow(&good().pinned) else { return };
    for key in keys.keys() {
        let known = good().all.find(key.kid()).expect("a key that nobody vouched for is trusted");
        assert_eq!(key.public_key(), known.public_key(), "under the name of another");
        assert_eq!(key.key_use(), known.key_use(), "for another use");
    }
}
