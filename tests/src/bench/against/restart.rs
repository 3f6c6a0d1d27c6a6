//! How long a node takes from a kill until it serves again, with many records behind it.

use super::super::bodies::{Form, submissions};
use super::super::load::{Load, Until, run as load};
use super::super::machine::{Mark, Spent, cpu};
use super::super::site::{Site, Version};
use super::super::{Fault, Settings, say};
use super::report::{Sample, Work};
use std::path::{Path, PathBuf};

/// What is there after the kill.
const LEFT: [&str; 2] = ["queue kept", "queue deleted"];

/// Starts of both builds in alternation, on data that each has written itself.
pub(super) fn run(settings: &Settings, builds: &[PathBuf; 2]) -> Result<Vec<Work>, Fault> {
    let name = |left| format!("serves again after a kill, {left}, {} records", settings.backlog);
    let mut works = LEFT.map(|left| Work::new(&name(left)));
    let [this, other] = builds;
    let mut sites = [filled(settings, this)?, filled(settings, other)?];
    for _ in 0..settings.rounds {
        for (left, work) in works.iter_mut().enumerate() {
            let mut once = |side: usize| -> Result<Sample, Fault> {
                let site = sites[side].take().ok_or("a site that did not come back")?;
                let mark = Mark::now(&[]);
                let (site, took) = site.restart(|data| match left {
                    0 => Ok(()),
                    _ => std::fs::remove_dir_all(data.join("queue")),
                })?;
                let server = cpu(&site.pids());
                let others = mark.spent(&site.pids()).others - server.as_secs_f64() / took.as_secs_f64();
                sites[side] = Some(site);
                Ok(Sample::spent(1, &Spent { wall: took, server, others, ..mark.spent(&[]) }))
            };
            let this = once(0)?;
            work.add(this, once(1)?);
        }
    }
    works.iter().for_each(Work::tell);
    Ok(works.into())
}

fn filled(settings: &Settings, build: &Path) -> Result<Option<Site>, Fault> {
    let site = Site::of(build, &settings.dir, 2)?;
    let it = Load {
        address: site.address(),
        pids: &site.pids(),
        connector: site.connector(true)?,
        version: Version::Http1,
        in_flight: 4,
        requests: submissions(Form::Ndjson, 2, 1_000)?,
        checked: true,
        anew: false,
    };
    load(&it, Until::Records(settings.backlog))?;
    let size = super::super::memory::size(&site.data())?;
    say(format!("{}: {} bytes of data a record", build.display(), size / settings.backlog.max(1)));
    Ok(Some(site))
}
