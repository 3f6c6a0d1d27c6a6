//! The pinned front proxy: a member that ends TLS in front of this node and names, per request, the client it saw.
//!
//! The proxy proves itself by its own certificate; what it passes in `Client-Cert` (RFC 9440) is checked exactly as
//! in a handshake, by the same trust, lists and registry. From then on the request is the named member's:
//! rates, requests in flight, memory and the log. The proxy's own name opens nothing.
//!
//! A chain is checked once a second at most, and again whenever members, trust or lists change: what a member that is
//! no longer let in has in flight ends then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use xinqiao_certs::{Role, VerifiedMember};
use xinqiao_crypto::Sha256;

use super::Identify;
use super::member_table::MemberSlot;
use super::shared::Shared;
use xinqiao_runtime::Drain;
use xinqiao_runtime::refusal::RefusalCode;

mod header;

pub(super) use header::NAMES;
pub use header::Named;

/// How long the result of a check serves further requests.
const FRESH: Duration = Duration::from_secs(1);
/// Clients remembered per connection beyond those with a request in flight.
const REMEMBERED: usize = 64;

/// The clients one proxy connection has named.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<[u8; 32], Arc<Session>>>);

/// One client behind the proxy.
pub(super) struct Session {
    chain: Vec<CertificateDer<'static>>,
    verdict: Mutex<Verdict>,
    /// Given when the client is no longer who it was.
    pub(super) ended: Drain,
}

struct Verdict {
    sender: Result<Arc<Sender>, RefusalCode>,
    checked: Option<Instant>,
}

/// The member a client proved to be, and what counts its requests.
pub(super) struct Sender {
    pub(super) member: VerifiedMember,
    pub(super) slot: Arc<MemberSlot>,
}

/// The client a request through the proxy is from.
#[derive(Clone)]
pub(super) struct ProxiedClient {
    pub(super) session: Arc<Session>,
    pub(super) sender: Arc<Sender>,
}

impl Sessions {
    /// The member named by these headers.
    pub(super) fn find(&self, headers: &HeaderMap, shared: &Shared) -> Result<ProxiedClient, RefusalCode> {
        let named = Named::in_headers(headers)?;
        let key = key_of(&named);
        let known = self.0.lock().get(&key).cloned();
        let session = match known {
            Some(session) => session,
            None => self.list(key, Session::new(named.chain()?)),
        };
        // Checked after it was listed, so that a change meanwhile is seen by one side or the other.
        let sender = session.check(shared).inspect_err(|_| self.forget_ended(&key))?;
        Ok(ProxiedClient { session, sender })
    }

    /// Checks every client again; returns how many are no longer the same member.
    pub(super) fn recheck(&self, shared: &Shared, identify: &Identify) -> usize {
        let sessions: Vec<_> = self.0.lock().values().cloned().collect();
        for session in &sessions {
            session.check_by(&mut session.verdict.lock(), shared, identify);
        }
        let mut ended = 0;
        self.0.lock().retain(|_, session| {
            ended += usize::from(session.ended.begun());
            !session.ended.begun()
        });
        ended
    }

    fn list(&self, key: [u8; 32], session: Session) -> Arc<Session> {
        let mut sessions = self.0.lock();
        if sessions.len() >= REMEMBERED {
            // Only those in flight are held elsewhere too, and streams are capped.
            sessions.retain(|_, session| Arc::strong_count(session) > 1);
        }
        sessions.entry(key).or_insert_with(|| Arc::new(session)).clone()
    }

    fn forget_ended(&self, key: &[u8; 32]) {
        let mut sessions = self.0.lock();
        if sessions.get(key).is_some_and(|session| session.ended.begun()) {
            sessions.remove(key);
        }
    }
}

impl Session {
    fn new(chain: Vec<CertificateDer<'static>>) -> Self {
        let unchecked = Verdict { sender: Err(RefusalCode::MemberUnknown), checked: None };
        Self { chain, verdict: Mutex::new(unchecked), ended: Drain::new() }
    }

    fn check(&self, shared: &Shared) -> Result<Arc<Sender>, RefusalCode> {
        let mut verdict = self.verdict.lock();
        if verdict.checked.is_none_or(|at| at.elapsed() > FRESH) {
            // Read under the lock: what a recheck has found is never replaced by an older opinion.
            let identify = (shared.config.tls_policy)().identify;
            self.check_by(&mut verdict, shared, &identify);
        }
        verdict.sender.clone()
    }

    fn check_by(&self, verdict: &mut Verdict, shared: &Shared, identify: &Identify) {
        verdict.checked = Some(Instant::now());
        let found = identify(&self.chain).and_then(|member| match member.role() {
            role if role.is_officer() || role == Role::FrontProxy => Err(RefusalCode::FrontProxyRole),
            _ => Ok(member),
        });
        verdict.sender = match (found, &verdict.sender) {
            (Ok(now), Ok(then)) if same(&now, &then.member) => return,
            (Ok(now), Err(_)) => {
                let slot = shared.members.proxied(now.name());
                Ok(Arc::new(Sender { member: now, slot }))
            }
            (found, Ok(_)) => {
                self.ended.begin();
                Err(found.err().unwrap_or(RefusalCode::MemberUnknown))
            }
            (Err(code), Err(_)) => Err(code),
        };
    }

    /// Why the client is refused, if it is.
    pub(super) fn refusal(&self) -> RefusalCode {
        self.verdict.lock().sender.as_ref().err().copied().unwrap_or(RefusalCode::MemberUnknown)
    }
}

fn same(now: &VerifiedMember, then: &VerifiedMember) -> bool {
    now.name() == then.name() && now.role() == then.role()
}

fn key_of(named: &Named<'_>) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(&(named.leaf.len() as u64).to_be_bytes());
    digest.update(named.leaf);
    // An empty header is another request than none: the first is refused.
    digest.update(&[u8::from(named.issuers.is_some())]);
    digest.update(named.issuers.unwrap_or_default());
    digest.finish()
}
