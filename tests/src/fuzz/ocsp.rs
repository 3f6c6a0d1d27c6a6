//! OCSP responses that a node would staple.
//!
//! Input: what it is, then bytes as they come, or what a response says and the changes to it. Nobody signs these, so none
//! may pass where the issuer is known; where it is not, only what they say is judged.

use std::sync::OnceLock;

use xinqiao_certs::{Identity, UnixTime, to_pem};
use xinqiao_evidence::Digest;

use super::Input;
use super::certificates::world;
use super::der::{
    BIT_STRING, ENUMERATED, GENERALIZED_TIME, OCTET_STRING, OID, SEQUENCE, content, element, parts,
};

const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// When responses are judged: 2026-11-21 08:00:00 UTC.
const NOW: u64 = 1_795_248_000;
/// Around that moment, with the seconds since 1970.
const TIMES: [(&[u8], u64); 5] = [
    (b"19700101000000Z", 0),
    (b"20261121075959Z", NOW - 1),
    (b"20261121080000Z", NOW),
    (b"20261121080501Z", NOW + 301),
    (b"20271121080000Z", NOW + 31_536_000),
];
/// Good, revoked, unknown, and what is none of these.
const STATES: [u8; 4] = [0x80, 0xa1, 0x82, 0x83];

struct Stapler {
    /// With its issuer in the chain.
    whole: Identity,
    /// Without.
    alone: Identity,
    /// How responses name its certificate.
    id: Vec<u8>,
}

fn stapler() -> &'static Stapler {
    static STAPLER: OnceLock<Stapler> = OnceLock::new();
    STAPLER.get_or_init(|| {
        let issued = &world().issued;
        let identity = |count| {
            let chain = to_pem(&issued.chain()[..count]);
            Identity::from_pem(chain.as_bytes(), issued.key_pem().as_bytes(), UnixTime::now())
                .expect("just issued")
        };
        // Version, serial, algorithm, issuer, validity, subject, key.
        let fields = |at: usize| parts(content(parts(content(&issued.chain()[at]))[0]));
        let (leaf, issuer) = (fields(0), fields(1));
        let key = &content(parts(content(issuer[6]))[1])[1..];
        let hash = |bytes: &[u8]| element(OCTET_STRING, &[Digest::of(bytes).as_bytes()]);
        let algorithm = element(SEQUENCE, &[&element(OID, &[SHA256])]);
        let id = element(SEQUENCE, &[&algorithm, &hash(leaf[3]), &hash(key), leaf[1]]);
        Stapler { whole: identity(2), alone: identity(1), id }
    })
}

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    if input.byte().is_multiple_of(2) {
        let bytes = input.rest();
        refused_unsigned(bytes);
        let _ = staple(&stapler().alone, bytes);
        return;
    }
    let (mut singles, mut expected) = (Vec::new(), None);
    for _ in 0..=input.byte() % 3 {
        let (own, state) = (!input.byte().is_multiple_of(4), *input.choose(&STATES));
        let (this, next) = (*input.choose(&TIMES), input.byte());
        let next = (next % 2 == 0).then(|| TIMES[usize::from(next / 2) % TIMES.len()]);
        singles.push(single(own, state, this.0, next.map(|next| next.0)));
        if own && expected.is_none() {
            let current = this.1 <= NOW + 300 && next.is_none_or(|next| NOW <= next.1);
            expected = Some((state == STATES[0] && current).then_some(next.map(|next| next.1)));
        }
    }
    let response = response(&singles);
    refused_unsigned(&response);
    assert_eq!(
        staple(&stapler().alone, &response),
        expected.flatten(),
        "a response is taken by what it says"
    );
    let changed = input.damaged(&response);
    refused_unsigned(&changed);
    let _ = staple(&stapler().alone, &changed);
}

fn refused_unsigned(response: &[u8]) {
    assert_eq!(staple(&stapler().whole, response), None, "a response that nobody signed is stapled");
}

/// The next update of a response that is taken.
fn staple(identity: &Identity, response: &[u8]) -> Option<Option<u64>> {
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW));
    let with = identity.clone().with_ocsp(response, now).ok()?;
    assert!(with.has_ocsp());
    Some(with.ocsp_next_update())
}

/// What is said of one certificate.
fn single(own: bool, state: u8, this: &[u8], next: Option<&[u8]>) -> Vec<u8> {
    let mut id = stapler().id.clone();
    if !own {
        // Another serial number.
        *id.last_mut().expect("an id has bytes") ^= 1;
    }
    let state = match state {
        0xa1 => element(state, &[&element(GENERALIZED_TIME, &[this])]),
        _ => element(state, &[]),
    };
    let this = element(GENERALIZED_TIME, &[this]);
    let next = next.map(|next| element(0xa0, &[&element(GENERALIZED_TIME, &[next])])).unwrap_or_default();
    element(SEQUENCE, &[&id, &state, &this, &next])
}

/// A response whose signature is nobody's.
fn response(singles: &[Vec<u8>]) -> Vec<u8> {
    let singles: Vec<&[u8]> = singles.iter().map(Vec::as_slice).collect();
    let responder = element(0xa2, &[&element(OCTET_STRING, &[&[7; 20]])]);
    let produced = element(GENERALIZED_TIME, &[TIMES[1].0]);
    let data = element(SEQUENCE, &[&responder, &produced, &element(SEQUENCE, &singles)]);
    let algorithm = element(SEQUENCE, &[&element(OID, &[ECDSA])]);
    let nobody = element(SEQUENCE, &[&[0x02, 1, 7], &[0x02, 1, 7]]);
    let signature = element(BIT_STRING, &[&[0], &nobody]);
    let basic = element(SEQUENCE, &[&data, &algorithm, &signature]);
    let bytes = element(SEQUENCE, &[&element(OID, &[BASIC]), &element(OCTET_STRING, &[&basic])]);
    element(SEQUENCE, &[&element(ENUMERATED, &[&[0]]), &element(0xa0, &[&bytes])])
}
