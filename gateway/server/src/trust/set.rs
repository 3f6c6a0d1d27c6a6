//! One set: everything connections are made and checked by, built together, never changed.

use super::lists::{Before, CLOCKS_APART, InForce, Trusted, authorities, trust};
use super::material::{Dial, Material};
use super::report::SetRefused;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::ServerConfig;
use xinqiao_certs::{
    AnchorRights, CertificateDer, Details, Identity, Registry, RevocationPolicy, Trust, TrustAnchors,
    UnixTime, tls,
};
use xinqiao_client::Tls;
use xinqiao_evidence::Digest;
use xinqiao_evidence::keys::Jwks;
use xinqiao_explain::Explanation;
use xinqiao_node::config::{self, Missing, Stale};
use xinqiao_node::decisions::{Overlay, OverlayAnchor};

/// What is in force.
pub struct TrustSet {
    pub(super) identity: Identity,
    pub(super) trust: Arc<Trust>,
    pub(super) registry: Arc<Registry>,
    pub(super) exchange: Arc<ServerConfig>,
    pub(super) legacy: Arc<ServerConfig>,
    pub(super) dials: BTreeMap<Dial, Tls>,
    /// Identities of its own that it shows to peers it dials, by the peer's name.
    pub(super) own: BTreeMap<String, Identity>,
    pub(super) members: Vec<config::Member>,
    pub(super) anchors: BTreeMap<String, OverlayAnchor>,
    pub(super) in_force: InForce,
    /// Everyone who may vouch for a list, besides those members' chains name.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) acknowledgement_keys: BTreeMap<String, Jwks>,
    pub(super) pinned: BTreeMap<String, Jwks>,
    pub(super) overlay: Overlay,
    pub(super) notes: Vec<Explanation>,
    parts: Parts,
}

/// Digests by which two sets are compared, part by part.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    identity: Digest,
    anchors: Digest,
    revocation: Digest,
    members: Digest,
    upstreams: Digest,
    keys: Digest,
}

impl TrustSet {
    /// Builds a set from what the files and the officers say. What did not change is shared with the set before, and a
    /// revocation list that is no good keeps its earlier state.
    pub(super) fn build(
        material: &Material,
        overlay: &Overlay,
        last: Option<&Self>,
        before: &Before<'_>,
        now: UnixTime,
    ) -> Result<Self, SetRefused> {
        let mut notes = material.notes.clone();
        let anchors = overlay.anchors(&material.files);
        let members = overlay.members(&material.files);
        let policy = policy(&material.named.revocation);
        let usable = trust_anchors(&anchors, last, now, &mut notes)?;
        let mut authorities = authorities(material, &anchors);
        let fixed = authorities.len();
        authorities.extend_from_slice(before.presented);
        let trusted = trust(&usable, &authorities, &material.lists, policy, before, now, &mut notes)?;
        let parts = Parts::of(material, &anchors, &trusted.in_force, &members, policy);
        let same = |part: fn(&Parts) -> Digest| last.filter(|l| part(&l.parts) == part(&parts));
        // An anchor that ended since is left out the next time anything changes.
        let as_many = |l: &&TrustSet| l.trust.anchors().len() == trusted.trust.anchors().len();
        let trust_same = same(|p| p.anchors).and(same(|p| p.revocation)).filter(as_many);
        let trust = trust_same.map_or_else(|| trusted.trust.clone(), |l| l.trust.clone());
        let registry = match trust_same.and(same(|p| p.members)) {
            Some(last) => last.registry.clone(),
            None => Arc::new(registry(&members, &material.named.trust_domain, &trust)?),
        };
        let (exchange, legacy) = match trust_same.and(same(|p| p.identity)) {
            Some(last) => (last.exchange.clone(), last.legacy.clone()),
            None => (
                tls::server_config(&material.identity, &trust),
                tls::legacy_server_config(&material.identity, &trust),
            ),
        };
        let dials = match same(|p| p.upstreams).and(same(|p| p.revocation)) {
            Some(last) => last.dials.clone(),
            None => dials(material, &trusted, last, now, &mut notes),
        };
        authorities.truncate(fixed);
        Ok(Self {
            identity: material.identity.clone(),
            trust,
            registry,
            exchange,
            legacy,
            dials,
            own: own(material),
            members,
            anchors,
            in_force: trusted.in_force,
            authorities,
            acknowledgement_keys: material.acknowledgement_keys.clone(),
            pinned: material.pinned.clone(),
            overlay: overlay.clone(),
            notes,
            parts,
        })
    }

    /// What the log says each part is.
    pub(super) fn digests(&self) -> BTreeMap<&'static str, Digest> {
        let p = &self.parts;
        BTreeMap::from([
            ("identity", p.identity),
            ("anchors", p.anchors),
            ("revocation", p.revocation),
            ("members", p.members),
            ("upstreams", p.upstreams),
            ("keys", p.keys),
        ])
    }

    /// The names of the parts that are not as in `last`.
    pub(super) fn changed(&self, last: &TrustSet) -> Vec<String> {
        let (new, old) = (&self.parts, &last.parts);
        [
            ("identity", new.identity == old.identity),
            ("anchors", new.anchors == old.anchors),
            ("revocation", new.revocation == old.revocation),
            ("members", new.members == old.members),
            ("upstreams", new.upstreams == old.upstreams),
            ("keys", new.keys == old.keys),
        ]
        .into_iter()
        .filter(|part| !part.1)
        .map(|part| part.0.to_owned())
        .collect()
    }

    /// Whether old connections must make room for new ones: something their handshake relied on changed.
    pub(super) fn supersedes(&self, last: &TrustSet) -> bool {
        !Arc::ptr_eq(&self.exchange, &last.exchange)
    }
}

impl Parts {
    fn of(
        material: &Material,
        anchors: &BTreeMap<String, OverlayAnchor>,
        in_force: &InForce,
        members: &[config::Member],
        policy: RevocationPolicy,
    ) -> Self {
        let mut identity: Vec<u8> = material.identity.chain().iter().flat_map(|c| c.to_vec()).collect();
        identity.extend_from_slice(material.ocsp.as_deref().unwrap_or_default());
        let mut revocation = format!("{policy:?}{:?}", in_force.shut).into_bytes();
        for list in in_force.files.iter().chain(&in_force.guests) {
            revocation.extend_from_slice(list.name.as_bytes());
            revocation.extend_from_slice(Digest::of(&list.bytes).as_bytes());
        }
        let mut upstreams = Vec::new();
        for (dial, files) in &material.dials {
            upstreams.extend_from_slice(format!("{dial:?}").as_bytes());
            let own = files.own.as_ref().unwrap_or(&material.identity);
            upstreams.extend(own.chain().iter().flat_map(|c| c.to_vec()));
            upstreams.extend_from_slice(&files.authorities.bytes);
        }
        let keys = format!("{:?}{:?}", texts(&material.acknowledgement_keys), texts(&material.pinned));
        Self {
            identity: Digest::of(&identity),
            anchors: json(anchors),
            revocation: Digest::of(&revocation),
            members: json(&members),
            upstreams: Digest::of(&upstreams),
            keys: Digest::of(keys.as_bytes()),
        }
    }
}

fn json(value: &impl serde::Serialize) -> Digest {
    Digest::of(&serde_json::to_vec(value).expect("members and anchors have string keys"))
}

fn texts(keys: &BTreeMap<String, Jwks>) -> Vec<(&str, String)> {
    keys.iter().map(|(member, keys)| (member.as_str(), keys.to_json())).collect()
}

fn policy(revocation: &config::Revocation) -> RevocationPolicy {
    RevocationPolicy {
        demand_status: revocation.missing == Missing::Refuse,
        demand_current: revocation.stale == Stale::Refuse,
        grace: Duration::from_secs(revocation.grace_hours.seconds()),
    }
}

fn details(anchor: &OverlayAnchor) -> Option<Details> {
    Details::read(&anchor.name, anchor.pem.as_bytes()).ok()?.into_iter().next()
}

fn trust_anchors(
    anchors: &BTreeMap<String, OverlayAnchor>,
    last: Option<&TrustSet>,
    now: UnixTime,
    notes: &mut Vec<Explanation>,
) -> Result<TrustAnchors, SetRefused> {
    let mut set = TrustAnchors::new();
    for (digest, anchor) in anchors {
        let new = last.is_some_and(|l| !l.anchors.contains_key(digest));
        if new && details(anchor).is_some_and(|d| d.not_before > now.as_secs() + CLOCKS_APART) {
            return Err(SetRefused::new(
                "anchor.not-yet-valid",
                format!(
                    "{}: the trust anchor is valid only in the future; check this machine's clock, or wait",
                    anchor.name
                ),
                format!("{}：信任锚尚未生效，请检查本机时钟或等待生效", anchor.name),
            ));
        }
        let rights = AnchorRights::new(anchor.domains.iter().cloned(), anchor.roles.iter().copied());
        match set.add_pem(&anchor.name, anchor.pem.as_bytes(), rights, now) {
            Ok(()) => {}
            // One that ended must not keep everything else from changing.
            Err(e) if e.code() == "anchor.expired" => notes.push(e),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(set)
}

fn own(material: &Material) -> BTreeMap<String, Identity> {
    let shown = material.dials.iter().filter_map(|(dial, files)| Some((dial, files.own.clone()?)));
    shown
        .map(|(dial, identity)| match dial {
            Dial::Upstream(name) | Dial::Push(name) => (name.clone(), identity),
        })
        .collect()
}

fn registry(members: &[config::Member], domain: &str, trust: &Arc<Trust>) -> Result<Registry, Explanation> {
    let members = members.iter().map(|m| xinqiao_certs::Member {
        name: m.name.clone(),
        role: m.role,
        trust_domain: m.trust_domain.clone().unwrap_or_else(|| domain.to_owned()),
        suspended: m.suspended,
        bindings: m.bindings.clone(),
    });
    Registry::new(members.collect(), trust.clone())
}

/// What each dialled peer is met with. One whose files are no good keeps what it had, or has nothing.
fn dials(
    material: &Material,
    trusted: &Trusted,
    last: Option<&TrustSet>,
    now: UnixTime,
    notes: &mut Vec<Explanation>,
) -> BTreeMap<Dial, Tls> {
    let policy = trusted.trust.revocation().policy();
    let mut all = BTreeMap::new();
    for (dial, files) in &material.dials {
        let build = || -> Result<Tls, Explanation> {
            let authorities = &files.authorities;
            let anchors = TrustAnchors::for_servers(&authorities.name, &authorities.bytes, now)?;
            let trust = Trust::of_judged(anchors, trusted.in_force.revocation(policy))?;
            Ok(Tls::new(files.own.as_ref().unwrap_or(&material.identity), &trust))
        };
        match build() {
            Ok(tls) => {
                all.insert(dial.clone(), tls);
            }
            Err(e) => {
                notes.push(e);
                if let Some(tls) = last.and_then(|l| l.dials.get(dial)) {
                    all.insert(dial.clone(), tls.clone());
                }
            }
        }
    }
    all
}
