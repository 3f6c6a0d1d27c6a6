//! What members read about their own: submissions, feedback, recalls, and the log.

use super::Node;
use super::follow::{Batches, Line, LineState, Lines, RefusedLine};
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use xinqiao_certs::Role;
use xinqiao_exchange::event::{Event, Feedback, FrameRecord, Submitted};
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::op::Op;
use xinqiao_exchange::secrets::RecordKey;
use xinqiao_exchange::state::{GroupChunkRow, Table, feedback_key, group_chunk_key};
use xinqiao_exchange::table;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// The most feedback in one answer.
pub const FEEDBACK_CAP: usize = 1_000;
/// The most refused lines that are named in one place of a recall; feedback names them all.
const ERRORS_CAP: usize = 100;

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
    /// Lines of these the recipient refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u32>,
}

/// A recall and how far it has got. Any operation but a put is one, and so is the part of a put that withdraws another
/// record (`replaces`, or a status that says so).
#[derive(Serialize)]
pub struct RecallView {
    recall: String,
    dataset: String,
    op: Op,
    state: RecallProgress,
    /// Every recipient has stored it, none of them is a relay, and every record it names is known.
    complete: bool,
    /// Records it names that nobody knows: for those nothing was recalled, and nothing is confirmed.
    #[serde(skip_serializing_if = "is_none")]
    nothing_known: u32,
    recipients: Vec<RecallState>,
}

/// How far a recall has got, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecallProgress {
    /// A recipient refused it or will not get it: somebody has to act.
    Failed,
    /// A recipient has not answered.
    Open,
    /// Some or all of what it names is not known here; what is has been stored by every recipient.
    NothingKnown,
    /// Every recipient has stored it; what lies behind the relays among them is not known here.
    ConfirmedNextTierOnly,
    /// Every recipient has stored it, and none of them passes it on.
    Complete,
}

#[derive(Serialize)]
struct RecallState {
    stream: String,
    recipient: String,
    lines: u32,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<RefusedLine>,
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
            streams: self.stream_states(member, index, &record)?,
        })
    }

    /// How far a recall has got, by the id of its submission; only the member's own.
    pub fn recall_view(&self, member: &str, id: &str) -> Result<RecallView, Refusal> {
        let index = self.submission_index(id, member).ok_or(RefusalCode::RecallUnknown)?;
        let (record, submitted) = self.submitted(index).ok_or(RefusalCode::RecallUnknown)?;
        let recalled = (submitted.op == Op::Put).then(|| recalled_by(&record, index));
        if recalled.as_ref().is_some_and(HashSet::is_empty) {
            return Err(RefusalCode::RecallUnknown.into());
        }
        let unknown = unknown_records(&submitted);
        let is_meant = |stream: &StreamId, line: &Line| {
            recalled.as_ref().is_none_or(|keys| keys.contains(&(stream.clone(), line.key, line.rev)))
                && !unknown.contains(&line.ordinal)
        };
        let found = self.places_of(member, index, &record, &is_meant)?;
        let rules = self.rules();
        let is_relay = |name: &str| rules.members().iter().any(|m| m.name == name && m.role == Role::Relay);
        let recipients: Vec<RecallState> = found
            .iter()
            .flat_map(|(stream, found)| found.iter().map(move |lines| (stream, lines)))
            .map(|(stream, lines)| RecallState {
                stream: stream.to_string(),
                recipient: stream.recipient().to_owned(),
                lines: lines.count,
                state: recall_word(lines.state, is_relay(stream.recipient())),
                seq: lines.seq,
                errors: lines.refused.iter().take(ERRORS_CAP).cloned().collect(),
            })
            .collect();
        let states = || found.iter().flat_map(|(_, found)| found.iter().map(|lines| lines.state));
        let state = if states().any(is_lost) {
            RecallProgress::Failed
        } else if states().any(|state| state != LineState::Acknowledged) {
            RecallProgress::Open
        } else if submitted.unknown > 0 {
            RecallProgress::NothingKnown
        } else if recipients.is_empty() {
            RecallProgress::Open
        } else if recipients.iter().any(|r| is_relay(&r.recipient)) {
            RecallProgress::ConfirmedNextTierOnly
        } else {
            RecallProgress::Complete
        };
        Ok(RecallView {
            recall: id.to_owned(),
            dataset: submitted.dataset,
            op: submitted.op,
            state,
            complete: state == RecallProgress::Complete,
            nothing_known: submitted.unknown,
            recipients,
        })
    }

    fn stream_states(
        &self,
        member: &str,
        index: u64,
        record: &FrameRecord,
    ) -> Result<Vec<StreamState>, Refusal> {
        let mut all: Vec<StreamState> = Vec::new();
        for (stream, found) in self.places_of(member, index, record, &|_, _| true)? {
            let first = all.len();
            for lines in found {
                let refused = (lines.state == LineState::Refused).then_some(lines.count);
                // What was taken and what was refused of one chunk is one answer.
                let answered = all[first..].iter_mut().find(|s| {
                    refused.is_some() && s.seq == lines.seq && s.state == word(LineState::Acknowledged)
                });
                if let Some(answered) = answered {
                    answered.lines += lines.count;
                    answered.state = word(lines.state);
                    answered.rejected = refused;
                    continue;
                }
                all.push(StreamState {
                    stream: stream.to_string(),
                    recipient: stream.recipient().to_owned(),
                    lines: lines.count,
                    state: word(lines.state),
                    seq: lines.seq,
                    rejected: refused,
                });
            }
        }
        Ok(all)
    }

    /// Where the lines of a submission are that are meant, chunk by chunk.
    fn places_of(
        &self,
        member: &str,
        index: u64,
        record: &FrameRecord,
        is_meant: &dyn Fn(&StreamId, &Line) -> bool,
    ) -> Result<Vec<(StreamId, Vec<Lines>)>, Refusal> {
        let from = group_chunk_key(record.first_index, 0);
        let to = group_chunk_key(record.first_index, u16::MAX);
        let rows = self.kept_rows(Table::GroupChunk, &from, Some(&to), usize::from(u16::MAX));
        let mut all = Vec::new();
        let mut batches = Batches::of(index);
        for (_, value) in rows.map_err(|_| RefusalCode::Internal)? {
            let chunk: GroupChunkRow = serde_json::from_slice(&value).map_err(|_| RefusalCode::Internal)?;
            let bytes =
                self.read_item(&chunk.stream, chunk.table).map_err(|_| RefusalCode::JournalDamaged)?;
            let mut lines = Vec::new();
            for group in table::groups(&bytes).map_err(|_| RefusalCode::Internal)? {
                // The node's own lines bear the index of whatever was committed last before them.
                if group.submission == index && group.member == member {
                    let entries = group.entries().map_err(|_| RefusalCode::Internal)?;
                    lines.extend(entries.iter().map(Line::from).filter(|l| is_meant(&chunk.stream, l)));
                }
            }
            if !lines.is_empty() {
                let found = self.follow(&chunk.stream, chunk.chunk, lines, &mut batches)?;
                all.push((chunk.stream, found));
            }
        }
        Ok(all)
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

fn is_none(n: &u32) -> bool {
    *n == 0
}

/// The records of a recall that nobody knows, by their places in its body.
fn unknown_records(submitted: &Submitted) -> HashSet<u32> {
    #[derive(serde::Deserialize)]
    struct Found<'a> {
        #[serde(borrow)]
        code: std::borrow::Cow<'a, str>,
        record: Option<u32>,
    }
    if submitted.unknown == 0 {
        return HashSet::new();
    }
    let found: Vec<Found<'_>> = serde_json::from_str(&submitted.rejected).unwrap_or_default();
    found.iter().filter(|f| f.code == "recall.nothing-known").filter_map(|f| f.record).collect()
}

/// What a submission recalled, by the events of its frame: stream, key and rev of each line.
fn recalled_by(record: &FrameRecord, index: u64) -> HashSet<(StreamId, RecordKey, u64)> {
    let recalls = record.events.iter().filter_map(|event| match event {
        Event::Recalled(recall) if recall.index == index => Some(recall),
        _ => None,
    });
    let keys = |(stream, key): &(StreamId, String)| Some((stream.clone(), RecordKey::parse(key)?));
    recalls
        .flat_map(|recall| recall.keys.iter().filter_map(keys).map(|(s, key)| (s, key, recall.rev)))
        .collect()
}

/// Will these lines never stand at the recipient unless somebody acts?
fn is_lost(state: LineState) -> bool {
    matches!(state, LineState::Refused | LineState::Dropped | LineState::Void | LineState::Expired)
}

/// The word for a place of any lines.
fn word(state: LineState) -> &'static str {
    match state {
        LineState::Queued => "queued",
        LineState::Held => "held",
        LineState::Withheld => "withheld",
        LineState::Dropped => "dropped",
        LineState::Sealed => "sealed",
        LineState::Offered => "offered",
        LineState::Void => "void",
        LineState::Expired => "expired",
        LineState::Acknowledged => "acknowledged",
        LineState::Refused => "partly-rejected",
        LineState::BatchRejected => "batch-rejected",
    }
}

/// The word for a place of a recall.
fn recall_word(state: LineState, relay: bool) -> &'static str {
    match state {
        LineState::Queued => "pending",
        LineState::Acknowledged if relay => "confirmed-next-tier-only",
        LineState::Acknowledged => "confirmed",
        LineState::Refused => "refused",
        other => word(other),
    }
}
