//! What readiness says about officers, and the task that keeps their decisions up to date.

use super::Governor;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use xinqiao_node::decisions::roster;
use xinqiao_node::engine::entries::timestamp;
use xinqiao_runtime::{Check, State};

/// How often proposals are looked at for their end.
const EVERY: Duration = Duration::from_secs(30);

impl Governor {
    /// Whether what officers decided holds by the rules of today, whether two of them can decide, and what waits for them. Does not block.
    pub fn checks(&self) -> Vec<Check> {
        let mut all = Vec::new();
        let mut say = |name, state, advice: String, advice_zh: String| {
            all.push(Check { name, state, advice, advice_zh });
        };
        for unread in self.node.rules().read_as_scan() {
            let (policy, classes) = (&unread.policy, unread.classes.join(", "));
            say(
                "policy",
                State::Degraded,
                format!(
                    "Policy {policy}, which officers adopted, lets classes out to the public unread ({classes}). They are scanned all the same. Propose the policy again with `scan`, or with the basis in [unscanned]."
                ),
                format!(
                    "管理员批准的策略 {policy} 规定若干类别不经扫描即向公众提供（{classes}），节点仍按扫描处理。请将其改为 scan 或在 [unscanned] 中写明依据后重新提出。"
                ),
            );
        }
        if self.node.config.admin.is_none() {
            return all;
        }
        if !self.node.config.officers.four_eyes {
            let since = self.alone_since().map(timestamp);
            let [en, zh] =
                since.map_or_else(Default::default, |t| [format!(" since {t}"), format!("自 {t} 起")]);
            say(
                "single-officer",
                State::Ok,
                format!(
                    "`officers.four_eyes` is off{en}: one security officer changes members, trust, policies and keys alone."
                ),
                format!("officers.four_eyes {zh}已关闭：一名安全管理员即可变更成员、信任、策略和密钥。"),
            );
        } else if roster(&self.keeper.members()).security_officers() < 2 {
            say(
                "officers",
                State::Degraded,
                "There are fewer than two security officers: nobody can approve a change. Enter a second one under [[members]] and reload.".into(),
                "安全管理员不足两名，无人可以复核变更。请在 [[members]] 中登记第二名并重新加载。".into(),
            );
        }
        if let Some(id) = self.of_the_file() {
            say(
                "configuration-file",
                State::Degraded,
                format!(
                    "Members or trust in the configuration file differ from those in force; two security officers must approve proposal {id}, or the file must be put back."
                ),
                format!(
                    "配置文件中的成员或信任与现行不一致：须由两名安全管理员批准提案 {id}，或恢复配置文件。"
                ),
            );
        }
        all
    }

    /// Follows the files and the clock until told to stop.
    pub async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut changes = self.keeper.changes();
        let mut timer = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                changed = changes.changed() => if changed.is_err() { return },
                _ = stop.changed() => return,
            }
            if let Err(problem) = self.settle().await {
                tracing::error!(%problem, "officers' decisions could not be brought up to date; tried again");
            }
        }
    }
}
