//! The officers' listener: mutual TLS like the exchange, officers only. A request is turned once into one of the three
//! officers; what changes something takes the officer it needs by type, so a wrong role cannot reach it. Whoever tries
//! what is not his, or shows certificates that are refused, is locked out for a while. Whatever changes something is an
//! entry of the log with the officer's name.

mod lockout;
mod proposals;
mod registry;
mod reload;
pub mod session;
mod streams;

use crate::governance::{Governor, Officer, note_officer};
use crate::standing::Keeper;
use bytes::Bytes;
use http::{Method, StatusCode};
use lockout::{Lockouts, Who};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xinqiao_edge::local::Readiness;
use xinqiao_edge::{Exchange, Refused, Reply};
use xinqiao_node::engine::Node;
use xinqiao_runtime::metrics::Metric;
use xinqiao_runtime::problem::{Problem, ProblemCode};

/// Where officers work.
pub struct Office {
    node: Arc<Node>,
    governor: Arc<Governor>,
    keeper: Arc<Keeper>,
    lockouts: Lockouts,
    readiness: Readiness,
}

/// What a path is, with the names in it.
#[derive(Debug, PartialEq, Eq)]
enum Path<'a> {
    Streams,
    Withheld(&'a str),
    Hold(&'a str, bool),
    Rule(&'a str, &'a str),
    Retry(&'a str),
    Trace,
    Document(&'a str),
    Members,
    Member(&'a str),
    Suspend(&'a str),
    Trust,
    Certificates,
    KeyStatus,
    Policies,
    Proposals,
    Proposal(&'a str),
    Decide(&'a str, &'a str),
    Reload,
    Entries,
    Status,
    Lockouts,
    Lift(&'a str),
    Unknown,
}

impl<'a> Path<'a> {
    fn parse(path: &'a str) -> Self {
        let Some(rest) = path.strip_prefix("/v1/") else { return Path::Unknown };
        let parts: Vec<&str> = rest.splitn(5, '/').collect();
        match parts.as_slice() {
            ["streams"] => Path::Streams,
            ["streams", stream, "withheld"] => Path::Withheld(stream),
            ["streams", stream, what @ ("hold" | "release")] => Path::Hold(stream, *what == "hold"),
            ["streams", stream, "withheld", chunk] => Path::Rule(stream, chunk),
            ["streams", stream, "retry"] => Path::Retry(stream),
            ["trace"] => Path::Trace,
            ["documents", digest] => Path::Document(digest),
            ["members"] => Path::Members,
            ["members", name] => Path::Member(name),
            ["members", name, "suspend"] => Path::Suspend(name),
            ["trust"] => Path::Trust,
            ["certificates"] => Path::Certificates,
            ["keys", "status"] => Path::KeyStatus,
            ["policies"] => Path::Policies,
            ["proposals"] => Path::Proposals,
            ["proposals", id] => Path::Proposal(id),
            ["proposals", id, what @ ("approve" | "reject" | "withdraw")] => Path::Decide(id, what),
            ["reload"] => Path::Reload,
            ["log", "entries"] => Path::Entries,
            ["status"] => Path::Status,
            ["lockouts"] => Path::Lockouts,
            ["lockouts", name, "lift"] => Path::Lift(name),
            _ => Path::Unknown,
        }
    }

    /// The template that goes to metrics and logs.
    fn template(&self) -> &'static str {
        match self {
            Path::Streams => "/v1/streams",
            Path::Withheld(_) => "/v1/streams/{stream}/withheld",
            Path::Hold(..) => "/v1/streams/{stream}/hold",
            Path::Rule(..) => "/v1/streams/{stream}/withheld/{chunk}",
            Path::Retry(_) => "/v1/streams/{stream}/retry",
            Path::Trace => "/v1/trace",
            Path::Document(_) => "/v1/documents/{digest}",
            Path::Members => "/v1/members",
            Path::Member(_) => "/v1/members/{name}",
            Path::Suspend(_) => "/v1/members/{name}/suspend",
            Path::Trust => "/v1/trust",
            Path::Certificates => "/v1/certificates",
            Path::KeyStatus => "/v1/keys/status",
            Path::Policies => "/v1/policies",
            Path::Proposals => "/v1/proposals",
            Path::Proposal(_) => "/v1/proposals/{id}",
            Path::Decide(..) => "/v1/proposals/{id}/{decision}",
            Path::Reload => "/v1/reload",
            Path::Entries => "/v1/log/entries",
            Path::Status => "/v1/status",
            Path::Lockouts => "/v1/lockouts",
            Path::Lift(_) => "/v1/lockouts/{name}/lift",
            Path::Unknown => "unknown",
        }
    }

    /// The methods it knows.
    fn methods(&self) -> &'static [Method] {
        match self {
            Path::Proposals => &[Method::GET, Method::POST],
            Path::Hold(..)
            | Path::Rule(..)
            | Path::Retry(_)
            | Path::Suspend(_)
            | Path::Decide(..)
            | Path::Reload
            | Path::Lift(_) => &[Method::POST],
            _ => &[Method::GET],
        }
    }
}

#[derive(Serialize)]
struct List<T> {
    items: Vec<T>,
}

impl Office {
    /// Over this node.
    pub fn new(
        node: Arc<Node>,
        governor: Arc<Governor>,
        keeper: Arc<Keeper>,
        readiness: Readiness,
    ) -> Arc<Self> {
        let officers = &node.config.officers;
        let lockouts =
            Lockouts::new(officers.lockout_failures, Duration::from_secs(officers.lockout_seconds));
        Arc::new(Self { node, governor, keeper, lockouts, readiness })
    }

    /// What the listener tells of refused certificates.
    pub fn on_refused(self: &Arc<Self>) -> Refused {
        let office = self.clone();
        Box::new(move |address| {
            let who = Who::address(address);
            if office.lockouts.failed(&who, None, Instant::now()) {
                office.node.metrics.0.add(Metric::OfficerLockouts, &["address"], 1);
                tracing::warn!(address = who.name(), "an address is locked out of the officers' listener");
            }
        })
    }

    /// Notes what an officer was refused; too much of it locks him out.
    async fn refused(&self, officer: &Officer, code: ProblemCode) {
        use ProblemCode::{OfficerSelf, ProposalDigest, ProposalNotOwn, ProposalOwn, RoleWrong};
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
pub async fn route(office: Arc<Office>, exchange: Exchange) -> Reply {
    let uri = exchange.parts.uri.clone();
    let path = Path::parse(uri.path());
    let template = path.template();
    let address = Who::address(exchange.peer.ip());
    let officer = match Officer::try_from(exchange.member.clone()) {
        Ok(officer) => officer,
        Err(code) => {
            (office.on_refused())(exchange.peer.ip());
            return Reply::problem(template, code);
        }
    };
    let now = Instant::now();
    // Closing someone out waits for nobody: strangers behind the same address must not be able to prevent it.
    let address = (!matches!(path, Path::Suspend(_))).then_some(address);
    let own = Who::Officer(officer.name().to_owned());
    let left = address.iter().chain([&own]).find_map(|who| office.lockouts.left(who, now));
    if let Some(seconds) = left {
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        return Reply::problem(template, Problem::new(ProblemCode::OfficerLockedOut).retry_after(seconds));
    }
    match answer(&office, &officer, exchange, &path, template).await {
        Ok(reply) => reply,
        Err(problem) => {
            office.refused(&officer, problem.code()).await;
            Reply::problem(template, problem)
        }
    }
}

async fn answer(
    office: &Arc<Office>,
    officer: &Officer,
    exchange: Exchange,
    path: &Path<'_>,
    template: &'static str,
) -> Result<Reply, Problem> {
    if *path == Path::Unknown {
        return Err(ProblemCode::NotFound.into());
    }
    let method = exchange.parts.method.clone();
    if !path.methods().contains(&method) {
        let allow = match path.methods() {
            [one] if *one == Method::POST => "POST",
            [_] => "GET",
            _ => "GET, POST",
        };
        return Err(Problem::new(ProblemCode::MethodNotAllowed).allow(allow));
    }
    match *path {
        Path::Streams => streams::list(office, template),
        Path::Withheld(stream) => streams::withheld(office, stream, template),
        Path::Hold(stream, held) => streams::hold(office, officer, exchange, stream, held, template).await,
        Path::Rule(stream, chunk) => {
            streams::rule(office, officer, exchange, (stream, chunk), template).await
        }
        Path::Retry(stream) => streams::retry(office, officer, stream, template).await,
        Path::Trace => streams::trace(office, officer, &exchange, template).await,
        Path::Document(digest) => document(office, digest, template),
        Path::Members => registry::members(office, None, template),
        Path::Member(name) => registry::members(office, Some(name), template),
        Path::Suspend(name) => proposals::suspend(office, officer, exchange, name, template).await,
        Path::Trust => registry::trust(office, template),
        Path::Certificates => json(template, &List { items: office.keeper.status() }),
        Path::KeyStatus => json(template, &List { items: office.node.keys() }),
        Path::Policies => registry::policies(office, template),
        Path::Proposals if method == Method::POST => {
            proposals::propose(office, officer, exchange, template).await
        }
        Path::Proposals => proposals::list(office, &exchange, template).await,
        Path::Proposal(id) => proposals::show(office, id, template),
        Path::Decide(id, what) => proposals::decide(office, officer, exchange, (id, what), template).await,
        Path::Reload => reload::reload(office, officer, &exchange, template).await,
        Path::Entries => registry::entries(office, officer, &exchange, template).await,
        Path::Status => registry::status(office, template).await,
        Path::Lockouts => json(template, &List { items: office.lockouts.list(Instant::now()) }),
        Path::Lift(name) => proposals::lift(office, officer, exchange, name, template).await,
        Path::Unknown => Err(ProblemCode::NotFound.into()),
    }
}

fn document(office: &Office, digest: &str, template: &'static str) -> Result<Reply, Problem> {
    let good = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    let bytes = office.node.document(digest).filter(|_| good).ok_or_else(|| {
        Problem::new(ProblemCode::NotFound).detail(
            "No document is kept under this digest; `xinqiao admin log` shows digests of documents that are, of lists (`crl`), certificates, proposals and policies among others.",
            "没有以该摘要保存的原文；可读取原文的有吊销列表（crl）、证书、提案、策略等，摘要见 xinqiao admin log。",
        )
    })?;
    let media_type = match bytes.first() {
        Some(b'{') => "application/json",
        _ if bytes.starts_with(b"-----BEGIN") => "application/x-pem-file",
        _ => "application/toml",
    };
    Ok(Reply::bytes(template, StatusCode::OK, media_type, bytes))
}

fn json(template: &'static str, body: &impl Serialize) -> Result<Reply, Problem> {
    let bytes = serde_json::to_vec(body).map_err(|_| ProblemCode::Internal)?;
    Ok(Reply::bytes(template, StatusCode::OK, "application/json", Bytes::from(bytes)))
}
