//! What officers do with a running node: hold and release, rule about withheld chunks, trace a record, put a backup
//! back, change a recipient's schema.

use crate::office::{code, officer, site};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::time::Duration;
use xinqiao::demo::process::NodeProcess;
use xinqiao_client::{ClientError, Puller, Submission};
use xinqiao_schemas::SubjectKind;
use xinqiao_schemas::synthetic::{Generator, Record, Table, write_ndjson};
use xinqiao_tests::site::{DEPARTMENTS, PORTAL, PROVINCE, Site, today};

const PENALTY: &str = "administrative-penalty";
const STREAM: &str = "province.administrative-penalty";
/// Penalties about organisations, from the city's own table.
fn penalties(first: u64, count: usize) -> Vec<Record> {
    let mut generator = Generator::new(5, today()).with_references().starting_at(first);
    (0..count)
        .map(|_| {
            let mut r = generator.record_about(Table::CityPenalty, Some(SubjectKind::LegalPerson));
            r.set("XXSYFW", "公示");
            r
        })
        .collect()
}

async fn send(site: &Site, node: &NodeProcess, records: &[Record]) -> String {
    let mut body = Vec::new();
    write_ndjson(records, &mut body);
    let submission = Submission { schema: Some("xm-penalty"), ..Submission::new(PENALTY, body) };
    let sent = site.client(DEPARTMENTS[0], node).send(&submission).await.unwrap();
    assert_eq!(sent.response.accepted, records.len() as u64);
    sent.response.submission
}

async fn next(puller: &mut Puller) -> Option<u64> {
    puller.next(Duration::ZERO).await.unwrap().map(|p| p.records)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_on_hold_delivers_nothing_until_it_is_released() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let node = site.start();
    send(&site, &node, &penalties(0, 3)).await;
    let security = officer(&site, &node, "security");
    let path = |what: &str| format!("/v1/streams/{STREAM}/{what}");
    let why = json!({"reason": "核查中"});

    for other in ["system", "auditor"] {
        let refused = officer(&site, &node, other).tell::<Value>(&path("hold"), &why).await.unwrap_err();
        assert_eq!(code(&refused), "role.wrong", "only the security officer puts streams on hold");
    }
    let department = officer(&site, &node, DEPARTMENTS[0]);
    let refused = department.ask::<Value>("/v1/streams").await.unwrap_err();
    assert_eq!(code(&refused), "role.wrong", "a department is no officer");

    security.tell::<Value>(&path("hold"), &why).await.unwrap();
    let client = site.client(PROVINCE, &node);
    let refused = client.batches(STREAM, 0, 10, Duration::ZERO).await.unwrap_err();
    assert_eq!(code(&refused), "stream.held");
    let heads: Value = officer(&site, &node, "auditor").ask("/v1/streams").await.unwrap();
    let head = heads["items"].as_array().unwrap().iter().find(|h| h["stream"] == STREAM).unwrap();
    assert_eq!((&head["held"], &head["pending_records"]), (&json!(true), &json!(3)));

    security.tell::<Value>(&path("release"), &why).await.unwrap();
    let pushed: Value = officer(&site, &node, "system").tell(&path("retry"), &why).await.unwrap();
    assert_eq!(pushed, json!({"dead": false, "stream": STREAM}));
    let mut puller = site.puller(client, PROVINCE, PENALTY).await.unwrap();
    assert_eq!(next(&mut puller).await, Some(3));
    assert!(node.stop());
    let log = site.data().join("log");
    let (exit, said) = site.run(&[OsStr::new("log"), OsStr::new("show"), log.as_os_str()]);
    assert_eq!(exit, 0);
    let holds: Vec<&str> = said.lines().filter(|l| l.contains("\"kind\":\"hold\"")).collect();
    assert_eq!(holds.len(), 2, "both acts are entries of the log");
    assert!(holds.iter().all(|l| l.contains("\"by\":\"security\"") && l.contains("核查中")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_under_another_policy_waits_for_a_ruling() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let node = site.start();
    send(&site, &node, &penalties(100, 2)).await;
    assert!(node.stop());
    let config = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), config.replace("province-government", "nation-government")).unwrap();
    let node = site.start();
    let after = send(&site, &node, &penalties(200, 1)).await;

    let mut puller = site.puller(site.client(PROVINCE, &node), PROVINCE, PENALTY).await.unwrap();
    assert_eq!(next(&mut puller).await, Some(1), "only what was made under the policy in force is delivered");
    let feedback = site.client(DEPARTMENTS[0], &node).feedback(0, Duration::ZERO).await.unwrap().feedback;
    assert_eq!(feedback.len(), 2);
    assert!(feedback.iter().all(|f| f.code == "withheld.send-again" && f.message.contains("重新报送")));

    let list: Value =
        officer(&site, &node, "system").ask(&format!("/v1/streams/{STREAM}/withheld")).await.unwrap();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|i| i["records"].as_u64().unwrap()).sum::<u64>(), 2);
    for item in items {
        let path = format!("/v1/streams/{STREAM}/withheld/{}", item["chunk"]);
        let ruling = json!({"reason": "已核对", "release": true});
        officer(&site, &node, "security").tell::<Value>(&path, &ruling).await.unwrap();
    }
    assert_eq!(next(&mut puller).await, Some(2), "what an officer lets out is delivered");
    let view = site.client(DEPARTMENTS[0], &node).submission(&after).await.unwrap();
    assert!(
        view["streams"].as_array().unwrap().iter().any(|s| s["stream"] == STREAM && s["state"] == "offered")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_traced_by_reference_and_by_a_recipients_key() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let node = site.start();
    let records = penalties(300, 2);
    send(&site, &node, &records).await;
    let mut puller = site.puller(site.client(PROVINCE, &node), PROVINCE, PENALTY).await.unwrap();
    assert_eq!(next(&mut puller).await, Some(2));
    puller.acknowledge(|_, _| None).await.unwrap();

    let auditor = officer(&site, &node, "auditor");
    let reference = records[1].get("ref").unwrap();
    let path = format!("/v1/trace?dataset={PENALTY}&member={}&ref={reference}", DEPARTMENTS[0]);
    let found: Value = auditor.ask(&path).await.unwrap();
    let items = found["items"].as_array().unwrap();
    let province = items.iter().find(|i| i["stream"] == STREAM).unwrap();
    assert_eq!((&province["op"], &province["record"]), (&json!("put"), &json!(1)));
    assert_eq!(province["batch"]["outcome"], "accepted");
    let portal = items.iter().find(|i| i["stream"] == "portal.administrative-penalty").unwrap();
    assert_eq!(portal["batch"], Value::Null, "the portal has not asked yet");
    assert_ne!(province["key"], portal["key"], "each recipient knows the record by a key of its own");

    let path =
        format!("/v1/trace?dataset={PENALTY}&recipient={PROVINCE}&key={}", province["key"].as_str().unwrap());
    let again: Value = auditor.ask(&path).await.unwrap();
    assert_eq!(again["items"][0], *province);
    let refused = officer(&site, &node, "system").ask::<Value>(&path).await.unwrap_err();
    assert_eq!(code(&refused), "role.wrong");

    let digest = province["policy_digest"].as_str().unwrap();
    let policy = auditor.raw(&format!("/v1/documents/{digest}")).await;
    assert_eq!((policy.status, policy.header("content-type")), (200, Some("application/toml")));
    assert_eq!(
        xinqiao_evidence::Digest::of(&policy.body).to_hex(),
        digest,
        "it is the document of this name"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_put_back_begins_a_new_epoch_and_loses_nothing_unanswered() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let node = site.start();
    send(&site, &node, &penalties(400, 2)).await;
    let mut puller = site.puller(site.client(PROVINCE, &node), PROVINCE, PENALTY).await.unwrap();
    assert_eq!(next(&mut puller).await, Some(2));
    puller.acknowledge(|_, _| None).await.unwrap();
    send(&site, &node, &penalties(500, 3)).await;
    assert_eq!(next(&mut puller).await, Some(3));
    drop(puller);

    // While the node runs.
    let (copy, keys) = (dir.path().join("copy"), dir.path().join("segment-keys"));
    let config = site.config();
    let arg = OsStr::new;
    let place = [arg("--config"), config.as_os_str()];
    let (exit, said) = site.run(
        &[
            &[arg("backup")],
            &place[..],
            &[arg("--into"), copy.as_os_str(), arg("--segment-keys"), keys.as_os_str()],
        ]
        .concat(),
    );
    assert_eq!(exit, 0, "{said}");
    let with_keys: Vec<_> = std::fs::read_dir(copy.join("journal"))
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().ends_with(".key"))
        .collect();
    assert!(with_keys.is_empty(), "the copy alone opens no payload");
    node.kill();
    std::fs::remove_dir_all(site.data()).unwrap();
    let (exit, said) = site.run(
        &[
            &[arg("restore")],
            &place[..],
            &[arg("--from"), copy.as_os_str(), arg("--segment-keys"), keys.as_os_str()],
        ]
        .concat(),
    );
    assert_eq!(exit, 0, "{said}");

    let node = site.start();
    assert_eq!(node.epoch, 2);
    let mut puller = site.puller(site.client(PROVINCE, &node), PROVINCE, PENALTY).await.unwrap();
    let noticed = puller.next(Duration::ZERO).await.unwrap_err();
    assert!(matches!(noticed, ClientError::NewEpoch { known: 1, seen: 2 }), "{noticed:?}");
    drop(puller);
    let mut settings = site.following(PROVINCE, PENALTY);
    settings.adopt_epoch = Some(2);
    let mut puller = Puller::open(site.client(PROVINCE, &node), settings).await.unwrap();
    assert_eq!(next(&mut puller).await, Some(3), "the batch nobody had answered comes again");
    assert_eq!(next(&mut puller).await, None, "and the answered one does not");
    assert!(node.stop());
    let (exit, said) = site.verify_log();
    assert_eq!(exit, 0, "{said}");
    let node = site.start();
    assert_eq!(node.epoch, 2, "one restore is one new epoch");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_schema_is_announced_and_waits_for_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let newer = std::fs::read_to_string(site.config()).unwrap();
    let wanted = "administrative-penalty = \"administrative-penalty-2020\"";
    let older = newer.replace(wanted, "administrative-penalty = \"xm-penalty\"");
    std::fs::write(site.config(), &older).unwrap();
    let node = site.start();
    send(&site, &node, &penalties(600, 2)).await;
    let mut puller = site.puller(site.client(PROVINCE, &node), PROVINCE, PENALTY).await.unwrap();
    assert_eq!(next(&mut puller).await, Some(2));
    puller.acknowledge(|_, _| None).await.unwrap();
    drop(puller);
    assert!(node.stop());

    std::fs::write(site.config(), &newer).unwrap();
    let node = site.start();
    send(&site, &node, &penalties(700, 1)).await;
    let mut puller = site.puller(site.client(PROVINCE, &node), PROVINCE, PENALTY).await.unwrap();
    let control = puller.next(Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(control.announces.as_deref(), Some("administrative-penalty-2020"));
    assert_eq!(control.records, 0);
    assert!(
        puller.next(Duration::ZERO).await.unwrap().is_none(),
        "nothing under the new schema before the answer"
    );
    puller.acknowledge(|_, _| None).await.unwrap();
    assert_eq!(next(&mut puller).await, Some(1));
    let text = std::fs::read_to_string(site.pulled().join(STREAM).join("3.manifest.json")).unwrap();
    assert!(!text.is_empty());
    assert!(site.pulled().join(format!("{PORTAL}.{PENALTY}")).read_dir().is_err(), "the portal did not pull");
}
