use super::*;

const LIST: &str = "/v1/streams/{stream}/batches";
const SUBMIT: &str = "/v1/datasets/{dataset}/records";

fn both() -> [&'static Document; 2] {
    [&EXCHANGE, &OFFICERS]
}

/// The example of an answer.
fn example(template: &str, method: &str, status: &str, kind: &str) -> Value {
    let response = EXCHANGE.resolve(&EXCHANGE.parsed["paths"][template][method]["responses"][status]);
    response["content"][kind]["example"].clone()
}

fn check(template: &str, method: &str, status: u16, value: &Value) -> Result<(), String> {
    let kind = if status < 400 { "application/json" } else { PROBLEM };
    EXCHANGE.check_response(method, template, status, kind, value.to_string().as_bytes())
}

fn each(value: &'static Value, visit: &mut dyn FnMut(&'static serde_json::Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            visit(members);
            members.values().for_each(|member| each(member, visit));
        }
        Value::Array(items) => items.iter().for_each(|item| each(item, visit)),
        _ => {}
    }
}

#[test]
fn schemas_are_json_schema_2020_12() {
    for document in both() {
        let mut schemas: Vec<&Value> =
            document.parsed["components"]["schemas"].as_object().unwrap().values().collect();
        each(&document.parsed, &mut |members| {
            schemas.extend(members.get("schema").filter(|schema| schema.is_object()))
        });
        assert!(schemas.len() > 60);
        for schema in schemas {
            jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|error| panic!("{error}"));
            document.validator(schema).unwrap();
        }
    }
}

#[test]
fn every_example_is_valid() {
    for document in both() {
        let mut examples: Vec<(&Value, &Value)> = Vec::new();
        each(&document.parsed, &mut |members| {
            let Some(schema) = members.get("schema") else { return };
            examples.extend(members.get("example").map(|example| (schema, example)));
            let named = members.get("examples").and_then(Value::as_object).into_iter().flatten();
            examples.extend(named.map(|(_, example)| (schema, &example["value"])));
        });
        for schema in document.parsed["components"]["schemas"].as_object().unwrap().values() {
            let own = schema["examples"].as_array().into_iter().flatten();
            examples.extend(own.map(|example| (schema, example)));
        }
        assert!(examples.len() > 30);
        for (schema, example) in examples {
            document.validate(schema, example).unwrap_or_else(|why| panic!("{schema}: {why}"));
        }
    }
}

#[test]
fn answers_as_described_pass() {
    for document in both() {
        for (template, item) in document.parsed["paths"].as_object().unwrap() {
            for method in ["get", "post"] {
                for (status, response) in item[method]["responses"].as_object().into_iter().flatten() {
                    let content = &document.resolve(response)["content"];
                    for (kind, media) in content.as_object().into_iter().flatten() {
                        // Examples of shared problems name a code that need not be this operation's.
                        let Some(example) = media.get("example").filter(|_| kind != PROBLEM) else {
                            continue;
                        };
                        let body = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                        let (kind, status) = (format!("{kind}; charset=utf-8"), status.parse().unwrap());
                        let checked =
                            document.check_response(method, template, status, &kind, body.as_bytes());
                        assert_eq!(checked, Ok(()));
                    }
                }
            }
        }
    }
    assert_eq!(check("/v1/keys", "get", 403, &example("/v1/keys", "get", "403", PROBLEM)), Ok(()));
    assert_eq!(EXCHANGE.check_response("HEAD", "/v1/keys", 200, "application/json", b""), Ok(()));
    assert!(OFFICERS.check_response("HEAD", "/v1/members", 200, "application/json", b"").is_err());
    assert_eq!(
        EXCHANGE.check_response("GET", "/v1/log/tile/{tile}", 200, "application/octet-stream", b"\xff"),
        Ok(())
    );
}

#[test]
fn answers_otherwise_fail_and_the_message_holds_no_value() {
    let list = example(LIST, "get", "200", "application/json");
    let fails = |change: &dyn Fn(&mut Value), place: &str| {
        let mut changed = list.clone();
        change(&mut changed);
        let why = check(LIST, "get", 200, &changed).unwrap_err();
        assert!(why.contains(place) && !why.contains("secret"), "{why}");
    };
    fails(&|v| v["extra"] = "secret".into(), "unexpected");
    fails(&|v| v["epoch"] = "secret".into(), "/epoch");
    fails(&|v| v["batches"][0]["proof"] = "secret".into(), "/batches/0/proof");
    fails(&|v| v["batches"][0]["entry"] = STANDARD.encode("{\"secret\":1}").into(), "entry");
    fails(&|v| v["batches"][0]["manifest"]["payload"] = URL_SAFE_NO_PAD.encode("secret").into(), "manifest");
    fails(&|v| drop(v.as_object_mut().unwrap().remove("more")), "required");

    let body = list.to_string();
    let wrong = |method: &str, template: &str, status, kind: &str| {
        EXCHANGE.check_response(method, template, status, kind, body.as_bytes()).unwrap_err()
    };
    assert!(wrong("POST", LIST, 200, "application/json").contains("no such operation"));
    assert!(wrong("GET", "/v1/else", 200, "application/json").contains("no such operation"));
    assert!(wrong("GET", LIST, 201, "application/json").contains("status"));
    assert!(wrong("GET", LIST, 200, "text/html").contains("media type"));
    assert!(wrong("HEAD", LIST, 200, "application/json").contains("body"));
    let payload = "/v1/streams/{stream}/batches/{seq}/payload";
    assert!(wrong("GET", payload, 304, "application/gzip").contains("body"));
}

#[test]
fn receipts_are_looked_into() {
    let mut answer = example(SUBMIT, "post", "201", "application/json");
    let entry = STANDARD.decode(answer["receipt"]["entry"].as_str().unwrap()).unwrap();
    let mut entry: Value = serde_json::from_slice(&entry).unwrap();
    entry["counts"]["accepted"] = json!(-1);
    answer["receipt"]["entry"] = STANDARD.encode(entry.to_string()).into();
    assert!(check(SUBMIT, "post", 201, &answer).unwrap_err().contains("/counts/accepted"));
}

#[test]
fn problems_have_the_code_of_their_status_and_operation() {
    let problem = example(SUBMIT, "post", "422", PROBLEM);
    assert_eq!(check(SUBMIT, "post", 422, &problem), Ok(()));
    assert_eq!(
        EXCHANGE.check_problem(
            422,
            "application/problem+json; charset=utf-8",
            problem.to_string().as_bytes()
        ),
        Ok(())
    );
    assert!(
        EXCHANGE.check_problem(409, PROBLEM, problem.to_string().as_bytes()).unwrap_err().contains("status")
    );
    assert!(EXCHANGE.check_problem(422, "application/json", problem.to_string().as_bytes()).is_err());
    // Right for its status, but not of this operation.
    let stranger = example(LIST, "get", "409", PROBLEM);
    assert!(check(LIST, "get", 409, &stranger).unwrap_err().contains("x-problems"));
    // Not of its status.
    let mut wrong = problem;
    wrong["code"] = "internal".into();
    assert!(check(SUBMIT, "post", 422, &wrong).unwrap_err().contains("/code"));
}

#[test]
fn paths_lead_to_their_templates() {
    for (path, template) in [
        ("/v1/datasets", Some("/v1/datasets")),
        ("/v1/datasets/administrative-penalty/records?op=put", Some(SUBMIT)),
        ("/v1/datasets/administrative-penalty/schema.json", Some("/v1/datasets/{dataset}/{file}")),
        ("/v1/streams/province.administrative-penalty~history/batches?after=1", Some(LIST)),
        ("/v1/log/tile/entries/x001/234.p/5", Some("/v1/log/tile/{tile}")),
        ("/v1/submissions/", None),
        ("/v1/else", None),
        ("/", None),
    ] {
        assert_eq!(EXCHANGE.template_of(path), template, "{path}");
    }
}

#[test]
fn whole_answers_are_checked_with_their_headers() {
    let digest = "ab".repeat(32);
    let headers = |etag: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/zstd".parse().unwrap());
        headers.insert("etag", etag.parse().unwrap());
        headers.insert("accept-ranges", "bytes".parse().unwrap());
        headers.insert("content-length", "4".parse().unwrap());
        headers.insert("repr-digest", format!("sha-256=:{}:", STANDARD.encode([7; 32])).parse().unwrap());
        headers
    };
    let path = "/v1/streams/province.administrative-penalty/batches/4/payload?";
    let check = |status, headers: &HeaderMap| {
        EXCHANGE.check_answer("GET", path, status, headers, b"\x28\xb5\x2f\xfd")
    };
    assert_eq!(check(200, &headers(&format!("\"{digest}\""))), Ok(()));
    assert!(check(200, &headers(&digest)).unwrap_err().contains("ETag"));
    assert!(check(206, &headers(&format!("\"{digest}\""))).unwrap_err().contains("Content-Range is missing"));

    let problem = example("/v1/keys", "get", "503", PROBLEM).to_string();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, PROBLEM.parse().unwrap());
    headers.insert("cache-control", "no-store".parse().unwrap());
    // A stopping node may say so anywhere; 503 comes with Retry-After, a whole number.
    let problem = problem.replace("disk.full", "busy.draining");
    let check = |path: &str, headers: &HeaderMap| {
        EXCHANGE.check_answer("GET", path, 503, headers, problem.as_bytes())
    };
    assert!(check("/v1/keys", &headers).unwrap_err().contains("Retry-After is missing"));
    headers.insert("retry-after", "soon".parse().unwrap());
    assert!(check("/v1/keys", &headers).unwrap_err().contains("Retry-After"));
    headers.insert("retry-after", "1".parse().unwrap());
    assert_eq!(check("/v1/keys", &headers), Ok(()));
    assert_eq!(check("/v1/unknown", &headers), Ok(()));
}
