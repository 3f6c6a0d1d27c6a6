//! Bodies that departments send, in every format and character set, up to the line that the public gets.
//!
//! Input: schema, format, character set, then the body.

use std::borrow::Cow;
use std::sync::OnceLock;

use serde::de::IgnoredAny;
use serde_json::Value;
use xinqiao_schemas::record::Member;
use xinqiao_schemas::{
    BodyError, Caps, Catalogue, Charset, Date, Finding, Format, LineHead, RawRecord, Release, Route,
    RouteSecrets, Schema, Slot, SourceUnit, ValidateContext, decode,
};

use super::Input;

pub(super) const FORMATS: [Format; 4] = [Format::Json, Format::Ndjson, Format::Xml, Format::Csv];
const CHARSETS: [Charset; 2] = [Charset::Utf8, Charset::Gb18030];

/// The catalogue that is compiled in, and the routes of its schemas to the public portal.
pub(super) struct Rules {
    pub(super) schemas: Vec<&'static Schema>,
    pub(super) public: Vec<Route>,
    pub(super) context: ValidateContext,
}

pub(super) fn rules() -> &'static Rules {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    static RULES: OnceLock<Rules> = OnceLock::new();
    RULES.get_or_init(|| {
        let catalogue = CATALOGUE.get_or_init(|| Catalogue::builtin().expect("the catalogue is sound"));
        let schemas: Vec<&Schema> = catalogue.schemas().map(|schema| &**schema).collect();
        let secrets = RouteSecrets::new([7; 32]);
        let route = |schema: &&Schema| {
            let route = catalogue.route(schema.id(), schema.id(), "portal-public", &secrets);
            route.expect("every schema has its identity route")
        };
        Rules { public: schemas.iter().map(route).collect(), schemas, context: context() }
    })
}

pub(super) fn context() -> ValidateContext {
    ValidateContext {
        received: Date::new(2026, 11, 21).expect("a date"),
        source: SourceUnit {
            authority_code: Some("11350299000000019C".to_owned()),
            authority_name: Some("厦门市样例监督管理局".to_owned()),
            unit_code: Some("11350299000000019C".to_owned()),
            unit_name: Some("厦门市样例监督管理局".to_owned()),
        },
        relayed: None,
    }
}

type Decoded = (Vec<Result<RawRecord<'static>, Vec<Finding>>>, Result<u32, BodyError>);

fn decoded(schema: &Schema, format: Format, charset: Charset, body: &[u8]) -> Decoded {
    let mut records = Vec::new();
    let result = decode(schema, format, charset, body, &Caps::default(), &mut |ordinal, record| {
        assert_eq!(ordinal as usize, records.len(), "ordinals count up");
        records.push(record.map(RawRecord::into_owned));
    });
    match &result {
        Ok(count) => assert_eq!(*count as usize, records.len(), "the count is that of the records"),
        Err(error) => {
            assert_eq!(error.delivered() as usize, records.len(), "the count is that before the break")
        }
    }
    (records, result)
}

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let which = usize::from(input.byte()) % rules().schemas.len();
    let schema = rules().schemas[which];
    let format = *input.choose(&FORMATS);
    let charset = *input.choose(&CHARSETS);
    let body = input.rest();
    let (records, result) = decoded(schema, format, charset, body);
    if charset == Charset::Utf8
        && let Ok(text) = std::str::from_utf8(body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body))
    {
        same_in_gb18030(schema, format, text, &(records.clone(), result.clone()));
        match format {
            Format::Json => as_serde_reads(schema, text, &records, &result),
            Format::Ndjson => line_by_line(schema, text, &records),
            Format::Xml | Format::Csv => {}
        }
    }
    let sound: Vec<RawRecord<'_>> = records.into_iter().filter_map(Result::ok).collect();
    written_again(schema, &sound);
    for record in sound {
        released(schema, &rules().public[which], record);
    }
}

/// Findings as places and codes: hints are rationed by body, so texts may differ where bodies do.
fn codes(
    records: &[Result<RawRecord<'static>, Vec<Finding>>],
) -> Vec<Result<RawRecord<'static>, Vec<String>>> {
    let code = |finding: &Finding| format!("{} {}", finding.field().unwrap_or("-"), finding.code());
    let of = |record: &Result<RawRecord<'static>, Vec<Finding>>| match record {
        Ok(record) => Ok(record.clone()),
        Err(findings) => Err(findings.iter().map(code).collect()),
    };
    records.iter().map(of).collect()
}

/// A text says the same in both character sets, if the other one can hold it.
fn same_in_gb18030(schema: &Schema, format: Format, text: &str, read: &Decoded) {
    let gb = encoding_rs::GB18030;
    let (bytes, _, lost) = gb.encode(text);
    let (back, failed) = gb.decode_without_bom_handling(&bytes);
    if lost || failed || back != text {
        return;
    }
    let (records, result) = decoded(schema, format, Charset::Gb18030, &bytes);
    assert_eq!(codes(&records), codes(&read.0), "the same records in GB18030");
    let code = |result: &Result<u32, BodyError>| result.as_ref().map_err(BodyError::code).copied();
    assert_eq!(code(&result), code(&read.1), "the same end in GB18030");
}

/// Our JSON reader and serde's agree on what is JSON and on every value.
fn as_serde_reads(
    schema: &Schema,
    text: &str,
    records: &[Result<RawRecord<'static>, Vec<Finding>>],
    result: &Result<u32, BodyError>,
) {
    let json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    match result {
        Ok(_) => assert!(json, "what we read is JSON"),
        Err(error) if json => assert!(
            matches!(
                error.code(),
                "body.empty"
                    | "body.too-deep"
                    | "body.too-many-fields"
                    | "body.record-too-large"
                    | "body.too-many-records"
            ),
            "JSON is refused for a limit only, not for {}",
            error.code()
        ),
        Err(_) => return,
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    let objects: Vec<&Value> = match &value {
        Value::Array(items) => items.iter().collect(),
        other => vec![other],
    };
    for (record, object) in records.iter().zip(objects) {
        let Ok(record) = record else { continue };
        let object = object.as_object().expect("a record is an object");
        let mut set = 0;
        for (name, value) in object {
            let slot = slot_of(schema, name, record).expect("an accepted record has known names only");
            match (value, slot) {
                (Value::Null, Slot::Null) => {}
                (Value::String(sent), Slot::Text(read)) => assert_eq!(sent, read, "a text is read as it is"),
                (Value::Number(sent), Slot::Text(read)) => {
                    let again: f64 = read.parse().expect("a number is read as it is written");
                    assert_eq!(sent.as_f64(), Some(again), "a number is read as it is");
                }
                _ => panic!("a value of another kind was accepted"),
            }
            set += 1;
        }
        let filled = slots(record).filter(|slot| !matches!(slot, Slot::Absent)).count();
        assert_eq!(filled, set, "nothing is added");
    }
}

fn slot_of<'r>(schema: &Schema, name: &str, record: &'r RawRecord<'_>) -> Option<&'r Slot<'r>> {
    if let Some(number) = schema.field_number(name) {
        return Some(record.field(number));
    }
    Member::ALL.into_iter().find(|member| member.name() == name).map(|member| record.member(member))
}

fn slots<'r>(record: &'r RawRecord<'_>) -> impl Iterator<Item = &'r Slot<'r>> {
    let fields = (0..record.fields()).map(|number| record.field(number));
    fields.chain(Member::ALL.into_iter().map(|member| record.member(member)))
}

/// Every line alone gives what it gives in the body.
fn line_by_line(schema: &Schema, text: &str, whole: &[Result<RawRecord<'static>, Vec<Finding>>]) {
    let mut alone = Vec::new();
    for line in text.split('\n') {
        // A byte order mark would be taken off at the beginning of a body, and only there.
        if line.starts_with('\u{FEFF}') {
            return;
        }
        alone.extend(decoded(schema, Format::Ndjson, Charset::Utf8, line.as_bytes()).0);
    }
    assert_eq!(codes(&alone), codes(whole), "lines are read one by one");
}

/// Records written in any format are read as they were.
fn written_again(schema: &Schema, records: &[RawRecord<'static>]) {
    for record in records {
        for format in FORMATS {
            let Some(text) = written(schema, format, record) else { continue };
            let (read, result) = decoded(schema, format, Charset::Utf8, text.as_bytes());
            assert_eq!(result.ok(), Some(1), "what is written is read: {format:?}");
            assert_eq!(read[0].as_ref().ok(), Some(record), "as it was written: {format:?}");
        }
    }
}

/// A record in a format; none if the format cannot say it.
pub(super) fn written(schema: &Schema, format: Format, record: &RawRecord<'_>) -> Option<String> {
    let mut names: Vec<&str> = schema.fields().iter().map(|field| field.code()).collect();
    for member in Member::ALL {
        names.push(member.name());
    }
    let set: Vec<(&str, &Slot<'_>)> =
        names.into_iter().zip(slots(record)).filter(|(_, slot)| !matches!(slot, Slot::Absent)).collect();
    if matches!(format, Format::Json | Format::Ndjson) {
        let value = |slot: &Slot<'_>| match slot {
            Slot::Text(text) => Value::String(text.clone().into_owned()),
            _ => Value::Null,
        };
        let object = set.into_iter().map(|(name, slot)| (name.to_owned(), value(slot))).collect();
        return Some(Value::Object(object).to_string());
    }
    let texts: Option<Vec<(&str, &Cow<'_, str>)>> = set
        .into_iter()
        .map(|(name, slot)| match slot {
            Slot::Text(text) => Some((name, text)),
            _ => None,
        })
        .collect();
    let texts = texts?;
    match format {
        Format::Xml => {
            let sayable = |c: char| {
                c >= ' ' && !matches!(c, '\u{FFFE}' | '\u{FFFF}') || matches!(c, '\t' | '\n' | '\r')
            };
            let mut out = String::from("<records><record>");
            for (name, text) in texts {
                if !text.chars().all(sayable) {
                    return None;
                }
                let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                out += &format!("<{name}>{}</{name}>", text.replace('\r', "&#13;"));
            }
            Some(out + "</record></records>")
        }
        _ if texts.is_empty() => None,
        _ => {
            let head: Vec<&str> = texts.iter().map(|(name, _)| *name).collect();
            let cell = |(_, text): &(&str, &Cow<'_, str>)| format!("\"{}\"", text.replace('"', "\"\""));
            let cells: Vec<String> = texts.iter().map(cell).collect();
            Some(format!("{}\r\n{}\r\n", head.join(","), cells.join(",")))
        }
    }
}

pub(super) const HEAD: LineHead<'static> = LineHead {
    op: "put",
    key: "0123456789abcdef0123456789abcdef",
    rev: 42,
    via: &["xm.example/350200-credit"],
    reference: Some("R-1"),
};

/// What stands nowhere but where it was planted.
const CANARY: &str = "芷菡萏鸢";

/// Whatever a record says, the public's line is one line of JSON and holds nothing of a field that the policy drops.
fn released(schema: &Schema, route: &Route, record: RawRecord<'static>) {
    line(schema, route, record.clone());
    let kinds = xinqiao_schemas::SubjectKind::ALL;
    let mut planted = record;
    for (number, field) in schema.fields().iter().enumerate() {
        let dropped = kinds.iter().all(|kind| route.policy().action(field.class(), *kind).name() == "drop");
        if let Slot::Text(text) = planted.field(number).clone()
            && dropped
        {
            planted.set_field(number, Slot::Text(Cow::Owned(format!("{text}{CANARY}"))));
        }
    }
    if let Some(line) = line(schema, route, planted) {
        assert!(!line.contains(CANARY), "a field that is dropped left");
    }
}

/// The line of a record, if it is accepted and released.
pub(super) fn line(schema: &Schema, route: &Route, record: RawRecord<'static>) -> Option<String> {
    let mut findings = Vec::new();
    let Some(record) = schema.validate(record, &rules().context, &mut findings) else {
        assert!(findings.iter().any(Finding::refuses), "a refused record has a finding that refuses it");
        return None;
    };
    assert!(!findings.iter().any(Finding::refuses), "an accepted record has none");
    let mut out = b"before".to_vec();
    match route.release(&record, &HEAD, &mut out) {
        Release::Released(released) => {
            assert_eq!(released.length(), out.len() - 6, "the length is that of the line");
            let line = String::from_utf8(out.split_off(6)).expect("a line is text");
            assert!(!line.contains('\n'), "a line has no line feed");
            let value: Value = serde_json::from_str(&line).expect("a line is JSON");
            assert_eq!(value["op"], "put");
            let data = value["data"].as_object().expect("a line has data");
            for code in data.keys() {
                let number = schema.field_number(code).expect("a line has fields of its schema");
                let class = schema.fields()[number].class();
                let kind = record.effective_kind(route.policy().recipient_kind());
                let action = route.policy().action(class, kind);
                assert_ne!(action.name(), "drop", "a field of class {class} left");
            }
            Some(line)
        }
        Release::Withheld(_) | Release::Quarantined(_) => {
            assert_eq!(out, b"before", "nothing is appended");
            None
        }
    }
}
