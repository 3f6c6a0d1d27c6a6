//! What the node does by itself, on a timer: checkpoints, ends of publication, retention.

use super::committer::Job;
use super::rules::Rules;
use super::seal::SealError;
use super::{Node, entries, manifests};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use xinqiao_exchange::event::{Event, NewChunk, Sealed};
use xinqiao_exchange::group::{Change, Item, Kind};
use xinqiao_exchange::names::{Lane, StreamId};
use xinqiao_exchange::op::Op;
use xinqiao_exchange::payload::compress;
use xinqiao_exchange::plan::RecipientPlan;
use xinqiao_exchange::publication::Ending;
use xinqiao_exchange::secrets::RecordKey;
use xinqiao_exchange::state::{
    BatchRow, ChunkRow, GroupChunkRow, PublicationRow, Table, group_chunk_key, stream_key,
};
use xinqiao_exchange::table::{self, Entry, put_entry, put_group};
use xinqiao_schemas::{Audience, LineHead, RecallLine, recall_line};

/// The member name under which the node's own withdrawals stand.
pub const OWN: &str = "node";

const DAY: i64 = 86_400;
/// Chunks whose publication ends that one round looks at.
const DUE_CHUNKS: usize = 1_000;
/// Withdrawals that go into one chunk.
const WITHDRAWN_AT_ONCE: usize = 4_000;
/// How long ends of publication wait for submissions that are under way.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// A record to withdraw, and the rev of its withdrawal.
type Ended = (RecordKey, u64);

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

    /// Withdraws from public recipients what may no longer be published.
    pub fn end_publications(&self) {
        let today = u32::try_from(self.business_date().to_days()).unwrap_or(0);
        let rows = self.queue().scan(Table::Publication as u8, &[], Some(&today.to_be_bytes()), DUE_CHUNKS);
        let Ok(rows) = rows else { return };
        let mut due: BTreeMap<u32, Vec<(u32, u64, PublicationRow)>> = BTreeMap::new();
        for (key, value) in rows {
            let (Some(day), Some(id), Some(chunk)) = (u32_at(&key, 0), u32_at(&key, 4), u64_at(&key, 8))
            else {
                continue;
            };
            let Ok(row) = serde_json::from_slice(&value) else { continue };
            due.entry(id).or_default().push((day, chunk, row));
        }
        let rules = self.rules();
        for (stream, head) in self.heads() {
            let Some(chunks) = due.remove(&head.id) else { continue };
            let Some(recipient) = rules.plan.recipient_of(&stream) else { continue };
            // A table that does not read has been named in the log; the next round tries again.
            let Ok((mut ending, gone)) = self.due(&stream, &chunks, today) else { continue };
            let first = chunks.iter().map(|(_, _, row)| row.group).min().unwrap_or(0);
            let Ok(seen) = self.look_through(&mut ending, &stream, group_chunk_key(first, 0)) else {
                continue;
            };
            let drawn = self.revs_of_ends(&rules, &stream, recipient, &ending);
            // What is prepared from here on has higher revs than the withdrawals, and stands whichever comes first. What
            // was under way may have lower ones and prolong a publication: it is waited for, and looked through.
            if !drawn.is_empty() && !self.preparations.wait_for_those_under_way(UNDER_WAY) {
                tracing::warn!(
                    stream = stream.as_str(),
                    "submissions under way take long; ends of publication are tried again"
                );
                continue;
            }
            if self.look_through(&mut ending, &stream, seen).is_err() {
                continue;
            }
            let ended: Vec<Ended> =
                ending.records().filter_map(|key| Some((key, *drawn.get(&key)?))).collect();
            self.withdraw_own(&stream, recipient, &ended, gone);
        }
    }

    /// The records of these chunks whose last day has passed, and the schedule's change.
    #[allow(clippy::type_complexity)]
    fn due(
        &self,
        stream: &StreamId,
        chunks: &[(u32, u64, PublicationRow)],
        today: u32,
    ) -> Result<(Ending, Vec<(u32, u64, Option<u32>)>), SealError> {
        let mut ending = Ending::default();
        let mut gone = Vec::with_capacity(chunks.len());
        for (day, chunk, row) in chunks {
            let lines = self.read_item(stream, row.table)?;
            let next = ending.due(&lines, *day, today).map_err(|_| SealError::Damaged)?;
            gone.push((*day, *chunk, next));
        }
        Ok((ending, gone))
    }

    /// Takes out what newer lines have settled, in the chunks of either lane from one on. The place to go on from comes back.
    fn look_through(
        &self,
        ending: &mut Ending,
        stream: &StreamId,
        mut from: Vec<u8>,
    ) -> Result<Vec<u8>, SealError> {
        while !ending.is_empty() {
            let rows = self.kept_rows(Table::GroupChunk, &from, None, 1_024);
            let rows = rows.map_err(|_| SealError::Damaged)?;
            let Some((last, _)) = rows.last() else { break };
            from = last.clone();
            from.push(0);
            for (_, value) in rows {
                let row: GroupChunkRow = serde_json::from_slice(&value).map_err(|_| SealError::Damaged)?;
                // A record has one key in both lanes, and a newer version may come through the other.
                let same =
                    (row.stream.recipient(), row.stream.dataset()) == (stream.recipient(), stream.dataset());
                if same {
                    let lines = self.read_item(&row.stream, row.table)?;
                    ending.look_through(&lines).map_err(|_| SealError::Damaged)?;
                }
            }
        }
        Ok(from)
    }

    /// Draws the revs of withdrawals that begin here: ones this node recognises if they come back.
    fn revs_of_ends(
        &self,
        rules: &Rules,
        stream: &StreamId,
        recipient: &RecipientPlan,
        ending: &Ending,
    ) -> BTreeMap<RecordKey, u64> {
        let marks = rules.plan.dataset(stream.dataset()).filter(|_| recipient.may_return);
        let draw = || match marks {
            Some(dataset) => self.leap_rev(&|last| dataset.recall_revs.next(Op::Withdraw, last)),
            None => self.next_rev(),
        };
        ending.records().map(|key| (key, draw())).collect()
    }

    /// Withdraws records in the node's own name; with the last of them the schedule moves on.
    fn withdraw_own(
        &self,
        stream: &StreamId,
        recipient: &RecipientPlan,
        ended: &[Ended],
        gone: Vec<(u32, u64, Option<u32>)>,
    ) {
        let mut moved = vec![Event::PublicationEnded { stream: stream.clone(), gone }];
        let mut parts: Vec<&[Ended]> = ended.chunks(WITHDRAWN_AT_ONCE).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let count = parts.len();
        for (n, part) in parts.into_iter().enumerate() {
            let mut change = self.withdrawal(stream, recipient, part);
            if n + 1 == count {
                change.events.append(&mut moved);
            }
            if let Err(e) = self.change_blocking(change, |_| true) {
                return tracing::error!(
                    stream = stream.as_str(),
                    ?e,
                    "ends of publication could not be committed; tried again"
                );
            }
        }
        if !ended.is_empty() {
            tracing::info!(stream = stream.as_str(), records = ended.len(), "publication ended");
        }
    }

    fn withdrawal(&self, stream: &StreamId, recipient: &RecipientPlan, ended: &[Ended]) -> Change {
        if ended.is_empty() {
            return Change::default();
        }
        let description = &recipient.description;
        let recall = RecallLine { reason: "publication-ended", basis: "", effective: self.business_date() };
        let mut raw = Vec::new();
        let mut lines = Vec::new();
        for (n, &(key, rev)) in ended.iter().enumerate() {
            let text = key.hex();
            let head = LineHead { op: "withdraw", key: text.as_str(), rev, via: &[], reference: None };
            recall_line(&head, Audience::Public, &recall, &mut raw);
            raw.push(b'\n');
            let entry = Entry {
                op: Op::Withdraw,
                key,
                rev,
                ordinal: n as u32,
                publication_end: None,
                reference: None,
            };
            put_entry(&mut lines, &entry);
        }
        let index = self.log_size();
        let mut lines_table = vec![table::VERSION];
        put_group(&mut lines_table, index, OWN, ended.len() as u32, &lines);
        let aad = stream.as_str().as_bytes().to_vec();
        let payload = compress(description.encoding, &raw);
        let mut events = Vec::new();
        if self.head(stream).and_then(|h| h.descriptions.last().cloned()).as_ref() != Some(description) {
            events.push(Event::Described { stream: stream.clone(), description: description.clone() });
        }
        events.push(Event::Chunk(NewChunk {
            stream: stream.clone(),
            payload: 0,
            table: 1,
            records: ended.len() as u32,
            recalls: ended.len() as u32,
            raw: raw.len() as u64,
            bytes: payload.len() as u64,
            earliest_end: None,
            origins: Vec::new(),
        }));
        Change {
            events,
            items: vec![
                Item { kind: Kind::Payload, aad: aad.clone(), bytes: payload },
                Item { kind: Kind::Evidence, aad, bytes: lines_table },
            ],
            entry: Some(entries::publication_ended(self, stream, ended.len() as u64)),
        }
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
                if acknowledged_at.is_none() {
                    tracing::error!(
                        stream = stream.as_str(),
                        seq,
                        "a batch reached its maximum age without an answer; its payload is erased"
                    );
                    self.metrics.expired(stream.dataset(), batch.records);
                }
                let reason = if acknowledged_at.is_some() { "retention" } else { "retention-unanswered" };
                let change = Change {
                    events: vec![Event::Erased {
                        stream: stream.clone(),
                        batches: Some(batches),
                        seq,
                        taken_back: false,
                        feedback: Vec::new(),
                    }],
                    items: Vec::new(),
                    entry: batch
                        .digest
                        .parse()
                        .ok()
                        .map(|digest| entries::void(self, &stream, seq, &digest, reason)),
                };
                if self.change_blocking(change, |_| true).is_err() {
                    return;
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
            let sent_back = self.feedback_for_table(stream, &lines, "retention.expired",
                "The record waited past its maximum age without being collected and was erased; send it again if it is still to be delivered. \
                 记录超过最长保存期仍未被领取，已删除；如仍需下发请重新报送。");
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
        let still = move |s: &xinqiao_exchange::state::State| {
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
