//! Many answers at once: costly ones wait for their turn and stay within memory, different streams share the journal's
//! syncs, and of different answers to one batch exactly one counts.

use crate::{licence, put_licences};
use serde_json::{Value, json};
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::sync::Barrier;
use xinqiao::demo::process::NodeProcess;
use xinqiao_tests::city::{
    Batch, CITY, City, NDJSON, acknowledge, batches, keys_in, ndjson, peer_of, penalty, put,
};
use xinqiao_tests::peer::{Answer, Ask, Peer};
use xinqiao_tests::program::node_program;
use xinqiao_tests::site::get;

const STREAM: &str = "province.administrative-penalty";
const PATH: &str = "/v1/streams/province.administrative-penalty/acknowledgements";
const JSON: &str = "application/json";

/// Asks all at once, each on a connection of its own.
async fn together(peer: &Peer, asks: Vec<Ask>) -> Vec<Answer> {
    let begin = Arc::new(Barrier::new(asks.len()));
    let mut asked = Vec::new();
    for ask in asks {
        let (peer, begin) = (peer.clone(), begin.clone());
        asked.push(tokio::spawn(async move {
            begin.wait().await;
            peer.ask(ask).await
        }));
    }
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(asked.await.expect("no panic"));
    }
    answers
}

/// An acknowledgement of more than a megabyte that has to be read to its end before it is found to be of no batch.
fn costly() -> String {
    let mut errors = String::new();
    for record in 0..10_000 {
        let comma = if record == 0 { "" } else { "," };
        write!(errors, "{comma}{{\"code\":\"E1007\",\"message\":\"{:0>100}\",\"record\":{record}}}", record)
            .expect("writing to memory");
    }
    format!(
        "{{\"epoch\":1,\"errors\":[{errors}],\"manifest_digest\":{{\"sha-256\":\"{}\"}},\"node\":\"{CITY}\",\
         \"outcome\":\"partial\",\"seq\":999,\"stream\":\"{STREAM}\",\"time\":\"2026-11-21T08:00:00Z\"}}",
        "0".repeat(64)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn costly_acknowledgements_stall_nobody() {
    // As many as the member's share of memory holds at once.
    const COSTLY: usize = 6;
    let city = City::start("costly", |_| String::new());
    let (alpha, province) = (city.peer("alpha"), city.peer("province"));
    let body = costly();
    let done = Arc::new(AtomicUsize::new(0));
    let mut asked = Vec::new();
    for _ in 0..COSTLY {
        let (province, body, done) = (province.clone(), body.clone(), done.clone());
        asked.push(tokio::spawn(async move {
            let answer = province.ask(Ask::post(PATH, JSON, body)).await;
            done.fetch_add(1, SeqCst);
            answer
        }));
    }
    // Each of these takes several looks of a thread that answers requests. Were acknowledgements read there, each look
    // would wait for one of them, and the first answer would come after most of them.
    let mut answered = 0;
    while done.load(SeqCst) < COSTLY {
        alpha.ask(Ask::get("/v1/keys")).await.good(200);
        answered += 1;
    }
    for asked in asked {
        asked.await.expect("no panic").refused(404, "batch.unknown");
    }
    assert!(answered >= COSTLY, "beside {COSTLY} costly requests only {answered} small ones were answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_of_many_small_values_stay_within_the_budget() {
    let city = City::start("many-values", |_| String::new());
    let province = city.peer("province");
    // 16 MiB of single digits in about half a megabyte, within the ratio that is let through.
    let mut text = b"{\"x\":[0".to_vec();
    let mut chance = 1u32;
    while text.len() < (16 << 20) - 4 {
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let digit = if chance >> 28 == 0 { (chance >> 16) % 10 } else { 0 };
        text.extend([b',', b'0' + digit as u8]);
    }
    text.extend(b"]}");
    let body = zstd::encode_all(&text[..], 1).expect("compressing in memory");
    assert!(body.len() < 1 << 20 && body.len() * 200 > text.len(), "{}", body.len());
    let ask = || Ask::post(PATH, JSON, body.clone()).with("content-encoding", "zstd");

    let answers = together(&province, vec![ask(); 8]).await;
    let busy = answers.iter().filter(|a| a.status == 503).count();
    for answer in &answers {
        match answer.status {
            503 => answer.refused(503, "busy.memory"),
            _ => answer.refused(400, "acknowledgement.malformed"),
        };
    }
    assert!(busy > 0, "eight of them do not fit at once");
    province.ask(ask()).await.refused(400, "acknowledgement.malformed");

    let status = std::fs::read_to_string(format!("/proc/{}/status", city.node.id())).expect("the node runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let peak: usize = peak.expect("Linux tells").trim().parse().expect("a number");
    assert!(peak < 256 << 10, "128 MiB of budget, and the node held {peak} KiB");
    let metrics = city.local("/metrics").await;
    assert!(metrics.contains("\nxinqiao_memory_budget_bytes{state=\"used\"} 0\n"), "all is given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_different_answers_at_once_exactly_one_counts() {
    let city = City::start("at-once", |_| String::new());
    let (alpha, province) = (city.peer("alpha"), city.peer("province"));
    for _ in 0..3 {
        alpha.ask(put(NDJSON, ndjson(&[penalty()]))).await.good(201);
        let all = batches(&province, &city.keys(), STREAM, 0).await;
        let batch = all.last().expect("a batch");
        let answer = |n: usize| {
            batch.answer("partial", json!([{"record": 0, "code": format!("E{n}"), "message": ""}]))
        };
        let ask = |answer: &Value| Ask::post(PATH, JSON, answer.to_string());
        let answers = together(&province, (0..6).map(|n| ask(&answer(n))).collect()).await;
        let taken: Vec<usize> = (0..6).filter(|n| answers[*n].status == 200).collect();
        let [taken] = taken[..] else { panic!("{answers:?}") };
        assert_eq!(answers[taken].good(200)["repeated"], false);
        for (n, refused) in answers.iter().enumerate().filter(|(n, _)| *n != taken) {
            refused.refused(409, "acknowledgement.differs-from-first");
            acknowledge(&province, &answer(n)).await.refused(409, "acknowledgement.differs-from-first");
        }
        for same in together(&province, vec![ask(&answer(taken)); 4]).await {
            assert_eq!(same.good(200)["repeated"], true);
        }
    }
    let feedback = alpha.ask(Ask::get("/v1/feedback")).await.good(200);
    assert_eq!(feedback["feedback"].as_array().map(Vec::len), Some(3), "one for each batch: {feedback}");
    // The same answer several times at once is taken once.
    alpha.ask(put(NDJSON, ndjson(&[penalty()]))).await.good(201);
    let all = batches(&province, &city.keys(), STREAM, 3).await;
    let answer = all[0].answer("accepted", json!([]));
    let answers = together(&province, vec![Ask::post(PATH, JSON, answer.to_string()); 6]).await;
    let new = answers.iter().filter(|answer| answer.good(200)["repeated"] == false).count();
    assert_eq!(new, 1, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_different_streams_share_a_sync() {
    let traceable = std::process::Command::new("strace").arg("-V").output().is_ok();
    assert!(traceable || std::env::var_os(xinqiao_tests::oracle::REQUIRED).is_none(), "strace is missing");
    if !traceable {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let City { node, pki, dir: home } = City::start_in(dir.path(), 0, |_| String::new());
    let alpha = peer_of(&pki, "alpha", node.exchange);
    alpha.ask(put(NDJSON, ndjson(&[penalty()]))).await.good(201);
    alpha.ask(put_licences(&[licence()])).await.good(201);
    assert!(tokio::task::spawn_blocking(move || node.stop()).await.expect("no panic"));

    // Every sync takes a fifth of a second more: whoever comes meanwhile joins the next.
    let slow = home.join("slow");
    let script = format!(
        "#!/bin/sh\nexec strace -D -f --seccomp-bpf -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:delay_exit=200000 '{}' \"$@\"\n",
        node_program().display()
    );
    std::fs::write(&slow, script).expect("a script can be written");
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
    let node = match NodeProcess::start(&slow, &home.join("city/node.toml"), &home.join("city.log")) {
        Err(error) if error.0.contains("ptrace") => return,
        started => started.unwrap_or_else(|error| panic!("{error}")),
    };
    let keys = keys_in(&home.join("city"));
    let mut answers: Vec<(Peer, Value)> = Vec::new();
    for member in ["province", "portal", "agency"] {
        let peer = peer_of(&pki, member, node.exchange);
        for dataset in ["administrative-penalty", "administrative-licence"] {
            let all: Vec<Batch> = batches(&peer, &keys, &format!("{member}.{dataset}"), 0).await;
            answers.extend(all.last().map(|batch| (peer.clone(), batch.answer("accepted", json!([])))));
        }
    }
    assert!(answers.len() >= 4, "{}", answers.len());
    let groups = async || {
        let metrics = get(node.local, "/metrics").await.1;
        let line = metrics.lines().find_map(|line| line.strip_prefix("xinqiao_commit_groups_total "));
        line.and_then(|n| n.parse::<u64>().ok()).expect("it is counted")
    };
    let before = groups().await;
    let count = answers.len() as u64;
    let mut asked = Vec::new();
    for (peer, answer) in answers {
        asked.push(tokio::spawn(async move { acknowledge(&peer, &answer).await }));
    }
    for asked in asked {
        assert_eq!(asked.await.expect("no panic").good(200)["repeated"], false);
    }
    let synced = groups().await - before;
    assert!(synced < count, "{count} answers of different streams took {synced} syncs, one after the other");
    assert!(tokio::task::spawn_blocking(move || node.stop()).await.expect("no panic"));
}
