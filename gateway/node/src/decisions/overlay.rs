//! What officers decided beside the configuration's files, and what those files say.

use crate::config;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use xinqiao_certs::Role;

/// Decisions of officers, laid over the files. All of them, not a difference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overlay {
    /// Members put or, as nothing, removed; by name.
    pub members: BTreeMap<String, Option<config::Member>>,
    /// Members let in no longer.
    pub suspended: BTreeSet<String>,
    /// Trust anchors put or, as nothing, removed; by the certificate's SHA-256, hexadecimal.
    pub anchors: BTreeMap<String, Option<OverlayAnchor>>,
    /// Members and anchors that were adopted from the configuration earlier: in force instead of what the files say now.
    pub base: Option<FileSet>,
}

/// A trust anchor and what it may vouch for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverlayAnchor {
    /// What people call it.
    pub name: String,
    /// One certificate, PEM.
    pub pem: String,
    /// Trust domains it may assert.
    pub domains: Vec<String>,
    /// Roles it may assert.
    pub roles: Vec<Role>,
}

/// Members and anchors as the configuration and the files it names give them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSet {
    /// Members, in the order of the file.
    pub members: Vec<config::Member>,
    /// Anchors by the certificate's SHA-256, hexadecimal.
    pub anchors: BTreeMap<String, OverlayAnchor>,
}

impl Overlay {
    /// The members in force on top of what the files say.
    pub fn members(&self, files: &FileSet) -> Vec<config::Member> {
        let base = self.base.as_ref().unwrap_or(files);
        let put = self.members.values().flatten().cloned();
        let kept = base.members.iter().filter(|m| !self.members.contains_key(&m.name)).cloned();
        let mut members: Vec<config::Member> = kept.chain(put).collect();
        for member in &mut members {
            member.suspended |= self.suspended.contains(&member.name);
        }
        members
    }

    /// The anchors in force on top of what the files say.
    pub fn anchors(&self, files: &FileSet) -> BTreeMap<String, OverlayAnchor> {
        let mut anchors = self.base.as_ref().unwrap_or(files).anchors.clone();
        for (digest, anchor) in &self.anchors {
            match anchor {
                Some(anchor) => anchors.insert(digest.clone(), anchor.clone()),
                None => anchors.remove(digest),
            };
        }
        anchors
    }

    /// Whether an officer removed this member.
    pub fn removed(&self, member: &str) -> bool {
        self.members.get(member).is_some_and(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> config::Member {
        config::Member {
            name: name.into(),
            role: Role::Recipient,
            trust_domain: None,
            suspended: false,
            bindings: Vec::new(),
            title: String::new(),
            source: None,
        }
    }

    fn anchor(name: &str) -> OverlayAnchor {
        OverlayAnchor { name: name.into(), pem: String::new(), domains: Vec::new(), roles: Vec::new() }
    }

    #[test]
    fn acts_lie_over_files_and_a_base_replaces_them() {
        let files = FileSet {
            members: vec![member("a"), member("b")],
            anchors: BTreeMap::from([("01".to_owned(), anchor("one"))]),
        };
        let mut overlay = Overlay::default();
        overlay.members.insert("b".into(), None);
        overlay.members.insert("c".into(), Some(member("c")));
        overlay.suspended.insert("a".into());
        overlay.anchors.insert("01".into(), None);
        overlay.anchors.insert("02".into(), Some(anchor("two")));
        let names = |overlay: &Overlay| -> Vec<(String, bool)> {
            overlay.members(&files).into_iter().map(|m| (m.name, m.suspended)).collect()
        };
        assert_eq!(names(&overlay), [("a".to_owned(), true), ("c".to_owned(), false)]);
        assert_eq!(overlay.anchors(&files).into_keys().collect::<Vec<_>>(), ["02"]);
        assert!(overlay.removed("b") && !overlay.removed("c") && !overlay.removed("a"));
        overlay.base = Some(FileSet { members: vec![member("d")], anchors: BTreeMap::new() });
        assert_eq!(names(&overlay), [("d".to_owned(), false), ("c".to_owned(), false)]);
        let text = serde_json::to_string(&overlay).unwrap();
        assert_eq!(serde_json::from_str::<Overlay>(&text).unwrap(), overlay);
    }
}
