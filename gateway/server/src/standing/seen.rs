//! The certificates members connected with: what a change is rehearsed on. Known in memory by digest, so that a
//! connection costs a look-up; noted in the journal once a day, so that the knowledge survives a restart.

use crate::edge::chain_digest;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;
use xinqiao_certs::{CertificateDer, Details, VerifiedMember, to_pem};
use xinqiao_evidence::Digest;

/// Chains remembered of one member; those seen longest ago go first.
const OF_ONE_MEMBER: usize = 16;
/// A chain is noted again when it was last noted this long ago.
const DAY: i64 = 86_400;

/// Every chain known.
#[derive(Default)]
pub(super) struct Seen {
    chains: Mutex<HashMap<[u8; 32], Entry>>,
    news: Notify,
}

struct Entry {
    member: Arc<str>,
    chain: Arc<Vec<CertificateDer<'static>>>,
    issued: i64,
    last: i64,
    noted: i64,
}

/// A chain, to judge a change by.
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
        let digest = chain_digest(chain);
        let mut all = self.chains.lock();
        if let Some(entry) = all.get_mut(&digest)
            && *entry.member == *member.name()
        {
            entry.last = now;
            if now - entry.noted >= DAY {
                self.news.notify_one();
            }
            return;
        }
        let member: Arc<str> = member.name().into();
        let issued = chain.first().and_then(|leaf| Details::of(leaf).ok()).map_or(0, |d| d.not_before);
        let kept: Vec<_> = chain.iter().map(|der| der.clone().into_owned()).collect();
        let entry = Entry {
            member: member.clone(),
            chain: Arc::new(kept),
            issued: i64::try_from(issued).unwrap_or(i64::MAX),
            last: now,
            noted: 0,
        };
        all.insert(digest, entry);
        forget_oldest(&mut all, &member);
        self.news.notify_one();
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
