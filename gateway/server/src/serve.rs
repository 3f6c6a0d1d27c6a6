//! Composition of a running node: configuration first, then everything that can fail, then the listeners, and at the
//! end a drain under a deadline.

use crate::admin::Office;
use crate::config::{Config, ConfigError};
use crate::edge::local::{Check, Local, Readiness, State};
use crate::edge::{Budget, Caps, Deadlines, Edge, EdgeConfig, Limits, Rates, TermsSource, listed};
use crate::engine::governance::Governor;
use crate::engine::telemetry::Telemetry;
use crate::engine::{Node, OpenNodeError, Opened};
use crate::logging;
use crate::metrics::{Metric, Metrics};
use crate::standing::{Keeper, Overlay, Refusal};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a node did not start, or did not end well.
#[derive(Debug)]
pub enum ServeError {
    /// The configuration.
    Config(ConfigError),
    /// Certificates, anchors, revocation lists or members.
    Standing(Refusal),
    /// The node itself.
    Node(OpenNodeError),
    /// A listener.
    Listen(&'static str, std::io::Error),
    /// The runtime or logging.
    Start(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(e) => write!(f, "{e}"),
            Self::Standing(e) => write!(f, "{e}"),
            Self::Start(e) => f.write_str(e),
            Self::Node(e) => write!(f, "{e}"),
            Self::Listen(what, e) => {
                write!(f, "the {what} listener cannot be opened ({}); is the address in use?", e.kind())
            }
        }
    }
}
impl std::error::Error for ServeError {}

/// What `serve` prints once it listens, one JSON object, for people and supervisors.
fn announce(
    exchange: std::net::SocketAddr,
    legacy: Option<std::net::SocketAddr>,
    admin: Option<std::net::SocketAddr>,
    local: std::net::SocketAddr,
    node: &Node,
) {
    let line = serde_json::json!({
        "event": "serving", "node": node.name.as_str(), "epoch": node.epoch(),
        "exchange": exchange.to_string(), "local": local.to_string(), "admin": admin.map(|a| a.to_string()),
        "legacy": legacy.map(|a| a.to_string()),
    });
    #[allow(clippy::print_stdout, reason = "the one line a supervisor waits for")]
    {
        println!("{line}");
    }
}

/// Runs a node until it is told to stop.
pub fn run(config: Config) -> Result<(), ServeError> {
    let metrics = Metrics::new();
    let format = match config.logging.format {
        crate::config::LogFormat::Json => logging::Format::Json,
        crate::config::LogFormat::Text => logging::Format::Text,
    };
    let _log = logging::init(format, &config.logging.level, std::io::stderr(), &metrics).map_err(|_| {
        ServeError::Start("`logging.level` is not a filter; use error, warn, info or debug".into())
    })?;
    // Judged before the data is touched; officers' decisions are laid over it when they can be read.
    Keeper::open(&config, &Overlay::default()).map_err(ServeError::Standing)?;
    let Opened { node, committer } =
        Node::open(config, Telemetry(metrics.clone())).map_err(ServeError::Node)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| ServeError::Start(format!("no runtime ({})", e.kind())))?;
    let decided = node.adopted().ok_or_else(|| {
        ServeError::Start("officers' decisions cannot be read from the journal; restore a backup".into())
    });
    let keeper = decided
        .and_then(|adopted| Keeper::open(&node.config, &adopted.standing).map_err(ServeError::Standing));
    let outcome = keeper.and_then(|keeper| runtime.block_on(serve(node.clone(), keeper, metrics)));
    runtime.block_on(node.stop());
    drop(runtime);
    let _ = committer.join();
    outcome
}

async fn serve(node: Arc<Node>, keeper: Arc<Keeper>, metrics: Arc<Metrics>) -> Result<(), ServeError> {
    let limits = &node.config.limits;
    let budget = Budget::new(
        limits.memory_bytes as usize,
        (limits.memory_bytes / 100 * u64::from(limits.member_memory_percent)) as usize,
    );
    budget.expose(&metrics);
    let rates = Arc::new(Limits::new(Rates {
        member_per_second: rate(limits.member_requests_per_second),
        member_burst: rate(limits.member_requests_per_second),
        node_per_second: rate(limits.node_requests_per_second),
        node_burst: rate(limits.node_requests_per_second),
    }));
    let governor = Governor::new(node.clone(), keeper.clone());
    if let Err(problem) = governor.settle().await {
        tracing::error!(%problem, "officers' decisions could not be brought up to date; tried again");
    }
    let admin = match &node.config.admin {
        None => None,
        Some(admin) => {
            let terms = crate::admin::session::terms(keeper.terms());
            let common = edge_config(&node, terms, budget.clone(), rates.clone());
            let idle = node.config.officers.idle_seconds;
            let config = EdgeConfig {
                name: "admin",
                listen: admin.listen,
                front_proxy: false,
                deadlines: crate::admin::session::deadlines(idle, common.deadlines),
                ..common
            };
            Some(Edge::bind(config, metrics.clone()).await.map_err(|e| ServeError::Listen("admin", e))?)
        }
    };
    let edge = Edge::bind(edge_config(&node, keeper.terms(), budget.clone(), rates.clone()), metrics.clone());
    let edge = edge.await.map_err(|e| ServeError::Listen("exchange", e))?;
    let legacy = match &node.config.legacy {
        None => None,
        Some(legacy) => {
            let terms = listed(keeper.legacy_terms(), legacy.members.iter().cloned());
            let config = EdgeConfig {
                name: "exchange-tls12",
                listen: legacy.listen,
                front_proxy: false,
                ..edge_config(&node, terms, budget, rates.clone())
            };
            Some(Edge::bind(config, metrics.clone()).await.map_err(|e| ServeError::Listen("legacy", e))?)
        }
    };
    for edge in [Some(&edge), admin.as_ref(), legacy.as_ref()].into_iter().flatten() {
        keeper.follow(edge.control());
    }
    let readiness: Readiness = {
        let (node, governor) = (node.clone(), governor.clone());
        let keeper = keeper.clone();
        Arc::new(move || {
            let mut checks = readiness(&node, &keeper);
            checks.extend(governor.checks());
            checks
        })
    };
    gauges(&node, &metrics);
    keeper.expose(&metrics);
    let waiting = Arc::downgrade(&governor);
    metrics.on_scrape(move |m| {
        if let Some(governor) = waiting.upgrade() {
            m.set(Metric::ProposalsOpen, &[], governor.waiting().len() as f64);
        }
    });
    let local = Local::bind(node.config.local.listen, readiness.clone(), metrics.clone());
    let local = local.await.map_err(|e| ServeError::Listen("local", e))?;
    let exchange_address = edge.local_addr().map_err(|e| ServeError::Listen("exchange", e))?;
    let local_address = local.local_addr().map_err(|e| ServeError::Listen("local", e))?;

    let (stop, stopping) = tokio::sync::watch::channel(false);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(node.clone().maintain(stopping.clone()));
    tasks.spawn(keeper.clone().tend(node.clone(), stopping.clone()));
    for upstream in node.config.upstreams.clone() {
        crate::engine::relay::spawn(&mut tasks, &node, &keeper, upstream, &stopping);
    }
    for recipient in node.config.recipients.clone() {
        crate::engine::push::spawn(&mut tasks, &node, &keeper, recipient, &stopping);
    }
    tasks.spawn(governor.clone().follow(stopping.clone()));
    tasks.spawn(forget_old_rates(rates, stopping.clone()));
    let mut local_stop = stopping.clone();
    tasks.spawn(local.serve(async move {
        let _ = local_stop.changed().await;
    }));

    let admin_address = admin.as_ref().and_then(|a| a.local_addr().ok());
    if let Some(admin) = admin {
        let office = Office::new(node.clone(), governor.clone(), keeper.clone(), readiness);
        admin.on_refused(office.on_refused());
        let mut stop = stopping.clone();
        let handler = move |exchange| crate::admin::route(office.clone(), exchange);
        tasks.spawn(async move {
            let _ = admin
                .serve(handler, async move {
                    let _ = stop.changed().await;
                })
                .await;
        });
    }
    let legacy_address = legacy.as_ref().and_then(|l| l.local_addr().ok());
    if let Some(legacy) = legacy {
        let (node, mut stop) = (node.clone(), stopping.clone());
        let handler = move |exchange| crate::api::route(node.clone(), exchange);
        tasks.spawn(async move {
            let _ = legacy
                .serve(handler, async move {
                    let _ = stop.changed().await;
                })
                .await;
        });
    }
    let stopped = signalled();
    announce(exchange_address, legacy_address, admin_address, local_address, &node);
    let handler = {
        let node = node.clone();
        move |exchange| crate::api::route(node.clone(), exchange)
    };
    let drained = edge.serve(handler, stopped).await;
    tracing::info!(aborted = drained.aborted, "drained");
    let _ = stop.send(true);
    while tasks.join_next().await.is_some() {}
    Ok(())
}

fn rate(n: u32) -> std::num::NonZeroU32 {
    std::num::NonZeroU32::new(n).unwrap_or(std::num::NonZeroU32::MIN)
}

fn edge_config(node: &Node, terms: TermsSource, budget: Budget, limits: Arc<Limits>) -> EdgeConfig {
    let l = &node.config.limits;
    EdgeConfig {
        name: "exchange",
        listen: node.config.exchange.listen,
        terms,
        caps: Caps {
            connections: l.connections,
            per_address: l.connections_per_address,
            per_member: l.connections_per_member,
            ..Caps::default()
        },
        deadlines: Deadlines {
            handshake: Duration::from_millis(l.handshake_ms),
            header: Duration::from_millis(l.header_ms),
            body_total: Duration::from_millis(l.body_ms),
            idle: Duration::from_millis(l.idle_ms),
            drain: Duration::from_millis(l.drain_ms),
            ..Deadlines::default()
        },
        budget,
        limits,
        front_proxy: node.config.exchange.front_proxy,
    }
}

async fn forget_old_rates(rates: Arc<Limits>, mut stop: tokio::sync::watch::Receiver<bool>) {
    let mut timer = tokio::time::interval(Duration::from_secs(60));
    loop {
        tokio::select! {
            _ = timer.tick() => rates.retain_recent(),
            _ = stop.changed() => return,
        }
    }
}

/// Listens for the word to stop from the moment it is called, not only once it is waited for.
fn signalled() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut term), Ok(mut interrupt)) = signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop; finishing what is in flight");
    }
}

/// How the parts of the node are, for `/readyz`.
fn readiness(node: &Node, keeper: &Keeper) -> Vec<Check> {
    let trouble = node.trouble();
    let mut checks = Vec::new();
    let mut failing = |name, state, advice: &str, advice_zh: &str| {
        checks.push(Check { name, state, advice: advice.into(), advice_zh: advice_zh.into() });
    };
    if let Some(why) = trouble.append {
        let (en, zh) = match why {
            crate::engine::CommitError::DiskFull => (
                "The disk is full: nothing new is taken. Free space; the node goes on by itself.",
                "磁盘已满，暂停接收新数据。请释放空间，节点会自动恢复。",
            ),
            _ => (
                "The last write failed: check the disk of the data directory; the node goes on by itself.",
                "最近一次写入失败，请检查数据目录所在磁盘，节点会自动恢复。",
            ),
        };
        failing("journal", State::Failing, en, zh);
    }
    if node.secrets.token_trouble().is_some() {
        failing(
            "token",
            State::Failing,
            "The PKCS#11 token that holds the node's keys does not answer: nothing can be signed. Plug it in or start its service; the node goes on by itself.",
            "存放节点密钥的 PKCS#11 令牌没有响应，无法签名。请接入令牌或启动其服务，节点会自动恢复。",
        );
    }
    for code in &trouble.failed {
        failing(
            code,
            State::Failing,
            "Found while running; see the log for the place, and the runbook for this code.",
            "运行中发现故障，位置见日志，处理办法见运维手册中该代码的条目。",
        );
    }
    if let Some(reason) = &trouble.rebuilt {
        let en = format!("The queue was rebuilt from the journal at this start ({reason}). Nothing is lost.");
        failing("queue", State::Degraded, &en, "本次启动时队列已由日志重建，数据未丢失。");
    }
    if !trouble.ahead.is_empty() {
        failing(
            "epoch",
            State::Degraded,
            "A recipient asks for batches this node does not know: was an older copy put back? Restore the newest backup with `xinqiao restore`, so that a new epoch begins.",
            "有接收方请求了本节点未知的批次：是否恢复了旧数据？请用 xinqiao restore 恢复最新备份，以开启新的纪元。",
        );
    }
    if node.clock.behind() > 0 {
        failing(
            "clock",
            State::Degraded,
            "The clock was set back; stamps stand still until it catches up. Check time synchronisation.",
            "系统时钟被回拨，时间戳将停留直至追平。请检查时间同步。",
        );
    }
    checks.extend(keeper.checks());
    if checks.is_empty() {
        checks.push(Check::ok("node"));
    }
    checks
}

fn gauges(node: &Arc<Node>, metrics: &Arc<Metrics>) {
    let node = Arc::downgrade(node);
    metrics.set(Metric::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1.0);
    metrics.on_scrape(move |m| {
        let Some(node) = node.upgrade() else { return };
        let heads = node.heads();
        for (stream, head) in &heads {
            m.set(Metric::QueuePendingRecords, &[stream.as_str()], head.pending_records as f64);
        }
        m.set(Metric::StreamsHeld, &[], heads.iter().filter(|(_, h)| h.held).count() as f64);
        m.set(Metric::ClockHealthy, &[], if node.clock.behind() == 0 { 1.0 } else { 0.0 });
        let segments = node.segments();
        m.set(Metric::JournalBytes, &[], segments.iter().map(|s| s.bytes as f64).sum());
        m.set(Metric::JournalSegments, &[], segments.len() as f64);
    });
}
