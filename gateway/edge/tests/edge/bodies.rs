//! Bodies: too large, too slow, cut short, compressed to deceive.

use std::io::Write;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use xinqiao_edge::{BodyCaps, Deadlines};
use xinqiao_runtime::Budget;

use crate::site::{Plan, Site, until};
use crate::wire::Wire;

const GZIP: &str = "content-encoding: gzip\r\n";
const ZSTD: &str = "content-encoding: zstd\r\n";

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zstd_of(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 3).unwrap()
}

/// Many bytes of one value, compressed without holding them.
fn bomb(mut encoder: impl Write, mebibytes: usize) {
    let block = vec![0u8; 1 << 20];
    for _ in 0..mebibytes {
        encoder.write_all(&block).unwrap();
    }
}

#[tokio::test]
async fn a_declared_length_beyond_the_cap_is_refused_before_the_body_is_asked_for() {
    let site = Site::start(Plan { body: BodyCaps::of(1_000), ..Plan::default() }).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    wire.send("POST / HTTP/1.1\r\nhost: n\r\ncontent-length: 1001\r\nexpect: 100-continue\r\n\r\n").await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, answer.code()),
        (413, "body.too-large".into()),
        "and no 100 Continue came first"
    );
    wire.closed().await;
}

#[tokio::test]
async fn a_body_of_unknown_length_is_cut_at_the_cap() {
    let site = Site::start(Plan { body: BodyCaps::of(100_000), ..Plan::default() }).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    wire.send("POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let chunk = format!("2710\r\n{}\r\n", "c".repeat(10_000));
    for _ in 0..11 {
        let _stopped = wire.try_send(&chunk).await;
    }
    assert_eq!(wire.answer().await.code(), "body.too-large");
    until("the budget is given back", || site.budget.used() == 0).await;
}

#[tokio::test]
async fn a_body_in_many_chunks_arrives_whole() {
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    wire.send("POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let mut sent = Vec::new();
    for i in 0..200usize {
        let piece = vec![u8::try_from(i).unwrap(); i * 7 + 1];
        wire.send([format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat()).await;
        sent.extend(piece);
    }
    wire.send("0\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 200);
    assert!(site.seen.bodies.lock()[0] == sent);
    until("the budget is given back", || site.budget.used() == 0).await;
}

#[tokio::test]
async fn a_refusal_reaches_a_sender_that_has_megabytes_to_go() {
    let site = Site::start(Plan { body: BodyCaps::of(1_000), ..Plan::default() }).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    let head = format!("POST / HTTP/1.1\r\nhost: n\r\ncontent-length: {}\r\n\r\n", 8 << 20);
    let _stopped = wire.try_send([head.as_bytes(), &vec![b'x'; 8 << 20]].concat()).await;
    let answer = wire.answer().await;
    assert_eq!(answer.code(), "body.too-large");
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
}

#[tokio::test]
async fn a_body_nobody_reads_does_not_become_the_next_request() {
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: n\r\n\r\n";
    let head =
        format!("POST /ignore HTTP/1.1\r\nhost: n\r\ncontent-length: {}\r\n\r\n{hidden}", hidden.len());
    wire.send(head).await;
    assert_eq!(wire.answer().await.text(), "not read");
    wire.closed().await;
    assert_eq!(site.requests(), 1);
}

#[tokio::test]
async fn a_body_that_stalls_is_refused_at_its_deadline() {
    let deadlines = Deadlines { body_stall: Duration::from_millis(100), ..Deadlines::default() };
    let site = Site::start(Plan { deadlines, ..Plan::default() }).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    wire.send("POST / HTTP/1.1\r\nhost: n\r\ncontent-length: 100\r\n\r\nsome").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.code()), (408, "body.too-slow".into()));
    until("the budget is given back", || site.budget.used() == 0).await;
}

#[tokio::test]
async fn a_body_below_the_minimum_rate_is_refused_though_it_never_stalls() {
    let deadlines =
        Deadlines { body_stall: Duration::from_millis(200), body_rate: 10_000, ..Deadlines::default() };
    let site = Site::start(Plan { deadlines, ..Plan::default() }).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    wire.send("POST / HTTP/1.1\r\nhost: n\r\ncontent-length: 100000\r\n\r\n").await;
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while site.metrics.render().matches("body.too-slow").count() == 0 {
        pace.tick().await;
        let _stopped = wire.try_send("x").await;
    }
    assert_eq!(wire.answer().await.code(), "body.too-slow");
}

#[tokio::test]
async fn a_body_whose_sender_leaves_is_truncated() {
    for head in ["content-length: 100\r\n\r\nsome", "transfer-encoding: chunked\r\n\r\n64\r\nsome"] {
        let site = Site::start(Plan::default()).await;
        let mut wire = Wire::open(&site, "dept-a").await;
        wire.send(format!("POST / HTTP/1.1\r\nhost: n\r\n{head}")).await;
        wire.stream.shutdown().await.unwrap();
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.code()), (400, "body.truncated".into()));
    }
}

#[tokio::test]
async fn compressed_bodies_arrive_as_meant_in_one_or_many_parts() {
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    let plain: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let (one, two) = plain.split_at(400_000);
    for (headers, body) in [
        (GZIP, gzip(&plain)),
        (GZIP, [gzip(one), gzip(two)].concat()),
        ("content-encoding: X-GZIP\r\n", gzip(&plain)),
        (ZSTD, zstd_of(&plain)),
        (ZSTD, [zstd_of(one), zstd_of(two)].concat()),
        ("content-encoding: identity\r\n", plain.clone()),
    ] {
        let answer = wire.post("/", headers, &body).await;
        assert_eq!(answer.status, 200, "{headers}: {}", answer.text());
        assert!(site.seen.bodies.lock().pop().unwrap() == plain, "{headers}");
    }
    until("the budget is given back", || site.budget.used() == 0).await;
}

#[tokio::test]
async fn bombs_are_refused_within_the_budget() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb(&mut gz, 512);
    let mut zs = zstd::Encoder::new(Vec::new(), 19).unwrap();
    bomb(&mut zs, 512);
    for (headers, body) in [(GZIP, gz.finish().unwrap()), (ZSTD, zs.finish().unwrap())] {
        // The budget holds a little more than the cap: were more decoded, it would say busy.memory.
        let budget = Budget::new(12 << 20, 12 << 20);
        let body_caps = BodyCaps { wire: 2 << 20, decoded: 8 << 20, ratio: usize::MAX };
        let site = Site::start(Plan { budget, body: body_caps, ..Plan::default() }).await;
        let mut wire = Wire::open(&site, "dept-a").await;
        let answer = wire.post("/", headers, &body).await;
        assert_eq!((answer.status, answer.code()), (413, "body.decompressed-too-large".into()), "{headers}");
        until("the budget is given back", || site.budget.used() == 0).await;
    }
}

#[tokio::test]
async fn a_ratio_no_records_have_is_refused_below_the_absolute_cap() {
    let caps = BodyCaps { wire: 1 << 20, decoded: 1 << 30, ratio: 100 };
    let site = Site::start(Plan { body: caps, ..Plan::default() }).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    assert_eq!(wire.post("/", GZIP, &gzip(&vec![0; 900_000])).await.status, 200, "small ones may be dense");
    assert_eq!(wire.post("/", GZIP, &gzip(&vec![0; 4 << 20])).await.code(), "body.decompressed-too-large");
}

#[tokio::test]
async fn what_a_decoder_cannot_read_is_named() {
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    let (gz, zs) = (gzip(&[7; 200_000]), zstd_of(&[7; 200_000]));
    let mut wide = zstd::Encoder::new(Vec::new(), 1).unwrap();
    wide.window_log(27).unwrap();
    bomb(&mut wide, 1);
    let wide = wide.finish().unwrap();
    let mut flipped = gz.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for (headers, body, status, code) in [
        ("content-encoding: br\r\n", &gz[..], 415, "encoding.unsupported"),
        ("content-encoding: gzip, zstd\r\n", &gz[..], 415, "encoding.unsupported"),
        ("content-encoding: gzip\r\ncontent-encoding: zstd\r\n", &gz[..], 415, "encoding.unsupported"),
        (GZIP, &gz[..gz.len() - 1], 400, "encoding.corrupt"),
        (GZIP, &flipped[..], 400, "encoding.corrupt"),
        (GZIP, &[&gz[..], b"junk"].concat()[..], 400, "encoding.corrupt"),
        (GZIP, b"", 400, "encoding.corrupt"),
        (GZIP, b"plain", 400, "encoding.corrupt"),
        (ZSTD, &zs[..zs.len() - 1], 400, "encoding.corrupt"),
        (ZSTD, &[&zs[..], b"junk"].concat()[..], 400, "encoding.corrupt"),
        (ZSTD, &wide[..], 415, "encoding.window-too-large"),
    ] {
        let answer = wire.post("/", headers, body).await;
        assert_eq!((answer.status, answer.code()), (status, code.into()), "{headers}, {} bytes", body.len());
        assert_eq!(answer.header("accept-encoding").is_some(), status == 415);
        if answer.header("connection").is_some() {
            wire = Wire::open(&site, "dept-a").await;
        }
    }
}
