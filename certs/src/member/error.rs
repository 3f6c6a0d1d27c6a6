//! Why a certificate does not make a member.

use std::fmt;

use crate::role::Role;
use xinqiao_explain::{Explain, Explanation};

/// The peer is not let in, and why. Holds names of members and anchors, never certificate contents beyond a URI.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityError {
    /// No certificate was presented.
    NoCertificate,
    /// The certificate cannot be read.
    Malformed,
    /// Its validity has not begun.
    NotYetValid,
    /// Its validity is over.
    Expired,
    /// Its issuer revoked it.
    Revoked,
    /// Its issuer's revocation list is not here, and the policy demands one.
    StatusUnknown,
    /// Its issuer's revocation list is overdue, and the policy demands a current one.
    StatusStale,
    /// No path to a trust anchor, or a path that breaks a rule; the text is the verifier's.
    Untrusted(String),
    /// It carries several SPIFFE URIs, or one of another shape.
    UriMalformed,
    /// No member is bound to it.
    Unknown {
        /// The SPIFFE URI it carries.
        uri: Option<String>,
    },
    /// Several members are bound to it.
    Ambiguous {
        /// Their names.
        members: Vec<String>,
    },
    /// The member is suspended.
    Suspended {
        /// Its name.
        member: String,
    },
    /// The certificate says another role than the registry.
    RoleMismatch {
        /// The member.
        member: String,
        /// The registry's role.
        registered: Role,
        /// The certificate's.
        presented: Role,
    },
    /// The certificate's URI names another member or domain than the one its binding leads to.
    NameMismatch {
        /// The member.
        member: String,
        /// The certificate's URI.
        uri: String,
    },
    /// The anchor it leads to has no right to vouch for such a member.
    AnchorMayNotAssert {
        /// The anchor.
        anchor: String,
        /// The member's domain.
        trust_domain: String,
        /// The member's role.
        role: Role,
    },
}

impl IdentityError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCertificate => "certificate.missing",
            Self::Malformed => "certificate.malformed",
            Self::NotYetValid => "certificate.not-yet-valid",
            Self::Expired => "certificate.expired",
            Self::Revoked => "certificate.revoked",
            Self::StatusUnknown => "certificate.status-unknown",
            Self::StatusStale => "certificate.status-stale",
            Self::Untrusted(_) => "certificate.untrusted",
            Self::UriMalformed => "certificate.uri-malformed",
            Self::Unknown { .. } => "member.unknown",
            Self::Ambiguous { .. } => "member.ambiguous",
            Self::Suspended { .. } => "member.suspended",
            Self::RoleMismatch { .. } => "member.role-mismatch",
            Self::NameMismatch { .. } => "member.name-mismatch",
            Self::AnchorMayNotAssert { .. } => "certificate.anchor-may-not-assert",
        }
    }

    fn in_english(&self) -> String {
        match self {
            Self::NoCertificate => {
                "no client certificate was presented; configure your certificate and key".into()
            }
            Self::Malformed => "the client certificate cannot be read; request a new one".into(),
            Self::NotYetValid => {
                "the client certificate is not valid yet; check both clocks or wait".into()
            }
            Self::Expired => "the client certificate has expired; renew it".into(),
            Self::Revoked => {
                "the client certificate was revoked; ask the security officer for a new one".into()
            }
            Self::StatusUnknown => {
                "this node has no revocation list of the certificate's issuer; the security officer must load it".into()
            }
            Self::StatusStale => {
                "this node's revocation list of the certificate's issuer is overdue; the security officer must load the next one".into()
            }
            Self::Untrusted(reason) => format!(
                "the client certificate does not lead to an authority this node trusts ({reason}); send the intermediates, or ask the security officer to add the authority"
            ),
            Self::UriMalformed => {
                "the client certificate must carry at most one SPIFFE URI, of the form spiffe://<trust-domain>/<role>/<name>".into()
            }
            Self::Unknown { uri: Some(uri) } => format!(
                "no member is registered for {uri}; ask the security officer to register it"
            ),
            Self::Unknown { uri: None } => {
                "no member is bound to this certificate; ask the security officer to bind it by issuer and subject, or by public key".into()
            }
            Self::Ambiguous { members } => format!(
                "the certificate fits several members ({}); the security officer must leave one binding",
                members.join(", ")
            ),
            Self::Suspended { member } => {
                format!("member {member} is suspended; ask the security officer")
            }
            Self::RoleMismatch { member, registered, presented } => format!(
                "the certificate says role {presented}, but member {member} is registered as {registered}; request a certificate with the registered role"
            ),
            Self::NameMismatch { member, uri } => format!(
                "the certificate is bound to member {member} but carries {uri}; request a certificate in the member's own name"
            ),
            Self::AnchorMayNotAssert { anchor, trust_domain, role } => format!(
                "trust anchor {anchor} may not vouch for a {role} of {trust_domain}; use a certificate of that domain's authority, or have the anchor's rights extended"
            ),
        }
    }

    fn in_chinese(&self) -> String {
        match self {
            Self::NoCertificate => "未出示客户端证书，请配置证书与私钥".into(),
            Self::Malformed => "客户端证书无法读取，请重新申请".into(),
            Self::NotYetValid => "客户端证书尚未生效，请检查双方时钟或等待生效".into(),
            Self::Expired => "客户端证书已过期，请更新".into(),
            Self::Revoked => "客户端证书已被吊销，请联系安全管理员重新签发".into(),
            Self::StatusUnknown => "本节点没有该证书签发者的吊销列表，请安全管理员加载".into(),
            Self::StatusStale => "本节点上该证书签发者的吊销列表已逾期，请安全管理员加载新列表".into(),
            Self::Untrusted(reason) => format!(
                "客户端证书不能追溯到本节点信任的发证机构（{reason}），请一并发送中间证书，或由安全管理员添加该机构"
            ),
            Self::UriMalformed => {
                "客户端证书最多含一个 SPIFFE URI，形如 spiffe://<信任域>/<角色>/<名称>".into()
            }
            Self::Unknown { uri: Some(uri) } => {
                format!("没有登记为 {uri} 的成员，请联系安全管理员登记")
            }
            Self::Unknown { uri: None } => {
                "没有与该证书绑定的成员，请安全管理员按签发者与主题或按公钥绑定".into()
            }
            Self::Ambiguous { members } => {
                format!("该证书同时符合多个成员（{}），请安全管理员只保留一个绑定", members.join("、"))
            }
            Self::Suspended { member } => format!("成员 {member} 已被停用，请联系安全管理员"),
            Self::RoleMismatch { member, registered, presented } => format!(
                "证书角色为 {presented}，而成员 {member} 登记为 {registered}，请申请与登记角色一致的证书"
            ),
            Self::NameMismatch { member, uri } => {
                format!("该证书绑定到成员 {member}，却写明 {uri}，请以该成员自己的名义申请证书")
            }
            Self::AnchorMayNotAssert { anchor, trust_domain, role } => format!(
                "信任锚 {anchor} 无权为 {trust_domain} 的 {role} 作证，请使用该信任域机构签发的证书，或扩展该信任锚的权限"
            ),
        }
    }

    pub(crate) fn from_path(error: webpki::Error) -> Self {
        match error {
            webpki::Error::CertExpired { .. } => Self::Expired,
            webpki::Error::CertNotValidYet { .. } => Self::NotYetValid,
            webpki::Error::CertRevoked => Self::Revoked,
            webpki::Error::UnknownRevocationStatus => Self::StatusUnknown,
            webpki::Error::CrlExpired { .. } => Self::StatusStale,
            webpki::Error::BadDer => Self::Malformed,
            other => Self::Untrusted(other.to_string()),
        }
    }
}

impl Explain for IdentityError {
    fn explain(&self) -> Explanation {
        Explanation::new(self.code(), self.in_english(), self.in_chinese())
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.in_english(), self.code())
    }
}

impl std::error::Error for IdentityError {}
