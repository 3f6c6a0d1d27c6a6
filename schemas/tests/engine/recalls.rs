//! Recalls name a record and say why; they never carry it.

use xinqiao_schemas::{Date, RecallEffect, RecallRequest};

use crate::fixture::{Pairs, codes, company, context, raw, schema, with, without};

const NEW: &str = "sample-penalty-2020";

fn recall() -> Pairs {
    vec![
        ("ref", "2026-1".to_owned()),
        ("reason", "decision-annulled".to_owned()),
        ("basis", "厦样复〔2026〕3号".to_owned()),
        ("effective", "2026-11-20".to_owned()),
    ]
}

fn check(pairs: &Pairs) -> (Option<RecallRequest>, Vec<String>) {
    check_as(RecallEffect::Ends, pairs)
}

fn check_as(effect: RecallEffect, pairs: &Pairs) -> (Option<RecallRequest>, Vec<String>) {
    let schema = schema(NEW);
    let mut findings = Vec::new();
    let request = schema.validate_recall(raw(schema, pairs), effect, &context(), &mut findings);
    (request, codes(&findings))
}

#[test]
fn by_reference() {
    let (request, findings) = check(&recall());
    let request = request.unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(request.reference(), Some("2026-1"));
    assert_eq!(request.key_material(), None);
    assert_eq!(request.reason(), "decision-annulled");
    assert_eq!(request.basis(), "厦样复〔2026〕3号");
    assert_eq!(request.effective(), Date::new(2026, 11, 20).unwrap());
    assert_eq!(request.authority_code(), context().source.authority_code.as_deref());
}

#[test]
fn by_key_fields_it_meets_the_record() {
    let mut pairs = without(recall(), "ref");
    for code in ["CF_XDR_SHXYM", "CF_WSH", "CF_JDRQ"] {
        let value = company().into_iter().find(|(known, _)| *known == code).unwrap().1;
        pairs = with(pairs, code, &value);
    }
    let (request, findings) = check(&pairs);
    assert!(findings.is_empty(), "{findings:?}");
    let context = context();
    let record = schema(NEW).validate(raw(schema(NEW), &company()), &context, &mut Vec::new()).unwrap();
    let mut key = Vec::new();
    record.key_material(&mut key);
    assert_eq!(request.unwrap().key_material(), Some(&*key));
}

#[test]
fn incomplete_or_overfull_recalls_are_refused() {
    for (pairs, expected) in [
        (without(recall(), "ref"), "Refuse - recall.identity-missing"),
        (with(without(recall(), "ref"), "CF_WSH", "1号"), "Refuse - recall.identity-missing"),
        (without(recall(), "reason"), "Refuse reason recall.member-missing"),
        (with(recall(), "basis", " "), "Refuse basis recall.member-missing"),
        (with(recall(), "basis", &"长".repeat(257)), "Refuse basis recall.member-too-long"),
        (with(recall(), "effective", "soon"), "Refuse effective field.date"),
        (with(recall(), "CF_XDR_MC", "甲"), "Refuse CF_XDR_MC recall.record-not-wanted"),
        (with(recall(), "replaces", "2025-1"), "Refuse replaces recall.record-not-wanted"),
        (with(recall(), "CF_JDRQ", "2026/02/30"), "Refuse CF_JDRQ field.date"),
    ] {
        let (request, findings) = check(&pairs);
        assert!(request.is_none());
        assert!(findings.iter().any(|finding| finding == expected), "{expected} not in {findings:?}");
    }
}

#[test]
fn a_reason_that_says_the_opposite_of_the_operation_is_refused() {
    let withdrawn = with(recall(), "reason", "withdrawn");
    assert!(check_as(RecallEffect::Ends, &withdrawn).0.is_some());
    let (request, findings) = check_as(RecallEffect::Upholds, &withdrawn);
    assert!(request.is_none());
    assert_eq!(findings, ["Refuse reason recall.reason-contradicts"]);
    assert!(check_as(RecallEffect::Upholds, &with(recall(), "reason", "objection-withdrawn")).0.is_some());
}
