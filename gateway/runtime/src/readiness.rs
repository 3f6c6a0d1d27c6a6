//! How a part of the node is: what `/readyz` lists.

use serde::{Deserialize, Serialize};

/// How one part of the node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Works, but someone should look.
    Degraded,
    /// Does not work: the node is not ready.
    Failing,
}

impl State {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Degraded => "degraded",
            State::Failing => "failing",
        }
    }
}

/// One named check of readiness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name, such as `clock` or `journal`.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What to do, in English; empty when all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice: String,
    /// The same in Chinese.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice_zh: String,
}

impl Check {
    /// A check that passed.
    #[must_use]
    pub fn ok(name: &'static str) -> Self {
        Self { name, state: State::Ok, advice: String::new(), advice_zh: String::new() }
    }
}
