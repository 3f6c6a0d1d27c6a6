//! What each step costs per record, beside serde_json reading the same line into borrowed fields.
//!
//! `cargo run --release -p xinqiao-schemas --example cost`

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use xinqiao_schemas::{
    Caps, Catalogue, Charset, Date, Format, LineHead, Release, RouteSecrets, SourceUnit, ValidateContext,
    decode, identifier,
};

const RECORDS: usize = 2_000;

fn main() {
    let catalogue = Catalogue::builtin().unwrap_or_else(|errors| panic!("{errors}"));
    let schema = catalogue.schema("administrative-penalty-2020").unwrap();
    let context = ValidateContext {
        received: Date::new(2026, 11, 21).unwrap(),
        source: SourceUnit::default(),
        relayed: None,
    };
    let line = sample();
    let body: String = (0..RECORDS).map(|n| line.replace("1号", &format!("{n}号")) + "\n").collect();
    let body = body.as_bytes();
    println!("one record: {} bytes of NDJSON, {} fields\n", line.len(), line.matches("\":\"").count());

    let baseline = time(RECORDS, || {
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let fields: HashMap<Cow<'_, str>, Text<'_>> = serde_json::from_slice(line).unwrap();
            black_box(&fields);
        }
    });
    report("serde_json into borrowed fields", baseline, baseline);
    let utf8 = time(RECORDS, || {
        black_box(std::str::from_utf8(body).unwrap());
    });
    report("  of which UTF-8 alone", utf8, baseline);

    let caps = Caps::default();
    let decoding = |format, body: &[u8]| {
        time(RECORDS, || {
            decode(schema, format, Charset::Utf8, body, &caps, &mut |_, record| {
                black_box(record.unwrap());
            })
            .unwrap();
        })
    };
    let decoded = decoding(Format::Ndjson, body);
    report("decode NDJSON", decoded, baseline);
    report("decode CSV", decoding(Format::Csv, csv(&line).as_bytes()), baseline);
    report("decode XML", decoding(Format::Xml, xml(&line).as_bytes()), baseline);

    let validated = time(RECORDS, || {
        let mut findings = Vec::new();
        decode(schema, Format::Ndjson, Charset::Utf8, body, &caps, &mut |_, record| {
            black_box(
                schema
                    .validate(record.unwrap(), &context, &mut findings)
                    .unwrap_or_else(|| panic!("{findings:?}")),
            );
        })
        .unwrap();
        assert!(findings.is_empty(), "{findings:?}");
    });
    report("decode + validate NDJSON", validated, baseline);

    let keyed = time(RECORDS, || {
        let mut key = Vec::new();
        let mut findings = Vec::new();
        decode(schema, Format::Ndjson, Charset::Utf8, body, &caps, &mut |_, record| {
            key.clear();
            let valid = schema.validate(record.unwrap(), &context, &mut findings).unwrap();
            black_box(valid.key_material(&mut key));
        })
        .unwrap();
    });
    report("  key material", keyed - validated, baseline);

    let head =
        LineHead { op: "put", key: "0123456789abcdef0123456789abcdef", rev: 7, via: &[], reference: None };
    for policy in catalogue.policies() {
        let route =
            catalogue.route(schema.id(), schema.id(), policy.id(), &RouteSecrets::new([1; 32])).unwrap();
        let mut out = Vec::new();
        let mut released = 0;
        let cost = time(RECORDS, || {
            let mut findings = Vec::new();
            decode(schema, Format::Ndjson, Charset::Utf8, body, &caps, &mut |_, record| {
                let valid = schema.validate(record.unwrap(), &context, &mut findings).unwrap();
                out.clear();
                released +=
                    usize::from(matches!(route.release(&valid, &head, &mut out), Release::Released(_)));
                black_box(&out);
            })
            .unwrap();
        });
        let label = format!("release {} ({} bytes)", policy.id(), out.len());
        report(&label, cost - validated, baseline);
        assert!(released > 0 || out.is_empty());
    }
}

#[derive(serde::Deserialize)]
struct Text<'a>(
    #[serde(borrow)]
    #[allow(dead_code)]
    Cow<'a, str>,
);

/// The fastest of several rounds, in nanoseconds per record.
fn time(records: usize, mut work: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..30 {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_nanos() as f64 / records as f64);
    }
    best
}

fn report(label: &str, cost: f64, baseline: f64) {
    println!("{label:<48} {cost:>8.0} ns  {:>5.2} x", cost / baseline);
}

fn sample() -> String {
    let fields = fields();
    let members: Vec<String> = fields.iter().map(|(code, value)| format!("\"{code}\":\"{value}\"")).collect();
    format!("{{{}}}", members.join(","))
}

fn fields() -> Vec<(&'static str, String)> {
    let company = uscc("91350200", "MA2X0001");
    let authority = uscc("11350200", "00413500");
    vec![
        ("CF_XDR_MC", "厦门市样例供应链管理有限公司".to_owned()),
        ("CF_XDR_LB", "法人及非法人组织".to_owned()),
        ("CF_XDR_SHXYM", company),
        ("CF_FRDB", "欧阳样例".to_owned()),
        ("CF_FR_ZJLX", "身份证".to_owned()),
        ("CF_FR_ZJHM", resident_id()),
        ("CF_WSH", "厦样市监罚〔2026〕1号".to_owned()),
        ("CF_WFXW", "违反《中华人民共和国样例法》第十条规定的行为".to_owned()),
        (
            "CF_SY",
            "当事人于2026年9月在其经营场所内销售不符合样例标准的商品，经抽样检验判定为不合格，".repeat(2),
        ),
        ("CF_YJ", "《中华人民共和国样例法》第五十条第一款、《样例条例》第三条".to_owned()),
        ("CF_CFLB", "罚款".to_owned()),
        ("CF_NR", "责令改正，处罚款人民币贰仟元整，上缴国库。".to_owned()),
        ("CF_NR_FK", "0.2".to_owned()),
        ("CF_JDRQ", "2026/11/02".to_owned()),
        ("CF_YXQ", "2027/11/02".to_owned()),
        ("CF_GSJZQ", "2027/11/02".to_owned()),
        ("CF_CFJG", "厦门市样例监督管理局".to_owned()),
        ("CF_CFJGDM", authority.clone()),
        ("CF_SJLY", "厦门市样例监督管理局".to_owned()),
        ("CF_SJLYDM", authority),
        ("BZ", String::new()),
    ]
}

fn csv(line: &str) -> String {
    let record: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
    let header: Vec<&str> = record.keys().map(String::as_str).collect();
    let cells: Vec<&str> = record.values().map(|value| value.as_str().unwrap()).collect();
    header.join(",") + "\r\n" + &(cells.join(",") + "\r\n").repeat(RECORDS)
}

fn xml(line: &str) -> String {
    let record: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
    let fields: String =
        record.iter().map(|(code, v)| format!("<{code}>{}</{code}>", v.as_str().unwrap())).collect();
    format!("<records>{}</records>", format!("<record>{fields}</record>").repeat(RECORDS))
}

fn uscc(first: &str, organisation: &str) -> String {
    let check =
        identifier::organisation_code::check_character(organisation.as_bytes().try_into().unwrap()).unwrap();
    let code = format!("{first}{organisation}{}", char::from(check));
    let check = identifier::uscc::check_character(code.as_bytes().try_into().unwrap()).unwrap();
    format!("{code}{}", char::from(check))
}

fn resident_id() -> String {
    let first = "35020319900101999";
    let check = identifier::resident_id::check_character(first.as_bytes().try_into().unwrap()).unwrap();
    format!("{first}{}", char::from(check))
}
