//! Composition of a running node: configuration first, then everything that can fail, then the listeners, and at the
//! end a drain under a deadline.

mod doors;
mod health;

use crate::admin::Office;
use crate::governance::Governor;
use crate::standing::{Keeper, Refusal};
use doors::Doors;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use xinqiao_edge::{Limits, Rates};
use xinqiao_node::config::{self, Config, ConfigError};
use xinqiao_node::decisions::Overlay;
use xinqiao_node::engine::telemetry::Telemetry;
use xinqiao_node::engine::{Node, OpenNodeError, Opened};
use xinqiao_runtime::logging;
use xinqiao_runtime::metrics::Metrics;

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
                write!(
                    f,
                    "the {what} listener cannot be opened ({}); check `{what}.listen` and what else uses the address",
                    e.kind()
                )
            }
        }
    }
}
impl std::error::Error for ServeError {}

/// Runs a node until it is told to stop.
pub fn run(config: Config) -> Result<(), ServeError> {
    let metrics = Metrics::new();
    let format = match config.logging.format {
        xinqiao_node::config::LogFormat::Json => logging::Format::Json,
        xinqiao_node::config::LogFormat::Text => logging::Format::Text,
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
    let keeper =
        decided.and_then(|adopted| Keeper::resume(&node, &adopted.standing).map_err(ServeError::Standing));
    let outcome = keeper.and_then(|keeper| runtime.block_on(serve(node.clone(), keeper, metrics)));
    runtime.block_on(node.stop());
    drop(runtime);
    let _ = committer.join();
    outcome
}

async fn serve(node: Arc<Node>, keeper: Arc<Keeper>, metrics: Arc<Metrics>) -> Result<(), ServeError> {
    let governor = Governor::new(node.clone(), keeper.clone());
    if let Err(problem) = governor.settle().await {
        tracing::error!(%problem, "officers' decisions could not be brought up to date; tried again");
    }
    let readiness = health::readiness(&node, &keeper, &governor);
    health::gauges(&node, &keeper, &governor, &metrics);
    let limits = Arc::new(rates(&node.config.limits));
    let doors = Doors::open(&node, &keeper, &limits, readiness.clone(), &metrics).await?;
    let addresses = doors.addresses()?;

    let (stop, stopping) = tokio::sync::watch::channel(false);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(node.clone().maintain(stopping.clone()));
    tasks.spawn(keeper.clone().tend(node.clone(), stopping.clone()));
    tasks.spawn(governor.clone().follow(stopping.clone()));
    for upstream in node.config.upstreams.clone() {
        crate::links::relay::spawn(&mut tasks, &node, &keeper, upstream, &stopping);
    }
    for recipient in node.config.recipients.clone() {
        crate::links::push::spawn(&mut tasks, &node, &keeper, recipient, &stopping);
    }
    tasks.spawn(forget_old_rates(limits, stopping.clone()));

    let Doors { exchange, legacy, admin, local } = doors;
    tasks.spawn(local.serve(told(&stopping)));
    if let Some(admin) = admin {
        let office = Office::new(node.clone(), governor, keeper, readiness);
        admin.on_refused(office.on_refused());
        let handler = move |exchange| crate::admin::route(office.clone(), exchange);
        let told = told(&stopping);
        tasks.spawn(async move {
            admin.serve(handler, told).await;
        });
    }
    let handler = {
        let node = node.clone();
        move |exchange| crate::api::route(node.clone(), exchange)
    };
    if let Some(legacy) = legacy {
        let (handler, told) = (handler.clone(), told(&stopping));
        tasks.spawn(async move {
            legacy.serve(handler, told).await;
        });
    }
    let stopped = signalled();
    addresses.announce(&node);
    let drained = exchange.serve(handler, stopped).await;
    tracing::info!(aborted = drained.aborted, "drained");
    let _ = stop.send(true);
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Until everything is told to stop.
fn told(stopping: &watch::Receiver<bool>) -> impl Future<Output = ()> + Send + use<> {
    let mut stopping = stopping.clone();
    async move {
        let _ = stopping.changed().await;
    }
}

fn rates(limits: &config::Limits) -> Limits {
    let rate = |n: u32| std::num::NonZeroU32::new(n).unwrap_or(std::num::NonZeroU32::MIN);
    Limits::new(Rates {
        member_per_second: rate(limits.member_requests_per_second),
        member_burst: rate(limits.member_requests_per_second),
        node_per_second: rate(limits.node_requests_per_second),
        node_burst: rate(limits.node_requests_per_second),
    })
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
