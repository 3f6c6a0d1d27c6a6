//! `xinqiao send` with a folder: cut off and begun again, the same content offered twice, receipts verified.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use xinqiao_tests::city::{City, ndjson};
use xinqiao_tests::program::node_program;

use crate::licence;

/// A city of its own: what is sent here is nobody else's to count.
struct Sending {
    city: City,
    receipts: PathBuf,
}

impl Sending {
    fn file(&self, name: &str) -> PathBuf {
        let path = self.city.dir.join(name);
        std::fs::write(&path, ndjson(&[licence(), licence()])).expect("a file can be written");
        path
    }

    fn keys(&self) -> PathBuf {
        self.city.dir.join("city/keys.json")
    }

    fn command(&self, dataset: &str, files: &[&Path]) -> Command {
        let profile = self.city.pki.profile("alpha", self.city.node.exchange);
        let mut command = Command::new(node_program());
        command.args(["send", "--gateway", &profile.gateway, "--cert"]).arg(&profile.certificate);
        command.arg("--key").arg(&profile.key).arg("--ca").arg(&profile.authorities);
        command.args(["--dataset", dataset, "--schema", "xm-licence", "--receipts"]).arg(&self.receipts);
        command.arg("--keys").arg(self.keys()).args(files);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it; what it said about each file, and on standard error.
    fn send(&self, files: &[&Path]) -> (Vec<Value>, String) {
        let output = self.command("administrative-licence", files).output().expect("the program runs");
        let said = lines(&output);
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said:?} {complained}");
        (said, complained)
    }

    fn signal(&self, signal: &str) {
        let node = self.city.node.id().to_string();
        let done = Command::new("kill").args([signal, &node]).status().expect("kill runs");
        assert!(done.success());
    }

    fn names(&self, end: &str) -> usize {
        let listed = std::fs::read_dir(&self.receipts).into_iter().flatten().flatten();
        listed.filter(|entry| entry.file_name().to_string_lossy().ends_with(end)).count()
    }
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

fn told(line: &Value) -> (&str, &str, u64) {
    let text = |name: &str| line[name].as_str().expect("text");
    (text("file"), text("submission"), line["accepted"].as_u64().expect("a number"))
}

#[test]
fn the_send_command_finishes_what_was_cut_off_and_sends_nothing_twice() {
    let city = City::start("sending", |_| String::new());
    let sending = Sending { receipts: city.dir.join("sent"), city };
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| sending.file(&format!("{name}.ndjson")));

    let (first, _) = sending.send(&[&a]);
    let (file, id, accepted) = told(&first[0]);
    assert_eq!((first.len(), file, accepted), (1, a.to_str().expect("UTF-8"), 2));
    // The same file again: the same answer, from the folder.
    let (second, complained) = sending.send(&[&a, &b]);
    assert_eq!((second.len(), &second[0]), (2, &first[0]));
    assert!(complained.contains(id), "{complained}");

    // Killed while the gateway does not answer.
    sending.signal("-STOP");
    let mut cut = sending.command("administrative-licence", &[&c]).spawn().expect("the program runs");
    let until = Instant::now() + Duration::from_secs(60);
    while sending.names(".body") == 0 {
        assert!(Instant::now() < until, "the records are on disk before they are sent");
        std::thread::yield_now();
    }
    cut.kill().expect("it runs still");
    cut.wait().expect("it ended");
    sending.signal("-CONT");
    let (third, _) = sending.send(&[&d]);
    let files: Vec<&str> = third.iter().map(|line| told(line).0).collect();
    assert_eq!(files.last().copied(), d.to_str(), "{third:?}");
    // It was killed as soon as its records were there: whether its intent was too, only it knew.
    if files.len() == 1 {
        sending.send(&[&c]);
    } else {
        assert_eq!(files[0], c.to_str().expect("UTF-8"));
    }

    // What the gateway refuses leaves nothing in the way of the next.
    let refused = sending.command("administrative-nothing", &[&a]).output().expect("the program runs");
    assert_eq!(refused.status.code(), Some(3));
    sending.send(&[&a, &b, &c, &d]);
    assert_eq!((sending.names(".receipt.json"), sending.names(".body")), (4, 0));
    let verified = Command::new(node_program())
        .args(["verify", "--keys"])
        .args([sending.keys(), sending.receipts.clone()])
        .output()
        .expect("the program runs");
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));
}
