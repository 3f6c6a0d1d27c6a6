//! A relay that has the first keys of its upstream pinned, and nothing else, through changes of all that it verifies by.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Instant;
use xinqiao::demo::federation::{Department, NodePlan, Pki, Recipient, Upstream, free_port};
use xinqiao::demo::process::NodeProcess;
use xinqiao_certs::Role;
use xinqiao_tests::city::{
    CITY, NDJSON, authority, batches, document, keys_in, ndjson, peer_of, penalty, put,
};
use xinqiao_tests::peer::Ask;
use xinqiao_tests::program::node_program;
use xinqiao_tests::site::PATIENCE;

const PROVINCE: &str = "demo.example/350000-credit";
const STREAM: &str = "archive.administrative-penalty";

fn start(dir: &Path, config: &Path) -> NodeProcess {
    let node = NodeProcess::start(node_program(), config, &dir.join("nodes.log"));
    node.unwrap_or_else(|error| panic!("{error}"))
}

/// The configurations of the city and of the province, which pulls from it.
fn configured(dir: &Path, pki: &Pki) -> (PathBuf, PathBuf) {
    for (role, name) in [
        (Role::Node, "city"),
        (Role::Node, "province-node"),
        (Role::Department, "alpha"),
        (Role::Relay, "province"),
        (Role::Recipient, "archive"),
    ] {
        pki.issue(role, name).unwrap();
    }
    let port = free_port().unwrap();
    let alpha = [authority(0)];
    let recipient = |name, role| Recipient { name, role, policy: "province-government", encoding: "zstd" };
    let city = NodePlan {
        name: CITY,
        certificate: "city",
        port,
        local: 0,
        departments: vec![Department { name: "alpha", title: "样例甲局", authorities: &alpha }],
        recipients: vec![recipient("province", Role::Relay)],
        upstreams: Vec::new(),
        extra: "[keys]\npending_hours = 168\n".into(),
    };
    let province = NodePlan {
        name: PROVINCE,
        certificate: "province-node",
        port: 0,
        local: 0,
        departments: Vec::new(),
        recipients: vec![recipient("archive", Role::Recipient)],
        upstreams: vec![Upstream {
            name: "city",
            node: CITY,
            port,
            keys: dir.join("city/keys.json"),
            shown: "province",
            streams: vec!["province.administrative-penalty".into()],
            authorities: vec![alpha[0].0.clone()],
        }],
        extra: String::new(),
    };
    let write = |plan: &NodePlan<'_>, home: &str| plan.write(&dir.join(home), pki).unwrap();
    (write(&city, "city"), write(&province, "province"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_follows_its_upstream_from_the_first_keys_alone() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::create(&dir.path().join("pki")).unwrap();
    let (city_config, province_config) = configured(dir.path(), &pki);
    let mut city = start(dir.path(), &city_config);
    let mut province = start(dir.path(), &province_config);
    let pinned = std::fs::read(dir.path().join("city/keys.json")).unwrap();
    let keys = keys_in(&dir.path().join("province"));
    let mut after = 0;
    // The first is sent before anything changes. Announced and hurried; at once; twice; then the relay starts again.
    let changes: [&[&[&str]]; 4] = [
        &[],
        &[&["manifest"], &["log"], &["manifest", "--now"], &["log", "--now"]],
        &[&["manifest", "--now"], &["log", "--now"], &["manifest", "--now"], &["log", "--now"]],
        &[&["log"], &["log", "--now"], &["manifest"], &["manifest", "--now"]],
    ];
    for (round, changes) in changes.into_iter().enumerate() {
        if round > 0 {
            assert!(city.stop());
            for change in changes {
                let mut rotate = std::process::Command::new(node_program());
                rotate.args(["keys", "rotate", "--config"]).arg(&city_config).arg("--use").args(*change);
                let said = rotate.output().unwrap();
                assert!(said.status.success(), "{change:?}: {said:?}");
            }
            city = start(dir.path(), &city_config);
        }
        if round == 3 {
            assert!(province.stop());
            province = start(dir.path(), &province_config);
        }
        let record = penalty();
        let sent = put(NDJSON, ndjson(std::slice::from_ref(&record)));
        peer_of(&pki, "alpha", city.exchange).ask(sent).await.good(201);
        let archive = peer_of(&pki, "archive", province.exchange);
        let end = Instant::now() + PATIENCE;
        let came = |line: &Value| line["data"]["CF_WSH"] == document(&record);
        loop {
            assert!(Instant::now() < end, "round {round}: what was sent never came");
            archive
                .ask(Ask::get(format!("/v1/streams/{STREAM}/batches?after={after}&wait=5")))
                .await
                .good(200);
            let new = batches(&archive, &keys, STREAM, after).await;
            after = new.last().map_or(after, |batch| batch.manifest.seq);
            if new.iter().flat_map(|batch| &batch.lines).any(came) {
                break;
            }
        }
    }
    assert_eq!(std::fs::read(dir.path().join("city/keys.json")).unwrap(), pinned, "what is pinned stays");
}
