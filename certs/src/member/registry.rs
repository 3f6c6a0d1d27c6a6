//! From a chain to exactly one member.

use rustls_pki_types::{CertificateDer, UnixTime};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use x509_parser::prelude::X509Certificate;
use xinqiao_crypto::sha256;

use super::binding::{self, Attribute, Binding};
use super::{IdentityError, Member, VerifiedMember};
use crate::certificate::{self, PublicKeyPin};
use crate::role::Role;
use crate::trouble::unusable;
use crate::trust::Trust;
use xinqiao_explain::Explanation;

type SubjectKey = (Vec<String>, Attribute, String);
type ExtensionKey = (Vec<String>, String);

/// The members of a node with the trust their certificates are checked against. Immutable: to change a member, build a
/// new one.
pub struct Registry {
    members: Vec<Entry>,
    trust: Arc<Trust>,
    names: HashMap<Arc<str>, usize>,
    uris: HashMap<String, usize>,
    subjects: HashMap<SubjectKey, usize>,
    /// By the extension's OID, of which there are few; below it by issuer and value.
    extensions: BTreeMap<String, HashMap<ExtensionKey, usize>>,
    keys: HashMap<PublicKeyPin, usize>,
}

struct Entry {
    member: Member,
    name: Arc<str>,
    trust_domain: Arc<str>,
}

impl Registry {
    /// Refuses two members of one name and one binding of two members.
    pub fn new(members: Vec<Member>, trust: Arc<Trust>) -> Result<Self, Explanation> {
        let mut registry = Self {
            members: Vec::with_capacity(members.len()),
            trust,
            names: HashMap::new(),
            uris: HashMap::new(),
            subjects: HashMap::new(),
            extensions: BTreeMap::new(),
            keys: HashMap::new(),
        };
        for member in members {
            registry.add(member)?;
        }
        Ok(registry)
    }

    /// The one member this chain proves, at this time.
    ///
    /// `chain` is what the peer presented, leaf first, as rustls gives it. A repeated chain costs a parse, a hash and
    /// three look-ups; signatures are verified again only every few minutes.
    pub fn identify(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<VerifiedMember, IdentityError> {
        let leaf_der = chain.first().ok_or(IdentityError::NoCertificate)?;
        let leaf = certificate::parse(leaf_der).ok_or(IdentityError::Malformed)?;
        // Validity on its own, each time: the path below may come from a cache, which outlives a certificate by minutes.
        // Suspension last, so that only who proved to be the member learns that it is suspended.
        let not_after = check_validity(&leaf, now)?;
        let led_to = self.trust.client_anchor(chain, now).map_err(IdentityError::from_path)?;
        let uri = spiffe_uri(&leaf)?;
        let entry = &self.members[self.bound_member(&leaf, uri)?];
        check_agrees(&entry.member, uri)?;
        self.check_anchor(&entry.member, led_to, chain, now)?;
        if entry.member.suspended {
            return Err(IdentityError::Suspended { member: entry.member.name.clone() });
        }
        Ok(VerifiedMember {
            name: entry.name.clone(),
            trust_domain: entry.trust_domain.clone(),
            role: entry.member.role,
            certificate_digest: sha256(leaf_der),
            not_after,
        })
    }

    /// The entry of this name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.names.get(name).map(|at| &self.members[*at].member)
    }

    /// Every entry, in the order given.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().map(|entry| &entry.member)
    }

    /// The trust it checks against; the same one the TLS configuration must be built from.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    fn add(&mut self, member: Member) -> Result<(), Explanation> {
        binding::check(&member)?;
        let at = self.members.len();
        let name: Arc<str> = member.name.as_str().into();
        if self.names.insert(name.clone(), at).is_some() {
            return Err(unusable(
                "member.name-twice",
                &format!("member {name}"),
                "another member has this name; names are unique in a node",
                "已有同名成员，成员名在节点内必须唯一",
            ));
        }
        let by_uri = [Binding::Uri(member.uri())];
        let bindings = match member.bindings.is_empty() {
            true => &by_uri[..],
            false => &member.bindings,
        };
        for binding in bindings {
            let other = match binding {
                Binding::Uri(uri) => self.uris.insert(uri.clone(), at),
                Binding::Subject(subject) => {
                    let issuer = binding::comparable_text(&subject.issuer).expect("checked above");
                    let key = (issuer, subject.attribute, subject.value.clone());
                    self.subjects.insert(key, at)
                }
                Binding::Extension(extension) => {
                    let issuer = binding::comparable_text(&extension.issuer).expect("checked above");
                    let of_oid = self.extensions.entry(extension.oid.clone()).or_default();
                    of_oid.insert((issuer, extension.value.clone()), at)
                }
                Binding::PublicKeys(keys) => {
                    keys.iter().filter_map(|key| self.keys.insert(*key, at)).find(|other| *other != at)
                }
            };
            if let Some(other) = other.filter(|other| *other != at) {
                let other = &self.members[other].member.name;
                return Err(unusable(
                    "member.bound-twice",
                    &format!("member {name}"),
                    format!(
                        "has a binding that member {other} has too; a certificate must lead to one member"
                    ),
                    format!("与成员 {other} 有相同的绑定，一张证书只能对应一个成员"),
                ));
            }
        }
        self.members.push(Entry { name, trust_domain: member.trust_domain.as_str().into(), member });
        Ok(())
    }

    fn bound_member(&self, leaf: &X509Certificate<'_>, uri: Option<Uri<'_>>) -> Result<usize, IdentityError> {
        let mut found: Vec<&usize> = Vec::new();
        found.extend(uri.and_then(|uri| self.uris.get(uri.text)));
        found.extend(self.keys.get(&PublicKeyPin::of_parsed(leaf)));
        if !(self.subjects.is_empty() && self.extensions.is_empty())
            && let Some(issuer) = certificate::comparable_name(leaf.issuer())
        {
            for (oid, members) in &self.extensions {
                if let Some(value) = certificate::extension_text(leaf, oid) {
                    found.extend(members.get(&(issuer.clone(), value)));
                }
            }
            for attribute in Attribute::ALL {
                if let Some(value) = certificate::subject_attribute(leaf, attribute.oid()) {
                    found.extend(self.subjects.get(&(issuer.clone(), attribute, value)));
                }
            }
        }
        found.sort();
        found.dedup();
        match found.as_slice() {
            [one] => Ok(**one),
            [] => Err(self.explain_unknown(uri)),
            several => Err(IdentityError::Ambiguous {
                members: several.iter().map(|at| self.members[**at].member.name.clone()).collect(),
            }),
        }
    }

    /// A URI that differs from a member's only in its role deserves the better message.
    fn explain_unknown(&self, uri: Option<Uri<'_>>) -> IdentityError {
        if let Some(uri) = uri
            && let Some(member) = self.member(uri.name)
            && member.trust_domain == uri.trust_domain
            && member.role != uri.role
        {
            return IdentityError::RoleMismatch {
                member: member.name.clone(),
                registered: member.role,
                presented: uri.role,
            };
        }
        IdentityError::Unknown { uri: uri.map(|uri| uri.text.to_owned()) }
    }

    fn check_anchor(
        &self,
        member: &Member,
        led_to: usize,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), IdentityError> {
        let anchors = self.trust.anchors();
        let may = |at: usize| anchors[at].rights().cover(&member.trust_domain, member.role);
        if may(led_to) {
            return Ok(());
        }
        let another = (0..anchors.len())
            .filter(|at| *at != led_to && may(*at))
            .any(|at| self.trust.client_leads_to(at, chain, now));
        if another {
            return Ok(());
        }
        Err(IdentityError::AnchorMayNotAssert {
            anchor: anchors[led_to].name().to_owned(),
            trust_domain: member.trust_domain.clone(),
            role: member.role,
        })
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("members", &self.members.len())
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct Uri<'a> {
    text: &'a str,
    trust_domain: &'a str,
    role: Role,
    name: &'a str,
}

/// SPIFFE allows one URI only. URIs of other schemes are none of our business.
fn spiffe_uri<'a>(leaf: &'a X509Certificate<'_>) -> Result<Option<Uri<'a>>, IdentityError> {
    let uris = certificate::san_uris(leaf).ok_or(IdentityError::Malformed)?;
    let is_spiffe = |uri: &&str| uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"));
    let mut uris = uris.into_iter().filter(is_spiffe);
    let Some(text) = uris.next() else {
        return Ok(None);
    };
    let (trust_domain, role, name) = binding::parse_uri(text).ok_or(IdentityError::UriMalformed)?;
    if uris.next().is_some() {
        return Err(IdentityError::UriMalformed);
    }
    Ok(Some(Uri { text, trust_domain, role, name }))
}

fn check_validity(leaf: &X509Certificate<'_>, now: UnixTime) -> Result<u64, IdentityError> {
    let now = i128::from(now.as_secs());
    if now < i128::from(leaf.validity().not_before.timestamp()) {
        return Err(IdentityError::NotYetValid);
    }
    let not_after = leaf.validity().not_after.timestamp();
    if now > i128::from(not_after) {
        return Err(IdentityError::Expired);
    }
    Ok(u64::try_from(not_after).unwrap_or(0))
}

/// A certificate recognised by key or subject may carry a URI too; then it must say the same.
fn check_agrees(member: &Member, uri: Option<Uri<'_>>) -> Result<(), IdentityError> {
    let Some(uri) = uri else { return Ok(()) };
    if uri.role != member.role {
        return Err(IdentityError::RoleMismatch {
            member: member.name.clone(),
            registered: member.role,
            presented: uri.role,
        });
    }
    let listed =
        member.bindings.iter().any(|binding| matches!(binding, Binding::Uri(own) if own == uri.text));
    if uri.text == member.uri() || listed {
        return Ok(());
    }
    Err(IdentityError::NameMismatch { member: member.name.clone(), uri: uri.text.to_owned() })
}
