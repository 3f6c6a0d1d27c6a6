//! `demo`: see [`crate::demo`].

use super::{Failure, block_on};
use crate::demo::{Options, tell};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Demo {
    /// Keep everything in this new directory for a look
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Records to send, at least 60 (至少 60 条)
    #[arg(long, default_value_t = 3_000, value_parser = RangedU64ValueParser::<usize>::new().range(60..))]
    records: usize,
    /// Seed of the made-up records
    #[arg(long, default_value_t = 350_200)]
    seed: u64,
    /// One JSON object a step
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let temporary = tempfile::tempdir()?;
        let dir = match &self.keep {
            Some(dir) => {
                if dir.exists() && std::fs::read_dir(dir)?.next().is_some() {
                    return Err(Failure::Usage(format!(
                        "{} is not empty; name a new directory",
                        dir.display()
                    )));
                }
                std::fs::create_dir_all(dir)?;
                dir.canonicalize()?
            }
            None => temporary.path().to_owned(),
        };
        let options = Options { dir, records: self.records, seed: self.seed, json: self.json };
        block_on(async { tell(&options).await.map_err(|e| Failure::Failed(e.to_string())) })
    }
}
