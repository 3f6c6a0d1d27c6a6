//! What recipients may not ask for and may not answer.

use crate::*;

#[tokio::test]
async fn a_stream_is_one_recipient_s() {
    let portal = CITY.peer("portal");
    alpha().ask(put(NDJSON, ndjson(&[spied()]))).await.good(201);
    let theirs = "/v1/streams/province.administrative-penalty";
    CITY.peer("province").ask(Ask::get(format!("{theirs}/batches"))).await.good(200);
    for ask in [
        Ask::get(format!("{theirs}/batches")),
        Ask::get(format!("{theirs}/batches/1/payload")),
        Ask::get(format!("{theirs}~history/batches")),
        Ask::post(format!("{theirs}/acknowledgements"), JSON, "{}"),
    ] {
        let answer = portal.ask(ask).await;
        answer.silent_about(&[CANARY]);
        answer.refused(403, "stream.not-yours");
    }
    for (ask, status, code) in [
        (Ask::get("/v1/streams/nobody.administrative-penalty/batches"), 404, "stream.unknown"),
        (Ask::get("/v1/streams/portal.canary7788/batches"), 404, "stream.unknown"),
        (Ask::get("/v1/streams/canary7788/batches"), 404, "stream.unknown"),
        (Ask::get("/v1/streams/portal.administrative-penalty/batches?after=x"), 400, "parameter.invalid"),
        (Ask::get("/v1/streams/portal.administrative-penalty/batches?after=99999"), 409, "stream.ahead"),
        (Ask::get("/v1/streams/portal.administrative-penalty/batches/0/payload"), 404, "batch.unknown"),
        (
            Ask::get("/v1/streams/portal.administrative-penalty/batches/canary7788/payload"),
            404,
            "batch.unknown",
        ),
        (Ask::get("/v1/streams/portal.administrative-penalty/batches/99999/payload"), 404, "batch.unknown"),
    ] {
        let path = ask.path.clone();
        let answer = portal.ask(ask).await;
        answer.silent_about(&[CANARY_WORD]);
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{path}");
        answer.refused(status, code);
    }
}

#[tokio::test]
async fn an_acknowledgement_is_of_a_batch_that_was_served_and_final() {
    let agency = CITY.peer("agency");
    let stream = "agency.administrative-licence";
    let two = [
        record(0, Table::CityLicence, SubjectKind::LegalPerson),
        record(0, Table::CityLicence, SubjectKind::LegalPerson),
    ];
    let path = format!("/v1/datasets/{LICENCE}/records?schema=xm-licence");
    let ask = Ask::post(path, NDJSON, ndjson(&two)).with("idempotency-key", fresh_key());
    alpha().ask(ask).await.good(201);
    let list = agency.ask(Ask::get(format!("/v1/streams/{stream}/batches"))).await.good(200);
    let signed = list["batches"][0]["manifest"].clone();
    let signed =
        xinqiao_evidence::manifest::SignedManifest::parse(signed.to_string().as_bytes()).expect("a JWS");
    let verified = signed.verify(&CITY.keys()).expect("signed by the node");
    let accepted = json!({
        "epoch": 1, "errors": [], "manifest_digest": {"sha-256": verified.digest().to_hex()}, "node": "demo.example/350200-credit",
        "outcome": "accepted", "seq": 1, "stream": stream, "time": "2026-11-21T08:00:00Z",
    });
    let with = |changes: Value| {
        let mut answer = accepted.clone();
        for (name, value) in changes.as_object().expect("an object") {
            answer[name] = value.clone();
        }
        answer
    };
    let error = |n: u64| json!([{"record": n, "code": "E1", "message": "canary7788"}]);
    let refused = |answer: Answer, status, code: &str| {
        answer.silent_about(&[CANARY_WORD]);
        answer.refused(status, code);
    };
    refused(acknowledge(&agency, &accepted).await, 409, "acknowledgement.never-served");
    let payload = agency.ask(Ask::get(format!("/v1/streams/{stream}/batches/1/payload"))).await;
    assert_eq!(payload.status, 200);
    for (changes, status, code) in [
        (json!({"seq": 7}), 404, "batch.unknown"),
        (json!({"manifest_digest": {"sha-256": "0".repeat(64)}}), 422, "acknowledgement.wrong-digest"),
        (json!({"epoch": 2}), 409, "acknowledgement.other-epoch"),
        (json!({"node": "demo.example/350000-credit"}), 409, "acknowledgement.other-epoch"),
        (json!({"outcome": "partial", "errors": error(2)}), 422, "acknowledgement.record-out-of-range"),
        (json!({"outcome": "partial"}), 400, "acknowledgement.malformed"),
        (json!({"errors": error(0)}), 400, "acknowledgement.malformed"),
        (json!({"outcome": "canary7788"}), 400, "acknowledgement.malformed"),
        (json!({"canary7788": 1}), 400, "acknowledgement.malformed"),
        (json!({"seq": 0}), 400, "acknowledgement.malformed"),
        (json!({"time": "yesterday"}), 400, "acknowledgement.malformed"),
    ] {
        let what = changes.to_string();
        let answer = acknowledge(&agency, &with(changes)).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{what}");
        refused(answer, status, code);
    }
    let mut other = accepted.clone();
    other["stream"] = "agency.administrative-penalty".into();
    let path = format!("/v1/streams/{stream}/acknowledgements");
    refused(agency.ask(Ask::post(&path, JSON, other.to_string())).await, 400, "acknowledgement.malformed");
    let key = xinqiao_evidence::keys::AcknowledgementKey::generate().expect("a key");
    let read = xinqiao_evidence::acknowledgement::Acknowledgement::from_json(accepted.to_string().as_bytes());
    let signed = read.expect("as the format says").to_jws(&key).expect("signed");
    refused(
        agency.ask(Ask::post(&path, "application/jose+json", signed)).await,
        422,
        "acknowledgement.signature",
    );
    for other in ["text/plain", "application/x-ndjson", "application/xml", "text/csv"] {
        let answer = agency.ask(Ask::post(&path, other, accepted.to_string())).await;
        let told = answer.refused(415, "media-type.unsupported");
        for (text, forms) in [("detail", 2), ("detail_zh", 2)] {
            let text = told[text].as_str().expect("a text");
            assert_eq!(text.matches("application/").count(), forms, "only what this path takes: {text}");
            assert!(text.contains("application/json") && text.contains("application/jose+json"), "{text}");
        }
    }
    let twice = Ask::post(&path, JSON, accepted.to_string()).with("content-type", "text/plain");
    refused(agency.ask(twice).await, 400, "parameter.repeated");
    refused(agency.ask(Ask::post(&path, JSON, "{canary7788")).await, 400, "acknowledgement.malformed");
    refused(agency.ask(Ask::post(&path, JSON, vec![b' '; 17 << 20])).await, 413, "body.too-large");

    let first = acknowledge(&agency, &accepted).await.good(200);
    assert_eq!(first["repeated"], false);
    let again = acknowledge(&agency, &accepted).await.good(200);
    assert_eq!(again["repeated"], true);
    refused(
        acknowledge(&agency, &with(json!({"outcome": "partial", "errors": error(0)}))).await,
        409,
        "acknowledgement.differs-from-first",
    );
    refused(
        acknowledge(&agency, &with(json!({"outcome": "rejected"}))).await,
        409,
        "acknowledgement.differs-from-first",
    );
}
