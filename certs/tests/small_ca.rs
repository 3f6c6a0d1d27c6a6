//! The small authority in its directory, requests and answers, and a list of 100,000.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use xinqiao_certs::pki::{
    Authority, Entry, Installation, KeyRequest, Reason, Request, Revoked, SigningRequest, SmallCa, Validity,
    install, key_as_pkcs8, passphrase, seal_key, write_pair,
};
use xinqiao_certs::{
    AnchorRights, Details, Identity, Purpose, Revocation, RevocationList, RevocationPolicy, Role, Trust,
    TrustAnchors, UnixTime,
};
use xinqiao_explain::Explanation;

const DOMAIN: &str = "xm.example";
const SECRET: &[u8] = b"a long passphrase";

fn days(days: u64) -> Validity {
    Validity::days(SystemTime::now(), days)
}

fn new_ca(directory: &Path) -> SmallCa {
    SmallCa::init(directory, "City", &[DOMAIN], 4, Some(SECRET), SystemTime::now()).unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T, Explanation>) -> String {
    let error = result.unwrap_err();
    assert!(error.chinese().chars().any(|c| c > '\u{4e00}'), "{error}");
    error.code().to_owned()
}

#[test]
fn an_authority_issues_revokes_and_lists_from_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    drop(new_ca(directory.path()));
    let key = std::fs::read_to_string(directory.path().join("issuing.key")).unwrap();
    assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    assert_eq!(code(SmallCa::open(directory.path(), None)), "identity.key-encrypted");
    assert_eq!(code(SmallCa::open(directory.path(), Some(b"wrong"))), "identity.key-passphrase");
    assert_eq!(code(SmallCa::open(&directory.path().join("no"), None)), "pki.no-authority");
    let again = SmallCa::init(directory.path(), "City", &[DOMAIN], 4, Some(SECRET), now);
    assert_eq!(code(again), "file.unwritable", "an authority is not written over");

    let mut ca = SmallCa::open(directory.path(), Some(SECRET)).unwrap();
    let mut request = Request::new(Role::Department, DOMAIN, "health", days(90));
    request.uscc = Some("TESTUSCC0000000001");
    let issued = ca.issue(&request, now).unwrap();
    let details = Details::of(&issued.chain()[0]).unwrap();
    assert_eq!(details.member(), Some((DOMAIN, Role::Department, "health")));
    assert_eq!(details.uscc.as_deref(), Some("TESTUSCC0000000001"));
    let too_long = ca.issue(&Request::new(Role::Department, DOMAIN, "health", days(3 * 365)), now);
    assert_eq!(code(too_long), "pki.outlives-authority");
    assert_eq!(code(ca.revoke("00ff", Reason::default(), now)), "pki.serial-unknown");
    ca.revoke(&details.serial.to_uppercase(), Reason::KeyCompromise, now).unwrap();
    assert_eq!(code(ca.revoke(&details.serial, Reason::default(), now)), "pki.revoked-already");
    drop(ca);

    // A line that was cut when the machine went down does not keep the authority from opening.
    let index = directory.path().join("index.jsonl");
    let mut text = std::fs::read_to_string(&index).unwrap();
    text.push_str("{\"event\":\"iss");
    std::fs::write(&index, &text).unwrap();
    let mut ca = SmallCa::open(directory.path(), Some(SECRET)).unwrap();
    let (first, second) = (ca.list(7, now).unwrap(), ca.list(7, now).unwrap());
    let of_root = ca.root_list(Some(SECRET), 7, now).unwrap();
    let [first, second, of_root] =
        [first, second, of_root].map(|text| RevocationList::read("a.crl", text.as_bytes()).unwrap());
    assert_eq!((first.number().as_deref(), second.number().as_deref()), (Some("01"), Some("02")));
    assert!(first.revokes(issued.serial()) && second.revokes(issued.serial()));
    assert_eq!(of_root.entries(), 0);
    assert!(matches!(ca.index().entries().last(), Some(Entry::List { root: true, number: 1, .. })));
    let later = now + Duration::from_secs(91 * 86_400);
    let after = RevocationList::read("a.crl", ca.list(7, later).unwrap().as_bytes()).unwrap();
    assert_eq!(after.entries(), 0, "what is over by itself leaves the list");

    let mut anchors = TrustAnchors::new();
    let rights = AnchorRights::new([DOMAIN], Role::ALL);
    anchors.add_pem("city", ca.authority().root_pem().as_bytes(), rights, UnixTime::now()).unwrap();
    let policy = RevocationPolicy { demand_status: true, demand_current: true, grace: Duration::ZERO };
    let trust = Trust::new(anchors, Revocation::new(vec![second, of_root], policy)).unwrap();
    let own = |issued: &xinqiao_certs::pki::Issued| {
        Identity::from_pem(issued.chain_pem().as_bytes(), issued.key_pem().as_bytes(), UnixTime::now())
            .unwrap()
    };
    let revoked = own(&issued).check_as_client(&trust, UnixTime::now()).unwrap_err();
    assert_eq!(revoked.code(), "identity.revoked");
    let good = ca.issue(&Request::new(Role::Department, DOMAIN, "tax", days(90)), now).unwrap();
    let check = |role| own(&good).check_as_member(&trust, DOMAIN, role, Some("tax"), UnixTime::now());
    assert_eq!(check(Role::Department), Ok(()));
    assert_eq!(check(Role::Node).unwrap_err().code(), "identity.other-role");
    drop(ca);
    std::fs::write(&index, text.replacen("created", "creeted", 1) + "\n").unwrap();
    assert_eq!(code(SmallCa::open(directory.path(), Some(SECRET))), "pki.index-damaged");
}

#[test]
fn a_request_goes_out_and_its_answer_comes_in_whatever_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let mut ca = new_ca(&at("ca"));
    let now = SystemTime::now();
    let mut request = Request::new(Role::Node, DOMAIN, "350200-credit", days(90));
    request.uscc = Some("TESTUSCC0000000001");
    request.dns.push("gw.xm.example".into());
    request.ips.push("10.0.0.1".parse().unwrap());
    let made = KeyRequest::create(&request).unwrap();
    assert!(!format!("{made:?}").contains("BEGIN"));
    let asked = SigningRequest::read("a.csr", made.request_pem().as_bytes()).unwrap();
    assert_eq!(asked.member, Some((DOMAIN.into(), Role::Node, "350200-credit".into())));
    assert_eq!(asked.uscc.as_deref(), Some("TESTUSCC0000000001"));
    assert_eq!((asked.dns.as_slice(), asked.ips.as_slice()), (&request.dns[..], &request.ips[..]));
    let damaged = made.request_pem().replacen("MII", "MIJ", 1);
    let refused = code(SigningRequest::read("a.csr", damaged.as_bytes()));
    assert!(refused.starts_with("request."), "{refused}");
    assert_eq!(code(SigningRequest::read("a.csr", b"nonsense")), "request.malformed");

    let signed = ca.sign(&asked.as_request(days(90)).unwrap(), &asked, now).unwrap();
    let root = ca.authority().root_pem();
    let split = signed.chain_pem.find("-----END CERTIFICATE-----\n").unwrap() + 26;
    let soup =
        format!("subject=x\n{root}{}words\n{}", &signed.chain_pem[split..], &signed.chain_pem[..split]);
    std::fs::write(at("answer.pem"), &soup).unwrap();
    std::fs::write(at("new.key"), made.key_pem()).unwrap();
    let names = ["gw.xm.example".to_owned()];
    let (answer, key, certificate_to, key_to) =
        (at("answer.pem"), at("new.key"), at("node.crt"), at("node.key"));
    let anchors = [("root.crt", root.as_bytes())];
    let installation = Installation {
        response: &answer,
        key: &key,
        passphrase: None,
        anchors: &anchors,
        purpose: Purpose::Server { names: &names },
        certificate_to: &certificate_to,
        key_to: &key_to,
    };
    let other = ["other.example".to_owned()];
    let wrong = Installation { purpose: Purpose::Server { names: &other }, ..installation };
    let refused = install(&wrong, UnixTime::now()).unwrap_err();
    assert_eq!(refused.iter().map(|e| e.code()).collect::<Vec<_>>(), ["identity.wrong-name"]);
    assert!(!certificate_to.exists() && !key_to.exists(), "a refused answer changes nothing");
    assert_eq!(install(&installation, UnixTime::now()).unwrap(), []);
    assert_eq!(std::fs::read_to_string(&certificate_to).unwrap(), signed.chain_pem);
    assert!(Identity::from_files(&certificate_to, &key_to, UnixTime::now()).is_ok());
    std::fs::write(&key, KeyRequest::create(&request).unwrap().key_pem()).unwrap();
    let refused = install(&installation, UnixTime::now()).unwrap_err();
    assert_eq!(refused[0].code(), "identity.key-mismatch");
}

#[test]
fn a_pair_that_is_replaced_is_never_read_torn() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("a.crt"), directory.path().join("a.key"));
    let city = Authority::create_root("City", &[DOMAIN], days(30)).unwrap();
    let pairs: Vec<_> = (0..2)
        .map(|_| city.issue(&Request::new(Role::Department, DOMAIN, "health", days(7))).unwrap())
        .collect();
    let put = |at: usize| {
        let pair = &pairs[at % 2];
        write_pair(&certificate, pair.chain_pem().as_bytes(), &key, pair.key_pem().as_bytes()).unwrap();
    };
    put(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (1..150).for_each(put);
            done.store(true, Ordering::Release);
        });
        let mut read = 0;
        while !done.load(Ordering::Acquire) || read == 0 {
            Identity::from_files(&certificate, &key, UnixTime::now()).unwrap();
            read += 1;
        }
    });
    // The pair, and the certificate before it.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn keys_are_sealed_and_passphrase_files_judged() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let city = Authority::create_root("City", &[DOMAIN], days(30)).unwrap();
    let sealed = seal_key(&city.key_pem(), SECRET).unwrap();
    let opened = key_as_pkcs8("root.key", sealed.as_bytes(), Some(SECRET)).unwrap();
    assert_eq!(*opened, *key_as_pkcs8("root.key", city.key_pem().as_bytes(), None).unwrap());
    let file = directory.path().join("pass");
    let put = |text: &str, mode| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        passphrase(&file)
    };
    assert_eq!(put("a long passphrase\n", 0o600).unwrap().as_slice(), SECRET);
    assert_eq!(code(put("a long passphrase\n", 0o640)), "file.too-open");
    assert_eq!(code(put("short\n", 0o600)), "pki.passphrase-short");
    assert_eq!(code(put("two lines of\npassphrase\n", 0o600)), "pki.passphrase-short");
}

/// The figures stand in the report of this test (`--nocapture`); the bound only keeps a linear search out.
#[test]
fn a_list_of_100_000_is_searched_at_once() {
    const ENTRIES: u32 = 100_000;
    let city = Authority::create_root("City", &[DOMAIN], days(30)).unwrap();
    let serial = |n: u32| {
        let mut serial = vec![0x40; 16];
        serial[8..12].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
        serial
    };
    let time = SystemTime::now();
    let revoked: Vec<Revoked> =
        (0..ENTRIES).map(|n| Revoked { serial: serial(n), time, reason: Reason::default() }).collect();
    let text = city.revocation_list(1, days(7), &revoked).unwrap();
    let began = Instant::now();
    let list = RevocationList::read("large.crl", text.as_bytes()).unwrap();
    let read = began.elapsed();
    assert_eq!(list.entries(), ENTRIES as usize);
    let began = Instant::now();
    let found = (0..ENTRIES).filter(|n| list.revokes(&serial(*n))).count();
    let each = began.elapsed() / ENTRIES;
    assert_eq!(found, ENTRIES as usize);
    assert!(!list.revokes(&[0x41; 16]));
    println!(
        "read in {read:?}, {each:?} a look-up, {} bytes of DER",
        list.documents().map(<[u8]>::len).sum::<usize>()
    );
    assert!(each < Duration::from_micros(50), "{each:?}");
}
