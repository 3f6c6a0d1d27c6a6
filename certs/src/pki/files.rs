//! Writing certificates and keys where a service will read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::PkiError;
use super::authority::{Authority, Issued};

impl Issued {
    /// Writes `<name>.crt` and `<name>.key` into a directory that exists; the key is readable by its owner only.
    pub fn write_to(&self, directory: &Path, name: &str) -> Result<(), PkiError> {
        write_private(&directory.join(format!("{name}.key")), self.key_pem().as_bytes())?;
        write_public(&directory.join(format!("{name}.crt")), self.chain_pem().as_bytes())
    }
}

impl Authority {
    /// Writes `<name>.crt` (own chain up to the root) and `<name>.key`.
    pub fn write_to(&self, directory: &Path, name: &str) -> Result<(), PkiError> {
        write_private(&directory.join(format!("{name}.key")), self.key_pem().as_bytes())?;
        write_public(&directory.join(format!("{name}.crt")), self.chain_pem().as_bytes())
    }
}

/// Writes a secret, mode 0600 from its first byte, replacing the file whole.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), PkiError> {
    replace(path, bytes, 0o600).map_err(|error| cannot_write(path, &error))
}

/// Writes a file others may read, replacing it whole.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), PkiError> {
    replace(path, bytes, 0o644).map_err(|error| cannot_write(path, &error))
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn cannot_write(path: &Path, error: &io::Error) -> PkiError {
    let path = path.display();
    PkiError::new(
        "file.unwritable",
        format!("{path} cannot be written ({error}); check the directory and its permissions"),
        format!("无法写入 {path}（{error}），请检查目录与权限"),
    )
}
