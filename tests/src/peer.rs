//! A peer that speaks plain HTTP/1.1, or HTTP/2 where it is told to, over mutual TLS, a new connection for each request: what a member's own program
//! would do, without this project's client, so that what the client would correct or hide is seen. Every answer is held
//! against the OpenAPI document of the listener.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use xinqiao_certs::{Identity, Revocation, Trust, TrustAnchors, UnixTime, tls};

use crate::openapi::{Document, EXCHANGE};
use crate::site::PATIENCE;

/// One identity towards one listener.
#[derive(Clone)]
pub struct Peer {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    described: &'static Document,
}

/// What is asked.
#[derive(Clone)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

impl Ask {
    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// A POST of a document.
    pub fn post(path: impl Into<String>, media_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type", media_type.to_owned())];
        Self { method: Method::POST, path: path.into(), headers, body: body.into() }
    }

    /// With one header more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What was answered.
#[derive(Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Asserts a success and gives the document.
    #[track_caller]
    pub fn good(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    /// Asserts a problem document with this status and code, whole and in both languages, and gives it.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        let document = match serde_json::from_slice::<Value>(&self.body) {
            Ok(document) => document,
            Err(_) => panic!("expected {status} {code}, no document came: {self:?}"),
        };
        assert_eq!((self.status, document["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json; charset=utf-8"), "{code}");
        assert_eq!(document["type"], format!("urn:xinqiao:problem:{code}"));
        assert_eq!(document["status"], status);
        assert_eq!(document["trace"].as_str().map(str::len), Some(32), "{code}");
        both_languages(code, &document["title"], &document["title_zh"]);
        both_languages(code, &document["detail"], &document["detail_zh"]);
        for found in document["errors"].as_array().into_iter().flatten() {
            both_languages(code, &found["en"], &found["zh"]);
        }
        document
    }

    /// Asserts that an answer repeats none of these.
    #[track_caller]
    pub fn silent_about(&self, values: &[&str]) {
        let text = format!("{:?} {}", self.headers, String::from_utf8_lossy(&self.body));
        for value in values {
            assert!(!text.contains(value), "the answer repeats `{value}`: {text}");
        }
    }
}

/// Codes of `errors` that refuse, with the record each is about.
pub fn refusals(document: &Value) -> Vec<(Option<u64>, String)> {
    let all = document["errors"].as_array().into_iter().flatten();
    let refused = all.filter(|e| e["severity"] == "refuse");
    refused.map(|e| (e["record"].as_u64(), e["code"].as_str().unwrap_or_default().to_owned())).collect()
}

#[track_caller]
fn both_languages(code: &str, english: &Value, chinese: &Value) {
    let (english, chinese) = (english.as_str().unwrap_or_default(), chinese.as_str().unwrap_or_default());
    let words = english.split(' ').filter(|word| word.bytes().any(|b| b.is_ascii_lowercase())).count();
    assert!(words >= 2, "{code}: English: {english}");
    let ideograph = |c: char| ('\u{4E00}'..='\u{9FFF}').contains(&c);
    assert!(chinese.chars().filter(|c| ideograph(*c)).count() >= 2, "{code}: Chinese: {chinese}");
}

impl Peer {
    /// A peer with a certificate of its own, towards an exchange listener that `authority` vouches for.
    pub fn new(address: SocketAddr, identity: &Identity, authority: &Path) -> Self {
        let pem = std::fs::read(authority).expect("the authority's certificate is there");
        let anchors = TrustAnchors::for_servers("authority", &pem, UnixTime::now()).expect("it is good");
        let trust = Trust::new(anchors, Revocation::none()).expect("it is good");
        let mut config = (*tls::client_config(identity, &trust)).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { address, config: Arc::new(config), described: &EXCHANGE }
    }

    /// The same towards a listener that another document describes.
    #[must_use]
    pub fn described_by(self, document: &'static Document) -> Self {
        Self { described: document, ..self }
    }

    /// The same over HTTP/2.
    #[must_use]
    pub fn over_http2(&self) -> Self {
        let mut config = (*self.config).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// Asks and reads the whole answer; panics if none comes.
    pub async fn ask(&self, ask: Ask) -> Answer {
        let what = format!("{} {}", ask.method, ask.path);
        match self.try_ask(ask).await {
            Ok(answer) => answer,
            Err(error) => panic!("{what}: {error}"),
        }
    }

    /// Asks and reads the whole answer, or says what the connection died of.
    pub async fn try_ask(&self, ask: Ask) -> Result<Answer, String> {
        tokio::time::timeout(PATIENCE, self.exchange(ask))
            .await
            .map_err(|_| "no answer in time".to_owned())?
    }

    async fn exchange(&self, ask: Ask) -> Result<Answer, String> {
        let (method, path) = (ask.method.clone(), ask.path.clone());
        let answer = self.talk(ask).await?;
        // Beyond what hyper takes of headers it answers by itself, with nothing but the status.
        if path.starts_with("/v1/") && !(answer.status == 431 && answer.body.is_empty()) {
            let (status, headers, body) = (answer.status, &answer.headers, &answer.body);
            let held = self.described.check_answer(method.as_str(), &path, status, headers, body);
            held.unwrap_or_else(|why| panic!("{method} {path} is not as described: {why}"));
        }
        Ok(answer)
    }

    async fn talk(&self, ask: Ask) -> Result<Answer, String> {
        let stream = self.open().await.map_err(|error| error.to_string())?;
        if self.config.alpn_protocols == [b"h2"] {
            return talk_http2(stream, ask).await;
        }
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(ask.method).uri(&ask.path).header("host", "localhost");
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(ask.body)).map_err(|error| error.to_string())?;
        let sent = sender.send_request(request).await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => {
                // The reason stands on the connection: a TLS alert, for one.
                let ended = connection.await.map_err(|e| e.to_string())?;
                return Err(format!("{error:?} {ended:?}"));
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// A connection of raw bytes.
    pub async fn open(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = "localhost".try_into().expect("a name");
        TlsConnector::from(self.config.clone()).connect(name, stream).await
    }

    /// Writes these bytes, says that no more will come, and gives whatever is answered.
    pub async fn say(&self, bytes: &[u8]) -> String {
        let talk = async {
            let mut stream = self.open().await.expect("a connection");
            stream.write_all(bytes).await.expect("bytes can be sent");
            stream.shutdown().await.expect("an end can be said");
            let mut said = Vec::new();
            let _cut = stream.read_to_end(&mut said).await;
            String::from_utf8_lossy(&said).into_owned()
        };
        tokio::time::timeout(PATIENCE, talk).await.expect("an answer in time")
    }
}

async fn talk_http2(stream: TlsStream<TcpStream>, ask: Ask) -> Result<Answer, String> {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(ask.method).uri(format!("https://localhost{}", ask.path));
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(ask.body)).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| format!("{error:?}"))?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}
