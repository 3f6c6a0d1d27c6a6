//! What loads, but deserves a look before it goes live: for `xinqiao check`.

use serde::Serialize;

use crate::catalogue::Catalogue;
use crate::model::SubjectKind;
use crate::policy::{Action, Admission};
use crate::route::RouteSecrets;
use crate::schema::{FieldType, Schema};

/// One thing that deserves a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckFinding {
    /// What sort of thing.
    pub kind: CheckKind,
    /// The schema.
    pub schema: String,
    /// The policy, if one is involved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The field or class.
    pub what: String,
    /// In English.
    pub en: String,
    /// In Chinese.
    pub zh: String,
}

/// Sorts of things that deserve a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// A policy drops a field that the schema requires: lines will lack it.
    RequiredFieldDropped,
    /// A policy does not name a class of the schema: its fields are dropped.
    ClassNotNamed,
    /// A pseudonym is longer than the field may be.
    PseudonymTooLong,
    /// A public policy releases organisations, and no field of the schema can prove that a subject is one.
    SubjectNeverProven,
    /// A mapping joins classes for which a policy asks for different masks: there can be no such route.
    MasksDiffer,
}

impl Catalogue {
    /// Everything that loads, but deserves a look: each policy against each schema.
    pub fn check(&self) -> Vec<CheckFinding> {
        let mut found = Vec::new();
        for policy in self.policies() {
            for schema in self.schemas() {
                self.check_pair(schema, policy, &mut found);
            }
            for mapping in self.mappings() {
                let secrets = RouteSecrets::new([0; 32]);
                if let Err(error) = self.route(mapping.from().id(), mapping.to().id(), policy.id(), &secrets)
                {
                    found.push(CheckFinding {
                        kind: CheckKind::MasksDiffer,
                        schema: mapping.to().id().to_owned(),
                        policy: Some(policy.id().to_owned()),
                        what: mapping.id().to_owned(),
                        en: error.to_string(),
                        zh: error.text_zh(),
                    });
                }
            }
        }
        found
    }

    /// One schema as the target of one policy.
    pub fn check_route(&self, schema: &str, policy: &str) -> Vec<CheckFinding> {
        let mut found = Vec::new();
        if let (Some(schema), Some(policy)) = (self.schema(schema), self.policy(policy)) {
            self.check_pair(schema, policy, &mut found);
        }
        found
    }

    fn check_pair(&self, schema: &Schema, policy: &crate::policy::Policy, found: &mut Vec<CheckFinding>) {
        let mut classes: Vec<&str> = Vec::new();
        if policy.recipient_kind.is_public()
            && policy.subject(SubjectKind::LegalPerson) != Admission::Withhold
            && schema.subject.codes.is_empty()
            && schema.subject.tax.is_empty()
        {
            found.push(CheckFinding {
                kind: CheckKind::SubjectNeverProven,
                schema: schema.id.to_string(),
                policy: Some(policy.id.to_string()),
                what: "subject-code".to_owned(),
                en: format!(
                    "no field of {} is of class subject-code, so no code proves that a subject is an organisation: policy {} treats each as a natural person. Give the field of the credit code that class.",
                    schema.id, policy.id
                ),
                zh: format!(
                    "{0} 没有 subject-code 类别的字段，无法以代码证明相对人是单位，策略 {1} 一律按自然人处理。请将统一社会信用代码字段设为该类别。",
                    schema.id, policy.id
                ),
            });
        }
        for field in &schema.fields {
            let mut add = |kind, what: &str, en: String, zh: String| {
                found.push(CheckFinding {
                    kind,
                    schema: schema.id.to_string(),
                    policy: Some(policy.id.to_string()),
                    what: what.to_owned(),
                    en,
                    zh,
                });
            };
            if !policy.classes.contains_key(&field.class) && !classes.contains(&&*field.class) {
                classes.push(&field.class);
                add(
                    CheckKind::ClassNotNamed,
                    &field.class,
                    format!(
                        "policy {} does not name class {}: fields such as {} are dropped. Name it, with \"drop\" if that is meant.",
                        policy.id, field.class, field.code
                    ),
                    format!(
                        "策略 {} 未提及类别 {}：{} 等字段会被删除。请写明，若确需删除请写 \"drop\"。",
                        policy.id, field.class, field.code
                    ),
                );
            }
            for kind in SubjectKind::ALL {
                if policy.subject(kind) == Admission::Withhold {
                    continue;
                }
                let action = policy.action(&field.class, kind);
                if field.required && action == Action::Drop {
                    add(
                        CheckKind::RequiredFieldDropped,
                        &field.code,
                        format!(
                            "{} is required in {}, but policy {} drops it for {}; its lines will lack it. Agree that with the recipient, or mask it instead.",
                            field.code,
                            schema.id,
                            policy.id,
                            kind.as_str()
                        ),
                        format!(
                            "{1} 中 {0} 必填，但策略 {2} 对{3}会删除它，输出行将缺少该字段。请与接收方约定，或改为脱敏。",
                            field.code,
                            schema.id,
                            policy.id,
                            kind.zh()
                        ),
                    );
                }
                let max = match &field.kind {
                    FieldType::Text(limits) | FieldType::Certificate { limits, .. } => limits.max,
                    FieldType::Identifier { .. } => 18,
                    _ => usize::MAX,
                };
                if action == Action::Pseudonymise && max < 32 {
                    add(
                        CheckKind::PseudonymTooLong,
                        &field.code,
                        format!(
                            "{} holds {max} characters, but policy {} gives pseudonyms of 32; drop or mask it",
                            field.code, policy.id
                        ),
                        format!(
                            "{} 最长 {max}，但策略 {} 的假名为 32 位，请改为删除或脱敏",
                            field.code, policy.id
                        ),
                    );
                }
            }
        }
    }
}
