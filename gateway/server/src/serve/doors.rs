//! The listeners of a node, bound before anything is served: the exchange, its elder sister for TLS 1.2, the officers',
//! and the local one.

use super::ServeError;
use crate::trust::TrustKeeper;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use xinqiao_edge::local::{Local, Readiness};
use xinqiao_edge::{Caps, Deadlines, Edge, EdgeConfig, Limits, TlsPolicySource, listed};
use xinqiao_node::engine::Node;
use xinqiao_runtime::Budget;
use xinqiao_runtime::metrics::Metrics;

/// Bound, not yet serving.
pub(super) struct Doors {
    pub(super) exchange: Edge,
    pub(super) legacy: Option<Edge>,
    pub(super) admin: Option<Edge>,
    pub(super) local: Local,
}

/// Where they are.
pub(super) struct Addresses {
    exchange: SocketAddr,
    legacy: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    local: SocketAddr,
}

impl Doors {
    /// Binds what the configuration names. Connections follow every change of the keeper's set.
    pub(super) async fn open(
        node: &Arc<Node>,
        keeper: &Arc<TrustKeeper>,
        limits: &Arc<Limits>,
        readiness: Readiness,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, ServeError> {
        let config = &node.config;
        let budget = budget(&config.limits);
        budget.expose(metrics);
        let common = |tls_policy| edge_config(node, tls_policy, budget.clone(), limits.clone());
        let bind = async |config: EdgeConfig| {
            let name = config.name;
            let edge = Edge::bind(config, metrics.clone()).await.map_err(|e| ServeError::Listen(name, e))?;
            keeper.follow(edge.control());
            Ok::<Edge, ServeError>(edge)
        };
        let exchange = bind(common(keeper.tls_policy())).await?;
        let legacy = match &config.legacy {
            None => None,
            Some(legacy) => {
                let tls_policy = listed(keeper.legacy_tls_policy(), legacy.members.iter().cloned());
                let config = EdgeConfig {
                    name: "exchange-tls12",
                    listen: legacy.listen,
                    front_proxy: false,
                    ..common(tls_policy)
                };
                Some(bind(config).await?)
            }
        };
        let admin = match &config.admin {
            None => None,
            Some(admin) => {
                let common = common(crate::admin::session::tls_policy(keeper.tls_policy()));
                let idle = config.officers.idle_seconds;
                let config = EdgeConfig {
                    name: "admin",
                    listen: admin.listen,
                    front_proxy: false,
                    deadlines: crate::admin::session::deadlines(idle, common.deadlines),
                    ..common
                };
                Some(bind(config).await?)
            }
        };
        let local = Local::bind(config.local.listen, readiness, metrics.clone());
        let local = local.await.map_err(|e| ServeError::Listen("local", e))?;
        Ok(Self { exchange, legacy, admin, local })
    }

    pub(super) fn addresses(&self) -> Result<Addresses, ServeError> {
        let of = |name, edge: &Edge| edge.local_addr().map_err(|e| ServeError::Listen(name, e));
        Ok(Addresses {
            exchange: of("exchange", &self.exchange)?,
            legacy: self.legacy.as_ref().map(|edge| of("exchange-tls12", edge)).transpose()?,
            admin: self.admin.as_ref().map(|edge| of("admin", edge)).transpose()?,
            local: self.local.local_addr().map_err(|e| ServeError::Listen("local", e))?,
        })
    }
}

impl Addresses {
    /// What `serve` prints once it listens, one JSON object, for people and supervisors.
    pub(super) fn announce(&self, node: &Node) {
        let text = |address: Option<SocketAddr>| address.map(|a| a.to_string());
        let line = serde_json::json!({
            "event": "serving", "node": node.name.as_str(), "epoch": node.epoch(),
            "exchange": self.exchange.to_string(), "local": self.local.to_string(),
            "admin": text(self.admin), "legacy": text(self.legacy),
        });
        #[allow(clippy::print_stdout, reason = "the one line a supervisor waits for")]
        {
            println!("{line}");
        }
    }
}

fn budget(limits: &xinqiao_node::config::Limits) -> Budget {
    let all = limits.memory_bytes;
    Budget::new(all as usize, (all / 100 * u64::from(limits.member_memory_percent)) as usize)
}

fn edge_config(node: &Node, tls_policy: TlsPolicySource, budget: Budget, limits: Arc<Limits>) -> EdgeConfig {
    let l = &node.config.limits;
    EdgeConfig {
        name: "exchange",
        listen: node.config.exchange.listen,
        tls_policy,
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
