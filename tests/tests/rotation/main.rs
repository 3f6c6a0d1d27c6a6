//! Certificates, anchors, lists and members change while a real node runs: what goes live, what is refused, how fast a
//! revoked member is gone, and that nobody else notices.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod dialled;
mod files;
mod lists;
mod revocation;
mod trust;
mod under_load;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use xinqiao::demo::federation::Pki;
use xinqiao::demo::process::NodeProcess;
use xinqiao_certs::pki::{Reason, Revoked, Validity, write_public};
use xinqiao_certs::{CertificateDer, Details};
use xinqiao_tests::city::peer_of;
use xinqiao_tests::site::{PATIENCE, Site, readiness};

/// Writes the authority's list of these members' certificates.
fn write_list(pki: &Pki, number: u64, revoked: &[&str]) -> PathBuf {
    let now = SystemTime::now();
    let entry = |name: &&str| Revoked { serial: serial(pki, name), time: now, reason: Reason::default() };
    let revoked: Vec<Revoked> = revoked.iter().map(entry).collect();
    let list = pki.authority().revocation_list(number, Validity::days(now, 7), &revoked).unwrap();
    let path = pki.dir.join("ca.crl");
    write_public(&path, list.as_bytes()).unwrap();
    path
}

fn serial(pki: &Pki, name: &str) -> Vec<u8> {
    let hex = details(pki, name).serial;
    (0..hex.len()).step_by(2).map(|n| u8::from_str_radix(&hex[n..n + 2], 16).unwrap()).collect()
}

fn details(pki: &Pki, name: &str) -> Details {
    let pem = std::fs::read(pki.dir.join(format!("{name}.crt"))).unwrap();
    Details::read(name, &pem).unwrap().remove(0)
}

/// Lines for a site whose node looks at the authority's list.
fn with_list(site: &Site) -> String {
    let list = site.pki.dir.join("ca.crl");
    format!("[revocation]\nlists = [{{ file = {:?} }}]\n", list.display().to_string())
}

/// SHA-256 of the certificate the listener shows to a new connection; nothing if none comes about.
async fn shown(pki: &Pki, member: &str, address: SocketAddr) -> Option<String> {
    let stream = peer_of(pki, member, address).open().await.ok()?;
    let leaf = stream.get_ref().1.peer_certificates()?.first()?.clone().into_owned();
    Some(digest(&leaf))
}

fn digest(der: &CertificateDer<'_>) -> String {
    Details::of(der).unwrap().sha256
}

/// Waits until readiness says something about certificates that holds these words.
async fn advised(node: &NodeProcess, words: &str) {
    let begin = Instant::now();
    loop {
        let said = advice(node.local).await;
        if said.contains(words) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "expected advice with {words:?}, but it is: {said}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn advice(local: SocketAddr) -> String {
    let (_, report) = readiness(local).await;
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let about = checks.iter().filter(|c| c["name"] == "certificates");
    about.filter_map(|c| c["advice"].as_str().map(str::to_owned)).collect::<Vec<_>>().join("\n")
}

/// One kept HTTP/1.1 connection: asks once and reads the whole answer. Its head.
async fn ask_on(stream: &mut TlsStream<TcpStream>, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut got = Vec::new();
    let mut piece = [0u8; 8192];
    loop {
        let n = stream.read(&mut piece).await?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        got.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&got);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if length.is_some_and(|length| body.len() >= length) {
            return Ok(head.to_owned());
        }
    }
}

/// Reads until the other end is gone; how long that took.
async fn gone(stream: &mut TlsStream<TcpStream>, since: Instant) -> Duration {
    let mut piece = [0u8; 1024];
    let end = async {
        while stream.read(&mut piece).await.is_ok_and(|n| n > 0) {}
        since.elapsed()
    };
    tokio::time::timeout(PATIENCE, end).await.expect("the connection ends")
}
