//! What goes on beside the connections: files are watched, SIGHUP is heard, lists are fetched, what was seen and what went
//! live is noted in the journal.

use super::material::Named;
use super::{TrustKeeper, fetch, lists};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use xinqiao_certs::read_file;
use xinqiao_explain::Explanation;
use xinqiao_node::engine::Node;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// A file this young may still be being written: its content is compared too.
const YOUNG: Duration = Duration::from_secs(3);
/// A set that does not fit together gets this long to become whole before anyone is told.
const TORN: Duration = Duration::from_secs(4);
/// How often time alone is given the chance to change who is let in.
const AGAIN: Duration = Duration::from_secs(60);

impl TrustKeeper {
    /// Keeps the set current until told to stop.
    pub async fn tend(self: Arc<Self>, node: Arc<Node>, mut stop: watch::Receiver<bool>) {
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(self.clone().watch_files(node.clone()));
        tasks.spawn(self.clone().hear_hangups(node.clone()));
        tasks.spawn(self.clone().keep_notes(node.clone()));
        fetch::spawn(&mut tasks, &self);
        let _ = stop.changed().await;
        tasks.shutdown().await;
        // What was seen and not noted yet is noted before the journal closes.
        let keeper = self.clone();
        let _ = tokio::task::spawn_blocking(move || keeper.note_seen(&node)).await;
    }

    async fn watch_files(self: Arc<Self>, node: Arc<Node>) {
        let mut watch = Watch::default();
        loop {
            let keeper = self.clone();
            // Files are read and hashed, chains verified: no work for a thread that answers requests.
            let turn = tokio::task::spawn_blocking(move || {
                let changed = watch.turn(&keeper);
                (watch, changed)
            });
            watch = match turn.await {
                Ok((watch, changed)) => {
                    self.tell(&node, &changed).await;
                    watch
                }
                // What made the program fail once must not end the watch over revocations: it begins anew.
                Err(_failed) => Watch::default(),
            };
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether a list was refused that an authority seen meanwhile may vouch for.
    fn waits_for_an_authority(&self) -> bool {
        self.live().set.notes.iter().any(|note| note.code() == "crl.wrong-issuer")
    }

    /// Logs once what runs out.
    fn warn_of_ends(&self, warned: &mut BTreeSet<(String, String)>) {
        let now = self.ends();
        for advice in now.iter().filter(|a| !warned.contains(&kind(a))) {
            tracing::warn!(code = advice.code(), "{}  {}", advice.english(), advice.chinese());
        }
        *warned = now.iter().map(kind).collect();
    }

    async fn hear_hangups(self: Arc<Self>, node: Arc<Node>) {
        let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
        while hangups.recv().await.is_some() {
            let keeper = self.clone();
            if let Ok(Ok(report)) = tokio::task::spawn_blocking(move || keeper.reload("SIGHUP")).await {
                self.tell(&node, &report.changed).await;
            }
        }
    }

    /// Members' source rights follow the members that were read.
    async fn tell(self: &Arc<Self>, node: &Arc<Node>, changed: &[String]) {
        if !changed.iter().any(|part| part == "members") {
            return;
        }
        let (node, members) = (node.clone(), self.members());
        let adopted = tokio::task::spawn_blocking(move || node.adopt_members(members)).await;
        if let Ok(Err(e)) = adopted {
            tracing::error!(error = %e, "the members' rights to send could not be put in force  成员报送权限未能生效");
        }
    }

    async fn keep_notes(self: Arc<Self>, node: Arc<Node>) {
        let mut changes = self.changes();
        let mut noted = Noted::default();
        loop {
            let (keeper, at, before) = (self.clone(), node.clone(), noted.clone());
            node.set_acknowledgement_keys(self.acknowledgement_keys());
            let work = move || {
                keeper.note_seen(&at);
                keeper.note_live(&at, before)
            };
            // What could not be noted is noted with the next change.
            if let Ok(done) = tokio::task::spawn_blocking(work).await {
                noted = done;
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = self.seen.news() => tokio::time::sleep(LOOK).await,
            }
        }
    }

    fn note_seen(&self, node: &Node) {
        let news = self.seen.take_news();
        for (at, seen) in news.iter().enumerate() {
            let pem = xinqiao_certs::to_pem(&seen.chain);
            if node.note_seen(&seen.member, &pem, seen.issued, seen.last).is_err() {
                self.seen.give_back(&news[at..]);
                return;
            }
        }
    }

    /// Archives what is in force, and notes in the log which parts are not as they were noted last.
    fn note_live(&self, node: &Node, noted: Noted) -> Noted {
        let live = self.live();
        let set = &live.set;
        let mut ok = true;
        for anchor in set.anchors.values() {
            ok &= node.archive("anchor", &anchor.name, anchor.pem.as_bytes(), "configuration").is_ok();
        }
        for list in set.in_force.files.iter().chain(&set.in_force.guests) {
            ok &= node.archive("crl", &list.name, &list.bytes, "configuration").is_ok();
        }
        ok &= lists::note(node, &set.in_force).is_ok();
        let pem = xinqiao_certs::to_pem(set.identity.chain());
        ok &= node.archive("identity", "exchange", pem.as_bytes(), "configuration").is_ok();
        let now = Noted(set.digests());
        for (part, digest) in &now.0 {
            if !noted.0.is_empty() && noted.0.get(part) != Some(digest) {
                ok &= node.note_change("standing", part, Some(*digest), "configuration").is_ok();
            }
        }
        if ok { now } else { noted }
    }
}

/// What the log says about the parts of the set.
#[derive(Default, Clone)]
struct Noted(BTreeMap<&'static str, xinqiao_evidence::Digest>);

/// What the watch over the files knows from one turn to the next.
#[derive(Default)]
struct Watch {
    files: Watcher,
    /// Since when the files ask to be read again.
    torn: Option<Instant>,
    /// When time was given its chance last.
    again: Option<Instant>,
    warned: BTreeSet<(String, String)>,
}

impl Watch {
    /// Looks once. The parts of the set that changed.
    fn turn(&mut self, keeper: &TrustKeeper) -> Vec<String> {
        let now = Instant::now();
        match self.again {
            // Something may have changed between the first reading and this first look.
            None => self.torn = Some(now),
            Some(last) if now.duration_since(last) < AGAIN => {}
            Some(_) => {
                keeper.recheck();
                if keeper.waits_for_an_authority() {
                    self.torn.get_or_insert(now);
                }
            }
        }
        if self.again.is_none_or(|last| now.duration_since(last) >= AGAIN) {
            self.again = Some(now);
            keeper.warn_of_ends(&mut self.warned);
        }
        if self.files.look(&keeper.material().named) {
            self.torn.get_or_insert(now);
        }
        let Some(since) = self.torn else { return Vec::new() };
        let quiet = since.elapsed() < TORN;
        let read = keeper.read_files("files changed", quiet);
        if read.is_ok() || !quiet {
            self.torn = None;
        }
        read.map(|report| report.changed).unwrap_or_default()
    }
}

/// The files as they were at the last look.
#[derive(Default)]
struct Watcher(BTreeMap<PathBuf, State>);

#[derive(PartialEq)]
struct State {
    stamp: Option<Stamp>,
    content: Option<xinqiao_evidence::Digest>,
}

#[derive(PartialEq, Clone)]
struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

impl Watcher {
    /// Whether anything is not as it was.
    fn look(&mut self, named: &Named) -> bool {
        let mut changed = false;
        let paths = named.paths();
        self.0.retain(|path, _| paths.contains(path));
        for path in paths {
            let stamp = stamp(&path);
            let before = self.0.get(&path);
            let young = stamp.as_ref().is_some_and(|s| s.modified.elapsed().is_ok_and(|age| age < YOUNG));
            if before.is_some_and(|b| b.stamp == stamp) && !young {
                continue;
            }
            let content = read_file(&path).ok().map(|bytes| xinqiao_evidence::Digest::of(&bytes));
            changed |= before.is_some_and(|b| b.content != content);
            self.0.insert(path, State { stamp, content });
        }
        changed
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some(Stamp { modified: found.modified().ok()?, length: found.len(), inode: found.ino() })
}

/// What it is about, whatever the days left: code and place.
fn kind(advice: &Explanation) -> (String, String) {
    (advice.code().to_owned(), advice.place().unwrap_or_default().to_owned())
}
