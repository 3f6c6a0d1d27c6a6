//! What the machine and the processes on it spend, from `/proc`.

use super::Fault;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Ticks of `/proc` are hundredths of a second on every Linux this runs on.
const TICK: Duration = Duration::from_millis(10);

/// The processor, for the heading of a report.
pub(super) fn describe() -> Result<String, Fault> {
    let info = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("?");
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let cores = std::thread::available_parallelism()?;
    let load: Vec<&str> = load.split(' ').take(2).collect();
    Ok(format!(
        "machine: {cores} cores,{}; load before the run {}",
        model.replace(['\t', ':'], ""),
        load.join(" ")
    ))
}

/// User and system time of some processes so far, with all their threads.
pub(super) fn cpu(pids: &[u32]) -> Duration {
    let of = |pid: &u32| {
        let fields = stat(*pid);
        let ticks = |n: usize| fields.get(n).and_then(|t| t.parse::<u32>().ok()).unwrap_or(0);
        TICK * (ticks(11) + ticks(12))
    };
    pids.iter().map(of).sum()
}

/// Whether a process has ended, though nobody asked yet how.
pub(super) fn has_ended(pid: u32) -> bool {
    stat(pid).first().is_none_or(|state| state == "Z")
}

/// What `/proc/PID/stat` says after the name, from the state on (proc(5), field 3).
fn stat(pid: u32) -> Vec<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().unwrap_or("").split_whitespace().map(str::to_owned).collect()
}

/// Resident bytes of a process: now, and at most so far.
pub(super) fn resident(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) << 10
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// Begins anew to count the most that was ever resident of a process.
pub(super) fn forget_peak(pid: u32) -> std::io::Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// The children of a process, itself included.
pub(super) fn family(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    std::iter::once(pid).chain(children.split_whitespace().filter_map(|c| c.parse().ok())).collect()
}

/// What was spent between two moments.
pub(super) struct Spent {
    /// Time on the wall.
    pub(super) wall: Duration,
    /// CPU of the server.
    pub(super) server: Duration,
    /// CPU of this process, which is the load generator.
    pub(super) generator: Duration,
    /// Cores' worth of CPU that others took.
    pub(super) others: f64,
}

/// A moment from which expense is counted.
pub(super) struct Mark {
    at: Instant,
    server: Duration,
    threads: Option<BTreeMap<String, u64>>,
    generator: Duration,
    busy: Duration,
}

impl Mark {
    /// Now.
    pub(super) fn now(server: &[u32]) -> Self {
        Self {
            at: Instant::now(),
            server: cpu(server),
            threads: threads(server),
            generator: cpu(&[std::process::id()]),
            busy: busy(),
        }
    }

    /// What was spent since.
    pub(super) fn spent(&self, server: &[u32]) -> Spent {
        let now = Self::now(server);
        let wall = now.at - self.at;
        let (server, generator) = (self.server_until(&now), now.generator.saturating_sub(self.generator));
        let others = (now.busy - self.busy).saturating_sub(server + generator);
        Spent { wall, server, generator, others: others.as_secs_f64() / wall.as_secs_f64() }
    }
}

impl Mark {
    /// The server's CPU from here to `now`: in nanoseconds by its threads where that agrees with the process's ticks.
    /// Where it does not, a thread was born and ended in between and took its nanoseconds along; the ticks have them.
    fn server_until(&self, now: &Self) -> Duration {
        let ticks = now.server.saturating_sub(self.server);
        let (Some(before), Some(after)) = (&self.threads, &now.threads) else { return ticks };
        let nanos = after.iter().map(|(id, n)| n.saturating_sub(before.get(id).copied().unwrap_or(0))).sum();
        let fine = Duration::from_nanos(nanos);
        if fine.abs_diff(ticks) <= 3 * TICK { fine } else { ticks }
    }
}

/// Nanoseconds each living thread of some processes has run; `None` where the kernel does not count them.
fn threads(pids: &[u32]) -> Option<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    for pid in pids {
        for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            // A thread that ends while they are listed has no figures any more.
            let Ok(stat) = std::fs::read_to_string(thread.path().join("schedstat")) else { continue };
            let nanos = stat.split(' ').next()?.parse().ok()?;
            found.insert(thread.path().display().to_string(), nanos);
        }
    }
    Some(found)
}

/// Time all cores were not idle, so far.
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> =
        stat.lines().next().unwrap_or("").split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    let ticks: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|n| fields.get(*n)).sum();
    Duration::from_millis(10 * ticks)
}
