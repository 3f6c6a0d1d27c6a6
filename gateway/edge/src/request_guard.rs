//! One request's book-keeping, from its head to the last byte of its reply: the connection's liveness, the count of
//! requests in flight, metrics and the access log. It ends when dropped, however the request ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use http::{Method, StatusCode};
use parking_lot::Mutex;

use super::front_proxy::ProxiedClient;
use super::liveness::Liveness;
use super::member_table::InFlight;
use super::meters::{Meters, OutcomeMeters};
use super::trace::TraceId;
use xinqiao_runtime::metrics::Metric;
use xinqiao_runtime::refusal::RefusalCode;

/// Completes when a member named by the front proxy is let in no longer.
type Ended = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// One request until its reply has left.
pub(super) struct RequestGuard {
    log: Arc<RequestLog>,
    /// Counted under its member: the connection's, or the one named. Nothing: refused before that.
    in_flight: Option<InFlight>,
    /// Through the front proxy, and until when.
    proxied: Option<(ProxiedClient, Option<Ended>)>,
    trace: TraceId,
    began: Instant,
    method: &'static str,
    route: &'static str,
    status: Option<StatusCode>,
    code: Option<RefusalCode>,
    sent: u64,
    complete: bool,
}

/// What the requests of one connection are recorded with.
pub(super) struct RequestLog {
    liveness: Arc<Liveness>,
    meters: Arc<Meters>,
    listener: &'static str,
    /// Name of the connection's member; empty if it is none.
    member: Arc<str>,
    /// Metrics of the last outcome, since the next one is most likely the same.
    last_outcome: Mutex<Option<OutcomeMeters>>,
}

impl RequestLog {
    pub(super) fn new(
        liveness: Arc<Liveness>,
        meters: Arc<Meters>,
        listener: &'static str,
        member: Arc<str>,
    ) -> Self {
        Self { liveness, meters, listener, member, last_outcome: Mutex::default() }
    }

    /// Name of the connection's member; empty if it is none.
    pub(super) fn member(&self) -> &Arc<str> {
        &self.member
    }
}

impl RequestGuard {
    pub(super) fn open(log: Arc<RequestLog>, method: &Method, trace: TraceId) -> Self {
        log.liveness.request_began();
        Self {
            log,
            in_flight: None,
            proxied: None,
            trace,
            began: Instant::now(),
            method: known_method(method),
            route: "",
            status: None,
            code: None,
            sent: 0,
            complete: false,
        }
    }

    /// The request is counted under the connection's member, or under the one its front proxy named.
    pub(super) fn admitted(&mut self, in_flight: InFlight, client: Option<ProxiedClient>) {
        self.in_flight = Some(in_flight);
        self.proxied = client.map(|client| {
            let ended = client.session.ended.clone();
            let ended: Ended = Box::pin(async move { ended.wait().await });
            (client, Some(ended))
        });
    }

    /// Why the member named is let in no longer, said once when that comes; wakes the task then.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Option<RefusalCode> {
        let (client, ended) = self.proxied.as_mut()?;
        if ended.as_mut()?.as_mut().poll(cx).is_pending() {
            return None;
        }
        *ended = None;
        Some(client.session.refusal())
    }

    /// The head of the response is ready.
    pub(super) fn responded(&mut self, route: &'static str, code: Option<RefusalCode>, status: StatusCode) {
        self.route = route;
        self.code = code;
        self.status = Some(status);
        self.moved(0);
    }

    /// The connection took `bytes` more of the reply.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
        self.log.liveness.reply_moved(self.trace.number(), bytes as u64);
    }

    /// The reply was handed over wholly.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }

    /// The handler panicked.
    pub(super) fn count_panic(&self) {
        self.log.meters.metrics.add(Metric::HttpPanics, &[], 1);
    }

    /// Whether the reply may have no body, since HEAD asked for it.
    pub(super) fn asks_for_head(&self) -> bool {
        self.method == "HEAD"
    }

    pub(super) fn trace(&self) -> TraceId {
        self.trace
    }

    pub(super) fn liveness(&self) -> &Liveness {
        &self.log.liveness
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let RequestLog { liveness, meters, listener, member, last_outcome } = &*self.log;
        liveness.reply_ended(self.trace.number());
        liveness.request_ended();
        let elapsed = self.began.elapsed();
        meters.sent.add(self.sent);
        if let Some(code) = self.code {
            meters.metrics.add(Metric::HttpProblems, &[code.as_str()], 1);
        }
        if let Some(status) = self.status {
            let mut last = last_outcome.lock();
            let outcome = (self.route, status.as_u16());
            let cached = last.take().filter(|meters| meters.is_of(outcome));
            let meters = cached.unwrap_or_else(|| meters.of(outcome));
            meters.observe(elapsed);
            *last = Some(meters);
        }
        tracing::info!(
            target: "xinqiao::access",
            listener,
            trace = %self.trace,
            member = &**self.in_flight.as_ref().map_or(member, InFlight::member),
            through = self.proxied.as_ref().map_or("", |_| member),
            method = self.method,
            route = self.route,
            status = self.status.map_or(0, |status| status.as_u16()),
            code = self.code.map_or("", RefusalCode::as_str),
            bytes = self.sent,
            micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            complete = self.complete,
        );
    }
}

/// Methods are tokens of the peer's choice: only known ones are repeated.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}
