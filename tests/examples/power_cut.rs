//! Power cuts under load: `cargo run --release -p xinqiao-tests --example power_cut -- --rounds 20`
//!
//! Needs root, mkfs.ext4 and loop devices. Options: `--rounds N`, `--senders N`, `--seed N`.

#![allow(clippy::print_stdout, reason = "it reports what it found")]

use xinqiao_tests::crash::{Plan, cut};

#[tokio::main]
async fn main() {
    let mut plan = Plan { rounds: 20, senders: 6, seed: 1 };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_else(|| panic!("{name} needs a value"));
        let number: u64 = value.parse().unwrap_or_else(|_| panic!("{name} needs a number"));
        match name.as_str() {
            "--rounds" => plan.rounds = u32::try_from(number).expect("a small number"),
            "--senders" => plan.senders = usize::try_from(number).expect("a small number"),
            "--seed" => plan.seed = number,
            _ => panic!("unknown option {name}"),
        }
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    println!("{plan:?}");
    let cut = cut(dir.path(), &plan, |round, fleet| {
        println!(
            "cut {round}: {} requests answered, {} in doubt",
            fleet.done().count(),
            fleet.in_doubt().count()
        );
    });
    match cut.await {
        Some(summary) => println!("{summary:#?}"),
        None => panic!("no ext4 could be mounted on a loop device: run as root where loop devices work"),
    }
}
