//! One way out: from a schema, through a mapping and a policy, to the line that a recipient gets.
//!
//! A route is compiled once into a flat plan per kind of subject and writes the line straight into the caller's buffer. What
//! the policy does not name is not in the plan, so it cannot leave. [`Released`] is the proof that a line came this way.

pub(crate) mod explain;
pub(crate) mod line;
mod plan;

use std::fmt;
use std::sync::Arc;

use xinqiao_crypto::{MacKey, Secret, sha256};

use crate::finding::Finding;
use crate::mapping::Mapping;
use crate::model::{Audience, RecordStatus, SubjectKind};
use crate::policy::{Admission, Policy};
use crate::record::Slot;
use crate::scan;
use crate::schema::Schema;
use crate::validate::{ValidRecord, check_mapped};
use line::LineHead;
use plan::Plan;

/// A compiled way from one schema to one recipient.
pub struct Route {
    from: Arc<Schema>,
    to: Arc<Schema>,
    mapping: Option<Arc<Mapping>>,
    policy: Arc<Policy>,
    digests: Digests,
    mapping_document: Vec<u8>,
    /// By [`SubjectKind::index`].
    plans: [Plan; 3],
    pseudonym: MacKey,
}

/// Digests of the files that shape a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digests {
    /// Of the target schema.
    pub schema: [u8; 32],
    /// Of the mapping, or of the statement that there is none.
    pub mapping: [u8; 32],
    /// Of the policy.
    pub policy: [u8; 32],
}

/// The keys of one recipient.
pub struct RouteSecrets {
    pseudonym: Secret,
}

impl RouteSecrets {
    /// Takes the key under which the recipient's pseudonyms are made.
    pub fn new(pseudonym: impl Into<Secret>) -> Self {
        Self { pseudonym: pseudonym.into() }
    }
}

impl fmt::Debug for RouteSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouteSecrets(redacted)")
    }
}

/// Why there is no such route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// The catalogue has no schema of this id.
    SchemaUnknown(String),
    /// The catalogue has no policy of this id.
    PolicyUnknown(String),
    /// No mapping leads from the first schema to the second.
    NoMapping(String, String),
    /// The schemas belong to different datasets.
    OtherDataset(String, String),
    /// The classes of a target field and its sources ask for different masks.
    MasksDiffer {
        /// The target field.
        field: String,
        /// The two actions.
        actions: [&'static str; 2],
    },
}

impl RouteError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SchemaUnknown(_) => "route.schema-unknown",
            Self::PolicyUnknown(_) => "route.policy-unknown",
            Self::NoMapping(..) => "route.no-mapping",
            Self::OtherDataset(..) => "route.other-dataset",
            Self::MasksDiffer { .. } => "route.masks-differ",
        }
    }

    /// What is wrong and what to do, in Chinese.
    pub fn text_zh(&self) -> String {
        match self {
            Self::SchemaUnknown(id) => format!("目录中没有模式 {id}，请检查配置或添加 schemas/{id}.toml。"),
            Self::PolicyUnknown(id) => format!("目录中没有策略 {id}，请检查配置或添加 policies/{id}.toml。"),
            Self::NoMapping(from, to) => {
                format!("没有从 {from} 到 {to} 的映射，请添加 mappings/{from}-to-{to}.toml。")
            }
            Self::OtherDataset(from, to) => format!("模式 {from} 与 {to} 不属于同一数据集，不能映射。"),
            Self::MasksDiffer { field, actions: [a, b] } => {
                format!("字段 {field} 的来源分别要求 {a} 和 {b}，请统一字段类别。")
            }
        }
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SchemaUnknown(id) => write!(
                f,
                "the catalogue has no schema {id}: check the configuration or add schemas/{id}.toml"
            ),
            Self::PolicyUnknown(id) => write!(
                f,
                "the catalogue has no policy {id}: check the configuration or add policies/{id}.toml"
            ),
            Self::NoMapping(from, to) => {
                write!(f, "no mapping leads from {from} to {to}: add mappings/{from}-to-{to}.toml")
            }
            Self::OtherDataset(from, to) => {
                write!(f, "schemas {from} and {to} belong to different datasets and cannot be mapped")
            }
            Self::MasksDiffer { field, actions: [a, b] } => {
                write!(f, "the sources of field {field} ask for {a} and {b}: give the fields one class")
            }
        }
    }
}

impl std::error::Error for RouteError {}

/// What became of a record on a route.
#[derive(Debug)]
pub enum Release {
    /// Its line was appended, without line feed.
    Released(Released),
    /// The policy does not release it: nothing was appended; an older version must be withdrawn.
    Withheld(WithheldReason),
    /// The recipient's schema cannot hold it: nothing was appended; an older version must be withdrawn.
    Quarantined(Vec<Finding>),
}

/// Proof that a line was mapped and desensitised. Only [`Route::release`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    audience: Audience,
    length: usize,
}

impl Released {
    /// The audience that stands in the line.
    pub fn audience(&self) -> Audience {
        self.audience
    }

    /// Bytes that were appended.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// Why a policy does not release a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WithheldReason {
    /// Its audience.
    Audience,
    /// The kind of its subject.
    SubjectKind,
    /// It declares another kind of subject than its code is of.
    SubjectContradiction,
    /// It would go out with an authorisation, and has none.
    NoAuthorisation,
    /// Its own status says that it was revoked.
    Revoked,
    /// It was checked against another schema than this route reads.
    OtherSchema,
}

impl WithheldReason {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Audience => "withheld.audience",
            Self::SubjectKind => "withheld.subject-kind",
            Self::SubjectContradiction => "withheld.subject-contradiction",
            Self::NoAuthorisation => "withheld.no-authorisation",
            Self::Revoked => "withheld.revoked",
            Self::OtherSchema => "withheld.other-schema",
        }
    }

    /// In English.
    pub fn text_en(self) -> &'static str {
        match self {
            Self::Audience => "The recipient's policy does not release records of this audience.",
            Self::SubjectKind => {
                "The recipient's policy does not release records about this kind of subject."
            }
            Self::SubjectContradiction => {
                "The record declares another kind of subject than its code is of; it goes to no public recipient until it is corrected."
            }
            Self::NoAuthorisation => {
                "The recipient gets such records only with the subject's authorisation; send `authorisation`."
            }
            Self::Revoked => "The record's own status says that it was revoked.",
            Self::OtherSchema => {
                "The record was checked against another version of the schema; send it again."
            }
        }
    }

    /// In Chinese.
    pub fn text_zh(self) -> &'static str {
        match self {
            Self::Audience => "接收方策略不发布该使用范围的记录。",
            Self::SubjectKind => "接收方策略不发布该类行政相对人的记录。",
            Self::SubjectContradiction => "记录填报的相对人类别与其代码不符，更正之前不对外公示。",
            Self::NoAuthorisation => "该接收方仅在主体授权后获取此类记录，请提供 authorisation。",
            Self::Revoked => "记录自身状态表明已撤销。",
            Self::OtherSchema => "记录按另一版本的模式校验，请重新发送。",
        }
    }
}

impl Route {
    pub(crate) fn new(
        from: Arc<Schema>,
        to: Arc<Schema>,
        mapping: Option<Arc<Mapping>>,
        policy: Arc<Policy>,
        secrets: &RouteSecrets,
    ) -> Result<Self, RouteError> {
        let mapping_document = match &mapping {
            Some(mapping) => mapping.document.clone(),
            None => format!("identity {}\n", from.id).into_bytes(),
        };
        let digests = Digests {
            schema: to.digest,
            mapping: mapping.as_ref().map_or_else(|| sha256(&mapping_document), |m| m.digest),
            policy: policy.digest,
        };
        let plan = |kind| Plan::new(&from, &to, mapping.as_deref(), &policy, kind);
        let [a, b, c] = SubjectKind::ALL.map(plan);
        let plans = [a?, b?, c?];
        let pseudonym = MacKey::new(&*secrets.pseudonym);
        Ok(Self { from, to, mapping, policy, digests, mapping_document, plans, pseudonym })
    }

    /// The schema it reads.
    pub fn source_schema(&self) -> &Arc<Schema> {
        &self.from
    }

    /// The schema of its lines.
    pub fn target_schema(&self) -> &Arc<Schema> {
        &self.to
    }

    /// Its policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Its mapping; none if it writes the schema it reads.
    pub fn mapping(&self) -> Option<&Arc<Mapping>> {
        self.mapping.as_ref()
    }

    /// Digests of the target schema, mapping and policy.
    pub fn digests(&self) -> &Digests {
        &self.digests
    }

    /// What the mapping digest is of.
    pub fn mapping_document(&self) -> &[u8] {
        &self.mapping_document
    }

    /// Whether the policy lets a record go out at all, before its fields are looked at.
    pub fn admits(&self, record: &ValidRecord<'_>) -> Result<(), WithheldReason> {
        if !std::ptr::eq(record.schema(), &*self.from) && record.schema().digest != self.from.digest {
            return Err(WithheldReason::OtherSchema);
        }
        if record.status() == RecordStatus::Revoked {
            return Err(WithheldReason::Revoked);
        }
        let audience = self.policy.audience(record.audience());
        if self.policy.recipient_kind.is_public() && record.subject().contradiction().is_some() {
            return Err(WithheldReason::SubjectContradiction);
        }
        let subject = self.policy.subject(self.effective_kind(record));
        if audience == Admission::Withhold {
            return Err(WithheldReason::Audience);
        }
        if subject == Admission::Withhold {
            return Err(WithheldReason::SubjectKind);
        }
        if audience.max(subject) == Admission::WithAuthorisation && record.authorisation().is_none() {
            return Err(WithheldReason::NoAuthorisation);
        }
        Ok(())
    }

    /// The kind of subject that the policy decides by.
    fn effective_kind(&self, record: &ValidRecord<'_>) -> SubjectKind {
        record.effective_kind(self.policy.recipient_kind)
    }

    /// Maps, desensitises and encodes a record; appends its line to `out`, without line feed.
    pub fn release(&self, record: &ValidRecord<'_>, head: &LineHead<'_>, out: &mut Vec<u8>) -> Release {
        if let Err(reason) = self.admits(record) {
            return Release::Withheld(reason);
        }
        let plan = &self.plans[self.effective_kind(record).index()];
        let start = out.len();
        let reference = head.reference.filter(|_| self.policy.pass_reference);
        // One that was given before anybody looked: it names its record here, and need not there.
        let public = self.policy.recipient_kind.is_public();
        let reference = reference.filter(|text| !public || !scan::holds_personal_number(text));
        line::begin(head, reference, record.audience(), out);
        match self.mapped(record, plan) {
            Ok(None) => plan.write(record.slots(), record.slots(), &self.pseudonym, out),
            Ok(Some(slots)) => plan.write(&slots, record.slots(), &self.pseudonym, out),
            Err(findings) => {
                out.truncate(start);
                return Release::Quarantined(findings);
            }
        }
        out.extend_from_slice(b"}}");
        Release::Released(Released { audience: record.audience(), length: out.len() - start })
    }

    /// The values in the target schema; none if that is the source's. Errors are about fields that would leave.
    fn mapped<'r>(
        &'r self,
        record: &'r ValidRecord<'_>,
        plan: &Plan,
    ) -> Result<Option<Vec<Slot<'r>>>, Vec<Finding>> {
        let Some(mapping) = &self.mapping else { return Ok(None) };
        let mut findings = Vec::new();
        let mut slots = mapping.apply(record, &mut findings);
        check_mapped(&self.to, record.declared_kind(), record.received(), &mut slots, &mut findings);
        findings
            .retain(|finding| finding.refuses() && finding.field().is_none_or(|field| plan.carries(field)));
        if findings.is_empty() { Ok(Some(slots)) } else { Err(findings) }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({} to {} under {})", self.from.id, self.to.id, self.policy.id)
    }
}
