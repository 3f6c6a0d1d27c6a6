//! Records spoilt on purpose, one fault at a time, each with the finding it must raise.

use super::{Record, Table};
use crate::date::Date;
use crate::finding::Severity;
use crate::model::SubjectKind;

/// A fault that departments' records really have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The check character of the unified social credit code is wrong.
    CodeCheckDigit,
    /// An old registration number stands in the code's column.
    CodeOldNumber,
    /// The placeholder stands in the code's column.
    CodePlaceholder,
    /// The check character of the identity number is wrong.
    IdCheckDigit,
    /// A first-generation identity number of fifteen digits.
    IdFirstGeneration,
    /// The decision has no number.
    DocumentMissing,
    /// The decision was made the day after tomorrow.
    DecidedInFuture,
    /// The date of the decision does not exist.
    NoSuchDate,
    /// Another spelling of the date: accepted and respelt.
    DateSpelling,
    /// It shall be published until a day before the decision, or is valid until then.
    EndBeforeDecision,
    /// The name of the subject is longer than the column.
    NameTooLong,
    /// A kind of penalty or licence that no table has.
    KindUnknown,
    /// A natural person with an organisation's columns filled.
    WrongColumns,
    /// The fine is no number.
    AmountNotNumber,
    /// A fine was imposed, but its amount is missing.
    AmountMissing,
    /// A control character stands in the free text.
    ControlCharacter,
    /// A private-use character stands in the name.
    PrivateUse,
    /// A rare character stands in the name, which the column's code page does not have.
    NotInGbk,
    /// The number of the decision is the word 空.
    DocumentEmptyWord,
}

impl Fault {
    /// All faults.
    pub const ALL: [Fault; 19] = [
        Fault::CodeCheckDigit,
        Fault::CodeOldNumber,
        Fault::CodePlaceholder,
        Fault::IdCheckDigit,
        Fault::IdFirstGeneration,
        Fault::DocumentMissing,
        Fault::DecidedInFuture,
        Fault::NoSuchDate,
        Fault::DateSpelling,
        Fault::EndBeforeDecision,
        Fault::NameTooLong,
        Fault::KindUnknown,
        Fault::WrongColumns,
        Fault::AmountNotNumber,
        Fault::AmountMissing,
        Fault::ControlCharacter,
        Fault::PrivateUse,
        Fault::NotInGbk,
        Fault::DocumentEmptyWord,
    ];

    /// Severity and code of the finding that validation must report.
    pub const fn finding(self) -> (Severity, &'static str) {
        match self {
            Fault::CodeCheckDigit | Fault::CodeOldNumber | Fault::IdCheckDigit => {
                (Severity::Refuse, "field.identifier")
            }
            Fault::CodePlaceholder => (Severity::Warn, "field.placeholder"),
            Fault::IdFirstGeneration => (Severity::Warn, "field.identifier-doubtful"),
            Fault::DocumentMissing => (Severity::Refuse, "field.required"),
            Fault::DecidedInFuture => (Severity::Refuse, "field.after-receipt"),
            Fault::NoSuchDate => (Severity::Refuse, "field.date"),
            Fault::DateSpelling => (Severity::Cleaned, "cleaned.date"),
            Fault::EndBeforeDecision => (Severity::Refuse, "field.not-before"),
            Fault::NameTooLong => (Severity::Refuse, "field.too-long"),
            Fault::KindUnknown => (Severity::Refuse, "field.code-unknown"),
            Fault::WrongColumns => (Severity::Refuse, "field.blank-when"),
            Fault::AmountNotNumber => (Severity::Refuse, "field.not-number"),
            Fault::AmountMissing => (Severity::Warn, "field.required-when"),
            Fault::ControlCharacter => (Severity::Refuse, "field.control-character"),
            Fault::PrivateUse => (Severity::Warn, "field.rare-character"),
            Fault::NotInGbk => (Severity::Refuse, "field.repertoire"),
            Fault::DocumentEmptyWord => (Severity::Warn, "field.doubtful"),
        }
    }

    /// Whom a record with this fault is about.
    pub(super) const fn subject(self) -> SubjectKind {
        match self {
            Fault::IdCheckDigit | Fault::IdFirstGeneration | Fault::WrongColumns => {
                SubjectKind::NaturalPerson
            }
            _ => SubjectKind::LegalPerson,
        }
    }

    /// Spoils a record; false, and nothing changed, if its table has no place for the fault.
    pub(super) fn apply(self, record: &mut Record, today: Date) -> bool {
        let Some((code, value)) = self.change(record, today) else { return false };
        match value {
            Some(value) => record.set(code, value),
            None => record.remove(code),
        }
        true
    }

    /// The column to change and its new value, none for a blank.
    fn change(self, record: &Record, today: Date) -> Option<(&'static str, Option<String>)> {
        let names = Names::of(record.table);
        let gbk = matches!(record.table, Table::Penalty2017 | Table::Licence2017);
        let set = |code: &'static str, value: String| Some((code, Some(value)));
        match self {
            Fault::CodeCheckDigit => set(names.code, other_last(record.get(names.code)?)),
            Fault::CodeOldNumber => set(names.code, "350299100000001".to_owned()),
            Fault::CodePlaceholder => set(names.code, "00000000000000000X".to_owned()),
            Fault::IdCheckDigit => set(names.id, other_last(record.get(names.id)?)),
            Fault::IdFirstGeneration => {
                let id = record.get(names.id)?;
                set(names.id, format!("{}{}", &id[..6], &id[8..17]))
            }
            Fault::DocumentMissing => Some((names.document, None)),
            Fault::DecidedInFuture => set(names.decided, slashed(today.plus_days(2)?)),
            Fault::NoSuchDate => set(names.decided, "2018/13/45".to_owned()),
            Fault::DateSpelling => set(names.decided, record.get(names.decided)?.replace('/', "-")),
            Fault::EndBeforeDecision => set(names.end, "2001/01/01".to_owned()),
            Fault::NameTooLong => set(names.name, "样例".repeat(150)),
            Fault::KindUnknown => set(names.kind, "当众批评".to_owned()),
            Fault::WrongColumns => set(names.representative, "张甲子".to_owned()),
            Fault::AmountNotNumber => set(names.amount?, "贰仟元".to_owned()),
            Fault::AmountMissing => Some((names.amount?, None)),
            Fault::ControlCharacter => set(names.text, format!("{}\u{8}", record.get(names.text)?)),
            // A GBK column has user-defined characters only in part; there the fault would be another.
            Fault::PrivateUse if gbk => None,
            Fault::PrivateUse => set(names.name, format!("{}\u{E863}", record.get(names.name)?)),
            Fault::NotInGbk if !gbk => None,
            Fault::NotInGbk => set(names.name, format!("\u{20BB7}{}", record.get(names.name)?)),
            Fault::DocumentEmptyWord if matches!(record.table, Table::CityPenalty | Table::CityLicence) => {
                None
            }
            Fault::DocumentEmptyWord => set(names.document, "空".to_owned()),
        }
    }
}

/// The columns that faults are put into, by table.
struct Names {
    code: &'static str,
    id: &'static str,
    name: &'static str,
    representative: &'static str,
    document: &'static str,
    decided: &'static str,
    end: &'static str,
    kind: &'static str,
    text: &'static str,
    amount: Option<&'static str>,
}

impl Names {
    fn of(table: Table) -> Names {
        let all = |names: [&'static str; 9], amount| {
            let [code, id, name, representative, document, decided, end, kind, text] = names;
            Names { code, id, name, representative, document, decided, end, kind, text, amount }
        };
        match table {
            Table::CityPenalty => all(
                ["TYSHXYDM", "SFZH", "DSRMC", "FDDBR", "JDSWH", "CFJDRQ", "GSJZRQ", "CFZL", "WFSS"],
                Some("FKJE"),
            ),
            Table::CityLicence => all(
                ["TYSHXYDM", "SFZH", "DSRMC", "FDDBR", "XKJDSWH", "XKJDRQ", "YXQJZ", "XKLB", "XKNR"],
                None,
            ),
            Table::Penalty2017 => all(
                [
                    "CF_XDR_SHXYM",
                    "CF_XDR_SFZ",
                    "CF_XDR_MC",
                    "CF_FR",
                    "CF_WSH",
                    "CF_JDRQ",
                    "CF_GSJZQ",
                    "CF_CFLB1",
                    "CF_SY",
                ],
                None,
            ),
            Table::Penalty2020 => all(
                [
                    "CF_XDR_SHXYM",
                    "CF_XDR_ZJHM",
                    "CF_XDR_MC",
                    "CF_FRDB",
                    "CF_WSH",
                    "CF_JDRQ",
                    "CF_GSJZQ",
                    "CF_CFLB",
                    "CF_SY",
                ],
                Some("CF_NR_FK"),
            ),
            Table::Licence2017 => all(
                [
                    "XK_XDR_SHXYM",
                    "XK_XDR_SFZ",
                    "XK_XDR",
                    "XK_FR",
                    "XK_WSH",
                    "XK_JDRQ",
                    "XK_JZQ",
                    "XK_SPLB",
                    "XK_NR",
                ],
                None,
            ),
            Table::Licence2020 => all(
                [
                    "XK_XDR_SHXYM",
                    "XK_XDR_ZJHM",
                    "XK_XDR_MC",
                    "XK_FRDB",
                    "XK_WSH",
                    "XK_JDRQ",
                    "XK_YXQZI",
                    "XK_XKLB",
                    "XK_NR",
                ],
                None,
            ),
        }
    }
}

/// The number with another last character that its alphabet has.
fn other_last(number: &str) -> String {
    let (body, last) = number.split_at(number.len() - 1);
    format!("{body}{}", if last == "1" { '2' } else { '1' })
}

fn slashed(date: Date) -> String {
    date.to_string().replace('-', "/")
}
