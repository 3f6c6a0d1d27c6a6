//! What pushing one stream does next. It is told how its last step ended and names the next one; it has no network, no
//! node, no clock and no randomness of its own.
//!
//! One batch: [`Step::Look`] finds it, [`Step::SendPayload`] and [`Step::SendManifest`] put it at the endpoint, in this order,
//! and an acknowledgement that comes back is handed to the node ([`Step::Take`]). The next batch is looked for only when
//! this one is delivered. A failure pauses, and the batch is looked for again: whether it may leave is asked anew before
//! each attempt. After so many failures in a row pushing is given up until a person lets it go on.

use crate::links::backoff::Backoff;
use std::borrow::Cow;
use std::time::Duration;

const PAUSE_MOST: Duration = Duration::from_secs(600);

/// A stable code: why a step failed.
pub(super) type Code = Cow<'static, str>;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// See whether there is a batch to push.
    Look {
        /// Which.
        seq: u64,
    },
    /// Wait until anything was committed after the last look.
    WaitForNews,
    /// Put the payload, if it may leave now.
    SendPayload {
        /// Which.
        seq: u64,
    },
    /// Put manifest and proof.
    SendManifest {
        /// Which.
        seq: u64,
    },
    /// Hand the acknowledgement that came back to the node.
    Take,
    /// Wait.
    Pause {
        /// How long.
        length: Duration,
    },
    /// Note the dead letter.
    GiveUp,
}

/// How a step ended. Each answers one step; at any other it is a failure of its own.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// To [`Step::Look`]: pushing was given up, and nobody has let it go on.
    Dead,
    /// To [`Step::Look`]: there is no such batch yet.
    Nothing,
    /// To [`Step::Look`].
    Found {
        /// Its recipient has answered for good.
        acknowledged: bool,
        /// It has a payload.
        payload: bool,
    },
    /// To [`Step::WaitForNews`].
    News,
    /// To [`Step::SendPayload`]: the node took it back, or it is past its age. Its place in the chain is all there is.
    Gone,
    /// To [`Step::SendPayload`]: it was offered before, and the rules in force do not let it leave any more.
    Withheld,
    /// To [`Step::SendPayload`] and [`Step::SendManifest`]: the endpoint's status.
    Status(u16),
    /// To [`Step::Take`]: the batch is answered for good.
    Final,
    /// To [`Step::Take`]: it was rejected as a whole and stays pending.
    Rejected,
    /// To [`Step::Pause`].
    Rested,
    /// To [`Step::GiveUp`]: is the dead letter noted?
    Noted(bool),
    /// To any.
    Failed(Code),
}

/// What is told to people: logged and counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    /// A batch was delivered.
    Delivered,
    /// An attempt failed.
    Failed {
        /// Of which batch.
        seq: u64,
        /// Why.
        code: Code,
        /// Failures in a row, this one included.
        failures: u32,
    },
}

/// The pushing of one stream.
#[derive(Debug)]
pub(super) struct Pushing {
    attempts: u32,
    step: Step,
    /// The batch that is due.
    seq: u64,
    /// In a row.
    failures: u32,
    backoff: Backoff,
}

impl Pushing {
    /// Begins at the first batch: those that were answered for good are passed over. Gives up after `attempts` failures
    /// in a row; `first` is the first pause.
    pub(super) fn new(attempts: u32, first: Duration) -> Self {
        let backoff = Backoff::new(first, PAUSE_MOST);
        Self { attempts, step: Step::Look { seq: 1 }, seq: 1, failures: 0, backoff }
    }

    /// What is to be done now.
    pub(super) fn step(&self) -> Step {
        self.step.clone()
    }

    /// Takes how the step ended, and moves to the next; comes back with what is to be reported.
    pub(super) fn ended(&mut self, outcome: Outcome, random: u64) -> Option<Report> {
        let seq = self.seq;
        let (report, next) = match (&self.step, outcome) {
            (_, Outcome::Failed(code)) => self.failed(code, random),
            (Step::WaitForNews, Outcome::News) | (Step::Pause { .. }, Outcome::Rested) => {
                (None, Step::Look { seq })
            }
            (Step::Look { .. }, Outcome::Dead) => {
                self.recovered();
                (None, Step::WaitForNews)
            }
            (Step::Look { .. }, Outcome::Nothing) => (None, Step::WaitForNews),
            (Step::Look { .. }, Outcome::Found { acknowledged: true, .. }) => (None, self.advance()),
            (Step::Look { .. }, Outcome::Found { payload: true, .. }) => (None, Step::SendPayload { seq }),
            (Step::Look { .. }, Outcome::Found { .. }) | (Step::SendPayload { .. }, Outcome::Gone) => {
                (None, Step::SendManifest { seq })
            }
            (Step::SendPayload { .. }, Outcome::Status(200..300)) => (None, Step::SendManifest { seq }),
            // Time does not mend it, and every attempt would ask the disk: a person decides.
            (Step::SendPayload { .. }, Outcome::Withheld) => {
                (Some(self.report("push.policy-changed".into())), Step::GiveUp)
            }
            (Step::SendManifest { .. }, Outcome::Status(200)) => (None, Step::Take),
            // It will be acknowledged through the API.
            (Step::SendManifest { .. }, Outcome::Status(202)) | (Step::Take, Outcome::Final) => {
                (Some(Report::Delivered), self.advance())
            }
            (Step::SendPayload { .. } | Step::SendManifest { .. }, Outcome::Status(status)) => {
                self.failed(format!("status-{status}").into(), random)
            }
            // It stays pending: pushed again, as long as after any other failure.
            (Step::Take, Outcome::Rejected) => self.failed("recipient-rejected".into(), random),
            (Step::GiveUp, Outcome::Noted(true)) => (None, Step::Look { seq }),
            // Not noted, so the stream does not count as dead: without a pause it would be tried as fast as it fails.
            (Step::GiveUp, Outcome::Noted(false)) => {
                (None, Step::Pause { length: self.backoff.grow(random) })
            }
            _ => self.failed("push.out-of-step".into(), random),
        };
        self.step = next;
        report
    }

    fn failed(&mut self, code: Code, random: u64) -> (Option<Report>, Step) {
        let report = self.report(code);
        let next = match self.failures >= self.attempts {
            true => Step::GiveUp,
            false => Step::Pause { length: self.backoff.grow(random) },
        };
        (Some(report), next)
    }

    fn report(&mut self, code: Code) -> Report {
        self.failures = self.failures.saturating_add(1);
        Report::Failed { seq: self.seq, code, failures: self.failures }
    }

    fn advance(&mut self) -> Step {
        self.recovered();
        self.seq += 1;
        Step::Look { seq: self.seq }
    }

    fn recovered(&mut self) {
        self.failures = 0;
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests;
