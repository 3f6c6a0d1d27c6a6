//! What can go wrong with the register. Nothing of it is lost for good: it is built again from the journal.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use xinqiao_explain::{Explain, Explanation};

use crate::explain::explained;
use crate::keys::KeyFault;

/// Why the register does not open or did not answer.
#[derive(Debug)]
pub enum RegisterError {
    /// A file is missing or not as it was written. Until it is discarded ([`crate::Register::discard`]) and built again
    /// from the journal, the register does not open again; every answer it gives meanwhile is exact or this error.
    Damaged(PathBuf),
    /// The register's key is wrapped by an at-rest key that was not given. Not a fault of the register: bring that key.
    KeyUnknown(PathBuf, u32),
    /// The file system refused.
    Io(PathBuf, io::Error),
}

impl RegisterError {
    /// Whether only discarding the register and building it again helps.
    pub fn must_rebuild(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }

    /// Of a file that should be there and be read. One that ends too early or is something else is damaged, and so is one
    /// whose medium no longer gives it (`EIO`).
    pub(super) fn reading(path: &Path, error: io::Error) -> Self {
        let damaged = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::NotFound
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::NotADirectory
        );
        if damaged || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) {
            return Self::Damaged(path.to_owned());
        }
        Self::Io(path.to_owned(), error)
    }

    fn cause(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Damaged(_) | Self::KeyUnknown(..) => None,
        }
    }
}
explained!(RegisterError, cause);

impl From<KeyFault> for RegisterError {
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::Io(path, error) => Self::reading(&path, error),
            KeyFault::Unknown(path, id) => Self::KeyUnknown(path, id),
            KeyFault::Damaged(path) => Self::Damaged(path),
        }
    }
}

impl Explain for RegisterError {
    fn explain(&self) -> Explanation {
        let (code, english, chinese) = match self {
            Self::Damaged(path) => (
                "register.damaged",
                format!(
                    "{} is missing or damaged; start the node again: it builds the register anew from the journal, nothing is lost",
                    path.display()
                ),
                format!("{} 缺失或损坏，请重新启动节点，登记簿将由日志重建，不会丢失数据", path.display()),
            ),
            Self::KeyUnknown(path, id) => (
                "store.key-unknown",
                format!(
                    "{} is wrapped by at-rest key {id}, which was not given; add that key to the key file",
                    path.display()
                ),
                format!("{} 由静态密钥 {id} 封装，但未提供该密钥，请将其加入密钥文件", path.display()),
            ),
            Self::Io(path, error) => (
                "store.io",
                format!(
                    "cannot read or write {}: {}; check permissions, mount and disk",
                    path.display(),
                    error.kind()
                ),
                format!("无法读写 {}（{}），请检查权限、挂载与磁盘", path.display(), error.kind()),
            ),
        };
        Explanation::new(code, english, chinese)
    }
}
