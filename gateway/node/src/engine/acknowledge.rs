//! A recipient's answer to a batch, taken once and for all: rejected lines go back to their sources, a rejected batch
//! stays pending.

use super::{CommitError, Node, entries};
use serde::Serialize;
use xinqiao_evidence::acknowledgement::{Acknowledgement, Outcome as Answered};
use xinqiao_exchange::event::{Acknowledged, Event, Feedback, Outcome};
use xinqiao_exchange::group::{Change, Item, Kind};
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::state::{AnswerRow, BatchRow};
use xinqiao_exchange::table;
use xinqiao_runtime::problem::{Problem, ProblemCode};

/// What a recipient hears back.
#[derive(Serialize)]
pub struct AcknowledgedView {
    stream: String,
    seq: u64,
    outcome: Outcome,
    /// Index of the answer's entry in the node's log; absent when the same answer came before.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_index: Option<u64>,
    repeated: bool,
}

impl Node {
    /// Takes an answer. `as_sent` is kept as evidence.
    pub async fn acknowledge(
        &self,
        member: &str,
        stream: &StreamId,
        answer: &Acknowledgement,
        as_sent: Vec<u8>,
    ) -> Result<AcknowledgedView, Problem> {
        self.my_stream(member, stream)?;
        if answer.stream != stream.as_str() {
            return Err(ProblemCode::AcknowledgementMalformed.into());
        }
        if answer.node != self.name.as_str() || answer.epoch != self.epoch() {
            return Err(ProblemCode::AcknowledgementEpoch.into());
        }
        for _ in 0..4 {
            let head = self.head(stream).ok_or(ProblemCode::BatchUnknown)?;
            let batch = self.batch(&head, answer.seq).ok_or(ProblemCode::BatchUnknown)?;
            if answer.manifest_digest.sha256.to_hex() != batch.digest {
                return Err(ProblemCode::AcknowledgementDigest.into());
            }
            let outcome = outcome(answer.outcome);
            let digest = answer.digest().to_hex();
            if let Some(first) = batch.answer.as_ref().filter(|a| a.outcome.is_final() || a.digest == digest)
            {
                if first.digest == digest || self.same_answer(stream, first, answer) {
                    let (seq, log_index) = (answer.seq, None);
                    return Ok(AcknowledgedView {
                        stream: stream.to_string(),
                        seq,
                        outcome,
                        log_index,
                        repeated: true,
                    });
                }
                return Err(ProblemCode::AcknowledgementDiffers.into());
            }
            let gone = batch.void || batch.erased;
            if !batch.served && !gone && batch.records > 0 && outcome != Outcome::Rejected {
                return Err(ProblemCode::AcknowledgementNeverServed.into());
            }
            if answer.errors.iter().any(|e| e.record >= batch.records) {
                return Err(ProblemCode::AcknowledgementRange.into());
            }
            let feedback = self.feedback_for(stream, &batch, answer)?;
            let told = feedback.len() as u64;
            let change = Change {
                events: vec![Event::Acknowledged(Acknowledged {
                    stream: stream.clone(),
                    seq: answer.seq,
                    outcome,
                    digest: digest.clone(),
                    answer: 0,
                    errors: answer.errors.len() as u32,
                    feedback,
                    time: self.clock.now(),
                })],
                items: vec![Item {
                    kind: Kind::Evidence,
                    aad: stream.as_str().as_bytes().to_vec(),
                    bytes: as_sent.clone(),
                }],
                entry: Some(entries::acknowledgement(self, stream, answer)),
            };
            // Two answers at once: the second looks again at what the first left.
            let turn = self.answers.lock().await;
            let now = self.batch(&head, answer.seq).ok_or(ProblemCode::BatchUnknown)?;
            if now.answer.map(|a| a.digest) != batch.answer.map(|a| a.digest) {
                drop(turn);
                continue;
            }
            let committed = match self.change(change, |_| true).await {
                Ok(c) => c,
                Err(CommitError::Overtaken) => continue,
                Err(e) => return Err(e.into()),
            };
            drop(turn);
            self.metrics.acknowledged(stream.as_str(), outcome);
            self.metrics.feedback(stream.dataset(), told);
            if outcome == Outcome::Rejected {
                tracing::error!(
                    stream = stream.as_str(),
                    seq = answer.seq,
                    "the recipient rejected a batch as a whole; it stays pending"
                );
            }
            return Ok(AcknowledgedView {
                stream: stream.to_string(),
                seq: answer.seq,
                outcome,
                log_index: Some(committed.index),
                repeated: false,
            });
        }
        Err(ProblemCode::BusyQueue.into())
    }

    /// Is it the answer given before, but for its time? A recipient that crashed before it heard us asks again.
    fn same_answer(&self, stream: &StreamId, first: &AnswerRow, answer: &Acknowledgement) -> bool {
        let Ok(bytes) = self.read_item(stream, first.place) else { return false };
        let given = Acknowledgement::from_json(&bytes)
            .or_else(|_| Acknowledgement::from_jws(&bytes, &self.acknowledgement_keys(stream.recipient())));
        given.is_ok_and(|given| given.is_same_answer(answer))
    }

    fn feedback_for(
        &self,
        stream: &StreamId,
        batch: &BatchRow,
        answer: &Acknowledgement,
    ) -> Result<Vec<Feedback>, Problem> {
        if answer.errors.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = self.read_item(stream, batch.table).map_err(|_| ProblemCode::DiskFailed)?;
        let groups = table::groups(&bytes).map_err(|_| ProblemCode::Internal)?;
        let mut all = Vec::with_capacity(answer.errors.len());
        let mut errors = answer.errors.iter().peekable();
        let mut first = 0u64;
        for group in &groups {
            let end = first + u64::from(group.lines);
            if errors.peek().is_none_or(|e| e.record >= end) {
                first = end;
                continue;
            }
            let entries = group.entries().map_err(|_| ProblemCode::Internal)?;
            while let Some(e) = errors.next_if(|e| e.record < end) {
                let line = &entries[(e.record - first) as usize];
                all.push(Feedback {
                    member: group.member.to_owned(),
                    submission: group.submission,
                    record: line.ordinal,
                    reference: line.reference.map(str::to_owned),
                    stream: stream.clone(),
                    seq: Some(answer.seq),
                    code: e.code.clone(),
                    message: e.message.clone(),
                    time: self.clock.now(),
                });
            }
            first = end;
        }
        Ok(all)
    }
}

fn outcome(o: Answered) -> Outcome {
    match o {
        Answered::Accepted => Outcome::Accepted,
        Answered::Partial => Outcome::Partial,
        Answered::Rejected => Outcome::Rejected,
    }
}
