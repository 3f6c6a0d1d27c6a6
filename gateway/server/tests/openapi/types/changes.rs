//! What officers send: acts with what stands in them, drafts, approvals, rulings, reasons.

use super::{Schemas, digest, every, some};
use serde_json::json;
use xinqiao_certs::{Attribute, Binding, ExtensionBinding, PublicKeyPin, Role, SubjectBinding};
use xinqiao_exchange::source::{Authority, Unit};
use xinqiao_node::config::SourceRights;
use xinqiao_server::officers::{
    Act, AnchorEntry, ApprovalRequest, Draft, Key, Member, MemberEntry, Reason, Ruling,
};

pub(crate) fn hold(schemas: &mut Schemas) {
    schemas.request("Reason", &Reason { reason: "why".into() });
    schemas.request("Ruling", &Ruling { reason: "why".into(), release: true });
    let draft = Draft { acts: acts().to_vec(), reason: "why".into(), locked_out: some("neighbour") };
    schemas.request("Draft", &draft);
    let approval = ApprovalRequest { digest: digest(), reason: "why".into(), locked_out: some("neighbour") };
    schemas.request("ApprovalRequest", &approval);

    schemas.choice("Act", &acts());
    for act in acts() {
        schemas.request(schema_of(&act), &act);
    }
    schemas.request("AnchorEntry", &anchor());
    schemas.words("KeyKind", &every!(Key: Manifest, Log, Acknowledgement, AtRest));

    // An entry's members are those of the configuration, which the node reads it as.
    schemas.request("MemberEntry", &member());
    let bare =
        Member { trust_domain: None, bindings: Vec::new(), title: String::new(), source: None, ..member() };
    schemas.answer("Member", &member(), &bare);
    schemas.request("SourceRights", &source());
    schemas.request("Unit", &source().unit);
    schemas.request("Authority", &source().authorities[0]);
    schemas.choice("Binding", &bindings());
    for binding in bindings() {
        match binding {
            Binding::Uri(_) | Binding::PublicKeys(_) => {}
            Binding::Subject(subject) => schemas.request("SubjectBinding", &subject),
            Binding::Extension(extension) => schemas.request("ExtensionBinding", &extension),
        }
    }
    for attribute in every!(Attribute: OrganizationIdentifier, SerialNumber) {
        schemas.request("SubjectBinding", &subject(attribute));
    }
    schemas.words("Role", &Role::ALL);
}

fn schema_of(act: &Act) -> &'static str {
    match act {
        Act::MemberPut { .. } => "MemberPut",
        Act::MemberRemove { .. } => "MemberRemove",
        Act::MemberSuspend { .. } => "MemberSuspend",
        Act::MemberResume { .. } => "MemberResume",
        Act::AnchorPut { .. } => "AnchorPut",
        Act::AnchorRemove { .. } => "AnchorRemove",
        Act::PolicyPut { .. } => "PolicyPut",
        Act::KeyRotate { .. } => "KeyRotate",
        Act::AdoptFiles { .. } => "AdoptFiles",
    }
}

/// One of each.
pub(crate) fn acts() -> [Act; 9] {
    let name = || "neighbour".to_owned();
    let rest = json!({ "title": "邻市信用办", "suspended": false }).as_object().unwrap().clone();
    [
        Act::MemberPut { member: MemberEntry { name: name(), role: "recipient".into(), rest } },
        Act::MemberRemove { name: name() },
        Act::MemberSuspend { name: name() },
        Act::MemberResume { name: name() },
        Act::AnchorPut { anchor: anchor() },
        Act::AnchorRemove { digest: digest() },
        Act::PolicyPut { id: "portal-public".into(), document: "id = \"portal-public\"".into() },
        Act::KeyRotate { key: Key::AtRest, now: true },
        Act::AdoptFiles { digest: digest() },
    ]
}

fn anchor() -> AnchorEntry {
    AnchorEntry {
        digest: digest(),
        name: "issuing".into(),
        pem: "PEM".into(),
        domains: some("xm.example"),
        roles: some("department"),
    }
}

fn member() -> Member {
    Member {
        name: "neighbour".into(),
        role: Role::Department,
        trust_domain: Some("xm.example".into()),
        suspended: true,
        bindings: bindings().to_vec(),
        title: "邻市信用办".into(),
        source: Some(source()),
    }
}

fn source() -> SourceRights {
    SourceRights {
        datasets: some("administrative-penalty"),
        unit: Unit { code: "11350299MB0000000H".into(), name: "样例市样例局".into() },
        lineage: Some("bureau".into()),
        authorities: vec![Authority {
            code: "11350299MB0000000H".into(),
            name: "样例市样例局".into(),
            from: Some("2019-01-01".into()),
            until: Some("2026-01-01".into()),
            successor: Some("11350299MB0000001F".into()),
            lineage: Some("old-bureau".into()),
            uncoded_basis: Some("样例〔2026〕1号".into()),
        }],
    }
}

fn subject(attribute: Attribute) -> SubjectBinding {
    SubjectBinding { issuer: "CN=CA".into(), attribute, value: "11350299MB0000000H".into() }
}

fn bindings() -> [Binding; 4] {
    let extension = ExtensionBinding {
        issuer: "CN=CA".into(),
        oid: "1.2.156.10260.4.1.1".into(),
        value: "11350299MB0000000H".into(),
    };
    [
        Binding::Uri("spiffe://xm.example/department/neighbour".into()),
        Binding::Subject(subject(Attribute::SerialNumber)),
        Binding::Extension(extension),
        Binding::PublicKeys(vec![PublicKeyPin::try_from(digest()).unwrap()]),
    ]
}
