//! A disk without space, and one that may not be written: new work is refused clearly, what is there is served, and the
//! node goes on by itself when the disk does.

use crate::{World, skipped};
use std::path::Path;
use std::time::{Duration, Instant};
use xinqiao::demo::process::NodeProcess;
use xinqiao_client::ClientError;
use xinqiao_tests::crash::RESTLESS;
use xinqiao_tests::disk::{Disk, run};
use xinqiao_tests::site::{PATIENCE, PORTAL, PROVINCE, readiness, says};

/// What the node keeps free.
const RESERVE: u64 = 16 << 20;

/// A world whose data lie on a disk of their own.
fn on_a_disk(disk: impl FnOnce(&Path, &Path) -> Option<Disk>) -> Option<(World, Disk)> {
    let world = World::new(&format!("{RESTLESS}reserve_bytes = {RESERVE}\n"));
    let disk = disk(&world.site.dir.join("image"), &world.site.data())?;
    Some((world, disk))
}

/// Sends until the node refuses; why.
async fn refusal(world: &mut World, node: &NodeProcess) -> ClientError {
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "the node takes everything");
        if let Err(error) = world.try_send(node, 50).await {
            return error;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_new_records_serves_what_is_there_and_recovers_by_itself() {
    let Some((mut world, disk)) = on_a_disk(|_, at| Disk::tmpfs(at, 96)) else {
        return skipped("a full disk: no tmpfs could be mounted");
    };
    let node = world.site.start();
    world.send(&node, 4, 50).await;
    world.pull(&node, PROVINCE).await.expect("batches are served");
    // Nearly full: no new records, but what was taken still goes out and is answered for.
    disk.fill(RESERVE / 2);
    let error = world.try_send(&node, 50).await.expect_err("there is no room");
    assert_eq!(error.code(), "disk.full", "{error}");
    let ClientError::Problem(problem) = &error else { panic!("{error}") };
    assert!(problem.status == 503 && problem.retry_after.is_some(), "{problem:?}");
    let (status, report) = readiness(node.local).await;
    assert!(status == 503 && says(&report, "journal", "failing"), "{report}");
    assert!(world.pull(&node, PORTAL).await.expect("batches are sealed, served and answered") > 0);
    let before = world.picture(&node).await;
    assert_eq!(before.refusals(), Vec::<String>::new());
    // Full to the last byte: what is there is still served.
    let ballast = disk.fill(0);
    let error = world.try_send(&node, 50).await.expect_err("there is no room");
    assert_eq!(error.code(), "disk.full", "{error}");
    assert_eq!(world.picture(&node).await.differences(&before), Vec::<String>::new());
    // Space returns: no restart, no loss, and nobody need send for the node to be ready.
    std::fs::remove_file(ballast).expect("the ballast is there");
    let until = Instant::now() + PATIENCE;
    loop {
        let (status, report) = readiness(node.local).await;
        if status == 200 {
            break;
        }
        assert!(Instant::now() < until, "it does not become ready again: {report}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.send(&node, 2, 50).await;
    world.pull(&node, PROVINCE).await.expect("batches are served");
    world.pull(&node, PORTAL).await.expect("batches are served");
    let complete = world.picture(&node).await;
    assert_eq!(complete.refusals(), Vec::<String>::new());
    assert!(node.stop());
    let (code, said) = world.site.verify_log();
    assert_eq!(code, 0, "{said}");
    let node = world.site.start();
    assert_eq!(world.picture(&node).await.differences(&complete), Vec::<String>::new());
    assert!(node.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_may_not_be_written_refuses_clearly_and_recovers_by_itself() {
    let made = on_a_disk(|image, at| Disk::ext4(image, at, 256));
    let Some((mut world, disk)) = made else {
        return skipped("a read-only disk: no ext4 could be mounted on a loop device");
    };
    let node = world.site.start();
    world.send(&node, 2, 50).await;
    world.pull(&node, PROVINCE).await.expect("batches are served");
    let journal = world.site.data().join("journal");
    if !run("chattr", &["+i".as_ref(), journal.as_os_str()]) {
        return skipped("a read-only directory: chattr does not work here");
    }
    // The segment that is open is filled up; the next cannot be made.
    let error = refusal(&mut world, &node).await;
    assert_eq!(error.code(), "disk.failed", "{error}");
    let (status, report) = readiness(node.local).await;
    assert_eq!(status, 503, "{report}");
    assert!(run("chattr", &["-i".as_ref(), journal.as_os_str()]));
    world.send(&node, 1, 50).await;
    let (status, report) = readiness(node.local).await;
    assert_eq!(status, 200, "{report}");
    world.pull(&node, PROVINCE).await.expect("batches are served");
    assert!(node.stop());
    // A disk that is read-only from the start is named, and nothing runs.
    assert!(disk.remount("ro"));
    let (code, said) = world.site.refused();
    assert!(code == 1 && said.contains("store.io"), "{code}: {said}");
    assert!(disk.remount("rw"));
    let node = world.site.start();
    assert_eq!(world.picture(&node).await.refusals(), Vec::<String>::new());
    assert!(node.stop());
}
