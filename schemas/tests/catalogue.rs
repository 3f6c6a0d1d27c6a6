//! The catalogue that ships with the product loads, contradicts itself nowhere, and does to records what the
//! templates and the rules of publicity say.

use std::path::Path;

use serde_json::Value;
use xinqiao_schemas::route::{Release, RouteSecrets, WithheldReason};
use xinqiao_schemas::synthetic::{Generator, Record, Table, write_ndjson};
use xinqiao_schemas::validate::{SourceUnit, ValidateContext};
use xinqiao_schemas::{Caps, Catalogue, Charset, Date, Format, LineHead, SubjectKind, decode};

const GOVERNMENTS: [&str; 2] = ["province-government", "nation-government"];
const OTHERS: [&str; 2] = ["portal-public", "agency-authorised"];

/// Each table with the table its records become.
const ROUTES: [(Table, &str); 6] = [
    (Table::CityPenalty, "administrative-penalty-2020"),
    (Table::CityLicence, "administrative-licence-2020"),
    (Table::Penalty2017, "administrative-penalty-2020"),
    (Table::Licence2017, "administrative-licence-2020"),
    (Table::Penalty2020, "administrative-penalty-2020"),
    (Table::Licence2020, "administrative-licence-2020"),
];

fn catalogue() -> Catalogue {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue");
    Catalogue::load(&directory).unwrap_or_else(|errors| panic!("{errors}"))
}

fn generator() -> Generator {
    Generator::new(7, Date::new(2026, 11, 21).expect("a day"))
}

/// What a recipient gets of a record: its line as text, or why it is withheld.
fn sent(catalogue: &Catalogue, record: &Record, to: &str, policy: &str) -> Result<String, WithheldReason> {
    let schema = catalogue.schema(record.table.schema()).expect("the table has a schema");
    let source = SourceUnit {
        authority_code: record.get("JGDM").or(record.get("CF_CFJGDM")).map(str::to_owned).or_else(authority),
        authority_name: Some("样例市市场监督管理局".to_owned()),
        unit_code: authority(),
        unit_name: Some("样例市大数据中心".to_owned()),
    };
    let context =
        ValidateContext { received: Date::new(2026, 11, 21).expect("a day"), source, relayed: None };
    let route =
        catalogue.route(schema.id(), to, policy, &RouteSecrets::new([7; 32])).expect("there is a route");
    let mut body = Vec::new();
    write_ndjson(std::slice::from_ref(record), &mut body);
    let mut answer = None;
    decode(schema, Format::Ndjson, Charset::Utf8, &body, &Caps::default(), &mut |_, raw| {
        let mut findings = Vec::new();
        let raw = raw.expect("a sound record");
        let valid = schema.validate(raw, &context, &mut findings).unwrap_or_else(|| panic!("{findings:?}"));
        let head = LineHead { op: "put", key: "0123456789abcdef", rev: 1, via: &[], reference: None };
        let mut line = Vec::new();
        answer = Some(match route.release(&valid, &head, &mut line) {
            Release::Released(_) => Ok(String::from_utf8(line).expect("lines are UTF-8")),
            Release::Withheld(reason) => Err(reason),
            Release::Quarantined(findings) => panic!("{} quarantined: {findings:?}", schema.id()),
        });
    })
    .expect("a sound body");
    answer.expect("one record was read")
}

/// The code of an authority that does not exist, as the generator makes them.
fn authority() -> Option<String> {
    generator().record(Table::CityPenalty).get("JGDM").map(str::to_owned)
}

fn data(line: &str) -> Value {
    serde_json::from_str::<Value>(line).expect("a line is JSON")["data"].take()
}

fn about(table: Table, kind: SubjectKind) -> Record {
    generator().with_leaks().record_about(table, Some(kind))
}

#[test]
fn it_loads_and_nothing_deserves_a_look() {
    let found = catalogue().check();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_compiled_in_files_are_those_of_the_directory() {
    let builtin = Catalogue::builtin().unwrap_or_else(|errors| panic!("{errors}"));
    let loaded = catalogue();
    let digests = |catalogue: &Catalogue| {
        let schemas = catalogue.schemas().map(|schema| *schema.digest());
        let mappings = catalogue.mappings().map(|mapping| *mapping.digest());
        schemas.chain(mappings).chain(catalogue.policies().map(|policy| *policy.digest())).collect::<Vec<_>>()
    };
    assert_eq!(digests(&builtin), digests(&loaded));
}

#[test]
fn every_sound_record_fits_the_recipients_tables() {
    let catalogue = catalogue();
    for (table, to) in ROUTES {
        let mut released = 0;
        for record in generator().records(table, 200) {
            released += usize::from(sent(&catalogue, &record, to, "province-government").is_ok());
        }
        assert!(released > 180, "{table:?}: only {released} of 200 were released");
    }
}

#[test]
fn governments_get_identifiers_but_no_contact_details() {
    let catalogue = catalogue();
    for (table, to) in ROUTES {
        for policy in GOVERNMENTS {
            for kind in SubjectKind::ALL {
                let record = generator().record_about(table, Some(kind));
                let line = sent(&catalogue, &record, to, policy).expect("governments get every subject");
                let code =
                    ["TYSHXYDM", "CF_XDR_SHXYM", "XK_XDR_SHXYM"].iter().find_map(|code| record.get(code));
                let id = ["SFZH", "CF_XDR_ZJHM", "XK_XDR_ZJHM", "CF_XDR_SFZ", "XK_XDR_SFZ"];
                let id = id.iter().find_map(|code| record.get(code));
                let expected = if kind == SubjectKind::NaturalPerson { id } else { code };
                assert!(line.contains(expected.expect("the subject has a number")), "{table:?} {policy}");
                for contact in ["LXDH", "CBR"].iter().filter_map(|code| record.get(code)) {
                    assert!(!line.contains(contact), "{table:?} {policy}");
                }
            }
        }
    }
}

#[test]
fn natural_persons_never_reach_portals_and_agencies() {
    let catalogue = catalogue();
    for (table, to) in ROUTES {
        for policy in OTHERS {
            let record = about(table, SubjectKind::NaturalPerson);
            assert_eq!(sent(&catalogue, &record, to, policy), Err(WithheldReason::SubjectKind), "{table:?}");
        }
    }
}

#[test]
fn no_persons_number_reaches_portals_and_agencies() {
    let catalogue = catalogue();
    for (table, to) in ROUTES {
        for policy in OTHERS {
            for kind in [SubjectKind::LegalPerson, SubjectKind::IndividualBusiness] {
                let record = about(table, kind);
                let line = sent(&catalogue, &record, to, policy).expect("organisations are public");
                let finds = xinqiao_schemas::scan::find(&line);
                assert!(finds.is_empty(), "{table:?} {policy}: {:?}", finds.first().map(|find| find.kind));
                for code in ["CF_FR_ZJHM", "XK_FR_ZJHM", "CF_XDR_SFZ", "XK_XDR_SFZ", "LXDH", "CBR"] {
                    assert!(
                        record.get(code).is_none_or(|value| !line.contains(value)),
                        "{table:?} {policy} {code}"
                    );
                }
                let person = ["FDDBR", "CF_FRDB", "XK_FRDB", "CF_FR", "XK_FR"]
                    .iter()
                    .find_map(|code| record.get(code));
                let shown = line.contains(person.expect("organisations have somebody"));
                assert_eq!(shown, kind == SubjectKind::LegalPerson, "{table:?} {policy}");
            }
        }
    }
}

#[test]
fn an_operators_name_is_hidden_in_the_name_of_the_business_too() {
    let catalogue = catalogue();
    let mut record = generator().record_about(Table::CityPenalty, Some(SubjectKind::IndividualBusiness));
    let operator = record.get("FDDBR").expect("a business has an operator").to_owned();
    for name in [operator.clone(), format!("厦门市样例区{operator}便利店")] {
        record.set("DSRMC", name);
        for policy in OTHERS {
            let line = sent(&catalogue, &record, "administrative-penalty-2020", policy).expect("released");
            assert!(!line.contains(&operator), "{policy}");
        }
    }
}

#[test]
fn the_usage_scope_decides_who_gets_a_record() {
    let catalogue = catalogue();
    let to = "administrative-penalty-2020";
    let mut record = generator().record_about(Table::CityPenalty, Some(SubjectKind::LegalPerson));
    let all = ["province-government", "nation-government", "portal-public", "agency-authorised"];
    let released = |record: &Record| all.map(|policy| sent(&catalogue, record, to, policy).is_ok());
    for (scope, expected) in [
        ("公示", [true, true, true, true]),
        ("政府共享", [true, true, false, false]),
        ("授权查询", [false, false, false, false]),
    ] {
        record.set("XXSYFW", scope);
        assert_eq!(released(&record), expected, "{scope}");
    }
    record.set("authorisation", "consent-2026-000001");
    assert_eq!(released(&record), [true, false, false, true]);
    record.set("ZT", "撤销");
    assert_eq!(sent(&catalogue, &record, to, "province-government"), Err(WithheldReason::Revoked));
}

#[test]
fn rare_characters_and_signs_travel_as_sent() {
    let catalogue = catalogue();
    let mut record = generator().record_about(Table::CityPenalty, Some(SubjectKind::LegalPerson));
    for name in ["厦门𠮷样例（集团）有限公司", "样例·买买提㐀龍有限公司", "Sample ﹙样例﹚ Ｃo. 有限公司"]
    {
        record.set("DSRMC", name);
        record.set("JDSWH", "样市监罚决字〔２０２６〕第［1］号");
        for policy in ["province-government", "portal-public"] {
            let line = sent(&catalogue, &record, "administrative-penalty-2020", policy).expect("released");
            assert_eq!(data(&line)["CF_XDR_MC"], name);
            assert_eq!(data(&line)["CF_WSH"], "样市监罚决字〔２０２６〕第［1］号");
        }
    }
}

#[test]
fn yuan_become_ten_thousands() {
    let catalogue = catalogue();
    let mut record = generator().record_about(Table::CityPenalty, Some(SubjectKind::LegalPerson));
    for (yuan, expected) in [("2000", "0.2"), ("125500", "12.55"), ("0.01", "0.000001"), ("10000", "1")] {
        record.set("FKJE", yuan);
        let line = sent(&catalogue, &record, "administrative-penalty-2020", "province-government");
        assert_eq!(data(&line.expect("released"))["CF_NR_FK"], *expected, "{yuan} yuan");
    }
}

#[test]
fn codes_two_and_three_change_places_between_the_generations() {
    let catalogue = catalogue();
    for (table, to, p) in [
        (Table::Penalty2017, "administrative-penalty-2020", "CF"),
        (Table::Licence2017, "administrative-licence-2020", "XK"),
    ] {
        let record = generator().record_about(table, Some(SubjectKind::LegalPerson));
        let line = sent(&catalogue, &record, to, "province-government").expect("released");
        let data = data(&line);
        for (old, new) in [("XDR_ZDM", "XDR_ZZJG"), ("XDR_GSDJ", "XDR_GSZC"), ("XDR_SHXYM", "XDR_SHXYM")] {
            let was = record.get(&format!("{p}_{old}")).expect("organisations have all three");
            assert_eq!(data[format!("{p}_{new}")], *was, "{p}_{old}");
        }
        assert_eq!(data[format!("{p}_XDR_LB")], "法人及非法人组织");
    }
}

#[test]
fn the_key_of_a_record_is_the_same_in_every_generation() {
    let catalogue = catalogue();
    let context = ValidateContext {
        received: Date::new(2026, 11, 21).expect("a day"),
        source: SourceUnit::default(),
        relayed: None,
    };
    for tables in [
        [Table::CityPenalty, Table::Penalty2017, Table::Penalty2020],
        [Table::CityLicence, Table::Licence2017, Table::Licence2020],
    ] {
        for kind in SubjectKind::ALL {
            let keys = tables.map(|table| {
                let schema = catalogue.schema(table.schema()).expect("the table has a schema");
                let mut body = Vec::new();
                write_ndjson(&[generator().record_about(table, Some(kind))], &mut body);
                let mut key = Vec::new();
                decode(schema, Format::Ndjson, Charset::Utf8, &body, &Caps::default(), &mut |_, raw| {
                    let raw = raw.expect("a sound record");
                    let valid = schema.validate(raw, &context, &mut Vec::new()).expect("a sound record");
                    assert!(valid.key_material(&mut key));
                })
                .expect("a sound body");
                key
            });
            assert!(keys[0] == keys[1] && keys[1] == keys[2], "{tables:?} {kind:?}");
        }
    }
}
