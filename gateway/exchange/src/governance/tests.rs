use super::*;
use proptest::prelude::*;

fn signer(name: u8, certificate: u8) -> OfficerIdentity {
    OfficerIdentity { name: format!("officer-{name}"), certificate: format!("{certificate:064x}") }
}

fn proposal(id: u64, by: Option<OfficerIdentity>, needs: u8, opened: i64) -> Proposal {
    let enough = usize::from(by.is_some()) >= usize::from(needs);
    Proposal {
        id,
        by,
        reason: "调整".into(),
        digest: format!("{id:064x}"),
        base: String::new(),
        acts: 1,
        needs,
        opened,
        expires: opened + 100,
        approvals: Vec::new(),
        state: if enough { Progress::Approved } else { Progress::Open },
        end: None,
    }
}

fn step(kind: u8, id: u64, who: OfficerIdentity, wrong: bool, time: i64) -> Step {
    let end = End { by: Some(who.clone()), time, why: "no".into(), why_zh: "否".into() };
    let digest = format!("{:064x}", if wrong { id + 1 } else { id });
    match kind {
        0..=2 => Step::Approved { id, approval: Approval { by: who, digest, document: String::new(), time } },
        3 => Step::Rejected { id, end },
        4 => Step::Withdrawn { id, end },
        5 => Step::Expired { id, time },
        6 => Step::Failed { id, end },
        _ => Step::Enacted { id, time, overlay: Some(format!("{id:064x}")) },
    }
}

proptest! {
    /// Whatever is tried, in whatever order, by whomever, under whichever certificate.
    #[test]
    fn nothing_is_enacted_without_its_officers(
        tries in proptest::collection::vec((0u8..12, 1u64..5, 0u8..4, 0u8..4, any::<bool>(), 0i64..400), 1..80),
    ) {
        let mut now = Governance::default();
        let mut all = BTreeMap::new();
        let mut written = Vec::new();
        for (kind, id, name, certificate, wrong, time) in tries {
            let who = signer(name, certificate);
            let step = if kind >= 9 {
                let by = (name != 3).then_some(who);
                let needs = if kind == 9 && by.is_some() { 1 } else { 2 };
                Step::Proposed { proposal: Box::new(proposal(id, by, needs, time)) }
            } else {
                step(kind, id, who, wrong, time)
            };
            let before = now.clone();
            match (before.check(&step), now.apply(&step)) {
                (Ok(checked), Ok(applied)) => {
                    prop_assert_eq!(&checked, &applied);
                    let next = applied.expect("every step here is about a proposal");
                    all.insert(next.id, next);
                    written.push(serde_json::to_string(&step).unwrap());
                }
                (Err(_), Err(_)) => prop_assert_eq!(&before, &now, "what is refused changes nothing"),
                other => prop_assert!(false, "judged and applied differ: {other:?}"),
            }
        }
        for p in all.values() {
            let officers: Vec<_> = p.officers().collect();
            for (n, one) in officers.iter().enumerate() {
                prop_assert!(officers[..n].iter().all(|other| !one.may_be(other)), "one person counts once");
            }
            if matches!(p.state, Progress::Approved | Progress::Enacted | Progress::Failed) {
                prop_assert!(officers.len() >= usize::from(p.needs), "{p:?}");
            }
            prop_assert!(p.approvals.iter().all(|a| a.time <= p.expires && a.digest == p.digest));
            prop_assert_eq!(p.end.is_some(), !p.state.is_live());
        }
        // The journal alone gives the same state.
        let mut again = Governance::default();
        for line in &written {
            again.apply(&serde_json::from_str(line).unwrap()).unwrap();
        }
        prop_assert_eq!(again, now);
    }

    #[test]
    fn an_act_reads_back_as_it_was_written(name in "[a-z]{1,9}", now in any::<bool>()) {
        let member = serde_json::json!({"name": name, "role": "department", "title": "住建局", "bindings": []});
        let acts = vec![
            Act::MemberPut { member: serde_json::from_value(member).unwrap() },
            Act::MemberResume { name: name.clone() },
            Act::KeyRotate { key: Key::AtRest, now },
            Act::PolicyPut { id: name.clone(), document: "id = \"x\"".into() },
        ];
        let proposed = ProposalDocument {
            node: "a.example/b".into(), proposal: 1, by: name, reason: "x".into(), acts, locked_out: vec![],
            base: String::new(), opened: 1,
        };
        let (bytes, _) = proposed.bytes().unwrap();
        prop_assert_eq!(serde_json::from_slice::<ProposalDocument>(&bytes).unwrap(), proposed);
    }
}

#[test]
fn an_approval_in_the_last_second_counts_and_one_later_does_not() {
    let p = proposal(1, Some(signer(1, 1)), 2, 0);
    let at = |time| step(0, 1, signer(2, 2), false, time);
    assert_eq!(p.after(&at(100)).unwrap().state, Progress::Approved);
    assert_eq!(p.after(&at(101)), Err(StepRefused::Late));
    assert_eq!((p.state_at(100), p.state_at(101)), (Progress::Open, Progress::Expired));
    assert_eq!(p.after(&Step::Expired { id: 1, time: 100 }), Err(StepRefused::NotNow(Progress::Open)));
    assert_eq!(p.after(&Step::Expired { id: 1, time: 101 }).unwrap().state, Progress::Expired);
}

#[test]
fn neither_the_same_name_nor_the_same_certificate_is_a_second_officer() {
    let p = proposal(1, Some(signer(1, 1)), 2, 0);
    for who in [signer(1, 1), signer(1, 2), signer(2, 1)] {
        assert_eq!(p.after(&step(0, 1, who, false, 1)), Err(StepRefused::Own));
    }
    assert_eq!(p.after(&step(0, 1, signer(2, 2), true, 1)), Err(StepRefused::Digest));
    assert_eq!(p.after(&step(4, 1, signer(2, 2), false, 1)), Err(StepRefused::NotOwn));
}

#[test]
fn what_the_file_proposes_takes_two_officers() {
    let p = proposal(1, None, 2, 0);
    let one = p.after(&step(0, 1, signer(1, 1), false, 1)).unwrap();
    assert_eq!(one.state, Progress::Open);
    assert_eq!(one.after(&step(0, 1, signer(1, 2), false, 1)), Err(StepRefused::Own));
    assert_eq!(one.after(&step(0, 1, signer(2, 2), false, 1)).unwrap().state, Progress::Approved);
}

fn roster(members: &[(&str, &str)]) -> Roster {
    let one = |(n, r): &(&str, &str)| (n.to_string(), OfficerRole { role: r.to_string(), suspended: false });
    Roster(members.iter().map(one).collect())
}

fn view<'a>(roster: &'a Roster, files: &'a Roster, four_eyes: bool) -> View<'a> {
    View { roster, files, subject: &|s| s.len().to_string(), four_eyes }
}

fn put(name: &str, role: &str) -> Act {
    Act::MemberPut {
        member: MemberEntry { name: name.into(), role: role.into(), rest: serde_json::Map::new() },
    }
}

#[test]
fn the_node_keeps_its_security_officers() {
    let so = SECURITY_OFFICER;
    let two = roster(&[("a", so), ("b", so), ("x", "department")]);
    let three = roster(&[("a", so), ("b", so), ("c", so)]);
    let a = OfficerIdentity { name: "a".into(), certificate: String::new() };
    let remove = |name: &str| Act::MemberRemove { name: name.into() };
    let suspend = |name: &str| Act::MemberSuspend { name: name.into() };
    let check = |r: &Roster, four, acts: &[Act]| view(r, &two, four).check(acts, Some(&a));
    assert_eq!(check(&two, true, &[remove("b")]), Err(StepRefused::Officers));
    assert_eq!(check(&two, false, &[remove("b")]), Ok(()));
    assert_eq!(check(&two, true, &[put("b", "auditor")]), Err(StepRefused::Officers));
    assert_eq!(check(&three, true, &[put("b", "auditor")]), Ok(()));
    assert_eq!(check(&two, true, &[remove("b"), put("c", so)]), Ok(()));
    assert_eq!(check(&two, true, &[suspend("b")]), Ok(()), "a stolen card is closed out by whoever notices");
    assert_eq!(check(&three, true, &[suspend("b"), remove("c")]), Err(StepRefused::Officers));
    let after = two.after(&[suspend("b")], &two);
    assert!(after.decides("a") && !after.decides("b") && !after.decides("x") && !after.decides("nobody"));
    for own in [remove("a"), put("a", so), suspend("a")] {
        assert_eq!(check(&three, false, &[own]), Err(StepRefused::Oneself));
    }
    let adopt = [Act::AdoptFiles { digest: String::new() }];
    let files = roster(&[("b", so), ("c", so)]);
    assert_eq!(view(&three, &files, true).check(&adopt, Some(&a)), Err(StepRefused::Oneself));
    assert_eq!(view(&three, &files, true).check(&adopt, None), Ok(()));
    let none = roster(&[("x", "department")]);
    assert_eq!(
        view(&none, &none, true).check(&[put("a", so)], None),
        Ok(()),
        "a node without may be given some"
    );
    assert_eq!(view(&three, &none, true).check(&adopt, None), Err(StepRefused::Officers));
}

#[test]
fn acts_are_bounded_and_about_different_things() {
    let two = roster(&[("a", SECURITY_OFFICER), ("b", SECURITY_OFFICER), ("x", "department")]);
    let check = |acts: &[Act]| view(&two, &two, true).check(acts, None);
    assert_eq!(check(&[]), Err(StepRefused::Acts));
    assert_eq!(check(&[put("y", "relay"), put("y", "recipient")]), Err(StepRefused::Acts));
    let many: Vec<Act> = (0..=ACTS).map(|n| put(&format!("m{n}"), "relay")).collect();
    assert_eq!(check(&many), Err(StepRefused::Acts));
    assert_eq!(check(&many[..ACTS]), Ok(()));
    for idle in [
        Act::MemberRemove { name: "nobody".into() },
        Act::MemberResume { name: "x".into() },
        Act::MemberSuspend { name: "nobody".into() },
    ] {
        assert_eq!(check(&[idle]), Err(StepRefused::Idle));
    }
    let absent = View { roster: &two, files: &two, subject: &|_| String::new(), four_eyes: true };
    let remove = Act::AnchorRemove { digest: "AB".repeat(32) };
    assert_eq!(absent.check(&[remove], None), Err(StepRefused::Idle));
}

#[test]
fn a_proposal_rests_on_what_it_touches_and_on_nothing_else() {
    let two = roster(&[]);
    let other = |s: &str| if s == "member/x" { "changed".to_owned() } else { s.len().to_string() };
    let (before, after) = (view(&two, &two, true), View { subject: &other, ..view(&two, &two, true) });
    assert_ne!(before.base(&[put("x", "relay")]), after.base(&[put("x", "relay")]));
    assert_eq!(before.base(&[put("y", "relay")]), after.base(&[put("y", "relay")]));
}
