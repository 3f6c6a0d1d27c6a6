use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use super::*;
use crate::keys::{AcknowledgementKey, LogKey};

const NODE: &str = "xm.example/350200-credit";

fn at(hour: usize) -> Timestamp {
    Timestamp::parse(&format!("20{:02}-01-01T{:02}:00:00Z", 26 + hour / 24, hour % 24)).unwrap()
}

/// A node that changed its manifest key every hour, and its log key at some of them.
struct Life {
    manifests: Vec<ManifestKey>,
    logs: Vec<LogKey>,
    keys: Vec<Jwk>,
    endorsements: Vec<String>,
}

fn life(changes: usize) -> Life {
    let manifests: Vec<_> = (0..=changes).map(|_| ManifestKey::generate().unwrap()).collect();
    let logs: Vec<_> = (0..=changes / 3).map(|_| LogKey::generate().unwrap()).collect();
    let time = |n: usize, every: usize, last: usize| {
        ((n > 0).then(|| at(n * every)), (n < last).then(|| at((n + 1) * every)))
    };
    let mut keys = Vec::new();
    for (n, key) in manifests.iter().enumerate() {
        let (from, end) = time(n, 1, changes);
        keys.push(key.public_jwk().clone().with_time(from, end));
    }
    for (n, key) in logs.iter().enumerate() {
        let (from, end) = time(n, 3, logs.len() - 1);
        keys.push(key.public_jwk().clone().with_time(from, end));
    }
    let mut endorsements = Vec::new();
    for (n, signer) in manifests.iter().enumerate() {
        let overlaps = |jwk: &&Jwk| {
            jwk.retired().is_none_or(|end| *end >= at(n))
                && jwk.not_before().is_none_or(|from| *from <= at(n + 1))
        };
        let endorsed = keys.iter().filter(overlaps);
        endorsements.push(Endorsement::new(NODE, at(n), endorsed).sign(signer).unwrap());
    }
    Life { manifests, logs, keys, endorsements }
}

impl Life {
    fn document(&self) -> Vec<u8> {
        document(&Jwks::new(self.keys.iter().cloned()), &self.endorsements)
    }

    fn published(&self) -> PublishedKeys {
        PublishedKeys::from_json(&self.document()).unwrap()
    }
}

fn document(jwks: &Jwks, endorsements: &[String]) -> Vec<u8> {
    let mut document: Value = serde_json::from_str(&jwks.to_json()).unwrap();
    let parsed: Vec<Box<RawValue>> =
        endorsements.iter().map(|jws| RawValue::from_string(jws.clone()).unwrap()).collect();
    document["endorsements"] = serde_json::to_value(parsed).unwrap();
    document["node"] = NODE.into();
    document.to_string().into_bytes()
}

fn kids(jwks: &Jwks) -> Vec<String> {
    let mut kids: Vec<_> = jwks.keys().iter().map(|key| key.kid().to_owned()).collect();
    kids.sort();
    kids
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn from_any_pinned_manifest_key_every_key_is_reached(changes in 0usize..9, pinned in 0usize..9, turn in 0usize..9) {
        let mut life = life(changes);
        let pinned = life.manifests[pinned % (changes + 1)].kid().to_owned();
        let places = life.endorsements.len();
        life.endorsements.rotate_left(turn % places);
        let published = life.published();
        let all = published.follow(&published.pinned(&[&pinned])).unwrap();
        prop_assert_eq!(kids(&all), kids(published.jwks()));
        for key in &life.keys {
            prop_assert_eq!(all.find(key.kid()), Some(key), "times too");
        }
    }
}

#[test]
fn nothing_is_reached_from_another_key_or_without_endorsements() {
    let life = life(3);
    let published = life.published();
    let log = life.logs[0].kid();
    assert_eq!(
        kids(&published.follow(&published.pinned(&[log])).unwrap()),
        [log],
        "only manifest keys endorse"
    );
    assert_eq!(published.follow(&Jwks::default()).unwrap(), Jwks::default());
    let first = published.pinned(&[life.manifests[0].kid()]);
    let bare = PublishedKeys::from_json(&document(published.jwks(), &[])).unwrap();
    assert_eq!(bare.follow(&first).unwrap(), first, "a bare key set vouches for nothing");
    let stranger = ManifestKey::generate().unwrap();
    let foreign = Endorsement::new(NODE, at(0), &life.keys).sign(&stranger).unwrap();
    let foreign = PublishedKeys::from_json(&document(published.jwks(), &[foreign])).unwrap();
    assert_eq!(foreign.follow(&first).unwrap(), first);
}

#[test]
fn a_gap_in_the_chain_ends_it() {
    let mut life = life(4);
    life.endorsements.remove(1);
    let published = life.published();
    let reached = published.follow(&published.pinned(&[life.manifests[0].kid()])).unwrap();
    assert!(reached.find(life.manifests[1].kid()).is_some());
    assert!(reached.find(life.manifests[4].kid()).is_none());
}

/// The successor was announced for hour 9, took over at hour 2 and vouched for a log key then. Whoever pinned the keys
/// while it was announced, or the first one alone, learns from the first one's last word that it did.
#[test]
fn a_successor_that_took_over_early_is_followed_if_its_predecessor_says_so() {
    let (old, new, log) =
        (ManifestKey::generate().unwrap(), ManifestKey::generate().unwrap(), LogKey::generate().unwrap());
    let announced = new.public_jwk().clone().with_time(Some(at(9)), None);
    let early = new.public_jwk().clone().with_time(Some(at(2)), None);
    let log = log.public_jwk().clone().with_time(Some(at(3)), None);
    let retired = old.public_jwk().clone().with_time(None, Some(at(3)));
    let by_new = Endorsement::new(NODE, at(2), [&retired, &early, &log]).sign(&new).unwrap();
    let at_first = Endorsement::new(NODE, at(1), [old.public_jwk(), &announced]).sign(&old).unwrap();
    let last = Endorsement::new(NODE, at(2), [&retired, &early]).sign(&old).unwrap();
    let all = Jwks::new([retired.clone(), early.clone(), log.clone()]);
    for pinned in [
        Jwks::new([old.public_jwk().clone()]),
        Jwks::new([old.public_jwk().clone(), announced.clone()]),
        Jwks::new([announced, old.public_jwk().clone()]),
    ] {
        for words in [[by_new.clone(), last.clone()], [last.clone(), by_new.clone()]] {
            let published = PublishedKeys::from_json(&document(&all, &words)).unwrap();
            let reached = published.follow(&pinned).unwrap();
            assert_eq!(kids(&reached), kids(&all));
            assert_eq!(reached.find(early.kid()), Some(&early));
        }
        let without = PublishedKeys::from_json(&document(&all, &[at_first.clone(), by_new.clone()])).unwrap();
        assert!(without.follow(&pinned).unwrap().find(log.kid()).is_none(), "its own word is not enough");
    }
}

#[test]
fn a_retired_key_endorses_nothing_that_comes_after_it() {
    let life = life(1);
    let thief = ManifestKey::generate().unwrap();
    let stolen = thief.public_jwk().clone().with_time(Some(at(5)), None);
    let retired = Jwks::new([life.keys[0].clone()]);
    let keys = Jwks::new(life.keys.iter().cloned().chain([stolen.clone()]));
    for created in [at(0), at(5)] {
        let forged = Endorsement::new(NODE, created, [&stolen]).sign(&life.manifests[0]).unwrap();
        let published = PublishedKeys::from_json(&document(&keys, &[forged])).unwrap();
        assert_eq!(kids(&published.follow(&retired).unwrap()), kids(&retired));
    }
}

#[test]
fn another_use_another_node_and_another_key_under_the_kid_are_not_taken() {
    let manifest = ManifestKey::generate().unwrap();
    let other = AcknowledgementKey::generate().unwrap();
    let pinned = Jwks::new([manifest.public_jwk().clone()]);
    let follow = |keys: Jwks, endorsement: String| {
        let published = PublishedKeys::from_json(&document(&keys, &[endorsement])).unwrap();
        kids(&published.follow(&pinned).unwrap())
    };
    let both = Jwks::new([manifest.public_jwk().clone(), other.public_jwk().clone()]);
    let good = Endorsement::new(NODE, at(0), [other.public_jwk()]);
    assert_eq!(follow(both.clone(), good.sign(&manifest).unwrap()).len(), 2);
    let elsewhere = Endorsement { node: "qz.example/350500-credit".to_owned(), ..good.clone() };
    assert_eq!(follow(both.clone(), elsewhere.sign(&manifest).unwrap()).len(), 1);
    let mut as_manifest = good.clone();
    as_manifest.keys[0].xq_use = KeyUse::Manifest;
    assert_eq!(follow(both, as_manifest.sign(&manifest).unwrap()).len(), 1);
    let mut lying = serde_json::to_value(ManifestKey::generate().unwrap().public_jwk()).unwrap();
    lying["kid"] = json!(other.kid());
    lying["xq_use"] = json!("acknowledgement");
    let lying = json!({"keys": [manifest.public_jwk(), lying]}).to_string();
    assert_eq!(follow(Jwks::from_json(lying.as_bytes()).unwrap(), good.sign(&manifest).unwrap()).len(), 1);
}

#[test]
fn an_altered_endorsement_is_called_forged_and_other_types_are_not_endorsements() {
    let life = life(1);
    let published = life.published();
    let pinned = published.pinned(&[life.manifests[0].kid()]);
    let mut altered: Value = serde_json::from_str(&life.endorsements[0]).unwrap();
    altered["payload"] = json!(crate::base64::encode_url(br#"{"v":1}"#));
    let read = PublishedKeys::from_json(&document(published.jwks(), &[altered.to_string()])).unwrap();
    assert_eq!(read.follow(&pinned), Err(EndorsementError::Forged { place: 0 }));
    let payload = serde_json::to_vec(&Endorsement::new(NODE, at(0), &life.keys)).unwrap();
    let as_manifest = jws::sign(&payload, &life.manifests[0]).unwrap();
    let read = PublishedKeys::from_json(&document(published.jwks(), &[as_manifest])).unwrap();
    assert_eq!(read.follow(&pinned), Err(EndorsementError::Forged { place: 0 }));
    assert!(crate::jcs::is_jcs(&payload));
    for wrong in [&b"{}"[..], br#"{"keys":[],"endorsements":[1]}"#, br#"{"keys":[],"endorsements":{}}"#] {
        assert!(PublishedKeys::from_json(wrong).is_err());
    }
}

#[test]
fn twenty_years_of_quarterly_changes_stay_within_the_cap() {
    let size = life(80).document().len();
    assert!(size < MAX_PUBLISHED * 3 / 4, "{size} bytes");
}
