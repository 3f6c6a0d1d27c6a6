//! Source rights: which member may send or recall which records, on behalf of which authorities, and to which
//! lineage a record belongs. Ownership follows the lineage through reorganisations (机构改革), not a certificate.

use serde::{Deserialize, Serialize};
use xinqiao_schemas::Date;

/// A member's rights as a source.
#[derive(Clone, Debug)]
pub struct Source {
    /// The member's name.
    pub member: String,
    /// The unit that hands the records in (数据来源单位).
    pub unit: Unit,
    /// Datasets it may send.
    pub datasets: Vec<String>,
    /// Authorities it acts for: its own units and delegated organs.
    pub authorities: Vec<Authority>,
    /// The lineage of records whose authority names none of its own.
    pub lineage: String,
    /// A node whose relayed lines are taken: its lines carry their own keys.
    pub relay: bool,
}

/// A unit by name and unified social credit code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Unified social credit code (GB 32100).
    pub code: String,
    /// Full name.
    pub name: String,
}

/// An authority a member may act for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// Unified social credit code; for relays a pattern such as `11350200*`, matched as a prefix.
    pub code: String,
    /// Full name, as it stands in decisions.
    #[serde(default)]
    pub name: String,
    /// First decision date this authority existed for (`2019-01-01`).
    #[serde(default)]
    pub from: Option<String>,
    /// Last decision date.
    #[serde(default)]
    pub until: Option<String>,
    /// The authority that took over its duties.
    #[serde(default)]
    pub successor: Option<String>,
    /// The lineage of its records where it differs from the member's.
    #[serde(default)]
    pub lineage: Option<String>,
    /// The basis on which it may say of a subject without a code that it is an organisation or an individual business. None:
    /// it may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncoded_basis: Option<String>,
}

/// Why a record may not come from this source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotYours {
    /// The deciding authority is none of the member's.
    Authority,
    /// The authority is the member's, but not at the date of the decision.
    AuthorityThen,
    /// The record names no authority and the member acts for several.
    AuthorityMissing,
    /// The record says on what basis its subject is an organisation without a code, and its authority has none registered.
    Uncoded,
}

impl NotYours {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Authority => "authority.not-yours",
            Self::AuthorityThen => "authority.not-yours-then",
            Self::AuthorityMissing => "authority.missing",
            Self::Uncoded => "authority.no-uncoded-basis",
        }
    }

    /// What and what to do, in English and Chinese.
    pub fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Authority => (
                "The deciding authority is not registered for this member; ask the security officer to register it or correct the authority code.",
                "该记录的决定机关未登记在本单位名下；请核对机关代码，或请安全管理员登记该机关。",
            ),
            Self::AuthorityThen => (
                "The deciding authority was not this member's at the date of the decision; check the date or the authority's validity.",
                "作出决定之日该机关不在本单位名下；请核对决定日期或机关的有效期。",
            ),
            Self::AuthorityMissing => (
                "The record names no deciding authority and this member acts for several; add the authority's code.",
                "记录未注明决定机关，而本单位代报多个机关；请补充机关代码。",
            ),
            Self::Uncoded => (
                "`basis` says that the subject is an organisation without a code, but no basis is registered for the deciding authority; ask the security officer to register it (`uncoded_basis`), give the subject's code, or remove `basis`.",
                "basis 表明相对人是无代码的单位，但决定机关未登记相应依据；请安全管理员登记（uncoded_basis），或填写相对人代码，或删除 basis。",
            ),
        }
    }
}

impl Authority {
    fn matches(&self, code: &str) -> bool {
        match self.code.strip_suffix('*') {
            Some(prefix) => code.starts_with(prefix),
            None => self.code == code,
        }
    }

    fn covers(&self, day: Option<Date>) -> bool {
        let Some(day) = day else { return true };
        bound(&self.from).is_none_or(|d| day >= d) && bound(&self.until).is_none_or(|d| day <= d)
    }

    /// Is there a day that both cover?
    pub fn overlaps(&self, other: &Self) -> bool {
        let ordered = |from: &Option<String>, until: &Option<String>| match (bound(from), bound(until)) {
            (Some(from), Some(until)) => from <= until,
            _ => true,
        };
        ordered(&self.from, &other.until) && ordered(&other.from, &self.until)
    }

    /// Says what is wrong with the entry, if anything.
    pub fn problem(&self) -> Option<String> {
        for (name, value) in [("from", &self.from), ("until", &self.until)] {
            if let Some(v) = value
                && Date::parse_accepted(v).is_err()
            {
                return Some(format!("authority {}: `{name}` is not a date such as 2019-01-01", self.code));
            }
        }
        if let Some(basis) = &self.uncoded_basis
            && (basis.trim().is_empty() || self.code.ends_with('*'))
        {
            let code = &self.code;
            return Some(format!(
                "authority {code}: `uncoded_basis` names a basis, of one authority by its whole code"
            ));
        }
        self.code.trim_end_matches('*').is_empty().then(|| "authority: `code` is empty".into())
    }
}

/// A day that bounds an authority's time; one that is no date bounds nothing, and is found when settings are checked.
fn bound(day: &Option<String>) -> Option<Date> {
    day.as_deref().and_then(|day| Date::parse_accepted(day).ok()).map(|(day, _)| day)
}

impl Source {
    /// May this member send the dataset at all?
    pub fn may_send(&self, dataset: &str) -> bool {
        self.datasets.iter().any(|d| d == dataset)
    }

    /// The authority a record belongs to, by the code it names and the date of the decision.
    pub fn authority(&self, code: Option<&str>, decided: Option<Date>) -> Result<&Authority, NotYours> {
        match code {
            None => match self.authorities.as_slice() {
                [one] if one.covers(decided) => Ok(one),
                [_] => Err(NotYours::AuthorityThen),
                _ => Err(NotYours::AuthorityMissing),
            },
            Some(code) => {
                let mut known = false;
                for a in self.authorities.iter().filter(|a| a.matches(code)) {
                    known = true;
                    if a.covers(decided) {
                        return Ok(a);
                    }
                }
                Err(if known { NotYours::AuthorityThen } else { NotYours::Authority })
            }
        }
    }

    /// The lineage of a record of this authority.
    pub fn lineage_of<'a>(&'a self, authority: &'a Authority) -> &'a str {
        authority.lineage.as_deref().unwrap_or(&self.lineage)
    }

    /// Every lineage this member owns: a recall that names no authority goes to each of them.
    pub fn lineages(&self) -> Vec<&str> {
        let mut all = vec![self.lineage.as_str()];
        for l in self.authorities.iter().filter_map(|a| a.lineage.as_deref()) {
            if !all.contains(&l) {
                all.push(l);
            }
        }
        all
    }
}
