//! What must not reach a public recipient whichever field it was put into. Each test sends a record through the shipped
//! catalogue to the portal and the agency, and looks for what was planted in every byte.

use xinqiao_schemas::identifier::{registration, resident_id, uscc};
use xinqiao_schemas::route::{Release, RouteSecrets};
use xinqiao_schemas::schema::FieldType;
use xinqiao_schemas::validate::{SourceUnit, ValidateContext};
use xinqiao_schemas::{
    Caps, Catalogue, CatalogueFile, Charset, Date, Format, LineHead, ReadAsScan, RecallEffect, SubjectKind,
    decode,
};

const NEW: &str = "administrative-penalty-2020";
const PUBLIC: [&str; 2] = ["portal-public", "agency-authorised"];

type Pairs = Vec<(&'static str, String)>;

fn catalogue() -> Catalogue {
    Catalogue::builtin().unwrap_or_else(|errors| panic!("{errors}"))
}

/// A penalty against a company, as departments send it.
fn company() -> Pairs {
    [
        ("CF_XDR_MC", "厦门样例1号贸易有限公司"),
        ("CF_XDR_LB", "法人及非法人组织"),
        ("CF_XDR_SHXYM", "91350200MA31A00160"),
        ("CF_FRDB", "测某某"),
        ("CF_WSH", "厦卫罚〔2026〕1号"),
        ("CF_WFXW", "未取得卫生许可"),
        ("CF_SY", "样例事实"),
        ("CF_YJ", "样例条例第一条"),
        ("CF_CFLB", "罚款"),
        ("CF_NR", "罚款2000元"),
        ("CF_NR_FK", "0.2"),
        ("CF_JDRQ", "2026/11/20"),
        ("CF_YXQ", "2099/12/31"),
        ("CF_GSJZQ", "2027/11/20"),
        ("CF_CFJG", "示例市卫生健康委员会"),
        ("CF_CFJGDM", "113502999990000137"),
        ("CF_SJLY", "示例市卫生健康委员会"),
        ("CF_SJLYDM", "113502999990000137"),
    ]
    .map(|(code, value)| (code, value.to_owned()))
    .to_vec()
}

/// The same against an individual business.
fn business() -> Pairs {
    let record = with(company(), "CF_XDR_MC", "样例区测某某小吃店");
    with(with(record, "CF_XDR_LB", "个体工商户"), "CF_XDR_SHXYM", "92350200MA31A0016W")
}

fn with(mut pairs: Pairs, code: &'static str, value: &str) -> Pairs {
    pairs.retain(|(known, _)| *known != code);
    pairs.push((code, value.to_owned()));
    pairs
}

/// What a public recipient gets (nothing if it is withheld), and what the department is told.
struct Outcome {
    refused: bool,
    lines: Vec<String>,
    told: Vec<(String, &'static str)>,
}

impl Outcome {
    #[track_caller]
    fn never_shows(&self, canaries: &[&str]) {
        for canary in canaries {
            assert!(!self.lines.iter().any(|line| line.contains(canary)), "{canary}: {:#?}", self.lines);
        }
    }

    #[track_caller]
    fn doubts(&self, field: &str, code: &str) {
        assert!(self.told.iter().any(|(on, what)| on == field && *what == code), "{:?}", self.told);
    }
}

fn context() -> ValidateContext {
    let source = SourceUnit {
        authority_code: Some("113502999990000137".to_owned()),
        unit_code: Some("113502999990000137".to_owned()),
        unit_name: Some("示例市大数据中心".to_owned()),
        ..SourceUnit::default()
    };
    ValidateContext { received: Date::new(2026, 11, 21).expect("a day"), source, relayed: None }
}

fn send(catalogue: &Catalogue, schema: &str, to: &str, pairs: &Pairs) -> Outcome {
    let schema = catalogue.schema(schema).expect("a schema of the catalogue");
    let context = context();
    let object: serde_json::Map<String, serde_json::Value> =
        pairs.iter().map(|(code, value)| ((*code).to_owned(), value.clone().into())).collect();
    let body = serde_json::Value::Object(object).to_string();
    let mut outcome = Outcome { refused: true, lines: Vec::new(), told: Vec::new() };
    decode(schema, Format::Json, Charset::Utf8, body.as_bytes(), &Caps::default(), &mut |_, raw| {
        let mut findings = Vec::new();
        let valid = schema.validate(raw.expect("the record decodes"), &context, &mut findings);
        let told = |f: &xinqiao_schemas::Finding| (f.field().unwrap_or("-").to_owned(), f.code());
        outcome.told = findings.iter().map(told).collect();
        let Some(valid) = valid else { return };
        outcome.refused = false;
        for policy in PUBLIC {
            let route =
                catalogue.route(schema.id(), to, policy, &RouteSecrets::new([7; 32])).expect("a route");
            let head = LineHead { op: "put", key: "0123456789abcdef", rev: 1, via: &[], reference: None };
            let mut line = Vec::new();
            if let Release::Released(_) = route.release(&valid, &head, &mut line) {
                outcome.lines.push(String::from_utf8(line).expect("lines are UTF-8"));
                // What explains a release says no more than the release.
                let shown = route.explain(&valid);
                outcome.lines.extend(shown.rows.into_iter().filter_map(|row| row.released));
            }
        }
    })
    .expect("the body decodes");
    outcome
}

fn penalty(pairs: &Pairs) -> Outcome {
    send(&catalogue(), NEW, NEW, pairs)
}

fn resident(first: &str) -> String {
    let check =
        resident_id::check_character(first.as_bytes().try_into().expect("17 digits")).expect("digits");
    format!("{first}{}", char::from(check))
}

#[test]
fn a_number_behind_a_code_is_masked_and_doubted() {
    let text = "其他-对张三丰（身份证350299198507070075，电话13800138000）处罚";
    let outcome = penalty(&with(company(), "CF_CFLB", text));
    assert!(!outcome.lines.is_empty());
    outcome.never_shows(&["350299198507070075", "13800138000"]);
    outcome.doubts("CF_CFLB", "field.personal-number");
}

#[test]
fn a_number_in_a_cell_for_a_name_is_masked_and_doubted() {
    let outcome = penalty(&with(company(), "CF_FRDB", "测某某 350299198507070075 13800138000"));
    assert!(!outcome.lines.is_empty());
    outcome.never_shows(&["350299198507070075", "13800138000"]);
    outcome.doubts("CF_FRDB", "field.personal-number");
}

#[test]
fn a_number_for_a_registration_number_is_masked_and_doubted() {
    for (record, field) in [(business(), "CF_XDR_GSZC"), (company(), "CF_XDR_SHZZ")] {
        let outcome = penalty(&with(record, field, "350299199001010010"));
        assert!(!outcome.lines.is_empty());
        outcome.never_shows(&["350299199001010010"]);
        outcome.doubts(field, "field.personal-number");
    }
}

#[test]
fn every_field_that_can_hold_a_text_is_read_in_every_schema() {
    let catalogue = catalogue();
    let number = resident("35029919850707007");
    let phone = "13800138000";
    for schema in catalogue.schemas() {
        for policy in PUBLIC {
            let policy = catalogue.policy(policy).expect("it ships");
            for field in schema.fields().iter().filter(|field| !field.has_no_text()) {
                for kind in SubjectKind::ALL {
                    let action = policy.action(field.class(), kind);
                    assert_ne!(action.name(), "pass", "{} of {} for {kind:?}", field.code(), schema.id());
                }
            }
        }
    }
    // And what is planted in each of them does not arrive, where the record is taken at all.
    let schema = catalogue.schema(NEW).expect("it ships");
    let mut planted = 0;
    for field in schema.fields().iter().filter(|field| matches!(field.kind(), FieldType::Text(_))) {
        for record in [company(), business()] {
            let code: &'static str = Box::leak(field.code().to_owned().into_boxed_str());
            for canary in [number.as_str(), phone] {
                let outcome = penalty(&with(record.clone(), code, canary));
                planted += usize::from(!outcome.lines.is_empty());
                outcome.never_shows(&[canary]);
            }
        }
    }
    assert!(planted > 30, "{planted} records were released");
}

#[test]
fn the_code_of_the_power_of_2017_is_read_too() {
    let record: Pairs = [
        ("CF_WSH", "厦卫罚〔2026〕1号"),
        ("CF_CFMC", "样例"),
        ("CF_BM", "350299198507070075"),
        ("CF_CFLB1", "罚款"),
        ("CF_SY", "样例事实"),
        ("CF_YJ", "样例条例"),
        ("CF_XDR_MC", "厦门样例1号贸易有限公司"),
        ("CF_XDR_SHXYM", "91350200MA31A00160"),
        ("CF_FR", "测某某"),
        ("CF_JG", "罚款"),
        ("CF_JDRQ", "2026/11/20"),
        ("CF_XZJG", "示例市卫生健康委员会"),
        ("CF_ZT", "0"),
        ("DFBM", "350200"),
        ("SJC", "2026/11/20"),
    ]
    .map(|(code, value)| (code, value.to_owned()))
    .to_vec();
    let old = "administrative-penalty-2017";
    let outcome = send(&catalogue(), old, old, &record);
    assert!(!outcome.lines.is_empty(), "{:?}", outcome.told);
    outcome.never_shows(&["350299198507070075"]);
    outcome.doubts("CF_BM", "field.personal-number");
}

#[test]
fn an_operators_name_is_hidden_however_it_is_spelt() {
    for spelt in ["张　三丰", "张 三丰", "张\u{200B}三丰", "张·三丰", "张\u{AD}三丰", "张三丰"]
    {
        for inside in ["张三丰", "张 三丰", "张\u{3000}三\u{200D}丰"] {
            for field in ["CF_XDR_MC", "CF_SY", "CF_WSH", "CF_CFJG", "CF_NR_ZKDX"] {
                let record = with(with(business(), "CF_FRDB", spelt), field, &format!("样例{inside}样例"));
                let outcome = penalty(&record);
                assert!(!outcome.lines.is_empty());
                outcome.never_shows(&["三丰", inside, spelt]);
            }
            let record = with(business(), "CF_CFLB", &format!("其他-对{inside}处罚"));
            penalty(&with(record, "CF_FRDB", spelt)).never_shows(&["三丰", inside]);
        }
    }
}

#[test]
fn a_persons_number_in_the_column_of_the_credit_code_is_refused() {
    // The first satisfies both checks, but its category does not exist.
    for number in ["441399196001010808".to_owned(), resident("91350219850707007")] {
        for record in [company(), business()] {
            let outcome = penalty(&with(record, "CF_XDR_SHXYM", &number));
            outcome.never_shows(&[&number]);
            assert!(outcome.refused, "{:?}", outcome.told);
            outcome.doubts("CF_XDR_SHXYM", "field.identifier");
        }
    }
}

#[test]
fn what_was_taken_under_older_rules_can_be_recalled() {
    let catalogue = catalogue();
    let schema = catalogue.schema(NEW).expect("it ships");
    let recall = serde_json::json!({
        "CF_XDR_SHXYM": "441399196001010808", "CF_WSH": "厦卫罚〔2026〕1号", "CF_JDRQ": "2026/11/20",
        "reason": "mistake", "basis": "样撤〔2026〕1号", "effective": "2026/11/21",
    });
    let mut recalled = false;
    let each = &mut |_, raw: Result<_, _>| {
        let mut findings = Vec::new();
        let raw = raw.expect("it decodes");
        recalled = schema.validate_recall(raw, RecallEffect::Ends, &context(), &mut findings).is_some();
        let codes: Vec<&str> = findings.iter().map(xinqiao_schemas::Finding::code).collect();
        assert_eq!(codes, ["field.identifier-doubtful"]);
    };
    decode(schema, Format::Json, Charset::Utf8, recall.to_string().as_bytes(), &Caps::default(), each)
        .expect("the body decodes");
    assert!(recalled);
}

#[test]
fn numbers_of_organisations_still_arrive() {
    let number = "110108000000016";
    assert!(registration::is_registration_number(number) && uscc::check("91350200MA31A00160").is_ok());
    let record = with(with(company(), "CF_XDR_GSZC", number), "CF_XDR_SWDJ", "350203600037341");
    let outcome = penalty(&record);
    assert!(outcome.told.is_empty(), "{:?}", outcome.told);
    for shown in [number, "350203600037341", "91350200MA31A00160", "113502999990000137", "厦卫罚〔2026〕1号"]
    {
        assert!(outcome.lines[0].contains(shown), "{shown}");
    }
}

#[test]
fn a_policy_that_passes_texts_to_the_public_needs_a_basis() {
    let path = "policies/portal-public.toml";
    let load = |from: &str, to: &str| {
        let mut files = Catalogue::builtin_files();
        let file = files.iter_mut().find(|file| file.path == path).expect("it ships");
        assert!(file.text.contains(from));
        file.text = file.text.replacen(from, to, 1);
        Catalogue::from_files(&files)
    };
    let codes = |result: Result<Catalogue, xinqiao_schemas::LoadErrors>| {
        result.err().iter().flat_map(|errors| errors.iter().map(|error| error.code)).collect::<Vec<_>>()
    };
    for class in ["public", "document-number", "authority"] {
        let (from, to) = (format!("\n{class} = \"scan\""), format!("\n{class} = \"pass\""));
        assert_eq!(codes(load(&from, &to)), ["catalogue.passes-unread"], "{class}");
        let mut files = Catalogue::builtin_files();
        let file = files.iter_mut().find(|file| file.path == path).expect("it ships");
        file.text =
            file.text.replacen(&from, &to, 1) + &format!("\n[unscanned]\n{class} = \"某市信用条例第一条\"\n");
        let loaded = Catalogue::from_files(&files).unwrap_or_else(|errors| panic!("{errors}"));
        let policy = loaded.policy("portal-public").expect("it ships");
        assert_eq!(policy.unscanned_basis(class), Some("某市信用条例第一条"));
    }
    let scanned = ("\ninternal = \"drop\"", "\ninternal = \"drop\"\n[unscanned]\namount = \" \"");
    assert_eq!(codes(load(scanned.0, scanned.1)), ["catalogue.unscanned"]);
}

#[test]
fn a_policy_adopted_before_is_scanned_where_it_would_pass_texts_unread() {
    let mut files = Catalogue::builtin_files();
    let at = files.iter().position(|file| file.path == "policies/portal-public.toml").expect("it ships");
    let shipped = files.remove(at);
    let adopted = |edits: &[(&str, &str)]| {
        let text = edits.iter().fold(shipped.text.clone(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let file = CatalogueFile { path: shipped.path.clone(), text };
        Catalogue::from_files_and_adopted(&files, &[file]).unwrap_or_else(|errors| panic!("{errors}"))
    };
    let in_table = "subject-name = { legal-person = \"scan\", individual-business = \"scan\", natural-person = \"drop\" }\n";
    let (lax, read) = adopted(&[
        ("\npublic = \"scan\"", "\npublic = 'pass'"),
        ("document-number = \"scan\"", "document-number = \"pass\""),
        (in_table, ""),
        (
            "internal = \"drop\"\n",
            "internal = \"drop\"\n[classes.subject-name]\nlegal-person = \"pass\"\nindividual-business = \"mask-all\"\n",
        ),
    ]);
    let classes = ["document-number", "public", "subject-name"].map(str::to_owned).to_vec();
    assert_eq!(read, [ReadAsScan { policy: "portal-public".into(), classes }]);
    let policy = lax.policy("portal-public").expect("it is there");
    let names = SubjectKind::ALL.map(|kind| policy.action("subject-name", kind).name());
    assert_eq!(names, ["scan", "drop", "mask-all"]);
    assert_eq!(policy.action("amount", SubjectKind::LegalPerson).name(), "pass", "it is closed");
    // What a manifest names by digest is what was done.
    let text = String::from_utf8(policy.document().to_vec()).expect("TOML");
    assert!(text.contains("document-number = \"scan\"") && !text.contains("'pass'"), "{text}");
    let number = "其他-对张三丰（身份证350299198507070075）处罚";
    let outcome = send(&lax, NEW, NEW, &with(company(), "CF_CFLB", number));
    assert!(!outcome.lines.is_empty());
    outcome.never_shows(&["350299198507070075"]);
    // Alone and long after it still says what its lines were made under, so they do not count as scanned.
    let before = CatalogueFile {
        path: shipped.path.clone(),
        text: shipped.text.replacen("\npublic = \"scan\"", "\npublic = \"pass\"", 1),
    };
    let alone = Catalogue::from_files(&[before]).unwrap_or_else(|errors| panic!("{errors}"));
    let alone = alone.policy("portal-public").expect("it is there");
    assert!(!alone.is_at_least_as_strict_as(policy, None) && policy.is_at_least_as_strict_as(alone, None));
    // What is as it should be is taken as it was written.
    let (sound, read) = adopted(&[]);
    assert_eq!(
        (read, sound.policy("portal-public").expect("it is there").document()),
        (Vec::new(), shipped.text.as_bytes())
    );
}
