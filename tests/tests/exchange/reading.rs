//! What a recipient can do while reading: wait, fetch parts, see only what is its own; and what it does not get.

use crate::{CITY, licence, put_licences, take};
use http::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use xinqiao_schemas::SubjectKind;
use xinqiao_schemas::synthetic::{Record, Table};
use xinqiao_tests::city::{City, NDJSON, PENALTIES, batches, fresh_key, ndjson, penalty, put, record};
use xinqiao_tests::peer::{Ask, refusals};

#[tokio::test]
async fn a_long_poll_waits_and_wakes() {
    // A node where nobody else sends.
    let dir = tempfile::tempdir().expect("a directory");
    let city = City::start_in(dir.path(), 0, |_| String::new());
    let (alpha, agency) = (city.peer("alpha"), city.peer("agency"));
    let stream = "agency.administrative-licence";
    let poll = |wait: u32| Ask::get(format!("/v1/streams/{stream}/batches?wait={wait}"));
    let began = Instant::now();
    assert_eq!(agency.ask(poll(1)).await.good(200)["batches"], json!([]));
    assert!(began.elapsed() >= Duration::from_secs(1), "it waited");
    let waiting = tokio::spawn({
        let (agency, ask) = (agency.clone(), poll(60));
        async move { agency.ask(ask).await }
    });
    take(&alpha, put_licences(&[licence()]), 1).await;
    let told = waiting.await.expect("no panic").good(200);
    assert_eq!(told["batches"].as_array().map(Vec::len), Some(1), "{told}");
    assert!(began.elapsed() < Duration::from_secs(30), "it woke");
}

#[tokio::test]
async fn a_payload_comes_whole_or_in_parts() {
    let (alpha, portal) = (CITY.peer("alpha"), CITY.peer("portal"));
    take(&alpha, put_licences(&[licence(), licence()]), 2).await;
    let all = batches(&portal, &CITY.keys(), "portal.administrative-licence", 0).await;
    let batch = all.last().expect("a batch");
    let path = format!("/v1/streams/{}/batches/{}/payload", batch.manifest.stream, batch.manifest.seq);
    let whole = portal.ask(Ask::get(&path)).await;
    let bytes = &whole.body;
    let length = bytes.len();
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("application/gzip")));
    assert_eq!(whole.header("content-encoding"), None);
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let digest = xinqiao_evidence::Digest::of(bytes);
    let tag = format!("\"{}\"", digest.to_hex());
    assert_eq!(whole.header("etag"), Some(tag.as_str()));
    assert_eq!(
        whole.header("repr-digest"),
        Some(xinqiao_evidence::http_digest::repr_digest(&digest).as_str())
    );
    assert_eq!(digest, batch.manifest.payload.digest.sha256);
    for (range, from, to) in [
        ("bytes=0-9".to_owned(), 0, 10),
        ("bytes=10-".to_owned(), 10, length),
        ("bytes=-7".to_owned(), length - 7, length),
        (format!("bytes=5-{}", length * 2), 5, length),
        (format!("bytes={}-{}", length - 1, length - 1), length - 1, length),
    ] {
        let part = portal.ask(Ask::get(&path).with("range", range.clone())).await;
        assert_eq!((part.status, &part.body[..]), (206, &bytes[from..to]), "{range}");
        let said = format!("bytes {from}-{}/{length}", to - 1);
        assert_eq!(part.header("content-range"), Some(said.as_str()));
        assert_eq!(part.header("etag"), Some(tag.as_str()));
    }
    let beyond = portal.ask(Ask::get(&path).with("range", format!("bytes={length}-"))).await;
    beyond.refused(416, "range.unsatisfiable");
    let all = format!("bytes */{length}");
    assert_eq!(beyond.header("content-range"), Some(all.as_str()), "how far a range may go");
    for odd in ["bytes=a-b", "bytes=+1-2", "bytes=-", "bytes=0"] {
        portal.ask(Ask::get(&path).with("range", odd)).await.refused(400, "parameter.invalid");
    }
    for ask in [
        Ask::get(&path).with("range", "bytes=0-1,4-5"),
        Ask::get(&path).with("range", "bytes=0-1").with("if-range", "\"another\""),
        Ask::get(&path).with("range", "pages=1-2"),
    ] {
        let answer = portal.ask(ask).await;
        assert_eq!((answer.status, &answer.body), (200, bytes), "the whole");
    }
    let same = portal.ask(Ask::get(&path).with("range", "bytes=0-1").with("if-range", tag.clone())).await;
    assert_eq!(same.status, 206);
    for held in [tag.clone(), format!("W/{tag}"), format!("\"another\", {tag}"), "*".to_owned()] {
        // What is not sent has no range either.
        let ask =
            Ask::get(&path).with("if-none-match", held.clone()).with("range", format!("bytes={length}-"));
        let unchanged = portal.ask(ask).await;
        assert_eq!((unchanged.status, unchanged.body.len()), (304, 0), "{held}");
    }
    let changed = portal.ask(Ask::get(&path).with("if-none-match", "\"another\"")).await;
    assert_eq!((changed.status, &changed.body), (200, bytes));
}

#[tokio::test]
async fn head_tells_the_length_of_a_payload_on_either_protocol() {
    let (alpha, portal) = (CITY.peer("alpha"), CITY.peer("portal"));
    take(&alpha, put_licences(&[licence()]), 1).await;
    let all = batches(&portal, &CITY.keys(), "portal.administrative-licence", 0).await;
    let batch = all.last().expect("a batch");
    let path = format!("/v1/streams/{}/batches/{}/payload", batch.manifest.stream, batch.manifest.seq);
    let length = batch.manifest.payload.bytes.to_string();
    let tag = format!("\"{}\"", batch.manifest.payload.digest.sha256.to_hex());
    for peer in [portal.clone(), portal.over_http2()] {
        let ask = |path: &str| Ask { method: Method::HEAD, ..Ask::get(path) };
        for ask in [
            ask(&path),
            ask(&path).with("range", "bytes=0-0"),
            ask(&path).with("range", format!("bytes={length}-")),
            ask(&path).with("range", "bytes=0-0").with("if-range", tag.clone()),
        ] {
            let head = peer.ask(ask).await;
            assert_eq!((head.status, head.body.len()), (200, 0), "{head:?}");
            assert_eq!((head.header("content-length"), head.header("etag")), (Some(&*length), Some(&*tag)));
            assert_eq!(head.header("content-range"), None, "a range is of GET alone");
        }
        let held = peer.ask(ask(&path).with("if-none-match", tag.clone())).await;
        assert_eq!((held.status, held.body.len()), (304, 0));
        // Every other path that is read, and what is refused.
        for path in ["/v1/streams", "/v1/keys", "/v1/openapi.json", "/v1/canary7788"] {
            let (whole, head) = (peer.ask(Ask::get(path)).await, peer.ask(ask(path)).await);
            assert_eq!((head.status, head.body.len()), (whole.status, 0), "{path}");
            assert_eq!(head.header("content-length"), Some(&*whole.body.len().to_string()), "{path}");
        }
    }
}

#[tokio::test]
async fn everyone_sees_its_own_streams_and_datasets() {
    for recipient in ["province", "portal", "agency"] {
        let listed = CITY.peer(recipient).ask(Ask::get("/v1/streams")).await.good(200);
        let streams = listed["streams"].as_array().expect("a list");
        assert!(streams.len() >= 2, "{listed}");
        assert!(streams.iter().all(|s| s["recipient"] == recipient), "{listed}");
    }
    let mine = CITY.peer("alpha").ask(Ask::get("/v1/datasets")).await.good(200);
    let datasets = mine["datasets"].as_array().expect("a list");
    assert_eq!(datasets.len(), 2);
    for dataset in datasets {
        assert_eq!(dataset["may_send"], true);
        let id = dataset["dataset"].as_str().expect("an id");
        for schema in dataset["schemas"].as_array().expect("a list") {
            let schema = schema["schema"].as_str().expect("an id");
            for file in ["schema.json", "schema.xsd", "template.csv", "template.xlsx"] {
                let path = format!("/v1/datasets/{id}/{file}?schema={schema}");
                let answer = CITY.peer("alpha").ask(Ask::get(path)).await;
                assert!(answer.status == 200 && !answer.body.is_empty(), "{schema} {file}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_recipient_s_schema_cannot_hold_is_kept_from_it_alone() {
    // A node whose recipients nobody else reads as.
    let dir = tempfile::tempdir().expect("a directory");
    let city = City::start_in(dir.path(), 0, |_| String::new());
    let mut one = record(0, Table::Penalty2017, SubjectKind::LegalPerson);
    one.set("BZ", "备注".repeat(300));
    let path = format!("{PENALTIES}?schema=administrative-penalty-2017");
    let ask = Ask { path, ..put(NDJSON, ndjson(std::slice::from_ref(&one))) };
    let told = city.peer("alpha").ask(ask.clone()).await.good(201);
    assert_eq!((told["accepted"].as_u64(), told["refused"].as_u64()), (Some(1), Some(0)), "{told}");
    // The province would get the remark, in a column that is too short for it; the agency never gets remarks.
    let errors = told["errors"].as_array().expect("a list").iter();
    let quarantined: Vec<&Value> = errors.filter(|e| e["recipient"] == "province").collect();
    assert_eq!(quarantined.len(), 2, "{told}");
    assert_eq!((&quarantined[0]["code"], &quarantined[0]["field"]), (&json!("field.too-long"), &json!("BZ")));
    assert_eq!(
        (&quarantined[1]["code"], &quarantined[1]["severity"]),
        (&json!("map.taken-back"), &json!("warn"))
    );
    assert!(quarantined.iter().all(|found| found["record"] == 0));
    assert!(told["errors"].as_array().expect("a list").iter().all(|e| e["recipient"] != "agency"));
    let got = |recipient: &'static str| {
        let (one, city) = (one.clone(), &city);
        async move {
            let stream = format!("{recipient}.administrative-penalty");
            let all = batches(&city.peer(recipient), &city.keys(), &stream, 0).await;
            all.iter().any(|batch| batch.line(&one).is_some())
        }
    };
    assert!(got("agency").await && !got("province").await);
    let view = format!("/v1/submissions/{}", told["submission"].as_str().expect("an id"));
    let view = city.peer("alpha").ask(Ask::get(view)).await.good(200);
    let streams: Vec<&Value> =
        view["streams"].as_array().expect("a list").iter().map(|s| &s["recipient"]).collect();
    assert!(streams.contains(&&json!("agency")), "{view}");
    // Strict is about records that are refused; this one is not.
    let strict =
        Ask { headers: vec![("content-type", NDJSON.into()), ("idempotency-key", fresh_key())], ..ask };
    let told = city.peer("alpha").ask(strict.with("prefer", "handling=strict")).await.good(201);
    assert_eq!(refusals(&told), []);
}

#[tokio::test]
async fn a_correction_that_cannot_be_held_takes_the_older_version_back() {
    // A node whose province nobody else reads as.
    let dir = tempfile::tempdir().expect("a directory");
    let city = City::start_in(dir.path(), 0, |_| String::new());
    let (alpha, province) = (city.peer("alpha"), city.peer("province"));
    let one = record(0, Table::Penalty2017, SubjectKind::LegalPerson);
    let path = format!("{PENALTIES}?schema=administrative-penalty-2017");
    let send = |one: &Record| Ask { path: path.clone(), ..put(NDJSON, ndjson(std::slice::from_ref(one))) };
    // The province's lines about the record, by its key; nothing else says whose a withdrawal is.
    let lines = || async {
        let all = batches(&province, &city.keys(), "province.administrative-penalty", 0).await;
        let all: Vec<Value> = all.into_iter().flat_map(|batch| batch.lines).collect();
        let key =
            all.iter().find(|l| l["data"]["CF_WSH"] == json!(one.get("CF_WSH"))).map(|l| l["key"].clone());
        all.into_iter().filter(|l| Some(&l["key"]) == key.as_ref()).collect::<Vec<Value>>()
    };
    let told = take(&alpha, send(&one), 1).await;
    assert!(!told.to_string().contains("map.taken-back"), "{told}");
    assert_eq!(lines().await.len(), 1);
    let mut corrected = one.clone();
    corrected.set("BZ", "备注".repeat(300));
    let told = take(&alpha, send(&corrected), 1).await;
    assert!(told.to_string().contains("map.taken-back"), "{told}");
    let got = lines().await;
    assert_eq!((&got[1]["op"], &got[1]["via"]), (&json!("withdraw"), &json!([])));
    assert_eq!((&got[1]["data"]["reason"], &got[1]["data"]["basis"]), (&json!("withdrawn"), &json!("")));
    // What fits again stands again.
    corrected.set("BZ", "更正");
    take(&alpha, send(&corrected), 1).await;
    let got = lines().await;
    let ops: Vec<&Value> = got.iter().map(|l| &l["op"]).collect();
    assert_eq!(ops, [&json!("put"), &json!("withdraw"), &json!("put")]);
    assert!(got.is_sorted_by_key(|l| l["rev"].as_u64()), "{got:?}");
}

#[tokio::test]
async fn what_is_no_longer_to_be_published_is_not() {
    let (alpha, agency) = (CITY.peer("alpha"), CITY.peer("agency"));
    let (mut over, current) = (penalty(), penalty());
    over.set("CFJDRQ", "2020/01/02");
    over.set("GSJZRQ", "2021/01/02");
    take(&alpha, put(NDJSON, ndjson(&[over.clone(), current.clone()])), 2).await;
    let all = batches(&agency, &CITY.keys(), "agency.administrative-penalty", 0).await;
    assert!(all.iter().any(|batch| batch.line(&current).is_some()));
    assert!(!all.iter().any(|batch| batch.line(&over).is_some()));
}
