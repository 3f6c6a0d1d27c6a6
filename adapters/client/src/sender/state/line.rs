//! The lines of `sender.state`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xinqiao_crypto::{Sha256, hex};

use crate::client::Submission;

/// Digits before a line: enough to tell an accident, not a forger, who could write the whole file anew.
pub(super) const CHECK: usize = 16;

/// The gateway's answer to a submission of which something was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// The submission's id.
    pub submission: String,
    /// Records taken, doubtful ones included.
    pub accepted: u64,
    /// Records refused.
    pub refused: u64,
    /// Records taken with a doubt.
    pub warned: u64,
    /// The receipt's file name in the folder.
    pub receipt: String,
    /// Whether the receipt was verified with pinned keys.
    pub verified: bool,
}

/// The gateway's answer to a submission of which nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Stable code of the problem.
    pub code: String,
}

/// A final answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubmissionOutcome {
    /// Something was taken.
    Accepted(Acceptance),
    /// Nothing was taken.
    Refused(Refusal),
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) v: u32,
    /// Where the folder's submissions go.
    pub(super) gateway: String,
    /// Whose they are, if the certificate has a SPIFFE URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) member: Option<String>,
    pub(super) secret: String,
}

/// Every other line: a step that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub(in crate::sender) enum Event {
    /// Records are on disk and are to be sent.
    Queued(Box<Queued>),
    /// They are not to be sent after all.
    Discarded { key: String },
    /// The answer is there, and on disk what belongs to it.
    Settled(Box<Outcome>),
    /// Feedback is confirmed up to this number.
    Feedback { next: u64 },
}

/// A submission that waits: all but its records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sender) struct Queued {
    pub(in crate::sender) key: String,
    /// The key of the content, which the records are held against before they leave.
    pub(in crate::sender) content: String,
    pub(in crate::sender) name: String,
    pub(in crate::sender) bytes: u64,
    pub(in crate::sender) dataset: String,
    pub(in crate::sender) op: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sender) schema: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sender) load: Option<String>,
    pub(in crate::sender) media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sender) charset: Option<String>,
    pub(in crate::sender) strict: bool,
    pub(in crate::sender) gzip: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sender) struct Outcome {
    pub(super) key: String,
    /// Left out when it is the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<String>,
    pub(super) outcome: SubmissionOutcome,
    /// Node and epoch of the receipt, when they are not those before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<(String, u64)>,
}

impl Queued {
    pub(in crate::sender) fn new(key: &str, content: &str, name: &str, submission: &Submission<'_>) -> Self {
        Self {
            key: key.to_owned(),
            content: content.to_owned(),
            name: name.to_owned(),
            bytes: submission.body.len() as u64,
            dataset: submission.dataset.to_owned(),
            op: submission.op.to_owned(),
            schema: submission.schema.map(str::to_owned),
            load: submission.load.map(str::to_owned),
            media_type: submission.media_type.to_owned(),
            charset: submission.charset.map(str::to_owned),
            strict: submission.strict,
            gzip: submission.gzip,
        }
    }

    /// The request, as it was offered, under its key.
    pub(in crate::sender) fn submission(&self, body: Bytes) -> Submission<'_> {
        Submission {
            dataset: &self.dataset,
            op: &self.op,
            schema: self.schema.as_deref(),
            load: self.load.as_deref(),
            media_type: &self.media_type,
            charset: self.charset.as_deref(),
            idempotency_key: Some(self.key.clone()),
            strict: self.strict,
            gzip: self.gzip,
            body,
        }
    }
}

impl Event {
    pub(in crate::sender) fn settled(
        queued: &Queued,
        outcome: SubmissionOutcome,
        at: Option<(String, u64)>,
    ) -> Self {
        let content = (queued.content != queued.key).then(|| queued.content.clone());
        Self::Settled(Box::new(Outcome { key: queued.key.clone(), content, outcome, at }))
    }
}

impl Outcome {
    pub(super) fn content(&self) -> &str {
        self.content.as_deref().unwrap_or(&self.key)
    }
}

/// Appends a line to `out`; its check.
pub(super) fn write(out: &mut Vec<u8>, before: &str, line: &impl Serialize) -> String {
    let text = serde_json::to_vec(line).expect("a line is plain data");
    let check = check(before, &text);
    out.extend_from_slice(check.as_bytes());
    out.push(b' ');
    out.extend_from_slice(&text);
    out.push(b'\n');
    check
}

/// The object in a line without its LF, and its check, if they fit each other and the line before.
pub(super) fn read<'a>(before: &str, line: &'a [u8]) -> Option<(&'a [u8], String)> {
    let (digits, text) = line.split_at_checked(CHECK)?;
    let text = text.strip_prefix(b" ")?;
    let check = check(before, text);
    (check.as_bytes() == digits).then_some((text, check))
}

fn check(before: &str, text: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(before.as_bytes());
    digest.update(text);
    hex::encode(&digest.finish()[..CHECK / 2])
}
