//! `keys`: the node's own keys, made, shown, rotated, sealed, backed up and put back. What changes keys asks for the node
//! to be stopped; a running one is rotated through its officers.

mod backup;
mod rotate;
mod status;

use super::Failure;
use crate::console::say;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use xinqiao_node::config::{self, Config};
use xinqiao_node::keyring::{Keyring, KeyringError, reseal};

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make the keys of a new node; refuses to touch existing ones (生成密钥)
    Init(Where),
    /// Print the public keys (JWKS), for recipients to pin (公钥)
    Public(Where),
    /// Every key with its state, age and days left (密钥状态)
    Status(status::Status),
    /// Give a key its successor, the node being stopped (轮换)
    Rotate(rotate::Rotate),
    /// Seal the key files as [keys] says, the node being stopped (更换保护方式)
    Seal(Seal),
    /// Write all keys, the record secret too, into one encrypted file (密钥备份)
    Backup(backup::Backup),
    /// Put a key backup into an empty directory of keys (密钥恢复)
    Restore(backup::Restore),
    /// Prove that a key backup opens and fits the running keys; writes nothing (恢复演练)
    Drill(backup::Drill),
}

/// Which keys.
#[derive(Args)]
pub(crate) struct Where {
    /// The node's configuration file
    #[arg(long, required_unless_present = "dir")]
    config: Option<PathBuf>,
    /// Or the directory itself, with plain keys
    #[arg(long, conflicts_with = "config")]
    dir: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Seal {
    /// The node's configuration file; its [keys] says how keys are to be sealed
    #[arg(long)]
    config: PathBuf,
    /// The passphrase file the keys are sealed with now, if another
    #[arg(long)]
    old_passphrase_file: Option<PathBuf>,
    /// The systemd credential the keys are sealed with now, if another
    #[arg(long)]
    old_credential: Option<String>,
}

impl From<KeyringError> for Failure {
    fn from(e: KeyringError) -> Self {
        Failure::Failed(e.to_string())
    }
}

fn load(path: &std::path::Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|e| Failure::Failed(e.to_string()))
}

/// Holds the data directory, so that no node runs with the keys meanwhile.
fn stopped(config: &Config) -> Result<xinqiao_store::DataDir, Failure> {
    xinqiao_store::DataDir::open(&config.node.data).map_err(|e| {
        Failure::Failed(format!(
            "{}; stop the node first; a running one is rotated by its officers with `xinqiao admin`  请先停止节点；运行中的节点由安全管理员用 xinqiao admin 轮换",
            xinqiao_node::engine::OpenNodeError::from(e)
        ))
    })
}

impl Where {
    fn find(self) -> Result<(PathBuf, config::Keys), Failure> {
        match (self.dir, self.config) {
            (Some(dir), _) => Ok((dir, config::Keys::default())),
            (None, Some(path)) => {
                let config = load(&path)?;
                Ok((config.node.keys, config.keys))
            }
            (None, None) => {
                Err(Failure::Usage("--config or --dir is needed  请给出 --config 或 --dir".into()))
            }
        }
    }
}

impl Keys {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Keys::Init(place) => {
                let (dir, settings) = place.find()?;
                Keyring::init_as(&dir, &settings)?;
                say(format!(
                    "keys were made in {}; back them up now with `xinqiao keys backup`, apart from the data",
                    dir.display()
                ));
                say(
                    "密钥已生成，请立即用 `xinqiao keys backup` 与数据分开备份：记录密钥一旦丢失，已共享的记录将无法撤回。",
                );
                Ok(())
            }
            Keys::Public(place) => {
                let (dir, settings) = place.find()?;
                say(Keyring::open(&dir, &settings)?.published().to_string());
                Ok(())
            }
            Keys::Status(status) => status.run(),
            Keys::Rotate(rotate) => rotate.run(),
            Keys::Seal(seal) => seal.run(),
            Keys::Backup(backup) => backup.run(),
            Keys::Restore(restore) => restore.run(),
            Keys::Drill(drill) => drill.run(),
        }
    }
}

impl Seal {
    fn run(self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let _held = stopped(&config)?;
        let mut from = config.keys.clone();
        if self.old_passphrase_file.is_some() {
            from.passphrase_file = self.old_passphrase_file;
        }
        if self.old_credential.is_some() {
            from.credential = self.old_credential;
        }
        reseal(&config.node.keys, &from, &config.keys)?;
        Keyring::open(&config.node.keys, &config.keys)?;
        say("the keys are sealed as [keys] says, and open  密钥已按 [keys] 的设置封存，并可正常打开");
        Ok(())
    }
}
