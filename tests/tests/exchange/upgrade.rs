//! A data directory that the version before wrote, and what this version makes of it.

use crate::{licence, put_licences, submission};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use xinqiao::demo::process::NodeProcess;
use xinqiao_schemas::synthetic::Record;
use xinqiao_tests::city::{
    Batch, NDJSON, PENALTIES, acknowledge, batches, document, fresh_key, keys_in, ndjson, peer_of, penalty,
    put, recall, reference,
};
use xinqiao_tests::peer::{Ask, Peer, refusals};
use xinqiao_tests::site::{PORTAL, PROVINCE, Site, readiness, today};

/// The members of one running node.
struct Members<'s> {
    site: &'s Site,
    node: &'s NodeProcess,
}

impl Members<'_> {
    fn peer(&self, member: &str) -> Peer {
        peer_of(&self.site.pki, member, self.node.exchange)
    }

    async fn ask(&self, ask: Ask) -> Value {
        let told = self.peer("market-supervision").ask(ask).await.good(201);
        assert_eq!(told["refused"], 0, "{told}");
        told
    }

    async fn pull(&self, recipient: &str, after: u64) -> Vec<Batch> {
        let keys = keys_in(&self.site.node);
        batches(&self.peer(recipient), &keys, &format!("{recipient}.administrative-penalty"), after).await
    }
}

/// What stands by docs/recipients.md: of each key the line with the highest rev, if it is a put.
fn standing(lines: &[Value]) -> BTreeMap<String, String> {
    let mut newest: BTreeMap<&str, &Value> = BTreeMap::new();
    let says =
        |line: &&Value| ["put", "withdraw", "repair"].contains(&line["op"].as_str().unwrap_or_default());
    for line in lines.iter().filter(says) {
        let last = newest.entry(line["key"].as_str().expect("a key")).or_insert(line);
        if line["rev"].as_u64() > last["rev"].as_u64() {
            *last = line;
        }
    }
    let puts = newest.into_iter().filter(|(_, line)| line["op"] == "put");
    puts.map(|(key, line)| (line["data"]["CF_WSH"].as_str().expect("a document").to_owned(), key.to_owned()))
        .collect()
}

fn of(records: &[&Record]) -> Vec<String> {
    let mut documents: Vec<String> = records.iter().map(|record| document(record).to_owned()).collect();
    documents.sort();
    documents
}

/// A recall by key fields alone.
fn recall_keys(op: &str, record: &Record) -> Ask {
    let mut body =
        json!({ "reason": "mistake", "basis": "样撤〔2026〕1号", "effective": today().to_string() });
    for column in ["TYSHXYDM", "JDSWH", "CFJDRQ"] {
        body[column] = json!(record.get(column).expect("an organisation's record has key fields"));
    }
    let path = format!("{PENALTIES}?op={op}&schema=xm-penalty");
    Ask::post(path, "application/json", body.to_string()).with("idempotency-key", fresh_key())
}

#[tokio::test]
#[ignore = "needs XINQIAO_PROGRAM_BEFORE, the path of a `xinqiao` of commit b616f06"]
async fn a_data_directory_of_the_version_before_opens_and_goes_on() {
    let before = std::env::var_os("XINQIAO_PROGRAM_BEFORE").expect("the path of an older program");
    for killed in [false, true] {
        go_on(Path::new(&before), killed).await;
    }
}

async fn go_on(before: &Path, killed: bool) {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::new(dir.path(), "[storage]\nsegment_bytes = 1048576\nbatch_records = 400\n");
    let (kept, corrected, unnamed, recalled) = (penalty(), penalty(), penalty(), penalty());
    let mut bare = unnamed.clone();
    bare.remove("ref");
    let many: Vec<Record> = (0..1500).map(|_| penalty()).collect();
    let first = put(NDJSON, ndjson(&[kept.clone(), corrected.clone()]));
    let node = NodeProcess::start(before, &site.config(), &site.log()).expect("the older program starts");
    let members = Members { site: &site, node: &node };
    let answered = members.ask(first.clone()).await;
    members.ask(put(NDJSON, ndjson(&[bare.clone(), recalled.clone()]))).await;
    members.ask(put_licences(&[licence()])).await;
    let mut shown = Vec::new();
    for part in many.chunks(500) {
        shown = members.pull(PORTAL, 0).await;
        members.ask(put(NDJSON, ndjson(part))).await;
    }
    members.ask(recall("withdraw", reference(&recalled))).await;
    // The province has taken half of it, the portal all but what was sent last.
    let seen = members.pull(PROVINCE, 0).await;
    for batch in &seen[..seen.len() / 2] {
        acknowledge(&members.peer(PROVINCE), &batch.answer("accepted", json!([]))).await.good(200);
    }
    if killed {
        node.kill();
    } else {
        assert!(node.stop(), "it stops");
    }

    let node = site.start();
    let members = Members { site: &site, node: &node };
    let (status, report) = readiness(node.local).await;
    assert_eq!(status, 200, "{report}");
    // Sent again, it is the same submission.
    assert_eq!(members.ask(first).await, answered);
    // What was recalled stays so.
    let department = members.peer("market-supervision");
    let again = department.ask(put(NDJSON, ndjson(std::slice::from_ref(&recalled)))).await;
    assert_eq!(refusals(&again.refused(422, "records.refused")), [(Some(0), "record.recalled".to_owned())]);
    // A correction is of the record that stands; a recall reaches it, by reference or by key fields.
    let mut mended = corrected.clone();
    mended.set("JDSWH", "样罚决字〔2026〕90001号");
    members.ask(put(NDJSON, ndjson(std::slice::from_ref(&mended)))).await;
    let told = members.ask(recall_keys("withdraw", &bare)).await;
    assert_eq!(told["errors"], json!([]), "it is known: {told}");
    let told = members.ask(recall("withdraw", reference(&many[700]))).await;
    assert_eq!(told["errors"], json!([]), "it is known: {told}");
    let told = members.ask(recall("withdraw", "typo")).await;
    assert_eq!(told["errors"][0]["code"], "recall.nothing-known", "{told}");

    // The chains go on, and what stands is what was sent.
    let last = seen.last().expect("there were batches").manifest.seq;
    let news = members.pull(PROVINCE, last).await;
    let next = news.first().expect("there is news");
    assert_eq!(next.manifest.seq, last + 1);
    let mut wanted = of(&many.iter().filter(|r| document(r) != document(&many[700])).collect::<Vec<_>>());
    wanted.extend([document(&kept).to_owned(), document(&mended).to_owned()]);
    wanted.sort();
    let at_province: Vec<Value> = seen.iter().chain(&news).flat_map(|b| b.lines.clone()).collect();
    assert_eq!(standing(&at_province).into_keys().collect::<Vec<_>>(), wanted);
    // To the portal goes what was not made under a laxer policy: this version's is stricter, and departments are told to send again.
    let last = shown.last().expect("there were batches").manifest.seq;
    let public = members.pull(PORTAL, last).await;
    let at_portal: Vec<Value> = shown.iter().chain(&public).flat_map(|b| b.lines.clone()).collect();
    let sent_last = of(&many[1000..].iter().collect::<Vec<_>>());
    wanted.retain(|document| !sent_last.contains(document));
    assert_eq!(standing(&at_portal).into_keys().collect::<Vec<_>>(), wanted);
    let told = department.ask(Ask::get("/v1/feedback")).await.good(200);
    let told = told["feedback"].as_array().expect("a list").iter();
    let again = told.filter(|f| f["code"] == "withheld.send-again").count();
    assert!(again > 0, "the department is told");
    // The same record has the same key, whichever version wrote its line.
    let older: Vec<Value> = seen.iter().flat_map(|b| b.lines.clone()).collect();
    let key = |record: &Record| standing(&older)[document(record)].clone();
    assert_eq!(standing(&at_province)[document(&mended)], key(&corrected));
    for gone in [&bare, &many[700]] {
        let withdrawn = news
            .iter()
            .flat_map(|b| &b.lines)
            .any(|line| line["op"] == "withdraw" && line["key"] == key(gone));
        assert!(withdrawn, "{}", document(gone));
    }
    // Views of what the older version took.
    let path = format!("/v1/submissions/{}", submission(&answered));
    assert_eq!(department.ask(Ask::get(path)).await.good(200)["accepted"], 2);
    assert!(node.stop(), "it stops");
    let (code, said) = site.verify_log();
    assert_eq!(code, 0, "{said}");
}
