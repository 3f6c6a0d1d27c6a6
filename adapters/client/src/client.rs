//! The calls of the exchange API, one method each.

mod retry;
mod send;

pub use retry::RetryPolicy;
pub(crate) use send::check;
pub use send::{Received, Sent, Submission};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::Full;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;
use std::time::Duration;

use crate::error::ClientError;
use crate::profile::Profile;
use crate::transport::{Tls, Transport};

/// The longest a node holds an answer; it refuses to be asked for more.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The most batches a node lists at once; it refuses to be asked for more.
const MOST_BATCHES: u32 = 100;

/// A gateway, over a pool of kept connections. Cheap to clone; clones share the pool.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    retry: RetryPolicy,
}

/// A stream this recipient may follow.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StreamInfo {
    /// `<recipient>.<dataset>`, with `~history` for the slow lane.
    pub stream: String,
    /// What kind of records.
    pub dataset: String,
    /// For whom.
    pub recipient: String,
    /// The number the next batch will have.
    pub next_seq: u64,
    /// How far everything is acknowledged.
    #[serde(default)]
    pub acknowledged: u64,
    /// Records waiting to be sealed or acknowledged.
    #[serde(default)]
    pub pending_records: u64,
}

/// Batches after a sequence number.
#[derive(Debug, Deserialize)]
pub struct BatchPage {
    /// Their stream.
    pub stream: String,
    /// In order.
    pub batches: Vec<BatchEntry>,
    /// Whether asking again at once would give more.
    #[serde(default)]
    pub more: bool,
}

/// A signed manifest with its log proof, neither looked at yet.
#[derive(Debug, Deserialize)]
pub struct BatchEntry {
    /// General JWS serialisation, as sent.
    pub manifest: Box<RawValue>,
    /// C2SP tlog-proof text.
    pub proof: String,
    /// The log entry, base64, if it does not follow from the manifest.
    #[serde(default)]
    pub entry: Option<String>,
}

/// Records that recipients rejected.
#[derive(Debug, Clone, Deserialize)]
pub struct FeedbackPage {
    /// In order of `n`.
    pub feedback: Vec<Feedback>,
    /// What to give as `after` next time.
    pub next: u64,
}

/// One rejected record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Feedback {
    /// Its number in this department's feedback.
    pub n: u64,
    /// The submission it came in.
    pub submission: String,
    /// Its zero-based ordinal there.
    pub record: u64,
    /// The department's own reference, if it gave one.
    #[serde(rename = "ref", default)]
    pub reference: Option<String>,
    /// The stream it went out in.
    pub stream: String,
    /// And the batch, if one was sealed.
    #[serde(default)]
    pub seq: Option<u64>,
    /// The recipient's code.
    pub code: String,
    /// The recipient's words.
    #[serde(default)]
    pub message: String,
    /// When.
    pub time: String,
}

impl Client {
    /// Reads the profile's files and prepares a pool. Connections are made when first needed; the files are read again
    /// when they change.
    pub fn connect(profile: &Profile) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::new(profile)?, retry: RetryPolicy::default() })
    }

    /// The same with TLS settings given instead of the profile's files; see [`Client::renew`].
    pub fn connect_with(profile: &Profile, tls: Tls) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::with(profile, tls)?, retry: RetryPolicy::default() })
    }

    /// New requests go over new connections made with these settings; requests under way finish, unless the gateway at
    /// the other end is no longer accepted. Clones share the change.
    pub fn renew(&self, tls: Tls) {
        self.transport.renew(tls);
    }

    /// Why changed files of the profile were not taken, in both languages; the earlier ones are still used.
    pub fn trouble(&self) -> Option<String> {
        self.transport.trouble()
    }

    /// The gateway, `https://host:port`, as the profile names it.
    pub fn gateway(&self) -> &str {
        self.transport.gateway()
    }

    /// Who this client is to the gateway: the SPIFFE URI of its certificate, if it has one.
    pub fn member(&self) -> Option<String> {
        self.transport.member().map(|member| member.to_string())
    }

    /// With other limits on retrying.
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// What this member may send, and how.
    pub async fn datasets(&self) -> Result<Value, ClientError> {
        self.get("/v1/datasets").await
    }

    /// How far a submission has come, per stream.
    pub async fn submission(&self, id: &str) -> Result<Value, ClientError> {
        self.get(&format!("/v1/submissions/{}", segment(id)?)).await
    }

    /// Records that recipients rejected, after number `after`; holds up to `wait` for news, a minute at most.
    pub async fn feedback(&self, after: u64, wait: Duration) -> Result<FeedbackPage, ClientError> {
        let wait = wait.min(LONGEST_WAIT);
        self.poll(&format!("/v1/feedback?after={after}&wait={}", wait.as_secs()), wait).await
    }

    /// The tree of recipients and tiers that must confirm a recall.
    pub async fn recall(&self, id: &str) -> Result<Value, ClientError> {
        self.get(&format!("/v1/recalls/{}", segment(id)?)).await
    }

    /// The streams this recipient may follow.
    pub async fn streams(&self) -> Result<Vec<StreamInfo>, ClientError> {
        #[derive(Deserialize)]
        struct Streams {
            streams: Vec<StreamInfo>,
        }
        Ok(self.get::<Streams>("/v1/streams").await?.streams)
    }

    /// Batches after `after`, at most `limit` and never more than a hundred; asking seals what is waiting, and holds up to
    /// `wait` if nothing is, a minute at most.
    pub async fn batches(
        &self,
        stream: &str,
        after: u64,
        limit: u32,
        wait: Duration,
    ) -> Result<BatchPage, ClientError> {
        let (wait, limit) = (wait.min(LONGEST_WAIT), limit.clamp(1, MOST_BATCHES));
        let path = format!(
            "/v1/streams/{}/batches?after={after}&limit={limit}&wait={}",
            segment(stream)?,
            wait.as_secs()
        );
        self.poll(&path, wait).await
    }

    /// Hands in an acknowledgement. The same document again is accepted; another one for the same batch is not.
    pub async fn acknowledge(&self, stream: &str, document: Bytes) -> Result<(), ClientError> {
        let path = format!("/v1/streams/{}/acknowledgements", segment(stream)?);
        self.retry
            .run(|| async {
                let request = self
                    .transport
                    .request(Method::POST, &path)
                    .header(CONTENT_TYPE, "application/json")
                    .body(Full::new(document.clone()));
                self.transport.ask(build(request)?, Duration::ZERO).await
            })
            .await
            .map(drop)
    }

    /// The node's published keys: `{"keys": […], "log": "<vkey>"}`, as sent. Pin them before relying on them.
    pub async fn keys(&self) -> Result<Bytes, ClientError> {
        self.fetch("/v1/keys", Duration::ZERO).await
    }

    /// The newest checkpoint of the node's log, as sent.
    pub async fn checkpoint(&self) -> Result<String, ClientError> {
        let bytes = self.fetch("/v1/log/checkpoint", Duration::ZERO).await?;
        String::from_utf8(bytes.into()).map_err(|_| ClientError::protocol("the checkpoint is not UTF-8"))
    }

    /// A tile of the node's log by its C2SP path, such as `tile/0/000`.
    pub async fn tile(&self, path: &str) -> Result<Bytes, ClientError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.');
        if !path.bytes().all(plain) || path.contains("..") {
            return Err(ClientError::protocol("a tile path of another shape"));
        }
        self.fetch(&format!("/v1/log/{path}"), Duration::ZERO).await
    }

    /// A payload, whole and in memory; nothing of it is verified yet.
    pub async fn payload(&self, stream: &str, seq: u64) -> Result<Bytes, ClientError> {
        self.fetch(&format!("/v1/streams/{}/batches/{seq}/payload", segment(stream)?), Duration::ZERO).await
    }

    /// Puts a document at a path of the peer, once. For endpoints that are pushed to.
    pub async fn put(&self, path: &str, media_type: &str, body: Bytes) -> Result<(u16, Bytes), ClientError> {
        let request =
            self.transport.request(Method::PUT, path).header(CONTENT_TYPE, media_type).body(Full::new(body));
        let response = self.transport.ask(build(request)?, Duration::ZERO).await?;
        Ok((response.status.as_u16(), response.body))
    }

    /// What stands at a path, as sent; for officers' tools.
    pub async fn document(&self, path: &str) -> Result<Bytes, ClientError> {
        self.fetch(path, Duration::ZERO).await
    }

    /// A JSON document at a path; for officers' tools.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.get(path).await
    }

    /// Hands a JSON document to a path and reads the answer; for officers' tools.
    pub async fn tell<T: DeserializeOwned>(&self, path: &str, document: &Value) -> Result<T, ClientError> {
        let request = self
            .transport
            .request(Method::POST, path)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(document.to_string())));
        parse(&self.transport.ask(build(request)?, Duration::ZERO).await?.body)
    }

    pub(crate) fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.poll(path, Duration::ZERO).await
    }

    async fn poll<T: DeserializeOwned>(&self, path: &str, wait: Duration) -> Result<T, ClientError> {
        let body = self.fetch(path, wait).await?;
        parse(&body)
    }

    async fn fetch(&self, path: &str, wait: Duration) -> Result<Bytes, ClientError> {
        let attempt = || async {
            let request = self.transport.request(Method::GET, path).body(Full::default());
            self.transport.ask(build(request)?, wait).await
        };
        Ok(self.retry.run(attempt).await?.body)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("retry", &self.retry).finish_non_exhaustive()
    }
}

pub(crate) fn build(
    request: Result<Request<Full<Bytes>>, http::Error>,
) -> Result<Request<Full<Bytes>>, ClientError> {
    request.map_err(|_| {
        ClientError::setting(
            "request",
            "a value given cannot stand in a request; leave out control characters",
            "所给的值不能用于请求，请去掉控制字符",
        )
    })
}

/// The position of a fault, never the text around it: an answer may quote what was sent.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(body).map_err(|error| {
        ClientError::protocol(format!(
            "JSON of another shape at line {} column {}",
            error.line(),
            error.column()
        ))
    })
}

/// An id or name as one path segment. Ids of this system need no escaping; anything that would is not one.
pub(crate) fn segment(text: &str) -> Result<&str, ClientError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    if text.is_empty() || text.starts_with('.') || !text.bytes().all(plain) {
        return Err(ClientError::setting(
            "name",
            "an id, dataset or stream consists of ASCII letters, digits, hyphens, underscores, dots and tildes",
            "标识、数据集或数据流名称只能含 ASCII 字母、数字、连字符、下划线、点和波浪号",
        ));
    }
    Ok(text)
}
