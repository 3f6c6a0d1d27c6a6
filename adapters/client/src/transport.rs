//! One pool of mutual-TLS connections to one gateway, HTTP/2 where offered, and one way to ask over it.
//!
//! Answers are read with a cap and an idle timeout; a problem document becomes [`ClientError::Problem`] here, for all callers.

mod dial;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;

use crate::error::{ClientError, Problem};
use crate::profile::Profile;
use dial::Dialler;

/// No JSON answer of the gateway is larger.
const ANSWER_CAP: usize = 64 << 20;

#[derive(Clone)]
pub(crate) struct Transport {
    pool: Pool<Dialler, Full<Bytes>>,
    base: String,
    idle: Duration,
}

/// A complete answer of a status that means success.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Transport {
    pub(crate) fn new(profile: &Profile) -> Result<Self, ClientError> {
        let authority = profile.authority()?;
        let dialler = Dialler::new(profile, &authority)?;
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(50))
            .pool_max_idle_per_host(8)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(20))
            .build(dialler);
        Ok(Self { pool, base: format!("https://{authority}"), idle: profile.idle_time() })
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
    ) -> Result<Answer, ClientError> {
        let response = self.open(request, wait).await?;
        let status = response.status();
        let body = self.read_all(response.into_body()).await?;
        Ok(Answer { status, body })
    }

    /// Asks and gives the answer's head as soon as it is there; the body is the caller's to read with [`Transport::frame`].
    pub(crate) async fn open(
        &self,
        request: Request<Full<Bytes>>,
        wait: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        let answer = timeout(self.idle.saturating_add(wait), self.pool.request(request));
        let response = answer.await.map_err(|_| ClientError::Timeout)?.map_err(classify)?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.problem(response).await)
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

fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

/// Seconds only; a date would need the clocks to agree.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

fn classify(error: PoolError) -> ClientError {
    broken(&error)
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
