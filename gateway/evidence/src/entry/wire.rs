//! One flat shape for all kinds of entry. Fields stand in alphabetical order, so serde writes RFC 8785.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

use super::outcome::{Counts, HoldState, Outcome, WithheldState};
use super::{EntryError, VERSION};
use crate::digest::Digests;
use crate::json::MAX_SAFE_INTEGER;
use crate::names;
use crate::timestamp::is_timestamp;

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ack_digest: Option<Cow<'a, Digests>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) basis_digest: Option<Cow<'a, Digests>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body_digest: Option<Cow<'a, Digests>>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) counts: Option<Counts>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) dataset: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<Cow<'a, Digests>>,
    pub(super) epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) errors: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) evidence_digest: Option<Cow<'a, Digests>>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) handling: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hold: Option<HoldState>,
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) load: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) manifest_digest: Option<Cow<'a, Digests>>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) member: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) node: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) op: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous_epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous_root: Option<Cow<'a, Digests>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous_size: Option<u64>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) recall: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rejected_digest: Option<Cow<'a, Digests>>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<u64>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) time: Cow<'a, str>,
    pub(super) v: u64,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    pub(super) what: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) withheld: Option<WithheldState>,
}

impl Wire<'_> {
    /// The rules that hold for every kind of entry.
    pub(super) fn check(&self) -> Result<(), EntryError> {
        if self.v != VERSION {
            return Err(EntryError::Version { found: self.v });
        }
        let stream_fits = self.stream.as_deref().is_none_or(names::is_stream);
        let counts = self.counts.unwrap_or_default();
        let numbers = [
            ("errors", self.errors),
            ("previous_epoch", self.previous_epoch),
            ("previous_size", self.previous_size),
            ("records", self.records),
            ("seq", self.seq),
            ("counts", Some(counts.accepted.max(counts.refused).max(counts.warned))),
        ];
        let rules = [
            ("node", names::is_node(&self.node)),
            ("epoch", (1..=MAX_SAFE_INTEGER).contains(&self.epoch)),
            ("time", is_timestamp(&self.time)),
            ("stream", stream_fits),
        ];
        let broken = rules.into_iter().find(|(_, holds)| !holds).map(|(name, _)| name);
        let unsafe_number = |(name, number): (&'static str, Option<u64>)| {
            number.filter(|number| *number > MAX_SAFE_INTEGER).map(|_| name)
        };
        match broken.or_else(|| numbers.into_iter().find_map(unsafe_number)) {
            Some(name) => Err(EntryError::Member { name }),
            None => Ok(()),
        }
    }
}

/// serde borrows into `Cow` only where it stands alone, not inside `Option`.
fn borrowed<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    Text::deserialize(deserializer).map(|text| Some(text.0))
}
