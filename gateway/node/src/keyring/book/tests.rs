use super::*;
use proptest::prelude::*;
use xinqiao_evidence::endorsement::PublishedKeys;

const NODE: &str = "xm.example/350200-credit";
const HOUR: i64 = 3_600;

fn public(kind: KeyKind, mark: u8) -> Option<Jwk> {
    let key_use = kind.key_use()?;
    let mut bytes = [mark; 32];
    bytes[0] = kind as u8;
    Some(Jwk::new(xinqiao_evidence::keys::PublicKey::Ed25519(bytes), key_use))
}

fn fact(kind: KeyKind, mark: u8, state: KeyState, created: i64, activates: Option<i64>) -> Fact {
    let public = public(kind, mark);
    Fact {
        kid: public.as_ref().map_or_else(|| format!("at-rest-{mark}"), |p| p.kid().to_owned()),
        kind,
        state,
        created,
        activates,
        retired: None,
        place: Place::Gone,
        public,
        noted: Some(state),
    }
}

fn book() -> Book {
    Book {
        version: VERSION,
        seal: SealFact::Plain,
        record: "record.secret".into(),
        at_rest: "at-rest.secret".into(),
        keys: KeyKind::ALL.into_iter().map(|kind| fact(kind, 0, KeyState::Active, 0, None)).collect(),
        endorsements: Vec::new(),
        leaving: Vec::new(),
    }
}

/// What may happen to a book.
#[derive(Debug, Clone)]
enum Step {
    Begin(usize, i64),
    Activate(usize),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0usize..3, 0i64..200).prop_map(|(kind, hours)| Step::Begin(kind, hours * HOUR)),
        (0usize..3).prop_map(Step::Activate),
        (0i64..100 * HOUR).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever officers and schedule do, and in whatever order: the book stays sound, comes back from its file, and at
    /// every second some key of each kind serves, the one that signs at that second among them.
    #[test]
    fn at_every_second_the_key_that_signs_is_one_that_serves(steps in prop::collection::vec(step(), 1..60)) {
        let mut book = book();
        let mut now = 1_000_000;
        let mut mark = 0u8;
        let mut signed: Vec<(KeyKind, String, i64)> = Vec::new();
        for step in steps {
            match step {
                Step::Begin(kind, wait) => {
                    let kind = KeyKind::SIGNING[kind];
                    if book.find(kind, KeyState::Pending).is_none() {
                        mark += 1;
                        book.keys.push(fact(kind, mark, KeyState::Pending, now, Some(now + wait)));
                    }
                }
                Step::Activate(kind) => {
                    let kind = KeyKind::SIGNING[kind];
                    let had = book.find(kind, KeyState::Pending).map(|k| k.kid.clone());
                    // Before and after within one second.
                    signed.push((kind, book.find(kind, KeyState::Active).unwrap().kid.clone(), now));
                    prop_assert_eq!(book.activate(kind, now), had.is_some());
                    if let Some(kid) = had {
                        prop_assert_eq!(&book.find(kind, KeyState::Active).unwrap().kid, &kid);
                    }
                    signed.push((kind, book.find(kind, KeyState::Active).unwrap().kid.clone(), now));
                }
                Step::Wait(seconds) => {
                    now += seconds;
                    for kind in book.due(now) {
                        book.activate(kind, now);
                    }
                    prop_assert!(book.due(now).is_empty());
                }
            }
            for kind in KeyKind::SIGNING {
                signed.push((kind, book.find(kind, KeyState::Active).unwrap().kid.clone(), now));
            }
            prop_assert!(book.is_sound());
        }
        let read: Book = serde_json::from_slice(&serde_json::to_vec(&book).unwrap()).unwrap();
        prop_assert_eq!(&read, &book);
        let jwks = book.jwks();
        prop_assert_eq!(jwks.keys().len(), book.keys.len() - 1);
        for (kind, kid, at) in signed {
            let key = jwks.find(&kid).unwrap();
            prop_assert!(key.serves_at(&Timestamp::of_unix(at)), "{kind:?} {key:?} at {at}");
        }
    }
}

#[test]
fn the_schedule_publishes_a_successor_in_time() {
    let mut book = book();
    let (serves, pending) = (100 * HOUR, 10 * HOUR);
    assert!(!book.wants_successor(KeyKind::Log, serves, pending, 89 * HOUR));
    assert!(book.wants_successor(KeyKind::Log, serves, pending, 90 * HOUR));
    assert!(!book.wants_successor(KeyKind::Log, 0, pending, 90 * HOUR), "by hand only");
    book.keys.push(fact(KeyKind::Log, 1, KeyState::Pending, 90 * HOUR, Some(100 * HOUR)));
    assert!(!book.wants_successor(KeyKind::Log, serves, pending, 95 * HOUR), "one is enough");
    assert!(book.due(100 * HOUR - 1).is_empty());
    assert_eq!(book.due(100 * HOUR), [KeyKind::Log]);
    book.activate(KeyKind::Log, 107 * HOUR);
    assert_eq!(book.find(KeyKind::Log, KeyState::Active).unwrap().activates, Some(100 * HOUR));
    assert!(!book.wants_successor(KeyKind::Log, serves, pending, 189 * HOUR));
    assert!(book.wants_successor(KeyKind::Log, serves, pending, 190 * HOUR));
    assert!(book.wants_successor(KeyKind::Manifest, HOUR, pending, HOUR), "pending longer than it serves");
}

#[test]
fn a_manifest_key_vouches_once_and_for_its_own_time() {
    let key = ManifestKey::generate().unwrap();
    let mut book = book();
    let own = book.keys.iter_mut().find(|k| k.kind == KeyKind::Manifest).unwrap();
    own.public = Some(key.public_jwk().clone());
    own.kid = key.kid().to_owned();
    own.activates = Some(50 * HOUR);
    let mut old = fact(KeyKind::Log, 7, KeyState::Retired, 0, None);
    old.retired = Some(49 * HOUR);
    let gone = old.kid.clone();
    book.keys.push(old);
    for _ in 0..3 {
        book.endorse(NODE, 60 * HOUR, &key).unwrap();
    }
    assert_eq!(book.endorsements.len(), 1);
    let mut document: serde_json::Value = serde_json::from_str(&book.jwks().to_json()).unwrap();
    document["node"] = NODE.into();
    document["endorsements"] =
        vec![serde_json::from_str::<serde_json::Value>(&book.endorsements[0].jws).unwrap()].into();
    let published = PublishedKeys::from_json(document.to_string().as_bytes()).unwrap();
    let all = published.follow(&published.pinned(&[key.kid()])).unwrap();
    assert!(all.find(&gone).is_none(), "retired before this key began");
    assert_eq!(all.keys().len(), 3);
}

#[test]
fn books_that_make_no_sense_are_refused() {
    type Change = fn(&mut Book);
    let cases: [Change; 6] = [
        |b| b.version = 2,
        |b| drop(b.keys.remove(0)),
        |b| b.keys[0].state = KeyState::Pending,
        |b| b.keys[1].kid = b.keys[0].kid.clone(),
        |b| b.keys[0].public = None,
        |b| b.keys.push(fact(KeyKind::Log, 3, KeyState::Active, 0, None)),
    ];
    assert!(book().is_sound());
    for (place, change) in cases.into_iter().enumerate() {
        let mut book = book();
        change(&mut book);
        assert!(!book.is_sound(), "case {place}");
    }
}
