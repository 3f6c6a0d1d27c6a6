//! What members read about their own: submissions, feedback, recalls, and the log.

use super::Node;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use xinqiao_exchange::event::{Feedback, FrameRecord, Outcome};
use xinqiao_exchange::op::Op;
use xinqiao_exchange::state::{GroupChunkRow, Table, feedback_key, group_chunk_key, stream_key};
use xinqiao_exchange::table;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// The most feedback in one answer.
pub const FEEDBACK_CAP: usize = 1_000;

/// Where the records of a submission are, stream by stream.
#[derive(Serialize)]
pub struct SubmissionView {
    submission: String,
    dataset: String,
    op: Op,
    accepted: u32,
    refused: u32,
    warned: u32,
    streams: Vec<StreamState>,
}

/// Where the lines of a submission for one stream are.
#[derive(Serialize)]
pub struct StreamState {
    stream: String,
    recipient: String,
    lines: u32,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u32>,
}

/// A recall and how far it has got.
#[derive(Serialize)]
pub struct RecallView {
    recall: String,
    dataset: String,
    op: Op,
    complete: bool,
    recipients: Vec<RecallState>,
}

#[derive(Serialize)]
struct RecallState {
    stream: String,
    recipient: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

/// News for a department.
#[derive(Serialize)]
pub struct FeedbackList {
    feedback: Vec<FeedbackView>,
    next: u64,
}

#[derive(Serialize)]
struct FeedbackView {
    n: u64,
    submission: String,
    record: u32,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    stream: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    code: String,
    message: String,
    time: String,
}

impl Node {
    /// A department's own submission.
    pub fn submission_view(&self, member: &str, id: &str) -> Result<SubmissionView, Refusal> {
        let index = self.submission_index(id, member).ok_or(RefusalCode::SubmissionUnknown)?;
        let (record, submitted) = self.submitted(index).ok_or(RefusalCode::SubmissionUnknown)?;
        Ok(SubmissionView {
            submission: id.to_owned(),
            dataset: submitted.dataset,
            op: submitted.op,
            accepted: submitted.accepted,
            refused: submitted.refused,
            warned: submitted.warned,
            streams: self.stream_states(index, &record)?,
        })
    }

    /// A recall, by its submission's id. Officers may name any; a department its own.
    pub fn recall_view(&self, member: &str, id: &str) -> Result<RecallView, Refusal> {
        let index = self.submission_index(id, member).ok_or(RefusalCode::RecallUnknown)?;
        let (record, submitted) = self.submitted(index).ok_or(RefusalCode::RecallUnknown)?;
        if !submitted.op.is_recall() {
            return Err(RefusalCode::RecallUnknown.into());
        }
        let states = self.stream_states(index, &record)?;
        let recipients: Vec<RecallState> = states
            .into_iter()
            .map(|s| RecallState {
                stream: s.stream,
                recipient: s.recipient,
                state: match s.state {
                    "acknowledged" | "partly-rejected" => "confirmed",
                    "queued" => "pending",
                    other => other,
                },
                seq: s.seq,
            })
            .collect();
        Ok(RecallView {
            recall: id.to_owned(),
            dataset: submitted.dataset,
            op: submitted.op,
            complete: recipients.iter().all(|r| r.state == "confirmed"),
            recipients,
        })
    }

    fn stream_states(&self, index: u64, record: &FrameRecord) -> Result<Vec<StreamState>, Refusal> {
        let from = group_chunk_key(record.first_index, 0);
        let to = group_chunk_key(record.first_index, u16::MAX);
        let rows = self.kept_rows(Table::GroupChunk, &from, Some(&to), usize::from(u16::MAX));
        let mut all = Vec::new();
        for (_, value) in rows.map_err(|_| RefusalCode::Internal)? {
            let chunk: GroupChunkRow = serde_json::from_slice(&value).map_err(|_| RefusalCode::Internal)?;
            let bytes =
                self.read_item(&chunk.stream, chunk.table).map_err(|_| RefusalCode::JournalDamaged)?;
            let groups = table::groups(&bytes).map_err(|_| RefusalCode::Internal)?;
            let lines: u32 = groups.iter().filter(|g| g.submission == index).map(|g| g.lines).sum();
            if lines > 0 {
                all.push(self.stream_state(&chunk, lines)?);
            }
        }
        Ok(all)
    }

    /// Where the lines of a chunk ended up: in the batch that took it, or in the queue.
    fn stream_state(&self, chunk: &GroupChunkRow, lines: u32) -> Result<StreamState, Refusal> {
        let head = self.head(&chunk.stream).ok_or(RefusalCode::Internal)?;
        let mut state = StreamState {
            stream: chunk.stream.to_string(),
            recipient: chunk.stream.recipient().to_owned(),
            lines,
            state: if head.held { "held" } else { "queued" },
            seq: None,
            rejected: None,
        };
        let queue = self.queue();
        let key = stream_key(head.id, chunk.chunk);
        if queue.get(Table::Withheld as u8, &key).map_err(|_| RefusalCode::Internal)?.is_some() {
            state.state = "withheld";
            return Ok(state);
        }
        if chunk.chunk >= head.first_unsealed {
            return Ok(state);
        }
        let Some((seq, batch)) = self.batch_of_chunk(&head, chunk.chunk) else {
            state.state = "dropped";
            return Ok(state);
        };
        state.seq = Some(seq);
        state.state = match batch.acknowledgement.as_ref().map(|a| a.outcome) {
            _ if batch.void || batch.taken_back => "void",
            // It was never handed out: that an empty place was accepted delivers nothing.
            Some(_) if batch.erased && !batch.served => "void",
            // A batch of an earlier epoch nobody answered: its lines wait again.
            None if batch.erased => "queued",
            None => "sealed",
            Some(Outcome::Accepted) => "acknowledged",
            Some(Outcome::Partial) => "partly-rejected",
            Some(Outcome::Rejected) => "batch-rejected",
        };
        state.rejected = batch.acknowledgement.map(|a| a.errors).filter(|n| *n > 0);
        Ok(state)
    }

    /// News after a number; waits for the first up to `wait`.
    pub async fn feedback(
        self: &Arc<Self>,
        member: &str,
        after: u64,
        wait: Duration,
    ) -> Result<FeedbackList, Refusal> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let mut news = self.news();
            news.mark_unchanged();
            let list = self.feedback_now(member, after)?;
            if !list.feedback.is_empty() || tokio::time::Instant::now() >= until {
                return Ok(list);
            }
            let _ = tokio::time::timeout_at(until, news.changed()).await;
        }
    }

    fn feedback_now(&self, member: &str, after: u64) -> Result<FeedbackList, Refusal> {
        let from = feedback_key(member, after.saturating_add(1));
        let to = feedback_key(member, u64::MAX);
        let rows = self.kept_rows(Table::Feedback, &from, Some(&to), FEEDBACK_CAP);
        let mut feedback = Vec::new();
        let mut next = after;
        for (key, value) in rows.map_err(|_| RefusalCode::Internal)? {
            let f: Feedback = serde_json::from_slice(&value).map_err(|_| RefusalCode::Internal)?;
            next = key.last_chunk::<8>().map_or(next, |b| u64::from_be_bytes(*b));
            feedback.push(FeedbackView {
                n: next,
                submission: self.submission_id(f.submission, member),
                record: f.record,
                reference: f.reference,
                stream: f.stream.to_string(),
                seq: f.seq,
                code: f.code,
                message: f.message,
                time: super::entries::timestamp(f.time),
            });
        }
        Ok(FeedbackList { feedback, next })
    }
}
