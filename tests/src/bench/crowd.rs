//! A node that knows ten thousand members and a list of a hundred thousand revoked certificates: what a new connection
//! costs beside nginx with the same list, and how soon a revoked member's open connections are gone.

use super::baseline::Baseline;
use super::bodies::get;
use super::connect::table;
use super::load::{Load, Outcome, Until, connect, middle, read, run as load};
use super::machine::resident;
use super::site::{Site, Version, connector};
use super::{Fault, Settings, median, say};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use xinqiao::demo::federation::Pki;
use xinqiao_certs::pki::{Reason, Revoked, Validity, write_public};
use xinqiao_certs::{Details, Role};

const MEMBERS: usize = 10_000;
/// Members that really come, each with a certificate of its own.
const COMING: usize = 3_000;
const REVOKED: u64 = 100_000;
const IN_FLIGHT: usize = 8;
/// Connections kept open while lists are replaced.
const OPEN: usize = 200;
/// The goal.
const GONE: Duration = Duration::from_secs(2);

pub(super) fn run(settings: &Settings) -> Result<(), Fault> {
    say(format!("\n== {MEMBERS} members, a list of {REVOKED} revoked certificates"));
    let site = Site::among(&settings.dir, crowd)?;
    say(format!("idle: {:.0} MiB", resident(site.node.id()).0 as f64 / f64::from(1 << 20)));
    let list = site.pki.dir.join(LIST);
    let nginx = Baseline::nginx(&site.pki.dir, Some(&list))?;
    connections(settings, &site, nginx.as_ref())?;
    drop(nginx);
    first_visits(&site)?;
    revocations(settings, &site)
}

const LIST: &str = "ca.crl";

fn name(n: usize) -> String {
    format!("member-{n:05}")
}

/// Certificates, list and lines of configuration.
fn crowd(pki: &Pki) -> Result<String, Fault> {
    let mut lines = String::new();
    for n in 0..MEMBERS {
        writeln!(lines, "[[members]]\nname = \"{}\"\nrole = \"recipient\"", name(n))?;
        if n < COMING {
            pki.issue(Role::Recipient, &name(n))?;
        }
    }
    let list = write_list(pki, 1, &[])?;
    writeln!(
        lines,
        "[revocation]\nlists = [{{ file = {:?} }}]\nmissing = \"refuse\"",
        list.display().to_string()
    )?;
    Ok(lines)
}

/// A list of many serial numbers that nobody has, and those of these members.
fn write_list(pki: &Pki, number: u64, members: &[String]) -> Result<PathBuf, Fault> {
    let now = SystemTime::now();
    let entry = |serial| Revoked { serial, time: now, reason: Reason::default() };
    // Spread over the range as real ones are, and as long.
    let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let mut revoked: Vec<Revoked> =
        (1..=REVOKED).map(|n| entry([&[0x5a][..], &spread(n), &spread(n ^ 0x55)[..7]].concat())).collect();
    for member in members {
        revoked.push(entry(serial(pki, member)?));
    }
    let list = pki.authority().revocation_list(number, Validity::days(now, 7), &revoked)?;
    let path = pki.dir.join(LIST);
    write_public(&path, list.as_bytes())?;
    Ok(path)
}

fn serial(pki: &Pki, member: &str) -> Result<Vec<u8>, Fault> {
    let pem = std::fs::read(pki.dir.join(format!("{member}.crt")))?;
    let hex = Details::read(member, &pem)?.remove(0).serial;
    Ok((0..hex.len()).step_by(2).map(|n| u8::from_str_radix(&hex[n..n + 2], 16)).collect::<Result<_, _>>()?)
}

fn connections(settings: &Settings, site: &Site, nginx: Option<&Baseline>) -> Result<(), Fault> {
    say(format!("-- a new mutual-TLS connection with one request, {IN_FLIGHT} at once, no resumption"));
    let once = |address: SocketAddr, pids: &[u32], path: &str| -> Result<Outcome, Fault> {
        let connector = connector(&site.pki.dir, &name(1), false)?;
        let requests = vec![get(path, false)];
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
    let (mut ours, mut of_nginx) = (Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        ours.push(once(site.address(), &site.pids(), "/v1/log/checkpoint")?);
        if let Some(nginx) = nginx {
            of_nginx.push(once(nginx.address, &nginx.pids(), "/")?);
        }
    }
    table(&[("xinqiao", &ours), ("nginx with ssl_crl", &of_nginx)]);
    if !of_nginx.is_empty() {
        let ratio = middle(&ours, Outcome::server_cpu) / middle(&of_nginx, Outcome::server_cpu);
        say(format!("server CPU per connection, of nginx's: {ratio:.2}"));
    }
    Ok(())
}

/// Every member that comes, once: nothing is remembered of any.
fn first_visits(site: &Site) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let before = super::machine::cpu(&site.pids());
    runtime.block_on(async {
        for n in 2..COMING {
            drop(visit(site, n).await?);
        }
        Ok::<_, Fault>(())
    })?;
    let spent = super::machine::cpu(&site.pids()).saturating_sub(before);
    say(format!(
        "-- {} members for the first time, one after another: {:.3} ms of server CPU each",
        COMING - 2,
        spent.as_secs_f64() * 1e3 / (COMING - 2) as f64
    ));
    Ok(())
}

async fn visit(site: &Site, n: usize) -> Result<TlsStream<TcpStream>, Fault> {
    let connector = connector(&site.pki.dir, &name(n), false)?;
    let mut stream = connect(&connector, site.address()).await?;
    stream.write_all(&get("/v1/log/checkpoint", true).bytes).await?;
    let mut answer = vec![0; 16 << 10];
    let length = read(&mut stream, &mut answer).await?;
    match answer[..length].starts_with(b"HTTP/1.1 200") {
        true => Ok(stream),
        false => Err(String::from_utf8_lossy(&answer[..length]).into_owned().into()),
    }
}

/// Lists that name one more member each: how long until its connection is gone, while others' stay.
fn revocations(settings: &Settings, site: &Site) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut took, mut revoked) = (Vec::new(), Vec::new());
    for round in 0..settings.rounds.max(5) {
        let mut open = Vec::new();
        runtime.block_on(async {
            for n in 0..OPEN {
                open.push(visit(site, 100 + round + n).await?);
            }
            Ok::<_, Fault>(())
        })?;
        revoked.push(name(100 + round));
        // The clock runs from when the list is in place; making it is the authority's business.
        write_list(&site.pki, 2 + round as u64, &revoked)?;
        let began = Instant::now();
        runtime.block_on(async {
            let mut piece = [0; 1024];
            let ended = async { while open[0].read(&mut piece).await.is_ok_and(|n| n > 0) {} };
            tokio::time::timeout(Duration::from_secs(60), ended).await
        })?;
        took.push(began.elapsed().as_secs_f64());
    }
    let most = took.iter().copied().fold(0.0, f64::max);
    say(format!(
        "-- a list that names an open connection's member, {OPEN} connections, {COMING} certificates seen: gone after {:.2} s in the middle, {most:.2} s at most ({}) of {} rounds",
        median(took.clone()),
        if most <= GONE.as_secs_f64() { "good" } else { "MISS" },
        took.len()
    ));
    say(format!("resident: {:.0} MiB", resident(site.node.id()).0 as f64 / f64::from(1 << 20)));
    Ok(())
}
