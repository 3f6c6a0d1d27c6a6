//! Errors of the log files.

use std::io;
use std::path::PathBuf;

use crate::explain::explained;
use xinqiao_explain::{Explain, Explanation};

/// Why the log files do not do what was asked.
#[derive(Debug)]
pub enum LogError {
    /// The published checkpoint is not signed by this log, or is of another one.
    Checkpoint,
    /// A tile or bundle, named by its path, is missing or not what was written.
    Damaged(String),
    /// Entries between what is there and what was offered are missing.
    Gap {
        /// Entries there are.
        have: u64,
        /// Index of the first entry offered.
        offered: u64,
    },
    /// The entry with this index is there already and is another one.
    Differs {
        /// Its index.
        index: u64,
    },
    /// An entry exceeds 65,535 bytes.
    TooLong {
        /// Its index.
        index: u64,
    },
    /// A sync to a size outside of what is there.
    Size {
        /// Size asked for.
        asked: u64,
        /// Size synced before.
        synced: u64,
        /// Entries there are.
        have: u64,
    },
    /// An earlier sync failed; open the log again and replay the journal into it.
    Failed,
    /// The file system refused; nothing was published, and a later sync tries again.
    Io(PathBuf, io::Error),
}

impl Explain for LogError {
    fn explain(&self) -> Explanation {
        let (code, english, chinese) = match self {
            Self::Checkpoint => (
                "log.checkpoint",
                "log/checkpoint is not a checkpoint of this log; restore log/ from backup".to_owned(),
                "log/checkpoint 不是本日志的检查点，请从备份恢复 log/".to_owned(),
            ),
            Self::Damaged(tile) => (
                "log.damaged",
                format!("log/{tile} is missing or damaged; restore it from backup or a mirror"),
                format!("log/{tile} 缺失或损坏，请从备份或镜像恢复"),
            ),
            Self::Gap { have, offered } => (
                "log.gap",
                format!(
                    "log/ holds {have} entries, the journal continues at {offered}; restore log/ from backup"
                ),
                format!("log/ 仅有 {have} 条，而日志从第 {offered} 条继续，请从备份恢复 log/"),
            ),
            Self::Differs { index } => (
                "log.differs",
                format!(
                    "entry {index} in log/ differs from the journal's; log/ and journal/ are not of one node, restore both"
                ),
                format!("log/ 第 {index} 条与日志不一致，两者不属于同一节点，请一并恢复"),
            ),
            Self::TooLong { index } => (
                "log.entry-too-long",
                format!("entry {index} exceeds 65,535 bytes; this is a fault of the program, report it"),
                format!("第 {index} 条超过 65535 字节，属程序缺陷，请报告"),
            ),
            Self::Size { asked, synced, have } => (
                "log.size",
                format!(
                    "cannot sync to {asked} entries: {synced} are synced and {have} there; this is a fault of the program, report it"
                ),
                format!("无法同步至 {asked} 条：已同步 {synced} 条，共 {have} 条，属程序缺陷，请报告"),
            ),
            Self::Failed => (
                "log.sync-failed",
                "the disk did not confirm log/ earlier; it is opened again and written anew from the journal, check the disk".to_owned(),
                "磁盘此前未确认 log/ 的写入，将重新打开并由日志重写，请检查磁盘".to_owned(),
            ),
            Self::Io(path, error) => (
                "store.io",
                format!("cannot use {}: {}; check permissions, mount and disk", path.display(), error.kind()),
                format!("无法使用 {}（{}），请检查权限、挂载与磁盘", path.display(), error.kind()),
            ),
        };
        Explanation::new(code, english, chinese)
    }
}

impl LogError {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            _ => None,
        }
    }
}
explained!(LogError, cause);
