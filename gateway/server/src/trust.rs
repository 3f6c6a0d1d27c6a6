//! Who this node is, whom it trusts and whom it knows: identity, anchors, revocation lists and members, for the listeners
//! and for the connections it makes itself. Loaded from the configuration's files and the officers' decisions, tried
//! against the peers' own verifier and against the certificates members really use, and swapped as one value.
//!
//! Promises: nothing torn, malformed or foreign goes live; who would be locked out by accident is named first; what was
//! good stays in force until something better is; after a swap, connections of those no longer let in are cut and the
//! others make room for new ones.

mod change;
mod fetch;
mod lists;
mod material;
mod rehearse;
mod report;
mod seen;
mod set;
mod status;
mod tend;
mod waiting;

pub use material::Dial;
pub use report::{Affected, Report, SetRefused};
pub use set::TrustSet;
pub use status::{StatusKind, StatusRow, StatusState};

use lists::{Before, Remembered};
use material::{Material, Named};
use parking_lot::{Mutex, RwLock};
use seen::Seen;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use xinqiao_certs::{CertificateDer, UnixTime, certificates};
use xinqiao_client::{Client, ClientError, Profile};
use xinqiao_edge::{EdgeControl, Identify, TlsPolicy, TlsPolicySource};
use xinqiao_evidence::keys::Jwks;
use xinqiao_explain::Explanation;
use xinqiao_node::config::{self, Config};
use xinqiao_node::decisions::{FileSet, Overlay};
use xinqiao_node::engine::Node;
use xinqiao_runtime::refusal::RefusalCode;

/// Keeps the set in force, and changes it.
pub struct TrustKeeper {
    config: PathBuf,
    /// Settings as they were at the start that cannot change while the node runs.
    started: Vec<(&'static str, String)>,
    live: RwLock<Arc<Live>>,
    /// What the live set was made from.
    material: RwLock<Arc<Material>>,
    /// Held by whoever changes the set, from reading the files to the swap: seconds, at size. Nobody else waits for it.
    changing: Mutex<()>,
    seen: Arc<Seen>,
    edges: Mutex<Vec<EdgeControl>>,
    clients: Mutex<BTreeMap<Dial, Client>>,
    refused: Mutex<Refused>,
    /// What troubles a part for now, by the part's name.
    troubles: Mutex<BTreeMap<String, Explanation>>,
    /// Lists that were logged as passed over.
    passed_over: Mutex<Vec<Explanation>>,
    changes: watch::Sender<u64>,
}

/// What did not go live, by what asked for it: each stays until the same succeeds.
#[derive(Default)]
struct Refused {
    /// The configuration, read again by an officer or by SIGHUP.
    reload: Option<SetRefused>,
    /// The files it named, when they changed.
    files: Option<SetRefused>,
}

/// The set in force and the judgement that goes with it.
struct Live {
    set: TrustSet,
    identify: Identify,
}

impl TrustKeeper {
    /// Loads everything for the first time; all of it must be good.
    pub fn open(config: &Config, overlay: &Overlay) -> Result<Arc<Self>, SetRefused> {
        Self::begin(config, overlay, Seen::default(), |_| Vec::new())
    }

    /// The same for a node that has run before: its lists follow those that were in force when it stopped.
    pub fn resume(node: &Node, overlay: &Overlay) -> Result<Arc<Self>, SetRefused> {
        let seen = Seen::default();
        for (member, row, pem) in node.seen_certificates() {
            if let Ok(chain) = certificates("archive", &pem) {
                seen.restore(&member, chain, row.issued, row.last);
            }
        }
        Self::begin(&node.config, overlay, seen, |material| {
            lists::remembered(node, material.lists.iter().map(|list| list.name.as_str()))
        })
    }

    fn begin(
        config: &Config,
        overlay: &Overlay,
        seen: Seen,
        remembered: impl FnOnce(&Material) -> Vec<Remembered>,
    ) -> Result<Arc<Self>, SetRefused> {
        let now = UnixTime::now();
        let material = Material::read(&Named::of(config), None, now)?;
        let remembered = remembered(&material);
        let presented = seen.authorities();
        let before = Before { last: None, remembered: &remembered, presented: &presented };
        let set = TrustSet::build(&material, overlay, None, &before, now)?;
        let seen = Arc::new(seen);
        Ok(Arc::new(Self {
            config: config.file.clone(),
            started: waiting::settings(config),
            live: RwLock::new(Arc::new(Live::new(set, &seen))),
            material: RwLock::new(Arc::new(material)),
            changing: Mutex::default(),
            seen,
            edges: Mutex::default(),
            clients: Mutex::default(),
            refused: Mutex::default(),
            troubles: Mutex::default(),
            passed_over: Mutex::default(),
            changes: watch::Sender::new(0),
        }))
    }

    /// What a new connection of the exchange or the officers' listener is made under.
    pub fn tls_policy(self: &Arc<Self>) -> TlsPolicySource {
        let keeper = self.clone();
        Arc::new(move || {
            let live = keeper.live();
            TlsPolicy { tls: live.set.exchange.clone(), identify: live.identify.clone() }
        })
    }

    /// The same for the listener that speaks TLS 1.2 too.
    pub fn legacy_tls_policy(self: &Arc<Self>) -> TlsPolicySource {
        let keeper = self.clone();
        Arc::new(move || {
            let live = keeper.live();
            TlsPolicy { tls: live.set.legacy.clone(), identify: live.identify.clone() }
        })
    }

    /// A listener whose connections follow every change from now on.
    pub fn follow(&self, edge: EdgeControl) {
        self.edges.lock().push(edge);
    }

    /// A client of a peer this node dials, which follows every change. One per peer; clones share their connections.
    pub fn client(&self, dial: &Dial, profile: &Profile) -> Result<Client, ClientError> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(dial) {
            return Ok(client.clone());
        }
        // Asked for under the lock, so that a change either is in it or renews the client.
        let client = match self.live().set.dials.get(dial) {
            Some(tls) => Client::connect_with(profile, tls.clone())?,
            // The files are no good: reading them says why.
            None => return Client::connect(profile),
        };
        clients.insert(dial.clone(), client.clone());
        Ok(client)
    }

    /// The public keys pinned for an upstream.
    pub fn pinned_keys(&self, upstream: &str) -> Option<Jwks> {
        self.live().set.pinned.get(upstream).cloned()
    }

    /// The public keys recipients sign their answers with, by member.
    pub fn acknowledgement_keys(&self) -> BTreeMap<String, Jwks> {
        self.live().set.acknowledgement_keys.clone()
    }

    /// The members in force.
    pub fn members(&self) -> Vec<config::Member> {
        self.live().set.members.clone()
    }

    /// The officers' decisions in force.
    pub fn overlay(&self) -> Overlay {
        self.live().set.overlay.clone()
    }

    /// Members and anchors as the files gave them when they were last read whole, in force or not.
    pub fn files(&self) -> FileSet {
        self.material().files.clone()
    }

    /// Grows with every change of the set.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Judges open connections again: time may have changed the answer.
    fn recheck(&self) {
        let edges = self.edges.lock().clone();
        for edge in &edges {
            edge.recheck();
        }
    }

    /// Everyone who may vouch for a list now.
    fn authorities(&self) -> Vec<CertificateDer<'static>> {
        let mut all = self.live().set.authorities.clone();
        all.extend(self.seen.authorities());
        all
    }

    fn material(&self) -> Arc<Material> {
        self.material.read().clone()
    }

    fn live(&self) -> Arc<Live> {
        self.live.read().clone()
    }
}

impl Live {
    fn new(set: TrustSet, seen: &Arc<Seen>) -> Self {
        let (registry, seen) = (set.registry.clone(), seen.clone());
        let identify = move |chain: &[CertificateDer<'_>]| {
            let now = UnixTime::now();
            let member = registry
                .identify(chain, now)
                .map_err(|e| RefusalCode::parse(e.code()).unwrap_or(RefusalCode::MemberUnknown))?;
            seen.note(&member, chain, i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
            Ok(member)
        };
        Self { set, identify: Arc::new(identify) }
    }
}
