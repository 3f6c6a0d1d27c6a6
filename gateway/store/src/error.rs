//! Errors of the journal and of opening the store, split by what the caller can do about them.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use crate::Position;
use crate::explain::explained;
use crate::keys::KeyFault;
use xinqiao_explain::{Explain, Explanation};

/// Bytes that are not what was written: where they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Number of the segment.
    pub segment: u64,
    /// Number of the frame in it.
    pub frame: u64,
    /// Byte offset in the file.
    pub offset: u64,
}

/// Something known elsewhere that the journal no longer holds: an older copy was put back, or its end was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rollback {
    /// Last intact frame of the journal, if it holds any.
    pub end: Option<Position>,
    /// What refers past it.
    pub known: Known,
}

/// Who refers past the end of the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// A position the caller passed in (the queue's).
    Referenced(Position),
    /// The mark of the last clean shutdown.
    CleanMark(Option<Position>),
    /// The closing record of the last segment counts more frames.
    Closed(Position),
    /// A segment this late was retired, so there were later ones.
    Retired(u64),
    /// The synced log files hold more entries than the journal ever appended.
    LogSize(u64),
    /// Intact frames follow a damaged one; the caller chose to give them up.
    Damage(Damage),
}

/// Why the store does not open.
#[derive(Debug)]
pub enum OpenError {
    /// Another process, or another part of this one, has the directory open.
    Locked(PathBuf),
    /// The directory is of another version of the store.
    Format(PathBuf),
    /// The file system refused.
    Io(PathBuf, io::Error),
    /// A data key is wrapped by an at-rest key that was not given.
    KeyUnknown(PathBuf, u32),
    /// A data key's side file is damaged, missing, or does not open.
    KeyDamaged(PathBuf),
    /// A frame with intact frames after it is damaged, or a closed segment is.
    Damaged(Damage),
    /// A segment is gone that was never retired.
    Missing(u64),
    /// The journal ends before something that refers to it.
    Rollback(Rollback),
}

impl Explain for OpenError {
    fn explain(&self) -> Explanation {
        let (code, english, chinese) = match self {
            Self::Locked(path) => (
                "store.locked",
                format!("{} is in use by another process; stop that one first", path.display()),
                format!("{} 正被另一进程使用，请先停止该进程", path.display()),
            ),
            Self::Format(path) => (
                "store.format",
                format!(
                    "{} names a format this version cannot read; use the version that wrote it, or a newer one",
                    path.display()
                ),
                format!("{} 记录的格式本版本无法读取，请使用写入它的版本或更新版本", path.display()),
            ),
            Self::Io(path, error) => (
                "store.io",
                format!("cannot use {}: {}; check permissions, mount and disk", path.display(), error.kind()),
                format!("无法使用 {}（{}），请检查权限、挂载与磁盘", path.display(), error.kind()),
            ),
            Self::KeyUnknown(path, id) => (
                "store.key-unknown",
                format!(
                    "{} is wrapped by at-rest key {id}, which was not given; add that key to the key file",
                    path.display()
                ),
                format!("{} 由静态密钥 {id} 封装，但未提供该密钥，请将其加入密钥文件", path.display()),
            ),
            Self::KeyDamaged(path) => (
                "store.key-damaged",
                format!(
                    "{} is missing or damaged, or another key has its id; restore it from backup",
                    path.display()
                ),
                format!("{} 缺失、损坏或密钥编号重复，请从备份恢复", path.display()),
            ),
            Self::Damaged(damage) => (
                "journal.damaged",
                format!("{}; copy the disk, then restore the segment from backup", damage.english()),
                format!("{}；请先复制磁盘，再从备份恢复该段", damage.chinese()),
            ),
            Self::Missing(segment) => (
                "journal.segment-missing",
                format!("segment {segment:016x} is gone and was never retired; restore it from backup"),
                format!("日志段 {segment:016x} 缺失且未曾归档，请从备份恢复"),
            ),
            Self::Rollback(rollback) => (
                "journal.rollback",
                format!(
                    "{}; nothing was written: restore the newer journal, or decide to open a new epoch",
                    rollback.english()
                ),
                format!("{}；未写入任何数据：请恢复较新的日志，或由负责人决定开启新纪元", rollback.chinese()),
            ),
        };
        Explanation::new(code, english, chinese)
    }
}

impl OpenError {
    fn cause(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            _ => None,
        }
    }
}
explained!(OpenError, cause);

impl Damage {
    fn english(&self) -> String {
        format!("segment {:016x}, frame {}, offset {} is damaged", self.segment, self.frame, self.offset)
    }
    fn chinese(&self) -> String {
        format!("日志段 {:016x} 第 {} 帧（偏移 {}）已损坏", self.segment, self.frame, self.offset)
    }
}

impl Rollback {
    fn english(&self) -> String {
        let end = self.end.map_or_else(|| "before its first frame".to_owned(), |end| format!("at {end}"));
        let known = match self.known {
            Known::Referenced(position) => format!("the queue has applied {position}"),
            Known::CleanMark(Some(position)) => format!("the last clean shutdown was at {position}"),
            Known::CleanMark(None) => "the last clean shutdown saw another journal".to_owned(),
            Known::Closed(position) => format!("its closing record names {position}"),
            Known::Retired(segment) => format!("segment {segment:016x} was retired after it"),
            Known::LogSize(size) => format!("the log files hold {size} entries"),
            Known::Damage(damage) => format!("{} with intact frames after it", damage.english()),
        };
        format!("the journal ends {end}, but {known}")
    }
    fn chinese(&self) -> String {
        let end = self.end.map_or_else(
            || "首帧之前".to_owned(),
            |end| format!("段 {:016x} 第 {} 帧", end.segment, end.frame),
        );
        let place = |position: Position| format!("段 {:016x} 第 {} 帧", position.segment, position.frame);
        let known = match self.known {
            Known::Referenced(position) => format!("队列已应用至{}", place(position)),
            Known::CleanMark(Some(position)) => format!("上次正常停机位于{}", place(position)),
            Known::CleanMark(None) => "上次正常停机时为另一份日志".to_owned(),
            Known::Closed(position) => format!("封段记录为{}", place(position)),
            Known::Retired(segment) => format!("其后的日志段 {segment:016x} 已归档"),
            Known::LogSize(size) => format!("存证日志已有 {size} 条"),
            Known::Damage(damage) => format!("{}，其后仍有完好帧", damage.chinese()),
        };
        format!("日志止于{end}，但{known}")
    }
}

impl From<KeyFault> for OpenError {
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::Io(path, error) if error.kind() == io::ErrorKind::NotFound => Self::KeyDamaged(path),
            KeyFault::Io(path, error) => Self::Io(path, error),
            KeyFault::Unknown(path, id) => Self::KeyUnknown(path, id),
            KeyFault::Damaged(path) => Self::KeyDamaged(path),
        }
    }
}

/// Why a frame was not appended.
#[derive(Debug)]
pub enum AppendError {
    /// No space. Nothing of the frame is durable; appending works again once there is space.
    Full(io::Error),
    /// The frame may or may not be durable: the segment is retired and the frame is void once a later append
    /// succeeds. The same frame may be sent again.
    OutcomeUnknown(io::Error),
    /// No segment could be opened. Nothing of the frame is durable.
    Unavailable(io::Error),
    /// The frame exceeds the limits of the format (64 MiB, 65,535 items).
    TooLarge,
    /// Another writer has taken the directory over; this journal writes no more.
    Fenced,
}

impl Explain for AppendError {
    fn explain(&self) -> Explanation {
        let (code, english, chinese) = match self {
            Self::Full(_) => (
                "journal.full",
                "the disk is full, nothing was stored; free space and send again",
                "磁盘已满，未存储任何数据，请释放空间后重新发送",
            ),
            Self::OutcomeUnknown(_) => (
                "outcome-unknown",
                "the disk did not confirm the write; send again with the same Idempotency-Key",
                "磁盘未确认写入，请使用相同的 Idempotency-Key 重新发送",
            ),
            Self::Unavailable(_) => (
                "journal.unavailable",
                "the journal cannot open a segment, nothing was stored; check permissions, mount and disk",
                "无法打开日志段，未存储任何数据，请检查权限、挂载与磁盘",
            ),
            Self::TooLarge => (
                "journal.frame-too-large",
                "the frame exceeds 64 MiB or 65,535 items; commit it in parts",
                "单帧超过 64 MiB 或 65535 项，请分批提交",
            ),
            Self::Fenced => (
                "journal.fenced",
                "another process has taken over the data directory; this one must stop",
                "另一进程已接管数据目录，本进程必须停止",
            ),
        };
        Explanation::new(code, english.to_owned(), chinese.to_owned())
    }
}

impl AppendError {
    fn cause(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Full(error) | Self::OutcomeUnknown(error) | Self::Unavailable(error) => Some(error),
            Self::TooLarge | Self::Fenced => None,
        }
    }
}
explained!(AppendError, cause);

/// Why something stored cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The bytes, or the place or stream they are read for, are not those that were stored.
    Damaged(Damage),
    /// The reference points past the end, or into payload that was deleted with its segment.
    Gone(Position),
    /// A segment in the middle is missing.
    Missing(u64),
    /// The segment's key does not open.
    Key(PathBuf),
    /// The file system refused.
    Io(PathBuf, io::Error),
}

impl Explain for ReadError {
    fn explain(&self) -> Explanation {
        let (code, english, chinese) = match self {
            Self::Damaged(damage) => (
                "journal.damaged",
                format!("{}; restore the segment from backup", damage.english()),
                format!("{}；请从备份恢复该段", damage.chinese()),
            ),
            Self::Gone(position) => (
                "journal.gone",
                format!("{position} no longer holds this item; it was deleted when its retention ended"),
                format!("段 {:016x} 第 {} 帧已无此项，保存期满后已删除", position.segment, position.frame),
            ),
            Self::Missing(segment) => (
                "journal.segment-missing",
                format!("segment {segment:016x} is gone and was never retired; restore it from backup"),
                format!("日志段 {segment:016x} 缺失且未曾归档，请从备份恢复"),
            ),
            Self::Key(path) => (
                "store.key-damaged",
                format!("{} does not open; add its at-rest key or restore it from backup", path.display()),
                format!("{} 无法解开，请提供对应静态密钥或从备份恢复", path.display()),
            ),
            Self::Io(path, error) => (
                "store.io",
                format!(
                    "cannot read {}: {}; check permissions, mount and disk",
                    path.display(),
                    error.kind()
                ),
                format!("无法读取 {}（{}），请检查权限、挂载与磁盘", path.display(), error.kind()),
            ),
        };
        Explanation::new(code, english, chinese)
    }
}

impl ReadError {
    fn cause(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            _ => None,
        }
    }
}
explained!(ReadError, cause);

impl From<KeyFault> for ReadError {
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::Io(path, error) if error.kind() != io::ErrorKind::NotFound => Self::Io(path, error),
            KeyFault::Io(path, _) | KeyFault::Unknown(path, _) | KeyFault::Damaged(path) => Self::Key(path),
        }
    }
}

/// Why a segment was not retired. Nothing was deleted, unless it says that the archive is complete.
#[derive(Debug)]
pub enum RetireError {
    /// It is the newest segment; roll and append first.
    Active,
    /// No such segment.
    Unknown(u64),
    /// Log entries of the segment are not synced in `log/` yet: it holds fewer than this many.
    LogBehind(u64),
    /// The segment does not read; it is kept.
    Read(ReadError),
    /// The file system refused; calling again continues.
    Io(PathBuf, io::Error),
}

impl Explain for RetireError {
    fn explain(&self) -> Explanation {
        let (code, english, chinese) = match self {
            Self::Active => (
                "journal.segment-active",
                "this is the newest segment; it can be retired once a later one was begun".to_owned(),
                "这是最新的日志段，需在后续日志段启用后才能归档".to_owned(),
            ),
            Self::Unknown(segment) => (
                "journal.segment-unknown",
                format!("there is no segment {segment:016x}"),
                format!("不存在日志段 {segment:016x}"),
            ),
            Self::LogBehind(size) => (
                "journal.log-behind",
                format!("the log files are not synced up to entry {size}; sync them first"),
                format!("存证日志尚未落盘至第 {size} 条，请先同步"),
            ),
            Self::Read(error) => return error.explain(),
            Self::Io(path, error) => (
                "store.io",
                format!(
                    "cannot write {}: {}; check permissions, mount and disk",
                    path.display(),
                    error.kind()
                ),
                format!("无法写入 {}（{}），请检查权限、挂载与磁盘", path.display(), error.kind()),
            ),
        };
        Explanation::new(code, english, chinese)
    }
}

impl RetireError {
    fn cause(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Read(error) => error.cause(),
            _ => None,
        }
    }
}
explained!(RetireError, cause);
