//! Records that are taken back, in every way, and where that is heard.

use crate::{CITY, submission, take};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use xinqiao_schemas::synthetic::Record;
use xinqiao_tests::city::{
    Batch, NDJSON, PENALTIES, acknowledge, batches, ndjson, penalty, put, recall_on, reference,
};
use xinqiao_tests::peer::{Ask, refusals};

/// The document a recall rests on, each once: government recipients read it in the line.
fn basis() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(100);
    format!("样撤〔2026〕{}号", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What a recipient has heard in a stream so far.
struct Heard {
    recipient: &'static str,
    stream: String,
    batches: Vec<Batch>,
}

impl Heard {
    fn of(recipient: &'static str, lane: &str) -> Self {
        Self { recipient, stream: format!("{recipient}.administrative-penalty{lane}"), batches: Vec::new() }
    }

    /// Pulls what is new; its lines.
    async fn news(&mut self) -> Vec<Value> {
        let after = self.batches.last().map_or(0, |batch| batch.manifest.seq);
        let new = batches(&CITY.peer(self.recipient), &CITY.keys(), &self.stream, after).await;
        let lines = new.iter().flat_map(|batch| batch.lines.clone()).collect();
        self.batches.extend(new);
        lines
    }
}

/// The key of the record's put.
fn key(lines: &[Value], record: &Record) -> Value {
    let of_it = |line: &&Value| {
        line["op"] == "put" && line["data"]["CF_WSH"] == record.get("JDSWH").unwrap_or_default()
    };
    lines.iter().find(of_it).unwrap_or_else(|| panic!("its put is there"))["key"].clone()
}

/// Operations on a key, in order.
fn ops(lines: &[Value], key: &Value) -> Vec<String> {
    let of_it = lines.iter().filter(|line| line["key"] == *key);
    of_it.map(|line| line["op"].as_str().unwrap_or_default().to_owned()).collect()
}

fn put_one(record: &Record) -> Ask {
    put(NDJSON, ndjson(std::slice::from_ref(record)))
}

#[tokio::test]
async fn what_is_recalled_is_recalled_everywhere() {
    let alpha = CITY.peer("alpha");
    let (mut province, mut portal) = (Heard::of("province", ""), Heard::of("portal", ""));

    // Recalled before anyone asked: the put does not go out at all, the recall does.
    let hasty = penalty();
    let ground = basis();
    take(&alpha, put_one(&hasty), 1).await;
    take(&alpha, recall_on("withdraw", reference(&hasty), &ground), 1).await;
    let lines = province.news().await;
    assert!(!lines.iter().any(|line| line["data"]["CF_WSH"] == hasty.get("JDSWH").unwrap_or_default()));
    let recalls: Vec<&Value> = lines.iter().filter(|line| line["data"]["basis"] == ground.as_str()).collect();
    assert_eq!(recalls.len(), 1);
    assert_eq!((&recalls[0]["op"], &recalls[0]["data"]["reason"]), (&json!("withdraw"), &json!("mistake")));
    portal.news().await;

    // Recalled after it went out: by the same key, later; the public hears that, not why.
    let known = penalty();
    take(&alpha, put_one(&known), 1).await;
    let (there, shown) = (province.news().await, portal.news().await);
    let (here, public) = (key(&there, &known), key(&shown, &known));
    assert_ne!(here, public, "every recipient knows it by another key");
    let ground = basis();
    let told = take(&alpha, recall_on("withdraw", reference(&known), &ground), 1).await;
    let id = submission(&told).to_owned();
    let (there_too, shown_too) = (province.news().await, portal.news().await);
    assert_eq!(ops(&there_too, &here), ["withdraw"]);
    assert_eq!(ops(&shown_too, &public), ["withdraw"]);
    assert!(shown_too.iter().all(|line| !line.to_string().contains(&ground)));
    let rev = |lines: &[Value], key: &Value| {
        lines.iter().find(|l| l["key"] == *key).and_then(|l| l["rev"].as_u64())
    };
    assert!(rev(&there_too, &here) > rev(&there, &here));
    // It is heard of until everyone has answered.
    let tree = alpha.ask(Ask::get(format!("/v1/recalls/{id}"))).await.good(200);
    assert_eq!((&tree["op"], &tree["state"]), (&json!("withdraw"), &json!("open")), "{tree}");
    CITY.peer("beta").ask(Ask::get(format!("/v1/recalls/{id}"))).await.refused(404, "recall.unknown");
    let mut agency = Heard::of("agency", "");
    agency.news().await;
    for heard in [&province, &portal, &agency] {
        let peer = CITY.peer(heard.recipient);
        for batch in &heard.batches {
            acknowledge(&peer, &batch.answer("accepted", json!([]))).await.good(200);
        }
    }
    // The province is a relay: what lies behind it is not known, so nobody calls it complete.
    let tree = alpha.ask(Ask::get(format!("/v1/recalls/{id}"))).await.good(200);
    assert_eq!(
        (&tree["state"], &tree["complete"]),
        (&json!("confirmed-next-tier-only"), &json!(false)),
        "{tree}"
    );

    // It comes back only by a decision, and then under its old key.
    let again = alpha.ask(put_one(&known)).await.refused(422, "records.refused");
    assert_eq!(refusals(&again), [(Some(0), "record.recalled".to_owned())]);
    take(&alpha, recall_on("reinstate", reference(&known), &basis()), 1).await;
    take(&alpha, put_one(&known), 1).await;
    assert_eq!(ops(&province.news().await, &here), ["reinstate", "put"]);
    assert_eq!(ops(&portal.news().await, &public), ["reinstate", "put"]);
    // Objections travel, and do not stop it.
    for op in ["dispute", "resolve"] {
        take(&alpha, recall_on(op, reference(&known), &basis()), 1).await;
        assert_eq!(ops(&province.news().await, &here), [op]);
    }
    take(&alpha, put_one(&known), 1).await;
    take(&alpha, recall_on("repair", reference(&known), &basis()), 1).await;
    assert_eq!(ops(&province.news().await, &here), ["repair"], "the put before it lost its place");

    // By its key fields, without a reference.
    let mut unnamed = penalty();
    unnamed.remove("ref");
    take(&alpha, put_one(&unnamed), 1).await;
    let here = key(&province.news().await, &unnamed);
    let of = |code| unnamed.get(code).unwrap_or_default();
    let body = json!({
        "TYSHXYDM": of("TYSHXYDM"), "JDSWH": of("JDSWH"), "CFJDRQ": of("CFJDRQ"),
        "reason": "mistake", "basis": basis(), "effective": "2026-01-01",
    });
    let ask = Ask { body: body.to_string().into(), ..recall_on("withdraw", "-", "-") };
    take(&alpha, ask, 1).await;
    assert_eq!(ops(&province.news().await, &here), ["withdraw"]);

    // A correction under another reference takes the place of the first, in one breath.
    let (wrong, mut right) = (penalty(), penalty());
    take(&alpha, put_one(&wrong), 1).await;
    let old = key(&province.news().await, &wrong);
    right.set("replaces", reference(&wrong));
    take(&alpha, put_one(&right), 1).await;
    let lines = province.news().await;
    assert_eq!(ops(&lines, &old), ["withdraw"]);
    assert_eq!(ops(&lines, &key(&lines, &right)), ["put"]);
    let again = alpha.ask(put_one(&wrong)).await.refused(422, "records.refused");
    assert_eq!(refusals(&again), [(Some(0), "record.recalled".to_owned())]);

    // A put that says itself that it was revoked is a withdrawal.
    let mut revoked = penalty();
    take(&alpha, put_one(&revoked), 1).await;
    let here = key(&province.news().await, &revoked);
    revoked.set("ZT", "撤销");
    take(&alpha, put_one(&revoked), 1).await;
    assert_eq!(ops(&province.news().await, &here), ["withdraw"]);

    history(&mut province).await;
}

/// The history lane: apart from the daily one, and reached by recalls once it is in use.
async fn history(province: &mut Heard) {
    let alpha = CITY.peer("alpha");
    let lanes = |listed: &Value| {
        let all = listed["streams"].as_array().expect("a list").iter();
        all.filter(|s| s["stream"].as_str().is_some_and(|s| s.ends_with("penalty~history"))).count()
    };
    let peer = CITY.peer("province");
    assert_eq!(lanes(&peer.ask(Ask::get("/v1/streams")).await.good(200)), 0, "not before it is used");
    let (old, new) = (penalty(), penalty());
    let mut ask = put_one(&old);
    ask.path = format!("{PENALTIES}?schema=xm-penalty&load=history");
    take(&alpha, ask, 1).await;
    take(&alpha, put_one(&new), 1).await;
    assert_eq!(lanes(&peer.ask(Ask::get("/v1/streams")).await.good(200)), 1);
    let mut lane = Heard::of("province", "~history");
    let (daily, history) = (province.news().await, lane.news().await);
    let old_key = key(&history, &old);
    assert_eq!(ops(&daily, &old_key), Vec::<String>::new());
    let new_key = key(&daily, &new);
    for (record, key) in [(&old, &old_key), (&new, &new_key)] {
        take(&alpha, recall_on("withdraw", reference(record), &basis()), 1).await;
        assert_eq!(ops(&province.news().await, key), ["withdraw"], "in the daily lane");
        assert_eq!(ops(&lane.news().await, key), ["withdraw"], "in the history lane");
    }
}
