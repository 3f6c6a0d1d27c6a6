//! A node's certificates through the generations of its authority, and the files they stand in.

use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use xinqiao::demo::federation::{DOMAIN, Department, NodePlan, Pki, Recipient};
use xinqiao::demo::process::NodeProcess;
use xinqiao_certs::pki::{
    Authority, Issued, Reason, Request, Revoked, Validity, certificates, write_pair, write_public,
};
use xinqiao_certs::{CertificateDer, Identity, Revocation, Role, Trust, TrustAnchors, UnixTime, tls};
use xinqiao_client::{Client, Profile, RetryPolicy, Tls};
use xinqiao_evidence::Digest;

use crate::program::node_program;
use crate::site::{self, NODE, PORTAL, PROVINCE};

/// The member whose certificates come and go.
const STRAY: &str = "stray";
const OFFICERS: [(Role, &str); 3] = [
    (Role::SecurityOfficer, "security-a"),
    (Role::SecurityOfficer, "security-b"),
    (Role::SystemOfficer, "system"),
];

/// Everything on disk.
pub struct Estate {
    /// Certificates, keys, lists.
    pub pki: PathBuf,
    /// Configuration, keys and data of the node.
    pub node: PathBuf,
    /// What was pulled.
    pub pulled: PathBuf,
    log: PathBuf,
    senders: usize,
    generation: usize,
    authority: Authority,
    old: Option<Authority>,
    revoked: Vec<Revoked>,
    lists: u64,
}

impl Estate {
    /// The first generation, and a node that knows everyone.
    pub fn found(dir: &Path, senders: usize) -> Self {
        let pki = dir.join("pki");
        // Only for the folder and the configuration's names of files: its authority is replaced at once.
        let names = Pki::create(&pki).expect("certificates can be made");
        let mut estate = Self {
            pki,
            node: dir.join("node"),
            pulled: dir.join("pulled"),
            log: dir.join("node.log"),
            senders,
            generation: 0,
            authority: authority(0),
            old: None,
            revoked: Vec::new(),
            lists: 0,
        };
        write_public(&estate.pki.join("ca.crt"), estate.authority.root_pem().as_bytes())
            .expect("files can be written");
        estate.write_peers_anchors();
        estate.write_list();
        estate.renew_server();
        estate.renew_members();
        estate.configure(&names);
        estate
    }

    fn configure(&self, names: &Pki) {
        let authorities = site::authorities();
        let titles: Vec<String> = (0..self.senders).map(sender).chain([STRAY.to_owned()]).collect();
        let mut extra = String::from(
            "[admin]\nlisten = \"127.0.0.1:0\"\n[officers]\nlockout_failures = 1000\n[limits]\nconnections_per_address = 4096\n",
        );
        extra += &self.list_entry(0);
        for (role, name) in OFFICERS {
            extra += &format!("[[members]]\nname = \"{name}\"\nrole = \"{role}\"\n");
        }
        let recipient = |name, role, policy, encoding| Recipient { name, role, policy, encoding };
        let plan = NodePlan {
            name: NODE,
            certificate: "city",
            port: 0,
            local: 0,
            departments: titles
                .iter()
                .map(|name| Department { name, title: "样例局", authorities: &authorities })
                .collect(),
            recipients: vec![
                recipient(PROVINCE, Role::Relay, "province-government", "zstd"),
                recipient(PORTAL, Role::Recipient, "portal-public", "gzip"),
            ],
            upstreams: Vec::new(),
            extra,
        };
        plan.write(&self.node, names).expect("the configuration can be written");
    }

    /// Starts the node.
    pub fn start(&self) -> NodeProcess {
        NodeProcess::start(node_program(), &self.node.join("node.toml"), &self.log)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The next generation, which everyone but the node trusts now; the act by which the node does. Tell the node to look.
    pub fn add_authority(&mut self) -> Value {
        self.generation += 1;
        self.old = Some(std::mem::replace(&mut self.authority, authority(self.generation)));
        self.revoked.clear();
        self.write_list();
        self.name_list();
        self.write_peers_anchors();
        let roles: Vec<&str> = Role::ALL.iter().map(|r| r.as_str()).collect();
        json!({ "act": "anchor-put", "anchor": {
            "name": format!("rotation {}", self.generation), "pem": self.authority.root_pem(),
            "domains": [DOMAIN], "roles": roles,
        } })
    }

    /// Only the newest generation is trusted from now on; the act by which the node does the same.
    pub fn remove_old_authority(&mut self) -> Value {
        let old = self.old.take().expect("there is an old one");
        self.write_peers_anchors();
        let root = certificates("root", old.root_pem().as_bytes()).expect("PEM of a root");
        json!({ "act": "anchor-remove", "digest": Digest::of(&root[0]).to_hex() })
    }

    /// The server's certificate anew; the leaf comes back.
    pub fn renew_server(&self) -> CertificateDer<'static> {
        let issued = self.issue(&self.authority, Role::Node, "city");
        self.write(&issued, "city");
        issued.chain()[0].clone()
    }

    /// Everybody's certificate anew.
    pub fn renew_members(&self) {
        for (role, name) in self.members() {
            self.write(&self.issue(&self.authority, role, &name), &name);
        }
    }

    /// Every member but the stray comes once with what its files say.
    pub async fn everyone_came_again(&self, node: &NodeProcess) {
        for (role, name) in self.members() {
            let address =
                if role.is_officer() { node.admin.expect("officers have a listener") } else { node.exchange };
            let identity = self.identity(&name);
            assert!(self.handshake(address, &identity).await.is_some(), "{name} is let in");
        }
    }

    fn members(&self) -> impl Iterator<Item = (Role, String)> {
        let senders = (0..self.senders).map(|n| (Role::Department, sender(n)));
        let recipients = [(Role::Relay, PROVINCE), (Role::Recipient, PORTAL)];
        senders.chain(recipients.into_iter().chain(OFFICERS).map(|(r, n)| (r, n.to_owned())))
    }

    /// A certificate of the stray member that no file holds.
    pub fn stray(&self) -> Issued {
        self.issue(&self.authority, Role::Department, STRAY)
    }

    /// The same by the authority that is about to go.
    pub fn stray_of_old(&self) -> Issued {
        self.issue(self.old.as_ref().expect("there is an old one"), Role::Department, STRAY)
    }

    /// Lists a certificate as revoked.
    pub fn revoke(&mut self, issued: &Issued) {
        let (serial, reason) = (issued.serial().to_vec(), Reason::KeyCompromise);
        self.revoked.push(Revoked { serial, time: SystemTime::now(), reason });
        self.write_list();
    }

    /// Whether the certificate opens a connection on which a request is answered; then the connection.
    pub async fn connection(&self, node: &NodeProcess, issued: &Issued) -> Option<TlsStream<TcpStream>> {
        let (chain, key) = (issued.chain_pem().as_bytes(), issued.key_pem().as_bytes());
        let identity = Identity::from_pem(chain, key, UnixTime::now());
        self.handshake(node.exchange, &identity.expect("it was just issued")).await
    }

    /// The certificate the server shows.
    pub async fn shown(&self, node: &NodeProcess) -> Option<CertificateDer<'static>> {
        let identity = self.identity(&sender(0));
        let stream = self.handshake(node.exchange, &identity).await?;
        Some(stream.get_ref().1.peer_certificates()?.first()?.clone().into_owned())
    }

    async fn handshake(
        &self,
        address: std::net::SocketAddr,
        identity: &Identity,
    ) -> Option<TlsStream<TcpStream>> {
        use tokio::io::AsyncWriteExt;
        let pem = std::fs::read(self.pki.join("peers-ca.crt")).ok()?;
        let anchors = TrustAnchors::for_servers("authorities", &pem, UnixTime::now()).ok()?;
        let trust = Trust::new(anchors, Revocation::none()).ok()?;
        let mut config = (*tls::client_config(identity, &trust)).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(address).await.ok()?;
        let name = "localhost".try_into().expect("a name");
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        // In TLS 1.3 a client learns with the first answer whether its certificate was taken.
        stream.write_all(b"GET /v1/keys HTTP/1.1\r\nHost: localhost\r\n\r\n").await.ok()?;
        let mut head = [0u8; 12];
        stream.read_exact(&mut head).await.ok()?;
        (&head[9..] != b"403").then_some(stream)
    }

    /// What a member's files say now.
    pub fn identity(&self, name: &str) -> Identity {
        let file = |end: &str| self.pki.join(format!("{name}.{end}"));
        Identity::from_files(&file("crt"), &file("key"), UnixTime::now()).expect("files go together")
    }

    /// What a member's connections are made with, as its files say now.
    pub fn tls(&self, name: &str) -> Tls {
        let pem = std::fs::read(self.pki.join("peers-ca.crt")).expect("a file");
        let anchors =
            TrustAnchors::for_servers("authorities", &pem, UnixTime::now()).expect("good authorities");
        let trust = Trust::new(anchors, Revocation::none()).expect("good authorities");
        Tls::new(&self.identity(name), &trust)
    }

    /// How a member reaches the exchange.
    pub fn profile(&self, name: &str, address: std::net::SocketAddr) -> Profile {
        let file = |end: &str| self.pki.join(format!("{name}.{end}"));
        Profile::new(
            &format!("https://127.0.0.1:{}", address.port()),
            &file("crt"),
            &file("key"),
            &self.pki.join("peers-ca.crt"),
        )
    }

    /// An officer.
    pub fn officer(&self, node: &NodeProcess, name: &str) -> Client {
        let admin = node.admin.expect("officers have a listener");
        let client = Client::connect(&self.profile(name, admin)).expect("the files are there");
        client.with_retry(RetryPolicy::never())
    }

    /// The node's public keys as they were before it ever ran: what recipients pin.
    pub fn pinned(&self) -> PathBuf {
        self.node.join("keys.json")
    }

    fn issue(&self, authority: &Authority, role: Role, name: &str) -> Issued {
        let mut request = Request::new(role, DOMAIN, name, Validity::days(SystemTime::now(), 30));
        if matches!(role, Role::Node | Role::Relay | Role::Recipient) {
            request.ips = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
            request.dns = vec!["localhost".into()];
        }
        authority.issue(&request).expect("certificates can be issued")
    }

    fn write(&self, issued: &Issued, name: &str) {
        let file = |end: &str| self.pki.join(format!("{name}.{end}"));
        write_pair(&file("crt"), issued.chain_pem().as_bytes(), &file("key"), issued.key_pem().as_bytes())
            .expect("files can be written");
    }

    /// What everyone but the node takes its authorities from; the node's own stand in `ca.crt` as they were at first.
    fn write_peers_anchors(&self) {
        let mut pem = self.authority.root_pem();
        if let Some(old) = &self.old {
            pem += &old.root_pem();
        }
        write_public(&self.pki.join("peers-ca.crt"), pem.as_bytes()).expect("files can be written");
    }

    /// A list's place belongs to one authority for good, so each generation has its own.
    fn list(&self, generation: usize) -> PathBuf {
        self.pki.join(format!("revoked-{generation}.crl"))
    }

    fn list_entry(&self, generation: usize) -> String {
        format!("[[revocation.lists]]\nfile = {}\n", toml_text(&self.list(generation)))
    }

    /// The configuration names the newest list and the one before, once the node is told.
    fn name_list(&self) {
        let path = self.node.join("node.toml");
        let text = std::fs::read_to_string(&path).expect("the configuration was written");
        let last = self.list_entry(self.generation - 1);
        let mut text = text.replace(&last, &format!("{last}{}", self.list_entry(self.generation)));
        if let Some(gone) = self.generation.checked_sub(2) {
            text = text.replace(&self.list_entry(gone), "");
        }
        std::fs::write(&path, text).expect("files can be written");
    }

    fn write_list(&mut self) {
        self.lists += 1;
        let validity = Validity::days(SystemTime::now(), 7);
        let list = self.authority.revocation_list(self.lists, validity, &self.revoked);
        write_public(&self.list(self.generation), list.expect("a list can be made").as_bytes())
            .expect("files can be written");
    }
}

/// A sender's name.
pub(super) fn sender(n: usize) -> String {
    format!("bureau-{n:02}")
}

fn authority(generation: usize) -> Authority {
    let validity = Validity::days(SystemTime::now(), 30);
    Authority::create_root(&format!("Rotation {generation}"), &[DOMAIN], validity)
        .expect("a root can be made")
}

fn toml_text(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// How long after `from` the other side ended the connection.
pub(super) async fn end_of(mut stream: TlsStream<TcpStream>, from: Instant) -> Duration {
    let mut buffer = [0u8; 4096];
    while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {}
    from.elapsed()
}
