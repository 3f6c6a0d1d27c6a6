//! A short run of the crash harness; `cargo run -p xinqiao-tests --example crash -- --rounds 200` is the long one.

use std::io::Write;
use std::sync::Arc;
use xinqiao_tests::crash::{Plan, RESTLESS, cut, run};
use xinqiao_tests::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_once_and_nothing_is_invented() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let site = Arc::new(Site::new(dir.path(), RESTLESS));
    let summary = run(&site, &Plan { rounds: 8, senders: 4, seed: 1 }, |_, _| {}).await;
    let found = &summary.verdict;
    assert!(found.requests > 8 && found.feedback > 0 && found.repeated >= found.requests, "{summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_power_cut() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    match cut(dir.path(), &Plan { rounds: 2, senders: 4, seed: 1 }, |_, _| {}).await {
        Some(summary) => assert!(summary.verdict.requests > 2, "{summary:?}"),
        None => {
            let notice = "SKIPPED: a power cut: no ext4 could be mounted on a loop device\n";
            let _ = std::io::stderr().write_all(notice.as_bytes());
        }
    }
}
