//! Chain, key, anchors and lists tried together before any of them goes live: every mistake by name, not only the first.

use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration;

use crate::certificate;
use crate::details::Details;
use crate::identity::{Identity, key_mistake};
use crate::renewal::State;
use crate::role::Role;
use crate::trouble::unusable;
use crate::trust::{AnchorRights, Revocation, RevocationList, RevocationPolicy, Trust, TrustAnchors};
use xinqiao_explain::Explanation;

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose<'a> {
    /// Not said: what holds for any.
    #[default]
    Any,
    /// Peers dial it under these names or addresses.
    Server {
        /// At least one.
        names: &'a [String],
    },
    /// It shows a node who it is.
    Member {
        /// The domain it must say.
        trust_domain: Option<&'a str>,
        /// The role it must say.
        role: Role,
        /// The name it must say.
        name: Option<&'a str>,
    },
}

/// A file with its place.
pub type Placed<'a> = (&'a str, &'a [u8]);

/// What is tried.
#[derive(Clone, Copy)]
pub struct Bundle<'a> {
    /// The chain, leaf first, PEM.
    pub chain: Placed<'a>,
    /// Its private key.
    pub key: Option<Placed<'a>>,
    /// The passphrase of the key.
    pub passphrase: Option<&'a [u8]>,
    /// The peers' trust anchors. Empty: where the chain leads is not checked.
    pub anchors: &'a [Placed<'a>],
    /// Revocation lists.
    pub lists: &'a [Placed<'a>],
    /// What the certificate is for.
    pub purpose: Purpose<'a>,
}

/// Something found: a mistake that keeps the bundle from going live, or something worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    problem: Explanation,
    error: bool,
}

impl Finding {
    fn error(problem: Explanation) -> Self {
        Self { problem, error: true }
    }

    fn note(problem: Explanation) -> Self {
        Self { problem, error: false }
    }

    /// Whether it keeps the bundle from going live.
    pub fn is_error(&self) -> bool {
        self.error
    }

    /// Where, what, and the way out.
    pub fn problem(&self) -> &Explanation {
        &self.problem
    }
}

impl Bundle<'_> {
    /// Everything that is wrong or worth knowing; no error among it means that the bundle may go live.
    pub fn examine(&self, now: UnixTime) -> Vec<Finding> {
        let mut findings = Vec::new();
        let lists = self.lists(now, &mut findings);
        let anchors = self.anchors(now, &mut findings);
        let chain = match certificate::from_pem(self.chain.0, self.chain.1) {
            Ok(chain) => chain,
            Err(error) => {
                findings.push(Finding::error(error));
                return findings;
            }
        };
        let strong = Identity::check_strength(self.chain.0, &chain).is_ok();
        if let Some((place, key)) = self.key.filter(|_| strong)
            && let Err(error) = key_mistake(self.chain.0, &chain, place, key, self.passphrase)
        {
            findings.push(Finding::error(error));
        }
        let before = findings.len();
        if let Err(error) = Identity::check_chain(self.chain.0, &chain, now) {
            findings.push(Finding::error(error));
        }
        findings.extend(self.says(&chain).into_iter().map(Finding::error));
        findings.extend(notes(self.chain.0, &chain, now));
        let sound = !findings[before..].iter().any(Finding::is_error);
        if let Some(anchors) = &anchors {
            findings.extend(unvouched(&lists, anchors, &chain).map(Finding::error));
        }
        if let Some(trust) = anchors.filter(|_| sound)
            && let Some(trust) = trusted(trust, lists, &mut findings)
            && let Err(error) = self.leads(&trust, &chain, now)
        {
            findings.push(Finding::error(error.at(self.chain.0)));
        }
        findings
    }

    fn lists(&self, now: UnixTime, findings: &mut Vec<Finding>) -> Vec<RevocationList> {
        let mut lists = match RevocationList::read_all(self.lists.iter().copied()) {
            Ok(lists) => lists,
            Err(error) => {
                findings.push(Finding::error(error));
                Vec::new()
            }
        };
        lists.retain(|list| match list_mistake(list, now) {
            Some(error) => {
                findings.push(Finding::error(error));
                false
            }
            None => true,
        });
        lists
    }

    fn anchors(&self, now: UnixTime, findings: &mut Vec<Finding>) -> Option<TrustAnchors> {
        let mut anchors = TrustAnchors::new();
        let mut some = false;
        for (place, text) in self.anchors {
            match anchors.add_pem(place, text, AnchorRights::default(), now) {
                Ok(()) => some = true,
                Err(error) => findings.push(Finding::error(error)),
            }
            for details in Details::read(place, text).unwrap_or_default() {
                if details.authority && !details.self_issued {
                    findings.push(Finding::note(unusable(
                        "anchor.intermediate",
                        place,
                        format!("{} is an issuing authority, not a root; as an anchor it must be replaced whenever it is renewed", details.subject),
                        format!("{} 是中间签发机构而非根，作为信任锚时每次更新都须随之更换", details.subject),
                    )));
                }
            }
        }
        some.then_some(anchors)
    }

    /// What the leaf must say for its purpose.
    fn says(&self, chain: &[CertificateDer<'_>]) -> Option<Explanation> {
        let details = Details::of(chain.first()?).ok()?;
        let said = match self.purpose {
            Purpose::Any => Ok(()),
            Purpose::Server { names } => details.check_server(names),
            Purpose::Member { trust_domain, role, name } => details.check_member(trust_domain, role, name),
        };
        said.err().map(|error| error.at(self.chain.0))
    }

    /// The verdict of the verifier that peers use.
    fn leads(&self, trust: &Trust, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Explanation> {
        match self.purpose {
            Purpose::Server { .. } => Identity::check_path_as_server(chain, trust, now),
            Purpose::Member { .. } => Identity::check_path_as_client(chain, trust, now),
            Purpose::Any => {
                let client = Identity::check_path_as_client(chain, trust, now);
                match client {
                    Err(error) if error.code() == "identity.wrong-usage" => {
                        Identity::check_path_as_server(chain, trust, now)
                    }
                    other => other,
                }
            }
        }
    }
}

impl std::fmt::Debug for Bundle<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("chain", &self.chain.0)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

/// Lists that neither an anchor nor an authority of the chain signed: they would revoke nothing.
fn unvouched<'a>(
    lists: &'a [RevocationList],
    anchors: &'a TrustAnchors,
    chain: &'a [CertificateDer<'_>],
) -> impl Iterator<Item = Explanation> + 'a {
    // One in an anchor's name is checked with the anchors.
    let vouched = |list: &RevocationList| {
        anchors.iter().any(|anchor| list.bears_name_of(anchor.certificate()))
            || chain.iter().skip(1).any(|authority| list.is_signed_by(authority))
    };
    lists.iter().filter(move |list| !vouched(list)).map(|list| {
        unusable(
            "crl.unknown-issuer",
            list.name(),
            format!(
                "is a list of {}, which is neither a trust anchor nor an authority of this chain; check that it is the right list",
                list.issuer()
            ),
            format!("是 {} 的吊销列表，该机构既非信任锚，也不在此证书链中，请核对文件是否正确", list.issuer()),
        )
    })
}

/// A list in an anchor's name by another key is a mistake.
fn trusted(
    anchors: TrustAnchors,
    lists: Vec<RevocationList>,
    findings: &mut Vec<Finding>,
) -> Option<std::sync::Arc<Trust>> {
    match Trust::new(anchors, Revocation::new(lists, RevocationPolicy::default())) {
        Ok(trust) => Some(trust),
        Err(error) => {
            findings.push(Finding::error(error));
            None
        }
    }
}

/// Why a list must not go live now.
pub(crate) fn list_mistake(list: &RevocationList, now: UnixTime) -> Option<Explanation> {
    const LENIENCE: u64 = 300;
    if list.this_update() > now.as_secs().saturating_add(LENIENCE) {
        return Some(unusable(
            "crl.not-yet-valid",
            list.name(),
            "the revocation list was made in the future; check this machine's clock",
            "吊销列表的生成时间晚于当前时间，请检查本机时钟",
        ));
    }
    list.is_stale_after(now, Duration::ZERO).then(|| {
        unusable(
            "crl.expired",
            list.name(),
            format!("the revocation list of {} is past its next update; fetch the next one", list.issuer()),
            format!("{} 的吊销列表已过下次更新时间，请获取新的列表", list.issuer()),
        )
    })
}

fn notes(place: &str, chain: &[CertificateDer<'_>], now: UnixTime) -> Vec<Finding> {
    let mut notes = Vec::new();
    for (at, der) in chain.iter().enumerate() {
        let Ok(details) = Details::of(der) else { continue };
        if at > 0 && details.self_issued {
            notes.push(Finding::note(unusable(
                "identity.root-in-chain",
                place,
                "the chain ends with the root, which peers have already; it may be left out",
                "证书链末尾含根证书，对端已持有，可以省略",
            )));
        }
        if matches!(details.plan().state(now.as_secs()), State::Renew | State::Urgent) {
            let days = details.not_after.saturating_sub(now.as_secs()) / 86_400;
            notes.push(Finding::note(unusable(
                "certificate.renewal-due",
                place,
                format!("{} has {days} days left; renew it", details.subject),
                format!("{} 剩余 {days} 天，请更新", details.subject),
            )));
        }
    }
    notes
}
