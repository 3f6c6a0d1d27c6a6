//! Public keys as JSON Web Keys (RFC 7517, RFC 8037) and the sets in which they are pinned.

use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use xinqiao_crypto::NoRandomness;
use xinqiao_crypto::signature::{ed25519_verifies, p256_verifies};

use crate::base64;
use crate::digest::Digest;
use crate::explain::explained;
use crate::json;
use crate::timestamp::Timestamp;

/// A larger key set is refused.
pub const MAX_JWKS: usize = 256 * 1024;
const MAX_KID: usize = 128;

explained! {
    /// A key cannot be made or read.
    pub enum KeyError {
        /// The system's random source failed.
        NoRandomness => "key.no-randomness", "the system gave no random numbers; check the host", "系统无法提供随机数；请检查主机";
        /// Not a private key of the algorithm wanted.
        NotPkcs8 {
            /// The algorithm wanted.
            algorithm: &'static str
        } => "key.not-pkcs8", "not a PKCS#8 {algorithm} private key with its public key; create one with `xinqiao keys`",
             "不是包含公钥的 PKCS#8 {algorithm} 私钥；请用 `xinqiao keys` 生成";
        /// The private key is in a token that does not answer.
        Unavailable => "key.unavailable", "the private key cannot be used now: the token that holds it does not answer; plug it in or restart its service",
                       "私钥暂不可用：存放私钥的令牌没有响应；请接入令牌或重启其服务";
        /// A key set is not JSON of the right shape, or too large.
        Malformed => "key.malformed", "not a JWK set: expected {{\"keys\":[…]}} with strict JSON of at most 256 KiB",
                     "不是 JWK 集合：应为不超过 256 KiB 的严格 JSON {{\"keys\":[…]}}";
        /// A supported key with wrong or missing members.
        BadKey {
            /// Place in the set, from 0.
            place: usize
        } => "key.bad-key", "key {place} of the set has a wrong or missing member (kty, crv, x, y, kid, alg, use, xq_use, not_before, retired)",
             "集合中第 {place} 个密钥的成员有误或缺失（kty、crv、x、y、kid、alg、use、xq_use、not_before、retired）";
        /// A private key in a public key set.
        PrivateKey {
            /// Place in the set, from 0.
            place: usize
        } => "key.private-key", "key {place} of the set is a private key: remove it, and replace the key, since it was exposed",
             "集合中第 {place} 个为私钥：请删除并更换该密钥，因其已暴露";
        /// Two keys under one id.
        DuplicateKid {
            /// Place of the second, from 0.
            place: usize
        } => "key.duplicate-kid", "key {place} of the set has the kid of an earlier key; key ids must be unique", "集合中第 {place} 个密钥的 kid 与前面重复；kid 必须唯一";
    }
}

impl From<NoRandomness> for KeyError {
    fn from(_: NoRandomness) -> Self {
        Self::NoRandomness
    }
}

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyUse {
    /// Manifests of batches.
    Manifest,
    /// Checkpoints of the log.
    Log,
    /// Acknowledgements of a recipient.
    Acknowledgement,
    /// Files of a member.
    Envelope,
}

/// A public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// ECDSA P-256: the uncompressed point `04 ‖ x ‖ y`.
    P256([u8; 65]),
    /// Ed25519.
    Ed25519([u8; 32]),
}

impl PublicKey {
    /// Whether `signature` (JOSE's `r ‖ s`, or Ed25519's) is this key's over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::P256(point) => p256_verifies(point, message, signature),
            Self::Ed25519(key) => ed25519_verifies(key, message, signature),
        }
    }

    /// RFC 7638: base64url of the SHA-256 of the required members.
    pub fn thumbprint(&self) -> String {
        let members = match self {
            Self::P256(point) => format!(
                r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
                base64::encode_url(&point[1..33]),
                base64::encode_url(&point[33..])
            ),
            Self::Ed25519(key) => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64::encode_url(key))
            }
        };
        base64::encode_url(Digest::of(members.as_bytes()).as_bytes())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PublicKey({})", self.thumbprint())
    }
}

/// A public key with its id, its use and its time. `x5c`, `jku` and the like are never read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Members", try_from = "Members")]
pub struct Jwk {
    key: PublicKey,
    kid: String,
    key_use: Option<KeyUse>,
    not_before: Option<Timestamp>,
    retired: Option<Timestamp>,
}

impl Jwk {
    /// A key under its thumbprint.
    pub fn new(key: PublicKey, key_use: KeyUse) -> Self {
        Self { key, kid: key.thumbprint(), key_use: Some(key_use), not_before: None, retired: None }
    }

    /// The same key with its time of service: what it signs is dated from `not_before` and, once retired, before
    /// `retired`.
    pub fn with_time(mut self, not_before: Option<Timestamp>, retired: Option<Timestamp>) -> Self {
        self.not_before = not_before;
        self.retired = retired;
        self
    }

    /// The key.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The key id: the thumbprint for our keys, anything for others'.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it may sign; `None` on keys made by other software.
    pub fn key_use(&self) -> Option<KeyUse> {
        self.key_use
    }

    /// From when it signs.
    pub fn not_before(&self) -> Option<&Timestamp> {
        self.not_before.as_ref()
    }

    /// From when it signs no more.
    pub fn retired(&self) -> Option<&Timestamp> {
        self.retired.as_ref()
    }

    /// Whether the key may sign for `wanted`. A key without `xq_use` comes from other software: members pin such keys
    /// for acknowledgements and envelopes, but nodes always mark theirs.
    pub fn may(&self, wanted: KeyUse) -> bool {
        match self.key_use {
            Some(key_use) => key_use == wanted,
            None => matches!(wanted, KeyUse::Acknowledgement | KeyUse::Envelope),
        }
    }

    /// Whether something dated `time` may bear this key's signature.
    pub fn serves_at(&self, time: &Timestamp) -> bool {
        self.not_before.as_ref().is_none_or(|from| from <= time)
            && self.retired.as_ref().is_none_or(|end| time < end)
    }

    fn read(text: &str, place: usize) -> Result<Option<Self>, KeyError> {
        let bad = KeyError::BadKey { place };
        let members = json::object(text.as_bytes()).ok_or(bad.clone())?;
        let member = |name: &str| serde_json::from_str(members.get(name)?.get()).ok();
        let (kty, crv): (Option<String>, Option<String>) = (member("kty"), member("crv"));
        let supported = matches!(
            (kty.as_deref(), crv.as_deref()),
            (Some("EC"), Some("P-256")) | (Some("OKP"), Some("Ed25519"))
        );
        if members.contains_key("d") || members.contains_key("k") {
            return Err(KeyError::PrivateKey { place });
        }
        if !supported {
            return Ok(None);
        }
        let members: Members = serde_json::from_str(text).map_err(|_| bad.clone())?;
        members.into_jwk().map(Some).ok_or(bad)
    }
}

/// A JWK as it is written; fields in alphabetical order.
#[derive(Serialize, Deserialize)]
struct Members {
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    crv: String,
    #[serde(default, skip_serializing)]
    d: Option<IgnoredAny>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired: Option<Timestamp>,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    x: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    xq_use: Option<KeyUse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

impl From<Jwk> for Members {
    fn from(jwk: Jwk) -> Self {
        let (kty, crv, alg, x, y) = match &jwk.key {
            PublicKey::P256(point) => ("EC", "P-256", "ES256", &point[1..33], Some(&point[33..])),
            PublicKey::Ed25519(key) => ("OKP", "Ed25519", "EdDSA", &key[..], None),
        };
        Self {
            alg: Some(alg.to_owned()),
            crv: crv.to_owned(),
            d: None,
            kid: Some(jwk.kid),
            kty: kty.to_owned(),
            not_before: jwk.not_before,
            retired: jwk.retired,
            usage: Some("sig".to_owned()),
            x: base64::encode_url(x),
            xq_use: jwk.key_use,
            y: y.map(base64::encode_url),
        }
    }
}

impl TryFrom<Members> for Jwk {
    type Error = &'static str;

    fn try_from(members: Members) -> Result<Self, Self::Error> {
        members.into_jwk().ok_or("a wrong or missing member of a JWK")
    }
}

impl Members {
    fn into_jwk(self) -> Option<Jwk> {
        if self.d.is_some() || self.usage.is_some_and(|usage| usage != "sig") {
            return None;
        }
        let x: [u8; 32] = base64::decode_url(&self.x)?.try_into().ok()?;
        let (key, algorithms): (_, &[&str]) = match self.y {
            Some(y) if self.kty == "EC" => {
                let y: [u8; 32] = base64::decode_url(&y)?.try_into().ok()?;
                let mut point = [4; 65];
                point[1..33].copy_from_slice(&x);
                point[33..].copy_from_slice(&y);
                (PublicKey::P256(point), &["ES256"])
            }
            None if self.kty == "OKP" => (PublicKey::Ed25519(x), &["EdDSA", "Ed25519"]),
            _ => return None,
        };
        if self.alg.is_some_and(|alg| !algorithms.contains(&alg.as_str())) {
            return None;
        }
        let kid = self.kid.unwrap_or_else(|| key.thumbprint());
        let fits = !kid.is_empty() && kid.len() <= MAX_KID;
        fits.then_some(Jwk {
            key,
            kid,
            key_use: self.xq_use,
            not_before: self.not_before,
            retired: self.retired,
        })
    }
}

/// A set of pinned public keys, retired ones included. Keys of algorithms unknown here are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Jwks {
    keys: Vec<Jwk>,
}

impl Jwks {
    /// A set of `keys`; the first of two with one id wins.
    pub fn new(keys: impl IntoIterator<Item = Jwk>) -> Self {
        let mut set = Self::default();
        for key in keys {
            if set.find(key.kid()).is_none() {
                set.keys.push(key);
            }
        }
        set
    }

    /// Reads `{"keys": […]}`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, KeyError> {
        json::check(bytes, MAX_JWKS).map_err(|_| KeyError::Malformed)?;
        let members = json::object(bytes).ok_or(KeyError::Malformed)?;
        let keys =
            members.get("keys").and_then(|keys| serde_json::from_str::<Vec<&RawValue>>(keys.get()).ok());
        let mut set = Self::default();
        for (place, key) in keys.ok_or(KeyError::Malformed)?.into_iter().enumerate() {
            let Some(key) = Jwk::read(key.get(), place)? else { continue };
            if set.find(key.kid()).is_some() {
                return Err(KeyError::DuplicateKid { place });
            }
            set.keys.push(key);
        }
        Ok(set)
    }

    /// Writes `{"keys": […]}`.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a key set is plain data")
    }

    /// The keys in their order.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// The key with `kid`.
    pub fn find(&self, kid: &str) -> Option<&Jwk> {
        self.keys.iter().find(|key| key.kid() == kid)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LogKey, ManifestKey};
    use super::*;

    #[test]
    fn thumbprint_of_rfc_8037_appendix_a() {
        let x = base64::decode_url("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let key = PublicKey::Ed25519(x.try_into().unwrap());
        assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_set_survives_writing_and_reading() {
        let time = Timestamp::parse("2026-11-21T08:00:00Z");
        let manifest = ManifestKey::generate().unwrap().public_jwk().clone().with_time(time.clone(), None);
        let log = LogKey::generate().unwrap().public_jwk().clone().with_time(None, time);
        let set = Jwks::new([manifest, log]);
        assert_eq!(Jwks::from_json(set.to_json().as_bytes()), Ok(set));
    }

    #[test]
    fn private_duplicate_and_malformed_keys_are_refused_and_unknown_kinds_passed_over() {
        let jwk = serde_json::to_string(ManifestKey::generate().unwrap().public_jwk()).unwrap();
        let set = |keys: &str| Jwks::from_json(format!("{{\"keys\":[{keys}]}}").as_bytes());
        assert_eq!(set(r#"{"kty":"RSA","n":"AQAB"},{"kty":"EC","crv":"SM2"}"#).unwrap().keys(), []);
        assert_eq!(set(&format!("{jwk},{jwk}")), Err(KeyError::DuplicateKid { place: 1 }));
        assert_eq!(set(&jwk.replacen('{', r#"{"d":"AA","#, 1)), Err(KeyError::PrivateKey { place: 0 }));
        assert_eq!(set(&jwk.replace("ES256", "ES384")), Err(KeyError::BadKey { place: 0 }));
        assert_eq!(set(&jwk.replace("sig", "enc")), Err(KeyError::BadKey { place: 0 }));
        assert_eq!(set(&jwk.replace("manifest", "everything")), Err(KeyError::BadKey { place: 0 }));
        assert_eq!(set("1"), Err(KeyError::BadKey { place: 0 }));
        assert_eq!(Jwks::from_json(b"[]"), Err(KeyError::Malformed));
        assert!(!set(&jwk.replace(r#""xq_use":"manifest","#, "")).unwrap().keys()[0].may(KeyUse::Manifest));
    }
}
