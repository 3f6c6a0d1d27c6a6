//! From a put to the recipient's answer and back to the department.

use crate::{CITY, licence, submission, take};
use serde_json::{Value, json};
use xinqiao_schemas::synthetic::Record;
use xinqiao_tests::city::{acknowledge, batches, reference};
use xinqiao_tests::peer::{Ask, Peer};

/// The lane no other test here uses.
const STREAM: &str = "province.administrative-licence~history";

fn put_old(records: &[Record]) -> Ask {
    let daily = crate::put_licences(records);
    Ask { path: format!("{}&load=history", daily.path), ..daily }
}

/// How a submission stands in the stream.
async fn stands(alpha: &Peer, id: &str) -> Value {
    let view = alpha.ask(Ask::get(format!("/v1/submissions/{id}"))).await.good(200);
    let streams = view["streams"].as_array().expect("a list");
    assert_eq!(streams.len(), 3, "one for each recipient: {view}");
    streams.iter().find(|s| s["stream"] == STREAM).expect("the stream").clone()
}

#[tokio::test]
async fn a_record_goes_its_way_and_the_answer_comes_back() {
    let (alpha, province, keys) = (CITY.peer("alpha"), CITY.peer("province"), CITY.keys());
    let records = [licence(), licence(), licence()];
    let told = take(&alpha, put_old(&records), 3).await;
    let id = submission(&told);
    assert_eq!(stands(&alpha, id).await["state"], "queued");
    // Nobody else's id, and not by another department.
    CITY.peer("beta").ask(Ask::get(format!("/v1/submissions/{id}"))).await.refused(404, "submission.unknown");

    let all = batches(&province, &keys, STREAM, 0).await;
    let batch = all.last().expect("a batch");
    assert_eq!((batch.manifest.seq, batch.manifest.records), (1, 3));
    let state = stands(&alpha, id).await;
    assert_eq!((&state["state"], &state["seq"], &state["lines"]), (&json!("offered"), &json!(1), &json!(3)));

    // Rejected as a whole it stays pending, is handed out again, and may be answered otherwise.
    let rejected = acknowledge(&province, &batch.answer("rejected", json!([]))).await.good(200);
    assert_eq!((&rejected["outcome"], &rejected["repeated"]), (&json!("rejected"), &json!(false)));
    assert_eq!(stands(&alpha, id).await["state"], "batch-rejected");
    let streams = province.ask(Ask::get("/v1/streams")).await.good(200);
    let view = streams["streams"].as_array().expect("a list").iter().find(|s| s["stream"] == STREAM);
    assert_eq!(view.map(|s| s["acknowledged"].clone()), Some(json!(0)), "{streams}");
    let again = batches(&province, &keys, STREAM, 0).await;
    assert_eq!((again.len(), again[0].digest.as_str()), (1, batch.digest.as_str()), "the same manifest");

    // One line is not taken: its department hears which, why, and by whom.
    let (line, _) = batch.line(&records[1]).expect("its line");
    let errors = json!([{"record": line, "code": "E1007", "message": "主体代码不存在"}]);
    let partial = batch.answer("partial", errors);
    let taken = acknowledge(&province, &partial).await.good(200);
    assert_eq!((&taken["outcome"], &taken["repeated"]), (&json!("partial"), &json!(false)), "{taken}");
    let state = stands(&alpha, id).await;
    assert_eq!((&state["state"], &state["rejected"]), (&json!("partly-rejected"), &json!(1)));
    let feedback = alpha.ask(Ask::get("/v1/feedback?wait=20")).await.good(200);
    let mine: Vec<&Value> =
        feedback["feedback"].as_array().expect("a list").iter().filter(|f| f["submission"] == id).collect();
    assert_eq!(mine.len(), 1, "{feedback}");
    assert_eq!(mine[0]["record"], 1);
    assert_eq!(mine[0]["ref"], reference(&records[1]));
    assert_eq!((&mine[0]["stream"], &mine[0]["seq"]), (&json!(STREAM), &json!(1)));
    assert_eq!((&mine[0]["code"], &mine[0]["message"]), (&json!("E1007"), &json!("主体代码不存在")));
    let next = feedback["next"].as_u64().expect("a number");
    assert_eq!(
        alpha.ask(Ask::get(format!("/v1/feedback?after={next}"))).await.good(200)["feedback"],
        json!([]),
        "nothing comes twice"
    );
    assert_eq!(CITY.peer("beta").ask(Ask::get("/v1/feedback")).await.good(200)["feedback"], json!([]));

    // The same answer again, whenever it was given, changes nothing; another one is refused.
    let mut later = partial.clone();
    later["time"] = "2026-11-22T08:00:00Z".into();
    for same in [&partial, &later] {
        assert_eq!(acknowledge(&province, same).await.good(200)["repeated"], true);
    }
    let other = batch.answer("accepted", json!([]));
    acknowledge(&province, &other).await.refused(409, "acknowledgement.differs-from-first");
    assert_eq!(
        alpha.ask(Ask::get(format!("/v1/feedback?after={next}"))).await.good(200)["feedback"],
        json!([])
    );

    // The next batch follows the first, and being rejected and then accepted is accepted.
    let told = take(&alpha, put_old(&[licence()]), 1).await;
    let all = batches(&province, &keys, STREAM, 1).await;
    let next = all.last().expect("a batch");
    let prev = next.manifest.prev.as_ref().map(|digest| digest.sha256.to_hex());
    assert_eq!((next.manifest.seq, prev.as_deref()), (2, Some(batch.digest.as_str())));
    acknowledge(&province, &next.answer("rejected", json!([]))).await.good(200);
    acknowledge(&province, &next.answer("accepted", json!([]))).await.good(200);
    assert_eq!(stands(&alpha, submission(&told)).await["state"], "acknowledged");
    let streams = province.ask(Ask::get("/v1/streams")).await.good(200);
    let view = streams["streams"].as_array().expect("a list").iter().find(|s| s["stream"] == STREAM);
    let view = view.expect("the stream");
    assert_eq!(
        (&view["acknowledged"], &view["next_seq"], &view["pending_records"]),
        (&json!(2), &json!(3), &json!(0))
    );
}
