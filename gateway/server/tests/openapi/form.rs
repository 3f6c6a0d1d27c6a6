//! What both documents promise: form, rows, problems, both languages.

use crate::described::{Described, METHODS, both, each, operations, parameters, resolve, texts};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use xinqiao_runtime::refusal::RefusalCode;
use xinqiao_server::routes::Row;

#[test]
fn the_document_is_openapi_and_its_references_resolve() {
    for Described { document, .. } in &both() {
        assert_eq!(document["openapi"], "3.1.0");
        let members =
            ["openapi", "info", "jsonSchemaDialect", "servers", "security", "tags", "paths", "components"];
        for name in document.as_object().unwrap().keys() {
            assert!(
                members.contains(&name.as_str()) || name.starts_with("x-"),
                "{name} is no member of OpenAPI"
            );
        }
        assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
        each(document, &mut |members| {
            if let Some(Value::String(_)) = members.get("$ref") {
                resolve(document, &Value::Object(members.clone()));
            }
        });
        for requirement in document["security"].as_array().unwrap() {
            for scheme in requirement.as_object().unwrap().keys() {
                assert_eq!(document["components"]["securitySchemes"][scheme]["type"], "mutualTLS");
            }
        }
        let mut used = BTreeSet::new();
        each(document, &mut |members| {
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
}

#[test]
fn paths_and_methods_are_those_the_node_answers() {
    for Described { document, rows, head, .. } in &both() {
        let described: BTreeSet<(String, &str)> = operations(document)
            .into_iter()
            .filter(|(_, method, ..)| *method != "head")
            .map(|(path, method, ..)| (path, method))
            .collect();
        let method = |row: &Row| METHODS.iter().find(|m| m.eq_ignore_ascii_case(row.method)).copied();
        let served: BTreeSet<(String, &str)> = rows
            .iter()
            .map(|row| (row.path.to_owned(), method(row).expect("a method that documents know")))
            .collect();
        assert_eq!(described, served);
        for (path, method, item, _) in operations(document) {
            let is_there = *head && item["get"].is_object();
            assert!(method != "head" || is_there, "HEAD is answered where GET is: {path}");
        }
    }
}

#[test]
fn roles_and_query_parameters_are_those_of_the_table() {
    for Described { document, rows, .. } in &both() {
        for row in rows {
            let item = &document["paths"][row.path];
            let operation = &item[row.method.to_ascii_lowercase()];
            let roles: BTreeSet<&str> = row.open_to.iter().map(|role| role.as_str()).collect();
            assert_eq!(texts(&operation["x-roles"]), roles, "{}", row.path);
            let described = parameters(document, item, operation);
            let in_query = described.iter().filter(|parameter| parameter["in"] == "query");
            let names: BTreeSet<&str> =
                in_query.map(|parameter| parameter["name"].as_str().unwrap()).collect();
            assert_eq!(names, row.query.iter().copied().collect(), "{}", row.path);
            if !row.only.is_empty() {
                let last = described.iter().rfind(|parameter| parameter["in"] == "path").unwrap();
                assert_eq!(
                    texts(&last["schema"]["enum"]),
                    row.only.iter().copied().collect(),
                    "{}",
                    row.path
                );
            }
        }
    }
}

#[test]
fn operations_are_complete() {
    for Described { document, .. } in &both() {
        let tags: BTreeSet<&str> =
            document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
        let mut ids = BTreeSet::new();
        let roles: BTreeSet<&str> = xinqiao_certs::Role::ALL.iter().map(|role| role.as_str()).collect();
        for (path, method, item, operation) in operations(document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} stands twice");
            assert!(texts(&operation["tags"]).is_subset(&tags), "{id}");
            assert!(texts(&operation["x-roles"]).is_subset(&roles), "{id}");
            assert_eq!(operation["requestBody"].is_object(), method == "post", "{id}");
            let mut names = BTreeSet::new();
            let mut in_path = BTreeSet::new();
            for parameter in parameters(document, item, operation) {
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
                let content = &resolve(document, response)["content"];
                assert_eq!(content["application/problem+json"].is_object(), number >= 400, "{id} {status}");
            }
        }
    }
}

#[test]
fn problem_codes_are_those_of_the_table_both_ways() {
    for Described { document, every_code, .. } in &both() {
        let listed: Vec<&str> = document["components"]["schemas"]["ProblemCode"]["enum"]
            .as_array()
            .unwrap()
            .iter()
            .map(|code| code.as_str().unwrap())
            .collect();
        let mut answered = texts(&document["x-problems"]);
        for (_, _, _, operation) in operations(document) {
            answered.extend(texts(&operation["x-problems"]));
        }
        // Any path may be one that is not there, or that has another method.
        answered.extend([RefusalCode::NotFound, RefusalCode::MethodNotAllowed].map(RefusalCode::as_str));
        let table = RefusalCode::ALL.iter().map(|code| code.as_str());
        let table: Vec<&str> = table.filter(|code| *every_code || answered.contains(code)).collect();
        assert_eq!(listed, table);

        let mut by_status: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
        for code in listed.iter().filter_map(|code| RefusalCode::parse(code)) {
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
}

#[test]
fn the_status_of_every_problem_named_is_answered() {
    for Described { document, .. } in &both() {
        let general = texts(&document["x-problems"]);
        for (_, _, _, operation) in operations(document) {
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
                    let content = &resolve(document, response)["content"]["application/problem+json"];
                    let says = &content["schema"]["allOf"][1]["properties"]["status"]["const"];
                    assert!(number < 400 || says == number, "{} {status}", operation["operationId"]);
                    number
                })
                .filter(|status| *status >= 400)
                .collect();
            assert_eq!(named, answered, "{}", operation["operationId"]);
        }
    }
}

#[test]
fn everything_is_described_in_both_languages() {
    for Described { document, .. } in &both() {
        let speaks = |what: &str, value: &Value| {
            let described = value["description"].as_str().is_some_and(|text| !text.is_empty());
            let chinese = value["x-zh"]
                .as_str()
                .is_some_and(|text| text.chars().any(|c| ('一'..='\u{9fff}').contains(&c)));
            assert!(described && chinese, "{what}");
        };
        speaks("info", &document["info"]);
        document["tags"].as_array().unwrap().iter().for_each(|tag| speaks("a tag", tag));
        for (kind, named) in document["components"].as_object().unwrap() {
            named
                .as_object()
                .unwrap()
                .iter()
                .for_each(|(name, value)| speaks(&format!("{kind} {name}"), value));
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
        for (path, _, item, operation) in operations(document) {
            speaks(&path, operation);
            for parameter in parameters(document, item, operation) {
                speaks(&format!("{path} {}", parameter["name"]), parameter);
            }
            if operation["requestBody"].is_object() {
                speaks(&path, &operation["requestBody"]);
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                speaks(&format!("{path} {status}"), resolve(document, response));
            }
        }
    }
}
