//! Rings that one node's configuration shows: nodes it pulls a dataset from and sends the same dataset to. Nothing is
//! wrong with a ring, but whoever runs one should know. How far a ring reaches beyond the neighbours is not known here.

use std::collections::BTreeSet;
use xinqiao_certs::Role;
use xinqiao_exchange::names::StreamId;
use xinqiao_node::config::{Config, Member, Recipient, Upstream};

/// What stands in the configuration about rings, in words.
pub(super) fn found(config: &Config) -> Vec<String> {
    let mut all = Vec::new();
    for upstream in &config.upstreams {
        let pulled: BTreeSet<String> = upstream
            .streams
            .iter()
            .filter_map(|stream| StreamId::parse(stream).ok())
            .map(|stream| stream.dataset().to_owned())
            .collect();
        for relay in &config.recipients {
            let Some(member) = member(config, &relay.member).filter(|m| m.role == Role::Relay) else {
                continue;
            };
            let both: Vec<&str> =
                relay.datasets.keys().filter(|d| pulled.contains(*d)).map(String::as_str).collect();
            if !both.is_empty() {
                all.push(said(upstream, relay, &both.join(", "), is_same(config, upstream, relay, member)));
            }
        }
    }
    all
}

fn member<'a>(config: &'a Config, name: &str) -> Option<&'a Member> {
    config.members.iter().find(|m| m.name == name)
}

/// Does anything in the configuration say that the relay is the upstream? Their members differ, since their roles do.
fn is_same(config: &Config, upstream: &Upstream, relay: &Recipient, relay_member: &Member) -> bool {
    let Some(node) = member(config, &upstream.member) else { return false };
    let titled = !node.title.is_empty() && node.title == relay_member.title;
    let bound = node.bindings.iter().any(|b| relay_member.bindings.contains(b));
    let pushed = relay.push.as_ref().is_some_and(|push| host(&push.url) == host(&upstream.url));
    let named = upstream.node.as_str().rsplit('/').next() == Some(relay.member.as_str());
    titled || bound || pushed || named
}

/// The host of an address; a node takes pushes at another port than it is pulled from.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn said(upstream: &Upstream, relay: &Recipient, datasets: &str, same: bool) -> String {
    let (node, from, to) = (upstream.node.as_str(), &upstream.member, &relay.member);
    let (en, zh) = if same {
        ("they are the same organisation: this is a ring", "两者为同一单位，构成环路")
    } else {
        (
            "if they are the same node, or the second passes records on to the first, this is a ring",
            "如两者为同一节点，或后者又转送至前者，则构成环路",
        )
    };
    format!(
        "ring: {datasets} comes from upstream {from} ({node}) and goes to relay {to}; {en}. Lines that come back are refused \
         as relay.loop and counted as looped.  环路：{datasets} 来自上游 {from}（{node}），又发往转送方 {to}；{zh}。\
         回流的数据行以 relay.loop 拒收，并计入 looped 指标。"
    )
}
