//! TLS as a hostile or clumsy member would speak it: a client built on tlslite-ng sends each message wrong, out of order,
//! too long, too often or not at all, and the node must answer with the alert that RFC 8446 names and nothing else.
//! After every case a good member is served; at the end the log holds no panic and nothing that was sent.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cases;

use cases::CASES;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};
use xinqiao::demo::federation::{DOMAIN, Pki, free_port};
use xinqiao_certs::pki::{Authority, Request, SigningRequest, Validity, write_public};
use xinqiao_certs::{Details, Role};
use xinqiao_tests::city::{City, NDJSON, document, ndjson, peer_of, penalty, put};
use xinqiao_tests::oracle::has;
use xinqiao_tests::peer::Ask;
use xinqiao_tests::site::{get, until};

/// Stands in names, session ids, garbage, headers and early data: no log may ever hold it.
const CANARY: &str = "canary-bird-of-foreign-tls";
/// Exchange, legacy, officers'.
const LISTENERS: usize = 3;
/// What announces megabytes must not be given them: all cases together need a third of this.
const MOST_MIB: u64 = 200;
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_foreign_peer_says_is_answered_as_the_rfc_demands() {
    if !has("python3", &["-c", "import tlslite, cryptography"]) || !has("openssl", &["version"]) {
        return;
    }
    let mut legacy = 0;
    let city = City::start("foreign-tls", |pki| {
        legacy = free_port().unwrap();
        prepare(pki, legacy)
    });
    let record = penalty();
    city.peer("alpha").ask(put(NDJSON, ndjson(std::slice::from_ref(&record)))).await.good(201);
    let mut peer = ForeignPeer::start(&city, legacy);
    let told: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(told.len(), CASES.len(), "a case is listed twice");
    let known = peer.cases.iter().map(String::as_str).collect::<BTreeSet<_>>();
    let odd: Vec<_> = told.symmetric_difference(&known).collect();
    assert!(odd.is_empty(), "either cases.rs or peer.py does not know {odd:?}");

    let mut wrong = Vec::new();
    for case in CASES {
        if case.name == cases::AFTER_THE_CHANGE {
            change_certificate(&city).await;
        }
        let outcome = peer.run(case.name);
        if !case.allows(&outcome) {
            wrong.push(format!("{}: {outcome}, but it must be {}", case.name, case.must));
        }
        let answer = peer_of(&city.pki, "beta", city.node.exchange).try_ask(Ask::get("/v1/datasets")).await;
        if !answer.as_ref().is_ok_and(|answer| answer.status == 200) {
            wrong.push(format!("after {}, a good member got {answer:?}", case.name));
        }
    }
    drop(peer);
    all_gone(&city).await;
    let most = peak_mib(city.node.id());
    if most > MOST_MIB {
        wrong.push(format!("the node held {most} MiB at its fullest"));
    }
    let log = city.log();
    for never in [CANARY, "panicked", "PRIVATE KEY", document(&record)] {
        if let Some(line) = log.lines().find(|line| line.contains(never)) {
            wrong.push(format!("the log holds `{never}`: {line}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} went wrong:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

/// Certificates beside the good ones, and the node's further configuration.
fn prepare(pki: &Pki, legacy: u16) -> String {
    let issue = |role, name: &str, since: SystemTime, days| {
        let request = Request::new(role, DOMAIN, name, Validity::days(since, days));
        pki.authority().issue(&request).unwrap().write_to(&pki.dir, name).unwrap();
    };
    let now = SystemTime::now();
    issue(Role::Department, "expired", now - 9 * DAY, 5);
    issue(Role::Department, "early", now + 9 * DAY, 5);
    issue(Role::Department, "unlisted", now, 5);
    issue(Role::SecurityOfficer, "security", now, 5);
    let other = Authority::create_root("Xinqiao demonstration", &[DOMAIN], Validity::days(now, 5)).unwrap();
    let request = Request::new(Role::Department, DOMAIN, "alpha", Validity::days(now, 5));
    other.issue(&request).unwrap().write_to(&pki.dir, "stranger").unwrap();
    issue_rsa(pki, "rsa");
    format!(
        "[limits]\nhandshake_ms = 4000\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [legacy]\nlisten = \"127.0.0.1:{legacy}\"\nmembers = [\"alpha\", \"rsa\"]\n\
         [[members]]\nname = \"rsa\"\nrole = \"recipient\"\n\
         [[members]]\nname = \"security\"\nrole = \"security-officer\"\n"
    )
}

/// A certificate for an RSA key, which our own tools do not make.
fn issue_rsa(pki: &Pki, name: &str) {
    let path = |end: &str| pki.dir.join(format!("{name}.{end}"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=rsa", "-keyout"]);
    let made = openssl.arg(path("key")).arg("-out").arg(path("csr")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let signing = SigningRequest::read(name, &std::fs::read(path("csr")).unwrap()).unwrap();
    let request = Request::new(Role::Recipient, DOMAIN, name, Validity::days(SystemTime::now(), 5));
    write_public(&path("crt"), pki.authority().sign(&request, &signing).unwrap().chain_pem.as_bytes())
        .unwrap();
}

/// Gives the node a new certificate, tells it by SIGHUP, and waits until new connections see it.
async fn change_certificate(city: &City) {
    city.pki.issue(Role::Node, "city").unwrap();
    let pem = std::fs::read(city.pki.dir.join("city.crt")).unwrap();
    let wanted = Details::read("city", &pem).unwrap().remove(0).sha256;
    let told = Command::new("kill").arg("-HUP").arg(city.node.id().to_string()).status().unwrap();
    assert!(told.success());
    until("the new certificate", || async {
        let stream = city.peer("beta").open().await;
        let shown = stream.ok().and_then(|s| {
            let leaf = s.get_ref().1.peer_certificates()?.first()?.clone();
            Details::of(&leaf).ok().map(|details| details.sha256)
        });
        shown.as_ref() == Some(&wanted)
    })
    .await;
}

/// Waits until no connection of the cases is left on any listener.
async fn all_gone(city: &City) {
    until("the end of all connections", || async {
        let (_, metrics) = get(city.node.local, "/metrics").await;
        let open = metrics.lines().filter(|line| line.starts_with("xinqiao_edge_connections{"));
        let open: Vec<_> = open.filter_map(|line| line.rsplit(' ').next()).collect();
        open.len() == LISTENERS && open.iter().all(|count| count.parse() == Ok(0.0))
    })
    .await;
}

/// The most memory a process ever held.
fn peak_mib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// `peer.py`, which runs one case after another.
struct ForeignPeer {
    child: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
    cases: Vec<String>,
    errors: PathBuf,
}

impl ForeignPeer {
    fn start(city: &City, legacy: u16) -> Self {
        let errors = city.dir.join("peer.err");
        let mut child = Command::new("python3")
            .arg("-B")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_tls/peer.py"))
            .arg(&city.pki.dir)
            .args([city.node.exchange.port(), legacy, city.node.admin.unwrap().port()].map(|p| p.to_string()))
            .arg(CANARY)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let (say, hear) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut peer = Self { child, say, hear, cases: Vec::new(), errors };
        peer.cases = peer.line().split(' ').map(str::to_owned).collect();
        peer
    }

    fn run(&mut self, name: &str) -> String {
        writeln!(self.say, "{name}").unwrap();
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.hear.read_line(&mut line).unwrap();
        if line.is_empty() {
            self.child.wait().unwrap();
            panic!("the foreign peer fell: {}", std::fs::read_to_string(&self.errors).unwrap());
        }
        line.trim().to_owned()
    }
}

impl Drop for ForeignPeer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
