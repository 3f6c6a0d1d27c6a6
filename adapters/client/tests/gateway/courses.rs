//! Any course of events: offers, weather, crashes, second thoughts.

use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;
use xinqiao_client::{RetryPolicy, SendSettings, Sender, SubmissionOutcome};

use crate::ledger::problem;
use crate::sending::{Setting, first_waiting, records};
use crate::server::Reply;

#[derive(Debug, Clone)]
enum Act {
    Offer(u8),
    Settle(Weather),
    Discard,
    /// The process ends without a word; what it wrote last may be cut at its end.
    Crash(u8),
    Feedback,
}

#[derive(Debug, Clone, Copy)]
enum Weather {
    Fine,
    Busy,
    /// The node takes it, and the answer is lost.
    Cut,
    Suspended,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let weather = prop_oneof![
        4 => Just(Weather::Fine), 1 => Just(Weather::Busy), 2 => Just(Weather::Cut), 1 => Just(Weather::Suspended),
    ];
    let act = prop_oneof![
        4 => (0u8..6).prop_map(Act::Offer),
        5 => weather.prop_map(Act::Settle),
        1 => Just(Act::Discard),
        2 => any::<u8>().prop_map(Act::Crash),
        1 => Just(Act::Feedback),
    ];
    prop::collection::vec(act, 1..24)
}

/// Submission `n`: the last one is refused.
fn numbered(n: u8) -> String {
    if n == 5 { "{\"bad\":5}\n".into() } else { format!("{{\"n\":{n}}}\n") }
}

/// Whatever happens in whatever order: nothing goes twice, nothing offered is lost, everything known is on disk.
#[test]
fn any_course_of_events_ends_with_each_submission_taken_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let setting = runtime.block_on(Setting::new());
    let mut config = ProptestConfig::with_cases(48);
    config.failure_persistence = None;
    proptest!(config, |(acts in acts())| {
        let folder = tempfile::tempdir().unwrap();
        let settings = SendSettings { folder: folder.path().to_owned(), ..setting.settings() };
        setting.node().taken.clear();
        setting.node().feedback = 20;
        runtime.block_on(course(&setting, settings, &acts));
    });
}

async fn course(setting: &Setting, settings: SendSettings, acts: &[Act]) {
    let zero = Duration::ZERO;
    let open = async || {
        let client = setting.gateway.client().with_retry(RetryPolicy::never());
        Sender::open(client, settings.clone()).await.unwrap()
    };
    let mut sender = open().await;
    let mut offered = BTreeSet::new();
    let mut seen = 0;
    for act in acts {
        match act {
            Act::Offer(n) => {
                sender.offer(&n.to_string(), &records(&numbered(*n))).unwrap();
                offered.insert(*n);
            }
            Act::Settle(weather) => {
                let weather = *weather;
                setting.bend(move |_, reply| match weather {
                    Weather::Fine => reply,
                    Weather::Cut => {
                        Reply { cut: true, body: reply.body.slice(..reply.body.len() / 2), ..reply }
                    }
                    Weather::Busy => problem(503, "node.busy", &serde_json::json!([])),
                    Weather::Suspended => problem(403, "member.suspended", &serde_json::json!([])),
                });
                let waits = first_waiting(&sender).map(|(_, key)| key);
                match sender.settle().await {
                    Ok(settled) => assert_eq!(settled.map(|settled| settled.key), waits),
                    Err(_) => assert!(!matches!(weather, Weather::Fine) && sender.waiting().next().is_some()),
                }
                setting.node().bend = None;
            }
            Act::Discard => {
                let first = first_waiting(&sender);
                if let Some((name, key)) = first {
                    assert!(sender.discard(&key).unwrap());
                    offered.remove(&name.parse::<u8>().unwrap());
                }
            }
            Act::Crash(cut) => {
                let (waited, confirmed) = (sender.waiting().count(), sender.feedback_confirmed());
                drop(sender);
                // A write that was under way and reached the disk in part.
                let torn = &b"0123456789abcdef {\"step\":\"settled\",\"key\":"[..usize::from(*cut) % 40];
                let state = settings.folder.join("sender.state");
                let mut bytes = std::fs::read(&state).unwrap();
                bytes.extend_from_slice(torn);
                std::fs::write(&state, bytes).unwrap();
                sender = open().await;
                assert_eq!((sender.waiting().count(), sender.feedback_confirmed()), (waited, confirmed));
            }
            Act::Feedback => {
                let news = sender.feedback(zero).await.unwrap();
                assert!(news.feedback.iter().map(|one| one.n).eq(seen + 1..=(seen + 5).min(20)));
                sender.confirm(&news).unwrap();
                seen = sender.feedback_confirmed();
            }
        }
    }
    while sender.settle().await.unwrap().is_some() {}
    let mut taken: Vec<Vec<u8>> = setting.node().taken.iter().map(|taken| taken.body.clone()).collect();
    taken.sort();
    let count = taken.len();
    taken.dedup();
    assert_eq!(taken.len(), count, "something was taken twice");
    for n in offered {
        let submission = records(&numbered(n));
        let key = sender.key_of(&submission, "");
        match sender.outcome(&key).unwrap() {
            SubmissionOutcome::Refused(_) => assert!(n == 5 && sender.problem(&key).unwrap().is_some()),
            SubmissionOutcome::Accepted(accepted) => {
                let receipt = std::fs::read_to_string(sender.receipt(accepted)).unwrap();
                let known = setting.node().taken.iter().find(|taken| taken.key == key).unwrap().receipt();
                assert_eq!(receipt, known);
            }
        }
    }
}
