//! A stapled OCSP response: the authority's word, made beforehand, that the certificate is good (RFC 6960).

use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::asn1_rs::BitString;
use x509_parser::prelude::{AlgorithmIdentifier, FromDer, X509Certificate};
use x509_parser::verify::verify_signature;

use crate::certificate;
use crate::crypto::is_hash;
use crate::der::{self, Element, Reader};
use crate::trouble::unusable;
use xinqiao_explain::Explanation;

const PLACE: &str = "OCSP response";

/// What a response says of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) next_update: Option<u64>,
}

/// Checks that a response is well-formed, is about this leaf, calls it good and is current; and, if the issuer's
/// certificate is in the chain, that it signed the response or appointed who did.
pub(super) fn check(
    response: &[u8],
    chain: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<Status, Explanation> {
    let leaf = certificate::parse(&chain[0]).ok_or_else(malformed)?;
    let issuer = chain.get(1).and_then(certificate::parse);
    let basic = successful(response)?;
    let mut parts = basic.inside();
    let (Some(data), Some(algorithm), Some(signature)) =
        (parts.take(der::SEQUENCE), parts.take(der::SEQUENCE), parts.take(der::BIT_STRING))
    else {
        return Err(malformed());
    };
    let certificates = parts.take(0xa0).and_then(|explicit| der::only(explicit.content));
    let single = find(data, &leaf, issuer.as_ref())?;
    if let Some(issuer) = &issuer {
        check_signature(data, algorithm, signature, certificates, issuer, now)?;
    }
    status_of(&single, now)
}

/// The BasicOCSPResponse of a successful response.
fn successful(response: &[u8]) -> Result<Element<'_>, Explanation> {
    const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
    let outer = der::only(response).filter(|o| o.tag == der::SEQUENCE).ok_or_else(malformed)?;
    let mut parts = outer.inside();
    let status = parts.take(der::ENUMERATED).ok_or_else(malformed)?;
    if status.content != [0] {
        return Err(unusable(
            "ocsp.unsuccessful",
            PLACE,
            format!(
                "the authority's responder answered with an error (status {}), not with a status; fetch it again",
                status.content.first().copied().unwrap_or_default()
            ),
            "OCSP 服务返回的是错误而非证书状态，请重新获取",
        ));
    }
    let bytes = parts.take(0xa0).and_then(|e| der::only(e.content)).ok_or_else(malformed)?;
    let mut parts = bytes.inside();
    let kind = parts.take(der::OID).ok_or_else(malformed)?;
    let content = parts.take(der::OCTET_STRING).ok_or_else(malformed)?;
    if kind.content != BASIC {
        return Err(malformed());
    }
    der::only(content.content).filter(|basic| basic.tag == der::SEQUENCE).ok_or_else(malformed)
}

struct Single {
    status: u8,
    this_update: u64,
    next_update: Option<u64>,
}

/// The response about this certificate among those of the answer.
fn find(
    data: Element<'_>,
    leaf: &X509Certificate<'_>,
    issuer: Option<&X509Certificate<'_>>,
) -> Result<Single, Explanation> {
    let mut parts = data.inside();
    let _version = parts.take(0xa0);
    let _responder = parts.next().ok_or_else(malformed)?;
    let _produced = parts.take(der::GENERALIZED_TIME).ok_or_else(malformed)?;
    let mut responses = parts.take(der::SEQUENCE).ok_or_else(malformed)?.inside();
    while let Some(single) = responses.take(der::SEQUENCE) {
        let mut parts = single.inside();
        let id = parts.take(der::SEQUENCE).ok_or_else(malformed)?;
        if !is_about(id, leaf, issuer).ok_or_else(malformed)? {
            continue;
        }
        let status = parts.next().ok_or_else(malformed)?;
        let time = |element: Option<Element<'_>>| element.and_then(|e| seconds(e.content));
        let this_update = time(parts.take(der::GENERALIZED_TIME)).ok_or_else(malformed)?;
        let next_update = match parts.take(0xa0) {
            Some(explicit) => Some(time(der::only(explicit.content)).ok_or_else(malformed)?),
            None => None,
        };
        return Ok(Single { status: status.tag & 0x1f, this_update, next_update });
    }
    Err(unusable(
        "ocsp.other-certificate",
        PLACE,
        "speaks of another certificate than the one it would be stapled to; fetch the response for the certificate now in use",
        "针对的不是当前证书，请为正在使用的证书重新获取 OCSP 响应",
    ))
}

/// CertID: the issuer's name and key by hash, and the serial number.
fn is_about(
    id: Element<'_>,
    leaf: &X509Certificate<'_>,
    issuer: Option<&X509Certificate<'_>>,
) -> Option<bool> {
    let mut parts = id.inside();
    let algorithm = parts.take(der::SEQUENCE)?.inside().take(der::OID)?;
    let name = parts.take(der::OCTET_STRING)?;
    let key = parts.take(der::OCTET_STRING)?;
    let serial = parts.take(der::INTEGER)?;
    // What is named by an algorithm unknown here is another certificate.
    let is = |hash: &[u8], of: &[u8]| is_hash(algorithm.content, hash, of) == Some(true);
    Some(
        serial.content == leaf.tbs_certificate.raw_serial()
            && is(name.content, leaf.issuer().as_raw())
            && issuer.is_none_or(|i| is(key.content, i.public_key().subject_public_key.data.as_ref())),
    )
}

fn check_signature(
    data: Element<'_>,
    algorithm: Element<'_>,
    signature: Element<'_>,
    certificates: Option<Element<'_>>,
    issuer: &X509Certificate<'_>,
    now: UnixTime,
) -> Result<(), Explanation> {
    let (_, algorithm) = AlgorithmIdentifier::from_der(algorithm.whole).map_err(|_| malformed())?;
    let bits = match signature.content.split_first() {
        Some((0, bits)) => BitString::new(0, bits),
        _ => return Err(malformed()),
    };
    let good = |signer: &X509Certificate<'_>| {
        verify_signature(signer.public_key(), &algorithm, &bits, data.whole).is_ok()
    };
    if good(issuer) {
        return Ok(());
    }
    let mut others = certificates.map_or(Reader::new(&[]), |list| list.inside());
    while let Some(other) = others.next() {
        let der = CertificateDer::from(other.whole);
        if let Some(delegate) = certificate::parse(&der)
            && appointed(&delegate, issuer, now)
            && good(&delegate)
        {
            return Ok(());
        }
    }
    Err(unusable(
        "ocsp.wrong-issuer",
        PLACE,
        "was signed neither by the authority that issued the certificate nor by a responder it appointed; fetch it from that authority",
        "既非签发该证书的机构所签，也非其授权的 OCSP 服务所签，请向该机构重新获取",
    ))
}

/// RFC 6960, 4.2.2.2: issued by the authority itself, for signing responses.
fn appointed(delegate: &X509Certificate<'_>, issuer: &X509Certificate<'_>, now: UnixTime) -> bool {
    let usage = delegate.extended_key_usage();
    let validity = delegate.validity();
    let now = i128::from(now.as_secs());
    matches!(usage, Ok(Some(usage)) if usage.value.ocsp_signing)
        && delegate.issuer().as_raw() == issuer.subject().as_raw()
        && (i128::from(validity.not_before.timestamp())..=i128::from(validity.not_after.timestamp()))
            .contains(&now)
        && delegate.verify_signature(Some(issuer.public_key())).is_ok()
}

fn status_of(single: &Single, now: UnixTime) -> Result<Status, Explanation> {
    const GOOD: u8 = 0;
    const REVOKED: u8 = 1;
    /// Clocks may differ a little.
    const LENIENCE: u64 = 300;
    let now = now.as_secs();
    match single.status {
        GOOD => {}
        REVOKED => {
            return Err(unusable(
                "ocsp.revoked",
                PLACE,
                "says that the certificate was revoked; request a new certificate",
                "表明证书已被吊销，请重新申请证书",
            ));
        }
        _ => {
            return Err(unusable(
                "ocsp.unknown",
                PLACE,
                "says that the authority does not know the certificate; ask the authority",
                "表明发证机构不认识该证书，请联系发证机构",
            ));
        }
    }
    if single.this_update > now.saturating_add(LENIENCE) {
        return Err(unusable(
            "ocsp.not-yet-valid",
            PLACE,
            "was made in the future; check this machine's clock",
            "生成时间晚于当前时间，请检查本机时钟",
        ));
    }
    if single.next_update.is_some_and(|next| now > next) {
        return Err(unusable(
            "ocsp.expired",
            PLACE,
            "is past its next update; fetch a new one, or leave it out",
            "已过下次更新时间，请重新获取，或不再使用",
        ));
    }
    Ok(Status { next_update: single.next_update })
}

/// `YYYYMMDDHHMMSSZ`, the only form DER allows here.
fn seconds(text: &[u8]) -> Option<u64> {
    let text = text.strip_suffix(b"Z")?;
    if text.len() != 14 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        text[range].iter().fold(0i64, |sum, digit| sum * 10 + i64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0..4), number(4..6), number(6..8));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970, by the calendar's own arithmetic: years begin in March, so that the odd day is the last.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    u64::try_from(days * 86_400 + number(8..10) * 3_600 + number(10..12) * 60 + number(12..14)).ok()
}

fn malformed() -> Explanation {
    unusable(
        "ocsp.malformed",
        PLACE,
        "is not an OCSP response in DER (RFC 6960); fetch it again",
        "不是 DER 格式的 OCSP 响应（RFC 6960），请重新获取",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_by_the_calendar() {
        assert_eq!(seconds(b"19700101000000Z"), Some(0));
        assert_eq!(seconds(b"20240229235959Z"), Some(1_709_251_199));
        assert_eq!(seconds(b"20000301000000Z"), Some(951_868_800));
        assert_eq!(seconds(b"20241301000000Z"), None);
        assert_eq!(seconds(b"2024-01-01T000Z"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = successful(&bytes);
            let _ = seconds(&bytes);
        }
    }
}
