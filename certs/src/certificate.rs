//! Reading certificates: PEM, names, attributes, URIs. Nothing here decides about trust.

use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::fmt;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate, X509Name};
use x509_parser::public_key::PublicKey;
use xinqiao_crypto::{hex, sha256};

use crate::der;
use crate::trouble::unusable;
use xinqiao_explain::Explanation;

/// SHA-256 of a DER SubjectPublicKeyInfo, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKeyPin([u8; 32]);

impl PublicKeyPin {
    /// The pin of a certificate's public key.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, Explanation> {
        let parsed = parse(certificate).ok_or_else(|| malformed("certificate"))?;
        Ok(Self(sha256(parsed.public_key().raw)))
    }

    /// The pin of a DER SubjectPublicKeyInfo.
    pub(crate) fn of_key(key: &[u8]) -> Self {
        Self(sha256(key))
    }

    pub(crate) fn of_parsed(certificate: &X509Certificate<'_>) -> Self {
        Self(sha256(certificate.public_key().raw))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<String> for PublicKeyPin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        hex::decode_array(&text)
            .map(Self)
            .ok_or_else(|| "a public key pin is SHA-256 as 64 lower-case hexadecimal digits".into())
    }
}

impl From<PublicKeyPin> for String {
    fn from(pin: PublicKeyPin) -> String {
        pin.to_string()
    }
}

impl fmt::Display for PublicKeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex::encode_into(&self.0, &mut [0; 64]))
    }
}

impl fmt::Debug for PublicKeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKeyPin({self})")
    }
}

/// Parses exactly one certificate, without anything after it.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    match X509Certificate::from_der(der.as_ref()) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

/// Every `CERTIFICATE` block of a PEM text, in order. At least one.
pub(crate) fn from_pem(place: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Explanation> {
    let blocks = pem::parse_many(text).map_err(|_| malformed(place))?;
    let mut certificates = Vec::new();
    for block in blocks {
        if matches!(block.tag(), "CERTIFICATE" | "X509 CERTIFICATE") {
            let der = CertificateDer::from(block.into_contents());
            if parse(&der).is_none() {
                return Err(unusable(
                    "certificate.malformed",
                    place,
                    format!(
                        "certificate number {} is not a readable X.509 certificate; export it again as PEM",
                        certificates.len() + 1
                    ),
                    format!("第 {} 张证书不是可读的 X.509 证书，请重新导出为 PEM", certificates.len() + 1),
                ));
            }
            certificates.push(der);
        }
    }
    if certificates.is_empty() {
        return Err(none_in_file(place));
    }
    Ok(certificates)
}

pub(crate) fn none_in_file(place: &str) -> Explanation {
    unusable(
        "certificate.none-in-file",
        place,
        "holds no PEM block that begins with -----BEGIN CERTIFICATE-----; was it exported as DER or PKCS#12?",
        "没有以 -----BEGIN CERTIFICATE----- 开头的 PEM 块，是否误导出为 DER 或 PKCS#12 格式？",
    )
}

pub(crate) fn malformed(place: &str) -> Explanation {
    unusable(
        "pem.malformed",
        place,
        "is not well-formed PEM; check that no line was cut or changed when it was copied",
        "不是格式正确的 PEM，请检查复制时是否有行被截断或改动",
    )
}

/// Everything the subject alternative name says as URI. `None`: the extension is there but cannot be read.
pub(crate) fn san_uris<'a>(certificate: &'a X509Certificate<'_>) -> Option<Vec<&'a str>> {
    let Ok(extension) = certificate.subject_alternative_name() else {
        return None;
    };
    let names = extension.map(|e| e.value.general_names.as_slice());
    Some(
        names
            .unwrap_or_default()
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect(),
    )
}

/// The single value of an attribute of the subject; `None` if it is missing, repeated or not text.
pub(crate) fn subject_attribute(certificate: &X509Certificate<'_>, oid: &str) -> Option<String> {
    let mut found = None;
    for attribute in certificate.subject().iter_attributes() {
        if attribute.attr_type().to_id_string() == oid {
            let value = attribute_text(attribute)?;
            if found.replace(value).is_some() {
                return None;
            }
        }
    }
    found
}

/// A name as people compare it: its parts as `oid=value`, sorted, so that either writing order is the same name.
pub(crate) fn comparable_name(name: &X509Name<'_>) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    for attribute in name.iter_attributes() {
        let oid = attribute.attr_type().to_id_string();
        parts.push(format!("{oid}={}", attribute_text(attribute)?));
    }
    parts.sort();
    Some(parts)
}

/// What a certificate's extension says as text; `None` if it is missing or repeated.
///
/// Authorities write such values as a string type, as text inside an octet string, or as bare bytes; each is read as its
/// text. What is no text is given as `hex:` and the bytes.
pub(crate) fn extension_text(certificate: &X509Certificate<'_>, oid: &str) -> Option<String> {
    let mut found = certificate.extensions().iter().filter(|e| e.oid.to_id_string() == oid);
    let (one, None) = (found.next()?, found.next()) else { return None };
    Some(value_text(one.value))
}

fn value_text(bytes: &[u8]) -> String {
    const STRINGS: [u8; 5] = [0x0c, 0x12, 0x13, 0x14, 0x16];
    const BMP_STRING: u8 = 0x1e;
    let plain = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?;
        (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
    };
    let text = match der::only(bytes) {
        Some(element) if STRINGS.contains(&element.tag) => plain(element.content),
        Some(element) if element.tag == BMP_STRING => utf16(element.content),
        Some(element) if element.tag == der::OCTET_STRING => {
            return match der::only(element.content) {
                Some(inner) if STRINGS.contains(&inner.tag) || inner.tag == BMP_STRING => {
                    value_text(element.content)
                }
                _ => {
                    plain(element.content).unwrap_or_else(|| format!("hex:{}", hex::encode(element.content)))
                }
            };
        }
        _ => plain(bytes),
    };
    text.unwrap_or_else(|| format!("hex:{}", hex::encode(bytes)))
}

fn utf16(bytes: &[u8]) -> Option<String> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).collect::<Result<String, _>>().ok()
}

fn attribute_text(attribute: &x509_parser::x509::AttributeTypeAndValue<'_>) -> Option<String> {
    const BMP_STRING: u32 = 30;
    if let Ok(text) = attribute.as_str() {
        return Some(text.to_owned());
    }
    match attribute.attr_value().tag().0 == BMP_STRING {
        true => utf16(attribute.as_slice()),
        false => None,
    }
}

/// Why a certificate is too weak, or of an algorithm this node cannot use, if it is.
pub(crate) fn weakness(certificate: &X509Certificate<'_>) -> Option<(&'static str, String, String)> {
    const SM2_WITH_SM3: &str = "1.2.156.10197.1.501";
    const SHA1_SIGNATURES: [&str; 4] =
        ["1.2.840.113549.1.1.5", "1.3.14.3.2.29", "1.2.840.10045.4.1", "1.2.840.10040.4.3"];
    const MD5_WITH_RSA: &str = "1.2.840.113549.1.1.4";
    const EC: &str = "1.2.840.10045.2.1";
    let signature = certificate.signature_algorithm.algorithm.to_id_string();
    let curve = curve(certificate);
    if signature == SM2_WITH_SM3 || curve.as_deref() == Some(SM2) {
        return Some((
            "certificate.sm2",
            "is an SM2 certificate (国密), which TLS on this node cannot use; put a certified 国密 gateway in front that passes the client's certificate on in Client-Cert (RFC 9440, exchange.front_proxy), or ask the authority for an ECDSA P-256 certificate beside it".into(),
            "是国密 SM2 证书，本节点的 TLS 不支持；请在前端部署经认证的国密网关并以 Client-Cert（RFC 9440，配置项 exchange.front_proxy）转交客户端证书，或向发证机构另行申请 ECDSA P-256 证书".into(),
        ));
    }
    if SHA1_SIGNATURES.contains(&signature.as_str()) || signature == MD5_WITH_RSA {
        return Some((
            "certificate.weak-signature",
            "is signed with SHA-1 or MD5; ask the authority for one signed with SHA-256 or better".into(),
            "使用 SHA-1 或 MD5 签名，请向发证机构申请 SHA-256 及以上签名的证书".into(),
        ));
    }
    if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed() {
        let bits = key.key_size();
        if bits < 2048 {
            return Some((
                "certificate.weak-key",
                format!(
                    "has an RSA key of {bits} bits; make a new key of at least 2048 bits, or ECDSA P-256, and request the certificate again"
                ),
                format!(
                    "RSA 密钥只有 {bits} 位，请生成不少于 2048 位的 RSA 或 ECDSA P-256 密钥后重新申请证书"
                ),
            ));
        }
    }
    let algorithm = certificate.public_key().algorithm.algorithm.to_id_string();
    if algorithm == EC && !matches!(curve.as_deref(), Some(P256 | P384)) {
        let name = curve_name(certificate);
        return Some((
            "certificate.curve",
            format!(
                "has a key on {name}; make a new key on P-256 or P-384 and request the certificate again"
            ),
            format!("密钥所用曲线为 {name}，请在 P-256 或 P-384 上生成新密钥后重新申请证书"),
        ));
    }
    None
}

const SM2: &str = "1.2.156.10197.1.301";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";

/// The named curve of an elliptic key.
fn curve(certificate: &X509Certificate<'_>) -> Option<String> {
    curve_of(certificate.public_key())
}

fn curve_of(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    let parameters = key.algorithm.parameters.as_ref()?;
    parameters.as_oid().ok().map(|oid| oid.to_id_string())
}

/// P-256 or P-384.
pub(crate) fn is_common_curve(key: &SubjectPublicKeyInfo<'_>) -> bool {
    matches!(curve_of(key).as_deref(), Some(P256 | P384))
}

/// The curve as people call it.
pub(crate) fn curve_name(certificate: &X509Certificate<'_>) -> String {
    match curve(certificate).as_deref() {
        Some(P256) => "ECDSA P-256".into(),
        Some(P384) => "ECDSA P-384".into(),
        Some("1.3.132.0.35") => "ECDSA P-521".into(),
        Some("1.3.132.0.10") => "ECDSA secp256k1".into(),
        Some(SM2) => "SM2".into(),
        Some(other) => format!("curve {other}"),
        None => "explicit curve parameters".into(),
    }
}

/// Whether a certificate's key usage, if it has one, lets it sign revocation lists.
pub(crate) fn may_sign_lists(certificate: &CertificateDer<'_>) -> bool {
    let Some(parsed) = parse(certificate) else { return false };
    match parsed.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.crl_sign()),
        Err(_) => false,
    }
}

/// What the authority calls the key of this certificate of its own (the subject key identifier).
pub(crate) fn key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    let extension = certificate.extensions().iter().find(|e| e.oid.to_id_string() == "2.5.29.14")?;
    der::only(extension.value).filter(|id| id.tag == der::OCTET_STRING).map(|id| id.content.to_vec())
}

/// The key that an authority key identifier names, if it names one.
pub(crate) fn key_id_of_authority(value: &[u8]) -> Option<Vec<u8>> {
    const KEY_IDENTIFIER: u8 = 0x80;
    der::only(value)?.inside().take(KEY_IDENTIFIER).map(|id| id.content.to_vec())
}

/// The first critical extension this crate does not know how to honour, by OID.
pub(crate) fn unknown_critical_extension(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate
        .extensions()
        .iter()
        .find(|e| {
            e.critical
                && !matches!(
                    e.parsed_extension(),
                    ParsedExtension::BasicConstraints(_)
                        | ParsedExtension::KeyUsage(_)
                        | ParsedExtension::ExtendedKeyUsage(_)
                        | ParsedExtension::SubjectAlternativeName(_)
                        | ParsedExtension::NameConstraints(_)
                )
        })
        .map(|e| e.oid.to_id_string())
}
