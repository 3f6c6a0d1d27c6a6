//! Side by side: what was sent, what the recipient gets, and why. For people who hold the record anyway.

use serde::Serialize;

use crate::finding::Finding;
use crate::model::SubjectKind;
use crate::policy::Action;
use crate::record::Slot;
use crate::route::{Route, WithheldReason};
use crate::validate::ValidRecord;

/// One field of the target, or a field of the source that does not travel. Holds values: show it, never log it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct ExplainRow {
    /// Field of the target schema; none if the source field does not travel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Its Chinese title.
    pub title: String,
    /// The class that the policy decides by.
    pub class: String,
    /// Fields of the source that it comes from.
    pub sources: Vec<String>,
    /// What was sent, in the source's normal spelling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    /// What the mapping makes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapped: Option<String>,
    /// What leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<String>,
    /// The policy's action, or the mapping's reason for not carrying it.
    pub action: String,
}

impl std::fmt::Debug for ExplainRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExplainRow({} {})", self.target.as_deref().unwrap_or("-"), self.action)
    }
}

/// What a route would do with a record.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Why the policy withholds the record, if it does; the rows then show what would leave otherwise.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "reason")]
    pub withheld: Option<WithheldReason>,
    /// The kind of subject that the record declares.
    pub declared: SubjectKind,
    /// The kind of subject that the policy decides by: as its codes say, where that is protected more.
    pub effective: SubjectKind,
    /// Why the recipient's schema cannot hold it, and last what follows; empty if it can.
    pub quarantined: Vec<Finding>,
    /// Field by field.
    pub rows: Vec<ExplainRow>,
}

fn reason<S: serde::Serializer>(reason: &Option<WithheldReason>, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(reason.map_or("", WithheldReason::code))
}

impl Route {
    /// What this route would do with a record, field by field.
    pub fn explain(&self, record: &ValidRecord<'_>) -> Explanation {
        let plan = &self.plans[self.effective_kind(record).index()];
        let (mapped, quarantined) = match self.mapped(record, plan) {
            Ok(mapped) => (mapped, Vec::new()),
            Err(mut findings) => {
                findings.push(Finding::taken_back());
                let slots = self.mapping.as_ref().map(|mapping| mapping.apply(record, &mut Vec::new()));
                (slots, findings)
            }
        };
        let slots: &[Slot<'_>] = mapped.as_deref().unwrap_or(record.slots());
        let needles = plan.needles(record.slots());
        let mut rows = Vec::new();
        for (number, field) in self.to.fields.iter().enumerate() {
            let sources: Vec<usize> = match &self.mapping {
                None => vec![number],
                Some(mapping) => {
                    mapping.targets[number].source.fields().iter().map(|f| usize::from(*f)).collect()
                }
            };
            let sent: Vec<&str> =
                sources.iter().filter_map(|source| record.slots()[*source].filled()).collect();
            let step = plan.steps.iter().find(|step| usize::from(step.slot) == number);
            let value = slots[number].filled();
            rows.push(ExplainRow {
                target: Some(field.code.to_string()),
                title: field.title.clone(),
                class: field.class.to_string(),
                sources: sources.iter().map(|source| self.from.fields[*source].code.to_string()).collect(),
                sent: (!sent.is_empty()).then(|| sent.join(" + ")),
                mapped: value.map(str::to_owned),
                released: step
                    .zip(value)
                    .map(|(step, value)| step.shown(value, &needles, &self.pseudonym).into_owned()),
                action: step.map_or(Action::Drop, |step| step.action).name().to_owned(),
            });
        }
        for (number, why) in self.mapping.iter().flat_map(|mapping| &mapping.dropped) {
            let field = &self.from.fields[usize::from(*number)];
            rows.push(ExplainRow {
                target: None,
                title: field.title.clone(),
                class: field.class.to_string(),
                sources: vec![field.code.to_string()],
                sent: record.slots()[usize::from(*number)].filled().map(str::to_owned),
                mapped: None,
                released: None,
                action: format!("not mapped: {why}"),
            });
        }
        let (declared, effective) = (record.declared_kind(), self.effective_kind(record));
        Explanation { withheld: self.admits(record).err(), declared, effective, quarantined, rows }
    }
}
