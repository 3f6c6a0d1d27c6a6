//! `docs/formats.md` says what the crate does: names of kinds, members, types and headers are compared.

use std::collections::{BTreeMap, BTreeSet};

use xinqiao_evidence::entry::Event;
use xinqiao_evidence::jws::JwsType;

const FORMATS: &str = include_str!("../../../../docs/formats.md");

/// Rows of tables as (first code word, all code words of the row).
fn rows() -> impl Iterator<Item = (&'static str, BTreeSet<&'static str>)> {
    FORMATS.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let words: Vec<_> = line.split('`').skip(1).step_by(2).collect();
        (words[0], words.iter().copied().collect())
    })
}

#[test]
fn every_kind_of_entry_is_described_with_its_members() {
    let log = FORMATS.split("## 7. Log").nth(1).unwrap();
    let described: BTreeMap<_, _> =
        rows().filter(|(kind, _)| log.contains(&format!("| `{kind}` |"))).collect();
    for kind in Event::KINDS {
        assert!(described.contains_key(kind), "{kind}");
    }
    for line in include_str!("../vectors/entries.ndjson").lines() {
        let entry: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let row = &described[entry["kind"].as_str().unwrap()];
        for member in
            entry.keys().filter(|member| !["v", "node", "epoch", "time", "kind"].contains(&member.as_str()))
        {
            assert!(row.contains(member.as_str()), "{member} of {line}");
        }
    }
}

#[test]
fn every_member_of_a_manifest_is_described() {
    let words: BTreeSet<_> = rows()
        .flat_map(|(_, words)| words)
        .flat_map(|word| word.split([',', ' ', '{', '}', '[', ']']))
        .collect();
    let manifest: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(include_str!("../vectors/manifest.json")).unwrap();
    let payload = manifest["payload"].as_object().unwrap().keys().cloned();
    for member in manifest.keys().cloned().chain(payload).chain(["control".to_owned(), "void".to_owned()]) {
        assert!(words.contains(member.as_str()), "{member}");
    }
}

#[test]
fn the_types_of_messages_are_described() {
    for kind in [JwsType::Manifest, JwsType::Acknowledgement, JwsType::Envelope] {
        assert!(FORMATS.contains(kind.as_str()), "{}", kind.as_str());
    }
}
