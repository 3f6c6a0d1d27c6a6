//! Everything rotates while members work: server and client certificates, the authority itself, revocation lists, the
//! keys that sign and the key that wraps. Not one request may fail, and every batch has to verify with the first key
//! ever pinned.

mod estate;
mod members;

use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xinqiao::demo::process::NodeProcess;

use crate::site::{PATIENCE, hang_up, until};
use estate::Estate;
use members::Crew;

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Rounds; in each, everything rotates once.
    pub rounds: u32,
    /// Members that send.
    pub senders: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Requests answered with a receipt.
    pub answered: usize,
    /// Records in them.
    pub records: usize,
    /// Requests that failed, in words.
    pub failed: Vec<String>,
    /// Batches verified from the first pinned key on, both recipients together.
    pub batches: u64,
    /// Receipts verified with the keys published at the end.
    pub receipts: usize,
    /// Keys published at the end, retired ones included.
    pub keys: usize,
    /// From the writing of a revocation list to the end of the revoked member's open connection.
    pub revocations: Vec<Duration>,
}

/// Runs rounds and gives what came of them; `told` hears of each round.
pub async fn run(dir: &Path, plan: &Plan, mut told: impl FnMut(u32, &Crew)) -> Outcome {
    let mut estate = Estate::found(dir, plan.senders);
    let node = Arc::new(estate.start());
    let crew = Crew::hire(&estate, &node, plan.senders).await;
    let mut outcome = Outcome::default();
    for round in 1..=plan.rounds {
        outcome.revocations.push(revoke_someone(&mut estate, &node).await);
        roll_authority(&mut estate, &node, &crew, round).await;
        for key in ["manifest", "log", "acknowledgement", "at-rest"] {
            let act = json!({ "act": "key-rotate", "key": key, "now": true });
            decide(&estate, &node, act).await;
        }
        crew.everyone_did_something_more().await;
        told(round, &crew);
    }
    crew.finish(&mut outcome).await;
    outcome
}

/// A certificate of a member is revoked by list while a connection with it is open.
async fn revoke_someone(estate: &mut Estate, node: &NodeProcess) -> Duration {
    let stray = estate.stray();
    let kept = estate.connection(node, &stray).await.expect("a good certificate is let in");
    let from = Instant::now();
    estate.revoke(&stray);
    let took = tokio::time::timeout(PATIENCE, estate::end_of(kept, from)).await.expect("the connection ends");
    until("the revoked certificate is refused", async || estate.connection(node, &stray).await.is_none())
        .await;
    took
}

/// A new authority is trusted beside the old one, everyone gets certificates by it, the old one goes.
async fn roll_authority(estate: &mut Estate, node: &NodeProcess, crew: &Crew, round: u32) {
    let act = estate.add_authority();
    decide(estate, node, act).await;
    // Its list has a place of its own.
    hang_up(node);
    let stray = estate.stray();
    assert!(estate.connection(node, &stray).await.is_some(), "the new authority is trusted");
    crew.take_new_files(estate);
    crew.everyone_did_something_more().await;

    let leaf = estate.renew_server();
    // Noticed by itself in odd rounds, told by a signal in even ones.
    if round.is_multiple_of(2) {
        hang_up(node);
    }
    until("the new certificate is shown", async || estate.shown(node).await.as_ref() == Some(&leaf)).await;

    let old = estate.stray_of_old();
    estate.renew_members();
    crew.take_new_files(estate);
    estate.everyone_came_again(node).await;
    let act = estate.remove_old_authority();
    until("nobody uses the old authority", async || affected(estate, node, &act).await == 0).await;
    decide(estate, node, act).await;
    assert!(estate.connection(node, &old).await.is_none(), "the old authority is trusted no longer");
}

/// One security officer proposes, another approves what he saw.
async fn decide(estate: &Estate, node: &NodeProcess, act: Value) {
    let (first, second) = (estate.officer(node, "security-a"), estate.officer(node, "security-b"));
    let wanted = json!({ "reason": "轮换演练", "acts": [act] });
    let proposal: Value = first.tell("/v1/proposals", &wanted).await.expect("a proposal is taken");
    let path = format!("/v1/proposals/{}/approve", proposal["id"]);
    let approval = json!({ "digest": proposal["digest"], "reason": "已核对" });
    let decided: Value = second.tell(&path, &approval).await.expect("an approval is taken");
    assert_eq!(decided["state"], "enacted", "{wanted}: {decided}");
}

/// How many certificates in use an act would lock out.
async fn affected(estate: &Estate, node: &NodeProcess, act: &Value) -> usize {
    let officer = estate.officer(node, "security-a");
    let wanted = json!({ "reason": "轮换演练", "acts": [act] });
    let report: Value = officer.tell("/v1/proposals?dry-run=1", &wanted).await.expect("a rehearsal");
    report["affected"].as_array().expect("who is affected").len()
}
