//! sled is an index: whatever happens to it, the answers are the same.

use crate::{World, files, flip};
use xinqiao_tests::crash::{Chance, RESTLESS};
use xinqiao_tests::site::{PROVINCE, readiness, says};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_deleted_cut_or_replaced_by_garbage_is_rebuilt_and_gives_the_same_answers() {
    let mut world = World::new(RESTLESS);
    let node = world.site.start();
    world.send(&node, 6, 50).await;
    world.pull(&node, PROVINCE).await.expect("batches are served");
    world.send(&node, 3, 1).await;
    let before = world.picture(&node).await;
    assert_eq!(before.refusals(), Vec::<String>::new());
    assert!(node.stop());
    let queue = world.site.data().join("queue");
    let mut chance = Chance::new(5);
    for harm in ["deleted", "cut", "garbage", "a file instead", "key deleted"] {
        match harm {
            "deleted" => std::fs::remove_dir_all(&queue).expect("the queue is there"),
            "key deleted" => {
                std::fs::remove_file(world.site.data().join("queue.key")).expect("the key is there")
            }
            "a file instead" => {
                std::fs::remove_dir_all(&queue).expect("the queue is there");
                std::fs::write(&queue, "garbage").expect("a file can be written");
            }
            _ => {
                for path in files(&queue) {
                    let mut bytes = std::fs::read(&path).expect("a file can be read");
                    match harm {
                        "cut" => bytes.truncate(bytes.len() / 2),
                        _ => bytes.iter_mut().for_each(|byte| *byte = chance.below(256) as u8),
                    }
                    std::fs::write(path, bytes).expect("a file can be written");
                }
            }
        }
        let node = world.site.start();
        let (status, report) = readiness(node.local).await;
        assert!(status == 200 && says(&report, "queue", "degraded"), "{harm}: {report}");
        let after = world.picture(&node).await;
        assert_eq!(after.differences(&before), Vec::<String>::new(), "{harm}");
        // A crash leaves a queue that is behind; the next harm finds that one.
        node.kill();
    }
    let node = world.site.start();
    world.send(&node, 1, 1).await;
    assert!(node.stop());
    let (code, said) = world.site.verify_log();
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_queue_changes_no_answer() {
    let mut world = World::new(RESTLESS);
    let node = world.site.start();
    world.send(&node, 6, 50).await;
    world.pull(&node, PROVINCE).await.expect("batches are served");
    let before = world.picture(&node).await;
    assert!(node.stop());
    let queue = world.site.data().join("queue");
    let kept = world.site.dir.join("queue-kept");
    crate::copy(&queue, &kept);
    let mut chance = Chance::new(11);
    let mut rebuilt = 0;
    for _ in 0..8 {
        let all: Vec<_> =
            files(&queue).into_iter().filter(|f| f.metadata().is_ok_and(|m| m.len() > 0)).collect();
        let path = &all[chance.below(all.len() as u64) as usize];
        let bytes = std::fs::read(path).expect("a file can be read");
        // Most of a sled file is zeros kept for later; a flip among what was written says more.
        let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let at = written[chance.below(written.len() as u64) as usize];
        flip(path, at);
        let node = world.site.start();
        let (status, report) = readiness(node.local).await;
        assert_eq!(status, 200, "{report}");
        rebuilt += u32::from(says(&report, "queue", "degraded"));
        let after = world.picture(&node).await;
        assert_eq!(after.differences(&before), Vec::<String>::new(), "{} at {at}: {report}", path.display());
        assert!(node.stop());
    }
    assert!(rebuilt > 0, "no flip was found");
}
