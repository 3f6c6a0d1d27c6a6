//! What reading an acknowledgement costs: seconds of processor and peak memory, for a body of 16 MiB of each kind.
//!
//! `cargo run --release -p xinqiao-evidence --example parse_cost`

use std::path::Path;
use std::process::Command;

use xinqiao_evidence::acknowledgement::{Acknowledgement, LineError, MAX_ACKNOWLEDGEMENT, Outcome};
use xinqiao_evidence::keys::{AcknowledgementKey, Jwks};
use xinqiao_evidence::timestamp::Timestamp;
use xinqiao_evidence::{Digests, jws};

const KINDS: [&str; 5] = ["plain", "numbers", "names", "signed", "signed-numbers"];

#[allow(clippy::print_stdout, reason = "a program for the command line")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [kind, body, keys] = arguments.as_slice() {
        return measure(kind, Path::new(body), Path::new(keys));
    }
    println!("{:<16} {:>10} {:>10} {:>14} {:>8}", "body", "bytes", "seconds", "MiB on top", "taken");
    let key = AcknowledgementKey::generate().expect("randomness");
    let dir = std::env::temp_dir();
    let (body, keys) = (
        dir.join(format!("parse-cost-{}", std::process::id())),
        dir.join(format!("parse-cost-keys-{}", std::process::id())),
    );
    std::fs::write(&keys, Jwks::new([key.public_jwk().clone()]).to_json()).expect("a file");
    for kind in KINDS {
        // A process each, which finds its body made: neither an earlier peak nor memory freed before hides anything.
        std::fs::write(&body, made(kind, &key)).expect("a file");
        let own = std::env::current_exe().expect("a path");
        let status = Command::new(own).arg(kind).args([&body, &keys]).status();
        assert!(status.is_ok_and(|status| status.success()), "{kind}");
    }
    for file in [body, keys] {
        let _ = std::fs::remove_file(file);
    }
}

fn made(kind: &str, key: &AcknowledgementKey) -> Vec<u8> {
    let room = MAX_ACKNOWLEDGEMENT - 1024;
    match kind {
        "plain" => largest().to_json(),
        "numbers" => format!("{{\"x\":[{}0]}}", "0,".repeat(room / 2)).into_bytes(),
        "names" => {
            let names: Vec<String> = (0..room / 13).map(|n| format!("\"{n:07}\":0")).collect();
            format!("{{\"x\":{{{}}}}}", names.join(",")).into_bytes()
        }
        "signed" => {
            let mut fits = largest();
            fits.errors.truncate(70_000);
            fits.to_jws(key).expect("it signs").into_bytes()
        }
        _ => {
            let jws = jws::sign(b"{}", key).expect("it signs");
            let numbers = "0,".repeat((room - jws.len()) / 2);
            format!("{{\"x\":[{numbers}0],{}", &jws[1..]).into_bytes()
        }
    }
}

#[allow(clippy::print_stdout, reason = "a program for the command line")]
fn measure(kind: &str, body: &Path, keys: &Path) {
    let keys = Jwks::from_json(&std::fs::read(keys).expect("a file")).expect("a key set");
    let body = std::fs::read(body).expect("a file");
    let before = kib("VmRSS:");
    let began = processor();
    let taken = match kind.starts_with("signed") {
        true => Acknowledgement::from_jws(&body, &keys).is_ok(),
        false => Acknowledgement::from_json(&body).is_ok(),
    };
    let (seconds, more) = (processor() - began, kib("VmHWM:").saturating_sub(before) as f64 / 1024.0);
    println!("{kind:<16} {:>10} {seconds:>10.3} {more:>14.1} {taken:>8}", body.len());
}

/// As many errors as there may be, in as many bytes as there may be.
fn largest() -> Acknowledgement {
    let message = "x".repeat(MAX_ACKNOWLEDGEMENT / 100_000 - 50);
    let error = |record| LineError { code: "E1007".to_owned(), message: message.clone(), record };
    Acknowledgement {
        epoch: 1,
        errors: (0..100_000).map(error).collect(),
        manifest_digest: Digests::of(b"manifest"),
        node: "xm.example/350200-credit".to_owned(),
        outcome: Outcome::Partial,
        seq: 4,
        stream: "province.administrative-penalty".to_owned(),
        time: Timestamp::parse("2026-11-21T08:00:00Z").expect("a time"),
    }
}

/// A line of this process's status, in KiB.
fn kib(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|line| line.strip_prefix(name));
    found.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}

/// Seconds of processor this process has used, whoever else wants it meanwhile.
fn processor() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}
