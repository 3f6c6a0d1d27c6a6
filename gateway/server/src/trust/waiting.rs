//! Settings of the configuration that take effect at the next start only.

use xinqiao_node::config::Config;

/// Settings of the configuration that were changed in the file but take effect at the next start only.
pub(super) fn say(started: &[(&'static str, String)], config: &Config) {
    let now = settings(config);
    let changed = started.iter().zip(&now).filter(|(then, now)| then.1 != now.1);
    let names: Vec<&str> = changed.map(|(then, _)| then.0).collect();
    if !names.is_empty() {
        let names = names.join(", ");
        tracing::warn!(
            settings = names,
            "these settings were changed in the file and take effect at the next start  上述设置已在文件中修改，重启后生效"
        );
    }
}

/// The settings this module does not put in force, each under its name.
pub(super) fn settings(config: &Config) -> Vec<(&'static str, String)> {
    let dialled: Vec<_> =
        config.upstreams.iter().map(|u| (&u.member, &u.url, &u.address, &u.streams)).collect();
    let served: Vec<_> = config
        .recipients
        .iter()
        .map(|r| {
            (&r.member, &r.policy, &r.datasets, r.encoding, r.push.as_ref().map(|p| (&p.url, &p.address)))
        })
        .collect();
    vec![
        ("node", format!("{:?}", config.node)),
        ("exchange.listen", format!("{:?} {}", config.exchange.listen, config.exchange.front_proxy)),
        ("admin", format!("{:?}", config.admin)),
        ("legacy", format!("{:?}", config.legacy)),
        ("local", format!("{:?}", config.local)),
        ("officers", format!("{:?}", config.officers)),
        ("keys", format!("{:?}", config.keys)),
        ("recipients", format!("{served:?}")),
        ("upstreams", format!("{dialled:?}")),
        ("limits", format!("{:?}", config.limits)),
        ("storage", format!("{:?}", config.storage)),
        ("logging", format!("{:?}", config.logging)),
    ]
}
