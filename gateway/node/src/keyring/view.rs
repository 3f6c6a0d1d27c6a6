//! A key as officers see it.

use super::book::{Fact, KeyKind, KeyState, Place};
use crate::config;
use serde::{Deserialize, Serialize};
use xinqiao_evidence::timestamp::Timestamp;

const DAY: i64 = 86_400;

/// A key as officers see it: public facts alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// Its id: the RFC 7638 thumbprint of a signing key, `at-rest-<n>` of an at-rest key.
    pub kid: String,
    /// What it is for.
    #[serde(rename = "use")]
    pub kind: KeyKind,
    /// Where it stands in its life.
    pub state: KeyState,
    /// When it was made.
    pub created: String,
    /// From when it signs; absent on the first keys of a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// From when it signs no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<String>,
    /// Days since it was made.
    pub age_days: i64,
    /// Days until it takes over, or until its successor does by the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_left: Option<i64>,
    /// Where the private part is.
    pub place: KeyPlace,
}

/// Where the private part of a key is, for officers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyPlace {
    /// In a file.
    File,
    /// In the token.
    Token,
    /// Nowhere any more.
    Destroyed,
}

impl KeyPlace {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Token => "token",
            Self::Destroyed => "destroyed",
        }
    }
}

impl KeyView {
    pub(super) fn of(fact: &Fact, settings: &config::Keys, now: i64) -> Self {
        let text = |t: i64| Timestamp::of_unix(t).to_string();
        let days = |seconds: i64| seconds.div_euclid(DAY);
        let days_left = match fact.state {
            KeyState::Pending => fact.activates.map(|at| days(at - now)),
            KeyState::Active => {
                let serves = serves(fact.kind, settings);
                (serves > 0).then(|| days(fact.since() + serves - now))
            }
            KeyState::Retired => None,
        };
        Self {
            kid: fact.kid.clone(),
            kind: fact.kind,
            state: fact.state,
            created: text(fact.created),
            not_before: fact.activates.map(text),
            retired: fact.retired.map(text),
            age_days: days(now - fact.created),
            days_left,
            place: match fact.place {
                Place::File(_) => KeyPlace::File,
                Place::Token(_) => KeyPlace::Token,
                Place::Gone => KeyPlace::Destroyed,
            },
        }
    }
}

/// Seconds a key of this kind serves by the schedule; 0: until somebody rotates it.
pub(super) fn serves(kind: KeyKind, settings: &config::Keys) -> i64 {
    let days = match kind {
        KeyKind::Manifest => settings.manifest_days,
        KeyKind::Log => settings.log_days,
        KeyKind::Acknowledgement => settings.acknowledgement_days,
        KeyKind::AtRest => settings.at_rest_days,
    };
    i64::from(days) * DAY
}
