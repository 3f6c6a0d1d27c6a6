//! What the engine counts. Names and labels are the table's in [`xinqiao_runtime::metrics`].

use crate::keyring::{KeyKind, KeyState, KeyView};
use std::sync::Arc;
use xinqiao_exchange::event::Outcome;
use xinqiao_runtime::metrics::{Metric, Metrics};

/// The engine's hand on the metrics.
#[derive(Clone)]
pub struct Telemetry(pub Arc<Metrics>);

/// What became of the lines of an upstream's batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relayed {
    /// Taken.
    pub(super) accepted: u64,
    /// Refused, and told to the upstream.
    pub(super) refused: u64,
    /// Refused because they had passed this node before.
    pub(super) looped: u64,
}

impl Telemetry {
    pub(super) fn records(&self, dataset: &str, accepted: u32, refused: u32, warned: u32) {
        for (outcome, n) in [("accepted", accepted), ("refused", refused), ("warned", warned)] {
            if n > 0 {
                self.0.add(Metric::IngestRecords, &[dataset, outcome], u64::from(n));
            }
        }
        let outcome = match (accepted, refused) {
            (0, _) => "refused",
            (_, 0) => "accepted",
            _ => "partial",
        };
        self.0.add(Metric::IngestSubmissions, &[dataset, outcome], 1);
    }

    /// Records that count as an organisation's on the word of their authority.
    pub(super) fn uncoded(&self, member: &str, dataset: &str, records: u32) {
        if records > 0 {
            self.0.add(Metric::IngestUncodedRecords, &[member, dataset], u64::from(records));
        }
    }

    pub(super) fn repeated(&self, dataset: &str) {
        self.0.add(Metric::IngestSubmissions, &[dataset, "repeated"], 1);
    }

    pub(super) fn commit_group(&self, entries: u64, seconds: f64) {
        self.0.add(Metric::CommitGroups, &[], 1);
        self.0.observe(Metric::CommitGroupRecords, &[], entries as f64);
        self.0.observe(Metric::CommitSyncSeconds, &[], seconds);
    }

    pub(super) fn commit_failed(&self) {
        self.0.add(Metric::CommitFailures, &[], 1);
    }

    /// Days until the schedule has a key succeeded; nothing of a kind without a schedule.
    pub(super) fn keys_due(&self, keys: &[KeyView]) {
        let in_use = |k: &&KeyView| k.state == KeyState::Active && KeyKind::SIGNING.contains(&k.kind);
        for key in keys.iter().filter(in_use) {
            if let Some(days) = key.days_left {
                self.0.set(Metric::SigningKeyExpiryDays, &[key.kind.as_str()], days as f64);
            }
        }
    }

    pub(super) fn batch(&self, stream: &str, state: &str) {
        self.0.add(Metric::Batches, &[stream, state], 1);
    }

    pub(super) fn delivered(&self, stream: &str, bytes: u64) {
        self.0.add(Metric::DeliveredBytes, &[stream], bytes);
    }

    pub(super) fn acknowledged(&self, stream: &str, outcome: Outcome) {
        let state = match outcome {
            Outcome::Accepted => "acknowledged",
            Outcome::Partial => "partial",
            Outcome::Rejected => "rejected",
        };
        self.batch(stream, state);
    }

    pub(super) fn feedback(&self, dataset: &str, records: u64) {
        self.0.add(Metric::FeedbackRecords, &[dataset], records);
    }

    pub(super) fn expired(&self, dataset: &str, records: u64) {
        self.0.set(Metric::RetentionOverdue, &[dataset], records as f64);
    }

    pub(super) fn queue_rebuilt(&self) {
        self.0.add(Metric::QueueRebuilds, &[], 1);
    }

    /// An attempt to push to a recipient ended so.
    pub fn pushed(&self, recipient: &str, outcome: &str) {
        self.0.add(Metric::PushAttempts, &[recipient, outcome], 1);
    }

    pub(super) fn relayed(&self, upstream: &str, lines: Relayed) {
        self.0.add(Metric::RelayRecords, &[upstream, "accepted"], lines.accepted);
        self.0.add(Metric::RelayRecords, &[upstream, "refused"], lines.refused);
        self.0.add(Metric::RelayRecords, &[upstream, "looped"], lines.looped);
    }
}
