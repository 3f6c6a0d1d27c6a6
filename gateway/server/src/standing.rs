//! Who this node is, whom it trusts and whom it knows: identity, anchors, revocation lists and members, for the listeners
//! and for the connections it makes itself. Loaded from the configuration's files and the officers' decisions, tried
//! against the peers' own verifier and against the certificates members really use, and swapped as one value.
//!
//! Promises: nothing torn, malformed or foreign goes live; who would be locked out by accident is named first; what was
//! good stays in force until something better is; after a swap, connections of those no longer let in are cut and the
//! others make room for new ones.

mod fetch;
mod lists;
mod material;
mod overlay;
mod rehearse;
mod report;
mod seen;
mod set;
mod status;
mod tend;
mod waiting;

pub use material::Dial;
pub use overlay::{FileSet, Overlay, OverlayAnchor};
pub use report::{Advice, Affected, Refusal, Report};
pub use set::Standing;
pub use status::StatusRow;

use crate::config::{self, Config};
use crate::edge::{EdgeControl, Identify, Terms, TermsSource};
use crate::engine::Node;
use crate::problem::ProblemCode;
use lists::{Before, Remembered};
use material::{Material, Named};
use parking_lot::{Mutex, RwLock};
use rehearse::Rehearsal;
use seen::Seen;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use xinqiao_certs::{CertificateDer, UnixTime, certificates};
use xinqiao_client::{Client, ClientError, Profile};
use xinqiao_evidence::keys::Jwks;

/// Keeps the set in force, and changes it.
pub struct Keeper {
    config: PathBuf,
    /// Settings as they were at the start that cannot change while the node runs.
    started: Vec<(&'static str, String)>,
    live: RwLock<Arc<Live>>,
    /// What the live set was made from; whoever changes it holds this throughout.
    changing: Mutex<Material>,
    seen: Arc<Seen>,
    edges: Mutex<Vec<EdgeControl>>,
    clients: Mutex<BTreeMap<Dial, Client>>,
    refused: Mutex<Refused>,
    /// What troubles a part for now, by the part's name.
    troubles: Mutex<BTreeMap<String, Advice>>,
    changes: watch::Sender<u64>,
}

/// What did not go live, by what asked for it: each stays until the same succeeds.
#[derive(Default)]
struct Refused {
    /// The configuration, read again by an officer or by SIGHUP.
    reload: Option<Refusal>,
    /// The files it named, when they changed.
    files: Option<Refusal>,
}

/// The set in force and the judgement that goes with it.
struct Live {
    set: Standing,
    identify: Identify,
}

impl Keeper {
    /// Loads everything for the first time; all of it must be good.
    pub fn open(config: &Config, overlay: &Overlay) -> Result<Arc<Self>, Refusal> {
        Self::begin(config, overlay, Seen::default(), |_| Vec::new())
    }

    /// The same for a node that has run before: its lists follow those that were in force when it stopped.
    pub fn resume(node: &Node, overlay: &Overlay) -> Result<Arc<Self>, Refusal> {
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
    ) -> Result<Arc<Self>, Refusal> {
        let now = UnixTime::now();
        let material = Material::read(&Named::of(config), None, now)?;
        let remembered = remembered(&material);
        let presented = seen.authorities();
        let before = Before { last: None, remembered: &remembered, presented: &presented };
        let set = Standing::build(&material, overlay, &before, now)?;
        let seen = Arc::new(seen);
        Ok(Arc::new(Self {
            config: config.file.clone(),
            started: waiting::settings(config),
            live: RwLock::new(Arc::new(Live::new(set, &seen))),
            changing: Mutex::new(material),
            seen,
            edges: Mutex::default(),
            clients: Mutex::default(),
            refused: Mutex::default(),
            troubles: Mutex::default(),
            changes: watch::Sender::new(0),
        }))
    }

    /// What a new connection of the exchange or the officers' listener is made under.
    pub fn terms(self: &Arc<Self>) -> TermsSource {
        let keeper = self.clone();
        Arc::new(move || {
            let live = keeper.live();
            Terms { tls: live.set.exchange.clone(), identify: live.identify.clone() }
        })
    }

    /// The same for the listener that speaks TLS 1.2 too.
    pub fn legacy_terms(self: &Arc<Self>) -> TermsSource {
        let keeper = self.clone();
        Arc::new(move || {
            let live = keeper.live();
            Terms { tls: live.set.legacy.clone(), identify: live.identify.clone() }
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
    pub fn answer_keys(&self) -> BTreeMap<String, Jwks> {
        self.live().set.answer_keys.clone()
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
        self.changing.lock().files.clone()
    }

    /// Grows with every change of the set.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What these decisions would do, judged on the certificates actually seen. Nothing changes.
    pub fn rehearse(&self, overlay: &Overlay) -> Result<Report, Refusal> {
        let material = self.changing.lock();
        let now = UnixTime::now();
        let live = self.live();
        let next = self.build(&material, overlay, &live.set, now)?;
        self.judge(&live.set, &next, &[], now)
    }

    /// What reading the configuration and every file again would do, and what the files say of members and anchors.
    /// Nothing changes.
    pub fn rehearse_reload(&self) -> Result<(Report, FileSet), Refusal> {
        let material = self.changing.lock();
        let now = UnixTime::now();
        let named = match self.config.as_os_str().is_empty() {
            true => material.named.clone(),
            false => Named::of(&Config::load(&self.config).map_err(|e| {
                let said = e.to_string();
                Refusal::new("config.unusable", said.clone(), format!("配置文件无法使用：{said}"))
            })?),
        };
        let read = Material::read(&named, Some(&material), now)?;
        let live = self.live();
        let next = self.build(&read, &live.set.overlay, &live.set, now)?;
        let report = self.judge(&live.set, &next, &[], now)?;
        Ok((report, read.files))
    }

    /// Puts these decisions in force, unless someone would be locked out whom no decision locks out and `despite` does not
    /// name. Works with what the files said when they were last good.
    pub fn adopt(&self, overlay: &Overlay, despite: &[String]) -> Result<Report, Refusal> {
        let material = self.changing.lock();
        self.change(&material, overlay, despite)
    }

    /// Reads the configuration and every file again, and puts what they say in force. `why` is for the log. On a refusal
    /// the last good set stays, but for what was revoked or suspended.
    pub fn reload(&self, why: &str) -> Result<Report, Refusal> {
        let config = match self.config.as_os_str().is_empty() {
            true => None,
            false => match Config::load(&self.config) {
                Ok(config) => Some(config),
                Err(e) => {
                    let said = e.to_string();
                    let refusal =
                        Refusal::new("config.unusable", said.clone(), format!("配置文件无法使用：{said}"));
                    return Err(self.refuse(refusal, why));
                }
            },
        };
        if let Some(config) = &config {
            waiting::say(&self.started, config);
        }
        let done = self.read_again(config.as_ref(), why).map_err(|refusal| self.refuse(refusal, why))?;
        // What the files alone could not bring is in force now too.
        let mut refused = self.refused.lock();
        if refused.reload.take().is_some() | refused.files.take().is_some() {
            tracing::info!(why, "the configuration is in force again  配置已生效");
        }
        Ok(done)
    }

    /// Reads the files again that are named already. A set that is torn just now is not spoken of while `quiet`.
    fn read_files(&self, why: &str, quiet: bool) -> Result<Report, Refusal> {
        match self.read_again(None, why) {
            Ok(report) => {
                if self.refused.lock().files.take().is_some() {
                    tracing::info!(why, "the files are in force again  文件已生效");
                }
                Ok(report)
            }
            Err(refusal) => {
                let mut refused = self.refused.lock();
                if !quiet {
                    told(&mut refused.files, &refusal, why);
                }
                Err(refusal)
            }
        }
    }

    fn read_again(&self, config: Option<&Config>, why: &str) -> Result<Report, Refusal> {
        let mut material = self.changing.lock();
        let now = UnixTime::now();
        let named = config.map_or_else(|| material.named.clone(), Named::of);
        let overlay = self.overlay();
        let outcome = Material::read(&named, Some(&material), now)
            .and_then(|read| self.change(&read, &overlay, &[]).map(|report| (read, report)));
        match outcome {
            Ok((read, report)) => {
                let other = material.files != read.files;
                *material = read;
                if other && report.changed.is_empty() {
                    // Nothing went live, but officers' decisions are about it.
                    self.changes.send_modify(|n| *n += 1);
                }
                if !report.changed.is_empty() {
                    tracing::info!(
                        why,
                        changed = report.changed.join(","),
                        cut = report.cut,
                        "certificates and members are as the files say"
                    );
                }
                for note in &report.notes {
                    tracing::warn!(code = note.code, "{}  {}", note.en, note.zh);
                }
                Ok(report)
            }
            Err(refusal) => {
                let closed = material.closing(&named);
                let other = material.files != closed.files;
                if self.change(&closed, &overlay, &[]).is_ok_and(|report| other || !report.changed.is_empty())
                {
                    *material = closed;
                    self.changes.send_modify(|n| *n += 1);
                }
                Err(refusal)
            }
        }
    }

    /// Remembers that the configuration was refused, and logs it once.
    fn refuse(&self, refusal: Refusal, why: &str) -> Refusal {
        told(&mut self.refused.lock().reload, &refusal, why);
        refusal
    }

    fn change(&self, material: &Material, overlay: &Overlay, despite: &[String]) -> Result<Report, Refusal> {
        let now = UnixTime::now();
        let live = self.live();
        let next = self.build(material, overlay, &live.set, now)?;
        let mut report = self.judge(&live.set, &next, despite, now)?;
        let stopping = report.affected.iter().filter(|a| !despite.contains(&a.member));
        let stopping: Vec<Affected> = stopping.cloned().collect();
        if !stopping.is_empty() {
            return Err(Refusal::lock_out(stopping));
        }
        report.cut = self.swap(&live.set, next, &report);
        Ok(report)
    }

    fn build(
        &self,
        material: &Material,
        overlay: &Overlay,
        last: &Standing,
        now: UnixTime,
    ) -> Result<Standing, Refusal> {
        let presented = self.seen.authorities();
        Standing::build(
            material,
            overlay,
            &Before { last: Some(last), remembered: &[], presented: &presented },
            now,
        )
    }

    fn judge(
        &self,
        live: &Standing,
        next: &Standing,
        despite: &[String],
        now: UnixTime,
    ) -> Result<Report, Refusal> {
        let connected = self.edges.lock().iter().flat_map(EdgeControl::chains).collect();
        let seen = self.seen.all();
        Rehearsal { live, next, seen: &seen, connected: &connected, now }.run(despite)
    }

    /// Puts a set in force: first new connections, then the open ones are judged by it. How many were cut.
    fn swap(&self, last: &Standing, next: Standing, report: &Report) -> usize {
        let retire = next.supersedes(last);
        let changed = |part: &str| report.changed.iter().any(|c| c == part);
        let dials = next.dials.clone();
        *self.live.write() = Arc::new(Live::new(next, &self.seen));
        if report.changed.is_empty() {
            return 0;
        }
        if changed("upstreams") || changed("revocation") {
            for (dial, client) in self.clients.lock().iter() {
                if let Some(tls) = dials.get(dial) {
                    client.renew(tls.clone());
                }
            }
        }
        let edges = self.edges.lock().clone();
        let cut = edges.iter().map(EdgeControl::recheck).sum();
        if retire {
            edges.iter().for_each(EdgeControl::retire);
        }
        self.changes.send_modify(|n| *n += 1);
        cut
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

    fn named(&self) -> Named {
        self.changing.lock().named.clone()
    }

    fn live(&self) -> Arc<Live> {
        self.live.read().clone()
    }
}

fn told(before: &mut Option<Refusal>, refusal: &Refusal, why: &str) {
    if before.replace(refusal.clone()).as_ref() != Some(refusal) {
        tracing::error!(
            why,
            code = refusal.code,
            "{}; the last good set stays in force  {}；原有配置继续生效",
            refusal.en,
            refusal.zh
        );
    }
}

impl Live {
    fn new(set: Standing, seen: &Arc<Seen>) -> Self {
        let (registry, seen) = (set.registry.clone(), seen.clone());
        let identify = move |chain: &[CertificateDer<'_>]| {
            let now = UnixTime::now();
            let member = registry
                .identify(chain, now)
                .map_err(|e| ProblemCode::parse(e.code()).unwrap_or(ProblemCode::MemberUnknown))?;
            seen.note(&member, chain, i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
            Ok(member)
        };
        Self { set, identify: Arc::new(identify) }
    }
}
