//! A reference outlives its record, so it must be no number of a person.

use crate::errors::Draw;
use crate::sent::{NEW, Pairs, catalogue, company, context, json, resident, with};
use xinqiao_schemas::route::{Release, RouteSecrets};
use xinqiao_schemas::{
    Caps, Catalogue, CatalogueFile, Charset, Format, LineHead, RecallEffect, Severity, decode,
};

/// What is found about references of records, and whether each is refused.
fn found_in(records: &[Pairs], mut each: impl FnMut(Vec<(String, Severity)>, bool)) {
    let catalogue = catalogue();
    let schema = catalogue.schema(NEW).expect("it ships");
    let body: Vec<String> = records.iter().map(json).collect();
    let context = context();
    decode(
        schema,
        Format::Ndjson,
        Charset::Utf8,
        body.join("\n").as_bytes(),
        &Caps::default(),
        &mut |_, raw| {
            let mut findings = Vec::new();
            let valid = schema.validate(raw.expect("it decodes"), &context, &mut findings);
            let about = findings.iter().filter(|f| f.code() == "record.ref-personal-number");
            let about = about.map(|f| (f.field().unwrap_or("-").to_owned(), f.severity()));
            each(about.collect(), valid.is_none());
        },
    )
    .expect("the body decodes");
}

fn found(record: &Pairs) -> (Vec<(String, Severity)>, bool) {
    let mut said = (Vec::new(), false);
    found_in(std::slice::from_ref(record), |found, refused| said = (found, refused));
    said
}

#[test]
fn a_reference_that_is_a_persons_number_is_refused_and_one_that_looks_like_one_is_doubted() {
    let number = resident("35029919850707007");
    let parts = format!("{}_{}_{}", &number[..6], &number[6..14], &number[14..]);
    for (reference, severity) in [
        (number.clone(), Severity::Refuse),
        (format!("CF-{number}-2026"), Severity::Refuse),
        (format!("cf{}", number.to_lowercase()), Severity::Refuse),
        (format!("{}-{}", &number[..6], &number[6..]), Severity::Refuse),
        (parts, Severity::Warn),
        ("350299850707007".to_owned(), Severity::Warn),
        ("13800138000".to_owned(), Severity::Warn),
        ("CF:138-0013-8000".to_owned(), Severity::Warn),
    ] {
        let refuses = severity == Severity::Refuse;
        assert_eq!(
            found(&with(company(), "ref", &reference)),
            (vec![("ref".to_owned(), severity)], refuses),
            "{reference}"
        );
    }
    // What was given before is found under it, whatever it is.
    let replacing = with(with(company(), "ref", "2026-000001"), "replaces", &number);
    assert_eq!(found(&replacing), (vec![("replaces".to_owned(), Severity::Warn)], false));
    for reference in
        ["2026-000001", "350200261120001", "6222020200112230", "20261120123456789012", "CF_2026.11:20/1"]
    {
        assert_eq!(found(&with(company(), "ref", reference)), (Vec::new(), false), "{reference}");
    }
}

#[test]
fn a_record_with_such_a_reference_can_be_recalled_and_shows_it_to_no_public_recipient() {
    let number = resident("35029919850707007");
    let catalogue = catalogue();
    let schema = catalogue.schema(NEW).expect("it ships");
    let recall = serde_json::json!({
        "ref": number, "reason": "mistake", "basis": format!("样撤〔2026〕1号，{number}"), "effective": "2026/11/21",
    });
    let mut codes = Vec::new();
    decode(
        schema,
        Format::Json,
        Charset::Utf8,
        recall.to_string().as_bytes(),
        &Caps::default(),
        &mut |_, raw| {
            let mut findings = Vec::new();
            let raw = raw.expect("it decodes");
            let recalled = schema.validate_recall(raw, RecallEffect::Ends, &context(), &mut findings);
            assert_eq!(recalled.expect("it is taken").reference(), Some(number.as_str()));
            codes = findings.iter().map(|f| (f.field().unwrap_or("-").to_owned(), f.code())).collect();
        },
    )
    .expect("the body decodes");
    let expected = [("ref", "record.ref-personal-number"), ("basis", "field.personal-number")];
    assert_eq!(codes, expected.map(|(on, code)| (on.to_owned(), code)));

    // A policy may pass references on; a line of another node may carry one like this.
    let mut files = Catalogue::builtin_files();
    let file = files.iter_mut().find(|file| file.path == "policies/portal-public.toml").expect("it ships");
    let text = file.text.replacen(
        "recipient-kind = \"portal\"",
        "recipient-kind = \"portal\"\nreference = \"pass\"",
        1,
    );
    *file = CatalogueFile { path: file.path.clone(), text };
    let catalogue = Catalogue::from_files(&files).unwrap_or_else(|errors| panic!("{errors}"));
    let schema = catalogue.schema(NEW).expect("it ships");
    let body = json(&company());
    decode(schema, Format::Json, Charset::Utf8, body.as_bytes(), &Caps::default(), &mut |_, raw| {
        let raw = raw.expect("it decodes");
        let context = context();
        let valid = schema.validate(raw, &context, &mut Vec::new()).expect("it is accepted");
        let route = catalogue.route(NEW, NEW, "portal-public", &RouteSecrets::new([7; 32])).expect("a route");
        for (reference, shown) in [("2026-000001", true), (number.as_str(), false)] {
            let head =
                LineHead { op: "put", key: "0123456789abcdef", rev: 1, via: &[], reference: Some(reference) };
            let mut line = Vec::new();
            assert!(matches!(route.release(&valid, &head, &mut line), Release::Released(_)));
            assert_eq!(String::from_utf8(line).expect("UTF-8").contains(reference), shown, "{reference}");
        }
    })
    .expect("the body decodes");
}

/// How a form of reference is called, one of it, and per thousand how many are refused and doubted at most.
type SerialForm = (&'static str, fn(&mut Draw) -> String, f64, f64);

#[test]
fn serial_numbers_are_seldom_taken_for_a_persons() {
    let forms: [SerialForm; 6] = [
        (
            "region, day of the decision, four digits",
            |d| format!("{}20261120{:04}", d.region(), d.below(10_000)),
            0.0,
            0.0,
        ),
        (
            "region, a day of this year, four digits",
            |d| {
                format!(
                    "{}2026{:02}{:02}{:04}",
                    d.region(),
                    1 + d.below(11),
                    1 + d.below(28),
                    d.below(10_000)
                )
            },
            0.0,
            100.0,
        ),
        (
            "region, a day of this year as six digits, three digits",
            |d| format!("{}26{:02}{:02}{:03}", d.region(), 1 + d.below(11), 1 + d.below(28), d.below(1_000)),
            0.0,
            0.0,
        ),
        (
            "a moment and four digits",
            |d| format!("202611{:02}{:06}{:04}", 1 + d.below(28), d.below(240_000), d.below(10_000)),
            0.0,
            0.0,
        ),
        (
            "eighteen digits at random",
            |d| format!("{:09}{:09}", d.below(1_000_000_000), d.below(1_000_000_000)),
            1.0,
            0.0,
        ),
        (
            "nineteen digits at random",
            |d| format!("{:010}{:09}", 1_000_000_000 + d.below(1_000_000_000), d.below(1_000_000_000)),
            0.0,
            0.0,
        ),
    ];
    let mut draw = Draw::new(7);
    for (form, make, refused_at_most, doubted_at_most) in forms {
        let records: Vec<Pairs> = (0..3_000).map(|_| with(company(), "ref", &make(&mut draw))).collect();
        let mut severities = Vec::new();
        found_in(&records, |found, _| severities.extend(found.into_iter().map(|(_, severity)| severity)));
        let per_thousand = |wanted: Severity| {
            let n = severities.iter().filter(|severity| **severity == wanted).count();
            f64::from(u32::try_from(n).expect("few")) / 3.0
        };
        let (refused, doubted) = (per_thousand(Severity::Refuse), per_thousand(Severity::Warn));
        println!("{form}, per thousand: refused {refused:.1}, doubted {doubted:.1}");
        assert!(refused <= refused_at_most && doubted <= doubted_at_most, "{form}");
    }
}
