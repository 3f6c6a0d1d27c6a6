//! Requests that two programs could read differently. Each case ends with a request that one reading hides in a body; the
//! node refuses the first or reads it in exactly one way, and never makes two requests of one.

use crate::site::{Plan, Site};
use crate::wire::Wire;

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: n\r\n\r\n";

enum Reading {
    /// 400 (or what is named), one answer, then the end.
    Refused(&'static str),
    /// The body is these bytes, and what follows is the next request for everybody.
    Body(&'static str),
}

use Reading::{Body, Refused};

const CASES: &[(&str, &str, Reading)] = &[
    // Framing by length.
    (
        "the same length twice",
        "POST / HTTP/1.1\r\nhost: n\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
        Body("abc"),
    ),
    ("an empty length", "POST / HTTP/1.1\r\nhost: n\r\ncontent-length:\r\n\r\n", Refused("400")),
    (
        "a length with a space inside",
        "POST / HTTP/1.1\r\nhost: n\r\ncontent-length: 1 0\r\n\r\n",
        Refused("400"),
    ),
    (
        "a length behind a vertical tab",
        "POST / HTTP/1.1\r\nhost: n\r\ncontent-length: \x0b3\r\n\r\nabc",
        Refused("400"),
    ),
    (
        "a length with a form feed",
        "POST / HTTP/1.1\r\nhost: n\r\ncontent-length: 3\x0c\r\n\r\nabc",
        Refused("400"),
    ),
    (
        "a length of 2^64",
        "POST / HTTP/1.1\r\nhost: n\r\ncontent-length: 18446744073709551616\r\n\r\n",
        Refused("400"),
    ),
    (
        "a length of 2^64 - 1",
        "POST / HTTP/1.1\r\nhost: n\r\ncontent-length: 18446744073709551615\r\n\r\n",
        Refused("4"),
    ),
    ("a length on a GET", "GET / HTTP/1.1\r\nhost: n\r\ncontent-length: 3\r\n\r\nabc", Body("abc")),
    // Whose site.
    ("two hosts", "GET / HTTP/1.1\r\nhost: n\r\nhost: m\r\n\r\n", Refused("400")),
    ("the same host twice", "GET / HTTP/1.1\r\nhost: n\r\nhost: n\r\n\r\n", Refused("400")),
    ("no host", "GET / HTTP/1.1\r\naccept: */*\r\n\r\n", Refused("400")),
    // Framing by chunks.
    (
        "a folded coding",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        Refused("400"),
    ),
    (
        "a space before the coding's colon",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        Refused("400"),
    ),
    (
        "chunked, then another coding",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        Refused("400"),
    ),
    (
        "a coding in quotes",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        Refused("400"),
    ),
    (
        "chunks in HTTP/1.0",
        "POST / HTTP/1.0\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused("400"),
    ),
    (
        "a chunk extension",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
        Body("abc"),
    ),
    (
        "a line break in a chunk extension",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n",
        Refused("400"),
    ),
    (
        "a chunk that ends in LF",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
        Refused("400"),
    ),
    (
        "a chunk size that ends in LF",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        Refused("400"),
    ),
    (
        "a chunk size in hexadecimal notation",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        Refused("400"),
    ),
    (
        "a signed chunk size",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
        Refused("400"),
    ),
    (
        "a chunk size with an underscore",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n0_3\r\nabc\r\n0\r\n\r\n",
        Refused("400"),
    ),
    (
        "a chunk size beyond 64 bits",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
        Refused("400"),
    ),
    (
        "no chunk size",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n",
        Refused("400"),
    ),
    (
        "a length among the trailers",
        "POST / HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\ncontent-length: 35\r\n\r\n",
        Body("abc"),
    ),
    // The head.
    ("LF alone ends lines", "POST / HTTP/1.1\nhost: n\ncontent-length: 3\n\nabc", Body("abc")),
    ("a bare CR in the head", "POST / HTTP/1.1\r\nhost: n\r\nx: a\rb\r\n\r\n", Refused("400")),
    ("CR alone ends lines", "POST / HTTP/1.1\rhost: n\rcontent-length: 3\r\rabc", Refused("400")),
    ("a NUL in a name", "POST / HTTP/1.1\r\nhost: n\r\nx\0: a\r\n\r\n", Refused("400")),
    ("a name that is empty", "POST / HTTP/1.1\r\nhost: n\r\n: a\r\n\r\n", Refused("400")),
    ("a line without a colon", "POST / HTTP/1.1\r\nhost: n\r\nx\r\n\r\n", Refused("400")),
    ("a head that begins with a fold", "POST / HTTP/1.1\r\n host: n\r\n\r\n", Refused("400")),
    ("a space in the target", "GET /a b HTTP/1.1\r\nhost: n\r\n\r\n", Refused("400")),
    ("a tab before the version", "GET /\tHTTP/1.1\r\nhost: n\r\n\r\n", Refused("400")),
    ("HTTP/0.9", "GET /\r\n", Refused("400")),
    ("HTTP/1.2", "GET / HTTP/1.2\r\nhost: n\r\n\r\n", Refused("400")),
    ("a method with a control character", "GE\x01T / HTTP/1.1\r\nhost: n\r\n\r\n", Refused("400")),
];

#[tokio::test]
async fn no_request_hides_in_another() {
    for (name, request, reading) in CASES {
        let site = Site::start(Plan::default()).await;
        let mut wire = Wire::open(&site, "dept-a").await;
        let _closed_early = wire.try_send(format!("{request}{HIDDEN}")).await;
        match reading {
            Refused(status) => {
                let said = String::from_utf8_lossy(&wire.read_to_end().await).into_owned();
                assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {said}");
                assert_eq!(said.matches("HTTP/1.1").count(), 1, "{name}: one answer, then the end");
                assert!(site.requests() <= 1 && site.seen.bodies.lock().is_empty(), "{name}");
            }
            Body(body) => {
                assert_eq!(wire.answer().await.text(), format!("dept-a sent {} bytes", body.len()), "{name}");
                assert_eq!(site.seen.bodies.lock().remove(0), body.as_bytes(), "{name}");
                assert_eq!(wire.answer().await.text(), "dept-a sent 0 bytes", "{name}");
                assert_eq!(site.requests(), 2, "{name}");
            }
        }
    }
}
