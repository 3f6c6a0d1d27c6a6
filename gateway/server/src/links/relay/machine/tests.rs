//! The relay's rules, each by hand, and all of them over any sequence of outcomes and crashes.

use super::*;
use proptest::prelude::*;

const NODE: &str = "demo.example/350200-credit";
const STREAM: &str = "province.administrative-penalty";

fn digest(epoch: u64, seq: u64) -> String {
    if seq == 0 { String::new() } else { format!("digest-{epoch}-{seq}") }
}

/// Where a node stands after a batch of epoch 1.
fn at(seq: u64) -> Reached {
    Reached { epoch: u64::from(seq > 0), seq, digest: digest(1, seq), has_acknowledgement: seq > 0 }
}

/// An honest manifest of epoch 1.
fn batch(seq: u64) -> Claims {
    Claims {
        node: NODE.into(),
        stream: STREAM.into(),
        epoch: 1,
        seq,
        prev: digest(1, seq - 1),
        digest: digest(1, seq),
        records: 5,
        logged: Logged::Proven,
    }
}

/// A relay that was told these outcomes, one after the other.
fn after(outcomes: impl IntoIterator<Item = Outcome>) -> Relay {
    let mut relay = Relay::new(NODE, STREAM);
    for outcome in outcomes {
        relay.ended(outcome, 0);
    }
    relay
}

/// A relay that has listed batches after `seq`, and is to verify the first.
fn listed(seq: u64, count: usize) -> Relay {
    let mut relay = after([Outcome::Connected, Outcome::Reached(at(seq))]);
    if seq > 0 {
        relay.ended(Outcome::Repeated, 0);
    }
    relay.ended(Outcome::Listed(count), 0);
    assert_eq!(relay.step(), Step::Verify { entry: 0 });
    relay
}

fn paused(relay: &Relay) -> (String, Duration) {
    match relay.step() {
        Step::Pause { code, length } => (code.into_owned(), length),
        other => panic!("it does not pause but {other:?}"),
    }
}

#[test]
fn a_batch_is_verified_fetched_checked_committed_and_then_acknowledged() {
    let mut relay = listed(0, 2);
    let way = [
        (Outcome::Verified(batch(1)), Step::Fetch { seq: 1 }),
        (Outcome::Fetched, Step::Check),
        (Outcome::Checked, Step::Commit { lines: true }),
        (Outcome::Committed, Step::Acknowledge),
        (Outcome::Acknowledged, Step::Verify { entry: 1 }),
        // Nothing to fetch: a void, or an announcement.
        (Outcome::Verified(Claims { records: 0, ..batch(2) }), Step::Commit { lines: false }),
        (Outcome::Committed, Step::Acknowledge),
        (Outcome::Acknowledged, Step::Look),
        // The answer was given: it is not repeated.
        (Outcome::Reached(at(2)), Step::List { after: 2, limit: LIMIT, wait: WAIT }),
        (Outcome::Listed(0), Step::Look),
    ];
    for (outcome, next) in way {
        relay.ended(outcome, 0);
        assert_eq!(relay.step(), next);
    }
}

#[test]
fn after_a_crash_the_last_answer_is_given_again_before_anything_is_asked_for() {
    let mut relay = after([Outcome::Connected, Outcome::Reached(at(3))]);
    assert_eq!(relay.step(), Step::Repeat);
    relay.ended(Outcome::Failed("client.connection".into()), 0);
    assert_eq!(paused(&relay).0, "client.connection");
    for outcome in [Outcome::Rested, Outcome::Connected, Outcome::Reached(at(3))] {
        relay.ended(outcome, 0);
    }
    assert_eq!(relay.step(), Step::Repeat, "as often as it takes");
    relay.ended(Outcome::Repeated, 0);
    assert_eq!(relay.step(), Step::List { after: 3, limit: LIMIT, wait: WAIT });
    // A row of a node that keeps no answer.
    let old = Reached { has_acknowledgement: false, ..at(3) };
    assert!(matches!(after([Outcome::Connected, Outcome::Reached(old)]).step(), Step::List { after: 3, .. }));
}

#[test]
fn an_answer_that_was_not_given_is_repeated_after_the_pause() {
    let mut relay = listed(0, 8);
    for outcome in [Outcome::Verified(batch(1)), Outcome::Fetched, Outcome::Checked, Outcome::Committed] {
        relay.ended(outcome, 0);
    }
    relay.ended(Outcome::Failed("client.timeout".into()), 0);
    for outcome in [Outcome::Rested, Outcome::Connected, Outcome::Reached(at(1))] {
        relay.ended(outcome, 0);
    }
    assert_eq!(relay.step(), Step::Repeat);
}

#[test]
fn what_does_not_continue_the_chain_is_refused_by_name() {
    let cases = [
        (Claims { node: "other.example/350200-credit".into(), ..batch(4) }, "relay.other-stream"),
        (Claims { stream: "portal.administrative-penalty".into(), ..batch(4) }, "relay.other-stream"),
        // A restored upstream begins again, and an older epoch is no better.
        (Claims { epoch: 2, seq: 1, prev: String::new(), ..batch(4) }, "relay.new-epoch"),
        (Claims { epoch: 2, ..batch(4) }, "relay.new-epoch"),
        (batch(5), "relay.chain-broken"),
        (batch(3), "relay.chain-broken"),
        (Claims { prev: digest(7, 3), ..batch(4) }, "relay.chain-broken"),
        (Claims { prev: String::new(), ..batch(4) }, "relay.chain-broken"),
        (Claims { logged: Logged::NoEntry, ..batch(4) }, "relay.log-entry"),
    ];
    for (claims, code) in cases {
        let mut relay = listed(3, 1);
        relay.ended(Outcome::Verified(claims.clone()), 0);
        assert_eq!(paused(&relay).0, code, "{claims:?}");
    }
    // The first batch of all names the epoch, and has none before it.
    let mut relay = listed(0, 1);
    relay.ended(Outcome::Verified(Claims { epoch: 9, ..batch(1) }), 0);
    assert_eq!(relay.step(), Step::Fetch { seq: 1 });
    let mut relay = listed(0, 1);
    relay.ended(Outcome::Verified(batch(2)), 0);
    assert_eq!(paused(&relay).0, "relay.chain-broken");
    // No number comes after the last there is.
    let last = Reached { seq: u64::MAX, ..at(3) };
    let mut relay = after([Outcome::Connected, Outcome::Reached(last)]);
    relay.ended(Outcome::Repeated, 0);
    relay.ended(Outcome::Listed(1), 0);
    relay.ended(Outcome::Verified(Claims { seq: 0, prev: digest(1, 3), ..batch(4) }), 0);
    assert_eq!(paused(&relay).0, "relay.chain-broken");
}

#[test]
fn keys_are_asked_for_once_a_batch_when_signature_or_log_proof_fails() {
    let unproven = || Outcome::Verified(Claims { logged: Logged::Unproven, ..batch(1) });
    for (fails, code) in [(Outcome::Unverified, "relay.manifest"), (unproven(), "relay.log-proof")] {
        let mut relay = listed(0, 2);
        relay.ended(fails.clone(), 0);
        assert_eq!(relay.step(), Step::LearnKeys);
        let mut none = listed(0, 2);
        none.ended(fails.clone(), 0);
        none.ended(Outcome::Learnt(false), 0);
        assert_eq!(paused(&none).0, code);
        relay.ended(Outcome::Learnt(true), 0);
        assert_eq!(relay.step(), Step::Verify { entry: 0 });
        relay.ended(fails, 0);
        assert_eq!(paused(&relay).0, code, "not for ever");
    }
    // The next batch may be the first under the keys after these.
    let mut relay = listed(0, 2);
    for outcome in [
        Outcome::Unverified,
        Outcome::Learnt(true),
        Outcome::Verified(Claims { records: 0, ..batch(1) }),
        Outcome::Committed,
        Outcome::Acknowledged,
        Outcome::Verified(Claims { logged: Logged::Unproven, ..batch(2) }),
    ] {
        relay.ended(outcome, 0);
    }
    assert_eq!(relay.step(), Step::LearnKeys);
}

#[test]
fn a_payload_that_is_gone_leaves_its_place_and_a_damaged_one_is_not_taken() {
    let mut relay = listed(0, 1);
    relay.ended(Outcome::Verified(batch(1)), 0);
    relay.ended(Outcome::Gone, 0);
    assert_eq!(relay.step(), Step::Commit { lines: false });
    let mut relay = listed(0, 1);
    for outcome in [Outcome::Verified(batch(1)), Outcome::Fetched, Outcome::Damaged] {
        relay.ended(outcome, 0);
    }
    assert_eq!(paused(&relay).0, "relay.payload");
}

#[test]
fn pauses_double_to_a_minute_and_begin_again_after_a_batch_or_an_empty_list() {
    let mut relay = after([]);
    let mut lengths = Vec::new();
    for _ in 0..9 {
        relay.ended(Outcome::Failed("client.connection".into()), 0);
        lengths.push(paused(&relay).1.as_millis());
        relay.ended(Outcome::Rested, 0);
    }
    assert_eq!(lengths, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    // That the upstream can be reached is no success yet: the same batch may fail for ever.
    for outcome in
        [Outcome::Connected, Outcome::Reached(at(0)), Outcome::Listed(1), Outcome::Verified(batch(1))]
    {
        relay.ended(outcome, 0);
    }
    relay.ended(Outcome::Failed("relay.disk-full".into()), 999);
    assert_eq!(paused(&relay).1, Duration::from_millis(89_970), "with half as much again, as chance has it");
    let pause_after = |outcomes: &[Outcome]| {
        let mut relay = listed(0, 1);
        relay.backoff.grow(0);
        for outcome in outcomes.iter().cloned().chain([Outcome::Failed("client.timeout".into())]) {
            relay.ended(outcome, 0);
        }
        paused(&relay).1
    };
    let taken =
        [Outcome::Verified(Claims { records: 0, ..batch(1) }), Outcome::Committed, Outcome::Acknowledged];
    assert_eq!(pause_after(&taken), PAUSE_FIRST);
    assert_eq!(pause_after(&taken[..2]), PAUSE_FIRST * 2);
    let mut relay = after([Outcome::Connected, Outcome::Reached(at(0))]);
    relay.backoff.grow(0);
    relay.ended(Outcome::Listed(0), 0);
    relay.ended(Outcome::Failed("client.timeout".into()), 0);
    assert_eq!(paused(&relay).1, PAUSE_FIRST);
}

/// How the world answers a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Well,
    Fails,
    /// The step had its effect, and the relay hears of a failure.
    WellButFails,
    /// The process dies: a new relay begins from what is stored.
    Crash,
    /// The same after the step had its effect.
    WellThenCrash,
    /// The upstream shows something that must not be taken, or a payload that is gone.
    Odd(u8),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Well),
        1 => Just(Fate::Fails),
        1 => Just(Fate::WellButFails),
        1 => Just(Fate::Crash),
        1 => Just(Fate::WellThenCrash),
        3 => any::<u8>().prop_map(Fate::Odd),
    ]
}

/// The upstream, and what the node has stored.
#[derive(Default)]
struct World {
    stored: u64,
    /// Up to where the upstream has acknowledgements.
    acknowledged: u64,
    listed_after: u64,
    /// What was verified last: is it the honest batch that is due, and has it lines?
    honest: Option<bool>,
    checked: bool,
    failures: u32,
}

impl World {
    /// Does a step, if `effect`; checks that it is allowed. `odd` is what else the upstream may show.
    fn perform(&mut self, step: &Step, odd: Option<u8>, effect: bool) -> Outcome {
        let due = self.stored + 1;
        match step {
            Step::Connect => Outcome::Connected,
            Step::Look => Outcome::Reached(at(self.stored)),
            Step::Repeat => {
                assert!(self.stored > 0, "there is an answer to repeat");
                if effect {
                    self.acknowledged = self.stored;
                }
                Outcome::Repeated
            }
            Step::List { after, .. } => {
                assert_eq!((*after, self.acknowledged), (self.stored, self.stored));
                self.listed_after = *after;
                Outcome::Listed(odd.map_or(3, |n| usize::from(n % 4)))
            }
            Step::Verify { entry } => {
                self.honest = None;
                self.checked = false;
                let seq = self.listed_after + 1 + *entry as u64;
                let honest = Claims { records: seq % 3 * 5, ..batch(seq) };
                match odd.map(|n| n % 8) {
                    Some(0) => Outcome::Unverified,
                    // The first batch of all names the epoch.
                    Some(1) if seq > 1 => Outcome::Verified(Claims { epoch: 2, ..honest }),
                    Some(2) => Outcome::Verified(Claims { seq: seq + 1, ..honest }),
                    Some(3) => Outcome::Verified(Claims { prev: digest(5, seq), ..honest }),
                    Some(4) => Outcome::Verified(Claims { logged: Logged::Unproven, ..honest }),
                    Some(5) => Outcome::Verified(Claims { logged: Logged::NoEntry, ..honest }),
                    // The list begins elsewhere than was asked for.
                    Some(6) if seq > 1 => Outcome::Verified(batch(seq - 1)),
                    _ => {
                        assert_eq!(seq, due, "verified in order");
                        self.honest = Some(honest.records > 0);
                        Outcome::Verified(honest)
                    }
                }
            }
            Step::LearnKeys => Outcome::Learnt(odd.is_none_or(|n| n % 2 == 0)),
            Step::Fetch { seq } => {
                assert_eq!((*seq, self.acknowledged, self.honest), (due, self.stored, Some(true)));
                match odd {
                    Some(_) => {
                        self.honest = Some(false);
                        Outcome::Gone
                    }
                    None => Outcome::Fetched,
                }
            }
            Step::Check => {
                self.checked = odd.is_none();
                if self.checked { Outcome::Checked } else { Outcome::Damaged }
            }
            Step::Commit { lines } => {
                assert_eq!(self.acknowledged, self.stored, "nothing is committed past what is acknowledged");
                assert_eq!(
                    self.honest,
                    Some(*lines),
                    "only what is due, with its lines unless they are gone"
                );
                assert!(self.checked || !lines, "only lines that were checked");
                if effect {
                    self.stored = due;
                    self.honest = None;
                }
                Outcome::Committed
            }
            Step::Acknowledge => {
                assert_eq!(self.acknowledged + 1, self.stored, "acknowledged once committed");
                if effect {
                    self.acknowledged = self.stored;
                }
                Outcome::Acknowledged
            }
            Step::Pause { length, .. } => {
                let base = (PAUSE_FIRST * 2u32.pow(self.failures.min(10))).min(PAUSE_MOST);
                assert!((base..=base.mul_f64(1.5)).contains(length), "{length:?} is not about {base:?}");
                self.failures += 1;
                Outcome::Rested
            }
        }
    }

    /// What begins the pauses again.
    fn note(&mut self, outcome: &Outcome) {
        if matches!(outcome, Outcome::Acknowledged | Outcome::Listed(0)) {
            self.failures = 0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever fails, lies or crashes: nothing is acknowledged that is not committed, nothing committed out of order or
    /// unchecked, nothing asked for past what is acknowledged; and with an upstream that works again, all goes on.
    #[test]
    fn any_sequence_of_failures_lies_and_crashes_keeps_the_order(
        fates in proptest::collection::vec((fate(), any::<u64>()), 0..200),
    ) {
        let mut world = World::default();
        let mut relay = Relay::new(NODE, STREAM);
        for (fate, random) in fates {
            let step = relay.step();
            // A pause is nothing that fails.
            let fate = if matches!(step, Step::Pause { .. }) { Fate::Well } else { fate };
            let odd = if let Fate::Odd(n) = fate { Some(n) } else { None };
            let effect = !matches!(fate, Fate::Fails | Fate::Crash);
            let outcome = world.perform(&step, odd, effect);
            match fate {
                Fate::Crash | Fate::WellThenCrash => {
                    relay = Relay::new(NODE, STREAM);
                    world.failures = 0;
                }
                Fate::Fails | Fate::WellButFails => {
                    relay.ended(Outcome::Failed("client.connection".into()), random);
                    prop_assert_eq!(paused(&relay).0, "client.connection");
                }
                Fate::Well | Fate::Odd(_) => {
                    world.note(&outcome);
                    relay.ended(outcome, random);
                }
            }
        }
        let before = world.stored;
        for _ in 0..60 {
            let outcome = world.perform(&relay.step(), None, true);
            world.note(&outcome);
            relay.ended(outcome, 0);
        }
        prop_assert!(world.stored >= before + 3, "it stands still: {:?}", relay.step());
        prop_assert!(world.acknowledged + 1 >= world.stored);
    }

    /// Outcomes that answer another step: nothing is taken for done that was not.
    #[test]
    fn outcomes_out_of_step_commit_and_acknowledge_nothing(
        outcomes in proptest::collection::vec(outcome(), 0..200),
    ) {
        let mut relay = Relay::new(NODE, STREAM);
        let mut committed = false;
        for outcome in outcomes {
            let before = relay.step();
            relay.ended(outcome.clone(), 0);
            let earned = match (relay.step(), before, outcome) {
                (Step::Acknowledge, Step::Commit { .. }, Outcome::Committed) => {
                    committed = true;
                    true
                }
                (Step::Acknowledge, ..) => false,
                (Step::Commit { lines: true }, before, outcome) => {
                    matches!((before, outcome), (Step::Check, Outcome::Checked))
                }
                (Step::Fetch { .. }, _, outcome) => matches!(outcome, Outcome::Verified(_)),
                (Step::Repeat, _, outcome) => matches!(outcome, Outcome::Reached(r) if r.has_acknowledgement),
                (Step::List { .. }, Step::Look, outcome) => matches!(outcome, Outcome::Reached(_)),
                (Step::List { .. }, before, outcome) => {
                    matches!((before, outcome), (Step::Repeat, Outcome::Repeated))
                }
                (Step::Pause { .. } | Step::Connect, ..) => {
                    committed = false;
                    true
                }
                // Past a committed batch only when its acknowledgement was taken.
                (Step::Verify { .. } | Step::Look, before, outcome) if committed => {
                    committed = false;
                    matches!((before, outcome), (Step::Acknowledge, Outcome::Acknowledged))
                }
                _ => true,
            };
            prop_assert!(earned, "{:?}", relay.step());
        }
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let claims = (1u64..3, any::<bool>())
        .prop_map(|(seq, lines)| Outcome::Verified(Claims { records: u64::from(lines), ..batch(seq) }));
    prop_oneof![
        2 => Just(Outcome::Connected),
        2 => (0u64..2).prop_map(|seq| Outcome::Reached(at(seq))),
        2 => Just(Outcome::Repeated),
        2 => (0usize..3).prop_map(Outcome::Listed),
        2 => claims,
        1 => Just(Outcome::Unverified),
        1 => any::<bool>().prop_map(Outcome::Learnt),
        2 => Just(Outcome::Fetched),
        1 => Just(Outcome::Gone),
        2 => Just(Outcome::Checked),
        1 => Just(Outcome::Damaged),
        2 => Just(Outcome::Committed),
        2 => Just(Outcome::Acknowledged),
        2 => Just(Outcome::Rested),
        1 => Just(Outcome::Failed("client.timeout".into())),
    ]
}
