//! Does the node keep its word when it is killed? Departments send and recipients pull while it dies at random moments;
//! afterwards everything it acknowledged must be there, once, and nothing else.

mod chance;
mod fleet;
mod power;
mod register;
mod verdict;

pub use chance::Chance;
pub use fleet::{Fleet, Working, drain, judge};
pub use power::cut;
pub use verdict::Verdict;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use xinqiao::demo::process::NodeProcess;

use crate::program::node_program;
use crate::site::{Site, readiness, says};

/// Configuration that makes rare things common: small segments, small batches, frequent checkpoints.
pub const RESTLESS: &str =
    "[storage]\nsegment_bytes = 1048576\ncheckpoint_seconds = 1\nbatch_records = 400\n";

/// How long and how hard.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Kills.
    pub rounds: u32,
    /// Connections that send.
    pub senders: usize,
    /// Where randomness begins.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Default)]
pub struct Summary {
    /// Deaths, by their kind.
    pub deaths: BTreeMap<&'static str, u32>,
    /// Starts after which the queue had to be built again.
    pub rebuilt: u32,
    /// The longest a start took.
    pub longest_start: Duration,
    /// What was found at the end.
    pub verdict: Verdict,
    /// How long it all took.
    pub took: Duration,
}

/// Kills a node again and again under load and verifies what is left. Panics at the first word it broke.
pub async fn run(site: &Arc<Site>, plan: &Plan, mut progress: impl FnMut(u32, &Fleet)) -> Summary {
    let began = Instant::now();
    let mut chance = Chance::new(plan.seed);
    let mut summary = Summary::default();
    let mut fleet = Fleet::new(site, plan.senders, plan.seed);
    for round in 0..plan.rounds {
        if chance.one_in(6) {
            die_starting(site, &mut chance).await;
            *summary.deaths.entry("while starting").or_default() += 1;
        }
        let node = start(site, &mut summary).await;
        let working = fleet.work(&node);
        working.wait_for(1 + chance.below(60)).await;
        tokio::time::sleep(Duration::from_micros(chance.below(20_000))).await;
        let how = die(node, &mut chance).await;
        *summary.deaths.entry(how).or_default() += 1;
        fleet.rest(working).await;
        progress(round + 1, &fleet);
    }
    let node = start(site, &mut summary).await;
    summary.verdict = Verdict::reach(site, fleet, node).await;
    summary.took = began.elapsed();
    summary
}

async fn start(site: &Site, summary: &mut Summary) -> NodeProcess {
    let began = Instant::now();
    let node = site.start();
    summary.longest_start = summary.longest_start.max(began.elapsed());
    let (status, report) = readiness(node.local).await;
    assert_eq!(status, 200, "a node that was killed is ready again: {report}");
    summary.rebuilt += u32::from(says(&report, "queue", "degraded"));
    node
}

/// Kills a node under load: at once, or while it tries to stop.
async fn die(node: NodeProcess, chance: &mut Chance) -> &'static str {
    if !chance.one_in(6) {
        node.kill();
        return "under load";
    }
    let told = Command::new("kill").args(["-TERM", &node.id().to_string()]).status().expect("kill runs");
    assert!(told.success());
    tokio::time::sleep(Duration::from_micros(chance.below(80_000))).await;
    node.kill();
    "while stopping"
}

/// Starts a node and kills it before, or just after, it serves.
async fn die_starting(site: &Site, chance: &mut Chance) {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(site.log())
        .expect("the log can be written");
    let mut child = Command::new(node_program())
        .args(["serve", "--config"])
        .arg(site.config())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the program starts");
    tokio::time::sleep(Duration::from_micros(chance.below(600_000))).await;
    let _ = child.kill();
    let _ = child.wait();
}
