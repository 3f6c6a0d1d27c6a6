use super::*;
use crate::catalogue::Catalogue;
use crate::finding::{Finding, Severity};
use crate::validate::{SourceUnit, ValidateContext};
use crate::{Caps, Charset, Format, decode};

fn today() -> Date {
    Date::new(2026, 11, 21).unwrap()
}

fn generator() -> Generator {
    Generator::new(42, today())
}

/// Findings of each record of a body that was written and read again.
fn read(table: Table, format: Format, charset: Charset, body: &[u8]) -> Vec<Vec<Finding>> {
    let catalogue = Catalogue::builtin().unwrap_or_else(|errors| panic!("{errors}"));
    let schema = catalogue.schema(table.schema()).unwrap();
    let context = ValidateContext { received: today(), source: SourceUnit::default(), relayed: None };
    let mut all = Vec::new();
    let read = decode(schema, format, charset, body, &Caps::default(), &mut |_, record| {
        let mut findings = Vec::new();
        match record {
            Ok(record) => drop(schema.validate(record, &context, &mut findings)),
            Err(problems) => findings = problems,
        }
        all.push(findings);
    });
    assert!(read.is_ok(), "{:?}", read.err().map(|error| error.text_en()));
    all
}

#[test]
fn sound_records_raise_nothing_in_any_format() {
    let catalogue = Catalogue::builtin().unwrap_or_else(|errors| panic!("{errors}"));
    for table in Table::ALL {
        let records = generator().with_references().records(table, 200);
        let schema = catalogue.schema(table.schema()).unwrap();
        let body = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut body = Vec::new();
            write(&mut body);
            body
        };
        for (format, charset, body) in [
            (Format::Json, Charset::Utf8, body(&|out| write_json(&records, out))),
            (Format::Ndjson, Charset::Utf8, body(&|out| write_ndjson(&records, out))),
            (Format::Xml, Charset::Utf8, body(&|out| write_xml(&records, out))),
            (Format::Csv, Charset::Utf8, body(&|out| write_csv(&records, out))),
            (Format::Csv, Charset::Gb18030, body(&|out| write_csv_gb18030(&records, schema, out))),
        ] {
            let findings = read(table, format, charset, &body);
            assert_eq!(findings.len(), records.len());
            if let Some(finding) = findings.iter().flatten().next() {
                panic!("{table:?} {format:?}: {:?} {}", finding.field(), finding.text_en());
            }
        }
    }
}

#[test]
fn each_fault_raises_its_finding_and_no_worse() {
    for table in Table::ALL {
        let mut applied = 0;
        for fault in Fault::ALL {
            let Some(record) = generator().with_references().faulty(table, fault) else { continue };
            applied += 1;
            let mut body = Vec::new();
            write_ndjson(&[record], &mut body);
            let findings = read(table, Format::Ndjson, Charset::Utf8, &body).remove(0);
            let (severity, code) = fault.finding();
            let found: Vec<_> = findings.iter().map(|finding| (finding.severity(), finding.code())).collect();
            assert!(found.contains(&(severity, code)), "{table:?} {fault:?}: {found:?}");
            let refused = findings.iter().any(Finding::refuses);
            assert_eq!(refused, severity == Severity::Refuse, "{table:?} {fault:?}: {found:?}");
        }
        assert!(applied >= 14, "{table:?} takes {applied} faults");
    }
}

#[test]
fn columns_are_those_of_the_schema() {
    let catalogue = Catalogue::builtin().unwrap_or_else(|errors| panic!("{errors}"));
    for table in Table::ALL {
        let schema = catalogue.schema(table.schema()).unwrap();
        let codes: Vec<&str> = schema.fields().iter().map(crate::schema::Field::code).collect();
        assert_eq!(table.columns(), codes, "{table:?}");
        assert_eq!(schema.dataset(), table.dataset());
    }
}

#[test]
fn records_are_fixed_by_seed_and_place() {
    let all = generator().records(Table::CityPenalty, 50);
    assert!(all == generator().records(Table::CityPenalty, 50));
    assert!(all[30..] == generator().starting_at(30).records(Table::CityPenalty, 20));
    assert!(all != Generator::new(43, today()).records(Table::CityPenalty, 50));
    let mut documents: Vec<_> = all.iter().map(|record| record.get("JDSWH")).collect();
    documents.sort_unstable();
    documents.dedup();
    assert_eq!(documents.len(), 50);
}

#[test]
fn a_penalty_has_the_usual_size() {
    for table in [Table::CityPenalty, Table::Penalty2020] {
        let mut body = Vec::new();
        write_ndjson(&generator().records(table, 1_000), &mut body);
        let size = body.len() / 1_000;
        assert!((1_000..=1_250).contains(&size), "{table:?}: {size} bytes");
    }
}

#[test]
fn leaks_are_found_by_the_scan() {
    let record = generator().with_leaks().record(Table::CityPenalty);
    assert_eq!(crate::scan::find(record.get("WFSS").unwrap()).len(), 2);
    let clean = generator().record(Table::CityPenalty);
    assert!(crate::scan::find(clean.get("WFSS").unwrap()).is_empty());
}
