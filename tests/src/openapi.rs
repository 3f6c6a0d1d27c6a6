//! Holds what a node answers against the OpenAPI documents it serves, one for each listener: status, media type and every
//! member of the body.
//!
//! The documents are strict, so an answer with a member too many, a state it does not name or a problem code that is not
//! the operation's fails here. Messages name places, never values.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// What the exchange listener says of itself.
pub static EXCHANGE: LazyLock<Document> = LazyLock::new(|| Document::new(xinqiao_server::api::OPENAPI, true));
/// What the officers' listener says of itself.
pub static OFFICERS: LazyLock<Document> =
    LazyLock::new(|| Document::new(xinqiao_server::admin::OPENAPI, false));

const PROBLEM: &str = "application/problem+json";

/// A document as a node serves it.
pub struct Document {
    parsed: Value,
    /// Whether HEAD is answered wherever GET is.
    head: bool,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Document {
    fn new(text: &str, head: bool) -> Self {
        let parsed = serde_json::from_str(text).expect("the document is JSON");
        Self { parsed, head, validators: Mutex::default() }
    }

    /// Checks a whole answer, headers and all, to `method` on `path`; the query does not matter. On a path or with a method
    /// that is not in the document it must be a problem.
    ///
    /// # Errors
    /// Where the answer is not what the document says.
    pub fn check_answer(
        &self,
        method: &str,
        path: &str,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), String> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        match self.template_of(path).filter(|template| self.operation(method, template).is_some()) {
            None if method.eq_ignore_ascii_case("head") => Ok(()),
            None => self.check_problem(status, content_type, body),
            Some(template) => {
                self.check_response(method, template, status, content_type, body)?;
                self.check_headers(method, template, status, headers)
            }
        }
    }

    /// Checks that the headers the document promises are there and of their form; others are passed over.
    ///
    /// # Errors
    /// Where a header is missing or of another form.
    pub fn check_headers(
        &self,
        method: &str,
        template: &str,
        status: u16,
        headers: &HeaderMap,
    ) -> Result<(), String> {
        let place = format!("{method} {template} {status}");
        let response = self
            .operation(method, template)
            .and_then(|operation| operation["responses"].get(status.to_string()));
        let response = self.resolve(response.ok_or(format!("{place}: not in the document"))?);
        for (name, described) in response["headers"].as_object().into_iter().flatten() {
            let described = self.resolve(described);
            let Some(value) = headers.get(name) else {
                if described["required"] == true {
                    return Err(format!("{place}: header {name} is missing"));
                }
                continue;
            };
            let text = value.to_str().map_err(|_| format!("{place}: header {name} is not text"))?;
            let number = text.parse::<u64>().ok().filter(|_| described["schema"]["type"] == "integer");
            let instance = number.map_or_else(|| Value::from(text), Value::from);
            self.validate(&described["schema"], &instance)
                .map_err(|why| format!("{place}: header {name}: {why}"))?;
        }
        Ok(())
    }

    /// Checks an answer to `method` on the path of that template, such as `/v1/streams/{stream}/batches`.
    /// `content_type` is the header as it came, empty if there was none.
    ///
    /// # Errors
    /// Where the answer is not what the document says.
    pub fn check_response(
        &self,
        method: &str,
        template: &str,
        status: u16,
        content_type: &str,
        body: &[u8],
    ) -> Result<(), String> {
        let place = format!("{method} {template} {status}");
        let operation =
            self.operation(method, template).ok_or(format!("{place}: no such operation in the document"))?;
        let response = operation["responses"].get(status.to_string());
        let response = self.resolve(response.ok_or(format!("{place}: the status is not in the document"))?);
        let content = &response["content"];
        if method.eq_ignore_ascii_case("head") || !content.is_object() {
            return if body.is_empty() { Ok(()) } else { Err(format!("{place}: a body where none belongs")) };
        }
        let kind = essence(content_type);
        let media = content
            .get(&kind)
            .ok_or(format!("{place}: media type {content_type:?} is not in the document"))?;
        if let Some(schema) = media.get("schema") {
            let instance = read(&kind, body).map_err(|why| format!("{place}: {why}"))?;
            self.validate(schema, &instance).map_err(|why| format!("{place}: {why}"))?;
            if kind == PROBLEM {
                self.check_code(operation, &instance["code"]).map_err(|why| format!("{place}: {why}"))?;
            }
        }
        Ok(())
    }

    /// Checks a problem document that no operation of the API gave: of an unknown path, of a method a path does not know.
    ///
    /// # Errors
    /// Where it is not what the document says of problems.
    pub fn check_problem(&self, status: u16, content_type: &str, body: &[u8]) -> Result<(), String> {
        if essence(content_type) != PROBLEM {
            return Err(format!("{status}: media type {content_type:?} is not {PROBLEM}"));
        }
        let instance = read(PROBLEM, body)?;
        self.validate(&json!({ "$ref": "#/components/schemas/Problem" }), &instance)?;
        if instance["status"] == status {
            Ok(())
        } else {
            Err(format!("{status}: the document names another status"))
        }
    }

    /// Every whole number that a GET takes in its query: path, name, and between which numbers it is said to lie.
    pub fn numbers_in_queries(&self) -> Vec<(&str, &str, u64, Option<u64>)> {
        let mut found = Vec::new();
        for (path, item) in self.parsed["paths"].as_object().into_iter().flatten() {
            for parameter in item["get"]["parameters"].as_array().into_iter().flatten() {
                let parameter = self.resolve(parameter);
                let (name, schema) = (parameter["name"].as_str().unwrap_or_default(), &parameter["schema"]);
                if parameter["in"] == "query" && schema["type"] == "integer" {
                    let least = schema["minimum"].as_u64().unwrap_or(0);
                    found.push((path.as_str(), name, least, schema["maximum"].as_u64()));
                }
            }
        }
        found
    }

    /// The template of a path, query left off; concrete segments before names.
    pub fn template_of(&self, path: &str) -> Option<&str> {
        let path = path.split('?').next().unwrap_or(path);
        let paths = self.parsed["paths"].as_object()?;
        let fits = |template: &&String| {
            let (mut wanted, mut given) = (template.split('/'), path.split('/'));
            loop {
                match (wanted.next(), given.next()) {
                    (None, None) => return true,
                    // The one name that may hold slashes stands last.
                    (Some("{tile}"), Some(_)) => return true,
                    (Some(name), Some(text)) if name.starts_with('{') && !text.is_empty() => {}
                    (Some(name), Some(text)) if name == text => {}
                    _ => return false,
                }
            }
        };
        paths.keys().filter(fits).min_by_key(|template| template.matches('{').count()).map(String::as_str)
    }

    /// The operation; of a listener that answers HEAD, wherever it answers GET.
    fn operation(&self, method: &str, template: &str) -> Option<&Value> {
        let item = self.parsed["paths"].get(template)?;
        let method = method.to_ascii_lowercase();
        item.get(&method).or_else(|| item.get("get").filter(|_| self.head && method == "head"))
    }

    /// A problem code must be one of the operation's own or of those every operation may answer.
    fn check_code(&self, operation: &Value, code: &Value) -> Result<(), String> {
        let lists = [&operation["x-problems"], &self.parsed["x-problems"]];
        let known = lists.iter().any(|list| list.as_array().is_some_and(|codes| codes.contains(code)));
        if known { Ok(()) } else { Err(format!("code {code} is not among the operation's x-problems")) }
    }

    fn resolve<'d>(&'d self, value: &'d Value) -> &'d Value {
        let Some(reference) = value["$ref"].as_str() else { return value };
        reference
            .strip_prefix('#')
            .and_then(|pointer| self.parsed.pointer(pointer))
            .expect("references resolve")
    }

    /// Validates, and then what encoded strings hold (`contentSchema`), which JSON Schema itself leaves alone.
    fn validate(&self, schema: &Value, instance: &Value) -> Result<(), String> {
        let validator = self.validator(schema)?;
        let found: Vec<String> = validator
            .iter_errors(instance)
            .take(10)
            .map(|error| format!("{}: {} ({})", error.instance_path(), error.masked(), error.schema_path()))
            .collect();
        if found.is_empty() { self.contents(schema, instance) } else { Err(found.join("; ")) }
    }

    fn validator(&self, schema: &Value) -> Result<Arc<Validator>, String> {
        let mut known = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let key = schema.to_string();
        if let Some(validator) = known.get(&key) {
            return Ok(validator.clone());
        }
        // References are to `#/components/…`, so the components come along.
        let whole = json!({ "components": self.parsed["components"], "allOf": [schema] });
        let built =
            jsonschema::draft202012::options().build(&whole).map_err(|error| format!("schema: {error}"))?;
        let built = Arc::new(built);
        known.insert(key, built.clone());
        Ok(built)
    }

    /// Follows the schema along the instance and validates what it finds encoded.
    fn contents(&self, schema: &Value, instance: &Value) -> Result<(), String> {
        if let Some(pointer) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            self.contents(self.parsed.pointer(pointer).expect("references resolve"), instance)?;
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.contents(part, instance)?;
        }
        for (name, part) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(member) = instance.get(name) {
                self.contents(part, member).map_err(|why| format!("{name}: {why}"))?;
            }
        }
        if schema["items"].is_object() {
            for item in instance.as_array().into_iter().flatten() {
                self.contents(&schema["items"], item)?;
            }
        }
        if let (Some(within), Some(text)) = (schema.get("contentSchema"), instance.as_str()) {
            let bytes = match schema["contentEncoding"].as_str() {
                Some("base64") => STANDARD.decode(text),
                _ => URL_SAFE_NO_PAD.decode(text),
            };
            let bytes = bytes.map_err(|_| "not in its contentEncoding".to_owned())?;
            self.validate(within, &read("application/json", &bytes)?)?;
        }
        Ok(())
    }
}

fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

fn read(kind: &str, body: &[u8]) -> Result<Value, String> {
    if kind == "application/json" || kind.ends_with("+json") {
        serde_json::from_slice(body)
            .map_err(|error| format!("not JSON at line {} column {}", error.line(), error.column()))
    } else {
        let text = std::str::from_utf8(body)
            .map_err(|error| format!("not UTF-8 from byte {} on", error.valid_up_to()))?;
        Ok(Value::String(text.to_owned()))
    }
}

#[cfg(test)]
mod tests;
