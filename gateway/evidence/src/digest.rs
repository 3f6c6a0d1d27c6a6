//! SHA-256 digests and the maps that carry them, open for further algorithms (SM3).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use xinqiao_crypto::{Sha256, hex, sha256};

/// A SHA-256 digest; 64 lower-case hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(bytes))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest in a slice of exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex::encode(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(hex::encode_into(&self.0, &mut [0; 64]))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotADigest;

impl fmt::Display for NotADigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("not a SHA-256 digest of 64 lower-case hexadecimal digits")
    }
}

impl std::error::Error for NotADigest {}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        hex::decode_array(text).map(Self).ok_or(NotADigest)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(hex::encode_into(&self.0, &mut [0; 64]))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// `{"sha-256": "<hex>"}`: a digest under every algorithm the writer knows. SHA-256 is always there; others are kept
/// as they came and never verified.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Digests {
    /// The one algorithm every reader knows.
    pub sha256: Digest,
    others: BTreeMap<String, String>,
}

/// More algorithms than this in one map are refused.
const MAX_ALGORITHMS: usize = 8;
/// A longer value under an unknown algorithm is refused.
const MAX_UNKNOWN_VALUE: usize = 256;
const SHA256_NAME: &str = "sha-256";

impl Digests {
    /// A map with SHA-256 alone.
    pub fn sha256(digest: Digest) -> Self {
        Self { sha256: digest, others: BTreeMap::new() }
    }

    /// A map over the SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::sha256(Digest::of(bytes))
    }

    /// The algorithms beside SHA-256, unjudged.
    pub fn others(&self) -> impl Iterator<Item = (&str, &str)> {
        self.others.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl From<Digest> for Digests {
    fn from(digest: Digest) -> Self {
        Self::sha256(digest)
    }
}

impl Serialize for Digests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(self.others.len() + 1))?;
        // Names are ASCII, so byte order is the order RFC 8785 wants.
        for (name, value) in self.others.iter().filter(|(name, _)| name.as_str() < SHA256_NAME) {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry(SHA256_NAME, &self.sha256)?;
        for (name, value) in self.others.iter().filter(|(name, _)| name.as_str() > SHA256_NAME) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Digests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Digests;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a map from algorithm to digest with \"sha-256\"")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Digests, A::Error> {
                let mut sha256 = None;
                let mut others = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    let repeated = if name == SHA256_NAME {
                        sha256.replace(map.next_value::<Digest>()?).is_some()
                    } else {
                        let value = map.next_value::<String>()?;
                        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
                        if value.len() > MAX_UNKNOWN_VALUE
                            || name.len() > 32
                            || !plain(&value)
                            || !plain(&name)
                        {
                            return Err(A::Error::custom("digest of an unknown algorithm is malformed"));
                        }
                        others.insert(name, value).is_some()
                    };
                    if repeated || others.len() >= MAX_ALGORITHMS {
                        return Err(A::Error::custom("digest algorithm repeated, or too many"));
                    }
                }
                let sha256 = sha256.ok_or_else(|| A::Error::custom("no \"sha-256\" digest"))?;
                Ok(Digests { sha256, others })
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// SHA-256 over bytes that come in pieces.
#[derive(Clone)]
pub struct Hasher(Sha256);

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self(Sha256::new())
    }

    /// Adds the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Digest {
        Digest(self.0.finish())
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Hasher(sha-256)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn text_form_is_strict_lower_case_hex() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>(), Ok(Digest::of(b"")));
        assert!(EMPTY.to_uppercase().parse::<Digest>().is_err());
        assert!(EMPTY[1..].parse::<Digest>().is_err());
        assert!("é".repeat(32).parse::<Digest>().is_err());
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut hasher = Hasher::new();
        hasher.update(b"credit ");
        hasher.update(b"bridge");
        assert_eq!(hasher.finish(), Digest::of(b"credit bridge"));
    }

    #[test]
    fn map_keeps_unknown_algorithms_in_canonical_order() {
        let text = format!(r#"{{"sm3":"00ff","sha-256":"{EMPTY}","md0":"x"}}"#);
        let digests: Digests = serde_json::from_str(&text).unwrap();
        assert_eq!(digests.sha256, Digest::of(b""));
        assert_eq!(
            serde_json::to_string(&digests).unwrap(),
            format!(r#"{{"md0":"x","sha-256":"{EMPTY}","sm3":"00ff"}}"#)
        );
    }

    #[test]
    fn map_without_sha256_or_with_it_twice_is_refused() {
        let twice = format!(r#"{{"sha-256":"{EMPTY}","sha-256":"{EMPTY}"}}"#);
        for wrong in [r#"{"sm3":"00"}"#, "{}", "[]", twice.as_str()] {
            assert!(serde_json::from_str::<Digests>(wrong).is_err(), "{wrong}");
        }
    }
}
