//! A gateway that answers what it is told to, over mutual TLS on loopback.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::SystemTime;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use xinqiao_certs::pki::{Authority, Request as Wanted, Validity};
use xinqiao_certs::{Identity, Revocation, Role, Trust, TrustAnchors, UnixTime, tls};
use xinqiao_client::{Client, Profile, RetryPolicy};

pub(crate) const DOMAIN: &str = "xm.example";

/// A request as the gateway saw it.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// An answer; `cut` ends the connection after the body instead of finishing it.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    pub(crate) cut: bool,
}

impl Reply {
    pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: body.into(), cut: false }
    }

    pub(crate) fn problem(status: u16, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type", "application/problem+json".to_owned())];
        Self { status, headers, body: body.into(), cut: false }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Handler = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// The running gateway with the certificates of both sides.
pub(crate) struct Gateway {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) address: String,
    connections: Arc<AtomicUsize>,
}

impl Gateway {
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_speaking(&[b"h2", b"http/1.1"], handler).await
    }

    pub(crate) async fn start_speaking(
        protocols: &[&[u8]],
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = authority();
        std::fs::write(directory.path().join("ca.crt"), authority.root_pem()).unwrap();
        certificate(&authority, Role::Department, "health", directory.path());
        let mut wanted = Wanted::new(Role::Node, DOMAIN, "350200-credit", days());
        wanted.dns.push("gateway.xm.example".into());
        let issued = authority.issue(&wanted).unwrap();
        let now = UnixTime::now();
        let identity =
            Identity::from_pem(issued.chain_pem().as_bytes(), issued.key_pem().as_bytes(), now).unwrap();
        let mut anchors = TrustAnchors::new();
        anchors.add_pem("ca", authority.root_pem().as_bytes(), authority.rights(Role::ALL), now).unwrap();
        let trust = Trust::new(anchors, Revocation::none()).unwrap();
        let mut config = (*tls::server_config(&identity, &trust)).clone();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let tls = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(accept(listener, tls, Arc::new(handler), seen.clone(), connections.clone()));
        Self { directory, seen, address, connections }
    }

    pub(crate) fn profile(&self) -> Profile {
        let file = |name: &str| -> PathBuf { self.directory.path().join(name) };
        let mut profile = Profile::new(
            "https://gateway.xm.example",
            &file("health.crt"),
            &file("health.key"),
            &file("ca.crt"),
        );
        profile.address = Some(self.address.clone());
        profile.idle_seconds = 5;
        profile
    }

    /// A client that does not wait between attempts.
    pub(crate) fn client(&self) -> Client {
        let zero = std::time::Duration::ZERO;
        let retry = RetryPolicy { attempts: 4, first_wait: zero, longest_wait: zero };
        Client::connect(&self.profile()).unwrap().with_retry(retry)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

pub(crate) fn days() -> Validity {
    Validity::days(SystemTime::now(), 2)
}

pub(crate) fn authority() -> Authority {
    Authority::create_root("Test Root", &[DOMAIN], days()).unwrap()
}

pub(crate) fn certificate(authority: &Authority, role: Role, name: &str, directory: &Path) {
    authority.issue(&Wanted::new(role, DOMAIN, name, days())).unwrap().write_to(directory, name).unwrap();
}

async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    handler: Handler,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
) {
    while let Ok((tcp, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::Relaxed);
        let (tls, handler, seen) = (tls.clone(), handler.clone(), seen.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(tcp).await else { return };
            let service = service_fn(move |request| answer(request, handler.clone(), seen.clone()));
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    handler: Handler,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Piece>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let one = Seen {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
    };
    seen.lock().unwrap().push(one.clone());
    let reply = handler(&one);
    let mut response = Response::new(Piece { bytes: Some(reply.body), cut: reply.cut, sent: false });
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap();
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    Ok(response)
}

struct Piece {
    bytes: Option<Bytes>,
    cut: bool,
    /// What there was has been passed on.
    sent: bool,
}

impl Body for Piece {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.bytes.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None if self.cut && !self.sent => {
                self.sent = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None if self.cut => Poll::Ready(Some(Err(io::Error::other("cut")))),
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.bytes, self.cut) {
            (Some(bytes), false) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
    }
}
