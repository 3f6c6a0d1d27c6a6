//! A node with officers, driven by hand: no listeners and no committer of its own. The officers' certificates are real,
//! and so is the set in force that tells who they are.

use super::super::{Governor, Officer, SecurityOfficer};
use crate::officers::{ApprovalRequest, Draft, ProposalView};
use crate::trust::TrustKeeper;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinHandle;
use xinqiao_certs::pki::{Authority, Issued, Request, Validity, write_public};
use xinqiao_certs::{Role, VerifiedMember};
use xinqiao_node::config::Config;
use xinqiao_node::engine::telemetry::Telemetry;
use xinqiao_node::engine::{Committer, Node, Outside, Step};
use xinqiao_node::keyring::Keyring;
use xinqiao_runtime::clock::Clock;
use xinqiao_runtime::metrics::Metrics;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};
use xinqiao_store::{Disk, RealDisk};

const DOMAIN: &str = "demo.example";
/// What another thread does is waited for this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Three security officers, a system officer, an auditor, and a recipient.
const MEMBERS: [(Role, &str); 6] = [
    (Role::SecurityOfficer, "security"),
    (Role::SecurityOfficer, "security-2"),
    (Role::SecurityOfficer, "security-3"),
    (Role::SystemOfficer, "system"),
    (Role::Auditor, "auditor"),
    (Role::Recipient, "province"),
];

/// A disk whose next sync fails when told so.
#[derive(Debug, Default)]
struct FailingDisk(Mutex<bool>);

impl Disk for FailingDisk {
    fn sync_data(&self, file: &File) -> io::Result<()> {
        match std::mem::take(&mut *self.0.lock()) {
            true => Err(io::ErrorKind::Other.into()),
            false => RealDisk.sync_data(file),
        }
    }
}

/// The node, its officers, and everything that moves them.
pub(super) struct OfficersApi {
    runtime: tokio::runtime::Runtime,
    pub(super) node: Arc<Node>,
    committer: Committer,
    pub(super) governor: Arc<Governor>,
    keeper: Arc<TrustKeeper>,
    disk: Arc<FailingDisk>,
    authority: Authority,
    /// Who was issued a certificate; the same one each time.
    issued: BTreeMap<String, Issued>,
    turned: i64,
    dir: tempfile::TempDir,
}

impl OfficersApi {
    pub(super) fn new() -> Self {
        Self::with("")
    }

    /// The same with more configuration.
    pub(super) fn with(more: &str) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let authority = Authority::create_root("Test", &[DOMAIN], valid()).unwrap();
        write_public(&dir.path().join("ca.crt"), authority.root_pem().as_bytes()).unwrap();
        let mut own = Request::new(Role::Node, DOMAIN, "city", valid());
        own.dns = vec!["localhost".into()];
        authority.issue(&own).unwrap().write_to(dir.path(), "city").unwrap();
        Keyring::init(&dir.path().join("keys")).unwrap();
        let roles: Vec<String> = Role::ALL.iter().map(|role| format!("{:?}", role.as_str())).collect();
        let mut text = format!(
            "[node]\nname = \"{DOMAIN}/350200-credit\"\ndata = \"data\"\nkeys = \"keys\"\n\
             [exchange]\nlisten = \"127.0.0.1:0\"\ncertificate = \"city.crt\"\nkey = \"city.key\"\n\
             [[trust]]\nfile = \"ca.crt\"\ndomains = [\"{DOMAIN}\"]\nroles = [{}]\n",
            roles.join(", ")
        );
        for (role, name) in MEMBERS {
            text += &format!("[[members]]\nname = \"{name}\"\nrole = \"{role}\"\n");
        }
        text += "[[recipients]]\nmember = \"province\"\npolicy = \"province-government\"\n\
                 datasets = { administrative-penalty = \"administrative-penalty-2020\" }\n";
        std::fs::write(dir.path().join("node.toml"), text + more).unwrap();
        Self::open(dir, authority, BTreeMap::new(), 0)
    }

    fn open(
        dir: tempfile::TempDir,
        authority: Authority,
        issued: BTreeMap<String, Issued>,
        turned: i64,
    ) -> Self {
        let config = Config::load(&dir.path().join("node.toml")).unwrap();
        let (clock, disk) = (Clock::default(), Arc::new(FailingDisk::default()));
        clock.turn(turned);
        let outside = Outside { clock, disk: disk.clone(), ..Outside::default() };
        let (node, committer) = Node::assemble(config, Telemetry(Metrics::new()), outside).unwrap();
        let keeper = TrustKeeper::resume(&node, &node.adopted().unwrap().trust).unwrap();
        let mut office = Self {
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap(),
            governor: Governor::new(node.clone(), keeper.clone()),
            node,
            committer,
            keeper,
            disk,
            authority,
            issued,
            turned,
            dir,
        };
        office.ask(|governor| async move { governor.settle().await }).unwrap();
        office
    }

    /// Stops the node as a crash does, and opens it again; something happens to its folder in between.
    pub(super) fn crash_and(self, meanwhile: impl FnOnce(&Path)) -> Self {
        let Self { runtime, node, committer, governor, keeper, authority, issued, turned, dir, .. } = self;
        // First: what waits for the committer ends with it.
        drop((committer, governor, keeper));
        let began = Instant::now();
        while Arc::strong_count(&node) > 1 {
            assert!(began.elapsed() < PATIENCE, "somebody still works with the node");
            std::thread::yield_now();
        }
        drop((node, runtime));
        meanwhile(dir.path());
        Self::open(dir, authority, issued, turned)
    }

    pub(super) fn pass(&mut self, hours: i64) {
        self.node.clock.turn(hours * 3_600);
        self.turned += hours * 3_600;
    }

    pub(super) fn fail_next_sync(&self) {
        *self.disk.0.lock() = true;
    }

    /// What the node says to whoever connects under this name.
    pub(super) fn let_in(&mut self, role: Role, name: &str) -> Result<VerifiedMember, RefusalCode> {
        let authority = &self.authority;
        let issue = || authority.issue(&Request::new(role, DOMAIN, name, valid())).unwrap();
        let issued = self.issued.entry(name.to_owned()).or_insert_with(issue);
        (self.keeper.tls_policy())().identify.as_ref()(issued.chain())
    }

    /// A security officer; present still.
    pub(super) fn security(&mut self, name: &str) -> SecurityOfficer {
        let member = self.let_in(Role::SecurityOfficer, name).expect("the officer is let in");
        Officer::try_from(member).unwrap().security().unwrap().clone()
    }

    pub(super) fn start<F>(&self, work: impl FnOnce(Arc<Governor>) -> F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.spawn(work(self.governor.clone()))
    }

    pub(super) fn step(&mut self) -> Step {
        self.committer.step()
    }

    /// Steps until it holds.
    pub(super) fn step_until(&mut self, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < PATIENCE, "it does not come");
            if self.step() == Step::Idle {
                std::thread::yield_now();
            }
        }
    }

    /// Asks, with as many steps as it takes.
    pub(super) fn ask<F>(&mut self, work: impl FnOnce(Arc<Governor>) -> F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task = self.start(work);
        self.step_until(|_| task.is_finished());
        self.runtime.block_on(task).expect("no panic")
    }

    /// Policies are in force as if they had been before.
    pub(super) fn put_back_policies(&mut self, policies: BTreeMap<String, String>) {
        let node = self.node.clone();
        let task = self.runtime.spawn_blocking(move || node.put_back_policies(policies));
        self.step_until(|_| task.is_finished());
        self.runtime.block_on(task).expect("no panic").expect("they can be");
    }

    /// An officer proposes acts, as they are written in JSON.
    pub(super) fn propose(&mut self, by: &SecurityOfficer, acts: Value) -> Result<ProposalView, Refusal> {
        self.propose_because(by, acts, "年度复核")
    }

    pub(super) fn propose_because(
        &mut self,
        by: &SecurityOfficer,
        acts: Value,
        reason: &str,
    ) -> Result<ProposalView, Refusal> {
        let draft: Draft = serde_json::from_value(json!({ "acts": acts, "reason": reason })).unwrap();
        let by = by.clone();
        self.ask(|governor| async move { governor.propose(&by, draft).await })
    }

    /// An officer approves what is shown.
    pub(super) fn approve(&mut self, by: &SecurityOfficer, id: u64) -> Result<ProposalView, Refusal> {
        let word = self.word(id);
        self.approve_with(by, id, word)
    }

    pub(super) fn approve_with(
        &mut self,
        by: &SecurityOfficer,
        id: u64,
        word: ApprovalRequest,
    ) -> Result<ProposalView, Refusal> {
        let by = by.clone();
        self.ask(|governor| async move { governor.approve(&by, id, word).await })
    }

    /// An approval of the digest that is shown.
    pub(super) fn word(&self, id: u64) -> ApprovalRequest {
        let digest = self.governor.view(id).unwrap().digest;
        ApprovalRequest { digest, reason: "已核对".into(), locked_out: Vec::new() }
    }

    /// What the log says officers did: act and officer, in order.
    pub(super) fn said(&self) -> Vec<(String, String)> {
        let entries = self.node.log_entries(0, 10_000).unwrap();
        let entries = entries.iter().map(|e| serde_json::from_str::<Value>(e.entry.get()).unwrap());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        entries.filter(|e| e["kind"] == "officer").map(|e| (text(&e["what"]), text(&e["by"]))).collect()
    }
}

fn valid() -> Validity {
    Validity::days(SystemTime::now(), 30)
}
