//! Keeping a certificate file and its key file together while one process replaces and another reads them.
//!
//! Both lock the certificate's directory, for the moment of the two renames or reads. A lock that cannot be had within half a
//! second is done without: the pair is checked in any case.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Released when it is dropped.
#[must_use]
pub(crate) struct Hold(#[expect(dead_code, reason = "it is held, not looked at")] Option<File>);

/// Nobody replaces the pair meanwhile.
pub(crate) fn to_read(certificate: &Path) -> Hold {
    hold(certificate, File::try_lock_shared)
}

/// Nobody reads the pair meanwhile.
pub(crate) fn to_replace(certificate: &Path) -> Hold {
    hold(certificate, File::try_lock)
}

fn hold(certificate: &Path, lock: impl Fn(&File) -> Result<(), TryLockError>) -> Hold {
    let directory = certificate.parent().filter(|parent| !parent.as_os_str().is_empty());
    let Ok(directory) = File::open(directory.unwrap_or(Path::new("."))) else { return Hold(None) };
    for _ in 0..TRIES {
        match lock(&directory) {
            Ok(()) => return Hold(Some(directory)),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(_)) => break,
        }
    }
    Hold(None)
}
