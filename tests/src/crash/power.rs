//! Power cuts of the whole node: its data lie on an ext4 in a file, the node is stopped in mid-stride, the file copied,
//! and the node goes on from the copy. What was still in the page cache of the inner file system is gone.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Chance, Fleet, Plan, RESTLESS, Summary, Verdict, start};
use crate::disk::{Disk, run as command};
use crate::site::Site;

/// Cuts the power again and again under load and verifies what is left. Nothing if no disk could be made.
pub async fn cut(dir: &Path, plan: &Plan, mut progress: impl FnMut(u32, &Fleet)) -> Option<Summary> {
    let began = Instant::now();
    let site = Arc::new(Site::new(dir, RESTLESS));
    let (image, after) = (dir.join("image"), dir.join("image-after"));
    let mut disk = Disk::ext4(&image, &site.data(), 1024)?;
    let mut chance = Chance::new(plan.seed);
    let mut summary = Summary::default();
    let mut fleet = Fleet::new(&site, plan.senders, plan.seed);
    for round in 0..plan.rounds {
        let node = start(&site, &mut summary).await;
        let working = fleet.work(&node);
        working.wait_for(1 + chance.below(60)).await;
        tokio::time::sleep(Duration::from_micros(chance.below(20_000))).await;
        let stopped = Command::new("kill").args(["-STOP", &node.id().to_string()]).status();
        assert!(stopped.is_ok_and(|status| status.success()), "the node can be stopped");
        assert!(
            command("cp", &["--sparse=always".as_ref(), image.as_ref(), after.as_ref()]),
            "the disk can be copied"
        );
        node.kill();
        fleet.rest(working).await;
        drop(disk);
        std::fs::rename(&after, &image).expect("the copy takes the disk's place");
        disk = Disk::image(&image, &site.data()).expect("the copy can be mounted");
        *summary.deaths.entry("power cut").or_default() += 1;
        progress(round + 1, &fleet);
    }
    let node = start(&site, &mut summary).await;
    summary.verdict = Verdict::reach(&site, fleet, node).await;
    summary.took = began.elapsed();
    Some(summary)
}
