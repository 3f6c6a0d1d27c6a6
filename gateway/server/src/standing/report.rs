//! What a change of the set means: who is affected, why it was refused, what someone should look at.

use serde::{Deserialize, Serialize};
use std::fmt;
use xinqiao_certs::LoadError;

/// One sentence for an officer, in both languages, under a stable code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// The stable code.
    pub code: String,
    /// Where, what, and what to do.
    pub en: String,
    /// The same in Chinese.
    pub zh: String,
}

impl Advice {
    pub(super) fn new(code: &str, en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { code: code.to_owned(), en: en.into(), zh: zh.into() }
    }
}

impl Advice {
    /// What it is about, whatever the days left: code and place.
    pub(super) fn key(&self) -> String {
        let place = self.en.split(": ").next().unwrap_or_default();
        format!("{} {place}", self.code)
    }
}

impl From<LoadError> for Advice {
    fn from(e: LoadError) -> Self {
        Self::new(e.code(), e.english(), e.chinese())
    }
}

/// Someone who was let in with a certificate before and would not be with it after the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// The member.
    pub member: String,
    /// SHA-256 of the certificate chain it connected with, hexadecimal: the archive knows it under this name.
    pub chain: String,
    /// When it did so last, in seconds since 1970.
    pub last_seen: i64,
    /// The code it would be refused with.
    pub code: String,
    /// Why, in English.
    pub en: String,
    /// Why, in Chinese.
    pub zh: String,
}

/// What a change does, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What is not as it was: `identity`, `anchors`, `revocation`, `members`, `upstreams`, `keys`. Empty: nothing.
    pub changed: Vec<String>,
    /// Who would be locked out without anyone having decided so.
    pub affected: Vec<Affected>,
    /// Who is locked out by decision: revoked, suspended, removed.
    pub intended: Vec<Affected>,
    /// What went live all the same but should be looked at.
    pub notes: Vec<Advice>,
    /// Connections cut at once because their member is no longer the same.
    pub cut: usize,
}

/// A set that did not go live; what was in force before still is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The stable code.
    pub code: String,
    /// Where, what, and what to do.
    pub en: String,
    /// The same in Chinese.
    pub zh: String,
    /// Who would have been locked out.
    pub affected: Vec<Affected>,
}

impl Refusal {
    pub(super) fn new(code: &str, en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { code: code.to_owned(), en: en.into(), zh: zh.into(), affected: Vec::new() }
    }

    /// Members that would be locked out.
    pub(super) fn lock_out(affected: Vec<Affected>) -> Self {
        let mut names: Vec<&str> = affected.iter().map(|a| a.member.as_str()).collect();
        names.dedup();
        let shown = names.iter().take(8).copied().collect::<Vec<_>>();
        let more = names.len() - shown.len();
        let (tail, tail_zh) = match more {
            0 => (String::new(), String::new()),
            n => (format!(" and {n} more"), format!("等另外 {n} 个")),
        };
        let why = affected.first().map_or("", |a| a.code.as_str());
        Self {
            code: "standing.would-lock-out".into(),
            en: format!(
                "the change would lock out {}{tail} ({why}); keep what they rely on until they have changed, or name them as intended",
                shown.join(", ")
            ),
            zh: format!(
                "该变更会使 {}{tail_zh} 无法接入（{why}）；请保留其所依赖的证书直至其完成更换，或将其明确列为有意排除",
                shown.join("、")
            ),
            affected,
        }
    }
}

impl From<LoadError> for Refusal {
    fn from(e: LoadError) -> Self {
        Self::new(e.code(), e.english(), e.chinese())
    }
}

impl From<Refusal> for Advice {
    fn from(r: Refusal) -> Self {
        Self { code: r.code, en: r.en, zh: r.zh }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] {}", self.en, self.code, self.zh)
    }
}

impl std::error::Error for Refusal {}
