//! One request's book-keeping, from its head to the last byte of its reply: the connection's
//! clocks, metrics and the access log. It ends when dropped, however the request ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use http::{Method, Response, StatusCode};

use super::connection::Connection;
use super::exchange::TraceId;
use super::front_proxy::Passage;
use super::reply::{Reply, ReplyBody};
use xinqiao_runtime::metrics::{Counter, Histogram, Metric, Metrics};
use xinqiao_runtime::refusal::RefusalCode;

/// Completes when a member named by the front proxy is let in no longer.
type Ended = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

pub(super) struct Ticket {
    connection: Arc<Connection>,
    /// Whether it took one of its member's turns.
    has_turn: bool,
    /// Through the front proxy, and until when.
    passage: Option<(Passage, Option<Ended>)>,
    trace: TraceId,
    began: Instant,
    method: &'static str,
    route: &'static str,
    status: Option<StatusCode>,
    code: Option<RefusalCode>,
    sent: u64,
    complete: bool,
}

impl Ticket {
    pub(super) fn open(connection: Arc<Connection>, method: &Method, trace: TraceId) -> Self {
        connection.request_began();
        Self {
            connection,
            has_turn: false,
            passage: None,
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

    /// A turn was taken, by the connection's member or by the one named.
    pub(super) fn take_turn(&mut self, passage: Option<Passage>) {
        self.has_turn = true;
        self.passage = passage.map(|passage| {
            let ended = passage.session.ended.clone();
            let ended: Ended = Box::pin(async move { ended.wait().await });
            (passage, Some(ended))
        });
    }

    /// Why the member named is let in no longer, said once when that comes; wakes the task then.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Option<RefusalCode> {
        let (passage, ended) = self.passage.as_mut()?;
        if ended.as_mut()?.as_mut().poll(cx).is_pending() {
            return None;
        }
        *ended = None;
        Some(passage.session.refusal())
    }

    /// Turns the reply into a response that carries this ticket to its last byte.
    pub(super) fn send(mut self, reply: Reply) -> Response<ReplyBody> {
        self.route = reply.route();
        self.code = reply.code();
        let response = reply.into_response(self.trace);
        self.status = Some(response.status());
        self.moved(0);
        response.map(|body| body.with(self))
    }

    /// The connection took `bytes` more of the reply.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
        self.connection.reply_moved(self.trace.number(), bytes as u64);
    }

    /// The reply was handed over wholly.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connection.reply_ended(self.trace.number());
        self.connection.request_ended();
        let meters = &self.connection.shared.meters;
        let elapsed = self.began.elapsed();
        let named = self.passage.as_ref().map(|(passage, _)| &passage.sender.seat);
        let own = self.connection.identity.as_ref().ok().map(|(_, seat)| seat);
        if let Some(seat) = named.or(own).filter(|_| self.has_turn) {
            seat.end_turn();
        }
        let name = self.connection.member_name();
        meters.sent.add(self.sent);
        if let Some(code) = self.code {
            meters.metrics.add(Metric::HttpProblems, &[code.as_str()], 1);
        }
        if let Some(status) = self.status {
            let mut last = self.connection.last_outcome.lock();
            let outcome = (self.route, status.as_u16());
            let cached = last.take().filter(|meters| meters.outcome == outcome);
            let meters = cached.unwrap_or_else(|| meters.of(outcome));
            meters.count.add(1);
            meters.time.observe(elapsed.as_secs_f64());
            *last = Some(meters);
        }
        tracing::info!(
            target: "xinqiao::access",
            listener = self.connection.shared.config.name,
            trace = %self.trace,
            member = named.map_or(&**name, |seat| &seat.place.name),
            through = named.map_or("", |_| name),
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

/// Route template and status.
type Outcome = (&'static str, u16);

/// The metrics of one outcome.
pub(super) struct OutcomeMeters {
    outcome: Outcome,
    count: Counter,
    time: Histogram,
}

/// The edge's hot metrics, their handles kept.
pub(super) struct Meters {
    pub(super) metrics: Arc<Metrics>,
    pub(super) sent: Counter,
    pub(super) received: Counter,
}

impl Meters {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            sent: metrics.counter(Metric::HttpSentBytes, &[]),
            received: metrics.counter(Metric::HttpReceivedBytes, &[]),
            metrics,
        }
    }

    fn of(&self, outcome: Outcome) -> OutcomeMeters {
        let (route, status) = outcome;
        OutcomeMeters {
            outcome,
            count: self.metrics.counter(Metric::HttpRequests, &[route, &status.to_string()]),
            time: self.metrics.histogram(Metric::HttpRequestSeconds, &[route]),
        }
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
