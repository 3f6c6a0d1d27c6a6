//! Whether a receipt is of the submission it came for.

use bytes::Bytes;
use xinqiao_evidence::entry::{Entry, Event};
use xinqiao_evidence::receipt::{Receipt, VerifiedReceipt};
use xinqiao_evidence::tlog::log_origin;

use super::state::Queued;
use crate::client::{Client, Sent};
use crate::error::{ClientError, unverified};
use crate::puller::may_be_a_new_key;
use crate::puller::pinned::PinnedKeys;
use xinqiao_explain::Explanation;

/// Verifies a receipt with pinned keys, following the node to newer ones it vouches for. True: it is genuine, and of exactly
/// this body, these parameters and these counts. False: there are no keys to verify with.
pub(super) async fn verify(
    keys: Option<&mut PinnedKeys>,
    client: &Client,
    queued: &Queued,
    body: &Bytes,
    sent: &Sent,
) -> Result<bool, ClientError> {
    let Some(keys) = keys else { return Ok(false) };
    let place = format!("the receipt of {}", queued.name);
    let receipt = Receipt::from_json(sent.response.receipt.get().as_bytes());
    let receipt = receipt.map_err(|error| unverified(&*place, &error))?;
    let verified = match by(keys, &receipt, &place) {
        Err(error) if may_be_a_new_key(&error) && keys.refresh(client).await? => by(keys, &receipt, &place)?,
        other => other?,
    };
    match is_of(&verified, queued, body, sent) {
        true => Ok(true),
        false => Err(ClientError::Unverified(Box::new(Explanation::new("receipt.other-submission", "it is of another submission, or of other records than were sent; keep it and report it to the node's officers", "回执属于另一次提交，或与所报数据不符；请保留并报告节点管理员").at(place)))),
    }
}

/// The node and epoch a receipt names, if it is one.
pub(super) fn place(receipt: &[u8]) -> Option<(String, u64)> {
    let receipt = Receipt::from_json(receipt).ok()?;
    let entry = Entry::from_bytes(&receipt.entry).ok()?;
    Some((entry.node.into_owned(), entry.epoch))
}

fn by(keys: &PinnedKeys, receipt: &Receipt, place: &str) -> Result<VerifiedReceipt, ClientError> {
    let entry = Entry::from_bytes(&receipt.entry).map_err(|error| unverified(place, &error))?;
    let keys = keys.of_log(&log_origin(&entry.node, entry.epoch));
    receipt.verify(&keys).map_err(|error| unverified(place, &error))
}

fn is_of(receipt: &VerifiedReceipt, queued: &Queued, body: &Bytes, sent: &Sent) -> bool {
    let Event::Submission { dataset, schema, op, load, counts, .. } = &receipt.entry().event else {
        return false;
    };
    let response = &sent.response;
    *dataset == queued.dataset
        && queued.schema.as_ref().is_none_or(|asked| schema == asked)
        && *op == queued.op
        && *load == queued.load.as_deref().unwrap_or("daily")
        && (counts.accepted, counts.refused, counts.warned)
            == (response.accepted, response.refused, response.warned)
        && receipt.is_of_body(body)
}
