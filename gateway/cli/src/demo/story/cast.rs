//! Who sends in the demonstration, and what: departments, their records, wrong ones among them, in every form.

use super::Options;
use std::collections::BTreeMap;
use xinqiao_schemas::synthetic::{
    Fault, Generator, Record, Table, write_csv, write_csv_gb18030, write_json, write_ndjson, write_xml,
};
use xinqiao_schemas::{Catalogue, Date, SubjectKind};

/// A department with what it has to send.
pub(super) struct Sender {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) authorities: Vec<(String, String)>,
    pub(super) records: Vec<Record>,
}

impl Sender {
    /// A penalty that may be shown, on such a subject.
    pub(super) fn shown(&self, kind: SubjectKind) -> Option<&Record> {
        self.records.iter().find(|r| r.subject == kind && is_public(r) && r.table == Table::CityPenalty)
    }

    /// Makes a record the department's own.
    pub(super) fn signs(&self, record: &mut Record) {
        let (code, name) = &self.authorities[0];
        for (column, value) in [
            ("JGMC", name),
            ("JGDM", code),
            ("CF_XZJG", name),
            ("XK_XZJG", name),
            ("CF_CFJG", name),
            ("CF_CFJGDM", code),
            ("XK_XKJG", name),
            ("XK_XKJGDM", code),
        ] {
            if record.get(column).is_some() {
                record.set(column, value.clone());
            }
        }
    }

    fn add(&mut self, mut record: Record) {
        self.signs(&mut record);
        self.records.push(record);
    }
}

pub(super) fn today() -> Date {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
    Date::business_day(now)
}

pub(super) fn is_public(r: &Record) -> bool {
    matches!(r.get("XXSYFW"), None | Some("" | "0" | "公示" | "社会公开"))
}

/// Three departments share the synthetic authorities among them.
pub(super) fn departments(options: &Options, today: Date) -> Vec<Sender> {
    let mut generator = Generator::new(options.seed, today).with_references();
    let mut senders = vec![
        Sender {
            name: "market-supervision",
            title: "市场监督管理局（样例）",
            authorities: Vec::new(),
            records: Vec::new(),
        },
        Sender {
            name: "housing-construction",
            title: "住房和建设局（样例）",
            authorities: Vec::new(),
            records: Vec::new(),
        },
        Sender {
            name: "culture-tourism",
            title: "文化和旅游局（样例）",
            authorities: Vec::new(),
            records: Vec::new(),
        },
    ];
    let each = options.records / Table::ALL.len();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let mut codes: BTreeMap<String, String> = BTreeMap::new();
    // Codes are learnt from tables that carry them: the 2017 tables name the authority only.
    for table in [Table::CityPenalty, Table::CityLicence] {
        for r in generator.clone().records(table, 400) {
            if let (Some(name), Some(code)) = (r.get("JGMC"), r.get("JGDM")) {
                codes.insert(name.to_owned(), code.to_owned());
            }
        }
    }
    for (n, (name, code)) in codes.iter().enumerate() {
        let d = n % senders.len();
        known.insert(name.clone(), d);
        senders[d].authorities.push((code.clone(), name.clone()));
    }
    for table in Table::ALL {
        for r in generator.records(table, each) {
            let name = ["JGMC", "CF_XZJG", "XK_XZJG", "CF_CFJG", "XK_XKJG"]
                .iter()
                .find_map(|c| r.get(c))
                .unwrap_or("");
            if let Some(d) = known.get(name) {
                senders[*d].records.push(r);
            }
        }
    }
    complete(&mut senders, generator);
    senders
}

/// Few records, or unlucky ones, may lack what the story is about: every department has some of every table, and the
/// first one a penalty on a natural and on a legal person that may be shown.
fn complete(senders: &mut [Sender], mut generator: Generator) {
    for sender in senders.iter_mut() {
        for table in Table::ALL {
            if !sender.records.iter().any(|r| r.table == table) {
                let record = generator.record(table);
                sender.add(record);
            }
        }
    }
    for kind in [SubjectKind::NaturalPerson, SubjectKind::LegalPerson] {
        while senders[0].shown(kind).is_none() {
            let record = generator.record_about(Table::CityPenalty, Some(kind));
            senders[0].add(record);
        }
    }
}

/// Puts wrong and doubtful records among the good ones.
pub(super) fn spoil(senders: &mut [Sender], seed: u64, today: Date) {
    let mut generator = Generator::new(seed.wrapping_add(1), today).with_references().starting_at(50_000_000);
    for (n, fault) in Fault::ALL.iter().cycle().take(Fault::ALL.len() * 3).enumerate() {
        let table = Table::ALL[n % Table::ALL.len()];
        let sender = n % senders.len();
        let Some(mut record) = generator.faulty(table, *fault) else { continue };
        senders[sender].signs(&mut record);
        senders[sender].records.push(record);
    }
}

/// A body in one of the forms, in turn.
pub(super) fn body(
    turn: usize,
    table: Table,
    records: &[Record],
    catalogue: &Catalogue,
) -> (&'static str, Option<&'static str>, Vec<u8>) {
    let mut out = Vec::new();
    match turn % 5 {
        0 => {
            write_ndjson(records, &mut out);
            ("application/x-ndjson", None, out)
        }
        1 => {
            write_json(records, &mut out);
            ("application/json", None, out)
        }
        2 => {
            write_xml(records, &mut out);
            ("application/xml", None, out)
        }
        3 => {
            write_csv(records, &mut out);
            ("text/csv", None, out)
        }
        _ => match catalogue.schema(table.schema()) {
            Some(schema) => {
                write_csv_gb18030(records, schema, &mut out);
                ("text/csv", Some("gb18030"), out)
            }
            None => {
                write_csv(records, &mut out);
                ("text/csv", None, out)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn whatever_is_asked_for_there_is_enough_to_tell_of() {
        let counts = [60, 61, 65, 77, 400, 599, 3_000];
        let seeds = (0..20).chain([350_200, u64::MAX]);
        for (records, seed) in seeds.flat_map(|seed| counts.map(|count| (count, seed))) {
            let options = Options { dir: PathBuf::new(), records, seed, json: true };
            let senders = departments(&options, today());
            for kind in [SubjectKind::NaturalPerson, SubjectKind::LegalPerson] {
                assert!(senders[0].shown(kind).is_some(), "{records} {seed}: no {kind:?}");
            }
            for (sender, table) in senders.iter().flat_map(|s| Table::ALL.map(|t| (s, t))) {
                let some = sender.records.iter().any(|r| r.table == table);
                assert!(some, "{records} {seed}: {} has none of {table:?}", sender.name);
            }
        }
    }
}
