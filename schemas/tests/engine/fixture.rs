//! The sample catalogue (the examples of the documentation, completed) and synthetic records.

use std::sync::OnceLock;

use xinqiao_schemas::{
    Caps, Catalogue, CatalogueFile, Charset, Date, Finding, Format, LineHead, RawRecord, Release, Route,
    RouteSecrets, Schema, SourceUnit, ValidateContext, decode,
};

macro_rules! file {
    ($path:literal) => {
        CatalogueFile { path: $path.to_owned(), text: include_str!(concat!("files/", $path)).to_owned() }
    };
}

/// The files: fixtures, and the examples of the documentation.
pub(crate) fn files() -> Vec<CatalogueFile> {
    let mut files = vec![
        file!("codes/subject-kind.toml"),
        file!("codes/certificate-type.toml"),
        file!("codes/usage-scope.toml"),
        file!("codes/status-2017.toml"),
        file!("schemas/sample-penalty-2017.toml"),
        file!("policies/province.toml"),
        file!("policies/agency.toml"),
    ];
    let documentation = include_str!("../../../docs/catalogue-format.md");
    let folders = ["datasets", "schemas", "codes", "mappings", "policies"];
    for (folder, block) in folders.iter().zip(documentation.split("```toml\n").skip(1)) {
        let text = block.split("```").next().unwrap().to_owned();
        let id = text.lines().find_map(|line| line.strip_prefix("id = \"")?.split('"').next()).unwrap();
        files.push(CatalogueFile { path: format!("{folder}/{id}.toml"), text });
    }
    files
}

pub(crate) fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| Catalogue::from_files(&files()).unwrap())
}

pub(crate) fn schema(id: &str) -> &'static Schema {
    catalogue().schema(id).unwrap()
}

pub(crate) fn route(from: &str, to: &str, policy: &str) -> Route {
    catalogue().route(from, to, policy, &RouteSecrets::new([7; 32])).unwrap()
}

pub(crate) fn context() -> ValidateContext {
    ValidateContext {
        received: Date::new(2026, 11, 21).unwrap(),
        source: SourceUnit {
            authority_code: Some(uscc("11350200", "00413500")),
            authority_name: Some("厦门市样例监督管理局".to_owned()),
            ..SourceUnit::default()
        },
        relayed: None,
    }
}

/// A sound code from the first eight characters and the first eight of the organisation code.
pub(crate) fn uscc(first: &str, organisation: &str) -> String {
    let code = format!("{first}{}", organisation_code(organisation));
    let check =
        xinqiao_schemas::identifier::uscc::check_character(code.as_bytes().try_into().unwrap()).unwrap();
    format!("{code}{}", char::from(check))
}

pub(crate) fn organisation_code(first: &str) -> String {
    let check =
        xinqiao_schemas::identifier::organisation_code::check_character(first.as_bytes().try_into().unwrap())
            .unwrap();
    format!("{first}{}", char::from(check))
}

pub(crate) fn resident_id() -> String {
    let first = "35020319900101999";
    let check =
        xinqiao_schemas::identifier::resident_id::check_character(first.as_bytes().try_into().unwrap())
            .unwrap();
    format!("{first}{}", char::from(check))
}

pub(crate) type Pairs = Vec<(&'static str, String)>;

/// A sound penalty of 2020 against a company.
pub(crate) fn company() -> Pairs {
    vec![
        ("CF_XDR_MC", "厦门样例贸易有限公司".to_owned()),
        ("CF_XDR_LB", "法人及非法人组织".to_owned()),
        ("CF_XDR_SHXYM", uscc("91350200", "MA2X0001")),
        ("CF_WSH", "厦样罚〔2026〕1号".to_owned()),
        ("CF_CFLB", "罚款".to_owned()),
        ("CF_NR_FK", "0.2".to_owned()),
        ("CF_JDRQ", "2026/11/02".to_owned()),
        ("CF_CFJGDM", uscc("11350200", "00413500")),
    ]
}

/// A sound penalty of 2020 against a person.
pub(crate) fn person() -> Pairs {
    let mut pairs = company();
    pairs.retain(|(code, _)| *code != "CF_XDR_SHXYM");
    set(&mut pairs, "CF_XDR_MC", "欧阳样例");
    set(&mut pairs, "CF_XDR_LB", "自然人");
    set(&mut pairs, "CF_XDR_ZJLX", "身份证");
    set(&mut pairs, "CF_XDR_ZJHM", &resident_id());
    pairs
}

pub(crate) fn set(pairs: &mut Pairs, code: &'static str, value: &str) {
    match pairs.iter_mut().find(|(known, _)| *known == code) {
        Some((_, old)) => *old = value.to_owned(),
        None => pairs.push((code, value.to_owned())),
    }
}

pub(crate) fn with(mut pairs: Pairs, code: &'static str, value: &str) -> Pairs {
    set(&mut pairs, code, value);
    pairs
}

pub(crate) fn without(mut pairs: Pairs, code: &str) -> Pairs {
    pairs.retain(|(known, _)| *known != code);
    pairs
}

pub(crate) fn json(pairs: &Pairs) -> String {
    let object: serde_json::Map<String, serde_json::Value> =
        pairs.iter().map(|(code, value)| ((*code).to_owned(), value.clone().into())).collect();
    serde_json::Value::Object(object).to_string()
}

/// What a decoder hands over, as owned values.
pub(crate) type Decoded = Vec<Result<RawRecord<'static>, Vec<Finding>>>;

pub(crate) fn decode_all(
    schema: &Schema,
    format: Format,
    body: &[u8],
) -> (Decoded, Result<u32, xinqiao_schemas::BodyError>) {
    decode_with(schema, format, Charset::Utf8, body, &Caps::default())
}

pub(crate) fn decode_with(
    schema: &Schema,
    format: Format,
    charset: Charset,
    body: &[u8],
    caps: &Caps,
) -> (Decoded, Result<u32, xinqiao_schemas::BodyError>) {
    let mut records = Decoded::new();
    let result = decode(schema, format, charset, body, caps, &mut |ordinal, record| {
        assert_eq!(ordinal as usize, records.len(), "ordinals count up");
        records.push(record.map(RawRecord::into_owned));
    });
    match &result {
        Ok(count) => assert_eq!(*count as usize, records.len()),
        Err(error) => assert_eq!(error.delivered() as usize, records.len()),
    }
    (records, result)
}

pub(crate) fn raw(schema: &Schema, pairs: &Pairs) -> RawRecord<'static> {
    let (mut records, result) = decode_all(schema, Format::Json, json(pairs).as_bytes());
    result.unwrap();
    records.remove(0).unwrap()
}

/// Findings as `severity field code`.
pub(crate) fn codes(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .map(|finding| {
            format!("{:?} {} {}", finding.severity(), finding.field().unwrap_or("-"), finding.code())
        })
        .collect()
}

/// Validates, and gives the findings and whether it passed.
pub(crate) fn check(id: &str, pairs: &Pairs) -> (bool, Vec<String>) {
    let schema = schema(id);
    let context = context();
    let mut findings = Vec::new();
    let passed = schema.validate(raw(schema, pairs), &context, &mut findings).is_some();
    (passed, codes(&findings))
}

pub(crate) const HEAD: LineHead<'static> = LineHead {
    op: "put",
    key: "0123456789abcdef0123456789abcdef",
    rev: 42,
    via: &["xm.example/350200-credit"],
    reference: Some("R-1"),
};

/// Validates and releases; the line, or what happened instead.
pub(crate) fn release(route: &Route, pairs: &Pairs) -> Result<serde_json::Value, Release> {
    let context = context();
    let schema = route.source_schema();
    let mut findings = Vec::new();
    let record = schema
        .validate(raw(schema, pairs), &context, &mut findings)
        .unwrap_or_else(|| panic!("{findings:?}"));
    let mut out = b"before".to_vec();
    match route.release(&record, &HEAD, &mut out) {
        Release::Released(released) => {
            assert_eq!(released.length(), out.len() - 6);
            Ok(serde_json::from_slice(&out[6..]).unwrap())
        }
        other => {
            assert_eq!(out, b"before");
            Err(other)
        }
    }
}
