//! Examples of the exchange's document are what they say.

use crate::described::exchange;
use xinqiao_schemas::{
    Caps, Catalogue, Charset, Date, Finding, Format, RecallEffect, SourceUnit, ValidateContext, decode,
};

#[test]
fn examples_of_records_are_records() {
    let document = exchange().document;
    let content = &document["paths"]["/v1/datasets/{dataset}/records"]["post"]["requestBody"]["content"];
    let catalogue = Catalogue::builtin().unwrap();
    let schema = catalogue.schema("administrative-penalty-2020").unwrap();
    let context = ValidateContext {
        received: Date::parse_accepted("2026/11/21").unwrap().0,
        source: SourceUnit { authority_code: None, authority_name: None, unit_code: None, unit_name: None },
        relayed: None,
    };
    let json = |name: &str| content["application/json"]["examples"][name]["value"].to_string();
    let text = |kind: &str| content[kind]["example"].as_str().unwrap().to_owned();
    for (format, body, put) in [
        (Format::Json, json("put"), true),
        (Format::Json, json("several"), true),
        (Format::Json, json("withdraw"), false),
        (Format::Ndjson, text("application/x-ndjson"), true),
        (Format::Xml, text("application/xml"), true),
        (Format::Csv, text("text/csv"), true),
    ] {
        let mut taken = 0;
        decode(schema, format, Charset::Utf8, body.as_bytes(), &Caps::default(), &mut |_, raw| {
            let mut findings: Vec<Finding> = Vec::new();
            let good = if put {
                schema.validate(raw.unwrap(), &context, &mut findings).is_some()
            } else {
                schema.validate_recall(raw.unwrap(), RecallEffect::Ends, &context, &mut findings).is_some()
            };
            assert!(good && findings.is_empty(), "{format:?}: {findings:?}");
            taken += 1;
        })
        .unwrap();
        assert_eq!(taken, 1, "{format:?}");
    }
}

#[test]
fn examples_of_evidence_read() {
    use xinqiao_evidence::acknowledgement::Acknowledgement;
    use xinqiao_evidence::entry::Entry;
    use xinqiao_evidence::jws::Jws;
    use xinqiao_evidence::keys::Jwks;
    use xinqiao_evidence::manifest::Manifest;
    use xinqiao_evidence::tlog::{Checkpoint, LogProof, VerifierKey};
    let document = exchange().document;
    let paths = &document["paths"];
    let ok = |path: &str, kind: &str| &paths[path]["get"]["responses"]["200"]["content"][kind]["example"];

    let batch = &ok("/v1/streams/{stream}/batches", "application/json")["batches"][0];
    let jws = Jws::parse(batch["manifest"].to_string().as_bytes()).unwrap();
    let payload = jws.unauthenticated_payload().unwrap();
    let manifest = Manifest::from_json(&payload).unwrap();
    let entry = xinqiao_evidence::base64::decode(batch["entry"].as_str().unwrap()).unwrap();
    let digest = xinqiao_evidence::Digest::of(&payload);
    assert_eq!(manifest.log_entry(digest).to_bytes().unwrap(), entry);
    LogProof::from_text(batch["proof"].as_str().unwrap()).unwrap();

    let content = &paths["/v1/streams/{stream}/acknowledgements"]["post"]["requestBody"]["content"];
    let answer = content["application/json"]["example"].to_string();
    let answer = Acknowledgement::from_json(answer.as_bytes()).unwrap();
    assert_eq!(answer.manifest_digest.sha256, digest);
    let signed = Jws::parse(content["application/jose+json"]["example"].to_string().as_bytes()).unwrap();
    assert_eq!(signed.unauthenticated_payload().unwrap(), answer.to_json());

    let submit = &paths["/v1/datasets/{dataset}/records"]["post"]["responses"]["201"];
    let receipt = &submit["content"]["application/json"]["example"]["receipt"];
    let entry = xinqiao_evidence::base64::decode(receipt["entry"].as_str().unwrap()).unwrap();
    assert_eq!(Entry::from_bytes(&entry).unwrap().kind(), "submission");
    let proof = LogProof::from_text(receipt["proof"].as_str().unwrap()).unwrap();

    let checkpoint = ok("/v1/log/checkpoint", "text/plain").as_str().unwrap();
    assert_eq!(proof.checkpoint, checkpoint);
    Checkpoint::unauthenticated(checkpoint).unwrap();
    let keys = ok("/v1/keys", "application/json");
    assert_eq!(Jwks::from_json(keys.to_string().as_bytes()).unwrap().keys().len(), 2);
    keys["log"].as_str().unwrap().parse::<VerifierKey>().unwrap();
}
