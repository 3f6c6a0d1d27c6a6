//! `xinqiao certs` as an officer runs it, held against `openssl` and `keytool`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CA_PASSPHRASE: &str = "the authority's passphrase";
const P12_PASSPHRASE: &str = "the browser's passphrase";

/// A directory with an authority in it.
struct Office(tempfile::TempDir);

impl Office {
    fn new() -> Self {
        let office = Self(tempfile::tempdir().unwrap());
        office.secret("pass", CA_PASSPHRASE);
        office.secret("p12pass", P12_PASSPHRASE);
        office.good("certs ca init --dir ca --name City --domain xm.example --passphrase-file pass");
        office
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn secret(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), format!("{text}\n")).unwrap();
        std::fs::set_permissions(self.path(file), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn run(&self, program: &str, words: &[&str]) -> Output {
        let output = Command::new(program).args(words).current_dir(self.0.path()).output();
        output.unwrap_or_else(|e| panic!("{program}: {e}; .ci/test installs it"))
    }

    fn xinqiao(&self, words: &str) -> (i32, String) {
        let words: Vec<&str> = words.split_whitespace().collect();
        let output = self.run(env!("CARGO_BIN_EXE_xinqiao"), &words);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    #[track_caller]
    fn good(&self, words: &str) -> String {
        let (code, text) = self.xinqiao(words);
        assert_eq!(code, 0, "{words}\n{text}");
        text
    }

    /// Refused with this exit code; the text names `said`, in Chinese too, and no passphrase.
    #[track_caller]
    fn bad(&self, words: &str, exit: i32, said: &str) {
        let (code, text) = self.xinqiao(words);
        assert_eq!(code, exit, "{words}\n{text}");
        assert!(text.contains(said), "{words}\n{text}");
        assert!(text.chars().any(|c| c > '\u{4e00}'), "{text}");
        assert!(!text.contains(CA_PASSPHRASE) && !text.contains(P12_PASSPHRASE) && !text.contains("PRIVATE"));
    }

    /// A node's configuration with certificate, anchor and list in place.
    fn node(&self) {
        self.good("certs ca issue --dir ca --passphrase-file pass --role node --member 350200-credit --dns gw.xm.example --days 90 --out node");
        self.good("certs ca crl --dir ca --passphrase-file pass --out issuing.crl --root-out root.crl");
        let text = r#"
            [node]
            name = "xm.example/350200-credit"
            data = "data"
            keys = "keys"
            [exchange]
            listen = "127.0.0.1:0"
            certificate = "node/350200-credit.crt"
            key = "node/350200-credit.key"
            [[trust]]
            file = "ca/root.crt"
            domains = ["xm.example"]
            roles = ["department", "node"]
            [revocation]
            lists = [{ file = "issuing.crl" }, { file = "root.crl" }]
        "#;
        std::fs::write(self.path("node.toml"), text).unwrap();
    }

    fn rows(&self, text: &str) -> Vec<Value> {
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

fn digest(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn an_authority_is_sealed_unless_said_otherwise() {
    let office = Office::new();
    for key in ["ca/root.key", "ca/issuing.key"] {
        let text = std::fs::read_to_string(office.path(key)).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{key}");
        let pass = format!("pass:{CA_PASSPHRASE}");
        let opened = office.run("openssl", &["pkey", "-in", key, "-passin", &pass, "-noout", "-check"]);
        assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    }
    office.bad("certs ca init --dir other --name City --domain xm.example", 2, "--plain");
    office.bad("certs ca init --dir ca --name City --domain xm.example --plain", 1, "file.unwritable");
    office.bad(
        "certs ca issue --dir ca --role department --member health --out o",
        1,
        "identity.key-encrypted",
    );
    std::fs::set_permissions(office.path("pass"), std::fs::Permissions::from_mode(0o644)).unwrap();
    office.bad("certs ca crl --dir ca --passphrase-file pass --out a.crl", 1, "file.too-open");
}

#[test]
fn exports_open_in_openssl_and_java() {
    let office = Office::new();
    let issue = "certs ca issue --dir ca --passphrase-file pass --role department --out out --p12-passphrase-file p12pass";
    office.good(&format!("{issue} --member health --p12 new.p12"));
    office.good(&format!("{issue} --member tax --p12 old.p12 --legacy"));
    office.good("certs export --cert out/health.crt --key out/health.key --ca ca/root.crt --p12 again.p12 --p12-passphrase-file p12pass --alias health");
    for (file, legacy, cipher, alias) in [
        ("new.p12", false, "AES-256-CBC", "health"),
        ("again.p12", false, "AES-256-CBC", "health"),
        ("old.p12", true, "pbeWithSHA1And3-KeyTripleDES-CBC", "tax"),
    ] {
        let pass = format!("pass:{P12_PASSPHRASE}");
        let mut words = vec!["pkcs12", "-in", file, "-info", "-nodes", "-passin", &pass];
        words.extend(legacy.then_some("-legacy"));
        let shown = office.run("openssl", &words);
        let text =
            String::from_utf8_lossy(&shown.stdout).into_owned() + &String::from_utf8_lossy(&shown.stderr);
        assert!(shown.status.success() && text.contains(cipher), "{file}: {text}");
        assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 3, "{file}");
        assert_eq!(text.matches("BEGIN PRIVATE KEY").count(), 1, "{file}");
        let words = [
            "-J-Duser.language=en",
            "-list",
            "-v",
            "-keystore",
            file,
            "-storetype",
            "PKCS12",
            "-storepass",
            P12_PASSPHRASE,
        ];
        let shown = office.run("keytool", &words);
        let text = String::from_utf8_lossy(&shown.stdout);
        assert!(shown.status.success() && text.contains("PrivateKeyEntry"), "{file}: {text}");
        assert!(text.contains(&format!("Alias name: {alias}")) && text.contains("chain length: 3"), "{text}");
        let mode = std::fs::metadata(office.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    office.bad(
        "certs export --cert out/health.crt --key out/tax.key --p12 x.p12 --p12-passphrase-file p12pass",
        1,
        "identity.key-mismatch",
    );
    assert!(!office.path("x.p12").exists());
}

#[test]
fn a_request_is_signed_and_its_answer_installed() {
    let office = Office::new();
    office.good("certs request --role node --member 350200-credit --domain xm.example --uscc 113502999990000111 --dns gw.xm.example --ip 10.0.0.1 --out req");
    let shown = office.run("openssl", &["req", "-in", "req/350200-credit.csr", "-noout", "-text", "-verify"]);
    let text = String::from_utf8_lossy(&shown.stdout);
    for said in [
        "113502999990000111",
        "URI:spiffe://xm.example/node/350200-credit",
        "DNS:gw.xm.example",
        "IP Address:10.0.0.1",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let again = "certs request --role node --member 350200-credit --domain xm.example --out req";
    office.bad(again, 1, "request.key-exists");
    let sign = "certs ca sign --dir ca --passphrase-file pass --csr req/350200-credit.csr --out answer.pem";
    office.bad(&format!("{sign} --role department"), 1, "request.other-member");
    let told = office.good(sign);
    assert!(told.contains("gw.xm.example") && told.contains("113502999990000111"), "{told}");
    let pkcs7 = office.run(
        "openssl",
        &["crl2pkcs7", "-nocrl", "-certfile", "answer.pem", "-certfile", "ca/root.crt", "-out", "answer.p7b"],
    );
    assert!(pkcs7.status.success());
    let install =
        "certs install --key req/350200-credit.key --to-cert node.crt --to-key node.key --ca ca/root.crt";
    office.bad(&format!("{install} --chain answer.p7b --host other.example"), 1, "identity.wrong-name");
    office.bad(&format!("{install} --chain ca/root.crt"), 1, "identity.key-mismatch");
    assert!(!office.path("node.crt").exists() && !office.path("node.key").exists());
    office.good(&format!("{install} --chain answer.p7b --host gw.xm.example --host 10.0.0.1"));
    office.good("certs check node.crt --key node.key --ca ca/root.crt --host gw.xm.example");
    office.bad("certs check node.crt --key ca/root.key --ca ca/root.crt", 1, "identity.key-encrypted");

    // In the place of one member's certificate goes no other's: both would have to be told apart by their peers'
    // refusals.
    let before = std::fs::read(office.path("node.crt")).unwrap();
    office.good("certs request --role recipient --member province --domain xm.example --out req");
    office.good("certs ca sign --dir ca --passphrase-file pass --csr req/province.csr --out province.pem");
    let other =
        "certs install --key req/province.key --to-cert node.crt --to-key node.key --chain province.pem";
    office.bad(
        &format!("{other} --ca ca/root.crt --role recipient --member province"),
        1,
        "install.other-member",
    );
    assert_eq!(std::fs::read(office.path("node.crt")).unwrap(), before);
    office.good("certs request --role node --member 350200-credit --domain xm.example --dns gw.xm.example --ip 10.0.0.1 --out again");
    office
        .good("certs ca sign --dir ca --passphrase-file pass --csr again/350200-credit.csr --out again.pem");
    office.good("certs install --key again/350200-credit.key --to-cert node.crt --to-key node.key --ca ca/root.crt --chain again.pem --host gw.xm.example");
    assert_eq!(
        std::fs::read(office.path("node.crt.previous")).unwrap(),
        before,
        "to be named when it is revoked"
    );
}

#[test]
fn a_revoked_certificate_is_told_by_check() {
    let office = Office::new();
    office.good("certs ca issue --dir ca --passphrase-file pass --role department --member health --out out");
    let check =
        "certs check out/health.crt --key out/health.key --ca ca/root.crt --role department --member health";
    office.good(check);
    office.bad("certs check out/health.crt --ca ca/root.crt --role recipient", 1, "identity.other-role");
    office.bad("certs ca revoke --dir ca --passphrase-file pass --serial 0011", 1, "pki.serial-unknown");
    office.good(
        "certs ca revoke --dir ca --passphrase-file pass --cert out/health.crt --reason key-compromise",
    );
    office.good("certs ca crl --dir ca --passphrase-file pass --out issuing.crl");
    office.bad(&format!("{check} --crl issuing.crl"), 1, "identity.revoked");
    let list = office.run("openssl", &["crl", "-in", "issuing.crl", "-noout", "-text"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("Key Compromise"));
    assert!(office.good("certs ca list --dir ca").contains("revoked"));
}

#[test]
fn status_and_renewal_follow_the_configuration() {
    let office = Office::new();
    office.node();
    let rows = office.rows(&office.good("certs status --config node.toml --json"));
    let of = |rows: &[Value], place: &str| -> Vec<Value> {
        rows.iter().filter(|row| row["place"] == place).cloned().collect()
    };
    assert_eq!(of(&rows, "exchange.certificate").len(), 2, "leaf and intermediate: {rows:?}");
    assert_eq!((of(&rows, "trust").len(), of(&rows, "revocation.lists").len()), (1, 2));
    assert!(rows.iter().all(|row| row["state"] == "ok" && row["days_left"].as_i64() > Some(5)), "{rows:?}");
    let table = office.good("certs status --config node.toml");
    assert!(table.contains("ok 正常") && table.contains("CN=350200-credit"), "{table}");

    // Not due: nothing changes. Forced: another certificate of the same name and length from the local authority.
    let (certificate, key) = (office.path("node/350200-credit.crt"), office.path("node/350200-credit.key"));
    let before = (digest(&certificate), digest(&key));
    office.good("certs renew --config node.toml --ca ca --passphrase-file pass");
    assert_eq!((digest(&certificate), digest(&key)), before);
    office.good("certs renew --config node.toml --ca ca --passphrase-file pass --force");
    assert!(digest(&certificate) != before.0 && digest(&key) != before.1);
    office.good("certs check node/350200-credit.crt --key node/350200-credit.key --ca ca/root.crt --host gw.xm.example");
    // Without an authority here: a request beside the present pair, once.
    let before = (digest(&certificate), digest(&key));
    office.good("certs renew --config node.toml --force");
    assert_eq!((digest(&certificate), digest(&key)), before);
    let csr = "node/350200-credit.crt.csr";
    let made = digest(&office.path(csr));
    office.good(&format!("certs ca sign --dir ca --passphrase-file pass --csr {csr} --out answer.pem"));
    office.good("certs install --chain answer.pem --key node/350200-credit.key.new --to-cert node/350200-credit.crt --to-key node/350200-credit.key --ca ca/root.crt --host gw.xm.example");
    assert_ne!(digest(&certificate), before.0);
    assert_eq!(digest(&office.path(csr)), made);

    // A sealed key stays sealed.
    office.good("certs ca issue --dir ca --passphrase-file pass --role node --member 350200-credit --dns gw.xm.example --out plain");
    let words = [
        "pkcs8",
        "-topk8",
        "-v2",
        "aes-256-cbc",
        "-in",
        "plain/350200-credit.key",
        "-out",
        "node/350200-credit.key",
        "-passout",
    ];
    let sealed = office.run("openssl", &[&words[..], &["file:pass"]].concat());
    assert!(sealed.status.success());
    std::fs::copy(office.path("plain/350200-credit.crt"), &certificate).unwrap();
    office.bad("certs status --config node.toml", 1, "identity.key-encrypted");
    let plain = std::fs::read_to_string(office.path("node.toml")).unwrap();
    let with = plain.replace("[[trust]]", "key_passphrase_file = \"pass\"\n[[trust]]");
    std::fs::write(office.path("node.toml"), with).unwrap();
    office.good("certs status --config node.toml");
    office.good("certs renew --config node.toml --ca ca --passphrase-file pass --force");
    assert!(std::fs::read_to_string(&key).unwrap().contains("ENCRYPTED"));
    office.good("certs status --config node.toml");

    // A key that is not the certificate's, and a list that is none.
    assert!(!office.path("node/350200-credit.key.new").exists(), "the key was moved");
    office.good("certs ca issue --dir ca --passphrase-file pass --role node --member other --dns gw.xm.example --out node");
    std::fs::copy(office.path("node/other.key"), &key).unwrap();
    std::fs::write(office.path("root.crl"), "nonsense").unwrap();
    let (code, text) = office.xinqiao("certs status --config node.toml --json");
    let rows = office.rows(&text);
    assert_eq!(code, 1, "{text}");
    assert_eq!(of(&rows, "exchange.certificate")[0]["problem"]["code"], "identity.key-mismatch");
    assert_eq!(of(&rows, "revocation.lists")[0]["problem"]["code"], "crl.malformed");
}

#[test]
fn a_certificate_late_in_its_life_is_due_then_urgent() {
    let office = Office::new();
    office.node();
    // Without the `faketime` command: it names shared memory by its process number and stops where another run, killed,
    // has left some under that number.
    let library = std::fs::read_dir("/usr/lib")
        .unwrap()
        .filter_map(|e| Some(e.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|path| path.exists())
        .expect("faketime is installed");
    let preload = format!("LD_PRELOAD={}", library.display());
    let at = |days: u32, words: &str| {
        let when = format!("FAKETIME=+{days}d");
        let mut all = vec![preload.as_str(), &when, env!("CARGO_BIN_EXE_xinqiao")];
        all.extend(words.split_whitespace());
        let output = office.run("env", &all);
        (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let state = |days: u32| {
        let (code, text) = at(days, "certs status --config node.toml --json");
        let rows = office.rows(&text);
        let leaf = rows.iter().find(|row| row["place"] == "exchange.certificate").unwrap();
        (code, leaf["state"].as_str().unwrap().to_owned())
    };
    // The lists of seven days end long before, which is why the command fails from then on.
    assert_eq!(state(1), (0, "ok".to_owned()));
    assert_eq!(state(66), (1, "renew".to_owned()));
    assert_eq!(state(85), (1, "urgent".to_owned()));
    assert_eq!(state(91), (1, "expired".to_owned()));
    let before = digest(&office.path("node/350200-credit.crt"));
    let (code, text) = at(66, "certs renew --config node.toml --ca ca --passphrase-file pass");
    assert_eq!(code, 0, "{text}");
    assert_ne!(digest(&office.path("node/350200-credit.crt")), before);
}

#[test]
fn a_code_that_is_none_and_a_list_of_nobody_are_named() {
    let office = Office::new();
    let request = "certs request --role node --member city --domain xm.example --out req --uscc";
    for wrong in ["TESTUSCC0000000001", "113502999990000112", "00000000000000000X", "x"] {
        office.bad(&format!("{request} {wrong}"), 2, "not a unified social credit code");
    }
    office.node();
    let check = "certs check node/350200-credit.crt --ca ca/root.crt --crl";
    office.good(&format!("{check} issuing.crl --crl root.crl"));
    office.good("certs ca init --dir other --name Other --domain xm.example --passphrase-file pass");
    office.good("certs ca crl --dir other --passphrase-file pass --out other.crl");
    office.bad(&format!("{check} other.crl"), 1, "crl.unknown-issuer");
}

#[test]
fn what_is_replaced_keeps_its_owner() {
    use std::os::unix::fs::{MetadataExt, chown};
    let office = Office::new();
    office.node();
    let (key, list) = (office.path("node/350200-credit.key"), office.path("issuing.crl"));
    // Only root can give files away; for everyone else they keep their owner.
    let service = match std::fs::metadata(&key).unwrap().uid() {
        0 => 4_711,
        own => own,
    };
    for file in [&key, &list, &office.path("node")] {
        chown(file, Some(service), None).unwrap();
    }
    // One that is new is its directory's.
    let certificate = office.path("node/350200-credit.crt");
    std::fs::remove_file(&certificate).unwrap();
    office.node();
    for file in [&key, &list, &certificate] {
        assert_eq!(std::fs::metadata(file).unwrap().uid(), service, "{}", file.display());
    }
    assert_eq!(std::fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
}
