//! What the log can say happened.

use std::borrow::Cow;

use super::outcome::{Counts, HoldState, Outcome, WithheldState};
use crate::digest::Digests;

macro_rules! events {
    ($( $(#[$meta:meta])* $variant:ident = $kind:literal { $( $(#[$fmeta:meta])* $field:ident : $ty:ident ),* $(,)? } )+) => {
        /// An event and its evidence. Optional members are absent when `None`.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the members are described in docs/formats.md and by their names")]
        pub enum Event<'a> { $( $(#[$meta])* $variant { $( $(#[$fmeta])* $field : events!(@type $ty) ),* } ),+ }

        impl<'a> Event<'a> {
            /// Every value of `kind`.
            pub const KINDS: &'static [&'static str] = &[$($kind),+];

            /// The `kind` member.
            pub fn kind(&self) -> &'static str {
                match self { $( Self::$variant { .. } => $kind ),+ }
            }

            /// The event with all its text owned.
            pub fn into_owned(self) -> Event<'static> {
                match self { $( Self::$variant { $($field),* } => Event::$variant { $( $field: events!(@own $ty $field) ),* } ),+ }
            }

            pub(super) fn fill<'b: 'c, 'c>(&'b self, wire: &mut super::wire::Wire<'c>) where 'a: 'b {
                match self { $( Self::$variant { $($field),* } => { $( wire.$field = events!(@lend $ty $field); )* } ),+ }
            }

            pub(super) fn take(wire: &mut super::wire::Wire<'a>) -> Result<Self, super::EntryError> {
                $( if wire.kind == $kind {
                    return Ok(Self::$variant { $( $field: events!(@take $ty wire $field) ),* });
                } )+
                Err(super::EntryError::Member { name: "kind" })
            }
        }
    };
    (@type text) => { Cow<'a, str> };
    (@type maybe_text) => { Option<Cow<'a, str>> };
    (@type number) => { u64 };
    (@type maybe_number) => { Option<u64> };
    (@type digests) => { Digests };
    (@type maybe_digests) => { Option<Digests> };
    (@type $other:ident) => { $other };
    (@own text $field:ident) => { Cow::Owned($field.into_owned()) };
    (@own maybe_text $field:ident) => { $field.map(|text| Cow::Owned(text.into_owned())) };
    (@own $other:ident $field:ident) => { $field };
    (@lend text $field:ident) => { Some(Cow::Borrowed(&**$field)) };
    (@lend maybe_text $field:ident) => { $field.as_deref().map(Cow::Borrowed) };
    (@lend digests $field:ident) => { Some(Cow::Borrowed($field)) };
    (@lend maybe_digests $field:ident) => { $field.as_ref().map(Cow::Borrowed) };
    (@lend maybe_number $field:ident) => { *$field };
    (@lend $other:ident $field:ident) => { Some(*$field) };
    (@take maybe_text $wire:ident $field:ident) => { $wire.$field.take() };
    (@take maybe_number $wire:ident $field:ident) => { $wire.$field.take() };
    (@take maybe_digests $wire:ident $field:ident) => { $wire.$field.take().map(Cow::into_owned) };
    (@take digests $wire:ident $field:ident) => { events!(@must $wire $field).into_owned() };
    (@take $other:ident $wire:ident $field:ident) => { events!(@must $wire $field) };
    (@must $wire:ident $field:ident) => {
        $wire.$field.take().ok_or(super::EntryError::Member { name: stringify!($field) })?
    };
}

events! {
    /// Records came in. Digests are salted. `handling` is `strict` for all or nothing.
    Submission = "submission" {
        member: text, dataset: text, schema: text, op: text, load: text, handling: maybe_text,
        counts: Counts, body_digest: digests, rejected_digest: digests,
    }
    /// A batch was sealed.
    Batch = "batch" { stream: text, seq: number, manifest_digest: digests, records: number }
    /// A recipient answered; `errors` counts refused lines, `ack_digest` is [`crate::acknowledgement::Acknowledgement::digest`].
    Acknowledgement = "acknowledgement" {
        member: text, stream: text, seq: number, manifest_digest: digests, outcome: Outcome, errors: number,
        ack_digest: digests,
    }
    /// A recall began; `basis_digest` is salted.
    Recall = "recall" {
        member: text, recall: text, dataset: text, op: text, reason: text, records: number, basis_digest: maybe_digests,
    }
    /// A relay reported how far a recall has come below it.
    Confirmation = "confirmation" {
        member: text, recall: text, stream: text, state: text, evidence_digest: maybe_digests,
    }
    /// A recipient or a repair authority sent news about a record; `body_digest` is salted.
    Notice = "notice" { member: text, stream: text, reason: text, body_digest: digests }
    /// A stream was put on hold or released, by an officer or a rule.
    Hold = "hold" { stream: text, hold: HoldState, by: text, reason: text }
    /// Records were withheld, released or discarded.
    Withheld = "withheld" { stream: text, withheld: WithheldState, records: number, by: text, reason: text }
    /// A sealed batch was made void.
    Void = "void" { stream: text, seq: number, manifest_digest: digests, reason: text }
    /// The first entry of an epoch; the previous log's last known head, if any.
    Epoch = "epoch" {
        reason: text, previous_epoch: maybe_number, previous_size: maybe_number, previous_root: maybe_digests,
    }
    /// A member, policy, certificate, key, schema, mapping or setting changed; without `digest` it was removed.
    Configuration = "configuration" { what: text, name: text, digest: maybe_digests, by: text }
    /// Officers proposed, approved, rejected or withdrew a change, a proposal expired, took effect or failed, or an
    /// officer acted at once: `what` says which, `name` is the proposal's number or what was acted on. `member` is who
    /// proposed, `by` who did this, `digest` is the proposal's, `evidence_digest` that of the certificate used.
    Officer = "officer" {
        what: text, name: text, member: maybe_text, by: text, reason: maybe_text, digest: maybe_digests,
        evidence_digest: maybe_digests,
    }
    /// The node started.
    Start = "start" { version: text, digest: digests }
    /// The node stopped.
    Stop = "stop" { reason: text }
}
