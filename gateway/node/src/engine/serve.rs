//! What a recipient reads: its streams, the batches in them with their proofs, and payloads.

use super::Node;
use super::places::reference;
use super::seal::SealError;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use xinqiao_exchange::event::Event;
use xinqiao_exchange::group::Change;
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::state::{BatchRow, Place, StreamRow, Table, stream_key};
use xinqiao_explain::Explain;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// The most batches in one answer.
pub const LIST_CAP: usize = 100;

/// A recipient's stream, as `GET /v1/streams` shows it.
#[derive(Serialize)]
pub struct StreamView {
    stream: String,
    dataset: String,
    recipient: String,
    epoch: u64,
    next_seq: u64,
    acknowledged: u64,
    pending_records: u64,
    held: bool,
}

/// Answer to a listing of batches.
#[derive(Serialize)]
pub struct BatchList {
    stream: String,
    epoch: u64,
    batches: Vec<BatchView>,
    more: bool,
}

#[derive(Serialize)]
struct BatchView {
    manifest: Box<RawValue>,
    proof: String,
    /// The log entry the proof is of, base64.
    entry: String,
}

impl BatchList {
    /// The first batch as a document of its own, as it is pushed.
    pub fn first(&self) -> Option<bytes::Bytes> {
        let first = self.batches.first()?;
        Some(serde_json::to_vec(first).expect("a manifest is JSON").into())
    }
}

/// A payload ready to be sent.
pub struct PayloadParts {
    /// Where it stands.
    pub parts: Vec<Place>,
    /// Bytes in all.
    pub bytes: u64,
    /// Its digest, hexadecimal.
    pub digest: String,
    /// Its media type.
    pub media_type: &'static str,
    /// It was handed out before.
    pub served: bool,
    /// The rules by which it may be handed out.
    rules: u64,
}

impl Node {
    /// The streams of a recipient.
    pub fn streams_of(&self, member: &str) -> Vec<StreamView> {
        let mut all = Vec::new();
        for dataset in self.rules().plan.datasets() {
            for r in dataset.recipients.iter().filter(|r| r.name == member) {
                for (stream, always) in [(&r.daily, true), (&r.history, false)] {
                    let head = self.head(stream);
                    if head.is_none() && !always {
                        continue;
                    }
                    let head = head.unwrap_or(StreamRow { next_seq: 1, ..StreamRow::default() });
                    all.push(StreamView {
                        stream: stream.to_string(),
                        dataset: stream.dataset().to_owned(),
                        recipient: stream.recipient().to_owned(),
                        epoch: self.epoch(),
                        next_seq: head.next_seq,
                        acknowledged: head.acknowledged_batches,
                        pending_records: head.pending_records,
                        held: head.held,
                    });
                }
            }
        }
        all
    }

    /// The batches after one, sealed now if need be; waits for the first up to `wait`.
    pub async fn batches(
        self: &Arc<Self>,
        member: &str,
        stream: &StreamId,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> Result<BatchList, Refusal> {
        self.my_stream(member, stream)?;
        let until = tokio::time::Instant::now() + wait;
        let limit = limit.clamp(1, LIST_CAP);
        loop {
            let mut news = self.news();
            news.mark_unchanged();
            if let Some(head) = self.head(stream)
                && after >= head.next_seq
                && head.past.is_empty()
            {
                // The recipient has seen more than this node knows of: an older state was put back here.
                tracing::error!(
                    stream = stream.as_str(),
                    "a recipient is ahead of this node: an older state was put back; restore the newest backup or open a new epoch"
                );
                self.trouble.lock().ahead.insert(stream.to_string());
                return Err(RefusalCode::StreamAhead.into());
            }
            self.trouble.lock().ahead.remove(stream.as_str());
            let (node, name) = (self.clone(), stream.clone());
            let list = tokio::task::spawn_blocking(move || node.list(&name, after, limit)).await;
            let list = list.map_err(|_| RefusalCode::Internal)??;
            if !list.batches.is_empty() || tokio::time::Instant::now() >= until {
                return Ok(list);
            }
            let _ = tokio::time::timeout_at(until, news.changed()).await;
        }
    }

    /// Is the stream this member's?
    pub fn my_stream(&self, member: &str, stream: &StreamId) -> Result<(), Refusal> {
        match self.rules().plan.recipient_of(stream) {
            None => Err(RefusalCode::StreamUnknown.into()),
            Some(r) if r.name == member => Ok(()),
            Some(_) => Err(RefusalCode::StreamNotYours.into()),
        }
    }

    fn list(&self, stream: &StreamId, after: u64, limit: usize) -> Result<BatchList, Refusal> {
        let mut batches = Vec::new();
        let mut seq = after;
        let mut more = false;
        while let Some(head) = self.head(stream) {
            if head.held {
                return Err(RefusalCode::StreamHeld.into());
            }
            if batches.len() >= limit {
                more = head.next_seq > seq + 1 || head.first_unsealed < head.next_chunk;
                break;
            }
            if seq + 1 < head.next_seq {
                seq += 1;
                let batch = self.batch(&head, seq).ok_or(RefusalCode::Internal)?;
                batches.push(self.view(stream, &batch)?);
                continue;
            }
            match self.seal(stream) {
                Ok(true) => {}
                Ok(false) => break,
                Err(SealError::Held) => return Err(RefusalCode::StreamHeld.into()),
                Err(SealError::Damaged) if batches.is_empty() => {
                    return Err(RefusalCode::JournalDamaged.into());
                }
                Err(SealError::Commit(e)) if batches.is_empty() => return Err(e.into()),
                Err(_) => break,
            }
        }
        Ok(BatchList { stream: stream.to_string(), epoch: self.epoch(), batches, more })
    }

    /// The batch that took a chunk, in whatever epoch: the number of the stream's batches then, its own, and its row.
    pub(super) fn batch_of_chunk(&self, head: &StreamRow, chunk: u64) -> Option<(u32, u64, BatchRow)> {
        for batches in head.past.iter().chain([&head.batches]).rev() {
            let (from, to) = (stream_key(*batches, chunk), stream_key(*batches, u64::MAX));
            let next = self.kept_rows(Table::BatchOfChunk, &from, Some(&to), 1).ok()?;
            let Some(seq) = next.first().and_then(|(_, v)| serde_json::from_slice::<u64>(v).ok()) else {
                continue;
            };
            let row = self.kept_row(Table::Batch, &stream_key(*batches, seq)).ok()??;
            let batch: BatchRow = serde_json::from_slice(&row).ok()?;
            if batch.first_chunk <= chunk {
                return Some((*batches, seq, batch));
            }
        }
        None
    }

    /// A sealed batch.
    pub fn batch(&self, head: &StreamRow, seq: u64) -> Option<BatchRow> {
        let row = self.kept_row(Table::Batch, &stream_key(head.batches, seq)).ok()??;
        serde_json::from_slice(&row).ok()
    }

    fn view(&self, stream: &StreamId, batch: &BatchRow) -> Result<BatchView, Refusal> {
        let jws = self.read_item(stream, batch.manifest).map_err(|_| RefusalCode::JournalDamaged)?;
        let jws = String::from_utf8(jws).map_err(|_| RefusalCode::Internal)?;
        let manifest = RawValue::from_string(jws).map_err(|_| RefusalCode::Internal)?;
        let (record, _) = self.record_of(batch.index).ok_or(RefusalCode::JournalDamaged)?;
        let (entry, proof) = self.logged(batch.index, &record).ok_or(RefusalCode::JournalDamaged)?;
        Ok(BatchView { manifest, proof, entry: xinqiao_evidence::base64::encode(&entry) })
    }

    /// Finds a payload. What was never handed out is checked once more by the rules in force.
    pub async fn payload(
        self: &Arc<Self>,
        member: &str,
        stream: &StreamId,
        seq: u64,
    ) -> Result<PayloadParts, Refusal> {
        self.my_stream(member, stream)?;
        let head = self.head(stream).ok_or(RefusalCode::BatchUnknown)?;
        if head.held {
            return Err(RefusalCode::StreamHeld.into());
        }
        let batch = self.batch(&head, seq).ok_or(RefusalCode::BatchUnknown)?;
        if batch.void || batch.taken_back {
            return Err(RefusalCode::BatchVoid.into());
        }
        if batch.erased {
            return Err(RefusalCode::BatchExpired.into());
        }
        let rules = self.rules();
        let may_leave = batch.served || batch.released || batch.records == 0;
        if !may_leave && self.changed_since(&rules, stream, &head, batch.description) {
            let (node, stream) = (self.clone(), stream.clone());
            let (rules, head, batch) = (rules.clone(), head.clone(), batch.clone());
            let judge = move || {
                let leaves = node.may_still_leave(&rules, &stream, &head, batch.description)
                    || node.only_recalls(&rules, &stream, &head, &batch);
                if leaves {
                    Ok(true)
                } else {
                    node.take_back(&stream, seq, &batch, "policy-changed").map(|()| false)
                }
            };
            let leaves = tokio::task::spawn_blocking(judge).await.map_err(|_| RefusalCode::Internal)?;
            let leaves = leaves.map_err(|e| match e {
                SealError::Commit(e) => Refusal::from(e),
                _ => RefusalCode::JournalDamaged.into(),
            })?;
            if !leaves {
                return Err(RefusalCode::BatchVoid.into());
            }
        }
        let description = head.descriptions.get(batch.description as usize);
        Ok(PayloadParts {
            rules: rules.number,
            parts: batch.parts,
            bytes: batch.bytes,
            digest: batch.payload_digest,
            media_type: description.map_or("application/octet-stream", |d| d.encoding.media_type()),
            served: batch.served,
        })
    }

    /// Notes that a payload is handed out, before its first byte leaves.
    pub async fn note_served(
        &self,
        stream: &StreamId,
        seq: u64,
        found: &PayloadParts,
    ) -> Result<(), Refusal> {
        if found.served {
            return Ok(());
        }
        let change =
            Change { events: vec![Event::Served { stream: stream.clone(), seq }], ..Change::default() };
        let (name, current) = (stream.clone(), self.while_rules(found.rules));
        let still = move |s: &xinqiao_exchange::state::State| {
            current() && s.streams.get(&name).is_some_and(|h| !h.held)
        };
        match self.change(change, still).await {
            Ok(_) => {}
            Err(super::CommitError::Overtaken) if self.rules().number != found.rules => {
                return Err(RefusalCode::BusyQueue.into());
            }
            Err(super::CommitError::Overtaken) => return Err(RefusalCode::StreamHeld.into()),
            Err(e) => return Err(e.into()),
        }
        self.metrics.batch(stream.as_str(), "served");
        Ok(())
    }

    /// The bytes of one part of a payload. Blocks.
    pub fn payload_part(&self, stream: &StreamId, place: Place) -> Option<Vec<u8>> {
        match self.reader.read(reference(place), stream.as_str().as_bytes()) {
            Ok(bytes) => {
                self.metrics.delivered(stream.as_str(), bytes.len() as u64);
                Some(bytes)
            }
            Err(e) => {
                tracing::error!(
                    code = e.explain().code(),
                    stream = stream.as_str(),
                    segment = reference(place).segment,
                    frame = reference(place).frame,
                    "a payload does not read"
                );
                self.fail("journal.damaged");
                None
            }
        }
    }
}
