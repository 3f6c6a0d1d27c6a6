//! Revocation lists on their way into a set: which of them may go live, and which keep their earlier state.
//!
//! Promises: what stands in the place of a list speaks of the same certificates as the list that went live there first,
//! also after a restart; and once a known authority vouched for it, one does for whatever follows.

use super::material::{Blob, Material};
use super::report::SetRefused;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use xinqiao_certs::{
    CertificateDer, Revocation, RevocationList, RevocationPolicy, Trust, TrustAnchors, UnixTime, certificates,
};
use xinqiao_evidence::Digest;
use xinqiao_explain::Explanation;
use xinqiao_node::decisions::OverlayAnchor;
use xinqiao_node::engine::{CommitError, Node};

/// Seconds a peer's clock may be ahead of this one's.
pub(super) const CLOCKS_APART: u64 = 300;

/// What a new set follows.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    /// The trust in force, and the files its lists are from.
    pub(super) last: Option<(&'a Trust, &'a [Blob])>,
    /// Without one: the lists that were in force when the node stopped.
    pub(super) remembered: &'a [Remembered],
    /// Authorities that members' chains named.
    pub(super) presented: &'a [CertificateDer<'static>],
}

/// A list as an earlier run left it.
pub(super) struct Remembered {
    name: String,
    issuers: Vec<String>,
    /// Absent if it was too large to be kept.
    bytes: Option<Arc<[u8]>>,
}

/// The same as the journal notes it.
#[derive(Serialize, Deserialize)]
struct Note {
    digest: String,
    issuers: Vec<String>,
}

/// Anchors and lists that hold together, and the files the lists are from.
pub(super) struct Trusted {
    pub(super) trust: Arc<Trust>,
    pub(super) files: Vec<Blob>,
    pub(super) lists: Vec<Arc<RevocationList>>,
}

fn subject(name: &str) -> String {
    format!("crl {name}")
}

/// The lists of these files as the journal knows them.
pub(super) fn remembered<'a>(node: &Node, names: impl Iterator<Item = &'a str>) -> Vec<Remembered> {
    let one = |name: &str| {
        let note: Note = serde_json::from_str(&node.noted(&subject(name))?).ok()?;
        let bytes = node.document(&note.digest).map(Arc::from);
        Some(Remembered { name: name.to_owned(), issuers: note.issuers, bytes })
    };
    names.filter_map(one).collect()
}

/// Notes which lists are in force.
pub(super) fn note(node: &Node, trust: &Trust, files: &[Blob]) -> Result<(), CommitError> {
    for file in files {
        let own = trust.revocation().lists().iter().filter(|l| l.name() == file.name);
        let issuers = own.map(|l| l.issuer().to_owned()).collect();
        let note = Note { digest: Digest::of(&file.bytes).to_hex(), issuers };
        let value = serde_json::to_string(&note).expect("text is JSON");
        node.note(&subject(&file.name), &value)?;
    }
    Ok(())
}

/// Everyone who may vouch for a list here: anchors, and the authorities between them and certificates that are known.
pub(super) fn authorities(
    material: &Material,
    anchors: &BTreeMap<String, OverlayAnchor>,
) -> Vec<CertificateDer<'static>> {
    let read = |name: &str, bytes: &[u8]| certificates(name, bytes).unwrap_or_default();
    let mut all: Vec<_> = anchors.values().flat_map(|a| read(&a.name, a.pem.as_bytes())).collect();
    all.extend(material.identity.chain().iter().skip(1).cloned());
    for files in material.dials.values() {
        all.extend(read(&files.authorities.name, &files.authorities.bytes));
        all.extend(files.own.iter().flat_map(|own| own.chain().iter().skip(1).cloned()));
    }
    all
}

/// Whether one of them signed it, and all of it.
pub(super) fn vouched(list: &RevocationList, authorities: &[CertificateDer<'static>]) -> bool {
    authorities.iter().any(|authority| list.is_signed_by(authority))
}

/// Whose the list is that nobody vouches for.
pub(super) fn of_nobody(list: &RevocationList) -> Explanation {
    let (name, issuer) = (list.name(), list.issuer());
    Explanation::new(
        "crl.unknown-issuer",
        format!(
            "no trust anchor and no authority seen so far signed this list of {issuer}; check that it is the right list, it shuts nobody out until a certificate of that authority is shown"
        ),
        format!(
            "该吊销列表由 {issuer} 签发，现有信任锚及已见过的机构均未为其作证；请核对文件是否正确，在出现该机构的证书之前它不起作用"
        ),
    ).at(name)
}

impl Before<'_> {
    /// Lists that were in force, with the files they are from.
    fn lists(&self) -> (Vec<Arc<RevocationList>>, Vec<Blob>) {
        if let Some((trust, files)) = self.last {
            return (trust.revocation().lists().to_vec(), files.to_vec());
        }
        let kept = self.remembered.iter().filter_map(|r| {
            let bytes = r.bytes.clone()?;
            Some(Blob { name: r.name.clone(), bytes })
        });
        let files: Vec<Blob> = kept.collect();
        let read = RevocationList::read_all(files.iter().map(|b| (b.name.as_str(), &b.bytes[..])));
        (read.unwrap_or_default().into_iter().map(Arc::new).collect(), files)
    }
}

pub(super) fn trust(
    anchors: &TrustAnchors,
    authorities: &[CertificateDer<'static>],
    mut files: Vec<Blob>,
    policy: RevocationPolicy,
    before: &Before<'_>,
    now: UnixTime,
    notes: &mut Vec<Explanation>,
) -> Result<Trusted, SetRefused> {
    let (earlier, earlier_files) = before.lists();
    loop {
        let read = RevocationList::read_all(files.iter().map(|b| (b.name.as_str(), &b.bytes[..])));
        let made = read.and_then(|lists| {
            let lists: Vec<_> = lists.into_iter().map(Arc::new).collect();
            let trust = Trust::new(anchors.clone(), Revocation::shared(lists.clone(), policy))?;
            Ok((trust, lists))
        });
        let advice = match made {
            Ok((trust, lists)) => {
                let found = lists
                    .iter()
                    .find_map(|list| out_of_time(list, &earlier, now))
                    .or_else(|| earlier.iter().find_map(|old| displaced(old, &lists, &files, authorities)))
                    .or_else(|| before.remembered.iter().find_map(|old| old.displaced(&lists)));
                match found {
                    None => return Ok(Trusted { trust, files, lists }),
                    Some(found) => found,
                }
            }
            Err(e) if e.code().starts_with("crl.") || e.code().starts_with("pem.") => e,
            Err(e) => return Err(e.into()),
        };
        let replaced = matches!(advice.code(), "crl.wrong-issuer" | "crl.older");
        let place = advice.place().unwrap_or_default().to_owned();
        let kept = earlier_files.iter().any(|b| b.name == place && !files.contains(b));
        if before.last.is_none() && !(replaced && kept) {
            return Err(advice.into());
        }
        notes.push(advice);
        keep_earlier(&mut files, &place, &earlier_files);
    }
}

/// A list from the future, or one older than the list it would replace.
fn out_of_time(list: &RevocationList, earlier: &[Arc<RevocationList>], now: UnixTime) -> Option<Explanation> {
    let name = list.name();
    if list.this_update() > now.as_secs() + CLOCKS_APART {
        return Some(
            Explanation::new(
                "crl.not-yet-valid",
                "the revocation list is dated in the future; check this machine's clock",
                "吊销列表的签发时间在未来，请检查本机时钟",
            )
            .at(name),
        );
    }
    let mut newer = earlier.iter().filter(|b| b.name() == name && b.issuer() == list.issuer());
    if newer.any(|b| b.this_update() > list.this_update()) {
        return Some(
            Explanation::new(
                "crl.older",
                "the revocation list is older than the one in force, which stays; fetch the newest",
                "吊销列表比生效中的旧，已保留原列表，请重新获取最新列表",
            )
            .at(name),
        );
    }
    None
}

/// A list in whose place another authority's stands now, or one in its name that nobody known signed: whoever the earlier
/// list revoked would be let in again.
fn displaced(
    old: &RevocationList,
    lists: &[Arc<RevocationList>],
    files: &[Blob],
    authorities: &[CertificateDer<'static>],
) -> Option<Explanation> {
    let name = old.name();
    if !files.iter().any(|b| b.name == name) {
        return None;
    }
    let here = || lists.iter().filter(|l| l.name() == name);
    let mut same = here().filter(|l| l.succeeds(old)).peekable();
    if same.peek().is_none() {
        let now: Vec<&str> = here().map(|l| l.issuer()).collect();
        return Some(another(name, &now.join("; "), old.issuer()));
    }
    if vouched(old, authorities) && !same.any(|l| vouched(l, authorities)) {
        let issuer = old.issuer();
        return Some(Explanation::new(
                "crl.wrong-issuer",
                format!(
                    "the list bears the name of {issuer}, but no authority this node knows signed it; the last good list stays, fetch the list of that authority again"
                ),
                format!(
                    "该列表署名为 {issuer}，但并非由本节点已知的机构签发；原列表继续生效，请重新获取该机构的吊销列表"
                ),
            ).at(name));
    }
    None
}

impl Remembered {
    /// For a list that was too large to be kept: its issuers are known all the same.
    fn displaced(&self, lists: &[Arc<RevocationList>]) -> Option<Explanation> {
        if self.bytes.is_some() {
            return None;
        }
        let now: Vec<&str> = lists.iter().filter(|l| l.name() == self.name).map(|l| l.issuer()).collect();
        let gone = self.issuers.iter().find(|issuer| !now.contains(&issuer.as_str()))?;
        (!now.is_empty()).then(|| another(&self.name, &now.join("; "), gone))
    }
}

fn another(name: &str, now: &str, before: &str) -> Explanation {
    Explanation::new(
        "crl.wrong-issuer",
        format!(
            "holds a list of {now}, but the list of {before} belongs here; the last good list stays. Put the right list back; to follow another authority, name its list under another file name in `[[revocation.lists]]` and reload"
        ),
        format!(
            "文件内是 {now} 的吊销列表，而此处应为 {before} 的列表；原列表继续生效。请放回正确的列表；如机构确已更换，请在 [[revocation.lists]] 中改用另一文件名并重新加载"
        ),
    ).at(name)
}

/// Puts the earlier state of a list in the place of one that is no good, or leaves it out if there is none.
fn keep_earlier(files: &mut Vec<Blob>, place: &str, earlier: &[Blob]) {
    let earlier = earlier.iter().find(|b| b.name == place);
    match files.iter().position(|b| b.name == place) {
        Some(at) => match earlier.filter(|b| **b != files[at]) {
            Some(b) => files[at] = b.clone(),
            None => drop(files.remove(at)),
        },
        None => files.clear(),
    }
}
