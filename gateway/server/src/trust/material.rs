//! What the files say, read once and together. A part that cannot be read keeps its last good state where one part
//! can stand for itself (a revocation list, an upstream's files); identity and anchors are taken whole or not at all.

use super::report::SetRefused;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xinqiao_certs::{Identity, Role, UnixTime, certificates, read_file, to_pem};
use xinqiao_evidence::keys::Jwks;
use xinqiao_explain::Explanation;
use xinqiao_node::config::{self, Config};
use xinqiao_node::decisions::{FileSet, OverlayAnchor};

/// The part of the configuration this module lives by.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) trust_domain: String,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    passphrase: Option<PathBuf>,
    pub(super) ocsp: Option<PathBuf>,
    anchors: Vec<(PathBuf, Vec<String>, Vec<Role>)>,
    members: Vec<config::Member>,
    pub(super) revocation: config::Revocation,
    dials: Vec<(Dial, DialNamed)>,
    acknowledgement_keys: Vec<(String, PathBuf)>,
    pinned: Vec<(String, PathBuf)>,
}

#[derive(Debug, Clone)]
struct DialNamed {
    own: Option<(PathBuf, PathBuf)>,
    authorities: PathBuf,
}

/// A peer this node dials.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dial {
    /// A node it pulls from, by member name.
    Upstream(String),
    /// A recipient it pushes to, by member name.
    Push(String),
}

/// Bytes of one file.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) name: String,
    pub(super) bytes: Arc<[u8]>,
}

/// A file of revocation lists as it was found.
#[derive(Clone)]
pub(super) struct ListFile {
    pub(super) name: String,
    /// What is in it, or why that is not known.
    pub(super) read: Result<Arc<[u8]>, Explanation>,
    /// Not there yet, and fetched from a URL: it may be on its way.
    pub(super) awaited: bool,
    /// Nobody is refused for want of it: it was named in a configuration that did not go live.
    pub(super) only_closes: bool,
}

/// What one dialled peer is met with.
#[derive(Clone)]
pub(super) struct DialFiles {
    /// Nothing: the listener's identity.
    pub(super) own: Option<Identity>,
    pub(super) authorities: Blob,
}

/// Everything read.
#[derive(Clone)]
pub(super) struct Material {
    pub(super) named: Named,
    pub(super) identity: Identity,
    pub(super) ocsp: Option<Arc<[u8]>>,
    pub(super) files: FileSet,
    pub(super) lists: Vec<ListFile>,
    pub(super) dials: BTreeMap<Dial, DialFiles>,
    pub(super) acknowledgement_keys: BTreeMap<String, Jwks>,
    pub(super) pinned: BTreeMap<String, Jwks>,
    pub(super) notes: Vec<Explanation>,
}

impl Named {
    pub(super) fn of(config: &Config) -> Self {
        let mut dials = Vec::new();
        for u in &config.upstreams {
            let own = u.certificate.clone().zip(u.key.clone());
            let named = DialNamed { own, authorities: u.authorities.clone() };
            dials.push((Dial::Upstream(u.member.clone()), named));
        }
        for r in &config.recipients {
            let Some(push) = &r.push else { continue };
            let named = DialNamed { own: None, authorities: push.authorities.clone() };
            dials.push((Dial::Push(r.member.clone()), named));
        }
        let responses = config
            .recipients
            .iter()
            .filter_map(|r| r.acknowledgement_keys.as_ref().map(|path| (r.member.clone(), path.clone())));
        Self {
            trust_domain: config.trust_domain().to_owned(),
            certificate: config.exchange.certificate.clone(),
            key: config.exchange.key.clone(),
            passphrase: config.exchange.key_passphrase_file.clone(),
            ocsp: config.exchange.ocsp.clone(),
            anchors: config
                .trust
                .iter()
                .map(|a| (a.file.clone(), a.domains.clone(), a.roles.clone()))
                .collect(),
            members: config.members.clone(),
            revocation: config.revocation.clone(),
            dials,
            acknowledgement_keys: responses.collect(),
            pinned: config.upstreams.iter().map(|u| (u.member.clone(), u.keys.clone())).collect(),
        }
    }

    /// Every file that is named.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let mut all = vec![self.certificate.clone(), self.key.clone()];
        all.extend(self.passphrase.clone());
        all.extend(self.ocsp.clone());
        all.extend(self.anchors.iter().map(|(path, ..)| path.clone()));
        all.extend(self.revocation.lists.iter().map(|l| l.file.clone()));
        for (_, dial) in &self.dials {
            all.extend(dial.own.iter().flat_map(|(certificate, key)| [certificate.clone(), key.clone()]));
            all.push(dial.authorities.clone());
        }
        all.extend(self.acknowledgement_keys.iter().chain(&self.pinned).map(|(_, path)| path.clone()));
        all.sort();
        all.dedup();
        all
    }
}

impl Material {
    /// Reads every file. `last` is what was good before; without it everything must be.
    pub(super) fn read(named: &Named, last: Option<&Material>, now: UnixTime) -> Result<Self, SetRefused> {
        let mut notes = Vec::new();
        let passphrase = named.passphrase.as_deref();
        let identity = Identity::from_sealed_files(&named.certificate, &named.key, passphrase, now)?;
        let (identity, ocsp) = stapled(identity, named, last, now, &mut notes);
        let files = FileSet { members: named.members.clone(), anchors: anchors(named)? };
        let lists = lists(named);
        let dials = dials(named, last, now, &mut notes);
        let old = last.map(|l| &l.acknowledgement_keys);
        let acknowledgement_keys =
            key_sets(&named.acknowledgement_keys, old, "acknowledgement_keys", &mut notes);
        let pinned = key_sets(&named.pinned, last.map(|l| &l.pinned), "keys", &mut notes);
        let named = named.clone();
        Ok(Self { named, identity, ocsp, files, lists, dials, acknowledgement_keys, pinned, notes })
    }

    /// What was good before, with what `named` closes: its revocation lists and the members it suspends. Closing does not
    /// wait for the rest to be put right.
    pub(super) fn closing(&self, named: &Named) -> Self {
        let mut closed = self.clone();
        let named_before = |name: &str| self.lists.iter().any(|own| own.name == name);
        let lists = lists(named).into_iter().filter(|list| named_before(&list.name) || list.read.is_ok());
        for mut list in lists {
            list.only_closes = !named_before(&list.name);
            if list.only_closes {
                // It is read again with the others from now on, or what it revoked would come back.
                let of_name = |l: &&config::RevocationList| l.file.display().to_string() == list.name;
                closed.named.revocation.lists.extend(named.revocation.lists.iter().find(of_name).cloned());
            }
            closed.lists.retain(|own| own.name != list.name);
            closed.lists.push(list);
        }
        let suspended: Vec<&str> =
            named.members.iter().filter(|m| m.suspended).map(|m| m.name.as_str()).collect();
        for member in closed.files.members.iter_mut().chain(&mut closed.named.members) {
            member.suspended |= suspended.contains(&member.name.as_str());
        }
        closed
    }
}

/// The identity with its OCSP response, if there is a good one: without it, clients ask the authority themselves.
fn stapled(
    identity: Identity,
    named: &Named,
    last: Option<&Material>,
    now: UnixTime,
    notes: &mut Vec<Explanation>,
) -> (Identity, Option<Arc<[u8]>>) {
    let Some(path) = &named.ocsp else { return (identity, None) };
    let read = read_file(path).map(Arc::<[u8]>::from).map_err(|e| unreadable(path, &e));
    let earlier = last.and_then(|l| l.ocsp.clone());
    for response in [read.map_err(|advice| notes.push(advice)).ok(), earlier].into_iter().flatten() {
        match identity.clone().with_ocsp(&response, now) {
            Ok(stapled) => return (stapled, Some(response)),
            Err(e) => notes.push(e),
        }
    }
    (identity, None)
}

fn unreadable(path: &Path, e: &std::io::Error) -> Explanation {
    let (path, e) = (path.display(), e.kind());
    Explanation::new(
        "file.unreadable",
        format!("cannot be read ({e}); check the path and its permissions"),
        format!("无法读取（{e}），请检查路径与权限"),
    )
    .at(path.to_string())
}

fn anchors(named: &Named) -> Result<BTreeMap<String, OverlayAnchor>, SetRefused> {
    let mut all = BTreeMap::new();
    for (path, domains, roles) in &named.anchors {
        let place = path.display().to_string();
        let text = read_file(path).map_err(|e| unreadable(path, &e))?;
        for der in certificates(&place, &text)? {
            let anchor = OverlayAnchor {
                name: place.clone(),
                pem: to_pem(std::slice::from_ref(&der)),
                domains: domains.clone(),
                roles: roles.clone(),
            };
            if all.insert(hex_digest(&der), anchor).is_some() {
                return Err(SetRefused::new(
                    "anchor.twice",
                    format!(
                        "{place}: this certificate is already a trust anchor; merge the two entries and their rights"
                    ),
                    format!("{place}：该证书已是信任锚，请合并两处配置及其权限"),
                ));
            }
        }
    }
    Ok(all)
}

fn hex_digest(der: &xinqiao_certs::CertificateDer<'_>) -> String {
    xinqiao_evidence::Digest::of(der).to_hex()
}

fn lists(named: &Named) -> Vec<ListFile> {
    let mut seen = BTreeSet::new();
    let lists = named.revocation.lists.iter().filter(|list| seen.insert(&list.file));
    lists
        .map(|list| {
            let read = read_file(&list.file).map(Arc::from);
            let missing = read.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
            ListFile {
                name: list.file.display().to_string(),
                awaited: missing && list.url.is_some(),
                read: read.map_err(|e| unreadable(&list.file, &e)),
                only_closes: false,
            }
        })
        .collect()
}

fn dials(
    named: &Named,
    last: Option<&Material>,
    now: UnixTime,
    notes: &mut Vec<Explanation>,
) -> BTreeMap<Dial, DialFiles> {
    let mut all = BTreeMap::new();
    for (dial, files) in &named.dials {
        let read = || -> Result<DialFiles, Explanation> {
            let own = match &files.own {
                Some((certificate, key)) => Some(Identity::from_files(certificate, key, now)?),
                None => None,
            };
            let name = files.authorities.display().to_string();
            let bytes = read_file(&files.authorities).unwrap_or_default();
            certificates(&name, &bytes)?;
            Ok(DialFiles { own, authorities: Blob { name, bytes: bytes.into() } })
        };
        match read() {
            Ok(files) => {
                all.insert(dial.clone(), files);
            }
            Err(e) => {
                notes.push(e);
                if let Some(before) = last.and_then(|l| l.dials.get(dial)) {
                    all.insert(dial.clone(), before.clone());
                }
            }
        }
    }
    all
}

fn key_sets(
    named: &[(String, PathBuf)],
    last: Option<&BTreeMap<String, Jwks>>,
    setting: &str,
    notes: &mut Vec<Explanation>,
) -> BTreeMap<String, Jwks> {
    let mut all = BTreeMap::new();
    for (member, path) in named {
        let read = read_file(path).ok().and_then(|bytes| Jwks::from_json(&bytes).ok());
        if read.is_none() {
            let path = path.display();
            notes.push(
                Explanation::new(
                    "keys.unreadable",
                    format!("not a JWKS file; correct `{setting}` of `{member}`, its earlier keys stay"),
                    format!("不是 JWKS 文件，请更正 {member} 的 {setting}，原有公钥继续有效"),
                )
                .at(path.to_string()),
            );
        }
        if let Some(keys) = read.or_else(|| last.and_then(|l| l.get(member)).cloned()) {
            all.insert(member.clone(), keys);
        }
    }
    all
}
