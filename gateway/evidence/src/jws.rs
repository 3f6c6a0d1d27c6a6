//! JSON Web Signatures (RFC 7515) in the JSON serialisation, signed with ES256.
//!
//! A fixed `typ` distinguishes manifest, acknowledgement and envelope, so none passes for another. Trust comes from a
//! pinned key set and from nothing inside the message: `x5c`, `jku`, `jwk` are not read, `crit` is refused. Signatures of
//! unknown algorithms (SM2) may stand beside ours and are passed over; one good one is needed.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::base64;
use crate::explain::explained;
use crate::json;
use crate::keys::{Es256Key, Jwk, Jwks, KeyError, KeyUse, Purpose};

/// A larger JWS is refused.
pub const MAX_JWS: usize = 32 * 1024 * 1024;
const MAX_HEADER: usize = 8 * 1024;
const MAX_SIGNATURES: usize = 16;

explained! {
    /// A JWS is malformed or not signed by a pinned key.
    pub enum JwsError {
        /// Not a JWS in the JSON serialisation.
        Malformed => "jws.malformed", "not a JWS in the general JSON serialisation (RFC 7515 7.2.1) with strict base64url",
                     "不是采用严格 base64url 的 JWS 通用 JSON 序列化（RFC 7515 7.2.1）";
        /// Another kind of message.
        WrongType {
            /// The `typ` wanted.
            expected: &'static str
        } => "jws.wrong-type", "the protected header's typ is not {expected}: this is another kind of message", "受保护头的 typ 不是 {expected}：这是另一类消息";
        /// The header asks for an extension.
        Critical => "jws.critical", "the protected header asks for an extension (crit or b64), and none is supported", "受保护头要求扩展（crit 或 b64），不支持任何扩展";
        /// No signature by a pinned key.
        UnknownKey => "jws.unknown-key", "no signature is by a pinned key for this purpose; get the signer's current key set through a trusted channel",
                      "没有任何签名来自为此用途固定的公钥；请通过可信渠道取得签名方当前的公钥集";
        /// A pinned key's signature does not verify.
        BadSignature => "jws.bad-signature", "the signature does not verify: the content was altered or damaged; fetch it again", "签名验证失败：内容被篡改或损坏；请重新获取";
    }
}

/// What a JWS carries; each has its own `typ` and its own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwsType {
    /// `xinqiao-manifest+jws`.
    Manifest,
    /// `xinqiao-ack+jws`.
    Acknowledgement,
    /// `xinqiao-envelope+jws`.
    Envelope,
    /// `xinqiao-keys+jws`: a manifest key vouches for other keys of its node.
    Keys,
}

impl JwsType {
    /// The value of `typ`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "xinqiao-manifest+jws",
            Self::Acknowledgement => "xinqiao-ack+jws",
            Self::Envelope => "xinqiao-envelope+jws",
            Self::Keys => "xinqiao-keys+jws",
        }
    }

    fn key_use(self) -> KeyUse {
        match self {
            Self::Manifest | Self::Keys => KeyUse::Manifest,
            Self::Acknowledgement => KeyUse::Acknowledgement,
            Self::Envelope => KeyUse::Envelope,
        }
    }
}

/// Signs `payload`; the key's purpose sets the type. The general JSON serialisation with one signature.
pub fn sign<P: Purpose>(payload: &[u8], key: &Es256Key<P>) -> Result<String, KeyError> {
    let kind = match P::USE {
        KeyUse::Acknowledgement => JwsType::Acknowledgement,
        KeyUse::Envelope => JwsType::Envelope,
        KeyUse::Manifest | KeyUse::Log => JwsType::Manifest,
    };
    sign_as(payload, kind, key)
}

/// Signs under a `typ` that shares its key with another.
pub(crate) fn sign_as<P: Purpose>(
    payload: &[u8],
    kind: JwsType,
    key: &Es256Key<P>,
) -> Result<String, KeyError> {
    let protected =
        base64::encode_url(format!(r#"{{"alg":"ES256","kid":"{}","typ":"{}"}}"#, key.kid(), kind.as_str()));
    let payload = base64::encode_url(payload);
    let signature = key.sign(signing_input(&protected, &payload).as_bytes())?;
    let signatures = vec![Signature { protected, signature: base64::encode_url(signature) }];
    Ok(serde_json::to_string(&General { payload, signatures }).expect("a JWS is plain data"))
}

/// A payload that a pinned key signed. Only [`Jws::verify`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedJws<'a> {
    payload: Vec<u8>,
    key: &'a Jwk,
}

impl<'a> VerifiedJws<'a> {
    /// The decoded payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The decoded payload, taken.
    pub fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// The key that signed. Its `retired` and `not_before` are for the caller to hold against the payload's own time.
    pub fn key(&self) -> &'a Jwk {
        self.key
    }
}

/// Parses and verifies in one step. Besides `bytes` it holds the payload twice at most, once as base64url.
pub fn verify<'a>(bytes: &[u8], kind: JwsType, keys: &'a Jwks) -> Result<VerifiedJws<'a>, JwsError> {
    let (payload, signatures) = read(bytes)?;
    let key = signer(&payload, &signatures, kind, keys)?;
    Ok(VerifiedJws { payload: decoded(&payload)?, key })
}

/// The payload of a JWS whose signature was verified when it came.
pub(crate) fn payload_verified_before(bytes: &[u8]) -> Result<Vec<u8>, JwsError> {
    let (payload, _) = read(bytes)?;
    decoded(&payload)
}

/// A parsed JWS, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jws {
    payload: String,
    signatures: Vec<Signature>,
}

impl Jws {
    /// Reads the general serialisation, or the flattened one that some tools write for a single signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, JwsError> {
        let (payload, signatures) = read(bytes)?;
        Ok(Self { payload: payload.into_owned(), signatures })
    }

    /// The payload as claimed, by whomever. For display and for checks that are marked as unauthenticated.
    pub fn unauthenticated_payload(&self) -> Result<Vec<u8>, JwsError> {
        decoded(&self.payload)
    }

    /// The payload, if a key pinned in `keys` for `kind` signed it. One bad signature by a pinned key spoils all.
    pub fn verify<'a>(&self, kind: JwsType, keys: &'a Jwks) -> Result<VerifiedJws<'a>, JwsError> {
        let key = signer(&self.payload, &self.signatures, kind, keys)?;
        Ok(VerifiedJws { payload: decoded(&self.payload)?, key })
    }
}

/// The payload, still base64url and where possible still in `bytes`, and the signatures.
fn read(bytes: &[u8]) -> Result<(Cow<'_, str>, Vec<Signature>), JwsError> {
    let wire: Wire<'_> = json::from_slice(bytes, MAX_JWS).map_err(|_| JwsError::Malformed)?;
    let signatures = match (wire.signatures, wire.protected, wire.signature) {
        (Some(Signatures(signatures)), None, None) => signatures,
        (None, Some(protected), Some(signature)) => vec![Signature { protected, signature }],
        _ => return Err(JwsError::Malformed),
    };
    if signatures.is_empty() { Err(JwsError::Malformed) } else { Ok((wire.payload, signatures)) }
}

/// The pinned key that signed `payload`.
fn signer<'a>(
    payload: &str,
    signatures: &[Signature],
    kind: JwsType,
    keys: &'a Jwks,
) -> Result<&'a Jwk, JwsError> {
    let mut good = None;
    for signature in signatures {
        let header = signature.header()?;
        if header.alg != "ES256" {
            continue;
        }
        if header.crit.is_some() || header.b64.is_some() {
            return Err(JwsError::Critical);
        }
        if header.typ.as_deref() != Some(kind.as_str()) {
            return Err(JwsError::WrongType { expected: kind.as_str() });
        }
        let key = header.kid.as_deref().and_then(|kid| keys.find(kid));
        let Some(key) = key.filter(|key| key.may(kind.key_use())) else { continue };
        let raw = base64::decode_url(&signature.signature).ok_or(JwsError::Malformed)?;
        let input = signing_input(&signature.protected, payload);
        let p256 = matches!(key.public_key(), crate::keys::PublicKey::P256(_));
        if !p256 || !key.public_key().verify(input.as_bytes(), &raw) {
            return Err(JwsError::BadSignature);
        }
        good.get_or_insert(key);
    }
    good.ok_or(JwsError::UnknownKey)
}

fn decoded(payload: &str) -> Result<Vec<u8>, JwsError> {
    base64::decode_url(payload).ok_or(JwsError::Malformed)
}

#[derive(Serialize)]
struct General {
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Wire<'t> {
    #[serde(borrow)]
    payload: Cow<'t, str>,
    signatures: Option<Signatures>,
    protected: Option<String>,
    signature: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    protected: String,
    signature: String,
}

/// At most [`MAX_SIGNATURES`], refused while they are read.
struct Signatures(Vec<Signature>);

impl<'de> Deserialize<'de> for Signatures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (signatures, more) = json::at_most(MAX_SIGNATURES, deserializer)?;
        if more { Err(D::Error::custom("too many signatures")) } else { Ok(Self(signatures)) }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    #[serde(default, deserialize_with = "json::present")]
    crit: Option<()>,
    #[serde(default, deserialize_with = "json::present")]
    b64: Option<()>,
}

impl Signature {
    fn header(&self) -> Result<Header, JwsError> {
        let bytes = base64::decode_url(&self.protected).ok_or(JwsError::Malformed)?;
        json::from_slice(&bytes, MAX_HEADER).map_err(|_| JwsError::Malformed)
    }
}

fn signing_input(protected: &str, payload: &str) -> String {
    [protected, ".", payload].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::keys::{AcknowledgementKey, LogKey, ManifestKey};

    struct Case {
        key: ManifestKey,
        keys: Jwks,
        jws: Value,
    }

    fn case() -> Case {
        let key = ManifestKey::generate().unwrap();
        let keys = Jwks::new([key.public_jwk().clone()]);
        let jws = serde_json::from_str(&sign(b"payload", &key).unwrap()).unwrap();
        Case { key, keys, jws }
    }

    fn check(jws: &Value, keys: &Jwks) -> Result<Vec<u8>, JwsError> {
        verify(jws.to_string().as_bytes(), JwsType::Manifest, keys).map(VerifiedJws::into_payload)
    }

    /// A signature object over `payload` with any header, by `key`.
    fn signature(key: &ManifestKey, header: &Value, payload: &str) -> Value {
        let protected = base64::encode_url(header.to_string());
        let raw = key.sign(signing_input(&protected, payload).as_bytes()).unwrap();
        json!({"protected": protected, "signature": base64::encode_url(raw)})
    }

    #[test]
    fn a_signed_payload_comes_back() {
        let case = case();
        assert_eq!(check(&case.jws, &case.keys).unwrap(), b"payload");
        let flattened = json!({
            "payload": case.jws["payload"],
            "protected": case.jws["signatures"][0]["protected"],
            "signature": case.jws["signatures"][0]["signature"],
        });
        assert_eq!(check(&flattened, &case.keys).unwrap(), b"payload");
    }

    #[test]
    fn only_pinned_keys_of_the_purpose_count() {
        let case = case();
        assert_eq!(check(&case.jws, &Jwks::default()), Err(JwsError::UnknownKey));
        let as_log = Jwk::new(*case.key.public_jwk().public_key(), KeyUse::Log);
        assert_eq!(check(&case.jws, &Jwks::new([as_log])), Err(JwsError::UnknownKey));
        let _ = LogKey::generate().unwrap();
        // The same private key as an acknowledgement key gives another typ.
        let other = AcknowledgementKey::from_pkcs8(&case.key.to_pkcs8().unwrap()).unwrap();
        let jws: Value = serde_json::from_str(&sign(b"payload", &other).unwrap()).unwrap();
        assert_eq!(check(&jws, &case.keys), Err(JwsError::WrongType { expected: "xinqiao-manifest+jws" }));
    }

    #[test]
    fn every_altered_character_is_noticed() {
        let case = case();
        let text = case.jws.to_string();
        for place in 0..text.len() {
            for bit in [1, 2, 32] {
                let mut bytes = text.clone().into_bytes();
                bytes[place] ^= bit;
                assert!(verify(&bytes, JwsType::Manifest, &case.keys).is_err(), "byte {place}");
            }
        }
    }

    #[test]
    fn headers_that_change_the_rules_are_refused() {
        let Case { key, keys, mut jws } = case();
        let payload = jws["payload"].as_str().unwrap().to_owned();
        let good = json!({"alg": "ES256", "kid": key.kid(), "typ": "xinqiao-manifest+jws"});
        for (member, value, expected) in [
            ("crit", json!(["exp"]), JwsError::Critical),
            ("crit", Value::Null, JwsError::Critical),
            ("b64", json!(false), JwsError::Critical),
            ("typ", json!("JWT"), JwsError::WrongType { expected: "xinqiao-manifest+jws" }),
            ("alg", json!("none"), JwsError::UnknownKey),
            ("alg", json!("HS256"), JwsError::UnknownKey),
            ("alg", json!("es256"), JwsError::UnknownKey),
            ("kid", json!("other"), JwsError::UnknownKey),
            ("kid", json!(7), JwsError::Malformed),
        ] {
            let mut header = good.clone();
            header[member] = value;
            jws["signatures"] = json!([signature(&key, &header, &payload)]);
            assert_eq!(check(&jws, &keys), Err(expected), "{header}");
        }
        // A certificate chain in the header neither helps nor harms.
        let mut header = good.clone();
        header["x5c"] = json!(["AAAA"]);
        jws["signatures"] = json!([signature(&key, &header, &payload)]);
        assert!(check(&jws, &keys).is_ok());
        let stranger = ManifestKey::generate().unwrap();
        header["kid"] = json!(stranger.kid());
        header["jwk"] = serde_json::to_value(stranger.public_jwk()).unwrap();
        jws["signatures"] = json!([signature(&stranger, &header, &payload)]);
        assert_eq!(check(&jws, &keys), Err(JwsError::UnknownKey));
    }

    #[test]
    fn a_second_signature_may_stand_beside_but_not_lie() {
        let Case { key, keys, mut jws } = case();
        let payload = jws["payload"].as_str().unwrap().to_owned();
        let ours = jws["signatures"][0].clone();
        let sm2 = signature(&key, &json!({"alg": "SM2SM3", "kid": "sm", "crit": ["gm"]}), &payload);
        for order in [json!([ours, sm2]), json!([sm2, ours])] {
            jws["signatures"] = order;
            assert!(check(&jws, &keys).is_ok());
        }
        let mut bad = ours.clone();
        bad["signature"] = json!(base64::encode_url([7; 64]));
        jws["signatures"] = json!([ours, bad]);
        assert_eq!(check(&jws, &keys), Err(JwsError::BadSignature));
        jws["signatures"] = json!([sm2]);
        assert_eq!(check(&jws, &keys), Err(JwsError::UnknownKey));
        jws["signatures"] = json!([]);
        assert_eq!(check(&jws, &keys), Err(JwsError::Malformed));
    }

    #[test]
    fn other_serialisations_and_duplicates_are_malformed() {
        let Case { keys, jws, .. } = case();
        let text = jws.to_string();
        let payload = &jws["payload"];
        let twice = text.replacen('{', &format!("{{\"payload\":{payload},"), 1);
        let padded = text.replace(payload.as_str().unwrap(), &format!("{}=", payload.as_str().unwrap()));
        for wrong in ["", "a.b.c", "{}", "[]", twice.as_str(), &text[..text.len() - 1]] {
            let result = verify(wrong.as_bytes(), JwsType::Manifest, &keys);
            assert_eq!(result.unwrap_err(), JwsError::Malformed, "{wrong}");
        }
        assert!(verify(padded.as_bytes(), JwsType::Manifest, &keys).is_err());
    }
}
