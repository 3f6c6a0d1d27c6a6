//! Who is let in, and what each may do.

use crate::*;

#[tokio::test]
async fn who_is_not_exactly_one_member_in_good_standing_reads_why() {
    for (name, code) in [
        ("stranger", "member.unknown"),
        ("suspended", "member.suspended"),
        ("twins", "member.ambiguous"),
        ("turncoat", "member.role-mismatch"),
    ] {
        let peer = CITY.peer(name);
        for ask in [Ask::get("/v1/datasets"), put(NDJSON, ndjson(&[spied()]))] {
            let answer = peer.ask(ask).await;
            answer.silent_about(&[CANARY, "twins", "twin-b"]);
            answer.refused(403, code);
        }
    }
}

#[tokio::test]
async fn a_bad_certificate_gets_an_alert_and_is_counted() {
    let ca = CITY.pki.dir.join("ca.crt");
    let issue = |authority: &Authority, validity| {
        let issued = authority.issue(&Request::new(Role::Department, DOMAIN, "alpha", validity));
        let issued = issued.expect("certificates can be issued");
        // Its owner loads it as if it were still good.
        let then = UnixTime::since_unix_epoch(Duration::from_secs(1_600_000_100));
        Identity::from_pem(issued.chain_pem().as_bytes(), issued.key_pem().as_bytes(), then)
            .or_else(|_| {
                Identity::from_pem(
                    issued.chain_pem().as_bytes(),
                    issued.key_pem().as_bytes(),
                    UnixTime::now(),
                )
            })
            .expect("it can be read")
    };
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let expired = issue(CITY.pki.authority(), Validity::from(past, Duration::from_secs(86_400)));
    let elsewhere = Pki::create(&CITY.dir.join("other-pki")).expect("certificates can be made");
    let foreign = issue(elsewhere.authority(), Validity::days(SystemTime::now(), 2));
    let unknown = Authority::create_root("Another", &[DOMAIN], Validity::days(SystemTime::now(), 2));
    let unknown = issue(&unknown.expect("certificates can be made"), Validity::days(SystemTime::now(), 2));
    // An impostor of the same name is found by its signature.
    for (identity, alert) in [(expired, "CertificateExpired"), (unknown, "UnknownCA"), (foreign, "UnknownCA")]
    {
        let peer = Peer::new(CITY.node.exchange, &identity, &ca);
        let died = peer.try_ask(Ask::get("/v1/datasets")).await.expect_err("no answer");
        assert!(died.contains(alert), "{died}");
    }
    let metrics = CITY.local("/metrics").await;
    let counted = "xinqiao_edge_handshakes_failed_total{listener=\"exchange\",reason=\"certificate\"} ";
    let failed = metrics.lines().find_map(|line| line.strip_prefix(counted)?.parse::<f64>().ok());
    assert!(failed.is_some_and(|n| n >= 3.0), "{metrics}");
}

#[tokio::test]
async fn nobody_leaves_its_role() {
    let (province, auditor) = (CITY.peer("province"), CITY.peer("auditor"));
    let body = || ndjson(&[spied()]);
    for ask in [
        Ask::get("/v1/streams"),
        Ask::get("/v1/streams/province.administrative-penalty/batches"),
        Ask::get("/v1/streams/province.administrative-penalty/batches/1/payload"),
        Ask::post("/v1/streams/province.administrative-penalty/acknowledgements", "application/json", "{}"),
        Ask::get("/v1/log/tile/entries/000"),
    ] {
        alpha().ask(ask).await.refused(403, "role.wrong");
    }
    for peer in [&province, &auditor] {
        for ask in [put(NDJSON, body()), Ask::get("/v1/feedback"), Ask::get("/v1/submissions/1-aa")] {
            let answer = peer.ask(ask).await;
            answer.silent_about(&[CANARY]);
            answer.refused(403, "role.wrong");
        }
    }
    auditor.ask(Ask::get("/v1/streams")).await.refused(403, "role.wrong");
}

#[tokio::test]
async fn only_one_s_own_datasets_and_authorities() {
    let gamma = CITY.peer("gamma");
    gamma.ask(put(NDJSON, ndjson(&[spied()]))).await.refused(403, "dataset.not-yours");
    let of_beta = record(1, Table::CityPenalty, SubjectKind::LegalPerson);
    assert_eq!(
        refuse_records("another's authority", put(NDJSON, ndjson(&[of_beta]))).await,
        only("authority.not-yours")
    );
    let late = record(3, Table::CityPenalty, SubjectKind::LegalPerson);
    let answer = CITY.peer("delta").ask(put(NDJSON, ndjson(&[late]))).await;
    assert_eq!(refusals(&answer.refused(422, "records.refused")), only("authority.not-yours-then"));
    // A recall of another's record names the authority too.
    let mut identity = json!({"JGDM": authority(1).0, "reason": "mistake", "basis": "样撤〔2026〕9号", "effective": "2026-11-20"});
    identity["ref"] = "case-1".into();
    let path = format!("{PENALTIES}?op=withdraw&schema=xm-penalty");
    let ask = Ask::post(path, "application/json", identity.to_string()).with("idempotency-key", fresh_key());
    assert_eq!(refuse_records("another's recall", ask).await, only("authority.not-yours"));
}
