//! Composition of a running node: configuration first, then everything that can fail, then the listeners, and at the
//! end a drain under a deadline.
//!
//! There is one signal to stop. On it the listeners of members and officers take no connection any more and finish what
//! they have, side by side, so the whole takes `drain_ms` at most; `/readyz` says `stopping`. The local listener goes last: who asks
//! a node that is stopping is to hear so. Then background work ends, and at last the journal is closed.

mod doors;
mod health;

use crate::admin::OfficersApi;
use crate::governance::Governor;
use crate::trust::{SetRefused, TrustKeeper};
use doors::Doors;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use xinqiao_edge::{Drained, Limits, Rates};
use xinqiao_node::config::{self, Config, ConfigError};
use xinqiao_node::decisions::Overlay;
use xinqiao_node::engine::telemetry::Telemetry;
use xinqiao_node::engine::{Node, OpenNodeError, Opened};
use xinqiao_runtime::Drain;
use xinqiao_runtime::logging;
use xinqiao_runtime::metrics::Metrics;

/// Why a node did not start, or did not end well.
#[derive(Debug)]
pub enum ServeError {
    /// The configuration.
    Config(ConfigError),
    /// Certificates, anchors, revocation lists or members.
    TrustSet(SetRefused),
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
            Self::TrustSet(e) => write!(f, "{e}"),
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
    TrustKeeper::open(&config, &Overlay::default()).map_err(ServeError::TrustSet)?;
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
        decided.and_then(|adopted| TrustKeeper::resume(&node, &adopted.trust).map_err(ServeError::TrustSet));
    let outcome = keeper.and_then(|keeper| runtime.block_on(serve(node.clone(), keeper, metrics)));
    runtime.block_on(node.stop());
    drop(runtime);
    let _ = committer.join();
    outcome
}

async fn serve(node: Arc<Node>, keeper: Arc<TrustKeeper>, metrics: Arc<Metrics>) -> Result<(), ServeError> {
    let governor = Governor::new(node.clone(), keeper.clone());
    if let Err(problem) = governor.settle().await {
        tracing::error!(%problem, "officers' decisions could not be brought up to date; tried again");
    }
    let stop = Drain::new();
    let readiness = health::readiness(&node, &keeper, &governor, stop.clone());
    health::gauges(&node, &keeper, &governor, &metrics);
    let limits = Arc::new(rates(&node.config.limits));
    let doors = Doors::open(&node, &keeper, &limits, readiness.clone(), &metrics).await?;
    let addresses = doors.addresses()?;

    let (end, ending) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(node.clone().maintain(ending.clone()));
    tasks.spawn(keeper.clone().tend(node.clone(), ending.clone()));
    tasks.spawn(governor.clone().follow(ending.clone()));
    for upstream in node.config.upstreams.clone() {
        crate::links::relay::spawn(&mut tasks, &node, &keeper, upstream, &ending);
    }
    for recipient in node.config.recipients.clone() {
        crate::links::push::spawn(&mut tasks, &node, &keeper, recipient, &ending);
    }
    tasks.spawn(forget_old_rates(limits, ending));

    let Doors { exchange, legacy, admin, local } = doors;
    let drain = Duration::from_millis(node.config.limits.drain_ms);
    let (close_local, local_closing) = oneshot::channel::<()>();
    let local = tokio::spawn(local.serve(async move { _ = local_closing.await }, drain));
    let mut listeners = JoinSet::new();
    let handler = {
        let node = node.clone();
        move |exchange| crate::api::route(node.clone(), exchange)
    };
    for (name, edge) in [("exchange", Some(exchange)), ("exchange-tls12", legacy)] {
        let Some(edge) = edge else { continue };
        let (handler, stop) = (handler.clone(), stop.clone());
        listeners.spawn(async move { (name, edge.serve(handler, stop.wait()).await) });
    }
    if let Some(admin) = admin {
        let api = OfficersApi::new(node.clone(), governor, keeper, readiness);
        admin.on_refused(api.on_refused());
        let handler = move |exchange| crate::admin::route(api.clone(), exchange);
        let stop = stop.clone();
        listeners.spawn(async move { ("admin", admin.serve(handler, stop.wait()).await) });
    }
    let signalled = signalled();
    addresses.announce(&node);
    tokio::select! {
        () = signalled => stop.begin(),
        // None ends before it is told to; if one does, it failed, and its panic goes on below.
        Some(ended) = listeners.join_next() => drained(ended),
    }
    while let Some(ended) = listeners.join_next().await {
        drained(ended);
    }
    let _ = end.send(true);
    while tasks.join_next().await.is_some() {}
    let _ = close_local.send(());
    let _ = local.await;
    Ok(())
}

fn drained(listener: Result<(&'static str, Drained), JoinError>) {
    match listener {
        Ok((listener, Drained { aborted })) => tracing::info!(listener, aborted, "drained"),
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
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

async fn forget_old_rates(rates: Arc<Limits>, mut stop: watch::Receiver<bool>) {
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
