//! Trying a set before it goes live: a handshake with the peers' own verifier, and a judgement of every certificate that
//! members really connected with.

use super::report::{Affected, Report, SetRefused};
use super::seen::{SeenChain, name_of};
use super::set::TrustSet;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_rustls::rustls::{ClientConnection, Error, ServerConfig, ServerConnection};
use xinqiao_certs::{Details, Identity, ServerName, Trust, UnixTime, tls};
use xinqiao_explain::{Explain, Explanation};

/// Flights of a handshake, with room to spare.
const FLIGHTS: usize = 8;

/// Everything members and officers are checked by.
pub(super) struct Rehearsal<'a> {
    pub(super) live: &'a TrustSet,
    pub(super) next: &'a TrustSet,
    pub(super) seen: &'a [SeenChain],
    /// Chains (as [`xinqiao_certs::chain_digest`] names them) of connections that are open now.
    pub(super) connected: &'a BTreeSet<[u8; 32]>,
    pub(super) now: UnixTime,
}

impl Rehearsal<'_> {
    /// What the change would do. An error: the set cannot serve at all.
    pub(super) fn run(&self, locked_out: &[String]) -> Result<Report, SetRefused> {
        let mut report = Report { changed: self.next.changed(self.live), ..Report::default() };
        report.notes = self.next.notes.clone();
        if report.changed.iter().any(|part| part == "identity") {
            self.names(locked_out)?;
        }
        self.server(&report.changed, &mut report.notes)?;
        if !self.only_suspends() {
            self.members(&mut report);
        }
        Ok(report)
    }

    /// Every name the old certificate could be dialled by must still be good.
    fn names(&self, locked_out: &[String]) -> Result<(), SetRefused> {
        let names = |identity: &Identity| {
            let leaf = identity.details().into_iter().next();
            leaf.map_or_else(Vec::new, |d| names_of(&d))
        };
        let trust = &self.next.trust;
        let lost: Vec<String> = names(&self.live.identity)
            .into_iter()
            .filter(|name| !names(&self.next.identity).contains(name))
            .filter(|name| {
                let refused = self.next.identity.check_as_server(trust, &[name.as_str()], self.now);
                refused.is_err_and(|e| e.code() == "identity.wrong-name")
            })
            .filter(|name| !locked_out.contains(name))
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        Err(SetRefused::new(
            "identity.names-lost",
            format!(
                "the new server certificate is not for {}, by which members dial this node; request one with these names, or restart the node to give them up",
                lost.join(", ")
            ),
            format!(
                "新的服务端证书不含成员正在使用的名称 {}；请申请包含这些名称的证书，如确需放弃请重启节点",
                lost.join("、")
            ),
        ))
    }

    /// Peers that trust what this node's anchors say must be able to shake hands with it: those who have not yet taken the
    /// new anchors, and those who have.
    fn server(&self, changed: &[String], notes: &mut Vec<Explanation>) -> Result<(), SetRefused> {
        let changed = |part: &str| changed.iter().any(|c| c == part);
        let Some(name) = first_name(&self.next.identity) else { return Ok(()) };
        if self.live.identity.check_as_server(&self.live.trust, &[], self.now).is_err() {
            // Peers trust this node by an authority that is none of ours.
            return Ok(());
        }
        let mut peers: Vec<&Arc<Trust>> = Vec::new();
        if changed("identity") {
            peers.push(&self.live.trust);
        }
        if changed("identity") || changed("anchors") || changed("revocation") {
            peers.push(&self.next.trust);
        }
        for trust in peers {
            let Err(error) = handshake(&self.next.exchange, &self.next.identity, trust, &name) else {
                continue;
            };
            let why = self.next.identity.check_as_server(trust, &[], self.now).err();
            let code = why.as_ref().map(Explanation::code);
            if matches!(code, Some("identity.status-stale" | "identity.status-unknown")) {
                // Which lists this node lacks says nothing about its peers; its members are checked below.
                continue;
            }
            let revoked = why.as_ref().is_some_and(|e| e.code() == "identity.revoked");
            if revoked && !changed("identity") {
                // The list is right, and must work for everyone else: this node needs a new certificate.
                notes.push(Explanation::new(
                    "identity.revoked",
                    "this node's own certificate was revoked; put a new certificate and key in place at once",
                    "本节点自身的证书已被吊销，请立即更换证书与私钥",
                ));
                continue;
            }
            let (why, why_zh) = match &why {
                Some(e) => (e.english(), e.chinese()),
                None => (error.to_string(), error.to_string()),
            };
            return Err(SetRefused::new(
                "identity.peers-would-refuse",
                format!("members would refuse this node's server certificate under this set: {why}"),
                format!("在该配置下成员将拒绝本节点的服务端证书：{why_zh}"),
            ));
        }
        Ok(())
    }

    /// Suspending is closing: it waits for nothing.
    fn only_suspends(&self) -> bool {
        let (live, next) = (self.live, self.next);
        let unsuspended = |members: &[xinqiao_node::config::Member]| -> Vec<xinqiao_node::config::Member> {
            members.iter().map(|m| xinqiao_node::config::Member { suspended: false, ..m.clone() }).collect()
        };
        Arc::ptr_eq(&live.trust, &next.trust)
            && unsuspended(&live.members) == unsuspended(&next.members)
            && live.members.iter().zip(&next.members).all(|(then, now)| now.suspended || !then.suspended)
    }

    fn members(&self, report: &mut Report) {
        if Arc::ptr_eq(&self.live.registry, &self.next.registry) {
            return;
        }
        let mut kept: Vec<&SeenChain> = Vec::new();
        let mut lost: Vec<(&SeenChain, Affected, bool)> = Vec::new();
        for chain in self.seen {
            let Ok(was) = self.live.registry.identify(&chain.chain, self.now) else { continue };
            let why = match self.next.registry.identify(&chain.chain, self.now) {
                Ok(is) if is.name() == was.name() && is.role() == was.role() => {
                    kept.push(chain);
                    continue;
                }
                Ok(is) => Explanation::new(
                    "member.another",
                    format!("the certificate would be {}'s, as {}", is.name(), is.role()),
                    format!("该证书将归属 {}（{}）", is.name(), is.role()),
                ),
                Err(e) => e.explain(),
            };
            let intended = matches!(why.code(), "certificate.revoked" | "member.suspended")
                || self.next.overlay.removed(was.name());
            let affected = Affected {
                member: was.name().to_owned(),
                chain: name_of(&chain.chain).to_hex(),
                last_seen: chain.last,
                why,
            };
            lost.push((chain, affected, intended));
        }
        for (chain, affected, intended) in lost {
            if intended {
                report.intended.push(affected);
            } else if !self.superseded(chain, &kept) {
                report.affected.push(affected);
            }
        }
        report.affected.sort_by(|a, b| a.member.cmp(&b.member));
        report.intended.sort_by(|a, b| a.member.cmp(&b.member));
    }

    /// The member has moved on: it came later with a younger certificate that stays good, and no connection uses the old one.
    fn superseded(&self, chain: &SeenChain, kept: &[&SeenChain]) -> bool {
        !self.connected.contains(&chain.digest)
            && kept
                .iter()
                .any(|k| k.member == chain.member && k.last >= chain.last && k.issued >= chain.issued)
    }
}

fn names_of(details: &Details) -> Vec<String> {
    let ips = details.ips.iter().map(std::net::IpAddr::to_string);
    details.dns.iter().cloned().chain(ips).collect()
}

fn first_name(identity: &Identity) -> Option<ServerName<'static>> {
    let leaf = identity.details().into_iter().next()?;
    let plain = |name: &String| !name.starts_with('*');
    names_of(&leaf).into_iter().filter(plain).find_map(|name| ServerName::try_from(name).ok())
}

/// A handshake in memory, up to the point where the client has verified the server. What the server thinks of the client,
/// which shows the node's own certificate, does not matter here.
fn handshake(
    server: &Arc<ServerConfig>,
    identity: &Identity,
    trust: &Arc<Trust>,
    name: &ServerName<'static>,
) -> Result<(), Error> {
    let mut client = ClientConnection::new(tls::client_config(identity, trust), name.clone())?;
    let mut server = ServerConnection::new(server.clone())?;
    for _ in 0..FLIGHTS {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).map_err(|e| Error::General(e.to_string()))?;
        }
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).map_err(|e| Error::General(e.to_string()))?;
            server.process_new_packets()?;
        }
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).map_err(|e| Error::General(e.to_string()))?;
        }
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).map_err(|e| Error::General(e.to_string()))?;
            client.process_new_packets()?;
        }
        if !client.is_handshaking() {
            return Ok(());
        }
    }
    Err(Error::General("the handshake did not end".into()))
}
