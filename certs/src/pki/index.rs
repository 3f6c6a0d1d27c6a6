//! What a small authority did, one JSON line each, written before the certificate or list leaves its hands.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use xinqiao_crypto::hex;

use super::authority::{Reason, Revoked};
use super::files::cannot_write;
use xinqiao_explain::Explanation;

/// One line of the index. Times are seconds since 1970, serial numbers lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Entry {
    /// The authority was made.
    Created {
        /// When.
        time: u64,
        /// Its name.
        name: String,
        /// The trust domains it issues for.
        domains: Vec<String>,
    },
    /// A certificate was issued.
    Issued {
        /// When.
        time: u64,
        /// Its serial number.
        serial: String,
        /// The SPIFFE URI in it.
        uri: String,
        /// The organisation's unified social credit code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uscc: Option<String>,
        /// Its last second.
        not_after: u64,
        /// SHA-256 of the certificate.
        sha256: String,
    },
    /// A certificate was revoked.
    Revoked {
        /// When.
        time: u64,
        /// Its serial number.
        serial: String,
        /// Why.
        reason: Reason,
    },
    /// A revocation list was signed.
    List {
        /// When.
        time: u64,
        /// Its number.
        number: u64,
        /// Signed by the root instead of the issuing authority.
        #[serde(default)]
        root: bool,
        /// Its next update.
        next_update: u64,
    },
}

/// The index of an authority, locked while it is open so that two commands do not give one number twice.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
}

impl Index {
    /// Begins an index; refuses to touch one that is there.
    pub(super) fn create(path: &Path) -> Result<Self, Explanation> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| cannot_write(path, &error))?;
        lock(path, &file)?;
        Ok(Self { path: path.to_owned(), file, entries: Vec::new() })
    }

    /// Opens and reads an index.
    pub fn open(path: &Path) -> Result<Self, Explanation> {
        let unreadable = |error: &std::io::Error| {
            Explanation::new(
                "pki.no-authority",
                format!(
                    "{}: cannot be read ({error}); name the directory `certs ca init` made",
                    path.display()
                ),
                format!("{}：无法读取（{error}），请指定 certs ca init 所建的目录", path.display()),
            )
        };
        let mut file = OpenOptions::new().read(true).append(true).open(path).map_err(|e| unreadable(&e))?;
        lock(path, &file)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|e| unreadable(&e))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let entries = parse(path, &text[..whole])?;
        if whole < text.len() {
            // A line that was cut never left this machine: the certificate is handed out after it is written.
            file.set_len(whole as u64).map_err(|error| cannot_write(path, &error))?;
        }
        file.seek(SeekFrom::End(0)).map_err(|error| cannot_write(path, &error))?;
        Ok(Self { path: path.to_owned(), file, entries })
    }

    /// Adds a line; it is on the disk when this returns.
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), Explanation> {
        let mut line = serde_json::to_string(&entry).expect("an entry is plain data");
        line.push('\n');
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| cannot_write(&self.path, &error))?;
        self.entries.push(entry);
        Ok(())
    }

    /// Everything, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The domains it was made for.
    pub(super) fn domains(&self) -> Vec<String> {
        let created = self.entries.iter().find_map(|entry| match entry {
            Entry::Created { domains, .. } => Some(domains.clone()),
            _ => None,
        });
        created.unwrap_or_default()
    }

    /// Whether it issued this serial number.
    pub fn issued(&self, serial: &str) -> bool {
        self.entries.iter().any(|e| matches!(e, Entry::Issued { serial: own, .. } if own == serial))
    }

    /// Whether it revoked this serial number.
    pub fn revoked(&self, serial: &str) -> bool {
        self.entries.iter().any(|e| matches!(e, Entry::Revoked { serial: own, .. } if own == serial))
    }

    /// The next number of a list.
    pub(super) fn next_number(&self, of_root: bool) -> u64 {
        let last = self.entries.iter().filter_map(|entry| match entry {
            Entry::List { number, root, .. } if *root == of_root => Some(*number),
            _ => None,
        });
        last.max().unwrap_or(0) + 1
    }

    /// What a list has to name: revoked, and not over by itself.
    pub(super) fn to_list(&self, now: u64) -> Vec<Revoked> {
        let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
        let mut named = BTreeSet::new();
        let mut list = Vec::new();
        for entry in &self.entries {
            match entry {
                Entry::Issued { serial, not_after, .. } => {
                    ends.insert(serial, *not_after);
                }
                Entry::Revoked { time, serial, reason } => {
                    let over = ends.get(serial.as_str()).is_some_and(|end| *end < now);
                    if !over
                        && named.insert(serial)
                        && let Some(serial) = hex::decode(serial)
                    {
                        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(*time);
                        list.push(Revoked { serial, time, reason: *reason });
                    }
                }
                _ => {}
            }
        }
        list
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, Explanation> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = lines.map(|(number, line)| {
        serde_json::from_str(line).map_err(|error| {
            let place = format!("{}:{}", path.display(), number + 1);
            Explanation::new(
                "pki.index-damaged",
                format!("{place}: the line cannot be read ({error}); restore the index from its backup"),
                format!("{place}：该行无法读取（{error}），请从备份恢复索引"),
            )
        })
    });
    read.collect()
}

fn lock(path: &Path, file: &File) -> Result<(), Explanation> {
    file.lock().map_err(|error| cannot_write(path, &error))
}
