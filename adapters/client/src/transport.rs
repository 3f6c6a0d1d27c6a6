//! One pool of mutual-TLS connections to one gateway, HTTP/2 where offered, and one way to ask over it.
//!
//! Answers are read with a cap and an idle timeout; a problem document becomes [`ClientError::Problem`] here, for all callers.

mod dial;
mod links;
mod tls;

pub use tls::Tls;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use xinqiao_explain::Explain;

use crate::error::{ClientError, Problem};
use crate::profile::Profile;
use dial::{Dialler, Heard};
use tls::Files;

/// No JSON answer of the gateway is larger.
const ANSWER_CAP: usize = 64 << 20;

/// How often a request is asked again at once that the gateway has certainly not looked at.
const AGAIN: u32 = 3;

/// How often the files of a profile are looked at, at most.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct Transport {
    door: Arc<Mutex<Door>>,
    base: Arc<str>,
    idle: Duration,
}

/// Where requests go: a pool, and what its connections are made with.
struct Door {
    pool: Pool<Dialler, Full<Bytes>>,
    dialler: Dialler,
    tls: Tls,
    files: Option<Files>,
    looked: Instant,
    trouble: Option<ClientError>,
}

/// A complete answer of a status that means success.
pub(crate) struct WholeResponse {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Transport {
    /// With the profile's files, read again when they change.
    pub(crate) fn new(profile: &Profile) -> Result<Self, ClientError> {
        let (files, tls) = Files::read(profile)?;
        Self::build(profile, tls, Some(files))
    }

    /// With settings given; the profile's files are not looked at.
    pub(crate) fn with(profile: &Profile, tls: Tls) -> Result<Self, ClientError> {
        Self::build(profile, tls, None)
    }

    fn build(profile: &Profile, tls: Tls, files: Option<Files>) -> Result<Self, ClientError> {
        let authority = profile.authority()?;
        let dialler = Dialler::new(profile, &authority, &tls)?;
        let pool = pool(dialler.clone());
        let door = Door { pool, dialler, tls, files, looked: Instant::now(), trouble: None };
        Ok(Self {
            door: Arc::new(Mutex::new(door)),
            base: format!("https://{authority}").into(),
            idle: profile.idle_time(),
        })
    }

    /// Makes connections with these settings from now on. Requests under way finish, unless their gateway is no longer
    /// accepted: then they are cut.
    pub(crate) fn renew(&self, tls: Tls) {
        self.door.lock().unwrap_or_else(PoisonError::into_inner).renew(tls);
    }

    /// Why the profile's files could not be taken again, if that is so.
    pub(crate) fn trouble(&self) -> Option<String> {
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        door.trouble.as_ref().map(|e| format!("{}  {}", e.english(), e.chinese()))
    }

    /// `https://host:port` of the gateway.
    pub(crate) fn gateway(&self) -> &str {
        &self.base
    }

    /// The SPIFFE URI of the certificate in use, if it has one.
    pub(crate) fn member(&self) -> Option<Arc<str>> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner).tls.member()
    }

    fn pool(&self) -> Pool<Dialler, Full<Bytes>> {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        door.look_again();
        door.pool.clone()
    }

    /// A request to a path of the gateway, query included.
    pub(crate) fn request(&self, method: http::Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("{}{path}", self.base))
    }

    /// Asks and reads the whole answer. `wait` is how long the gateway was asked to hold the request.
    pub(crate) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        wait: Duration,
    ) -> Result<WholeResponse, ClientError> {
        let response = self.open(request, wait).await?;
        let status = response.status();
        let body = self.read_all(response.into_body()).await?;
        Ok(WholeResponse { status, body })
    }

    /// Asks and gives the answer's head as soon as it is there; the body is the caller's to read with [`Transport::frame`].
    pub(crate) async fn open(
        &self,
        request: Request<Full<Bytes>>,
        wait: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut again = AGAIN;
        let begin = Instant::now();
        let response = loop {
            let mut attempt = request.clone();
            let connection = capture_connection(&mut attempt);
            let waiting = || connection.connection_metadata().is_none();
            let heard = Heard::default();
            let response = timeout(self.idle.saturating_add(wait), self.pool().request(attempt));
            let response = heard.or_response(response, waiting).await.map_err(ClientError::Tls)?;
            // A gateway that broke the connection off with an alert does so again.
            match (response, heard.said()) {
                (Ok(Ok(response)), _) => break response,
                (Ok(Err(error)), None) if again > 0 && unprocessed(&error) => again -= 1,
                (Ok(Err(error)), said) => return Err(self.explained(broken(&error), said, begin)),
                (Err(_late), Some(said)) => return Err(ClientError::Tls(said)),
                (Err(_late), None) => return Err(ClientError::Timeout),
            }
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.problem(response).await)
    }

    /// What the gateway said on a connection it broke off explains more than that it broke.
    fn explained(&self, error: ClientError, said: Option<String>, begin: Instant) -> ClientError {
        let door = || self.door.lock().unwrap_or_else(PoisonError::into_inner);
        match (&error, said.or_else(|| door().dialler.alerts().since(begin))) {
            (ClientError::Connection(_), Some(alert)) => ClientError::Tls(alert),
            _ => error,
        }
    }

    /// The next piece of a body; `None` at its end.
    pub(crate) async fn frame(&self, body: &mut Incoming) -> Result<Option<Bytes>, ClientError> {
        loop {
            let next = timeout(self.idle, body.frame()).await.map_err(|_| ClientError::Timeout)?;
            match next {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn read_all(&self, mut body: Incoming) -> Result<Bytes, ClientError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.frame(&mut body).await? {
            if whole.len() + piece.len() > ANSWER_CAP {
                return Err(ClientError::protocol("the answer is larger than 64 MiB"));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    async fn problem(&self, response: Response<Incoming>) -> ClientError {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let is_problem = media_type(response.headers()).is_some_and(|m| m == "application/problem+json");
        let body = match self.read_all(response.into_body()).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        let parsed = match is_problem {
            true => serde_json::from_slice::<Problem>(&body).ok(),
            false => None,
        };
        let mut problem = parsed.unwrap_or_else(|| Problem {
            code: format!("http.{}", status.as_u16()),
            title: format!("the answer was {status}, without a problem document"),
            title_zh: format!("应答为 {status}，未附问题说明"),
            ..Problem::default()
        });
        problem.status = status.as_u16();
        problem.retry_after = retry_after;
        ClientError::Problem(Box::new(problem))
    }
}

impl Door {
    fn renew(&mut self, tls: Tls) {
        self.dialler = self.dialler.with(&tls);
        self.pool = pool(self.dialler.clone());
        if !tls.same_trust(&self.tls) {
            self.dialler.links().keep(|chain| tls.accepts(chain));
        }
        self.tls = tls;
    }

    /// A pair that is being replaced reads as broken for a moment: the settings in use stay until the files are good.
    fn look_again(&mut self) {
        if self.files.is_none() || self.looked.elapsed() < LOOK_AGAIN {
            return;
        }
        self.looked = Instant::now();
        match self.files.as_mut().and_then(Files::again) {
            None => {}
            Some(Ok(tls)) => {
                self.trouble = None;
                self.renew(tls);
            }
            Some(Err(error)) => self.trouble = Some(error),
        }
    }
}

fn pool(dialler: Dialler) -> Pool<Dialler, Full<Bytes>> {
    Pool::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(50))
        .pool_max_idle_per_host(8)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(20))
        .build(dialler)
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

/// Seconds only; a date would need the clocks to agree.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// Whether the request never left, or the gateway said that it did not look at it (RFC 9113, 6.8 and 8.7): its connection
/// was making room for a newer one, and asking again is no repetition.
fn unprocessed(error: &PoolError) -> bool {
    let mut next = error.source();
    while let Some(error) = next {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        if let Some(h2) = error.downcast_ref::<h2::Error>() {
            let left = h2.is_go_away() && h2.reason() == Some(h2::Reason::NO_ERROR);
            let refused = h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
            return h2.is_remote() && (left || refused);
        }
        next = error.source();
    }
    false
}

/// TLS failures hide several sources deep, and with TLS 1.3 a refused client certificate shows only on first reading.
fn broken(error: &(dyn Error + 'static)) -> ClientError {
    let mut innermost = error;
    let mut next = Some(error);
    while let Some(error) = next {
        innermost = error;
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return ClientError::Tls(tls.to_string());
        }
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(tls) = inside.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return ClientError::Tls(tls.to_string());
        }
        if inside.is_some_and(|inner| inner.is::<dial::TooSlow>()) {
            return ClientError::Timeout;
        }
        next = error.source();
    }
    let text = innermost.to_string();
    // HTTP/2 keeps only the words of what broke its connection; these are rustls' for an alert.
    match text.contains("received fatal alert") {
        true => ClientError::Tls(text),
        false => ClientError::Connection(text),
    }
}
