//! What senders are shown: schemas, templates, the list of codes.

use std::path::Path;

use xinqiao_schemas::{Format, problem};

use crate::fixture::{decode_all, schema};

#[test]
fn the_json_schema_names_every_field() {
    let schema = schema("sample-penalty-2020");
    let shown = schema.json_schema();
    for field in schema.fields() {
        assert_eq!(shown["properties"][field.code()]["title"], field.title());
        let required = shown["required"].as_array().unwrap().iter().any(|code| code == field.code());
        assert_eq!(required, field.required());
    }
    assert_eq!(shown["additionalProperties"], false);
    assert_eq!(shown["properties"]["CF_XDR_LB"]["enum"][0], "法人及非法人组织");
    assert!(shown["properties"]["CF_CFLB"].get("enum").is_none(), "several values are no enumeration");
}

#[test]
fn the_csv_template_is_a_header_that_decodes() {
    let schema = schema("sample-penalty-2020");
    let mut body = schema.template_csv();
    body.push_str(&",".repeat(schema.fields().len() - 1));
    let (records, result) = decode_all(schema, Format::Csv, body.as_bytes());
    assert_eq!(result.unwrap(), 1);
    assert!(records[0].is_ok());
}

#[test]
fn the_xml_schema_is_well_formed_and_names_every_field() {
    let schema = schema("sample-penalty-2020");
    let shown = schema.xml_schema();
    let mut reader = quick_xml::Reader::from_str(&shown);
    while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
    for field in schema.fields() {
        assert!(shown.contains(&format!(
            "name=\"{}\" minOccurs=\"{}\"",
            field.code(),
            u8::from(field.required())
        )));
    }
}

/// `docs/findings.md` is written from the table of problems: `XINQIAO_BLESS=1 cargo test -p xinqiao-schemas page_of`.
#[test]
fn page_of_findings_is_current() {
    let mut page = String::from(
        "# Finding codes 校验代码\n\nWhat the gateway can say about a body (`body.…`) or a record. Codes are stable, sentences may improve; `{0}` stands for\n\
         a limit, an expected value or a name from the schema, never for a value that was sent. A test keeps this page equal to\n\
         `schemas/src/problem.rs` (`XINQIAO_BLESS=1 cargo test -p xinqiao-schemas page_of` writes it anew).\n\n\
         | code | English | 中文 |\n|---|---|---|\n",
    );
    for problem in problem::ALL {
        page.push_str(&format!("| `{}` | {} | {} |\n", problem.code, problem.en, problem.zh));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/findings.md");
    if std::env::var_os("XINQIAO_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == page, "bless docs/findings.md");
}
