//! Dialling: TCP, then TLS with our certificate, within one deadline.

use http::Uri;
use http::uri::Authority;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use xinqiao_certs::ServerName;

use crate::error::ClientError;
use crate::profile::Profile;
use crate::transport::links::{Links, Switch};
use crate::transport::tls::Tls;

#[derive(Clone)]
pub(super) struct Dialler {
    connector: TlsConnector,
    name: ServerName<'static>,
    address: Arc<str>,
    deadline: Duration,
    links: Links,
    alerts: Alerts,
}

/// What the gateway said last when it broke a TLS connection off, and when. With TLS 1.3 a refused certificate shows only
/// after the handshake, to whoever reads first: the pool's own task, which does not pass it on.
#[derive(Clone, Default)]
pub(super) struct Alerts(Arc<Mutex<Option<(Instant, String)>>>);

impl Alerts {
    /// What was said since.
    pub(super) fn since(&self, begin: Instant) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| *at >= begin).map(|(_, text)| text.clone())
    }

    fn note(&self, alert: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), alert.to_owned()));
    }
}

/// What the gateway said on a connection that was dialled for one request.
#[derive(Clone)]
pub(super) struct Heard(watch::Sender<Option<String>>);

impl Default for Heard {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Heard {
    /// Runs `request`, whose dialling reports here. The pool may wait for a connection without end when the one it
    /// dialled was refused at once: if it is still `waiting` then, what the gateway said is the error.
    pub(super) async fn or_response<T>(
        &self,
        request: impl Future<Output = T>,
        waiting: impl Fn() -> bool,
    ) -> Result<T, String> {
        let mut said = self.0.subscribe();
        let refused = async {
            let said = said.wait_for(Option::is_some).await.ok().and_then(|said| said.clone());
            tokio::time::sleep(GRACE).await;
            said.filter(|_| waiting())
        };
        tokio::select! {
            biased;
            response = HEARD.scope(self.clone(), request) => Ok(response),
            Some(alert) = refused => Err(alert),
        }
    }

    pub(super) fn said(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}

tokio::task_local! {
    static HEARD: Heard;
}

/// An answer that is there although a connection was refused comes within this.
const GRACE: Duration = Duration::from_secs(1);

/// TCP and TLS took longer than the profile allows.
#[derive(Debug)]
pub(super) struct TooSlow;

impl Dialler {
    pub(super) fn new(profile: &Profile, authority: &Authority, tls: &Tls) -> Result<Self, ClientError> {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            ClientError::setting("gateway", "holds no valid host name or address", "主机名或地址无效")
        })?;
        let address = match &profile.address {
            Some(address) => address.clone(),
            None => format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(443)),
        };
        Ok(Self {
            connector: TlsConnector::from(tls.config.clone()),
            name,
            address: address.into(),
            deadline: profile.connect_time(),
            links: Links::default(),
            alerts: Alerts::default(),
        })
    }

    /// The same peer, met with other settings.
    pub(super) fn with(&self, tls: &Tls) -> Self {
        Self { connector: TlsConnector::from(tls.config.clone()), ..self.clone() }
    }

    /// What gateways said when they broke connections off.
    pub(super) fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// The connections made so far.
    pub(super) fn links(&self) -> &Links {
        &self.links
    }

    async fn dial(self, heard: Option<Heard>) -> io::Result<TokioIo<Link>> {
        let connecting = async {
            let tcp = TcpStream::connect(&*self.address).await?;
            tcp.set_nodelay(true)?;
            self.connector.connect(self.name, tcp).await
        };
        match tokio::time::timeout(self.deadline, connecting).await {
            Ok(stream) => {
                let stream = stream?;
                let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let switch = self.links.add(chain.iter().map(|der| der.clone().into_owned()).collect());
                Ok(TokioIo::new(Link::new(stream, switch, self.alerts, heard)))
            }
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, TooSlow)),
        }
    }
}

impl tower_service::Service<Uri> for Dialler {
    type Response = TokioIo<Link>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().dial(HEARD.try_with(Heard::clone).ok()))
    }
}

/// A TLS connection that lets the pool know which protocol was negotiated.
pub(super) struct Link {
    stream: TlsStream<TcpStream>,
    switch: Arc<Switch>,
    alerts: Alerts,
    /// Why nothing can be written any more, until what the peer said before has been read.
    broken: Option<io::Error>,
    /// What it said.
    unread: Vec<u8>,
    heard: Option<Heard>,
}

/// More than this of a peer's last words is not kept.
const LAST_WORDS: usize = 64 * 1024;

impl Link {
    fn new(stream: TlsStream<TcpStream>, switch: Arc<Switch>, alerts: Alerts, heard: Option<Heard>) -> Self {
        Self { stream, switch, alerts, broken: None, unread: Vec::new(), heard }
    }

    fn note(&self, error: &io::Error) {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(alert @ rustls::Error::AlertReceived(_)) = tls {
            let alert = alert.to_string();
            self.alerts.note(&alert);
            if let Some(heard) = &self.heard {
                heard.0.send_replace(Some(alert));
            }
        }
    }

    /// A peer that closed may have said why, and that stands unread behind the write that failed: the failure waits for
    /// it. It is there already, or the failure would not be; only the reactor may not have seen it yet.
    fn after_last_words<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let error = match written {
            Poll::Ready(Err(error)) => error,
            other => return other,
        };
        let mut space = [0u8; 4096];
        while self.unread.len() < LAST_WORDS {
            let mut buf = ReadBuf::new(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Pending => {
                    self.broken = Some(error);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => self.unread.extend(buf.filled()),
                Poll::Ready(Ok(())) => break,
                Poll::Ready(Err(said)) => {
                    self.note(&said);
                    break;
                }
            }
        }
        if self.unread.is_empty() {
            return Poll::Ready(Err(error));
        }
        // An early answer is read before the failure is reported; the reader is woken.
        self.broken = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The failure that waits, if one does: until all of the last words are read nothing more is written.
    fn broken<T>(&mut self, cx: &mut Context<'_>) -> Option<Poll<io::Result<T>>> {
        let error = self.broken.take()?;
        if self.unread.is_empty() {
            return Some(self.after_last_words(cx, Poll::Ready(Err(error))));
        }
        self.broken = Some(error);
        Some(Poll::Pending)
    }
}

/// The pool asks the outer type, which is hyper's adapter around [`Link`].
impl Connection for Link {
    fn connected(&self) -> Connected {
        match self.stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Connected::new().negotiated_h2(),
            _ => Connected::new(),
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.switch.is_cut(cx) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, Distrusted)));
        }
        if !self.unread.is_empty() {
            let some = self.unread.len().min(buf.remaining());
            buf.put_slice(&self.unread[..some]);
            self.unread.drain(..some);
            if self.unread.is_empty() && self.broken.is_some() {
                cx.waker().wake_by_ref();
            }
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = &read {
            self.note(error);
        }
        read
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(broken) = self.broken(cx) {
            return broken;
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.after_last_words(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(broken) = self.broken(cx) {
            return broken;
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.after_last_words(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The gateway's certificate stopped being good while the connection was open.
#[derive(Debug)]
pub(super) struct Distrusted;

impl fmt::Display for Distrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gateway's certificate is trusted no longer")
    }
}

impl std::error::Error for Distrusted {}

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connecting took too long")
    }
}

impl std::error::Error for TooSlow {}
