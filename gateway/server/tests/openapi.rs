//! The OpenAPI document against the code it describes: paths, problem codes, examples. What a running node answers is
//! held against it by `xinqiao_tests::openapi`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use xinqiao_runtime::refusal::RefusalCode;
use xinqiao_schemas::{Caps, Catalogue, Charset, Date, Finding, Format, SourceUnit, ValidateContext, decode};
use xinqiao_server::api::OPENAPI;
use xinqiao_server::routes::Row;

const METHODS: [&str; 3] = ["get", "head", "post"];

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// Follows `$ref`.
fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.strip_prefix('#').unwrap())
            .unwrap_or_else(|| panic!("{reference} leads nowhere")),
        None => value,
    }
}

fn each(value: &Value, visit: &mut dyn FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            visit(members);
            members.values().for_each(|member| each(member, visit));
        }
        Value::Array(items) => items.iter().for_each(|item| each(item, visit)),
        _ => {}
    }
}

/// Every operation with its path's item.
fn operations(document: &Value) -> Vec<(String, &'static str, &Value, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (name, operation) in item.as_object().unwrap() {
            match METHODS.iter().find(|method| *method == name) {
                Some(method) => all.push((path.clone(), *method, item, operation)),
                None => assert_eq!(name, "parameters", "{path}: a path item has methods and parameters"),
            }
        }
    }
    all
}

fn parameters<'d>(document: &'d Value, item: &'d Value, operation: &'d Value) -> Vec<&'d Value> {
    let of = |value: &'d Value| value["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    of(item).iter().chain(of(operation)).map(|parameter| resolve(document, parameter)).collect()
}

fn texts(value: &Value) -> BTreeSet<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn the_document_is_openapi_and_its_references_resolve() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let members =
        ["openapi", "info", "jsonSchemaDialect", "servers", "security", "tags", "paths", "components"];
    for name in document.as_object().unwrap().keys() {
        assert!(members.contains(&name.as_str()) || name.starts_with("x-"), "{name} is no member of OpenAPI");
    }
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    each(&document, &mut |members| {
        if let Some(Value::String(_)) = members.get("$ref") {
            resolve(&document, &Value::Object(members.clone()));
        }
    });
    for requirement in document["security"].as_array().unwrap() {
        for scheme in requirement.as_object().unwrap().keys() {
            assert_eq!(document["components"]["securitySchemes"][scheme]["type"], "mutualTLS");
        }
    }
    let mut used = BTreeSet::new();
    each(&document, &mut |members| {
        used.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned))
    });
    for (kind, named) in document["components"].as_object().unwrap() {
        for name in named.as_object().unwrap().keys() {
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)), "{name}");
            let reference = format!("#/components/{kind}/{name}");
            assert!(kind == "securitySchemes" || used.contains(&reference), "{reference} is not used");
        }
    }
}

#[test]
fn paths_and_methods_are_those_the_node_answers() {
    let document = document();
    let described: BTreeSet<(String, &str)> = operations(&document)
        .into_iter()
        .filter(|(_, method, ..)| *method != "head")
        .map(|(path, method, ..)| (path, method))
        .collect();
    let method = |row: &Row| METHODS.iter().find(|m| m.eq_ignore_ascii_case(row.method)).copied();
    let served: BTreeSet<(String, &str)> = xinqiao_server::api::rows()
        .map(|row| (row.path.to_owned(), method(&row).expect("a method that documents know")))
        .collect();
    assert_eq!(described, served);
    for (path, method, item, _) in operations(&document) {
        assert!(method != "head" || item["get"].is_object(), "HEAD is answered where GET is: {path}");
    }
}

#[test]
fn roles_and_query_parameters_are_those_of_the_table() {
    let document = document();
    for row in xinqiao_server::api::rows() {
        let item = &document["paths"][row.path];
        let operation = &item[row.method.to_ascii_lowercase()];
        let roles: BTreeSet<&str> = row.open_to.iter().map(|role| role.as_str()).collect();
        assert_eq!(texts(&operation["x-roles"]), roles, "{}", row.path);
        let described = parameters(&document, item, operation);
        let in_query = described.iter().filter(|parameter| parameter["in"] == "query");
        let names: BTreeSet<&str> = in_query.map(|parameter| parameter["name"].as_str().unwrap()).collect();
        assert_eq!(names, row.query.iter().copied().collect(), "{}", row.path);
        if !row.only.is_empty() {
            let last = described.iter().rfind(|parameter| parameter["in"] == "path").unwrap();
            assert_eq!(texts(&last["schema"]["enum"]), row.only.iter().copied().collect(), "{}", row.path);
        }
    }
}

#[test]
fn operations_are_complete() {
    let document = document();
    let tags: BTreeSet<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    let roles: BTreeSet<&str> = xinqiao_certs::Role::ALL.iter().map(|role| role.as_str()).collect();
    for (path, method, item, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} stands twice");
        assert!(texts(&operation["tags"]).is_subset(&tags), "{id}");
        assert!(texts(&operation["x-roles"]).is_subset(&roles), "{id}");
        assert_eq!(operation["requestBody"].is_object(), method == "post", "{id}");
        let mut names = BTreeSet::new();
        let mut in_path = BTreeSet::new();
        for parameter in parameters(&document, item, operation) {
            let (name, place) = (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
            assert!(names.insert((name, place)), "{id}: {name} stands twice");
            assert!(parameter["schema"].is_object(), "{id}: {name}");
            if place == "path" {
                assert_eq!(parameter["required"], true, "{id}: {name}");
                in_path.insert(name);
            }
        }
        let templated: BTreeSet<&str> =
            path.split('{').skip(1).map(|part| part.split_once('}').unwrap().0).collect();
        assert_eq!(in_path, templated, "{id}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            let number: u16 = status.parse().unwrap();
            let content = &resolve(&document, response)["content"];
            assert_eq!(content["application/problem+json"].is_object(), number >= 400, "{id} {status}");
        }
    }
}

#[test]
fn problem_codes_are_those_of_the_table_both_ways() {
    let document = document();
    let listed: Vec<&str> = document["components"]["schemas"]["ProblemCode"]["enum"]
        .as_array()
        .unwrap()
        .iter()
        .map(|code| code.as_str().unwrap())
        .collect();
    let table: Vec<&str> = RefusalCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(listed, table);

    let mut by_status: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for code in RefusalCode::ALL {
        by_status.entry(code.status().into()).or_default().insert(code.as_str());
    }
    for (name, response) in document["components"]["responses"].as_object().unwrap() {
        let schema = &response["content"]["application/problem+json"]["schema"]["allOf"];
        assert_eq!(schema[0]["$ref"], "#/components/schemas/Problem", "{name}");
        let properties = &schema[1]["properties"];
        let status = properties["status"]["const"].as_u64().unwrap();
        assert_eq!(texts(&properties["code"]["enum"]), by_status[&status], "{name}");
    }
}

#[test]
fn the_status_of_every_problem_named_is_answered() {
    let document = document();
    let general = texts(&document["x-problems"]);
    for (_, _, _, operation) in operations(&document) {
        let own = texts(&operation["x-problems"]);
        assert!(
            own.is_disjoint(&general),
            "{} repeats what every operation may answer",
            operation["operationId"]
        );
        let named: BTreeSet<u16> = own
            .union(&general)
            .map(|code| RefusalCode::parse(code).unwrap_or_else(|| panic!("no code {code}")).status())
            .collect();
        let answered: BTreeSet<u16> = operation["responses"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(status, response)| {
                let number: u16 = status.parse().unwrap();
                let content = &resolve(&document, response)["content"]["application/problem+json"];
                let says = &content["schema"]["allOf"][1]["properties"]["status"]["const"];
                assert!(number < 400 || says == number, "{} {status}", operation["operationId"]);
                number
            })
            .filter(|status| *status >= 400)
            .collect();
        assert_eq!(named, answered, "{}", operation["operationId"]);
    }
}

#[test]
fn everything_is_described_in_both_languages() {
    let document = document();
    let speaks = |what: &str, value: &Value| {
        let described = value["description"].as_str().is_some_and(|text| !text.is_empty());
        let chinese =
            value["x-zh"].as_str().is_some_and(|text| text.chars().any(|c| ('一'..='\u{9fff}').contains(&c)));
        assert!(described && chinese, "{what}");
    };
    speaks("info", &document["info"]);
    document["tags"].as_array().unwrap().iter().for_each(|tag| speaks("a tag", tag));
    for (kind, named) in document["components"].as_object().unwrap() {
        named.as_object().unwrap().iter().for_each(|(name, value)| speaks(&format!("{kind} {name}"), value));
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (property, value) in schema["properties"].as_object().into_iter().flatten() {
            let plain =
                value["const"].is_null() && value["$ref"].is_null() && value["items"]["$ref"].is_null();
            if plain && name != "Problem" {
                speaks(&format!("{name}.{property}"), value);
            }
        }
    }
    for (path, _, item, operation) in operations(&document) {
        speaks(&path, operation);
        for parameter in parameters(&document, item, operation) {
            speaks(&format!("{path} {}", parameter["name"]), parameter);
        }
        if operation["requestBody"].is_object() {
            speaks(&path, &operation["requestBody"]);
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            speaks(&format!("{path} {status}"), resolve(&document, response));
        }
    }
}

#[test]
fn examples_of_records_are_records() {
    let document = document();
    let content = &document["paths"]["/v1/datasets/{dataset}/records"]["post"]["requestBody"]["content"];
    let catalogue = Catalogue::builtin().unwrap();
    let schema = catalogue.schema("administrative-penalty-2020").unwrap();
    let context = ValidateContext {
        received: Date::parse_accepted("2026/11/21").unwrap().0,
        source: SourceUnit { authority_code: None, authority_name: None, unit_code: None, unit_name: None },
        relayed: None,
    };
    let json = |name: &str| content["application/json"]["examples"][name]["value"].to_string();
    let text = |kind: &str| content[kind]["example"].as_str().unwrap().to_owned();
    for (format, body, put) in [
        (Format::Json, json("put"), true),
        (Format::Json, json("several"), true),
        (Format::Json, json("withdraw"), false),
        (Format::Ndjson, text("application/x-ndjson"), true),
        (Format::Xml, text("application/xml"), true),
        (Format::Csv, text("text/csv"), true),
    ] {
        let mut taken = 0;
        decode(schema, format, Charset::Utf8, body.as_bytes(), &Caps::default(), &mut |_, raw| {
            let mut findings: Vec<Finding> = Vec::new();
            let good = if put {
                schema.validate(raw.unwrap(), &context, &mut findings).is_some()
            } else {
                schema.validate_recall(raw.unwrap(), &context, &mut findings).is_some()
            };
            assert!(good && findings.is_empty(), "{format:?}: {findings:?}");
            taken += 1;
        })
        .unwrap();
        assert_eq!(taken, 1, "{format:?}");
    }
}

#[test]
fn examples_of_evidence_read() {
    use xinqiao_evidence::acknowledgement::Acknowledgement;
    use xinqiao_evidence::entry::Entry;
    use xinqiao_evidence::jws::Jws;
    use xinqiao_evidence::keys::Jwks;
    use xinqiao_evidence::manifest::Manifest;
    use xinqiao_evidence::tlog::{Checkpoint, LogProof, VerifierKey};
    let document = document();
    let paths = &document["paths"];
    let ok = |path: &str, kind: &str| &paths[path]["get"]["responses"]["200"]["content"][kind]["example"];

    let batch = &ok("/v1/streams/{stream}/batches", "application/json")["batches"][0];
    let jws = Jws::parse(batch["manifest"].to_string().as_bytes()).unwrap();
    let payload = jws.unauthenticated_payload().unwrap();
    let manifest = Manifest::from_json(&payload).unwrap();
    let entry = xinqiao_evidence::base64::decode(batch["entry"].as_str().unwrap()).unwrap();
    let digest = xinqiao_evidence::Digest::of(&payload);
    assert_eq!(manifest.log_entry(digest).to_bytes().unwrap(), entry);
    LogProof::from_text(batch["proof"].as_str().unwrap()).unwrap();

    let content = &paths["/v1/streams/{stream}/acknowledgements"]["post"]["requestBody"]["content"];
    let answer = content["application/json"]["example"].to_string();
    let answer = Acknowledgement::from_json(answer.as_bytes()).unwrap();
    assert_eq!(answer.manifest_digest.sha256, digest);
    let signed = Jws::parse(content["application/jose+json"]["example"].to_string().as_bytes()).unwrap();
    assert_eq!(signed.unauthenticated_payload().unwrap(), answer.to_json());

    let submit = &paths["/v1/datasets/{dataset}/records"]["post"]["responses"]["201"];
    let receipt = &submit["content"]["application/json"]["example"]["receipt"];
    let entry = xinqiao_evidence::base64::decode(receipt["entry"].as_str().unwrap()).unwrap();
    assert_eq!(Entry::from_bytes(&entry).unwrap().kind(), "submission");
    let proof = LogProof::from_text(receipt["proof"].as_str().unwrap()).unwrap();

    let checkpoint = ok("/v1/log/checkpoint", "text/plain").as_str().unwrap();
    assert_eq!(proof.checkpoint, checkpoint);
    Checkpoint::unauthenticated(checkpoint).unwrap();
    let keys = ok("/v1/keys", "application/json");
    assert_eq!(Jwks::from_json(keys.to_string().as_bytes()).unwrap().keys().len(), 2);
    keys["log"].as_str().unwrap().parse::<VerifierKey>().unwrap();
}
