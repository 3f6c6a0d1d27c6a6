//! What holds for every input.

use std::borrow::Cow;

use proptest::prelude::*;
use xinqiao_schemas::{Caps, Charset, Format, RawRecord, Release, Schema, Slot};

use crate::fixture::{HEAD, context, decode_all, decode_with, raw, route, schema, with};

const FORMATS: [Format; 4] = [Format::Json, Format::Ndjson, Format::Xml, Format::Csv];

/// Encodes records the way a careful sender would. All have the same columns.
fn encode(schema: &Schema, format: Format, records: &[Vec<(usize, String)>]) -> String {
    let code = |number: &usize| schema.fields()[*number].code();
    let json = |record: &Vec<(usize, String)>| {
        let object: serde_json::Map<String, serde_json::Value> =
            record.iter().map(|(number, value)| (code(number).to_owned(), value.clone().into())).collect();
        serde_json::Value::Object(object).to_string()
    };
    let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
    match format {
        Format::Json => format!("[{}]", records.iter().map(json).collect::<Vec<_>>().join(",")),
        Format::Ndjson => records.iter().map(|record| json(record) + "\n").collect(),
        Format::Xml => {
            let field = |(number, value): &(usize, String)| {
                let escaped = value
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;")
                    .replace('\r', "&#13;");
                format!("<{0}>{escaped}</{0}>", code(number))
            };
            let record = |record: &Vec<(usize, String)>| {
                format!("<record>{}</record>", record.iter().map(field).collect::<String>())
            };
            format!("<records>{}</records>", records.iter().map(record).collect::<String>())
        }
        Format::Csv => {
            let header: Vec<&str> = records[0].iter().map(|(number, _)| code(number)).collect();
            let mut out = header.join(",") + "\r\n";
            for record in records {
                let cells: Vec<String> = record.iter().map(|(_, value)| quoted(value)).collect();
                out += &(cells.join(",") + "\r\n");
            }
            out
        }
    }
}

fn expected(schema: &Schema, record: &[(usize, String)]) -> RawRecord<'static> {
    let mut raw = RawRecord::new(schema.fields().len());
    for (number, value) in record {
        raw.set_field(*number, Slot::Text(Cow::Owned(value.clone())));
    }
    raw
}

fn records() -> impl Strategy<Value = Vec<Vec<(usize, String)>>> {
    let fields = schema("sample-penalty-2020").fields().len();
    let columns = proptest::sample::subsequence((0..fields).collect::<Vec<_>>(), 1..=fields);
    columns.prop_flat_map(|columns| {
        let text = "[a-z0-9 ,;\"'<>&\\\\/〔〕张𠮷\u{3000}\\n\\r\\t]{0,12}";
        let record = proptest::collection::vec(text, columns.len())
            .prop_map(move |values| columns.iter().copied().zip(values).collect());
        proptest::collection::vec(record, 1..4)
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(records in records()) {
        let schema = schema("sample-penalty-2020");
        for format in FORMATS {
            let body = encode(schema, format, &records);
            let (decoded, result) = decode_all(schema, format, body.as_bytes());
            prop_assert_eq!(result.unwrap() as usize, records.len());
            for (record, sent) in decoded.iter().zip(&records) {
                prop_assert_eq!(record.as_ref().unwrap(), &expected(schema, sent), "{:?}", format);
            }
            let (gb, _, _) = encoding_rs::GB18030.encode(&body);
            let (again, _) = decode_with(schema, format, Charset::Gb18030, &gb, &Caps::default());
            prop_assert_eq!(again, decoded);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for format in FORMATS {
            for charset in [Charset::Utf8, Charset::Gb18030] {
                let _ = decode_with(schema("sample-penalty-2020"), format, charset, &bytes, &Caps::default());
            }
        }
    }

    #[test]
    fn no_damage_makes_a_decoder_panic(records in records(), at in 0_usize..400, byte in any::<u8>(), cut in any::<bool>()) {
        let schema = schema("sample-penalty-2020");
        for format in FORMATS {
            let mut body = encode(schema, format, &records).into_bytes();
            let at = at % body.len();
            if cut { body.truncate(at) } else { body[at] = byte }
            let _ = decode_all(schema, format, &body);
        }
    }

    #[test]
    fn json_that_serde_refuses_is_refused(text in "[\\[\\]{}:, \"a0e.+\\-\\\\nult]{0,24}") {
        let schema = schema("sample-penalty-2020");
        let (_, result) = decode_all(schema, Format::Json, text.as_bytes());
        if result.is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn no_value_makes_validation_panic_and_every_line_is_json(
        field in 0_usize..17,
        value in "\\PC{0,30}|[0-9/.\\-]{0,18}|[\u{0}-\u{20}]{0,3}",
    ) {
        let schema = schema("sample-penalty-2020");
        let code = schema.fields()[field % schema.fields().len()].code();
        let code: &'static str = Box::leak(code.to_owned().into_boxed_str());
        let context = context();
        let mut findings = Vec::new();
        let raw = raw(schema, &with(crate::fixture::company(), code, &value));
        if let Some(record) = schema.validate(raw, &context, &mut findings) {
            for policy in ["province", "portal-public", "agency"] {
                let mut out = Vec::new();
                if let Release::Released(_) = route(schema.id(), schema.id(), policy).release(&record, &HEAD, &mut out) {
                    prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
                    prop_assert!(!out.contains(&b'\n'));
                }
            }
        } else {
            prop_assert!(findings.iter().any(|finding| finding.refuses()));
        }
    }
}
