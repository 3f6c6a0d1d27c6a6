//! Departments that send and recipients that pull without a pause, and keep count of what failed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use xinqiao_explain::Explain;

use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use xinqiao::demo::process::NodeProcess;
use xinqiao_certs::{Identity, Revocation, Trust, TrustAnchors, UnixTime, tls};
use xinqiao_client::{Client, KeySource, Profile, PullSettings, Puller, RetryPolicy};
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::receipt::Receipt;

use super::Outcome;
use super::estate::{Estate, sender};
use crate::site::{PATIENCE, PORTAL, PROVINCE, until};
use crate::traffic::{Request, document, is_due, lines};

/// Numbers between the first records of two requests.
const STRIDE: u64 = 64;
const DATASETS: [&str; 2] = ["administrative-penalty", "administrative-licence"];

/// Everyone at work.
pub struct Crew {
    senders: Vec<JoinHandle<Vec<Answered>>>,
    pullers: Vec<JoinHandle<Puller>>,
    shared: Arc<Shared>,
    pinned: PathBuf,
    pulled: PathBuf,
    /// Everyone's who goes through this project's client, by name.
    clients: Vec<(String, Client)>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// How often certificates were renewed.
    renewals: AtomicU64,
    numbers: AtomicU64,
    /// What each sender and puller has done so far.
    done: Vec<AtomicU64>,
    failed: std::sync::Mutex<Vec<String>>,
}

/// A request with its answer.
struct Answered {
    request: Request,
    receipt: Value,
}

/// How a sender keeps its connections.
enum Door {
    /// This project's client: HTTP/2, kept; reads its files again by itself.
    Client(Client),
    /// HTTP/1.1, a new connection for each request.
    Fresh(Profile),
    /// HTTP/1.1, kept for as long as the node keeps it and the own certificate is the same.
    Kept(Profile, Option<SendRequest<Full<bytes::Bytes>>>, u64),
}

impl Crew {
    /// Everyone starts.
    pub async fn hire(estate: &Estate, node: &NodeProcess, senders: usize) -> Self {
        let streams: Vec<(&str, String)> = [PROVINCE, PORTAL]
            .into_iter()
            .flat_map(|r| DATASETS.into_iter().map(move |d| (r, format!("{r}.{d}"))))
            .collect();
        let done = (0..senders + streams.len()).map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared { done, ..Shared::default() });
        let connect = |name: &str| {
            let client = Client::connect(&estate.profile(name, node.exchange)).expect("the files are there");
            client.with_retry(RetryPolicy::never())
        };
        let mut crew = Self {
            senders: Vec::new(),
            pullers: Vec::new(),
            shared: shared.clone(),
            pinned: estate.pinned(),
            pulled: estate.pulled.clone(),
            clients: Vec::new(),
        };
        for n in 0..senders {
            let profile = estate.profile(&sender(n), node.exchange);
            let door = match n % 4 {
                0 | 1 => {
                    let client = connect(&sender(n));
                    crew.clients.push((sender(n), client.clone()));
                    Door::Client(client)
                }
                2 => Door::Fresh(profile),
                _ => Door::Kept(profile, None, 0),
            };
            crew.senders.push(tokio::spawn(send(shared.clone(), n, door)));
        }
        for (n, (recipient, stream)) in streams.into_iter().enumerate() {
            let pinned = KeySource::File(estate.pinned());
            let settings = PullSettings::new(&stream, estate.pulled.clone(), pinned);
            let client = connect(recipient);
            crew.clients.push((recipient.to_owned(), client.clone()));
            let puller = Puller::open(client, settings).await.expect("a stream can be followed");
            crew.pullers.push(tokio::spawn(pull(shared.clone(), senders + n, puller)));
        }
        crew
    }

    /// Requests answered so far, and failures.
    pub fn so_far(&self) -> (u64, usize) {
        let answered =
            self.shared.done.iter().take(self.senders.len()).map(|n| n.load(Ordering::Relaxed)).sum();
        (answered, self.shared.failed.lock().expect("not poisoned").len())
    }

    /// Certificates or authorities changed. Clients would notice by themselves within a second; a test does not wait.
    pub fn take_new_files(&self, estate: &Estate) {
        for (name, client) in &self.clients {
            client.renew(estate.tls(name));
        }
        self.shared.renewals.fetch_add(1, Ordering::Release);
    }

    /// Waits until every sender has had an answer since now.
    pub async fn everyone_did_something_more(&self) {
        let counts = || self.shared.done.iter().take(self.senders.len()).map(|n| n.load(Ordering::Relaxed));
        let before: Vec<u64> = counts().collect();
        until("everyone was answered once more", async || {
            counts().zip(&before).all(|(now, then)| now > *then)
        })
        .await;
    }

    /// Everyone stops when all is delivered; what they hold is verified.
    pub async fn finish(self, outcome: &mut Outcome) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut answered = Vec::new();
        for task in self.senders {
            answered.extend(task.await.expect("a sender ends"));
        }
        for task in self.pullers {
            let puller = task.await.expect("a puller ends");
            outcome.batches += puller.chain().map_or(0, |c| c.next_seq() - 1);
        }
        outcome.failed = std::mem::take(&mut *self.shared.failed.lock().expect("not poisoned"));
        let published = self.clients[0].1.keys().await.expect("keys are published");
        let keys = Jwks::from_json(&published).expect("a key set");
        let first =
            Jwks::from_json(&std::fs::read(&self.pinned).expect("keys were pinned")).expect("a key set");
        assert!(
            first.keys().iter().all(|k| keys.find(k.kid()).is_some()),
            "the first keys are published still"
        );
        outcome.keys = keys.keys().len();
        outcome.answered = answered.len();
        for Answered { request, receipt } in &answered {
            outcome.records += request.count;
            let receipt = Receipt::from_json(receipt["receipt"].to_string().as_bytes()).expect("a receipt");
            receipt.verify_with_jwks(&keys).expect("a receipt verifies with the keys published at the end");
            outcome.receipts += 1;
        }
        for recipient in [PROVINCE, PORTAL] {
            let mut due: Vec<String> = answered
                .iter()
                .flat_map(|a| a.request.records())
                .filter(|r| is_due(r, recipient))
                .map(|r| document(&r).to_owned())
                .collect();
            let streams = DATASETS.map(|d| self.pulled.join(format!("{recipient}.{d}")));
            let held = streams.iter().flat_map(|dir| lines(dir, &keys));
            let mut held: Vec<String> = held.filter_map(|l| l.document).collect();
            due.sort();
            held.sort();
            assert_eq!(held.len(), due.len(), "{recipient} holds every record once");
            assert!(held == due, "{recipient} holds what was sent");
        }
    }
}

async fn send(shared: Arc<Shared>, n: usize, mut door: Door) -> Vec<Answered> {
    let mut answered = Vec::new();
    while !shared.stop.load(Ordering::Relaxed) {
        let first = shared.numbers.fetch_add(1, Ordering::Relaxed) * STRIDE;
        let request = Request { first, count: 1 + (first / STRIDE % 7) as usize, department: 0 };
        match tokio::time::timeout(PATIENCE, door.send(&request, shared.renewals.load(Ordering::Acquire)))
            .await
        {
            Ok(Ok(receipt)) => {
                shared.done[n].fetch_add(1, Ordering::Relaxed);
                answered.push(Answered { request, receipt });
            }
            Ok(Err(error)) => shared.fail(format!("{} {}: {error}", sender(n), door.kind())),
            Err(_) => shared.fail(format!("{} {}: no answer in time", sender(n), door.kind())),
        }
    }
    answered
}

async fn pull(shared: Arc<Shared>, n: usize, puller: Puller) -> Puller {
    let puller = Mutex::new(puller);
    let mut puller = puller.into_inner();
    loop {
        let stopping = shared.stop.load(Ordering::Relaxed);
        match puller.next(Duration::from_secs(1)).await {
            Ok(Some(_)) => {
                shared.done[n].fetch_add(1, Ordering::Relaxed);
                if let Err(error) = puller.acknowledge(|_, _| None).await {
                    shared.fail(format!("acknowledging: {}", error.english()));
                }
            }
            // Asked after the last sender was told to stop, and nothing came: but one more may be on its way.
            Ok(None) if stopping => return puller,
            Ok(None) => {}
            Err(error) => shared.fail(format!("pulling: {}", error.english())),
        }
    }
}

impl Shared {
    fn fail(&self, what: String) {
        self.failed.lock().expect("not poisoned").push(what);
    }
}

impl Door {
    fn kind(&self) -> &'static str {
        match self {
            Self::Client(_) => "over HTTP/2",
            Self::Fresh(_) => "on a new connection",
            Self::Kept(..) => "on a kept connection",
        }
    }

    async fn send(&mut self, request: &Request, renewals: u64) -> Result<Value, String> {
        let submission = request.submission();
        let connection = match self {
            Self::Client(client) => {
                let sent =
                    client.send(&submission).await.map_err(|e| format!("{}: {}", e.code(), e.english()))?;
                return serde_json::from_slice(&sent.raw).map_err(|e| e.to_string());
            }
            Self::Fresh(profile) => &mut Some(open(profile).await?),
            Self::Kept(profile, kept, since) => {
                if kept.as_ref().is_none_or(SendRequest::is_closed) || *since != renewals {
                    *kept = Some(open(profile).await?);
                    *since = renewals;
                }
                kept
            }
        };
        let sender = connection.as_mut().expect("it was just opened");
        let path = format!(
            "/v1/datasets/{}/records?schema={}",
            submission.dataset,
            submission.schema.expect("requests name their schema")
        );
        let ask = http::Request::post(path)
            .header("host", "localhost")
            .header("content-type", submission.media_type)
            .header("idempotency-key", request.key())
            .body(Full::new(submission.body.clone()))
            .map_err(|e| e.to_string())?;
        let response = sender.send_request(ask).await.map_err(|e| format!("{e:?}"))?;
        let last = response.headers().get("connection").is_some_and(|v| v == "close");
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
        if last && let Self::Kept(_, kept, _) = self {
            *kept = None;
        }
        match status.as_u16() {
            201 => serde_json::from_slice(&body).map_err(|e| e.to_string()),
            _ => Err(format!("{status}: {}", String::from_utf8_lossy(&body))),
        }
    }
}

/// A connection with what the profile's files say now.
async fn open(profile: &Profile) -> Result<SendRequest<Full<bytes::Bytes>>, String> {
    let now = UnixTime::now();
    let identity = Identity::from_files(&profile.certificate, &profile.key, now);
    let identity = identity.map_err(|e| format!("own files: {e}"))?;
    let pem = std::fs::read(&profile.authorities).map_err(|e| e.to_string())?;
    let anchors = TrustAnchors::for_servers("authorities", &pem, now).map_err(|e| e.to_string())?;
    let trust = Trust::new(anchors, Revocation::none()).map_err(|e| e.to_string())?;
    let mut config = (*tls::client_config(&identity, &trust)).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let address = profile.gateway.trim_start_matches("https://");
    let stream = TcpStream::connect(address).await.map_err(|e| format!("connecting: {e}"))?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let name = "localhost".try_into().expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = stream.map_err(|e| format!("shaking hands: {e}"))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}
