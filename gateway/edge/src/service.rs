//! One request: admitted, handed over, answered, whatever the handler does.

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

use super::Exchange;
use super::body::RequestBody;
use super::connection::Connection;
use super::front_proxy::{self, Passage};
use super::head;
use super::reply::{Reply, ReplyBody};
use super::ticket::Ticket;
use xinqiao_runtime::Account;
use xinqiao_runtime::metrics::Metric;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// What log and metrics call a request that got no further than the edge.
const EDGE_ROUTE: &str = "edge";
pin_project! {
    /// One request being answered. Written out, since nested `async` blocks hold their arguments
    /// twice, and a request would be copied around by the kilobyte.
    pub(super) struct Answer<F> {
        #[pin]
        work: Work<F>,
        ticket: Option<Ticket>,
        connection: Arc<Connection>,
    }
}

pin_project! {
    #[project = Working]
    enum Work<F> {
        Handled { #[pin] handling: F },
        Refused { reply: Option<Reply> },
    }
}

pub(super) fn answer<H, F>(connection: Arc<Connection>, handler: &H, request: Request<Incoming>) -> Answer<F>
where
    H: Fn(Exchange) -> F,
    F: Future<Output = Reply>,
{
    let (parts, incoming) = request.into_parts();
    let trace = connection.traces.next();
    let mut ticket = Ticket::open(connection.clone(), &parts.method, trace);
    let work = match admit(&connection, &parts) {
        Ok(Admitted { member, account, passage }) => {
            let through = passage.as_ref().map(|_| connection.member_name().clone());
            ticket.take_turn(passage);
            let body = RequestBody::new(incoming, &parts.headers, connection.clone(), account.clone());
            let (drain, peer) = (connection.drain.clone(), connection.peer);
            let exchange = Exchange { member, parts, body, peer, through, trace, account, drain };
            match catch_unwind(AssertUnwindSafe(|| handler(exchange))) {
                Ok(handling) => Work::Handled { handling },
                Err(_panic) => Work::Refused { reply: Some(panicked(&connection)) },
            }
        }
        Err(problem) => {
            if !incoming.is_end_stream() {
                connection.leave_body_unread();
            }
            Work::Refused { reply: Some(Reply::problem(EDGE_ROUTE, problem)) }
        }
    };
    Answer { work, ticket: Some(ticket), connection }
}

impl<F: Future<Output = Reply>> Future for Answer<F> {
    type Output = Result<Response<ReplyBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let connection = &*this.connection;
        let ended = this.ticket.as_mut().and_then(|ticket| ticket.poll_ended(cx));
        let reply = match this.work.project() {
            _ if ended.is_some() => {
                connection.leave_body_unread();
                Reply::problem(EDGE_ROUTE, ended.expect("just looked"))
            }
            // A panic costs this request, not the connection.
            Working::Handled { handling } => match catch_unwind(AssertUnwindSafe(|| handling.poll(cx))) {
                Ok(polled) => ready!(polled),
                Err(_panic) => panicked(connection),
            },
            Working::Refused { reply } => reply.take().expect("a finished answer is not polled again"),
        };
        let ticket = this.ticket.take().expect("a finished answer is not polled again");
        let mut response = ticket.send(reply);
        if !connection.is_h2()
            && (connection.identity.is_err() || connection.body_left_unread() || connection.is_retiring())
        {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        } else if connection.identity.is_err() {
            connection.finish();
        }
        Poll::Ready(Ok(response))
    }
}

fn panicked(connection: &Connection) -> Reply {
    connection.shared.metrics.add(Metric::HttpPanics, &[], 1);
    Reply::problem(EDGE_ROUTE, RefusalCode::Internal)
}

/// A request whose member is known and has room for it.
struct Admitted {
    member: VerifiedMember,
    account: Account,
    passage: Option<Passage>,
}

fn admit(connection: &Connection, parts: &request::Parts) -> Result<Admitted, Refusal> {
    let (member, seat) = connection.identity.as_ref().map_err(|code| Refusal::new(*code))?;
    let shared = &connection.shared;
    if member.role() == Role::FrontProxy {
        return admit_named(connection, parts);
    }
    shared.config.limits.spend(&seat.place.name)?;
    judge_head(connection, parts)?;
    if front_proxy::NAMES.iter().any(|name| parts.headers.contains_key(name)) {
        return Err(RefusalCode::MemberHeader.into());
    }
    if !seat.take_turn() {
        return Err(RefusalCode::LimitMemberRequests.into());
    }
    Ok(Admitted { member: member.clone(), account: seat.account.clone(), passage: None })
}

/// What holds for every head.
fn judge_head(connection: &Connection, parts: &request::Parts) -> Result<(), Refusal> {
    head::check(parts, connection.shared.config.caps.header_count).map_err(|code| {
        if code == RefusalCode::HeaderHost && !connection.is_h2() {
            // Whoever made such a head may not agree with us about where it ends.
            connection.retire();
        }
        code.into()
    })
}

/// The same for a request through the front proxy: everything is the named member's.
fn admit_named(connection: &Connection, parts: &request::Parts) -> Result<Admitted, Refusal> {
    let shared = &connection.shared;
    if !shared.config.front_proxy {
        return Err(RefusalCode::FrontProxyOff.into());
    }
    let passage = connection.sessions.find(&parts.headers, shared)?;
    let (member, seat) = (&passage.sender.member, &passage.sender.seat);
    shared.config.limits.spend(&seat.place.name)?;
    judge_head(connection, parts)?;
    if !seat.take_turn() {
        return Err(RefusalCode::LimitMemberRequests.into());
    }
    Ok(Admitted { member: member.clone(), account: seat.account.clone(), passage: Some(passage) })
}
