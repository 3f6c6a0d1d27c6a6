//! What members and trust would be afterwards that they are not now, in words.

use super::InForce;
use crate::officers::Difference;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use xinqiao_exchange::governance::Act;
use xinqiao_node::config::Member;
use xinqiao_node::decisions::{FileSet, OverlayAnchor};

fn said(en: String, zh: String) -> Difference {
    Difference { en, zh }
}

impl InForce {
    /// What taking over these files would change of what is in force.
    pub(super) fn with_files(&self, files: &FileSet) -> Vec<Difference> {
        let mut next = self.adopted.trust.clone();
        next.base = Some(files.clone());
        let now = &self.adopted.trust;
        let mut all = members(&now.members(&self.files), &next.members(files));
        all.extend(anchors(&now.anchors(&self.files), &next.anchors(files)));
        all
    }

    /// The same of acts that take files over; `document` finds the files that a digest names.
    pub(super) fn differences(
        &self,
        acts: &[Act],
        document: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Vec<Difference> {
        let one = |act: &Act| match act {
            Act::AdoptFiles { digest } => serde_json::from_slice::<FileSet>(&document(digest)?).ok(),
            _ => None,
        };
        acts.iter().filter_map(one).flat_map(|files| self.with_files(&files)).collect()
    }
}

fn members(old: &[Member], new: &[Member]) -> Vec<Difference> {
    let by_name =
        |all: &[Member]| all.iter().map(|m| (m.name.clone(), m.clone())).collect::<BTreeMap<_, _>>();
    let (old, new) = (by_name(old), by_name(new));
    let mut all = Vec::new();
    for (name, member) in &new {
        let role = member.role;
        let Some(before) = old.get(name) else {
            let (en, zh) = if member.suspended { (", suspended", "，已停用") } else { ("", "") };
            all.push(said(
                format!("member {name} is added ({role}{en})"),
                format!("新增成员 {name}（{role}{zh}）"),
            ));
            continue;
        };
        match (before.suspended, member.suspended) {
            (false, true) => {
                all.push(said(format!("member {name} is suspended"), format!("停用成员 {name}")));
            }
            (true, false) => {
                all.push(said(format!("member {name} is let in again"), format!("恢复成员 {name}")));
            }
            _ => {}
        }
        for (field, from, to) in fields(before, member, "suspended") {
            all.push(said(
                format!("member {name}: {field} was {from}, becomes {to}"),
                format!("成员 {name}：{field} 由 {from} 改为 {to}"),
            ));
        }
    }
    for (name, member) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        let role = member.role;
        all.push(said(format!("member {name} is removed ({role})"), format!("删除成员 {name}（{role}）")));
    }
    all
}

fn anchors(old: &BTreeMap<String, OverlayAnchor>, new: &BTreeMap<String, OverlayAnchor>) -> Vec<Difference> {
    let mut all = Vec::new();
    for (digest, anchor) in new {
        let name = &anchor.name;
        let (domains, roles) = (anchor.domains.join(", "), words(&anchor.roles));
        let Some(before) = old.get(digest) else {
            all.push(said(
                format!("trust anchor {name} is added for {domains}; {roles} (SHA-256 {digest})"),
                format!("新增信任锚 {name}，信任域 {domains}，角色 {roles}（SHA-256 {digest}）"),
            ));
            continue;
        };
        for (field, from, to) in fields(before, anchor, "pem") {
            all.push(said(
                format!("trust anchor {name}: {field} was {from}, becomes {to}"),
                format!("信任锚 {name}：{field} 由 {from} 改为 {to}"),
            ));
        }
    }
    for (digest, anchor) in old.iter().filter(|(digest, _)| !new.contains_key(*digest)) {
        let name = &anchor.name;
        all.push(said(
            format!("trust anchor {name} is removed (SHA-256 {digest})"),
            format!("删除信任锚 {name}（SHA-256 {digest}）"),
        ));
    }
    all
}

fn words(roles: &[xinqiao_certs::Role]) -> String {
    roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The fields that differ, with both values.
fn fields<T: Serialize>(old: &T, new: &T, besides: &str) -> Vec<(String, String, String)> {
    let object = |value: &T| match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (object(old), object(new));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).filter(|name| *name != besides).collect();
    names.sort();
    names.dedup();
    let text = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), Value::to_string);
    let differ = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    differ.map(|name| (name.clone(), text(old.get(name)), text(new.get(name)))).collect()
}
