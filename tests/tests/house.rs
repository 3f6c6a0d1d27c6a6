//! The rules of the house that no compiler holds: who depends on whom, what may not be in the tree, and that documents
//! and sample files say what the code says.

#[path = "house/circles.rs"]
mod circles;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// For each crate of the workspace, the others it may know.
const KNOWS: [(&str, &[&str]); 14] = [
    ("xinqiao-explain", &[]),
    ("xinqiao-crypto", &[]),
    ("xinqiao-evidence", &["xinqiao-crypto", "xinqiao-explain"]),
    ("xinqiao-schemas", &["xinqiao-crypto", "xinqiao-explain"]),
    ("xinqiao-certs", &["xinqiao-crypto", "xinqiao-explain"]),
    ("xinqiao-exchange", &["xinqiao-crypto", "xinqiao-evidence", "xinqiao-schemas"]),
    ("xinqiao-store", &["xinqiao-crypto", "xinqiao-evidence", "xinqiao-explain"]),
    ("xinqiao-client", &["xinqiao-certs", "xinqiao-crypto", "xinqiao-evidence", "xinqiao-explain"]),
    ("xinqiao-workbook", &["xinqiao-schemas"]),
    ("xinqiao-runtime", &["xinqiao-explain"]),
    ("xinqiao-edge", &["xinqiao-certs", "xinqiao-crypto", "xinqiao-runtime"]),
    (
        "xinqiao-node",
        &[
            "xinqiao-certs",
            "xinqiao-crypto",
            "xinqiao-evidence",
            "xinqiao-exchange",
            "xinqiao-explain",
            "xinqiao-runtime",
            "xinqiao-schemas",
            "xinqiao-store",
        ],
    ),
    (
        "xinqiao-server",
        &[
            "xinqiao-certs",
            "xinqiao-client",
            "xinqiao-edge",
            "xinqiao-evidence",
            "xinqiao-exchange",
            "xinqiao-explain",
            "xinqiao-node",
            "xinqiao-runtime",
            "xinqiao-schemas",
            "xinqiao-store",
            "xinqiao-workbook",
        ],
    ),
    (
        "xinqiao",
        &[
            "xinqiao-certs",
            "xinqiao-client",
            "xinqiao-crypto",
            "xinqiao-evidence",
            "xinqiao-exchange",
            "xinqiao-explain",
            "xinqiao-node",
            "xinqiao-runtime",
            "xinqiao-schemas",
            "xinqiao-server",
            "xinqiao-store",
        ],
    ),
];

/// The node speaks no HTTP.
const NO_HTTP: [&str; 4] = ["http", "hyper", "h2", "tokio-rustls"];

const PURE: [&str; 5] =
    ["xinqiao-explain", "xinqiao-crypto", "xinqiao-evidence", "xinqiao-exchange", "xinqiao-schemas"];
const NOT_PURE: [&str; 4] = ["tokio", "hyper", "rustls", "sled"];

const COMMANDS: [&str; 2] = ["cargo run --release --bin xinqiao -- demo", "bash .ci/test"];

#[test]
fn pure_crates_stay_pure_and_only_the_server_knows_everyone() {
    let metadata = metadata();
    let names = package_names(&metadata);
    let graph = normal_dependencies(&metadata);
    let id = |name: &str| {
        let mut found = names.iter().filter(|(_, n)| *n == name && graph.contains_key(*n));
        found.next().map(|(_, n)| n.clone()).unwrap_or_else(|| panic!("{name} is not in the workspace"))
    };
    for name in PURE {
        let reached = reachable(&graph, &id(name));
        for forbidden in NOT_PURE {
            assert!(
                !reached.contains(forbidden),
                "{name} must never depend on {forbidden}, not even through others"
            );
        }
    }
    let reached = reachable(&graph, &id("xinqiao-node"));
    for forbidden in NO_HTTP {
        assert!(!reached.contains(forbidden), "xinqiao-node must never depend on {forbidden}");
    }
    for (name, may) in KNOWS {
        let knows: BTreeSet<&str> =
            graph[&id(name)].iter().map(String::as_str).filter(|n| n.starts_with("xinqiao")).collect();
        let may: BTreeSet<&str> = may.iter().copied().collect();
        assert_eq!(knows, may, "{name}: correct the dependency, or KNOWS and ARCHITECTURE.md with a reason");
    }
    assert_eq!(
        members(&metadata).len(),
        KNOWS.len() + 1,
        "a new crate belongs into KNOWS and ARCHITECTURE.md"
    );
}

/// Where the algorithms' library may be named, also as rustls's provider.
const NAMES_RING: [&str; 2] = ["gateway/crypto/src/", "certs/src/crypto.rs"];

#[test]
fn the_algorithms_library_is_named_in_two_places() {
    let mut seen = BTreeSet::new();
    for path in tracked().into_iter().filter(|p| p.ends_with(".rs") && p.contains("/src/")) {
        let text = read(&path);
        let names = text
            .match_indices("ring::")
            .any(|(at, _)| !text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'));
        if names {
            let place = NAMES_RING.iter().find(|place| path.starts_with(**place));
            seen.insert(*place.unwrap_or_else(|| panic!("{path} names ring: use xinqiao-crypto")));
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["certs/src/crypto.rs", "gateway/crypto/src/"]);
}

#[test]
fn every_crate_inherits_the_lints() {
    for package in members(&metadata()) {
        let path = package["manifest_path"].as_str().expect("a path");
        let manifest = std::fs::read_to_string(path).expect("cargo has just read it");
        assert!(
            manifest.contains("[lints]\nworkspace = true\n"),
            "{path}: add `[lints]`, `workspace = true`"
        );
    }
    assert!(read("Cargo.toml").contains("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
}

#[test]
fn no_file_is_named_for_nothing() {
    for path in tracked() {
        for part in Path::new(&path).iter().filter_map(|p| p.to_str()) {
            let stem = part.split('.').next().unwrap_or(part);
            assert!(part != "mod.rs", "{path}: thing.rs beside thing/, not thing/mod.rs");
            assert!(
                !matches!(stem, "utils" | "util" | "common" | "helpers" | "helper" | "manager" | "misc"),
                "{path}: name the file for its subject"
            );
        }
    }
}

#[test]
fn no_private_key_and_no_registry_is_in_the_tree() {
    let begin = ["-----BEGIN", " "].concat();
    let hosts: Vec<String> =
        [["crates", "io"], ["pypi", "org"], ["pythonhosted", "org"], ["npmjs", "org"], ["docker", "io"]]
            .iter()
            .map(|parts| parts.join("."))
            .collect();
    for path in tracked() {
        let ending = Path::new(&path).extension().and_then(|e| e.to_str()).unwrap_or("");
        assert!(
            !matches!(ending, "key" | "p8" | "p12" | "pfx" | "jks"),
            "{path}: keys are made at test time"
        );
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for (n, line) in text.lines().enumerate() {
            // In code the words may stand inside a literal; a key itself begins its line.
            assert!(
                !(line.trim_start().starts_with(&begin) && line.contains("PRIVATE KEY-----")),
                "{path}:{}: a private key; make it at test time",
                n + 1
            );
        }
        if path != "Cargo.lock" {
            for host in &hosts {
                assert!(!text.contains(host.as_str()), "{path}: names the host {host}");
            }
        }
    }
}

#[test]
fn both_readmes_give_the_two_commands() {
    for name in ["README.md", "README.zh-CN.md"] {
        let text = read(name);
        for command in COMMANDS {
            assert!(text.contains(command), "{name}: `{command}` is missing");
        }
    }
}

#[test]
fn sample_files_are_read_by_the_code_they_are_for() {
    let mut seen = 0;
    for path in tracked().into_iter().filter(|p| p.starts_with("deploy/") && p.ends_with(".toml")) {
        let file = root().join(&path);
        if path.ends_with("profile.toml") {
            xinqiao_client::Profile::read(&file).unwrap_or_else(|e| panic!("{path}: {e}"));
        } else {
            xinqiao_node::config::Config::load(&file).unwrap_or_else(|e| panic!("{path}: {e}"));
        }
        seen += 1;
    }
    assert!(seen >= 2, "deploy/ has a node's and a client's sample");
}

#[test]
fn every_configuration_key_is_documented_and_in_the_sample() {
    let mut keys: BTreeSet<String> = struct_fields(&read("gateway/node/src/config.rs"));
    keys.extend(struct_fields(&read("gateway/node/src/config/security.rs")));
    keys.remove("problems");
    keys.extend(["code", "from", "until", "successor", "uncoded_basis"].map(str::to_owned));
    for document in ["docs/configuration.md", "docs/configuration.zh-CN.md"] {
        let words = words(&read(document));
        let missing: Vec<_> = keys.iter().filter(|k| !words.contains(k.as_str())).collect();
        assert!(missing.is_empty(), "{document} does not name {missing:?}");
    }
    let sample = words(&read("deploy/city.toml"));
    let missing: Vec<_> = keys.iter().filter(|k| !sample.contains(k.as_str()) && *k != "from").collect();
    assert!(missing.is_empty(), "deploy/city.toml does not show {missing:?}");
}

#[test]
fn every_direct_dependency_has_a_reason() {
    let named: BTreeSet<String> = read("docs/dependencies.md")
        .lines()
        .filter_map(|line| line.strip_prefix("- ")?.split_once(':'))
        .map(|(name, _)| name.split(" (").next().unwrap_or(name).to_owned())
        .collect();
    let mut used = BTreeSet::new();
    for package in members(&metadata()) {
        let direct = package["dependencies"].as_array().expect("dependencies are listed").iter();
        let names = direct.map(|d| d["name"].as_str().expect("a name").to_owned());
        used.extend(names.filter(|name| !name.starts_with("xinqiao")));
    }
    // Not a member, but ours: the programs for libFuzzer.
    let fuzz = read("tests/fuzz/Cargo.toml");
    let (_, fuzz) = fuzz.split_once("\n[dependencies]\n").expect("it has dependencies");
    let names = fuzz.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(" = "));
    used.extend(names.map(|(name, _)| name.to_owned()).filter(|name| !name.starts_with("xinqiao")));
    let missing: Vec<_> = used.difference(&named).collect();
    assert!(missing.is_empty(), "docs/dependencies.md: say why {missing:?}");
    let stale: Vec<_> = named.difference(&used).collect();
    assert!(stale.is_empty(), "docs/dependencies.md: nothing uses {stale:?} any more");
}

#[test]
fn alerts_use_metrics_that_exist() {
    let known = words(&read("docs/metrics.md"));
    let alerts = words(&read("deploy/alerts.yml"));
    let mut seen = 0;
    for word in alerts.iter().filter(|w| w.starts_with("xinqiao_")) {
        let family = word.strip_suffix("_bucket").unwrap_or(word);
        assert!(known.contains(family), "deploy/alerts.yml: there is no metric {word}");
        seen += 1;
    }
    assert!(seen > 5);
}

#[test]
fn documents_name_files_and_tests_that_exist() {
    let tracked = tracked();
    let functions: BTreeSet<String> = tracked
        .iter()
        .filter(|p| p.ends_with(".rs"))
        .filter_map(|p| std::fs::read_to_string(root().join(p)).ok())
        .flat_map(|text| function_names(&text))
        .collect();
    const DOCUMENTS: [&str; 8] = [
        "ARCHITECTURE.md",
        "SECURITY.md",
        "docs/configuration.md",
        "docs/contributing.md",
        "docs/djbh.md",
        "docs/glossary.md",
        "docs/operations.md",
        "docs/security-testing.md",
    ];
    for document in DOCUMENTS {
        for quoted in read(document).split('`').skip(1).step_by(2) {
            if quoted.ends_with(".rs") && !quoted.contains(['{', ' ', '<']) {
                let end = format!("/{quoted}");
                assert!(
                    tracked.iter().any(|p| p == quoted || p.ends_with(&end)),
                    "{document}: no file {quoted}"
                );
            }
        }
    }
    // A name of a test is a long one in snake case.
    for quoted in read("SECURITY.md").split('`').skip(1).step_by(2) {
        let named = quoted.matches('_').count() >= 3
            && quoted.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        assert!(!named || functions.contains(quoted), "SECURITY.md: there is no test {quoted}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Files that git knows.
fn tracked() -> Vec<String> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().expect("git runs");
    assert!(listed.status.success(), "the tests run in a git checkout");
    let listed = String::from_utf8(listed.stdout).expect("names are UTF-8");
    listed.split('\0').filter(|p| !p.is_empty() && root().join(p).exists()).map(str::to_owned).collect()
}

/// The workspace's own packages.
fn members(metadata: &Value) -> Vec<Value> {
    let ids = metadata["workspace_members"].as_array().expect("members are listed");
    let packages = metadata["packages"].as_array().expect("packages are listed").iter();
    packages.filter(|p| ids.contains(&p["id"])).cloned().collect()
}

/// For this machine's platform only: the packages of others are in the lock file, but nobody has downloaded them where
/// this is the first build.
fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &host()])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("metadata is JSON")
}

/// The platform cargo builds for unless told otherwise.
fn host() -> String {
    let output = Command::new(env!("CARGO")).arg("-vV").output().expect("cargo runs");
    let said = String::from_utf8(output.stdout).expect("cargo says what it is in ASCII");
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap_or_else(|| panic!("cargo -vV names no host: {said}")).to_owned()
}

/// Package id → name.
fn package_names(metadata: &Value) -> BTreeMap<String, String> {
    let packages = metadata["packages"].as_array().expect("packages are listed");
    let text = |v: &Value| v.as_str().expect("a string").to_owned();
    packages.iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect()
}

/// Name → names it depends on when it is used; several versions of one name count as one.
fn normal_dependencies(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let names = package_names(metadata);
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().expect("the graph is resolved") {
        let name = names[node["id"].as_str().expect("an id")].clone();
        let edges = graph.entry(name).or_default();
        for dependency in node["deps"].as_array().expect("dependencies are listed") {
            let kinds = dependency["dep_kinds"].as_array().expect("kinds are listed");
            if kinds.iter().any(|k| k["kind"].is_null()) {
                edges.insert(names[dependency["pkg"].as_str().expect("an id")].clone());
            }
        }
    }
    graph
}

fn reachable(graph: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        for next in graph.get(&name).into_iter().flatten() {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// Names of public fields, as rustfmt writes them.
fn struct_fields(source: &str) -> BTreeSet<String> {
    let field = |line: &str| line.strip_prefix("    pub ")?.split_once(": ").map(|(name, _)| name.to_owned());
    source.lines().filter_map(field).filter(|name| !name.contains(['(', ' '])).collect()
}

fn function_names(source: &str) -> Vec<String> {
    let name = |line: &str| {
        let after =
            line.trim_start().strip_prefix("async ").unwrap_or(line.trim_start()).strip_prefix("fn ")?;
        after.split_once('(').map(|(name, _)| name.to_owned())
    };
    source.lines().filter_map(name).collect()
}
