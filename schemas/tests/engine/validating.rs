//! Types, rules, cleaning, roles.

use xinqiao_schemas::{Audience, Date, Member, RecordStatus, Slot, SubjectKind, ValidateContext};

use crate::fixture::{
    check, company, context, json, organisation_code, person, raw, resident_id, schema, uscc, with, without,
};

const PENALTY: &str = "sample-penalty-2020";

#[test]
fn sound_records_pass_without_findings() {
    assert_eq!(check(PENALTY, &company()), (true, vec![]));
    assert_eq!(check(PENALTY, &person()), (true, vec![]));
}

#[test]
fn each_rule_is_seen() {
    let cases: Vec<(crate::fixture::Pairs, &str)> = vec![
        (without(company(), "CF_XDR_MC"), "Refuse CF_XDR_MC field.required"),
        (with(company(), "CF_XDR_MC", ""), "Refuse CF_XDR_MC field.required"),
        (with(company(), "CF_XDR_MC", &"长".repeat(201)), "Refuse CF_XDR_MC field.too-long"),
        (with(company(), "CF_XDR_MC", "甲\u{7}公司"), "Refuse CF_XDR_MC field.control-character"),
        (with(company(), "CF_XDR_MC", "甲\u{FFFD}公司"), "Warn CF_XDR_MC field.replacement-character"),
        (with(company(), "CF_XDR_LB", "组织"), "Refuse CF_XDR_LB field.code-unknown"),
        (with(company(), "CF_XDR_LB", "组织"), "Refuse - record.subject-kind-unknown"),
        (without(company(), "CF_XDR_SHXYM"), "Refuse - record.at-least-one-of"),
        (without(company(), "CF_XDR_SHXYM"), "Refuse - record.key-missing"),
        (with(company(), "CF_XDR_SHXYM", "91350200MA2X00011A"), "Refuse CF_XDR_SHXYM field.identifier"),
        (with(company(), "CF_XDR_SHXYM", "00000000000000000X"), "Warn CF_XDR_SHXYM field.placeholder"),
        (with(company(), "CF_XDR_SHXYM", "00000000000000000X"), "Refuse - record.key-missing"),
        (with(company(), "CF_CFJGDM", "00000000000000000X"), "Refuse CF_CFJGDM field.identifier"),
        (with(company(), "CF_XDR_LB", "个体工商户"), "Warn CF_XDR_SHXYM field.prefix"),
        (with(company(), "CF_XDR_LB", "自然人"), "Refuse CF_XDR_SHXYM field.blank-when"),
        (with(company(), "CF_XDR_LB", "自然人"), "Refuse CF_XDR_ZJHM field.required-when"),
        (without(company(), "CF_NR_FK"), "Warn CF_NR_FK field.required-when"),
        (with(company(), "CF_NR_FK", "0.1234567"), "Refuse CF_NR_FK field.precision"),
        (with(company(), "CF_NR_FK", "2,000"), "Refuse CF_NR_FK field.not-number"),
        (with(company(), "CF_NR_FK", "200000"), "Warn CF_NR_FK field.out-of-range"),
        (with(company(), "CF_JDRQ", "2026/13/45"), "Refuse CF_JDRQ field.date"),
        (with(company(), "CF_JDRQ", "2026/11/22"), "Refuse CF_JDRQ field.after-receipt"),
        (with(company(), "CF_GSJZQ", "2026/11/01"), "Refuse CF_GSJZQ field.not-before"),
        (with(company(), "CF_GSJZQ", "2026.11.1"), "Refuse CF_GSJZQ field.not-before"),
        (with(company(), "CF_CFLB", "其他"), "Refuse CF_CFLB field.code-suffix"),
        (with(company(), "CF_CFLB", "罚款;罚款"), "Refuse CF_CFLB field.code-twice"),
        (with(company(), "CF_CFLB", "罚款;"), "Refuse CF_CFLB field.code-unknown"),
        (with(company(), "CF_WSH", "空"), "Warn CF_WSH field.doubtful"),
        (with(person(), "CF_XDR_ZJHM", "350203199013019999"), "Refuse CF_XDR_ZJHM field.identifier"),
        (with(company(), "reason", "x"), "Refuse reason record.recall-member"),
        (with(company(), "ref", "张三的记录"), "Refuse ref record.ref-form"),
        (with(with(company(), "ref", "A"), "replaces", "A"), "Refuse replaces record.replaces-self"),
        (with(company(), "audience", "everybody"), "Refuse audience record.audience-unknown"),
    ];
    for (pairs, expected) in cases {
        let (passed, found) = check(PENALTY, &pairs);
        assert!(found.iter().any(|finding| finding == expected), "{expected} not in {found:?}");
        assert_eq!(passed, !found.iter().any(|finding| finding.starts_with("Refuse")));
    }
}

#[test]
fn accepted_oddities_pass() {
    for (code, value) in [
        ("CF_CFLB", "罚款;其他-暂停投标资格"),
        ("CF_GSJZQ", "2026/11/02"),
        ("CF_GSJZQ", "2099/12/31"),
        ("CF_NR_FK", "0"),
        ("CF_XDR_MC", "𠮷野家（样例）·公司〔2〕"),
    ] {
        assert_eq!(check(PENALTY, &with(company(), code, value)), (true, vec![]), "{code} {value}");
    }
    let passport = with(with(person(), "CF_XDR_ZJLX", "护照号"), "CF_XDR_ZJHM", "E12345678");
    assert_eq!(check(PENALTY, &passport), (true, vec![]));
    let other = with(with(person(), "CF_XDR_ZJLX", "其他-军官证"), "CF_XDR_ZJHM", "军字第1号");
    assert_eq!(check(PENALTY, &other), (true, vec![]));
}

#[test]
fn cleaning_is_explicit_and_reported() {
    let lower = uscc("91350200", "MA2X0001").to_lowercase();
    for (code, sent, kept, finding) in [
        ("CF_XDR_MC", " 甲公司\u{3000}", "甲公司", "cleaned.trim"),
        ("CF_GSJZQ", "NULL", "", "cleaned.null-word"),
        ("CF_JDRQ", "2026-11-02", "2026/11/02", "cleaned.date"),
        ("CF_GSJZQ", "长期", "2099/12/31", "cleaned.date"),
        ("CF_NR_FK", "00.20", "0.2", "cleaned.number"),
        ("CF_CFLB", "罚款;警告", "罚款;警告", ""),
        ("CF_XDR_SHXYM", &lower, &lower.to_uppercase(), "cleaned.normal-form"),
        ("CF_ZT", "正常", "0", "cleaned.code"),
    ] {
        let schema = schema(PENALTY);
        let context = context();
        let mut findings = Vec::new();
        let record =
            schema.validate(raw(schema, &with(company(), code, sent)), &context, &mut findings).unwrap();
        let codes: Vec<&str> = findings.iter().map(|finding| finding.code()).collect();
        let expected: Vec<&str> = Some(finding).filter(|finding| !finding.is_empty()).into_iter().collect();
        assert_eq!(codes, expected, "{code}");
        let route = crate::fixture::route(PENALTY, PENALTY, "province");
        let row =
            route.explain(&record).rows.into_iter().find(|row| row.target.as_deref() == Some(code)).unwrap();
        assert_eq!(row.sent.unwrap_or_default(), kept);
    }
}

#[test]
fn roles_are_read() {
    let schema = schema("sample-penalty-2017");
    let context = context();
    let pairs = |scope: &str, status: &str| {
        vec![
            ("CF_WSH", "厦样罚〔2017〕9号".to_owned()),
            ("CF_CFLB1", "警告".to_owned()),
            ("CF_XDR_MC", "样例".to_owned()),
            ("CF_XDR_SFZ", resident_id()),
            ("CF_JDRQ", "2017/07/20".to_owned()),
            ("CF_GSJZQ", "2018/07/20".to_owned()),
            ("CF_SYFW", scope.to_owned()),
            ("CF_ZT", status.to_owned()),
        ]
    };
    for (scope, audience) in [
        ("", Audience::Public),
        ("0", Audience::Public),
        ("1", Audience::Government),
        ("2", Audience::Authorised),
    ] {
        let mut findings = Vec::new();
        let record = schema.validate(raw(schema, &pairs(scope, "0")), &context, &mut findings).unwrap();
        assert_eq!(record.audience(), audience);
        assert_eq!(record.status(), RecordStatus::InForce);
        assert_eq!(record.declared_kind(), SubjectKind::NaturalPerson);
        assert_eq!(record.publication_end(), Date::new(2018, 7, 20));
        assert_eq!(record.decision_date(), Date::new(2017, 7, 20));
        assert_eq!(record.authority_code(), context.source.authority_code.as_deref());
        assert_eq!(record.reference(), None);
    }
    let mut findings = Vec::new();
    let revoked = schema.validate(raw(schema, &pairs("", "撤销")), &context, &mut findings).unwrap();
    assert_eq!(revoked.status(), RecordStatus::Revoked);

    // The stricter of usage scope, member and relaying node counts.
    let narrowed = with(pairs("1", "0"), "audience", "public");
    let record = schema.validate(raw(schema, &narrowed), &context, &mut findings).unwrap();
    assert_eq!(record.audience(), Audience::Government);
    let relayed = ValidateContext { relayed: Some(Audience::Authorised), ..context.clone() };
    let record = schema.validate(raw(schema, &narrowed), &relayed, &mut findings).unwrap();
    assert_eq!(record.audience(), Audience::Authorised);

    for (code, number, kind) in [
        ("CF_XDR_SHXYM", uscc("91350200", "MA2X0001"), SubjectKind::LegalPerson),
        ("CF_XDR_SHXYM", uscc("92350200", "MA2X0001"), SubjectKind::IndividualBusiness),
        ("CF_XDR_ZDM", organisation_code("00413500"), SubjectKind::LegalPerson),
    ] {
        let record = schema
            .validate(raw(schema, &with(pairs("", "0"), code, &number)), &context, &mut findings)
            .unwrap();
        assert_eq!(record.declared_kind(), kind);
    }
}

#[test]
fn masked_values_of_a_relay_are_doubtful_not_refused() {
    let schema = schema(PENALTY);
    let masked = with(person(), "CF_XDR_ZJHM", "350203************");
    let relayed = ValidateContext { relayed: Some(Audience::Public), ..context() };
    let mut findings = Vec::new();
    assert!(schema.validate(raw(schema, &masked), &relayed, &mut findings).is_some());
    assert_eq!(crate::fixture::codes(&findings), ["Warn CF_XDR_ZJHM field.masked"]);
    assert!(!check(PENALTY, &masked).0, "a department may not send masked values");

    // What an upstream policy dropped or made coarser is no reason to refuse either; a code that does not exist is.
    let coarse = with(without(masked, "CF_WSH"), "CF_NR_FK", "0.1-1");
    findings.clear();
    assert!(schema.validate(raw(schema, &coarse), &relayed, &mut findings).is_some());
    let expected =
        ["Warn CF_XDR_ZJHM field.masked", "Warn CF_WSH field.required", "Warn CF_NR_FK field.masked"];
    assert_eq!(crate::fixture::codes(&findings), expected);
    let kind = with(coarse, "CF_XDR_LB", "***");
    assert!(schema.validate(raw(schema, &kind), &relayed, &mut findings).is_none());
}

#[test]
fn the_key_is_the_same_in_every_generation() {
    let code = uscc("91350200", "MA2X0001");
    let context = context();
    let material = |id: &str, pairs: &crate::fixture::Pairs| {
        let schema = schema(id);
        let mut findings = Vec::new();
        let record = schema.validate(raw(schema, pairs), &context, &mut findings).unwrap();
        let mut key = Vec::new();
        assert!(record.key_material(&mut key), "{findings:?}");
        key
    };
    let new = material(PENALTY, &company());
    let old = vec![
        ("CF_WSH", "厦样罚[2026] 1号".to_owned()),
        ("CF_CFLB1", "罚款".to_owned()),
        ("CF_XDR_MC", "another spelling of the name".to_owned()),
        ("CF_XDR_SHXYM", code.to_lowercase()),
        ("CF_JDRQ", "2026-11-02".to_owned()),
    ];
    assert_eq!(material("sample-penalty-2017", &old), new);
    assert_ne!(material(PENALTY, &with(company(), "CF_WSH", "厦样罚〔2026〕2号")), new);
    assert_ne!(material(PENALTY, &with(company(), "CF_JDRQ", "2026/11/03")), new);
}

#[test]
fn a_reference_stands_in_for_missing_keys() {
    let pairs = with(with(company(), "CF_XDR_SHXYM", "00000000000000000X"), "ref", "2026-1");
    let schema = schema(PENALTY);
    let context = context();
    let mut findings = Vec::new();
    let record = schema.validate(raw(schema, &pairs), &context, &mut findings).unwrap();
    assert_eq!(record.reference(), Some("2026-1"));
    let mut key = vec![1];
    assert!(!record.key_material(&mut key));
    assert_eq!(key, [1]);
}

#[test]
fn values_never_show_in_findings_or_debug_output() {
    let canary = "CANARY350203";
    let schema = schema(PENALTY);
    let context = context();
    for field in schema.fields() {
        let pairs = vec![(Box::leak(field.code().to_owned().into_boxed_str()) as &str, canary.to_owned())];
        let mut findings = Vec::new();
        let raw = raw(schema, &pairs);
        let mut shown = format!("{raw:?}");
        let valid = schema.validate(raw, &context, &mut findings);
        shown.push_str(&format!("{valid:?} {findings:?} {}", serde_json::to_string(&findings).unwrap()));
        for finding in &findings {
            shown.push_str(&finding.text_en());
            shown.push_str(&finding.text_zh());
        }
        assert!(!shown.contains("CANARY"), "{}: {shown}", field.code());
    }
    let mut record = raw(schema, &company());
    record.set_member(Member::Ref, Slot::Text(format!("{canary} {canary}").into()));
    let mut findings = Vec::new();
    assert!(schema.validate(record, &context, &mut findings).is_none());
    assert!(!format!("{findings:?}").contains("CANARY"));
}

#[test]
fn findings_carry_limits_in_both_languages() {
    let schema = schema(PENALTY);
    let context = context();
    let mut findings = Vec::new();
    schema.validate(raw(schema, &with(company(), "CF_XDR_MC", &"长".repeat(201))), &context, &mut findings);
    let shown = serde_json::to_value(&findings[0]).unwrap();
    assert_eq!(shown["field"], "CF_XDR_MC");
    assert_eq!(shown["code"], "field.too-long");
    assert_eq!(shown["severity"], "refuse");
    assert!(shown["en"].as_str().unwrap().contains("200"), "{shown}");
    assert!(shown["zh"].as_str().unwrap().contains("201"), "{shown}");
    assert!(!json(&company()).is_empty());
}
