//! The loop that drives HTTP on one connection, until the connection or one of its deadlines ends.
//!
//! HTTP/1.1 or h2 is chosen by ALPN, never guessed from bytes. A timer per connection looks at its clocks a few times
//! per deadline.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Instant;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use xinqiao_runtime::metrics::Metric;

use super::connection::Connection;
use super::exchange::Exchange;
use super::live_connections::LiveConnections;
use super::liveness::{Order, Verdict};
use super::reply::Reply;
use super::service::respond;
use super::transport::Transport;
use super::{Identify, TlsPolicy};

/// Serves one connection whose handshake is done until it ends. `retirements` is what the edge counted before the
/// handshake.
pub(super) async fn drive<H, F>(
    stream: TlsStream<TcpStream>,
    peer: SocketAddr,
    identify: Identify,
    retirements: u64,
    live: Arc<LiveConnections>,
    handler: H,
) where
    H: Fn(Exchange) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let shared = &live.shared;
    let connection = Arc::new(Connection::new(&stream, peer, &identify, shared.clone()));
    let _listed = live.list(&connection);
    // The policy may have changed during the handshake, when nobody could find this connection to check it again.
    let TlsPolicy { identify: now, .. } = (shared.config.tls_policy)();
    if !is_same(&now, &identify) {
        connection.recheck(&now);
    }
    if live.retirements() != retirements {
        connection.liveness.retire();
    }
    let io = TokioIo::new(Transport::new(stream, connection.liveness.clone()));
    let service = service_fn({
        let connection = connection.clone();
        move |request| respond(&connection, &handler, request)
    });
    let caps = &shared.config.caps;
    if connection.liveness.is_h2() {
        let http = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(caps.h2_streams)
            .max_pending_accept_reset_streams(caps.h2_resets)
            .max_local_error_reset_streams(caps.h2_resets)
            .max_header_list_size(u32::try_from(caps.header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(caps.h2_window.min(256 * 1024))
            .initial_connection_window_size(caps.h2_window)
            .max_send_buf_size(128 * 1024)
            .serve_connection(io, service);
        run(&connection, http).await;
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(caps.header_bytes.max(8192));
        if caps.header_count > 100 {
            // Below hyper's own 100 the service counts: naming a number here costs an allocation per request.
            builder.max_headers(caps.header_count);
        }
        run(&connection, builder.serve_connection(io, service)).await;
    }
    if connection.liveness.is_flooded() {
        shared.count_closed("frame-flood", 1);
        shared.metrics.add(Metric::LimitsHit, &["frame-flood"], 1);
    }
}

async fn run(connection: &Connection, http: impl Graceful) {
    let Connection { shared, liveness, .. } = connection;
    let mut http = pin!(http);
    let tick = shared.deadlines.tick();
    let mut timer = pin!(tokio::time::sleep(tick));
    let mut finish_by: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            // The peer's misbehaviour ends its connection and is nobody else's concern.
            _ended = http.as_mut() => return,
            () = liveness.ordered() => {}
            () = timer.as_mut() => {
                timer.as_mut().reset(tokio::time::Instant::now() + tick);
                match liveness.check(Instant::now()) {
                    Verdict::CarryOn => {}
                    Verdict::Finish(reason) => {
                        if finish_by.is_none() { shared.count_closed(reason, 1); }
                        liveness.finish();
                    }
                    Verdict::Cut(reason) => {
                        shared.count_closed(reason, 1);
                        return;
                    }
                }
            }
        }
        match liveness.order() {
            Order::Cut => {
                shared.count_closed("identity-changed", 1);
                return;
            }
            Order::Finish => match finish_by {
                None => {
                    http.as_mut().finish();
                    finish_by = Some(Instant::now() + shared.deadlines.header);
                }
                Some(by) if Instant::now() > by && !liveness.is_busy() => return,
                Some(_) => {}
            },
            Order::CarryOn => {}
        }
    }
}

/// Whether nothing was swapped between two readings.
fn is_same(one: &Identify, other: &Identify) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

/// The two connection types of hyper, alike.
trait Graceful: Future {
    fn finish(self: Pin<&mut Self>);
}

impl<I, S, B> Graceful for http1::Connection<I, S>
where
    S: hyper::service::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B, E> Graceful for http2::Connection<I, S, E>
where
    S: hyper::service::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
