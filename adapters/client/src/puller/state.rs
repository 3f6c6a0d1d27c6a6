//! `state.json`: where a recipient stands.

use serde::{Deserialize, Serialize};
use std::path::Path;
use xinqiao_evidence::chain::Chain;

use super::folder::Folder;
use crate::durable;
use crate::error::ClientError;

const NAME: &str = "state.json";
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    v: u32,
    pub(super) chain: Chain,
    /// Every batch up to here is acknowledged.
    pub(super) acknowledged: u64,
    /// The newest checkpoint of the node's log, as signed.
    pub(super) checkpoint: Option<String>,
}

impl State {
    pub(super) fn new(chain: Chain, acknowledged: u64, checkpoint: Option<String>) -> Self {
        Self { v: VERSION, chain, acknowledged, checkpoint }
    }

    pub(super) fn load(folder: &Folder, stream: &str) -> Result<Option<Self>, ClientError> {
        let path = folder.path(NAME);
        match Self::read(&path)? {
            Some(state) if state.chain.stream() != stream => Err(foreign(&path)),
            other => Ok(other),
        }
    }

    fn read(path: &Path) -> Result<Option<Self>, ClientError> {
        let Some(bytes) = durable::read(path)? else { return Ok(None) };
        let state: Self = serde_json::from_slice(&bytes).map_err(|error| {
            ClientError::setting(
                path.display().to_string(),
                format!("line {} is not what this program wrote; restore the file from a copy, or start in an empty directory", error.line()),
                format!("第 {} 行不是本程序写入的内容，请恢复该文件，或换用空目录重新开始", error.line()),
            )
        })?;
        if state.v == VERSION { Ok(Some(state)) } else { Err(foreign(path)) }
    }

    pub(super) fn store(&self, folder: &Folder) -> Result<(), ClientError> {
        let mut text = serde_json::to_vec_pretty(self).expect("a state is plain data");
        text.push(b'\n');
        folder.write(NAME, &text)
    }

    /// Puts the old epoch's files aside and begins again at 1. Archiving twice changes nothing, so a crash in between is harmless.
    pub(super) fn adopt(&mut self, folder: &Folder, epoch: u64) -> Result<(), ClientError> {
        folder.archive(self.chain.epoch())?;
        self.chain.adopt_epoch(epoch);
        self.acknowledged = 0;
        self.checkpoint = None;
        self.store(folder)
    }
}

fn foreign(path: &Path) -> ClientError {
    ClientError::setting(
        path.display().to_string(),
        "is of another version or another stream; use the program that wrote it, or another directory",
        "属于其他版本或其他数据流，请使用写入它的程序，或换用其他目录",
    )
}

/// Where a stream's directory says that its recipient stands. Nobody signed this; it is compared with what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedState {
    /// The place in the stream.
    pub chain: Chain,
    /// Every batch up to here is acknowledged.
    pub acknowledged: u64,
    /// The newest checkpoint of the node's log, as signed.
    pub checkpoint: Option<String>,
}

impl FollowedState {
    /// Reads `state.json` of a stream's directory; `None` if there is none. Takes no lock: a puller may be at work.
    pub fn of_directory(directory: &Path) -> Result<Option<Self>, ClientError> {
        let state = State::read(&directory.join(NAME))?;
        Ok(state.map(|s| Self { chain: s.chain, acknowledged: s.acknowledged, checkpoint: s.checkpoint }))
    }
}
