//! Connections a node makes itself follow trust too: an upstream whose certificate is revoked is left within two seconds,
//! and one that shows a new one is followed on.

use crate::write_list;
use std::time::{Duration, Instant};
use xinqiao::demo::federation::{Department, NodePlan, Pki, Recipient, Upstream, free_port};
use xinqiao::demo::process::NodeProcess;
use xinqiao_certs::Role;
use xinqiao_tests::city::{authority, peer_of};
use xinqiao_tests::peer::Ask;
use xinqiao_tests::program::node_program;
use xinqiao_tests::site::{PATIENCE, get, until};

const CITY: &str = "demo.example/350200-credit";
const STREAM: &str = "province.administrative-penalty";

/// Connections past the handshake that the node sees.
async fn connections(node: &NodeProcess) -> f64 {
    let (_, metrics) = get(node.local, "/metrics").await;
    let name = "xinqiao_edge_connections{listener=\"exchange\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_upstream_is_left_within_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::create(&dir.path().join("pki")).unwrap();
    for (role, name) in [
        (Role::Node, "city"),
        (Role::Node, "province-node"),
        (Role::Department, "alpha"),
        (Role::Relay, "province"),
        (Role::Recipient, "archive"),
    ] {
        pki.issue(role, name).unwrap();
    }
    let list = write_list(&pki, 1, &[]);
    let (alpha, port) = ([authority(0)], free_port().unwrap());
    let city = NodePlan {
        name: CITY,
        certificate: "city",
        port,
        local: 0,
        departments: vec![Department { name: "alpha", title: "样例甲局", authorities: &alpha }],
        recipients: vec![Recipient {
            name: "province",
            role: Role::Relay,
            policy: "province-government",
            encoding: "zstd",
        }],
        upstreams: Vec::new(),
        extra: String::new(),
    };
    let province = NodePlan {
        name: "demo.example/350000-credit",
        certificate: "province-node",
        port: 0,
        local: 0,
        departments: Vec::new(),
        recipients: vec![Recipient {
            name: "archive",
            role: Role::Recipient,
            policy: "province-government",
            encoding: "gzip",
        }],
        upstreams: vec![Upstream {
            name: "city",
            node: CITY,
            port,
            keys: dir.path().join("city").join("keys.json"),
            shown: "province",
            streams: vec![STREAM.to_owned()],
            authorities: vec![alpha[0].0.clone()],
        }],
        extra: format!("[revocation]\nlists = [{{ file = {:?} }}]\n", list.display().to_string()),
    };
    let start = |plan: &NodePlan<'_>, home: &str| {
        let config = plan.write(&dir.path().join(home), &pki).unwrap();
        NodeProcess::start(node_program(), &config, &dir.path().join(format!("{home}.log"))).unwrap()
    };
    let (city, province) = (start(&city, "city"), start(&province, "province"));
    let connected = || async { connections(&city).await > 0.0 };
    until("the relay", connected).await;
    // A new certificate of the relay itself, and of its upstream: it goes on.
    pki.issue(Role::Relay, "province").unwrap();
    pki.issue(Role::Node, "city").unwrap();
    let wanted = crate::details(&pki, "city").sha256;
    until("the new certificate", || async {
        crate::shown(&pki, "alpha", city.exchange).await.as_ref() == Some(&wanted)
    })
    .await;
    let handed = || async {
        // Asking again shows which certificate the relay came with: the archive of the city knows it by then.
        let peer = peer_of(&pki, "province", city.exchange);
        peer.ask(Ask::get("/v1/streams")).await.status == 200 && connections(&city).await > 0.0
    };
    until("the relay after both changed", handed).await;
    // Only the relay's own connection is left.
    until("the relay alone", || async { (connections(&city).await - 1.0).abs() < 0.1 }).await;
    let begin = Instant::now();
    write_list(&pki, 2, &["city"]);
    let end = begin + PATIENCE;
    while connections(&city).await > 0.0 {
        assert!(Instant::now() < end, "the relay stays connected to a revoked upstream");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = begin.elapsed();
    println!("left a revoked upstream after {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(province.stop() && city.stop());
}
