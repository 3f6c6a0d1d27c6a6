//! Trust anchors and what each may vouch for.

use rustls_pki_types::{CertificateDer, UnixTime};
use serde::Deserialize;
use std::fmt;
use std::path::Path;

use crate::certificate;
use crate::file::read;
use crate::role::Role;
use crate::trouble::unusable;
use xinqiao_explain::Explanation;

/// The trust domains and roles an anchor may assert. Empty lists assert nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorRights {
    /// Such as `xm.example`; compared exactly.
    pub trust_domains: Vec<String>,
    /// The roles of members it may vouch for.
    pub roles: Vec<Role>,
}

impl AnchorRights {
    /// Rights for these domains and roles.
    pub fn new<D: Into<String>>(
        trust_domains: impl IntoIterator<Item = D>,
        roles: impl IntoIterator<Item = Role>,
    ) -> Self {
        Self {
            trust_domains: trust_domains.into_iter().map(Into::into).collect(),
            roles: roles.into_iter().collect(),
        }
    }

    pub(crate) fn cover(&self, trust_domain: &str, role: Role) -> bool {
        self.roles.contains(&role) && self.trust_domains.iter().any(|own| own == trust_domain)
    }
}

/// One trusted certificate under the name operators know it by.
#[derive(Clone)]
pub struct Anchor {
    name: String,
    certificate: CertificateDer<'static>,
    rights: AnchorRights,
}

impl Anchor {
    /// The name it was added under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The certificate itself.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What it may vouch for.
    pub fn rights(&self) -> &AnchorRights {
        &self.rights
    }

    pub(super) fn unusable(&self) -> Explanation {
        unusable(
            "anchor.unusable",
            &self.name,
            "cannot serve as a trust anchor; it must be an X.509 version 3 authority certificate",
            "不能作为信任锚，须为 X.509 v3 的签发机构证书",
        )
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchor")
            .field("name", &self.name)
            .field("rights", &self.rights)
            .finish_non_exhaustive()
    }
}

/// A set of anchors being put together.
#[derive(Debug, Clone, Default)]
pub struct TrustAnchors(Vec<Anchor>);

impl TrustAnchors {
    /// An empty set, which trusts nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds every certificate of a PEM text under one name and one set of rights.
    pub fn add_pem(
        &mut self,
        name: &str,
        text: &[u8],
        rights: AnchorRights,
        now: UnixTime,
    ) -> Result<(), Explanation> {
        for certificate in certificate::from_pem(name, text)? {
            check(name, &certificate, now)?;
            if self.0.iter().any(|a| a.certificate == certificate) {
                return Err(unusable(
                    "anchor.twice",
                    name,
                    "this certificate is already a trust anchor; merge the two entries and their rights",
                    "该证书已是信任锚，请合并两处配置及其权限",
                ));
            }
            self.0.push(Anchor { name: name.to_owned(), certificate, rights: rights.clone() });
        }
        Ok(())
    }

    /// Adds a PEM file; its name is the anchor's.
    pub fn add_file(&mut self, path: &Path, rights: AnchorRights, now: UnixTime) -> Result<(), Explanation> {
        self.add_pem(&path.display().to_string(), &read(path)?, rights, now)
    }

    /// Anchors for verifying servers only: they vouch for no member.
    pub fn for_servers(name: &str, text: &[u8], now: UnixTime) -> Result<Self, Explanation> {
        let mut anchors = Self::new();
        anchors.add_pem(name, text, AnchorRights::default(), now)?;
        Ok(anchors)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Anchor> {
        self.0.iter()
    }

    pub(super) fn as_slice(&self) -> &[Anchor] {
        &self.0
    }

    pub(super) fn into_vec(self) -> Vec<Anchor> {
        self.0
    }
}

fn check(name: &str, der: &CertificateDer<'_>, now: UnixTime) -> Result<(), Explanation> {
    let parsed = certificate::parse(der).expect("from_pem parsed it");
    if let Some((code, en, zh)) = certificate::weakness(&parsed) {
        // A root's own signature proves nothing, so only its key must be strong.
        if code != "certificate.weak-signature" {
            return Err(unusable(code, name, en, zh));
        }
    }
    if !parsed.is_ca() {
        return Err(unusable(
            "anchor.not-an-authority",
            name,
            "is not an authority's certificate (basic constraints do not say CA); name the root or issuing certificate instead",
            "不是签发机构证书（基本约束未标明 CA），请改用根证书或签发证书",
        ));
    }
    let validity = parsed.validity();
    if i128::from(now.as_secs()) > i128::from(validity.not_after.timestamp()) {
        return Err(unusable(
            "anchor.expired",
            name,
            format!("the trust anchor expired at {}; add its successor", validity.not_after),
            format!("信任锚已于 {} 过期，请加入其后继证书", validity.not_after),
        ));
    }
    Ok(())
}
