//! What the node does by itself, on a timer: checkpoints and retention. Ends of publication are in `ends.rs`.

use super::committer::Job;
use super::{CommitError, Node, entries, manifests};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use xinqiao_exchange::event::{Event, Sealed};
use xinqiao_exchange::group::Change;
use xinqiao_exchange::names::{Lane, StreamId};
use xinqiao_exchange::state::{BatchRow, ChunkRow, State, Table, stream_key};
use xinqiao_exchange::table;

const DAY: i64 = 86_400;

/// To the source of a record that nobody collected in time.
const EXPIRED: (&str, &str) = (
    "retention.expired",
    "The record waited past its maximum age without being collected and was erased; send it again if it is still to be delivered. \
     记录超过最长保存期仍未被领取，已删除；如仍需下发请重新报送。",
);

/// To the source of a record that was collected and never answered.
const UNANSWERED: (&str, &str) = (
    "retention.unanswered",
    "The recipient collected the record and gave no final answer within its maximum age; the copy kept for delivery was erased. Whether the recipient \
     stored it is not known: ask, and send it again if it did not. 接收方已领取该记录，但在最长保存期内未作最终应答，待下发副本已删除；接收方是否入库不明，请核实，未入库的请重新报送。",
);

impl Node {
    /// Runs until the node is dropped or `stop` resolves.
    pub async fn maintain(self: Arc<Self>, mut stop: tokio::sync::watch::Receiver<bool>) {
        let period = Duration::from_secs(self.config.storage.checkpoint_seconds.max(1));
        let mut timer = tokio::time::interval(period);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ticks = 0u64;
        let mut seen = self.log_size();
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                _ = stop.changed() => return,
            }
            ticks += 1;
            self.look_for_space();
            if self.secrets.token_trouble().is_some() {
                let node = self.clone();
                let _ = tokio::task::spawn_blocking(move || node.secrets.look_at_token()).await;
            }
            let now = self.log_size();
            if now != seen || self.trouble().failed.contains(&"queue.lost") {
                seen = now;
                let (reply, done) = oneshot::channel();
                if self.jobs.send(Job::Checkpoint { reply }).is_err() {
                    return;
                }
                let _ = done.await;
            }
            if ticks % 12 == 1 {
                let node = self.clone();
                let swept = tokio::task::spawn_blocking(move || node.sweep()).await;
                if swept.is_err() {
                    tracing::error!("maintenance ended unexpectedly; it is tried again");
                }
            }
        }
    }

    /// One round of upkeep. Blocks.
    pub fn sweep(&self) {
        self.end_publications();
        self.apply_retention();
        self.let_go();
        self.tend_keys();
    }

    /// Erases payloads that were acknowledged long enough ago, and those that waited too long.
    fn apply_retention(&self) {
        let now = self.clock.now();
        let rules = self.rules();
        for (stream, head) in self.heads() {
            let Some(dataset) = rules.plan.dataset(stream.dataset()) else { continue };
            let retention = dataset.dataset.retention();
            let maximum = match stream.lane() {
                Lane::Daily => retention.maximum_days,
                Lane::History => retention.history_maximum_days,
            };
            let acknowledged = i64::from(retention.acknowledged_days) * DAY;
            let maximum = i64::from(maximum) * DAY;
            let mut rows = Vec::new();
            for batches in head.past.iter().chain([&head.batches]) {
                let (from, to) = (stream_key(*batches, 0), stream_key(*batches, u64::MAX));
                let Ok(some) = self.queue().scan(Table::Batch as u8, &from, Some(&to), 1 << 20) else {
                    return;
                };
                rows.extend(some);
            }
            for (key, value) in rows {
                let (Some(batches), Some(seq)) = (u32_at(&key, 0), u64_at(&key, 4)) else { continue };
                let Ok(batch) = serde_json::from_slice::<BatchRow>(&value) else { continue };
                if batch.erased {
                    continue;
                }
                let acknowledged_at =
                    batch.acknowledgement.as_ref().filter(|a| a.outcome.is_final()).map(|a| a.time);
                let due =
                    acknowledged_at.is_some_and(|t| now - t > acknowledged) || now - batch.time > maximum;
                if !due {
                    continue;
                }
                let unanswered = acknowledged_at.is_none();
                let mut feedback = Vec::new();
                if unanswered {
                    // A table that does not read has been named in the log; that is no reason to keep payload.
                    if let Ok(lines) = self.read_item(&stream, batch.table) {
                        let said = if batch.served { UNANSWERED } else { EXPIRED };
                        feedback =
                            self.feedback_for_table(&stream, &lines, &|_| true, said).unwrap_or_default();
                    }
                }
                let reason = if unanswered { "retention-unanswered" } else { "retention" };
                let change = Change {
                    events: vec![Event::Erased {
                        stream: stream.clone(),
                        batches: Some(batches),
                        seq,
                        taken_back: false,
                        expired: unanswered,
                        requeued: false,
                        feedback,
                    }],
                    items: Vec::new(),
                    entry: batch
                        .digest
                        .parse()
                        .ok()
                        .map(|digest| entries::void(self, &stream, seq, &digest, reason)),
                };
                // An answer that is committed in between closes the batch: then there is nothing to tell.
                let (queue, key) = (self.queue(), stream_key(batches, seq));
                let still = move |_: &State| {
                    let row = queue.get(Table::Batch as u8, &key).ok().flatten();
                    let row = row.and_then(|r| serde_json::from_slice::<BatchRow>(&r).ok());
                    row.is_some_and(|b| {
                        let answered = b.acknowledgement.is_some_and(|a| a.outcome.is_final());
                        !b.erased && answered != unanswered
                    })
                };
                match self.change_blocking(change, still) {
                    Ok(_) if unanswered => {
                        tracing::error!(
                            stream = stream.as_str(),
                            seq,
                            "a batch reached its maximum age without an answer; its payload is erased, its sources are told"
                        );
                        self.metrics.expired(stream.dataset(), batch.records);
                    }
                    Ok(_) | Err(CommitError::Overtaken) => {}
                    Err(_) => return,
                }
            }
            self.expire_unsealed(&stream, &head, now - maximum);
        }
    }

    /// When the youngest line of a table came, by the log: the segment its payload stands in says nothing, since payload
    /// that lives on is carried over from segment to segment.
    fn youngest(&self, lines: &[u8]) -> Option<i64> {
        let groups = table::groups(lines).ok()?;
        let last = groups.iter().map(|group| group.submission).max()?;
        entries::moment(&self.log(), last)
    }

    /// Chunks nobody asked for in time are dropped; a signed void takes their place and their sources are told.
    fn expire_unsealed(&self, stream: &StreamId, head: &xinqiao_exchange::state::StreamRow, before: i64) {
        let from = stream_key(head.id, head.first_unsealed);
        let to = stream_key(head.id, head.next_chunk);
        let Ok(rows) = self.queue().scan(Table::Chunk as u8, &from, Some(&to), 4_096) else { return };
        let mut through = None;
        let mut feedback = Vec::new();
        let mut records = 0u64;
        for (key, value) in rows {
            let (Some(number), Ok(chunk)) = (u64_at(&key, 4), serde_json::from_slice::<ChunkRow>(&value))
            else {
                break;
            };
            let Ok(lines) = self.read_item(stream, chunk.table) else { break };
            if self.youngest(&lines).is_none_or(|t| t >= before) {
                break;
            }
            let sent_back = self.feedback_for_table(stream, &lines, &|_| true, EXPIRED);
            let Ok(sent_back) = sent_back else { break };
            feedback.extend(sent_back);
            records += u64::from(chunk.records);
            through = Some(number);
        }
        let Some(through) = through else { return };
        let Some(description) = head.descriptions.last() else { return };
        let turn = self.sealing.lock().entry(stream.clone()).or_default().clone();
        let _turn = turn.lock();
        // Without a signature nothing is dropped; the next round tries again.
        let Ok(signed) = manifests::sign_void(self, stream, head, description, "retention") else { return };
        let seq = head.next_seq;
        let (empty, items) = signed.without_records(stream, head, self.clock.now());
        let void = Sealed { last_chunk: through, void: true, ..empty };
        let change = Change {
            events: vec![Event::Dropped { stream: stream.clone(), through, feedback }, Event::Sealed(void)],
            items,
            entry: Some(signed.entry),
        };
        let (name, first) = (stream.clone(), head.first_unsealed);
        let still = move |s: &State| {
            s.streams.get(&name).is_some_and(|h| h.next_seq == seq && h.first_unsealed == first)
        };
        if self.change_blocking(change, still).is_ok() {
            tracing::error!(
                stream = stream.as_str(),
                records,
                "records reached their maximum age uncollected and were erased"
            );
            self.metrics.expired(stream.dataset(), records);
        }
    }
}

pub(super) fn u32_at(key: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn u64_at(key: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(at..at + 8)?.try_into().ok()?))
}
