//! A new mutual-TLS connection for every request, without resumption: what a department with a simple client costs.

use super::baseline::Baseline;
use super::bodies::get;
use super::load::{Load, Outcome, Until, middle, run as load};
use super::site::{Site, Version};
use super::{Fault, Settings, say};
use std::net::SocketAddr;

const IN_FLIGHT: usize = 8;

pub(super) fn run(settings: &Settings) -> Result<(), Fault> {
    let site = Site::start(&settings.dir, 2)?;
    let bare = Baseline::bare(&site.pki.dir)?;
    let nginx = Baseline::nginx(&site.pki.dir, None)?;
    say(format!("\n== a new mutual-TLS connection with one request, {IN_FLIGHT} at once, no resumption"));
    let once = |address: SocketAddr, pids: &[u32], path: &str| -> Result<Outcome, Fault> {
        let (connector, requests) = (site.connector(false)?, vec![get(path, false)]);
        let it = Load {
            address,
            pids,
            connector,
            version: Version::Http1,
            in_flight: IN_FLIGHT,
            requests,
            checked: false,
            anew: true,
        };
        load(&it, Until::Time(settings.window))
    };
    let (mut ours, mut of_bare, mut of_nginx) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        ours.push(once(site.address(), &site.pids(), "/v1/log/checkpoint")?);
        of_bare.push(once(bare.address, &bare.pids(), "/")?);
        if let Some(nginx) = &nginx {
            of_nginx.push(once(nginx.address, &nginx.pids(), "/")?);
        }
    }
    table(&[("xinqiao", &ours), ("bare hyper+rustls", &of_bare), ("nginx", &of_nginx)]);
    if !of_nginx.is_empty() {
        let ratio = middle(&ours, Outcome::server_cpu) / middle(&of_nginx, Outcome::server_cpu);
        say(format!("server CPU per connection, of nginx's: {ratio:.2}"));
    }
    Ok(())
}

/// What a connection costs each of them.
pub(super) fn table(rows: &[(&str, &Vec<Outcome>)]) {
    say("                       connections/s   server CPU ms   generator CPU ms   others, cores");
    for (name, outcomes) in rows {
        if outcomes.is_empty() {
            say(format!("{name:<22}  not installed"));
            continue;
        }
        say(format!(
            "{name:<22} {:13.0} {:15.3} {:18.3} {:15.2}",
            middle(outcomes, Outcome::per_second),
            middle(outcomes, Outcome::server_cpu) / 1e3,
            middle(outcomes, Outcome::generator_cpu) / 1e3,
            middle(outcomes, |o| o.spent.others),
        ));
    }
}
