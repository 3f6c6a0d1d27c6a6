//! What a relay does next. It is told how its last step ended and names the next one; it has no network, no node, no clock
//! and no randomness of its own.
//!
//! One round: [`Step::Look`] reads the place reached; after a start or a failure the acknowledgement committed with it is
//! given again ([`Step::Repeat`]); [`Step::List`] asks for what follows; each batch is verified, fetched, checked,
//! committed and acknowledged before the next is looked at. Every failure ends in [`Step::Pause`], after which all begins
//! anew from what the node has stored: whatever a crash or a failure left behind, the same batch comes again.

use crate::links::backoff::Backoff;
use std::borrow::Cow;
use std::time::Duration;

/// Batches asked for at once.
const LIMIT: u32 = 8;
/// How long the upstream may hold a question it has no batch for.
const WAIT: Duration = Duration::from_secs(25);
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MOST: Duration = Duration::from_secs(60);

/// A stable code: why a step failed.
pub(super) type Code = Cow<'static, str>;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Forget what was fetched; make a client as settings and trust are now, and begin with the pinned keys.
    Connect,
    /// Read how far the stream was taken.
    Look,
    /// Give the acknowledgement that was committed with the last batch taken.
    Repeat,
    /// Ask for batches.
    List {
        /// After this one.
        after: u64,
        /// At most so many.
        limit: u32,
        /// The answer may wait so long for the first.
        wait: Duration,
    },
    /// Verify signature and log proof of a listed batch.
    Verify {
        /// Its place in the list, from 0.
        entry: usize,
    },
    /// Ask the upstream what became of its keys.
    LearnKeys,
    /// Fetch the payload of the batch verified last.
    Fetch {
        /// Its number.
        seq: u64,
    },
    /// Check what was fetched against the manifest.
    Check,
    /// Hand the batch to the node.
    Commit {
        /// With the lines checked last; else it has none, or none any more.
        lines: bool,
    },
    /// Give the acknowledgement that was committed now.
    Acknowledge,
    /// Report why, and wait.
    Pause {
        /// Why: what failed, or the setting a person must look at.
        code: Code,
        /// How long.
        length: Duration,
    },
}

/// How a step ended. Each answers one step; at any other it is a failure of its own.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// To [`Step::Connect`].
    Connected,
    /// To [`Step::Look`].
    Reached(Reached),
    /// To [`Step::Repeat`]: the upstream has taken it, or knew it.
    Repeated,
    /// To [`Step::List`]: so many batches.
    Listed(usize),
    /// To [`Step::Verify`]: signed by a trusted key.
    Verified(Claims),
    /// To [`Step::Verify`]: not signed by a key trusted so far.
    Unverified,
    /// To [`Step::LearnKeys`]: were any learnt?
    Learnt(bool),
    /// To [`Step::Fetch`].
    Fetched,
    /// To [`Step::Fetch`]: taken back, or past its age.
    Gone,
    /// To [`Step::Check`]: digest, lines and root are those of the manifest.
    Checked,
    /// To [`Step::Check`]: they are not.
    Damaged,
    /// To [`Step::Commit`].
    Committed,
    /// To [`Step::Acknowledge`].
    Acknowledged,
    /// To [`Step::Pause`].
    Rested,
    /// To any.
    Failed(Code),
}

/// How far a stream was taken, as the node has stored it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reached {
    /// The upstream's epoch; 0 before the first batch.
    pub(super) epoch: u64,
    /// Last batch taken; 0 before the first.
    pub(super) seq: u64,
    /// Its manifest's digest, hexadecimal.
    pub(super) digest: String,
    /// An acknowledgement was committed with it.
    pub(super) has_acknowledgement: bool,
}

/// What a manifest says whose signature is good.
#[derive(Debug, Clone)]
pub(super) struct Claims {
    /// The node that signed it.
    pub(super) node: String,
    /// The stream.
    pub(super) stream: String,
    /// Epoch.
    pub(super) epoch: u64,
    /// Place in the stream.
    pub(super) seq: u64,
    /// Digest of the manifest before, hexadecimal; empty if there is none.
    pub(super) prev: String,
    /// Digest of this one.
    pub(super) digest: String,
    /// Lines.
    pub(super) records: u64,
    /// What proves that it is in the upstream's log.
    pub(super) logged: Logged,
}

/// What became of a batch's log proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logged {
    /// The entry names the batch and is in the log.
    Proven,
    /// There is no entry to prove.
    NoEntry,
    /// The proof fails by the keys trusted so far, or is of another entry.
    Unproven,
}

/// One stream of an upstream.
#[derive(Debug)]
pub(super) struct Relay {
    node: String,
    stream: String,
    /// What is being done.
    step: Step,
    reached: Reached,
    /// The upstream has the acknowledgement of the last batch taken.
    acknowledged: bool,
    /// Batches listed, and which of them is looked at.
    listed: usize,
    entry: usize,
    batch: Option<Claims>,
    /// Why the batch looked at did not verify before keys were asked for; they are asked for once a batch.
    doubt: Option<&'static str>,
    backoff: Backoff,
}

impl Relay {
    /// A relay that has done nothing yet. `node` and `stream` are what manifests must say.
    pub(super) fn new(node: &str, stream: &str) -> Self {
        Self {
            node: node.to_owned(),
            stream: stream.to_owned(),
            step: Step::Connect,
            reached: Reached::default(),
            acknowledged: false,
            listed: 0,
            entry: 0,
            batch: None,
            doubt: None,
            backoff: Backoff::new(PAUSE_FIRST, PAUSE_MOST),
        }
    }

    /// What is to be done now.
    pub(super) fn step(&self) -> Step {
        self.step.clone()
    }

    /// Takes how the step ended, and moves to the next.
    pub(super) fn ended(&mut self, outcome: Outcome, random: u64) {
        self.step = match self.follow(outcome) {
            Ok(next) => next,
            Err(code) => Step::Pause { code, length: self.backoff.grow(random) },
        };
    }

    fn follow(&mut self, outcome: Outcome) -> Result<Step, Code> {
        match (&self.step, outcome) {
            (_, Outcome::Failed(code)) => Err(code),
            (Step::Pause { .. }, Outcome::Rested) => Ok(Step::Connect),
            (Step::Connect, Outcome::Connected) => {
                // A crash may have come between committing and acknowledging.
                self.acknowledged = false;
                Ok(Step::Look)
            }
            (Step::Look, Outcome::Reached(reached)) => {
                let repeat = reached.has_acknowledgement && !self.acknowledged;
                self.reached = reached;
                if repeat { Ok(Step::Repeat) } else { Ok(self.list()) }
            }
            (Step::Repeat, Outcome::Repeated) => {
                self.acknowledged = true;
                Ok(self.list())
            }
            (Step::List { .. }, Outcome::Listed(listed)) => {
                self.listed = listed;
                if listed == 0 {
                    self.backoff.reset();
                }
                Ok(self.look_at(0))
            }
            (Step::Verify { .. }, Outcome::Verified(claims)) => match self.refused(&claims) {
                Some(code) => self.doubted(code),
                None => {
                    let (seq, records) = (claims.seq, claims.records);
                    self.batch = Some(claims);
                    Ok(if records == 0 { Step::Commit { lines: false } } else { Step::Fetch { seq } })
                }
            },
            (Step::Verify { .. }, Outcome::Unverified) => self.doubted("relay.manifest"),
            (Step::LearnKeys, Outcome::Learnt(learnt)) => match self.doubt {
                Some(code) if !learnt => Err(code.into()),
                _ => Ok(Step::Verify { entry: self.entry }),
            },
            (Step::Fetch { .. }, Outcome::Fetched) => Ok(Step::Check),
            // Taken back, or past its age, before this node came for it: its place in the chain is all there is.
            (Step::Fetch { .. }, Outcome::Gone) => Ok(Step::Commit { lines: false }),
            (Step::Check, Outcome::Checked) => Ok(Step::Commit { lines: true }),
            (Step::Check, Outcome::Damaged) => Err("relay.payload".into()),
            (Step::Commit { .. }, Outcome::Committed) => {
                let Claims { epoch, seq, digest, .. } = self.batch.take().ok_or(OUT_OF_STEP)?;
                self.reached = Reached { epoch, seq, digest, has_acknowledgement: true };
                self.acknowledged = false;
                Ok(Step::Acknowledge)
            }
            (Step::Acknowledge, Outcome::Acknowledged) => {
                self.acknowledged = true;
                self.backoff.reset();
                Ok(self.look_at(self.entry + 1))
            }
            // Nothing is done about what nobody asked for: all begins anew from what is stored.
            _ => Err(OUT_OF_STEP),
        }
    }

    fn list(&self) -> Step {
        Step::List { after: self.reached.seq, limit: LIMIT, wait: WAIT }
    }

    /// Goes on with a listed batch, or with the next round behind the last.
    fn look_at(&mut self, entry: usize) -> Step {
        (self.entry, self.doubt, self.batch) = (entry, None, None);
        if entry < self.listed { Step::Verify { entry } } else { Step::Look }
    }

    /// Why a batch may not be taken, whoever signed it.
    fn refused(&self, said: &Claims) -> Option<&'static str> {
        let last = &self.reached;
        if said.node != self.node || said.stream != self.stream {
            return Some("relay.other-stream");
        }
        // The upstream was restored: what was taken from it may be missing there, so a person decides.
        if last.epoch != 0 && said.epoch != last.epoch {
            return Some("relay.new-epoch");
        }
        if last.seq.checked_add(1) != Some(said.seq) || said.prev != last.digest {
            return Some("relay.chain-broken");
        }
        match said.logged {
            Logged::Proven => None,
            Logged::NoEntry => Some("relay.log-entry"),
            Logged::Unproven => Some("relay.log-proof"),
        }
    }

    /// What does not verify may do so by keys the upstream has changed to.
    fn doubted(&mut self, code: &'static str) -> Result<Step, Code> {
        let by_its_key = matches!(code, "relay.manifest" | "relay.log-proof");
        if !by_its_key || self.doubt.is_some() {
            return Err(code.into());
        }
        self.doubt = Some(code);
        Ok(Step::LearnKeys)
    }
}

/// An outcome came that does not answer the step.
const OUT_OF_STEP: Code = Cow::Borrowed("relay.out-of-step");

#[cfg(test)]
mod tests;
