//! References: short names by which records go, given by their source. They stay when the record is gone, in tombstones and
//! evidence, so they must say nothing about a person.

use crate::date::Date;
use crate::finding::{Finding, Severity};
use crate::identifier::resident_id;
use crate::problem;
use crate::record::Member;
use crate::scan::{self, Kind};

/// Characters of a reference at most.
pub(crate) const LONGEST_REFERENCE: usize = 128;

/// How a reference comes here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// Anew: it may still be another one.
    Now,
    /// It was given before, and what it names must be found under it.
    Before,
}

/// Days that stand in serial numbers, which are often made of a region, a day and a count.
#[derive(Clone, Copy)]
pub(crate) struct Days {
    pub(crate) received: Date,
    pub(crate) decided: Option<Date>,
}

/// Refuses a reference that is no plain word, and one that is a person's number; what only looks like one is a doubt.
pub(crate) fn check(
    member: Member,
    value: Option<&str>,
    given: Given,
    days: Days,
    findings: &mut Vec<Finding>,
) {
    let Some(value) = value else { return };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/+-".contains(&b);
    if value.len() > LONGEST_REFERENCE || !value.bytes().all(plain) {
        let finding = Finding::refuse(&problem::RECORD_REF).on_member(member.name());
        findings.push(finding.with(member.name()).with_number(LONGEST_REFERENCE));
    }
    let severity = match personal(value, days) {
        None => return,
        Some(Sure::Is) if given == Given::Now => Severity::Refuse,
        Some(_) => Severity::Warn,
    };
    let finding = Finding::of(&problem::RECORD_REF_PERSONAL, severity).on_member(member.name());
    findings.push(finding.with(member.name()));
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sure {
    MayBe,
    Is,
}

/// Whether a person's number is in a reference. Serial numbers of many forms go there, so less is taken for one than in a
/// text: no bank cards, and nothing in which the birthday is the day of the decision or a day of late.
fn personal(value: &str, days: Days) -> Option<Sure> {
    let in_text = |text: &str| {
        let finds = scan::find(text).into_iter().filter_map(|find| {
            let number: String = text[find.range].chars().filter(char::is_ascii_alphanumeric).collect();
            let number = number.to_ascii_uppercase();
            match find.kind {
                Kind::ResidentId if number.len() == 18 => {
                    let born = Date::parse_accepted(&number[6..14]).ok()?.0;
                    let sound = resident_id::is_resident_number(&number) && days.decided != Some(born);
                    let grown = born.year() + 3 < days.received.year();
                    sound.then_some(if grown { Sure::Is } else { Sure::MayBe })
                }
                Kind::ResidentId => (!is_serial(&number, days)).then_some(Sure::MayBe),
                Kind::Mobile => Some(Sure::MayBe),
                _ => None,
            }
        });
        finds.max()
    };
    if value.len() < 11 {
        return None;
    }
    // With other signs between its parts it may also be parts of something else.
    let joined = || value.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    in_text(value).or_else(|| in_text(&joined()).map(|_| Sure::MayBe))
}

/// Whether the six digits for a birthday, which do not tell the century, are rather the day of the decision or a day of the
/// last ten years.
fn is_serial(number: &str, days: Days) -> bool {
    let day = |date: Date| format!("{:02}{:02}{:02}", date.year() % 100, date.month(), date.day());
    let year: u16 = number[6..8].parse().unwrap_or_default();
    let age = (days.received.year() % 100 + 100 - year) % 100;
    age <= 10 || days.decided.is_some_and(|decided| number[6..12] == day(decided))
}
