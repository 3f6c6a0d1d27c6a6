//! A node under abuse from strangers and from a member of its own: its memory stays within a bound, and others are served.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use xinqiao_certs::{Identity, Revocation, Trust, TrustAnchors, UnixTime, tls};
use xinqiao_tests::city::City;
use xinqiao_tests::peer::Ask;
use xinqiao_tests::site::PATIENCE;

/// What `docs/security-testing.md` promises.
const BOUND_MIB: u64 = 128;
const ROUNDS: usize = 6;
/// Twice this is below the cap on handshakes in progress (256), so that a good member still finds room for its own.
const UNFINISHED: usize = 100;
const HEADS: usize = 60;
const SLOW: usize = 40;
const RESETTING: usize = 20;
/// Streams opened and reset on each connection, unless the node ends it before.
const RESETS: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_bounded_and_a_good_member_is_served_throughout() {
    let city = City::start("hardened", |_| String::new());
    let good = city.peer("beta");
    let (h1, h2) = (connector(&city, b"http/1.1"), connector(&city, b"h2"));
    let address = city.node.exchange;
    let mut kept = Vec::new();
    let (mut most, mut cut) = (0, 0);
    for round in 0..ROUNDS {
        // Connections of the round before last are let go, those of the last are still open: abuse overlaps.
        if round % 2 == 0 {
            kept.clear();
        }
        let strangers = unfinished_handshakes(address).await;
        kept.push(Kept::Tcp(strangers));
        kept.push(Kept::Tls(unfinished_heads(&h1, address).await));
        kept.push(Kept::Tls(slow_readers(&h1, address).await));
        for _ in 0..RESETTING {
            cut += usize::from(reset_streams(&h2, address).await.is_err());
        }
        let served = tokio::time::timeout(PATIENCE, good.ask(Ask::get("/v1/datasets")));
        served.await.expect("a good member is answered in time").good(200);
        most = most.max(resident_mib(city.node.id()));
        assert!(most <= BOUND_MIB, "{most} MiB in round {round}");
    }
    println!("at most {most} MiB resident; {cut} of {} resetting connections cut", ROUNDS * RESETTING);
    assert_eq!(cut, ROUNDS * RESETTING, "rapid resets end their connection");
    drop(kept);
    good.ask(Ask::get("/v1/datasets")).await.good(200);
}

/// Connections that are held, not used.
#[allow(dead_code, reason = "held for their being open")]
enum Kept {
    Tcp(Vec<TcpStream>),
    Tls(Vec<TlsStream<TcpStream>>),
}

/// Half of a record header, and silence.
async fn unfinished_handshakes(address: SocketAddr) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..UNFINISHED {
        let mut stream = TcpStream::connect(address).await.expect("the node listens");
        // The node may have refused it already.
        let _refused = stream.write_all(&[0x16, 0x03, 0x01]).await;
        all.push(stream);
    }
    all
}

/// Heads that stop just below the largest that would be read.
async fn unfinished_heads(connector: &TlsConnector, address: SocketAddr) -> Vec<TlsStream<TcpStream>> {
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}", "y".repeat(31 << 10));
    let mut all = Vec::new();
    for _ in 0..HEADS {
        let mut stream = open(connector, address).await.expect("a member is let in");
        stream.write_all(head.as_bytes()).await.expect("the head is read");
        all.push(stream);
    }
    all
}

/// Many requests at once, and no look at the answers.
async fn slow_readers(connector: &TlsConnector, address: SocketAddr) -> Vec<TlsStream<TcpStream>> {
    let asked = "GET /v1/datasets HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(500);
    let mut all = Vec::new();
    for _ in 0..SLOW {
        let mut stream = open(connector, address).await.expect("a member is let in");
        // What the node does not take stays in the sockets' buffers: nobody waits for that.
        let write = stream.write_all(asked.as_bytes());
        let _stuck = tokio::time::timeout(std::time::Duration::from_millis(20), write).await;
        all.push(stream);
    }
    all
}

/// HTTP/2: a request and its reset, again and again; an error once the node has had enough.
async fn reset_streams(connector: &TlsConnector, address: SocketAddr) -> io::Result<()> {
    const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut stream = open(connector, address).await?;
    stream.write_all(OPENING).await?;
    for n in 0..RESETS {
        let id = u32::try_from(2 * n + 1).expect("small").to_be_bytes();
        // GET https localhost /, each from the static table but for the authority.
        let block = b"\x82\x87\x84\x41\x09localhost";
        let head = [&[0, 0, block.len() as u8, 1, 5], &id[..], block].concat();
        let reset = [&[0, 0, 4, 3, 0], &id[..], &[0, 0, 0, 8]].concat();
        stream.write_all(&[head, reset].concat()).await?;
    }
    stream.flush().await?;
    // GOAWAY and the end of the connection is what a node says that has had enough; one that has not would answer on.
    let mut piece = [0; 4096];
    let end = async {
        while stream.read(&mut piece).await? > 0 {}
        io::Result::Ok(())
    };
    match tokio::time::timeout(PATIENCE, end).await {
        Ok(_closed) => Err(io::ErrorKind::ConnectionAborted.into()),
        Err(_still_open) => Ok(()),
    }
}

async fn open(connector: &TlsConnector, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    connector.connect("localhost".try_into().expect("a name"), stream).await
}

/// TLS as the member `alpha` speaks it.
fn connector(city: &City, alpn: &[u8]) -> TlsConnector {
    let read = |name: &str| std::fs::read(city.pki.dir.join(name)).expect("it was issued");
    let now = UnixTime::now();
    let identity = Identity::from_pem(&read("alpha.crt"), &read("alpha.key"), now).expect("it is good");
    let anchors = TrustAnchors::for_servers("ca.crt", &read("ca.crt"), now).expect("it is an anchor");
    let trust = Trust::new(anchors, Revocation::none()).expect("they go together");
    let mut config = (*tls::client_config(&identity, &trust)).clone();
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsConnector::from(Arc::new(config))
}

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the node runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib >> 10
}
