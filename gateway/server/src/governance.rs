//! What officers propose, decide and put into force, over a running node.
//!
//! A proposal is rehearsed against what is in force before it is written; it names everyone it would lock out who was not
//! named on purpose. The second officer approves the digest he saw, so what is approved is what was proposed. Enacting it
//! either succeeds whole or leaves the last good state and says why. Everything is an entry of the log, and the documents
//! are kept under their digests.
//!
//! One decision at a time: a step is checked against a state that holds every step before it.

mod decide;
mod difference;
mod enact;
mod files;
mod health;
mod notes;
mod roles;
pub mod streams;
mod views;
mod words;

pub use notes::note_officer;
pub use roles::{Auditor, Officer, SecurityOfficer, SystemOfficer};
pub use views::ActsView;

use crate::officers::{Difference, Draft, ProposalView, Rehearsal};
use crate::trust::{Report, TrustKeeper};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use words::{refused, unusable};
use xinqiao_evidence::{Digest, Digests};
use xinqiao_exchange::event::Event;
use xinqiao_exchange::governance::{
    ACTS, Act, OfficerIdentity, Progress, Proposal, ProposalDocument, REASON, Step, StepRefused, View,
};
use xinqiao_exchange::group::{Change, Item, Kind};
use xinqiao_node::decisions::{Adopted, FileSet};
use xinqiao_node::decisions::{canonical, roster, settled};
use xinqiao_node::engine::{DOCUMENT_AAD, Node, entries};
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// By whom a thing is done that follows from the configuration file.
const FILE: &str = "configuration-file";

/// Proposals of one officer that may wait for a decision: nobody reads more, and each is kept with its document.
const OPEN_AT_ONCE: usize = 32;

/// Decisions over one node.
pub struct Governor {
    node: Arc<Node>,
    keeper: Arc<TrustKeeper>,
    turn: tokio::sync::Mutex<()>,
}

/// An approval as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct ApprovalDocument {
    proposal: u64,
    digest: String,
    by: String,
    certificate: String,
    reason: String,
    #[serde(rename = "despite")]
    locked_out: Vec<String>,
    time: i64,
}

/// What reading the files again did, or would do.
#[derive(Debug)]
pub struct Reload {
    /// To what is in force.
    pub report: Report,
    /// Whether the rest waits for two officers.
    pub waits: bool,
    /// The proposal that says so, if it is open already.
    pub proposal: Option<u64>,
    /// What it is about.
    pub changes: Vec<Difference>,
}

/// A step with what stands beside it in its frame.
struct Written<'a> {
    step: Step,
    document: Option<Vec<u8>>,
    what: &'a str,
    name: String,
    proposer: Option<&'a str>,
    by: &'a str,
    reason: Option<&'a str>,
    digest: Option<Digest>,
    certificate: Option<Digest>,
}

/// What is in force, as proposals are checked by it.
struct InForce {
    adopted: Adopted,
    files: FileSet,
}

impl Governor {
    /// Over this node, with what it stands on.
    pub fn new(node: Arc<Node>, keeper: Arc<TrustKeeper>) -> Arc<Self> {
        Arc::new(Self { node, keeper, turn: tokio::sync::Mutex::default() })
    }

    /// What would become of a draft. Changes nothing.
    pub async fn rehearse(&self, who: &SecurityOfficer, draft: Draft) -> Result<Rehearsal, Refusal> {
        let _turn = self.turn.lock().await;
        let (acts, report, needs, _) = self.checked(&who.identity(), draft).await?;
        Ok(views::rehearsal(&acts, report, needs))
    }

    /// Proposes acts; what one officer suffices for is in force when this returns.
    pub async fn propose(&self, who: &SecurityOfficer, draft: Draft) -> Result<ProposalView, Refusal> {
        let _turn = self.turn.lock().await;
        self.present(who)?;
        self.sweep().await?;
        if let Err(problem) = self.resume().await {
            // Closing someone out must not wait for this.
            tracing::error!(%problem, "an approved proposal cannot be finished yet; tried again");
        }
        let identity = who.identity();
        if let Some(known) = self.repeated(&identity, &draft) {
            return self.view(known.id);
        }
        let (reason, locked_out) = (draft.reason.clone(), draft.locked_out.clone());
        let (acts, report, needs, base) = self.checked(&identity, draft).await?;
        // What one officer may do alone waits for nobody.
        let his = |p: &&Proposal| p.by.as_ref().is_some_and(|by| by.name == identity.name);
        if needs > 1 && self.node.state().governance.live.values().filter(his).count() >= OPEN_AT_ONCE {
            return Err(RefusalCode::ProposalTooMany.into());
        }
        // Closing out is meant: nobody has to be named twice.
        let closes = acts.iter().all(Act::closes);
        if !closes {
            unnamed(&report, &[&locked_out])?;
        }
        let id = self.open(Some(identity), reason, acts, locked_out, needs, base).await?;
        if self.live(id).is_ok_and(|p| p.state == Progress::Approved) {
            self.enact(id).await?;
        }
        self.view(id)
    }

    /// Lets a member in no longer, from this moment. One officer suffices.
    pub async fn suspend(
        &self,
        who: &SecurityOfficer,
        name: &str,
        reason: String,
    ) -> Result<Option<ProposalView>, Refusal> {
        match self.in_force().view_roster().0.get(name) {
            None => {
                return Err(Refusal::new(RefusalCode::ProposalIdle).detail(
                    "No member has this name, so nobody was closed out: look it up with `xinqiao admin members list`.",
                    "没有该名称的成员，未停用任何成员：请用 xinqiao admin members list 核对名称。",
                ));
            }
            Some(member) if member.suspended => return Ok(None),
            Some(_) => {}
        }
        let acts = vec![Act::MemberSuspend { name: name.to_owned() }];
        self.propose(who, Draft { acts, reason, locked_out: vec![name.to_owned()] }).await.map(Some)
    }

    /// Reads the files again because an officer says so; with `dry`, only says what that would do.
    pub async fn reload(&self, who: &Officer, dry: bool) -> Result<Reload, Refusal> {
        let (keeper, why) = (self.keeper.clone(), format!("{} {}", who.role(), who.name()));
        let work = move || {
            if dry { keeper.rehearse_reload() } else { keeper.reload(&why).map(|r| (r, keeper.files())) }
        };
        let read = tokio::task::spawn_blocking(work).await.map_err(|_| RefusalCode::Internal)?;
        let (report, files) = read.map_err(|r| words::trust(&r))?;
        if !dry {
            note_officer(&self.node, "reloaded", "files", who, None).await?;
            self.settle().await?;
        }
        let now = self.in_force();
        let waits = now.adopted.trust.base.as_ref().is_some_and(|base| *base != files) && self.protects();
        let changes = if waits { now.with_files(&files) } else { Vec::new() };
        Ok(Reload {
            report,
            proposal: self.of_the_file().filter(|_| waits && files == now.files),
            waits,
            changes,
        })
    }

    /// Settles and checks a draft: its acts, what they would do, how many officers they need, what they rest on.
    async fn checked(
        &self,
        who: &OfficerIdentity,
        draft: Draft,
    ) -> Result<(Vec<Act>, Report, u8, String), Refusal> {
        check_reason(&draft.reason)?;
        if draft.acts.is_empty() || draft.acts.len() > ACTS {
            return Err(refused(StepRefused::Acts));
        }
        let acts = settled(draft.acts).map_err(|(n, why)| unusable(n, why))?;
        let now = self.in_force();
        let (checked, needs, base) =
            now.check(&self.node, |view| (view.check(&acts, Some(who)), view.needs(&acts), view.base(&acts)));
        checked.map_err(refused)?;
        let report = self.rehearsed(&now, &acts).await?;
        Ok((acts, report, needs, base))
    }

    /// What the acts would do to those who connect, and whether they could be put into force at all.
    async fn rehearsed(&self, now: &InForce, acts: &[Act]) -> Result<Report, Refusal> {
        let next = now.adopted.after(acts, &now.files).map_err(|why| unusable(0, why))?;
        let (node, keeper) = (self.node.clone(), self.keeper.clone());
        let policies = (next.policies != now.adopted.policies).then_some(next.policies);
        let trust = next.trust;
        let work = move || {
            if let Some(policies) = policies {
                node.rehearse_policies(&policies).map_err(|e| words::rules(&e))?;
            }
            keeper.rehearse(&trust).map_err(|r| words::trust(&r))
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| RefusalCode::Internal)?
    }

    /// Writes a new proposal.
    async fn open(
        &self,
        by: Option<OfficerIdentity>,
        reason: String,
        acts: Vec<Act>,
        locked_out: Vec<String>,
        needs: u8,
        base: String,
    ) -> Result<u64, Refusal> {
        let id = self.node.state().governance.meta.proposals + 1;
        let opened = self.node.clock.now();
        let name = by.as_ref().map_or(String::new(), |b| b.name.clone());
        let count = acts.len() as u16;
        let proposed = ProposalDocument {
            node: self.node.name.to_string(),
            proposal: id,
            by: name.clone(),
            reason: reason.clone(),
            acts,
            locked_out,
            base: base.clone(),
            opened,
        };
        let (document, digest) = proposed.bytes().ok_or(RefusalCode::ProposalActs)?;
        let enough = usize::from(by.is_some()) >= usize::from(needs);
        let certificate = by.as_ref().and_then(|b| b.certificate.parse().ok());
        let hours = self.node.config.officers.proposal_hours.seconds();
        let proposal = Proposal {
            id,
            by,
            reason: reason.clone(),
            digest: digest.to_hex(),
            base,
            acts: count,
            needs,
            opened,
            expires: opened.saturating_add_unsigned(hours),
            approvals: Vec::new(),
            state: if enough { Progress::Approved } else { Progress::Open },
            end: None,
        };
        self.write(Written {
            step: Step::Proposed { proposal: Box::new(proposal) },
            document: Some(document),
            what: "proposed",
            name: id.to_string(),
            proposer: None,
            by: if name.is_empty() { FILE } else { &name },
            reason: Some(&reason),
            digest: Some(digest),
            certificate,
        })
        .await?;
        Ok(id)
    }

    /// Expires what nobody approved in time.
    async fn sweep(&self) -> Result<(), Refusal> {
        let now = self.node.clock.now();
        let live: Vec<Proposal> = self.node.state().governance.live.values().cloned().collect();
        for p in live.into_iter().filter(|p| p.state_at(now) == Progress::Expired) {
            self.write(Written {
                step: Step::Expired { id: p.id, time: now },
                document: None,
                what: "expired",
                name: p.id.to_string(),
                proposer: p.by.as_ref().map(|b| b.name.as_str()),
                by: "node",
                reason: None,
                digest: p.digest.parse().ok(),
                certificate: None,
            })
            .await?;
        }
        Ok(())
    }

    /// Commits a step with its document and its entry in the log.
    async fn write(&self, w: Written<'_>) -> Result<(), Refusal> {
        let (mut events, mut items) = (vec![Event::Officers(w.step.clone())], Vec::new());
        if let Some(bytes) = w.document {
            let digest = Digest::of(&bytes).to_hex();
            events.push(Event::Document { digest, item: 0 });
            items.push(Item { kind: Kind::Evidence, aad: DOCUMENT_AAD.to_vec(), bytes });
        }
        let digests = |d: Option<Digest>| d.map(Digests::sha256);
        let entry = entries::officer(
            &self.node,
            xinqiao_evidence::entry::Event::Officer {
                what: w.what.into(),
                name: w.name.into(),
                member: w.proposer.map(Into::into),
                by: w.by.into(),
                reason: w.reason.map(Into::into),
                digest: digests(w.digest),
                evidence_digest: digests(w.certificate),
            },
        );
        let step = w.step;
        let change = Change { events, items, entry: Some(entry) };
        let written = self.node.change(change, move |state| state.governance.check(&step).is_ok()).await;
        written.map(|_| ()).map_err(Refusal::from)
    }

    /// Whether the officer is one still: he may have been suspended while he waited for his turn.
    fn present(&self, who: &SecurityOfficer) -> Result<(), Refusal> {
        if self.in_force().view_roster().decides(who.name()) {
            return Ok(());
        }
        Err(RefusalCode::MemberSuspended.into())
    }

    /// The same wish by the same officer, waiting already.
    fn repeated(&self, who: &OfficerIdentity, draft: &Draft) -> Option<Proposal> {
        let acts = settled(draft.acts.clone()).ok()?;
        let live: Vec<Proposal> = self.node.state().governance.live.values().cloned().collect();
        live.into_iter().find(|p| {
            p.by.as_ref().is_some_and(|b| b.name == who.name)
                && p.reason == draft.reason
                && self
                    .proposed(p)
                    .is_ok_and(|proposed| proposed.acts == acts && proposed.locked_out == draft.locked_out)
        })
    }

    fn live(&self, id: u64) -> Result<Proposal, Refusal> {
        if let Some(p) = self.node.state().governance.live.get(&id) {
            return Ok(p.clone());
        }
        let ended = self.node.proposal(id).ok_or(RefusalCode::ProposalUnknown)?;
        Err(refused(StepRefused::NotNow(ended.state)))
    }

    fn proposed(&self, proposal: &Proposal) -> Result<ProposalDocument, Refusal> {
        let bytes = self.node.document(&proposal.digest).ok_or(RefusalCode::JournalDamaged)?;
        serde_json::from_slice(&bytes).map_err(|_| RefusalCode::JournalDamaged.into())
    }

    fn in_force(&self) -> InForce {
        let policies = self.node.rules().policies().clone();
        InForce { adopted: Adopted { trust: self.keeper.overlay(), policies }, files: self.keeper.files() }
    }
}

impl InForce {
    fn view_roster(&self) -> xinqiao_exchange::governance::Roster {
        roster(&self.adopted.trust.members(&self.files))
    }

    /// Lets rules look at what is in force.
    fn check<T>(&self, node: &Node, ask: impl FnOnce(&View<'_>) -> T) -> T {
        let members = self.adopted.trust.members(&self.files);
        let anchors = self.adopted.trust.anchors(&self.files);
        let mut adopting = self.adopted.trust.clone();
        adopting.base = Some(self.files.clone());
        let (now, files) = (roster(&members), roster(&adopting.members(&self.files)));
        let subject = |subject: &str| -> String {
            let (what, name) = subject.split_once('/').unwrap_or((subject, ""));
            match what {
                "member" => members.iter().find(|m| m.name == name).map(|m| canonical(m).1.to_hex()),
                "trust" => anchors.get(name).map(|a| canonical(a).1.to_hex()),
                "policy" => notes::policy_digest(node, name),
                "key" => Some(notes::key_ids(node, name)),
                _ => Some(canonical(&(&self.files, &self.adopted.trust.base)).1.to_hex()),
            }
            .unwrap_or_default()
        };
        let four_eyes = node.config.officers.four_eyes;
        ask(&View { roster: &now, files: &files, subject: &subject, four_eyes })
    }
}

/// Members that would be locked out and that nobody named.
fn unnamed(report: &Report, named: &[&Vec<String>]) -> Result<(), Refusal> {
    let named: BTreeSet<&String> = named.iter().flat_map(|n| n.iter()).collect();
    let missing: Vec<_> = report.affected.iter().filter(|a| !named.contains(&a.member)).collect();
    if missing.is_empty() { Ok(()) } else { Err(words::affected(&missing)) }
}

/// A reason is 1 to 200 characters on one line.
pub(crate) fn check_reason(reason: &str) -> Result<(), Refusal> {
    let length = reason.chars().count();
    if (1..=REASON).contains(&length) && !reason.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Refusal::new(RefusalCode::BodyMalformed).detail(
        "`reason` must be 1 to 200 characters on one line.",
        "reason 须为 1 至 200 个字符，且不换行。",
    ))
}

#[cfg(test)]
mod tests;
