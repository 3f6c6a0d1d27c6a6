//! The configuration file beside the officers: whoever can write it must not be able to do alone what takes two officers.
//!
//! While four eyes are wanted and two security officers are there to have them, the members and anchors that were adopted
//! last stay in force, whatever the file says; a difference becomes a proposal by nobody, which two officers have to
//! approve. Otherwise the file applies at once, and the log says so.

use super::{Adopted, FILE, Governor, Written};
use xinqiao_certs::Role;
use xinqiao_exchange::event::Event;
use xinqiao_exchange::governance::{Act, End, Progress, Proposal, Step};
use xinqiao_exchange::group::{Change, Item, Kind};
use xinqiao_node::decisions::{canonical, roster};
use xinqiao_node::engine::DOCUMENT_AAD;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// Under this name the journal notes whether four eyes were wanted.
const FOUR_EYES: &str = "four-eyes";

impl Governor {
    /// Looks at what the file says, at the start and after each reload; takes up what was left approved.
    pub async fn settle(&self) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        self.sweep().await?;
        self.resume().await?;
        self.note_four_eyes().await?;
        let settled = self.compare().await;
        self.sources().await?;
        settled
    }

    /// What members may send follows who they are, however that changed.
    async fn sources(&self) -> Result<(), Refusal> {
        let (node, keeper) = (self.node.clone(), self.keeper.clone());
        let work = move || {
            let members = keeper.members();
            if node.rules().members() == members.as_slice() { Ok(()) } else { node.adopt_members(members) }
        };
        let done = tokio::task::spawn_blocking(work).await.map_err(|_| RefusalCode::Internal)?;
        done.map_err(|e| super::words::rules(&e))
    }

    async fn compare(&self) -> Result<(), Refusal> {
        let now = self.in_force();
        let base = &now.adopted.trust.base;
        if base.as_ref() == Some(&now.files) {
            return self.take_back(None).await;
        }
        if base.is_some() && self.protects() {
            self.close().await?;
            let now = self.in_force();
            if now.adopted.trust.base.as_ref() == Some(&now.files) {
                return self.take_back(None).await;
            }
            return self.propose_files().await;
        }
        self.take_back(None).await?;
        let mut next = now.adopted.clone();
        next.trust.base = Some(now.files.clone());
        let must_be_kept = base.is_some() || self.would_protect(&next.trust.members(&now.files));
        if !must_be_kept {
            // Nobody could approve anything yet: the file is the registry, as it always was.
            return Ok(());
        }
        self.force(&now.adopted, &next, everyone(&now)).await?;
        self.adopted(&next).await
    }

    /// Suspends at once whom the file suspends or leaves out: closing does not wait for officers. They alone let in again.
    async fn close(&self) -> Result<(), Refusal> {
        let now = self.in_force();
        let members = now.adopted.trust.members(&now.files);
        let Some(base) = &now.adopted.trust.base else { return Ok(()) };
        let mut officers = roster(&members).security_officers();
        let mut next = now.adopted.clone();
        let mut closed = Vec::new();
        let gone = |name: &str| now.files.members.iter().find(|m| m.name == name).is_none_or(|m| m.suspended);
        for (at, was) in base.members.iter().enumerate().filter(|(_, m)| !m.suspended && gone(&m.name)) {
            let active = members.iter().find(|m| m.name == was.name && !m.suspended);
            if active.is_some_and(|m| m.role == Role::SecurityOfficer) {
                // Whoever can write the file must not rid himself of the second pair of eyes.
                if officers <= 2 {
                    tracing::error!(
                        member = was.name,
                        "the configuration file closes out a security officer, and fewer than two would be left; officers must decide it"
                    );
                    continue;
                }
                officers -= 1;
            }
            if let Some(files) = &mut next.trust.base {
                files.members[at].suspended = true;
            }
            if active.is_some() {
                // An entry that officers put hides the file's.
                if next.trust.members.contains_key(&was.name) {
                    next.trust.suspended.insert(was.name.clone());
                }
                closed.push(was.name.clone());
            }
        }
        if next == now.adopted {
            return Ok(());
        }
        self.force(&now.adopted, &next, closed.clone()).await?;
        self.adopted(&next).await?;
        let acts: Vec<Act> = closed.into_iter().map(|name| Act::MemberSuspend { name }).collect();
        for act in &acts {
            tracing::warn!(member = act.what().1, "suspended by the configuration file  已按配置文件停用");
        }
        self.note_acts(&acts, FILE).await
    }

    /// Notes what is in force because the file says so.
    async fn adopted(&self, next: &Adopted) -> Result<(), Refusal> {
        let (document, digest) = next.bytes();
        self.write(Written {
            step: Step::Adopted { overlay: digest.to_hex() },
            document: Some(document),
            what: "enacted",
            name: "members-and-trust".into(),
            proposer: None,
            by: FILE,
            reason: None,
            digest: Some(digest),
            certificate: None,
        })
        .await
    }

    /// Are there two officers to ask?
    pub fn protects(&self) -> bool {
        let now = self.in_force();
        self.would_protect(&now.adopted.trust.members(&now.files))
    }

    fn would_protect(&self, members: &[xinqiao_node::config::Member]) -> bool {
        let config = &self.node.config;
        config.admin.is_some() && config.officers.four_eyes && roster(members).security_officers() >= 2
    }

    /// The proposal of what the file says now, if one waits.
    pub fn of_the_file(&self) -> Option<u64> {
        let state = self.node.state();
        state.governance.live.values().find(|p| p.by.is_none() && p.state == Progress::Open).map(|p| p.id)
    }

    async fn propose_files(&self) -> Result<(), Refusal> {
        let now = self.in_force();
        let (bytes, digest) = canonical(&now.files);
        let acts = vec![Act::AdoptFiles { digest: digest.to_hex() }];
        let (checked, base) = now.check(&self.node, |view| (view.check(&acts, None), view.base(&acts)));
        if let Err(why) = checked {
            tracing::error!(
                ?why,
                "what the configuration file says of members would leave too few officers; it is left aside"
            );
            return Ok(());
        }
        let waiting = self.of_the_file().and_then(|id| self.live(id).ok());
        if waiting.as_ref().is_some_and(|p| p.base == base) {
            return Ok(());
        }
        self.take_back(waiting).await?;
        let change = Change {
            events: vec![Event::Document { digest: digest.to_hex(), item: 0 }],
            items: vec![Item { kind: Kind::Evidence, aad: DOCUMENT_AAD.to_vec(), bytes }],
            entry: None,
        };
        self.node.change(change, |_| true).await?;
        let reason =
            "the configuration file's members or trust changed 配置文件中的成员或信任已变更".to_owned();
        let id = self.open(None, reason, acts, Vec::new(), 2, base).await?;
        tracing::warn!(
            proposal = id,
            "members and trust in the configuration file differ from those in force; two security officers must approve"
        );
        Ok(())
    }

    /// Four eyes can be switched off where the file is written: the log says when, and readiness since when.
    async fn note_four_eyes(&self) -> Result<(), Refusal> {
        if self.node.config.admin.is_none() {
            return Ok(());
        }
        let (node, now) = (self.node.clone(), self.node.clock.now());
        let wanted = node.config.officers.four_eyes;
        let protected = self.keeper.overlay().base.is_some();
        let work = move || {
            let before = node.noted(FOUR_EYES);
            let was = before.as_deref().map_or(protected, |b| b == "on");
            if before.is_some() && was == wanted {
                return Ok(());
            }
            if was != wanted && (before.is_some() || protected) {
                let what = if wanted { "four-eyes on" } else { "four-eyes off" };
                node.note_change("officers", what, None, FILE)?;
                tracing::warn!(
                    four_eyes = wanted,
                    "`officers.four_eyes` was changed in the file  四眼原则设置已变更"
                );
            }
            node.note(FOUR_EYES, &if wanted { "on".to_owned() } else { format!("off {now}") })
        };
        let noted = tokio::task::spawn_blocking(work).await.map_err(|_| RefusalCode::Internal)?;
        noted.map_err(Refusal::from)
    }

    /// Since when one officer suffices, Unix seconds.
    pub(super) fn alone_since(&self) -> Option<i64> {
        self.node.noted(FOUR_EYES)?.strip_prefix("off ")?.parse().ok()
    }

    /// Withdraws what an earlier file proposed.
    async fn take_back(&self, proposal: Option<Proposal>) -> Result<(), Refusal> {
        let Some(p) = proposal.or_else(|| self.of_the_file().and_then(|id| self.live(id).ok())) else {
            return Ok(());
        };
        self.write(Written {
            step: Step::Withdrawn { id: p.id, end: End::at(self.node.clock.now()) },
            document: None,
            what: "withdrawn",
            name: p.id.to_string(),
            proposer: None,
            by: FILE,
            reason: None,
            digest: p.digest.parse().ok(),
            certificate: None,
        })
        .await
    }
}

/// Whom the file leaves out is left out on purpose.
fn everyone(now: &super::InForce) -> Vec<String> {
    now.adopted.trust.members(&now.files).into_iter().map(|m| m.name).collect()
}
