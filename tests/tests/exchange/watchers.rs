//! Several connections that wait for the same stream: whatever one of them seals, the others may see at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use xinqiao_tests::city::City;
use xinqiao_tests::site::{readiness, says};

use crate::{licence, put_licences, take};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sees_a_batch_can_have_its_proof() {
    let city = City::start("watchers", |_| String::new());
    let done = Arc::new(AtomicBool::new(false));
    let mut watchers = JoinSet::new();
    for n in 0..6u64 {
        let (client, done) = (city.client("province"), done.clone());
        watchers.spawn(async move {
            let mut after = 0;
            while !done.load(Ordering::Relaxed) {
                let wait = Duration::from_secs(n % 2);
                let page = client.batches("province.administrative-licence", after, 4, wait).await;
                after += page.expect("a stream can always be asked for").batches.len() as u64;
            }
            after
        });
    }
    let sender = city.peer("alpha");
    for _ in 0..60 {
        take(&sender, put_licences(&[licence()]), 1).await;
    }
    done.store(true, Ordering::Relaxed);
    while let Some(seen) = watchers.join_next().await {
        assert!(seen.expect("a watcher ends well") > 0, "each saw batches");
    }
    let (_, report) = readiness(city.node.local).await;
    assert!(!says(&report, "log.damaged", "failing"), "{report}");
}
