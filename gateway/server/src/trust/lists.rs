//! Revocation lists on their way into a set: which are in force, and who is refused for want of one.
//!
//! Promises: a list in force stays until a newer one of the same authority, scope and key takes its place, whatever happens
//! to the file it came from and over a restart; only a configuration that no longer names the file lets it go. No list is
//! lost for a neighbour's sake. At the first start with a file, whoever a list in it may speak of is refused until it is
//! in force; later, what was in force before goes on. What is said of a file says which of the two holds.

use super::material::{Blob, ListFile, Material};
use super::report::SetRefused;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use xinqiao_certs::{
    CertificateDer, ListRead, Lists, Revocation, RevocationList, RevocationPolicy, Shut, Trust, TrustAnchors,
    UnixTime, certificates,
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
    /// What is in force.
    pub(super) last: Option<&'a InForce>,
    /// Without it: what was in force when the node stopped.
    pub(super) remembered: &'a [Remembered],
    /// Authorities that members' chains named.
    pub(super) presented: &'a [CertificateDer<'static>],
}

/// The lists of a set, and what they came from.
#[derive(Clone, Default)]
pub(super) struct InForce {
    pub(super) lists: Vec<Arc<RevocationList>>,
    /// Files that hold a list in force, as they were when it was read; a file's name may stand here more than once.
    pub(super) files: Vec<Blob>,
    /// Files in which other lists took the place of those that belong there. What they revoke is revoked while they stand
    /// there, and forgotten when the right list is back.
    pub(super) guests: Vec<Blob>,
    /// The files that the configuration names.
    pub(super) named: BTreeSet<String>,
    /// Who is refused for want of a list, by the file it should be in.
    pub(super) shut: BTreeMap<String, Vec<Shut>>,
    /// Lists that newer ones beside them took the place of: nothing is wrong.
    pub(super) passed_over: Vec<Explanation>,
}

/// A file of lists as an earlier run left it.
pub(super) struct Remembered {
    name: String,
    lists: Vec<Known>,
    /// The contents of which lists were in force. Absent if one was too large to be kept.
    bytes: Option<Vec<Arc<[u8]>>>,
    /// Somebody was refused for want of a list.
    shut: bool,
}

/// The same as the journal notes it.
#[derive(Serialize, Deserialize)]
struct Note {
    digest: String,
    /// Earlier contents of the file of which lists are still in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lists: Vec<Known>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shut: bool,
}

/// A list that was in force.
#[derive(Serialize, Deserialize)]
struct Known {
    /// Whose certificates it spoke of.
    shuts: Shut,
    number: Option<String>,
    made: u64,
    /// For people.
    whose: String,
}

fn subject(name: &str) -> String {
    format!("crl {name}")
}

/// The lists of these files as the journal knows them.
pub(super) fn remembered<'a>(node: &Node, names: impl Iterator<Item = &'a str>) -> Vec<Remembered> {
    let one = |name: &str| {
        let note: Note = serde_json::from_str(&node.noted(&subject(name))?).ok()?;
        let digests = std::iter::once(&note.digest).chain(&note.earlier);
        let bytes = digests.map(|digest| node.document(digest).map(Arc::from)).collect();
        Some(Remembered { name: name.to_owned(), lists: note.lists, bytes, shut: note.shut })
    };
    names.filter_map(one).collect()
}

/// Notes which lists are in force.
pub(super) fn note(node: &Node, in_force: &InForce) -> Result<(), CommitError> {
    let mut contents: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for file in &in_force.files {
        contents.entry(&file.name).or_default().push(Digest::of(&file.bytes).to_hex());
    }
    for (name, mut digests) in contents {
        let own = in_force.lists.iter().filter(|list| list.name() == name);
        let note = Note {
            digest: digests.remove(0),
            earlier: digests,
            lists: own.map(|list| Known::of(list)).collect(),
            shut: in_force.shut.contains_key(name),
        };
        let value = serde_json::to_string(&note).expect("text is JSON");
        node.note(&subject(name), &value)?;
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

/// Anchors and lists that hold together.
pub(super) struct Trusted {
    pub(super) trust: Arc<Trust>,
    pub(super) in_force: InForce,
}

pub(super) fn trust(
    anchors: &TrustAnchors,
    authorities: &[CertificateDer<'static>],
    found: &[ListFile],
    policy: RevocationPolicy,
    before: &Before<'_>,
    now: UnixTime,
    notes: &mut Vec<Explanation>,
) -> Result<Trusted, SetRefused> {
    let files = Files::of(found, before);
    let read = files.read(authorities, now);
    let mut shut: BTreeMap<String, Vec<Shut>> = BTreeMap::new();
    for file in found {
        let held = held(&read, &file.name);
        for (why, whom) in files.wrong(file, &read) {
            if before.is_new(file) && !file.only_closes && whom != Shut::Unlisted {
                return Err(of_another_configuration(&why).into());
            }
            let whom = Some(whom).filter(|_| before.shuts(&file.name));
            notes.push(with_consequence(&why, &held, whom.as_ref()));
            shut.entry(file.name.clone()).or_default().extend(whom);
        }
    }
    for old in before.remembered.iter().filter(|old| old.bytes.is_none()) {
        let gone: Vec<&Known> = old.lists.iter().filter(|known| !known.is_followed(&read)).collect();
        if let Some(first) = gone.first() {
            notes.push(another(&old.name, &held(&read, &old.name), &first.whose, Stays::No));
            shut.entry(old.name.clone()).or_default().extend(gone.iter().map(|known| known.shuts.clone()));
        }
    }
    for pending in read.speaking.iter().filter(|read| files.is_present(read) && !read.is_vouched()) {
        let list = &pending.list;
        let claimed: Vec<_> = authorities.iter().filter(|authority| list.bears_name_of(authority)).collect();
        if claimed.is_empty() {
            continue;
        }
        let spoken_for = |authority: &CertificateDer<'_>| {
            read.speaking.iter().any(|other| other.list.is_signed_by(authority))
        };
        let wanting = claimed.into_iter().filter(|authority| !spoken_for(authority)).filter_map(Shut::of);
        let whom: Vec<Shut> = wanting.filter(|_| before.shuts(list.name())).collect();
        notes.push(with_consequence(&by_another_key(list), &held_but(&read, list), whom.first()));
        shut.entry(list.name().to_owned()).or_default().extend(whom);
    }
    shut.retain(|_, whom| !whom.is_empty());
    notes.extend(read.speaking.iter().filter_map(|earlier| files.left(earlier, &read)));
    let passed_over = read.passed_over.iter().filter_map(|old| files.passed_over(old, &read)).collect();
    let used: BTreeSet<usize> = read.speaking.iter().flat_map(|read| read.files.iter().copied()).collect();
    let (guests, used) = used.into_iter().partition(|at| files.is_guest(*at, &read));
    let (guests, kept) = (files.take(guests), files.take(used));
    let lists: Vec<_> = read.speaking.into_iter().map(|read| Arc::new(read.list)).collect();
    let in_force = InForce { lists, files: kept, guests, named: named(found), shut, passed_over };
    let trust = Trust::of_judged(anchors.clone(), in_force.revocation(policy))?;
    Ok(Trusted { trust, in_force })
}

fn named(found: &[ListFile]) -> BTreeSet<String> {
    found.iter().map(|file| file.name.clone()).collect()
}

impl InForce {
    /// What certificates are checked by.
    pub(super) fn revocation(&self, policy: RevocationPolicy) -> Revocation {
        let shut = self.shut.values().flatten().cloned().collect();
        Revocation::shared(self.lists.clone(), policy).shutting(shut)
    }
}

impl Before<'_> {
    /// Contents of files that lists in force are from.
    fn files(&self) -> Vec<Blob> {
        match self.last {
            Some(last) => last.files.clone(),
            None => self.remembered.iter().flat_map(Remembered::files).collect(),
        }
    }

    /// Whether this file is named for the first time, on a node that runs.
    fn is_new(&self, file: &ListFile) -> bool {
        self.last.is_some_and(|last| !last.named.contains(&file.name))
    }

    /// Whether anybody is refused for want of a list that should be in this file. At a start, unless what was in force
    /// when the node stopped goes on; later, as long as what was wrong at the start is not put right. A running node that
    /// began to refuse would lock out members for a file that is just being written.
    fn shuts(&self, name: &str) -> bool {
        match self.last {
            Some(last) => last.shut.contains_key(name),
            None => !self.remembered.iter().any(|old| old.name == name && !old.shut && old.bytes.is_some()),
        }
    }
}

impl Remembered {
    fn files(&self) -> impl Iterator<Item = Blob> {
        let contents = self.bytes.iter().flatten();
        contents.map(|bytes| Blob { name: self.name.clone(), bytes: bytes.clone() })
    }
}

impl Known {
    fn of(list: &RevocationList) -> Self {
        Self { shuts: list.shuts(), number: list.number(), made: list.this_update(), whose: whose(list) }
    }

    /// Whether a list in force is as new.
    fn is_followed(&self, read: &Lists) -> bool {
        read.speaking.iter().map(|read| &read.list).any(|list| {
            let now = Self::of(list);
            let as_new = match (&now.number, &self.number) {
                (Some(now), Some(then)) => (now.len(), now) >= (then.len(), then),
                _ => now.made >= self.made,
            };
            as_new && now.shuts == self.shuts
        })
    }
}

/// Contents of files: those that are there now, and behind them the earlier ones that lists in force are from.
struct Files {
    all: Vec<Blob>,
    present: usize,
}

impl Files {
    fn of(found: &[ListFile], before: &Before<'_>) -> Self {
        let blob = |file: &ListFile| {
            let bytes = file.read.clone().ok()?;
            Some(Blob { name: file.name.clone(), bytes })
        };
        let mut all: Vec<Blob> = found.iter().filter_map(blob).collect();
        let present = all.len();
        let named = named(found);
        for file in before.files().into_iter().filter(|file| named.contains(&file.name)) {
            if !all.contains(&file) {
                all.push(file);
            }
        }
        Self { all, present }
    }

    fn read(&self, authorities: &[CertificateDer<'static>], now: UnixTime) -> Lists {
        let given: Vec<(&str, &[u8])> =
            self.all.iter().map(|file| (file.name.as_str(), &*file.bytes)).collect();
        Lists::read(&given, authorities, now)
    }

    fn is_present(&self, read: &ListRead) -> bool {
        read.files.iter().any(|file| *file < self.present)
    }

    /// What is wrong with a file as it is now, and whom it may concern.
    fn wrong(&self, file: &ListFile, read: &Lists) -> Vec<(Explanation, Shut)> {
        let own = |at: usize| at < self.present && self.all[at].name == file.name;
        let faults = read.faults.iter().filter(|fault| own(fault.file));
        let mut wrong: Vec<_> = faults.map(|fault| (fault.why.clone(), fault.shuts.clone())).collect();
        if let Err(why) = &file.read {
            wrong.push((why.clone(), if file.awaited { Shut::Unlisted } else { Shut::Everyone }));
        }
        wrong
    }

    /// What to say of a list in force that no file holds any more.
    fn left(&self, earlier: &ListRead, read: &Lists) -> Option<Explanation> {
        let name = earlier.list.name();
        let own = |at: &usize| *at < self.present && self.all[*at].name == name;
        // What is wrong with the file was said, and that the list stays.
        if self.is_present(earlier) || read.faults.iter().any(|fault| own(&fault.file)) {
            return None;
        }
        let here = |other: &&ListRead| other.files.iter().any(own);
        if !(0..self.present).any(|at| own(&at)) {
            return None;
        }
        match read.passed_over.iter().filter(here).find(|older| older.is_of_the_line_of(earlier)) {
            Some(older) => Some(older_than(&older.list, &earlier.list)),
            None => {
                let now: Vec<String> = read
                    .speaking
                    .iter()
                    .chain(&read.passed_over)
                    .filter(here)
                    .map(|r| whose(&r.list))
                    .collect();
                Some(another(name, &now.join("; "), &whose(&earlier.list), Stays::Yes))
            }
        }
    }

    /// What to say of a list beside which a newer one stands: once, and no more than that.
    fn passed_over(&self, old: &ListRead, read: &Lists) -> Option<Explanation> {
        let newer = read.speaking.iter().find(|newer| newer.is_of_the_line_of(old))?;
        (self.is_present(old) && self.is_present(newer)).then(|| {
            let (older, newer) = (numbered(&old.list), numbered(&newer.list));
            Explanation::new(
                "crl.passed-over",
                format!("the list of {} is passed over, a newer one is in force: {}", older.0, newer.0),
                format!("{} 的列表不再使用，已有更新的列表生效：{}", older.1, newer.1),
            )
            .at(old.list.name())
        })
    }

    /// Whether what is in a file now took the place of the lists that belong there: somebody mistook the file.
    fn is_guest(&self, at: usize, read: &Lists) -> bool {
        let own = |file: &usize| self.all[*file].name == self.all[at].name;
        let all = || read.speaking.iter().chain(&read.passed_over);
        let earlier = |list: &&ListRead| list.files.iter().any(|file| *file >= self.present && own(file));
        let belongs = |list: &ListRead| all().filter(earlier).any(|old| list.list.succeeds(&old.list));
        let mut inside = all().filter(|list| list.files.contains(&at));
        at < self.present && all().any(|list| earlier(&list)) && !inside.any(belongs)
    }

    fn take(&self, places: Vec<usize>) -> Vec<Blob> {
        places.into_iter().map(|at| self.all[at].clone()).collect()
    }
}

/// Whether a list in whose place something else stands is in force.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stays {
    Yes,
    No,
}

/// The lists in force that go by the name of a file.
fn held(read: &Lists, name: &str) -> String {
    let own = read.speaking.iter().filter(|read| read.list.name() == name);
    own.map(|read| whose(&read.list)).collect::<Vec<_>>().join("; ")
}

/// The same without this one.
fn held_but(read: &Lists, list: &RevocationList) -> String {
    let others = read.speaking.iter().map(|read| &read.list);
    let own = others.filter(|other| other.name() == list.name() && other.digest() != list.digest());
    own.map(whose).collect::<Vec<_>>().join("; ")
}

fn by_another_key(list: &RevocationList) -> Explanation {
    let (name, issuer) = (list.name(), list.issuer());
    let key = list.key_id().unwrap_or_else(|| "-".to_owned());
    Explanation::new(
        "crl.wrong-issuer",
        format!(
            "bears the name of {issuer}, but was not signed by it with a key this node knows (the list names key {key}); fetch the list of that authority again, or add the authority's new certificate if it has a new key"
        ),
        format!(
            "署名为 {issuer}，但并非由本节点已知的该机构密钥签发（列表所示密钥为 {key}）；请重新获取该机构的吊销列表，机构已更换密钥的，请加入其新证书"
        ),
    ).at(name)
}

fn whose(list: &RevocationList) -> String {
    let number = list.number().map(|number| format!(" (number 0x{number})")).unwrap_or_default();
    format!("{}{number}", list.issuer())
}

/// Issuer, number and file in words.
fn numbered(list: &RevocationList) -> (String, String) {
    let number = list.number().unwrap_or_else(|| "-".to_owned());
    let (issuer, name) = (list.issuer(), list.name());
    (format!("{issuer}, number 0x{number}, {name}"), format!("{issuer}（编号 0x{number}，{name}）"))
}

/// What is wrong with a file, and what follows from it.
fn with_consequence(why: &Explanation, held: &str, shut: Option<&Shut>) -> Explanation {
    let (mut en, mut zh) = match shut {
        Some(Shut::Everyone) => (
            "; nothing says whose list this is, so no certificate at all is let in until a good list is in its place".to_owned(),
            "；无法得知是哪个机构的列表，在放入有效列表之前所有证书一律拒绝".to_owned(),
        ),
        Some(Shut::Issuer { .. }) => (
            "; certificates of its authority are refused until a good list is in its place".to_owned(),
            "；在放入有效列表之前，该机构的证书一律拒绝".to_owned(),
        ),
        Some(Shut::Unlisted) => (
            "; certificates of authorities of which no list is in force are refused until it is there".to_owned(),
            "；在取得该列表之前，没有生效列表的机构的证书一律拒绝".to_owned(),
        ),
        None if held.is_empty() => (
            "; no list of this file is in force, certificates are judged without one".to_owned(),
            "；该文件没有列表生效，证书在没有该列表的情况下判断".to_owned(),
        ),
        None => (String::new(), String::new()),
    };
    if !held.is_empty() {
        en = format!("{en}; in force from this file: {held}");
        zh = format!("{zh}；该文件中仍生效的列表：{held}");
    }
    extended(why, &en, &zh)
}

/// Why another configuration is not taken.
fn of_another_configuration(why: &Explanation) -> Explanation {
    extended(
        why,
        "; the configuration names this list for the first time and is not taken without it",
        "；配置首次指定此列表，列表未能生效，故不采用该配置",
    )
}

fn extended(why: &Explanation, en: &str, zh: &str) -> Explanation {
    let [was_en, was_zh] = why.sentences();
    let more = Explanation::new(why.code().to_owned(), format!("{was_en}{en}"), format!("{was_zh}{zh}"));
    match why.place() {
        Some(place) => more.at(place),
        None => more,
    }
}

fn older_than(older: &RevocationList, in_force: &RevocationList) -> Explanation {
    let (now, before) = (numbered(older), numbered(in_force));
    Explanation::new(
        "crl.older",
        format!(
            "the revocation list in the file ({}) is older than the one in force ({}), which stays; fetch the newest. If the authority counts anew, name its list under another file name in `[[revocation.lists]]` and reload",
            now.0, before.0
        ),
        format!(
            "文件中的吊销列表（{}）比生效中的（{}）旧，已保留后者，请重新获取最新列表；如机构已重新编号，请在 [[revocation.lists]] 中改用另一文件名并重新加载",
            now.1, before.1
        ),
    )
    .at(in_force.name())
}

fn another(name: &str, now: &str, before: &str, stays: Stays) -> Explanation {
    let (now, now_zh) = match now {
        "" => ("no list that is in force", "没有生效的列表"),
        now => (now, now),
    };
    let (then, then_zh) = match stays {
        Stays::Yes => ("that list stays in force", "该列表继续生效"),
        Stays::No => (
            "that list was too large to be kept over the restart, so certificates of its authority are refused",
            "该列表过大，重启后未能保留，因此该机构的证书一律拒绝",
        ),
    };
    Explanation::new(
        "crl.wrong-issuer",
        format!(
            "holds {now}, but a list of {before} belongs here too; {then}. Put the right list back; to follow another authority instead, name its list under another file name in `[[revocation.lists]]` and reload"
        ),
        format!(
            "文件内是 {now_zh}，而此处还应有 {before} 的列表；{then_zh}。请放回正确的列表；如机构确已更换，请在 [[revocation.lists]] 中改用另一文件名并重新加载"
        ),
    )
    .at(name)
}
