//! `backup` and `restore`: the data directory, while the node runs or not. Keys are backed up apart from it.

use super::Failure;
use crate::console::say;
use clap::Args;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use xinqiao_node::config::Config;

#[derive(Args)]
pub(crate) struct Backup {
    /// The node's configuration file
    #[arg(long)]
    config: PathBuf,
    /// A new directory for the copy
    #[arg(long)]
    into: PathBuf,
    /// A directory for the keys of journal segments; keep only its newest state, so that what was erased here is
    /// erased in every backup too
    #[arg(long)]
    segment_keys: PathBuf,
}

#[derive(Args)]
pub(crate) struct Restore {
    /// The node's configuration file
    #[arg(long)]
    config: PathBuf,
    /// A copy that `backup` made
    #[arg(long)]
    from: PathBuf,
    /// The newest keys of journal segments
    #[arg(long)]
    segment_keys: PathBuf,
}

/// The log first: it must not be ahead of the journal copied after it. Archives last: a segment that is retired
/// meanwhile is in one of the two or in both, and opening the store sorts that out. The queue is rebuilt.
const PARTS: [&str; 3] = ["log", "journal", "evidence"];

fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|e| Failure::Failed(e.to_string()))
}

impl Backup {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let data = load(&self.config)?.node.data;
        if self.into.exists() {
            return Err(Failure::Usage(format!("{} exists; name a new directory", self.into.display())));
        }
        std::fs::create_dir_all(&self.into)?;
        let mut bytes = 0;
        for part in PARTS {
            bytes += copy(&data.join(part), &self.into.join(part), &|name| {
                part == "journal" && name.ends_with(".key")
            })?;
        }
        std::fs::copy(data.join("format"), self.into.join("format"))?;
        self.copy_segment_keys(&data.join("journal"))?;
        say(format!(
            "{bytes} bytes copied to {}; the keys directory must be backed up too, apart from it",
            self.into.display()
        ));
        say(format!("已备份 {bytes} 字节；密钥目录须另行备份，不得与数据放在一起。"));
        Ok(())
    }
}

impl Backup {
    /// The directory of segment keys is made to hold exactly those that still exist.
    fn copy_segment_keys(&self, journal: &Path) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.segment_keys)?;
        for entry in std::fs::read_dir(&self.segment_keys)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_string_lossy().ends_with(".key") && !journal.join(&name).exists() {
                std::fs::remove_file(entry.path())?;
            }
        }
        copy(journal, &self.segment_keys, &|name| !name.ends_with(".key")).map(|_| ())
    }
}

impl Restore {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let data = load(&self.config)?.node.data;
        let empty = match std::fs::read_dir(&data) {
            Ok(mut entries) => entries.next().is_none(),
            Err(e) if e.kind() == ErrorKind::NotFound => true,
            Err(e) => return Err(e.into()),
        };
        if !empty {
            return Err(Failure::Usage(format!("{} is not empty; move it away first", data.display())));
        }
        std::fs::create_dir_all(&data)?;
        for part in PARTS {
            copy(&self.from.join(part), &data.join(part), &|_| false)?;
        }
        copy(&self.segment_keys, &data.join("journal"), &|name| !name.ends_with(".key"))?;
        std::fs::copy(self.from.join("format"), data.join("format"))?;
        std::fs::write(data.join(xinqiao_node::engine::RESTORED), b"restored\n")?;
        say("restored; the node will begin a new epoch at its next start, and recipients must adopt it");
        say("已恢复。节点下次启动将开启新的纪元，请通知各接收方确认后继续拉取。");
        Ok(())
    }
}

/// Copies a tree but for what `skip` names. A file that vanishes meanwhile was retired; its archive is copied.
fn copy(from: &Path, to: &Path, skip: &dyn Fn(&str) -> bool) -> Result<u64, Failure> {
    std::fs::create_dir_all(to)?;
    let mut bytes = 0;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if skip(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            bytes += copy(&entry.path(), &target, skip)?;
            continue;
        }
        match std::fs::copy(entry.path(), &target) {
            Ok(n) => bytes += n,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(e.into()),
        }
        std::fs::File::open(&target)?.sync_all()?;
    }
    Ok(bytes)
}
