//! The certificates members connected with: what a change is rehearsed on. Known in memory by digest, so that a
//! connection costs a look-up; noted in the journal once a day, so that the knowledge survives a restart.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::Notify;
use xinqiao_certs::{CertificateDer, Details, VerifiedMember, chain_digest, to_pem};
use xinqiao_evidence::Digest;

/// Chains remembered of one member; those seen longest ago go first.
const OF_ONE_MEMBER: usize = 16;
/// New chains of one member that the journal keeps in a day. Anyone can put anything beside his own certificate, and fill
/// the evidence with another chain for each connection.
const OF_ONE_DAY: usize = 64;
/// A chain is noted again when it was last noted this long ago.
const DAY: i64 = 86_400;

/// Every chain known.
#[derive(Default)]
pub(super) struct Seen {
    chains: Mutex<HashMap<[u8; 32], Entry>>,
    /// The day a member last came with a chain that was new, and how many there were that day.
    learnt: Mutex<HashMap<Arc<str>, (i64, usize)>>,
    news: Notify,
}

struct Entry {
    member: Arc<str>,
    chain: Arc<Vec<CertificateDer<'static>>>,
    issued: i64,
    last: i64,
    noted: i64,
}

/// A chain, to check a change by.
#[derive(Clone)]
pub(super) struct SeenChain {
    pub(super) digest: [u8; 32],
    pub(super) member: Arc<str>,
    pub(super) chain: Arc<Vec<CertificateDer<'static>>>,
    /// First second of validity of the leaf.
    pub(super) issued: i64,
    /// Unix seconds.
    pub(super) last: i64,
}

/// The name a chain is archived under: the digest of its PEM.
pub(super) fn name_of(chain: &[CertificateDer<'_>]) -> Digest {
    Digest::of(to_pem(chain).as_bytes())
}

impl Seen {
    /// A member connected with this chain.
    pub(super) fn note(&self, member: &VerifiedMember, chain: &[CertificateDer<'_>], now: i64) {
        self.note_of(member.name(), chain, now);
    }

    fn note_of(&self, member: &str, chain: &[CertificateDer<'_>], now: i64) {
        let digest = chain_digest(chain);
        let mut all = self.chains.lock();
        if let Some(entry) = all.get_mut(&digest)
            && *entry.member == *member
        {
            entry.last = now;
            if now - entry.noted >= DAY {
                self.news.notify_one();
            }
            return;
        }
        let member: Arc<str> = member.into();
        let issued = chain.first().and_then(|leaf| Details::of(leaf).ok()).map_or(0, |d| d.not_before);
        let kept: Vec<_> = chain.iter().map(|der| der.clone().into_owned()).collect();
        let entry = Entry {
            member: member.clone(),
            chain: Arc::new(kept),
            issued: i64::try_from(issued).unwrap_or(i64::MAX),
            last: now,
            noted: if self.is_worth_noting(&member, now) { 0 } else { now },
        };
        all.insert(digest, entry);
        forget_oldest(&mut all, &member);
        self.news.notify_one();
    }

    fn is_worth_noting(&self, member: &Arc<str>, now: i64) -> bool {
        let mut learnt = self.learnt.lock();
        let (day, count) = learnt.entry(member.clone()).or_default();
        if *day != now / DAY {
            (*day, *count) = (now / DAY, 0);
        }
        *count += 1;
        *count <= OF_ONE_DAY
    }

    /// What the journal remembers from earlier runs.
    pub(super) fn restore(&self, member: &str, chain: Vec<CertificateDer<'static>>, issued: i64, last: i64) {
        let digest = chain_digest(&chain);
        let entry = Entry { member: member.into(), chain: Arc::new(chain), issued, last, noted: last };
        self.chains.lock().entry(digest).or_insert(entry);
    }

    /// Returns when there is something to note.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Chains not noted in the journal yet, or not for a day. They count as noted from here on.
    pub(super) fn take_news(&self) -> Vec<SeenChain> {
        let mut all = self.chains.lock();
        let news = all.iter_mut().filter(|(_, e)| e.last - e.noted >= DAY);
        let taken = news.map(|(digest, entry)| {
            entry.noted = entry.last;
            entry.view(digest)
        });
        taken.collect()
    }

    /// These could not be noted after all.
    pub(super) fn give_back(&self, chains: &[SeenChain]) {
        let mut all = self.chains.lock();
        for chain in chains {
            if let Some(entry) = all.get_mut(&chain.digest) {
                entry.noted = 0;
            }
        }
    }

    /// The authorities that chains named, each once.
    pub(super) fn authorities(&self) -> Vec<CertificateDer<'static>> {
        let all = self.chains.lock();
        let mut named: BTreeMap<&[u8], &CertificateDer<'static>> = BTreeMap::new();
        for authority in all.values().flat_map(|e| e.chain.iter().skip(1)) {
            named.entry(authority).or_insert(authority);
        }
        named.into_values().cloned().collect()
    }

    /// Every chain.
    pub(super) fn all(&self) -> Vec<SeenChain> {
        self.chains.lock().iter().map(|(digest, entry)| entry.view(digest)).collect()
    }
}

impl Entry {
    fn view(&self, digest: &[u8; 32]) -> SeenChain {
        SeenChain {
            digest: *digest,
            member: self.member.clone(),
            chain: self.chain.clone(),
            issued: self.issued,
            last: self.last,
        }
    }
}

fn forget_oldest(all: &mut HashMap<[u8; 32], Entry>, member: &str) {
    let mut own: Vec<(i64, [u8; 32])> =
        all.iter().filter(|(_, e)| *e.member == *member).map(|(digest, e)| (e.last, *digest)).collect();
    own.sort_unstable();
    for (_, digest) in own.iter().rev().skip(OF_ONE_MEMBER) {
        all.remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_does_not_fill_the_journal_with_chains() {
        let seen = Seen::default();
        let come = |member: &str, mark: u32, now: i64| {
            let chain = [CertificateDer::from(mark.to_be_bytes().to_vec())];
            seen.note_of(member, &chain, now);
        };
        let now = 20_000 * DAY;
        let mut noted = 0;
        for mark in 0..1_000 {
            come("flooder", mark, now + i64::from(mark));
            noted += seen.take_news().len();
        }
        assert_eq!(noted, OF_ONE_DAY);
        assert_eq!(seen.all().len(), OF_ONE_MEMBER);
        assert!(seen.all().iter().all(|s| s.last > now + 900), "a change is still judged by the newest");
        come("other", 5_000, now + 2_000);
        assert_eq!(seen.take_news().len(), 1, "others are noted on");
        come("flooder", 9_000, now + DAY);
        assert!(seen.take_news().iter().any(|s| *s.member == *"flooder"), "and on another day it is too");
    }
}
