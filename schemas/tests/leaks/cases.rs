//! The inputs that once leaked, as they were handed in, each with its right answer.

use crate::sent::{NEW, Outcome, catalogue, send_body};
use xinqiao_schemas::Format;

fn case(name: &str) -> Outcome {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/leaks/cases").join(name);
    let body = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let format = if name.ends_with(".csv") { Format::Csv } else { Format::Ndjson };
    send_body(&catalogue(), NEW, NEW, format, &body)
}

#[test]
fn each_input_that_leaked_has_its_right_answer() {
    let shown = case("1-code-suffix.ndjson");
    assert!(!shown.lines.is_empty());
    shown.never_shows(&["350299198507070075", "13800138000"]);
    shown.doubts("CF_CFLB", "field.personal-number");

    let person = case("2-placeholder-as-legal-person.ndjson");
    assert_eq!((person.lines.len(), person.withheld.as_slice()), (0, &["withheld.subject-kind"; 2][..]));
    person.doubts("-", "record.subject-unproven");

    let spelt = case("3-operator-with-ideographic-space.ndjson");
    assert!(!spelt.lines.is_empty());
    spelt.never_shows(&["张三丰", "张　三丰", "三丰"]);

    let cell = case("4-representative-cell-with-number.ndjson");
    assert!(!cell.lines.is_empty());
    cell.never_shows(&["350299198507070075", "13800138000"]);
    cell.doubts("CF_FRDB", "field.personal-number");

    for (name, field) in [("10d-id-as-regno.csv", "CF_XDR_GSZC"), ("10q-id-in-orgreg.csv", "CF_XDR_SHZZ")] {
        let outcome = case(name);
        outcome.never_shows(&["350299199001010010"]);
        outcome.doubts(field, "field.personal-number");
    }
    for name in ["10e-92-as-legal.csv", "10u-92-as-legal-person-name.csv", "10w-92-as-legal-tax.csv"] {
        let outcome = case(name);
        assert_eq!(
            (outcome.lines.len(), outcome.withheld.as_slice()),
            (0, &["withheld.subject-contradiction"; 2][..]),
            "{name}"
        );
        outcome.doubts("-", "record.subject-contradicts");
    }
    for name in ["10s-id-as-uscc-ib.csv", "10t-id-as-uscc-legal.csv"] {
        let outcome = case(name);
        assert!(outcome.refused, "{name}");
        outcome.doubts("CF_XDR_SHXYM", "field.identifier");
    }
    let masked = case("10v-92-as-ib-person-name.csv");
    assert!(!masked.lines.is_empty() && masked.told.is_empty());
    masked.never_shows(&["测某某"]);
}
