//! The accept loop: caps before TLS, TLS off the loop, and the drain.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::connection::{self, Connection};
use super::exchange::Traces;
use super::roster::{AddressSlot, Addresses, Room, RoomSlot, Roster};
use super::ticket::Meters;
use super::{Drained, EdgeConfig, Exchange, Refused, Reply};
use xinqiao_runtime::Drain;
use xinqiao_runtime::metrics::{Metric, Metrics};

/// How often members at rest are forgotten by the rate limiters.
const RETAIN_EVERY: Duration = Duration::from_secs(60);
/// Out of file descriptors: wait for some to come back rather than spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A peer whose handshake was refused may have sent this much already; more is not swallowed.
const LAST_WORDS: usize = 1 << 20;
/// Time between two lines of the log about refused certificates.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What all connections of one edge share.
pub(super) struct Shared {
    pub(super) config: EdgeConfig,
    pub(super) metrics: Arc<Metrics>,
    pub(super) meters: Meters,
    pub(super) roster: Roster,
    pub(super) drain: Drain,
    pub(super) traces: Traces,
    addresses: Arc<Addresses>,
    handshakes: Arc<Room>,
    connections: Arc<Room>,
    live: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    retirements: AtomicU64,
    pub(super) on_refused: OnceLock<Refused>,
    /// When a refused certificate was last written to the log.
    told: Mutex<Option<Instant>>,
}

/// Takes its connection off the list of live ones.
pub(super) struct Listed {
    shared: Arc<Shared>,
    id: u64,
}

impl Shared {
    pub(super) fn new(config: EdgeConfig, metrics: Arc<Metrics>) -> Self {
        let caps = &config.caps;
        Self {
            meters: Meters::new(metrics.clone()),
            roster: Roster::new(config.budget.clone(), caps.per_member, caps.requests_per_member),
            drain: Drain::new(),
            traces: Traces::new(),
            addresses: Addresses::new(caps.per_address),
            handshakes: Room::new(caps.handshakes),
            connections: Room::new(caps.connections),
            live: Mutex::default(),
            next: AtomicU64::new(0),
            retirements: AtomicU64::new(0),
            metrics,
            config,
            on_refused: OnceLock::new(),
            told: Mutex::default(),
        }
    }

    pub(super) fn list(self: &Arc<Self>, connection: &Arc<Connection>) -> Listed {
        let id = self.next.fetch_add(1, Relaxed);
        self.live.lock().insert(id, connection.clone());
        self.metrics.gauge(Metric::EdgeConnections, &[self.config.name]).add(1.0);
        // Looked at after listing, so that a drain begun meanwhile is seen by one side or the other.
        if self.drain.begun() {
            connection.finish();
        }
        Listed { shared: self.clone(), id }
    }

    pub(super) fn live(&self) -> Vec<Arc<Connection>> {
        self.live.lock().values().cloned().collect()
    }

    /// Connections whose handshake began before this are to make room, listed or not.
    pub(super) fn retire(&self) {
        self.retirements.fetch_add(1, SeqCst);
    }

    /// How often connections were asked to make room.
    pub(super) fn retirements(&self) -> u64 {
        self.retirements.load(SeqCst)
    }

    fn refuse(&self, reason: &str) {
        self.metrics.add(Metric::EdgeRefused, &[self.config.name, reason], 1);
        self.metrics.add(Metric::LimitsHit, &[reason], 1);
    }

    fn handshake_failed(&self, peer: SocketAddr, reason: &str, why: Option<&io::Error>) {
        self.metrics.add(Metric::HandshakesFailed, &[self.config.name, reason], 1);
        if let ("certificate", Some(why)) = (reason, why) {
            self.tell_refused(peer, why);
        }
        if matches!(reason, "certificate" | "no-certificate") {
            self.refused(peer);
        }
    }

    /// One line a second at most: strangers must not be able to fill the disk. The metric counts them all.
    fn tell_refused(&self, peer: SocketAddr, why: &io::Error) {
        let mut told = self.told.lock();
        if told.is_none_or(|last| last.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            let (listener, peer) = (self.config.name, peer.ip());
            tracing::warn!(listener, %peer, error = %why, "a certificate was refused in the handshake  握手时证书被拒绝");
        }
    }

    /// Somebody at this address is not who he would have to be.
    pub(super) fn refused(&self, peer: SocketAddr) {
        if let Some(tell) = self.on_refused.get() {
            tell(peer.ip());
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.shared.live.lock().remove(&self.id);
        self.shared.metrics.gauge(Metric::EdgeConnections, &[self.shared.config.name]).add(-1.0);
    }
}

pub(super) async fn serve<H, F>(
    listener: TcpListener,
    shared: Arc<Shared>,
    handler: H,
    drain: impl Future<Output = ()> + Send,
) -> Drained
where
    H: Fn(Exchange) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let accepted = shared.metrics.counter(Metric::EdgeAccepted, &[shared.config.name]);
    let mut connections = JoinSet::new();
    let mut retain = tokio::time::interval(RETAIN_EVERY);
    let mut drain = pin!(drain);
    loop {
        tokio::select! {
            () = drain.as_mut() => break,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            _ = retain.tick() => shared.config.limits.retain_recent(),
            incoming = listener.accept() => match incoming {
                Ok((stream, peer)) => {
                    accepted.add(1);
                    if let Some((address, handshake)) = admit(&shared, peer) {
                        let work = connect(stream, peer, shared.clone(), handler.clone(), address, handshake);
                        connections.spawn(work);
                    }
                }
                Err(error) if is_about_the_peer(&error) => {}
                Err(_out_of_files) => {
                    shared.refuse("files");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    finish(&shared, connections).await
}

async fn finish(shared: &Shared, mut connections: JoinSet<()>) -> Drained {
    shared.drain.begin();
    for connection in shared.live() {
        connection.finish();
    }
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(shared.config.deadlines.drain, all_ended).await.is_ok() {
        return Drained { aborted: 0 };
    }
    let aborted = connections.len();
    let counted = u64::try_from(aborted).unwrap_or(u64::MAX);
    shared.metrics.add(Metric::EdgeClosed, &[shared.config.name, "draining"], counted);
    connections.shutdown().await;
    Drained { aborted }
}

fn admit(shared: &Shared, peer: SocketAddr) -> Option<(AddressSlot, RoomSlot)> {
    let Some(address) = shared.addresses.take(peer.ip()) else {
        shared.refuse("address");
        return None;
    };
    let Some(handshake) = shared.handshakes.take() else {
        shared.refuse("handshakes");
        return None;
    };
    Some((address, handshake))
}

async fn connect<H, F>(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    handler: H,
    _address: AddressSlot,
    handshake: RoomSlot,
) where
    H: Fn(Exchange) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let retirements = shared.retirements();
    let terms = (shared.config.terms)();
    let Some(stream) = shake_hands(stream, peer, terms.tls, &shared).await else {
        return;
    };
    drop(handshake);
    let Some(_room) = shared.connections.take() else {
        shared.refuse("connections");
        return;
    };
    connection::drive(stream, peer, terms.identify, retirements, shared, handler).await;
}

async fn shake_hands(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Arc<ServerConfig>,
    shared: &Shared,
) -> Option<TlsStream<TcpStream>> {
    // Small replies leave at once; a socket that cannot promise it still works.
    let _best_effort = stream.set_nodelay(true);
    let acceptor = TlsAcceptor::from(tls);
    let deadline = shared.config.deadlines.handshake;
    let (reason, failed) = tokio::select! {
        done = tokio::time::timeout(deadline, acceptor.accept(stream).into_fallible()) => match done {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err((error, stream))) => (why_failed(&error), Some((error, stream))),
            Err(_elapsed) => ("deadline", None),
        },
        // Who has not finished shaking hands has no request in flight.
        () = shared.drain.wait() => ("draining", None),
    };
    shared.handshake_failed(peer, reason, failed.as_ref().map(|(error, _)| error));
    if let Some((_, stream)) = failed {
        tokio::select! {
            _ended = tokio::time::timeout(shared.config.deadlines.linger, last_words(stream)) => {}
            () = shared.drain.wait() => {}
        }
    }
    None
}

/// Lets a refused peer read its alert. With TLS 1.3 its first request is under way before it is judged, and closing on
/// unread bytes resets the connection: the peer would see a broken line in place of the reason.
async fn last_words(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut scratch = [0u8; 4096];
    let mut left = LAST_WORDS;
    while left > 0 {
        let read = stream.read(&mut scratch).await?;
        left = if read == 0 { 0 } else { left.saturating_sub(read) };
    }
    Ok(())
}

fn why_failed(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::NoCertificatesPresented) => "no-certificate",
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::InvalidCertRevocationList(_)) => {
            "certificate"
        }
        Some(_) => "protocol",
        None => "closed",
    }
}

fn is_about_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
