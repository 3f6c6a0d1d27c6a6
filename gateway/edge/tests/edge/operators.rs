//! What operators see: the local listener and the access log.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xinqiao_certs::Role;
use xinqiao_edge::local::Local;
use xinqiao_runtime::logging::{Format, subscriber};
use xinqiao_runtime::metrics::{Metric, Metrics};
use xinqiao_runtime::{Check, State};

use crate::site::{PATIENCE, Plan, Site, until, within};
use crate::wire::Wire;

async fn probe(address: SocketAddr, request: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(format!("{request} HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut said = String::new();
    within(tcp.read_to_string(&mut said)).await.unwrap();
    said
}

#[tokio::test]
async fn the_local_listener_tells_health_readiness_and_metrics() {
    let checks = Arc::new(Mutex::new(vec![Check::ok("journal")]));
    let metrics = Metrics::new();
    metrics.set(Metric::ClockHealthy, &[], 1.0);
    let readiness = {
        let checks = checks.clone();
        Arc::new(move || checks.lock().clone())
    };
    let local = Local::bind(([127, 0, 0, 1], 0).into(), readiness, metrics).await.unwrap();
    let address = local.local_addr().unwrap();
    tokio::spawn(local.serve(std::future::pending(), PATIENCE));

    assert!(probe(address, "GET /healthz").await.starts_with("HTTP/1.1 200"));
    assert!(probe(address, "GET /metrics").await.contains("\nxinqiao_clock_healthy 1\n"));
    assert!(probe(address, "GET /v1/datasets").await.starts_with("HTTP/1.1 404"));
    assert!(probe(address, "POST /healthz").await.starts_with("HTTP/1.1 405"));
    assert!(
        probe(address, "GET /readyz")
            .await
            .ends_with(r#"{"status":"ok","checks":[{"name":"journal","state":"ok"}]}"#)
    );

    let degraded = Check {
        name: "clock",
        state: State::Degraded,
        advice: "start chrony".into(),
        advice_zh: "请启动 chrony".into(),
    };
    checks.lock().push(degraded.clone());
    let said = probe(address, "GET /readyz").await;
    assert!(said.starts_with("HTTP/1.1 200") && said.contains(r#""status":"degraded""#), "{said}");
    assert!(said.contains("start chrony") && said.contains("请启动 chrony"));
    checks.lock().push(Check { name: "disk", state: State::Failing, ..degraded });
    assert!(probe(address, "GET /readyz").await.starts_with("HTTP/1.1 503"));
}

/// One thread, so that a logger for this test alone hears everything.
#[tokio::test(flavor = "current_thread")]
async fn the_access_log_knows_the_request_but_nothing_it_carried() {
    let output = Output::default();
    let log = subscriber(Format::Json, "info", {
        let output = output.clone();
        move || output.clone()
    });
    let _logging = tracing::subscriber::set_default(log.unwrap());
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    let canary = "350203199001011234";
    wire.post(&format!("/{canary}?name={canary}"), &format!("x-canary: {canary}\r\n"), canary.as_bytes())
        .await;
    wire.send(format!("{} / HTTP/1.1\r\nhost: n\r\n\r\n", "CANARY-350203199001011234")).await;
    wire.answer().await;
    wire.post("/", "content-encoding: canary-350203199001011234\r\n", b"x").await;
    until("three lines", || output.text().lines().filter(|l| l.contains("xinqiao::access")).count() == 3)
        .await;
    let text = output.text();
    assert!(!text.contains(canary) && !site.metrics.render().contains(canary), "{text}");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["target"] == "xinqiao::access")
        .collect();
    let first = &lines[0];
    assert_eq!(first["member"], "dept-a");
    assert_eq!(first["method"], "POST");
    assert_eq!(first["route"], "/echo");
    assert_eq!(first["status"], 200);
    assert_eq!(first["bytes"], "dept-a sent 18 bytes".len());
    assert_eq!(first["complete"], true);
    assert!(first["micros"].is_u64() && first["trace"].as_str().unwrap().len() == 32);
    assert_eq!(lines[1]["method"], "other");
    assert_eq!(lines[2]["code"], "encoding.unsupported");
}

#[tokio::test(flavor = "current_thread")]
async fn the_access_log_says_that_a_request_came_through_the_proxy() {
    let output = Output::default();
    let log = subscriber(Format::Json, "info", {
        let output = output.clone();
        move || output.clone()
    });
    let _logging = tracing::subscriber::set_default(log.unwrap());
    let site = Site::start(Plan { front_proxy: true, ..Plan::default() }).await;
    let config = site.pki.client_as(Role::FrontProxy, "front", b"http/1.1");
    let mut wire = Wire::connect(site.address, config).await.unwrap();
    let headers = crate::front_proxy::department(&site, "dept-a");
    wire.post("/", &headers, b"x").await;
    wire.post("/", "", b"x").await;
    let lines = || {
        let json = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let lines: Vec<_> = output.text().lines().map(json).collect();
        lines.into_iter().filter(|line| line["target"] == "xinqiao::access").collect::<Vec<_>>()
    };
    until("two lines", || lines().len() == 2).await;
    assert_eq!((&lines()[0]["member"], &lines()[0]["through"]), (&"dept-a".into(), &"front".into()));
    assert_eq!((&lines()[1]["member"], &lines()[1]["through"]), (&"front".into(), &"".into()));
}

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
