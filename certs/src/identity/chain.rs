//! Whether a chain can be used at all, before any anchor is asked.

use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::X509Certificate;

use crate::certificate;
use crate::trouble::unusable;
use xinqiao_explain::Explanation;

/// Weak or foreign algorithms and critical extensions nobody honours, in any certificate but a root's own signature.
pub(super) fn strength(place: &str, chain: &[CertificateDer<'_>]) -> Result<(), Explanation> {
    for (at, der) in chain.iter().enumerate() {
        let Some(parsed) = certificate::parse(der) else { return Err(certificate::malformed(place)) };
        let (which, which_zh) = which(at);
        let root = at > 0 && parsed.subject().as_raw() == parsed.issuer().as_raw();
        if let Some((code, en, zh)) = certificate::weakness(&parsed)
            && !(root && code == "certificate.weak-signature")
        {
            return Err(unusable(code, place, format!("{which} {en}"), format!("{which_zh}{zh}")));
        }
        if let Some(oid) = certificate::unknown_critical_extension(&parsed) {
            return Err(unusable(
                "certificate.unknown-critical-extension",
                place,
                format!(
                    "{which} has the critical extension {oid}, which no peer could honour; ask the authority for one without it"
                ),
                format!("{which_zh}含有无法识别的关键扩展 {oid}，请向发证机构申请不含该扩展的证书"),
            ));
        }
    }
    Ok(())
}

fn which(at: usize) -> (String, String) {
    (format!("certificate {} of the chain", at + 1), format!("链中第 {} 张证书", at + 1))
}

/// Each certificate issued the one before it, by name and by signature.
pub(super) fn order(place: &str, chain: &[CertificateDer<'_>]) -> Result<(), Explanation> {
    let parsed: Vec<X509Certificate<'_>> = chain.iter().filter_map(certificate::parse).collect();
    for (position, pair) in parsed.windows(2).enumerate() {
        let (lower, upper) = (&pair[0], &pair[1]);
        let (low, high) = (position + 1, position + 2);
        if lower.issuer().as_raw() != upper.subject().as_raw() {
            let elsewhere = parsed.iter().any(|other| other.subject().as_raw() == lower.issuer().as_raw());
            return Err(match elsewhere {
                true => unusable(
                    "identity.chain-order",
                    place,
                    format!(
                        "certificate {high} did not issue certificate {low}, but another one of the file did; put each issuer below what it issued, or let `xinqiao certs install` order them"
                    ),
                    format!(
                        "第 {high} 张证书不是第 {low} 张的签发者，但其签发者就在文件中；请将签发者逐级排列，或用 xinqiao certs install 自动排序"
                    ),
                ),
                false => unusable(
                    "identity.chain-broken",
                    place,
                    format!(
                        "certificate {high} did not issue certificate {low}; the certificate of {} is missing",
                        lower.issuer()
                    ),
                    format!("第 {high} 张证书不是第 {low} 张的签发者，缺少 {} 的证书", lower.issuer()),
                ),
            });
        }
        if !upper.is_ca() {
            return Err(unusable(
                "identity.not-an-issuer",
                place,
                format!(
                    "certificate {high} is not an authority's and cannot have issued certificate {low}; use the authority's own chain"
                ),
                format!(
                    "第 {high} 张证书不是签发机构的证书，不可能签发第 {low} 张，请使用发证机构提供的证书链"
                ),
            ));
        }
        // Signatures this crate cannot verify are left to the peers' verifier.
        if verifiable(lower) && lower.verify_signature(Some(upper.public_key())).is_err() {
            return Err(unusable(
                "identity.chain-signature",
                place,
                format!(
                    "certificate {high} bears the name of the issuer of certificate {low} but did not sign it; the authority was renewed: fetch the intermediate that belongs to this certificate"
                ),
                format!(
                    "第 {high} 张证书与第 {low} 张的签发者同名，但并未签发它，发证机构已更换密钥，请获取与该证书对应的中间证书"
                ),
            ));
        }
    }
    Ok(())
}

fn verifiable(certificate: &X509Certificate<'_>) -> bool {
    const KNOWN: [&str; 6] = [
        "1.2.840.113549.1.1.11",
        "1.2.840.113549.1.1.12",
        "1.2.840.113549.1.1.13",
        "1.2.840.10045.4.3.2",
        "1.2.840.10045.4.3.3",
        "1.3.101.112",
    ];
    KNOWN.contains(&certificate.signature_algorithm.algorithm.to_id_string().as_str())
}

/// No authority's certificate, and within its validity; answers the validity.
pub(super) fn leaf(
    place: &str,
    leaf: &X509Certificate<'_>,
    now: UnixTime,
) -> Result<(u64, u64), Explanation> {
    if leaf.is_ca() {
        return Err(unusable(
            "identity.authority-as-leaf",
            place,
            format!(
                "the first certificate is that of the authority {}, not this organisation's own; put the own certificate first",
                leaf.subject()
            ),
            format!("首张证书是签发机构 {} 的证书，而非本单位证书，请把本单位证书放在最前", leaf.subject()),
        ));
    }
    let validity = leaf.validity();
    let not_before = u64::try_from(validity.not_before.timestamp()).unwrap_or(0);
    let not_after = u64::try_from(validity.not_after.timestamp()).unwrap_or(0);
    if now.as_secs() < not_before {
        return Err(unusable(
            "identity.not-yet-valid",
            place,
            format!(
                "the certificate is valid only from {}, and this machine's clock says {}; correct the clock, or wait",
                validity.not_before,
                clock(now)
            ),
            format!(
                "证书自 {} 起才有效，而本机时钟为 {}，请校正时钟或等待生效",
                validity.not_before,
                clock(now)
            ),
        ));
    }
    if now.as_secs() > not_after {
        return Err(unusable(
            "identity.expired",
            place,
            format!(
                "the certificate expired at {} (this machine's clock says {}); renew it",
                validity.not_after,
                clock(now)
            ),
            format!("证书已于 {} 过期（本机时钟为 {}），请更新", validity.not_after, clock(now)),
        ));
    }
    Ok((not_before, not_after))
}

fn clock(now: UnixTime) -> String {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    x509_parser::time::ASN1Time::from_timestamp(seconds).map(|time| time.to_string()).unwrap_or_default()
}
