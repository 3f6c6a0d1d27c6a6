//! One connection: its member, its clocks, and the loop that drives HTTP on it.
//!
//! HTTP/1.1 or h2 is chosen by ALPN, never guessed from bytes. The clocks are atomics that
//! requests touch; a timer per connection looks at them a few times per deadline.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::server::TlsStream;
use xinqiao_certs::VerifiedMember;

use super::exchange::ConnectionTraces;
use super::front_proxy::Sessions;
use super::listener::Shared;
use super::roster::Seat;
use super::service::answer;
use super::ticket::OutcomeMeters;
use super::transport::Transport;
use super::{Exchange, Identify, Reply};
use xinqiao_runtime::Drain;
use xinqiao_runtime::metrics::Metric;
use xinqiao_runtime::refusal::RefusalCode;

/// What all requests of one connection share.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: SocketAddr,
    pub(super) identity: Result<(VerifiedMember, Seat), RefusalCode>,
    chain: Vec<CertificateDer<'static>>,
    /// Clients this peer has named, if it is the front proxy.
    pub(super) sessions: Sessions,
    is_h2: bool,
    /// When the member's certificate ends: the connection must not outlive it.
    expires: Option<Instant>,
    /// When the connection has lasted long enough.
    ends: Option<Instant>,
    /// Requests in progress, replies not yet taken included.
    open: AtomicU32,
    /// What the judge reads and sets its clocks by: requests pay for flags, not for looking at a clock.
    stirred: AtomicBool,
    head_begun: AtomicBool,
    blocked: AtomicBool,
    lingering: AtomicBool,
    retiring: AtomicBool,
    /// Looks of the judge since frames last came.
    rested: AtomicU32,
    /// Replies in progress.
    replies: Mutex<Vec<Sending>>,
    clocks: Mutex<Clocks>,
    /// Metrics of the last outcome, since the next one is most likely the same.
    pub(super) last_outcome: Mutex<Option<OutcomeMeters>>,
    pub(super) drain: Drain,
    pub(super) traces: ConnectionTraces,
    unread: AtomicBool,
    order: AtomicU8,
    wake: Notify,
}

/// One reply in progress, and whether the peer took a piece of it since the judge last looked.
struct Sending {
    request: u64,
    moved: bool,
    /// Bytes taken since the judge first saw this reply.
    bytes: u64,
    begun: Option<Instant>,
    clock: Option<Instant>,
}

/// Since when the judge has found things as they are.
#[derive(Default)]
struct Clocks {
    quiet: Option<Instant>,
    head: Option<Instant>,
    blocked: Option<Instant>,
    lingering: Option<Instant>,
    retiring: Option<Instant>,
}

/// Idle frames a peer may send per look of the judge, beyond what its requests call for.
const REST: u32 = 16;

const CARRY_ON: u8 = 0;
const FINISH: u8 = 1;
const CUT: u8 = 2;

/// What the clocks say.
enum Verdict {
    CarryOn,
    Finish(&'static str),
    Cut(&'static str),
}

/// Serves one connection whose handshake is done until it ends.
pub(super) async fn drive<H, F>(
    stream: TlsStream<TcpStream>,
    peer: SocketAddr,
    identify: Identify,
    retirements: u64,
    shared: Arc<Shared>,
    handler: H,
) where
    H: Fn(Exchange) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let connection = Arc::new(Connection::new(&stream, peer, &identify, shared.clone()));
    let _listed = shared.list(&connection);
    // The terms may have changed during the handshake, when nobody could find this connection to judge it again.
    let terms = (shared.config.terms)();
    if !same_terms(&terms.identify, &identify) {
        connection.recheck(&terms.identify);
    }
    if shared.retirements() != retirements {
        connection.retire();
    }
    let io = TokioIo::new(Transport::new(stream, connection.clone()));
    let service = service_fn({
        let connection = connection.clone();
        move |request| answer(connection.clone(), &handler, request)
    });
    let caps = &shared.config.caps;
    if connection.is_h2 {
        let http = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(caps.h2_streams)
            .max_pending_accept_reset_streams(caps.h2_resets)
            .max_local_error_reset_streams(caps.h2_resets)
            .max_header_list_size(u32::try_from(caps.header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(caps.h2_window.min(256 * 1024))
            .initial_connection_window_size(caps.h2_window)
            .max_send_buf_size(128 * 1024)
            .serve_connection(io, service);
        connection.run(http).await;
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(caps.header_bytes.max(8192));
        if caps.header_count > 100 {
            // Below hyper's own 100 the service counts: naming a number here costs an allocation per request.
            builder.max_headers(caps.header_count);
        }
        connection.run(builder.serve_connection(io, service)).await;
    }
}

impl Connection {
    fn new(
        stream: &TlsStream<TcpStream>,
        peer: SocketAddr,
        identify: &Identify,
        shared: Arc<Shared>,
    ) -> Self {
        let tls = stream.get_ref().1;
        let chain: Vec<_> =
            tls.peer_certificates().unwrap_or_default().iter().map(|c| c.clone().into_owned()).collect();
        let identity = identify(&chain).and_then(|member| {
            let seat = shared.roster.sit(member.name()).ok_or(RefusalCode::LimitMemberConnections)?;
            Ok((member, seat))
        });
        if let Err(RefusalCode::LimitMemberConnections) = identity {
            shared.metrics.add(Metric::LimitsHit, &["member-connections"], 1);
        }
        if identity.as_ref().is_err_and(|code| *code != RefusalCode::LimitMemberConnections) {
            shared.refused(peer);
        }
        let ends = shared.config.deadlines.life.and_then(|life| Instant::now().checked_add(life));
        let expires = identity.as_ref().ok().and_then(|(member, _)| end_of_life(member.not_after()));
        Self {
            is_h2: tls.alpn_protocol() == Some(b"h2"),
            traces: shared.traces.of_connection(),
            shared,
            peer,
            identity,
            chain,
            sessions: Sessions::default(),
            expires,
            ends,
            open: AtomicU32::new(0),
            stirred: AtomicBool::new(true),
            head_begun: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            lingering: AtomicBool::new(false),
            retiring: AtomicBool::new(false),
            rested: AtomicU32::new(0),
            replies: Mutex::default(),
            clocks: Mutex::default(),
            last_outcome: Mutex::default(),
            drain: Drain::new(),
            unread: AtomicBool::new(false),
            order: AtomicU8::new(CARRY_ON),
            wake: Notify::new(),
        }
    }

    async fn run(&self, http: impl Graceful) {
        let mut http = pin!(http);
        let tick = self.shared.config.deadlines.tick();
        let mut timer = pin!(tokio::time::sleep(tick));
        let mut finish_by: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                // The peer's misbehaviour ends its connection and is nobody else's concern.
                _ended = http.as_mut() => return,
                () = self.wake.notified() => {}
                () = timer.as_mut() => {
                    timer.as_mut().reset(tokio::time::Instant::now() + tick);
                    match self.judge() {
                        Verdict::CarryOn => {}
                        Verdict::Finish(reason) => {
                            if finish_by.is_none() { self.count_closed(reason); }
                            self.finish();
                        }
                        Verdict::Cut(reason) => {
                            self.count_closed(reason);
                            return;
                        }
                    }
                }
            }
            match self.order.load(Relaxed) {
                CUT => {
                    self.count_closed("identity-changed");
                    return;
                }
                FINISH => match finish_by {
                    None => {
                        http.as_mut().finish();
                        finish_by = Some(Instant::now() + self.shared.config.deadlines.header);
                    }
                    Some(by) if Instant::now() > by && self.open.load(Relaxed) == 0 => return,
                    Some(_) => {}
                },
                _ => {}
            }
        }
    }

    /// Finishes what is in flight and takes nothing new.
    pub(super) fn finish(&self) {
        if self.order.compare_exchange(CARRY_ON, FINISH, Relaxed, Relaxed).is_ok() {
            self.drain.begin();
            self.wake.notify_one();
        }
    }

    /// Makes room for a newer connection: HTTP/2 says so at once, HTTP/1.1 with its next reply, so that no request meets a
    /// closed connection; silence ends it too.
    pub(super) fn retire(&self) {
        self.retiring.store(true, Relaxed);
        if self.is_h2 {
            self.finish();
        }
    }

    /// Whether its next reply is its last.
    pub(super) fn is_retiring(&self) -> bool {
        self.retiring.load(Relaxed)
    }

    /// What the peer proved itself with.
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Identifies the peer again, and whom it has named. Cuts the connection if the answer is no longer the same, and what
    /// clients of a front proxy have in flight likewise. Answers how many ended.
    pub(super) fn recheck(&self, identify: &Identify) -> usize {
        let same = match (identify(&self.chain), &self.identity) {
            (Ok(now), Ok((then, _))) => now.name() == then.name() && now.role() == then.role(),
            // A refused connection is told so on its next request; that stays true or it reconnects.
            (_, Err(_)) => true,
            (Err(_), Ok(_)) => false,
        };
        if !same {
            self.order.store(CUT, Relaxed);
            self.wake.notify_one();
        }
        usize::from(!same) + self.sessions.recheck(&self.shared, identify)
    }

    fn judge(&self) -> Verdict {
        let deadlines = &self.shared.config.deadlines;
        let now = Instant::now();
        // Each clock runs while its condition holds from one look to the next.
        let over = |clock: &mut Option<Instant>, holds: bool, limit: Duration| {
            *clock = if holds { Some(clock.unwrap_or(now)) } else { None };
            clock.is_some_and(|since| now.duration_since(since) > limit)
        };
        self.rested.store(self.rested.load(Relaxed).saturating_add(REST), Relaxed);
        let clocks = &mut *self.clocks.lock();
        let at_rest = self.open.load(Relaxed) == 0 && !self.stirred.swap(false, Relaxed);
        let in_head = at_rest && !self.is_h2 && self.head_begun.load(Relaxed);
        if over(&mut clocks.lingering, self.lingering.load(Relaxed), deadlines.linger) {
            return Verdict::Cut("lingered");
        }
        if over(&mut clocks.blocked, self.blocked.load(Relaxed), deadlines.reply_stall) {
            return Verdict::Cut("reply-stalled");
        }
        for reply in self.replies.lock().iter_mut() {
            let still = !std::mem::take(&mut reply.moved);
            if over(&mut reply.clock, still, deadlines.reply_stall) {
                return Verdict::Cut("reply-stalled");
            }
            let begun = *reply.begun.get_or_insert(now);
            let beyond_grace = now.duration_since(begun).saturating_sub(deadlines.reply_stall);
            if u128::from(reply.bytes) < u128::from(deadlines.reply_rate) * beyond_grace.as_millis() / 1_000 {
                return Verdict::Cut("reply-slow");
            }
        }
        if over(&mut clocks.head, in_head, deadlines.header) {
            return Verdict::Cut("header-slow");
        }
        if over(&mut clocks.retiring, at_rest && self.is_retiring(), deadlines.header) {
            return Verdict::Finish("superseded");
        }
        if over(&mut clocks.quiet, at_rest, deadlines.idle) {
            return Verdict::Finish("idle");
        }
        if self.expires.is_some_and(|end| now > end) {
            return Verdict::Finish("certificate-expired");
        }
        if self.ends.is_some_and(|end| now > end) {
            return Verdict::Finish("session-over");
        }
        Verdict::CarryOn
    }

    fn count_closed(&self, reason: &str) {
        self.shared.metrics.add(Metric::EdgeClosed, &[self.shared.config.name, reason], 1);
    }

    pub(super) fn request_began(&self) {
        self.open.fetch_add(1, Relaxed);
        self.stirred.store(true, Relaxed);
        self.head_begun.store(false, Relaxed);
    }

    pub(super) fn request_ended(&self) {
        self.stirred.store(true, Relaxed);
        self.open.fetch_sub(1, Relaxed);
    }

    pub(super) fn reply_moved(&self, request: u64, bytes: u64) {
        let mut replies = self.replies.lock();
        match replies.iter_mut().find(|reply| reply.request == request) {
            Some(reply) => {
                reply.moved = true;
                reply.bytes = reply.bytes.saturating_add(bytes);
            }
            None => replies.push(Sending { request, moved: true, bytes, begun: None, clock: None }),
        }
    }

    pub(super) fn reply_ended(&self, request: u64) {
        self.replies.lock().retain(|reply| reply.request != request);
    }

    pub(super) fn bytes_arrived(&self) {
        if self.open.load(Relaxed) == 0 {
            self.head_begun.store(true, Relaxed);
        }
    }

    pub(super) fn peer_took(&self, some: bool) {
        if self.blocked.load(Relaxed) == some {
            self.blocked.store(!some, Relaxed);
        }
    }

    /// Tokens for the frames of a peer that left some time between them.
    pub(super) fn take_rest(&self) -> u32 {
        self.rested.swap(0, Relaxed)
    }

    /// The peer sends frames that carry nothing.
    pub(super) fn cut_for_flood(&self) {
        self.count_closed("frame-flood");
        self.shared.metrics.add(Metric::LimitsHit, &["frame-flood"], 1);
    }

    /// A handler let go of a body before its end: closing must linger.
    pub(super) fn leave_body_unread(&self) {
        self.unread.store(true, Relaxed);
    }

    pub(super) fn body_left_unread(&self) -> bool {
        !self.is_h2 && self.unread.load(Relaxed)
    }

    pub(super) fn linger(&self) {
        self.lingering.store(true, Relaxed);
    }

    /// The member's name, for the log.
    pub(super) fn member_name(&self) -> &Arc<str> {
        static NOBODY: LazyLock<Arc<str>> = LazyLock::new(|| "".into());
        self.identity.as_ref().map_or(&NOBODY, |(_, seat)| &seat.place.name)
    }

    pub(super) fn is_h2(&self) -> bool {
        self.is_h2
    }
}

/// Whether nothing was swapped between two readings.
fn same_terms(one: &Identify, other: &Identify) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

/// When `not_after`, in seconds since 1970, will be; never, if that is beyond what clocks can say.
fn end_of_life(not_after: u64) -> Option<Instant> {
    let end = UNIX_EPOCH.checked_add(Duration::from_secs(not_after))?;
    Instant::now().checked_add(end.duration_since(SystemTime::now()).unwrap_or_default())
}

/// The two connection types of hyper, alike.
trait Graceful: Future {
    fn finish(self: Pin<&mut Self>);
}

impl<I, S, B> Graceful for http1::Connection<I, S>
where
    S: hyper::service::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B, E> Graceful for http2::Connection<I, S, E>
where
    S: hyper::service::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
