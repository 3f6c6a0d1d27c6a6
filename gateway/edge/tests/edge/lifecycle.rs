//! Draining: what is in flight is finished, what is idle is closed, what hangs is cut.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::net::TcpStream;
use xinqiao_edge::{Deadlines, Drained};

use crate::site::{Plan, Site, until};
use crate::wire::Wire;

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_takes_nothing_new() {
    let mut site = Site::start(Plan::default()).await;
    let mut busy = Wire::open(&site, "dept-a").await;
    let mut idle = Wire::open(&site, "dept-b").await;
    assert_eq!(idle.get("/").await.status, 200);
    busy.send("GET /gate HTTP/1.1\r\nhost: n\r\n\r\n").await;
    until("the request is in flight", || site.seen.waiting.load(SeqCst) == 1).await;
    site.drain();
    idle.closed().await;
    assert!(TcpStream::connect(site.address).await.is_err(), "the listener is gone");
    site.seen.gate.add_permits(1);
    let answer = busy.answer().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
    busy.closed().await;
    assert_eq!(site.ended().await, Drained { aborted: 0 });
}

#[tokio::test]
async fn a_long_poll_hears_of_the_drain() {
    let mut site = Site::start(Plan::default()).await;
    let mut poll = Wire::open(&site, "dept-a").await;
    poll.send("GET /poll HTTP/1.1\r\nhost: n\r\n\r\n").await;
    until("it polls", || site.seen.waiting.load(SeqCst) == 1).await;
    site.drain();
    assert_eq!(poll.answer().await.text(), "polled until the drain");
    assert_eq!(site.ended().await.aborted, 0);
}

#[tokio::test]
async fn what_does_not_finish_is_cut_at_the_deadline() {
    let deadlines = Deadlines { drain: Duration::from_millis(100), ..Deadlines::default() };
    let mut site = Site::start(Plan { deadlines, ..Plan::default() }).await;
    let mut stuck = Wire::open(&site, "dept-a").await;
    stuck.send("GET /gate HTTP/1.1\r\nhost: n\r\n\r\n").await;
    until("the request is in flight", || site.seen.waiting.load(SeqCst) == 1).await;
    let _silent = TcpStream::connect(site.address).await.unwrap();
    site.metric("xinqiao_edge_connections_accepted_total{listener=\"exchange\"} 2").await;
    site.drain();
    assert_eq!(site.ended().await, Drained { aborted: 1 }, "the handshake was not waited for");
    stuck.closed().await;
}

#[tokio::test]
async fn a_connection_with_a_longest_life_ends_however_busy_it_is() {
    let deadlines = Deadlines { life: Some(Duration::from_millis(50)), ..Deadlines::default() };
    let site = Site::start(Plan { deadlines, ..Plan::default() }).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    wire.send("GET /gate HTTP/1.1\r\nhost: n\r\n\r\n").await;
    site.metric("xinqiao_edge_connections_closed_total{listener=\"exchange\",reason=\"session-over\"} 1")
        .await;
    site.seen.gate.add_permits(1);
    assert_eq!(wire.answer().await.status, 200, "what is in flight is finished");
    wire.closed().await;
}

#[tokio::test]
async fn a_request_whose_sender_left_is_dropped_and_gives_everything_back() {
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    wire.send("GET /gate HTTP/1.1\r\nhost: n\r\n\r\n").await;
    until("the request is in flight", || site.seen.waiting.load(SeqCst) == 1).await;
    drop(wire);
    site.metric("xinqiao_edge_connections{listener=\"exchange\"} 0").await;
}

#[tokio::test]
async fn a_streamed_reply_is_whole_or_visibly_cut() {
    let site = Site::start(Plan::default()).await;
    let mut wire = Wire::open(&site, "dept-a").await;
    wire.send("GET /stream HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n").await;
    let whole = wire.read_to_end().await;
    assert!(whole.ends_with(b"\r\n0\r\n\r\n"));
    assert_eq!(whole.iter().filter(|byte| **byte == b's').count() - count_s_in_head(&whole), 300_000);
    let mut wire = Wire::open(&site, "dept-a").await;
    wire.send("GET /cut HTTP/1.1\r\nhost: n\r\n\r\n").await;
    let cut = wire.read_to_end().await;
    assert!(!cut.ends_with(b"0\r\n\r\n"), "no end is made up");
}

fn count_s_in_head(response: &[u8]) -> usize {
    let end = response.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    response[..end].iter().filter(|byte| **byte == b's').count()
}
