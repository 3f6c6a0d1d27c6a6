//! A recipient's answer to a batch, taken once and for all: rejected lines go back to their sources, a rejected batch
//! stays pending.

use super::entries::OWN;
use super::{CommitError, Node, entries};
use bytes::Bytes;
use serde::Serialize;
use std::sync::Arc;
use xinqiao_evidence::acknowledgement::{Acknowledgement, Outcome as SaidOutcome, reading_takes};
use xinqiao_exchange::event::{Acknowledged, Event, Feedback, Outcome};
use xinqiao_exchange::group::{Change, Item, Kind};
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::state::{AcknowledgementRow, BatchRow};
use xinqiao_exchange::table;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};
use xinqiao_runtime::{Account, INLINE, Permit, on_blocking_thread};

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

/// An answer as it came.
pub struct Received {
    /// What it says.
    pub said: Acknowledgement,
    /// The bytes it came in; they are kept as evidence.
    pub as_sent: Bytes,
    /// Whose memory it takes, and how much of it; an answer to a push is the node's own affair.
    pub paid: Option<(Account, Permit)>,
}

/// What became of an answer before anything is written.
enum Step {
    /// It was given before.
    Repeated(AcknowledgedView),
    /// It is to be committed.
    New(New),
}

struct New {
    change: Change,
    outcome: Outcome,
    feedback_records: u64,
}

/// What one error holds until it is committed: its own struct and the feedback made of it, without their texts.
const PER_ERROR: usize = 256;

impl Node {
    /// Takes an answer.
    ///
    /// One answer per stream is looked at and committed at a time: the second finds what the first left, so of two
    /// different ones exactly one is taken. Streams do not wait for each other, and share the journal's syncs.
    pub async fn acknowledge(
        self: &Arc<Self>,
        member: &str,
        stream: &StreamId,
        received: Received,
    ) -> Result<AcknowledgedView, Refusal> {
        self.my_stream(member, stream)?;
        let said = &received.said;
        if said.stream != stream.as_str() {
            return Err(RefusalCode::AcknowledgementMalformed.into());
        }
        if said.node != self.name.as_str() || said.epoch != self.epoch() {
            return Err(RefusalCode::AcknowledgementEpoch.into());
        }
        let Received { said, as_sent, paid } = received;
        let (account, mut paid) = paid.unzip();
        if let Some(paid) = &mut paid {
            settle(paid, &said, as_sent.len())?;
        }
        let seq = said.seq;
        let one_at_a_time = self.acknowledging(stream).lock_owned().await;
        let length = self.work_on(stream, &said, as_sent.len());
        let work = {
            let (node, stream, account) = (self.clone(), stream.clone(), account.clone());
            // The permit goes along: this work goes on when the request is dropped.
            move || (node.look_at(&stream, said, as_sent, account.as_ref()), paid)
        };
        let (step, paid) = match &account {
            Some(account) => account.in_turn(length, work).await,
            None if length <= INLINE => work(),
            None => on_blocking_thread(work).await,
        };
        let New { change, outcome, feedback_records } = match step? {
            Step::Repeated(view) => return Ok(view),
            Step::New(new) => new,
        };
        let committed = self.send_change(change, |_| true)?;
        let (node, of) = (self.clone(), stream.clone());
        // From here on it is committed whether or not the recipient waits for it, so the next answer must wait even if
        // this request is dropped: a task of its own holds the place.
        let done = tokio::spawn(async move {
            let committed = committed.await.unwrap_or(Err(CommitError::Stopping))?;
            drop((one_at_a_time, paid));
            node.metrics.acknowledged(of.as_str(), outcome);
            node.metrics.feedback(of.dataset(), feedback_records);
            if outcome == Outcome::Rejected {
                tracing::error!(
                    stream = of.as_str(),
                    seq,
                    "the recipient rejected a batch as a whole; it stays pending"
                );
            }
            Ok::<_, Refusal>(committed.index)
        });
        let index = done.await.map_err(|_| RefusalCode::Internal)??;
        Ok(AcknowledgedView {
            stream: stream.to_string(),
            seq,
            outcome,
            log_index: Some(index),
            repeated: false,
        })
    }

    /// Held while an answer of this stream is looked at and committed.
    fn acknowledging(&self, stream: &StreamId) -> Arc<tokio::sync::Mutex<()>> {
        // Streams are those of the plan: the map does not grow with what is sent.
        self.acknowledging.lock().entry(stream.clone()).or_default().clone()
    }

    /// Bytes to be worked on: those of the answer, unless the journal has to be read as well.
    fn work_on(&self, stream: &StreamId, said: &Acknowledgement, length: usize) -> usize {
        let batch = || self.batch(&self.head(stream)?, said.seq);
        let reads = !said.errors.is_empty() || batch().is_some_and(|b| b.acknowledgement.is_some());
        if reads { usize::MAX } else { length }
    }

    /// Judges an answer by what is known of its batch. Blocks.
    fn look_at(
        &self,
        stream: &StreamId,
        said: Acknowledgement,
        as_sent: Bytes,
        account: Option<&Account>,
    ) -> Result<Step, Refusal> {
        let seq = said.seq;
        let head = self.head(stream).ok_or(RefusalCode::BatchUnknown)?;
        let batch = self.batch(&head, seq).ok_or(RefusalCode::BatchUnknown)?;
        if said.manifest_digest.sha256.to_hex() != batch.digest {
            return Err(RefusalCode::AcknowledgementDigest.into());
        }
        let outcome = outcome(said.outcome);
        let digest = said.digest();
        let hex = digest.to_hex();
        if let Some(first) = &batch.acknowledgement {
            // `rejected` too: said again at another time it is no news, and its errors have been told.
            let same = first.digest == hex
                || first.outcome == outcome && self.same_acknowledgement(stream, first, &said, account)?;
            if same {
                let stream = stream.to_string();
                let view = AcknowledgedView { stream, seq, outcome, log_index: None, repeated: true };
                return Ok(Step::Repeated(view));
            }
            if first.outcome.is_final() {
                return Err(RefusalCode::AcknowledgementDiffers.into());
            }
        }
        let gone = batch.void || batch.erased;
        if !batch.served && !gone && batch.records > 0 && outcome != Outcome::Rejected {
            return Err(RefusalCode::AcknowledgementNeverServed.into());
        }
        if said.errors.iter().any(|e| e.record >= batch.records) {
            return Err(RefusalCode::AcknowledgementRange.into());
        }
        let entry = entries::acknowledgement(self, stream, &said, digest);
        let errors = said.errors.len() as u32;
        let feedback = self.feedback_for(stream, &batch, said)?;
        let feedback_records = feedback.len() as u64;
        let change = Change {
            events: vec![Event::Acknowledged(Acknowledged {
                stream: stream.clone(),
                seq,
                outcome,
                digest: hex,
                acknowledgement: 0,
                errors,
                feedback,
                time: self.clock.now(),
            })],
            items: vec![Item {
                kind: Kind::Evidence,
                aad: stream.as_str().as_bytes().to_vec(),
                bytes: as_sent.into(),
            }],
            entry: Some(entry),
        };
        Ok(Step::New(New { change, outcome, feedback_records }))
    }

    /// Is it the answer given before, but for its time? A recipient that crashed before it heard us asks again.
    fn same_acknowledgement(
        &self,
        stream: &StreamId,
        first: &AcknowledgementRow,
        said: &Acknowledgement,
        account: Option<&Account>,
    ) -> Result<bool, Refusal> {
        let length = first.place.bytes();
        let _paid =
            account.map(|a| a.take(length.saturating_add(reading_takes(length, true)))).transpose()?;
        let Ok(bytes) = self.read_item(stream, first.place) else { return Ok(false) };
        let given = Acknowledgement::from_json(&bytes)
            .or_else(|_| Acknowledgement::from_jws(&bytes, &self.acknowledgement_keys(stream.recipient())));
        Ok(given.is_ok_and(|given| given.is_same_acknowledgement(said)))
    }

    fn feedback_for(
        &self,
        stream: &StreamId,
        batch: &BatchRow,
        said: Acknowledgement,
    ) -> Result<Vec<Feedback>, Refusal> {
        if said.errors.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = self.read_item(stream, batch.table).map_err(|_| RefusalCode::DiskFailed)?;
        let groups = table::groups(&bytes).map_err(|_| RefusalCode::Internal)?;
        let mut all = Vec::with_capacity(said.errors.len());
        let mut errors = said.errors.into_iter().peekable();
        let (mut first, mut own) = (0u64, 0u64);
        for group in &groups {
            let end = first + u64::from(group.lines);
            if errors.peek().is_none_or(|e| e.record >= end) {
                first = end;
                continue;
            }
            let entries = group.entries().map_err(|_| RefusalCode::Internal)?;
            while let Some(e) = errors.next_if(|e| e.record < end) {
                if group.member == OWN {
                    own += 1;
                    continue;
                }
                let line = &entries[(e.record - first) as usize];
                all.push(Feedback {
                    member: group.member.to_owned(),
                    submission: group.submission,
                    record: line.ordinal,
                    reference: line.reference.map(str::to_owned),
                    stream: stream.clone(),
                    seq: Some(said.seq),
                    code: e.code,
                    message: e.message,
                    time: self.clock.now(),
                });
            }
            first = end;
        }
        if own > 0 {
            // No department can be told: nothing ended by itself stands where the recipient did not take the end.
            tracing::error!(
                stream = stream.as_str(),
                seq = said.seq,
                lines = own,
                "a recipient refused withdrawals of the node's own, ends of publication; the records still stand there: call the recipient"
            );
        }
        Ok(all)
    }
}

/// From here on an answer is its bytes, the texts of its errors, and what is made of them.
fn settle(paid: &mut Permit, said: &Acknowledgement, as_sent: usize) -> Result<(), Refusal> {
    let texts: usize = said.errors.iter().map(|e| e.code.len() + e.message.len()).sum();
    let held = as_sent + texts + said.errors.len() * PER_ERROR;
    paid.shrink_to(held);
    paid.grow(held.saturating_sub(paid.bytes()))
}

fn outcome(o: SaidOutcome) -> Outcome {
    match o {
        SaidOutcome::Accepted => Outcome::Accepted,
        SaidOutcome::Partial => Outcome::Partial,
        SaidOutcome::Rejected => Outcome::Rejected,
    }
}
