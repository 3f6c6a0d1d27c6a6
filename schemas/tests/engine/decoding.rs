//! Golden bodies of each format, and what each damage does.

use xinqiao_schemas::{Caps, Charset, Format, Member, RawRecord, Schema, Slot};

use crate::fixture::{Decoded, codes, decode_all, decode_with, schema};

fn penalty() -> &'static Schema {
    schema("sample-penalty-2020")
}

fn text<'r>(record: &'r RawRecord<'_>, code: &str) -> Option<&'r str> {
    match record.field(penalty().field_number(code).unwrap()) {
        Slot::Text(text) => Some(text),
        _ => None,
    }
}

fn golden() -> [(Format, Vec<u8>); 4] {
    [
        (Format::Json, include_bytes!("golden/two.json").to_vec()),
        (Format::Ndjson, include_bytes!("golden/two.ndjson").to_vec()),
        (Format::Xml, include_bytes!("golden/two.xml").to_vec()),
        (Format::Csv, include_bytes!("golden/two.csv").to_vec()),
    ]
}

fn check_golden(records: &Decoded, format: Format) {
    let first = records[0].as_ref().unwrap();
    assert_eq!(text(first, "CF_XDR_MC"), Some("厦门\"样例\"<贸易>&有限公司, 一分店"), "{format:?}");
    assert_eq!(text(first, "CF_WSH"), Some("厦样罚〔2026〕1号\n第二行"), "{format:?}");
    assert_eq!(text(first, "CF_NR_FK"), Some("0.2"), "{format:?}");
    assert_eq!(text(first, "CF_GSJZQ"), Some(""), "{format:?}");
    assert_eq!(first.member(Member::Ref), &Slot::Text("R-1".into()), "{format:?}");
    let second = records[1].as_ref().unwrap();
    assert_eq!(text(second, "CF_XDR_MC"), Some("𠮷野家·样例"), "{format:?}");
    assert_eq!(records.len(), 2);
}

#[test]
fn golden_bodies_agree() {
    for (format, body) in golden() {
        let (records, result) = decode_all(penalty(), format, &body);
        assert_eq!(result.unwrap(), 2, "{format:?}");
        check_golden(&records, format);
        let mut with_mark = b"\xEF\xBB\xBF".to_vec();
        with_mark.extend_from_slice(&body);
        check_golden(&decode_all(penalty(), format, &with_mark).0, format);
    }
}

#[test]
fn gb18030_is_read_and_recognised() {
    for (format, body) in golden() {
        let utf8 = String::from_utf8(body).unwrap();
        let (gb, _, _) = encoding_rs::GB18030.encode(&utf8);
        let (records, result) = decode_with(penalty(), format, Charset::Gb18030, &gb, &Caps::default());
        result.unwrap();
        check_golden(&records, format);
        if gb.is_ascii() {
            continue; // the JSON sample escapes everything, as Python does
        }
        let (_, result) = decode_all(penalty(), format, &gb);
        assert_eq!(result.unwrap_err().code(), "body.encoding-looks-gb18030", "{format:?}");
    }
    let (_, result) = decode_with(penalty(), Format::Json, Charset::Gb18030, b"{\"\x81", &Caps::default());
    assert_eq!(result.unwrap_err().code(), "body.encoding");
}

#[test]
fn a_bad_line_does_not_hide_the_others() {
    let body = b"{\"CF_WSH\":\"1\"}\n\n{\"CF_WSH\":\n[1]\n{\"CF_WSH\":\"4\"}trailing\n{\"CF_WSH\":\"\xFF\"}\n{\"CF_WSH\":\"6\"}";
    let (records, result) = decode_all(penalty(), Format::Ndjson, body);
    assert_eq!(result.unwrap(), 6);
    let code = |at: usize| records[at].as_ref().unwrap_err()[0].code();
    assert_eq!(text(records[0].as_ref().unwrap(), "CF_WSH"), Some("1"));
    assert_eq!((code(1), code(2), code(3)), ("record.syntax", "record.not-object", "record.syntax"));
    assert_eq!(code(4), "record.encoding");
    assert_eq!(text(records[5].as_ref().unwrap(), "CF_WSH"), Some("6"));
}

#[test]
fn json_is_strict() {
    for (member, expected) in [
        (r#""CF_WSH":"a","CF_WSH":"b""#, "Refuse CF_WSH record.field-twice"),
        (r#""CF_WSH":"a","行政处罚决定书文号":"b""#, "Refuse CF_WSH record.field-twice"),
        (r#""CF_WSH":null,"CF_WSH":null"#, "Refuse CF_WSH record.field-twice"),
        (r#""NOBODY_KNOWS":"a""#, "Refuse - record.field-unknown"),
        (r#""CF_WSH":1"#, "Refuse CF_WSH field.number-for-text"),
        (r#""ref":1"#, "Refuse ref field.number-for-text"),
        (r#""CF_WSH":true"#, "Refuse CF_WSH field.not-text"),
        (r#""CF_WSH":["a"]"#, "Refuse CF_WSH field.not-text"),
        (r#""CF_WSH":{"a":{}}"#, "Refuse CF_WSH field.not-text"),
        (r#""CF_WSH":"\ud800""#, "Refuse CF_WSH field.lone-surrogate"),
        (r#""CF_WSH":"\udc00x""#, "Refuse CF_WSH field.lone-surrogate"),
        (r#""CF_WSH":"\ud800\u0041""#, "Refuse CF_WSH field.lone-surrogate"),
        (r#""CF_WSH":"a",}"#, "Refuse - record.syntax"),
        (r#""CF_WSH":'a'"#, "Refuse - record.syntax"),
        (r#""CF_WSH":01"#, "Refuse - record.syntax"),
        (r#""CF_NR_FK":1."#, "Refuse - record.syntax"),
        (r#""CF_NR_FK":NaN"#, "Refuse - record.syntax"),
        (r#""CF_WSH":"\x""#, "Refuse - record.syntax"),
        (r#""CF_WSH":"\u12g4""#, "Refuse - record.syntax"),
        ("\"CF_WSH\":\"a\tb\"", "Refuse - record.syntax"),
        (r#""CF_WSH":[[[[[["#, "Refuse - record.too-deep"),
    ] {
        let (records, _) = decode_all(penalty(), Format::Ndjson, format!("{{{member}}}").as_bytes());
        let findings = codes(records[0].as_ref().expect_err(member));
        assert!(findings.iter().any(|finding| finding == expected), "{member}: {findings:?}");
    }
    let (records, _) = decode_all(
        penalty(),
        Format::Json,
        br#" { "CF_WSH" : "\ud83d\ude00\u4e00\/" , "CF_NR_FK" : -1.5e3 } "#,
    );
    let record = records[0].as_ref().unwrap();
    assert_eq!((text(record, "CF_WSH"), text(record, "CF_NR_FK")), (Some("😀一/"), Some("-1.5e3")));
}

#[test]
fn an_unknown_name_is_hinted_at_but_never_repeated() {
    let (records, _) = decode_all(penalty(), Format::Ndjson, br#"{"CF_WSHX":"a","350203199001019999":"b"}"#);
    let findings = records[0].as_ref().unwrap_err();
    assert!(findings[0].text_en().contains("CF_WSH?"));
    assert!(!format!("{findings:?}").contains("350203"));
    let (_, result) = decode_all(penalty(), Format::Csv, b"CF_WSH,350203199001019999\n1,2\n");
    let error = result.unwrap_err();
    assert_eq!(error.code(), "body.csv-header");
    assert!(!format!("{error:?}{}{}", error.text_en(), error.text_zh()).contains("350203"));
}

#[test]
fn a_body_cut_inside_a_character_is_truncated_not_in_another_character_set() {
    let whole = "[{\"CF_XDR_MC\":\"样例有限公司";
    for (format, whole) in [
        (Format::Json, whole),
        (Format::Xml, "<records><record><CF_XDR_MC>样例有限公司"),
        (Format::Csv, "CF_XDR_MC\n样例有限公司"),
    ] {
        for short in 1..3 {
            let (_, result) = decode_all(penalty(), format, &whole.as_bytes()[..whole.len() - short]);
            assert_eq!(result.unwrap_err().code(), "body.truncated", "{format:?} {short}");
        }
    }
    let lines = "{\"CF_WSH\":\"1\"}\n{\"CF_WSH\":\"样";
    let (records, _) = decode_all(penalty(), Format::Ndjson, &lines.as_bytes()[..lines.len() - 1]);
    assert!(records[0].is_ok() && records[1].is_err() && records.len() == 2);
}

#[test]
fn hints_end_before_they_cost_much() {
    let body = "{\"CF_WSHX\":\"a\"}\n".repeat(1_000);
    let (records, _) = decode_all(penalty(), Format::Ndjson, body.as_bytes());
    let hinted =
        records.iter().filter(|record| record.as_ref().unwrap_err()[0].text_en().contains("CF_WSH?"));
    assert_eq!(hinted.count(), 100);
}

#[test]
fn broken_documents_say_how_far_they_were_read() {
    for (format, body, code, delivered) in [
        (Format::Json, r#"[{"CF_WSH":"1"},{"CF_WSH":"2"} {"#, "body.malformed", 2),
        (Format::Json, r#"[{"CF_WSH":"1"} "#, "body.truncated", 1),
        (Format::Json, r#"[{"CF_WSH":"1"},{"CF_W"#, "body.truncated", 1),
        (Format::Json, r#"{"CF_WSH":"1"} x"#, "body.trailing", 1),
        (Format::Json, "[]", "body.empty", 0),
        (Format::Json, "  ", "body.empty", 0),
        (Format::Ndjson, "\n\n", "body.empty", 0),
        (Format::Json, r#"[{"CF_WSH":[[[[[[[["#, "body.too-deep", 0),
        (Format::Xml, "<records><record><CF_WSH>1</CF_WSH></record><record><CF_WSH>", "body.truncated", 1),
        (Format::Xml, "<records><record></CF_WSH></record></records>", "body.malformed", 0),
        (Format::Xml, "<records/>", "body.empty", 0),
        (Format::Xml, "", "body.empty", 0),
        (Format::Xml, "<data/>", "body.xml-structure", 0),
        (Format::Xml, "<records><row/></records>", "body.xml-structure", 0),
        (Format::Xml, "<records>x</records>", "body.xml-structure", 0),
        (Format::Xml, "<records><record/></records><records/>", "body.xml-structure", 1),
        (Format::Xml, "<records><record a='1'/></records>", "body.xml-forbidden", 0),
        (Format::Xml, "<records><?go now?><record/></records>", "body.xml-forbidden", 0),
        (Format::Xml, "<!DOCTYPE records [<!ENTITY a 'b'>]><records/>", "body.dtd", 0),
        (Format::Xml, "<records><record><CF_WSH>&a;</CF_WSH></record></records>", "body.dtd", 0),
        (Format::Xml, "<records><record><CF_WSH><a><b/></a></CF_WSH></record></records>", "body.too-deep", 0),
        (Format::Csv, "", "body.empty", 0),
        (Format::Csv, "CF_WSH\n", "body.empty", 0),
        (Format::Csv, "CF_WSH,行政处罚决定书文号\n1,2\n", "body.csv-header-twice", 0),
        (Format::Csv, "CF_WSH,CF_CFLB\n1,2\n\"3,4\n5,6\n", "body.quote-unclosed", 1),
    ] {
        let (_, result) = decode_all(penalty(), format, body.as_bytes());
        let error = result.expect_err(body);
        assert_eq!((error.code(), error.delivered()), (code, delivered), "{body}");
        assert!(!error.text_en().contains('{') && !error.text_zh().contains('{'), "{error}");
    }
}

#[test]
fn a_bad_row_or_record_does_not_hide_the_others() {
    let body = "CF_WSH,CF_CFLB\r\n1,罚款\r\n2\r\na\"b,x\r\n\"3\"x,y\r\n\r\n\"4\"\"\",\"多\r\n行\"\r\n5,\n";
    let (records, result) = decode_all(penalty(), Format::Csv, body.as_bytes());
    assert_eq!(result.unwrap(), 6);
    let code = |at: usize| records[at].as_ref().unwrap_err()[0].code();
    assert_eq!((code(1), code(2), code(3)), ("record.column-count", "record.quote", "record.quote"));
    let fourth = records[4].as_ref().unwrap();
    assert_eq!((text(fourth, "CF_WSH"), text(fourth, "CF_CFLB")), (Some("4\""), Some("多\r\n行")));
    assert_eq!(text(records[5].as_ref().unwrap(), "CF_CFLB"), Some(""));

    let body = "<?xml version=\"1.0\"?><!-- c --><records> <record><NOBODY>x</NOBODY></record>\
        <record><CF_WSH><a/></CF_WSH></record><record><CF_WSH>a<!-- c -->b<![CDATA[<c>]]>&amp;&#x4e00;</CF_WSH></record></records>";
    let (records, result) = decode_all(penalty(), Format::Xml, body.as_bytes());
    assert_eq!(result.unwrap(), 3);
    assert_eq!(records[0].as_ref().unwrap_err()[0].code(), "record.field-unknown");
    assert_eq!(records[1].as_ref().unwrap_err()[0].code(), "field.not-text");
    assert_eq!(text(records[2].as_ref().unwrap(), "CF_WSH"), Some("ab<c>&一"));
}

#[test]
fn caps_hold() {
    let caps =
        Caps { records: 2, fields_per_record: 3, value_bytes: 8, record_bytes: 100, ..Caps::default() };
    let run = |format, body: &str| decode_with(penalty(), format, Charset::Utf8, body.as_bytes(), &caps);
    let three = [
        (Format::Json, "[{},{},{}]"),
        (Format::Ndjson, "{}\n{}\n{}"),
        (Format::Xml, "<records><record/><record/><record/></records>"),
        (Format::Csv, "CF_WSH\n1\n2\n3\n"),
    ];
    for (format, body) in three {
        let error = run(format, body).1.unwrap_err();
        assert_eq!((error.code(), error.delivered()), ("body.too-many-records", 2), "{format:?}");
    }
    let many: String = (0..1_000_000).map(|n| format!("\"x{n}\":1,")).collect();
    assert_eq!(run(Format::Json, &format!("{{{many}}}")).1.unwrap_err().code(), "body.too-many-fields");
    let (records, _) = run(Format::Ndjson, &format!("{{\"a\":1,\"b\":1,\"c\":1,\"d\":1}}\n{{{many}}}"));
    assert_eq!(records[0].as_ref().unwrap_err()[0].code(), "record.too-many-fields");
    assert_eq!(records[1].as_ref().unwrap_err()[0].code(), "record.too-large");
    let bomb = "[".repeat(1_000_000);
    assert_eq!(run(Format::Json, &bomb).1.unwrap_err().code(), "body.too-deep");
    let deep = format!("<records><record>{}", "<CF_WSH>".repeat(1_000_000));
    assert_eq!(run(Format::Xml, &deep).1.unwrap_err().code(), "body.too-deep");
    let (records, _) = run(Format::Ndjson, r#"{"CF_WSH":"123456789"}"#);
    assert_eq!(codes(records[0].as_ref().unwrap_err()), ["Refuse CF_WSH field.value-too-large"]);
    let (records, _) = run(Format::Csv, "CF_WSH\n1,2,3,4,5\n123456789\n");
    assert_eq!(records[0].as_ref().unwrap_err()[0].code(), "record.too-many-fields");
    assert_eq!(records[1].as_ref().unwrap_err()[0].code(), "field.value-too-large");
}
