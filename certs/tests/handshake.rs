//! Real handshakes in memory, then the registry's answer.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use rustls::{ClientConnection, Connection, ServerConnection};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use xinqiao_certs::pki::{Authority, Issued, Reason, Request, Revoked, Validity};
use xinqiao_certs::{
    AnchorRights, Attribute, Binding, CertificateDer, Identity, Member, PublicKeyPin, Registry, Revocation,
    RevocationList, RevocationPolicy, Role, SubjectBinding, Trust, TrustAnchors, UnixTime, tls,
};
use xinqiao_explain::Explain;

const DOMAIN: &str = "xm.example";
const DAY: Duration = Duration::from_secs(86_400);

fn now() -> UnixTime {
    UnixTime::now()
}

fn root(name: &str, domain: &str) -> Authority {
    Authority::create_root(name, &[domain], Validity::days(SystemTime::now(), 30)).unwrap()
}

fn valid() -> Validity {
    Validity::days(SystemTime::now(), 7)
}

fn department(authority: &Authority, name: &str) -> Issued {
    authority.issue(&Request::new(Role::Department, DOMAIN, name, valid())).unwrap()
}

fn gateway(authority: &Authority) -> Issued {
    let mut request = Request::new(Role::Node, DOMAIN, "350200-credit", valid());
    request.dns.push("gateway.xm.example".into());
    authority.issue(&request).unwrap()
}

fn identity(issued: &Issued) -> Identity {
    Identity::from_pem(issued.chain_pem().as_bytes(), issued.key_pem().as_bytes(), now()).unwrap()
}

fn anchors(list: &[(&str, &Authority, AnchorRights)]) -> TrustAnchors {
    let mut anchors = TrustAnchors::new();
    for (name, authority, rights) in list {
        anchors.add_pem(name, authority.root_pem().as_bytes(), rights.clone(), now()).unwrap();
    }
    anchors
}

fn trust(list: &[(&str, &Authority, AnchorRights)]) -> Arc<Trust> {
    Trust::new(anchors(list), Revocation::none()).unwrap()
}

/// A node of one authority that vouches for everything in its own domain.
fn simple(authority: &Authority) -> Arc<Trust> {
    trust(&[("city", authority, authority.rights(Role::ALL))])
}

struct Met {
    server: ServerConnection,
    chain: Vec<CertificateDer<'static>>,
}

/// Runs a handshake; `Err` is what the server, or else the client, complained of.
fn meet(server: Arc<rustls::ServerConfig>, client: Arc<rustls::ClientConfig>) -> Result<Met, rustls::Error> {
    let mut server = ServerConnection::new(server).unwrap();
    let name = "gateway.xm.example".try_into().unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut wire = Vec::new();
    for _ in 0..8 {
        pass(&mut client, &mut server, &mut wire)?;
        pass(&mut server, &mut client, &mut wire)?;
    }
    assert!(!server.is_handshaking() && !client.is_handshaking());
    client.writer().write_all(b"hello").unwrap();
    pass(&mut client, &mut server, &mut wire)?;
    let mut heard = [0u8; 5];
    server.reader().read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    let chain = server.peer_certificates().unwrap().iter().map(|c| c.clone().into_owned()).collect();
    Ok(Met { server, chain })
}

fn pass<A, B>(from: &mut A, to: &mut B, wire: &mut Vec<u8>) -> Result<(), rustls::Error>
where
    A: IntoConnection,
    B: IntoConnection,
{
    wire.clear();
    from.write(wire);
    to.read(wire)
}

trait IntoConnection {
    fn write(&mut self, wire: &mut Vec<u8>);
    fn read(&mut self, wire: &[u8]) -> Result<(), rustls::Error>;
}

macro_rules! connection {
    ($kind:ty) => {
        impl IntoConnection for $kind {
            fn write(&mut self, wire: &mut Vec<u8>) {
                while self.wants_write() {
                    self.write_tls(wire).unwrap();
                }
            }
            fn read(&mut self, mut wire: &[u8]) -> Result<(), rustls::Error> {
                while !wire.is_empty() {
                    self.read_tls(&mut wire).unwrap();
                    self.process_new_packets()?;
                }
                Ok(())
            }
        }
    };
}
connection!(ServerConnection);
connection!(ClientConnection);

fn code(registry: &Registry, chain: &[CertificateDer<'_>]) -> &'static str {
    let error = registry.identify(chain, now()).unwrap_err();
    assert!(!error.english().is_empty());
    assert!(error.chinese().chars().any(|c| c > '\u{4e00}'));
    error.code()
}

#[test]
fn member_is_identified_over_tls_1_3_with_h2() {
    let city = root("City Root", DOMAIN);
    let issuing = city.issue_intermediate("City Issuing", valid()).unwrap();
    let trust = simple(&city);
    let registry =
        Registry::new(vec![Member::new(DOMAIN, Role::Department, "health")], trust.clone()).unwrap();
    let health = department(&issuing, "health");
    let met = meet(
        tls::server_config(&identity(&gateway(&city)), &trust),
        tls::client_config(&identity(&health), &trust),
    )
    .unwrap();
    assert_eq!(met.server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(met.server.alpn_protocol(), Some(b"h2".as_slice()));
    let member = registry.identify(&met.chain, now()).unwrap();
    assert_eq!((member.name(), member.role(), member.trust_domain()), ("health", Role::Department, DOMAIN));
    assert_eq!(*member.certificate_digest(), identity(&health).certificate_digest());
    assert!(Connection::from(met.server).wants_read());
}

#[test]
fn no_certificate_gets_no_connection() {
    let city = root("City Root", DOMAIN);
    let trust = simple(&city);
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates([CertificateDer::from(
        pem::parse(city.root_pem()).unwrap().into_contents(),
    )]);
    let client = rustls::ClientConfig::builder_with_provider(tls::provider().clone())
        .with_protocol_versions(&tls::VERSIONS)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let error = meet(tls::server_config(&identity(&gateway(&city)), &trust), Arc::new(client)).err().unwrap();
    assert_eq!(error, rustls::Error::NoCertificatesPresented);
    let registry = Registry::new(vec![], trust).unwrap();
    assert_eq!(code(&registry, &[]), "certificate.missing");
}

#[test]
fn another_authority_is_refused_in_the_handshake() {
    let city = root("City Root", DOMAIN);
    let stranger = root("Stranger", DOMAIN);
    let trust = simple(&city);
    let forged = department(&stranger, "health");
    let error = meet(
        tls::server_config(&identity(&gateway(&city)), &trust),
        tls::client_config(&identity(&forged), &trust),
    )
    .err()
    .unwrap();
    assert_eq!(error, rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer));
    let registry = Registry::new(vec![Member::new(DOMAIN, Role::Department, "health")], trust).unwrap();
    assert_eq!(code(&registry, forged.chain()), "certificate.untrusted");
}

#[test]
fn an_authority_of_the_same_name_is_no_better() {
    let city = root("City Root", DOMAIN);
    let double = root("City Root", DOMAIN);
    let trust = simple(&city);
    let forged = department(&double, "health");
    let error = meet(
        tls::server_config(&identity(&gateway(&city)), &trust),
        tls::client_config(&identity(&forged), &trust),
    )
    .err()
    .unwrap();
    assert_eq!(error, rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer));
    let registry = Registry::new(vec![Member::new(DOMAIN, Role::Department, "health")], trust).unwrap();
    assert_eq!(code(&registry, forged.chain()), "certificate.untrusted");
}

#[test]
fn expired_certificates_are_refused_in_the_handshake_and_later() {
    let city = root("City Root", DOMAIN);
    let trust = simple(&city);
    let past = Validity::from(SystemTime::now() - 3 * DAY, DAY);
    let old = city.issue(&Request::new(Role::Department, DOMAIN, "health", past)).unwrap();
    let then = UnixTime::since_unix_epoch(Duration::from_secs(now().as_secs() - 86_400 * 5 / 2));
    let own = Identity::from_pem(old.chain_pem().as_bytes(), old.key_pem().as_bytes(), then).unwrap();
    let error =
        meet(tls::server_config(&identity(&gateway(&city)), &trust), tls::client_config(&own, &trust))
            .err()
            .unwrap();
    assert!(matches!(
        error,
        rustls::Error::InvalidCertificate(rustls::CertificateError::ExpiredContext { .. })
    ));
    let registry = Registry::new(vec![Member::new(DOMAIN, Role::Department, "health")], trust).unwrap();
    assert_eq!(code(&registry, old.chain()), "certificate.expired");

    // A connection that was opened in time is judged again: the remembered path does not outlive the certificate.
    let young = department(&city, "health");
    assert!(registry.identify(young.chain(), now()).is_ok());
    let later = UnixTime::since_unix_epoch(Duration::from_secs(now().as_secs() + 8 * 86_400));
    assert_eq!(registry.identify(young.chain(), later).unwrap_err().code(), "certificate.expired");
    let earlier = UnixTime::since_unix_epoch(Duration::from_secs(now().as_secs() - 86_400));
    assert_eq!(registry.identify(young.chain(), earlier).unwrap_err().code(), "certificate.not-yet-valid");
}

#[test]
fn a_department_cannot_pose_as_a_gateway() {
    let city = root("City Root", DOMAIN);
    let trust = simple(&city);
    let mut request = Request::new(Role::Department, DOMAIN, "health", valid());
    request.dns.push("gateway.xm.example".into());
    let posing = city.issue(&request).unwrap();
    let error = meet(
        tls::server_config(&identity(&posing), &trust),
        tls::client_config(&identity(&department(&city, "tax")), &trust),
    )
    .err()
    .unwrap();
    assert_eq!(error, rustls::Error::InvalidCertificate(rustls::CertificateError::InvalidPurpose));
}

#[test]
fn a_gateway_must_carry_the_name_dialled() {
    let city = root("City Root", DOMAIN);
    let trust = simple(&city);
    let mut request = Request::new(Role::Node, DOMAIN, "350200-credit", valid());
    request.dns.push("other.xm.example".into());
    let other = city.issue(&request).unwrap();
    let error = meet(
        tls::server_config(&identity(&other), &trust),
        tls::client_config(&identity(&department(&city, "tax")), &trust),
    )
    .err()
    .unwrap();
    assert!(matches!(
        error,
        rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForNameContext { .. })
    ));
}

#[test]
fn an_identity_is_tried_before_it_goes_live() {
    let (city, stranger) = (root("City Root", DOMAIN), root("Stranger", DOMAIN));
    let issuing = city.issue_intermediate("City Issuing", valid()).unwrap();
    let trust = simple(&city);
    let node = gateway(&issuing);
    let good = identity(&node);
    let refusal = |result: Result<(), xinqiao_explain::Explanation>| result.unwrap_err().into_code();
    assert_eq!(good.check_as_server(&trust, &["gateway.xm.example"], now()), Ok(()));
    assert_eq!(good.check_as_client(&trust, now()), Ok(()));
    let other_name = good.check_as_server(&trust, &["gateway.xm.example", "10.0.0.1"], now());
    assert_eq!(refusal(other_name), "identity.wrong-name");
    let health = identity(&department(&city, "health"));
    assert_eq!(refusal(health.check_as_server(&trust, &[], now())), "identity.wrong-usage");
    assert_eq!(
        refusal(identity(&gateway(&stranger)).check_as_server(&trust, &[], now())),
        "identity.missing-intermediate"
    );
    // The intermediate was left out.
    let leaf = node.chain_pem().find("-----END CERTIFICATE-----\n").unwrap() + 26;
    let alone = &node.chain_pem().as_bytes()[..leaf];
    let alone = Identity::from_pem(alone, node.key_pem().as_bytes(), now()).unwrap();
    assert_eq!(refusal(alone.check_as_server(&trust, &[], now())), "identity.missing-intermediate");
}

#[test]
fn the_registry_refuses_each_wrong_member_with_its_own_code() {
    let city = root("City Root", DOMAIN);
    let trust = simple(&city);
    let pinned = department(&city, "health");
    let mut by_key = Member::new(DOMAIN, Role::Department, "health-by-key");
    by_key.bindings = vec![Binding::PublicKeys(vec![PublicKeyPin::of(&pinned.chain()[0]).unwrap()])];
    let mut gone = Member::new(DOMAIN, Role::Department, "gone");
    gone.suspended = true;
    let registry = Registry::new(
        vec![
            Member::new(DOMAIN, Role::Department, "health"),
            by_key,
            gone,
            Member::new(DOMAIN, Role::Recipient, "province"),
        ],
        trust,
    )
    .unwrap();
    assert_eq!(code(&registry, department(&city, "nobody").chain()), "member.unknown");
    assert_eq!(code(&registry, pinned.chain()), "member.ambiguous");
    assert_eq!(code(&registry, department(&city, "gone").chain()), "member.suspended");
    assert_eq!(code(&registry, department(&city, "province").chain()), "member.role-mismatch");
    assert_eq!(registry.identify(department(&city, "health").chain(), now()).unwrap().name(), "health");
}

#[test]
fn a_pinned_certificate_must_not_speak_for_someone_else() {
    let city = root("City Root", DOMAIN);
    let issued = department(&city, "tax");
    let officer = city.issue(&Request::new(Role::SecurityOfficer, DOMAIN, "li", valid())).unwrap();
    let pin =
        |issued: &Issued| vec![Binding::PublicKeys(vec![PublicKeyPin::of(&issued.chain()[0]).unwrap()])];
    let mut health = Member::new(DOMAIN, Role::Department, "health");
    health.bindings = pin(&issued);
    let mut other = Member::new(DOMAIN, Role::Department, "other");
    other.bindings = pin(&officer);
    let registry = Registry::new(vec![health, other], simple(&city)).unwrap();
    assert_eq!(code(&registry, issued.chain()), "member.name-mismatch");
    assert_eq!(code(&registry, officer.chain()), "member.role-mismatch");
}

#[test]
fn an_anchor_vouches_only_for_its_own_domains_and_roles() {
    let city = root("City Root", DOMAIN);
    let both = Authority::create_root(
        "Province Root",
        &["fj.example", DOMAIN],
        Validity::days(SystemTime::now(), 30),
    )
    .unwrap();
    let trust = trust(&[
        ("city", &city, AnchorRights::new([DOMAIN], [Role::Department])),
        ("province", &both, AnchorRights::new(["fj.example"], Role::ALL)),
    ]);
    let registry = Registry::new(
        vec![
            Member::new(DOMAIN, Role::Department, "health"),
            Member::new(DOMAIN, Role::SecurityOfficer, "li"),
            Member::new("fj.example", Role::Recipient, "province"),
        ],
        trust,
    )
    .unwrap();
    // The province's authority signs, with a perfect chain, a certificate of the city's department: no.
    let foreign = department(&both, "health");
    let error = registry.identify(foreign.chain(), now()).unwrap_err();
    assert_eq!(error.code(), "certificate.anchor-may-not-assert");
    assert!(error.english().contains("province"), "{error}");
    // The city's own authority may not make officers here.
    let officer = city.issue(&Request::new(Role::SecurityOfficer, DOMAIN, "li", valid())).unwrap();
    assert_eq!(code(&registry, officer.chain()), "certificate.anchor-may-not-assert");
    // Each within its rights: yes; and asking twice (from memory) gives the same answers.
    let province = both.issue(&Request::new(Role::Recipient, "fj.example", "province", valid())).unwrap();
    for _ in 0..2 {
        assert_eq!(registry.identify(province.chain(), now()).unwrap().name(), "province");
        assert_eq!(registry.identify(department(&city, "health").chain(), now()).unwrap().name(), "health");
        assert_eq!(code(&registry, foreign.chain()), "certificate.anchor-may-not-assert");
    }
}

#[test]
fn one_authority_under_two_anchors_gets_the_rights_of_either() {
    // The same key twice, as after a renewal of the root: rights may stand with the second certificate.
    let old = root("City Root", DOMAIN);
    let renewed = Authority::open(old.chain_pem().as_bytes(), &old.key_pem(), &[DOMAIN]).unwrap();
    let issuing = renewed.issue_intermediate("City Issuing", valid()).unwrap();
    let as_anchor = issuing.certificate_pem();
    let mut set = anchors(&[("root", &old, AnchorRights::default())]);
    set.add_pem("issuing", as_anchor.as_bytes(), old.rights([Role::Department]), now()).unwrap();
    let registry = Registry::new(
        vec![Member::new(DOMAIN, Role::Department, "health")],
        Trust::new(set, Revocation::none()).unwrap(),
    )
    .unwrap();
    assert_eq!(registry.identify(department(&issuing, "health").chain(), now()).unwrap().name(), "health");
    assert_eq!(code(&registry, department(&renewed, "health").chain()), "certificate.anchor-may-not-assert");
}

#[test]
fn an_issuer_without_uris_is_bound_by_subject() {
    let government =
        Authority::create_root("政务CA", &["gov.example"], Validity::days(SystemTime::now(), 30)).unwrap();
    let mut request = Request::new(Role::Department, "gov.example", "whoever", valid());
    request.uscc = Some("TESTUSCC0000000001");
    let issued = government.issue(&request).unwrap();
    let member = |uri_name: &str, issuer: &str, value: &str| {
        let mut member = Member::new("gov.example", Role::Department, uri_name);
        member.bindings = vec![Binding::Subject(SubjectBinding {
            issuer: issuer.into(),
            attribute: Attribute::OrganizationIdentifier,
            value: value.into(),
        })];
        let trust = trust(&[("gov", &government, government.rights([Role::Department]))]);
        Registry::new(vec![member], trust).unwrap()
    };
    let registry = member("whoever", "CN=政务CA", "TESTUSCC0000000001");
    assert_eq!(registry.identify(issued.chain(), now()).unwrap().name(), "whoever");
    assert_eq!(code(&member("whoever", "CN=政务CB", "TESTUSCC0000000001"), issued.chain()), "member.unknown");
    assert_eq!(code(&member("whoever", "CN=政务CA", "TESTUSCC0000000002"), issued.chain()), "member.unknown");
}

#[test]
fn two_members_cannot_share_a_name_or_a_binding() {
    let city = root("City Root", DOMAIN);
    let one = Member::new(DOMAIN, Role::Department, "health");
    let refused = |members: Vec<Member>| Registry::new(members, simple(&city)).unwrap_err().into_code();
    assert_eq!(refused(vec![one.clone(), one.clone()]), "member.name-twice");
    let mut other = Member::new(DOMAIN, Role::Department, "other");
    other.bindings = vec![Binding::Uri(one.uri())];
    assert_eq!(refused(vec![one.clone(), other.clone()]), "member.bound-twice");
    other.bindings = vec![Binding::Uri("spiffe://elsewhere.example/department/other".into())];
    assert_eq!(refused(vec![other]), "member.uri-disagrees");
    assert_eq!(refused(vec![Member::new(DOMAIN, Role::Department, "Health")]), "member.name-malformed");
}

#[test]
fn a_revoked_certificate_is_refused_by_handshake_and_registry() {
    let city = root("City Root", DOMAIN);
    let (good, bad) = (department(&city, "health"), department(&city, "tax"));
    let revoked =
        [Revoked { serial: bad.serial().to_vec(), time: SystemTime::now(), reason: Reason::default() }];
    let text = city.revocation_list(1, valid(), &revoked).unwrap();
    let list = RevocationList::read("city.crl", text.as_bytes()).unwrap();
    assert_eq!(list.entries(), 1);
    assert!(!list.is_stale(now()));
    let with = |list: RevocationList| {
        Trust::new(
            anchors(&[("city", &city, city.rights(Role::ALL))]),
            Revocation::new(vec![list], RevocationPolicy::default()),
        )
    };
    let trust = with(list).unwrap();
    let server = tls::server_config(&identity(&gateway(&city)), &trust);
    assert!(meet(server.clone(), tls::client_config(&identity(&good), &trust)).is_ok());
    let error = meet(server, tls::client_config(&identity(&bad), &trust)).err().unwrap();
    assert_eq!(error, rustls::Error::InvalidCertificate(rustls::CertificateError::Revoked));
    let members =
        vec![Member::new(DOMAIN, Role::Department, "health"), Member::new(DOMAIN, Role::Department, "tax")];
    let registry = Registry::new(members, trust).unwrap();
    assert!(registry.identify(good.chain(), now()).is_ok());
    assert_eq!(code(&registry, bad.chain()), "certificate.revoked");

    // A list in the anchor's name by another key must not go live: it would lock everyone out.
    let double = root("City Root", DOMAIN);
    let forged = double.revocation_list(2, valid(), &[]).unwrap();
    let forged = RevocationList::read("forged.crl", forged.as_bytes()).unwrap();
    assert_eq!(with(forged).unwrap_err().code(), "crl.wrong-issuer");
    assert_eq!(RevocationList::read("x.crl", b"nonsense").unwrap_err().code(), "crl.malformed");
}

#[test]
fn a_revoked_intermediate_takes_its_certificates_with_it() {
    let city = root("City Root", DOMAIN);
    let (good, bad) =
        (city.issue_intermediate("A", valid()).unwrap(), city.issue_intermediate("B", valid()).unwrap());
    let serial = {
        let pem = pem::parse(bad.certificate_pem()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(pem.contents()).unwrap();
        parsed.tbs_certificate.raw_serial().to_vec()
    };
    let revoked = [Revoked { serial, time: SystemTime::now(), reason: Reason::default() }];
    let text = city.revocation_list(1, valid(), &revoked).unwrap();
    let registry = with_lists(&city, &[("root.crl", &text)], RevocationPolicy::default());
    assert!(registry.identify(department(&good, "health").chain(), now()).is_ok());
    assert_eq!(code(&registry, department(&bad, "health").chain()), "certificate.revoked");
}

#[test]
fn missing_and_stale_lists_count_as_the_policy_says() {
    let city = root("City Root", DOMAIN);
    let issuing = city.issue_intermediate("City Issuing", valid()).unwrap();
    let leaf = department(&issuing, "health");
    let past = Validity::from(SystemTime::now() - 3 * DAY, DAY);
    let of_root = city.revocation_list(1, valid(), &[]).unwrap();
    let of_issuing = issuing.revocation_list(1, valid(), &[]).unwrap();
    let stale = issuing.revocation_list(1, past, &[]).unwrap();
    // Another authority of the same name says nothing about this one's certificates, not even bad things.
    let double = city.issue_intermediate("City Issuing", valid()).unwrap();
    let revoked =
        [Revoked { serial: leaf.serial().to_vec(), time: SystemTime::now(), reason: Reason::default() }];
    let foreign = double.revocation_list(9, valid(), &revoked).unwrap();
    let policy = |demand_status, demand_current| RevocationPolicy {
        demand_status,
        demand_current,
        grace: Duration::ZERO,
    };
    let said = |lists: &[&str], policy| {
        let lists: Vec<(&str, &str)> = lists.iter().map(|text| ("a.crl", *text)).collect();
        let registry = with_lists(&city, &lists, policy);
        registry.identify(leaf.chain(), now()).map(drop).map_err(|error| error.code())
    };
    assert_eq!(said(&[&of_root, &of_issuing], policy(true, true)), Ok(()));
    assert_eq!(said(&[&of_root], policy(true, false)), Err("certificate.status-unknown"));
    assert_eq!(said(&[], policy(true, false)), Err("certificate.status-unknown"));
    assert_eq!(said(&[&of_root, &stale], policy(true, false)), Ok(()));
    assert_eq!(said(&[&of_root, &stale], policy(true, true)), Err("certificate.status-stale"));
    let lenient = |grace| RevocationPolicy { grace, ..policy(true, true) };
    assert_eq!(said(&[&of_root, &stale], lenient(3 * DAY)), Ok(()), "overdue by two days, three are granted");
    assert_eq!(said(&[&of_root, &stale], lenient(DAY)), Err("certificate.status-stale"));
    assert_eq!(said(&[&foreign], policy(false, true)), Ok(()));
    assert_eq!(said(&[&of_root, &foreign], policy(true, false)), Err("certificate.status-unknown"));
}

fn with_lists(city: &Authority, lists: &[(&str, &str)], policy: RevocationPolicy) -> Registry {
    let lists =
        lists.iter().map(|(name, text)| RevocationList::read(name, text.as_bytes()).unwrap()).collect();
    let anchors = anchors(&[("city", city, city.rights(Role::ALL))]);
    let trust = Trust::new(anchors, Revocation::new(lists, policy)).unwrap();
    Registry::new(vec![Member::new(DOMAIN, Role::Department, "health")], trust).unwrap()
}

#[test]
fn tickets_of_an_older_configuration_die_with_it() {
    let city = root("City Root", DOMAIN);
    let trust = simple(&city);
    let own = identity(&gateway(&city));
    let client = tls::client_config(&identity(&department(&city, "health")), &trust);
    let old = tls::server_config(&own, &trust);
    let kind = |met: &Met| met.server.handshake_kind().unwrap();
    assert_eq!(kind(&meet(old.clone(), client.clone()).unwrap()), rustls::HandshakeKind::Full);
    let resumed = meet(old, client.clone()).unwrap();
    assert_eq!(kind(&resumed), rustls::HandshakeKind::Resumed);
    let registry =
        Registry::new(vec![Member::new(DOMAIN, Role::Department, "health")], trust.clone()).unwrap();
    assert_eq!(registry.identify(&resumed.chain, now()).unwrap().name(), "health");
    let new = tls::server_config(&own, &trust);
    assert_eq!(kind(&meet(new, client).unwrap()), rustls::HandshakeKind::Full);
}
