//! Certificates as they come in files and handshakes: DER, PEM with anything between, PKCS#7, requests.
//!
//! Input: what it is, then bytes as they come, or the changes to a good document.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use xinqiao_certs::pki::{self, Authority, Issued, KeyRequest, Request, SigningRequest, Validity};
use xinqiao_certs::{
    AnchorRights, Bundle, CertificateDer, Details, Member, PublicKeyPin, Purpose, Registry, Revocation, Role,
    Trust, TrustAnchors, UnixTime, certificates, to_pem,
};

use super::Input;
use super::der::{INTEGER, OID, SEQUENCE, SET, element};

/// An authority, a member it certified, and a node that trusts it.
pub(super) struct World {
    pub(super) issuing: Authority,
    pub(super) issued: Issued,
    pub(super) root_pem: String,
    pub(super) registry: Registry,
    request: KeyRequest,
}

pub(super) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let days = |count| Validity::days(SystemTime::now(), count);
        let root = Authority::create_root("Sample Root", &["xm.example"], days(900)).expect("a root");
        let issuing = root.issue_intermediate("Sample Issuing", days(800)).expect("an authority");
        let request = Request::new(Role::Department, "xm.example", "health", days(700));
        let issued = issuing.issue(&request).expect("a certificate");
        let request = KeyRequest::create(&request).expect("a request");
        let root_pem = root.root_pem();
        let mut anchors = TrustAnchors::new();
        let rights = AnchorRights::new(["xm.example"], [Role::Department]);
        anchors.add_pem("root", root_pem.as_bytes(), rights, UnixTime::now()).expect("a root");
        let trust: Arc<Trust> = Trust::new(anchors, Revocation::none()).expect("a trust");
        let member = Member::new("xm.example", Role::Department, "health");
        let registry = Registry::new(vec![member], trust).expect("one member");
        World { issuing, issued, root_pem, registry, request }
    })
}

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let world = world();
    match input.byte() % 8 {
        0 => file(input.rest()),
        1 => bundle(input.rest()),
        2 => drop(SigningRequest::read("request", input.rest())),
        3 => presented(&mut input),
        4 => file(&input.damaged(&p7b(world.issued.chain()))),
        5 => bundle(&input.damaged(world.issued.chain_pem().as_bytes())),
        6 => request(&input.damaged(world.request.request_pem().as_bytes())),
        _ => file(&input.damaged(&world.issued.chain()[0])),
    }
}

/// Whatever certificates a file holds are written as PEM and read again, and put in order without adding any.
fn file(bytes: &[u8]) {
    let Ok(found) = pki::certificates("file", bytes) else { return };
    assert!(!found.is_empty(), "a file without certificates is refused");
    let again = certificates("file", to_pem(&found).as_bytes()).expect("what is written is read");
    assert_eq!(again, found, "as it was written");
    for der in &found {
        let details = Details::of(der).expect("it was read above");
        let pin = PublicKeyPin::of(der).expect("it was read above");
        assert_eq!(details.public_key, pin.to_string(), "one key has one pin");
        assert_eq!(PublicKeyPin::try_from(pin.to_string()), Ok(pin), "a pin is read as written");
        let plan = details.plan();
        assert!(plan.due() <= details.not_after.max(details.not_before), "renewal is due before the end");
        let _ = details.member();
        let chain = pki::arrange("file", &found, &pin).expect("the key is there");
        assert_eq!(PublicKeyPin::of(&chain[0]), Ok(pin), "the leaf is the key's");
        assert!(chain.iter().all(|one| found.contains(one)), "nothing is added");
    }
}

/// A chain that nobody finds fault with is the one that was issued.
fn bundle(bytes: &[u8]) {
    let world = world();
    let key = world.issued.key_pem();
    let bundle = Bundle {
        chain: ("chain", bytes),
        key: Some(("key", key.as_bytes())),
        passphrase: None,
        anchors: &[("root", world.root_pem.as_bytes())],
        lists: &[],
        purpose: Purpose::Member {
            trust_domain: Some("xm.example"),
            role: Role::Department,
            name: Some("health"),
        },
    };
    let findings = bundle.examine(UnixTime::now());
    if !findings.iter().any(|finding| finding.is_error()) {
        let found = certificates("chain", bytes).expect("it was read");
        assert_eq!(found[0], world.issued.chain()[0], "a changed certificate is found good");
    }
    let mut anchors = TrustAnchors::new();
    let _ = anchors.add_pem("anchor", bytes, AnchorRights::default(), UnixTime::now());
    let _ = Trust::new(anchors, Revocation::none());
}

/// A changed certificate identifies nobody.
fn presented(input: &mut Input<'_>) {
    let world = world();
    let mut chain = world.issued.chain()[..2].to_vec();
    let at = usize::from(input.byte() % 2);
    let changed = CertificateDer::from(input.damaged(&chain[at]));
    chain[at] = changed;
    let is_same = chain[..] == world.issued.chain()[..2];
    match world.registry.identify(&chain, UnixTime::now()) {
        Ok(member) => {
            assert!(is_same, "a changed certificate identifies a member");
            assert_eq!(member.name(), "health");
        }
        Err(_) => assert!(!is_same, "the certificate that was issued identifies nobody"),
    }
    let _ = world.registry.trust().check_server(&chain, UnixTime::now());
}

/// A request that is read names its own key; its signature is checked, so a changed key is not taken.
fn request(bytes: &[u8]) {
    let Ok(read) = SigningRequest::read("request", bytes) else { return };
    let good = SigningRequest::read("request", world().request.request_pem().as_bytes()).expect("a request");
    assert_eq!(read.pin(), good.pin(), "a request for another key is taken");
}

/// The certificates alone in a PKCS#7 SignedData, as authorities hand them out.
fn p7b(chain: &[CertificateDer<'_>]) -> Vec<u8> {
    const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
    const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
    let certificates: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
    let signed = element(
        SEQUENCE,
        &[
            &element(INTEGER, &[&[1]]),
            &element(SET, &[]),
            &element(SEQUENCE, &[&element(OID, &[DATA])]),
            &element(0xa0, &certificates),
            &element(SET, &[]),
        ],
    );
    element(SEQUENCE, &[&element(OID, &[SIGNED_DATA]), &element(0xa0, &[&signed])])
}
