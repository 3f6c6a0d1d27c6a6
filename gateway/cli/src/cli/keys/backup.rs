//! `keys backup`, `restore` and `drill`.

use super::{Failure, load};
use crate::console::{self, say};
use clap::Args;
use std::path::PathBuf;
use xinqiao_node::keyring;

#[derive(Args)]
pub(crate) struct Backup {
    /// The node's configuration file
    #[arg(long)]
    config: PathBuf,
    /// The file to write; it must not exist
    #[arg(long)]
    to: PathBuf,
    /// A file, mode 0600, with the passphrase of the backup; not the one that seals the keys
    #[arg(long)]
    passphrase_file: PathBuf,
}

#[derive(Args)]
pub(crate) struct Restore {
    /// The node's configuration file; its [keys] says how the keys are sealed from now on
    #[arg(long)]
    config: PathBuf,
    /// The key backup
    #[arg(long)]
    from: PathBuf,
    /// The file with the passphrase of the backup
    #[arg(long)]
    passphrase_file: PathBuf,
}

#[derive(Args)]
pub(crate) struct Drill {
    /// The node's configuration file
    #[arg(long)]
    config: PathBuf,
    /// The key backup
    #[arg(long)]
    from: PathBuf,
    /// The file with the passphrase of the backup
    #[arg(long)]
    passphrase_file: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

fn tell_of_token(kids: &[String]) {
    for kid in kids {
        say(format!(
            "not in the backup, for it lives in the token: {kid}; back the token up by its own means  该密钥在令牌中，不在备份内，请用令牌自身的方式备份"
        ));
    }
}

impl Backup {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let backup = keyring::Backup::take(&config.node.keys, &config.keys)?;
        backup.write(&self.to, &self.passphrase_file, &config.keys)?;
        tell_of_token(&backup.in_token());
        say(format!(
            "{}: all keys, read back and checked; record secret {}; keep file and passphrase apart  密钥已备份并回读校验，记录密钥指纹 {}，文件与口令请分开保管",
            self.to.display(),
            backup.fingerprint(),
            backup.fingerprint()
        ));
        Ok(())
    }
}

impl Restore {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let backup = keyring::Backup::read(&self.from, &self.passphrase_file)?;
        backup.restore(&config.node.keys, &config.keys)?;
        tell_of_token(&backup.in_token());
        keyring::Keyring::open(&config.node.keys, &config.keys)?;
        say(format!(
            "the keys are in {} and open; record secret {}  密钥已恢复并可打开，记录密钥指纹 {}",
            config.node.keys.display(),
            backup.fingerprint(),
            backup.fingerprint()
        ));
        Ok(())
    }
}

impl Drill {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let backup = keyring::Backup::read(&self.from, &self.passphrase_file)?;
        let drill = backup.drill(&config.node.keys, &config.keys)?;
        if self.json {
            console::json(&serde_json::json!(drill));
        } else {
            tell_of_token(&drill.in_token);
            say(format!("record secret {}: {}  记录密钥", drill.fingerprint, verdict(drill.record)));
            say(format!("at-rest keys: {}  静态加密密钥", verdict(drill.at_rest)));
            drill.opened.iter().for_each(|kid| say(format!("{kid}: opens  可用")));
            drill.lacking.iter().for_each(|kid| {
                say(format!("{kid}: not in the backup, made since  备份之后生成，备份中没有"))
            });
        }
        if drill.passed() {
            return Ok(());
        }
        Err(Failure::Unverified(if drill.record {
            "the backup is older than keys in use; make a new one with `xinqiao keys backup`  备份早于现用密钥，请重新备份".into()
        } else {
            "the backup is of another node: its record secret is not the running one's  备份属于另一节点：记录密钥不一致".into()
        }))
    }
}

fn verdict(same: bool) -> &'static str {
    if same { "the same 一致" } else { "NOT the running one's 不一致" }
}
