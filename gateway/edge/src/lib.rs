//! The network edge: from a TCP connection to an [`Exchange`] with a verified member, and back.
//!
//! Promises: nothing unbounded is read or kept on behalf of a peer (connections, handshakes,
//! headers, bodies, streams, time); every request reaches the handler with exactly one verified
//! member or is refused with a problem document; limits are spent per member before shared ones;
//! a drain finishes what is in flight. What a request means is left to the handler.
//!
//! The handler's future is dropped when the peer goes away, so it must be safe to cancel.

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio_rustls::rustls::ServerConfig;
use xinqiao_certs::{VerifiedMember, chain_digest};
use xinqiao_runtime::Budget;
use xinqiao_runtime::metrics::Metrics;
use xinqiao_runtime::refusal::RefusalCode;

mod body;
mod connection;
mod connection_cap;
mod decode;
mod drive;
mod exchange;
mod frames;
mod front_proxy;
mod head;
mod limits;
mod listener;
mod live_connections;
mod liveness;
pub mod local;
mod member_table;
mod meters;
mod problem;
mod reply;
mod request_body;
mod request_guard;
mod service;
mod settings;
mod shared;
mod trace;
mod transport;

pub use body::{Body, BodyCaps};
pub use decode::{Encoding, OFF_REACTOR_BYTES, off_reactor};
pub use exchange::Exchange;
pub use limits::{Limits, Rates};
pub use problem::refusal_of;
pub use reply::{Reply, ReplyBody, ReplySender};
pub use request_body::RequestBody;
pub use settings::{Caps, Deadlines};
pub use trace::TraceId;

/// The readers of what a peer sends before anything about it is believed; public because they are fuzzed on their own.
pub mod wire {
    pub use crate::frames::FrameGuard;
    pub use crate::front_proxy::Named;
    pub use crate::head::check as check_head;
}

use live_connections::LiveConnections;
use shared::Shared;

/// TLS settings and the identification that belongs to them. They change together, so that no handshake is made under
/// one trust set and its peer identified by another.
#[derive(Clone)]
pub struct TlsPolicy {
    /// What the handshake presents and demands.
    pub tls: Arc<ServerConfig>,
    /// Who the verified chain is.
    pub identify: Identify,
}

/// Where each new connection gets its policy: read once per accept, so a swap takes effect at once.
pub type TlsPolicySource = Arc<dyn Fn() -> TlsPolicy + Send + Sync>;

/// Turns a chain the handshake has verified into exactly one member, or says why not.
pub type Identify = Arc<dyn Fn(&[CertificateDer<'_>]) -> Result<VerifiedMember, RefusalCode> + Send + Sync>;

/// Called with the address of each peer whose certificate was refused, in the handshake or by [`Identify`].
pub type Refused = Box<dyn Fn(IpAddr) + Send + Sync>;

/// This policy, for the listed members only; others are refused with `member.not-listed`.
pub fn listed(policy: TlsPolicySource, members: impl IntoIterator<Item = String>) -> TlsPolicySource {
    let members: Arc<HashSet<String>> = Arc::new(members.into_iter().collect());
    Arc::new(move || {
        let (TlsPolicy { tls, identify }, members) = (policy(), members.clone());
        let identify: Identify = Arc::new(move |chain| {
            let member = identify(chain)?;
            if members.contains(member.name()) { Ok(member) } else { Err(RefusalCode::MemberNotListed) }
        });
        TlsPolicy { tls, identify }
    })
}

/// All an edge needs to know.
#[derive(Clone)]
pub struct EdgeConfig {
    /// Name of the listener in metrics and logs: `exchange`, `exchange-tls12`, `admin`.
    pub name: &'static str,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS settings and identification, per accept.
    pub tls_policy: TlsPolicySource,
    /// How much.
    pub caps: Caps,
    /// How long.
    pub deadlines: Deadlines,
    /// The node-wide byte budget.
    pub budget: Budget,
    /// The request rates, shared by all listeners of a node.
    pub limits: Arc<Limits>,
    /// Members with the role `front-proxy` may name their clients by RFC 9440.
    pub front_proxy: bool,
}

/// A bound listener, not yet serving.
pub struct Edge {
    listener: TcpListener,
    live: Arc<LiveConnections>,
}

/// A handle on a serving edge.
#[derive(Clone)]
pub struct EdgeControl {
    live: Arc<LiveConnections>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections cut because the deadline passed; 0 is a clean end.
    pub aborted: usize,
}

impl Edge {
    /// Binds the listener. Connections wait in its backlog until [`Edge::serve`].
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(config: EdgeConfig, metrics: Arc<Metrics>) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let shared = Arc::new(Shared::new(config, metrics));
        Ok(Self { listener, live: Arc::new(LiveConnections::new(shared)) })
    }

    /// The bound address.
    ///
    /// # Errors
    /// The socket has no address any more.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Has this called for every refused certificate. The first call counts.
    pub fn on_refused(&self, report: Refused) {
        let _first = self.live.shared.on_refused.set(report);
    }

    /// A handle to keep while the edge serves.
    #[must_use]
    pub fn control(&self) -> EdgeControl {
        EdgeControl { live: self.live.clone() }
    }

    /// Serves until `drain` completes, then finishes what is in flight within the drain deadline.
    pub async fn serve<H, F>(self, handler: H, drain: impl Future<Output = ()> + Send) -> Drained
    where
        H: Fn(Exchange) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        listener::serve(self.listener, self.live, handler, drain).await
    }
}

impl EdgeControl {
    /// Checks every live connection's certificates again and closes those whose member is no
    /// longer the same, and the requests of such members behind a front proxy: call it after
    /// members, trust or revocation changed. Returns how many connections and clients ended.
    pub fn recheck(&self) -> usize {
        let identify = (self.live.shared.config.tls_policy)().identify;
        self.live.all().iter().map(|connection| connection.recheck(&identify)).sum()
    }

    /// Retires every live connection, so that the peer opens a new one: after its next reply, or after a while of silence.
    /// Call it after what handshakes rely on changed.
    pub fn retire(&self) {
        self.live.retire();
    }

    /// Digests of the certificate chains live connections were made with; see [`chain_digest`].
    #[must_use]
    pub fn chains(&self) -> Vec<[u8; 32]> {
        self.live.all().iter().map(|connection| chain_digest(connection.chain())).collect()
    }

    /// Connections past the handshake.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.live.all().len()
    }
}
