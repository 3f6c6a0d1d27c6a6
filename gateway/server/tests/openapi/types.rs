//! The officers' types and their schemas are one thing: the same members, the same of them optional, the same values.
//!
//! A value of each type is made with every member set, and one with none that may be left out. A member added to a type
//! does not compile here until it is given a value, and then fails until its schema has it.

mod changes;
mod views;

use crate::described::{officers, resolve, texts};
use jsonschema::Validator;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Schemas of the document, and those that a type was held against.
pub(crate) struct Schemas {
    document: Value,
    held: BTreeSet<String>,
}

impl Schemas {
    fn validator(&self, schema: &Value) -> Validator {
        let whole = json!({ "components": self.document["components"], "allOf": [schema] });
        jsonschema::draft202012::options().build(&whole).unwrap()
    }

    fn named(&self, name: &str) -> Validator {
        assert!(self.document["components"]["schemas"][name].is_object(), "no schema {name}");
        self.validator(&json!({ "$ref": format!("#/components/schemas/{name}") }))
    }

    #[track_caller]
    fn passes(&self, name: &str, value: &Value) {
        let validator = self.named(name);
        let found: Vec<String> =
            validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(found.is_empty(), "{name}: {found:?}");
    }

    /// The members of a schema, and those that must be there.
    fn members(&self, name: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut all, mut required) = (BTreeSet::new(), BTreeSet::new());
        let mut open = vec![&self.document["components"]["schemas"][name]];
        while let Some(schema) = open.pop() {
            let schema = resolve(&self.document, schema);
            all.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
            required.extend(schema["required"].as_array().into_iter().flatten().map(|n| text(n).to_owned()));
            open.extend(schema["allOf"].as_array().into_iter().flatten());
        }
        (all, required)
    }

    /// A type that the node writes: `bare` has nothing that may be left out.
    #[track_caller]
    fn answer<T: Serialize + DeserializeOwned>(&mut self, name: &str, whole: &T, bare: &T) {
        self.held.insert(name.to_owned());
        let (whole, bare) = (value(whole), value(bare));
        let (all, required) = self.members(name);
        assert_eq!(keys(&whole), all, "{name}");
        assert_eq!(keys(&bare), required, "{name}: what is always there");
        for one in [&whole, &bare] {
            self.passes(name, one);
            let read: T = serde_json::from_value(one.clone()).unwrap();
            assert_eq!(&value(&read), one, "{name} is read as it was written");
        }
        assert!(!self.named(name).is_valid(&with_another(&whole)), "{name}: the schema is closed");
    }

    /// A type that the node reads: what may be left out is what it can be read without.
    #[track_caller]
    fn request<T: Serialize + DeserializeOwned>(&mut self, name: &str, whole: &T) {
        self.held.insert(name.to_owned());
        let whole = value(whole);
        let (all, required) = self.members(name);
        assert_eq!(keys(&whole), all, "{name}");
        self.passes(name, &whole);
        let reads = |value: &Value| serde_json::from_value::<T>(value.clone()).is_ok();
        assert!(reads(&whole), "{name}");
        for member in &all {
            let mut without = whole.clone();
            without.as_object_mut().unwrap().remove(member);
            assert_eq!(reads(&without), !required.contains(member), "{name}.{member}: optional or not");
            assert_eq!(self.named(name).is_valid(&without), reads(&without), "{name}.{member}");
        }
        let more = with_another(&whole);
        assert!(!reads(&more) && !self.named(name).is_valid(&more), "{name} takes no unknown member");
    }

    /// A type of a few words: all of them.
    #[track_caller]
    fn words<T: Serialize>(&mut self, name: &str, all: &[T]) {
        self.held.insert(name.to_owned());
        let all: Vec<Value> = all.iter().map(value).collect();
        let all: BTreeSet<&str> = all.iter().map(text).collect();
        assert_eq!(texts(&self.document["components"]["schemas"][name]["enum"]), all, "{name}");
    }

    /// A choice between schemas; each variant passes.
    #[track_caller]
    fn choice<T: Serialize>(&mut self, name: &str, variants: &[T]) {
        self.held.insert(name.to_owned());
        variants.iter().for_each(|variant| self.passes(name, &value(variant)));
        let described = self.document["components"]["schemas"][name]["oneOf"].as_array().unwrap().len();
        assert_eq!(described, variants.len(), "{name}");
    }
}

/// Every variant of an enum without fields; one that is missing does not compile.
macro_rules! every {
    ($kind:ident: $($variant:ident),+) => {{
        let _all_named = |value: $kind| match value { $($kind::$variant)|+ => {} };
        [$($kind::$variant),+]
    }};
}
use every;

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

fn with_another(value: &Value) -> Value {
    let mut members: Map<String, Value> = value.as_object().unwrap().clone();
    members.insert("another".into(), json!("x"));
    members.into()
}

fn digest() -> String {
    "0f".repeat(32)
}

fn time() -> String {
    "2026-11-21T08:00:00Z".into()
}

fn some(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

#[test]
fn every_schema_is_that_of_its_type() {
    let mut schemas = Schemas { document: officers().document, held: BTreeSet::new() };
    changes::hold(&mut schemas);
    views::hold(&mut schemas);
    // Forms of a text, and what `gateway/runtime` and `gateway/edge` write of refusals; every test in `tests/` holds those.
    let others = ["Digest", "Time", "NodeName", "Name", "StreamId", "ReasonText"];
    let refusals = ["Problem", "ProblemCode", "Finding"];
    let held: BTreeSet<String> =
        schemas.held.iter().cloned().chain(others.into_iter().chain(refusals).map(str::to_owned)).collect();
    assert_eq!(keys(&schemas.document["components"]["schemas"]), held, "a schema without a type");
}

#[test]
fn examples_are_read_by_their_types() {
    use xinqiao_server::officers as o;
    fn reads<T: DeserializeOwned>(example: &Value) -> Result<(), String> {
        serde_json::from_value::<T>(example.clone()).map(drop).map_err(|e| e.to_string())
    }
    let document = officers().document;
    let said = |path: &str, method: &str| {
        document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["example"].clone()
    };
    let asked = |path: &str| {
        document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"].clone()
    };
    type Reads = fn(&Value) -> Result<(), String>;
    let answers: [(&str, &str, Reads); 25] = [
        ("/v1/status", "get", reads::<o::Screen>),
        ("/v1/streams", "get", reads::<o::List<o::HeadView>>),
        ("/v1/streams/{stream}/hold", "post", reads::<o::Held>),
        ("/v1/streams/{stream}/release", "post", reads::<o::Held>),
        ("/v1/streams/{stream}/retry", "post", reads::<o::Retried>),
        ("/v1/streams/{stream}/withheld", "get", reads::<o::List<o::WithheldView>>),
        ("/v1/streams/{stream}/withheld/{chunk}", "post", reads::<o::Ruled>),
        ("/v1/trace", "get", reads::<o::List<o::Traced>>),
        ("/v1/members", "get", reads::<o::List<o::Member>>),
        ("/v1/members/{name}", "get", reads::<o::Member>),
        ("/v1/members/{name}/suspend", "post", reads::<o::Suspension>),
        ("/v1/trust", "get", reads::<o::List<o::AnchorView>>),
        ("/v1/certificates", "get", reads::<o::List<o::StatusRow>>),
        ("/v1/keys/status", "get", reads::<o::List<o::KeyView>>),
        ("/v1/policies", "get", reads::<o::List<o::PolicyView>>),
        ("/v1/proposals", "get", reads::<o::List<o::ProposalView>>),
        ("/v1/proposals", "post", reads::<o::ProposalView>),
        ("/v1/proposals/{id}", "get", reads::<o::ProposalView>),
        ("/v1/proposals/{id}/approve", "post", reads::<o::ProposalView>),
        ("/v1/proposals/{id}/reject", "post", reads::<o::ProposalView>),
        ("/v1/proposals/{id}/withdraw", "post", reads::<o::ProposalView>),
        ("/v1/reload", "post", reads::<o::Reloaded>),
        ("/v1/log/entries", "get", reads::<o::List<o::LogEntryView>>),
        ("/v1/lockouts", "get", reads::<o::List<o::LockoutView>>),
        ("/v1/lockouts/{name}/lift", "post", reads::<o::Lifted>),
    ];
    for (path, method, reads) in answers {
        assert_eq!(reads(&said(path, method)), Ok(()), "{method} {path}");
    }
    let requests: [(&str, Reads); 8] = [
        ("/v1/streams/{stream}/hold", reads::<o::Reason>),
        ("/v1/streams/{stream}/withheld/{chunk}", reads::<o::Ruling>),
        ("/v1/members/{name}/suspend", reads::<o::Reason>),
        ("/v1/proposals", reads::<o::Draft>),
        ("/v1/proposals/{id}/approve", reads::<o::ApprovalRequest>),
        ("/v1/proposals/{id}/reject", reads::<o::Reason>),
        ("/v1/proposals/{id}/withdraw", reads::<o::Reason>),
        ("/v1/lockouts/{name}/lift", reads::<o::Reason>),
    ];
    for (path, reads) in requests {
        assert_eq!(reads(&asked(path)), Ok(()), "{path}");
    }
}
