//! One record of about 1 KiB per request, 64 in flight: the path a department's program takes all day.

use super::baseline::{Baseline, syncs};
use super::bodies::{Form, submissions};
use super::load::{Load, Outcome, Until, middle, run as load};
use super::site::{Site, Version};
use super::{Fault, Settings, say};
use std::net::SocketAddr;

const IN_FLIGHT: usize = 64;

pub(super) fn run(settings: &Settings) -> Result<(), Fault> {
    let site = Site::start(&settings.dir, 2)?;
    let bare = Baseline::bare(&site.pki.dir)?;
    let nginx = Baseline::nginx(&site.pki.dir, None)?;
    let requests = submissions(Form::Ndjson, 512, 1)?;
    let size: usize = requests.iter().map(|r| r.bytes.len()).sum::<usize>() / requests.len();
    say(format!(
        "\n== one record per request, {IN_FLIGHT} in flight, {size} bytes a request with its head, 2 recipients"
    ));
    let once = |address: SocketAddr, pids: &[u32], checked: bool| -> Result<Outcome, Fault> {
        let connector = site.connector(true)?;
        let requests = requests.clone();
        let it = Load {
            address,
            pids,
            connector,
            version: Version::Http1,
            in_flight: IN_FLIGHT,
            requests,
            checked,
            anew: false,
        };
        load(&it, Until::Time(settings.window))
    };
    let (mut ours, mut of_bare, mut of_nginx) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        of_bare.push(once(bare.address, &bare.pids(), false)?);
        ours.push(once(site.address(), &site.pids(), true)?);
        if let Some(nginx) = &nginx {
            of_nginx.push(once(nginx.address, &nginx.pids(), false)?);
        }
    }
    say(
        "                       requests/s   p50 ms   p99 ms   server CPU µs   generator CPU µs   others, cores",
    );
    for (name, outcomes) in
        [("xinqiao, durable", &ours), ("bare hyper+rustls", &of_bare), ("nginx", &of_nginx)]
    {
        if outcomes.is_empty() {
            say(format!("{name:<22}  not installed"));
            continue;
        }
        say(format!(
            "{name:<22} {:10.0} {:8.2} {:8.2} {:15.1} {:18.1} {:15.2}",
            middle(outcomes, Outcome::per_second),
            middle(outcomes, |o| o.p50),
            middle(outcomes, |o| o.p99),
            middle(outcomes, Outcome::server_cpu),
            middle(outcomes, Outcome::generator_cpu),
            middle(outcomes, |o| o.spent.others),
        ));
    }
    for bytes in [4 << 10, 64 << 10] {
        let rate = syncs(&settings.dir, bytes, settings.window)?;
        say(format!(
            "append {:>2} KiB + fdatasync, preallocated: {rate:6.0}/s ({:.2} ms)",
            bytes >> 10,
            1e3 / rate
        ));
    }
    Ok(())
}
