//! Whom a record is about is told by its codes, not by what it says.

use crate::sent::{NEW, Pairs, business, catalogue, company, context, json, penalty, resident, send, with};
use xinqiao_schemas::SubjectKind::{IndividualBusiness, LegalPerson, NaturalPerson};
use xinqiao_schemas::identifier::{organisation_code, registration, uscc};
use xinqiao_schemas::route::{Release, RouteSecrets};
use xinqiao_schemas::{
    Caps, Catalogue, CatalogueFile, Charset, CheckKind, Format, LineHead, RecallEffect, RecipientKind,
    SubjectKind, decode,
};

const PLACEHOLDER: &str = uscc::PLACEHOLDER;
/// Registration numbers with a sound check digit, of a company and of an individual business.
const OF_COMPANY: &str = "110108000000016";

fn registered(first: &str) -> String {
    let check = registration::check_digit(first.as_bytes().try_into().expect("14 digits")).expect("digits");
    format!("{first}{}", char::from(check))
}

/// A credit code for the first eight characters and the eight of the inner code.
fn credit(head: &str, inner: &str) -> String {
    let check =
        organisation_code::check_character(inner.as_bytes().try_into().expect("eight")).expect("sound");
    let body = format!("{head}{inner}{}", char::from(check));
    let check = uscc::check_character(body.as_bytes().try_into().expect("seventeen")).expect("sound");
    format!("{body}{}", char::from(check))
}

/// A penalty in the table of 2017, of a company with a credit code.
fn company_2017() -> Pairs {
    [
        ("CF_WSH", "厦卫罚〔2026〕1号"),
        ("CF_CFMC", "样例"),
        ("CF_BM", "3502000001"),
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
    .to_vec()
}

/// One row: what stands in the code columns, the kind that is effective towards the public, and what the department is told.
type Row<'r> = (&'r [(&'static str, &'r str)], SubjectKind, Option<&'static str>);

const UNPROVEN: Option<&str> = Some("record.subject-unproven");
const CONTRADICTS: Option<&str> = Some("record.subject-contradicts");

fn judge(base: &Pairs, schema: &str, (codes, effective, told): &Row<'_>) {
    let record = codes.iter().fold(base.clone(), |record, (code, value)| with(record, code, value));
    let outcome = send(&catalogue(), schema, schema, &record);
    assert_eq!(outcome.effective, Some(*effective), "{codes:?} {:?}", outcome.told);
    let about = |code: &str| code.starts_with("record.subject");
    let said: Vec<&str> = outcome.told.iter().map(|(_, code)| *code).filter(|code| about(code)).collect();
    assert_eq!(said, told.iter().copied().collect::<Vec<_>>(), "{codes:?}");
    let published = *effective != NaturalPerson && *told != CONTRADICTS;
    assert_eq!(!outcome.lines.is_empty(), published, "{codes:?}");
    if !published {
        outcome.never_shows(&["测某某", "厦门样例1号贸易有限公司", "样例区测某某小吃店"]);
    }
    if *effective == IndividualBusiness {
        outcome.never_shows(&["测某某"]);
    }
}

#[test]
fn a_declared_organisation_is_one_if_a_code_with_a_check_says_so() {
    let trade = registered("35029960000001");
    let tax = "350203600037341";
    let old_person = "350299650101001";
    let person = resident("35029919650101001");
    let tax_of_a_person = format!("{person}00");
    let numeric = (0..).map(|n| credit("51350000", &format!("{n:08}"))).find(|code| {
        uscc::check(code) == Ok(uscc::Kind::Ordinary) && code.bytes().all(|b| b.is_ascii_digit())
    });
    let numeric = numeric.expect("there are some");
    let rows: &[Row<'_>] = &[
        (&[], LegalPerson, None),
        (&[("CF_XDR_SHXYM", numeric.as_str())], LegalPerson, None),
        // The credit code decides, whatever else stands there.
        (&[("CF_XDR_SHZZ", person.as_str())], LegalPerson, None),
        (&[("CF_XDR_SHXYM", "92350200MA31A0016W")], IndividualBusiness, CONTRADICTS),
        (&[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_GSZC", "104")], NaturalPerson, UNPROVEN),
        (&[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_SHZZ", "社证字第1号")], NaturalPerson, UNPROVEN),
        (&[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_GSZC", OF_COMPANY)], LegalPerson, None),
        (&[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_GSZC", trade.as_str())], IndividualBusiness, CONTRADICTS),
        (&[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_ZZJG", "60003734-1")], LegalPerson, None),
        (&[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_ZZJG", "00000000-0")], NaturalPerson, UNPROVEN),
        (&[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_SWDJ", tax)], LegalPerson, None),
        (&[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_SWDJ", "350203000000000")], NaturalPerson, UNPROVEN),
        (&[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_SWDJ", old_person)], NaturalPerson, UNPROVEN),
        // Together with a person's number the weaker codes prove nothing, and neither do they with a person's name.
        (
            &[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_GSZC", OF_COMPANY), ("CF_XDR_SHZZ", person.as_str())],
            NaturalPerson,
            UNPROVEN,
        ),
        (
            &[
                ("CF_XDR_SHXYM", PLACEHOLDER),
                ("CF_XDR_GSZC", OF_COMPANY),
                ("CF_XDR_SHZZ", tax_of_a_person.as_str()),
            ],
            NaturalPerson,
            UNPROVEN,
        ),
        (
            &[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_GSZC", OF_COMPANY), ("CF_XDR_MC", "测 某\u{3000}某")],
            NaturalPerson,
            UNPROVEN,
        ),
    ];
    rows.iter().for_each(|row| judge(&company(), NEW, row));
}

#[test]
fn a_declared_individual_business_is_one_if_its_code_says_so() {
    let trade = registered("35029960000001");
    let rows: &[Row<'_>] = &[
        (&[], IndividualBusiness, None),
        (&[("CF_XDR_MC", "测某某")], IndividualBusiness, None),
        (&[("CF_XDR_SHXYM", "91350200MA31A00160")], IndividualBusiness, CONTRADICTS),
        (&[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_GSZC", "104")], NaturalPerson, UNPROVEN),
        (&[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_GSZC", trade.as_str())], IndividualBusiness, None),
        (&[("CF_XDR_SHXYM", PLACEHOLDER), ("CF_XDR_GSZC", OF_COMPANY)], IndividualBusiness, CONTRADICTS),
    ];
    rows.iter().for_each(|row| judge(&business(), NEW, row));
}

#[test]
fn where_the_table_declares_nothing_the_codes_alone_say_what_it_is() {
    let trade = registered("35029960000001");
    let person = resident("35029919650101001");
    let tax_of_a_person = format!("{person}00");
    let none = ("CF_XDR_SHXYM", "");
    let rows: &[Row<'_>] = &[
        (&[], LegalPerson, None),
        (&[("CF_XDR_SHXYM", "92350200MA31A0016W")], IndividualBusiness, None),
        (&[none, ("CF_XDR_GSDJ", OF_COMPANY)], LegalPerson, None),
        (&[none, ("CF_XDR_GSDJ", trade.as_str())], IndividualBusiness, None),
        (&[none, ("CF_XDR_GSDJ", "350299000000002")], NaturalPerson, UNPROVEN),
        (&[none, ("CF_XDR_SWDJ", "350203600037341")], LegalPerson, None),
        // A person with nothing but a tax number.
        (&[none, ("CF_XDR_SWDJ", person.as_str())], NaturalPerson, UNPROVEN),
        (&[none, ("CF_XDR_SWDJ", tax_of_a_person.as_str())], NaturalPerson, UNPROVEN),
        (&[none, ("CF_XDR_SWDJ", "350299650101001")], NaturalPerson, UNPROVEN),
        (&[none, ("CF_XDR_SFZ", person.as_str()), ("CF_FR", "")], NaturalPerson, None),
    ];
    rows.iter().for_each(|row| judge(&company_2017(), "administrative-penalty-2017", row));
}

#[test]
fn a_code_that_may_be_a_persons_number_is_published_of_nobody() {
    // A credit code of an association in Sichuan, sound by both its checks, and a sound number of somebody born in 1996.
    let both = (0..100_000_000u32).map(|n| format!("{n:08}")).find_map(|inner| {
        let code = credit("51130019", &inner);
        (uscc::check(&code) == Ok(uscc::Kind::MayBeResidentNumber)).then_some(code)
    });
    let both = both.expect("there is one");
    judge(&company(), NEW, &(&[("CF_XDR_SHXYM", both.as_str())], NaturalPerson, UNPROVEN));
}

#[test]
fn authorities_get_what_was_declared_and_policies_decide_by_what_is_effective() {
    let mut files = Catalogue::builtin_files();
    let path = "policies/province-government.toml";
    let province = files.iter().find(|file| file.path == path).expect("it ships").text.clone();
    let narrow = province.replace("province-government", "narrow").replace(
        "person-name = \"pass\"",
        "person-name = { legal-person = \"pass\", individual-business = \"drop\" }",
    );
    files.push(CatalogueFile { path: "policies/narrow.toml".into(), text: narrow });
    let catalogue = Catalogue::from_files(&files).unwrap_or_else(|errors| panic!("{errors}"));
    let schema = catalogue.schema(NEW).expect("it ships");
    let line_of = |record: &Pairs, policy: &str| {
        let body = json(record);
        let (context, mut line) = (context(), Vec::new());
        decode(schema, Format::Json, Charset::Utf8, body.as_bytes(), &Caps::default(), &mut |_, raw| {
            let mut findings = Vec::new();
            let valid =
                schema.validate(raw.expect("it decodes"), &context, &mut findings).expect("it is accepted");
            assert_eq!(valid.declared_kind(), LegalPerson);
            let head = LineHead { op: "put", key: "0123456789abcdef", rev: 1, via: &[], reference: None };
            let route = catalogue.route(NEW, NEW, policy, &RouteSecrets::new([7; 32])).expect("a route");
            assert!(matches!(route.release(&valid, &head, &mut line), Release::Released(_)));
            let shown = route.explain(&valid);
            assert_eq!(shown.declared, LegalPerson);
            assert_eq!(shown.effective, valid.effective_kind(RecipientKind::Government));
        })
        .expect("the body decodes");
        String::from_utf8(line).expect("UTF-8")
    };
    let trade = with(company(), "CF_XDR_SHXYM", "92350200MA31A0016W");
    let line = line_of(&trade, "province-government");
    assert!(line.contains("法人及非法人组织") && line.contains("测某某"), "{line}");
    let line = line_of(&trade, "narrow");
    assert!(line.contains("法人及非法人组织") && !line.contains("CF_FRDB"), "{line}");
    let unproven = with(with(company(), "CF_XDR_SHXYM", PLACEHOLDER), "CF_XDR_GSZC", "104");
    assert!(line_of(&unproven, "narrow").contains("测某某"), "an authority takes it as declared");
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
fn a_schema_that_can_prove_no_subject_deserves_a_look() {
    let mut files = Catalogue::builtin_files();
    for file in files.iter_mut().filter(|file| file.path == format!("schemas/{NEW}.toml")) {
        for class in ["subject-code", "subject-tax-code"] {
            file.text = file.text.replace(&format!("class = \"{class}\""), "class = \"public\"");
        }
    }
    let catalogue = Catalogue::from_files(&files).unwrap_or_else(|errors| panic!("{errors}"));
    let found = catalogue.check();
    let found = found.iter().filter(|found| found.kind == CheckKind::SubjectNeverProven);
    let policies: Vec<&str> = found.filter_map(|found| found.policy.as_deref()).collect();
    assert_eq!(policies, ["agency-authorised", "portal-public"]);
}
