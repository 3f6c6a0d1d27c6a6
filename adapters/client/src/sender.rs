//! Handing records in from a folder that survives crashes: each submission goes once, and its answer is kept.
//!
//! ```text
//! DIR/sender.state                     what waits, what was answered, how far feedback is read; one line per step
//! DIR/.<id>.body                       records that wait for their answer; readable by the owner only
//! DIR/<submission>.receipt.json        receipts, as sent; they hold the findings about records that were refused
//! DIR/<id>.refusal.json                why nothing of a submission was taken
//! DIR/keys.json                        the node's keys, pinned on first use, if that was asked for
//! DIR/.lock                            held while a sender is open
//! ```
//!
//! **Order.** [`Sender::offer`] puts the records on disk, then the intent to send them; only then may a byte leave.
//! [`Sender::settle`] sends the oldest, verifies the receipt where keys are pinned, puts the receipt on disk, then the
//! outcome, and only then removes the records. Each step is synced before the next begins, so whatever a kill or a
//! power cut leaves is finished by the next sender that opens the folder: under the same key, with the same bytes, or
//! not at all. One folder is for one member at one gateway, one program at a time, in the order of offering.
//!
//! **Keys.** Without a key of the caller's, the Idempotency-Key is HMAC-SHA-256, under a secret of the folder, over
//! dataset, schema, operation, load, media type, charset, handling and the body, each with its length before it; an
//! absent load counts as `daily`, an absent charset as `utf-8`. The same content offered again is therefore the same
//! submission, known here without asking; name and time do not make it another. The secret keeps the key from revealing
//! what a short record was. What is to be sent again on purpose, because something else was sent in between or because
//! the node was restored, takes a key of its own: [`Sender::key_of`] with an occasion.
//!
//! **Growth.** Receipts are evidence and stay until someone moves them away. Of the outcomes the newest
//! [`SendSettings::remember`] are kept, and the state file is written anew when more than half of it is out of date. What
//! was forgotten would be sent again under the same key, to which a gateway repeats its answer for 24 hours. Records that
//! wait may fill [`SendSettings::waiting_bytes`].
//!
//! Files are written synchronously: run a sender on a task of its own.

mod folder;
mod key;
mod proof;
mod state;

pub use state::{Acceptance, Refusal, SubmissionOutcome};

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use xinqiao_explain::Explanation;

use bytes::Bytes;

use crate::client::{Client, Feedback, Submission, check};
use crate::error::{ClientError, Finding, Problem};
use crate::puller::KeySource;
use crate::puller::pinned::PinnedKeys;
use folder::Folder;
use state::{Event, Queued, StateFile};

/// Where a sender keeps what it knows, and how much of it.
#[derive(Debug, Clone)]
pub struct SendSettings {
    /// The folder; made if it is not there.
    pub folder: PathBuf,
    /// The node's public keys. With them a receipt counts only once it verifies; without, it is kept as it came.
    pub keys: Option<KeySource>,
    /// Outcomes remembered, at some 300 bytes of state file and memory each.
    pub remember: usize,
    /// Bytes of records that may wait for their answers. A single submission may be larger.
    pub waiting_bytes: u64,
    /// The folder's gateway has a new name or port: what waits goes there from now on.
    pub adopt_gateway: bool,
}

impl SendSettings {
    /// No pinned keys, 50,000 outcomes, 1 GiB that may wait.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            keys: None,
            remember: 50_000,
            waiting_bytes: 1 << 30,
            adopt_gateway: false,
        }
    }
}

/// A folder of submissions on their way. Holds a lock on it.
pub struct Sender {
    client: Client,
    settings: SendSettings,
    folder: Folder,
    state: StateFile,
    keys: Option<PinnedKeys>,
}

/// What became of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offered {
    /// On disk, under this key; [`Sender::settle`] sends it in its turn.
    Queued(String),
    /// Offered before, and waiting still.
    Waiting(String),
    /// Taken by the gateway before. Nothing is sent.
    Known(Acceptance),
}

/// A submission with its final answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// What the caller called it.
    pub name: String,
    /// The key it was sent under.
    pub key: String,
    /// The answer.
    pub outcome: SubmissionOutcome,
    /// The epoch the node is in, if it is another than in the receipt before: the node was restored. What it took after
    /// the restored moment it has forgotten, so that must be offered again with an occasion; feedback begins anew.
    pub new_epoch: Option<u64>,
}

/// Records that recipients rejected, not confirmed yet.
#[derive(Debug, Clone)]
pub struct News {
    /// In order.
    pub feedback: Vec<Feedback>,
    after: u64,
    next: u64,
}

impl Sender {
    /// Opens, or makes, a folder, and clears away what a crash left half done.
    pub async fn open(client: Client, settings: SendSettings) -> Result<Self, ClientError> {
        let folder = Folder::open(&settings.folder)?;
        let state = StateFile::open(&folder, &client, &settings)?;
        let keys = match &settings.keys {
            Some(source) => Some(PinnedKeys::load(source, &settings.folder, &client).await?),
            None => None,
        };
        let waiting = state.waiting().map(|queued| state.secret().file(&queued.key));
        let refused = state.refused().map(|key| state.secret().file(key));
        folder.clear(&waiting.collect::<HashSet<_>>(), &refused.collect::<HashSet<_>>())?;
        Ok(Self { client, settings, folder, state, keys })
    }

    /// The key of a submission that is not given one: of its content alone, or, with an `occasion` that is not empty, of
    /// content and occasion. Whoever sends the same content on purpose a second time gives this as the submission's own
    /// key, so that the second time, too, is once.
    pub fn key_of(&self, submission: &Submission<'_>, occasion: &str) -> String {
        self.state.secret().key(submission, occasion)
    }

    /// Takes a submission on: when this returns, it is on disk and will be sent, unless it was taken before. `name` is
    /// what the caller calls it, for reports; it goes nowhere.
    ///
    /// A submission that was refused before is queued again: rules and rights change.
    pub fn offer(&mut self, name: &str, submission: &Submission<'_>) -> Result<Offered, ClientError> {
        check(submission)?;
        let content = self.key_of(submission, "");
        let key = submission.idempotency_key.clone().unwrap_or_else(|| content.clone());
        if self.state.content(&key).is_some_and(|known| known != content) {
            return Err(self.folder.error(
                "sender.key-reused",
                "the same key was given for other content before; give each submission a key of its own, or none",
                "该幂等键曾用于其他内容；请为每次提交使用单独的幂等键，或不指定",
            ));
        }
        if let Some(SubmissionOutcome::Accepted(known)) = self.state.outcome(&key) {
            return Ok(Offered::Known(known.clone()));
        }
        let file = self.state.secret().file(&key);
        if self.state.waiting().any(|queued| queued.key == key) {
            // Its records may have been lost or damaged in the meantime; here they are.
            self.folder.restore_body(&file, &submission.body)?;
            return Ok(Offered::Waiting(key));
        }
        // Records before intent: a crash in between leaves a file that nothing names, which opening clears away. The
        // other way round it would leave an intent whose records are gone.
        self.make_room(submission.body.len() as u64)?;
        self.folder.write_body(&file, &submission.body)?;
        let queued = Box::new(Queued::new(&key, &content, name, submission));
        self.state.append(Event::Queued(queued))?;
        Ok(Offered::Queued(key))
    }

    /// Sends the submission that waits longest, and keeps its answer; `None` if nothing waits.
    ///
    /// An error leaves it waiting, and those behind it too: the gateway is away or busy, does not let this member in, or
    /// its receipt does not verify. The call may be dropped at any time, like a process.
    pub async fn settle(&mut self) -> Result<Option<Settled>, ClientError> {
        let Some(queued) = self.state.waiting().next().cloned() else { return Ok(None) };
        let body = self.body(&queued)?;
        let settled = match self.client.send(&queued.submission(body.clone())).await {
            Ok(sent) => {
                let receipt = sent.response.receipt.get().as_bytes();
                // Verified before it is kept: once the outcome is on disk the records go, and with them what a receipt
                // can be checked against and what can be sent again.
                let verified = proof::verify(self.keys.as_mut(), &self.client, &queued, &body, &sent).await?;
                let at = proof::place(receipt);
                let elsewhere = at.as_ref().map(|at| (self.state.is_elsewhere(at), at.1));
                let new_epoch = elsewhere.and_then(|(moved, epoch)| moved?.then_some(epoch));
                let at = at.filter(|at| self.state.is_elsewhere(at) != Some(false));
                let accepted = Acceptance {
                    submission: sent.response.submission.clone(),
                    accepted: sent.response.accepted,
                    refused: sent.response.refused,
                    warned: sent.response.warned,
                    receipt: self.folder.keep_receipt(&sent.response.submission, receipt)?,
                    verified,
                };
                let outcome = SubmissionOutcome::Accepted(accepted);
                self.finish(queued, outcome, at, new_epoch)?
            }
            Err(ClientError::Problem(problem)) if is_final(&problem) => {
                let refusal = Refusal { status: problem.status, code: problem.code.clone() };
                self.folder.write_refusal(&self.state.secret().file(&queued.key), &problem)?;
                self.finish(queued, SubmissionOutcome::Refused(refusal), None, None)?
            }
            Err(error) => return Err(error),
        };
        Ok(Some(settled))
    }

    /// Lets go of a submission that waits: it is not sent from here on, though it may have arrived before. Offered again,
    /// it has the same key again. False if there is none.
    pub fn discard(&mut self, key: &str) -> Result<bool, ClientError> {
        if !self.state.waiting().any(|queued| queued.key == key) {
            return Ok(false);
        }
        // As in `offer`, the other way round: an intent must never be without its records.
        self.state.append(Event::Discarded { key: key.to_owned() })?;
        self.folder.remove_body(&self.state.secret().file(key))?;
        Ok(true)
    }

    /// Records that recipients rejected since the last ones that were confirmed; waits up to `wait` for some. They come
    /// again until [`Sender::confirm`] is called, so keep them first.
    pub async fn feedback(&self, wait: Duration) -> Result<News, ClientError> {
        let after = self.state.feedback();
        let page = self.client.feedback(after, wait).await?;
        let rising = page.feedback.iter().try_fold(after, |last, one| (one.n > last).then_some(one.n));
        match rising {
            Some(last) if page.next == last => Ok(News { feedback: page.feedback, after, next: page.next }),
            _ => Err(ClientError::protocol("feedback out of order")),
        }
    }

    /// Goes on after these.
    pub fn confirm(&mut self, news: &News) -> Result<(), ClientError> {
        // Since they were asked for, the node may have begun a new epoch, in which their numbers mean others.
        if news.after != self.state.feedback() || news.next == news.after {
            return Ok(());
        }
        self.state.append(Event::Feedback { next: news.next })
    }

    /// What waits, by name and key, in the order it will be sent in.
    pub fn waiting(&self) -> impl Iterator<Item = (&str, &str)> {
        self.state.waiting().map(|queued| (queued.name.as_str(), queued.key.as_str()))
    }

    /// The answer to a submission, if it is remembered.
    pub fn outcome(&self, key: &str) -> Option<&SubmissionOutcome> {
        self.state.outcome(key)
    }

    /// The number of the last feedback that was confirmed.
    pub fn feedback_confirmed(&self) -> u64 {
        self.state.feedback()
    }

    /// Where a receipt lies.
    pub fn receipt(&self, accepted: &Acceptance) -> PathBuf {
        self.folder.path(&accepted.receipt)
    }

    /// What the gateway found about single records of a submission it took. From the receipt: an error if that was
    /// moved away.
    pub fn findings(&self, accepted: &Acceptance) -> Result<Vec<Finding>, ClientError> {
        self.folder.findings(&accepted.receipt)
    }

    /// Why nothing of a submission was taken: the gateway's last answer to it, if that was a refusal.
    pub fn problem(&self, key: &str) -> Result<Option<Problem>, ClientError> {
        match self.state.outcome(key) {
            Some(SubmissionOutcome::Refused(_)) => {
                self.folder.refusal(&self.state.secret().file(key)).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.settings.folder
    }

    /// Records the outcome, after every file it names is on disk.
    fn finish(
        &mut self,
        queued: Queued,
        outcome: SubmissionOutcome,
        at: Option<(String, u64)>,
        new_epoch: Option<u64>,
    ) -> Result<Settled, ClientError> {
        let file = self.state.secret().file(&queued.key);
        let was_refused = matches!(self.state.outcome(&queued.key), Some(SubmissionOutcome::Refused(_)));
        let superseded = was_refused && matches!(outcome, SubmissionOutcome::Accepted(_));
        self.state.append(Event::settled(&queued, outcome.clone(), at))?;
        // The outcome stands. Files that cannot be removed now are removed when the folder is opened next.
        let _ = self.folder.remove_body(&file);
        if superseded {
            let _ = self.folder.remove_refusal(&file);
        }
        for key in self.state.forgotten() {
            let _ = self.folder.remove_refusal(&self.state.secret().file(&key));
        }
        Ok(Settled { name: queued.name, key: queued.key, outcome, new_epoch })
    }

    /// The records of a submission that waits, if they are what was offered.
    fn body(&self, queued: &Queued) -> Result<Bytes, ClientError> {
        let file = self.state.secret().file(&queued.key);
        let body = Bytes::from(self.folder.body(&file)?.unwrap_or_default());
        if self.key_of(&queued.submission(body.clone()), "") == queued.content {
            return Ok(body);
        }
        let damaged = Explanation::new(
            "sender.body-damaged",
            format!(
                "the records of {} are missing or are not what was offered; offer the same records again, or discard the submission",
                queued.name
            ),
            format!("{} 的待报数据缺失或已改变；请重新提交相同数据，或放弃该次提交", queued.name),
        );
        Err(ClientError::Sender(damaged.at(self.folder.body_path(&file).display().to_string())))
    }

    fn make_room(&self, more: u64) -> Result<(), ClientError> {
        let waiting: u64 = self.state.waiting().map(|queued| queued.bytes).sum();
        if waiting > 0 && waiting.saturating_add(more) > self.settings.waiting_bytes {
            return Err(self.folder.error(
                "sender.full",
                &format!("{waiting} bytes of records wait to be sent; find out why the gateway does not take them, then offer again"),
                &format!("已有 {waiting} 字节数据等待报送；请先查明网关未接收的原因，再提交"),
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("folder", &self.settings.folder).finish_non_exhaustive()
    }
}

/// Whether the gateway spoke about the submission itself. What it says of the member (401, 403), of haste (408, 425,
/// 429) or of itself passes or is mended, and the same submission may then be taken; so may one that something else
/// refused on the way.
fn is_final(problem: &Problem) -> bool {
    let about_it = (400..500).contains(&problem.status)
        && !matches!(problem.status, 401 | 403 | 407 | 408 | 421 | 425 | 429);
    about_it && !problem.code.is_empty() && !problem.code.starts_with("http.")
}
