//! A node's edge on loopback with a PKI of its own, and a handler that tells what it got.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};

use http::StatusCode;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::rustls::ClientConfig;
use xinqiao_certs::pki::{Authority, Request, Validity};
use xinqiao_certs::{
    AnchorRights, Identity, Member, Registry, Revocation, Role, Trust, TrustAnchors, UnixTime,
};
use xinqiao_edge::{
    BodyCaps, Caps, Deadlines, Drained, Edge, EdgeConfig, EdgeControl, Exchange, Limits, Rates, Reply,
    ReplyBody, TlsPolicy, TlsPolicySource, refusal_of,
};
use xinqiao_runtime::Budget;
use xinqiao_runtime::metrics::Metrics;
use xinqiao_runtime::refusal::RefusalCode;

pub(crate) const DOMAIN: &str = "xm.example";
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An authority and what follows from trusting it.
pub(crate) struct Pki {
    root: Authority,
    pub(crate) trust: Arc<Trust>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let root = Authority::create_root("Test Root", &[DOMAIN], validity()).unwrap();
        let mut anchors = TrustAnchors::new();
        anchors
            .add_pem(
                "root",
                root.root_pem().as_bytes(),
                AnchorRights::new([DOMAIN], Role::ALL),
                UnixTime::now(),
            )
            .unwrap();
        Self { trust: Trust::new(anchors, Revocation::none()).unwrap(), root }
    }

    pub(crate) fn identity(&self, role: Role, name: &str) -> Identity {
        self.identity_for(role, name, validity())
    }

    /// A department whose certificate is about to end.
    pub(crate) fn short_lived(&self, name: &str, life: Duration) -> Identity {
        let start = SystemTime::now() - Duration::from_secs(60);
        self.identity_for(Role::Department, name, Validity::from(start, Duration::from_secs(60) + life))
    }

    fn identity_for(&self, role: Role, name: &str, validity: Validity) -> Identity {
        let mut request = Request::new(role, DOMAIN, name, validity);
        if role == Role::Node {
            request.dns.push("localhost".into());
        }
        let issued = self.root.issue(&request).unwrap();
        Identity::from_pem(issued.chain_pem().as_bytes(), issued.key_pem().as_bytes(), UnixTime::now())
            .unwrap()
    }

    /// A department of an authority that the root vouches for, whose chain holds the authority too.
    pub(crate) fn identity_of_branch(&self, name: &str) -> Identity {
        let branch = self.root.issue_intermediate("Test Branch", validity()).unwrap();
        let issued = branch.issue(&Request::new(Role::Department, DOMAIN, name, validity())).unwrap();
        Identity::from_pem(issued.chain_pem().as_bytes(), issued.key_pem().as_bytes(), UnixTime::now())
            .unwrap()
    }

    /// What a node that knows these members holds its peers to.
    pub(crate) fn tls_policy(&self, members: Vec<Member>) -> TlsPolicy {
        let registry = Registry::new(members, self.trust.clone()).unwrap();
        TlsPolicy {
            tls: xinqiao_certs::tls::server_config(&self.identity(Role::Node, "node"), &self.trust),
            identify: Arc::new(move |chain| {
                registry.identify(chain, UnixTime::now()).map_err(|error| refusal_of(&error))
            }),
        }
    }

    /// TLS settings of the department `name`, for one application protocol.
    pub(crate) fn client(&self, name: &str, alpn: &[u8]) -> Arc<ClientConfig> {
        self.client_as(Role::Department, name, alpn)
    }

    /// The same for a member of another role.
    pub(crate) fn client_as(&self, role: Role, name: &str, alpn: &[u8]) -> Arc<ClientConfig> {
        let config = xinqiao_certs::tls::client_config(&self.identity(role, name), &self.trust);
        let mut config = (*config).clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }
}

fn validity() -> Validity {
    Validity::days(SystemTime::now(), 30)
}

/// The members every site knows: two departments, one that is suspended, a front proxy and an officer.
pub(crate) fn members() -> Vec<Member> {
    let mut suspended = Member::new(DOMAIN, Role::Department, "suspended");
    suspended.suspended = true;
    vec![
        Member::new(DOMAIN, Role::Department, "dept-a"),
        Member::new(DOMAIN, Role::Department, "dept-b"),
        suspended,
        Member::new(DOMAIN, Role::FrontProxy, "front"),
        Member::new(DOMAIN, Role::Auditor, "auditor"),
    ]
}

/// What a test may change.
pub(crate) struct Plan {
    pub(crate) caps: Caps,
    pub(crate) deadlines: Deadlines,
    pub(crate) rates: Rates,
    pub(crate) budget: Budget,
    pub(crate) body: BodyCaps,
    pub(crate) front_proxy: bool,
    /// The listener for old systems, for these members.
    pub(crate) legacy: Option<&'static [&'static str]>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            caps: Caps::default(),
            deadlines: Deadlines { drain: Duration::from_secs(10), ..Deadlines::default() },
            rates: Rates::default(),
            budget: Budget::new(64 << 20, 32 << 20),
            body: BodyCaps::of(4 << 20),
            front_proxy: false,
            legacy: None,
        }
    }
}

/// A serving edge.
pub(crate) struct Site {
    pub(crate) pki: Pki,
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) budget: Budget,
    pub(crate) control: EdgeControl,
    pub(crate) tls_policy: Arc<RwLock<TlsPolicy>>,
    pub(crate) seen: Arc<Seen>,
    drain: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Drained>,
}

/// What reached the handler, and the gate `/gate` waits at.
pub(crate) struct Seen {
    pub(crate) requests: AtomicUsize,
    pub(crate) waiting: AtomicUsize,
    pub(crate) bodies: Mutex<Vec<Vec<u8>>>,
    pub(crate) gate: Semaphore,
}

impl Site {
    pub(crate) async fn start(plan: Plan) -> Self {
        let pki = Pki::new();
        let metrics = Metrics::new();
        let mut first = pki.tls_policy(members());
        if plan.legacy.is_some() {
            let node = pki.identity(Role::Node, "node");
            first.tls = xinqiao_certs::tls::legacy_server_config(&node, &pki.trust);
        }
        let tls_policy = Arc::new(RwLock::new(first));
        let mut source: TlsPolicySource = Arc::new({
            let tls_policy = tls_policy.clone();
            move || tls_policy.read().clone()
        });
        if let Some(members) = plan.legacy {
            source = xinqiao_edge::listed(source, members.iter().map(ToString::to_string));
        }
        let budget = plan.budget.clone();
        budget.expose(&metrics);
        let config = EdgeConfig {
            name: "exchange",
            listen: ([127, 0, 0, 1], 0).into(),
            tls_policy: source,
            caps: plan.caps,
            deadlines: plan.deadlines,
            budget: plan.budget,
            limits: Arc::new(Limits::new(plan.rates)),
            front_proxy: plan.front_proxy,
        };
        let edge = Edge::bind(config, metrics.clone()).await.unwrap();
        let (address, control) = (edge.local_addr().unwrap(), edge.control());
        let seen = Arc::new(Seen {
            requests: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            bodies: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let (drain, drained) = oneshot::channel::<()>();
        let handler = {
            let (seen, caps) = (seen.clone(), plan.body);
            move |exchange| handle(seen.clone(), caps, exchange)
        };
        let serving = tokio::spawn(edge.serve(handler, async move {
            let _either_way = drained.await;
        }));
        Self { pki, address, metrics, budget, control, tls_policy, seen, drain: Some(drain), serving }
    }

    /// Begins the drain; the result comes from [`Site::ended`].
    pub(crate) fn drain(&mut self) {
        self.drain.take().expect("drained once").send(()).unwrap();
    }

    pub(crate) async fn ended(self) -> Drained {
        within(self.serving).await.unwrap()
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.requests.load(SeqCst)
    }

    /// Waits until the exposition has this line.
    pub(crate) async fn metric(&self, line: &str) {
        until(line, || self.metrics.render().lines().any(|l| l == line)).await;
    }
}

async fn handle(seen: Arc<Seen>, caps: BodyCaps, exchange: Exchange) -> Reply {
    seen.requests.fetch_add(1, SeqCst);
    match exchange.parts.uri.path() {
        "/gate" => {
            seen.waiting.fetch_add(1, SeqCst);
            seen.gate.acquire().await.unwrap().forget();
        }
        "/poll" => {
            seen.waiting.fetch_add(1, SeqCst);
            exchange.drain.wait().await;
            return text("polled until the drain".into());
        }
        "/panic" => panic!("asked for"),
        "/refused" => return Reply::problem("/refused", RefusalCode::NotFound),
        "/unchanged" => {
            let mut response = http::Response::new(ReplyBody::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Reply::new("/unchanged", response);
        }
        "/ignore" => return text("not read".into()),
        "/large" => {
            let body = bytes::Bytes::from(vec![b'x'; 16 << 20]);
            let permit = exchange.account.take(body.len()).unwrap();
            return Reply::new("/large", http::Response::new(ReplyBody::from(body).holding(permit)));
        }
        "/stream" => {
            let (sender, body) = ReplyBody::streamed(None);
            tokio::spawn(async move {
                for _ in 0..3 {
                    sender.send(bytes::Bytes::from(vec![b's'; 100_000])).await?;
                }
                sender.finish().await
            });
            return Reply::new("/stream", http::Response::new(body));
        }
        "/drip" => {
            let (sender, body) = ReplyBody::streamed(Some(1_000));
            tokio::spawn(async move {
                sender.send(bytes::Bytes::from_static(b"first")).await?;
                seen.gate.acquire().await.unwrap().forget();
                sender.send(bytes::Bytes::from(vec![b'x'; 995])).await?;
                sender.finish().await
            });
            return Reply::new("/drip", http::Response::new(body));
        }
        "/cut" => {
            let (sender, body) = ReplyBody::streamed(None);
            tokio::spawn(async move { sender.send(bytes::Bytes::from_static(b"begun")).await });
            return Reply::new("/cut", http::Response::new(body));
        }
        _ => {}
    }
    match exchange.body.read(caps).await {
        Ok(body) => {
            let reply = format!("{} sent {} bytes", exchange.member.name(), body.bytes.len());
            seen.bodies.lock().push(body.bytes.to_vec());
            text(reply)
        }
        Err(problem) => Reply::problem("/echo", problem),
    }
}

fn text(text: String) -> Reply {
    Reply::bytes("/echo", StatusCode::OK, "text/plain", text)
}

/// The result, or a failure after long patience.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("took longer than patience")
}

/// Looks again until it holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(1));
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never came: {what}");
        pause.tick().await;
    }
}
