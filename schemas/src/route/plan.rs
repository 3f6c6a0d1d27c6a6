//! What leaves about one kind of subject: one step per field, in the order of the target schema.

use std::borrow::Cow;
use std::sync::Arc;

use xinqiao_crypto::{MacKey, hex};

use crate::identifier::registration::{self, Column};
use crate::mapping::Mapping;
use crate::mask;
use crate::model::SubjectKind;
use crate::policy::{Action, Coarse, Policy};
use crate::record::Slot;
use crate::route::{RouteError, line};
use crate::scan;
use crate::scan::values::{self, Needle};
use crate::schema::{Field, FieldType, Schema};
use crate::text::comparison_form;

/// The steps for one kind of subject. Dropped fields have none.
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// Fields of the source whose values must not show up inside other values either; true for names.
    hidden: Vec<(u16, bool)>,
}

pub(crate) struct Step {
    /// Slot of the target schema.
    pub(crate) slot: u16,
    pub(crate) code: Arc<str>,
    class: Arc<str>,
    /// `"CODE":`
    name: Box<[u8]>,
    pub(crate) action: Action,
    holds: Holds,
}

/// What a field can hold that a scan would look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// Nothing: a date, a number, a code without a text behind it.
    Nothing,
    /// Nothing, as long as it has the characters and length of its checked code.
    Code,
    /// Numbers of organisations, which a scan would take for a person's by chance: their own check decides first.
    Numbers(Column, SubjectKind),
    /// Anything.
    Anything,
}

impl Plan {
    pub(crate) fn new(
        from: &Schema,
        to: &Schema,
        mapping: Option<&Mapping>,
        policy: &Policy,
        kind: SubjectKind,
    ) -> Result<Self, RouteError> {
        let mut steps = Vec::new();
        for (number, field) in to.fields.iter().enumerate() {
            let mut action = policy.action(&field.class, kind);
            for source in mapping.map_or(&[][..], |mapping| mapping.targets[number].source.fields()) {
                let other = policy.action(&from.fields[usize::from(*source)].class, kind);
                action = action.stricter(other).ok_or_else(|| RouteError::MasksDiffer {
                    field: field.code.to_string(),
                    actions: [action.name(), other.name()],
                })?;
            }
            if action != Action::Drop {
                let mut name = Vec::new();
                line::string(&field.code, &mut name);
                name.push(b':');
                steps.push(Step {
                    slot: u16::try_from(number).expect("the loader caps the number of fields"),
                    code: Arc::clone(&field.code),
                    class: Arc::clone(&field.class),
                    name: name.into_boxed_slice(),
                    action,
                    holds: Holds::of(field, kind),
                });
            }
        }
        let hidden = from.fields.iter().enumerate();
        let hidden =
            hidden.filter(|(_, field)| tells_who(field) && policy.action(&field.class, kind).hides());
        let hidden = hidden.map(|(number, field)| {
            let number = u16::try_from(number).expect("the loader caps the number of fields");
            (number, &*field.class == "person-name")
        });
        Ok(Self { steps, hidden: hidden.collect() })
    }

    /// Whether a field of the target leaves in some form.
    pub(crate) fn carries(&self, code: &str) -> bool {
        self.steps.iter().any(|step| *step.code == *code)
    }

    /// Appends the members of `data`. `source` are the slots as validated, for what must stay hidden.
    pub(crate) fn write(
        &self,
        slots: &[Slot<'_>],
        source: &[Slot<'_>],
        pseudonym: &MacKey,
        out: &mut Vec<u8>,
    ) {
        let needles = self.needles(source);
        let mut first = true;
        for step in &self.steps {
            let slot = &slots[usize::from(step.slot)];
            if matches!(slot, Slot::Absent) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            out.extend_from_slice(&step.name);
            match slot {
                Slot::Absent | Slot::Null => out.extend_from_slice(b"null"),
                Slot::Text(text) if step.action == Action::Pass || text.is_empty() => line::string(text, out),
                Slot::Text(text) => line::string(&step.shown(text, &needles, pseudonym), out),
            }
        }
    }

    /// The values that must not stand in any text of this record.
    pub(crate) fn needles(&self, source: &[Slot<'_>]) -> Vec<Needle> {
        let mut needles = Vec::new();
        for (field, name) in &self.hidden {
            if let Some(value) = source[usize::from(*field)].filled() {
                values::needles(value, *name, &mut needles);
            }
        }
        needles
    }
}

impl Step {
    /// What leaves of a value.
    pub(crate) fn shown<'t>(&self, text: &'t str, needles: &[Needle], pseudonym: &MacKey) -> Cow<'t, str> {
        match self.action {
            Action::Pass => Cow::Borrowed(text),
            Action::Drop => Cow::Borrowed(""),
            Action::Scan => self.scanned(text, needles),
            Action::Mask(mask) => Cow::Owned(mask.of(text)),
            Action::Generalise(Coarse::Year) => Cow::Owned(mask::year(text)),
            Action::Generalise(Coarse::Division) => Cow::Owned(mask::division(text)),
            Action::Generalise(Coarse::AmountBand) => Cow::Owned(mask::amount_band(text)),
            Action::Pseudonymise => Cow::Owned(pseudonym_of(&self.class, text, pseudonym)),
        }
    }

    /// The text without identifiers, and without the values of fields that this recipient may not see.
    fn scanned<'t>(&self, text: &'t str, needles: &[Needle]) -> Cow<'t, str> {
        let nothing_in_it = match self.holds {
            Holds::Nothing => true,
            Holds::Code => is_checked_code(text),
            Holds::Numbers(column, kind) => registration::is_organisations(text, column, kind),
            Holds::Anything => false,
        };
        if nothing_in_it { Cow::Borrowed(text) } else { scan::redact_with(text, needles) }
    }
}

impl Holds {
    fn of(field: &Field, kind: SubjectKind) -> Self {
        if field.has_no_text() {
            return match field.kind {
                FieldType::Identifier { .. } => Self::Code,
                _ => Self::Nothing,
            };
        }
        field.column().map_or(Self::Anything, |column| Self::Numbers(column, kind))
    }
}

/// Whether a validated code is whole: what another node left of one, masked, is looked at like any text.
fn is_checked_code(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase() || byte == b'-';
    matches!(text.len(), 6 | 9 | 10 | 18) && text.bytes().all(plain)
}

/// Whether a field's value can tell who somebody is, so that it must not stand in free text where the field is hidden.
fn tells_who(field: &Field) -> bool {
    const SAYS_WHAT: [&str; 6] = ["free-text", "remark", "internal", "document-title", "authority", "public"];
    match field.kind {
        FieldType::Text(_) => !SAYS_WHAT.contains(&&*field.class),
        FieldType::Identifier { .. } | FieldType::Certificate { .. } => true,
        FieldType::Number { .. } | FieldType::Date | FieldType::Code { .. } => false,
    }
}

/// 32 hex digits: equal for equal values of one class under one key.
fn pseudonym_of(class: &str, text: &str, key: &MacKey) -> String {
    let mut mac = key.begin();
    mac.update(class.as_bytes());
    mac.update(&[0]);
    mac.update(comparison_form(text).as_bytes());
    hex::encode(&mac.finish16())
}
