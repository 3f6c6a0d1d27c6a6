//! The template, read back as a spreadsheet program reads it: parts of a ZIP archive, each XML.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use quick_xml::events::Event;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use xinqiao_schemas::{Catalogue, FieldType, Schema};

/// The workbook's parts by name.
fn parts(schema: &Schema) -> BTreeMap<String, String> {
    let bytes = xinqiao_workbook::template(schema).unwrap();
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    (0..archive.len())
        .map(|n| {
            let mut file = archive.by_index(n).unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            (file.name().unwrap().into_owned(), text)
        })
        .collect()
}

/// The shared strings, in order: cells name them by number.
fn strings(part: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(part);
    let mut all = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) if tag.name().as_ref() == "t" => all.push(String::new()),
            Event::Text(text) => {
                if let Some(last) = all.last_mut() {
                    last.push_str(&text.xml10_content());
                }
            }
            Event::GeneralRef(name) => {
                let character = match &*name {
                    "amp" => '&',
                    "lt" => '<',
                    "gt" => '>',
                    other => panic!("&{other};"),
                };
                all.last_mut().unwrap().push(character);
            }
            Event::Eof => return all,
            _ => {}
        }
    }
}

#[test]
fn every_builtin_schema_has_a_template_whose_header_is_its_titles() {
    let catalogue = Catalogue::builtin().unwrap();
    let mut seen = 0;
    for schema in catalogue.schemas() {
        let parts = parts(schema);
        assert!(parts["xl/workbook.xml"].contains("name=\"数据\""), "{}", schema.id());
        assert!(parts["xl/workbook.xml"].contains("name=\"填表说明\""), "{}", schema.id());
        let strings = strings(&parts["xl/sharedStrings.xml"]);
        let titles: Vec<&str> = schema.fields().iter().map(|field| field.title()).collect();
        let sheet = &parts["xl/worksheets/sheet1.xml"];
        let row = sheet.split("<row r=\"1\"").nth(1).unwrap().split("</row>").next().unwrap();
        let header: Vec<&str> = row
            .split("<v>")
            .skip(1)
            .map(|cell| &*strings[cell.split("</v>").next().unwrap().parse::<usize>().unwrap()])
            .collect();
        assert_eq!(header, titles, "{}", schema.id());
        seen += 1;
    }
    assert!(seen > 3);
}

#[test]
fn short_code_lists_are_offered_and_the_second_sheet_explains_every_field() {
    let catalogue = Catalogue::builtin().unwrap();
    let schema = catalogue.schema("administrative-penalty-2020").unwrap();
    let parts = parts(schema);
    let sheet = &parts["xl/worksheets/sheet1.xml"];
    let lists = sheet.matches("<dataValidation type=\"list\"").count();
    let closed = schema
        .fields()
        .iter()
        .filter(|field| matches!(field.kind(), FieldType::Code { separator: None, .. }))
        .count();
    assert!(lists > 0 && lists <= closed, "{lists} of {closed}");
    let notes = &parts["xl/worksheets/sheet2.xml"];
    assert_eq!(notes.matches("<row ").count(), schema.fields().len() + 1);
    let strings = strings(&parts["xl/sharedStrings.xml"]);
    for field in schema.fields() {
        assert!(strings.iter().any(|text| text == field.code()), "{}", field.code());
    }
}
