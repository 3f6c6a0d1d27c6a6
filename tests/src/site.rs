//! One node on this machine, with departments, recipients and certificates of its own: what a test needs to treat the
//! real program as its users and its administrators do.

use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use xinqiao::demo::federation::{DATASETS, Department, NodePlan, Pki, Recipient};
use xinqiao::demo::process::{NodeProcess, NotStarted};
use xinqiao_certs::Role;
use xinqiao_client::{Client, ClientError, KeySource, PullSettings, Puller, RetryPolicy};
use xinqiao_schemas::Date;
use xinqiao_schemas::synthetic::{Generator, Table};

use crate::program::node_program;

/// The node's name.
pub const NODE: &str = "demo.example/350200-credit";
/// The departments that send.
pub const DEPARTMENTS: [&str; 2] = ["market-supervision", "culture-tourism"];
/// The recipient that gets every record.
pub const PROVINCE: &str = "province";
/// The recipient that gets public records about organisations.
pub const PORTAL: &str = "portal";

/// Patience of tests: nothing they wait for takes this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until it holds, or fails when patience ends; how long that took.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let begin = Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    while !holds().await {
        assert!(begin.elapsed() < PATIENCE, "never came: {what}");
        pause.tick().await;
    }
    begin.elapsed()
}

/// Tells a node to look at its files.
pub fn hang_up(node: &NodeProcess) {
    let told = Command::new("kill").arg("-HUP").arg(node.id().to_string()).status();
    assert!(told.is_ok_and(|status| status.success()), "a signal can be sent");
}

/// A node's place on disk.
pub struct Site {
    /// Certificates, what was pulled, receipts, the program's log.
    pub dir: PathBuf,
    /// Configuration, keys and data of the node.
    pub node: PathBuf,
    /// The certification authority.
    pub pki: Pki,
    authorities: Vec<(String, String)>,
}

impl Site {
    /// Makes one; `extra` is more configuration.
    pub fn new(dir: &Path, extra: &str) -> Self {
        let pki = Pki::create(&dir.join("pki")).expect("certificates can be made");
        let recipients = [(Role::Relay, PROVINCE), (Role::Recipient, PORTAL)];
        let departments = DEPARTMENTS.map(|name| (Role::Department, name));
        for (role, name) in [(Role::Node, "city")].into_iter().chain(recipients).chain(departments) {
            pki.issue(role, name).expect("certificates can be issued");
        }
        let site = Self { dir: dir.to_owned(), node: dir.join("node"), pki, authorities: authorities() };
        site.configure(extra);
        site
    }

    /// Writes the configuration anew.
    pub fn configure(&self, extra: &str) -> PathBuf {
        let department = |name| Department { name, title: "样例局", authorities: &self.authorities };
        let recipient = |name, role, policy, encoding| Recipient { name, role, policy, encoding };
        let plan = NodePlan {
            name: NODE,
            certificate: "city",
            port: 0,
            local: 0,
            departments: DEPARTMENTS.map(department).into(),
            recipients: vec![
                recipient(PROVINCE, Role::Relay, "province-government", "zstd"),
                recipient(PORTAL, Role::Recipient, "portal-public", "gzip"),
            ],
            upstreams: Vec::new(),
            extra: extra.to_owned(),
        };
        plan.write(&self.node, &self.pki).expect("the configuration can be written")
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.node.join("node.toml")
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.node.join("data")
    }

    /// The node's public keys.
    pub fn keys(&self) -> PathBuf {
        self.node.join("keys.json")
    }

    /// The program's log, of all its starts.
    pub fn log(&self) -> PathBuf {
        self.dir.join("node.log")
    }

    /// Starts the node.
    pub fn start(&self) -> NodeProcess {
        self.try_start().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts the node, or says why it did not start.
    pub fn try_start(&self) -> Result<NodeProcess, NotStarted> {
        NodeProcess::start(node_program(), &self.config(), &self.log())
    }

    /// Runs the node where it must refuse to start; its exit code and what it said.
    pub fn refused(&self) -> (i32, String) {
        let mut child = Command::new(node_program())
            .args(["serve", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let until = Instant::now() + PATIENCE;
        while child.try_wait().expect("a child can be waited for").is_none() {
            if Instant::now() > until {
                let _ = child.kill();
                panic!("the node started although it must not");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let said = child.wait_with_output().expect("a child's output can be read");
        (said.status.code().unwrap_or(-1), text(&said))
    }

    /// Runs another command of the program and gives its exit code and what it said.
    pub fn run(&self, arguments: &[&std::ffi::OsStr]) -> (i32, String) {
        let said = Command::new(node_program()).args(arguments).output().expect("the program starts");
        (said.status.code().unwrap_or(-1), text(&said))
    }

    /// Verifies the log files of a node that is not running.
    pub fn verify_log(&self) -> (i32, String) {
        let (log, keys) = (self.data().join("log"), self.keys());
        self.run(&[
            "log".as_ref(),
            "verify".as_ref(),
            log.as_ref(),
            "--keys".as_ref(),
            keys.as_ref(),
            "--node".as_ref(),
            NODE.as_ref(),
        ])
    }

    /// A member's connection, which asks once and does not try again by itself.
    pub fn client(&self, member: &str, node: &NodeProcess) -> Client {
        let client = Client::connect(&self.pki.profile(member, node.exchange)).expect("the files are there");
        client.with_retry(RetryPolicy::never())
    }

    /// Where a recipient keeps its streams.
    pub fn pulled(&self) -> PathBuf {
        self.dir.join("pulled")
    }

    /// A recipient following a stream.
    pub async fn puller(&self, client: Client, member: &str, dataset: &str) -> Result<Puller, ClientError> {
        Puller::open(client, self.following(member, dataset)).await
    }

    /// How a recipient follows a stream.
    pub fn following(&self, member: &str, dataset: &str) -> PullSettings {
        PullSettings::new(&format!("{member}.{dataset}"), self.pulled(), KeySource::File(self.keys()))
    }

    /// Every stream of every recipient.
    pub fn streams() -> impl Iterator<Item = (&'static str, &'static str)> {
        [PROVINCE, PORTAL].into_iter().flat_map(|r| DATASETS.into_iter().map(move |(d, _)| (r, d)))
    }
}

fn text(said: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
}

/// Codes and names of the authorities that made-up records are by.
pub(crate) fn authorities() -> Vec<(String, String)> {
    let mut known = BTreeMap::new();
    for record in Generator::new(0, today()).records(Table::CityPenalty, 400) {
        if let (Some(code), Some(name)) = (record.get("JGDM"), record.get("JGMC")) {
            known.insert(code.to_owned(), name.to_owned());
        }
    }
    known.into_iter().collect()
}

/// The business day this program was started on: what is made again after midnight is still the same.
pub fn today() -> Date {
    static TODAY: OnceLock<Date> = OnceLock::new();
    *TODAY.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Date::business_day(i64::try_from(now).unwrap_or(0))
    })
}

/// What the node says about itself: HTTP status and report of `/readyz`.
pub async fn readiness(local: SocketAddr) -> (u16, Value) {
    let (status, body) = get(local, "/readyz").await;
    (status, serde_json::from_str(&body).expect("a report is JSON"))
}

/// Whether a report names this check in this state.
pub fn says(report: &Value, check: &str, state: &str) -> bool {
    report["checks"]
        .as_array()
        .is_some_and(|all| all.iter().any(|c| c["name"] == check && c["state"] == state))
}

/// A document of the local listener.
pub async fn get(local: SocketAddr, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(local).await.expect("the local listener is there");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request can be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer comes");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("an answer has a status");
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).expect("an answer has a body");
    (status, body)
}
