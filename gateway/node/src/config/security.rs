//! The part of the configuration that security officers answer for: revocation, keys, officers, doors other than the
//! exchange listener.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What has been revoked, and what it means not to know.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Revocation {
    /// Where the authorities' lists are.
    pub lists: Vec<RevocationList>,
    /// A certificate whose authority has no list here.
    pub missing: Missing,
    /// A list past its next update and past the grace.
    pub stale: Stale,
    /// Hours a list is relied on beyond its next update: lists may come by hand.
    pub grace_hours: Hours<72>,
}

/// One list: a file, or a URL it is fetched from and a file it is kept in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationList {
    /// PEM or DER; looked at again when it changes.
    pub file: PathBuf,
    /// `http://…`: fetched into `file`. A list is signed, so it needs no TLS.
    #[serde(default)]
    pub url: Option<String>,
    /// Minutes between fetches.
    #[serde(default)]
    pub refresh_minutes: Minutes<60>,
}

/// A certificate whose authority has no list here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// Is let in.
    #[default]
    Accept,
    /// Is refused.
    Refuse,
}

/// A list past its next update and past the grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stale {
    /// Is relied on further; readiness says so.
    #[default]
    Warn,
    /// Lets nobody in whom it would have to speak of.
    Refuse,
}

/// How officers work.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Officers {
    /// A change of members, trust, policies or keys needs a second security officer.
    pub four_eyes: bool,
    /// Hours a proposal waits for its second officer.
    pub proposal_hours: Hours<72>,
    /// Seconds after which an officer's idle connection ends.
    pub idle_seconds: u64,
    /// Failures from one address, or by one officer, after which both are locked out.
    pub lockout_failures: u32,
    /// Seconds a lock-out lasts.
    pub lockout_seconds: u64,
}

impl Default for Officers {
    fn default() -> Self {
        Self {
            four_eyes: true,
            proposal_hours: Hours(72),
            idle_seconds: 600,
            lockout_failures: 5,
            lockout_seconds: 900,
        }
    }
}

/// A listener for listed members whose systems cannot speak TLS 1.3.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Legacy {
    /// Address and port; TLS 1.2 with ECDHE and AEAD, and nothing older.
    pub listen: SocketAddr,
    /// Who may use it.
    pub members: Vec<String>,
}

/// How the node's own keys are kept and how long they serve.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// How the key files are sealed.
    pub seal: Seal,
    /// With `seal = "passphrase"`: a file with the passphrase, mode 0600.
    pub passphrase_file: Option<PathBuf>,
    /// With `seal = "credential"`: the name of the systemd credential.
    pub credential: Option<String>,
    /// A PKCS#11 token that holds the signing keys, the key that seals the others, or both.
    pub token: Option<Token>,
    /// Hours a new key is published before it signs.
    pub pending_hours: Hours<168>,
    /// Days after which the manifest key is succeeded; 0: by hand only.
    pub manifest_days: u32,
    /// The same for the log key.
    pub log_days: u32,
    /// The same for the acknowledgement key.
    pub acknowledgement_days: u32,
    /// The same for the at-rest key.
    pub at_rest_days: u32,
}

/// How key files are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seal {
    /// By file permissions alone.
    #[default]
    Plain,
    /// By a passphrase.
    Passphrase,
    /// By a systemd credential.
    Credential,
    /// By a key that does not leave a PKCS#11 token.
    Token,
}

/// A PKCS#11 token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The module, such as `/usr/lib/softhsm/libsofthsm2.so`.
    pub module: PathBuf,
    /// The token's label.
    pub label: String,
    /// A file with the PIN, mode 0600; or the name of a systemd credential after `credential:`.
    pub pin: String,
    /// Which signing keys live in the token: `manifest`, `log`, `acknowledgement`.
    #[serde(default)]
    pub holds: Vec<String>,
}

/// Hours, with a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hours<const DEFAULT: u32>(pub u32);

impl<const DEFAULT: u32> Default for Hours<DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<const DEFAULT: u32> Hours<DEFAULT> {
    /// As seconds.
    pub fn seconds(self) -> u64 {
        u64::from(self.0) * 3_600
    }
}

/// Minutes, with a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minutes<const DEFAULT: u32>(pub u32);

impl<const DEFAULT: u32> Default for Minutes<DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}
