//! Checkpoints met on the way: two of one log and one size must be the same, or the node shows two histories.

use crate::cli::Failure;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use xinqiao_evidence::Digest;
use xinqiao_evidence::tlog::Checkpoint;

#[derive(Default)]
pub(super) struct Witness {
    /// By log and size: the root, and where it was met first.
    met: HashMap<(String, u64), (Digest, PathBuf)>,
}

impl Witness {
    pub(super) fn note(&mut self, checkpoint: &Checkpoint, place: &Path) -> Result<(), Failure> {
        let log = (checkpoint.origin.clone(), checkpoint.size);
        let (root, first) = self.met.entry(log).or_insert_with(|| (checkpoint.root, place.to_owned()));
        if *root == checkpoint.root {
            return Ok(());
        }
        Err(Failure::Unverified(format!(
            "{} and {} hold two signed roots of one log at {} entries: the node shows two histories; keep both and report it  同一日志在 {} 条处有两个已签名的根：节点出现两套历史，请保留两份并报告",
            first.display(),
            place.display(),
            checkpoint.size,
            checkpoint.size
        )))
    }
}
