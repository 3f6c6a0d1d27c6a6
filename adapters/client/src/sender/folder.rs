//! A sender's folder: names of files, whole writes, one user at a time.

use serde::Deserialize;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use xinqiao_explain::Explanation;

use crate::durable::{self, Readers};
use crate::error::{ClientError, Finding, Problem};

const BODY: &str = ".body";
const RECEIPT: &str = ".receipt.json";
const REFUSAL: &str = ".refusal.json";

pub(super) struct Folder {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: durable::Lock,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, ClientError> {
        fs::create_dir_all(path).map_err(|error| ClientError::local(path, error))?;
        match durable::lock(path)? {
            Some(lock) => Ok(Self { path: path.to_owned(), _lock: lock }),
            None => Err(error_at(
                path,
                "sender.busy",
                "another program sends from this folder; let it finish or stop it, or use another folder",
                "另一程序正在使用该目录报送；请等其结束或先停止它，或换用其他目录",
            )),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn error(&self, code: &'static str, en: &str, zh: &str) -> ClientError {
        error_at(&self.path, code, en, zh)
    }

    /// Removes what a crash left: files that were never finished, records that wait no longer, refusals that no longer
    /// stand. Nothing else in the folder is touched.
    pub(super) fn clear(
        &self,
        waiting: &HashSet<String>,
        refused: &HashSet<String>,
    ) -> Result<(), ClientError> {
        let failed = |error| ClientError::local(&self.path, error);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str() else { continue };
            let ours = |name: &str| [BODY, RECEIPT, REFUSAL].iter().any(|end| name.ends_with(end));
            let unfinished = name.starts_with('.') && name.strip_suffix(".new").is_some_and(ours);
            let body = name.strip_prefix('.').and_then(|name| name.strip_suffix(BODY));
            let refusal = name.strip_suffix(REFUSAL);
            let left = |file: Option<&str>, standing: &HashSet<String>| {
                file.is_some_and(|file| is_file(file) && !standing.contains(file))
            };
            if unfinished || left(body, waiting) || left(refusal, refused) {
                durable::remove(&self.path(name))?;
            }
        }
        Ok(())
    }

    pub(super) fn body_path(&self, file: &str) -> PathBuf {
        self.path(&format!(".{file}{BODY}"))
    }

    pub(super) fn body(&self, file: &str) -> Result<Option<Vec<u8>>, ClientError> {
        durable::read(&self.body_path(file))
    }

    pub(super) fn write_body(&self, file: &str, body: &[u8]) -> Result<(), ClientError> {
        durable::write_whole(&self.body_path(file), body, Readers::Owner)
    }

    /// Writes records that should be there already, unless they are.
    pub(super) fn restore_body(&self, file: &str, body: &[u8]) -> Result<(), ClientError> {
        match self.body(file)? {
            Some(found) if found == body => Ok(()),
            _ => self.write_body(file, body),
        }
    }

    pub(super) fn remove_body(&self, file: &str) -> Result<(), ClientError> {
        durable::remove(&self.body_path(file))
    }

    /// Keeps a receipt under a name of its own; the name. The answer to a repeat is there already; another receipt of this
    /// name stays, and the new one gets a number. Readable as the user's mask has it, like any file: auditors read it too.
    pub(super) fn keep_receipt(&self, submission: &str, receipt: &[u8]) -> Result<String, ClientError> {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
        let stem: String = submission.chars().map(plain).collect();
        let mut name = format!("{stem}{RECEIPT}");
        for n in 2.. {
            match durable::read(&self.path(&name))? {
                Some(found) if found == receipt => {
                    // The sender that wrote it may have been killed before its name was durable.
                    durable::sync_directory(&self.path)?;
                    return Ok(name);
                }
                Some(_) => name = format!("{stem}-{n}{RECEIPT}"),
                None => break,
            }
        }
        durable::write_whole(&self.path(&name), receipt, Readers::Mask)?;
        Ok(name)
    }

    /// What a receipt says of single records.
    pub(super) fn findings(&self, receipt: &str) -> Result<Vec<Finding>, ClientError> {
        #[derive(Deserialize)]
        struct Receipt {
            rejected: Vec<Finding>,
        }
        Ok(self.json::<Receipt>(receipt)?.rejected)
    }

    pub(super) fn write_refusal(&self, file: &str, problem: &Problem) -> Result<(), ClientError> {
        let text = serde_json::to_vec(problem).expect("a problem is plain data");
        durable::write_whole(&self.path(&format!("{file}{REFUSAL}")), &text, Readers::Mask)
    }

    pub(super) fn refusal(&self, file: &str) -> Result<Problem, ClientError> {
        self.json(&format!("{file}{REFUSAL}"))
    }

    pub(super) fn remove_refusal(&self, file: &str) -> Result<(), ClientError> {
        durable::remove(&self.path(&format!("{file}{REFUSAL}")))
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, ClientError> {
        let path = self.path(name);
        let bytes = fs::read(&path).map_err(|error| ClientError::local(&path, error))?;
        serde_json::from_slice(&bytes).map_err(|_| {
            error_at(
                &path,
                "sender.file-damaged",
                "is not what the gateway sent; restore it from a copy",
                "内容不是网关所发，请从备份恢复",
            )
        })
    }
}

pub(super) fn error_at(path: &Path, code: &'static str, en: &str, zh: &str) -> ClientError {
    ClientError::Sender(Explanation::new(code, en.to_owned(), zh.to_owned()).at(path.display().to_string()))
}

/// Whether a name is one that [`super::key::Secret::file`] gives.
fn is_file(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_never_overwritten_and_a_repeat_adds_none() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let keep = |id: &str, text: &str| {
            let name = folder.keep_receipt(id, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(dir.path().join(&name)).unwrap(), text);
            name
        };
        assert_eq!(keep("7-k3", "first"), "7-k3.receipt.json");
        assert_eq!(keep("7-k3", "first"), "7-k3.receipt.json");
        assert_eq!(keep("7-k3", "of another node"), "7-k3-2.receipt.json");
        assert_eq!(keep("7-k3", "of a third"), "7-k3-3.receipt.json");
        assert_eq!(keep("7-k3", "of another node"), "7-k3-2.receipt.json");
        assert_eq!(keep("../8/..", "elsewhere"), "___8___.receipt.json");
        assert_eq!(fs::read_to_string(dir.path().join("7-k3.receipt.json")).unwrap(), "first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5, "four receipts and the lock");
    }

    #[test]
    fn only_what_a_crash_left_is_cleared_away() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let (waits, gone) = ("a".repeat(32), "b".repeat(32));
        let stay = [
            format!(".{waits}.body"),
            format!("{waits}.refusal.json"),
            "mine.body".into(),
            ".mine.body".into(),
            "mine.refusal.json".into(),
            ".mine.new".into(),
            "7-k3.receipt.json".into(),
            "records.csv".into(),
        ];
        let go = [
            format!(".{gone}.body"),
            format!("{gone}.refusal.json"),
            format!("..{waits}.body.new"),
            ".7-k3.receipt.json.new".into(),
            format!(".{gone}.refusal.json.new"),
        ];
        for name in stay.iter().chain(&go) {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let standing = HashSet::from([waits]);
        folder.clear(&standing, &standing).unwrap();
        assert!(stay.iter().all(|name| dir.path().join(name).exists()));
        assert!(!go.iter().any(|name| dir.path().join(name).exists()));
    }
}
