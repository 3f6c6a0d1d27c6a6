//! What everything of one edge shares: configuration, metrics, caps and the drain signal. It knows no connection.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use xinqiao_runtime::Drain;
use xinqiao_runtime::metrics::{Metric, Metrics};

use super::connection_cap::{Addresses, ConnectionCap};
use super::member_table::MemberTable;
use super::meters::Meters;
use super::settings::Deadlines;
use super::trace::Traces;
use super::{EdgeConfig, Refused};

/// Time between two lines of the log about refused certificates.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// The state of one edge.
pub(super) struct Shared {
    pub(super) config: EdgeConfig,
    /// Those of the configuration, for connections to hold.
    pub(super) deadlines: Arc<Deadlines>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) meters: Arc<Meters>,
    pub(super) members: MemberTable,
    pub(super) drain: Drain,
    pub(super) traces: Traces,
    pub(super) addresses: Arc<Addresses>,
    pub(super) handshakes: Arc<ConnectionCap>,
    pub(super) connections: Arc<ConnectionCap>,
    pub(super) on_refused: OnceLock<Refused>,
    /// When a refused certificate was last written to the log.
    last_logged: Mutex<Option<Instant>>,
}

impl Shared {
    pub(super) fn new(config: EdgeConfig, metrics: Arc<Metrics>) -> Self {
        let caps = &config.caps;
        Self {
            deadlines: Arc::new(config.deadlines.clone()),
            meters: Arc::new(Meters::new(metrics.clone())),
            members: MemberTable::new(config.budget.clone(), caps.per_member, caps.requests_per_member),
            drain: Drain::new(),
            traces: Traces::new(),
            addresses: Addresses::new(caps.per_address),
            handshakes: ConnectionCap::new(caps.handshakes),
            connections: ConnectionCap::new(caps.connections),
            metrics,
            config,
            on_refused: OnceLock::new(),
            last_logged: Mutex::default(),
        }
    }

    /// A connection was closed at once, because of a cap.
    pub(super) fn count_refused(&self, reason: &str) {
        self.metrics.add(Metric::EdgeRefused, &[self.config.name, reason], 1);
        self.metrics.add(Metric::LimitsHit, &[reason], 1);
    }

    /// The node closed so many connections for this reason.
    pub(super) fn count_closed(&self, reason: &str, connections: u64) {
        self.metrics.add(Metric::EdgeClosed, &[self.config.name, reason], connections);
    }

    pub(super) fn handshake_failed(&self, peer: SocketAddr, reason: &str, why: Option<&io::Error>) {
        self.metrics.add(Metric::HandshakesFailed, &[self.config.name, reason], 1);
        if let ("certificate", Some(why)) = (reason, why) {
            self.log_refused(peer, why);
        }
        if matches!(reason, "certificate" | "no-certificate") {
            self.certificate_refused(peer);
        }
    }

    /// One line a second at most: strangers must not be able to fill the disk. The metric counts them all.
    fn log_refused(&self, peer: SocketAddr, why: &io::Error) {
        let mut last = self.last_logged.lock();
        if last.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
            *last = Some(Instant::now());
            let (listener, peer) = (self.config.name, peer.ip());
            tracing::warn!(listener, %peer, error = %why, "a certificate was refused in the handshake  握手时证书被拒绝");
        }
    }

    /// Reports that the certificate of the peer at this address was refused.
    pub(super) fn certificate_refused(&self, peer: SocketAddr) {
        if let Some(report) = self.on_refused.get() {
            report(peer.ip());
        }
    }
}
