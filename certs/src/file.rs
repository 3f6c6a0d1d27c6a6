//! Reading files that officers name.

use std::path::Path;

use crate::trouble::unusable;
use xinqiao_explain::Explanation;

/// No file of certificates, keys or revocation lists is larger.
const LARGEST: u64 = 64 << 20;

/// The bytes of a regular file of bearable size. Whatever else may stand at the path, such as a pipe, could keep the reader
/// waiting for ever.
pub fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let found = std::fs::metadata(path)?;
    if found.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    if !found.is_file() {
        return Err(std::io::ErrorKind::Unsupported.into());
    }
    if found.len() > LARGEST {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    std::fs::read(path)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Explanation> {
    read_file(path).map_err(|error| {
        unusable(
            "file.unreadable",
            &path.display().to_string(),
            format!("cannot be read ({error}); check the path and its permissions"),
            format!("无法读取（{error}），请检查路径与权限"),
        )
    })
}
