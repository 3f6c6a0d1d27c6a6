//! Putting an approved proposal into force: whole, or not at all.

use super::{Adopted, ApprovalDocument, Governor, InForce, Written, words};
use xinqiao_evidence::Digest;
use xinqiao_exchange::event::Event;
use xinqiao_exchange::governance::{Act, End, Progress, Proposal, ProposalDocument, Step};
use xinqiao_exchange::group::{Change, Item, Kind};
use xinqiao_explain::Explain;
use xinqiao_node::decisions::canonical;
use xinqiao_node::engine::DOCUMENT_AAD;
use xinqiao_node::engine::entries;
use xinqiao_node::keyring::KeyKind;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// The most characters of a failure that a proposal's row keeps.
const WHY: usize = 200;

impl Governor {
    /// Enacts an approved proposal. What stands in the way becomes its end; only a failing journal is an error.
    pub(super) async fn enact(&self, id: u64) -> Result<(), Refusal> {
        let proposal = self.live(id)?;
        let proposed = self.proposed(&proposal)?;
        let before = self.in_force();
        let next = match before.adopted.after(&proposed.acts, &before.files) {
            Ok(next) => next,
            Err(why) => return self.failed(&proposal, &words::unusable(0, why)).await,
        };
        let locked_out = self.accepted(&proposal, &proposed);
        let by: Vec<&str> = proposal.officers().map(|o| o.name.as_str()).collect();
        let by = if by.is_empty() { super::FILE.to_owned() } else { by.join(", ") };
        if let Err(why) = self.force(&before.adopted, &next, locked_out).await {
            return self.failed(&proposal, &why).await;
        }
        if let Err(why) = self.rotate(&proposal, &proposed, &before, &by).await {
            return self.failed(&proposal, &why).await;
        }
        let (document, digest) = next.bytes();
        let last = proposal.approvals.last().map(|a| &a.by).or(proposal.by.as_ref());
        self.write(Written {
            step: Step::Enacted { id, time: self.node.clock.now(), overlay: Some(digest.to_hex()) },
            document: Some(document),
            what: "enacted",
            name: id.to_string(),
            proposer: proposal.by.as_ref().map(|b| b.name.as_str()),
            by: last.map_or(super::FILE, |l| l.name.as_str()),
            reason: None,
            digest: proposal.digest.parse().ok(),
            certificate: None,
        })
        .await?;
        self.note_acts(&proposed.acts, &by).await
    }

    /// Succeeds a key, if that is the act.
    async fn rotate(
        &self,
        proposal: &Proposal,
        proposed: &ProposalDocument,
        now: &InForce,
        by: &str,
    ) -> Result<(), Refusal> {
        let [Act::KeyRotate { key, now: at_once }] = proposed.acts.as_slice() else { return Ok(()) };
        // The node may have stopped between the key's change and the note of it.
        if now.check(&self.node, |view| view.base(&proposed.acts)) != proposal.base {
            return Ok(());
        }
        let kind = KeyKind::parse(key.name()).ok_or(RefusalCode::ProposalActs)?;
        let (node, at_once, by) = (self.node.clone(), *at_once, by.to_owned());
        let work = move || node.rotate_key(kind, at_once, &by).map(|_| ());
        tokio::task::spawn_blocking(work).await.map_err(|_| RefusalCode::Internal)?
    }

    /// Takes up what was approved when the node stopped, or when its journal failed.
    pub(super) async fn resume(&self) -> Result<(), Refusal> {
        let approved: Vec<u64> = {
            let state = self.node.state();
            let live = state.governance.live.values();
            live.filter(|p| p.state == Progress::Approved).map(|p| p.id).collect()
        };
        for id in approved {
            self.enact(id).await?;
        }
        Ok(())
    }

    /// Members and trust, then what members may send, then policies. If one cannot be, those before are put back.
    pub(super) async fn force(
        &self,
        old: &Adopted,
        next: &Adopted,
        locked_out: Vec<String>,
    ) -> Result<(), Refusal> {
        let (node, keeper) = (self.node.clone(), self.keeper.clone());
        let (old, next) = (old.clone(), next.clone());
        let work = move || {
            let files = keeper.files();
            if next.trust != old.trust {
                keeper.adopt(&next.trust, &locked_out).map_err(|r| words::trust(&r))?;
            }
            let members = next.trust.members(&files);
            let sources = if node.rules().members() == members.as_slice() {
                Ok(())
            } else {
                node.adopt_members(members)
            };
            let all = sources.and_then(|()| {
                if next.policies == old.policies {
                    Ok(())
                } else {
                    node.adopt_policies(next.policies.clone())
                }
            });
            if let Err(why) = all {
                let everyone: Vec<String> = keeper.members().into_iter().map(|m| m.name).collect();
                if let Err(e) = keeper.adopt(&old.trust, &everyone) {
                    tracing::error!(error = %e, "members and trust could not be put back");
                }
                if let Err(e) = node.adopt_members(old.trust.members(&files)) {
                    tracing::error!(error = %e, "what members may send could not be put back");
                }
                // New policies may be in force already where only the note of it failed.
                if *node.rules().policies() != old.policies
                    && let Err(e) = node.put_back_policies(old.policies.clone())
                {
                    tracing::error!(error = %e, "policies could not be put back");
                }
                return Err(words::rules(&why));
            }
            Ok(())
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| RefusalCode::Internal)?
    }

    async fn failed(&self, proposal: &Proposal, why: &Refusal) -> Result<(), Refusal> {
        let said = why.explain();
        let short = |text: &str| text.chars().take(WHY).collect::<String>();
        tracing::warn!(
            proposal = proposal.id,
            why = said.english(),
            "an approved proposal could not be put into force"
        );
        let end = End {
            by: None,
            time: self.node.clock.now(),
            why: short(&said.english()),
            why_zh: short(&said.chinese()),
        };
        let last = proposal.approvals.last().map(|a| &a.by).or(proposal.by.as_ref());
        self.write(Written {
            step: Step::Failed { id: proposal.id, end },
            document: None,
            what: "failed",
            name: proposal.id.to_string(),
            proposer: proposal.by.as_ref().map(|b| b.name.as_str()),
            by: last.map_or(super::FILE, |l| l.name.as_str()),
            reason: Some(&short(&said.english())),
            digest: proposal.digest.parse().ok(),
            certificate: None,
        })
        .await
    }

    /// Everyone whom an officer accepted to lock out.
    fn accepted(&self, proposal: &Proposal, proposed: &ProposalDocument) -> Vec<String> {
        let mut all = proposed.locked_out.clone();
        for approval in &proposal.approvals {
            let found = self.node.document(&approval.document);
            if let Some(word) = found.and_then(|b| serde_json::from_slice::<ApprovalDocument>(&b).ok()) {
                all.extend(word.locked_out);
            }
        }
        all.extend(proposed.acts.iter().filter(|a| a.closes()).map(|a| a.what().1.to_owned()));
        all
    }

    /// One entry of the log for each act, with its document.
    pub(super) async fn note_acts(&self, acts: &[Act], by: &str) -> Result<(), Refusal> {
        // A key's own steps are noted where they happen.
        for act in acts.iter().filter(|a| !matches!(a, Act::KeyRotate { .. })) {
            let document = match act {
                Act::MemberPut { member } => Some(canonical(member).0),
                Act::AnchorPut { anchor } => Some(anchor.pem.clone().into_bytes()),
                // The catalogue's documents are kept when its rules take effect.
                Act::PolicyPut { document, .. } => Some(document.clone().into_bytes()),
                _ => None,
            };
            let digest = document.as_deref().map(Digest::of);
            let (what, name) = act.what();
            let what = match act {
                Act::MemberSuspend { .. } => "member-suspended",
                Act::MemberResume { .. } => "member-resumed",
                _ => what,
            };
            let entry = entries::configuration(&self.node, what, name, digest, by);
            let mut change = Change { entry: Some(entry), ..Change::default() };
            if let (Some(bytes), Some(digest)) = (document, digest)
                && self.node.document(&digest.to_hex()).is_none()
            {
                change.events.push(Event::Document { digest: digest.to_hex(), item: 0 });
                let aad = DOCUMENT_AAD.to_vec();
                change.items.push(Item { kind: Kind::Evidence, aad, bytes });
            }
            self.node.change(change, |_| true).await?;
        }
        Ok(())
    }
}
