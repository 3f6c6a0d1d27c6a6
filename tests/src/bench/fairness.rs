//! What one department's full blast does to another's waiting: the quiet one sends single records at a modest fixed rate,
//! alone and beside the loud one, in turns within one run.
//!
//! The loud one is a process of its own at the lowest priority: its own work of making TLS records must not take the cores
//! from the quiet one's generator or from the node, or the scheduler would be measured instead of the node.

use super::bodies::{Form, Rendered, submissions};
use super::load::{NUMBERS, connect, read};
use super::machine::{Mark, describe};
use super::site::{Site, connector, program};
use super::{Fault, median, say};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

const QUIET: &str = "quiet";
const LOUD: &str = "loud";
/// Time between two requests of the quiet department, on one connection: longer than one takes on a busy machine, or its
/// own requests would wait for one another and the node's part would not be seen.
const EVERY: Duration = Duration::from_millis(40);
/// What nobody may be slowed down beyond.
const GOAL: f64 = 3.0;
/// The first argument of the child that blasts.
const BLAST: &str = "blast";
const USAGE: &str = "fairness [single|bulk|large|mixed|all] [--seconds N] [--rounds N] [--dir DIR]";

/// A way of being loud: its name, connections and records per request of each of them.
struct Blast {
    name: &'static str,
    what: &'static str,
    connections: &'static [(usize, usize)],
}

/// 4,500 records are 5 MiB of NDJSON.
const BLASTS: [Blast; 4] = [
    Blast { name: "single", what: "single records, 64 connections", connections: &[(64, 1)] },
    Blast { name: "bulk", what: "1,000 records a body, 8 connections", connections: &[(8, 1_000)] },
    Blast { name: "large", what: "bodies of 5 MiB, 12 connections", connections: &[(12, 4_500)] },
    Blast { name: "mixed", what: "all three at once", connections: &[(16, 1), (4, 1_000), (6, 4_500)] },
];

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some(BLAST) => blast(&arguments[1..]),
        _ => run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            say(format!("fairness: {fault}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Fault> {
    let (mut window, mut rounds, mut dir) = (Duration::from_secs(4), 5, std::env::temp_dir());
    let mut what = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or(USAGE);
        match argument.as_str() {
            "--seconds" => window = Duration::from_secs(value()?.parse()?),
            "--rounds" => rounds = value()?.parse()?,
            "--dir" => dir = PathBuf::from(value()?),
            "all" => what.clear(),
            name if BLASTS.iter().any(|b| b.name == name) => what.push(name),
            _ => return Err(USAGE.into()),
        }
    }
    say(describe()?);
    say(format!("program: {}", program().display()));
    say(format!(
        "quiet: one record per request, one every {} ms on one connection; {rounds} rounds of {} s, medians; the other's generator at the lowest priority\n",
        EVERY.as_millis(),
        window.as_secs()
    ));
    say(
        "the other sends                       alone p50/p99 ms   beside it p50/p99 ms   ratio of p99   the other's records/s (refused)   others, cores",
    );
    for kind in BLASTS.iter().filter(|b| what.is_empty() || what.contains(&b.name)) {
        measure(kind, window, rounds, &dir)?;
    }
    Ok(())
}

/// What the quiet department waited, and what was going on meanwhile.
struct Phase {
    p50: f64,
    p99: f64,
    others: f64,
}

fn measure(kind: &Blast, window: Duration, rounds: usize, dir: &Path) -> Result<(), Fault> {
    let site = Site::with_departments(dir, 2, &[QUIET, LOUD])?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let (mut records, mut refused) = (Vec::new(), 0);
    // The node's first seconds are not like the rest.
    quiet(&site, Duration::from_secs(1), &[])?;
    for round in 0..rounds {
        alone.push(quiet(&site, window, &[])?);
        let blaster = Blaster::start(&site, kind, round)?;
        let began = Instant::now();
        beside.push(quiet(&site, window, &[blaster.child.id()])?);
        let (sent, not_taken) = blaster.stop()?;
        records.push(sent as f64 / began.elapsed().as_secs_f64());
        refused += not_taken;
    }
    let middle = |phases: &[Phase], of: fn(&Phase) -> f64| median(phases.iter().map(of).collect());
    let ratio = middle(&beside, |p| p.p99) / middle(&alone, |p| p.p99);
    say(format!(
        "{:<37} {:8.2} {:8.2} {:13.2} {:8.2} {:13.2} {} {:15.0} ({refused}) {:15.2}",
        kind.what,
        middle(&alone, |p| p.p50),
        middle(&alone, |p| p.p99),
        middle(&beside, |p| p.p50),
        middle(&beside, |p| p.p99),
        ratio,
        if ratio <= GOAL { "good" } else { "MISS" },
        median(records),
        middle(&beside, |p| p.others),
    ));
    let each = |phases: &[Phase]| {
        let all: Vec<_> = phases.iter().map(|p| format!("{:.1}", p.p99)).collect();
        all.join(" ")
    };
    say(format!("    p99 by round: alone {}; beside it {}", each(&alone), each(&beside)));
    Ok(())
}

/// The quiet department at its rate for this long. Who comes late counts from when it wanted to send.
fn quiet(site: &Site, window: Duration, blasters: &[u32]) -> Result<Phase, Fault> {
    let (connector, address) = (connector(&site.pki.dir, QUIET, true)?, site.address());
    let mut requests = submissions(Form::Ndjson, 64, 1)?;
    let pids: Vec<u32> = site.pids().iter().chain(blasters).copied().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let mut stream = connect(&connector, address).await?;
        let mut answer = vec![0; 16 << 10];
        let mut waits = Vec::new();
        let (mark, start) = (Mark::now(&pids), Instant::now());
        let mut due = start;
        for turn in 0usize.. {
            let count = requests.len();
            let request = &mut requests[turn % count];
            request.number(NUMBERS.fetch_add(1, Relaxed));
            // The timer is a millisecond coarse, which is not the node's doing; an answer that comes late is.
            let late = Instant::now() > due;
            tokio::time::sleep_until(due.into()).await;
            let from = if late { due } else { Instant::now() };
            stream.write_all(&request.bytes).await?;
            let length = read(&mut stream, &mut answer).await?;
            if !answer[..length].starts_with(b"HTTP/1.1 201") {
                return Err(String::from_utf8_lossy(&answer[..length.min(500)]).into_owned().into());
            }
            waits.push(from.elapsed());
            due += EVERY;
            if start.elapsed() >= window {
                break;
            }
        }
        waits.sort_unstable();
        let at = |share: f64| waits[(waits.len() as f64 * share) as usize].as_secs_f64() * 1e3;
        Ok(Phase { p50: at(0.5), p99: at(0.99), others: mark.spent(&pids).others })
    })
}

/// The loud department, as a process of its own.
struct Blaster {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Blaster {
    fn start(site: &Site, kind: &Blast, round: usize) -> Result<Self, Fault> {
        let mut child = Command::new("nice")
            .args(["-n", "19"])
            .arg(std::env::current_exe()?)
            .arg(BLAST)
            .arg(&site.pki.dir)
            .args([site.address().to_string(), kind.name.to_owned(), round.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut blaster = Self { child, said };
        match blaster.line()?.as_str() {
            "going" => Ok(blaster),
            said => Err(format!("the loud department: {said}").into()),
        }
    }

    fn line(&mut self) -> Result<String, Fault> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Records that were taken, and requests that were not.
    fn stop(mut self) -> Result<(u64, u64), Fault> {
        drop(self.child.stdin.take());
        let line = self.line()?;
        let (records, refused) = line.split_once(' ').ok_or(line.clone())?;
        self.child.wait()?;
        Ok((records.parse()?, refused.parse()?))
    }
}

impl Drop for Blaster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

static SENT: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// The child: sends as fast as it is answered until its input ends.
fn blast(arguments: &[String]) -> Result<(), Fault> {
    let [pki, address, kind, round] = arguments else { return Err(USAGE.into()) };
    let kind = BLASTS.iter().find(|b| b.name == kind).ok_or(USAGE)?;
    // Numbers of this process's records are nobody else's; there are nine digits of them.
    NUMBERS.store(50_000_000 * (round.parse::<u64>()? + 1), Relaxed);
    let (connector, address): (_, SocketAddr) = (connector(Path::new(pki), LOUD, true)?, address.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for (connections, records) in kind.connections {
            let requests = submissions(Form::Ndjson, if *records == 1 { 64 } else { 1 }, *records)?;
            for _ in 0..*connections {
                tokio::spawn(shout(connector.clone(), address, requests.clone()));
            }
        }
        while SENT.load(Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        say("going");
        let input = std::thread::spawn(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        while !input.is_finished() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        say(format!("{} {}", SENT.load(Relaxed), REFUSED.load(Relaxed)));
        Ok(())
    })
}

/// One connection, opened again whenever the node ends it.
async fn shout(connector: TlsConnector, address: SocketAddr, mut requests: Vec<Rendered>) {
    let mut answer = vec![0; 16 << 10];
    loop {
        let Ok(mut stream) = connect(&connector, address).await else { continue };
        loop {
            requests.rotate_left(1);
            let request = &mut requests[0];
            request.number(NUMBERS.fetch_add(request.records, Relaxed));
            let sent = stream.write_all(&request.bytes).await;
            let Ok(length) = read(&mut stream, &mut answer).await else { break };
            if answer[..length].starts_with(b"HTTP/1.1 201") {
                SENT.fetch_add(request.records, Relaxed);
            } else {
                REFUSED.fetch_add(1, Relaxed);
            }
            if sent.is_err() {
                break;
            }
        }
    }
}
