//! How a node is: the checks of `/readyz`, and gauges of what it holds.

use crate::governance::Governor;
use crate::trust::TrustKeeper;
use std::sync::Arc;
use xinqiao_edge::local::Readiness;
use xinqiao_node::engine::Node;
use xinqiao_runtime::metrics::{Metric, Metrics};
use xinqiao_runtime::{Check, Drain, State};

/// Asks every part that has something to say. From `stop` on a node is not ready, whatever the parts say.
pub(super) fn readiness(
    node: &Arc<Node>,
    keeper: &Arc<TrustKeeper>,
    governor: &Arc<Governor>,
    stop: Drain,
) -> Readiness {
    let (node, keeper, governor) = (node.clone(), keeper.clone(), governor.clone());
    Arc::new(move || {
        let mut checks = of_node(&node);
        if stop.begun() {
            checks.push(Check {
                name: "stopping",
                state: State::Failing,
                advice: "The node was told to stop: it takes no connections and finishes what is in flight. Send elsewhere, or wait until it is started again.".into(),
                advice_zh: "节点已收到停止信号：不再接受新连接，正在完成处理中的请求。请改用其他节点，或等待其重新启动。".into(),
            });
        }
        checks.extend(keeper.checks());
        if checks.is_empty() {
            checks.push(Check::ok("node"));
        }
        checks.extend(governor.checks());
        checks
    })
}

fn of_node(node: &Node) -> Vec<Check> {
    let trouble = node.trouble();
    let mut checks = Vec::new();
    let mut failing = |name, state, advice: &str, advice_zh: &str| {
        checks.push(Check { name, state, advice: advice.into(), advice_zh: advice_zh.into() });
    };
    if let Some(why) = trouble.append {
        let (en, zh) = match why {
            xinqiao_node::engine::CommitError::DiskFull => (
                "The disk is full: nothing new is taken. Free space; the node goes on by itself.",
                "磁盘已满，暂停接收新数据。请释放空间，节点会自动恢复。",
            ),
            _ => (
                "The last write failed: check the disk of the data directory; the node goes on by itself.",
                "最近一次写入失败，请检查数据目录所在磁盘，节点会自动恢复。",
            ),
        };
        failing("journal", State::Failing, en, zh);
    }
    if node.secrets.token_trouble().is_some() {
        failing(
            "token",
            State::Failing,
            "The PKCS#11 token that holds the node's keys does not answer: nothing can be signed. Plug it in or start its service; the node goes on by itself.",
            "存放节点密钥的 PKCS#11 令牌没有响应，无法签名。请接入令牌或启动其服务，节点会自动恢复。",
        );
    }
    for code in &trouble.failed {
        failing(
            code,
            State::Failing,
            "Found while running; see the log for the place, and the runbook for this code.",
            "运行中发现故障，位置见日志，处理办法见运维手册中该代码的条目。",
        );
    }
    if let Some(late) = node.overdue() {
        let age = age(late.seconds);
        let en = format!(
            "Payload past its retention is still on the disk, in {} journal segment(s), the oldest {} old: old segments could not be let go. The log says why (`old segments could not be let go`); the node tries again every round.",
            late.segments, age.0
        );
        let zh = format!(
            "超过保存期限的内容仍在磁盘上，涉及 {} 个日志段，最早的已有{}：旧日志段未能释放。原因见节点日志，节点每轮维护都会重试。",
            late.segments, age.1
        );
        failing("retention", State::Failing, &en, &zh);
    }
    if let Some(reason) = &trouble.rebuilt {
        let en = format!("The queue was rebuilt from the journal at this start ({reason}). Nothing is lost.");
        failing("queue", State::Degraded, &en, "本次启动时队列已由日志重建，数据未丢失。");
    }
    if !trouble.ahead.is_empty() {
        failing(
            "epoch",
            State::Degraded,
            "A recipient asks for batches this node does not know: was an older copy put back? Restore the newest backup with `xinqiao restore`, so that a new epoch begins.",
            "有接收方请求了本节点未知的批次：是否恢复了旧数据？请用 xinqiao restore 恢复最新备份，以开启新的纪元。",
        );
    }
    if node.clock.behind() > 0 {
        failing(
            "clock",
            State::Degraded,
            "The clock was set back; stamps stand still until it catches up. Check time synchronisation.",
            "系统时钟被回拨，时间戳将停留直至追平。请检查时间同步。",
        );
    }
    checks
}

/// An age in words, English and Chinese: days, or hours below two days.
fn age(seconds: u64) -> (String, String) {
    match seconds / 3_600 {
        hours if hours < 48 => (format!("{hours} hours"), format!(" {hours} 小时")),
        hours => (format!("{} days", hours / 24), format!(" {} 天", hours / 24)),
    }
}

/// Shows what the node holds on each scrape.
pub(super) fn gauges(
    node: &Arc<Node>,
    keeper: &Arc<TrustKeeper>,
    governor: &Arc<Governor>,
    metrics: &Arc<Metrics>,
) {
    keeper.expose(metrics);
    let (node, governor) = (Arc::downgrade(node), Arc::downgrade(governor));
    metrics.set(Metric::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1.0);
    metrics.on_scrape(move |m| {
        let (Some(node), Some(governor)) = (node.upgrade(), governor.upgrade()) else { return };
        m.set(Metric::ProposalsOpen, &[], governor.waiting().len() as f64);
        let heads = node.heads();
        for (stream, head) in &heads {
            m.set(Metric::QueuePendingRecords, &[stream.as_str()], head.pending_records as f64);
            m.set(Metric::WithheldRecords, &[stream.as_str()], node.withheld_records(stream) as f64);
        }
        m.set(Metric::StreamsHeld, &[], heads.iter().filter(|(_, h)| h.held).count() as f64);
        m.set(Metric::ClockHealthy, &[], if node.clock.behind() == 0 { 1.0 } else { 0.0 });
        let segments = node.segments();
        m.set(Metric::JournalBytes, &[], segments.iter().map(|s| s.bytes as f64).sum());
        m.set(Metric::JournalSegments, &[], segments.len() as f64);
        m.set(Metric::PayloadOverdue, &[], node.overdue().map_or(0.0, |late| late.seconds as f64));
        m.set(Metric::QueueRows, &[], node.queued_rows() as f64);
    });
}
