//! Revocation lists, complete and as changes to earlier ones.
//!
//! Input: what it is, then a list as it comes, the changes to a signed one, or the numbers and serials of a complete list
//! and of changes to it.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use xinqiao_certs::pki::{Reason, Revoked, Validity};
use xinqiao_certs::{CertificateDer, RevocationList, UnixTime, certificates};

use super::Input;
use super::certificates::world;
use super::der::{
    BIT_STRING, ENUMERATED, OCTET_STRING, OID, SEQUENCE, UTC_TIME, content, element, integer, parts,
};

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    match input.byte() % 3 {
        0 => read(input.rest()),
        1 => changed(&input.damaged(&signed().0)),
        _ => laid_over(&mut input),
    }
}

/// A list that the authority signed, as DER and as read.
fn signed() -> &'static (Vec<u8>, RevocationList, CertificateDer<'static>) {
    static SIGNED: OnceLock<(Vec<u8>, RevocationList, CertificateDer<'static>)> = OnceLock::new();
    SIGNED.get_or_init(|| {
        let now = SystemTime::now();
        let revoked = |serial: u8| Revoked {
            serial: vec![serial, 1],
            time: now - Duration::from_secs(60),
            reason: Reason::KeyCompromise,
        };
        let entries: Vec<Revoked> = (1..4).map(revoked).collect();
        let pem = world().issuing.revocation_list(7, Validity::days(now, 30), &entries).expect("a list");
        let list = RevocationList::read("list", pem.as_bytes()).expect("just made");
        let der = list.documents().next().expect("one document").to_vec();
        let own = certificates("authority", world().issuing.certificate_pem().as_bytes());
        (der, list, own.expect("its own certificate").remove(0))
    })
}

/// A list is read from DER as from PEM, and is signed by no authority that did not sign it.
fn read(bytes: &[u8]) {
    let Ok(lists) = RevocationList::read_all([("list", bytes)]) else { return };
    for list in &lists {
        assert!(!list.is_signed_by(&signed().2), "a list by nobody is signed by an authority");
        let documents: Vec<(&str, &[u8])> = list.documents().map(|der| ("again", der)).collect();
        let again = RevocationList::read_all(documents).expect("what is archived is read");
        let [again] = &again[..] else { panic!("one list") };
        assert_eq!(summary(again), summary(list), "as it was");
    }
}

fn summary(list: &RevocationList) -> (usize, Option<String>, Option<String>, u64, Option<u64>, [u8; 32]) {
    let (number, base) = (list.number(), list.base_number());
    (list.entries(), number, base, list.this_update(), list.next_update(), list.digest())
}

/// What is still signed after a change revokes what it revoked.
fn changed(bytes: &[u8]) {
    let (_, good, authority) = signed();
    let Ok(list) = RevocationList::read("list", bytes) else { return };
    let _ = list.is_stale(UnixTime::now());
    if list.is_signed_by(authority) {
        let facts =
            |list: &RevocationList| (list.number(), list.this_update(), list.next_update(), list.entries());
        assert_eq!(facts(&list), facts(good), "a changed list is signed");
        assert!((1..4).all(|serial| list.revokes(&[serial, 1])), "and revokes something else");
    }
}

/// Changes as the model has them.
struct Delta {
    number: u64,
    base: u64,
    revoked: BTreeSet<u8>,
    removed: BTreeSet<u8>,
}

/// Of all changes that fit, the newest holds, in whatever order the files are given.
fn laid_over(input: &mut Input<'_>) {
    let number = small(input);
    let revoked = serials(input);
    let mut files = vec![list(number, None, &revoked, &BTreeSet::new())];
    let mut deltas = Vec::new();
    for _ in 0..input.byte() % 4 {
        let (number, base) = (small(input), small(input));
        let (revoked, mut removed) = (serials(input), serials(input));
        removed.retain(|serial| !revoked.contains(serial));
        if deltas.iter().any(|delta: &Delta| delta.number == number) {
            continue;
        }
        files.push(list(number, Some(base), &revoked, &removed));
        deltas.push(Delta { number, base, revoked, removed });
    }
    let turn = usize::from(input.byte()) % files.len();
    files.rotate_left(turn);
    let read = RevocationList::read_all(files.iter().map(|der| ("list", der.as_slice())));
    if deltas.iter().any(|delta| number < delta.base) {
        assert!(read.is_err(), "changes to a later list than is there are taken");
        return;
    }
    let lists = read.expect("lists that fit");
    let [list] = &lists[..] else { panic!("one list of one authority") };
    let newest = deltas.iter().filter(|delta| delta.number > number).max_by_key(|delta| delta.number);
    let expected: BTreeSet<u8> = match newest {
        None => revoked,
        Some(delta) => revoked.difference(&delta.removed).chain(&delta.revoked).copied().collect(),
    };
    let found: BTreeSet<u8> = (1..=8).filter(|serial| list.revokes(&[*serial])).collect();
    assert_eq!(found, expected, "the newest changes hold");
    assert_eq!(list.entries(), expected.len());
}

/// A number of one byte, of two or of more.
fn small(input: &mut Input<'_>) -> u64 {
    const NUMBERS: [u64; 8] = [0, 1, 2, 127, 128, 255, 256, 65_536];
    *input.choose(&NUMBERS)
}

fn serials(input: &mut Input<'_>) -> BTreeSet<u8> {
    let bits = input.byte();
    (1..=8).filter(|serial| bits >> (serial - 1) & 1 == 1).collect()
}

/// A list by the authority's name that nobody signed: reading does not ask, using does.
fn list(number: u64, base: Option<u64>, revoked: &BTreeSet<u8>, removed: &BTreeSet<u8>) -> Vec<u8> {
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
    const DELTA: &[u8] = &[0x55, 0x1d, 0x1b];
    const REASON: &[u8] = &[0x55, 0x1d, 0x15];
    const REMOVED: u8 = 8;
    let subject = parts(content(parts(content(&signed().2))[0]))[5];
    let time = |text: &[u8]| element(UTC_TIME, &[text]);
    let extension = |oid: &[u8], critical: bool, value: &[u8]| {
        let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
        element(SEQUENCE, &[&element(OID, &[oid]), critical, &element(OCTET_STRING, &[value])])
    };
    let entry = |serial: &u8, removed: bool| {
        let reason = extension(REASON, false, &element(ENUMERATED, &[&[REMOVED]]));
        let extensions = if removed { element(SEQUENCE, &[&reason]) } else { Vec::new() };
        element(SEQUENCE, &[&integer(u64::from(*serial)), &time(b"261120080000Z"), &extensions])
    };
    let entries: Vec<Vec<u8>> =
        revoked.iter().map(|s| entry(s, false)).chain(removed.iter().map(|s| entry(s, true))).collect();
    let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let entries = if entries.is_empty() { Vec::new() } else { element(SEQUENCE, &entries) };
    let mut extensions = vec![extension(CRL_NUMBER, false, &integer(number))];
    extensions.extend(base.map(|base| extension(DELTA, true, &integer(base))));
    let extensions: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
    let algorithm = element(SEQUENCE, &[&element(OID, &[ECDSA])]);
    let tbs = element(
        SEQUENCE,
        &[
            &integer(1),
            &algorithm,
            subject,
            &time(b"261121080000Z"),
            &time(b"271121080000Z"),
            &entries,
            &element(0xa0, &[&element(SEQUENCE, &extensions)]),
        ],
    );
    let nobody = element(SEQUENCE, &[&integer(7), &integer(7)]);
    element(SEQUENCE, &[&tbs, &algorithm, &element(BIT_STRING, &[&[0], &nobody])])
}
