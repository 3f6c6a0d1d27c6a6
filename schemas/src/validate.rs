//! From what was sent to what may be believed: cleaning, types, rules between fields, and the proof that they held.

mod check;
mod clean;
pub(crate) mod recall;
mod reference;
mod rules;
mod subject;

use std::fmt;

use crate::date::Date;
use crate::finding::{Finding, Severity};
use crate::model::{Audience, RecordStatus, SubjectKind};
use crate::policy::RecipientKind;
use crate::problem;
use crate::record::{Member, RawRecord, Slot};
use crate::schema::{FieldType, Schema, SubjectKindRule};
use crate::text::comparison_form;

use reference::{Days, Given};
pub use subject::Subject;

/// What validation must know beside the record.
#[derive(Clone, Debug)]
pub struct ValidateContext {
    /// The business date (+08:00) of receipt.
    pub received: Date,
    /// For whom the record is sent.
    pub source: SourceUnit,
    /// Set for records that come from another node: the audience in the line's envelope. Values it masked are tolerated,
    /// fields it dropped are reported, and the audience can only become stricter.
    pub relayed: Option<Audience>,
}

/// The authority and the unit that a source sends for, as registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceUnit {
    /// Code of the deciding authority.
    pub authority_code: Option<String>,
    /// Name of the deciding authority.
    pub authority_name: Option<String>,
    /// Code of the unit that uploads (数据来源单位).
    pub unit_code: Option<String>,
    /// Name of the unit that uploads.
    pub unit_name: Option<String>,
}

/// A record that passed [`Schema::validate`]. Nothing else can make one.
pub struct ValidRecord<'a> {
    schema: &'a Schema,
    source: &'a SourceUnit,
    received: Date,
    slots: Vec<Slot<'a>>,
    subject: Subject,
    audience: Audience,
    status: RecordStatus,
}

impl Schema {
    /// Does the record itself name the authority by its code? Said before validation: what cleaning may blank does
    /// not count.
    pub fn names_authority(&self, raw: &RawRecord<'_>) -> bool {
        let code = self.roles.authority_code.and_then(|field| raw.field(usize::from(field)).filled());
        code.is_some_and(|code| code.bytes().any(|b| b.is_ascii_alphanumeric()))
    }

    /// Cleans and checks a record. All findings are added; the record is given if none of them refuses it.
    pub fn validate<'a>(
        &'a self,
        raw: RawRecord<'a>,
        context: &'a ValidateContext,
        findings: &mut Vec<Finding>,
    ) -> Option<ValidRecord<'a>> {
        debug_assert_eq!(raw.fields(), self.fields.len(), "decoded for this schema");
        let first = findings.len();
        let mut slots = raw.into_slots();
        slots.resize(self.fields.len() + Member::ALL.len(), Slot::Absent);
        clean::fields(self, &mut slots, findings);
        let relayed = context.relayed.is_some();
        let check = check::Check { received: context.received, relayed, recall: false };
        check.fields(self, &mut slots, findings);

        let subject = subject::of(self, &slots);
        match subject {
            Some(subject) => {
                rules::apply(self, subject.declared(), &slots, check, findings);
                check.codes_of(self, subject.effective(RecipientKind::Portal), &slots, findings);
                let claimed = !slots[self.fields.len() + Member::Basis as usize].is_blank();
                doubts_about(subject, claimed, findings);
            }
            None => {
                let named = match &self.subject_kind {
                    SubjectKindRule::Field { field, .. } => &*self.fields[usize::from(*field)].code,
                    _ => "-",
                };
                findings.push(Finding::refuse(&problem::RECORD_SUBJECT_KIND).with(named.to_owned()));
            }
        }
        let audience = self.audience_of(&slots, context.relayed, findings);
        self.check_members(&slots, subject, context, findings);
        if findings[first..].iter().any(Finding::refuses) {
            return None;
        }
        let status = self.status_of(&slots);
        let source = &context.source;
        let received = context.received;
        Some(ValidRecord {
            schema: self,
            source,
            received,
            slots,
            subject: subject?,
            audience: audience?,
            status,
        })
    }

    /// The strictest of what the record, its schema and a relaying node say.
    fn audience_of(
        &self,
        slots: &[Slot<'_>],
        relayed: Option<Audience>,
        findings: &mut Vec<Finding>,
    ) -> Option<Audience> {
        let mut audience = self.default_audience;
        if let Some(rule) = &self.audience {
            let field = usize::from(rule.field);
            audience = match slots[field].filled() {
                None => rule.blank,
                Some(value) => match rule.values.iter().find(|(known, _)| **known == *value) {
                    Some((_, audience)) => *audience,
                    None => {
                        let known: Vec<&str> = rule.values.iter().map(|(known, _)| &**known).collect();
                        let finding = Finding::refuse(&problem::RECORD_AUDIENCE).with(known.join(" | "));
                        findings.push(finding.on(&self.fields[field].code));
                        return None;
                    }
                },
            };
        }
        if let Some(word) = slots[self.fields.len() + Member::Audience as usize].filled() {
            let Some(member) = Audience::parse(word) else {
                let finding =
                    Finding::refuse(&problem::RECORD_AUDIENCE).with("public | government | authorised");
                findings.push(finding.on_member(Member::Audience.name()));
                return None;
            };
            audience = audience.max(member);
        }
        Some(relayed.map_or(audience, |relayed| audience.max(relayed)))
    }

    fn status_of(&self, slots: &[Slot<'_>]) -> RecordStatus {
        let Some(rule) = &self.status else { return RecordStatus::InForce };
        match slots[usize::from(rule.field)].filled() {
            Some(value) if rule.revoked.iter().any(|revoked| **revoked == *value) => RecordStatus::Revoked,
            _ => RecordStatus::InForce,
        }
    }

    /// Reserved members of a put; without `ref`, the key must be whole (a relayed record has its upstream key).
    fn check_members(
        &self,
        slots: &[Slot<'_>],
        subject: Option<Subject>,
        context: &ValidateContext,
        findings: &mut Vec<Finding>,
    ) {
        let member = |member: Member| slots[self.fields.len() + member as usize].filled();
        let decided = self.roles.decision_date.and_then(|field| slots[usize::from(field)].filled());
        let decided = decided.and_then(|day| Date::parse_accepted(day).ok()).map(|(day, _)| day);
        let days = Days { received: context.received, decided };
        for (which, given) in [
            (Member::Ref, Given::Now),
            (Member::Replaces, Given::Before),
            (Member::Authorisation, Given::Before),
        ] {
            reference::check(which, member(which), given, days, findings);
        }
        // Of a subject that no code proves to be an organisation, its authority may say so.
        let may_vouch = subject.is_some_and(|subject| subject.is_unproven()) && context.relayed.is_none();
        if may_vouch && let Some(basis) = member(Member::Basis) {
            recall::check_text(Member::Basis, basis, recall::LONGEST_BASIS, findings);
        }
        for which in [Member::Reason, Member::Basis, Member::Effective] {
            if member(which).is_some() && !(may_vouch && which == Member::Basis) {
                let finding = Finding::refuse(&problem::RECORD_RECALL_MEMBER).with(which.name());
                findings.push(finding.on_member(which.name()));
            }
        }
        let reference = member(Member::Ref);
        if reference.is_some() && reference == member(Member::Replaces) {
            findings.push(Finding::refuse(&problem::RECORD_REPLACES_SELF).on_member(Member::Replaces.name()));
        }
        if reference.is_none() && context.relayed.is_none() {
            for part in &self.key {
                if self.key_part(part, slots).is_none() {
                    let codes: Vec<&str> =
                        part.fields.iter().map(|field| &*self.fields[usize::from(*field)].code).collect();
                    let finding = Finding::refuse(&problem::RECORD_KEY);
                    findings.push(finding.with(part.name.to_string()).with(codes.join(" | ")));
                }
            }
        }
    }

    fn key_part<'s>(&self, part: &crate::schema::KeyPart, slots: &'s [Slot<'_>]) -> Option<&'s str> {
        part.fields.iter().find_map(|field| {
            let number = usize::from(*field);
            let value = slots[number].filled()?;
            match &self.fields[number].kind {
                FieldType::Identifier { placeholders, .. } if placeholders.iter().any(|p| **p == *value) => {
                    None
                }
                _ => Some(value),
            }
        })
    }

    /// The key fields in comparison form, each with its length; false if one is missing.
    fn write_key(&self, slots: &[Slot<'_>], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        for part in &self.key {
            let Some(value) = self.key_part(part, slots) else {
                out.truncate(start);
                return false;
            };
            let same =
                |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase() || matches!(b, b'/' | b'.' | b'_');
            if value.bytes().all(same) {
                write_part(value, out);
            } else {
                write_part(&comparison_form(value), out);
            }
        }
        true
    }
}

/// What the department should look at, since public recipients do not get it as it stands.
fn doubts_about(subject: Subject, claimed: bool, findings: &mut Vec<Finding>) {
    if let Some(proven) = subject.contradiction() {
        let finding = Finding::of(&problem::RECORD_SUBJECT_CONTRADICTS, Severity::Warn);
        let kinds = [proven, subject.declared()];
        let finding = kinds.iter().fold(finding, |finding, kind| finding.with(kind.as_str()));
        findings.push(kinds.iter().fold(finding, |finding, kind| finding.with(kind.zh())));
    } else if subject.can_be_vouched_for() && claimed {
        findings.push(Finding::of(&problem::RECORD_SUBJECT_UNCODED, Severity::Warn));
    } else if subject.is_unproven() {
        findings.push(Finding::of(&problem::RECORD_SUBJECT_UNPROVEN, Severity::Warn));
    }
}

fn write_part(value: &str, out: &mut Vec<u8>) {
    let length = u32::try_from(value.len()).expect("values are capped far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value.as_bytes());
}

impl<'a> ValidRecord<'a> {
    /// The schema it was checked against.
    pub fn schema(&self) -> &'a Schema {
        self.schema
    }

    /// The source's own reference.
    pub fn reference(&self) -> Option<&str> {
        self.member(Member::Ref)
    }

    /// The reference of the record whose place it takes.
    pub fn replaces(&self) -> Option<&str> {
        self.member(Member::Replaces)
    }

    /// The reference of the subject's consent or mandate.
    pub fn authorisation(&self) -> Option<&str> {
        self.member(Member::Authorisation)
    }

    /// Appends the normalised key fields: for each logical key of the dataset a length (4 bytes, big-endian) and the text in
    /// comparison form. Equal across the generations of a dataset. False, and nothing appended, if a key is blank (the
    /// record then has a `ref`).
    pub fn key_material(&self, out: &mut Vec<u8>) -> bool {
        self.schema.write_key(&self.slots, out)
    }

    /// Code of the deciding authority: the record's own, else the source's.
    pub fn authority_code(&self) -> Option<&str> {
        self.role(self.schema.roles.authority_code).or(self.source.authority_code.as_deref())
    }

    /// Name of the deciding authority: the record's own, else the source's.
    pub fn authority_name(&self) -> Option<&str> {
        self.role(self.schema.roles.authority_name).or(self.source.authority_name.as_deref())
    }

    /// Whom it is about, as declared and as its codes say.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// Whether the record names a basis on which its subject is an organisation or an individual business without a code.
    /// That counts once [`ValidRecord::vouch`] says that its authority may.
    pub fn claims_no_code(&self) -> bool {
        self.subject.can_be_vouched_for() && self.member(Member::Basis).is_some()
    }

    /// The authority may say so: what is declared counts from now on as if a code proved it.
    pub fn vouch(&mut self) {
        if self.claims_no_code() {
            self.subject = self.subject.vouched_for();
        }
    }

    /// The kind of subject that mappings and the tables keep: as declared.
    pub fn declared_kind(&self) -> SubjectKind {
        self.subject.declared()
    }

    /// The kind of subject that a policy for such recipients decides by.
    pub fn effective_kind(&self, recipient: RecipientKind) -> SubjectKind {
        self.subject.effective(recipient)
    }

    /// Who may see it: the strictest of usage scope, `audience` member, dataset and relaying node.
    pub fn audience(&self) -> Audience {
        self.audience
    }

    /// Whether its own status says that it was revoked.
    pub fn status(&self) -> RecordStatus {
        self.status
    }

    /// The last day on which it may be public, if it says one.
    pub fn publication_end(&self) -> Option<Date> {
        self.date(self.schema.roles.publication_end)
    }

    /// The day of the decision.
    pub fn decision_date(&self) -> Option<Date> {
        self.date(self.schema.roles.decision_date)
    }

    pub(crate) fn slots(&self) -> &[Slot<'a>] {
        &self.slots
    }

    pub(crate) fn source(&self) -> &'a SourceUnit {
        self.source
    }

    pub(crate) fn received(&self) -> Date {
        self.received
    }

    fn member(&self, member: Member) -> Option<&str> {
        self.slots[self.schema.fields.len() + member as usize].filled()
    }

    fn role(&self, field: Option<u16>) -> Option<&str> {
        self.slots[usize::from(field?)].filled()
    }

    fn date(&self, field: Option<u16>) -> Option<Date> {
        Date::parse_accepted(self.role(field)?).ok().map(|(date, _)| date)
    }
}

impl fmt::Debug for ValidRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValidRecord({}, {:?}, {:?})", self.schema.id, self.subject, self.audience)
    }
}

/// Findings that a recipient's schema would raise about mapped values, and their normal spelling.
pub(crate) fn check_mapped(
    schema: &Schema,
    kind: SubjectKind,
    received: Date,
    slots: &mut [Slot<'_>],
    findings: &mut Vec<Finding>,
) {
    let check = check::Check { received, relayed: false, recall: false };
    check.fields(schema, slots, findings);
    rules::apply(schema, kind, slots, check, findings);
}
