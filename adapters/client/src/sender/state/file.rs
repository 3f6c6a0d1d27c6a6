//! `sender.state` on disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::SendSettings;
use super::super::folder::{Folder, error_at};
use super::super::key::Secret;
use super::State;
use super::line::{self, Event, Header, Queued, SubmissionOutcome};
use crate::client::Client;
use crate::durable::{self, Readers};
use crate::error::ClientError;

const NAME: &str = "sender.state";
const FORMAT: &str = "xinqiao-sender";
const VERSION: u32 = 1;
/// Lines out of date that are not worth writing the file anew for.
const SPARE: u64 = 1024;

pub(in crate::sender) struct StateFile {
    path: PathBuf,
    file: File,
    header: Header,
    secret: Secret,
    state: State,
    remember: usize,
    /// The check of the last line.
    last: String,
    /// Length of the lines that are good.
    length: u64,
    lines: u64,
    /// A write whose fate is not known: nothing is added to the file through this handle any more.
    broken: bool,
}

impl StateFile {
    /// Reads the file, or makes it.
    pub(in crate::sender) fn open(
        folder: &Folder,
        client: &Client,
        settings: &SendSettings,
    ) -> Result<Self, ClientError> {
        let path = folder.path(NAME);
        let member = client.member();
        if durable::read(&path)?.is_none() {
            let secret = Secret::generate()?.as_hex().to_owned();
            let (format, gateway) = (FORMAT.to_owned(), client.gateway().to_owned());
            let header = Header { format, v: VERSION, gateway, member: member.clone(), secret };
            let mut bytes = Vec::new();
            line::write(&mut bytes, "", &header);
            durable::write_whole(&path, &bytes, Readers::Owner)?;
        }
        let bytes = durable::read(&path)?.unwrap_or_default();
        let mut read = read(&path, &bytes, settings.remember.max(1))?;
        let moved = read.header.gateway != client.gateway();
        if moved && !settings.adopt_gateway {
            return Err(error_at(
                &path,
                "sender.other-gateway",
                &format!(
                    "the folder's submissions go to {}; use another folder for {}, or adopt the gateway if this is its new address",
                    read.header.gateway,
                    client.gateway()
                ),
                &format!(
                    "该目录的报送对象是 {}；向 {} 报送请换用其他目录，如网关仅更换地址，请显式采用新地址",
                    read.header.gateway,
                    client.gateway()
                ),
            ));
        }
        if let (Some(known), Some(now)) = (&read.header.member, &member)
            && known != now
        {
            return Err(error_at(
                &path,
                "sender.other-member",
                &format!(
                    "the folder is of {known}, the certificate of {now}; use another folder, or that member's certificate"
                ),
                &format!("该目录属于 {known}，而证书属于 {now}；请换用其他目录或该成员的证书"),
            ));
        }
        let file = append_to(&path)?;
        if read.length < bytes.len() as u64 {
            let cut = file.set_len(read.length).and_then(|()| file.sync_all());
            cut.map_err(|error| ClientError::local(&path, error))?;
        }
        let named = read.header.member.is_none() && member.is_some();
        read.header.gateway = client.gateway().to_owned();
        read.header.member = read.header.member.or(member);
        let mut opened = Self {
            file,
            secret: Secret::new(read.header.secret.clone()),
            header: read.header,
            state: read.state,
            remember: settings.remember.max(1),
            last: read.last,
            length: read.length,
            lines: read.lines,
            broken: false,
            path,
        };
        if moved || named || opened.is_mostly_old() {
            opened.write_anew()?;
        }
        Ok(opened)
    }

    /// Takes a step: it is on disk when this returns. After an error it was not taken; only when the disk would not
    /// sync is that not known, and then nothing more is taken until the file is read again.
    pub(in crate::sender) fn append(&mut self, event: Event) -> Result<(), ClientError> {
        if self.broken {
            return Err(error_at(
                &self.path,
                "sender.reopen",
                "an earlier write failed and what it left is not known; open the folder again once the disk is well",
                "此前写入失败，结果未知；请在磁盘恢复后重新打开该目录",
            ));
        }
        let mut bytes = Vec::new();
        let last = line::write(&mut bytes, &self.last, &event);
        if let Err(error) = self.file.write_all(&bytes) {
            // What was written of it goes, so that the next line begins where a line begins.
            self.broken = self.file.set_len(self.length).is_err();
            return Err(ClientError::local(&self.path, error));
        }
        if let Err(error) = self.file.sync_data() {
            // The kernel may have dropped what it could not write and reports that only once: never tried again.
            self.broken = true;
            return Err(ClientError::local(&self.path, error));
        }
        self.last = last;
        self.length += bytes.len() as u64;
        self.lines += 1;
        self.state.apply(event, self.remember);
        if self.is_mostly_old() {
            self.write_anew_if_possible();
        }
        Ok(())
    }

    pub(in crate::sender) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// In the order they were offered in.
    pub(in crate::sender) fn waiting(&self) -> impl Iterator<Item = &Queued> {
        self.state.waiting.iter()
    }

    /// Keys of submissions of which nothing was taken.
    pub(in crate::sender) fn refused(&self) -> impl Iterator<Item = &str> {
        let outcomes = self.state.outcomes.values().map(|(_, outcome)| outcome);
        outcomes.filter(|one| matches!(one.outcome, SubmissionOutcome::Refused(_))).map(|one| &*one.key)
    }

    pub(in crate::sender) fn outcome(&self, key: &str) -> Option<&SubmissionOutcome> {
        self.state.outcomes.get(key).map(|(_, outcome)| &outcome.outcome)
    }

    /// The content a key stands for.
    pub(in crate::sender) fn content(&self, key: &str) -> Option<&str> {
        let waiting = self.state.waiting.iter().find(|queued| queued.key == key);
        let settled = || self.state.outcomes.get(key).map(|(_, outcome)| outcome.content());
        waiting.map(|queued| &*queued.content).or_else(settled)
    }

    pub(in crate::sender) fn feedback(&self) -> u64 {
        self.state.feedback
    }

    /// Whether a receipt from this node and epoch is from elsewhere than the one before; for the first there is none
    /// before.
    pub(in crate::sender) fn is_elsewhere(&self, at: &(String, u64)) -> Option<bool> {
        self.state.node.as_ref().map(|known| known != at)
    }

    /// Refusals forgotten since this was asked last.
    pub(in crate::sender) fn forgotten(&mut self) -> Vec<String> {
        std::mem::take(&mut self.state.forgotten)
    }

    fn is_mostly_old(&self) -> bool {
        let needed = (self.state.outcomes.len() + self.state.waiting.len() + 2) as u64;
        self.lines > 2 * needed + SPARE
    }

    /// The same state in the fewest lines, put in the file's place whole.
    fn write_anew(&mut self) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        let mut last = line::write(&mut bytes, "", &self.header);
        let events = self.state.events();
        for event in &events {
            last = line::write(&mut bytes, &last, event);
        }
        // A new file under the old name, so that a crash leaves one of the two whole. The handle must follow: lines
        // added to the old file would be lost.
        durable::write_whole(&self.path, &bytes, Readers::Owner)?;
        self.file = append_to(&self.path)?;
        (self.last, self.length, self.lines) = (last, bytes.len() as u64, events.len() as u64 + 1);
        Ok(())
    }

    /// The step that came before is on disk; room or not, it was taken. A file that stayed goes on growing.
    fn write_anew_if_possible(&mut self) {
        if self.write_anew().is_err() {
            let inode = |found: io::Result<std::fs::Metadata>| found.map(|found| found.ino()).ok();
            let same = inode(self.file.metadata()) == inode(std::fs::metadata(&self.path));
            // Once the new file has the name, lines added to the old one would be lost.
            self.broken = !same;
        }
    }
}

fn append_to(path: &Path) -> Result<File, ClientError> {
    OpenOptions::new().append(true).open(path).map_err(|error| ClientError::local(path, error))
}

/// What a file holds.
struct Read {
    header: Header,
    state: State,
    last: String,
    length: u64,
    lines: u64,
}

fn read(path: &Path, bytes: &[u8], remember: usize) -> Result<Read, ClientError> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let (text, mut last) =
        first.strip_suffix(b"\n").and_then(|line| line::read("", line)).ok_or_else(|| damaged(path, 1))?;
    let header = header(path, text)?;
    let mut state = State::default();
    let (mut length, mut count) = (first.len() as u64, 1);
    for line in lines {
        // A write that was cut short: its step was not taken, and `append` never returned for it.
        let Some(text) = line.strip_suffix(b"\n") else { break };
        let (text, check) = line::read(&last, text).ok_or_else(|| damaged(path, count + 1))?;
        let event: Event = serde_json::from_slice(text).map_err(|_| other_version(path))?;
        state.apply(event, remember);
        (last, length, count) = (check, length + line.len() as u64, count + 1);
    }
    // Their files are cleared away with the rest when the folder is opened.
    state.forgotten.clear();
    Ok(Read { header, state, last, length, lines: count })
}

fn header(path: &Path, text: &[u8]) -> Result<Header, ClientError> {
    #[derive(serde::Deserialize)]
    struct Kind {
        format: String,
        v: u32,
    }
    let kind: Kind = serde_json::from_slice(text).map_err(|_| other_version(path))?;
    if kind.format != FORMAT || kind.v != VERSION {
        return Err(other_version(path));
    }
    serde_json::from_slice(text).map_err(|_| other_version(path))
}

fn damaged(path: &Path, line: u64) -> ClientError {
    error_at(
        path,
        "sender.state-damaged",
        &format!(
            "line {line} is not what this program wrote; restore the file from a copy, or move the whole folder aside and begin in an empty one: what it sent is then not known, and goes again if it is offered again"
        ),
        &format!(
            "第 {line} 行不是本程序写入的内容；请从备份恢复该文件，或将整个目录移开、换用空目录重新开始：此后无从得知已报送的内容，再次提交将重复报送"
        ),
    )
}

fn other_version(path: &Path) -> ClientError {
    error_at(
        path,
        "sender.state-version",
        "was written by another version of this program, or by another program; use that one, or another folder",
        "由其他版本或其他程序写入；请使用该程序，或换用其他目录",
    )
}

impl std::fmt::Debug for StateFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateFile")
            .field("path", &self.path)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) fn state_of(bytes: &[u8], remember: usize) -> Result<(State, u64), ClientError> {
    read(Path::new("sender.state"), bytes, remember).map(|read| (read.state, read.length))
}
