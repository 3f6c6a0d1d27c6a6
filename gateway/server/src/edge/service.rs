//! One request: admitted, handed over, answered, whatever the handler does.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use http::header::{CONNECTION, HeaderName};
use http::{HeaderValue, Request, Response, request};
use hyper::body::Incoming;
use xinqiao_certs::VerifiedMember;

use super::Exchange;
use super::body::RequestBody;
use super::budget::Account;
use super::connection::Connection;
use super::reply::{Reply, ReplyBody};
use super::ticket::Ticket;
use crate::metrics::Metric;
use crate::problem::{Problem, ProblemCode};

/// What log and metrics call a request that got no further than the edge.
const EDGE_ROUTE: &str = "edge";
/// Only a pinned front proxy may say who a request is from; here nobody may.
const IDENTITY_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("client-cert"), HeaderName::from_static("client-cert-chain")];

pub(super) async fn answer<H, F>(
    connection: Arc<Connection>,
    handler: H,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible>
where
    H: Fn(Exchange) -> F,
    F: Future<Output = Reply>,
{
    let (parts, incoming) = request.into_parts();
    let trace = connection.traces.next();
    let mut ticket = Ticket::open(connection.clone(), &parts.method, trace);
    let reply = match admit(&connection, &parts) {
        Ok((member, account)) => {
            ticket.has_turn = true;
            let body = RequestBody::new(incoming, &parts.headers, connection.clone());
            let drain = connection.drain.clone();
            let peer = connection.peer;
            run(&connection, handler, Exchange { member, parts, body, peer, trace, account, drain }).await
        }
        Err(problem) => {
            if !hyper::body::Body::is_end_stream(&incoming) {
                connection.leave_body_unread();
            }
            Reply::problem(EDGE_ROUTE, problem)
        }
    };
    let mut response = ticket.send(reply);
    if !connection.is_h2() && (connection.identity.is_err() || connection.body_left_unread()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    } else if connection.identity.is_err() {
        connection.finish();
    }
    Ok(response)
}

fn admit(connection: &Connection, parts: &request::Parts) -> Result<(VerifiedMember, Account), Problem> {
    let (member, seat) = connection.identity.as_ref().map_err(|code| Problem::new(*code))?;
    let shared = &connection.shared;
    shared.config.limits.spend(&seat.place.name)?;
    if parts.headers.len() > shared.config.caps.header_count {
        return Err(ProblemCode::HeaderTooMany.into());
    }
    if IDENTITY_HEADERS.iter().any(|name| parts.headers.contains_key(name)) {
        return Err(ProblemCode::MemberHeader.into());
    }
    if !seat.take_turn() {
        return Err(ProblemCode::LimitMemberRequests.into());
    }
    Ok((member.clone(), seat.account.clone()))
}

/// Runs the handler. A panic in it costs this request, not the connection.
async fn run<H, F>(connection: &Connection, handler: H, exchange: Exchange) -> Reply
where
    H: Fn(Exchange) -> F,
    F: Future<Output = Reply>,
{
    let mut work = pin!(async move { handler(exchange).await });
    let done = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(reply)) => Poll::Ready(Some(reply)),
        Err(_panic) => Poll::Ready(None),
    });
    done.await.unwrap_or_else(|| {
        connection.shared.metrics.add(Metric::HttpPanics, &[], 1);
        Reply::problem(EDGE_ROUTE, ProblemCode::Internal)
    })
}
