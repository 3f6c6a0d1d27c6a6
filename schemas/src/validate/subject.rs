//! Whom a record is about: what it declares, and what its codes prove. Both come from here and from nowhere else. Mappings
//! and the rules of the exchange tables keep what was declared; every decision of a policy takes what is effective.
//!
//! A declaration is a word that anybody may write, and a person behind it would be published as a company is. So towards
//! the public a subject is an organisation or an individual business only if a code with a check says so; whatever
//! proves nothing counts as a natural person. Where code and declaration contradict each other, nothing goes to the public
//! until the record is mended.

use crate::identifier::registration::Column;
use crate::identifier::{Form, organisation_code, registration, resident_id, uscc};
use crate::model::SubjectKind;
use crate::policy::RecipientKind;
use crate::record::Slot;
use crate::scan::{self, values};
use crate::schema::{FieldType, Schema, SubjectKindRule};

/// What a record says of its subject's kind, and what its codes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    declared: SubjectKind,
    /// The record or its schema says so in words; else it follows from which columns are filled.
    said: bool,
    proof: Proof,
}

/// What the codes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// That it is this.
    Kind(SubjectKind),
    /// Nothing that can be relied on.
    Nothing,
    /// Nothing, but the authority vouches for what is declared, on a basis of its own.
    Vouched,
    /// That there is a person behind it: a person's number for a code, or the name of the representative for that of the
    /// organisation.
    Person,
}

impl Subject {
    /// The kind as declared, in words or by the columns that are filled.
    pub fn declared(&self) -> SubjectKind {
        self.declared
    }

    /// The kind that policies for such recipients decide by: of what is declared and what is proven the one that is
    /// protected more.
    pub fn effective(&self, recipient: RecipientKind) -> SubjectKind {
        let shielded = |kind: SubjectKind| match kind {
            SubjectKind::LegalPerson => 0,
            SubjectKind::IndividualBusiness => 1,
            SubjectKind::NaturalPerson => 2,
        };
        match self.proof {
            _ if self.declared == SubjectKind::NaturalPerson => SubjectKind::NaturalPerson,
            Proof::Person => SubjectKind::NaturalPerson,
            Proof::Nothing if recipient.is_public() => SubjectKind::NaturalPerson,
            Proof::Nothing | Proof::Vouched => self.declared,
            Proof::Kind(proven) if !self.said || shielded(proven) > shielded(self.declared) => proven,
            Proof::Kind(_) => self.declared,
        }
    }

    /// What the codes prove, where that is another kind than the one that is declared in words.
    pub fn contradiction(&self) -> Option<SubjectKind> {
        match self.proof {
            Proof::Kind(proven) if self.said && proven != self.declared => {
                (self.declared != SubjectKind::NaturalPerson).then_some(proven)
            }
            _ => None,
        }
    }

    /// Whether an organisation or individual business is declared of which no code tells that it is one.
    pub fn is_unproven(&self) -> bool {
        self.declared != SubjectKind::NaturalPerson && matches!(self.proof, Proof::Nothing | Proof::Person)
    }

    /// Whether its authority's word can take the place of a code: no code says anything, and nothing points to a person.
    pub(super) fn can_be_vouched_for(&self) -> bool {
        self.is_unproven() && self.proof == Proof::Nothing
    }

    /// Whether its authority vouches for it.
    pub fn is_vouched_for(&self) -> bool {
        self.proof == Proof::Vouched
    }

    pub(super) fn vouched_for(self) -> Self {
        Self { proof: Proof::Vouched, ..self }
    }
}

/// Both kinds of a record, from its slots in their normal spelling; none if the schema cannot tell what is declared.
pub(super) fn of(schema: &Schema, slots: &[Slot<'_>]) -> Option<Subject> {
    let declared = declared(schema, slots)?;
    let said = !matches!(schema.subject_kind, SubjectKindRule::Organisation { .. });
    // What is protected most needs no proof.
    let proof = if declared == SubjectKind::NaturalPerson { Proof::Nothing } else { proof(schema, slots) };
    Some(Subject { declared, said, proof })
}

fn declared(schema: &Schema, slots: &[Slot<'_>]) -> Option<SubjectKind> {
    match &schema.subject_kind {
        SubjectKindRule::Always(kind) => Some(*kind),
        SubjectKindRule::Field { field, values } => {
            let value = slots[usize::from(*field)].filled()?;
            values.iter().find(|(known, _)| **known == *value).map(|(_, kind)| *kind)
        }
        SubjectKindRule::Organisation { when_any, individual_business } => {
            if !when_any.iter().any(|field| !slots[usize::from(*field)].is_blank()) {
                return Some(SubjectKind::NaturalPerson);
            }
            if let Some((field, prefixes)) = individual_business
                && let Some(value) = slots[usize::from(*field)].filled()
                && prefixes.iter().any(|prefix| value.starts_with(&**prefix))
            {
                return Some(SubjectKind::IndividualBusiness);
            }
            Some(SubjectKind::LegalPerson)
        }
    }
}

fn proof(schema: &Schema, slots: &[Slot<'_>]) -> Proof {
    let fields = &schema.subject;
    let all = || filled(slots, &fields.codes).chain(filled(slots, &fields.tax));
    // A credit code has a check, and a second one inside: it decides before all others.
    if let Some(kind) = all().find_map(by_credit_code) {
        return Proof::Kind(kind);
    }
    let a_persons = |column, fields| filled(slots, fields).any(|code| is_a_persons(code, column));
    if a_persons(Column::Codes, &fields.codes)
        || a_persons(Column::TaxNumbers, &fields.tax)
        || named_as_its_representative(schema, slots)
    {
        return Proof::Person;
    }
    let by_organisation_code = fields.codes.iter().filter_map(|field| {
        let kind = &schema.fields[usize::from(*field)].kind;
        let is_one = matches!(kind, FieldType::Identifier { form: Form::OrganisationCode, .. });
        let code = slots[usize::from(*field)].filled().filter(|_| is_one)?;
        let says = organisation_code::check(code).is_ok() && !ends_in_zeros(code);
        says.then_some(SubjectKind::LegalPerson)
    });
    let by_registration = filled(slots, &fields.codes).filter_map(by_registration_number);
    let by_tax = filled(slots, &fields.tax).filter_map(by_tax_number);
    // The trade of one person is the kind of which less is shown.
    match by_organisation_code.chain(by_registration).chain(by_tax).max() {
        Some(kind) => Proof::Kind(kind),
        None => Proof::Nothing,
    }
}

/// What a sound credit code says. A placeholder says nothing, and neither does one that may as well be a person's number.
fn by_credit_code(code: &str) -> Option<SubjectKind> {
    match uscc::check(code).ok()? {
        uscc::Kind::Ordinary | uscc::Kind::UnknownCategory | uscc::Kind::InnerCheckDigit => {
            Some(if uscc::is_individual_business(code) {
                SubjectKind::IndividualBusiness
            } else {
                SubjectKind::LegalPerson
            })
        }
        uscc::Kind::Placeholder | uscc::Kind::MayBeResidentNumber => None,
    }
}

/// What a registration number says. One in ten numbers of people is sound as one by chance, so one that may be a person's
/// says nothing.
fn by_registration_number(number: &str) -> Option<SubjectKind> {
    if !registration::is_registration_number(number) || resident_id::may_be_first_generation(number) {
        return None;
    }
    Some(if registration::is_of_individual_business(number) {
        SubjectKind::IndividualBusiness
    } else {
        SubjectKind::LegalPerson
    })
}

/// The same of a tax number, which has an organisation code inside.
fn by_tax_number(number: &str) -> Option<SubjectKind> {
    let says = registration::is_organisations_tax_number(number)
        && !resident_id::may_be_first_generation(number)
        && !ends_in_zeros(number);
    says.then_some(SubjectKind::LegalPerson)
}

/// Zeros alone satisfy the check of an organisation code, and people write them where they have to write something.
fn ends_in_zeros(code: &str) -> bool {
    code.bytes().rev().filter(|byte| *byte != b'-').take(9).all(|byte| byte == b'0')
}

/// Whether a person's number stands where a code of an organisation belongs; old tax numbers are one with two digits more.
fn is_a_persons(code: &str, column: Column) -> bool {
    let head = |length: usize| code.get(..length).unwrap_or_default();
    match code.len() {
        17 => resident_id::may_be_first_generation(head(15)),
        20 => resident_id::is_resident_number(head(18)),
        _ => {
            let is_of = |kind: &SubjectKind| registration::is_organisations(code, column, *kind);
            !SubjectKind::ALL.iter().any(is_of) && scan::holds_personal_number(code)
        }
    }
}

fn named_as_its_representative(schema: &Schema, slots: &[Slot<'_>]) -> bool {
    let representatives = || filled(slots, &schema.subject.representatives);
    filled(slots, &schema.subject.names)
        .any(|name| representatives().any(|person| values::is_same_name(name, person)))
}

fn filled<'s>(slots: &'s [Slot<'_>], fields: &'s [u16]) -> impl Iterator<Item = &'s str> {
    fields.iter().filter_map(|field| slots[usize::from(*field)].filled())
}
