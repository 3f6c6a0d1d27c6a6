//! Ends of publication: the node withdraws from recipients who are no authorities what may no longer be published there,
//! in its own name.
//!
//! A record that is prolonged at the same moment must not be withdrawn: the revs of the withdrawals are drawn first, then
//! everything that was under way is waited for, and then the streams are looked through again. What was prepared before has
//! been committed by then and is seen; what is prepared later has a higher rev and wins wherever it arrives.

use super::maintenance::{u32_at, u64_at};
use super::rules::Rules;
use super::seal::SealError;
use super::{Node, entries};
use std::collections::BTreeMap;
use std::time::Duration;
use xinqiao_exchange::event::{Event, NewChunk};
use xinqiao_exchange::group::{Change, Item, Kind};
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::op::Op;
use xinqiao_exchange::payload::compress;
use xinqiao_exchange::plan::RecipientPlan;
use xinqiao_exchange::publication::{ENDED, Ending};
use xinqiao_exchange::secrets::RecordKey;
use xinqiao_exchange::state::{GroupChunkRow, PublicationRow, Table, group_chunk_key};
use xinqiao_exchange::table::{self, Entry, put_entry, put_group};
use xinqiao_schemas::{Audience, LineHead, RecallLine, recall_line};

/// Chunks whose publication ends that one round works on.
const DUE_CHUNKS: usize = 1_000;
/// Withdrawals that go into one chunk.
const WITHDRAWN_AT_ONCE: usize = 4_000;
/// What is under way is waited for this long; then the stream's turn is in the next round.
const PATIENCE: Duration = Duration::from_secs(30);

/// A chunk of the schedule: the day it stands under, its number, its row.
type Due = (u32, u64, PublicationRow);

/// A withdrawal: the record's key and the rev.
type Withdrawal = (RecordKey, u64);

/// What was found due in one stream.
struct Found {
    ending: Ending,
    /// The schedule's change: the day each chunk stood under, its number, the next day.
    gone: Vec<(u32, u64, Option<u32>)>,
    /// Where the tables of newer lines go on.
    from: Vec<u8>,
}

impl Node {
    /// Withdraws from public recipients what may no longer be published.
    pub fn end_publications(&self) {
        let today = u32::try_from(self.business_date().to_days()).unwrap_or(0);
        let rules = self.rules();
        let Some(mut due) = self.due_chunks(&rules, today) else { return };
        for (stream, head) in self.heads() {
            let Some(chunks) = due.remove(&head.id) else { continue };
            let Some(recipient) = rules.plan.recipient_of(&stream) else { continue };
            // A table that does not read has been named in the log; the next round tries again.
            let Ok(mut found) = self.still_published(&stream, &chunks, today) else { continue };
            let candidates: Vec<RecordKey> = found.ending.records().collect();
            let revs = self.draw_revs(&rules, &stream, recipient, &candidates);
            if !candidates.is_empty() {
                if !self.preparations.wait_for_those_under_way(PATIENCE) {
                    tracing::warn!(
                        stream = stream.as_str(),
                        "ends of publication wait for a submission that is still under way; tried again"
                    );
                    continue;
                }
                if self.look_through_newer(&stream, &mut found).is_err() {
                    continue;
                }
            }
            let ended: Vec<Withdrawal> =
                revs.into_iter().filter(|(key, _)| found.ending.contains(key)).collect();
            self.withdraw_own(&stream, recipient, &ended, found.gone);
        }
    }

    /// The chunks of the schedule whose day has passed, by number of their stream, as many as one round works on. Those
    /// nobody could withdraw now, since their stream has no recipient, stay in the schedule and keep none of the others
    /// from their turn.
    fn due_chunks(&self, rules: &Rules, today: u32) -> Option<BTreeMap<u32, Vec<Due>>> {
        let served: BTreeMap<u32, bool> = self
            .heads()
            .iter()
            .map(|(stream, head)| (head.id, rules.plan.recipient_of(stream).is_some()))
            .collect();
        let mut due: BTreeMap<u32, Vec<Due>> = BTreeMap::new();
        let mut count = 0;
        let mut from = Vec::new();
        while count < DUE_CHUNKS {
            let rows =
                self.queue().scan(Table::Publication as u8, &from, Some(&today.to_be_bytes()), DUE_CHUNKS);
            let rows = rows.ok()?;
            let Some((last, _)) = rows.last() else { break };
            from = last.clone();
            from.push(0);
            for (key, value) in rows {
                let (Some(day), Some(id), Some(chunk)) = (u32_at(&key, 0), u32_at(&key, 4), u64_at(&key, 8))
                else {
                    continue;
                };
                if !served.get(&id).copied().unwrap_or(false) {
                    continue;
                }
                let Ok(row) = serde_json::from_slice(&value) else { continue };
                due.entry(id).or_default().push((day, chunk, row));
                count += 1;
            }
        }
        Some(due)
    }

    /// The records of these chunks that end now, as far as is known.
    fn still_published(&self, stream: &StreamId, chunks: &[Due], today: u32) -> Result<Found, SealError> {
        let mut ending = Ending::default();
        let mut gone = Vec::with_capacity(chunks.len());
        for (day, chunk, row) in chunks {
            let lines = self.read_item(stream, row.table)?;
            let next = ending.due(&lines, *day, today).map_err(|_| SealError::Damaged)?;
            gone.push((*day, *chunk, next));
        }
        let first = chunks.iter().map(|(_, _, row)| row.group).min().unwrap_or(0);
        let mut found = Found { ending, gone, from: group_chunk_key(first, 0) };
        self.look_through_newer(stream, &mut found)?;
        Ok(found)
    }

    /// Takes out what newer lines have prolonged or recalled: in both lanes, since a record has one key in both.
    fn look_through_newer(&self, stream: &StreamId, found: &mut Found) -> Result<(), SealError> {
        while !found.ending.is_empty() {
            let rows = self.kept_rows(Table::GroupChunk, &found.from, None, 1_024);
            let rows = rows.map_err(|_| SealError::Damaged)?;
            let Some((last, _)) = rows.last() else { break };
            found.from.clone_from(last);
            found.from.push(0);
            for (_, value) in rows {
                let row: GroupChunkRow = serde_json::from_slice(&value).map_err(|_| SealError::Damaged)?;
                let same_recipient =
                    row.stream.recipient() == stream.recipient() && row.stream.dataset() == stream.dataset();
                if same_recipient {
                    let lines = self.read_item(&row.stream, row.table)?;
                    found.ending.look_through(&lines).map_err(|_| SealError::Damaged)?;
                }
            }
        }
        Ok(())
    }

    /// A rev for each withdrawal.
    fn draw_revs(
        &self,
        rules: &Rules,
        stream: &StreamId,
        recipient: &RecipientPlan,
        candidates: &[RecordKey],
    ) -> Vec<Withdrawal> {
        // Known again if it comes back.
        let marks = rules.plan.dataset(stream.dataset()).filter(|_| recipient.may_return);
        let rev = || match marks {
            Some(dataset) => self.leap_rev(&|last| dataset.recall_revs.next(Op::Withdraw, last)),
            None => self.next_rev(),
        };
        candidates.iter().map(|key| (*key, rev())).collect()
    }

    /// Withdraws records in the node's own name; with the last of them the schedule moves on.
    fn withdraw_own(
        &self,
        stream: &StreamId,
        recipient: &RecipientPlan,
        ended: &[Withdrawal],
        gone: Vec<(u32, u64, Option<u32>)>,
    ) {
        let mut moved = vec![Event::PublicationEnded { stream: stream.clone(), gone }];
        let mut parts: Vec<&[Withdrawal]> = ended.chunks(WITHDRAWN_AT_ONCE).collect();
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

    fn withdrawal(&self, stream: &StreamId, recipient: &RecipientPlan, ended: &[Withdrawal]) -> Change {
        if ended.is_empty() {
            return Change::default();
        }
        let description = &recipient.description;
        let recall = RecallLine { reason: ENDED, basis: "", effective: self.business_date() };
        let mut raw = Vec::new();
        let mut lines = Vec::new();
        for (n, (key, rev)) in ended.iter().enumerate() {
            let text = key.hex();
            let head = LineHead { op: "withdraw", key: text.as_str(), rev: *rev, via: &[], reference: None };
            recall_line(&head, Audience::Public, &recall, &mut raw);
            raw.push(b'\n');
            let entry = Entry {
                op: Op::Withdraw,
                key: *key,
                rev: *rev,
                ordinal: n as u32,
                publication_end: None,
                reference: None,
            };
            put_entry(&mut lines, &entry);
        }
        let index = self.log_size();
        let mut lines_table = vec![table::VERSION];
        put_group(&mut lines_table, index, entries::OWN, ended.len() as u32, &lines);
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
}
