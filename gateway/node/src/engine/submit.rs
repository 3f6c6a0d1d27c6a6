//! A submission from its decoded body to its receipt: once per idempotency key, judged, committed, answered. The
//! answer repeats byte for byte because it is built from what the journal and the log hold.

use super::Node;
use super::commit_error::CommitError;
use super::committer::{Committed, Job, RECORD_AAD, SubmissionJob};
use super::entries::{self, SubmissionEntry};
use super::pieces::in_pieces;
use super::places::reference;
use super::rows::idem_parts;
use super::rules::Rules;
use bytes::Bytes;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use xinqiao_crypto::hex;
use xinqiao_evidence::base64;
use xinqiao_evidence::receipt::Salt;
use xinqiao_exchange::accept::{Prepared, Submission, Surroundings, accept};
use xinqiao_exchange::event::{Event, FrameRecord, Submitted};
use xinqiao_exchange::group::Ready;
use xinqiao_exchange::op::{Load, Op};
use xinqiao_exchange::plan::DatasetPlan;
use xinqiao_exchange::state::{GroupRow, Place, Table};
use xinqiao_runtime::Account;
use xinqiao_runtime::problem::{Problem, ProblemCode};
use xinqiao_schemas::{BodyError, Charset, Format};
use xinqiao_store::ReadError;

/// Bodies up to this length are judged on the reactor; longer ones on a thread of their own.
const INLINE: usize = 32 << 10;

/// A submission, parsed and authorised as far as its header goes.
pub struct Request {
    /// Who sends it.
    pub member: String,
    /// The dataset.
    pub dataset: String,
    /// The schema it names.
    pub schema: Option<String>,
    /// The operation.
    pub op: Op,
    /// The load.
    pub load: Load,
    /// The form of the body.
    pub format: Format,
    /// Its character set.
    pub charset: Charset,
    /// All or nothing.
    pub strict: bool,
    /// The sender's key for this submission.
    pub idempotency_key: String,
    /// The body, decompressed.
    pub body: Bytes,
    /// The sender's account: long work waits for its turn.
    pub account: Account,
}

impl Node {
    /// Is it worth reading the body? Everything the header decides.
    pub fn may_submit(&self, request: &Request) -> Result<(), Problem> {
        self.may_submit_under(&self.rules(), request)
    }

    fn may_submit_under(&self, rules: &Rules, request: &Request) -> Result<(), Problem> {
        let source = rules.sources.get(&request.member).ok_or(ProblemCode::RoleWrong)?;
        let dataset = rules.plan.dataset(&request.dataset).ok_or(ProblemCode::DatasetUnknown)?;
        if dataset.recipients.is_empty() {
            // What nobody receives is not taken: a receipt would promise a delivery that cannot come.
            return Err(ProblemCode::DatasetUnknown.into());
        }
        if !source.may_send(&request.dataset) {
            return Err(ProblemCode::DatasetNotYours.into());
        }
        self.choose_schema(dataset, request.schema.as_deref()).map(|_| ())
    }

    /// Takes a submission; the bytes of the 201 answer come back.
    pub async fn submit(self: &Arc<Self>, request: Request) -> Result<Bytes, Problem> {
        self.may_submit(&request)?;
        let key = self.idempotency_key(&request.member, &request.idempotency_key);
        let request = Arc::new(request);
        let print = self.long_work(&request, Self::fingerprint).await?;
        let _turn = loop {
            match self.take_turn(key) {
                Ok(turn) => break turn,
                Err(mut first) => {
                    let _ = first.changed().await;
                }
            }
        };
        if let Some(answer) = self.answered(&key, &print).await? {
            self.metrics.repeated(&request.dataset);
            return Ok(answer);
        }
        let received = self.clock.now();
        for _ in 0..8 {
            // Rules may change while a submission is on its way: each attempt is judged by those in force.
            let rules = self.rules();
            self.may_submit_under(&rules, &request)?;
            let by = rules.clone();
            let judged = self.long_work(&request, move |node, request| node.judge(&by, request, received));
            let made = judged.await??;
            let (reply, answer) = oneshot::channel();
            let rules = rules.number;
            let job = SubmissionJob { ready: made.ready, rules, idempotency: Some((key, print)), reply };
            self.jobs.send(Job::Submission(Box::new(job))).map_err(|_| ProblemCode::BusyDraining)?;
            match answer.await.unwrap_or(Err(CommitError::Stopping)) {
                Ok(committed) => return Ok(self.answer(&committed, made.answer)),
                Err(CommitError::JudgeAgain) => continue,
                Err(e) => return Err(e.into()),
            }
        }
        Err(ProblemCode::BusyQueue.into())
    }

    fn choose_schema<'a>(
        &self,
        dataset: &'a DatasetPlan,
        schema: Option<&str>,
    ) -> Result<&'a xinqiao_exchange::plan::SchemaPlan, Problem> {
        dataset.schema(schema).ok_or_else(|| match schema {
            None => ProblemCode::SchemaMissing.into(),
            Some(_) => ProblemCode::SchemaUnknown.into(),
        })
    }

    /// Work in proportion to the body: a long one's waits for its sender's turn, on a thread of its own.
    async fn long_work<T: Send + 'static>(
        self: &Arc<Self>,
        request: &Arc<Request>,
        work: impl FnOnce(&Self, &Request) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        if request.body.len() <= INLINE {
            return Ok(work(self, request));
        }
        let (node, request) = (self.clone(), request.clone());
        let turn = request.account.turn().await;
        let work = move || {
            let _turn = turn;
            work(&node, &request)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| ProblemCode::Internal.into())
    }

    fn judge(&self, rules: &Rules, request: &Request, received: i64) -> Result<Made, Problem> {
        let prepared = self.judge_now(rules, request).map_err(|e| body_problem(&e))?;
        if prepared.accepted == 0 {
            return Err(refused(ProblemCode::RecordsRefused, prepared));
        }
        if request.strict && prepared.refused > 0 {
            return Err(refused(ProblemCode::RecordsStrict, prepared));
        }
        self.metrics.records(&request.dataset, prepared.accepted, prepared.refused, prepared.warned);
        Ok(self.make(rules, request, prepared, received))
    }

    fn judge_now(&self, rules: &Rules, request: &Request) -> Result<Prepared, BodyError> {
        let dataset = rules.plan.dataset(&request.dataset).expect("looked up before");
        let schema = dataset.schema(request.schema.as_deref()).expect("chosen before");
        let source = rules.sources.get(&request.member).expect("looked up before");
        let tombstones = self.tombstones.read();
        let submission = Submission {
            dataset,
            schema,
            source,
            op: request.op,
            load: request.load,
            format: request.format,
            charset: request.charset,
            body: &request.body,
            received: self.business_date(),
            caps: &self.caps,
        };
        let around = Surroundings {
            next_rev: &|| self.next_rev(),
            leap_rev: &|next| self.leap_rev(next),
            tombstones: &tombstones,
            stream_in_use: &|s| self.state.read().streams.contains_key(s),
            make_room: &|| {
                if request.body.len() > INLINE {
                    std::thread::yield_now();
                }
            },
        };
        accept(&submission, &around)
    }

    fn make(&self, rules: &Rules, request: &Request, prepared: Prepared, received: i64) -> Made {
        let dataset = rules.plan.dataset(&request.dataset).expect("looked up before");
        let schema = dataset.schema(request.schema.as_deref()).expect("chosen before");
        let salt = Salt::generate().expect("the system has randomness");
        let entry = entries::submission(
            self,
            &SubmissionEntry {
                member: &request.member,
                dataset: &request.dataset,
                schema: schema.schema.id(),
                op: request.op,
                load: request.load,
                strict: request.strict,
                time: received,
                prepared: &prepared,
                salt: &salt,
                body: &request.body,
            },
        );
        let salt = base64::encode(salt.as_bytes());
        let answer = AnswerParts {
            member: request.member.clone(),
            accepted: prepared.accepted,
            refused: prepared.refused,
            warned: prepared.warned,
            salt: salt.clone(),
            rejected: prepared.rejected.clone(),
            entry: entry.clone(),
        };
        let ready = Ready {
            prepared,
            descriptions: dataset.recipients.iter().map(|r| r.description.clone()).collect(),
            member: request.member.clone(),
            dataset: request.dataset.clone(),
            op: request.op,
            salt,
            entry,
            also: Vec::new(),
            items: Vec::new(),
        };
        Made { ready, answer }
    }

    fn answer(&self, committed: &Committed, parts: AnswerParts) -> Bytes {
        self.answer_bytes(committed.index, &parts, committed.proof())
    }

    fn answer_bytes(&self, index: u64, parts: &AnswerParts, proof: String) -> Bytes {
        let rejected = serde_json::value::RawValue::from_string(parts.rejected.clone());
        let rejected = rejected.expect("findings are JSON");
        let answer = Answer {
            submission: self.submission_id(index, &parts.member),
            accepted: parts.accepted,
            refused: parts.refused,
            warned: parts.warned,
            receipt: Receipt {
                entry: base64::encode(&parts.entry),
                salt: &parts.salt,
                rejected: &rejected,
                proof,
            },
            errors: &rejected,
        };
        serde_json::to_vec(&answer).expect("answers have string keys").into()
    }

    /// The id a department knows a submission by: its log index, with a code only this node can make.
    pub(crate) fn submission_id(&self, index: u64, member: &str) -> String {
        let mut mac = self.ticket.begin();
        mac.update(b"submission");
        mac.update(&index.to_be_bytes());
        mac.update(member.as_bytes());
        format!("{index}-{}", hex::encode(&mac.finish()[..8]))
    }

    /// The log index behind a submission id, if it is this member's.
    pub(crate) fn submission_index(&self, id: &str, member: &str) -> Option<u64> {
        let index: u64 = id.split_once('-')?.0.parse().ok()?;
        let wanted = self.submission_id(index, member);
        // The id is no secret of the caller's own: a plain comparison of the whole is enough against guessing because
        // every wrong guess costs a request of an identified member.
        (wanted == id).then_some(index)
    }

    fn idempotency_key(&self, member: &str, key: &str) -> [u8; 16] {
        let mut mac = self.ticket.begin();
        mac.update(b"idempotency");
        mac.update(&(member.len() as u32).to_be_bytes());
        mac.update(member.as_bytes());
        mac.update(key.as_bytes());
        mac.finish16()
    }

    fn fingerprint(&self, r: &Request) -> [u8; 16] {
        let mut mac = self.ticket.begin();
        let format = [r.format as u8, r.charset as u8, u8::from(r.strict)];
        for part in [
            r.dataset.as_bytes(),
            r.schema.as_deref().unwrap_or("").as_bytes(),
            r.op.name().as_bytes(),
            r.load.name().as_bytes(),
            &format,
        ] {
            mac.update(&(part.len() as u32).to_be_bytes());
            mac.update(part);
        }
        in_pieces(&r.body, |piece| mac.update(piece));
        mac.finish16()
    }

    /// One request at a time per idempotency key: later ones wait for the first.
    pub(super) fn take_turn(self: &Arc<Self>, key: [u8; 16]) -> Result<Turn, watch::Receiver<()>> {
        let mut inflight = self.inflight.lock();
        if let Some(first) = inflight.get(&key) {
            return Err(first.clone());
        }
        let (done, waiting) = watch::channel(());
        inflight.insert(key, waiting);
        Ok(Turn { node: self.clone(), key, _done: done })
    }

    /// The answer already given under this key.
    async fn answered(self: &Arc<Self>, key: &[u8; 16], print: &[u8; 16]) -> Result<Option<Bytes>, Problem> {
        let found = self.reader.idempotent(key).map_err(|e| {
            tracing::error!(code = e.explain().code, "idempotency keys do not read");
            Problem::from(ProblemCode::DiskFailed)
        })?;
        let Some(value) = found else { return Ok(None) };
        let (known, index) = idem_parts(&value);
        if known != *print {
            return Err(ProblemCode::IdempotencyReused.into());
        }
        let node = self.clone();
        let rebuilt = tokio::task::spawn_blocking(move || node.rebuild_answer(index)).await;
        match rebuilt {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => Err(ProblemCode::JournalDamaged.into()),
            Err(_) => Err(ProblemCode::Internal.into()),
        }
    }

    /// The answer to a submission, from what was kept of it.
    pub(crate) fn rebuild_answer(&self, index: u64) -> Option<Bytes> {
        let (record, submitted) = self.submitted(index)?;
        let (entry, proof) = self.logged(index, &record)?;
        let parts = AnswerParts {
            member: submitted.member,
            accepted: submitted.accepted,
            refused: submitted.refused,
            warned: submitted.warned,
            salt: submitted.salt,
            rejected: submitted.rejected,
            entry,
        };
        Some(self.answer_bytes(index, &parts, proof))
    }

    /// The frame record a log entry was committed in.
    pub(crate) fn record_of(&self, index: u64) -> Option<(FrameRecord, GroupRow)> {
        let (_, row) = self.kept_before(Table::Group, &(index + 1).to_be_bytes()).ok()??;
        let row: GroupRow = serde_json::from_slice(&row).ok()?;
        let bytes = self.read_record(row.record)?;
        let record: FrameRecord = serde_json::from_slice(&bytes).ok()?;
        (index < record.first_index + u64::from(record.entries)).then_some((record, row))
    }

    /// What a frame says happened; nothing if it does not read: then it is named, and the node is not ready.
    fn read_record(&self, at: Place) -> Option<Vec<u8>> {
        match self.reader.read(reference(at), RECORD_AAD) {
            Ok(bytes) => Some(bytes),
            Err(ReadError::Gone(_)) => None,
            Err(e) => {
                let said = e.explain();
                tracing::error!(code = said.code, segment = at.segment, frame = at.frame, "{}", said.english);
                self.fail("journal.damaged");
                None
            }
        }
    }

    /// What is kept of a submission.
    pub(crate) fn submitted(&self, index: u64) -> Option<(FrameRecord, Submitted)> {
        let (record, _) = self.record_of(index)?;
        let found = record.events.iter().find_map(|e| match e {
            Event::Submitted(s) if s.index == index => Some(s.clone()),
            _ => None,
        })?;
        Some((record, found))
    }
}

/// Held while a submission is worked on.
pub(super) struct Turn {
    node: Arc<Node>,
    key: [u8; 16],
    _done: watch::Sender<()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.node.inflight.lock().remove(&self.key);
    }
}

struct Made {
    ready: Ready,
    answer: AnswerParts,
}

struct AnswerParts {
    member: String,
    accepted: u32,
    refused: u32,
    warned: u32,
    salt: String,
    rejected: String,
    entry: Vec<u8>,
}

#[derive(Serialize)]
struct Answer<'a> {
    submission: String,
    accepted: u32,
    refused: u32,
    warned: u32,
    receipt: Receipt<'a>,
    errors: &'a serde_json::value::RawValue,
}

#[derive(Serialize)]
struct Receipt<'a> {
    entry: String,
    proof: String,
    rejected: &'a serde_json::value::RawValue,
    salt: &'a str,
}

fn refused(code: ProblemCode, prepared: Prepared) -> Problem {
    Problem::new(code).errors(prepared.rejected)
}

/// What a caller hears when something was not committed.
fn body_problem(e: &BodyError) -> Problem {
    let code = ProblemCode::parse(e.code()).unwrap_or(ProblemCode::BodyMalformed);
    Problem::new(code).detail(e.text_en(), e.text_zh())
}
