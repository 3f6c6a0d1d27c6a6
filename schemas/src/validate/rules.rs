//! Rules between the fields of one record.

use std::cmp::Ordering;

use crate::finding::{Finding, Severity};
use crate::model::SubjectKind;
use crate::number;
use crate::problem;
use crate::record::Slot;
use crate::schema::{Bound, Condition, Rule, RuleKind, Schema, Test};
use crate::validate::check::Check;

pub(crate) fn apply(
    schema: &Schema,
    kind: SubjectKind,
    slots: &[Slot<'_>],
    check: Check,
    findings: &mut Vec<Finding>,
) {
    for rule in &schema.rules {
        if holds(&rule.when, kind, slots) {
            one(schema, rule, slots, check, findings);
        }
    }
}

fn holds(condition: &Condition, kind: SubjectKind, slots: &[Slot<'_>]) -> bool {
    if let Some(kinds) = &condition.subject_kinds
        && !kinds[kind.index()]
    {
        return false;
    }
    let Some((field, test)) = &condition.field else { return true };
    let value = slots[usize::from(*field)].filled();
    match (test, value) {
        (Test::Filled(filled), value) => *filled == value.is_some(),
        (Test::Is(values), Some(value)) => values.iter().any(|known| **known == *value),
        (Test::Contains(parts), Some(value)) => parts.iter().any(|part| value.contains(&**part)),
        (Test::Is(_) | Test::Contains(_), None) => false,
    }
}

fn one(schema: &Schema, rule: &Rule, slots: &[Slot<'_>], check: Check, findings: &mut Vec<Finding>) {
    // A field that an upstream policy dropped is not the source's fault.
    let missing = if check.relayed { rule.severity.min(Severity::Warn) } else { rule.severity };
    if let RuleKind::AtLeastOneOf { listed } = &rule.kind {
        if rule.fields.iter().all(|field| slots[usize::from(*field)].is_blank()) {
            findings.push(Finding::of(&problem::RECORD_AT_LEAST_ONE, missing).with(listed.clone()));
        }
        return;
    }
    for number in &rule.fields {
        let number = usize::from(*number);
        let field = &schema.fields[number];
        let say = |problem, severity| Finding::of(problem, severity).on(&field.code);
        let conditioned = |finding: Finding| finding.with(rule.when.en.clone()).with(rule.when.zh.clone());
        let Some(value) = slots[number].filled() else {
            if matches!(rule.kind, RuleKind::RequiredWhen) {
                findings.push(conditioned(say(&problem::FIELD_REQUIRED_WHEN, missing)));
            }
            continue;
        };
        let finding = match &rule.kind {
            RuleKind::RequiredWhen | RuleKind::AtLeastOneOf { .. } => None,
            RuleKind::BlankWhen => Some(conditioned(say(&problem::FIELD_BLANK_WHEN, rule.severity))),
            RuleKind::NotBefore { than } => {
                let than = usize::from(*than);
                // Dates are in their normal spelling here, in which the order of text is the order of days.
                let earlier =
                    slots[than].filled().is_some_and(|than| is_date(than) && is_date(value) && value < than);
                earlier.then(|| {
                    say(&problem::FIELD_NOT_BEFORE, rule.severity).with(schema.fields[than].code.to_string())
                })
            }
            RuleKind::NotAfterReceipt => {
                let after =
                    crate::date::Date::parse_accepted(value).is_ok_and(|(date, _)| date > check.received);
                after.then(|| say(&problem::FIELD_AFTER_RECEIPT, rule.severity))
            }
            RuleKind::PlausibleRange { min, max } => {
                let outside = min.as_ref().is_some_and(|min| order(value, min) == Some(Ordering::Less))
                    || max.as_ref().is_some_and(|max| order(value, max) == Some(Ordering::Greater));
                let end = |bound: &Option<Bound>| bound.as_ref().map_or("…", Bound::text).to_owned();
                outside.then(|| say(&problem::FIELD_RANGE, rule.severity).with(end(min)).with(end(max)))
            }
            RuleKind::StartsWith { prefixes } => {
                let wrong = !prefixes.iter().any(|prefix| value.starts_with(&**prefix));
                wrong.then(|| {
                    let finding = say(&problem::FIELD_PREFIX, rule.severity).with(prefixes.join(" / "));
                    conditioned(finding)
                })
            }
            RuleKind::DoubtfulValue { values } => {
                let doubtful = values.iter().any(|known| **known == *value);
                doubtful.then(|| say(&problem::FIELD_DOUBTFUL, rule.severity))
            }
        };
        findings.extend(finding);
    }
}

fn is_date(text: &str) -> bool {
    matches!(text.as_bytes(), [_, _, _, _, b'/', _, _, b'/', _, _])
}

fn order(value: &str, bound: &Bound) -> Option<Ordering> {
    match bound {
        Bound::Number(bound) => number::compare(value, bound).ok(),
        Bound::Date(bound) => is_date(value).then(|| value.cmp(bound)),
    }
}
