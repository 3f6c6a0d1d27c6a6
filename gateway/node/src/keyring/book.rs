//! The book of keys: public facts alone, and how a key passes from pending to active to retired. No I/O, no clock.

use super::seal::SealFact;
use serde::{Deserialize, Serialize};
use xinqiao_evidence::endorsement::Endorsement;
use xinqiao_evidence::keys::{Jwk, Jwks, KeyError, KeyUse, ManifestKey};
use xinqiao_evidence::timestamp::Timestamp;

/// The version this program writes.
pub(super) const VERSION: u32 = 1;

/// A kind of key that rotates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// Signs manifests.
    Manifest,
    /// Signs checkpoints of the log.
    Log,
    /// Signs acknowledgements this node gives as a recipient.
    Acknowledgement,
    /// Wraps the keys of stored data.
    AtRest,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [KeyKind; 4] = [Self::Manifest, Self::Log, Self::Acknowledgement, Self::AtRest];
    /// Those that sign.
    pub const SIGNING: [KeyKind; 3] = [Self::Manifest, Self::Log, Self::Acknowledgement];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Log => "log",
            Self::Acknowledgement => "acknowledgement",
            Self::AtRest => "at-rest",
        }
    }

    /// The inverse of [`KeyKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }

    pub(super) fn key_use(self) -> Option<KeyUse> {
        match self {
            Self::Manifest => Some(KeyUse::Manifest),
            Self::Log => Some(KeyUse::Log),
            Self::Acknowledgement => Some(KeyUse::Acknowledgement),
            Self::AtRest => None,
        }
    }
}

/// Where a key stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Published, not yet in use.
    Pending,
    /// In use.
    Active,
    /// Its public part serves to verify.
    Retired,
}

impl KeyState {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// Where the private part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Place {
    /// In a file of the directory.
    File(String),
    /// In the token, under this id (hexadecimal).
    Token(String),
    /// Destroyed.
    Gone,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fact {
    pub(super) kid: String,
    #[serde(rename = "use")]
    pub(super) kind: KeyKind,
    pub(super) state: KeyState,
    /// Unix seconds, as all times here.
    pub(super) created: i64,
    /// From when it may sign: planned while pending, then as it was. None: from ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) activates: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retired: Option<i64>,
    pub(super) place: Place,
    /// The public key; none for at-rest keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) public: Option<Jwk>,
    /// What the log tells of it.
    pub(super) noted: Option<KeyState>,
}

impl Fact {
    /// Since when it is what it is.
    pub(super) fn since(&self) -> i64 {
        self.activates.unwrap_or(self.created).max(self.created)
    }

    fn jwk(&self) -> Option<Jwk> {
        let time = |t: Option<i64>| t.map(Timestamp::of_unix);
        Some(self.public.clone()?.with_time(time(self.activates), time(self.retired)))
    }
}

/// A manifest key's word on the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vouched {
    pub(super) by: String,
    pub(super) jws: String,
}

/// All of `keyring.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Book {
    pub(super) version: u32,
    pub(super) seal: SealFact,
    /// File of the record secret.
    pub(super) record: String,
    /// File of the at-rest keys.
    pub(super) at_rest: String,
    pub(super) keys: Vec<Fact>,
    #[serde(default)]
    pub(super) endorsements: Vec<Vouched>,
    /// Files that are to be destroyed: a crash may have come before that was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) leaving: Vec<String>,
}

impl Book {
    pub(super) fn find(&self, kind: KeyKind, state: KeyState) -> Option<&Fact> {
        self.keys.iter().find(|k| k.kind == kind && k.state == state)
    }

    /// Whether it makes sense: one active key of each kind, at most one pending, every name its own.
    pub(super) fn is_sound(&self) -> bool {
        let count = |kind, state| self.keys.iter().filter(|k| k.kind == kind && k.state == state).count();
        let kinds = KeyKind::ALL
            .into_iter()
            .all(|kind| count(kind, KeyState::Active) == 1 && count(kind, KeyState::Pending) <= 1);
        let names: std::collections::BTreeSet<_> = self.keys.iter().map(|k| k.kid.as_str()).collect();
        let signing = self.keys.iter().all(|k| match (&k.public, k.kind.key_use()) {
            (Some(jwk), Some(key_use)) => {
                jwk.public_key().thumbprint() == k.kid && jwk.kid() == k.kid && jwk.key_use() == Some(key_use)
            }
            (None, None) => true,
            _ => false,
        });
        self.version == VERSION && kinds && names.len() == self.keys.len() && signing
    }

    /// The pending key takes over at `now`; what it succeeds signs nothing from the next second on. In this one second
    /// both serve, so that no stamp falls between them.
    pub(super) fn activate(&mut self, kind: KeyKind, now: i64) -> bool {
        if self.find(kind, KeyState::Pending).is_none() {
            return false;
        }
        for key in self.keys.iter_mut().filter(|k| k.kind == kind) {
            match key.state {
                KeyState::Active => {
                    key.state = KeyState::Retired;
                    key.retired = Some(now + 1);
                }
                KeyState::Pending => {
                    key.state = KeyState::Active;
                    key.activates = Some(key.activates.map_or(now, |planned| planned.min(now)));
                }
                KeyState::Retired => {}
            }
        }
        true
    }

    /// Whether this key is announced for a later time than `now`.
    pub(super) fn is_planned_after(&self, kid: &str, now: i64) -> bool {
        let planned = self.keys.iter().find(|k| k.kid == kid && k.state == KeyState::Pending);
        planned.and_then(|k| k.activates).is_some_and(|at| at > now)
    }

    /// The latest second at which a signing key took over from another: nothing is dated before it any more.
    pub(super) fn latest(&self) -> i64 {
        let took_over = |k: &Fact| match k.state {
            KeyState::Pending => None,
            KeyState::Active => k.activates,
            KeyState::Retired => k.activates.max(k.retired.map(|end| end - 1)),
        };
        self.keys.iter().filter(|k| k.public.is_some()).filter_map(took_over).max().unwrap_or(0)
    }

    /// Kinds whose pending key's time has come.
    pub(super) fn due(&self, now: i64) -> Vec<KeyKind> {
        let due = |k: &&Fact| k.state == KeyState::Pending && k.activates.is_none_or(|at| at <= now);
        self.keys.iter().filter(due).map(|k| k.kind).collect()
    }

    /// Whether the active key of a kind, which serves `seconds`, needs a successor that is pending for `pending`.
    pub(super) fn wants_successor(&self, kind: KeyKind, seconds: i64, pending: i64, now: i64) -> bool {
        seconds > 0
            && self.find(kind, KeyState::Pending).is_none()
            && self
                .find(kind, KeyState::Active)
                .is_some_and(|k| k.since() + seconds - pending.min(seconds) <= now)
    }

    /// The public keys: active, pending, retired.
    pub(super) fn jwks(&self) -> Jwks {
        let of = |state| self.keys.iter().filter(move |k| k.state == state).filter_map(Fact::jwk);
        Jwks::new(of(KeyState::Active).chain(of(KeyState::Pending)).chain(of(KeyState::Retired)))
    }

    /// Lets the active manifest key vouch for every key whose service overlaps its own; its earlier word is replaced.
    pub(super) fn endorse(&mut self, node: &str, now: i64, key: &ManifestKey) -> Result<(), KeyError> {
        let from = self.keys.iter().find(|k| k.kid == key.kid()).and_then(|k| k.activates);
        let overlaps = |k: &&Fact| match (k.retired, from) {
            (Some(end), Some(from)) => end >= from,
            _ => true,
        };
        let keys: Vec<Jwk> = self.keys.iter().filter(overlaps).filter_map(Fact::jwk).collect();
        let jws = Endorsement::new(node, Timestamp::of_unix(now), &keys).sign(key)?;
        self.endorsements.retain(|v| v.by != key.kid());
        self.endorsements.push(Vouched { by: key.kid().to_owned(), jws });
        Ok(())
    }

    /// What the log does not tell yet.
    pub(super) fn unnoted(&self) -> Vec<(String, KeyKind, KeyState)> {
        let new = |k: &&Fact| k.noted != Some(k.state);
        self.keys.iter().filter(new).map(|k| (k.kid.clone(), k.kind, k.state)).collect()
    }
}

#[cfg(test)]
mod tests;
