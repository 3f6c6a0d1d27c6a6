//! Rotation under load: `cargo run --release -p xinqiao-tests --example rotation -- --rounds 100`
//!
//! Options: `--rounds N`, `--senders N`, `--keep DIR` (must be empty).

#![allow(clippy::print_stdout, reason = "it reports what it found")]

use std::path::PathBuf;
use xinqiao_tests::rotation::{Plan, run};

#[tokio::main]
async fn main() {
    let mut plan = Plan { rounds: 100, senders: 16 };
    let mut keep = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_else(|| panic!("{name} needs a value"));
        let number = || value.parse::<u32>().unwrap_or_else(|_| panic!("{name} needs a number"));
        match name.as_str() {
            "--rounds" => plan.rounds = number(),
            "--senders" => plan.senders = usize::try_from(number()).expect("a small number"),
            "--keep" => keep = Some(PathBuf::from(&value)),
            _ => panic!("unknown option {name}"),
        }
    }
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = keep.unwrap_or_else(|| temporary.path().to_owned());
    println!("{plan:?} in {}", dir.display());
    let outcome = run(&dir, &plan, |round, crew| {
        let (answered, failed) = crew.so_far();
        println!("round {round}: {answered} requests answered, {failed} failed");
    })
    .await;
    let slowest = outcome.revocations.iter().max().expect("one a round");
    println!("{outcome:#?}");
    println!(
        "{} requests, {} failed; {} receipts and {} batches verified; slowest revocation {slowest:?}",
        outcome.answered,
        outcome.failed.len(),
        outcome.receipts,
        outcome.batches
    );
    assert!(outcome.failed.is_empty(), "no request may fail");
}
