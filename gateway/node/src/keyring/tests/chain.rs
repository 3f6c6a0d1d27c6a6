//! Nobody who ever pinned a key is left behind, whatever is done to the keys and in whatever order.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use xinqiao_evidence::keys::{KeyError, PublicKey, Signer};
use xinqiao_evidence::timestamp::Timestamp;

const HOUR: i64 = 3_600;

/// A token that was pulled out.
struct Away;

impl Signer for Away {
    fn sign(&self, _: &[u8]) -> Result<[u8; 64], KeyError> {
        Err(KeyError::Unavailable)
    }
}

/// What officers, the schedule, the clock and tokens do.
#[derive(Debug, Clone)]
enum Step {
    /// A successor is announced for so many hours from now.
    Begin(KeyKind, i64),
    /// It takes over now, whatever was announced.
    Hurry(KeyKind),
    /// Both within one second.
    Rotate(KeyKind),
    /// Time passes; what is due takes over.
    Wait(i64),
    /// The node starts again before it signed anything, and its host's clock was set back: all it knows of time is what
    /// it signed last and what its book says.
    Restart,
    /// The same as `Hurry` while the manifest key in service cannot sign.
    Fail(KeyKind),
}

fn step() -> impl Strategy<Value = Step> {
    let kind = || prop::sample::select(KeyKind::SIGNING.to_vec());
    prop_oneof![
        3 => (kind(), 0i64..200).prop_map(|(kind, hours)| Step::Begin(kind, hours)),
        3 => kind().prop_map(Step::Hurry),
        2 => kind().prop_map(Step::Rotate),
        2 => (0i64..40 * HOUR).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        1 => kind().prop_map(Step::Fail),
    ]
}

/// What somebody outside saw and what was given to them.
#[derive(Default)]
struct Seen {
    /// Manifest keys that were published as active.
    active: BTreeSet<String>,
    /// Whole key sets that somebody pinned.
    sets: Vec<Jwks>,
    /// Key and time.
    signed: Vec<(String, i64)>,
}

impl Seen {
    fn look(&mut self, ring: &Keyring, clock: &Clock) {
        let (manifest, at) = ring.manifest(clock);
        self.active.insert(manifest.kid().to_owned());
        self.signed.push((manifest.kid().to_owned(), at));
        let (answer, at) = ring.acknowledgement(clock);
        self.signed.push((answer.kid().to_owned(), at));
        self.signed.push((ring.log()[0].kid().to_owned(), at));
        self.sets.push(ring.jwks());
    }

    fn check(&self, ring: &Keyring) -> Result<(), TestCaseError> {
        let published = published(ring);
        let from_one = self.active.iter().map(|kid| published.pinned(&[kid]));
        for pinned in from_one.chain(self.sets.iter().cloned()) {
            let reached = published.follow(&pinned).unwrap();
            for key in published.jwks().keys() {
                prop_assert!(reached.find(key.kid()).is_some(), "{key:?} from {pinned:?}");
            }
            for (kid, at) in &self.signed {
                let at = Timestamp::of_unix(*at);
                let key = reached.find(kid).unwrap();
                prop_assert!(key.serves_at(&at), "{key:?} at {at:?} from {pinned:?}");
            }
        }
        Ok(())
    }
}

fn published(ring: &Keyring) -> PublishedKeys {
    let mut document: serde_json::Value = serde_json::from_str(&ring.jwks().to_json()).unwrap();
    let words =
        ring.endorsements().into_iter().map(|e| serde_json::from_str::<serde_json::Value>(&e).unwrap());
    document["endorsements"] = words.collect();
    document["node"] = NODE.into();
    PublishedKeys::from_json(document.to_string().as_bytes()).unwrap()
}

/// Runs `work` while the manifest key in service cannot sign.
fn unplugged<T>(ring: &Keyring, work: impl FnOnce() -> T) -> T {
    let held = ring.current.read().manifest.clone();
    let PublicKey::P256(point) = *held.public_jwk().public_key() else {
        panic!("manifest keys are of P-256")
    };
    ring.current.write().manifest = Arc::new(ManifestKey::external(point, Arc::new(Away)));
    let done = work();
    ring.current.write().manifest = held;
    done
}

fn due(ring: &Keyring, clock: &Clock) {
    for kind in ring.due(clock.now()).0 {
        ring.activate(kind, NODE, clock).unwrap();
    }
    ring.tidy(NODE, clock).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_key_is_reached_from_every_manifest_key_that_was_ever_active(
        steps in prop::collection::vec(step(), 1..24)
    ) {
        let site = Site::made();
        let mut clock = Clock::default();
        let mut ring = site.open().unwrap();
        ring.tidy(NODE, &clock).unwrap();
        let mut seen = Seen::default();
        for step in steps {
            if !matches!(step, Step::Restart) {
                seen.look(&ring, &clock);
            }
            match step {
                Step::Begin(kind, hours) => {
                    ring.begin(kind, NODE, clock.now() + hours * HOUR, &clock).unwrap();
                }
                Step::Hurry(kind) => drop(ring.activate(kind, NODE, &clock).unwrap()),
                Step::Rotate(kind) => site_rotate(&ring, kind, &clock),
                Step::Wait(seconds) => {
                    clock.observe(clock.now() + seconds);
                    due(&ring, &clock);
                }
                Step::Restart => {
                    clock = Clock::default();
                    clock.observe(seen.signed.iter().map(|(_, at)| *at).max().unwrap_or(0));
                    ring = site.open().unwrap();
                }
                Step::Fail(kind) => {
                    let before = (ring.jwks(), ring.endorsements());
                    if unplugged(&ring, || ring.activate(kind, NODE, &clock)).is_err() {
                        prop_assert_eq!((ring.jwks(), ring.endorsements()), before);
                        prop_assert!(ring.activate(kind, NODE, &clock).unwrap().is_some(), "it may be tried again");
                    }
                }
            }
            seen.check(&ring)?;
        }
        seen.look(&ring, &clock);
        seen.check(&site.open().unwrap())?;
    }
}

fn site_rotate(ring: &Keyring, kind: KeyKind, clock: &Clock) {
    ring.begin(kind, NODE, clock.now(), clock).unwrap();
    ring.activate(kind, NODE, clock).unwrap().unwrap();
}

/// As an officer did it: announced, then hurried, then another key changed by the new one.
#[test]
fn a_manifest_key_that_is_hurried_leaves_nobody_behind() {
    let site = Site::made();
    let ring = site.open().unwrap();
    ring.tidy(NODE, &site.clock).unwrap();
    let pinned = Jwks::new([ring.manifest(&site.clock).0.public_jwk().clone()]);
    let next = ring.begin(KeyKind::Manifest, NODE, site.clock.now() + 168 * HOUR, &site.clock).unwrap();
    let before = (ring.jwks(), ring.endorsements());
    let failed = unplugged(&ring, || ring.activate(KeyKind::Manifest, NODE, &site.clock));
    assert_eq!(failed.unwrap_err().code(), "keys.signing");
    assert_eq!((ring.jwks(), ring.endorsements()), before, "without the old key's word nothing changes");
    assert_eq!(ring.activate(KeyKind::Manifest, NODE, &site.clock).unwrap().unwrap().kid, next.kid);
    site.rotate(&ring, KeyKind::Log);
    let published = published(&ring);
    let reached = published.follow(&pinned).unwrap();
    assert_eq!(reached.keys().len(), published.jwks().keys().len());
    assert!(VerifiedCheckpoint::open_with_jwks(&checkpoint(&ring), NODE, &reached).is_ok());
}
