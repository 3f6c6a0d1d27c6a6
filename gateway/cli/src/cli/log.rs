//! `log`: a node's log, read and verified from its files, with nothing but a pinned key.

mod whole;

use super::Failure;
use crate::console::say;
use clap::Subcommand;
use std::path::{Path, PathBuf};
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::tlog::{Tile, TileKind, VerifiedCheckpoint, bundle_entries};

#[derive(Subcommand)]
pub(crate) enum Log {
    /// Compute every hash tile and the root from the entries and compare them with the files and the signed checkpoint
    Verify {
        /// The log directory (checkpoint, tile/…)
        dir: PathBuf,
        /// The node's public keys, a JWKS file
        #[arg(long)]
        keys: PathBuf,
        /// The node's name
        #[arg(long)]
        node: String,
    },
    /// Print entries, one JSON object a line
    Show {
        /// The log directory
        dir: PathBuf,
        /// First index
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// At most so many
        #[arg(long, default_value_t = u64::MAX)]
        limit: u64,
    },
}

impl Log {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Log::Verify { dir, keys, node } => {
                let note = std::fs::read_to_string(dir.join("checkpoint"))?;
                let jwks = std::fs::read(&keys)?;
                let jwks = Jwks::from_json(&jwks).map_err(|e| Failure::Usage(e.to_string()))?;
                let verified = VerifiedCheckpoint::open_with_jwks(&note, &node, &jwks)
                    .map_err(|e| Failure::Unverified(e.to_string()))?;
                let said = verified.checkpoint();
                let looked = whole::verify(&dir, said)?;
                say(format!(
                    "{} entries, {} hash tiles, root verified  共 {} 条，哈希块 {} 个，根已验证",
                    looked.entries, looked.tiles, looked.entries, looked.tiles
                ));
                if let Some(other) = looked.other {
                    say(format!(
                        "not looked at: {} file(s) beyond the checkpoint, such as {}  未检查：检查点之外的文件 {} 个，如 {}",
                        looked.others,
                        other.display(),
                        looked.others,
                        other.display()
                    ));
                }
                say(
                    "not looked at: whether another log was shown elsewhere (compare checkpoints with recipients), and the journal  未检查：是否向他处出示过另一份日志（请与接收方比对检查点）、流水日志文件",
                );
                Ok(())
            }
            Log::Show { dir, from, limit } => {
                let note = std::fs::read_to_string(dir.join("checkpoint"))?;
                let size = xinqiao_evidence::tlog::Checkpoint::unauthenticated(&note)
                    .map_err(|e| Failure::Failed(e.to_string()))?
                    .size;
                entries(&dir, from, size.min(from.saturating_add(limit)), &mut |_, entry| {
                    say(String::from_utf8_lossy(entry));
                })
            }
        }
    }
}

/// Shows the entries from one index up to another.
fn entries(dir: &Path, from: u64, to: u64, each: &mut dyn FnMut(u64, &[u8])) -> Result<(), Failure> {
    let note = std::fs::read_to_string(dir.join("checkpoint"))?;
    let size = xinqiao_evidence::tlog::Checkpoint::unauthenticated(&note)
        .map_err(|e| Failure::Failed(e.to_string()))?
        .size;
    let mut bundle = from / 256;
    while bundle * 256 < to {
        let Some(tile) = Tile::at_size(TileKind::Entries, bundle, size) else { break };
        let path = dir.join(tile.to_string());
        let bytes =
            std::fs::read(&path).map_err(|e| Failure::Failed(format!("{}: {}", path.display(), e.kind())))?;
        let found =
            bundle_entries(&bytes).map_err(|e| Failure::Unverified(format!("{}: {e}", path.display())))?;
        for (n, entry) in (bundle * 256..).zip(found) {
            if n >= from && n < to {
                each(n, entry);
            }
        }
        bundle += 1;
    }
    Ok(())
}
