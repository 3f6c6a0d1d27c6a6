//! `serve` and `check`.

use super::Failure;
use crate::console;
use crate::console::say;
use clap::Args;
use std::path::PathBuf;
use xinqiao_exchange::plan::Plan;
use xinqiao_node::config::{Config, shared_authorities};
use xinqiao_node::decisions::Overlay;
use xinqiao_node::keyring::Keyring;
use xinqiao_server::trust::TrustKeeper;

mod rings;

#[derive(Args)]
pub(crate) struct ConfigArgs {
    /// The node's configuration file
    #[arg(long)]
    pub(crate) config: PathBuf,
}

impl ConfigArgs {
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config).map_err(|e| Failure::Failed(e.to_string()))
    }

    pub(crate) fn serve(self) -> Result<(), Failure> {
        xinqiao_server::serve::run(self.load()?).map_err(|e| Failure::Failed(e.to_string()))
    }

    /// Everything that can be found wrong without starting; all of it, not just the first.
    pub(crate) fn check(self) -> Result<(), Failure> {
        let config = self.load()?;
        let mut wrong = Vec::new();
        say("configuration: ok  配置文件：正常");
        match TrustKeeper::open(&config, &Overlay::default()) {
            Ok(keeper) => match keeper.wanting() {
                none if none.is_empty() => say("certificates and members: ok  证书与成员：正常"),
                wanting => wrong.extend(
                    wanting.iter().map(|why| format!("{} [{}] {}", why.english(), why.code(), why.chinese())),
                ),
            },
            Err(e) => wrong.push(e.to_string()),
        }
        let secrets = match Keyring::open(&config.node.keys, &config.keys) {
            Ok(s) => {
                say("keys: ok  密钥：正常");
                Some(s)
            }
            Err(e) => {
                wrong.push(e.to_string());
                None
            }
        };
        for ring in rings::found(&config) {
            say(format!("note: {ring}"));
        }
        for shared in shared_authorities(&config.members) {
            say(format!("note: {shared}"));
        }
        match xinqiao_node::engine::catalogue(&config) {
            Err(e) => wrong.push(e.to_string()),
            Ok(catalogue) => {
                let mut warned = 0;
                for finding in catalogue.check() {
                    warned += 1;
                    say(format!("note: {}: {}  {}", finding.schema, finding.en, finding.zh));
                }
                for r in &config.recipients {
                    for schema in r.datasets.values() {
                        for finding in catalogue.check_route(schema, &r.policy) {
                            warned += 1;
                            say(format!("note: recipient {}: {}  {}", r.member, finding.en, finding.zh));
                        }
                    }
                }
                say(format!("catalogue: ok, {warned} notes  目录：正常，{warned} 条提示"));
                if let Some(secrets) = secrets {
                    match Plan::compile(
                        &catalogue,
                        &xinqiao_node::engine::recipients(&config, &config.members),
                        &secrets.record,
                    ) {
                        Ok(plan) => {
                            for d in plan.datasets().filter(|d| !d.schemas.is_empty()) {
                                let schemas: Vec<&str> = d.schemas.iter().map(|s| s.schema.id()).collect();
                                let to: Vec<&str> = d.recipients.iter().map(|r| r.name.as_str()).collect();
                                say(format!(
                                    "{}: taken as {}; goes to {}",
                                    d.dataset.id(),
                                    schemas.join(", "),
                                    to.join(", ")
                                ));
                            }
                        }
                        Err(e) => wrong.push(e.to_string()),
                    }
                }
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        for w in &wrong {
            console::complain(w);
        }
        Err(Failure::Failed(format!(
            "{} problem(s) found; the node would not start, or would refuse members",
            wrong.len()
        )))
    }
}
