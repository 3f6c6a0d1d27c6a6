//! Two nodes: the city's records reach the province's recipients, narrowed and never widened; what the province does not
//! take comes back; nothing goes round in a circle.

use crate::take;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;
use xinqiao::demo::federation::{Department, NodePlan, Pki, Recipient, Upstream, free_port};
use xinqiao::demo::process::NodeProcess;
use xinqiao_certs::Role;
use xinqiao_schemas::SubjectKind;
use xinqiao_schemas::synthetic::Table;
use xinqiao_tests::city::{
    Batch, CITY, NDJSON, authority, batches, keys_in, ndjson, peer_of, penalty, put, recall, record,
    reference,
};
use xinqiao_tests::peer::{Ask, Peer};
use xinqiao_tests::program::node_program;
use xinqiao_tests::site::{PATIENCE, get, until};

const PROVINCE: &str = "demo.example/350000-credit";

struct Federation {
    pki: Pki,
    city: NodeProcess,
    province: NodeProcess,
}

impl Federation {
    /// The city, which pulls from the province; and the province, which pulls from the city and has registered the first
    /// of its departments only.
    fn start(dir: &Path) -> Self {
        Self::start_with(dir, [node_program(), node_program()])
    }

    /// The same with these programs for city and province.
    fn start_with(dir: &Path, programs: [&Path; 2]) -> Self {
        let pki = Pki::create(&dir.join("pki")).expect("certificates can be made");
        for (role, name) in [
            (Role::Node, "city"),
            (Role::Node, "province-node"),
            (Role::Department, "alpha"),
            (Role::Department, "beta"),
            (Role::Relay, "province"),
            (Role::Relay, "city-relay"),
            (Role::Recipient, "archive"),
            (Role::Recipient, "portal"),
        ] {
            pki.issue(role, name).expect("certificates can be issued");
        }
        let ports = (free_port().expect("a port"), free_port().expect("a port"));
        let recipient = |name, role, policy, encoding| Recipient { name, role, policy, encoding };
        let (alpha, beta) = ([authority(0)], [authority(1)]);
        let upstream = |name, node, port, home: &str, shown, stream: &str, authorities| Upstream {
            name,
            node,
            port,
            keys: dir.join(home).join("keys.json"),
            shown,
            streams: vec![stream.to_owned()],
            authorities,
        };
        let back = "city-relay.administrative-penalty";
        let city = NodePlan {
            name: CITY,
            certificate: "city",
            port: ports.0,
            local: 0,
            departments: vec![
                Department { name: "alpha", title: "样例甲局", authorities: &alpha },
                Department { name: "beta", title: "样例乙局", authorities: &beta },
            ],
            recipients: vec![recipient("province", Role::Relay, "province-government", "zstd")],
            upstreams: vec![upstream(
                "province-node",
                PROVINCE,
                ports.1,
                "province",
                "city-relay",
                back,
                vec!["11*".into()],
            )],
            extra: String::new(),
        };
        let there = "province.administrative-penalty";
        let province = NodePlan {
            name: PROVINCE,
            certificate: "province-node",
            port: ports.1,
            local: 0,
            departments: Vec::new(),
            recipients: vec![
                recipient("archive", Role::Recipient, "province-government", "gzip"),
                recipient("portal", Role::Recipient, "portal-public", "gzip"),
                recipient("city-relay", Role::Relay, "province-government", "zstd"),
            ],
            upstreams: vec![upstream(
                "city",
                CITY,
                ports.0,
                "city",
                "province",
                there,
                vec![alpha[0].0.clone()],
            )],
            extra: String::new(),
        };
        let start = |program: &Path, plan: &NodePlan<'_>, home: &str| {
            let config = plan.write(&dir.join(home), &pki).expect("the configuration can be written");
            let node = NodeProcess::start(program, &config, &dir.join(format!("{home}.log")));
            node.unwrap_or_else(|error| panic!("{error}"))
        };
        let [here, there] = programs;
        Self { city: start(here, &city, "city"), province: start(there, &province, "province"), pki }
    }

    fn at_city(&self, member: &str) -> Peer {
        peer_of(&self.pki, member, self.city.exchange)
    }

    fn at_province(&self, member: &str) -> Peer {
        peer_of(&self.pki, member, self.province.exchange)
    }
}

/// Pulls a stream until a line in it is what is waited for; everything pulled.
async fn pulled(
    peer: &Peer,
    home: &Path,
    stream: &str,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Vec<Batch> {
    let keys = keys_in(home);
    let mut all: Vec<Batch> = Vec::new();
    let end = Instant::now() + PATIENCE;
    while !all.iter().flat_map(|batch| &batch.lines).any(&holds) {
        assert!(Instant::now() < end, "never came: {what}");
        let after = all.last().map_or(0, |batch| batch.manifest.seq);
        // The node holds the question until there is something.
        peer.ask(Ask::get(format!("/v1/streams/{stream}/batches?after={after}&wait=5"))).await.good(200);
        all.extend(batches(peer, &keys, stream, after).await);
    }
    all
}

fn metric(metrics: &str, name: &str) -> f64 {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0.0)
}

#[tokio::test]
async fn records_pass_from_node_to_node_and_never_round() {
    let dir = tempfile::tempdir().expect("a directory");
    let home = dir.path().join("province");
    let nodes = Federation::start(dir.path());
    let (alpha, beta) = (nodes.at_city("alpha"), nodes.at_city("beta"));
    let (open, mut inner) = (penalty(), penalty());
    inner.set("XXSYFW", "政府共享");
    let unknown = record(1, Table::CityPenalty, SubjectKind::LegalPerson);
    take(&alpha, put(NDJSON, ndjson(&[open.clone(), inner.clone()])), 2).await;
    let told = take(&beta, put(NDJSON, ndjson(std::slice::from_ref(&unknown))), 1).await;

    // Another government recipient gets both, with the way they came and where from.
    let document =
        |record: &xinqiao_schemas::synthetic::Record| json!(record.get("JDSWH").expect("a number"));
    let (shown, kept) = (document(&open), document(&inner));
    let archive = nodes.at_province("archive");
    let stream = "archive.administrative-penalty";
    let got = pulled(&archive, &home, stream, "both arrive", |line| line["data"]["CF_WSH"] == kept).await;
    let line = |batches: &[Batch], number: &Value| {
        let all = batches.iter().flat_map(|batch| &batch.lines);
        let of_it: Vec<Value> = all.filter(|line| line["data"]["CF_WSH"] == *number).cloned().collect();
        assert_eq!(of_it.len(), 1, "once: {number}");
        of_it[0].clone()
    };
    let (open_line, inner_line) = (line(&got, &shown), line(&got, &kept));
    assert_eq!((&open_line["audience"], &inner_line["audience"]), (&json!("public"), &json!("government")));
    for line in [&open_line, &inner_line] {
        assert_eq!(line["via"], json!([CITY]));
    }
    let origins = &got[0].manifest.origins;
    assert!(!origins.is_empty() && origins.iter().all(|origin| origin.node == CITY), "{origins:?}");

    // The public at the province sees what is public, although its table has no column for that any more.
    let portal = nodes.at_province("portal");
    let public = pulled(&portal, &home, "portal.administrative-penalty", "the public one arrives", |line| {
        line["data"]["CF_WSH"] == shown
    })
    .await;
    line(&public, &shown);
    assert!(
        !public
            .iter()
            .flat_map(|batch| &batch.lines)
            .any(|line| line.to_string().contains(kept.as_str().unwrap_or("?")))
    );

    // What the province does not take goes back to its department.
    let feedback = beta.ask(Ask::get("/v1/feedback?wait=60")).await.good(200);
    let back = &feedback["feedback"][0];
    assert_eq!(back["code"], "authority.not-yours", "{feedback}");
    assert_eq!((&back["submission"], &back["record"]), (&told["submission"], &json!(0)));
    assert_eq!(
        (&back["ref"], &back["stream"]),
        (&json!(reference(&unknown)), &json!("province.administrative-penalty"))
    );
    assert_eq!(alpha.ask(Ask::get("/v1/feedback")).await.good(200)["feedback"], json!([]));

    // The city pulls from the province, and refuses what was its own.
    until("the city refuses its own records", || async {
        let metrics = get(nodes.city.local, "/metrics").await.1;
        let refused = "xinqiao_relay_records_total{upstream=\"province-node\",outcome=\"refused\"}";
        let looped = "xinqiao_relay_records_total{upstream=\"province-node\",outcome=\"looped\"}";
        metric(&metrics, refused) + metric(&metrics, looped) >= 2.0
    })
    .await;

    let told = nodes.at_province("city").ask(Ask::get("/v1/feedback?wait=30")).await.good(200);
    let codes: Vec<&Value> =
        told["feedback"].as_array().expect("a list").iter().map(|f| &f["code"]).collect();
    assert_eq!(codes, [&json!("relay.loop"), &json!("relay.loop")], "{told}");

    // A recall travels the whole way, and nothing came twice.
    take(&alpha, recall("withdraw", reference(&open)), 1).await;
    let key = open_line["key"].clone();
    let got = pulled(&archive, &home, stream, "the recall arrives", |line| {
        line["op"] == "withdraw" && line["key"] == key
    })
    .await;
    line(&got, &shown);
    line(&got, &kept);
    let from_city = nodes.at_city("province");
    let sent =
        batches(&from_city, &keys_in(&dir.path().join("city")), "province.administrative-penalty", 0).await;
    line(&sent, &shown);
}

/// Waits until the city has refused this many lines that came back.
async fn come_back(nodes: &Federation, lines: usize) {
    until("what the city sent comes back", || async {
        let metrics = get(nodes.city.local, "/metrics").await.1;
        let counted = ["refused", "looped"].map(|outcome| {
            let name = "xinqiao_relay_records_total{upstream=\"province-node\",outcome=";
            metric(&metrics, &format!("{name}\"{outcome}\"}}"))
        });
        counted[0] + counted[1] >= lines as f64
    })
    .await;
}

/// Every operation of a department, round a ring of two nodes with these programs.
async fn once_round(programs: [&Path; 2]) {
    let dir = tempfile::tempdir().expect("a directory");
    let nodes = Federation::start_with(dir.path(), programs);
    let alpha = nodes.at_city("alpha");
    let (one, two, mut revoked) = (penalty(), penalty(), penalty());
    revoked.set("ZT", "撤销");
    let mut replacing: Value = serde_json::from_slice(&ndjson(std::slice::from_ref(&penalty())))
        .expect("one record is one document");
    replacing["replaces"] = json!(reference(&two));
    let records = |some: &[xinqiao_schemas::synthetic::Record]| put(NDJSON, ndjson(some));
    let mut begun = 0;
    for (ask, lines) in [
        (records(std::slice::from_ref(&one)), 1),
        (recall("dispute", reference(&one)), 1),
        (recall("resolve", reference(&one)), 1),
        (recall("withdraw", reference(&one)), 1),
        (recall("reinstate", reference(&one)), 1),
        (records(std::slice::from_ref(&one)), 1),
        (recall("repair", reference(&one)), 1),
        (recall("repair", reference(&one)), 1),
        (records(std::slice::from_ref(&two)), 1),
        (put(NDJSON, replacing.to_string().into_bytes()), 2),
        (records(std::slice::from_ref(&revoked)), 1),
    ] {
        take(&alpha, ask, 1).await;
        begun += lines;
        // One after the other: else a recall takes the place of the put that waits before it.
        come_back(&nodes, begun).await;
    }
    // A line that went round a second time would be before these, in one stream or the other.
    for _ in 0..2 {
        take(&alpha, records(&[penalty()]), 1).await;
        begun += 1;
        come_back(&nodes, begun).await;
    }
    let (province, city_keys) = (nodes.at_city("province"), keys_in(&dir.path().join("city")));
    let there = batches(&province, &city_keys, "province.administrative-penalty", 0).await;
    let (city, province_keys) = (nodes.at_province("city-relay"), keys_in(&dir.path().join("province")));
    let back = batches(&city, &province_keys, "city-relay.administrative-penalty", 0).await;
    for (way, batches) in [("there", there), ("back", back)] {
        let lines: Vec<Value> = batches.into_iter().flat_map(|batch| batch.lines).collect();
        assert_eq!(lines.len(), begun, "{way}: {lines:#?}");
    }
}

#[tokio::test]
async fn recalls_go_round_a_ring_once() {
    once_round([node_program(), node_program()]).await;
}

/// The version before recalls carried `via`, in either place.
#[tokio::test]
#[ignore = "needs XINQIAO_PROGRAM_BEFORE, the path of a `xinqiao` of commit b616f06"]
async fn recalls_go_round_a_ring_once_with_an_older_node_in_it() {
    let before = std::env::var_os("XINQIAO_PROGRAM_BEFORE").expect("the path of an older program");
    once_round([node_program(), Path::new(&before)]).await;
    once_round([Path::new(&before), node_program()]).await;
}
