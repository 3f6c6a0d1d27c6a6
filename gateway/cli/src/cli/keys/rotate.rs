//! `keys rotate`: a successor for a key of a stopped node.

use super::{Failure, load, stopped};
use crate::console::say;
use clap::Args;
use std::path::PathBuf;
use xinqiao_node::keyring::{KeyKind, Keyring};
use xinqiao_runtime::clock::Clock;

#[derive(Args)]
pub(crate) struct Rotate {
    /// The node's configuration file
    #[arg(long)]
    config: PathBuf,
    /// manifest, log, acknowledgement or at-rest
    #[arg(long = "use", value_name = "USE")]
    kind: String,
    /// Without the time of publishing that `pending_hours` gives: for a key that may be known to others
    #[arg(long)]
    now: bool,
}

impl Rotate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let kind = KeyKind::parse(&self.kind).ok_or_else(|| {
            Failure::Usage(
                "--use is manifest, log, acknowledgement or at-rest  --use 应为 manifest、log、acknowledgement 或 at-rest".into(),
            )
        })?;
        let config = load(&self.config)?;
        let _held = stopped(&config)?;
        let keyring = Keyring::open(&config.node.keys, &config.keys)?;
        let (clock, node) = (Clock::default(), config.node.name.as_str());
        if kind == KeyKind::AtRest {
            keyring.renew_at_rest(&clock)?;
            say(
                "a new at-rest key is in use; stored data is wrapped by it at the next start, then the old key is forgotten",
            );
            say("新的静态加密密钥已启用；下次启动时将重新包装数据密钥，随后丢弃旧密钥。");
            return Ok(());
        }
        let wait = if self.now { 0 } else { keyring.pending_seconds() };
        let mut view = keyring.begin(kind, node, clock.now() + wait, &clock)?;
        if wait == 0 {
            view = keyring.activate(kind, node, &clock)?.unwrap_or(view);
        }
        say(format!(
            "{} {} is {}  密钥状态：{}",
            kind.as_str(),
            view.kid,
            view.state.as_str(),
            view.state.as_str()
        ));
        say("the log tells of it at the next start  下次启动时记入日志");
        Ok(())
    }
}
