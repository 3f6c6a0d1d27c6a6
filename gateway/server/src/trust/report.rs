//! What a change of the set means: who is affected, why it was refused, what someone should look at.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use xinqiao_explain::{Explain, Explanation};

/// Someone who was let in with a certificate before and would not be with it after the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// The member.
    pub member: String,
    /// SHA-256 of the certificate chain it connected with, hexadecimal: the archive knows it under this name.
    pub chain: String,
    /// When it did so last, in seconds since 1970.
    pub last_seen: i64,
    /// Why it would be refused, with the code.
    #[serde(flatten)]
    pub why: Explanation,
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
    pub notes: Vec<Explanation>,
    /// Connections cut at once because their member is no longer the same.
    pub cut: usize,
}

/// A set that did not go live; what was in force before still is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetRefused {
    /// Where, what, and what to do.
    #[serde(flatten)]
    pub why: Explanation,
    /// Who would have been locked out.
    pub affected: Vec<Affected>,
}

impl SetRefused {
    pub(super) fn new(
        code: &'static str,
        en: impl Into<Cow<'static, str>>,
        zh: impl Into<Cow<'static, str>>,
    ) -> Self {
        Explanation::new(code, en, zh).into()
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
        let why = affected.first().map_or("", |a| a.why.code());
        let why = Explanation::new(
            "standing.would-lock-out",
            format!(
                "the change would lock out {}{tail} ({why}); keep what they rely on until they have changed, or name them as intended",
                shown.join(", ")
            ),
            format!(
                "该变更会使 {}{tail_zh} 无法接入（{why}）；请保留其所依赖的证书直至其完成更换，或将其明确列为有意排除",
                shown.join("、")
            ),
        );
        Self { why, affected }
    }
}

impl From<Explanation> for SetRefused {
    fn from(e: Explanation) -> Self {
        Self { why: e, affected: Vec::new() }
    }
}

impl Explain for SetRefused {
    fn explain(&self) -> Explanation {
        self.why.clone()
    }
}

impl fmt::Display for SetRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] {}", self.why.english(), self.why.code(), self.why.chinese())
    }
}

impl std::error::Error for SetRefused {}
