//! What of a policy decides what leaves, apart from the words around it, and which of two policies lets less out. Lines
//! that wait may leave under another policy than they were made under if theirs was at least as strict.

use std::collections::BTreeMap;

use serde::Serialize;
use xinqiao_crypto::sha256;

use super::{Action, Policy, RecipientKind};
use crate::model::{Audience, SubjectKind};

/// The version of the form of [`Policy::rules`].
const FORM: u8 = 1;

/// Members are declared in alphabetical order, so that serde writes RFC 8785.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Rules<'p> {
    audiences: BTreeMap<&'static str, super::Admission>,
    classes: BTreeMap<&'p str, BTreeMap<&'static str, &'static str>>,
    recipient_kind: RecipientKind,
    reference: &'static str,
    subjects: BTreeMap<&'static str, super::Admission>,
    v: u8,
}

impl Policy {
    /// The rules by themselves, canonical JSON (RFC 8785): everything that a line depends on and nothing else. Id, title,
    /// notes, comments, the order of entries, the statement of a legal basis, and entries that say what holds without
    /// them are not in it.
    pub fn rules(&self) -> Vec<u8> {
        let by_kind = |actions: &[Action; 3]| {
            SubjectKind::ALL.into_iter().map(|kind| (kind.as_str(), actions[kind.index()].name())).collect()
        };
        let said = self.classes.iter().filter(|(_, actions)| actions.iter().any(|a| *a != Action::Drop));
        let rules = Rules {
            audiences: Audience::ALL.into_iter().map(|a| (a.as_str(), self.audience(a))).collect(),
            classes: said.map(|(class, actions)| (&**class, by_kind(actions))).collect(),
            recipient_kind: self.recipient_kind,
            reference: if self.pass_reference { "pass" } else { "drop" },
            subjects: SubjectKind::ALL.into_iter().map(|kind| (kind.as_str(), self.subject(kind))).collect(),
            v: FORM,
        };
        serde_json::to_vec(&rules).expect("rules have string keys and no floats")
    }

    /// SHA-256 of [`Policy::rules`]: two policies with the same digest let the same out.
    pub fn rules_digest(&self) -> [u8; 32] {
        sha256(&self.rules())
    }

    /// Did whatever was made under this policy let out no more than the other would, of fields of these classes? The order
    /// is drop over mask, generalise and pseudonymise over scan over pass, by class and kind of subject; of different
    /// ways of hiding neither is the stricter. Without `classes`, of every class that either names.
    pub fn is_at_least_as_strict_as(&self, other: &Self, classes: Option<&[&str]>) -> bool {
        if self.rules_digest() == other.rules_digest() {
            return true;
        }
        // Publicity ends for the one kind and not for the other, and only authorities are told why: that is decided when a
        // line is made.
        let authority = |policy: &Self| policy.recipient_kind == RecipientKind::Government;
        let named = || self.classes.keys().chain(other.classes.keys()).map(|class| &**class);
        let classes: Vec<&str> = classes.map_or_else(|| named().collect(), <[&str]>::to_vec);
        authority(self) == authority(other)
            && self.pass_reference <= other.pass_reference
            && Audience::ALL.into_iter().all(|a| self.audience(a) >= other.audience(a))
            && SubjectKind::ALL.into_iter().all(|kind| {
                self.subject(kind) >= other.subject(kind)
                    && classes.iter().all(|class| {
                        let action = self.action(class, kind);
                        action.stricter(other.action(class, kind)) == Some(action)
                    })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, CatalogueFile};
    use std::sync::Arc;

    const BASE: &str = r#"
id = "p"
title = { en = "P", zh = "甲" }
recipient-kind = "agency"
reference = "drop"
[audiences]
public = "release"
government = "with-authorisation"
[subjects]
legal-person = "release"
[classes]
public = "pass"
free-text = "scan"
amount = "generalise-amount"
person-id = "mask-id"
"#;

    fn policy(edits: &[(&str, &str)]) -> Arc<Policy> {
        let mut text = BASE.to_owned();
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let file = CatalogueFile { path: "policies/p.toml".into(), text };
        Catalogue::from_files(&[file]).unwrap().policy("p").unwrap().clone()
    }

    #[test]
    fn what_no_line_depends_on_is_not_in_the_rules() {
        let base = policy(&[]);
        for edit in [
            ("reference = \"drop\"", "# a comment\nreference = \"drop\""),
            ("reference = \"drop\"", "note = \"why\""),
            ("zh = \"甲\"", "zh = \"乙\""),
            ("public = \"pass\"\nfree-text = \"scan\"", "free-text = \"scan\"\npublic = \"pass\""),
            ("public = \"pass\"", "public = \"pass\"\ncontact = \"drop\""),
            (
                "public = \"pass\"",
                "public = { legal-person = \"pass\", natural-person = \"pass\", individual-business = \"pass\" }",
            ),
        ] {
            let edited = policy(&[edit]);
            assert_ne!(edited.digest(), base.digest());
            assert_eq!(edited.rules_digest(), base.rules_digest(), "{edit:?}");
        }
        let text = String::from_utf8(base.rules()).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text, "members are sorted");
    }

    #[test]
    fn whoever_lets_less_out_is_the_stricter() {
        let base = policy(&[]);
        for tighter in [
            ("amount = \"generalise-amount\"\n", ""),
            ("amount = \"generalise-amount\"", "amount = \"drop\""),
            ("free-text = \"scan\"", "free-text = \"mask-all\""),
            ("public = \"pass\"", "public = \"scan\""),
            ("person-id = \"mask-id\"", "person-id = \"mask-all\""),
            ("public = \"release\"", "public = \"withhold\""),
            ("public = \"release\"", "public = \"with-authorisation\""),
            ("legal-person = \"release\"", "legal-person = \"withhold\""),
        ] {
            let tight = policy(&[tighter]);
            assert!(tight.is_at_least_as_strict_as(&base, None), "{tighter:?}");
            assert!(!base.is_at_least_as_strict_as(&tight, None), "{tighter:?}");
            assert_ne!(tight.rules_digest(), base.rules_digest());
        }
        let passing = policy(&[("reference = \"drop\"", "reference = \"pass\"")]);
        assert!(
            base.is_at_least_as_strict_as(&passing, None) && !passing.is_at_least_as_strict_as(&base, None)
        );
        // Neither: each shows what the other hides.
        let other = policy(&[("amount = \"generalise-amount\"", "amount = \"pseudonymise\"")]);
        assert!(!base.is_at_least_as_strict_as(&other, None) && !other.is_at_least_as_strict_as(&base, None));
        // What no field has does not matter.
        let amounts = policy(&[("amount = \"generalise-amount\"", "amount = \"pass\"")]);
        assert!(!amounts.is_at_least_as_strict_as(&base, None));
        assert!(amounts.is_at_least_as_strict_as(&base, Some(&["public", "free-text"])));
        let portal = policy(&[("\"agency\"", "\"portal\""), ("government = \"with-authorisation\"\n", "")]);
        assert!(portal.is_at_least_as_strict_as(&base, None), "both are no authorities");
        let authority = policy(&[("\"agency\"", "\"government\"")]);
        assert!(!base.is_at_least_as_strict_as(&authority, None));
        assert!(!authority.is_at_least_as_strict_as(&base, None));
    }
}
