//! Many files, each with any number of lists, old beside new: which lists hold, which are passed over, and what stands in a
//! list's place and is none.
//!
//! Each list is judged for itself, so that none is lost for a neighbour's sake; and whatever does not hold is named with as
//! much as is known of whose it is, so that its authority's certificates can be refused for want of it.

use rustls_pki_types::{CertificateDer, UnixTime};
use std::path::Path;
use xinqiao_crypto::sha256;
use xinqiao_explain::Explanation;

use super::blocks::{self, Broken};
use super::document::{self, Document, Kind};
use super::list::{RevocationList, Signed};
use super::{Shut, succession, wrong_issuer};
use crate::certificate;
use crate::file::read;
use crate::trouble::unusable;

/// Seconds an authority's clock may be ahead of this one's.
const CLOCKS_APART: u64 = 300;

/// What several files hold.
#[derive(Debug, Default)]
pub struct Lists {
    /// Of each authority, scope and key the newest; and those of authorities that are not known, which show it when a
    /// certificate is checked.
    pub speaking: Vec<ListRead>,
    /// Good lists that newer ones took the place of.
    pub passed_over: Vec<ListRead>,
    /// What is no list, or none that may be used.
    pub faults: Vec<ListFault>,
}

/// A list, and the files it was read from.
#[derive(Debug)]
pub struct ListRead {
    /// The list.
    pub list: RevocationList,
    /// Which of the files that were given hold it, or a delta laid over it, by their place; in order.
    pub files: Vec<usize>,
    /// SHA-256 of the key of a known authority that signed all of it.
    signer: Option<[u8; 32]>,
}

impl ListRead {
    /// Whether a known authority signed it.
    pub fn is_vouched(&self) -> bool {
        self.signer.is_some()
    }

    /// Whether one of the two takes the place of the other: one known key signed both, for the same certificates.
    pub fn is_of_the_line_of(&self, other: &Self) -> bool {
        self.signer.is_some() && self.signer == other.signer && self.list.same_scope(&other.list)
    }
}

/// Something in a list's place that is not in force.
#[derive(Debug)]
pub struct ListFault {
    /// Which of the files that were given holds it.
    pub file: usize,
    /// What is wrong and what to do.
    pub why: Explanation,
    /// Who is refused for want of it, if nothing else is in force in its place.
    pub shuts: Shut,
}

impl Lists {
    /// Reads files, each under the name that messages call it, and judges every list by itself: a list that bears the name
    /// and the key of one of these authorities must be signed by it, and none may be from the future.
    pub fn read(files: &[(&str, &[u8])], authorities: &[CertificateDer<'_>], now: UnixTime) -> Self {
        let mut reading = Reading::of(files);
        let known = known(authorities);
        reading.keep(|document, name| {
            if document.this_update > now.as_secs().saturating_add(CLOCKS_APART) {
                return Err(not_yet_valid(name));
            }
            signer(document, &known, name)
        });
        let (read, faults) = reading.assembled();
        let speaks = newest(&read, now);
        let mut lists = Self { faults, ..Self::default() };
        for (read, speaks) in read.into_iter().zip(speaks) {
            match speaks {
                true => lists.speaking.push(read),
                false => lists.passed_over.push(read),
            }
        }
        lists
    }
}

impl RevocationList {
    /// Reads one complete list in PEM or DER. `name` is what messages call it.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, Explanation> {
        let mut lists = Self::read_all([(name, bytes)])?;
        match (lists.pop(), lists.len()) {
            (Some(list), 0) => Ok(list),
            _ => Err(document::malformed(name)),
        }
    }

    /// Reads the lists of several files, each PEM (any number of blocks) or DER, and lays every delta over the list it
    /// changes. All of it must be good; [`Lists::read`] takes what is.
    ///
    /// A delta that a newer complete list already contains is passed over.
    pub fn read_all<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Vec<Self>, Explanation> {
        let files: Vec<(&str, &[u8])> = files.into_iter().collect();
        let (lists, faults) = Reading::of(&files).assembled();
        match faults.into_iter().next() {
            Some(fault) => Err(fault.why),
            None => Ok(lists.into_iter().map(|read| read.list).collect()),
        }
    }

    /// The same from files.
    pub fn from_files<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Self>, Explanation> {
        let read = |path: &P| Ok((path.as_ref().display().to_string(), read(path.as_ref())?));
        let files = paths.iter().map(read).collect::<Result<Vec<_>, Explanation>>()?;
        Self::read_all(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())))
    }
}

/// An authority's name, what it calls its key, and the key.
struct Known {
    subject: Vec<u8>,
    key_id: Option<Vec<u8>>,
    key: Vec<u8>,
}

fn known(authorities: &[CertificateDer<'_>]) -> Vec<Known> {
    let parsed = authorities.iter().filter_map(certificate::parse);
    parsed
        .map(|authority| Known {
            subject: authority.subject().as_raw().to_vec(),
            key_id: certificate::key_id(&authority),
            key: authority.public_key().raw.to_vec(),
        })
        .collect()
}

/// The key that signed it, if its authority is known. An authority of the same name with another key says nothing of it.
fn signer(document: &Document, known: &[Known], name: &str) -> Result<Option<[u8; 32]>, Explanation> {
    let mut claimed = false;
    for authority in known.iter().filter(|known| known.subject == document.issuer_raw) {
        if document.is_signed_by(&authority.key) {
            return Ok(Some(sha256(&authority.key)));
        }
        claimed |= document.may_be_by(authority.key_id.as_deref());
    }
    match claimed {
        true => Err(wrong_issuer(name)),
        false => Ok(None),
    }
}

/// Whether each of these speaks: of those that one key signed for the same certificates, the newest.
fn newest(read: &[ListRead], now: UnixTime) -> Vec<bool> {
    let mut speaks = vec![true; read.len()];
    for (at, one) in read.iter().enumerate() {
        if one.signer.is_none() {
            continue;
        }
        let line: Vec<usize> = (0..read.len()).filter(|other| one.is_of_the_line_of(&read[*other])).collect();
        let ranks: Vec<_> = line.iter().map(|other| read[*other].list.rank(Signed::All)).collect();
        let speaking = succession::speaking(&ranks, now.as_secs());
        let Some(latest) = speaking.first().map(|place| &read[line[*place]].list) else { continue };
        speaks[at] = speaking.iter().position(|place| line[*place] == at).is_some_and(|place| {
            // One of the same number that revokes nothing more has nothing to say.
            place == 0 || !one.list.is_within(latest)
        });
    }
    speaks
}

fn not_yet_valid(name: &str) -> Explanation {
    unusable(
        "crl.not-yet-valid",
        name,
        "the revocation list is dated in the future; check this machine's clock",
        "吊销列表的签发时间在未来，请检查本机时钟",
    )
}

/// Lists as they stand in files, not yet put together.
pub(super) struct Reading {
    names: Vec<String>,
    documents: Vec<Found>,
    faults: Vec<ListFault>,
}

struct Found {
    files: Vec<usize>,
    document: Document,
    signer: Option<[u8; 32]>,
}

impl Reading {
    /// Every list of these files. One that stands in several places is read once.
    pub(super) fn of(files: &[(&str, &[u8])]) -> Self {
        let names = files.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut reading = Self { names, documents: Vec::new(), faults: Vec::new() };
        for (file, (name, bytes)) in files.iter().enumerate() {
            for block in blocks::blocks(name, bytes) {
                let read = block.and_then(|der| match reading.again(&der, file) {
                    true => Ok(None),
                    false => {
                        let issuer = blocks::issuer_of(&der);
                        Document::read(name, der).map(Some).map_err(|why| Broken { why, issuer })
                    }
                });
                match read {
                    Ok(None) => {}
                    Ok(Some(document)) => {
                        reading.documents.push(Found { files: vec![file], document, signer: None });
                    }
                    Err(Broken { why, issuer }) => {
                        let shuts = issuer.map_or(Shut::Everyone, |name| Shut::issuer(name, None));
                        reading.faults.push(ListFault { file, why, shuts });
                    }
                }
            }
        }
        reading
    }

    fn again(&mut self, der: &[u8], file: usize) -> bool {
        let Some(found) = self.documents.iter_mut().find(|found| found.document.der == der) else {
            return false;
        };
        if found.files.last() != Some(&file) {
            found.files.push(file);
        }
        true
    }

    /// Keeps those that pass, with the key that signed them.
    fn keep(&mut self, mut judge: impl FnMut(&Document, &str) -> Result<Option<[u8; 32]>, Explanation>) {
        for mut found in std::mem::take(&mut self.documents) {
            let file = found.files[0];
            match judge(&found.document, &self.names[file]) {
                Ok(signer) => {
                    found.signer = signer;
                    self.documents.push(found);
                }
                Err(why) => self.faults.push(ListFault { file, why, shuts: shuts(&found.document) }),
            }
        }
    }

    /// The complete lists, each with the newest delta that fits laid over it.
    pub(super) fn assembled(self) -> (Vec<ListRead>, Vec<ListFault>) {
        let Self { names, documents, mut faults } = self;
        let mut lists: Vec<ListRead> = Vec::new();
        let mut deltas = Vec::new();
        for found in documents {
            let Found { files, document, signer } = found;
            match document.kind {
                Kind::Delta { .. } => deltas.push(Found { files, document, signer }),
                Kind::Complete => {
                    let (file, shuts) = (files[0], shuts(&document));
                    match RevocationList::complete(&names[file], document) {
                        Ok(list) => lists.push(ListRead { list, files, signer }),
                        Err(why) => faults.push(ListFault { file, why, shuts }),
                    }
                }
            }
        }
        // As numbers, which have no leading zeros here: of 255 and 256 the second is laid over last and holds. After all
        // complete lists, in whatever order the files came: a delta may stand in a file before its base.
        let number =
            |delta: &Found| delta.document.number.as_ref().map(|digits| (digits.len(), digits.clone()));
        deltas.sort_by_key(number);
        for delta in deltas {
            let file = delta.files[0];
            if let Err(why) = lay_over(&mut lists, &delta, &names[file]) {
                faults.push(ListFault { file, why, shuts: shuts(&delta.document) });
            }
        }
        faults.sort_by_key(|fault| fault.file);
        (lists, faults)
    }
}

/// Lays a delta over every list it fits. It must fit one.
fn lay_over(lists: &mut [ListRead], delta: &Found, name: &str) -> Result<(), Explanation> {
    let mut misfit = None;
    let mut fits = false;
    let key_id = delta.document.key_id.as_deref();
    let same = |read: &&mut ListRead| {
        let base = &read.list.base;
        base.same_scope(&delta.document) && base.may_be_by(key_id) && read.signer == delta.signer
    };
    for read in lists.iter_mut().filter(same) {
        match read.list.lay_over(name, delta.document.clone()) {
            Ok(()) => {
                fits = true;
                read.files.extend(&delta.files);
                read.files.sort_unstable();
                read.files.dedup();
            }
            Err(why) => misfit = Some(why),
        }
    }
    match (fits, misfit) {
        (true, _) => Ok(()),
        (false, Some(why)) => Err(why),
        (false, None) => Err(document::delta_alone(name, &delta.document)),
    }
}

fn shuts(document: &Document) -> Shut {
    Shut::issuer(document.issuer_raw.clone(), document.key_id.clone())
}
