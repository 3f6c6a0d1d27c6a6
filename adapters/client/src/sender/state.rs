//! `sender.state`: what a sender knows, one line per step, added to and synced as it goes.
//!
//! A line is 16 hexadecimal digits, a space and a JSON object: the digits begin the SHA-256 of the line before's digits
//! and the object. The first line is the header. A last line without its LF is a write that was cut short: its step was
//! not taken, and it is dropped. Any other line that does not fit is damage: nothing is guessed, and a person restores
//! the file.

mod file;
mod line;

pub use line::{Acceptance, Refusal, SubmissionOutcome};

pub(super) use file::StateFile;
pub(super) use line::{Event, Queued};

use std::collections::{HashMap, VecDeque};

use line::Outcome;

/// What the lines add up to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct State {
    waiting: VecDeque<Queued>,
    outcomes: HashMap<String, (u64, Outcome)>,
    /// Keys by the number of their outcome. A key whose outcome was replaced stands here more than once; the newest
    /// counts.
    order: VecDeque<(u64, String)>,
    next_outcome: u64,
    /// The node and epoch of the newest receipt.
    node: Option<(String, u64)>,
    feedback: u64,
    /// Keys of refusals that were forgotten since somebody asked.
    forgotten: Vec<String>,
}

impl State {
    /// Takes a step. Any line may follow any other: the submission it names may have been forgotten.
    fn apply(&mut self, event: Event, remember: usize) {
        match event {
            Event::Queued(queued) => {
                self.waiting.retain(|other| other.key != queued.key);
                self.waiting.push_back(*queued);
            }
            Event::Discarded { key } => self.waiting.retain(|other| other.key != key),
            Event::Settled(outcome) => self.settle(*outcome, remember),
            Event::Feedback { next } => self.feedback = next,
        }
    }

    fn settle(&mut self, mut outcome: Outcome, remember: usize) {
        if let Some(at) = outcome.at.take() {
            if self.node.as_ref().is_some_and(|known| *known != at) {
                self.feedback = 0;
            }
            self.node = Some(at);
        }
        self.waiting.retain(|other| other.key != outcome.key);
        let number = self.next_outcome;
        self.next_outcome += 1;
        self.order.push_back((number, outcome.key.clone()));
        self.outcomes.insert(outcome.key.clone(), (number, outcome));
        while self.outcomes.len() > remember {
            let Some((number, key)) = self.order.pop_front() else { break };
            self.forget(number, key);
        }
        // Keys that were settled again leave their older numbers behind; these must not pile up.
        while self.order.front().is_some_and(|(number, key)| !self.is_newest(*number, key)) {
            self.order.pop_front();
        }
    }

    fn is_newest(&self, number: u64, key: &str) -> bool {
        self.outcomes.get(key).is_some_and(|(newest, _)| *newest == number)
    }

    fn forget(&mut self, number: u64, key: String) {
        if !self.is_newest(number, &key) {
            return;
        }
        let gone = self.outcomes.remove(&key);
        if gone.is_some_and(|(_, outcome)| matches!(outcome.outcome, SubmissionOutcome::Refused(_))) {
            self.forgotten.push(key);
        }
    }

    /// The fewest lines that add up to this.
    fn events(&self) -> Vec<Event> {
        let mut outcomes: Vec<&(u64, Outcome)> = self.outcomes.values().collect();
        outcomes.sort_by_key(|(number, _)| *number);
        let mut events: Vec<Event> =
            outcomes.into_iter().map(|(_, outcome)| Event::Settled(Box::new(outcome.clone()))).collect();
        // The newest place goes onto the newest outcome: feedback comes after it, or it would begin anew.
        if let Some(Event::Settled(last)) = events.last_mut() {
            last.at.clone_from(&self.node);
        }
        events.extend(self.waiting.iter().cloned().map(|queued| Event::Queued(Box::new(queued))));
        if self.feedback > 0 {
            events.push(Event::Feedback { next: self.feedback });
        }
        events
    }
}

#[cfg(test)]
mod tests;
