//! One request: admitted, handed over, responded to, whatever the handler does.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, request};
use hyper::body::{Body as _, Incoming};
use pin_project_lite::pin_project;
use xinqiao_certs::{Role, VerifiedMember};

use super::connection::Connection;
use super::exchange::Exchange;
use super::front_proxy::{self, ProxiedClient};
use super::head;
use super::member_table::{InFlight, MemberSlot};
use super::reply::{Reply, ReplyBody};
use super::request_body::RequestBody;
use super::request_guard::RequestGuard;
use xinqiao_runtime::Account;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// What log and metrics call a request that got no further than the edge.
const EDGE_ROUTE: &str = "edge";

pin_project! {
    /// The response to one request in the making. Written out, since nested `async` blocks hold their arguments
    /// twice, and a request would be copied around by the kilobyte.
    pub(super) struct ResponseFuture<F> {
        #[pin]
        work: Work<F>,
        guard: Option<RequestGuard>,
        // The connection's member is refused: its first response is its last.
        refused: bool,
    }
}

pin_project! {
    #[project = Working]
    enum Work<F> {
        Handled { #[pin] handling: F },
        Refused { reply: Option<Reply> },
    }
}

/// Admits the request and hands it to `handler`, or refuses it.
pub(super) fn respond<H, F>(
    connection: &Connection,
    handler: &H,
    request: Request<Incoming>,
) -> ResponseFuture<F>
where
    H: Fn(Exchange) -> F,
    F: Future<Output = Reply>,
{
    let (parts, incoming) = request.into_parts();
    let trace = connection.traces.next();
    let mut guard = RequestGuard::open(connection.log.clone(), &parts.method, trace);
    let liveness = &connection.liveness;
    let work = match admit(connection, &parts) {
        Ok(Admitted { member, account, in_flight, client }) => {
            let through = client.as_ref().map(|_| connection.log.member().clone());
            guard.admitted(in_flight, client);
            let body = RequestBody::new(incoming, &parts.headers, liveness.clone(), account.clone());
            let (drain, peer) = (liveness.drain().clone(), connection.peer);
            let exchange = Exchange { member, parts, body, peer, through, trace, account, drain };
            match catch_unwind(AssertUnwindSafe(|| handler(exchange))) {
                Ok(handling) => Work::Handled { handling },
                Err(_panic) => Work::Refused { reply: Some(panicked(&guard)) },
            }
        }
        Err(problem) => {
            if !incoming.is_end_stream() {
                liveness.leave_body_unread();
            }
            Work::Refused { reply: Some(Reply::problem(EDGE_ROUTE, problem)) }
        }
    };
    ResponseFuture { work, guard: Some(guard), refused: connection.identity.is_err() }
}

impl<F: Future<Output = Reply>> Future for ResponseFuture<F> {
    type Output = Result<Response<ReplyBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let guard = this.guard.as_mut().expect("a finished response is not polled again");
        let reply = match (guard.poll_ended(cx), this.work.project()) {
            (Some(code), _) => {
                guard.liveness().leave_body_unread();
                Reply::problem(EDGE_ROUTE, code)
            }
            // A panic costs this request, not the connection.
            (None, Working::Handled { handling }) => {
                match catch_unwind(AssertUnwindSafe(|| handling.poll(cx))) {
                    Ok(polled) => ready!(polled),
                    Err(_panic) => panicked(guard),
                }
            }
            (None, Working::Refused { reply }) => {
                reply.take().expect("a finished response is not polled again")
            }
        };
        let guard = this.guard.take().expect("just used");
        let liveness = guard.liveness();
        let last =
            !liveness.is_h2() && (*this.refused || liveness.body_left_unread() || liveness.is_retiring());
        if liveness.is_h2() && *this.refused {
            liveness.finish();
        }
        let mut response = reply.into_response(guard);
        if last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response))
    }
}

fn panicked(guard: &RequestGuard) -> Reply {
    guard.count_panic();
    Reply::problem(EDGE_ROUTE, RefusalCode::Internal)
}

/// A request whose member is known and may have one more in flight.
struct Admitted {
    member: VerifiedMember,
    account: Account,
    in_flight: InFlight,
    client: Option<ProxiedClient>,
}

fn admit(connection: &Connection, parts: &request::Parts) -> Result<Admitted, Refusal> {
    let (member, slot) = connection.identity.as_ref().map_err(|code| Refusal::new(*code))?;
    if member.role() == Role::FrontProxy {
        return admit_proxied(connection, parts);
    }
    connection.shared.config.limits.spend(slot.name())?;
    check_head(connection, parts)?;
    if front_proxy::NAMES.iter().any(|name| parts.headers.contains_key(name)) {
        return Err(RefusalCode::MemberHeader.into());
    }
    let in_flight = begin_request(slot)?;
    Ok(Admitted { member: member.clone(), account: slot.account().clone(), in_flight, client: None })
}

/// The same for a request through the front proxy: everything is the named member's.
fn admit_proxied(connection: &Connection, parts: &request::Parts) -> Result<Admitted, Refusal> {
    let shared = &connection.shared;
    if !shared.config.front_proxy {
        return Err(RefusalCode::FrontProxyOff.into());
    }
    let client = connection.sessions.find(&parts.headers, shared)?;
    let (member, slot) = (&client.sender.member, &client.sender.slot);
    shared.config.limits.spend(slot.name())?;
    check_head(connection, parts)?;
    let in_flight = begin_request(slot)?;
    Ok(Admitted { member: member.clone(), account: slot.account().clone(), in_flight, client: Some(client) })
}

/// What holds for every head.
fn check_head(connection: &Connection, parts: &request::Parts) -> Result<(), Refusal> {
    head::check(parts, connection.shared.config.caps.header_count).map_err(|code| {
        let liveness = &connection.liveness;
        if code == RefusalCode::HeaderHost && !liveness.is_h2() {
            // Whoever made such a head may not agree with us about where it ends.
            liveness.retire();
        }
        code.into()
    })
}

fn begin_request(slot: &Arc<MemberSlot>) -> Result<InFlight, Refusal> {
    slot.begin_request().ok_or_else(|| RefusalCode::LimitMemberRequests.into())
}
