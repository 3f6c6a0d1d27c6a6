//! The configuration file beside the officers: whoever can write it must not be able to do alone what takes two officers.
//!
//! While four eyes are wanted and two security officers are there to have them, the members and anchors that were adopted
//! last stay in force, whatever the file says; a difference becomes a proposal by nobody, which two officers have to
//! approve. Otherwise the file applies at once, and the log says so.

use super::adopted::{canonical, roster};
use super::{FILE, Governor, Written};
use crate::engine::officer::DOCUMENT_AAD;
use crate::problem::{Problem, ProblemCode};
use xinqiao_exchange::event::Event;
use xinqiao_exchange::governance::{Act, End, Progress, Proposal, Step};
use xinqiao_exchange::group::{Change, Item, Kind};

impl Governor {
    /// Looks at what the file says, at the start and after each reload; takes up what was left approved.
    pub async fn settle(&self) -> Result<(), Problem> {
        let _turn = self.turn.lock().await;
        self.sweep().await?;
        self.resume().await?;
        let settled = self.compare().await;
        self.sources().await?;
        settled
    }

    /// What members may send follows who they are, however that changed.
    async fn sources(&self) -> Result<(), Problem> {
        let (node, keeper) = (self.node.clone(), self.keeper.clone());
        let work = move || {
            let members = keeper.members();
            if node.rules().members() == members.as_slice() { Ok(()) } else { node.adopt_members(members) }
        };
        let done = tokio::task::spawn_blocking(work).await.map_err(|_| ProblemCode::Internal)?;
        done.map_err(|e| super::words::rules(&e))
    }

    async fn compare(&self) -> Result<(), Problem> {
        let now = self.in_force();
        let base = &now.adopted.standing.base;
        if base.as_ref() == Some(&now.files) {
            return self.take_back(None).await;
        }
        if base.is_some() && self.protects() {
            return self.propose_files().await;
        }
        self.take_back(None).await?;
        let mut next = now.adopted.clone();
        next.standing.base = Some(now.files.clone());
        let must_be_kept = base.is_some() || self.would_protect(&next.standing.members(&now.files));
        if !must_be_kept {
            // Nobody could approve anything yet: the file is the registry, as it always was.
            return Ok(());
        }
        self.force(&now.adopted, &next, everyone(&now)).await?;
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
        self.would_protect(&now.adopted.standing.members(&now.files))
    }

    fn would_protect(&self, members: &[crate::config::Member]) -> bool {
        let config = &self.node.config;
        config.admin.is_some() && config.officers.four_eyes && roster(members).security_officers() >= 2
    }

    /// The proposal of what the file says now, if one waits.
    pub fn of_the_file(&self) -> Option<u64> {
        let state = self.node.state.read();
        state.governance.live.values().find(|p| p.by.is_none() && p.state == Progress::Open).map(|p| p.id)
    }

    async fn propose_files(&self) -> Result<(), Problem> {
        let now = self.in_force();
        let (bytes, digest) = canonical(&now.files);
        let acts = vec![Act::AdoptFiles { digest: digest.to_hex() }];
        let (judged, base) = now.judge(&self.node, |view| (view.judge(&acts, None), view.base(&acts)));
        if let Err(why) = judged {
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
        self.node.change(change, |_| true).await.map_err(crate::engine::submit::commit_problem)?;
        let reason =
            "the configuration file's members or trust changed 配置文件中的成员或信任已变更".to_owned();
        let id = self.open(None, reason, acts, Vec::new(), 2, base).await?;
        tracing::warn!(
            proposal = id,
            "members and trust in the configuration file differ from those in force; two security officers must approve"
        );
        Ok(())
    }

    /// Withdraws what an earlier file proposed.
    async fn take_back(&self, proposal: Option<Proposal>) -> Result<(), Problem> {
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
    now.adopted.standing.members(&now.files).into_iter().map(|m| m.name).collect()
}
