//! Writing certificates and keys where a service will read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use super::authority::{Authority, Issued};
use crate::pair;
use xinqiao_explain::Explanation;

impl Issued {
    /// Writes `<name>.crt` and `<name>.key` into a directory that exists; the key is readable by its owner only.
    pub fn write_to(&self, directory: &Path, name: &str) -> Result<(), Explanation> {
        let (certificate, key) =
            (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
        write_pair(&certificate, self.chain_pem().as_bytes(), &key, self.key_pem().as_bytes())
    }
}

impl Authority {
    /// Writes `<name>.crt` (own chain up to the root) and `<name>.key`.
    pub fn write_to(&self, directory: &Path, name: &str) -> Result<(), Explanation> {
        write_private(&directory.join(format!("{name}.key")), self.key_pem().as_bytes())?;
        write_public(&directory.join(format!("{name}.crt")), self.chain_pem().as_bytes())
    }
}

/// Writes a secret, mode 0600 from its first byte, replacing the file whole.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Explanation> {
    replace(path, bytes, 0o600).map_err(|error| cannot_write(path, &error))
}

/// Writes a file others may read, replacing it whole.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), Explanation> {
    replace(path, bytes, 0o644).map_err(|error| cannot_write(path, &error))
}

/// Replaces a certificate and its key together: both are written and synced beside the old ones, then renamed under a lock
/// that [`crate::Identity::from_files`] honours, the key first, the certificate last. A program that watches the certificate
/// therefore finds the new key when it looks; one that does not lock and looks in the instant between sees a pair that does
/// not match, and must look again. The old certificate (not its key) stays as `<certificate>.previous`, so that it can be named
/// when it is revoked.
pub fn write_pair(
    certificate: &Path,
    certificate_pem: &[u8],
    key: &Path,
    key_pem: &[u8],
) -> Result<(), Explanation> {
    let write = |path: &Path, bytes: &[u8], mode| {
        beside(path, bytes, mode).map_err(|error| cannot_write(path, &error))
    };
    let new_key = write(key, key_pem, 0o600)?;
    let new_certificate = write(certificate, certificate_pem, 0o644)?;
    match fs::read(certificate) {
        Ok(old) => write_public(&previous(certificate), &old)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot_write(certificate, &error)),
    }
    let _hold = pair::to_replace(certificate);
    fs::rename(new_key, key).map_err(|error| cannot_write(key, &error))?;
    fs::rename(new_certificate, certificate).map_err(|error| cannot_write(certificate, &error))?;
    sync_directory(certificate).map_err(|error| cannot_write(certificate, &error))
}

/// Where the certificate goes that was in this place before.
pub fn previous(certificate: &Path) -> PathBuf {
    let mut beside = certificate.as_os_str().to_owned();
    beside.push(".previous");
    beside.into()
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    fs::rename(beside(path, bytes, mode)?, path)?;
    sync_directory(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Writes what will take `path`'s place into a file next to it.
fn beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
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
    if let Err(error) = keep_owner(path, &file) {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(beside)
}

/// Gives the new file to whoever owns the one it replaces, or to whoever owns the directory if it is the first: an
/// administrator who renews a service's key must not take it away from the service.
fn keep_owner(path: &Path, new: &File) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let replaced = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    let model = match replaced {
        Some(model) => model,
        None => fs::metadata(directory)?,
    };
    let made = new.metadata()?;
    if (model.uid(), model.gid()) == (made.uid(), made.gid()) {
        return Ok(());
    }
    match fchown(new, Some(model.uid()), Some(model.gid())) {
        // In a directory that others share the first file is simply ours; one that is replaced was somebody's.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && made.uid() != 0 => {
            if model.uid() == made.uid() || model.is_dir() {
                return Ok(());
            }
            Err(not_given(&model, &error))
        }
        Err(error) => Err(not_given(&model, &error)),
        Ok(()) => Ok(()),
    }
}

fn not_given(model: &fs::Metadata, error: &io::Error) -> io::Error {
    let (user, group) = (model.uid(), model.gid());
    io::Error::new(
        error.kind(),
        format!(
            "it cannot be given to user {user}, group {group}, whose file it replaces: {error}; run this as that user or as root"
        ),
    )
}

pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Explanation {
    let path = path.display();
    Explanation::new(
        "file.unwritable",
        format!("{path} cannot be written ({error}); check the directory and its permissions"),
        format!("无法写入 {path}（{error}），请检查目录与权限"),
    )
}
