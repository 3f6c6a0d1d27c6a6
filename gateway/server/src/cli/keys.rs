//! `keys`: the node's own keys.

use super::Failure;
use super::console::say;
use crate::config::Config;
use crate::engine::secrets::Secrets;
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make the keys of a new node; refuses to touch existing ones
    Init {
        /// The node's configuration file
        #[arg(long, required_unless_present = "dir")]
        config: Option<PathBuf>,
        /// Or the directory itself
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Print the public keys (JWKS), for recipients to pin
    Public {
        /// The node's configuration file
        #[arg(long, required_unless_present = "dir")]
        config: Option<PathBuf>,
        /// Or the directory itself
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

fn directory(config: Option<PathBuf>, dir: Option<PathBuf>) -> Result<PathBuf, Failure> {
    match (dir, config) {
        (Some(dir), _) => Ok(dir),
        (None, Some(config)) => {
            Ok(Config::load(&config).map_err(|e| Failure::Failed(e.to_string()))?.node.keys)
        }
        (None, None) => Err(Failure::Usage("--config or --dir is needed".into())),
    }
}

impl Keys {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let failed = |e: crate::engine::secrets::SecretsError| Failure::Failed(e.to_string());
        match self {
            Keys::Init { config, dir } => {
                let dir = directory(config, dir)?;
                Secrets::init(&dir).map_err(failed)?;
                say(format!(
                    "keys were made in {}; back this directory up, apart from the data",
                    dir.display()
                ));
                say("密钥已生成，请立即将该目录与数据分开备份：记录密钥一旦丢失，已共享的记录将无法撤回。");
            }
            Keys::Public { config, dir } => {
                let secrets = Secrets::load(&directory(config, dir)?).map_err(failed)?;
                say(secrets.jwks().to_json());
            }
        }
        Ok(())
    }
}
