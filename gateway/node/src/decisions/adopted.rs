//! What officers have decided so far, and what an act makes of it.

use super::{FileSet, Overlay, OverlayAnchor};
use crate::config;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xinqiao_certs::Role;
use xinqiao_evidence::Digest;
use xinqiao_exchange::governance::{Act, AnchorEntry, MemberEntry, OfficerRole, Roster};

/// The most characters of an authority's name.
const NAME: usize = 200;
/// The most bytes of a policy. Every decision is kept with all policies that officers put.
const POLICY: usize = 256 << 10;

/// Everything officers have decided, laid over the configuration's files; kept whole as a document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adopted {
    /// Members and trust.
    pub trust: Overlay,
    /// Policies in the place of the catalogue's, TOML by id.
    pub policies: BTreeMap<String, String>,
}

/// An act that cannot be read: what about it, in English and Chinese.
pub type Unusable = (String, String);

impl Adopted {
    /// The document's bytes (RFC 8785) and their digest.
    pub fn bytes(&self) -> (Vec<u8>, Digest) {
        canonical(self)
    }

    /// Everything decided once these acts are in force too.
    pub fn after(&self, acts: &[Act], files: &FileSet) -> Result<Self, Unusable> {
        let mut next = self.clone();
        for act in acts {
            next.take(act, files)?;
        }
        Ok(next)
    }

    fn take(&mut self, act: &Act, files: &FileSet) -> Result<(), Unusable> {
        let trust = &mut self.trust;
        match act {
            Act::MemberPut { member } => {
                // Whom the file's entry suspends stays suspended: letting in again is an act of its own.
                if trust.members(files).iter().any(|m| m.name == member.name && m.suspended) {
                    trust.suspended.insert(member.name.clone());
                }
                trust.members.insert(member.name.clone(), Some(member_of(member)?));
            }
            Act::MemberRemove { name } => {
                trust.members.insert(name.clone(), None);
                trust.suspended.remove(name);
            }
            Act::MemberSuspend { name } => {
                trust.suspended.insert(name.clone());
            }
            Act::MemberResume { name } => {
                trust.suspended.remove(name);
                // The entry itself may say so, in the file or in what an officer put.
                let entry = trust.members(files).into_iter().find(|m| m.name == *name && m.suspended);
                if let Some(entry) = entry {
                    let entry = config::Member { suspended: false, ..entry };
                    trust.members.insert(name.clone(), Some(entry));
                }
            }
            Act::AnchorPut { anchor } => {
                trust.anchors.insert(anchor.digest.clone(), Some(anchor_of(anchor)?));
            }
            Act::AnchorRemove { digest } => {
                trust.anchors.insert(digest.clone(), None);
            }
            Act::PolicyPut { id, document } => {
                self.policies.insert(id.clone(), document.clone());
            }
            Act::AdoptFiles { digest } => {
                // The files may be others by now than those the officers saw.
                if canonical(files).1.to_hex() != *digest {
                    return Err((
                        "the configuration file does not say what this digest names; look at it, and propose it again"
                            .into(),
                        "配置文件的内容与该摘要不符，请核对后重新提出".into(),
                    ));
                }
                trust.base = Some(files.clone());
            }
            Act::KeyRotate { .. } => {}
        }
        Ok(())
    }
}

/// The bytes (RFC 8785) of a document made here, and their digest.
pub fn canonical(document: &impl Serialize) -> (Vec<u8>, Digest) {
    let value = serde_json::to_value(document).expect("documents have string keys and no floats");
    let bytes =
        xinqiao_evidence::jcs::to_jcs(&value).expect("what was read from a configuration is in range");
    let digest = Digest::of(&bytes);
    (bytes, digest)
}

/// Members as the rules about officers look at them.
pub fn roster(members: &[config::Member]) -> Roster {
    let one = |m: &config::Member| {
        (m.name.clone(), OfficerRole { role: m.role.to_string(), suspended: m.suspended })
    };
    Roster(members.iter().map(one).collect())
}

fn member_of(entry: &MemberEntry) -> Result<config::Member, Unusable> {
    let unusable = |e: serde_json::Error| (e.to_string(), format!("成员登记无法读取：{e}"));
    let value = serde_json::to_value(entry).map_err(unusable)?;
    let member: config::Member = serde_json::from_value(value).map_err(unusable)?;
    if !config::is_member_name(&member.name) {
        return Err((
            "a name is 1 to 63 lower-case letters, digits and inner hyphens".into(),
            "名称须为 1 至 63 个小写字母、数字或中间的连字符".into(),
        ));
    }
    if member.suspended {
        return Err((
            "leave out `suspended`; members are suspended by their own act".into(),
            "请去掉 suspended；停用成员请使用专门的操作".into(),
        ));
    }
    if let Some(problem) = config::member_problems(&member).into_iter().next() {
        return Err((problem.clone(), format!("成员登记不可用：{problem}")));
    }
    Ok(member)
}

fn anchor_of(entry: &AnchorEntry) -> Result<OverlayAnchor, Unusable> {
    let roles = entry.roles.iter().map(|r| r.parse::<Role>()).collect::<Result<Vec<_>, _>>();
    let roles = roles.map_err(|e| (e.clone(), format!("角色无法识别：{e}")))?;
    if entry.domains.is_empty() || roles.is_empty() {
        return Err((
            "name the trust domains and the roles it may vouch for".into(),
            "请写明其可作证的信任域与角色".into(),
        ));
    }
    let length = entry.name.chars().count();
    if !(1..=NAME).contains(&length) || entry.name.chars().any(char::is_control) {
        return Err((
            "`name` must be 1 to 200 characters on one line".into(),
            "name 须为 1 至 200 个字符，且不换行".into(),
        ));
    }
    let (name, pem, domains) = (entry.name.clone(), entry.pem.clone(), entry.domains.clone());
    Ok(OverlayAnchor { name, pem, domains, roles })
}

/// The acts as they will be kept: every default filled in, every digest computed and not believed.
pub fn settled(acts: Vec<Act>) -> Result<Vec<Act>, (usize, Unusable)> {
    let one = |(n, act): (usize, Act)| match act {
        Act::MemberPut { member } => {
            let read = member_of(&member).map_err(|why| (n, why))?;
            let value = serde_json::to_value(read).expect("a member has string keys and no floats");
            let member = serde_json::from_value(value).expect("a member has a name and a role");
            Ok(Act::MemberPut { member })
        }
        Act::AnchorPut { mut anchor } => {
            let certificates = xinqiao_certs::certificates("`pem`", anchor.pem.as_bytes())
                .map_err(|e| (n, (e.english(), e.chinese())))?;
            let [certificate] = certificates.as_slice() else {
                let why = ("give exactly one certificate, PEM", "须恰好给出一张 PEM 证书");
                return Err((n, (why.0.into(), why.1.into())));
            };
            let digest = Digest::of(certificate).to_hex();
            if !anchor.digest.is_empty() && anchor.digest != digest {
                let why = ("the digest is not the certificate's; leave it out", "摘要与证书不符，可不填写");
                return Err((n, (why.0.into(), why.1.into())));
            }
            anchor.digest = digest;
            anchor_of(&anchor).map_err(|why| (n, why))?;
            Ok(Act::AnchorPut { anchor })
        }
        Act::PolicyPut { document, .. } if document.len() > POLICY => {
            Err((n, ("a policy has at most 256 KiB".into(), "策略文件不得超过 256 KiB".into())))
        }
        other => Ok(other),
    };
    acts.into_iter().enumerate().map(one).collect()
}
