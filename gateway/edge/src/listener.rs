//! The accept loop: caps before TLS, TLS off the loop, and the drain.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;
use xinqiao_runtime::metrics::Metric;

use super::connection_cap::{AddressSlot, ConnectionSlot};
use super::drive::drive;
use super::exchange::Exchange;
use super::live_connections::LiveConnections;
use super::reply::Reply;
use super::shared::Shared;
use super::{Drained, TlsPolicy};

/// How often the rate limiters forget members whose bucket is full again.
const RETAIN_EVERY: Duration = Duration::from_secs(60);
/// Out of file descriptors: wait for some to come back rather than spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A peer whose handshake was refused may have sent this much already; more is not swallowed.
const SWALLOWED_BYTES: usize = 1 << 20;

pub(super) async fn serve<H, F>(
    listener: TcpListener,
    live: Arc<LiveConnections>,
    handler: H,
    drain: impl Future<Output = ()> + Send,
) -> Drained
where
    H: Fn(Exchange) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let shared = &live.shared;
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
                    if let Some((address, handshake)) = admit(shared, peer) {
                        let work = connect(stream, peer, live.clone(), handler.clone(), address, handshake);
                        connections.spawn(work);
                    }
                }
                Err(error) if is_about_the_peer(&error) => {}
                Err(_out_of_files) => {
                    shared.count_refused("files");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    finish(&live, connections).await
}

async fn finish(live: &LiveConnections, mut connections: JoinSet<()>) -> Drained {
    live.drain();
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(live.shared.deadlines.drain, all_ended).await.is_ok() {
        return Drained { aborted: 0 };
    }
    let aborted = connections.len();
    live.shared.count_closed("draining", u64::try_from(aborted).unwrap_or(u64::MAX));
    connections.shutdown().await;
    Drained { aborted }
}

fn admit(shared: &Shared, peer: SocketAddr) -> Option<(AddressSlot, ConnectionSlot)> {
    let Some(address) = shared.addresses.take(peer.ip()) else {
        shared.count_refused("address");
        return None;
    };
    let Some(handshake) = shared.handshakes.take() else {
        shared.count_refused("handshakes");
        return None;
    };
    Some((address, handshake))
}

async fn connect<H, F>(
    stream: TcpStream,
    peer: SocketAddr,
    live: Arc<LiveConnections>,
    handler: H,
    _address: AddressSlot,
    handshake: ConnectionSlot,
) where
    H: Fn(Exchange) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let shared = &live.shared;
    // Read before the handshake: what changes during it is found by comparing once the connection is listed.
    let retirements = live.retirements();
    let TlsPolicy { tls, identify } = (shared.config.tls_policy)();
    let Some(stream) = shake_hands(stream, peer, tls, shared).await else {
        return;
    };
    drop(handshake);
    let Some(_slot) = shared.connections.take() else {
        shared.count_refused("connections");
        return;
    };
    drive(stream, peer, identify, retirements, live, handler).await;
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
    let deadline = shared.deadlines.handshake;
    let (reason, failed) = tokio::select! {
        done = tokio::time::timeout(deadline, acceptor.accept(stream).into_fallible()) => match done {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err((error, stream))) => (why_failed(&error), Some((error, stream))),
            Err(_elapsed) => ("deadline", None),
        },
        // Without a finished handshake no request is in flight.
        () = shared.drain.wait() => ("draining", None),
    };
    shared.handshake_failed(peer, reason, failed.as_ref().map(|(error, _)| error));
    if let Some((_, stream)) = failed {
        tokio::select! {
            _ended = tokio::time::timeout(shared.deadlines.linger, swallow_rest(stream)) => {}
            () = shared.drain.wait() => {}
        }
    }
    None
}

/// Lets a refused peer read its alert. With TLS 1.3 its first request is under way before its certificate is checked, and closing on
/// unread bytes resets the connection: the peer would see a broken connection in place of the reason.
async fn swallow_rest(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut scratch = [0u8; 4096];
    let mut left = SWALLOWED_BYTES;
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
