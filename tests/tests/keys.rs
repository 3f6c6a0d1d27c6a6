//! The node's own keys change, are sealed, and live in a token: nothing that was signed stops verifying, nobody who
//! pinned the first keys is left behind, and a token that is pulled out loses nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "keys/relay.rs"]
mod relay;
#[path = "keys/verifying.rs"]
mod verifying;

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use xinqiao::demo::process::NodeProcess;
use xinqiao_client::{ClientError, Sent, Submission};
use xinqiao_node::engine::telemetry::Telemetry;
use xinqiao_node::engine::{Node, Opened};
use xinqiao_node::keyring::{KeyKind, KeyState, Keyring};
use xinqiao_runtime::metrics::Metrics;
use xinqiao_schemas::SubjectKind;
use xinqiao_schemas::synthetic::{Generator, Table, write_ndjson};
use xinqiao_tests::program::node_program;
use xinqiao_tests::site::{DEPARTMENTS, PATIENCE, PROVINCE, Site, readiness, says, today};

const PENALTY: &str = "administrative-penalty";
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "canary-7788";

async fn send(site: &Site, node: &NodeProcess, first: u64) -> Result<Sent, ClientError> {
    let mut generator = Generator::new(9, today()).with_references().starting_at(first);
    let record = generator.record_about(Table::Penalty2020, Some(SubjectKind::LegalPerson));
    let mut body = Vec::new();
    write_ndjson(&[record], &mut body);
    let submission =
        Submission { schema: Some("administrative-penalty-2020"), ..Submission::new(PENALTY, body) };
    site.client(DEPARTMENTS[0], node).send(&submission).await
}

/// Keeps what the node gave for a submission.
fn keep(site: &Site, name: u64, sent: &Sent) {
    std::fs::create_dir_all(site.dir.join("receipts")).unwrap();
    std::fs::write(site.dir.join(format!("receipts/{name}.receipt.json")), sent.response.receipt.get())
        .unwrap();
}

async fn pull(site: &Site, node: &NodeProcess) -> u64 {
    let mut puller = site.puller(site.client(PROVINCE, node), PROVINCE, PENALTY).await.unwrap();
    let mut records = 0;
    while let Some(batch) = puller.next(Duration::ZERO).await.unwrap() {
        records += batch.records;
        puller.acknowledge(|_, _| None).await.unwrap();
    }
    records
}

fn secret(path: PathBuf, text: &str) -> PathBuf {
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Opens the node without listeners, as `serve` does, and stops it as it should be.
fn opened<T>(site: &Site, work: impl FnOnce(&Node) -> T) -> T {
    let config = xinqiao_node::config::Config::load(&site.config()).unwrap();
    let Opened { node, committer } = Node::open(config, Telemetry(Metrics::new())).unwrap();
    let done = work(&node);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(node.stop());
    committer.join().unwrap();
    done
}

/// As officers did it on a real node: announced for next week, then hurried, then the log's key changed by the new one.
/// Whoever pinned the first keys goes on pulling, and verifies all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_key_hurried_before_its_announced_time_leaves_nobody_behind() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "[keys]\npending_hours = 168\n");
    let node = site.start();
    keep(&site, 0, &send(&site, &node, 0).await.unwrap());
    assert_eq!(pull(&site, &node).await, 1);
    assert!(node.stop());
    tokio::task::block_in_place(|| {
        opened(&site, |node| {
            let pending = node.rotate_key(KeyKind::Manifest, false, "officer-chen").unwrap();
            assert_eq!((pending.state, pending.days_left), (KeyState::Pending, Some(7)));
            let hurried = node.rotate_key(KeyKind::Manifest, true, "officer-chen").unwrap();
            assert_eq!((hurried.kid, hurried.state), (pending.kid, KeyState::Active));
            node.rotate_key(KeyKind::Log, true, "officer-chen").unwrap();
        });
    });
    let node = site.start();
    keep(&site, 1, &send(&site, &node, 1).await.unwrap());
    assert_eq!(pull(&site, &node).await, 1, "with the first keys pinned");
    let document = site.dir.join("published.json");
    std::fs::write(&document, site.client(PROVINCE, &node).keys().await.unwrap()).unwrap();
    let (receipts, pulled, first) = (site.dir.join("receipts"), site.pulled(), site.keys());
    let all: [&OsStr; 7] = [
        "verify".as_ref(),
        "--keys".as_ref(),
        document.as_ref(),
        "--pin".as_ref(),
        first.as_ref(),
        receipts.as_ref(),
        pulled.as_ref(),
    ];
    let (code, said) = site.run(&all);
    assert_eq!(code, 0, "{said}");
}

/// Days until a key is due are told for the kinds that have a schedule, and begin anew with a successor.
#[test]
fn the_metrics_tell_when_a_key_is_due() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "[keys]\nmanifest_days = 30\npending_hours = 1\n");
    let config = xinqiao_node::config::Config::load(&site.config()).unwrap();
    let metrics = Metrics::new();
    let Opened { node, committer } = Node::open(config, Telemetry(metrics.clone())).unwrap();
    let due = || -> Vec<String> {
        let told = metrics.render();
        told.lines().filter(|l| l.starts_with("xinqiao_signing_key_expiry_days{")).map(Into::into).collect()
    };
    node.sweep();
    // Made a moment ago, so that the thirtieth day has begun.
    let line = |days: u32| format!("xinqiao_signing_key_expiry_days{{use=\"manifest\"}} {days}");
    assert!(due() == [line(29)] || due() == [line(30)], "{:?}", due());
    node.rotate_key(KeyKind::Manifest, true, "officer-chen").unwrap();
    assert!(due() == [line(29)] || due() == [line(30)], "{:?}", due());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(node.stop());
    committer.join().unwrap();
}

/// Every key changes three times, half of them while the node serves nobody; then the node is started again and again.
#[tokio::test(flavor = "multi_thread")]
async fn everything_ever_signed_verifies_through_changes_of_every_key() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "[keys]\npending_hours = 1\n[storage]\ncheckpoint_seconds = 1\n");
    // Only the first manifest key is pinned, on paper so to speak.
    let first: serde_json::Value = serde_json::from_slice(&std::fs::read(site.keys()).unwrap()).unwrap();
    let first = first["keys"].as_array().unwrap().iter().find(|k| k["xq_use"] == "manifest").unwrap().clone();
    let kid = first["kid"].as_str().unwrap().to_owned();
    let mut saved = Vec::new();
    for round in 0..3 {
        let node = site.start();
        keep(&site, round, &send(&site, &node, round).await.unwrap());
        assert_eq!(pull(&site, &node).await, 1, "round {round}");
        saved = site.client(PROVINCE, &node).keys().await.unwrap().to_vec();
        drop(node);
        let site = &site;
        tokio::task::block_in_place(|| {
            opened(site, |node| {
                for kind in KeyKind::ALL {
                    let before = node.log_size();
                    let view = node.rotate_key(kind, true, "officer-chen").unwrap();
                    assert_eq!((view.kind, view.state), (kind, KeyState::Active));
                    assert!(node.log_size() >= before + 2, "each step is told");
                }
                let pending = node.rotate_key(KeyKind::Log, false, "officer-chen").unwrap();
                assert_eq!((pending.state, pending.days_left), (KeyState::Pending, Some(0)));
                assert_eq!(node.rotate_key(KeyKind::Log, false, "officer-chen").unwrap().kid, pending.kid);
                assert_eq!(node.rotate_key(KeyKind::Log, true, "officer-chen").unwrap().kid, pending.kid);
                let at_rest = node.keys().into_iter().filter(|k| k.kind == KeyKind::AtRest);
                let in_use =
                    at_rest.filter(|k| k.place != xinqiao_node::keyring::KeyPlace::Destroyed).count();
                assert_eq!(in_use, 1, "what the older wrapped is wrapped anew, and it is forgotten");
            });
        });
    }
    let node = site.start();
    keep(&site, 3, &send(&site, &node, 3).await.unwrap());
    assert_eq!(pull(&site, &node).await, 1);
    let now = site.client(PROVINCE, &node).keys().await.unwrap();
    assert!(now.len() > saved.len() && now.len() < 32 << 10, "{} bytes", now.len());
    let document = site.dir.join("published.json");
    std::fs::write(&document, &now).unwrap();
    let (receipts, pulled) = (site.dir.join("receipts"), site.pulled());
    let verify = |keys: &Path, pin: &str| {
        let all: [&OsStr; 7] = [
            "verify".as_ref(),
            "--keys".as_ref(),
            keys.as_ref(),
            "--pin".as_ref(),
            pin.as_ref(),
            receipts.as_ref(),
            pulled.as_ref(),
        ];
        site.run(&all)
    };
    assert_eq!(verify(&document, &kid).0, 0, "{}", verify(&document, &kid).1);
    let pinned = site.keys().display().to_string();
    assert_eq!(verify(&document, &pinned).0, 0, "from a pinned key set");
    assert_eq!(verify(&document, "AAAA").0, 4);
    // Without the endorsements nothing leads from the first key to the others.
    let mut bare: serde_json::Value = serde_json::from_slice(&now).unwrap();
    bare["endorsements"] = serde_json::json!([]);
    std::fs::write(&document, bare.to_string()).unwrap();
    assert_eq!(verify(&document, &kid).0, 4);
    drop(node);
    std::fs::write(site.keys(), &now).unwrap();
    let (code, said) = site.verify_log();
    assert_eq!(code, 0, "{said}");
    let entries = std::fs::read_dir(site.data().join("log")).unwrap().count();
    assert!(entries > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_sealed_backed_up_drilled_and_put_back_by_command() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let node = site.start();
    keep(&site, 0, &send(&site, &node, 0).await.unwrap());
    drop(node);
    let (sealing, paper) = (
        secret(dir.path().join("sealing"), "sealing passphrase"),
        secret(dir.path().join("paper"), "kept on paper in a safe"),
    );
    let config = site.config();
    let command = |words: &[&str], more: &[&Path]| {
        let mut all: Vec<&OsStr> = words.iter().map(AsRef::as_ref).collect();
        all.extend(["--config".as_ref(), config.as_os_str()]);
        all.extend(more.iter().map(|p| p.as_os_str()));
        site.run(&all)
    };
    let with = |text: &str| {
        let read = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{read}\n{text}")).unwrap();
    };
    with(&format!("[keys]\nseal = \"passphrase\"\npassphrase_file = {sealing:?}\n"));
    assert!(site.refused().1.contains("keys.other-seal"));
    let (code, said) = command(&["keys", "seal"], &[]);
    assert_eq!(code, 0, "{said}");
    let to = dir.path().join("backup");
    let (to_flag, from_flag, pass) = (Path::new("--to"), Path::new("--from"), Path::new("--passphrase-file"));
    let (code, said) = command(&["keys", "backup"], &[to_flag, &to, pass, &sealing]);
    assert!(code == 1 && said.contains("keys.same-passphrase"), "{said}");
    assert_eq!(command(&["keys", "backup"], &[to_flag, &to, pass, &paper]).0, 0);
    let drill = |from: &Path| command(&["keys", "drill"], &[from_flag, from, pass, &paper]);
    assert_eq!(drill(&to).0, 0, "{}", drill(&to).1);
    let (code, said) = command(&["keys", "rotate", "--use", "log", "--now"], &[]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(drill(&to).0, 4, "a key made since");
    let second = dir.path().join("second");
    assert_eq!(command(&["keys", "backup"], &[to_flag, &second, pass, &paper]).0, 0);
    assert_eq!(
        command(&["keys", "restore"], &[from_flag, &second, pass, &paper]).0,
        1,
        "not over existing keys"
    );
    std::fs::rename(site.node.join("keys"), dir.path().join("lost")).unwrap();
    assert!(site.refused().1.contains("keys.missing"));
    let (code, said) = command(&["keys", "restore"], &[from_flag, &second, pass, &paper]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = command(&["keys", "status"], &[]);
    assert!(code == 0 && said.contains("retired") && said.contains("at-rest"), "{said}");
    let node = site.start();
    assert!(command(&["keys", "rotate", "--use", "log"], &[]).0 != 0, "not under a running node");
    keep(&site, 1, &send(&site, &node, 1).await.unwrap());
    assert_eq!(pull(&site, &node).await, 2);
    drop(node);
    secret(sealing, "another passphrase");
    assert!(site.refused().1.contains("keys.wrong-passphrase"));
}

/// As under systemd with `LoadCredential=`: the credential is there while the service runs, and only then.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_sealed_by_a_credential_starts_with_it_and_not_without() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "[keys]\nseal = \"credential\"\ncredential = \"sealing\"\n");
    let given = dir.path().join("credentials");
    std::fs::create_dir(&given).unwrap();
    secret(given.join("sealing"), "what systemd-creds decrypted\n");
    let program = with_environment(dir.path(), "CREDENTIALS_DIRECTORY", &given);
    let sealed =
        Command::new(&program).args(["keys", "seal", "--config"]).arg(site.config()).output().unwrap();
    assert!(sealed.status.success(), "{sealed:?}");
    let plain = |name: &str| std::fs::read(site.node.join("keys").join(name)).unwrap();
    let book: serde_json::Value = serde_json::from_slice(&plain("keyring.json")).unwrap();
    assert!(plain(book["record"].as_str().unwrap()).starts_with(b"XQSEAL"));
    for round in 0..2 {
        let node = NodeProcess::start(&program, &site.config(), &site.log()).unwrap();
        keep(&site, round, &send(&site, &node, round).await.unwrap());
        assert_eq!(pull(&site, &node).await, 1, "start {round}");
        assert!(node.stop());
    }
    assert!(site.refused().1.contains("keys.no-credential"));
    secret(given.join("sealing"), "another one");
    let refused = Command::new(&program).args(["serve", "--config"]).arg(site.config()).output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("keys.wrong-passphrase") && !said.contains("systemd-creds"), "{said}");
}

/// The program with one more variable, which a test may not set for itself.
fn with_environment(dir: &Path, name: &str, value: &Path) -> PathBuf {
    let program = dir.join("xinqiao");
    let script =
        format!("#!/bin/sh\n{name}='{}' exec '{}' \"$@\"\n", value.display(), node_program().display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    program
}

/// A token made of files, for one test.
struct SoftToken {
    dir: PathBuf,
    program: PathBuf,
}

impl SoftToken {
    fn new(dir: &Path) -> Self {
        let (tokens, conf) = (dir.join("tokens"), dir.join("softhsm2.conf"));
        std::fs::create_dir(&tokens).unwrap();
        std::fs::write(
            &conf,
            format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display()),
        )
        .unwrap();
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", "xinqiao", "--so-pin", "12345678", "--pin", PIN])
            .env("SOFTHSM2_CONF", &conf)
            .output()
            .expect("softhsm2-util is installed; .ci/test does it");
        assert!(made.status.success(), "{made:?}");
        let program = with_environment(dir, "SOFTHSM2_CONF", &conf);
        Self { dir: tokens, program }
    }

    fn run(&self, words: &[&str], config: &Path) -> Output {
        Command::new(&self.program).args(words).arg("--config").arg(config).output().unwrap()
    }

    fn unplug(&self) {
        std::fs::rename(&self.dir, self.dir.with_extension("away")).unwrap();
    }

    fn plug_in(&self) {
        std::fs::rename(self.dir.with_extension("away"), &self.dir).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_signs_and_when_it_is_pulled_out_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let token = SoftToken::new(dir.path());
    let pin = secret(dir.path().join("pin"), PIN);
    let keys = format!(
        "[storage]\ncheckpoint_seconds = 1\n[keys]\nseal = \"token\"\n[keys.token]\nmodule = {MODULE:?}\nlabel = \"xinqiao\"\npin = {pin:?}\nholds = [\"manifest\", \"log\", \"acknowledgement\"]\n"
    );
    let site = Site::new(dir.path(), &keys);
    std::fs::remove_dir_all(site.node.join("keys")).unwrap();
    let made = token.run(&["keys", "init"], &site.config());
    assert!(made.status.success(), "{made:?}");
    let public = token.run(&["keys", "public"], &site.config());
    std::fs::write(site.keys(), &public.stdout).unwrap();
    let names = std::fs::read_dir(site.node.join("keys"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect::<Vec<_>>();
    assert!(!names.iter().any(|n| n.to_str().unwrap().ends_with(".p8")), "{names:?}");

    let node = NodeProcess::start(&token.program, &site.config(), &site.log()).unwrap();
    keep(&site, 0, &send(&site, &node, 0).await.unwrap());
    assert_eq!(pull(&site, &node).await, 1);

    token.unplug();
    let until = Instant::now() + PATIENCE;
    let refused = loop {
        match send(&site, &node, 1).await {
            Err(ClientError::Problem(problem)) => break problem,
            Err(other) => panic!("{other}"),
            // The module may still have the key at hand.
            Ok(sent) => keep(&site, 1, &sent),
        }
        assert!(Instant::now() < until, "the token is gone and nobody noticed");
    };
    assert_eq!((refused.status, refused.code.as_str()), (503, "keys.unavailable"));
    let (status, report) = readiness(node.local).await;
    assert!(status == 503 && says(&report, "token", "failing"), "{report}");

    token.plug_in();
    let until = Instant::now() + PATIENCE;
    while readiness(node.local).await.0 != 200 {
        assert!(Instant::now() < until, "the token is back and nobody noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    keep(&site, 2, &send(&site, &node, 2).await.unwrap());
    pull(&site, &node).await;
    let said = site.run(&[
        "verify".as_ref(),
        "--keys".as_ref(),
        site.keys().as_ref(),
        site.dir.join("receipts").as_ref(),
        site.pulled().as_ref(),
    ]);
    assert_eq!(said.0, 0, "{}", said.1);
    drop(node);

    // The next keys are made in the token too; a backup says that it lacks them.
    let turned = token.run(&["keys", "rotate", "--use", "manifest", "--now"], &site.config());
    assert!(turned.status.success(), "{turned:?}");
    let paper = secret(dir.path().join("paper"), "kept on paper in a safe");
    let to = dir.path().join("backup");
    let backup =
        ["keys", "backup", "--to", to.to_str().unwrap(), "--passphrase-file", paper.to_str().unwrap()];
    let backup = token.run(&backup, &site.config());
    let said = String::from_utf8_lossy(&backup.stdout).into_owned();
    assert!(backup.status.success() && said.matches("lives in the token").count() == 4, "{backup:?}");

    token.unplug();
    let code = |output: Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(code(token.run(&["keys", "public"], &site.config())).contains("keys.token-unavailable"));
    token.plug_in();
    secret(pin, "9999");
    assert!(code(token.run(&["keys", "public"], &site.config())).contains("keys.token-pin"));
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(!log.contains(PIN), "the PIN never enters a log");
}

/// Officers, the schedule and upkeep may come at the same time. Whenever the node is killed meanwhile, the at-rest keys on
/// disk open what is stored: seen by looking at the keys first and at what they wrap afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn at_rest_keys_changed_by_several_at_once_leave_nothing_unreadable() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let node = site.start();
    send(&site, &node, 0).await.unwrap();
    assert!(node.stop());
    let held = xinqiao_node::config::Config::load(&site.config()).unwrap().node.keys;
    let oldest = || Keyring::load(&held).unwrap().at_rest().ids().min().unwrap();
    let wrapped_by = || -> Vec<u32> {
        let files = std::fs::read_dir(site.data().join("journal")).unwrap().map(|e| e.unwrap().path());
        let keys = files.filter(|p| p.extension().is_some_and(|e| e == "key"));
        keys.map(|p| u32::from_le_bytes(std::fs::read(p).unwrap()[8..12].try_into().unwrap())).collect()
    };
    let change = |node: &Node| {
        std::thread::scope(|scope| {
            let rotate = |by| {
                move || {
                    for _ in 0..8 {
                        node.rotate_key(KeyKind::AtRest, true, by).unwrap();
                    }
                }
            };
            let busy: Vec<_> =
                ["security", "security-2", "node"].map(|by| scope.spawn(rotate(by))).into_iter().collect();
            while !busy.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                let oldest = oldest();
                assert!(wrapped_by().iter().all(|id| *id >= oldest), "killed now, it could not be read");
            }
        });
    };
    tokio::task::block_in_place(|| opened(&site, change));
    let node = site.start();
    assert_eq!(pull(&site, &node).await, 1, "what was stored under the first key");
    assert!(node.stop());
}
