//! Request heads: too large, too many, too slow, ambiguous.

use std::time::Duration;

use xinqiao_edge::{Caps, Deadlines};

use crate::site::{Plan, Site};
use crate::wire::Wire;

#[tokio::test]
async fn an_oversize_head_is_refused_and_never_kept() {
    let caps = Caps { header_bytes: 16 * 1024, ..Caps::default() };
    let site = Site::start(Plan { caps, ..Plan::default() }).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    let head = format!("GET / HTTP/1.1\r\nhost: n\r\nx-large: {}\r\n\r\n", "v".repeat(64 * 1024));
    let _stopped = wire.try_send(head).await;
    assert_eq!(wire.answer().await.status, 431);
    wire.closed().await;
    assert_eq!(site.requests(), 0);
}

#[tokio::test]
async fn too_many_header_fields_are_refused() {
    let caps = Caps { header_count: 20, ..Caps::default() };
    let site = Site::start(Plan { caps, ..Plan::default() }).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    let lines = |count: usize| (0..count).map(|i| format!("x-{i}: v\r\n")).collect::<String>();
    assert_eq!(wire.post("/", &lines(10), b"").await.status, 200);
    assert_eq!(wire.post("/", &lines(40), b"").await.code(), "header.too-many");
    assert_eq!(wire.post("/", &lines(200), b"").await.status, 431, "beyond a hundred hyper refuses");
}

#[tokio::test]
async fn a_million_header_fields_are_cut_off_early() {
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    let lines: Vec<u8> = std::iter::once("GET / HTTP/1.1\r\nhost: n\r\n".to_owned())
        .chain((0..1_000_000).map(|i| format!("x{i}: v\r\n")))
        .flat_map(String::into_bytes)
        .collect();
    let sent = wire.try_send(&lines).await;
    assert!(sent.is_err(), "the node stopped reading long before the end");
    assert_eq!(site.requests(), 0);
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_at_its_deadline() {
    let deadlines = Deadlines { header: Duration::from_millis(100), ..Deadlines::default() };
    let site = Site::start(Plan { deadlines, ..Plan::default() }).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    assert_eq!(
        wire.get("/").await.status,
        200,
        "a quick one first, so that the clock starts on a kept connection"
    );
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let mut head = b"GET / HTTP/1.1\r\nhost: ".iter().chain(std::iter::repeat(&b'n'));
    loop {
        pace.tick().await;
        let byte = *head.next().unwrap();
        if wire.try_send([byte]).await.is_err() {
            break;
        }
    }
    assert_eq!(site.requests(), 1);
    site.metric("xinqiao_edge_connections_closed_total{listener=\"exchange\",reason=\"header-slow\"} 1")
        .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_order() {
    let deadlines = Deadlines { idle: Duration::from_millis(100), ..Deadlines::default() };
    let site = Site::start(Plan { deadlines, ..Plan::default() }).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    assert_eq!(wire.get("/").await.status, 200);
    wire.closed().await;
    site.metric("xinqiao_edge_connections_closed_total{listener=\"exchange\",reason=\"idle\"} 1").await;
    site.metric("xinqiao_edge_connections{listener=\"exchange\"} 0").await;
}

/// What could make this node and a proxy in front of it see different requests. Each holds a
/// second request inside what one reading takes for the body of the first.
#[tokio::test]
async fn ambiguous_framing_never_lets_a_hidden_request_through() {
    let hidden = "GET /hidden HTTP/1.1\r\nhost: n\r\n\r\n";
    for (name, head) in [
        ("chunked not last", "transfer-encoding: chunked, gzip\r\n"),
        ("unknown coding", "transfer-encoding: xchunked\r\n"),
        ("vertical tab in the coding", "transfer-encoding: \x0bchunked\r\n"),
        ("two lengths", "content-length: 5\r\ncontent-length: 6\r\n"),
        ("signed length", "content-length: +5\r\n"),
        ("negative length", "content-length: -1\r\n"),
        ("hexadecimal length", "content-length: 0x5\r\n"),
        ("length beyond 64 bits", "content-length: 99999999999999999999999\r\n"),
        ("list of lengths", "content-length: 5, 6\r\n"),
        ("space before the colon", "content-length : 5\r\n"),
        ("folded line", "x: a\r\n content-length: 5\r\n"),
        ("NUL in a value", "x: a\0b\r\n"),
        ("bare carriage return", "x: a\rcontent-length: 5\r\n"),
    ] {
        let site = Site::start(Plan::default()).await;
        let mut wire = Wire::open(&site, "dept-a").await;
        wire.send(format!("POST / HTTP/1.1\r\nhost: n\r\n{head}\r\n{hidden}")).await;
        let all = String::from_utf8_lossy(&wire.read_to_end().await).into_owned();
        assert!(all.starts_with("HTTP/1.1 400"), "{name}: {all}");
        assert_eq!(all.matches("HTTP/1.1").count(), 1, "{name}: one answer, then the end");
        assert_eq!(site.requests(), 0, "{name}");
    }
}

#[tokio::test]
async fn length_and_chunks_together_are_read_as_chunks_and_end_the_connection() {
    for head in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    ] {
        let site = Site::start(Plan::default()).await;
        let mut wire = Wire::open(&site, "dept-a").await;
        wire.send(format!(
            "POST / HTTP/1.1\r\nhost: n\r\n{head}\r\n3\r\nabc\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: n\r\n\r\n"
        ))
        .await;
        assert_eq!(wire.answer().await.text(), "dept-a sent 3 bytes");
        wire.closed().await;
        assert_eq!(site.requests(), 1, "what followed was not read as a request");
    }
}

#[tokio::test]
async fn broken_chunks_are_a_truncated_body() {
    for chunks in ["zz\r\n", "ffffffffffffffffff\r\n", "3\r\nabcdef\r\n", "-1\r\n"] {
        let site = Site::start(Plan::default()).await;
        let mut wire = Wire::open(&site, "dept-a").await;
        wire.send(format!("POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n{chunks}")).await;
        assert_eq!(wire.answer().await.code(), "body.truncated", "{chunks:?}");
        wire.closed().await;
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    let post =
        |body: &str| format!("POST / HTTP/1.1\r\nhost: n\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    wire.send([post("1"), post("22"), post("333")].concat()).await;
    for size in 1..=3 {
        assert_eq!(wire.answer().await.text(), format!("dept-a sent {size} bytes"));
    }
}

#[tokio::test]
async fn a_handler_that_panics_costs_its_request_only() {
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    let answer = wire.get("/panic").await;
    assert_eq!((answer.status, answer.code()), (500, "internal".into()));
    assert!(!answer.text().contains("asked for"), "what it said stays inside");
    assert_eq!(wire.get("/").await.status, 200);
    site.metric("xinqiao_http_panics_total 1").await;
}
