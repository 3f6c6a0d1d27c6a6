//! What a policy does not allow is nowhere. Canaries that exist once in the world are planted in every field that may
//! hold something personal, free text included, for every table and kind of subject, in good requests and in wrong ones;
//! then everything that left the node and everything it keeps is searched for them.

mod planter;

use bytes::Bytes;
use planter::{Canary, Planter};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use xinqiao_schemas::SubjectKind;
use xinqiao_schemas::synthetic::{Record, Table, write_csv, write_json, write_xml};
use xinqiao_tests::city::{Batch, City, NDJSON, acknowledge, batches, fresh_key, ndjson, record, reference};
use xinqiao_tests::peer::{Answer, Ask, Peer};

const KINDS: [SubjectKind; 3] =
    [SubjectKind::LegalPerson, SubjectKind::IndividualBusiness, SubjectKind::NaturalPerson];

/// The ways a canary may be written.
fn spellings(part: &str) -> Vec<Vec<u8>> {
    let wide: Vec<u16> = part.encode_utf16().collect();
    let mut all = vec![part.as_bytes().to_vec()];
    if !part.is_ascii() {
        all.push(encoding_rs::GB18030.encode(part).0.into_owned());
        all.push(part.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<String>().into_bytes());
    }
    all.push(wide.iter().flat_map(|unit| unit.to_le_bytes()).collect());
    all.push(wide.iter().flat_map(|unit| unit.to_be_bytes()).collect());
    all
}

/// Canaries found in bytes.
fn found<'c>(bytes: &[u8], canaries: &'c [Canary]) -> Vec<&'c Canary> {
    let holds = |needle: &[u8]| memchr::memmem::find(bytes, needle).is_some();
    canaries.iter().filter(|canary| spellings(&canary.part).iter().any(|needle| holds(needle))).collect()
}

#[track_caller]
fn nothing(place: &str, bytes: &[u8], canaries: &[Canary]) {
    let leaked: Vec<_> =
        found(bytes, canaries).into_iter().map(|c| format!("{} `{}`", c.what, c.part)).collect();
    assert!(leaked.is_empty(), "{place} shows: {leaked:#?}");
}

/// Everything the node answered to someone who is no recipient of records.
#[derive(Default)]
struct Heard(Vec<u8>);

impl Heard {
    fn note(&mut self, answer: &Answer) {
        self.0.extend_from_slice(format!("{:?}\n", answer.headers).as_bytes());
        self.0.extend_from_slice(&answer.body);
        self.0.push(b'\n');
        // What stands inside in base64 is heard as well.
        if let Ok(document) = serde_json::from_slice::<Value>(&answer.body) {
            let entry = document["receipt"]["entry"].as_str().and_then(xinqiao_evidence::base64::decode);
            self.0.extend(entry.unwrap_or_default());
        }
    }
}

async fn ask(peer: &Peer, heard: &mut Heard, ask: Ask) -> Answer {
    let answer = peer.ask(ask).await;
    heard.note(&answer);
    answer
}

fn path(table: Table) -> String {
    format!("/v1/datasets/{}/records?schema={}", table.dataset(), table.schema())
}

fn post(table: Table, media_type: &str, body: impl Into<Bytes>) -> Ask {
    Ask::post(path(table), media_type, body).with("idempotency-key", fresh_key())
}

fn form(write: fn(&[Record], &mut Vec<u8>), records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    write(records, &mut out);
    out
}

fn planted(planter: &mut Planter, table: Table, kind: SubjectKind, sent: bool) -> Record {
    let mut record = record(0, table, kind);
    planter.plant(&mut record, sent);
    record
}

#[tokio::test]
async fn what_a_policy_does_not_allow_is_nowhere() {
    let city = City::start("leak", |_| {
        "[logging]\nlevel = \"debug\"\n[storage]\nsegment_bytes = 4194304\ncheckpoint_seconds = 1\n".into()
    });
    let mut planter = Planter::default();
    let mut heard = Heard::default();
    let alpha = city.peer("alpha");
    let sent = send_good(&alpha, &mut planter, &mut heard).await;
    send_wrong(&alpha, &city, &mut planter, &mut heard).await;
    let (basis, reason) =
        (planter.name("basis of a recall", true, false), planter.name("reason of a recall", true, false));
    for op in ["withdraw", "repair", "dispute", "resolve", "reinstate"] {
        let one = &sent[0];
        let body =
            json!({"ref": reference(one), "reason": reason, "basis": basis, "effective": "2026-01-01"});
        let ask = Ask::post(format!("{}&op={op}", path(one.table)), "application/json", body.to_string());
        let answer = alpha.ask(ask.with("idempotency-key", fresh_key())).await;
        heard.note(&answer);
        answer.good(201);
    }

    // What recipients got: the government reads what it may, all of it; the public reads nothing it may not.
    let canaries = planter.all.clone();
    let province = received(&city, "province").await;
    let (portal, agency) = (received(&city, "portal").await, received(&city, "agency").await);
    let not =
        |allowed: fn(&Canary) -> bool| canaries.iter().filter(|c| !allowed(c)).cloned().collect::<Vec<_>>();
    nothing("the province", &province.text, &not(|c| c.government));
    nothing("the portal", &portal.text, &not(|c| c.public));
    nothing("the agency", &agency.text, &not(|c| c.public));
    // The search does find: every word in a free text that is the government's to read is there, and every one that is
    // the public's stands at the portal.
    let named =
        |bytes: &[u8]| found(bytes, &canaries).iter().map(|c| c.what.clone()).collect::<BTreeSet<_>>();
    let (by_province, by_portal) = (named(&province.text), named(&portal.text));
    for canary in canaries.iter().filter(|c| c.what.starts_with("a word in") || c.what.starts_with("subject"))
    {
        assert_eq!(by_province.contains(&canary.what), canary.government, "{}", canary.what);
        assert_eq!(by_portal.contains(&canary.what), canary.public, "{}", canary.what);
    }
    let people: BTreeSet<&str> =
        sent.iter().filter(|r| r.subject == SubjectKind::NaturalPerson).map(reference).collect();
    assert_eq!(people.len(), Table::ALL.len() + 1);
    for (name, lines) in [("portal", &portal.puts), ("agency", &agency.puts)] {
        assert!(!lines.is_empty(), "{name} got something");
        for kind in ["自然人", "个人"] {
            assert!(!lines.iter().any(|line| line.to_string().contains(kind)), "a natural person at {name}");
        }
    }

    // A recipient rejects lines; what it says reaches the department alone.
    let said = planter.name("a recipient's own words", false, false);
    reject(&city, &province, &said).await;
    let feedback = alpha.ask(Ask::get("/v1/feedback?after=0&wait=5")).await;
    let told = feedback.good(200);
    assert!(told["feedback"].as_array().is_some_and(|f| f.iter().any(|f| f["message"] == said)), "{told}");
    nothing("feedback", &feedback.body, &canaries);
    ask(&city.peer("beta"), &mut heard, Ask::get("/v1/feedback")).await;

    for path in ["/metrics", "/readyz", "/healthz"] {
        nothing(path, city.local(path).await.as_bytes(), &planter.all);
    }
    nothing("answers", &heard.0, &planter.all);
    let dir = city.dir.clone();
    assert!(city.node.stop(), "the node ends well");
    let mut kept = 0;
    for file in files(&dir.join("city")).into_iter().chain([dir.join("city.log")]) {
        let mut bytes = std::fs::read(&file).expect("it can be read");
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        kept += bytes.len();
        let name = file.display().to_string();
        nothing(&name, &bytes, &planter.all);
        nothing(&name, name.as_bytes(), &planter.all);
    }
    assert!(kept > 100_000, "the node kept something: {kept} bytes");
    let log = std::fs::read_to_string(dir.join("city.log")).expect("the log");
    assert!(log.contains("/v1/datasets/{dataset}/records"), "requests are logged, by their template");
}

/// One good record of every table and kind, in all forms, some in the history lane.
async fn send_good(alpha: &Peer, planter: &mut Planter, heard: &mut Heard) -> Vec<Record> {
    let mut sent = Vec::new();
    for table in Table::ALL {
        let records = KINDS.map(|kind| planted(planter, table, kind, true));
        for (n, (media, body)) in [
            (NDJSON, ndjson(&records)),
            ("application/json", form(write_json, &records).into()),
            ("application/xml", form(write_xml, &records).into()),
        ]
        .into_iter()
        .enumerate()
        {
            let answer = ask(alpha, heard, post(table, media, body)).await;
            let told = answer.good(201);
            assert_eq!(told["accepted"], 3, "{table:?} {n}: {told}");
            let id = told["submission"].as_str().expect("an id").to_owned();
            ask(alpha, heard, Ask::get(format!("/v1/submissions/{id}"))).await;
        }
        sent.extend(records);
    }
    let old = KINDS.map(|kind| planted(planter, Table::CityPenalty, kind, true));
    let mut body = post(Table::CityPenalty, NDJSON, ndjson(&old));
    body.path.push_str("&load=history");
    ask(alpha, heard, body).await.good(201);
    sent.extend(old);
    sent
}

/// Wrong requests of every sort, full of canaries.
async fn send_wrong(alpha: &Peer, city: &City, planter: &mut Planter, heard: &mut Heard) {
    let word = planter.name("a word in the wrong place", false, false);
    let latin = planter.mail("a word in the wrong place", false, false).replace("@mail.example", "");
    for table in Table::ALL {
        let kinds = KINDS.map(|kind| planted(planter, table, kind, false));
        // Each column in turn holds what it cannot.
        for column in table.columns() {
            let mut record = kinds[0].clone();
            record.set(column, format!("{word}{}", "长".repeat(5_000)));
            ask(alpha, heard, post(table, NDJSON, ndjson(&[record]))).await;
        }
        let mut wrong = kinds.clone();
        for record in &mut wrong {
            record.set("ref", format!("{word} {latin}"));
        }
        let json = form(write_json, &wrong);
        let text = String::from_utf8(json.clone()).expect("UTF-8");
        let xml = String::from_utf8(form(write_xml, &wrong)).expect("UTF-8");
        let csv = String::from_utf8(form(write_csv, &wrong)).expect("UTF-8");
        let gbk = encoding_rs::GBK.encode(&csv).0.into_owned();
        let mut cut = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut cut, &json).expect("writing to memory");
        let cut = cut.finish().expect("writing to memory");
        for wrong in [
            post(table, "application/json", json.clone()),
            post(table, NDJSON, text.replace("},{", "}\n{").trim_matches(['[', ']']).to_owned()),
            post(table, "application/json", json[..json.len() - 30].to_vec()),
            post(table, "application/json", text.replace("\"ref\"", &format!("\"{word}\""))),
            post(
                table,
                "application/json",
                text.replace("\"ref\":", &format!("\"{latin}\":[\"{word}\"],\"ref\":{{}},\"x\":")),
            ),
            post(table, "application/xml", xml.replace("ref>", &format!("{latin}>"))),
            post(
                table,
                "application/xml",
                xml.replace("<records>", &format!("<!DOCTYPE {latin} [<!ENTITY a \"{word}\">]><records>")),
            ),
            post(
                table,
                "application/xml",
                xml.replace("</record>", &format!("<BZ {latin}=\"{word}\"/></record>")),
            ),
            post(table, "text/csv", csv.replacen("ref", &word, 1)),
            post(table, "text/csv", format!("{csv}\"{word}")),
            post(table, "text/csv", gbk),
            post(table, "application/json", cut[..cut.len() - 9].to_vec()).with("content-encoding", "gzip"),
            post(table, "application/json", json.clone()).with("prefer", "handling=strict"),
            Ask {
                headers: vec![("content-type", format!("text/{latin}")), ("idempotency-key", fresh_key())],
                ..post(table, "", json.clone())
            },
            Ask {
                headers: vec![("content-type", NDJSON.into()), ("idempotency-key", latin.clone())],
                ..post(table, "", json.clone())
            },
            Ask { path: format!("{}&{latin}={latin}", path(table)), ..post(table, NDJSON, json.clone()) },
            Ask { path: format!("{}&op={latin}", path(table)), ..post(table, NDJSON, json.clone()) },
            Ask { path: format!("/v1/datasets/{latin}/records"), ..post(table, NDJSON, json.clone()) },
            Ask { path: format!("/v1/{latin}"), ..post(table, NDJSON, json.clone()) },
        ] {
            let answer = ask(alpha, heard, wrong.with("x-odd", latin.clone())).await;
            assert!(answer.status >= 400, "{answer:?}");
        }
        // Tables of 2017 name the authority without its code.
        if !matches!(table, Table::Penalty2017 | Table::Licence2017) {
            let other = city.peer("beta");
            ask(&other, heard, post(table, NDJSON, ndjson(&kinds))).await.refused(422, "records.refused");
        }
    }
    for path in [
        format!("/v1/submissions/{latin}"),
        format!("/v1/recalls/1-{latin}"),
        format!("/v1/log/tile/{latin}"),
        format!("/v1/streams/{latin}.{latin}/batches"),
        format!("/v1/feedback?after={latin}"),
    ] {
        ask(alpha, heard, Ask::get(path.clone())).await;
        ask(&city.peer("portal"), heard, Ask::get(path)).await;
    }
    let path = "/v1/streams/portal.administrative-penalty/acknowledgements";
    for body in [word.clone(), json!({"outcome": word, "node": latin}).to_string()] {
        ask(&city.peer("portal"), heard, Ask::post(path, "application/json", body)).await;
    }
}

/// What a recipient got, of all its streams.
struct Received {
    /// Manifests and lines.
    text: Vec<u8>,
    puts: Vec<Value>,
    batches: Vec<Batch>,
}

async fn received(city: &City, recipient: &str) -> Received {
    let peer = city.peer(recipient);
    let list = peer.ask(Ask::get("/v1/streams")).await.good(200);
    let streams: Vec<String> = list["streams"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| s["stream"].as_str().expect("a name").to_owned())
        .collect();
    assert!(streams.iter().any(|s| s.ends_with("~history")), "{streams:?}");
    let mut all = Received { text: list.to_string().into_bytes(), puts: Vec::new(), batches: Vec::new() };
    for stream in streams {
        for batch in batches(&peer, &city.keys(), &stream, 0).await {
            all.text.extend(serde_json::to_vec(&batch.manifest).expect("JSON"));
            for line in &batch.lines {
                all.text.extend(line.to_string().into_bytes());
                all.text.push(b'\n');
            }
            all.puts.extend(batch.lines.iter().filter(|line| line["op"] == "put").cloned());
            all.batches.push(batch);
        }
    }
    all
}

/// Answers every batch, rejecting its first line with these words.
async fn reject(city: &City, received: &Received, words: &str) {
    let peer = city.peer("province");
    for batch in &received.batches {
        let answer = batch.answer("partial", json!([{"record": 0, "code": "E1", "message": words}]));
        acknowledge(&peer, &answer).await.good(200);
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}
