//! `state.json`: where a recipient stands.

use serde::{Deserialize, Serialize};
use xinqiao_evidence::chain::Chain;

use super::folder::Folder;
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
        let Some(bytes) = folder.read(NAME)? else { return Ok(None) };
        let place = || folder.path(NAME).display().to_string();
        let state: Self = serde_json::from_slice(&bytes).map_err(|error| {
            ClientError::setting(
                place(),
                format!("line {} is not what this program wrote; restore the file from a copy, or start in an empty directory", error.line()),
                format!("第 {} 行不是本程序写入的内容，请恢复该文件，或换用空目录重新开始", error.line()),
            )
        })?;
        if state.v != VERSION || state.chain.stream() != stream {
            return Err(ClientError::setting(
                place(),
                "is of another version or another stream; use the program that wrote it, or another directory",
                "属于其他版本或其他数据流，请使用写入它的程序，或换用其他目录",
            ));
        }
        Ok(Some(state))
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
