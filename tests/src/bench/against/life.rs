//! A node's whole life: records come in, are sealed, pulled by two recipients to disk, verified, acknowledged; then the
//! node stops. Each round starts a new node, so both builds' data are of the same size at every step. The CPU of the
//! whole is taken from the ended process: work put off, such as rows written at a checkpoint, is in it.

use super::super::bodies::{Form, submissions};
use super::super::load::{Load, Outcome, Until, run as load};
use super::super::machine::{Mark, Spent, cpu};
use super::super::site::{Site, Version};
use super::super::{Fault, Settings};
use super::report::{Sample, Work};
use std::path::{Path, PathBuf};
use std::time::Duration;
use xinqiao_client::{Client, KeySource, PullSettings, Puller};
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::manifest::SignedManifest;

/// Streams that are pulled, each of another recipient.
const STREAMS: [(&str, &str); 2] =
    [("province", "province.administrative-penalty"), ("portal", "portal.administrative-penalty")];

/// Which part of the backlog is sent, records per request, requests in flight.
const LIVES: [(u64, usize, usize); 2] = [(1, 1_000, 4), (10, 1, 64)];

/// The steps, in order; the last is everything from ready to ended.
const STEPS: [&str; 5] = ["sealed", "pulled", "acknowledged", "stopped", "whole life"];

/// Lives of both builds in alternation.
pub(super) fn run(settings: &Settings, builds: &[PathBuf; 2]) -> Result<Vec<Work>, Fault> {
    let mut all = Vec::new();
    for (part, a_request, in_flight) in LIVES {
        let records = settings.backlog / part;
        let mut works =
            STEPS.map(|step| Work::new(&format!("{step}, {records} records sent {a_request} a request")));
        for _ in 0..settings.rounds {
            let this = live(settings, &builds[0], records, a_request, in_flight)?;
            let other = live(settings, &builds[1], records, a_request, in_flight)?;
            for (work, (this, other)) in works.iter_mut().zip(this.into_iter().zip(other)) {
                work.add(this, other);
            }
        }
        works.iter().for_each(Work::tell);
        all.extend(works);
    }
    Ok(all)
}

/// One life of one build; a sample for each step.
fn live(
    settings: &Settings,
    build: &Path,
    records: u64,
    a_request: usize,
    in_flight: usize,
) -> Result<[Sample; STEPS.len()], Fault> {
    let site = Site::of(build, &settings.dir, 2)?;
    let (pids, ready) = (site.pids(), cpu(&site.pids()));
    let whole = Mark::now(&pids);
    let it = Load {
        address: site.address(),
        pids: &pids,
        connector: site.connector(true)?,
        version: Version::Http1,
        in_flight,
        requests: submissions(Form::Ndjson, 512, a_request)?,
        checked: true,
        anew: false,
    };
    let Outcome { records, .. } = load(&it, Until::Records(records))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let [sealed, pulled, acknowledged] = runtime.block_on(taken(settings, &site))?;
    let (leaving, before) = (Mark::now(&[]), cpu(&pids));
    let end = site.stop()?;
    let stopped = of_ended(leaving.spent(&[]), end.saturating_sub(before));
    let whole = of_ended(whole.spent(&[]), end.saturating_sub(ready));
    Ok([&sealed, &pulled, &acknowledged, &stopped, &whole].map(|spent| Sample::spent(records, spent)))
}

/// The process is gone: what it took is known from its last figures and is not others'.
fn of_ended(marked: Spent, server: Duration) -> Spent {
    let others = marked.others - server.as_secs_f64() / marked.wall.as_secs_f64();
    Spent { server, others: others.max(0.0), ..marked }
}

/// Seals by asking for every batch, pulls and verifies to disk, acknowledges; what each took.
async fn taken(settings: &Settings, site: &Site) -> Result<[Spent; 3], Fault> {
    let pids = site.pids();
    let keys = Jwks::from_json(&std::fs::read(site.keys())?)?;
    let clients = STREAMS.map(|(recipient, stream)| site.client(recipient).map(|client| (client, stream)));
    let into = tempfile::tempdir_in(&settings.dir)?;

    let mark = Mark::now(&pids);
    let mut known = Vec::new();
    for client in clients {
        let (client, stream) = client?;
        seal(&client, stream, &keys).await?;
        known.push((client, stream));
    }
    let sealed = mark.spent(&pids);

    let mark = Mark::now(&pids);
    let mut pullers = Vec::new();
    for (client, stream) in known {
        let wanted = PullSettings::new(stream, into.path().join(stream), KeySource::File(site.keys()));
        let mut puller = Puller::open(client.clone(), wanted).await?;
        while puller.next(Duration::ZERO).await?.is_some() {}
        pullers.push((client, puller));
    }
    let pulled = mark.spent(&pids);

    let mark = Mark::now(&pids);
    for (client, puller) in &mut pullers {
        puller.acknowledge(|_, _| None).await?;
        client.checkpoint().await?;
    }
    Ok([sealed, pulled, mark.spent(&pids)])
}

/// Asks for every batch of a stream; a batch is sealed when it is first asked for.
async fn seal(client: &Client, stream: &str, keys: &Jwks) -> Result<(), Fault> {
    let mut after = 0;
    loop {
        let page = client.batches(stream, after, 16, Duration::ZERO).await?;
        let Some(last) = page.batches.last() else { return Ok(()) };
        after = SignedManifest::parse(last.manifest.get().as_bytes())?.verify(keys)?.manifest().seq;
    }
}
