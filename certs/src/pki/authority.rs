//! Roots, intermediates, leaves and revocation lists.

mod terms;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData,
    RevokedCertParams, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use std::fmt;
use xinqiao_crypto::random;
use zeroize::Zeroizing;

use super::{cannot_make, no_randomness};
use crate::certificate;
use crate::role::Role;
use crate::trust::AnchorRights;
pub use terms::{Reason, Request, Revoked, Signed, Validity};
use xinqiao_explain::Explanation;

/// A certificate just made, with its key.
pub struct Issued {
    chain_pem: String,
    key_pem: Zeroizing<String>,
    chain: Vec<CertificateDer<'static>>,
    key_der: Zeroizing<Vec<u8>>,
    serial: Vec<u8>,
}

impl Issued {
    /// Leaf and intermediates, without the root.
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The private key, PKCS#8. Secret.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Leaf and intermediates.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// For a revocation list.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    pub(super) fn key_der(&self) -> &[u8] {
        &self.key_der
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("certificates", &self.chain.len())
            .field("key", &"redacted")
            .finish_non_exhaustive()
    }
}

/// A root or an issuing authority, with its key in memory.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Own certificate first, then those above it but for the root.
    below_root: Vec<CertificateDer<'static>>,
    own: CertificateDer<'static>,
    root: CertificateDer<'static>,
    trust_domains: Vec<String>,
}

impl Authority {
    /// A new self-signed root that will issue for these trust domains.
    pub fn create_root(name: &str, trust_domains: &[&str], validity: Validity) -> Result<Self, Explanation> {
        let key = KeyPair::generate().map_err(cannot_make)?;
        let params = authority_params(name, validity, BasicConstraints::Constrained(1))?;
        let own = params.self_signed(&key).map_err(cannot_make)?;
        Ok(Self {
            own: own.der().clone(),
            root: own.der().clone(),
            issuer: Issuer::new(params, key),
            below_root: Vec::new(),
            trust_domains: trust_domains.iter().map(|d| (*d).to_owned()).collect(),
        })
    }

    /// An issuing authority below this one.
    pub fn issue_intermediate(&self, name: &str, validity: Validity) -> Result<Self, Explanation> {
        let key = KeyPair::generate().map_err(cannot_make)?;
        let mut params = authority_params(name, validity, BasicConstraints::Constrained(0))?;
        params.use_authority_key_identifier_extension = true;
        let own = params.signed_by(&key, &self.issuer).map_err(cannot_make)?;
        let mut below_root = vec![own.der().clone()];
        below_root.extend(self.below_root.iter().cloned());
        Ok(Self {
            own: own.der().clone(),
            root: self.root.clone(),
            issuer: Issuer::new(params, key),
            below_root,
            trust_domains: self.trust_domains.clone(),
        })
    }

    /// A key and a certificate for one member.
    pub fn issue(&self, request: &Request<'_>) -> Result<Issued, Explanation> {
        self.check(request)?;
        let key = KeyPair::generate().map_err(cannot_make)?;
        let signed = self.certify(request, &key)?;
        Ok(Issued {
            chain_pem: signed.chain_pem,
            key_pem: Zeroizing::new(key.serialize_pem()),
            key_der: Zeroizing::new(key.serialize_der()),
            chain: signed.chain,
            serial: signed.serial,
        })
    }

    /// A certificate for a public key (DER, SubjectPublicKeyInfo) whose owner has proved to hold the private one.
    pub(super) fn sign_key(&self, request: &Request<'_>, key: &[u8]) -> Result<Signed, Explanation> {
        self.check(request)?;
        let key = SubjectPublicKeyInfo::from_der(key).map_err(cannot_make)?;
        self.certify(request, &key)
    }

    fn certify(&self, request: &Request<'_>, key: &impl PublicKeyData) -> Result<Signed, Explanation> {
        let params = leaf_params(request)?;
        let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default();
        let leaf = params.signed_by(key, &self.issuer).map_err(cannot_make)?;
        let mut chain = vec![leaf.der().clone()];
        chain.extend(self.below_root.iter().cloned());
        Ok(Signed { chain_pem: pem_of(&chain), chain, serial })
    }

    /// A signed list of everything this authority revoked, in PEM. `number` must grow from list to list.
    pub fn revocation_list(
        &self,
        number: u64,
        validity: Validity,
        revoked: &[Revoked],
    ) -> Result<String, Explanation> {
        let params = CertificateRevocationListParams {
            this_update: validity.not_before.into(),
            next_update: validity.not_after.into(),
            crl_number: SerialNumber::from_slice(&number.to_be_bytes()),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|entry| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&entry.serial),
                    revocation_time: entry.time.into(),
                    reason_code: Some(terms::code(entry.reason)),
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).map_err(cannot_make)?;
        list.pem().map_err(cannot_make)
    }

    /// Opens an authority again from its files: own certificate first, then those above it, root last.
    pub fn open(chain_pem: &[u8], key_pem: &str, trust_domains: &[&str]) -> Result<Self, Explanation> {
        let unusable = |en: &str| {
            Explanation::new(
                "pki.authority-unusable",
                format!("the authority's files cannot be used: {en}"),
                format!("无法使用该签发机构的文件：{en}"),
            )
        };
        let chain =
            certificate::from_pem("authority", chain_pem).map_err(|error| unusable(&error.english()))?;
        let key = KeyPair::from_pem(key_pem).map_err(cannot_make)?;
        let (own, above) = chain.split_first().expect("from_pem gives at least one");
        let parsed = certificate::parse(own).expect("from_pem parsed it");
        if parsed.public_key().subject_public_key.data.as_ref() != rcgen::PublicKeyData::der_bytes(&key) {
            return Err(unusable("the key does not belong to the first certificate"));
        }
        let issuer = Issuer::from_ca_cert_der(own, key).map_err(cannot_make)?;
        let root = above.last().unwrap_or(own).clone();
        let below_root = chain[..chain.len() - 1].to_vec();
        Ok(Self {
            issuer,
            own: own.clone(),
            root,
            below_root,
            trust_domains: trust_domains.iter().map(|d| (*d).to_owned()).collect(),
        })
    }

    /// The root's certificate in PEM: what others install as a trust anchor.
    pub fn root_pem(&self) -> String {
        pem_of(std::slice::from_ref(&self.root))
    }

    /// Own certificate in PEM.
    pub fn certificate_pem(&self) -> String {
        pem_of(std::slice::from_ref(&self.own))
    }

    /// Own certificate, those above it, root last: what [`Authority::open`] reads.
    pub fn chain_pem(&self) -> String {
        let mut chain = self.below_root.clone();
        chain.push(self.root.clone());
        pem_of(&chain)
    }

    /// The authority's private key, PKCS#8. Secret.
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// Its own last second, since 1970.
    pub fn not_after(&self) -> u64 {
        let own = certificate::parse(&self.own).expect("it was made or parsed here");
        u64::try_from(own.validity().not_after.timestamp()).unwrap_or(0)
    }

    /// The domains it issues for.
    pub fn trust_domains(&self) -> &[String] {
        &self.trust_domains
    }

    /// Rights for its root as an anchor: its own domains and these roles.
    pub fn rights(&self, roles: impl IntoIterator<Item = Role>) -> AnchorRights {
        AnchorRights::new(self.trust_domains.iter().cloned(), roles)
    }

    pub(super) fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    fn check(&self, request: &Request<'_>) -> Result<(), Explanation> {
        if !self.trust_domains.iter().any(|d| d == request.trust_domain) {
            return Err(Explanation::new(
                "pki.domain-not-ours",
                format!("this authority issues for {} only", self.trust_domains.join(", ")),
                format!("该签发机构只为 {} 签发", self.trust_domains.join("、")),
            ));
        }
        check_name(request)?;
        Ok(())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("trust_domains", &self.trust_domains)
            .field("key", &"redacted")
            .finish_non_exhaustive()
    }
}

/// Whether role, domain and name make a URI others can read.
pub(super) fn check_name(request: &Request<'_>) -> Result<(), Explanation> {
    let uri = crate::member::uri(request.trust_domain, request.role, request.name);
    if crate::member::parse_uri(&uri).is_none() {
        return Err(Explanation::new(
            "pki.name-malformed",
            "a member's name is 1 to 63 lower-case letters, digits and hyphens, and a trust domain looks like xm.example",
            "成员名须为 1 至 63 个小写字母、数字或连字符，信任域形如 xm.example",
        ));
    }
    Ok(())
}

fn authority_params(
    name: &str,
    validity: Validity,
    depth: BasicConstraints,
) -> Result<CertificateParams, Explanation> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(depth);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = validity.not_before.into();
    params.not_after = validity.not_after.into();
    params.serial_number = Some(random_serial()?);
    Ok(params)
}

fn leaf_params(request: &Request<'_>) -> Result<CertificateParams, Explanation> {
    let mut params = named_params(request)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let listens = !(request.dns.is_empty() && request.ips.is_empty());
    if listens && matches!(request.role, Role::Node | Role::Relay | Role::Recipient) {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    params.not_before = request.validity.not_before.into();
    params.not_after = request.validity.not_after.into();
    params.serial_number = Some(random_serial()?);
    Ok(params)
}

/// What a leaf and the request for it say alike: subject and alternative names.
pub(super) fn named_params(request: &Request<'_>) -> Result<CertificateParams, Explanation> {
    let text = |value: &str| value.try_into().map_err(cannot_make);
    let uri = crate::member::uri(request.trust_domain, request.role, request.name);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(uscc) = request.uscc {
        let organization_identifier = DnType::CustomDnType(vec![2, 5, 4, 97]);
        params.distinguished_name.push(organization_identifier, uscc);
    }
    params.distinguished_name.push(DnType::CommonName, request.name);
    params.subject_alt_names.push(SanType::URI(text(&uri)?));
    for dns in &request.dns {
        params.subject_alt_names.push(SanType::DnsName(text(dns)?));
    }
    for ip in &request.ips {
        params.subject_alt_names.push(SanType::IpAddress(*ip));
    }
    Ok(params)
}

fn random_serial() -> Result<SerialNumber, Explanation> {
    let mut bytes: [u8; 16] = random::array().map_err(no_randomness)?;
    // Positive, and never with a leading zero that another encoder would drop.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

pub(super) fn pem_of(chain: &[CertificateDer<'_>]) -> String {
    chain.iter().map(|der| pem::encode_config(&pem::Pem::new("CERTIFICATE", der.to_vec()), lf())).collect()
}

pub(super) fn lf() -> pem::EncodeConfig {
    pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)
}
