//! Trying an identity against the verifier its peers will use, before it goes live.

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, Error};

use super::Identity;
use crate::certificate;
use crate::details::Details;
use crate::member::parse_uri;
use crate::role::Role;
use crate::trouble::unusable;
use crate::trust::Trust;
use xinqiao_explain::Explanation;

const PLACE: &str = "certificate chain";

impl Identity {
    /// Whether peers that trust `trust` would accept it from a server they dial under `names`.
    pub fn check_as_server(&self, trust: &Trust, names: &[&str], now: UnixTime) -> Result<(), Explanation> {
        Self::check_path_as_server(self.chain(), trust, now)?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        if names.is_empty() {
            return Ok(());
        }
        fits(&self.chain()[0], &names)
    }

    /// Whether peers that trust `trust` would accept it from a client.
    pub fn check_as_client(&self, trust: &Trust, now: UnixTime) -> Result<(), Explanation> {
        Self::check_path_as_client(self.chain(), trust, now)
    }

    /// The same, and whether it says this domain and role, and this name if one is given.
    pub fn check_as_member(
        &self,
        trust: &Trust,
        trust_domain: &str,
        role: Role,
        name: Option<&str>,
        now: UnixTime,
    ) -> Result<(), Explanation> {
        Details::of(&self.chain()[0])?.check_member(Some(trust_domain), role, name)?;
        self.check_as_client(trust, now)
    }

    pub(crate) fn check_path_as_server(
        chain: &[CertificateDer<'_>],
        trust: &Trust,
        now: UnixTime,
    ) -> Result<(), Explanation> {
        trust.server(chain, now).map_err(|error| explain(&error, chain, trust, "server", "服务端"))
    }

    pub(crate) fn check_path_as_client(
        chain: &[CertificateDer<'_>],
        trust: &Trust,
        now: UnixTime,
    ) -> Result<(), Explanation> {
        let led = trust.client_anchor(chain, now).map(drop);
        led.map_err(|error| explain(&error, chain, trust, "client", "客户端"))
    }
}

impl Trust {
    /// Whether this chain, which a server presented, is still good. Its name was checked when it was dialled.
    pub fn check_server(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Explanation> {
        Identity::check_path_as_server(chain, self, now)
    }
}

impl Details {
    /// Whether peers may dial the certificate under every one of these names.
    pub fn check_server(&self, names: &[String]) -> Result<(), Explanation> {
        if self.dns.is_empty() && self.ips.is_empty() {
            return Err(unusable(
                "identity.no-name",
                PLACE,
                "a server's certificate must carry the DNS name or IP address peers dial among its subject alternative names, and this one carries none; request it again with --dns or --ip",
                "服务端证书的主题备用名称须含对端所用的域名或 IP 地址，该证书一个也没有，请带 --dns 或 --ip 重新申请",
            ));
        }
        match names.iter().find(|name| !self.is_for(name)) {
            Some(name) => Err(self.wrong_name(name)),
            None => Ok(()),
        }
    }

    /// Whether it says this member.
    pub fn check_member(
        &self,
        trust_domain: Option<&str>,
        role: Role,
        name: Option<&str>,
    ) -> Result<(), Explanation> {
        let spiffe: Vec<&String> = self.uris.iter().filter(|uri| uri.starts_with("spiffe:")).collect();
        let [uri] = spiffe.as_slice() else {
            return Err(unusable(
                "identity.no-uri",
                PLACE,
                format!(
                    "carries {} SPIFFE URIs where one is expected; request it again with spiffe://<trust-domain>/{role}/<name>, or have the member bound by issuer and subject, extension or public key",
                    spiffe.len()
                ),
                format!(
                    "含有 {} 个 SPIFFE URI，应恰为一个；请以 spiffe://<信任域>/{role}/<名称> 重新申请，或将成员按签发者与主题、扩展或公钥绑定",
                    spiffe.len()
                ),
            ));
        };
        let wrong = |code, en: String, zh: String| Err(unusable(code, PLACE, en, zh));
        let Some((own_domain, own_role, own_name)) = parse_uri(uri) else {
            return wrong(
                "identity.uri-malformed",
                format!(
                    "carries {uri}, which is not of the form spiffe://<trust-domain>/<role>/<name>; request it again"
                ),
                format!("所含 {uri} 不符合 spiffe://<信任域>/<角色>/<名称>，请重新申请"),
            );
        };
        if own_role != role {
            return wrong(
                "identity.other-role",
                format!(
                    "is for the role {own_role}, not {role}; use the certificate of that role, or request one"
                ),
                format!("证书角色为 {own_role} 而非 {role}，请使用或申请相应角色的证书"),
            );
        }
        if let Some(domain) = trust_domain.filter(|domain| *domain != own_domain) {
            return wrong(
                "identity.other-domain",
                format!(
                    "is of the trust domain {own_domain}, not {domain}; request one from that domain's authority"
                ),
                format!("证书属于信任域 {own_domain} 而非 {domain}，请向该信任域的机构申请"),
            );
        }
        if let Some(name) = name.filter(|name| *name != own_name) {
            return wrong(
                "identity.other-member",
                format!("is for {own_name}, not {name}; use that member's own certificate"),
                format!("证书属于 {own_name} 而非 {name}，请使用该成员自己的证书"),
            );
        }
        Ok(())
    }

    fn is_for(&self, name: &str) -> bool {
        if let Ok(address) = name.parse::<std::net::IpAddr>() {
            return self.ips.contains(&address);
        }
        self.dns.iter().any(|own| match own.strip_prefix("*.") {
            Some(suffix) => name
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(suffix)),
            None => own.eq_ignore_ascii_case(name),
        })
    }

    fn wrong_name(&self, name: &str) -> Explanation {
        let own = self.dns.iter().cloned().chain(self.ips.iter().map(ToString::to_string));
        let own = own.collect::<Vec<_>>().join(", ");
        unusable(
            "identity.wrong-name",
            PLACE,
            format!(
                "the certificate is not for {name} but for {own}; request one with this name in its subject alternative names"
            ),
            format!("证书不适用于 {name}，只适用于 {own}，请申请在主题备用名称中含该名称的证书"),
        )
    }
}

/// By webpki's rules, which peers apply.
fn fits(leaf: &CertificateDer<'_>, names: &[String]) -> Result<(), Explanation> {
    let details = Details::of(leaf)?;
    details.check_server(&[])?;
    let parsed = EndEntityCert::try_from(leaf).ok();
    for name in names {
        let fits = ServerName::try_from(name.as_str()).is_ok_and(|name| {
            parsed.as_ref().is_some_and(|leaf| leaf.verify_is_valid_for_subject_name(&name).is_ok())
        });
        if !fits {
            return Err(details.wrong_name(name));
        }
    }
    Ok(())
}

fn explain(
    error: &Error,
    chain: &[CertificateDer<'_>],
    trust: &Trust,
    usage: &str,
    usage_zh: &str,
) -> Explanation {
    let (code, en, zh) = match error {
        Error::UnknownIssuer => return not_led(chain, trust),
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => (
            "identity.wrong-usage",
            format!("the certificate may not be used by a {usage}; request one with that extended key usage"),
            format!("证书不能用于{usage_zh}，请申请含相应扩展密钥用法的证书"),
        ),
        Error::CertRevoked => (
            "identity.revoked",
            "the certificate, or one above it, was revoked; request a new one".into(),
            "证书或其上级证书已被吊销，请重新申请".into(),
        ),
        Error::NameConstraintViolation => (
            "identity.name-constraints",
            "an authority above may not issue for a name this certificate carries (name constraints); request it without that name, or from another authority".into(),
            "证书含有上级机构无权签发的名称（名称约束），请去掉该名称重新申请，或改由其他机构签发".into(),
        ),
        Error::PathLenConstraintViolated | Error::EndEntityUsedAsCa => (
            "identity.not-an-issuer",
            "a certificate in the chain may not issue others as it does there; send the authority's own chain".into(),
            "证书链中有证书无权签发下级证书，请使用发证机构提供的证书链".into(),
        ),
        Error::UnsupportedCriticalExtension => (
            "certificate.unknown-critical-extension",
            "a certificate in the chain has a critical extension peers cannot honour; ask the authority for one without it".into(),
            "证书链中有证书含无法识别的关键扩展，请向发证机构申请不含该扩展的证书".into(),
        ),
        Error::CertExpired { .. } => (
            "identity.issuer-expired",
            "a certificate of the chain has expired; fetch the authority's present chain".into(),
            "证书链中有证书已过期，请获取发证机构现行的证书链".into(),
        ),
        Error::CertNotValidYet { .. } => (
            "identity.issuer-not-yet-valid",
            "a certificate of the chain is not valid yet; check this machine's clock, or wait".into(),
            "证书链中有证书尚未生效，请检查本机时钟或等待生效".into(),
        ),
        Error::UnknownRevocationStatus => (
            "identity.status-unknown",
            "there is no revocation list of an issuer in the chain, and the policy demands one; load it".into(),
            "缺少证书链中某签发者的吊销列表，而策略要求必须有，请加载".into(),
        ),
        Error::CrlExpired { .. } => (
            "identity.status-stale",
            "the revocation list of an issuer in the chain is overdue; load the next one".into(),
            "证书链中某签发者的吊销列表已逾期，请加载新的列表".into(),
        ),
        other => (
            "identity.not-accepted",
            format!("peers would not accept the chain ({other}); request a new certificate"),
            format!("对端不会接受该证书链（{other}），请重新申请证书"),
        ),
    };
    unusable(code, PLACE, en, zh)
}

/// Why no anchor is reached: where the chain ends, and whether an anchor of that name is there.
fn not_led(chain: &[CertificateDer<'_>], trust: &Trust) -> Explanation {
    let parsed: Vec<_> = chain.iter().filter_map(certificate::parse).collect();
    let Some(top) = parsed.last() else {
        return unusable("certificate.malformed", PLACE, "cannot be read", "无法读取");
    };
    let issuer = top.issuer();
    let named = trust
        .anchors()
        .iter()
        .filter_map(|anchor| certificate::parse(anchor.certificate()))
        .any(|anchor| anchor.subject().as_raw() == issuer.as_raw());
    let (code, en, zh) = if named {
        (
            "identity.other-issuer-key",
            format!(
                "the trust anchor {issuer} bears the issuer's name but did not sign the chain; the authority has another key now: add its present certificate as an anchor beside the old one"
            ),
            format!(
                "信任锚 {issuer} 与签发者同名但并未签发该证书链，发证机构已更换密钥，请将其现行证书一并加入信任锚"
            ),
        )
    } else if top.subject().as_raw() == issuer.as_raw() {
        (
            "identity.not-trusted",
            format!(
                "the chain ends at {issuer}, which is not a trust anchor; add it as one, or use a certificate of a trusted authority"
            ),
            format!("证书链止于 {issuer}，该机构不是信任锚，请将其加入信任锚，或使用受信任机构签发的证书"),
        )
    } else {
        (
            "identity.missing-intermediate",
            format!(
                "the chain does not lead to a trust anchor: the certificate of {issuer} is missing; append it to the chain if it is an intermediate, or add it as a trust anchor if it is a root"
            ),
            format!(
                "证书链不能追溯到信任锚：缺少 {issuer} 的证书；若为中间证书请补入证书链，若为根证书请加入信任锚"
            ),
        )
    };
    unusable(code, PLACE, en, zh)
}
