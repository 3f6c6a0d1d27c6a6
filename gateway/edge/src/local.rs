//! The local listener: `/healthz`, `/readyz` and `/metrics` in plain HTTP, on loopback by default.
//!
//! It serves operators and probes on the same machine, never members. It shows no data of records.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use xinqiao_runtime::metrics::Metrics;
use xinqiao_runtime::{Check, Drain, State};

/// One connection of a probe may last this long.
const CONNECTION_LIFE: Duration = Duration::from_secs(30);
/// Probes at once.
const CONNECTIONS: usize = 32;

/// Asks every part how it is. It must not block.
pub type Readiness = Arc<dyn Fn() -> Vec<Check> + Send + Sync>;

/// The bound local listener.
pub struct Local {
    listener: TcpListener,
    readiness: Readiness,
    metrics: Arc<Metrics>,
}

impl Local {
    /// Binds the listener.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(listen: SocketAddr, readiness: Readiness, metrics: Arc<Metrics>) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        Ok(Self { listener, readiness, metrics })
    }

    /// The bound address.
    ///
    /// # Errors
    /// The socket has no address any more.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` completes, then serves the probes in progress within `drain`.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send, drain: Duration) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let stopping = Drain::new();
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = stop.as_mut() => break,
                Some(_ended) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = self.listener.accept() => accepted,
            };
            let (Ok((stream, _)), Ok(slot)) = (accepted, slots.clone().try_acquire_owned()) else {
                // A probe beyond the cap may be dropped, but the loop must not spin when files run out.
                tokio::task::yield_now().await;
                continue;
            };
            let (readiness, metrics) = (self.readiness.clone(), self.metrics.clone());
            let stopping = stopping.clone();
            connections.spawn(async move {
                let _slot = slot;
                probe(stream, readiness, metrics, stopping).await;
            });
        }
        drop(self.listener);
        stopping.begin();
        let all_ended = async { while connections.join_next().await.is_some() {} };
        let _in_time = tokio::time::timeout(drain, all_ended).await;
    }
}

async fn probe(stream: TcpStream, readiness: Readiness, metrics: Arc<Metrics>, stopping: Drain) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (readiness, metrics) = (readiness.clone(), metrics.clone());
        async move {
            // A report looks at files, signatures and the store: no work for a thread that serves requests.
            let work = move || report(&request, &readiness, &metrics);
            let reported = tokio::task::spawn_blocking(work).await;
            Ok::<_, Infallible>(reported.unwrap_or_else(|_| {
                let failed = "the report failed; see the log\n".into();
                respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", failed)
            }))
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(5))
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let until_stopped = async {
        let mut serving = pin!(serving);
        tokio::select! {
            _ended = serving.as_mut() => return,
            () = stopping.wait() => serving.as_mut().graceful_shutdown(),
        }
        let _ended = serving.await;
    };
    // How a probe's connection ends concerns nobody.
    let _ended = tokio::time::timeout(CONNECTION_LIFE, until_stopped).await;
}

fn report(request: &Request<Incoming>, readiness: &Readiness, metrics: &Metrics) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return respond(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", "GET only\n".into());
    }
    match request.uri().path() {
        "/healthz" => respond(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".into()),
        "/readyz" => ready(&readiness()),
        "/metrics" => respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics.render()),
        _ => {
            respond(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "/healthz /readyz /metrics\n".into())
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    status: State,
    checks: &'a [Check],
}

fn ready(checks: &[Check]) -> Response<Full<Bytes>> {
    let worst = checks.iter().map(|check| check.state).max().unwrap_or(State::Ok);
    let status = if worst == State::Failing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let report =
        serde_json::to_string(&Report { status: worst, checks }).expect("a report has only string keys");
    respond(status, "application/json", report)
}

fn respond(status: StatusCode, media_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
