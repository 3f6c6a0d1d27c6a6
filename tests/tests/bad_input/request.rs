//! Paths, parameters, headers, and bodies that do not arrive.

use crate::*;

#[tokio::test]
async fn a_request_is_not_guessed_at() {
    let body = || ndjson(&[spied()]);
    let key = |ask: Ask| ask.with("idempotency-key", fresh_key());
    let query = |query: &str| key(Ask::post(format!("{PENALTIES}{query}"), NDJSON, body()));
    let typed = |media: &str| key(Ask::post(format!("{PENALTIES}?schema=xm-penalty"), media, body()));
    let keyed = |key: &str| {
        Ask::post(format!("{PENALTIES}?schema=xm-penalty"), NDJSON, body()).with("idempotency-key", key)
    };
    let method = |method, path: &str| Ask { method, ..Ask::get(path) };
    for (name, ask, status, code) in [
        ("schema not said", query(""), 400, "schema.missing"),
        ("no such schema", query("?schema=canary7788"), 422, "schema.unknown"),
        ("another dataset's schema", query("?schema=xm-licence"), 422, "schema.unknown"),
        ("no such operation", query("?schema=xm-penalty&op=canary7788"), 400, "operation.unknown"),
        ("no such load", query("?schema=xm-penalty&load=canary7788"), 400, "load.unknown"),
        ("unknown parameter", query("?schema=xm-penalty&canary7788=1"), 400, "parameter.unknown"),
        ("parameter twice", query("?schema=xm-penalty&schema=xm-penalty"), 400, "parameter.repeated"),
        ("broken escape", query("?schema=xm-penalty&op=%zz"), 400, "parameter.invalid"),
        ("escape that is no UTF-8", query("?schema=%ff%fe"), 400, "parameter.invalid"),
        (
            "no such dataset",
            key(Ask::post("/v1/datasets/canary7788/records", NDJSON, body())),
            404,
            "dataset.unknown",
        ),
        ("no media type", key(Ask { headers: Vec::new(), ..typed("x") }), 415, "media-type.unsupported"),
        ("another media type", typed("text/canary7788"), 415, "media-type.unsupported"),
        ("odd parameter", typed("text/csv; canary7788"), 415, "media-type.unsupported"),
        ("another character set", typed("text/csv; charset=big5"), 415, "charset.unsupported"),
        ("JSON is UTF-8", typed("application/json; charset=gb18030"), 415, "charset.unsupported"),
        (
            "no key",
            Ask::post(format!("{PENALTIES}?schema=xm-penalty"), NDJSON, body()),
            400,
            "idempotency.missing",
        ),
        ("key too short", keyed("canary7788"), 400, "idempotency.malformed"),
        ("key too long", keyed(&"k".repeat(129)), 400, "idempotency.malformed"),
        ("two keys", keyed(&fresh_key()).with("idempotency-key", fresh_key()), 400, "parameter.repeated"),
        ("no such path", Ask::get("/v1/canary7788"), 404, "not-found"),
        ("no version", Ask::get("/datasets"), 404, "not-found"),
        ("climbing", Ask::get("/v1/log/tile/../../keys"), 404, "not-found"),
        ("no such tile", Ask::get("/v1/log/tile/0/999"), 404, "not-found"),
        ("odd tile", Ask::get("/v1/log/tile/canary7788"), 404, "not-found"),
        ("no such submission", Ask::get("/v1/submissions/1-canary7788"), 404, "submission.unknown"),
        ("no such recall", Ask::get("/v1/recalls/canary7788"), 404, "recall.unknown"),
        ("DELETE", method(Method::DELETE, "/v1/keys"), 405, "method-not-allowed"),
        ("GET of records", method(Method::GET, PENALTIES), 405, "method-not-allowed"),
        ("number that is none", Ask::get("/v1/feedback?after=canary7788"), 400, "parameter.invalid"),
        ("negative number", Ask::get("/v1/feedback?after=-1"), 400, "parameter.invalid"),
        (
            "claimed identity",
            Ask::get("/v1/keys").with("client-cert", ":canary7788:"),
            400,
            "member.header-refused",
        ),
        (
            "too many headers",
            (0..80).fold(Ask::get("/v1/keys"), |ask, _| ask.with("x-canary", "1")),
            431,
            "header.too-many",
        ),
    ] {
        refuse(name, ask, status, code).await;
    }
    let answer = alpha().ask(method(Method::DELETE, PENALTIES)).await;
    assert_eq!(answer.header("allow"), Some("POST"));
    let answer = alpha().ask(method(Method::PUT, "/v1/keys")).await;
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
}

/// A number beyond what the document says is refused and not taken for another, so that nobody waits for what never comes.
#[tokio::test]
async fn numbers_in_queries_lie_between_those_of_the_document() {
    let mut tried = 0;
    for (template, name, least, most) in EXCHANGE.numbers_in_queries() {
        let peer = CITY.peer(if template.contains("{stream}") { "agency" } else { "alpha" });
        let path = template.replace("{stream}", "agency.administrative-penalty");
        let ask = async |number: u64| peer.ask(Ask::get(format!("{path}?{name}={number}"))).await;
        let outside = [least.checked_sub(1), most.map(|most| most + 1), most.map(|_| u64::MAX)];
        for number in outside.into_iter().flatten() {
            let told = ask(number).await.refused(400, "parameter.invalid");
            assert_eq!(told["errors"][0]["field"], name, "{template}: {name}={number}");
            let en = told["errors"][0]["en"].as_str().expect("a text");
            assert!(en.contains(&format!("from {least} to {}", most.expect("a bound"))), "{en}");
            tried += 1;
        }
        // Waits of a minute are tried where there is something to wait for.
        if name != "wait" {
            ask(least).await.good(200);
        }
        if let Some(most) = most.filter(|_| name != "wait") {
            ask(most).await.good(200);
        }
    }
    assert!(tried >= 7, "{tried}");
}

#[tokio::test]
async fn a_body_that_is_too_large_or_ends_early_is_told_at_once() {
    let head = |length: usize| {
        format!(
            "POST {PENALTIES}?schema=xm-penalty HTTP/1.1\r\nhost: localhost\r\ncontent-type: {NDJSON}\r\n\
             idempotency-key: {}\r\ncontent-length: {length}\r\n\r\n",
            fresh_key()
        )
    };
    // The announcement alone decides: none of the bytes is sent.
    let said = alpha().say(head(200 << 20).as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 413 ") && said.contains("\"code\":\"body.too-large\""), "{said}");
    let half = ndjson(&[spied()]);
    let said = alpha().say(&[head(half.len() + 10).as_bytes(), &half].concat()).await;
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("\"code\":\"body.truncated\""), "{said}");
    assert!(!said.contains(CANARY));
}
