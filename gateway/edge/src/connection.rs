//! One connection: the member at its other end, and what its requests share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use xinqiao_certs::VerifiedMember;
use xinqiao_runtime::metrics::Metric;
use xinqiao_runtime::refusal::RefusalCode;

use super::Identify;
use super::front_proxy::Sessions;
use super::liveness::{Expiry, Liveness};
use super::member_table::MemberSlot;
use super::request_guard::RequestLog;
use super::shared::Shared;
use super::trace::ConnectionTraces;

/// A connection past the handshake.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: SocketAddr,
    pub(super) identity: Result<(VerifiedMember, Arc<MemberSlot>), RefusalCode>,
    chain: Vec<CertificateDer<'static>>,
    /// Clients this peer has named, if it is the front proxy.
    pub(super) sessions: Sessions,
    pub(super) liveness: Arc<Liveness>,
    pub(super) log: Arc<RequestLog>,
    pub(super) traces: ConnectionTraces,
}

impl Connection {
    pub(super) fn new(
        stream: &TlsStream<TcpStream>,
        peer: SocketAddr,
        identify: &Identify,
        shared: Arc<Shared>,
    ) -> Self {
        let tls = stream.get_ref().1;
        let chain: Vec<_> =
            tls.peer_certificates().unwrap_or_default().iter().map(|c| c.clone().into_owned()).collect();
        let identity = identify(&chain).and_then(|member| {
            let slot = shared.members.connect(member.name()).ok_or(RefusalCode::LimitMemberConnections)?;
            Ok((member, slot))
        });
        match identity {
            Ok(_) => {}
            Err(RefusalCode::LimitMemberConnections) => {
                shared.metrics.add(Metric::LimitsHit, &["member-connections"], 1);
            }
            Err(_) => shared.certificate_refused(peer),
        }
        let expiry = Expiry {
            certificate: identity.as_ref().ok().and_then(|(member, _)| end_of_life(member.not_after())),
            life: shared.deadlines.life.and_then(|life| Instant::now().checked_add(life)),
        };
        let is_h2 = tls.alpn_protocol() == Some(b"h2");
        let received = shared.meters.received.clone();
        let liveness = Arc::new(Liveness::new(shared.deadlines.clone(), expiry, is_h2, received));
        let name = identity.as_ref().map_or_else(|_| "".into(), |(_, slot)| slot.name().clone());
        let log = RequestLog::new(liveness.clone(), shared.meters.clone(), shared.config.name, name);
        Self {
            traces: shared.traces.of_connection(),
            shared,
            peer,
            identity,
            chain,
            sessions: Sessions::default(),
            liveness,
            log: Arc::new(log),
        }
    }

    /// What the peer proved itself with.
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Identifies the peer again, and whom it has named. Cuts the connection if the result is no longer the same, and what
    /// clients of a front proxy have in flight likewise. Returns how many ended.
    pub(super) fn recheck(&self, identify: &Identify) -> usize {
        let same = match (identify(&self.chain), &self.identity) {
            (Ok(now), Ok((then, _))) => now.name() == then.name() && now.role() == then.role(),
            // A refused connection learns so with its next request; that stays true or it reconnects.
            (_, Err(_)) => true,
            (Err(_), Ok(_)) => false,
        };
        if !same {
            self.liveness.cut();
        }
        usize::from(!same) + self.sessions.recheck(&self.shared, identify)
    }
}

/// When `not_after`, in seconds since 1970, will be; never, if that is beyond what clocks can say.
fn end_of_life(not_after: u64) -> Option<Instant> {
    let end = UNIX_EPOCH.checked_add(Duration::from_secs(not_after))?;
    Instant::now().checked_add(end.duration_since(SystemTime::now()).unwrap_or_default())
}
