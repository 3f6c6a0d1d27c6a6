//! What a recipient takes: batches sealed when first asked for, then signature, chain, digest, root and log proof
//! verified, in memory and to disk.

use super::bodies::{Form, submissions};
use super::load::{Load, Until, run as load};
use super::machine::{Mark, Spent};
use super::site::{Site, Version};
use super::{Fault, Settings, say};
use std::time::Duration;
use xinqiao_client::{Client, KeySource, PullSettings, Puller};
use xinqiao_evidence::chain::Chain;
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::manifest::{Limits, PayloadVerifier, SignedManifest};

const RECORDS: u64 = 400_000;

pub(super) fn run(settings: &Settings) -> Result<(), Fault> {
    let site = Site::start(&settings.dir, 2)?;
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
    load(&it, Until::Records(RECORDS))?;
    say(format!("\n== pull and verify {RECORDS} records"));
    say("                                           records/s   server CPU µs/record   client CPU µs/record");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        for (recipient, encoding) in [("province", "zstd"), ("portal", "gzip")] {
            let stream = format!("{recipient}.administrative-penalty");
            let client = site.client(recipient)?;
            let keys = Jwks::from_json(&std::fs::read(site.keys())?)?;
            for (pass, times) in
                [("first: sealed when asked", 1), ("again: pull and verify", settings.rounds)]
            {
                for _ in 0..times {
                    let mark = Mark::now(&site.pids());
                    let records = take(&client, &stream, &keys).await?;
                    line(&format!("{encoding}, {pass}"), records, &mark.spent(&site.pids()));
                }
            }
            let into = tempfile::tempdir_in(&settings.dir)?;
            let wanted = PullSettings::new(&stream, into.path(), KeySource::File(site.keys()));
            let mark = Mark::now(&site.pids());
            let mut puller = Puller::open(client.clone(), wanted).await?;
            let mut records = 0;
            while let Some(pulled) = puller.next(Duration::ZERO).await? {
                records += pulled.records;
            }
            line(&format!("{encoding}, the client's puller, to disk"), records, &mark.spent(&site.pids()));
        }
        Ok(())
    })
}

/// Takes a stream from its beginning and verifies it in memory.
async fn take(client: &Client, stream: &str, keys: &Jwks) -> Result<u64, Fault> {
    let (mut after, mut records) = (0, 0);
    let mut chain: Option<Chain> = None;
    loop {
        let page = client.batches(stream, after, 16, Duration::ZERO).await?;
        if page.batches.is_empty() {
            return Ok(records);
        }
        for entry in page.batches {
            let verified = SignedManifest::parse(entry.manifest.get().as_bytes())?.verify(keys)?;
            verified.verify_proof(&entry.proof, keys)?;
            let manifest = verified.manifest();
            chain
                .get_or_insert_with(|| Chain::new(&manifest.node, manifest.epoch, stream))
                .accept(&verified)?;
            let bytes = client.payload(stream, manifest.seq).await?;
            let mut payload = PayloadVerifier::new(&verified, Limits::default())?;
            payload.feed(&bytes, |_, _| {})?;
            records += payload.finish()?.records();
            after = manifest.seq;
        }
    }
}

fn line(name: &str, records: u64, spent: &Spent) {
    let per_record = |time: Duration| time.as_secs_f64() * 1e6 / records.max(1) as f64;
    say(format!(
        "{name:<40} {:11.0} {:22.2} {:22.2}",
        records as f64 / spent.wall.as_secs_f64(),
        per_record(spent.server),
        per_record(spent.generator)
    ));
}
