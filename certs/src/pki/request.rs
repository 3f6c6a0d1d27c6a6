//! Certificate requests (PKCS#10): made with a new key, and read again by the authority that answers them.

use rcgen::{IsCa, KeyPair, KeyUsagePurpose};
use std::fmt;
use std::net::IpAddr;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509CertificationRequest};
use x509_parser::public_key::PublicKey;
use zeroize::Zeroizing;

use super::authority::{Authority, Request, Signed, Validity, check_name, lf, named_params};
use super::cannot_make;
use crate::certificate::PublicKeyPin;
use crate::details;
use crate::member::parse_uri;
use crate::role::Role;
use xinqiao_explain::Explanation;

/// A new key (ECDSA P-256) and the request for its certificate.
pub struct KeyRequest {
    request_pem: String,
    key_pem: Zeroizing<String>,
}

impl KeyRequest {
    /// Makes both. The validity of `request` is the authority's to decide and is not asked for.
    pub fn create(request: &Request<'_>) -> Result<Self, Explanation> {
        check_name(request)?;
        let key = KeyPair::generate().map_err(cannot_make)?;
        let mut params = named_params(request)?;
        params.is_ca = IsCa::NoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let made = params.serialize_request(&key).map_err(cannot_make)?;
        let request_pem =
            pem::encode_config(&pem::Pem::new("CERTIFICATE REQUEST", made.der().to_vec()), lf());
        Ok(Self { request_pem, key_pem: Zeroizing::new(key.serialize_pem()) })
    }

    /// For the authority.
    pub fn request_pem(&self) -> &str {
        &self.request_pem
    }

    /// The private key, PKCS#8. Secret: it never leaves this machine.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }
}

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRequest").field("key", &"redacted").finish_non_exhaustive()
    }
}

/// What somebody asks an authority for. Its signature was checked, so that the asker has the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningRequest {
    public_key: Vec<u8>,
    /// The SPIFFE URI's domain, role and name, if it carries one of this project's.
    pub member: Option<(String, Role, String)>,
    /// organizationIdentifier of the subject.
    pub uscc: Option<String>,
    /// Host names.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
    /// The subject, for people.
    pub subject: String,
}

impl SigningRequest {
    /// Reads a request in PEM or DER.
    pub fn read(place: &str, bytes: &[u8]) -> Result<Self, Explanation> {
        let malformed = || {
            Explanation::new(
                "request.malformed",
                format!("{place}: is not a certificate request (PKCS#10) in PEM or DER; make it again"),
                format!("{place}：不是 PEM 或 DER 格式的证书请求（PKCS#10），请重新生成"),
            )
        };
        let der = match bytes.first() {
            Some(&crate::der::SEQUENCE) => bytes.to_vec(),
            _ => pem::parse_many(bytes)
                .ok()
                .and_then(|blocks| blocks.into_iter().find(|b| b.tag().ends_with("CERTIFICATE REQUEST")))
                .ok_or_else(malformed)?
                .into_contents(),
        };
        let (_, parsed) = X509CertificationRequest::from_der(&der).map_err(|_| malformed())?;
        parsed.verify_signature().map_err(|_| {
            Explanation::new(
                "request.signature",
                format!("{place}: is not signed with the key it asks a certificate for; make it again"),
                format!("{place}：签名与所申请的公钥不符，请重新生成"),
            )
        })?;
        let info = &parsed.certification_request_info;
        check_key(place, &info.subject_pki)?;
        let mut request = Self {
            public_key: info.subject_pki.raw.to_vec(),
            member: None,
            uscc: None,
            dns: Vec::new(),
            ips: Vec::new(),
            subject: info.subject.to_string(),
        };
        for attribute in info.subject.iter_attributes() {
            if attribute.attr_type().to_id_string() == "2.5.4.97" {
                request.uscc = attribute.as_str().ok().map(str::to_owned);
            }
        }
        for extension in parsed.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension {
                request.names(&names.general_names);
            }
        }
        Ok(request)
    }

    fn names(&mut self, names: &[GeneralName<'_>]) {
        for name in names {
            match name {
                GeneralName::DNSName(dns) => self.dns.push((*dns).to_owned()),
                GeneralName::IPAddress(bytes) => self.ips.extend(details::address(bytes)),
                GeneralName::URI(uri) => {
                    if let Some((domain, role, name)) = parse_uri(uri) {
                        self.member = Some((domain.to_owned(), role, name.to_owned()));
                    }
                }
                _ => {}
            }
        }
    }

    /// The request as it would be granted in full; `None` if it names no member.
    pub fn as_request(&self, validity: Validity) -> Option<Request<'_>> {
        let (domain, role, name) = self.member.as_ref()?;
        let mut request = Request::new(*role, domain, name, validity);
        request.uscc = self.uscc.as_deref();
        request.dns.clone_from(&self.dns);
        request.ips.clone_from(&self.ips);
        Some(request)
    }

    /// The pin of its key.
    pub fn pin(&self) -> PublicKeyPin {
        PublicKeyPin::of_key(&self.public_key)
    }
}

impl Authority {
    /// A certificate for the key of a request. What it says is `request`'s, not the signing request's: the caller decides.
    pub fn sign(&self, request: &Request<'_>, signing: &SigningRequest) -> Result<Signed, Explanation> {
        self.sign_key(request, &signing.public_key)
    }
}

fn check_key(place: &str, key: &x509_parser::prelude::SubjectPublicKeyInfo<'_>) -> Result<(), Explanation> {
    let weak = match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => rsa.key_size() < 2048,
        Ok(PublicKey::EC(_)) => !crate::certificate::is_common_curve(key),
        _ => key.algorithm.algorithm.to_id_string() != "1.3.101.112",
    };
    if weak {
        return Err(Explanation::new(
            "request.weak-key",
            format!(
                "{place}: the key must be ECDSA P-256 or P-384, Ed25519, or RSA of at least 2048 bits; make the request again"
            ),
            format!("{place}：密钥须为 ECDSA P-256/P-384、Ed25519 或不少于 2048 位的 RSA，请重新生成请求"),
        ));
    }
    Ok(())
}
