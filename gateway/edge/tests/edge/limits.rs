//! Limits: each member spends its own, and nobody else's.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use xinqiao_edge::{Caps, Deadlines, Rates};
use xinqiao_runtime::Budget;

use crate::site::{Plan, Site, until, within};
use crate::wire::Wire;

#[tokio::test]
async fn connections_of_one_address_are_capped_and_come_back() {
    let caps = Caps { per_address: 2, ..Caps::default() };
    let site = Site::start(Plan { caps, ..Plan::default() }).await;
    let mut first = Wire::open(&site, "dept-a").await;
    let mut second = Wire::open(&site, "dept-b").await;
    let mut third = TcpStream::connect(site.address).await.unwrap();
    assert_eq!(within(third.read(&mut [0; 1])).await.unwrap_or(0), 0, "closed before TLS");
    site.metric("xinqiao_edge_connections_refused_total{listener=\"exchange\",reason=\"address\"} 1").await;
    assert_eq!((first.get("/").await.status, second.get("/").await.status), (200, 200));
    drop(first);
    site.metric("xinqiao_edge_connections{listener=\"exchange\"} 1").await;
    within(async {
        // The slot is given back a moment after the connection has left the list.
        while Wire::connect(site.address, site.pki.client("dept-a", b"http/1.1")).await.is_err() {}
    })
    .await;
}

#[tokio::test]
async fn strangers_shaking_hands_do_not_use_up_the_members_room() {
    let caps = Caps { handshakes: 1, ..Caps::default() };
    let site = Site::start(Plan { caps, ..Plan::default() }).await;
    let mut member = Wire::open(&site, "dept-a").await;
    let _silent = TcpStream::connect(site.address).await.unwrap();
    site.metric("xinqiao_edge_connections_accepted_total{listener=\"exchange\"} 2").await;
    let mut late = TcpStream::connect(site.address).await.unwrap();
    assert_eq!(within(late.read(&mut [0; 1])).await.unwrap_or(0), 0);
    site.metric("xinqiao_edge_connections_refused_total{listener=\"exchange\",reason=\"handshakes\"} 1")
        .await;
    assert_eq!(member.get("/").await.status, 200);
}

#[tokio::test]
async fn connections_in_all_are_capped() {
    let caps = Caps { connections: 1, ..Caps::default() };
    let site = Site::start(Plan { caps, ..Plan::default() }).await;
    let mut first = Wire::open(&site, "dept-a").await;
    let mut second = Wire::open(&site, "dept-b").await;
    second.closed().await;
    assert_eq!(first.get("/").await.status, 200);
}

#[tokio::test]
async fn a_member_with_too_many_connections_is_told_so() {
    let caps = Caps { per_member: 1, ..Caps::default() };
    let site = Site::start(Plan { caps, ..Plan::default() }).await;
    let mut first = Wire::open(&site, "dept-a").await;
    let mut second = Wire::open(&site, "dept-a").await;
    let answer = second.get("/").await;
    assert_eq!((answer.status, answer.code()), (429, "limit.member-connections".into()));
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    assert_eq!(first.get("/").await.status, 200);
    assert_eq!(Wire::open(&site, "dept-b").await.get("/").await.status, 200);
}

#[tokio::test]
async fn a_noisy_member_meets_its_own_rate_and_a_quiet_one_does_not() {
    let rate = |n| NonZeroU32::new(n).unwrap();
    let rates = Rates {
        member_per_second: rate(1),
        member_burst: rate(5),
        node_per_second: rate(1),
        node_burst: rate(12),
    };
    let site = Site::start(Plan { rates, ..Plan::default() }).await;
    let mut noisy = Wire::open(&site, "dept-a").await;
    let mut quiet = Wire::open(&site, "dept-b").await;
    let mut refused = 0;
    for _ in 0..200 {
        let answer = noisy.get("/").await;
        if answer.status == 429 {
            assert_eq!(answer.code(), "limit.member-rate");
            assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
            refused += 1;
        }
    }
    assert!(refused >= 190, "{refused}");
    for _ in 0..5 {
        assert_eq!(quiet.get("/").await.status, 200, "the node's bucket was not spent on refusals");
    }
}

#[tokio::test]
async fn requests_in_flight_are_capped_per_member() {
    let caps = Caps { requests_per_member: 2, ..Caps::default() };
    let site = Site::start(Plan { caps, ..Plan::default() }).await;
    let mut held = [Wire::open(&site, "dept-a").await, Wire::open(&site, "dept-a").await];
    for wire in &mut held {
        wire.send("GET /gate HTTP/1.1\r\nhost: n\r\n\r\n").await;
    }
    until("both wait", || site.seen.waiting.load(SeqCst) == 2).await;
    let mut third = Wire::open(&site, "dept-a").await;
    assert_eq!(third.get("/").await.code(), "limit.member-requests");
    assert_eq!(Wire::open(&site, "dept-b").await.get("/").await.status, 200);
    site.seen.gate.add_permits(2);
    for wire in &mut held {
        assert_eq!(wire.answer().await.status, 200);
    }
    until("a turn comes back", || site.budget.used() == 0).await;
    assert_eq!(third.get("/").await.status, 200);
}

#[tokio::test]
async fn one_member_s_bodies_leave_room_for_another_s() {
    let budget = Budget::new(3 << 20, 1 << 20);
    let site = Site::start(Plan { budget, ..Plan::default() }).await;
    let mut greedy = Wire::open(&site, "dept-a").await;
    let answer = greedy.post("/", "", &vec![b'x'; 2 << 20]).await;
    assert_eq!((answer.status, answer.code()), (503, "busy.memory".into()));
    assert_eq!(answer.header("retry-after").as_deref(), Some("2"));

    // Half a body holds most of a share; the next body of the same member must wait, another's need not.
    let mut half = Wire::open(&site, "dept-a").await;
    half.send(format!("POST / HTTP/1.1\r\nhost: n\r\ncontent-length: {}\r\n\r\n", 1_000_000)).await;
    half.send(vec![b'x'; 900_000]).await;
    until("the body has arrived", || site.budget.used() >= 900_000).await;
    let mut second = Wire::open(&site, "dept-a").await;
    assert_eq!(second.post("/", "", &vec![b'x'; 500_000]).await.code(), "busy.memory");
    let mut other = Wire::open(&site, "dept-b").await;
    assert_eq!(other.post("/", "", &vec![b'x'; 500_000]).await.status, 200);
    half.send(vec![b'x'; 100_000]).await;
    assert_eq!(half.answer().await.status, 200);
    until("the budget is given back", || site.budget.used() == 0).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_reply_is_cut_and_its_memory_freed() {
    let deadlines = Deadlines { reply_stall: Duration::from_millis(200), ..Deadlines::default() };
    let site = Site::start(Plan { deadlines, ..Plan::default() }).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    wire.send("GET /large HTTP/1.1\r\nhost: n\r\n\r\n").await;
    until("the reply is held", || site.budget.used() >= 16 << 20).await;
    site.metric("xinqiao_edge_connections_closed_total{listener=\"exchange\",reason=\"reply-stalled\"} 1")
        .await;
    until("the budget is given back", || site.budget.used() == 0).await;
}

#[tokio::test]
async fn a_reply_holds_its_share_until_it_has_left() {
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    let answer = wire.get("/large").await;
    assert_eq!(answer.body.len(), 16 << 20);
    until("the budget is given back", || site.budget.used() == 0).await;
}
