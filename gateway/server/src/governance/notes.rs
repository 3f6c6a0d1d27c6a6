//! What the log is told of officers beside their proposals, and what proposals are held against.

use super::roles::Officer;
use xinqiao_evidence::{Digest, Digests, entry};
use xinqiao_exchange::group::Change;
use xinqiao_node::engine::{Node, entries};
use xinqiao_runtime::refusal::Refusal;

/// Writes into the log what an officer did, or what was done to him, without a proposal.
pub async fn note_officer(
    node: &Node,
    what: &str,
    name: &str,
    officer: &Officer,
    reason: Option<&str>,
) -> Result<(), Refusal> {
    let identity = officer.identity();
    let event = entry::Event::Officer {
        what: what.into(),
        name: name.into(),
        member: None,
        by: identity.name.into(),
        reason: reason.map(Into::into),
        digest: None,
        evidence_digest: identity.certificate.parse().ok().map(Digests::sha256),
    };
    let change = Change { entry: Some(entries::officer(node, event)), ..Change::default() };
    node.change(change, |_| true).await?;
    Ok(())
}

/// Every key of a kind there ever was: another text once it has a successor.
pub(super) fn key_ids(node: &Node, kind: &str) -> String {
    let keys = node.keys();
    let of_kind: Vec<&str> =
        keys.iter().filter(|k| k.kind.as_str() == kind).map(|k| k.kid.as_str()).collect();
    of_kind.join(" ")
}

/// The digest of a policy in force, hexadecimal.
pub(super) fn policy_digest(node: &Node, id: &str) -> Option<String> {
    node.rules().catalogue.policy(id).map(|p| Digest::of(p.document()).to_hex())
}
