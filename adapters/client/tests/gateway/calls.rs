//! Single calls: sending, asking, failing.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use xinqiao_explain::Explain;

use crate::server::{Gateway, Reply, authority, certificate};
use xinqiao_certs::Role;
use xinqiao_client::{Client, ClientError, RetryPolicy, Submission};

const ACCEPTED: &str = r#"{"submission":"s-1","accepted":2,"refused":1,"warned":0,
    "receipt":{"entry":"e30=","salt":"","rejected":{},"proof":"x"},
    "errors":[{"record":1,"field":"CF_XDR_MC","code":"record.field-missing","severity":"refuse","en":"missing","zh":"缺失"}],
    "later":"ignored"}"#;

const BUSY: &str =
    r#"{"type":"about:blank","title":"busy","status":503,"code":"node.busy","title_zh":"繁忙"}"#;

#[tokio::test]
async fn a_submission_says_everything_the_gateway_needs() {
    let gateway = Gateway::start(|_| Reply::json(201, ACCEPTED)).await;
    let mut submission = Submission::new("administrative-penalty", "a,b\n1,2\n");
    submission.schema = Some("administrative-penalty-2020");
    submission.load = Some("history");
    submission.media_type = "text/csv";
    submission.charset = Some("gb18030");
    submission.strict = true;
    submission.gzip = true;
    let sent = gateway.client().send(&submission).await.unwrap();
    assert_eq!((sent.response.accepted, sent.response.refused, sent.status), (2, 1, 201));
    assert_eq!(sent.response.errors[0].zh, "缺失");
    assert_eq!(sent.raw, ACCEPTED);
    let seen = &gateway.seen()[0];
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.path, "/v1/datasets/administrative-penalty/records");
    assert_eq!(seen.query, "op=put&schema=administrative-penalty-2020&load=history");
    assert_eq!(seen.header("content-type"), "text/csv; charset=gb18030");
    assert_eq!(seen.header("prefer"), "handling=strict");
    assert_eq!(seen.header("content-encoding"), "gzip");
    assert_eq!(seen.header("idempotency-key"), sent.idempotency_key);
    assert_eq!(sent.idempotency_key.len(), 36);
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&seen.body[..]).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, "a,b\n1,2\n");
    let again = gateway.client().send(&submission).await.unwrap();
    assert_ne!(again.idempotency_key, sent.idempotency_key);
}

#[tokio::test]
async fn a_busy_gateway_is_asked_again_under_the_same_key() {
    for protocol in [b"h2".as_slice(), b"http/1.1"] {
        let count = AtomicUsize::new(0);
        let gateway =
            Gateway::start_speaking(&[protocol], move |_| match count.fetch_add(1, Ordering::Relaxed) {
                0 => Reply::problem(503, BUSY).with("retry-after", "0"),
                1 => Reply { cut: true, ..Reply::json(201, "{\"sub") },
                _ => Reply::json(201, ACCEPTED),
            })
            .await;
        let sent = gateway.client().send(&Submission::new("administrative-penalty", "{}\n")).await.unwrap();
        let seen = gateway.seen();
        assert_eq!(seen.len(), 3);
        assert!(
            seen.iter()
                .all(|one| one.header("idempotency-key") == sent.idempotency_key && one.body == "{}\n")
        );
    }
}

#[tokio::test]
async fn patience_ends() {
    let gateway = Gateway::start(|_| Reply::problem(503, BUSY)).await;
    let error = gateway.client().send(&Submission::new("d", "")).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("node.busy", true));
    assert_eq!(gateway.seen().len(), 4);
}

#[tokio::test]
async fn a_refusal_is_told_once_with_its_findings() {
    let body = r#"{"type":"t","title":"All records refused","status":422,"code":"records.all-refused","title_zh":"全部拒收",
        "detail":"1 of 1","detail_zh":"1 条","errors":[{"record":0,"code":"c","severity":"refuse","detail":"en","detail_zh":"中"}]}"#;
    let gateway = Gateway::start(move |_| Reply::problem(422, body)).await;
    let error = gateway.client().send(&Submission::new("d", "")).await.unwrap_err();
    assert!(error.is_refusal());
    assert_eq!(error.chinese(), "全部拒收：1 条");
    let ClientError::Problem(problem) = error else { panic!("{error}") };
    assert_eq!((problem.errors[0].en.as_str(), problem.errors[0].zh.as_str()), ("en", "中"));
    assert_eq!(gateway.seen().len(), 1);
}

#[tokio::test]
async fn an_answer_of_another_kind_is_named_as_such() {
    let gateway = Gateway::start(|seen| match seen.path.as_str() {
        "/v1/datasets" => Reply::json(200, "<html>secret</html>"),
        _ => Reply::json(404, "<html>secret</html>"),
    })
    .await;
    let error = gateway.client().datasets().await.unwrap_err();
    assert_eq!(error.code(), "client.protocol");
    assert!(!error.english().contains("secret"));
    let error = gateway.client().submission("s-1").await.unwrap_err();
    assert_eq!(error.code(), "http.404");
    assert!(!error.english().contains("secret"));
}

#[tokio::test]
async fn names_cannot_leave_their_place_in_a_path() {
    let gateway = Gateway::start(|_| Reply::json(200, "{}")).await;
    let client = gateway.client();
    for wrong in ["", "..", "a/b", "a?b", "a b", "信", "a%2f", "a\n"] {
        assert_eq!(client.submission(wrong).await.unwrap_err().code(), "client.setting", "{wrong:?}");
        assert_eq!(client.send(&Submission::new(wrong, "")).await.unwrap_err().code(), "client.setting");
        assert_eq!(client.tile(&format!("tile/{wrong}/../x")).await.unwrap_err().code(), "client.protocol");
    }
    let mut submission = Submission::new("d", "");
    submission.idempotency_key = Some("a\nb".into());
    assert_eq!(client.send(&submission).await.unwrap_err().code(), "client.setting");
    assert!(gateway.seen().is_empty());
}

#[tokio::test]
async fn feedback_and_streams_are_read() {
    let gateway = Gateway::start(|seen| match seen.path.as_str() {
        "/v1/feedback" => Reply::json(
            200,
            r#"{"feedback":[{"n":4,"submission":"s","record":0,"ref":null,"stream":"p.d","seq":1,"code":"X","message":"m","time":"2026-11-21T08:00:00Z"}],"next":4}"#,
        ),
        _ => Reply::json(
            200,
            r#"{"streams":[{"stream":"p.d","dataset":"d","recipient":"p","next_seq":3,"acknowledged":2,"pending_records":9}]}"#,
        ),
    })
    .await;
    let client = gateway.client();
    let page = client.feedback(3, Duration::from_secs(30)).await.unwrap();
    assert_eq!((page.next, page.feedback[0].n), (4, 4));
    assert_eq!(gateway.seen()[0].query, "after=3&wait=30");
    assert_eq!(client.streams().await.unwrap()[0].next_seq, 3);
}

#[tokio::test]
async fn a_strange_certificate_and_a_strange_gateway_are_tls_errors() {
    let gateway = Gateway::start(|_| Reply::json(200, "{}")).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = authority();
    certificate(&stranger, Role::Department, "health", elsewhere.path());
    std::fs::write(elsewhere.path().join("ca.crt"), stranger.root_pem()).unwrap();
    let asked =
        async |profile| Client::connect(&profile).unwrap().with_retry(RetryPolicy::never()).datasets().await;

    let mut profile = gateway.profile();
    profile.certificate = elsewhere.path().join("health.crt");
    profile.key = elsewhere.path().join("health.key");
    let error = asked(profile).await.unwrap_err();
    assert_eq!(error.code(), "client.tls", "{error}");

    let mut profile = gateway.profile();
    profile.authorities = elsewhere.path().join("ca.crt");
    assert_eq!(asked(profile).await.unwrap_err().code(), "client.tls");

    let mut profile = gateway.profile();
    profile.gateway = "https://other.xm.example".into();
    assert_eq!(asked(profile).await.unwrap_err().code(), "client.tls");
    assert!(gateway.seen().is_empty());
}

/// The gateway may close before it has read what followed the handshake, which breaks the line behind its last words.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_certificate_is_named_however_fast_the_line_breaks() {
    for protocol in [b"h2".as_slice(), b"http/1.1"] {
        let gateway = Gateway::start_speaking(&[protocol], |_| Reply::json(200, "{}")).await;
        let elsewhere = tempfile::tempdir().unwrap();
        certificate(&authority(), Role::Department, "health", elsewhere.path());
        let mut profile = gateway.profile();
        profile.certificate = elsewhere.path().join("health.crt");
        profile.key = elsewhere.path().join("health.key");
        let client = Client::connect(&profile).unwrap().with_retry(RetryPolicy::never());
        for size in (0..100).map(|n| n % 2 * 500_000) {
            let body = Submission::new("licence", vec![b'x'; size]);
            let error = client.send(&body).await.unwrap_err();
            assert_eq!(error.code(), "client.tls", "{error}");
        }
    }
}

#[tokio::test]
async fn an_absent_gateway_and_absent_files_are_told_apart() {
    let gateway = Gateway::start(|_| Reply::json(200, "{}")).await;
    let mut profile = gateway.profile();
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    profile.address = Some(unused.local_addr().unwrap().to_string());
    drop(unused);
    let client = Client::connect(&profile).unwrap().with_retry(RetryPolicy::never());
    assert_eq!(client.datasets().await.unwrap_err().code(), "client.connection");
    profile.key = "/nowhere/x.key".into();
    assert_eq!(Client::connect(&profile).unwrap_err().code(), "file.unreadable");
}

#[tokio::test]
async fn a_silent_gateway_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::start(|_| Reply::json(200, "{}")).await;
    let mut profile = gateway.profile();
    profile.address = Some(silent.local_addr().unwrap().to_string());
    profile.connect_seconds = 1;
    let client = Client::connect(&profile).unwrap().with_retry(RetryPolicy::never());
    assert_eq!(client.datasets().await.unwrap_err().code(), "client.timeout");
}

#[tokio::test]
async fn connections_are_kept() {
    for protocol in [b"h2".as_slice(), b"http/1.1"] {
        let gateway = Gateway::start_speaking(&[protocol], |_| Reply::json(200, "{}")).await;
        let client = gateway.client();
        for _ in 0..5 {
            client.datasets().await.unwrap();
        }
        assert_eq!(gateway.connections(), 1);
    }
}
