//! A flipped bit in the journal or in the log is found, named, and what it hit is not served.

use crate::{World, files, flip};
use std::path::{Path, PathBuf};
use xinqiao_tests::crash::{Chance, RESTLESS};
use xinqiao_tests::site::{PROVINCE, readiness};

/// The journal's segments, oldest first.
fn segments(world: &World) -> Vec<PathBuf> {
    files(&world.site.data().join("journal"))
        .into_iter()
        .filter(|f| f.extension().is_some_and(|e| e == "seg"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_journal_is_named_and_not_served() {
    let mut world = World::new(RESTLESS);
    let node = world.site.start();
    world.send(&node, 4, 50).await;
    world.pull(&node, PROVINCE).await.expect("batches are served");
    assert!(node.stop());
    let node = world.site.start();
    world.send(&node, 4, 50).await;
    let before = world.picture(&node).await;
    assert!(node.stop());
    let all = segments(&world);
    assert!(all.len() >= 2, "each start opens a segment");
    let mut chance = Chance::new(3);
    let (mut refused, mut running) = (0, 0);
    for round in 0..16 {
        // A start reads the newest segment wholly, an earlier one only where something in it is asked for.
        let which = if round % 4 == 0 { all.len() - 1 } else { 0 };
        let path = &all[which];
        let bytes = std::fs::read(path).expect("a segment can be read");
        // What was sealed stands at the end of a segment; what it was made from is not read again. The very last frame
        // of the newest would look like one that was never finished.
        let end = if which == 0 { bytes.len() } else { bytes.len() / 4 * 3 };
        let at = end - 1 - chance.below(bytes.len() as u64 / 4) as usize;
        if bytes[at] == 0 {
            // Padding between frames.
            continue;
        }
        flip(path, at);
        let number = format!("{:016x}", which + 1);
        let place = format!("{} at {at}", path.display());
        match world.site.try_start() {
            Err(said) => {
                refused += 1;
                assert!(said.0.contains("journal.damaged") && said.0.contains(&number), "{place}: {said}");
            }
            Ok(node) => {
                let after = world.picture(&node).await;
                assert_eq!(after.contradictions(&before), Vec::<String>::new(), "{place}");
                let (status, report) = readiness(node.local).await;
                if !after.refusals().is_empty() {
                    running += 1;
                    assert!(
                        status == 503 && report.to_string().contains("journal.damaged"),
                        "{place}: {:?} {report}",
                        after.refusals()
                    );
                    let log = std::fs::read_to_string(world.site.log()).expect("the program logs");
                    assert!(log.contains("journal.damaged"), "{place}");
                }
                node.kill();
            }
        }
        flip(path, at);
    }
    assert!(refused > 0 && running > 0, "{refused} refused, {running} running");
    // As it was, it works.
    let node = world.site.start();
    assert_eq!(world.picture(&node).await.differences(&before), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_log_is_named_and_no_proof_is_made_from_it() {
    let mut world = World::new(RESTLESS);
    let node = world.site.start();
    // More than one tile, so that not everything is at the edge that a start reads.
    world.send(&node, 270, 1).await;
    world.pull(&node, PROVINCE).await.expect("batches are served");
    let before = world.picture(&node).await;
    assert!(node.stop());
    let mut chance = Chance::new(4);
    let (mut refused, mut running) = (0, 0);
    for path in files(&world.site.data().join("log")) {
        let len = path.metadata().expect("a tile is there").len();
        let at = chance.below(len) as usize;
        flip(&path, at);
        let place = format!("{} at {at}", path.display());
        match world.site.try_start() {
            Err(said) => {
                refused += 1;
                assert!(said.0.contains("log.") && said.0.contains(&tile(&path)), "{place}: {said}");
            }
            Ok(node) => {
                let after = world.picture(&node).await;
                assert_eq!(after.contradictions(&before), Vec::<String>::new(), "{place}");
                let (status, report) = readiness(node.local).await;
                running += 1;
                assert!(
                    status == 503 && report.to_string().contains("log.damaged"),
                    "{place}: {:?} {report}",
                    after.refusals()
                );
                node.kill();
            }
        }
        flip(&path, at);
    }
    assert!(refused > 0 && running > 0, "{refused} refused, {running} running");
    let node = world.site.start();
    assert_eq!(world.picture(&node).await.differences(&before), Vec::<String>::new());
}

/// How a start names a file of the log. Entries and their hashes check each other: either name is right.
fn tile(path: &Path) -> String {
    let mut parts: Vec<_> =
        path.iter().rev().map_while(|part| part.to_str()).take_while(|part| *part != "tile").collect();
    match parts.len() {
        // checkpoint
        n if n > 4 => "log.checkpoint".into(),
        n => {
            parts.truncate(n - 1);
            parts.reverse();
            parts.join("/")
        }
    }
}
