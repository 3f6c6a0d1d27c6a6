//! Records as departments send them, sent through a catalogue to every public recipient: what each gets, and what the
//! department is told.

use xinqiao_schemas::identifier::resident_id;
use xinqiao_schemas::route::{Release, RouteSecrets};
use xinqiao_schemas::validate::{SourceUnit, ValidateContext};
use xinqiao_schemas::{
    Caps, Catalogue, Charset, Date, Finding, Format, LineHead, RecipientKind, SubjectKind, decode,
};

pub(crate) const NEW: &str = "administrative-penalty-2020";
pub(crate) const PUBLIC: [&str; 2] = ["portal-public", "agency-authorised"];

pub(crate) type Pairs = Vec<(&'static str, String)>;

pub(crate) fn catalogue() -> Catalogue {
    Catalogue::builtin().unwrap_or_else(|errors| panic!("{errors}"))
}

/// A penalty against a company, as departments send it.
pub(crate) fn company() -> Pairs {
    [
        ("CF_XDR_MC", "厦门样例1号贸易有限公司"),
        ("CF_XDR_LB", "法人及非法人组织"),
        ("CF_XDR_SHXYM", "91350200MA31A00160"),
        ("CF_FRDB", "测某某"),
        ("CF_WSH", "厦卫罚〔2026〕1号"),
        ("CF_WFXW", "未取得卫生许可"),
        ("CF_SY", "样例事实"),
        ("CF_YJ", "样例条例第一条"),
        ("CF_CFLB", "罚款"),
        ("CF_NR", "罚款2000元"),
        ("CF_NR_FK", "0.2"),
        ("CF_JDRQ", "2026/11/20"),
        ("CF_YXQ", "2099/12/31"),
        ("CF_GSJZQ", "2027/11/20"),
        ("CF_CFJG", "示例市卫生健康委员会"),
        ("CF_CFJGDM", "113502999990000137"),
        ("CF_SJLY", "示例市卫生健康委员会"),
        ("CF_SJLYDM", "113502999990000137"),
    ]
    .map(|(code, value)| (code, value.to_owned()))
    .to_vec()
}

/// The same against an individual business.
pub(crate) fn business() -> Pairs {
    let record = with(company(), "CF_XDR_MC", "样例区测某某小吃店");
    with(with(record, "CF_XDR_LB", "个体工商户"), "CF_XDR_SHXYM", "92350200MA31A0016W")
}

pub(crate) fn with(mut pairs: Pairs, code: &'static str, value: &str) -> Pairs {
    pairs.retain(|(known, _)| *known != code);
    pairs.push((code, value.to_owned()));
    pairs
}

/// What a public recipient gets (nothing if it is withheld), and what the department is told.
pub(crate) struct Outcome {
    pub(crate) refused: bool,
    pub(crate) lines: Vec<String>,
    /// Why recipients do not get it, if they do not.
    pub(crate) withheld: Vec<&'static str>,
    /// The kind of subject that the portal's policy decides by.
    pub(crate) effective: Option<SubjectKind>,
    pub(crate) told: Vec<(String, &'static str)>,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn never_shows(&self, canaries: &[&str]) {
        for canary in canaries {
            assert!(!self.lines.iter().any(|line| line.contains(canary)), "{canary}: {:#?}", self.lines);
        }
    }

    #[track_caller]
    pub(crate) fn doubts(&self, field: &str, code: &str) {
        assert!(self.told.iter().any(|(on, what)| on == field && *what == code), "{:?}", self.told);
    }
}

pub(crate) fn context() -> ValidateContext {
    let source = SourceUnit {
        authority_code: Some("113502999990000137".to_owned()),
        unit_code: Some("113502999990000137".to_owned()),
        unit_name: Some("示例市大数据中心".to_owned()),
        ..SourceUnit::default()
    };
    ValidateContext { received: Date::new(2026, 11, 21).expect("a day"), source, relayed: None }
}

/// The record as a JSON object, on one line.
pub(crate) fn json(pairs: &Pairs) -> String {
    let object: serde_json::Map<String, serde_json::Value> =
        pairs.iter().map(|(code, value)| ((*code).to_owned(), value.clone().into())).collect();
    serde_json::Value::Object(object).to_string()
}

pub(crate) fn send(catalogue: &Catalogue, schema: &str, to: &str, pairs: &Pairs) -> Outcome {
    send_body(catalogue, schema, to, Format::Json, json(pairs).as_bytes())
}

/// The same of a body with one record.
pub(crate) fn send_body(
    catalogue: &Catalogue,
    schema: &str,
    to: &str,
    format: Format,
    body: &[u8],
) -> Outcome {
    let schema = catalogue.schema(schema).expect("a schema of the catalogue");
    let context = context();
    let mut outcome =
        Outcome { refused: true, lines: Vec::new(), withheld: Vec::new(), told: Vec::new(), effective: None };
    let mut records = 0;
    decode(schema, format, Charset::Utf8, body, &Caps::default(), &mut |_, raw| {
        records += 1;
        let mut findings = Vec::new();
        let valid = schema.validate(raw.expect("the record decodes"), &context, &mut findings);
        let told = |f: &Finding| (f.field().unwrap_or("-").to_owned(), f.code());
        outcome.told = findings.iter().map(told).collect();
        let Some(valid) = valid else { return };
        outcome.refused = false;
        outcome.effective = Some(valid.effective_kind(RecipientKind::Portal));
        for policy in PUBLIC {
            let route =
                catalogue.route(schema.id(), to, policy, &RouteSecrets::new([7; 32])).expect("a route");
            let head = LineHead { op: "put", key: "0123456789abcdef", rev: 1, via: &[], reference: None };
            let mut line = Vec::new();
            match route.release(&valid, &head, &mut line) {
                Release::Released(_) => {
                    outcome.lines.push(String::from_utf8(line).expect("lines are UTF-8"));
                    // What explains a release says no more than the release.
                    let shown = route.explain(&valid);
                    outcome.lines.extend(shown.rows.into_iter().filter_map(|row| row.released));
                }
                Release::Withheld(why) => outcome.withheld.push(why.code()),
                Release::Quarantined(_) => {}
            }
        }
    })
    .expect("the body decodes");
    assert_eq!(records, 1);
    outcome
}

pub(crate) fn penalty(pairs: &Pairs) -> Outcome {
    send(&catalogue(), NEW, NEW, pairs)
}

pub(crate) fn resident(first: &str) -> String {
    let check =
        resident_id::check_character(first.as_bytes().try_into().expect("17 digits")).expect("digits");
    format!("{first}{}", char::from(check))
}
