//! Answering for what is stored.
//!
//! An acknowledgement is final, so it is written down before it is sent, and sent again unchanged after a crash.

use std::time::{SystemTime, UNIX_EPOCH};
use xinqiao_evidence::Digests;
use xinqiao_evidence::acknowledgement::{
    Acknowledged as Batch, Acknowledgement, LineError, MAX_ERRORS, Outcome,
};
use xinqiao_evidence::manifest::{SignedManifest, VerifiedManifest};
use xinqiao_evidence::timestamp::Timestamp;

use super::{Puller, folder};
use crate::error::{ClientError, unverified};

/// Why a recipient does not take a line. The message must not repeat values of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineVerdict {
    /// The recipient's code, 1 to 64 printable ASCII characters.
    pub code: String,
    /// The recipient's words, at most 500 characters.
    pub message: String,
}

/// A batch whose lines were all decided about, but which is not acknowledged yet.
#[derive(Debug)]
pub struct Review {
    document: Acknowledgement,
    bytes: Vec<u8>,
}

/// A batch answered for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its place in the stream.
    pub seq: u64,
    /// The answer.
    pub outcome: Outcome,
    /// Lines not taken.
    pub errors: usize,
}

impl Review {
    /// The batch's place in the stream.
    pub fn seq(&self) -> u64 {
        self.document.seq
    }

    /// What would be answered.
    pub fn outcome(&self) -> Outcome {
        self.document.outcome
    }

    /// Lines not taken.
    pub fn errors(&self) -> &[LineError] {
        &self.document.errors
    }
}

impl Puller {
    /// Shows every line of the oldest batch that is not acknowledged to `check`: number from 0, and the line without LF.
    ///
    /// `None` if everything stored is answered. The payload is verified once more on the way; if this is an error, undo
    /// what `check` did. Lines that are refused go back to their sources; the rest counts as stored.
    pub fn review(
        &mut self,
        mut review_line: impl FnMut(u64, &[u8]) -> Option<LineVerdict>,
    ) -> Result<Option<Review>, ClientError> {
        let Some(state) = &self.state else { return Ok(None) };
        let seq = state.acknowledged + 1;
        if seq >= state.chain.next_seq() {
            return Ok(None);
        }
        // Written before a crash and perhaps received: it must go out as it is, even if `check` would decide otherwise
        // now.
        if let Some(bytes) = self.folder.read(&folder::acknowledgement(seq))? {
            let place = self.folder.path(&folder::acknowledgement(seq)).display().to_string();
            let document = Acknowledgement::from_json(&bytes).map_err(|error| unverified(place, &error))?;
            return Ok(Some(Review { document, bytes }));
        }
        let manifest = self.stored_manifest(seq)?;
        let said = manifest.manifest();
        let path = self.folder.path(&folder::payload(seq, said.payload.media_type));
        // A payload that is there counts, whatever a note beside it says.
        if !path.exists() && self.folder.read(&folder::gone(seq))?.is_some() {
            return Ok(Some(review(&manifest, Outcome::Accepted, Vec::new())?));
        }
        let mut errors = Vec::new();
        self.check_stored(&manifest, &path, |record, line| {
            if let Some(verdict) = review_line(record, line) {
                errors.push(LineError { code: verdict.code, message: verdict.message, record });
            }
        })?;
        let outcome = match errors.len() as u64 {
            0 => Outcome::Accepted,
            _ => Outcome::Partial,
        };
        Ok(Some(review(&manifest, outcome, errors)?))
    }

    /// Sends a review's answer.
    pub async fn confirm(&mut self, review: Review) -> Result<Acknowledged, ClientError> {
        let Review { document, bytes } = review;
        // On disk, then sent, then counted. Killed after the first step, `review` finds it and sends the same bytes;
        // killed after the second, it is sent once more, which the node confirms.
        self.folder.write(&folder::acknowledgement(document.seq), &bytes)?;
        self.client.acknowledge(&self.settings.stream, bytes.into()).await?;
        // A review may be older than a new epoch that was adopted since, in which its number means another batch.
        if let Some(state) = &mut self.state
            && document.seq == state.acknowledged + 1
            && document.epoch == state.chain.epoch()
        {
            state.acknowledged = document.seq;
            state.store(&self.folder)?;
        }
        Ok(Acknowledged { seq: document.seq, outcome: document.outcome, errors: document.errors.len() })
    }

    /// Reviews and confirms everything that is stored and not answered yet.
    pub async fn acknowledge(
        &mut self,
        mut review_line: impl FnMut(u64, &[u8]) -> Option<LineVerdict>,
    ) -> Result<Vec<Acknowledged>, ClientError> {
        let mut done = Vec::new();
        while let Some(review) = self.review(&mut review_line)? {
            done.push(self.confirm(review).await?);
        }
        Ok(done)
    }

    /// Acknowledges the batch [`Puller::next`] just failed on as `rejected`: it does not verify. Sends nothing
    /// (`false`) if not even its manifest was genuine, for then it is not known to be the node's.
    pub async fn report_unusable(&mut self) -> Result<bool, ClientError> {
        let Some(manifest) = self.unusable.take() else { return Ok(false) };
        let review = review(&manifest, Outcome::Rejected, Vec::new())?;
        self.client.acknowledge(&self.settings.stream, review.bytes.into()).await?;
        Ok(true)
    }

    fn stored_manifest(&self, seq: u64) -> Result<VerifiedManifest, ClientError> {
        let name = folder::manifest(seq);
        let place = self.folder.path(&name);
        let missing = || ClientError::local(&place, std::io::ErrorKind::NotFound.into());
        let bytes = self.folder.read(&name)?.ok_or_else(missing)?;
        SignedManifest::parse(&bytes)
            .and_then(|signed| signed.verify(self.keys.jwks()))
            .map_err(|error| unverified(place.display().to_string(), &error))
    }
}

fn review(
    manifest: &VerifiedManifest,
    outcome: Outcome,
    mut errors: Vec<LineError>,
) -> Result<Review, ClientError> {
    let said = manifest.manifest();
    errors.truncate(MAX_ERRORS);
    let document = Acknowledgement {
        epoch: said.epoch,
        errors,
        manifest_digest: Digests::sha256(manifest.digest()),
        node: said.node.clone(),
        outcome,
        seq: said.seq,
        stream: said.stream.clone(),
        time: now(),
    };
    let batch = Batch {
        node: &said.node,
        epoch: said.epoch,
        stream: &said.stream,
        seq: said.seq,
        manifest_digest: manifest.digest(),
        records: said.records,
    };
    document.check_for(&batch).map_err(|error| {
        use xinqiao_explain::Explain;
        ClientError::setting("judge", error.english(), error.chinese())
    })?;
    let bytes = document.to_json();
    Ok(Review { document, bytes })
}

fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Timestamp::of_unix(i64::try_from(seconds).unwrap_or(i64::MAX))
}
