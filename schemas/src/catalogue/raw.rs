//! Catalogue files as they are written, before they are checked against each other.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::finding::Severity;
use crate::model::{Audience, SubjectKind};
use crate::policy::{Admission, RecipientKind};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Title {
    pub(super) en: String,
    pub(super) zh: String,
}

impl From<Title> for crate::schema::Title {
    fn from(title: Title) -> Self {
        Self { en: title.en, zh: title.zh }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Dataset {
    pub(super) id: Spanned<String>,
    pub(super) title: Title,
    pub(super) key: Spanned<Vec<String>>,
    pub(super) audience: Audience,
    pub(super) retention: Spanned<Retention>,
    pub(super) reporting: Option<Reporting>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Retention {
    pub(super) acknowledged_days: u32,
    pub(super) maximum_days: u32,
    pub(super) history_maximum_days: Option<u32>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Reporting {
    pub(super) working_days: u16,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CodeSet {
    pub(super) id: Spanned<String>,
    pub(super) title: Title,
    #[serde(default, rename = "value")]
    pub(super) values: Vec<Spanned<CodeValue>>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CodeValue {
    pub(super) code: String,
    pub(super) en: Option<String>,
    #[serde(default)]
    pub(super) suffix: SuffixRule,
    pub(super) suffix_separator: Option<String>,
    #[serde(default)]
    pub(super) accept: Vec<String>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SuffixRule {
    #[default]
    None,
    Optional,
    Required,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Schema {
    pub(super) id: Spanned<String>,
    pub(super) dataset: Spanned<String>,
    pub(super) generation: String,
    pub(super) title: Title,
    #[serde(default)]
    pub(super) clean: Vec<CleanStep>,
    #[serde(default, rename = "field")]
    pub(super) fields: Vec<Spanned<Field>>,
    pub(super) key: Spanned<BTreeMap<String, Vec<Spanned<String>>>>,
    #[serde(default)]
    pub(super) roles: Roles,
    pub(super) subject_kind: Spanned<SubjectKindRule>,
    pub(super) audience: Option<AudienceRule>,
    pub(super) standing: Option<StatusRule>,
    #[serde(default, rename = "rule")]
    pub(super) rules: Vec<Spanned<Rule>>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CleanStep {
    Trim,
    NullWord,
    FoldWidth,
    NormalForm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Field {
    pub(super) code: String,
    pub(super) title: String,
    pub(super) title_en: Option<String>,
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    #[serde(rename = "type")]
    pub(super) kind: Spanned<String>,
    pub(super) class: String,
    #[serde(default)]
    pub(super) required: bool,
    #[serde(default)]
    pub(super) secret: bool,
    pub(super) clean: Option<Vec<CleanStep>>,
    pub(super) max: Option<usize>,
    pub(super) unit: Option<Spanned<String>>,
    pub(super) repertoire: Option<CodePage>,
    pub(super) precision: Option<u32>,
    pub(super) scale: Option<u32>,
    pub(super) set: Option<Spanned<String>>,
    pub(super) separator: Option<String>,
    pub(super) placeholders: Option<Vec<String>>,
    pub(super) kind_field: Option<Spanned<String>>,
    pub(super) forms: Option<BTreeMap<String, Spanned<String>>>,
    pub(super) note: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CodePage {
    Any,
    Gbk,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Roles {
    pub(super) authority_code: Option<Spanned<String>>,
    pub(super) authority_name: Option<Spanned<String>>,
    pub(super) decision_date: Option<Spanned<String>>,
    pub(super) publication_end: Option<Spanned<String>>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SubjectKindRule {
    pub(super) always: Option<SubjectKind>,
    pub(super) field: Option<Spanned<String>>,
    pub(super) values: Option<BTreeMap<String, SubjectKind>>,
    pub(super) organisation_when_any: Option<Vec<Spanned<String>>>,
    pub(super) individual_business_when: Option<Prefixed>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Prefixed {
    pub(super) field: Spanned<String>,
    pub(super) prefixes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AudienceRule {
    pub(super) field: Spanned<String>,
    pub(super) values: BTreeMap<String, Audience>,
    pub(super) blank: Audience,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct StatusRule {
    pub(super) field: Spanned<String>,
    pub(super) revoked: Vec<String>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Rule {
    pub(super) rule: RuleName,
    pub(super) fields: Vec<Spanned<String>>,
    pub(super) when: Option<Condition>,
    pub(super) severity: Option<Severity2>,
    pub(super) than: Option<Spanned<String>>,
    pub(super) min: Option<Spanned<String>>,
    pub(super) max: Option<Spanned<String>>,
    pub(super) prefixes: Option<Vec<String>>,
    pub(super) values: Option<Vec<String>>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RuleName {
    RequiredWhen,
    BlankWhen,
    AtLeastOneOf,
    NotBefore,
    NotAfterReceipt,
    PlausibleRange,
    StartsWith,
    DoubtfulValue,
}

/// The severities a rule may have: nothing but cleaning is `cleaned`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Severity2 {
    Refuse,
    Warn,
}

impl From<Severity2> for Severity {
    fn from(severity: Severity2) -> Self {
        match severity {
            Severity2::Refuse => Severity::Refuse,
            Severity2::Warn => Severity::Warn,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Condition {
    pub(super) subject_kind: Option<Vec<SubjectKind>>,
    pub(super) field: Option<Spanned<String>>,
    pub(super) is: Option<Vec<String>>,
    pub(super) contains: Option<Vec<String>>,
    pub(super) filled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Mapping {
    pub(super) id: Spanned<String>,
    pub(super) from: Spanned<String>,
    pub(super) to: Spanned<String>,
    pub(super) title: Title,
    #[serde(rename = "unmapped")]
    pub(super) _unmapped: UnmappedFields,
    pub(super) target: BTreeMap<String, Spanned<Target>>,
    #[serde(default)]
    pub(super) dropped: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(super) tables: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum UnmappedFields {
    DropReported,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Target {
    pub(super) copy: Option<String>,
    pub(super) first_of: Option<Vec<String>>,
    pub(super) concat: Option<Vec<String>>,
    pub(super) separator: Option<String>,
    #[serde(rename = "const")]
    pub(super) constant: Option<String>,
    pub(super) by_subject_kind: Option<BTreeMap<SubjectKind, String>>,
    pub(super) context: Option<Context>,
    pub(super) empty: Option<String>,
    pub(super) when: Option<Vec<SubjectKind>>,
    pub(super) table: Option<String>,
    pub(super) unmapped_value: Option<UnmappedValue>,
    pub(super) default: Option<String>,
    pub(super) shift_point: Option<i8>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Context {
    AuthorityCode,
    AuthorityName,
    UnitCode,
    UnitName,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum UnmappedValue {
    Quarantine,
    Keep,
    Empty,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Policy {
    pub(super) id: Spanned<String>,
    pub(super) title: Title,
    pub(super) recipient_kind: RecipientKind,
    #[serde(default)]
    pub(super) reference: ReferenceRule,
    #[serde(default)]
    pub(super) natural_person_basis: String,
    #[serde(default)]
    pub(super) audiences: BTreeMap<Audience, Admission>,
    #[serde(default)]
    pub(super) subjects: BTreeMap<SubjectKind, Spanned<Admission>>,
    #[serde(default)]
    pub(super) classes: BTreeMap<String, Spanned<ClassRule>>,
    #[serde(default)]
    pub(super) unscanned: BTreeMap<String, Spanned<String>>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ReferenceRule {
    Pass,
    #[default]
    Drop,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum ClassRule {
    All(String),
    BySubject(BTreeMap<SubjectKind, String>),
}
