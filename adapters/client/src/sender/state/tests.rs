//! The state as its lines add up to it: cut, damaged, forgotten, written anew.

use proptest::prelude::*;

use super::file::state_of;
use super::line::{Header, Outcome, write};
use super::*;

const PLENTY: usize = 1000;

fn queued(n: u8) -> Event {
    Event::Queued(Box::new(Queued {
        key: format!("key-{n}"),
        content: format!("content-{n}"),
        name: format!("{n}.csv"),
        bytes: 7,
        dataset: "d".into(),
        op: "put".into(),
        schema: None,
        load: None,
        media_type: "text/csv".into(),
        charset: None,
        strict: false,
        gzip: false,
    }))
}

fn accepted(n: u8, epoch: u64) -> Event {
    let outcome = SubmissionOutcome::Accepted(Acceptance {
        submission: format!("{n}-s"),
        accepted: 1,
        refused: 0,
        warned: 0,
        receipt: format!("{n}-s.receipt.json"),
        verified: true,
    });
    settled(n, outcome, Some(("node".into(), epoch)))
}

fn refused(n: u8) -> Event {
    settled(n, SubmissionOutcome::Refused(Refusal { status: 422, code: "records.refused".into() }), None)
}

fn settled(n: u8, outcome: SubmissionOutcome, at: Option<(String, u64)>) -> Event {
    Event::Settled(Box::new(Outcome {
        key: format!("key-{n}"),
        content: Some(format!("content-{n}")),
        outcome,
        at,
    }))
}

fn steps() -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![
        4 => (0u8..12).prop_map(queued),
        4 => (0u8..12, 1u64..3).prop_map(|(n, epoch)| accepted(n, epoch)),
        2 => (0u8..12).prop_map(refused),
        1 => (0u8..12).prop_map(|n| Event::Discarded { key: format!("key-{n}") }),
        1 => (1u64..100).prop_map(|next| Event::Feedback { next }),
    ];
    prop::collection::vec(step, 0..60)
}

/// The file of these steps, and where each line ends.
fn file(steps: &[Event]) -> (Vec<u8>, Vec<usize>) {
    let header = Header {
        format: "xinqiao-sender".into(),
        v: 1,
        gateway: "https://g".into(),
        member: None,
        secret: "5".into(),
    };
    let mut bytes = Vec::new();
    let mut last = write(&mut bytes, "", &header);
    let mut ends = vec![bytes.len()];
    for step in steps {
        last = write(&mut bytes, &last, step);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn fold(steps: &[Event], remember: usize) -> State {
    let mut state = State::default();
    for step in steps {
        state.apply(step.clone(), remember);
    }
    state.forgotten.clear();
    state
}

/// All that anybody can ask of a state.
#[allow(clippy::type_complexity, reason = "compared whole, used here only")]
fn said(state: &State) -> (Vec<&Queued>, Vec<&Outcome>, &Option<(String, u64)>, u64) {
    let mut outcomes: Vec<&(u64, Outcome)> = state.outcomes.values().collect();
    outcomes.sort_by_key(|(number, _)| *number);
    let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    (state.waiting.iter().collect(), outcomes, &state.node, state.feedback)
}

proptest! {
    #[test]
    fn a_file_cut_anywhere_is_the_steps_that_are_whole(steps in steps(), at in 0.0..1.0f64) {
        let (bytes, ends) = file(&steps);
        let cut = ends[0] + ((bytes.len() - ends[0]) as f64 * at) as usize;
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        let (state, length) = state_of(&bytes[..cut], PLENTY).unwrap();
        prop_assert_eq!(state, fold(&steps[..whole], PLENTY));
        prop_assert_eq!(length, ends[whole] as u64);
    }

    #[test]
    fn a_changed_byte_is_named_unless_it_looks_like_a_write_cut_short(
        steps in steps(), at in 0.0..=1.0f64, bit in 0u8..8,
    ) {
        let (mut bytes, _) = file(&steps);
        let last = bytes.len() - 1;
        let place = (last as f64 * at) as usize;
        bytes[place] ^= 1 << bit;
        match state_of(&bytes, PLENTY) {
            Ok((state, _)) => {
                prop_assert!(!steps.is_empty() && place == last, "byte {} of {}", place, bytes.len());
                prop_assert_eq!(state, fold(&steps[..steps.len() - 1], PLENTY));
            }
            Err(error) => prop_assert_eq!(error.code(), "sender.state-damaged"),
        }
    }

    #[test]
    fn written_anew_it_says_the_same_and_goes_on_the_same(
        before in steps(), after in steps(), remember in 1usize..8,
    ) {
        let long = fold(&before, remember);
        let (bytes, _) = file(&long.events());
        let (short, _) = state_of(&bytes, remember).unwrap();
        prop_assert_eq!(said(&short), said(&long));
        prop_assert!(short.outcomes.len() <= remember);
        let (mut long, mut short) = (long, short);
        for step in &after {
            long.apply(step.clone(), remember);
            short.apply(step.clone(), remember);
        }
        prop_assert_eq!(said(&short), said(&long));
        long.forgotten.sort();
        short.forgotten.sort();
        prop_assert_eq!(&short.forgotten, &long.forgotten);
        // What was settled again and again does not pile up.
        prop_assert!(long.order.len() <= before.len() + after.len());
    }
}

#[test]
fn the_oldest_outcomes_are_forgotten_first_and_refusals_are_named_for_their_files() {
    let mut state = State::default();
    for event in [refused(1), accepted(2, 1), refused(1), accepted(3, 1), accepted(4, 1)] {
        state.apply(event, 3);
    }
    let mut known: Vec<&str> = state.outcomes.keys().map(String::as_str).collect();
    known.sort_unstable();
    assert_eq!(known, ["key-1", "key-3", "key-4"]);
    assert!(state.forgotten.is_empty());
    state.apply(accepted(5, 1), 3);
    assert_eq!(state.forgotten, ["key-1"]);
}

#[test]
fn a_new_epoch_begins_feedback_anew() {
    let mut state = State::default();
    state.apply(accepted(1, 1), PLENTY);
    state.apply(Event::Feedback { next: 9 }, PLENTY);
    state.apply(accepted(2, 1), PLENTY);
    assert_eq!(state.feedback, 9);
    state.apply(accepted(3, 2), PLENTY);
    assert_eq!((state.feedback, state.node.clone()), (0, Some(("node".into(), 2))));
}

#[test]
fn a_file_of_another_program_or_version_is_named_as_such() {
    for (format, v) in [("xinqiao-sender", 2), ("another", 1)] {
        let mut bytes = Vec::new();
        write(&mut bytes, "", &serde_json::json!({ "format": format, "v": v }));
        assert_eq!(state_of(&bytes, PLENTY).unwrap_err().code(), "sender.state-version");
    }
    for text in ["", "\n", "no lines", "{\"v\":1}\n"] {
        assert_eq!(state_of(text.as_bytes(), PLENTY).unwrap_err().code(), "sender.state-damaged");
    }
    let (mut bytes, _) = file(&[]);
    let line = String::from_utf8(bytes.clone()).unwrap();
    write(&mut bytes, &line[..16], &serde_json::json!({ "step": "of tomorrow" }));
    assert_eq!(state_of(&bytes, PLENTY).unwrap_err().code(), "sender.state-version");
}
