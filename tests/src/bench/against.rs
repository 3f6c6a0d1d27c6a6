//! Another build of the program in alternation with this one: the same generator, the same certificates' kind, the same
//! bodies, turn by turn in one run, so that what else the machine does meets both. What counts is the ratio within a
//! round, this build to the other, and how far the rounds' ratios lie apart: two figures of different hours say little.
//!
//! Both nodes of a pair are up the whole time; one that is not asked for anything costs next to nothing.

mod life;
mod recall;
mod report;
mod restart;

use super::bodies::{Form, get, submissions};
use super::load::{Load, Outcome, Until, run as load};
use super::site::{Site, Version, program};
use super::{Fault, Settings, say};
use report::{Sample, Work};
use std::path::{Path, PathBuf};

/// One record per request: requests in flight.
const SINGLE: usize = 64;
/// A thousand records per request: requests in flight.
const BULK: usize = 4;
/// New connections at once.
const NEW: usize = 8;

/// The works that can be done in alternation.
pub(super) const WORKS: [&str; 6] = ["ingest", "bulk", "connect", "life", "recall", "restart"];

/// Measures what is wanted of this build and of the other one.
pub(super) fn run(settings: &Settings, other: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), Fault> {
    let other = other.canonicalize().map_err(|e| format!("{}: {e}", other.display()))?;
    let builds = [program(), other];
    say(format!("other:   {}", builds[1].display()));
    say(format!("{} rounds, each this build and then the other", settings.rounds));
    let mut works = Vec::new();
    if wanted("ingest") {
        for version in [Version::Http1, Version::Http2] {
            let name = format!("one record per request, {}, {SINGLE} in flight", version.name());
            works.push(sent(settings, &builds, &name, 2, SINGLE, |site| {
                Ok((site.connector_of(version)?, version, submissions(Form::Ndjson, 512, 1)?))
            })?);
        }
    }
    if wanted("bulk") {
        for (form, recipients) in [(Form::Ndjson, 2), (Form::Xml, 2), (Form::Csv, 2), (Form::Ndjson, 10)] {
            let name = format!("1,000 records per request, {}, {recipients} recipients", form.name());
            works.push(sent(settings, &builds, &name, recipients, BULK, |site| {
                Ok((site.connector_of(Version::Http1)?, Version::Http1, submissions(form, 2, 1_000)?))
            })?);
        }
    }
    if wanted("connect") {
        works.push(connected(settings, &builds)?);
    }
    if wanted("life") {
        works.extend(life::run(settings, &builds)?);
    }
    if wanted("recall") {
        works.extend(recall::run(settings, &builds)?);
    }
    if wanted("restart") {
        works.extend(restart::run(settings, &builds)?);
    }
    report::summary(&works);
    Ok(())
}

/// A pair of sites that are sent to in turns.
fn sent(
    settings: &Settings,
    builds: &[PathBuf; 2],
    name: &str,
    recipients: usize,
    in_flight: usize,
    how: impl Fn(&Site) -> Result<(tokio_rustls::TlsConnector, Version, Vec<super::bodies::Rendered>), Fault>,
) -> Result<Work, Fault> {
    let sites = pair(settings, builds, recipients)?;
    let once = |side: usize, until: Until| -> Result<Outcome, Fault> {
        let site = &sites[side];
        let (connector, version, requests) = how(site)?;
        let (address, pids) = (site.address(), &site.pids());
        let it = Load { address, pids, connector, version, in_flight, requests, checked: true, anew: false };
        load(&it, until)
    };
    for side in 0..2 {
        once(side, Until::Time(settings.window / 5))?;
    }
    alternate(settings, name, |side| Ok(Sample::of(&once(side, Until::Time(settings.window))?)))
}

/// New connections with one request each, without resumption.
fn connected(settings: &Settings, builds: &[PathBuf; 2]) -> Result<Work, Fault> {
    let sites = pair(settings, builds, 2)?;
    let name = format!("a new mutual-TLS connection with one request, {NEW} at once");
    alternate(settings, &name, |side| {
        let site = &sites[side];
        let it = Load {
            address: site.address(),
            pids: &site.pids(),
            connector: site.connector(false)?,
            version: Version::Http1,
            in_flight: NEW,
            requests: vec![get("/v1/log/checkpoint", false)],
            checked: false,
            anew: true,
        };
        Ok(Sample::of(&load(&it, Until::Time(settings.window))?))
    })
}

fn pair(settings: &Settings, builds: &[PathBuf; 2], recipients: usize) -> Result<[Site; 2], Fault> {
    let [this, other] = builds;
    Ok([Site::of(this, &settings.dir, recipients)?, Site::of(other, &settings.dir, recipients)?])
}

/// The rounds of one work; what they gave is told at once, since a run takes long.
fn alternate(
    settings: &Settings,
    name: &str,
    mut once: impl FnMut(usize) -> Result<Sample, Fault>,
) -> Result<Work, Fault> {
    let mut work = Work::new(name);
    for _ in 0..settings.rounds {
        let this = once(0)?;
        work.add(this, once(1)?);
    }
    work.tell();
    Ok(work)
}
