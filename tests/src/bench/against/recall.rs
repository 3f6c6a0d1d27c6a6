//! One request that recalls many records: what it takes, and the memory it takes for a moment.

use super::super::bodies::{Form, TABLE, reference, submissions};
use super::super::load::{Load, NUMBERS, Until, run as load};
use super::super::machine::{Mark, forget_peak, resident};
use super::super::site::{DEPARTMENT, Site, Version};
use super::super::{Fault, Settings, say};
use super::report::{Sample, Work};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use xinqiao_client::Submission;

/// Records that are recalled at once.
const RECORDS: u64 = 45_000;

/// Recalls by both builds in alternation.
pub(super) fn run(settings: &Settings, builds: &[PathBuf; 2]) -> Result<Vec<Work>, Fault> {
    let mut work = Work::new(&format!("one recall of {RECORDS} records, 2 recipients"));
    for _ in 0..settings.rounds {
        let this = once(settings, &builds[0])?;
        work.add(this, once(settings, &builds[1])?);
    }
    work.tell();
    Ok(vec![work])
}

fn once(settings: &Settings, build: &Path) -> Result<Sample, Fault> {
    let site = Site::of(build, &settings.dir, 2)?;
    let pids = site.pids();
    let it = Load {
        address: site.address(),
        pids: &pids,
        connector: site.connector(true)?,
        version: Version::Http1,
        in_flight: 1,
        requests: submissions(Form::Ndjson, 2, 1_000)?,
        checked: true,
        anew: false,
    };
    let first = NUMBERS.load(Relaxed);
    load(&it, Until::Records(RECORDS))?;
    let mut body = String::new();
    for number in first..first + RECORDS {
        let reference = reference(number);
        writeln!(
            body,
            r#"{{"ref":"{reference}","reason":"mistake","basis":"样撤〔2026〕1号","effective":"2026-11-20"}}"#
        )?;
    }
    let client = site.client(DEPARTMENT)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (before, _) = resident(site.node.id());
    forget_peak(site.node.id())?;
    let mark = Mark::now(&pids);
    let submission =
        Submission { op: "withdraw", schema: Some(TABLE.schema()), ..Submission::new(TABLE.dataset(), body) };
    let sent = runtime.block_on(client.send(&submission))?;
    let spent = mark.spent(&pids);
    let (after, most) = resident(site.node.id());
    if (sent.response.accepted, sent.response.warned) != (RECORDS, 0) {
        return Err(format!("{} of {RECORDS} were recalled", sent.response.accepted).into());
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    say(format!(
        "{}: resident before {:.0} MiB, at most {:.0} MiB, after {:.0} MiB",
        build.display(),
        mib(before),
        mib(most),
        mib(after)
    ));
    Ok(Sample::spent(RECORDS, &spent))
}
