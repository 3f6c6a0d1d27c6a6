//! A second officer's word: yes, no, or the proposer's own change of mind.

use super::words::refused;
use super::{ApprovalPaper, Governor, SecurityOfficer, Written, check_reason, unnamed};
use crate::officers::{ApprovalRequest, ProposalView};
use xinqiao_exchange::governance::{Approval, End, Progress, Step};
use xinqiao_node::decisions::canonical;
use xinqiao_runtime::problem::{Problem, ProblemCode};

impl Governor {
    /// Says yes to a proposal; with its last officer it is put into force.
    pub async fn approve(
        &self,
        who: &SecurityOfficer,
        id: u64,
        word: ApprovalRequest,
    ) -> Result<ProposalView, Problem> {
        let _turn = self.turn.lock().await;
        self.present(who)?;
        self.sweep().await?;
        self.resume().await?;
        check_reason(&word.reason)?;
        let signer = who.signer();
        if self
            .node
            .proposal(id)
            .is_some_and(|p| p.approvals.iter().any(|a| a.by.name == signer.name && a.digest == word.digest))
        {
            return self.view(id);
        }
        let proposal = self.live(id)?;
        let paper = self.paper(&proposal)?;
        let time = self.node.clock.now();
        let document = canonical(&ApprovalPaper {
            proposal: id,
            digest: word.digest.clone(),
            by: signer.name.clone(),
            certificate: signer.certificate.clone(),
            reason: word.reason.clone(),
            despite: word.despite.clone(),
            time,
        });
        let approval =
            Approval { by: signer.clone(), digest: word.digest.clone(), document: document.1.to_hex(), time };
        let step = Step::Approved { id, approval };
        proposal.after(&step).map_err(refused)?;
        let now = self.in_force();
        let (view_base, judged) =
            now.judge(&self.node, |view| (view.base(&paper.acts), view.judge(&paper.acts, Some(&signer))));
        // The word of an officer who was suspended since, perhaps for a stolen card, counts no longer.
        let roster = now.view_roster();
        if view_base != proposal.base || proposal.officers().any(|o| !roster.decides(&o.name)) {
            return Err(ProblemCode::ProposalOutdated.into());
        }
        judged.map_err(refused)?;
        let report = self.rehearsed(&now, &paper.acts).await?;
        unnamed(&report, &[&paper.despite, &word.despite])?;
        self.write(Written {
            step,
            document: Some(document.0),
            what: "approved",
            name: id.to_string(),
            proposer: proposal.by.as_ref().map(|b| b.name.as_str()),
            by: &signer.name,
            reason: Some(&word.reason),
            digest: word.digest.parse().ok(),
            certificate: signer.certificate.parse().ok(),
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
    ) -> Result<ProposalView, Problem> {
        self.end(who, id, reason, "rejected").await
    }

    /// Takes one's own proposal back.
    pub async fn withdraw(
        &self,
        who: &SecurityOfficer,
        id: u64,
        reason: String,
    ) -> Result<ProposalView, Problem> {
        self.end(who, id, reason, "withdrawn").await
    }

    async fn end(
        &self,
        who: &SecurityOfficer,
        id: u64,
        reason: String,
        what: &str,
    ) -> Result<ProposalView, Problem> {
        let _turn = self.turn.lock().await;
        self.present(who)?;
        self.sweep().await?;
        check_reason(&reason)?;
        let signer = who.signer();
        let known = self.node.proposal(id).ok_or(ProblemCode::ProposalUnknown)?;
        let again = known.state.name() == what
            && known.end.as_ref().and_then(|e| e.by.as_ref()).is_some_and(|by| by.name == signer.name);
        if again {
            return self.view(id);
        }
        let time = self.node.clock.now();
        let end = End { by: Some(signer.clone()), time, why: reason.clone(), why_zh: String::new() };
        let step = if what == "rejected" { Step::Rejected { id, end } } else { Step::Withdrawn { id, end } };
        let proposal = self.live(id)?;
        proposal.after(&step).map_err(refused)?;
        self.write(Written {
            step,
            document: None,
            what,
            name: id.to_string(),
            proposer: proposal.by.as_ref().map(|b| b.name.as_str()),
            by: &signer.name,
            reason: Some(&reason),
            digest: proposal.digest.parse().ok(),
            certificate: signer.certificate.parse().ok(),
        })
        .await?;
        self.view(id)
    }
}
