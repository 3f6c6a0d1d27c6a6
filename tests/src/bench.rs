//! Measures the node as its users meet it: the release program as a process of its own, loaded over mutual TLS, beside
//! baselines measured in turns within the same run. The load generator runs on the same cores and is part of the cost.

mod against;
mod baseline;
mod bodies;
mod bulk;
mod connect;
mod crowd;
pub mod fairness;
mod ingest;
mod load;
mod machine;
mod memory;
mod pull;
mod site;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What may go wrong while measuring; all of it ends the run.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// How the run was asked for.
struct Settings {
    /// How long each measurement lasts.
    window: Duration,
    /// How often measurements and baselines take turns.
    rounds: usize,
    /// Records of the backlog in `memory` and `restart`; of a life, where two builds are compared.
    backlog: u64,
    /// Where data goes: the disk counts.
    dir: PathBuf,
}

const USAGE: &str = "bench [ingest|bulk|pull|connect|crowd|memory|restart|all] [--seconds N] [--rounds N] [--backlog N] [--dir DIR]\n\
     bench [ingest|bulk|connect|life|recall|restart|all] --against PROGRAM [--seconds N] [--rounds N] [--backlog N] [--dir DIR]";

/// What is measured of one build; [`against::WORKS`] are those of two.
const ALONE: [&str; 7] = ["ingest", "bulk", "pull", "connect", "crowd", "memory", "restart"];

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some(baseline::BARE) => baseline::serve_bare(&arguments[1..]),
        _ => run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            say(format!("bench: {fault}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Fault> {
    let mut settings =
        Settings { window: Duration::from_secs(5), rounds: 0, backlog: 0, dir: std::env::temp_dir() };
    let (mut what, mut against, mut rounds, mut backlog) = (Vec::new(), None, None, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or(USAGE);
        match argument.as_str() {
            "--seconds" => settings.window = Duration::from_secs(value()?.parse()?),
            "--rounds" => rounds = Some(value()?.parse()?),
            "--against" => against = Some(PathBuf::from(value()?)),
            "--backlog" => backlog = Some(value()?.parse()?),
            "--dir" => settings.dir = PathBuf::from(value()?),
            "all" => what.push("all"),
            name if ALONE.contains(&name) || against::WORKS.contains(&name) => what.push(name),
            _ => return Err(USAGE.into()),
        }
    }
    if what.is_empty() {
        what.push("all");
    }
    let wanted = |name: &str| what.contains(&name) || what.contains(&"all");
    say(machine::describe()?);
    say(format!("program: {}", site::program().display()));
    let known = if against.is_some() { &against::WORKS[..] } else { &ALONE[..] };
    if !what.iter().all(|name| *name == "all" || known.contains(name)) {
        return Err(USAGE.into());
    }
    settings.rounds = rounds.unwrap_or(if against.is_some() { 5 } else { 3 });
    settings.backlog = backlog.unwrap_or(if against.is_some() { 400_000 } else { 1_000_000 });
    if let Some(other) = against {
        return against::run(&settings, &other, wanted);
    }
    if wanted("ingest") {
        ingest::run(&settings)?;
    }
    if wanted("bulk") {
        bulk::run(&settings)?;
    }
    if wanted("pull") {
        pull::run(&settings)?;
    }
    if wanted("connect") {
        connect::run(&settings)?;
    }
    if wanted("crowd") {
        crowd::run(&settings)?;
    }
    if wanted("memory") || wanted("restart") {
        memory::run(&settings, wanted("restart"))?;
    }
    Ok(())
}

/// One line of the result.
#[allow(clippy::print_stdout, reason = "a measuring tool reports to the terminal")]
fn say(line: impl AsRef<str>) {
    println!("{}", line.as_ref());
}

/// The middle of an odd number of values, the upper middle of an even one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
