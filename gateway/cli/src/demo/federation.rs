//! Certificates and configurations of a federation on one machine: a city, its province, the nation.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use xinqiao_certs::Role;
use xinqiao_certs::pki::{Authority, Request, Validity, write_public};
use xinqiao_client::Profile;
use xinqiao_node::keyring::Keyring;

/// The trust domain of the whole demonstration.
pub const DOMAIN: &str = "demo.example";

/// Anything that went wrong while preparing.
#[derive(Debug)]
pub struct Unprepared(pub String);

impl std::fmt::Display for Unprepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Unprepared {}

macro_rules! from {
    ($($t:ty),+) => { $(impl From<$t> for Unprepared { fn from(e: $t) -> Self { Self(e.to_string()) } })+ };
}
from!(
    std::io::Error,
    xinqiao_explain::Explanation,
    xinqiao_node::keyring::KeyringError,
    super::process::NotStarted
);

/// A throw-away certification authority and the files it issued.
pub struct Pki {
    authority: Authority,
    /// Where the files are.
    pub dir: PathBuf,
}

impl Pki {
    /// Makes a root and writes it to `ca.crt`.
    pub fn create(dir: &Path) -> Result<Self, Unprepared> {
        std::fs::create_dir_all(dir)?;
        let authority = Authority::create_root(
            "Xinqiao demonstration",
            &[DOMAIN],
            Validity::days(SystemTime::now(), 30),
        )?;
        write_public(&dir.join("ca.crt"), authority.root_pem().as_bytes())?;
        Ok(Self { authority, dir: dir.to_owned() })
    }

    /// Issues a certificate for a member and writes `<name>.crt` and `<name>.key`.
    pub fn issue(&self, role: Role, name: &str) -> Result<(), Unprepared> {
        let mut request = Request::new(role, DOMAIN, name, Validity::days(SystemTime::now(), 30));
        if matches!(role, Role::Node | Role::Relay | Role::Recipient) {
            request.ips = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
            request.dns = vec!["localhost".into()];
        }
        self.authority.issue(&request)?.write_to(&self.dir, name)?;
        Ok(())
    }

    /// The authority, for tests that need odd certificates.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// How a member reaches a gateway.
    pub fn profile(&self, name: &str, gateway: std::net::SocketAddr) -> Profile {
        Profile::new(
            &format!("https://127.0.0.1:{}", gateway.port()),
            &self.dir.join(format!("{name}.crt")),
            &self.dir.join(format!("{name}.key")),
            &self.dir.join("ca.crt"),
        )
    }
}

/// A port nobody listens on now.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A department of the city.
pub struct Department<'a> {
    /// Member name.
    pub name: &'a str,
    /// Its title.
    pub title: &'a str,
    /// Authorities it acts for: code and name.
    pub authorities: &'a [(String, String)],
}

/// A recipient, with the policy it is served under.
pub struct Recipient<'a> {
    /// Member name.
    pub name: &'a str,
    /// Its role.
    pub role: Role,
    /// The policy.
    pub policy: &'a str,
    /// `zstd`, `gzip` or `identity`.
    pub encoding: &'a str,
}

/// A node another node pulls from.
pub struct Upstream<'a> {
    /// The member it is known as.
    pub name: &'a str,
    /// Its name as a node.
    pub node: &'a str,
    /// Its port.
    pub port: u16,
    /// Its public keys.
    pub keys: PathBuf,
    /// The certificate this node shows it.
    pub shown: &'a str,
    /// Streams to pull.
    pub streams: Vec<String>,
    /// Patterns of authorities whose records are taken.
    pub authorities: Vec<String>,
}

/// What a node's configuration is made from.
pub struct NodePlan<'a> {
    /// `demo.example/350200-credit`
    pub name: &'a str,
    /// The certificate it serves with.
    pub certificate: &'a str,
    /// Its port.
    pub port: u16,
    /// Its local port; 0 takes a free one.
    pub local: u16,
    /// Who sends.
    pub departments: Vec<Department<'a>>,
    /// Who receives.
    pub recipients: Vec<Recipient<'a>>,
    /// Whom it pulls from.
    pub upstreams: Vec<Upstream<'a>>,
    /// Further lines of configuration.
    pub extra: String,
}

/// Both datasets, as recipients want them.
pub const DATASETS: [(&str, &str); 2] = [
    ("administrative-licence", "administrative-licence-2020"),
    ("administrative-penalty", "administrative-penalty-2020"),
];

impl NodePlan<'_> {
    /// Writes the configuration and keys of a node below `dir`; the path of the configuration comes back.
    pub fn write(&self, dir: &Path, pki: &Pki) -> Result<PathBuf, Unprepared> {
        std::fs::create_dir_all(dir)?;
        let keys = dir.join("keys");
        if !keys.exists() {
            Keyring::init(&keys)?;
        }
        let secrets = Keyring::load(&keys)?;
        write_public(&dir.join("keys.json"), secrets.jwks().to_json().as_bytes())?;
        let path = dir.join("node.toml");
        std::fs::write(&path, self.toml(dir, pki))?;
        Ok(path)
    }

    fn toml(&self, dir: &Path, pki: &Pki) -> String {
        let p = |path: PathBuf| toml::Value::from(path.display().to_string()).to_string();
        let s = |text: &str| toml::Value::from(text).to_string();
        let file = |name: &str, end: &str| p(pki.dir.join(format!("{name}.{end}")));
        let mut t = String::new();
        let mut line = |text: String| writeln!(t, "{text}").expect("writing to a string does not fail");
        line(format!(
            "[node]\nname = {}\ndata = {}\nkeys = {}\n",
            s(self.name),
            p(dir.join("data")),
            p(dir.join("keys"))
        ));
        line(format!(
            "[exchange]\nlisten = \"127.0.0.1:{}\"\ncertificate = {}\nkey = {}\n",
            self.port,
            file(self.certificate, "crt"),
            file(self.certificate, "key")
        ));
        line(format!("[local]\nlisten = \"127.0.0.1:{}\"\n", self.local));
        let roles: Vec<String> = Role::ALL.iter().map(|r| s(r.as_str())).collect();
        line(format!(
            "[[trust]]\nfile = {}\ndomains = [{}]\nroles = [{}]\n",
            file("ca", "crt"),
            s(DOMAIN),
            roles.join(", ")
        ));
        let datasets: Vec<String> = DATASETS.iter().map(|(d, _)| s(d)).collect();
        for d in &self.departments {
            line(format!("[[members]]\nname = {}\nrole = \"department\"\ntitle = {}", s(d.name), s(d.title)));
            line(format!("[members.source]\ndatasets = [{}]", datasets.join(", ")));
            let (code, name) = d.authorities.first().cloned().unwrap_or_default();
            line(format!("unit = {{ code = {}, name = {} }}", s(&code), s(&name)));
            for (code, name) in d.authorities {
                line(format!("[[members.source.authorities]]\ncode = {}\nname = {}", s(code), s(name)));
            }
            line(String::new());
        }
        for r in &self.recipients {
            line(format!("[[members]]\nname = {}\nrole = {}\n", s(r.name), s(r.role.as_str())));
            line(format!(
                "[[recipients]]\nmember = {}\npolicy = {}\nencoding = {}",
                s(r.name),
                s(r.policy),
                s(r.encoding)
            ));
            line("[recipients.datasets]".into());
            for (dataset, schema) in DATASETS {
                line(format!("{dataset} = {}", s(schema)));
            }
            line(String::new());
        }
        for u in &self.upstreams {
            line(format!("[[members]]\nname = {}\nrole = \"node\"", s(u.name)));
            line(format!(
                "[members.source]\ndatasets = [{}]\nunit = {{ code = \"\", name = \"\" }}",
                datasets.join(", ")
            ));
            for code in &u.authorities {
                line(format!("[[members.source.authorities]]\ncode = {}", s(code)));
            }
            let streams: Vec<String> = u.streams.iter().map(|x| s(x)).collect();
            line(format!(
                "\n[[upstreams]]\nmember = {}\nnode = {}\nurl = \"https://127.0.0.1:{}\"\ncertificate = {}\nkey = {}\nauthorities = {}\nkeys = {}\nstreams = [{}]\n",
                s(u.name),
                s(u.node),
                u.port,
                file(u.shown, "crt"),
                file(u.shown, "key"),
                file("ca", "crt"),
                p(u.keys.clone()),
                streams.join(", ")
            ));
        }
        line(self.extra.clone());
        t
    }
}
