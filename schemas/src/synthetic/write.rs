//! Records as the bodies that departments send.

use super::Record;
use crate::schema::Schema;

/// A JSON array of objects.
pub fn write_json(records: &[Record], out: &mut Vec<u8>) {
    out.push(b'[');
    for (place, record) in records.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"\n" } else { b",\n" });
        object(record, out);
    }
    out.extend_from_slice(b"\n]\n");
}

/// One JSON object a line.
pub fn write_ndjson(records: &[Record], out: &mut Vec<u8>) {
    for record in records {
        object(record, out);
        out.push(b'\n');
    }
}

/// `<records><record><CODE>value</CODE>…</record>…</records>`.
pub fn write_xml(records: &[Record], out: &mut Vec<u8>) {
    out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<records>\n");
    for record in records {
        out.extend_from_slice(b"<record>");
        for (code, value) in &record.fields {
            out.extend_from_slice(format!("<{code}>").as_bytes());
            for character in value.chars() {
                match character {
                    '&' => out.extend_from_slice(b"&amp;"),
                    '<' => out.extend_from_slice(b"&lt;"),
                    '>' => out.extend_from_slice(b"&gt;"),
                    other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
            out.extend_from_slice(format!("</{code}>").as_bytes());
        }
        out.extend_from_slice(b"</record>\n");
    }
    out.extend_from_slice(b"</records>\n");
}

/// A header row of codes and a row per record, RFC 4180, UTF-8. All records must be of one table.
pub fn write_csv(records: &[Record], out: &mut Vec<u8>) {
    out.extend_from_slice(csv(records, |code| code).as_bytes());
}

/// The same with Chinese titles and in GB18030, as office programs of the departments save it. `schema` is the table's.
pub fn write_csv_gb18030(records: &[Record], schema: &Schema, out: &mut Vec<u8>) {
    let title = |code| schema.field_number(code).map_or(code, |number| schema.fields()[number].title());
    out.extend_from_slice(&encoding_rs::GB18030.encode(&csv(records, title)).0);
}

fn csv<'t>(records: &[Record], head: impl Fn(&'t str) -> &'t str) -> String {
    let Some(first) = records.first() else { return String::new() };
    let reference = records.iter().any(|record| record.get("ref").is_some()).then_some("ref");
    let columns: Vec<&'static str> =
        reference.into_iter().chain(first.table.columns().iter().copied()).collect();
    let heads: Vec<&str> = columns.iter().map(|code| head(code)).collect();
    let mut out = heads.join(",");
    out.push_str("\r\n");
    for record in records {
        assert_eq!(record.table, first.table, "one header row serves one table");
        for (place, column) in columns.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            let value = record.get(column).unwrap_or_default();
            if value.contains(['"', ',', '\r', '\n']) {
                out.push('"');
                out.push_str(&value.replace('"', "\"\""));
                out.push('"');
            } else {
                out.push_str(value);
            }
        }
        out.push_str("\r\n");
    }
    out
}

fn object(record: &Record, out: &mut Vec<u8>) {
    out.push(b'{');
    for (place, (code, value)) in record.fields.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, code).expect("writing to memory");
        out.push(b':');
        serde_json::to_writer(&mut *out, value).expect("writing to memory");
    }
    out.push(b'}');
}
