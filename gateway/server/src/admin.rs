//! The officers' listener: mutual TLS like the exchange, officers only. A request is turned once into one of the three
//! officers; what changes something takes the officer it needs by type, so a wrong role cannot reach it. Whoever tries
//! what is not theirs, or shows certificates that are refused, is locked out for a while. Whatever changes something is an
//! entry of the log with the officer's name. Which path there is, and who may ask for what, stands in [`rows`]; what is said
//! there in [`crate::officers`].

mod body;
mod lockout;
mod proposals;
mod registry;
mod reload;
pub mod session;
mod streams;

use crate::governance::{Governor, Officer, note_officer};
use crate::routes::{Route, Row, Table};
use crate::trust::TrustKeeper;
use lockout::{Lockouts, Who};
use std::sync::Arc;
use std::time::{Duration, Instant};
use xinqiao_certs::Role;
use xinqiao_edge::local::Readiness;
use xinqiao_edge::{Exchange, Refused, Reply};
use xinqiao_node::engine::Node;
use xinqiao_runtime::metrics::Metric;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// The OpenAPI 3.1 document, as served.
pub const OPENAPI: &str = include_str!("admin/openapi.json");

/// Where officers work.
pub struct OfficersApi {
    node: Arc<Node>,
    governor: Arc<Governor>,
    keeper: Arc<TrustKeeper>,
    lockouts: Lockouts,
    readiness: Readiness,
}

/// An officer in the office.
struct OfficerCall {
    api: Arc<OfficersApi>,
    officer: Officer,
}

const OFFICERS: &[Role] = &[Role::SystemOfficer, Role::SecurityOfficer, Role::Auditor];
/// Those who decide.
const SECURITY: &[Role] = &[Role::SecurityOfficer];
/// Those who keep the node running.
const SYSTEM: &[Role] = &[Role::SystemOfficer];
/// Those who may see members' affairs.
const READERS: &[Role] = &[Role::SecurityOfficer, Role::Auditor];

type Rows = Route<OfficerCall>;

static ROUTES: [Rows; 27] = [
    Rows::get("/v1/status", OFFICERS, &[], |c| Box::pin(registry::status(c))),
    Rows::get("/v1/streams", OFFICERS, &[], |c| Box::pin(streams::list(c))),
    Rows::post("/v1/streams/{stream}/hold", SECURITY, &[], |c| Box::pin(streams::hold(c, true))),
    Rows::post("/v1/streams/{stream}/release", SECURITY, &[], |c| Box::pin(streams::hold(c, false))),
    Rows::post("/v1/streams/{stream}/retry", SYSTEM, &[], |c| Box::pin(streams::retry(c))),
    Rows::get("/v1/streams/{stream}/withheld", OFFICERS, &[], |c| Box::pin(streams::withheld(c))),
    Rows::post("/v1/streams/{stream}/withheld/{chunk}", SECURITY, &[], |c| Box::pin(streams::rule(c))),
    Rows::get("/v1/trace", READERS, &["dataset", "member", "ref", "recipient", "key"], |c| {
        Box::pin(streams::trace(c))
    }),
    Rows::get("/v1/documents/{digest}", OFFICERS, &[], |c| Box::pin(registry::document(c))),
    Rows::get("/v1/members", OFFICERS, &[], |c| Box::pin(registry::members(c))),
    Rows::get("/v1/members/{name}", OFFICERS, &[], |c| Box::pin(registry::member(c))),
    // Closing someone out waits for nobody: strangers behind the same address must not be able to prevent it.
    Rows::post("/v1/members/{name}/suspend", SECURITY, &[], |c| Box::pin(proposals::suspend(c))).urgent(),
    Rows::get("/v1/trust", OFFICERS, &[], |c| Box::pin(registry::trust(c))),
    Rows::get("/v1/certificates", OFFICERS, &[], |c| Box::pin(registry::certificates(c))),
    Rows::get("/v1/keys/status", OFFICERS, &[], |c| Box::pin(registry::keys(c))),
    Rows::get("/v1/policies", OFFICERS, &[], |c| Box::pin(registry::policies(c))),
    Rows::get("/v1/proposals", OFFICERS, &["state", "limit"], |c| Box::pin(proposals::list(c))),
    Rows::post("/v1/proposals", SECURITY, &["dry-run"], |c| Box::pin(proposals::propose(c))),
    Rows::get("/v1/proposals/{id}", OFFICERS, &[], |c| Box::pin(proposals::show(c))),
    Rows::post("/v1/proposals/{id}/approve", SECURITY, &[], |c| Box::pin(proposals::approve(c))),
    Rows::post("/v1/proposals/{id}/reject", SECURITY, &[], |c| Box::pin(proposals::reject(c))),
    Rows::post("/v1/proposals/{id}/withdraw", SECURITY, &[], |c| Box::pin(proposals::withdraw(c))),
    Rows::post("/v1/reload", &[Role::SystemOfficer, Role::SecurityOfficer], &["dry-run"], |c| {
        Box::pin(reload::reload(c))
    }),
    Rows::get("/v1/log/entries", READERS, &["from", "limit", "last"], |c| Box::pin(registry::entries(c))),
    Rows::get("/v1/lockouts", OFFICERS, &[], |c| Box::pin(registry::lockouts(c))),
    Rows::post("/v1/lockouts/{name}/lift", OFFICERS, &[], |c| Box::pin(proposals::lift(c))),
    Rows::get("/v1/openapi.json", OFFICERS, &[], |c| Box::pin(registry::openapi(c))),
];
static TABLE: Table<OfficerCall> = Table { routes: &ROUTES, head: false };

/// Every path and method of this listener, with who may ask and which query parameters there are.
pub fn rows() -> impl Iterator<Item = Row> {
    TABLE.rows()
}

impl OfficersApi {
    /// Over this node.
    pub fn new(
        node: Arc<Node>,
        governor: Arc<Governor>,
        keeper: Arc<TrustKeeper>,
        readiness: Readiness,
    ) -> Arc<Self> {
        let officers = &node.config.officers;
        let lockouts =
            Lockouts::new(officers.lockout_failures, Duration::from_secs(officers.lockout_seconds));
        Arc::new(Self { node, governor, keeper, lockouts, readiness })
    }

    /// What the listener tells of refused certificates.
    pub fn on_refused(self: &Arc<Self>) -> Refused {
        let api = self.clone();
        Box::new(move |address| {
            let who = Who::address(address);
            if api.lockouts.failed(&who, None, Instant::now()) {
                api.node.metrics.0.add(Metric::OfficerLockouts, &["address"], 1);
                tracing::warn!(address = who.name(), "an address is locked out of the officers' listener");
            }
        })
    }

    /// Notes what an officer was refused; too much of it locks them out.
    async fn refused(&self, officer: &Officer, code: RefusalCode) {
        use RefusalCode::{OfficerSelf, ProposalDigest, ProposalNotOwn, ProposalOwn, RoleWrong};
        if !matches!(code, RoleWrong | OfficerSelf | ProposalOwn | ProposalNotOwn | ProposalDigest) {
            return;
        }
        let who = Who::Officer(officer.name().to_owned());
        if self.lockouts.failed(&who, Some(officer.role()), Instant::now()) {
            self.node.metrics.0.add(Metric::OfficerLockouts, &["officer"], 1);
            tracing::warn!(officer = officer.name(), "an officer is locked out after failures");
            let noted = note_officer(&self.node, "locked-out", officer.name(), officer, None).await;
            if let Err(problem) = noted {
                tracing::error!(%problem, "the lock-out could not be written to the log");
            }
        }
    }
}

/// Answers one request of an officer.
pub async fn route(api: Arc<OfficersApi>, exchange: Exchange) -> Reply {
    let uri = exchange.parts.uri.clone();
    let found = TABLE.find(uri.path());
    let template = found.template();
    let address = Who::address(exchange.peer.ip());
    let officer = match Officer::try_from(exchange.member.clone()) {
        Ok(officer) => officer,
        Err(code) => {
            (api.on_refused())(exchange.peer.ip());
            return Reply::problem(template, code);
        }
    };
    let now = Instant::now();
    let address = (!found.is_urgent()).then_some(address);
    let own = Who::Officer(officer.name().to_owned());
    let left = address.iter().chain([&own]).find_map(|who| api.lockouts.left(who, now));
    if let Some(seconds) = left {
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        return Reply::problem(template, Refusal::new(RefusalCode::OfficerLockedOut).retry_after(seconds));
    }
    let call = OfficerCall { api, officer };
    match TABLE.response(&call, exchange, &uri, found).await {
        Ok(reply) => reply,
        Err(problem) => {
            call.api.refused(&call.officer, problem.code()).await;
            Reply::problem(template, problem)
        }
    }
}
