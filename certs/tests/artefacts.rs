//! What other people's tools make: certificates, keys, lists and OCSP answers from the `openssl` command, good and bad.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

#[path = "artefacts/openssl.rs"]
mod openssl;

use openssl::Workshop;
use std::borrow::Cow;
use std::time::Duration;
use xinqiao_certs::{
    AnchorRights, Binding, Bundle, ExtensionBinding, Identity, Lists, Member, Purpose, Registry, Revocation,
    RevocationList, RevocationPolicy, Role, Trust, TrustAnchors, UnixTime,
};
use xinqiao_explain::Explanation;

const LEAF: &str = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\nsubjectAltName=DNS:gw.xm.example,URI:spiffe://xm.example/department/health\n";

fn now() -> UnixTime {
    UnixTime::now()
}

/// A code that is fixed in the program.
fn code_of(error: Explanation) -> &'static str {
    match error.into_code() {
        Cow::Borrowed(code) => code,
        Cow::Owned(other) => panic!("{other}"),
    }
}

fn load(shop: &Workshop, name: &str) -> Result<Identity, &'static str> {
    Identity::from_files(&shop.path(&format!("{name}.crt")), &shop.path(&format!("{name}.key")), now())
        .map_err(|error| {
            assert!(error.chinese().chars().any(|c| c > '\u{4e00}'), "{error}");
            code_of(error)
        })
}

/// The codes of every mistake in `<name>.crt` with its key, under the workshop's root.
fn mistakes(shop: &Workshop, name: &str, lists: &[&str], purpose: Purpose<'_>) -> Vec<&'static str> {
    let (chain, key, root) =
        (shop.read(&format!("{name}.crt")), shop.read(&format!("{name}.key")), shop.read("root.crt"));
    let lists: Vec<(&str, Vec<u8>)> = lists.iter().map(|file| (*file, shop.read(file))).collect();
    let lists: Vec<(&str, &[u8])> = lists.iter().map(|(file, bytes)| (*file, bytes.as_slice())).collect();
    let bundle = Bundle {
        chain: (name, &chain),
        key: Some((name, &key)),
        passphrase: None,
        anchors: &[("root.crt", &root)],
        lists: &lists,
        purpose,
    };
    let findings = bundle.examine(now());
    findings.iter().filter(|f| f.is_error()).map(|f| code_of(f.problem().clone())).collect()
}

#[test]
fn a_good_certificate_of_openssl_is_good() {
    let shop = Workshop::new();
    shop.leaf("good", "P-256", LEAF, &[]);
    assert!(load(&shop, "good").is_ok());
    let names = ["gw.xm.example".to_owned()];
    assert_eq!(mistakes(&shop, "good", &[], Purpose::Server { names: &names }), [""; 0]);
    let member = |role, name| Purpose::Member { trust_domain: Some("xm.example"), role, name: Some(name) };
    assert_eq!(mistakes(&shop, "good", &[], member(Role::Department, "health")), [""; 0]);
    assert_eq!(mistakes(&shop, "good", &[], member(Role::Recipient, "health")), ["identity.other-role"]);
    assert_eq!(mistakes(&shop, "good", &[], member(Role::Department, "tax")), ["identity.other-member"]);
    let domain = Purpose::Member { trust_domain: Some("fj.example"), role: Role::Department, name: None };
    assert_eq!(mistakes(&shop, "good", &[], domain), ["identity.other-domain"]);
    let other = ["other.example".to_owned()];
    assert_eq!(mistakes(&shop, "good", &[], Purpose::Server { names: &other }), ["identity.wrong-name"]);
}

#[test]
fn sealed_keys_open_with_their_passphrase_only() {
    let shop = Workshop::new();
    shop.leaf("good", "P-256", LEAF, &[]);
    shop.write("pass", b"a long passphrase\n");
    shop.write("wrong", b"another passphrase\n");
    shop.run("pkcs8 -topk8 -v2 aes-256-cbc -in good.key -out sealed.key -passout file:pass");
    shop.run("pkcs8 -topk8 -v2 des3 -v2prf hmacWithSHA1 -in good.key -out old.key -passout file:pass");
    shop.run("ec -aes256 -in good.key -out ancient.key -passout file:pass");
    let load = |key: &str, pass: Option<&str>| {
        let pass = pass.map(|pass| shop.path(pass));
        Identity::from_sealed_files(&shop.path("good.crt"), &shop.path(key), pass.as_deref(), now())
            .map(drop)
            .map_err(code_of)
    };
    assert_eq!(load("sealed.key", Some("pass")), Ok(()));
    assert_eq!(load("old.key", Some("pass")), Ok(()));
    assert_eq!(load("good.key", Some("pass")), Ok(()), "a passphrase that is not needed does no harm");
    assert_eq!(load("sealed.key", None), Err("identity.key-encrypted"));
    assert_eq!(load("sealed.key", Some("wrong")), Err("identity.key-passphrase"));
    assert_eq!(load("ancient.key", Some("pass")), Err("identity.key-encrypted"));
}

#[test]
fn weak_foreign_and_odd_certificates_are_named() {
    let shop = Workshop::new();
    shop.leaf("rsa1024", "rsa:1024", LEAF, &[]);
    shop.leaf("rsa2048", "rsa:2048", LEAF, &[]);
    shop.leaf("k1", "secp256k1", LEAF, &[]);
    shop.leaf("p521", "P-521", LEAF, &[]);
    shop.leaf("explicit", "explicit", LEAF, &[]);
    shop.leaf("sha1", "P-256", LEAF, &["-sha1"]);
    shop.leaf("critical", "P-256", &format!("{LEAF}1.2.3.4=critical,ASN1:UTF8String:x\n"), &[]);
    shop.run("ecparam -genkey -name SM2 -out sm2.key");
    shop.run("req -x509 -key sm2.key -sm3 -subj /CN=health -days 9 -out sm2.crt");
    assert!(load(&shop, "rsa2048").is_ok());
    for (name, code) in [
        ("rsa1024", "certificate.weak-key"),
        ("k1", "certificate.curve"),
        ("p521", "certificate.curve"),
        ("explicit", "certificate.curve"),
        ("sha1", "certificate.weak-signature"),
        ("critical", "certificate.unknown-critical-extension"),
        ("sm2", "certificate.sm2"),
    ] {
        assert_eq!(load(&shop, name).err(), Some(code), "{name}");
        assert!(mistakes(&shop, name, &[], Purpose::Any).contains(&code), "{name}");
    }
    let error = Identity::from_files(&shop.path("sm2.crt"), &shop.path("sm2.key"), now()).unwrap_err();
    assert!(error.chinese().contains("国密") && error.english().contains("RFC 9440"), "{error}");
}

#[test]
fn constraints_usages_and_confusions_are_named() {
    let shop = Workshop::new();
    let constrained = "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\nnameConstraints=critical,permitted;DNS:fj.example\n";
    shop.leaf("limited", "P-256", constrained, &[]);
    shop.leaf_of("limited", "outside", "P-256", LEAF, &[]);
    shop.leaf("client", "P-256", &LEAF.replace(",serverAuth", ""), &[]);
    shop.leaf("server", "P-256", &LEAF.replace("clientAuth,", ""), &[]);
    shop.leaf("bare", "P-256", "basicConstraints=CA:FALSE\n", &[]);
    shop.leaf("issuing", "P-256", "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n", &[]);
    shop.leaf_of("issuing", "deep", "P-256", LEAF, &[]);
    let names = ["gw.xm.example".to_owned()];
    let server = Purpose::Server { names: &names };
    let member = Purpose::Member { trust_domain: None, role: Role::Department, name: None };
    shop.join("constrained.crt", &["outside.crt", "limited.crt"]);
    shop.join("constrained.key", &["outside.key"]);
    assert_eq!(mistakes(&shop, "constrained", &[], server), ["identity.name-constraints"]);
    assert_eq!(mistakes(&shop, "client", &[], server), ["identity.wrong-usage"]);
    assert_eq!(mistakes(&shop, "server", &[], member), ["identity.wrong-usage"]);
    assert_eq!(mistakes(&shop, "bare", &[], server), ["identity.no-name"]);
    assert_eq!(mistakes(&shop, "bare", &[], member), ["identity.no-uri"]);
    assert_eq!(mistakes(&shop, "deep", &[], server), ["identity.missing-intermediate"]);
    assert!(mistakes(&shop, "issuing", &[], Purpose::Any).contains(&"identity.authority-as-leaf"));
    // A certificate that is no authority's, put where an issuer belongs.
    shop.leaf_of("client", "under", "P-256", LEAF, &[]);
    shop.join("misissued.crt", &["under.crt", "client.crt"]);
    shop.join("misissued.key", &["under.key"]);
    assert_eq!(load(&shop, "misissued").err(), Some("identity.not-an-issuer"));
    // The authority got a new key under its old name; its old certificate is in the file.
    shop.run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout new.key -out new.crt -days 30 -subj /CN=leaf-issuing");
    shop.join("renewed.crt", &["deep.crt", "new.crt"]);
    shop.join("renewed.key", &["deep.key"]);
    assert_eq!(load(&shop, "renewed").err(), Some("identity.chain-signature"));
    shop.join("swapped.crt", &["deep.crt", "root.crt", "issuing.crt"]);
    shop.join("swapped.key", &["deep.key"]);
    assert_eq!(load(&shop, "swapped").err(), Some("identity.chain-order"));
}

#[test]
fn an_ocsp_answer_is_stapled_if_it_is_good_and_for_this_certificate() {
    let shop = Workshop::new();
    shop.leaf("good", "P-256", LEAF, &[]);
    shop.leaf("bad", "P-256", LEAF, &[]);
    shop.index(&[("good", false), ("bad", true)]);
    shop.run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout foreign.key -out foreign.crt -days 30 -subj /CN=foreign");
    let answer = |of: &str, signer: &str| {
        shop.run(&format!(
            "ocsp -index index.txt -CA root.crt -rsigner {signer}.crt -rkey {signer}.key -issuer root.crt -cert {of}.crt -ndays 2 -respout {of}.der"
        ));
        shop.read(&format!("{of}.der"))
    };
    let good = answer("good", "root");
    shop.join("chain.crt", &["good.crt", "root.crt"]);
    let own = |chain: &str| Identity::from_files(&shop.path(chain), &shop.path("good.key"), now()).unwrap();
    let stapled = own("chain.crt").with_ocsp(&good, now()).unwrap();
    assert!(stapled.has_ocsp());
    let until = stapled.ocsp_next_update().unwrap();
    assert!((until - now().as_secs()).abs_diff(2 * 86_400) < 60);
    assert!(
        own("good.crt").with_ocsp(&good, now()).is_ok(),
        "without the issuer's certificate the signature is left to clients"
    );
    let code = |response: &[u8], time| own("chain.crt").with_ocsp(response, time).unwrap_err().into_code();
    let later = UnixTime::since_unix_epoch(Duration::from_secs(until + 1));
    assert_eq!(code(&good, later), "ocsp.expired");
    assert_eq!(code(&answer("bad", "root"), now()), "ocsp.other-certificate");
    assert_eq!(code(&good[..good.len() - 1], now()), "ocsp.malformed");
    assert_eq!(code(&answer("good", "foreign"), now()), "ocsp.wrong-issuer");
    assert_eq!(code(&[0x30, 0x03, 0x0a, 0x01, 0x06], now()), "ocsp.unsuccessful");
    shop.index(&[("good", true)]);
    assert_eq!(code(&answer("good", "root"), now()), "ocsp.revoked");
    shop.index(&[]);
    assert_eq!(code(&answer("good", "root"), now()), "ocsp.unknown");
}

#[test]
fn deltas_are_laid_over_their_base_and_odd_lists_are_named() {
    let shop = Workshop::new();
    for name in ["one", "two", "three"] {
        shop.leaf(name, "P-256", LEAF, &[]);
    }
    let serial = |name: &str| shop.serial(name);
    let delta = "2.5.29.27=critical,DER:02:01:01\n";
    shop.index(&[("one", true), ("two", false), ("three", false)]);
    shop.list("base.crl", 1, "");
    shop.index(&[("two", true)]);
    shop.list("delta.crl", 2, delta);
    shop.list("late.crl", 9, "2.5.29.27=critical,DER:02:01:05\n");
    shop.list("older.crl", 1, delta);
    shop.list("indirect.crl", 3, "issuingDistributionPoint=critical,@idp\n[idp]\nindirectCRL=TRUE\n");
    shop.list(
        "partial.crl",
        3,
        "issuingDistributionPoint=critical,@idp\n[idp]\nonlysomereasons=keyCompromise\n",
    );
    shop.list("critical.crl", 3, "1.2.3.4=critical,ASN1:UTF8String:x\n");
    let all = |files: &[&str]| {
        let paths: Vec<_> = files.iter().map(|file| shop.path(file)).collect();
        RevocationList::from_files(&paths).map_err(|error| {
            assert!(error.chinese().chars().any(|c| c > '\u{4e00}'), "{error}");
            code_of(error)
        })
    };
    let base = all(&["base.crl"]).unwrap();
    assert_eq!((base[0].number().as_deref(), base[0].base_number()), (Some("01"), None));
    assert!(base[0].revokes(&serial("one")) && !base[0].revokes(&serial("two")));
    for files in [["base.crl", "delta.crl"], ["delta.crl", "base.crl"]] {
        let merged = all(&files).unwrap();
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].number().as_deref(), Some("02"));
        assert_eq!(merged[0].base_number().as_deref(), Some("01"));
        assert_eq!(merged[0].entries(), 2);
        assert!(merged[0].revokes(&serial("two")) && !merged[0].revokes(&serial("three")));
    }
    let passed_over = all(&["base.crl", "older.crl"]).unwrap();
    assert_eq!((passed_over[0].entries(), passed_over[0].base_number()), (1, None));
    for (files, code) in [
        (vec!["delta.crl"], "crl.delta-alone"),
        (vec!["base.crl", "late.crl"], "crl.delta-base"),
        (vec!["indirect.crl"], "crl.indirect"),
        (vec!["partial.crl"], "crl.partitioned"),
        (vec!["critical.crl"], "crl.unknown-critical-extension"),
        (vec!["root.crt"], "crl.malformed"),
    ] {
        assert_eq!(all(&files).err(), Some(code), "{files:?}");
    }
    let der = pem::parse(shop.read("base.crl")).unwrap().into_contents();
    let cut = RevocationList::read("cut.crl", &der[..der.len() - 9]).unwrap_err();
    assert_eq!(cut.code(), "crl.truncated");
    assert_eq!(mistakes(&shop, "two", &["base.crl"], Purpose::Any), [""; 0]);
    assert_eq!(mistakes(&shop, "two", &["base.crl", "delta.crl"], Purpose::Any), ["identity.revoked"]);
}

#[test]
fn of_two_deltas_the_one_with_the_greater_number_holds() {
    let shop = Workshop::new();
    for name in ["one", "two"] {
        shop.leaf(name, "P-256", LEAF, &[]);
    }
    let delta = "2.5.29.27=critical,DER:02:01:01\n";
    shop.index(&[("one", false), ("two", false)]);
    shop.list("base.crl", 1, "");
    shop.index(&[("one", true)]);
    shop.list("number-255.crl", 255, delta);
    shop.index(&[("one", true), ("two", true)]);
    shop.list("number-256.crl", 256, delta);
    for files in
        [["base.crl", "number-255.crl", "number-256.crl"], ["number-256.crl", "number-255.crl", "base.crl"]]
    {
        let lists = RevocationList::from_files(&files.map(|file| shop.path(file))).unwrap();
        assert_eq!(lists[0].number().as_deref(), Some("0100"), "{files:?}");
        assert!(lists[0].revokes(&shop.serial("one")) && lists[0].revokes(&shop.serial("two")), "{files:?}");
    }
}

#[test]
fn a_forged_delta_takes_nothing_back() {
    let shop = Workshop::new();
    shop.leaf("bad", "P-256", LEAF, &[]);
    shop.index(&[("bad", true)]);
    shop.list("base.crl", 1, "");
    let extensions = shop.run("x509 -in root.crt -noout -ext subjectKeyIdentifier");
    let key = extensions.lines().nth(1).unwrap().trim().to_owned();
    let forge = |name: &str, id: &str| {
        shop.run(&format!("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.crt -days 30 -subj /CN=root -addext keyUsage=keyCertSign,cRLSign -addext subjectKeyIdentifier={id}"));
        shop.list_by(name, &format!("{name}.crl"), 2, "2.5.29.27=critical,DER:02:01:01\n");
    };
    shop.index(&[]);
    forge("namesake", "hash");
    forge("forger", &key);
    let read = |files: &[&str]| {
        let files: Vec<(&str, Vec<u8>)> = files.iter().map(|file| (*file, shop.read(file))).collect();
        let given: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        Lists::read(&given, &[certificate(&shop, "root")], now())
    };
    // By the namesake's own key there is no list for it to change; one that claims the authority's key is found out.
    for (file, code) in [("namesake.crl", "crl.delta-alone"), ("forger.crl", "crl.wrong-issuer")] {
        let found = read(&[file, "base.crl"]);
        let codes: Vec<&str> = found.faults.iter().map(|fault| fault.why.code()).collect();
        assert_eq!(codes, [code]);
        assert_eq!(found.faults[0].file, 0);
        let [base] = &found.speaking[..] else { panic!("the base stays") };
        assert!(base.is_vouched() && base.list.revokes(&shop.serial("bad")), "{file}");
    }
    // Where its authority is not known the list does not count before a certificate shows it, and then without the changes.
    let lists = RevocationList::from_files(&[shop.path("base.crl"), shop.path("forger.crl")]).unwrap();
    assert!(!lists[0].is_signed_by(&certificate(&shop, "root")));
    let mut anchors = TrustAnchors::new();
    anchors.add_pem("root", &shop.read("root.crt"), AnchorRights::default(), now()).unwrap();
    let refused = Trust::new(anchors, Revocation::new(lists, RevocationPolicy::default())).unwrap_err();
    assert_eq!(refused.code(), "crl.wrong-issuer");
    let lists = RevocationList::from_files(&[shop.path("base.crl")]).unwrap();
    assert!(lists[0].is_signed_by(&certificate(&shop, "root")));
}

fn certificate(shop: &Workshop, name: &str) -> xinqiao_certs::CertificateDer<'static> {
    pem::parse(shop.read(&format!("{name}.crt"))).unwrap().into_contents().into()
}

#[test]
fn an_extension_binds_a_member_through_every_renewal() {
    const OID: &str = "1.2.156.10260.4.1.1";
    let shop = Workshop::new();
    let plain = "basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n";
    let with = |value: &str| format!("{plain}{OID}={value}\n");
    shop.leaf("utf8", "P-256", &with("ASN1:UTF8String:11350200TEST00001X"), &[]);
    shop.leaf("renewed", "P-384", &with("ASN1:PRINTABLESTRING:11350200TEST00001X"), &[]);
    shop.leaf("octets", "P-256", &with("ASN1:OCTETSTRING:11350200TEST00001X"), &[]);
    shop.leaf("bytes", "P-256", &with("DER:31:31:33:35:30:32:30:30:54:45:53:54:30:30:30:30:31:58"), &[]);
    shop.leaf("other", "P-256", &with("ASN1:UTF8String:11350200TEST00002X"), &[]);
    let mut member = Member::new("gov.example", Role::Department, "health");
    member.bindings = vec![Binding::Extension(ExtensionBinding {
        issuer: "CN=root".into(),
        oid: OID.into(),
        value: "11350200TEST00001X".into(),
    })];
    let text = toml::to_string(&member).unwrap();
    assert_eq!(toml::from_str::<Member>(&text).unwrap(), member, "{text}");
    let mut anchors = TrustAnchors::new();
    let rights = AnchorRights::new(["gov.example"], [Role::Department]);
    anchors.add_pem("root", &shop.read("root.crt"), rights, now()).unwrap();
    let trust = Trust::new(anchors, Revocation::none()).unwrap();
    let registry = Registry::new(vec![member.clone()], trust.clone()).unwrap();
    for name in ["utf8", "renewed", "octets", "bytes"] {
        let found = registry.identify(&[certificate(&shop, name)], now()).unwrap();
        assert_eq!(found.name(), "health", "{name}");
    }
    let other = registry.identify(&[certificate(&shop, "other")], now()).unwrap_err();
    assert_eq!(other.code(), "member.unknown");
    let Binding::Extension(binding) = &mut member.bindings[0] else { unreachable!() };
    binding.oid = "1.02.3".into();
    assert_eq!(Registry::new(vec![member], trust).unwrap_err().code(), "member.extension-malformed");
}
