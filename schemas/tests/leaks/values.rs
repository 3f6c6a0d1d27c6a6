//! A number or a name in a field where nobody expects it.

use crate::sent::{NEW, PUBLIC, Pairs, business, catalogue, company, penalty, resident, send, with};
use xinqiao_schemas::SubjectKind;
use xinqiao_schemas::identifier::{registration, uscc};
use xinqiao_schemas::schema::FieldType;

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
