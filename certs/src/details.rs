//! What a certificate says, for tables and officers.

use rustls_pki_types::CertificateDer;
use serde::Serialize;
use std::net::IpAddr;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{X509Certificate, X509Name};
use x509_parser::public_key::PublicKey;
use xinqiao_crypto::{hex, sha256};

use crate::certificate;
use crate::member::parse_uri;
use crate::renewal::RenewalPlan;
use crate::role::Role;
use crate::trouble::unusable;
use xinqiao_explain::Explanation;

/// A certificate in words. Nothing here is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Details {
    /// The subject's distinguished name, for people.
    pub subject: String,
    /// The issuer's.
    pub issuer: String,
    /// organizationIdentifier of the subject: the unified social credit code.
    pub uscc: Option<String>,
    /// The serial number, lower-case hexadecimal.
    pub serial: String,
    /// First second of validity, since 1970.
    pub not_before: u64,
    /// Last second of validity, since 1970.
    pub not_after: u64,
    /// Host names.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
    /// URIs; the SPIFFE URI is among them.
    pub uris: Vec<String>,
    /// Such as `ECDSA P-256` or `RSA 2048`.
    pub key: String,
    /// May it issue others?
    pub authority: bool,
    /// Did it issue itself?
    pub self_issued: bool,
    /// SHA-256 of the certificate, lower-case hexadecimal.
    pub sha256: String,
    /// SHA-256 of its public key, as a binding by public key wants it.
    pub public_key: String,
}

impl Details {
    /// Reads them.
    pub fn of(der: &CertificateDer<'_>) -> Result<Self, Explanation> {
        let parsed = certificate::parse(der).ok_or_else(|| {
            unusable(
                "certificate.malformed",
                "certificate",
                "is not a readable X.509 certificate; export it again as PEM",
                "不是可读的 X.509 证书，请重新导出为 PEM",
            )
        })?;
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        let mut details = Self {
            subject: name(parsed.subject()),
            issuer: name(parsed.issuer()),
            uscc: certificate::subject_attribute(&parsed, "2.5.4.97"),
            serial: hex::encode(parsed.tbs_certificate.raw_serial()),
            not_before: seconds(parsed.validity().not_before),
            not_after: seconds(parsed.validity().not_after),
            dns: Vec::new(),
            ips: Vec::new(),
            uris: Vec::new(),
            key: key(&parsed),
            authority: parsed.is_ca(),
            self_issued: parsed.subject().as_raw() == parsed.issuer().as_raw(),
            sha256: hex::encode(&sha256(der)),
            public_key: certificate::PublicKeyPin::of_parsed(&parsed).to_string(),
        };
        if let Ok(Some(names)) = parsed.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::DNSName(dns) => details.dns.push((*dns).to_owned()),
                    GeneralName::URI(uri) => details.uris.push((*uri).to_owned()),
                    GeneralName::IPAddress(bytes) => details.ips.extend(address(bytes)),
                    _ => {}
                }
            }
        }
        Ok(details)
    }

    /// The trust domain, role and name of its SPIFFE URI, if it carries one of this project's.
    pub fn member(&self) -> Option<(&str, Role, &str)> {
        self.uris.iter().find_map(|uri| parse_uri(uri))
    }

    /// When it is due for renewal.
    pub fn plan(&self) -> RenewalPlan {
        let digest = hex::decode_array(&self.sha256).expect("a digest in hexadecimal");
        RenewalPlan::new(self.not_before, self.not_after, &digest)
    }

    /// Every certificate of a PEM text, in order.
    pub fn read(place: &str, text: &[u8]) -> Result<Vec<Self>, Explanation> {
        certificate::from_pem(place, text)?.iter().map(Self::of).collect()
    }
}

pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// As people write it; x509-parser does not know this attribute's name.
fn name(name: &X509Name<'_>) -> String {
    name.to_string().replace("OID(2.5.4.97)", "organizationIdentifier")
}

fn key(certificate: &X509Certificate<'_>) -> String {
    let algorithm = certificate.public_key().algorithm.algorithm.to_id_string();
    match (certificate.public_key().parsed(), algorithm.as_str()) {
        (Ok(PublicKey::RSA(key)), _) => format!("RSA {}", key.key_size()),
        (_, "1.2.840.10045.2.1") => certificate::curve_name(certificate),
        (_, "1.3.101.112") => "Ed25519".into(),
        (_, other) => other.to_owned(),
    }
}
