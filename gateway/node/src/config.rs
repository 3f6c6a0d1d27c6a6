//! The one configuration file of a node. Unknown keys are refused; an error says where and what to do. Paths are
//! relative to the file itself.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use xinqiao_certs::{Binding, Role};
use xinqiao_exchange::event::Encoding;
use xinqiao_exchange::names::{NodeName, is_label};
use xinqiao_exchange::source::{Authority, Unit};

mod check;
mod lineages;
mod security;

pub(crate) use check::member_problems;
pub use lineages::{SharedAuthorities, shared_authorities};
pub use security::{
    Hours, Keys, Legacy, Minutes, Missing, Officers, Revocation, RevocationList, Seal, Stale, Token,
};

/// The file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it was read from; empty if it was not a file.
    #[serde(skip)]
    pub file: PathBuf,
    /// Who this node is and where it keeps things.
    pub node: Node,
    /// The listener departments and recipients speak to.
    pub exchange: Exchange,
    /// The officers' listener; left out: there is none.
    #[serde(default)]
    pub admin: Option<Local>,
    /// The listener for members who cannot speak TLS 1.3; left out: there is none.
    #[serde(default)]
    pub legacy: Option<Legacy>,
    /// Health and metrics.
    #[serde(default)]
    pub local: Local,
    /// What has been revoked.
    #[serde(default)]
    pub revocation: Revocation,
    /// How officers work.
    #[serde(default)]
    pub officers: Officers,
    /// How the node's own keys are kept.
    #[serde(default)]
    pub keys: Keys,
    /// Whom certificates are believed from.
    pub trust: Vec<Anchor>,
    /// Organisations this node knows.
    #[serde(default)]
    pub members: Vec<Member>,
    /// What recipients get.
    #[serde(default)]
    pub recipients: Vec<Recipient>,
    /// Nodes this node pulls from.
    #[serde(default)]
    pub upstreams: Vec<Upstream>,
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
    /// How the store behaves.
    #[serde(default)]
    pub storage: Storage,
    /// Logging.
    #[serde(default)]
    pub logging: Logging,
}

/// Who this node is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// `<trust-domain>/<division>-<line>`.
    pub name: NodeName,
    /// The data directory.
    pub data: PathBuf,
    /// The directory of secrets, outside the data directory.
    pub keys: PathBuf,
    /// The catalogue's directory; left out: the one built in.
    #[serde(default)]
    pub catalogue: Option<PathBuf>,
}

/// The exchange listener.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Address and port.
    pub listen: SocketAddr,
    /// The server's certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// A file with the key's passphrase, mode 0600, if the key is sealed (PKCS#8, PBES2).
    #[serde(default)]
    pub key_passphrase_file: Option<PathBuf>,
    /// An OCSP response for the certificate, DER, to staple; looked at again when it changes.
    #[serde(default)]
    pub ocsp: Option<PathBuf>,
    /// Members with the role `front-proxy` may pass their clients' certificates in `Client-Cert` (RFC 9440).
    #[serde(default)]
    pub front_proxy: bool,
}

/// The loopback listener.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Local {
    /// Address and port.
    pub listen: SocketAddr,
}

impl Default for Local {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)) }
    }
}

/// A trust anchor.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// Its certificate, PEM.
    pub file: PathBuf,
    /// Trust domains it may assert.
    pub domains: Vec<String>,
    /// Roles it may assert.
    pub roles: Vec<Role>,
}

/// An organisation this node knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Unique: lower-case letters, digits and hyphens.
    pub name: String,
    /// What it may be.
    pub role: Role,
    /// Its trust domain; left out: this node's.
    #[serde(default)]
    pub trust_domain: Option<String>,
    /// Known, but let in no longer.
    #[serde(default)]
    pub suspended: bool,
    /// How its certificates are recognised; left out: by the URI `spiffe://<trust_domain>/<role>/<name>`.
    #[serde(default)]
    pub bindings: Vec<Binding>,
    /// Its title in Chinese, for people.
    #[serde(default)]
    pub title: String,
    /// What it may send.
    #[serde(default)]
    pub source: Option<SourceRights>,
}

/// What a member may send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRights {
    /// Datasets.
    pub datasets: Vec<String>,
    /// The unit that hands records in.
    pub unit: Unit,
    /// The lineage of its records; left out: the member's name.
    #[serde(default)]
    pub lineage: Option<String>,
    /// Authorities it acts for.
    pub authorities: Vec<Authority>,
}

/// What a recipient gets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// The member.
    pub member: String,
    /// The policy it is served under.
    pub policy: String,
    /// Dataset → the schema it wants.
    pub datasets: BTreeMap<String, String>,
    /// How its payloads are encoded.
    #[serde(default)]
    pub encoding: Encoding,
    /// Its public acknowledgement keys, a JWKS file, if it signs its answers.
    #[serde(default)]
    pub acknowledgement_keys: Option<PathBuf>,
    /// Push to this recipient instead of waiting for it to pull.
    #[serde(default)]
    pub push: Option<Push>,
}

/// A recipient's endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// `https://host:port/path`, the path optional.
    pub url: String,
    /// Address to dial instead of looking the name up.
    #[serde(default)]
    pub address: Option<String>,
    /// The authorities that may vouch for it, PEM.
    pub authorities: PathBuf,
    /// Attempts before a batch counts as undeliverable (dead letter).
    #[serde(default = "default_attempts")]
    pub attempts: u32,
    /// The first pause between attempts, in milliseconds; it doubles, with jitter, up to ten minutes.
    #[serde(default = "default_backoff")]
    pub backoff_ms: u64,
}

impl Push {
    /// Scheme, host and port of the endpoint, and the path below which batches are put.
    pub fn split(&self) -> (&str, &str) {
        let after_scheme = self.url.find("://").map_or(0, |n| n + 3);
        match self.url[after_scheme..].find('/') {
            Some(n) => (&self.url[..after_scheme + n], self.url[after_scheme + n..].trim_end_matches('/')),
            None => (&self.url, ""),
        }
    }
}

fn default_attempts() -> u32 {
    12
}
fn default_backoff() -> u64 {
    1_000
}

/// A node this node pulls from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The member it is known as here; its source rights say what is taken.
    pub member: String,
    /// Its name as a node.
    pub node: NodeName,
    /// Its exchange listener, `https://host:port`.
    pub url: String,
    /// Address to dial instead of looking the name up, such as `10.0.0.7:8443`.
    #[serde(default)]
    pub address: Option<String>,
    /// The authorities that may vouch for it, PEM.
    pub authorities: PathBuf,
    /// The certificate this node shows, PEM; left out: the listener's.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// The upstream's pinned public keys, a JWKS file.
    pub keys: PathBuf,
    /// Streams to pull.
    pub streams: Vec<String>,
}

/// Limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a body as sent.
    pub body_bytes: u64,
    /// Bytes of a body decompressed.
    pub decoded_bytes: u64,
    /// Records in a submission.
    pub records: u32,
    /// Bytes of memory for bodies, decoders, groups and replies together.
    pub memory_bytes: u64,
    /// The share of one member in that, in percent.
    pub member_memory_percent: u8,
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Connections of one member.
    pub connections_per_member: usize,
    /// Requests a second of one member, sustained.
    pub member_requests_per_second: u32,
    /// Requests a second in all, sustained.
    pub node_requests_per_second: u32,
    /// Milliseconds for the TLS handshake.
    pub handshake_ms: u64,
    /// Milliseconds for the header.
    pub header_ms: u64,
    /// Milliseconds for a body, at most.
    pub body_ms: u64,
    /// Milliseconds an idle connection is kept.
    pub idle_ms: u64,
    /// Milliseconds requests get to finish when the node stops.
    pub drain_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            decoded_bytes: 64 << 20,
            records: 50_000,
            memory_bytes: 128 << 20,
            member_memory_percent: 50,
            connections: 4_096,
            connections_per_address: 1_024,
            connections_per_member: 512,
            member_requests_per_second: 50_000,
            node_requests_per_second: 100_000,
            handshake_ms: 10_000,
            header_ms: 10_000,
            body_ms: 60_000,
            idle_ms: 75_000,
            drain_ms: 20_000,
        }
    }
}

/// How the store behaves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Bytes of a journal segment.
    pub segment_bytes: u64,
    /// Bytes of memory for the queue's pages.
    pub queue_cache_bytes: u64,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: u64,
    /// The most records in a batch.
    pub batch_records: u64,
    /// The most bytes of lines in a batch, before compression.
    pub batch_bytes: u64,
    /// Bytes of the disk kept free: with less, no records are taken; with an eighth of it, nothing is written.
    pub reserve_bytes: u64,
    /// Adopt a journal older than what the queue or the log remember, in a new epoch. For one start only.
    pub adopt_rollback: bool,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            queue_cache_bytes: 24 << 20,
            checkpoint_seconds: 5,
            batch_records: 20_000,
            batch_bytes: 16 << 20,
            reserve_bytes: 64 << 20,
            adopt_rollback: false,
        }
    }
}

/// Logging.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logging {
    /// `json` or `text`.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`.
    pub level: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Default for Logging {
    fn default() -> Self {
        Self { format: LogFormat::Json, level: "info".into() }
    }
}

/// A configuration that cannot be used.
#[derive(Debug)]
pub struct ConfigError {
    /// Where and what, one sentence each.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}
impl std::error::Error for ConfigError {}

impl Config {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError {
            problems: vec![format!(
                "{}: cannot be read ({}); name the configuration file with --config",
                path.display(),
                e.kind()
            )],
        })?;
        let mut config: Config = toml::from_str(&text).map_err(|e| ConfigError {
            problems: vec![format!("{}: {}", path.display(), e.to_string().trim_end())],
        })?;
        let base = path.parent().unwrap_or(Path::new("."));
        config.resolve(base);
        config.file = path.to_owned();
        let problems = check::problems(&config);
        if problems.is_empty() {
            Ok(config)
        } else {
            let problems = problems.into_iter().map(|p| format!("{}: {p}", path.display())).collect();
            Err(ConfigError { problems })
        }
    }

    fn resolve(&mut self, base: &Path) {
        let fix = |p: &mut PathBuf| *p = base.join(&*p);
        fix(&mut self.node.data);
        fix(&mut self.node.keys);
        self.node.catalogue.iter_mut().for_each(fix);
        fix(&mut self.exchange.certificate);
        fix(&mut self.exchange.key);
        self.exchange.key_passphrase_file.iter_mut().for_each(fix);
        self.exchange.ocsp.iter_mut().for_each(fix);
        self.revocation.lists.iter_mut().for_each(|l| fix(&mut l.file));
        self.keys.passphrase_file.iter_mut().for_each(fix);
        if let Some(token) = self.keys.token.as_mut().filter(|t| !t.pin.starts_with("credential:")) {
            token.pin = base.join(&token.pin).display().to_string();
        }
        self.trust.iter_mut().for_each(|a| fix(&mut a.file));
        self.recipients.iter_mut().filter_map(|r| r.acknowledgement_keys.as_mut()).for_each(fix);
        self.recipients.iter_mut().filter_map(|r| r.push.as_mut()).for_each(|p| fix(&mut p.authorities));
        for u in &mut self.upstreams {
            u.certificate.iter_mut().for_each(fix);
            u.key.iter_mut().for_each(fix);
            fix(&mut u.keys);
            fix(&mut u.authorities);
        }
    }

    /// The node's trust domain.
    pub fn trust_domain(&self) -> &str {
        self.node.name.as_str().split_once('/').map_or("", |(d, _)| d)
    }
}

/// Is this a usable member name?
pub(crate) fn is_member_name(s: &str) -> bool {
    is_label(s)
}
