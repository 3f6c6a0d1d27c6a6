//! kill -9 under load, again and again: `cargo run --release -p xinqiao-tests --example crash -- --rounds 200`
//!
//! Options: `--rounds N`, `--senders N`, `--seed N`, `--keep DIR` (must be empty).

#![allow(clippy::print_stdout, reason = "it reports what it found")]

use std::path::PathBuf;
use std::sync::Arc;
use xinqiao_tests::crash::{Plan, RESTLESS, run};
use xinqiao_tests::site::Site;

#[tokio::main]
async fn main() {
    let mut plan = Plan { rounds: 200, senders: 6, seed: 1 };
    let mut keep = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_else(|| panic!("{name} needs a value"));
        let number = || value.parse().unwrap_or_else(|_| panic!("{name} needs a number"));
        match name.as_str() {
            "--rounds" => plan.rounds = u32::try_from(number()).expect("a small number"),
            "--senders" => plan.senders = usize::try_from(number()).expect("a small number"),
            "--seed" => plan.seed = number(),
            "--keep" => keep = Some(PathBuf::from(&value)),
            _ => panic!("unknown option {name}"),
        }
    }
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = keep.unwrap_or_else(|| temporary.path().to_owned());
    let site = Arc::new(Site::new(&dir, RESTLESS));
    println!("{plan:?} in {}", dir.display());
    let rounds = plan.rounds;
    let summary = run(&site, &plan, |round, fleet| {
        if round % 10 == 0 || round == rounds {
            println!(
                "round {round}: {} requests answered, {} in doubt",
                fleet.done().count(),
                fleet.in_doubt().count()
            );
        }
    })
    .await;
    println!("{summary:#?}");
}
