//! The node's own life: what it says of itself, and how it stops.

use crate::{CITY, licence, put_licences, take};
use http::Method;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xinqiao::demo::process::NodeProcess;
use xinqiao_tests::city::{City, NDJSON, PENALTIES, batches, fresh_key, ndjson, peer_of, penalty};
use xinqiao_tests::peer::Ask;
use xinqiao_tests::program::node_program;
use xinqiao_tests::site::{get, readiness, until};

#[tokio::test]
async fn it_says_how_it_is() {
    take(&CITY.peer("alpha"), put_licences(&[licence()]), 1).await;
    assert_eq!(CITY.local("/healthz").await, "ok\n");
    let (status, report) = readiness(CITY.node.local).await;
    assert_eq!((status, report["status"].as_str()), (200, Some("ok")), "{report}");
    let metrics = CITY.local("/metrics").await;
    for name in [
        "xinqiao_build_info{version=",
        "xinqiao_queue_pending_records{stream=\"province.administrative-licence\"}",
        "xinqiao_http_requests_total{route=\"/v1/datasets/{dataset}/records\",status=\"201\"}",
        "xinqiao_journal_bytes ",
        "xinqiao_clock_healthy 1",
        "xinqiao_memory_budget_bytes{state=\"total\"}",
        "xinqiao_edge_connections_accepted_total{listener=\"exchange\"}",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name}: {metrics}");
    }
    assert_eq!(get(CITY.node.local, "/v1/streams").await.0, 404, "records are not served here");
    let head = CITY.peer("alpha").ask(Ask { method: Method::HEAD, ..Ask::get("/v1/keys") }).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn told_to_stop_it_finishes_what_is_in_flight() {
    let dir = tempfile::tempdir().expect("a directory");
    let City { node, pki, dir: home } = City::start_in(dir.path(), 0, |_| String::new());
    let (alpha, agency) = (peer_of(&pki, "alpha", node.exchange), peer_of(&pki, "agency", node.exchange));
    let one = penalty();
    let body = ndjson(std::slice::from_ref(&one));
    let head = format!(
        "POST {PENALTIES}?schema=xm-penalty HTTP/1.1\r\nhost: localhost\r\ncontent-type: {NDJSON}\r\n\
         idempotency-key: {}\r\ncontent-length: {}\r\n\r\n",
        fresh_key(),
        body.len()
    );
    let mut slow = alpha.open().await.expect("a connection");
    slow.write_all(&[head.as_bytes(), &body[..body.len() / 2]].concat())
        .await
        .expect("half of it can be sent");
    slow.flush().await.expect("half of it can be sent");
    let poll = tokio::spawn(async move {
        agency.ask(Ask::get("/v1/streams/agency.administrative-penalty/batches?wait=60")).await
    });
    // Both requests are with the node.
    until("two requests are being answered", || async {
        let metrics = get(node.local, "/metrics").await.1;
        let open =
            metrics.lines().find_map(|l| l.strip_prefix("xinqiao_edge_connections{listener=\"exchange\"} "));
        open.and_then(|n| n.parse::<f64>().ok()).is_some_and(|n| n >= 2.0)
    })
    .await;
    let (address, began) = (node.exchange, Instant::now());
    let stopping = tokio::task::spawn_blocking(move || node.stop());
    until("no new connection is taken", || async { tokio::net::TcpStream::connect(address).await.is_err() })
        .await;
    let polled = poll.await.expect("no panic");
    assert_eq!(polled.good(200)["batches"], serde_json::json!([]), "a poll ends at once");
    slow.write_all(&body[body.len() / 2..]).await.expect("the rest can be sent");
    slow.flush().await.expect("the rest can be sent");
    let mut said = Vec::new();
    let _cut = slow.read_to_end(&mut said).await;
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("HTTP/1.1 201 "), "{said}");
    assert!(stopping.await.expect("no panic"), "it ends well");
    assert!(began.elapsed() < Duration::from_secs(20), "it does not wait for its deadline");

    // And what it said it has, it has.
    let node = NodeProcess::start(node_program(), &home.join("city/node.toml"), &home.join("city.log"));
    let node = node.unwrap_or_else(|error| panic!("{error}"));
    let province = peer_of(&pki, "province", node.exchange);
    let keys = xinqiao_tests::city::keys_in(&home.join("city"));
    let all = batches(&province, &keys, "province.administrative-penalty", 0).await;
    assert!(all.iter().any(|batch| batch.line(&one).is_some()));
    assert_eq!(node.epoch, 1);
    assert!(tokio::task::spawn_blocking(move || node.stop()).await.expect("no panic"));
}
