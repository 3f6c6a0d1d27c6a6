//! What officers read.

use super::changes::acts;
use super::{Schemas, digest, every, some, time};
use serde_json::value::RawValue;
use xinqiao_certs::Role;
use xinqiao_exchange::event::Outcome;
use xinqiao_exchange::op::Op;
use xinqiao_explain::Explanation;
use xinqiao_server::officers::{
    Affected, AnchorView, ApprovalView, CheckView, Difference, EndView, HeadView, Held, KeyKind, KeyPlace,
    KeyState, KeyView, Lifted, List, LockoutKind, LockoutView, LogEntryView, PolicyOrigin, PolicyView,
    Progress, ProposalView, Rehearsal, Reloaded, Report, Retried, Ruled, Screen, State, StatusKind,
    StatusRow, StatusState, Suspension, Traced, TracedBatch, Waiting, WithheldView,
};

const STREAM: &str = "province.administrative-penalty";

pub(crate) fn hold(schemas: &mut Schemas) {
    words(schemas);
    proposals(schemas);
    registry(schemas);
    streams(schemas);
}

fn words(schemas: &mut Schemas) {
    schemas.words("Progress", &Progress::ALL);
    schemas.words("KeyKind", &KeyKind::ALL);
    schemas.words("KeyState", &every!(KeyState: Pending, Active, Retired));
    schemas.words("KeyPlace", &every!(KeyPlace: File, Token, Destroyed));
    schemas.words("LockoutKind", &every!(LockoutKind: Address, Officer));
    schemas.words("PolicyOrigin", &every!(PolicyOrigin: Officers, Catalogue));
    schemas.words("CertificateKind", &every!(StatusKind: Certificate, Anchor, Crl, Ocsp));
    schemas.words("CertificateState", &every!(StatusState: Good, Soon, Ended));
    schemas.words("State", &every!(State: Ok, Degraded, Failing));
    schemas.words("Outcome", &every!(Outcome: Accepted, Partial, Rejected));
    schemas.words("Op", &every!(Op: Put, Withdraw, Repair, Dispute, Resolve, Reinstate));
}

fn list<T: serde::Serialize + serde::de::DeserializeOwned>(schemas: &mut Schemas, name: &str, one: T) {
    schemas.answer(name, &List { items: vec![one] }, &List { items: Vec::new() });
}

fn proposals(schemas: &mut Schemas) {
    schemas.answer("Proposal", &proposal(), &bare_proposal());
    list(schemas, "ProposalList", bare_proposal());
    let approval = proposal().approvals.remove(0);
    schemas.answer("Approval", &approval, &ApprovalView { locked_out: Vec::new(), ..approval.clone() });
    let end = proposal().end.unwrap();
    let bare = EndView { by: None, why: String::new(), why_zh: String::new(), ..end.clone() };
    schemas.answer("ProposalEnd", &end, &bare);
    let difference = proposal().changes.remove(0);
    schemas.answer("Difference", &difference, &difference);
    let rehearsal = Rehearsal {
        needs: 2,
        what: some("member-put neighbour"),
        affected: vec![affected()],
        intended: vec![affected()],
        changed: some("members"),
    };
    schemas.answer("Rehearsal", &rehearsal, &rehearsal);
    let suspension = Suspension { member: "neighbour".into(), proposal: Some(proposal()), suspended: true };
    schemas.answer("Suspension", &suspension, &Suspension { proposal: None, ..suspension.clone() });
    let reloaded = Reloaded {
        changes: proposal().changes,
        dry_run: true,
        proposal: Some(1),
        proposals: vec![1],
        report: report(),
        waits: true,
    };
    let bare = Reloaded { changes: Vec::new(), proposal: None, proposals: Vec::new(), ..reloaded.clone() };
    schemas.answer("Reloaded", &reloaded, &bare);
    schemas.answer("Report", &report(), &Report::default());
    schemas.answer("Affected", &affected(), &affected());
    schemas.answer("Advice", &report().notes[0], &report().notes[0]);
}

fn registry(schemas: &mut Schemas) {
    schemas.answer("Anchor", &anchor(), &anchor());
    list(schemas, "AnchorList", anchor());
    let policy = PolicyView {
        id: "portal-public".into(),
        digest: digest(),
        rules: digest(),
        from: PolicyOrigin::Officers,
    };
    schemas.answer("Policy", &policy, &policy);
    list(schemas, "PolicyList", policy);
    schemas.answer("Lockout", &lockout(), &LockoutView { role: None, ..lockout() });
    list(schemas, "LockoutList", lockout());
    let lifted = Lifted { locked_out: false, name: "sun".into() };
    schemas.answer("Lifted", &lifted, &lifted);
    let bare = StatusRow { not_after: None, days_left: None, ..certificate() };
    schemas.answer("Certificate", &certificate(), &bare);
    list(schemas, "CertificateList", certificate());
    let key = KeyView {
        kid: "at-rest-1".into(),
        kind: KeyKind::AtRest,
        state: KeyState::Retired,
        created: time(),
        not_before: Some(time()),
        retired: Some(time()),
        age_days: 9,
        days_left: Some(-1),
        place: KeyPlace::Token,
    };
    let bare = KeyView { not_before: None, retired: None, days_left: None, ..key.clone() };
    schemas.answer("Key", &key, &bare);
    list(schemas, "KeyList", key);
    list(schemas, "MemberList", member());
    let bare = CheckView { advice: String::new(), advice_zh: String::new(), ..check() };
    schemas.answer("Check", &check(), &bare);
    schemas.answer("Waiting", &waiting(), &waiting());
    let screen = Screen {
        node: "xm.example/350200-credit".into(),
        epoch: 1,
        checks: vec![check()],
        proposals: vec![bare_proposal()],
        certificates: vec![certificate()],
        held: some(STREAM),
        dead: some(STREAM),
        withheld: vec![waiting()],
        locked_out: vec![lockout()],
        pending_records: 3,
    };
    schemas.answer("Status", &screen, &screen);
    let text = r#"{"epoch":1,"kind":"stop","node":"xm.example/350200-credit","reason":"x","time":"2026-11-21T08:00:00Z","v":1}"#;
    let entry = || LogEntryView { index: 7, entry: RawValue::from_string(text.into()).unwrap() };
    schemas.answer("LogEntry", &entry(), &entry());
    list(schemas, "LogEntryList", entry());
}

fn streams(schemas: &mut Schemas) {
    let head = HeadView {
        stream: STREAM.into(),
        next_seq: 5,
        pending_records: 3,
        sealed_records: 120,
        acknowledged_records: 118,
        rejected_records: 2,
        held: true,
        dead: true,
    };
    schemas.answer("Stream", &head, &head);
    list(schemas, "StreamList", head);
    let chunk = WithheldView { stream: STREAM.into(), chunk: 7, records: 2, reason: "policy-changed".into() };
    schemas.answer("WithheldChunk", &chunk, &chunk);
    list(schemas, "WithheldList", chunk);
    let held = Held { held: true, stream: STREAM.into() };
    schemas.answer("Held", &held, &held);
    let ruled = Ruled { chunk: 7, released: true, stream: STREAM.into() };
    schemas.answer("Ruled", &ruled, &ruled);
    let retried = Retried { dead: false, stream: STREAM.into() };
    schemas.answer("Retried", &retried, &retried);
    let batch = TracedBatch {
        seq: 4,
        manifest_digest: digest(),
        sealed: time(),
        served: true,
        acknowledged: Some(time()),
        outcome: Some(Outcome::Partial),
    };
    schemas.answer(
        "TracedBatch",
        &batch,
        &TracedBatch { acknowledged: None, outcome: None, ..batch.clone() },
    );
    let traced = Traced {
        stream: STREAM.into(),
        key: "0f".repeat(16),
        op: Op::Put,
        rev: 17,
        log_index: 4212,
        member: "bureau".into(),
        record: 0,
        batch: Some(batch),
        policy: Some("portal-public".into()),
        policy_digest: Some(digest()),
    };
    let bare = Traced { batch: None, policy: None, policy_digest: None, ..traced.clone() };
    schemas.answer("Traced", &traced, &bare);
    list(schemas, "TraceList", traced);
}

fn proposal() -> ProposalView {
    ProposalView {
        id: 1,
        state: Progress::Rejected,
        state_zh: "已驳回".into(),
        by: "zhao".into(),
        reason: "why".into(),
        digest: digest(),
        opened: time(),
        expires: time(),
        needs: 2,
        what: some("member-put neighbour"),
        acts: Some(acts().to_vec()),
        changes: vec![Difference { en: "it becomes another".into(), zh: "变化".into() }],
        locked_out: some("neighbour"),
        approvals: vec![ApprovalView {
            by: "qian".into(),
            time: time(),
            reason: "why".into(),
            locked_out: some("neighbour"),
        }],
        end: Some(EndView {
            by: Some("sun".into()), time: time(), why: "why".into(), why_zh: "原因".into()
        }),
    }
}

fn bare_proposal() -> ProposalView {
    ProposalView {
        acts: None,
        changes: Vec::new(),
        locked_out: Vec::new(),
        approvals: Vec::new(),
        end: None,
        ..proposal()
    }
}

fn affected() -> Affected {
    Affected {
        member: "neighbour".into(),
        chain: digest(),
        last_seen: 1_795_334_400,
        why: Explanation::new("certificate.untrusted", "nobody vouches for it", "无机构认定"),
    }
}

fn report() -> Report {
    Report {
        changed: some("members"),
        affected: vec![affected()],
        intended: vec![affected()],
        notes: vec![Explanation::new("crl.stale", "fetch the list", "获取列表")],
        cut: 2,
    }
}

fn anchor() -> AnchorView {
    AnchorView {
        digest: digest(),
        name: "issuing".into(),
        domains: some("xm.example"),
        roles: Role::ALL.to_vec(),
        pem: "PEM".into(),
    }
}

fn member() -> xinqiao_server::officers::Member {
    serde_json::from_value(serde_json::json!({ "name": "neighbour", "role": "recipient" })).unwrap()
}

fn lockout() -> LockoutView {
    LockoutView {
        name: "sun".into(),
        who: LockoutKind::Officer,
        role: Some(Role::Auditor),
        seconds_left: 840,
    }
}

fn certificate() -> StatusRow {
    StatusRow {
        kind: StatusKind::Certificate,
        name: "exchange".into(),
        subject: "CN=city".into(),
        issuer: "CN=CA".into(),
        not_after: Some(1_795_334_400),
        days_left: Some(-1),
        state: StatusState::Soon,
    }
}

fn check() -> CheckView {
    CheckView {
        name: "clock".into(),
        state: State::Degraded,
        advice: "set it".into(),
        advice_zh: "校准".into(),
    }
}

fn waiting() -> Waiting {
    Waiting { stream: STREAM.into(), records: 2 }
}
