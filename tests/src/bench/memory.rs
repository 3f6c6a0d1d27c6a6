//! A backlog that nobody takes: memory at rest and under load, what a record costs as the backlog grows, and how soon
//! the node is back after a kill, with its queue and without.

use super::bodies::{Form, submissions};
use super::load::{Load, Until, run as load};
use super::machine::{Mark, resident};
use super::site::{Site, Version};
use super::{Fault, Settings, median, say};
use std::path::Path;

const RECORDS: usize = 1_000;
const IN_FLIGHT: usize = 4;

pub(super) fn run(settings: &Settings, restart: bool) -> Result<(), Fault> {
    let mut site = Site::start(&settings.dir, 2)?;
    say(format!("\n== a backlog of {} records, {RECORDS} per request, 2 recipients", settings.backlog));
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    say(format!("idle: {:.0} MiB", mib(resident(site.node.id()).0)));
    say("    backlog   records/s   CPU µs/record   resident MiB   at most MiB");
    let mut sent = 0u64;
    let mut next = 1_000u64;
    let mut costs = Vec::new();
    while sent < settings.backlog {
        let step = (next - sent).min(settings.backlog - sent);
        let it = Load {
            address: site.address(),
            pids: &site.pids(),
            connector: site.connector(true)?,
            version: Version::Http1,
            in_flight: IN_FLIGHT,
            requests: submissions(Form::Ndjson, 2, RECORDS)?,
            checked: true,
            anew: false,
        };
        let outcome = load(&it, Until::Records(step))?;
        sent += outcome.records;
        let (now, most) = resident(site.node.id());
        let cost = outcome.server_cpu_per_record();
        say(format!(
            "{sent:>11} {:11.0} {cost:15.2} {:14.0} {:13.0}",
            outcome.records_per_second(),
            mib(now),
            mib(most)
        ));
        costs.push((sent, cost));
        next = if next < 100_000 { next * 10 } else { next + (settings.backlog / 10).max(100_000) };
    }
    // The first steps are shorter than the clock's ticks and the caches' warming; the rest is compared.
    let long: Vec<f64> = costs.iter().filter(|(n, _)| *n > 10_000).map(|(_, c)| *c).collect();
    if long.len() > 4 {
        let third = long.len() / 3;
        let (early, late) = (median(long[..third].to_vec()), median(long[long.len() - third..].to_vec()));
        say(format!("cost per record, late against early: {:.2}", late / early));
    }
    say(format!("data directory: {:.0} MiB", mib(size(&site.data())?)));
    if restart {
        for (what, forget) in [("killed, queue kept", false), ("killed, queue deleted", true)] {
            let mark = Mark::now(&[]);
            let (started, took) = site.restart(|data| match forget {
                false => Ok(()),
                true => std::fs::remove_dir_all(data.join("queue")),
            })?;
            site = started;
            let others = mark.spent(&site.pids()).others;
            say(format!(
                "{what}: serves again after {:.2} s (others: {others:.2} cores)",
                took.as_secs_f64()
            ));
            say(format!("    resident then: {:.0} MiB", mib(resident(site.node.id()).0)));
        }
    }
    Ok(())
}

/// Bytes of the files in a folder.
pub(super) fn size(path: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}
