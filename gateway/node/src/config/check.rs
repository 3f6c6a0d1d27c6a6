//! What a configuration must hold to beyond its form.

use super::{Config, Member, is_member_name};
use std::collections::BTreeSet;
use xinqiao_certs::Role;
use xinqiao_exchange::names::StreamId;

/// Everything wrong with it, each with a way out.
pub(super) fn problems(config: &Config) -> Vec<String> {
    let mut all = Vec::new();
    let mut names = BTreeSet::new();
    for m in &config.members {
        if !is_member_name(&m.name) {
            all.push(format!(
                "member `{}`: a name is 1 to 63 lower-case letters, digits and inner hyphens",
                m.name
            ));
        }
        if !names.insert(&m.name) {
            all.push(format!("member `{}` stands twice; names are unique", m.name));
        }
        all.extend(member_problems(m));
    }
    for r in &config.recipients {
        match config.members.iter().find(|m| m.name == r.member) {
            None => all.push(format!("recipient `{}` is no member; add it under [[members]]", r.member)),
            Some(m) if !matches!(m.role, Role::Recipient | Role::Relay) => {
                all.push(format!(
                    "recipient `{}`: its role is {}; it must be recipient or relay",
                    r.member, m.role
                ));
            }
            Some(_) => {}
        }
        if let Some(p) = &r.push
            && !p.url.starts_with("https://")
        {
            all.push(format!("recipient `{}`: `push.url` must begin with https://", r.member));
        }
    }
    for u in &config.upstreams {
        match config.members.iter().find(|m| m.name == u.member) {
            None => all.push(format!("upstream `{}` is no member; add it under [[members]]", u.member)),
            Some(m) if m.role != Role::Node || m.source.is_none() => {
                all.push(format!("upstream `{}`: its member needs the role node and `source`", u.member));
            }
            Some(_) => {}
        }
        for s in &u.streams {
            if StreamId::parse(s).is_err() {
                all.push(format!("upstream `{}`: `{s}` is not <recipient>.<dataset>[~history]", u.member));
            }
        }
        if !u.url.starts_with("https://") {
            all.push(format!("upstream `{}`: `url` must begin with https://", u.member));
        }
    }
    if config.node.keys.starts_with(&config.node.data) {
        all.push(
            "`node.keys` lies inside `node.data`; keep secrets apart so that a copy of the data has no keys"
                .into(),
        );
    }
    if !config.local.listen.ip().is_loopback() {
        all.push(
            "`local.listen` must be a loopback address; health and metrics have no access control".into(),
        );
    }
    if !(1..=100).contains(&config.limits.member_memory_percent) {
        all.push("`limits.member_memory_percent` is 1 to 100".into());
    }
    if config.limits.decoded_bytes < config.limits.body_bytes {
        all.push("`limits.decoded_bytes` is below `limits.body_bytes`".into());
    }
    all
}

/// What is wrong with one member's entry, each with a way out.
pub(crate) fn member_problems(m: &Member) -> Vec<String> {
    let mut all = Vec::new();
    match (&m.source, m.role) {
        (Some(s), Role::Department | Role::Node) => {
            if s.authorities.is_empty() {
                all.push(format!(
                    "member `{}`: `authorities` is empty; nothing it sends could be accepted",
                    m.name
                ));
            }
            all.extend(
                s.authorities.iter().filter_map(|a| a.problem()).map(|p| format!("member `{}`: {p}", m.name)),
            );
            if m.role == Role::Department && s.authorities.iter().any(|a| a.code.ends_with('*')) {
                all.push(format!(
                    "member `{}`: a pattern in `code` is for nodes only; name the authority",
                    m.name
                ));
            }
        }
        (Some(_), role) => {
            all.push(format!("member `{}`: a {role} sends no records; remove `source`", m.name));
        }
        (None, Role::Department) => {
            all.push(format!(
                "member `{}`: a department needs `source` (datasets, unit, authorities)",
                m.name
            ));
        }
        (None, _) => {}
    }
    all
}
