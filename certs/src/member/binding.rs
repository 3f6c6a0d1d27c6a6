//! How a certificate is recognised as a member's.

use serde::{Deserialize, Serialize};

use super::Member;
use crate::certificate::PublicKeyPin;
use crate::role::Role;
use crate::trouble::unusable;
use xinqiao_explain::Explanation;

/// One way to recognise a member's certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binding {
    /// The only SPIFFE URI in the subject alternative name, exactly.
    Uri(String),
    /// An attribute of the subject, in certificates of one issuer: for authorities that add no URI.
    Subject(SubjectBinding),
    /// The value of an extension, in certificates of one issuer: some government authorities put the credit code there.
    Extension(ExtensionBinding),
    /// One of these public keys. Several, so that the next key can be announced before it is used.
    PublicKeys(Vec<PublicKeyPin>),
}

/// Issuer and subject attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectBinding {
    /// The direct issuer's distinguished name, such as `CN=政务CA,O=示例,C=CN`; the order of its parts does not matter.
    pub issuer: String,
    /// Which attribute.
    pub attribute: Attribute,
    /// Its value, exactly: normally the unified social credit code.
    pub value: String,
}

/// Issuer and extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtensionBinding {
    /// The direct issuer's distinguished name, as in [`SubjectBinding::issuer`].
    pub issuer: String,
    /// Which extension, such as `1.2.156.10260.4.1.1`.
    pub oid: String,
    /// Its text, exactly, whether the authority wrote it as a string, in an octet string or as bare bytes. For what is no
    /// text: `hex:` and the bytes in lower-case hexadecimal.
    pub value: String,
}

/// The subject attributes that carry a unified social credit code in practice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attribute {
    /// organizationIdentifier, 2.5.4.97.
    OrganizationIdentifier,
    /// serialNumber, 2.5.4.5.
    SerialNumber,
}

impl Attribute {
    pub(crate) const ALL: [Attribute; 2] = [Attribute::OrganizationIdentifier, Attribute::SerialNumber];

    pub(crate) fn oid(self) -> &'static str {
        match self {
            Attribute::OrganizationIdentifier => "2.5.4.97",
            Attribute::SerialNumber => "2.5.4.5",
        }
    }
}

pub(crate) fn uri(trust_domain: &str, role: Role, name: &str) -> String {
    format!("spiffe://{trust_domain}/{role}/{name}")
}

/// What a SPIFFE URI of this project says; `None` if it is not one.
pub(crate) fn parse_uri(uri: &str) -> Option<(&str, Role, &str)> {
    let mut parts = uri.strip_prefix("spiffe://")?.split('/');
    let (domain, role, name) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !is_trust_domain(domain) || !is_name(name) {
        return None;
    }
    Some((domain, role.parse().ok()?, name))
}

/// Labels like [`is_name`]'s, separated by dots: the rule of node names in manifests.
pub(crate) fn is_trust_domain(text: &str) -> bool {
    text.len() <= 128 && text.split('.').all(is_name)
}

pub(crate) fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Refuses an entry that could never match, or would match something other than it says.
pub(super) fn check(member: &Member) -> Result<(), Explanation> {
    let place = format!("member {}", member.name);
    if !is_name(&member.name) {
        return Err(unusable(
            "member.name-malformed",
            &place,
            "a member's name is 1 to 63 lower-case letters, digits and inner hyphens",
            "成员名须为 1 至 63 个小写字母、数字或连字符，且不以连字符开头或结尾",
        ));
    }
    if !is_trust_domain(&member.trust_domain) {
        return Err(unusable(
            "member.trust-domain-malformed",
            &place,
            "a trust domain is lower-case letters, digits and inner hyphens in parts separated by dots, such as xm.example",
            "信任域由点分隔的小写字母、数字和连字符组成，例如 xm.example",
        ));
    }
    for binding in &member.bindings {
        match binding {
            Binding::Uri(uri) => {
                let said = parse_uri(uri);
                if said.is_none_or(|(domain, role, _)| domain != member.trust_domain || role != member.role) {
                    return Err(unusable(
                        "member.uri-disagrees",
                        &place,
                        format!(
                            "the URI must read spiffe://{}/{}/<name>, as the member's trust domain and role say",
                            member.trust_domain, member.role
                        ),
                        format!(
                            "URI 须与成员的信任域和角色一致，形如 spiffe://{}/{}/<名称>",
                            member.trust_domain, member.role
                        ),
                    ));
                }
            }
            Binding::Subject(subject) => {
                if comparable_text(&subject.issuer).is_none() || subject.value.is_empty() {
                    return Err(unusable(
                        "member.subject-malformed",
                        &place,
                        "a subject binding needs an issuer such as CN=Example CA,O=Example,C=CN (a comma inside a value is written \\,) and a value",
                        "主题绑定须写明签发者（如 CN=示例CA,O=示例,C=CN，值中的逗号写作 \\,）和属性值",
                    ));
                }
            }
            Binding::Extension(extension) => {
                if comparable_text(&extension.issuer).is_none()
                    || !is_oid(&extension.oid)
                    || extension.value.is_empty()
                {
                    return Err(unusable(
                        "member.extension-malformed",
                        &place,
                        "an extension binding needs an issuer such as CN=Example CA,O=Example,C=CN, an oid such as 1.2.156.10260.4.1.1, and a value",
                        "扩展绑定须写明签发者（如 CN=示例CA,O=示例,C=CN）、OID（如 1.2.156.10260.4.1.1）和值",
                    ));
                }
            }
            Binding::PublicKeys(keys) => {
                if keys.is_empty() {
                    return Err(unusable(
                        "member.no-keys",
                        &place,
                        "a binding by public keys must list at least one",
                        "按公钥绑定时至少须列出一个公钥",
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Numbers separated by dots, written without leading zeros, as certificates' OIDs are compared.
fn is_oid(text: &str) -> bool {
    let number = |part: &str| part.parse::<u64>().is_ok_and(|number| number.to_string() == part);
    text.split('.').count() >= 3 && text.split('.').all(number)
}

/// A distinguished name as an operator writes it, in the form [`crate::certificate::comparable_name`] gives.
pub(super) fn comparable_text(name: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    for part in split_unescaped(name) {
        let (kind, value) = part.trim().split_once('=')?;
        let kind = kind.trim();
        let oid = match kind.to_ascii_lowercase().as_str() {
            "cn" => "2.5.4.3",
            "serialnumber" => "2.5.4.5",
            "c" => "2.5.4.6",
            "l" => "2.5.4.7",
            "st" | "s" => "2.5.4.8",
            "street" => "2.5.4.9",
            "o" => "2.5.4.10",
            "ou" => "2.5.4.11",
            "organizationidentifier" => "2.5.4.97",
            "dc" => "0.9.2342.19200300.100.1.25",
            "e" | "emailaddress" => "1.2.840.113549.1.9.1",
            _ if kind.bytes().all(|b| b.is_ascii_digit() || b == b'.') && kind.contains('.') => kind,
            _ => return None,
        };
        let value = unescape(value.trim());
        if value.is_empty() {
            return None;
        }
        parts.push(format!("{oid}={value}"));
    }
    parts.sort();
    (!parts.is_empty()).then_some(parts)
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut escaped = false;
    for character in text.chars() {
        if character == '\\' && !escaped {
            escaped = true;
        } else {
            out.push(character);
            escaped = false;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_name_in_either_order() {
        let one = comparable_text("CN=政务CA, O=A\\, B, C=CN");
        let other = comparable_text("C=CN,O=A\\, B,CN=政务CA");
        assert!(one.is_some());
        assert_eq!(one, other);
        assert_eq!(comparable_text("CN=x,nonsense"), None);
        assert_eq!(comparable_text("FOO=x"), None);
        assert_eq!(comparable_text(""), None);
    }

    #[test]
    fn refuses_what_is_not_our_uri() {
        assert_eq!(
            parse_uri("spiffe://xm.example/department/health"),
            Some(("xm.example", Role::Department, "health"))
        );
        for bad in [
            "https://xm.example/department/health",
            "spiffe://xm.example/department",
            "spiffe://xm.example/department/health/x",
            "spiffe://xm.example/department/health?x",
            "spiffe://XM.example/department/health",
            "spiffe://xm.example/king/health",
            "spiffe:///department/health",
            "spiffe://a..b/department/health",
            "spiffe://xm.example/department/health-",
            "spiffe://xm.example/department/",
            "spiffe://xm.example/department/he%61lth",
        ] {
            assert_eq!(parse_uri(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn uri_reads_back(domain in "[a-z0-9]{1,9}(\\.[a-z0-9-]{0,9}[a-z0-9]){0,3}".prop_filter("inner hyphens", |d| !d.contains(".-")), name in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", at in 0..Role::ALL.len()) {
            let role = Role::ALL[at];
            let text = uri(&domain, role, &name);
            prop_assert_eq!(parse_uri(&text), Some((domain.as_str(), role, name.as_str())));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = parse_uri(&text);
            let _ = comparable_text(&text);
        }
    }
}
