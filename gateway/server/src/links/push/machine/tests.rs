//! The rules of pushing, each by hand, and all of them over any sequence of outcomes.

use super::*;
use proptest::prelude::*;

const FIRST: Duration = Duration::from_secs(1);
const PAYLOAD: Outcome = Outcome::Found { acknowledged: false, payload: true };

/// Pushing, with three attempts, that was told these outcomes; with what it reported last.
fn after(outcomes: &[Outcome]) -> (Pushing, Option<Report>) {
    let mut pushing = Pushing::new(3, FIRST);
    let mut report = None;
    for outcome in outcomes {
        report = pushing.ended(outcome.clone(), 0);
    }
    (pushing, report)
}

fn failed(code: &'static str, failures: u32) -> Option<Report> {
    Some(Report::Failed { seq: 1, code: code.into(), failures })
}

#[test]
fn payload_goes_before_manifest_and_the_next_batch_after_the_answer() {
    let mut pushing = Pushing::new(3, FIRST);
    let way = [
        (PAYLOAD, Step::SendPayload { seq: 1 }, None),
        (Outcome::Status(204), Step::SendManifest { seq: 1 }, None),
        (Outcome::Status(200), Step::Take, None),
        (Outcome::Final, Step::Look { seq: 2 }, Some(Report::Delivered)),
        // Answered through the API later.
        (PAYLOAD, Step::SendPayload { seq: 2 }, None),
        (Outcome::Status(200), Step::SendManifest { seq: 2 }, None),
        (Outcome::Status(202), Step::Look { seq: 3 }, Some(Report::Delivered)),
        // A void has no payload; one that was answered is passed over and not counted.
        (Outcome::Found { acknowledged: false, payload: false }, Step::SendManifest { seq: 3 }, None),
        (Outcome::Status(202), Step::Look { seq: 4 }, Some(Report::Delivered)),
        (Outcome::Found { acknowledged: true, payload: true }, Step::Look { seq: 5 }, None),
        (Outcome::Nothing, Step::WaitForNews, None),
        (Outcome::News, Step::Look { seq: 5 }, None),
    ];
    for (outcome, next, report) in way {
        assert_eq!(pushing.ended(outcome, 0), report);
        assert_eq!(pushing.step(), next);
    }
}

#[test]
fn what_fails_is_looked_for_again_after_a_pause_so_that_it_is_judged_anew() {
    let sent = [PAYLOAD, Outcome::Status(204)];
    let cases: [(&[Outcome], Outcome, &str); 7] = [
        (&[], Outcome::Failed("busy.queue".into()), "busy.queue"),
        (&sent[..1], Outcome::Status(503), "status-503"),
        (&sent[..1], Outcome::Status(302), "status-302"),
        (&sent[..1], Outcome::Failed("client.connection".into()), "client.connection"),
        (&sent, Outcome::Status(201), "status-201"),
        (&sent, Outcome::Failed("client.timeout".into()), "client.timeout"),
        (&[PAYLOAD, Outcome::Status(204), Outcome::Status(200)], Outcome::Rejected, "recipient-rejected"),
    ];
    for (before, fails, code) in cases {
        let (mut pushing, _) = after(before);
        assert_eq!(pushing.ended(fails, 0), failed(code, 1));
        assert_eq!(pushing.step(), Step::Pause { length: FIRST });
        pushing.ended(Outcome::Rested, 0);
        assert_eq!(pushing.step(), Step::Look { seq: 1 });
    }
}

#[test]
fn after_its_attempts_a_stream_waits_for_a_person_and_then_begins_afresh() {
    let fails = Outcome::Failed("client.connection".into());
    let round = [fails.clone(), Outcome::Rested];
    let (mut pushing, _) = after(&[&round[..], &round[..]].concat());
    assert_eq!(pushing.ended(fails.clone(), 0), failed("client.connection", 3));
    assert_eq!(pushing.step(), Step::GiveUp);
    for outcome in [Outcome::Noted(true), Outcome::Dead] {
        pushing.ended(outcome, 0);
    }
    assert_eq!(pushing.step(), Step::WaitForNews);
    // Other news: it is dead still.
    for outcome in [Outcome::News, Outcome::Dead, Outcome::News, PAYLOAD] {
        pushing.ended(outcome, 0);
    }
    assert_eq!(pushing.step(), Step::SendPayload { seq: 1 });
    assert_eq!(pushing.ended(fails, 0), failed("client.connection", 1));
    assert_eq!(pushing.step(), Step::Pause { length: FIRST });
}

#[test]
fn a_dead_letter_that_cannot_be_noted_is_no_reason_to_hurry() {
    let fails = Outcome::Failed("client.connection".into());
    let mut pushing = Pushing::new(1, FIRST);
    for n in 0..5 {
        pushing.ended(fails.clone(), 0);
        assert_eq!(pushing.step(), Step::GiveUp);
        pushing.ended(Outcome::Noted(false), 0);
        assert_eq!(pushing.step(), Step::Pause { length: FIRST * 2u32.pow(n) });
        pushing.ended(Outcome::Rested, 0);
    }
}

#[test]
fn what_may_not_leave_any_more_stops_the_stream_at_once_and_what_is_gone_does_not() {
    let (mut pushing, report) = after(&[PAYLOAD, Outcome::Withheld]);
    assert_eq!((report, pushing.step()), (failed("push.policy-changed", 1), Step::GiveUp));
    // Let go on by a person: checked again, and again not let out.
    for outcome in [Outcome::Noted(true), Outcome::Dead, Outcome::News, PAYLOAD] {
        pushing.ended(outcome, 0);
    }
    assert_eq!(pushing.step(), Step::SendPayload { seq: 1 });
    let (pushing, report) = after(&[PAYLOAD, Outcome::Gone]);
    assert_eq!((report, pushing.step()), (None, Step::SendManifest { seq: 1 }));
}

#[test]
fn pauses_double_to_ten_minutes() {
    let mut pushing = Pushing::new(u32::MAX, FIRST);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        pushing.ended(Outcome::Status(500), 0);
        let Step::Pause { length } = pushing.step() else { panic!("it does not pause") };
        pauses.push(length.as_secs());
        pushing.ended(Outcome::Rested, 0);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
    // No longer first pause than the longest, with jitter or without.
    let mut pushing = Pushing::new(2, Duration::from_millis(u64::MAX));
    pushing.ended(Outcome::Status(500), 999);
    let Step::Pause { length } = pushing.step() else { panic!("it does not pause") };
    assert!((PAUSE_MOST..PAUSE_MOST.mul_f64(1.5)).contains(&length));
}

/// Outcomes a step can have; and now and then one of another.
fn outcome() -> impl Strategy<Value = (u8, Outcome)> {
    let any_outcome = prop_oneof![
        Just(Outcome::Dead),
        Just(Outcome::Nothing),
        (any::<bool>(), any::<bool>())
            .prop_map(|(acknowledged, payload)| Outcome::Found { acknowledged, payload }),
        Just(Outcome::News),
        Just(Outcome::Gone),
        Just(Outcome::Withheld),
        prop_oneof![Just(200), Just(202), Just(204), Just(302), Just(503)].prop_map(Outcome::Status),
        Just(Outcome::Final),
        Just(Outcome::Rejected),
        Just(Outcome::Rested),
        any::<bool>().prop_map(Outcome::Noted),
        Just(Outcome::Failed("client.connection".into())),
    ];
    (any::<u8>(), any_outcome)
}

/// An outcome that answers the step, chosen by a number.
fn fitting(step: &Step, n: u8) -> Outcome {
    match (step, n % 4) {
        (Step::Look { .. }, 0) => Outcome::Nothing,
        (Step::Look { .. }, 1) => Outcome::Found { acknowledged: n > 200, payload: false },
        (Step::Look { .. }, _) => PAYLOAD,
        (Step::WaitForNews, _) => Outcome::News,
        (Step::SendPayload { .. }, 0) => [Outcome::Gone, Outcome::Withheld][usize::from(n > 200)].clone(),
        (Step::SendPayload { .. }, 1) => Outcome::Status(503),
        (Step::SendPayload { .. }, _) => Outcome::Status(204),
        (Step::SendManifest { .. }, 0) => Outcome::Status(500),
        (Step::SendManifest { .. }, 1) => Outcome::Status(202),
        (Step::SendManifest { .. }, _) => Outcome::Status(200),
        (Step::Take, 0) => Outcome::Rejected,
        (Step::Take, _) => Outcome::Final,
        (Step::Pause { .. }, _) => Outcome::Rested,
        (Step::GiveUp, _) => Outcome::Noted(n.is_multiple_of(2)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// One batch after another and none passed over; every attempt begins with a look, every failure with a pause or the
    /// end of trying; nothing counts as delivered that was not put there whole.
    #[test]
    fn any_sequence_of_outcomes_keeps_order_and_pauses(
        outcomes in proptest::collection::vec((any::<bool>(), outcome(), any::<u64>()), 0..300),
        attempts in 1u32..5,
    ) {
        let mut pushing = Pushing::new(attempts, FIRST);
        let (mut seq, mut in_a_row, mut doublings) = (1, 0, 0u32);
        for (fits, (n, outcome), random) in outcomes {
            let before = pushing.step();
            let outcome = if fits { fitting(&before, n) } else { outcome };
            let report = pushing.ended(outcome.clone(), random);
            let next = pushing.step();
            let passed_over = matches!((&before, &outcome), (Step::Look { .. }, Outcome::Found { acknowledged: true, .. }));
            let delivered = report == Some(Report::Delivered);
            let final_answer = matches!(
                (&before, &outcome),
                (Step::SendManifest { .. }, Outcome::Status(202)) | (Step::Take, Outcome::Final)
            );
            prop_assert_eq!(delivered, final_answer);
            if delivered || passed_over {
                seq += 1;
                prop_assert_eq!(&next, &Step::Look { seq });
            }
            if delivered || passed_over || matches!((&before, &outcome), (Step::Look { .. }, Outcome::Dead)) {
                (in_a_row, doublings) = (0, 0);
            }
            if let Some(Report::Failed { seq: of, failures, .. }) = &report {
                in_a_row += 1;
                prop_assert_eq!((*of, *failures), (seq, in_a_row));
                let withheld = matches!((&before, &outcome), (Step::SendPayload { .. }, Outcome::Withheld));
                let gives_up = in_a_row >= attempts || withheld;
                prop_assert_eq!(gives_up, next == Step::GiveUp);
                let pauses = matches!(next, Step::Pause { .. });
                prop_assert_eq!(!gives_up, pauses);
            }
            match next {
                Step::Look { seq: n } => {
                    prop_assert_eq!(n, seq);
                    let again = matches!(before, Step::WaitForNews | Step::Pause { .. } | Step::GiveUp);
                    prop_assert!(delivered || passed_over || again);
                }
                Step::SendPayload { seq: n } => {
                    prop_assert_eq!(n, seq);
                    let looked = matches!(before, Step::Look { .. });
                    prop_assert!(looked, "each attempt begins with a look");
                }
                Step::SendManifest { seq: n } => {
                    prop_assert_eq!(n, seq);
                    let fit = matches!(
                        (&before, &outcome),
                        (Step::SendPayload { .. }, Outcome::Gone | Outcome::Status(200..300))
                            | (Step::Look { .. }, Outcome::Found { acknowledged: false, payload: false })
                    );
                    prop_assert!(fit, "never before its payload");
                }
                Step::Pause { length } => {
                    let base = (FIRST * 2u32.pow(doublings.min(12))).min(PAUSE_MOST);
                    prop_assert!((base..=base.mul_f64(1.5)).contains(&length));
                    doublings += 1;
                }
                Step::WaitForNews | Step::Take | Step::GiveUp => {}
            }
        }
    }

    /// A new run after a crash passes over what was answered for good, and nothing else.
    #[test]
    fn a_new_run_begins_with_the_first_batch_not_answered(acknowledged in proptest::collection::vec(any::<bool>(), 1..20)) {
        let mut pushing = Pushing::new(3, FIRST);
        let mut pushed = Vec::new();
        while let Some(acknowledged) = match pushing.step() {
            Step::Look { seq } => acknowledged.get(seq as usize - 1),
            other => panic!("{other:?}"),
        } {
            pushing.ended(Outcome::Found { acknowledged: *acknowledged, payload: true }, 0);
            if let Step::SendPayload { seq } = pushing.step() {
                pushed.push(seq);
                pushing.ended(Outcome::Status(204), 0);
                pushing.ended(Outcome::Status(202), 0);
            }
        }
        let open: Vec<u64> = (1..).zip(&acknowledged).filter(|(_, a)| !**a).map(|(seq, _)| seq).collect();
        prop_assert_eq!(pushed, open);
    }
}
