//! Recipients that cannot pull are served at their own endpoint: retried while it is busy, reported when it stays dead.

use crate::{licence, put_licences, take};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio_rustls::TlsAcceptor;
use xinqiao::demo::federation::{DOMAIN, Pki};
use xinqiao_certs::{AnchorRights, Identity, Revocation, Role, Trust, TrustAnchors, UnixTime, tls};
use xinqiao_evidence::manifest::SignedManifest;
use xinqiao_tests::city::{City, NDJSON, batches, keys_in, ndjson, penalty, put};
use xinqiao_tests::peer::Ask;
use xinqiao_tests::site::until;

/// A recipient's HTTPS endpoint, which asks for the node's certificate.
struct Endpoint {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Requests refused because it was busy, and still to be refused so.
    busy: u32,
    refused: u32,
    /// Batches still to be rejected as a whole.
    reject: u32,
    payloads: Vec<(String, Bytes)>,
    taken: Vec<Value>,
    /// Requests below `/dead`.
    dead: u32,
}

impl Endpoint {
    /// Starts one with the recipient's own certificate. `home` is where the node's keys will be.
    fn start(pki: &Pki, name: &str, home: PathBuf) -> Self {
        let file = |end: &str| pki.dir.join(format!("{name}.{end}"));
        let identity =
            Identity::from_files(&file("crt"), &file("key"), UnixTime::now()).expect("it was issued");
        let mut anchors = TrustAnchors::new();
        let rights = AnchorRights::new([DOMAIN], Role::ALL);
        anchors.add_file(&pki.dir.join("ca.crt"), rights, UnixTime::now()).expect("the authority is good");
        let trust = Trust::new(anchors, Revocation::none()).expect("the authority is good");
        let mut config = (*tls::server_config(&identity, &trust)).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        listener.set_nonblocking(true).expect("a setting");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Seen { busy: 2, reject: 1, ..Seen::default() }));
        let shared = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen, home) = (acceptor.clone(), shared.clone(), home.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(seen.clone(), home.clone(), request));
                    let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, seen }
    }
}

async fn answer(
    seen: Arc<Mutex<Seen>>,
    home: PathBuf,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (status, answer) = judge(&mut seen.lock().expect("no panic"), &home, &method, &path, body);
    let mut response = Response::new(Full::new(answer));
    *response.status_mut() = status;
    Ok(response)
}

fn judge(
    seen: &mut Seen,
    home: &std::path::Path,
    method: &Method,
    path: &str,
    body: Bytes,
) -> (StatusCode, Bytes) {
    if path.starts_with("/dead/") {
        seen.dead += 1;
        return (StatusCode::INTERNAL_SERVER_ERROR, Bytes::new());
    }
    if method != Method::PUT || !path.starts_with("/in/pushed.") {
        return (StatusCode::NOT_FOUND, Bytes::new());
    }
    if seen.busy > 0 {
        seen.busy -= 1;
        seen.refused += 1;
        return (StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
    }
    if let Some(batch) = path.strip_suffix("/payload") {
        seen.payloads.push((batch.to_owned(), body));
        return (StatusCode::NO_CONTENT, Bytes::new());
    }
    let Some(batch) = path.strip_suffix("/manifest") else { return (StatusCode::NOT_FOUND, Bytes::new()) };
    let document: Value = serde_json::from_slice(&body).expect("a document");
    let signed = SignedManifest::parse(document["manifest"].to_string().as_bytes()).expect("a JWS");
    let verified = signed.verify(&keys_in(home)).expect("the node's own signature");
    let manifest = verified.manifest();
    let payload = seen.payloads.iter().rev().find(|(name, _)| name == batch).expect("the payload came first");
    assert_eq!(xinqiao_evidence::Digest::of(&payload.1), manifest.payload.digest.sha256);
    assert!(batch.ends_with(&format!("{}/{}", manifest.stream, manifest.seq)), "{batch}");
    assert!(document["proof"].as_str().is_some_and(|proof| proof.starts_with("c2sp.org/tlog-proof@v1\n")));
    let outcome = if seen.reject > 0 { "rejected" } else { "accepted" };
    seen.reject = seen.reject.saturating_sub(1);
    let answer = json!({
        "epoch": manifest.epoch, "errors": [], "manifest_digest": {"sha-256": verified.digest().to_hex()},
        "node": manifest.node, "outcome": outcome, "seq": manifest.seq, "stream": manifest.stream,
        "time": "2026-11-21T08:00:00Z",
    });
    seen.taken.push(answer.clone());
    (StatusCode::OK, answer.to_string().into())
}

fn counted(metrics: &str, outcome: &str, recipient: &str) -> f64 {
    let name = format!("xinqiao_push_attempts_total{{recipient=\"{recipient}\",outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0.0)
}

#[tokio::test]
async fn batches_are_pushed_until_they_are_taken_or_given_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut endpoint = None;
    let city = City::start_in(dir.path(), 0, |pki| {
        for name in ["pushed", "dead"] {
            pki.issue(Role::Recipient, name).expect("certificates can be issued");
        }
        let at = endpoint.insert(Endpoint::start(pki, "pushed", dir.path().join("city"))).address;
        let recipient = |name: &str, path: &str, attempts: u32| {
            format!(
                "[[members]]\nname = \"{name}\"\nrole = \"recipient\"\n[[recipients]]\nmember = \"{name}\"\n\
                 policy = \"province-government\"\nencoding = \"gzip\"\n[recipients.datasets]\n\
                 administrative-licence = \"administrative-licence-2020\"\n\
                 administrative-penalty = \"administrative-penalty-2020\"\n[recipients.push]\n\
                 url = \"https://127.0.0.1:{}/{path}\"\nauthorities = \"{}\"\nattempts = {attempts}\nbackoff_ms = 5\n",
                at.port(),
                pki.dir.join("ca.crt").display()
            )
        };
        format!("{}\n{}", recipient("pushed", "in", 20), recipient("dead", "dead", 3))
    });
    let endpoint = endpoint.expect("it was started");
    let alpha = city.peer("alpha");
    let told = take(&alpha, put(NDJSON, ndjson(&[penalty(), penalty()])), 2).await;
    let id = told["submission"].as_str().expect("an id").to_owned();
    let stands = |recipient: &'static str| {
        let (alpha, id) = (alpha.clone(), id.clone());
        async move {
            let view = alpha.ask(Ask::get(format!("/v1/submissions/{id}"))).await.good(200);
            let streams = view["streams"].as_array().expect("a list");
            let one = streams.iter().find(|s| s["recipient"] == recipient).expect("the recipient");
            one["state"].as_str().unwrap_or_default().to_owned()
        }
    };
    // Busy twice, then rejected once: pushed again each time, and taken in the end.
    until("the batch is taken", || async { stands("pushed").await == "acknowledged" }).await;
    {
        let seen = endpoint.seen.lock().expect("no panic");
        assert_eq!(seen.refused, 2);
        let outcomes: Vec<&Value> = seen.taken.iter().map(|answer| &answer["outcome"]).collect();
        assert_eq!(outcomes, [&json!("rejected"), &json!("accepted")]);
    }
    // What comes later follows by itself.
    take(&alpha, put_licences(&[licence()]), 1).await;
    until("the next batch is taken", || async {
        endpoint
            .seen
            .lock()
            .expect("no panic")
            .taken
            .iter()
            .any(|a| a["stream"] == "pushed.administrative-licence")
    })
    .await;

    // An endpoint that stays dead is given up after its attempts; the batches wait, and can still be pulled.
    until("the dead letters are noted", || async {
        counted(&city.local("/metrics").await, "dead", "dead") >= 2.0
    })
    .await;
    assert!(endpoint.seen.lock().expect("no panic").dead >= 6);
    assert_ne!(stands("dead").await, "acknowledged");
    let pulled = batches(&city.peer("dead"), &city.keys(), "dead.administrative-penalty", 0).await;
    assert_eq!(pulled.iter().map(|batch| batch.lines.len()).sum::<usize>(), 2);
    let metrics = city.local("/metrics").await;
    assert!(
        counted(&metrics, "delivered", "pushed") >= 2.0 && counted(&metrics, "retry", "pushed") >= 2.0,
        "{metrics}"
    );
}
