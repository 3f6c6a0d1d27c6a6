//! Many answers at once: costly ones wait for their turn and stay within memory. Which of several counts, and that
//! streams share a sync, is shown on a node driven by hand (`gateway/node/src/engine/hand/acknowledge.rs`).

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::sync::Barrier;
use xinqiao_tests::city::{CITY, City};
use xinqiao_tests::peer::{Answer, Ask, Peer};

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
