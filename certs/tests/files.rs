//! What bad files get, and what good ones look like on disk.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};
use xinqiao_certs::pki::{Authority, Issued, Request, Validity};
use xinqiao_certs::{Identity, Member, PublicKeyPin, Role, TrustAnchors, UnixTime};
use xinqiao_explain::Explanation;

const DOMAIN: &str = "xm.example";

fn authority() -> Authority {
    Authority::create_root("City Root", &[DOMAIN], Validity::days(SystemTime::now(), 30)).unwrap()
}

fn issue(authority: &Authority) -> Issued {
    let validity = Validity::days(SystemTime::now(), 7);
    authority.issue(&Request::new(Role::Department, DOMAIN, "health", validity)).unwrap()
}

fn load(chain: &str, key: &str) -> Result<Identity, Explanation> {
    Identity::from_pem(chain.as_bytes(), key.as_bytes(), UnixTime::now())
}

fn refused(chain: &str, key: &str) -> std::borrow::Cow<'static, str> {
    let error = load(chain, key).unwrap_err();
    assert!(error.chinese().chars().any(|c| c > '\u{4e00}'));
    assert!(!error.to_string().contains(key.lines().nth(1).unwrap_or("----")));
    error.into_code()
}

#[test]
fn each_mistake_has_its_own_code() {
    let city = authority();
    let issuing = city.issue_intermediate("City Issuing", Validity::days(SystemTime::now(), 20)).unwrap();
    let (one, other) = (issue(&issuing), issue(&issuing));
    let (chain, key) = (one.chain_pem(), one.key_pem());
    assert!(load(chain, key).is_ok());
    assert_eq!(refused("", key), "certificate.none-in-file");
    assert_eq!(refused(key, key), "certificate.none-in-file");
    assert_eq!(refused(&chain.replacen("END CERT", "END CRET", 1), key), "pem.malformed");
    assert_eq!(
        refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key),
        "certificate.malformed"
    );
    assert_eq!(refused(chain, chain), "identity.key-missing");
    assert_eq!(refused(chain, other.key_pem()), "identity.key-mismatch");
    assert_eq!(refused(chain, &format!("{key}{}", other.key_pem())), "identity.key-several");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(refused(chain, encrypted), "identity.key-encrypted");
    let legacy = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
    assert_eq!(refused(chain, legacy), "identity.key-encrypted");
    assert_eq!(
        refused(chain, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        "identity.key-unusable"
    );
    let split = chain.find("-----END CERTIFICATE-----\n").unwrap() + 26;
    let reversed = format!("{}{}", &chain[split..], &chain[..split]);
    assert_eq!(refused(&reversed, key), "identity.chain-order");
    let skipping = format!("{}{}", &chain[..split], city.root_pem());
    assert_eq!(refused(&skipping, key), "identity.chain-broken");
}

#[test]
fn validity_is_checked_at_the_time_given() {
    let issued = issue(&authority());
    let at = |offset: i64| {
        let seconds = UnixTime::now().as_secs().checked_add_signed(offset).unwrap();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        Identity::from_pem(issued.chain_pem().as_bytes(), issued.key_pem().as_bytes(), time)
            .map_err(|e| e.into_code())
    };
    assert_eq!(at(-86_400).unwrap_err(), "identity.not-yet-valid");
    assert!(at(0).is_ok());
    assert_eq!(at(8 * 86_400).unwrap_err(), "identity.expired");
}

#[test]
fn debug_output_redacts_keys() {
    let city = authority();
    let issued = issue(&city);
    let secret = issued.key_pem().lines().nth(1).unwrap().to_owned();
    let identity = load(issued.chain_pem(), issued.key_pem()).unwrap();
    for shown in [format!("{issued:?}"), format!("{identity:?}"), format!("{city:?}")] {
        assert!(shown.contains("redacted"), "{shown}");
        assert!(!shown.contains(&secret));
    }
}

#[test]
fn keys_are_written_for_their_owner_only_and_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let city = authority();
    let issued = issue(&city);
    for _ in 0..2 {
        issued.write_to(directory.path(), "health").unwrap();
        city.write_to(directory.path(), "root").unwrap();
    }
    for name in ["health.key", "root.key"] {
        let mode = std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // The certificate that was there before stays beside the new one, its key does not.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 5);
    let previous = std::fs::read(directory.path().join("health.crt.previous")).unwrap();
    assert_eq!(previous, issued.chain_pem().as_bytes());
    let (chain, key) = (directory.path().join("health.crt"), directory.path().join("health.key"));
    assert!(Identity::from_files(&chain, &key, UnixTime::now()).is_ok());
    let missing =
        Identity::from_files(&directory.path().join("none.crt"), &key, UnixTime::now()).unwrap_err();
    assert_eq!(missing.code(), "file.unreadable");
    let root_chain = std::fs::read(directory.path().join("root.crt")).unwrap();
    let root_key = std::fs::read_to_string(directory.path().join("root.key")).unwrap();
    let again = Authority::open(&root_chain, &root_key, &[DOMAIN]).unwrap();
    assert_eq!(again.root_pem(), city.root_pem());
    assert!(load(issue(&again).chain_pem(), issued.key_pem()).is_err());
    let other = authority();
    assert_eq!(
        Authority::open(&root_chain, &other.key_pem(), &[DOMAIN]).unwrap_err().code(),
        "pki.authority-unusable"
    );
}

#[test]
fn an_authority_keeps_to_its_domains_and_to_good_names() {
    let city = authority();
    let validity = Validity::days(SystemTime::now(), 7);
    let code = |domain, name| {
        city.issue(&Request::new(Role::Department, domain, name, validity)).unwrap_err().into_code()
    };
    assert_eq!(code("fj.example", "health"), "pki.domain-not-ours");
    assert_eq!(code(DOMAIN, "He alth"), "pki.name-malformed");
    assert_eq!(code(DOMAIN, "a/b"), "pki.name-malformed");
}

#[test]
fn a_leaf_is_no_anchor_and_no_anchor_counts_twice() {
    let city = authority();
    let issued = issue(&city);
    let now = UnixTime::now();
    let leaf = TrustAnchors::for_servers("leaf.pem", issued.chain_pem().as_bytes(), now);
    assert_eq!(leaf.unwrap_err().code(), "anchor.not-an-authority");
    let twice = format!("{}{}", city.root_pem(), city.root_pem());
    let twice = TrustAnchors::for_servers("root.pem", twice.as_bytes(), now);
    assert_eq!(twice.unwrap_err().code(), "anchor.twice");
    let later = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() + 31 * 86_400));
    let expired = TrustAnchors::for_servers("root.pem", city.root_pem().as_bytes(), later);
    assert_eq!(expired.unwrap_err().code(), "anchor.expired");
}

#[test]
fn a_pkcs12_file_opens_with_its_passphrase_only() {
    use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
    let city = authority();
    let issued = issue(&city);
    let bytes = issued.pkcs12(&city, "health", "a long passphrase").unwrap();
    let opened = KeyStore::from_pkcs12(&bytes, "a long passphrase", Pkcs12ImportPolicy::Strict).unwrap();
    let (alias, chain) = opened.private_key_chain().unwrap();
    assert_eq!(alias, "health");
    assert_eq!(chain.certs().len(), 2);
    assert_eq!(chain.certs()[0].as_der(), issued.chain()[0].as_ref());
    assert!(KeyStore::from_pkcs12(&bytes, "another", Pkcs12ImportPolicy::Strict).is_err());
    let trusted = city.trust_store("root", "changeit").unwrap();
    assert!(KeyStore::from_pkcs12(&trusted, "changeit", Pkcs12ImportPolicy::Strict).is_ok());
}

#[test]
fn members_are_read_from_configuration() {
    #[derive(serde::Deserialize)]
    struct File {
        member: Vec<Member>,
    }
    let pin: String = PublicKeyPin::of(&issue(&authority()).chain()[0]).unwrap().into();
    let text = format!(
        r#"
        [[member]]
        name = "health"
        role = "department"
        trust_domain = "xm.example"

        [[member]]
        name = "li"
        role = "security-officer"
        trust_domain = "xm.example"
        suspended = true
        bindings = [
            {{ public-keys = ["{pin}"] }},
            {{ subject = {{ issuer = "CN=政务CA,C=CN", attribute = "organization-identifier", value = "X" }} }},
            {{ uri = "spiffe://xm.example/security-officer/li" }},
        ]
        "#
    );
    let file: File = toml::from_str(&text).unwrap();
    assert_eq!(file.member[0], Member::new(DOMAIN, Role::Department, "health"));
    assert_eq!(file.member[1].bindings.len(), 3);
    assert!(toml::from_str::<File>(&text.replace("suspended", "suspendet")).is_err());
    assert!(toml::from_str::<File>(&text.replace(&pin, "AB")).is_err());
    assert!(toml::from_str::<File>(&text.replace("\"security-officer\"", "\"king\"")).is_err());
}
