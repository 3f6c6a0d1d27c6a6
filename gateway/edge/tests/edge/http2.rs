//! HTTP/2: the same service, and the floods that are its own.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt;
use xinqiao_edge::{Caps, Deadlines};

use crate::site::{Plan, Site, until, within};
use crate::wire::Wire;

async fn open(site: &Site, department: &str) -> SendRequest<Full<Bytes>> {
    let wire = Wire::connect(site.address, site.pki.client(department, b"h2")).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(wire.stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(sender: &mut SendRequest<Full<Bytes>>, path: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
    let request = Request::post(format!("https://node{path}")).body(Full::from(body)).unwrap();
    let response = within(sender.send_request(request)).await.unwrap();
    let status = response.status();
    (status, within(response.into_body().collect()).await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn requests_and_large_bodies_pass_both_ways() {
    let site = Site::start(Plan::default()).await;
    let mut sender = open(&site, "dept-a").await;
    let (status, body) = send(&mut sender, "/", vec![b'x'; 3 << 20]).await;
    assert_eq!(
        (status.as_u16(), String::from_utf8(body).unwrap()),
        (200, format!("dept-a sent {} bytes", 3 << 20))
    );
    let (status, body) = send(&mut sender, "/large", vec![]).await;
    assert_eq!((status.as_u16(), body.len()), (200, 16 << 20));
    until("the budget is given back", || site.budget.used() == 0).await;
}

#[tokio::test]
async fn an_unknown_member_is_told_so_and_sent_away() {
    let site = Site::start(Plan::default()).await;
    let mut sender = open(&site, "stranger").await;
    let (status, body) = send(&mut sender, "/", vec![]).await;
    assert_eq!(status, 403);
    assert!(String::from_utf8(body).unwrap().contains("member.unknown"));
    until("GOAWAY", || sender.is_closed()).await;
    assert_eq!(site.requests(), 0);
}

#[tokio::test]
async fn a_drain_finishes_streams_in_flight() {
    let mut site = Site::start(Plan::default()).await;
    let mut sender = open(&site, "dept-a").await;
    let mut second = sender.clone();
    let held = tokio::spawn(async move { send(&mut second, "/gate", vec![]).await });
    until("in flight", || site.seen.waiting.load(SeqCst) == 1).await;
    site.drain();
    site.seen.gate.add_permits(1);
    assert_eq!(held.await.unwrap().0, 200);
    until("GOAWAY", || sender.is_closed()).await;
    let request = Request::get("https://node/").body(Full::default()).unwrap();
    assert!(within(sender.send_request(request)).await.is_err());
    assert_eq!(site.ended().await.aborted, 0);
}

#[tokio::test]
async fn a_header_list_beyond_the_cap_is_refused() {
    let caps = Caps { header_bytes: 16 * 1024, ..Caps::default() };
    let site = Site::start(Plan { caps, ..Plan::default() }).await;
    let mut sender = open(&site, "dept-a").await;
    let request =
        Request::get("https://node/").header("x-large", "v".repeat(17 * 1024)).body(Full::default()).unwrap();
    let refused = match within(sender.send_request(request)).await {
        Ok(response) => response.status() == 431,
        Err(error) => !error.is_canceled(),
    };
    assert!(refused);
    assert_eq!(site.requests(), 0);
}

/// One frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `POST https://n/gate`, in HPACK without a dynamic table.
fn head() -> Vec<u8> {
    [&[0x83, 0x87, 0x41, 1][..], b"n", &[0x44, 5], b"/gate"].concat()
}

const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const DATA: u8 = 0;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

async fn raw(site: &Site) -> Wire {
    let mut wire = Wire::connect(site.address, site.pki.client("dept-a", b"h2")).await.unwrap();
    wire.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
    wire
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let caps = Caps { h2_resets: 10, ..Caps::default() };
    let site = Site::start(Plan { caps, ..Plan::default() }).await;
    let mut wire = raw(&site).await;
    let mut flood = Vec::new();
    for stream in (1..20_001).step_by(2) {
        flood.extend(frame(HEADERS, END_HEADERS, stream, &head()));
        flood.extend(frame(RESET, 0, stream, &8u32.to_be_bytes()));
    }
    let _stopped = wire.try_send(&flood).await;
    let said = wire.read_to_end().await;
    assert!(has_goaway(&said), "GOAWAY, then the end");
    assert!(site.requests() < 1_000, "{} requests were begun", site.requests());
}

#[tokio::test]
async fn a_flood_of_continuations_ends_the_connection() {
    let site = Site::start(Plan::default()).await;
    let mut wire = raw(&site).await;
    let mut flood = frame(HEADERS, 0, 1, &head());
    let field = [&[0x00, 1][..], b"x", &[0x7f, 0x81, 0x1f], &[b'v'; 4096]].concat();
    for _ in 0..2_000 {
        flood.extend(frame(CONTINUATION, 0, 1, &field));
    }
    let _stopped = wire.try_send(&flood).await;
    wire.read_to_end().await;
    assert_eq!(site.requests(), 0);
    site.metric("xinqiao_edge_connections{listener=\"exchange\"} 0").await;
}

#[tokio::test]
async fn streams_at_once_are_capped() {
    let caps = Caps { h2_streams: 4, ..Caps::default() };
    let site = Site::start(Plan { caps, ..Plan::default() }).await;
    let mut wire = raw(&site).await;
    for stream in (1..40).step_by(2) {
        wire.send(frame(HEADERS, END_HEADERS | 1, stream, &head())).await;
    }
    until("those within the cap wait", || site.seen.waiting.load(SeqCst) == 4).await;
    let mut said = vec![0; 64 * 1024];
    let count = within(wire.stream.read(&mut said)).await.unwrap();
    assert!(count > 0, "the others were refused");
    assert_eq!(site.requests(), 4);
}

/// Frames that carry nothing end the connection long before they cost memory or time, read or not.
#[tokio::test]
async fn floods_of_idle_frames_end_the_connection() {
    for (name, idle) in [
        ("ping", frame(PING, 0, 0, &[7; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("window update", frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())),
        ("priority", frame(2, 0, 1, &[0; 5])),
        ("a frame of no known kind", frame(0x77, 0, 1, &[])),
        ("empty data", frame(DATA, 0, 1, &[])),
        ("one byte of data", frame(DATA, 0, 1, b"x")),
    ] {
        let site = Site::start(Plan::default()).await;
        let mut wire = raw(&site).await;
        wire.send(frame(HEADERS, END_HEADERS, 1, &head())).await;
        let flood = idle.repeat(100_000);
        let _stopped = wire.try_send(&flood).await;
        wire.read_to_end().await;
        until(name, || site.control.connections() == 0).await;
        assert!(site.requests() <= 1, "{name}");
    }
}

#[tokio::test]
async fn a_flood_is_counted_and_pings_now_and_then_are_not_one() {
    let site = Site::start(Plan::default()).await;
    let mut sender = open(&site, "dept-a").await;
    let mut wire = raw(&site).await;
    let _stopped = wire.try_send(frame(PING, 0, 0, &[7; 8]).repeat(20_000)).await;
    site.metric("xinqiao_edge_connections_closed_total{listener=\"exchange\",reason=\"frame-flood\"} 1")
        .await;
    let (status, body) = send(&mut sender, "/large", vec![b'x'; 2 << 20]).await;
    assert_eq!((status.as_u16(), body.len()), (200, 16 << 20), "large transfers both ways are none");
}

/// Literal header field without indexing.
fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let (n, v) = (u8::try_from(name.len()).unwrap(), u8::try_from(value.len()).unwrap());
    [&[0, n][..], name, &[v], value].concat()
}

/// A ping behind what was sent: once it is answered, or the connection gone, the node has read all before it.
async fn judged(wire: &mut Wire) {
    let _gone = wire.try_send(frame(PING, 0, 0, b"sentinel")).await;
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while !said.windows(8).any(|w| w == b"sentinel") {
        match within(wire.stream.read(&mut buffer)).await {
            Ok(0) | Err(_) => break,
            Ok(count) => said.extend_from_slice(&buffer[..count]),
        }
    }
}

/// What a proxy that turns HTTP/1.1 into HTTP/2 might let through; none of it reaches the handler as a request.
#[tokio::test]
async fn heads_that_mean_two_things_are_refused_over_http2() {
    let start = [0x83, 0x87];
    let authority = field(b":authority", b"n");
    let path = field(b":path", b"/");
    let full = [&start[..], &authority, &path].concat();
    let with = |more: &[u8]| [&full[..], more].concat();
    for (name, head) in [
        ("connection", with(&field(b"connection", b"close"))),
        ("transfer-encoding", with(&field(b"transfer-encoding", b"chunked"))),
        ("keep-alive", with(&field(b"keep-alive", b"1"))),
        ("upgrade", with(&field(b"upgrade", b"h2c"))),
        ("te other than trailers", with(&field(b"te", b"gzip"))),
        ("upper case", with(&field(b"X-A", b"v"))),
        ("line break in a value", with(&field(b"x", b"a\r\nhost: b"))),
        ("NUL in a value", with(&field(b"x", b"a\0b"))),
        ("line break in a name", with(&field(b"x\r\ny", b"a"))),
        ("empty name", with(&field(b"", b"a"))),
        ("space in the path", [&start[..], &authority, &field(b":path", b"/a b")].concat()),
        ("two paths", with(&path)),
        ("no path", [&start[..], &authority].concat()),
        ("pseudo-header after a header", [&start[..], &authority, &field(b"x", b"v"), &path].concat()),
        ("response pseudo-header", with(&field(b":status", b"200"))),
        ("unknown pseudo-header", with(&field(b":x", b"v"))),
        ("two lengths", with(&[field(b"content-length", b"1"), field(b"content-length", b"2")].concat())),
        ("length that is no number", with(&field(b"content-length", b"-1"))),
    ] {
        let site = Site::start(Plan::default()).await;
        let mut wire = raw(&site).await;
        wire.send(frame(HEADERS, END_HEADERS | 1, 1, &head)).await;
        judged(&mut wire).await;
        assert_eq!(site.requests(), 0, "{name}");
    }
}

/// It never stalls, and would hold its sixteen megabytes for minutes.
#[tokio::test]
async fn a_peer_that_takes_a_little_now_and_then_is_cut() {
    let deadlines =
        Deadlines { reply_stall: Duration::from_millis(1_500), reply_rate: 8 << 20, ..Deadlines::default() };
    let site = Site::start(Plan { deadlines, ..Plan::default() }).await;
    let mut wire = raw(&site).await;
    let get = [&[0x82, 0x87][..], &field(b":authority", b"n"), &field(b":path", b"/large")].concat();
    wire.send(frame(HEADERS, END_HEADERS | 1, 1, &get)).await;
    let more = 16_384u32.to_be_bytes();
    let window = [frame(WINDOW_UPDATE, 0, 0, &more), frame(WINDOW_UPDATE, 0, 1, &more)].concat();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let mut buffer = vec![0; 64 * 1024];
    loop {
        pace.tick().await;
        let gone = wire.try_send(&window).await.is_err();
        if gone || within(wire.stream.read(&mut buffer)).await.unwrap_or_default() == 0 {
            break;
        }
    }
    site.metric("xinqiao_edge_connections_closed_total{listener=\"exchange\",reason=\"reply-slow\"} 1").await;
    until("the budget is given back", || site.budget.used() == 0).await;
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_announced_is_no_body() {
    for (announced, sent) in [("5", "abc"), ("3", "abcdef")] {
        let site = Site::start(Plan::default()).await;
        let mut wire = raw(&site).await;
        let head = [
            &[0x83, 0x87][..],
            &field(b":authority", b"n"),
            &field(b":path", b"/"),
            &field(b"content-length", announced.as_bytes()),
        ]
        .concat();
        wire.send(frame(HEADERS, END_HEADERS, 1, &head)).await;
        wire.send(frame(DATA, 1, 1, sent.as_bytes())).await;
        until("the request ended", || site.budget.used() == 0 && site.requests() <= 1).await;
        judged(&mut wire).await;
        assert!(site.seen.bodies.lock().is_empty(), "{announced}: {sent}");
    }
}

fn has_goaway(mut bytes: &[u8]) -> bool {
    while let [a, b, c, kind, ..] = *bytes {
        if kind == 7 {
            return true;
        }
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    false
}
