//! A document taken apart.

use serde_json::{Map, Value};
use std::collections::BTreeSet;
use xinqiao_server::routes::Row;

pub(crate) const METHODS: [&str; 3] = ["get", "head", "post"];

/// A document and the rows it is of.
pub(crate) struct Described {
    pub(crate) document: Value,
    pub(crate) rows: Vec<Row>,
    /// Whether HEAD is answered.
    pub(crate) head: bool,
    /// Whether it lists every code of the program, for members of every kind; otherwise those its listener answers with.
    pub(crate) every_code: bool,
}

pub(crate) fn exchange() -> Described {
    use xinqiao_server::api::{OPENAPI, rows};
    let document = serde_json::from_str(OPENAPI).unwrap();
    Described { document, rows: rows().collect(), head: true, every_code: true }
}

pub(crate) fn officers() -> Described {
    use xinqiao_server::admin::{OPENAPI, rows};
    let document = serde_json::from_str(OPENAPI).unwrap();
    Described { document, rows: rows().collect(), head: false, every_code: false }
}

pub(crate) fn both() -> [Described; 2] {
    [exchange(), officers()]
}

/// Follows `$ref`.
pub(crate) fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.strip_prefix('#').unwrap())
            .unwrap_or_else(|| panic!("{reference} leads nowhere")),
        None => value,
    }
}

pub(crate) fn each(value: &Value, visit: &mut dyn FnMut(&Map<String, Value>)) {
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
pub(crate) fn operations(document: &Value) -> Vec<(String, &'static str, &Value, &Value)> {
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

pub(crate) fn parameters<'d>(document: &'d Value, item: &'d Value, operation: &'d Value) -> Vec<&'d Value> {
    let of = |value: &'d Value| value["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    of(item).iter().chain(of(operation)).map(|parameter| resolve(document, parameter)).collect()
}

pub(crate) fn texts(value: &Value) -> BTreeSet<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}
