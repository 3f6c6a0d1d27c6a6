//! What the edge costs: keep-alive POSTs of 1 KiB over mutual TLS, through the edge and through bare
//! hyper + tokio-rustls with the same TLS settings, in turns within one run. The load comes from a child process.
//!
//! `cargo run --release -p xinqiao --example edge_cost [-- ROUNDS [--log]]`; `--log` writes the access log to a sink.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool for developers")]

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use xinqiao_certs::pki::{Authority, Request as CertificateRequest, Validity};
use xinqiao_certs::{
    AnchorRights, Identity, Member, Registry, Revocation, Role, Trust, TrustAnchors, UnixTime, tls,
};
use xinqiao_edge::{BodyCaps, Caps, Deadlines, Edge, EdgeConfig, Exchange, Limits, Rates, Reply, TlsPolicy};
use xinqiao_runtime::Budget;
use xinqiao_runtime::metrics::Metrics;

const CONNECTIONS: usize = 32;
const ROUND: Duration = Duration::from_secs(1);
const DOMAIN: &str = "bench.example";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "client") {
        return client(arguments[1].parse().unwrap());
    }
    let rounds = arguments.first().and_then(|n| n.parse().ok()).unwrap_or(15);
    let metrics = Metrics::new();
    let logging = arguments.iter().any(|argument| argument == "--log");
    let _log = logging.then(|| {
        xinqiao_runtime::logging::init(
            xinqiao_runtime::logging::Format::Json,
            "info",
            std::io::sink(),
            &metrics,
        )
        .unwrap()
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let pki = Pki::new();
    let (bare, edge) = runtime.block_on(start(&pki, metrics));
    let mut results = [vec![], vec![]];
    for round in 0..=rounds {
        for (result, address) in results.iter_mut().zip([bare, edge]) {
            let measured = measure(&pki, address);
            // The first round warms up.
            if round > 0 {
                result.push(measured);
            }
        }
    }
    let of =
        |server: usize, field: fn(&(f64, f64)) -> f64| results[server].iter().map(field).collect::<Vec<_>>();
    // Other work on the machine slows one round and not the next: neighbours are compared, then the median taken.
    let ratio = |field: fn(&(f64, f64)) -> f64| {
        median(of(1, field).iter().zip(of(0, field)).map(|(edge, bare)| edge / bare).collect())
    };
    println!(
        "server   requests/s   server CPU µs per request   (medians of {rounds} rounds, access log {logging})"
    );
    for (name, server) in [("bare", 0), ("edge", 1)] {
        println!("{name}     {:10.0}   {:25.2}", median(of(server, |m| m.0)), median(of(server, |m| m.1)));
    }
    println!("ratio    {:10.3}   {:25.3}", ratio(|m| m.0), ratio(|m| m.1));
}

/// Requests per second and microseconds of this process per request.
fn measure(pki: &Pki, address: SocketAddr) -> (f64, f64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["client", &address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (before, began) = (cpu_time(), Instant::now());
    let secrets = serde_json::to_vec(&pki.client).unwrap();
    child.stdin.take().unwrap().write_all(&secrets).unwrap();
    let output = child.wait_with_output().unwrap();
    let (cpu, elapsed) = (cpu_time() - before, began.elapsed());
    let requests: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    (requests / elapsed.as_secs_f64(), cpu.as_secs_f64() * 1e6 / requests)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// User and system time of this process; the clock ticks a hundred times a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

struct Pki {
    server: Arc<ServerConfig>,
    trust: Arc<Trust>,
    /// Chain, key and root: what the child needs.
    client: [String; 3],
}

impl Pki {
    fn new() -> Self {
        let validity = Validity::days(SystemTime::now(), 2);
        let root = Authority::create_root("Bench Root", &[DOMAIN], validity).unwrap();
        let mut request = CertificateRequest::new(Role::Node, DOMAIN, "node", validity);
        request.dns.push("localhost".into());
        let server = root.issue(&request).unwrap();
        let client =
            root.issue(&CertificateRequest::new(Role::Department, DOMAIN, "dept", validity)).unwrap();
        let trust = trust(&root.root_pem());
        let identity = identity(server.chain_pem(), server.key_pem());
        Self {
            server: tls::server_config(&identity, &trust),
            trust,
            client: [client.chain_pem().into(), client.key_pem().into(), root.root_pem()],
        }
    }
}

fn trust(root: &str) -> Arc<Trust> {
    let mut anchors = TrustAnchors::new();
    anchors
        .add_pem("root", root.as_bytes(), AnchorRights::new([DOMAIN], Role::ALL), UnixTime::now())
        .unwrap();
    Trust::new(anchors, Revocation::none()).unwrap()
}

fn identity(chain: &str, key: &str) -> Identity {
    Identity::from_pem(chain.as_bytes(), key.as_bytes(), UnixTime::now()).unwrap()
}

async fn start(pki: &Pki, metrics: Arc<Metrics>) -> (SocketAddr, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bare = listener.local_addr().unwrap();
    tokio::spawn(bare_server(listener, pki.server.clone()));

    let members = vec![Member::new(DOMAIN, Role::Department, "dept")];
    let registry = Registry::new(members, pki.trust.clone()).unwrap();
    let policy = TlsPolicy {
        tls: pki.server.clone(),
        identify: Arc::new(move |chain| {
            registry.identify(chain, UnixTime::now()).map_err(|error| xinqiao_edge::refusal_of(&error))
        }),
    };
    let plenty = |n| std::num::NonZeroU32::new(n).unwrap();
    let rates = Rates {
        member_per_second: plenty(10_000_000),
        member_burst: plenty(10_000_000),
        node_per_second: plenty(10_000_000),
        node_burst: plenty(10_000_000),
    };
    let config = EdgeConfig {
        name: "exchange",
        listen: ([127, 0, 0, 1], 0).into(),
        tls_policy: Arc::new(move || policy.clone()),
        caps: Caps::default(),
        deadlines: Deadlines::default(),
        budget: Budget::new(64 << 20, 32 << 20),
        limits: Arc::new(Limits::new(rates)),
        front_proxy: false,
    };
    let edge = Edge::bind(config, metrics).await.unwrap();
    let address = edge.local_addr().unwrap();
    tokio::spawn(edge.serve(edge_handler, std::future::pending()));
    (bare, address)
}

async fn edge_handler(exchange: Exchange) -> Reply {
    match exchange.body.read(BodyCaps::of(1 << 20)).await {
        Ok(body) => Reply::bytes("/v1/records", StatusCode::OK, "text/plain", body.bytes.len().to_string()),
        Err(problem) => Reply::problem("/v1/records", problem),
    }
}

async fn bare_server(listener: TcpListener, tls: Arc<ServerConfig>) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let stream = acceptor.accept(tcp).await.unwrap();
            let service = hyper::service::service_fn(bare_handler);
            let http = hyper::server::conn::http1::Builder::new();
            let _ended = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn bare_handler(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let response = Response::builder().header("content-type", "text/plain");
    Ok(response.body(Full::from(body.len().to_string())).unwrap())
}

/// The child: one request at a time on each connection, as fast as they are answered.
fn client(address: SocketAddr) {
    let [chain, key, root]: [String; 3] = serde_json::from_reader(std::io::stdin()).unwrap();
    let mut config: ClientConfig = (*tls::client_config(&identity(&chain, &key), &trust(&root))).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let requests = runtime.block_on(async {
        let until = Instant::now() + ROUND;
        let work: Vec<_> =
            (0..CONNECTIONS).map(|_| tokio::spawn(post_until(connector.clone(), address, until))).collect();
        let mut requests = 0;
        for task in work {
            requests += task.await.unwrap();
        }
        requests
    });
    println!("{requests}");
}

async fn post_until(connector: TlsConnector, address: SocketAddr, until: Instant) -> u64 {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let mut stream = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    let head = "POST /v1/records HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1024\r\n\r\n";
    let request = [head.as_bytes(), &[b'r'; 1024]].concat();
    let mut response = [0; 4096];
    let mut requests = 0;
    while Instant::now() < until {
        stream.write_all(&request).await.unwrap();
        let mut filled = 0;
        while !response[..filled].ends_with(b"\r\n\r\n1024") {
            let count = stream.read(&mut response[filled..]).await.unwrap();
            assert!(count > 0, "the server closed");
            filled += count;
        }
        assert!(response.starts_with(b"HTTP/1.1 200"));
        requests += 1;
    }
    requests
}
