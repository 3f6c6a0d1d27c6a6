//! Requests and records that come again.

use crate::*;

#[tokio::test]
async fn a_key_belongs_to_one_request() {
    let key = fresh_key();
    let keyed =
        |ask: Ask| Ask { headers: vec![ask.headers[0].clone(), ("idempotency-key", key.clone())], ..ask };
    let body = ndjson(&[spied()]);
    let first = alpha().ask(keyed(put(NDJSON, body.clone()))).await;
    first.good(201);
    let again = alpha().ask(keyed(put(NDJSON, body.clone()))).await;
    assert_eq!((again.status, &again.body), (201, &first.body), "the answer repeats byte for byte");
    // Compressed on the way it is still the same body.
    let packed = keyed(put(NDJSON, gzip(&body))).with("content-encoding", "gzip");
    assert_eq!(alpha().ask(packed).await.body, first.body);
    let load = keyed(Ask {
        path: format!("{PENALTIES}?schema=xm-penalty&load=history"),
        ..put(NDJSON, body.clone())
    });
    for (name, ask) in [
        ("another body", keyed(put(NDJSON, ndjson(&[spied()])))),
        ("one byte more", keyed(put(NDJSON, [&body[..], b"\n"].concat()))),
        ("another media type", keyed(put(JSON, body.clone()))),
        ("another load", load),
        ("another handling", keyed(put(NDJSON, body.clone())).with("prefer", "handling=strict")),
    ] {
        refuse(name, ask, 422, "idempotency.reused").await;
    }
    // Another member's same key is another key.
    let beta = ndjson(&[record(1, Table::CityPenalty, SubjectKind::LegalPerson)]);
    CITY.peer("beta").ask(keyed(put(NDJSON, beta))).await.good(201);
    // A refusal does not use a key up.
    let key = fresh_key();
    let keyed = |body: Bytes| Ask {
        headers: vec![("content-type", NDJSON.into()), ("idempotency-key", key.clone())],
        ..put(NDJSON, body)
    };
    refuse("nothing accepted", keyed("{}".into()), 422, "records.refused").await;
    alpha().ask(keyed(ndjson(&[spied()]))).await.good(201);
}

#[tokio::test]
async fn the_same_request_many_times_at_once_counts_once() {
    let (one, key) = (penalty(), fresh_key());
    let body = ndjson(std::slice::from_ref(&one));
    let ask =
        Ask { headers: vec![("content-type", NDJSON.into()), ("idempotency-key", key)], ..put(NDJSON, body) };
    let all: Vec<_> = (0..12)
        .map(|_| {
            tokio::spawn({
                let ask = ask.clone();
                async move { alpha().ask(ask).await }
            })
        })
        .collect();
    let mut answers: Vec<Answer> = Vec::new();
    for one in all {
        answers.push(one.await.expect("no panic"));
    }
    assert!(answers.iter().all(|a| a.status == 201 && a.body == answers[0].body), "{answers:?}");
    let told = answers[0].json();
    // One entry in the log, and one line in a stream.
    let wanted =
        told["receipt"]["entry"].as_str().and_then(xinqiao_evidence::base64::decode).expect("base64");
    let entries = log_entries(&CITY.peer("auditor")).await;
    let same = entries.iter().filter(|entry| **entry == wanted).count();
    assert_eq!(
        same,
        1,
        "{} of {}",
        String::from_utf8_lossy(&wanted),
        String::from_utf8_lossy(&entries.concat())
    );
    let lines = batches(&CITY.peer("province"), &CITY.keys(), "province.administrative-penalty", 0).await;
    let times = lines.iter().flat_map(|b| &b.lines).filter(|l| l["data"]["CF_WSH"] == document(&one)).count();
    assert_eq!(times, 1);
}

/// The whole log, as an auditor reads it.
async fn log_entries(auditor: &Peer) -> Vec<Vec<u8>> {
    let note = auditor.ask(Ask::get("/v1/log/checkpoint")).await;
    let size = String::from_utf8_lossy(&note.body)
        .lines()
        .nth(1)
        .and_then(|n| n.parse::<u64>().ok())
        .expect("a size");
    let mut all = Vec::new();
    for tile in 0..size.div_ceil(256) {
        let width = (size - tile * 256).min(256);
        let part = if width == 256 { String::new() } else { format!(".p/{width}") };
        let bytes = auditor.ask(Ask::get(format!("/v1/log/tile/entries/{tile:03}{part}"))).await;
        assert_eq!(bytes.status, 200, "{bytes:?}");
        let mut rest = &bytes.body[..];
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let (entry, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
            all.push(entry.to_vec());
            rest = tail;
        }
    }
    assert_eq!(all.len() as u64, size);
    all
}

#[tokio::test]
async fn a_recalled_record_does_not_come_back_by_itself() {
    let (gone, fresh) = (spied(), spied());
    alpha().ask(put(NDJSON, ndjson(std::slice::from_ref(&gone)))).await.good(201);
    alpha().ask(recall("withdraw", reference(&gone))).await.good(201);
    let again = refuse_records("sent again", put(NDJSON, ndjson(std::slice::from_ref(&gone)))).await;
    assert_eq!(again, only("record.recalled"));
    let mixed = alpha().ask(put(NDJSON, ndjson(&[gone, fresh]))).await.good(201);
    assert_eq!((mixed["accepted"].as_u64(), refusals(&mixed)), (Some(1), only("record.recalled")));
    // A recall says which, why, and on what ground, and nothing else.
    for (body, code) in [
        (json!({"reason": "x", "basis": "y", "effective": "2026-01-01"}), "recall.identity-missing"),
        (json!({"ref": "case-1", "basis": "y", "effective": "2026-01-01"}), "recall.member-missing"),
        (json!({"ref": "case-1", "reason": "x", "basis": "y", "effective": "昨天"}), "field.date"),
        (
            json!({"ref": "case-1", "reason": "x".repeat(65), "basis": "y", "effective": "2026-01-01"}),
            "recall.member-too-long",
        ),
        (json!({"ref": CANARY, "reason": "x", "basis": "y", "effective": "2026-01-01"}), "record.ref-form"),
        (
            json!({"ref": "case-1", "reason": "x", "basis": "y", "effective": "2026-01-01", "DSRMC": CANARY}),
            "recall.record-not-wanted",
        ),
    ] {
        let ask = Ask { body: body.to_string().into(), ..recall("withdraw", "case-1") };
        assert_eq!(refuse_records(code, ask).await, only(code));
    }
}

#[tokio::test]
async fn what_is_valid_is_taken_unless_strict() {
    let bad = |change: fn(&mut Record)| {
        let mut record = spied();
        change(&mut record);
        record
    };
    let records = [
        spied(),
        bad(|r| r.remove("JDSWH")),
        bad(|r| r.set("CFJDRQ", "2018/13/45")),
        spied(),
        bad(|r| r.set("TYSHXYDM", "91350299CANARY7788")),
        bad(|r| r.set("CFZL", CANARY)),
    ];
    let wanted =
        [(1, "field.required"), (2, "field.date"), (4, "field.identifier"), (5, "field.code-unknown")];
    let wanted: Vec<(Option<u64>, String)> =
        wanted.iter().map(|(n, code)| (Some(*n), (*code).to_owned())).collect();
    let forms: [(&str, Bytes); 4] = [
        (NDJSON, ndjson(&records)),
        (JSON, form(write_json, &records).into()),
        (XML, form(write_xml, &records).into()),
        (CSV, form(write_csv, &records).into()),
    ];
    for (media, body) in forms {
        let strict = put(media, body.clone()).with("prefer", "respond-async, handling=strict");
        let document = refuse(media, strict, 422, "records.strict-refused").await;
        assert_eq!(refusals(&document), wanted, "{media}");
        let answer = alpha().ask(put(media, body)).await;
        answer.silent_about(&[CANARY, "CANARY7788"]);
        let taken = answer.good(201);
        assert_eq!((taken["accepted"].as_u64(), taken["refused"].as_u64()), (Some(2), Some(4)), "{media}");
        assert_eq!(refusals(&taken), wanted, "{media}");
        assert_eq!(taken["receipt"]["rejected"], taken["errors"], "what was refused is in the receipt");
    }
}
