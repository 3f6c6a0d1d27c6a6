//! What became of single lines: from the chunk they were committed in to the batch that took them, through being withheld,
//! let out, taken back or queued again in a new epoch, to what the recipient said of each of them.
//!
//! That a batch covers a chunk says nothing of a line: some are left out when it is sealed. So a line is looked for in the
//! batch's own line table, and a recipient's errors are held against the place it has there.

use super::Node;
use std::collections::HashMap;
use xinqiao_evidence::acknowledgement::{Acknowledgement, LineError};
use xinqiao_exchange::event::Outcome;
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::op::Op;
use xinqiao_exchange::secrets::RecordKey;
use xinqiao_exchange::state::{BatchRow, StreamRow, Table, stream_key};
use xinqiao_exchange::table::{self, Entry};
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// How often lines may have been queued again before following them is given up: each time was a restore or an officer.
const AGAIN: usize = 64;

/// Where lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LineState {
    /// They wait for the next batch.
    Queued,
    /// They wait, and an officer put the stream on hold.
    Held,
    /// An officer keeps them back.
    Withheld,
    /// They were left out or thrown away before they were sealed.
    Dropped,
    /// They are in a batch that was not handed out yet.
    Sealed,
    /// They are in a batch that was handed out and not answered.
    Offered,
    /// Their batch is not delivered.
    Void,
    /// Their batch reached its greatest age without a final answer, and its payload is gone.
    Expired,
    /// The recipient has stored them.
    Acknowledged,
    /// The recipient refused these very lines.
    Refused,
    /// The recipient could not take the batch; it stays pending.
    BatchRejected,
}

/// A line of a submission.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) op: Op,
    pub(super) key: RecordKey,
    pub(super) rev: u64,
    /// The record's place in the body of the submission.
    pub(super) ordinal: u32,
}

impl From<&Entry<'_>> for Line {
    fn from(e: &Entry<'_>) -> Self {
        Self { op: e.op, key: e.key, rev: e.rev, ordinal: e.ordinal }
    }
}

/// A line the recipient refused: its record's place in the submission, and the recipient's code.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct RefusedLine {
    /// Zero-based ordinal of the record in the submission.
    record: u32,
    /// The recipient's code.
    code: String,
}

/// Lines of one submission that are in one place.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) state: LineState,
    pub(super) count: u32,
    /// The batch, once sealed.
    pub(super) seq: Option<u64>,
    /// What the recipient refused of them.
    pub(super) refused: Vec<RefusedLine>,
}

/// A batch as it is needed here: places of a submission's lines by key and rev, and what was said of any line.
struct Seen {
    batch: BatchRow,
    places: HashMap<(RecordKey, u64), u64>,
    errors: Vec<LineError>,
}

/// Batches that were looked at for one submission: its chunks often share one.
pub(super) struct Batches {
    /// The submission's index in the log.
    submission: u64,
    seen: HashMap<(StreamId, u32, u64), Seen>,
}

impl Batches {
    /// None so far.
    pub(super) fn of(submission: u64) -> Self {
        Self { submission, seen: HashMap::new() }
    }
}

impl Node {
    /// Where lines of a submission are that were committed in this chunk.
    pub(super) fn follow(
        &self,
        stream: &StreamId,
        chunk: u64,
        lines: Vec<Line>,
        batches: &mut Batches,
    ) -> Result<Vec<Lines>, Refusal> {
        let head = self.head(stream).ok_or(RefusalCode::Internal)?;
        let mut found = Vec::new();
        let mut waiting = vec![(chunk, lines)];
        for _ in 0..AGAIN {
            let Some((chunk, lines)) = waiting.pop() else { break };
            if !lines.is_empty() {
                waiting.extend(self.follow_once((stream, &head), chunk, lines, batches, &mut found)?);
            }
        }
        waiting.iter().for_each(|(_, lines)| put_lines(&mut found, LineState::Queued, lines, None));
        Ok(found)
    }

    /// Where these lines are, but for those that wait again: they come back, with the chunk they wait in.
    fn follow_once(
        &self,
        (stream, head): (&StreamId, &StreamRow),
        chunk: u64,
        lines: Vec<Line>,
        batches: &mut Batches,
        found: &mut Vec<Lines>,
    ) -> Result<Vec<(u64, Vec<Line>)>, Refusal> {
        let key = stream_key(head.id, chunk);
        let row = |table: Table| self.queue().get(table as u8, &key).map_err(|_| RefusalCode::Internal);
        let withheld = row(Table::Withheld)?.is_some();
        if chunk >= head.first_unsealed {
            let kept_back = |line: &Line| withheld && line.op == Op::Put;
            let (kept, waits): (Vec<_>, Vec<_>) = lines.into_iter().partition(kept_back);
            put_lines(found, LineState::Withheld, &kept, None);
            let state = if head.held { LineState::Held } else { LineState::Queued };
            put_lines(found, state, &waits, None);
            return Ok(Vec::new());
        }
        let mut again = Vec::new();
        let mut left_out = lines;
        if let Some((number, seq, batch)) = self.batch_of_chunk(head, chunk) {
            let name = (stream.clone(), number, seq);
            if !batches.seen.contains_key(&name) {
                let seen = self.look_at_batch(stream, batch, batches.submission)?;
                batches.seen.insert(name.clone(), seen);
            }
            let seen = &batches.seen[&name];
            let (inside, rest): (Vec<_>, Vec<_>) =
                left_out.into_iter().partition(|line| seen.places.contains_key(&(line.key, line.rev)));
            left_out = rest;
            let current = number == head.batches;
            again.extend(seen.settle(current, seq, inside, found));
        }
        if withheld {
            put_lines(found, LineState::Withheld, &left_out, None);
        } else if let Some(value) = row(Table::Again)? {
            let next: u64 = serde_json::from_slice(&value).map_err(|_| RefusalCode::Internal)?;
            again.push((next, left_out));
        } else {
            put_lines(found, LineState::Dropped, &left_out, None);
        }
        Ok(again)
    }

    /// A batch, with the places of this submission's lines in it.
    fn look_at_batch(&self, stream: &StreamId, batch: BatchRow, submission: u64) -> Result<Seen, Refusal> {
        let bytes = self.read_item(stream, batch.table).map_err(|_| RefusalCode::JournalDamaged)?;
        let mut places = HashMap::new();
        let mut first = 0;
        for group in table::groups(&bytes).map_err(|_| RefusalCode::Internal)? {
            if group.submission == submission {
                let entries = group.entries().map_err(|_| RefusalCode::Internal)?;
                places.extend((first..).zip(&entries).map(|(place, e)| ((e.key, e.rev), place)));
            }
            first += u64::from(group.lines);
        }
        let mut errors = Vec::new();
        if let Some(given) = batch.acknowledgement.as_ref().filter(|a| a.outcome == Outcome::Partial) {
            let bytes = self.read_item(stream, given.place).map_err(|_| RefusalCode::JournalDamaged)?;
            let given = Acknowledgement::from_evidence(&bytes).map_err(|_| RefusalCode::JournalDamaged)?;
            errors = given.errors;
        }
        Ok(Seen { batch, places, errors })
    }
}

fn put_lines(found: &mut Vec<Lines>, state: LineState, lines: &[Line], seq: Option<u64>) {
    if !lines.is_empty() {
        found.push(Lines { state, count: lines.len() as u32, seq, refused: Vec::new() });
    }
}

impl Seen {
    /// Says where lines of this batch are; those that wait again come back, with the chunk they wait in.
    fn settle(
        &self,
        current_epoch: bool,
        seq: u64,
        lines: Vec<Line>,
        found: &mut Vec<Lines>,
    ) -> Option<(u64, Vec<Line>)> {
        let batch = &self.batch;
        let outcome = batch.acknowledgement.as_ref().map(|a| a.outcome);
        let is_final = outcome.is_some_and(Outcome::is_final);
        let state = match outcome {
            _ if batch.void => LineState::Void,
            _ if batch.taken_back => {
                let (gone, recalls): (Vec<_>, Vec<_>) =
                    lines.into_iter().partition(|line| line.op == Op::Put || batch.again.is_none());
                put_lines(found, LineState::Void, &gone, Some(seq));
                return batch.again.map(|chunk| (chunk, recalls));
            }
            // It was never handed out: that an empty place was accepted delivers nothing.
            Some(_) if is_final && batch.erased && !batch.served => LineState::Void,
            Some(Outcome::Accepted) => LineState::Acknowledged,
            Some(Outcome::Partial) => return self.line_by_line(seq, &lines, found),
            _ if batch.again.is_some() => return batch.again.map(|chunk| (chunk, lines)),
            _ if batch.erased && current_epoch => LineState::Expired,
            // Of an earlier epoch, in a queue built by an earlier version, which did not note where its lines wait.
            _ if batch.erased => LineState::Queued,
            Some(Outcome::Rejected) => LineState::BatchRejected,
            None if batch.served => LineState::Offered,
            None => LineState::Sealed,
        };
        put_lines(found, state, &lines, Some(seq));
        None
    }

    fn line_by_line(&self, seq: u64, lines: &[Line], found: &mut Vec<Lines>) -> Option<(u64, Vec<Line>)> {
        let mut refused = Vec::new();
        let mut taken = 0;
        for line in lines {
            let place = self.places.get(&(line.key, line.rev));
            let error = place.and_then(|place| self.errors.binary_search_by_key(place, |e| e.record).ok());
            match error {
                Some(at) => {
                    refused.push(RefusedLine { record: line.ordinal, code: self.errors[at].code.clone() });
                }
                None => taken += 1,
            }
        }
        if taken > 0 {
            let state = LineState::Acknowledged;
            found.push(Lines { state, count: taken, seq: Some(seq), refused: Vec::new() });
        }
        if !refused.is_empty() {
            let count = refused.len() as u32;
            found.push(Lines { state: LineState::Refused, count, seq: Some(seq), refused });
        }
        None
    }
}
