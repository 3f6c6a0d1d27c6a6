//! A second officer's word: yes, no, or the proposer's own change of mind.

use super::words::refused;
use super::{ApprovalDocument, Governor, SecurityOfficer, Written, check_reason, unnamed};
use crate::officers::{ApprovalRequest, ProposalView};
use xinqiao_exchange::governance::{Approval, End, Progress, Step};
use xinqiao_node::decisions::canonical;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

impl Governor {
    /// Says yes to a proposal; with its last officer it is put into force.
    pub async fn approve(
        &self,
        who: &SecurityOfficer,
        id: u64,
        word: ApprovalRequest,
    ) -> Result<ProposalView, Refusal> {
        let _turn = self.turn.lock().await;
        self.present(who)?;
        self.sweep().await?;
        self.resume().await?;
        check_reason(&word.reason)?;
        let identity = who.identity();
        if self.node.proposal(id).is_some_and(|p| {
            p.approvals.iter().any(|a| a.by.name == identity.name && a.digest == word.digest)
        }) {
            return self.view(id);
        }
        let proposal = self.live(id)?;
        let proposed = self.proposed(&proposal)?;
        let time = self.node.clock.now();
        let document = canonical(&ApprovalDocument {
            proposal: id,
            digest: word.digest.clone(),
            by: identity.name.clone(),
            certificate: identity.certificate.clone(),
            reason: word.reason.clone(),
            locked_out: word.locked_out.clone(),
            time,
        });
        let approval = Approval {
            by: identity.clone(),
            digest: word.digest.clone(),
            document: document.1.to_hex(),
            time,
        };
        let step = Step::Approved { id, approval };
        proposal.after(&step).map_err(refused)?;
        let now = self.in_force();
        let (view_base, checked) = now.check(&self.node, |view| {
            (view.base(&proposed.acts), view.check(&proposed.acts, Some(&identity)))
        });
        // The word of an officer who was suspended since, perhaps for a stolen card, counts no longer.
        let roster = now.view_roster();
        if view_base != proposal.base || proposal.officers().any(|o| !roster.decides(&o.name)) {
            return Err(RefusalCode::ProposalOutdated.into());
        }
        checked.map_err(refused)?;
        let report = self.rehearsed(&now, &proposed.acts).await?;
        unnamed(&report, &[&proposed.locked_out, &word.locked_out])?;
        self.write(Written {
            step,
            document: Some(document.0),
            what: "approved",
            name: id.to_string(),
            proposer: proposal.by.as_ref().map(|b| b.name.as_str()),
            by: &identity.name,
            reason: Some(&word.reason),
            digest: word.digest.parse().ok(),
            certificate: identity.certificate.parse().ok(),
        })
        .await?;
        if self.live(id).is_ok_and(|p| p.state == Progress::Approved) {
            self.enact(id).await?;
        }
        self.view(id)
    }

    /// Says no to a proposal.
    pub async fn reject(
        &self,
        who: &SecurityOfficer,
        id: u64,
        reason: String,
    ) -> Result<ProposalView, Refusal> {
        self.end(who, id, reason, "rejected").await
    }

    /// Takes one's own proposal back.
    pub async fn withdraw(
        &self,
        who: &SecurityOfficer,
        id: u64,
        reason: String,
    ) -> Result<ProposalView, Refusal> {
        self.end(who, id, reason, "withdrawn").await
    }

    async fn end(
        &self,
        who: &SecurityOfficer,
        id: u64,
        reason: String,
        what: &str,
    ) -> Result<ProposalView, Refusal> {
        let _turn = self.turn.lock().await;
        self.present(who)?;
        self.sweep().await?;
        check_reason(&reason)?;
        let identity = who.identity();
        let known = self.node.proposal(id).ok_or(RefusalCode::ProposalUnknown)?;
        let again = known.state.name() == what
            && known.end.as_ref().and_then(|e| e.by.as_ref()).is_some_and(|by| by.name == identity.name);
        if again {
            return self.view(id);
        }
        let time = self.node.clock.now();
        let end = End { by: Some(identity.clone()), time, why: reason.clone(), why_zh: String::new() };
        let step = if what == "rejected" { Step::Rejected { id, end } } else { Step::Withdrawn { id, end } };
        let proposal = self.live(id)?;
        proposal.after(&step).map_err(refused)?;
        self.write(Written {
            step,
            document: None,
            what,
            name: id.to_string(),
            proposer: proposal.by.as_ref().map(|b| b.name.as_str()),
            by: &identity.name,
            reason: Some(&reason),
            digest: proposal.digest.parse().ok(),
            certificate: identity.certificate.parse().ok(),
        })
        .await?;
        self.view(id)
    }
}
