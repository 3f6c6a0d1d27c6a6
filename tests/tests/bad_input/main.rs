//! What bad input gets from the running node, over real mutual TLS: a stable code, a sentence in English and in Chinese,
//! never a value; and valid records beside it are taken unless the sender wants all or nothing.

mod again;
mod bodies;
mod recipients;
mod request;
mod who;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, SystemTime};
use xinqiao::demo::federation::{DOMAIN, Pki};
use xinqiao_certs::pki::{Authority, Request, Validity};
use xinqiao_certs::{Identity, PublicKeyPin, Role, UnixTime};
use xinqiao_schemas::SubjectKind;
use xinqiao_schemas::synthetic::{Record, Table, write_csv, write_json, write_xml};
use xinqiao_tests::city::{
    City, LICENCE, NDJSON, PENALTIES, acknowledge, authority, batches, document, fresh_key, ndjson, penalty,
    put, recall, record, reference,
};
use xinqiao_tests::openapi::EXCHANGE;
use xinqiao_tests::peer::{Answer, Ask, Peer, refusals};

const JSON: &str = "application/json";
const XML: &str = "application/xml";
const CSV: &str = "text/csv";

/// Stands for a value of a record wherever one is sent; no answer may repeat it.
const CANARY: &str = "金丝雀七七号";
/// The same in a place that takes letters only.
const CANARY_WORD: &str = "canary7788";

static CITY: LazyLock<City> = LazyLock::new(|| {
    City::start("bad-input", |pki| {
        for (role, name) in [
            (Role::Department, "gamma"),
            (Role::Department, "delta"),
            (Role::Department, "stranger"),
            (Role::Department, "suspended"),
            (Role::Auditor, "auditor"),
        ] {
            pki.issue(role, name).expect("certificates can be issued");
        }
        let pin = |role, name: &str| {
            let request = Request::new(role, DOMAIN, name, Validity::days(SystemTime::now(), 2));
            let issued = pki.authority().issue(&request).expect("certificates can be issued");
            issued.write_to(&pki.dir, name).expect("they can be written");
            PublicKeyPin::of(&issued.chain()[0]).expect("a certificate").to_string()
        };
        let twins = pin(Role::Department, "twins");
        let turncoat = pin(Role::Recipient, "turncoat");
        let ((code, name), (old, old_name)) = (authority(2), authority(3));
        let source = |datasets: &str, code: &str, name: &str, more: &str| {
            format!(
                "[members.source]\ndatasets = [{datasets}]\nunit = {{ code = \"{code}\", name = \"{name}\" }}\n\
                 [[members.source.authorities]]\ncode = \"{code}\"\nname = \"{name}\"\n{more}\n"
            )
        };
        let both = "\"administrative-penalty\", \"administrative-licence\"";
        let any = source(both, &code, &name, "");
        let department = |name: &str, more: &str, source: &str| {
            format!("[[members]]\nname = \"{name}\"\nrole = \"department\"\n{more}\n{source}")
        };
        let bound = |pin: &str| format!("bindings = [{{ public-keys = [\"{pin}\"] }}]");
        [
            department("gamma", "", &source("\"administrative-licence\"", &code, &name, "")),
            department("delta", "", &source(both, &old, &old_name, "until = \"2001-12-31\"")),
            department("suspended", "suspended = true", &any),
            // One by the name in its certificate, the other by its key. The same key twice does not even start.
            department("twins", "", &any),
            department("twin-b", &bound(&twins), &any),
            department("turncoat", &bound(&turncoat), &any),
            "[[members]]\nname = \"auditor\"\nrole = \"auditor\"\n".to_owned(),
        ]
        .join("\n")
    })
});

fn alpha() -> &'static Peer {
    static ALPHA: OnceLock<Peer> = OnceLock::new();
    ALPHA.get_or_init(|| CITY.peer("alpha"))
}

/// A record with a canary in its free text, in the form of a table's columns.
fn spied() -> Record {
    let mut record = penalty();
    record.set("BZ", CANARY);
    record
}

fn form(write: fn(&[Record], &mut Vec<u8>), records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    write(records, &mut out);
    out
}

/// Asks, expects a refusal, and that nothing sent is repeated.
async fn refuse(name: &str, ask: Ask, status: u16, code: &str) -> Value {
    let answer = alpha().ask(ask).await;
    answer.silent_about(&[CANARY, CANARY_WORD]);
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    assert_eq!((answer.status, said["code"].as_str()), (status, Some(code)), "{name}: {answer:?}");
    answer.refused(status, code)
}

/// Asks, expects that nothing was accepted, and gives code and record of what was found.
async fn refuse_records(name: &str, ask: Ask) -> Vec<(Option<u64>, String)> {
    refusals(&refuse(name, ask, 422, "records.refused").await)
}

fn only(code: &str) -> Vec<(Option<u64>, String)> {
    vec![(Some(0), code.to_owned())]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).expect("writing to memory");
    out.finish().expect("writing to memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("compressing in memory")
}
