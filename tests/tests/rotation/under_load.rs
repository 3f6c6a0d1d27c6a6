//! The test of the longer command `cargo run --release -p xinqiao-tests --example rotation -- --rounds 100`.

use std::time::Duration;
use xinqiao_tests::rotation::{Plan, run};

#[tokio::test(flavor = "multi_thread")]
async fn everything_rotates_under_load_and_not_one_request_fails() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { rounds: 2, senders: 16 };
    let outcome = run(dir.path(), &plan, |_, _| {}).await;
    assert_eq!(outcome.failed, Vec::<String>::new());
    assert!(outcome.answered >= 16 * 4 && outcome.batches > 0, "{outcome:?}");
    assert_eq!(
        outcome.receipts, outcome.answered,
        "every receipt verifies with the keys published at the end"
    );
    assert_eq!(outcome.keys, 3 + 3 * 2, "three keys at first, and three more a round; none is ever dropped");
    assert!(outcome.revocations.iter().all(|took| *took < Duration::from_secs(10)), "{outcome:?}");
}
