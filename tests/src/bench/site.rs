//! A city with its certificates, recipients and process.

use super::Fault;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::Resumption;
use xinqiao::demo::federation::{Department, NodePlan, Pki, Recipient, free_port};
use xinqiao::demo::process::NodeProcess;
use xinqiao_certs::{AnchorRights, Identity, Role, Trust, TrustAnchors, UnixTime, tls};
use xinqiao_client::Client;

/// The department that sends.
pub(super) const DEPARTMENT: &str = "bureau";
/// The server's certificate, which baselines show too.
pub(super) const SERVER: &str = "city";

/// Recipients of the widest measurement; the first two are those of all others.
const RECIPIENTS: [(&str, Role, &str, &str); 10] = [
    ("province", Role::Relay, "province-government", "zstd"),
    ("portal", Role::Recipient, "portal-public", "gzip"),
    ("nation", Role::Relay, "nation-government", "zstd"),
    ("agency", Role::Recipient, "agency-authorised", "gzip"),
    ("neighbour-a", Role::Recipient, "province-government", "gzip"),
    ("neighbour-b", Role::Recipient, "province-government", "zstd"),
    ("commerce", Role::Recipient, "nation-government", "gzip"),
    ("bank", Role::Recipient, "agency-authorised", "zstd"),
    ("district-a", Role::Recipient, "portal-public", "zstd"),
    ("district-b", Role::Recipient, "province-government", "identity"),
];

/// The program that is measured.
pub(super) fn program() -> PathBuf {
    crate::program::node_program().to_owned()
}

/// The versions of HTTP a load may be sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

impl Version {
    /// As a heading says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Version::Http1 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
        }
    }

    /// As ALPN says it (RFC 7301).
    fn alpn(self) -> &'static [u8] {
        match self {
            Version::Http1 => b"http/1.1",
            Version::Http2 => b"h2",
        }
    }
}

/// A running city in a folder of its own, which goes with it.
pub(super) struct Site {
    pub(super) node: NodeProcess,
    pub(super) pki: Pki,
    program: PathBuf,
    config: PathBuf,
    folder: tempfile::TempDir,
}

impl Site {
    /// Starts a city with so many recipients.
    pub(super) fn start(dir: &Path, recipients: usize) -> Result<Self, Fault> {
        Self::with_departments(dir, recipients, &[DEPARTMENT])
    }

    /// Starts a city of another build of the program, which must read the same configuration.
    pub(super) fn of(program: &Path, dir: &Path, recipients: usize) -> Result<Self, Fault> {
        Self::build(program, dir, recipients, &[DEPARTMENT], |_| Ok(String::new()))
    }

    /// Starts a city with two recipients, more members and settings.
    pub(super) fn among(dir: &Path, more: impl FnOnce(&Pki) -> Result<String, Fault>) -> Result<Self, Fault> {
        Self::build(&program(), dir, 2, &[DEPARTMENT], more)
    }

    /// Starts a city with these departments, each of which acts for all authorities.
    pub(super) fn with_departments(
        dir: &Path,
        recipients: usize,
        departments: &[&str],
    ) -> Result<Self, Fault> {
        Self::build(&program(), dir, recipients, departments, |_| Ok(String::new()))
    }

    fn build(
        program: &Path,
        dir: &Path,
        recipients: usize,
        departments: &[&str],
        more: impl FnOnce(&Pki) -> Result<String, Fault>,
    ) -> Result<Self, Fault> {
        let folder = tempfile::Builder::new().prefix("xinqiao-bench-").tempdir_in(dir)?;
        let pki = Pki::create(&folder.path().join("pki"))?;
        pki.issue(Role::Node, SERVER)?;
        for name in departments {
            pki.issue(Role::Department, name)?;
        }
        let recipients = &RECIPIENTS[..recipients];
        for (name, role, ..) in recipients {
            pki.issue(*role, name)?;
        }
        let authorities = super::bodies::authorities()?;
        let plan = NodePlan {
            name: "demo.example/350200-credit",
            certificate: SERVER,
            port: free_port()?,
            local: 0,
            departments: departments
                .iter()
                .map(|name| Department { name, title: "样例局", authorities: &authorities })
                .collect(),
            recipients: recipients
                .iter()
                .map(|(name, role, policy, encoding)| Recipient { name, role: *role, policy, encoding })
                .collect(),
            upstreams: Vec::new(),
            extra: format!(
                "[limits]\nmember_requests_per_second = 1000000\nnode_requests_per_second = 1000000\n{}",
                more(&pki)?
            ),
        };
        let config = plan.write(&folder.path().join("city"), &pki)?;
        let node = NodeProcess::start(program, &config, &folder.path().join("city.log"))?;
        Ok(Self { node, pki, program: program.to_owned(), config, folder })
    }

    /// Its process.
    pub(super) fn pids(&self) -> [u32; 1] {
        [self.node.id()]
    }

    /// Where it keeps things.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("city/data")
    }

    /// The node's public keys.
    pub(super) fn keys(&self) -> PathBuf {
        self.folder.path().join("city/keys.json")
    }

    /// How the department reaches a server of this site.
    pub(super) fn connector(&self, resume: bool) -> Result<TlsConnector, Fault> {
        connector(&self.pki.dir, DEPARTMENT, resume)
    }

    /// How the department reaches this site on connections kept open, in one version of HTTP.
    pub(super) fn connector_of(&self, version: Version) -> Result<TlsConnector, Fault> {
        speaking(&self.pki.dir, DEPARTMENT, true, version)
    }

    /// A recipient's client.
    pub(super) fn client(&self, recipient: &str) -> Result<Client, Fault> {
        Ok(Client::connect(&self.pki.profile(recipient, self.node.exchange))?)
    }

    /// Kills the node without a word, lets `between` have its way with the data, and starts it again; how long it took
    /// until it served.
    pub(super) fn restart(
        self,
        between: impl FnOnce(&Path) -> std::io::Result<()>,
    ) -> Result<(Self, Duration), Fault> {
        let Self { node, pki, program, config, folder } = self;
        node.kill();
        between(&folder.path().join("city/data"))?;
        let began = Instant::now();
        let node = NodeProcess::start(&program, &config, &folder.path().join("city.log"))?;
        let took = began.elapsed();
        Ok((Self { node, pki, program, config, folder }, took))
    }

    /// Asks the node to stop and waits until it has; the CPU of its whole life. It drains, writes its rows and closes
    /// the journal first, so work it had put off is in the figure.
    pub(super) fn stop(self) -> Result<Duration, Fault> {
        let pid = self.node.id();
        std::process::Command::new("kill").arg("-TERM").arg(pid.to_string()).status()?;
        let deadline = Instant::now() + Duration::from_secs(60);
        // A process that ended keeps its figures in /proc until its parent asks how it ended, which the next line does.
        while !super::machine::has_ended(pid) {
            if Instant::now() > deadline {
                return Err("the node does not stop".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let spent = super::machine::cpu(&[pid]);
        match self.node.stop() {
            true => Ok(spent),
            false => Err("the node did not stop as it should".into()),
        }
    }

    /// Where the listener is.
    pub(super) fn address(&self) -> SocketAddr {
        self.node.exchange
    }
}

/// TLS as a member of the demonstration's authority speaks it, HTTP/1.1 only.
pub(super) fn connector(pki: &Path, member: &str, resume: bool) -> Result<TlsConnector, Fault> {
    speaking(pki, member, resume, Version::Http1)
}

fn speaking(pki: &Path, member: &str, resume: bool, version: Version) -> Result<TlsConnector, Fault> {
    let mut config: ClientConfig = (*tls::client_config(&identity(pki, member)?, &trust(pki)?)).clone();
    config.alpn_protocols = vec![version.alpn().to_vec()];
    if !resume {
        config.resumption = Resumption::disabled();
    }
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A certificate and key the authority issued.
pub(super) fn identity(pki: &Path, name: &str) -> Result<Identity, Fault> {
    Ok(Identity::from_files(
        &pki.join(format!("{name}.crt")),
        &pki.join(format!("{name}.key")),
        UnixTime::now(),
    )?)
}

/// What the authority may vouch for.
pub(super) fn trust(pki: &Path) -> Result<Arc<Trust>, Fault> {
    let mut anchors = TrustAnchors::new();
    let rights = AnchorRights::new([xinqiao::demo::federation::DOMAIN], Role::ALL);
    anchors.add_file(&pki.join("ca.crt"), rights, UnixTime::now())?;
    Ok(Trust::new(anchors, xinqiao_certs::Revocation::none())?)
}
