//! One field at a time: length, characters, and what its type demands.

use std::borrow::Cow;

use crate::date::{Date, Spelling};
use crate::finding::{Finding, Severity};
use crate::identifier::{Doubt, Error, Form, registration};
use crate::model::SubjectKind;
use crate::number::{self, NumberError};
use crate::problem;
use crate::record::Slot;
use crate::scan;
use crate::schema::{CodePage, CodeSet, Field, FieldType, Limits, Schema};
use crate::text::{self, Unit};

/// How strictly to look.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    /// Birth and decision dates are checked against this day.
    pub(crate) received: Date,
    /// Masked values are tolerated and missing ones reported only.
    pub(crate) relayed: bool,
    /// It is about a record that was taken before, perhaps under older rules: what was taken can be recalled.
    pub(crate) recall: bool,
}

impl Check {
    /// Checks every field and puts dates, numbers and codes into their normal spelling.
    pub(crate) fn fields(self, schema: &Schema, slots: &mut [Slot<'_>], findings: &mut Vec<Finding>) {
        for (at, field) in schema.fields.iter().enumerate() {
            let Some(text) = slots[at].filled() else {
                if field.required {
                    let severity = if self.relayed { Severity::Warn } else { Severity::Refuse };
                    findings.push(Finding::of(&problem::FIELD_REQUIRED, severity).on(&field.code));
                }
                continue;
            };
            // What stands in columns of organisations' numbers is judged once it is known whose they are.
            if field.column().is_none() {
                personal_number(field, text, findings);
            }
            let before = findings.len();
            let respelt = self.value(field, text, slots, findings);
            if self.relayed && findings.len() > before && desensitised(&field.kind, text) {
                findings.truncate(before);
                findings.push(Finding::of(&problem::FIELD_MASKED, Severity::Warn).on(&field.code));
            }
            if let Some(respelt) = respelt {
                slots[at] = Slot::Text(Cow::Owned(respelt));
            }
        }
    }

    /// Looks for persons' numbers where numbers of organisations of this kind belong.
    pub(crate) fn codes_of(
        self,
        schema: &Schema,
        kind: SubjectKind,
        slots: &[Slot<'_>],
        findings: &mut Vec<Finding>,
    ) {
        for (slot, field) in slots.iter().zip(&schema.fields) {
            if let (Some(column), Some(value)) = (field.column(), slot.filled())
                && !registration::is_organisations(value, column, kind)
            {
                personal_number(field, value, findings);
            }
        }
    }

    /// Checks one filled value; gives its normal spelling, if that differs.
    #[inline]
    fn value(
        self,
        field: &Field,
        value: &str,
        slots: &[Slot<'_>],
        findings: &mut Vec<Finding>,
    ) -> Option<String> {
        match &field.kind {
            FieldType::Text(limits) => {
                characters(field, value, findings);
                length(field, value, limits, findings);
                None
            }
            FieldType::Date => date(field, value, findings),
            FieldType::Number { precision, scale } => decimal(field, value, *precision, *scale, findings),
            FieldType::Code { set, separator, limits } => {
                let respelt = codes(field, value, set, separator.as_deref(), findings);
                if let Some(limits) = limits {
                    length(field, respelt.as_deref().unwrap_or(value), limits, findings);
                }
                respelt
            }
            FieldType::Identifier { form, placeholders } => {
                if placeholders.iter().any(|placeholder| **placeholder == *value) {
                    findings.push(Finding::of(&problem::FIELD_PLACEHOLDER, Severity::Warn).on(&field.code));
                } else {
                    self.identifier(field, value, *form, findings);
                }
                None
            }
            FieldType::Certificate { kind_field, forms, limits } => {
                characters(field, value, findings);
                length(field, value, limits, findings);
                let kind = slots[usize::from(*kind_field)].filled();
                if let Some((_, form)) = forms.iter().find(|(known, _)| Some(&**known) == kind) {
                    self.identifier(field, value, *form, findings);
                }
                None
            }
        }
    }

    fn identifier(self, field: &Field, value: &str, form: Form, findings: &mut Vec<Finding>) {
        let (problem, severity, (en, zh)) = match form.check(value, self.received) {
            Ok(None) => return,
            Ok(Some(Doubt::Placeholder)) => {
                let text = Doubt::Placeholder.text();
                (&problem::FIELD_IDENTIFIER, Severity::Refuse, text)
            }
            Ok(Some(doubt)) => (&problem::FIELD_IDENTIFIER_DOUBT, Severity::Warn, doubt.text()),
            Err(error @ Error::ResidentNumber) if self.recall => {
                (&problem::FIELD_IDENTIFIER_DOUBT, Severity::Warn, error.text())
            }
            Err(error) => (&problem::FIELD_IDENTIFIER, Severity::Refuse, error.text()),
        };
        let name = Form::ALL.iter().find(|(_, known)| *known == form).map_or("identifier", |(name, _)| name);
        findings.push(Finding::of(problem, severity).on(&field.code).with(name).with(en).with(zh));
    }
}

/// Whether a value that fails its type may be what an upstream policy left of a sound one. Codes never are: audience,
/// standing and kind of subject depend on them.
fn desensitised(kind: &FieldType, value: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    match kind {
        FieldType::Code { .. } => false,
        FieldType::Date => value.len() == 4 && value.bytes().all(|b| b.is_ascii_digit()),
        FieldType::Number { .. } => is_band(value),
        _ => value.contains('*') || (value.len() == 32 && value.bytes().all(hex)),
    }
}

/// A person's number outside the fields that are for such: masked for the public, and the department should look.
fn personal_number(field: &Field, value: &str, findings: &mut Vec<Finding>) {
    // Most values have no digits to speak of; the scan's own first look is for longer texts.
    if !field.has_no_text() && !field.expects_personal_numbers() && scan::holds_personal_number(value) {
        findings.push(Finding::of(&problem::FIELD_PERSONAL, Severity::Warn).on(&field.code));
    }
}

/// Whether this is what [`crate::mask::amount_band`] writes: powers of ten, in which no number of a person can stand.
fn is_band(value: &str) -> bool {
    let size = value.strip_prefix('-').unwrap_or(value);
    let power = |text: &str| text.strip_prefix('1').is_some_and(|zeros| zeros.bytes().all(|b| b == b'0'));
    matches!(size, "0" | "<0.1" | "0.1-1")
        || size.split_once('-').is_some_and(|(low, high)| {
            power(low) && power(high) && high.len() == low.len() + 1 && high.len() <= 40
        })
}

fn characters(field: &Field, value: &str, findings: &mut Vec<Finding>) {
    let found = text::repertoire(value);
    if found.is_clean() {
        return;
    }
    if found.control.is_some() || found.noncharacter.is_some() {
        findings.push(Finding::refuse(&problem::FIELD_CONTROL).on(&field.code));
    }
    if found.replacement.is_some() {
        findings.push(Finding::of(&problem::FIELD_REPLACEMENT, Severity::Warn).on(&field.code));
    }
    if found.private_use.is_some() || found.unassigned.is_some() {
        findings.push(Finding::of(&problem::FIELD_RARE, Severity::Warn).on(&field.code));
    }
}

#[inline]
fn length(field: &Field, value: &str, limits: &Limits, findings: &mut Vec<Finding>) {
    let representable = match text::fits(value, limits.unit, limits.max) {
        Ok(true) => Ok(()),
        Ok(false) => return too_long(field, value, limits, findings),
        Err(stray) => Err(stray),
    };
    let representable = match limits.repertoire {
        CodePage::Any => representable,
        CodePage::Gbk => representable.and_then(|()| text::in_gbk(value)),
    };
    if representable.is_err() {
        findings.push(Finding::refuse(&problem::FIELD_REPERTOIRE).on(&field.code).with("GBK"));
    }
}

fn too_long(field: &Field, value: &str, limits: &Limits, findings: &mut Vec<Finding>) {
    let length = text::length(value, limits.unit).unwrap_or_default();
    let unit = match limits.unit {
        Unit::Characters => "characters / 字符",
        Unit::Utf8Bytes => "UTF-8 bytes / UTF-8 字节",
        Unit::GbkBytes => "GBK bytes / GBK 字节",
        Unit::Gb18030Bytes => "GB18030 bytes / GB18030 字节",
    };
    let finding = Finding::refuse(&problem::FIELD_TOO_LONG).on(&field.code);
    findings.push(finding.with_number(limits.max).with(unit).with_number(length));
}

fn date(field: &Field, value: &str, findings: &mut Vec<Finding>) -> Option<String> {
    match Date::parse_accepted(value) {
        Ok((_, Spelling::Slash)) => None,
        Ok((date, _)) => {
            findings.push(Finding::of(&problem::CLEANED_DATE, Severity::Cleaned).on(&field.code));
            let mut slash = Vec::with_capacity(10);
            date.write_slash(&mut slash);
            Some(String::from_utf8(slash).expect("digits and slashes"))
        }
        Err(_) => {
            findings.push(Finding::refuse(&problem::FIELD_DATE).on(&field.code));
            None
        }
    }
}

fn decimal(
    field: &Field,
    value: &str,
    precision: u32,
    scale: u32,
    findings: &mut Vec<Finding>,
) -> Option<String> {
    match number::check(value, precision, scale) {
        Ok(Cow::Borrowed(normal)) if normal.len() == value.len() => None,
        Ok(normal) => {
            findings.push(Finding::of(&problem::CLEANED_NUMBER, Severity::Cleaned).on(&field.code));
            Some(normal.into_owned())
        }
        Err(NumberError::TooLarge | NumberError::TooPrecise) => {
            let finding = Finding::refuse(&problem::FIELD_PRECISION).on(&field.code);
            findings.push(finding.with_number(precision.saturating_sub(scale)).with_number(scale));
            None
        }
        Err(_) => {
            findings.push(Finding::refuse(&problem::FIELD_NOT_NUMBER).on(&field.code));
            None
        }
    }
}

/// Checks one or several codes; gives the whole value with accepted spellings replaced.
fn codes(
    field: &Field,
    value: &str,
    set: &CodeSet,
    separator: Option<&str>,
    findings: &mut Vec<Finding>,
) -> Option<String> {
    let Some(separator) = separator else {
        return match code(field, value, set, findings) {
            Some(respelt) if respelt != value => {
                findings.push(Finding::of(&problem::CLEANED_CODE, Severity::Cleaned).on(&field.code));
                Some(respelt.to_owned())
            }
            _ => None,
        };
    };
    let mut seen: Vec<&str> = Vec::new();
    let mut respelt = false;
    for part in value.split(separator) {
        let normal = code(field, part, set, findings)?;
        respelt |= normal != part;
        if seen.contains(&normal) {
            findings.push(Finding::refuse(&problem::FIELD_CODE_TWICE).on(&field.code));
        }
        seen.push(normal);
    }
    if respelt {
        findings.push(Finding::of(&problem::CLEANED_CODE, Severity::Cleaned).on(&field.code));
    }
    respelt.then(|| seen.join(separator))
}

/// The normal spelling of one code; a finding and none, if it is not in the set.
fn code<'v>(field: &Field, value: &'v str, set: &'v CodeSet, findings: &mut Vec<Finding>) -> Option<&'v str> {
    for known in &set.values {
        if *known.code == *value {
            if let Some(suffix) = &known.suffix
                && suffix.required
            {
                let finding = Finding::refuse(&problem::FIELD_CODE_SUFFIX).on(&field.code);
                findings.push(finding.with(suffix.separator.to_string()));
            }
            return Some(value);
        }
        if let Some(suffix) = &known.suffix
            && let Some(rest) = value.strip_prefix(&*known.code)
            && let Some(described) = rest.strip_prefix(&*suffix.separator)
            && !described.trim().is_empty()
        {
            characters(field, described, findings);
            return Some(value);
        }
        if known.accept.iter().any(|accepted| **accepted == *value) {
            return Some(&known.code);
        }
    }
    let finding = Finding::refuse(&problem::FIELD_CODE).on(&field.code);
    findings.push(finding.with(set.id.to_string()).with(set.listed()));
    None
}
