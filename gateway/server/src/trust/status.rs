//! What runs out when: every certificate, anchor and revocation list, for officers, metrics and readiness.

use super::set::TrustSet;
use super::{TrustKeeper, lists};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use xinqiao_certs::{Details, RevocationList, UnixTime, certificates};
use xinqiao_explain::Explanation;
use xinqiao_runtime::metrics::{Metric, Metrics};
use xinqiao_runtime::{Check, State};

const DAY: i64 = 86_400;
/// Days before its end from which a certificate or an anchor is spoken of.
const SOON: i64 = 14;

/// One thing that runs out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRow {
    /// What it is.
    pub kind: StatusKind,
    /// What it is called here: the file, the peer.
    pub name: String,
    /// Whose it is; for a list, its issuer.
    pub subject: String,
    /// By whom.
    pub issuer: String,
    /// When it runs out, in seconds since 1970; for a list, when the next one was promised. Absent if it does not say.
    pub not_after: Option<u64>,
    /// Whole days until then; negative afterwards.
    pub days_left: Option<i64>,
    /// Whether someone must act.
    pub state: StatusState,
}

/// A kind of thing that runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusKind {
    /// A certificate this node shows.
    Certificate,
    /// An authority's certificate.
    Anchor,
    /// A revocation list.
    Crl,
    /// A stapled answer about this node's certificate.
    Ocsp,
}

impl StatusKind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Anchor => "anchor",
            Self::Crl => "crl",
            Self::Ocsp => "ocsp",
        }
    }
}

/// How near its end something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusState {
    /// It has time.
    Good,
    /// Its successor is due.
    Soon,
    /// It has ended.
    Ended,
}

impl StatusState {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Soon => "soon",
            Self::Ended => "ended",
        }
    }
}

impl TrustKeeper {
    /// Every certificate, anchor and list in force.
    pub fn status(&self) -> Vec<StatusRow> {
        rows(&self.live().set, UnixTime::now())
    }

    /// What is wrong with the lists for want of which certificates are refused; nothing if none are.
    pub fn wanting(&self) -> Vec<Explanation> {
        let live = self.live();
        let shut = |note: &&Explanation| {
            note.place().is_some_and(|place| live.set.in_force.shut.contains_key(place))
        };
        live.set.notes.iter().filter(shut).cloned().collect()
    }

    /// For `/readyz`: what someone should look at, most urgent first; nothing if all is well.
    pub fn checks(&self) -> Vec<Check> {
        let refused = self.refused.lock();
        let mut advice: Vec<Explanation> = [&refused.reload, &refused.files]
            .into_iter()
            .flatten()
            .cloned()
            .map(|refused| refused.why)
            .collect();
        advice.dedup();
        drop(refused);
        let live = self.live();
        advice.extend(live.set.notes.iter().cloned());
        advice.extend(self.troubles.lock().values().cloned());
        advice.extend(self.ends());
        let mut checks: Vec<Check> = Vec::new();
        for advice in advice {
            checks.push(Check {
                name: "certificates",
                state: State::Degraded,
                advice: advice.english(),
                advice_zh: advice.chinese(),
            });
        }
        checks
    }

    /// What runs out, or has, and the lists that nobody known signed.
    pub(super) fn ends(&self) -> Vec<Explanation> {
        let rows = self.status();
        let ends = rows.iter().filter(|row| row.state != StatusState::Good).map(ending);
        ends.chain(self.unvouched()).collect()
    }

    fn unvouched(&self) -> Vec<Explanation> {
        let live = self.live();
        let all = live.set.trust.revocation().lists();
        if all.is_empty() {
            return Vec::new();
        }
        let authorities = self.authorities();
        all.iter()
            .filter(|list| !lists::vouched(list, &authorities))
            // One in the name of an authority that is known was spoken of when it was read.
            .filter(|list| !authorities.iter().any(|authority| list.bears_name_of(authority)))
            .map(|list| lists::of_nobody(list))
            .collect()
    }

    /// Shows days left and refusals in the metrics on each scrape.
    pub fn expose(self: &Arc<Self>, metrics: &Metrics) {
        let keeper = Arc::downgrade(self);
        metrics.on_scrape(move |m| {
            let Some(keeper) = keeper.upgrade() else { return };
            // A file may hold several: the one that ends first counts.
            let mut soonest: BTreeMap<(StatusKind, String), i64> = BTreeMap::new();
            for row in keeper.status() {
                let Some(days) = row.days_left else { continue };
                let least = soonest.entry((row.kind, row.name)).or_insert(days);
                *least = days.min(*least);
            }
            for ((kind, name), days) in &soonest {
                m.set(Metric::CertificateExpiryDays, &[kind.as_str(), name], *days as f64);
            }
            let refused = keeper.refused.lock();
            let refused = refused.reload.is_some() || refused.files.is_some();
            m.set(Metric::CertificatesRefused, &[], f64::from(u8::from(refused)));
        });
    }
}

fn rows(set: &TrustSet, now: UnixTime) -> Vec<StatusRow> {
    let mut all = Vec::new();
    for details in set.identity.details() {
        all.push(of_certificate(StatusKind::Certificate, "exchange", &details, now));
    }
    if let Some(next) = set.identity.ocsp_next_update() {
        let subject = set.identity.details().into_iter().next().map_or_else(String::new, |d| d.subject);
        all.push(row(StatusKind::Ocsp, "exchange", (subject, String::new()), Some(next), 0, now));
    }
    for (name, identity) in &set.own {
        for details in identity.details() {
            all.push(of_certificate(StatusKind::Certificate, name, &details, now));
        }
    }
    for anchor in set.anchors.values() {
        let chain = certificates(&anchor.name, anchor.pem.as_bytes()).unwrap_or_default();
        let details = chain.first().and_then(|der| Details::of(der).ok());
        all.extend(details.map(|d| of_certificate(StatusKind::Anchor, &anchor.name, &d, now)));
    }
    all.extend(set.trust.revocation().lists().iter().map(|list| of_list(list, now)));
    all
}

fn of_certificate(kind: StatusKind, name: &str, d: &Details, now: UnixTime) -> StatusRow {
    // Renewal is due at two thirds of a certificate's life.
    let soon = seconds(d.not_after.saturating_sub(d.not_before) / 3).min(SOON * DAY);
    row(kind, name, (d.subject.clone(), d.issuer.clone()), Some(d.not_after), soon, now)
}

fn of_list(list: &RevocationList, now: UnixTime) -> StatusRow {
    let issuer = list.issuer().to_owned();
    // A day before the next one is overdue is early enough, and for lists of a day or two a quarter of their time.
    let soon =
        list.next_update().map_or(0, |next| seconds(next.saturating_sub(list.this_update()) / 4).min(DAY));
    row(StatusKind::Crl, list.name(), (issuer.clone(), issuer), list.next_update(), soon, now)
}

fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn row(
    kind: StatusKind,
    name: &str,
    (subject, issuer): (String, String),
    not_after: Option<u64>,
    soon: i64,
    now: UnixTime,
) -> StatusRow {
    let left = not_after.map(|end| seconds(end).saturating_sub(seconds(now.as_secs())));
    let state = match left {
        Some(left) if left < 0 => StatusState::Ended,
        Some(left) if left < soon => StatusState::Soon,
        _ => StatusState::Good,
    };
    let days_left = left.map(|left| left.div_euclid(DAY));
    StatusRow { kind, name: name.to_owned(), subject, issuer, not_after, days_left, state }
}

fn ending(row: &StatusRow) -> Explanation {
    let (name, days) = (&row.name, row.days_left.unwrap_or_default());
    match (row.kind, row.state) {
        (StatusKind::Crl, StatusState::Ended) => Explanation::new(
            "crl.stale",
            "the revocation list is past its next update; fetch the newest list of this authority",
            "吊销列表已超过下次更新时间，请获取该机构的最新列表",
        )
        .at(name),
        (StatusKind::Crl, _) => Explanation::new(
            "crl.stale-soon",
            "the revocation list is due within a day; see that its successor arrives",
            "吊销列表将在一天内到期，请确认新列表能够送达",
        )
        .at(name),
        (_, StatusState::Ended) => Explanation::new(
            "certificate.ended",
            format!("the {} has ended; put its successor in place", row.kind.as_str()),
            "证书已到期，请更换",
        )
        .at(name),
        _ => Explanation::new(
            "certificate.ends-soon",
            format!("the {} ends in {days} days; put its successor in place", row.kind.as_str()),
            format!("证书将在 {days} 天后到期，请更换"),
        )
        .at(name),
    }
}
