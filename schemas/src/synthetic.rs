//! Made-up records for tests, demonstrations and benchmarks: the same seed gives the same records, for ever.
//!
//! Nobody in them exists. Codes and identity numbers are sound to the last check character, but lie in the
//! division 350299, which has never been assigned; names of persons are a common surname and two signs of
//! the old calendar; organisations, authorities and streets are called 样例 (sample); phone numbers begin
//! with 199000. A record is made by its place in the sequence, so any part of a large set can be made alone.

mod case;
mod fault;
mod fill;
mod random;
mod subject;
mod write;

use crate::date::Date;
use crate::model::SubjectKind;
use case::Case;
use random::Random;

pub use fault::Fault;
pub use write::{write_csv, write_csv_gb18030, write_json, write_ndjson, write_xml};

/// A table that records are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// The city's own table of penalties, `xm-penalty`.
    CityPenalty,
    /// The city's own table of licences, `xm-licence`.
    CityLicence,
    /// `administrative-penalty-2017`.
    Penalty2017,
    /// `administrative-penalty-2020`.
    Penalty2020,
    /// `administrative-licence-2017`.
    Licence2017,
    /// `administrative-licence-2020`.
    Licence2020,
}

impl Table {
    /// All tables.
    pub const ALL: [Table; 6] = [
        Table::CityPenalty,
        Table::CityLicence,
        Table::Penalty2017,
        Table::Penalty2020,
        Table::Licence2017,
        Table::Licence2020,
    ];

    /// The id of the table's schema.
    pub const fn schema(self) -> &'static str {
        match self {
            Table::CityPenalty => "xm-penalty",
            Table::CityLicence => "xm-licence",
            Table::Penalty2017 => "administrative-penalty-2017",
            Table::Penalty2020 => "administrative-penalty-2020",
            Table::Licence2017 => "administrative-licence-2017",
            Table::Licence2020 => "administrative-licence-2020",
        }
    }

    /// The dataset that its records belong to.
    pub const fn dataset(self) -> &'static str {
        match self {
            Table::CityPenalty | Table::Penalty2017 | Table::Penalty2020 => "administrative-penalty",
            Table::CityLicence | Table::Licence2017 | Table::Licence2020 => "administrative-licence",
        }
    }

    /// The codes of its columns, in order.
    pub fn columns(self) -> &'static [&'static str] {
        fill::columns(self)
    }
}

/// One made-up record: codes and values of the filled fields, in the order of the table.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The table.
    pub table: Table,
    /// Whom it is about.
    pub subject: SubjectKind,
    /// Codes and values.
    pub fields: Vec<(&'static str, String)>,
}

impl Record {
    /// The value of a field, if it is filled.
    pub fn get(&self, code: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| *known == code).map(|(_, value)| value.as_str())
    }

    /// Fills a field, or replaces what is there.
    pub fn set(&mut self, code: &'static str, value: impl Into<String>) {
        let value = value.into();
        match self.fields.iter_mut().find(|(known, _)| *known == code) {
            Some(field) => field.1 = value,
            None => self.fields.push((code, value)),
        }
    }

    /// Empties a field.
    pub fn remove(&mut self, code: &str) {
        self.fields.retain(|(known, _)| *known != code);
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({:?}, {:?}, {} fields)", self.table, self.subject, self.fields.len())
    }
}

/// Makes records.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: u64,
    today: Date,
    next: u64,
    references: bool,
    leaks: bool,
}

impl Generator {
    /// A generator whose records were decided in the 90 days up to `today`.
    pub fn new(seed: u64, today: Date) -> Generator {
        Generator { seed, today, next: 0, references: false, leaks: false }
    }

    /// Starts at another place of the sequence.
    #[must_use]
    pub fn starting_at(mut self, place: u64) -> Generator {
        self.next = place;
        self
    }

    /// Gives each record a `ref`.
    #[must_use]
    pub fn with_references(mut self) -> Generator {
        self.references = true;
        self
    }

    /// Puts an identity number and a phone number into the free text of every record.
    #[must_use]
    pub fn with_leaks(mut self) -> Generator {
        self.leaks = true;
        self
    }

    /// The next record. Seven in ten are about organisations, two about individual businesses, one about a
    /// natural person.
    pub fn record(&mut self, table: Table) -> Record {
        self.record_about(table, None)
    }

    /// The next record, about a certain kind of subject.
    pub fn record_about(&mut self, table: Table, kind: Option<SubjectKind>) -> Record {
        let mut random = Random::new(self.seed, self.next);
        let drawn = match random.below(10) {
            0..=6 => SubjectKind::LegalPerson,
            7 | 8 => SubjectKind::IndividualBusiness,
            _ => SubjectKind::NaturalPerson,
        };
        let subject = kind.unwrap_or(drawn);
        let case = Case::draw(self.next, subject, self.today, self.leaks, &mut random);
        self.next += 1;
        let mut fields = fill::fill(table, &case);
        if self.references {
            fields.insert(0, ("ref", format!("case-{:09}", case.number)));
        }
        Record { table, subject, fields }
    }

    /// The next so many records.
    pub fn records(&mut self, table: Table, count: usize) -> Vec<Record> {
        (0..count).map(|_| self.record(table)).collect()
    }

    /// The next record with one fault. `None`, and nothing made, if the table cannot have this fault.
    pub fn faulty(&mut self, table: Table, fault: Fault) -> Option<Record> {
        let mut record = self.clone().record_about(table, Some(fault.subject()));
        fault.apply(&mut record, self.today).then(|| {
            self.next += 1;
            record
        })
    }
}

#[cfg(test)]
mod tests;
