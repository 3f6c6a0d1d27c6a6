//! The node's keys change while it runs: by the schedule or at an officer's word, step by step, each step an entry of
//! the log.

use super::committer::Job;
use super::{CommitError, Node, entries};
use crate::keyring::{KeyKind, KeyView, KeyringError};
use parking_lot::MutexGuard;
use tokio::sync::oneshot;
use xinqiao_exchange::group::Change;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// By whom a key is changed that the schedule changes.
const SCHEDULE: &str = "node";

impl Node {
    /// All keys there ever were: public facts.
    pub fn keys(&self) -> Vec<KeyView> {
        self.secrets.view(self.clock.now())
    }

    /// Gives a kind of key a successor: published first and in service when its time comes, or at once with `now`, which
    /// also hurries one that is pending. At-rest keys need no publishing; what the old one wrapped is wrapped again
    /// before this returns. The key that came of it is returned. Blocks.
    pub fn rotate_key(&self, kind: KeyKind, now: bool, by: &str) -> Result<KeyView, Refusal> {
        let turned = self.turn_key(kind, now).map_err(|e| {
            tracing::error!(code = e.code(), "a key could not be changed: {e}");
            Refusal::from(RefusalCode::KeysUnavailable)
        });
        // What was done is told even if the last step failed.
        let noted = self.note_keys(by);
        self.metrics.keys_due(&self.keys());
        let view = turned?;
        noted?;
        Ok(view)
    }

    fn turn_key(&self, kind: KeyKind, now: bool) -> Result<KeyView, KeyringError> {
        let keyring = &self.secrets;
        if kind == KeyKind::AtRest {
            let one = keyring.rewrapping();
            keyring.renew_at_rest(&self.clock)?;
            self.rewrap(&one);
            drop(one);
            let active = |k: &KeyView| k.kind == kind && k.state == crate::keyring::KeyState::Active;
            return Ok(self.keys().into_iter().find(active).expect("there is an at-rest key in use"));
        }
        let wait = if now { 0 } else { keyring.pending_seconds() };
        let moment = self.clock.now();
        let pending = keyring.begin(kind, self.name.as_str(), moment.saturating_add(wait), &self.clock)?;
        if wait > 0 {
            return Ok(pending);
        }
        Ok(keyring.activate(kind, self.name.as_str(), &self.clock)?.unwrap_or(pending))
    }

    /// Wraps the keys of stored data by the current at-rest key, then forgets the older ones. Tried again by the next
    /// round of upkeep if it fails. Blocks.
    fn rewrap(&self, _one: &MutexGuard<'_, ()>) {
        let (reply, response) = oneshot::channel();
        let keys = self.secrets.at_rest();
        if self.jobs.send(Job::Rewrap { keys, reply }).is_err() {
            return;
        }
        match response.blocking_recv() {
            Ok(Ok(count)) => match self.secrets.forget_at_rest(&self.clock) {
                Ok(()) => tracing::info!(count, "the keys of stored data are wrapped by the new at-rest key"),
                Err(e) => tracing::error!(code = e.code(), "{e}"),
            },
            Ok(Err(why)) => {
                tracing::error!(
                    code = "keys.rewrap",
                    why,
                    "stored data is not all wrapped anew yet; tried again"
                );
            }
            Err(_) => {}
        }
    }

    /// One round of upkeep of the keys. Blocks.
    pub(super) fn tend_keys(&self) {
        let keyring = &self.secrets;
        let one = keyring.rewrapping();
        if keyring.is_rewrapping() {
            self.rewrap(&one);
        }
        drop(one);
        if let Err(e) = self.follow_schedule() {
            tracing::error!(code = e.code(), "the schedule of keys could not be followed; tried again: {e}");
        }
        if let Err(e) = keyring.tidy(self.name.as_str(), &self.clock) {
            tracing::error!(code = e.code(), "the keyring could not be tidied; tried again: {e}");
        }
        if let Err(e) = self.note_keys(SCHEDULE) {
            tracing::warn!(?e, "changes of keys wait to be told in the log");
        }
        self.metrics.keys_due(&self.keys());
    }

    fn follow_schedule(&self) -> Result<(), KeyringError> {
        let (due, wanting) = self.secrets.due(self.clock.now());
        for kind in due {
            self.secrets.activate(kind, self.name.as_str(), &self.clock)?;
        }
        for kind in wanting {
            self.turn_key(kind, false)?;
        }
        Ok(())
    }

    /// Nothing was signed, so nothing is written: whoever asked may ask again.
    pub(super) fn unsigned(&self) -> CommitError {
        self.metrics.commit_failed();
        CommitError::Unsigned
    }

    /// Tells the log what it does not tell yet of keys: a step that was cut off is told at the next start.
    pub(super) fn note_keys(&self, by: &str) -> Result<(), CommitError> {
        for (kid, kind, state) in self.secrets.unnoted() {
            let name = format!("{} {kid} {}", kind.as_str(), state.as_str());
            let entry = entries::configuration(self, "key", &name, None, by);
            let change = Change { entry: Some(entry), ..Change::default() };
            self.change_blocking(change, |_| true)?;
            if let Err(e) = self.secrets.note(&kid, state) {
                tracing::warn!(code = e.code(), "{e}");
            }
        }
        Ok(())
    }
}
