//! The front proxy names its clients by RFC 9440; nobody else does, and it names nobody it may not.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering::SeqCst;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use xinqiao_certs::{Identity, Member, Role};
use xinqiao_edge::{Caps, Rates};

use crate::site::{DOMAIN, Pki, Plan, Site, members, until, within};
use crate::wire::{Answer, Wire};

fn plan() -> Plan {
    Plan { front_proxy: true, ..Plan::default() }
}

async fn front(site: &Site) -> Wire {
    let config = site.pki.client_as(Role::FrontProxy, "front", b"http/1.1");
    Wire::connect(site.address, config).await.unwrap()
}

/// The header lines for a client with this chain.
fn named(identity: &Identity) -> String {
    let chain: Vec<String> =
        identity.chain().iter().map(|der| format!(":{}:", STANDARD.encode(der))).collect();
    let (leaf, issuers) = chain.split_first().unwrap();
    match issuers {
        [] => format!("client-cert: {leaf}\r\n"),
        issuers => format!("client-cert: {leaf}\r\nclient-cert-chain: {}\r\n", issuers.join(", ")),
    }
}

pub(crate) fn department(site: &Site, name: &str) -> String {
    named(&site.pki.identity(Role::Department, name))
}

async fn ask(wire: &mut Wire, path: &str, headers: &str) -> Answer {
    wire.send(format!("GET {path} HTTP/1.1\r\nhost: n\r\n{headers}\r\n")).await;
    wire.answer().await
}

#[tokio::test]
async fn each_request_is_the_member_s_that_the_proxy_names() {
    let site = Site::start(plan()).await;
    let mut wire = front(&site).await;
    let clients = [("dept-a", department(&site, "dept-a")), ("dept-b", department(&site, "dept-b"))];
    for _ in 0..3 {
        for (name, headers) in &clients {
            let answer = wire.post("/", headers, b"records").await;
            assert_eq!((answer.status, answer.text()), (200, format!("{name} sent 7 bytes")));
        }
    }
    let of_branch = named(&site.pki.identity_of_branch("dept-b"));
    assert!(of_branch.contains("client-cert-chain"));
    assert_eq!(wire.post("/", &of_branch, b"").await.text(), "dept-b sent 0 bytes");
    until("the budget is given back", || site.budget.used() == 0).await;
}

#[tokio::test]
async fn whatever_the_proxy_may_not_say_is_refused_and_the_connection_goes_on() {
    let site = Site::start(plan()).await;
    let mut wire = front(&site).await;
    let good = department(&site, "dept-a");
    let foreign = named(&Pki::new().identity(Role::Department, "dept-a"));
    let branch = named(&site.pki.identity_of_branch("dept-a"));
    let without_chain = branch.lines().next().unwrap().to_owned() + "\r\n";
    for (headers, status, code) in [
        (String::new(), 400, "front-proxy.header-missing"),
        ("client-cert-chain: :YWJj:\r\n".into(), 400, "front-proxy.header-missing"),
        (format!("{good}{good}"), 400, "front-proxy.header-repeated"),
        (format!("{good}{}", department(&site, "dept-b")), 400, "front-proxy.header-repeated"),
        ("client-cert: -----BEGIN%20CERTIFICATE-----\r\n".into(), 400, "front-proxy.header-malformed"),
        ("client-cert: :YWJj:, :YWJj:\r\n".into(), 400, "front-proxy.header-malformed"),
        (format!("{good}client-cert-chain: x\r\n"), 400, "front-proxy.header-malformed"),
        ("client-cert: :YWJj:\r\n".into(), 403, "certificate.malformed"),
        (foreign, 403, "certificate.untrusted"),
        (without_chain, 403, "certificate.untrusted"),
        (department(&site, "stranger"), 403, "member.unknown"),
        (department(&site, "suspended"), 403, "member.suspended"),
        (named(&site.pki.identity(Role::FrontProxy, "front")), 403, "front-proxy.role-refused"),
        (named(&site.pki.identity(Role::Auditor, "auditor")), 403, "front-proxy.role-refused"),
    ] {
        let answer = ask(&mut wire, "/", &headers).await;
        assert_eq!((answer.status, answer.code()), (status, code.into()), "{headers}");
        assert!(!answer.json()["detail_zh"].as_str().unwrap().is_ascii());
    }
    assert_eq!(site.requests(), 0, "none reached the handler");
    assert_eq!(ask(&mut wire, "/", &good).await.status, 200, "one client's fault is not the next one's");
}

#[tokio::test]
async fn nobody_but_the_proxy_names_clients_and_it_only_when_configured() {
    let site = Site::start(plan()).await;
    let headers = department(&site, "dept-b");
    let mut wire = Wire::open(&site, "dept-a").await;
    assert_eq!(ask(&mut wire, "/", &headers).await.code(), "member.header-refused");
    assert_eq!(ask(&mut wire, "/", "client-cert-chain: x\r\n").await.code(), "member.header-refused");
    assert_eq!(ask(&mut wire, "/", "").await.status, 200);

    let off = Site::start(Plan::default()).await;
    let mut wire = front(&off).await;
    for headers in [String::new(), department(&off, "dept-a")] {
        let answer = ask(&mut wire, "/", &headers).await;
        assert_eq!((answer.status, answer.code()), (403, "front-proxy.off".into()));
    }
    assert_eq!(off.requests(), 0);
}

#[tokio::test]
async fn rates_and_turns_are_the_named_member_s_own() {
    let rate = |n| NonZeroU32::new(n).unwrap();
    let rates = Rates {
        member_per_second: rate(1),
        member_burst: rate(4),
        node_per_second: rate(1),
        node_burst: rate(100),
    };
    let caps = Caps { requests_per_member: 1, ..Caps::default() };
    let site = Site::start(Plan { rates, caps, ..plan() }).await;
    let (a, b) = (department(&site, "dept-a"), department(&site, "dept-b"));
    let mut held = front(&site).await;
    held.send(format!("GET /gate HTTP/1.1\r\nhost: n\r\n{a}\r\n")).await;
    until("it waits", || site.seen.waiting.load(SeqCst) == 1).await;
    let mut wire = front(&site).await;
    assert_eq!(ask(&mut wire, "/", &a).await.code(), "limit.member-requests");
    let mut direct = Wire::open(&site, "dept-a").await;
    assert_eq!(ask(&mut direct, "/", "").await.code(), "limit.member-requests", "one account for both ways");
    assert_eq!(ask(&mut wire, "/", &b).await.status, 200);
    site.seen.gate.add_permits(1);
    assert_eq!(held.answer().await.status, 200);
    let mut refused = Vec::new();
    for _ in 0..8 {
        refused.push(ask(&mut wire, "/", &a).await.status);
    }
    assert_eq!(refused.last(), Some(&429));
    assert_eq!(
        ask(&mut wire, "/", &b).await.status,
        200,
        "the proxy has no bucket that a member could empty"
    );
}

async fn front_h2(site: &Site) -> SendRequest<Full<Bytes>> {
    let config = site.pki.client_as(Role::FrontProxy, "front", b"h2");
    let wire = Wire::connect(site.address, config).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(wire.stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// `GET path` for this client.
fn request(path: &str, identity: &Identity) -> Request<Full<Bytes>> {
    let value = format!(":{}:", STANDARD.encode(&identity.chain()[0]));
    let request = Request::get(format!("https://node{path}")).header("client-cert", value);
    request.body(Full::default()).unwrap()
}

#[tokio::test]
async fn what_a_suspended_member_has_in_flight_ends_and_the_others_go_on() {
    let site = Site::start(plan()).await;
    let [a, b] = ["dept-a", "dept-b"].map(|name| site.pki.identity(Role::Department, name));
    let sender = front_h2(&site).await;
    let mut drip = within(sender.clone().send_request(request("/drip", &a))).await.unwrap();
    let first = within(drip.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "first");
    let gate = |identity: &Identity| {
        let (mut sender, request) = (sender.clone(), request("/gate", identity));
        tokio::spawn(async move {
            let answer = within(sender.send_request(request)).await.unwrap();
            let status = answer.status().as_u16();
            (status, within(answer.into_body().collect()).await.unwrap().to_bytes())
        })
    };
    let (of_a, of_b) = (gate(&a), gate(&b));
    until("both wait", || site.seen.waiting.load(SeqCst) == 2).await;

    let mut changed = members();
    changed.iter_mut().filter(|member| member.name == "dept-a").for_each(|member| member.suspended = true);
    *site.tls_policy.write() = site.pki.tls_policy(changed);
    assert_eq!(site.control.recheck(), 1, "one client, and not the proxy");

    let (status, body) = of_a.await.unwrap();
    assert_eq!(status, 403);
    assert!(String::from_utf8_lossy(&body).contains("member.suspended"));
    assert!(within(drip.into_body().collect()).await.is_err(), "a reply begun is cut, not completed");
    // One permit is for the writer of the cut reply, which still waits for it.
    site.seen.gate.add_permits(3);
    assert_eq!(of_b.await.unwrap().0, 200, "the other member's request finished");
    let again = within(sender.clone().send_request(request("/", &a))).await.unwrap();
    assert_eq!(again.status(), 403);
    assert_eq!(site.control.recheck(), 0);
}

#[tokio::test]
async fn a_judgement_is_not_relied_on_for_long_even_if_nobody_asks_for_a_recheck() {
    let site = Site::start(plan()).await;
    let mut wire = front(&site).await;
    let headers = department(&site, "dept-a");
    assert_eq!(ask(&mut wire, "/", &headers).await.status, 200);
    let mut changed = members();
    changed.retain(|member| member.name != "dept-a");
    *site.tls_policy.write() = site.pki.tls_policy(changed);
    let swapped = std::time::Instant::now();
    while ask(&mut wire, "/", &headers).await.status == 200 {
        assert!(swapped.elapsed() < crate::site::PATIENCE);
    }
    assert_eq!(ask(&mut wire, "/", &headers).await.code(), "member.unknown");
}

#[tokio::test]
async fn a_proxy_that_is_let_in_no_longer_takes_its_connections_with_it() {
    let site = Site::start(plan()).await;
    let mut wire = front(&site).await;
    assert_eq!(ask(&mut wire, "/", &department(&site, "dept-a")).await.status, 200);
    let mut changed = members();
    changed.retain(|member| member.name != "front");
    *site.tls_policy.write() = site.pki.tls_policy(changed);
    assert_eq!(site.control.recheck(), 1);
    wire.closed().await;
}

#[tokio::test]
async fn many_clients_behind_one_connection_are_forgotten_again() {
    let site = Site::start(plan()).await;
    let mut wire = front(&site).await;
    for _ in 0..100 {
        let fresh = department(&site, "dept-a");
        assert_eq!(ask(&mut wire, "/", &fresh).await.status, 200);
    }
    *site.tls_policy.write() = site.pki.tls_policy(vec![Member::new(DOMAIN, Role::FrontProxy, "front")]);
    let ended = site.control.recheck();
    assert!((1..=64).contains(&ended), "{ended} clients were remembered");
}
