//! Mapping, policies and the line.

use xinqiao_schemas::{
    Audience, CheckKind, Date, LineHead, RecallLine, Release, RouteError, RouteSecrets, WithheldReason,
    recall_line,
};

use crate::fixture::{
    HEAD, Pairs, catalogue, company, context, organisation_code, person, raw, release, resident_id, route,
    uscc, with,
};

const NEW: &str = "sample-penalty-2020";
const OLD: &str = "sample-penalty-2017";

fn old() -> Pairs {
    vec![
        ("CF_WSH", "厦样罚〔2017〕9号".to_owned()),
        ("CF_CFLB1", "警告".to_owned()),
        ("CF_CFLB2", "罚款".to_owned()),
        ("CF_XDR_MC", "厦门样例贸易有限公司".to_owned()),
        ("CF_XDR_ZDM", organisation_code("00413500")),
        ("CF_XDR_GSDJ", "350200100000001".to_owned()),
        ("CF_JDRQ", "2017/07/20".to_owned()),
    ]
}

#[test]
fn an_identity_route_writes_what_was_sent() {
    let pairs = with(with(company(), "ref", "R-1"), "CF_GSJZQ", "");
    let line = release(&route(NEW, NEW, "province"), &pairs).unwrap();
    let expected: serde_json::Map<_, _> = pairs
        .iter()
        .filter(|(code, _)| *code != "ref")
        .map(|(code, value)| ((*code).to_owned(), value.clone().into()))
        .collect();
    assert_eq!(line["data"], serde_json::Value::Object(expected));
    assert_eq!(line["op"], "put");
    assert_eq!(line["key"], HEAD.key);
    assert_eq!(line["rev"], 42);
    assert_eq!(line["audience"], "public");
    assert_eq!(line["via"], serde_json::json!(["xm.example/350200-credit"]));
    assert_eq!(line["ref"], "R-1");
}

#[test]
fn the_line_has_a_fixed_order_and_no_line_feed() {
    let route = route(NEW, NEW, "province");
    let context = context();
    let schema = route.source_schema();
    let pairs = with(company(), "CF_XDR_MC", "引\"号\\\n\t\u{1F600}公司");
    let record = schema.validate(raw(schema, &pairs), &context, &mut Vec::new()).unwrap();
    let head = LineHead { via: &[], rev: u64::MAX, ..HEAD };
    let mut out = Vec::new();
    assert!(matches!(route.release(&record, &head, &mut out), Release::Released(_)));
    let line = String::from_utf8(out).unwrap();
    let begin = r#"{"op":"put","key":"0123456789abcdef0123456789abcdef","rev":18446744073709551615,"audience":"public","via":[],"ref":"R-1","data":{"CF_XDR_MC":"引\"号\\\n\t😀公司","CF_XDR_LB":"法人及非法人组织","#;
    assert!(line.starts_with(begin), "{line}");
    assert!(line.ends_with("\"}}") && !line.contains('\n'));
}

#[test]
fn absent_null_and_empty_stay_distinct() {
    let schema = catalogue().schema(NEW).unwrap();
    let body = crate::fixture::json(&company()).replace('}', r#","CF_GSJZQ":null,"CF_ZT":""}"#);
    let (mut records, _) = crate::fixture::decode_all(schema, xinqiao_schemas::Format::Json, body.as_bytes());
    let context = context();
    let record = schema.validate(records.remove(0).unwrap(), &context, &mut Vec::new()).unwrap();
    let mut out = Vec::new();
    route(NEW, NEW, "province").release(&record, &HEAD, &mut out);
    let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert!(line["data"]["CF_GSJZQ"].is_null() && line["data"].get("CF_GSJZQ").is_some());
    assert_eq!(line["data"]["CF_ZT"], "");
    assert!(line["data"].get("CF_SYFW").is_none());
}

#[test]
fn code_2_of_2017_is_code_3_of_2020() {
    let line = release(&route(OLD, NEW, "province"), &old()).unwrap();
    let data = &line["data"];
    assert_eq!(data["CF_XDR_ZZJG"], organisation_code("00413500"));
    assert_eq!(data["CF_XDR_LB"], "法人及非法人组织");
    assert_eq!(data["CF_CFLB"], "警告;罚款");
    assert_eq!(data["CF_CFJGDM"], uscc("11350200", "00413500"), "from the source's registration");
    assert_eq!(data["CF_SYFW"], "0");
    assert!(!line.to_string().contains("350200100000001"), "the registration number is dropped by name");
}

#[test]
fn identity_numbers_move_with_the_kind_of_subject() {
    let mut pairs = old();
    pairs.retain(|(code, _)| !code.starts_with("CF_XDR_"));
    pairs.push(("CF_XDR_MC", "欧阳样例".to_owned()));
    pairs.push(("CF_XDR_SFZ", resident_id()));
    let data = release(&route(OLD, NEW, "province"), &pairs).unwrap()["data"].clone();
    assert_eq!(data["CF_XDR_LB"], "自然人");
    assert_eq!(data["CF_XDR_ZJLX"], "身份证");
    assert_eq!(data["CF_XDR_ZJHM"], resident_id());
    // For a company the same field is its representative's number, which has no place in the sample.
    let company = release(&route(OLD, NEW, "province"), &with(old(), "CF_XDR_SFZ", &resident_id())).unwrap();
    assert!(!company.to_string().contains(&resident_id()));
}

#[test]
fn what_a_recipient_cannot_hold_is_quarantined() {
    let unmapped = with(old(), "CF_CFLB2", "其他-通报");
    let Err(Release::Quarantined(findings)) = release(&route(OLD, NEW, "province"), &unmapped) else {
        panic!()
    };
    assert_eq!(crate::fixture::codes(&findings)[0], "Refuse CF_CFLB map.unmapped-value");
    // Without code or organisation code the target's own rule is broken.
    let mut bare = old();
    bare.retain(|(code, _)| *code != "CF_XDR_ZDM");
    let bare = with(bare, "ref", "R-9");
    let Err(Release::Quarantined(findings)) = release(&route(OLD, NEW, "province"), &bare) else { panic!() };
    assert_eq!(crate::fixture::codes(&findings), ["Refuse - record.at-least-one-of"]);
}

#[test]
fn usage_scope_reaches_the_envelope_and_the_gate() {
    for (scope, audience) in [("0", "public"), ("1", "government"), ("2", "authorised")] {
        let pairs = with(company(), "CF_SYFW", scope);
        let line = release(&route(NEW, NEW, "province"), &pairs).unwrap();
        assert_eq!(line["audience"], audience);
        let portal = release(&route(NEW, NEW, "portal-public"), &pairs);
        match scope {
            "0" => assert_eq!(portal.unwrap()["audience"], "public"),
            _ => assert!(matches!(portal, Err(Release::Withheld(WithheldReason::Audience)))),
        }
    }
    let narrowed = with(company(), "audience", "government");
    assert!(matches!(
        release(&route(NEW, NEW, "portal-public"), &narrowed),
        Err(Release::Withheld(WithheldReason::Audience))
    ));
}

#[test]
fn natural_persons_are_excluded_by_default() {
    let portal = release(&route(NEW, NEW, "portal-public"), &person());
    assert!(matches!(portal, Err(Release::Withheld(WithheldReason::SubjectKind))));
    let agency = route(NEW, NEW, "agency");
    assert!(matches!(release(&agency, &person()), Err(Release::Withheld(WithheldReason::NoAuthorisation))));
    let line = release(&agency, &with(person(), "authorisation", "SQ-2026-1")).unwrap();
    assert_eq!(line["data"]["CF_XDR_MC"], "欧阳**");
    assert!(line.get("ref").is_none(), "the policy drops references");
    let scope = with(company(), "CF_SYFW", "2");
    assert!(matches!(release(&agency, &scope), Err(Release::Withheld(WithheldReason::NoAuthorisation))));
    assert!(release(&agency, &with(scope, "authorisation", "SQ-2026-1")).is_ok());
}

#[test]
fn a_revoked_record_is_never_released() {
    let revoked = release(&route(NEW, NEW, "province"), &with(company(), "CF_ZT", "1"));
    assert!(matches!(revoked, Err(Release::Withheld(WithheldReason::Revoked))));
}

#[test]
fn what_a_policy_hides_is_nowhere_in_the_line() {
    let number = resident_id();
    let name = "欧阳样例";
    // The name and the number stand in free text too: the agency's policy scans the document number.
    let pairs = with(person(), "CF_WSH", &format!("关于{name}（{number}，13800001111）的决定"));
    let pairs = with(pairs, "authorisation", "SQ-2026-1");
    let line = release(&route(NEW, NEW, "agency"), &pairs).unwrap();
    let text = line.to_string();
    for canary in [name, number.as_str(), &number[..14], "13800001111", "SQ-2026-1"] {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
    assert!(line["data"].get("CF_XDR_ZJLX").is_none(), "a class that the policy does not name is dropped");
    assert_eq!(line["data"]["CF_NR_FK"], "0.1-1");
}

#[test]
fn pseudonyms_are_stable_for_one_recipient_only() {
    let pairs = with(person(), "authorisation", "SQ-2026-1");
    let one = release(&route(NEW, NEW, "agency"), &pairs).unwrap()["data"]["CF_XDR_ZJHM"].clone();
    let again = release(&route(NEW, NEW, "agency"), &with(pairs.clone(), "CF_WSH", "另一份")).unwrap();
    assert_eq!(one, again["data"]["CF_XDR_ZJHM"]);
    assert_eq!(one.as_str().unwrap().len(), 32);
    let other = catalogue().route(NEW, NEW, "agency", &RouteSecrets::new([8; 32])).unwrap();
    assert_ne!(one, release(&other, &pairs).unwrap()["data"]["CF_XDR_ZJHM"]);
    assert_eq!(format!("{:?}", RouteSecrets::new([8; 32])), "RouteSecrets(redacted)");
}

#[test]
fn routes_that_cannot_be_are_named() {
    let secrets = RouteSecrets::new([0; 32]);
    let failed =
        |from: &str, to: &str, policy: &str| catalogue().route(from, to, policy, &secrets).unwrap_err();
    assert_eq!(failed("nothing", NEW, "province"), RouteError::SchemaUnknown("nothing".to_owned()));
    assert_eq!(failed(NEW, NEW, "nobody"), RouteError::PolicyUnknown("nobody".to_owned()));
    assert_eq!(failed(NEW, OLD, "province"), RouteError::NoMapping(NEW.to_owned(), OLD.to_owned()));
    assert!(failed(NEW, OLD, "province").to_string().contains("mappings/"));
}

#[test]
fn digests_name_what_shaped_the_line() {
    let identity = route(NEW, NEW, "province");
    let mapped = route(OLD, NEW, "province");
    assert_eq!(identity.digests().schema, *identity.target_schema().digest());
    assert_eq!(identity.digests().schema, mapped.digests().schema);
    assert_ne!(identity.digests().mapping, mapped.digests().mapping);
    assert_ne!(identity.digests().policy, route(NEW, NEW, "agency").digests().policy);
}

#[test]
fn check_finds_required_fields_that_a_policy_drops() {
    let found = catalogue().check_route(NEW, "agency");
    let dropped: Vec<&str> =
        found.iter().filter(|f| f.kind == CheckKind::RequiredFieldDropped).map(|f| f.what.as_str()).collect();
    assert_eq!(dropped, ["CF_CFJGDM", "CF_CFJGDM"], "for both kinds of subject that the agency gets");
    let unnamed: Vec<&str> =
        found.iter().filter(|f| f.kind == CheckKind::ClassNotNamed).map(|f| &*f.what).collect();
    assert_eq!(unnamed, ["person-id-type", "authority"]);
    assert!(catalogue().check().len() > found.len());
}

#[test]
fn explain_shows_sent_mapped_and_released() {
    let route = route(OLD, NEW, "portal-public");
    let context = context();
    let schema = route.source_schema();
    let record = schema.validate(raw(schema, &old()), &context, &mut Vec::new()).unwrap();
    let explanation = route.explain(&record);
    assert!(explanation.withheld.is_none() && explanation.quarantined.is_empty());
    let row = |code: &str| {
        explanation.rows.iter().find(|row| row.sources.iter().any(|source| source == code)).unwrap()
    };
    let kinds = row("CF_CFLB2");
    assert_eq!((kinds.sent.as_deref(), kinds.released.as_deref()), (Some("警告 + 罚款"), Some("警告;罚款")));
    assert_eq!(row("CF_XDR_SFZ").action, "drop");
    assert!(row("CF_BM").action.starts_with("not mapped"));
    assert!(!format!("{explanation:?}").contains("厦门样例"), "Debug shows no value");
}

#[test]
fn a_recall_line_carries_reason_basis_and_day_only() {
    let mut out = Vec::new();
    let recall = RecallLine {
        reason: "repair-decided",
        basis: &format!("厦样修〔2026〕3号 {}", resident_id()),
        effective: Date::new(2026, 11, 21).unwrap(),
    };
    let head = LineHead { op: "repair", reference: None, ..HEAD };
    recall_line(&head, Audience::Government, &recall, &mut out);
    let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(line["op"], "repair");
    assert_eq!(line["audience"], "government");
    assert_eq!(line["data"]["reason"], "repair-decided");
    assert_eq!(line["data"]["effective"], "2026/11/21");
    assert!(!line.to_string().contains(&resident_id()));
}
