//! Offering a payload to a recipient that is pushed to. Every attempt is checked by the rules of its moment: that the
//! payload was offered before, perhaps to an endpoint that was down, is evidence and no permission.

use super::Node;
use super::serve::PayloadParts;
use std::sync::Arc;
use xinqiao_exchange::names::StreamId;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// What may be sent.
pub enum Offer {
    /// This payload; that it leaves is durable.
    Payload(PayloadParts),
    /// Nothing: it was taken back, now or before, or is past its age.
    Gone,
    /// Nothing: it was offered under rules that have changed. It may have arrived, so it cannot be taken back.
    Withheld,
}

impl Node {
    /// Judges a payload by the rules in force, and notes that it is handed out. What was never handed out and may not be
    /// is taken back.
    ///
    /// # Errors
    /// Those of asking for the payload, but for a payload that is gone.
    pub async fn offer(
        self: &Arc<Self>,
        member: &str,
        stream: &StreamId,
        seq: u64,
    ) -> Result<Offer, Refusal> {
        let found = match self.payload(member, stream, seq).await {
            Ok(found) => found,
            Err(p) if matches!(p.code(), RefusalCode::BatchVoid | RefusalCode::BatchExpired) => {
                return Ok(Offer::Gone);
            }
            Err(p) => return Err(p),
        };
        self.note_served(stream, seq, &found).await?;
        if !found.served {
            // It was checked and noted under the same rules.
            return Ok(Offer::Payload(found));
        }
        let (node, stream) = (self.clone(), stream.clone());
        let checked = tokio::task::spawn_blocking(move || node.may_leave_again(&stream, seq));
        match checked.await.map_err(|_| RefusalCode::Internal)? {
            true => Ok(Offer::Payload(found)),
            false => Ok(Offer::Withheld),
        }
    }

    /// Would the rules in force let a batch that was handed out before leave, if it had not been? Blocks.
    fn may_leave_again(&self, stream: &StreamId, seq: u64) -> bool {
        let rules = self.rules();
        let Some(head) = self.head(stream) else { return false };
        let Some(batch) = self.batch(&head, seq) else { return false };
        batch.released
            || batch.records == 0
            || self.may_still_leave(&rules, stream, &head, batch.description)
            || self.only_recalls(&rules, stream, &head, &batch)
    }
}

#[cfg(test)]
mod tests;
