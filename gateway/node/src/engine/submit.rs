//! A submission from its decoded body to its receipt: authorised by its head, once per idempotency key, prepared,
//! committed, answered. The answer repeats byte for byte because it is built from what the journal and the log hold.

use super::Node;
use super::commit_error::CommitError;
use super::committer::{Job, RECORD_AAD, SubmissionJob};
use super::entries::{self, SubmissionEntry};
use super::order::{Attempts, Preparation};
use super::places::reference;
use super::registered::Asking;
use super::rows::idem_parts;
use super::rules::Rules;
use bytes::Bytes;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::oneshot;
use xinqiao_crypto::hex;
use xinqiao_evidence::base64;
use xinqiao_exchange::accept::{Prepared, Submission, Surroundings, accept};
use xinqiao_exchange::event::{Event, FrameRecord, Submitted};
use xinqiao_exchange::group::Ready;
use xinqiao_exchange::known::Known;
use xinqiao_exchange::op::{Load, Op};
use xinqiao_exchange::plan::{DatasetPlan, SchemaPlan};
use xinqiao_exchange::source::Source;
use xinqiao_exchange::state::{GroupRow, Place, Table};
use xinqiao_explain::Explain;
use xinqiao_runtime::Account;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};
use xinqiao_schemas::{BodyError, Charset, Format};
use xinqiao_store::ReadError;

/// Bodies up to this length are worked on by the reactor; longer ones on a thread of their own.
const INLINE: usize = 32 << 10;

/// The head of a submission: everything but its body.
pub struct Head {
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
    /// The sender's account: long work waits for its turn.
    pub account: Account,
}

/// The right to make a submission: what its head names, looked up under the rules of one moment. Only
/// [`Node::authorise`] makes one, so a body cannot be worked on without.
pub struct Authorised {
    rules: Arc<Rules>,
    dataset: Arc<DatasetPlan>,
    schema: Arc<SchemaPlan>,
    source: Arc<Source>,
}

/// A submission under way.
pub(super) struct Request {
    /// Its head.
    pub(super) head: Head,
    /// Its body.
    pub(super) body: Bytes,
}

impl Node {
    /// May this be sent? Everything the head decides, so that a body that may not come is never read.
    ///
    /// # Errors
    /// The dataset or schema is unknown here, or is not the sender's.
    pub fn authorise(&self, head: &Head) -> Result<Authorised, Refusal> {
        let rules = self.rules();
        let source = rules.sources.get(&head.member).ok_or(RefusalCode::RoleWrong)?;
        let dataset = rules.plan.dataset(&head.dataset).ok_or(RefusalCode::DatasetUnknown)?;
        if dataset.recipients.is_empty() {
            // What nobody receives is not taken: a receipt would promise a delivery that cannot come.
            return Err(RefusalCode::DatasetUnknown.into());
        }
        if !source.may_send(&head.dataset) {
            return Err(RefusalCode::DatasetNotYours.into());
        }
        let schema = dataset.schema(head.schema.as_deref()).ok_or(match head.schema {
            None => RefusalCode::SchemaMissing,
            Some(_) => RefusalCode::SchemaUnknown,
        })?;
        let (dataset, schema, source) = (dataset.clone(), schema.clone(), source.clone());
        Ok(Authorised { rules, dataset, schema, source })
    }

    /// Takes a submission; the bytes of the 201 answer come back.
    ///
    /// # Errors
    /// It is refused, and nothing of it is kept; or it is unknown whether it is durable (`outcome-unknown`), and the
    /// sender asks again with the same key.
    pub async fn submit(
        self: &Arc<Self>,
        head: Head,
        authorised: Authorised,
        body: Bytes,
    ) -> Result<Bytes, Refusal> {
        let key = self.idempotency_key(&head.member, &head.idempotency_key);
        let request = Arc::new(Request { head, body });
        let print =
            self.long_work(&request, |node, request| node.fingerprint(&request.head, &request.body)).await?;
        // Held until the answer is known: whoever repeats the key meanwhile waits here and then finds the answer.
        let _guard = self.idempotency_guard(key).await;
        if let Some(response) = self.answered(&key, &print).await? {
            self.metrics.repeated(&request.head.dataset);
            return Ok(response);
        }
        let received = self.clock.now();
        let mut authorised = authorised;
        let mut attempts = Attempts::new(self);
        while attempts.next().await? {
            // Rules may change while a submission is on its way: each attempt is made under those in force.
            if !attempts.is_first() || authorised.rules.number != self.rules().number {
                authorised = self.authorise(&request.head)?;
            }
            let rules = authorised.rules.number;
            let now = authorised;
            // Before its revs are drawn; the job carries it on, whether or not its sender waits.
            let prepare = move |node: &Self, request: &Request| {
                let prepared = node.prepare(&now, request, received);
                (prepared, now)
            };
            let (prepared, same) = self.long_work(&request, prepare).await?;
            authorised = same;
            let (ready, preparation) = prepared?;
            attempts.prepared(&ready.prepared);
            let made = (ready.submitted.clone(), ready.entry.clone());
            let (reply, response) = oneshot::channel();
            let (in_turn, idempotency) = (attempts.in_turn(), Some((key, print)));
            let job = SubmissionJob { ready, rules, preparation, in_turn, idempotency, reply };
            self.jobs.send(Job::Submission(Box::new(job))).map_err(|_| RefusalCode::BusyDraining)?;
            match response.await.unwrap_or(Err(CommitError::Stopping)) {
                Ok(committed) => {
                    let (submitted, entry) = made;
                    return Ok(self.response(
                        &Submitted { index: committed.index, ..submitted },
                        &entry,
                        committed.proof(),
                    ));
                }
                Err(CommitError::Stale) => continue,
                Err(e) => return Err(e.into()),
            }
        }
        Err(RefusalCode::BusyQueue.into())
    }

    /// Work in proportion to the body: a long one's waits for its sender's turn, on a thread of its own.
    async fn long_work<T: Send + 'static>(
        self: &Arc<Self>,
        request: &Arc<Request>,
        work: impl FnOnce(&Self, &Request) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        if request.body.len() <= INLINE {
            return Ok(work(self, request));
        }
        let (node, request) = (self.clone(), request.clone());
        let permit = request.head.account.fair_permit().await;
        let work = move || {
            let _permit = permit;
            work(&node, &request)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| RefusalCode::Internal.into())
    }

    /// Decodes, validates, maps and desensitises; what is to be committed comes back.
    pub(super) fn prepare(
        &self,
        by: &Authorised,
        request: &Request,
        received: i64,
    ) -> Result<(Ready, Preparation), Refusal> {
        let head = &request.head;
        // Before anything is looked at.
        let preparation = self.preparations.begin();
        let prepared = self.run_record_path(by, request)?;
        if prepared.accepted == 0 {
            return Err(Refusal::new(RefusalCode::RecordsRefused).errors(prepared.rejected));
        }
        if head.strict && prepared.refused > 0 {
            return Err(Refusal::new(RefusalCode::RecordsStrict).errors(prepared.rejected));
        }
        self.metrics.records(&head.dataset, prepared.accepted, prepared.refused, prepared.warned);
        self.metrics.uncoded(&head.member, &head.dataset, prepared.uncoded);
        let salt = (self.salts)();
        let entry = entries::submission(
            self,
            &SubmissionEntry {
                member: &head.member,
                dataset: &head.dataset,
                schema: by.schema.schema.id(),
                op: head.op,
                load: head.load,
                strict: head.strict,
                time: received,
                prepared: &prepared,
                salt: &salt,
                body: &request.body,
            },
        );
        let descriptions = by.dataset.recipients.iter().map(|r| r.description.clone()).collect();
        let said = (head.member.as_str(), head.dataset.as_str(), head.op);
        Ok((Ready::new(prepared, said, &salt, entry, descriptions), preparation))
    }

    fn run_record_path(&self, by: &Authorised, request: &Request) -> Result<Prepared, Refusal> {
        let head = &request.head;
        let submission = Submission {
            dataset: &by.dataset,
            schema: &by.schema,
            source: &by.source,
            op: head.op,
            load: head.load,
            format: head.format,
            charset: head.charset,
            body: &request.body,
            received: self.business_date(),
            caps: &self.caps,
        };
        let asking = Asking::new(self);
        let around = Surroundings {
            next_rev: &|| self.next_rev(),
            leap_rev: &|next| self.leap_rev(next),
            known: &|id| Known::of_own(self.tombstones.read().rev(&head.dataset, id)),
            registered: &|key| asking.registered(key),
            has_older: self.has_older_lines()?,
            stream_in_use: &|s| self.state.read().streams.contains_key(s),
            make_room: &|| {
                if request.body.len() > INLINE {
                    std::thread::yield_now();
                }
            },
        };
        let prepared = accept(&submission, &around).map_err(|e| body_problem(&e))?;
        asking.end()?;
        Ok(prepared)
    }

    /// The answer, from what the journal and the log hold: the first and every repeat are the same bytes.
    fn response(&self, submitted: &Submitted, entry: &[u8], proof: String) -> Bytes {
        let rejected = serde_json::value::RawValue::from_string(submitted.rejected.clone());
        let rejected = rejected.expect("findings are JSON");
        let response = ResponseBody {
            submission: self.submission_id(submitted.index, &submitted.member),
            accepted: submitted.accepted,
            refused: submitted.refused,
            warned: submitted.warned,
            receipt: Receipt {
                entry: base64::encode(entry),
                salt: &submitted.salt,
                rejected: &rejected,
                proof,
            },
            errors: &rejected,
        };
        serde_json::to_vec(&response).expect("answers have string keys").into()
    }

    /// The id a department knows a submission by: its log index, with a code only this node can make.
    pub(crate) fn submission_id(&self, index: u64, member: &str) -> String {
        let mut mac = self.id_key.begin();
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

    /// The answer already given under this key.
    async fn answered(self: &Arc<Self>, key: &[u8; 16], print: &[u8; 16]) -> Result<Option<Bytes>, Refusal> {
        let found = self.reader.idempotent(key).map_err(|e| {
            tracing::error!(code = e.explain().code(), "idempotency keys do not read");
            Refusal::from(RefusalCode::DiskFailed)
        })?;
        let Some(value) = found else { return Ok(None) };
        let (known, index) = idem_parts(&value);
        if known != *print {
            return Err(RefusalCode::IdempotencyReused.into());
        }
        let node = self.clone();
        let rebuilt = tokio::task::spawn_blocking(move || node.rebuild_response(index)).await;
        match rebuilt {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => Err(RefusalCode::JournalDamaged.into()),
            Err(_) => Err(RefusalCode::Internal.into()),
        }
    }

    /// The answer to a submission, from what was kept of it.
    pub(crate) fn rebuild_response(&self, index: u64) -> Option<Bytes> {
        let (record, submitted) = self.submitted(index)?;
        let (entry, proof) = self.logged(index, &record)?;
        Some(self.response(&submitted, &entry, proof))
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
                tracing::error!(
                    code = said.code(),
                    segment = reference(at).segment,
                    frame = reference(at).frame,
                    "{}",
                    said.english()
                );
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

#[derive(Serialize)]
struct ResponseBody<'a> {
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

/// A body that cannot be read, as a refusal.
fn body_problem(e: &BodyError) -> Refusal {
    let code = RefusalCode::parse(e.code()).unwrap_or(RefusalCode::BodyMalformed);
    Refusal::new(code).detail(e.text_en(), e.text_zh())
}
