//! What a handler gets: one request of one verified member.

use std::net::SocketAddr;
use std::sync::Arc;

use xinqiao_certs::VerifiedMember;
use xinqiao_runtime::{Account, Drain};

use super::request_body::RequestBody;
use super::trace::TraceId;

/// One request, its sender proven.
pub struct Exchange {
    /// Who sent it.
    pub member: VerifiedMember,
    /// Method, target and headers.
    pub parts: http::request::Parts,
    /// The body, unread.
    pub body: RequestBody,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The front proxy that named the member, if one did.
    pub through: Option<Arc<str>>,
    /// The number under which log and problem documents know this request.
    pub trace: TraceId,
    /// The member's share of the byte budget, for what the handler holds on top of the body.
    pub account: Account,
    /// Given when the connection is to end, as when the node stops: a long poll answers with what it has.
    pub drain: Drain,
}
