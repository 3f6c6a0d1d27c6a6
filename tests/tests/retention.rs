//! What comes with time, the whole way: payload that cannot go, and clocks that are wrong. The catalogue of these tests
//! keeps nothing longer than it must; other days are made with `faketime`. The rules themselves, day by day, are tested
//! on a node driven by hand (`gateway/node/src/engine/hand/maintenance.rs`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use xinqiao::demo::process::NodeProcess;
use xinqiao_client::Submission;
use xinqiao_schemas::synthetic::{Generator, Table, write_ndjson};
use xinqiao_schemas::{Catalogue, SubjectKind};
use xinqiao_tests::site::{DEPARTMENTS, Site, get, today, until};

const PENALTY: &str = "administrative-penalty";

/// A node whose payloads are kept for no day after their answer, and for a day at most.
fn site(dir: &Path) -> Site {
    let catalogue = dir.join("catalogue");
    for file in Catalogue::builtin_files() {
        let path = catalogue.join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut text = file.text;
        if file.path.starts_with("datasets/") {
            let kept = |line: &str| match line.split_once('=') {
                Some((name, _)) if name.trim() == "acknowledged-days" => format!("{name}= 0"),
                Some((name, _)) if name.trim().ends_with("maximum-days") => format!("{name}= 1"),
                _ => line.to_owned(),
            };
            text = text.lines().map(|l| kept(l) + "\n").collect();
        }
        std::fs::write(path, text).unwrap();
    }
    let site = Site::new(dir, "[storage]\ncheckpoint_seconds = 1\n");
    let config = std::fs::read_to_string(site.config()).unwrap();
    let named = format!("[node]\ncatalogue = {:?}\n", catalogue.display().to_string());
    std::fs::write(site.config(), config.replacen("[node]\n", &named, 1)).unwrap();
    site
}

async fn send(site: &Site, node: &NodeProcess, first: u64, count: usize) {
    let mut generator = Generator::new(9, today()).with_references().starting_at(first);
    let records: Vec<_> = (0..count)
        .map(|_| generator.record_about(Table::Penalty2020, Some(SubjectKind::LegalPerson)))
        .collect();
    let mut body = Vec::new();
    write_ndjson(&records, &mut body);
    let submission =
        Submission { schema: Some("administrative-penalty-2020"), ..Submission::new(PENALTY, body) };
    let sent = site.client(DEPARTMENTS[0], node).send(&submission).await.unwrap();
    assert_eq!(sent.response.accepted, count as u64);
}

/// Starts the node with its clock moved, or says that this machine cannot. The library is loaded into the node itself:
/// the `faketime` command would stand between us and the process.
fn start_at(site: &Site, offset: &str) -> Option<NodeProcess> {
    if !xinqiao_tests::oracle::has("faketime", &["--version"]) {
        return None;
    }
    let library = std::fs::read_dir("/usr/lib")
        .unwrap()
        .filter_map(|e| Some(e.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|path| path.exists())
        .expect("faketime's library is installed with it");
    let script = site.dir.join("moved.sh");
    let program = xinqiao_tests::program::node_program().display().to_string();
    let text = format!(
        "#!/bin/sh\nLD_PRELOAD='{}' FAKETIME='{offset}' DONT_FAKE_MONOTONIC=1 exec '{program}' \"$@\"\n",
        library.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    Some(NodeProcess::start(&script, &site.config(), &site.log()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_degrades_readiness_and_stamps_stand_still() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let node = site.start();
    send(&site, &node, 400, 1).await;
    assert!(node.stop());
    let Some(node) = start_at(&site, "-3m") else { return };
    send(&site, &node, 500, 1).await;
    let (status, report) = xinqiao_tests::site::readiness(node.local).await;
    assert_eq!(status, 200, "the node works");
    assert!(xinqiao_tests::site::says(&report, "clock", "degraded"), "{report}");
    assert!(node.stop());
    let log = site.data().join("log");
    let (_, said) = site.run(&["log".as_ref(), "show".as_ref(), log.as_ref()]);
    let times: Vec<String> = said
        .lines()
        .filter_map(|l| {
            serde_json::from_str::<serde_json::Value>(l).ok()?["time"].as_str().map(str::to_owned)
        })
        .collect();
    assert!(times.len() > 2 && times.is_sorted(), "stamps never go back: {times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn payload_that_cannot_go_fails_readiness_says_how_old_it_is_and_goes_once_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    for first in [600, 700] {
        // The next start opens another segment: from then on it is known how old the records in the first one are.
        let node = site.start();
        send(&site, &node, first, 1).await;
        assert!(node.stop());
    }
    let evidence = site.data().join("evidence");
    // The archive's key cannot be written where a directory stands.
    let obstacle = evidence.join(format!("{:016x}.key", 1));
    std::fs::create_dir(&obstacle).unwrap();
    let Some(node) = start_at(&site, "+4d") else { return };
    let overdue = async |wanted: &str| {
        let (status, report) = xinqiao_tests::site::readiness(node.local).await;
        let found = xinqiao_tests::site::says(&report, "retention", "failing");
        let advice = report["checks"].to_string();
        (status, found, advice.contains(wanted))
    };
    until("readiness fails and says how old", async || overdue("4 days old").await == (503, true, true))
        .await;
    assert!(overdue("已有 4 天").await.2, "in Chinese too");
    let (_, metrics) = get(node.local, "/metrics").await;
    let age = metrics.lines().find_map(|l| l.strip_prefix("xinqiao_payload_overdue_seconds ")).unwrap();
    assert!(age.parse::<f64>().unwrap() > 300_000.0, "{age}");
    // A thread of its own writes the log, a moment after the fact.
    until("the log says why", async || {
        let said = std::fs::read_to_string(site.log()).unwrap();
        said.contains("old segments could not be let go") && said.contains("store.io")
    })
    .await;
    std::fs::remove_dir(&obstacle).unwrap();
    until("the node is ready again", async || overdue("").await.0 == 200).await;
    let segment = |number| site.data().join("journal").join(format!("{number:016x}.seg"));
    assert!(!segment(1).exists() && evidence.join(format!("{:016x}.arc", 1)).exists());
}
