//! What departments do: send records, read what they may send, and hear what became of it.

use crate::routes::query::invalid;
use crate::routes::{Call, json};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use xinqiao_edge::{BodyCaps, Exchange, Reply, ReplyBody};
use xinqiao_exchange::op::{Load, Op};
use xinqiao_node::engine::Node;
use xinqiao_node::engine::submit::Head;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};
use xinqiao_schemas::{Charset, Format};

/// The longest long poll, in seconds.
pub(super) const WAIT_CAP: u64 = 60;

pub(super) async fn post(call: Call<'_, Arc<Node>>) -> Result<Reply, Refusal> {
    let Call { with: node, exchange, names: [dataset, _], query, template } = call;
    let Exchange { member, parts, body, account, .. } = exchange;
    let op = match query.text("op") {
        None => Op::Put,
        Some(text) => Op::parse(text).ok_or(RefusalCode::OperationUnknown)?,
    };
    let load = match query.text("load") {
        None => Load::Daily,
        Some(text) => Load::parse(text).ok_or(RefusalCode::LoadUnknown)?,
    };
    if node.rules().plan.dataset(dataset).is_none() {
        return Err(RefusalCode::DatasetUnknown.into());
    }
    let (format, charset) = content_type(&parts.headers)?;
    let head = Head {
        member: member.name().to_owned(),
        dataset: dataset.to_owned(),
        schema: query.text("schema").map(str::to_owned),
        op,
        load,
        format,
        charset,
        strict: strict(&parts.headers)?,
        idempotency_key: idempotency_key(&parts.headers)?,
        account,
    };
    let authorised = node.authorise(&head)?;
    let limits = &node.config.limits;
    let caps =
        BodyCaps { wire: limits.body_bytes as usize, decoded: limits.decoded_bytes as usize, ratio: 200 };
    let body = body.read(caps).await?;
    if body.bytes.is_empty() {
        return Err(RefusalCode::BodyEmpty.into());
    }
    // Once begun, a submission is carried through even if its sender hangs up: it will ask again with the same key.
    let node = node.clone();
    let work = tokio::spawn(async move { node.submit(head, authorised, body.bytes).await });
    let response = work.await.map_err(|_| RefusalCode::Internal)??;
    let mut response = Response::new(ReplyBody::from(response).holding(body.permit));
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Reply::new(template, response))
}

fn content_type(headers: &HeaderMap) -> Result<(Format, Charset), Refusal> {
    let value = one(headers, CONTENT_TYPE)?.ok_or(RefusalCode::MediaTypeUnsupported)?;
    let mut parts = value.split(';');
    let kind = parts.next().unwrap_or("").trim().to_ascii_lowercase();
    let format = match kind.as_str() {
        "application/json" => Format::Json,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Format::Ndjson,
        "application/xml" | "text/xml" => Format::Xml,
        "text/csv" => Format::Csv,
        _ => return Err(RefusalCode::MediaTypeUnsupported.into()),
    };
    let mut charset = Charset::Utf8;
    for parameter in parts {
        let (name, value) = parameter.split_once('=').ok_or(RefusalCode::MediaTypeUnsupported)?;
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        match (name.trim().to_ascii_lowercase().as_str(), value.as_str()) {
            ("charset", "utf-8" | "utf8") | ("header", _) => {}
            ("charset", "gb18030" | "gbk" | "gb2312") if format == Format::Csv || format == Format::Xml => {
                charset = Charset::Gb18030;
            }
            ("charset", _) => return Err(RefusalCode::CharsetUnsupported.into()),
            _ => return Err(RefusalCode::MediaTypeUnsupported.into()),
        }
    }
    Ok((format, charset))
}

fn strict(headers: &HeaderMap) -> Result<bool, Refusal> {
    let mut strict = false;
    for value in headers.get_all("prefer") {
        let value = value.to_str().map_err(|_| invalid("Prefer"))?;
        for preference in value.split(',') {
            match preference.trim().to_ascii_lowercase().as_str() {
                "handling=strict" => strict = true,
                "handling=lenient" => strict = false,
                _ => {}
            }
        }
    }
    Ok(strict)
}

fn idempotency_key(headers: &HeaderMap) -> Result<String, Refusal> {
    let name = HeaderName::from_static("idempotency-key");
    let key = one(headers, name)?.ok_or(RefusalCode::IdempotencyMissing)?;
    let key = key.trim().trim_matches('"');
    let good = (16..=128).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if good { Ok(key.to_owned()) } else { Err(RefusalCode::IdempotencyMalformed.into()) }
}

/// The value of a header that may stand there once.
pub(super) fn one(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(&name).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(RefusalCode::ParameterRepeated.into());
    }
    first.map(|v| v.to_str().map_err(|_| RefusalCode::ParameterInvalid.into())).transpose()
}

#[derive(Serialize)]
struct DatasetView<'a> {
    dataset: &'a str,
    title: &'a str,
    title_zh: &'a str,
    may_send: bool,
    schemas: Vec<SchemaView<'a>>,
}

#[derive(Serialize)]
struct SchemaView<'a> {
    schema: &'a str,
    title: &'a str,
    title_zh: &'a str,
    digest: xinqiao_evidence::Digests,
}

#[derive(Serialize)]
struct DatasetList<'a> {
    datasets: Vec<DatasetView<'a>>,
}

pub(super) async fn datasets(call: Call<'_, Arc<Node>>) -> Result<Reply, Refusal> {
    let rules = call.with.rules();
    let source = rules.sources.get(call.exchange.member.name());
    let datasets = rules
        .plan
        .datasets()
        .map(|d| DatasetView {
            dataset: d.dataset.id(),
            title: &d.dataset.title().en,
            title_zh: &d.dataset.title().zh,
            may_send: source.is_some_and(|s| s.may_send(d.dataset.id())),
            schemas: d
                .schemas
                .iter()
                .map(|s| SchemaView {
                    schema: s.schema.id(),
                    title: &s.schema.title().en,
                    title_zh: &s.schema.title().zh,
                    digest: digests(s.schema.digest()),
                })
                .collect(),
        })
        .filter(|d| d.may_send || source.is_none())
        .collect();
    json(call.template, &DatasetList { datasets })
}

fn digests(bytes: &[u8; 32]) -> xinqiao_evidence::Digests {
    let digest = xinqiao_evidence::Digest::from_slice(bytes).expect("32 bytes");
    xinqiao_evidence::Digests::sha256(digest)
}

pub(super) async fn file(call: Call<'_, Arc<Node>>) -> Result<Reply, Refusal> {
    let [dataset, file] = call.names;
    let rules = call.with.rules();
    let plan = rules.plan.dataset(dataset).ok_or(RefusalCode::DatasetUnknown)?;
    let schema = match call.query.text("schema") {
        None => plan.schema(None).ok_or(RefusalCode::SchemaMissing)?,
        some => plan.schema(some).ok_or(RefusalCode::SchemaUnknown)?,
    };
    let schema = &schema.schema;
    let (media_type, bytes) = match file {
        "schema.json" => ("application/schema+json", schema.json_schema().to_string().into_bytes()),
        "schema.xsd" => ("application/xml", schema.xml_schema().into_bytes()),
        "template.csv" => ("text/csv; charset=utf-8", schema.template_csv().into_bytes()),
        _ => (
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            xinqiao_workbook::template(schema).map_err(|e| {
                tracing::error!(code = e.code(), "{e}");
                RefusalCode::Internal
            })?,
        ),
    };
    Ok(Reply::bytes(call.template, StatusCode::OK, media_type, bytes))
}

pub(super) async fn feedback(call: Call<'_, Arc<Node>>) -> Result<Reply, Refusal> {
    let Call { with: node, exchange, query, template, .. } = call;
    let after = query.number("after", 0, 0..=u64::MAX)?;
    let wait = Duration::from_secs(query.number("wait", 0, 0..=WAIT_CAP)?);
    let member = exchange.member.name();
    let list = tokio::select! {
        list = node.feedback(member, after, wait) => list?,
        () = exchange.drain.wait() => node.feedback(member, after, Duration::ZERO).await?,
    };
    json(template, &list)
}
