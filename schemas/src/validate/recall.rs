//! Recalls (withdraw, repair, dispute, resolve, reinstate): which record, why, on what basis, from when. Never the record.

mod reason;

use std::fmt;

use crate::date::Date;
use crate::finding::{Finding, Severity};
use crate::problem;
use crate::record::{Member, RawRecord, Slot};
use crate::scan;
use crate::schema::Schema;
use crate::text;
use crate::validate::reference::{self, Days, Given};
use crate::validate::{ValidateContext, check, clean};

const LONGEST_REASON: usize = 64;
pub(crate) const LONGEST_BASIS: usize = 256;

/// What a recall does to its record: a reason may not say the opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecallEffect {
    /// It stands no longer: `withdraw`, `repair`.
    Ends,
    /// It is disputed: `dispute`.
    Disputes,
    /// It stands, or may stand again: `resolve`, `reinstate`.
    Upholds,
}

/// A checked recall.
#[derive(Clone, PartialEq, Eq)]
pub struct RecallRequest {
    reference: Option<String>,
    key_material: Option<Vec<u8>>,
    authority_code: Option<String>,
    reason: String,
    basis: String,
    effective: Date,
}

impl RecallRequest {
    /// The source's own reference of the record.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// The record's key fields, as [`crate::ValidRecord::key_material`] writes them.
    pub fn key_material(&self) -> Option<&[u8]> {
        self.key_material.as_deref()
    }

    /// Code of the deciding authority: the recall's own, else the source's.
    pub fn authority_code(&self) -> Option<&str> {
        self.authority_code.as_deref()
    }

    /// The reason code.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The document it rests on.
    pub fn basis(&self) -> &str {
        &self.basis
    }

    /// The day from which it holds.
    pub fn effective(&self) -> Date {
        self.effective
    }
}

impl fmt::Debug for RecallRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = if self.reference.is_some() { "reference" } else { "key" };
        write!(f, "RecallRequest(by {by})")
    }
}

impl Schema {
    /// Cleans and checks a recall. All findings are added; the request is given if none of them refuses it.
    pub fn validate_recall(
        &self,
        raw: RawRecord<'_>,
        effect: RecallEffect,
        context: &ValidateContext,
        findings: &mut Vec<Finding>,
    ) -> Option<RecallRequest> {
        let first = findings.len();
        let mut slots = raw.into_slots();
        slots.resize(self.fields.len() + Member::ALL.len(), Slot::Absent);
        self.only_identity(&slots, findings);
        clean::fields(self, &mut slots, findings);
        self.check_identity(&mut slots, context, findings);

        let member = |member: Member| slots[self.fields.len() + member as usize].filled();
        let reference = member(Member::Ref);
        let days = Days { received: context.received, decided: None };
        reference::check(Member::Ref, reference, Given::Before, days, findings);
        let mut key = Vec::new();
        let key_material = self.write_key(&slots, &mut key).then_some(key);
        if reference.is_none() && key_material.is_none() {
            let parts: Vec<&str> = self.key.iter().map(|part| &*part.name).collect();
            findings.push(Finding::refuse(&problem::RECALL_IDENTITY).with(parts.join(", ")));
        }
        let reason = required(Member::Reason, member(Member::Reason), LONGEST_REASON, findings);
        if reason.is_some_and(|reason| reason::contradicts(reason, effect)) {
            findings.push(Finding::refuse(&problem::RECALL_REASON).on_member(Member::Reason.name()));
        }
        let basis = required(Member::Basis, member(Member::Basis), LONGEST_BASIS, findings);
        let effective =
            required(Member::Effective, member(Member::Effective), 10, findings).and_then(|value| {
                let date = Date::parse_accepted(value).ok().map(|(date, _)| date);
                if date.is_none() {
                    findings.push(Finding::refuse(&problem::FIELD_DATE).on_member(Member::Effective.name()));
                }
                date
            });
        if findings[first..].iter().any(Finding::refuses) {
            return None;
        }
        let authority = self.roles.authority_code.and_then(|field| slots[usize::from(field)].filled());
        Some(RecallRequest {
            reference: reference.map(str::to_owned),
            key_material,
            authority_code: authority.map(str::to_owned).or_else(|| context.source.authority_code.clone()),
            reason: reason?.to_owned(),
            basis: basis?.to_owned(),
            effective: effective?,
        })
    }

    fn identifies(&self, number: usize) -> bool {
        let is = |field: &u16| usize::from(*field) == number;
        self.key.iter().any(|part| part.fields.iter().any(is))
            || self.roles.authority_code.as_ref().is_some_and(is)
    }

    /// Refuses fields that are not needed to say which record is meant.
    fn only_identity(&self, slots: &[Slot<'_>], findings: &mut Vec<Finding>) {
        for (number, field) in self.fields.iter().enumerate() {
            if !slots[number].is_blank() && !self.identifies(number) {
                findings.push(Finding::refuse(&problem::RECALL_RECORD).on(&field.code));
            }
        }
        for which in [Member::Replaces, Member::Authorisation, Member::Audience] {
            if !slots[self.fields.len() + which as usize].is_blank() {
                findings.push(Finding::refuse(&problem::RECALL_RECORD).on_member(which.name()));
            }
        }
    }

    /// Checks what identifies the record; that other fields are missing is right.
    fn check_identity(&self, slots: &mut [Slot<'_>], context: &ValidateContext, findings: &mut Vec<Finding>) {
        let mut all = Vec::new();
        let relayed = context.relayed.is_some();
        let check = check::Check { received: context.received, relayed, recall: true };
        check.fields(self, slots, &mut all);
        findings.extend(all.into_iter().filter(|finding| finding.code() != problem::FIELD_REQUIRED.code));
    }
}

fn required<'v>(
    member: Member,
    value: Option<&'v str>,
    max: usize,
    findings: &mut Vec<Finding>,
) -> Option<&'v str> {
    let name = member.name();
    let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else {
        findings.push(Finding::refuse(&problem::RECALL_MEMBER).on_member(name).with(name));
        return None;
    };
    check_text(member, value, max, findings);
    Some(value)
}

/// Checks what a reserved member says in words.
pub(crate) fn check_text(member: Member, value: &str, max: usize, findings: &mut Vec<Finding>) {
    let name = member.name();
    if value.chars().count() > max {
        findings.push(Finding::refuse(&problem::RECALL_TEXT).on_member(name).with(name).with_number(max));
    }
    let found = text::repertoire(value);
    if found.control.is_some() || found.noncharacter.is_some() {
        findings.push(Finding::refuse(&problem::FIELD_CONTROL).on_member(name));
    }
    if scan::holds_personal_number(value) {
        findings.push(Finding::of(&problem::FIELD_PERSONAL, Severity::Warn).on_member(name));
    }
}
