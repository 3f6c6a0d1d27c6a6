//! HEAD: the headers of GET, the length among them, and not one byte of a body, on either protocol and for every answer.

use http::{HeaderMap, Request};
use xinqiao_edge::Caps;

use crate::site::{Plan, Site, within};
use crate::wire::Wire;

/// Paths of the site's handler, with the length of what GET answers; none where it is not known beforehand.
const ANSWERS: [(&str, u16, Option<usize>); 6] = [
    ("/", 200, Some("dept-a sent 0 bytes".len())),
    ("/large", 200, Some(16 << 20)),
    ("/stream", 200, None),
    ("/drip", 200, Some(1_000)),
    ("/cut", 200, None),
    ("/unchanged", 304, None),
];

async fn over_http1(site: &Site, method: &str, path: &str, more: &str) -> (String, Vec<u8>) {
    let mut wire = Wire::open(site, "dept-a").await;
    wire.send(format!("{method} {path} HTTP/1.1\r\nhost: n\r\nconnection: close\r\n{more}\r\n")).await;
    let said = wire.read_to_end().await;
    let end = said.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    (String::from_utf8(said[..end].to_vec()).unwrap().to_ascii_lowercase(), said[end..].to_vec())
}

/// The h2 crate ends a stream as broken when DATA follows the answer to HEAD, as browsers and curl do.
async fn over_http2(site: &Site, method: &str, path: &str, more: &HeaderMap) -> (u16, HeaderMap, usize) {
    let wire = Wire::connect(site.address, site.pki.client("dept-a", b"h2")).await.unwrap();
    let (client, connection) = h2::client::handshake(wire.stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = within(client.ready()).await.unwrap();
    let mut request = Request::builder().method(method).uri(format!("https://n{path}")).body(()).unwrap();
    *request.headers_mut() = more.clone();
    let (answer, _) = client.send_request(request, true).unwrap();
    let (head, mut body) = within(answer).await.unwrap().into_parts();
    let mut bytes = 0;
    while let Some(piece) = within(body.data()).await {
        let piece = piece.expect("no frame that does not belong there");
        bytes += piece.len();
        let _more = body.flow_control().release_capacity(piece.len());
    }
    (head.status.as_u16(), head.headers, bytes)
}

#[tokio::test]
async fn no_answer_to_head_has_a_body() {
    let site = Site::start(Plan::default()).await;
    for (path, status, length) in ANSWERS {
        let (head, body) = over_http1(&site, "HEAD", path, "").await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")) && body.is_empty(), "{path}: {head}");
        let said = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        assert_eq!(said.map(|n| n.parse().unwrap()), length, "{path}: {head}");

        let (answered, headers, bytes) = over_http2(&site, "HEAD", path, &HeaderMap::new()).await;
        assert_eq!((answered, bytes), (status, 0), "{path}");
        let said = headers.get("content-length").map(|n| n.to_str().unwrap().parse().unwrap());
        assert_eq!(said, length, "{path}: {headers:?}");
        assert!(!headers.contains_key("transfer-encoding"), "{path}");
    }
    assert_eq!(site.budget.used(), 0, "what is not sent is not held");
}

/// A refusal is an answer like any other, wherever it is made.
#[tokio::test]
async fn no_refusal_of_head_has_a_body() {
    let caps = Caps { header_count: 8, ..Caps::default() };
    let site = Site::start(Plan { caps, ..Plan::default() }).await;
    for (path, count, status) in [("/refused", 0, 404), ("/panic", 0, 500), ("/", 20, 431)] {
        let lines: String = (0..count).map(|i| format!("x-{i}: v\r\n")).collect();
        let more: HeaderMap = (0..count)
            .map(|i| (format!("x-{i}").parse().unwrap(), "v".parse().unwrap()))
            .collect::<Vec<(http::HeaderName, http::HeaderValue)>>()
            .into_iter()
            .collect();
        let (_, document) = over_http1(&site, "GET", path, &lines).await;
        assert!(!document.is_empty(), "{path}");
        let (head, body) = over_http1(&site, "HEAD", path, &lines).await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")) && body.is_empty(), "{path}: {head}");
        assert!(head.contains(&format!("content-length: {}\r\n", document.len())), "{path}: {head}");
        let (answered, headers, bytes) = over_http2(&site, "HEAD", path, &more).await;
        assert_eq!((answered, bytes), (status, 0), "{path}");
        assert_eq!(headers["content-length"], document.len().to_string(), "{path}");
    }
}
