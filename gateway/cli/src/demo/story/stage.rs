//! The stage: certificates, configurations and three running nodes.

use super::cast::{departments, spoil, today};
use super::{Broken, CITY, NATION, Options, PROVINCE, Story};
use crate::demo::federation::{DATASETS, Department, NodePlan, Pki, Recipient, Upstream, free_port};
use crate::demo::process::{NodeProcess, this_program};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use xinqiao_certs::Role;
use xinqiao_schemas::SubjectKind;

impl<'o> Story<'o> {
    pub(super) fn prepare(options: &'o Options) -> Result<Self, Broken> {
        let dir = &options.dir;
        let pki = Pki::create(&dir.join("pki"))?;
        let today = today();
        let mut senders = departments(options, today);
        for (role, name) in [
            (Role::Node, "city"),
            (Role::Node, "province-node"),
            (Role::Node, "nation-node"),
            (Role::Relay, "province"),
            (Role::Relay, "nation"),
            (Role::Recipient, "portal"),
            (Role::Recipient, "agency"),
            (Role::Recipient, "province-archive"),
            (Role::Recipient, "nation-archive"),
        ] {
            pki.issue(role, name)?;
        }
        for s in &senders {
            pki.issue(Role::Department, s.name)?;
        }
        let (city_port, province_port, nation_port) = (free_port()?, free_port()?, free_port()?);
        let streams =
            |recipient: &str| DATASETS.iter().map(|(d, _)| format!("{recipient}.{d}")).collect::<Vec<_>>();
        let recipient = |name, role, policy, encoding| Recipient { name, role, policy, encoding };
        let city = NodePlan {
            name: CITY,
            certificate: "city",
            port: city_port,
            local: 0,
            departments: senders
                .iter()
                .map(|s| Department { name: s.name, title: s.title, authorities: &s.authorities })
                .collect(),
            recipients: vec![
                recipient("province", Role::Relay, "province-government", "zstd"),
                recipient("portal", Role::Recipient, "portal-public", "gzip"),
                recipient("agency", Role::Recipient, "agency-authorised", "gzip"),
            ],
            upstreams: Vec::new(),
            extra: String::new(),
        };
        // The province has not registered the authorities of the third department: their records come back.
        let registered: Vec<String> =
            senders[..2].iter().flat_map(|s| s.authorities.iter().map(|(code, _)| code.clone())).collect();
        let city_config = city.write(&dir.join("city"), &pki)?;
        let province = NodePlan {
            name: PROVINCE,
            certificate: "province-node",
            port: province_port,
            local: 0,
            departments: Vec::new(),
            recipients: vec![
                recipient("nation", Role::Relay, "nation-government", "zstd"),
                recipient("province-archive", Role::Recipient, "province-government", "gzip"),
            ],
            upstreams: vec![Upstream {
                name: "city",
                node: CITY,
                port: city_port,
                keys: dir.join("city/keys.json"),
                shown: "province",
                streams: streams("province"),
                authorities: registered,
            }],
            extra: String::new(),
        };
        let province_config = province.write(&dir.join("province"), &pki)?;
        let nation = NodePlan {
            name: NATION,
            certificate: "nation-node",
            port: nation_port,
            local: 0,
            departments: Vec::new(),
            recipients: vec![recipient("nation-archive", Role::Recipient, "nation-government", "gzip")],
            upstreams: vec![Upstream {
                name: "province-node",
                node: PROVINCE,
                port: province_port,
                keys: dir.join("province/keys.json"),
                shown: "nation",
                streams: streams("nation"),
                authorities: vec!["11*".into()],
            }],
            extra: String::new(),
        };
        let nation_config = nation.write(&dir.join("nation"), &pki)?;
        let program = this_program()?;
        let start = |name: &str, config: &Path| {
            NodeProcess::start(&program, config, &dir.join(format!("{name}.log")))
        };
        let city = start("city", &city_config)?;
        let province = start("province", &province_config)?;
        let nation = start("nation", &nation_config)?;
        let person = senders[0].shown(SubjectKind::NaturalPerson).cloned();
        let victim = senders[0].shown(SubjectKind::LegalPerson).cloned();
        spoil(&mut senders, options.seed, today);
        let story = Self {
            options,
            pki,
            city,
            province,
            nation,
            senders,
            sent: Vec::new(),
            accepted: 0,
            refused: 0,
            warned: 0,
            why: BTreeMap::new(),
            pulled: BTreeMap::new(),
            rejected: 0,
            person,
            victim,
        };
        story.step("Three nodes, started as processes", "三个节点已作为独立进程启动");
        for (name, node) in [(CITY, &story.city), (PROVINCE, &story.province), (NATION, &story.nation)] {
            story.tell(
                format!("{name}  https://{}  health http://{}/readyz", node.exchange, node.local),
                json!({"step": "started", "node": name, "exchange": node.exchange.to_string(), "local": node.local.to_string()}),
            );
        }
        Ok(story)
    }
}
