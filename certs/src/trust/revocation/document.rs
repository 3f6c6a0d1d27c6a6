//! One signed revocation list as a file holds it: read, and refused for the exact reason it cannot be used.

use webpki::{BorrowedCertRevocationList, Error};
use x509_parser::extensions::X509Extension;
use x509_parser::prelude::{CertificateRevocationList, FromDer, SubjectPublicKeyInfo};
use xinqiao_crypto::hex;

use crate::certificate;
use crate::der;
use crate::trouble::unusable;
use xinqiao_explain::Explanation;

/// What the file says; its signature is not verified here.
#[derive(Clone)]
pub(super) struct Document {
    pub(super) kind: Kind,
    pub(super) issuer_raw: Vec<u8>,
    pub(super) issuer: String,
    pub(super) this_update: u64,
    pub(super) next_update: Option<u64>,
    /// Big-endian, without leading zeros.
    pub(super) number: Option<Vec<u8>>,
    /// The issuing distribution point, as it stands there.
    pub(super) scope: Option<Vec<u8>>,
    /// Which of the issuer's keys signed it, as the list says.
    pub(super) key_id: Option<Vec<u8>>,
    pub(super) revoked: Vec<Vec<u8>>,
    /// Taken back from the list (a hold that ended); in deltas only.
    pub(super) removed: Vec<Vec<u8>>,
    pub(super) der: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Complete,
    /// Changes since the complete list of this number.
    Delta {
        base: Vec<u8>,
    },
}

impl Document {
    pub(super) fn read(name: &str, der: Vec<u8>) -> Result<Self, Explanation> {
        // The reader of a delta does not look at the tag: what is taken from PEM must be what is taken from DER, since
        // lists are kept as DER.
        if der.first() != Some(&der::SEQUENCE) {
            return Err(malformed(name));
        }
        let (rest, parsed) = CertificateRevocationList::from_der(&der).map_err(|_| malformed(name))?;
        if !rest.is_empty() {
            return Err(malformed(name));
        }
        let indicator = extension(&parsed, "2.5.29.27");
        let kind = match indicator {
            None => Kind::Complete,
            Some(indicator) => Kind::Delta { base: integer(indicator.value).ok_or_else(|| malformed(name))? },
        };
        match kind {
            Kind::Complete => check_complete(name, &der)?,
            Kind::Delta { .. } => check_delta(name, &parsed)?,
        }
        let number = match extension(&parsed, "2.5.29.20") {
            Some(number) => Some(integer(number.value).ok_or_else(|| malformed(name))?),
            None => None,
        };
        let (mut revoked, mut removed) = (Vec::new(), Vec::new());
        for entry in parsed.iter_revoked_certificates() {
            const REMOVE_FROM_CRL: u8 = 8;
            match entry.reason_code() {
                Some((_, reason)) if reason.0 == REMOVE_FROM_CRL => removed.push(entry.raw_serial().to_vec()),
                _ => revoked.push(entry.raw_serial().to_vec()),
            }
        }
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        Ok(Self {
            kind,
            issuer_raw: parsed.issuer().as_raw().to_vec(),
            issuer: parsed.issuer().to_string(),
            this_update: seconds(parsed.last_update()),
            next_update: parsed.next_update().map(seconds),
            number,
            scope: extension(&parsed, "2.5.29.28").map(|scope| scope.value.to_vec()),
            key_id: extension(&parsed, "2.5.29.35")
                .and_then(|key| certificate::key_id_of_authority(key.value)),
            revoked,
            removed,
            der,
        })
    }

    /// Of one issuer and for the same certificates.
    pub(super) fn same_scope(&self, other: &Self) -> bool {
        self.issuer_raw == other.issuer_raw && self.scope == other.scope
    }

    /// Whether the holder of this key (a DER SubjectPublicKeyInfo) signed it.
    pub(super) fn is_signed_by(&self, key: &[u8]) -> bool {
        let list = CertificateRevocationList::from_der(&self.der);
        let key = SubjectPublicKeyInfo::from_der(key);
        match (list, key) {
            (Ok((_, list)), Ok((_, key))) => list.verify_signature(&key).is_ok(),
            _ => false,
        }
    }

    /// Whether it may be by the key that a certificate calls this: where one of them names no key, the name decides.
    pub(super) fn may_be_by(&self, key_id: Option<&[u8]>) -> bool {
        same_key(self.key_id.as_deref(), key_id)
    }
}

pub(super) fn malformed(name: &str) -> Explanation {
    unusable(
        "crl.malformed",
        name,
        "is not an X.509 revocation list (version 2, with a next update) in PEM or DER; fetch it again",
        "不是 PEM 或 DER 格式的 X.509 吊销列表（第 2 版，含下次更新时间），请重新获取",
    )
}

pub(super) fn delta_alone(name: &str, delta: &Document) -> Explanation {
    unusable(
        "crl.delta-alone",
        name,
        format!(
            "holds only changes (a delta list) to the list of {}; load the complete list of that authority too",
            delta.issuer
        ),
        format!("只含 {} 吊销列表的增量，请同时加载该机构的完整列表", delta.issuer),
    )
}

pub(super) fn delta_of_another_base(name: &str, list: &str, own: &[u8], base: &[u8]) -> Explanation {
    let (own, base) = (hex::encode(own), hex::encode(base));
    unusable(
        "crl.delta-base",
        name,
        format!(
            "the delta list starts from complete list number 0x{base}, but {list} is number 0x{own}; fetch the complete list again"
        ),
        format!("增量列表以完整列表 0x{base} 为基础，而 {list} 的编号为 0x{own}，请重新获取完整列表"),
    )
}

/// Whether two names of keys may mean the same.
pub(super) fn same_key(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// Compares two numbers without leading zeros.
pub(super) fn number_below(one: &[u8], other: &[u8]) -> bool {
    (one.len(), one) < (other.len(), other)
}

fn extension<'a>(list: &'a CertificateRevocationList<'_>, oid: &str) -> Option<&'a X509Extension<'a>> {
    list.extensions().iter().find(|extension| extension.oid.to_id_string() == oid)
}

/// A non-negative INTEGER, without leading zeros.
fn integer(bytes: &[u8]) -> Option<Vec<u8>> {
    let element = der::only(bytes).filter(|element| element.tag == der::INTEGER)?;
    let digits = element.content;
    if digits.first().is_none_or(|first| first & 0x80 != 0) || digits.len() > 21 {
        return None;
    }
    Some(digits[digits.iter().take_while(|digit| **digit == 0).count()..].to_vec())
}

/// webpki knows best what a complete list may hold.
fn check_complete(name: &str, der: &[u8]) -> Result<(), Explanation> {
    let read = BorrowedCertRevocationList::from_der(der);
    let whole = read.and_then(|list| list.into_iter().try_for_each(|entry| entry.map(drop)));
    whole.map_err(|error| match error {
        Error::UnsupportedIndirectCrl => indirect(name),
        Error::UnsupportedCriticalExtension => critical(name, None),
        Error::UnsupportedCrlIssuingDistributionPoint | Error::UnsupportedRevocationReasonsPartitioning => {
            partitioned(name)
        }
        _ => malformed(name),
    })
}

/// The same for a delta, which webpki does not read.
fn check_delta(name: &str, list: &CertificateRevocationList<'_>) -> Result<(), Explanation> {
    const LIST: [&str; 4] = ["2.5.29.20", "2.5.29.27", "2.5.29.28", "2.5.29.35"];
    const ENTRY: [&str; 2] = ["2.5.29.21", "2.5.29.24"];
    const CERTIFICATE_ISSUER: &str = "2.5.29.29";
    const INDIRECT: u8 = 0x84;
    let mut seen = std::collections::BTreeSet::new();
    for extension in list.extensions() {
        let oid = extension.oid.to_id_string();
        if extension.critical && !LIST.contains(&oid.as_str()) {
            return Err(critical(name, Some(&oid)));
        }
        if oid == "2.5.29.28" {
            let mut inside = der::only(extension.value).ok_or_else(|| malformed(name))?.inside();
            while let Some(element) = inside.next() {
                if element.tag == INDIRECT && element.content != [0] {
                    return Err(indirect(name));
                }
            }
        }
        if !seen.insert(oid) {
            return Err(malformed(name));
        }
    }
    for entry in list.iter_revoked_certificates() {
        for extension in entry.extensions() {
            let oid = extension.oid.to_id_string();
            if oid == CERTIFICATE_ISSUER {
                return Err(indirect(name));
            }
            if extension.critical && !ENTRY.contains(&oid.as_str()) {
                return Err(critical(name, Some(&oid)));
            }
        }
    }
    let complete = list.next_update().is_some() && seen.contains("2.5.29.20");
    if complete { Ok(()) } else { Err(malformed(name)) }
}

fn indirect(name: &str) -> Explanation {
    unusable(
        "crl.indirect",
        name,
        "is an indirect list (it speaks for other authorities too), which this node does not take; ask each authority for its own list",
        "是间接吊销列表（兼代其他机构发布），本节点不支持，请向各机构分别获取其列表",
    )
}

fn critical(name: &str, oid: Option<&str>) -> Explanation {
    let oid = oid.map(|oid| format!(" {oid}")).unwrap_or_default();
    unusable(
        "crl.unknown-critical-extension",
        name,
        format!(
            "has a critical extension{oid} this node cannot honour; ask the authority for a list without it"
        ),
        format!("含有本节点无法识别的关键扩展{oid}，请向发证机构索取不含该扩展的列表"),
    )
}

fn partitioned(name: &str) -> Explanation {
    unusable(
        "crl.partitioned",
        name,
        "tells of some certificates or reasons only, in a form this node does not take; ask the authority for its complete list",
        "只覆盖部分证书或部分吊销原因，本节点不支持该形式，请向发证机构获取完整列表",
    )
}
