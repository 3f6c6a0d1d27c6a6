//! A journal that has lost its end, and an older copy put back: the node refuses or its recipients notice, and a new
//! epoch begins only when a person decides so.

use crate::{World, copy, files};
use std::time::Duration;
use xinqiao_client::{ClientError, PullSettings, Puller};
use xinqiao_tests::crash::{RESTLESS, drain};
use xinqiao_tests::site::{PROVINCE, Site, readiness, says};
use xinqiao_tests::traffic::lines;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_lost_its_end_is_refused_until_a_person_opens_a_new_epoch() {
    let mut world = World::new(RESTLESS);
    let node = world.site.start();
    world.send(&node, 6, 50).await;
    world.pull(&node, PROVINCE).await.expect("batches are served");
    world.send(&node, 6, 50).await;
    assert!(node.stop());
    let journal = world.site.data().join("journal");
    let segments: Vec<_> =
        files(&journal).into_iter().filter(|f| f.extension().is_some_and(|e| e == "seg")).collect();
    let newest = segments.last().expect("there is a segment");
    let len = newest.metadata().expect("a segment is there").len();
    let file = std::fs::OpenOptions::new().write(true).open(newest).expect("a segment can be cut");
    file.set_len(len - len / 3).expect("a segment can be cut");
    drop(file);
    let (code, said) = world.site.refused();
    assert!(code == 1 && said.contains("journal.rollback") && said.contains("纪元"), "{code}: {said}");
    world.site.configure(&format!("{RESTLESS}adopt_rollback = true\n"));
    let node = world.site.start();
    assert_eq!(node.epoch, 2);
    // A recipient that followed the first epoch stops and says why.
    let error = world.pull(&node, PROVINCE).await.expect_err("the epoch is another");
    assert!(matches!(error, ClientError::NewEpoch { known: 1, seen: 2 }), "{error}");
    node.kill();
    // The decision was for one start; the node goes on in the new epoch.
    world.site.configure(RESTLESS);
    let node = world.site.start();
    assert_eq!(node.epoch, 2);
    let known = world.sent.len();
    world.send(&node, 2, 50).await;
    for (member, dataset) in Site::streams().filter(|(member, _)| *member == PROVINCE) {
        let settings = PullSettings { adopt_epoch: Some(2), ..world.site.following(member, dataset) };
        let mut puller =
            Puller::open(world.site.client(member, &node), settings).await.expect("it is adopted");
        drain(&mut puller, member, Duration::ZERO).await.expect("the new epoch verifies");
    }
    let keys = std::fs::read(world.site.keys()).expect("the keys are there");
    let keys = xinqiao_evidence::keys::Jwks::from_json(&keys).expect("the keys can be read");
    let documents: Vec<_> = Site::streams()
        .filter(|(member, _)| *member == PROVINCE)
        .flat_map(|(member, dataset)| lines(&world.site.pulled().join(format!("{member}.{dataset}")), &keys))
        .filter_map(|line| line.document)
        .collect();
    for (request, _) in &world.sent[known..] {
        for record in request.records() {
            let document = xinqiao_tests::traffic::document(&record);
            assert_eq!(documents.iter().filter(|d| *d == document).count(), 1);
        }
    }
    let (status, report) = readiness(node.local).await;
    assert_eq!(status, 200, "{report}");
    assert!(node.stop());
    let (code, said) = world.site.verify_log();
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_put_back_is_noticed_by_those_who_are_ahead() {
    let mut world = World::new(RESTLESS);
    let node = world.site.start();
    world.send(&node, 4, 50).await;
    world.pull(&node, PROVINCE).await.expect("batches are served");
    assert!(node.stop());
    let kept = world.site.dir.join("older");
    copy(&world.site.data(), &kept);
    let node = world.site.start();
    world.send(&node, 4, 50).await;
    world.pull(&node, PROVINCE).await.expect("batches are served");
    assert!(node.stop());
    std::fs::remove_dir_all(world.site.data()).expect("the data is there");
    copy(&kept, &world.site.data());
    // The copy is sound in itself: nothing on this machine knows better.
    let node = world.site.start();
    let error = world.pull(&node, PROVINCE).await.expect_err("the log has shrunk");
    assert!(error.is_verification() && error.code() == "log.shrunk", "{error}");
    // One that does not look at the log is told by the node.
    let client = world.site.client(PROVINCE, &node);
    let error = client.batches("province.administrative-penalty", 1_000, 1, Duration::ZERO).await;
    let error = error.expect_err("it is ahead");
    assert_eq!(error.code(), "stream.ahead");
    let (status, report) = readiness(node.local).await;
    assert!(status == 200 && says(&report, "epoch", "degraded"), "{report}");
}
